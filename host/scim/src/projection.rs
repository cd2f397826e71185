//! `attributes` and `excludedAttributes` (RFC 7644 §3.9), decided before anything is loaded.

use serde_json::{Map, Value};

use crate::schema::Schemas;
use crate::{ResourceKind, ScimError};

/// What a client wants to see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projection {
    _private: (),
}

impl Projection {
    /// From the two query parameters.
    ///
    /// # Errors
    /// 400 `invalidValue` when both are given.
    pub fn parse(schemas: &Schemas, kind: ResourceKind, attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, ScimError> {
        let _ = (schemas, kind, attributes, excluded);
        unimplemented!()
    }
    /// Whether a core attribute (`members`, `groups`) is wanted: what is not wanted is not loaded.
    #[must_use]
    pub fn wants(&self, attribute: &str) -> bool {
        let _ = attribute;
        unimplemented!()
    }
    /// Leaves out what is not wanted, and never what is always returned.
    pub fn apply(&self, schemas: &Schemas, kind: ResourceKind, resource: &mut Map<String, Value>) {
        let _ = (schemas, kind, resource);
        unimplemented!()
    }
}
