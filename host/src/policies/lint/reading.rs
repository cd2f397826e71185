//! An abstract reading of conditions: what may hold together, and what can't. It errs on one side alone: of what is called impossible
//! there is no instance; of what is called possible there may be none.
//!
//! A condition becomes a bounded list of branches, each a list of facts that hold together. Facts are about *paths*: expressions that are
//! compared with a literal, and known by their text. What is not understood is a fact by its text, which only its own opposite excludes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::rule::{Rule, Who, calls_any, millis};

/// The most branches that are followed: past it nothing is claimed of a condition.
const BRANCHES_LIMIT: usize = 64;
/// Operators that may fail while they are evaluated: nothing is claimed of what is neither true nor false.
const FAILING: [&str; 4] = ["+", "-", "*", "neg"];

/// Something that holds in a branch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    /// The expression of that text is true, or is not.
    Plain(String, bool),
    /// The path is the literal, or is not.
    Equal(String, String, bool),
    /// The path, a number or milliseconds, is from the first to the second.
    Within(String, i64, i64),
}

/// Facts that hold together.
pub(super) type Branch = Vec<Fact>;

/// Whether nothing is to be claimed of a policy, because a part of it may fail.
pub(super) fn may_fail(part: &Value) -> bool {
    calls_any(part, &FAILING)
}

/// The branches in which a condition holds, or does not; `None` where there are too many.
pub(super) fn branches(condition: &Value, holds: bool) -> Option<Vec<Branch>> {
    let (operator, below) = condition.as_object().and_then(|fields| fields.iter().next())?;
    let side = |name: &str| &below[name];
    match operator.as_str() {
        "!" => branches(side("arg"), !holds),
        "&&" if holds => both(branches(side("left"), true)?, &branches(side("right"), true)?),
        "||" if !holds => both(branches(side("left"), false)?, &branches(side("right"), false)?),
        "&&" | "||" => either(branches(side("left"), holds)?, branches(side("right"), holds)?),
        "if-then-else" => either(
            both(branches(side("if"), true)?, &branches(side("then"), holds)?)?,
            both(branches(side("if"), false)?, &branches(side("else"), holds)?)?,
        ),
        "==" => equality(side("left"), side("right"), holds),
        "!=" => equality(side("left"), side("right"), !holds),
        "<" => Some(order(side("left"), side("right"), true, holds, condition)),
        "<=" => Some(order(side("left"), side("right"), false, holds, condition)),
        ">" => Some(order(side("right"), side("left"), true, holds, condition)),
        ">=" => Some(order(side("right"), side("left"), false, holds, condition)),
        "in" => membership(side("left"), side("right"), holds),
        "is" => match side("in") {
            // Validation leaves the types that can be: a person is a user, a resource is a role.
            Value::Null if is_of_its_type(below) => Some(constant(true, holds)),
            within if is_of_its_type(below) && !within.is_null() => membership(side("left"), within, holds),
            _ => Some(plain(condition, holds)),
        },
        "contains" => one_of(side("left"), side("right"), holds).unwrap_or_else(|| Some(plain(condition, holds))),
        "has" if always_there(side("left"), side("attr")) => Some(constant(true, holds)),
        "Value" => match below {
            Value::Bool(word) => Some(constant(*word, holds)),
            _ => Some(plain(condition, holds)),
        },
        // Whoever is not active is never asked about.
        "." if side("left") == &json!({"Var": "principal"}) && side("attr") == "active" => Some(constant(true, holds)),
        _ => Some(plain(condition, holds)),
    }
}

fn either(mut a: Vec<Branch>, b: Vec<Branch>) -> Option<Vec<Branch>> {
    a.extend(b);
    (a.len() <= BRANCHES_LIMIT).then_some(a)
}

/// Each branch with each: what can't be is left out at once.
pub(super) fn both(a: Vec<Branch>, b: &[Branch]) -> Option<Vec<Branch>> {
    if let ([only], 1) = (b, a.len()) {
        let together: Vec<Branch> = a.into_iter().map(|branch| [branch, only.clone()].concat()).collect();
        return Some(together.into_iter().filter(|branch| possible(branch)).collect());
    }
    let pairs = a.iter().flat_map(|left| b.iter().map(move |right| [left.as_slice(), right].concat()));
    let found: Vec<Branch> = pairs.filter(|branch| possible(branch)).take(BRANCHES_LIMIT + 1).collect();
    (found.len() <= BRANCHES_LIMIT).then_some(found)
}

/// What holds always is one branch without facts; what never holds is none.
fn constant(word: bool, holds: bool) -> Vec<Branch> {
    if word == holds { vec![Vec::new()] } else { Vec::new() }
}

fn plain(expression: &Value, holds: bool) -> Vec<Branch> {
    vec![vec![Fact::Plain(text(expression), holds)]]
}

fn text(expression: &Value) -> String {
    entity(expression).unwrap_or_else(|| expression.to_string())
}

/// An entity that is named literally.
fn entity(expression: &Value) -> Option<String> {
    let entity = expression.get("Value")?.get("__entity")?;
    Some(entity_text(entity["type"].as_str()?, entity["id"].as_str()?))
}

fn entity_text(kind: &str, id: &str) -> String {
    format!("{kind}::{id:?}")
}

/// A literal as text; `None` for what is no literal.
fn literal(expression: &Value) -> Option<String> {
    match expression.get("Value")? {
        value @ (Value::String(_) | Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        _ => entity(expression),
    }
}

/// A number, or a date in milliseconds.
fn number(expression: &Value) -> Option<i64> {
    if let Some(date) = expression.get("datetime") {
        return millis(date.get(0)?.get("Value")?.as_str()?);
    }
    expression.get("Value")?.as_i64()
}

fn equality(left: &Value, right: &Value, holds: bool) -> Option<Vec<Branch>> {
    if left == right {
        return Some(constant(true, holds));
    }
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        return Some(constant(a == b, holds));
    }
    let (path, value) = match (literal(left), literal(right)) {
        (Some(a), Some(b)) => return Some(constant(a == b, holds)),
        (None, Some(_)) => (left, right),
        (Some(_), None) => (right, left),
        (None, None) if number(left).is_some() => (right, left),
        (None, None) => (left, right),
    };
    if let Some(Value::Bool(word)) = value.get("Value") {
        return branches(path, *word == holds);
    }
    if let Some(at) = number(value) {
        let path = text(path);
        return Some(match holds {
            true => vec![vec![Fact::Within(path, at, at)]],
            false => vec![below(&path, at.checked_sub(1)), above(&path, at.checked_add(1))].into_iter().flatten().collect(),
        });
    }
    Some(match literal(value) {
        Some(value) => vec![vec![Fact::Equal(text(path), value, holds)]],
        None => {
            let (a, b) = (text(left), text(right));
            vec![vec![Fact::Plain(format!("{} == {}", (&a).min(&b), (&a).max(&b)), holds)]]
        }
    })
}

fn below(path: &str, most: Option<i64>) -> Option<Branch> {
    most.map(|most| vec![Fact::Within(path.to_owned(), i64::MIN, most)])
}

fn above(path: &str, least: Option<i64>) -> Option<Branch> {
    least.map(|least| vec![Fact::Within(path.to_owned(), least, i64::MAX)])
}

/// `left < right`, or `left <= right` where that is not strict.
fn order(left: &Value, right: &Value, strict: bool, holds: bool, whole: &Value) -> Vec<Branch> {
    if left == right {
        return constant(!strict, holds);
    }
    let branch = match (number(left), number(right)) {
        (Some(a), Some(b)) => return constant(if strict { a < b } else { a <= b }, holds),
        (None, Some(b)) if holds => below(&text(left), if strict { b.checked_sub(1) } else { Some(b) }),
        (None, Some(b)) => above(&text(left), if strict { Some(b) } else { b.checked_add(1) }),
        (Some(a), None) if holds => above(&text(right), if strict { a.checked_add(1) } else { Some(a) }),
        (Some(a), None) => below(&text(right), if strict { Some(a) } else { a.checked_sub(1) }),
        (None, None) => return plain(whole, holds),
    };
    branch.into_iter().collect()
}

/// `left in right`: an entity, or any of a set of them.
fn membership(left: &Value, right: &Value, holds: bool) -> Option<Vec<Branch>> {
    let set = right.get("Set").or_else(|| right.get("Value")).and_then(Value::as_array);
    let Some(set) = set else { return Some(member(left, right, holds)) };
    let each = set.iter().map(|item| match item.get("__entity") {
        Some(_) => member(left, &json!({"Value": item}), holds),
        None => member(left, item, holds),
    });
    any(each.map(Some), holds)
}

/// Whether any of several holds.
fn any(each: impl Iterator<Item = Option<Vec<Branch>>>, holds: bool) -> Option<Vec<Branch>> {
    let start = if holds { Vec::new() } else { vec![Vec::new()] };
    each.into_iter().try_fold(start, |found, one| if holds { either(found, one?) } else { both(found, &one?) })
}

fn member(left: &Value, right: &Value, holds: bool) -> Vec<Branch> {
    match (left.get("Var").and_then(Value::as_str), entity(right)) {
        (_, None) => vec![vec![Fact::Plain(format!("{} in {}", text(left), text(right)), holds)]],
        // A role has only families above it, and a person only groups: `in` their own kind is `==`.
        (Some("resource"), Some(uid)) if uid.starts_with("Rolecall::Role::") => vec![vec![Fact::Equal(text(left), uid, holds)]],
        (Some("principal"), Some(uid)) if uid.starts_with("Rolecall::User::") => vec![vec![Fact::Equal(text(left), uid, holds)]],
        (_, Some(uid)) => vec![vec![Fact::Plain(format!("{} in {uid}", text(left)), holds)]],
    }
}

/// `["a", "b"].contains(path)`; `None` where it is of another form.
fn one_of(set: &Value, path: &Value, holds: bool) -> Option<Option<Vec<Branch>>> {
    let items = set.get("Set")?.as_array()?;
    items.iter().all(|item| literal(item).is_some()).then(|| any(items.iter().map(|item| equality(path, item, holds)), holds))
}

fn is_of_its_type(below: &Value) -> bool {
    [("principal", "Rolecall::User"), ("resource", "Rolecall::Role")]
        .into_iter()
        .any(|(name, kind)| below["left"] == json!({"Var": name}) && below["entity_type"] == kind)
}

/// Attributes that the schema requires.
fn always_there(of: &Value, attribute: &Value) -> bool {
    let names: &[&str] = match of.get("Var").and_then(Value::as_str) {
        Some("principal") => &["active", "connection", "userName"],
        Some("resource") => &["risk", "privileged"],
        Some("context") => &["asOf", "proposed"],
        _ => &[],
    };
    attribute.as_str().is_some_and(|attribute| names.contains(&attribute))
}

/// What a scope says of the person.
pub(super) fn scope(rule: &Rule) -> Branch {
    let principal = text(&json!({"Var": "principal"}));
    match &rule.who {
        Who::Anyone | Who::Nobody => Vec::new(),
        Who::Group(handle) => vec![Fact::Plain(format!("{principal} in {}", entity_text("Rolecall::Group", handle)), true)],
        Who::Person(id) => vec![Fact::Equal(principal, entity_text("Rolecall::User", id), true)],
    }
}

/// The opposite of what a scope says of the person; nothing where it says nothing.
pub(super) fn outside(rule: &Rule) -> Vec<Branch> {
    let opposite = |fact: Fact| match fact {
        Fact::Plain(text, holds) => Fact::Plain(text, !holds),
        Fact::Equal(path, value, holds) => Fact::Equal(path, value, !holds),
        within @ Fact::Within(..) => within,
    };
    scope(rule).into_iter().map(|fact| vec![opposite(fact)]).collect()
}

/// `context.asOf` from that instant on.
pub(super) fn not_before(instant_ms: i64) -> Fact {
    Fact::Within(text(&json!({".": {"left": {"Var": "context"}, "attr": "asOf"}})), instant_ms, i64::MAX)
}

/// Whether the facts may hold together.
pub(super) fn possible(facts: &[Fact]) -> bool {
    let mut plain: BTreeMap<&str, bool> = BTreeMap::new();
    let mut equal: BTreeMap<&str, &str> = BTreeMap::new();
    let mut unequal: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut within: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for fact in facts {
        let fits = match fact {
            Fact::Plain(text, holds) => plain.insert(text, *holds).is_none_or(|before| before == *holds),
            Fact::Equal(path, value, true) => equal.insert(path, value).is_none_or(|before| before == value),
            Fact::Equal(path, value, false) => {
                unequal.insert((path, value));
                true
            }
            Fact::Within(path, least, most) => {
                let known = within.entry(path).or_insert((i64::MIN, i64::MAX));
                *known = (known.0.max(*least), known.1.min(*most));
                known.0 <= known.1
            }
        };
        if !fits {
            return false;
        }
    }
    equal.into_iter().all(|pair| !unequal.contains(&pair))
}
