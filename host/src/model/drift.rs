//! Drift: what an identity provider's export lists beside what is stored of its connection, and what is done about it. No I/O.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AccountId, Actor, ConnectionId, Instant, ResourceId, RoleId};

word_enum!(
    /// In which way somebody is listed otherwise than stored.
    DriftKind {
        /// Listed, and not stored.
        Missing = "missing",
        /// Stored and active, and not listed.
        Extra = "extra",
        /// Both, with other values or memberships.
        Differing = "differing",
        /// The login name of one person and the external id of another: nothing is done by itself.
        Doubt = "doubt",
    }
);

word_enum!(
    /// How far a reconciliation is.
    ReconciliationState {
        /// What was found is being written down.
        Loading = "loading",
        /// It is being found out what it would do to people's roles.
        Simulating = "simulating",
        /// It waits for somebody to carry it out.
        Ready = "ready",
        /// It is carried out; whoever is held waits for an answer to the hold.
        Running = "running",
        /// Everything was done, or was answered.
        Finished = "finished",
        /// Somebody gave it up, or a newer one took its place.
        Abandoned = "abandoned",
        /// Nobody carried it out, or answered its hold, in time.
        Expired = "expired",
    }
);

impl ReconciliationState {
    /// Whether nothing comes of it any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Abandoned | Self::Expired)
    }
}

word_enum!(
    /// What became of a line.
    DriftOutcome {
        /// The person is as listed now.
        Done = "done",
        /// The person was written since it was compared: left alone.
        Moved = "moved",
        /// The change was refused.
        Refused = "refused",
        /// Somebody rejected it: a difference that stands for a while.
        Rejected = "rejected",
        /// Nothing is done by itself.
        Skipped = "skipped",
        /// The reconciliation ended before.
        Expired = "expired",
    }
);

/// A group that somebody is to join or leave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct DriftGroup {
    /// The SCIM group.
    pub id: ResourceId,
    /// Its display name.
    pub name: String,
}

/// An attribute that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftAttribute {
    /// The SCIM attribute.
    pub attribute: String,
    /// The value that is stored; `null` for none.
    pub stored: Value,
    /// The value that is listed.
    pub listed: Value,
}

/// What is personal of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftDetail {
    /// The login name: the stored one, where there is one.
    pub user_name: String,
    /// What differs; of somebody who is missing, all that is listed.
    pub attributes: Vec<DriftAttribute>,
    /// Groups that they are listed in, and are not in.
    pub joins: Vec<DriftGroup>,
    /// Groups that they are in, and not listed in.
    pub leaves: Vec<DriftGroup>,
}

/// What carrying out a line would do to somebody's roles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftForecast {
    /// Roles that they gain.
    pub gains: Vec<RoleId>,
    /// Roles that they lose.
    pub loses: Vec<RoleId>,
    /// Roles that wait for somebody's yes.
    pub waits: Vec<RoleId>,
    /// What the account becomes, where that is another state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl DriftForecast {
    /// Whether they lose access: a role, or the account's use.
    #[must_use]
    pub fn takes_access(&self) -> bool {
        !self.loses.is_empty() || self.account.as_deref().is_some_and(|state| state != super::AccountState::Active.word())
    }
}

/// Somebody who is listed otherwise than stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftLine {
    /// Its number, from 1.
    pub line: i64,
    /// In which way.
    pub kind: DriftKind,
    /// The SCIM user; `null` for somebody who is missing.
    pub user: Option<ResourceId>,
    /// Their account.
    pub account: Option<AccountId>,
    /// The version of the user that was compared.
    pub version: i64,
    /// Names and values.
    #[serde(flatten)]
    pub detail: DriftDetail,
    /// What it would do to their roles; `null` before that is known.
    pub forecast: Option<DriftForecast>,
    /// What became of it; `null` while nothing has.
    pub outcome: Option<DriftOutcome>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A reconciliation in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftCounts {
    /// People in the export.
    pub listed: i64,
    /// People of the connection.
    pub stored: i64,
    /// Listed and not stored.
    pub missing: i64,
    /// Stored and not listed.
    pub extra: i64,
    /// Listed with other values or memberships.
    pub differing: i64,
    /// About whom nobody can say who they are.
    pub doubts: i64,
    /// Memberships that differ.
    pub memberships: i64,
    /// Groups that are listed and not stored, or whose name several have: at most a hundred of them.
    pub unknown_groups: Vec<String>,
}

impl DriftCounts {
    /// People who are listed otherwise than stored.
    #[must_use]
    pub fn distance(&self) -> i64 {
        self.missing + self.extra + self.differing + self.doubts
    }
}

/// An export that was compared with what is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reconciliation {
    /// Its id.
    pub id: String,
    /// The connection.
    pub connection: ConnectionId,
    /// How far it is.
    pub state: ReconciliationState,
    /// Whether the export lists everybody: else nobody is extra.
    pub complete: bool,
    /// What was found.
    pub counts: DriftCounts,
    /// People who differ still.
    pub distance: i64,
    /// Lines whose effect on roles is known, while that is being found out.
    pub simulated: i64,
    /// What stands for all that was seen: carrying it out names it. `null` before everything is known.
    pub digest: Option<String>,
    /// The hold in which those who would lose access wait.
    pub hold: Option<String>,
    /// Why it was carried out, or given up.
    pub reason: Option<String>,
    /// Who uploaded the export.
    pub made_by: Actor,
    /// Who carried it out.
    pub carried_out_by: Option<Actor>,
    /// When it was uploaded.
    pub created: Instant,
    /// Until when it may be carried out, and its hold answered.
    pub ends: Instant,
    /// Since when it is carried out.
    pub begun: Option<Instant>,
    /// When it was over.
    pub finished: Option<Instant>,
}
