//! Evaluates people and settles what becomes of them: the middle of the straight line, shared by
//! writes of users, writes of groups and the worker. Knows nothing of SCIM messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use rolecall_scim::resource::Document;

use crate::app::App;
use crate::evaluation::{self, Evaluation, Fault, Outcome, Subject};
use crate::lifecycle::{self, Rules, Settled, Standing};
use crate::model::{
    Account, AccountId, AccountState, Actor, Cause, ConnectionId, DecisionSettings, Grant, GroupMembership, Instant, NewEvent, Note,
    ResourceId, TenantId, collision_key,
};
use crate::store::{Change, Person, PersonOutcome, Stale, StoreError};
use crate::tenancy::{self, Active};
use crate::watch::Whose;

/// `as_of` is cut to this many seconds: coarse enough that people of one minute can share answers.
const AS_OF_SECONDS: i64 = 60;
/// How many people one turn on an evaluation thread takes: a turn stays short, so that tenants alternate.
const PEOPLE_PER_TURN: usize = 32;

/// A person with the inputs that a decision is to be made on, and what stands.
#[derive(Clone, Debug)]
pub struct Case {
    /// The inputs after the change.
    pub subject: Subject,
    /// The account that stands; a new one for a new person.
    pub account: Account,
    /// Whether the account is new, or revived, with this change.
    pub fresh: bool,
    /// The grants that stand.
    pub grants: Vec<Grant>,
    /// Consecutive infrastructure faults so far.
    pub attempts: i64,
    /// The `input_version` that was read; 0 for a new person.
    pub input_version: i64,
    /// The date that the last evaluation named.
    pub due: Option<Instant>,
}

impl Case {
    /// The case of a stored person with other inputs.
    #[must_use]
    pub fn of(person: Person, document: Document, groups: Vec<GroupMembership>) -> Self {
        let fresh = person.account.user_name.is_none() && person.evaluation.evaluated_version.is_none();
        Self {
            subject: Subject { user: person.resource.id, connection: person.connection, document, groups, collision: None },
            account: person.account,
            fresh,
            grants: person.grants,
            attempts: person.evaluation.attempts,
            input_version: person.evaluation.input_version,
            due: person.evaluation.next_evaluation_at,
        }
    }

    /// The case of a stored person as they are.
    #[must_use]
    pub fn unchanged(person: Person) -> Self {
        let (document, groups) = (person.resource.document.clone(), person.groups.clone());
        Self::of(person, document, groups)
    }

    /// The case of a new person in no group; `revived` is the removed account that the external id names.
    #[must_use]
    pub fn new(user: ResourceId, connection: ConnectionId, document: Document, revived: Option<Account>, now: Instant) -> Self {
        let account = revived.unwrap_or_else(|| Account {
            id: AccountId(crate::crypto::random_id()),
            state: AccountState::Active,
            user_name: None,
            holds_name: false,
            profile: serde_json::Value::Null,
            provenance: serde_json::Value::Null,
            note: None,
            created: now,
            modified: now,
        });
        Self {
            subject: Subject { user, connection, document, groups: Vec::new(), collision: None },
            account,
            fresh: true,
            grants: Vec::new(),
            attempts: 0,
            input_version: 0,
            due: None,
        }
    }
}

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

impl Decided {
    /// What the store commits for this person, and the history that goes with it.
    #[must_use]
    pub fn into_outcome(self, active: &Active) -> (PersonOutcome, Vec<NewEvent>) {
        let outcome = PersonOutcome {
            user: self.case.subject.user,
            read_input_version: self.case.input_version,
            groups: self.case.subject.groups,
            account: self.settled.account,
            put_grants: self.settled.put,
            drop_grants: self.settled.drop,
            as_of: self.as_of,
            revision: active.hash.clone(),
            next_evaluation_at: self.settled.next_evaluation_at,
            attempts: self.settled.attempts,
            still_pending: self.settled.still_pending,
        };
        (outcome, self.settled.events)
    }
}

/// The instant that an evaluation at `now` is given: whole minutes, but never before a date that made it due.
#[must_use]
pub fn as_of(now: Instant, due: Option<Instant>) -> Instant {
    let unit = AS_OF_SECONDS * 1_000_000;
    let cut = Instant(now.0 - now.0.rem_euclid(unit));
    due.filter(|due| *due <= now).map_or(cut, |due| cut.max(due))
}

/// Evaluates and settles people of one tenant. A tenant whose threads are busy beyond its share gets no verdict now:
/// its people are parked and tried again, which is safer than refusing the identity provider's word.
pub async fn decide(app: &Arc<App>, tenant: &TenantId, active: &Active, cases: Vec<Case>, paused: bool, now: Instant) -> Vec<Decided> {
    let mut turns = Vec::new();
    let mut rest = cases;
    while !rest.is_empty() {
        let later = rest.split_off(rest.len().min(PEOPLE_PER_TURN));
        turns.push(decide_turn(app, tenant, active, std::mem::replace(&mut rest, later), paused, now));
    }
    let mut decided = Vec::new();
    for turn in turns {
        decided.extend(turn.await);
    }
    decided
}

async fn decide_turn(app: &Arc<App>, tenant: &TenantId, active: &Active, cases: Vec<Case>, paused: bool, now: Instant) -> Vec<Decided> {
    // Tenant code runs on its own threads; people without any need none.
    let needs_threads = cases.iter().any(|case| evaluation::is_active(&case.subject.document));
    let evaluations: Vec<Evaluation> = match &active.built {
        Some(revision) if needs_threads => {
            let revision = Arc::clone(revision);
            let asked: Vec<(Subject, Instant)> = cases.iter().map(|case| (case.subject.clone(), as_of(now, case.due))).collect();
            let count = asked.len();
            let work = move || asked.iter().map(|(subject, at)| evaluation::evaluate(&revision, subject, *at)).collect();
            match app.compute.run(tenant, work).await {
                Ok(evaluations) => evaluations,
                Err(overloaded) => vec![parked(&overloaded); count],
            }
        }
        _ => cases.iter().map(|case| inline(active, case, as_of(now, case.due))).collect(),
    };
    cases
        .into_iter()
        .zip(evaluations)
        .map(|(case, evaluation)| {
            observe(app, tenant, active, &case, &evaluation, now);
            let settled = settle(&case, &evaluation, active, paused, now);
            let as_of = as_of(now, case.due);
            Decided { case, evaluation, settled, as_of }
        })
        .collect()
}

/// The verdict where no tenant code is run: somebody inactive, or a tenant without a revision.
fn inline(active: &Active, case: &Case, as_of: Instant) -> Evaluation {
    match &active.built {
        Some(revision) => evaluation::evaluate(revision, &case.subject, as_of),
        None if evaluation::is_active(&case.subject.document) => Evaluation::without_revision(),
        None => Evaluation::inactive(),
    }
}

/// Settles a case by the revision's rules (the defaults while there is none).
#[must_use]
pub fn settle(case: &Case, evaluation: &Evaluation, active: &Active, paused: bool, now: Instant) -> Settled {
    let standing = Standing { account: &case.account, fresh: case.fresh, grants: &case.grants, attempts: case.attempts };
    with_rules(active, paused, |rules| lifecycle::settle(&standing, evaluation, &case.subject.groups, rules, now))
}

/// Settles a deletion.
#[must_use]
pub fn settle_removal(case: &Case, active: &Active, now: Instant) -> Settled {
    let standing = Standing { account: &case.account, fresh: false, grants: &case.grants, attempts: case.attempts };
    with_rules(active, false, |rules| lifecycle::remove(&standing, rules, now))
}

fn with_rules<T>(active: &Active, paused: bool, use_rules: impl FnOnce(&Rules<'_>) -> T) -> T {
    let (defaults, none) = (DecisionSettings::default(), BTreeSet::new());
    let revision = active.built.as_deref();
    use_rules(&Rules {
        decisions: revision.map_or(&defaults, |revision| &revision.decisions),
        revision: active.hash.as_ref(),
        privileged: revision.map_or(&none, |revision| revision.policies.privileged()),
        paused,
    })
}

fn parked(overloaded: &crate::compute::Overloaded) -> Evaluation {
    let note = Note { code: "overloaded".into(), path: None, message: overloaded.to_string() };
    Evaluation::fault(Fault { note, code: "overloaded", infrastructure: true })
}

fn observe(app: &App, tenant: &TenantId, active: &Active, case: &Case, evaluation: &Evaluation, now: Instant) {
    let word = match &evaluation.outcome {
        Outcome::Inactive => "inactive",
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
pub async fn name_holder(app: &App, tenant: &TenantId, decided: &Decided) -> Result<Option<AccountId>, StoreError> {
    match &decided.evaluation.outcome {
        Outcome::Account(shape) => app.store.name_holder(tenant, &collision_key(&shape.user_name), &decided.case.account.id).await,
        _ => Ok(None),
    }
}

/// Evaluates pending people of one connection and commits each result whose inputs are still the same. A lost race
/// means that the person is pending again, or was decided by somebody else: both are fine.
///
/// # Errors
/// The store's.
pub async fn evaluate_pending(
    app: &Arc<App>,
    tenant: &TenantId,
    people: Vec<Person>,
    paused: bool,
    cause: Cause,
) -> Result<(), StoreError> {
    let active = tenancy::active(app, tenant).await?;
    let now = app.clock.now();
    let mut cases: Vec<Case> = people.into_iter().map(Case::unchanged).collect();
    // A name that is taken is found by the commit; the second round is told of the holder.
    for _ in 0..2 {
        let decided = decide(app, tenant, &active, std::mem::take(&mut cases), paused, now).await;
        // Together, so that the store can commit them as one group.
        let commits = decided.iter().map(|decided| commit_pending(app, tenant, &active, decided, cause, now));
        let results = futures_util::future::join_all(commits).await;
        for (decided, result) in decided.into_iter().zip(results) {
            match result {
                Ok(()) => {}
                Err(StoreError::Conflict { what: "account_name" }) => {
                    let holder = name_holder(app, tenant, &decided).await?;
                    let mut case = decided.case;
                    case.subject.collision = holder;
                    cases.push(case);
                }
                Err(StoreError::Conflict { what }) => {
                    tracing::debug!(what, "a pending evaluation lost a race");
                    if what == "revision" {
                        app.revisions.forget(tenant);
                    }
                }
                Err(other) => return Err(other),
            }
        }
        if cases.is_empty() {
            break;
        }
    }
    Ok(())
}

async fn commit_pending(
    app: &Arc<App>,
    tenant: &TenantId,
    active: &Active,
    decided: &Decided,
    cause: Cause,
    now: Instant,
) -> Result<(), StoreError> {
    let connection = decided.case.subject.connection.clone();
    let (outcome, events) = decided.clone().into_outcome(active);
    let change = Change {
        connection,
        at: now,
        actor: Actor { kind: "worker".into(), id: cause.word().into() },
        request_id: None,
        revision: active.hash.clone(),
        write: None,
        persons: vec![outcome],
        stale: Stale::Conflict,
        fan_out: Vec::new(),
        bind_handle: None,
        events,
    };
    app.store.commit(tenant, change).await.map(|_| ())
}
