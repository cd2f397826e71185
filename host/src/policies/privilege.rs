//! What privileged roles hang on, so that two revisions can be told apart by it.

use super::{Policies, Role};

/// What decides who holds privileged roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privilege {
    /// The privileged roles, and each policy whose scope one of them is in, as text.
    pub rules: Vec<String>,
    /// Whether a plugin's nomination counts for them.
    pub by_proposal: bool,
}

impl Policies {
    /// What decides who holds privileged roles: the catalogue's entries and the policies about them, `permit` and `forbid`.
    #[must_use]
    pub fn privilege(&self) -> Privilege {
        let privileged: Vec<&Role> = self.roles.iter().filter(|role| role.privileged).collect();
        let about = || self.rules.iter().filter(|rule| privileged.iter().any(|role| rule.what.matches(role)));
        let described = privileged.iter().map(|role| Role { description: String::new(), ..(*role).clone() });
        let roles = described.map(|role| serde_json::to_string(&role).unwrap_or_default());
        let mut rules: Vec<String> = roles.chain(about().map(|rule| rule.source().to_owned())).collect();
        rules.sort();
        Privilege { rules, by_proposal: about().any(|rule| rule.reads_proposed) }
    }
}
