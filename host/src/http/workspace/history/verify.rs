//! Verifying all of history: part by part, each bounded, going on by itself until the end, something wrong, or *Stop*.
//!
//! How far it is stands in the page's address, with a tag that this installation alone can make: so it survives a reload and a restart, any
//! process goes on with it, and no address can be put together that says of history what was not found.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::page::{Page, Section, When, empty, hash};
use super::super::path::with;
use super::super::seat::Seat;
use super::super::words::counted;
use super::tabs;
use crate::app::App;
use crate::crypto;
use crate::history::chain::Anchor;
use crate::history::verify::Verified;
use crate::history::{self, VERIFY_BATCHES, VERIFY_BYTES, VERIFY_EVENTS};
use crate::http::error::{Error, Result};
use crate::http::query::ApiQuery;
use crate::http::routes::{Route, get};
use crate::model::TenantId;
use crate::store::history::{Start, VerifyBounds};

/// Says that htmx asks for a part of a page.
const ASKS: HeaderName = HeaderName::from_static("hx-request");
/// Puts another address into the browser, so that a reload goes on where the page is.
const REPLACES: HeaderName = HeaderName::from_static("hx-replace-url");

pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/history/verify", "history_seal", "How history is sealed, and how far verifying it is", seal),
        get("/workspace/t/{tenant}/history/verify/part", "verify_part", "Verifies the next part of history", part),
    ]
}

/// How far verifying is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// The batch up to which history was verified.
    behind: i64,
    /// How many events those were.
    events: i64,
    /// How much was wrong.
    found: i64,
    /// Whether that was all.
    done: bool,
}

impl Place {
    /// It as a part of an address.
    fn written(self, app: &App, tenant: &TenantId) -> String {
        let text = self.text();
        format!("{text}.{}", tag(app, tenant, &text))
    }

    fn text(self) -> String {
        format!("{}.{}.{}.{}", self.behind, self.events, self.found, i64::from(self.done))
    }

    /// One that was written here, for the tenant.
    fn read(app: &App, tenant: &TenantId, written: &str) -> Option<Self> {
        let (text, given) = written.rsplit_once('.')?;
        let place = Self::of(text)?;
        crypto::same(&tag(app, tenant, text), given).then_some(place)
    }

    fn of(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|number| number.parse::<i64>().ok());
        let mut next = || numbers.next().flatten();
        let place = Self { behind: next()?, events: next()?, found: next()?, done: next()? == 1 };
        (place.text() == text).then_some(place)
    }

    fn after(self, verified: &Verified) -> Self {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        Self {
            behind: verified.next.unwrap_or(self.behind),
            events: self.events.saturating_add(count(verified.events)),
            found: self.found.saturating_add(count(verified.found)),
            done: verified.next.is_none(),
        }
    }
}

fn tag(app: &App, tenant: &TenantId, text: &str) -> String {
    app.keyring.token_hash(&format!("verified {tenant} {text}"))
}

/// How far verifying is.
#[derive(Deserialize, JsonSchema)]
pub struct SealQuery {
    /// The place, as a page gave it; nothing before one begins.
    place: Option<String>,
    /// Whether it waits there.
    stopped: Option<String>,
}

fn place_of(app: &App, seat: &Seat, query: &SealQuery) -> Result<Option<Place>> {
    let Some(written) = &query.place else { return Ok(None) };
    let wrong = || Error::bad_request("no page gave this place: begin verifying anew", "a place of verifying is none");
    Place::read(app, &seat.tenant.id, written).map(Some).ok_or_else(wrong)
}

/// GET …/history/verify
///
/// # Errors
/// 400 for a place that no page gave.
pub async fn seal(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<SealQuery>) -> Result<Response> {
    let place = place_of(&app, &seat, &query)?;
    let head = history::head(&*app.store, &app.keyring, &seat.tenant.id, app.clock.now()).await?;
    let stands = match (place, &head) {
        (Some(place), Some(head)) => standing(&app, &seat, place, (head, &[]), query.stopped.is_none()),
        _ => html! {},
    };
    Ok(page(&app, &seat, head.as_ref(), &stands))
}

/// GET …/history/verify/part: one bounded part; a browser without scripts gets it as a page, with the way to the next one.
///
/// # Errors
/// 400 for a place that no page gave.
pub async fn part(seat: Seat, State(app): State<Arc<App>>, headers: HeaderMap, ApiQuery(query): ApiQuery<SealQuery>) -> Result<Response> {
    let (before, tenant) = (place_of(&app, &seat, &query)?.unwrap_or_default(), &seat.tenant.id);
    let head = history::head(&*app.store, &app.keyring, tenant, app.clock.now()).await?;
    let Some(head) = head.filter(|_| !before.done) else { return seal(seat, State(app), ApiQuery(query)).await };
    let start = if before.behind == 0 { Start::Event(1) } else { Start::Behind(before.behind) };
    let bounds = VerifyBounds { batches: VERIFY_BATCHES, events: VERIFY_EVENTS, bytes: VERIFY_BYTES };
    let verified = history::verify(&*app.store, &app.keyring, tenant, start, bounds).await?;
    let place = before.after(&verified);
    let findings: Vec<String> = verified.findings.into_iter().map(|finding| finding.message).collect();
    let stands = standing(&app, &seat, place, (&head, &findings), true);
    if !headers.contains_key(ASKS) {
        return Ok(page(&app, &seat, Some(&head), &stands));
    }
    // A part in which something is wrong is verified again by a reload, which so shows what it is.
    let kept = if findings.is_empty() { place } else { before };
    let address = with(&seat.at("history/verify"), &[("place", &kept.written(&app, tenant))]);
    let mut answer = Html(stands.into_string()).into_response();
    answer.headers_mut().insert(REPLACES, HeaderValue::from_str(&address).map_err(Error::internal)?);
    Ok(answer)
}

/// How far it is; goes on by itself, unless it is to wait, is at its end, or has found something.
fn standing(app: &App, seat: &Seat, place: Place, (head, findings): (&Anchor, &[String]), goes_on: bool) -> Markup {
    let written = place.written(app, &seat.tenant.id);
    let next = with(&seat.at("history/verify/part"), &[("place", &written)]);
    let waits = !place.done && (!goes_on || !findings.is_empty());
    let asks = (!place.done && !waits).then_some(next.as_str());
    html! {
        div #verifying hx-get=[asks] hx-trigger=[asks.map(|_| "load delay:100ms")] hx-swap=[asks.map(|_| "outerHTML")] aria-live="polite" {
            progress max=(head.last.max(1)) value=(if place.done { head.last.max(1) } else { place.events }) aria-label="Verified events" {}
            @if !findings.is_empty() {
                div.said.bad role="alert" {
                    p { (counted(i64::try_from(findings.len()).unwrap_or(i64::MAX), "thing is", "things are")) " wrong in the part up to event " (place.events) "." }
                    ul { @for finding in findings { li { (finding) } } }
                }
            } @else if place.found > 0 {
                p.said.bad role="alert" { (counted(place.found, "thing is", "things are")) " wrong in the " (counted(place.events, "event", "events")) " up to here." }
            } @else {
                p.said {
                    (counted(place.events, "event", "events")) " verified: none was altered, removed, inserted or moved."
                    @if place.done { " That is all of history." } @else { " There are more." }
                }
            }
            @if waits { p { a.button.main href=(with(&seat.at("history/verify"), &[("place", &written)])) { "Go on" } } }
            @if let Some(next) = asks {
                p.actions {
                    a.button href=(with(&seat.at("history/verify"), &[("place", &written), ("stopped", "yes")])) { "Stop" }
                    noscript { a.button href=(next) { "Go on with the next part" } }
                }
            }
        }
    }
}

fn page(app: &App, seat: &Seat, head: Option<&Anchor>, stands: &Markup) -> Response {
    let now = app.clock.now();
    let start = with(&seat.at("history/verify"), &[("place", &Place::default().written(app, &seat.tenant.id))]);
    let body = html! {
        h1 { "History" }
        (tabs(seat, "history/verify"))
        @match head {
            None => (empty("Nothing is sealed yet", &html! { "Events are sealed within seconds: each batch is linked to the one before by its hash, and signed." })),
            Some(head) => {
                p { "Sealed up to event " (head.last) " in batch " (head.batch) ", " (When { at: head.sealed, now }) ". Its hash is " (hash(&head.hash)) "." }
                (stands)
                p.actions {
                    a.button.main[stands.0.is_empty()] href=(start) { "Verify from the beginning" }
                    a.button href=(seat.at("history/head")) { "Download the signed head" }
                }
                p.quiet { "Keep a head elsewhere, every day: whoever can write to the database could cut off the end, and only a head that was kept shows that "
                    "(" code { "rolecall history verify --anchor FILE" } ")." }
            }
        }
    };
    Page { seat, section: Section::History, title: "Verify history", trail: &[], body }.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for place in [Place::default(), Place { behind: 7, events: 6_001, found: 2, done: true }] {
            assert_eq!(Place::of(&place.text()), Some(place));
        }
        for wrong in ["", "1.2.3", "1.2.3.2", "1.2.3.1.0", "01.2.3.1", "a.2.3.1"] {
            assert_eq!(Place::of(wrong), None, "{wrong}");
        }
    }
}
