//! The OpenAPI 3.1 document, made once from the route table.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::error::{Format, PROBLEM_JSON, Problem};
use super::guards::Access;
use super::routes::{self, Route};
use super::scim::SCIM_JSON;

macro_rules! scim_schema {
    ($(#[$doc:meta])* $name:ident = $schema:tt) => {
        $(#[$doc])*
        pub struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

scim_schema!(
    /// A SCIM resource in the document; `/Schemas` has its attributes.
    ScimResource = {
        "type": "object",
        "description": "A SCIM resource (RFC 7643); its attributes are those of `/Schemas`.",
        "properties": {"schemas": {"type": "array", "items": {"type": "string"}}},
        "required": ["schemas"]
    }
);
scim_schema!(
    /// A SCIM list response in the document.
    ScimList = {
        "type": "object",
        "description": "A list response (RFC 7644 §3.4.2).",
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            "totalResults": {"type": "integer"},
            "startIndex": {"type": "integer"},
            "itemsPerPage": {"type": "integer"},
            "nextCursor": {"type": "string"},
            "previousCursor": {"type": "string"},
            "Resources": {"type": "array", "items": {"type": "object"}}
        },
        "required": ["schemas"]
    }
);
scim_schema!(
    /// A SCIM query by POST in the document.
    ScimSearch = {
        "type": "object",
        "description": "A query (RFC 7644 §3.4.3, RFC 9865).",
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            "attributes": {"type": "array", "items": {"type": "string"}},
            "excludedAttributes": {"type": "array", "items": {"type": "string"}},
            "filter": {"type": "string"},
            "sortBy": {"type": "string"},
            "sortOrder": {"type": "string", "enum": ["ascending", "descending"]},
            "startIndex": {"type": "integer"},
            "count": {"type": "integer"},
            "cursor": {"type": "string"}
        },
        "required": ["schemas"]
    }
);
scim_schema!(
    /// A SCIM bulk request or its answer in the document.
    ScimBulk = {
        "type": "object",
        "description": "A bulk request or its answer (RFC 7644 §3.7).",
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            "failOnErrors": {"type": "integer"},
            "Operations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "method": {"type": "string"},
                        "path": {"type": "string"},
                        "bulkId": {"type": "string"},
                        "version": {"type": "string"},
                        "data": {"type": "object"},
                        "location": {"type": "string"},
                        "status": {"type": "string"},
                        "response": {"type": "object"}
                    },
                    "required": ["method"]
                }
            }
        },
        "required": ["schemas", "Operations"]
    }
);
scim_schema!(
    /// A SCIM PATCH in the document.
    ScimPatch = {
        "type": "object",
        "description": "A PATCH (RFC 7644 §3.5.2).",
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            "Operations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"op": {"type": "string"}, "path": {"type": "string"}, "value": {}},
                    "required": ["op"]
                }
            }
        },
        "required": ["schemas", "Operations"]
    }
);
scim_schema!(
    /// A SCIM error in the document.
    ScimErrorBody = {
        "type": "object",
        "description": "An error (RFC 7644 §3.12).",
        "properties": {
            "schemas": {"type": "array", "items": {"type": "string"}},
            "status": {"type": "string"},
            "scimType": {"type": "string"},
            "detail": {"type": "string"}
        },
        "required": ["schemas", "status"]
    }
);

scim_schema!(
    /// An error of a token endpoint in the document.
    OAuthErrorBody = {
        "type": "object",
        "description": "An error (RFC 6749 §5.2).",
        "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
        "required": ["error"]
    }
);

/// The document, as JSON text.
pub fn document() -> Bytes {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(make().to_string()));
    DOCUMENT.clone()
}

fn make() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    // Pages are for people.
    for route in routes::all().into_iter().filter(|route| Format::of(route.path) != Format::Page) {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method.as_str().to_lowercase()] = operation(&route, &mut schemas);
    }
    let errors = json!({
        "Problem": {"description": "What failed, where, and what to do (RFC 9457)", "content": {PROBLEM_JSON: {"schema": schemas.subschema_for::<Problem<'static>>()}}},
        "OAuthError": {"description": "What failed (RFC 6749 §5.2)", "content": {"application/json": {"schema": schemas.subschema_for::<OAuthErrorBody>()}}},
        "ScimError": {"description": "What failed, where, and what to do (RFC 7644 §3.12)", "content": {SCIM_JSON: {"schema": schemas.subschema_for::<ScimErrorBody>()}}},
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rolecall",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "SCIM 2.0 for identity providers below `/scim`, and the API for the platform below `/api/v1`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": errors,
            "securitySchemes": {
                "connection_token": {"type": "http", "scheme": "bearer", "description": "A token of the connection in the path"},
                "connection_client": {"type": "http", "scheme": "basic", "description": "Id and secret of the OAuth client of the connection in the path"},
                "api_token": {"type": "http", "scheme": "bearer", "description": "An API token of the platform or of one tenant, to read or to write"},
            },
        },
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let (media_type, error) = match Format::of(route.path) {
        Format::OAuth => ("application/json", "#/components/responses/OAuthError"),
        Format::Scim => (SCIM_JSON, "#/components/responses/ScimError"),
        Format::Problem if route.path == "/metrics" => ("application/openmetrics-text", "#/components/responses/Problem"),
        Format::Problem | Format::Page => ("application/json", "#/components/responses/Problem"),
    };
    let mut success = json!({"description": route.status.canonical_reason().unwrap_or("Success")});
    if let Some(answer) = route.answer {
        success["content"] = json!({media_type: {"schema": answer(schemas)}});
    }
    let mut operation = json!({
        "operationId": route.operation,
        "summary": route.summary,
        "description": format!("For {}.", route.access.words()),
        "parameters": parameters(route, schemas),
        "security": security(route.access),
        "responses": {route.status.as_str(): success, "default": {"$ref": error}},
    });
    if let Some(body) = route.body {
        let media_type = if Format::of(route.path) == Format::OAuth { "application/x-www-form-urlencoded" } else { media_type };
        operation["requestBody"] = json!({"required": true, "content": {media_type: {"schema": body(schemas)}}});
    }
    operation
}

fn security(access: Access) -> Value {
    match access {
        Access::Public | Access::Session => json!([]),
        Access::Connection => json!([{"connection_token": []}]),
        Access::Client => json!([{"connection_client": []}]),
        Access::Api | Access::TenantRead | Access::TenantWrite | Access::PlatformWrite => json!([{"api_token": []}]),
    }
}

fn parameters(route: &Route, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let named = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let path = named.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    path.chain(query_parameters(route, schemas)).collect()
}

fn query_parameters(route: &Route, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let Some(query) = route.query else { return Vec::new() };
    let whole = query(schemas).to_value();
    let required = |name: &str| whole["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name));
    let properties = whole["properties"].as_object().cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({"name": name, "in": "query", "required": required(&name), "description": description, "schema": schema})
    };
    properties.into_iter().map(parameter).collect()
}
