//! What a filter means for a resource or a value in memory. Knows nothing of how the filter was written, nor of
//! databases, which have to agree with it.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::parse::part_of;
use super::{Filter, Literal, Op, Test, default_part, fold, instant};
use crate::ResourceKind;
use crate::path::AttrPath;
use crate::schema::{Attribute, Schemas, Type};

/// What is tested.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Resource(&'a Schemas, ResourceKind, &'a Map<String, Value>),
    /// One value of an attribute.
    Value(&'a Attribute, &'a Value),
}

/// An attribute of the subject with what the subject has of it.
struct Found<'a> {
    attribute: &'a Attribute,
    part: Option<&'a Attribute>,
    value: Option<&'a Value>,
}

pub(super) fn resource_matches(filter: &Filter, schemas: &Schemas, kind: ResourceKind, resource: &Map<String, Value>) -> bool {
    holds(filter, Subject::Resource(schemas, kind, resource))
}

/// Whether one value of an attribute matches a filter that stood in brackets.
pub(crate) fn value_matches(filter: &Filter, attribute: &Attribute, value: &Value) -> bool {
    holds(filter, Subject::Value(attribute, value))
}

fn holds(filter: &Filter, subject: Subject<'_>) -> bool {
    match filter {
        Filter::And(left, right) => holds(left, subject) && holds(right, subject),
        Filter::Or(left, right) => holds(left, subject) || holds(right, subject),
        Filter::Not(inner) => !holds(inner, subject),
        // RFC 7644 §3.4.2.1: what a resource type does not define counts as having no value.
        Filter::Test(path, test) => find(subject, path).map_or_else(|| passes_absent(test), |found| passes(test, &found)),
        Filter::Values { attribute, filter, then } => {
            let Some(Found { attribute, value: Some(value), .. }) = find(subject, attribute) else { return false };
            values(value).iter().any(|value| {
                value_matches(filter, attribute, value)
                    && then.as_ref().is_none_or(|(name, test)| {
                        let path = AttrPath { urn: None, name: name.clone(), sub: None };
                        find(Subject::Value(attribute, value), &path).is_some_and(|found| passes(test, &found))
                    })
            })
        }
    }
}

fn find<'a>(subject: Subject<'a>, path: &AttrPath) -> Option<Found<'a>> {
    match subject {
        Subject::Resource(schemas, kind, resource) => {
            let resolved = schemas.resolve(kind, path)?;
            let owner = match resolved.extension {
                None => Some(resource),
                Some(urn) => resource.get(urn).and_then(Value::as_object),
            };
            let value = owner.and_then(|owner| owner.get(&resolved.attribute.name));
            Some(Found { attribute: resolved.attribute, part: resolved.sub, value })
        }
        Subject::Value(attribute, value) => {
            let part = part_of(attribute, path)?;
            let value = if attribute.kind == Type::Complex { value.get(&part.name) } else { Some(value) };
            Some(Found { attribute: part, part: None, value })
        }
    }
}

/// The values of an attribute; an attribute with a single value has one.
fn values(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    }
}

fn passes(test: &Test, found: &Found<'_>) -> bool {
    let part = match test {
        Test::Present => found.part,
        Test::Compare(..) => found.part.or_else(|| default_part(found.attribute)),
    };
    let leaf = part.unwrap_or(found.attribute);
    any(found.value, |value| match part {
        None => passes_leaf(test, leaf, value),
        // A sub-attribute may have many values itself.
        Some(part) => any(value.and_then(|value| value.get(&part.name)), |value| passes_leaf(test, leaf, value)),
    })
}

/// Whether any value passes; none at all counts as one that is absent.
fn any<'a>(value: Option<&'a Value>, mut passes: impl FnMut(Option<&'a Value>) -> bool) -> bool {
    match value.map(values) {
        None | Some([]) => passes(None),
        Some(values) => values.iter().any(|value| passes(Some(value))),
    }
}

fn passes_absent(test: &Test) -> bool {
    match test {
        Test::Present => false,
        Test::Compare(op, Literal::Null) => *op == Op::Eq,
        Test::Compare(op, _) => *op == Op::Ne,
    }
}

fn passes_leaf(test: &Test, leaf: &Attribute, value: Option<&Value>) -> bool {
    match (test, value) {
        // The one null of a document: a false that is shown no longer (see `Document`), and found as a database finds it.
        (_, Some(Value::Null)) if leaf.kind == Type::Boolean => passes_leaf(test, leaf, Some(&Value::Bool(false))),
        (_, None | Some(Value::Null)) => passes_absent(test),
        (Test::Present, Some(value)) => is_present(value),
        (Test::Compare(op, Literal::Null), Some(value)) => match op {
            Op::Eq => !is_present(value),
            Op::Ne => is_present(value),
            _ => false,
        },
        (Test::Compare(op, literal), Some(value)) => compare(*op, leaf, literal, value),
    }
}

/// `pr` of RFC 7644 §3.4.2.2: a non-empty value, or a complex value with a non-empty part.
fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => values.iter().any(is_present),
        Value::Object(parts) => parts.values().any(is_present),
    }
}

fn compare(op: Op, leaf: &Attribute, literal: &Literal, value: &Value) -> bool {
    match (literal, value) {
        (Literal::Text(wanted), Value::String(text)) if leaf.kind == Type::DateTime => {
            ordered(op, instant(text).zip(instant(wanted)).map(|(text, wanted)| text.cmp(&wanted)))
        }
        (Literal::Text(wanted), Value::String(text)) if leaf.case_exact => compare_texts(op, text, wanted),
        // Most filters look for one ASCII text: no need to fold a copy.
        (Literal::Text(wanted), Value::String(text)) if op == Op::Eq && text.is_ascii() && wanted.is_ascii() => {
            text.eq_ignore_ascii_case(wanted)
        }
        (Literal::Text(wanted), Value::String(text)) => compare_texts(op, &fold(text), &fold(wanted)),
        (Literal::Bool(wanted), Value::Bool(value)) => ordered(op, Some(value.cmp(wanted))),
        (Literal::Number(wanted), Value::Number(value)) => ordered(op, compare_numbers(value, wanted)),
        _ => op == Op::Ne,
    }
}

fn compare_numbers(left: &serde_json::Number, right: &serde_json::Number) -> Option<Ordering> {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn compare_texts(op: Op, text: &str, wanted: &str) -> bool {
    match op {
        Op::Contains => text.contains(wanted),
        Op::StartsWith => text.starts_with(wanted),
        Op::EndsWith => text.ends_with(wanted),
        _ => ordered(op, Some(text.cmp(wanted))),
    }
}

/// `None`: the two can't be compared, so they are not equal.
fn ordered(op: Op, ordering: Option<Ordering>) -> bool {
    let Some(ordering) = ordering else { return op == Op::Ne };
    match op {
        Op::Eq => ordering.is_eq(),
        Op::Ne => ordering.is_ne(),
        Op::Gt => ordering.is_gt(),
        Op::Ge => ordering.is_ge(),
        Op::Lt => ordering.is_lt(),
        Op::Le => ordering.is_le(),
        Op::Contains | Op::StartsWith | Op::EndsWith => false,
    }
}
