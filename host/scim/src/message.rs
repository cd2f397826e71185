//! Messages (RFC 7644 §3.4.2, §4): list responses and discovery.

use serde_json::{Map, Value, json};

use crate::ResourceKind;
use crate::schema::Schemas;

/// The most resources a page holds.
pub const PAGE_LIMIT: i64 = 1_000;
/// How many resources a page holds unless the client says.
pub const PAGE_DEFAULT: i64 = 100;

/// The message of a listing.
pub const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const CONFIG_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const TYPE_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

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

/// `/ServiceProviderConfig` (RFC 7643 §5). `base` is the URL that the endpoints' paths follow, without a slash at its end.
#[must_use]
pub fn service_provider_config(base: &str) -> Value {
    json!({
        "schemas": [CONFIG_SCHEMA],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": PAGE_LIMIT},
        "changePassword": {"supported": false},
        "sort": {"supported": false},
        "etag": {"supported": true},
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The connection's token in the Authorization header",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": {"resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig")},
    })
}

/// `/ResourceTypes` (RFC 7643 §6), as single resources.
#[must_use]
pub fn resource_type(schemas: &Schemas, kind: ResourceKind, base: &str) -> Value {
    let core = schemas.core(kind);
    let extensions: Vec<Value> =
        schemas.extensions(kind).iter().map(|extension| json!({"schema": extension.id, "required": false})).collect();
    json!({
        "schemas": [TYPE_SCHEMA],
        "id": kind.name(),
        "name": kind.name(),
        "description": core.description,
        "endpoint": format!("/{}", kind.endpoint()),
        "schema": core.id,
        "schemaExtensions": extensions,
        "meta": {"resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{}", kind.name())},
    })
}

/// `/Schemas` (RFC 7643 §7), as single resources.
#[must_use]
pub fn schema_resources(schemas: &Schemas, base: &str) -> Vec<Map<String, Value>> {
    let one = |schema| {
        let Ok(Value::Object(written)) = serde_json::to_value(schema) else { return None };
        let id = written.get("id").and_then(Value::as_str).unwrap_or_default();
        let meta = json!({"resourceType": "Schema", "location": format!("{base}/Schemas/{id}")});
        let mut resource = Map::from_iter([("schemas".to_owned(), json!([SCHEMA_SCHEMA]))]);
        resource.extend(written);
        resource.insert("meta".into(), meta);
        Some(resource)
    };
    schemas.all().filter_map(one).collect()
}
