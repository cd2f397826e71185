//! Bulk requests: cases from `tests/cases/bulks.json`, and that every plan can be carried out.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use rolecall_scim::bulk::{
    BULK_ID_BYTES_LIMIT, BULK_REQUEST_SCHEMA, BulkRequest, Ids, Method, Outcome, Step, Target, bulk_response, resolve,
};
use rolecall_scim::patch::Patch;
use rolecall_scim::schema::{ENTERPRISE, Schemas};
use rolecall_scim::{ResourceKind, ScimError, ScimType};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cases::{ErrorCase, load, outcome};
use crate::generate::json_value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkCase {
    name: String,
    operations: Option<Value>,
    /// The whole body.
    body: Option<Value>,
    #[serde(default)]
    steps: Vec<Value>,
    error: Option<ErrorCase>,
}

fn request(operations: &Value) -> Value {
    json!({"schemas": [BULK_REQUEST_SCHEMA], "Operations": operations})
}

fn parse(operations: &Value) -> BulkRequest {
    BulkRequest::parse(&request(operations), 1_000).unwrap()
}

fn shown(step: &Step) -> Value {
    match step {
        Step::Run(index) => json!(["run", index]),
        Step::RunWithout(index, data) => json!(["without", index, data]),
        Step::Complete(index, patch) => json!(["complete", index, patch["Operations"]]),
        Step::Refuse(index, error) => json!(["refuse", index, error.status]),
    }
}

#[test]
fn bulks() {
    for case in load::<Vec<BulkCase>>("bulks.json") {
        let name = &case.name;
        let body = case.body.unwrap_or_else(|| request(&case.operations.unwrap()));
        let Some(request) = outcome(name, case.error.as_ref(), BulkRequest::parse(&body, 1_000)) else { continue };
        let steps: Vec<Value> = request.plan().steps.iter().map(shown).collect();
        assert_eq!(steps, case.steps, "{name}");
    }
}

#[test]
fn an_operation_is_read_with_everything_that_it_says() {
    let request = parse(&json!([
        {"METHOD": "patch", "Path": "/Groups/bulkId:g", "bulkid": "p", "Version": "W/\"1\"", "DATA": [{"op": "remove", "path": "members"}]},
        {"method": "POST", "path": "/Groups", "bulkId": "g", "version": null, "data": {"displayName": "G"}},
    ]));
    let patch = &request.operations[0];
    let action = patch.action.as_ref().unwrap();
    assert_eq!((patch.method.as_str(), patch.bulk_id.as_deref(), action.version.as_deref()), ("PATCH", Some("p"), Some("W/\"1\"")));
    assert_eq!((action.method, action.kind), (Method::Patch, ResourceKind::Group));
    assert!(Patch::parse(&Schemas::default(), ResourceKind::Group, &action.data).is_ok(), "the message is put around the operations");
    let target = action.target.as_ref().unwrap();
    assert_eq!(target.id(&Ids::from([("g".into(), "0198".into())])), Ok("0198".into()));
    assert_eq!(target.id(&Ids::new()).unwrap_err().status, 409);
    let post = request.operations[1].action.as_ref().unwrap();
    assert_eq!((&post.target, &post.version), (&None, &None));
}

#[test]
fn references_are_replaced_wherever_they_are() {
    let ids = Ids::from([("a".into(), "1".into()), ("b c".into(), "2".into())]);
    let before = json!({
        "members": [{"value": "bulkId:a", "$ref": "https://rolecall.example/v2/Users/bulkId:a"}, {"value": "u", "$ref": "../Users/bulkId:b c"}],
        "Operations": [{"path": "members[value eq \"bulkId:a\" or value eq \"bulkId:b c\"]", "value": "bulkId:b c"}, {"path": "members[value eq \"x\"]"}],
        "title": "about bulkId:a and \"bulkId:a\"", "nickName": "bulkId:", "n": [1, true, null],
        "value": r#"{"value": "bulkId:a", "title": "about bulkId:a"}"#, "texts": " [\"bulkId:b c\"]",
    });
    let after = json!({
        "members": [{"value": "1", "$ref": "https://rolecall.example/v2/Users/1"}, {"value": "u", "$ref": "../Users/2"}],
        "Operations": [{"path": "members[value eq \"1\" or value eq \"2\"]", "value": "2"}, {"path": "members[value eq \"x\"]"}],
        "title": "about bulkId:a and \"bulkId:a\"", "nickName": "bulkId:", "n": [1, true, null],
        "value": r#"{"value": "1", "title": "about bulkId:a"}"#, "texts": " [\"2\"]",
    });
    assert_eq!(resolve(&before, &ids), Ok(after));
    for missing in [
        json!(["bulkId:c"]),
        json!(r#"["bulkId:c"]"#),
        json!({"$ref": "/Users/bulkId:c"}),
        json!({"path": "members[value eq \"bulkId:c\"]"}),
    ] {
        assert_eq!(resolve(&missing, &ids).unwrap_err().status, 409, "{missing}");
    }
}

#[test]
fn what_is_refused_still_names_its_resource() {
    let named = |operation: Value| {
        let operation = parse(&json!([operation])).operations.remove(0);
        assert!(operation.action.is_err(), "{operation:?}");
        operation.target().map(|(kind, target)| (kind, target.clone()))
    };
    let one = || Some((ResourceKind::User, Target::Id("1".into())));
    assert_eq!(named(json!({"method": "PUT", "path": "/Users/1"})), one(), "without data");
    assert_eq!(named(json!({"method": "DELETE", "path": "/Users/1", "version": 5})), one());
    assert_eq!(named(json!({"method": "GET", "path": "/Users/1"})), one());
    assert_eq!(named(json!({"method": "PATCH", "path": "/Users/1", "data": [{"op": "add", "value": {"x": "bulkId:none"}}]})), one());
    assert_eq!(named(json!({"method": "POST", "path": "/Users/1", "bulkId": "a", "data": {}})), None, "nothing was created");
    assert_eq!(named(json!({"method": "PUT", "path": "/Things/1", "data": {}})), None);
}

#[test]
fn the_bounds_hold() {
    let many = |count: usize| request(&Value::from(vec![json!({"method": "DELETE", "path": "/Users/x"}); count]));
    assert_eq!(BulkRequest::parse(&many(3), 3).unwrap().operations.len(), 3);
    assert_eq!(BulkRequest::parse(&many(4), 3).unwrap_err().status, 413);
    let named = |length: usize| {
        parse(&json!([{"method": "POST", "path": "/Users", "bulkId": "x".repeat(length), "data": {}}])).operations.remove(0)
    };
    assert!(named(BULK_ID_BYTES_LIMIT).action.is_ok());
    let long = named(BULK_ID_BYTES_LIMIT + 1);
    assert_eq!((long.action.unwrap_err().error.scim_type, long.bulk_id), (Some(ScimType::InvalidSyntax), None));
    let odd = parse(&json!([{"method": "x".repeat(5_000)}])).operations.remove(0);
    assert!(odd.method.len() < 300, "an answer repeats no more than the start");
    let mut deep = json!(1);
    for _ in 0..40 {
        deep = json!([deep]);
    }
    let error =
        BulkRequest::parse(&request(&json!([{"method": "POST", "path": "/Users", "bulkId": "a", "data": {"x": deep}}])), 3).unwrap_err();
    assert_eq!(error.scim_type, Some(ScimType::InvalidSyntax));
    let chain: Vec<Value> = (0..1_000)
        .map(|i| json!({"method": "POST", "path": "/Users", "bulkId": i.to_string(), "data": {"externalId": format!("bulkId:{}", (i + 1).min(999)) }}))
        .collect();
    let steps = parse(&Value::from(chain)).plan().steps;
    assert_eq!(steps.len(), 1_000);
    assert!(matches!(steps[0], Step::Refuse(999, _)), "the last one refers to itself");
    assert_eq!(steps[1], Step::Run(998));
}

#[test]
fn errors_end_it_when_there_are_enough() {
    let ends = |fail_on_errors: Option<usize>, errors| BulkRequest { fail_on_errors, operations: Vec::new() }.ends_after(errors);
    assert!(!ends(None, 1_000));
    assert!(!ends(Some(2), 1) && ends(Some(2), 2) && ends(Some(2), 3));
    assert!(!ends(Some(1), 0) && ends(Some(1), 1));
    assert!(!ends(Some(0), 0) && ends(Some(0), 1));
    let body = json!({"schemas": [BULK_REQUEST_SCHEMA], "failOnErrors": 3, "Operations": []});
    assert_eq!(BulkRequest::parse(&body, 1).unwrap().fail_on_errors, Some(3));
}

#[test]
fn answers_have_the_rfcs_form() {
    let request = parse(&json!([
        {"method": "POST", "path": "/Users", "bulkId": "qwerty", "data": {"userName": "Alice"}},
        {"method": "POST", "path": "/Users", "data": {}},
        {"method": "DELETE", "path": "/Users/x"},
    ]));
    let location = "https://rolecall.example/v2/Users/1".to_owned();
    let error = request.operations[1].action.clone().unwrap_err().error;
    let outcomes = [
        request.operations[0].done(201, location.clone(), Some("W/\"1\"".into())),
        request.operations[1].failed(&error, None),
        request.operations[2].failed(&ScimError::not_found("such user"), Some(location.clone())),
    ];
    assert_eq!(outcomes.clone().map(|outcome| outcome.is_error()), [false, true, true]);
    let answer = bulk_response(&outcomes);
    assert_eq!(answer["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]));
    assert_eq!(
        answer["Operations"][0],
        json!({"method": "POST", "bulkId": "qwerty", "location": location, "version": "W/\"1\"", "status": "201"})
    );
    assert_eq!(answer["Operations"][1], json!({"method": "POST", "status": "400", "response": error.to_json()}));
    assert_eq!(answer["Operations"][2]["location"], json!(location));
    assert_eq!(answer["Operations"][2]["response"]["status"], json!("404"));
    assert!(!Outcome { status: 302, ..Outcome::default() }.is_error() && !Outcome { status: 204, ..Outcome::default() }.is_error());
}

/// A creation that comes early, because something refers to it, comes behind the deletions that were before it.
#[test]
fn nobody_is_created_before_who_goes_has_gone() {
    let post = |path: &str, bulk_id: &str, data: Value| json!({"method": "POST", "path": path, "bulkId": bulk_id, "data": data});
    let delete = |path: &str| json!({"method": "DELETE", "path": path});
    let group = post("/Groups", "g", json!({"displayName": "G", "members": [{"value": "bulkId:b"}]}));
    let (ada, grace) = (post("/Users", "b", json!({"userName": "ada"})), post("/Users", "c", json!({"userName": "grace"})));
    let order = |operations: Value| -> Vec<usize> {
        let run = |step: &Step| if let Step::Run(index) = step { *index } else { panic!("{step:?}") };
        parse(&operations).plan().steps.iter().map(run).collect()
    };
    assert_eq!(order(json!([group, delete("/Users/1"), delete("/Users/2"), ada, delete("/Users/3")])), [1, 2, 3, 0, 4]);
    assert_eq!(order(json!([delete("/Users/bulkId:b"), delete("/Users/1"), ada, delete("/Users/2"), grace])), [1, 2, 0, 3, 4]);
    assert_eq!(order(json!([delete("/Users/1"), grace, delete("/Users/2"), ada])), [0, 1, 2, 3]);
}

/// Creations that refer to each other: as members, as a manager, or as what can't wait.
fn operations() -> impl Strategy<Value = Value> {
    let target = || (0_usize..6).prop_map(|index| format!("bulkId:{index}"));
    let group = (vec(target(), 0..4), of(target())).prop_map(|(members, hard)| {
        let members: Vec<Value> = members.iter().map(|member| json!({"value": member})).collect();
        ("/Groups", json!({"displayName": "G", "members": members, "externalId": hard}))
    });
    let user = (of(target()), of(target()))
        .prop_map(|(manager, hard)| ("/Users", json!({"userName": "u", "externalId": hard, ENTERPRISE: {"manager": {"value": manager}}})));
    vec(prop_oneof![group, user], 6).prop_map(|operations| {
        let post = |(index, (path, data)): (usize, (&str, Value))| json!({"method": "POST", "path": path, "bulkId": index.to_string(), "data": data});
        operations.into_iter().enumerate().map(post).collect()
    })
}

fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(parts) => parts.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

fn sorted_texts(values: &[&Value]) -> Vec<String> {
    let mut found = Vec::new();
    values.iter().for_each(|value| texts(value, &mut found));
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_can_be_carried_out(operations in operations()) {
        let request = parse(&operations);
        let mut ids = Ids::new();
        let mut refused = HashSet::new();
        let mut run = HashSet::new();
        for step in request.plan().steps {
            let (index, data, creates) = match &step {
                Step::Refuse(index, error) => {
                    prop_assert_eq!(error.status, 409);
                    prop_assert!(refused.insert(*index));
                    continue;
                }
                Step::Run(index) => (*index, request.operations[*index].action.as_ref().unwrap().data.clone(), true),
                Step::RunWithout(index, data) => (*index, data.clone(), true),
                Step::Complete(index, data) => (*index, data.clone(), false),
            };
            match resolve(&data, &ids) {
                Ok(resolved) => prop_assert!(!sorted_texts(&[&resolved]).iter().any(|text| text.starts_with("bulkId:"))),
                // Only what was refused, or failed for it, is not there.
                Err(_) => {
                    prop_assert!(!refused.is_empty(), "{operations}");
                    refused.insert(index);
                    if creates {
                        prop_assert!(run.insert(index));
                    }
                    continue;
                }
            }
            if creates {
                prop_assert!(run.insert(index));
                ids.insert(index.to_string(), format!("id-{index}"));
            } else {
                prop_assert!(run.contains(&index));
                let kind = request.operations[index].action.as_ref().unwrap().kind;
                let resolved = resolve(&data, &ids).unwrap();
                prop_assert!(Patch::parse(&Schemas::default(), kind, &resolved).is_ok());
            }
        }
        prop_assert_eq!(run.union(&refused).count(), request.operations.len());
    }

    #[test]
    fn nothing_that_was_asked_is_lost(operations in operations()) {
        let request = parse(&operations);
        let steps = request.plan().steps;
        for step in &steps {
            let Step::RunWithout(index, without) = step else { continue };
            let added = steps.iter().find_map(|step| match step {
                Step::Complete(other, patch) if other == index => Some(&patch["Operations"][0]["value"]),
                _ => None,
            });
            let asked = &request.operations[*index].action.as_ref().unwrap().data;
            prop_assert_eq!(sorted_texts(&[without, added.unwrap()]), sorted_texts(&[asked]));
        }
    }

    #[test]
    fn any_body_is_planned_or_refused(body in json_value(), operation in json_value(), method in proptest::sample::select(vec!["POST", "PATCH", "DELETE"])) {
        let _ = BulkRequest::parse(&body, 10);
        for operation in [operation.clone(), json!({"method": method, "path": "/Users", "bulkId": "a", "data": operation}), json!({"method": method, "path": "/Users/x", "data": operation})] {
            let Ok(request) = BulkRequest::parse(&request(&json!([operation])), 10) else { continue };
            prop_assert_eq!(request.plan().steps.is_empty(), request.operations.is_empty());
            let _ = resolve(&operation, &Ids::new());
        }
    }
}
