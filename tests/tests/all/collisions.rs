//! Two people whose accounts would have one name: the second is held, never refused, and released when the name is free.

use std::collections::BTreeSet;

use rolecall_tests::tenant::text;
use rolecall_tests::{Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

/// The one account of the tenant in that state.
async fn the_one(tenant: &Tenant, state: &str) -> Value {
    let list = tenant.api.get(&format!("/accounts?state={state}")).await.expect(200);
    let accounts = list["accounts"].as_array().expect("a list").clone();
    assert_eq!(accounts.len(), 1, "{list}");
    accounts[0].clone()
}

on_both_databases! {
    /// Names collide as people read them: case, accents and compatibility forms do not make another name.
    async fn a_collision_is_held_and_released_when_the_name_is_freed(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        for (index, name) in ["jose@acme.example", "José@acme.example", "JOSE@acme.example", "ｊｏｓｅ@acme.example"].iter().enumerate().skip(1) {
            let first = entra.create("jose@acme.example").await;
            let second = okta.create(name).await;
            let group = okta.group(&format!("Engineering {index}"), &[&second]).await;
            let held = the_one(&acme, "held").await;
            assert_eq!(held["note"]["code"], "collision", "{name}: {held}");
            assert_eq!(held["grants"], json!([]), "{name}: {held}");
            let read = okta.scim.get(&format!("/Users/{second}")).await.expect(200);
            assert_eq!(read["userName"], *name, "what was written comes back");
            entra.scim.delete(&format!("/Users/{first}")).await.expect(204);
            server.settle().await;
            let free = acme.account(&text(&held["id"])).await;
            assert_eq!(free["state"], "active", "{name}: {free}");
            assert!(free["note"].is_null(), "{name}: {free}");
            okta.scim.delete(&format!("/Users/{second}")).await.expect(204);
            okta.scim.delete(&format!("/Groups/{group}")).await.expect(204);
            server.settle().await;
        }
        server.stop().await;
    }

    /// A rename that frees the name releases whoever waits for it, with the roles that their groups give.
    async fn a_rename_releases_too(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let first = entra.create("ada@acme.example").await;
        let second = okta.create("ada@acme.example").await;
        okta.group("Engineering", &[&second]).await;
        let held = text(&the_one(&acme, "held").await["id"]);
        assert_eq!(acme.roles(&held).await, BTreeSet::new());
        entra.set(&first, "userName", json!("ada.lovelace@acme.example")).await;
        server.settle().await;
        assert_eq!(acme.state(&held).await, "active");
        assert_eq!(acme.roles(&held).await, BTreeSet::from(["developer".into()]));
        server.stop().await;
    }

    /// Somebody suspended keeps the name: it may not pass to another while the person may come back.
    async fn a_suspended_account_keeps_its_name(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let first = entra.create("ada@acme.example").await;
        entra.deactivate(&first).await;
        okta.create("ada@acme.example").await;
        server.settle().await;
        assert_eq!(the_one(&acme, "held").await["note"]["code"], "collision");
        assert_eq!(text(&the_one(&acme, "suspended").await["user_name"]), "ada@acme.example");
        server.stop().await;
    }

    /// A rename into a taken name holds the one who is renamed and takes nothing from the holder.
    async fn a_rename_into_a_taken_name_takes_nothing_from_its_holder(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        let other = okta.create("grace@acme.example").await;
        okta.set(&other, "userName", json!("Ada@acme.example")).await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into()]));
        assert_eq!(the_one(&acme, "held").await["grants"], json!([]));
        server.stop().await;
    }

    /// Tenants do not collide with each other.
    async fn two_tenants_may_have_the_same_names(database: Database) {
        let server = Server::start(&database).await;
        for tenant in ["acme", "globex"] {
            let tenant = server.tenant(tenant).create().await;
            tenant.connection(&server, "Entra ID").await.create("ada@shared.example").await;
            assert_eq!(tenant.state("ada@shared.example").await, "active");
        }
        server.stop().await;
    }
}
