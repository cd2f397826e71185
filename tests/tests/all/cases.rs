//! What Entra ID, Okta and authentik send, played from `tests/cases`, and what each answer must be.

use std::path::Path;

use rolecall_tests::{Database, Server, cases, on_both_databases};
use serde_json::Value;

/// The suites: file, and how many cases it holds, so that an emptied file does not pass.
const SUITES: &[(&str, usize)] = &[("entra-id", 18), ("okta", 13), ("authentik", 8)];

on_both_databases! {
    /// Every case of every suite, each suite on a tenant of its own.
    async fn clients_are_answered_as_they_need(database: Database) {
        let server = Server::start(&database).await;
        let mut failures = Vec::new();
        for (index, (name, count)) in SUITES.iter().enumerate() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(format!("{name}.json"));
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let suite: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            let tenant = server.tenant(&format!("tenant-{index}")).create().await;
            let other = server.tenant(&format!("other-{index}")).create().await;
            let connection = tenant.connection(&server, name).await;
            let alt = other.connection(&server, name).await;
            let report = cases::play(&suite, &connection.scim, Some(&alt.scim)).await;
            failures.extend(report.failed.iter().map(|failure| format!("{name}: {failure}")));
            assert_eq!(report.passed + report.failed.len(), *count, "{name}: cases were added or lost: say how many there are");
            assert!(report.skipped.is_empty(), "{name}: {:?}", report.skipped);
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        server.stop().await;
    }
}
