//! Roles that people hold by an exception: whether a `forbid` keeps them from somebody all the same.

use std::collections::BTreeSet;

use super::decide::{Asking, Verdict};
use super::{Policies, Principal};

impl Policies {
    /// Those of `roles` that a satisfied `forbid` keeps from the person, or one that fails: nothing is granted on a doubt. A role that
    /// the catalogue does not have is kept from everybody.
    #[must_use]
    pub fn forbidden(
        &self,
        principal: &Principal<'_>,
        roles: &[String],
        proposed: &BTreeSet<String>,
        as_of: jiff::Timestamp,
    ) -> BTreeSet<String> {
        if roles.is_empty() {
            return BTreeSet::new();
        }
        let mut asking = Asking::about(self, principal, as_of);
        let mut is_forbidden = |id: &String| {
            let Some(role) = self.index.role(id) else { return true };
            let mut forbids = self.index.forbids(role).iter().filter(|&&rule| self.rules[rule].who.matches(principal));
            forbids.any(|&rule| asking.verdict(rule, role, proposed.contains(id)) != Verdict::Unsatisfied)
        };
        roles.iter().filter(|id| is_forbidden(id)).cloned().collect()
    }
}
