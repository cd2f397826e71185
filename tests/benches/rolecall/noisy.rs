//! One tenant whose plugin spins on every request, and what the others feel of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use rolecall_tests::tenant::user;
use rolecall_tests::{Connection, Database, Kind, Server};
use serde_json::json;
use tokio::task::JoinSet;

use crate::load;
use crate::report::{Report, at};

/// Innocent tenants, each with one request under way.
const TENANTS: usize = 4;
/// Requests of a round, of all innocent tenants together.
const REQUESTS: usize = 800;
/// Requests of the hostile tenant under way at once.
const ATTACKS: usize = 32;
/// Pairs of rounds, without and with the attack.
const ROUNDS: usize = 7;

/// Requests that spin until they are told to end.
struct Attack {
    ends: Arc<AtomicBool>,
    requests: JoinSet<()>,
    /// How many were answered.
    answered: Arc<AtomicUsize>,
}

impl Attack {
    async fn start(connection: &Connection, round: usize) -> Self {
        let (ends, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut requests = JoinSet::new();
        for worker in 0..ATTACKS {
            let (connection, ends, answered) = (connection.clone(), Arc::clone(&ends), Arc::clone(&answered));
            requests.spawn(async move {
                for number in 0.. {
                    if ends.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("attack-{round}-{worker}-{number}@hostile.example");
                    connection.scim.post("/Users", user(&name, json!({"title": "loop"}))).await.expect_one_of(&[201, 429, 503]);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // It is under way when the first has run out of fuel.
        while answered.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        Self { ends, requests, answered }
    }

    async fn end(mut self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        while self.requests.join_next().await.is_some() {}
        self.answered.load(Ordering::Relaxed)
    }
}

/// The innocent tenants' creates: p50 and p99 in milliseconds, and how many a second.
async fn round(tenants: &Arc<Vec<Connection>>, name: &str) -> (f64, f64, f64) {
    let (tenants, name) = (Arc::clone(tenants), name.to_owned());
    let create = move |number: usize| {
        let (connection, name) = (tenants[number % TENANTS].clone(), format!("person-{name}-{number}@innocent.example"));
        async move {
            let started = Instant::now();
            connection.scim.post("/Users", user(&name, json!({"title": "Lead"}))).await.expect(201);
            started.elapsed().as_secs_f64() * 1e3
        }
    };
    let (times, rate) = load::make(TENANTS, REQUESTS, create).await;
    (at(&times, 0.5), at(&times, 0.99), rate)
}

/// Rounds without and with the attack, in turn.
pub async fn measure(report: &mut Report) {
    let database = Database::create(Kind::Sqlite).await;
    let server = Server::start_working(&database).await;
    let hostile = server.tenant("hostile").with_probe().create().await.connection(&server, "Attacker").await;
    let mut tenants = Vec::new();
    for number in 0..TENANTS {
        let tenant = server.tenant(&format!("innocent-{number}")).with_probe().create().await;
        tenants.push(tenant.connection(&server, "Directory").await);
    }
    let tenants = Arc::new(tenants);
    round(&tenants, "warm").await;
    let mut sides: [[Vec<f64>; 3]; 2] = Default::default();
    for number in 0..ROUNDS {
        let quiet = round(&tenants, &format!("quiet-{number}")).await;
        let attack = Attack::start(&hostile, number).await;
        let noisy = round(&tenants, &format!("noisy-{number}")).await;
        eprintln!("{} attacks were answered", attack.end().await);
        for (side, (p50, p99, rate)) in sides.iter_mut().zip([noisy, quiet]) {
            side[0].push(p50);
            side[1].push(p99);
            side[2].push(rate);
        }
    }
    let [noisy, quiet] = sides;
    let kinds = [("others' create, p50", "ms"), ("others' create, p99", "ms"), ("others' creates", "requests a second")];
    for ((noisy, quiet), (name, unit)) in noisy.into_iter().zip(quiet).zip(kinds) {
        report.add(name, unit, ("beside an attack", noisy), ("alone", quiet));
    }
    server.stop().await;
}
