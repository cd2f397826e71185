//! Plays `tests/cases/*.json`. A case that names no error must not fail; what it names of the outcome must be exactly so.

use std::fmt::Debug;
use std::path::Path as FilePath;

use rolecall_scim::filter::Filter;
use rolecall_scim::patch::{MemberChange, Patch};
use rolecall_scim::path::Path;
use rolecall_scim::projection::Projection;
use rolecall_scim::resource::{Document, Extras, Read, read, view};
use rolecall_scim::schema::Schemas;
use rolecall_scim::{ResourceKind, ScimError};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorCase {
    status: Option<u16>,
    scim_type: Option<String>,
    detail: Option<String>,
}

pub fn load<T: for<'de> Deserialize<'de>>(file: &str) -> T {
    let path = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn kind(name: Option<&str>) -> ResourceKind {
    ResourceKind::from_name(name.unwrap_or("User")).unwrap()
}

pub fn check_error(name: &str, wanted: &ErrorCase, error: &ScimError) {
    assert_eq!(error.status, wanted.status.unwrap_or(400), "{name}: {error}");
    assert_eq!(error.scim_type.map(|word| word.word()), wanted.scim_type.as_deref(), "{name}: {error}");
    if let Some(detail) = &wanted.detail {
        assert!(error.detail.contains(detail), "{name}: `{error}` should say `{detail}`");
    }
}

/// The outcome, or `None` when the case wanted this error.
pub fn outcome<T: Debug>(name: &str, wanted: Option<&ErrorCase>, result: Result<T, ScimError>) -> Option<T> {
    match (wanted, result) {
        (None, Ok(value)) => Some(value),
        (None, Err(error)) => panic!("{name}: {error}"),
        (Some(_), Ok(value)) => panic!("{name} should fail, and gave {value:?}"),
        (Some(wanted), Err(error)) => {
            check_error(name, wanted, &error);
            None
        }
    }
}

pub fn words(values: &[impl Debug]) -> Vec<String> {
    values.iter().map(|value| format!("{value:?}")).collect()
}

/// A body with the schema that its kind needs, unless the case says otherwise.
fn with_schemas(kind: ResourceKind, body: &Value) -> Value {
    let mut body = body.clone();
    if let Value::Object(body) = &mut body
        && !body.keys().any(|key| key.eq_ignore_ascii_case("schemas"))
    {
        body.insert("schemas".into(), json!([Schemas::default().core(kind).id]));
    }
    body
}

pub fn document(kind: ResourceKind, body: &Value) -> Document {
    read(&Schemas::default(), kind, &with_schemas(kind, body), None).unwrap().document
}

/// Compares, leaving `schemas` out where the case does not speak of it.
fn assert_document(name: &str, document: &Document, wanted: &Value) {
    let mut found = document.to_value();
    if wanted.get("schemas").is_none() {
        found.as_object_mut().unwrap().remove("schemas");
    }
    assert_eq!(&found, wanted, "{name}");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    meta: Option<Value>,
    body: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterCase {
    filter: String,
    #[serde(default)]
    matches: Vec<String>,
    error: Option<ErrorCase>,
    #[serde(default)]
    quirks: Vec<String>,
    prints: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterFile {
    people: Map<String, Value>,
    cases: Vec<FilterCase>,
}

#[test]
fn filters() {
    let schemas = Schemas::default();
    let file: FilterFile = load("filters.json");
    let people: Vec<(String, Map<String, Value>)> = file
        .people
        .into_iter()
        .map(|(name, person)| {
            let Person { meta, body } = serde_json::from_value(person).unwrap();
            let mut resource = view(ResourceKind::User, &document(ResourceKind::User, &body), Extras { id: &name, ..Extras::default() });
            resource.insert("meta".into(), meta.unwrap_or_else(|| json!({"resourceType": "User"})));
            (name, resource)
        })
        .collect();
    for case in &file.cases {
        let name = &case.filter;
        let result = Filter::parse_with_quirks(&schemas, ResourceKind::User, name);
        let Some((filter, quirks)) = outcome(name, case.error.as_ref(), result) else { continue };
        let found: Vec<&String> =
            people.iter().filter(|(_, resource)| filter.matches(&schemas, ResourceKind::User, resource)).map(|(name, _)| name).collect();
        assert_eq!(found, case.matches.iter().collect::<Vec<_>>(), "{name}");
        assert_eq!(words(&quirks), case.quirks, "{name}");
        let printed = filter.to_string();
        if let Some(prints) = &case.prints {
            assert_eq!(&printed, prints);
        }
        assert_eq!(Filter::parse(&schemas, ResourceKind::User, &printed), Ok(filter), "{name} prints {printed}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathCase {
    path: String,
    /// `attribute`, `values` or `extension`.
    form: Option<String>,
    error: Option<ErrorCase>,
}

#[test]
fn paths() {
    let schemas = Schemas::default();
    for case in load::<Vec<PathCase>>("paths.json") {
        let name = &case.path;
        let Some(path) = outcome(name, case.error.as_ref(), Path::parse(&schemas, name)) else { continue };
        let form = match &path {
            Path::Attribute(_) => "attribute",
            Path::Values { .. } => "values",
            Path::Extension(_) => "extension",
        };
        assert_eq!(Some(form), case.form.as_deref(), "{name}");
        assert_eq!(Path::parse(&schemas, &path.to_string()), Ok(path), "{name}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadCase {
    name: String,
    kind: Option<String>,
    /// The document that a PUT replaces.
    previous: Option<Value>,
    body: Value,
    /// The body is taken as it is, without a `schemas` added.
    #[serde(default)]
    verbatim: bool,
    document: Option<Value>,
    members: Option<Vec<String>>,
    #[serde(default)]
    ignored: Vec<String>,
    #[serde(default)]
    quirks: Vec<String>,
    error: Option<ErrorCase>,
}

#[test]
fn resources() {
    let schemas = Schemas::default();
    for case in load::<Vec<ReadCase>>("resources.json") {
        let name = &case.name;
        let kind = kind(case.kind.as_deref());
        let previous = case.previous.as_ref().map(|previous| document(kind, previous));
        let body = if case.verbatim { case.body.clone() } else { with_schemas(kind, &case.body) };
        let Some(Read { document, members, ignored, quirks }) =
            outcome(name, case.error.as_ref(), read(&schemas, kind, &body, previous.as_ref()))
        else {
            continue;
        };
        assert_document(name, &document, case.document.as_ref().unwrap());
        assert_eq!(members, case.members, "{name}");
        assert_eq!(ignored, case.ignored, "{name}");
        assert_eq!(words(&quirks), case.quirks, "{name}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchCase {
    name: String,
    kind: Option<String>,
    #[serde(default)]
    before: Value,
    /// The operations, or with `verbatim` the whole body.
    operations: Value,
    #[serde(default)]
    verbatim: bool,
    /// Left out: as before.
    after: Option<Value>,
    /// Left out: every operation is `Applied`.
    done: Option<Vec<String>>,
    #[serde(default)]
    members: Vec<Value>,
    #[serde(default)]
    ignored: Vec<String>,
    #[serde(default)]
    quirks: Vec<String>,
    error: Option<ErrorCase>,
}

fn member_change(change: &MemberChange) -> Value {
    match change {
        MemberChange::Add(ids) => json!({"add": ids}),
        MemberChange::Remove(ids) => json!({"remove": ids}),
        MemberChange::RemoveMatching(filter) => json!({"matching": filter.to_string()}),
        MemberChange::ReplaceMatching(filter, id) => json!({"matching": filter.to_string(), "by": id}),
        MemberChange::Replace(ids) => json!({"replace": ids}),
    }
}

fn play_patches(file: &str) {
    let schemas = Schemas::default();
    for case in load::<Vec<PatchCase>>(file) {
        let name = &case.name;
        let kind = kind(case.kind.as_deref());
        let least = match kind {
            ResourceKind::User => json!({"userName": "ada@acme.example"}),
            ResourceKind::Group => json!({"displayName": "Engineers"}),
        };
        let before = document(kind, if case.before.is_null() { &least } else { &case.before });
        let body = if case.verbatim {
            case.operations.clone()
        } else {
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": case.operations})
        };
        let result = Patch::parse(&schemas, kind, &body).and_then(|patch| patch.apply(&schemas, &before));
        let Some(patched) = outcome(name, case.error.as_ref(), result) else { continue };
        match &case.after {
            Some(after) => assert_document(name, &patched.document, after),
            None => assert_eq!(patched.document, before, "{name}"),
        }
        let operations = body["Operations"].as_array().unwrap().len();
        let done = case.done.unwrap_or_else(|| vec!["Applied".into(); operations]);
        assert_eq!(words(&patched.operations), done, "{name}");
        assert_eq!(patched.members.iter().map(member_change).collect::<Vec<_>>(), case.members, "{name}");
        assert_eq!(patched.ignored, case.ignored, "{name}");
        assert_eq!(words(&patched.quirks), case.quirks, "{name}");
    }
}

#[test]
fn patches_of_the_rfc() {
    play_patches("patches.json");
}

#[test]
fn patches_of_clients() {
    play_patches("client_patches.json");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectionCase {
    attributes: Option<String>,
    excluded: Option<String>,
    result: Option<Value>,
    /// Core attributes that are not wanted, so not loaded.
    #[serde(default)]
    unwanted: Vec<String>,
    error: Option<ErrorCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectionFile {
    resource: Map<String, Value>,
    cases: Vec<ProjectionCase>,
}

#[test]
fn projections() {
    let schemas = Schemas::default();
    let file: ProjectionFile = load("projections.json");
    for case in &file.cases {
        let name = format!("attributes {:?}, excluded {:?}", case.attributes, case.excluded);
        let result = Projection::parse(&schemas, ResourceKind::User, case.attributes.as_deref(), case.excluded.as_deref());
        let Some(projection) = outcome(&name, case.error.as_ref(), result) else { continue };
        let mut resource = file.resource.clone();
        projection.apply(&schemas, ResourceKind::User, &mut resource);
        assert_eq!(Value::Object(resource), *case.result.as_ref().unwrap(), "{name}");
        for attribute in ["groups", "emails", "userName"] {
            assert_eq!(projection.wants(attribute), !case.unwanted.iter().any(|name| name == attribute), "{name}: {attribute}");
        }
    }
}
