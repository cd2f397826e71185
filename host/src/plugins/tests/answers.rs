//! What plugins answer, valid and not.

use super::guest::{ANSWER, Guest, IMPORT_LOG, IMPORT_LOOKUP, answer};
use super::*;

fn answered(build: impl FnOnce(&mut Guest) -> String) -> Result<Mapping, PluginFault> {
    let mut guest = Guest::transformer();
    guest.body = build(&mut guest);
    transform(&guest.module()).map(|transformed| transformed.mapping)
}

fn invalid(fault: PluginFault) -> (String, String) {
    match fault {
        PluginFault::InvalidAnswer { path, problem } => (path, problem),
        other => panic!("expected an invalid answer, got {other:?}"),
    }
}

#[test]
fn refusals_and_people_out_of_scope_are_answers() {
    let refused = answered(|guest| guest.refusal("employee_number_missing", Some("userName"), "no number")).unwrap();
    let expected = Mapping::Refused { code: "employee_number_missing".into(), path: Some("userName".into()), message: "no number".into() };
    assert_eq!(refused, expected);
    let refused = answered(|guest| guest.refusal("x", None, "no")).unwrap();
    assert_eq!(refused, Mapping::Refused { code: "x".into(), path: None, message: "no".into() });
    assert_eq!(answered(|guest| guest.out_of_scope("étudiant".as_bytes())).unwrap(), Mapping::OutOfScope { reason: "étudiant".into() });
}

#[test]
fn an_account_that_breaks_a_bound_is_a_fault_that_names_the_place() {
    let long = format!(r#"{{"user_name":"ann","title":"{}"}}"#, "x".repeat(1_025));
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    for (json, path, problem) in [
        ("{", "/account/json", "EOF while parsing"),
        (deep.as_str(), "/account/json", "recursion limit"),
        ("[]", "/account/json", "expected a JSON object"),
        ("{}", "/account/json", "missing field `user_name`"),
        (r#"{"user_name":"ann","shoe":"x"}"#, "/account/json", "no attribute `shoe`"),
        (r#"{"user_name":7}"#, "/account/json/user_name", "expected a text"),
        (r#"{"user_name":null}"#, "/account/json/user_name", "expected a text"),
        (r#"{"user_name":"ann","user_name":"bob"}"#, "/account/json", "duplicate field"),
        (r#"{"user_name":"ann","title":["x"]}"#, "/account/json/title", "expected a text"),
        (r#"{"user_name":""}"#, "/account/json/user_name", "is empty"),
        (r#"{"user_name":" ann"}"#, "/account/json/user_name", "white space"),
        (r#"{"user_name":"ann","title":"a\u0007"}"#, "/account/json/title", "control character"),
        (long.as_str(), "/account/json/title", "1025 bytes"),
        (r#"{"user_name":"ann","tags":"x"}"#, "/account/json/tags", "object of lists"),
        (r#"{"user_name":"ann","tags":{"site":"x"}}"#, "/account/json/tags/site", "list of texts"),
        (r#"{"user_name":"ann","tags":{"site":[1]}}"#, "/account/json/tags/site", "list of texts"),
        (r#"{"user_name":"ann","tags":{"site":[""]}}"#, "/account/json/tags/site", "is empty"),
    ] {
        let (at, what) = invalid(answered(|guest| guest.account(json.as_bytes(), &[])).unwrap_err());
        assert_eq!(at, path, "{json}");
        assert!(what.contains(problem), "{json}: {what}");
    }
}

#[test]
fn an_attribute_that_is_null_is_absent() {
    let Mapping::Account { shape, .. } = answered(|guest| guest.account(br#"{"user_name":"ann","title":null}"#, &[])).unwrap() else {
        panic!("no account")
    };
    assert_eq!(shape.title, None);
}

#[test]
fn provenance_is_of_attributes_that_are_there() {
    let json = br#"{"user_name":"ann","tags":{"site":["Ghent"]}}"#;
    for (provenance, path) in [
        (("title", "title"), "/account/provenance/0/attribute"),
        (("tags.team", "x"), "/account/provenance/0/attribute"),
        (("user_name", ""), "/account/provenance/0/source"),
    ] {
        assert_eq!(invalid(answered(|guest| guest.account(json, &[provenance])).unwrap_err()).0, path);
    }
}

#[test]
fn words_and_reasons_are_bounded() {
    let long = "x".repeat(1_025);
    assert_eq!(invalid(answered(|guest| guest.out_of_scope(b"")).unwrap_err()).0, "/out-of-scope");
    assert_eq!(invalid(answered(|guest| guest.out_of_scope(long.as_bytes())).unwrap_err()).0, "/out-of-scope");
    assert_eq!(invalid(answered(|guest| guest.refusal("Not A Word", None, "x")).unwrap_err()).0, "/plugin-error/code");
    assert_eq!(invalid(answered(|guest| guest.refusal("", None, "x")).unwrap_err()).0, "/plugin-error/code");
    assert_eq!(invalid(answered(|guest| guest.refusal("x", Some("a\nb"), "x")).unwrap_err()).0, "/plugin-error/path");
    assert_eq!(invalid(answered(|guest| guest.refusal("x", None, &long)).unwrap_err()).0, "/plugin-error/message");
}

#[test]
fn an_answer_outside_the_canonical_form_is_a_fault() {
    // Bytes that are no UTF-8, an address outside the memory, a variant that there is not, an answer outside the memory.
    let not_utf8 = answered(|guest| guest.out_of_scope(&[0xff, 0xfe])).unwrap_err();
    let outside = answered(|_| answer(&[0, 1, 0x7fff_0000, 16])).unwrap_err();
    let unknown = answered(|_| answer(&[0, 9, 0, 0])).unwrap_err();
    let nowhere = answered(|_| "(i32.const 0x7fff0000)".into()).unwrap_err();
    for fault in [not_utf8, outside, unknown, nowhere] {
        assert_eq!(fault.code(), "invalid_answer", "{fault:?}");
        assert!(!fault.is_infrastructure());
    }
}

#[test]
fn roles_are_nominated_with_their_rule() {
    let proposed = |build: &dyn Fn(&mut Guest) -> String| {
        let mut guest = Guest::proposer();
        guest.body = build(&mut guest);
        let plugin = sandbox().load(&guest.module()).unwrap();
        let account = AccountShape { user_name: "ann".into(), ..AccountShape::default() };
        with_call(|call| plugin.propose_roles(call, &account))
    };
    let answer = proposed(&|guest| guest.proposals(&[("a", Some("group x")), ("b", None)])).unwrap();
    let expected = [Proposal { role: "a".into(), because: Some("group x".into()) }, Proposal { role: "b".into(), because: None }];
    assert_eq!(answer.proposals, expected);
    assert_eq!(invalid(proposed(&|guest| guest.proposals(&[("a", None), ("", None)])).unwrap_err()).0, "/1/role");
    assert_eq!(invalid(proposed(&|guest| guest.proposals(&[("a", Some(""))])).unwrap_err()).0, "/0/because");
    assert_eq!(invalid(proposed(&|guest| guest.proposals(&[("a", None); 257])).unwrap_err()).0, "");
    let fault = proposed(&|guest| guest.refusal("table_missing", Some("teams"), "no table `teams`")).unwrap_err();
    assert_eq!(fault.to_string(), "the plugin gives no verdict (`table_missing` at `teams`): no table `teams`");
    assert!(proposed(&|guest| guest.proposals(&[])).unwrap().proposals.is_empty());
}

#[test]
fn a_plugin_may_look_up_its_tenants_tables_and_log() {
    for (table, key, expected) in
        [("teams", "eng", "appbilling"), ("teams", "ops", "none"), ("other", "eng", "none"), ("teams", "", "none")]
    {
        let mut guest = Guest::transformer();
        let [table_at, table_len] = guest.text(table.as_bytes());
        let [key_at, key_len] = guest.text(key.as_bytes());
        let none = guest.out_of_scope(b"none");
        guest.imports = format!("{IMPORT_LOG} {IMPORT_LOOKUP}");
        // Logs the value, then answers with column and value, which the host wrote one behind the other.
        guest.body = format!(
            "(call $lookup (i32.const {table_at}) (i32.const {table_len}) (i32.const {key_at}) (i32.const {key_len}) (i32.const 512))
             (if (result i32) (i32.eqz (i32.load8_u (i32.const 512))) (then {none}) (else
               (local.set $i (i32.load offset=4 (i32.const 512)))
               (call $log (i32.const 2) (i32.load offset=8 (local.get $i)) (i32.load offset=12 (local.get $i)))
               (i32.store (i32.const {ANSWER}) (i32.const 0)) (i32.store offset=4 (i32.const {ANSWER}) (i32.const 1))
               (i32.store offset=8 (i32.const {ANSWER}) (i32.load (local.get $i)))
               (i32.store offset=12 (i32.const {ANSWER}) (i32.add (i32.load offset=4 (local.get $i)) (i32.load offset=12 (local.get $i))))
               (i32.const {ANSWER})))"
        );
        let answer = transform(&guest.module()).unwrap();
        assert_eq!(answer.mapping, Mapping::OutOfScope { reason: expected.into() }, "{table} {key}");
        let logged: Vec<_> = answer.logs.iter().map(|line| (line.level.as_str(), line.message.as_str())).collect();
        assert_eq!(logged, if expected == "none" { vec![] } else { vec![("warn", "billing")] });
    }
}
