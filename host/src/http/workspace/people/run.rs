//! One person's run while somebody looks: what came in, what the mapping made of it, what the policies say, what would change. Without effect,
//! until somebody carries it out.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::form::{Sent, answer};
use super::super::page::{Page, Section, When, badge, hash, heading, token};
use super::super::path;
use super::super::seat::Seat;
use super::{person, words};
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At};
use crate::model::{AdminAction, Instant, RevisionHash};
use crate::policies::Explanation;
use crate::provisioning::run::{self as running, Run, Wanted};

/// What is to be run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunQuery {
    /// A stored revision; the active one unless given.
    #[serde(default)]
    revision: String,
    /// A role to be explained beside those that it is about.
    #[serde(default)]
    role: String,
}

/// GET /workspace/t/{tenant}/people/{account}/run
///
/// # Errors
/// 404 for an unknown person or revision; 409 for somebody whom the identity provider has deleted.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiQuery(query): ApiQuery<RunQuery>,
) -> Result<Response> {
    let view = person::view(&app, &seat, &account).await?;
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty() && !text.contains('\0'));
    let wanted = Wanted { revision: given(&query.revision).map(RevisionHash), roles: given(&query.role).into_iter().collect() };
    let run = running::run(&app, &seat.tenant.id, view.account.id.as_str(), wanted).await?;
    let (now, name) = (app.clock.now(), words::name(&view).to_owned());
    let may = seat.rights(&app).await?.may(AdminAction::ManageTenant) && run.is_active;
    let here = seat.at(&format!("people/{}/run", path::segment(view.account.id.as_str())));
    let body = html! {
        (heading(&format!("{name}, step by step"), &html! {}))
        p { "As it would be decided now, by "
            @match &run.revision { Some(revision) => { "revision " (hash(revision.as_str())) } None => { "no revision" } }
            @if run.is_active { ", the active one" } @else { ", a candidate" }
            ". Nothing is changed by looking."
        }
        form.search method="get" {
            label { "Another revision" input type="text" name="revision" value=(query.revision) placeholder="its hash; empty for the active one"; }
            label { "A role to explain" input type="text" name="role" value=(query.role); }
            button { "Run" }
        }
        (came_in(&seat, &run, now))
        (mapped(&run, now))
        (decided(&seat, &run))
        (changes(&run, now))
        @if may {
            form method="post" action=(here) {
                (token(&seat.guest))
                button.main { "Carry it out" }
                " " span.quiet { "as the next write of the identity provider would; the guard counts it" }
            }
        }
    };
    let trail = [("People", seat.at("people")), (name.as_str(), seat.at(&format!("people/{}", view.account.id)))];
    Ok(Page { seat: &seat, section: Section::People, title: &name, trail: &trail, body }.into_response())
}

/// POST /workspace/t/{tenant}/people/{account}/run
///
/// # Errors
/// The store's.
pub async fn apply(seat: Seat, State(app): State<Arc<App>>, At((_, account)): At<(String, String)>, _: Sent) -> Result<Response> {
    seat.ask(&app, AdminAction::ManageTenant).await?;
    let view = person::view(&app, &seat, &account).await?;
    let actor = seat.principal().actor();
    let done = running::apply(&app, &seat.tenant.id, view.account.id.as_str(), &actor).await.map_err(Error::from);
    let said = done.map(|run| match run.applied {
        Some(led) if !led.is_nothing() => {
            format!("Carried out: {} events, {} roles gained, {} lost.", led.events.len(), led.gained.len(), led.lost.len())
        }
        _ => "Carried out: nothing had to change.".to_owned(),
    });
    answer(&seat.at(&format!("people/{}", view.account.id)), said)
}

fn came_in(seat: &Seat, run: &Run, now: Instant) -> Markup {
    let came = &run.came_in;
    html! {
        section.card {
            h2 { "1. What came in" }
            p {
                "Over " a href=(seat.at(&format!("connections/{}", came.connection))) { "this connection" } " " (badge(came.connection_state.word()))
                ", last written " (When { at: came.modified, now })
                @if let Some(cause) = &came.pending { ". Something is due: " (cause.word().replace('_', " ")) }
            }
            dl.pairs { @for (name, value) in words::laid_out(&came.document) { dt { (name) } dd { (value) } } }
            @if !came.groups.is_empty() {
                h3 { "Groups that count" }
                ul { @for chain in &came.groups { li { (chain.join(" → ")) } } }
            }
            @if !came.rulings.is_empty() {
                h3 { "What people and the guard have said" }
                ul { @for ruling in &came.rulings { li { (words::ruling(ruling)) } } }
            }
        }
    }
}

fn mapped(run: &Run, now: Instant) -> Markup {
    let mapped = &run.mapped;
    html! {
        section.card {
            h2 { "2. What the mapping made of it" }
            p { (badge(mapped.outcome)) @if let Some(note) = &mapped.note { " " (words::heading_of(note)) ": " (note.message) } }
            @if let Some(account) = &mapped.account {
                div.scroll tabindex="0" role="region" aria-label="The account" {
                    table {
                        thead { tr { th scope="col" { "Attribute" } th scope="col" { "Value" } th scope="col" { "From" } } }
                        tbody {
                            @for (name, value) in words::laid_out(account) {
                                tr { th scope="row" { (name) } td { (value) } td.quiet { (mapped.provenance.get(&name).map_or("", String::as_str)) } }
                            }
                        }
                    }
                }
            }
            @if let Some(starts) = mapped.starts { p { "In use from " (When { at: starts, now }) "." } }
            @if let Some(ends) = mapped.ends { p { "In use until " (When { at: ends, now }) "." } }
            @if !mapped.nominated.is_empty() {
                h3 { "Roles that the plugin nominates" }
                ul { @for (role, said) in &mapped.nominated { li { code { (role) } @if let Some(said) = said { " " (said) } } } }
            }
            @for call in &mapped.calls {
                h3 { "Plugin " (call.plugin) ", " (call.hook) }
                p {
                    @if let Some(fuel) = call.fuel { (fuel) " fuel" }
                    @if let Some(bytes) = call.memory_bytes { ", " (bytes / 1024) " KiB of memory" }
                    @if let Some(fault) = call.fault { " " (badge("failed")) " " (fault) }
                }
                @if !call.logs.is_empty() { pre tabindex="0" { @for line in &call.logs { (line.level) " " (line.message) "\n" } } }
            }
        }
    }
}

fn decided(seat: &Seat, run: &Run) -> Markup {
    let row = |explained: &Explanation| {
        html! {
            details.card open[run.decided.len() == 1] {
                summary { (explained.role) ": " (words::decision(&explained.decision)) }
                p { a href=(seat.at(&format!("roles/{}", path::segment(&explained.role)))) { "The role " (explained.role) } }
                @if let Some(because) = &explained.because { p { (because) } }
                (person::explanation(explained))
            }
        }
    };
    html! {
        section.card {
            h2 { "3. What the policies say" }
            @if run.decided.is_empty() { p { "No role is about them." } }
            @for explained in &run.decided { (row(explained)) }
        }
    }
}

fn changes(run: &Run, now: Instant) -> Markup {
    let changes = &run.changes;
    html! {
        section.card {
            h2 { "4. What would change" }
            @match &changes.difference {
                None => p { "Nothing: it is as it would be decided." },
                Some(difference) => {
                    @if difference.before != difference.after { p { "State: " (badge(&difference.before)) " becomes " (badge(&difference.after)) } }
                    @for role in &difference.gains { " " span.badge.good { "+ " (role) } }
                    @for role in &difference.loses { " " span.badge.bad { "− " (role) } }
                    @if !difference.attributes.is_empty() {
                        dl.pairs {
                            @for one in &difference.attributes {
                                dt { (one.attribute) }
                                dd { del { (words::text(&one.before)) } " → " ins { (words::text(&one.after)) } }
                            }
                        }
                    }
                }
            }
            @if !changes.events.is_empty() { p { "Events: " @for kind in &changes.events { code { (kind) } " " } } }
            @if changes.guarded { p.quiet { "The guard counts them: past its limit, what they lose or gain may be held." } }
            @if let Some(next) = changes.next { p.quiet { "The same may be decided otherwise from " (When { at: next, now }) " on." } }
        }
    }
}
