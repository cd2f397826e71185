//! Thousands of tenants with a plugin each: what an idle one costs, how long a start takes and the first answer.

use std::time::{Duration, Instant};

use rolecall_tests::process::Process;
use rolecall_tests::tenant::user;
use rolecall_tests::{Connection, Database, Kind, Server, wasm};
use serde_json::json;

use crate::load;
use crate::report::Report;

/// Tenants, unless `ROLECALL_BENCH_TENANTS` says how many.
const TENANTS: usize = 5_000;
/// Different plugins in the second shape.
const PLUGINS: usize = 50;
/// How long a revision stays in memory here.
const IDLE_SECONDS: u64 = 60;
/// Requests under way at once.
const CONCURRENT: usize = 16;

/// The example plugin with a section more, so that it is another plugin to whoever compares bytes.
fn plugin(number: usize) -> Vec<u8> {
    let mut module = wasm::plugin("people_mapping");
    let number = format!("{number:03}");
    module.extend([0, 8, 4]);
    module.extend(b"copy");
    module.extend(number.as_bytes());
    module
}

/// Bytes of the process that are in memory.
fn resident(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number")
}

async fn populate(database: &Database, tenants: usize, plugins: usize) -> Vec<Connection> {
    let server = Server::start(database).await;
    let modules: Vec<_> = (0..plugins).map(plugin).collect();
    let mut connections = Vec::new();
    for number in 0..tenants {
        let tenant = server.tenant(&format!("tenant-{number}")).with_plugin(modules[number % plugins].clone()).create().await;
        connections.push(tenant.connection(&server, "Directory").await);
    }
    server.stop().await;
    connections
}

/// Both shapes.
pub async fn measure(report: &mut Report) {
    let tenants = std::env::var("ROLECALL_BENCH_TENANTS").ok().and_then(|tenants| tenants.parse().ok()).unwrap_or(TENANTS);
    let mut shapes: Vec<[f64; 6]> = Vec::new();
    for plugins in [1, PLUGINS] {
        let database = Database::create(Kind::Sqlite).await;
        let connections = populate(&database, tenants, plugins).await;
        // The first start compiles nothing either: artefacts were kept when the revisions were checked.
        let started = Instant::now();
        let server = Process::serve_with(&database, &[("ROLECALL_REVISION_IDLE_SECONDS", &IDLE_SECONDS.to_string())]).await;
        let start_ms = started.elapsed().as_secs_f64() * 1e3;
        let before = resident(server.id());
        let connections: Vec<_> = connections.iter().map(|connection| connection.at(&server.url)).collect();
        let body = |number: usize| user(&format!("person-{number}@tenants.example"), json!({"title": "Lead"}));
        let asked = Instant::now();
        connections[0].scim.post("/Users", body(tenants)).await.expect(201);
        let first_ms = asked.elapsed().as_secs_f64() * 1e3;
        let all = connections.clone();
        let ask = move |number: usize| {
            let (connection, body) = (all[number].clone(), body(number));
            async move { drop(connection.scim.post("/Users", body).await.expect(201)) }
        };
        let (_, rate) = load::make(CONCURRENT, tenants, ask).await;
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let each = (resident(server.id()) - before) / tenants as f64;
        // Nobody asks any more: what is idle leaves memory.
        tokio::time::sleep(Duration::from_secs(2 * IDLE_SECONDS + 1)).await;
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let idle = (resident(server.id()) - before) / tenants as f64;
        let again = Instant::now();
        connections[1].scim.post("/Users", body(tenants + 1)).await.expect(201);
        let again_ms = again.elapsed().as_secs_f64() * 1e3;
        shapes.push([start_ms, first_ms, each, rate, idle, again_ms]);
        server.terminate().await;
    }
    let names = [
        ("start", "ms"),
        ("first answer", "ms"),
        ("memory of a tenant that was just asked", "KiB"),
        ("first creates", "requests a second"),
        ("memory of an idle tenant", "KiB"),
        ("answer of an idle tenant", "ms"),
    ];
    for (index, (name, unit)) in names.into_iter().enumerate() {
        let (one, many) = (vec![shapes[0][index]], vec![shapes[1][index]]);
        report.add(format!("{tenants} tenants, {name}"), unit, ("one plugin", one), ("50 plugins", many));
    }
}
