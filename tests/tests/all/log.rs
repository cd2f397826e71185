//! From an error to the person and back: the log as it is searched and followed, credentials that were refused, a person who is run step by
//! step, and clients' own tests.

use std::collections::BTreeMap;

use rolecall_tests::issuer::Key;
use rolecall_tests::process;
use rolecall_tests::tenant::{POLICIES, group, patch, text, user};
use rolecall_tests::{Client, Database, Server, on_both_databases};
use serde_json::{Value, json};

fn list<'a>(page: &'a Value, key: &str) -> &'a [Value] {
    page[key].as_array().map_or(&[], Vec::as_slice)
}

fn ids(page: &Value) -> Vec<String> {
    list(page, "entries").iter().map(|entry| text(&entry["request_id"])).collect()
}

on_both_databases! {
    /// An entry says how long it took, what it was made of and what it led to; it is found by person, group, request, outcome and time, in
    /// all of the tenant's connections; whoever waits is told of what is new.
    async fn an_error_leads_to_the_person_and_back(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        server.tenant("globex").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let ada = entra.create("ada@acme.example").await;
        okta.create("other@acme.example").await;
        let crew = text(&entra.scim.post("/Groups", group("Engineering", &[&ada])).await.expect(201)["id"]);
        server.clock.advance_seconds(60);
        let operations = json!([{"op": "Replace", "path": "title", "value": "secret"}, {"op": "replace", "path": "emails[value eq \"secret@acme.example\"].type", "value": "work"}]);
        let failed = entra.scim.patch(&format!("/Users/{ada}"), patch(operations)).await;
        failed.expect(400);
        entra.scim.get("/Users/0190a8a0-0000-7000-8000-000000000000?attributes=secret").await.expect(404);
        entra.scim.get("/Users?filter=userName+eq+%22secret%22").await.expect(200);
        let log = async |query: &str| acme.api.get(&format!("/log{query}")).await.expect(200);

        let all = log("").await;
        let codes: Vec<String> = list(&all, "entries").iter().map(|entry| text(&entry["code"])).collect();
        assert_eq!(codes, ["applied", "applied", "applied", codes[3].as_str(), "not_found"], "{all:#}");
        let joined = &list(&all, "entries")[2];
        assert_eq!((&joined["led"]["gained"], &joined["led"]["people"], &joined["led"]["events"]["grant.added"]), (&json!(["developer"]), &json!(1), &json!(1)));
        assert_eq!(&joined["operations"]["each"], &json!(["applied"]));

        // From the error's request id to the person, and from the person to their requests.
        let found = log(&format!("?request={}", failed.header("x-request-id"))).await;
        let [entry] = list(&found, "entries") else { panic!("{found:#}") };
        assert_eq!((&entry["outcome"], &entry["quirks"], &entry["operations"]["at_fault"]), (&json!("refused"), &json!(["capitalised_op"]), &json!(1)));
        assert!(entry["took_ms"].as_f64().is_some_and(|took| took > 0.0) && text(&entry["explained"]["to_do"]).ends_with('.'), "{entry:#}");
        let curl = text(&entry["curl"]);
        assert!(curl.starts_with(&format!("curl -X PATCH '{}/scim/{}/v2/Users/{ada}'", server.url(), entra.id)) && curl.contains("\"Replace\""), "{curl}");
        let person = acme.account(entry["account"].as_str().unwrap_or_default()).await;
        assert_eq!(person["user_name"], "ada@acme.example");
        let link = text(&person["log"]);
        let theirs = acme.api.get(link.strip_prefix("/api/v1/tenants/acme").unwrap_or(&link)).await.expect(200);
        assert_eq!(theirs["entries"].as_array().map(Vec::len), Some(2), "{theirs:#}");

        assert_eq!(ids(&log("?person=ada@acme.example").await), ids(&theirs));
        assert_eq!(ids(&log(&format!("?group={crew}")).await), ids(&json!({"entries": [joined]})));
        assert_eq!(list(&log(&format!("?outcome=refused&connection={}", entra.id)).await, "entries").len(), 2);
        assert_eq!(list(&log("?code=not_found").await, "entries")[0]["method"], "GET");
        assert_eq!(list(&log(&format!("?connection={}", okta.id)).await, "entries").len(), 1);
        assert_eq!(ids(&log(&format!("?from={}", text(&entry["at"]))).await), ids(&all)[3..]);
        assert_eq!(ids(&log(&format!("?until={}", text(&entry["at"]))).await), ids(&all)[..3]);
        let page = log("?limit=2").await;
        assert_eq!(ids(&page), ids(&all)[3..]);
        assert_eq!(ids(&log(&format!("?limit=2&before={}", page["previous"])).await), ids(&all)[1..3]);
        assert!(!all.to_string().contains("secret"), "{all:#}");

        // Whoever waits behind the last one is told of the next.
        let path = format!("/log?after={}&wait=20", all["next"]);
        let (waited, _) = tokio::join!(acme.api.get(&path), okta.create("new@acme.example"));
        assert_eq!(list(&waited.expect(200), "entries").len(), 1);
        acme.api.get("/log?after=1&before=2").await.expect(400);
        acme.api.get("/connections/unknown/log").await.expect(404);
        let outcomes = server.operator.get("/outcomes").await.expect(200);
        assert!(list(&outcomes, "outcomes").iter().any(|known| known["code"] == "not_found"), "{outcomes}");
        let stranger = server.api_client(Some("globex"), true).await;
        stranger.get("/tenants/acme/log").await.expect(404);
        assert_eq!(list(&stranger.get(&format!("/tenants/globex/log?person={ada}")).await.expect(200), "entries").len(), 0);
        server.stop().await;
    }

    /// Whoever sends a wrong credential is told the same for all; the tenant sees which check failed, and never the secret or anything of
    /// another tenant.
    async fn a_refused_credential_is_explained_to_its_tenant_alone(database: Database) {
        let server = Server::start(&database).await;
        let (acme, globex) = (server.tenant("acme").create().await, server.tenant("globex").create().await);
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let theirs = globex.connection(&server, "Entra ID").await;
        let key = Key::new("one");
        let settings = json!({"issuer": "https://idp.acme.example", "audience": "rolecall", "jwks": {"keys": [key.public()]}});
        acme.api.put(&format!("/connections/{}/issuer", entra.id), settings).await.expect(200);
        let token = |client: &Client| client.token.clone().unwrap_or_default();
        let jwt = key.sign(&json!({"iss": "https://idp.acme.example", "aud": "another audience", "sub": "private subject", "exp": 1}));
        let mut answers = std::collections::BTreeSet::new();
        for token in ["rc_nobody-has-this-one", "nonsense", &token(&okta.scim), &token(&theirs.scim), &jwt] {
            let answer = entra.scim.with_token(Some(token)).get("/Users").await;
            answers.insert((answer.status.as_u16(), answer.json().to_string()));
        }
        for header in [None, Some(("authorization", "Basic YTpi"))] {
            let headers: Vec<(&str, &str)> = header.into_iter().collect();
            let answer = entra.scim.with_token(None).send("GET", "/Users", &headers, None).await;
            answers.insert((answer.status.as_u16(), answer.json().to_string()));
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        let refused = acme.api.get(&format!("/connections/{}/refused-credentials", entra.id)).await.expect(200);
        let failed = |refused: &Value| list(refused, "checks").iter().filter(|check| check["passed"] == false).map(|check| text(&check["check"])).collect::<Vec<_>>();
        let seen: BTreeMap<String, (i64, Vec<String>)> = list(&refused, "refused")
            .iter()
            .map(|refused| (format!("{} {}", text(&refused["form"]), failed(refused).join(" ")), (refused["seen"].as_i64().unwrap_or(0), failed(refused))))
            .collect();
        let found: Vec<(&str, i64)> = seen.iter().map(|(what, (seen, _))| (what.as_str(), *seen)).collect();
        assert_eq!(found, [
            ("bearer_token connection", 1),
            ("bearer_token form", 1),
            // One that nobody has, and one that is another tenant's.
            ("bearer_token known", 2),
            ("jwt audience expiry", 1),
            ("missing scheme", 1),
            ("other_scheme scheme", 1),
        ], "{refused:#}");
        let said = refused.to_string();
        assert!(said.contains("another audience") && said.contains(&okta.id), "{said}");
        for secret in ["nobody-has-this", "nonsense", &token(&okta.scim)[3..], &theirs.id, "private subject"] {
            assert!(!said.contains(secret), "`{secret}`: {said}");
        }
        globex.api.get(&format!("/connections/{}/refused-credentials", entra.id)).await.expect(404);
        server.stop().await;
    }

    /// A person is run under the active revision and under a candidate without effect; asked for, what comes of it is committed.
    async fn a_person_is_run_step_by_step(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        let events = acme.events(&server).await.len();
        let run = acme.api.get("/accounts/ada@acme.example/run?role=admin").await.expect(200);
        assert_eq!((&run["is_active"], &run["came_in"]["document"]["userName"]), (&json!(true), &json!("ada@acme.example")), "{run:#}");
        assert_eq!((&run["mapped"]["outcome"], &run["mapped"]["account"]["user_name"]), (&json!("account"), &json!("ada@acme.example")));
        assert!(list(&run["mapped"], "calls").iter().any(|call| call["hook"] == "transform-user" && call["fuel"].as_u64() > Some(0)), "{run:#}");
        let decisions: BTreeMap<String, String> = list(&run, "decided").iter().map(|said| (text(&said["role"]), text(&said["decision"]))).collect();
        assert_eq!(decisions.get("developer").map(String::as_str), Some("allow"), "{run:#}");
        assert_eq!(decisions.get("admin").map(String::as_str), Some("no_permit"), "{run:#}");
        assert_eq!(run["changes"]["difference"], Value::Null, "{run:#}");

        let everybody = "@id(\"everybody-reads\")\n@reason(\"for all\")\npermit (principal, action == Rolecall::Action::\"hold\", resource == Rolecall::Role::\"reader\");\n";
        let files = server.tenant("acme").with_probe().with_policies(&format!("{POLICIES}\n{everybody}")).files();
        let checked = rolecall::tenancy::store_revision(server.app(), &"acme".into(), files.clone()).await.expect("the candidate is sound");
        let candidate = acme.api.get(&format!("/accounts/ada@acme.example/run?revision={}", checked.hash)).await.expect(200);
        assert_eq!((&candidate["is_active"], &candidate["changes"]["difference"]["gains"]), (&json!(false), &json!(["reader"])), "{candidate:#}");
        assert_eq!(acme.events(&server).await.len(), events, "without effect");
        acme.activate(&server, files).await;
        let applied = acme.api.post("/accounts/ada@acme.example/run", json!({})).await.expect(200);
        assert_eq!((&applied["applied"]["gained"], &applied["applied"]["people"]), (&json!(["reader"]), &json!(1)), "{applied:#}");
        assert!(acme.roles("ada@acme.example").await.contains("reader"));
        let reader = server.api_client(Some("acme"), false).await;
        reader.get("/tenants/acme/accounts/ada@acme.example/run").await.expect(200);
        reader.post("/tenants/acme/accounts/ada@acme.example/run", json!({})).await.expect(403);
        acme.api.get("/accounts/nobody/run").await.expect(404);
        entra.scim.delete(&format!("/Users/{ada}")).await.expect(204);
        let account = text(&run["account"]);
        acme.api.get(&format!("/accounts/{account}/run")).await.expect_one_of(&[409, 422, 400]);
        server.stop().await;
    }

    /// A client's test person and test group set nothing off and are answered as ever; one that stays, or gets another name, is like anybody.
    async fn a_clients_own_test_sets_nothing_off(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").and_settings("[probes]\nnames = [\"scim-test@acme.example\", \"SCIM test\"]\n").create().await;
        let entra = acme.connection(&server, "JumpCloud").await;
        let before = acme.events(&server).await.len();
        let test = text(&entra.scim.post("/Users", user("SCIM-test@acme.example", json!({}))).await.expect(201)["id"]);
        let crew = text(&entra.scim.post("/Groups", group("SCIM test", &[&test])).await.expect(201)["id"]);
        let found = entra.scim.get("/Users?filter=userName+eq+%22scim-test@acme.example%22").await.expect(200);
        assert_eq!(found["totalResults"], 1);
        entra.deactivate(&test).await;
        assert_eq!(entra.scim.get(&format!("/Users/{test}")).await.expect(200)["active"], false);
        entra.scim.delete(&format!("/Groups/{crew}")).await.expect(204);
        entra.scim.delete(&format!("/Users/{test}")).await.expect(204);
        entra.scim.get(&format!("/Users/{test}")).await.expect(404);
        server.settle().await;
        let told: Vec<String> = acme.events(&server).await[before..].iter().map(|event| text(&event["kind"])).collect();
        assert_eq!(told, ["connection.first_seen"], "nothing was set off but that the client came");
        let before = before + 1;
        let log = acme.api.get("/log?code=probe").await.expect(200);
        assert_eq!(list(&log, "entries").len(), 5, "{log:#}");

        // Rolecall's own, which plays an identity provider.
        let url = format!("{}/scim/{}/v2", server.url(), entra.id);
        let secret = entra.scim.token.clone().unwrap_or_default();
        let (done, out, error) =
            process::run(&["connection", "probe", "--json"], &[("ROLECALL_SCIM_URL", &url), ("ROLECALL_SCIM_TOKEN", &secret)]).await;
        let answer: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{error}\n{out}"));
        assert!(done && answer["passed"] == true && list(&answer, "steps").len() > 12, "{answer:#}");
        server.settle().await;
        assert_eq!(acme.events(&server).await.len(), before, "nothing was set off: {answer:#}");
        let (done, out, _) = process::run(&["connection", "probe", "--json"], &[("ROLECALL_SCIM_URL", &url), ("ROLECALL_SCIM_TOKEN", "rc_wrong")]).await;
        assert!(!done && out.contains("401"), "{out}");

        // It hides nobody: whoever stays is decided, and so is whoever gets another name.
        let again = entra.create("scim-test@acme.example").await;
        entra.group("Engineering", &[&again]).await;
        server.settle().await;
        let waiting = acme.api.get("/accounts").await.expect(200).to_string();
        assert!(waiting.contains("\"probe\""), "{waiting}");
        server.clock.advance_seconds(11 * 60);
        server.settle().await;
        assert_eq!(acme.state("scim-test@acme.example").await, "active");
        assert!(acme.roles("scim-test@acme.example").await.contains("developer"));
        let kinds: Vec<String> = acme.events(&server).await[before..].iter().map(|event| text(&event["kind"])).collect();
        assert!(kinds.iter().any(|kind| kind == "account.created"), "{kinds:?}");
        // Somebody who has been in use is no test, whatever they are called.
        entra.scim.delete(&format!("/Users/{again}")).await.expect(204);
        assert!(!acme.events(&server).await.iter().filter(|event| event["kind"] == "user.deleted").collect::<Vec<_>>().is_empty());
        let other = entra.scim.post("/Users", user("probe-2@probe.invalid", json!({}))).await.expect(201);
        entra.set(other["id"].as_str().unwrap_or_default(), "userName", json!("bob@acme.example")).await;
        assert_eq!(acme.state("bob@acme.example").await, "active");
        server.stop().await;
    }
}
