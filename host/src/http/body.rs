//! Request bodies, read: bounded in bytes and depth, UTF-8, JSON. Says nothing of what they mean.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use flate2::bufread::GzDecoder;
use http_body_util::BodyExt;
use rolecall_scim::ScimError;
use rolecall_scim::bulk::BULK_DEPTH_LIMIT;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::error::{Error, Result};
use super::json;
use super::scim::SCIM_JSON;
use crate::app::App;

/// The largest body over SCIM and the API: a group with 10,000 members is about 0.7 MB, a user a few KiB.
pub const BODY_BYTES_LIMIT: usize = 1024 * 1024;
/// The largest body of a revision: 48 MiB of files, as base64. JavaScript and Python plugins have 12 to 18 MB.
pub const REVISION_BODY_BYTES_LIMIT: usize = 64 * 1024 * 1024;
/// How deep arrays and objects of an API request may be nested; recursion costs stack.
pub const BODY_DEPTH_LIMIT: usize = 32;

/// How long a client may take to send its body: less than a request may, so that who is slow is told so, and nobody else is blamed.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(50);
/// How long a client may take to send the files of a revision or a plugin.
pub(super) const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// How much of a body that is too large is still taken in and thrown away: a client that is cut off in the middle of sending
/// sees a broken connection and not the answer that says why.
const DISCARDED_BYTES_LIMIT: usize = 128 * 1024 * 1024;

/// How many times larger than it came a body of more than [`BODY_BYTES_LIMIT`] may become when it is expanded: files of a revision become
/// some five times larger, and what is made to fill memory a thousand times.
pub const EXPANSION_LIMIT: usize = 64;
/// How many bodies are expanded at the same time: it takes a core for as long.
const EXPANDING_LIMIT: usize = 2;

/// The largest form of a token endpoint, in bytes: ours need about 200.
const FORM_BYTES_LIMIT: usize = 16 * 1024;

const JSON: &str = "application/json";

/// The body of a SCIM request: a JSON object, which may be compressed with gzip as any body.
pub struct ScimBody(pub Value);

impl FromRequest<Arc<App>> for ScimBody {
    type Rejection = Error;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self> {
        let bytes = read_json(request, BODY_BYTES_LIMIT, SCIM_JSON).await?;
        // What is no Bulk request may be nested less deeply, which is seen where it is read.
        let text = checked(&bytes, BULK_DEPTH_LIMIT).map_err(ScimError::invalid_syntax)?;
        let body = json::unique(text).map_err(|e| ScimError::invalid_syntax(why(&e)))?;
        if !body.is_object() {
            return Err(ScimError::invalid_syntax("the body must be a JSON object").into());
        }
        Ok(Self(body))
    }
}

/// The body of an API request as a type that refuses unknown fields; none at all counts as `{}`. It may be compressed with gzip, and
/// is bounded as it came and as it is expanded.
pub struct ApiBody<T, const LIMIT: usize = BODY_BYTES_LIMIT>(pub T);

impl<T: DeserializeOwned, const LIMIT: usize> FromRequest<Arc<App>> for ApiBody<T, LIMIT> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self> {
        let bytes = read_json(request, LIMIT, JSON).await?;
        let bytes = if bytes.is_empty() { Bytes::from_static(b"{}") } else { bytes };
        let text = checked(&bytes, BODY_DEPTH_LIMIT).map_err(|e| Error::bad_request(e, "the body is no JSON"))?;
        let body = serde_json::from_str(text).map_err(|e| Error::bad_request(why(&e), "the body does not fit"))?;
        Ok(Self(body))
    }
}

/// The body of a token request: a form.
pub struct FormBody {
    fields: Zeroizing<Vec<(String, String)>>,
    is_form: bool,
}

impl FromRequest<Arc<App>> for FormBody {
    type Rejection = Error;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self> {
        let is_form = is_form(request.headers());
        let bytes = read_any(request, FORM_BYTES_LIMIT).await?;
        Ok(Self { fields: fields(is_form, &bytes), is_form: is_form || bytes.is_empty() })
    }
}

/// The fields of a form (`application/x-www-form-urlencoded`), in order; none of a body that is no form.
///
/// # Errors
/// 413; 400 for a body that ends too early.
pub async fn read_form(request: Request, limit: usize) -> Result<Zeroizing<Vec<(String, String)>>> {
    let is_form = is_form(request.headers());
    Ok(fields(is_form, &read_any(request, limit).await?))
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn fields(is_form: bool, bytes: &[u8]) -> Zeroizing<Vec<(String, String)>> {
    Zeroizing::new(if is_form { form_urlencoded::parse(bytes).into_owned().collect() } else { Vec::new() })
}

impl FormBody {
    /// Whether it is a form, or nothing at all.
    pub fn is_form(&self) -> bool {
        self.is_form
    }

    /// Whether some field is there twice, which none may be (RFC 6749 §3.2).
    pub fn repeats(&self) -> bool {
        let mut seen = BTreeSet::new();
        !self.fields.iter().all(|(name, _)| seen.insert(name))
    }

    /// A field; an empty one counts as none (RFC 6749 §3.2).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

/// A body that says that it is JSON, as it was before it was compressed.
async fn read_json(request: Request, limit: usize, expected: &str) -> Result<Bytes> {
    let (fits, compressed) = (is_json(request.headers()), is_compressed(request.headers())?);
    let bytes = read_any(request, limit).await?;
    if !fits && !bytes.is_empty() {
        return Err(Error::unsupported_media_type(expected));
    }
    if compressed { expanded(bytes, limit).await } else { Ok(bytes) }
}

async fn read_any(request: Request, limit: usize) -> Result<Bytes> {
    read_within(request, limit, if limit > BODY_BYTES_LIMIT { UPLOAD_TIMEOUT } else { BODY_TIMEOUT }).await
}

async fn read_within(request: Request, limit: usize, timeout: Duration) -> Result<Bytes> {
    tokio::time::timeout(timeout, read_whole(request, limit)).await.unwrap_or_else(|_| Err(Error::body_late(timeout)))
}

async fn read_whole(request: Request, limit: usize) -> Result<Bytes> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut too_large = announced.is_some_and(|bytes| bytes > limit as u64);
    if announced.is_some_and(|bytes| bytes > DISCARDED_BYTES_LIMIT as u64) {
        return Err(Error::too_large(limit));
    }
    let (mut body, mut bytes, mut seen) = (request.into_body(), BytesMut::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::bad_request("the body ended too early: send it again", "the body ended too early"))?;
        let Ok(data) = frame.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        too_large |= seen > limit;
        if seen > DISCARDED_BYTES_LIMIT {
            break;
        }
        if !too_large {
            bytes.extend_from_slice(&data);
        }
    }
    if too_large {
        return Err(Error::too_large(limit));
    }
    Ok(bytes.freeze())
}

/// Whether the body is compressed. Gzip alone is taken: its decoder is Rust, and a better one would save a fifth.
fn is_compressed(headers: &HeaderMap) -> Result<bool> {
    let mut named = headers.get_all(CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?").trim());
    match (named.next(), named.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if one.is_empty() || one.eq_ignore_ascii_case("identity") => Ok(false),
        (Some(one), None) if one.eq_ignore_ascii_case("gzip") || one.eq_ignore_ascii_case("x-gzip") => Ok(true),
        _ => Err(Error::unsupported_encoding()),
    }
}

/// The body as it was before it was compressed, off the async workers.
async fn expanded(bytes: Bytes, limit: usize) -> Result<Bytes> {
    static EXPANDING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(EXPANDING_LIMIT);
    let _turn = EXPANDING.acquire().await.map_err(Error::internal)?;
    tokio::task::spawn_blocking(move || expand(&bytes, limit)).await.map_err(Error::internal)?
}

pub(crate) fn expand(bytes: &[u8], limit: usize) -> Result<Bytes> {
    let allowed = limit.min(BODY_BYTES_LIMIT.max(bytes.len().saturating_mul(EXPANSION_LIMIT)));
    let (mut decoder, mut expanded) = (GzDecoder::new(bytes), Vec::new());
    let read = decoder.by_ref().take(allowed as u64 + 1).read_to_end(&mut expanded);
    if expanded.len() > allowed {
        return Err(if allowed < limit { Error::expands_too_far(EXPANSION_LIMIT) } else { Error::too_large_expanded(limit) });
    }
    // What follows the end is not looked at by anybody, so it must not be there.
    if read.is_err() || !decoder.into_inner().is_empty() {
        return Err(Error::bad_request(
            "the body is no gzip, ends too early, or goes on after its end: compress it again",
            "the body is no gzip",
        ));
    }
    Ok(expanded.into())
}

/// Whether the content type is JSON or SCIM's JSON, with whatever parameters; a missing one is taken for JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next()).unwrap_or("").trim();
    [JSON, SCIM_JSON].iter().any(|known| essence.eq_ignore_ascii_case(known))
}

fn checked(bytes: &[u8], depth_limit: usize) -> Result<&str, String> {
    if bytes.is_empty() {
        return Err("the body is empty: send a JSON object".into());
    }
    let text = std::str::from_utf8(bytes).map_err(|e| format!("the body is not UTF-8 from byte {}", e.valid_up_to()))?;
    if deeper_than(text, depth_limit) {
        return Err(format!("the body is nested deeper than {depth_limit} levels"));
    }
    Ok(text)
}

/// Counted on the text, before anything recursive sees it.
fn deeper_than(text: &str, limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// What is wrong with the body, without the values that `serde_json` repeats.
fn why(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let said = match (text.split_once(": "), text.rsplit_once(", expected ")) {
        (Some((kind @ ("invalid type" | "invalid value"), _)), Some((_, expected))) => format!("{kind}, expected {expected}"),
        _ => text,
    };
    format!("the body: {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings() {
        assert!(!deeper_than(r#"{"a":["[[[[\"[[["]}"#, 2));
        assert!(deeper_than("[[[", 2));
        assert!(!deeper_than("[][][]", 1));
        assert!(checked("[".repeat(100_000).as_bytes(), BULK_DEPTH_LIMIT).is_err());
    }

    #[test]
    fn errors_say_where_and_repeat_no_value() {
        #[derive(serde::Deserialize, Debug)]
        #[serde(deny_unknown_fields)]
        struct Body {
            #[expect(dead_code, reason = "only its type matters")]
            count: i64,
        }
        let said = |text: &str| why(&serde_json::from_str::<Body>(text).unwrap_err());
        assert_eq!(said(r#"{"count":"secret"}"#), "the body: invalid type, expected i64 at line 1 column 17");
        assert!(said(r#"{"kount":1}"#).contains("unknown field `kount`, expected `count`"));
        assert!(said(r#"{"count":"#).contains("line 1 column 9"));
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_expanded_is_bounded() {
        let text = compressed(br#"{"a": 1}"#);
        assert_eq!(&expand(&text, BODY_BYTES_LIMIT).unwrap()[..], br#"{"a": 1}"#);
        let bomb = compressed(&vec![b' '; 80 << 20]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        for limit in [BODY_BYTES_LIMIT, REVISION_BODY_BYTES_LIMIT] {
            assert_eq!(expand(&bomb, limit).unwrap_err().status(), 413, "{limit}");
        }
        // A body that grows by what files grow by may reach the limit.
        let digests = (0_u32..100_000).map(|n| crate::crypto::sha256_hex(&n.to_be_bytes())).collect::<String>();
        let noise = digests.into_bytes();
        assert_eq!(expand(&compressed(&noise), REVISION_BODY_BYTES_LIMIT).unwrap().len(), noise.len());
        let cut = &text[..text.len() - 1];
        let longer = [&text[..], b"x"].concat();
        for broken in [&b""[..], b"no gzip", cut, &longer] {
            assert_eq!(expand(broken, BODY_BYTES_LIMIT).unwrap_err().status(), 400);
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_the_client_s_own_delay() {
        let body = axum::body::Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
        let late = read_within(Request::new(body), 100, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(late.status(), 408);
        assert!(!crate::model::OutcomeCode::is_failure(408) && crate::model::OutcomeCode::is_failure(503));
    }

    #[test]
    fn encodings_are_known_or_refused() {
        for (values, known) in [
            (&[][..], Some(false)),
            (&["identity"], Some(false)),
            (&["GZIP"], Some(true)),
            (&["zstd"], None),
            (&["gzip, gzip"], None),
            (&["gzip", "gzip"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, value.parse().unwrap());
            }
            assert_eq!(is_compressed(&headers).ok(), known, "{values:?}");
        }
    }

    #[test]
    fn json_media_types_are_known_in_any_dress() {
        for (value, known) in [
            ("application/json", true),
            ("Application/SCIM+JSON; charset=utf-8", true),
            ("application/json;charset=UTF-8", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), known, "{value}");
        }
        assert!(is_json(&HeaderMap::new()));
    }
}
