//! Bytes that are no plugin: each is refused with what is wrong and what to do, and nothing panics.

use proptest::prelude::*;

use super::guest::{Guest, with_contract};
use super::limits::{FUNCTIONS_LIMIT, PLUGIN_BYTES_LIMIT};
use super::*;

fn refused(bytes: &[u8]) -> PluginError {
    let error = sandbox().load(bytes).unwrap_err();
    assert_goes_on(sandbox());
    error
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

#[test]
fn what_is_no_wasm_is_told_so() {
    for bytes in [&b""[..], b"\0as", b"\x7fELF\x02\x01\x01", b"PK\x03\x04", b"#!/bin/sh\n"] {
        assert_eq!(refused(bytes), PluginError::NotWasm);
    }
}

#[test]
fn machine_code_is_never_accepted() {
    let component = check::component(&good(), &Limits::default()).unwrap().0;
    let artefact = sandbox().machine.engine.precompile_component(&component).unwrap();
    assert_eq!(refused(&artefact), PluginError::Precompiled);
}

#[test]
fn malformed_and_truncated_modules_are_refused_with_the_place() {
    let module = good();
    let PluginError::Malformed { offset, .. } = refused(&module[..module.len() / 2]) else { panic!("not malformed") };
    assert!(offset > 8);
    let mut version = module.clone();
    version[4] = 9;
    assert_eq!(refused(&version).code(), "malformed");
    for length in (0..module.len()).step_by(13) {
        assert!(sandbox().load(&module[..length]).is_err(), "cut at {length}");
    }
    // A body that does not do what its type says passes the walk and not the compiler.
    let invalid = with_contract(&wat("(module (func (result i32) unreachable))"), "transformer");
    assert!(sandbox().load(&invalid).is_err());
}

#[test]
fn size_is_bounded_before_anything_is_read() {
    let mut bytes = good();
    bytes.resize(PLUGIN_BYTES_LIMIT + 1, 0);
    let (used, allowed) = (bytes.len() as u64, PLUGIN_BYTES_LIMIT as u64);
    assert_eq!(refused(&bytes), PluginError::TooBig { used, allowed });
}

#[test]
fn what_takes_long_to_compile_is_bounded() {
    let count = usize::try_from(FUNCTIONS_LIMIT).unwrap() + 1;
    let mut guest = Guest::transformer();
    guest.items = "(func)".repeat(count);
    assert_eq!(refused(&guest.module()), PluginError::TooManyFunctions { used: FUNCTIONS_LIMIT + 5, allowed: FUNCTIONS_LIMIT });
    let mut guest = Guest::transformer();
    guest.items = format!("(func {})", "(drop (i32.const 1))".repeat(400_000));
    assert_eq!(refused(&guest.module()).code(), "function_too_big");
    let parts = format!("(component {})", "(core module)".repeat(300));
    assert!(refused(&wat(&parts)).to_string().contains("more than 256 modules"));
}

#[test]
fn what_it_starts_with_is_bounded() {
    let PluginError::TooMuchMemory { used, .. } = refused(&wat("(module (memory 600))")) else { panic!("not the memory") };
    assert_eq!(used, 600 * 65_536);
    assert!(refused(&wat("(module (table 1000000 funcref))")).to_string().contains("1000000 table elements"));
    let mut two = Guest::transformer();
    two.items = "(memory $second 1)".into();
    assert_eq!(refused(&two.module()).code(), "compile");
}

#[test]
fn an_import_that_is_not_given_is_named_with_the_fix() {
    for (import, fix) in [
        ("wasi_snapshot_preview1", "wasm32-unknown-unknown"),
        ("__wbindgen_placeholder__", "JavaScript feature"),
        ("env", "left undefined"),
        ("something", "settings and tables"),
        ("rolecall:plugin/host@2.0.0", "settings and tables"),
        ("rolecall:plugin/hosts@1.0.0", "settings and tables"),
    ] {
        let mut guest = Guest::transformer();
        guest.imports = format!(r#"(import "{import}" "do_it" (func))"#);
        let error = refused(&with_contract(&guest.core(), "transformer"));
        assert!(
            matches!(&error, PluginError::UnknownImport { import: named, fix: told } if *named == format!("{import}.do_it") && told.contains(fix)),
            "{error}"
        );
    }
    let component = wat(r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#);
    assert!(matches!(refused(&component), PluginError::UnknownImport { import, .. } if import == "wasi:cli/environment@0.2.0"));
    let mut guest = Guest::transformer();
    guest.imports = r#"(import "rolecall:plugin/host@1.0.0" "secrets" (func))"#.into();
    assert_eq!(refused(&guest.module()).code(), "wrong_world");
}

#[test]
fn a_module_without_the_contract_or_of_no_world_is_refused() {
    assert_eq!(refused(&Guest::transformer().core()), PluginError::NoContract);
    assert_eq!(refused(&with_contract(&wat("(module)"), "transformer")).code(), "wrong_world");
    assert_eq!(refused(&with_contract(&Guest::transformer().core(), "proposer")).code(), "wrong_world");
    let PluginError::WrongWorld { detail } = refused(&wat("(component)")) else { panic!("not the world") };
    assert!(detail.contains("rolecall:plugin/info@1.0.0"), "{detail}");
    // The right names with other types.
    let other = r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f"))) (instance $info (export "describe" (func $f)) (export "validate-settings" (func $f)))
        (instance $hook (export "transform-user" (func $f)))
        (export "rolecall:plugin/info@1.0.0" (instance $info)) (export "rolecall:plugin/transform@1.0.0" (instance $hook)))"#;
    assert!(matches!(refused(&wat(other)).code(), "wrong_world" | "describe"));
    let mut rubbish = Guest::transformer().core();
    rubbish.extend_from_slice(&[0, 20, 16]);
    rubbish.extend_from_slice(b"component-type:x");
    rubbish.extend_from_slice(b"abc");
    assert_eq!(refused(&rubbish).code(), "wrong_world");
}

#[test]
fn a_plugin_that_fails_when_it_is_started_is_refused() {
    let mut guest = Guest::transformer();
    guest.items = "(func $start unreachable) (start $start)".into();
    let PluginError::Start(fault) = refused(&guest.module()) else { panic!("not the start") };
    assert_eq!(fault.code(), "trap");
    guest.items = "(func $start (loop $forever (br $forever))) (start $start)".into();
    assert!(matches!(refused(&guest.module()), PluginError::Start(PluginFault::Fuel { .. })));
}

#[test]
fn what_a_plugin_says_of_itself_is_checked() {
    let guest = Guest::new("transformer", &["userName", "not a path"]);
    let PluginError::Describe(fault) = refused(&guest.module()) else { panic!("not the description") };
    assert!(matches!(fault, PluginFault::InvalidAnswer { path, .. } if path == "/reads/1"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_sandbox_panic(position in 8_usize..4_000, byte: u8, cut in 0_usize..200) {
        let mut module = good();
        let position = position % module.len();
        module[position] = byte;
        module.truncate(module.len().saturating_sub(cut));
        if let Ok(plugin) = sandbox().load(&module) {
            // Whatever it says, it is an answer or a fault.
            let _ = with_call(|call| plugin.transform_user(call));
        }
    }
}
