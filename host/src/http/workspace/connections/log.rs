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

use super::super::page::{When, badge, columns, empty, hash, more};
use super::super::path::with;
use super::super::seat::Seat;
use super::{Tab, at, one};
use crate::app::App;
use crate::http::api::journal::up_to_date;
use crate::http::error::Result;
use crate::http::query::{ApiQuery, At};
use crate::http::routes::{Route, get};
use crate::journal::curl::curl;
use crate::model::{ConnectionId, Explained, Instant, OutcomeClass, OutcomeCode, ResourceId};
use crate::store::{FoundEntry, LogEntry, LogFound, LogSearch, LogSide, Person};
use crate::tenancy::log::{self, Wanted};

/// Entries of a page, and of one step of following.
const SHOWN: i64 = 100;
/// For how long a page follows the log by itself, in seconds: half an hour.
const FOLLOW_SECONDS: i64 = 1_800;

pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/connections/{connection}/log", "log_page", "What a connection did, the newest first", show),
        get("/workspace/t/{tenant}/connections/{connection}/log/tail", "log_tail", "What has come since, as a part of that page", tail),
        get("/workspace/t/{tenant}/connections/{connection}/refused", "refused_page", "Which checks refused credentials failed", refused),
        get("/workspace/t/{tenant}/connections/{connection}/dialects", "dialects_page", "The quirks of a connection's client", dialects),
    ]
}

/// What is looked for, and where.
#[derive(Clone, Default, Deserialize, JsonSchema)]
pub struct LogQuery {
    /// A person: login name, account or SCIM id.
    #[serde(default)]
    person: String,
    /// A group: handle or SCIM id.
    #[serde(default)]
    group: String,
    /// The id of a request.
    #[serde(default)]
    request: String,
    /// One outcome, or a class of them.
    #[serde(default)]
    outcome: String,
    /// Only entries before this position.
    before: Option<i64>,
    /// Only entries behind this position: what has come since.
    after: Option<i64>,
    /// Until when a page follows the log.
    until: Option<i64>,
}

impl LogQuery {
    fn wanted(&self, id: &ConnectionId) -> Wanted {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty() && !text.contains('\0'));
        let side = match (self.after, self.before) {
            (Some(after), _) => LogSide::After(after),
            (None, Some(before)) => LogSide::Before(before),
            (None, None) => LogSide::Newest,
        };
        let search = LogSearch {
            connection: Some(id.clone()),
            request: given(&self.request),
            code: OutcomeCode::from_word(&self.outcome),
            class: OutcomeClass::from_word(&self.outcome),
            side,
            limit: SHOWN,
            ..LogSearch::default()
        };
        Wanted { person: given(&self.person), group: given(&self.group), search, wait_seconds: 0 }
    }

    /// The address of the same search at another place: what can be sent to somebody else.
    fn at(&self, path: &str, place: &[(&str, &str)]) -> String {
        let own = [("person", &*self.person), ("group", &self.group), ("request", &self.request), ("outcome", &self.outcome)];
        with(path, &[&own[..], place].concat())
    }
}

/// Entries, the newest first, and the names of the people whom they are about.
struct Entries {
    found: LogFound,
    names: BTreeMap<ResourceId, String>,
}

async fn read(app: &App, seat: &Seat, id: &ConnectionId, query: &LogQuery) -> Result<Entries> {
    let tenant = &seat.tenant.id;
    let mut found = log::search(app, tenant, query.wanted(id)).await?;
    found.entries.reverse();
    let users = found.entries.iter().filter(|one| one.entry.kind == Some(ResourceKind::User)).filter_map(|one| one.entry.resource.clone());
    let users: Vec<ResourceId> = users.collect::<BTreeSet<_>>().into_iter().collect();
    let people = if users.is_empty() { Vec::new() } else { app.store.people(tenant, id, &users).await? };
    let named = |person: Person| Some((person.resource.id, person.account.user_name?));
    Ok(Entries { found, names: people.into_iter().filter_map(named).collect() })
}

/// GET …/connections/{connection}/log
///
/// # Errors
/// 404.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<LogQuery>,
) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    let (entries, now) = (read(&app, &seat, &id, &query).await?, app.clock.now());
    let newest = entries.found.looked.map_or(0, |(_, highest)| highest);
    let oldest = entries.found.looked.map(|(lowest, _)| lowest).filter(|_| entries.found.more);
    let older = oldest.map(|lowest| query.at(&at(&seat, &id, "log"), &[("before", &lowest.to_string())]));
    let body = html! {
        p { "Every request as it was answered, without values. The newest stand first, and new ones come by themselves. " a href=(at(&seat, &id, "refused")) { "Credentials that were refused" } "." }
        (search(&query))
        @if entries.found.entries.is_empty() {
            (empty("Nothing here", &html! {
                "What the identity provider sends stands here, one line a request. Look for something else, or "
                a href=(at(&seat, &id, "set-up")) { "set it up" } " and let it send somebody."
            }))
        }
        table.stack {
            (columns(&["When", "Answer", "Request", "Whom", "What became of it"]))
            @if query.before.is_none() { (follower(&seat, &id, &query, newest, now.plus_seconds(FOLLOW_SECONDS))) }
            tbody { (rows(&seat, &id, &entries, now)) }
        }
        (more(older))
    };
    Ok(Tab { seat: &seat, connection: &connection, tab: "log", beside: html! {}, body }.into_response())
}

fn search(query: &LogQuery) -> Markup {
    html! {
        form.search method="get" role="search" {
            label { "Person" input type="text" name="person" value=(query.person) placeholder="login name or id"; }
            label { "Group" input type="text" name="group" value=(query.group) placeholder="handle or id"; }
            label { "Request" input type="text" name="request" value=(query.request) placeholder="id, as in events"; }
            label {
                "Outcome"
                select name="outcome" {
                    option value="" { "all" }
                    optgroup label="kinds" {
                        @for class in OutcomeClass::ALL { option value=(class.word()) selected[class.word() == query.outcome] { (class.word()) } }
                    }
                    optgroup label="one" {
                        @for code in OutcomeCode::ALL {
                            option value=(code.word()) selected[code.word() == query.outcome] { (code.word().replace('_', " ")) }
                        }
                    }
                }
            }
            button { "Search" }
        }
    }
}

/// GET …/connections/{connection}/log/tail: nothing while there is nothing new.
///
/// # Errors
/// 404.
pub async fn tail(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<LogQuery>,
) -> Result<Response> {
    let (now, until) = (app.clock.now(), Instant(query.until.unwrap_or_default()));
    if until <= now {
        let ended = html! { tbody { tr { td colspan="5" { "This page follows no longer: " a href=(at(&seat, &id, "log")) { "look again" } "." } } } };
        return Ok(Html(ended.into_string()).into_response());
    }
    let entries = read(&app, &seat, &id, &query).await?;
    let Some(newest) = entries.found.entries.first() else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let part = html! { (follower(&seat, &id, &query, newest.position, until)) tbody { (rows(&seat, &id, &entries, now)) } };
    Ok(Html(part.into_string()).into_response())
}

/// The place where new lines appear.
fn follower(seat: &Seat, id: &ConnectionId, query: &LogQuery, newest: i64, until: Instant) -> Markup {
    let address = query.at(&at(seat, id, "log/tail"), &[("after", &newest.to_string()), ("until", &until.0.to_string())]);
    html! { tbody #tail hx-get=(address) hx-trigger="every 3s" hx-swap="outerHTML" {} }
}

fn rows(seat: &Seat, id: &ConnectionId, entries: &Entries, now: Instant) -> Markup {
    html! {
        @for one in &entries.found.entries {
            @let entry = &one.entry;
            tr {
                td { (When { at: entry.at, now }) }
                td { span class={ "badge " (tone(entry.code)) } { (entry.status) " " (entry.code.word().replace('_', " ")) } }
                td {
                    code { (entry.method) @if let Some(kind) = entry.kind { " " (kind.endpoint()) } } " "
                    span.quiet { (hash(&entry.request_id)) " " (format!("{:.1} ms", entry.detail.took_ms())) }
                }
                td { (whom(seat, entries, one)) }
                td {
                    (became(entry))
                    details { summary { "More" } (detail(seat, id, entry)) }
                }
            }
        }
    }
}

fn tone(code: OutcomeCode) -> &'static str {
    match code.class() {
        OutcomeClass::Done => "good",
        OutcomeClass::Failed => "bad",
        _ => "warn",
    }
}

fn whom(seat: &Seat, entries: &Entries, one: &FoundEntry) -> Markup {
    let resource = one.entry.resource.as_ref();
    let name = resource.and_then(|resource| entries.names.get(resource)).map(String::as_str);
    html! {
        @match (&one.account, resource) {
            (Some(account), _) => a href=(seat.at(&format!("people/{account}"))) { (name.unwrap_or(account.as_str())) },
            (None, Some(resource)) => code { (resource) },
            (None, None) => {},
        }
    }
}

/// What became of its operations, and why it was refused.
fn became(entry: &LogEntry) -> Markup {
    let counts = [(entry.applied, "applied"), (entry.no_op, "changed nothing"), (entry.refused, "refused")];
    let told: Vec<String> = counts.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
    let led = &entry.detail.led;
    html! {
        (told.join(", "))
        @if let Some(reason) = &entry.reason { @if !told.is_empty() { ": " } (reason) }
        @for role in &led.gained { " " span.badge.good { "+ " (role) } }
        @for role in &led.lost { " " span.badge.bad { "− " (role) } }
        @if led.held > 0 { " " span.badge.warn { (led.held) " held" } }
    }
}

/// What else is known: what the outcome means, each operation's fate, what it led to, and the request as one can send it again.
fn detail(seat: &Seat, id: &ConnectionId, entry: &LogEntry) -> Markup {
    let explained = Explained::of(entry.code);
    let (detail, led) = (&entry.detail, &entry.detail.led);
    let base = seat.guest.urls.scim(id);
    html! {
        p { (explained.meaning) " " @if explained.to_do != "Nothing." { strong { "What to do: " } (explained.to_do) } }
        @if !detail.fates.is_empty() {
            ol { @for fate in &detail.fates { li { (serde_json::to_string(fate).unwrap_or_default()) } } }
        }
        @if led.people + led.pending > 0 { p { (led.people) " people decided with it, " (led.pending) " behind it." } }
        @if !led.events.is_empty() {
            p { "Events: " @for (kind, count) in &led.events { code { (kind) } @if *count > 1 { " × " (count) } " " } }
        }
        @if !detail.quirks.is_empty() { p { "Quirks that were understood: " (detail.quirks.join(", ").replace('_', " ")) } }
        @if let Some(line) = curl(&base, entry) { pre tabindex="0" { code { (line) } } }
    }
}

/// GET …/connections/{connection}/refused
///
/// # Errors
/// 404.
pub async fn refused(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    let (refused, now) = (log::refused_credentials(&app, &seat.tenant.id, &id).await?, app.clock.now());
    let body = html! {
        @if refused.is_empty() {
            (empty("No credential was refused", &html! {
                "When a token, a client’s secret or a JWT is not accepted, the checks that it passed and the one that it failed stand here. Whoever sent it is told nothing of that."
            }))
        }
        @for one in &refused {
            section.card {
                h2 { (one.trace.form.word().replace('_', " ")) " " span.count { (one.seen) } }
                p.quiet { "first " (When { at: one.first_seen, now }) ", last " (When { at: one.last_seen, now }) }
                table.stack {
                    (columns(&["Check", "", "Expected", "Received"]))
                    tbody {
                        @for checked in &one.trace.checks {
                            tr {
                                th scope="row" { (checked.check.word().replace('_', " ")) }
                                td { @if checked.passed { span.badge.good { "passed" } } @else { span.badge.bad { "failed" } } }
                                td { (checked.expected.as_deref().unwrap_or_default()) }
                                td { (checked.received.as_deref().unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(Tab { seat: &seat, connection: &connection, tab: "log", beside: html! {}, body }.into_response())
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
