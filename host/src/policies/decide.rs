//! Decisions: the sliced one that counts, and the one that asks everything and holds it to account.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context, Decision as Word, Entities, EntityUid, Request, Response};

use super::rule::{Rule, Who};
use super::{Decision, Policies, PolicyFailure, Principal, RoleDecision, entity};
use crate::model::{GroupMembership, Reason};

/// What one policy says of one person and role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Satisfied,
    Unsatisfied,
    Failed(String),
}

/// One person who is asked about, with what was answered already.
pub(super) struct Asking<'a> {
    policies: &'a Policies,
    user: EntityUid,
    /// The person and the roles concerned.
    known: Entities,
    /// Not nominated, nominated.
    contexts: [Context; 2],
    /// Answers by policy, role where the policy reads it, nomination where the policy reads it.
    answers: BTreeMap<(usize, Option<usize>, Option<bool>), Verdict>,
}

impl<'a> Asking<'a> {
    pub(super) fn about(
        policies: &'a Policies,
        principal: &Principal<'_>,
        roles: impl Iterator<Item = usize>,
        as_of: jiff::Timestamp,
    ) -> Result<Self, String> {
        let roles = roles.map(|role| policies.index.entities[role].clone());
        let entities = roles.chain([entity::person(principal)?]);
        Ok(Self {
            policies,
            user: entity::uid("User", principal.user),
            known: Entities::from_entities(entities, None).map_err(|error| error.to_string())?,
            contexts: [entity::context(as_of, false)?, entity::context(as_of, true)?],
            answers: BTreeMap::new(),
        })
    }

    fn request(&self, role: usize, proposed: bool) -> Result<Request, String> {
        let resource = entity::uid("Role", &self.policies.roles[role].id);
        let context = self.contexts[usize::from(proposed)].clone();
        Request::new(self.user.clone(), entity::hold(), resource, context, None).map_err(|error| error.to_string())
    }

    /// What a policy, whose scope has the role in it, says.
    pub(super) fn verdict(&mut self, rule: usize, role: usize, proposed: bool) -> Verdict {
        let asked = &self.policies.rules[rule];
        let key = (rule, asked.reads_role.then_some(role), asked.reads_proposed.then_some(proposed));
        if let Some(verdict) = self.answers.get(&key) {
            return verdict.clone();
        }
        let verdict = self.ask(&asked.alone, asked.permits, role, proposed);
        self.answers.insert(key, verdict.clone());
        verdict
    }

    /// What a set of one policy says.
    pub(super) fn ask(&self, alone: &cedar_policy::PolicySet, permits: bool, role: usize, proposed: bool) -> Verdict {
        let request = match self.request(role, proposed) {
            Ok(request) => request,
            Err(message) => return Verdict::Failed(message),
        };
        let response = self.policies.authorizer.is_authorized(&request, alone, &self.known);
        if let Some(error) = response.diagnostics().errors().next() {
            return Verdict::Failed(error.to_string());
        }
        let satisfied = if permits { response.decision() == Word::Allow } else { response.diagnostics().reason().next().is_some() };
        if satisfied { Verdict::Satisfied } else { Verdict::Unsatisfied }
    }

    fn everything(&self, role: usize, proposed: bool) -> Result<Response, String> {
        let request = self.request(role, proposed)?;
        Ok(self.policies.authorizer.is_authorized(&request, &self.policies.everything, &self.known))
    }
}

impl Who {
    pub(super) fn matches(&self, principal: &Principal<'_>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Group(handle) => principal.groups.iter().any(|group| &group.handle == handle),
            Self::Person(id) => principal.user == id,
            Self::Nobody => false,
        }
    }
}

impl Policies {
    /// Decides all roles, sliced. Proposals of roles that the catalogue doesn't have are ignored.
    #[must_use]
    pub fn decide(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>, as_of: jiff::Timestamp) -> Decision {
        let candidates = self.index.candidates(principal, proposed);
        let next_change = self.next_change(principal, as_of);
        let mut asking = match Asking::about(self, principal, candidates.keys().copied(), as_of) {
            Ok(asking) => asking,
            Err(message) => return self.undecided(candidates.into_keys(), &message, next_change),
        };
        let mut decision = Decision { next_change, ..Decision::default() };
        for (role, permits) in candidates {
            let nominated = proposed.contains(&self.roles[role].id);
            let mut found = Found::default();
            for rule in permits {
                found.add(rule, &self.rules[rule], asking.verdict(rule, role, nominated));
            }
            if !found.could_allow() {
                continue;
            }
            let forbids = self.index.forbids(role).iter().filter(|&&rule| self.rules[rule].who.matches(principal));
            for &rule in forbids {
                found.add(rule, &self.rules[rule], asking.verdict(rule, role, nominated));
            }
            self.settle(role, found, principal, nominated, &mut decision);
        }
        decision.sorted()
    }

    /// Decides all roles by asking every policy about each: for tests and benchmarks that hold slicing to account.
    #[must_use]
    pub fn decide_unsliced(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>, as_of: jiff::Timestamp) -> Decision {
        let next_change = self.next_change(principal, as_of);
        let asking = match Asking::about(self, principal, 0..self.roles.len(), as_of) {
            Ok(asking) => asking,
            Err(message) => return self.undecided(0..self.roles.len(), &message, next_change),
        };
        let mut decision = Decision { next_change, ..Decision::default() };
        let numbers: BTreeMap<&str, usize> = self.rules.iter().enumerate().map(|(number, rule)| (rule.id.as_str(), number)).collect();
        for role in 0..self.roles.len() {
            let nominated = proposed.contains(&self.roles[role].id);
            let response = match asking.everything(role, nominated) {
                Ok(response) => response,
                Err(message) => {
                    decision.errors.extend(self.undecided([role], &message, None).errors);
                    continue;
                }
            };
            let mut found = Found::default();
            let diagnostics = response.diagnostics();
            let satisfied = diagnostics.reason().map(|id| (id, Verdict::Satisfied));
            let failed = diagnostics.errors().map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(failure) => {
                    (failure.policy_id(), Verdict::Failed(error.to_string()))
                }
            });
            for (id, verdict) in satisfied.chain(failed) {
                if let Some(&rule) = numbers.get(AsRef::<str>::as_ref(id)) {
                    found.add(rule, &self.rules[rule], verdict);
                }
            }
            self.settle(role, found, principal, nominated, &mut decision);
        }
        decision.sorted()
    }

    /// From what the policies said to a grant, an error or nothing.
    fn settle(&self, role: usize, found: Found, principal: &Principal<'_>, nominated: bool, decision: &mut Decision) {
        let id = &self.roles[role].id;
        match found.outcome() {
            Outcome::Deny | Outcome::NoPermit => {}
            Outcome::Undecided => {
                let failed = found.failures.into_iter().map(|(policy, message)| PolicyFailure { role: id.clone(), policy, message });
                decision.errors.extend(failed);
            }
            Outcome::Allow => {
                let reasons = self.reasons(&found.permits, principal, nominated);
                decision.grants.push(RoleDecision { role: id.clone(), reasons });
            }
        }
    }

    /// The reasons that satisfied policies are, sorted by policy.
    pub(super) fn reasons(&self, satisfied: &[usize], principal: &Principal<'_>, nominated: bool) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = satisfied.iter().map(|&rule| reason(&self.rules[rule], principal.groups, nominated)).collect();
        reasons.sort();
        reasons
    }

    /// The earliest date beyond `as_of` in a policy whose scope has the person in it.
    fn next_change(&self, principal: &Principal<'_>, as_of: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let rules = self.rules.iter().enumerate().filter(|(number, rule)| self.index.concerns_any(*number) && rule.who.matches(principal));
        rules.filter_map(|(_, rule)| rule.turns.iter().find(|turn| **turn > as_of)).min().copied()
    }

    /// No verdict on any of the roles.
    fn undecided(&self, roles: impl IntoIterator<Item = usize>, message: &str, next_change: Option<jiff::Timestamp>) -> Decision {
        let failure = |role: usize| PolicyFailure { role: self.roles[role].id.clone(), policy: String::new(), message: message.to_owned() };
        let errors = roles.into_iter().map(failure).collect();
        Decision { errors, next_change, ..Decision::default() }.sorted()
    }
}

impl Decision {
    /// Roles are asked about in the catalogue's order, which says nothing.
    fn sorted(mut self) -> Self {
        self.grants.sort();
        self.errors.sort();
        self
    }
}

fn reason(rule: &Rule, groups: &[GroupMembership], nominated: bool) -> Reason {
    let chain = |handle: &String| groups.iter().find(|group| &group.handle == handle).map(|group| group.chain.clone());
    Reason {
        policy: rule.id.clone(),
        reason: rule.reason.clone(),
        groups: rule.handles.iter().filter_map(chain).collect(),
        proposed: nominated && rule.reads_proposed,
    }
}

/// What the policies about one person and role said.
#[derive(Default)]
pub(super) struct Found {
    pub permits: Vec<usize>,
    pub forbids: Vec<usize>,
    /// (policy, message)
    pub failures: Vec<(String, String)>,
    permit_failed: bool,
}

/// How that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Allow,
    Deny,
    NoPermit,
    Undecided,
}

impl Found {
    pub(super) fn add(&mut self, number: usize, rule: &Rule, verdict: Verdict) {
        match verdict {
            Verdict::Unsatisfied => {}
            Verdict::Satisfied if rule.permits => self.permits.push(number),
            Verdict::Satisfied => self.forbids.push(number),
            Verdict::Failed(message) => {
                self.permit_failed |= rule.permits;
                self.failures.push((rule.id.clone(), message));
            }
        }
    }

    fn could_allow(&self) -> bool {
        !self.permits.is_empty() || self.permit_failed
    }

    /// A failure leaves the role undecided wherever the failed policy could have turned the answer to yes, or from it: never an
    /// Allow. Where the answer is no without it, doubt would only keep alive what has to fall.
    pub(super) fn outcome(&self) -> Outcome {
        match () {
            () if !self.forbids.is_empty() => Outcome::Deny,
            // On a deny Cedar names no satisfied permit; those of an Allow that a failure undoes are named.
            () if !self.could_allow() => Outcome::NoPermit,
            () if !self.failures.is_empty() => Outcome::Undecided,
            () => Outcome::Allow,
        }
    }
}
