//! One person, run through the active revision or a candidate while somebody looks: what came in, what the plugin made of it, what the
//! policies decided and why, and what would change. Without effect, unless it is asked for: then through the usual commit, guard and all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::people::{self, Case, Decided, Terms};
use crate::app::App;
use crate::evaluation::{self, Evaluation, Outcome};
use crate::lifecycle::{self, Rules, Settled, as_of};
use crate::model::{
    AccountId, Actor, Cause, ConnectionId, ConnectionState, Difference, Instant, Led, LogLine, Note, ResourceId, RevisionHash, Ruling,
    TenantId, Urgency,
};
use crate::policies::Explanation;
use crate::revision::Revision;
use crate::store::{Change, Person, Stale, StoreError};
use crate::tenancy::{self, Active, TenancyError};
use crate::trial::Picture;

/// The most roles that are explained: those that are given, held, nominated or asked for.
pub const EXPLAINED_LIMIT: usize = 50;
/// How often a commit is tried that loses a race.
const ATTEMPTS: usize = 3;

/// What is to be run.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A stored revision; the active one unless given.
    pub revision: Option<RevisionHash>,
    /// Roles to be explained beside those that it is about.
    pub roles: Vec<String>,
}

/// A person's run, step by step.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Run {
    /// The account.
    pub account: AccountId,
    /// Its login name now.
    pub user_name: Option<String>,
    /// The revision that was asked; `null` where the tenant has none.
    pub revision: Option<RevisionHash>,
    /// Whether it is the active one.
    pub is_active: bool,
    /// The instant that the decision was given.
    pub as_of: Instant,
    /// What came in.
    pub came_in: CameIn,
    /// What the mapping made of it.
    pub mapped: Mapped,
    /// What the policies say of each role, and why or why not; 50 at most.
    pub decided: Vec<Explanation>,
    /// What would change, or has changed.
    pub changes: Changes,
    /// What it led to, where it was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<Led>,
}

/// What came in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CameIn {
    /// The connection.
    pub connection: ConnectionId,
    /// How it stands.
    pub connection_state: ConnectionState,
    /// The SCIM User.
    pub user: ResourceId,
    /// Its version.
    pub version: i64,
    /// When it was last written.
    pub modified: Instant,
    /// What the identity provider wrote.
    pub document: Value,
    /// The groups that count, each from the person's own group to it.
    pub groups: Vec<Vec<String>>,
    /// What people and the guard have said of the account that counts still.
    pub rulings: Vec<Ruling>,
    /// What an evaluation is due over, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Cause>,
}

/// What the mapping made of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Mapped {
    /// `account`, `inactive`, `ended`, `collision`, `out_of_scope`, `refused`, `fault`, `probe`.
    pub outcome: &'static str,
    /// Why there is no account, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Value>,
    /// For each attribute, where its value came from.
    pub provenance: BTreeMap<String, String>,
    /// The roles that the plugin nominates, each with its words.
    pub nominated: BTreeMap<String, Option<String>>,
    /// The calls of the tenant's plugins.
    pub calls: Vec<RunCall>,
    /// From when on the person may be in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<Instant>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<Instant>,
}

/// A call of a plugin.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RunCall {
    /// `transform-user` or `propose-roles`.
    pub hook: &'static str,
    /// The name that the plugin gives itself.
    pub plugin: String,
    /// Fuel that it used.
    pub fuel: Option<u64>,
    /// The most memory that it had, in bytes.
    pub memory_bytes: Option<usize>,
    /// How it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<&'static str>,
    /// What it logged.
    pub logs: Vec<LogLine>,
}

/// What changes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Changes {
    /// What differs from what stands; `null` where nothing does.
    pub difference: Option<Difference>,
    /// The events that say so, by kind, in order.
    pub events: Vec<String>,
    /// Whether the guard counts the person, so that what is lost or gained may be held when others are concerned too.
    pub guarded: bool,
    /// When the same inputs may give another result.
    pub next: Option<Instant>,
}

/// Somebody as they are read for a run.
struct Read {
    person: Person,
    state: ConnectionState,
    active: Active,
    candidate: Option<Arc<Revision>>,
    user_name: Option<String>,
}

/// Runs an account's person, without effect.
///
/// # Errors
/// `Store(Missing)` for an unknown account or revision, `Refused` for one whom the identity provider has deleted, `Broken` for a revision that
/// can't be built; the compute threads' when they are full.
pub async fn run(app: &Arc<App>, tenant: &TenantId, account: &str, wanted: Wanted) -> Result<Run, TenancyError> {
    let read = read(app, tenant, account, wanted.revision.as_ref()).await?;
    ask(app, tenant, &read, wanted.roles).await
}

/// Runs an account's person through the active revision and commits what comes of it. The guard counts them, as it does with every write.
///
/// # Errors
/// As [`run`].
pub async fn apply(app: &Arc<App>, tenant: &TenantId, account: &str, actor: &Actor) -> Result<Run, TenancyError> {
    for attempt in 1.. {
        let read = read(app, tenant, account, None).await?;
        let mut shown = ask(app, tenant, &read, Vec::new()).await?;
        let now = app.clock.now();
        let case = Case::unchanged(read.person.clone());
        match commit(app, tenant, &read, case, actor, now).await {
            Ok(led) => {
                app.wake.notify_one();
                shown.applied = Some(led);
                return Ok(shown);
            }
            Err(StoreError::Conflict { what }) if attempt < ATTEMPTS => {
                tracing::debug!(what, "lost a race, running the person again");
                app.revisions.forget(tenant);
            }
            Err(error) => return Err(error.into()),
        }
    }
    unreachable!("the last attempt returns")
}

async fn read(app: &Arc<App>, tenant: &TenantId, account: &str, revision: Option<&RevisionHash>) -> Result<Read, TenancyError> {
    let view = app.store.account(tenant, account).await?.ok_or(StoreError::Missing("account"))?;
    let Some((connection, user)) = view.source else {
        return Err(TenancyError::Refused("the identity provider has deleted this person, so there is nothing to run".into()));
    };
    let (_, state) = app.store.find_connection(&connection).await?.ok_or(StoreError::Missing("connection"))?;
    let person = app.store.people(tenant, &connection, std::slice::from_ref(&user)).await?.into_iter().next();
    let person = person.ok_or(StoreError::Missing("account"))?;
    let active = tenancy::active(app, tenant).await?;
    let candidate = match revision.filter(|hash| active.hash.as_ref() != Some(hash)) {
        Some(hash) => Some(tenancy::candidate(app, tenant, hash).await?),
        None => None,
    };
    Ok(Read { person, state, active, candidate, user_name: view.account.user_name })
}

async fn ask(app: &Arc<App>, tenant: &TenantId, read: &Read, roles: Vec<String>) -> Result<Run, TenancyError> {
    let now = app.clock.now();
    let case = Case::unchanged(read.person.clone());
    let at = as_of(now, case.due);
    let asked = read.candidate.clone().or_else(|| read.active.built.clone());
    let waits = case.waits_at(now);
    let (evaluation, nominated, decided) = match asked.clone().filter(|_| waits.is_none()) {
        Some(revision) => {
            let case = case.clone();
            app.compute.run(tenant, Urgency::Live, move || look(&revision, &case, &roles, at)).await?
        }
        None if waits.is_some() => (Evaluation::inactive(), BTreeMap::new(), Vec::new()),
        None => (Evaluation::without_revision(), BTreeMap::new(), Vec::new()),
    };
    let settled = match (waits, &read.candidate) {
        (Some(until), _) => lifecycle::probe::park(&case.standing(), until),
        (None, None) => people::settle(&case, &evaluation, &read.active, Terms::of(read.state), now),
        (None, Some(candidate)) => {
            // As a simulation does: by the candidate's rules, under the guard of the one that is active.
            let mut rules = Rules::of(candidate, read.state);
            rules.guard = read.active.built.as_ref().map_or(rules.guard, |active| &active.guard);
            lifecycle::settle(&case.standing(), &evaluation, &case.subject.groups, (&rules, &case.subject.connection, false), now)
        }
    };
    let mapped = mapped(&evaluation, nominated, waits.is_some());
    let changes = changes(&case, &evaluation, &settled);
    let Read { person, state, active, candidate, user_name } = read;
    Ok(Run {
        account: person.account.id.clone(),
        user_name: user_name.clone(),
        revision: asked.map(|revision| revision.hash.clone()).or_else(|| active.hash.clone()),
        is_active: candidate.is_none(),
        as_of: at,
        came_in: CameIn {
            connection: person.connection.clone(),
            connection_state: *state,
            user: person.resource.id.clone(),
            version: person.resource.version,
            modified: person.resource.modified,
            document: person.resource.document.to_value(),
            groups: person.groups.iter().map(|group| group.chain.clone()).collect(),
            rulings: person.rulings.clone(),
            pending: person.evaluation.cause,
        },
        mapped,
        decided,
        changes,
        applied: None,
    })
}

type Looked = (Evaluation, BTreeMap<String, Option<String>>, Vec<Explanation>);

/// Tenant code: on a thread of its own.
fn look(revision: &Revision, case: &Case, roles: &[String], at: Instant) -> Looked {
    let evaluation = evaluation::evaluate_standing(revision, &case.subject, &case.grants, at);
    let (Outcome::Account(shape) | Outcome::Collision(shape, _)) = &evaluation.outcome else {
        return (evaluation, BTreeMap::new(), Vec::new());
    };
    let nominated = evaluation::nominations(revision, &case.subject, shape, at).unwrap_or_default();
    let principal = evaluation::principal(&case.subject, shape);
    let given = evaluation.roles.iter().map(|decision| decision.role.as_str());
    let held = case.grants.iter().map(|grant| grant.role.as_str());
    let undecided = evaluation.undecided.iter().map(|undecided| undecided.role.as_str());
    let about = roles.iter().map(String::as_str).chain(given).chain(held).chain(undecided).chain(nominated.keys().map(String::as_str));
    let mut known = BTreeSet::new();
    let about = about.filter(|role| known.insert((*role).to_owned())).take(EXPLAINED_LIMIT);
    let explain = |role: &str| {
        let explained = revision.policies.explain(&principal, role, nominated.contains_key(role), at.timestamp());
        let unknown = || Explanation::without_policies(role, "unknown_role", "the role is not in the tenant's catalogue");
        let mut explained = explained.unwrap_or_else(unknown);
        evaluation::name_nomination(&mut explained.reasons, nominated.get(role));
        explained
    };
    let decided = about.map(explain).collect();
    (evaluation, nominated, decided)
}

fn mapped(evaluation: &Evaluation, nominated: BTreeMap<String, Option<String>>, is_probe: bool) -> Mapped {
    let plain = |code: &str, message: &str| Some(Note { code: code.into(), path: None, message: message.into() });
    let (outcome, note, shape) = match &evaluation.outcome {
        _ if is_probe => ("probe", plain(Note::PROBE, "a test of the client's own: decided if it is still there after a while"), None),
        Outcome::Inactive => ("inactive", plain("inactive", "the identity provider says that the person is inactive"), None),
        Outcome::Ended => (Note::ENDED, plain(Note::ENDED, "the person's end date has come"), None),
        Outcome::Account(shape) => ("account", None, Some(shape)),
        Outcome::Collision(shape, holder) => {
            (Note::COLLISION, plain(Note::COLLISION, &format!("account `{holder}` has this name")), Some(shape))
        }
        Outcome::OutOfScope(why) => ("out_of_scope", plain("out_of_scope", why), None),
        Outcome::Refused(note) => ("refused", Some(note.clone()), None),
        Outcome::Fault(fault) => ("fault", Some(fault.note.clone()), None),
    };
    let calls = evaluation.calls.iter().map(|call| {
        let usage = call.result.as_ref().ok();
        RunCall {
            hook: call.hook,
            plugin: call.plugin.to_string(),
            fuel: usage.map(|usage| usage.fuel),
            memory_bytes: usage.map(|usage| usage.memory_bytes),
            fault: call.result.as_ref().err().copied(),
            logs: call.told.as_ref().map(|told| told.logs.clone()).unwrap_or_default(),
        }
    });
    Mapped {
        outcome,
        note,
        account: shape.map(|shape| serde_json::to_value(shape).unwrap_or_default()),
        provenance: evaluation.provenance.clone(),
        nominated,
        calls: calls.collect(),
        starts: evaluation.dates.starts,
        ends: evaluation.dates.ends,
    }
}

fn changes(case: &Case, evaluation: &Evaluation, settled: &Settled) -> Changes {
    let standing = case.standing();
    let after = Picture::after(&standing, settled);
    Changes {
        difference: Picture::standing(&standing).difference(&after, &evaluation.outcome, &evaluation.lost),
        events: settled.effect.events.iter().map(|event| event.kind.to_owned()).collect(),
        guarded: settled.guarded.is_some(),
        next: settled.effect.next_evaluation_at,
    }
}

async fn commit(app: &Arc<App>, tenant: &TenantId, read: &Read, case: Case, actor: &Actor, now: Instant) -> Result<Led, StoreError> {
    let mut case = case;
    let mut told_of_holder = false;
    loop {
        let decided = people::decide(app, tenant, &read.active, vec![case.clone()], Terms::of(read.state), now).await.pop();
        let decided = decided.ok_or_else(|| StoreError::Corrupt("a person was not decided".into()))?;
        let wanted = decided.wanted_name();
        match app.store.commit(tenant, change(&read.active, decided, actor, now)).await {
            Ok(committed) => return Ok(committed.led),
            Err(StoreError::Conflict { what: "account_name" }) if !told_of_holder => {
                case.subject.collision = people::name_holder(app, tenant, wanted).await?;
                told_of_holder = true;
            }
            Err(other) => return Err(other),
        }
    }
}

fn change(active: &Active, decided: Decided, actor: &Actor, now: Instant) -> Change {
    Change {
        connection: decided.case.subject.connection.clone(),
        at: now,
        actor: actor.clone(),
        request_id: None,
        revision: active.hash.clone(),
        write: None,
        persons: vec![decided.into_outcome(active)],
        stale: Stale::Conflict,
        urgency: Urgency::Live,
        fan_out: Vec::new(),
        bind_handle: None,
        events: Vec::new(),
    }
}
