//! History from outside: who had a role on a day and why, verified, and kept against alterations of the database.

use rolecall_tests::process;
use rolecall_tests::tenant::{group, text, user};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};

on_both_databases! {
    /// Somebody joins and leaves; who had the role is told from history, and history verifies, over HTTP and from the command line.
    async fn who_had_a_role_is_told_and_history_verifies(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let scim = acme.connection(&server, "Entra ID").await.scim;
        let ada = text(&scim.post("/Users", user("ada@acme.example", json!({}))).await.expect(201)["id"]);
        scim.post("/Groups", group("Engineering", &[&ada])).await.expect(201);
        server.settle().await;
        assert!(acme.roles("ada@acme.example").await.contains("developer"));
        let held = acme.api.get("/history/roles/developer").await.expect(200);
        let unknown = acme.api.get("/history/roles/develper").await.expect(404);
        assert!(text(&unknown["detail"]).contains("nobody ever held one"), "{unknown}");
        assert_eq!(acme.api.get("/history/roles/admin").await.expect(200)["held"], json!([]), "nobody has had it, and it is one");
        let one = &held["held"][0];
        assert_eq!((&one["user_name"], &one["state"], &one["until"]), (&json!("ada@acme.example"), &json!("effective"), &Value::Null), "{held}");
        assert!(!one["reasons"][0]["policy"].is_null() && !one["revision"].is_null(), "{held}");
        let seq = one["evidence"][0].as_i64().unwrap_or_default();
        let event = &acme.api.get(&format!("/events?after={}&limit=1", seq - 1)).await.expect(200)["events"][0];
        assert_eq!((&event["kind"], &event["data"]["role"], &event["account"]), (&json!("grant.added"), &json!("developer"), &one["account"]));
        scim.delete(&format!("/Users/{ada}")).await.expect(204);
        server.settle().await;
        assert_eq!(acme.api.get("/history/roles/developer").await.expect(200)["held"], json!([]));
        let before = format!("/history/roles/developer?at={}&to=2999-01-01T00:00:00Z", text(&one["since"]));
        let then = acme.api.get(&before).await.expect(200);
        assert_eq!((&then["held"][0]["account"], then["held"][0]["until"].is_null()), (&one["account"], false), "{then}");
        let of_ada = acme.api.get(&format!("/accounts/{}/roles", text(&one["account"]))).await.expect(200);
        assert_eq!((&of_ada["held"][0]["role"], &of_ada["held"][0]["state"]), (&Value::Null, &json!("removed")), "{of_ada}");
        acme.api.get("/history/roles/developer?at=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").await.expect(400);
        acme.api.get("/accounts/nobody/roles").await.expect(404);

        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let run = async |arguments: &[&str]| process::run(arguments, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("head.json").display().to_string();
        let (done, said, error) = run(&["history", "head", "--tenant", "acme", "--out", &file]).await;
        assert!(done && said.contains("the head up to event"), "{said}{error}");
        let (done, said, error) = run(&["history", "check", &file]).await;
        assert!(done && said.starts_with("right: history of `acme`"), "{said}{error}");
        let (done, _, error) = run(&["history", "check", &file, "--public-key", "AAAA"]).await;
        assert!(!done && error.contains("not the one that was given"), "{error}");
        let (done, said, error) = run(&["history", "verify", "--tenant", "acme", "--anchor", &file]).await;
        assert!(done && said.starts_with("whole: ") && said.contains("compared with a head"), "{said}{error}");
        let (done, said, error) = run(&["history", "batches", "--tenant", "acme", "--json"]).await;
        assert!(done && said.contains("\"hash\""), "{said}{error}");
        let day = text(&one["since"])[..10].to_owned();
        let asked = ["history", "who-had", "developer", "--tenant", "acme", "--at", &day];
        let (done, said, error) = run(&asked).await;
        assert!(done && said.starts_with(&format!("on {day} (UTC): ")) && said.contains("ada@acme.example"), "{said}{error}");
        let (done, said, error) = run(&[&asked[..], &["--csv"]].concat()).await;
        assert!(done && said.starts_with("account,user_name,role") && said.contains("ada@acme.example,developer,effective"), "{said}{error}");
        let (done, said, error) = run(&[&asked[..], &["--json", "--zone", "Europe/Berlin"]].concat()).await;
        assert!(done && said.contains("\"zone\": \"Europe/Berlin\""), "{said}{error}");
        let (done, said, error) = run(&["history", "roles-of", &text(&one["account"]), "--tenant", "acme", "--at", &day]).await;
        assert!(done && said.contains("developer"), "{said}{error}");

        let altered = std::fs::read_to_string(&file).expect("the head").replace("\"batch\": ", "\"batch\": 1");
        std::fs::write(&file, altered).expect("the head is altered");
        let (done, _, error) = run(&["history", "verify", "--tenant", "acme", "--anchor", &file]).await;
        assert!(!done && error.contains("its signature is wrong"), "{error}");
        server.stop().await;
    }

    /// A sealed event that is altered behind the server's back is named, with exit code 1.
    async fn an_altered_event_is_named(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let scim = acme.connection(&server, "Entra ID").await.scim;
        scim.post("/Users", user("ada@acme.example", json!({}))).await.expect(201);
        server.settle().await;
        let verified = acme.api.post("/history/verify", json!({})).await.expect(200);
        assert_eq!((&verified["found"], &verified["next"], &verified["unsealed"]), (&json!(0), &Value::Null, &json!(0)), "{verified}");
        database.alter("UPDATE events SET actor_id = 'nobody' WHERE tenant = 'acme' AND seq = 2").await;
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let arguments = ["history", "verify", "--tenant", "acme", "--json"];
        let (done, said, error) = process::run(&arguments, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("no JSON: {said}{error}"));
        assert_eq!((done, &said["found"]), (false, &json!(1)), "{said}");
        assert_eq!((&said["findings"][0]["what"], &said["findings"][0]["seq"]), (&json!("event_altered"), &json!(2)), "{said}");
        server.stop().await;
    }
}
