//! What a change means for the steps that a tenant has set, and whether somebody is invited: who joins, moves and leaves. What stands of
//! processes is not known here; the commit decides by it.

use rolecall_scim::resource::Document;
use serde_json::{Value, json};

use super::settling::Settling;
use super::{Rules, sooner};
use crate::model::{
    AccountState, ConnectionState, Instant, InvitationSettings, Invited, NewProcess, NewStep, Note, Passage, ProcessKind, RoleId,
    StepCondition, due_at,
};
use crate::store::Left;

/// The zone of a tenant without steps, of which nothing is dated.
const NO_ZONE: &str = "UTC";

/// What somebody who moves gains and loses.
#[derive(Clone, Debug, Default)]
pub(super) struct Moved {
    pub(super) gained: Vec<RoleId>,
    pub(super) lost: Vec<RoleId>,
}

/// How an account stands to its owner's coming and going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// Not there yet, or not decided.
    Waiting,
    /// In use, or away for a time.
    There,
    /// Prepared.
    Coming,
    Gone,
}

fn presence(state: AccountState, note: Option<&Note>) -> Presence {
    match state {
        AccountState::Active => Presence::There,
        AccountState::Suspended if note.is_some_and(|note| note.code == Note::ABSENT) => Presence::There,
        AccountState::Scheduled => Presence::Coming,
        AccountState::Held => Presence::Waiting,
        AccountState::Suspended | AccountState::OutOfScope | AccountState::Removed => Presence::Gone,
    }
}

impl Settling<'_> {
    /// What the change means for the person's processes and invitation.
    pub(super) fn passages(&self, next: &mut Option<Instant>) -> Vec<Passage> {
        let (standing, fresh) = (self.standing.account, self.standing.fresh);
        let was = if fresh { Presence::Waiting } else { presence(standing.state, standing.note.as_ref()) };
        let is = self.account.as_ref().map_or(was, |write| presence(write.state, write.note.as_ref()));
        match (was, is) {
            (Presence::Gone, Presence::Gone) | (_, Presence::Waiting) => Vec::new(),
            (Presence::There | Presence::Coming | Presence::Waiting, Presence::Gone) => self.leaves(was).into_iter().collect(),
            (_, Presence::There | Presence::Coming) => {
                let mut passages = Vec::new();
                if self.account.is_some() && (was != is || is == Presence::Coming) {
                    passages.extend(self.joins(was));
                }
                passages.extend(self.ends_or_stays(was, next));
                passages.extend(self.moves_on());
                if was != is && is == Presence::There {
                    passages.extend(self.invited());
                }
                passages
            }
        }
    }

    /// Nothing for whom the identity provider has sent as gone from the start.
    fn leaves(&self, was: Presence) -> Option<Passage> {
        if self.standing.fresh {
            return None;
        }
        let ended = self.dates.ends.filter(|ends| *ends <= self.now);
        let anchor = ended.unwrap_or(self.now);
        let hours = i64::from(self.rules.processes.target_hours);
        let process = (was == Presence::There).then(|| self.process(ProcessKind::Leaver, anchor, &[], &self.held()));
        let acknowledged_by = (hours > 0 && was == Presence::There).then(|| self.now.plus_seconds(hours * 3_600));
        Some(Passage::Leaves { process, acknowledged_by, departed: self.now })
    }

    /// The roles that are held before the change.
    fn held(&self) -> Vec<RoleId> {
        self.standing.grants.iter().filter(|grant| grant.state.in_effect()).map(|grant| grant.role.clone()).collect()
    }

    fn joins(&self, was: Presence) -> Option<Passage> {
        let standing = self.standing.account;
        let starts = self.dates.starts;
        // Who was there before the first sync was let in is nobody who joins.
        let staged = standing.note.as_ref().is_some_and(|note| note.code == Note::STAGING);
        if self.rules.processes.joiner.steps.is_empty() || staged && starts.is_none_or(|starts| starts <= self.now) {
            return None;
        }
        // Who was prepared begins at the date, whenever that is noticed; who is told of too late begins when they come into use.
        let anchor = match starts {
            Some(starts) if starts > self.now || was == Presence::Coming => starts,
            _ => self.now,
        };
        let again = self.standing.fresh && standing.state == AccountState::Removed;
        Some(Passage::Joins { process: self.process(ProcessKind::Joiner, anchor, &[], &[]), again })
    }

    /// Whether steps are due before an end that is known, and whether what was begun for an end is to be called off.
    fn ends_or_stays(&self, was: Presence, next: &mut Option<Instant>) -> Option<Passage> {
        let back = was == Presence::Gone || self.standing.fresh && self.standing.account.state == AccountState::Removed;
        let zone = self.zone();
        let early = |anchor: Instant| {
            // Most steps say without being read that they are due behind the end.
            let steps = self.rules.processes.leaver.steps.iter().filter(|step| step.due.contains('-') || step.due.contains("ago"));
            let dues = steps.filter_map(|step| due_at(anchor, &step.due, zone));
            dues.min().filter(|due| *due < anchor)
        };
        if early(self.now).is_none() {
            return back.then_some(Passage::Stays);
        }
        let ends = self.dates.ends.filter(|ends| *ends > self.now);
        let Some((ends, first)) = ends.and_then(|ends| early(ends).map(|first| (ends, first))) else { return Some(Passage::Stays) };
        if first > self.now {
            sooner(next, first);
            return Some(Passage::Stays);
        }
        Some(Passage::EndNears(self.process(ProcessKind::Leaver, ends, &[], &self.held())))
    }

    fn moves_on(&self) -> Option<Passage> {
        let Moved { gained, lost } = &self.moved;
        let moves = !gained.is_empty() && !lost.is_empty() && !self.rules.processes.mover.steps.is_empty();
        moves.then(|| Passage::Moves(self.process(ProcessKind::Mover, self.now, gained, lost)))
    }

    fn invited(&self) -> Option<Passage> {
        let InvitationSettings { accounts, tag, expire_hours, again } = &self.rules.processes.invitations;
        let standing = self.standing.account;
        let profile = self.account.as_ref().map_or(&standing.profile, |write| &write.profile);
        let is_meant = match accounts {
            Invited::None => false,
            Invited::All => true,
            Invited::Tagged => tag.as_ref().is_some_and(|tag| profile["tags"][tag].as_array().is_some_and(|values| !values.is_empty())),
        };
        let in_use = self.account.as_ref().is_some_and(|write| write.state == AccountState::Active);
        let is_live = self.rules.connection == ConnectionState::Active;
        (is_meant && in_use && is_live).then(|| Passage::Invited {
            expires: self.now.plus_seconds(i64::from(*expire_hours) * 3_600),
            again: *again && self.standing.fresh && standing.state == AccountState::Removed,
            personal: addressee(profile),
        })
    }

    fn zone(&self) -> &str {
        zone(self.rules)
    }

    /// A process of the kind with the steps that are for this person.
    fn process(&self, kind: ProcessKind, anchor: Instant, gained: &[RoleId], lost: &[RoleId]) -> NewProcess {
        let profile = self.account.as_ref().map_or(&self.standing.account.profile, |write| &write.profile);
        Whom { rules: self.rules, profile, user: self.standing.user, gained, lost }.process(kind, anchor)
    }
}

/// What the departure of somebody means who was in use and left with their whole connection: they leave as somebody does whom the identity
/// provider deletes.
#[must_use]
pub fn leaves_with_connection(left: &Left, rules: &Rules<'_>) -> Passage {
    let hours = i64::from(rules.processes.target_hours);
    let whom = Whom { rules, profile: &left.profile, user: Some(&left.document), gained: &[], lost: &left.roles };
    Passage::Leaves {
        process: Some(whom.process(ProcessKind::Leaver, left.departed)),
        acknowledged_by: (hours > 0).then(|| left.departed.plus_seconds(hours * 3_600)),
        departed: left.departed,
    }
}

fn zone<'a>(rules: &Rules<'a>) -> &'a str {
    rules.processes.time_zone.as_deref().unwrap_or(NO_ZONE)
}

/// Whom a process is for.
struct Whom<'a> {
    rules: &'a Rules<'a>,
    profile: &'a Value,
    user: Option<&'a Document>,
    gained: &'a [RoleId],
    lost: &'a [RoleId],
}

impl Whom<'_> {
    /// A process of the kind with the steps that are for them.
    fn process(&self, kind: ProcessKind, anchor: Instant) -> NewProcess {
        let Self { rules, profile, user, gained, lost } = *self;
        let concerns = |when: &StepCondition| {
            let among = |roles: &[RoleId], wanted: &Option<RoleId>| wanted.as_ref().is_none_or(|wanted| roles.contains(wanted));
            let user_type = profile["user_type"].as_str().unwrap_or_default().to_lowercase();
            let is_type = when.user_type.as_ref().is_none_or(|wanted| wanted.to_lowercase() == user_type);
            let passes = || when.filter.as_ref().is_none_or(|filter| rules.conditions.hold(filter.get_ref(), user));
            among(gained, &when.gains) && among(lost, &when.loses) && is_type && passes()
        };
        let steps = rules.processes.steps(kind).steps.iter().filter(|step| concerns(&step.when));
        let steps = steps.map(|step| NewStep {
            id: step.id.clone(),
            title: step.title.clone(),
            owner: step.owner.clone(),
            span: step.due.clone(),
            // A date beyond the calendar's is due with the anchor; the settings were checked.
            due: due_at(anchor, &step.due, zone(rules)).unwrap_or(anchor),
        });
        NewProcess { kind, anchor, zone: zone(rules).to_owned(), steps: steps.collect() }
    }
}

/// Whom an invitation is for, and where to write to.
#[must_use]
pub fn addressee(profile: &Value) -> Value {
    json!({"user_name": profile["user_name"], "display_name": profile["display_name"], "email": profile["email"], "locale": profile["locale"]})
}
