//! From an evaluation and what stands at present to what changes: accounts, grants, events, next dates.
//!
//! Pure. The rules that keep access safe live here: a leaver loses everything in the same change,
//! nothing is granted on a doubt, and what can't be decided again is retained with a deadline.
//! Knows nothing of HTTP, SQL, Wasm or Cedar.

mod case;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::evaluation::{Evaluation, Outcome};
use crate::mapping::AccountShape;
use crate::model::{
    Account, AccountId, AccountState, Cause, DecisionSettings, Grant, GrantState, GroupMembership, Instant, NewEvent, Note, RevisionHash,
    RoleId, collision_key,
};
use crate::policies::Loss;
use crate::revision::Revision;
use crate::store::AccountWrite;

pub use case::{Case, as_of};

/// After how many seconds an infrastructure fault is tried again the first time; doubled each time up to [`RETRY_MAX_SECONDS`].
const RETRY_FIRST_SECONDS: i64 = 1;
/// The longest wait between two tries after an infrastructure fault.
const RETRY_MAX_SECONDS: i64 = 300;
/// The longest text of a condition that is kept with the event of a lost role, in characters.
const CONDITION_CHARS_LIMIT: usize = 300;

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

impl<'a> Rules<'a> {
    /// What a revision says.
    #[must_use]
    pub fn of(revision: &'a Revision, paused: bool) -> Self {
        Self { decisions: &revision.decisions, revision: Some(&revision.hash), privileged: revision.policies.privileged(), paused }
    }
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
    let mut change = Settling { standing, rules, now, fault: None, put: Vec::new(), drop: Vec::new(), events: Vec::new() };
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
        Outcome::Account(shape) if rules.paused && (standing.fresh || standing.account.state != AccountState::Active) => {
            change.drop_all("paused");
            let note = Note {
                code: "paused".into(),
                path: None,
                message: "the connection is paused: nothing new comes into use before it is resumed".into(),
            };
            change.account(AccountState::Held, Some((shape, evaluation)), Some(note))
        }
        Outcome::Account(shape) => {
            change.decide(evaluation, groups, &mut next);
            let note = evaluation.undecided.first().map(|undecided| undecided.note.clone());
            change.account(AccountState::Active, Some((shape, evaluation)), note)
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
            change.fault = Some(fault.code);
            change.doubt(fault.note.clone())
        }
    };
    let Settling { put, drop, events, .. } = change;
    Settled { account, put, drop, events, next_evaluation_at: next, still_pending, attempts }
}

/// What a deletion changes: every role goes, the account is kept as removed until retention ends.
#[must_use]
pub fn remove(standing: &Standing<'_>, rules: &Rules<'_>, now: Instant) -> Settled {
    let mut change = Settling { standing, rules, now, fault: None, put: Vec::new(), drop: Vec::new(), events: Vec::new() };
    change.drop_all("deleted");
    let account = change.account(AccountState::Removed, None, None);
    let Settling { put, drop, events, .. } = change;
    Settled { account, put, drop, events, next_evaluation_at: None, still_pending: None, attempts: 0 }
}

/// A condition as it is kept with an event.
fn cut(text: &str) -> String {
    let mut kept: String = text.chars().take(CONDITION_CHARS_LIMIT).collect();
    if kept.len() < text.len() {
        kept.push('…');
    }
    kept
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
    /// The code of the fault that left no verdict.
    fault: Option<&'static str>,
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
        // Only a mapping claims a name. Whoever has none (held over a collision, and what became of that) takes none along: a name that
        // another has would refuse the change, and with it a departure.
        let may_hold = matches!(state, AccountState::Active | AccountState::Suspended | AccountState::OutOfScope | AccountState::Scheduled);
        let holds_name = may_hold && (mapped.is_some() || before.holds_name);
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
        let mut data = json!({
            "state": state, "before": (!self.standing.fresh).then_some(before.state),
            "note": note.map(|note| &note.code), "revision": self.rules.revision,
        });
        if let Some(fault) = self.fault {
            data["fault"] = fault.into();
        }
        let kind = match (self.standing.fresh, state == before.state, state) {
            (true, _, _) if before.state == AccountState::Removed => "account.revived",
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
        let personal = json!({"user_name": user_name, "profile": profile, "note": note.map(|note| &note.message),
                              "path": note.and_then(|note| note.path.as_ref())});
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
            self.drop_grant(grant, why, None);
        }
    }

    /// `loss`: what became of the policies that gave it. The values that they saw are personal, and what they are is not.
    fn drop_grant(&mut self, grant: &Grant, why: &str, loss: Option<&Loss>) {
        self.drop.push(grant.role.clone());
        let mut data =
            json!({"role": grant.role, "was": grant.state, "why": why, "reasons": grant.reasons, "revision": self.rules.revision});
        let mut personal = None;
        if let Some(loss) = loss {
            let permits: Vec<Value> = loss.permits.iter().map(|miss| json!({"policy": miss.policy, "unmet": cut(&miss.unmet)})).collect();
            let forbids: Vec<Value> = loss
                .forbids
                .iter()
                .map(|forbid| json!({"policy": forbid.policy, "reason": forbid.reason, "groups": forbid.groups}))
                .collect();
            data["lost"] = json!({"permits": permits, "forbids": forbids});
            let saw = loss.permits.iter().filter(|miss| !miss.saw.is_empty());
            let saw: serde_json::Map<String, Value> = saw.map(|miss| (miss.policy.clone(), json!(miss.saw))).collect();
            personal = (!saw.is_empty()).then(|| json!({"saw": saw}));
        }
        self.event("grant.removed", data, personal, true);
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
                self.drop_grant(grant, "policy", evaluation.lost.iter().find(|loss| loss.role == grant.role.0));
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
            return self.drop_grant(grant, "group_left", None);
        }
        let deadline = grant.deadline.filter(|_| grant.state == GrantState::Retained).unwrap_or_else(|| self.deadline(grant));
        if deadline <= self.now {
            return self.drop_grant(grant, "retention_ended", None);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{Fault, Undecided};
    use crate::model::Reason;
    use crate::policies::RoleDecision;

    const NOW: Instant = Instant(1_800_000_000_000_000);
    const HOUR: i64 = 3_600;

    fn account(state: AccountState) -> Account {
        Account {
            id: AccountId::from("a1"),
            state,
            user_name: Some("ada".into()),
            holds_name: !matches!(state, AccountState::Held | AccountState::Removed),
            profile: json!({"user_name": "ada", "title": "before"}),
            provenance: json!({}),
            note: None,
            created: NOW,
            modified: NOW,
        }
    }

    fn reason(handle: &str) -> Reason {
        Reason { policy: format!("by-{handle}"), reason: None, groups: vec![vec![handle.to_owned()]], proposed: false, nomination: None }
    }

    fn standing_grant(role: &str, handle: &str) -> Grant {
        Grant {
            role: RoleId::from(role),
            state: GrantState::Effective,
            reasons: vec![reason(handle)],
            since: NOW.plus_seconds(-HOUR),
            deadline: None,
            revision: RevisionHash::from("r1"),
        }
    }

    fn member_of(handles: &[&str]) -> Vec<GroupMembership> {
        handles.iter().map(|handle| GroupMembership { handle: (*handle).to_owned(), chain: vec![(*handle).to_owned()] }).collect()
    }

    fn mapped(roles: &[(&str, &str)]) -> Evaluation {
        let shape = AccountShape { user_name: "ada".into(), ..AccountShape::default() };
        let roles = roles.iter().map(|(role, handle)| RoleDecision { role: (*role).to_owned(), reasons: vec![reason(handle)] }).collect();
        Evaluation { roles, ..Evaluation::outcome(Outcome::Account(Box::new(shape))) }
    }

    fn fault(infrastructure: bool) -> Evaluation {
        let note = Note { code: "plugin_fault".into(), path: None, message: "trap".into() };
        Evaluation::fault(Fault { note, code: "trap", infrastructure })
    }

    fn settled(account: &Account, grants: &[Grant], evaluation: &Evaluation, groups: &[&str], paused: bool, now: Instant) -> Settled {
        let (decisions, privileged, revision) =
            (DecisionSettings::default(), BTreeSet::from(["root".to_owned()]), RevisionHash::from("r1"));
        let rules = Rules { decisions: &decisions, revision: Some(&revision), privileged: &privileged, paused };
        let standing = Standing { account, fresh: false, grants, attempts: 0 };
        settle(&standing, evaluation, &member_of(groups), &rules, now)
    }

    fn state(settled: &Settled) -> AccountState {
        settled.account.as_ref().unwrap().state
    }

    fn dropped(settled: &Settled) -> Vec<&str> {
        settled.drop.iter().map(RoleId::as_str).collect()
    }

    #[test]
    fn a_leaver_loses_everything_in_the_leavers_lane() {
        let grants = [standing_grant("writer", "eng"), standing_grant("root", "ops")];
        let settled = settled(&account(AccountState::Active), &grants, &Evaluation::inactive(), &["eng", "ops"], false, NOW);
        assert_eq!(state(&settled), AccountState::Suspended);
        assert_eq!(dropped(&settled), ["writer", "root"]);
        assert!(settled.put.is_empty());
        assert!(settled.events.iter().all(|event| event.leaver));
    }

    #[test]
    fn a_fault_grants_nothing_and_retains_until_a_deadline_by_privilege() {
        let grants = [standing_grant("writer", "eng"), standing_grant("root", "eng")];
        let settled = settled(&account(AccountState::Active), &grants, &fault(false), &["eng"], false, NOW);
        assert_eq!(state(&settled), AccountState::Active);
        assert_eq!(settled.account.as_ref().unwrap().note.as_ref().unwrap().code, "plugin_fault");
        let deadlines: Vec<_> = settled.put.iter().map(|grant| (grant.role.as_str(), grant.state, grant.deadline)).collect();
        let (writer, root) = (NOW.plus_seconds(72 * HOUR), NOW.plus_seconds(4 * HOUR));
        assert_eq!(deadlines, [("writer", GrantState::Retained, Some(writer)), ("root", GrantState::Retained, Some(root))]);
        assert_eq!(settled.next_evaluation_at, Some(root));
        assert_eq!(settled.still_pending, None);
    }

    #[test]
    fn a_retained_grant_falls_at_its_deadline_and_with_its_group() {
        let retained = Grant { state: GrantState::Retained, deadline: Some(NOW), ..standing_grant("writer", "eng") };
        let at_deadline = settled(&account(AccountState::Active), &[retained], &fault(false), &["eng"], false, NOW);
        assert_eq!(dropped(&at_deadline), ["writer"]);
        let group_left = settled(&account(AccountState::Active), &[standing_grant("writer", "eng")], &fault(false), &[], false, NOW);
        assert_eq!(dropped(&group_left), ["writer"]);
    }

    #[test]
    fn a_deadline_does_not_move_while_the_fault_lasts() {
        let deadline = NOW.plus_seconds(HOUR);
        let retained = Grant { state: GrantState::Retained, deadline: Some(deadline), ..standing_grant("writer", "eng") };
        let settled = settled(&account(AccountState::Active), &[retained], &fault(false), &["eng"], false, NOW);
        assert!(settled.put.is_empty() && settled.drop.is_empty());
        assert_eq!(settled.next_evaluation_at, Some(deadline));
    }

    #[test]
    fn a_repair_makes_a_retained_grant_effective_and_keeps_since() {
        let retained = Grant { state: GrantState::Retained, deadline: Some(NOW), ..standing_grant("writer", "eng") };
        let settled = settled(&account(AccountState::Active), &[retained], &mapped(&[("writer", "eng")]), &["eng"], false, NOW);
        assert_eq!(settled.put.len(), 1);
        assert_eq!((settled.put[0].state, settled.put[0].since), (GrantState::Effective, NOW.plus_seconds(-HOUR)));
    }

    #[test]
    fn an_infrastructure_fault_is_no_verdict() {
        let settled = settled(&account(AccountState::Active), &[], &fault(true), &[], false, NOW);
        assert_eq!((settled.still_pending, settled.attempts), (Some(Cause::Retry), 1));
        assert_eq!(settled.next_evaluation_at, Some(NOW.plus_seconds(1)));
        assert_eq!(retry_at(NOW, 40), NOW.plus_seconds(RETRY_MAX_SECONDS));
    }

    #[test]
    fn nothing_comes_into_use_on_a_doubt() {
        let settled = settled(&account(AccountState::Suspended), &[], &fault(false), &["eng"], false, NOW);
        assert_eq!(state(&settled), AccountState::Held);
        assert!(settled.put.is_empty());
    }

    #[test]
    fn an_undecided_role_is_retained_where_it_stands_and_not_granted_where_it_does_not() {
        let note = Note { code: "policy_error".into(), path: None, message: "overflow".into() };
        let undecided = ["writer", "reader"].map(|role| Undecided { role: role.into(), note: note.clone() });
        let evaluation = Evaluation { undecided: undecided.into(), ..mapped(&[]) };
        let grants = [standing_grant("writer", "eng")];
        let settled = settled(&account(AccountState::Active), &grants, &evaluation, &["eng"], false, NOW);
        assert_eq!(settled.put.len(), 1);
        assert_eq!((settled.put[0].role.as_str(), settled.put[0].state), ("writer", GrantState::Retained));
        assert_eq!(settled.account.unwrap().note.unwrap().code, "policy_error");
    }

    #[test]
    fn a_mover_gains_and_loses() {
        let grants = [standing_grant("writer", "eng")];
        let settled = settled(&account(AccountState::Active), &grants, &mapped(&[("seller", "sales")]), &["sales"], false, NOW);
        assert_eq!(dropped(&settled), ["writer"]);
        assert_eq!(settled.put[0].role.as_str(), "seller");
        assert_eq!(settled.account.unwrap().name_key.as_deref(), Some("ada"));
    }

    #[test]
    fn a_paused_connection_takes_away_and_gives_nothing() {
        let grants = [standing_grant("writer", "eng")];
        let evaluation = mapped(&[("seller", "sales")]);
        let active = settled(&account(AccountState::Active), &grants, &evaluation, &["sales"], true, NOW);
        assert_eq!((dropped(&active), active.put.len()), (vec!["writer"], 0));
        let back = settled(&account(AccountState::Suspended), &[], &evaluation, &["sales"], true, NOW);
        assert_eq!((state(&back), back.put.len()), (AccountState::Held, 0));
    }

    #[test]
    fn a_collision_is_held_without_a_name_and_waits_for_it() {
        let shape = AccountShape { user_name: "José".into(), ..AccountShape::default() };
        let evaluation = Evaluation::outcome(Outcome::Collision(Box::new(shape), AccountId::from("other")));
        let settled = settled(&account(AccountState::Active), &[standing_grant("writer", "eng")], &evaluation, &["eng"], false, NOW);
        let write = settled.account.unwrap();
        assert_eq!((write.state, write.name_key, write.wanted_key.as_deref()), (AccountState::Held, None, Some("jose")));
        assert_eq!(settled.drop.len(), 1);
    }

    #[test]
    fn whoever_has_no_name_takes_none_along() {
        let away = Evaluation::outcome(Outcome::OutOfScope("none of ours".into()));
        let inactive = Evaluation::inactive();
        // Held over a collision, then away, back out of scope, and away again: the name is the other's all the while.
        for (before, evaluation) in
            [(AccountState::Held, &inactive), (AccountState::Suspended, &away), (AccountState::OutOfScope, &inactive)]
        {
            for holds_name in [false, true] {
                let standing = Account { holds_name, ..account(before) };
                let write = settled(&standing, &[], evaluation, &[], false, NOW).account.unwrap();
                assert_eq!((write.name_key.is_some(), write.wanted_key), (holds_name, None), "{before:?}");
            }
        }
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let mut before = account(AccountState::Active);
        let evaluation = mapped(&[("writer", "eng")]);
        let first = settled(&before, &[], &evaluation, &["eng"], false, NOW);
        let write = first.account.unwrap();
        before.profile = write.profile;
        before.provenance = write.provenance;
        let again = settled(&before, &first.put, &evaluation, &["eng"], false, NOW.plus_seconds(HOUR));
        assert_eq!(
            again,
            Settled {
                next_evaluation_at: None,
                account: None,
                put: vec![],
                drop: vec![],
                events: vec![],
                still_pending: None,
                attempts: 0
            }
        );
    }
}
