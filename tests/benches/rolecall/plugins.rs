//! A plugin call in a fresh sandbox, against the same Rust code called natively.

use std::sync::Arc;
use std::time::Duration;

use people_mapping::PeopleMapping;
use rolecall::crypto::SecretKey;
use rolecall::model::Instant;
use rolecall::plugins::{Artefacts, Call, Plugin, Sandbox, SandboxConfig, Tables, Usage};
use rolecall_plugin::run::{self, Question};
use rolecall_plugin::{Host, Level, Plugin as _, Row};
use rolecall_tests::wasm;
use serde_json::{Value, json};

use crate::report::{ROUNDS, Report, at};

/// No tables, no log: the example plugin asks for neither.
struct Nothing;

impl Host for Nothing {
    fn log(&self, _: Level, _: &str) {}

    fn lookup(&self, _: &str, _: &str) -> Option<Row> {
        None
    }
}

/// A person of about 200 bytes.
pub fn small() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Mara.Winter@acme.example", "active": true,
        "name": {"givenName": "Mara", "familyName": "Winter"},
    })
}

/// A person of about 4 KiB, as a directory with everything filled in sends one.
pub fn large() -> Value {
    let addresses: Vec<Value> = (0..12)
        .map(|number| {
            json!({"type": "work", "streetAddress": format!("{number} Harbour Road, Building {number}"), "locality": "Port Example",
                   "region": "North Coast", "postalCode": format!("00{number}"), "country": "XX", "formatted": "Harbour Road, Port Example"})
        })
        .collect();
    let emails: Vec<Value> =
        (0..8).map(|number| json!({"value": format!("mara.winter.{number}@acme.example"), "type": "other", "primary": false})).collect();
    let phones: Vec<Value> = (0..8).map(|number| json!({"value": format!("+1 555 010{number}"), "type": "work"})).collect();
    let mut user = small();
    let more = json!({
        "displayName": "Mara Winter", "title": "Harbour pilot", "userType": "employee", "locale": "en-GB", "addresses": addresses,
        "emails": emails, "phoneNumbers": phones,
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
            {"employeeNumber": "H-17", "department": "Harbour", "costCenter": "4711", "division": "Coast", "organization": "Acme"},
    });
    if let (Value::Object(user), Value::Object(more)) = (&mut user, more) {
        user.extend(more);
    }
    user
}

/// What the example plugin reads of a person, as the host projects it.
pub fn projected(user: &Value) -> Value {
    let Value::Object(user) = user else { return Value::Null };
    let reads = |name: &str| PeopleMapping::READS.contains(&name);
    Value::Object(user.iter().filter(|(name, _)| reads(name)).map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// A person of 4 KiB of which the example plugin reads everything.
fn large_and_read() -> Value {
    let mut user = projected(&large());
    let emails: Vec<Value> =
        (0..44).map(|number| json!({"value": format!("mara.winter.{number}@acme.example"), "type": "other", "primary": false})).collect();
    user["emails"] = json!(emails);
    user
}

/// Calls both ways, for each person: whole calls, and where their time goes; then the same mapping in the other languages.
pub fn measure(report: &mut Report) {
    let sandbox = Sandbox::new(&SandboxConfig::default()).expect("the sandbox can be made");
    rust(report, &sandbox);
    for name in ["people_mapping", "people_mapping_js", "people_mapping_python"] {
        language(report, &sandbox, name);
        started(report, name);
    }
}

/// What a start takes until the plugin can be called: compiled, and read back from what an earlier start has kept.
fn started(report: &mut Report, name: &str) {
    /// Starts: compiling an interpreter takes seconds.
    const STARTS: usize = 3;
    let bytes = wasm::plugin(name);
    let (mut compiled, mut read_back) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let artefacts = Artefacts::new(folder.path().to_owned(), SecretKey::random());
        for times in [&mut compiled, &mut read_back] {
            let config = SandboxConfig { artefacts: Some(artefacts.clone()), ..SandboxConfig::default() };
            let sandbox = Sandbox::new(&config).expect("the sandbox can be made");
            let started = std::time::Instant::now();
            sandbox.load(&bytes).expect("the example plugin is a plugin");
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    report.add(format!("{name}, start"), "ms", ("read back", read_back), ("compiled", compiled));
}

/// Calls of each round, of which the slowest hundredth is looked at.
const CALLS_A_ROUND: usize = 1_000;

/// Every call is a fresh sandbox: half and all but a hundredth of the calls took no longer than this, and what one used.
fn language(report: &mut Report, sandbox: &Sandbox, name: &str) {
    let started = std::time::Instant::now();
    let plugin = sandbox.load(&wasm::plugin(name)).expect("the example plugin is a plugin");
    eprintln!("{name}: compiled in {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let (tables, at) = (Arc::new(Tables::new()), Instant(1_790_000_000_000_000).timestamp());
    for (size, user) in [("200-byte", small()), ("4 KiB", large())] {
        let call =
            Call { as_of: at, connection: "connection", settings: &"{}".into(), user: &user, groups: &["engineering"], tables: &tables };
        let (mut half, mut most) = (Vec::new(), Vec::new());
        let mut usage = Usage::default();
        for _ in 0..ROUNDS {
            let mut times: Vec<f64> = (0..CALLS_A_ROUND)
                .map(|_| {
                    let started = std::time::Instant::now();
                    let said = plugin.transform_user(&call).expect("the plugin answers");
                    let took = started.elapsed().as_secs_f64() * 1e6;
                    usage = said.usage;
                    took
                })
                .collect();
            times.sort_unstable_by(f64::total_cmp);
            half.push(times[CALLS_A_ROUND / 2]);
            most.push(times[CALLS_A_ROUND * 99 / 100]);
        }
        report.add(format!("{name}, {size} person"), "µs a call, fresh sandbox", ("p50", half), ("p99", most));
        #[expect(clippy::cast_precision_loss, reason = "far below where a float would round")]
        let used = (vec![usage.fuel as f64 / 1e3], vec![usage.memory_bytes as f64 / 1024.0]);
        report.add(format!("{name}, {size} person: used"), "thousand units, KiB", ("fuel", used.0), ("memory", used.1));
    }
}

fn rust(report: &mut Report, sandbox: &Sandbox) {
    let plugin = sandbox.load(&wasm::plugin("people_mapping")).expect("the example plugin is a plugin");
    let (tables, settings) = (Arc::new(Tables::new()), "{}");
    for (size, user) in [("200-byte", small()), ("4 KiB", large()), ("4 KiB, all read,", large_and_read())] {
        let at = Instant(1_790_000_000_000_000).timestamp();
        let call = Call {
            as_of: at,
            connection: "connection",
            settings: &settings.into(),
            user: &user,
            groups: &["engineering"],
            tables: &tables,
        };
        let question = Question {
            as_of: at.to_string(),
            connection: "connection".into(),
            settings: settings.into(),
            user: projected(&user).to_string(),
            groups: vec!["engineering".into()],
        };
        plugin.transform_user(&call).expect("the plugin answers");
        run::transform::<PeopleMapping>(&question, &Nothing).expect("the plugin answers");
        report.calls(
            format!("transform-user, {size} person"),
            ("fresh sandbox", || plugin.transform_user(&call)),
            ("native", || run::transform::<PeopleMapping>(&question, &Nothing)),
        );
        instances(report, size, &plugin, &call, &question);
    }
}

/// A fresh instance for each call against one that is used again, and the guest's computing against the same code native.
fn instances(report: &mut Report, size: &str, plugin: &Plugin, call: &Call<'_>, question: &Question) {
    /// Calls of a round.
    const CALLS: usize = 4_000;
    /// Calls in one instance: its allocator never goes back, so that more of them touch memory that no fresh one does.
    const REUSES: usize = 8;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let (mut fresh_p50, mut fresh_p99, mut reused_p50, mut reused_p99) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut guest, mut native) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let timed = |run: &dyn Fn()| {
            let started = std::time::Instant::now();
            run();
            us(started.elapsed())
        };
        let fresh: Vec<f64> = (0..CALLS).map(|_| timed(&|| drop(std::hint::black_box(plugin.transform_user(call))))).collect();
        // The first call in an instance meets it fresh.
        let again = || plugin.time_reused(call, REUSES + 1).expect("the plugin answers").split_off(1);
        let reused: Vec<_> = (0..CALLS / REUSES).flat_map(|_| again()).collect();
        let run_native = || drop(std::hint::black_box(run::transform::<PeopleMapping>(question, &Nothing)));
        let natively: Vec<f64> = (0..CALLS).map(|_| timed(&run_native)).collect();
        let whole: Vec<f64> = reused.iter().map(|call| us(call.whole)).collect();
        let inside: Vec<f64> = reused.iter().map(|call| us(call.guest)).collect();
        fresh_p50.push(at(&fresh, 0.5));
        fresh_p99.push(at(&fresh, 0.99));
        reused_p50.push(at(&whole, 0.5));
        reused_p99.push(at(&whole, 0.99));
        guest.push(at(&inside, 0.5));
        native.push(at(&natively, 0.5));
    }
    report.add(format!("instance, {size} person, p50"), "µs a call", ("fresh", fresh_p50), ("reused", reused_p50));
    report.add(format!("instance, {size} person, p99"), "µs a call", ("fresh", fresh_p99), ("reused", reused_p99));
    report.add(format!("computing, {size} person, p50"), "µs a call", ("guest", guest), ("native", native));
}
