//! What an operation makes of one attribute's value. Knows nothing of the document around it.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Change, Verb};
use crate::filter::{Filter, Literal, Op, Test, value_matches};
use crate::path::AttrPath;
use crate::resource::body::{keep_immutable, keep_immutable_parts};
use crate::resource::value::{Parts, Reader, identity, is_primary, one_of_each, too_large, weight};
use crate::resource::{DOCUMENT_BYTES_LIMIT, VALUES_LIMIT};
use crate::schema::{Attribute, Mutability, Type};
use crate::{Quirk, ScimError};

/// What an operation aims at.
pub(super) struct Context<'a> {
    pub(super) attribute: &'a Attribute,
    pub(super) part: Option<&'a Attribute>,
    pub(super) place: &'a str,
    pub(super) verb: Verb,
    pub(super) makes_value: bool,
    pub(super) filter: Option<&'a Filter>,
    /// The values of a part that a removal names, as JSON.
    pub(super) named: HashSet<String>,
    /// Set where an element was made that says nothing yet.
    pub(super) is_unfinished: bool,
    pub(super) reader: &'a mut Reader,
}

/// The attribute's value after the operation; `None` is unassigned.
pub(super) fn next(context: &mut Context<'_>, change: &Change, before: Option<Value>) -> Result<Option<Value>, ScimError> {
    if let (Verb::Remove, Some(_), Change::Values(named)) = (context.verb, context.part, change) {
        context.named = named.iter().map(Value::to_string).collect();
    }
    if context.attribute.multi_valued {
        let immutable = context.attribute.sub_attributes.iter().any(|part| part.mutability == Mutability::Immutable);
        let kept = before.clone().filter(|_| immutable);
        let values = match before {
            Some(Value::Array(values)) => values,
            _ => Vec::new(),
        };
        let mut values = if context.filter.is_none() && context.part.is_none() {
            whole_values(context, change, values)?
        } else {
            some_values(context, change, values)?
        };
        if let Some(kept) = kept {
            keep_immutable_parts(context.attribute, "", &kept, &mut values)?;
        }
        one_of_each(&mut values);
        check_count(context, &values)?;
        return Ok((!values.is_empty()).then_some(Value::Array(values)));
    }
    // A filter on a complex attribute with one value: it matches or it does not.
    if let Some(filter) = context.filter
        && !before.as_ref().is_some_and(|value| value_matches(filter, context.attribute, value))
    {
        return if context.verb == Verb::Remove { Ok(before) } else { Err(no_match(context.place)) };
    }
    single_value(context, change, before)
}

fn check_count(context: &Context<'_>, values: &[Value]) -> Result<(), ScimError> {
    if values.len() > VALUES_LIMIT {
        return Err(ScimError::invalid_value(format!("`{}` would have more than {VALUES_LIMIT} values", context.place)));
    }
    Ok(())
}

fn single_value(context: &Context<'_>, change: &Change, before: Option<Value>) -> Result<Option<Value>, ScimError> {
    if context.attribute.kind != Type::Complex {
        return Ok(match change {
            Change::Set(value) => Some(value.clone()),
            Change::Unassign | Change::Merge(_) | Change::Values(_) => None,
        });
    }
    let before = match before {
        Some(Value::Object(parts)) => parts,
        _ => Map::new(),
    };
    let mut after = before.clone();
    match (context.part, change) {
        (Some(part), change) => change_part(context, &mut after, part, change)?,
        (None, Change::Set(Value::Object(parts))) => {
            after.clone_from(parts);
            keep_immutable(&context.attribute.sub_attributes, &format!("{}.", context.place), &before, &mut after)?;
        }
        (None, Change::Merge(parts)) => merge(context, &mut after, parts)?,
        (None, _) => {
            if let Some(part) = context
                .attribute
                .sub_attributes
                .iter()
                .find(|part| part.mutability == Mutability::Immutable && before.contains_key(&part.name))
            {
                return Err(immutable(context, part));
            }
            after.clear();
        }
    }
    // A reference to another value than the one that is there now would be wrong.
    if after.get("value") != before.get("value") && after.get("$ref") == before.get("$ref") && context.attribute.sub("value").is_some() {
        after.shift_remove("$ref");
    }
    check_parts(context, &before, &after)?;
    Ok((!after.is_empty()).then_some(Value::Object(after)))
}

/// Add, replace or remove values of a multi-valued attribute.
fn whole_values(context: &Context<'_>, change: &Change, mut values: Vec<Value>) -> Result<Vec<Value>, ScimError> {
    let Change::Values(given) = change else { return Ok(Vec::new()) };
    match context.verb {
        Verb::Replace => Ok(given.clone()),
        Verb::Remove => {
            let gone = Gone::new(given);
            values.retain(|value| !gone.covers(value));
            Ok(values)
        }
        Verb::Add => {
            let mut primary = None;
            let mut known = Known::default();
            values.iter().enumerate().for_each(|(index, value)| known.note(value, index));
            for given in given {
                let index = add(context, &mut values, &mut known, given)?;
                if is_primary(given) {
                    primary = Some(index);
                }
            }
            one_primary(&mut values, primary);
            Ok(values)
        }
    }
}

/// Where the values with one identity stand.
#[derive(Default)]
struct Known(HashMap<Option<String>, Vec<usize>>);

impl Known {
    fn note(&mut self, value: &Value, index: usize) {
        self.0.entry(identity(value)).or_default().push(index);
    }

    /// The value that is the same, or else one with the same identity.
    fn find(&self, values: &[Value], given: &Value) -> Option<usize> {
        let identity = identity(given);
        let candidates = self.0.get(&identity)?;
        let same = candidates.iter().copied().find(|&index| values.get(index) == Some(given));
        same.or_else(|| identity.and(candidates.first().copied()))
    }
}

/// Adds a value, or the parts that are new of one that is there already; where it stands.
fn add(context: &Context<'_>, values: &mut Vec<Value>, known: &mut Known, given: &Value) -> Result<usize, ScimError> {
    let Some(index) = known.find(values, given) else {
        known.note(given, values.len());
        values.push(given.clone());
        return Ok(values.len() - 1);
    };
    if let (Some(Value::Object(old)), Value::Object(given)) = (values.get_mut(index), given) {
        merge_given(context, old, given)?;
    }
    Ok(index)
}

/// The values that a removal names, by their `value`: each has what is given of one of them, or goes by what else is given.
struct Gone<'a> {
    by_value: HashMap<String, Vec<&'a Value>>,
    others: Vec<&'a Value>,
}

impl<'a> Gone<'a> {
    fn new(given: &'a [Value]) -> Self {
        let mut gone = Self { by_value: HashMap::new(), others: Vec::new() };
        for given in given {
            match value_of(given) {
                Some(value) => gone.by_value.entry(value.to_string()).or_default().push(given),
                None => gone.others.push(given),
            }
        }
        gone
    }

    fn covers(&self, value: &Value) -> bool {
        let same = value_of(value).and_then(|part| self.by_value.get(&part.to_string()));
        same.into_iter().flatten().chain(&self.others).any(|given| covers(value, given))
    }
}

/// What a value is found by: its part `value`, or itself where it has no parts.
fn value_of(value: &Value) -> Option<&Value> {
    value.as_object().map_or(Some(value), |parts| parts.get("value"))
}

/// Whether a value has everything that is given.
fn covers(value: &Value, given: &Value) -> bool {
    match (value, given) {
        (Value::Object(value), Value::Object(given)) => given.iter().all(|(name, part)| value.get(name) == Some(part)),
        (value, given) => value == given,
    }
}

/// Changes the values that match the filter, or all of them: as a whole or one part of each.
fn some_values(context: &mut Context<'_>, change: &Change, mut values: Vec<Value>) -> Result<Vec<Value>, ScimError> {
    let matches = |value: &Value| context.filter.is_none_or(|filter| value_matches(filter, context.attribute, value));
    let matching: Vec<usize> = (0..values.len()).filter(|&index| matches(&values[index])).collect();
    let removes = context.verb == Verb::Remove || matches!(change, Change::Unassign);
    if matching.is_empty() {
        if removes {
            // RFC 7644 §3.5.2.3.
            let has_no_target = context.verb == Verb::Replace && context.filter.is_some();
            return if has_no_target { Err(no_match(context.place)) } else { Ok(values) };
        }
        let mut value = made(context)?;
        match (change, &mut value) {
            // It stays the one that the filter describes.
            (Change::Set(Value::Object(given)), Value::Object(parts)) if context.part.is_none() => merge_given(context, parts, given)?,
            _ => change_value(context, change, &mut value)?,
        }
        if let Value::Object(parts) = &value {
            check_parts(context, &Map::new(), parts)?;
        }
        if says_nothing(&value) {
            if context.part.is_none() {
                return Err(no_match(context.place));
            }
            context.is_unfinished = true;
        }
        let primary = is_primary(&value).then_some(values.len());
        values.push(value);
        one_primary(&mut values, primary);
        return Ok(values);
    }
    // Before it is done: one text for thousands of values would fill the memory.
    if context.verb != Verb::Remove && bytes(change).saturating_mul(matching.len()) > DOCUMENT_BYTES_LIMIT {
        return Err(too_large(context.place));
    }
    let mut primary = None;
    for &index in &matching {
        let was_primary = is_primary(&values[index]);
        let before = values[index].clone();
        change_value(context, change, &mut values[index])?;
        if let (Value::Object(before), Value::Object(after)) = (&before, &values[index]) {
            check_parts(context, before, after)?;
        }
        if removes && values[index] != before && is_spent(context, &values[index]) {
            values[index] = Value::Null;
        }
        if is_primary(&values[index]) && (!was_primary || matching.len() > 1) && primary.replace(index).is_some() {
            return Err(ScimError::invalid_value(format!("`{}` names several values: only one can be primary", context.place)));
        }
    }
    one_primary(&mut values, primary);
    values.retain(|value| !value.is_null());
    if context.part.is_none() {
        // Several values that became the same one are one.
        let mut known = HashSet::new();
        values.retain(|value| known.insert(value.to_string()));
    }
    Ok(values)
}

/// How much a change may add to each value that it is made of.
fn bytes(change: &Change) -> usize {
    match change {
        Change::Unassign => 0,
        Change::Set(value) => weight(value),
        Change::Merge(parts) => parts.iter().filter_map(|(_, value)| value.as_ref()).map(weight).sum(),
        Change::Values(values) => values.iter().map(|value| 1 + weight(value)).sum(),
    }
}

fn change_value(context: &Context<'_>, change: &Change, value: &mut Value) -> Result<(), ScimError> {
    match (context.part, change, &mut *value) {
        (Some(part), change, Value::Object(parts)) => change_part(context, parts, part, change)?,
        (None, Change::Set(to), _) => *value = to.clone(),
        (None, Change::Merge(given), Value::Object(parts)) => merge(context, parts, given)?,
        _ => *value = Value::Null,
    }
    Ok(())
}

/// Whether nothing is left of a value that a part was taken from.
fn is_spent(context: &Context<'_>, value: &Value) -> bool {
    // Without its value, an e-mail address of some type is no e-mail address.
    let lost_value = context.part.is_some_and(|part| part.name == "value") && value.get("value").is_none();
    says_nothing_but(value, if lost_value { &["type", "primary", "display"] } else { &["type", "primary"] })
}

/// Whether a value says nothing but what it would be for.
pub(super) fn says_nothing(value: &Value) -> bool {
    says_nothing_but(value, &["type", "primary"])
}

fn says_nothing_but(value: &Value, names: &[&str]) -> bool {
    value.as_object().map_or(value.is_null(), |parts| parts.keys().all(|name| names.contains(&name.as_str())))
}

/// An element that a filter describes: Entra ID adds `emails[type eq "work"].value` and expects it to be there.
fn made(context: &mut Context<'_>) -> Result<Value, ScimError> {
    let mut parts = Map::new();
    let describes = match context.filter {
        None => true,
        Some(filter) => context.makes_value && describe(filter, context.attribute, context.part, &mut parts),
    };
    if !describes || context.attribute.kind != Type::Complex {
        return Err(no_match(context.place));
    }
    if context.filter.is_some() {
        context.reader.quirk(Quirk::ElementMade);
    }
    Ok(Value::Object(parts))
}

/// The parts of the element that a filter of plain equalities describes. What is looked up by its `value` is not
/// described but meant to be there.
fn describe(filter: &Filter, attribute: &Attribute, target: Option<&Attribute>, parts: &mut Map<String, Value>) -> bool {
    match filter {
        Filter::And(left, right) => describe(left, attribute, target, parts) && describe(right, attribute, target, parts),
        Filter::Test(AttrPath { name, .. }, Test::Compare(Op::Eq, literal)) => {
            let value = match literal {
                Literal::Null => return false,
                Literal::Bool(value) => Value::Bool(*value),
                Literal::Number(value) => Value::Number(value.clone()),
                Literal::Text(value) => Value::String(value.clone()),
            };
            let part = attribute.sub(name).filter(|part| part.name != "value" && part.is_kept());
            let Some(part) = part.filter(|part| target != Some(part)) else { return false };
            let value = if part.multi_valued { Value::Array(vec![value]) } else { value };
            parts.insert(part.name.clone(), value.clone()).is_none_or(|other| other == value)
        }
        _ => false,
    }
}

pub(super) fn no_match(place: &str) -> ScimError {
    ScimError::no_target(format!("no value of `{place}` matches the path's filter (RFC 7644 §3.5.2.3)"))
}

fn merge(context: &Context<'_>, parts: &mut Map<String, Value>, given: &Parts) -> Result<(), ScimError> {
    for (name, value) in given {
        let Some(part) = context.attribute.sub(name) else { continue };
        match value {
            Some(Value::Array(given)) if context.verb == Verb::Add => part_values(context, parts, part, given)?,
            value => set_part(context, parts, part, value.clone())?,
        }
    }
    Ok(())
}

/// The same where nothing is unassigned.
fn merge_given(context: &Context<'_>, parts: &mut Map<String, Value>, given: &Map<String, Value>) -> Result<(), ScimError> {
    merge(context, parts, &given.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect())
}

fn change_part(context: &Context<'_>, parts: &mut Map<String, Value>, part: &Attribute, change: &Change) -> Result<(), ScimError> {
    match change {
        Change::Set(value) => set_part(context, parts, part, Some(value.clone())),
        Change::Values(given) => part_values(context, parts, part, given),
        Change::Unassign | Change::Merge(_) => set_part(context, parts, part, None),
    }
}

/// Adds, replaces or removes values of a part that may have many; of one that has a single value, removes that one where it is named.
fn part_values(context: &Context<'_>, parts: &mut Map<String, Value>, part: &Attribute, given: &[Value]) -> Result<(), ScimError> {
    let mut values = match parts.get(&part.name) {
        Some(Value::Array(values)) => values.clone(),
        value => value.cloned().into_iter().collect(),
    };
    match context.verb {
        Verb::Replace => values = given.to_vec(),
        Verb::Remove => values.retain(|value| !context.named.contains(&value.to_string())),
        Verb::Add => {
            let mut known: HashSet<String> = values.iter().map(Value::to_string).collect();
            values.extend(given.iter().filter(|given| known.insert(given.to_string())).cloned());
        }
    }
    check_count(context, &values)?;
    let value = if part.multi_valued { (!values.is_empty()).then_some(Value::Array(values)) } else { values.pop() };
    set_part(context, parts, part, value)
}

fn set_part(context: &Context<'_>, parts: &mut Map<String, Value>, part: &Attribute, value: Option<Value>) -> Result<(), ScimError> {
    let before = parts.get(&part.name);
    if part.mutability == Mutability::Immutable && before.is_some() && before != value.as_ref() {
        return Err(immutable(context, part));
    }
    match value {
        Some(value) => parts.insert(part.name.clone(), value),
        None => parts.shift_remove(&part.name),
    };
    Ok(())
}

fn immutable(context: &Context<'_>, part: &Attribute) -> ScimError {
    ScimError::mutability(format!("`{}.{}` is immutable and has a value already", context.attribute.name, part.name))
}

/// A complex value that is there has its required parts. One that lacked some before (its schema changed, say) may go on without.
fn check_parts(context: &Context<'_>, before: &Map<String, Value>, after: &Map<String, Value>) -> Result<(), ScimError> {
    if after.is_empty() {
        return Ok(());
    }
    let required = context.attribute.sub_attributes.iter().filter(|part| part.required && part.is_kept());
    for part in required.filter(|part| !after.contains_key(&part.name)) {
        let place = format!("`{}.{}` is required", context.attribute.name, part.name);
        if before.is_empty() {
            return Err(ScimError::invalid_value(place));
        }
        if before.contains_key(&part.name) {
            return Err(ScimError::mutability(format!("{place}: replace it")));
        }
    }
    Ok(())
}

/// RFC 7644 §3.5.2: a new primary value makes the others secondary.
fn one_primary(values: &mut [Value], primary: Option<usize>) {
    let Some(primary) = primary else { return };
    for (index, value) in values.iter_mut().enumerate() {
        if index != primary && is_primary(value) {
            value["primary"] = Value::Bool(false);
        }
    }
}
