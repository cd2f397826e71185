//! Which policies give a role and through which groups, and which groups policies name: what people are shown of a catalogue. Knows the
//! compiled policies and nobody in particular.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Rule, Who};
use super::{Policies, Role};

/// A policy about a role, as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its `@id`.
    pub policy: String,
    /// Its `@reason`.
    pub reason: Option<String>,
    /// Its `@approval`: what a person is asked first.
    pub approval: Option<String>,
    /// Whom its scope names.
    pub whom: Whom,
    /// The handles that it names, in scope or condition.
    pub groups: BTreeSet<String>,
    /// Whether it asks what a plugin nominates.
    pub nominated: bool,
}

/// Whom the scope of a policy names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Everybody.
    Anyone,
    /// The members of a group.
    Group(String),
    /// One person, by SCIM id.
    Person(String),
    /// Nobody at all.
    Nobody,
}

/// The policies about one role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolePolicies {
    /// Those that can give it.
    pub permits: Vec<About>,
    /// Those that can keep it away.
    pub forbids: Vec<About>,
}

impl Policies {
    /// A role of the catalogue.
    #[must_use]
    pub fn role(&self, id: &str) -> Option<&Role> {
        self.index.role(id).map(|number| &self.roles[number])
    }

    /// The policies about a role, in their order; `None` for a role that the catalogue does not have.
    #[must_use]
    pub fn about_role(&self, id: &str) -> Option<RolePolicies> {
        let role = self.index.role(id)?;
        let mut about = RolePolicies::default();
        for (number, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.who != Who::Nobody) {
            if rule.permits && self.index.can_give(number).binary_search(&role).is_ok() {
                about.permits.push(shown(rule));
            } else if !rule.permits && self.index.concerns(number, role) {
                about.forbids.push(shown(rule));
            }
        }
        Some(about)
    }

    /// The handles that policies name, each with those policies.
    #[must_use]
    pub fn handles(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut handles = BTreeMap::<&str, Vec<&str>>::new();
        for rule in &self.rules {
            for handle in &rule.handles {
                handles.entry(handle).or_default().push(&rule.id);
            }
        }
        handles
    }

    /// The roles that no permit can give to anybody, in the catalogue's order.
    #[must_use]
    pub fn roles_without_permit(&self) -> Vec<&Role> {
        let permits = self.rules.iter().enumerate().filter(|(_, rule)| rule.permits && rule.who != Who::Nobody);
        let given: BTreeSet<usize> = permits.flat_map(|(number, _)| self.index.can_give(number)).copied().collect();
        self.roles.iter().enumerate().filter(|(number, _)| !given.contains(number)).map(|(_, role)| role).collect()
    }
}

fn shown(rule: &Rule) -> About {
    let whom = match &rule.who {
        Who::Anyone => Whom::Anyone,
        Who::Group(handle) => Whom::Group(handle.clone()),
        Who::Person(id) => Whom::Person(id.clone()),
        Who::Nobody => Whom::Nobody,
    };
    About {
        policy: rule.id.clone(),
        reason: rule.reason.clone(),
        approval: rule.approval.clone(),
        whom,
        groups: rule.handles.clone(),
        nominated: rule.reads_proposed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICIES: &str = r#"
        @id("staff") @reason("the company") permit (principal, action == Rolecall::Action::"hold", resource == Rolecall::Role::"reader");
        @id("engineers") @reason("the code")
        permit (principal in Rolecall::Group::"engineering", action == Rolecall::Action::"hold", resource == Rolecall::Role::"developer");
        @id("not-outside") @reason("ours")
        forbid (principal in Rolecall::Group::"outside", action == Rolecall::Action::"hold", resource == Rolecall::Role::"developer");
    "#;

    fn policies() -> Policies {
        let roles = ["reader", "developer", "admin"].map(|id| Role { id: id.into(), ..Role::default() });
        Policies::compile(&[("policies/all.cedar".to_owned(), POLICIES.to_owned())], &roles).expect("the test's policies are sound")
    }

    #[test]
    fn policies_are_told_by_role() {
        let policies = policies();
        let about = policies.about_role("developer").unwrap();
        let ids = |about: &[About]| about.iter().map(|about| about.policy.clone()).collect::<Vec<_>>();
        assert_eq!((ids(&about.permits), ids(&about.forbids)), (vec!["engineers".to_owned()], vec!["not-outside".to_owned()]));
        assert_eq!(about.permits[0].whom, Whom::Group("engineering".into()));
        assert_eq!(policies.about_role("reader").unwrap().permits[0].whom, Whom::Anyone);
        assert_eq!(policies.about_role("admin"), Some(RolePolicies::default()));
        assert_eq!(policies.about_role("owner"), None);
    }

    #[test]
    fn handles_and_roles_that_stand_for_nothing_are_told() {
        let policies = policies();
        let handles: Vec<(&str, Vec<&str>)> = policies.handles().into_iter().collect();
        assert_eq!(handles, [("engineering", vec!["engineers"]), ("outside", vec!["not-outside"])]);
        assert_eq!(policies.roles_without_permit().iter().map(|role| role.id.as_str()).collect::<Vec<_>>(), ["admin"]);
    }
}
