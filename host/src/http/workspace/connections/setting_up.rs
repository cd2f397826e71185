//! A connection is made, and set up at the identity provider: the values to paste, a token that is shown once, the wait for the first
//! request, and the link with which somebody else does it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::form::{Sent, answer};
use super::super::guides::{self, Fresh, GUIDES, Guide, Values, copied, guide};
use super::super::page::{Page, Section, When, heading, token};
use super::super::seat::Seat;
use super::{MAY_ISSUE, MAY_MANAGE, Tab, at, one, unless};
use crate::app::App;
use crate::http::error::Result;
use crate::http::query::{ApiQuery, At};
use crate::http::routes::{Route, get, post};
use crate::http::urls::Urls;
use crate::model::{AdminAction, ConnectionId, ConnectionState, Instant};
use crate::store::{Connection, CredentialKind, TokenInfo};
use crate::tenancy::{self, visitors};

/// How long the credential before stays good when another is made, in seconds: a day, to change it at the identity provider.
pub(in crate::http::workspace) const OVERLAP_SECONDS: i64 = 86_400;
/// For how long a page waits for the first request by itself, in seconds: half an hour.
const WAIT_SECONDS: i64 = 1_800;
/// For how many days the link to a set-up is good at most.
const LINK_DAYS_LIMIT: i64 = visitors::LINK_SECONDS_LIMIT / 86_400;

/// Whose guide is shown.
#[derive(Deserialize, JsonSchema)]
pub struct ForQuery {
    /// The word of a guide.
    #[serde(rename = "for")]
    pub guide: Option<String>,
}

/// What is waited for.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub struct FirstQuery {
    /// The credential whose first use is waited for; any request unless given.
    pub credential: Option<String>,
    /// Until when.
    pub until: Option<i64>,
    /// How many wrong credentials were known.
    pub wrong: Option<i64>,
}

pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/connections/new", "new_connection_page", "A guided way to make a connection", new),
        post("/workspace/t/{tenant}/connections/new", "make_connection", "Makes a connection and shows its first token, once", create),
        get("/workspace/t/{tenant}/connections/{connection}/set-up", "set_up_page", "What is pasted where, for one connection", show),
        get("/workspace/t/{tenant}/connections/{connection}/first", "first_request", "Whether the first request has come", first),
        post(
            "/workspace/t/{tenant}/connections/{connection}/set-up",
            "make_credential",
            "Makes another token or client secret of a connection and shows it, once",
            make,
        ),
        post(
            "/workspace/t/{tenant}/connections/{connection}/link",
            "make_setup_link",
            "Makes a link with which somebody without an account sets the connection up",
            link,
        ),
        post(
            "/workspace/t/{tenant}/connections/{connection}/link/end",
            "end_setup_links",
            "Ends the links to a connection's set-up",
            unlink,
        ),
    ]
}

/// GET …/connections/new
///
/// # Errors
/// The store's.
pub async fn new(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<ForQuery>) -> Result<Response> {
    let rights = seat.rights(&app).await?;
    let chosen = query.guide.as_deref().map(|word| guide(Some(word)));
    let body = html! {
        (heading("Make a connection", &html! {}))
        p.lead { "A connection is what one identity provider writes to. Which one is it?" }
        (guides::chooser(chosen.unwrap_or(&GUIDES[0]), |guide| format!("{}?for={}", seat.at("connections/new"), guide.word)))
        @let guide = chosen.unwrap_or(&GUIDES[0]);
        (unless(&rights, AdminAction::ManageConnections, MAY_MANAGE, html! {
            form.card method="post" {
                (token(&seat.guest))
                input type="hidden" name="for" value=(guide.word);
                label { "Name" input type="text" name="name" value=(guide.name) required maxlength="200"; }
                label.check {
                    input type="checkbox" name="staging" value="yes" checked;
                    span { "Begin in staging " span.quiet { "people and groups arrive, nothing has effect, and you see the difference before anybody is let in" } }
                }
                label.check {
                    input type="checkbox" name="guarded" value="yes" checked;
                    span { "Guard it " span.quiet { "more gains and losses at once than the limits allow are held for somebody to look at" } }
                }
                button.main { "Make it and show the values" }
            }
        }))
    };
    let trail = [("Connections", seat.at("connections"))];
    Ok(Page { seat: &seat, section: Section::Connections, title: "Make a connection", trail: &trail, body }.into_response())
}

/// POST …/connections/new
///
/// # Errors
/// Those that no other input would avoid.
pub async fn create(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    let guide = guide(sent.get("for"));
    let state = if sent.get("staging").is_some() { ConnectionState::Staging } else { ConnectionState::Active };
    let begins = (state, sent.get("guarded").is_some());
    let done = async {
        seat.ask(&app, AdminAction::ManageConnections).await?;
        let name = sent.needed("name", "Name")?;
        Ok(tenancy::create_connection(&app, &seat.tenant.id, name, begins, &seat.principal().actor()).await?)
    };
    match done.await {
        Ok((connection, issued)) => {
            let fresh = (issued.id, Fresh::Token(issued.token.to_string()));
            page(&seat, &app, &connection, guide, Some(fresh)).await
        }
        Err(error) => answer(&format!("{}?for={}", seat.at("connections/new"), guide.word), Err::<String, _>(error)),
    }
}

/// GET …/connections/{connection}/set-up
///
/// # Errors
/// 404.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<ForQuery>,
) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    page(&seat, &app, &connection, guide_of(&connection, query.guide.as_deref()), None).await
}

/// The guide that is asked for, or that the connection's name speaks for: the form that makes one proposes the provider's.
pub(in crate::http::workspace) fn guide_of(connection: &Connection, word: Option<&str>) -> &'static Guide {
    let name = connection.name.to_lowercase();
    match word {
        Some(word) => guide(Some(word)),
        None => GUIDES.iter().find(|guide| name.contains(guide.word)).unwrap_or(guide(None)),
    }
}

/// POST …/connections/{connection}/set-up
///
/// # Errors
/// Those that no other input would avoid.
pub async fn make(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, sent: Sent) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    let guide = guide_of(&connection, sent.get("for"));
    let done = async {
        seat.ask(&app, AdminAction::ManageCredentials).await?;
        issue(&app, (&seat.tenant.id, &id), sent.get("kind") == Some("client"), &seat.principal().actor()).await
    };
    match done.await {
        Ok(fresh) => page(&seat, &app, &one(&app, &seat, &id).await?, guide, Some(fresh)).await,
        Err(error) => answer(&format!("{}?for={}", at(&seat, &id, "set-up"), guide.word), Err::<String, _>(error)),
    }
}

/// Makes a token or a client secret; gives its id with it. The one before stays good for [`OVERLAP_SECONDS`].
pub(in crate::http::workspace) async fn issue(
    app: &Arc<App>,
    whose: (&crate::model::TenantId, &ConnectionId),
    of_client: bool,
    actor: &crate::model::Actor,
) -> Result<(String, Fresh)> {
    let kind = if of_client { CredentialKind::ClientSecret } else { CredentialKind::Bearer };
    let issued = tenancy::rotate_token(app, whose, kind, OVERLAP_SECONDS, None, actor).await?;
    let secret = issued.token.to_string();
    Ok((issued.id, if of_client { Fresh::ClientSecret(secret) } else { Fresh::Token(secret) }))
}

/// What goes into the fields of a connection.
pub(in crate::http::workspace) fn values(urls: &Urls, id: &ConnectionId, fresh: Option<Fresh>) -> Values {
    Values { base_url: urls.scim(id), token_url: urls.token(id), client_id: id.0.clone(), fresh }
}

async fn page(seat: &Seat, app: &Arc<App>, connection: &Connection, guide: &Guide, fresh: Option<(String, Fresh)>) -> Result<Response> {
    let (now, rights) = (app.clock.now(), seat.rights(app).await?);
    let (credential, fresh) = fresh.map_or((None, None), |(id, fresh)| (Some(id), Some(fresh)));
    let values = values(&seat.guest.urls, &connection.id, fresh);
    let set_up = at(seat, &connection.id, "set-up");
    let again = html! {
        (unless(&rights, AdminAction::ManageCredentials, MAY_ISSUE, html! {
            (maker(seat, &set_up, guide, "token", "Make another token"))
            @if guide.client.is_some() { (maker(seat, &set_up, guide, "client", "Use an OAuth client instead")) }
            p.quiet { "The one before stays good for a day." }
        }))
    };
    let body = html! {
        @if connection.state == ConnectionState::Staging {
            p.note { "In staging: people and groups arrive and nothing has effect before it goes live. "
                a href=(at(seat, &connection.id, "first-sync")) { "See what it would change" } "." }
        }
        (guides::chooser(guide, |guide| format!("{set_up}?for={}", guide.word)))
        (guides::shown(guide, &values))
        section.card {
            h2 { "4. The first request" }
            (waiting(connection, credential, &at(seat, &connection.id, "first"), now))
            p { a href=(set_up) { "Look again" } " · " a href=(at(seat, &connection.id, "log")) { "What came" } }
        }
        section.card { h2 { "Another credential" } (again) }
        section.card {
            h2 { "Let somebody else do it" }
            p {
                "A link shows this set-up, and nothing else, to whoever has the identity provider’s console; no account is needed. "
                "They make the token themselves, so that it is never sent around."
            }
            (unless(&rights, AdminAction::ManageCredentials, MAY_ISSUE, linker(seat, connection, guide)))
        }
    };
    Ok(Tab { seat, connection, tab: "set-up", beside: html! {}, body }.into_response())
}

fn maker(seat: &Seat, to: &str, guide: &Guide, kind: &str, words: &str) -> Markup {
    html! {
        form.inline method="post" action=(to) {
            (token(&seat.guest))
            input type="hidden" name="for" value=(guide.word);
            input type="hidden" name="kind" value=(kind);
            button { (words) }
        }
        " "
    }
}

fn linker(seat: &Seat, connection: &Connection, guide: &Guide) -> Markup {
    html! {
        form method="post" action=(at(seat, &connection.id, "link")) {
            (token(&seat.guest))
            input type="hidden" name="for" value=(guide.word);
            label { "Who it is for" input type="text" name="name" required maxlength="200" placeholder="sam@customer.example"; }
            label { "Good for how many days" input type="number" name="days" min="1" max=(LINK_DAYS_LIMIT) value="7" required; }
            button { "Make the link" }
        }
        form method="post" action=(at(seat, &connection.id, "link/end")) { (token(&seat.guest)) button.plain { "End every link to this set-up" } }
    }
}

/// POST …/connections/{connection}/link
///
/// # Errors
/// Those that no other input would avoid.
pub async fn link(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, sent: Sent) -> Result<Response> {
    let guide = guide(sent.get("for"));
    let connection = one(&app, &seat, &id).await?;
    let done = async {
        seat.ask(&app, AdminAction::ManageCredentials).await?;
        let name = sent.needed("name", "Who it is for")?;
        let days: i64 = sent.get("days").and_then(|days| days.parse().ok()).unwrap_or(0);
        let seconds = Some(days.saturating_mul(86_400));
        Ok(visitors::setup_link(&app, &seat.tenant.id, &id, name, seconds, &seat.principal().actor()).await?)
    };
    let made = match done.await {
        Ok(made) => made,
        Err(error) => return answer(&format!("{}?for={}", at(&seat, &id, "set-up"), guide.word), Err::<String, _>(error)),
    };
    let url = format!("{}/workspace/setup/{}?for={}", seat.guest.urls.root(), *made.token, guide.word);
    let body = html! {
        section.card {
            h2 { "The link" }
            (copied("link", &url, true))
            p { "Whoever has it sees the set-up of this connection and can make its token, until " (When { at: made.expires, now: app.clock.now() })
                " or until they say that they are done. Links that were made before have ended." }
            p { a href=(at(&seat, &id, "set-up")) { "Back to the set-up" } }
        }
    };
    Ok(Tab { seat: &seat, connection: &connection, tab: "set-up", beside: html! {}, body }.into_response())
}

/// POST …/connections/{connection}/link/end
///
/// # Errors
/// Those that no other input would avoid.
pub async fn unlink(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, _: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageCredentials).await?;
        one(&app, &seat, &id).await?;
        let ended = app.store.end_links(&seat.tenant.id, &id, &seat.principal().actor(), app.clock.now()).await?;
        Ok(if ended == 0 { "There was no link to this set-up." } else { "Links to this set-up have ended." })
    };
    answer(&at(&seat, &id, "set-up"), done.await)
}

/// GET …/connections/{connection}/first
///
/// # Errors
/// 404.
pub async fn first(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<FirstQuery>,
) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    Ok(first_request(&connection, &query, &at(&seat, &id, "first"), app.clock.now()))
}

/// What is said to a page that waits: nothing while there is nothing new, so that nobody is read the same sentence again and again.
pub(in crate::http::workspace) fn first_request(connection: &Connection, query: &FirstQuery, address: &str, now: Instant) -> Response {
    let is_new = came(connection, query.credential.as_deref()).is_some()
        || query.wrong.is_none_or(|known| known < connection.wrong_credentials)
        || query.until.is_none_or(|until| until <= now.0);
    if !is_new {
        return StatusCode::NO_CONTENT.into_response();
    }
    Html(so_far(connection, query.credential.as_deref(), query.until, address, now).into_string()).into_response()
}

/// The part of a page that waits for the first request.
pub(in crate::http::workspace) fn waiting(connection: &Connection, credential: Option<String>, address: &str, now: Instant) -> Markup {
    let until = now.plus_seconds(WAIT_SECONDS).0;
    html! { div aria-live="polite" { (so_far(connection, credential.as_deref(), Some(until), address, now)) } }
}

/// When the first request came: with the credential, or with any.
fn came(connection: &Connection, credential: Option<&str>) -> Option<Instant> {
    let Some(wanted) = credential else { return connection.last_seen };
    let all = connection.tokens.iter().chain(&connection.client_secrets);
    all.filter(|known: &&TokenInfo| known.id == wanted).find_map(|known| known.last_used)
}

fn so_far(connection: &Connection, credential: Option<&str>, until: Option<i64>, address: &str, now: Instant) -> Markup {
    if let Some(at) = came(connection, credential) {
        return html! {
            p #first.said { strong { "It came" } ", " (When { at, now }) "."
                @if credential.is_some() { " The new credential works." } }
        };
    }
    let wrong = connection.wrong_credentials;
    let told = html! {
        @if wrong > 0 {
            " " strong { (wrong) @if wrong == 1 { " request" } @else { " requests" } " came with a wrong credential" }
            ": check that the whole value was pasted."
        }
    };
    let Some(until) = until.filter(|until| *until > now.0) else {
        return html! {
            p #first.note { "Nothing has come yet, and this page has stopped looking." (told) " Look again when the identity provider was told to send." }
        };
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("until", &until.to_string()).append_pair("wrong", &wrong.to_string());
    if let Some(credential) = credential {
        query.append_pair("credential", credential);
    }
    let address = format!("{address}?{}", query.finish());
    html! {
        p #first.note hx-get=(address) hx-trigger="every 3s" hx-swap="outerHTML" {
            "Waiting for the first request" @if credential.is_some() { " with the new credential" } "…" (told)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant(1_000_000_000_000);

    fn connection(last_used: Option<Instant>, wrong_credentials: i64) -> Connection {
        let token = TokenInfo { id: "t1".into(), created: NOW, expires: None, last_used };
        Connection {
            id: ConnectionId("c1".into()),
            name: "Entra ID".into(),
            state: ConnectionState::Staging,
            guarded: true,
            created: NOW,
            last_seen: last_used,
            wrong_credentials,
            tokens: vec![token],
            client_secrets: Vec::new(),
            issuer: None,
            restored: None,
        }
    }

    #[test]
    fn a_page_waits_until_the_first_request_came_or_it_is_too_late() {
        let later = NOW.plus_seconds(10);
        let text = |connection: &Connection, until: Instant| so_far(connection, Some("t1"), Some(until.0), "/first", NOW).into_string();
        let waits = text(&connection(None, 0), later);
        assert!(waits.contains("hx-trigger") && waits.contains("Waiting") && !waits.contains("wrong credential"), "{waits}");
        assert!(text(&connection(None, 2), later).contains("2 requests came with a wrong credential"));
        for (connection, until, words) in [(connection(Some(NOW), 0), later, "It came"), (connection(None, 0), NOW, "stopped looking")] {
            let ended = text(&connection, until);
            assert!(ended.contains(words) && !ended.contains("hx-trigger"), "{ended}");
        }
        // A credential that was used before another was made says nothing of that one.
        assert_eq!(came(&connection(Some(NOW), 0), Some("t2")), None);
    }

    #[test]
    fn nothing_is_said_while_there_is_nothing_new() {
        let query = |wrong| FirstQuery { credential: Some("t1".into()), until: Some(NOW.plus_seconds(10).0), wrong: Some(wrong) };
        let status = |connection: &Connection, wrong| first_request(connection, &query(wrong), "/first", NOW).status();
        assert_eq!(status(&connection(None, 1), 1), StatusCode::NO_CONTENT);
        assert_eq!(status(&connection(None, 2), 1), StatusCode::OK);
        assert_eq!(status(&connection(Some(NOW), 1), 1), StatusCode::OK);
    }
}
