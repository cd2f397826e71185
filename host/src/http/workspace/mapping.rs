//! Mapping: what decides about people. The active revision, what is tried out, what was activated, and the way from one to another.

mod compare;
mod edit;
mod plugins;
mod revision;
mod trial;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::page::{Page, Section, When, badge, columns, empty, hash, heading, more};
use super::path::with;
use super::seat::Seat;
use super::words::{self, PAGE_LINES};
use crate::app::App;
use crate::http::error::Result;
use crate::http::query::{ApiQuery, page as page_of};
use crate::http::routes::{Route, get, post};
use crate::model::{Activation, AdminAction, Instant, ListedRevision, RevisionHash, Trial, TrialKind};
use crate::tenancy;

/// Activations and trials that are shown: the newest.
const SHOWN: i64 = 20;

/// The pages, and what their forms send.
pub(super) fn all() -> Vec<Route> {
    const REVISION: &str = "/workspace/t/{tenant}/mapping/revisions/{hash}";
    const EDIT: &str = "/workspace/t/{tenant}/mapping/edit";
    vec![
        get("/workspace/t/{tenant}/mapping", "mapping", "What decides about people, and what did before", show),
        get("/workspace/t/{tenant}/mapping/revisions", "stored_revisions", "All revisions that are stored", stored),
        get(REVISION, "revision", "One revision: what differs, what it would do", revision::show),
        get("/workspace/t/{tenant}/mapping/revisions/{hash}/file", "revision_file", "A file of a revision", revision::file),
        post("/workspace/t/{tenant}/mapping/revisions/{hash}/try", "try_revision", "Begins a simulation or a shadow", revision::try_out),
        post("/workspace/t/{tenant}/mapping/revisions/{hash}/activate", "send_activation", "Activates a revision", revision::activate),
        get("/workspace/t/{tenant}/mapping/trials/{trial}", "trial", "What a revision would make different", trial::show),
        get("/workspace/t/{tenant}/mapping/trials/{trial}/progress", "trial_progress", "How far a trial is", trial::progress),
        get("/workspace/t/{tenant}/mapping/trials/{trial}/export", "download_trial", "What differs for whom, as a file", trial::export),
        post("/workspace/t/{tenant}/mapping/trials/{trial}/stop", "send_trial_stop", "Ends a trial before its time", trial::stop),
        get(EDIT, "edit", "The editor of policies and tests", edit::show),
        post(EDIT, "send_edit", "Stores what was edited as a new revision", edit::save),
        post("/workspace/t/{tenant}/mapping/edit/other", "edit_other", "The editor with another file", edit::other),
        post("/workspace/t/{tenant}/mapping/edit/check", "edit_check", "What is wrong with what is being edited", edit::check),
        get("/workspace/t/{tenant}/mapping/plugins", "workspace_plugins", "Plugins, and what became of them", plugins::show),
        get("/workspace/t/{tenant}/mapping/plugins/failures/{failure}", "plugin_failure", "One call that failed", plugins::failure),
        get("/workspace/compare", "compare_schemas", "Where the schemas of two tenants differ", compare::show),
    ]
}

/// Which revisions.
#[derive(Deserialize, JsonSchema)]
pub struct StoredQuery {
    /// Only those that were stored before this one.
    after: Option<RevisionHash>,
}

/// GET …/mapping/revisions
///
/// # Errors
/// 404 where `after` is no stored revision.
pub async fn stored(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<StoredQuery>) -> Result<Response> {
    let (now, here) = (app.clock.now(), seat.at("mapping/revisions"));
    let after = query.after.filter(|after| !after.as_str().is_empty());
    let found = app.store.revisions(&seat.tenant.id, after.as_ref(), PAGE_LINES + 1).await?;
    let (found, next) = page_of(found, PAGE_LINES, |last| last.hash.to_string());
    let body = html! {
        (heading("Mapping", &html! {}))
        (tabs(&seat, "mapping/revisions"))
        @if found.is_empty() {
            (empty("No revision yet", &html! { "Each folder that is uploaded and each edit that is saved is a revision, and stays: to be tried out, activated, or gone back to." }))
        } @else {
            table.stack {
                (columns(&["Revision", "What became of it", "Stored"]))
                tbody data-rows {
                    @for revision in &found {
                        tr {
                            td { (revision_link(&seat, &revision.hash)) }
                            td { (became(revision)) }
                            td { (When { at: revision.created, now }) }
                        }
                    }
                }
            }
        }
        (more(next.map(|next| with(&here, &[("after", &next)]))))
    };
    Ok(Page { seat: &seat, section: Section::Mapping, title: "Stored revisions", trail: &[], body }.into_response())
}

fn became(revision: &ListedRevision) -> Markup {
    html! {
        @if revision.active { (badge("active")) }
        @else if revision.activated { "was activated, or waited to be" }
        @else if revision.tried { "was tried out, not activated" }
        @else { "neither activated nor tried out" }
    }
}

/// Nothing.
#[derive(Deserialize, JsonSchema)]
pub struct Nothing {}

fn tabs(seat: &Seat, here: &str) -> Markup {
    let all =
        [("mapping", "Revisions"), ("mapping/revisions", "All that is stored"), ("mapping/edit", "Editor"), ("mapping/plugins", "Plugins")];
    words::tabs(seat, "Mapping", here, &all)
}

/// A revision, with the way to its page.
fn revision_link(seat: &Seat, of: &RevisionHash) -> Markup {
    html! { a href=(seat.at(&format!("mapping/revisions/{of}"))) { (hash(of.as_str())) } }
}

/// GET …/mapping
///
/// # Errors
/// The store's.
pub async fn show(seat: Seat, State(app): State<Arc<App>>, _: ApiQuery<Nothing>) -> Result<Response> {
    let (now, tenant) = (app.clock.now(), &seat.tenant.id);
    // Whom a fresh revision has turned away up to now is part of the answer.
    tenancy::look_after_fresh(&app, Some(tenant)).await?;
    let activations = app.store.activations(tenant, SHOWN).await?;
    app.shadows.flush(&app, Some(tenant)).await?;
    let trials = app.store.trials(tenant, SHOWN).await?;
    let active = tenancy::active(&app, tenant).await?;
    let rights = seat.rights(&app).await?;
    let edits = html! { @if rights.may(AdminAction::AuthorRevisions) && active.hash.is_some() { a.button.main href=(seat.at("mapping/edit")) { "Edit policies" } } };
    let body = html! {
        (heading("Mapping", &edits))
        (tabs(&seat, "mapping"))
        @match &active.hash {
            None => (empty("No revision yet", &html! {
                "A revision is a folder of settings, policies, tables and a plugin, known by its hash. The first one is stored with "
                code { "rolecall tenant apply " (tenant) " FOLDER" } "; from then on policies can be edited here."
            })),
            Some(of) => (standing(&seat, of, &activations, (active.built.is_some(), now))),
        }
        (candidates(&seat, &trials, &activations, active.hash.as_ref(), now))
        @if !activations.is_empty() { (activated(&seat, &activations, now)) }
    };
    Ok(Page { seat: &seat, section: Section::Mapping, title: "Mapping", trail: &[], body }.into_response())
}

fn standing(seat: &Seat, of: &RevisionHash, activations: &[Activation], (built, now): (bool, Instant)) -> Markup {
    let activation = activations.iter().find(|activation| activation.revision == *of && activation.state.word() == "active");
    html! {
        section.card {
            h2 { "Active: " (revision_link(seat, of)) }
            @if !built { p.note role="alert" { "It can’t be built any more: nothing is granted until another one is activated. The server’s log says why." } }
            @if let Some(activation) = activation {
                p { "Since " (When { at: activation.at, now }) " by " (words::actor(&activation.actor)) "." }
                @if let Some(watch) = activation.watch {
                    @if now < watch.until {
                        p { "It is watched until " (When { at: watch.until, now }) ": " (activation.turned_away.people()) " people were turned away, and at "
                            (watch.limit + 1) " the revision before is active again." }
                    }
                }
            }
            p.quiet { "The revisions of the tenant are activated by its " (seat.tenant.managed_by) "." }
        }
    }
}

/// Revisions that were tried out and are neither active nor were.
fn candidates(seat: &Seat, trials: &[Trial], activations: &[Activation], active: Option<&RevisionHash>, now: Instant) -> Markup {
    let in_force = activations.iter().filter(|activation| activation.state.came_into_force());
    let activated: BTreeSet<&RevisionHash> = in_force.map(|activation| &activation.revision).chain(active).collect();
    html! {
        @if !trials.is_empty() {
            h2 { "Tried out" }
            table.stack {
                thead { tr { th scope="col" { "Revision" } th scope="col" { "How" } th scope="col" { "Result" } th scope="col" { "Began" } } }
                tbody data-rows {
                    @for trial in trials {
                        tr {
                            td { (revision_link(seat, &trial.revision)) @if !activated.contains(&trial.revision) { " " span.badge { "candidate" } } }
                            td { a href=(seat.at(&format!("mapping/trials/{}", trial.id))) {
                                @match trial.kind { TrialKind::Simulation => "simulation", TrialKind::Shadow => "shadow" }
                            } }
                            td { (badge(trial.state.word())) " " (trial.summary.different) " of " (trial.summary.people) " different" }
                            td { (When { at: trial.started, now }) " " span.quiet { "by " (words::actor(&trial.actor)) } }
                        }
                    }
                }
            }
        }
    }
}

fn activated(seat: &Seat, activations: &[Activation], now: Instant) -> Markup {
    html! {
        h2 { "Activations" }
        table.stack {
            thead { tr { th scope="col" { "Number" } th scope="col" { "Revision" } th scope="col" { "What became of it" } th scope="col" { "When" } } }
            tbody {
                @for activation in activations {
                    tr {
                        td { (activation.number) }
                        td { (revision_link(seat, &activation.revision)) }
                        td {
                            (badge(activation.state.word()))
                            @if let Some(reason) = &activation.reason { " " (reason) }
                            @if let Some(simulation) = &activation.simulation { " " a href=(seat.at(&format!("mapping/trials/{simulation}"))) { "simulation" } }
                            @if activation.turned_away.people() > 0 { " " (activation.turned_away.people()) " people turned away" }
                        }
                        td { (When { at: activation.at, now }) " " span.quiet { "by " (words::actor(&activation.actor)) } }
                    }
                }
            }
        }
        p.quiet { "To go back, open the revision that was active before and activate it again: that asks for no simulation and no second person." }
    }
}
