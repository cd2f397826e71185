//! Several processes on one database: what one of them does, the others go by with their next answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolecall::revision::Files;
use rolecall_tests::tenant::{patch, text, user};
use rolecall_tests::{Client, Database, Kind, Server, database};
use serde_json::{Value, json};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const EXTENSION: &str = "urn:example:hr:2.0:User";

/// Whoever may write may do everything but set targets.
const OWN_ADMIN: &str = r#"
@id("all-but-targets")
@reason("targets are the operators'")
permit (principal, action, resource) when { principal.write };
@id("no-targets")
@reason("targets are the operators'")
forbid (principal, action == RolecallAdmin::Action::"manageTargets", resource);
"#;

/// A file has one process: on several hosts there is PostgreSQL.
macro_rules! on_two_hosts {
    ($($(#[$doc:meta])* async fn $name:ident($one:ident: Server, $other:ident: Server) $body:block)+) => {
        $(
            $(#[$doc])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                async fn test(database: Database) {
                    let ($one, $other) = (Server::start(&database).await, Server::start(&database).await);
                    $body
                    $one.stop().await;
                    $other.stop().await;
                }
                database::with(Kind::Postgres, test).await;
            }
        )+
    };
}

async fn stored(client: &Client, files: Files) -> String {
    let encoded: Value = files.into_iter().map(|(path, bytes)| (path, json!(STANDARD.encode(bytes)))).collect();
    text(&client.post("/revisions", json!({"files": encoded})).await.expect(201)["hash"])
}

on_two_hosts! {
    /// A revision that knows more attributes: nothing that is written over another host is taken for unknown and dropped.
    async fn attributes_are_known_wherever_they_are_written(one: Server, other: Server) {
        let acme = one.tenant("acme").create().await;
        let entra = acme.connection(&one, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let there = entra.at(&other.url());
        let path = format!("/Users/{ada}");
        there.scim.patch(&path, patch(json!([{"op": "add", "path": "title", "value": "engineer"}]))).await.expect(200);
        assert!(!there.scim.get("/Schemas").await.expect(200).to_string().contains(EXTENSION));
        let mut files = one.tenant("acme").files();
        let schema = json!({"id": EXTENSION, "name": "HR", "attributes": [{"name": "dept"}]});
        files.insert("schemas/hr.json".to_owned(), schema.to_string().into_bytes());
        acme.activate(&one, files).await;
        let add = patch(json!([{"op": "add", "value": {(EXTENSION): {"dept": "Sales"}}}]));
        let written = there.scim.patch(&path, add).await.expect(200);
        assert_eq!(written[EXTENSION]["dept"], "Sales", "{written}");
        assert!(there.scim.get("/Schemas").await.expect(200).to_string().contains(EXTENSION));
        // And the other way round.
        acme.activate(&other, one.tenant("acme").files()).await;
        let body = user("ada@acme.example", json!({"schemas": [CORE, EXTENSION], (EXTENSION): {"dept": "Legal"}}));
        let written = entra.scim.put(&path, body).await.expect(200);
        assert_eq!(written.get(EXTENSION), None, "{written}");
    }

    /// Who may decide, and whether a second person has to say it, is said by what is active, not by what a host remembers.
    async fn what_is_active_says_who_decides(one: Server, other: Server) {
        let with = |second_person: &str, more: &str| {
            let mut files = one.tenant("acme").asking().files();
            let settings = files.get_mut("tenant.toml").expect("it has settings");
            settings.extend(format!("[approvals]\nsecond_person = \"{second_person}\"\n{more}").bytes());
            files
        };
        let acme = one.tenant("acme").create_empty().await;
        acme.activate(&one, with("never", "")).await;
        let made = one.operator.post("/tokens", json!({"tenant": "acme", "write": true, "person": "ada@acme.example"})).await.expect(201);
        let ada = acme.at(&other.operator, &other.url()).api.with_token(made["token"].as_str());
        ada.put("/targets/known", json!({"url": "https://hook.example/"})).await.expect(200);
        let mut strict = with("always", "");
        strict.insert("admin/own.cedar".to_owned(), OWN_ADMIN.as_bytes().to_vec());
        acme.activate(&one, strict).await;
        ada.put("/targets/more", json!({"url": "https://hook.example/"})).await.expect(403);
        let before = text(&ada.get("/revisions/active").await.expect(200)["hash"]);
        let loose = stored(&ada, with("never", "# another\n")).await;
        let held = ada.post(&format!("/revisions/{loose}/activate"), json!({"replaces": before})).await.expect(409);
        assert!(text(&held["detail"]).contains("second person"), "{held}");
    }
}
