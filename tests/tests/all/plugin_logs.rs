//! What plugins log in production: kept for a while, bounded, for their tenant alone.

use std::time::Duration;

use rolecall_tests::tenant::text;
use rolecall_tests::{Database, Server, Tenant, on_both_databases, process};
use serde_json::{Value, json};

async fn lines(tenant: &Tenant, query: &str) -> Vec<Value> {
    let page = tenant.api.get(&format!("/plugins/logs{query}")).await.expect(200);
    page["lines"].as_array().expect("a list").clone()
}

fn messages(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| text(&line["message"])).collect()
}

on_both_databases! {
    /// Lines with level, plugin, hook and person, also of a call that failed; found by each of them.
    async fn a_plugins_lines_are_found(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let globex = server.tenant("globex").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create_with("ada@acme.example", json!({"title": "log"})).await;
        let eve = entra.create_with("eve@acme.example", json!({"title": "last words"})).await;
        let all = lines(&acme, "").await;
        assert_eq!(messages(&all), ["hello from the probe", "careful with this one", "careful with this one"]);
        let of = |line: &Value| ["level", "plugin", "hook", "user", "connection"].map(|key| text(&line[key]));
        assert_eq!(of(&all[0]), ["info", "probe", "transform-user", &ada, &entra.id]);
        assert_eq!(of(&all[2]), ["warn", "probe", "transform-user", &eve, &entra.id]);
        for (query, expected) in [
            ("?level=debug".to_owned(), 3), ("?level=warn".into(), 2), ("?level=error".into(), 0), ("?hook=propose-roles".into(), 0),
            ("?plugin=probe".into(), 3), (format!("?plugin={}", text(&all[0]["digest"])), 3), (format!("?user={eve}"), 1),
            (format!("?connection={}", entra.id), 3), ("?since=2199-01-01T00:00:00Z".into(), 0), ("?limit=2".into(), 2),
            (format!("?after={}", all[0]["position"]), 2), ("?user=%00".into(), 0),
        ] {
            assert_eq!(lines(&acme, &query).await.len(), expected, "{query}");
        }
        acme.api.get("/plugins/logs?level=loud").await.expect(400);
        assert!(lines(&globex, "").await.is_empty());
        server.api_client(Some("globex"), true).await.get("/tenants/acme/plugins/logs").await.expect(404);
        // The plugin's words are its tenant's: the host's own log has none of them.
        assert!(!rolecall_tests::logs::contains("hello from the probe"));

        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let environment = [("ROLECALL_SERVER", url.as_str()), ("ROLECALL_TOKEN", token.as_str())];
        let (done, out, error) = process::run(&["plugin", "logs", "--tenant", "acme", "--level", "warn", "--json"], &environment).await;
        assert!(done && out.lines().count() == 2 && out.contains("careful"), "{out}{error}");
        server.stop().await;
    }

    /// `--follow` shows lines as they come.
    async fn lines_are_followed(database: Database) {
        use tokio::io::{AsyncBufReadExt as _, BufReader};
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create_with("ada@acme.example", json!({"title": "log"})).await;
        let mut child = tokio::process::Command::new(process::binary())
            .args(["plugin", "logs", "--tenant", "acme", "--follow", "--json", "--server", &server.url()])
            .env("ROLECALL_TOKEN", server.operator.token.clone().unwrap_or_default())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the command can be run");
        let mut shown = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut next = async || {
            let line = tokio::time::timeout(Duration::from_secs(60), shown.next_line()).await.expect("a line comes");
            text(&serde_json::from_str::<Value>(&line.expect("it can be read").expect("there is one")).expect("it is JSON")["message"])
        };
        assert_eq!([next().await, next().await], ["hello from the probe", "careful with this one"]);
        entra.create_with("eve@acme.example", json!({"title": "last words"})).await;
        assert_eq!(next().await, "careful with this one");
        child.kill().await.expect("it can be ended");
        server.stop().await;
    }

    /// A call's lines are bounded, a tenant's by second, and what was dropped is said where it is missing.
    async fn a_flood_is_bounded_and_said(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let quiet = server.tenant("quiet").with_probe().create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, quiet.connection(&server, "Okta").await);
        let body = |n: usize| rolecall_tests::tenant::user(&format!("p{n}@acme.example"), json!({"title": "babble"}));
        let operations: Vec<Value> =
            (0..90).map(|n| json!({"method": "POST", "path": "/Users", "bulkId": n.to_string(), "data": body(n)})).collect();
        entra.bulk(json!(operations)).await;
        okta.create_with("ada@acme.example", json!({"title": "log"})).await;
        assert_eq!(lines(&quiet, "").await.len(), 2, "a neighbour's flood costs nobody a line");
        let mut all = Vec::new();
        loop {
            let after = all.last().map_or(0, |line: &Value| line["position"].as_i64().expect("a number"));
            let page = lines(&acme, &format!("?after={after}&limit=1000")).await;
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        // 90 calls with 51 lines each (the last says how many more there were); 2,000 at once and 200 a second are taken.
        let (said, kept): (Vec<Value>, Vec<Value>) = all.into_iter().partition(|line| line["plugin"] == "rolecall");
        let dropped: usize = said.iter().filter_map(|line| line["message"].as_str()?.split(' ').next()?.parse::<usize>().ok()).sum();
        assert_eq!(kept.len() + dropped, 90 * 51, "{said:?}");
        assert!(dropped > 0 && kept.len() >= 2_000, "{} kept, {dropped} dropped", kept.len());
        assert!(messages(&kept).iter().any(|line| line.starts_with("50 more lines were dropped")), "of one call");
        let metrics = server.operator.at(server.url()).get("/metrics").await;
        assert!(metrics.text.contains("rolecall_plugin_records_dropped_total{tenant=\"acme\",what=\"lines\"}"), "{}", metrics.text);
        server.stop().await;
    }
}
