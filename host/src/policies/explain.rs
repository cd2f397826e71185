//! Why, and why not: the policies that decided, and the permits that came nearest with the first thing that they missed and what it saw.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::decide::{Asking, Found, Outcome, Verdict};
use super::rule::{self, Conjunct, Rule, Who};
use super::{Explanation, Loss, NearMiss, Policies, Principal, Role, Seen};
use crate::model::Reason;

/// How many near misses are told: beyond that a list explains nothing.
const NEAREST_LIMIT: usize = 20;
/// How many permits are taken apart to see how much each misses: that takes twenty times as long as asking one.
const EXAMINED_LIMIT: usize = 32;
/// How many values of one condition are told.
const SEEN_LIMIT: usize = 8;
/// How many groups of the person are told.
const GROUPS_LIMIT: usize = 20;
/// How many permits and forbids are told of a role that is lost: they are stored with each event.
const LOSS_LIMIT: usize = 8;

/// A permit that gives the role to others.
struct Near<'a> {
    number: usize,
    rule: &'a Rule,
    in_scope: bool,
}

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
                near.extend((rule.permits && outside(rule).is_some()).then_some(Near { number: at, rule, in_scope: false }));
                continue;
            }
            let verdict = asking.verdict(at, number, proposed);
            match &verdict {
                Verdict::Failed(message) => {
                    explanation.nearest.push(NearMiss::of(rule, format!("the policy failed: {message}"), Vec::new()))
                }
                Verdict::Unsatisfied if rule.permits => near.push(Near { number: at, rule, in_scope: true }),
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
        explanation.nearest.extend(nearest(near, &mut asking, number, proposed));
        explanation.nearest.truncate(NEAREST_LIMIT);
        Some(explanation)
    }

    /// What became of the policies that gave a role which is given no more: bounded, to be kept with the removal.
    #[must_use]
    pub fn loss(&self, principal: &Principal<'_>, role: &str, gave: &[Reason], proposed: bool, as_of: jiff::Timestamp) -> Loss {
        let mut loss = Loss { role: role.to_owned(), permits: Vec::new(), forbids: Vec::new() };
        let unmet =
            |policy: &str, unmet: &str| NearMiss { policy: policy.to_owned(), reason: None, unmet: unmet.to_owned(), saw: Vec::new() };
        let Some(number) = self.index.role(role) else {
            loss.permits.extend(gave.iter().take(LOSS_LIMIT).map(|gave| unmet(&gave.policy, "the role is not in the catalogue any more")));
            return loss;
        };
        let mut asking = Asking::about(self, principal, as_of);
        for gave in gave.iter().take(LOSS_LIMIT) {
            let rule = self.rules.iter().enumerate().find(|(_, rule)| rule.id == gave.policy && rule.permits);
            loss.permits.extend(match rule {
                None => Some(unmet(&gave.policy, "there is no such permit any more")),
                Some((_, rule)) if !rule.what.matches(&self.roles[number]) => {
                    Some(unmet(&gave.policy, "the permit is not about the role any more"))
                }
                Some((_, rule)) if !rule.who.matches(principal) => Some(missed_scope(rule, principal)),
                // A permit that still holds was overruled, which the forbids say.
                Some((at, _)) if asking.verdict(at, number, proposed) == Verdict::Satisfied => None,
                Some(rule) => Some(Missed::of(rule, &mut asking, number, proposed).told),
            });
        }
        let forbids = self.index.forbids(number).iter().filter(|&&rule| self.rules[rule].who.matches(principal));
        let satisfied: Vec<usize> = forbids.copied().filter(|&rule| asking.verdict(rule, number, proposed) == Verdict::Satisfied).collect();
        loss.forbids = self.reasons(&satisfied[..satisfied.len().min(LOSS_LIMIT)], principal, proposed);
        loss
    }
}

/// The near misses, nearest first: a permit that the person is in the scope of is nearer than one about other people, and of those the one
/// that misses least.
fn nearest(mut near: Vec<Near<'_>>, asking: &mut Asking<'_>, role: usize, proposed: bool) -> Vec<NearMiss> {
    near.sort_by(|a, b| b.in_scope.cmp(&a.in_scope).then_with(|| a.rule.id.cmp(&b.rule.id)));
    near.truncate(EXAMINED_LIMIT);
    let (inside, outside): (Vec<Near<'_>>, Vec<Near<'_>>) = near.into_iter().partition(|near| near.in_scope);
    let mut missed: Vec<Missed> = inside.iter().map(|near| Missed::of((near.number, near.rule), asking, role, proposed)).collect();
    missed.sort_by_key(|missed| missed.parts);
    let others = outside.iter().take(NEAREST_LIMIT).map(|near| missed_scope(near.rule, asking.principal()));
    missed.into_iter().map(|missed| missed.told).chain(others).collect()
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

/// How a permit was missed by somebody in its scope.
struct Missed {
    /// How many parts of its condition do not hold.
    parts: usize,
    told: NearMiss,
}

impl Missed {
    fn of((number, rule): (usize, &Rule), asking: &mut Asking<'_>, role: usize, proposed: bool) -> Self {
        let conjuncts = asking.condition_of(number).whole().unwrap_or_default();
        let unmet: Vec<&Conjunct> = conjuncts.iter().filter(|part| !asking.part(part, role, proposed)).collect();
        let (text, saw) = match unmet.first() {
            Some(part) if part.is_proposed() => ("the tenant's plugin does not nominate the role for this person".into(), Vec::new()),
            Some(part) => (format!("the condition `{}` is false", part.text()), seen(part, asking, role, proposed)),
            None => ("its condition is false".into(), Vec::new()),
        };
        Self { parts: unmet.len(), told: NearMiss::of(rule, text, saw) }
    }
}

impl NearMiss {
    fn of(rule: &Rule, unmet: String, saw: Vec<Seen>) -> Self {
        Self { policy: rule.id.clone(), reason: rule.reason.clone(), unmet, saw }
    }
}

/// Why a permit's scope has not the person in it; `None` where nobody can be in it.
fn outside(rule: &Rule) -> Option<String> {
    match &rule.who {
        Who::Group(handle) => Some(format!("not in group \"{handle}\"")),
        Who::Person(_) => Some("it names another person".into()),
        Who::Anyone | Who::Nobody => None,
    }
}

fn missed_scope(rule: &Rule, principal: &Principal<'_>) -> NearMiss {
    let saw = if matches!(rule.who, Who::Group(_)) { vec![groups(principal)] } else { Vec::new() };
    NearMiss::of(rule, outside(rule).unwrap_or_default(), saw)
}

fn groups(principal: &Principal<'_>) -> Seen {
    let handles: BTreeSet<&str> = principal.groups.iter().map(|group| group.handle.as_str()).collect();
    Seen { expression: "the person's groups".into(), value: json!(handles.into_iter().take(GROUPS_LIMIT).collect::<Vec<_>>()) }
}

/// The values that a part of a condition reads.
fn seen(part: &Conjunct, asking: &Asking<'_>, role: usize, proposed: bool) -> Vec<Seen> {
    let (principal, role) = (asking.principal(), asking.role(role));
    let mut seen: Vec<Seen> = Vec::new();
    for read in rule::reads(part.expression()) {
        let value = match &read {
            rule::Read::Attribute(of, name) => {
                let value = match of.as_str() {
                    "principal" => attribute(principal, name),
                    "resource" => of_role(role, name),
                    _ if name == "proposed" => json!(proposed),
                    _ => json!(asking.as_of().to_string()),
                };
                Seen { expression: format!("{of}.{name}"), value }
            }
            rule::Read::Tag(name) => {
                let value = principal.shape.tags.get(name).map_or(Value::Null, |values| json!(values));
                Seen { expression: format!("principal.getTag({name:?})"), value }
            }
            rule::Read::Groups => groups(principal),
            rule::Read::Families => Seen { expression: "the role's families".into(), value: json!(role.families) },
        };
        if !seen.contains(&value) && seen.len() < SEEN_LIMIT {
            seen.push(value);
        }
    }
    seen
}

fn attribute(principal: &Principal<'_>, name: &str) -> Value {
    let shape = principal.shape;
    match name {
        "active" => json!(true),
        "connection" => json!(principal.connection),
        "userName" => json!(shape.user_name),
        "emailDomain" => json!(super::entity::email_domain(shape)),
        "userType" => json!(shape.user_type),
        "title" => json!(shape.title),
        "department" => json!(shape.department),
        "division" => json!(shape.division),
        "organization" => json!(shape.organization),
        "costCenter" => json!(shape.cost_center),
        "employeeNumber" => json!(shape.employee_number),
        "manager" => json!(shape.manager),
        _ => Value::Null,
    }
}

fn of_role(role: &Role, name: &str) -> Value {
    match name {
        "risk" => json!(role.risk),
        "privileged" => json!(role.privileged),
        "app" => json!(role.app),
        _ => Value::Null,
    }
}
