//! Who may decide is itself policy: admin roles, a tenant's own admin policies, and the floor that none of them lowers.

use std::collections::BTreeSet;

use rolecall::revision::Files;
use rolecall::tenancy::store_revision;
use rolecall_tests::tenant::text;
use rolecall_tests::{Client, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

use crate::leavers::confirm;

/// The most permissive admin policy that there can be.
const EVERYBODY: &str = "@id(\"all\") @reason(\"everybody decides everything\") permit (principal, action, resource);\n";

/// A token of the tenant with these rights.
async fn token(server: &Server, acme: &Tenant, rights: Value) -> Client {
    let mut wanted = json!({"tenant": "acme"});
    for (name, value) in rights.as_object().expect("an object") {
        wanted[name] = value.clone();
    }
    let made = server.operator.post("/tokens", wanted).await.expect(201);
    acme.api.with_token(made["token"].as_str())
}

/// Activates files that change who may decide: two people have to say it.
async fn adopt(server: &Server, acme: &Tenant, files: Files) {
    let stored = store_revision(server.app(), &"acme".into(), files).await.expect("it is in order");
    let (path, body) = (format!("/revisions/{}/activate", stored.hash), json!({"replaces": stored.active}));
    for (person, status) in [("mia@acme.example", 409), ("grace@acme.example", 204)] {
        token(server, acme, json!({"write": true, "person": person})).await.post(&path, body.clone()).await.expect(status);
    }
}

/// The request for an approval of a role that an account waits for.
async fn request(acme: &Tenant) -> String {
    let listed = acme.api.get("/approvals?state=open").await.expect(200);
    assert_eq!(listed["rulings"].as_array().map(Vec::len), Some(1), "{listed}");
    text(&listed["rulings"][0]["id"])
}

on_both_databases! {
    /// A permit with `@approval` gives its role with a person's yes; the request says what is asked.
    async fn a_policy_asks_for_a_yes(database: Database) {
        let server = Server::start(&database).await;
        let policies = r#"
@id("eng") @reason("engineers develop") @approval("a lead agrees")
permit (principal in Rolecall::Group::"engineering", action, resource == Rolecall::Role::"developer");
@id("ops") @reason("operations develop")
permit (principal in Rolecall::Group::"operations", action, resource == Rolecall::Role::"developer");
"#;
        let acme = server.tenant("acme").with_policies(policies).create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        server.settle().await;
        let waiting = acme.account("ada@acme.example").await;
        assert_eq!((text(&waiting["grants"][0]["state"]), text(&waiting["grants"][0]["waits_for"])), ("pending".into(), "approval".into()));
        assert_eq!(waiting["grants"][0]["reasons"][0]["approval"], "a lead agrees");
        let listed = acme.api.get("/approvals?state=open").await.expect(200);
        assert_eq!(listed["rulings"][0]["asks"], "a lead agrees", "{listed}");
        let why = acme.api.get("/accounts/ada@acme.example/explain?role=developer").await.expect(200);
        assert_eq!(why["reasons"][0]["approval"], "a lead agrees", "{why}");
        let operations = entra.group("Operations", &[&ada]).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into()]), "another policy gives it and asks nobody");
        entra.remove(&operations, &ada).await;
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::new(), "what gave it without asking is gone");
        let grace = token(&server, &acme, json!({"write": true, "person": "grace@acme.example"})).await;
        grace.post(&format!("/approvals/{}/approve", request(&acme).await), json!({"reason": "she does"})).await.expect(200);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".into()]));
        server.stop().await;
    }

    /// An admin role decides what the default policies give it, and no more; the refusal says by which policies others may.
    async fn admin_roles_decide_their_own(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let connection = json!({"name": "Okta"});
        let refused = |answer: Value| text(&answer["detail"]);
        for role in ["policy-author", "plugin-author", "reviewer", "auditor", "of-their-own"] {
            let client = token(&server, &acme, json!({"admin_roles": [role], "person": "grace@acme.example"})).await;
            client.get("/accounts").await.expect(200);
            let said = refused(client.post("/connections", connection.clone()).await.expect(403));
            assert!(said.contains("no admin policy allows you `manageConnections` on the tenant `acme`; it is allowed by `admin-tenant-owners`")
                || said.contains("the admin policy `admin-auditors-change-nothing` forbids"), "{role}: {said}");
        }
        let owner = token(&server, &acme, json!({"admin_roles": ["tenant-owner"]})).await;
        owner.post("/connections", connection).await.expect(201);
        let author = token(&server, &acme, json!({"admin_roles": ["policy-author"]})).await;
        author.post("/revisions/check", json!({"files": {}})).await.expect(422);
        server.operator.post("/tokens", json!({"admin_roles": ["No Name"]})).await.expect(422);
        server.operator.post("/tokens", json!({"tenant": "acme", "admin_roles": ["platform-operator"]})).await.expect(422);
        let made = server.operator.post("/tokens", json!({"admin_roles": ["platform-operator"]})).await.expect(201);
        let operator = server.operator.with_token(made["token"].as_str());
        operator.post("/tokens", json!({"tenant": "acme"})).await.expect(201);
        let events = acme.events(&server).await;
        let told = events.iter().find(|event| event["kind"] == "token.created" && event["data"]["admin_roles"] == json!(["tenant-owner"]));
        assert!(told.is_some_and(|event| event["data"]["write"] == false), "{told:?}");
        server.stop().await;
    }

    /// A tenant's own admin policies replace the default ones, and lock no operator out.
    async fn a_tenant_says_who_decides(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").asking().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Operations", &[&ada]).await;
        confirm(&acme, "operations").await;
        server.settle().await;
        let request = request(&acme).await;
        let mut files = server.tenant("acme").asking().files();
        let broken = "@id(\"board\") @reason(\"the board approves\")\npermit (principal, action == RolecallAdmin::Action::\"approve\", resource);\n";
        files.insert("admin/own.cedar".into(), broken.into());
        let upload = |files: &Files| {
            use base64::Engine as _;
            let encode = |bytes: &Vec<u8>| base64::engine::general_purpose::STANDARD.encode(bytes);
            json!({"files": files.iter().map(|(path, bytes)| (path.clone(), encode(bytes).into())).collect::<serde_json::Map<String, Value>>()})
        };
        let problems = acme.api.post("/revisions/check", upload(&files)).await.expect(422);
        assert_eq!((text(&problems["problems"][0]["file"]), problems["problems"][0]["line"].as_i64()), ("admin/own.cedar".into(), Some(2)));
        let own = "@id(\"board\") @reason(\"the board approves\")\npermit (principal, action == RolecallAdmin::Action::\"approveRole\", resource)\n\
                   when { principal.adminRoles.contains(\"board\") };\n";
        files.insert("admin/own.cedar".into(), own.into());
        adopt(&server, &acme, files).await;
        let yes = json!({"reason": "on call"});
        let path = format!("/approvals/{request}/approve");
        let grace = token(&server, &acme, json!({"write": true, "person": "grace@acme.example"})).await;
        let refused = grace.post(&path, yes.clone()).await.expect(403);
        assert!(text(&refused["detail"]).contains("it is allowed by `board` (the board approves)"), "{refused}");
        grace.post("/connections", json!({"name": "Okta"})).await.expect(403);
        let board = token(&server, &acme, json!({"admin_roles": ["board"], "person": "mia@acme.example"})).await;
        board.post(&path, yes).await.expect(200);
        server.operator.post("/tenants/acme/connections", json!({"name": "Okta"})).await.expect(201);
        server.stop().await;
    }

    /// The floor: under a policy that lets everybody decide everything nobody decides for themselves, and nobody in particular approves nothing.
    async fn no_admin_policy_lowers_the_floor(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").asking().create().await;
        let mut files = server.tenant("acme").asking().files();
        files.insert("admin/all.cedar".into(), EVERYBODY.into());
        adopt(&server, &acme, files.clone()).await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Operations", &[&ada]).await;
        confirm(&acme, "operations").await;
        server.settle().await;
        let path = format!("/approvals/{}/approve", request(&acme).await);
        let yes = json!({"reason": "on call"});
        let any = json!({"admin_roles": ["anything"]});
        let own = token(&server, &acme, json!({"admin_roles": ["anything"], "person": "Ada@ACME.example"})).await;
        let refused = own.post(&path, yes.clone()).await.expect(403);
        assert!(text(&refused["detail"]).contains("nobody approves"), "{refused}");
        let unnamed = token(&server, &acme, any).await;
        let refused = unnamed.post(&path, yes.clone()).await.expect(403);
        assert!(text(&refused["detail"]).contains("use a token that names one"), "{refused}");
        let ends = server.app().clock.now().plus_seconds(86_400).to_string();
        let exception = json!({"role": "developer", "effect": "grant", "ends": ends, "reason": "r", "owner": "o"});
        own.post("/accounts/ada@acme.example/exceptions", exception).await.expect(403);

        // One's own line of a review.
        let grace = token(&server, &acme, json!({"admin_roles": ["anything"], "person": "grace@acme.example"})).await;
        grace.post(&path, yes).await.expect(200);
        server.settle().await;
        let closes = server.app().clock.now().plus_seconds(7 * 86_400).to_string();
        let review = json!({"name": "Admins", "scope": {"roles": ["admin"]}, "reviewers": "named", "named": ["ada@acme.example"],
                            "fallback": "ada@acme.example", "closes": closes, "on_silence": "keep", "exception_owner": "iam@acme.example"});
        let review = text(&grace.post("/reviews", review).await.expect(201)["id"]);
        server.settle().await;
        let lines = grace.get(&format!("/reviews/{review}/lines?limit=10")).await.expect(200);
        assert_eq!(text(&lines["lines"][0]["user_name"]), "ada@acme.example", "{lines}");
        let keep = json!({"lines": [lines["lines"][0]["line"]], "decision": "keep"});
        let refused = own.post(&format!("/reviews/{review}/decide"), keep).await.expect(403);
        assert!(text(&refused["detail"]).contains("nobody reviews a role of their own"), "{refused}");

        // One's own second person.
        files.insert("admin/all.cedar".into(), EVERYBODY.replace("everything", "all").into());
        let stored = store_revision(server.app(), &"acme".into(), files).await.expect("it is in order");
        let activate = format!("/revisions/{}/activate", stored.hash);
        let body = json!({"replaces": stored.active});
        own.post(&activate, body.clone()).await.expect(409);
        own.post(&activate, body.clone()).await.expect(409);
        let spelt = token(&server, &acme, json!({"admin_roles": ["anything"], "person": "ADA@acme.example"})).await;
        spelt.post(&activate, body.clone()).await.expect(409);
        unnamed.post(&activate, body.clone()).await.expect(409);
        grace.post(&activate, body).await.expect(204);
        server.stop().await;
    }
}
