//! A plugin's author at the command line, without a server: a new project, its golden cases, one question, a bench, what is in the file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rolecall_tests::process;
use serde_json::{Value, json};

/// Runs `rolecall plugin …` with a person on standard input; gives whether it succeeded, and what it answered.
async fn plugin(arguments: &[&str], input: &str) -> (bool, Value) {
    let (done, out, error) = spoken(arguments, input).await;
    (done, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: no JSON ({e}): {out}\n{error}")))
}

/// As [`plugin`], with both outputs as they are.
async fn spoken(arguments: &[&str], input: &str) -> (bool, String, String) {
    let arguments = [&["plugin"], arguments, &["--json"]].concat();
    // One folder for what guests are built of, one for what builds them, and one for what is compiled, so that a test builds little.
    let target = |folder: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(folder).display().to_string();
    let folders =
        [("CARGO_TARGET_DIR", target("guest")), ("ROLECALL_PLUGIN_TOOLS", target("plugin-tools")), ("XDG_CACHE_HOME", target("cache"))];
    let environment: Vec<(&str, &str)> = folders.iter().map(|(name, folder)| (*name, folder.as_str())).collect();
    process::feed(&arguments, &environment, input).await
}

/// From nothing to a plugin that passes its cases, in a language with an interpreter; then each of an author's mistakes, which has to be
/// told in the language's own words.
async fn scripted(language: &str, source: &str, wrong_at_build: &[(&str, &str, &str)], wrong_at_run_time: (&str, &str, &str)) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let dir = folder.path().join("project").display().to_string();
    let (done, made) = plugin(&["new", "my-mapping", "--lang", language, "--dir", &dir], "").await;
    assert!(done, "{made}");
    let (done, tested) = plugin(&["test", &dir], "").await;
    assert!(done && tested["cases"].as_array().is_some_and(|cases| cases.len() == 2), "{tested}");
    let component = format!("{dir}/plugins/my_mapping.wasm");
    let built = || std::fs::metadata(&component).and_then(|file| file.modified()).expect("the component is there");
    let first = built();
    let (done, again) = plugin(&["build", &dir], "").await;
    assert!(done && again["hooks"] == json!(["transform-user"]), "{again}");
    assert_eq!(built(), first, "nothing has changed, so nothing is built");

    let ann = json!({"userName": "Ann@acme.example", "displayName": "Ann", "title": "Head"}).to_string();
    let (done, said) = plugin(&["run", &dir], &ann).await;
    assert!(done, "{said}");
    assert_eq!(said["answer"]["account"], json!({"user_name": "ann@acme.example", "display_name": "Ann", "title": "Head"}));
    assert_eq!(said["answer"]["provenance"]["title"], "title");

    let case = r#"{"name": "wrong", "user": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x"}, "expect": {"account": {"user_name": "y"}}}"#;
    std::fs::write(format!("{dir}/tests/wrong.json"), case).expect("a case can be written");
    let (done, tested) = plugin(&["test", &dir], "").await;
    assert!(!done && tested.to_string().contains("+    \\\"user_name\\\": \\\"x\\\""), "{tested}");

    let source = format!("{dir}/{source}");
    let right = std::fs::read_to_string(&source).expect("the source is there");
    for (from, to, words) in wrong_at_build {
        assert!(right.contains(from));
        std::fs::write(&source, right.replace(from, to)).expect("the source can be written");
        let (done, _, error) = spoken(&["build", &dir], "").await;
        assert!(!done && error.contains(words), "{error}");
        assert_eq!(built(), first, "what can't be built replaces nothing");
    }

    let (from, to, words) = wrong_at_run_time;
    assert!(right.contains(from));
    std::fs::write(&source, right.replace(from, to)).expect("the source can be written");
    let (done, _, error) = spoken(&["build", &dir], "").await;
    assert!(done, "{error}");
    let (done, said) = plugin(&["run", &dir], &ann).await;
    assert!(!done && said["fault"]["code"] == "trap", "{said}");
    assert!(said["calls"][0]["logs"].to_string().contains(words), "{said}");
}

#[tokio::test]
async fn from_nothing_to_a_tested_plugin_in_javascript() {
    let misspelled = ("user.title", "user.titel", "Property 'titel' does not exist on type 'User'");
    let failing = ("const login = user.userName;", "const login = user.userName; JSON.parse('{');", "SyntaxError");
    scripted("js", "src/plugin.js", &[misspelled], failing).await;
}

#[tokio::test]
async fn from_nothing_to_a_tested_plugin_in_python() {
    let broken = ("return account", "return account)", "SyntaxError: unmatched ')'");
    let missing = ("plugin = Mapping()", "import nowhere\nplugin = Mapping()", "put the package that has `nowhere` into requirements.txt");
    let failing = ("user.title", "user.titel", "AttributeError: 'User' object has no attribute 'titel'");
    scripted("python", "src/plugin.py", &[broken, missing], failing).await;
}

/// What an author reads whose machine lacks what plugins are built with: what is missing, which version is needed and how to get it.
#[tokio::test]
async fn what_a_build_needs_and_does_not_find_is_taught() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name).display().to_string();
    // A PATH with one program on it, a shell's script, or with none.
    let machine = |name: &str, program: Option<(&str, &str)>| {
        let on_path = folder.path().join(name);
        std::fs::create_dir(&on_path).expect("a folder can be made");
        if let Some((program, script)) = program {
            let program = on_path.join(program);
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a program can be written");
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a program may be run");
        }
        on_path.display().to_string()
    };
    let nothing = machine("nothing", None);
    let javascript = ("js", "node", "v18.19.0", "Node.js 20 or newer", "apt-get install nodejs npm", "https://nodejs.org/");
    let python =
        ("python", "python3", "Python 3.9.2", "Python 3.11 or newer", "apt-get install python3 python3-venv", "https://www.python.org/");
    for (language, interpreter, old, needs, installed, page) in [javascript, python] {
        let dir = path(language);
        // A folder is made without them.
        let (done, _, error) =
            process::run(&["plugin", "new", "my-mapping", "--lang", language, "--dir", &dir], &[("PATH", &nothing)]).await;
        assert!(done, "{error}");
        let too_old = machine(&format!("old-{language}"), Some((interpreter, &format!("echo {old}"))));
        let broken = machine(&format!("broken-{language}"), Some((interpreter, "echo no such version >&2; exit 127")));
        let unknown = format!("there is no `{interpreter}` on the PATH");
        for (on_path, problem) in [(&nothing, unknown.as_str()), (&too_old, old), (&broken, "no such version")] {
            for command in ["build", "test"] {
                let (done, out, error) = process::run(&["plugin", command, &dir, "--json"], &[("PATH", on_path)]).await;
                let out: Value = serde_json::from_str(&out).expect("JSON for machines");
                assert!(!done && out["ok"] == false && out["problem"].to_string().contains(needs), "{command} on {on_path}: {out}");
                for words in [problem, needs, installed, page] {
                    assert!(error.contains(words), "{command} on {on_path}, {words}: {error}");
                }
            }
        }
    }
    let dir = path("rust");
    let (done, _, error) = process::run(&["plugin", "new", "my-mapping", "--dir", &dir], &[("PATH", &nothing)]).await;
    assert!(done, "{error}");
    let (done, _, error) = process::run(&["plugin", "build", &dir], &[("PATH", &nothing)]).await;
    assert!(!done && error.contains("`cargo` can't be run") && error.contains("https://rustup.rs"), "{error}");
    // An interpreter that is new enough is what the builder runs with, and the builder is the one that looks for npm.
    let all = std::env::var_os("PATH").expect("tests have a PATH");
    let node =
        std::env::split_paths(&all).map(|folder| folder.join("node")).find(|node| node.is_file()).expect("tests run where Node.js is");
    let without_npm = machine("without-npm", Some(("node", &format!("exec '{}' \"$@\"", node.display()))));
    let environment = [("PATH", without_npm.as_str()), ("ROLECALL_PLUGIN_TOOLS", &path("tools"))];
    let (done, _, error) = process::run(&["plugin", "build", &path("js")], &environment).await;
    assert!(!done && error.contains("npm is missing: install Node.js 20 or newer with npm"), "{error}");
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
    let (_, said) = plugin(&["run", &module, "--settings", r#"{"ignored_suffixes": ["a", 1]}"#], &ann).await;
    let problem = said["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("`ignored_suffixes`: invalid type: integer `1`") && !problem.contains("column"), "{said}");

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

    // What is asked is the source as it is, unless it is not to be built.
    let source = format!("{dir}/src/lib.rs");
    let text = std::fs::read_to_string(&source).expect("the source is there");
    let to_lower = "str::to_lowercase";
    assert!(text.contains(to_lower));
    std::fs::write(&source, text.replace(to_lower, "str::to_uppercase")).expect("the source can be written");
    let (_, said) = plugin(&["run", dir, "--no-build"], &ann).await;
    assert_eq!(said["answer"]["account"]["user_name"], "ann@acme.example");
    let (_, said) = plugin(&["replay", &format!("{dir}/tests/wrong.json")], "").await;
    assert_eq!(said["answer"]["account"]["user_name"], "X", "{said}");
    let (_, said) = plugin(&["run", dir], &ann).await;
    assert_eq!(said["answer"]["account"]["user_name"], "ANN@ACME.EXAMPLE");

    // A person is read whole, or refused.
    let large = json!({"userName": "ann@acme.example", "title": "é".repeat(600_000)}).to_string();
    let (done, said) = plugin(&["run", dir, "--no-build"], &large).await;
    assert!(!done && said["problem"].to_string().contains("standard input has more than 1048576 bytes"), "{said}");
    // A package by another name makes another file, which nobody asks: that is said before what is asked is the old one.
    let manifest = format!("{dir}/Cargo.toml");
    let text = std::fs::read_to_string(&manifest).expect("the manifest is there");
    std::fs::write(&manifest, text.replacen("my-mapping", "another-name", 1)).expect("the manifest can be written");
    for command in ["build", "test", "run"] {
        let (done, said) = plugin(&[command, dir], &ann).await;
        let problem = said["problem"].as_str().unwrap_or_default();
        assert!(
            !done && problem.contains("`plugins/another_name.wasm`") && problem.contains("`plugins/my_mapping.wasm`"),
            "{command}: {said}"
        );
    }
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
    assert_eq!(found["code"], "unknown_import");
    // What may never end is not begun.
    let (done, said) = plugin(&["inspect", "/dev/zero"], "").await;
    assert!(!done && said["problem"].to_string().contains("it is no regular file"), "{said}");
    // A folder is taken as its module, where it has one.
    std::fs::create_dir(folder.path().join("plugins")).expect("a folder can be made");
    let (dir, in_folder) = (folder.path().display().to_string(), folder.path().join("plugins/files.wasm"));
    let (done, said) = plugin(&["inspect", &dir], "").await;
    assert!(!done && said["problem"].to_string().contains("a folder without a plugin"), "{said}");
    std::fs::copy(&file, &in_folder).expect("it can be copied");
    assert_eq!(plugin(&["inspect", &dir], "").await, (false, found));
    let (done, said) = plugin(&["new", "other", "--dir", file.to_str().expect("the path is text")], "").await;
    assert!(!done && said["problem"].to_string().contains("is a file: name a folder"), "{said}");
    for (name, problem) in
        [("My Mapping", "lower-case"), ("", "lower-case"), ("a--b", "single hyphens"), ("rolecall-plugin", "give the plugin another name")]
    {
        let dir = folder.path().join("never");
        let arguments = ["plugin", "new", name, "--dir", dir.to_str().expect("the path is text")];
        let (done, _, error) = process::run(&arguments, &[]).await;
        assert!(!done && error.contains(problem) && !dir.exists(), "{error}");
    }
}
