//! What differs between two sets of policies, by `@id` and by clause: what they decide apart from what they say about themselves.

use std::collections::BTreeMap;

use cedar_policy::{Effect, Policy};
use serde_json::Value;

use super::rule::text_of;
use super::source;

/// What differs from one set of policies to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct PolicyDifference {
    /// Only in the second, with their texts.
    pub added: Vec<PolicyText>,
    /// Only in the first, with their texts.
    pub removed: Vec<PolicyText>,
    /// In both, and deciding otherwise.
    pub changed: Vec<ChangedPolicy>,
    /// In both and deciding alike, with other annotations.
    pub annotated: Vec<ChangedPolicy>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct PolicyText {
    /// Its `@id`.
    pub policy: String,
    /// As it is written.
    pub text: String,
}

/// A policy that is another one by the same `@id`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct ChangedPolicy {
    /// Its `@id`.
    pub policy: String,
    /// What changed, in the order of a policy's text.
    pub clauses: Vec<Clause>,
}

/// A part of a policy that changed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Clause {
    /// `effect`, `principal`, `action`, `resource`, `condition`, or an annotation with its `@`.
    pub clause: String,
    /// Before; `null` where it is new.
    pub before: Option<String>,
    /// After; `null` where it is gone.
    pub after: Option<String>,
}

/// What differs from `a` to `b`. Files that can't be parsed are passed over; layout, order and files make no difference.
#[must_use]
pub fn diff(a: &[(String, String)], b: &[(String, String)]) -> PolicyDifference {
    let (a, b) = (source::policies_by_id(a), source::policies_by_id(b));
    let text = |(policy, (_, text)): (&String, &(Policy, String))| PolicyText { policy: policy.clone(), text: text.clone() };
    let missing = |from: &BTreeMap<String, (Policy, String)>, of: &BTreeMap<String, (Policy, String)>| -> Vec<PolicyText> {
        of.iter().filter(|(id, _)| !from.contains_key(*id)).map(text).collect()
    };
    let mut difference = PolicyDifference { added: missing(&a, &b), removed: missing(&b, &a), ..PolicyDifference::default() };
    for (id, (before, _)) in &a {
        let Some((after, _)) = b.get(id) else { continue };
        let deciding = deciding(before, after);
        let annotations = annotations(before, after);
        // Whether a person is asked is a part of what is decided.
        let decides_alike = deciding.is_empty() && !annotations.iter().any(|clause| clause.clause == "@approval");
        let clauses: Vec<Clause> = annotations.into_iter().chain(deciding).collect();
        if !clauses.is_empty() {
            let kind = if decides_alike { &mut difference.annotated } else { &mut difference.changed };
            kind.push(ChangedPolicy { policy: id.clone(), clauses });
        }
    }
    difference
}

fn annotations(before: &Policy, after: &Policy) -> Vec<Clause> {
    let of = |policy: &Policy| -> BTreeMap<String, String> {
        policy.annotations().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let (before, after) = (of(before), of(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let clause = |name: &String| Clause { clause: format!("@{name}"), before: before.get(name).cloned(), after: after.get(name).cloned() };
    names.into_iter().map(clause).filter(|clause| clause.before != clause.after).collect()
}

/// The parts that decide and differ.
fn deciding(before: &Policy, after: &Policy) -> Vec<Clause> {
    let effect = |policy: &Policy| if policy.effect() == Effect::Permit { "permit" } else { "forbid" };
    let scopes = |policy: &Policy| {
        let json = policy.to_json().unwrap_or_default();
        ["principal", "action", "resource"].map(|name| (name, scope_text(name, &json[name])))
    };
    let mut clauses = vec![("effect", effect(before).to_owned(), effect(after).to_owned())];
    clauses.extend(scopes(before).into_iter().zip(scopes(after)).map(|((name, before), (_, after))| (name, before, after)));
    let whole =
        |(name, before, after): (&str, String, String)| Clause { clause: name.to_owned(), before: Some(before), after: Some(after) };
    let mut found: Vec<Clause> = clauses.into_iter().filter(|(_, before, after)| before != after).map(whole).collect();
    found.extend(conditions(before, after));
    found
}

/// A part of the scope as Cedar writes it.
fn scope_text(name: &str, scope: &Value) -> String {
    let entity = |entity: &Value| format!("{}::{}", entity["type"].as_str().unwrap_or_default(), entity["id"]);
    match scope["op"].as_str() {
        Some("All") | None => name.to_owned(),
        Some("is") => {
            let within = scope.get("in").map_or_else(String::new, |within| format!(" in {}", entity(&within["entity"])));
            format!("{name} is {}{within}", scope["entity_type"].as_str().unwrap_or_default())
        }
        Some(op) => match scope["entities"].as_array() {
            Some(several) => format!("{name} {op} [{}]", several.iter().map(entity).collect::<Vec<_>>().join(", ")),
            None => format!("{name} {op} {}", entity(&scope["entity"])),
        },
    }
}

/// The `when` and `unless` clauses that only one of the two has.
fn conditions(before: &Policy, after: &Policy) -> Vec<Clause> {
    let of = |policy: &Policy| -> Vec<Value> {
        policy.to_json().ok().and_then(|json| json["conditions"].as_array().cloned()).unwrap_or_default()
    };
    let (before, after) = (of(before), of(after));
    let text = |clause: &Value| format!("{} {{ {} }}", clause["kind"].as_str().unwrap_or("when"), text_of(&clause["body"]));
    let only = |of: &[Value], other: &[Value]| -> Vec<String> {
        let mut left = other.to_vec();
        let mut found = Vec::new();
        for clause in of {
            match left.iter().position(|other| other == clause) {
                Some(at) => drop(left.swap_remove(at)),
                None => found.push(text(clause)),
            }
        }
        found
    };
    let (gone, came) = (only(&before, &after), only(&after, &before));
    if gone.is_empty() && came.is_empty() && before != after {
        // The same clauses in another order decide alike, but for what fails first.
        let all = |clauses: &[Value]| Some(clauses.iter().map(text).collect::<Vec<_>>().join(" "));
        return vec![Clause { clause: "condition".into(), before: all(&before), after: all(&after) }];
    }
    let count = gone.len().max(came.len());
    let (mut gone, mut came) = (gone.into_iter(), came.into_iter());
    (0..count).map(|_| Clause { clause: "condition".into(), before: gone.next(), after: came.next() }).collect()
}
