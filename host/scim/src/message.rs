//! Messages (RFC 7644 §3.4.2, §4): list responses and discovery.

use serde_json::{Map, Value};

use crate::ResourceKind;
use crate::schema::Schemas;

/// The most resources a page holds.
pub const PAGE_LIMIT: i64 = 1_000;
/// How many resources a page holds unless the client says.
pub const PAGE_DEFAULT: i64 = 100;

/// A `ListResponse`. `start_index` counts from 1.
#[must_use]
pub fn list_response(total: i64, start_index: i64, resources: Vec<Map<String, Value>>) -> Value {
    let _ = (total, start_index, resources);
    unimplemented!()
}

/// `/ServiceProviderConfig` (RFC 7643 §5).
#[must_use]
pub fn service_provider_config(base: &str) -> Value {
    let _ = base;
    unimplemented!()
}

/// `/ResourceTypes` (RFC 7643 §6), as single resources.
#[must_use]
pub fn resource_type(schemas: &Schemas, kind: ResourceKind, base: &str) -> Value {
    let _ = (schemas, kind, base);
    unimplemented!()
}

/// `/Schemas` (RFC 7643 §7), as single resources.
#[must_use]
pub fn schema_resources(schemas: &Schemas, base: &str) -> Vec<Map<String, Value>> {
    let _ = (schemas, base);
    unimplemented!()
}
