//! Access reviews: who reviews what, what is said and unsaid, what silence means, what the next sync can't undo, and what auditors get.

use std::collections::{BTreeMap, BTreeSet};

use rolecall::crypto::signature::{SigningKey, VerifyingKey};
use rolecall::jobs;
use rolecall::model::Instant;
use rolecall::tenancy::reviews;
use rolecall::tenancy::reviews::export::{Invalid, verify};
use rolecall_tests::tenant::text;
use rolecall_tests::{Client, Database, Server, Tenant, on_both_databases, process};
use serde_json::{Value, json};

use crate::leavers::confirm;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

async fn person(server: &Server, acme: &Tenant, name: &str) -> Client {
    let made = server.operator.post("/tokens", json!({"tenant": "acme", "write": true, "person": name})).await.expect(201);
    acme.api.with_token(made["token"].as_str())
}

fn in_hours(server: &Server, hours: i64) -> String {
    server.app().clock.now().plus_seconds(hours * 3_600).to_string()
}

/// The body of a review that closes in two days.
fn review(server: &Server, scope: &Value, reviewers: &str, on_silence: &str) -> Value {
    json!({"name": "spring", "scope": scope, "reviewers": reviewers, "fallback": "audit@acme.example", "closes": in_hours(server, 48),
           "on_silence": on_silence, "exception_days": 30, "exception_owner": "iam@acme.example"})
}

/// Sets a review up and opens it; gives its path.
async fn begin(server: &Server, acme: &Tenant, body: Value) -> String {
    let made = acme.api.post("/reviews", body).await.expect(201);
    assert_eq!(text(&made["state"]), "draft");
    server.settle().await;
    let path = format!("/reviews/{}", text(&made["id"]));
    assert_eq!(text(&acme.api.get(&path).await.expect(200)["state"]), "open");
    path
}

/// The lines by login name (before the `@`) and role.
async fn lines(acme: &Tenant, path: &str) -> BTreeMap<String, Value> {
    let mut lines = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = acme.api.get(&format!("{path}/lines?limit=100{after}")).await.expect(200);
        for line in page["lines"].as_array().expect("a list") {
            let name = text(&line["user_name"]);
            let name = name.split('@').next().unwrap_or_default();
            let before = lines.insert(format!("{name} {}", text(&line["role"])), line.clone());
            assert!(before.is_none(), "{line} is there twice");
        }
        match page["next"].as_i64() {
            Some(next) => after = format!("&after={next}"),
            None => return lines,
        }
    }
}

fn said(line: &Value, decision: &str) -> Value {
    json!({"lines": [line["line"]], "decision": decision, "reason": "so it is"})
}

async fn kinds(acme: &Tenant, server: &Server) -> BTreeSet<String> {
    acme.events(server).await.iter().map(|event| text(&event["kind"])).collect()
}

on_both_databases! {
    /// Managers review what is not privileged, nobody themselves; what is said may be changed; what is revoked stays revoked.
    async fn managers_review_and_the_next_sync_undoes_nothing(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let grace = entra.create_with("grace@acme.example", json!({"emails": [{"value": "hopper@acme.example", "primary": true}]})).await;
        let ada = entra.create_with("ada@acme.example", json!({ENTERPRISE: {"manager": {"value": grace}}})).await;
        let by_external_id = json!({ENTERPRISE: {"manager": {"value": "ext-grace@acme.example"}}});
        let bob = entra.create_with("bob@acme.example", by_external_id).await;
        let engineering = entra.group("Engineering", &[&grace, &ada, &bob]).await;
        entra.group("Operations", &[&ada]).await;
        confirm(&acme, "operations").await;
        server.settle().await;
        let scope = json!({"connections": [entra.id]});
        let path = begin(&server, &acme, review(&server, &scope, "manager", "keep")).await;
        let found = lines(&acme, &path).await;
        let reviewers: BTreeMap<&str, (String, String)> =
            found.iter().map(|(name, line)| (name.as_str(), (text(&line["reviewer"]), text(&line["evidence"]["reviewer_by"])))).collect();
        let by = |name: &str, source: &str| (format!("{name}@acme.example"), source.to_owned());
        assert_eq!(reviewers, BTreeMap::from([
            ("ada admin", by("audit", "fallback")),
            ("ada developer", by("grace", "manager")),
            ("bob developer", by("grace", "manager")),
            ("grace developer", by("audit", "fallback")),
        ]), "the identity provider's manager reviews no privileged role");
        let evidence = &found["bob developer"]["evidence"];
        assert_eq!((text(&evidence["reasons"][0]["policy"]), evidence["peers"].as_i64()), ("engineers".into(), Some(2)));
        assert_eq!((evidence["privileged"].as_bool(), found["ada admin"]["evidence"]["privileged"].as_bool()), (Some(false), Some(true)));
        assert!(evidence["since"].is_string() && evidence["last_change"].is_string());

        let decide = format!("{path}/decide");
        acme.api.post(&decide, said(&found["ada developer"], "keep")).await.expect(403);
        let manager = person(&server, &acme, "Grace@acme.example").await;
        manager.post(&decide, said(&found["ada developer"], "keep")).await.expect(200);
        manager.post(&decide, said(&found["ada admin"], "keep")).await.expect(403);
        manager.post(&decide, json!({"lines": [found["bob developer"]["line"]], "decision": "revoke"})).await.expect(422);
        // Her own line is not hers, and nobody can make it so.
        for name in ["grace@acme.example", "Hopper@acme.example", &text(&found["grace developer"]["account"])] {
            let own = json!({"lines": [found["grace developer"]["line"]], "reviewer": name, "reason": "why not"});
            acme.api.post(&format!("{path}/reassign"), own).await.expect(403);
        }
        let by_address = person(&server, &acme, "hopper@acme.example").await;
        let refused = by_address.post(&decide, said(&found["grace developer"], "keep")).await.expect(403);
        assert!(text(&refused["detail"]).contains("nobody reviews"), "{refused}");
        let audit = person(&server, &acme, "audit@acme.example").await;
        audit.post(&decide, said(&found["bob developer"], "keep")).await.expect(403);
        // What she does not know goes to the fallback reviewer, who may think again until it closes.
        let counted = manager.post(&decide, said(&found["bob developer"], "dont_know")).await.expect(200);
        assert_eq!((counted["counts"]["dont_know"].as_i64(), counted["counts"]["undecided"].as_i64()), (Some(1), Some(2)));
        manager.post(&decide, said(&found["bob developer"], "keep")).await.expect(403);
        for decision in ["revoke", "keep", "revoke"] {
            audit.post(&decide, said(&found["bob developer"], decision)).await.expect(200);
        }
        let of_audit = acme.api.get(&format!("{path}/lines?reviewer=AUDIT@acme.example&decision=undecided")).await.expect(200);
        assert_eq!(of_audit["lines"].as_array().map(Vec::len), Some(2));

        server.clock.advance_hours(49);
        audit.post(&decide, said(&found["bob developer"], "keep")).await.expect(409);
        server.settle().await;
        let closed = acme.api.get(&path).await.expect(200);
        assert_eq!((text(&closed["state"]), closed["counts"]["revoked"].as_i64(), closed["counts"]["kept"].as_i64()), ("closed".into(), Some(1), Some(3)));
        assert_eq!(acme.roles("bob@acme.example").await, BTreeSet::new());
        entra.remove(&engineering, &bob).await;
        entra.add(&engineering, &bob).await;
        entra.set(&bob, "title", json!("Engineer")).await;
        server.settle().await;
        assert_eq!(acme.roles("bob@acme.example").await, BTreeSet::new(), "the next sync does not undo it");
        assert_eq!(acme.roles("ada@acme.example").await.len(), 2, "silence keeps");
        // And it is shown as what it is.
        let line = &lines(&acme, &path).await["bob developer"];
        let exceptions = acme.api.get("/exceptions?effect=forbid").await.expect(200);
        let exception = &exceptions["rulings"][0];
        assert_eq!((text(&line["outcome"]), &line["exception"], text(&line["decided_by"])), ("revoked".into(), &exception["id"], "audit@acme.example".into()));
        assert_eq!((text(&exception["reason"]), text(&exception["owner"])), ("access review `spring`: so it is".into(), "iam@acme.example".into()));
        assert_eq!(text(&exception["created_by"]["kind"]), "review");
        let kinds = kinds(&acme, &server).await;
        for kind in ["review.created", "review.opened", "review.decided", "review.reassigned", "review.closing", "review.closed", "exception.made"] {
            assert!(kinds.contains(kind), "{kind}: {kinds:?}");
        }
        server.clock.advance_hours(31 * 24);
        server.settle().await;
        assert_eq!(acme.roles("bob@acme.example").await.len(), 1, "its end was set up front");
        server.stop().await;
    }

    /// Owners and named reviewers; reminders; silence that revokes, `change`, and an exception that gave the role.
    async fn owners_review_and_silence_revokes(database: Database) {
        let server = Server::start(&database).await;
        let owned = "[[roles]]\nid = \"deployer\"\nowner = \"olga@acme.example\"\nprivileged = true\n";
        let acme = server.tenant("acme").and_settings(owned).create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        for name in ["ada@acme.example", "bob@acme.example", "cem@acme.example", "olga@acme.example"] {
            entra.create(name).await;
            let given = json!({"role": "deployer", "effect": "grant", "ends": in_hours(&server, 24 * 300), "reason": "on call", "owner": "iam"});
            acme.api.post(&format!("/accounts/{name}/exceptions"), given).await.expect(201);
        }
        server.settle().await;
        let mut body = review(&server, &json!({"roles": ["deployer"]}), "role_owner", "revoke");
        body["remind_hours"] = json!([4, 24]);
        let path = begin(&server, &acme, body).await;
        let found = lines(&acme, &path).await;
        assert_eq!((text(&found["ada deployer"]["reviewer"]), text(&found["olga deployer"]["reviewer"])), ("olga@acme.example".into(), "audit@acme.example".into()));
        let decide = format!("{path}/decide");
        let olga = person(&server, &acme, "olga@acme.example").await;
        olga.post(&decide, said(&found["ada deployer"], "keep")).await.expect(200);
        let change = json!({"lines": [found["bob deployer"]["line"]], "decision": "change", "reason": "reads only", "instead": "reader"});
        olga.post(&decide, change).await.expect(200);
        // Somebody else answers for her own role, also when she is asked to hand it on to herself by another name.
        let ken = json!({"lines": [found["olga deployer"]["line"]], "reviewer": "ken@acme.example", "reason": "knows her work"});
        acme.api.post(&format!("{path}/reassign"), ken).await.expect(200);
        let ken = person(&server, &acme, "ken@acme.example").await;
        ken.post(&decide, said(&found["olga deployer"], "keep")).await.expect(200);

        let reminders = async || acme.events(&server).await.into_iter().filter(|event| event["kind"] == "review.reminded").collect::<Vec<_>>();
        assert!(reminders().await.is_empty());
        server.clock.advance_hours(25);
        let sent = reminders().await;
        assert_eq!((sent.len(), sent[0]["data"]["undecided"].as_i64()), (1, Some(1)), "one reviewer has something left to say");
        assert_eq!((text(&sent[0]["personal"]["reviewer"]), &sent[0]["data"]["reviewer"]), ("olga@acme.example".into(), &Value::Null));
        server.clock.advance_hours(20);
        assert_eq!(reminders().await.len(), 2);
        // Silence that counts is said so.
        let close = format!("{path}/close");
        acme.api.post(&close, json!({"reason": "done"})).await.expect(409);
        acme.api.post(&close, json!({"reason": "done", "with_silence": true})).await.expect(200);
        acme.api.post(&close, json!({"reason": "done", "with_silence": true})).await.expect(409);
        server.settle().await;
        let mut left = BTreeSet::new();
        for name in ["ada", "bob", "cem", "olga"] {
            if !acme.roles(&format!("{name}@acme.example")).await.is_empty() {
                left.insert(name);
            }
        }
        assert_eq!(left, BTreeSet::from(["ada", "olga"]));
        let exceptions = acme.api.get("/exceptions?effect=forbid").await.expect(200);
        let why: BTreeSet<String> = exceptions["rulings"].as_array().expect("a list").iter().map(|ruling| text(&ruling["reason"])).collect();
        assert_eq!(why, BTreeSet::from([
            "access review `spring`: nobody said that it is to stay".to_owned(),
            "access review `spring`: reads only; instead: reader".to_owned(),
        ]));
        server.stop().await;
    }

    /// What makes no sense is refused; a draft waits for its time, and can be called off.
    async fn a_review_is_set_up_with_care(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let sound = review(&server, &json!({"roles": ["developer"]}), "named", "revoke");
        let with = |key: &str, value: Value| {
            let mut body = sound.clone();
            body["named"] = json!(["ken@acme.example"]);
            body[key] = value;
            body
        };
        for (key, value, status) in [
            ("named", json!([]), 422),
            ("scope", json!({}), 422),
            ("scope", json!({"roles": ["developer", "developer"]}), 422),
            ("scope", json!({"roles": ["nothing"]}), 404),
            ("scope", json!({"connections": ["nothing"]}), 404),
            ("closes", json!(in_hours(&server, 0)), 422),
            ("closes", json!(in_hours(&server, 24 * 400)), 422),
            ("opens", json!(in_hours(&server, -2)), 422),
            ("exception_days", json!(367), 422),
            ("exception_days", json!(0), 422),
            ("remind_hours", json!([0]), 422),
            ("fallback", json!(" "), 422),
            ("surprise", json!(1), 400),
        ] {
            acme.api.post("/reviews", with(key, value.clone())).await.expect_one_of(&[status, if status == 400 { 422 } else { status }]);
        }
        let later = acme.api.post("/reviews", with("opens", json!(in_hours(&server, 10)))).await.expect(201);
        server.settle().await;
        let path = format!("/reviews/{}", text(&later["id"]));
        assert_eq!(text(&acme.api.get(&path).await.expect(200)["state"]), "draft");
        let off = acme.api.post(&format!("{path}/close"), json!({"reason": "a mistake"})).await.expect(200);
        assert_eq!(text(&off["state"]), "closed");
        server.clock.advance_hours(60);
        server.settle().await;
        assert!(lines(&acme, &path).await.is_empty());
        // A server that was away opens late, and reviewers have their time all the same.
        let mut body = with("opens", json!(in_hours(&server, 2)));
        body["closes"] = json!(in_hours(&server, 12));
        let late = acme.api.post("/reviews", body).await.expect(201);
        server.clock.advance_hours(100);
        server.settle().await;
        let late = acme.api.get(&format!("/reviews/{}", text(&late["id"]))).await.expect(200);
        let closes: Instant = serde_json::from_value(late["closes"].clone()).expect("an instant");
        assert!(text(&late["state"]) == "open" && closes > server.app().clock.now().plus_seconds(9 * 3_600), "{late}");
        server.stop().await;
    }

    /// A process that ends in the middle of opening, and of closing: another goes on, and nothing is twice or missing.
    async fn another_process_goes_on(database: Database) {
        const PEOPLE: usize = 250;
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let people = entra.crowd("p", PEOPLE).await;
        let ids: Vec<&str> = people.iter().map(String::as_str).collect();
        entra.group("Engineering", &ids).await;
        server.settle().await;
        let body = review(&server, &json!({"roles": ["developer"]}), "role_owner", "revoke");
        let path = format!("/reviews/{}", text(&acme.api.post("/reviews", body).await.expect(201)["id"]));
        let server = interrupted(server, &database).await;
        let acme = server.existing("acme");
        let half = acme.api.get(&path).await.expect(200);
        assert_eq!((text(&half["state"]), half["counts"]["lines"].as_i64()), ("draft".into(), Some(100)));
        server.clock.advance_seconds(61);
        server.settle().await;
        assert_eq!(lines(&acme, &path).await.len(), PEOPLE);
        acme.api.post(&format!("{path}/close"), json!({"reason": "all of it", "with_silence": true})).await.expect(200);
        let server = interrupted(server, &database).await;
        let acme = server.existing("acme");
        let half = acme.api.get(&path).await.expect(200);
        assert_eq!((text(&half["state"]), half["counts"]["revoked"].as_i64()), ("closing".into(), Some(200)));
        server.clock.advance_seconds(122);
        server.settle().await;
        let done = acme.api.get(&path).await.expect(200);
        assert_eq!((text(&done["state"]), done["counts"]["revoked"].as_i64()), ("closed".into(), Some(250)));
        let exceptions = acme.api.get("/exceptions?effect=forbid&limit=1000").await.expect(200);
        assert_eq!(exceptions["rulings"].as_array().map(Vec::len), Some(PEOPLE));
        let held = acme.accounts().await.values().filter(|account| account["grants"] != json!([])).count();
        assert_eq!(held, 0);
        server.stop().await;
    }

    /// What auditors get says what was said, can be verified, and does nothing in a spreadsheet.
    async fn exports_are_signed_and_harmless(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("=ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        server.settle().await;
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let run = async |token: &str, arguments: &[&str]| process::run(arguments, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", token)]).await;
        let closes = in_hours(&server, 48);
        let (done, made, error) = run(&token, &[
            "review", "create", "--tenant", "acme", "spring", "--role", "developer", "--reviewers", "named", "--named", "ken@acme.example",
            "--fallback", "audit@acme.example", "--closes", &closes, "--on-silence", "keep", "--exception-owner", "iam", "--json",
        ]).await;
        assert!(done, "{error}");
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let id = text(&made["id"]);
        server.settle().await;
        let ken = person(&server, &acme, "ken@acme.example").await.token.unwrap_or_default();
        let (done, _, error) = run(&ken, &["review", "decide", "--tenant", "acme", &id, "revoke", "1", "--reason", "@SUM(A1), \"so\""]).await;
        assert!(done, "{error}");
        let (done, shown, error) = run(&token, &["review", "lines", "--tenant", "acme", &id]).await;
        assert!(done && shown.contains("engineers") && shown.contains("revoke"), "{error}\n{shown}");
        let folder = database.folder();
        let (_, public, _) = run(&token, &["review", "key", "--tenant", "acme"]).await;
        let key = VerifyingKey::read(&public).expect("a key");
        let other = SigningKey::read(&SigningKey::generate()).and_then(|key| key.verifying()).expect("a key");
        std::fs::write(folder.join("reviews.pub"), &public).expect("a file");
        for format in ["json", "csv"] {
            let asked = ["review", "export", "--tenant", "acme", &id, "--csv"];
            let asked = if format == "csv" { &asked[..] } else { &asked[..5] };
            let (done, export, error) = run(&token, asked).await;
            assert!(done && export.contains("engineers"), "{error}\n{export}");
            assert_eq!(verify(export.as_bytes(), &key), Ok(1), "{export}");
            assert_eq!(verify(export.as_bytes(), &other), Err(Invalid::AnotherKey));
            assert_eq!(verify(export.replace("revoke", "keep").as_bytes(), &key), Err(Invalid::Changed));
            let cut = &export[..export.trim_end().rfind('\n').expect("lines") + 1];
            assert_eq!(verify(cut.as_bytes(), &key), Err(Invalid::Unsigned));
            let (file, public) = (folder.join(format), folder.join("reviews.pub"));
            let arguments = ["review", "verify", file.to_str().expect("a path"), "--key", public.to_str().expect("a path")];
            std::fs::write(&file, &export).expect("a file");
            assert!(run("", &arguments).await.0);
            std::fs::write(&file, export.replace("revoke", "keep")).expect("a file");
            assert!(!run("", &arguments).await.0);
            if format == "csv" {
                assert!(export.contains("\"'=ada@acme.example\"") && export.contains("\"'@SUM(A1), \"\"so\"\"\""), "{export}");
            }
        }
        acme.api.get("/reviews/unknown/export").await.expect(404);
        // Closed, it is kept and can be exported for its time, and then goes.
        acme.api.post(&format!("/reviews/{id}/close"), json!({"reason": "done"})).await.expect(200);
        server.settle().await;
        let settings = "[reviews]\nkeep_days = 100\n";
        acme.activate(&server, server.tenant("acme").and_settings(settings).files()).await;
        for (days, status) in [(99, 200), (2, 404)] {
            server.clock.advance_hours(days * 24);
            jobs::forget_reviews(server.app()).await.expect("it runs");
            let answer = acme.api.get(&format!("/reviews/{id}/export")).await;
            assert_eq!(answer.status.as_u16(), status, "{answer:?}");
            if status == 200 {
                assert_eq!(verify(answer.text.as_bytes(), &key), Ok(1), "as good as on the first day");
            }
        }
        assert!(kinds(&acme, &server).await.contains("review.forgotten"));
        server.stop().await;
    }
}

/// One step is done, the next is claimed, and the process is gone; another one is there.
async fn interrupted(server: Server, database: &Database) -> Server {
    assert!(reviews::work_next(server.app()).await.expect("a step"));
    let now = server.app().clock.now();
    assert!(server.app().store.claim_review(now, now.plus_seconds(60)).await.expect("a claim").is_some());
    server.stop().await;
    let server = Server::start(database).await;
    server.clock.advance_seconds(61);
    server
}
