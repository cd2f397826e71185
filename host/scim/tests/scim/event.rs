//! Security event tokens: the claims, as RFC 9967 shows them.

use rolecall_scim::bulk::Outcome;
use rolecall_scim::event::{EVENT_URIS, Envelope, Event, Subject, Told, claims, operation_transaction};
use rolecall_scim::{ResourceKind, ScimError};
use serde_json::{Value, json};

const SUBJECT: Subject<'_> = Subject { kind: ResourceKind::User, id: "0198", external_id: Some("ada") };

fn token(events: &[Event<'_>], version: Option<&str>) -> Value {
    let audience = ["https://receiver.example".to_owned()];
    let envelope = Envelope {
        issuer: "https://rolecall.example",
        audience: &audience,
        token_id: "t1",
        transaction: "x1",
        issued_s: 1_767_600_000,
        happened_s: None,
    };
    claims(&envelope, SUBJECT, events, version)
}

#[test]
fn a_token_says_what_happened_to_what() {
    let data = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "0198", "userName": "ada"});
    let wanted = json!({
        "iss": "https://rolecall.example",
        "iat": 1_767_600_000,
        "jti": "t1",
        "aud": ["https://receiver.example"],
        "txn": "x1",
        "sub_id": {"format": "scim", "uri": "/Users/0198", "externalId": "ada"},
        "events": {"urn:ietf:params:scim:event:prov:create:full": {"data": data, "version": "W/\"1\""}},
    });
    assert_eq!(token(&[Event::Create(Told::Data(&data))], Some("W/\"1\"")), wanted);
}

#[test]
fn a_notice_tells_names_and_no_values() {
    let names = ["userName".to_owned(), "name.familyName".to_owned()];
    let payload = json!({"attributes": ["userName", "name.familyName"]});
    for (event, uri) in [
        (Event::Create(Told::Attributes(&names)), "urn:ietf:params:scim:event:prov:create:notice"),
        (Event::Patch(Told::Attributes(&names)), "urn:ietf:params:scim:event:prov:patch:notice"),
        (Event::Put(Told::Attributes(&names)), "urn:ietf:params:scim:event:prov:put:notice"),
    ] {
        assert_eq!(token(&[event], None)["events"], json!({uri: payload}));
    }
}

#[test]
fn several_events_of_one_transaction_are_one_token() {
    let data = json!({"Operations": []});
    let events = &token(&[Event::Patch(Told::Data(&data)), Event::Deactivate], Some("v2"))["events"];
    assert_eq!(events["urn:ietf:params:scim:event:prov:patch:full"], json!({"data": data, "version": "v2"}));
    assert_eq!(events["urn:ietf:params:scim:event:prov:deactivate"], json!({"version": "v2"}));
    // RFC 9967 §2.4.4: a delete has no payload.
    assert_eq!(token(&[Event::Delete], Some("v2"))["events"], json!({"urn:ietf:params:scim:event:prov:delete": {}}));
}

#[test]
fn an_asynchronous_request_ends_with_a_bulk_outcome() {
    let error = ScimError::invalid_syntax("it is unparsable");
    let failed = Outcome { method: "PUT".into(), status: 400, response: Some(error.to_json()), ..Outcome::default() };
    let events = &token(&[Event::AsyncResponse(&failed)], Some("v2"))["events"];
    assert_eq!(
        events,
        &json!({"urn:ietf:params:scim:event:misc:asyncresp": {"method": "PUT", "status": "400", "response": error.to_json()}})
    );
    assert_eq!(operation_transaction("2d80e537a3f6", 1), "2d80e537a3f6:1");
}

#[test]
fn every_event_is_a_registered_one() {
    let (data, names, outcome) = (json!({}), Vec::new(), Outcome::default());
    let events = [
        Event::FeedAdd,
        Event::FeedRemove,
        Event::Create(Told::Attributes(&names)),
        Event::Create(Told::Data(&data)),
        Event::Patch(Told::Attributes(&names)),
        Event::Patch(Told::Data(&data)),
        Event::Put(Told::Attributes(&names)),
        Event::Put(Told::Data(&data)),
        Event::Delete,
        Event::Activate,
        Event::Deactivate,
        Event::AsyncResponse(&outcome),
    ];
    assert_eq!(events.map(|event| event.uri()), EVENT_URIS);
}

#[test]
fn when_it_happened_is_told_when_it_is_known() {
    let audience = ["a".to_owned(), "b".to_owned()];
    let envelope = Envelope { issuer: "i", audience: &audience, token_id: "t", transaction: "x", issued_s: 10, happened_s: Some(7) };
    let group = Subject { kind: ResourceKind::Group, id: "g", external_id: None };
    let token = claims(&envelope, group, &[Event::Activate], None);
    assert_eq!((&token["toe"], &token["aud"]), (&json!(7), &json!(["a", "b"])));
    assert_eq!(token["sub_id"], json!({"format": "scim", "uri": "/Groups/g"}));
    assert_eq!(token["events"], json!({"urn:ietf:params:scim:event:prov:activate": {}}));
}
