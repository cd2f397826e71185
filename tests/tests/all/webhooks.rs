//! The first target: a signed webhook. What was committed is delivered, in order for each person, leavers first.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolecall::outgoing::Allowed;
use rolecall_tests::receiver::{Delivery, Receiver};
use rolecall_tests::tenant::text;
use rolecall_tests::{Database, Server, Tenant, on_both_databases};
use serde_json::json;

/// A target at the receiver; gives its signing secret.
async fn target(acme: &Tenant, receiver: &Receiver) -> Vec<u8> {
    let made = acme.api.put("/targets/crm", json!({"url": receiver.url()})).await.expect(200);
    let secret = text(&made["secret"]);
    STANDARD.decode(secret.strip_prefix("whsec_").expect("the secret has its prefix")).expect("the secret is base64")
}

fn is_of(delivery: &Delivery, kind: &str) -> bool {
    delivery.json()["type"] == kind
}

on_both_databases! {
    /// Signed as Standard Webhooks says, with the event's id, once for each event.
    async fn deliveries_are_signed_and_made_once(database: Database) {
        let server = Server::start_working(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let receiver = Receiver::start([]).await;
        let secret = target(&acme, &receiver).await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        let deliveries = receiver.wait_until(|came| came.iter().any(|delivery| is_of(delivery, "grant.added"))).await;
        let mut ids: Vec<&str> = Vec::new();
        for delivery in &deliveries {
            assert!(delivery.is_signed_with(&secret), "{delivery:?}");
            assert!(!delivery.is_signed_with(b"another secret of twenty-four"), "{delivery:?}");
            let timestamp: i64 = delivery.header("webhook-timestamp").parse().expect("seconds since 1970");
            assert!(timestamp > 1_700_000_000, "{timestamp}");
            ids.push(delivery.header("webhook-id"));
        }
        let events: Vec<String> = acme.events(&server).await.iter().map(|event| text(&event["id"])).collect();
        assert!(ids.iter().all(|id| events.iter().any(|event| event == id)), "{ids:?} {events:?}");
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "each event once");
        server.stop().await;
    }

    /// A target that answers 410 wants no more: it is paused, and what there is to tell waits until somebody goes on with it.
    async fn a_target_that_wants_no_more_is_paused_and_loses_nothing(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let receiver = Receiver::start([410]).await;
        let secret = target(&acme, &receiver).await;
        let ada = entra.create("ada@acme.example").await;
        server.settle().await;
        assert_eq!(acme.api.get("/targets").await.expect(200)["targets"][0]["enabled"], false);
        entra.deactivate(&ada).await;
        server.settle().await;
        let events = acme.events(&server).await;
        let paused = events.iter().find(|event| event["kind"] == "target.paused").expect("it is told");
        assert!(text(&paused["data"]["why"]).contains("410") && paused["actor"]["id"] == "delivery", "{paused}");
        acme.api.put("/targets/crm", json!({"url": receiver.url()})).await.expect(200);
        server.settle().await;
        let came = receiver.wait_until(|came| came.iter().any(|delivery| is_of(delivery, "account.suspended"))).await;
        assert!(came.iter().all(|delivery| delivery.is_signed_with(&secret)));
        let refused: Vec<&Delivery> = came.iter().filter(|delivery| delivery.answered == 410).collect();
        let [refused] = refused.as_slice() else { panic!("{refused:?}") };
        let id = refused.header("webhook-id");
        assert_eq!(came.iter().filter(|delivery| delivery.header("webhook-id") == id).count(), 2, "what was refused came again, once");
        server.stop().await;
    }

    /// A target that never answers keeps its own tenant's deliveries waiting, and nobody else's: leavers of others are told at once.
    async fn a_target_that_does_not_answer_keeps_nobody_else_waiting(database: Database) {
        let server = Server::start_working(&database).await;
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let slow = server.tenant("slow").create().await;
        let url = format!("http://{}/", silent.local_addr().expect("an address"));
        slow.api.put("/targets/crm", json!({"url": url})).await.expect(200);
        let theirs = slow.connection(&server, "Entra ID").await;
        for person in 0..40 {
            theirs.create(&format!("person{person}@slow.example")).await;
        }
        let acme = server.tenant("acme").create().await;
        let receiver = Receiver::start([]).await;
        target(&acme, &receiver).await;
        let entra = acme.connection(&server, "Entra ID").await;
        let began = std::time::Instant::now();
        for person in 0..5 {
            let id = entra.create(&format!("person{person}@acme.example")).await;
            entra.scim.delete(&format!("/Users/{id}")).await.expect(204);
        }
        let told = |came: &[Delivery]| came.iter().filter(|delivery| is_of(delivery, "account.removed")).count() == 5;
        receiver.wait_until(told).await;
        let took = began.elapsed();
        // Before one attempt at the silent target has ended; and it has been tried.
        assert!(took < std::time::Duration::from_secs(15), "{took:?}");
        assert!(silent.accept().await.is_ok());
        drop(silent);
        server.stop().await;
    }

    /// A target that fails is tried again, and what comes after waits for it, for that person alone.
    async fn failures_are_tried_again_in_order(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let receiver = Receiver::start([500, 503, 429]).await;
        target(&acme, &receiver).await;
        let ada = entra.create("ada@acme.example").await;
        let engineering = entra.group("Engineering", &[&ada]).await;
        entra.remove(&engineering, &ada).await;
        for _ in 0..8 {
            server.settle().await;
            server.clock.advance_seconds(60);
        }
        let deliveries = receiver.deliveries();
        assert!(deliveries.iter().any(|delivery| is_of(delivery, "grant.removed") && delivery.answered.is_success()), "{deliveries:?}");
        let account = text(&acme.account("ada@acme.example").await["id"]);
        let acknowledged: Vec<i64> = deliveries
            .iter()
            .filter(|delivery| delivery.answered.is_success() && delivery.json()["data"]["account"] == account.as_str())
            .map(|delivery| delivery.json()["data"]["seq"].as_i64().expect("events are numbered"))
            .collect();
        assert!(acknowledged.len() >= 3, "{acknowledged:?}");
        let mut sorted = acknowledged.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(acknowledged, sorted, "in order, each acknowledged once");
        assert_eq!(deliveries.iter().filter(|delivery| !delivery.answered.is_success()).count(), 3, "each failure was tried again");
        let mut attempts: BTreeMap<&str, usize> = BTreeMap::new();
        for delivery in &deliveries {
            *attempts.entry(delivery.header("webhook-id")).or_default() += 1;
        }
        assert!(attempts.values().any(|attempts| *attempts > 1), "the same id again: {attempts:?}");
        server.stop().await;
    }

    /// What takes access away overtakes what waits for others: also where there is more than one round can carry.
    async fn leavers_come_first(database: Database) {
        const JOINERS: usize = 100;
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        server.settle().await;
        let receiver = Receiver::start([]).await;
        target(&acme, &receiver).await;
        receiver.set_failing(true);
        for index in 0..JOINERS {
            entra.create(&format!("joiner-{index}@acme.example")).await;
        }
        entra.deactivate(&ada).await;
        server.settle().await;
        let leaver = text(&acme.account("ada@acme.example").await["id"]);
        receiver.set_failing(false);
        server.clock.advance_seconds(3_600);
        server.settle().await;
        let deliveries = receiver.deliveries();
        let acknowledged: Vec<&Delivery> = deliveries.iter().filter(|delivery| delivery.answered.is_success()).collect();
        let is_leavers = |delivery: &&Delivery| delivery.json()["data"]["account"] == leaver.as_str();
        assert!(acknowledged.iter().any(|delivery| is_leavers(delivery) && is_of(delivery, "account.suspended")), "delivered");
        let last = acknowledged.iter().rposition(is_leavers).expect("the leaver was delivered");
        let joiners_before = acknowledged[..last].iter().filter(|delivery| is_of(delivery, "account.created")).count();
        let joined = acknowledged.iter().filter(|delivery| is_of(delivery, "account.created")).count();
        assert_eq!(joined, JOINERS, "everybody was delivered in the end");
        assert!(joiners_before < JOINERS, "the leaver waited for every joiner");
        let first = acknowledged.iter().position(is_leavers).expect("the leaver was delivered");
        assert!(first < JOINERS / 2, "the leaver was not in the first round: {first}");
        server.stop().await;
    }

    /// What stands beside the server is called where its operator lists it and not otherwise: told at once where a target is set, and
    /// looked at again with each delivery. Nothing is lost meanwhile.
    async fn what_stands_beside_the_server_is_not_called(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let receiver = Receiver::start([]).await;
        // By its name, which goes on resolving to this machine.
        let url = receiver.url().replace("127.0.0.1", "localhost");
        acme.api.put("/targets/crm", json!({"url": url})).await.expect(200);
        server.settle().await;
        server.stop().await;

        let strict = Server::start_with(&database, |config| config.outgoing_allow = Allowed::default()).await;
        let (acme, entra) = (strict.existing("acme"), entra.at(&strict.url()));
        let secure = url.replace("http://", "https://");
        for (refused, why) in [
            (&*url, "over `https://` alone"),
            (&secure, "`localhost` has an address of this machine"),
            ("https://10.0.0.1/hook?token=s3cret", "`10.0.0.1` has an address of a private network"),
            ("https://0xa9fea9fe/latest/meta-data", "`169.254.169.254` has an address of a link"),
            ("https://[::ffff:10.0.0.1]/", "a private network"),
            ("ftp://example.com/", "must begin with `https://`"),
            ("https://u:p@example.com/", "without user information"),
        ] {
            let answer = acme.api.put("/targets/other", json!({"url": refused})).await.expect(400).to_string();
            assert!(answer.contains(why) && !answer.contains("s3cret"), "{refused}: {answer}");
            if !why.contains("of this machine") && !why.contains("alone") {
                let issuer = json!({"issuer": "x", "audience": "x", "jwks_uri": refused});
                let answer = acme.api.put(&format!("/connections/{}/issuer", entra.id), issuer).await.expect(400).to_string();
                assert!(answer.contains(why), "{refused}: {answer}");
            }
        }
        entra.create("ada@acme.example").await;
        strict.settle().await;
        assert!(!receiver.deliveries().iter().any(|delivery| is_of(delivery, "account.created")), "looked at with each delivery");
        strict.stop().await;

        let listed = Server::start_with(&database, |config| {
            config.outgoing_allow = Allowed::read(&["localhost".to_owned()]).expect("a list");
        })
        .await;
        listed.clock.advance_seconds(3_600);
        listed.settle().await;
        assert!(receiver.deliveries().iter().any(|delivery| is_of(delivery, "account.created")), "nothing is lost");
        listed.stop().await;
    }

    /// A target of one tenant hears nothing of another.
    async fn a_target_hears_its_own_tenant_alone(database: Database) {
        let server = Server::start(&database).await;
        let (acme, globex) = (server.tenant("acme").create().await, server.tenant("globex").create().await);
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, globex.connection(&server, "Okta").await);
        let receiver = Receiver::start([]).await;
        target(&acme, &receiver).await;
        okta.create("hank@globex.example").await;
        entra.create("ada@acme.example").await;
        server.settle().await;
        assert!(receiver.deliveries().iter().any(|delivery| is_of(delivery, "account.created")));
        for delivery in receiver.deliveries() {
            assert_eq!(delivery.json()["tenant"], "acme", "{delivery:?}");
        }
        server.stop().await;
    }
}
