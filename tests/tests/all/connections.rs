//! Connections as an identity team runs them: tokens that rotate without an outage, pauses, deletion.

use std::collections::BTreeSet;

use rolecall_tests::tenant::text;
use rolecall_tests::{Connection, Database, Server, on_both_databases};
use serde_json::{Value, json};

impl Api<'_> {
    async fn post(&self, path: &str, body: Value) -> Value {
        self.tenant.api.post(&format!("/connections/{}{path}", self.connection.id), body).await.expect_one_of(&[200, 201, 204])
    }
}

struct Api<'a> {
    tenant: &'a rolecall_tests::Tenant,
    connection: &'a Connection,
}

on_both_databases! {
    /// Two tokens are good at once after a rotation; the older one ends when its overlap does, and a third ends the first.
    async fn a_token_rotates_without_an_outage(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let api = Api { tenant: &acme, connection: &entra };
        let second = text(&api.post("/rotate", json!({"overlap_seconds": 3600})).await["token"]);
        let scim = |token: &str| entra.scim.with_token(Some(token));
        entra.scim.get("/Users").await.expect(200);
        scim(&second).get("/Users").await.expect(200);
        let third = text(&api.post("/rotate", json!({"overlap_seconds": 3600})).await["token"]);
        entra.scim.get("/Users").await.expect_scim_error(401, None);
        scim(&second).get("/Users").await.expect(200);
        scim(&third).get("/Users").await.expect(200);
        server.clock.advance_seconds(3_601);
        scim(&second).get("/Users").await.expect_scim_error(401, None);
        scim(&third).get("/Users").await.expect(200);
        let listed = acme.api.get("/connections").await.expect(200).to_string();
        for secret in [&second, &third] {
            assert!(!listed.contains(secret.as_str()) && !rolecall_tests::logs::contains(secret), "a token is shown once");
        }
        server.stop().await;
    }

    /// While a connection is paused nothing new is granted, and whoever leaves leaves.
    async fn a_pause_grants_nothing_and_keeps_nobody(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let api = Api { tenant: &acme, connection: &entra };
        let (ada, grace) = (entra.create("ada@acme.example").await, entra.create("grace@acme.example").await);
        let engineering = entra.group("Engineering", &[&ada, &grace]).await;
        let staff = entra.group("Staff", &[]).await;
        api.post("/pause", json!({})).await;
        entra.add(&staff, &ada).await;
        let alan = entra.create("alan@acme.example").await;
        entra.add(&engineering, &alan).await;
        entra.deactivate(&grace).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into()]), "what stands stays");
        assert_eq!(acme.state("grace@acme.example").await, "suspended");
        assert_eq!(acme.roles("grace@acme.example").await, BTreeSet::new());
        let accounts = acme.accounts().await;
        let in_effect: usize = accounts.values().map(|account| rolecall_tests::tenant::roles_in_effect(account).len()).sum();
        assert_eq!(in_effect, 1, "nobody gained: {accounts:?}");
        api.post("/resume", json!({})).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into(), "reader".into()]));
        assert_eq!(acme.roles("alan@acme.example").await, BTreeSet::from(["developer".into()]));
        assert_eq!(acme.roles("grace@acme.example").await, BTreeSet::new());
        server.stop().await;
    }

    /// Deleting a connection ends its tokens and is as if each of its people had been deleted; others are untouched.
    async fn a_deleted_connection_takes_its_people_with_it(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        okta.create("grace@acme.example").await;
        let waiting = okta.create("ada@acme.example").await;
        acme.api.delete(&format!("/connections/{}", entra.id)).await.expect(204);
        entra.scim.get("/Users").await.expect_scim_error(401, None);
        server.settle().await;
        let accounts = acme.accounts().await;
        let removed: Vec<_> = accounts.values().filter(|account| account["state"] == "removed").collect();
        let list = acme.api.get("/accounts?state=removed").await.expect(200);
        assert_eq!(list["accounts"].as_array().map(Vec::len), Some(1), "{removed:?}");
        assert_eq!(list["accounts"][0]["grants"], json!([]));
        assert_eq!(acme.state("grace@acme.example").await, "active");
        assert_eq!(acme.state("ada@acme.example").await, "active", "the name is free for who waited for it");
        okta.scim.get(&format!("/Users/{waiting}")).await.expect(200);
        server.stop().await;
    }

    /// A connection's id is not guessable, and its name is unique in the tenant.
    async fn connections_have_unguessable_ids_and_unique_names(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let made = acme.api.post("/connections", json!({"name": "Entra ID"})).await.expect(201);
        let id = text(&made["id"]);
        assert!(id.len() >= 32, "{id}");
        assert!(text(&made["token"]).starts_with("rc_"), "the token is shown once");
        acme.api.post("/connections", json!({"name": "Entra ID"})).await.expect(409);
        server.stop().await;
    }
}
