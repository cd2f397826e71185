//! Policies name handles: a handle sticks to its group over renames, and a privileged one waits for a person's yes.

use std::collections::BTreeSet;

use rolecall_tests::{Connection, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

use crate::leavers::confirm;

async fn rename(connection: &Connection, group: &str, name: &str) {
    let body = rolecall_tests::tenant::patch(json!([{"op": "replace", "value": {"id": group, "displayName": name}}]));
    connection.scim.patch(&format!("/Groups/{group}"), body).await.expect_one_of(&[200, 204]);
}

async fn binding(tenant: &Tenant, handle: &str) -> Value {
    let list = tenant.api.get("/handles").await.expect(200);
    let handles = list["handles"].as_array().expect("a list");
    handles.iter().find(|binding| binding["handle"] == handle).cloned().unwrap_or(Value::Null)
}

on_both_databases! {
    /// A rename changes the label alone: no role is lost, and none is gained by renaming into power.
    async fn a_rename_changes_the_label_alone(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (ada, mallory) = (entra.create("ada@acme.example").await, entra.create("mallory@acme.example").await);
        let engineering = entra.group("Engineering", &[&ada]).await;
        let lunch = entra.group("Lunch Club", &[&mallory]).await;
        rename(&entra, &engineering, "Product Development").await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into()]));
        assert_eq!(binding(&acme, "engineering").await["display_name"], "Product Development");
        rename(&entra, &lunch, "Engineering").await;
        server.settle().await;
        assert_eq!(acme.roles("mallory@acme.example").await, BTreeSet::new(), "a rename gives no power");
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into()]));
        server.stop().await;
    }

    /// A second group of the same name does not share the handle.
    async fn a_second_group_of_the_same_name_gets_nothing(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let ada = entra.create("ada@acme.example").await;
        let mallory = okta.create("mallory@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        okta.group("Engineering", &[&mallory]).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await.len(), 1);
        assert_eq!(acme.roles("mallory@acme.example").await, BTreeSet::new());
        server.stop().await;
    }

    /// A group that waited for its namesake to go gets the handle when it does: with the group, or with its connection.
    async fn a_handle_goes_to_who_waited_for_it(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let (ada, bob) = (entra.create("ada@acme.example").await, okta.create("bob@acme.example").await);
        let old = entra.group("Engineering", &[]).await;
        let new = entra.group("Engineering", &[&ada]).await;
        let other = okta.group("Engineering", &[&bob]).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new());
        entra.scim.delete(&format!("/Groups/{old}")).await.expect(204);
        server.settle().await;
        let bound = binding(&acme, "engineering").await["group"].clone();
        let (first, second) = if bound == json!(new) { ("ada", "bob") } else { ("bob", "ada") };
        assert!(bound == json!(new) || bound == json!(other), "{bound}");
        assert_eq!(acme.roles(&format!("{first}@acme.example")).await, BTreeSet::from(["developer".into()]));
        assert_eq!(acme.roles(&format!("{second}@acme.example")).await, BTreeSet::new());
        let its = if first == "ada" { &entra } else { &okta };
        acme.api.delete(&format!("/connections/{}", its.id)).await.expect(204);
        server.settle().await;
        assert_eq!(acme.roles(&format!("{second}@acme.example")).await, BTreeSet::from(["developer".into()]));
        server.stop().await;
    }

    /// A handle on which a privileged role hangs counts only once a person has said yes.
    async fn a_privileged_handle_waits_for_a_yes(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Operations", &[&ada]).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new());
        assert_eq!(binding(&acme, "operations").await["confirmed"], false);
        confirm(&acme, "operations").await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["admin".into()]));
        server.stop().await;
    }

    /// A deleted and recreated group is bound again, and asked about again.
    async fn a_recreated_group_is_asked_about_again(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let first = entra.group("Operations", &[&ada]).await;
        confirm(&acme, "operations").await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await.len(), 1);
        entra.scim.delete(&format!("/Groups/{first}")).await.expect(204);
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new(), "with the group, in the same write");
        let second = entra.group("Operations", &[&ada]).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new(), "not before a person has said yes again");
        let bound = binding(&acme, "operations").await;
        assert_eq!((&bound["group"], &bound["confirmed"]), (&json!(second), &json!(false)), "{bound}");
        server.stop().await;
    }
}
