//! What became of a PATCH, operation by operation.

use rolecall_scim::filter::Filter;
use rolecall_scim::patch::{Done, PATCH_SCHEMA, Patch, Patched, Refusal};
use rolecall_scim::resource::{Document, read};
use rolecall_scim::schema::{ENTERPRISE, GROUP, Schemas, USER};
use rolecall_scim::{ResourceKind, ScimType};
use serde_json::{Value, json};

fn user() -> Document {
    let body = json!({"schemas": [USER], "userName": "ada", "title": "T", "emails": [{"value": "a@acme.example"}], ENTERPRISE: {"department": "D"}});
    read(&Schemas::default(), ResourceKind::User, &body, None).unwrap().document
}

fn patch(operations: &Value) -> Result<Patched, Refusal> {
    let message = json!({"schemas": [PATCH_SCHEMA], "Operations": operations});
    Patch::parse_or_refusal(&Schemas::default(), ResourceKind::User, &message)?.apply_or_refusal(&Schemas::default(), &user())
}

#[test]
fn each_operation_is_known_as_applied_or_without_effect() {
    let patched = patch(&json!([
        {"op": "replace", "path": "title", "value": "T"},
        {"op": "replace", "path": "title", "value": "U"},
        {"op": "add", "value": {"title": "V", "name": {"givenName": "A"}}},
        {"op": "add", "path": "emails[value eq \"a@acme.example\"].type", "value": "work"},
        {"op": "remove", "path": ENTERPRISE},
        {"op": "remove", "path": "nickName"},
        {"op": "replace", "value": {"id": "ignored"}},
    ]))
    .unwrap();
    let words: Vec<&str> = patched.operations.iter().map(|done| done.word()).collect();
    assert_eq!(words, ["no_op", "applied", "applied", "applied", "applied", "no_op", "no_op"]);
    assert_eq!(patched.changed, ["title", "name", "emails.type", ENTERPRISE], "each path once, and no value");
}

#[test]
fn members_are_a_change_of_the_group() {
    let schemas = Schemas::default();
    let group = read(&schemas, ResourceKind::Group, &json!({"schemas": [GROUP], "displayName": "E"}), None).unwrap().document;
    let message = json!({"schemas": [PATCH_SCHEMA], "Operations": [
        {"op": "add", "path": "members", "value": []}, {"op": "add", "path": "members", "value": [{"value": "u1"}]}, {"op": "remove", "path": "members"},
    ]});
    let patched = Patch::parse(&schemas, ResourceKind::Group, &message).unwrap().apply(&schemas, &group).unwrap();
    assert_eq!(patched.operations, [Done::NoOp, Done::Applied, Done::Applied]);
    assert_eq!(patched.changed, ["members"]);
}

#[test]
fn a_refusal_names_the_operation() {
    let good = json!({"op": "replace", "path": "title", "value": "U"});
    // While it is read, and while it is applied.
    for (bad, scim_type) in [
        (json!({"op": "replace", "path": "nope", "value": 1}), ScimType::InvalidPath),
        (json!({"op": "remove", "path": "emails[type eq \"work\""}), ScimType::InvalidPath),
        (json!({"op": "remove", "path": "emails["}), ScimType::InvalidPath),
        (json!({"op": "move", "path": "title"}), ScimType::InvalidSyntax),
        (json!({"op": "replace", "path": "emails[value eq \"x\"]", "value": {"value": "y"}}), ScimType::NoTarget),
        (json!({"op": "remove", "path": "userName"}), ScimType::Mutability),
    ] {
        let refusal = patch(&json!([good, good, bad])).unwrap_err();
        assert_eq!((refusal.operation, refusal.error.scim_type), (Some(2), Some(scim_type)), "{bad}");
        assert!(refusal.to_string().starts_with("operation 3: "), "{refusal}");
    }
    let no_member = Refusal::no_member(1);
    assert_eq!((no_member.operation, no_member.error.scim_type), (Some(1), Some(ScimType::NoTarget)));
    assert!(no_member.to_string().starts_with("operation 2: no value of `members` matches"), "{no_member}");
    let whole = Patch::parse_or_refusal(&Schemas::default(), ResourceKind::User, &json!({"schemas": [PATCH_SCHEMA]})).unwrap_err();
    assert_eq!((whole.operation, whole.error.scim_type), (None, Some(ScimType::InvalidSyntax)));
}

/// What is left of a user by operations.
fn became(user: &Value, operations: &Value) -> Result<(Value, Vec<Done>), Refusal> {
    let schemas = Schemas::default();
    let user = read(&schemas, ResourceKind::User, user, None).unwrap().document;
    let message = json!({"schemas": [PATCH_SCHEMA], "Operations": operations});
    let patched = Patch::parse_or_refusal(&schemas, ResourceKind::User, &message)?.apply_or_refusal(&schemas, &user)?;
    Ok((serde_json::to_value(&patched.document).unwrap(), patched.operations))
}

/// Whoever was deactivated comes back when somebody says so: to unassign `active` says nothing.
#[test]
fn nobody_comes_back_by_what_is_not_said() {
    let gone = json!({"schemas": [USER], "userName": "ada", "active": false});
    for said_nothing in [
        json!({"op": "replace", "path": "active", "value": null}),
        json!({"op": "Replace", "path": "active", "value": [{"value": null}]}),
        json!({"op": "add", "path": "active", "value": []}),
        json!({"op": "replace", "value": {"active": null}}),
        json!({"op": "replace", "value": {(USER): {"active": null}}}),
    ] {
        let (user, done) = became(&gone, &json!([said_nothing])).unwrap();
        assert_eq!((&user["active"], done), (&json!(false), vec![Done::NoOp]), "{said_nothing}");
    }
    // Removed, it is unassigned for whoever reads it, and they have not come back; nor do they by what is not said afterwards.
    let removed = Document::from_stored(r#"{"userName": "ada", "active": null}"#).unwrap();
    assert!(!removed.is_active());
    assert_eq!(removed.to_value(), json!({"userName": "ada"}));
    let finds = |filter: &str| {
        let schemas = Schemas::default();
        let filter = Filter::parse(&schemas, ResourceKind::User, filter).unwrap();
        filter.matches(&schemas, ResourceKind::User, removed.attributes())
    };
    assert!(finds("active eq false") && !finds("active eq true") && finds("active pr"));
    let remove = json!({"op": "remove", "path": "active"});
    for silence in [json!([remove]), json!([remove, {"op": "replace", "path": "active", "value": null}]), json!([remove, remove])] {
        let (user, done) = became(&gone, &silence).unwrap();
        assert_eq!((user.get("active"), done[0]), (Some(&Value::Null), Done::Applied), "{silence}");
        assert!(done[1..].iter().all(|done| *done == Done::NoOp), "{silence}: {done:?}");
    }
    let (user, done) = became(&gone, &json!([remove, {"op": "add", "path": "active", "value": true}])).unwrap();
    assert_eq!((&user["active"], done), (&json!(true), vec![Done::Applied, Done::Applied]));
    let here = json!({"schemas": [USER], "userName": "ada", "active": true});
    let (user, _) = became(&here, &json!([{"op": "remove", "path": "active"}])).unwrap();
    assert_eq!(user.get("active"), None, "nobody leaves by it either");
}

/// What a schema that is known does not have is an error in every spelling; what is of a foreign schema is passed over.
#[test]
fn an_unknown_part_of_a_known_schema_is_no_success() {
    let user = json!({"schemas": [USER], "userName": "ada"});
    for (key, named) in [
        (format!("{ENTERPRISE}:nonsense"), format!("`{ENTERPRISE}:nonsense`")),
        (format!("{ENTERPRISE}.department"), format!("`{ENTERPRISE}.department`")),
        (format!("{ENTERPRISE}:manager.nonsense"), format!("`{ENTERPRISE}:manager.nonsense`")),
        (format!("{USER}:nonsense"), format!("`{USER}:nonsense`")),
        (format!("{USER}:emails[type zz \"work\"].value"), "expected an operator".to_owned()),
        ("emails[type zz \"work\"].value".to_owned(), "expected an operator".to_owned()),
        ("emails[value zz \"a:b\"].value".to_owned(), "expected an operator".to_owned()),
        ("emails[type eq \"work\"].nonsense".to_owned(), "`emails.nonsense`".to_owned()),
        ("nonsense[type eq \"work\"].value".to_owned(), "nonsense".to_owned()),
    ] {
        let refusal = became(&user, &json!([{"op": "replace", "value": {(&key): "x"}}])).unwrap_err();
        let invalid = [Some(ScimType::InvalidPath), Some(ScimType::InvalidFilter)].contains(&refusal.error.scim_type);
        assert!(invalid && refusal.to_string().contains(&named), "{key}: {refusal}");
        let (user, _) = became(&user, &json!([{"op": "replace", "value": {(&key): "x", "title": "Lead"}}])).unwrap();
        assert_eq!(user["title"], "Lead", "{key} beside what is known");
    }
    for foreign in [
        "urn:example:other:1.0:User:nonsense".to_owned(),
        "urn:example:other".to_owned(),
        format!("{GROUP}:displayName"),
        format!("{USER}s:title"),
    ] {
        let (_, done) = became(&user, &json!([{"op": "replace", "value": {(&foreign): "x"}}])).unwrap();
        assert_eq!(done, [Done::NoOp], "{foreign}");
    }
}

/// What Entra ID's `Replace` makes is what its filter says, so that the next one finds it.
#[test]
fn what_a_filter_made_matches_the_filter() {
    let user = json!({"schemas": [USER], "userName": "ada"});
    for (path, value, made) in [
        ("phoneNumbers[type eq \"work\"]", json!({"value": "1"}), json!({"type": "work", "value": "1"})),
        ("phoneNumbers[type eq \"work\"]", json!("1"), json!({"type": "work", "value": "1"})),
        ("phoneNumbers[type eq \"work\"]", json!([{"value": "1"}]), json!({"type": "work", "value": "1"})),
        ("roles[primary eq \"True\"]", json!({"value": "r"}), json!({"primary": true, "value": "r"})),
    ] {
        let attribute = path.split_once('[').unwrap().0;
        let once = json!({"op": "Replace", "path": path, "value": value});
        let as_key = json!({"op": "replace", "value": {(path): value}});
        for operations in [json!([once]), json!([as_key])] {
            let (user, _) = became(&user, &operations).unwrap();
            assert_eq!(user[attribute], json!([made]), "{operations}");
        }
        let twice = json!([once, {"op": "Replace", "path": format!("{path}.value"), "value": "2"}]);
        let (user, _) = became(&user, &twice).unwrap();
        assert_eq!((user[attribute].as_array().unwrap().len(), &user[attribute][0]["value"]), (1, &json!("2")), "{twice}");
    }
}

/// An element that is described in several operations, or keys, may be in any order; one that never says anything has no target.
#[test]
fn the_order_of_an_elements_parts_makes_no_difference() {
    let user = json!({"schemas": [USER], "userName": "ada", "emails": [{"value": "old", "type": "home", "primary": true}]});
    let of = |part: &str, value: Value| json!({"op": "Add", "path": format!("emails[type eq \"work\"].{part}"), "value": value});
    let (primary, value) = (of("primary", json!(true)), of("value", json!("new")));
    let keys = |first: (&str, Value), second: (&str, Value)| {
        let key = |part: &str| format!("emails[type eq \"work\"].{part}");
        json!([{"op": "replace", "value": {(key(first.0)): first.1, (key(second.0)): second.1}}])
    };
    let wanted = json!([{"value": "old", "type": "home", "primary": false}, {"type": "work", "primary": true, "value": "new"}]);
    for operations in [
        json!([primary, value]),
        json!([value, primary]),
        keys(("primary", json!(true)), ("value", json!("new"))),
        keys(("value", json!("new")), ("primary", json!(true))),
    ] {
        let (user, _) = became(&user, &operations).unwrap();
        assert_eq!(user["emails"], wanted, "{operations}");
    }
    let title = json!({"op": "replace", "path": "title", "value": "Lead"});
    for alone in [json!([title, primary]), json!([title, primary, primary]), json!([title, primary, of("type", json!("other"))])] {
        let refusal = became(&user, &alone).unwrap_err();
        assert_eq!((refusal.operation, refusal.error.scim_type), (Some(1), Some(ScimType::NoTarget)), "{alone}");
    }
    // One that said nothing before is none of this request's.
    let odd = json!({"schemas": [USER], "userName": "ada", "emails": [{"type": "home"}]});
    became(&odd, &json!([title])).unwrap();
}
