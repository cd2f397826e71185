//! One stored revision: what differs from the active one, what it would do, and its activation.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Nothing, SHOWN};
use crate::app::App;
use crate::http::api::revisions::OWNER;
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At};
use crate::http::workspace::form::{Sent, answer as answered};
use crate::http::workspace::page::{self, Page, Section, When, badge, hash as short, heading, token};
use crate::http::workspace::path::{self, with};
use crate::http::workspace::seat::{Rights, Seat};
use crate::http::workspace::words;
use crate::model::{Activation, ActivationState, AdminAction, Instant, RevisionHash, Trial, TrialKind, TrialState};
use crate::policies::{ChangedPolicy, PolicyDifference};
use crate::revision::is_rule;
use crate::store::{Connection, DespiteChanges, NewActivation, StoreError};
use crate::tenancy::admin::Asked;
use crate::tenancy::authoring;
use crate::tenancy::{self, TenancyError};
use crate::trial::part::NamedPart;
use crate::trial::{self, SHADOW_HOURS_LIMIT, Wanted};

/// Which file.
#[derive(Deserialize, JsonSchema)]
pub struct FileQuery {
    /// Its path in the folder.
    path: String,
}

/// What the page is made from.
struct Read {
    hash: RevisionHash,
    active: Option<RevisionHash>,
    digests: BTreeMap<String, String>,
    /// The active revision's files, where that is another one.
    before: BTreeMap<String, String>,
    difference: Option<PolicyDifference>,
    trials: Vec<Trial>,
    /// Its activation that waits for somebody.
    held: Option<Activation>,
    /// Whether it was active before.
    was: bool,
    connections: Vec<Connection>,
    /// What is said about whether the newest simulation still counts.
    moved: Option<String>,
}

async fn read(app: &Arc<App>, seat: &Seat, hash: RevisionHash) -> Result<Read> {
    let tenant = &seat.tenant.id;
    let digests = app.store.revision_digests(tenant, &hash).await?.ok_or_else(|| Error::not_found("such revision"))?;
    let active = tenancy::active(app, tenant).await?.hash;
    let other = active.clone().filter(|active| *active != hash);
    let (before, difference) = match &other {
        Some(active) => {
            let before = app.store.revision_digests(tenant, active).await?.unwrap_or_default();
            (before, Some(authoring::diff(app, tenant, None, Some(hash.clone())).await?))
        }
        None => (BTreeMap::new(), None),
    };
    app.shadows.flush(app, Some(tenant)).await?;
    let trials: Vec<Trial> = app.store.trials(tenant, SHOWN).await?.into_iter().filter(|trial| trial.revision == hash).collect();
    let moved = match trials.iter().find(|trial| counts(trial, active.as_ref())) {
        Some(trial) => {
            let moved = tenancy::moved(app, tenant, trial, &tenancy::activation_settings(app, tenant).await?).await?;
            Some(format!("Since it began, {moved}; it counts for at most {}.", moved.limit))
        }
        None => None,
    };
    let held = app.store.activation_of(tenant, &hash, Some(ActivationState::Held)).await?;
    let was = app.store.activation_of(tenant, &hash, Some(ActivationState::Superseded)).await?.is_some();
    let connections = app.store.connections(tenant).await?;
    Ok(Read { hash, active, digests, before, difference, trials, held, was, connections, moved })
}

/// Whether an activation may name the simulation, as far as that does not depend on the instant.
fn counts(trial: &Trial, active: Option<&RevisionHash>) -> bool {
    trial.kind == TrialKind::Simulation && trial.state == TrialState::Finished && trial.part.is_none() && trial.base.as_ref() == active
}

/// GET …/mapping/revisions/{hash}
///
/// # Errors
/// 404.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, hash)): At<(String, RevisionHash)>,
    _: ApiQuery<Nothing>,
) -> Result<Response> {
    let (now, rights) = (app.clock.now(), seat.rights(&app).await?);
    let read = read(&app, &seat, hash).await?;
    let about = [false, true].map(|privileged| Asked::Revision { hash: &read.hash, privileged });
    let activates =
        seat.may(&app, AdminAction::ActivateRevision, &about).await? || seat.may(&app, AdminAction::ConfirmRevision, &about).await?;
    let is_active = read.active.as_ref() == Some(&read.hash);
    let edits = html! {
        @if rights.may(AdminAction::AuthorRevisions) {
            a.button href=(with(&seat.at("mapping/edit"), &[("revision", read.hash.as_str())])) { "Edit from here" }
        }
    };
    let title = format!("Revision {}", page::short(read.hash.as_str()));
    let body = html! {
        (heading(&title, &edits))
        p { @if is_active { (badge("active")) " This revision decides about everybody." } @else { "Stored, and without effect until it is activated." } }
        (held(&read, now))
        @if let Some(difference) = &read.difference { (differs(&read, difference)) }
        @if !is_active { (trials(&seat, &read, &rights, now)) (activation(&seat, &read, activates)) }
        (files(&seat, &read))
    };
    let trail = [("Mapping", seat.at("mapping"))];
    Ok(Page { seat: &seat, section: Section::Mapping, title: &title, trail: &trail, body }.into_response())
}

/// That a second person is waited for, or somebody at all.
fn held(read: &Read, now: Instant) -> Markup {
    html! {
        @if let Some(first) = &read.held {
            p.note { (words::actor(&first.actor)) " said " (When { at: first.at, now }) " that it is to be activated. "
                (first.reason.as_deref().unwrap_or_default()) }
        }
    }
}

fn differs(read: &Read, difference: &PolicyDifference) -> Markup {
    let PolicyDifference { added, removed, changed, annotated } = difference;
    let nothing = added.is_empty() && removed.is_empty() && changed.is_empty() && annotated.is_empty();
    let all: std::collections::BTreeSet<&String> = read.digests.keys().chain(read.before.keys()).collect();
    html! {
        section {
            h2 { "What differs from the active revision " @if let Some(active) = &read.active { (short(active.as_str())) } }
            @if nothing { p { "No policy decides otherwise." } }
            @for policy in added { h3 { "New: " code { (policy.policy) } } pre.add tabindex="0" { (policy.text) } }
            @for policy in removed { h3 { "Gone: " code { (policy.policy) } } pre.del tabindex="0" { (policy.text) } }
            @for policy in changed { (clauses("Changed", policy)) }
            @for policy in annotated { (clauses("Other words, same decision", policy)) }
            h3 { "Files" }
            ul.lines {
                @for path in all {
                    @match (read.before.get(path), read.digests.get(path)) {
                        (Some(before), Some(after)) if before == after => {}
                        (Some(_), Some(_)) => li { "changed " code { (path) } }
                        (None, _) => li { "new " code { (path) } }
                        (_, None) => li { "gone " code { (path) } }
                    }
                }
            }
        }
    }
}

fn clauses(words: &str, policy: &ChangedPolicy) -> Markup {
    html! {
        h3 { (words) ": " code { (policy.policy) } }
        @for clause in &policy.clauses {
            p.quiet { (clause.clause) }
            @if let Some(before) = &clause.before { pre.del tabindex="0" { "- " (before) } }
            @if let Some(after) = &clause.after { pre.add tabindex="0" { "+ " (after) } }
        }
    }
}

fn trials(seat: &Seat, read: &Read, rights: &Rights, now: Instant) -> Markup {
    html! {
        section {
            h2 { "Try it out" }
            @if read.trials.is_empty() { p { "A simulation asks everybody who is stored what would be different, and a shadow goes along with what is decided from now on. Neither has any effect." } }
            @else {
                ul.lines {
                    @for trial in &read.trials {
                        li {
                            a href=(seat.at(&format!("mapping/trials/{}", trial.id))) { (trial.kind.word()) } " " (badge(trial.state.word())) " "
                            (trial.summary.different) " of " (trial.summary.people) " different, " (trial.summary.turned_away) " turned away "
                            span.quiet { "begun " (When { at: trial.started, now }) @if let Some(part) = &trial.part { ", of " (part) } }
                        }
                    }
                }
            }
            @if rights.may(AdminAction::TryRevisions) {
                form method="post" action=(seat.at(&format!("mapping/revisions/{}/try", read.hash))) {
                    (token(&seat.guest))
                    (part(&read.connections))
                    div.actions {
                        button.main name="kind" value="simulation" { "Simulate" }
                        button name="kind" value="shadow" { "Begin a shadow" }
                    }
                }
            } @else { p.quiet { "Revisions are tried out by those whom the admin policies let try them (tryRevisions)." } }
        }
    }
}

fn part(connections: &[Connection]) -> Markup {
    html! {
        details.card {
            summary { "Of a part of the people, or for how long" }
            fieldset {
                legend { "A simulation of" }
                @for connection in connections {
                    label.check { input type="checkbox" name="connection" value=(connection.id); "people of " (connection.name) }
                }
                label { "Members of these groups " span.quiet { "(handles, one a line)" } textarea name="groups" {} }
                label { "These people " span.quiet { "(login names or account ids, one a line)" } textarea name="people" {} }
                p.quiet { "Nothing chosen: everybody. An activation can’t name a simulation of a part." }
            }
            fieldset {
                legend { "A shadow" }
                label { "Share of the people, in percent" input type="number" name="percent" min="1" max="100" value="100"; }
                label { "Hours" input type="number" name="hours" min="1" max=(SHADOW_HOURS_LIMIT) value="24"; }
            }
        }
    }
}

fn activation(seat: &Seat, read: &Read, activates: bool) -> Markup {
    let good: Vec<&Trial> = read.trials.iter().filter(|trial| counts(trial, read.active.as_ref())).collect();
    let was = read.was;
    html! {
        section.card {
            h2 { @if was { "Go back to it" } @else { "Activate it" } }
            @if was { p { "It was active before. Going back is a way out: it asks for no simulation." } }
            @if activates {
                form method="post" action=(seat.at(&format!("mapping/revisions/{}/activate", read.hash))) {
                    (token(&seat.guest))
                    input type="hidden" name="replaces" value=(read.active.as_ref().map_or("", |active| active.as_str()));
                    label { "It rests on" select name="simulation" {
                        @for trial in &good { option value=(trial.id) { "the simulation of " (words::clock(trial.started)) ": " (trial.summary.different) " different, " (trial.summary.turned_away) " turned away" } }
                        option value="" { "no simulation" }
                    } }
                    @if let Some(moved) = &read.moved { p { (moved) } }
                    label { "Why, although people have changed since the simulation " span.quiet { "(needed past the limit alone)" } input type="text" name="despite" maxlength="1000"; }
                    p { "Everybody is decided under it from now on; what concerns more people than may be at once is held. The revision before can be activated again on its page." }
                    button.main { @if was { "Activate it again" } @else { "Activate" } }
                }
            } @else { p.quiet { "Revisions are activated by those whom the admin policies let activate them (activateRevision)." } }
        }
    }
}

fn files(seat: &Seat, read: &Read) -> Markup {
    let here = seat.at(&format!("mapping/revisions/{}/file", read.hash));
    html! {
        h2 { "Files" }
        ul.lines { @for path in read.digests.keys() { li { a href=(with(&here, &[("path", path)])) { code { (path) } } } } }
    }
}

/// GET …/mapping/revisions/{hash}/file
///
/// # Errors
/// 404.
pub async fn file(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, hash)): At<(String, RevisionHash)>,
    ApiQuery(query): ApiQuery<FileQuery>,
) -> Result<Response> {
    let tenant = &seat.tenant.id;
    let digests = app.store.revision_digests(tenant, &hash).await?.ok_or_else(|| Error::not_found("such revision"))?;
    let digest = digests.get(&query.path).ok_or_else(|| Error::not_found("such file in the revision"))?;
    let one = BTreeMap::from([(query.path.clone(), digest.clone())]);
    let mut files = tenancy::stored_contents(&app, tenant, one).await?;
    let bytes = files.remove(&query.path).unwrap_or_default();
    let size = bytes.len();
    let may_edit = seat.rights(&app).await?.may(AdminAction::AuthorRevisions) && is_rule(&query.path);
    let edits = html! {
        @if may_edit { a.button.main href=(with(&seat.at("mapping/edit"), &[("revision", hash.as_str()), ("path", &query.path)])) { "Edit" } }
    };
    let body = html! {
        (heading(&query.path, &edits))
        p.quiet { (size) " bytes, SHA-256 " code { (digest) } }
        @match String::from_utf8(bytes) {
            Ok(text) => pre tabindex="0" { (text) },
            Err(_) => p { "It is no text." },
        }
    };
    let trail = [("Mapping", seat.at("mapping")), ("Revision", seat.at(&format!("mapping/revisions/{hash}")))];
    Ok(Page { seat: &seat, section: Section::Mapping, title: &query.path, trail: &trail, body }.into_response())
}

/// POST …/mapping/revisions/{hash}/try
///
/// # Errors
/// Those that no other input would avoid.
pub async fn try_out(seat: Seat, State(app): State<Arc<App>>, At((_, hash)): At<(String, RevisionHash)>, sent: Sent) -> Result<Response> {
    let begun = async {
        seat.ask(&app, AdminAction::TryRevisions).await?;
        let wanted = wanted(&sent, hash.clone())?;
        Ok::<_, Error>(trial::start(&app, &seat.tenant.id, wanted, &seat.principal().actor()).await?)
    };
    match begun.await {
        Ok(trial) => answered(&seat.at(&format!("mapping/trials/{}", trial.id)), Ok(format!("The {} has begun", trial.kind))),
        Err(error) => answered(&seat.at(&format!("mapping/revisions/{}", path::segment(hash.as_str()))), Err::<String, _>(error)),
    }
}

fn wanted(sent: &Sent, hash: RevisionHash) -> Result<Wanted> {
    let lines = |name: &str| -> Vec<String> {
        sent.get(name).unwrap_or_default().lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    if sent.get("kind") != Some("shadow") {
        let connections = sent.all("connection").map(str::to_owned).collect();
        return Ok(Wanted {
            part: NamedPart { connections, groups: lines("groups"), people: lines("people") },
            ..Wanted::simulation(hash)
        });
    }
    let within = |name: &str, most: u32| {
        let number = sent.get(name).and_then(|text| text.parse::<u32>().ok()).filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| Error::bad_request(format!("“{name}” is from 1 to {most}"), "a form's number is out of range"))
    };
    let percent = u8::try_from(within("percent", 100)?).unwrap_or(100);
    Ok(Wanted { kind: TrialKind::Shadow, percent, hours: within("hours", SHADOW_HOURS_LIMIT)?, ..Wanted::simulation(hash) })
}

/// POST …/mapping/revisions/{hash}/activate
///
/// # Errors
/// Those that no other input would avoid.
pub async fn activate(seat: Seat, State(app): State<Arc<App>>, At((_, hash)): At<(String, RevisionHash)>, sent: Sent) -> Result<Response> {
    let wanted = NewActivation {
        simulation: sent.get("simulation").map(str::to_owned),
        despite_changes: sent.get("despite").map(|reason| DespiteChanges { reason: reason.to_owned(), moved: 0 }),
        ..NewActivation::of(hash.clone(), sent.get("replaces").map(RevisionHash::from))
    };
    let done = match tenancy::activate_as(&app, &seat.tenant.id, wanted, OWNER, &seat.principal()).await {
        Ok(()) => Ok("It is active. Everybody is decided under it now.".to_owned()),
        // The first of two has said it, and that is all that one can.
        Err(TenancyError::Held(why)) => Ok(why),
        Err(TenancyError::Store(StoreError::Conflict { .. })) => {
            Err(Error::bad_request("another revision was activated meanwhile: look at what differs from that one", "an activation is late"))
        }
        Err(error) => Err(error.into()),
    };
    answered(&seat.at(&format!("mapping/revisions/{}", path::segment(hash.as_str()))), done)
}
