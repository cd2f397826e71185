//! Evaluates people and settles what becomes of them: the middle of the straight line, shared by
//! writes of users, writes of groups and the worker. Knows nothing of SCIM messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::app::App;
use crate::evaluation::{self, Evaluation, Fault, Outcome, Subject};
use crate::lifecycle::{self, Rules, Settled, Standing, house, probe};
pub use crate::lifecycle::{Case, as_of};
use crate::mapping::{Calendar, Conditions};
use crate::model::{
    AccountId, AccountState, Actor, ApprovalSettings, Cause, ConnectionState, DecisionSettings, Difference, Grant, GuardSettings, Instant,
    Note, ProcessSettings, ResourceId, TenantId, Urgency, collision_key,
};
use crate::store::{Change, Person, PersonOutcome, Stale, StoreError};
use crate::tenancy::fresh::{self, Verdict};
use crate::tenancy::{self, Active};
use crate::trial::{Decision, Picture};
use crate::watch::Whose;

/// How many people one turn on an evaluation thread takes: a turn stays short, so that tenants alternate.
const PEOPLE_PER_TURN: usize = 32;
/// How many people of a crowd one turn takes: what is live waits for one at most.
const CROWD_PER_TURN: usize = 8;
/// How many people of a crowd are committed in one transaction: what is live waits for one at most.
pub const CROWD_PER_COMMIT: usize = 64;

/// A person whose change is decided, not yet committed.
#[derive(Clone, Debug)]
pub struct Decided {
    /// What was decided on.
    pub case: Case,
    /// The verdict.
    pub evaluation: Evaluation,
    /// What changes.
    pub settled: Settled,
    /// The instant that the evaluation was given.
    pub as_of: Instant,
}

/// The name that somebody was to get.
#[derive(Debug)]
pub struct WantedName {
    name: String,
    by: AccountId,
}

impl Decided {
    /// The name that the mapping gives, to be kept when the rest is committed: see [`name_holder`].
    #[must_use]
    pub fn wanted_name(&self) -> Option<WantedName> {
        wanted_name(&self.case, &self.evaluation)
    }

    /// What the store commits for this person, with the history that goes with it.
    #[must_use]
    pub fn into_outcome(self, active: &Active) -> PersonOutcome {
        PersonOutcome {
            user: self.case.subject.user,
            read_input_version: self.case.input_version,
            groups: self.case.subject.groups,
            effect: self.settled.effect,
            guarded: self.settled.guarded,
            as_of: self.as_of,
            revision: active.hash.clone(),
            attempts: self.settled.attempts,
            still_pending: self.settled.still_pending,
        }
    }
}

/// On what terms people are decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How their connection stands.
    pub connection: ConnectionState,
    /// Whether the activation of the revision is what causes it.
    pub activated: bool,
    /// Whether somebody waits for it.
    pub urgency: Urgency,
}

impl Terms {
    /// Those of a connection, where no activation is the cause.
    #[must_use]
    pub fn of(connection: ConnectionState) -> Self {
        Self { connection, activated: false, urgency: Urgency::Live }
    }
}

/// Evaluates and settles people of one tenant. A tenant whose threads are busy beyond its share gets no verdict now:
/// its people are parked and tried again, which is safer than refusing the identity provider's word.
pub async fn decide(app: &Arc<App>, tenant: &TenantId, active: &Active, cases: Vec<Case>, terms: Terms, now: Instant) -> Vec<Decided> {
    let people_per_turn = if terms.urgency == Urgency::Crowd { CROWD_PER_TURN } else { PEOPLE_PER_TURN };
    let mut turns = Vec::new();
    let mut rest = cases;
    while !rest.is_empty() {
        let later = rest.split_off(rest.len().min(people_per_turn));
        turns.push(decide_turn(app, tenant, active, std::mem::replace(&mut rest, later), terms, now));
    }
    futures_util::future::join_all(turns).await.into_iter().flatten().collect()
}

async fn decide_turn(app: &Arc<App>, tenant: &TenantId, active: &Active, cases: Vec<Case>, terms: Terms, now: Instant) -> Vec<Decided> {
    // Tenant code runs on its own threads; people without any need none.
    let needs_thread = |case: &Case| match &active.built {
        _ if case.waits_at(now).is_some() || house::has_moved(&case.account) => false,
        Some(revision) => !evaluation::is_plain(revision, &case.subject, as_of(now, case.due)),
        None => false,
    };
    let needs_threads = cases.iter().any(needs_thread);
    let evaluations: Vec<(Evaluation, TurnsAway)> = match &active.built {
        Some(revision) if needs_threads => {
            let revision = Arc::clone(revision);
            let fresh = active.fresh.clone().filter(|fresh| fresh.is_watched(now));
            let asked: Vec<(Subject, Vec<Grant>, Instant)> =
                cases.iter().map(|case| (case.subject.clone(), case.grants.clone(), as_of(now, case.due))).collect();
            let ask = move |(subject, held, at): &(Subject, Vec<Grant>, Instant)| {
                let evaluation = evaluation::evaluate_standing(&revision, subject, held, *at);
                let turns_away = fresh.as_ref().is_some_and(|fresh| fresh.turns_away(subject, *at, &evaluation));
                (evaluation, turns_away)
            };
            match app.compute.run(tenant, terms.urgency, move || asked.iter().map(ask).collect()).await {
                Ok(evaluations) => evaluations,
                // Whoever leaves leaves, however busy the threads are.
                Err(overloaded) => {
                    let plain = |case: &Case| inline(active, case, as_of(now, case.due));
                    let parked = |case| if needs_thread(case) { parked(&overloaded) } else { plain(case) };
                    cases.iter().map(|case| (parked(case), false)).collect()
                }
            }
        }
        _ => cases.iter().map(|case| (inline(active, case, as_of(now, case.due)), false)).collect(),
    };
    cases
        .into_iter()
        .zip(evaluations)
        .map(|(case, (evaluation, turns_away))| {
            if let Some(until) = case.waits_at(now) {
                let settled = probe::park(&case.standing(), until);
                return Decided { settled, evaluation: Evaluation::inactive(), as_of: as_of(now, None), case };
            }
            observe(app, tenant, active, &case, &evaluation, now);
            let evaluation = if turns_away { within_limit(app, tenant, active, &case, evaluation) } else { evaluation };
            let settled = settle(&case, &evaluation, active, terms, now);
            let as_of = as_of(now, case.due);
            app.shadows.offer(app, tenant, Decision { case: &case, settled: &settled, connection: terms.connection, now, as_of });
            Decided { case, evaluation, settled, as_of }
        })
        .collect()
}

/// Whether a fresh revision turns somebody away whom the one before would not.
type TurnsAway = bool;

/// Whether the person stands as somebody who was turned away: counted then, by a process that has ended since perhaps.
fn was_turned_away(case: &Case) -> bool {
    let is_fault = case.account.note.as_ref().is_some_and(|note| note.code == Note::PLUGIN_FAULT);
    !case.fresh && (matches!(case.account.state, AccountState::OutOfScope | AccountState::Held) || is_fault)
}

/// The evaluation of somebody whom a fresh revision turns away: as it is, up to a limit. What is beyond is parked, before it has any
/// effect, and the revision is taken back.
fn within_limit(app: &Arc<App>, tenant: &TenantId, active: &Active, case: &Case, evaluation: Evaluation) -> Evaluation {
    let Some(fresh) = &active.fresh else { return evaluation };
    if was_turned_away(case) || fresh.count(&case.account.id, &evaluation.outcome) == Verdict::Within {
        return evaluation;
    }
    if fresh.begin_return() {
        let (app, tenant, fresh) = (Arc::clone(app), tenant.clone(), Arc::clone(fresh));
        tokio::spawn(async move {
            if let Err(error) = tenancy::take_back(&app, &tenant, &fresh).await {
                tracing::warn!(%tenant, %error, "a revision that turns too many people away could not be taken back, trying again");
            }
        });
    }
    fresh::parked()
}

/// The verdict where no tenant code is run: somebody inactive, or a tenant without a revision.
fn inline(active: &Active, case: &Case, as_of: Instant) -> Evaluation {
    match &active.built {
        // What nothing comes of needs no decision.
        _ if case.waits_at(as_of).is_some() || house::has_moved(&case.account) => Evaluation::inactive(),
        _ => evaluated(active, case, as_of),
    }
}

/// The verdict on this thread, by the revision where there is one.
fn evaluated(active: &Active, case: &Case, as_of: Instant) -> Evaluation {
    match &active.built {
        Some(revision) => evaluation::evaluate_standing(revision, &case.subject, &case.grants, as_of),
        None if case.subject.document.is_active() => Evaluation::without_revision(),
        None => Evaluation::inactive(),
    }
}

fn wanted_name(case: &Case, evaluation: &Evaluation) -> Option<WantedName> {
    match &evaluation.outcome {
        Outcome::Account(shape) => Some(WantedName { name: shape.user_name.clone(), by: case.account.id.clone() }),
        _ => None,
    }
}

/// What would become of somebody.
#[derive(Debug)]
pub struct Foreseen {
    /// What would differ; `None` if nothing would.
    pub difference: Option<Difference>,
    /// The name that they were to get. Where [`name_holders`] finds somebody else to have it, it is to be foreseen again, told of that.
    pub wanted: Option<WantedName>,
}

/// What would become of somebody: how they are, and how they would be. Without effect; runs what tenants wrote, so on an evaluation thread.
#[must_use]
pub fn foresee(active: &Active, terms: Terms, before: &Case, after: &Case, now: Instant) -> Foreseen {
    let evaluation = evaluated(active, after, as_of(now, after.due));
    let settled = settle(after, &evaluation, active, terms, now);
    let standing = Picture::standing(&before.standing());
    let difference = standing.difference(&Picture::after(&after.standing(), &settled), &evaluation.outcome, &[]);
    Foreseen { difference, wanted: wanted_name(after, &evaluation) }
}

/// Settles a case by the revision's rules (the defaults while there is none).
#[must_use]
pub fn settle(case: &Case, evaluation: &Evaluation, active: &Active, terms: Terms, now: Instant) -> Settled {
    let (standing, connection) = (case.standing(), &case.subject.connection);
    // What an activation does is counted by the guard of the revision that it replaces: none lets itself pass.
    let replaced = active.fresh.as_ref().filter(|_| terms.activated).map(|fresh| &fresh.previous.guard);
    with_rules(active, terms.connection, |rules| {
        let rules = Rules { guard: replaced.unwrap_or(rules.guard), ..rules.clone() };
        lifecycle::settle(&standing, evaluation, &case.subject.groups, (&rules, connection, terms.activated), now)
    })
}

/// Settles a deletion.
#[must_use]
pub fn settle_removal(case: &Case, active: &Active, connection: ConnectionState, now: Instant) -> Settled {
    let standing = Standing { fresh: false, ..case.standing() };
    with_rules(active, connection, |rules| lifecycle::remove(&standing, (rules, &case.subject.connection), now))
}

pub(super) fn with_rules<T>(active: &Active, connection: ConnectionState, use_rules: impl FnOnce(&Rules<'_>) -> T) -> T {
    match &active.built {
        Some(revision) => use_rules(&Rules::of(revision, connection)),
        None => {
            let (decisions, approvals, guard, nothing) =
                (DecisionSettings::default(), ApprovalSettings::default(), GuardSettings::default(), BTreeSet::new());
            let (processes, calendar, conditions) = (ProcessSettings::default(), Calendar::default(), Conditions::default());
            use_rules(&Rules {
                decisions: &decisions,
                revision: active.hash.as_ref(),
                privileged: &nothing,
                approved: &nothing,
                approvals: &approvals,
                guard: &guard,
                processes: &processes,
                calendar: &calendar,
                conditions: &conditions,
                connection,
            })
        }
    }
}

fn parked(overloaded: &crate::compute::Overloaded) -> Evaluation {
    let note = Note { code: "overloaded".into(), path: None, message: overloaded.to_string() };
    Evaluation::fault(Fault { note, code: "overloaded", infrastructure: true })
}

fn observe(app: &App, tenant: &TenantId, active: &Active, case: &Case, evaluation: &Evaluation, now: Instant) {
    let word = match &evaluation.outcome {
        Outcome::Inactive => "inactive",
        Outcome::Ended => "ended",
        Outcome::Account(_) => "account",
        Outcome::Collision(..) => "collision",
        Outcome::OutOfScope(_) => "out_of_scope",
        Outcome::Refused(_) => "refused",
        Outcome::Fault(_) => "fault",
    };
    app.metrics.evaluation(tenant, word);
    for call in &evaluation.calls {
        app.metrics.plugin_call(tenant, &call.plugin, call.hook, call.result);
    }
    if let Some(revision) = &active.built {
        let Subject { connection, user, .. } = &case.subject;
        let (account, keep_days) = (&case.account.id, revision.failures.keep_days);
        let whose = Whose { tenant, connection, user, account, revision: &revision.hash, keep_days };
        let dropped = app.watch.see(whose, evaluation, now);
        app.metrics.plugin_records_dropped(tenant, "lines", dropped.lines);
        app.metrics.plugin_records_dropped(tenant, "failures", dropped.failures);
    }
    if let Outcome::Fault(fault) = &evaluation.outcome {
        app.metrics.plugin_fault(tenant, fault.code);
    }
}

/// The account that has the name which the mapping gives: what a lost race over `account_name` was lost to.
///
/// # Errors
/// The store's.
pub async fn name_holder(app: &App, tenant: &TenantId, wanted: Option<WantedName>) -> Result<Option<AccountId>, StoreError> {
    Ok(name_holders(app, tenant, &[wanted]).await?.pop().flatten())
}

/// The accounts that have the names of several, in their order; `None` for a name that is free, or one's own.
///
/// # Errors
/// The store's.
pub async fn name_holders(app: &App, tenant: &TenantId, wanted: &[Option<WantedName>]) -> Result<Vec<Option<AccountId>>, StoreError> {
    let keys: Vec<Option<String>> = wanted.iter().map(|wanted| wanted.as_ref().map(|wanted| collision_key(&wanted.name))).collect();
    let asked: Vec<String> = keys.iter().flatten().cloned().collect();
    let holders = if asked.is_empty() { BTreeMap::new() } else { app.store.name_holders(tenant, &asked).await? };
    let another = |(wanted, key): (&Option<WantedName>, &Option<String>)| {
        let holder = holders.get(key.as_ref()?)?;
        wanted.as_ref().filter(|wanted| wanted.by != *holder).map(|_| holder.clone())
    };
    Ok(wanted.iter().zip(&keys).map(another).collect())
}

/// Evaluates pending people of one connection, behind what is live, and commits each result whose inputs are still the same, many to a
/// transaction. A lost race means that the person is pending again, or was decided by somebody else: both are fine.
///
/// # Errors
/// The store's.
pub async fn evaluate_pending(
    app: &Arc<App>,
    tenant: &TenantId,
    people: Vec<Person>,
    connection: ConnectionState,
    cause: Cause,
) -> Result<(), StoreError> {
    let active = tenancy::active(app, tenant).await?;
    let now = app.clock.now();
    let terms = Terms { connection, activated: cause == Cause::Activation, urgency: Urgency::Crowd };
    let cases: Vec<Case> = people.into_iter().map(Case::unchanged).collect();
    let mut decided = decide(app, tenant, &active, cases, terms, now).await;
    let mut refused = Vec::new();
    while !decided.is_empty() {
        let later = decided.split_off(decided.len().min(CROWD_PER_COMMIT));
        let together = std::mem::replace(&mut decided, later);
        match commit_pending(app, tenant, &active, &together, cause, now).await {
            Ok(()) => {}
            // Somebody's name is taken; whose is not said.
            Err(StoreError::Conflict { what: "account_name" }) => refused.extend(together),
            Err(StoreError::Conflict { what }) => lost_a_race(app, tenant, &together, what, now).await?,
            Err(other) => return Err(other),
        }
    }
    commit_one_by_one(app, tenant, &active, refused, (terms, cause), now).await
}

/// Commits each result by itself. A name that is taken is found by that; the second round is told of the holder.
async fn commit_one_by_one(
    app: &Arc<App>,
    tenant: &TenantId,
    active: &Active,
    refused: Vec<Decided>,
    (terms, cause): (Terms, Cause),
    now: Instant,
) -> Result<(), StoreError> {
    let mut decided = refused;
    for round in 0..2 {
        let mut taken = Vec::new();
        let commits = decided.iter().map(|decided| commit_pending(app, tenant, active, std::slice::from_ref(decided), cause, now));
        let results = futures_util::future::join_all(commits).await;
        for (decided, result) in decided.into_iter().zip(results) {
            match result {
                Ok(()) => {}
                Err(StoreError::Conflict { what: "account_name" }) => taken.push(decided),
                Err(StoreError::Conflict { what }) => lost_a_race(app, tenant, &[decided], what, now).await?,
                Err(other) => return Err(other),
            }
        }
        if round > 0 || taken.is_empty() {
            break;
        }
        let wanted: Vec<Option<WantedName>> = taken.iter().map(Decided::wanted_name).collect();
        let holders = name_holders(app, tenant, &wanted).await?;
        let told = |(decided, holder): (Decided, Option<AccountId>)| {
            let mut case = decided.case;
            case.subject.collision = holder;
            case
        };
        let cases = taken.into_iter().zip(holders).map(told).collect();
        decided = decide(app, tenant, active, cases, terms, now).await;
    }
    Ok(())
}

/// What could not be committed is another host's by now, or pending. Under another revision than was known here it is tried again at once,
/// and not when the claim ends.
async fn lost_a_race(app: &App, tenant: &TenantId, decided: &[Decided], what: &str, now: Instant) -> Result<(), StoreError> {
    tracing::debug!(what, "pending evaluations lost a race");
    let Some(connection) = decided.first().map(|decided| &decided.case.subject.connection).filter(|_| what == "revision") else {
        return Ok(());
    };
    app.revisions.forget(tenant);
    let users: Vec<ResourceId> = decided.iter().map(|decided| decided.case.subject.user.clone()).collect();
    app.store.give_back(tenant, connection, &users, now).await
}

/// Commits people of one connection together. Whoever's inputs have moved on is left out, and pending.
async fn commit_pending(
    app: &Arc<App>,
    tenant: &TenantId,
    active: &Active,
    decided: &[Decided],
    cause: Cause,
    now: Instant,
) -> Result<(), StoreError> {
    let Some(connection) = decided.first().map(|decided| decided.case.subject.connection.clone()) else { return Ok(()) };
    let persons = decided.iter().map(|decided| decided.clone().into_outcome(active)).collect();
    let change = Change {
        connection,
        at: now,
        actor: Actor { kind: "worker".into(), id: cause.word().into() },
        request_id: None,
        revision: active.hash.clone(),
        write: None,
        persons,
        stale: Stale::MarkPending(cause),
        urgency: Urgency::Crowd,
        fan_out: Vec::new(),
        bind_handle: None,
        events: Vec::new(),
    };
    app.store.commit(tenant, change).await.map(|_| ())
}
