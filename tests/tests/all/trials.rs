//! A revision is known before it counts: simulated, shadowed, activated with what was simulated, watched, and taken back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rolecall::revision::Files;
use rolecall_tests::process;
use rolecall_tests::tenant::{Connection, Tenant, text};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};

/// Stores a revision that is not active; gives its hash.
async fn store(tenant: &Tenant, files: &Files) -> String {
    use base64::Engine as _;
    let encode = |bytes: &Vec<u8>| base64::engine::general_purpose::STANDARD.encode(bytes);
    let files: serde_json::Map<String, Value> = files.iter().map(|(path, bytes)| (path.clone(), json!(encode(bytes)))).collect();
    let stored = tenant.api.post("/revisions", json!({"files": files, "activate": false, "replaces": null})).await.expect(201);
    text(&stored["hash"])
}

/// Simulates a stored revision to the end.
async fn simulate(server: &Server, tenant: &Tenant, revision: &str) -> Value {
    let begun = tenant.api.post("/trials", json!({"kind": "simulation", "revision": revision})).await.expect(201);
    assert_eq!((&begun["state"], &begun["summary"]["people"]), (&json!("running"), &json!(0)), "{begun}");
    server.settle().await;
    let done = tenant.api.get(&format!("/trials/{}", text(&begun["id"]))).await.expect(200);
    assert_eq!(done["state"], "finished", "{done}");
    done
}

/// Simulates a stored revision over a part of the people, to the end.
async fn simulate_part(server: &Server, tenant: &Tenant, revision: &str, part: &Value) -> Value {
    let begun = tenant.api.post("/trials", json!({"kind": "simulation", "revision": revision, "part": part})).await.expect(201);
    server.settle().await;
    let done = tenant.api.get(&format!("/trials/{}", text(&begun["id"]))).await.expect(200);
    assert_eq!(done["state"], "finished", "{done}");
    done
}

/// All differences of a trial, read page by page.
async fn differences(tenant: &Tenant, trial: &Value, query: &str) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = tenant.api.get(&format!("/trials/{}/differences?limit=2{query}{after}", text(&trial["id"]))).await.expect(200);
        found.extend(page["differences"].as_array().expect("differences").iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return found,
        }
    }
}

async fn active_revision(tenant: &Tenant) -> Value {
    tenant.api.get("").await.expect(200)["active_revision"].clone()
}

async fn activations(tenant: &Tenant) -> Vec<Value> {
    tenant.api.get("/activations").await.expect(200)["activations"].as_array().expect("a list").clone()
}

/// People whose titles make the probe misbehave, and one who is fine, all of them engineers.
async fn people(entra: &Connection) -> Vec<String> {
    let mut ids = Vec::new();
    for title in ["engineer", "trap", "outside", "refuse"] {
        ids.push(entra.create_with(&format!("{title}@acme.example"), json!({"title": title})).await);
    }
    let members: Vec<&str> = ids.iter().map(String::as_str).collect();
    entra.group("Engineering", &members).await;
    ids
}

/// The same files with a plugin whose answer is in the person's title.
fn with_probe(server: &Server) -> Files {
    server.tenant("acme").with_probe().files()
}

/// An activation is refused with a word of why.
async fn refused(tenant: &Tenant, revision: &str, replaces: &Value, simulation: &Value, word: &str) {
    let body = json!({"replaces": replaces, "simulation": simulation});
    let problem = tenant.api.post(&format!("/revisions/{revision}/activate"), body).await.expect_one_of(&[422, 404]);
    assert!(text(&problem["detail"]).contains(word), "{word}: {problem}");
}

/// A shadow that has been asked about so many decisions; the limit on every test's time ends what never comes.
async fn asked(tenant: &Tenant, path: &str, decisions: u64) -> Value {
    loop {
        let seen = tenant.api.get(path).await.expect(200);
        let count = |key: &str| seen["summary"][key].as_u64().unwrap_or(0);
        if count("people") + count("missed") >= decisions {
            return seen;
        }
    }
}

on_both_databases! {
    /// What a simulation says of each person is what becomes of them when its revision is activated; until then nothing does.
    async fn what_was_simulated_is_what_happens(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        people(&entra).await;
        let gone = entra.create_with("gone@acme.example", json!({"active": false, "title": "trap"})).await;
        server.settle().await;
        let before = acme.accounts().await;
        let base = active_revision(&acme).await;

        let hash = store(&acme, &with_probe(&server)).await;
        let trial = simulate(&server, &acme, &hash).await;
        let summary = &trial["summary"];
        assert_eq!((&trial["base"], &trial["population"], &summary["people"], &summary["inactive"]), (&base, &json!(5), &json!(5), &json!(1)));
        assert_eq!((&summary["different"], &summary["turned_away"]), (&json!(3), &json!(3)), "{trial}");
        assert_eq!(summary["kinds"], json!({"fault": 1, "out_of_scope": 1, "refused": 1}));
        assert_eq!(summary["errors"], json!({"trap": 1, "title_refused": 1}));
        assert_eq!(summary["loses"], json!({"developer": 1}), "only who is out of scope loses at once");
        assert!(summary["fuel_max"].as_u64().expect("fuel") > 0 && summary["calls"] == 4, "that of the fault too: {summary}");

        let found = differences(&acme, &trial, "").await;
        assert_eq!(found.len(), 3);
        let away = differences(&acme, &trial, "&kind=out_of_scope").await;
        assert_eq!((away.len(), &away[0]["loses"], &away[0]["after"]), (1, &json!(["developer"]), &json!("out_of_scope")));
        assert_eq!(before, acme.accounts().await, "a simulation has no effect");
        assert_eq!(active_revision(&acme).await, base);

        let body = json!({"replaces": base, "simulation": trial["id"]});
        acme.api.post(&format!("/revisions/{hash}/activate"), body).await.expect(204);
        server.settle().await;
        for difference in &found {
            let account = acme.account(&text(&difference["account"])).await;
            assert_eq!(account["state"], difference["after"], "{difference}");
            assert_eq!(account["note"]["code"], difference["note"]["code"], "{difference}");
            let retained: Vec<&Value> =
                account["grants"].as_array().expect("grants").iter().filter(|grant| grant["state"] == "retained").collect();
            assert_eq!(retained.len(), difference["retains"].as_array().map_or(0, Vec::len), "{difference} {account}");
        }
        assert_eq!(acme.account("engineer@acme.example").await["grants"], before["engineer@acme.example"]["grants"]);
        let listed = activations(&acme).await;
        assert_eq!((&listed[0]["simulation"], &listed[0]["state"]), (&trial["id"], &json!("active")));

        // What a trial kept of somebody goes with them.
        let user = text(&away[0]["user"]);
        entra.scim.delete(&format!("/Users/{user}")).await.expect(204);
        entra.scim.delete(&format!("/Users/{gone}")).await.expect(204);
        assert_eq!(differences(&acme, &trial, "").await.len(), 2);
        // What used its whole limit is the dearest.
        let looping = entra.create_with("loop@acme.example", json!({"title": "loop"})).await;
        let trial = simulate_part(&server, &acme, &hash, &json!({"people": [looping]})).await;
        assert_eq!((&trial["summary"]["calls"], &trial["summary"]["fuel_max"]), (&json!(1), &json!(20_000_000)), "{trial}");
        server.stop().await;
    }

    /// Who gains, who loses, for whom a role waits, by connection, group and policy, and how many the guard holds: by that of the revision
    /// that is active, whatever the candidate says of its own.
    async fn who_gains_who_loses_and_who_waits_is_known_before(database: Database) {
        const CANDIDATE: &str = r#"
@id("readers")
@reason("engineers read")
permit (principal in Rolecall::Group::"engineering", action == Rolecall::Action::"hold", resource == Rolecall::Role::"reader");

@id("new-admins")
@reason("engineers run what they build")
permit (principal in Rolecall::Group::"engineering", action == Rolecall::Action::"hold", resource == Rolecall::Role::"admin");
"#;
        const APPROVALS: &str = "[approvals]\nsecond_person = \"never\"\n";
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").asking().and_settings(APPROVALS).create().await;
        let (entra, hr) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "HR").await);
        let ids = entra.crowd("p", 12).await;
        entra.group("Engineering", &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
        hr.create("solo@acme.example").await;
        server.settle().await;
        acme.guard(&entra).await;
        let base = active_revision(&acme).await;
        let settings = format!("{APPROVALS}[guard]\nenabled = false\n");
        let hash = store(&acme, &server.tenant("acme").asking().and_settings(&settings).with_policies(CANDIDATE).files()).await;
        let trial = simulate(&server, &acme, &hash).await;
        let (summary, all) = (&trial["summary"], json!({"gains": 12, "loses": 12, "waits": 12}));
        assert_eq!((&summary["kinds"], &summary["roles"], &summary["people"]), (&json!({"loses": 12}), &all, &json!(13)), "{trial}");
        let told = (&summary["gains"], &summary["loses"], &summary["waits"]);
        assert_eq!(told, (&json!({"reader": 12}), &json!({"developer": 12}), &json!({"admin": 12})));
        assert_eq!(summary["by_connection"]["of"], json!({entra.id.clone(): all}));
        assert_eq!(summary["by_group"]["of"], json!({"engineering": all}));
        let of = |gains: u64, loses: u64, waits: u64| json!({"gains": gains, "loses": loses, "waits": waits});
        let by_policy = json!({"engineers": of(0, 12, 0), "readers": of(12, 0, 0), "new-admins": of(0, 0, 12)});
        assert_eq!(summary["by_policy"], json!({"of": by_policy, "others": of(0, 0, 0)}));
        let scopes = summary["guard"]["scopes"].as_array().expect("scopes");
        let scope = |direction: &str, of: &str| {
            let found = scopes.iter().find(|scope| scope["direction"] == direction && scope["of"] == of).expect("the scope is told");
            (found["people"].as_u64(), found["limit"].as_i64(), found["held"].as_u64())
        };
        let seven = (Some(12), Some(5), Some(7));
        for (direction, of) in [("losses", hash.as_str()), ("losses", &entra.id), ("losses", "developer"), ("gains", "reader")] {
            assert_eq!(scope(direction, of), seven, "{direction} {of}: {trial}");
        }
        let found = differences(&acme, &trial, "").await;
        assert_eq!((found.len(), &found[0]["waits"]), (12, &json!([{"role": "admin", "waits_for": "approval"}])));

        acme.api.post(&format!("/revisions/{hash}/activate"), json!({"replaces": base, "simulation": trial["id"]})).await.expect(204);
        server.settle().await;
        let accounts = acme.accounts().await;
        let count = |role: &str, state: &str, waits_for: Option<&str>| {
            let grants = accounts.values().flat_map(|account| account["grants"].as_array().into_iter().flatten());
            grants.filter(|grant| grant["role"] == role && grant["state"] == state && grant["waits_for"] == json!(waits_for)).count()
        };
        assert_eq!(count("developer", "effective", Some("hold")), 7, "as many losses are held as was said: {accounts:?}");
        assert_eq!((count("reader", "effective", None), count("reader", "pending", Some("hold"))), (5, 7));
        assert_eq!(count("admin", "pending", Some("approval")), 12);
        server.stop().await;
    }

    /// An activation may only name a finished simulation of that very revision, begun under the one that is replaced, and not too old.
    async fn an_activation_names_what_was_simulated(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        people(&entra).await;
        server.settle().await;
        let base = active_revision(&acme).await;
        let hash = store(&acme, &with_probe(&server)).await;
        let other = store(&acme, &server.tenant("acme").with_role("other", false).files()).await;
        let begun = acme.api.post("/trials", json!({"kind": "simulation", "revision": hash})).await.expect(201);
        refused(&acme, &hash, &base, &begun["id"], "is running").await;
        acme.api.post("/trials", json!({"kind": "simulation", "revision": hash})).await.expect(409);
        let stopped = acme.api.post(&format!("/trials/{}/stop", text(&begun["id"])), json!({})).await.expect(200);
        assert_eq!(stopped["state"], "stopped");
        refused(&acme, &hash, &base, &begun["id"], "is stopped").await;
        let trial = simulate(&server, &acme, &hash).await;
        refused(&acme, &other, &base, &trial["id"], "what is activated has to be what was simulated").await;
        refused(&acme, &hash, &base, &json!("nothing"), "no such").await;
        server.clock.advance_hours(25);
        refused(&acme, &hash, &base, &trial["id"], "older than 24 hours").await;
        // One of a part is none of everybody.
        let part = json!({"groups": ["engineering"], "connections": ["Entra ID"]});
        let trial = simulate_part(&server, &acme, &hash, &part).await;
        assert_eq!((&trial["summary"]["people"], &trial["part"]["connections"]), (&json!(4), &json!([entra.id])), "{trial}");
        refused(&acme, &hash, &base, &trial["id"], "of a part of the people (1 connection, 1 group)").await;
        let part = json!({"groups": ["engineering"], "people": ["trap@acme.example", "gone@acme.example"]});
        entra.create("gone@acme.example").await;
        let trial = simulate_part(&server, &acme, &hash, &part).await;
        assert_eq!((&trial["summary"]["people"], &trial["summary"]["kinds"]), (&json!(1), &json!({"fault": 1})), "{trial}");
        for (part, word) in [
            (json!({"people": ["nobody"]}), "nobody has the id or login name `nobody`"),
            (json!({"groups": ["nothing"]}), "no group is bound"),
            (json!({"connections": ["nowhere"]}), "no connection `nowhere`"),
        ] {
            let problem = acme.api.post("/trials", json!({"kind": "simulation", "revision": hash, "part": part})).await.expect(422);
            assert!(text(&problem["detail"]).contains(word), "{problem}");
        }
        acme.api.post("/trials", json!({"kind": "shadow", "revision": hash, "part": {}})).await.expect(400);
        // As many as always may are others than when it began, and one more: then somebody has to say why.
        let trial = simulate(&server, &acme, &hash).await;
        server.clock.advance_seconds(60);
        entra.crowd("new", 6).await;
        let said = "about 6 people, new ones among them, where it asked about 5, and it counts for at most 5";
        refused(&acme, &hash, &base, &trial["id"], said).await;
        let path = format!("/revisions/{hash}/activate");
        acme.api.post(&path, json!({"replaces": base, "simulation": trial["id"], "despite_changes": " "})).await.expect(422);
        acme.api.post(&path, json!({"replaces": base, "despite_changes": "why not"})).await.expect(422);
        let body = json!({"replaces": base, "simulation": trial["id"], "despite_changes": "a new site was synced"});
        acme.api.post(&path, body).await.expect(204);
        let events = acme.events(&server).await;
        let activated = events.iter().rev().find(|event| event["kind"] == "revision.activated").expect("it is part of the history");
        let despite = json!({"reason": "a new site was synced", "moved": 6});
        assert_eq!((&activated["data"]["revision"], &activated["data"]["despite_changes"]), (&json!(hash), &despite), "{activated}");
        acme.api.post(&format!("/revisions/{}/activate", text(&base)), json!({"replaces": hash})).await.expect(204);
        server.settle().await;
        let trial = simulate(&server, &acme, &hash).await;
        acme.api.post(&format!("/revisions/{other}/activate"), json!({"replaces": base})).await.expect(204);
        refused(&acme, &hash, &json!(other), &trial["id"], "another revision was active").await;
        acme.api.post("/trials", json!({"kind": "simulation", "revision": "0".repeat(64)})).await.expect(404);
        acme.api.post("/trials", json!({"kind": "shadow", "revision": hash, "percent": 0})).await.expect(400);
        server.stop().await;
    }

    /// A tenant may want a simulation before each new revision; the way back needs none.
    async fn a_tenant_may_require_a_simulation(database: Database) {
        let server = Server::start(&database).await;
        let mut files = server.tenant("acme").files();
        let settings = files.get_mut("tenant.toml").expect("settings");
        settings.extend_from_slice(b"\n[activation]\nrequire_simulation = true\n");
        let acme = server.tenant("acme").create_empty().await;
        acme.activate(&server, files.clone()).await;
        let first = active_revision(&acme).await;
        files.get_mut("tenant.toml").expect("settings").extend_from_slice(b"\n# the same, and another hash\n");
        let hash = store(&acme, &files).await;
        let path = format!("/revisions/{hash}/activate");
        let problem = acme.api.post(&path, json!({"replaces": first})).await.expect(422);
        assert!(text(&problem["detail"]).contains("after a simulation"), "{problem}");
        let trial = simulate(&server, &acme, &hash).await;
        acme.api.post(&path, json!({"replaces": first, "simulation": trial["id"]})).await.expect(204);
        let back = format!("/revisions/{}/activate", text(&first));
        acme.api.post(&back, json!({"replaces": hash})).await.expect(204);
        server.stop().await;
    }

    /// A shadow is asked about what is decided, has no effect, and says what it would have done.
    async fn a_shadow_goes_along_without_effect(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let hash = store(&acme, &with_probe(&server)).await;
        let shadow = acme.api.post("/trials", json!({"kind": "shadow", "revision": hash, "hours": 2})).await.expect(201);
        let ids = people(&entra).await;
        server.settle().await;
        let path = format!("/trials/{}", text(&shadow["id"]));
        // The candidate is asked after the answer: what is still on its way is waited for.
        let seen = asked(&acme, &path, 8).await;
        assert_eq!(seen["summary"]["missed"], 0, "{seen}");
        let found = differences(&acme, &shadow, "").await;
        let kinds: BTreeSet<String> = found.iter().map(|difference| text(&difference["kind"])).collect();
        assert_eq!(kinds, BTreeSet::from(["fault".into(), "out_of_scope".into(), "refused".into()]), "{found:?}");
        for (name, account) in acme.accounts().await {
            assert_eq!((&account["state"], account["grants"].as_array().map(Vec::len)), (&json!("active"), Some(1)), "{name}");
        }
        // The newest decision about a person is what is kept.
        entra.set(&ids[1], "title", json!("engineer")).await;
        let repaired = asked(&acme, &path, 9).await;
        assert_eq!(repaired["state"], "running");
        server.clock.advance_hours(3);
        server.settle().await;
        let ended = acme.api.get(&path).await.expect(200);
        assert_eq!(ended["state"], "finished", "{ended}");
        server.stop().await;
    }

    /// A mapping that turns everybody away is no fault to the sandbox. It may turn away as many as the limit says, and is taken back.
    async fn a_revision_that_turns_everybody_away_is_taken_back(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let mut ids = Vec::new();
        for number in 0..20 {
            ids.push(entra.create_with(&format!("p{number:02}@acme.example"), json!({"title": "outside"})).await);
        }
        let members: Vec<&str> = ids.iter().map(String::as_str).collect();
        entra.group("Engineering", &members).await;
        server.settle().await;
        let before = acme.accounts().await;
        let base = active_revision(&acme).await;
        acme.activate(&server, with_probe(&server)).await;
        let broken = active_revision(&acme).await;
        server.settle().await;
        // What it did not get to do waits for a moment, as any retry.
        server.clock.advance_seconds(10);
        server.settle().await;

        assert_eq!(active_revision(&acme).await, base);
        for (name, account) in acme.accounts().await {
            let was = &before[&name];
            assert_eq!((&account["state"], &account["note"]), (&was["state"], &was["note"]), "{name}");
            assert_eq!(account["grants"][0]["role"], was["grants"][0]["role"], "{name}");
        }
        let listed = activations(&acme).await;
        assert_eq!((&listed[0]["revision"], &listed[0]["state"], &listed[0]["actor"]["kind"]), (&base, &json!("active"), &json!("guard")));
        assert_eq!((&listed[1]["revision"], &listed[1]["state"]), (&broken, &json!("returned")), "{listed:?}");
        assert_eq!((&listed[1]["turned_away"]["out_of_scope"], &listed[1]["watch"]["limit"]), (&json!(5), &json!(5)));
        assert!(text(&listed[1]["reason"]).contains("turned away more than 5 people"), "{listed:?}");
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let environment = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", token.as_str())];
        let (done, _, error) = process::run(&["tenant", "rollback", "--tenant", "acme"], &environment).await;
        assert!(!done && error.contains("was taken back by itself"), "{error}");
        assert_eq!(active_revision(&acme).await, base);
        let events = acme.events(&server).await;
        let count = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
        assert_eq!(count("revision.returned"), 1);
        // Those who were counted are committed together, and may find the one before active again by then: nothing of theirs is carried out.
        let carried_out = count("account.out_of_scope");
        assert!(carried_out <= 5, "no more than the limit was ever carried out: {carried_out}");
        server.stop().await;
    }

    /// Whom the simulation turned away is expected: activating with it is what somebody wanted.
    async fn what_the_simulation_said_is_not_taken_back(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        for number in 0..12 {
            entra.create_with(&format!("p{number:02}@acme.example"), json!({"title": "outside"})).await;
        }
        server.settle().await;
        let base = active_revision(&acme).await;
        let hash = store(&acme, &with_probe(&server)).await;
        let trial = simulate(&server, &acme, &hash).await;
        assert_eq!(trial["summary"]["turned_away"], 12);
        let body = json!({"replaces": base, "simulation": trial["id"]});
        acme.api.post(&format!("/revisions/{hash}/activate"), body).await.expect(204);
        server.settle().await;
        assert_eq!(active_revision(&acme).await, json!(hash));
        let states: BTreeSet<String> = acme.accounts().await.values().map(|account| text(&account["state"])).collect();
        assert_eq!(states, BTreeSet::from(["out_of_scope".into()]));
        assert_eq!(activations(&acme).await[0]["turned_away"]["out_of_scope"], 12);
        server.stop().await;
    }

    /// Revisions are swapped while requests come: each is answered, and in the end everybody is decided by the last one.
    async fn swapping_loses_no_request(database: Database) {
        const SWAPS: usize = 12;
        let server = Server::start_working(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let plain = server.tenant("acme").files();
        let probe = with_probe(&server);
        let mut ids = Vec::new();
        for number in 0..6 {
            ids.push(entra.create_with(&format!("p{number}@acme.example"), json!({"title": "engineer"})).await);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for id in ids.clone() {
            let (entra, stop) = (entra.clone(), Arc::clone(&stop));
            writers.push(tokio::spawn(async move {
                let mut written = 0;
                while !stop.load(Ordering::Relaxed) {
                    // `set` expects 200.
                    entra.set(&id, "displayName", json!(format!("name {written}"))).await;
                    written += 1;
                }
                written
            }));
        }
        for swap in 0..SWAPS {
            acme.activate(&server, if swap % 2 == 0 { probe.clone() } else { plain.clone() }).await;
        }
        stop.store(true, Ordering::Relaxed);
        let mut written = 0;
        for writer in writers {
            written += writer.await.expect("every request was answered");
        }
        assert!(written >= SWAPS, "only {written} requests were made");
        server.settle().await;
        for (name, account) in acme.accounts().await {
            assert_eq!((&account["state"], &account["pending"]), (&json!("active"), &json!(false)), "{name}: {account}");
        }
        server.stop().await;
    }

    /// The command line: a folder is simulated and left at that where it turns people away, activated all the same, and taken back.
    async fn a_folder_is_tried_out_from_the_command_line(database: Database) {
        let server = Server::start_working(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        people(&entra).await;
        let first = text(&active_revision(&acme).await);
        let folder = tempfile::tempdir().expect("a folder can be made");
        for (path, bytes) in with_probe(&server) {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
            std::fs::write(path, bytes).expect("a file can be written");
        }
        let path = folder.path().display().to_string();
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let environment = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", token.as_str()), ("ROLECALL_TENANT", "acme")];
        let run = async |arguments: &[&str], good: bool| {
            let (done, out, error) = process::run(arguments, &environment).await;
            assert_eq!(done, good, "{arguments:?}:\n{out}{error}");
            out
        };
        let csv = folder.path().with_extension("csv").display().to_string();
        let report = run(&["tenant", "simulate", &path, "--tenant", "acme", "--export", &csv], false).await;
        let written = std::fs::read_to_string(&csv).expect("the file is written");
        std::fs::remove_file(&csv).expect("the file is there");
        let lost = "\"out_of_scope\",\"active\",\"out_of_scope\",\"loses\",\"developer\",\"\",\"engineers\",\"engineering\"";
        assert!(written.lines().count() == 4 && written.contains(lost), "{written}");
        for word in ["4 people asked about, 3 different, 3 turned away", "outside@acme.example (active → out_of_scope)", "- developer", "policy engineers: 1 lose",
            "group engineering: 1 lose"] {
            assert!(report.contains(word), "`{word}` is not in\n{report}");
        }
        let report = run(&["tenant", "apply", &path, "--tenant", "acme", "--simulate"], false).await;
        assert!(report.contains("not activated, because 3 people would be turned away"), "{report}");
        assert_eq!(active_revision(&acme).await, json!(first));
        let answer = run(&["--json", "tenant", "trial", "list"], true).await;
        let answer: Value = serde_json::from_str(&answer).expect("JSON for machines");
        let trial = &answer["trials"][0];
        let (id, candidate) = (text(&trial["id"]), text(&trial["revision"]));
        let report = run(&["tenant", "trial", "differences", &id, "--kind", "fault"], true).await;
        assert!(report.contains("trap@acme.example") && !report.contains("outside@"), "{report}");
        let export = run(&["tenant", "trial", "export", &id], true).await;
        let lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).expect("JSON in each line")).collect();
        assert_eq!((lines.len(), &lines[0]["trial"]["id"]), (4, &json!(id)), "{export}");
        let export = run(&["tenant", "trial", "export", &id, "--csv", "--kind", "fault"], true).await;
        assert!(export.lines().count() > 1 && export.contains("trap@acme.example") && !export.contains("outside@"), "{export}");
        let report = run(&["tenant", "simulate", &path, "--tenant", "acme", "--person", "engineer@acme.example"], true).await;
        assert!(report.contains("1 people asked about, 0 different") && report.contains("a simulation of a part"), "{report}");
        let arguments = ["tenant", "activate", &candidate, "--simulation", &id, "--despite-changes", "it was looked at"];
        run(&arguments, true).await;
        assert_eq!(active_revision(&acme).await, json!(candidate));
        let (done, _, error) = process::run(&["tenant", "activate", &first[..12]], &environment).await;
        assert!(!done && error.contains("by its whole hash: `rolecall tenant revisions` lists them"), "{error}");
        run(&["tenant", "rollback"], true).await;
        assert_eq!(active_revision(&acme).await, json!(first));
        let report = run(&["tenant", "history"], true).await;
        assert!(report.contains("superseded") && report.contains(&first[..12]), "{report}");
        let report = run(&["tenant", "shadow", &path, "--tenant", "acme", "--percent", "50"], true).await;
        assert!(report.contains("without effect"), "{report}");
        let answer: Value = serde_json::from_str(&run(&["--json", "tenant", "trial", "list"], true).await).expect("JSON for machines");
        let id = text(&answer["trials"][0]["id"]);
        let report = run(&["tenant", "trial", "stop", &id], true).await;
        assert!(report.contains("stopped"), "{report}");
        server.stop().await;
    }

    /// Nobody sees or touches another tenant's trials.
    async fn trials_are_their_tenants(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let globex = server.tenant("globex").create().await;
        let hash = store(&acme, &with_probe(&server)).await;
        let trial = simulate(&server, &acme, &hash).await;
        let id = text(&trial["id"]);
        globex.api.get(&format!("/trials/{id}")).await.expect(404);
        globex.api.get(&format!("/trials/{id}/differences")).await.expect(404);
        globex.api.post(&format!("/trials/{id}/stop"), json!({})).await.expect(404);
        globex.api.post("/trials", json!({"kind": "simulation", "revision": hash})).await.expect(404);
        assert_eq!(globex.api.get("/trials").await.expect(200)["trials"], json!([]));
        server.stop().await;
    }
}
