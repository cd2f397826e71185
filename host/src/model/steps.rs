//! What tenants set up for people who join, move and leave: steps with an owner and a due date, and invitations. What a person's own
//! are, and when they are due.

use std::fmt;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Spanned;

use super::{AccountId, Actor, Instant, RoleId};

/// How far a step may be due before or behind what it is counted from, in days: a year.
pub const DUE_DAYS_LIMIT: i64 = 366;

word_enum!(
    /// Which process a person goes through.
    ProcessKind {
        /// Somebody comes.
        Joiner = "joiner",
        /// Somebody gains a role and loses another.
        Mover = "mover",
        /// Somebody goes.
        Leaver = "leaver",
    }
);

word_enum!(
    /// How far a process is.
    ProcessState {
        /// Some step is to be done.
        Open = "open",
        /// Every step is done, or was skipped.
        Done = "done",
        /// The person left before it was done, or came back.
        CalledOff = "called_off",
    }
);

word_enum!(
    /// How far a step is.
    ProcessStepState {
        /// To be done.
        Open = "open",
        /// To be done, and past its date.
        Overdue = "overdue",
        /// Done.
        Done = "done",
        /// Not to be done, for a reason that was given.
        Skipped = "skipped",
    }
);

word_enum!(
    /// How far an invitation is.
    InvitationState {
        /// Its link is good until it expires.
        Open = "open",
        /// Somebody used the link.
        Accepted = "accepted",
        /// Nobody did in time.
        Expired = "expired",
        /// It was taken back: by a person, by another one in its place, or because the account is in use no more.
        Revoked = "revoked",
    }
);

word_enum!(
    /// Which accounts are invited when they first come into use.
    Invited {
        /// None, unless somebody asks for it.
        None = "none",
        /// All.
        All = "all",
        /// Those that have a tag.
        Tagged = "tagged",
    }
);

/// The steps of a process: `[[processes.joiner.steps]]` …
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StepList {
    /// In the order in which they are shown.
    pub steps: Vec<StepSettings>,
}

/// A step as a tenant sets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSettings {
    /// Its name, unique in the process.
    pub id: String,
    /// What is to be done.
    pub title: String,
    /// Who does it.
    pub owner: String,
    /// How long behind the start, the move or the end it is due, or before it where negative: `3 days`, `-2 weeks`, `PT4H`.
    pub due: String,
    /// For whom alone; for everybody unless given.
    #[serde(default)]
    pub when: StepCondition,
}

/// Whom a step is for. What is not given asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StepCondition {
    /// The mover gains this role.
    pub gains: Option<RoleId>,
    /// The mover or leaver loses this role.
    pub loses: Option<RoleId>,
    /// The account has this `user_type`, in any case.
    pub user_type: Option<String>,
    /// The SCIM filter holds of what the identity provider wrote.
    pub filter: Option<Spanned<String>>,
}

/// Who is invited, and for how long: `[processes.invitations]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InvitationSettings {
    /// Which accounts.
    pub accounts: Invited,
    /// The tag of those, for `tagged`.
    pub tag: Option<String>,
    /// For how many hours a link is good.
    pub expire_hours: u32,
    /// Whether somebody who comes back after a removal is invited again.
    pub again: bool,
}

impl Default for InvitationSettings {
    fn default() -> Self {
        Self { accounts: Invited::None, tag: None, expire_hours: 168, again: false }
    }
}

/// The instant that is so long behind `anchor`, or before it, by the calendar of the zone: a day may have 23 or 25 hours. A time that a
/// change of the clocks leaves out is read as the later. `None` for a span or zone that is none, or a date beyond the calendar's.
#[must_use]
pub fn due_at(anchor: Instant, span: &str, zone: &str) -> Option<Instant> {
    let span: jiff::Span = span.parse().ok()?;
    let anchor = anchor.timestamp().to_zoned_datetime(TimeZone::get(zone).ok()?);
    Some(anchor.checked_add(span).ok()?.timestamp().into())
}

/// What is wrong with a span.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn check_span(span: &str) -> Result<(), String> {
    let anchor = Instant(1_900_000_000_000_000);
    let Some(due) = due_at(anchor, span, "UTC") else {
        return Err(format!("`{span}` is no span of time: write `3 days`, `-2 weeks`, `4 hours` or `P1M`"));
    };
    if due.millis_since(anchor).abs() > DUE_DAYS_LIMIT * 86_400_000 {
        return Err(format!("`{span}` is more than {DUE_DAYS_LIMIT} days"));
    }
    Ok(())
}

/// A process that a change begins, with its own copy of the steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProcess {
    /// Which.
    pub kind: ProcessKind,
    /// The start, the move or the end: what due dates are counted from.
    pub anchor: Instant,
    /// By which zone's calendar.
    pub zone: String,
    /// What is to be done.
    pub steps: Vec<NewStep>,
}

/// A step of a process that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStep {
    /// Its name.
    pub id: String,
    /// What is to be done.
    pub title: String,
    /// Who does it.
    pub owner: String,
    /// How long behind the anchor it is due.
    pub span: String,
    /// When that is.
    pub due: Instant,
}

/// What a change means for a person's processes and invitation. What stands of them is known with the commit alone: that decides what
/// is begun, dated anew or called off.
#[derive(Clone, Debug, PartialEq)]
pub enum Passage {
    /// Comes into use, or is to.
    Joins {
        /// A joiner's process, for somebody who was not in use before; an open one is dated anew.
        process: NewProcess,
        /// Whether a removed account comes back.
        again: bool,
    },
    /// Moves.
    Moves(NewProcess),
    /// Will end.
    EndNears(NewProcess),
    /// Is gone: what is open of joining and moving is called off, and an invitation ends.
    Leaves {
        /// The leaver's process; an open one is dated anew. Nothing for somebody who was never in use.
        process: Option<NewProcess>,
        /// By when targets are to acknowledge the departure, where anybody looks.
        acknowledged_by: Option<Instant>,
        /// When that was: what targets are to acknowledge is from then on.
        departed: Instant,
    },
    /// Does not end, or not any more: an open leaver's process is called off.
    Stays,
    /// Is invited, unless the account was in use before.
    Invited {
        /// When the link expires.
        expires: Instant,
        /// Whether it is invited although it was in use before.
        again: bool,
        /// Whom to write to.
        personal: Value,
    },
}

/// A person's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// Its id.
    pub id: String,
    /// The account.
    pub account: AccountId,
    /// Its login name; `null` once it is erased.
    pub user_name: Option<String>,
    /// Which.
    pub kind: ProcessKind,
    /// How far it is.
    pub state: ProcessState,
    /// The start, the move or the end.
    pub anchor: Instant,
    /// When it was begun.
    pub begun: Instant,
    /// When it was done, or called off.
    pub ended: Option<Instant>,
    /// What is to be done, in order.
    pub steps: Vec<ProcessStep>,
}

/// A step of a person's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessStep {
    /// Its name.
    pub id: String,
    /// What is to be done.
    pub title: String,
    /// Who does it.
    pub owner: String,
    /// How far it is.
    pub state: ProcessStepState,
    /// By when.
    pub due: Instant,
    /// When it was done or skipped.
    pub decided: Option<Instant>,
    /// Who said so.
    pub decided_by: Option<Actor>,
    /// Why it was skipped, or what was said when it was done.
    pub reason: Option<String>,
}

/// An invitation. Its link is told to targets alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invitation {
    /// Its id.
    pub id: String,
    /// The account.
    pub account: AccountId,
    /// Its login name; `null` once it is erased.
    pub user_name: Option<String>,
    /// How far it is.
    pub state: InvitationState,
    /// When it was made.
    pub made: Instant,
    /// Who made it.
    pub made_by: Actor,
    /// When its link expires.
    pub expires: Instant,
    /// When it was accepted, expired or was taken back.
    pub ended: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Instant {
        text.parse::<jiff::Timestamp>().expect("the test names an instant").into()
    }

    /// The clocks go forward on 2031-03-30 and back on 2031-10-26 in Berlin.
    #[test]
    fn days_are_the_zones_and_hours_are_hours() {
        for (anchor, span, zone, due) in [
            ("2031-05-01T00:00:00+02:00", "3 days", "Europe/Berlin", "2031-05-04T00:00:00+02:00"),
            ("2031-05-01T00:00:00+02:00", "-2 weeks", "Europe/Berlin", "2031-04-17T00:00:00+02:00"),
            ("2031-03-29T09:00:00+01:00", "1 day", "Europe/Berlin", "2031-03-30T09:00:00+02:00"),
            ("2031-03-29T09:00:00+01:00", "24 hours", "Europe/Berlin", "2031-03-30T10:00:00+02:00"),
            ("2031-03-31T00:00:00+02:00", "-2 days", "Europe/Berlin", "2031-03-29T00:00:00+01:00"),
            // Half past two is left out that night.
            ("2031-03-29T02:30:00+01:00", "P1D", "Europe/Berlin", "2031-03-30T03:30:00+02:00"),
            ("2031-10-25T12:00:00+02:00", "2 days", "Europe/Berlin", "2031-10-27T12:00:00+01:00"),
            ("2031-10-25T12:00:00+02:00", "2 days", "UTC", "2031-10-27T10:00:00Z"),
            ("2031-01-31T00:00:00Z", "P1M", "UTC", "2031-02-28T00:00:00Z"),
            ("2031-05-01T00:00:00Z", "0 days", "UTC", "2031-05-01T00:00:00Z"),
        ] {
            assert_eq!(due_at(instant(anchor), span, zone), Some(instant(due)), "{anchor} {span} {zone}");
        }
        assert_eq!(due_at(Instant(0), "3 days", "Berlin"), None);
    }

    #[test]
    fn a_span_is_a_bounded_one() {
        for sound in ["3 days", "-3 days", "3d", "2 weeks ago", "PT4H", "-P2W", "12 months"] {
            assert_eq!(check_span(sound), Ok(()), "{sound}");
        }
        for (wrong, why) in [("soon", "no span"), ("", "no span"), ("3", "no span"), ("2 years", "366 days"), ("-P400D", "366 days")] {
            assert!(check_span(wrong).unwrap_err().contains(why), "{wrong}");
        }
    }
}
