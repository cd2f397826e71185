//! The body of a PATCH, to steps on attributes of the schemas. Knows nothing of the resource that they will change.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Value;

use super::{Change, MemberChange, OPERATIONS_LIMIT, Operation, PATCH_SCHEMA, Patch, Refusal, Step, Target, Verb};
use crate::filter::{Filter, Literal, Op, Test};
use crate::path::{AttrPath, Path, shown};
use crate::resource::body::{check_depth, ignore_unknown, is_members, json_in, member, member_ids, urns, without_filter};
use crate::resource::value::{Reader, twice};
use crate::schema::{Attribute, Mutability, Resolved, Schemas, Type};
use crate::{Quirk, ResourceKind, ScimError};

pub(super) fn parse(schemas: &Schemas, kind: ResourceKind, body: &Value) -> Result<Patch, Refusal> {
    let Value::Object(body) = body else {
        return Err(ScimError::invalid_syntax("the body must be a JSON object: a PatchOp message").into());
    };
    check_depth(body)?;
    let mut reading = Reading { schemas, kind, entra: false, reader: Reader { patch: true, ..Reader::default() } };
    urns(&mut reading.reader, schemas, kind, Some(PATCH_SCHEMA), member(body, "schemas"))?;
    let operations = match member(body, "Operations") {
        Some(Value::Array(operations)) if !operations.is_empty() => operations,
        _ => return Err(ScimError::invalid_syntax("`Operations` must be an array with at least one operation").into()),
    };
    if operations.len() > OPERATIONS_LIMIT {
        return Err(ScimError::status(413, format!("more than {OPERATIONS_LIMIT} operations: send them in several requests")).into());
    }
    let operations = operations.iter().enumerate();
    let operations = operations
        .map(|(index, operation)| reading.operation(operation).map_err(|error| Refusal::by(index, error)))
        .collect::<Result<_, _>>()?;
    Ok(Patch { quirks: reading.reader.quirks, kind, operations, ignored: reading.reader.ignored })
}

struct Reading<'a> {
    schemas: &'a Schemas,
    kind: ResourceKind,
    /// The operation at hand is in Entra ID's dialect, whose `Replace` means "make it so".
    entra: bool,
    reader: Reader,
}

impl<'a> Reading<'a> {
    fn operation(&mut self, operation: &Value) -> Result<Operation, ScimError> {
        let operation = operation.as_object().ok_or_else(|| ScimError::invalid_syntax("it must be an object"))?;
        let (verb, capitalised) = verb(member(operation, "op"))?;
        self.entra = capitalised;
        if capitalised {
            self.reader.quirk(Quirk::CapitalisedOp);
        }
        let value = member(operation, "value");
        let steps = match (member(operation, "path"), verb) {
            (None | Some(Value::Null), Verb::Remove) => {
                return Err(ScimError::no_target("`remove` needs a `path` (RFC 7644 §3.5.2.2)"));
            }
            (None | Some(Value::Null), _) => self.pathless(verb, value.ok_or_else(|| no_value(verb))?)?,
            (Some(Value::String(text)), _) => {
                let (path, quirks) = Path::parse_for(self.schemas, &[self.kind], text)?;
                quirks.into_iter().for_each(|quirk| self.reader.quirk(quirk));
                let steps = self.at_path(verb, &path, value)?;
                self.says_something(&steps)?;
                steps
            }
            _ => return Err(ScimError::invalid_path("`path` must be a text")),
        };
        Ok(Operation { verb, steps })
    }

    /// Refuses steps that change nothing because all that they were to change is unknown: they would answer "done" for doing nothing.
    fn says_something(&mut self, steps: &[Step]) -> Result<(), ScimError> {
        match self.reader.strange.take() {
            Some(strange) if steps.iter().all(Step::is_void) => Err(self.no_attribute(&strange)),
            _ => Ok(()),
        }
    }

    fn no_attribute(&self, path: &str) -> ScimError {
        ScimError::invalid_path(format!("a {} has no attribute `{}`", self.kind.name(), shown(path)))
    }

    fn at_path(&mut self, verb: Verb, path: &Path, value: Option<&Value>) -> Result<Vec<Step>, ScimError> {
        if verb != Verb::Remove && value.is_none() {
            return Err(no_value(verb));
        }
        match path {
            Path::Extension(urn) => self.extension(verb, urn, value),
            Path::Attribute(attribute) => {
                let target = self.resolve(attribute)?;
                self.step(verb, target, None, value).map(|step| step.into_iter().collect())
            }
            Path::Values { attribute, filter, sub } => {
                let mut full = attribute.clone();
                full.sub.clone_from(sub);
                let target = self.resolve(&full)?;
                self.step(verb, target, Some(filter), value).map(|step| step.into_iter().collect())
            }
        }
    }

    fn resolve(&self, path: &AttrPath) -> Result<Resolved<'a>, ScimError> {
        self.schemas.resolve(self.kind, path).ok_or_else(|| self.no_attribute(&path.to_string()))
    }

    /// A path that is a schema's URN.
    fn extension(&mut self, verb: Verb, urn: &str, value: Option<&Value>) -> Result<Vec<Step>, ScimError> {
        let core = urn.eq_ignore_ascii_case(&self.schemas.core(self.kind).id);
        let extension = self.schemas.extension(self.kind, urn);
        match (verb, extension) {
            (Verb::Add | Verb::Replace, _) if core => self.pathless(verb, value.unwrap_or(&Value::Null)),
            (_, None) if core => Err(ScimError::no_target("`remove` of a core schema would leave nothing: name an attribute")),
            (_, None) => Err(ScimError::invalid_path(format!("a {} has no extension `{}`", self.kind.name(), shown(urn)))),
            (Verb::Remove, Some(extension)) => Ok(vec![Step::RemoveExtension(extension.id.clone())]),
            (_, Some(extension)) => {
                let Some(value) = value.filter(|value| !value.is_null()) else {
                    return Ok(vec![Step::RemoveExtension(extension.id.clone())]);
                };
                let id = &extension.id;
                let body = value.as_object().ok_or_else(|| ScimError::invalid_value(format!("`{id}` must be an object")))?;
                let mut steps = Vec::new();
                let mut seen = HashSet::new();
                for (key, value) in body {
                    let place = format!("{id}:{key}");
                    if !seen.insert(key.to_ascii_lowercase()) {
                        return Err(twice(&shown(&place)));
                    }
                    let target = match extension.attribute(key) {
                        Some(attribute) => Some((Resolved { extension: Some(id), attribute, sub: None }, None)),
                        None => self.key(&place),
                    };
                    match target {
                        Some((target, filter)) => steps.extend(self.keyed(verb, target, filter.as_ref(), value)?),
                        None if value.is_null() => {}
                        None => {
                            let place = without_filter(&place);
                            self.reader.ignore(place);
                            self.reader.strange.get_or_insert_with(|| place.to_owned());
                        }
                    }
                }
                Ok(steps)
            }
        }
    }

    /// An operation whose value is a part of the resource (RFC 7644 §3.5.2.1, §3.5.2.3).
    fn pathless(&mut self, verb: Verb, value: &Value) -> Result<Vec<Step>, ScimError> {
        let value = self.whole(value)?;
        let body = value
            .as_object()
            .ok_or_else(|| ScimError::invalid_value("without a `path`, `value` must be an object with the attributes to change"))?;
        let mut steps = Vec::new();
        let mut strange = None;
        let mut known = false;
        let mut seen = HashSet::new();
        for (key, value) in body {
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(twice(&shown(key)));
            }
            let first = steps.len();
            if key.eq_ignore_ascii_case("schemas") {
                let listed = urns(&mut self.reader, self.schemas, self.kind, None, Some(value))?;
                steps.push(Step::Schemas(listed));
            } else if self.schemas.leading_urn(key).is_some_and(|(_, rest)| rest.is_empty()) {
                match self.extension(verb, key, Some(value)) {
                    Ok(more) => steps.extend(more),
                    // The schema of another kind of resource.
                    Err(_) if self.schemas.extension(self.kind, key).is_none() => {
                        ignore_unknown(&mut self.reader, key, value);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            } else if let Some((target, filter)) = self.key(key) {
                steps.extend(self.keyed(verb, target, filter.as_ref(), value)?);
            } else {
                ignore_unknown(&mut self.reader, key, value);
                if !self.is_foreign(key) {
                    strange.get_or_insert_with(|| self.unknown(key));
                    continue;
                }
            }
            match self.reader.strange.take() {
                Some(part) if steps[first..].iter().all(Step::is_void) => _ = strange.get_or_insert_with(|| self.no_attribute(&part)),
                _ => known = true,
            }
        }
        match strange {
            // Unknown attributes beside known ones are reported as ignored. An operation that holds nothing
            // else would answer "done" for doing nothing.
            Some(error) if !known => Err(error),
            _ => Ok(steps),
        }
    }

    /// Whether a key that names nothing is of a schema that nobody here knows: clients send theirs to everybody.
    fn is_foreign(&self, key: &str) -> bool {
        let named = without_filter(key);
        let is_of = |id: &str| {
            let rest = named.get(..id.len()).filter(|head| head.eq_ignore_ascii_case(id)).map(|head| &named[head.len()..]);
            rest.is_some_and(|rest| rest.starts_with([':', '.']))
        };
        let own =
            self.schemas.extensions(self.kind).iter().map(|schema| schema.id.as_str()).chain([self.schemas.core(self.kind).id.as_str()]);
        named.contains(':') && !own.into_iter().any(is_of)
    }

    /// Why a key names nothing.
    fn unknown(&self, key: &str) -> ScimError {
        match Path::parse_for(self.schemas, &[self.kind], key) {
            Err(error) if key.contains('[') => error,
            Ok((Path::Values { attribute, sub, .. }, _)) => self.no_attribute(&AttrPath { sub, ..attribute }.to_string()),
            _ => self.no_attribute(without_filter(key)),
        }
    }

    /// The object that a value without a path stands for: scim-for-keycloak writes it as a text (its issues 133 and 172), and
    /// SCIM-SDK, which it is built with, any value as a list.
    fn whole<'v>(&mut self, value: &'v Value) -> Result<Cow<'v, Value>, ScimError> {
        let (inner, wrapped) = match value {
            Value::Array(values) if values.len() == 1 => (&values[0], true),
            value => (value, false),
        };
        let object = match inner {
            Value::Object(_) => Some(Cow::Borrowed(inner)),
            Value::String(text) => json_in(text)?.filter(Value::is_object).map(Cow::Owned),
            _ => None,
        };
        let Some(object) = object else { return Ok(Cow::Borrowed(value)) };
        if wrapped {
            self.reader.quirk(Quirk::WrappedScalar);
        }
        if inner.is_string() {
            self.reader.quirk(Quirk::JsonText);
        }
        Ok(object)
    }

    /// The value of a complex attribute, or each one in an array, that is JSON in a text: SCIM-SDK's patch builder is given
    /// texts (its issue 404). A text that is no JSON stays what it is.
    fn parsed<'v>(&mut self, value: &'v Value) -> Result<Cow<'v, Value>, ScimError> {
        let parsed = match value {
            Value::String(text) => json_in(text)?,
            Value::Array(values) if values.iter().any(Value::is_string) => {
                let each = |value: &Value| match value {
                    Value::String(text) => json_in(text),
                    _ => Ok(None),
                };
                let parsed = values.iter().map(each).collect::<Result<Vec<_>, _>>()?;
                let any = parsed.iter().any(Option::is_some);
                let whole = parsed.into_iter().zip(values).map(|(parsed, value)| parsed.unwrap_or_else(|| value.clone()));
                any.then(|| whole.collect())
            }
            _ => None,
        };
        let Some(parsed) = parsed else { return Ok(Cow::Borrowed(value)) };
        self.reader.quirk(Quirk::JsonText);
        Ok(Cow::Owned(parsed))
    }

    /// What a key of a value without a path names: an attribute or, as Entra ID writes them, a path.
    fn key(&mut self, key: &str) -> Option<(Resolved<'a>, Option<Filter>)> {
        let (path, quirks) = Path::parse_for(self.schemas, &[self.kind], key).ok()?;
        let (full, filter) = match path {
            Path::Attribute(path) => (path, None),
            Path::Values { attribute, filter, sub } => (AttrPath { sub, ..attribute }, Some(filter)),
            Path::Extension(_) => return None,
        };
        let target = self.schemas.resolve(self.kind, &full)?;
        quirks.into_iter().for_each(|quirk| self.reader.quirk(quirk));
        if full.urn.is_some() || full.sub.is_some() || filter.is_some() {
            self.reader.quirk(Quirk::DottedKeys);
        }
        Some((target, filter))
    }

    /// A step from a key of a value without a path: there, read-only attributes are echoes of what the client read.
    fn keyed(&mut self, verb: Verb, target: Resolved<'a>, filter: Option<&Filter>, value: &Value) -> Result<Option<Step>, ScimError> {
        if filter.is_none() && is_read_only(&target) {
            self.reader.quirk(Quirk::ReadOnlyEcho);
            self.reader.ignore(&place(&target));
            return Ok(None);
        }
        // Only Entra ID writes paths as keys.
        self.entra |= filter.is_some();
        self.step(verb, target, filter, Some(value))
    }

    fn step(
        &mut self,
        verb: Verb,
        target: Resolved<'a>,
        filter: Option<&Filter>,
        value: Option<&Value>,
    ) -> Result<Option<Step>, ScimError> {
        let place = place(&target);
        if is_read_only(&target) {
            return Err(ScimError::mutability(format!("`{place}` is read-only")));
        }
        if target.attribute.mutability == Mutability::WriteOnly || target.leaf().mutability == Mutability::WriteOnly {
            // A password: never kept, so nothing changes whatever the operation says.
            self.reader.ignore(&place);
            if place == "password" {
                self.reader.quirk(Quirk::PasswordSent);
            }
            return Ok(None);
        }
        if target.extension.is_none() && target.attribute.name == "schemas" {
            return match verb {
                Verb::Remove => Err(ScimError::mutability("`schemas` is required")),
                _ => self.named_schemas(value).map(Some),
            };
        }
        let complex = target.leaf().kind == Type::Complex;
        let value = value.map(|value| if complex { self.parsed(value) } else { Ok(Cow::Borrowed(value)) }).transpose()?;
        let value = value.as_deref();
        if target.extension.is_none() && is_members(self.kind, &target.attribute.name) {
            return self.members(verb, target.sub, filter, value).map(Some);
        }
        if filter.is_some() && !target.attribute.multi_valued && target.attribute.kind != Type::Complex {
            return Err(ScimError::invalid_path(format!("`{place}` has one value: leave the filter out")));
        }
        let change = match verb {
            Verb::Remove => self.removal(&target, &place, filter.is_some(), value)?,
            Verb::Add | Verb::Replace => self.change(verb, &target, &place, filter.is_some(), value.unwrap_or(&Value::Null))?,
        };
        Ok(Some(Step::Attribute(Box::new(Target {
            extension: target.extension.map(Into::into),
            attribute: target.attribute.name.clone(),
            part: target.sub.map(|part| part.name.clone()),
            filter: filter.cloned(),
            // RFC 7644 §3.5.2.1 adds what is not there, §3.5.2.3 wants `noTarget` from a replace.
            makes_value: verb == Verb::Add || self.entra,
            change,
        }))))
    }

    /// A change of `schemas` by its path: what is used is named by itself, and a name alone brings nothing in.
    fn named_schemas(&mut self, value: Option<&Value>) -> Result<Step, ScimError> {
        let known = urns(&mut self.reader, self.schemas, self.kind, None, value)?;
        if known.is_empty() && value.and_then(Value::as_array).is_some_and(|listed| !listed.is_empty()) {
            return Err(ScimError::invalid_value(format!("`schemas` names no schema of a {}", self.kind.name())));
        }
        Ok(Step::Schemas(known))
    }

    /// A removal. A `value` beside it says which of many values go (Entra ID); without one, all do. Of what a filter chose alone,
    /// it says which values of a part go.
    fn removal(&mut self, target: &Resolved<'_>, place: &str, filtered: bool, value: Option<&Value>) -> Result<Change, ScimError> {
        let many = target.leaf().multi_valued || target.attribute.multi_valued;
        let chosen = filtered && !target.sub.is_some_and(|part| part.multi_valued);
        match value {
            Some(value) if !value.is_null() && many && !chosen => {
                self.reader.quirk(Quirk::RemoveWithValue);
                self.reader.named(target.leaf(), place, value).map(Change::Values)
            }
            _ => Ok(Change::Unassign),
        }
    }

    fn change(&mut self, verb: Verb, target: &Resolved<'_>, place: &str, filtered: bool, value: &Value) -> Result<Change, ScimError> {
        let attribute = target.attribute;
        if let Some(part) = target.sub {
            if part.multi_valued {
                let values = self.reader.values(part, place, value)?;
                return Ok(if verb == Verb::Replace && values.is_empty() { Change::Unassign } else { Change::Values(values) });
            }
            return Ok(self.reader.attribute(part, place, value)?.map_or(Change::Unassign, Change::Set));
        }
        if attribute.multi_valued && !filtered {
            return self.reader.values(attribute, place, value).map(Change::Values);
        }
        let mut value = value;
        if attribute.kind == Type::Complex && value.as_array().is_some_and(|values| !values.is_empty()) {
            value = self.reader.unwrapped(attribute, place, value)?;
        }
        match value {
            // A replaced value of a multi-valued attribute keeps nothing; a complex attribute keeps the parts
            // that are not named (RFC 7644 §3.5.2.3).
            Value::Object(parts) if attribute.kind == Type::Complex && !(filtered && attribute.multi_valued && verb == Verb::Replace) => {
                self.reader.parts(attribute, place, parts).map(Change::Merge)
            }
            value => Ok(self.reader.single(attribute, place, value)?.map_or(Change::Unassign, Change::Set)),
        }
    }

    fn members(&mut self, verb: Verb, part: Option<&Attribute>, filter: Option<&Filter>, value: Option<&Value>) -> Result<Step, ScimError> {
        if let Some(part) = part {
            let name = &part.name;
            return Err(ScimError::mutability(format!("`members.{name}` can't be changed: add and remove members")));
        }
        let change = match (verb, filter, value) {
            (Verb::Add, None, value) => MemberChange::Add(member_ids(&mut self.reader, value.unwrap_or(&Value::Null))?),
            (Verb::Replace, None, value) => MemberChange::Replace(member_ids(&mut self.reader, value.unwrap_or(&Value::Null))?),
            (Verb::Remove, None, None | Some(Value::Null)) => MemberChange::Replace(Vec::new()),
            (Verb::Remove, None, Some(value)) => {
                self.reader.quirk(Quirk::RemoveWithValue);
                MemberChange::Remove(member_ids(&mut self.reader, value)?)
            }
            (Verb::Remove, Some(filter), _) => removal_of(filter),
            // Only the parts of a member are immutable: one that matches makes room for another (RFC 7644 §3.5.2.3).
            (Verb::Replace, Some(filter), value) => match member_ids(&mut self.reader, value.unwrap_or(&Value::Null))?.as_slice() {
                [] => MemberChange::ReplaceMatching(filter.clone(), None),
                [id] => MemberChange::ReplaceMatching(filter.clone(), Some(id.clone())),
                _ => return Err(ScimError::invalid_value("`members` with a filter is replaced by one member")),
            },
            (Verb::Add, Some(_), _) => return Err(ScimError::mutability("a member can't be changed: add and remove members")),
        };
        Ok(Step::Members(change))
    }
}

fn verb(op: Option<&Value>) -> Result<(Verb, bool), ScimError> {
    let word = op.and_then(Value::as_str).unwrap_or_default();
    let known = [("add", Verb::Add), ("replace", Verb::Replace), ("remove", Verb::Remove)];
    let found = known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
    let (known, verb) = found.ok_or_else(|| ScimError::invalid_syntax("`op` must be add, replace or remove"))?;
    Ok((verb, known != word))
}

fn no_value(verb: Verb) -> ScimError {
    ScimError::invalid_value(format!("`{}` needs a `value`", if verb == Verb::Add { "add" } else { "replace" }))
}

fn is_read_only(target: &Resolved<'_>) -> bool {
    target.attribute.mutability == Mutability::ReadOnly || target.sub.is_some_and(|part| part.mutability == Mutability::ReadOnly)
}

/// The path of a target, for people.
fn place(target: &Resolved<'_>) -> String {
    let path = AttrPath {
        urn: target.extension.map(Into::into),
        name: target.attribute.name.clone(),
        sub: target.sub.map(|part| part.name.clone()),
    };
    path.to_string()
}

fn removal_of(filter: &Filter) -> MemberChange {
    named_ids(filter).map_or_else(|| MemberChange::RemoveMatching(filter.clone()), MemberChange::Remove)
}

/// The ids that a filter of members names, when it does nothing else: ids are case exact.
fn named_ids(filter: &Filter) -> Option<Vec<String>> {
    match filter {
        Filter::Test(path, Test::Compare(Op::Eq, Literal::Text(id))) if path.name.eq_ignore_ascii_case("value") => Some(vec![id.clone()]),
        Filter::Or(left, right) => {
            let mut ids = named_ids(left)?;
            for id in named_ids(right)? {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            Some(ids)
        }
        _ => None,
    }
}
