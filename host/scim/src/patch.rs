//! PATCH (RFC 7644 §3.5.2), pure, with what each operation did.

mod apply;
mod parse;
mod values;

use serde_json::Value;

use crate::filter::{Filter, value_matches};
use crate::resource::Document;
use crate::resource::value::Parts;
use crate::schema::Schemas;
use crate::{Quirk, ResourceKind, ScimError};

/// The message's schema.
pub const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// The most operations in one PATCH: identity providers send a few dozen, and each walks its attribute's values.
pub const OPERATIONS_LIMIT: usize = 1_000;

/// The most values that the operations of one PATCH look at together, an attribute's values once for each operation on it, and again for
/// every few tests of its filter ([`Filter::looks`]): some tenth of a second.
pub const LOOKS_LIMIT: usize = 100_000;

/// A parsed PATCH request; opaque outside this module but for its quirks.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Client quirks that were met while parsing.
    pub quirks: Vec<Quirk>,
    kind: ResourceKind,
    operations: Vec<Operation>,
    ignored: Vec<String>,
}

/// What an operation does (RFC 7644 §3.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// One entry of `Operations`; without a path it takes a step for each attribute.
#[derive(Clone, Debug)]
struct Operation {
    verb: Verb,
    steps: Vec<Step>,
}

/// A change of one attribute, ready to be applied.
#[derive(Clone, Debug)]
enum Step {
    /// An attribute of the document.
    Attribute(Box<Target>),
    /// A whole extension goes.
    RemoveExtension(String),
    /// These URNs are named in `schemas`.
    Schemas(Vec<String>),
    /// The members, which are rows.
    Members(MemberChange),
}

impl Step {
    /// Whether it brings nothing that could change something.
    fn is_void(&self) -> bool {
        match self {
            Self::Attribute(target) => match &target.change {
                Change::Merge(parts) => parts.is_empty(),
                Change::Values(values) => values.is_empty(),
                Change::Unassign | Change::Set(_) => false,
            },
            Self::RemoveExtension(_) | Self::Schemas(_) | Self::Members(_) => false,
        }
    }
}

/// An attribute by the schemas' names, and what it becomes.
#[derive(Clone, Debug)]
struct Target {
    extension: Option<String>,
    attribute: String,
    part: Option<String>,
    filter: Option<Filter>,
    /// Whether a value that the filter describes is made when none matches.
    makes_value: bool,
    change: Change,
}

/// What becomes of the target. Values are in normal form.
#[derive(Clone, Debug)]
enum Change {
    /// It loses its value.
    Unassign,
    /// It gets this value.
    Set(Value),
    /// A complex value gets these parts and keeps the others.
    Merge(Parts),
    /// A multi-valued attribute or part gains, has only, or loses these values; so does a part of one with many values lose its own.
    Values(Vec<Value>),
}

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It changed something.
    Applied,
    /// It asked for what was so already.
    NoOp,
}

/// A change of a group's members, in the request's order. The members themselves are rows that this crate does not see.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberChange {
    /// Add these ids.
    Add(Vec<String>),
    /// Remove these ids.
    Remove(Vec<String>),
    /// Remove the members (as JSON objects with `value`, `type`, `display`) that match.
    RemoveMatching(Filter),
    /// Put this id, or nobody, in the place of the members that match; [`Refusal::no_member`] when none does.
    ReplaceMatching(Filter, Option<String>),
    /// Make these the only members; empty removes all.
    Replace(Vec<String>),
}

/// The outcome of a PATCH.
#[derive(Clone, Debug)]
pub struct Patched {
    /// The new document.
    pub document: Document,
    /// For groups.
    pub members: Vec<MemberChange>,
    /// One entry for each of [`Self::members`]: the operation that asks for it, counted from 0, and whether that operation
    /// changed nothing else.
    pub member_operations: Vec<(usize, bool)>,
    /// One entry an operation: what it did. A request of which one operation is refused is refused as a whole, see
    /// [`Refusal`]. Member changes are `Applied`: whether they changed a row is the store's to say.
    pub operations: Vec<Done>,
    /// Paths of the attributes that changed, each once: for events (RFC 9967 §2.2) and logs.
    pub changed: Vec<String>,
    /// Attributes that were not kept.
    pub ignored: Vec<String>,
    /// Client quirks.
    pub quirks: Vec<Quirk>,
}

impl Patch {
    /// Parses the body of a PATCH: everything that does not depend on the resource is checked.
    ///
    /// # Errors
    /// 400 `invalidSyntax`, `invalidPath`, `invalidFilter`, `invalidValue`, `noTarget` or `mutability`, naming the
    /// operation by its number; 413 for more than [`OPERATIONS_LIMIT`].
    pub fn parse(schemas: &Schemas, kind: ResourceKind, body: &Value) -> Result<Self, ScimError> {
        Self::parse_or_refusal(schemas, kind, body).map_err(|refusal| refusal.error)
    }

    /// As [`Self::parse`], with the operation that the error is about.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_or_refusal(schemas: &Schemas, kind: ResourceKind, body: &Value) -> Result<Self, Refusal> {
        parse::parse(schemas, kind, body)
    }

    /// Applies it to a document: all of it or an error. `schemas` are those that it was parsed with.
    ///
    /// # Errors
    /// 400 `noTarget`, `mutability`, `invalidValue` …, naming the operation by its number.
    pub fn apply(&self, schemas: &Schemas, document: &Document) -> Result<Patched, ScimError> {
        self.apply_or_refusal(schemas, document).map_err(|refusal| refusal.error)
    }

    /// As [`Self::apply`], with the operation that the error is about.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_or_refusal(&self, schemas: &Schemas, document: &Document) -> Result<Patched, Refusal> {
        apply::apply(self, schemas, document)
    }
}

/// Whether a member, as a JSON object, matches the filter of [`MemberChange::RemoveMatching`].
#[must_use]
pub fn member_matches(schemas: &Schemas, filter: &Filter, member: &Value) -> bool {
    let members = schemas.core(ResourceKind::Group).attribute("members");
    members.is_some_and(|members| value_matches(filter, members, member))
}

/// Why a PATCH was refused, all of it (RFC 7644 §3.5.2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    /// The operation that can't be carried out, counted from 0; `None` when the request as a whole is at fault.
    pub operation: Option<usize>,
    /// What the client is told. It counts operations from 1.
    pub error: ScimError,
}

impl Refusal {
    /// 400 `noTarget` for a [`MemberChange::ReplaceMatching`] of this operation: no member matches (RFC 7644 §3.5.2.3).
    #[must_use]
    pub fn no_member(operation: usize) -> Self {
        Self::by(operation, values::no_match("members"))
    }

    fn by(index: usize, error: ScimError) -> Self {
        Self { operation: Some(index), error: ScimError { detail: format!("operation {}: {}", index + 1, error.detail), ..error } }
    }
}

impl From<ScimError> for Refusal {
    fn from(error: ScimError) -> Self {
        Self { operation: None, error }
    }
}

impl Done {
    /// A stable word for it, in events and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::NoOp => "no_op",
        }
    }
}
