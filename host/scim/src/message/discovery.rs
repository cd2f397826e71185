//! What a server can do and knows (RFC 7644 §4, RFC 7643 §5–§7, RFC 9865 §4, RFC 9967 §4), made from what the host says it supports.

use serde_json::{Map, Value, json};

use super::{PAGE_DEFAULT, PAGE_LIMIT};
use crate::ResourceKind;
use crate::schema::Schemas;

const CONFIG_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const TYPE_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// What a server supports, beside what every server of this crate does (filters, PATCH, entity tags, index paging).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Bulk requests with these bounds.
    pub bulk: Option<BulkFeature>,
    /// `sortBy` and `sortOrder`.
    pub sort: bool,
    /// Cursors (RFC 9865); `None` leaves the whole block `pagination` out.
    pub cursors: Option<CursorFeature>,
    /// Asynchronous requests and events (RFC 9967).
    pub security_events: Option<SecurityEvents>,
    /// How clients authenticate; the first one is what is recommended.
    pub authentication: Vec<AuthenticationScheme>,
    /// A page for people.
    pub documentation_uri: Option<String>,
}

/// The bounds of a bulk request (RFC 7643 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkFeature {
    /// Operations in one request.
    pub max_operations: usize,
    /// Bytes of one request.
    pub max_payload_bytes: usize,
}

/// What is said of cursors (RFC 9865 §4). Pages by index stay the default: that is what existing clients expect (§2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorFeature {
    /// For how many seconds a cursor is good; `None` for ever.
    pub timeout_s: Option<i64>,
}

/// What is said of asynchronous requests and events (RFC 9967 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityEvents {
    /// When a request is carried out asynchronously.
    pub asynchronous: Asynchronous,
    /// The events that can be delivered.
    pub event_uris: Vec<&'static str>,
}

/// When a request is carried out asynchronously (RFC 9967 §4, `asyncRequest`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asynchronous {
    /// Never.
    Never,
    /// When the server thinks that it takes too long.
    Long,
    /// When the client asks for it.
    OnRequest,
}

/// How clients authenticate (RFC 7643 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationScheme {
    /// The connection's token.
    BearerToken,
    /// OAuth 2.0 client credentials at the token endpoint.
    ClientCredentials,
    /// A JWT of the tenant's own issuer.
    Jwt,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            bulk: None,
            sort: false,
            cursors: None,
            security_events: None,
            authentication: vec![AuthenticationScheme::BearerToken],
            documentation_uri: None,
        }
    }
}

impl Asynchronous {
    fn word(self) -> &'static str {
        match self {
            Self::Never => "none",
            Self::Long => "long",
            Self::OnRequest => "request",
        }
    }
}

impl AuthenticationScheme {
    /// The type of RFC 7643 §5 (JWTs are bearer tokens, RFC 6750), a name, what it is, and where it is specified.
    fn about(self) -> [&'static str; 4] {
        match self {
            Self::BearerToken => [
                "oauthbearertoken",
                "Bearer token",
                "The connection's token in the Authorization header",
                "https://www.rfc-editor.org/info/rfc6750",
            ],
            Self::ClientCredentials => [
                "oauth2",
                "OAuth 2.0 client credentials",
                "An access token from the token endpoint, for the connection's client id and secret",
                "https://www.rfc-editor.org/info/rfc6749",
            ],
            Self::Jwt => [
                "oauthbearertoken",
                "JWT bearer",
                "An access token that the tenant's own issuer has signed",
                "https://www.rfc-editor.org/info/rfc9068",
            ],
        }
    }

    fn to_json(self, primary: bool) -> Value {
        let [kind, name, description, specification] = self.about();
        let mut scheme = json!({"type": kind, "name": name, "description": description, "specUri": specification});
        if primary {
            scheme["primary"] = true.into();
        }
        scheme
    }
}

/// `/ServiceProviderConfig` (RFC 7643 §5). `base` is the URL that the endpoints' paths follow, without a slash at its end.
#[must_use]
pub fn service_provider_config(features: &Features, base: &str) -> Value {
    let bulk = features.bulk.unwrap_or(BulkFeature { max_operations: 0, max_payload_bytes: 0 });
    let schemes = features.authentication.iter().enumerate().map(|(index, scheme)| scheme.to_json(index == 0));
    let mut config = json!({
        "schemas": [CONFIG_SCHEMA],
        "patch": {"supported": true},
        "bulk": {"supported": features.bulk.is_some(), "maxOperations": bulk.max_operations, "maxPayloadSize": bulk.max_payload_bytes},
        "filter": {"supported": true, "maxResults": PAGE_LIMIT},
        "changePassword": {"supported": false},
        "sort": {"supported": features.sort},
        "etag": {"supported": true},
        "authenticationSchemes": schemes.collect::<Vec<_>>(),
    });
    if let Some(CursorFeature { timeout_s }) = features.cursors {
        config["pagination"] = json!({
            "cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": PAGE_DEFAULT, "maxPageSize": PAGE_LIMIT,
        });
        if let Some(timeout_s) = timeout_s {
            config["pagination"]["cursorTimeout"] = timeout_s.into();
        }
    }
    if let Some(SecurityEvents { asynchronous, event_uris }) = &features.security_events {
        config["securityEvents"] = json!({"asyncRequest": asynchronous.word(), "eventUris": event_uris});
    }
    if let Some(uri) = &features.documentation_uri {
        config["documentationUri"] = uri.as_str().into();
    }
    config["meta"] = json!({"resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig")});
    config
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
