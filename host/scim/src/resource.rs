//! Resources in normal form: what a client wrote, checked against the schemas and cleaned.

pub(crate) mod body;
pub(crate) mod value;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use self::body::DEPTH_LIMIT;
pub use self::value::{DOCUMENT_BYTES_LIMIT, VALUES_LIMIT};
use crate::schema::{GROUP, Schemas, USER};
use crate::{ResourceKind, ScimError};

/// A resource as the client wrote it, in normal form: attribute names in the schema's case, booleans
/// as booleans, no password, no NUL, no nulls but one, no empty arrays, no read-only attributes, no members, nothing
/// undefined. The one null is `active` of somebody who was deactivated and whose `active` was removed then: a false that
/// clients are not shown. Texts and the order of attributes and values stay as the client wrote them.
/// `schemas` stays as the client wrote it, without what is unknown, plus the core schema and the extensions that are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(pub(crate) Map<String, Value>);

impl Document {
    /// An attribute by its name in the schema's case (extensions: by URN).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
    /// A text attribute.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }
    /// The attributes.
    #[must_use]
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.0
    }
    /// The paths of the attributes that have a value; an extension's are qualified by its URN.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let of = |(name, value): (&String, &Value)| match value {
            Value::Object(parts) if name.contains(':') => parts.keys().map(|part| format!("{name}:{part}")).collect(),
            _ => vec![name.clone()],
        };
        self.0.iter().flat_map(of).collect()
    }
    /// The paths of the attributes that have another value than in `before`, or are in one of the two alone.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Vec<String> {
        let same = |path: &str| self.at(path) == before.at(path);
        let mut changed: Vec<String> = self.paths().into_iter().filter(|path| !same(path)).collect();
        changed.extend(before.paths().into_iter().filter(|path| self.at(path).is_none()));
        changed
    }
    /// The value at one of [`Self::paths`].
    fn at(&self, path: &str) -> Option<&Value> {
        self.0.get(path).or_else(|| {
            let (urn, name) = path.rsplit_once(':')?;
            self.0.get(urn)?.get(name)
        })
    }
    /// A copy as a JSON value, as clients see it: without a null.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.assigned().map(|(name, value)| (name.clone(), value.clone())).collect())
    }
    /// The attributes that have a value, in order.
    pub fn assigned(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().filter(|(_, value)| !value.is_null())
    }
    /// Whether it is a person who is active, or of whom nothing was said: clients that leave `active` out have disabled accounts
    /// elsewhere by accident.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !body::is_inactive(ResourceKind::User, &self.0)
    }
    /// What was stored as JSON text by this crate's own serialisation. Not for clients' bodies: see [`read()`].
    ///
    /// # Errors
    /// When the text is no JSON object.
    pub fn from_stored(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

/// A client's resource, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// The document.
    pub document: Document,
    /// For groups: the members' ids in order, without repeats; `None` when the body has no `members`.
    pub members: Option<Vec<String>>,
    /// Paths of attributes that neither the RFC nor the tenant defines, and of read-only ones: not kept.
    pub ignored: Vec<String>,
    /// Client quirks that were met (stable words, see [`crate::Quirk`]).
    pub quirks: Vec<crate::Quirk>,
}

/// Reads the body of a POST or a PUT. With `previous` (PUT), immutable attributes may not change and stay
/// when they are left out; so does `active` of somebody who was deactivated (RFC 7644 §3.5.1 leaves that to the server).
///
/// # Errors
/// 400 `invalidSyntax` / `invalidValue` / `mutability`, naming the attribute.
pub fn read(schemas: &Schemas, kind: ResourceKind, body: &Value, previous: Option<&Document>) -> Result<Read, ScimError> {
    body::read(schemas, kind, body, previous)
}

/// What the server adds to a document for clients: `id`, `meta`, and the rows that are kept beside it.
#[derive(Clone, Debug, Default)]
pub struct Extras<'a> {
    /// The SCIM id.
    pub id: &'a str,
    /// RFC 3339, `meta.created`.
    pub created: String,
    /// RFC 3339, `meta.lastModified`.
    pub last_modified: String,
    /// Absolute URI.
    pub location: String,
    /// Weak entity tag, `W/"3"`.
    pub version: String,
    /// `members` of a group or `groups` of a user as JSON objects; `None` leaves the attribute out.
    pub rows: Option<Vec<Value>>,
}

/// The whole resource as clients see it, before projection.
#[must_use]
pub fn view(kind: ResourceKind, document: &Document, extras: Extras<'_>) -> Map<String, Value> {
    let (core, rows_name) = match kind {
        ResourceKind::User => (USER, "groups"),
        ResourceKind::Group => (GROUP, "members"),
    };
    let Extras { id, created, last_modified, location, version, rows } = extras;
    let mut resource = Map::with_capacity(document.0.len() + 3);
    resource.insert("schemas".into(), document.get("schemas").cloned().unwrap_or_else(|| json!([core])));
    resource.insert("id".into(), id.into());
    resource.extend(document.assigned().filter(|(name, _)| *name != "schemas").map(|(name, value)| (name.clone(), value.clone())));
    if let Some(rows) = rows {
        resource.insert(rows_name.into(), rows.into());
    }
    let meta = json!({
        "resourceType": kind.name(), "created": created, "lastModified": last_modified, "location": location, "version": version,
    });
    resource.insert("meta".into(), meta);
    resource
}
