//! The list of client quirks: complete, told apart, and each one met by something that a client sends.

use std::collections::BTreeSet;

use rolecall_scim::filter::Filter;
use rolecall_scim::patch::{PATCH_SCHEMA, Patch};
use rolecall_scim::resource::{Document, read};
use rolecall_scim::schema::{GROUP, Schemas, USER};
use rolecall_scim::{Quirk, ResourceKind};
use serde_json::{Value, json};

/// Quirks of a request rather than of its content.
const SEEN_BY_THE_SERVER: [Quirk; 3] = [Quirk::MembersResent, Quirk::UnknownMember, Quirk::DanglingQuery];

#[test]
fn every_quirk_has_a_word_a_client_and_a_source() {
    let words: BTreeSet<&str> = Quirk::ALL.iter().map(|quirk| quirk.word()).collect();
    assert_eq!(words.len(), Quirk::ALL.len(), "a word stands for one quirk");
    for &quirk in Quirk::ALL {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(quirk.word().chars().all(plain), "{}", quirk.word());
        assert!(!quirk.clients().is_empty() && !quirk.source().is_empty(), "{}", quirk.word());
        assert_eq!(Quirk::from_word(quirk.word()), Some(quirk));
    }
    assert_eq!(Quirk::from_word("nope"), None);
}

fn user(body: &Value, previous: Option<&Document>) -> Vec<Quirk> {
    let mut body = body.clone();
    let whole = json!({"schemas": [USER], "userName": "ada"});
    for (name, value) in whole.as_object().unwrap() {
        if body.get(name).is_none() {
            body[name] = value.clone();
        }
    }
    read(&Schemas::default(), ResourceKind::User, &body, previous).unwrap().quirks
}

fn group(body: &Value, previous: Option<&Document>) -> Vec<Quirk> {
    read(&Schemas::default(), ResourceKind::Group, body, previous).unwrap().quirks
}

fn patch(operation: &Value) -> Vec<Quirk> {
    let schemas = Schemas::default();
    let user = read(&schemas, ResourceKind::User, &json!({"schemas": [USER], "userName": "ada"}), None).unwrap().document;
    let message = json!({"schemas": [PATCH_SCHEMA], "Operations": [operation]});
    Patch::parse(&schemas, ResourceKind::User, &message).unwrap().apply(&schemas, &user).unwrap().quirks
}

#[test]
fn each_quirk_is_recognised() {
    use Quirk::*;
    let ada = read(&Schemas::default(), ResourceKind::User, &json!({"schemas": [USER], "userName": "ada"}), None).unwrap().document;
    let engineers = json!({"schemas": [GROUP], "displayName": "E", "members": []});
    let engineers_document = read(&Schemas::default(), ResourceKind::Group, &engineers, None).unwrap().document;
    let filter = Filter::parse_with_quirks(&Schemas::default(), ResourceKind::User, "externalId eq ada").unwrap().1;
    let seen: Vec<(Vec<Quirk>, Vec<Quirk>)> = vec![
        (patch(&json!({"op": "Add", "path": "title", "value": "T"})), vec![CapitalisedOp]),
        (patch(&json!({"op": "replace", "path": "active", "value": "False"})), vec![BooleanText]),
        (patch(&json!({"op": "remove", "path": "roles", "value": [{"value": "a"}]})), vec![RemoveWithValue]),
        (patch(&json!({"op": "replace", "value": {"name.givenName": "A"}})), vec![DottedKeys]),
        (patch(&json!({"op": "add", "path": "manager", "value": "m"})), vec![ScalarForComplex]),
        (patch(&json!({"op": "add", "path": "title", "value": [{"$ref": null, "value": "T"}]})), vec![WrappedScalar]),
        (patch(&json!({"op": "add", "path": "title", "value": ["T"]})), vec![WrappedScalar]),
        (patch(&json!({"op": "add", "path": "emails[type eq \"work\"].value", "value": "a@acme.example"})), vec![ElementMade]),
        (patch(&json!({"op": "add", "path": "roles", "value": [{"value": "{\"id\":\"1\",\"displayName\":\"Admin\"}"}]})), vec![JsonText]),
        (patch(&json!({"op": "replace", "value": "{\"title\":\"T\"}"})), vec![JsonText]),
        (patch(&json!({"op": "replace", "path": "name", "value": "{\"givenName\":\"A\"}"})), vec![JsonText]),
        (user(&json!({"roles": [{"value": "{\"id\":\"1\"}"}]}), None), vec![JsonText]),
        (filter, vec![UnquotedText]),
        (user(&json!({"roles": []}), None), vec![EmptyValues]),
        (user(&json!({"meta": {"resourceType": "User"}}), None), vec![ClientMeta]),
        (user(&json!({"id": "made-up"}), None), vec![ClientMeta]),
        (
            group(
                &json!({"schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"], "displayName": "E"}),
                None,
            ),
            vec![UnknownSchema],
        ),
        (user(&json!({"schemas": ["urn:scim:schemas:core:1.0"]}), None), vec![Scim1Schema]),
        (user(&json!({"urn:scim:schemas:extension:enterprise:1.0": {"department": "D"}}), None), vec![Scim1Schema]),
        (patch(&json!({"op": "replace", "value": {"id": "1", "title": "T"}})), vec![ReadOnlyEcho]),
        (user(&json!({"id": "1", "meta": {}, "groups": [{"value": "g"}]}), Some(&ada)), vec![PutEcho]),
        (group(&engineers, None), vec![EmptyMembers]),
        (user(&json!({"password": "not kept"}), None), vec![PasswordSent]),
        (patch(&json!({"op": "replace", "path": "password", "value": "not kept"})), vec![PasswordSent]),
    ];
    for (index, (found, wanted)) in seen.iter().enumerate() {
        assert_eq!(found, wanted, "number {index}");
    }
    let met: BTreeSet<Quirk> = seen.into_iter().flat_map(|(found, _)| found).chain(SEEN_BY_THE_SERVER).collect();
    assert_eq!(met, Quirk::ALL.iter().copied().collect::<BTreeSet<_>>(), "every quirk has an example");
    // The RFC's own forms are no quirks.
    assert_eq!(group(&engineers, Some(&engineers_document)), [], "a PUT without members empties the group");
    assert_eq!(user(&json!({"id": "1"}), Some(&ada)), [], "the RFC's example of a PUT has it");
    assert_eq!(user(&json!({"id": null, "meta": null, "password": null, "roles": null}), None), []);
    assert_eq!(user(&json!({"roles": [{"value": "{not json}"}], "title": "{}"}), Some(&ada)), []);
    assert_eq!(patch(&json!({"op": "replace", "path": "roles", "value": []})), []);
}
