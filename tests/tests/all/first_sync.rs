//! The first sync: accounts that were there before are imported, a staged connection's people are compared with them, and going live adopts
//! what is certain, holds what is not, and touches nothing that is protected.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_tests::tenant::{roles_in_effect, text};
use rolecall_tests::{Client, Connection, Database, Server, Tenant, on_both_databases, process};
use serde_json::{Value, json};

/// More people who lose a role than the guard lets pass in a small tenant.
const CROWD: usize = 8;

/// The accounts that there are before any connection.
fn file() -> String {
    let mut file = "user_name,external_id,emails,display_name,roles,protected\n\
                    ADA@acme.example,,,Ada,developer;reader,\n\
                    b.builder,ext-bob@acme.example,,Bob,reader,\n\
                    carol.c,,carol@x.example,,reader,\n\
                    dora.d,,Dora@x.example,,reader,\n\
                    eve@acme.example,,,,developer,no\n\
                    zed,,,,reader,\n\
                    root@acme.example,ext-ada@acme.example,,,admin,yes\n"
        .to_owned();
    for number in 0..CROWD {
        file += &format!("p{number:05}@acme.example,,,,reader,\n");
    }
    file
}

async fn import(acme: &Tenant, format: &str, content: &str, dry_run: bool) -> rolecall_tests::Answer {
    acme.api.post("/accounts/import", json!({"format": format, "content": content, "dry_run": dry_run})).await
}

/// A connection in staging.
async fn staged(server: &Server, acme: &Tenant) -> Connection {
    let made = acme.api.post("/connections", json!({"name": "Entra ID"})).await.expect(201);
    let id = text(&made["id"]);
    let scim = Client::scim(format!("{}/scim/{id}/v2", server.url()), text(&made["token"]));
    Connection { id, scim }
}

async fn difference(acme: &Tenant, entra: &Connection) -> Value {
    acme.api.get(&format!("/connections/{}/difference?limit=500", entra.id)).await.expect(200)
}

/// The lines of all pages of three, by login name.
async fn lines(acme: &Tenant, entra: &Connection) -> BTreeMap<String, Value> {
    let mut lines = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = acme.api.get(&format!("/connections/{}/difference?limit=3{after}", entra.id)).await.expect(200);
        let counted = after.is_empty() && page["state"] == "staging";
        assert_eq!(page["totals"].is_object(), counted, "{page}");
        let lines_of = page["lines"].as_array().expect("lines");
        // A protected account stands there beside whoever wants its name.
        for line in lines_of.iter().filter(|line| line["fate"] != "protected") {
            assert!(lines.insert(text(&line["user_name"]), line.clone()).is_none(), "{line}");
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return lines,
        }
    }
}

async fn adopt(acme: &Tenant, entra: &Connection, user: &str, account: Value) -> rolecall_tests::Answer {
    let said = json!({"account": account, "reason": "looked into the old directory"});
    acme.api.put(&format!("/connections/{}/adoptions/{user}", entra.id), said).await
}

async fn go_live(acme: &Tenant, entra: &Connection, digest: &Value) -> rolecall_tests::Answer {
    acme.api.post(&format!("/connections/{}/live", entra.id), json!({"digest": digest})).await
}

fn roles(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

on_both_databases! {
    async fn accounts_are_imported_and_adopted(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let file = file();
        let wrong = import(&acme, "csv", &file.replace("no\n", "perhaps\n").replace("carol@x", "carol"), false).await.expect(422);
        let at: Vec<_> = wrong["problems"].as_array().expect("problems").iter().map(|problem| (problem["line"].clone(), problem["column"].clone())).collect();
        assert_eq!(at, [(json!(4), json!(10)), (json!(6), json!(31))], "{wrong}");
        assert_eq!(import(&acme, "csv", &file, true).await.expect(200)["created"], 7 + CROWD);
        assert!(acme.accounts().await.is_empty(), "a dry run, and a file with problems, write nothing");
        assert_eq!(import(&acme, "csv", &file, false).await.expect(200)["created"], 7 + CROWD);
        assert_eq!(import(&acme, "csv", &file, false).await.expect(200)["unchanged"], 7 + CROWD);
        let before = acme.accounts().await;
        let id = |name: &str| text(&before[name]["id"]);
        assert_eq!(roles_in_effect(&before["ADA@acme.example"]), roles(&["developer", "reader"]));
        assert_eq!(text(&before["zed"]["grants"][0]["reasons"][0]["policy"]), "imported");

        // People arrive, and nothing changes.
        let entra = staged(&server, &acme).await;
        let mut people = entra.crowd("p", CROWD).await;
        for name in ["ada", "bob", "dave", "eve", "root"] {
            people.push(entra.create(&format!("{name}@acme.example")).await);
        }
        let at_x = |name: &str| json!({"emails": [{"value": format!("{name}@x.example")}]});
        let carol = entra.create_with("carol@acme.example", at_x("carol")).await;
        let dora = entra.create_with("dora@acme.example", at_x("dora")).await;
        people.extend([carol.clone(), dora.clone()]);
        let members: Vec<&str> = people.iter().map(String::as_str).collect();
        entra.group("Engineering", &members).await;
        entra.deactivate(&people[CROWD + 3]).await;
        server.settle().await;
        let seen = difference(&acme, &entra).await;
        let fates = lines(&acme, &entra).await;
        let fate = |name: &str| text(&fates[name]["fate"]);
        for (name, wanted) in [
            ("ada@acme.example", "adopted"),
            ("bob@acme.example", "adopted"),
            ("carol@acme.example", "doubt"),
            ("dora@acme.example", "doubt"),
            ("dave@acme.example", "new"),
            ("eve@acme.example", "adopted"),
            ("zed", "leftover"),
        ] {
            assert_eq!(fate(name), wanted, "{name}");
        }
        let totals = json!({"people": CROWD + 7, "new": 1, "adopted": CROWD + 3, "doubts": 2, "collisions": 1, "refused": 0, "out_of_scope": 0,
            "inactive": 0, "undecided": 0, "leftovers": 1, "protected": 1, "moved": 0, "in_use": 0, "stays": 0,
            "gained": {"developer": CROWD + 2}, "lost": {"developer": 1, "reader": CROWD + 2}});
        assert_eq!(seen["totals"], totals);
        assert_eq!(fates["bob@acme.example"]["candidates"][0]["by"], json!(["external_id"]));
        for (name, account) in &before {
            assert_eq!(roles_in_effect(&acme.account(&text(&account["id"])).await), roles_in_effect(account), "{name}: nothing changes in staging");
        }
        let csv = acme.api.get(&format!("/connections/{}/difference?format=csv", entra.id)).await;
        assert!(csv.text.starts_with("user,user_name,fate,"), "{}", csv.text);
        assert_eq!(csv.text.lines().count(), 1 + CROWD + 7 + 2);

        // What was seen is what goes live; what a person decides is another difference.
        acme.api.post(&format!("/connections/{}/resume", entra.id), json!({})).await.expect(409);
        adopt(&acme, &entra, &dora, json!(id("root@acme.example"))).await.expect(409);
        adopt(&acme, &entra, &dora, json!(id("dora.d"))).await.expect(204);
        let moved = go_live(&acme, &entra, &seen["digest"]).await.expect(409);
        assert!(text(&moved["detail"]).contains("decided about"), "{moved}");
        let seen = difference(&acme, &entra).await;
        assert_eq!(go_live(&acme, &entra, &seen["digest"]).await.expect(200)["doubts"], 1);
        server.settle().await;
        let account = async |name: &str| acme.account(&id(name)).await;
        for (name, now, held) in [
            ("ADA@acme.example", "ada@acme.example", &["developer"][..]),
            ("b.builder", "bob@acme.example", &["developer"]),
            ("dora.d", "dora@acme.example", &["developer"]),
            ("p00003@acme.example", "p00003@acme.example", &["developer"]),
            ("carol.c", "carol.c", &["reader"]),
            ("zed", "zed", &["reader"]),
            ("root@acme.example", "root@acme.example", &["admin"]),
        ] {
            let account = account(name).await;
            assert_eq!((text(&account["state"]), text(&account["user_name"])), ("active".into(), now.into()), "{account}");
            assert_eq!(roles_in_effect(&account), roles(held), "{name}");
        }
        let eve = account("eve@acme.example").await;
        assert_eq!((text(&eve["state"]), roles_in_effect(&eve)), ("suspended".into(), roles(&[])), "gone at the identity provider");
        assert_eq!(acme.roles("dave@acme.example").await, roles(&["developer"]));
        assert_eq!(acme.api.get("/holds").await.expect(200)["holds"], json!([]), "what was seen is not counted");
        assert_eq!(text(&acme.account("carol@acme.example").await["note"]["code"]), "adoption");
        assert_eq!(lines(&acme, &entra).await.len(), 2, "carol and root wait for somebody");

        // Doubts are decided afterwards; nobody is adopted by arriving.
        adopt(&acme, &entra, &carol, json!(id("carol.c"))).await.expect(204);
        import(&acme, "json", r#"[{"user_name": "late@acme.example", "roles": ["reader"]}]"#, false).await.expect(200);
        let late = entra.create("late@acme.example").await;
        server.settle().await;
        assert_eq!(text(&account("carol.c").await["user_name"]), "carol@acme.example");
        assert_eq!(roles_in_effect(&account("carol.c").await), roles(&["developer"]));
        let kept = acme.account("late@acme.example").await;
        assert!(kept["source"].is_null() && kept["imported"]["protected"] == false, "{kept}");
        adopt(&acme, &entra, &late, kept["id"].clone()).await.expect(204);
        server.settle().await;
        let adopted = acme.account("late@acme.example").await;
        assert_eq!((&adopted["id"], &adopted["source"]["id"], roles_in_effect(&adopted)), (&kept["id"], &json!(late), roles(&[])));
        // The same file again touches nobody who was adopted.
        let again = import(&acme, "csv", &file, false).await.expect(200);
        assert_eq!((&again["unchanged"], &again["adopted"], &again["changed"]), (&json!(2), &json!(CROWD + 5), &json!(0)));
        let kinds: BTreeSet<String> = acme.events(&server).await.iter().map(|event| text(&event["kind"])).collect();
        assert!(kinds.is_superset(&roles(&["account.adopted", "account.protected", "adoption.decided", "connection.live"])), "{kinds:?}");
        server.stop().await;
    }

    /// A doubt stays one when the person leaves: the imported account may be theirs, is in use, and goes when somebody says so.
    async fn a_doubt_about_a_leaver_is_decided(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let old = r#"[{"user_name": "carol.c", "emails": ["carol@x.example"], "roles": ["reader"]}]"#;
        import(&acme, "json", old, false).await.expect(200);
        let entra = staged(&server, &acme).await;
        let carol = entra.create_with("carol@acme.example", json!({"emails": [{"value": "carol@x.example"}]})).await;
        server.settle().await;
        let seen = difference(&acme, &entra).await;
        assert_eq!(go_live(&acme, &entra, &seen["digest"]).await.expect(200)["doubts"], 1);
        server.settle().await;
        for active in [false, true, false] {
            entra.set(&carol, "active", json!(active)).await;
            server.settle().await;
            let waiting = lines(&acme, &entra).await;
            assert!(waiting.contains_key("carol@acme.example"), "{active}: {waiting:?}");
            assert_eq!(acme.state("carol.c").await, "active", "nobody has said whose it is");
        }
        let account = text(&acme.account("carol.c").await["id"]);
        adopt(&acme, &entra, &carol, json!(account)).await.expect(204);
        server.settle().await;
        let gone = acme.account(&account).await;
        assert_eq!((text(&gone["state"]), roles_in_effect(&gone)), ("suspended".into(), roles(&[])), "{gone}");
        assert!(lines(&acme, &entra).await.is_empty());
        server.stop().await;
    }

    /// Protected accounts are out of reach of connections, reviews and erasure; only who is fed by none can be protected.
    async fn protected_accounts_are_left_alone(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let environment = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", token.as_str())];
        let file = "user_name,roles\nbreak-glass,admin\nold-service,admin\n";
        let import = ["account", "import", "--tenant", "acme", "-", "--json"];
        let (done, out, error) = process::feed(&import, &environment, file).await;
        assert!(done, "{out}{error}");
        assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["created"], 2);
        let (done, _, error) = process::feed(&import, &environment, "user_name,roles\nx,owner\n").await;
        assert!(!done && error.contains("standard input:2:3") && error.contains("no role `owner`"), "{error}");
        let (done, _, error) =
            process::run(&["account", "protect", "--tenant", "acme", "break-glass", "--reason", "for emergencies"], &environment).await;
        assert!(done, "{error}");
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let taken = entra.create("Break-Glass").await;
        server.settle().await;
        let protect = async |account: &str, protected: bool| {
            acme.api.put(&format!("/accounts/{account}/protection"), json!({"protected": protected, "reason": "so it is"})).await
        };
        let fed = protect("ada@acme.example", true).await.expect(409);
        assert!(text(&fed["detail"]).contains("always wins"), "{fed}");
        let root = acme.account("break-glass").await;
        assert_eq!((&root["imported"]["protected"], &root["source"]), (&json!(true), &Value::Null));
        adopt(&acme, &entra, &taken, root["id"].clone()).await.expect(409);
        acme.api.post("/accounts/break-glass/erase", json!({"reason": "ticket 1"})).await.expect(422);
        let exception = json!({"role": "admin", "effect": "forbid", "reason": "x", "owner": "x",
                               "ends": server.app().clock.now().plus_seconds(7_200).to_string()});
        acme.api.post("/accounts/break-glass/exceptions", exception).await.expect(422);
        let closes = server.app().clock.now().plus_seconds(7_200).to_string();
        let review = json!({"name": "spring", "scope": {"roles": ["admin"]}, "reviewers": "manager", "fallback": "audit@acme.example",
                            "closes": closes, "on_silence": "revoke", "exception_owner": "iam@acme.example"});
        let review = text(&acme.api.post("/reviews", review).await.expect(201)["id"]);
        server.settle().await;
        server.clock.advance_hours(3);
        server.settle().await;
        let closed = acme.api.get(&format!("/reviews/{review}")).await.expect(200);
        assert_eq!((text(&closed["state"]), &closed["counts"]["kept"], &closed["counts"]["revoked"]), ("closed".into(), &json!(1), &json!(1)));
        assert_eq!(acme.roles("break-glass").await, roles(&["admin"]));
        assert_eq!(acme.roles("old-service").await, roles(&[]), "a review takes from an imported account what nothing else would");
        protect("break-glass", false).await.expect(204);
        adopt(&acme, &entra, &taken, root["id"].clone()).await.expect(204);
        server.settle().await;
        assert_eq!((acme.state("break-glass").await, acme.roles("break-glass").await), ("active".into(), roles(&[])));
        assert_eq!(acme.state(&text(&acme.account("ada@acme.example").await["id"])).await, "active", "{ada}");
        server.stop().await;
    }
}
