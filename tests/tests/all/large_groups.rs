//! Groups with more members than a page of rows: read whole, written by differences, and not touched where nobody asks for them.

use std::collections::BTreeSet;

use rolecall_tests::cases::escaped;
use rolecall_tests::tenant::{group, patch, text};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};

/// More than two pages of rows.
const MEMBERS: usize = 2_345;

fn values(body: &Value) -> Vec<String> {
    body["members"]
        .as_array()
        .unwrap_or_else(|| panic!("no members: {}", body["displayName"]))
        .iter()
        .map(|one| text(&one["value"]))
        .collect()
}

on_both_databases! {
    /// The whole group, each member once, in every form that it can be asked for.
    async fn a_large_group_is_read_whole(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let people = entra.crowd("p", MEMBERS).await;
        let all: BTreeSet<String> = people.iter().cloned().collect();
        let members: Vec<&str> = people.iter().map(String::as_str).collect();
        let created = entra.scim.post("/Groups", group("Everybody", &members)).await;
        let body = created.expect(201);
        assert_eq!(values(&body).len(), MEMBERS, "the answer to the creation has them all");
        let path = format!("/Groups/{}", text(&body["id"]));
        let answer = entra.scim.get(&path).await;
        let read = answer.expect(200);
        assert_eq!(read, body);
        assert_eq!(answer.header("etag"), read["meta"]["version"]);
        assert_eq!(answer.header("content-type"), "application/scim+json");
        assert_eq!(values(&read).into_iter().collect::<BTreeSet<_>>(), all, "each once");
        let first = &read["members"][0];
        assert_eq!((&first["type"], entra.scim.get(&text(&first["$ref"])).await.expect(200)["id"].clone()), (&json!("User"), first["value"].clone()));
        let ids = entra.scim.get(&format!("{path}?attributes=members.value")).await.expect(200);
        assert_eq!(ids["members"][MEMBERS - 1].as_object().map(serde_json::Map::len), Some(1), "only the value");
        assert_eq!(values(&ids).into_iter().collect::<BTreeSet<_>>(), all);
        assert!(ids.get("displayName").is_none());
        let named = entra.scim.get(&format!("{path}?attributes=members.display")).await.expect(200);
        assert!(text(&named["members"][0]["display"]).ends_with("@acme.example"), "on request: {}", named["members"][0]);
        let without = entra.scim.get(&format!("{path}?excludedAttributes=members")).await.expect(200);
        assert!(without.get("members").is_none(), "{without}");
        let parts = entra.scim.get(&format!("{path}?excludedAttributes=members.display,members.$ref")).await.expect(200);
        assert_eq!(parts["members"][0].as_object().map(serde_json::Map::len), Some(2), "{}", parts["members"][0]);
        let listed = entra.scim.get(&format!("/Groups?filter={}", escaped("displayName eq \"everybody\""))).await.expect(200);
        assert_eq!(values(&listed["Resources"][0]).len(), MEMBERS);
        let head = entra.scim.send("HEAD", &path, &[], None).await;
        assert_eq!((head.status.as_u16(), head.text.len()), (200, 0));
        assert_eq!(entra.scim.send("GET", &path, &[("if-none-match", answer.header("etag"))], None).await.status.as_u16(), 304);
        assert_eq!(entra.scim.send("GET", &path, &[("accept", "application/json")], None).await.header("content-type"), "application/json");
        server.stop().await;
    }

    /// A member of many is one row; what GET gave, put back, changes nothing; one removed is one less.
    async fn a_large_group_is_written_by_differences(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let people = entra.crowd("p", MEMBERS).await;
        let members: Vec<&str> = people[1..].iter().map(String::as_str).collect();
        let path = format!("/Groups/{}", entra.group("Everybody", &members).await);
        server.settle().await;
        let add = patch(json!([{"op": "add", "path": "members", "value": [{"value": people[0]}]}]));
        let added = entra.scim.patch(&path, add.clone()).await;
        assert_eq!((added.status.as_u16(), added.header("etag")), (204, "W/\"2\""));
        assert_eq!(entra.scim.patch(&path, add).await.header("etag"), "W/\"2\"", "it is there already");
        let read = entra.scim.get(&path).await.expect(200);
        assert_eq!(values(&read).len(), MEMBERS);
        assert_eq!(entra.scim.put(&path, read.clone()).await.expect(200), read, "what GET gave changes nothing");
        let mut fewer = read.clone();
        fewer["members"].as_array_mut().expect("members").truncate(MEMBERS - 1);
        let put = entra.scim.put(&path, fewer).await.expect(200);
        assert_eq!((values(&put).len(), &put["meta"]["version"]), (MEMBERS - 1, &json!("W/\"3\"")));
        let whole = entra.scim.patch(&format!("{path}?attributes=members"), patch(json!([{"op": "replace", "path": "displayName", "value": "All"}]))).await;
        assert_eq!(values(&whole.expect(200)).len(), MEMBERS - 1, "the answer to a PATCH can have them all");
        server.stop().await;
    }
}
