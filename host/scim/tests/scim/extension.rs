//! A tenant's own extension: every data type and mutability that the standard schemas don't use.

use rolecall_scim::filter::Filter;
use rolecall_scim::patch::{Done, Patch};
use rolecall_scim::projection::Projection;
use rolecall_scim::resource::{Document, read};
use rolecall_scim::schema::{Schema, Schemas, USER};
use rolecall_scim::{Quirk, ResourceKind, ScimError, ScimType};
use serde_json::{Value, json};

const BADGE: &str = "urn:example:acme:badge:1.0:User";

fn schema(attributes: &Value) -> Schema {
    serde_json::from_value(json!({"id": BADGE, "name": "Badge", "attributes": attributes})).unwrap()
}

fn schemas() -> Schemas {
    let attributes = json!([
        {"name": "number", "type": "string", "required": true, "mutability": "immutable", "caseExact": true},
        {"name": "floors", "type": "integer", "multiValued": true},
        {"name": "weight", "type": "decimal"},
        {"name": "issued", "type": "dateTime"},
        {"name": "photo", "type": "binary"},
        {"name": "pin", "type": "string", "mutability": "writeOnly", "returned": "never"},
        {"name": "score", "type": "integer", "returned": "request"},
        {"name": "keys", "type": "complex", "multiValued": true, "subAttributes": [
            {"name": "value", "type": "string", "required": true},
            {"name": "serial", "type": "string", "mutability": "immutable"},
            {"name": "doors", "type": "string", "multiValued": true},
            {"name": "note", "type": "string", "returned": "request"},
        ]},
        {"name": "locker", "type": "complex", "subAttributes": [
            {"name": "place", "type": "string", "returned": "always"},
            {"name": "code", "type": "string", "mutability": "writeOnly", "returned": "never", "required": true},
            {"name": "opened", "type": "dateTime", "mutability": "readOnly", "required": true},
            {"name": "log", "type": "string", "returned": "request"},
            {"name": "hint", "type": "string", "returned": "never"},
        ]},
        {"name": "safe", "type": "complex", "subAttributes": [
            {"name": "maker", "type": "string", "mutability": "immutable"},
            {"name": "room", "type": "string", "required": true},
            {"name": "tags", "type": "string", "multiValued": true},
        ]},
        {"name": "secret", "type": "complex", "returned": "never", "subAttributes": [{"name": "word", "type": "string"}]},
        {"name": "serviced", "type": "dateTime", "mutability": "readOnly", "required": true},
    ]);
    Schemas::with_extensions(vec![schema(&attributes)]).unwrap()
}

fn body(badge: &Value) -> Value {
    json!({"schemas": [USER], "userName": "ada", BADGE: badge})
}

fn document(badge: &Value) -> Document {
    read(&schemas(), ResourceKind::User, &body(badge), None).unwrap().document
}

fn refused(badge: &Value) -> ScimError {
    read(&schemas(), ResourceKind::User, &body(badge), None).unwrap_err()
}

fn patch(document: &Document, operations: &Value) -> Result<(Value, Vec<Done>), ScimError> {
    let message = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    let patched = Patch::parse(&schemas(), ResourceKind::User, &message)?.apply(&schemas(), document)?;
    Ok((patched.document.get(BADGE).cloned().unwrap_or_default(), patched.operations))
}

#[test]
fn every_type_is_checked() {
    let full = json!({"number": "B1", "floors": [1, 2], "weight": 1.5, "issued": "2026-01-31T08:00:00+01:00", "photo": "QUJD",
        "keys": [{"value": "k", "doors": ["north", "south"]}]});
    let read = document(&full);
    assert_eq!(read.get(BADGE), Some(&full));
    assert_eq!(read.get("schemas"), Some(&json!([USER, BADGE])));
    let wrong = [
        json!({"floors": ["1"]}),
        json!({"floors": [1.5]}),
        json!({"floors": 1}),
        json!({"weight": "1"}),
        json!({"issued": "2026-01-31"}),
        json!({"issued": "2026-13-31T08:00:00Z"}),
        json!({"photo": "*"}),
        json!({"keys": [{"doors": [["x"]], "value": "k"}]}),
        json!({"keys": [{"serial": "without a value"}]}),
        json!({"weight": 1}),
    ];
    for mut wrong in wrong {
        // The last one lacks the required number, the others are wrong in what they say.
        if wrong.get("weight") != Some(&json!(1)) {
            wrong["number"] = json!("B1");
        }
        assert_eq!(refused(&wrong).scim_type, Some(ScimType::InvalidValue), "{wrong}");
    }
    assert!(document(&json!({"number": "B1", "pin": "1234"})).get(BADGE).unwrap().get("pin").is_none(), "what is only written is not kept");
}

#[test]
fn filters_compare_in_the_attributes_type() {
    let resource = document(&json!({"number": "B1", "floors": [3, 9], "weight": 1.5, "issued": "2026-01-31T08:00:00+01:00",
        "keys": [{"value": "k", "doors": ["North", "South"]}]}));
    let holds = |filter: &str| {
        let filter = Filter::parse(&schemas(), ResourceKind::User, filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
        filter.matches(&schemas(), ResourceKind::User, resource.attributes())
    };
    let prefixed = format!("{BADGE}:number eq \"B1\"");
    for yes in [
        prefixed.as_str(),
        "floors eq 9",
        "floors gt 8.5",
        "floors[value le 3 and value ne 9]",
        "weight lt 2",
        "weight ge 1.5",
        "weight eq 15e-1",
        "issued eq \"2026-01-31T07:00:00Z\"",
        "keys.doors eq \"north\"",
        "keys[doors sw \"so\"]",
        "score eq null",
    ] {
        assert!(holds(yes), "{yes}");
    }
    for no in [
        "number eq \"b1\"",
        "floors gt 9",
        "floors[value gt 3 and value lt 9]",
        "weight lt 1.5",
        "issued gt \"2026-01-31T07:00:00Z\"",
        "score pr",
    ] {
        assert!(!holds(no), "{no}");
    }
    for refused in ["floors eq \"9\"", "weight co 1", "weight eq 1e999", "floors eq nine", "pin eq \"1234\""] {
        let error = Filter::parse(&schemas(), ResourceKind::User, refused).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidFilter), "{refused}");
    }
}

#[test]
fn immutable_attributes_are_written_once() {
    let plain = read(&schemas(), ResourceKind::User, &json!({"schemas": [USER], "userName": "ada"}), None).unwrap().document;
    let number = format!("{BADGE}:number");
    let issued = patch(&plain, &json!([{"op": "add", "path": number, "value": "B1"}])).unwrap();
    assert_eq!(issued, (json!({"number": "B1"}), vec![Done::Applied]));

    let before = document(&json!({"number": "B1", "keys": [{"value": "k", "serial": "1"}]}));
    assert_eq!(patch(&before, &json!([{"op": "replace", "path": number, "value": "B1"}])).unwrap().1, [Done::NoOp]);
    for refused in [
        json!({"op": "replace", "path": number, "value": "B2"}),
        json!({"op": "remove", "path": number}),
        json!({"op": "remove", "path": BADGE}),
        json!({"op": "replace", "value": {BADGE: {"number": "B2"}}}),
        json!({"op": "replace", "path": "keys[value eq \"k\"].serial", "value": "2"}),
        json!({"op": "remove", "path": "keys.serial"}),
        json!({"op": "replace", "path": "keys", "value": [{"value": "k", "serial": "2"}]}),
        json!({"op": "replace", "path": "keys[value eq \"k\"]", "value": {"value": "k", "serial": "2"}}),
        json!({"op": "remove", "path": "keys.value"}),
    ] {
        assert_eq!(patch(&before, &json!([refused])).unwrap_err().scim_type, Some(ScimType::Mutability), "{refused}");
    }
    let replaced = patch(&before, &json!([{"op": "replace", "path": "keys", "value": [{"value": "k", "doors": ["n"]}]}])).unwrap();
    assert_eq!(replaced.0["keys"], json!([{"value": "k", "doors": ["n"], "serial": "1"}]));
    let put = |badge: &Value| read(&schemas(), ResourceKind::User, &body(badge), Some(&before));
    assert_eq!(put(&json!({"number": "B2"})).unwrap_err().scim_type, Some(ScimType::Mutability));
    assert_eq!(put(&json!({"number": "B1", "keys": [{"value": "k", "serial": "2"}]})).unwrap_err().scim_type, Some(ScimType::Mutability));
    // Left out, they stay; so does the part of a value that stays.
    let kept = put(&json!({"keys": [{"value": "k", "doors": ["n"]}, {"value": "l", "serial": "7"}]})).unwrap().document;
    let keys = json!([{"value": "k", "doors": ["n"], "serial": "1"}, {"value": "l", "serial": "7"}]);
    assert_eq!(kept.get(BADGE), Some(&json!({"keys": keys, "number": "B1"})));
}

#[test]
fn an_immutable_part_does_not_go_with_its_attribute() {
    let safe = json!({"maker": "Acme", "room": "12", "tags": ["a"]});
    let before = document(&json!({"number": "B1", "safe": safe}));
    for refused in [
        json!({"op": "remove", "path": "safe"}),
        json!({"op": "replace", "path": "safe", "value": null}),
        json!({"op": "replace", "value": {BADGE: {"safe": null}}}),
    ] {
        assert_eq!(patch(&before, &json!([refused])).unwrap_err().scim_type, Some(ScimType::Mutability), "{refused}");
    }
    // Left out of a PUT it stays, with what is required beside it.
    for said in [json!({"number": "B1"}), json!({"number": "B1", "safe": null})] {
        let kept = read(&schemas(), ResourceKind::User, &body(&said), Some(&before)).unwrap().document;
        assert_eq!(kept.get(BADGE), Some(&json!({"number": "B1", "safe": {"maker": "Acme", "room": "12"}})), "{said}");
    }
    let without = document(&json!({"number": "B1", "safe": {"room": "12", "tags": ["a"]}}));
    assert_eq!(patch(&without, &json!([{"op": "remove", "path": "safe"}])).unwrap().0, json!({"number": "B1"}));
}

#[test]
fn an_extension_of_which_something_stays_keeps_what_it_requires() {
    let attributes = json!([
        {"name": "room", "type": "string", "required": true},
        {"name": "score", "type": "integer", "returned": "request"},
    ]);
    let schemas = Schemas::with_extensions(vec![schema(&attributes)]).unwrap();
    let before = read(&schemas, ResourceKind::User, &body(&json!({"room": "12", "score": 7})), None).unwrap().document;
    let put = |body: Value| read(&schemas, ResourceKind::User, &body, Some(&before)).map(|read| read.document);
    assert_eq!(put(json!({"schemas": [USER], "userName": "ada"})), Ok(before.clone()));
    let error = put(body(&json!({"score": 8}))).unwrap_err();
    assert_eq!(error.scim_type, Some(ScimType::InvalidValue), "who names the extension says what it requires");
}

#[test]
fn parts_with_many_values_gain_and_lose_them() {
    let before = document(&json!({"number": "B1", "safe": {"room": "12", "tags": ["a", "b"]},
        "keys": [{"value": "k", "doors": ["n", "s"]}, {"value": "l", "doors": ["n"]}]}));
    let after = |operation: Value| patch(&before, &json!([operation])).map(|(badge, done)| (badge, done[0]));
    let tags = |operation: Value| after(operation).map(|(badge, _)| badge["safe"]["tags"].clone());
    for add in [
        json!({"op": "add", "path": "safe.tags", "value": ["b", "c", "c"]}),
        json!({"op": "add", "path": "safe.tags", "value": "c"}),
        json!({"op": "add", "path": "safe", "value": {"tags": ["c"]}}),
        json!({"op": "add", "value": {BADGE: {"safe": {"tags": ["c"]}}}}),
        json!({"op": "add", "value": {BADGE: {"safe.tags": ["c"]}}}),
    ] {
        assert_eq!(tags(add.clone()), Ok(json!(["a", "b", "c"])), "{add}");
    }
    assert_eq!(after(json!({"op": "add", "path": "safe.tags", "value": []})).unwrap().1, Done::NoOp);
    assert_eq!(tags(json!({"op": "replace", "path": "safe.tags", "value": ["c"]})), Ok(json!(["c"])));
    assert_eq!(tags(json!({"op": "replace", "path": "safe", "value": {"tags": ["c"]}})), Ok(json!(["c"])));
    assert_eq!(tags(json!({"op": "replace", "path": "safe.tags", "value": []})), Ok(Value::Null));
    assert_eq!(tags(json!({"op": "remove", "path": "safe.tags", "value": ["a", "z"]})), Ok(json!(["b"])));
    assert_eq!(tags(json!({"op": "remove", "path": "safe.tags"})), Ok(Value::Null));

    let doors = |operation: Value| after(operation).map(|(badge, _)| json!([badge["keys"][0]["doors"], badge["keys"][1]["doors"]]));
    assert_eq!(doors(json!({"op": "add", "path": "keys.doors", "value": ["s"]})), Ok(json!([["n", "s"], ["n", "s"]])));
    assert_eq!(doors(json!({"op": "add", "path": "keys[value eq \"l\"].doors", "value": ["w"]})), Ok(json!([["n", "s"], ["n", "w"]])));
    assert_eq!(doors(json!({"op": "add", "path": "keys", "value": [{"value": "l", "doors": ["w"]}]})), Ok(json!([["n", "s"], ["n", "w"]])));
    assert_eq!(doors(json!({"op": "remove", "path": "keys.doors", "value": "n"})), Ok(json!([["s"], null])));
    assert_eq!(doors(json!({"op": "remove", "path": "keys[value eq \"k\"].doors", "value": "n"})), Ok(json!([["s"], ["n"]])));
    assert_eq!(doors(json!({"op": "remove", "path": "keys[value eq \"k\"].doors"})), Ok(json!([null, ["n"]])));
}

#[test]
fn a_made_value_has_what_is_required_of_it() {
    let before = document(&json!({"number": "B1"}));
    let refused = patch(&before, &json!([{"op": "add", "path": "keys[serial eq \"1\"].doors", "value": ["n"]}])).unwrap_err();
    assert_eq!(refused.scim_type, Some(ScimType::InvalidValue), "nothing was taken away: {refused}");
    let refused = patch(&before, &json!([{"op": "add", "path": "safe.tags", "value": ["a"]}])).unwrap_err();
    assert_eq!(refused.scim_type, Some(ScimType::InvalidValue), "{refused}");
}

#[test]
fn keys_inside_an_extension_are_read_as_beside_it() {
    let before = document(&json!({"number": "B1", "keys": [{"value": "k"}, {"value": "l"}]}));
    let operation = |value: Value| json!([{"op": "Replace", "value": {BADGE: value}}]);
    let (badge, done) = patch(&before, &operation(json!({"keys[value eq \"l\"].serial": "7", "safe.room": "12"}))).unwrap();
    assert_eq!((&badge["keys"], &badge["safe"]), (&json!([{"value": "k"}, {"value": "l", "serial": "7"}]), &json!({"room": "12"})));
    assert_eq!(done, [Done::Applied]);
    let error = patch(&before, &operation(json!({"floors": [1], "Floors": [2]}))).unwrap_err();
    assert_eq!(error.scim_type, Some(ScimType::InvalidSyntax), "{error}");
    let error = patch(&before, &operation(json!({"safe.doors[value eq \"secret\"]": [1]}))).unwrap_err();
    assert!(error.scim_type == Some(ScimType::InvalidPath) && !error.detail.contains("secret"), "{error}");
}

#[test]
fn values_without_parts_are_patched() {
    let before = document(&json!({"number": "B1", "floors": [1, 2]}));
    let floors = |operation: Value| patch(&before, &json!([operation])).map(|(badge, _)| badge["floors"].clone());
    assert_eq!(floors(json!({"op": "add", "path": "floors", "value": [2, 3]})), Ok(json!([1, 2, 3])));
    assert_eq!(floors(json!({"op": "add", "path": "floors", "value": 3})), Ok(json!([1, 2, 3])));
    assert_eq!(floors(json!({"op": "remove", "path": "floors[value eq 1]"})), Ok(json!([2])));
    assert_eq!(floors(json!({"op": "replace", "path": "floors[value ge 1]", "value": 7})), Ok(json!([7])));
    assert_eq!(floors(json!({"op": "remove", "path": "floors", "value": [2]})), Ok(json!([1])));
    assert_eq!(floors(json!({"op": "remove", "path": "floors", "value": 2})), Ok(json!([1])), "it says which");
    assert_eq!(floors(json!({"op": "replace", "path": "floors[value eq 9]", "value": 7})).unwrap_err().scim_type, Some(ScimType::NoTarget));
    assert_eq!(floors(json!({"op": "add", "path": "floors[value eq 9]", "value": 7})).unwrap_err().scim_type, Some(ScimType::NoTarget));
}

#[test]
fn values_without_parts_may_come_as_objects() {
    let before = document(&json!({"number": "B1", "floors": [1, 2], "keys": [{"value": "k", "doors": ["n"]}]}));
    let patched = |op: &str, path: &str, value: Value| {
        let operations = json!([{"op": op, "path": format!("{BADGE}:{path}"), "value": value}]);
        let message = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        let patched = Patch::parse(&schemas(), ResourceKind::User, &message)?.apply(&schemas(), &before)?;
        let badge = patched.document.get(BADGE).unwrap().clone();
        Ok::<_, ScimError>((badge, patched.quirks))
    };
    for (op, value, floors) in [
        ("add", json!([{"value": 3}]), json!([1, 2, 3])),
        ("Add", json!([{"$ref": null, "value": 2}, 3]), json!([1, 2, 3])),
        ("replace", json!({"value": 3}), json!([3])),
        ("replace", json!([{"value": null}, {"value": 3}]), json!([3])),
        ("remove", json!([{"value": 2}]), json!([1])),
    ] {
        let (badge, quirks) = patched(op, "floors", value.clone()).unwrap();
        assert_eq!(badge["floors"], floors, "{op} {value}");
        assert!(quirks.contains(&Quirk::WrappedScalar), "{op} {value}");
    }
    let (badge, quirks) = patched("replace", "keys[value eq \"k\"].doors", json!([{"value": "s"}])).unwrap();
    assert_eq!((&badge["keys"][0]["doors"], quirks), (&json!(["s"]), vec![Quirk::WrappedScalar]));
    for wrong in [
        json!([{"value": "3"}]),
        json!([{"value": [3]}]),
        json!([{"value": {"value": 3}}]),
        json!([{"value": 3, "type": "x"}]),
        json!([{}]),
    ] {
        assert_eq!(patched("add", "floors", wrong.clone()).unwrap_err().scim_type, Some(ScimType::InvalidValue), "{wrong}");
    }
    // Only in a PATCH is there a client that needs it.
    assert_eq!(refused(&json!({"number": "B1", "floors": [{"value": 3}]})).scim_type, Some(ScimType::InvalidValue));
}

#[test]
fn an_extension_that_comes_into_use_needs_its_required_attributes() {
    let plain = read(&schemas(), ResourceKind::User, &json!({"schemas": [USER], "userName": "ada"}), None).unwrap().document;
    let error = patch(&plain, &json!([{"op": "add", "path": "weight", "value": 1}])).unwrap_err();
    assert_eq!(error.scim_type, Some(ScimType::InvalidValue), "{error}");
    // Somebody whose document became incomplete by a new schema can still be deactivated.
    let incomplete =
        Document::from_stored(&json!({"schemas": [USER, BADGE], "userName": "ada", BADGE: {"weight": 1}}).to_string()).unwrap();
    let (badge, done) = patch(&incomplete, &json!([{"op": "replace", "path": "active", "value": false}])).unwrap();
    assert_eq!((badge, done), (json!({"weight": 1}), vec![Done::Applied]));
}

#[test]
fn returned_is_kept_to() {
    let shown = |attributes: Option<&str>| {
        let mut resource = json!({"userName": "ada", BADGE: {"number": "B1", "score": 7, "pin": "1234"}}).as_object().unwrap().clone();
        Projection::parse(&schemas(), ResourceKind::User, attributes, None).unwrap().apply(&schemas(), ResourceKind::User, &mut resource);
        Value::Object(resource)
    };
    assert_eq!(shown(None), json!({"userName": "ada", BADGE: {"number": "B1"}}));
    assert_eq!(shown(Some("score,pin")), json!({BADGE: {"score": 7}}));
}

#[test]
fn what_only_the_server_writes_or_nobody_reads_is_not_kept() {
    let locker = json!({"place": "cellar", "code": "4711", "opened": "2026-01-05T08:00:00Z"});
    let body = body(&json!({"number": "B1", "locker": locker, "serviced": "2026-01-05T08:00:00Z"}));
    let read = read(&schemas(), ResourceKind::User, &body, None).unwrap();
    // What is required but can't be written is not asked for.
    assert_eq!(read.document.get(BADGE), Some(&json!({"number": "B1", "locker": {"place": "cellar"}})));
    assert_eq!(read.ignored, ["locker.code", "locker.opened", "serviced"].map(|name| format!("{BADGE}:{name}")));
    let operations = [
        json!({"op": "replace", "path": format!("{BADGE}:locker.code"), "value": "0815"}),
        json!({"op": "add", "path": format!("{BADGE}:locker"), "value": {"code": "0815"}}),
        json!({"op": "replace", "value": {BADGE: {"locker": {"code": "0815", "opened": "2026-01-06T08:00:00Z"}, "serviced": "2026-01-06T08:00:00Z"}}}),
    ];
    for operation in operations {
        let (badge, done) = patch(&read.document, &json!([operation])).unwrap();
        assert_eq!((&badge["locker"], done), (&json!({"place": "cellar"}), vec![Done::NoOp]), "{operation}");
    }
    for path in ["locker.opened", "serviced"] {
        let refused = patch(&read.document, &json!([{"op": "replace", "path": path, "value": "2026-01-06T08:00:00Z"}])).unwrap_err();
        assert_eq!(refused.scim_type, Some(ScimType::Mutability), "{path}");
    }
}

#[test]
fn what_is_never_returned_can_t_be_guessed() {
    for filter in ["secret.word sw \"a\"", "secret pr", "secret[word pr]", "locker.hint pr", "locker[hint sw \"a\"]", "locker.code pr"] {
        let error = Filter::parse(&schemas(), ResourceKind::User, filter).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidFilter), "{filter}");
    }
}

#[test]
fn parts_are_returned_as_they_say() {
    let whole = json!({"place": "cellar", "log": "opened twice", "hint": "the usual", "code": "4711"});
    let shown = |attributes: Option<&str>, excluded: Option<&str>| {
        let mut resource = json!({"id": "1", BADGE: {"locker": whole, "secret": {"word": "x"}}}).as_object().unwrap().clone();
        let projection = Projection::parse(&schemas(), ResourceKind::User, attributes, excluded).unwrap();
        projection.apply(&schemas(), ResourceKind::User, &mut resource);
        resource.get(BADGE).map(|badge| badge["locker"].clone())
    };
    assert_eq!(shown(None, None), Some(json!({"place": "cellar"})));
    assert_eq!(shown(Some("locker.log"), None), Some(json!({"place": "cellar", "log": "opened twice"})));
    assert_eq!(shown(Some("locker"), None), Some(json!({"place": "cellar"})));
    assert_eq!(shown(Some("locker.hint,locker.code,secret"), None), Some(json!({"place": "cellar"})));
    assert_eq!(shown(None, Some("locker.place")), Some(json!({"place": "cellar"})));
    assert_eq!(shown(None, Some("locker")), None);
    assert_eq!(shown(Some("userName"), None), None);
}

#[test]
fn what_a_client_has_just_written_is_returned_to_it() {
    let shown = |attributes: Option<&str>, excluded: Option<&str>, written: &[&str]| {
        let badge = json!({"number": "B1", "score": 7, "locker": {"place": "cellar", "log": "opened", "hint": "x"}});
        let mut resource = json!({"id": "1", BADGE: badge}).as_object().unwrap().clone();
        let projection = Projection::parse(&schemas(), ResourceKind::User, attributes, excluded).unwrap();
        let written = written.iter().copied();
        projection.with_written(&schemas(), ResourceKind::User, written).apply(&schemas(), ResourceKind::User, &mut resource);
        resource.remove(BADGE).unwrap_or_default()
    };
    let (score, log) = (format!("{BADGE}:score"), format!("{BADGE}:locker.log"));
    assert_eq!(shown(None, None, &[]), json!({"number": "B1", "locker": {"place": "cellar"}}));
    assert_eq!(shown(None, None, &[&score]), json!({"number": "B1", "score": 7, "locker": {"place": "cellar"}}));
    assert_eq!(shown(None, None, &[&log]), json!({"number": "B1", "locker": {"place": "cellar", "log": "opened"}}));
    assert_eq!(shown(None, None, &["locker"])["locker"], json!({"place": "cellar", "log": "opened"}), "all of it was written");
    assert_eq!(shown(None, Some("score,locker.log"), &[&score, &log]), json!({"number": "B1", "locker": {"place": "cellar"}}));
    assert_eq!(shown(Some("number"), None, &[&score]), json!({"number": "B1"}), "what the client asks for goes first");
    // The paths of a document are those that are written by a POST or a PUT.
    let document = document(&json!({"number": "B1", "score": 7}));
    assert_eq!(document.paths(), ["schemas".to_owned(), "userName".into(), format!("{BADGE}:number"), score]);
}

#[test]
fn malformed_extensions_are_refused() {
    let one = |attributes: &Value| Schemas::with_extensions(vec![schema(attributes)]);
    for (attributes, says) in [
        (json!([{"name": "a b"}]), "no attribute name"),
        (json!([{"name": ""}]), "no attribute name"),
        (json!([{"name": "7a"}]), "no attribute name"),
        (json!([{"name": "a"}, {"name": "A"}]), "twice"),
        (json!([{"name": "a", "type": "complex"}]), "parts"),
        (json!([{"name": "a", "subAttributes": [{"name": "b"}]}]), "parts"),
        (json!([{"name": "a", "type": "complex", "subAttributes": [{"name": "b", "type": "complex"}]}]), "parts"),
        (json!([{"name": "a", "type": "complex", "subAttributes": [{"name": "b.c"}]}]), "no attribute name"),
        (json!([{"name": "a", "uniqueness": "server"}]), "unique"),
    ] {
        let error = one(&attributes).unwrap_err();
        assert!(error.contains(says), "{attributes}: {error}");
    }
    for id in ["http://acme.example/x", "urn:", "urn:a b", "urn:a[b]", USER] {
        let schema = Schema { id: id.into(), ..schema(&json!([])) };
        assert!(Schemas::with_extensions(vec![schema]).is_err(), "{id}");
    }
    assert!(Schemas::with_extensions(vec![schema(&json!([])), schema(&json!([]))]).is_err(), "twice the same");
}

/// A tenant's own extension costs that extension's memory and not the standard schemas' again.
#[test]
fn tenants_with_extensions_share_the_standard_schemas() {
    let [one, other] = [json!([]), json!([{"name": "badge", "type": "string"}])]
        .map(|attributes| Schemas::with_extensions(vec![schema(&attributes)]).unwrap());
    assert_ne!(one, other);
    for kind in [ResourceKind::User, ResourceKind::Group] {
        assert!(std::ptr::eq(one.core(kind), other.core(kind)));
    }
    assert!(std::ptr::eq(one.core(ResourceKind::User), Schemas::standard().core(ResourceKind::User)));
}

#[test]
fn what_a_client_is_not_shown_stays_when_it_puts_back_what_it_was_given() {
    let number = json!({"number": "n", "score": 7, "secret": {"word": "w"}, "locker": {"place": "here", "hint": "h", "log": "l"}});
    let before = document(&number);
    let put = |badge: Value| {
        let read = read(&schemas(), ResourceKind::User, &body(&badge), Some(&before)).unwrap();
        read.document.get(BADGE).cloned().unwrap_or_default()
    };
    assert_eq!(
        put(json!({"number": "n", "locker": {"place": "there"}})),
        json!({"number": "n", "locker": {"place": "there", "hint": "h", "log": "l"}, "score": 7, "secret": {"word": "w"}})
    );
    assert_eq!(put(json!({"number": "n", "score": null, "secret": null, "locker": null})), json!({"number": "n"}), "a null says it");
    assert_eq!(put(json!({"number": "n"})), json!({"number": "n", "score": 7, "secret": {"word": "w"}}), "a part goes with what is shown");
    let hidden = document(&json!({"number": "n", "locker": {"hint": "h"}}));
    let kept = read(&schemas(), ResourceKind::User, &body(&json!({"number": "n"})), Some(&hidden)).unwrap().document;
    assert_eq!(kept, hidden);
    // In values of many, too: each is found by what it is.
    let many = document(&json!({"number": "n", "keys": [{"value": "a", "note": "one"}, {"value": "b", "serial": "s", "note": "two"}]}));
    let put = json!({"number": "n", "keys": [{"value": "b"}, {"value": "c"}, {"value": "a", "note": null}]});
    let kept = read(&schemas(), ResourceKind::User, &body(&put), Some(&many)).unwrap().document;
    let keys = json!([{"value": "b", "note": "two", "serial": "s"}, {"value": "c"}, {"value": "a"}]);
    assert_eq!(kept.get(BADGE).unwrap()["keys"], keys);
}

#[test]
fn bytes_are_compared_as_they_are() {
    let seen = document(&json!({"number": "n", "photo": "AAEC"}));
    let matches = |filter: &str| {
        Filter::parse(&schemas(), ResourceKind::User, filter).unwrap().matches(&schemas(), ResourceKind::User, seen.attributes())
    };
    assert!(matches(&format!("{BADGE}:photo eq \"AAEC\"")) && !matches(&format!("{BADGE}:photo eq \"aaec\"")));
}
