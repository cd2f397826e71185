//! The slicing index, made at activation: which policies can concern a person's groups, and which roles each of them can concern.
//!
//! Slicing by scope leaves Cedar's answer unchanged: a policy whose scope does not match is neither satisfied nor does it fail. The same
//! goes for the parts at the beginning of a condition that read the role alone: where one of them is false, nothing behind it is evaluated.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Context, Decision, Entities, Entity, Request};

use super::rule::{Rule, Who};
use super::{Principal, Role, entity};

/// Numbers in `Policies::rules`.
type RuleNumber = usize;
/// Numbers in `Policies::roles`.
type RoleNumber = usize;

pub(super) struct Index {
    /// The roles as entities, made once.
    pub entities: Vec<Entity>,
    permits_for_anyone: Vec<RuleNumber>,
    permits_by_group: BTreeMap<String, Vec<RuleNumber>>,
    permits_by_person: BTreeMap<String, Vec<RuleNumber>>,
    /// For each role the forbids that can concern it.
    forbids: Vec<Vec<RuleNumber>>,
    /// For each rule the roles that it can concern.
    concerns: Vec<Reach>,
    roles_by_id: BTreeMap<String, RoleNumber>,
}

/// The roles that a rule can concern.
#[derive(Default)]
struct Reach {
    /// Those whose answer is not known from the role alone, sorted.
    roles: Vec<RoleNumber>,
    /// Those that it could be satisfied for, whichever part of the condition says so.
    can_give: Vec<RoleNumber>,
    /// Whether it concerns only roles that the plugin nominates.
    nominated_only: bool,
}

impl Index {
    pub(super) fn of(rules: &[Rule], roles: &[Role], authorizer: &Authorizer) -> Result<Self, String> {
        let entities = roles.iter().map(entity::role).collect::<Result<Vec<_>, _>>()?;
        let oracle = Oracle { authorizer, known: Entities::from_entities(entities.clone(), None).map_err(|error| error.to_string())? };
        let mut index = Self {
            entities,
            permits_for_anyone: Vec::new(),
            permits_by_group: BTreeMap::new(),
            permits_by_person: BTreeMap::new(),
            forbids: vec![Vec::new(); roles.len()],
            concerns: Vec::new(),
            roles_by_id: roles.iter().enumerate().map(|(number, role)| (role.id.clone(), number)).collect(),
        };
        for (number, rule) in rules.iter().enumerate() {
            let reach = oracle.reach(rule, roles)?;
            match (&rule.who, rule.permits) {
                (Who::Nobody, _) => {}
                (_, false) => reach.roles.iter().for_each(|&role| index.forbids[role].push(number)),
                (Who::Anyone, true) => index.permits_for_anyone.push(number),
                (Who::Group(handle), true) => index.permits_by_group.entry(handle.clone()).or_default().push(number),
                (Who::Person(id), true) => index.permits_by_person.entry(id.clone()).or_default().push(number),
            }
            index.concerns.push(reach);
        }
        Ok(index)
    }

    /// The roles that some permit can give the person, each with those permits, in order.
    pub(super) fn candidates(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>) -> BTreeMap<RoleNumber, Vec<RuleNumber>> {
        let groups: BTreeSet<&str> = principal.groups.iter().map(|group| group.handle.as_str()).collect();
        let by_group = groups.into_iter().filter_map(|handle| self.permits_by_group.get(handle)).flatten();
        let by_person = self.permits_by_person.get(principal.user).into_iter().flatten();
        let reached: BTreeSet<RuleNumber> = self.permits_for_anyone.iter().chain(by_group).chain(by_person).copied().collect();
        let nominated: Vec<RoleNumber> = proposed.iter().filter_map(|role| self.roles_by_id.get(role)).copied().collect();
        let mut candidates: BTreeMap<RoleNumber, Vec<RuleNumber>> = BTreeMap::new();
        for rule in reached {
            let reach = &self.concerns[rule];
            let roles: Vec<RoleNumber> = if reach.nominated_only {
                nominated.iter().filter(|role| reach.roles.binary_search(role).is_ok()).copied().collect()
            } else {
                reach.roles.clone()
            };
            for role in roles {
                candidates.entry(role).or_default().push(rule);
            }
        }
        candidates
    }

    /// The forbids that can concern the role, whomever their scope matches.
    pub(super) fn forbids(&self, role: RoleNumber) -> &[RuleNumber] {
        &self.forbids[role]
    }

    /// The roles that the rule could be satisfied for by anybody.
    pub(super) fn can_give(&self, rule: RuleNumber) -> &[RoleNumber] {
        &self.concerns[rule].can_give
    }

    /// Whether the rule concerns any role at all.
    pub(super) fn concerns_any(&self, rule: RuleNumber) -> bool {
        !self.concerns[rule].roles.is_empty()
    }

    pub(super) fn role(&self, id: &str) -> Option<RoleNumber> {
        self.roles_by_id.get(id).copied()
    }
}

/// Asks what parts of conditions say of roles alone.
struct Oracle<'a> {
    authorizer: &'a Authorizer,
    known: Entities,
}

impl Oracle<'_> {
    fn reach(&self, rule: &Rule, roles: &[Role]) -> Result<Reach, String> {
        let mut reach = Reach::default();
        // The conditions that are decided before anything that could fail for another reason.
        let leading = rule.conjuncts.iter().take_while(|part| part.of_role || part.is_proposed).count();
        let mut leading_fails = false;
        for (number, role) in roles.iter().enumerate().filter(|(_, role)| rule.what.matches(role)) {
            let (mut concerned, mut possible, mut sure) = (true, true, true);
            for (at, part) in rule.conjuncts.iter().enumerate().filter(|(_, part)| part.of_role) {
                match self.holds(part, role)? {
                    Some(true) => {}
                    Some(false) => {
                        possible = false;
                        concerned &= !(at < leading && sure);
                    }
                    None => {
                        sure = false;
                        leading_fails |= at < leading;
                    }
                }
            }
            if concerned {
                reach.roles.push(number);
            }
            if possible {
                reach.can_give.push(number);
            }
        }
        reach.nominated_only = !leading_fails && rule.conjuncts[..leading].iter().any(|part| part.is_proposed);
        Ok(reach)
    }

    /// Whether the part holds for the role; `None` when it fails.
    fn holds(&self, part: &super::rule::Conjunct, role: &Role) -> Result<Option<bool>, String> {
        let request = Request::new(entity::uid("User", ""), entity::hold(), entity::uid("Role", &role.id), Context::empty(), None)
            .map_err(|error| error.to_string())?;
        let response = self.authorizer.is_authorized(&request, &part.alone, &self.known);
        let fails = response.diagnostics().errors().next().is_some();
        Ok((!fails).then(|| response.decision() == Decision::Allow))
    }
}

#[cfg(test)]
impl Index {
    /// How many questions a decision asks at most: permits and forbids of the candidates.
    pub(super) fn questions(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>) -> usize {
        self.candidates(principal, proposed).iter().map(|(&role, permits)| permits.len() + self.forbids(role).len()).sum()
    }
}
