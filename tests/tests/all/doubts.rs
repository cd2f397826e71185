//! Nothing is granted on a doubt; what stands is retained with a deadline, and falls.

use std::collections::BTreeSet;

use rolecall_tests::tenant::{FAILING_POLICY, roles_in_effect, text};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};

use crate::leavers::confirm;

fn grant<'a>(account: &'a Value, role: &str) -> &'a Value {
    let grants = account["grants"].as_array().expect("grants are a list");
    grants.iter().find(|grant| grant["role"] == role).unwrap_or_else(|| panic!("no `{role}` in {account}"))
}

on_both_databases! {
    /// A fault while somebody joins a group: the new role is not given, the old one stays, retained.
    async fn a_fault_grants_nothing_new_and_retains_what_stands(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        let staff = entra.group("Staff", &[]).await;
        for title in ["trap", "loop", "grow", "flood"] {
            entra.set(&ada, "title", json!(title)).await;
            entra.add(&staff, &ada).await;
            server.settle().await;
            let account = acme.account("ada@acme.example").await;
            assert_eq!(roles_in_effect(&account), BTreeSet::from(["developer".into()]), "{title}: {account}");
            assert_eq!(grant(&account, "developer")["state"], "retained", "{title}");
            assert!(grant(&account, "developer")["deadline"].is_string(), "{title}: {account}");
            assert_eq!(account["state"], "active", "{title}");
            assert_eq!(account["note"]["code"], "plugin_fault", "{title}: {account}");
            entra.remove(&staff, &ada).await;
            entra.set(&ada, "title", json!("engineer")).await;
            server.settle().await;
            let account = acme.account("ada@acme.example").await;
            assert_eq!(grant(&account, "developer")["state"], "effective", "{title}: repaired");
            assert!(account["note"].is_null(), "{title}: {account}");
        }
        server.stop().await;
    }

    /// Somebody new whose mapping fails has an account that is held, without a role.
    async fn a_fault_gives_a_joiner_nothing(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create_with("ada@acme.example", json!({"title": "trap"})).await;
        entra.group("Engineering", &[&ada]).await;
        server.settle().await;
        let accounts = acme.accounts().await;
        let account = accounts.values().next().expect("there is one");
        assert_eq!((&account["state"], &account["grants"]), (&json!("held"), &json!([])), "{account}");
        entra.set(&ada, "title", json!("engineer")).await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into()]));
        server.stop().await;
    }

    /// 72 hours for a role, 4 for a privileged one: then it falls, without anybody's doing.
    async fn a_retained_grant_falls_at_its_deadline(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        let operations = entra.group("Operations", &[]).await;
        confirm(&acme, "operations").await;
        entra.add(&operations, &ada).await;
        entra.set(&ada, "title", json!("trap")).await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["admin".into(), "developer".into()]));
        for (hours, expected) in [(3, vec!["admin", "developer"]), (2, vec!["developer"]), (66, vec!["developer"]), (2, vec![])] {
            server.clock.advance_hours(hours);
            server.settle().await;
            let roles: Vec<String> = acme.roles("ada@acme.example").await.into_iter().collect();
            assert_eq!(roles, expected, "{hours} hours later");
        }
        // A second fault does not start the clock again.
        let events = acme.events(&server).await;
        let ended: Vec<_> = events.iter().filter(|event| event["kind"] == "grant.removed" && event["data"]["why"] == "retention_ended").collect();
        assert_eq!(ended.len(), 2, "{events:?}");
        server.stop().await;
    }

    /// Another fault does not prolong what was retained before.
    async fn another_fault_does_not_prolong_a_deadline(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        entra.set(&ada, "title", json!("trap")).await;
        let first = text(&grant(&acme.account("ada@acme.example").await, "developer")["deadline"]);
        server.clock.advance_hours(1);
        entra.set(&ada, "title", json!("loop")).await;
        server.settle().await;
        let second = text(&grant(&acme.account("ada@acme.example").await, "developer")["deadline"]);
        assert_eq!(first, second);
        server.stop().await;
    }

    /// A fault can hide that the reason is gone: the groups of the grant's own reasons are looked at all the same.
    async fn a_retained_grant_falls_at_once_with_its_group(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let engineering = entra.group("Engineering", &[&ada]).await;
        entra.group("Staff", &[&ada]).await;
        entra.set(&ada, "title", json!("trap")).await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into(), "reader".into()]));
        entra.remove(&engineering, &ada).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["reader".into()]));
        server.stop().await;
    }

    /// A policy that fails leaves its role undecided: no Allow out of a `forbid` that was skipped, and no loss at once.
    async fn a_failing_policy_is_never_an_allow(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().and_policies(FAILING_POLICY).create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let joiner = entra.create_with("grace@acme.example", json!({"title": "overflow"})).await;
        entra.group("Engineering", &[&ada, &joiner]).await;
        entra.group("Staff", &[&ada, &joiner]).await;
        server.settle().await;
        assert_eq!(acme.roles("grace@acme.example").await, BTreeSet::from(["reader".into()]), "a role that is not in doubt is given");
        entra.set(&ada, "title", json!("overflow")).await;
        server.settle().await;
        let account = acme.account("ada@acme.example").await;
        assert_eq!(grant(&account, "developer")["state"], "retained", "{account}");
        assert_eq!(grant(&account, "reader")["state"], "effective", "{account}");
        server.clock.advance_hours(73);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["reader".into()]));
        server.stop().await;
    }

    /// The mapping's refusal: by default a 201 without access and a visible reason; 400 where the tenant chose that.
    async fn a_refusal_answers_as_the_tenant_chose(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create_with("ada@acme.example", json!({"title": "refuse"})).await;
        let accounts = acme.accounts().await;
        let account = accounts.values().next().expect("there is one");
        assert_eq!((&account["state"], &account["grants"]), (&json!("held"), &json!([])), "{account}");
        assert_eq!(account["note"]["code"], "title_refused", "{account}");

        let globex = server.tenant("globex").with_probe().refusing().create().await;
        let okta = globex.connection(&server, "Okta").await;
        let body = rolecall_tests::tenant::user("hank@globex.example", json!({"title": "refuse"}));
        let detail = okta.scim.post("/Users", body).await.expect_scim_error(400, Some("invalidValue"));
        assert!(detail.contains("choose another"), "{detail}");
        assert!(globex.accounts().await.is_empty(), "nothing is stored");
        assert_eq!(okta.scim.get("/Users").await.expect(200)["totalResults"], 0, "nothing is stored");
        server.stop().await;
    }

    /// Out of scope is the mapping's verdict and no fault: the account is put aside, every role goes, and both come back.
    async fn out_of_scope_suspends_reversibly(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        entra.set(&ada, "title", json!("outside")).await;
        let account = acme.account("ada@acme.example").await;
        assert_eq!((&account["state"], &account["grants"]), (&json!("out_of_scope"), &json!([])), "{account}");
        assert!(text(&account["note"]["message"]).contains("none of ours"), "{account}");
        entra.set(&ada, "title", json!("engineer")).await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into()]));
        server.stop().await;
    }
}
