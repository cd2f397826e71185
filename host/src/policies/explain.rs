//! Why, and why not: the policies that decided, and the permits that came nearest with the first thing that they missed.

use super::decide::{Asking, Found, Outcome, Verdict};
use super::rule::{Conjunct, Rest, Rule, Who};
use super::{Explanation, NearMiss, Policies, Principal};

/// How many near misses are told: beyond that a list explains nothing.
const NEAREST_LIMIT: usize = 20;

impl Policies {
    /// Why or why not; `None` for a role that the catalogue does not have.
    #[must_use]
    pub fn explain(&self, principal: &Principal<'_>, role: &str, proposed: bool, as_of: jiff::Timestamp) -> Option<Explanation> {
        let number = self.index.role(role)?;
        let mut explanation = Explanation {
            role: role.to_owned(),
            decision: String::new(),
            because: None,
            reasons: Vec::new(),
            forbids: Vec::new(),
            nearest: Vec::new(),
        };
        let mut asking = Asking::about(self, principal, as_of);
        let mut found = Found::default();
        let mut near = Vec::new();
        for (at, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.what.matches(&self.roles[number])) {
            if !rule.who.matches(principal) {
                near.extend(outside(rule).map(|unmet| (false, rule, unmet)));
                continue;
            }
            let (verdict, conjuncts) = asking.whole(rule, number, proposed).unwrap_or_else(|error| (Verdict::Failed(error), Vec::new()));
            match &verdict {
                Verdict::Failed(message) => explanation.nearest.push(near_miss(rule, format!("the policy failed: {message}"))),
                Verdict::Unsatisfied if rule.permits => near.push((true, rule, asking.first_unmet(&conjuncts, number, proposed))),
                Verdict::Unsatisfied | Verdict::Satisfied => {}
            }
            found.add(at, rule, verdict);
        }
        let outcome = found.outcome();
        explanation.decision = outcome.word().into();
        explanation.forbids = self.reasons(&found.forbids, principal, proposed);
        if outcome == Outcome::Allow {
            explanation.reasons = self.reasons(&found.permits, principal, proposed);
            return Some(explanation);
        }
        // A permit that the person is in the scope of is nearer than one about other people.
        near.sort_by(|(in_scope, rule, _), (other_in_scope, other, _)| other_in_scope.cmp(in_scope).then_with(|| rule.id.cmp(&other.id)));
        explanation.nearest.extend(near.into_iter().map(|(_, rule, unmet)| near_miss(rule, unmet)));
        explanation.nearest.truncate(NEAREST_LIMIT);
        Some(explanation)
    }
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::NoPermit => "no_permit",
            Self::Undecided => "error",
        }
    }
}

impl Asking<'_> {
    /// What the whole of a rule's condition says, and its parts.
    fn whole(&mut self, rule: &Rule, role: usize, proposed: bool) -> Result<(Verdict, Vec<Conjunct>), String> {
        let conjuncts = rule.conjuncts()?;
        let verdict = self.condition(&Rest::of(&rule.id, &conjuncts)?, role, proposed);
        Ok((verdict, conjuncts))
    }

    /// The first part of a permit's condition that does not hold.
    fn first_unmet(&mut self, conjuncts: &[Conjunct], role: usize, proposed: bool) -> String {
        let unmet = conjuncts.iter().find(|part| !self.part(part, role, proposed));
        match unmet {
            Some(part) if part.is_proposed() => "the tenant's plugin does not nominate the role for this person".into(),
            Some(part) => format!("the condition `{}` is false", part.text()),
            None => "its condition is false".into(),
        }
    }
}

/// Why a permit's scope has not the person in it; `None` for a forbid, or where nobody can be in it.
fn outside(rule: &Rule) -> Option<String> {
    match &rule.who {
        _ if !rule.permits => None,
        Who::Group(handle) => Some(format!("not in group \"{handle}\"")),
        Who::Person(_) => Some("it names another person".into()),
        Who::Anyone | Who::Nobody => None,
    }
}

fn near_miss(rule: &Rule, unmet: String) -> NearMiss {
    NearMiss { policy: rule.id.clone(), reason: rule.reason.clone(), unmet }
}
