//! Everything is bounded, and what is at the bound still works.

use rolecall_scim::filter::{FILTER_BYTES_LIMIT, FILTER_DEPTH_LIMIT, Filter};
use rolecall_scim::patch::{LOOKS_LIMIT, OPERATIONS_LIMIT, Patch, member_matches};
use rolecall_scim::path::{PATH_BYTES_LIMIT, Path};
use rolecall_scim::projection::{NAMES_LIMIT, Projection};
use rolecall_scim::resource::{DEPTH_LIMIT, DOCUMENT_BYTES_LIMIT, Document, VALUES_LIMIT, read};
use rolecall_scim::schema::{Schemas, USER};
use rolecall_scim::{ResourceKind, ScimType};
use serde_json::{Value, json};

fn filter(text: &str) -> Result<Filter, Option<ScimType>> {
    Filter::parse(&Schemas::default(), ResourceKind::User, text).map_err(|error| error.scim_type)
}

fn nested(depth: usize) -> String {
    format!("{}title pr{}", "not (".repeat(depth), ")".repeat(depth))
}

fn depth(filter: &Filter) -> usize {
    match filter {
        Filter::And(left, right) | Filter::Or(left, right) => 1 + depth(left).max(depth(right)),
        Filter::Not(inner) => 1 + depth(inner),
        Filter::Values { filter, .. } => 1 + depth(filter),
        Filter::Test(..) => 1,
    }
}

#[test]
fn filters_are_bounded_in_length_and_depth() {
    assert!(filter(&nested(FILTER_DEPTH_LIMIT)).is_ok());
    assert_eq!(filter(&nested(FILTER_DEPTH_LIMIT + 1)), Err(Some(ScimType::InvalidFilter)));
    assert_eq!(filter(&"(".repeat(FILTER_BYTES_LIMIT)), Err(Some(ScimType::InvalidFilter)));
    assert!(filter(&format!("title eq \"{}\"", "x".repeat(FILTER_BYTES_LIMIT - 11))).is_ok());
    assert_eq!(filter(&format!("title eq \"{}\"", "x".repeat(FILTER_BYTES_LIMIT - 10))), Err(Some(ScimType::InvalidFilter)));
}

#[test]
fn the_longest_chain_is_a_shallow_tree() {
    let chain = vec!["title pr"; (FILTER_BYTES_LIMIT + 4) / "title pr or ".len()].join(" or ");
    let longest = filter(&chain).unwrap();
    assert!(depth(&longest) <= 12, "{}", depth(&longest));
    assert_eq!(longest.to_string(), chain);
}

#[test]
fn paths_are_bounded() {
    let path = format!("emails[type eq \"{}\"]", "x".repeat(PATH_BYTES_LIMIT));
    assert_eq!(Path::parse(&Schemas::default(), &path).unwrap_err().scim_type, Some(ScimType::InvalidPath));
    let nested = format!("emails[{}]", nested(FILTER_DEPTH_LIMIT).replace("title", "type"));
    assert_eq!(Path::parse(&Schemas::default(), &nested).unwrap_err().scim_type, Some(ScimType::InvalidFilter));
}

#[test]
fn errors_repeat_no_more_than_the_start_of_a_name() {
    let name = "x".repeat(5_000);
    let error = Filter::parse(&Schemas::default(), ResourceKind::User, &format!("{name} pr")).unwrap_err();
    assert!(error.detail.len() < 300 && error.detail.contains("xxx"), "{error}");
    let body = json!({"schemas": [USER], "userName": "ada", name.as_str(): 1});
    let ignored = read(&Schemas::default(), ResourceKind::User, &body, None).unwrap().ignored;
    assert!(ignored.len() == 1 && ignored[0].len() < 300);
}

#[test]
fn what_is_ignored_is_bounded() {
    let mut body = json!({"schemas": [USER], "userName": "ada"});
    for i in 0..1_000 {
        body[format!("x{i}")] = json!(i);
    }
    assert_eq!(read(&Schemas::default(), ResourceKind::User, &body, None).unwrap().ignored.len(), 100);
}

#[test]
fn values_are_bounded_when_read_and_when_patched() {
    let schemas = Schemas::default();
    let values = |count: usize| Value::from_iter((0..count).map(|i| json!({"value": format!("{i}@acme.example")})));
    let user = |emails: Value| read(&schemas, ResourceKind::User, &json!({"schemas": [USER], "userName": "ada", "emails": emails}), None);
    let full = user(values(VALUES_LIMIT)).unwrap().document;
    assert_eq!(user(values(VALUES_LIMIT + 1)).unwrap_err().scim_type, Some(ScimType::InvalidValue));
    let patch = |value: Value| {
        let message = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "add", "path": "emails", "value": value}]});
        Patch::parse(&schemas, ResourceKind::User, &message).unwrap().apply(&schemas, &full)
    };
    assert!(patch(values(VALUES_LIMIT)).is_ok(), "they are all there already");
    assert_eq!(patch(json!([{"value": "new"}])).unwrap_err().scim_type, Some(ScimType::InvalidValue));
}

#[test]
fn json_in_a_text_is_bounded_like_a_body() {
    // An object around arrays, of which nothing is kept, beside what is: a part of one of the two places.
    let nested = |depth: usize| format!("{{\"nope\":{}{},\"title\":\"T\",\"value\":\"V\"}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let parse = |path: Option<&str>, text: String| {
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "add", "path": path, "value": text}]});
        Patch::parse(&Schemas::default(), ResourceKind::User, &body).map(|_| ()).map_err(|error| error.scim_type)
    };
    for path in [None, Some("emails")] {
        assert_eq!(parse(path, nested(DEPTH_LIMIT)), Ok(()), "{path:?}");
        assert_eq!(parse(path, nested(DEPTH_LIMIT + 1)), Err(Some(ScimType::InvalidSyntax)), "{path:?}");
        assert_eq!(parse(path, nested(100_000)), Err(Some(ScimType::InvalidValue)), "{path:?}: nobody reads that far");
    }
}

#[test]
fn operations_are_bounded() {
    let parse = |count: usize| {
        let operations = vec![json!({"op": "replace", "path": "title", "value": "T"}); count];
        let message = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        Patch::parse(&Schemas::default(), ResourceKind::User, &message)
    };
    assert!(parse(OPERATIONS_LIMIT).is_ok());
    assert_eq!(parse(OPERATIONS_LIMIT + 1).unwrap_err().status, 413);
}

#[test]
fn projections_are_bounded() {
    let parse = |count: usize| Projection::parse(&Schemas::default(), ResourceKind::User, Some(&vec!["title"; count].join(",")), None);
    assert!(parse(NAMES_LIMIT).is_ok());
    assert_eq!(parse(NAMES_LIMIT + 1).unwrap_err().scim_type, Some(ScimType::InvalidValue));
}

#[test]
fn a_members_id_is_compared_as_it_is() {
    let schemas = Schemas::default();
    let Path::Values { filter, .. } = Path::parse(&schemas, "members[value eq \"U1\" or type eq \"group\"]").unwrap() else { panic!() };
    assert!(member_matches(&schemas, &filter, &json!({"value": "U1", "type": "User"})));
    assert!(!member_matches(&schemas, &filter, &json!({"value": "u1", "type": "User"})));
    assert!(member_matches(&schemas, &filter, &json!({"value": "u2", "type": "Group"})));
}

/// What one PATCH makes the server look at is bounded, however its operations and filters multiply.
#[test]
fn a_patch_looks_at_so_many_values() {
    let schemas = Schemas::default();
    let emails: Vec<Value> = (0..1_000).map(|n| json!({"value": n.to_string(), "type": "work"})).collect();
    let document =
        read(&schemas, ResourceKind::User, &json!({"schemas": [USER], "userName": "ada", "emails": emails}), None).unwrap().document;
    let patch = |count: usize, operation: Value| {
        let message = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": vec![operation; count]});
        let patched = Patch::parse(&schemas, ResourceKind::User, &message).unwrap().apply(&schemas, &document);
        patched.map(|_| ()).map_err(|error| (error.status, error.detail))
    };
    let most = LOOKS_LIMIT / emails.len();
    let plain = json!({"op": "remove", "path": "emails[value eq \"x\"]"});
    assert_eq!(patch(most, plain.clone()), Ok(()));
    let (status, detail) = patch(most + 1, plain).unwrap_err();
    assert!(
        status == 413 && detail.contains("more than 100000 values together") && detail.contains(&format!("operation {}", most + 1)),
        "{detail}"
    );
    let tests = ["value eq \"x\""; 8].join(" or ");
    let filtered = json!({"op": "remove", "path": format!("emails[{tests}]")});
    assert_eq!(patch(most / 2, filtered.clone()), Ok(()));
    assert_eq!(patch(most / 2 + 1, filtered).unwrap_err().0, 413);
    assert_eq!(patch(OPERATIONS_LIMIT, json!({"op": "replace", "path": "title", "value": "x"})), Ok(()));
}

/// Neither one PATCH that says one text of thousands of values, nor many that each bring a little, make a document that no body could.
#[test]
fn a_document_does_not_grow_beyond_what_one_body_can_hold() {
    let schemas = Schemas::default();
    let patch = |document: &Document, operations: Value| {
        let message = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        let patched = Patch::parse(&schemas, ResourceKind::User, &message).unwrap().apply(&schemas, document);
        patched.map(|patched| patched.document).map_err(|error| (error.scim_type, error.detail))
    };
    let emails: Vec<Value> = (0..VALUES_LIMIT).map(|n| json!({"value": n.to_string(), "type": "work"})).collect();
    let body = json!({"schemas": [USER], "userName": "ada", "active": true, "emails": emails});
    let many = read(&schemas, ResourceKind::User, &body, None).unwrap().document;
    let text = "x".repeat(DOCUMENT_BYTES_LIMIT / 2);
    for path in ["emails.display", "emails[type eq \"work\"].display", "emails[type eq \"work\"]"] {
        let value = if path.ends_with(']') { json!({"display": text}) } else { json!(text) };
        for op in ["add", "replace"] {
            let (kind, detail) = patch(&many, json!([{"op": op, "path": path, "value": value}])).unwrap_err();
            assert!(kind == Some(ScimType::InvalidValue) && detail.contains("larger than 1048576 bytes"), "{op} {path}: {detail}");
        }
    }
    let half = patch(&many, json!([{"op": "add", "path": "title", "value": text}])).unwrap();
    let (kind, detail) = patch(&half, json!([{"op": "add", "path": "nickName", "value": text}])).unwrap_err();
    assert!(kind == Some(ScimType::InvalidValue) && detail.contains("nickName"), "{detail}");
    patch(&half, json!([{"op": "remove", "path": "title"}, {"op": "add", "path": "nickName", "value": text}])).unwrap();

    // What is larger already, from before there was a limit, can shrink and stay, and whoever it is can leave.
    let mut larger = half.attributes().clone();
    larger.remove("active");
    larger.insert("nickName".into(), text.into());
    let larger = Document::from_stored(&Value::Object(larger).to_string()).unwrap();
    let left = patch(&larger, json!([{"op": "replace", "path": "active", "value": false}, {"op": "replace", "path": "emails[value eq \"7\"].type", "value": "home"}])).unwrap();
    assert!(!left.is_active());
    let mut put = larger.to_value();
    put["active"] = false.into();
    assert!(!read(&schemas, ResourceKind::User, &put, Some(&larger)).unwrap().document.is_active());
    put["displayName"] = "Ada".into();
    assert_eq!(read(&schemas, ResourceKind::User, &put, Some(&larger)).unwrap_err().scim_type, Some(ScimType::InvalidValue));
}

/// Whoever has the most values is put back in no more time than it takes to read them twice.
#[test]
fn the_most_values_are_put_back() {
    let schemas = Schemas::default();
    let many: Vec<Value> = (0..VALUES_LIMIT).map(|n| json!({"value": n.to_string()})).collect();
    let body =
        json!({"schemas": [USER], "userName": "ada", "emails": many, "roles": many, "entitlements": many, "photos": many, "ims": many});
    let document = read(&schemas, ResourceKind::User, &body, None).unwrap().document;
    assert_eq!(read(&schemas, ResourceKind::User, &body, Some(&document)).unwrap().document, document);
}
