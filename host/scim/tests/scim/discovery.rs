//! Messages and discovery.

use rolecall_scim::ResourceKind;
use rolecall_scim::error::ScimError;
use rolecall_scim::event::EVENT_URIS;
use rolecall_scim::message::{
    Asynchronous, AuthenticationScheme, BulkFeature, CursorFeature, Features, PAGE_DEFAULT, PAGE_LIMIT, SecurityEvents, list_response,
    resource_type, schema_resources, service_provider_config,
};
use rolecall_scim::schema::{ENTERPRISE, GROUP, Schemas, USER};
use serde_json::{Map, Value, json};

const BASE: &str = "https://rolecall.example/scim/c1/v2";

#[test]
fn a_listing_always_has_resources_and_counts_what_it_holds() {
    let empty = list_response(7, 9, Vec::new());
    let schema = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
    assert_eq!(empty, json!({"schemas": [schema], "totalResults": 7, "startIndex": 9, "itemsPerPage": 0, "Resources": []}));
    let one = list_response(1, 1, vec![Map::from_iter([("id".to_owned(), json!("1"))])]);
    assert_eq!((&one["itemsPerPage"], &one["Resources"][0]["id"]), (&json!(1), &json!("1")));
}

#[test]
fn the_configuration_says_what_is_supported() {
    let config = service_provider_config(&Features::default(), BASE);
    let supported = |part: &str| config[part]["supported"].as_bool().unwrap();
    assert!(["patch", "filter", "etag"].into_iter().all(supported));
    assert!(!["bulk", "changePassword", "sort"].into_iter().any(supported));
    assert_eq!(config["filter"]["maxResults"], json!(PAGE_LIMIT));
    assert_eq!(config["authenticationSchemes"][0]["type"], json!("oauthbearertoken"));
    assert_eq!(config["meta"], json!({"resourceType": "ServiceProviderConfig", "location": format!("{BASE}/ServiceProviderConfig")}));
}

#[test]
fn the_configuration_says_no_more_than_the_host_does() {
    let config = service_provider_config(&Features::default(), BASE);
    for absent in ["pagination", "securityEvents", "documentationUri"] {
        assert!(config.get(absent).is_none(), "{absent}");
    }
    let features = Features {
        bulk: Some(BulkFeature { max_operations: 1_000, max_payload_bytes: 1_048_576 }),
        sort: true,
        cursors: Some(CursorFeature { timeout_s: Some(3_600) }),
        security_events: Some(SecurityEvents { asynchronous: Asynchronous::OnRequest, event_uris: vec![EVENT_URIS[3], EVENT_URIS[8]] }),
        authentication: vec![AuthenticationScheme::ClientCredentials, AuthenticationScheme::Jwt, AuthenticationScheme::BearerToken],
        documentation_uri: Some("https://rolecall.example/docs".into()),
    };
    let config = service_provider_config(&features, BASE);
    assert_eq!(config["bulk"], json!({"supported": true, "maxOperations": 1_000, "maxPayloadSize": 1_048_576}));
    assert_eq!(config["sort"], json!({"supported": true}));
    let pagination = json!({"cursor": true, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": PAGE_DEFAULT,
        "maxPageSize": PAGE_LIMIT, "cursorTimeout": 3_600});
    assert_eq!(config["pagination"], pagination);
    let events = json!({"asyncRequest": "request", "eventUris": ["urn:ietf:params:scim:event:prov:create:full", "urn:ietf:params:scim:event:prov:delete"]});
    assert_eq!(config["securityEvents"], events);
    assert_eq!(config["documentationUri"], json!("https://rolecall.example/docs"));
    let schemes = config["authenticationSchemes"].as_array().unwrap();
    let kinds: Vec<&Value> = schemes.iter().map(|scheme| &scheme["type"]).collect();
    assert_eq!(kinds, ["oauth2", "oauthbearertoken", "oauthbearertoken"]);
    let primary: Vec<bool> = schemes.iter().map(|scheme| scheme.get("primary") == Some(&json!(true))).collect();
    assert_eq!(primary, [true, false, false]);
    for required in ["name", "description", "specUri"] {
        assert!(schemes.iter().all(|scheme| scheme[required].as_str().is_some_and(|text| !text.is_empty())), "{required}");
    }
    let endless = service_provider_config(&Features { cursors: Some(CursorFeature { timeout_s: None }), ..Features::default() }, BASE);
    assert!(endless["pagination"].get("cursorTimeout").is_none());
    let words = [Asynchronous::Never, Asynchronous::Long].map(|asynchronous| {
        let security_events = Some(SecurityEvents { asynchronous, event_uris: Vec::new() });
        service_provider_config(&Features { security_events, ..Features::default() }, BASE)["securityEvents"]["asyncRequest"].clone()
    });
    assert_eq!(words, [json!("none"), json!("long")]);
}

#[test]
fn resource_types_name_their_schemas() {
    let schemas = Schemas::default();
    let user = resource_type(&schemas, ResourceKind::User, BASE);
    assert_eq!((&user["endpoint"], &user["schema"], &user["id"]), (&json!("/Users"), &json!(USER), &json!("User")));
    assert_eq!(user["schemaExtensions"], json!([{"schema": ENTERPRISE, "required": false}]));
    assert_eq!(user["meta"]["location"], json!(format!("{BASE}/ResourceTypes/User")));
    let group = resource_type(&schemas, ResourceKind::Group, BASE);
    assert_eq!((&group["endpoint"], &group["schema"], &group["schemaExtensions"]), (&json!("/Groups"), &json!(GROUP), &json!([])));
}

#[test]
fn schemas_carry_every_characteristic() {
    let all = schema_resources(&Schemas::default(), BASE);
    let ids: Vec<&Value> = all.iter().map(|schema| &schema["id"]).collect();
    assert_eq!(ids, [USER, GROUP, ENTERPRISE]);
    for schema in &all {
        assert_eq!(schema["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:Schema"]));
        assert_eq!(schema["meta"]["resourceType"], json!("Schema"));
        assert_eq!(schema["meta"]["location"], json!(format!("{BASE}/Schemas/{}", schema["id"].as_str().unwrap())));
        for attribute in schema["attributes"].as_array().unwrap() {
            for characteristic in
                ["name", "type", "multiValued", "description", "required", "caseExact", "mutability", "returned", "uniqueness"]
            {
                assert!(!attribute[characteristic].is_null(), "{}: {characteristic}", attribute["name"]);
            }
            assert_eq!(attribute["type"] == "complex", attribute.get("subAttributes").is_some(), "{}", attribute["name"]);
        }
    }
    let attribute = |name: &str| all[0]["attributes"].as_array().unwrap().iter().find(|a| a["name"] == name).unwrap().clone();
    let user_name = attribute("userName");
    assert_eq!(
        (&user_name["required"], &user_name["uniqueness"], &user_name["caseExact"]),
        (&json!(true), &json!("server"), &json!(false))
    );
    let password = attribute("password");
    assert_eq!((&password["returned"], &password["mutability"]), (&json!("never"), &json!("writeOnly")));
    assert_eq!(attribute("groups")["mutability"], json!("readOnly"));
    assert_eq!(attribute("x509Certificates")["subAttributes"][0]["type"], json!("binary"));
}

#[test]
fn an_error_says_its_status_as_a_text() {
    let body = ScimError::invalid_path("there is no attribute `x`").to_json();
    let schema = "urn:ietf:params:scim:api:messages:2.0:Error";
    assert_eq!(body, json!({"schemas": [schema], "status": "400", "scimType": "invalidPath", "detail": "there is no attribute `x`"}));
    assert_eq!(ScimError::not_found("user").to_json(), json!({"schemas": [schema], "status": "404", "detail": "there is no user"}));
}
