//! Connections' health: judging ten thousand of them in memory, and looking after as many that are stored.

use std::hint::black_box;
use std::time::Instant as Stopwatch;

use rolecall::health::{GRACE, Memory, SLOT, Slot, slot_of};
use rolecall::model::{Actor, ConnectionId, ConnectionState, HealthSettings, Instant, Standing, TenantId, Traffic};
use rolecall::store::{Counted, Gathered, KeptHealth};
use rolecall::tenancy;
use rolecall_tests::{Database, Kind, Server};
use serde_json::json;

use crate::load::processor_ms;
use crate::report::Report;

/// Connections that are judged in memory.
const CONNECTIONS: usize = 10_000;
/// Tenants that are looked after, each with as many connections.
const TENANTS: usize = 1_000;
const CONNECTIONS_EACH: usize = 10;
/// Rounds: each judges everybody.
const ROUNDS: usize = 5;
/// How often a client comes, as Entra ID does, and for how long it has.
const VISIT_MINUTES: i64 = 40;
const DAYS: i64 = 30;

/// What rounds took by the clock, and of the processor: in milliseconds.
type Times = (Vec<f64>, Vec<f64>);

fn traffic() -> Traffic {
    Traffic { requests: 12, lists: 2, writes: 10, applied: 9, no_op: 1, ..Traffic::default() }
}

/// What is remembered of a connection to which a client has come for a month, and the last time that it came.
fn learned(begin: Instant, settings: &HealthSettings) -> (Memory, Instant) {
    let mut memory = Memory::default();
    let visits = DAYS * 24 * 60 / VISIT_MINUTES;
    let at = |visit: i64| slot_of(begin.plus_seconds(visit * VISIT_MINUTES * 60));
    for visit in 0..visits {
        memory.observe(at(visit), traffic(), settings, true);
    }
    (memory, at(visits - 1))
}

/// Judging alone, on one thread: everything that is looked at is in memory.
pub fn measure_judging(report: &mut Report) {
    let settings = HealthSettings::default();
    let (memory, last) = learned(Instant(1_900_000_000_000_000), &settings);
    let text = json!(memory).to_string();
    let slots: [Slot; 2] = [(Instant(last.0 + SLOT), traffic()), (Instant(last.0 + 2 * SLOT), traffic())];
    let as_of = Instant(last.0 + 2 * SLOT + GRACE);
    let standing = Standing { credentials: 1, people: 1_000, ..Standing::default() };
    let (mut judged, mut read) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let memories: Vec<Memory> = (0..CONNECTIONS).map(|_| memory.clone()).collect();
        let started = Stopwatch::now();
        for mut memory in memories {
            black_box(memory.look((&slots[..1], &slots[1..]), &standing, &settings, as_of));
        }
        judged.push(started.elapsed().as_secs_f64() * 1_000.0);
        let started = Stopwatch::now();
        for _ in 0..CONNECTIONS {
            let mut memory: Memory = serde_json::from_str(&text).expect("what is remembered can be read");
            black_box(memory.look((&slots[..1], &slots[1..]), &standing, &settings, as_of));
            black_box(serde_json::to_string(&memory).expect("what is remembered can be written"));
        }
        read.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    report.add("health, 10,000 connections in memory", "ms", ("judged", judged), ("read, judged, written", read));
}

/// Looking after all connections of many tenants, as a host does every fifteen seconds.
pub async fn measure_looking_after(report: &mut Report, kind: Kind) {
    let database = Database::create(kind).await;
    let server = Server::start(&database).await;
    let (app, actor) = (server.app(), Actor { kind: "worker".into(), id: "bench".into() });
    let mut connections = Vec::new();
    for number in 0..TENANTS {
        let tenant = TenantId(format!("tenant-{number}"));
        app.store.ensure_tenant(&tenant, "Tenant", "api", app.clock.now()).await.expect("the tenant is made");
        for number in 0..CONNECTIONS_EACH {
            let made = tenancy::create_connection(app, &tenant, &format!("c-{number}"), (ConnectionState::Active, false), &actor).await;
            connections.push((tenant.clone(), made.expect("the connection is made").0.id));
        }
    }
    // A month has been learned of each.
    let settings = HealthSettings::default();
    let (mut memory, last) = learned(app.clock.now().plus_seconds(-DAYS * 86_400), &settings);
    let health = memory.judge(&Standing::default(), &settings, last);
    let memory = serde_json::to_string(&memory).expect("it can be written");
    for chunk in connections.chunks(CONNECTIONS_EACH) {
        let kept = |connection: &ConnectionId| KeptHealth {
            connection: connection.clone(),
            memory: memory.clone(),
            health: health.clone(),
            taken_in: last,
            version: 0,
            event: None,
            becomes: None,
        };
        let kept: Vec<KeptHealth> = chunk.iter().map(|(_, connection)| kept(connection)).collect();
        let done = app.store.keep_health(&chunk[0].0, &kept, &actor, app.clock.now()).await.expect("it is kept");
        assert_eq!(done.len(), CONNECTIONS_EACH);
    }
    // Every client comes; what it did is over a while later.
    let visit = async || {
        let slot = slot_of(app.clock.now());
        for chunk in connections.chunks(CONNECTIONS_EACH) {
            let counted: Vec<Counted> =
                chunk.iter().map(|(_, connection)| Counted { connection: connection.clone(), slot, traffic: traffic() }).collect();
            app.store.record(&chunk[0].0, &Gathered { counted, ..Gathered::default() }, 0).await.expect("what came is counted");
        }
        server.clock.advance_seconds((SLOT + GRACE) / 1_000_000 + 1);
    };
    let look_after = async || {
        let (started, taken) = (Stopwatch::now(), processor_ms());
        let (states, _) = tenancy::health::look_after_all(app).await.expect("they are looked after");
        let judged: i64 = states.values().sum();
        assert_eq!(judged, (TENANTS * CONNECTIONS_EACH) as i64);
        (started.elapsed().as_secs_f64() * 1_000.0, processor_ms() - taken)
    };
    visit().await;
    look_after().await;
    let (mut quiet, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        quiet.push(look_after().await);
        visit().await;
        busy.push(look_after().await);
    }
    let ((quiet, quiet_taken), (busy, busy_taken)): (Times, Times) = (quiet.into_iter().unzip(), busy.into_iter().unzip());
    report.add(format!("health, 10,000 connections stored, {kind}"), "ms", ("nobody came", quiet), ("everybody came", busy));
    let name = format!("the same, of the processor, {kind}");
    report.add(name, "ms", ("nobody came", quiet_taken), ("everybody came", busy_taken));
    server.stop().await;
}
