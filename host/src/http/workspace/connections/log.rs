//! What a connection did: its provisioning log, the newest first and followed as it grows, and the quirks of its client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use rolecall_scim::{Quirk, ResourceKind};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::page::{When, badge, empty, hash};
use super::super::seat::Seat;
use super::{Tab, at, columns, one};
use crate::app::App;
use crate::http::api::journal::up_to_date;
use crate::http::error::Result;
use crate::http::query::{ApiQuery, At};
use crate::http::routes::{Route, get};
use crate::model::{ConnectionId, Instant, ResourceId};
use crate::store::{LogEntry, Person};

/// Entries of a page, and of one step of following.
const SHOWN: i64 = 100;
/// For how long a page follows the log by itself, in seconds: half an hour.
const FOLLOW_SECONDS: i64 = 1_800;

pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/connections/{connection}/log", "log_page", "What a connection did, the newest first", show),
        get("/workspace/t/{tenant}/connections/{connection}/log/tail", "log_tail", "What has come since, as a part of that page", tail),
        get("/workspace/t/{tenant}/connections/{connection}/dialects", "dialects_page", "The quirks of a connection's client", dialects),
    ]
}

/// From where on the log is followed.
#[derive(Deserialize, JsonSchema)]
pub struct TailQuery {
    /// Only entries behind this position.
    after: i64,
    /// Until when.
    until: i64,
}

/// Entries with their positions, the newest first, and the people whom they are about.
struct Entries {
    entries: Vec<(i64, LogEntry)>,
    people: BTreeMap<ResourceId, (String, String)>,
}

/// The newest entries, or those behind a position.
async fn read(app: &App, seat: &Seat, id: &ConnectionId, after: Option<i64>) -> Result<Entries> {
    let tenant = &seat.tenant.id;
    up_to_date(app, tenant, id).await?;
    let mut entries = app.store.log(tenant, id, after, SHOWN).await?;
    entries.reverse();
    let users = entries.iter().filter(|(_, entry)| entry.kind == Some(ResourceKind::User)).filter_map(|(_, entry)| entry.resource.clone());
    let users: Vec<ResourceId> = users.collect::<BTreeSet<_>>().into_iter().collect();
    let found = if users.is_empty() { Vec::new() } else { app.store.people(tenant, id, &users).await? };
    Ok(Entries { entries, people: found.into_iter().map(named).collect() })
}

/// The account, and the name by which its identity provider knows the person.
fn named(person: Person) -> (ResourceId, (String, String)) {
    let name = person.account.user_name.clone().unwrap_or_else(|| person.resource.id.to_string());
    (person.resource.id, (person.account.id.to_string(), name))
}

/// GET …/connections/{connection}/log
///
/// # Errors
/// 404.
pub async fn show(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    let (found, now) = (read(&app, &seat, &id, None).await?, app.clock.now());
    let newest = found.entries.first().map_or(0, |(position, _)| *position);
    let body = html! {
        p { "Every request that writes, as it was answered, without values. The newest stand first, and new ones come by themselves. A request’s id is the same in events and in the server’s log." }
        @if found.entries.is_empty() {
            (empty("Nothing yet", &html! {
                "What the identity provider writes stands here, one line a request. "
                a href=(at(&seat, &id, "set-up")) { "Set it up" } " and let it send somebody."
            }))
        }
        table.stack {
            (columns(&["When", "Answer", "Request", "Whom", "What became of it"]))
            (follower(&seat, &id, newest, now.plus_seconds(FOLLOW_SECONDS)))
            tbody { (rows(&seat, &found, now)) }
        }
        @if found.entries.len() >= SHOWN as usize {
            p.quiet { "The " (SHOWN) " newest. All that are kept: " code { "rolecall connection log" } "." }
        }
    };
    Ok(Tab { seat: &seat, connection: &connection, tab: "log", beside: html! {}, body }.into_response())
}

/// GET …/connections/{connection}/log/tail: nothing while there is nothing new.
///
/// # Errors
/// 404.
pub async fn tail(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<TailQuery>,
) -> Result<Response> {
    let now = app.clock.now();
    if query.until <= now.0 {
        let ended = html! { tbody { tr { td colspan="5" { "This page follows no longer: " a href=(at(&seat, &id, "log")) { "look again" } "." } } } };
        return Ok(Html(ended.into_string()).into_response());
    }
    let found = read(&app, &seat, &id, Some(query.after)).await?;
    let Some((newest, _)) = found.entries.first() else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let part = html! { (follower(&seat, &id, *newest, Instant(query.until))) tbody { (rows(&seat, &found, now)) } };
    Ok(Html(part.into_string()).into_response())
}

/// The place where new lines appear.
fn follower(seat: &Seat, id: &ConnectionId, newest: i64, until: Instant) -> Markup {
    let address = format!("{}?after={newest}&until={}", at(seat, id, "log/tail"), until.0);
    html! { tbody #tail hx-get=(address) hx-trigger="every 3s" hx-swap="outerHTML" {} }
}

fn rows(seat: &Seat, found: &Entries, now: Instant) -> Markup {
    html! {
        @for (_, entry) in &found.entries {
            tr {
                td { (When { at: entry.at, now }) }
                td { (answered(entry)) }
                td {
                    code { (entry.method) @if let Some(kind) = entry.kind { " " (kind.endpoint()) } } " "
                    span.quiet { (hash(&entry.request_id)) }
                }
                td { (whom(seat, found, entry)) }
                td { (became(entry)) }
            }
        }
    }
}

fn answered(entry: &LogEntry) -> Markup {
    let tone = match entry.status {
        0..400 => "good",
        400..500 => "warn",
        _ => "bad",
    };
    html! { span class={ "badge " (tone) } { (entry.status) } }
}

fn whom(seat: &Seat, found: &Entries, entry: &LogEntry) -> Markup {
    html! {
        @if let Some(resource) = &entry.resource {
            @match found.people.get(resource) {
                Some((account, name)) => a href=(seat.at(&format!("people/{account}"))) { (name) },
                None => code { (resource) },
            }
        }
    }
}

/// What became of its operations, and why it was refused.
fn became(entry: &LogEntry) -> Markup {
    let counts = [(entry.applied, "applied"), (entry.no_op, "changed nothing"), (entry.refused, "refused")];
    let told: Vec<String> = counts.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
    html! {
        (told.join(", "))
        @if let Some(reason) = &entry.reason { @if !told.is_empty() { ": " } (reason) }
        @if let Some(keyword) = &entry.scim_type { " " span.badge { (keyword) } }
    }
}

/// GET …/connections/{connection}/dialects
///
/// # Errors
/// 404.
pub async fn dialects(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    up_to_date(&app, &seat.tenant.id, &id).await?;
    let (counted, now) = (app.store.dialects(&seat.tenant.id, &id).await?, app.clock.now());
    let body = html! {
        @if counted.is_empty() {
            (empty("By the book so far", &html! {
                "Where an identity provider’s requests differ from the standard, what it meant is carried out, and the difference is counted here."
            }))
        } @else {
            p { "Where its requests differ from the standard. What it meant is carried out; nothing has to be done." }
            table.stack {
                (columns(&["Quirk", "Requests", "Carried out", "Last seen", "What it looks like", "Known of"]))
                tbody {
                    @for dialect in &counted {
                        @let quirk = Quirk::from_word(&dialect.quirk);
                        tr {
                            th scope="row" { (dialect.quirk.replace('_', " ")) }
                            td.whole { (dialect.seen) " requests" }
                            td.whole { @if dialect.handled < dialect.seen { (badge("refused")) " " } (dialect.handled) " carried out" }
                            td { (When { at: dialect.last_seen, now }) }
                            td { code { (dialect.example) } }
                            td { @if let Some(quirk) = quirk { (quirk.clients().join(", ")) " " span.quiet { (quirk.source()) } } }
                        }
                    }
                }
            }
        }
    };
    Ok(Tab { seat: &seat, connection: &connection, tab: "dialects", beside: html! {}, body }.into_response())
}
