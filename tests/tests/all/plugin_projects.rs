//! A plugin's author at the command line, without a server: a new project, its golden cases, one question, a bench, what is in the file.

use std::path::Path;

use rolecall_tests::process;
use serde_json::{Value, json};

/// Runs `rolecall plugin …` with a person on standard input; gives whether it succeeded, and what it answered.
async fn plugin(arguments: &[&str], input: &str) -> (bool, Value) {
    let arguments = [&["plugin"], arguments, &["--json"]].concat();
    // One folder for what guests are built of, so that a test builds little.
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guest");
    let environment = [("CARGO_TARGET_DIR", shared.to_str().expect("the path is text"))];
    let (done, out, error) = process::feed(&arguments, &environment, input).await;
    (done, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: no JSON ({e}): {out}\n{error}")))
}

#[tokio::test]
async fn from_nothing_to_a_tested_plugin() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let dir = folder.path().join("project");
    let dir = dir.to_str().expect("the path is text");
    let (done, made) = plugin(&["new", "my-mapping", "--dir", dir], "").await;
    assert!(done, "{made}");
    let (done, tested) = plugin(&["test", dir], "").await;
    assert!(done && tested["cases"].as_array().is_some_and(|cases| cases.len() == 2), "{tested}");

    let ann = json!({"userName": "Ann@acme.example", "displayName": "Ann", "title": "Head"}).to_string();
    let (done, said) = plugin(&["run", dir], &ann).await;
    assert!(done, "{said}");
    assert_eq!(said["answer"]["account"], json!({"user_name": "ann@acme.example", "display_name": "Ann", "title": "Head"}));
    assert_eq!(said["answer"]["provenance"]["title"], "title");
    let (done, said) = plugin(&["run", dir], r#"{"userName": "robot@test.example"}"#).await;
    assert!(done && said["answer"]["out_of_scope"].is_string(), "{said}");

    // A file takes its settings from the command line, and the same plugin refuses the same ones.
    let module = format!("{dir}/plugins/my_mapping.wasm");
    let (done, said) = plugin(&["run", &module, "--settings", r#"{"ignored_suffixes": ["@acme.example"]}"#], &ann.to_lowercase()).await;
    assert!(done && said["answer"]["out_of_scope"].is_string(), "{said}");
    let arguments = ["plugin", "run", &module, "--settings", r#"{"colour": 1}"#];
    let (done, _, error) = process::feed(&arguments, &[], &ann).await;
    assert!(!done && error.contains("colour"), "{error}");

    let (done, measured) = plugin(&["bench", dir, "--calls", "50"], &ann).await;
    assert!(done && measured["p99_us"].as_f64() >= measured["p50_us"].as_f64(), "{measured}");
    let (done, said) = plugin(&["run", dir], &ann).await;
    assert!(done);
    assert_eq!(measured["hooks"]["transform-user"]["fuel"], said["calls"][0]["fuel"], "fuel is counted, and the same each time");

    let (done, found) = plugin(&["inspect", &module], "").await;
    assert!(done, "{found}");
    assert_eq!((&found["file"]["contract"], &found["hooks"]), (&json!("1.0.0"), &json!(["transform-user"])));
    assert_eq!(found["description"]["name"], "my-mapping");

    // A case that fails is a difference and an exit code.
    let case = r#"{"name": "wrong", "user": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x"}, "expect": {"account": {"user_name": "y"}}}"#;
    std::fs::write(format!("{dir}/tests/wrong.json"), case).expect("a case can be written");
    let (done, tested) = plugin(&["test", dir, "--no-build"], "").await;
    assert!(!done && tested.to_string().contains("+    \\\"user_name\\\": \\\"x\\\""), "{tested}");
}

#[tokio::test]
async fn what_a_server_would_refuse_is_said_with_what_is_in_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("files.wasm");
    let module = wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)) (memory 3) (func (export "f")))"#);
    std::fs::write(&file, module.expect("the module is well formed")).expect("it can be written");
    let (done, found) = plugin(&["inspect", file.to_str().expect("the path is text")], "").await;
    assert!(!done);
    assert_eq!(found["file"]["imports"], json!(["wasi_snapshot_preview1.fd_write"]));
    assert_eq!((&found["file"]["functions"], &found["file"]["memory_bytes"]), (&json!(1), &json!(3 * 65_536)));
    assert!(found["problem"].as_str().is_some_and(|problem| problem.contains("wasi_snapshot_preview1.fd_write")), "{found}");
    for (name, problem) in [("My Mapping", "lower-case"), ("", "lower-case"), ("a--b", "single hyphens")] {
        let dir = folder.path().join("never");
        let arguments = ["plugin", "new", name, "--dir", dir.to_str().expect("the path is text")];
        let (done, _, error) = process::run(&arguments, &[]).await;
        assert!(!done && error.contains(problem) && !dir.exists(), "{error}");
    }
}
