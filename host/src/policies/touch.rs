//! Whom a change of policies can touch: everybody else is decided under the second set exactly as under the first, reasons and next
//! change included.
//!
//! Only what differs is asked: a policy that the two sets do not share, and whose scope has the person in it, touches them
//! unless it is not satisfied. So does whatever can't be said for sure. A property test holds that who is not touched is decided alike.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::decide::{Asking, Verdict};
use super::rule::{Rule, Who};
use super::{Policies, Principal, Role};

/// What differs between two sets of policies, by whom it concerns.
pub struct Touch<'a> {
    sides: [Side<'a>; 2],
}

/// The policies of one set that the other has not.
struct Side<'a> {
    policies: &'a Policies,
    of_anyone: Vec<usize>,
    by_group: HashMap<&'a str, Vec<usize>>,
    by_person: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Touch<'a> {
    /// What differs between them; `None` where roles that both have are not the same, which may touch anybody.
    #[must_use]
    pub fn between(before: &'a Policies, after: &'a Policies) -> Option<Self> {
        let roles: BTreeMap<&str, &Role> = before.roles.iter().map(|role| (role.id.as_str(), role)).collect();
        let alike = |role: &Role| roles.get(role.id.as_str()).is_none_or(|known| decides_alike(known, role));
        if !after.roles.iter().all(alike) {
            return None;
        }
        Some(Self { sides: [Side::of(before, after), Side::of(after, before)] })
    }

    /// Whether anybody has to be looked at for the groups that they are in.
    #[must_use]
    pub fn reads_groups(&self) -> bool {
        let in_condition = |side: &Side<'_>| {
            let people = side.by_person.values().flatten();
            side.of_anyone.iter().chain(people).any(|&rule| !side.policies.rules[rule].handles.is_empty())
        };
        self.sides.iter().any(|side| !side.by_group.is_empty() || in_condition(side))
    }

    /// Whether somebody whom no plugin nominates for anything may be decided otherwise by the one than by the other.
    #[must_use]
    pub fn touches(&self, principal: &Principal<'_>, as_of: jiff::Timestamp) -> bool {
        self.sides.iter().any(|side| side.touches(principal, as_of))
    }
}

/// Whether policies can't tell the two apart, and neither can what comes of them.
fn decides_alike(one: &Role, other: &Role) -> bool {
    let seen = |role: &Role| Role { description: String::new(), owner: None, ..role.clone() };
    seen(one) == seen(other)
}

impl<'a> Side<'a> {
    fn of(policies: &'a Policies, other: &'a Policies) -> Self {
        let shared: BTreeMap<&str, (&Rule, BTreeSet<&str>)> =
            other.rules.iter().enumerate().map(|(number, rule)| (rule.id.as_str(), (rule, other.concerned(number)))).collect();
        let mut side = Self { policies, of_anyone: Vec::new(), by_group: HashMap::new(), by_person: HashMap::new() };
        for (number, rule) in policies.rules.iter().enumerate() {
            let concerned = policies.concerned(number);
            let same = shared.get(rule.id.as_str()).is_some_and(|(other, roles)| other.source() == rule.source() && *roles == concerned);
            if same || concerned.is_empty() {
                continue;
            }
            match &rule.who {
                Who::Anyone => side.of_anyone.push(number),
                Who::Group(handle) => side.by_group.entry(handle).or_default().push(number),
                Who::Person(id) => side.by_person.entry(id).or_default().push(number),
                Who::Nobody => {}
            }
        }
        side
    }

    fn touches(&self, principal: &Principal<'_>, as_of: jiff::Timestamp) -> bool {
        let by_group = principal.groups.iter().filter_map(|group| self.by_group.get(group.handle.as_str())).flatten();
        let by_person = self.by_person.get(principal.user).into_iter().flatten();
        let mut reached = self.of_anyone.iter().chain(by_group).chain(by_person).peekable();
        if reached.peek().is_none() {
            return false;
        }
        let mut asking = Asking::remembering(self.policies, principal, as_of);
        reached.any(|&rule| {
            // A date in it is one at which the person has to be decided again.
            let Rule { turns, .. } = &self.policies.rules[rule];
            !turns.is_empty() || self.says_anything(rule, &mut asking)
        })
    }

    fn says_anything(&self, rule: usize, asking: &mut Asking<'_>) -> bool {
        let Some(rest) = self.policies.index.rest(rule, false) else { return false };
        // What it says of one role it may not say of another: to ask about each would be to decide.
        rest.reads_role
            || self.policies.index.concerned(rule).first().is_some_and(|&role| asking.verdict(rule, role, false) != Verdict::Unsatisfied)
    }
}

impl Policies {
    /// The roles that a rule can concern.
    fn concerned(&self, rule: usize) -> BTreeSet<&str> {
        self.index.concerned(rule).iter().map(|&role| self.roles[role].id.as_str()).collect()
    }
}
