//! Attribute paths (RFC 7644 §3.5.2, §3.10): `name.givenName`, `urn:…:User:manager`, `emails[type eq "work"].value`.

use std::fmt;

use crate::ScimError;
use crate::filter::Filter;
use crate::schema::Schemas;

/// `attrPath` of RFC 7644 §3.4.2.2: an attribute, perhaps qualified by a schema URN, perhaps with a sub-attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttrPath {
    /// The schema's URN as written, when qualified.
    pub urn: Option<String>,
    /// The attribute's name as written (names are compared in any case).
    pub name: String,
    /// The sub-attribute's name as written.
    pub sub: Option<String>,
}

/// The target of a PATCH operation (RFC 7644 §3.5.2).
#[derive(Clone, Debug, PartialEq)]
pub enum Path {
    /// An attribute or sub-attribute.
    Attribute(AttrPath),
    /// The values of a multi-valued attribute that match, or a sub-attribute of them.
    Values {
        /// The multi-valued attribute (no sub-attribute).
        attribute: AttrPath,
        /// Which values.
        filter: Filter,
        /// Which part of them.
        sub: Option<String>,
    },
    /// A whole extension: its URN alone.
    Extension(String),
}

impl Path {
    /// Parses a path; `schemas` tell where a URN ends.
    ///
    /// # Errors
    /// 400 `invalidPath` with the column.
    pub fn parse(schemas: &Schemas, text: &str) -> Result<Self, ScimError> {
        let _ = (schemas, text);
        unimplemented!()
    }
}

impl AttrPath {
    /// Parses an attribute path.
    ///
    /// # Errors
    /// 400 `invalidPath` with the column.
    pub fn parse(schemas: &Schemas, text: &str) -> Result<Self, ScimError> {
        let _ = (schemas, text);
        unimplemented!()
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}
impl fmt::Display for Path {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}
