//! One attribute's value, from a client's JSON to the normal form. Knows nothing of whole resources or of operations.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::filter::instant;
use crate::path::shown;
use crate::schema::{Attribute, Type};
use crate::{Quirk, ScimError};

/// The most values of one attribute. A directory has dozens; a million would make every PATCH of the user slow.
pub const VALUES_LIMIT: usize = 5_000;

/// The largest document that a PUT or a PATCH may make of a smaller one, in bytes of JSON without its numbers and truth values:
/// what one body can hold. A PATCH can give one text to thousands of values, and one PATCH can follow another.
pub const DOCUMENT_BYTES_LIMIT: usize = 1 << 20;
/// The most names that are kept of what was ignored: enough to see what is wrong.
const IGNORED_LIMIT: usize = 100;

/// RFC 7643 §2.3.6: Base64 of either alphabet; padding may be left out.
const PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: [GeneralPurpose; 2] = [GeneralPurpose::new(&alphabet::STANDARD, PADDING), GeneralPurpose::new(&alphabet::URL_SAFE, PADDING)];

/// Reads values and keeps what was met on the way.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// Paths of what is not kept.
    pub(crate) ignored: Vec<String>,
    /// Client quirks, each once.
    pub(crate) quirks: Vec<Quirk>,
    /// The first part that no schema has, since somebody last asked: an operation that says nothing else would do nothing.
    pub(crate) strange: Option<String>,
    /// PATCH: forms that only there have a client that needs them are read too.
    pub(crate) patch: bool,
}

/// The parts of a complex value by their names in the schema's case; `None` unassigns one.
pub(crate) type Parts = Vec<(String, Option<Value>)>;

impl Reader {
    pub(crate) fn ignore(&mut self, path: &str) {
        let path = shown(path);
        if self.ignored.len() < IGNORED_LIMIT && !self.ignored.contains(&path) {
            self.ignored.push(path);
        }
    }

    pub(crate) fn quirk(&mut self, quirk: Quirk) {
        if !self.quirks.contains(&quirk) {
            self.quirks.push(quirk);
        }
    }

    /// A whole attribute. Null, an empty array and an object without parts all mean "unassigned" (RFC 7643 §2.5).
    pub(crate) fn attribute(&mut self, attribute: &Attribute, place: &str, value: &Value) -> Result<Option<Value>, ScimError> {
        if !attribute.multi_valued {
            return self.single(attribute, place, value);
        }
        let values = self.values(attribute, place, value)?;
        Ok((!values.is_empty()).then_some(Value::Array(values)))
    }

    /// The values of an attribute with many.
    pub(crate) fn values(&mut self, attribute: &Attribute, place: &str, value: &Value) -> Result<Vec<Value>, ScimError> {
        let values = match value {
            Value::Null => return Ok(Vec::new()),
            // In a PATCH, an empty array says that there is to be nothing; in a resource it says nothing.
            Value::Array(values) if values.is_empty() && !self.patch => {
                self.quirk(Quirk::EmptyValues);
                return Ok(Vec::new());
            }
            Value::Array(values) => values.as_slice(),
            // RFC 7644 §3.5.2.1 lets a PATCH add one value without an array around it.
            Value::Object(_) if self.patch && attribute.kind == Type::Complex => std::slice::from_ref(value),
            value if self.patch && attribute.kind != Type::Complex => std::slice::from_ref(value),
            _ => return Err(wrong(place, "an array")),
        };
        if values.len() > VALUES_LIMIT {
            return Err(ScimError::invalid_value(format!("`{place}` has more than {VALUES_LIMIT} values")));
        }
        let mut read = Vec::with_capacity(values.len());
        for value in values {
            if value.is_array() {
                return Err(wrong(place, "an array without arrays in it"));
            }
            let value = match value {
                Value::Object(parts) if attribute.kind == Type::Complex => self.complex(attribute, place, parts)?.map(Value::Object),
                Value::Null => None,
                _ if attribute.kind == Type::Complex => return Err(wrong(place, "an array of objects")),
                // Entra ID writes the values of a tenant's own attribute like those of `emails` (learn.microsoft.com/answers, 1693075).
                Value::Object(parts) if self.patch => match bare(parts).ok_or_else(|| wrong(place, kind_word(attribute)))? {
                    Value::Null => None,
                    value => {
                        let value = self.scalar(attribute, place, value)?;
                        self.quirk(Quirk::WrappedScalar);
                        value
                    }
                },
                value => self.scalar(attribute, place, value)?,
            };
            read.extend(value);
        }
        if read.iter().filter(|value| is_primary(value)).count() > 1 {
            return Err(ScimError::invalid_value(format!("`{place}` has more than one primary value: at most one can be (RFC 7643 §2.4)")));
        }
        Ok(read)
    }

    /// The values that a removal names: each as it would be written or, where values are complex, by a text that is its `value`.
    pub(crate) fn named(&mut self, attribute: &Attribute, place: &str, value: &Value) -> Result<Vec<Value>, ScimError> {
        let given = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        let whole = |value: &Value| match value {
            Value::String(_) if attribute.kind == Type::Complex => self.scalar_for_complex(attribute, place, value),
            value => Ok(value.clone()),
        };
        let given: Value = given.iter().map(whole).collect::<Result<_, _>>()?;
        self.values(attribute, place, &given)
    }

    /// One value of an attribute, or the value of an attribute that has one.
    pub(crate) fn single(&mut self, attribute: &Attribute, place: &str, value: &Value) -> Result<Option<Value>, ScimError> {
        match value {
            Value::Null => Ok(None),
            Value::Array(values) if values.is_empty() => Ok(None),
            Value::Array(_) if self.patch => {
                let inner = self.unwrapped(attribute, place, value)?;
                self.single(attribute, place, inner)
            }
            Value::Object(parts) if attribute.kind == Type::Complex => Ok(self.complex(attribute, place, parts)?.map(Value::Object)),
            value if attribute.kind == Type::Complex => {
                let value = self.scalar_for_complex(attribute, place, value)?;
                Ok((value != Value::Object(Map::new())).then_some(value))
            }
            value => self.scalar(attribute, place, value),
        }
    }

    /// What an array with one value in it stands for where there is only one: older Entra ID clients write
    /// `[{"$ref": null, "value": "Eng"}]` (wso2/charon #110), SCIM-SDK up to 1.33 writes `["Eng"]` (its issue 968).
    pub(crate) fn unwrapped<'v>(&mut self, attribute: &Attribute, place: &str, value: &'v Value) -> Result<&'v Value, ScimError> {
        let complex = attribute.kind == Type::Complex;
        let inner = match value.as_array().map(Vec::as_slice) {
            Some([inner @ Value::Object(_)]) if complex => Some(inner),
            Some([Value::Object(parts)]) => bare(parts).filter(|inner| !inner.is_object()),
            // For a complex attribute a text is its `value`: see `scalar_for_complex`.
            Some([inner @ Value::String(_)]) => Some(inner),
            Some([inner @ (Value::Bool(_) | Value::Number(_))]) if !complex => Some(inner),
            _ => None,
        };
        let inner = inner.filter(|inner| !inner.is_array()).ok_or_else(|| wrong(place, kind_word(attribute)))?;
        self.quirk(Quirk::WrappedScalar);
        Ok(inner)
    }

    /// A scalar for a complex value that has a part `value`: Entra ID's manager.
    pub(crate) fn scalar_for_complex(&mut self, attribute: &Attribute, place: &str, value: &Value) -> Result<Value, ScimError> {
        let part = attribute.sub("value").filter(|_| value.is_string()).ok_or_else(|| wrong(place, "an object"))?;
        let value = self.scalar(part, place, value)?.filter(|value| !is_nobody(attribute, part, value));
        self.quirk(Quirk::ScalarForComplex);
        Ok(Value::Object(value.into_iter().map(|value| (part.name.clone(), value)).collect()))
    }

    /// A complex value; `None` when no part is left.
    pub(crate) fn complex(
        &mut self,
        attribute: &Attribute,
        place: &str,
        value: &Map<String, Value>,
    ) -> Result<Option<Map<String, Value>>, ScimError> {
        let parts = self.parts(attribute, place, value)?;
        let complex: Map<String, Value> = parts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        if complex.is_empty() {
            return Ok(None);
        }
        match attribute.sub_attributes.iter().find(|part| part.required && part.is_kept() && !complex.contains_key(&part.name)) {
            Some(part) => Err(ScimError::invalid_value(format!("`{place}.{}` is required", part.name))),
            None => Ok(Some(complex)),
        }
    }

    /// The parts of a complex value that are kept.
    pub(crate) fn parts(&mut self, attribute: &Attribute, place: &str, value: &Map<String, Value>) -> Result<Parts, ScimError> {
        let mut parts = Parts::with_capacity(value.len());
        for (key, value) in value {
            match attribute.sub(key) {
                Some(part) if part.is_kept() => {
                    if parts.iter().any(|(name, _)| *name == part.name) {
                        return Err(twice(&format!("{place}.{}", part.name)));
                    }
                    let value = self.attribute(part, &format!("{place}.{}", part.name), value)?;
                    let value = value.filter(|value| !is_nobody(attribute, part, value));
                    parts.push((part.name.clone(), value));
                }
                // A null says nothing that could be lost: Entra ID writes `"$ref": null` everywhere.
                _ if value.is_null() => {}
                part => {
                    let place = format!("{place}.{key}");
                    self.ignore(&place);
                    if part.is_none() {
                        self.strange.get_or_insert(place);
                    }
                }
            }
        }
        Ok(parts)
    }

    fn scalar(&mut self, attribute: &Attribute, place: &str, value: &Value) -> Result<Option<Value>, ScimError> {
        let fits = match (attribute.kind, value) {
            (Type::Boolean, Value::String(text)) => return self.boolean(place, text).map(|value| Some(Value::Bool(value))),
            (Type::Boolean, Value::Bool(_)) | (Type::Decimal, Value::Number(_)) => true,
            (Type::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
            (_, Value::String(text)) if text.contains('\0') => {
                return Err(ScimError::invalid_value(format!("`{place}` holds a NUL character: remove it")));
            }
            (Type::String | Type::Reference, Value::String(_)) => true,
            (Type::DateTime, Value::String(text)) => instant(text).is_some(),
            (Type::Binary, Value::String(text)) => is_base64(text),
            _ => false,
        };
        if attribute.name == "value" && value.as_str().is_some_and(is_json_object) {
            self.quirk(Quirk::JsonText);
        }
        if fits { Ok(Some(value.clone())) } else { Err(wrong(place, kind_word(attribute))) }
    }

    fn boolean(&mut self, place: &str, text: &str) -> Result<bool, ScimError> {
        let known = [("true", true), ("false", false)].into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        let (_, value) = known.ok_or_else(|| wrong(place, "true or false"))?;
        self.quirk(Quirk::BooleanText);
        Ok(value)
    }
}

/// Whether it says that somebody has no manager: Microsoft's tests remove one by an empty id, which is nobody's
/// (AzureAD/SCIMReferenceCode, `SCIMTests_Workflow.json`).
fn is_nobody(attribute: &Attribute, part: &Attribute, value: &Value) -> bool {
    attribute.name == "manager" && part.name == "value" && value.as_str().is_some_and(str::is_empty)
}

/// The scalar in an object that has nothing else, as in `{"$ref": null, "value": "Eng"}`.
fn bare(parts: &Map<String, Value>) -> Option<&Value> {
    parts.keys().all(|key| key == "value" || key == "$ref").then(|| parts.get("value"))?
}

/// Whether a text is a JSON object. Entra ID sends roles like that; the text is kept as it is.
fn is_json_object(text: &str) -> bool {
    let text = text.trim();
    text.starts_with('{') && text.ends_with('}') && serde_json::from_str::<Map<String, Value>>(text).is_ok()
}

/// How much of [`DOCUMENT_BYTES_LIMIT`] a value takes. True and false take nothing, nor do their names: whoever leaves always can.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(_) => 1,
        Value::String(text) => text.len() + 2,
        Value::Array(values) => values.iter().map(|value| 1 + weight(value)).sum(),
        Value::Object(parts) => parts_weight(parts),
    }
}

/// The same of all attributes or parts together, with their names.
pub(crate) fn parts_weight(parts: &Map<String, Value>) -> usize {
    let weighed = parts.iter().filter(|(_, value)| !matches!(value, Value::Bool(_) | Value::Null));
    weighed.map(|(name, value)| name.len() + 4 + weight(value)).sum()
}

pub(crate) fn too_large(place: &str) -> ScimError {
    ScimError::invalid_value(format!("with `{place}`, the resource would be larger than {DOCUMENT_BYTES_LIMIT} bytes"))
}

/// Whether a value of a multi-valued attribute is the preferred one.
pub(crate) fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

/// What tells values apart: RFC 7643 §2.4 wants no two with the same type and value. Addresses have no value.
pub(crate) fn identity(value: &Value) -> Option<String> {
    match value {
        Value::Object(parts) => parts.get("value").map(|value| format!("{value} {}", parts.get("type").unwrap_or(&Value::Null))),
        scalar => Some(scalar.to_string()),
    }
}

/// Leaves one of the complex values that have the same type and value: the first, with the parts that only the others have.
pub(crate) fn one_of_each(values: &mut Vec<Value>) {
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<Value> = Vec::with_capacity(values.len());
    for value in values.drain(..) {
        let first = identity(&value).filter(|_| value.is_object()).and_then(|identity| match known.entry(identity) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(new) => {
                new.insert(kept.len());
                None
            }
        });
        match (first.and_then(|first| kept.get_mut(first)).and_then(Value::as_object_mut), value) {
            (Some(first), Value::Object(parts)) => join(first, parts),
            (_, value) => kept.push(value),
        }
    }
    *values = kept;
}

fn join(first: &mut Map<String, Value>, parts: Map<String, Value>) {
    for (name, part) in parts {
        // Which value is the preferred one must not get lost with the one that said so.
        if name == "primary" && part == Value::Bool(true) {
            first.insert(name, part);
        } else {
            first.entry(name).or_insert(part);
        }
    }
}

pub(crate) fn twice(place: &str) -> ScimError {
    ScimError::invalid_syntax(format!("`{place}` is there twice: names differ by more than their case"))
}

fn wrong(place: &str, wanted: &str) -> ScimError {
    ScimError::invalid_value(format!("`{place}` must be {wanted}"))
}

fn kind_word(attribute: &Attribute) -> &'static str {
    match attribute.kind {
        Type::String => "a text",
        Type::Boolean => "true or false",
        Type::Decimal => "a number",
        Type::Integer => "a whole number",
        Type::DateTime => "an instant such as \"2026-01-31T08:00:00Z\"",
        Type::Binary => "Base64",
        Type::Reference => "a URI",
        Type::Complex => "an object",
    }
}

fn is_base64(text: &str) -> bool {
    // Certificates are often sent with the line breaks of their PEM form.
    let packed: String = text.split_ascii_whitespace().collect();
    BASE64.iter().any(|engine| engine.decode(&packed).is_ok())
}
