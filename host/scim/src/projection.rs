//! `attributes` and `excludedAttributes` (RFC 7644 §3.9), decided before anything is loaded.

use serde_json::{Map, Value};

use crate::path::{AttrPath, Path};
use crate::schema::{Attribute, Returned, Schemas};
use crate::{ResourceKind, ScimError};

/// The most names in one of the parameters: more than all attributes that there are.
pub const NAMES_LIMIT: usize = 500;

/// What a client wants to see. The default is what is returned by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projection {
    mode: Mode,
    names: Vec<Name>,
    /// What a client that did not say what it wants has just written.
    written: Vec<Name>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// What is returned by default, without the names.
    #[default]
    Excluded,
    /// Only the names.
    Attributes,
}

/// A name in one of the parameters, in the schemas' case.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    extension: Option<String>,
    /// `None`: all of the schema.
    attribute: Option<String>,
    part: Option<String>,
}

impl Projection {
    /// From the two query parameters. Names that no schema has select nothing.
    ///
    /// # Errors
    /// 400 `invalidValue` when both are given, or there are more than [`NAMES_LIMIT`] names.
    pub fn parse(schemas: &Schemas, kind: ResourceKind, attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, ScimError> {
        let given = |list: Option<&str>| list.map(str::trim).filter(|list| !list.is_empty()).map(str::to_owned);
        let (mode, list) = match (given(attributes), given(excluded)) {
            (None, None) => return Ok(Self::default()),
            (Some(list), None) => (Mode::Attributes, list),
            (None, Some(list)) => (Mode::Excluded, list),
            (Some(_), Some(_)) => {
                return Err(ScimError::invalid_value("`attributes` and `excludedAttributes` exclude each other: give one of them"));
            }
        };
        if list.split(',').count() > NAMES_LIMIT {
            return Err(ScimError::invalid_value(format!("more than {NAMES_LIMIT} attribute names")));
        }
        let names = list.split(',').filter_map(|name| Name::parse(schemas, kind, name)).collect();
        Ok(Self { mode, names, written: Vec::new() })
    }

    /// For the answer to a POST, PUT or PATCH: attributes that are returned on request are also returned when the client
    /// has just written them (RFC 7643 §7, `returned`). `written` are their paths, as [`crate::resource::Document::paths`]
    /// and [`crate::patch::Patched::changed`] have them.
    #[must_use]
    pub fn with_written<'w>(mut self, schemas: &Schemas, kind: ResourceKind, written: impl IntoIterator<Item = &'w str>) -> Self {
        if self.mode == Mode::Excluded {
            self.written = written.into_iter().filter_map(|path| Name::parse(schemas, kind, path)).collect();
        }
        self
    }

    /// Whether a core attribute (`members`, `groups`) is wanted: what is not wanted is not loaded.
    #[must_use]
    pub fn wants(&self, attribute: &str) -> bool {
        let mut about = self.names.iter().filter(|name| name.is_about(None, attribute));
        match self.mode {
            Mode::Attributes => about.next().is_some(),
            Mode::Excluded => about.all(|name| name.part.is_some()),
        }
    }

    /// Leaves out what is not wanted, and never what is always returned.
    pub fn apply(&self, schemas: &Schemas, kind: ResourceKind, resource: &mut Map<String, Value>) {
        resource.retain(|key, value| match (schemas.attribute(kind, key), schemas.extension(kind, key)) {
            (Some(attribute), _) => self.keeps(None, attribute, value),
            (None, Some(schema)) => {
                let Value::Object(extension) = value else { return false };
                extension.retain(|key, value| schema.attribute(key).is_some_and(|a| self.keeps(Some(&schema.id), a, value)));
                !extension.is_empty()
            }
            (None, None) => false,
        });
    }

    /// Whether something of an attribute is kept; leaves out the parts that are not.
    fn keeps(&self, extension: Option<&str>, attribute: &Attribute, value: &mut Value) -> bool {
        let about: Vec<&Name> = self.names.iter().filter(|name| name.is_about(extension, &attribute.name)).collect();
        let whole = about.iter().any(|name| name.part.is_none());
        let named = |part: &Attribute| about.iter().any(|name| name.part.as_ref() == Some(&part.name));
        let was_written = |part: Option<&Attribute>| {
            let written = self.written.iter().filter(|name| name.is_about(extension, &attribute.name));
            part.map_or_else(
                || written.clone().next().is_some(),
                |part| written.clone().any(|name| name.part.as_ref().is_none_or(|name| *name == part.name)),
            )
        };
        let asked = match self.mode {
            Mode::Attributes => !about.is_empty(),
            Mode::Excluded => !whole && (attribute.returned != Returned::Request || was_written(None)),
        };
        let kept = match attribute.returned {
            Returned::Always => true,
            Returned::Never => false,
            Returned::Default | Returned::Request => asked,
        };
        if !kept || attribute.sub_attributes.is_empty() {
            return kept;
        }
        let keeps_part = |key: &str| {
            attribute.sub(key).is_some_and(|part| match (part.returned, self.mode) {
                (Returned::Always, _) => true,
                (Returned::Never, _) => false,
                (Returned::Request, Mode::Attributes) => named(part),
                (Returned::Request, Mode::Excluded) => !named(part) && part.is_kept() && was_written(Some(part)),
                // A whole attribute that is always returned and not asked for comes as it is.
                (Returned::Default, Mode::Attributes) => whole || about.is_empty() || named(part),
                (Returned::Default, Mode::Excluded) => !named(part),
            })
        };
        keep_parts(value, &keeps_part)
    }
}

/// Leaves out parts of a complex value or of each of its values; whether something is left.
fn keep_parts(value: &mut Value, keeps: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::Object(parts) => {
            parts.retain(|key, _| keeps(key));
            !parts.is_empty()
        }
        Value::Array(values) => {
            let was_empty = values.is_empty();
            values.retain_mut(|value| keep_parts(value, keeps));
            was_empty || !values.is_empty()
        }
        _ => true,
    }
}

impl Name {
    fn parse(schemas: &Schemas, kind: ResourceKind, text: &str) -> Option<Self> {
        match Path::parse_for(schemas, &[kind], text.trim()).ok()?.0 {
            Path::Extension(urn) if urn.eq_ignore_ascii_case(&schemas.core(kind).id) => {
                Some(Self { extension: None, attribute: None, part: None })
            }
            Path::Extension(urn) => Some(Self { extension: Some(schemas.extension(kind, &urn)?.id.clone()), attribute: None, part: None }),
            Path::Attribute(path) => Self::resolve(schemas, kind, &path),
            Path::Values { .. } => None,
        }
    }

    fn resolve(schemas: &Schemas, kind: ResourceKind, path: &AttrPath) -> Option<Self> {
        let found = schemas.resolve(kind, path)?;
        Some(Self {
            extension: found.extension.map(Into::into),
            attribute: Some(found.attribute.name.clone()),
            part: found.sub.map(|part| part.name.clone()),
        })
    }

    fn is_about(&self, extension: Option<&str>, attribute: &str) -> bool {
        self.extension.as_deref() == extension && self.attribute.as_deref().is_none_or(|name| name.eq_ignore_ascii_case(attribute))
    }
}
