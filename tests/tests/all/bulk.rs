//! Bulk requests (RFC 7644 §3.7): many writes, each as if it had come by itself.

use rolecall_tests::tenant::{bulk, group, patch, text, user};
use rolecall_tests::{Connection, Database, Server, on_both_databases};
use serde_json::{Value, json};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn post(place: &str, bulk_id: &str, data: Value) -> Value {
    json!({"method": "POST", "path": place, "bulkId": bulk_id, "data": data})
}

fn statuses(outcomes: &Value) -> Vec<String> {
    outcomes.as_array().expect("outcomes").iter().map(|outcome| text(&outcome["status"])).collect()
}

/// The id at the end of an outcome's location.
fn id(outcome: &Value) -> String {
    text(&outcome["location"]).rsplit('/').next().unwrap_or_default().to_owned()
}

async fn total(entra: &Connection, place: &str) -> Value {
    entra.scim.get(place).await.expect(200)["totalResults"].clone()
}

on_both_databases! {
    /// References lead to what the request creates, wherever it stands in it; the people are decided as always.
    async fn references_lead_to_what_is_created(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let manager = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE], ENTERPRISE: {"manager": {"value": "bulkId:boss"}}});
        let outcomes = entra.bulk(json!([
            post("/Groups", "team", group("Engineering", &["bulkId:ada", "bulkId:boss"])),
            post("/Users", "ada", user("ada@acme.example", manager)),
            post("/Users", "boss", user("boss@acme.example", json!({}))),
            {"method": "PATCH", "path": "/Users/bulkId:ada", "data": patch(json!([{"op": "add", "path": "title", "value": "Engineer"}]))},
            {"method": "PATCH", "path": "/Groups/bulkId:team", "data": patch(json!([{"op": "remove", "path": "members[value eq \"bulkId:boss\"]"}]))},
        ])).await;
        assert_eq!(statuses(&outcomes), ["201", "201", "201", "200", "200"], "{outcomes}");
        let labels: Vec<&Value> = outcomes.as_array().expect("outcomes").iter().map(|outcome| &outcome["bulkId"]).collect();
        assert_eq!(labels, [&json!("team"), &json!("ada"), &json!("boss"), &Value::Null, &Value::Null], "in the request's order");
        let ada = entra.scim.get(&text(&outcomes[1]["location"])).await.expect(200);
        assert_eq!((&ada["title"], &ada[ENTERPRISE]["manager"]["value"]), (&json!("Engineer"), &json!(id(&outcomes[2]))));
        assert_eq!(ada["meta"]["version"], outcomes[3]["version"], "the version after the operation");
        let team = entra.scim.get(&text(&outcomes[0]["location"])).await.expect(200);
        assert_eq!(team["members"].as_array().map(Vec::len), Some(1), "{team}");
        assert_eq!(team["members"][0]["value"], json!(id(&outcomes[1])));
        assert_eq!(acme.roles("ada@acme.example").await.len(), 1);
        assert_eq!(acme.roles("boss@acme.example").await.len(), 0);
        server.stop().await;
    }

    /// Circles of references are resolved where the resources may refer to each other, and refused where they must not.
    async fn circles_are_resolved_or_refused(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let managed_by = |bulk_id: &str| json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
            ENTERPRISE: {"department": "D", "manager": {"value": format!("bulkId:{bulk_id}")}},
        });
        let outcomes = entra.bulk(json!([
            post("/Users", "a", user("a@acme.example", managed_by("b"))),
            post("/Users", "b", user("b@acme.example", managed_by("a"))),
        ])).await;
        assert_eq!(statuses(&outcomes), ["201", "201"], "{outcomes}");
        for (own, other) in [(0, 1), (1, 0)] {
            let read = entra.scim.get(&text(&outcomes[own]["location"])).await.expect(200);
            assert_eq!(read[ENTERPRISE]["manager"]["value"], json!(id(&outcomes[other])), "{read}");
            assert_eq!(read["meta"]["version"], outcomes[own]["version"]);
        }
        // Groups can't contain each other.
        let outcomes = entra.bulk(json!([
            post("/Groups", "x", group("X", &["bulkId:y"])),
            post("/Groups", "y", group("Y", &["bulkId:x"])),
        ])).await;
        let mut known = statuses(&outcomes);
        known.sort();
        assert_eq!(known, ["201", "409"], "{outcomes}");
        let refused = outcomes.as_array().expect("outcomes").iter().find(|outcome| outcome["status"] == "409").expect("one is refused");
        assert!(text(&refused["response"]["detail"]).contains("created without"), "{refused}");
        entra.scim.get(&text(&refused["location"])).await.expect(200);
        assert!(!entra.scim.get("/Groups").await.text.contains("bulkId:"));
        server.stop().await;
    }

    /// Each operation has its own answer; `failOnErrors` says how many errors end the request.
    async fn every_operation_has_its_own_answer(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let eve = entra.create("eve@acme.example").await;
        let outcomes = entra.bulk(json!([
            post("/Users", "same", user("ADA@acme.example", json!({"externalId": "other"}))),
            post("/Users", "incomplete", json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]})),
            post("/Users", "good", user("good@acme.example", json!({}))),
            {"method": "put", "path": format!("/Users/{ada}"), "version": "W/\"1\"", "data": user("ada@acme.example", json!({"title": "T"}))},
            {"method": "PATCH", "path": format!("/Users/{ada}"), "version": "W/\"1\"", "data": patch(json!([{"op": "remove", "path": "title"}]))},
            {"method": "DELETE", "path": format!("/Users/{eve}")},
            {"method": "DELETE", "path": "/Users/nobody"},
            {"method": "PATCH", "path": format!("/Users/{ada}"), "data": patch(json!([{"op": "replace", "path": "frobs", "value": 1}]))},
            {"method": "GET", "path": "/Users"},
            {"method": "POST", "path": "/Frobs", "bulkId": "f", "data": {}},
            {"method": "PUT", "path": "/Users", "data": {}},
            post("/Users", "good", user("twice@acme.example", json!({}))),
            post("/Groups", "lost", group("Lost", &["bulkId:never"])),
            post("/Groups", "late", group("Late", &["bulkId:incomplete"])),
        ])).await;
        assert_eq!(
            statuses(&outcomes),
            ["409", "400", "201", "200", "412", "204", "404", "400", "400", "404", "400", "400", "400", "409"],
            "{outcomes}"
        );
        for (number, scim_type) in [(0, json!("uniqueness")), (1, json!("invalidValue")), (6, Value::Null), (7, json!("invalidPath"))] {
            let response = &outcomes[number]["response"];
            assert_eq!(response["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error", "{response}");
            assert_eq!((&response["status"], &response["scimType"]), (&outcomes[number]["status"], &scim_type), "{response}");
        }
        assert!(outcomes[0].get("location").is_none(), "what was not created is nowhere");
        assert!(text(&outcomes[4]["location"]).ends_with(&format!("/Users/{ada}")), "a location in every other answer");
        assert_eq!(outcomes[3]["version"], "W/\"2\"");
        assert!(outcomes[5].get("version").is_none(), "{}", outcomes[5]);
        entra.scim.get(&format!("/Users/{eve}")).await.expect(404);
        assert_eq!(acme.accounts().await.len(), 3, "ada, eve (removed), good");

        let two_errors = json!([
            {"method": "DELETE", "path": "/Users/nobody-1"},
            post("/Users", "first", user("first@acme.example", json!({}))),
            {"method": "DELETE", "path": "/Users/nobody-2"},
            post("/Users", "second", user("second@acme.example", json!({}))),
        ]);
        let ended = entra.scim.post("/Bulk", bulk(two_errors.clone(), json!({"failOnErrors": 2}))).await.expect(200);
        assert_eq!(statuses(&ended["Operations"]), ["404", "201", "404"], "what comes after is not carried out");
        let ended = entra.scim.post("/Bulk", bulk(two_errors, json!({"failOnErrors": 1}))).await.expect(200);
        assert_eq!(statuses(&ended["Operations"]), ["404"]);
        assert_eq!(total(&entra, "/Users").await, 3, "ada, good, first");
        server.stop().await;
    }

    /// A leaver leaves by bulk too; the events say which request it was.
    async fn leavers_leave_by_bulk(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (ada, eve) = (entra.create("ada@acme.example").await, entra.create("eve@acme.example").await);
        entra.group("Engineering", &[&ada, &eve]).await;
        let outcomes = entra.bulk(json!([
            {"method": "PATCH", "path": format!("/Users/{ada}"), "data": patch(json!([{"op": "Replace", "path": "active", "value": "False"}]))},
            {"method": "DELETE", "path": format!("/Users/{eve}")},
        ])).await;
        assert_eq!(statuses(&outcomes), ["200", "204"]);
        assert_eq!(acme.state("ada@acme.example").await, "suspended");
        assert!(acme.accounts().await.values().all(|account| account["grants"] == json!([])));
        server.stop().await;
    }

    /// Bounds are advertised, and what is over them is 413; what is no bulk request is 400.
    async fn bounds_are_advertised_and_hold(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let config = entra.scim.get("/ServiceProviderConfig").await.expect(200)["bulk"].clone();
        assert_eq!(config["supported"], true);
        let (operations, bytes) = (config["maxOperations"].as_u64().expect("a bound"), config["maxPayloadSize"].as_u64().expect("a bound"));
        let delete = json!({"method": "DELETE", "path": "/Users/nobody"});
        let most: Vec<Value> = (0..operations).map(|_| delete.clone()).collect();
        assert_eq!(statuses(&entra.bulk(json!(most)).await).len(), most.len());
        let over: Vec<Value> = (0..=operations).map(|_| delete.clone()).collect();
        entra.scim.post("/Bulk", bulk(json!(over), json!({}))).await.expect_scim_error(413, None);
        let large = bulk(json!([]), json!({"x": "y".repeat(usize::try_from(bytes).expect("a size"))}));
        entra.scim.post("/Bulk", large).await.expect_scim_error(413, None);
        assert_eq!(entra.bulk(json!([])).await, json!([]));
        for body in [
            json!({}),
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]}),
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": {}}),
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": []}),
        ] {
            entra.scim.post("/Bulk", body).await.expect_scim_error(400, Some("invalidSyntax"));
        }
        entra.scim.post("/Bulk", bulk(json!([]), json!({"failOnErrors": -1}))).await.expect_scim_error(400, Some("invalidValue"));
        entra.scim.get("/Bulk").await.expect_scim_error(405, None);
        assert_eq!(total(&entra, "/Users").await, 0);
        server.stop().await;
    }
}
