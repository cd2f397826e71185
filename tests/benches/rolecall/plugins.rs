//! A plugin call in a fresh sandbox, against the same Rust code called natively.

use std::sync::Arc;

use people_mapping::PeopleMapping;
use rolecall::model::Instant;
use rolecall::plugins::{Call, Sandbox, SandboxConfig, Tables, Usage};
use rolecall_plugin::run::{self, Question};
use rolecall_plugin::{Host, Level, Row};
use rolecall_tests::wasm;
use serde_json::{Value, json};

use crate::report::{ROUNDS, Report};

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

/// Calls both ways, for both people; then the same mapping in the other languages.
pub fn measure(report: &mut Report) {
    let sandbox = Sandbox::new(&SandboxConfig::default()).expect("the sandbox can be made");
    rust(report, &sandbox);
    for name in ["people_mapping", "people_mapping_js", "people_mapping_python"] {
        language(report, &sandbox, name);
    }
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
        let call = Call { as_of: at, connection: "connection", settings: "{}", user: &user, groups: &["engineering"], tables: &tables };
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
    for (size, user) in [("200-byte", small()), ("4 KiB", large())] {
        let at = Instant(1_790_000_000_000_000).timestamp();
        let call = Call { as_of: at, connection: "connection", settings, user: &user, groups: &["engineering"], tables: &tables };
        let question = Question {
            as_of: at.to_string(),
            connection: "connection".into(),
            settings: settings.into(),
            user: user.to_string(),
            groups: vec!["engineering".into()],
        };
        plugin.transform_user(&call).expect("the plugin answers");
        run::transform::<PeopleMapping>(&question, &Nothing).expect("the plugin answers");
        report.calls(
            format!("transform-user, {size} person"),
            ("fresh sandbox", || plugin.transform_user(&call)),
            ("native", || run::transform::<PeopleMapping>(&question, &Nothing)),
        );
    }
}
