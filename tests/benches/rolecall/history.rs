//! History: how many events a second are sealed, and verified again.

use std::time::Instant;

use rolecall::history::{self, BATCH_EVENTS, VERIFY_BATCHES, VERIFY_BYTES, VERIFY_EVENTS};
use rolecall::model::{Actor, NewEvent, Urgency};
use rolecall::store::history::{Start, VerifyBounds};
use rolecall::store::{Change, Stale};
use rolecall_tests::{Database, Kind, Server};
use serde_json::json;

use crate::load::per_second;
use crate::report::Report;

/// Events of a round.
const EVENTS: usize = 20_000;
/// Events that are written in one transaction.
const TOGETHER: usize = 500;
/// Rounds: each seals and verifies what it wrote.
const ROUNDS: usize = 5;
/// Roles that are given and taken, each to as many accounts.
const ROLES: usize = 50;

/// Roles that are given in even rounds and taken in odd ones, so that what stood begins and ends.
fn event(number: usize, round: usize) -> NewEvent {
    let kind = if round.is_multiple_of(2) { "grant.added" } else { "grant.removed" };
    let reasons =
        json!([{"policy": "sales-people", "reason": "sales people work with it", "groups": [["team-seven", "sales"]], "proposed": false}]);
    let data = json!({"role": format!("role-{}", number % ROLES), "reasons": reasons, "revision": "0".repeat(64), "was": "effective", "why": "policy"});
    NewEvent { kind, account: Some(format!("account-{}", number / ROLES).as_str().into()), data, personal: None, leaver: false }
}

/// Measures on one kind of database.
pub async fn measure(report: &mut Report, kind: Kind) {
    let database = Database::create(kind).await;
    let server = Server::start(&database).await;
    let tenant = server.tenant("history").create_empty().await;
    let connection = tenant.connection(&server, "Directory").await;
    let app = server.app();
    let (mut sealed, mut verified) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for first in (0..EVENTS).step_by(TOGETHER) {
            let change = Change {
                connection: connection.id.as_str().into(),
                at: app.clock.now(),
                actor: Actor { kind: "worker".into(), id: "bench".into() },
                request_id: None,
                revision: None,
                write: None,
                persons: Vec::new(),
                stale: Stale::Conflict,
                urgency: Urgency::Live,
                fan_out: Vec::new(),
                bind_handle: None,
                events: (first..first + TOGETHER).map(|number| event(number, round)).collect(),
            };
            app.store.commit(&tenant.id, change).await.expect("events are appended");
        }
        while app.store.number_events().await.expect("events are numbered") > 0 {}
        let began = app.store.last_batch(&tenant.id).await.expect("it is read").map_or(0, |batch| batch.number);
        let started = Instant::now();
        while history::seal(&*app.store, &app.keyring, &tenant.id, app.clock.now(), BATCH_EVENTS).await.expect("it is sealed") {}
        sealed.push(per_second(EVENTS, started));
        let started = Instant::now();
        let (mut next, mut events) = (Some(began), 0);
        while let Some(behind) = next {
            let bounds = VerifyBounds { batches: VERIFY_BATCHES, events: VERIFY_EVENTS, bytes: VERIFY_BYTES };
            let part = history::verify(&*app.store, &app.keyring, &tenant.id, Start::Behind(behind), bounds).await.expect("it is verified");
            assert_eq!(part.found, 0, "nothing is wrong: {:?}", part.findings);
            events += part.events;
            next = part.next;
        }
        verified.push(per_second(EVENTS, started));
        assert!(events >= EVENTS, "{events} were verified");
    }
    report.add(format!("history, {kind}"), "events a second", ("sealed", sealed), ("verified", verified));
    server.stop().await;
}
