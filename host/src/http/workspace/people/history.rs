//! What somebody was and had, from when to when, as it was sealed: each line with the event that began it and who caused that.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::page::{Page, Section, When, empty};
use super::super::seat::Seat;
use super::person::view;
use super::words;
use crate::app::App;
use crate::history;
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At};
use crate::model::{Actor, Instant, Reason};
use crate::store::history::{Held, Span, StoredEvent, Whose};

/// How much of a history a page shows.
const STANDINGS_SHOWN: i64 = 200;

/// Which part.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// Only what events with a higher number began.
    after: Option<i64>,
}

/// GET /workspace/t/{tenant}/people/{account}/history
///
/// # Errors
/// 404.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiQuery(query): ApiQuery<HistoryQuery>,
) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let (tenant, now) = (&seat.tenant.id, app.clock.now());
    history::catch_up(&*app.store, &app.keyring, tenant, now).await?;
    let whole = Span { from: Instant(i64::MIN), to: Instant(i64::MAX) };
    let whose = Whose::Account(view.account.id.clone());
    let page = app.store.held(tenant, &whose, whole, query.after.unwrap_or(0).max(0), STANDINGS_SHOWN).await?;
    let seqs: Vec<i64> = page.held.iter().map(|held| held.standing.seq).collect();
    let events = app.store.events_at(tenant, &seqs).await?;
    let events: BTreeMap<i64, StoredEvent> = events.into_iter().map(|event| (event.seq, event)).collect();
    let name = words::name(&view).to_owned();
    let here = seat.at(&format!("people/{}", view.account.id));
    let body = html! {
        h1 { "What " (name) " was and had" }
        @if page.held.is_empty() {
            (empty("Nothing yet", &html! { "What an account becomes, and which roles it gets and loses, stands here some seconds later, with who caused it." }))
        } @else {
            p.quiet { "The newest first. Numbers are those of the events: they can be verified under " a href=(seat.at("history")) { "History" } "." }
            ol.lines reversed {
                @for held in page.held.iter().rev() {
                    li { (line(held, events.get(&held.standing.seq), now)?) }
                }
            }
            @if let Some(next) = page.next { p.more { a rel="next" href={ (here) "/history?after=" (next) } { "What came later" } } }
            @if query.after.is_some() { p.more { a href={ (here) "/history" } { "From the beginning" } } }
        }
    };
    let trail = [("People", seat.at("people")), (name.as_str(), here)];
    Ok(Page { seat: &seat, section: Section::People, title: "History", trail: &trail, body }.into_response())
}

fn line(held: &Held, event: Option<&StoredEvent>, now: Instant) -> Result<Markup> {
    let standing = &held.standing;
    let reasons: Vec<Reason> = serde_json::from_str(&standing.reasons).map_err(Error::internal)?;
    let caused = event.map(|event| words::actor(&Actor { kind: event.actor_kind.clone(), id: event.actor_id.clone() }));
    Ok(html! {
        strong { (words::stood(standing)) } " "
        "Since " (When { at: standing.since, now })
        @match standing.until {
            Some(until) => { ", until " (When { at: until, now }) "." },
            None => { ": it stands." },
        }
        @for reason in reasons.iter().filter_map(|reason| reason.reason.as_deref()) { br; "“" (reason) "”" }
        br;
        span.quiet {
            @if let Some(caused) = caused { "by " (caused) ", " }
            "event " (standing.seq)
            @if let Some(request) = event.and_then(|event| event.request_id.as_deref()) { ", request " code { (request) } }
        }
    })
}
