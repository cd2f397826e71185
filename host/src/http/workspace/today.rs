//! Today: what needs somebody, within one screen.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::page::{Page, Section, When, badge, empty};
use super::seat::Seat;
use super::words::counted;
use crate::app::App;
use crate::http::error::Result;
use crate::model::{
    ConnectionState, HealthState, Hold, HoldState, Instant, Process, ProcessStepState, Reconciliation, ReconciliationState, Review,
    ReviewState, Ruling, RulingKind, RulingState,
};
use crate::store::{Connection, Faulty, HealthCase, ProcessQuery, RulingQuery, TokenInfo};

/// How many of each kind are shown: more are a page of their own.
const SHOWN: i64 = 5;
/// From when on the end of a token is told, in seconds.
const EXPIRES_SOON_SECONDS: i64 = 14 * 86_400;

/// What there is to be done.
struct Waiting {
    holds: Vec<Hold>,
    approvals: Vec<Ruling>,
    reviews: Vec<Review>,
    cases: Vec<HealthCase>,
    faulty: Vec<Faulty>,
    overdue: Vec<Process>,
    drifts: Vec<Reconciliation>,
    expiring: Vec<(String, String, Instant)>,
    /// The connections' names, by id.
    connections: BTreeMap<String, String>,
}

/// GET /workspace/t/{tenant}
///
/// # Errors
/// The store's.
pub async fn show(seat: Seat, State(app): State<Arc<App>>) -> Result<Response> {
    let now = app.clock.now();
    let waiting = read(&app, &seat, now).await?;
    let nothing = waiting.holds.is_empty()
        && waiting.approvals.is_empty()
        && waiting.reviews.is_empty()
        && waiting.expiring.is_empty()
        && waiting.cases.is_empty()
        && waiting.faulty.is_empty()
        && waiting.overdue.is_empty()
        && waiting.drifts.is_empty();
    let body = html! {
        h1 { "Today" }
        @if waiting.connections.is_empty() {
            (empty("No identity provider yet", &html! {
                "People come in over a connection, one for each identity provider. "
                a href=(seat.at("connections")) { "Make the first connection" } ": it shows the values to paste, and waits with you for the first request."
            }))
        } @else if nothing {
            (empty("Nothing needs you", &html! { "Holds, approvals, reviews, connections that are not well, people who can’t be decided about, steps that are overdue, reconciliations to be carried out and tokens that end soon stand here when there are some." }))
        } @else {
            div.cards {
                (holds(&seat, &waiting, now))
                (approvals(&seat, &waiting.approvals, now))
                (reviews(&seat, &waiting.reviews, now))
                (unwell(&seat, &waiting.cases, now))
                (faulty(&seat, &waiting.faulty))
                (overdue(&seat, &waiting.overdue, now))
                (drifts(&seat, &waiting, now))
                (expiring(&seat, &waiting.expiring, now))
            }
        }
    };
    Ok(Page { seat: &seat, section: Section::Today, title: "Today", trail: &[], body }.into_response())
}

async fn read(app: &Arc<App>, seat: &Seat, now: Instant) -> Result<Waiting> {
    let tenant = &seat.tenant.id;
    let asked =
        RulingQuery { kind: Some(RulingKind::Approval), state: Some(RulingState::Open), limit: SHOWN + 1, ..RulingQuery::default() };
    let open = |review: &Review| matches!(review.state, ReviewState::Open) && review.counts.undecided > 0;
    let overdue = ProcessQuery { overdue: true, limit: SHOWN + 1, ..ProcessQuery::default() };
    let unwell = |case: &HealthCase| case.health.as_ref().is_some_and(|health| is_unwell(health.state));
    let ready = |drift: &Reconciliation| drift.state == ReconciliationState::Ready && drift.distance > 0;
    let connections = app.store.connections(tenant).await?;
    Ok(Waiting {
        holds: app.store.holds(tenant, Some(HoldState::Open), None, SHOWN + 1).await?,
        approvals: app.store.rulings(tenant, &asked).await?,
        reviews: app.store.reviews(tenant, None, SHOWN * 4).await?.into_iter().filter(open).collect(),
        cases: app.store.health_cases(tenant, None, now).await?.into_iter().filter(unwell).collect(),
        faulty: app.store.faulty_people(tenant, SHOWN + 1).await?,
        overdue: app.store.processes(tenant, &overdue).await?,
        drifts: app.store.reconciliations(tenant, None, SHOWN * 4).await?.into_iter().filter(ready).collect(),
        expiring: connections.iter().filter_map(|connection| ends_soon(connection, now)).collect(),
        connections: connections.into_iter().map(|connection| (connection.id.to_string(), connection.name)).collect(),
    })
}

/// Whether somebody should look at a connection in this state.
pub(super) fn is_unwell(state: HealthState) -> bool {
    !matches!(state, HealthState::Healthy | HealthState::NeverSeen | HealthState::Paused)
}

/// When the last of a connection's credentials ends, if that is soon.
fn ends_soon(connection: &Connection, now: Instant) -> Option<(String, String, Instant)> {
    let soon = now.plus_seconds(EXPIRES_SOON_SECONDS);
    let last =
        |tokens: &[TokenInfo]| tokens.iter().map(|token| token.expires).max_by_key(|end| end.map_or(i64::MAX, |end| end.0)).flatten();
    let lives = |token: &&TokenInfo| token.expires.is_none_or(|end| end > now);
    let others = connection.issuer.is_some() || connection.client_secrets.iter().any(|secret| lives(&secret));
    let end = last(&connection.tokens).filter(|end| *end < soon && !others && connection.state != ConnectionState::Paused)?;
    Some((connection.id.to_string(), connection.name.clone(), end))
}

fn card(title: &str, to: &str, count: usize, rows: &Markup) -> Markup {
    html! {
        @if count > 0 {
            section.card {
                h2 { a href=(to) { (title) } " " span.count { (count.min(SHOWN as usize)) @if count > SHOWN as usize { "+" } } }
                ul.lines { (rows) }
            }
        }
    }
}

fn holds(seat: &Seat, waiting: &Waiting, now: Instant) -> Markup {
    // What is held is named as people know it: a connection by its name, a role by its id.
    let of = |hold: &Hold| waiting.connections.get(&hold.of).map_or_else(|| html! { code { (hold.of) } }, |name| html! { (name) });
    let rows = html! {
        @for hold in waiting.holds.iter().take(SHOWN as usize) {
            li {
                a href=(seat.at(&format!("decisions/holds/{}", hold.id))) { (hold.people) " people, " (hold.direction.word().replace('_', " ")) }
                " of " (hold.scope.word()) " " (of(hold)) " " span.quiet { "held " (When { at: hold.opened, now }) }
            }
        }
    };
    card("Holds", &seat.at("decisions"), waiting.holds.len(), &rows)
}

fn approvals(seat: &Seat, approvals: &[Ruling], now: Instant) -> Markup {
    let rows = html! {
        @for ruling in approvals.iter().take(SHOWN as usize) {
            li {
                a href=(seat.at("decisions/approvals")) {
                    (ruling.user_name.as_deref().unwrap_or(ruling.account.as_str())) " asks for "
                    @if let Some(role) = &ruling.role { (role) }
                }
                " " span.quiet { (When { at: ruling.created, now }) @if let Some(ends) = ruling.ends { ", lapses " (When { at: ends, now }) } }
            }
        }
    };
    card("Approvals", &seat.at("decisions/approvals"), approvals.len(), &rows)
}

fn reviews(seat: &Seat, reviews: &[Review], now: Instant) -> Markup {
    let rows = html! {
        @for review in reviews.iter().take(SHOWN as usize) {
            li {
                a href=(seat.at(&format!("decisions/reviews/{}", review.id))) { (review.name) }
                " " (review.counts.undecided) " of " (review.counts.lines) " undecided, closes " (When { at: review.closes, now })
            }
        }
    };
    card("Reviews", &seat.at("decisions/reviews"), reviews.len(), &rows)
}

fn unwell(seat: &Seat, cases: &[HealthCase], now: Instant) -> Markup {
    let rows = html! {
        @for case in cases.iter().take(SHOWN as usize) {
            @if let Some(health) = &case.health {
                li {
                    (badge(health.state.word())) " " a href=(seat.at(&format!("connections/{}", case.connection))) { (case.name) }
                    @if let Some(first) = health.evidence.first() { " " (first.detail) }
                    " " span.quiet { "since " (When { at: health.since, now }) }
                }
            }
        }
    };
    card("Connections that are not well", &seat.at("connections"), cases.len(), &rows)
}

fn faulty(seat: &Seat, faulty: &[Faulty]) -> Markup {
    let rows = html! {
        @for person in faulty.iter().take(SHOWN as usize) {
            li {
                a href=(seat.at(&format!("people/{}", person.account))) { (person.user_name.as_deref().unwrap_or(person.account.as_str())) }
                " " (person.note.message)
            }
        }
    };
    card("People who can’t be decided about", &seat.at("people"), faulty.len(), &rows)
}

fn overdue(seat: &Seat, overdue: &[Process], now: Instant) -> Markup {
    let rows = html! {
        @for process in overdue.iter().take(SHOWN as usize) {
            li {
                a href=(seat.at(&format!("people/{}", process.account))) { (process.user_name.as_deref().unwrap_or(process.account.as_str())) }
                @for step in process.steps.iter().filter(|step| step.state == ProcessStepState::Overdue) {
                    " " (step.title) " " span.quiet { "due " (When { at: step.due, now }) ", " (step.owner) }
                }
            }
        }
    };
    card("Steps that are overdue", &seat.at("people"), overdue.len(), &rows)
}

fn drifts(seat: &Seat, waiting: &Waiting, now: Instant) -> Markup {
    let rows = html! {
        @for drift in waiting.drifts.iter().take(SHOWN as usize) {
            li {
                a href=(seat.at(&format!("drift/{}", drift.id))) { (counted(drift.distance, "person differs", "people differ")) }
                " from what the identity provider of " (waiting.connections.get(drift.connection.as_str()).map_or(drift.connection.as_str(), String::as_str))
                " lists " span.quiet { "ends " (When { at: drift.ends, now }) }
            }
        }
    };
    card("Reconciliations to be carried out", &seat.at("connections"), waiting.drifts.len(), &rows)
}

fn expiring(seat: &Seat, expiring: &[(String, String, Instant)], now: Instant) -> Markup {
    let rows = html! {
        @for (id, name, end) in expiring.iter().take(SHOWN as usize) {
            li { a href=(seat.at(&format!("connections/{id}"))) { (name) } " has its last token until " (When { at: *end, now }) }
        }
    };
    card("Tokens that end", &seat.at("connections"), expiring.len(), &rows)
}
