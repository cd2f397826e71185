//! What surrounds every request: its id, the time limit, the log line, the metrics and the form of errors.
//!
//! Never logs a path as sent, a query string or a header: they hold personal values and secrets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rolecall_scim::content;
use tracing::Instrument;

use super::error::{Error, Format};
use super::trail::{Asked, Whose};
use crate::app::App;

/// How long a request of SCIM may take: what Okta waits for an answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request of the API and of the workspace may take: one that brings a plugin waits until it is compiled.
pub const API_TIMEOUT: Duration = Duration::from_secs(170);
/// The longest `x-request-id` that is taken over from the client, in characters.
pub const REQUEST_ID_CHARS_LIMIT: usize = 64;
/// The route in logs and metrics of what no route matches.
const UNMATCHED: &str = "unmatched";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: in logs, answers and events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub String);

impl RequestId {
    /// The client's, when it is well formed, else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let well_formed = |text: &&str| {
            let chars = 1..=REQUEST_ID_CHARS_LIMIT;
            chars.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let theirs = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(well_formed);
        Self(theirs.map_or_else(crate::crypto::random_id, str::to_owned))
    }
}

/// Surrounds a request.
pub async fn surround(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    let format = Format::of(request.uri().path());
    let media_type = scim_media_type(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned();
    let whose = Arc::new(Whose::default());
    request.extensions_mut().insert(Arc::clone(&whose));
    let asked = Asked { method: method.clone(), route: route.clone(), uri: request.uri().clone() };
    let span = tracing::info_span!("request", id = id.0, %method, route);
    request.extensions_mut().insert(id.clone());
    let answered = async {
        let started = Instant::now();
        let limit = match format {
            Format::Scim | Format::OAuth => REQUEST_TIMEOUT,
            Format::Page | Format::Problem => API_TIMEOUT,
        };
        let response = match tokio::time::timeout(limit, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Error::timed_out().into_response(),
        };
        whose.note(&app, &asked, &response, &id, started.elapsed());
        let response = finish(response, format, media_type, &id);
        let (status, took) = (response.status().as_u16(), started.elapsed());
        app.metrics.request(&route, method.as_str(), status, took.as_secs_f64());
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        // Probes come every few seconds and say nothing of use.
        if matches!(route.as_str(), "/healthz" | "/readyz" | "/metrics") {
            tracing::debug!(status, ms, "answered");
        } else {
            tracing::info!(status, ms, "answered");
        }
        response
    };
    answered.instrument(span).await
}

/// Does a write to its end, whether or not its client still waits: whoever leaves has left, also where the identity
/// provider hung up over a slow answer.
///
/// # Errors
/// 500 when the process stops in the middle. A panic goes on in the caller.
pub async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Error> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(done) => Ok(done),
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(stopped) => Err(Error::internal(stopped)),
        },
    }
}

/// The media type that a SCIM client wants its answers in (RFC 7644 §3.8); `None` when it wants none that there is.
#[must_use]
pub fn scim_media_type(headers: &HeaderMap) -> Option<&'static str> {
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    content::accepted(Some(&accept.join(",")), &[content::SCIM_JSON, content::JSON])
}

fn finish(mut response: Response, format: Format, media_type: Option<&'static str>, id: &RequestId) -> Response {
    if let Some(error) = response.extensions_mut().remove::<Arc<Error>>() {
        response = error.render(response, format, &id.0);
    }
    // The bytes are the same under either name.
    if let (Format::Scim, Some(media_type), true) = (format, media_type, response.headers().contains_key(CONTENT_TYPE)) {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    let value = HeaderValue::from_str(&id.0).expect("a request id is ASCII letters, digits and `-_.`");
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, value);
    // Answers hold personal values and, once, tokens: no cache on the way may keep them, no browser may guess at them. What may be kept says so.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_ends_also_when_nobody_waits_for_it() {
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (done, is_done) = tokio::sync::oneshot::channel();
        let mut work = Box::pin(to_the_end(async move {
            gone.await.unwrap();
            done.send("done").unwrap();
        }));
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(work.as_mut().poll(context).is_pending())).await;
        assert!(polled, "the work waits");
        drop(work);
        go.send(()).unwrap();
        assert_eq!(is_done.await.unwrap(), "done");
    }

    #[tokio::test]
    #[should_panic(expected = "a defect")]
    async fn a_panic_in_a_write_is_the_requests_own() {
        drop(to_the_end(async { panic!("a defect") }).await);
    }

    #[test]
    fn a_well_formed_request_id_is_kept_and_any_other_replaced() {
        for (given, kept) in
            [("abc-1_2.3", true), (&*"x".repeat(64), true), (&*"x".repeat(65), false), ("", false), ("a b", false), ("a\"b", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, given.parse().unwrap());
            assert_eq!(RequestId::of(&headers).0 == given, kept, "{given}");
        }
        assert_eq!(RequestId::of(&HeaderMap::new()).0.len(), 32);
    }
}
