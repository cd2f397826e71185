//! Policies: the only place that names `cedar_policy`.

use std::collections::BTreeSet;

use crate::diagnostic::Diagnostic;
use crate::mapping::AccountShape;
use crate::model::{GroupMembership, Reason};

/// A role of the tenant's catalogue.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its id.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// 0 to 100.
    #[serde(default)]
    pub risk: i64,
    /// Whether it needs care.
    #[serde(default)]
    pub privileged: bool,
    /// The application.
    #[serde(default)]
    pub app: Option<String>,
    /// Families (`RoleFamily` parents).
    #[serde(default)]
    pub families: Vec<String>,
}

/// A person as Cedar sees them.
#[derive(Clone, Debug)]
pub struct Principal<'a> {
    /// SCIM id.
    pub user: &'a str,
    /// Connection id.
    pub connection: &'a str,
    /// The account.
    pub shape: &'a AccountShape,
    /// Flattened memberships with chains.
    pub groups: &'a [GroupMembership],
}

impl<'a> Principal<'a> {
    /// A principal.
    #[must_use]
    pub fn of(user: &'a str, connection: &'a str, shape: &'a AccountShape, groups: &'a [GroupMembership]) -> Self {
        Self { user, connection, shape, groups }
    }
}

/// A role that the policies give.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleDecision {
    /// The role.
    pub role: String,
    /// Sorted by policy.
    pub reasons: Vec<Reason>,
}

/// A policy that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFailure {
    /// The role that was asked about.
    pub role: String,
    /// The policy's `@id`.
    pub policy: String,
    /// What failed.
    pub message: String,
}

/// The roles of one person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Sorted by role. A role with an error is never among them.
    pub grants: Vec<RoleDecision>,
    /// Roles that an error left undecided.
    pub errors: Vec<PolicyFailure>,
    /// The next instant at which the same inputs may be decided otherwise (datetime literals beyond `as_of`).
    pub next_change: Option<jiff::Timestamp>,
}

/// Why a person has or has not a role.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Explanation {
    /// The role.
    pub role: String,
    /// `allow`, `deny` (a forbid), `no_permit`, `error`; or why the policies were not asked: `inactive`, `out_of_scope`,
    /// `refused`, `fault`, `no_revision`, `removed`.
    pub decision: String,
    /// A sentence, where the policies were not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// On allow.
    pub reasons: Vec<Reason>,
    /// Forbids that are satisfied, by `@id`.
    pub forbids: Vec<Reason>,
    /// The nearest permits, by `@id`, with what was not met.
    pub nearest: Vec<NearMiss>,
}

impl Explanation {
    /// Why nobody asked the policies: `decision` is a word such as `inactive`, `out_of_scope`, `fault`; `because` a sentence.
    #[must_use]
    pub fn without_policies(role: &str, decision: &str, because: &str) -> Self {
        Self {
            role: role.to_owned(),
            decision: decision.to_owned(),
            because: Some(because.to_owned()),
            reasons: Vec::new(),
            forbids: Vec::new(),
            nearest: Vec::new(),
        }
    }
}

/// A permit that was not satisfied.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct NearMiss {
    /// `@id`.
    pub policy: String,
    /// `@reason`.
    pub reason: Option<String>,
    /// What was not met, in a sentence: `not in group "x"`, or that a condition is false.
    pub unmet: String,
}

/// A tenant's compiled policies and role catalogue: immutable, made at activation.
pub struct Policies {}

impl Policies {
    /// Parses, validates strictly, and indexes. `sources`: (path, text) of `policies/*.cedar`.
    ///
    /// # Errors
    /// Every problem with file, line and column.
    pub fn compile(sources: &[(String, String)], roles: &[Role]) -> Result<Self, Vec<Diagnostic>> {
        let _ = (sources, roles);
        unimplemented!()
    }
    /// The catalogue.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        unimplemented!()
    }
    /// Ids of privileged roles.
    #[must_use]
    pub fn privileged(&self) -> &BTreeSet<String> {
        unimplemented!()
    }
    /// Handles (in scope or condition) that a permit of a privileged role names.
    #[must_use]
    pub fn privileged_handles(&self) -> &BTreeSet<String> {
        unimplemented!()
    }
    /// Whether some permit gives a privileged role to whoever the plugin nominates.
    #[must_use]
    pub fn privileged_by_proposal(&self) -> bool {
        unimplemented!()
    }
    /// Decides all roles, sliced.
    #[must_use]
    pub fn decide(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>, as_of: jiff::Timestamp) -> Decision {
        let _ = (principal, proposed, as_of);
        unimplemented!()
    }
    /// Decides all roles by asking every policy about each: for tests and benchmarks that hold slicing to account.
    #[must_use]
    pub fn decide_unsliced(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>, as_of: jiff::Timestamp) -> Decision {
        let _ = (principal, proposed, as_of);
        unimplemented!()
    }
    /// Why or why not.
    #[must_use]
    pub fn explain(&self, principal: &Principal<'_>, role: &str, proposed: bool, as_of: jiff::Timestamp) -> Option<Explanation> {
        let _ = (principal, role, proposed, as_of);
        unimplemented!()
    }
}
