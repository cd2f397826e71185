//! The body of a POST or a PUT, to a document. What PATCH shares with them about bodies stands here, too; what is
//! stored already only counts as `previous`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::value::{DOCUMENT_BYTES_LIMIT, Reader, one_of_each, parts_weight, twice};
use super::{Document, Read};
use crate::schema::{Attribute, Mutability, Returned, Schemas};
use crate::{Quirk, ResourceKind, ScimError};

/// The deepest nesting of a body. SCIM needs six levels; what is deeper is a mistake or an attack.
pub const DEPTH_LIMIT: usize = 32;

/// The parts of a group's member (RFC 7643 §4.2).
const MEMBER_PARTS: [&str; 4] = ["value", "type", "$ref", "display"];

/// SCIM 1 schemas, which OneLogin names in `schemas`.
const SCIM_1: &str = "urn:scim:schemas:";

pub(super) fn read(schemas: &Schemas, kind: ResourceKind, body: &Value, previous: Option<&Document>) -> Result<Read, ScimError> {
    let Value::Object(body) = body else {
        return Err(ScimError::invalid_syntax("the body must be a JSON object: a resource"));
    };
    check_depth(body)?;
    let mut reader = Reader::default();
    let listed = urns(&mut reader, schemas, kind, Some(&schemas.core(kind).id), member(body, "schemas"))?;
    let mut document = Map::from_iter([("schemas".to_owned(), Value::Null)]);
    let mut members = None;
    for (key, value) in body {
        if let Some(attribute) = schemas.attribute(kind, key) {
            let name = attribute.name.as_str();
            if !attribute.is_kept() {
                // RFC 7644 §3.3, §3.5.1: read-only attributes are ignored. What is only ever written (`password`) is nothing to keep.
                reader.ignore(name);
                note_unkept(&mut reader, name, value, previous.is_some());
            } else if is_members(kind, name) {
                if previous.is_none() && value.as_array().is_some_and(Vec::is_empty) {
                    reader.quirk(Quirk::EmptyMembers);
                }
                if members.replace(member_ids(&mut reader, value)?).is_some() {
                    return Err(twice(name));
                }
            } else if name != "schemas"
                && let Some(value) = reader.attribute(attribute, name, value)?
                && document.insert(name.into(), value).is_some()
            {
                return Err(twice(name));
            }
        } else if let Some(extension) = schemas.extension(kind, key) {
            if let Some(value) = read_extension(&mut reader, &extension.id, &extension.attributes, value)?
                && document.insert(extension.id.clone(), value).is_some()
            {
                return Err(twice(&extension.id));
            }
        } else {
            ignore_unknown(&mut reader, key, value);
        }
    }
    if let Some(previous) = previous {
        keep(schemas, kind, body, &previous.0, &mut document)?;
    }
    // Last, because an immutable part that stays can be the type that tells two values apart.
    document.values_mut().for_each(keep_one_of_each);
    set_schemas(schemas, kind, &mut document, listed);
    check_required(schemas, kind, &document)?;
    // What a body leaves out and stays adds to what it brings.
    if previous.is_some_and(|previous| parts_weight(&document) > DOCUMENT_BYTES_LIMIT.max(parts_weight(&previous.0))) {
        let detail = format!("with what stays of it, the resource would be larger than {DOCUMENT_BYTES_LIMIT} bytes");
        return Err(ScimError::invalid_value(detail));
    }
    Ok(Read { document: Document(document), members, ignored: reader.ignored, quirks: reader.quirks })
}

/// Keeps one of each pair of type and value, in an attribute or in those of an extension.
fn keep_one_of_each(value: &mut Value) {
    match value {
        Value::Array(values) => one_of_each(values),
        Value::Object(parts) => parts.values_mut().for_each(keep_one_of_each),
        _ => {}
    }
}

/// Whose habit it is to send an attribute that is not kept.
fn note_unkept(reader: &mut Reader, name: &str, value: &Value, replaces: bool) {
    match name {
        _ if value.is_null() => {}
        "password" => reader.quirk(Quirk::PasswordSent),
        // The RFC's own example of a PUT has the `id` (RFC 7644 §3.5.1).
        "meta" | "groups" if replaces => reader.quirk(Quirk::PutEcho),
        "id" | "meta" if !replaces => reader.quirk(Quirk::ClientMeta),
        _ => {}
    }
}

/// Group members live in rows beside the document.
pub(crate) fn is_members(kind: ResourceKind, name: &str) -> bool {
    kind == ResourceKind::Group && name == "members"
}

/// Reports an attribute that no schema has; not a filter in it, which holds a client's value.
pub(crate) fn ignore_unknown(reader: &mut Reader, key: &str, value: &Value) {
    let key = without_filter(key);
    if key.contains(':') {
        reader.quirk(strange_schema(key));
    } else if value.is_null() {
        return;
    }
    reader.ignore(key);
}

/// A key that may be a path, up to its filter.
pub(crate) fn without_filter(key: &str) -> &str {
    key.split('[').next().unwrap_or(key)
}

/// Refuses bodies that are nested too deeply, before anything else walks them.
pub(crate) fn check_depth(body: &Map<String, Value>) -> Result<(), ScimError> {
    check_depth_within(body, DEPTH_LIMIT)
}

/// Whether a value is nested no deeper than so many levels.
fn within(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(values) => left > 0 && values.iter().all(|value| within(value, left - 1)),
        Value::Object(parts) => left > 0 && parts.values().all(|value| within(value, left - 1)),
        _ => true,
    }
}

/// The JSON in a text that begins as an object or an array does, bounded like a body; `None` where the text is no JSON.
/// It can't be longer than the body that it came in.
pub(crate) fn json_in(text: &str) -> Result<Option<Value>, ScimError> {
    if !text.trim_start().starts_with(['{', '[']) {
        return Ok(None);
    }
    match serde_json::from_str(text) {
        Ok(value) if !within(&value, DEPTH_LIMIT) => {
            Err(ScimError::invalid_syntax(format!("a text in the body holds JSON that is nested deeper than {DEPTH_LIMIT} levels")))
        }
        parsed => Ok(parsed.ok()),
    }
}

/// As [`check_depth`], for another limit.
pub(crate) fn check_depth_within(body: &Map<String, Value>, limit: usize) -> Result<(), ScimError> {
    if body.values().all(|value| within(value, limit - 1)) {
        return Ok(());
    }
    Err(ScimError::invalid_syntax(format!("the body is nested deeper than {limit} levels")))
}

/// Checks that a message's `schemas` name it. What else they name is no matter.
pub(crate) fn names_schema(body: &Map<String, Value>, wanted: &str) -> Result<(), ScimError> {
    let listed = member(body, "schemas").and_then(Value::as_array);
    let named = listed.into_iter().flatten().filter_map(Value::as_str).any(|urn| urn.eq_ignore_ascii_case(wanted));
    if named { Ok(()) } else { Err(ScimError::invalid_syntax(format!("`schemas` must be an array that names `{wanted}`"))) }
}

/// A member of a message, its name in any case (RFC 7643 §2.1).
pub(crate) fn member<'v>(body: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    body.get(name).or_else(|| body.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// What an unknown URN is a sign of.
fn strange_schema(urn: &str) -> Quirk {
    let scim_1 = urn.get(..SCIM_1.len()).is_some_and(|head| head.eq_ignore_ascii_case(SCIM_1));
    if scim_1 { Quirk::Scim1Schema } else { Quirk::UnknownSchema }
}

/// The URNs in `schemas` that are known for this kind, in the schemas' case. What is `wanted` has to be among what was
/// listed, or a SCIM 1 schema in its place.
pub(crate) fn urns(
    reader: &mut Reader,
    schemas: &Schemas,
    kind: ResourceKind,
    wanted: Option<&str>,
    listed: Option<&Value>,
) -> Result<Vec<String>, ScimError> {
    let missing = || match wanted {
        Some(wanted) => ScimError::invalid_syntax(format!("`schemas` must be an array that names `{wanted}`")),
        None => ScimError::invalid_value("`schemas` must be an array of URNs"),
    };
    let is_wanted = |urn: &str| wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(urn));
    let listed = listed.and_then(Value::as_array).ok_or_else(missing)?;
    let mut known: Vec<String> = Vec::new();
    let mut named = wanted.is_none();
    for urn in listed {
        let urn = urn.as_str().ok_or_else(missing)?;
        let strange = strange_schema(urn);
        named |= strange == Quirk::Scim1Schema || is_wanted(urn);
        match [&schemas.core(kind).id]
            .into_iter()
            .chain(schemas.extensions(kind).iter().map(|extension| &extension.id))
            .find(|id| id.eq_ignore_ascii_case(urn))
        {
            Some(id) if !known.contains(id) => known.push(id.clone()),
            Some(_) => {}
            None if is_wanted(urn) => {}
            None => {
                reader.quirk(strange);
                reader.ignore(urn);
            }
        }
    }
    if named { Ok(known) } else { Err(missing()) }
}

/// The ids in `members`, in order, each once. In a PATCH a member may stand without an array around it (RFC 7644 §3.5.2.1),
/// and as its id alone (Microsoft's own tests: AzureAD/SCIMReferenceCode #24).
pub(crate) fn member_ids(reader: &mut Reader, value: &Value) -> Result<Vec<String>, ScimError> {
    let wrong = || ScimError::invalid_value("`members` must be an array of objects with the member's id as `value`");
    let members = match value {
        Value::Null => &[],
        Value::Array(members) => members.as_slice(),
        Value::Object(_) | Value::String(_) if reader.patch => std::slice::from_ref(value),
        _ => return Err(wrong()),
    };
    let mut seen = std::collections::HashSet::with_capacity(members.len());
    let mut ids = Vec::with_capacity(members.len());
    for member in members {
        let id = match member {
            Value::Object(parts) => member_id(parts)?,
            // No id begins like that: it is JSON that is broken.
            Value::String(id) if reader.patch && !id.trim_start().starts_with(['{', '[']) => {
                reader.quirk(Quirk::ScalarForComplex);
                Some(id.as_str())
            }
            _ => None,
        };
        let id = id.filter(|id| !id.is_empty()).ok_or_else(wrong)?;
        if id.contains('\0') {
            return Err(ScimError::invalid_value("`members.value` holds a NUL character: remove it"));
        }
        if seen.insert(id) {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

/// The id of one member. What else is said of it is ours to say, and has to be of the right type all the same.
fn member_id(parts: &Map<String, Value>) -> Result<Option<&str>, ScimError> {
    let mut id = None;
    for (key, value) in parts {
        let Some(name) = MEMBER_PARTS.into_iter().find(|name| name.eq_ignore_ascii_case(key)) else { continue };
        if name == "value" {
            if id.replace(value.as_str()).is_some() {
                return Err(twice("members.value"));
            }
        } else if !value.is_string() && !value.is_null() {
            return Err(ScimError::invalid_value(format!("`members.{name}` must be a text")));
        }
    }
    Ok(id.flatten())
}

fn read_extension(reader: &mut Reader, urn: &str, attributes: &[Attribute], value: &Value) -> Result<Option<Value>, ScimError> {
    let body = match value {
        Value::Null => return Ok(None),
        Value::Object(body) => body,
        _ => return Err(ScimError::invalid_value(format!("`{urn}` must be an object"))),
    };
    let mut extension = Map::new();
    for (key, value) in body {
        let place = format!("{urn}:{key}");
        let Some(attribute) = attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(key)) else {
            if !value.is_null() {
                reader.ignore(&place);
            }
            continue;
        };
        if !attribute.is_kept() {
            reader.ignore(&place);
        } else if let Some(value) = reader.attribute(attribute, &format!("{urn}:{}", attribute.name), value)?
            && extension.insert(attribute.name.clone(), value).is_some()
        {
            return Err(twice(&place));
        }
    }
    Ok((!extension.is_empty()).then_some(Value::Object(extension)))
}

/// Puts `schemas` in order: what was listed, the core schema and every extension that is used.
pub(crate) fn set_schemas(schemas: &Schemas, kind: ResourceKind, document: &mut Map<String, Value>, mut listed: Vec<String>) {
    let core = &schemas.core(kind).id;
    if !listed.contains(core) {
        listed.insert(0, core.clone());
    }
    for extension in schemas.extensions(kind) {
        if document.contains_key(&extension.id) && !listed.contains(&extension.id) {
            listed.push(extension.id.clone());
        }
    }
    document.insert("schemas".into(), listed.into());
}

/// Every required attribute has to have a value, a text one that is not blank (RFC 7643 §4.1.1); an
/// extension's only when the extension is used.
pub(crate) fn check_required(schemas: &Schemas, kind: ResourceKind, document: &Map<String, Value>) -> Result<(), ScimError> {
    let missing = |attributes: &[Attribute], owner: &Map<String, Value>| {
        let absent = |attribute: &&Attribute| match owner.get(&attribute.name) {
            None => true,
            Some(value) => value.as_str().is_some_and(|text| text.trim().is_empty()),
        };
        attributes.iter().filter(|attribute| attribute.required && attribute.is_kept()).find(absent).map(|attribute| attribute.name.clone())
    };
    let core = missing(&schemas.core(kind).attributes, document);
    let extended = schemas.extensions(kind).iter().find_map(|extension| {
        let owner = document.get(&extension.id)?.as_object()?;
        missing(&extension.attributes, owner).map(|name| format!("{}:{name}", extension.id))
    });
    match core.or(extended) {
        Some(name) => Err(ScimError::invalid_value(format!("`{name}` is required and must not be empty"))),
        None => Ok(()),
    }
}

/// Whether it is somebody who was deactivated. They come back when the client says so, not when it says nothing, which a null is as
/// well (RFC 7643 §2.5), nor when it removes what it had said.
pub(crate) fn is_inactive(kind: ResourceKind, document: &Map<String, Value>) -> bool {
    kind == ResourceKind::User && matches!(document.get("active"), Some(Value::Bool(false) | Value::Null))
}

/// What a PUT must not take away.
fn keep(
    schemas: &Schemas,
    kind: ResourceKind,
    body: &Map<String, Value>,
    previous: &Map<String, Value>,
    next: &mut Map<String, Value>,
) -> Result<(), ScimError> {
    // RFC 7644 §3.5.1 lets the server decide what an attribute that is not asserted becomes.
    if !next.contains_key("active") && is_inactive(kind, previous) {
        next.insert("active".into(), previous.get("active").cloned().unwrap_or_default());
    }
    let core = &schemas.core(kind).attributes;
    keep_unseen(core, body, previous, next);
    keep_immutable(core, "", previous, next)?;
    for extension in schemas.extensions(kind) {
        let Some(before) = previous.get(&extension.id).and_then(Value::as_object) else { continue };
        let mut after = next.get(&extension.id).and_then(Value::as_object).cloned().unwrap_or_default();
        match member(body, &extension.id) {
            None => keep_unseen(&extension.attributes, &Map::new(), before, &mut after),
            Some(Value::Object(said)) => keep_unseen(&extension.attributes, said, before, &mut after),
            Some(_) => {}
        }
        keep_immutable(&extension.attributes, &format!("{}:", extension.id), before, &mut after)?;
        if !next.contains_key(&extension.id) {
            keep_required(&extension.attributes, before, &mut after);
        }
        if !after.is_empty() {
            next.insert(extension.id.clone(), Value::Object(after));
        }
    }
    Ok(())
}

/// Keeps what a client is not shown unless it asks, where the body says nothing of it: somebody who puts back what they were given
/// wants none of it gone. A null unassigns it.
fn keep_unseen(attributes: &[Attribute], said: &Map<String, Value>, previous: &Map<String, Value>, next: &mut Map<String, Value>) {
    for attribute in attributes {
        let Some(before) = previous.get(&attribute.name) else { continue };
        match (member(said, &attribute.name), before, next.get_mut(&attribute.name)) {
            (None, _, None) if is_unseen(attribute, before) => {
                next.insert(attribute.name.clone(), before.clone());
            }
            (Some(Value::Object(said)), Value::Object(before), Some(Value::Object(after))) => {
                keep_unseen(&attribute.sub_attributes, said, before, after);
            }
            (Some(Value::Array(said)), Value::Array(before), Some(Value::Array(after))) if attribute.sub_attributes.iter().any(hides) => {
                let (said, before) = (by_value(said), by_value(before));
                for value in after.iter_mut().filter_map(Value::as_object_mut) {
                    let key = value.get("value").map(Value::to_string).unwrap_or_default();
                    if let (Some(said), Some(before)) = (said.get(&key), before.get(&key)) {
                        keep_unseen(&attribute.sub_attributes, said, before, value);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether a client that asks for nothing in particular is shown nothing of a value.
fn is_unseen(attribute: &Attribute, value: &Value) -> bool {
    let parts = value.as_object().filter(|parts| !parts.is_empty());
    hides(attribute) || parts.is_some_and(|parts| parts.keys().all(|name| attribute.sub(name).is_some_and(hides)))
}

/// Whether it is shown to nobody who does not ask for it.
fn hides(attribute: &Attribute) -> bool {
    matches!(attribute.returned, Returned::Request | Returned::Never)
}

/// RFC 7644 §3.5.1: where an immutable attribute has a value, the new one must match; left out, it stays.
pub(crate) fn keep_immutable(
    attributes: &[Attribute],
    place: &str,
    previous: &Map<String, Value>,
    next: &mut Map<String, Value>,
) -> Result<(), ScimError> {
    for attribute in attributes {
        let Some(before) = previous.get(&attribute.name) else { continue };
        let immutable = attribute.mutability == Mutability::Immutable;
        match next.get_mut(&attribute.name) {
            None if immutable => {
                next.insert(attribute.name.clone(), before.clone());
            }
            None => {
                let mut kept = Map::new();
                if let Some(before) = before.as_object() {
                    keep_immutable(&attribute.sub_attributes, "", before, &mut kept)?;
                    keep_required(&attribute.sub_attributes, before, &mut kept);
                }
                if !kept.is_empty() {
                    next.insert(attribute.name.clone(), Value::Object(kept));
                }
            }
            Some(after) if immutable && after != before => {
                return Err(ScimError::mutability(format!("`{place}{}` is immutable and has a value already", attribute.name)));
            }
            Some(Value::Object(after)) => {
                if let Some(before) = before.as_object() {
                    keep_immutable(&attribute.sub_attributes, &format!("{place}{}.", attribute.name), before, after)?;
                }
            }
            Some(Value::Array(after)) => keep_immutable_parts(attribute, place, before, after)?,
            _ => {}
        }
    }
    Ok(())
}

/// What is left of something that the body does not name is whole: it has what is required of it.
fn keep_required(attributes: &[Attribute], previous: &Map<String, Value>, next: &mut Map<String, Value>) {
    if next.is_empty() {
        return;
    }
    for attribute in attributes.iter().filter(|attribute| attribute.required) {
        if let Some(before) = previous.get(&attribute.name) {
            next.entry(attribute.name.clone()).or_insert_with(|| before.clone());
        }
    }
}

/// Whether an attribute's value can't be taken away: it is immutable, or a part of its one value is. Values of many come and go.
pub(crate) fn holds_immutable(attribute: &Attribute, value: &Value) -> bool {
    let immutable = |attribute: &Attribute| attribute.mutability == Mutability::Immutable;
    let has = |part: &Attribute| value.as_object().is_some_and(|parts| parts.contains_key(&part.name));
    immutable(attribute) || attribute.sub_attributes.iter().any(|part| immutable(part) && has(part))
}

/// Complex values by what each is known by, its `value`; the first of those that share one.
fn by_value(values: &[Value]) -> HashMap<String, &Map<String, Value>> {
    let mut known = HashMap::with_capacity(values.len());
    for parts in values.iter().filter_map(Value::as_object) {
        if let Some(value) = member(parts, "value") {
            known.entry(value.to_string()).or_insert(parts);
        }
    }
    known
}

/// Values of a multi-valued attribute may come and go; one that stays (by its `value`) keeps its immutable parts.
pub(crate) fn keep_immutable_parts(attribute: &Attribute, place: &str, before: &Value, after: &mut [Value]) -> Result<(), ScimError> {
    if !attribute.sub_attributes.iter().any(|part| part.mutability == Mutability::Immutable) {
        return Ok(());
    }
    let known = by_value(before.as_array().map_or(&[], Vec::as_slice));
    for value in after.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(old) = value.get("value").and_then(|one| known.get(&one.to_string())) {
            keep_immutable(&attribute.sub_attributes, &format!("{place}{}.", attribute.name), old, value)?;
        }
    }
    Ok(())
}
