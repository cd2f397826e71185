//! History: what happened, in sentences, newest first; who had a role at an instant; that nothing of it was altered.

mod sentence;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::form::Sent;
use super::page::{Page, Section, When, badge, empty, hash, heading, more, token};
use super::path::{self, with};
use super::seat::Seat;
use super::words::{self, Edge, PAGE_LINES, clock, counted, moment};
use crate::app::App;
use crate::history::{self, VERIFY_BATCHES, VERIFY_BYTES, VERIFY_EVENTS};
use crate::http::api::attached;
use crate::http::error::{Error, Result};
use crate::http::query::ApiQuery;
use crate::http::routes::{Route, get, post};
use crate::model::{AccountId, Event, Instant, Reason, RoleId};
use crate::spreadsheet;
use crate::store::history::{Held, Span, Standing, Start, VerifyBounds, Whose};
use crate::tenancy;

/// How many events are looked at for one page: what fits nothing that is asked for is passed over, and the next page goes on behind it.
const LOOKED_AT: i64 = 2_000;
/// How many events are read at once.
const READ_AT_ONCE: i64 = 500;
/// Steps of finding the place of an instant: each halves the batches that it may be in.
const STEPS_LIMIT: u32 = 40;

/// The pages, and what their forms send.
pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/history", "history", "What happened, newest first", feed),
        get("/workspace/t/{tenant}/history/export", "download_history", "The same as a file", export),
        get("/workspace/t/{tenant}/history/held", "who_had", "Who had a role at an instant, and why", who_had),
        get("/workspace/t/{tenant}/history/verify", "history_seal", "How history is sealed", seal),
        post("/workspace/t/{tenant}/history/verify", "send_verify", "Verifies a part of history", verify),
        get("/workspace/t/{tenant}/history/head", "download_head", "The signed head, to be kept elsewhere", head),
    ]
}

/// What of history.
#[derive(Deserialize, JsonSchema)]
pub struct FeedQuery {
    /// What an event’s kind begins with: `grant`, `account.created` …
    kind: Option<String>,
    /// Somebody, by login name or account id: what they held and were.
    person: Option<String>,
    /// Who or what caused it.
    by: Option<String>,
    /// From this day or instant on.
    since: Option<String>,
    /// Until the end of this day, or this instant.
    until: Option<String>,
    /// Only events with a lower number.
    before: Option<i64>,
}

/// The same, read.
struct Wanted {
    kind: String,
    person: String,
    by: String,
    since: Option<Instant>,
    until: Option<Instant>,
    before: Option<i64>,
    query: FeedQuery,
}

impl Wanted {
    fn of(query: FeedQuery) -> Result<Self> {
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().replace('\0', "");
        let at = |field: &Option<String>, edge: Edge| {
            let written = text(field);
            let wrong = || Error::bad_request(format!("`{written}` is no date such as 2031-07-01"), "a date is none");
            if written.is_empty() { Ok(None) } else { moment(&written, edge).map(Some).ok_or_else(wrong) }
        };
        Ok(Self {
            kind: text(&query.kind),
            person: text(&query.person),
            by: text(&query.by).to_lowercase(),
            since: at(&query.since, Edge::Beginning)?,
            until: at(&query.until, Edge::End)?,
            before: query.before,
            query,
        })
    }

    fn fits(&self, event: &Event) -> bool {
        event.kind.starts_with(&self.kind)
            && (self.by.is_empty() || words::actor(&event.actor).to_lowercase().contains(&self.by))
            && self.until.is_none_or(|until| event.at < until)
            && self.since.is_none_or(|since| event.at >= since)
    }

    /// The address of the same question, behind another event or as a file.
    fn address(&self, path: &str, before: Option<i64>) -> String {
        let said = |field: &Option<String>| field.clone().unwrap_or_default();
        let (since, until, before) =
            (said(&self.query.since), said(&self.query.until), before.map(|seq| seq.to_string()).unwrap_or_default());
        let pairs = [
            ("kind", self.kind.as_str()),
            ("person", &self.person),
            ("by", &self.by),
            ("since", &since),
            ("until", &until),
            ("before", &before),
        ];
        with(path, &pairs)
    }
}

/// A page of events, and where the next one begins.
#[derive(Default)]
struct Found {
    events: Vec<Event>,
    next: Option<i64>,
    names: BTreeMap<AccountId, String>,
}

/// Events from the newest on. Numbers are dense, so that a page is a range of an index; what can't be asked of it is looked through.
async fn found(app: &Arc<App>, seat: &Seat, wanted: &Wanted) -> Result<Found> {
    let (store, tenant) = (&*app.store, &seat.tenant.id);
    let last = history::catch_up(store, &app.keyring, tenant, app.clock.now()).await?.map_or(0, |batch| batch.last);
    let mut top = wanted.before.unwrap_or(i64::MAX).min(last.saturating_add(1));
    if let Some(until) = wanted.until {
        top = top.min(place_of(app, seat, until).await?);
    }
    let person = match wanted.person.as_str() {
        "" => None,
        name => Some(evidence_of(app, seat, name).await?),
    };
    let mut found = Found::default();
    let bottom = top.saturating_sub(LOOKED_AT).max(1);
    while top > bottom && found.next.is_none() {
        let from = top.saturating_sub(READ_AT_ONCE).max(bottom);
        let mut events = store.events(tenant, from - 1, top - from).await?;
        events.retain(|event| event.seq < top);
        let over = events.first().is_some_and(|event| wanted.since.is_some_and(|since| event.at < since));
        for event in events.into_iter().rev() {
            let is_theirs =
                person.as_ref().is_none_or(|(account, seqs)| event.account.as_ref() == Some(account) || seqs.contains(&event.seq));
            if is_theirs && wanted.fits(&event) {
                found.events.push(event);
            }
            if found.events.len() > PAGE_LINES as usize {
                found.events.pop();
                found.next = found.events.last().map(|last| last.seq);
                break;
            }
        }
        top = from;
        if over {
            break;
        }
    }
    if found.next.is_none() && top > 1 && top == bottom {
        found.next = Some(top);
    }
    let accounts: BTreeSet<AccountId> = found.events.iter().filter_map(|event| event.account.clone()).collect();
    found.names = store.account_names(tenant, &accounts.into_iter().collect::<Vec<_>>()).await?;
    Ok(found)
}

/// The number before which everything lies that happened before an instant: batches are sealed after what is in them.
async fn place_of(app: &Arc<App>, seat: &Seat, until: Instant) -> Result<i64> {
    let (store, tenant) = (&*app.store, &seat.tenant.id);
    let Some(last) = store.last_batch(tenant).await? else { return Ok(1) };
    let (mut low, mut high) = (1, last.number);
    for _ in 0..STEPS_LIMIT {
        if low >= high {
            break;
        }
        let middle = low.midpoint(high);
        match store.batch(tenant, middle).await? {
            Some(batch) if batch.sealed < until => low = middle + 1,
            _ => high = middle,
        }
    }
    // The batch in which the instant lies, and the one behind it: clocks of several hosts differ.
    let batch = store.batches(tenant, low, 1).await?.into_iter().next();
    Ok(batch.map_or(last.last, |batch| batch.last).saturating_add(1))
}

/// Somebody's account, and the events that what they held and were rests on.
async fn evidence_of(app: &Arc<App>, seat: &Seat, name: &str) -> Result<(AccountId, BTreeSet<i64>)> {
    let tenant = &seat.tenant.id;
    let view = app.store.account(tenant, name).await?.ok_or_else(|| Error::not_found("such person: give a login name or an account id"))?;
    let whole = Span { from: Instant(0), to: app.clock.now().plus_seconds(1) };
    let page = app.store.held(tenant, &Whose::Account(view.account.id.clone()), whole, 0, LOOKED_AT).await?;
    let seqs = page.held.iter().flat_map(|held| [Some(held.standing.seq), held.standing.until_seq]).flatten().collect();
    Ok((view.account.id, seqs))
}

/// GET …/history
///
/// # Errors
/// 400 for dates that are none; 404 for somebody who is nobody.
pub async fn feed(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<FeedQuery>) -> Result<Response> {
    let (now, here) = (app.clock.now(), seat.at("history"));
    let wanted = Wanted::of(query)?;
    let found = found(&app, &seat, &wanted).await?;
    let export = html! {
        a.button href=(wanted.address(&seat.at("history/export"), wanted.before)) { "Export this page" }
    };
    let body = html! {
        (heading("History", &export))
        (tabs(&seat, "history"))
        (filters(&seat, &wanted))
        @if found.events.is_empty() {
            @if found.next.is_some() { p { "Nothing here among the last " (LOOKED_AT) " events; older ones may have it." } }
            @else { (empty("Nothing happened", &html! { "Everything that matters is an event here: who got and lost which role and why, what was activated, who decided. Nothing fits what is asked for." })) }
        } @else {
            ul.lines data-rows { @for event in &found.events { (line(&seat, event, (&found.names, now))) } }
        }
        (more(found.next.map(|next| wanted.address(&here, Some(next)))))
    };
    Ok(Page { seat: &seat, section: Section::History, title: "History", trail: &[], body }.into_response())
}

fn tabs(seat: &Seat, here: &str) -> Markup {
    words::tabs(seat, "History", here, &[("history", "What happened"), ("history/held", "Who had a role"), ("history/verify", "Verify")])
}

fn filters(seat: &Seat, wanted: &Wanted) -> Markup {
    let kinds = [
        ("", "Everything"),
        ("grant", "Roles"),
        ("account", "Accounts"),
        ("ruling", "Answers"),
        ("exception", "Exceptions"),
        ("hold", "Holds"),
        ("review", "Reviews"),
        ("revision", "Revisions"),
        ("trial", "Simulations"),
        ("connection", "Connections"),
        ("process", "Joiners and leavers"),
        ("token", "Tokens"),
    ];
    let said = |field: &Option<String>| field.clone().unwrap_or_default();
    html! {
        form.search method="get" role="search" action=(seat.at("history")) {
            label { "Kind" select name="kind" {
                @for (word, words) in kinds { option value=(word) selected[word == wanted.kind] { (words) } }
                @if !kinds.iter().any(|(word, _)| *word == wanted.kind) { option value=(wanted.kind) selected { (wanted.kind) } }
            } }
            label { "Person" input type="search" name="person" value=(wanted.person) placeholder="Login name"; }
            label { "By" input type="search" name="by" value=(wanted.by) placeholder="Who did it"; }
            label { "From" input type="date" name="since" value=(said(&wanted.query.since)); }
            label { "Until and with" input type="date" name="until" value=(said(&wanted.query.until)); }
            button { "Show" }
        }
    }
}

fn line(seat: &Seat, event: &Event, (names, now): (&BTreeMap<AccountId, String>, Instant)) -> Markup {
    let name = event.account.as_ref().and_then(|account| names.get(account)).map(String::as_str);
    html! {
        li {
            @if let Some(account) = &event.account { a href=(seat.at(&format!("people/{}", path::segment(account.as_str())))) { (sentence::whom(event, name)) } ": " }
            (sentence::sentence(event))
            " " span.quiet { (When { at: event.at, now }) ", by " (words::actor(&event.actor)) ", event " (event.seq) }
        }
    }
}

/// GET …/history/export
///
/// # Errors
/// Those of the feed.
pub async fn export(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<FeedQuery>) -> Result<Response> {
    let wanted = Wanted::of(query)?;
    let found = found(&app, &seat, &wanted).await?;
    let mut text = spreadsheet::row(&["event", "at", "kind", "account", "who", "what", "by"]);
    for event in &found.events {
        let name = event.account.as_ref().and_then(|account| found.names.get(account)).map(String::as_str);
        let account = event.account.as_ref().map_or("", |account| account.as_str());
        let (seq, at, by) = (event.seq.to_string(), event.at.to_string(), words::actor(&event.actor));
        let (whom, what) = (sentence::whom(event, name), sentence::sentence(event));
        text.push_str(&spreadsheet::row(&[seq.as_str(), &at, &event.kind, account, &whom, &what, &by]));
    }
    Ok((attached("history.csv", "text/csv; charset=utf-8"), text).into_response())
}

/// Which role, when.
#[derive(Deserialize, JsonSchema)]
pub struct HeldQuery {
    /// The role.
    role: Option<String>,
    /// The instant or day; now unless given.
    at: Option<String>,
    /// Only what events with a higher number began.
    after: Option<i64>,
}

/// GET …/history/held
///
/// # Errors
/// 400 for a date that is none.
pub async fn who_had(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<HeldQuery>) -> Result<Response> {
    let (now, here, tenant) = (app.clock.now(), seat.at("history/held"), &seat.tenant.id);
    let role = query.role.unwrap_or_default().trim().replace('\0', "");
    let at = query.at.unwrap_or_default().trim().to_owned();
    let wrong = || Error::bad_request(format!("`{at}` is no date such as 2031-07-01"), "a date is none");
    let from = if at.is_empty() { now } else { moment(&at, Edge::Beginning).ok_or_else(wrong)? };
    // A date alone is the whole day.
    let to = if at.is_empty() { Instant(now.0 + 1) } else { moment(&at, Edge::End).filter(|to| *to > from).unwrap_or(Instant(from.0 + 1)) };
    let page = if role.is_empty() {
        None
    } else {
        history::catch_up(&*app.store, &app.keyring, tenant, now).await?;
        Some(
            app.store
                .held(tenant, &Whose::Role(RoleId::from(role.as_str())), Span { from, to }, query.after.unwrap_or(0), PAGE_LINES)
                .await?,
        )
    };
    let active = tenancy::active_revision(&app, tenant).await?;
    let roles: Vec<&str> = active.iter().flat_map(|revision| revision.policies.roles()).map(|role| role.id.as_str()).collect();
    let body = html! {
        h1 { "History" }
        (tabs(&seat, "history/held"))
        form.search method="get" role="search" {
            label { "Role" input type="search" name="role" value=(role) list="roles" required; }
            datalist #roles { @for role in &roles { option value=(role) {} } }
            label { "On the day or at the instant " span.quiet { "(UTC; left empty: now)" } input type="text" name="at" value=(at) placeholder="2031-07-01 or 2031-07-01T14:00"; }
            button.main { "Show" }
        }
        @match &page {
            None => p { "Whoever had the role at some moment of the day is named, with the policies that gave it and the events that prove it." },
            Some(page) if page.held.is_empty() && page.next.is_none() => (empty("Nobody had it", &html! { "No account held " code { (role) } " then." })),
            Some(page) => {
                p { "Held " code { (role) } " from " (clock(from)) " to " (clock(to)) ":" }
                (holders(&seat, &page.held))
                (more(page.next.map(|next| with(&here, &[("role", &role), ("at", &at), ("after", &next.to_string())]))))
            }
        }
    };
    Ok(Page { seat: &seat, section: Section::History, title: "Who had a role", trail: &[], body }.into_response())
}

fn holders(seat: &Seat, held: &[Held]) -> Markup {
    html! {
        table.stack {
            thead { tr { th scope="col" { "Person" } th scope="col" { "State" } th scope="col" { "Why" } th scope="col" { "From and until" } th scope="col" { "Events" } } }
            tbody {
                @for Held { standing, user_name } in held {
                    @let Standing { seq, account, state, reasons, since, until, until_seq, .. } = standing;
                    tr {
                        td { (words::person(seat, account.as_str(), user_name.as_deref())) }
                        td { (badge(state)) }
                        td { (super::decisions::reasons(&serde_json::from_str::<Vec<Reason>>(reasons).unwrap_or_default())) }
                        td { (clock(*since)) br; @match until { Some(until) => (clock(*until)), None => "it stands" } }
                        td { (seq) @if let Some(ended) = until_seq { ", " (ended) } }
                    }
                }
            }
        }
    }
}

/// How far verifying is.
#[derive(Deserialize, JsonSchema)]
pub struct SealQuery {}

/// GET …/history/verify
///
/// # Errors
/// The store's.
pub async fn seal(seat: Seat, State(app): State<Arc<App>>, _: ApiQuery<SealQuery>) -> Result<Response> {
    verifying(&app, &seat, &html! {}, None).await
}

async fn verifying(app: &Arc<App>, seat: &Seat, result: &Markup, next: Option<(i64, i64)>) -> Result<Response> {
    let now = app.clock.now();
    let head = history::head(&*app.store, &app.keyring, &seat.tenant.id, now).await?;
    let body = html! {
        h1 { "History" }
        (tabs(seat, "history/verify"))
        @match &head {
            None => (empty("Nothing is sealed yet", &html! { "Events are sealed within seconds: each batch is linked to the one before by its hash, and signed." })),
            Some(head) => {
                p { "Sealed up to event " (head.last) " in batch " (head.batch) ", " (When { at: head.sealed, now }) ". Its hash is " (hash(&head.hash)) "." }
                p { a.button href=(seat.at("history/head")) { "Download the signed head" } }
                p.quiet { "Keep a head elsewhere, every day: whoever can write to the database could cut off the end, and only a head that was kept shows that "
                    "(" code { "rolecall history verify --anchor FILE" } ")." }
            }
        }
        (result)
        @if head.is_some() {
            form method="post" action=(seat.at("history/verify")) {
                (token(&seat.guest))
                @match next {
                    Some((after, events)) => {
                        input type="hidden" name="after" value=(after);
                        input type="hidden" name="events" value=(events);
                        button.main { "Go on with the next part" }
                    }
                    None => button.main { "Verify from the beginning" },
                }
            }
        }
    };
    Ok(Page { seat, section: Section::History, title: "Verify history", trail: &[], body }.into_response())
}

/// POST …/history/verify: one bounded part; the page says where to go on.
///
/// # Errors
/// The store's.
pub async fn verify(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    let number = |name: &str| sent.get(name).and_then(|text| text.parse::<i64>().ok());
    let start = number("after").map_or(Start::Event(1), Start::Behind);
    let bounds = VerifyBounds { batches: VERIFY_BATCHES, events: VERIFY_EVENTS, bytes: VERIFY_BYTES };
    let verified = history::verify(&*app.store, &app.keyring, &seat.tenant.id, start, bounds).await?;
    let so_far = number("events").unwrap_or(0).saturating_add(i64::try_from(verified.events).unwrap_or(i64::MAX));
    let last = app.store.last_batch(&seat.tenant.id).await?.map_or(0, |batch| batch.last);
    let result = html! {
        @if last > 0 { progress max=(last) value=(verified.last.unwrap_or(last)) aria-label="Verified events" {} }
        @if verified.found == 0 {
            p.said role="status" { (counted(so_far, "event", "events")) " verified: none was altered, removed, inserted or moved."
                @if verified.next.is_some() { " There are more." } @else { " That is all of history." } }
        } @else {
            div.said.bad role="alert" { p { (verified.found) " things are wrong." } ul { @for finding in &verified.findings { li { (finding.message) } } } }
        }
    };
    verifying(&app, &seat, &result, verified.next.map(|next| (next, so_far))).await
}

/// GET …/history/head
///
/// # Errors
/// 404 while nothing is sealed.
pub async fn head(seat: Seat, State(app): State<Arc<App>>, _: ApiQuery<SealQuery>) -> Result<Response> {
    let now = app.clock.now();
    let head = history::head(&*app.store, &app.keyring, &seat.tenant.id, now).await?;
    let head = head.ok_or_else(|| Error::not_found("sealed history yet"))?;
    let name = format!("{}-{}.json", seat.tenant.id, words::date(now));
    let text = serde_json::to_string_pretty(&head).map_err(Error::internal)?;
    Ok((attached(&name, "application/json"), text).into_response())
}
