//! A revision on its way: checked, stored, activated by those who may, watched while it is fresh, and taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::active::{Active, active, active_now, built};
use super::admin::{self, Asked};
use super::fresh::{Fresh, Verdict};
use super::{TenancyError, governance, handles, moved, person, plugins};
use crate::app::App;
use crate::crypto::sha256_hex;
use crate::diagnostic::Diagnostic;
use crate::model::{
    ActivationSettings, ActivationState, Actor, AdminAction, RevisionHash, SecondPerson, TenantId, TrialKind, TrialState, Urgency, Watch,
};
use crate::revision::{self, Files, Revision};
use crate::store::{ApiPrincipal, DespiteChanges, NewActivation, NewPlugin, StoreError, StoredRevision, Tenant};

/// For how long a simulation counts when its revision is activated, in hours: the people are others by then.
const SIMULATION_HOURS: i64 = 24;

/// For how long the first of two people's word counts, in hours.
const SECOND_PERSON_HOURS: i64 = 7 * 24;

/// What checking a revision found.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Checked {
    /// Its hash.
    pub hash: RevisionHash,
    /// How many golden cases passed.
    pub golden_passed: usize,
    /// The revision that is active now.
    pub active: Option<RevisionHash>,
}

/// The settings by which the next activation is watched: the active revision's, never the candidate's.
///
/// # Errors
/// The store's.
pub async fn activation_settings(app: &Arc<App>, tenant: &TenantId) -> Result<ActivationSettings, StoreError> {
    Ok(active_now(app, tenant).await?.activation_settings())
}

/// Why a folder's revision is not to be activated by itself: it was taken back, or waits for somebody.
///
/// # Errors
/// The store's.
pub async fn set_aside(app: &App, tenant: &TenantId, hash: &RevisionHash) -> Result<Option<String>, StoreError> {
    let last = app.store.activation_of(tenant, hash, None).await?;
    Ok(last.and_then(|activation| match activation.state {
        ActivationState::Returned => Some(format!(
            "revision {hash} was taken back: {}. Change the folder, or activate it with `rolecall tenant activate --tenant {tenant} {hash}`",
            activation.reason.unwrap_or_default()
        )),
        ActivationState::Held => activation.reason,
        ActivationState::Active | ActivationState::Superseded | ActivationState::Dropped => None,
    }))
}

/// Checks files as a revision, golden cases included, without storing anything.
///
/// # Errors
/// `Broken`, `Golden`.
pub async fn check_revision(app: &Arc<App>, tenant: &TenantId, files: Files) -> Result<Checked, TenancyError> {
    Ok(checked(app, tenant, files).await?.1)
}

async fn checked(app: &Arc<App>, tenant: &TenantId, files: Files) -> Result<(Arc<Revision>, Checked), TenancyError> {
    let active = app.store.tenant(tenant).await?.and_then(|tenant| tenant.active_revision);
    plugins::check_signatures(app, tenant, &files).await?;
    let files = Arc::new(files);
    let built = built(app, &files).await.map_err(TenancyError::Broken)?;
    let (hash, tested) = (built.hash.clone(), Arc::clone(&built));
    // Golden cases are tenant code: on the tenant's threads, within its share.
    let results = app.compute.run(tenant, Urgency::Live, move || tested.run_tests(&files)).await?.map_err(TenancyError::Broken)?;
    if results.iter().any(|case| case.diff.is_some()) {
        return Err(TenancyError::Golden(results));
    }
    Ok((built, Checked { hash, golden_passed: results.len(), active }))
}

/// The contents that paths refer to by their SHA-256. Whatever a revision of the tenant has can be referred to, and nothing else.
///
/// # Errors
/// `Broken` with the code `not_stored` for each path whose contents the tenant does not have.
pub async fn stored_contents(app: &App, tenant: &TenantId, references: BTreeMap<String, String>) -> Result<Files, TenancyError> {
    if references.is_empty() {
        return Ok(Files::new());
    }
    let digest = |text: &&String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wanted: BTreeSet<String> = references.values().filter(digest).cloned().collect();
    let too_large = || TenancyError::Broken(vec![revision::too_large_together()]);
    let limit = revision::TOTAL_BYTES_LIMIT;
    let found = app.store.contents(tenant, &wanted.into_iter().collect::<Vec<_>>(), limit).await?.ok_or_else(too_large)?;
    let (mut files, mut problems, mut bytes) = (Files::new(), Vec::new(), 0_usize);
    for (path, digest) in references {
        match found.get(&digest) {
            // One content may stand at many paths: bounded before it is copied.
            Some(contents) => {
                bytes = bytes.saturating_add(contents.len());
                if bytes > limit {
                    return Err(too_large());
                }
                files.insert(path, contents.clone());
            }
            None => {
                let problem = Diagnostic::of_file(&path, "no revision of the tenant has a file with these contents");
                problems.push(problem.with_code("not_stored").with_help("send the file itself"));
            }
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(TenancyError::Broken(problems)) }
}

/// Checks files as a revision (golden cases included) and stores it.
///
/// # Errors
/// `Broken`, `Golden`.
pub async fn store_revision(app: &Arc<App>, tenant: &TenantId, files: Files) -> Result<Checked, TenancyError> {
    let (built, checked) = checked(app, tenant, files.clone()).await?;
    let plugins: Vec<NewPlugin> = files
        .iter()
        .filter(|(path, _)| revision::is_plugin(path))
        .filter_map(|(_, bytes)| {
            let digest = sha256_hex(bytes);
            let bound = [&built.transform, &built.propose].into_iter().flatten().find(|bound| bound.plugin.digest() == digest)?;
            let described = bound.plugin.description();
            Some(NewPlugin {
                digest,
                name: described.name.clone(),
                version: described.version.clone(),
                hooks: bound.plugin.hooks().into_iter().map(str::to_owned).collect(),
                size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            })
        })
        .collect();
    let stored = StoredRevision { hash: checked.hash.clone(), files };
    app.store.put_revision(tenant, &stored, &plugins, app.clock.now()).await?;
    Ok(checked)
}

/// Activates a stored revision if the one that it replaces still is the active one. `owner` is `folder` or `api` and must be the
/// tenant's `managed_by`, unless the folder's own revision waits for somebody. For a while, people whom the fresh revision turns away are
/// counted: past a limit the one before is activated again.
///
/// # Errors
/// `Store(Conflict)` when another was activated meanwhile; `Refused` when somebody else owns the tenant's revisions or the simulation
/// does not fit; `Broken` when it can't be built.
pub async fn activate(app: &Arc<App>, tenant: &TenantId, wanted: NewActivation, owner: &str, actor: &Actor) -> Result<(), TenancyError> {
    activate_for(app, tenant, wanted, owner, (actor, None)).await
}

/// The same, by somebody with a token: the admin policies are asked whether they may.
///
/// # Errors
/// Those of [`activate`]; `Forbidden`.
pub async fn activate_as(
    app: &Arc<App>,
    tenant: &TenantId,
    wanted: NewActivation,
    owner: &str,
    who: &ApiPrincipal,
) -> Result<(), TenancyError> {
    activate_for(app, tenant, wanted, owner, (&who.actor(), Some(who))).await
}

/// Refuses whoever does not own the tenant's revisions.
///
/// # Errors
/// `Refused`.
pub fn check_owner(tenant: &Tenant, owner: &str) -> Result<(), TenancyError> {
    if tenant.managed_by == owner {
        return Ok(());
    }
    let Tenant { id, managed_by, .. } = tenant;
    Err(TenancyError::Refused(format!("the revisions of tenant `{id}` are managed by its {managed_by}: change them there")))
}

async fn activate_for(
    app: &Arc<App>,
    tenant: &TenantId,
    mut wanted: NewActivation,
    owner: &str,
    (actor, who): (&Actor, Option<&ApiPrincipal>),
) -> Result<(), TenancyError> {
    let stored = app.store.tenant(tenant).await?.ok_or(StoreError::Missing("tenant"))?;
    if let Err(refused) = check_owner(&stored, owner)
        && set_aside(app, tenant, &wanted.revision).await?.is_none()
    {
        return Err(refused);
    }
    let before = active_now(app, tenant).await?;
    let settings = before.activation_settings();
    let expected = simulated(app, tenant, &mut wanted, &settings).await?;
    let files = app.store.revision(tenant, &wanted.revision).await?.ok_or(StoreError::Missing("revision"))?.files;
    // By the keys of now: one may have been removed since the revision was stored.
    plugins::check_signatures(app, tenant, &files).await?;
    // Built before it is swapped in: a revision that can't be built never replaces one that can.
    let built = built(app, &Arc::new(files)).await.map_err(TenancyError::Broken)?;
    let turn = turn(app, tenant, &before, &built, &wanted, actor).await?;
    if let Some(who) = who {
        let privileged = before.built.as_ref().is_none_or(|active| active.privilege != built.privilege);
        let action = if turn == Turn::Confirms { AdminAction::ConfirmRevision } else { AdminAction::ActivateRevision };
        admin::ask(app, tenant, who, action, Asked::Revision { hash: &wanted.revision, privileged }).await?;
    }
    if let Turn::Waits(reason) = turn {
        app.store.hold_activation(tenant, &wanted, &reason, actor, app.clock.now()).await?;
        return Err(TenancyError::Held(format!("revision {} is held: {reason}", wanted.revision)));
    }
    let now = app.clock.now();
    // Without a revision to go back to there is nothing to watch for.
    let previous = before.built.filter(|revision| settings.watch_hours > 0 && Some(&revision.hash) == wanted.replaces.as_ref());
    // Going back is a way out, and is not second-guessed.
    if previous.is_some() && !was_active(app, tenant, &wanted.revision).await? {
        let population = app.store.count_people(tenant, settings.population_needed()).await?;
        let limit = settings.limit(population).saturating_add(expected);
        wanted.watch = Some(Watch { limit, until: now.plus_seconds(i64::from(settings.watch_hours) * 3600) });
    }
    app.store.activate(tenant, &wanted, actor, now).await?;
    drop(built);
    // Read again, with the watch over it: what was built last is at hand.
    app.revisions.forget(tenant);
    active(app, tenant).await?;
    handles::bind_unbound(app, tenant, None).await?;
    app.wake.notify_one();
    Ok(())
}

/// Whether an activation waits for another person.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// One person is enough.
    Alone,
    /// Somebody said it before.
    Confirms,
    /// A second person has to say it as well.
    Waits(String),
}

/// Whether a second person has to say it as well, and whether this is one: a token that names nobody may be anybody's, and is neither. By
/// the settings of what is active; the first revision of a tenant and the way back need none.
async fn turn(
    app: &Arc<App>,
    tenant: &TenantId,
    before: &Active,
    built: &Revision,
    wanted: &NewActivation,
    actor: &Actor,
) -> Result<Turn, TenancyError> {
    let Some(active) = &before.built else { return Ok(Turn::Alone) };
    let needed = match active.approvals.second_person {
        SecondPerson::Always => true,
        SecondPerson::Privileged => active.privilege != built.privilege,
        SecondPerson::Never => false,
    };
    if !needed || active.hash == built.hash || was_active(app, tenant, &wanted.revision).await? {
        return Ok(Turn::Alone);
    }
    let now = app.clock.now();
    let first = app.store.activation_of(tenant, &wanted.revision, Some(ActivationState::Held)).await?;
    let said = first.filter(|first| now <= first.at.plus_seconds(SECOND_PERSON_HOURS * 3_600));
    if let Some(first) = said
        && actor.kind == Actor::PERSON
        && first.actor.kind != Actor::API_TOKEN
        && !person::same_actor(app, tenant, &first.actor, actor).await?
    {
        return Ok(Turn::Confirms);
    }
    let reason = format!(
        "it changes what decides about privileged roles, so a second person has to activate it within {SECOND_PERSON_HOURS} hours: \
         `rolecall tenant activate` with a token that names them (`rolecall token create --person`)"
    );
    Ok(Turn::Waits(reason))
}

/// How many people the simulation that an activation names turned away: expected, then. It counts as long as it is of what is activated,
/// of everybody, and of people who are still those whom it saw, unless somebody says that it does all the same.
async fn simulated(app: &App, tenant: &TenantId, wanted: &mut NewActivation, settings: &ActivationSettings) -> Result<i64, TenancyError> {
    if let Some(despite) = &wanted.despite_changes {
        governance::check_words(&despite.reason, None)?;
    }
    let Some(id) = &wanted.simulation else {
        if wanted.despite_changes.is_some() {
            return Err(TenancyError::Refused("`despite_changes` is said of a simulation: name it as well".into()));
        }
        // Back to what was active before is a way out, and never waits.
        let new = settings.require_simulation && !was_active(app, tenant, &wanted.revision).await?;
        let needed = "the tenant's revisions are activated after a simulation: begin one with `rolecall tenant simulate`, and name it";
        return if new { Err(TenancyError::Refused(needed.into())) } else { Ok(0) };
    };
    let trial = app.store.trial(tenant, id).await?.ok_or(StoreError::Missing("simulation"))?;
    let old = app.clock.now() > trial.started.plus_seconds(SIMULATION_HOURS * 3600);
    let problem = if trial.kind != TrialKind::Simulation {
        "is a shadow: an activation names a simulation".to_owned()
    } else if trial.revision != wanted.revision {
        format!("is of revision {}: what is activated has to be what was simulated", trial.revision)
    } else if trial.base != wanted.replaces {
        "was begun while another revision was active: begin another one".to_owned()
    } else if trial.state != TrialState::Finished {
        format!("is {}: only one that has asked about everybody counts", trial.state)
    } else if let Some(part) = &trial.part {
        format!("is of a part of the people ({part}): an activation names one of everybody")
    } else if old {
        format!("is older than {SIMULATION_HOURS} hours, and the people are others by now: begin another one")
    } else {
        let moved = moved(app, tenant, &trial, settings).await?;
        wanted.despite_changes = match wanted.despite_changes.take() {
            // Only what had to be said is part of the history.
            Some(despite) => moved.is_past().then_some(DespiteChanges { moved: moved.people, ..despite }),
            None if moved.is_past() => return Err(TenancyError::Refused(moved.refusal(id))),
            None => None,
        };
        return Ok(i64::try_from(trial.summary.turned_away).unwrap_or(i64::MAX));
    };
    Err(TenancyError::Refused(format!("simulation `{id}` {problem}")))
}

async fn was_active(app: &App, tenant: &TenantId, hash: &RevisionHash) -> Result<bool, StoreError> {
    Ok(app.store.activation_of(tenant, hash, Some(ActivationState::Superseded)).await?.is_some())
}

/// Activates the revision before a fresh one again. Where its plugins are not signed as the tenant wants it by now, it runs no more: the
/// fresh one stays, and its watch ends.
///
/// # Errors
/// The store's; whoever turns somebody away next tries again.
pub async fn take_back(app: &Arc<App>, tenant: &TenantId, fresh: &Arc<Fresh>) -> Result<(), StoreError> {
    let actor = Actor { kind: "guard".into(), id: "turned_away".into() };
    let wanted =
        NewActivation { returns: Some(fresh.reason()), ..NewActivation::of(fresh.previous.hash.clone(), Some(fresh.revision.clone())) };
    let unsaved = fresh.unsaved();
    if let Err(error) = app.store.turn_away(tenant, fresh.activation, unsaved).await {
        fresh.put_back(unsaved);
        fresh.failed();
        return Err(error);
    }
    match may_run(app, tenant, &fresh.previous.hash).await {
        Ok(true) => {}
        Ok(false) => {
            let previous = &fresh.previous.hash;
            tracing::warn!(%tenant, revision = %fresh.revision, %previous, "a revision turns too many people away, and stays: the plugins of the one before are not signed as the tenant wants it");
            app.revisions.settle(tenant, fresh);
            app.wake.notify_one();
            return Ok(());
        }
        Err(error) => {
            fresh.failed();
            return Err(error);
        }
    }
    match app.store.activate(tenant, &wanted, &actor, app.clock.now()).await {
        Ok(()) => {
            tracing::warn!(%tenant, revision = %fresh.revision, back_to = %fresh.previous.hash, "a revision turned too many people away and was taken back");
            app.metrics.revision_returned(tenant);
        }
        // Somebody else has taken it back, or activated another.
        Err(StoreError::Conflict { .. }) => {}
        Err(error) => {
            fresh.failed();
            return Err(error);
        }
    }
    app.revisions.forget(tenant);
    active(app, tenant).await?;
    handles::bind_unbound(app, tenant, None).await?;
    app.wake.notify_one();
    Ok(())
}

/// Whether the plugins of a stored revision are signed as the tenant wants it now: a key may be removed because somebody else has it.
async fn may_run(app: &App, tenant: &TenantId, hash: &RevisionHash) -> Result<bool, StoreError> {
    let files = app.store.revision(tenant, hash).await?.ok_or(StoreError::Missing("revision"))?.files;
    match plugins::check_signatures(app, tenant, &files).await {
        Ok(()) => Ok(true),
        Err(TenancyError::Store(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Writes whom fresh revisions turned away, takes back those that are past their limit in all processes together, and ends the
/// watch over those whose time is over; `only` of one tenant.
///
/// # Errors
/// The store's.
pub async fn look_after_fresh(app: &Arc<App>, only: Option<&TenantId>) -> Result<(), StoreError> {
    for (tenant, fresh) in app.revisions.watched().into_iter().filter(|(tenant, _)| only.is_none_or(|only| tenant == only)) {
        if !fresh.is_watched(app.clock.now()) {
            app.revisions.settle(&tenant, &fresh);
        }
        let unsaved = fresh.unsaved();
        if unsaved.people() == 0 {
            continue;
        }
        match app.store.turn_away(&tenant, fresh.activation, unsaved).await {
            Ok(Some(totals)) => {
                if fresh.learn(totals) == Verdict::Past && fresh.begin_return() {
                    take_back(app, &tenant, &fresh).await?;
                }
            }
            Ok(None) => app.revisions.forget(&tenant),
            Err(error) => {
                fresh.put_back(unsaved);
                return Err(error);
            }
        }
    }
    Ok(())
}
