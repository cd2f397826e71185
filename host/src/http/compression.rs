//! Answers compressed with gzip on their way out, for whoever takes that: pages, and what the API answers.
//!
//! Whoever sees lengths on the way and has a browser ask for addresses of their choice learns, letter by letter, what stands beside a text that
//! they chose (BREACH). So an answer is compressed only where nobody else chooses what it repeats: the API's go to bearer tokens, which no browser
//! sends by itself; pages are compressed where the address has no query, and each carries a form token of its own (`tenancy::visitors`). SCIM's are
//! left alone: they are small or streamed, and clients time out sooner than they run out of bandwidth. The workspace's files are compressed once
//! (`workspace::assets`).

use std::io::Write as _;

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::error::Format;

/// The shortest answer that is compressed, in bytes: a shorter one is a packet either way.
const COMPRESSED_FROM_BYTES: u64 = 1_024;
/// The longest answer that is compressed, in bytes: what is longer is streamed, or is compressed already.
const COMPRESSED_BYTES_LIMIT: u64 = 8 * 1024 * 1024;
/// From how many bytes on another thread compresses: a tenth of a millisecond's work.
const ELSEWHERE_FROM_BYTES: usize = 32 * 1024;
/// What is worth it.
const MEDIA_TYPES: &[&str] = &["text/html", "text/plain", "text/csv", "application/json", "application/problem+json"];

/// Whether whoever asks takes gzip (RFC 9110 §12.5.3).
#[must_use]
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let weight = |parameters: &str| {
        let q = parameters.split(';').find_map(|one| one.trim().strip_prefix("q="));
        q.is_none_or(|q| q.trim().parse::<f32>().is_ok_and(|q| q > 0.0))
    };
    all.flat_map(|line| line.split(',')).any(|one| {
        let (name, parameters) = one.split_once(';').unwrap_or((one, ""));
        let name = name.trim();
        (name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip")) && weight(parameters)
    })
}

/// Whether nobody but whoever asks chooses what the answer repeats.
fn is_safe(method: &Method, uri: &Uri) -> bool {
    match Format::of(uri.path()) {
        Format::Problem => *method != Method::HEAD,
        Format::Page => *method == Method::GET && uri.query().is_none(),
        Format::Scim | Format::OAuth => false,
    }
}

fn is_worth_it(response: &Response) -> bool {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let bytes = response.body().size_hint().exact().unwrap_or(0);
    MEDIA_TYPES.contains(&essence)
        && (COMPRESSED_FROM_BYTES..=COMPRESSED_BYTES_LIMIT).contains(&bytes)
        && !response.headers().contains_key(CONTENT_ENCODING)
}

/// Compresses the answer where that is safe, asked for and worth it. One that is streamed goes out as it is made.
pub async fn compress(request: Request, next: Next) -> Response {
    let wanted = takes_gzip(request.headers()) && is_safe(request.method(), request.uri());
    let response = next.run(request).await;
    if !wanted || !is_worth_it(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return Response::from_parts(parts, Body::empty()) };
    let compressed = if bytes.len() < ELSEWHERE_FROM_BYTES {
        gzip(&bytes, Compression::fast())
    } else {
        let bytes = bytes.clone();
        tokio::task::spawn_blocking(move || gzip(&bytes, Compression::fast())).await.ok().flatten()
    };
    let Some(compressed) = compressed else { return Response::from_parts(parts, bytes.into()) };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    Response::from_parts(parts, compressed.into())
}

/// The bytes as gzip; `None` where that fails, which memory does not.
#[must_use]
pub fn gzip(bytes: &[u8], level: Compression) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_named() {
        for (value, taken) in [
            ("gzip", true),
            ("deflate, GZip;q=0.5, br", true),
            ("x-gzip", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(takes_gzip(&headers), taken, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_others_can_choose_is_left_as_it_is() {
        for (method, uri, safe) in [
            (Method::GET, "/workspace/t/acme/people", true),
            (Method::GET, "/workspace/t/acme/people?q=ada", false),
            (Method::POST, "/workspace/t/acme/people/import", false),
            (Method::GET, "/api/v1/tenants/acme/accounts?limit=500", true),
            (Method::HEAD, "/api/v1/tenants/acme/accounts", false),
            (Method::GET, "/scim/entra/v2/Users", false),
        ] {
            assert_eq!(is_safe(&method, &uri.parse().unwrap()), safe, "{method} {uri}");
        }
    }
}
