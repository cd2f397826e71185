//! What an upload of a plugin is refused over, with a word for machines; compressed uploads; signatures.

use std::collections::BTreeMap;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolecall::revision::Files;
use rolecall_tests::process::{self, Process};
use rolecall_tests::tenant::text;
use rolecall_tests::{Answer, Database, Server, Tenant, on_both_databases, probe};
use serde_json::{Value, json};

fn core(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the test's module is WebAssembly")
}

/// What a server refuses, with the word that it says.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let import = core(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"#);
    let mut truncated = probe::module();
    truncated.truncate(truncated.len() / 2);
    let many = format!("(module {})", "(func)".repeat(100_001));
    let mut huge = probe::module();
    huge.resize((32 << 20) + 1, 0);
    let looping = probe::module_with("(func $start (loop $forever (br $forever))) (start $start)", "unreachable");
    vec![
        ("not_wasm", b"#!/bin/sh\necho hello\n".to_vec()),
        ("malformed", truncated),
        ("unknown_import", import),
        ("unknown_import", core(r#"(component (import "wasi:filesystem/types@0.2.0" (instance)))"#)),
        ("no_contract", core("(module)")),
        ("wrong_world", core("(component)")),
        ("too_many_functions", core(&many)),
        ("function_too_big", core(&format!("(module (func {}))", "nop ".repeat(1 << 20)))),
        ("too_big", huge),
        ("too_much_memory", core(r#"(module (memory (export "memory") 65536))"#)),
        ("precompiled", precompiled()),
        // What is counted before anything is compiled, and what the compiler alone sees: a function that does not do what its type says.
        ("compile", core("(module (table 1000000 funcref))")),
        ("compile", probe::module_with("(func $wrong (result i32) (nop))", "unreachable")),
        ("start", looping),
        ("start", probe::module_with("(func $start unreachable) (start $start)", "unreachable")),
        ("describe", probe::module_describing("(loop $forever (br $forever)) (unreachable)")),
        ("describe", probe::module_describing("(unreachable)")),
        ("describe", probe::module_describing("(i32.const -1)")),
    ]
}

/// The beginning of machine code as wasmtime writes it: an ELF file of its own kind.
fn precompiled() -> Vec<u8> {
    let mut elf = vec![0_u8; 64];
    elf[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 200]);
    // What kind, which processor, which version, and how wasmtime marks a component (1) in the flags.
    elf[16..24].copy_from_slice(&[1, 0, 62, 0, 1, 0, 0, 0]);
    elf[48..52].copy_from_slice(&2_u32.to_le_bytes());
    elf[52..54].copy_from_slice(&64_u16.to_le_bytes());
    elf
}

fn encoded(files: Files) -> BTreeMap<String, String> {
    files.into_iter().map(|(path, contents)| (path, STANDARD.encode(contents))).collect()
}

async fn upload(tenant: &Tenant, files: Files, activate: bool) -> Answer {
    let active = tenant.api.get("/revisions/active").await.expect(200)["hash"].clone();
    tenant.api.post("/revisions", json!({"files": encoded(files), "activate": activate, "replaces": active})).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory can be written")
}

async fn post_gzip(tenant: &Tenant, path: &str, body: Vec<u8>) -> Answer {
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    tenant.api.send("POST", path, &headers, Some(body)).await
}

on_both_databases! {
    /// Each refusal has its word, looked at alone and as part of a revision; what is active stays.
    async fn every_refusal_has_its_word(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let before = acme.api.get("/revisions/active").await.expect(200)["hash"].clone();
        for (code, bytes) in refused() {
            let alone = acme.api.post("/plugins/check", json!({"plugin": STANDARD.encode(&bytes)})).await.expect(422);
            assert_eq!(alone["problems"][0]["code"], code, "{alone}");
            let files = server.tenant("acme").with_plugin(bytes).files();
            let whole = upload(&acme, files, true).await.expect(422);
            let codes: Vec<&Value> = whole["problems"].as_array().into_iter().flatten().map(|problem| &problem["code"]).collect();
            assert!(codes.contains(&&json!(code)), "{code}: {whole}");
        }
        let good = acme.api.post("/plugins/check", json!({"plugin": STANDARD.encode(probe::module()), "settings": {}})).await.expect(200);
        assert_eq!((&good["name"], &good["hooks"], &good["contract"], &good["signed_by"]), (&json!("probe"), &json!(["transform-user"]), &json!("1.0.0"), &Value::Null));
        let files = server.tenant("acme").and_settings("[plugins.propose]\nfile = \"plugins/plugin.wasm\"\n").with_probe().files();
        assert_eq!(upload(&acme, files, true).await.expect(422)["problems"][0]["code"], "missing_hook");
        let files = server.tenant("acme").and_settings("[plugins.transform]\nfile = \"plugins/none.wasm\"\n").files();
        assert_eq!(upload(&acme, files, true).await.expect(422)["problems"][0]["code"], "missing_file");
        assert_eq!(acme.api.get("/revisions/active").await.expect(200)["hash"], before);
        server.stop().await;
    }

    /// What a tenant has stored is not sent again, and is nobody else's: contents are known by their SHA-256.
    async fn contents_are_stored_once_and_referred_to(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let globex = server.tenant("globex").create().await;
        let probe = probe::module();
        let digest = rolecall::crypto::sha256_hex(&probe);
        let first = upload(&acme, server.tenant("acme").with_probe().files(), true).await.expect(201);
        // Another revision with the same plugin: its settings come as they are, the plugin by its digest.
        let mut files = server.tenant("acme").with_probe().and_settings("[activation]\nwatch_hours = 12\n").files();
        files.remove("plugins/plugin.wasm");
        let mut body = json!({"files": encoded(files), "activate": true, "replaces": first["hash"]});
        body["files"]["plugins/plugin.wasm"] = json!({"sha256": digest});
        acme.api.post("/revisions/check", json!({"files": body["files"]})).await.expect(200);
        let second = acme.api.post("/revisions", body.clone()).await.expect(201);
        assert_ne!(first["hash"], second["hash"]);
        let whole = acme.api.get("/revisions/active").await.expect(200);
        assert_eq!((&whole["files"]["plugins/plugin.wasm"], &whole["digests"]["plugins/plugin.wasm"]), (&json!(STANDARD.encode(&probe)), &json!(digest)));
        let short = acme.api.get("/revisions/active?contents=false").await.expect(200);
        assert_eq!((&short["hash"], &short["digests"], &short["files"]), (&second["hash"], &whole["digests"], &Value::Null));
        let listed = acme.api.get("/plugins").await.expect(200);
        let plugin = &listed["plugins"][0];
        assert_eq!((&plugin["digest"], &plugin["name"], &plugin["active"], &plugin["revisions"]), (&json!(digest), &json!("probe"), &json!(true), &json!(2)), "{listed}");
        assert_eq!((&plugin["hooks"], &plugin["size"], listed["plugins"].as_array().map(Vec::len)), (&json!(["transform-user"]), &json!(probe.len()), Some(1)));
        // Another tenant has none of it, and can't learn that somebody has.
        assert_eq!(globex.api.get("/plugins").await.expect(200)["plugins"], json!([]));
        body["replaces"] = globex.api.get("/revisions/active").await.expect(200)["hash"].clone();
        for sha256 in [digest.as_str(), "0", "\0"] {
            body["files"]["plugins/plugin.wasm"] = json!({"sha256": sha256});
            let refused = globex.api.post("/revisions", body.clone()).await.expect(422);
            let problem = &refused["problems"][0];
            assert_eq!((&problem["code"], &problem["file"]), (&json!("not_stored"), &json!("plugins/plugin.wasm")), "{refused}");
        }
        body["files"]["plugins/plugin.wasm"] = json!({"sha1": "0"});
        globex.api.post("/revisions", body).await.expect(400);
        server.stop().await;
    }

    /// One content at many paths is bounded before it is copied.
    async fn references_are_bounded_together(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let row = format!("{}\n", "x".repeat(1_000));
        let mut files = server.tenant("acme").files();
        files.insert("tables/large.csv".into(), format!("key\n{}", (0..6_000).map(|number| format!("{number}{row}")).collect::<String>()).into_bytes());
        let digest = rolecall::crypto::sha256_hex(&files["tables/large.csv"]);
        let stored = upload(&acme, files.clone(), true).await.expect(201);
        let mut body = json!({"files": encoded(files), "activate": true, "replaces": stored["hash"]});
        for number in 0..12 {
            body["files"][format!("tables/t{number}.csv")] = json!({"sha256": digest});
        }
        let refused = acme.api.post("/revisions", body).await.expect(422);
        assert!(text(&refused["problems"][0]["message"]).contains("bytes together"), "{refused}");
        server.stop().await;
    }

    /// Settings that the plugin's own `validate-settings` refuses.
    async fn settings_that_the_plugin_refuses_have_their_word(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let plugin = rolecall_tests::wasm::plugin("people_mapping");
        let settings = json!({"no_such_setting": 1});
        let alone = acme.api.post("/plugins/check", json!({"plugin": STANDARD.encode(&plugin), "settings": settings})).await.expect(422);
        assert_eq!(alone["problems"][0]["code"], "settings_refused", "{alone}");
        let files = server.tenant("acme").with_plugin(plugin).and_settings("[plugins.transform.settings]\nno_such_setting = 1\n").files();
        let whole = upload(&acme, files, true).await.expect(422);
        assert_eq!((&whole["problems"][0]["code"], &whole["problems"][0]["file"]), (&json!("settings_refused"), &json!("tenant.toml")), "{whole}");
        server.stop().await;
    }

    /// Compressed bodies, bounded as they expand: what is made to fill memory is refused having filled none.
    async fn compressed_uploads_are_bounded_as_they_expand(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let files = server.tenant("acme").with_probe().files();
        let body = json!({"files": encoded(files)}).to_string();
        let stored = post_gzip(&acme, "/revisions", gzip(body.as_bytes())).await.expect(201);
        assert_eq!(stored["hash"].as_str().map(str::len), Some(64), "{stored}");
        let bomb = gzip(&vec![b' '; 300 << 20]);
        assert!(bomb.len() < 2 << 20, "{} bytes become 300 MiB", bomb.len());
        post_gzip(&acme, "/revisions/check", b"no gzip".to_vec()).await.expect(400);
        let cut = gzip(body.as_bytes());
        post_gzip(&acme, "/revisions/check", cut[..cut.len() - 9].to_vec()).await.expect(400);
        let unknown = [("content-type", "application/json"), ("content-encoding", "br")];
        acme.api.send("POST", "/revisions/check", &unknown, Some(b"{}".to_vec())).await.expect(415);
        // In a process of its own, whose memory nobody else uses.
        let operator = server.operator.clone();
        server.stop().await;
        let process = Process::serve(&database).await;
        let acme = acme.at(&operator, &process.url);
        post_gzip(&acme, "/revisions/check", gzip(body.as_bytes())).await.expect(200);
        let before = process.peak_memory_bytes();
        for path in ["/revisions/check", "/revisions", "/plugins/check"] {
            let refusal = post_gzip(&acme, path, bomb.clone()).await.expect(413);
            assert!(text(&refusal["detail"]).contains("expands to more than"), "{path}: {refusal}");
        }
        let grown = process.peak_memory_bytes() - before;
        assert!(grown < 100 << 20, "the process grew by {grown} bytes over bodies that expand to 300 MiB each");
        process.kill().await;
    }

    /// A revision whose plugin is signed by a key that is none of the tenant's any more is not activated by itself either.
    async fn an_unsigned_revision_is_not_returned_to(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let with = |plugin: &[u8]| {
            let mut files = server.tenant("acme").with_probe().files();
            files.insert("plugins/plugin.wasm".into(), plugin.to_vec());
            files
        };
        // The one before turns away nobody.
        let plugin = probe::module();
        let at = plugin.windows(9).position(|bytes| bytes == b"\"outside\"").expect("the probe looks for the title");
        let mut lenient = plugin.clone();
        lenient[at + 1..at + 8].copy_from_slice(b"nowhere");
        upload(&acme, with(&lenient), true).await.expect(201);
        let entra = acme.connection(&server, "Entra ID").await;
        for number in 0..20 {
            entra.create_with(&format!("p{number:02}@acme.example"), json!({"title": "outside"})).await;
        }
        server.settle().await;
        let states = async || acme.accounts().await.values().map(|account| text(&account["state"])).collect::<Vec<_>>();
        assert_eq!(states().await, ["active"; 20]);

        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |name: &str| folder.path().join(name).to_str().expect("the path is text").to_owned();
        std::fs::write(path("plugin.wasm"), &plugin).expect("it can be written");
        let run = async |arguments: &[&str]| {
            let (done, out, error) = process::run(&[&["plugin"], arguments, &["--json"]].concat(), &[]).await;
            assert!(done, "{error}");
            serde_json::from_str::<Value>(&out).expect("the answer is JSON")
        };
        let made = run(&["keygen", &path("release.key")]).await;
        run(&["sign", &path("plugin.wasm"), "--key", &path("release.key")]).await;
        acme.api.post("/plugins/keys", json!({"name": "release", "public_key": made["public_key"]})).await.expect(201);
        acme.api.put("/plugins/keys", json!({"required": true})).await.expect(204);
        let mut signed = with(&plugin);
        signed.insert("plugins/plugin.wasm.sig".into(), std::fs::read(path("plugin.wasm.sig")).expect("it is beside the file"));
        let active = upload(&acme, signed, true).await.expect(201);
        server.settle().await;
        // What it did not get to do waits for a moment, as any retry.
        server.clock.advance_seconds(10);
        server.settle().await;

        assert_eq!(acme.api.get("").await.expect(200)["active_revision"], active["hash"]);
        assert_eq!(states().await, ["out_of_scope"; 20]);
        let activations = acme.api.get("/activations").await.expect(200);
        let fresh = &activations["activations"][0];
        assert_eq!((&fresh["state"], &fresh["turned_away"]["out_of_scope"]), (&json!("active"), &json!(5)), "{activations}");
        assert!(acme.events(&server).await.iter().all(|event| event["kind"] != "revision.returned"));
        server.stop().await;
    }

    /// Keys are the tenant's, and in no revision; with the rule on, what is not signed by one of them is refused when it is checked,
    /// stored and activated.
    async fn plugins_are_signed(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let environment = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", token.as_str()), ("ROLECALL_TENANT", "acme")];
        let run = async |arguments: &[&str]| {
            let arguments = [&["plugin"], arguments, &["--json"]].concat();
            let (done, out, error) = process::run(&arguments, &environment).await;
            (done, serde_json::from_str::<Value>(&out).unwrap_or_default(), error)
        };
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |name: &str| folder.path().join(name).to_str().expect("the path is text").to_owned();
        std::fs::write(path("plugin.wasm"), probe::module()).expect("it can be written");
        for name in ["release", "other"] {
            let (done, made, error) = run(&["keygen", &path(&format!("{name}.key"))]).await;
            assert!(done, "{error}");
            std::fs::write(path(&format!("{name}.pub")), text(&made["public_key"])).expect("it can be written");
        }
        let (done, _, error) = run(&["keygen", &path("release.key")]).await;
        assert!(!done && error.contains("is there already"), "a key is never written over: {error}");
        let signed = async |key: &str| {
            let (done, made, error) = run(&["sign", &path("plugin.wasm"), "--key", &path(key)]).await;
            assert!(done, "{error}");
            let signature = std::fs::read(path("plugin.wasm.sig")).expect("the signature is beside the file");
            assert_eq!(String::from_utf8_lossy(&signature).trim(), text(&made["signature"]));
            let mut files = server.tenant("acme").with_probe().files();
            files.insert("plugins/plugin.wasm.sig".into(), signature);
            files
        };
        let unsigned = server.tenant("acme").with_probe().files();
        acme.api.put("/plugins/keys", json!({"required": true})).await.expect(422);
        // Who may upload is not who says whose signatures count.
        let made = server.operator.post("/tokens", json!({"tenant": "acme", "write": true})).await.expect(201);
        let uploader = acme.api.with_token(made["token"].as_str());
        let public_key = std::fs::read_to_string(path("other.pub")).expect("it can be read");
        uploader.post("/plugins/keys", json!({"name": "mine", "public_key": public_key})).await.expect(403);
        uploader.put("/plugins/keys", json!({"required": false})).await.expect(403);
        uploader.delete("/plugins/keys/any").await.expect(403);
        assert_eq!(uploader.get("/plugins/keys").await.expect(200)["required"], json!(false));
        let (done, added, error) = run(&["key", "add", "release", &path("release.pub")]).await;
        assert!(done, "{error}");
        let (done, _, error) = run(&["key", "require"]).await;
        assert!(done, "{error}");
        let (_, listed, _) = run(&["key", "list"]).await;
        assert_eq!((&listed["required"], &listed["keys"][0]["id"]), (&json!(true), &added["id"]), "{listed}");

        let refused = async |files: &Files| {
            let check = acme.api.post("/revisions/check", json!({"files": encoded(files.clone())})).await.expect(422);
            let store = upload(&acme, files.clone(), false).await.expect(422);
            assert_eq!(check["problems"], store["problems"]);
            text(&check["problems"][0]["code"])
        };
        assert_eq!(refused(&unsigned).await, "unsigned");
        let by_other = signed("other.key").await;
        assert_eq!(refused(&by_other).await, "wrong_signature");
        let good = signed("release.key").await;
        let mut altered = good.clone();
        altered.insert("plugins/plugin.wasm".into(), probe::module_with("", "unreachable"));
        assert_eq!(refused(&altered).await, "wrong_signature", "of another file");
        altered.insert("plugins/plugin.wasm.sig".into(), b"AAAA".to_vec());
        assert_eq!(refused(&altered).await, "malformed_signature");
        // A file that is no plugin by its path can't be named as one, and so be run unsigned.
        let mut smuggled = good.clone();
        let settings = String::from_utf8(smuggled["tenant.toml"].clone()).expect("text").replace("plugin.wasm\"", "plugin.wasm.sig\"");
        smuggled.insert("tenant.toml".into(), settings.into_bytes());
        assert_eq!(refused(&smuggled).await, "missing_file");
        let stored = upload(&acme, good.clone(), true).await.expect(201);
        let (done, report, error) = run(&["check", &path("plugin.wasm")]).await;
        assert!(done && report["signed_by"] == "release", "{report}{error}");

        // What was stored once is looked at again when it is activated: a key may be gone by then.
        let others = upload(&acme, signed("release.key").await, false).await.expect(201);
        assert_eq!(others["hash"], stored["hash"]);
        let (done, _, error) = run(&["key", "remove", "release", "--yes"]).await;
        assert!(!done && error.contains("last key"), "{error}");
        run(&["key", "add", "other", &path("other.pub")]).await;
        let newer = upload(&acme, by_other.clone(), true).await.expect(201);
        let (done, _, error) = run(&["key", "remove", "release", "--yes"]).await;
        assert!(done, "{error}");
        let back = acme.api.post(&format!("/revisions/{}/activate", text(&stored["hash"])), json!({"replaces": newer["hash"]})).await.expect(422);
        assert_eq!(back["problems"][0]["code"], "wrong_signature", "{back}");
        // What is active goes on.
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create("ada@acme.example").await;
        assert_eq!(acme.state("ada@acme.example").await, "active");

        // No other tenant is held to these keys, or sees them.
        let globex = server.tenant("globex").with_probe().create().await;
        assert_eq!(globex.api.get("/plugins/keys").await.expect(200), json!({"required": false, "keys": []}));
        acme.api.post("/plugins/keys", json!({"name": "third", "public_key": "AAAA"})).await.expect(422);
        let key = std::fs::read_to_string(path("release.pub")).expect("it can be read");
        acme.api.post("/plugins/keys", json!({"name": "other", "public_key": key})).await.expect(409);
        let key = std::fs::read_to_string(path("other.pub")).expect("it can be read");
        let renamed = acme.api.post("/plugins/keys", json!({"name": "renamed", "public_key": key})).await.expect(422);
        assert!(text(&renamed["detail"]).contains("as `other`"), "{renamed}");
        let kinds: Vec<String> = acme.events(&server).await.iter().map(|event| text(&event["kind"])).collect();
        for kind in ["plugin_key.added", "plugin_key.removed", "plugin_signing.changed"] {
            assert!(kinds.iter().any(|found| found == kind), "{kind}: {kinds:?}");
        }
        server.stop().await;
    }
}
