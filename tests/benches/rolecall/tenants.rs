//! Thousands of tenants with a plugin each: what an idle one costs, how long a start takes and the first answer.

use std::time::{Duration, Instant};

use rolecall::revision::Files;
use rolecall_tests::process::Process;
use rolecall_tests::tenant::{POLICIES, user};
use rolecall_tests::{Connection, Database, Kind, Server, wasm};
use serde_json::json;

use crate::load;
use crate::provisioning;
use crate::report::Report;

/// Tenants, unless `ROLECALL_BENCH_TENANTS` says how many.
const TENANTS: usize = 5_000;
/// Different plugins, and sets of policies, in the second shape.
const PLUGINS: usize = 50;
/// How long a revision stays in memory here.
const IDLE_SECONDS: u64 = 60;
/// People of the first tenant before the others are asked.
const WARMING: usize = 2_000;
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

/// Acme as it is, for a tenant whose policies say of themselves whose they are: no two tenants' are alike.
fn acme_of(number: usize) -> Files {
    let mut files = provisioning::everything();
    for (_, policy) in files.iter_mut().filter(|(path, _)| path.starts_with("policies/")) {
        *policy = String::from_utf8_lossy(policy).replace("@reason(\"", &format!("@reason(\"tenant {number}: ")).into_bytes();
    }
    files
}

/// What tenants there are.
#[derive(Clone, Copy)]
enum Shape {
    /// The example plugin in so many copies, and as many sets of three policies.
    Copies(usize),
    /// Two plugins, a schema, two tables and eleven policies for each, the policies their own.
    Acme,
}

async fn populate(database: &Database, tenants: usize, shape: Shape) -> Vec<Connection> {
    let server = Server::start(database).await;
    let modules: Vec<_> = if let Shape::Copies(plugins) = shape { (0..plugins).map(plugin).collect() } else { Vec::new() };
    let mut connections = Vec::new();
    for number in 0..tenants {
        let tenant = server.tenant(&format!("tenant-{number}"));
        let tenant = match shape {
            Shape::Copies(plugins) => {
                let policies = POLICIES.replace("@reason(\"", &format!("@reason(\"kind {}: ", number % plugins));
                tenant.with_plugin(modules[number % plugins].clone()).with_policies(&policies).create().await
            }
            Shape::Acme => {
                let tenant = tenant.create_empty().await;
                tenant.activate(&server, acme_of(number)).await;
                tenant
            }
        };
        connections.push(tenant.connection(&server, "Directory").await);
    }
    server.stop().await;
    connections
}

/// What was measured of one shape.
struct Measured {
    start_ms: f64,
    first_ms: f64,
    /// KiB a tenant.
    asked: f64,
    rate: f64,
    /// KiB a tenant.
    rested: f64,
    again_ms: f64,
}

async fn serve(tenants: usize, shape: Shape) -> Measured {
    let database = Database::create(Kind::Sqlite).await;
    let connections = populate(&database, tenants, shape).await;
    // The first start compiles nothing either: artefacts were kept when the revisions were checked.
    let started = Instant::now();
    let server = Process::serve_with(&database, &[("ROLECALL_REVISION_IDLE_SECONDS", &IDLE_SECONDS.to_string())]).await;
    let start_ms = started.elapsed().as_secs_f64() * 1e3;
    // All through one client's few connections: an open one takes more than a tenant does.
    let client = connections[0].scim.clone();
    let through_one =
        |connection: &Connection| Connection { scim: client.with_token(connection.scim.token.as_deref()), id: connection.id.clone() };
    let connections: Vec<_> = connections.iter().map(|connection| through_one(connection).at(&server.url)).collect();
    let person = move |number: usize| match shape {
        Shape::Copies(_) => user(&format!("person-{number}@tenants.example"), json!({"title": "Lead"})),
        Shape::Acme => provisioning::person(&format!("person-{number}@acme.example"), number),
    };
    let asked = Instant::now();
    connections[0].scim.post("/Users", person(tenants)).await.expect(201);
    let first_ms = asked.elapsed().as_secs_f64() * 1e3;
    // What a server takes that serves one tenant, code that is read from its file included, is no tenant's.
    let alone = connections[0].clone();
    let ask = move |number: usize| {
        let (connection, body) = (alone.clone(), person(tenants + 1 + number));
        async move { drop(connection.scim.post("/Users", body).await.expect(201)) }
    };
    load::make(CONCURRENT, WARMING, ask).await;
    let before = resident(server.id());
    let all = connections.clone();
    let ask = move |number: usize| {
        let (connection, body) = (all[number].clone(), person(number));
        async move { drop(connection.scim.post("/Users", body).await.expect(201)) }
    };
    let (_, rate) = load::make(CONCURRENT, tenants, ask).await;
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let each = |resident: f64| (resident - before) / tenants as f64;
    let asked = each(resident(server.id()));
    // Nobody asks any more: what is idle leaves memory.
    tokio::time::sleep(Duration::from_secs(2 * IDLE_SECONDS + 1)).await;
    let rested = each(resident(server.id()));
    let again = Instant::now();
    connections[1].scim.post("/Users", person(tenants)).await.expect(201);
    let again_ms = again.elapsed().as_secs_f64() * 1e3;
    server.terminate().await;
    Measured { start_ms, first_ms, asked, rate, rested, again_ms }
}

/// All shapes.
pub async fn measure(report: &mut Report) {
    let tenants = std::env::var("ROLECALL_BENCH_TENANTS").ok().and_then(|tenants| tenants.parse().ok()).unwrap_or(TENANTS);
    let one = serve(tenants, Shape::Copies(1)).await;
    let many = serve(tenants, Shape::Copies(PLUGINS)).await;
    let mut add = |name: &str, unit, of: fn(&Measured) -> f64| {
        report.add(format!("{tenants} tenants, {name}"), unit, ("one plugin", vec![of(&one)]), ("50 plugins", vec![of(&many)]));
    };
    add("start", "ms", |measured| measured.start_ms);
    add("first answer", "ms", |measured| measured.first_ms);
    add("memory of a tenant that was just asked", "KiB", |measured| measured.asked);
    add("first creates", "requests a second", |measured| measured.rate);
    add("memory of an idle tenant", "KiB", |measured| measured.rested);
    add("answer of an idle tenant", "ms", |measured| measured.again_ms);
    let acme = serve(tenants, Shape::Acme).await;
    let memory = (("just asked", vec![acme.asked]), ("idle", vec![acme.rested]));
    report.add(format!("{tenants} tenants like Acme, memory of each"), "KiB", memory.0, memory.1);
}
