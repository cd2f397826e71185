//! Tests of admin policies, beside them (`admin/x.test.json`): somebody with a token, an action, what it is about, and what the policies
//! must say. The floor, which no policy lowers, is not theirs to say.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::case_file::CaseFile;
use super::golden::{self, GoldenResult};
use super::policy_test::Verdict;
use crate::diagnostic::Diagnostic;
use crate::model::{AdminAction, GuardDirection, GuardScope};
use crate::policies::Role;
use crate::policies::admin::{About, Admin, AdminPolicies, Matter};

/// One case.
#[derive(Clone, Debug)]
pub(super) struct AdminCase {
    file: String,
    written: Written,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    description: String,
    admin: Somebody,
    action: AdminAction,
    /// The role that it is about, by id.
    role: Option<String>,
    hold: Option<AHold>,
    revision: Option<ARevision>,
    /// Whether somebody gets, gets back or keeps a role by it.
    #[serde(default)]
    gives: bool,
    decision: Verdict,
    /// The `@id`s of the permits that allow it, or of the forbids that deny it.
    reasons: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Somebody {
    /// The person whom the token names.
    person: Option<String>,
    #[serde(default)]
    write: bool,
    #[serde(default)]
    admin_roles: BTreeSet<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AHold {
    scope: GuardScope,
    direction: GuardDirection,
    #[serde(default)]
    privileged: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ARevision {
    #[serde(default)]
    privileged: bool,
}

/// Reads a file of cases; without a catalogue all is checked but the roles.
pub(super) fn read(
    file: &str,
    text: &str,
    ids: &BTreeSet<String>,
    catalogue: Option<&BTreeSet<&str>>,
) -> Result<Vec<AdminCase>, Vec<Diagnostic>> {
    let (mut read, written) = CaseFile::read::<Written>(file, text)?;
    for case in &written {
        read.describe(&case.description);
        if let Some(problem) = case.problem() {
            read.problem(&case.description, problem);
        }
        if let (Some(role), Some(catalogue)) = (&case.role, catalogue)
            && !catalogue.contains(role.as_str())
        {
            read.problem(role, format!("the catalogue has no role `{role}`"));
        }
        for policy in case.reasons.iter().flatten().filter(|policy| !ids.contains(*policy)) {
            read.problem(policy, format!("no admin policy has the `@id` `{policy}`"));
        }
    }
    read.done()?;
    Ok(written.into_iter().map(|written| AdminCase { file: file.to_owned(), written }).collect())
}

impl Written {
    /// What is missing from the question, or too much.
    fn problem(&self) -> Option<&'static str> {
        let named = (self.role.is_some(), self.hold.is_some(), self.revision.is_some());
        match (About::of(self.action), named) {
            (About::Role, (true, false, false))
            | (About::Hold, (false, true, false))
            | (About::Revision, (false, false, true))
            | (About::Tenant, (false, false, false)) => None,
            (About::Role, _) => Some("the action is about a role: name it as `role`, and nothing else"),
            (About::Hold, _) => Some("the action is about a hold: describe it as `hold`, and nothing else"),
            (About::Revision, _) => Some("the action is about a revision: describe it as `revision`, and nothing else"),
            (About::Tenant, _) => Some("the action is about the tenant: leave `role`, `hold` and `revision` out"),
        }
    }
}

impl AdminCase {
    /// Runs the case.
    pub(super) fn run(&self, policies: &AdminPolicies, catalogue: &[Role]) -> GoldenResult {
        let Written { admin, action, role, hold, revision, gives, decision, reasons, description } = &self.written;
        let admin = Admin::of("a-token", admin.person.as_deref(), (admin.write, &admin.admin_roles), catalogue);
        let unknown = Role::unknown(role.as_deref().unwrap_or_default());
        let matter = match (role, hold, revision) {
            (Some(id), ..) => Matter::Role(catalogue.iter().find(|role| role.id == *id).unwrap_or(&unknown)),
            (_, Some(hold), _) => Matter::Hold { id: "a-hold", scope: hold.scope, direction: hold.direction, privileged: hold.privileged },
            (.., Some(revision)) => Matter::Revision { hash: "a-revision", privileged: revision.privileged },
            (None, None, None) => Matter::Tenant("a-tenant"),
        };
        let answer = policies.answer(&admin, *action, matter, *gives);
        let said = |decision: &str, reasons: Option<&BTreeSet<String>>| -> Value {
            match reasons {
                Some(reasons) => json!({"action": action, "decision": decision, "reasons": reasons}),
                None => json!({"action": action, "decision": decision}),
            }
        };
        let same = decision.word() == answer.decision;
        let expected = said(decision.word(), reasons.as_ref());
        let actual = said(answer.decision, Some(&answer.reasons).filter(|_| reasons.is_some() || !same));
        GoldenResult { file: self.file.clone(), name: description.clone(), diff: golden::difference(&expected, &actual) }
    }
}
