//! Tenant folders at the command line: what is broken is told with file, line and caret; what is in order is applied.

use std::path::{Path, PathBuf};

use rolecall_tests::process;
use rolecall_tests::{Database, Server, on_both_databases, probe};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tenants")
}

/// A folder in order, which a test then breaks.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (path, contents) in [
        (
            "tenant.toml",
            "name = \"Acme\"\n\n[plugins.transform]\nfile = \"plugins/probe.wasm\"\n\n[[roles]]\nid = \"developer\"\nrisk = 1\n",
        ),
        (
            "policies/main.cedar",
            "@id(\"engineers\")\n@reason(\"engineers\")\npermit (principal in Rolecall::Group::\"engineering\", action == Rolecall::Action::\"hold\",\n  resource == Rolecall::Role::\"developer\");\n",
        ),
        (
            "tests/engineer.json",
            r#"{"name": "an engineer", "user": {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada@acme.example"},
                "groups": ["engineering"], "expect": {"account": {"user_name": "ada@acme.example"}, "roles": ["developer"]}}"#,
        ),
        ("tables/teams.csv", "team,app\nharbour,quay\n"),
    ] {
        write(folder.path(), path, contents.as_bytes());
    }
    write(folder.path(), "plugins/probe.wasm", &probe::module());
    folder
}

fn write(folder: &Path, path: &str, contents: &[u8]) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
    std::fs::write(path, contents).expect("a file can be written");
}

async fn tenant(command: &str, folder: &Path) -> (bool, String) {
    let (done, out, error) = process::run(&["tenant", command, &folder.display().to_string()], &[]).await;
    (done, out + &error)
}

/// Each breaks one file, and names what the report must hold: place, and a word of what is wrong.
#[tokio::test]
async fn what_is_broken_is_told_with_its_place() {
    let cases: [(&str, &[u8], &str, &str); 9] = [
        ("tenant.toml", b"name = \n", "tenant.toml:1:", "^"),
        ("tenant.toml", b"name = \"Acme\"\ncolour = \"green\"\n", "tenant.toml:2:1", "colour"),
        ("tenant.toml", b"name = \"Acme\"\n[[roles]]\nid = \"x\"\nrisk = 1000\n", "tenant.toml:2:", "risk"),
        ("policies/main.cedar", b"@id(\"a\")\npermit (principal, action, resource\n", "policies/main.cedar:", "^"),
        (
            "policies/main.cedar",
            b"@id(\"a\")\npermit (principal, action == Rolecall::Action::\"hold\", resource == Rolecall::Role::\"nobody\");\n",
            "policies/main.cedar:2:",
            "nobody",
        ),
        (
            "policies/main.cedar",
            b"permit (principal, action == Rolecall::Action::\"hold\", resource == Rolecall::Role::\"developer\");\n",
            "policies/main.cedar:1:",
            "@id",
        ),
        ("tables/teams.csv", b"team,app\nharbour\n", "tables/teams.csv:2", ""),
        ("tests/engineer.json", b"{\"name\": \"x\",\n \"user\": 7}", "tests/engineer.json:", ""),
        ("plugins/probe.wasm", b"not wasm at all", "probe.wasm", "WebAssembly"),
    ];
    for (file, contents, place, word) in cases {
        let folder = folder();
        write(folder.path(), file, contents);
        let (done, report) = tenant("check", folder.path()).await;
        let shown = format!("{file} with {:?}:\n{report}", String::from_utf8_lossy(contents));
        assert!(!done, "{shown}");
        assert!(report.contains(place) && report.contains(word), "`{place}` and `{word}` are not in the report of {shown}");
        assert!(!report.contains("panicked"), "{shown}");
    }
    let (done, report) = tenant("check", &folder().path().join("nowhere")).await;
    assert!(!done && report.contains("nowhere"), "{report}");
}

/// A golden case that fails shows what was expected and what came.
#[tokio::test]
async fn a_failing_golden_case_shows_the_difference() {
    let folder = folder();
    let (done, report) = tenant("test", folder.path()).await;
    assert!(done && report.contains("1 passed"), "{report}");
    let case = std::fs::read_to_string(folder.path().join("tests/engineer.json")).expect("the case is there");
    write(folder.path(), "tests/engineer.json", case.replace("\"roles\": [\"developer\"]", "\"roles\": []").as_bytes());
    let (done, report) = tenant("test", folder.path()).await;
    assert!(!done && report.contains("developer") && report.contains("an engineer"), "{report}");
}

/// The examples are in order, golden cases included.
#[tokio::test]
async fn the_example_tenants_pass() {
    for name in ["acme", "globex", "minimal"] {
        let (done, report) = tenant("test", &examples().join(name)).await;
        assert!(done, "{name}:\n{report}");
    }
}

on_both_databases! {
    /// `apply` puts a folder on a server, `diff` tells what would change, and what is broken changes nothing.
    async fn a_folder_is_applied_and_compared(database: Database) {
        let server = Server::start(&database).await;
        let folder = folder();
        let path = folder.path().display().to_string();
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let run = async |command: &str| {
            let arguments = ["tenant", command, &path, "--tenant", "acme"];
            let (done, out, error) = process::run(&arguments, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
            (done, out + &error)
        };
        let (done, report) = run("apply").await;
        assert!(done, "{report}");
        let acme = server.existing("acme");
        let before = acme.api.get("/revisions/active").await.expect(200)["hash"].clone();
        assert!(before.is_string(), "{before}");
        let (done, report) = run("diff").await;
        assert!(done, "nothing differs: {report}");
        write(folder.path(), "tenant.toml", b"name = \"Acme Two\"\n[[roles]]\nid = \"developer\"\nrisk = 2\n");
        let (done, report) = run("diff").await;
        assert!(!done && report.contains("Acme Two"), "{report}");
        let (done, report) = run("apply").await;
        assert!(done, "{report}");
        assert_ne!(acme.api.get("/revisions/active").await.expect(200)["hash"], before);
        write(folder.path(), "policies/main.cedar", b"permit (");
        let (done, report) = run("apply").await;
        assert!(!done && report.contains("policies/main.cedar"), "{report}");
        assert_ne!(acme.api.get("/revisions/active").await.expect(200)["hash"], before, "the last good one stays");
        server.stop().await;
    }

    /// `serve --tenants` loads folders at start; a broken one stops no other.
    async fn folders_are_loaded_at_start(database: Database) {
        let folders = tempfile::tempdir().expect("a folder can be made");
        for (name, settings) in [("acme", "name = \"Acme\"\n"), ("broken", "name = \n"), ("globex", "name = \"Globex\"\n")] {
            write(folders.path(), &format!("{name}/tenant.toml"), settings.as_bytes());
        }
        let server = Server::start_with(&database, |config| config.tenants = Some(folders.path().to_owned())).await;
        for name in ["acme", "globex"] {
            let active = server.existing(name).api.get("/revisions/active").await.expect(200);
            assert!(active["hash"].is_string(), "{name}: {active}");
        }
        // A folder owns its tenant's revisions: the API can't put another in its place.
        let files = server.tenant("acme").files();
        let refusal = server.existing("acme").try_activate(&server, files).await;
        assert!(refusal.is_err(), "a restart would undo it");
        server.stop().await;
    }
}
