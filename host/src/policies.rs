//! Policies: the only place that names `cedar_policy`.
//!
//! A tenant's Cedar policies are parsed, validated strictly, taken apart and indexed once, at
//! activation. A decision then asks only the policies whose scope can concern the person and the
//! role, each by itself, and a policy that reads nothing of the role is asked once for all roles. An answer is remembered by
//! all that it depends on, so that people who are alike in that are decided once.
//! [`Unsliced`] asks everything through Cedar's own authorizer: a property test
//! holds that all give the same.
//!
//! Knows nothing of SCIM, plugins, accounts at rest or grants at present.

pub mod admin;
mod decide;
mod difference;
mod entity;
mod exception;
mod explain;
mod format;
mod given;
mod index;
mod lint;
mod memo;
mod privilege;
mod reads;
mod rule;
mod scan;
mod source;
mod touch;

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Authorizer;

pub use decide::Unsliced;
pub use difference::{ChangedPolicy, Clause, PolicyDifference, PolicyText, diff};
pub use format::format;
pub use given::{About, RolePolicies, Whom};
pub use lint::{Facts, LINTS, Lint, lint_policies};
pub use privilege::Privilege;
pub use touch::Touch;

use crate::diagnostic::Diagnostic;
use crate::mapping::AccountShape;
use crate::model::{ApprovalSettings, GroupMembership, Reason};

use index::Index;
use memo::Memo;
use rule::Rule;

/// The most roles in a catalogue: every role is asked about by each policy without a resource scope.
pub const ROLES_LIMIT: usize = 1_000;
/// The most policies of a tenant: activation takes each apart for every role.
pub const POLICIES_LIMIT: usize = 1_000;
/// The Cedar schema that policies are validated against.
pub const SCHEMA: &str = include_str!("../../policies/rolecall.cedarschema");

/// A role of the tenant's catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// Whether nobody holds it without a person's yes; as `[approvals]` says where there is none.
    #[serde(default)]
    pub approval: Option<bool>,
    /// Who answers for the role, by login name or address: reviews it where a review says so.
    #[serde(default)]
    pub owner: Option<String>,
    /// The application.
    #[serde(default)]
    pub app: Option<String>,
    /// Families (`RoleFamily` parents).
    #[serde(default)]
    pub families: Vec<String>,
}

impl Role {
    /// A role that the catalogue does not have: nobody knows what it was, so it counts as privileged.
    #[must_use]
    pub fn unknown(id: &str) -> Self {
        Self { id: id.to_owned(), risk: 100, privileged: true, ..Self::default() }
    }

    /// Whether nobody holds the role without a person's yes.
    #[must_use]
    pub fn needs_approval(&self, settings: &ApprovalSettings) -> bool {
        self.approval.unwrap_or(self.privileged && settings.privileged)
    }
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Roles that an error left undecided, sorted by role and policy. Where the answer is no whatever the failed policies would
    /// have said (a `forbid` is satisfied; or no `permit` is satisfied and none failed), it is no, and not undecided.
    pub errors: Vec<PolicyFailure>,
    /// The next instant at which the same inputs may be decided otherwise: the earliest date beyond `as_of` in a policy whose scope
    /// has the person in it.
    pub next_change: Option<jiff::Timestamp>,
}

/// Why a person has or has not a role.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Explanation {
    /// The role.
    pub role: String,
    /// `allow`, `deny` (a forbid), `no_permit`, `error`; or why the policies were not asked: `inactive`, `out_of_scope`,
    /// `refused`, `fault`, `no_revision`, `removed`, `imported`.
    pub decision: String,
    /// A sentence, where the policies were not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// On allow.
    pub reasons: Vec<Reason>,
    /// Forbids that are satisfied, by `@id`.
    pub forbids: Vec<Reason>,
    /// The nearest permits, by `@id`, with what was not met; on `error`, first the policies that failed.
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
    /// The values that the condition saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saw: Vec<Seen>,
}

/// A value that a condition saw.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Seen {
    /// What was read: `principal.department`, `principal.getTag("team")`.
    pub expression: String,
    /// What it was; `null` where it is not set.
    pub value: serde_json::Value,
}

/// Why a role is given no more.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Loss {
    /// The role.
    pub role: String,
    /// The permits that gave it and do not any more, each with the first thing that is not met.
    pub permits: Vec<NearMiss>,
    /// Forbids that are satisfied.
    pub forbids: Vec<Reason>,
}

/// A tenant's compiled policies and role catalogue: immutable, made at activation. Thousands of tenants' stay in memory, so that what
/// decisions don't need is not kept.
pub struct Policies {
    roles: Vec<Role>,
    rules: Vec<Rule>,
    index: Index,
    memo: Memo,
    authorizer: Authorizer,
    privileged: BTreeSet<String>,
    privileged_handles: BTreeSet<String>,
    privileged_by_proposal: bool,
}

impl Policies {
    /// Parses, validates strictly, and indexes. `sources`: (path, text) of `policies/*.cedar`.
    ///
    /// # Errors
    /// Every problem with file, line and column.
    pub fn compile(sources: &[(String, String)], roles: &[Role]) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = check_catalogue(roles);
        let policies = source::read(sources, Some(roles)).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let unreadable = |error: String| vec![Diagnostic::of_file("policies", error)];
        let taken_apart = policies.iter().map(Rule::of).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        let authorizer = Authorizer::new();
        let index = Index::of(&taken_apart, roles, &authorizer).map_err(unreadable)?;
        let rules: Vec<Rule> = taken_apart.into_iter().map(|(rule, _)| rule).collect();
        let privileged: BTreeSet<String> = roles.iter().filter(|role| role.privileged).map(|role| role.id.clone()).collect();
        let mut privileged_handles = BTreeSet::new();
        let mut privileged_by_proposal = false;
        for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.permits) {
            if index.can_give(number).iter().any(|&role| roles[role].privileged) {
                privileged_handles.extend(rule.handles.iter().cloned());
                privileged_by_proposal |= rule.reads_proposed && rule.who == rule::Who::Anyone;
            }
        }
        let memo = Memo::of(&rules, roles, |rule| index.concerns_any(rule));
        let roles = roles.to_vec();
        Ok(Self { roles, rules, index, memo, authorizer, privileged, privileged_handles, privileged_by_proposal })
    }

    /// The catalogue.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Ids of privileged roles.
    #[must_use]
    pub fn privileged(&self) -> &BTreeSet<String> {
        &self.privileged
    }

    /// Handles (in scope or condition) that a permit of a privileged role names. A permit whose condition rules out every privileged
    /// role by the role's own attributes (`!resource.privileged`) is none.
    #[must_use]
    pub fn privileged_handles(&self) -> &BTreeSet<String> {
        &self.privileged_handles
    }

    /// Whether some permit gives a privileged role to whoever the plugin nominates: one whose scope names neither a group, which would
    /// be among the [`Policies::privileged_handles`], nor a person.
    #[must_use]
    pub fn privileged_by_proposal(&self) -> bool {
        self.privileged_by_proposal
    }

    /// The `@id`s of the policies, sorted.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<&str> {
        self.rules.iter().map(|rule| rule.id.as_str()).collect()
    }
}

/// What keeps policies from being told apart: files that can't be parsed, policies without an `@id`.
#[must_use]
pub fn incomparable(sources: &[(String, String)]) -> Vec<Diagnostic> {
    source::incomparable(sources)
}

/// The policies' texts by `@id`, of the files that can be parsed: what a comparison of two revisions shows.
#[must_use]
pub fn texts_by_id(sources: &[(String, String)]) -> BTreeMap<String, String> {
    source::texts_by_id(sources)
}

/// The tags that a tenant's mapping derives: the values that each can have, or any where none is named.
pub type DeclaredTags = BTreeMap<String, BTreeSet<String>>;

/// Tags, or values of tags, that policies name and the tenant does not declare. Files that can't be parsed are passed over:
/// [`check`] says what is wrong with them.
#[must_use]
pub fn check_tags(sources: &[(String, String)], declared: &DeclaredTags) -> Vec<Diagnostic> {
    source::check_tags(sources, declared)
}

/// What is wrong with policies as far as that can be said without a catalogue: everything but the roles that they name.
#[must_use]
pub fn check(sources: &[(String, String)]) -> Vec<Diagnostic> {
    source::read(sources, None).err().unwrap_or_default()
}

/// A catalogue that Cedar can't tell apart is refused here; where its roles stand in a file is the reader's to say.
fn check_catalogue(roles: &[Role]) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for role in roles {
        if !seen.insert(&role.id) {
            problems.push(Diagnostic::of_file("tenant.toml", format!("role `{}` is in the catalogue twice", role.id)));
        }
    }
    if roles.len() > ROLES_LIMIT {
        let message = format!("the catalogue has {} roles: at most {ROLES_LIMIT} are allowed", roles.len());
        problems.push(Diagnostic::of_file("tenant.toml", message));
    }
    problems
}

#[cfg(test)]
mod tests;
