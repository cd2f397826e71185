//! A policy is edited in the workspace, tried out, activated by two people, and taken back.

use rolecall_tests::browser::Browser;
use rolecall_tests::tenant::{POLICIES, text};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::json;

const ROOM: &str = "/workspace/t/acme/mapping";

on_both_databases! {
    /// From the editor to what is active, and back.
    async fn a_policy_is_edited_simulated_and_activated(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Staff", &[&ada]).await;
        server.settle().await;
        let before = text(&acme.api.get("/revisions/active").await.expect(200)["hash"]);
        let author = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["policy-author"], "person": "grace@acme.example"})).await;
        author.get(ROOM).await.expect(&[&before]);
        author.get(&format!("{ROOM}/edit")).await.expect(&["policies/roles.cedar", "everybody may read", "editor.min."]);

        let edit = |text: String| {
            let fields = [("revision", before.clone()), ("path", "policies/roles.cedar".to_owned()), ("text", text)];
            fields.map(|(name, value)| (name.to_owned(), value))
        };
        let broken = edit(POLICIES.replace("permit (principal in Rolecall::Group::\"staff\"", "permit (principle"));
        let sent = |fields: &[(String, String)]| fields.to_vec();
        let post = async |path: &str, fields: Vec<(String, String)>| {
            let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            author.post(&format!("{ROOM}/{path}"), &pairs).await
        };
        let found = post("edit/check", sent(&broken)).await;
        assert!(found.status == 200 && found.text.contains("data-line=") && found.text.contains('^'), "{found:?}");
        let refused = post("edit", sent(&broken)).await;
        assert!(refused.status == 422 && refused.text.contains("Nothing was stored") && refused.text.contains("principle"), "{refused:?}");
        let changed = edit(POLICIES.replace("resource == Rolecall::Role::\"reader\"", "resource == Rolecall::Role::\"developer\""));
        let fine = post("edit/check", sent(&changed)).await;
        assert!(fine.text.contains("Nothing is wrong with 3 policies"), "{fine:?}");
        let stored = post("edit", sent(&changed)).await;
        assert_eq!(stored.status, 303, "{stored:?}");
        let page = stored.header("location").to_owned();
        // What was neither activated nor tried out is found by page.
        let listed = acme.api.get("/revisions?limit=1").await.expect(200);
        let (newest, next) = (&listed["revisions"][0], text(&listed["next"]));
        assert!(page.ends_with(&text(&newest["hash"])) && next == text(&newest["hash"]), "{listed}");
        let marks = |revision: &serde_json::Value| ["active", "activated", "tried"].map(|key| revision[key] == true);
        assert_eq!(marks(newest), [false, false, false], "{listed}");
        let behind = acme.api.get(&format!("/revisions?limit=1&after={next}")).await.expect(200);
        assert_eq!((behind["revisions"][0]["hash"].as_str(), marks(&behind["revisions"][0]), &behind["next"]), (Some(&*before), [true, true, false], &json!(null)));
        acme.api.get("/revisions?after=unknown").await.expect(404);
        author.get(&format!("{ROOM}/revisions")).await.expect(&["neither activated nor tried out"]);
        author.get(&page).await.expect(&["everybody", "without effect"]);

        let begun = author.post(&format!("{page}/try"), &[("kind", "simulation")]).await;
        let trial = begun.header("location").to_owned();
        server.settle().await;
        author.get(&trial).await.expect(&["1 different", "gains developer", "loses reader", "ada@acme.example"]);
        author.get(&format!("{trial}?kind=loses")).await.expect(&["ada@acme.example"]);
        author.get(&format!("{trial}/progress")).await.expect(&["finished"]);
        let csv = author.get(&format!("{trial}/export?format=csv")).await;
        assert!(csv.text.contains("ada@acme.example"), "{csv:?}");
        let simulation = trial.rsplit('/').next().expect("an id").to_owned();
        let activation = [("replaces", before.as_str()), ("simulation", &simulation)];
        let auditor = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["auditor"]})).await;
        auditor.get(&page).await.expect(&["Revisions are activated by those"]);
        auditor.said(&format!("{page}/activate"), &activation).await;
        assert!(author.said(&format!("{page}/activate"), &activation).await.contains("It is active"));
        assert!(author.said(&format!("{page}/activate"), &activation).await.contains("another revision"), "a second press");
        server.settle().await;
        assert!(acme.roles("ada@acme.example").await.contains("developer"));

        let old = format!("{ROOM}/revisions/{before}");
        author.get(&old).await.expect(&["Go back to it"]);
        let active = page.rsplit('/').next().expect("a hash").to_owned();
        assert!(author.said(&format!("{old}/activate"), &[("replaces", &active)]).await.contains("It is active"));
        server.settle().await;
        assert!(acme.roles("ada@acme.example").await.contains("reader"));
        for unknown in ["revisions/none", "trials/none", "plugins/failures/none"] {
            assert_eq!(Browser::sign_in(&server, json!({})).await.get(&format!("{ROOM}/{unknown}")).await.status, 404, "{unknown}");
        }
    }

    /// What calls say about people is shown to those who write plugins; two tenants are compared by those who see both.
    async fn plugins_and_schemas(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        server.tenant("globex").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create_with("ada@acme.example", json!({"title": "trap"})).await;
        server.settle().await;
        let path = format!("{ROOM}/plugins");
        let author = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["plugin-author"]})).await;
        author.get(&path).await.expect(&["trap", "Whom and why"]);
        let auditor = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["auditor"]})).await;
        auditor.get(&path).await.expect(&["trap", "is shown to those"]).lacks(&["Whom and why"]);
        let failure = text(&acme.api.get("/plugins/failures").await.expect(200)["failures"][0]["id"]);
        assert_eq!(auditor.get(&format!("{path}/failures/{failure}")).await.status, 403);
        author.get(&format!("{path}/failures/{failure}")).await.expect(&["plugin replay"]);
        let ops = Browser::sign_in(&server, json!({})).await;
        ops.get("/workspace/compare?one=acme&other=globex").await.expect(&["the same"]);
        assert_eq!(auditor.get("/workspace/compare?one=acme&other=globex").await.status, 404);
    }
}
