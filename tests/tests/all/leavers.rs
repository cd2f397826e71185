//! Whoever the identity provider calls gone loses every role in the same transaction, whatever else is broken.

use std::collections::BTreeSet;

use rolecall_tests::tenant::{FAILING_POLICY, patch, user};
use rolecall_tests::{Connection, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

/// A person with two roles, one of them privileged, in a tenant whose plugin does what the title says.
async fn somebody_with_roles(server: &Server) -> (Tenant, Connection, String) {
    let acme = server.tenant("acme").with_probe().and_policies(FAILING_POLICY).create().await;
    let entra = acme.connection(server, "Entra ID").await;
    let ada = entra.create("ada@acme.example").await;
    entra.group("Engineering", &[&ada]).await;
    let operations = entra.group("Operations", &[]).await;
    confirm(&acme, "operations").await;
    entra.add(&operations, &ada).await;
    server.settle().await;
    assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["admin".into(), "developer".into()]));
    (acme, entra, ada)
}

pub async fn confirm(tenant: &Tenant, handle: &str) {
    tenant.api.post(&format!("/handles/{handle}/confirm"), json!({})).await.expect(200);
}

/// Reads the account without letting any job run: what stands is what the write itself did.
async fn expect_gone(acme: &Tenant, state: &str) {
    let account = acme.account("ada@acme.example").await;
    assert_eq!(account["grants"], json!([]), "{account}");
    assert_eq!(account["state"], state, "{account}");
}

/// Every way in which a client says that somebody is inactive, with a title that makes the mapping fail beside it.
fn deactivations(title: &str) -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("PATCH of active", "PATCH", patch(json!([{"op": "replace", "path": "active", "value": false}]))),
        ("PATCH as Entra ID sends it", "PATCH", patch(json!([{"op": "Replace", "path": "active", "value": "False"}]))),
        ("PATCH without a path, as Okta sends it", "PATCH", patch(json!([{"op": "replace", "value": {"active": false}}]))),
        (
            "PATCH whose first operation makes the mapping fail",
            "PATCH",
            patch(json!([{"op": "replace", "path": "title", "value": title}, {"op": "replace", "path": "active", "value": false}])),
        ),
        (
            "PATCH whose last operation makes the mapping fail",
            "PATCH",
            patch(json!([{"op": "replace", "path": "active", "value": false}, {"op": "replace", "path": "title", "value": title}])),
        ),
        ("PUT whose other parts make the mapping fail", "PUT", user("ada@acme.example", json!({"active": false, "title": title}))),
    ]
}

on_both_databases! {
    /// Plugin and policies in order: the plain case, by every wording.
    async fn every_wording_of_inactive_takes_every_role(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, ada) = somebody_with_roles(&server).await;
        for (wording, method, body) in deactivations("engineer") {
            entra.scim.send(method, &format!("/Users/{ada}"), &[], Some(body.to_string().into_bytes())).await.expect_one_of(&[200, 204]);
            expect_gone(&acme, "suspended").await;
            entra.set(&ada, "active", json!(true)).await;
            let roles = acme.roles("ada@acme.example").await;
            assert_eq!(roles, BTreeSet::from(["admin".into(), "developer".into()]), "back after: {wording}");
        }
        server.stop().await;
    }

    /// What was said of them may be taken back: that brings nobody back, nor does what is written of them afterwards.
    async fn to_remove_what_was_said_brings_nobody_back(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, ada) = somebody_with_roles(&server).await;
        entra.deactivate(&ada).await;
        let path = format!("/Users/{ada}");
        let removed = entra.scim.patch(&path, patch(json!([{"op": "remove", "path": "active"}]))).await.expect(200);
        assert_eq!(removed.get("active"), None, "{removed}");
        expect_gone(&acme, "suspended").await;
        entra.set(&ada, "title", json!("engineer")).await;
        let mut read = entra.scim.get(&path).await.expect(200);
        assert_eq!(read.get("active"), None, "{read}");
        read["title"] = json!("owner");
        entra.scim.put(&path, read).await.expect(200);
        server.settle().await;
        expect_gone(&acme, "suspended").await;
        let found = entra.scim.get("/Users?filter=active%20eq%20false").await.expect(200);
        assert_eq!(found["totalResults"], 1, "{found}");
        entra.set(&ada, "active", json!(true)).await;
        assert_eq!(acme.roles("ada@acme.example").await.len(), 2);
        server.stop().await;
    }

    /// The plugin traps, loops, takes all memory, answers too much or refuses.
    async fn a_broken_mapping_keeps_nobody_in(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, ada) = somebody_with_roles(&server).await;
        for title in ["trap", "loop", "grow", "flood", "refuse", "overflow"] {
            for (wording, method, body) in deactivations(title) {
                let answer = entra.scim.send(method, &format!("/Users/{ada}"), &[], Some(body.to_string().into_bytes())).await;
                assert!(answer.status.is_success(), "{title}, {wording}: {answer:?}");
                expect_gone(&acme, "suspended").await;
                entra.scim.put(&format!("/Users/{ada}"), user("ada@acme.example", json!({"title": "engineer"}))).await.expect(200);
                assert_eq!(acme.roles("ada@acme.example").await.len(), 2, "{title}, {wording}");
            }
        }
        server.stop().await;
    }

    /// Somebody whose mapping is already failing, and whose grants are retained, loses them like everybody else.
    async fn retained_grants_fall_with_a_deactivation_and_with_a_deletion(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, ada) = somebody_with_roles(&server).await;
        for (method, state) in [("PATCH", "suspended"), ("DELETE", "removed")] {
            entra.scim.put(&format!("/Users/{ada}"), user("ada@acme.example", json!({"title": "engineer"}))).await.expect(200);
            entra.set(&ada, "title", json!("trap")).await;
            assert_eq!(acme.roles("ada@acme.example").await.len(), 2, "retained");
            let body = (method == "PATCH").then(|| patch(json!([{"op": "replace", "path": "active", "value": false}])).to_string().into_bytes());
            entra.scim.send(method, &format!("/Users/{ada}"), &[], body).await.expect_one_of(&[200, 204]);
            expect_gone(&acme, state).await;
        }
        entra.scim.get(&format!("/Users/{ada}")).await.expect_scim_error(404, None);
        server.stop().await;
    }

    /// A tenant without any revision has nobody in effect, and its leavers leave.
    async fn a_missing_revision_grants_nothing_and_keeps_nobody(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create_empty().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        server.settle().await;
        let accounts = acme.accounts().await;
        assert_eq!(accounts.len(), 1);
        let account = accounts.values().next().expect("there is one");
        assert_eq!((&account["grants"], &account["state"]), (&json!([]), &json!("held")), "{account}");
        entra.deactivate(&ada).await;
        let accounts = acme.accounts().await;
        let account = accounts.values().next().expect("there is one");
        assert_eq!((&account["grants"], &account["state"]), (&json!([]), &json!("suspended")), "{account}");
        server.stop().await;
    }

    /// What takes effect is committed with the write: a server that starts afterwards sees it without having worked.
    async fn a_deactivation_is_in_the_same_transaction_as_its_write(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, ada) = somebody_with_roles(&server).await;
        entra.set(&ada, "title", json!("trap")).await;
        entra.deactivate(&ada).await;
        let person = {
            let connection = rolecall::model::ConnectionId::from(entra.id.as_str());
            let id = rolecall::model::ResourceId::from(ada.as_str());
            server.app().store.people(&acme.id, &connection, &[id]).await.expect("the store answers").remove(0)
        };
        assert!(person.grants.is_empty());
        assert_eq!(person.evaluation.evaluated_version, Some(person.evaluation.input_version), "nothing is left for a job to do");
        let events = acme.events(&server).await;
        let removed: Vec<_> = events.iter().filter(|event| event["kind"] == "grant.removed").collect();
        assert_eq!(removed.len(), 2, "{events:?}");
        let suspended = events.iter().find(|event| event["kind"] == "account.suspended").expect("the suspension is an event");
        assert_eq!(removed[0]["request_id"], suspended["request_id"], "one request, one change");
        server.stop().await;
    }

    /// Deleting frees the names at once and leaves no way back but the same external id.
    async fn a_deletion_takes_every_role_and_frees_the_name(database: Database) {
        let server = Server::start(&database).await;
        let (acme, entra, ada) = somebody_with_roles(&server).await;
        entra.set(&ada, "title", json!("loop")).await;
        entra.scim.delete(&format!("/Users/{ada}")).await.expect(204);
        expect_gone(&acme, "removed").await;
        entra.scim.delete(&format!("/Users/{ada}")).await.expect_scim_error(404, None);
        let filter = rolecall_tests::cases::escaped("userName eq \"ada@acme.example\"");
        let list = entra.scim.get(&format!("/Users?filter={filter}")).await.expect(200);
        assert_eq!(list["totalResults"], 0);
        let groups = entra.scim.get("/Groups").await.expect(200);
        for group in groups["Resources"].as_array().expect("there are groups") {
            let members = group["members"].as_array().map(Vec::len).unwrap_or_default();
            assert_eq!(members, 0, "{group}");
        }
        server.stop().await;
    }
}
