//! Generated users, filters, paths and operations. Few names and short texts, so that things meet.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use rolecall_scim::ResourceKind;
use rolecall_scim::filter::{Filter, Literal, Op, Test};
use rolecall_scim::path::AttrPath;
use rolecall_scim::resource::{Document, read};
use rolecall_scim::schema::{ENTERPRISE, Schemas, USER};
use serde_json::{Map, Value, json};

pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["a", "A", "b", "ab", "work", "Work", "home", "", "Straße", "and", "\"", "\\", "]"]).prop_map(Into::into),
        "[ -~é]{0,6}"
    ]
}

/// Texts whose case folding is that of ASCII.
pub fn plain_text() -> impl Strategy<Value = String> {
    select(vec!["a", "A", "b", "ab", "AB", "ba", "work", "Work", "home", "", "x y"]).prop_map(Into::into)
}

fn object(parts: Vec<(&'static str, Option<Value>)>) -> Value {
    Value::Object(parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// One value of an attribute such as `emails`; not primary.
pub fn element() -> impl Strategy<Value = Value> {
    (of(plain_text()), of(select(vec!["work", "home", "other"])), of(plain_text())).prop_map(|(value, kind, display)| {
        object(vec![("value", value.map(Value::from)), ("type", kind.map(Value::from)), ("display", display.map(Value::from))])
    })
}

/// Values of which at most one is primary.
pub fn elements() -> impl Strategy<Value = Vec<Value>> {
    (vec(element(), 0..4), of(0_usize..4)).prop_map(|(mut values, primary)| {
        if let Some(value) = primary.and_then(|primary| values.get_mut(primary)) {
            value["primary"] = json!(true);
        }
        values
    })
}

fn name() -> impl Strategy<Value = Value> {
    (of(plain_text()), of(plain_text()))
        .prop_map(|(given, family)| object(vec![("givenName", given.map(Value::from)), ("familyName", family.map(Value::from))]))
}

fn enterprise() -> impl Strategy<Value = Value> {
    (of(plain_text()), of(plain_text()), of(plain_text())).prop_map(|(department, number, manager)| {
        let manager = manager.map(|manager| json!({"value": manager}));
        object(vec![("department", department.map(Value::from)), ("employeeNumber", number.map(Value::from)), ("manager", manager)])
    })
}

/// A body as a client may write it.
pub fn body() -> impl Strategy<Value = Value> {
    (of(text()), of(any::<bool>()), of(name()), of(elements()), of(elements()), of(enterprise()), of(text())).prop_map(
        |(title, active, name, emails, roles, enterprise, external)| {
            object(vec![
                ("schemas", Some(json!([USER]))),
                ("userName", Some("ada".into())),
                ("title", title.map(Value::from)),
                ("active", active.map(Value::from)),
                ("name", name),
                ("emails", emails.map(Value::from)),
                ("roles", roles.map(Value::from)),
                (ENTERPRISE, enterprise),
                ("externalId", external.map(Value::from)),
            ])
        },
    )
}

pub fn document() -> impl Strategy<Value = Document> {
    body().prop_map(|body| read(&Schemas::default(), ResourceKind::User, &body, None).unwrap().document)
}

/// Any JSON, with names that mean something among its keys.
pub fn json_value() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        select(vec![
            "schemas",
            "Operations",
            "op",
            "path",
            "value",
            "userName",
            "emails",
            "name",
            "active",
            "members",
            "password",
            "id",
            "type",
            "primary",
            USER,
            ENTERPRISE,
            "manager",
            "name.givenName",
            "emails[type eq \"work\"].value",
            "urn:example:x:User",
        ])
        .prop_map(String::from),
        "[a-zA-Z.$:\\[\\]]{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec!["add", "Replace", "remove", "True", USER, "urn:ietf:params:scim:api:messages:2.0:PatchOp", "\0"]).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key.clone(), inner), 0..5).prop_map(|parts| Value::Object(Map::from_iter(parts))),
        ]
    })
}

fn path(text: &str) -> AttrPath {
    AttrPath::parse(&Schemas::default(), text).unwrap()
}

fn op(ops: &'static [Op]) -> impl Strategy<Value = Op> {
    select(ops)
}

const TEXTUAL: [Op; 9] = [Op::Eq, Op::Ne, Op::Contains, Op::StartsWith, Op::EndsWith, Op::Gt, Op::Ge, Op::Lt, Op::Le];
const EQUALITY: [Op; 2] = [Op::Eq, Op::Ne];
const ORDERED: [Op; 6] = [Op::Eq, Op::Ne, Op::Gt, Op::Ge, Op::Lt, Op::Le];

fn text_test() -> impl Strategy<Value = Test> {
    prop_oneof![
        1 => Just(Test::Present),
        1 => op(&EQUALITY).prop_map(|op| Test::Compare(op, Literal::Null)),
        6 => (op(&TEXTUAL), text()).prop_map(|(op, text)| Test::Compare(op, Literal::Text(text))),
    ]
}

fn bool_test() -> impl Strategy<Value = Test> {
    (op(&EQUALITY), any::<bool>()).prop_map(|(op, value)| Test::Compare(op, Literal::Bool(value)))
}

fn leaf(texts: &'static [&'static str], bools: &'static [&'static str]) -> impl Strategy<Value = Filter> {
    prop_oneof![
        4 => (select(texts), text_test()).prop_map(|(name, test)| Filter::Test(path(name), test)),
        1 => (select(bools), bool_test()).prop_map(|(name, test)| Filter::Test(path(name), test)),
    ]
}

fn logic<S: Strategy<Value = Filter> + 'static>(leaf: S) -> impl Strategy<Value = Filter> {
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::Or(Box::new(a), Box::new(b))),
            inner.prop_map(|a| Filter::Not(Box::new(a))),
        ]
    })
}

/// A filter of an element's parts.
pub fn inner_filter() -> impl Strategy<Value = Filter> {
    logic(leaf(&["value", "TYPE", "display"], &["primary"]))
}

/// A filter of what members and e-mail addresses have in common.
pub fn shared_filter() -> impl Strategy<Value = Filter> {
    logic((select(vec!["type", "Display"]), text_test()).prop_map(|(name, test)| Filter::Test(path(name), test)))
}

/// Any tree, also of shapes that the parser does not make.
pub fn filter() -> impl Strategy<Value = Filter> {
    let texts = &[
        "userName",
        "TITLE",
        "name.givenName",
        "emails",
        "emails.type",
        "roles.display",
        "externalId",
        "schemas",
        "id",
        "urn:ietf:params:scim:schemas:core:2.0:User:name.familyName",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:USER:manager.value",
        "employeeNumber",
    ];
    let dates = (op(&ORDERED), select(vec!["2026-01-05T08:00:00Z", "2026-01-05T09:00:00.5+01:00"]))
        .prop_map(|(op, text)| Filter::Test(path("meta.created"), Test::Compare(op, Literal::Text(text.into()))));
    let then = of((select(vec!["value", "display"]), text_test())).prop_map(|then| then.map(|(part, test)| (String::from(part), test)));
    let values = (select(vec!["emails", "roles"]), inner_filter(), then).prop_map(|(name, filter, then)| Filter::Values {
        attribute: path(name),
        filter: Box::new(filter),
        then,
    });
    logic(prop_oneof![6 => leaf(texts, &["active", "emails.primary"]), 1 => dates, 2 => values])
}

/// An operation on a user, in the RFC's forms, with a valid value.
pub fn operation() -> impl Strategy<Value = Value> {
    let write = || select(vec!["add", "replace"]);
    let kind = || select(vec!["work", "home", "other"]);
    prop_oneof![
        (write(), select(vec!["title", "name.givenName", "externalId"]), plain_text())
            .prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value})),
        (write(), any::<bool>()).prop_map(|(op, value)| json!({"op": op, "path": "active", "value": value})),
        (write(), name()).prop_map(|(op, value)| json!({"op": op, "path": "name", "value": value})),
        (write(), elements()).prop_map(|(op, value)| json!({"op": op, "path": "emails", "value": value})),
        (write(), elements(), plain_text()).prop_map(|(op, emails, title)| json!({"op": op, "value": {"emails": emails, "title": title}})),
        (write(), plain_text()).prop_map(|(op, value)| json!({"op": op, "path": format!("{ENTERPRISE}:department"), "value": value})),
        (write(), kind(), select(vec!["value", "display"]), plain_text())
            .prop_map(|(op, kind, part, value)| json!({"op": op, "path": format!("emails[type eq \"{kind}\"].{part}"), "value": value})),
        (write(), kind(), any::<bool>())
            .prop_map(|(op, kind, value)| json!({"op": op, "path": format!("emails[type eq \"{kind}\"].primary"), "value": value})),
        (kind(), plain_text()).prop_map(|(kind, value)| {
            json!({"op": "replace", "path": format!("emails[type eq \"{kind}\"]"), "value": {"type": kind, "value": value}})
        }),
        select(vec![
            "title",
            "active",
            "name",
            "name.givenName",
            "emails",
            "emails.display",
            "externalId",
            "emails[type eq \"work\"]",
            "emails[type eq \"home\"].display"
        ])
        .prop_map(|path| json!({"op": "remove", "path": path})),
        Just(json!({"op": "remove", "path": format!("{ENTERPRISE}:department")})),
    ]
}
