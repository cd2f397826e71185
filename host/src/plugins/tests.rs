//! The sandbox with well-behaved, careless and hostile plugins. After each hostile call a good one must still be answered.

mod answers;
mod artefacts;
mod canary;
mod costs;
mod fuzz;
mod guest;
mod hostile;
mod uploads;

use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use self::guest::{Guest, echo};
use super::*;

/// One sandbox for all tests that need no other limits, as one process has.
fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(&SandboxConfig::default()).unwrap())
}

fn tables() -> Arc<Tables> {
    let row = BTreeMap::from([("app".to_owned(), "billing".to_owned())]);
    let wide = (0..500).map(|column| (format!("{column}"), String::new())).collect();
    Arc::new(Tables::from([("teams".to_owned(), BTreeMap::from([("eng".to_owned(), row), ("wide".to_owned(), wide)]))]))
}

/// A call about an invented person.
fn with_call<R>(run: impl FnOnce(&Call<'_>) -> R) -> R {
    let user = json!({"userName": "ann@acme.example", "title": "Lead"});
    let as_of = "2026-03-01T09:30:15.25Z".parse().unwrap();
    let groups = ["eng", "grp-eng-prod-rw"];
    run(&Call { as_of, connection: "conn-1", settings: &r#"{"a":1}"#.into(), user: &user, groups: &groups, tables: &tables() })
}

fn transform_in(sandbox: &Sandbox, module: &[u8]) -> Result<Transformed, PluginFault> {
    let plugin = sandbox.load(module).unwrap();
    with_call(|call| plugin.transform_user(call))
}

fn transform(module: &[u8]) -> Result<Transformed, PluginFault> {
    transform_in(sandbox(), module)
}

fn good() -> Vec<u8> {
    let mut guest = Guest::transformer();
    guest.body = guest.account(br#"{"user_name":"ann","tags":{"site":["Ghent"]}}"#, &[("user_name", "userName"), ("tags.site", "a rule")]);
    guest.module()
}

fn assert_goes_on(sandbox: &Sandbox) {
    let Mapping::Account { shape, .. } = transform_in(sandbox, &good()).unwrap().mapping else { panic!("no account") };
    assert_eq!(shape.user_name, "ann");
}

/// Whether what takes long is asked for: `make soak`.
fn is_soak() -> bool {
    std::env::var_os("ROLECALL_TEST_SOAK").is_some()
}

/// Whether the test runs in a process of its own, as one must that measures its process. If not, such a process is started and has to pass.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "ROLECALL_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|alone| alone == test) {
        return true;
    }
    let this = std::env::current_exe().unwrap();
    let run = Command::new(this).args(["--exact", test, "--nocapture"]).env(ALONE, test).output().unwrap();
    let said = [run.stdout, run.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(run.status.success() && said.contains("1 passed"), "{}: {said}", run.status);
    eprintln!("{said}");
    false
}

#[test]
fn the_released_contract_is_frozen() {
    // Change the contract in a new folder: plugins that were built against this one are out there.
    let contract = include_bytes!("../../../plugin-sdk/wit/v1/plugin.wit");
    assert_eq!(sha256_hex(contract), "15ca833144497222eeec502bc9ff9484bc6f597d6d12a814b1c6e71e40a00745");
}

#[test]
fn a_plugin_says_what_it_is() {
    let plugin = sandbox().load(&good()).unwrap();
    let description = Description { name: "test".into(), version: "1".into(), reads: vec!["userName".into()] };
    assert_eq!(plugin.description(), &description);
    assert_eq!(plugin.digest(), sha256_hex(&good()));
    assert!(plugin.transforms() && !plugin.proposes());
    let fault = with_call(|call| plugin.propose_roles(call, &AccountShape::default())).unwrap_err();
    assert_eq!(fault.code(), "missing_hook");
}

#[test]
fn an_account_comes_with_its_provenance() {
    let answer = transform(&good()).unwrap();
    let Mapping::Account { shape, provenance } = answer.mapping else { panic!("no account") };
    assert_eq!(shape.tags["site"], ["Ghent".to_owned()].into());
    assert_eq!(provenance["user_name"], "userName");
    assert_eq!(provenance["tags.site"], "a rule");
    assert!(answer.logs.is_empty());
}

#[test]
fn a_plugin_is_told_the_question_and_sees_of_the_person_what_it_declared() {
    for (parameter, expected) in [
        ("user", r#"{"userName":"ann@acme.example"}"#),
        ("as_of", "2026-03-01T09:30:15Z"),
        ("connection", "conn-1"),
        ("settings", r#"{"a":1}"#),
    ] {
        let mut guest = Guest::transformer();
        guest.body = echo(parameter);
        assert_eq!(transform(&guest.module()).unwrap().mapping, Mapping::OutOfScope { reason: expected.into() }, "{parameter}");
    }
    // The second of the groups: a list of addresses and lengths.
    let mut guest = Guest::transformer();
    guest.body = format!(
        "(local.set $user_len (i32.load offset=12 (local.get $groups))) (local.set $user (i32.load offset=8 (local.get $groups))) {}",
        echo("user")
    );
    assert_eq!(transform(&guest.module()).unwrap().mapping, Mapping::OutOfScope { reason: "grp-eng-prod-rw".into() });
}

#[test]
fn every_call_starts_from_nothing_and_costs_the_same_fuel() {
    // Counts its calls in memory and refuses the second.
    let mut guest = Guest::transformer();
    let refused = guest.refusal("second_call", None, "the instance was used before");
    let accepted = guest.out_of_scope(b"first call");
    guest.body = format!(
        "(i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1)))
         (if (result i32) (i32.eq (i32.load (i32.const 512)) (i32.const 1)) (then {accepted}) (else {refused}))"
    );
    let first = transform(&guest.module()).unwrap();
    assert_eq!(first.mapping, Mapping::OutOfScope { reason: "first call".into() });
    for _ in 0..5 {
        assert_eq!(transform(&guest.module()).unwrap(), first);
    }
    assert!(first.usage.fuel > 0);
}

#[test]
fn settings_are_validated_by_the_plugin() {
    let mut guest = Guest::transformer();
    assert_eq!(sandbox().load(&guest.module()).unwrap().validate_settings("{}"), Ok(Ok(())));
    guest.validate = guest.refusal("settings_invalid", Some("extension"), "expected a URN");
    let refused = sandbox().load(&guest.module()).unwrap().validate_settings("{}").unwrap();
    assert_eq!(refused, Err("`extension`: expected a URN".into()));
    let problem = sandbox().load(&guest.module()).unwrap().check_settings("{}").unwrap_err();
    assert_eq!(
        (problem.code(), &*problem.to_string()),
        ("settings_refused", "the plugin refuses its settings: `extension`: expected a URN")
    );
    guest.validate = "unreachable".into();
    assert_eq!(sandbox().load(&guest.module()).unwrap().validate_settings("{}").unwrap_err().code(), "trap");
    // A panic is logged before it is a trap, and the trap says nothing of it.
    let [words, length] = guest.text(b"panicked at src/lib.rs:27:24");
    guest.imports = guest::IMPORT_LOG.into();
    guest.validate = format!("(call $log (i32.const 3) (i32.const {words}) (i32.const {length})) unreachable");
    let problem = sandbox().load(&guest.module()).unwrap().check_settings("{}").unwrap_err();
    assert!(problem.to_string().ends_with("; it logged `error: panicked at src/lib.rs:27:24`"), "{problem}");
    assert_eq!(problem.code(), "settings_fault");
}

#[test]
fn the_same_bytes_are_compiled_once_while_they_are_in_use() {
    let sandbox = Sandbox::new(&SandboxConfig { concurrency: 1, ..SandboxConfig::default() }).unwrap();
    let module = good();
    let plugins: Vec<_> = std::thread::scope(|scope| {
        let loading: Vec<_> = (0..4).map(|_| scope.spawn(|| sandbox.load(&module).unwrap())).collect();
        loading.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(plugins.iter().all(|plugin| Arc::ptr_eq(plugin, &plugins[0])));
    let gone = Arc::downgrade(&plugins[0]);
    drop(plugins);
    assert!(gone.upgrade().is_none());
    let other = Guest { body: "(i32.const 0)".into(), ..Guest::transformer() }.module();
    let other = sandbox.load(&other).unwrap();
    assert_eq!(lock(&sandbox.loaded).len(), 1, "what nobody uses is forgotten");
    drop(other);
}

#[test]
fn a_plugin_may_outlive_the_sandbox_that_loaded_it() {
    let plugin = Sandbox::new(&SandboxConfig { concurrency: 1, ..SandboxConfig::default() }).unwrap().load(&good()).unwrap();
    assert!(with_call(|call| plugin.transform_user(call)).is_ok());
}
