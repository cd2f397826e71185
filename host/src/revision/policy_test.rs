//! Policy tests, beside the policies (`policies/x.test.json`): a person as the mapping would have shaped them, a role, and what the policies
//! must say of both, by which of them. No plugin is asked.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::case_file::CaseFile;
use super::golden::{self, DEFAULT_AS_OF, GoldenResult};
use crate::diagnostic::Diagnostic;
use crate::mapping::AccountShape;
use crate::model::{GroupMembership, Instant, Reason, Tags};
use crate::policies::{DeclaredTags, Explanation, Policies, Principal};

/// The most cases of one file: people read them.
pub(super) const CASES_LIMIT: usize = 1_000;

/// A person as the mapping would have shaped them, with the groups and nominations that go with it.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The account's attributes; `user_name` may be left out.
    #[serde(default)]
    subject: Subject,
    /// The handles of the groups, or for each the handles from the person's own group to it.
    #[serde(default)]
    groups: Vec<Group>,
    /// The roles that the tenant's plugin would nominate.
    #[serde(default)]
    nominated: BTreeSet<String>,
    /// The instant of the decision in RFC 3339; 2026-01-01T00:00:00Z unless given.
    #[serde(default, deserialize_with = "golden::instant")]
    #[schemars(with = "Option<String>")]
    as_of: Option<Instant>,
}

/// A group that the person is in.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "a handle, or a list of the handles from the person's own group to this one")]
enum Group {
    Handle(String),
    Chain(Vec<String>),
}

/// An account as a test writes it.
#[derive(Clone, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Subject {
    /// The SCIM id.
    id: Option<String>,
    /// The connection's id.
    connection: Option<String>,
    user_name: Option<String>,
    email: Option<String>,
    user_type: Option<String>,
    title: Option<String>,
    department: Option<String>,
    division: Option<String>,
    organization: Option<String>,
    cost_center: Option<String>,
    employee_number: Option<String>,
    /// The manager's SCIM id.
    manager: Option<String>,
    /// Sets of text by name.
    tags: Tags,
}

impl Person {
    /// Why or why not; `None` for a role that the catalogue does not have.
    #[must_use]
    pub fn explain(&self, policies: &Policies, role: &str) -> Option<Explanation> {
        let subject = &self.subject;
        let shape = AccountShape {
            user_name: subject.user_name.clone().unwrap_or_else(|| "somebody".into()),
            email: subject.email.clone(),
            user_type: subject.user_type.clone(),
            title: subject.title.clone(),
            department: subject.department.clone(),
            division: subject.division.clone(),
            organization: subject.organization.clone(),
            cost_center: subject.cost_center.clone(),
            employee_number: subject.employee_number.clone(),
            manager: subject.manager.clone(),
            tags: subject.tags.clone(),
            ..AccountShape::default()
        };
        let mut groups = BTreeMap::new();
        for membership in self.groups.iter().flat_map(Group::memberships) {
            groups.entry(membership.handle.clone()).or_insert(membership);
        }
        let groups: Vec<GroupMembership> = groups.into_values().collect();
        let (user, connection) = (subject.id.as_deref().unwrap_or("somebody"), subject.connection.as_deref().unwrap_or("a-connection"));
        let principal = Principal::of(user, connection, &shape, &groups);
        policies.explain(&principal, role, self.nominated.contains(role), self.as_of.unwrap_or(DEFAULT_AS_OF).timestamp())
    }
}

impl Group {
    /// Whoever is in a group through others is in each of those as well.
    fn memberships(&self) -> Vec<GroupMembership> {
        let chain = match self {
            Self::Handle(handle) => std::slice::from_ref(handle),
            Self::Chain(chain) => chain,
        };
        let to = |(number, handle): (usize, &String)| GroupMembership { handle: handle.clone(), chain: chain[..=number].to_vec() };
        chain.iter().enumerate().map(to).collect()
    }
}

/// One case.
#[derive(Clone, Debug)]
pub(super) struct PolicyCase {
    file: String,
    description: String,
    person: Person,
    role: String,
    decision: Verdict,
    reasons: Option<BTreeSet<String>>,
    approval: Option<Approval>,
}

/// Whether a role that is given waits for somebody's approval, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "true, false, or `{\"role\": …, \"policies\": […]}`")]
enum Approval {
    /// Whether somebody is asked.
    Asked(bool),
    /// By exactly which rules.
    By(AskedBy),
}

/// The rules by which somebody is asked: none of them, and nobody is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct AskedBy {
    /// The catalogue says so of the role: it is privileged, or marked.
    role: bool,
    /// The `@id`s of the permits that give the role, where each of them has an `@approval`: one without would give it at once.
    policies: BTreeSet<String>,
}

impl AskedBy {
    fn of(explained: &Explanation, approved: &BTreeSet<String>) -> Self {
        if explained.decision != Verdict::Allow.word() {
            return Self::default();
        }
        let asks = Reason::approval_of(&explained.reasons).is_some();
        let policies = explained.reasons.iter().filter(|_| asks).map(|reason| reason.policy.clone()).collect();
        Self { role: approved.contains(&explained.role), policies }
    }

    fn is_asked(&self) -> bool {
        self.role || !self.policies.is_empty()
    }
}

/// What the policies must say, in the words of explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Allow,
    Deny,
    NoPermit,
    Error,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::NoPermit => "no_permit",
            Self::Error => "error",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    description: String,
    #[serde(default)]
    subject: Subject,
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    nominated: BTreeSet<String>,
    #[serde(default, deserialize_with = "golden::instant")]
    as_of: Option<Instant>,
    role: String,
    decision: Verdict,
    /// The `@id`s of the permits that give the role, or of the forbids that deny it.
    reasons: Option<BTreeSet<String>>,
    /// Whether the role waits for an approval, or by which rules.
    approval: Option<Approval>,
}

/// What a file of tests may name.
pub(super) struct Known<'a> {
    /// The roles of the catalogue.
    pub catalogue: &'a BTreeSet<&'a str>,
    /// The `@id`s.
    pub policies: &'a BTreeMap<String, String>,
    /// The declared tags.
    pub tags: Option<&'a DeclaredTags>,
}

/// Reads a file of cases; without a catalogue all is checked but the names.
pub(super) fn read(file: &str, text: &str, known: Option<&Known<'_>>) -> Result<Vec<PolicyCase>, Vec<Diagnostic>> {
    let (mut read, written) = CaseFile::read::<Written>(file, text)?;
    for case in &written {
        read.describe(&case.description);
        if case.approval.is_some() && case.decision != Verdict::Allow {
            read.problem("approval", "`approval` goes with the decision `allow`: of a role that is not given nobody is asked");
        }
        let Some(known) = known else { continue };
        for role in case.nominated.iter().chain([&case.role]).filter(|role| !known.catalogue.contains(role.as_str())) {
            read.problem(role, format!("the catalogue has no role `{role}`"));
        }
        let asking = match &case.approval {
            Some(Approval::By(asked)) => Some(&asked.policies),
            _ => None,
        };
        for policy in case.reasons.iter().chain(asking).flatten().filter(|policy| !known.policies.contains_key(*policy)) {
            read.problem(policy, format!("no policy has the `@id` `{policy}`"));
        }
        for (tag, values) in known.tags.iter().flat_map(|_| &case.subject.tags) {
            match known.tags.and_then(|tags| tags.get(tag)) {
                None => read.problem(tag, format!("the tag `{tag}` is not declared in tenant.toml")),
                Some(declared) if declared.is_empty() => {}
                Some(declared) => {
                    if let Some(value) = values.iter().find(|value| !declared.contains(*value)) {
                        read.problem(value, format!("the tag `{tag}` is not declared to have the value `{value}`"));
                    }
                }
            }
        }
    }
    read.done()?;
    let case = |written: Written| PolicyCase {
        file: file.to_owned(),
        description: written.description,
        person: Person { subject: written.subject, groups: written.groups, nominated: written.nominated, as_of: written.as_of },
        role: written.role,
        decision: written.decision,
        reasons: written.reasons,
        approval: written.approval,
    };
    Ok(written.into_iter().map(case).collect())
}

impl PolicyCase {
    /// Runs the case; `approved` are the roles of which the catalogue says that nobody holds them without somebody's yes.
    pub(super) fn run(&self, policies: &Policies, approved: &BTreeSet<String>) -> GoldenResult {
        let explained = self.person.explain(policies, &self.role);
        let (expected, actual) = (self.expected(), explained.as_ref().map_or(Value::Null, |explained| self.said(explained, approved)));
        let mut diff = golden::difference(&expected, &actual);
        // Whoever reads the difference asks why next.
        if let (Some(diff), Some(explained)) = (&mut diff, explained) {
            for miss in explained.nearest {
                diff.push_str(&format!(" # `{}`: {}\n", miss.policy, miss.unmet));
            }
        }
        GoldenResult { file: self.file.clone(), name: self.description.clone(), diff }
    }

    fn expected(&self) -> Value {
        let mut expected = json!({"role": self.role, "decision": self.decision.word()});
        if let Some(reasons) = &self.reasons {
            expected["reasons"] = json!(reasons);
        }
        match &self.approval {
            Some(Approval::Asked(asked)) => expected["approval"] = json!(asked),
            Some(Approval::By(asked)) => expected["approval"] = json!(asked),
            None => {}
        }
        expected
    }

    /// What was said of that which is expected; of another decision always by which policies, and of another answer about approvals always
    /// by which rules.
    fn said(&self, explained: &Explanation, approved: &BTreeSet<String>) -> Value {
        let decided = if explained.decision == "deny" { &explained.forbids } else { &explained.reasons };
        let reasons: BTreeSet<&str> = decided.iter().map(|reason| reason.policy.as_str()).collect();
        let mut said = json!({"role": self.role, "decision": explained.decision});
        if self.reasons.is_some() || explained.decision != self.decision.word() {
            said["reasons"] = json!(reasons);
        }
        if let Some(expected) = &self.approval {
            let asked = AskedBy::of(explained, approved);
            said["approval"] = match expected {
                Approval::Asked(expected) if *expected == asked.is_asked() => json!(expected),
                _ => json!(asked),
            };
        }
        said
    }
}
