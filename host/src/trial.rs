//! Candidate revisions that are tried out without effect: a simulation goes over the people who are stored, a shadow goes along with
//! what is decided. Both ask the one decision and settle it as the write path would, and keep what would be different.

pub mod export;
pub mod part;
mod picture;
mod shadow;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::crypto;
use crate::evaluation::{self, Evaluation, HookCall, Outcome};
use crate::lifecycle::{self, Case, Rules, as_of};
use crate::model::{
    AccountId, AccountState, ActivationSettings, Actor, ConnectionId, ConnectionState, Forecast, Forecasts, GuardDirection, GuardScope,
    GuardSettings, Instant, Note, PersonDifference, ResourceId, RevisionHash, Summary, TenantId, Trial, TrialKind, TrialState, Urgency,
    collision_key,
};
use crate::revision::{self, Files, Revision};
use crate::store::{Advance, Connection, NewActivation, NewDifference, Progress, StoreError};
use crate::tenancy::{self, Moved, TenancyError};

use part::NamedPart;
pub use picture::Picture;
pub use shadow::{Decision, Shadows};

/// People of one step of a simulation: read, asked about and written together.
const PEOPLE_PER_STEP: i64 = 200;
/// How many people one turn on an evaluation thread takes: the tenant's own requests come in between.
const PEOPLE_PER_TURN: usize = 16;
/// For how long a claim keeps other processes away: longer than a step takes at its slowest.
const LEASE_SECONDS: i64 = 60;
/// For how long one simulation is worked at before another's turn comes.
const SLICE: Duration = Duration::from_secs(2);
/// The pause after the evaluation threads had no room for a step.
const WHILE_BUSY: Duration = Duration::from_millis(100);
/// How often a step is tried that loses against people who are deleted while it is written.
const ATTEMPTS: usize = 5;
/// How often a folder is simulated whose people are others each time before it is held.
const SIMULATIONS: usize = 3;
/// The longest time that a shadow goes along, in hours.
pub const SHADOW_HOURS_LIMIT: u32 = 30 * 24;
/// For how long the results of trials are kept, in days.
pub const KEPT_DAYS: i64 = 14;
/// How many trials of a tenant are kept with their results.
pub const KEPT_TRIALS: i64 = 20;

/// A trial that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// How.
    pub kind: TrialKind,
    /// The candidate, stored.
    pub revision: RevisionHash,
    /// A shadow: for which share of the people, in percent.
    pub percent: u8,
    /// A shadow: for how many hours.
    pub hours: u32,
    /// A simulation: which part of the people; everybody where it names nothing.
    pub part: NamedPart,
}

impl Wanted {
    /// A simulation over everybody.
    #[must_use]
    pub fn simulation(revision: RevisionHash) -> Self {
        Self { kind: TrialKind::Simulation, revision, percent: 100, hours: 0, part: NamedPart::default() }
    }
}

/// Begins a trial.
///
/// # Errors
/// `Store(Missing)` when the candidate is not stored, `Store(Conflict)` when a trial of the kind is running, `Broken` when the candidate
/// can't be built, `Refused` for a part of the people that names what there is not.
pub async fn start(app: &Arc<App>, tenant: &TenantId, wanted: Wanted, actor: &Actor) -> Result<Trial, TenancyError> {
    // Built before it begins, so that what is wrong with it is told now.
    tenancy::candidate(app, tenant, &wanted.revision).await?;
    let base = app.store.tenant(tenant).await?.ok_or(StoreError::Missing("tenant"))?.active_revision;
    let part = part::resolve(app, tenant, wanted.part).await?;
    let started = app.clock.now();
    let shadow = wanted.kind == TrialKind::Shadow;
    let trial = Trial {
        id: crypto::random_id(),
        kind: wanted.kind,
        revision: wanted.revision,
        base,
        state: TrialState::Running,
        problem: None,
        actor: actor.clone(),
        percent: if shadow { wanted.percent } else { 100 },
        started,
        ends: shadow.then(|| started.plus_seconds(i64::from(wanted.hours) * 3600)),
        finished: None,
        population: None,
        part,
        summary: Summary::default(),
    };
    app.store.start_trial(tenant, &trial).await?;
    if shadow {
        app.shadows.refresh(app).await?;
    }
    app.trials.notify_one();
    Ok(trial)
}

/// Ends a running trial before its time.
///
/// # Errors
/// `Missing`.
pub async fn stop(app: &Arc<App>, tenant: &TenantId, trial: &str) -> Result<Trial, StoreError> {
    app.shadows.flush(app, Some(tenant)).await?;
    let trial = app.store.end_trial(tenant, trial, TrialState::Stopped, None, app.clock.now()).await?;
    app.shadows.refresh(app).await?;
    Ok(trial)
}

/// On what terms a person is compared.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// How their connection stands.
    pub connection: ConnectionState,
    /// Whether the activation of the candidate would be what causes it.
    pub activated: bool,
    /// The guard that would count them, where one would: that of the revision that is active, never the candidate's.
    pub guard: Option<&'a GuardSettings>,
    /// Now, and the instant that the evaluation is given.
    pub at: (Instant, Instant),
}

/// What a candidate makes of somebody.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// What would be different.
    pub difference: Option<NewDifference>,
    /// The scopes in which the guard would count them.
    pub scopes: Vec<(GuardDirection, GuardScope, String)>,
}

/// What a candidate makes of somebody who has `before` now, counted into `summary`.
#[must_use]
pub fn compare(candidate: &Revision, case: &Case, before: &Picture, terms: Terms<'_>, summary: &mut Summary) -> Compared {
    let (now, at) = terms.at;
    summary.people += 1;
    if !case.subject.document.is_active() {
        summary.inactive += 1;
        return Compared::default();
    }
    let evaluation = evaluate(candidate, case, at, summary);
    let mut rules = Rules::of(candidate, terms.connection);
    rules.guard = terms.guard.unwrap_or(rules.guard);
    let standing = case.standing();
    let settled = lifecycle::settle(&standing, &evaluation, &case.subject.groups, (&rules, &case.subject.connection, terms.activated), now);
    let mut compared = Compared::default();
    if let Some(guarded) = settled.guarded.as_ref().filter(|_| terms.guard.is_some()) {
        summary.guard.count(&guarded.concerned);
        compared.scopes = Forecasts::scopes_of(&guarded.concerned).collect();
    }
    let after = Picture::after(&standing, &settled);
    let Some(difference) = before.difference(&after, &evaluation.outcome, &evaluation.lost) else { return compared };
    let name_key = after.user_name.filter(|name| before.user_name.as_ref() != Some(name)).map(|name| collision_key(&name));
    let (connection, user) = (case.subject.connection.clone(), case.subject.user.clone());
    let person = PersonDifference { connection, user, account: case.account.id.clone(), difference };
    summary.count(&person);
    Compared { difference: Some(NewDifference { person, name_key }), ..compared }
}

fn evaluate(candidate: &Revision, case: &Case, at: Instant, summary: &mut Summary) -> Evaluation {
    let evaluation = evaluation::evaluate_standing(candidate, &case.subject, &case.grants, at);
    // Also those that ended in a fault, which the dearest often do; what found no slot was no call.
    for HookCall { fuel, .. } in evaluation.calls.iter().filter(|call| call.result.is_ok() || call.fuel > 0) {
        summary.call(*fuel);
    }
    match &evaluation.outcome {
        Outcome::Fault(fault) => summary.error(fault.code),
        Outcome::Refused(note) => summary.error(&note.code),
        // Whoever waits for a name goes on waiting for it, unless the candidate gives another one.
        Outcome::Account(shape) if waits_for(case, &shape.user_name) => {
            let mut subject = case.subject.clone();
            subject.collision = Some("another".into());
            return evaluation::evaluate(candidate, &subject, at);
        }
        _ => {}
    }
    evaluation
}

fn waits_for(case: &Case, name: &str) -> bool {
    let held = case.account.state == AccountState::Held && case.account.note.as_ref().is_some_and(|note| note.code == Note::COLLISION);
    held && case.account.user_name.as_deref().is_some_and(|own| collision_key(own) == collision_key(name))
}

/// Works at the simulation that has waited longest, for a slice of time. Whether there was one.
///
/// # Errors
/// The store's.
pub async fn simulate_next(app: &Arc<App>) -> Result<bool, StoreError> {
    let now = app.clock.now();
    let Some((tenant, trial)) = app.store.claim_simulation(now, now.plus_seconds(LEASE_SECONDS)).await? else { return Ok(false) };
    let began = tokio::time::Instant::now();
    // The last step of a slice is one that gives the claim back: else the next slice would wait for the end of the lease.
    let mut keep = true;
    while keep {
        keep = began.elapsed() < SLICE;
        keep &= simulate_step(app, &tenant, &trial, keep).await?;
    }
    Ok(true)
}

/// One step of a simulation; `keep` keeps the claim. Whether there is more to do.
async fn simulate_step(app: &Arc<App>, tenant: &TenantId, trial: &str, keep: bool) -> Result<bool, StoreError> {
    let Some(progress) = app.store.trial_progress(tenant, trial, PEOPLE_PER_STEP).await? else { return Ok(false) };
    let candidate = match tenancy::candidate(app, tenant, &progress.trial.revision).await {
        Ok(candidate) => candidate,
        Err(TenancyError::Store(error)) => return Err(error),
        Err(error) => {
            app.store.end_trial(tenant, trial, TrialState::Failed, Some(&error.to_string()), app.clock.now()).await?;
            return Ok(false);
        }
    };
    for attempt in 1.. {
        let Some(step) = step(app, tenant, &candidate, &progress, keep).await? else {
            tokio::time::sleep(WHILE_BUSY).await;
            return Ok(true);
        };
        match app.store.advance_trial(tenant, trial, &step).await {
            // Somebody was deleted while this was asked.
            Err(StoreError::Conflict { .. }) if attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
            Ok(kept) => return Ok(kept && step.to.is_some()),
        }
    }
    Ok(true)
}

/// Asks about the next people; `None` when there is no room on the evaluation threads.
async fn step(
    app: &Arc<App>,
    tenant: &TenantId,
    candidate: &Arc<Revision>,
    progress: &Progress,
    keep: bool,
) -> Result<Option<Advance>, StoreError> {
    let now = app.clock.now();
    let mut by_connection: BTreeMap<&ConnectionId, Vec<ResourceId>> = BTreeMap::new();
    for (connection, user) in &progress.people {
        by_connection.entry(connection).or_default().push(user.clone());
    }
    let (mut summary, mut differences, mut counted) = (Summary::default(), Vec::new(), Vec::new());
    let guard = tenancy::active_now(app, tenant).await?.built.map(|active| active.guard.clone()).unwrap_or_default();
    let connections = app.store.connections(tenant).await?;
    let groups = progress.trial.part.as_ref().map(|part| part.groups.clone()).unwrap_or_default();
    for (connection, users) in by_connection {
        let Some(Connection { state, guarded, .. }) = connections.iter().find(|known| known.id == *connection) else { continue };
        let (state, guard) = (*state, Some(guard.clone()).filter(|_| *guarded));
        let mut cases: Vec<Case> = app.store.people(tenant, connection, &users).await?.into_iter().map(Case::unchanged).collect();
        // A part leads to people by one of the things that it names; the others are asked of each.
        cases.retain(|case| groups.is_empty() || case.subject.groups.iter().any(|group| groups.contains(&group.handle)));
        while !cases.is_empty() {
            let turn: Vec<Case> = cases.drain(..cases.len().min(PEOPLE_PER_TURN)).collect();
            let (candidate, guard) = (Arc::clone(candidate), guard.clone());
            let work = move || {
                let mut part = Summary::default();
                let found = turn.iter().map(|case| {
                    let before = Picture::standing(&case.standing());
                    let at = (now, as_of(now, case.due));
                    let terms = Terms { connection: state, activated: true, guard: guard.as_ref(), at };
                    (case.account.id.clone(), compare(&candidate, case, &before, terms, &mut part))
                });
                let found: Vec<(AccountId, Compared)> = found.collect();
                (part, found)
            };
            let Ok((part, found)) = app.compute.run(tenant, Urgency::Crowd, work).await else { return Ok(None) };
            summary.merge(&part);
            for (account, compared) in found {
                counted.extend(compared.scopes.into_iter().map(|scope| (scope, account.clone())));
                differences.extend(compared.difference);
            }
        }
    }
    for ((direction, scope, of), people) in app.store.counted_already(tenant, &guard, &counted, now).await? {
        summary.guard.note_counted((direction, scope, of.as_str()), people);
    }
    let first = progress.place.0.as_str().is_empty();
    let is_counted = first && progress.trial.part.is_none();
    let population = if is_counted { Some(app.store.count_people(tenant, i64::MAX).await?) } else { None };
    let to = progress.next.clone();
    let forecasts = if to.is_none() { Some(forecasts(app, tenant, &guard, progress, &summary, now).await?) } else { None };
    let lease_until = if keep { now.plus_seconds(LEASE_SECONDS) } else { now };
    let (from, at) = (progress.place.clone(), app.clock.now());
    Ok(Some(Advance { from, to, population, summary, forecasts, differences, at, lease_until }))
}

/// How many of all whom the guard would count it would hold.
async fn forecasts(
    app: &App,
    tenant: &TenantId,
    guard: &GuardSettings,
    progress: &Progress,
    last: &Summary,
    now: Instant,
) -> Result<Vec<Forecast>, StoreError> {
    let mut all = progress.trial.summary.guard.clone();
    all.merge(&last.guard);
    app.store.limit_forecasts(tenant, guard, all.scopes, now).await
}

/// Makes files the active revision of a tenant whose revisions a folder owns: checked as an upload is, simulated where there is anybody,
/// and held for a person where it turns away more people than a fresh revision may. Says whether another was active before.
///
/// # Errors
/// [`TenancyError`]; the last good revision stays active.
pub async fn deploy(app: &Arc<App>, tenant: &TenantId, files: Files, owner: &str, actor: &Actor) -> Result<bool, TenancyError> {
    let standing = app.store.tenant(tenant).await?.ok_or(StoreError::Missing("tenant"))?;
    // Whoever owns the revisions has nothing of theirs touched: not what waits for somebody, and not their trials.
    tenancy::check_owner(&standing, owner)?;
    let hash = revision::hash(&files);
    if standing.active_revision.as_ref() == Some(&hash) {
        return Ok(false);
    }
    if let Some(reason) = tenancy::set_aside(app, tenant, &hash).await? {
        return Err(TenancyError::Refused(reason));
    }
    tenancy::store_revision(app, tenant, files).await?;
    let mut wanted = NewActivation::of(hash.clone(), standing.active_revision.clone());
    let anybody = standing.active_revision.is_some() && app.store.count_people(tenant, 1).await? > 0;
    if anybody {
        let settings = tenancy::activation_settings(app, tenant).await?;
        let (done, moved) = simulate_now(app, tenant, &hash, &settings, actor).await?;
        wanted.simulation = Some(done.id.clone());
        if moved.is_past() {
            let reason = format!(
                "{moved} while it was simulated, {SIMULATIONS} times in a row: when they have come to rest, simulate it (`rolecall tenant \
                 simulate`) and activate it (`rolecall tenant activate --tenant {tenant} {hash} --simulation …`), or change the folder"
            );
            app.store.hold_activation(tenant, &wanted, &reason, actor, app.clock.now()).await?;
            return Err(TenancyError::Refused(reason));
        }
        let limit = settings.limit(done.population.unwrap_or(0));
        let turned_away = i64::try_from(done.summary.turned_away).unwrap_or(i64::MAX);
        if turned_away > limit {
            let reason = format!(
                "its simulation turns away {turned_away} people, and a new revision may turn away {limit}: look at it with `rolecall tenant \
                 trial show --tenant {tenant} {id}`, then activate it with `rolecall tenant activate --tenant {tenant} {hash} --simulation {id}`, \
                 or change the folder",
                id = done.id
            );
            app.store.hold_activation(tenant, &wanted, &reason, actor, app.clock.now()).await?;
            return Err(TenancyError::Refused(reason));
        }
    }
    tenancy::activate(app, tenant, wanted, owner, actor).await?;
    Ok(true)
}

/// Simulates a revision over everybody, once more where the people are others at the end of it: as they are in the midst of a first sync.
async fn simulate_now(
    app: &Arc<App>,
    tenant: &TenantId,
    hash: &RevisionHash,
    settings: &ActivationSettings,
    actor: &Actor,
) -> Result<(Trial, Moved), TenancyError> {
    let mut attempts = 0;
    loop {
        let simulation = start(app, tenant, Wanted::simulation(hash.clone()), actor).await?;
        let done = finish(app, tenant, &simulation.id).await?;
        let moved = tenancy::moved(app, tenant, &done, settings).await?;
        attempts += 1;
        if attempts >= SIMULATIONS || !moved.is_past() {
            return Ok((done, moved));
        }
    }
}

/// Works at a simulation until it has ended, beside whoever else does.
///
/// # Errors
/// The store's, and why the simulation failed.
async fn finish(app: &Arc<App>, tenant: &TenantId, trial: &str) -> Result<Trial, TenancyError> {
    loop {
        while simulate_step(app, tenant, trial, true).await? {}
        let now = app.store.trial(tenant, trial).await?.ok_or(StoreError::Missing("trial"))?;
        match now.state {
            TrialState::Running => tokio::time::sleep(WHILE_BUSY).await,
            TrialState::Finished => return Ok(now),
            TrialState::Stopped => return Err(TenancyError::Refused("its simulation was stopped".into())),
            TrialState::Failed => return Err(TenancyError::Refused(now.problem.unwrap_or_default())),
        }
    }
}

/// Removes what old trials have left, in bounded batches.
///
/// # Errors
/// The store's.
pub async fn forget(app: &App, tenant: &TenantId, at_once: i64) -> Result<(), StoreError> {
    let before = app.clock.now().plus_seconds(-KEPT_DAYS * 86_400);
    while app.store.forget_trials(tenant, before, KEPT_TRIALS, at_once).await? > 0 {}
    Ok(())
}
