//! Queries by GET and by `.search`: cases from `tests/cases/searches.json`, and that both are one.

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use rolecall_scim::message::{PAGE_DEFAULT, PAGE_LIMIT, cursor_response};
use rolecall_scim::projection::NAMES_LIMIT;
use rolecall_scim::schema::Schemas;
use rolecall_scim::search::{Page, SEARCH_SCHEMA, SearchRequest};
use rolecall_scim::{Quirk, ResourceKind, ScimType};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cases::{ErrorCase, load, outcome};
use crate::generate::json_value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchCase {
    /// A query string, without escapes.
    query: Option<String>,
    body: Option<Value>,
    request: Option<Asked>,
    error: Option<ErrorCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[derive(Default)]
struct Asked {
    attributes: Vec<String>,
    excluded_attributes: Vec<String>,
    filter: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    start_index: Option<i64>,
    count: Option<i64>,
    cursor: Option<String>,
    ignored: Vec<String>,
}

fn pairs(query: &str) -> Vec<(&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect()
}

#[test]
fn searches() {
    for case in load::<Vec<SearchCase>>("searches.json") {
        let name = case.query.clone().unwrap_or_else(|| case.body.as_ref().unwrap().to_string());
        let result = match (&case.query, &case.body) {
            (Some(query), _) => SearchRequest::from_query(pairs(query)),
            (None, body) => SearchRequest::from_body(body.as_ref().unwrap()),
        };
        let Some(request) = outcome(&name, case.error.as_ref(), result) else { continue };
        let Asked { attributes, excluded_attributes, filter, sort_by, sort_order, start_index, count, cursor, ignored } =
            case.request.unwrap();
        let wanted = SearchRequest { attributes, excluded_attributes, filter, sort_by, sort_order, start_index, count, cursor, ignored };
        assert_eq!(request, wanted, "{name}");
    }
}

#[test]
fn pages_go_by_index_unless_a_cursor_is_named() {
    let page = |query: &str| SearchRequest::from_query(pairs(query)).unwrap();
    for (query, wanted) in [
        ("", Page::Index { start_index: 1, count: PAGE_DEFAULT }),
        ("startIndex=0&count=-3", Page::Index { start_index: 1, count: 0 }),
        ("startIndex=5&count=99999999", Page::Index { start_index: 5, count: PAGE_LIMIT }),
        ("cursor", Page::Cursor { cursor: None, count: PAGE_DEFAULT }),
        ("cursor=&count=1", Page::Cursor { cursor: None, count: 1 }),
        ("cursor=xyz&count=99999999", Page::Cursor { cursor: Some("xyz"), count: PAGE_LIMIT }),
    ] {
        assert_eq!(page(query).page(), Ok(wanted), "{query}");
    }
    for query in ["cursor=&count=0", "cursor=xyz&count=-1"] {
        assert_eq!(page(query).page().unwrap_err().scim_type, Some(ScimType::InvalidCount), "{query}");
    }
    assert_eq!(page("cursor=xyz&startIndex=1").page().unwrap_err().scim_type, Some(ScimType::InvalidValue));
}

#[test]
fn what_is_asked_is_read_for_the_kinds_that_are_asked_for() {
    let schemas = Schemas::default();
    let request = SearchRequest::from_query(pairs("filter=externalId eq x&sortBy=members.value&attributes=members,userName")).unwrap();
    let (filter, quirks) = request.filter(&schemas, &ResourceKind::ALL).unwrap();
    assert_eq!((filter.unwrap().to_string().as_str(), quirks), ("externalId eq \"x\"", vec![Quirk::UnquotedText]));
    assert_eq!(request.sort(&schemas, &[ResourceKind::User]).unwrap_err().scim_type, Some(ScimType::InvalidValue));
    assert_eq!(request.sort(&schemas, &ResourceKind::ALL).unwrap_err().scim_type, Some(ScimType::InvalidValue));
    assert!(request.projection(&schemas, ResourceKind::Group).unwrap().wants("members"));
    assert!(!request.projection(&schemas, ResourceKind::User).unwrap().wants("groups"));
    let nothing = SearchRequest::default();
    assert_eq!(nothing.filter(&schemas, &ResourceKind::ALL), Ok((None, Vec::new())));
    assert_eq!(nothing.sort(&schemas, &ResourceKind::ALL), Ok(None));
    let both = SearchRequest::from_query(pairs("attributes=a&excludedAttributes=b")).unwrap();
    assert_eq!(both.projection(&schemas, ResourceKind::User).unwrap_err().scim_type, Some(ScimType::InvalidValue));
}

#[test]
fn searches_are_bounded() {
    let body = |names: usize| json!({"schemas": [SEARCH_SCHEMA], "attributes": vec!["title"; names]});
    assert!(SearchRequest::from_body(&body(NAMES_LIMIT)).unwrap().projection(&Schemas::default(), ResourceKind::User).is_ok());
    assert_eq!(SearchRequest::from_body(&body(NAMES_LIMIT + 1)).unwrap_err().scim_type, Some(ScimType::InvalidValue));
    let strange: Vec<String> = (0..1_000).map(|i| format!("x{i}")).collect();
    let ignored = SearchRequest::from_query(strange.iter().map(|name| (name.as_str(), ""))).unwrap().ignored;
    assert_eq!(ignored.len(), 100);
}

#[test]
fn a_page_by_cursor_says_how_to_go_on() {
    let resource = json!({"id": "1"}).as_object().unwrap().clone();
    let schemas = ["urn:ietf:params:scim:api:messages:2.0:ListResponse"];
    let middle = cursor_response(Some(100), vec![resource.clone()], Some("n"), Some("p"));
    let wanted = json!({"schemas": schemas, "totalResults": 100, "itemsPerPage": 1, "nextCursor": "n", "previousCursor": "p", "Resources": [resource]});
    assert_eq!(middle, wanted);
    assert_eq!(cursor_response(None, Vec::new(), None, None), json!({"schemas": schemas, "itemsPerPage": 0, "Resources": []}));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_get_and_a_search_are_one(
        attributes in prop::collection::vec(select(vec!["userName", "emails.value", "nope"]), 0..3),
        filter in of(select(vec!["title pr", "userName eq \"a\""])),
        sort_by in of(select(vec!["title", "userName"])),
        start_index in of(any::<i64>()),
        count in of(any::<i64>()),
        cursor in of("[a-z]{0,4}"),
    ) {
        let mut body = json!({"schemas": [SEARCH_SCHEMA]});
        let mut query = Vec::new();
        let mut say = |name: &'static str, value: Option<Value>, text: Option<String>| {
            if let (Some(value), Some(text)) = (value, text) {
                body[name] = value;
                query.push((name, text));
            }
        };
        say("attributes", (!attributes.is_empty()).then(|| attributes.clone().into()), Some(attributes.join(",")));
        say("filter", filter.map(Value::from), filter.map(Into::into));
        say("sortBy", sort_by.map(Value::from), sort_by.map(Into::into));
        say("startIndex", start_index.map(Value::from), start_index.map(|index| index.to_string()));
        say("count", count.map(Value::from), count.map(|count| count.to_string()));
        say("cursor", cursor.clone().map(Value::from), cursor);
        let query = SearchRequest::from_query(query.iter().map(|(name, text)| (*name, text.as_str())));
        prop_assert_eq!(SearchRequest::from_body(&body), query);
    }

    #[test]
    fn any_body_is_read_or_refused(body in json_value(), name in select(vec!["attributes", "filter", "count", "cursor", "sortOrder"])) {
        let _ = SearchRequest::from_body(&body);
        if let Ok(request) = SearchRequest::from_body(&json!({"schemas": [SEARCH_SCHEMA], name: body})) {
            let _ = (request.page(), request.sort(&Schemas::default(), &ResourceKind::ALL), request.filter(&Schemas::default(), &ResourceKind::ALL));
        }
    }
}
