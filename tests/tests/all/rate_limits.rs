//! Rate limits: whoever asks for too much waits, and nobody else does.

use rolecall::rate::Rate;
use rolecall_tests::{Answer, Client, Database, Server, Tenant, on_both_databases};

/// Sends requests until one is one too many; there are never as many as this.
const FLOOD: usize = 500;

on_both_databases! {
    /// A connection that floods is told to wait, in SCIM's words; another connection of the same tenant is not; the wait ends.
    async fn a_flood_waits_and_holds_nobody_else_up(database: Database) {
        let server = Server::start_with(&database, |config| config.connection_rate = Rate { per_second: 1, burst: 5 }).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let ada = okta.create("ada@acme.example").await;
        let refused = flood(&entra.scim).await;
        let detail = refused.expect_scim_error(429, None);
        let wait: i64 = refused.header("retry-after").parse().unwrap_or_else(|_| panic!("no seconds to wait: {refused:?}"));
        assert!((1..=5).contains(&wait) && detail.contains(&format!("{wait} s")), "{wait}: {detail}");
        // Whoever leaves leaves, whatever another connection does.
        okta.deactivate(&ada).await;
        assert_eq!(acme.state("ada@acme.example").await, "suspended");
        assert_eq!(turned_away(&acme, &entra.id).await, [(429, 1)]);
        server.clock.advance_seconds(wait);
        entra.scim.get("/Users").await.expect(200);
        server.stop().await;
    }

    /// What the default allows is more than any real client sends: hundreds at once.
    async fn a_burst_of_a_well_behaved_client_is_carried_out(database: Database) {
        let server = Server::start_with(&database, |config| config.connection_rate = Rate { per_second: 100, burst: 1_000 }).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..300 {
            let scim = entra.scim.clone();
            requests.spawn(async move { scim.get("/Users?filter=userName+eq+%22nobody%22").await.status.as_u16() });
        }
        let statuses = requests.join_all().await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        server.stop().await;
    }

    /// Wrong credentials are slowed down, whatever their kind; the right one is never locked out by them.
    async fn guessing_is_slow_and_locks_nobody_out(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let wrong = entra.scim.with_token(Some("rc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
        wrong.get("/Users").await.expect_scim_error(401, None);
        let refused = flood(&wrong).await;
        refused.expect_scim_error(429, None);
        assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
        for token in ["nonsense", "ra_AAAA", "eyJhbGciOiJub25lIn0.e30."] {
            entra.scim.with_token(Some(token)).get("/Users").await.expect_scim_error(429, None);
        }
        // A connection that is not there behaves alike.
        let nowhere = wrong.at(format!("{}/scim/00000000000000000000000000000000/v2", server.url()));
        flood(&nowhere).await.expect_scim_error(429, None);
        entra.scim.get("/Users").await.expect(200);
        entra.deactivate(&ada).await;
        assert_eq!(acme.state("ada@acme.example").await, "suspended");
        let listed = acme.api.get("/connections").await.expect(200);
        assert!(listed["connections"][0]["wrong_credentials"].as_i64() >= Some(200), "{listed}");
        let counted = listed["connections"][0]["wrong_credentials"].as_i64().unwrap_or(0);
        let logged = turned_away(&acme, &entra.id).await;
        assert_eq!(logged.iter().map(|(_, number)| number).sum::<i64>(), counted, "all of them are in the log");
        assert!(logged.len() < 20 && logged.iter().all(|(status, _)| *status == 401), "a second of them is one entry: {logged:?}");
        server.clock.advance_seconds(60);
        wrong.get("/Users").await.expect_scim_error(401, None);
        assert_eq!(turned_away(&acme, &entra.id).await.len(), logged.len() + 1, "later another");
        server.stop().await;
    }
}

/// Status and number of the requests that the provisioning log says were turned away.
async fn turned_away(acme: &Tenant, connection: &str) -> Vec<(i64, i64)> {
    let log = acme.api.get(&format!("/connections/{connection}/log")).await.expect(200);
    let entries = log["entries"].as_array().cloned().unwrap_or_default();
    let number = |value: &serde_json::Value| value.as_i64().unwrap_or(-1);
    let at_the_door = entries.iter().filter(|entry| entry["method"] == "*");
    at_the_door.map(|entry| (number(&entry["status"]), number(&entry["operations"]["refused"]))).collect()
}

async fn flood(client: &Client) -> Answer {
    for _ in 0..FLOOD {
        let answer = client.get("/Users").await;
        if answer.status.as_u16() == 429 {
            return answer;
        }
    }
    panic!("{FLOOD} requests were not too many");
}
