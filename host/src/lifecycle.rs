//! From an evaluation and what stands at present to what changes: accounts, grants, events, next dates.
//!
//! Pure. The rules that keep access safe live here: a leaver loses everything in the same change,
//! nothing is granted on a doubt, and what can't be decided again is retained with a deadline.
//! Knows nothing of HTTP, SQL, Wasm or Cedar.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::evaluation::{Evaluation, Outcome};
use crate::mapping::AccountShape;
use crate::model::{
    Account, AccountId, AccountState, Cause, DecisionSettings, Grant, GrantState, GroupMembership, Instant, NewEvent, Note, RevisionHash,
    RoleId, collision_key,
};
use crate::store::AccountWrite;

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
    /// Consecutive infrastructure faults so far.
    pub attempts: i64,
}

/// What the revision says about how to settle.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// The tenant's settings; the *active* revision's, never a candidate's.
    pub decisions: &'a DecisionSettings,
    /// The revision; `None` while the tenant has none.
    pub revision: Option<&'a RevisionHash>,
    /// The roles that are marked privileged.
    pub privileged: &'a BTreeSet<String>,
    /// Whether the connection is paused: removals take effect, nothing new is granted.
    pub paused: bool,
}

/// What changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The account after the change; `None` when nothing about it changes.
    pub account: Option<AccountWrite>,
    /// Grants that are new or changed.
    pub put: Vec<Grant>,
    /// Roles that are no longer held.
    pub drop: Vec<RoleId>,
    /// History.
    pub events: Vec<NewEvent>,
    /// When to evaluate again without being asked.
    pub next_evaluation_at: Option<Instant>,
    /// Set when this is no verdict and is to be tried again.
    pub still_pending: Option<Cause>,
    /// Consecutive infrastructure faults, this one included.
    pub attempts: i64,
}

/// Compares an evaluation with what stands.
///
/// `groups` are the person's present memberships: a retained grant whose own reasons name a group that
/// the person has left falls at once.
#[must_use]
pub fn settle(standing: &Standing<'_>, evaluation: &Evaluation, groups: &[GroupMembership], rules: &Rules<'_>, now: Instant) -> Settled {
    let mut change = Settling { standing, rules, now, put: Vec::new(), drop: Vec::new(), events: Vec::new() };
    let mut next = evaluation.next_change;
    let mut attempts = 0;
    let mut still_pending = None;
    let account = match &evaluation.outcome {
        Outcome::Inactive => {
            change.drop_all("inactive");
            change.account(AccountState::Suspended, None, None)
        }
        Outcome::OutOfScope(reason) => {
            change.drop_all("out_of_scope");
            let note = Note { code: "out_of_scope".into(), path: None, message: reason.clone() };
            change.account(AccountState::OutOfScope, None, Some(note))
        }
        Outcome::Account(shape) => {
            change.decide(evaluation, groups, &mut next);
            change.account(AccountState::Active, Some((shape, evaluation)), None)
        }
        Outcome::Collision(shape, holder) => {
            change.drop_all("collision");
            let note = Note {
                code: Note::COLLISION.into(),
                path: Some("userName".into()),
                message: format!("the name `{}` belongs to account `{holder}`; resolve which of them keeps it", shape.user_name),
            };
            change.account(AccountState::Held, Some((shape, evaluation)), Some(note))
        }
        Outcome::Refused(note) => {
            change.retain_all(groups, &mut next);
            change.doubt(note.clone())
        }
        Outcome::Fault(fault) => {
            change.retain_all(groups, &mut next);
            if fault.infrastructure {
                attempts = standing.attempts + 1;
                still_pending = Some(Cause::Retry);
                next = Some(earlier(next, retry_at(now, attempts)));
            }
            change.doubt(fault.note.clone())
        }
    };
    let Settling { put, drop, events, .. } = change;
    Settled { account, put, drop, events, next_evaluation_at: next, still_pending, attempts }
}

/// What a deletion changes: every role goes, the account is kept as removed until retention ends.
#[must_use]
pub fn remove(standing: &Standing<'_>, rules: &Rules<'_>, now: Instant) -> Settled {
    let mut change = Settling { standing, rules, now, put: Vec::new(), drop: Vec::new(), events: Vec::new() };
    change.drop_all("deleted");
    let account = change.account(AccountState::Removed, None, None);
    let Settling { put, drop, events, .. } = change;
    Settled { account, put, drop, events, next_evaluation_at: None, still_pending: None, attempts: 0 }
}

fn earlier(a: Option<Instant>, b: Instant) -> Instant {
    a.map_or(b, |a| a.min(b))
}

fn retry_at(now: Instant, attempts: i64) -> Instant {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    now.plus_seconds((RETRY_FIRST_SECONDS << doublings).min(RETRY_MAX_SECONDS))
}

/// A change in the making.
struct Settling<'a> {
    standing: &'a Standing<'a>,
    rules: &'a Rules<'a>,
    now: Instant,
    put: Vec<Grant>,
    drop: Vec<RoleId>,
    events: Vec<NewEvent>,
}

impl Settling<'_> {
    fn id(&self) -> AccountId {
        self.standing.account.id.clone()
    }

    fn event(&mut self, kind: &'static str, data: Value, personal: Option<Value>, leaver: bool) {
        let account = Some(self.id());
        self.events.push(NewEvent { kind, account, data, personal, leaver });
    }

    /// The account in its new state, with the events that say so; `None` when nothing changes.
    fn account(&mut self, state: AccountState, mapped: Option<(&AccountShape, &Evaluation)>, note: Option<Note>) -> Option<AccountWrite> {
        let before = self.standing.account;
        let (user_name, profile, provenance) = match mapped {
            Some((shape, evaluation)) => (
                Some(shape.user_name.clone()),
                serde_json::to_value(shape).unwrap_or_default(),
                serde_json::to_value(&evaluation.provenance).unwrap_or_default(),
            ),
            None => (before.user_name.clone(), before.profile.clone(), before.provenance.clone()),
        };
        let key = user_name.as_deref().map(collision_key);
        let holds_name =
            matches!(state, AccountState::Active | AccountState::Suspended | AccountState::OutOfScope | AccountState::Scheduled)
                && !(before.state == AccountState::Held && mapped.is_none());
        let (name_key, wanted_key) = if holds_name { (key, None) } else { (None, key.filter(|_| state == AccountState::Held)) };
        let same = !self.standing.fresh
            && before.state == state
            && before.note == note
            && before.user_name == user_name
            && before.profile == profile
            && before.provenance == provenance;
        if same {
            return None;
        }
        self.account_events(state, &user_name, &profile, note.as_ref());
        Some(AccountWrite { id: self.id(), state, user_name, name_key, wanted_key, profile, provenance, note })
    }

    fn account_events(&mut self, state: AccountState, user_name: &Option<String>, profile: &Value, note: Option<&Note>) {
        let before = self.standing.account;
        let data = json!({
            "state": state, "before": (!self.standing.fresh).then_some(before.state),
            "note": note.map(|note| &note.code), "revision": self.rules.revision,
        });
        let kind = match (self.standing.fresh, state == before.state, state) {
            (true, _, _) => "account.created",
            (false, true, _) => "account.changed",
            (false, false, AccountState::Active) => "account.activated",
            (false, false, AccountState::Suspended) => "account.suspended",
            (false, false, AccountState::Held) => "account.held",
            (false, false, AccountState::OutOfScope) => "account.out_of_scope",
            (false, false, AccountState::Scheduled) => "account.scheduled",
            (false, false, AccountState::Removed) => "account.removed",
        };
        let leaver = matches!(state, AccountState::Suspended | AccountState::Removed | AccountState::OutOfScope);
        let personal = json!({"user_name": user_name, "profile": profile, "note": note.map(|note| &note.message)});
        self.event(kind, data, Some(personal), leaver);
    }

    /// No verdict: the account stays what it is, with a note; one that never had a verdict is held.
    fn doubt(&mut self, note: Note) -> Option<AccountWrite> {
        let before = self.standing.account;
        let state = if self.standing.fresh || before.user_name.is_none() { AccountState::Held } else { self.state_in_doubt() };
        self.account(state, None, Some(note))
    }

    /// An account in use stays in use while its grants are retained; nothing that was out of use comes into use on a doubt.
    fn state_in_doubt(&self) -> AccountState {
        match self.standing.account.state {
            AccountState::Active => AccountState::Active,
            AccountState::Suspended | AccountState::Removed | AccountState::Held | AccountState::OutOfScope | AccountState::Scheduled => {
                AccountState::Held
            }
        }
    }

    fn drop_all(&mut self, why: &str) {
        for grant in self.standing.grants {
            self.drop_grant(grant, why);
        }
    }

    fn drop_grant(&mut self, grant: &Grant, why: &str) {
        self.drop.push(grant.role.clone());
        let data = json!({"role": grant.role, "was": grant.state, "why": why, "reasons": grant.reasons, "revision": self.rules.revision});
        self.event("grant.removed", data, None, true);
    }

    /// Grants what the policies give, drops what they no longer give, retains what they could not decide.
    fn decide(&mut self, evaluation: &Evaluation, groups: &[GroupMembership], next: &mut Option<Instant>) {
        for decided in &evaluation.roles {
            let role = RoleId(decided.role.clone());
            let before = self.standing.grants.iter().find(|grant| grant.role == role);
            if before.is_none() && self.rules.paused {
                continue;
            }
            self.grant(role, decided.reasons.clone(), before);
        }
        for grant in self.standing.grants {
            let given = evaluation.roles.iter().any(|decided| decided.role == grant.role.0);
            let undecided = evaluation.undecided.iter().any(|undecided| undecided.role == grant.role.0);
            if undecided {
                self.retain(grant, groups, next);
            } else if !given {
                self.drop_grant(grant, "policy");
            }
        }
    }

    fn grant(&mut self, role: RoleId, reasons: Vec<crate::model::Reason>, before: Option<&Grant>) {
        let Some(revision) = self.rules.revision.cloned() else { return };
        let grant = Grant {
            role,
            state: GrantState::Effective,
            reasons,
            since: before.map_or(self.now, |grant| grant.since),
            deadline: None,
            revision,
        };
        match before {
            Some(before) if before.state == grant.state && before.reasons == grant.reasons => return,
            Some(_) => {
                let data = json!({"role": grant.role, "reasons": grant.reasons, "revision": grant.revision});
                self.event("grant.changed", data, None, false);
            }
            None => {
                let data = json!({"role": grant.role, "reasons": grant.reasons, "revision": grant.revision});
                self.event("grant.added", data, None, false);
            }
        }
        self.put.push(grant);
    }

    fn retain_all(&mut self, groups: &[GroupMembership], next: &mut Option<Instant>) {
        for grant in self.standing.grants {
            self.retain(grant, groups, next);
        }
    }

    /// Keeps a grant over a fault until its deadline, unless a group that it rests on is gone.
    fn retain(&mut self, grant: &Grant, groups: &[GroupMembership], next: &mut Option<Instant>) {
        if !rests_on(grant, groups) {
            return self.drop_grant(grant, "group_left");
        }
        let deadline = grant.deadline.filter(|_| grant.state == GrantState::Retained).unwrap_or_else(|| self.deadline(grant));
        if deadline <= self.now {
            return self.drop_grant(grant, "retention_ended");
        }
        *next = Some(earlier(*next, deadline));
        if grant.state != GrantState::Retained {
            let data = json!({"role": grant.role, "deadline": deadline, "revision": self.rules.revision});
            self.event("grant.retained", data, None, false);
            self.put.push(Grant { state: GrantState::Retained, deadline: Some(deadline), ..grant.clone() });
        }
    }

    fn deadline(&self, grant: &Grant) -> Instant {
        let privileged = self.rules.privileged.contains(&grant.role.0);
        let hours = if privileged { self.rules.decisions.retain_privileged_hours } else { self.rules.decisions.retain_hours };
        self.now.plus_seconds(i64::from(hours) * 3600)
    }
}

/// Whether some reason of the grant still stands as far as its groups go: every group of that reason is one the person is in.
fn rests_on(grant: &Grant, groups: &[GroupMembership]) -> bool {
    let is_in = |handle: &String| groups.iter().any(|group| &group.handle == handle);
    grant.reasons.iter().any(|reason| reason.groups.iter().all(|chain| chain.last().is_none_or(is_in)))
}
