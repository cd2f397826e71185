//! A change in the making: what each verdict makes of an account and its roles, and what has to be counted or kept back.

use serde_json::{Value, json};

use super::steps::Moved;
use super::{Concerns, Holding, Rules, Standing, rests_on, sooner};
use crate::evaluation::Evaluation;
use crate::mapping::{AccountShape, Dates};
use crate::model::{
    AccountId, AccountState, ConnectionState, Grant, GrantState, GroupMembership, Instant, NewEvent, NewRuling, Note, Reason, RoleId,
    Ruling, RulingKind, RulingState, Waiting, collision_key,
};
use crate::policies::Loss;
use crate::store::{AccountWrite, Effect};

/// Why somebody leaves whose user is deleted.
pub(super) const DELETED: &str = "deleted";
/// The longest text of a condition that is kept with the event of a lost role, in characters.
const CONDITION_CHARS_LIMIT: usize = 300;

/// A change in the making.
pub(super) struct Settling<'a> {
    pub(super) standing: &'a Standing<'a>,
    pub(super) rules: &'a Rules<'a>,
    holding: Holding,
    pub(super) now: Instant,
    /// The code of the fault that left no verdict.
    pub(super) fault: Option<&'static str>,
    pub(super) account: Option<AccountWrite>,
    pub(super) put: Vec<Grant>,
    drop: Vec<RoleId>,
    /// When the person begins and ends.
    pub(super) dates: Dates,
    /// What somebody who moves gains and loses, whether it takes effect or not.
    pub(super) moved: Moved,
    rule: Vec<NewRuling>,
    pub(super) end: Vec<String>,
    events: Vec<NewEvent>,
    concerns: Concerns,
    /// Why policies give roles no more that were held.
    lost: &'a [Loss],
}

/// What was said about a loss.
enum Said {
    /// Nothing that counts still.
    Nothing,
    /// It is held, or rejected for a while: what stands stays, at most until then.
    Keep(Option<Instant>),
    /// It may take effect.
    Released,
}

impl<'a> Settling<'a> {
    pub(super) fn new(standing: &'a Standing<'a>, rules: &'a Rules<'a>, holding: Holding, now: Instant) -> Self {
        Self {
            standing,
            rules,
            holding,
            now,
            fault: None,
            account: None,
            put: Vec::new(),
            drop: Vec::new(),
            dates: Dates::default(),
            moved: Moved::default(),
            rule: Vec::new(),
            end: Vec::new(),
            events: Vec::new(),
            concerns: Concerns::default(),
            lost: &[],
        }
    }

    /// What changes, and whom the guard has to count.
    pub(super) fn finish(mut self, mut next: Option<Instant>) -> (Effect, Concerns) {
        self.end.sort();
        self.end.dedup();
        let passages = self.passages(&mut next);
        let Self { account, put, mut drop, rule, end, events, concerns, .. } = self;
        // Somebody who comes back may be given again what was left: what is put stands in its place.
        drop.retain(|role| !put.iter().any(|grant| grant.role == *role));
        let (put_grants, drop_grants, end_rulings, next_evaluation_at) = (put, drop, end, next);
        (Effect { account, put_grants, drop_grants, rule, end_rulings, passages, events, next_evaluation_at }, concerns)
    }

    fn id(&self) -> AccountId {
        self.standing.account.id.clone()
    }

    /// Whether the account is in use, so that something can be lost.
    pub(super) fn is_in_use(&self) -> bool {
        !self.standing.fresh && self.standing.account.state == AccountState::Active
    }

    /// What the history says of a role that somebody has no longer.
    pub(super) fn taken(&self, grant: &Grant, why: &str) -> Value {
        json!({"role": grant.role, "was": grant.state, "why": why, "reasons": grant.reasons, "revision": self.rules.revision})
    }

    pub(super) fn event(&mut self, kind: &'static str, mut data: Value, personal: Option<Value>, leaver: bool) {
        let account = Some(self.id());
        let personal = Reason::seal_words(&mut data, personal);
        self.events.push(NewEvent { kind, account, data, personal, leaver });
    }

    /// The account in its new state, with the events that say so; nothing where nothing changes.
    pub(super) fn account(&mut self, state: AccountState, mapped: Option<(&AccountShape, &Evaluation)>, note: Option<Note>) {
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
            return;
        }
        self.account_events(state, &user_name, &profile, note.as_ref());
        self.account = Some(AccountWrite { id: self.id(), state, user_name, name_key, wanted_key, profile, provenance, note });
    }

    /// The account as it will be written.
    pub(super) fn account_mut(&mut self) -> Option<&mut AccountWrite> {
        self.account.as_mut()
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
            (true, _, _) if before.state == AccountState::Removed || before.user_name.is_some() => "account.revived",
            (true, _, _) => "account.created",
            (false, true, _) => "account.changed",
            (false, false, AccountState::Active) => "account.activated",
            (false, false, AccountState::Suspended) => "account.suspended",
            (false, false, AccountState::Held) => "account.held",
            (false, false, AccountState::OutOfScope) => "account.out_of_scope",
            (false, false, AccountState::Scheduled) => "account.scheduled",
            (false, false, AccountState::Removed) => "account.removed",
        };
        let postponed = state == AccountState::Scheduled && before.state == AccountState::Active && !self.standing.fresh;
        let leaver = postponed || matches!(state, AccountState::Suspended | AccountState::Removed | AccountState::OutOfScope);
        let personal = json!({"user_name": user_name, "profile": profile, "note": note.map(|note| &note.message),
                              "path": note.and_then(|note| note.path.as_ref())});
        self.event(kind, data, Some(personal), leaver);
    }

    /// No verdict: the account stays what it is, with a note; one that never had a verdict is held.
    pub(super) fn doubt(&mut self, note: Note) {
        let before = self.standing.account;
        let state = if self.standing.fresh || before.user_name.is_none() { AccountState::Held } else { self.state_in_doubt() };
        self.account(state, None, Some(note));
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

    /// The identity provider says that the person is inactive.
    pub(super) fn inactive(&mut self, next: &mut Option<Instant>) {
        self.gone("inactive", None, "the identity provider says that the person is inactive", next);
    }

    /// The person is gone. Beyond the guard's limit somebody may have said otherwise, for a while.
    pub(super) fn gone(&mut self, why: &str, note: Option<Note>, says: &str, next: &mut Option<Instant>) {
        let Some(restored) = self.restored() else {
            self.leave(why);
            return self.account(AccountState::Suspended, None, note);
        };
        sooner(next, restored.ends);
        if !self.standing.account.holds_name && self.standing.account.user_name.is_some() {
            // The name may be another's by now, and who has it is known where a mapping gives it: not of somebody who is inactive.
            let message =
                "is to be in use again, and has let go of the login name: the identity provider has to say that the person is active";
            let note = Note { code: Note::COLLISION.into(), path: Some("userName".into()), message: message.into() };
            return self.account(AccountState::Held, None, Some(note));
        }
        self.bring_back(says, next);
    }

    /// Who says, for a while, that somebody is in use although the identity provider says otherwise.
    pub(super) fn restored(&self) -> Option<&'a Ruling> {
        self.standing.rulings.iter().find(|ruling| ruling.kind == RulingKind::Restored && ruling.holds_at(self.now))
    }

    /// Gives back what somebody had, as far as nobody says otherwise: a leave, exceptions and approvals count as they do for everybody.
    pub(super) fn bring_back(&mut self, says: &str, next: &mut Option<Instant>) {
        self.end_what_is_over(next);
        if self.absence().is_some() {
            return self.away(None, next);
        }
        for grant in self.standing.grants {
            if self.takes_away(grant, next) {
                continue;
            }
            match (grant.state, grant.deadline) {
                (GrantState::Dormant, _) => self.wake(grant, grant.reasons.clone()),
                (GrantState::Retained, Some(deadline)) if deadline <= self.now => self.drop_grant(grant, "retention_ended"),
                (GrantState::Retained, deadline) => sooner(next, deadline),
                (GrantState::Effective | GrantState::Pending, _) => {}
            }
        }
        let message = format!("in use by an exception: {says}");
        self.account(AccountState::Active, None, Some(Note { code: "restored".into(), path: None, message }));
    }

    /// Takes a role away that somebody has said something against, whatever else is known: a forbid is in force, the exception that gives it is
    /// over, or it is not approved any more. Whether it did.
    fn takes_away(&mut self, grant: &Grant, next: &mut Option<Instant>) -> bool {
        let role = grant.role.as_str();
        let approval = self.said(RulingKind::Approval, Some(role)).filter(|_| grant.state != GrantState::Pending);
        let approval = approval.filter(|_| self.needs_yes(&grant.role, &grant.reasons));
        if self.in_force(RulingKind::Forbid, role).is_some() {
            self.drop_grant(grant, "exception");
        } else if grant.reasons.iter().all(Reason::is_exception) && self.in_force(RulingKind::Grant, role).is_none() {
            self.drop_grant(grant, "exception_ended");
        } else if let Some(approval) = approval.filter(|approval| !approval.holds_at(self.now)) {
            self.stop_waiting(Some(grant), not_approved(approval));
        } else {
            sooner(next, approval.and_then(|approval| approval.ends));
            return false;
        }
        true
    }

    /// Takes every role from somebody who goes; beyond the guard's limit so that it can be given back.
    pub(super) fn leave(&mut self, why: &str) {
        let is_reversible =
            self.standing.rulings.iter().any(|ruling| ruling.kind == RulingKind::Restored && ruling.state == RulingState::Open);
        self.concerns.leaves = self.is_in_use();
        let reversible = self.holding.losses && self.concerns.leaves;
        let sleeps = |grant: &Grant| match grant.state {
            GrantState::Effective | GrantState::Retained => reversible,
            GrantState::Dormant => is_reversible,
            GrantState::Pending => false,
        };
        let ends = |ruling: &&Ruling| match ruling.kind {
            // It is the role's, and comes back with it, until it ends.
            RulingKind::Approval => !self.standing.grants.iter().any(|grant| ruling.role.as_ref() == Some(&grant.role) && sleeps(grant)),
            RulingKind::Loss | RulingKind::Gain => true,
            // Whose an imported account is stays to be said: it is in use, and the person may be gone.
            RulingKind::Adoption => ruling.state != RulingState::Open || why == DELETED,
            RulingKind::Restored => ruling.state != RulingState::Open,
            _ => false,
        };
        self.end.extend(self.standing.rulings.iter().filter(ends).map(|ruling| ruling.id.clone()));
        for grant in self.standing.grants {
            match grant.state {
                GrantState::Effective | GrantState::Retained => {
                    self.concerns.lost.push(grant.role.clone());
                    if reversible { self.suspend(grant, why) } else { self.drop_grant(grant, why) }
                }
                GrantState::Dormant if is_reversible => {}
                GrantState::Dormant | GrantState::Pending => self.drop_grant(grant, why),
            }
        }
        if reversible && !is_reversible {
            self.rule.push(NewRuling::open(None, RulingKind::Restored));
        }
    }

    /// Takes a role out of effect so that it can be given back.
    pub(super) fn suspend(&mut self, grant: &Grant, why: &str) {
        self.event("grant.dormant", self.taken(grant, why), None, true);
        self.put.push(Grant { state: GrantState::Dormant, deadline: None, waits_for: None, ..grant.clone() });
    }

    /// Gives a dormant role back: it was held before, and is no gain.
    pub(super) fn wake(&mut self, grant: &Grant, reasons: Vec<Reason>) {
        let data = json!({"role": grant.role, "reasons": reasons, "revision": self.rules.revision, "was": grant.state});
        self.event("grant.added", data, None, false);
        let revision = self.rules.revision.cloned().unwrap_or_else(|| grant.revision.clone());
        self.put.push(Grant { state: GrantState::Effective, reasons, deadline: None, waits_for: None, revision, ..grant.clone() });
    }

    /// The evaluation gives no account to somebody who has one in use, perhaps: a loss that the guard counts.
    pub(super) fn turn_away(
        &mut self,
        why: &str,
        state: AccountState,
        mapped: Option<(&AccountShape, &Evaluation)>,
        note: Note,
        next: &mut Option<Instant>,
    ) {
        let said = if self.is_in_use() { self.said_of_loss(None) } else { Said::Released };
        match said {
            Said::Released => {}
            Said::Keep(until) => return self.keep_account(&note, until, next),
            Said::Nothing => {
                self.concerns.loses = true;
                let held = self.standing.grants.iter().filter(|grant| grant.state.in_effect());
                self.concerns.lost.extend(held.map(|grant| grant.role.clone()));
                if self.holding.losses {
                    self.rule.push(NewRuling::open(None, RulingKind::Loss));
                    return self.keep_account(&note, None, next);
                }
            }
        }
        self.end_all(RulingKind::Loss, None);
        match mapped {
            Some((_, evaluation)) if state == AccountState::Scheduled => self.schedule(evaluation),
            _ => self.drop_all(why),
        }
        self.account(state, mapped, Some(note));
    }

    fn keep_account(&mut self, note: &Note, until: Option<Instant>, next: &mut Option<Instant>) {
        sooner(next, until);
        // What is held is the loss that nobody has asked for.
        self.end_what_is_over(next);
        for grant in self.standing.grants.iter().filter(|grant| grant.state.in_effect()) {
            self.takes_away(grant, next);
        }
        let message = format!("stays in use until somebody has looked at the hold: {}", note.message);
        self.account(AccountState::Active, None, Some(Note { code: "loss_held".into(), path: note.path.clone(), message }));
    }

    /// The connection gives nothing effect yet (staging) or any more (paused) for somebody who is not in use.
    pub(super) fn not_yet(&mut self, shape: &AccountShape, evaluation: &Evaluation) {
        let (code, message) = match self.rules.connection {
            ConnectionState::Staging => {
                self.stage(evaluation, Waiting::Staging);
                (Note::STAGING, "the connection is in staging: nothing has effect before it goes live")
            }
            ConnectionState::Quarantined => {
                self.drop_all("quarantined");
                ("quarantined", "the connection does harm: nothing new comes into use before somebody has looked, or the harm is over")
            }
            ConnectionState::Restored => {
                self.drop_all("restored");
                ("restored", "the connection came back with a backup: nothing new comes into use before it is reconciled or released")
            }
            ConnectionState::Paused | ConnectionState::Active => {
                self.drop_all("paused");
                ("paused", "the connection is paused: nothing new comes into use before it is resumed")
            }
        };
        self.account(AccountState::Held, Some((shape, evaluation)), Some(Note { code: code.into(), path: None, message: message.into() }));
    }

    /// Whether nobody has said yet whose an imported account is that may be this person's.
    pub(super) fn is_doubted(&self) -> bool {
        self.standing.rulings.iter().any(|ruling| ruling.kind == RulingKind::Adoption && ruling.state == RulingState::Open)
    }

    /// Imported accounts may be the person's.
    pub(super) fn doubted(&mut self, shape: &AccountShape, evaluation: &Evaluation) {
        self.stage(evaluation, Waiting::Adoption);
        let message =
            "accounts that were there before may be this person's: decide which, or that theirs is new (`rolecall connection adopt`)";
        let note = Note { code: Note::ADOPTION.into(), path: None, message: message.into() };
        self.account(AccountState::Held, Some((shape, evaluation)), Some(note));
    }

    /// Whether a person has looked at what the account comes to, before the connection went live or since.
    fn is_from_first_sync(&self) -> bool {
        let code = self.standing.account.note.as_ref().map(|note| note.code.as_str());
        matches!(code, Some(Note::STAGING | Note::ADOPTION | Note::ADOPTED))
    }

    /// Whether another connection decides for the first time: what it says otherwise makes nobody a mover.
    fn is_taken_over(&self) -> bool {
        self.standing.account.note.as_ref().is_some_and(|note| note.code == Note::TAKEN_OVER)
    }

    /// What the roles would be.
    fn stage(&mut self, evaluation: &Evaluation, waits_for: Waiting) {
        for decided in &evaluation.roles {
            let role = RoleId(decided.role.clone());
            let before = self.standing.grants.iter().find(|grant| grant.role == role);
            self.pend(role, decided.reasons.clone(), before, waits_for);
        }
        for grant in self.standing.grants {
            if !evaluation.roles.iter().any(|decided| decided.role == grant.role.0) {
                self.drop_grant(grant, "policy");
            }
        }
    }

    fn drop_all(&mut self, why: &str) {
        for grant in self.standing.grants {
            self.drop_grant(grant, why);
        }
    }

    /// What was said of a role ends with it: whoever comes back is asked about again.
    pub(super) fn end_all_about(&mut self, role: &RoleId) {
        for kind in [RulingKind::Approval, RulingKind::Gain, RulingKind::Loss] {
            self.end_all(kind, Some(role));
        }
    }

    /// Takes a role away, and what was said of it.
    pub(super) fn drop_grant(&mut self, grant: &Grant, why: &str) {
        self.drop.push(grant.role.clone());
        self.end_all_about(&grant.role);
        let mut data = self.taken(grant, why);
        let mut personal = None;
        // The values that conditions saw are personal, and what the conditions are is not.
        if let Some(loss) = self.lost.iter().find(|loss| loss.role == grant.role.0).filter(|_| why == "policy") {
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

    /// Grants what the policies and exceptions give, drops what nothing gives any more, retains what could not be decided.
    pub(super) fn decide(&mut self, evaluation: &'a Evaluation, groups: &[GroupMembership], activated: bool, next: &mut Option<Instant>) {
        self.lost = &evaluation.lost;
        self.end_all(RulingKind::Loss, None);
        self.end_what_is_over(next);
        let forbidden = |role: &str| self.in_force(RulingKind::Forbid, role).is_some();
        let mut wanted: Vec<(RoleId, Vec<Reason>, bool)> = Vec::new();
        for decided in evaluation.roles.iter().filter(|decided| !forbidden(&decided.role)) {
            wanted.push((RoleId(decided.role.clone()), decided.reasons.clone(), false));
        }
        for ruling in self.standing.rulings.iter().filter(|ruling| ruling.kind == RulingKind::Grant && ruling.holds_at(self.now)) {
            let Some(role) = &ruling.role else { continue };
            let reason = Reason::exception(&ruling.id, ruling.reason.as_deref());
            match wanted.iter_mut().find(|(wanted, ..)| wanted == role) {
                // Beside policies that ask it gives the role as it does where no policy gives it.
                Some((_, reasons, by_exception)) if Reason::approval_of(reasons).is_some() => {
                    reasons.push(reason);
                    *by_exception = true;
                }
                Some(_) => {}
                // Whether a `forbid` concerns the person was asked with the evaluation: it wins.
                None if !forbidden(role.as_str()) && !evaluation.forbidden.contains(role.as_str()) => {
                    wanted.push((role.clone(), vec![reason], true));
                }
                None => {}
            }
        }
        let no_longer: Vec<String> = self
            .standing
            .rulings
            .iter()
            .filter(|ruling| ruling.kind == RulingKind::Approval && (ruling.state != RulingState::Yes || ruling.is_over(self.now)))
            .filter(|ruling| {
                let waits = |role: &RoleId| wanted.iter().any(|(wanted, reasons, _)| wanted == role && self.needs_yes(role, reasons));
                ruling.role.as_ref().is_some_and(|role| !waits(role))
            })
            .map(|ruling| ruling.id.clone())
            .collect();
        self.end.extend(no_longer);
        for (role, reasons, by_exception) in &wanted {
            self.give(role, reasons, *by_exception, next);
        }
        let moves = !activated && !self.is_from_first_sync() && !self.is_taken_over() && self.moves(&wanted);
        let overlaps = moves && self.rules.processes.overlap_days > 0;
        for grant in self.standing.grants {
            if wanted.iter().any(|(role, ..)| *role == grant.role) {
                continue;
            }
            if self.in_force(RulingKind::Forbid, grant.role.as_str()).is_some() {
                self.drop_grant(grant, "exception");
            } else if evaluation.undecided.iter().any(|undecided| undecided.role == grant.role.0) {
                self.retain(grant, groups, next);
            } else if grant.reasons.iter().all(Reason::is_exception) {
                self.drop_grant(grant, "exception_ended");
            } else {
                if moves && grant.state.in_effect() && grant.waits_for.is_none() {
                    self.moved.lost.push(grant.role.clone());
                }
                self.lose_by_moving(grant, overlaps, evaluation, next);
            }
        }
    }

    /// Exceptions whose time is over end; those that begin or end later name a date.
    pub(super) fn end_what_is_over(&mut self, next: &mut Option<Instant>) {
        for ruling in self.standing.rulings {
            if !matches!(ruling.kind, RulingKind::Grant | RulingKind::Forbid | RulingKind::Absence) {
                continue;
            }
            if ruling.is_over(self.now) {
                self.end.push(ruling.id.clone());
                let data = json!({"exception": ruling.id, "role": ruling.role, "kind": ruling.kind});
                self.event("exception.ended", data, None, false);
                continue;
            }
            for date in [ruling.starts.filter(|starts| *starts > self.now), ruling.ends].into_iter().flatten() {
                sooner(next, date);
            }
        }
    }

    pub(super) fn in_force(&self, kind: RulingKind, role: &str) -> Option<&'a Ruling> {
        self.said(kind, Some(role)).filter(|ruling| ruling.holds_at(self.now))
    }

    fn said(&self, kind: RulingKind, role: Option<&str>) -> Option<&'a Ruling> {
        let about = |ruling: &&Ruling| ruling.kind == kind && ruling.role.as_ref().map(RoleId::as_str) == role;
        self.standing.rulings.iter().filter(about).find(|ruling| !self.end.contains(&ruling.id))
    }

    pub(super) fn end_all(&mut self, kind: RulingKind, role: Option<&RoleId>) {
        let about = |ruling: &&Ruling| ruling.kind == kind && ruling.role.as_ref() == role;
        let ended: Vec<String> = self.standing.rulings.iter().filter(about).map(|ruling| ruling.id.clone()).collect();
        self.end.extend(ended);
    }

    /// Whether the catalogue, or each policy that gives the role, asks for a person's yes.
    fn needs_yes(&self, role: &RoleId, reasons: &[Reason]) -> bool {
        self.rules.approved.contains(role.as_str()) || Reason::approval_of(reasons).is_some()
    }

    /// A role that the person is to have: kept, or gained as far as nobody has to be asked.
    fn give(&mut self, role: &RoleId, reasons: &[Reason], by_exception: bool, next: &mut Option<Instant>) {
        let before = self.standing.grants.iter().find(|grant| grant.role == *role);
        let needs_yes = self.needs_yes(role, reasons);
        let approval = self.said(RulingKind::Approval, Some(role.as_str())).filter(|_| needs_yes);
        match before {
            Some(before) if before.state != GrantState::Pending => {
                let dormant = before.state == GrantState::Dormant;
                if approval.is_none() && Reason::asks_anew(&before.reasons, reasons) {
                    if self.may_lose(before, "approval", next) {
                        self.end_all(RulingKind::Loss, Some(role));
                        self.event("grant.removed", self.taken(before, "approval"), None, true);
                        self.ask(role, reasons, None, next);
                    }
                    return;
                }
                if !dormant {
                    self.end_all(RulingKind::Loss, Some(role));
                }
                // Whoever held it before it needed a yes goes on holding it; what was approved for a time that is over does not come back.
                if let Some(approval) = approval {
                    if !approval.holds_at(self.now) {
                        let why = if dormant { "not_approved" } else { not_approved(approval) };
                        return self.stop_waiting(Some(before), why);
                    }
                    sooner(next, approval.ends);
                }
                return if dormant { self.wake(before, reasons.to_vec()) } else { self.keep(before, reasons) };
            }
            // What waits goes on waiting while the connection is paused, or in staging again.
            _ if self.rules.connection != ConnectionState::Active => return,
            _ => {}
        }
        let mut asked = by_exception || self.is_from_first_sync();
        if needs_yes {
            match approval {
                None => return self.ask(role, reasons, before, next),
                Some(ruling) if ruling.state == RulingState::Open && !ruling.is_over(self.now) => {
                    sooner(next, ruling.ends);
                    return self.pend(role.clone(), reasons.to_vec(), before, Waiting::Approval);
                }
                Some(ruling) if ruling.holds_at(self.now) => {
                    sooner(next, ruling.ends);
                    asked = true;
                }
                // Rejected, or nobody answered in time: not before somebody says yes after all.
                Some(ruling) => return self.stop_waiting(before, not_approved(ruling)),
            }
        }
        match self.said(RulingKind::Gain, Some(role.as_str())) {
            Some(ruling) if ruling.state == RulingState::Open => return self.pend(role.clone(), reasons.to_vec(), before, Waiting::Hold),
            Some(ruling) if ruling.state == RulingState::No && !ruling.is_over(self.now) => {
                sooner(next, ruling.ends);
                return self.stop_waiting(before, "rejected");
            }
            Some(ruling) => {
                asked |= ruling.state == RulingState::Yes;
                self.end.push(ruling.id.clone());
            }
            None => {}
        }
        if !asked {
            self.concerns.gained.push(role.clone());
            if self.holding.gains {
                self.rule.push(NewRuling::open(Some(role.clone()), RulingKind::Gain));
                return self.pend(role.clone(), reasons.to_vec(), before, Waiting::Hold);
            }
        }
        let Some(revision) = self.rules.revision.cloned() else { return };
        let data = json!({"role": role, "reasons": reasons, "revision": revision, "was": before.map(|before| before.state)});
        self.event("grant.added", data, None, false);
        let (role, reasons, since) = (role.clone(), reasons.to_vec(), self.now);
        self.put.push(Grant { role, state: GrantState::Effective, reasons, since, deadline: None, revision, waits_for: None });
    }

    /// A role that somebody has to say yes to first.
    fn ask(&mut self, role: &RoleId, reasons: &[Reason], before: Option<&Grant>, next: &mut Option<Instant>) {
        let ends = self.now.plus_seconds(i64::from(self.rules.approvals.expire_hours) * 3_600);
        let hours = i64::from(self.rules.approvals.remind_hours);
        let remind_at = Some(ends.plus_seconds(-hours * 3_600)).filter(|_| hours > 0);
        let asks = Reason::approval_of(reasons).map(str::to_owned);
        self.rule.push(NewRuling { role: Some(role.clone()), kind: RulingKind::Approval, ends: Some(ends), remind_at, asks });
        sooner(next, ends);
        self.pend(role.clone(), reasons.to_vec(), before, Waiting::Approval);
    }

    /// A role that is in effect and stays so.
    fn keep(&mut self, before: &Grant, reasons: &[Reason]) {
        if before.state == GrantState::Effective && before.reasons == reasons && before.waits_for.is_none() {
            return;
        }
        let Some(revision) = self.rules.revision.cloned() else { return };
        let data = json!({"role": before.role, "reasons": reasons, "revision": revision});
        self.event("grant.changed", data, None, false);
        let kept =
            Grant { state: GrantState::Effective, reasons: reasons.to_vec(), deadline: None, revision, waits_for: None, ..before.clone() };
        self.put.push(kept);
    }

    /// A role that is not in effect before somebody says yes.
    pub(super) fn pend(&mut self, role: RoleId, reasons: Vec<Reason>, before: Option<&Grant>, waits_for: Waiting) {
        let Some(revision) = self.rules.revision.cloned() else { return };
        if before
            .is_some_and(|before| before.state == GrantState::Pending && before.reasons == reasons && before.waits_for == Some(waits_for))
        {
            return;
        }
        let data = json!({"role": role, "reasons": reasons, "waits_for": waits_for, "revision": revision});
        self.event("grant.pending", data, None, false);
        let since = before.map_or(self.now, |before| before.since);
        self.put.push(Grant { role, state: GrantState::Pending, reasons, since, deadline: None, revision, waits_for: Some(waits_for) });
    }

    /// A role that is not approved, or rejected: what was said of it stays, so that nobody is asked again.
    fn stop_waiting(&mut self, before: Option<&Grant>, why: &str) {
        let Some(grant) = before else { return };
        self.drop.push(grant.role.clone());
        self.event("grant.removed", self.taken(grant, why), None, true);
    }

    /// A role that nothing gives any more: lost, unless the guard keeps it for now.
    pub(super) fn lose(&mut self, grant: &Grant, why: &str, next: &mut Option<Instant>) {
        if self.may_lose(grant, why, next) {
            self.drop_grant(grant, why);
        }
    }

    /// Whether a role that is lost goes now; where it does not, the guard keeps it.
    fn may_lose(&mut self, grant: &Grant, why: &str, next: &mut Option<Instant>) -> bool {
        if !grant.state.in_effect() {
            return true;
        }
        match self.said_of_loss(Some(grant.role.as_str())) {
            Said::Released => return true,
            Said::Keep(until) => {
                sooner(next, until);
                self.hold_loss(grant, why);
            }
            Said::Nothing => {
                self.concerns.loses = true;
                self.concerns.lost.push(grant.role.clone());
                if self.holding.losses {
                    self.end_all(RulingKind::Loss, Some(&grant.role));
                    self.rule.push(NewRuling::open(Some(grant.role.clone()), RulingKind::Loss));
                    self.hold_loss(grant, why);
                } else {
                    return true;
                }
            }
        }
        false
    }

    fn said_of_loss(&self, role: Option<&str>) -> Said {
        match self.said(RulingKind::Loss, role) {
            Some(ruling) if ruling.state == RulingState::Yes => Said::Released,
            Some(ruling) if ruling.state == RulingState::Open => Said::Keep(None),
            Some(ruling) if ruling.state == RulingState::No && !ruling.is_over(self.now) => Said::Keep(ruling.ends),
            Some(_) | None => Said::Nothing,
        }
    }

    /// Keeps a role in effect whose loss waits for a person.
    fn hold_loss(&mut self, grant: &Grant, why: &str) {
        if grant.waits_for == Some(Waiting::Hold) {
            return;
        }
        let data = json!({"role": grant.role, "why": why, "reasons": grant.reasons, "revision": self.rules.revision});
        self.event("grant.loss_held", data, None, false);
        // The time for which somebody who moved keeps it is over: now it is a loss like any other.
        let overlapped = grant.waits_for == Some(Waiting::Overlap);
        let (state, deadline) = if overlapped { (GrantState::Effective, None) } else { (grant.state, grant.deadline) };
        self.put.push(Grant { waits_for: Some(Waiting::Hold), state, deadline, ..grant.clone() });
    }

    pub(super) fn retain_all(&mut self, groups: &[GroupMembership], next: &mut Option<Instant>) {
        self.end_what_is_over(next);
        for grant in self.standing.grants {
            self.retain(grant, groups, next);
        }
    }

    /// Keeps a grant over a fault until its deadline, unless a group that it rests on is gone. What is not in effect stays so.
    fn retain(&mut self, grant: &Grant, groups: &[GroupMembership], next: &mut Option<Instant>) {
        if !grant.state.in_effect() || self.takes_away(grant, next) {
            return;
        }
        // Somebody who moved keeps it until its deadline although the group is left.
        if grant.waits_for != Some(Waiting::Overlap) && !rests_on(grant, groups) {
            return self.lose(grant, "group_left", next);
        }
        let deadline = grant.deadline.filter(|_| grant.state == GrantState::Retained).unwrap_or_else(|| self.deadline(grant));
        if deadline <= self.now {
            return self.drop_grant(grant, "retention_ended");
        }
        sooner(next, deadline);
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

/// A condition as it is kept with an event.
fn cut(text: &str) -> String {
    let mut kept: String = text.chars().take(CONDITION_CHARS_LIMIT).collect();
    if kept.len() < text.len() {
        kept.push('…');
    }
    kept
}

/// Why an approval counts no longer.
fn not_approved(approval: &Ruling) -> &'static str {
    match approval.state {
        RulingState::Open => "approval_lapsed",
        RulingState::Yes => "approval_ended",
        RulingState::No | RulingState::Ended => "not_approved",
    }
}
