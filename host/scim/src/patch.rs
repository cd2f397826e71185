//! PATCH (RFC 7644 §3.5.2), pure, with what each operation did.

use serde_json::Value;

use crate::filter::Filter;
use crate::resource::Document;
use crate::schema::Schemas;
use crate::{Quirk, ScimError};

/// The most operations in one PATCH.
pub const OPERATIONS_LIMIT: usize = 1_000;

/// A parsed PATCH request; opaque outside this module but for its quirks.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Client quirks that were met while parsing.
    pub quirks: Vec<Quirk>,
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
    /// One entry an operation. Member changes are `Applied`: whether they changed a row is the store's to say.
    pub operations: Vec<Done>,
    /// Attributes that were not kept.
    pub ignored: Vec<String>,
    /// Client quirks.
    pub quirks: Vec<Quirk>,
}

impl Patch {
    /// Parses the body of a PATCH.
    ///
    /// # Errors
    /// 400 `invalidSyntax`, `invalidPath`, `invalidValue` …, naming the operation by its number.
    pub fn parse(schemas: &Schemas, kind: crate::ResourceKind, body: &Value) -> Result<Self, ScimError> {
        let _ = (schemas, kind, body);
        unimplemented!()
    }

    /// Applies it to a document: all of it or an error.
    ///
    /// # Errors
    /// 400 `noTarget`, `mutability`, `invalidValue` …, naming the operation by its number.
    pub fn apply(&self, schemas: &Schemas, document: &Document) -> Result<Patched, ScimError> {
        let _ = (schemas, document);
        unimplemented!()
    }
}

/// Whether a member, as a JSON object, matches the filter of [`MemberChange::RemoveMatching`].
#[must_use]
pub fn member_matches(schemas: &Schemas, filter: &Filter, member: &Value) -> bool {
    let _ = (schemas, filter, member);
    unimplemented!()
}
