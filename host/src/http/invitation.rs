//! What an invitation's link leads to: a page with a button, and the yes that the button sends. Programs that look links up in advance
//! (previews, scanners of mail) send GET, which looks nothing up and changes nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY};
use axum::response::{Html, IntoResponse};

use super::error::{Error, Result};
use super::guards::Anyone;
use super::query::At;
use crate::app::App;
use crate::auth::Denied;
use crate::tenancy::steps::{self, Followed};

/// Asks for a click. It sends the form to where it is itself, so that the link's token is nowhere in it.
const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Invitation</title>\
                    <p>You are invited to use an account.</p><form method=\"post\"><button>Accept the invitation</button></form></html>\n";
/// What is said after it.
const ACCEPTED: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Invitation</title>\
                        <p>The invitation is accepted. You can close this page.</p></html>\n";
/// The address holds the token: nothing else is loaded, and nobody is told of it. The page stands in no frame, where somebody could be
/// made to click unseen.
const HEADERS: [(HeaderName, &str); 2] = [
    (CONTENT_SECURITY_POLICY, "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
    (REFERRER_POLICY, "no-referrer"),
];

/// GET /invitations/{tenant}/{token}: the same for every token, whether there is such an invitation or not.
pub async fn page(_: Anyone) -> impl IntoResponse {
    (HEADERS, Html(PAGE))
}

/// POST /invitations/{tenant}/{token}
///
/// # Errors
/// 404 for a link that is not good, for whichever reason; 429.
pub async fn accept(_: Anyone, State(app): State<Arc<App>>, At((tenant, token)): At<(String, String)>) -> Result<impl IntoResponse> {
    match steps::accept(&app, &tenant, &token).await? {
        Followed::Accepted => Ok((HEADERS, Html(ACCEPTED))),
        Followed::NotGood => {
            Err(Error::not_found("open invitation with this link: it was used, has expired or was taken back; ask for another"))
        }
        Followed::TooMany(too_many) => Err(Denied::TooMany(too_many).into()),
    }
}
