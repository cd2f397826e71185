//! Steps on a document: all of them or none. Knows nothing of how they were written.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::values::{Context, next, no_match, says_nothing};
use super::{Done, LOOKS_LIMIT, MemberChange, Operation, Patch, Patched, Refusal, Step, Target, Verb};
use crate::filter::Filter;
use crate::path::AttrPath;
use crate::resource::Document;
use crate::resource::body::{check_required, holds_immutable, is_inactive, set_schemas};
use crate::resource::value::{DOCUMENT_BYTES_LIMIT, Reader, parts_weight, too_large, weight};
use crate::schema::{Attribute, Mutability, Schemas};
use crate::{ResourceKind, ScimError};

pub(super) fn apply(patch: &Patch, schemas: &Schemas, document: &Document) -> Result<Patched, Refusal> {
    let bytes = parts_weight(&document.0);
    let mut work = Work {
        schemas,
        kind: patch.kind,
        document: document.0.clone(),
        bytes,
        bytes_limit: DOCUMENT_BYTES_LIMIT.max(bytes),
        looks: 0,
        members: Vec::new(),
        member_operations: Vec::new(),
        changed: Vec::new(),
        unfinished: Vec::new(),
        reader: Reader { ignored: patch.ignored.clone(), quirks: patch.quirks.clone(), patch: true, ..Reader::default() },
    };
    let mut operations = Vec::with_capacity(patch.operations.len());
    for (index, operation) in patch.operations.iter().enumerate() {
        operations.push(work.operation(index, operation).map_err(|error| Refusal::by(index, error))?);
    }
    for Unfinished { operation, extension, attribute, place } in &work.unfinished {
        let empty = |document: &Map<String, Value>| {
            let owner = extension.as_ref().map_or(Some(document), |urn| document.get(urn).and_then(Value::as_object));
            let values = owner.and_then(|owner| owner.get(attribute)).and_then(Value::as_array);
            values.into_iter().flatten().filter(|value| says_nothing(value)).count()
        };
        if empty(&work.document) > empty(&document.0) {
            return Err(Refusal::by(*operation, no_match(place)));
        }
    }
    let Work { document: next, members, member_operations, changed, reader, .. } = work;
    // What was incomplete before (its schema changed, say) may stay so: that must not keep a leaver active.
    if check_required(schemas, patch.kind, &document.0).is_ok() {
        check_required(schemas, patch.kind, &next)?;
    }
    Ok(Patched {
        document: Document(next),
        members,
        member_operations,
        operations,
        changed,
        ignored: reader.ignored,
        quirks: reader.quirks,
    })
}

struct Work<'a> {
    schemas: &'a Schemas,
    kind: ResourceKind,
    document: Map<String, Value>,
    /// How large the document is; it may not become larger than the limit, or than it was where it is larger already.
    bytes: usize,
    bytes_limit: usize,
    /// How many values were looked at so far.
    looks: usize,
    members: Vec<MemberChange>,
    member_operations: Vec<(usize, bool)>,
    /// Paths of what changed, each once.
    changed: Vec<String>,
    unfinished: Vec<Unfinished>,
    reader: Reader,
}

/// An element that an operation made and that says nothing yet. What it is for may come with the next one: the order of
/// operations, let alone that of an object's keys, does not make a difference to who wants both.
struct Unfinished {
    operation: usize,
    extension: Option<String>,
    attribute: String,
    place: String,
}

impl Work<'_> {
    fn operation(&mut self, index: usize, operation: &Operation) -> Result<Done, ScimError> {
        let (mut changed, mut changed_members) = (false, false);
        let first = self.members.len();
        for step in &operation.steps {
            changed |= match step {
                Step::Attribute(target) => self.attribute((index, operation), target)?,
                Step::RemoveExtension(urn) => {
                    let removed = self.remove_extension(urn)?;
                    self.note(removed, urn)
                }
                Step::Schemas(urns) => {
                    let grew = self.name_schemas(urns);
                    self.note(grew, "schemas")
                }
                Step::Members(change) => {
                    self.members.push(change.clone());
                    let empty = matches!(change, MemberChange::Add(ids) | MemberChange::Remove(ids) if ids.is_empty());
                    changed_members |= self.note(!empty, "members");
                    false
                }
            };
        }
        let added = self.members.len() - first;
        self.member_operations.extend(std::iter::repeat_n((index, !changed), added));
        Ok(if changed || changed_members { Done::Applied } else { Done::NoOp })
    }

    /// Remembers what changed.
    fn note(&mut self, changed: bool, path: &str) -> bool {
        if changed && !self.changed.iter().any(|known| known == path) {
            self.changed.push(path.to_owned());
        }
        changed
    }

    fn attribute(&mut self, (index, operation): (usize, &Operation), target: &Target) -> Result<bool, ScimError> {
        let path = AttrPath { urn: target.extension.clone(), name: target.attribute.clone(), sub: target.part.clone() };
        let place = path.to_string();
        let resolved = self.schemas.resolve(self.kind, &path);
        let resolved = resolved.ok_or_else(|| ScimError::invalid_path(format!("there is no attribute `{place}` any more")))?;
        let owner = match &target.extension {
            None => Some(&self.document),
            Some(urn) => self.document.get(urn).and_then(Value::as_object),
        };
        let before = owner.and_then(|owner| owner.get(&target.attribute));
        self.looks += before.and_then(Value::as_array).map_or(0, Vec::len) * target.filter.as_ref().map_or(1, Filter::looks);
        if self.looks > LOOKS_LIMIT {
            let detail = format!("its operations look at more than {LOOKS_LIMIT} values together: send them in several requests");
            return Err(ScimError::status(413, detail));
        }
        let before = before.cloned();
        let mut context = Context {
            attribute: resolved.attribute,
            part: resolved.sub,
            place: &place,
            verb: operation.verb,
            makes_value: target.makes_value,
            filter: target.filter.as_ref(),
            named: HashSet::new(),
            is_unfinished: false,
            reader: &mut self.reader,
        };
        let mut after = next(&mut context, &target.change, before.clone())?;
        if context.is_unfinished {
            let (extension, attribute) = (target.extension.clone(), target.attribute.clone());
            self.unfinished.push(Unfinished { operation: index, extension, attribute, place: place.clone() });
        }
        let is_active = target.extension.is_none() && target.attribute == "active";
        if after.is_none() && is_active && is_inactive(self.kind, &self.document) {
            // `remove` by name unassigns it, as RFC 7644 §3.5.2.2 says of every attribute; whose it was stays away.
            after = if operation.verb == Verb::Remove { Some(Value::Null) } else { before.clone() };
        }
        if after == before {
            return Ok(false);
        }
        check_change(resolved.attribute, &place, before.as_ref(), after.as_ref())?;
        let [was, is] = [&before, &after].map(|value| value.as_ref().map_or(0, weight));
        self.bytes = (self.bytes + is).saturating_sub(was);
        if is > was && self.bytes > self.bytes_limit {
            return Err(too_large(&place));
        }
        self.store(target.extension.as_deref(), &target.attribute, after);
        Ok(self.note(true, &place))
    }

    fn store(&mut self, extension: Option<&str>, name: &str, value: Option<Value>) {
        let Some(urn) = extension else { return put(&mut self.document, name, value) };
        let mut owner = match self.document.get_mut(urn).map(Value::take) {
            Some(Value::Object(owner)) => owner,
            _ => Map::new(),
        };
        put(&mut owner, name, value);
        let used = !owner.is_empty();
        put(&mut self.document, urn, used.then_some(Value::Object(owner)));
        self.update_schemas(urn, used);
    }

    fn remove_extension(&mut self, urn: &str) -> Result<bool, ScimError> {
        let Some(owner) = self.document.get(urn).and_then(Value::as_object) else { return Ok(false) };
        let extension = self.schemas.extension(self.kind, urn);
        for attribute in extension.into_iter().flat_map(|extension| &extension.attributes) {
            // Without its last attribute the extension itself is gone, so that nothing is required of it.
            if owner.get(&attribute.name).is_some_and(|value| holds_immutable(attribute, value)) {
                return Err(ScimError::mutability(format!("`{urn}:{}` is immutable", attribute.name)));
            }
        }
        self.bytes = self.bytes.saturating_sub(parts_weight(owner));
        self.document.shift_remove(urn);
        self.update_schemas(urn, false);
        Ok(true)
    }

    fn listed(&self) -> Vec<String> {
        let listed = self.document.get("schemas").and_then(Value::as_array);
        listed.into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect()
    }

    /// `schemas` names the extensions that are used.
    fn update_schemas(&mut self, urn: &str, used: bool) {
        let mut listed = self.listed();
        if !used {
            listed.retain(|known| known != urn);
        }
        set_schemas(self.schemas, self.kind, &mut self.document, listed);
    }

    fn name_schemas(&mut self, urns: &[String]) -> bool {
        let mut listed = self.listed();
        let before = listed.len();
        for urn in urns {
            if !listed.contains(urn) {
                listed.push(urn.clone());
            }
        }
        let grew = listed.len() > before;
        if grew {
            set_schemas(self.schemas, self.kind, &mut self.document, listed);
        }
        grew
    }
}

/// Puts a value where the attribute was, so that the order of attributes stays.
fn put(owner: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            owner.insert(name.into(), value);
        }
        None => {
            owner.shift_remove(name);
        }
    }
}

fn check_change(attribute: &Attribute, place: &str, before: Option<&Value>, after: Option<&Value>) -> Result<(), ScimError> {
    if attribute.mutability == Mutability::Immutable && before.is_some() {
        return Err(ScimError::mutability(format!("`{place}` is immutable and has a value already")));
    }
    match after {
        // RFC 7644 §3.5.2.2: a required attribute that becomes unassigned is an error of mutability.
        None if attribute.required => Err(ScimError::mutability(format!("`{place}` is required: replace it"))),
        Some(Value::String(text)) if attribute.required && text.trim().is_empty() => {
            Err(ScimError::invalid_value(format!("`{place}` is required and must not be empty")))
        }
        _ => Ok(()),
    }
}
