//! What fuzzed requests meet: a tenant's schemas, and some resources. Owns data alone.

use std::sync::LazyLock;

use rolecall_scim::ResourceKind;
use rolecall_scim::resource::{Document, Extras, read, view};
use rolecall_scim::schema::{ENTERPRISE, GROUP, Schemas, USER};
use serde_json::{Map, Value, json};

/// A tenant's own extension.
const BADGE: &str = "urn:example:badge:1.0:User";

/// A resource with its kind.
type Kept<T> = (ResourceKind, T);

/// The standard schemas, and an extension that has every type and the characteristics that the standard ones lack.
static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| {
    let badge = json!({"id": BADGE, "name": "Badge", "attributes": [
        {"name": "number", "type": "string", "required": true, "mutability": "immutable", "caseExact": true},
        {"name": "floors", "type": "integer", "multiValued": true},
        {"name": "weight", "type": "decimal"},
        {"name": "issued", "type": "dateTime"},
        {"name": "photo", "type": "binary"},
        {"name": "pin", "type": "string", "mutability": "writeOnly", "returned": "never"},
        {"name": "keys", "type": "complex", "multiValued": true, "subAttributes": [
            {"name": "value", "type": "string", "required": true},
            {"name": "serial", "type": "string", "mutability": "immutable"},
            {"name": "doors", "type": "string", "multiValued": true},
        ]},
    ]});
    let badge = serde_json::from_value(badge).expect("the extension has a schema's form");
    Schemas::with_extensions(vec![badge]).expect("the extension is a good one")
});

static DOCUMENTS: LazyLock<Vec<Kept<Document>>> = LazyLock::new(|| {
    let full = json!({
        "schemas": [USER, ENTERPRISE, BADGE], "userName": "Ada@acme.example", "externalId": "Ext-1", "displayName": "Ada Straße",
        "active": true, "name": {"givenName": "Ada", "familyName": "Lindqvist"},
        "emails": [{"value": "ada@acme.example", "type": "work", "primary": true}, {"value": "ada@home.example", "type": "home"}],
        "roles": [{"value": "lead"}],
        "addresses": [{"type": "work", "locality": "Lund"}],
        ENTERPRISE: {"employeeNumber": "0042", "department": "Research", "manager": {"value": "bo"}},
        BADGE: {"number": "B1", "floors": [1, 9], "weight": 1.5, "issued": "2026-01-31T08:00:00+01:00", "photo": "QUJD",
            "keys": [{"value": "k", "serial": "s", "doors": ["north"]}]},
    });
    let group = json!({"schemas": [GROUP], "displayName": "Engineers", "externalId": "g-1"});
    let kept =
        [(ResourceKind::User, full), (ResourceKind::User, json!({"schemas": [USER], "userName": "bo"})), (ResourceKind::Group, group)];
    kept.into_iter().map(|(kind, body)| (kind, read(schemas(), kind, &body, None).expect("a good body").document)).collect()
});

static RESOURCES: LazyLock<Vec<Kept<Map<String, Value>>>> =
    LazyLock::new(|| DOCUMENTS.iter().map(|(kind, document)| (*kind, view(*kind, document, extras()))).collect());

/// The schemas of the tenant.
pub(crate) fn schemas() -> &'static Schemas {
    &SCHEMAS
}

/// One of the resources, as any byte chooses: `0` a full user, `1` the least user, `2` a group.
pub(crate) fn document(choice: u8) -> Kept<&'static Document> {
    let (kind, document) = &DOCUMENTS[usize::from(choice) % DOCUMENTS.len()];
    (*kind, document)
}

/// All resources as clients see them.
pub(crate) fn resources() -> &'static [Kept<Map<String, Value>>] {
    &RESOURCES
}

/// What the server adds to a document.
pub(crate) fn extras() -> Extras<'static> {
    Extras {
        id: "0198",
        created: "2026-01-05T08:00:00Z".into(),
        last_modified: "2026-01-05T08:00:00Z".into(),
        location: "https://rolecall.example/scim/c/v2/Users/0198".into(),
        version: "W/\"1\"".into(),
        rows: None,
    }
}
