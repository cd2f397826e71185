//! Connections' health as identity teams and targets see it: what is found, told once, kept in quarantine, and over again.

use rolecall_tests::receiver::Receiver;
use rolecall_tests::tenant::{text, user};
use rolecall_tests::{Connection, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

async fn health(acme: &Tenant, connection: &Connection) -> Value {
    acme.api.get(&format!("/connections/{}/health", connection.id)).await.expect(200)
}

/// The state, and the rules that found something.
fn found(health: &Value) -> (String, Vec<String>) {
    let rules = health["evidence"].as_array().into_iter().flatten().map(|evidence| text(&evidence["rule"]));
    (text(&health["state"]), rules.collect())
}

/// What was told of a connection, in order.
async fn told(acme: &Tenant, server: &Server) -> Vec<String> {
    let of_health = [
        "connection.first_seen",
        "connection.alarm",
        "connection.alarm_escalated",
        "connection.all_clear",
        "connection.quarantined",
        "connection.resumed",
    ];
    let kinds = acme.events(server).await.into_iter().map(|event| text(&event["kind"]));
    kinds.filter(|kind| of_health.contains(&kind.as_str())).collect()
}

on_both_databases! {
    /// From never seen over wrong credentials to well again: each state with its evidence, each change told once.
    async fn a_connection_shows_how_it_is(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        assert_eq!(found(&health(&acme, &entra).await), ("never_seen".into(), vec![]));
        entra.create("ada@acme.example").await;
        let seen = health(&acme, &entra).await;
        assert_eq!(found(&seen), ("healthy".into(), vec![]));
        assert!(seen["last_seen"].is_string() && seen["rhythm"].is_null(), "{seen}");
        let slot = &seen["traffic"][0];
        assert_eq!((&slot["requests"], &slot["writes"], &slot["applied"]), (&json!(1), &json!(1), &json!(1)), "{seen}");
        server.settle().await;
        let stranger = entra.scim.with_token(Some("rc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
        for _ in 0..5 {
            stranger.get("/Users").await;
        }
        server.settle().await;
        server.settle().await;
        assert_eq!(found(&health(&acme, &entra).await), ("degraded".into(), vec!["wrong_credentials".into()]));
        server.clock.advance_seconds(2 * 3_600);
        server.settle().await;
        server.clock.advance_seconds(16 * 60);
        server.settle().await;
        assert_eq!(found(&health(&acme, &entra).await), ("healthy".into(), vec![]));
        assert_eq!(told(&acme, &server).await, ["connection.first_seen", "connection.alarm", "connection.all_clear"]);
        let metrics = server.operator.at(server.url()).get("/metrics").await;
        assert!(metrics.text.contains(r#"rolecall_connections{state="healthy"} 1"#), "{metrics:?}");
        server.stop().await;
    }

    /// What is found is delivered once: when it begins, once more when it lasts, and when it is over; a target that fails is told later.
    async fn targets_are_told_once(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let settings = json!({"silence_minutes": 60, "escalate_minutes": 60});
        acme.api.put(&format!("/connections/{}/health/settings", entra.id), settings).await.expect(204);
        let receiver = Receiver::start([]).await;
        acme.api.put("/targets/pager", json!({"url": receiver.url()})).await.expect(200);
        let told = |receiver: &Receiver| {
            let of_health = |delivery: &Value| text(&delivery["type"]).starts_with("connection.a") || delivery["type"] == "connection.first_seen";
            let acknowledged = receiver.deliveries().into_iter().filter(|delivery| delivery.answered.is_success());
            acknowledged.map(|delivery| delivery.json()).filter(of_health).collect::<Vec<Value>>()
        };
        let look = async |seconds: i64| {
            server.clock.advance_seconds(seconds);
            for _ in 0..3 {
                server.settle().await;
            }
        };
        entra.create("ada@acme.example").await;
        look(0).await;
        // Silent for longer than it may be, while the target is away.
        receiver.set_failing(true);
        look(2 * 3_600).await;
        receiver.set_failing(false);
        look(60).await;
        look(3_600).await;
        look(3_600).await;
        entra.create("grace@acme.example").await;
        look(60).await;
        look(600).await;
        let told = told(&receiver);
        let kinds: Vec<&str> = told.iter().filter_map(|delivery| delivery["type"].as_str()).collect();
        assert_eq!(kinds, ["connection.first_seen", "connection.alarm", "connection.alarm_escalated", "connection.all_clear"], "{told:#?}");
        for (delivery, state, rules) in [(&told[1], "stalled", &["silence"][..]), (&told[2], "stalled", &["silence"]), (&told[3], "healthy", &[])] {
            let data = &delivery["data"]["data"];
            assert_eq!(found(data), (state.to_owned(), rules.iter().map(|rule| (*rule).to_owned()).collect()), "{delivery}");
            assert_eq!((&data["name"], &data["connection"]), (&json!("Entra ID"), &json!(entra.id)), "{delivery}");
        }
        server.stop().await;
    }

    /// Measures are set for each connection: a silence that is too long, a rule that is left out, and what makes no sense.
    async fn measures_are_the_connections_own(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let path = |connection: &Connection| format!("/connections/{}/health/settings", connection.id);
        for (settings, field) in [(json!({"skewed": 0}), "skewed"), (json!({"degraded_percent": 90}), "degraded_percent"), (json!({"silence": 5}), "silence")] {
            let refused = acme.api.put(&path(&entra), settings).await.expect(400);
            assert!(refused.to_string().contains(field), "{refused}");
        }
        acme.api.put(&path(&entra), json!({"silence_minutes": 60})).await.expect(204);
        acme.api.put("/connections/nowhere/health/settings", json!({})).await.expect(404);
        entra.create("ada@acme.example").await;
        okta.create("bob@acme.example").await;
        server.clock.advance_seconds(2 * 3_600);
        let stalled = health(&acme, &entra).await;
        assert_eq!(found(&stalled), ("stalled".into(), vec!["silence".into()]));
        assert_eq!(stalled["settings"]["silence_minutes"], 60);
        assert_eq!(found(&health(&acme, &okta).await), ("healthy".into(), vec![]), "its rhythm is not known yet");
        acme.api.put(&path(&entra), json!({"silence_minutes": 60, "without": ["silence"]})).await.expect(204);
        assert_eq!(found(&health(&acme, &entra).await), ("healthy".into(), vec![]));
        acme.api.delete(&path(&entra)).await.expect(204);
        assert!(health(&acme, &entra).await["settings"]["silence_minutes"].is_null());
        server.stop().await;
    }

    /// A connection that does harm is answered as ever: what it writes is stored, who leaves leaves, and nobody gains until it is over or
    /// somebody has looked.
    async fn harm_is_kept_in_quarantine(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let settings = json!({"harm_refused": 30, "without": ["errors"]});
        acme.api.put(&format!("/connections/{}/health/settings", entra.id), settings).await.expect(204);
        let (ada, grace) = (entra.create("ada@acme.example").await, entra.create("grace@acme.example").await);
        let engineering = entra.group("Engineering", &[&ada]).await;
        let flood = async || {
            for _ in 0..30 {
                entra.scim.post("/Users", json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]})).await.expect(400);
            }
            server.settle().await;
        };
        flood().await;
        assert_eq!(found(&health(&acme, &entra).await), ("quarantined".into(), vec!["harm".into()]));
        entra.add(&engineering, &grace).await;
        entra.deactivate(&ada).await;
        let alan = entra.scim.post("/Users", user("alan@acme.example", json!({}))).await.expect(201);
        entra.scim.get(&format!("/Users/{}", text(&alan["id"]))).await.expect(200);
        assert_eq!(acme.state("ada@acme.example").await, "suspended", "who leaves leaves");
        assert!(acme.roles("grace@acme.example").await.is_empty(), "nobody gains");
        assert_eq!(acme.account("alan@acme.example").await["note"]["code"], "quarantined");
        acme.api.post(&format!("/connections/{}/resume", entra.id), json!({})).await.expect(204);
        server.settle().await;
        server.settle().await;
        assert_eq!(found(&health(&acme, &entra).await), ("healthy".into(), vec![]), "somebody has looked");
        assert_eq!(acme.roles("grace@acme.example").await.len(), 1);
        assert_eq!(acme.state("alan@acme.example").await, "active");
        // A day later harm is asked about again, and is over by itself.
        server.clock.advance_hours(25);
        flood().await;
        assert_eq!(found(&health(&acme, &entra).await).0, "quarantined");
        for seconds in [2 * 3_600, 16 * 60] {
            server.clock.advance_seconds(seconds);
            server.settle().await;
        }
        assert_eq!(found(&health(&acme, &entra).await), ("healthy".into(), vec![]));
        let (alarm, quarantined, resumed) = ("connection.alarm", "connection.quarantined", "connection.resumed");
        let once = [quarantined, alarm, resumed, "connection.all_clear"];
        let expected = [once, once].concat();
        let told = told(&acme, &server).await;
        assert_eq!(told.iter().filter(|kind| *kind != "connection.first_seen").collect::<Vec<_>>(), expected, "{told:?}");
        server.stop().await;
    }

    /// Who writes back what was read before somebody else's change plays back old data; the write counts all the same.
    async fn old_data_show(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let path = format!("/Users/{ada}");
        let old = entra.scim.get(&path).await.expect(200);
        server.clock.advance_seconds(60);
        entra.set(&ada, "title", json!("Engineer")).await;
        for _ in 0..20 {
            entra.scim.put(&path, old.clone()).await.expect(200);
            entra.set(&ada, "title", json!("Engineer")).await;
        }
        assert_eq!(found(&health(&acme, &entra).await), ("degraded".into(), vec!["clock".into()]));
        server.stop().await;
    }
}
