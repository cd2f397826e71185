//! The set-up of one connection, for whoever has its link: the values to paste, a token made on the spot, the wait for the first request, and
//! the end of the link. Nothing else of the tenant is seen here.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::connections::{FirstQuery, ForQuery, first_request, guide_of, issue, values, waiting};
use super::guides::{self, Fresh, Guide};
use super::page::{When, bare};
use crate::app::App;
use crate::auth::Denied;
use crate::http::error::{Error, Result};
use crate::http::guards::Anyone;
use crate::http::query::{ApiQuery, At};
use crate::http::routes::{Route, get, post};
use crate::http::urls::Urls;
use crate::tenancy::setup::{self, Opened, Setup};

/// What is made.
#[derive(Deserialize, JsonSchema)]
pub struct MakeQuery {
    /// The word of a guide.
    #[serde(rename = "for")]
    guide: Option<String>,
    /// `client` for a secret of the OAuth client, else a token.
    kind: Option<String>,
}

/// The pages behind a link to a set-up.
pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/setup/{token}", "setup_page", "The set-up of one connection, for whoever has its link", show),
        get("/workspace/setup/{token}/first", "setup_first_request", "Whether its first request has come", first),
        post("/workspace/setup/{token}/credential", "setup_make_credential", "Makes a token or client secret and shows it, once", make),
        post("/workspace/setup/{token}/done", "setup_done", "Ends the link", done),
    ]
}

async fn opened(app: &Arc<App>, token: &str) -> Result<Box<Setup>> {
    match setup::open(app, token).await? {
        Opened::Good(setup) => Ok(setup),
        Opened::NotGood => {
            Err(Error::not_found("open set-up behind this link: it is done, has expired or was taken back; ask for another"))
        }
        Opened::TooMany(too_many) => Err(Denied::TooMany(too_many).into()),
    }
}

/// GET /workspace/setup/{token}
///
/// # Errors
/// 404 for a link that is not good, for whichever reason; 429 after too many of those.
pub async fn show(
    _: Anyone,
    State(app): State<Arc<App>>,
    urls: Urls,
    At(token): At<String>,
    ApiQuery(query): ApiQuery<ForQuery>,
) -> Result<Response> {
    let setup = opened(&app, &token).await?;
    let guide = guide_of(&setup.connection, query.guide.as_deref());
    Ok(page(&app, &urls, &setup, (&token, guide), None))
}

/// GET /workspace/setup/{token}/first
///
/// # Errors
/// As [`show`].
pub async fn first(
    _: Anyone,
    State(app): State<Arc<App>>,
    At(token): At<String>,
    ApiQuery(query): ApiQuery<FirstQuery>,
) -> Result<Response> {
    let setup = opened(&app, &token).await?;
    Ok(first_request(&setup.connection, &query, &at(&token, "first"), app.clock.now()))
}

/// POST /workspace/setup/{token}/credential: whoever has the link may, and no other site knows its address.
///
/// # Errors
/// As [`show`].
pub async fn make(
    _: Anyone,
    State(app): State<Arc<App>>,
    urls: Urls,
    At(token): At<String>,
    ApiQuery(query): ApiQuery<MakeQuery>,
) -> Result<Response> {
    let before = opened(&app, &token).await?;
    let whose = (&before.tenant.id, &before.connection.id);
    let fresh = issue(&app, whose, query.kind.as_deref() == Some("client"), &before.actor()).await?;
    let after = opened(&app, &token).await?;
    let guide = guide_of(&after.connection, query.guide.as_deref());
    Ok(page(&app, &urls, &after, (&token, guide), Some(fresh)))
}

/// POST /workspace/setup/{token}/done
///
/// # Errors
/// As [`show`].
pub async fn done(_: Anyone, State(app): State<Arc<App>>, At(token): At<String>) -> Result<Response> {
    let setup = opened(&app, &token).await?;
    setup::finish(&app, &setup).await?;
    let body = html! {
        h1 { "Thank you" }
        p.lead { "“" (setup.connection.name) "” is set up for " (setup.tenant.name) ". This link is good no more." }
        p { @if setup.connection.last_seen.is_some() { "Requests come in. There is nothing left for you to do here." }
            @else { "No request has come yet: it will when the identity provider is told to send." } }
    };
    Ok(bare("Thank you", None, body))
}

fn at(token: &str, rest: &str) -> String {
    let slash = if rest.is_empty() { "" } else { "/" };
    format!("/workspace/setup/{token}{slash}{rest}")
}

fn page(app: &App, urls: &Urls, setup: &Setup, (link, guide): (&str, &Guide), fresh: Option<(String, Fresh)>) -> Response {
    let Setup { tenant, connection, link: of } = setup;
    let now = app.clock.now();
    let (credential, fresh) = fresh.map_or((None, None), |(id, fresh)| (Some(id), Some(fresh)));
    let shown_now = fresh.is_some();
    let values = values(urls, &connection.id, fresh);
    let title = format!("Connect your identity provider to {}", tenant.name);
    let body = html! {
        h1 { (title) }
        p.lead {
            "This page is for the set-up of “" (connection.name) "” alone. It ends " (When { at: of.expires, now }) ", or when you say that you are done."
        }
        (guides::chooser(guide, |guide| format!("{}?for={}", at(link, ""), guide.word)))
        @if !shown_now {
            section.card {
                h2 { "First: your token" }
                @match setup.made() {
                    Some(made) => p { "One was made " (When { at: made, now }) ". It can’t be shown again; if it was lost, make another." },
                    None => p { "It is shown once, so have the settings of your identity provider open before you make it." },
                }
                (makers(link, guide, setup.made().is_some()))
            }
        }
        (guides::shown(guide, &values))
        section.card {
            h2 { "4. The first request" }
            (waiting(connection, credential, &at(link, "first"), now))
            p { a href=(format!("{}?for={}", at(link, ""), guide.word)) { "Look again" } }
        }
        section.card {
            h2 { "5. Done" }
            p { "When the first request has come, end this link: nobody can use it any more, and what you pasted goes on working." }
            form method="post" action=(at(link, "done")) { button.main { "I am done" } }
        }
    };
    bare(&title, None, body)
}

fn makers(link: &str, guide: &Guide, again: bool) -> Markup {
    let form = |kind: &str, words: &str, main: bool| {
        let address = format!("{}?for={}&kind={kind}", at(link, "credential"), guide.word);
        html! { form.inline method="post" action=(address) { button.main[main] { (words) } } " " }
    };
    html! {
        (form("token", if again { "Make another token" } else { "Make the token" }, true))
        @if guide.client.is_some() { (form("client", "Use an OAuth client instead", false)) }
    }
}
