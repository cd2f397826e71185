//! One tenant whose plugin spins on every request, and what the others feel of it: beside what they feel of as many ordinary requests, each of
//! which is written to the same disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rolecall_tests::tenant::user;
use rolecall_tests::{Connection, Database, Kind, Server};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::load;
use crate::report::{Report, at};

/// Innocent tenants.
const TENANTS: usize = 4;
/// Requests of a round, of all innocent tenants together.
const REQUESTS: usize = 800;
/// One of their requests comes so often where they come at their own pace: from each twice as many as an identity provider sends at most.
const PACE: Duration = Duration::from_millis(5);
/// Requests of the hostile tenant under way at once.
const ATTACKS: usize = 32;
/// Rounds: without a neighbour, beside the attack, and beside as many ordinary requests.
const ROUNDS: usize = 7;

/// What a fifth tenant sends.
#[derive(Clone, Copy)]
enum Sends {
    /// Spins on each of its requests, which come as fast as they are answered.
    Spins,
    /// Is mapped as everybody, one request each such time.
    Ordinary(Duration),
}

/// Requests of a fifth tenant until they are told to end.
struct FifthTenant {
    ends: Arc<AtomicBool>,
    requests: JoinSet<()>,
    started: Instant,
    /// How many were answered.
    answered: Arc<AtomicUsize>,
}

impl FifthTenant {
    async fn start(connection: &Connection, round: &str, sends: Sends) -> Self {
        let (ends, answered, started) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Instant::now());
        let (title, due) = match sends {
            Sends::Spins => ("loop", None),
            Sends::Ordinary(pace) => ("Lead", Some(Arc::new(Mutex::new(tokio::time::interval(pace))))),
        };
        let mut requests = JoinSet::new();
        for worker in 0..ATTACKS {
            let (connection, round, ends, answered) = (connection.clone(), round.to_owned(), Arc::clone(&ends), Arc::clone(&answered));
            let due = due.clone();
            requests.spawn(async move {
                for number in 0.. {
                    if let Some(due) = &due {
                        due.lock().await.tick().await;
                    }
                    if ends.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("{round}-{worker}-{number}@hostile.example");
                    connection.scim.post("/Users", user(&name, json!({"title": title}))).await.expect_one_of(&[201, 429, 503]);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // It is under way when the first was answered.
        while answered.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        Self { ends, requests, started, answered }
    }

    /// Ends it. The mean time between its answers.
    async fn end(mut self) -> Duration {
        self.ends.store(true, Ordering::Relaxed);
        while self.requests.join_next().await.is_some() {}
        let answered = self.answered.load(Ordering::Relaxed);
        self.started.elapsed() / u32::try_from(answered.max(1)).expect("requests can be counted")
    }
}

/// How innocent tenants come.
#[derive(Clone, Copy, Debug)]
enum Coming {
    /// Each as soon as its last request was answered: as fast as the machine can.
    AtOnce,
    /// Each [`PACE`] one, whatever becomes of those before.
    Paced,
}

/// The innocent tenants' creates: p50 and p99 in milliseconds, and how many a second. What comes at its own pace counts from when it was to come.
async fn round(tenants: &Arc<Vec<Connection>>, coming: Coming, name: &str) -> (f64, f64, f64) {
    let (tenants, name) = (Arc::clone(tenants), name.to_owned());
    let create = move |number: usize, from: Instant| {
        let (connection, name) = (tenants[number % TENANTS].clone(), format!("person-{name}-{number}@innocent.example"));
        async move {
            connection.scim.post("/Users", user(&name, json!({"title": "Lead"}))).await.expect(201);
            from.elapsed().as_secs_f64() * 1e3
        }
    };
    let (times, rate) = match coming {
        Coming::AtOnce => load::make(TENANTS, REQUESTS, move |number| create(number, Instant::now())).await,
        Coming::Paced => {
            let (started, mut requests, mut due) = (Instant::now(), JoinSet::new(), tokio::time::interval(PACE));
            for number in 0..REQUESTS {
                requests.spawn(create(number, due.tick().await.into_std()));
            }
            (requests.join_all().await, load::per_second(REQUESTS, started))
        }
    };
    (at(&times, 0.5), at(&times, 0.99), rate)
}

/// How innocent tenants fare, as fast as they can and at their own pace.
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
    round(&tenants, Coming::AtOnce, "warm").await;
    let kinds = [("others' create, p50", "ms"), ("others' create, p99", "ms"), ("others' creates", "requests a second")];
    side_by_side(report, &tenants, &hostile, Coming::AtOnce, &kinds).await;
    let kinds = [("others' create at their pace, p50", "ms"), ("others' create at their pace, p99", "ms")];
    side_by_side(report, &tenants, &hostile, Coming::Paced, &kinds).await;
    server.stop().await;
}

/// Rounds without a neighbour, beside the attack and beside as many ordinary requests, in turn.
async fn side_by_side(
    report: &mut Report,
    tenants: &Arc<Vec<Connection>>,
    hostile: &Connection,
    coming: Coming,
    kinds: &[(&'static str, &'static str)],
) {
    let mut sides: [[Vec<f64>; 3]; 3] = Default::default();
    for number in 0..ROUNDS {
        let name = |side: &str| format!("{side}-{coming:?}-{number}");
        let quiet = round(tenants, coming, &name("quiet")).await;
        let attack = FifthTenant::start(hostile, &name("attack"), Sends::Spins).await;
        let noisy = round(tenants, coming, &name("noisy")).await;
        let pace = attack.end().await;
        eprintln!("attacks were answered each {pace:?}");
        let others = FifthTenant::start(hostile, &name("ordinary"), Sends::Ordinary(pace)).await;
        let beside = round(tenants, coming, &name("beside")).await;
        others.end().await;
        for (side, (p50, p99, rate)) in sides.iter_mut().zip([noisy, quiet, beside]) {
            side[0].push(p50);
            side[1].push(p99);
            side[2].push(rate);
        }
    }
    let [noisy, quiet, ordinary] = sides;
    for (((noisy, quiet), ordinary), (name, unit)) in noisy.into_iter().zip(quiet).zip(ordinary).zip(kinds) {
        report.add(*name, unit, ("beside an attack", noisy.clone()), ("alone", quiet));
        report.add(*name, unit, ("beside an attack", noisy), ("beside ordinary requests", ordinary));
    }
}
