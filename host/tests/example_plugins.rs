//! The example plugins as they are built and uploaded, in the sandbox: they answer what the same code answers natively.
#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use rolecall::mapping::{AccountShape, Mapping};
use rolecall::plugins::{Call, Plugin, Proposal, Sandbox, SandboxConfig, Tables};
use rolecall_plugin::run::{Question, Reply};
use rolecall_plugin::{Host, Level, Row};
use serde_json::{Value, json};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const ACME: &str = "urn:ietf:params:scim:schemas:extension:acme:2.0:User";
const AS_OF: &str = "2026-03-01T09:00:00Z";

/// The plugins, compiled once for all tests.
struct Examples {
    people_mapping: Arc<Plugin>,
    group_roles: Arc<Plugin>,
}

fn examples() -> &'static Examples {
    static EXAMPLES: OnceLock<Examples> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let sandbox = Sandbox::new(&SandboxConfig::default()).unwrap();
        let load = |name: &str| {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/plugins/{name}.wasm"));
            let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("`{}`: {error}; run scripts/build-plugins", file.display()));
            sandbox.load(&bytes).unwrap_or_else(|error| panic!("`{name}`: {error}"))
        };
        Examples { people_mapping: load("people_mapping"), group_roles: load("group_roles") }
    })
}

fn settings() -> String {
    json!({
        "extension": ACME,
        "contractor_email_suffixes": ["@contractors.acme.example"],
        "require_employee_number": true,
        "login_domain": "acme.example",
        "test_account_prefixes": ["test-"]
    })
    .to_string()
}

fn tables() -> Arc<Tables> {
    let table = |column: &str, rows: &[(&str, &str)]| -> BTreeMap<String, BTreeMap<String, String>> {
        rows.iter().map(|(key, value)| ((*key).to_owned(), BTreeMap::from([(column.to_owned(), (*value).to_owned())]))).collect()
    };
    Arc::new(Tables::from([
        ("teams".to_owned(), table("app", &[("eng", "billing"), ("data", "lake")])),
        ("levels".to_owned(), table("access", &[("rw", "deployer"), ("ro", "viewer")])),
    ]))
}

fn ask<R>(user: &Value, settings: &str, groups: &[&str], run: impl FnOnce(&Call<'_>) -> R) -> R {
    run(&Call { as_of: AS_OF.parse().unwrap(), connection: "conn-1", settings: &settings.into(), user, groups, tables: &tables() })
}

struct Native(Arc<Tables>);

impl Host for Native {
    fn log(&self, _: Level, _: &str) {}
    fn lookup(&self, table: &str, key: &str) -> Option<Row> {
        let row = self.0.get(table)?.get(key)?;
        Some(Row(row.iter().map(|(column, value)| (column.clone(), value.clone())).collect()))
    }
}

fn question(user: &Value, settings: &str, groups: &[&str]) -> Question {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Question { as_of: AS_OF.into(), connection: "conn-1".into(), settings: settings.into(), user: user.to_string(), groups }
}

/// What the mapping answers natively, in the host's types.
fn native_mapping(user: &Value, settings: &str) -> Mapping {
    let question = question(user, settings, &[]);
    match rolecall_plugin::run::transform::<people_mapping::PeopleMapping>(&question, &Native(tables())) {
        Ok(Reply::Account { json, provenance }) => {
            Mapping::Account { shape: serde_json::from_str(&json).unwrap(), provenance: provenance.into_iter().collect() }
        }
        Ok(Reply::OutOfScope(reason)) => Mapping::OutOfScope { reason },
        Err(refusal) => Mapping::Refused { code: refusal.code, path: refusal.path, message: refusal.message },
    }
}

#[test]
fn a_person_is_mapped_end_to_end() {
    let people = &examples().people_mapping;
    assert_eq!(people.description().name, "people-mapping");
    assert!(people.transforms() && !people.proposes());
    let user = json!({
        "userName": "José.Müller@acme.onmicrosoft.example",
        "name": {"givenName": "José", "familyName": "Müller"},
        "emails": [{"type": "work", "value": "jose.mueller@acme.example"}],
        "phoneNumbers": [{"value": "+1 555 0100"}],
        ENTERPRISE: {"employeeNumber": "1007", "manager": {"value": "m-1"}},
        ACME: {"department": "Research", "costCenter": "CC-9"}
    });
    let answer = ask(&user, &settings(), &[], |call| people.transform_user(call)).unwrap();
    let Mapping::Account { shape, provenance } = &answer.mapping else { panic!("no account: {answer:?}") };
    assert_eq!(shape.user_name, "jose.muller@acme.example");
    assert_eq!((shape.department.as_deref(), shape.cost_center.as_deref()), (Some("Research"), Some("CC-9")));
    assert_eq!(shape.tags["worker_type"], ["employee".to_owned()].into());
    assert_eq!(provenance["department"], format!("{ACME}:department"));
    let refused = ask(&json!({"userName": "bo@acme.example"}), &settings(), &[], |call| people.transform_user(call)).unwrap();
    assert!(matches!(refused.mapping, Mapping::Refused { code, .. } if code == "employee_number_missing"));
    let outside = ask(&json!({"userName": "test-1"}), &settings(), &[], |call| people.transform_user(call)).unwrap();
    assert!(matches!(outside.mapping, Mapping::OutOfScope { .. }));
}

#[test]
fn settings_are_judged_by_the_plugin() {
    let people = &examples().people_mapping;
    assert_eq!(people.validate_settings(&settings()), Ok(Ok(())));
    let refused = people.validate_settings(r#"{"login_domain": "@acme.example"}"#).unwrap().unwrap_err();
    assert!(refused.starts_with("`login_domain`: expected an ASCII domain"), "{refused}");
    let unknown = people.validate_settings(r#"{"logindomain": "acme.example"}"#).unwrap().unwrap_err();
    assert!(unknown.contains("unknown field `logindomain`"), "{unknown}");
}

#[test]
fn groups_nominate_roles_end_to_end() {
    let roles = &examples().group_roles;
    assert!(roles.proposes() && !roles.transforms());
    let groups = ["all-staff", "grp-data-test-ro", "grp-eng-prod-rw", "grp-ops-prod-rw"];
    let account = AccountShape { user_name: "ann".into(), ..AccountShape::default() };
    let answer = ask(&json!({"userName": "ann"}), "{}", &groups, |call| roles.propose_roles(call, &account)).unwrap();
    let native = rolecall_plugin::run::propose::<group_roles::GroupRoles>(
        &question(&json!({}), "{}", &groups),
        r#"{"user_name":"ann"}"#,
        &Native(tables()),
    );
    let native: Vec<_> = native.unwrap().into_iter().map(|found| Proposal { role: found.role, because: found.because }).collect();
    assert_eq!(answer.proposals, native);
    assert_eq!(native.iter().map(|found| found.role.as_str()).collect::<Vec<_>>(), ["billing-prod-deployer", "lake-test-viewer"]);
    assert_eq!(answer.logs.len(), 1, "the team that is in no table is told: {:?}", answer.logs);
}

#[test]
fn a_panic_is_a_fault_whose_words_go_to_the_log_alone() {
    // Settings that were never validated can't be read: the plugin gives no verdict.
    let people = &examples().people_mapping;
    let fault = ask(&json!({"userName": "ann"}), "not json", &[], |call| people.transform_user(call)).unwrap_err();
    assert_eq!(fault.code(), "trap");
    assert!(!fault.is_infrastructure());
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-ZéüßłØžЖγ王 .'@-]{0,24}", Just("ana@contractors.acme.example".to_owned()), "test-[a-z]{1,5}", "\\PC{0,12}"]
}

fn user() -> impl Strategy<Value = Value> {
    let optional = || proptest::option::of(text());
    (text(), optional(), optional(), optional(), optional(), optional(), optional()).prop_map(
        |(user_name, given, family, email, number, department, custom)| {
            let mut user = json!({"userName": user_name, "name": {}, ENTERPRISE: {}, ACME: {}});
            let texts = [(("name", "givenName"), given), (("name", "familyName"), family), ((ENTERPRISE, "employeeNumber"), number)];
            for ((attribute, sub), text) in
                texts.into_iter().chain([((ENTERPRISE, "department"), department), ((ACME, "department"), custom)])
            {
                if let Some(text) = text {
                    user[attribute][sub] = text.into();
                }
            }
            if let Some(email) = email {
                user["emails"] = json!([{"type": "work", "value": email}]);
            }
            user
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sandbox_answers_what_the_code_answers_natively(user in user()) {
        let sandboxed = ask(&user, &settings(), &[], |call| examples().people_mapping.transform_user(call));
        prop_assert_eq!(sandboxed.unwrap().mapping, native_mapping(&user, &settings()));
    }
}
