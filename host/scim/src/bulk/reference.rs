//! References to what another operation of the same request creates: `bulkId:x` (RFC 7644 §3.7.2).

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Action, Method, Operation, Target};
use crate::ScimError;
use crate::path::shown;

/// What was created so far: the id of each `bulkId`.
pub type Ids = HashMap<String, String>;

/// What a reference begins with.
const PREFIX: &str = "bulkId:";

/// The `bulkId` that a text is a reference to.
pub(super) fn named(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX).filter(|bulk_id| !bulk_id.is_empty())
}

/// The text of a reference.
fn reference(bulk_id: &str) -> String {
    format!("{PREFIX}{bulk_id}")
}

/// A part of a text, and the `bulkId` in it.
type Spot<'t> = (std::ops::Range<usize>, &'t str);

/// Where a text refers to something: all of it, the last segment of a URI (`$ref`), or the quoted texts of a PATCH's path and of a value
/// that some clients write as the text of its JSON.
fn spots(text: &str, is_path: bool) -> Vec<Spot<'_>> {
    if let Some(bulk_id) = named(text) {
        return vec![(0..text.len(), bulk_id)];
    }
    if is_path || text.trim_start().starts_with(['{', '[']) {
        return quoted(text);
    }
    match text.rsplit_once('/') {
        Some((_, last)) => named(last).map(|bulk_id| (text.len() - last.len()..text.len(), bulk_id)).into_iter().collect(),
        None => Vec::new(),
    }
}

/// References as values in a filter: `members[value eq "bulkId:x"]`.
fn quoted(text: &str) -> Vec<Spot<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(PREFIX).map(|start| at + start) {
        let rest = &text[start + PREFIX.len()..];
        at = start + PREFIX.len();
        // The quote in front first: a text may repeat the prefix without one.
        if !text[..start].ends_with('"') {
            continue;
        }
        let Some(length) = rest.find('"').filter(|&length| length > 0) else { continue };
        found.push((start..at + length, &rest[..length]));
        at += length;
    }
    found
}

/// Calls `visit` with every text and whether it is a PATCH's path.
fn texts<'v>(value: &'v Value, is_path: bool, visit: &mut impl FnMut(&'v str, bool)) {
    match value {
        Value::String(text) => visit(text, is_path),
        Value::Array(values) => values.iter().for_each(|value| texts(value, false, visit)),
        Value::Object(parts) => parts.iter().for_each(|(name, value)| texts(value, name.eq_ignore_ascii_case("path"), visit)),
        _ => {}
    }
}

/// The `bulkId`s that some data refers to, each once, in order.
pub(super) fn of_data(data: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    texts(data, false, &mut |text, is_path| {
        found.extend(spots(text, is_path).into_iter().map(|(_, bulk_id)| bulk_id).filter(|bulk_id| seen.insert(*bulk_id)));
    });
    found
}

/// The `bulkId` in an operation's path.
pub(super) fn of_target(action: &Action) -> Option<&str> {
    match &action.target {
        Some(Target::Created(bulk_id)) => Some(bulk_id),
        _ => None,
    }
}

/// Puts the ids of what was created in the place of the references to it.
///
/// # Errors
/// 409 when something that is referred to was not created.
pub fn resolve(data: &Value, ids: &Ids) -> Result<Value, ScimError> {
    replaced(data, false, ids)
}

fn replaced(value: &Value, is_path: bool, ids: &Ids) -> Result<Value, ScimError> {
    Ok(match value {
        Value::String(text) => {
            let mut next = String::with_capacity(text.len());
            let mut at = 0;
            for (range, bulk_id) in spots(text, is_path) {
                next.push_str(&text[at..range.start]);
                next.push_str(ids.get(bulk_id).ok_or_else(|| not_created(bulk_id))?);
                at = range.end;
            }
            next.push_str(&text[at..]);
            Value::String(next)
        }
        Value::Array(values) => Value::Array(values.iter().map(|value| replaced(value, false, ids)).collect::<Result<_, _>>()?),
        Value::Object(parts) => {
            let parts = parts.iter().map(|(name, value)| {
                let value = replaced(value, name.eq_ignore_ascii_case("path"), ids)?;
                Ok((name.clone(), value))
            });
            Value::Object(parts.collect::<Result<_, ScimError>>()?)
        }
        other => other.clone(),
    })
}

/// What an operation is told whose reference leads nowhere.
pub(super) fn not_created(bulk_id: &str) -> ScimError {
    ScimError::status(409, format!("`{}` was not created: see the operation with that `bulkId`", shown(&reference(bulk_id))))
}

/// Refuses operations whose `bulkId` is taken and those that refer to what no operation creates.
pub(super) fn check(operations: &mut [Operation]) {
    let mut taken: HashSet<String> = HashSet::new();
    for operation in operations.iter_mut() {
        let (Ok(action), Some(bulk_id)) = (&operation.action, &operation.bulk_id) else { continue };
        // Only what is created can be referred to: on other methods a `bulkId` is a label.
        if action.method == Method::Post && !taken.insert(bulk_id.clone()) {
            let twice = format!("`bulkId` `{}` names an earlier operation: each must be unique within the request", shown(bulk_id));
            operation.refuse(ScimError::invalid_value(twice));
        }
    }
    // A POST that can't be understood counts: what refers to it is told that it was not created.
    let posts = operations.iter().filter(|operation| operation.method == Method::Post.word());
    let known: HashSet<String> = posts.filter_map(|operation| operation.bulk_id.clone()).collect();
    for operation in operations {
        let Ok(action) = &operation.action else { continue };
        let unknown = of_target(action).into_iter().chain(of_data(&action.data)).find(|bulk_id| !known.contains(*bulk_id));
        if let Some(bulk_id) = unknown {
            let nowhere = format!("`{}` refers to nothing: no POST of this request has that `bulkId`", shown(&reference(bulk_id)));
            operation.refuse(ScimError::invalid_value(nowhere));
        }
    }
}
