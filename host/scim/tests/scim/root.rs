//! Filters for users and groups at once, as the server's root takes them (RFC 7644 §3.4.2.1).

use rolecall_scim::filter::Filter;
use rolecall_scim::schema::{GROUP, Schema, Schemas, USER};
use rolecall_scim::{ResourceKind, ScimType};
use serde_json::{Value, json};

fn resources() -> [(ResourceKind, Value); 3] {
    [
        (
            ResourceKind::User,
            json!({"schemas": [USER], "id": "u1", "userName": "ada", "displayName": "Ada", "active": true, "meta": {"resourceType": "User"}}),
        ),
        (ResourceKind::User, json!({"schemas": [USER], "id": "u2", "userName": "bo", "active": false, "meta": {"resourceType": "User"}})),
        (
            ResourceKind::Group,
            json!({"schemas": [GROUP], "id": "g1", "displayName": "ada", "members": [{"value": "u1", "type": "User"}], "meta": {"resourceType": "Group"}}),
        ),
    ]
}

fn found(schemas: &Schemas, filter: &str) -> Vec<String> {
    let (parsed, quirks) = Filter::parse_any(schemas, &ResourceKind::ALL, filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    assert_eq!(quirks, [], "{filter}");
    assert_eq!(Filter::parse_any(schemas, &ResourceKind::ALL, &parsed.to_string()).unwrap().0, parsed);
    let matching = resources().into_iter().filter(|(kind, resource)| parsed.matches(schemas, *kind, resource.as_object().unwrap()));
    matching.map(|(_, resource)| resource["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_attribute_that_a_kind_does_not_have_is_absent() {
    let users_urn = format!("{USER}:displayName eq \"ada\"");
    let groups_urn = format!("schemas eq \"{GROUP}\"");
    let cases: &[(&str, &[&str])] = &[
        ("meta.resourceType eq \"User\"", &["u1", "u2"]),
        ("meta.resourceType eq \"Group\"", &["g1"]),
        ("meta.resourceType ne \"Group\"", &["u1", "u2"]),
        (groups_urn.as_str(), &["g1"]),
        ("displayName eq \"ADA\"", &["u1", "g1"]),
        (users_urn.as_str(), &["u1"]),
        ("userName pr", &["u1", "u2"]),
        ("not (userName pr)", &["g1"]),
        ("userName ne \"ada\"", &["u2", "g1"]),
        ("userName eq null", &["g1"]),
        ("active eq false or members[value eq \"u1\"]", &["u2", "g1"]),
        ("members.type eq \"user\"", &["g1"]),
        ("id sw \"u\" and active eq true", &["u1"]),
    ];
    for (filter, wanted) in cases {
        assert_eq!(&found(&Schemas::default(), filter), wanted, "{filter}");
    }
}

#[test]
fn what_no_kind_has_is_refused() {
    for filter in ["nope eq 1", "name.nope pr", "active gt true", "urn:example:x:User:title pr", "password pr"] {
        let error = Filter::parse_any(&Schemas::default(), &ResourceKind::ALL, filter).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidFilter), "{filter}");
    }
    assert!(Filter::parse_any(&Schemas::default(), &[], "id pr").is_err());
    assert!(Filter::parse(&Schemas::default(), ResourceKind::User, "members pr").is_err());
}

#[test]
fn a_tenants_attribute_does_not_hide_the_groups_one() {
    let schema: Schema = serde_json::from_value(
        json!({"id": "urn:example:acme:club:1.0:User", "name": "Club", "attributes": [{"name": "members", "type": "integer"}]}),
    )
    .unwrap();
    let schemas = Schemas::with_extensions(vec![schema]).unwrap();
    assert_eq!(found(&schemas, "members.value eq \"u1\""), ["g1"]);
    assert_eq!(found(&schemas, "urn:example:acme:club:1.0:User:members gt 3"), Vec::<String>::new());
}
