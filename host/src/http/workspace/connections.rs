//! Connections: which there are and how each is, a guided way to make one, and a page for each with tabs.
//!
//! `setting_up` makes them and shows what is pasted where; `overview` says how one is; `credentials`, `log`, `first_sync` with
//! `moving`, `drift` and `removal` are its other tabs.

mod credentials;
mod drift;
mod first_sync;
mod log;
mod moving;
mod overview;
mod removal;
mod setting_up;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::page::{Page, Section, When, badge, columns, empty, heading};
use super::seat::{Rights, Seat};
use super::words;
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::routes::{Route, get};
use crate::model::{AdminAction, ConnectionId, ConnectionState, Health};
use crate::store::Connection;

pub(super) use setting_up::{FirstQuery, ForQuery, first_request, guide_of, issue, values, waiting};

/// The pages of connections, and what their forms send.
pub(super) fn all() -> Vec<Route> {
    let mut routes = vec![get("/workspace/t/{tenant}/connections", "connections_page", "The connections, and how each is", list)];
    routes.extend(setting_up::all());
    routes.extend(overview::all());
    routes.extend(credentials::all());
    routes.extend(log::all());
    routes.extend(first_sync::all());
    routes.extend(moving::all());
    routes.extend(drift::all());
    routes.extend(removal::all());
    routes
}

/// What becomes of a press on a button that one may not press, for people.
const MAY_MANAGE: &str = "Whoever may manage connections changes this.";
/// The same for credentials.
const MAY_ISSUE: &str = "Whoever may manage credentials makes tokens.";
/// The same for what has no action of its own.
const MAY_ALL: &str = "Whoever may manage the tenant changes this.";

/// GET …/connections
///
/// # Errors
/// The store's.
pub async fn list(seat: Seat, State(app): State<Arc<App>>) -> Result<Response> {
    let now = app.clock.now();
    let connections = app.store.connections(&seat.tenant.id).await?;
    let cases = app.store.health_cases(&seat.tenant.id, None, now).await?;
    let healths: BTreeMap<ConnectionId, Option<Health>> = cases.into_iter().map(|case| (case.connection, case.health)).collect();
    let may = seat.rights(&app).await?.may(AdminAction::ManageConnections);
    let make = html! { @if may { a.button.main href=(seat.at("connections/new")) { "Make a connection" } } };
    let body = html! {
        (heading("Connections", &make))
        @if connections.is_empty() {
            (empty("No identity provider yet", &html! {
                "People and groups come in over a connection, one for each identity provider. "
                @if may {
                    a href=(seat.at("connections/new")) { "Make the first one" }
                    ": the page shows the values to paste and waits for the first request."
                }
                @else { (MAY_MANAGE) }
            }))
        } @else {
            table.stack {
                (columns(&["Connection", "Health", "Why", "Last seen", "Rhythm"]))
                tbody {
                    @for connection in &connections {
                        @let health = healths.get(&connection.id).and_then(Option::as_ref);
                        tr {
                            th scope="row" { a href=(seat.at(&format!("connections/{}", connection.id))) { (connection.name) } " " (takes_part(connection)) }
                            td {
                                @match health {
                                    Some(health) => { (badge(health.state.word())) " " span.quiet { "since " (When { at: health.since, now }) } }
                                    None => span.quiet { "not judged yet" },
                                }
                            }
                            td { @if let Some(first) = health.and_then(|health| health.evidence.first()) { (first.detail) } }
                            td { @match connection.last_seen { Some(at) => (When { at, now }), None => span.quiet { "never" } } }
                            td { (health.and_then(|health| health.rhythm.as_deref()).unwrap_or("being learned")) }
                        }
                    }
                }
            }
        }
    };
    Ok(Page { seat: &seat, section: Section::Connections, title: "Connections", trail: &[], body }.into_response())
}

/// Whether a connection takes part, where that is not as usual.
fn takes_part(connection: &Connection) -> Markup {
    html! {
        @if connection.state != ConnectionState::Active { (badge(connection.state.word())) }
        @if !connection.guarded { " " (badge("unguarded")) }
    }
}

/// A connection of the tenant.
async fn one(app: &App, seat: &Seat, id: &ConnectionId) -> Result<Connection> {
    let all = app.store.connections(&seat.tenant.id).await?;
    all.into_iter().find(|connection| connection.id == *id).ok_or_else(|| Error::not_found("such connection in this tenant"))
}

/// The tabs of a connection's page: the part of the address, the words.
const TABS: &[(&str, &str)] = &[
    ("", "Health"),
    ("set-up", "Set up"),
    ("credentials", "Credentials"),
    ("log", "Log"),
    ("dialects", "Dialects"),
    ("first-sync", "First sync"),
    ("drift", "Drift"),
    ("delete", "Delete"),
];

/// A tab of a connection's page.
struct Tab<'a> {
    seat: &'a Seat,
    connection: &'a Connection,
    /// The part of the address.
    tab: &'static str,
    /// What one can do beside the heading.
    beside: Markup,
    body: Markup,
}

/// Where a connection's tab is below the tenant, or what is done there.
fn place(id: &ConnectionId, rest: &str) -> String {
    let slash = if rest.is_empty() { "" } else { "/" };
    format!("connections/{id}{slash}{rest}")
}

/// The address of it.
fn at(seat: &Seat, id: &ConnectionId, rest: &str) -> String {
    seat.at(&place(id, rest))
}

impl IntoResponse for Tab<'_> {
    fn into_response(self) -> Response {
        let Self { seat, connection, tab, beside, body } = self;
        let trail = [("Connections", seat.at("connections"))];
        let tabs: Vec<(String, &str)> = TABS.iter().map(|(part, words)| (place(&connection.id, part), *words)).collect();
        let body = html! {
            (heading(&connection.name, &html! { (takes_part(connection)) (beside) }))
            (words::tabs(seat, "Connection", &place(&connection.id, tab), &tabs))
            (body)
        };
        Page { seat, section: Section::Connections, title: &connection.name, trail: &trail, body }.into_response()
    }
}

/// What stands where a form would be, for somebody who may not send it.
fn unless(rights: &Rights, action: AdminAction, may: &str, form: Markup) -> Markup {
    html! { @if rights.may(action) { (form) } @else { p.quiet { (may) } } }
}
