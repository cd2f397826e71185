//! `rolecall dev`: how any SCIM client is pointed at Rolecall in one step; and what the binary says of itself.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use rolecall_tests::process::{self, Dev};
use rolecall_tests::tenant::{text, user};
use rolecall_tests::{Client, Database, Kind, on_both_databases};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

on_both_databases! {
    /// The first line on standard output is one JSON object, and what it names works at once.
    async fn the_first_line_is_all_that_a_client_needs(database: Database) {
        let arguments: Vec<&str> = match database.kind {
            Kind::Sqlite => Vec::new(),
            Kind::Postgres => vec!["--database-url", &database.url],
        };
        let dev = Dev::start(&arguments).await;
        let line = dev.first_line.clone();
        for key in ["base_url", "token", "api_url", "api_token", "tenant", "connection"] {
            assert!(line[key].as_str().is_some_and(|value| !value.is_empty()), "`{key}`: {line}");
        }
        assert!(text(&line["base_url"]).ends_with(&format!("/scim/{}/v2", text(&line["connection"]))), "{line}");
        let scim = Client::scim(text(&line["base_url"]), text(&line["token"]));
        scim.get("/ServiceProviderConfig").await.expect(200);
        scim.post("/Users", user("ada@acme.example", json!({}))).await.expect(201);
        let api = Client::new(text(&line["api_url"]), Some(text(&line["api_token"])));
        let account = api.get(&format!("/tenants/{}/accounts/ada@acme.example", text(&line["tenant"]))).await.expect(200);
        assert_eq!(account["state"], "active");
        dev.stop().await;
    }

    /// A token that could not be shown is none: the next start makes another. And what is stored is for the owner alone.
    async fn the_first_token_is_shown_or_made_again(database: Database) {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the system has it");
        let failed = process::serve_command(&database).stdout(full).stderr(Stdio::piped()).spawn().expect("the server can be started");
        let failed = failed.wait_with_output().await.expect("it ends");
        let error = String::from_utf8_lossy(&failed.stderr);
        assert!(!failed.status.success() && error.contains("the first token can't be shown"), "{error}");
        let mut child = process::serve_command(&database).stdout(Stdio::piped()).spawn().expect("the server can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut shown = String::new();
        while !shown.contains("rc_") {
            shown += &lines.next_line().await.expect("it can be read").expect("a token is shown");
        }
        child.kill().await.expect("it can be ended");
        if database.kind == Kind::Sqlite {
            let file = database.url.trim_start_matches("sqlite:").split('?').next().unwrap_or_default().to_owned();
            for part in ["", "-wal", "-shm"] {
                let rights = std::fs::metadata(format!("{file}{part}")).expect("the file is there").permissions().mode();
                assert_eq!(rights & 0o777, 0o600, "{file}{part}");
            }
        }
    }
}

/// Every command explains itself; nonsense is refused with a hint and without a backtrace.
#[tokio::test]
async fn the_binary_explains_itself() {
    let (done, help, _) = process::run(&["--help"], &[]).await;
    assert!(done);
    for command in ["serve", "dev", "demo", "tenant", "connection", "token", "explain"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "`{command}` is not in the help:\n{help}");
        let (done, own, _) = process::run(&[command, "--help"], &[]).await;
        assert!(done && own.len() > 100, "{command}: {own}");
    }
    let (done, _, error) = process::run(&["frobnicate"], &[]).await;
    assert!(!done && error.contains("frobnicate") && !error.contains("panicked"), "{error}");
    let (done, _, error) = process::run(&["serve", "--database-url", "mysql://user:hunter2@db/r"], &[]).await;
    assert!(!done && error.contains("database_url") && !error.contains("hunter2") && !error.contains("panicked"), "{error}");
}
