//! What live requests notice of an activation: their slowest hundredth while everybody is decided again, against a quiet server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rolecall::jobs;
use rolecall_tests::Kind;
use rolecall_tests::tenant::patch;
use serde_json::json;
use tokio::task::JoinSet;

use crate::load::per_second;
use crate::population::Population;
use crate::report::{Report, at};

/// People: `ROLECALL_BENCH_PEOPLE`, for a quick look.
const PEOPLE: u32 = 100_000;
/// Clients that write at once.
const CLIENTS: u32 = 4;
/// Requests of one quiet round.
const QUIET_REQUESTS: usize = 2_000;

/// A role for a tenth of everybody, and a policy that reads who they are.
const FILES: [(&str, &str); 2] = [
    ("tenant.toml", "name = \"Population\"\n[[roles]]\nid = \"reader\"\n"),
    (
        "policies/readers.cedar",
        "@id(\"readers\")\n@reason(\"a tenth\")\npermit (principal, action == Rolecall::Action::\"hold\", resource == Rolecall::Role::\"reader\") when { principal.userName \
         like \"*7@*\" };\n",
    ),
];

/// Writes until told to stop; how long each request took, in milliseconds. Every write changes somebody: what is the same as in an earlier
/// `part` would be read and not written.
async fn write_until(population: &Arc<Population>, stop: &Arc<AtomicBool>, part: u32, most: usize) -> Vec<f64> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (population, stop) = (Arc::clone(population), Arc::clone(stop));
        clients.spawn(async move {
            let mut times = Vec::new();
            let mut number = part * CLIENTS + client;
            while !stop.load(Ordering::Relaxed) && times.len() < most / CLIENTS as usize {
                number = number.wrapping_mul(1_103_515_245).wrapping_add(12_345 + client) & 0x7fff_ffff;
                let digits = 1 + (number >> 8) % (population.people - 1);
                let body = patch(json!([{"op": "replace", "path": "displayName", "value": format!("Person {part}-{number}")}]));
                let started = Instant::now();
                population.send("PATCH", &format!("/Users/seeded-{digits:08}"), Some(&body)).await;
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
            times
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// Measures on one kind of database.
pub async fn measure(report: &mut Report, kind: Kind) {
    let people = std::env::var("ROLECALL_BENCH_PEOPLE").ok().and_then(|people| people.parse().ok()).unwrap_or(PEOPLE);
    let population = Arc::new(Population::new(kind, people).await);
    let (stop, app) = (Arc::new(AtomicBool::new(false)), Arc::clone(population.server.app()));
    let (end, ended) = tokio::sync::watch::channel(false);
    let worker = tokio::spawn(jobs::run(Arc::clone(&app), ended));
    write_until(&population, &stop, 0, QUIET_REQUESTS).await;
    let mut quiet = write_until(&population, &stop, 1, QUIET_REQUESTS).await;
    let tenant = population.server.existing("population");
    let files = FILES.into_iter().map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect();
    let started = Instant::now();
    tenant.activate(&population.server, files).await;
    app.wake.notify_one();
    let finished = {
        let (app, stop, tenant) = (Arc::clone(&app), Arc::clone(&stop), tenant.id.clone());
        tokio::spawn(async move {
            // Counting looks at everybody while an activation is on its way, which would be part of what is measured.
            let on_its_way = async || app.store.spreading().await.expect("it can be asked").is_some();
            while on_its_way().await || app.store.count_pending(&tenant).await.expect("it can be counted") > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
            stop.store(true, Ordering::Relaxed);
        })
    };
    let busy = write_until(&population, &stop, 2, usize::MAX).await;
    finished.await.expect("everybody is decided");
    let rate = per_second(people as usize, started);
    stop.store(false, Ordering::Relaxed);
    let after = write_until(&population, &stop, 3, QUIET_REQUESTS).await;
    let name = format!("quiet PATCH p50, {kind}");
    report.add(name, "ms", ("after an activation", vec![at(&after, 0.5)]), ("before", vec![at(&quiet, 0.5)]));
    quiet.extend(after);
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let name = format!("live PATCH {name}, activation on {people}, {kind}");
        report.add(name, "ms", ("meanwhile", vec![at(&busy, share)]), ("quiet", vec![at(&quiet, share)]));
    }
    report.add(
        format!("activation on {people}, {kind}, beside {} live writes", busy.len()),
        "people a second",
        ("decided again", vec![rate]),
        ("live writes", vec![per_second(busy.len(), started)]),
    );
    end.send(true).expect("the worker listens");
    worker.await.expect("the worker ends");
}
