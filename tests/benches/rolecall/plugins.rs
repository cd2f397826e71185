//! A plugin call in a fresh sandbox, against the same Rust code called natively.

use std::sync::Arc;

use people_mapping::PeopleMapping;
use rolecall::model::Instant;
use rolecall::plugins::{Call, Sandbox, SandboxConfig, Tables};
use rolecall_plugin::run::{self, Question};
use rolecall_plugin::{Host, Level, Row};
use rolecall_tests::wasm;
use serde_json::{Value, json};

use crate::report::Report;

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

/// Calls both ways, for both people.
pub fn measure(report: &mut Report) {
    let sandbox = Sandbox::new(&SandboxConfig::default()).expect("the sandbox can be made");
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
