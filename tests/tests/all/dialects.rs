//! Client quirks: each of those that are documented has a case, is carried out, and is counted on its connection; nothing else is.

use std::collections::BTreeSet;
use std::path::Path;

use rolecall_scim::Quirk;
use rolecall_tests::tenant::text;
use rolecall_tests::{Database, Server, cases, on_both_databases};
use serde_json::{Value, json};

/// How many facts about clients there are, each with its number.
const FACTS: u64 = 30;

fn suite() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/quirks.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn words(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().map(text).collect()
}

on_both_databases! {
    /// Each case on a connection of its own: it passes, and the connection shows its quirks and no others.
    async fn every_quirk_is_handled_and_counted(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let suite = suite();
        let mut failures = Vec::new();
        let mut met = BTreeSet::new();
        for case in suite["cases"].as_array().into_iter().flatten() {
            let name = format!("{} {}", case["number"], text(&case["name"]));
            let connection = acme.connection(&server, &case["number"].to_string()).await;
            let alone = json!({"suite": suite["suite"], "cases": [case]});
            let report = cases::play(&alone, &connection.scim, None).await;
            failures.extend(report.failed);
            let answer = acme.api.get(&format!("/connections/{}/dialects", connection.id)).await.expect(200);
            let counted: BTreeSet<String> = answer["dialects"].as_array().into_iter().flatten().map(|known| text(&known["quirk"])).collect();
            if counted != words(&case["quirks"]) {
                failures.push(format!("{name}: counted {counted:?}"));
            }
            for known in answer["dialects"].as_array().into_iter().flatten() {
                if known["handled"] != known["seen"] || known["seen"].as_i64() < Some(1) || known["last_seen"].is_null() {
                    failures.push(format!("{name}: {known}"));
                }
                let example = text(&known["example"]);
                if example.is_empty() || ["acme.example", "Mara", "Crew", "Watch", "Summer"].iter().any(|value| example.contains(value)) {
                    failures.push(format!("{name}: the example is `{example}`"));
                }
            }
            met.extend(counted);
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        let all: BTreeSet<String> = Quirk::ALL.iter().map(|quirk| quirk.word().to_owned()).collect();
        assert_eq!(met, all, "every quirk that is known has a case");
        server.stop().await;
    }

    /// A quirk of a request that is refused was seen and not handled; the last time and the counts go on; so they do in another process.
    async fn what_was_refused_was_seen_and_not_handled(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let patch = |operations: Value| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        let path = format!("/Users/{ada}");
        entra.scim.patch(&path, patch(json!([{"op": "Replace", "path": "title", "value": "Countess"}]))).await.expect(200);
        let refused = patch(json!([{"op": "Remove", "path": "userName"}]));
        let answer = entra.scim.patch(&path, refused).await;
        assert_eq!(answer.status.as_u16() / 100, 4, "{answer:?}");
        entra.scim.send("PATCH", &format!("{path}?"), &[("if-match", "W/\"77\"")], Some(b"{}".to_vec())).await;
        let counted = async |server: &Server| -> Vec<(String, i64, i64)> {
            let acme = server.existing("acme");
            let answer = acme.api.get(&format!("/connections/{}/dialects", entra.id)).await.expect(200);
            let number = |value: &Value| value.as_i64().unwrap_or(-1);
            answer["dialects"].as_array().into_iter().flatten().map(|known| (text(&known["quirk"]), number(&known["seen"]), number(&known["handled"]))).collect()
        };
        let expected = vec![("capitalised_op".to_owned(), 2, 1), ("dangling_query".to_owned(), 1, 0)];
        assert_eq!(counted(&server).await, expected);
        let scim = entra.scim.clone();
        server.stop().await;
        let server = Server::start(&database).await;
        let again = scim.at(scim.base.replace(scim.base.split("/scim").next().unwrap_or_default(), &server.url()));
        again.patch(&path, patch(json!([{"op": "Add", "path": "title", "value": "Countess of Lovelace"}]))).await.expect(200);
        assert_eq!(counted(&server).await[0], ("capitalised_op".to_owned(), 3, 2));
        server.stop().await;
    }
}

/// Every number has a case, and every case its source.
#[test]
fn each_fact_about_a_client_has_a_case_with_its_source() {
    let suite = suite();
    let cases = suite["cases"].as_array().cloned().unwrap_or_default();
    let numbers: Vec<u64> = cases.iter().filter_map(|case| case["number"].as_u64()).collect();
    assert_eq!(numbers, (1..=FACTS).collect::<Vec<_>>());
    for case in &cases {
        assert!(text(&case["source"]).starts_with("https://"), "{}: no source", case["name"]);
        assert!(words(&case["quirks"]).iter().all(|word| Quirk::from_word(word).is_some()), "{}: an unknown quirk", case["name"]);
    }
}
