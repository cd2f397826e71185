//! A tenant folder's policies without its plugins: the settings, the policies and their tests, checked, formatted, linted, tested and asked
//! in a moment, on an author's machine as on a server.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::admin_test::AdminCase;
use super::folder::Kind;
use super::golden::GoldenResult;
use super::policy_test::{Person, PolicyCase};
use super::settings::Settings;
use super::{Check, Files, folder};
use crate::diagnostic::Diagnostic;
use crate::policies::admin::{self, AdminPolicies};
use crate::policies::{self, Explanation, Facts, Policies, PolicyDifference};

/// What a folder says about roles.
pub struct Rulebook {
    settings: Settings,
    sources: Vec<(String, String)>,
    policies: Policies,
    cases: Vec<PolicyCase>,
    admin_sources: Vec<(String, String)>,
    admin: Arc<AdminPolicies>,
    admin_cases: Vec<AdminCase>,
}

/// A policy file that is laid out differently than `rolecall policy fmt` would.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Formatted {
    /// Its path.
    pub path: String,
    /// Its text in the one layout.
    pub text: String,
    /// A unified diff from what it is to that.
    pub diff: String,
}

impl Rulebook {
    /// Reads settings, policies and policy tests, and leaves the rest alone.
    ///
    /// # Errors
    /// Every problem that was found.
    pub fn read(files: &Files) -> Result<Self, Vec<Diagnostic>> {
        let concerned: Files =
            files.iter().filter(|(path, _)| is_rule(path)).map(|(path, contents)| (path.clone(), contents.clone())).collect();
        let mut check = Check { files: &concerned, problems: folder::check(&concerned) };
        let settings = check.settings();
        let sources = check.sources();
        let policies = check.policies(&sources, settings.as_ref());
        let cases = check.policy_tests(&sources, settings.as_ref());
        let admin_sources = check.admin_sources();
        let admin = check.admin(&admin_sources, &sources, settings.as_ref());
        let admin_cases = check.admin_tests(&admin_sources, settings.as_ref());
        match (settings, policies, admin) {
            (Some(settings), Some(policies), Some(admin)) if check.problems.is_empty() => {
                Ok(Self { settings, sources, policies, cases, admin_sources, admin, admin_cases })
            }
            _ => Err(check.report()),
        }
    }

    /// Runs the policy tests.
    #[must_use]
    pub fn test(&self) -> Vec<GoldenResult> {
        let admin = self.admin_cases.iter().map(|case| case.run(&self.admin, &self.settings.roles));
        let approved = self.settings.approved();
        self.cases.iter().map(|case| case.run(&self.policies, &approved)).chain(admin).collect()
    }

    /// The policies.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// What the policies say that nobody can have meant. Without `facts.handles` those that the folder declares are all there are,
    /// if it declares any.
    ///
    /// # Errors
    /// A policy that can't be taken apart.
    pub fn lint(&self, facts: Facts) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let declared: BTreeSet<String> = self.settings.declared_handles.values().map(|handle| handle.0.clone()).collect();
        let handles = match facts.handles {
            Some(known) => Some(&known | &declared),
            None => (!declared.is_empty()).then_some(declared),
        };
        let mut found = admin::lint_admin(&self.admin_sources, &self.settings.roles)?;
        found.extend(policies::lint_policies(&self.sources, &self.settings.roles, &Facts { handles, ..facts })?);
        Ok(found)
    }

    /// Why a person has a role or has not; `None` for a role that the catalogue does not have.
    #[must_use]
    pub fn explain(&self, person: &Person, role: &str) -> Option<Explanation> {
        person.explain(&self.policies, role)
    }
}

/// Whether a file has a say in a rulebook.
#[must_use]
pub fn is_rule(path: &str) -> bool {
    matches!(Kind::of(path), Some(Kind::Settings | Kind::Policy | Kind::PolicyTest | Kind::Admin | Kind::AdminTest))
}

/// The policy files that are laid out differently than they would be.
///
/// # Errors
/// What keeps files from being parsed.
pub fn format(files: &Files) -> Result<Vec<Formatted>, Vec<Diagnostic>> {
    let mut check = Check { files, problems: Vec::new() };
    let (mut problems, mut found) = (Vec::new(), Vec::new());
    for (path, text) in check.sources().into_iter().chain(check.admin_sources()) {
        match policies::format(&path, &text) {
            Ok(after) => found.extend(laid_out(&path, &text, after)),
            Err(wrong) => problems.extend(wrong),
        }
    }
    check.problems.extend(problems);
    if check.problems.is_empty() { Ok(found) } else { Err(check.report()) }
}

/// A file that is laid out differently.
#[must_use]
pub fn laid_out(path: &str, before: &str, after: String) -> Option<Formatted> {
    let diff = similar::TextDiff::from_lines(before, &after).unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string();
    (before != after).then(|| Formatted { path: path.to_owned(), text: after, diff })
}

/// What differs between the policies of two folders, of which nothing is [`incomparable`].
#[must_use]
pub fn policy_diff(a: &Files, b: &Files) -> PolicyDifference {
    policies::diff(&all_sources(a).0, &all_sources(b).0)
}

/// What keeps a folder's policies from being compared: files that can't be parsed, policies without an `@id`.
#[must_use]
pub fn incomparable(files: &Files) -> Vec<Diagnostic> {
    let (sources, mut problems) = all_sources(files);
    problems.extend(policies::incomparable(&sources));
    problems
}

/// The policies of both kinds, and what keeps files from being read.
fn all_sources(files: &Files) -> (Vec<(String, String)>, Vec<Diagnostic>) {
    let mut check = Check { files, problems: Vec::new() };
    let mut sources = check.sources();
    sources.extend(check.admin_sources());
    (sources, check.problems)
}

#[cfg(test)]
mod tests;
