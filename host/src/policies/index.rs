//! The slicing index, made at activation: which policies can concern a person's groups, and which roles each of them can concern.
//!
//! Slicing by scope leaves Cedar's answer unchanged: a policy whose scope does not match is neither satisfied nor does it fail. The same
//! goes for the parts at the beginning of a condition that read the role alone: where one of them is false, nothing behind it is evaluated.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Context, Decision, Entities, Request};

use super::rule::{Conjunct, Rest, Rule, Who};
use super::{Principal, Role, entity};

/// Numbers in `Policies::rules`.
type RuleNumber = usize;
/// Numbers in `Policies::roles`.
type RoleNumber = usize;

pub(super) struct Index {
    permits_for_anyone: Vec<RuleNumber>,
    permits_by_group: BTreeMap<String, Vec<RuleNumber>>,
    permits_by_person: BTreeMap<String, Vec<RuleNumber>>,
    /// For each role the forbids that can concern it.
    forbids: Vec<Vec<RuleNumber>>,
    /// For each rule the roles that it can concern.
    concerns: Vec<Reach>,
    roles_by_id: BTreeMap<String, RoleNumber>,
}

/// The roles that a rule can concern, and what is left to ask about them.
struct Reach {
    /// Those that the scope matches and that no part at the beginning of the condition rules out, sorted.
    roles: Vec<RoleNumber>,
    /// Those that it could be satisfied for, whichever part of the condition says so.
    can_give: Vec<RoleNumber>,
    /// Whether it concerns only roles that the plugin nominates.
    nominated_only: bool,
    /// The condition without the parts at its beginning that hold for all of `roles` and, where it is nominated only, for nominees.
    rest: Rest,
}

impl Index {
    /// Of rules with the parts of their conditions.
    pub(super) fn of(rules: &[(Rule, Vec<Conjunct>)], roles: &[Role], authorizer: &Authorizer) -> Result<Self, String> {
        let entities = roles.iter().map(entity::role).collect::<Result<Vec<_>, _>>()?;
        let oracle = Oracle { authorizer, known: Entities::from_entities(entities, None).map_err(|error| error.to_string())? };
        let mut index = Self {
            permits_for_anyone: Vec::new(),
            permits_by_group: BTreeMap::new(),
            permits_by_person: BTreeMap::new(),
            forbids: vec![Vec::new(); roles.len()],
            concerns: Vec::new(),
            roles_by_id: roles.iter().enumerate().map(|(number, role)| (role.id.clone(), number)).collect(),
        };
        for (number, (rule, conjuncts)) in rules.iter().enumerate() {
            let reach = oracle.reach(rule, conjuncts, roles)?;
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

    /// What is left to ask about a role that the rule concerns; `None` when the rule is about nominees and this is none.
    pub(super) fn rest(&self, rule: RuleNumber, nominated: bool) -> Option<&Rest> {
        let reach = &self.concerns[rule];
        (nominated || !reach.nominated_only).then_some(&reach.rest)
    }

    /// The rule's condition.
    pub(super) fn condition(&self, rule: RuleNumber) -> &Rest {
        &self.concerns[rule].rest
    }

    /// Whether the rule can concern the role, as far as scope and role alone say.
    pub(super) fn concerns(&self, rule: RuleNumber, role: RoleNumber) -> bool {
        self.concerns[rule].roles.binary_search(&role).is_ok()
    }

    /// The roles that the rule can concern.
    pub(super) fn concerned(&self, rule: RuleNumber) -> &[RoleNumber] {
        &self.concerns[rule].roles
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
    fn reach(&self, rule: &Rule, conjuncts: &[Conjunct], roles: &[Role]) -> Result<Reach, String> {
        // The parts that are decided before anything that could fail for another reason.
        let leading = conjuncts.iter().take_while(|part| part.of_role() || part.is_proposed()).count();
        let (mut concerned, mut can_give, mut fails) = (Vec::new(), Vec::new(), false);
        for (number, role) in roles.iter().enumerate().filter(|(_, role)| rule.what.matches(role)) {
            let answers = conjuncts.iter().map(|part| self.holds(part, role)).collect::<Result<Vec<_>, _>>()?;
            // Behind a part that fails nothing is evaluated.
            let first = answers[..leading].iter().find(|answer| matches!(answer, Answer::No | Answer::Fails));
            if first != Some(&Answer::No) {
                concerned.push(number);
            }
            fails |= first == Some(&Answer::Fails);
            if !answers.contains(&Answer::No) {
                can_give.push(number);
            }
        }
        let known = if fails { 0 } else { leading };
        Ok(Reach {
            roles: concerned,
            can_give,
            nominated_only: conjuncts[..known].iter().any(Conjunct::is_proposed),
            rest: Rest::of(&rule.id, conjuncts, known)?,
        })
    }

    fn holds(&self, part: &Conjunct, role: &Role) -> Result<Answer, String> {
        if !part.of_role() {
            return Ok(Answer::Open);
        }
        let request = Request::new(entity::uid("User", ""), entity::hold(), entity::uid("Role", &role.id), Context::empty(), None)
            .map_err(|error| error.to_string())?;
        let response = self.authorizer.is_authorized(&request, &part.alone, &self.known);
        Ok(match response.decision() {
            _ if response.diagnostics().errors().next().is_some() => Answer::Fails,
            Decision::Allow => Answer::Yes,
            Decision::Deny => Answer::No,
        })
    }
}

/// What the role alone says of a part of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Fails,
    /// It is not the role's to say.
    Open,
}

#[cfg(test)]
impl Index {
    /// How many questions a decision asks at most: permits and forbids of the candidates.
    pub(super) fn questions(&self, principal: &Principal<'_>, proposed: &BTreeSet<String>) -> usize {
        self.candidates(principal, proposed).iter().map(|(&role, permits)| permits.len() + self.forbids(role).len()).sum()
    }
}
