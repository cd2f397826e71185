//! An identity provider's export is compared with what is stored: what differs is shown with what it would do to people's roles, and carried out as
//! it was seen. More people than the guard lets lose access wait together.

use std::collections::{BTreeMap, BTreeSet};

use rolecall::clock::Clock as _;
use rolecall_tests::tenant::text;
use rolecall_tests::{Answer, Connection, Database, Server, Tenant, on_both_databases, process};
use serde_json::{Value, json};

/// More people than the guard lets lose access in a small tenant.
const CROWD: usize = 8;

async fn compare(acme: &Tenant, entra: &Connection, content: &str, complete: bool) -> Answer {
    let export = json!({"format": "csv", "content": content, "complete": complete});
    acme.api.post(&format!("/connections/{}/reconciliations", entra.id), export).await
}

async fn carry_out(acme: &Tenant, id: &str, digest: &Value) -> Answer {
    acme.api.post(&format!("/reconciliations/{id}/carry-out"), json!({"digest": digest, "reason": "the connector was broken"})).await
}

/// A reconciliation that is simulated.
async fn ready(server: &Server, acme: &Tenant, made: &Value) -> (String, Value) {
    server.settle().await;
    let id = text(&made["id"]);
    let found = acme.api.get(&format!("/reconciliations/{id}")).await.expect(200);
    assert_eq!(found["state"], "ready", "{found}");
    (id, found)
}

/// Lines by login name, page by page.
async fn lines(acme: &Tenant, id: &str) -> BTreeMap<String, Value> {
    let (mut found, mut after) = (BTreeMap::new(), 0);
    loop {
        let page = acme.api.get(&format!("/reconciliations/{id}/lines?limit=3&after={after}")).await.expect(200);
        for line in page["lines"].as_array().expect("lines") {
            assert!(found.insert(text(&line["user_name"]), line.clone()).is_none(), "{line}");
        }
        match page["next"].as_i64() {
            Some(next) => after = next,
            None => return found,
        }
    }
}

fn outcomes(lines: &BTreeMap<String, Value>) -> BTreeMap<&str, &str> {
    lines.iter().map(|(name, line)| (name.as_str(), line["outcome"].as_str().unwrap_or("–"))).collect()
}

on_both_databases! {
    async fn an_export_is_compared_and_carried_out(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "entra").await;
        let ada = entra.create("ada@acme.example").await;
        let bob = entra.create("bob@acme.example").await;
        let eve = entra.create("eve@acme.example").await;
        let late = entra.create("late@acme.example").await;
        entra.create("same@acme.example").await;
        let engineering = entra.group("Engineering", &[&bob, &eve]).await;
        server.settle().await;
        let developer = BTreeSet::from(["developer".to_owned()]);
        assert_eq!(acme.roles("bob@acme.example").await, developer);

        let wrong = compare(&acme, &entra, "user_name,active\nada@acme.example,perhaps\n", true).await.expect(422);
        assert_eq!((&wrong["problems"][0]["line"], &wrong["problems"][0]["column"]), (&json!(2), &json!(18)), "{wrong}");
        // Ada is in the group and has a title; Bob has left it; Eve is not listed; Dave is missing; Late is written meanwhile.
        let export = "user_name,title,groups\nADA@acme.example,Lead,engineering\nbob@acme.example,,\nsame@acme.example,,\n\
                      late@acme.example,Manager,\ndave@acme.example,Clerk,Engineering;Chess\n";
        let made = compare(&acme, &entra, export, true).await.expect(201);
        assert_eq!((&made["state"], &made["digest"]), (&json!("simulating"), &Value::Null), "{made}");
        let (id, found) = ready(&server, &acme, &made).await;
        let counts = json!({"listed": 5, "stored": 5, "missing": 1, "extra": 1, "differing": 3, "doubts": 0, "memberships": 3,
                            "unknown_groups": ["Chess"]});
        assert_eq!(found["counts"], counts);
        let seen = lines(&acme, &id).await;
        let line = |name: &str| &seen[&format!("{name}@acme.example")];
        assert_eq!(line("ada")["attributes"], json!([{"attribute": "title", "stored": line("ada")["attributes"][0]["stored"], "listed": "Lead"}]));
        for (name, kind, gains, loses) in [
            ("ada", "differing", &["developer"][..], &[][..]),
            ("bob", "differing", &[], &["developer"]),
            ("dave", "missing", &[], &[]),
            ("eve", "extra", &[], &["developer"]),
        ] {
            let line = line(name);
            assert_eq!((&line["kind"], &line["forecast"]["gains"], &line["forecast"]["loses"]), (&json!(kind), &json!(gains), &json!(loses)), "{line}");
        }
        assert_eq!(acme.roles("bob@acme.example").await, developer, "nothing has changed yet");
        let csv = acme.api.get(&format!("/reconciliations/{id}/lines?format=csv&kind=extra")).await;
        assert!(csv.text.contains("extra") && csv.text.contains("eve@acme.example") && csv.text.lines().count() == 2, "{}", csv.text);

        // What was seen is what is done; who was written since is left alone.
        carry_out(&acme, &id, &json!("another")).await.expect(409);
        entra.set(&late, "title", json!("Director")).await;
        assert_eq!(carry_out(&acme, &id, &found["digest"]).await.expect(200)["held"], 0);
        carry_out(&acme, &id, &found["digest"]).await.expect(409);
        server.settle().await;
        let done = lines(&acme, &id).await;
        let wanted = [("ada", "done"), ("bob", "done"), ("dave", "done"), ("eve", "done"), ("late", "moved")];
        let wanted: Vec<(String, &str)> = wanted.iter().map(|(name, outcome)| (format!("{name}@acme.example"), *outcome)).collect();
        assert_eq!(outcomes(&done), wanted.iter().map(|(name, outcome)| (name.as_str(), *outcome)).collect());
        let found = acme.api.get(&format!("/reconciliations/{id}")).await.expect(200);
        assert_eq!((&found["state"], &found["distance"]), (&json!("finished"), &json!(1)), "{found}");
        assert_eq!(acme.roles("ada@acme.example").await, developer);
        assert_eq!(acme.roles("dave@acme.example").await, developer, "he joined the group after he was made");
        assert!(acme.roles("bob@acme.example").await.is_empty());
        assert_eq!(acme.state("eve@acme.example").await, "suspended");
        let written = entra.scim.get(&format!("/Users/{ada}")).await.expect(200);
        assert_eq!(written["title"], "Lead");
        assert_eq!(entra.scim.get(&format!("/Users/{eve}")).await.expect(200)["active"], false);
        let members = entra.scim.get(&format!("/Groups/{engineering}")).await.expect(200)["members"].as_array().map_or(0, Vec::len);
        assert_eq!(members, 3, "Ada and Dave beside Eve, whom nobody lists");
        let events = acme.events(&server).await;
        let of_plan = events.iter().filter(|event| event["request_id"] == json!(id)).count();
        assert!(of_plan >= 4, "each change names the reconciliation: {of_plan}");
        let kinds: BTreeSet<String> = events.iter().map(|event| text(&event["kind"])).collect();
        for kind in ["drift.uploaded", "drift.compared", "drift.ready", "drift.begun", "drift.finished"] {
            assert!(kinds.contains(kind), "{kind}: {kinds:?}");
        }
        // The same again finds what is left; one that nobody wants is given up, and makes room.
        let again = compare(&acme, &entra, export, false).await.expect(201);
        assert_eq!((&again["counts"]["missing"], &again["counts"]["extra"], &again["counts"]["differing"]), (&json!(0), &json!(0), &json!(1)));
        let newer = compare(&acme, &entra, export, true).await.expect(201);
        assert_eq!(acme.api.get(&format!("/reconciliations/{}", text(&again["id"]))).await.expect(200)["state"], "abandoned");
        acme.api.post(&format!("/reconciliations/{}/abandon", text(&newer["id"])), json!({"reason": "not now"})).await.expect(204);
        server.clock.advance_hours(40 * 24);
        server.settle().await;
        assert_eq!(acme.api.get("/reconciliations").await.expect(200)["reconciliations"], json!([]), "what is over is forgotten");
        server.stop().await;
    }

    /// What would be a collision gives nobody anything: it is shown so before it is carried out.
    async fn a_name_that_another_account_has_is_foreseen(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "entra").await, acme.connection(&server, "okta").await);
        okta.create("jose@acme.example").await;
        let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada@acme.example", "externalId": "A-1"});
        let ada = text(&entra.scim.post("/Users", body).await.expect(201)["id"]);
        entra.group("Engineering", &[]).await;
        server.settle().await;
        let of = |name: &str| format!("user_name,external_id,groups\n{name}@acme.example,A-1,Engineering\n");
        for (name, gains, account) in [("maria", json!(["developer"]), Value::Null), ("José", json!([]), json!("held"))] {
            let made = compare(&acme, &entra, &of(name), false).await.expect(201);
            let (id, found) = ready(&server, &acme, &made).await;
            let seen = lines(&acme, &id).await;
            let line = seen.values().next().expect("a line");
            assert_eq!((&line["forecast"]["gains"], &line["forecast"]["account"]), (&gains, &account), "{line}");
            if name == "José" {
                carry_out(&acme, &id, &found["digest"]).await.expect(200);
            }
        }
        server.settle().await;
        assert_eq!(entra.scim.get(&format!("/Users/{ada}")).await.expect(200)["userName"], "José@acme.example");
        let held = acme.api.get("/accounts?state=held").await.expect(200);
        assert_eq!((&held["accounts"][0]["note"]["code"], &held["accounts"][0]["grants"]), (&json!("collision"), &json!([])), "{held}");
        server.stop().await;
    }

    /// Whoever comes back finds the account again, with what was said of it beside the policies.
    async fn what_comes_back_with_an_account_is_foreseen(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "entra").await;
        let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada@acme.example", "externalId": "A-1"});
        let ada = text(&entra.scim.post("/Users", body).await.expect(201)["id"]);
        server.settle().await;
        let ends = server.clock.now().plus_seconds(30 * 86_400).to_string();
        let exception = json!({"role": "developer", "effect": "grant", "ends": ends, "reason": "stands in", "owner": "iam@acme.example"});
        acme.api.post("/accounts/ada@acme.example/exceptions", exception).await.expect(201);
        entra.scim.delete(&format!("/Users/{ada}")).await.expect(204);
        server.settle().await;
        let export = "user_name,external_id,groups\nada@acme.example,A-1,\nbob@acme.example,B-1,\n";
        let made = compare(&acme, &entra, export, false).await.expect(201);
        let (id, found) = ready(&server, &acme, &made).await;
        let seen = lines(&acme, &id).await;
        assert_eq!(seen["ada@acme.example"]["forecast"]["gains"], json!(["developer"]), "{seen:?}");
        assert_eq!(seen["bob@acme.example"]["forecast"]["gains"], json!([]), "{seen:?}");
        carry_out(&acme, &id, &found["digest"]).await.expect(200);
        server.settle().await;
        assert_eq!(acme.roles("ada@acme.example").await, BTreeSet::from(["developer".to_owned()]));
        assert!(acme.roles("bob@acme.example").await.is_empty());
        server.stop().await;
    }

    /// An export that lists half of the people: the losses are one hold, released in part; the rest stands, answered for.
    async fn losses_of_a_plan_are_held_as_one(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "entra").await;
        let people = entra.crowd("p", CROWD).await;
        let members: Vec<&str> = people.iter().map(String::as_str).collect();
        entra.group("Engineering", &members).await;
        entra.create("stays@acme.example").await;
        server.settle().await;
        acme.guard(&entra).await;
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let environment = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", token.as_str())];
        let export = "user_name,title\nstays@acme.example,Lead\n";
        let compare = ["drift", "compare", "--tenant", "acme", "entra", "-", "--json"];
        let (done, out, error) = process::feed(&compare, &environment, export).await;
        assert!(done, "{out}{error}");
        let made: Value = serde_json::from_str(&out).expect("JSON");
        let (id, _) = ready(&server, &acme, &made).await;
        let say = ["drift", "carry-out", "--tenant", "acme", &id, "--reason", "a broken filter?", "--yes", "--json"];
        let (done, out, error) = process::feed(&say, &environment, "").await;
        assert!(done, "{out}{error}");
        let begun: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(begun["held"], CROWD, "{begun}");
        server.settle().await;
        let name = |number: usize| format!("p{number:05}@acme.example");
        for number in 0..CROWD {
            assert_eq!(acme.state(&name(number)).await, "active", "held");
        }
        assert_eq!(lines(&acme, &id).await["stays@acme.example"]["outcome"], "done", "the others go on");
        let holds = acme.api.get("/holds?state=open").await.expect(200);
        let hold = &holds["holds"][0];
        assert_eq!((&hold["scope"], &hold["of"], &hold["people"]), (&json!("plan"), &json!(id), &json!(CROWD)), "{holds}");
        let answer = |accounts: Value, more: Value| {
            let mut body = json!({"accounts": accounts, "reason": "looked into it"});
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            body
        };
        let hold = text(&hold["id"]);
        let account = async |name: String| acme.account(&name).await["id"].clone();
        let released = json!([account(name(0)).await, account(name(1)).await]);
        acme.api.post(&format!("/holds/{hold}/release"), answer(released, json!({}))).await.expect(200);
        server.settle().await;
        assert_eq!((acme.state(&name(0)).await.as_str(), acme.state(&name(2)).await.as_str()), ("suspended", "active"));
        assert!(acme.roles(&name(0)).await.is_empty());
        let standing = json!({"owner": "iam@acme.example", "ends": server.clock.now().plus_seconds(30 * 86_400)});
        acme.api.post(&format!("/holds/{hold}/reject"), answer(Value::Null, standing)).await.expect(200);
        server.settle().await;
        let found = acme.api.get(&format!("/reconciliations/{id}")).await.expect(200);
        assert_eq!((&found["state"], &found["distance"]), (&json!("finished"), &json!(CROWD - 2)), "{found}");
        assert_eq!(acme.api.get("/holds?state=open").await.expect(200)["holds"], json!([]), "what was released is not held once more");
        // The difference stands: the same export again asks about nobody.
        let export = json!({"format": "csv", "content": export});
        let again = acme.api.post(&format!("/connections/{}/reconciliations", entra.id), export).await.expect(201);
        let (id, found) = ready(&server, &acme, &again).await;
        assert_eq!(carry_out(&acme, &id, &found["digest"]).await.expect(200)["held"], 0);
        server.settle().await;
        assert_eq!(outcomes(&lines(&acme, &id).await)[name(5).as_str()], "rejected");
        assert_eq!(acme.state(&name(5)).await, "active");
        let health = acme.api.get(&format!("/connections/{}/health", entra.id)).await.expect(200);
        let rules: Vec<String> = health["evidence"].as_array().expect("evidence").iter().map(|one| text(&one["rule"])).collect();
        assert!(rules.contains(&"distance".to_owned()), "{health}");
        server.stop().await;
    }
}
