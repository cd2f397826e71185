//! Code that one tenant uploads harms only itself: a typed error for it, answers as ever for everybody else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolecall_tests::{Answer, Database, Server, Tenant, on_both_databases, probe};
use serde_json::json;

/// How long one answer to an innocent tenant may take while another's code misbehaves, on a machine that is busy with tests.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

fn core(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the test's module is WebAssembly")
}

/// What a hostile tenant might upload, with a word that the refusal must say.
fn refused_uploads() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let import = core(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#);
    let component_import = core(r#"(component (import "wasi:filesystem/types@0.2.0" (instance)))"#);
    let mut truncated = probe::module();
    truncated.truncate(truncated.len() / 2);
    vec![
        ("not Wasm", b"#!/bin/sh\necho hello\n".to_vec(), "WebAssembly"),
        ("nothing", Vec::new(), ""),
        ("truncated", truncated, ""),
        ("an unknown import", import, "wasi_snapshot_preview1"),
        ("a component with an unknown import", component_import, "wasi:filesystem"),
        ("no exports", core("(module)"), ""),
        (
            "a start function that loops",
            probe::module_with("(func $start (loop $forever (br $forever))) (start $start)", "unreachable"),
            "",
        ),
        ("a start function that traps", probe::module_with("(func $start unreachable) (start $start)", "unreachable"), ""),
        ("a gigantic memory", core(r#"(module (memory (export "memory") 65536))"#), ""),
    ]
}

async fn upload(tenant: &Tenant, server: &Server, plugin: Vec<u8>) -> Answer {
    let files = server.tenant(tenant.id.as_str()).with_plugin(plugin).files();
    let files: BTreeMap<String, String> = files.into_iter().map(|(path, contents)| (path, STANDARD.encode(contents))).collect();
    let active = tenant.api.get("/revisions/active").await.expect(200)["hash"].clone();
    tenant.api.post("/revisions", json!({"files": files, "activate": true, "replaces": active})).await
}

on_both_databases! {
    /// What can't be a plugin is refused with the reason and the file; the last good revision stays.
    async fn what_is_no_plugin_is_refused(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let before = acme.api.get("/revisions/active").await.expect(200)["hash"].clone();
        for (what, bytes, word) in refused_uploads() {
            let refusal = upload(&acme, &server, bytes).await.expect(422);
            let problem = &refusal["problems"][0];
            assert!(problem["file"].as_str().is_some_and(|file| file.ends_with(".wasm") || file == "tenant.toml"), "{what}: {refusal}");
            let said = problem.to_string();
            assert!(said.contains(word), "{what}: {refusal}");
            assert_eq!(acme.api.get("/revisions/active").await.expect(200)["hash"], before, "{what}");
        }
        entra.create("ada@acme.example").await;
        assert_eq!(acme.state("ada@acme.example").await, "active");
        server.stop().await;
    }

    /// A plugin that misbehaves when it is called: a typed fault on the person, and no other tenant waits.
    async fn a_misbehaving_plugin_harms_its_own_tenant_alone(database: Database) {
        let server = Server::start(&database).await;
        let hostile = server.tenant("hostile").with_probe().create().await;
        let innocent = server.tenant("innocent").with_probe().create().await;
        let (attacker, entra) = (hostile.connection(&server, "Attacker").await, innocent.connection(&server, "Entra ID").await);
        let mut attacks = tokio::task::JoinSet::new();
        for index in 0..24 {
            let (attacker, title) = (attacker.clone(), ["loop", "grow", "flood", "trap"][index % 4]);
            attacks.spawn(async move {
                let body = rolecall_tests::tenant::user(&format!("attack-{index}@hostile.example"), json!({"title": title}));
                attacker.scim.post("/Users", body).await
            });
        }
        let mut slowest = Duration::ZERO;
        for index in 0..20 {
            let started = Instant::now();
            entra.create(&format!("person-{index}@innocent.example")).await;
            slowest = slowest.max(started.elapsed());
        }
        assert!(slowest < ANSWER_LIMIT, "an innocent tenant waited {slowest:?}");
        for answer in attacks.join_all().await {
            // Accepted without an account, or asked to come back: never a crash.
            answer.expect_one_of(&[201, 503]);
        }
        server.settle().await;
        let accounts = hostile.accounts().await;
        assert!(!accounts.is_empty());
        for account in accounts.values() {
            assert_eq!((&account["state"], &account["grants"]), (&json!("held"), &json!([])), "{account}");
            assert_eq!(account["note"]["code"], "plugin_fault", "{account}");
        }
        let people = innocent.api.get("/accounts?state=active").await.expect(200);
        assert_eq!(people["accounts"].as_array().map(Vec::len), Some(20));
        rolecall_tests::Client::new(server.url(), None).get("/readyz").await.expect(200);
        server.stop().await;
    }

    /// Answers that are no account: each is a fault with its reason, and none is stored.
    async fn invalid_answers_are_faults(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        for (index, transform) in [
            // An address outside of memory, as the answer and in it.
            "(i32.const 2147483640)",
            "(i32.store offset=8 (i32.const 512) (i32.const 2147483640)) (i32.store offset=12 (i32.const 512) (i32.const 16)) (i32.const 512)",
            // A discriminant that is none.
            "(i32.store (i32.const 512) (i32.const 7)) (i32.const 512)",
            // An empty text: no JSON.
            "(i32.const 512)",
        ].into_iter().enumerate() {
            upload(&acme, &server, probe::module_with("", transform)).await.expect(201);
            let name = format!("person-{index}@acme.example");
            let id = entra.create(&name).await;
            let held = acme.api.get("/accounts?state=held").await.expect(200);
            assert_eq!(held["accounts"][0]["note"]["code"], "plugin_fault", "{transform}: {held}");
            assert_eq!(held["accounts"][0]["user_name"], json!(null), "{transform}: {held}");
            entra.scim.delete(&format!("/Users/{id}")).await.expect(204);
        }
        server.stop().await;
    }
}
