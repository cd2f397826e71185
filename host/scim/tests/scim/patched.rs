//! What became of a PATCH, operation by operation.

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
