//! People who begin, move, pause and end by a date: what the calendar and a leave of absence make of an account and its roles.

use serde_json::json;

use super::settling::Settling;
use super::sooner;
use crate::evaluation::{Evaluation, Outcome};
use crate::mapping::{AccountShape, Dates};
use crate::model::{AccountState, ConnectionState, Grant, GrantState, Instant, Note, Reason, RoleId, Ruling, RulingKind, Waiting};

/// Seconds of a day as deadlines count it: what lasts some days has no time zone.
const DAY_SECONDS: i64 = 86_400;

impl<'a> Settling<'a> {
    /// The end date has come: gone, whatever `active` says.
    pub(super) fn ended(&mut self, dates: Dates, next: &mut Option<Instant>) {
        let at = dates.ends.map(|ends| format!(" at {ends}")).unwrap_or_default();
        let note = Note { code: Note::ENDED.into(), path: self.rules.calendar.end_path(), message: format!("the person's time ended{at}") };
        self.gone("ended", Some(note), "the person's end date has come", next);
    }

    /// The start date is to come: everything is prepared and nothing is in effect. Somebody who is in use already loses that, which the
    /// guard counts.
    pub(super) fn not_before(&mut self, shape: &AccountShape, evaluation: &Evaluation, dates: Dates, next: &mut Option<Instant>) {
        let at = dates.starts.map(|starts| starts.to_string()).unwrap_or_default();
        let message = format!("prepared, and not in use before {at}");
        let note = Note { code: "scheduled".into(), path: self.rules.calendar.start_path(), message };
        self.turn_away("scheduled", AccountState::Scheduled, Some((shape, evaluation)), note, next);
    }

    /// Shows the roles that there will be.
    pub(super) fn schedule(&mut self, evaluation: &Evaluation) {
        let forbidden = |role: &str| self.in_force(RulingKind::Forbid, role).is_some();
        let coming: Vec<(RoleId, Vec<Reason>)> = evaluation
            .roles
            .iter()
            .filter(|decided| !forbidden(&decided.role))
            .map(|decided| (RoleId(decided.role.clone()), decided.reasons.clone()))
            .collect();
        for grant in self.standing.grants {
            let comes = coming.iter().any(|(role, _)| *role == grant.role);
            if !comes {
                self.drop_grant(grant, "scheduled");
            } else if grant.state.in_effect() {
                self.take_for_now(grant, "scheduled");
            }
        }
        for (role, reasons) in coming {
            let before = self.standing.grants.iter().find(|grant| grant.role == role);
            self.pend(role, reasons, before, Waiting::Start);
        }
    }

    /// Says that a role is held no longer which goes on being shown.
    fn take_for_now(&mut self, grant: &Grant, why: &str) {
        self.end_all_about(&grant.role);
        self.event("grant.removed", self.taken(grant, why), None, true);
    }

    /// The leave of absence that is in force; of several, the one that lasts longest.
    pub(super) fn absence(&self) -> Option<&'a Ruling> {
        let in_force = self.standing.rulings.iter().filter(|ruling| ruling.kind == RulingKind::Absence && ruling.holds_at(self.now));
        in_force.max_by_key(|ruling| (ruling.ends.is_none(), ruling.ends))
    }

    /// Somebody is away for a time: out of use, with roles that come back if the policies give them still.
    pub(super) fn absent(&mut self, evaluation: &Evaluation, next: &mut Option<Instant>) {
        let mapped = match &evaluation.outcome {
            Outcome::Account(shape) => Some((&**shape, evaluation)),
            _ => None,
        };
        self.away(mapped, next);
    }

    /// The same, with what the mapping gives, if it does.
    pub(super) fn away(&mut self, mapped: Option<(&AccountShape, &Evaluation)>, next: &mut Option<Instant>) {
        let until = self.absence().and_then(|absence| absence.ends);
        sooner(next, until);
        for grant in self.standing.grants.iter().filter(|grant| grant.state.in_effect()) {
            self.suspend(grant, "absence");
        }
        let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
        let note = Note { code: Note::ABSENT.into(), path: None, message: format!("on leave{until}") };
        self.account(AccountState::Suspended, mapped, Some(note));
    }

    /// The note, and once the event, that somebody's time is about to end.
    pub(super) fn remind(&mut self, dates: Dates, next: &mut Option<Instant>) -> Option<Note> {
        let days = i64::from(self.rules.processes.remind_days);
        let ends = dates.ends.filter(|_| days > 0)?;
        let from = ends.plus_seconds(-days * DAY_SECONDS);
        if from > self.now {
            sooner(next, from);
            return None;
        }
        let note =
            Note { code: Note::ENDING.into(), path: self.rules.calendar.end_path(), message: format!("the person's time ends at {ends}") };
        if self.standing.account.note.as_ref() != Some(&note) {
            self.event("account.ending", json!({"ends": ends}), None, false);
        }
        Some(note)
    }

    /// Whether somebody in use gains a role by the change: a move, where something is lost with it.
    pub(super) fn moves(&mut self, wanted: &[(RoleId, Vec<Reason>, bool)]) -> bool {
        let stands = |role: &RoleId| self.standing.grants.iter().any(|grant| grant.role == *role);
        if self.rules.connection == ConnectionState::Active && self.is_in_use() {
            let gained = wanted.iter().filter(|(role, _, by_exception)| !by_exception && !stands(role));
            self.moved.gained = gained.map(|(role, ..)| role.clone()).collect();
        }
        !self.moved.gained.is_empty()
    }

    /// A role that no policy gives any more: kept for a bounded time by somebody who moves, if it is a plain one that nothing forbids.
    pub(super) fn lose_by_moving(&mut self, grant: &Grant, overlaps: bool, evaluation: &Evaluation, next: &mut Option<Instant>) {
        let may_stay = !self.rules.privileged.contains(grant.role.as_str())
            && !self.rules.approved.contains(grant.role.as_str())
            && Reason::approval_of(&grant.reasons).is_none()
            && !evaluation.forbidden.contains(grant.role.as_str());
        match grant.deadline.filter(|_| grant.waits_for == Some(Waiting::Overlap)) {
            Some(deadline) if may_stay && deadline > self.now => sooner(next, deadline),
            Some(deadline) => self.lose(grant, if deadline <= self.now { "overlap_ended" } else { "policy" }, next),
            None if overlaps && may_stay && grant.state == GrantState::Effective && grant.waits_for.is_none() => {
                let deadline = self.now.plus_seconds(i64::from(self.rules.processes.overlap_days) * DAY_SECONDS);
                sooner(next, deadline);
                let data = json!({"role": grant.role, "why": "overlap", "deadline": deadline, "revision": self.rules.revision});
                self.event("grant.retained", data, None, false);
                let (state, waits_for) = (GrantState::Retained, Some(Waiting::Overlap));
                self.put.push(Grant { state, deadline: Some(deadline), waits_for, ..grant.clone() });
            }
            None => self.lose(grant, "policy", next),
        }
    }
}
