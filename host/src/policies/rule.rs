//! One policy taken apart, at activation: whom and what its scope can match, what its condition reads, the groups and dates that it names.

use std::collections::BTreeSet;

use cedar_policy::{
    Context, Effect, Entities, EntityUid, EvalResult, Expression, Policy, PolicyId, PolicySet, PrincipalConstraint, Request,
    ResourceConstraint, eval_expression,
};
use serde_json::{Value, json};

use super::Role;
use super::entity;
use super::reads::Reads;

/// Whom a policy's scope can match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Anyone,
    Group(String),
    Person(String),
    Nobody,
}

/// Which roles a policy's scope can match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Every,
    Role(String),
    Family(String),
    Nothing,
}

impl What {
    pub(super) fn matches(&self, role: &Role) -> bool {
        match self {
            Self::Every => true,
            Self::Role(id) => &role.id == id,
            Self::Family(family) => role.families.contains(family),
            Self::Nothing => false,
        }
    }
}

/// A part of a condition: the condition holds when every part does, in order, and the first that does not ends it.
pub(super) struct Conjunct {
    part: Value,
    names: Names,
    /// The part as a policy of its own, for everybody and everything.
    pub alone: PolicySet,
}

/// The condition of a policy from some part on, without its scope: what there is to ask once the scope is known to match.
pub(super) struct Rest {
    /// The parts before, in Cedar's JSON form, as one text: few policies have any, and only explanations need them.
    before: Option<Box<str>>,
    /// A `permit` for everybody and everything under that condition; `None` when nothing is left to ask.
    pub set: Option<PolicySet>,
    /// Whether it reads the role: else its answer is the same for every role that the scope matches.
    pub reads_role: bool,
    /// Whether it reads the context.
    pub reads_context: bool,
    /// Whether it reads `context.proposed`.
    pub reads_proposed: bool,
}

/// One policy.
pub(super) struct Rule {
    /// Its `@id`.
    pub id: String,
    /// Its text.
    source: Box<str>,
    /// Its `@reason`.
    pub reason: Option<String>,
    /// Its `@approval`: what a person is asked before somebody holds a role by it alone.
    pub approval: Option<String>,
    /// `permit`, else `forbid`.
    pub permits: bool,
    pub who: Who,
    pub what: What,
    /// The groups that it names, in scope or condition.
    pub handles: BTreeSet<String>,
    /// Whether its condition reads `context.proposed`.
    pub reads_proposed: bool,
    /// What its condition reads of the person.
    pub reads: Reads,
    /// The instants at which its answer may turn, sorted.
    pub turns: Vec<jiff::Timestamp>,
}

impl Rule {
    /// Its text.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Takes a checked policy apart: the rule, and the parts of its condition.
    pub(super) fn of(policy: &Policy) -> Result<(Self, Vec<Conjunct>), String> {
        let id = AsRef::<str>::as_ref(policy.id()).to_owned();
        let unreadable = |what: &str| format!("policy `{id}` can't be taken apart: {what}");
        let json = policy.to_json().map_err(|error| unreadable(&error.to_string()))?;
        let mut names = Names::default();
        bodies(&json).for_each(|body| names.walk(body));
        let mut turns = Vec::new();
        for date in &names.dates {
            turns.extend(turns_at(date).ok_or_else(|| unreadable("a date is out of range"))?);
        }
        turns.sort_unstable();
        let conjuncts = conjuncts(&json).map_err(|error| unreadable(&error))?;
        let source = policy.to_cedar().ok_or_else(|| unreadable("it has no text"))?;
        let handles = policy.entity_literals().iter().filter(|uid| is(uid, "Group")).map(|uid| uid.id().unescaped().to_owned()).collect();
        let reads = Reads::of(&json, &policy.entity_literals());
        let rule = Self {
            reads,
            source: source.into(),
            reason: policy.annotation("reason").map(str::to_owned),
            approval: policy.annotation("approval").map(str::to_owned),
            permits: policy.effect() == Effect::Permit,
            who: who(&policy.principal_constraint()),
            what: what(&policy.resource_constraint()),
            handles,
            reads_proposed: names.proposed,
            turns,
            id,
        };
        Ok((rule, conjuncts))
    }

    /// The policy again.
    pub(super) fn policy(&self) -> Result<Policy, String> {
        Policy::parse(Some(PolicyId::new(&self.id)), &self.source).map_err(|error| error.to_string())
    }
}

/// The parts of the condition of a policy in Cedar's JSON form, in order.
pub(super) fn conjuncts(policy: &Value) -> Result<Vec<Conjunct>, String> {
    let mut parts = Vec::new();
    for clause in policy["conditions"].as_array().into_iter().flatten() {
        match clause.get("kind").and_then(Value::as_str) {
            Some("unless") => parts.push(json!({"!": {"arg": clause["body"]}})),
            _ => split(&clause["body"], &mut parts),
        }
    }
    parts.into_iter().map(Conjunct::of).collect()
}

impl Rest {
    /// The condition that these parts are but for the first `known`, of the policy with that id.
    pub(super) fn of(id: &str, conjuncts: &[Conjunct], known: usize) -> Result<Self, String> {
        let (before, conjuncts) = conjuncts.split_at(known);
        let before: Vec<&Value> = before.iter().map(|part| &part.part).collect();
        let before = (!before.is_empty()).then(|| json!(before).to_string().into());
        let any = |reads: fn(&Names) -> bool| conjuncts.iter().any(|part| reads(&part.names));
        let set = if conjuncts.is_empty() { None } else { Some(unscoped(id, conjuncts.iter().map(|part| &part.part))?) };
        Ok(Self {
            before,
            set,
            reads_role: any(|names| names.role),
            reads_context: any(|names| names.context),
            reads_proposed: any(|names| names.proposed),
        })
    }

    /// The parts of the whole condition, those before included. They are made each time, because explanations are asked for seldom and parts
    /// take a hundred times the memory; and not from the policy's text, because reading that takes most of an explanation's time.
    pub(super) fn whole(&self) -> Result<Vec<Conjunct>, String> {
        let mut parts: Vec<Value> = match &self.before {
            Some(before) => serde_json::from_str(before).map_err(|error| error.to_string())?,
            None => Vec::new(),
        };
        for policy in self.set.iter().flat_map(PolicySet::policies) {
            let json = policy.to_json().map_err(|error| error.to_string())?;
            parts.extend(bodies(&json).cloned());
        }
        parts.into_iter().map(Conjunct::of).collect()
    }
}

/// A `permit` for everybody and everything under the conditions, in their order. It fails under the policy's own id.
fn unscoped<'a>(id: &str, parts: impl Iterator<Item = &'a Value>) -> Result<PolicySet, String> {
    let scope = json!({"op": "All"});
    let conditions: Vec<Value> = parts.map(|part| json!({"kind": "when", "body": part})).collect();
    let policy = json!({"effect": "permit", "principal": scope, "action": scope, "resource": scope, "conditions": conditions});
    let policy = Policy::from_json(Some(PolicyId::new(id)), policy).map_err(|error| error.to_string())?;
    PolicySet::from_policies([policy]).map_err(|error| error.to_string())
}

impl Conjunct {
    fn of(part: Value) -> Result<Self, String> {
        let mut names = Names::default();
        names.walk(&part);
        let alone = unscoped("part", [&part].into_iter())?;
        Ok(Self { part, names, alone })
    }

    /// The part in Cedar's JSON form.
    pub(super) fn expression(&self) -> &Value {
        &self.part
    }

    /// Whether it reads the role and neither person nor context.
    pub(super) fn of_role(&self) -> bool {
        self.names.role && !self.names.person && !self.names.context
    }

    /// Whether it is `context.proposed` itself.
    pub(super) fn is_proposed(&self) -> bool {
        self.part == json!({".": {"left": {"Var": "context"}, "attr": "proposed"}})
    }

    /// The part as Cedar text, on one line.
    pub(super) fn text(&self) -> String {
        body_of(&self.alone)
    }
}

/// An expression of Cedar's JSON form as Cedar text, on one line.
pub(super) fn text_of(expression: &Value) -> String {
    unscoped("part", [expression].into_iter()).map_or_else(|_| expression.to_string(), |alone| body_of(&alone))
}

fn body_of(alone: &PolicySet) -> String {
    let text = alone.policies().next().and_then(Policy::to_cedar).unwrap_or_default();
    let body = text.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or(text.as_str(), |(body, _)| body);
    body.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parts of nested `&&`, in order of evaluation.
fn split(body: &Value, parts: &mut Vec<Value>) {
    match body.get("&&") {
        Some(both) => {
            split(&both["left"], parts);
            split(&both["right"], parts);
        }
        None => parts.push(body.clone()),
    }
}

/// An expression of Cedar's JSON form is an object with one key, its operator; what it is applied to are the expressions below that.
/// (A record's own keys are names, never operators: a record may well have a field called `Var`.)
pub(super) fn operator(expression: &Value) -> Option<(&str, &Value)> {
    expression.as_object().and_then(|fields| fields.iter().next()).map(|(operator, operands)| (operator.as_str(), operands))
}

pub(super) fn operands(operands: &Value) -> Vec<&Value> {
    match operands {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

/// The bodies of a policy's `when` and `unless` clauses in Cedar's JSON form.
pub(super) fn bodies(policy: &Value) -> impl Iterator<Item = &Value> {
    policy["conditions"].as_array().into_iter().flatten().map(|clause| &clause["body"])
}

/// Whether an expression calls the extension function or method `name`.
pub(super) fn calls(expression: &Value, name: &str) -> bool {
    operator(expression).is_some_and(|(operator, below)| {
        operator != "Value" && (operator == name || operands(below).into_iter().any(|operand| calls(operand, name)))
    })
}

/// Whether an expression has any of these operators, or calls any of these functions.
pub(super) fn calls_any(expression: &Value, names: &[&str]) -> bool {
    names.iter().any(|name| calls(expression, name))
}

/// What an expression reads of person, role and context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The variable and the attribute.
    Attribute(String, String),
    /// A tag of the person.
    Tag(String),
    /// The groups that the person is in.
    Groups,
    /// The families that the role is in.
    Families,
}

/// What an expression reads, in its order.
pub(super) fn reads(expression: &Value) -> Vec<Read> {
    let Some((operator, below)) = operator(expression) else { return Vec::new() };
    let variable = below["left"]["Var"].as_str();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match (operator, variable) {
        ("Value", _) => Vec::new(),
        ("." | "has", Some(variable)) => text(&below["attr"]).map(|name| Read::Attribute(variable.to_owned(), name)).into_iter().collect(),
        ("getTag" | "hasTag", Some(_)) => text(&below["right"]["Value"]).map(Read::Tag).into_iter().collect(),
        ("in", Some("principal")) => vec![Read::Groups],
        ("in", Some("resource")) => vec![Read::Families],
        _ => operands(below).into_iter().flat_map(reads).collect(),
    }
}

/// A tag that an expression names, or a value that it is compared with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    pub name: String,
    pub value: Option<String>,
}

/// The tags that an expression names literally.
pub(super) fn tags(expression: &Value) -> Vec<Tag> {
    let Some((operator, below)) = operator(expression) else { return Vec::new() };
    let text = |value: &Value| value["Value"].as_str().map(str::to_owned);
    let mut found = Vec::new();
    match operator {
        "Value" => return found,
        "getTag" | "hasTag" => found.extend(text(&below["right"]).map(|name| Tag { name, value: None })),
        "contains" | "containsAny" | "containsAll" | "==" | "!=" => {
            for (tag, other) in [("left", "right"), ("right", "left")] {
                let Some(name) = text(&below[tag]["getTag"]["right"]) else { continue };
                let other = &below[other];
                let compared = other.get("Set").and_then(Value::as_array).map_or_else(|| vec![other], |set| set.iter().collect());
                found.extend(compared.into_iter().filter_map(text).map(|value| Tag { name: name.clone(), value: Some(value) }));
            }
        }
        _ => {}
    }
    found.extend(operands(below).into_iter().flat_map(tags));
    found
}

/// What a condition names.
#[derive(Default)]
struct Names {
    person: bool,
    role: bool,
    context: bool,
    proposed: bool,
    dates: BTreeSet<String>,
}

impl Names {
    fn walk(&mut self, expression: &Value) {
        let Some((operator, below)) = operator(expression) else { return };
        match operator {
            "Value" => {}
            "Var" => self.variable(below),
            "." if below["left"] == json!({"Var": "context"}) => {
                self.context = true;
                self.proposed |= below["attr"] != "asOf";
            }
            "datetime" => {
                let literals = operands(below).into_iter().filter_map(|argument| argument["Value"].as_str());
                self.dates.extend(literals.map(str::to_owned));
            }
            _ => operands(below).into_iter().for_each(|operand| self.walk(operand)),
        }
    }

    fn variable(&mut self, name: &Value) {
        match name.as_str() {
            Some("principal") => self.person = true,
            Some("resource") => self.role = true,
            // The whole context, compared or asked for its attributes.
            Some("context") => (self.context, self.proposed) = (true, true),
            _ => {}
        }
    }
}

/// The instants at which a comparison of the present with a date may turn: at the date, and as soon as it is past. Cedar reads the
/// date, so that both mean the same; it counts in milliseconds.
fn turns_at(date: &str) -> Option<[jiff::Timestamp; 2]> {
    let ms = millis(date)?;
    // Beyond what can be named lies beyond what can come: the last instant stands for it.
    let at = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    Some([at(ms), at(ms.saturating_add(1))])
}

/// A date as Cedar reads it, in milliseconds since 1970.
pub(super) fn millis(date: &str) -> Option<i64> {
    let since_1970 = format!("datetime({date:?}).durationSince(datetime(\"1970-01-01\")).toMilliseconds()");
    let expression: Expression = since_1970.parse().ok()?;
    let nobody = entity::uid("User", "");
    let request = Request::new(nobody.clone(), entity::hold(), nobody, Context::empty(), None).ok()?;
    match eval_expression(&request, &Entities::empty(), &expression) {
        Ok(EvalResult::Long(ms)) => Some(ms),
        _ => None,
    }
}

fn is(uid: &EntityUid, kind: &str) -> bool {
    uid.type_name() == &entity::type_name(kind)
}

fn who(scope: &PrincipalConstraint) -> Who {
    let person = entity::type_name("User");
    match scope {
        PrincipalConstraint::Any => Who::Anyone,
        PrincipalConstraint::Is(kind) if *kind == person => Who::Anyone,
        PrincipalConstraint::Eq(uid) if is(uid, "User") => Who::Person(uid.id().unescaped().to_owned()),
        PrincipalConstraint::In(uid) => who_in(uid),
        PrincipalConstraint::IsIn(kind, uid) if *kind == person => who_in(uid),
        _ => Who::Nobody,
    }
}

/// `in` also holds between an entity and itself.
fn who_in(uid: &EntityUid) -> Who {
    let id = uid.id().unescaped().to_owned();
    match () {
        () if is(uid, "Group") => Who::Group(id),
        () if is(uid, "User") => Who::Person(id),
        () => Who::Nobody,
    }
}

fn what(scope: &ResourceConstraint) -> What {
    let role = entity::type_name("Role");
    match scope {
        ResourceConstraint::Any => What::Every,
        ResourceConstraint::Is(kind) if *kind == role => What::Every,
        ResourceConstraint::Eq(uid) if is(uid, "Role") => What::Role(uid.id().unescaped().to_owned()),
        ResourceConstraint::In(uid) => what_in(uid),
        ResourceConstraint::IsIn(kind, uid) if *kind == role => what_in(uid),
        _ => What::Nothing,
    }
}

fn what_in(uid: &EntityUid) -> What {
    let id = uid.id().unescaped().to_owned();
    match () {
        () if is(uid, "Role") => What::Role(id),
        () if is(uid, "RoleFamily") => What::Family(id),
        () => What::Nothing,
    }
}
