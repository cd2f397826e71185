//! What people, and the guard in their place, have said about one account: approvals, exceptions and holds, and by which settings.
//! Rulings stand beside what the policies decide; how they are weighed is `lifecycle`'s.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AccountId, Actor, ConnectionId, Instant, RevisionHash, RoleId};

word_enum!(
    /// What a ruling is about.
    RulingKind {
        /// Whether the account may hold a role that needs a person's yes.
        Approval = "approval",
        /// An exception: the account holds the role although no policy gives it. A `forbid` still wins.
        Grant = "grant",
        /// An exception: the account does not hold the role although a policy gives it.
        Forbid = "forbid",
        /// A loss that the guard has held.
        Loss = "loss",
        /// A gain that the guard has held.
        Gain = "gain",
        /// An exception: the account is in use although the identity provider says that the person is inactive.
        Restored = "restored",
        /// A leave of absence: the account is out of use although the identity provider says that the person is active.
        Absence = "absence",
        /// Whose an imported account is, or that the person's account is a new one.
        Adoption = "adoption",
        /// Whether a reconciliation may take access away.
        Drift = "drift",
    }
);

impl RulingKind {
    /// Whether people make it by themselves, for a time: an exception or a leave, and no answer to what the guard or a role asks.
    #[must_use]
    pub fn is_said_unasked(self) -> bool {
        matches!(self, Self::Grant | Self::Forbid | Self::Absence)
    }
}

word_enum!(
    /// How far a ruling is.
    RulingState {
        /// Nobody has said anything yet.
        Open = "open",
        /// Approved, released, or in force.
        Yes = "yes",
        /// Rejected: of a held loss or gain, a standing difference to the identity provider until it ends.
        No = "no",
        /// It counts no longer.
        Ended = "ended",
    }
);

/// What was said about an account, or about one of its roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ruling {
    /// Its id.
    pub id: String,
    /// The account.
    pub account: AccountId,
    /// The account's login name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// The role; `null` where it is about the account as a whole.
    pub role: Option<RoleId>,
    /// What it is about.
    pub kind: RulingKind,
    /// How far it is.
    pub state: RulingState,
    /// The hold that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Since when it counts; at once where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Instant>,
    /// Until when it counts: a request lapses, an exception ends, a rejected hold is asked about again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Instant>,
    /// When it was made.
    pub created: Instant,
    /// Who or what made it.
    pub created_by: Actor,
    /// When somebody said yes or no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Instant>,
    /// Who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Actor>,
    /// Why: the words of whoever decided, or made the exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is asked, in the words of the policy's `@approval`; nothing where the catalogue asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// Who answers for it: for people, mostly an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl Ruling {
    /// What somebody says unasked: it counts from the beginning.
    #[must_use]
    pub fn said(id: String, account: AccountId, kind: RulingKind, created: Instant, created_by: Actor) -> Self {
        Self {
            id,
            account,
            user_name: None,
            role: None,
            kind,
            state: RulingState::Yes,
            hold: None,
            starts: None,
            ends: None,
            created,
            created_by,
            decided: None,
            decided_by: None,
            reason: None,
            asks: None,
            owner: None,
        }
    }

    /// Whether it is in force at an instant: somebody said yes, it has begun and has not ended.
    #[must_use]
    pub fn holds_at(&self, at: Instant) -> bool {
        self.state == RulingState::Yes && self.starts.is_none_or(|starts| starts <= at) && !self.is_over(at)
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_over(&self, at: Instant) -> bool {
        self.state == RulingState::Ended || self.ends.is_some_and(|ends| ends <= at)
    }
}

/// A ruling that a change makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRuling {
    /// The role; `None` for the account as a whole.
    pub role: Option<RoleId>,
    /// What it is about.
    pub kind: RulingKind,
    /// Until when it may be answered.
    pub ends: Option<Instant>,
    /// When somebody is to be reminded of it.
    pub remind_at: Option<Instant>,
    /// What is asked, in the words of a policy.
    pub asks: Option<String>,
}

impl NewRuling {
    /// One that somebody has to answer, whenever that is.
    #[must_use]
    pub fn open(role: Option<RoleId>, kind: RulingKind) -> Self {
        Self { role, kind, ends: None, remind_at: None, asks: None }
    }
}

word_enum!(
    /// Whose people a guard counts together.
    GuardScope {
        /// Those of a connection.
        Connection = "connection",
        /// Those who hold a role.
        Role = "role",
        /// Those for whom an activated revision makes a difference.
        Revision = "revision",
        /// Those who would lose access by a reconciliation: all of them together.
        Plan = "plan",
    }
);

word_enum!(
    /// What a guard counts.
    GuardDirection {
        /// People who lose access.
        Losses = "losses",
        /// People who gain roles.
        Gains = "gains",
        /// People who gain privileged roles.
        PrivilegedGains = "privileged_gains",
        /// People whom the identity provider calls gone: never held, and beyond the limit reversible.
        Leavers = "leavers",
    }
);

word_enum!(
    /// How far a hold is.
    HoldState {
        /// Somebody has to look at it.
        Open = "open",
        /// Nobody is in it any more: released, rejected, or resolved by itself.
        Closed = "closed",
    }
);

/// Changes that wait together for a person, because more people are concerned than may be within the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// Its id.
    pub id: String,
    /// Whose people were counted.
    pub scope: GuardScope,
    /// The connection, role or revision.
    pub of: String,
    /// What was counted.
    pub direction: GuardDirection,
    /// How far it is.
    pub state: HoldState,
    /// How many people may be concerned within the window.
    pub limit: i64,
    /// When the first of them was held.
    pub opened: Instant,
    /// When the last of them was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Instant>,
    /// How many people are held at present.
    pub people: i64,
}

/// What a tenant lets happen to how many people before a person is asked: `[guard]` in `tenant.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardSettings {
    /// Whether anything is counted at all.
    pub enabled: bool,
    /// The window, in hours.
    pub window_hours: u32,
    /// The most people, in percent of those whom the scope has when the window begins.
    pub percent: u32,
    /// The most people.
    pub people: u32,
    /// So many may always be concerned.
    pub at_least: u32,
    /// The most people who gain privileged roles, in percent.
    pub privileged_percent: u32,
    /// The most people who gain privileged roles.
    pub privileged_people: u32,
    /// So many may always gain privileged roles.
    pub privileged_at_least: u32,
}

impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            window_hours: 24,
            percent: 10,
            people: 500,
            at_least: 5,
            privileged_percent: 1,
            privileged_people: 20,
            privileged_at_least: 2,
        }
    }
}

impl GuardSettings {
    /// How many of `population` people may be concerned within a window.
    #[must_use]
    pub fn limit(&self, direction: GuardDirection, population: i64) -> i64 {
        let (percent, people, at_least) = self.of(direction);
        (population.saturating_mul(percent) / 100).min(people).max(at_least)
    }

    /// The population beyond which a limit grows no more: nobody has to count further.
    #[must_use]
    pub fn population_needed(&self, direction: GuardDirection) -> i64 {
        let (percent, people, _) = self.of(direction);
        if percent == 0 { 0 } else { people.saturating_mul(100).div_euclid(percent).saturating_add(1) }
    }

    fn of(&self, direction: GuardDirection) -> (i64, i64, i64) {
        let (percent, people, at_least) = match direction {
            GuardDirection::Losses | GuardDirection::Gains | GuardDirection::Leavers => (self.percent, self.people, self.at_least),
            GuardDirection::PrivilegedGains => (self.privileged_percent, self.privileged_people, self.privileged_at_least),
        };
        (i64::from(percent), i64::from(people), i64::from(at_least))
    }
}

word_enum!(
    /// When a revision is activated only after a second person has said so too.
    SecondPerson {
        /// Always.
        Always = "always",
        /// Where what decides about privileged roles is another than before.
        Privileged = "privileged",
        /// Never.
        Never = "never",
    }
);

/// Which roles wait for a person's yes, and how long: `[approvals]` in `tenant.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApprovalSettings {
    /// Whether privileged roles need an approval; a role's own `approval` goes first.
    pub privileged: bool,
    /// After how many hours a request lapses.
    pub expire_hours: u32,
    /// How many hours before that an event reminds of it; 0 for none.
    pub remind_hours: u32,
    /// When a revision is activated only after a second person has said so too.
    pub second_person: SecondPerson,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        Self { privileged: true, expire_hours: 168, remind_hours: 24, second_person: SecondPerson::Privileged }
    }
}

/// The people whom a change concerns in the guard's eyes, to be counted with the change itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// Whose people: the connection.
    pub connection: ConnectionId,
    /// The revision whose activation causes it, if one does.
    pub activated: Option<RevisionHash>,
    /// The settings that count: the active revision's.
    pub settings: GuardSettings,
    /// Whether the person loses access: roles, or the account's use.
    pub loses: bool,
    /// Whether the identity provider says that the person is gone.
    pub leaves: bool,
    /// The roles that the person loses.
    pub lost: Vec<RoleId>,
    /// The roles that the person gains.
    pub gained: Vec<RoleId>,
    /// Those of them that are privileged.
    pub gained_privileged: Vec<RoleId>,
}

impl Concerned {
    /// The guards that count the person for a direction, each once.
    #[must_use]
    pub fn scopes(&self, direction: GuardDirection) -> Vec<(GuardScope, String)> {
        let (concerns, roles) = match direction {
            GuardDirection::Losses => (self.loses, &self.lost),
            GuardDirection::Leavers => (self.leaves, &self.lost),
            GuardDirection::Gains => (!self.gained.is_empty(), &self.gained),
            GuardDirection::PrivilegedGains => (!self.gained_privileged.is_empty(), &self.gained_privileged),
        };
        if !concerns {
            return Vec::new();
        }
        let whole = [(GuardScope::Connection, self.connection.0.clone())];
        let activated = self.activated.iter().map(|revision| (GuardScope::Revision, revision.0.clone()));
        let roles = roles.iter().map(|role| (GuardScope::Role, role.0.clone()));
        activated.chain(whole).chain(roles).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lesser_of_a_tenth_and_five_hundred_and_never_below_five() {
        let settings = GuardSettings::default();
        let limits = [0, 49, 50, 51, 100, 4_999, 5_000, 5_010, 1_000_000].map(|people| settings.limit(GuardDirection::Losses, people));
        assert_eq!(limits, [5, 5, 5, 5, 10, 499, 500, 500, 500]);
        let privileged = [10, 300, 1_000_000].map(|people| settings.limit(GuardDirection::PrivilegedGains, people));
        assert_eq!(privileged, [2, 3, 20]);
        for direction in GuardDirection::ALL {
            let enough = settings.population_needed(*direction);
            assert_eq!(settings.limit(*direction, enough), settings.limit(*direction, i64::MAX));
        }
    }

    #[test]
    fn a_person_is_counted_once_in_each_scope() {
        let concerned = Concerned {
            connection: "c".into(),
            activated: Some("r".into()),
            settings: GuardSettings::default(),
            loses: true,
            leaves: false,
            lost: vec!["a".into(), "b".into()],
            gained: vec![],
            gained_privileged: vec![],
        };
        let scopes: Vec<String> = concerned.scopes(GuardDirection::Losses).into_iter().map(|(scope, of)| format!("{scope} {of}")).collect();
        assert_eq!(scopes, ["revision r", "connection c", "role a", "role b"]);
        assert!(concerned.scopes(GuardDirection::Gains).is_empty());
    }
}
