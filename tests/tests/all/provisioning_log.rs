//! The provisioning log: every write of a connection and what came of it, without anybody's values.

use rolecall_tests::tenant::{text, user};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};

/// What an entry says, without when and where.
fn said(entry: &Value) -> (String, String, i64, String, [i64; 3]) {
    let number = |value: &Value| value.as_i64().unwrap_or(-1);
    let done = &entry["operations"];
    (
        text(&entry["method"]),
        entry["resource_type"].as_str().unwrap_or("").to_owned(),
        number(&entry["status"]),
        entry["scim_type"].as_str().unwrap_or("").to_owned(),
        [number(&done["applied"]), number(&done["no_op"]), number(&done["refused"])],
    )
}

fn entry(method: &str, kind: &str, status: i64, scim_type: &str, done: [i64; 3]) -> (String, String, i64, String, [i64; 3]) {
    (method.into(), kind.into(), status, scim_type.into(), done)
}

on_both_databases! {
    /// Applied, no-op and refused are told apart, operation by operation; refusals that never came to be tried are there too.
    async fn each_write_is_in_it_with_what_came_of_it(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let scim = &entra.scim;
        let created = scim.post("/Users", user("ada@acme.example", json!({"title": "secret title"}))).await;
        let ada = text(&created.expect(201)["id"]);
        let patch = |operations: Value| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        let path = format!("/Users/{ada}");
        scim.patch(&path, patch(json!([
            {"op": "replace", "path": "title", "value": "another title"},
            {"op": "replace", "path": "displayName", "value": "Countess"},
            {"op": "replace", "path": "title", "value": "another title"},
        ]))).await.expect(200);
        scim.patch(&path, patch(json!([{"op": "replace", "path": "title", "value": "another title"}]))).await.expect(200);
        scim.patch(&path, patch(json!([
            {"op": "replace", "path": "title", "value": "x"},
            {"op": "remove", "path": "emails[value eq \"nobody@acme.example\"].type"},
            {"op": "replace", "path": "nonsense", "value": "y"},
        ]))).await.expect(400);
        scim.send("PUT", &path, &[], Some(b"{not json secret".to_vec())).await.expect(400);
        scim.send("PATCH", &path, &[("if-match", "W/\"99\"")], Some(patch(json!([{"op": "replace", "path": "title", "value": "z"}])).to_string().into_bytes())).await.expect(412);
        scim.post("/Users", user("ada@acme.example", json!({}))).await.expect(409);
        scim.get("/Users").await.expect(200);
        scim.post("/Users/.search", json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]})).await.expect(200);
        scim.delete("/Users/no-such-user-at-all").await.expect(404);
        let deleted = scim.delete(&path).await;
        deleted.expect(204);
        scim.get(&path).await.expect(404);
        let log = acme.api.get(&format!("/connections/{}/log", entra.id)).await.expect(200);
        let entries = log["entries"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = entries.iter().map(said).collect();
        assert_eq!(found, [
            entry("POST", "User", 201, "", [1, 0, 0]),
            entry("PATCH", "User", 200, "", [2, 1, 0]),
            entry("PATCH", "User", 200, "", [0, 1, 0]),
            entry("PATCH", "User", 400, found[3].3.as_str(), [0, 0, 3]),
            entry("PUT", "User", 400, "invalidSyntax", [0, 0, 1]),
            entry("PATCH", "User", 412, "", [0, 0, 1]),
            entry("POST", "User", 409, "uniqueness", [0, 0, 1]),
            entry("DELETE", "User", 404, "", [0, 0, 1]),
            entry("DELETE", "User", 204, "", [1, 0, 0]),
            entry("GET", "User", 404, "", [0, 0, 1]),
        ], "{log:#}");
        assert!(!found[3].3.is_empty() && text(&entries[3]["reason"]).contains("operation"), "{}", entries[3]);
        // Also where nothing was tried; but no text of the client's that is no id.
        for (nth, entry) in entries.iter().enumerate() {
            let named = if [6, 7].contains(&nth) { Value::Null } else { json!(ada) };
            assert_eq!(entry["resource"], named, "{entry}");
        }
        assert_eq!(entries[0]["request_id"], created.header("x-request-id"));
        assert_eq!(entries[8]["request_id"], deleted.header("x-request-id"));
        for value in ["secret", "ada@acme", "nobody@acme", "Countess", "another title", "no-such-user"] {
            assert!(!log.to_string().contains(value), "`{value}` is in the log: {log:#}");
        }
        server.stop().await;
    }

    /// Each operation of a bulk request has an entry of its own, with the request's id.
    async fn a_bulk_request_has_an_entry_for_each_operation(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let bulk = |operations: Value| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations});
        let answer = entra.scim.post("/Bulk", bulk(json!([
            {"method": "POST", "path": "/Users", "bulkId": "a", "data": user("ada@acme.example", json!({}))},
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": rolecall_tests::tenant::group("Engineering", &[])},
            {"method": "DELETE", "path": "/Users/unknown"},
            {"method": "PUT", "path": "/Nonsense/1", "data": {}},
            {"method": "PATCH", "path": "/Users/unknown", "version": "W/\"1\",W/\"2\"", "data": {}},
        ]))).await;
        answer.expect(200);
        entra.scim.post("/Bulk", bulk(json!("none"))).await.expect(400);
        let log = acme.api.get(&format!("/connections/{}/log", entra.id)).await.expect(200);
        let found: Vec<(String, i64)> = log["entries"].as_array().into_iter().flatten().map(said).map(|said| (said.0, said.2)).collect();
        let expected = [("POST", 201), ("POST", 201), ("DELETE", 404), ("PUT", 404), ("PATCH", 404), ("POST", 400)];
        assert_eq!(found, expected.map(|(method, status)| (method.to_owned(), status)), "{log:#}");
        let ids: std::collections::BTreeSet<String> = log["entries"].as_array().into_iter().flatten().take(5).map(|entry| text(&entry["request_id"])).collect();
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), [answer.header("x-request-id")]);
        server.stop().await;
    }

    /// It is read page by page, belongs to its tenant, outlives the process and ends with age.
    async fn it_is_read_in_pages_and_has_an_end(database: Database) {
        let server = Server::start_working(&database).await;
        let acme = server.tenant("acme").create().await;
        server.tenant("globex").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        for n in 0..7 {
            entra.create(&format!("p{n}@acme.example")).await;
        }
        okta.create("other@acme.example").await;
        // Nobody has read it yet: what waits is written when the process ends.
        server.stop().await;
        let server = Server::start(&database).await;
        let acme = server.existing("acme");
        let log = async |query: &str| acme.api.get(&format!("/connections/{}/log{query}", entra.id)).await.expect(200);
        let positions = |page: &Value| page["entries"].as_array().into_iter().flatten().filter_map(|entry| entry["position"].as_i64()).collect::<Vec<_>>();
        let all = positions(&log("").await);
        assert_eq!(all.len(), 7, "{all:?}");
        assert_eq!(positions(&log("?limit=2").await), all[5..], "the newest");
        let (mut read, mut after) = (Vec::new(), 0);
        loop {
            let page = log(&format!("?after={after}&limit=3")).await;
            let Some(next) = page["next"].as_i64() else { break };
            read.extend(positions(&page));
            after = next;
        }
        assert_eq!(read, all);
        for (client, expected) in [(server.api_client(Some("acme"), false).await, 200), (server.api_client(Some("globex"), true).await, 404)] {
            for what in ["log", "dialects"] {
                client.get(&format!("/tenants/acme/connections/{}/{what}", entra.id)).await.expect(expected);
                client.get(&format!("/tenants/acme/connections/unknown/{what}")).await.expect(404);
            }
        }
        let stranger = server.api_client(Some("globex"), true).await;
        stranger.get(&format!("/tenants/globex/connections/{}/log", entra.id)).await.expect(404);
        server.clock.advance_hours(24 * 31);
        rolecall::jobs::forget_log(server.app()).await.expect("old entries can be removed");
        assert_eq!(positions(&log("").await), Vec::<i64>::new());
        server.stop().await;
    }
}
