//! Messages (RFC 7644 §3.4.2, §4): list responses and discovery.

mod discovery;

use serde_json::{Map, Value, json};

pub use self::discovery::{
    Asynchronous, AuthenticationScheme, BulkFeature, CursorFeature, Features, SecurityEvents, resource_type, schema_resources,
    service_provider_config,
};

/// The most resources a page holds.
pub const PAGE_LIMIT: i64 = 1_000;
/// How many resources a page holds unless the client says.
pub const PAGE_DEFAULT: i64 = 100;

/// The message of a listing.
pub const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// A `ListResponse`. `start_index` counts from 1. `Resources` is there also when it is empty: clients iterate over it.
#[must_use]
pub fn list_response(total: i64, start_index: i64, resources: Vec<Map<String, Value>>) -> Value {
    json!({
        "schemas": [LIST_SCHEMA],
        "totalResults": total,
        "startIndex": start_index,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

/// A `ListResponse` of a query with cursors (RFC 9865 §2): `next` is missing on the last page alone, `previous` on the first.
/// `total` may be left out where counting costs too much.
#[must_use]
pub fn cursor_response(total: Option<i64>, resources: Vec<Map<String, Value>>, next: Option<&str>, previous: Option<&str>) -> Value {
    let mut body = json!({"schemas": [LIST_SCHEMA], "itemsPerPage": resources.len()});
    let known =
        [("totalResults", total.map(Value::from)), ("nextCursor", next.map(Value::from)), ("previousCursor", previous.map(Value::from))];
    for (name, value) in known {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    body["Resources"] = resources.into();
    body
}
