//! Decisions: the sliced one that counts, and the one that asks everything and holds it to account.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{Context, Decision as Word, Entities, Entity, EntityUid, PolicySet, Request};

use super::memo::{Decided, Memo};
use super::rule::{Conjunct, Rest, Rule, Who};
use super::{Decision, Policies, PolicyFailure, Principal, Role, RoleDecision, entity};
use crate::model::{GroupMembership, Reason};

/// What one policy says of one person and role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Satisfied,
    Unsatisfied,
    Failed(String),
}

/// One person who is asked about. What a question needs is made when the first one needs it: most people are decided by few.
pub(super) struct Asking<'a> {
    policies: &'a Policies,
    principal: &'a Principal<'a>,
    as_of: jiff::Timestamp,
    /// Where answers of single policies are remembered.
    memo: Option<&'a Memo>,
    user: EntityUid,
    /// The person alone.
    person: OnceCell<Result<Entities, String>>,
    /// The person and one role, for conditions that read the role.
    with_role: BTreeMap<usize, Result<Entities, String>>,
    /// Not nominated, nominated.
    contexts: [OnceCell<Result<Context, String>>; 2],
    /// Answers by policy, role where the policy reads it, nomination where the policy reads it.
    answers: BTreeMap<(usize, Option<usize>, Option<bool>), Verdict>,
}

impl<'a> Asking<'a> {
    pub(super) fn about(policies: &'a Policies, principal: &'a Principal<'a>, as_of: jiff::Timestamp) -> Self {
        Self {
            policies,
            principal,
            as_of,
            memo: None,
            user: entity::uid("User", principal.user),
            person: OnceCell::new(),
            with_role: BTreeMap::new(),
            contexts: [OnceCell::new(), OnceCell::new()],
            answers: BTreeMap::new(),
        }
    }

    /// Asks with what is remembered of people who are alike.
    pub(super) fn remembering(policies: &'a Policies, principal: &'a Principal<'a>, as_of: jiff::Timestamp) -> Self {
        Self { memo: Some(&policies.memo), ..Self::about(policies, principal, as_of) }
    }

    pub(super) fn principal(&self) -> &'a Principal<'a> {
        self.principal
    }

    pub(super) fn as_of(&self) -> jiff::Timestamp {
        self.as_of
    }

    pub(super) fn role(&self, role: usize) -> &'a Role {
        &self.policies.roles[role]
    }

    pub(super) fn condition_of(&self, rule: usize) -> &'a Rest {
        self.policies.index.condition(rule)
    }

    /// What a policy says whose scope matches.
    pub(super) fn verdict(&mut self, rule: usize, role: usize, nominated: bool) -> Verdict {
        if !self.policies.index.concerns(rule, role) {
            return Verdict::Unsatisfied;
        }
        let Some(rest) = self.policies.index.rest(rule, nominated) else { return Verdict::Unsatisfied };
        let key = (rule, rest.reads_role.then_some(role), rest.reads_proposed.then_some(nominated));
        if let Some(verdict) = self.answers.get(&key) {
            return verdict.clone();
        }
        let verdict = self.remembered(rule, rest, role, nominated);
        self.answers.insert(key, verdict.clone());
        verdict
    }

    /// What the condition says, as it was said before of somebody alike.
    fn remembered(&mut self, number: usize, rest: &Rest, role: usize, nominated: bool) -> Verdict {
        let memo = self.memo.filter(|_| rest.set.is_some());
        let question = (number, &self.policies.rules[number], rest);
        let key = memo.and_then(|_| Memo::question(question, (role, nominated), self.principal, self.as_of));
        let (Some(memo), Some(key)) = (memo, key) else { return self.condition(rest, role, nominated) };
        if let Some(satisfied) = memo.satisfied(&key) {
            return if satisfied { Verdict::Satisfied } else { Verdict::Unsatisfied };
        }
        let verdict = self.condition(rest, role, nominated);
        if let Verdict::Satisfied | Verdict::Unsatisfied = verdict {
            memo.keep_satisfied(key, verdict == Verdict::Satisfied);
        }
        verdict
    }

    /// Whether a condition holds.
    fn condition(&mut self, rest: &Rest, role: usize, nominated: bool) -> Verdict {
        match &rest.set {
            None => Verdict::Satisfied,
            Some(set) => self.ask(set, role, nominated, rest.reads_role, rest.reads_context).unwrap_or_else(Verdict::Failed),
        }
    }

    /// Whether a part of a condition holds.
    pub(super) fn part(&mut self, part: &Conjunct, role: usize, nominated: bool) -> bool {
        self.ask(&part.alone, role, nominated, true, true) == Ok(Verdict::Satisfied)
    }

    /// What a `permit` without a scope says.
    fn ask(&mut self, set: &PolicySet, role: usize, nominated: bool, with_role: bool, with_context: bool) -> Result<Verdict, String> {
        let entities = if with_role {
            let both = || known([entity::person(self.principal)?, entity::role(&self.policies.roles[role])?]);
            self.with_role.entry(role).or_insert_with(both).as_ref()?
        } else {
            self.person.get_or_init(|| known([entity::person(self.principal)?])).as_ref()?
        };
        let context = if with_context {
            self.contexts[usize::from(nominated)].get_or_init(|| entity::context(self.as_of, nominated)).as_ref()?.clone()
        } else {
            Context::empty()
        };
        let request = self.policies.request(&self.user, role, context)?;
        let response = self.policies.authorizer.is_authorized(&request, set, entities);
        Ok(match response.diagnostics().errors().next() {
            Some(error) => Verdict::Failed(error.to_string()),
            None if response.decision() == Word::Allow => Verdict::Satisfied,
            None => Verdict::Unsatisfied,
        })
    }
}

fn known<const N: usize>(entities: [Entity; N]) -> Result<Entities, String> {
    Entities::from_entities(entities, None).map_err(|error| error.to_string())
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
    /// Decides all roles, sliced, and as somebody alike was decided before. Proposals of roles that the catalogue doesn't have are ignored.
    #[must_use]
    pub fn decide(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>, as_of: jiff::Timestamp) -> Decision {
        let Some(key) = self.memo.key(principal, proposed, as_of) else {
            let (decided, errors) = self.ask(principal, proposed, as_of, Some(&self.memo));
            return self.in_words(&decided, errors, principal, proposed);
        };
        if let Some(decided) = self.memo.decided(&key) {
            return self.in_words(&decided, Vec::new(), principal, proposed);
        }
        let (decided, errors) = self.ask(principal, proposed, as_of, Some(&self.memo));
        let decided = Arc::new(decided);
        if errors.is_empty() {
            self.memo.keep_decided(key, &decided);
        }
        self.in_words(&decided, errors, principal, proposed)
    }

    /// The same without what is remembered: for tests and benchmarks that hold [`Policies::decide`] to account.
    #[must_use]
    pub fn decide_afresh(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>, as_of: jiff::Timestamp) -> Decision {
        let (decided, errors) = self.ask(principal, proposed, as_of, None);
        self.in_words(&decided, errors, principal, proposed)
    }

    fn ask<'a>(
        &'a self,
        principal: &'a Principal<'a>,
        proposed: &BTreeSet<String>,
        as_of: jiff::Timestamp,
        memo: Option<&'a Memo>,
    ) -> (Decided, Vec<PolicyFailure>) {
        let mut asking = Asking { memo, ..Asking::about(self, principal, as_of) };
        let (mut grants, mut errors) = (Vec::new(), Vec::new());
        for (role, permits) in self.index.candidates(principal, proposed) {
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
            match found.outcome() {
                Outcome::Deny | Outcome::NoPermit => {}
                Outcome::Undecided => errors.extend(found.into_failures(&self.roles[role].id)),
                Outcome::Allow => grants.push((role, found.permits)),
            }
        }
        (Decided { grants, next_change: self.next_change(principal, as_of) }, errors)
    }

    /// A decision with its reasons.
    fn in_words(&self, decided: &Decided, errors: Vec<PolicyFailure>, principal: &Principal<'_>, proposed: &BTreeSet<String>) -> Decision {
        let grant = |(role, permits): &(usize, Vec<usize>)| {
            let id = &self.roles[*role].id;
            RoleDecision { role: id.clone(), reasons: self.reasons(permits, principal, proposed.contains(id)) }
        };
        Decision { grants: decided.grants.iter().map(grant).collect(), errors, next_change: decided.next_change }.sorted()
    }

    fn request(&self, user: &EntityUid, role: usize, context: Context) -> Result<Request, String> {
        let resource = entity::uid("Role", &self.roles[role].id);
        Request::new(user.clone(), entity::hold(), resource, context, None).map_err(|error| error.to_string())
    }

    /// From what the policies said to a grant, an error or nothing.
    fn settle(&self, role: usize, found: Found, principal: &Principal<'_>, nominated: bool, decision: &mut Decision) {
        let id = &self.roles[role].id;
        match found.outcome() {
            Outcome::Deny | Outcome::NoPermit => {}
            Outcome::Undecided => decision.errors.extend(found.into_failures(id)),
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

/// The same policies, asked all at once about each role: for tests and benchmarks that hold slicing to account.
pub struct Unsliced<'a> {
    policies: &'a Policies,
    everything: PolicySet,
    roles: Vec<Entity>,
}

impl<'a> Unsliced<'a> {
    /// Of compiled policies.
    ///
    /// # Errors
    /// Cedar's word.
    pub fn of(policies: &'a Policies) -> Result<Self, String> {
        let all = policies.rules.iter().map(Rule::policy).collect::<Result<Vec<_>, _>>()?;
        let everything = PolicySet::from_policies(all).map_err(|error| error.to_string())?;
        let roles = policies.roles.iter().map(entity::role).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { policies, everything, roles })
    }

    /// Decides all roles, as [`Policies::decide`] does.
    #[must_use]
    pub fn decide(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>, as_of: jiff::Timestamp) -> Decision {
        let Self { policies, everything, roles } = self;
        let next_change = policies.next_change(principal, as_of);
        let user = entity::uid("User", principal.user);
        let made = entity::person(principal).and_then(|person| {
            let entities = Entities::from_entities(roles.iter().cloned().chain([person]), None).map_err(|error| error.to_string())?;
            Ok((entities, [entity::context(as_of, false)?, entity::context(as_of, true)?]))
        });
        let (entities, contexts) = match made {
            Ok(made) => made,
            Err(message) => return policies.undecided(0..roles.len(), &message, next_change),
        };
        let mut decision = Decision { next_change, ..Decision::default() };
        let numbers: BTreeMap<&str, usize> = policies.rules.iter().enumerate().map(|(number, rule)| (rule.id.as_str(), number)).collect();
        for role in 0..roles.len() {
            let nominated = proposed.contains(&policies.roles[role].id);
            let response = match policies.request(&user, role, contexts[usize::from(nominated)].clone()) {
                Ok(request) => policies.authorizer.is_authorized(&request, everything, &entities),
                Err(message) => {
                    decision.errors.extend(policies.undecided([role], &message, None).errors);
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
                    found.add(rule, &policies.rules[rule], verdict);
                }
            }
            policies.settle(role, found, principal, nominated, &mut decision);
        }
        decision.sorted()
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
        nomination: None,
        approval: rule.approval.clone(),
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

    fn into_failures(self, role: &str) -> impl Iterator<Item = PolicyFailure> {
        self.failures.into_iter().map(move |(policy, message)| PolicyFailure { role: role.to_owned(), policy, message })
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
