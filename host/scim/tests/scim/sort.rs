//! Sorting: cases from `tests/cases/sorts.json`, and that keys are an order.

use proptest::prelude::*;
use proptest::sample::select;
use rolecall_scim::ResourceKind;
use rolecall_scim::resource::{Extras, view};
use rolecall_scim::schema::{Schema, Schemas};
use rolecall_scim::sort::{SORT_TEXT_CHARS_LIMIT, Sort, SortKey};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cases::{ErrorCase, document, load, outcome};

const USER: ResourceKind = ResourceKind::User;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SortCase {
    by: Option<String>,
    sort: Option<String>,
    #[serde(default)]
    order: Vec<String>,
    error: Option<ErrorCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SortFile {
    people: Map<String, Value>,
    meta: Map<String, Value>,
    cases: Vec<SortCase>,
}

#[test]
fn sorts() {
    let schemas = Schemas::default();
    let file: SortFile = load("sorts.json");
    let seen = |name: &str, body: &Value| {
        let created = file.meta[name].as_str().unwrap().to_owned();
        view(USER, &document(USER, body), Extras { id: name, created, ..Extras::default() })
    };
    let people: Vec<(&String, Map<String, Value>)> = file.people.iter().map(|(name, body)| (name, seen(name, body))).collect();
    for case in &file.cases {
        let name = format!("{:?} {:?}", case.by, case.sort);
        let result = Sort::parse(&schemas, &[USER], case.by.as_deref(), case.sort.as_deref());
        let Some(sort) = outcome(&name, case.error.as_ref(), result) else { continue };
        assert_eq!(sort.is_some(), case.by.is_some(), "{name}");
        let mut order: Vec<&(&String, Map<String, Value>)> = people.iter().collect();
        if let Some(sort) = sort {
            // What has one key keeps its order.
            order.sort_by_key(|(_, person)| sort.key(&schemas, USER, person));
        }
        assert_eq!(order.into_iter().map(|(name, _)| *name).collect::<Vec<_>>(), case.order.iter().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn what_a_kind_does_not_have_is_absent() {
    let schemas = Schemas::default();
    let both = ResourceKind::ALL;
    let sort = Sort::parse(&schemas, &both, Some("userName"), None).unwrap().unwrap();
    let group = json!({"displayName": "A", "userName": "never looked at"});
    let key = |kind, resource: &Value| sort.key(&schemas, kind, resource.as_object().unwrap());
    assert!(key(USER, &json!({"userName": "z"})) < key(ResourceKind::Group, &group));
    assert!(Sort::parse(&schemas, &[ResourceKind::Group], Some("userName"), None).is_err());
}

fn odd() -> Schemas {
    let schema: Schema = serde_json::from_value(json!({"id": "urn:example:acme:odd:1.0:User", "name": "Odd", "attributes": [
        {"name": "number", "type": "decimal"}, {"name": "when", "type": "dateTime"}, {"name": "exact", "caseExact": true},
        {"name": "flag", "type": "boolean"}, {"name": "numbers", "type": "integer", "multiValued": true},
        {"name": "pin", "returned": "never"}, {"name": "secret", "type": "complex", "returned": "never", "subAttributes": [{"name": "hint"}]},
    ]}))
    .unwrap();
    Schemas::with_extensions(vec![schema]).unwrap()
}

fn key(name: &str, descending: bool, value: &Value) -> SortKey {
    let schemas = odd();
    let sort = Sort::parse(&schemas, &[USER], Some(name), Some(if descending { "descending" } else { "ascending" })).unwrap().unwrap();
    let resource = json!({"urn:example:acme:odd:1.0:User": {name: value}});
    sort.key(&schemas, USER, resource.as_object().unwrap())
}

#[test]
fn values_are_compared_in_their_type() {
    let ascending = |name: &str, values: &[Value]| {
        for pair in values.windows(2) {
            assert!(key(name, false, &pair[0]) < key(name, false, &pair[1]), "{name}: {pair:?}");
            assert!(key(name, true, &pair[0]) > key(name, true, &pair[1]), "{name}, descending: {pair:?}");
        }
    };
    let whole = 9_007_199_254_740_993_i64;
    ascending(
        "number",
        &[json!(-1e300), json!(-2), json!(0.5), json!(9), json!(10), json!(whole - 1), json!(whole), json!(whole + 1), json!(1e30)],
    );
    ascending("number", &[json!(u64::MAX - 1), json!(u64::MAX), json!(1e20), Value::Null]);
    assert_eq!(key("number", false, &json!(-0.0)), key("number", false, &json!(0)));
    assert_eq!(key("number", false, &json!(2.0)), key("number", false, &json!(2)));
    ascending("when", &[json!("2026-01-01T00:00:00+09:00"), json!("2025-12-31T23:00:00Z"), json!("2025-12-31T23:00:00.5Z"), Value::Null]);
    ascending("exact", &[json!("A"), json!("B"), json!("a"), json!("é"), Value::Null]);
    ascending("flag", &[json!(false), json!(true), Value::Null]);
    ascending("numbers", &[json!([1, 9]), json!([2]), json!([])]);
    // What is behind the bound makes no difference, what is within it does.
    let long = "é".repeat(SORT_TEXT_CHARS_LIMIT - 1);
    assert_eq!(key("exact", false, &json!(format!("{long}ab"))), key("exact", false, &json!(format!("{long}ac"))));
    assert!(key("exact", false, &json!(format!("{long}a"))) < key("exact", false, &json!(format!("{long}b"))));
}

#[test]
fn what_is_never_returned_is_no_way_to_guess_it() {
    for by in ["pin", "secret", "secret.hint"] {
        assert!(Sort::parse(&odd(), &[USER], Some(by), None).is_err(), "{by}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        (-3_i32..3).prop_map(|number| Value::from(f64::from(number) / 2.0)),
        select(vec!["a", "A", "b", "", "Straße", "STRASSE", "2026-01-05T08:00:00Z", "2026-01-05T10:00:00+02:00"]).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_are_totally_ordered(name in select(vec!["number", "when", "exact", "flag"]), descending in any::<bool>(), values in prop::collection::vec(value(), 3)) {
        let keys: Vec<SortKey> = values.iter().map(|value| key(name, descending, value)).collect();
        let (a, b, c) = (&keys[0], &keys[1], &keys[2]);
        prop_assert_eq!(a.cmp(b), b.cmp(a).reverse());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
        if a == b {
            prop_assert_eq!(a.cmp(c), b.cmp(c));
        }
    }

    #[test]
    fn a_key_survives_as_text(name in select(vec!["number", "when", "exact", "flag", "userName"]), descending in any::<bool>(), values in prop::collection::vec(value(), 2)) {
        let keys: Vec<SortKey> = values.iter().map(|value| key(name, descending, value)).collect();
        let back = |key: &SortKey| SortKey::from_text(descending, &key.to_text()).unwrap();
        prop_assert_eq!(&back(&keys[0]), &keys[0]);
        prop_assert_eq!(back(&keys[0]).cmp(&back(&keys[1])), keys[0].cmp(&keys[1]));
        prop_assert!(keys[0].to_text().len() <= rolecall_scim::cursor::SORT_KEY_BYTES_LIMIT);
    }

    #[test]
    fn no_text_is_a_key_that_panics(text in any::<String>()) {
        if let Some(key) = SortKey::from_text(false, &text) {
            prop_assert_eq!(SortKey::from_text(false, &key.to_text()), Some(key));
        }
    }
}
