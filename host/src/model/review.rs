//! Access reviews: what is set up front, what a reviewer sees of each role that somebody holds, and what was said of it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AccountId, Actor, ConnectionId, GrantState, Instant, Reason, RevisionHash, RoleId};

word_enum!(
    /// How far a review is.
    ReviewState {
        /// Waits for its beginning, or its lines are being written.
        Draft = "draft",
        /// Reviewers decide.
        Open = "open",
        /// Nothing can be decided any more; what was decided is being carried out.
        Closing = "closing",
        /// Everything was carried out; or it was called off before it was open.
        Closed = "closed",
    }
);

word_enum!(
    /// Who reviews.
    Reviewers {
        /// The person's manager, as the identity provider names them; of a privileged role its owner, as an attribute that the identity
        /// provider controls never picks the reviewer of one.
        Manager = "manager",
        /// The owner of the role.
        RoleOwner = "role_owner",
        /// The people that the review names.
        Named = "named",
    }
);

word_enum!(
    /// How a line came to its reviewer.
    ReviewerSource {
        /// The person's manager.
        Manager = "manager",
        /// The role's owner.
        RoleOwner = "role_owner",
        /// The review names them.
        Named = "named",
        /// Nobody else could be found who is not the person.
        Fallback = "fallback",
        /// Nobody could be found: somebody has to say who it is to be.
        Nobody = "nobody",
    }
);

word_enum!(
    /// What a reviewer says.
    ReviewDecision {
        /// Nothing yet.
        Undecided = "undecided",
        /// The role stays.
        Keep = "keep",
        /// The role goes.
        Revoke = "revoke",
        /// The role goes; what is to be asked for instead is noted.
        Change = "change",
        /// The reviewer can't say: the line goes to the fallback reviewer.
        DontKnow = "dont_know",
    }
);

word_enum!(
    /// What becomes of a line about which nobody has said anything that counts.
    OnSilence {
        /// The role stays.
        Keep = "keep",
        /// The role goes.
        Revoke = "revoke",
    }
);

word_enum!(
    /// What became of a line.
    ReviewOutcome {
        /// The role stays.
        Kept = "kept",
        /// An exception keeps the role away.
        Revoked = "revoked",
        /// An exception that was there already keeps the role away, for longer.
        RevokedBefore = "revoked_before",
        /// There is no such account any more.
        Gone = "gone",
        /// The account is protected: the role stays.
        Protected = "protected",
    }
);

impl ReviewDecision {
    /// Whether the role goes in the end.
    #[must_use]
    pub fn revokes(self, on_silence: OnSilence) -> bool {
        match self {
            Self::Keep => false,
            Self::Revoke | Self::Change => true,
            Self::Undecided | Self::DontKnow => on_silence == OnSilence::Revoke,
        }
    }
}

/// How long reviews are kept: `[reviews]` in `tenant.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReviewSettings {
    /// How many days a review is kept after it was closed: seven years unless said, as long as auditors of accounts ask for evidence.
    pub keep_days: u32,
}

impl Default for ReviewSettings {
    fn default() -> Self {
        Self { keep_days: 2_557 }
    }
}

impl ReviewSettings {
    /// The shortest and the longest time for which a review is kept, in days: a quarter, and ten years.
    pub const KEEP_DAYS: (u32, u32) = (90, 3_660);
}

/// Whose roles are reviewed: who and what is named in all of the lists that are not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReviewScope {
    /// These roles; all where there are none.
    pub roles: Vec<RoleId>,
    /// Of these accounts, by id; of all where there are none.
    pub accounts: Vec<AccountId>,
    /// Of people of these connections; of all where there are none.
    pub connections: Vec<ConnectionId>,
}

/// What is set up before a review begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewPlan {
    /// Whose roles.
    pub scope: ReviewScope,
    /// Who reviews.
    pub reviewers: Reviewers,
    /// The reviewers, by login name or address, where `reviewers` is `named`: each person's roles go to one of them.
    #[serde(default)]
    pub named: Vec<String>,
    /// Who reviews where nobody else can, and what others don't know: a login name or address.
    pub fallback: String,
    /// How many hours before it closes an event reminds of what is undecided.
    #[serde(default)]
    pub remind_hours: Vec<u32>,
    /// What becomes of lines about which nobody says anything.
    pub on_silence: OnSilence,
    /// For how many days a revocation counts: 1 to 366, from the closing.
    pub exception_days: u32,
    /// Who answers for the exceptions that carry revocations out.
    pub exception_owner: String,
}

/// How many lines there are, by what was said and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReviewCounts {
    /// All.
    pub lines: i64,
    /// Nobody has said anything.
    pub undecided: i64,
    /// The role is to stay.
    pub keep: i64,
    /// The role is to go.
    pub revoke: i64,
    /// The role is to go, and something else is to be asked for.
    pub change: i64,
    /// The reviewer could not say.
    pub dont_know: i64,
    /// Without a reviewer when it was opened.
    pub nobody: i64,
    /// Carried out: the role stayed.
    pub kept: i64,
    /// Carried out: an exception keeps the role away.
    pub revoked: i64,
    /// Nothing to carry out: there is no such account any more.
    pub gone: i64,
}

impl ReviewCounts {
    /// The number of lines with a decision.
    pub fn of(&mut self, decision: ReviewDecision) -> &mut i64 {
        match decision {
            ReviewDecision::Undecided => &mut self.undecided,
            ReviewDecision::Keep => &mut self.keep,
            ReviewDecision::Revoke => &mut self.revoke,
            ReviewDecision::Change => &mut self.change,
            ReviewDecision::DontKnow => &mut self.dont_know,
        }
    }

    /// The number of lines that came to an outcome.
    pub fn came_to(&mut self, outcome: ReviewOutcome) -> &mut i64 {
        match outcome {
            ReviewOutcome::Kept | ReviewOutcome::Protected => &mut self.kept,
            ReviewOutcome::Revoked | ReviewOutcome::RevokedBefore => &mut self.revoked,
            ReviewOutcome::Gone => &mut self.gone,
        }
    }
}

/// A review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Review {
    /// Its id.
    pub id: String,
    /// For people.
    pub name: String,
    /// How far it is.
    pub state: ReviewState,
    /// What was set up front.
    #[serde(flatten)]
    pub plan: ReviewPlan,
    /// When its lines are written.
    pub opens: Instant,
    /// Until when can be decided: later than planned by as much as it was opened later.
    pub closes: Instant,
    /// When all its lines were there.
    pub opened: Option<Instant>,
    /// When everything was carried out.
    pub closed: Option<Instant>,
    /// When it was made.
    pub created: Instant,
    /// Who made it.
    pub created_by: Actor,
    /// How many reminders were sent.
    pub reminded: i64,
    /// How many lines there are.
    pub counts: ReviewCounts,
}

impl Review {
    /// The next reminder that is due at an instant or later, if any; they are counted from the first.
    #[must_use]
    pub fn next_reminder(&self) -> Option<Instant> {
        let hours = self.plan.remind_hours.get(usize::try_from(self.reminded).ok()?)?;
        Some(self.closes.plus_seconds(-i64::from(*hours) * 3_600))
    }

    /// When a worker should look while it is open.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.next_reminder().map_or(self.closes, |reminder| reminder.min(self.closes))
    }
}

/// What was known about a role that somebody held when its review was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Why the account held it: the policies, or the exception.
    pub reasons: Vec<Reason>,
    /// Since when without a break.
    pub since: Instant,
    /// Whether it was in effect as decided, or retained over a fault.
    pub state: GrantState,
    /// The revision that decided it.
    pub revision: RevisionHash,
    /// When the account was last changed.
    pub last_change: Instant,
    /// Whether the role was privileged; so is one that the catalogue did not have any more.
    pub privileged: bool,
    /// How many others held the role, counted up to 1,000.
    pub peers: i64,
    /// The connection that feeds the account.
    pub connection: Option<ConnectionId>,
    /// How the line came to its first reviewer.
    pub reviewer_by: ReviewerSource,
}

/// A role that somebody holds, under review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewLine {
    /// Its number in the review, from 1.
    pub line: i64,
    /// The account.
    pub account: AccountId,
    /// The account's login name; none once the person is erased.
    #[serde(default)]
    pub user_name: Option<String>,
    /// The role.
    pub role: RoleId,
    /// Who is to decide; `null` where nobody could be found who is not the person.
    pub reviewer: Option<String>,
    /// What was said.
    pub decision: ReviewDecision,
    /// When.
    pub decided: Option<Instant>,
    /// By whom.
    pub decided_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What is to be asked for instead.
    pub instead: Option<String>,
    /// What was known when it was opened.
    pub evidence: Evidence,
    /// What became of it.
    pub outcome: Option<ReviewOutcome>,
    /// The exception that carries a revocation out.
    pub exception: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_not_knowing_follow_what_was_set_up_front() {
        for (decision, keeping, revoking) in [
            (ReviewDecision::Undecided, false, true),
            (ReviewDecision::DontKnow, false, true),
            (ReviewDecision::Keep, false, false),
            (ReviewDecision::Revoke, true, true),
            (ReviewDecision::Change, true, true),
        ] {
            assert_eq!((decision.revokes(OnSilence::Keep), decision.revokes(OnSilence::Revoke)), (keeping, revoking), "{decision}");
        }
    }
}
