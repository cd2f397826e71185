//! `rolecall dev`: how any SCIM client is pointed at Rolecall in one step; and what the binary says of itself.

use rolecall_tests::process::{self, Dev};
use rolecall_tests::tenant::{text, user};
use rolecall_tests::{Client, Database, Kind, on_both_databases};
use serde_json::json;

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
