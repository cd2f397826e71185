//! The history holds all that security event tokens about provisioning need (RFC 8417, RFC 9967): whoever sends them makes them of
//! what the events say, and asks nobody else.

use rolecall_scim::ResourceKind;
use rolecall_scim::event::{Envelope, Event, Subject, Told, claims};
use rolecall_tests::tenant::patch;
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};

/// The claims of a token about an event of the history; `None` for what is not about a resource.
fn token(event: &Value) -> Option<Value> {
    let data = &event["data"];
    let (kind, what) = event["kind"].as_str()?.split_once('.')?;
    let kind = ResourceKind::from_name(kind)?;
    let names: Vec<String> = data["changed"].as_array()?.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let mut events = match (what, data["method"].as_str()?) {
        ("created", "POST") => vec![Event::Create(Told::Attributes(&names))],
        ("updated", "PATCH") => vec![Event::Patch(Told::Attributes(&names))],
        ("updated", "PUT") => vec![Event::Put(Told::Attributes(&names))],
        ("deleted", "DELETE") => vec![Event::Delete],
        other => panic!("{other:?} in {event}"),
    };
    events.extend(data["active"].as_bool().map(|active| if active { Event::Activate } else { Event::Deactivate }));
    let at: jiff::Timestamp = event["at"].as_str()?.parse().expect("an instant");
    let envelope = Envelope {
        issuer: "https://rolecall.example",
        audience: &["https://receiver.example".to_owned()],
        token_id: event["id"].as_str()?,
        transaction: event["request_id"].as_str()?,
        issued_s: at.as_second(),
        happened_s: None,
    };
    let subject = Subject { kind, id: data["resource"].as_str()?, external_id: None };
    Some(claims(&envelope, subject, &events, None))
}

on_both_databases! {
    /// A lifecycle, told by tokens: what happened, to what, in which request.
    async fn tokens_can_be_made_of_the_history(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let group = entra.group("Engineering", &[&ada]).await;
        let path = format!("/Users/{ada}");
        let active = |value: bool| patch(json!([{"op": "replace", "path": "active", "value": value}]));
        entra.scim.patch(&path, active(false)).await.expect(200);
        entra.scim.patch(&path, active(true)).await.expect(200);
        let mut person = entra.scim.get(&path).await.expect(200);
        person["nickName"] = "Ada".into();
        entra.scim.put(&path, person).await.expect(200);
        let operations = json!([{"method": "DELETE", "path": format!("/Groups/{group}")}]);
        let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations});
        entra.scim.post("/Bulk", bulk).await.expect(200);
        let deleted = entra.scim.delete(&path).await;
        deleted.expect(204);
        let tokens: Vec<Value> = acme.events(&server).await.iter().filter_map(token).collect();
        let told: Vec<(String, Vec<&str>)> = tokens
            .iter()
            .map(|token| {
                let events = token["events"].as_object().expect("events").keys();
                let short = events.map(|uri| uri.strip_prefix("urn:ietf:params:scim:event:prov:").expect("provisioning")).collect();
                (token["sub_id"]["uri"].as_str().expect("a subject").to_owned(), short)
            })
            .collect();
        let group = format!("/Groups/{group}");
        let wanted = [
            (&path, vec!["create:notice"]),
            (&group, vec!["create:notice"]),
            (&path, vec!["patch:notice", "deactivate"]),
            (&path, vec!["patch:notice", "activate"]),
            (&path, vec!["put:notice"]),
            (&group, vec!["delete"]),
            (&path, vec!["delete"]),
        ];
        assert_eq!(told, wanted.map(|(subject, events)| (subject.clone(), events)));
        assert_eq!(tokens[2]["events"]["urn:ietf:params:scim:event:prov:patch:notice"], json!({"attributes": ["active"]}));
        assert_eq!(tokens[6]["txn"], deleted.header("x-request-id"), "a token names the request, as its answer did");
        server.stop().await;
    }
}
