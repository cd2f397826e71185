//! From an evaluation and what stands at present to what changes: accounts, grants, rulings, events, next dates.
//!
//! Pure. The rules that keep access safe live here: a leaver loses everything in the same change,
//! nothing is granted on a doubt, what can't be decided again is retained with a deadline, and what people have
//! said (approvals, exceptions, holds) is weighed beside what the policies say.
//! Knows nothing of HTTP, SQL, Wasm or Cedar.

pub mod adoption;
mod case;
mod departed;
pub mod drift;
pub mod house;
mod moving;
pub mod probe;
pub mod receipt;
mod settling;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use rolecall_scim::resource::Document;

use crate::evaluation::{Evaluation, Outcome};
use crate::mapping::{Calendar, Conditions, Dates};
use crate::model::{
    Account, AccountId, AccountState, ApprovalSettings, Cause, Concerned, ConnectionId, ConnectionState, DecisionSettings, Grant,
    GroupMembership, GuardSettings, Instant, Note, ProcessSettings, RevisionHash, RoleId, Ruling, RulingKind, RulingState,
};
use crate::revision::Revision;
use crate::store::{Effect, Guarded};

pub use case::{Case, as_of};
use settling::{DELETED, Settling};
pub use steps::{addressee, leaves_with_connection};

/// After how many seconds an infrastructure fault is tried again the first time; doubled each time up to [`RETRY_MAX_SECONDS`].
const RETRY_FIRST_SECONDS: i64 = 1;
/// The longest wait between two tries after an infrastructure fault.
const RETRY_MAX_SECONDS: i64 = 300;

/// What stands before the change.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// The account; a new one has state `Active`, no name and an empty profile.
    pub account: &'a Account,
    /// Whether the account is new, or revived, with this change.
    pub fresh: bool,
    /// The grants.
    pub grants: &'a [Grant],
    /// What people and the guard have said that counts still.
    pub rulings: &'a [Ruling],
    /// What is left of somebody who comes back: none of it counts any more.
    pub former: Former<'a>,
    /// Consecutive infrastructure faults so far.
    pub attempts: i64,
    /// What the identity provider wrote, with this change; `None` of somebody who is gone there.
    pub user: Option<&'a Document>,
}

/// What is left of an account whose user was deleted, once another one revives it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Former<'a> {
    /// Grants that stand: dormant, or in effect by an answer to a hold.
    pub grants: &'a [Grant],
    /// Rulings that were about the departure, by id.
    pub rulings: &'a [String],
}

/// What the revision says about how to settle, and how the connection stands.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// The tenant's settings; the *active* revision's, never a candidate's.
    pub decisions: &'a DecisionSettings,
    /// The revision; `None` while the tenant has none.
    pub revision: Option<&'a RevisionHash>,
    /// The roles that are marked privileged.
    pub privileged: &'a BTreeSet<String>,
    /// The roles that need a person's yes.
    pub approved: &'a BTreeSet<String>,
    /// For how long a request for one stands.
    pub approvals: &'a ApprovalSettings,
    /// How many people may be concerned before a person is asked.
    pub guard: &'a GuardSettings,
    /// How people begin, move and leave.
    pub processes: &'a ProcessSettings,
    /// Where their dates are.
    pub calendar: &'a Calendar,
    /// Whom their steps are for, where filters say so.
    pub conditions: &'a Conditions,
    /// How the connection stands: while it is paused removals take effect and nothing new is granted, while it is staged nothing has effect.
    pub connection: ConnectionState,
}

impl<'a> Rules<'a> {
    /// What a revision says.
    #[must_use]
    pub fn of(revision: &'a Revision, connection: ConnectionState) -> Self {
        Self {
            decisions: &revision.decisions,
            revision: Some(&revision.hash),
            privileged: revision.policies.privileged(),
            approved: &revision.approved,
            approvals: &revision.approvals,
            guard: &revision.guard,
            processes: &revision.processes,
            calendar: &revision.calendar,
            conditions: &revision.conditions,
            connection,
        }
    }
}

/// What is kept back although the evaluation says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Holding {
    losses: bool,
    gains: bool,
}

/// What changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The account, grants, rulings, history and next date.
    pub effect: Effect,
    /// The same with losses or gains kept back, where the guard has to be asked with the commit.
    pub guarded: Option<Box<Guarded>>,
    /// Set when this is no verdict and is to be tried again.
    pub still_pending: Option<Cause>,
    /// Consecutive infrastructure faults, this one included.
    pub attempts: i64,
}

/// Compares an evaluation with what stands.
///
/// `groups` are the person's present memberships: a retained grant whose own reasons name a group that
/// the person has left falls at once. `activated` says that the revision's activation is what causes it.
#[must_use]
pub fn settle(
    standing: &Standing<'_>,
    evaluation: &Evaluation,
    groups: &[GroupMembership],
    (rules, connection, activated): (&Rules<'_>, &ConnectionId, bool),
    now: Instant,
) -> Settled {
    if house::has_moved(standing.account) {
        return house::stays(standing);
    }
    let with = |holding| settle_holding(standing, evaluation, groups, (rules, holding, activated), now);
    let Part { effect, still_pending, attempts, concerns } = with(Holding::default());
    // What an adoption changes was seen before the connection went live: nobody is asked again.
    let seen = |ruling: &Ruling| ruling.kind == RulingKind::Drift && ruling.state == RulingState::Yes;
    let guarded = match standing.account.note.as_ref().map(|note| note.code.as_str()) {
        Some(Note::ADOPTED) => None,
        // Nor is somebody who was held with a reconciliation, and released.
        _ if standing.rulings.iter().any(seen) => None,
        _ => guarded(rules, connection, activated, concerns, |holding| with(holding).effect),
    };
    Settled { effect, guarded, still_pending, attempts }
}

/// What a deletion changes: every role goes, the account is kept as removed until retention ends. Beyond the guard's limit its roles
/// are kept dormant.
#[must_use]
pub fn remove(standing: &Standing<'_>, (rules, connection): (&Rules<'_>, &ConnectionId), now: Instant) -> Settled {
    if house::has_moved(standing.account) {
        return house::removed(standing);
    }
    let with = |holding: Holding| {
        let mut change = Settling::new(standing, rules, holding, now);
        change.leave(DELETED);
        change.account(AccountState::Removed, None, None);
        change.finish(None)
    };
    let (effect, concerns) = with(Holding::default());
    let guarded = guarded(rules, connection, false, concerns, |holding| with(holding).0);
    Settled { effect, guarded, still_pending: None, attempts: 0 }
}

/// What was said of somebody whom the identity provider has deleted, and of whom nothing is evaluated any more: given back for a time, or
/// gone for good. `holder` is the other account that has the name by now. The effect's next date says when to look again.
#[must_use]
pub fn settle_departed(standing: &Standing<'_>, rules: &Rules<'_>, holder: Option<&AccountId>, now: Instant) -> Effect {
    let mut change = Settling::new(standing, rules, Holding::default(), now);
    let mut next = None;
    change.departed(holder, &mut next);
    change.finish(next).0
}

/// What the guard is asked with the commit, where it has to be: whom to count, and what takes effect with that kept back.
fn guarded(
    rules: &Rules<'_>,
    connection: &ConnectionId,
    activated: bool,
    concerns: Concerns,
    with: impl Fn(Holding) -> Effect,
) -> Option<Box<Guarded>> {
    let Concerns { loses, leaves, lost, gained } = concerns;
    let (losing, gaining) = (loses || leaves, !gained.is_empty());
    if !rules.guard.enabled || !(losing || gaining) || rules.connection != ConnectionState::Active {
        return None;
    }
    let held = |losses, gains| with(Holding { losses, gains });
    let privileged = |role: &&RoleId| rules.privileged.contains(role.as_str());
    Some(Box::new(Guarded {
        losses_held: losing.then(|| held(true, false)),
        gains_held: gaining.then(|| held(false, true)),
        both_held: (losing && gaining).then(|| held(true, true)),
        concerned: Concerned {
            connection: connection.clone(),
            activated: rules.revision.filter(|_| activated).cloned(),
            settings: rules.guard.clone(),
            loses,
            leaves,
            gained_privileged: gained.iter().filter(privileged).cloned().collect(),
            lost,
            gained,
        },
    }))
}

/// Whom a change concerns, in the guard's eyes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Concerns {
    loses: bool,
    leaves: bool,
    lost: Vec<RoleId>,
    gained: Vec<RoleId>,
}

struct Part {
    effect: Effect,
    still_pending: Option<Cause>,
    attempts: i64,
    concerns: Concerns,
}

fn settle_holding(
    standing: &Standing<'_>,
    evaluation: &Evaluation,
    groups: &[GroupMembership],
    (rules, holding, activated): (&Rules<'_>, Holding, bool),
    now: Instant,
) -> Part {
    let mut change = Settling::new(standing, rules, holding, now);
    change.begin_anew();
    let mut next = evaluation.next_change;
    let mut attempts = 0;
    let mut still_pending = None;
    let dates = dates_of(standing, evaluation, rules);
    change.dates = dates;
    for date in [dates.starts, dates.ends].into_iter().flatten().filter(|date| *date > now) {
        sooner(&mut next, date);
    }
    let is_gone = matches!(evaluation.outcome, Outcome::Inactive | Outcome::Ended) || dates.ended_at(now);
    if !is_gone {
        // The identity provider says that the person is there: what was said of the departure is over, whatever else becomes of them.
        change.end_all(RulingKind::Restored, None);
    }
    match &evaluation.outcome {
        Outcome::Inactive => {
            next = evaluation.next_change;
            change.inactive(&mut next);
        }
        Outcome::Ended => change.ended(dates, &mut next),
        _ if dates.ended_at(now) => change.ended(dates, &mut next),
        Outcome::OutOfScope(_) | Outcome::Collision(..) if change.is_in_use() && change.absence().is_some() => {
            change.absent(evaluation, &mut next);
        }
        Outcome::OutOfScope(reason) => {
            let note = Note { code: "out_of_scope".into(), path: None, message: reason.clone() };
            change.turn_away("out_of_scope", AccountState::OutOfScope, None, note, &mut next);
        }
        Outcome::Account(shape) | Outcome::Collision(shape, _) if change.is_doubted() => change.doubted(shape, evaluation),
        Outcome::Account(_) | Outcome::Refused(_) | Outcome::Fault(_) if change.absence().is_some() => {
            change.absent(evaluation, &mut next);
        }
        Outcome::Account(shape) if dates.before_start_at(now) && rules.connection != ConnectionState::Staging => {
            change.not_before(shape, evaluation, dates, &mut next);
        }
        Outcome::Account(shape) if rules.connection != ConnectionState::Active && !change.is_in_use() => {
            change.not_yet(shape, evaluation);
        }
        Outcome::Account(shape) => {
            change.decide(evaluation, groups, activated, &mut next);
            let undecided = evaluation.undecided.first().map(|undecided| undecided.note.clone());
            let note = undecided.or_else(|| change.remind(dates, &mut next));
            change.account(AccountState::Active, Some((shape, evaluation)), note);
        }
        Outcome::Collision(shape, holder) => {
            let note = Note {
                code: Note::COLLISION.into(),
                path: Some("userName".into()),
                message: format!("the name `{}` belongs to account `{holder}`; resolve which of them keeps it", shape.user_name),
            };
            change.turn_away("collision", AccountState::Held, Some((shape, evaluation)), note, &mut next);
        }
        Outcome::Refused(note) => {
            change.retain_all(groups, &mut next);
            change.doubt(note.clone());
        }
        Outcome::Fault(fault) => {
            change.retain_all(groups, &mut next);
            if fault.infrastructure {
                attempts = standing.attempts + 1;
                still_pending = Some(Cause::Retry);
                sooner(&mut next, retry_at(now, attempts));
            }
            change.fault = Some(fault.code);
            change.doubt(fault.note.clone());
        }
    }
    let (effect, concerns) = change.finish(next);
    Part { effect, still_pending, attempts, concerns }
}

/// Somebody's dates; where the mapping gave no answer, those that it made last.
fn dates_of(standing: &Standing<'_>, evaluation: &Evaluation, rules: &Rules<'_>) -> Dates {
    match evaluation.outcome {
        Outcome::Refused(_) | Outcome::Fault(_) => {
            let kept = rules.calendar.in_profile(&standing.account.profile);
            Dates { starts: evaluation.dates.starts.or(kept.starts), ends: evaluation.dates.ends.or(kept.ends) }
        }
        _ => evaluation.dates,
    }
}

/// The roles that are held, and those that exceptions in force, or to come, are about: the policies are asked whether they forbid them.
#[must_use]
pub fn excepted(rulings: &[Ruling], grants: &[Grant]) -> Vec<String> {
    let held = grants.iter().filter(|grant| grant.state.in_effect()).map(|grant| &grant.role);
    let roles = rulings.iter().filter(|ruling| ruling.kind == RulingKind::Grant).filter_map(|ruling| ruling.role.as_ref());
    let roles: BTreeSet<String> = roles.chain(held).map(|role| role.0.clone()).collect();
    roles.into_iter().collect()
}

/// Makes a date the next one where it comes before.
fn sooner(next: &mut Option<Instant>, date: impl Into<Option<Instant>>) {
    *next = date.into().into_iter().chain(*next).min();
}

fn retry_at(now: Instant, attempts: i64) -> Instant {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    now.plus_seconds((RETRY_FIRST_SECONDS << doublings).min(RETRY_MAX_SECONDS))
}

/// Whether some reason of the grant still stands as far as its groups go: every group of that reason is one the person is in.
fn rests_on(grant: &Grant, groups: &[GroupMembership]) -> bool {
    let is_in = |handle: &String| groups.iter().any(|group| &group.handle == handle);
    grant.reasons.iter().any(|reason| reason.groups.iter().all(|chain| chain.last().is_none_or(is_in)))
}
