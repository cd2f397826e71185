//! What a candidate would make different: how far the trial is, its result for people, and each person.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderName;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Nothing, revision_link};
use crate::app::App;
use crate::http::api::trials::{self as api, DifferenceExportQuery, place};
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At, page as page_of};
use crate::http::workspace::form::{Sent, answer as answered};
use crate::http::workspace::page::{Page, Section, When, badge, empty, heading, more, token};
use crate::http::workspace::path::{self, with};
use crate::http::workspace::seat::Seat;
use crate::http::workspace::words::{self, PAGE_LINES};
use crate::model::{AdminAction, DifferenceKind, Forecast, PersonDifference, Summary, Tally, Totals, Trial, TrialKind, TrialState};
use crate::store::{Connection, StoreError};
use crate::trial;

/// Tells htmx to load the page again: there is nothing to wait for any more.
const REFRESH: HeaderName = HeaderName::from_static("hx-refresh");
/// How wide a bar is that stands for everybody, in the units of its drawing.
const BAR_WIDTH: u64 = 200;

/// Which differences.
#[derive(Deserialize, JsonSchema)]
pub struct DifferenceQuery {
    /// Only those of this kind.
    kind: Option<String>,
    /// Only those behind this place.
    after: Option<String>,
}

async fn found(app: &Arc<App>, seat: &Seat, id: &str) -> Result<Trial> {
    app.shadows.flush(app, Some(&seat.tenant.id)).await?;
    app.store.trial(&seat.tenant.id, id).await?.ok_or_else(|| Error::not_found("such trial"))
}

/// GET …/mapping/trials/{trial}
///
/// # Errors
/// 404.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiQuery(query): ApiQuery<DifferenceQuery>,
) -> Result<Response> {
    let now = app.clock.now();
    let trial = found(&app, &seat, &id).await?;
    let kind = query.kind.as_deref().and_then(DifferenceKind::from_word);
    let after = query.after.as_deref().filter(|after| !after.is_empty()).map(place).transpose()?;
    let people = app.store.trial_differences(&seat.tenant.id, &trial.id, kind, after.as_ref(), PAGE_LINES + 1).await?;
    let (people, next) = page_of(people, PAGE_LINES, |last| format!("{}/{}", last.connection, last.user));
    let connections = app.store.connections(&seat.tenant.id).await?;
    let here = seat.at(&format!("mapping/trials/{}", trial.id));
    let word = kind.map_or("", DifferenceKind::word);
    let downloads = html! {
        a.button href=(with(&format!("{here}/export"), &[("format", "csv"), ("kind", word)])) { "Export CSV" }
        a.button href=(with(&format!("{here}/export"), &[("format", "json"), ("kind", word)])) { "Export JSON Lines" }
    };
    let title = if trial.kind == TrialKind::Simulation { "Simulation" } else { "Shadow" };
    let stops = seat.rights(&app).await?.may(AdminAction::TryRevisions) && trial.state == TrialState::Running;
    let body = html! {
        (heading(title, &downloads))
        p { "Of revision " (revision_link(&seat, &trial.revision)) @if let Some(base) = &trial.base { ", compared with what stands under " (revision_link(&seat, base)) }
            ", begun " (When { at: trial.started, now }) " by " (words::actor(&trial.actor))
            @if let Some(part) = &trial.part { ", of " (part) } ". It has no effect." }
        (standing(&seat, &trial))
        @if stops { form method="post" action={ (here) "/stop" } { (token(&seat.guest)) button { "Stop it" } } }
        (result(&trial.summary, &connections))
        (filters(&here, &trial.summary, kind))
        @if people.is_empty() { (empty("Nobody", &html! { "Nothing is different for anybody here, up to now." })) }
        @else { (table(&seat, &people)) }
        (more(next.map(|next| with(&here, &[("kind", word), ("after", &next)]))))
    };
    let trail = [("Mapping", seat.at("mapping")), ("Revision", seat.at(&format!("mapping/revisions/{}", trial.revision)))];
    Ok(Page { seat: &seat, section: Section::Mapping, title, trail: &trail, body }.into_response())
}

/// How far it is; asks again by itself while it goes on.
fn standing(seat: &Seat, trial: &Trial) -> Markup {
    let running = trial.state == TrialState::Running;
    let asks = running.then(|| seat.at(&format!("mapping/trials/{}/progress", trial.id)));
    let Summary { people, different, turned_away, .. } = &trial.summary;
    html! {
        div #standing hx-get=[asks] hx-trigger=[running.then_some("every 2s")] hx-swap=[running.then_some("outerHTML")] aria-live="polite" {
            p {
                (badge(trial.state.word())) " " (people)
                @if let Some(population) = trial.population { " of " (population) }
                @match trial.kind { TrialKind::Simulation => " people asked about, ", TrialKind::Shadow => " decisions looked at (people count as often as they are decided), " }
                strong { (different) " different" } ", " (turned_away) " turned away"
            }
            @if let Some(population) = trial.population.filter(|_| running) { progress max=(population.max(1)) value=(people) aria-label="People asked about" {} }
            @if let Some(problem) = &trial.problem { p.note { (problem) } }
        }
    }
}

/// GET …/mapping/trials/{trial}/progress
///
/// # Errors
/// 404.
pub async fn progress(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    _: ApiQuery<Nothing>,
) -> Result<Response> {
    let trial = found(&app, &seat, &id).await?;
    let part = Html(standing(&seat, &trial).into_string());
    Ok(if trial.state == TrialState::Running { part.into_response() } else { ([(REFRESH, "true")], part).into_response() })
}

fn result(summary: &Summary, connections: &[Connection]) -> Markup {
    let mut roles: BTreeMap<&str, Totals> = BTreeMap::new();
    for (role, people) in &summary.gains {
        roles.entry(role).or_default().gains = *people;
    }
    for (role, people) in &summary.loses {
        roles.entry(role).or_default().loses = *people;
    }
    for (role, people) in &summary.waits {
        roles.entry(role).or_default().waits = *people;
    }
    let by_role = Tally { of: roles.into_iter().map(|(role, totals)| (role.to_owned(), totals)).collect(), others: Totals::default() };
    let name = |id: &str| {
        connections.iter().find(|connection| connection.id.as_str() == id).map_or_else(|| id.to_owned(), |known| known.name.clone())
    };
    let same = |id: &str| id.to_owned();
    html! {
        div.two {
            (tally("By role", &by_role, same)) (tally("By policy", &summary.by_policy, same))
            (tally("By group", &summary.by_group, same)) (tally("By connection", &summary.by_connection, name))
        }
        @let held: Vec<&Forecast> = summary.guard.scopes.iter().filter(|one| one.held.unwrap_or(0) > 0).collect();
        @if !held.is_empty() {
            section.card { h2 { "What the guard would hold" } ul.lines { @for one in held {
                li { (one.held.unwrap_or(0)) " of " (one.people) " " (one.direction.word().replace('_', " ")) " of " (one.scope.word()) " " code { (name(&one.of)) }
                    @if let Some(limit) = one.limit { " (at most " (limit) " at once)" } }
            } } }
        }
        @if !summary.errors.is_empty() || summary.collisions > 0 {
            section.card { h2 { "Faults and refusals" } ul.lines {
                @for (code, people) in &summary.errors { li { code { (code) } ": " (people) } }
                @if summary.collisions > 0 { li { (summary.collisions) " accounts would get a name that another one has" } }
            } }
        }
    }
}

/// People who gain, lose and wait, with bars as long as their share of the most.
fn tally(title: &str, tally: &Tally, name: impl Fn(&str) -> String) -> Markup {
    let others = tally.others != Totals::default();
    let most = tally.of.values().chain([&tally.others]).map(|one| one.gains.max(one.loses).max(one.waits)).max().unwrap_or(0).max(1);
    html! {
        @if !tally.of.is_empty() || others {
            section.card {
                h2 { (title) }
                table {
                    thead { tr { th scope="col" { "Name" } th.number scope="col" { "Gain" } th.number scope="col" { "Lose" } th.number scope="col" { "Wait" } } }
                    tbody {
                        @for (id, totals) in &tally.of { (totals_row(&name(id), *totals, most)) }
                        @if others { (totals_row("all others", tally.others, most)) }
                    }
                }
            }
        }
    }
}

fn totals_row(name: &str, totals: Totals, most: u64) -> Markup {
    let bar =
        |count: u64, y: u64, tone: &'static str| html! { rect x="0" y=(y) height="3" width=(count * BAR_WIDTH / most) class=(tone) {} };
    html! {
        tr {
            td { code { (name) } svg.chart aria-hidden="true" viewBox={ "0 0 " (BAR_WIDTH) " 11" } preserveAspectRatio="none" height="11" {
                (bar(totals.gains, 0, "fill-good")) (bar(totals.loses, 4, "fill-bad")) (bar(totals.waits, 8, "fill-warn"))
            } }
            td.number { (totals.gains) } td.number { (totals.loses) } td.number { (totals.waits) }
        }
    }
}

fn filters(here: &str, summary: &Summary, kind: Option<DifferenceKind>) -> Markup {
    let mut ways = vec![(here.to_owned(), format!("All {}", summary.different), kind.is_none())];
    for of in DifferenceKind::ALL {
        if let Some(people) = summary.kinds.get(of.word()) {
            let words = format!("{} {people}", of.word().replace('_', " "));
            ways.push((with(here, &[("kind", of.word())]), words, kind == Some(*of)));
        }
    }
    html! { h2 { "For whom" } (words::filters(&ways)) }
}

fn table(seat: &Seat, people: &[PersonDifference]) -> Markup {
    html! {
        table.stack {
            thead { tr { th scope="col" { "Person" } th scope="col" { "Roles" } th scope="col" { "Account" } th scope="col" { "By" } } }
            tbody data-rows {
                @for PersonDifference { account, difference, .. } in people {
                    tr {
                        td { (words::person(seat, account.as_str(), difference.user_name.as_deref())) br; (badge(difference.kind.word())) }
                        td {
                            @for role in &difference.gains { span.badge.gain { "gains " (role) } " " }
                            @for role in &difference.loses { span.badge.loss { "loses " (role) } " " }
                            @for waiting in &difference.waits { span.badge.warn { (waiting.role) " waits" } " " }
                            @for role in &difference.withdrawn { span.badge { (role) " asked for no more" } " " }
                            @for role in &difference.retains { span.badge.warn { (role) " retained" } " " }
                        }
                        td {
                            @if difference.before != difference.after { (difference.before) " → " (difference.after) br; }
                            @for one in &difference.attributes { code { (one.attribute) } ": " (one.before) " → " (one.after) br; }
                            @if difference.collides { "its name is another’s" br; }
                            @if let Some(note) = &difference.note { span.quiet { (note.message) } }
                        }
                        td { @for because in &difference.because { span.quiet { (because.role) ": " (because.policies.join(", "))
                            @if !because.groups.is_empty() { " through " (because.groups.join(", ")) } } br; } }
                    }
                }
            }
        }
    }
}

/// GET …/mapping/trials/{trial}/export
///
/// # Errors
/// 404.
pub async fn export(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiQuery(query): ApiQuery<DifferenceExportQuery>,
) -> Result<Response> {
    api::exported(&app, &seat.tenant.id, &id, query).await
}

/// POST …/mapping/trials/{trial}/stop
///
/// # Errors
/// Those that no other input would avoid.
pub async fn stop(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>, sent: Sent) -> Result<Response> {
    drop(sent);
    let stopped = async {
        seat.ask(&app, AdminAction::TryRevisions).await?;
        match trial::stop(&app, &seat.tenant.id, &id).await {
            Err(StoreError::Missing(_)) => Err(Error::not_found("such trial")),
            stopped => Ok(format!("It is {}", stopped?.state)),
        }
    };
    answered(&seat.at(&format!("mapping/trials/{}", path::segment(&id))), stopped.await)
}
