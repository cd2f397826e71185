//! What admin policies say that nobody can have meant: everybody who decides everything, what nobody decides, people who can't be met.

use cedar_policy::{Effect, PrincipalConstraint, ResourceConstraint};

use super::concerns;
use crate::diagnostic::Diagnostic;
use crate::model::{AdminAction, collision_key};
use crate::policies::lint::{allowed, finding};
use crate::policies::source::{self, Placed};
use crate::policies::{Role, rule};

/// The findings, in the order of their places; nothing of a tenant without admin policies of its own.
///
/// # Errors
/// Every problem with file, line and column.
pub fn lint_admin(sources: &[(String, String)], roles: &[Role]) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let placed = source::read_admin(sources, Some(roles))?;
    let mut found = Vec::new();
    let mut say = |placed: &Placed<'_>, problem: Diagnostic, code: &str| {
        if !allowed(placed).any(|allowed| allowed == code) {
            found.push(finding(problem, code));
        }
    };
    for placed in &placed {
        if decides_everything(placed) {
            let message = "whoever has a token with the right to write, or with any admin role, decides by it";
            say(placed, placed.problem(message), "admin_for_everybody");
        }
        for literal in placed.policy.entity_literals().iter().filter(|literal| literal.type_name().basename() == "Admin") {
            let id = literal.id().unescaped();
            let folded = collision_key(id);
            if folded != *id {
                let written = format!("Admin::\"{}\"", id.escape_debug());
                let problem = placed.problem_at(&written, format!("nobody is called `{id}` here: people are named as `{folded}`"));
                say(placed, problem, "admin_never_met");
            }
        }
    }
    for action in AdminAction::ALL {
        if !placed.iter().any(|placed| placed.policy.effect() == Effect::Permit && concerns(&placed.policy, *action)) {
            let message = format!("no admin policy allows `{action}`: the operators of the platform alone can");
            found.push(finding(Diagnostic::of_file("admin", message), "action_without_permit"));
        }
    }
    found.sort_by(|a, b| (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message)));
    Ok(found)
}

/// Whether a permit asks nothing of whoever decides.
fn decides_everything(placed: &Placed<'_>) -> bool {
    let policy = &placed.policy;
    let anybody = matches!(policy.principal_constraint(), PrincipalConstraint::Any | PrincipalConstraint::Is(_));
    let anything = matches!(policy.resource_constraint(), ResourceConstraint::Any | ResourceConstraint::Is(_));
    let unconditional = policy.to_json().is_ok_and(|json| rule::bodies(&json).next().is_none());
    policy.effect() == Effect::Permit && anybody && anything && unconditional
}
