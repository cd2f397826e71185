//! What must hold for everything.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rolecall_scim::filter::Filter;
use rolecall_scim::patch::{Done, Patch, Patched, member_matches};
use rolecall_scim::path::{AttrPath, Path};
use rolecall_scim::projection::Projection;
use rolecall_scim::resource::{Document, Extras, read, view};
use rolecall_scim::schema::Schemas;
use rolecall_scim::{Quirk, ResourceKind, ScimError, ScimType};
use serde_json::{Map, Value, json};

use crate::generate::{body, document, element, filter, inner_filter, json_value, operation, plain_text, shared_filter};
use crate::naive::{self, Outcome};

const USER: ResourceKind = ResourceKind::User;

fn seen(document: &Document) -> Map<String, Value> {
    let extras = Extras {
        id: "a",
        created: "2026-01-05T08:00:00Z".into(),
        last_modified: "2026-01-05T08:00:00Z".into(),
        location: "https://rolecall.example/scim/c/v2/Users/a".into(),
        version: "W/\"1\"".into(),
        rows: Some(vec![json!({"value": "g", "display": "G"})]),
    };
    view(USER, document, extras)
}

fn patch(document: &Document, operations: &Value) -> Result<Patched, ScimError> {
    let message = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    Patch::parse(&Schemas::default(), USER, &message)?.apply(&Schemas::default(), document)
}

/// Everything that is checked when a document is read holds for it: reading what was made of it changes nothing.
fn is_normal(document: &Document) -> Result<(), TestCaseError> {
    let schemas = Schemas::default();
    for (previous, quirk) in [(None, Quirk::ClientMeta), (Some(document), Quirk::PutEcho)] {
        let again = read(&schemas, USER, &Value::Object(seen(document)), previous).map_err(|error| TestCaseError::fail(error.detail))?;
        // A new person of whom nothing is said is not deactivated.
        let new = Document::from_stored(&document.to_value().to_string()).unwrap();
        prop_assert_eq!(&again.document, if previous.is_some() { document } else { &new });
        prop_assert_eq!(again.document.to_value().to_string(), document.to_value().to_string(), "the order, too");
        prop_assert_eq!(again.ignored, ["id", "groups", "meta"]);
        prop_assert_eq!(again.quirks, [quirk]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn put_of_what_get_gave_changes_nothing(document in document()) {
        is_normal(&document)?;
        let stored = serde_json::to_string(&document).unwrap();
        prop_assert_eq!(Document::from_stored(&stored).unwrap(), document);
    }

    #[test]
    fn no_type_has_a_value_twice(body in body(), operations in vec(operation(), 0..4)) {
        let document = read(&Schemas::default(), USER, &body, None).unwrap().document;
        let patched = patch(&document, &Value::from(operations)).map(|patched| patched.document);
        for document in std::iter::once(document).chain(patched) {
            for name in ["emails", "roles"] {
                let values: Vec<&Value> = document.get(name).and_then(Value::as_array).into_iter().flatten().collect();
                let with_value = values.iter().filter(|value| value.get("value").is_some());
                let pairs: Vec<_> = with_value.map(|value| (&value["value"], value.get("type"))).collect();
                prop_assert!((1..pairs.len()).all(|at| !pairs[..at].contains(&pairs[at])), "{name}: {values:?}");
            }
        }
    }

    #[test]
    fn a_printed_filter_parses_to_the_same(filter in filter(), document in document()) {
        let schemas = Schemas::default();
        let printed = filter.to_string();
        let (parsed, quirks) = Filter::parse_with_quirks(&schemas, USER, &printed).map_err(|error| TestCaseError::fail(error.detail))?;
        prop_assert_eq!(parsed.to_string(), printed);
        prop_assert_eq!(Filter::parse(&schemas, USER, &parsed.to_string()).unwrap(), parsed.clone());
        prop_assert_eq!(quirks, []);
        let resource = seen(&document);
        prop_assert_eq!(parsed.matches(&schemas, USER, &resource), filter.matches(&schemas, USER, &resource));
    }

    #[test]
    fn logic_is_logic(a in filter(), b in filter(), document in document()) {
        let schemas = Schemas::default();
        let resource = seen(&document);
        let holds = |filter: &Filter| filter.matches(&schemas, USER, &resource);
        let boxed = |filter: &Filter| Box::new(filter.clone());
        prop_assert_eq!(holds(&Filter::Not(boxed(&a))), !holds(&a));
        prop_assert_eq!(holds(&Filter::And(boxed(&a), boxed(&b))), holds(&a) && holds(&b));
        prop_assert_eq!(holds(&Filter::Or(boxed(&a), boxed(&b))), holds(&a) || holds(&b));
    }

    #[test]
    fn comparisons_agree_with_naive_ones(
        document in document(),
        (name, part) in select(vec![("userName", None), ("emails", Some("value")), ("emails", Some("type")), ("roles", Some("display"))]),
        op in select(vec!["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"]),
        wanted in plain_text(),
    ) {
        let path = part.map_or(name.to_owned(), |part| format!("{name}.{part}"));
        let text = if op == "pr" { format!("{path} pr") } else { format!("{path} {op} {}", Value::from(wanted.as_str())) };
        let filter = Filter::parse(&Schemas::default(), USER, &text).unwrap();
        let resource = seen(&document);
        prop_assert_eq!(filter.matches(&Schemas::default(), USER, &resource), naive::compare(&resource, name, part, op, &wanted), "{}", text);
    }

    #[test]
    fn a_value_path_holds_for_one_of_the_values(document in document(), filter in inner_filter()) {
        let schemas = Schemas::default();
        let holds = |document: &Document| {
            Filter::parse(&schemas, USER, &format!("emails[{filter}]")).unwrap().matches(&schemas, USER, document.attributes())
        };
        let values = document.get("emails").and_then(Value::as_array).cloned().unwrap_or_default();
        let any = values.iter().any(|value| {
            let mut body = naive::least();
            body["emails"] = json!([value]);
            holds(&read(&schemas, USER, &body, None).unwrap().document)
        });
        prop_assert_eq!(holds(&document), any);
    }

    #[test]
    fn a_printed_path_parses_to_the_same(
        attribute in select(vec!["emails", "ROLES", "urn:ietf:params:scim:schemas:core:2.0:User:emails", "unheardOf", "urn:example:x:emails"]),
        filter in inner_filter(),
        sub in proptest::option::of(select(vec!["value", "$ref", "x-y_9"])),
    ) {
        let schemas = Schemas::default();
        let attribute = AttrPath::parse(&schemas, attribute).unwrap();
        let printed = Path::Values { attribute, filter, sub: sub.map(Into::into) }.to_string();
        let parsed = Path::parse(&schemas, &printed).map_err(|error| TestCaseError::fail(error.detail))?;
        prop_assert_eq!(parsed.to_string(), printed);
        prop_assert_eq!(Path::parse(&schemas, &parsed.to_string()).unwrap(), parsed);
    }

    #[test]
    fn patch_agrees_with_a_naive_one(document in document(), operations in vec(operation(), 1..6)) {
        let mut before = document;
        for operation in &operations {
            let expected = naive::patch(serde_json::to_value(&before).unwrap(), operation);
            match (expected, patch(&before, &json!([operation]))) {
                (Outcome::Became(expected), Ok(patched)) => {
                    prop_assert_eq!(serde_json::to_value(&patched.document).unwrap(), expected, "{}", operation);
                    let done = if patched.document == before { Done::NoOp } else { Done::Applied };
                    prop_assert_eq!(patched.operations, [done]);
                    before = patched.document;
                    is_normal(&before)?;
                }
                (Outcome::NoTarget, Err(error)) => prop_assert_eq!(error.scim_type, Some(ScimType::NoTarget), "{}", operation),
                (Outcome::TwoPrimary, Err(error)) => prop_assert_eq!(error.scim_type, Some(ScimType::InvalidValue), "{}", operation),
                (expected, found) => prop_assert!(false, "{operation}: expected {expected:?}, found {found:?}"),
            }
        }
    }

    #[test]
    fn operations_at_once_are_operations_one_by_one(document in document(), operations in vec(operation(), 1..6)) {
        let at_once = patch(&document, &Value::from(operations.clone()));
        let empty = |document: &Document| {
            let emails = document.get("emails").and_then(Value::as_array).into_iter().flatten();
            emails.filter(|email| email.as_object().is_some_and(|parts| parts.keys().all(|name| name == "type" || name == "primary"))).count()
        };
        let were_empty = empty(&document);
        let describes = |operation: &Value| operation["path"].as_str().is_some_and(|path| path.ends_with("].primary"));
        let one_by_one = operations.iter().try_fold((document, Vec::new()), |(document, mut done), operation| {
            let patched = patch(&document, &json!([operation]))?;
            done.extend(patched.operations);
            Ok::<_, ScimError>((patched.document, done))
        });
        match (at_once, one_by_one) {
            (Ok(patched), Ok((document, done))) => {
                prop_assert_eq!(patched.document, document);
                prop_assert_eq!(patched.operations, done);
            }
            // What an element is for may be said before the element: it has to be there in the end.
            (found, Err(alone)) if alone.scim_type == Some(ScimType::NoTarget) && operations.iter().any(describes) => {
                prop_assert!(found.is_err() || found.is_ok_and(|patched| empty(&patched.document) <= were_empty));
            }
            (Err(left), Err(right)) => prop_assert_eq!(left.scim_type, right.scim_type),
            (left, right) => prop_assert!(false, "{left:?} and {right:?}"),
        }
    }

    #[test]
    fn saying_what_is_so_changes_nothing(document in document(), op in select(vec!["add", "replace"])) {
        let mut operations = vec![json!({"op": op, "value": seen(&document)})];
        for (name, value) in document.attributes() {
            operations.push(json!({"op": op, "path": name, "value": value}));
        }
        let patched = patch(&document, &Value::from(operations)).map_err(|error| TestCaseError::fail(error.detail))?;
        prop_assert!(patched.operations.iter().all(|&done| done == Done::NoOp), "{:?}", patched.operations);
        prop_assert_eq!(patched.document, document);
    }

    #[test]
    fn a_projection_only_leaves_out(document in document(), names in vec(select(vec![
        "title", "NAME.givenName", "emails", "emails.value", "groups", "meta", "id", "schemas", "password", "nope",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    ]), 1..5)) {
        let schemas = Schemas::default();
        let all = seen(&document);
        let names = names.join(",");
        let project = |attributes, excluded| {
            let mut resource = all.clone();
            Projection::parse(&schemas, USER, attributes, excluded).unwrap().apply(&schemas, USER, &mut resource);
            resource
        };
        let (only, without) = (project(Some(&names), None), project(None, Some(&names)));
        for left in [&only, &without] {
            prop_assert_eq!((&left["id"], &left["schemas"]), (&all["id"], &all["schemas"]));
            prop_assert!(within(&Value::Object(left.clone()), &Value::Object(all.clone())));
        }
        // What one leaves out, the other keeps.
        for name in all.keys() {
            prop_assert!(only.contains_key(name) || without.contains_key(name), "{}", name);
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "[a-zé0-9 \"\\\\()\\[\\].:$]{0,40}", noise in any::<String>()) {
        let schemas = Schemas::default();
        for text in [&text, &noise] {
            if let Ok(filter) = Filter::parse(&schemas, USER, text) {
                prop_assert_eq!(Filter::parse(&schemas, USER, &filter.to_string()).unwrap(), filter);
            }
            if let Ok(path) = Path::parse(&schemas, text) {
                prop_assert_eq!(Path::parse(&schemas, &path.to_string()).unwrap(), path);
            }
            let _ = Projection::parse(&schemas, USER, Some(text), None);
        }
    }

    #[test]
    fn any_body_is_read_or_refused(body in json_value(), known in body(), name in select(vec!["emails", "name", "title", "active", "meta", "schemas"])) {
        let schemas = Schemas::default();
        let mut mixed = known;
        mixed[name] = body.clone();
        for body in [&body, &mixed] {
            for kind in [USER, ResourceKind::Group] {
                let Ok(read) = read(&schemas, kind, body, None) else { continue };
                prop_assert!(!read.document.to_value().to_string().contains("\\u0000"));
                prop_assert!(read.document.get("password").is_none() && read.document.get("members").is_none());
                if kind == USER {
                    is_normal(&read.document)?;
                }
            }
        }
    }

    #[test]
    fn any_patch_is_applied_or_refused(value in json_value(), document in document(), op in select(vec!["Add", "replace", "remove"]), path in select(vec![
        "emails", "emails.value", "emails[type eq \"work\"]", "emails[type eq \"work\"].value", "name", "name.givenName", "active", "title", "manager", "roles",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "schemas", "password", "id", "",
    ])) {
        for operation in [json!({"op": op, "path": path, "value": value}), json!({"op": op, "value": value}), value.clone()] {
            let Ok(patched) = patch(&document, &json!([operation])) else { continue };
            is_normal(&patched.document)?;
        }
    }

    #[test]
    fn a_member_matches_as_any_value_does(filter in shared_filter(), element in element()) {
        let schemas = Schemas::default();
        let mut element = element;
        element["value"] = json!("u1");
        let mut body = naive::least();
        body["emails"] = json!([element]);
        let user = read(&schemas, USER, &body, None).unwrap().document;
        let as_email = Filter::parse(&schemas, USER, &format!("emails[{filter}]")).unwrap().matches(&schemas, USER, user.attributes());
        prop_assert_eq!(member_matches(&schemas, &filter, &element), as_email);
    }
}

fn within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|other| within(value, other)))
        }
        (Value::Array(part), Value::Array(whole)) => part.iter().all(|value| whole.iter().any(|other| within(value, other))),
        (part, whole) => part == whole,
    }
}
