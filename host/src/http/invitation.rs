//! What an invitation's link leads to: a page with a button, and the yes that the button sends. Programs that look links up in advance
//! (previews, scanners of mail) send GET, which looks nothing up and changes nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};

use super::error::{Error, Result};
use super::guards::Anyone;
use super::query::At;
use crate::app::App;
use crate::auth::Denied;
use crate::tenancy::steps::{self, Followed};

/// Asks for a click. It sends the form to where it is itself, so that the link's token is nowhere in it.
const ASKS: &str = "<p>You are invited to use an account.</p><form method=\"post\"><button>Accept the invitation</button></form>";
/// What is said after it.
const ACCEPTED: &str = "<p>The invitation is accepted. You can close this page.</p>";
/// The same for every link that is not good: who guesses learns nothing from it.
const NOT_GOOD: &str = "<p>This link is not good, or not any more: it was used, has expired or was taken back. Ask whoever invited you for \
                        another one.</p>";
/// What is said where a link was tried too often.
const TOO_MANY: &str = "<p>Too many links were tried. Wait a minute, and open yours again.</p>";
/// The address holds the token: nothing else is loaded, and nobody is told of it. The page stands in no frame, where somebody could be
/// made to click unseen.
const HEADERS: [(HeaderName, &str); 2] = [
    (CONTENT_SECURITY_POLICY, "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
    (REFERRER_POLICY, "no-referrer"),
];

/// A page of its own: it asks for no style and no script, and is as wide as the screen that it is read on.
fn whole(inner: &str) -> Html<String> {
    let head = "<meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Invitation</title>";
    Html(format!("<!doctype html><html lang=\"en\">{head}{inner}</html>\n"))
}

/// Whether somebody looks at the answer, and no program reads it: browsers ask for HTML by name.
fn is_person(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|accept| accept.contains("text/html"))
}

/// GET /invitations/{tenant}/{token}: the same for every token, whether there is such an invitation or not.
pub async fn page(_: Anyone) -> impl IntoResponse {
    (HEADERS, whole(ASKS))
}

/// POST /invitations/{tenant}/{token}
///
/// # Errors
/// 404 for a link that is not good, for whichever reason; 429. Whoever looks at a page gets one.
pub async fn accept(
    _: Anyone,
    State(app): State<Arc<App>>,
    At((tenant, token)): At<(String, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    match (steps::accept(&app, &tenant, &token).await?, is_person(&headers)) {
        (Followed::Accepted, _) => Ok((HEADERS, whole(ACCEPTED)).into_response()),
        (Followed::NotGood, true) => Ok((StatusCode::NOT_FOUND, HEADERS, whole(NOT_GOOD)).into_response()),
        (Followed::TooMany(too_many), true) => {
            let wait = [(RETRY_AFTER, HeaderValue::from(too_many.retry_after_seconds))];
            Ok((StatusCode::TOO_MANY_REQUESTS, HEADERS, wait, whole(TOO_MANY)).into_response())
        }
        (Followed::NotGood, false) => {
            Err(Error::not_found("open invitation with this link: it was used, has expired or was taken back; ask for another"))
        }
        (Followed::TooMany(too_many), false) => Err(Denied::TooMany(too_many).into()),
    }
}
