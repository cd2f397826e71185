//! Listings: filters as SQL, pages, exact totals.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use rolecall::model::ResourceId;
use rolecall_scim::ResourceKind;
use rolecall_scim::filter::{Filter, Literal, Op, Test};
use rolecall_scim::path::AttrPath;
use rolecall_scim::schema::Schemas;
use rolecall_scim::sort::Sort;

use rolecall::store::{Change, ListQuery, Listing, PAGE_BYTES_LIMIT, ResourceWrite, SCAN_LIMIT, StoreError, StoredResource, Window};
use rolecall_scim::cursor::Position;
use rolecall_scim::resource::{Extras, view};
use serde_json::{Map, Value, json};
use sqlx::Connection as _;

use crate::fixture::{Fixture, START, Through, document};

store_contract_suite!(
    pages_are_stable_and_totals_exact,
    columns_answer_filters,
    rows_beside_answer_filters,
    the_database_means_what_memory_means,
    orders_and_walks_mean_what_memory_means,
    a_place_stays_right_while_others_come_and_go,
    too_many_candidates_are_refused,
    a_page_has_no_more_bytes_than_may_be_in_memory,
);

fn test(path: &str, op: Op, value: Literal) -> Filter {
    let (name, sub) = path.split_once('.').map_or((path, None), |(name, sub)| (name, Some(sub.to_owned())));
    Filter::Test(AttrPath { urn: None, name: name.into(), sub }, Test::Compare(op, value))
}

fn eq(path: &str, value: &str) -> Filter {
    test(path, Op::Eq, Literal::Text(value.into()))
}

async fn list(through: &Through<'_>, kind: ResourceKind, filter: Option<&Filter>, offset: i64, limit: i64) -> (Vec<String>, i64) {
    let schemas = Schemas::default();
    let query = ListQuery { kinds: &[kind], schemas: &schemas, filter, sort: None, window: Window::Index { offset, limit } };
    ids_and_total(through, &query).await
}

async fn ids_and_total(through: &Through<'_>, query: &ListQuery<'_>) -> (Vec<String>, i64) {
    let page = through.store.list(&through.tenant, &through.connection, query).await.unwrap();
    assert_eq!((page.next, page.previous), (None, None));
    (page.items.into_iter().map(|item| item.id.0).collect(), page.total.unwrap())
}

/// The pages of a walk from the start to the end, and those of the way back, each in the order of the list.
async fn walk(through: &Through<'_>, query: &ListQuery<'_>, limit: i64) -> [Vec<Vec<String>>; 2] {
    let ids = |page: &Listing| page.items.iter().map(|item| item.id.0.clone()).collect::<Vec<_>>();
    let page = async |position: Option<&Position>| {
        let query = ListQuery { window: Window::Beside { position, limit }, ..query.clone() };
        through.store.list(&through.tenant, &through.connection, &query).await.unwrap()
    };
    let mut at = page(None).await;
    assert_eq!(at.previous, None, "nothing is before the first page");
    let (mut there, mut back) = (vec![ids(&at)], Vec::new());
    while let Some(next) = at.next.clone() {
        at = page(Some(&next)).await;
        there.push(ids(&at));
    }
    while let Some(previous) = at.previous.clone() {
        at = page(Some(&previous)).await;
        assert!(at.next.is_some(), "the way back leads to where it came from");
        back.insert(0, ids(&at));
    }
    [there, back]
}

async fn users(through: &Through<'_>, filter: &Filter) -> Vec<String> {
    let (ids, total) = list(through, ResourceKind::User, Some(filter), 0, 100).await;
    assert_eq!(i64::try_from(ids.len()).unwrap(), total);
    ids
}

async fn pages_are_stable_and_totals_exact(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    let here = fixture.here();
    let ids = here.create_users("u", 5).await;
    fixture.through("conn-2").create_user("there").await;
    here.create_group("eng", &[]).await;
    let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    assert_eq!(list(&here, ResourceKind::User, None, 0, 2).await, (vec![ids[0].into(), ids[1].into()], 5));
    assert_eq!(list(&here, ResourceKind::User, None, 4, 2).await, (vec![ids[4].into()], 5));
    assert_eq!(list(&here, ResourceKind::User, None, 5, 2).await, (vec![], 5));
    assert_eq!(list(&here, ResourceKind::User, None, 0, 0).await, (vec![], 5));
    assert_eq!(list(&here, ResourceKind::Group, None, 0, 10).await, (vec!["group-eng".into()], 1));
}

async fn columns_answer_filters(fixture: Fixture) {
    let here = fixture.here();
    here.create_user("ana").await;
    here.create_user("bob").await;
    let mut inactive = here.creation("eve");
    let eve = json!({"userName": "Eve", "displayName": "Straße", "active": false, "emails": [{"value": "EVE@example.com"}]});
    inactive.write = Some(ResourceWrite::CreateUser { id: "user-eve".into(), document: document(eve), revives: None });
    here.commit(Change { at: START.plus_seconds(1), ..inactive }).await.unwrap();
    here.create_group("bob", &[]).await;

    assert_eq!(users(&here, &eq("userName", "ANA@example.COM")).await, ["user-ana"]);
    assert_eq!(users(&here, &eq("username", "nobody")).await, [""; 0]);
    assert_eq!(users(&here, &eq("userName", "a\0")).await, [""; 0]);
    assert_eq!(users(&here, &eq("externalId", "ext-bob")).await, ["user-bob"]);
    assert_eq!(users(&here, &eq("externalId", "EXT-bob")).await, [""; 0], "case matters");
    assert_eq!(users(&here, &eq("displayName", "STRASSE")).await, ["user-eve"]);
    assert_eq!(users(&here, &eq("id", "user-bob")).await, ["user-bob"]);
    assert_eq!(users(&here, &eq("emails.value", "eve@EXAMPLE.com")).await, ["user-eve"]);
    let emails = AttrPath { urn: None, name: "emails".into(), sub: None };
    let values = Filter::Values { attribute: emails, filter: eq("value", "ana@example.com").into(), then: None };
    assert_eq!(users(&here, &values).await, ["user-ana"]);
    assert_eq!(users(&here, &test("active", Op::Eq, Literal::Bool(false))).await, ["user-eve"]);
    assert_eq!(users(&here, &test("active", Op::Eq, Literal::Bool(true))).await, ["user-ana", "user-bob"]);
    let since = |op| test("meta.lastModified", op, Literal::Text(START.plus_seconds(1).to_string()));
    assert_eq!(users(&here, &since(Op::Ge)).await, ["user-eve"]);
    assert_eq!(users(&here, &since(Op::Lt)).await, ["user-ana", "user-bob"]);
    assert_eq!(users(&here, &since(Op::Gt)).await, [""; 0]);
    let either = Filter::Or(eq("userName", "eve").into(), eq("externalId", "ext-bob").into());
    assert_eq!(users(&here, &either).await, ["user-bob", "user-eve"]);
    let both = Filter::And(either.into(), test("active", Op::Eq, Literal::Bool(true)).into());
    assert_eq!(users(&here, &both).await, ["user-bob"]);
    let present = |path: &str| Filter::Test(AttrPath { urn: None, name: path.into(), sub: None }, Test::Present);
    assert_eq!(users(&here, &present("externalId")).await, ["user-ana", "user-bob"]);
    assert_eq!(users(&here, &present("id")).await.len(), 3);
    assert_eq!(list(&here, ResourceKind::Group, Some(&eq("displayName", "BOB")), 0, 9).await, (vec!["group-bob".into()], 1));
}

async fn rows_beside_answer_filters(fixture: Fixture) {
    let here = fixture.here();
    let (ana, bob) = (here.create_user("ana").await, here.create_user("bob").await);
    let inner = here.create_group("inner", &[&ana]).await;
    let outer = here.create_group("outer", &[&inner, &bob]).await;
    let groups = async |filter: Filter| list(&here, ResourceKind::Group, Some(&filter), 0, 9).await.0;
    assert_eq!(groups(eq("members.value", ana.as_str())).await, ["group-inner"]);
    let members = AttrPath { urn: None, name: "members".into(), sub: None };
    let nested = Filter::Values { attribute: members, filter: eq("value", inner.as_str()).into(), then: None };
    assert_eq!(groups(nested).await, ["group-outer"]);
    assert_eq!(users(&here, &eq("groups.value", inner.as_str())).await, ["user-ana"]);
    assert_eq!(users(&here, &eq("groups.value", outer.as_str())).await, ["user-ana", "user-bob"], "through nested groups too");
    here.commit(Change { write: Some(ResourceWrite::DeleteGroup { id: outer.clone() }), ..here.change() }).await.unwrap();
    assert_eq!(users(&here, &eq("groups.value", outer.as_str())).await, [""; 0]);
}

/// Values that resources are made of and filters ask for: cases that fold, differ in case alone, are empty, or have quotes in them.
const WORDS: &[&str] = &["ana", "ANA", "Straße", "STRASSE", "José", "", "o'neil", "100%", "a_b", "zoë", "\u{10ffff}"];

/// What a user has besides a name: each attribute perhaps, of the words.
fn user_body() -> impl Strategy<Value = Map<String, Value>> {
    let word = || of(select(WORDS));
    let email = (select(WORDS), of(select(&["work", "home", "Work"][..]))).prop_map(|(value, kind)| json!({"value": value, "type": kind}));
    let emails = (vec(email, 0..4), any::<bool>()).prop_map(|(mut emails, primary)| {
        if let (true, Some(first)) = (primary, emails.first_mut()) {
            first["primary"] = json!(true);
        }
        emails
    });
    (word(), word(), word(), word(), of(any::<bool>()), emails).prop_map(|(external, display, nick, family, active, emails)| {
        let parts = [
            ("externalId", external.map(Value::from)),
            ("displayName", display.map(Value::from)),
            ("nickName", nick.map(Value::from)),
            ("name", family.map(|family| json!({"familyName": family}))),
            ("active", active.map(Value::from)),
            ("emails", (!emails.is_empty()).then(|| Value::from(emails))),
        ];
        parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    })
}

/// Users and groups of generated attributes, the same in each run.
async fn populate(here: &Through<'_>) {
    let pick = |number: usize| WORDS[number % WORDS.len()];
    let mut runner = TestRunner::deterministic();
    let mut users = Vec::new();
    for number in 0..44_usize {
        let mut body = user_body().new_tree(&mut runner).unwrap().current();
        body.insert("userName".into(), json!(format!("{}{number}", pick(number))));
        let mut change = here.creation(&format!("p{number:02}"));
        let id = format!("user-p{number:02}");
        change.write = Some(ResourceWrite::CreateUser { id: id.as_str().into(), document: document(Value::Object(body)), revives: None });
        // A few microseconds apart: clients see milliseconds.
        let at = rolecall::model::Instant(START.0 + i64::try_from(number).unwrap() * 300);
        here.commit(Change { at, ..change }).await.unwrap();
        users.push(ResourceId(id));
    }
    for number in 0..10_usize {
        let members: Vec<&ResourceId> = users.iter().skip(number * 3).step_by(number + 1).take(5).collect();
        let mut change = here.group_creation(&format!("p{number}"), &members);
        // Names that differ by their case alone would be one group twice.
        let external = format!("{}{}", pick(number / 2), number % 2);
        let body = json!({"displayName": pick(number), "externalId": external});
        if let Some(ResourceWrite::CreateGroup { document: stored, .. }) = &mut change.write {
            *stored = document(body);
        }
        here.commit(change).await.unwrap();
    }
    // Groups in groups.
    for (outer, inner) in [("group-p0", "group-p1"), ("group-p1", "group-p2"), ("group-p0", "group-p5")] {
        here.change_members(&outer.into(), &[&inner.into()], &[]).await;
    }
}

fn text_literal() -> impl Strategy<Value = String> {
    (select(WORDS), 0..44_usize, proptest::bool::ANY)
        .prop_map(|(word, number, numbered)| json!(if numbered { format!("{word}{number}") } else { word.to_owned() }).to_string())
}

/// Attributes that hold texts.
const TEXTS: &[&str] =
    &["userName", "externalId", "displayName", "nickName", "emails", "emails.value", "emails.type", "name.familyName", "USERNAME"];
/// Other attributes.
const OTHERS: &[&str] = &["active", "meta.created", "id", "groups"];
const OPS: &[&str] = &["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"];

/// A test of one attribute, as a client writes it.
fn test_text() -> impl Strategy<Value = String> {
    let instants = (0..14_i64, proptest::bool::ANY).prop_map(|(millis, finer)| {
        let at = rolecall::model::Instant(START.0 + millis * 1_000).to_string();
        if finer { at.replace('Z', "5Z") } else { at }
    });
    let ids = prop_oneof![
        (0..50_usize).prop_map(|number| format!("user-p{number:02}")),
        (0..12_usize).prop_map(|number| format!("group-p{number}"))
    ];
    let row = select(&["groups.value", "groups", "groups.display", "groups.type", "id"][..]);
    prop_oneof![
        4 => (select(TEXTS), select(OPS), text_literal())
            .prop_map(|(path, op, value)| format!("{path} {op} {value}")),
        4 => (select(TEXTS), text_literal()).prop_map(|(path, value)| format!("{path} eq {value}")),
        1 => select([TEXTS, OTHERS].concat()).prop_map(|path| format!("{path} pr")),
        1 => select(TEXTS).prop_map(|path| format!("{path} eq null")),
        1 => (select(&["eq", "ne"][..]), proptest::bool::ANY).prop_map(|(op, value)| format!("active {op} {value}")),
        2 => (select(&["meta.created", "meta.lastModified"][..]), select(OPS), instants)
            .prop_filter("dates have no parts", |(_, op, _)| !["co", "sw", "ew"].contains(op))
            .prop_map(|(path, op, at)| format!("{path} {op} \"{at}\"")),
        2 => (row, ids).prop_map(|(path, id)| format!("{path} eq \"{id}\"")),
        1 => text_literal().prop_map(|value| format!("emails[type eq \"work\" and value eq {value}]")),
        1 => text_literal().prop_map(|value| format!("emails[value eq {value} or primary eq true]")),
        1 => text_literal().prop_map(|value| format!("emails[type eq \"home\"].value eq {value}")),
        1 => text_literal().prop_map(|value| format!("emails[not (value eq {value})]")),
    ]
}

/// The same with the attributes that users and groups have taken for each other.
fn filter_text(kind: ResourceKind) -> impl Strategy<Value = String> {
    let leaf = test_text().prop_map(move |text| match kind {
        ResourceKind::User => text,
        ResourceKind::Group => {
            let pairs = [
                ("groups", "members"),
                ("emails", "members"),
                ("userName", "displayName"),
                ("USERNAME", "DISPLAYNAME"),
                ("nickName", "externalId"),
                ("name.familyName", "members.display"),
                ("primary eq true", "type eq \"Group\""),
            ];
            let text = pairs.into_iter().fold(text, |text, (of_users, of_groups)| text.replace(of_users, of_groups));
            if text.starts_with("active") { "externalId pr".to_owned() } else { text }
        }
    });
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) or ({b})")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

/// Everything of a kind as clients see it, by id.
async fn everything(here: &Through<'_>, kind: ResourceKind) -> BTreeMap<String, Map<String, Value>> {
    let schemas = Schemas::default();
    let window = Window::Index { offset: 0, limit: 1_000 };
    let query = ListQuery { kinds: &[kind], schemas: &schemas, filter: None, sort: None, window };
    let all: Vec<StoredResource> = here.store.list(&here.tenant, &here.connection, &query).await.unwrap().items;
    let ids: Vec<ResourceId> = all.iter().map(|resource| resource.id.clone()).collect();
    let members = here.store.members(&here.tenant, &here.connection, &ids, 1_000).await.unwrap();
    let groups = here.store.groups_of(&here.tenant, &here.connection, &ids, usize::MAX).await.unwrap();
    if kind == ResourceKind::User {
        for resource in &all {
            let (user, its) = here.store.user(&here.tenant, &here.connection, &resource.id).await.unwrap().unwrap();
            assert_eq!((&user, &its), (resource, &groups[&resource.id]), "one by one as many at once");
        }
    }
    let rows = |id: &ResourceId| match kind {
        ResourceKind::Group => members[id]
            .iter()
            .map(|member| json!({"value": member.id, "type": member.kind.name(), "display": member.display}))
            .collect::<Vec<_>>(),
        ResourceKind::User => groups[id]
            .iter()
            .map(|group| json!({"value": group.id, "display": group.display, "type": if group.direct { "direct" } else { "indirect" }}))
            .collect(),
    };
    all.iter()
        .map(|resource| {
            let extras = Extras {
                id: resource.id.as_str(),
                created: resource.created.to_string(),
                last_modified: resource.modified.to_string(),
                location: String::new(),
                version: format!("W/\"{}\"", resource.version),
                rows: Some(rows(&resource.id)),
            };
            (resource.id.0.clone(), view(kind, &resource.document, extras))
        })
        .collect()
}

async fn the_database_means_what_memory_means(fixture: Fixture) {
    const FILTERS: usize = 400;
    let here = fixture.here();
    populate(&here).await;
    let schemas = Schemas::default();
    let mut runner = TestRunner::deterministic();
    let mut found_some = 0;
    for kind in [ResourceKind::User, ResourceKind::Group] {
        let everything = everything(&here, kind).await;
        let filters = filter_text(kind);
        for _ in 0..FILTERS {
            let text = filters.new_tree(&mut runner).unwrap().current();
            let filter = Filter::parse(&schemas, kind, &text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let expected: Vec<String> =
                everything.iter().filter(|(_, seen)| filter.matches(&schemas, kind, seen)).map(|(id, _)| id.clone()).collect();
            let (ids, total) = list(&here, kind, Some(&filter), 0, 1_000).await;
            assert_eq!(ids, expected, "{text}");
            assert_eq!(total, i64::try_from(expected.len()).unwrap(), "{text}");
            let (page, total) = list(&here, kind, Some(&filter), 2, 3).await;
            assert_eq!((page, total), (expected.iter().skip(2).take(3).cloned().collect(), expected.len().try_into().unwrap()), "{text}");
            found_some += usize::from(!expected.is_empty() && expected.len() < everything.len());
        }
    }
    assert!(found_some > FILTERS / 2, "filters that tell nothing apart prove nothing: {found_some}");
}

/// What can be sorted by: columns, what no column has, and what one kind alone has.
const SORTS: &[&str] = &[
    "",
    "id",
    "userName",
    "displayName",
    "externalId",
    "meta.created",
    "meta.lastModified",
    "title",
    "emails",
    "name.familyName",
    "active",
];

async fn orders_and_walks_mean_what_memory_means(fixture: Fixture) {
    const QUERIES: usize = 150;
    let here = fixture.here();
    populate(&here).await;
    let schemas = Schemas::default();
    let mut runner = TestRunner::deterministic();
    for kinds in [&[ResourceKind::User][..], &[ResourceKind::Group], &ResourceKind::ALL] {
        let mut everything = Vec::new();
        for &kind in kinds {
            everything.extend(self::everything(&here, kind).await.into_values().map(|seen| (kind, seen)));
        }
        everything.sort_by(|(_, a), (_, b)| a["id"].as_str().cmp(&b["id"].as_str()));
        let filters = prop_oneof![filter_text(ResourceKind::User), filter_text(ResourceKind::Group)];
        let asked = (filters, select(SORTS), any::<(bool, bool)>(), 1..9_i64);
        for _ in 0..QUERIES {
            let (text, by, (descending, all), limit) = asked.new_tree(&mut runner).unwrap().current();
            let shown = format!("{kinds:?} {text} by {by}, descending: {descending}, all: {all}");
            let Ok((filter, _)) = Filter::parse_any(&schemas, kinds, &text) else { continue };
            let filter = Some(filter).filter(|_| !all);
            let order = descending.then_some("descending");
            let Ok(sort) = Sort::parse(&schemas, kinds, Some(by).filter(|by| !by.is_empty()), order) else { continue };
            let mut expected: Vec<&(ResourceKind, Map<String, Value>)> = everything
                .iter()
                .filter(|(kind, seen)| filter.as_ref().is_none_or(|filter| filter.matches(&schemas, *kind, seen)))
                .collect();
            if let Some(sort) = &sort {
                if descending {
                    expected.reverse();
                }
                expected.sort_by_cached_key(|(kind, seen)| sort.key(&schemas, *kind, seen));
            }
            let expected: Vec<String> = expected.iter().map(|(_, seen)| seen["id"].as_str().unwrap().to_owned()).collect();
            let window = Window::Index { offset: 1, limit };
            let query = ListQuery { kinds, schemas: &schemas, filter: filter.as_ref(), sort: sort.as_ref(), window };
            let (ids, total) = ids_and_total(&here, &query).await;
            let page: Vec<String> = expected.iter().skip(1).take(usize::try_from(limit).unwrap()).cloned().collect();
            assert_eq!((ids, total), (page, i64::try_from(expected.len()).unwrap()), "{shown}");
            let [there, back] = walk(&here, &query, limit).await;
            assert_eq!(there.concat(), expected, "{shown}");
            assert_eq!([back.concat(), there.last().unwrap().clone()].concat(), expected, "the way back: {shown}");
            assert!(there.iter().rev().skip(1).all(|page| page.len() == usize::try_from(limit).unwrap()), "full pages: {shown}");
        }
    }
}

async fn a_place_stays_right_while_others_come_and_go(fixture: Fixture) {
    let here = fixture.here();
    let ids = here.create_users("u", 9).await;
    let schemas = Schemas::default();
    for by in ["id", "userName", "nickName"] {
        let sort = Sort::parse(&schemas, &[ResourceKind::User], Some(by), None).unwrap();
        let page = async |position: Option<&Position>| {
            let window = Window::Beside { position, limit: 3 };
            let query = ListQuery { kinds: &[ResourceKind::User], schemas: &schemas, filter: None, sort: sort.as_ref(), window };
            here.store.list(&here.tenant, &here.connection, &query).await.unwrap()
        };
        let first = page(None).await;
        let again = page(first.next.as_ref()).await;
        assert_eq!(again.items[0].id, ids[3], "{by}");
        // A place behind somebody who is not there any more.
        let gone = Position { id: format!("{}-between", ids[2]), ..first.next.clone().unwrap() };
        assert_eq!(page(Some(&gone)).await.items[0].id, ids[3], "{by}");
        // Nothing is left before a place: what is there begins behind it.
        let start = Position {
            backwards: true,
            id: String::new(),
            sort_key: first.next.as_ref().unwrap().sort_key.as_ref().map(|_| "t".into()),
            kind: None,
        };
        assert_eq!(page(Some(&start)).await.items, first.items, "{by}");
    }
}

/// Users `x1` to `x{count}` with one document, `%` being the number, straight into the table: nothing is tested of them but how many or how large they are.
async fn put_users(fixture: &Fixture, count: usize, document: &str) {
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO resources (tenant, connection, id, kind, user_name, created, modified, version, document)
         SELECT 'acme', 'conn-acme', 'x' || i, 'user', 'x' || i, 0, 0, 1, replace($1, '%', CAST(i AS text)) FROM n"
    );
    run(fixture, rows, document).await;
}

async fn run(fixture: &Fixture, statement: String, document: &str) {
    let statement = sqlx::AssertSqlSafe(statement);
    if fixture.url.starts_with("sqlite:") {
        let mut conn = sqlx::SqliteConnection::connect(&fixture.url).await.unwrap();
        sqlx::query(statement).bind(document).execute(&mut conn).await.unwrap();
    } else {
        let mut conn = sqlx::PgConnection::connect(&fixture.url).await.unwrap();
        sqlx::query(statement).bind(document).execute(&mut conn).await.unwrap();
    }
}

async fn too_many_candidates_are_refused(fixture: Fixture) {
    let here = fixture.here();
    here.create_user("ana").await;
    let count = SCAN_LIMIT + 1;
    put_users(&fixture, count, "{}").await;
    let schemas = Schemas::default();
    let parse = |text: &str| Filter::parse(&schemas, ResourceKind::User, text).unwrap();
    let unindexed = parse("nickName eq \"ana\"");
    let first = Window::Index { offset: 0, limit: 1 };
    let query = ListQuery { kinds: &[ResourceKind::User], schemas: &schemas, filter: Some(&unindexed), sort: None, window: first };
    let refused = fixture.store.list(&here.tenant, &here.connection, &query).await;
    assert!(matches!(refused, Err(StoreError::TooMany)), "{refused:?}");
    let by_title = Sort::parse(&schemas, &[ResourceKind::User], Some("title"), None).unwrap();
    let refused = fixture.store.list(&here.tenant, &here.connection, &ListQuery { sort: by_title.as_ref(), ..query.clone() }).await;
    assert!(matches!(refused, Err(StoreError::TooMany)), "{refused:?}");
    // A walk looks at so many for each page, and goes on.
    let window = Window::Beside { position: None, limit: 10 };
    let page = fixture.store.list(&here.tenant, &here.connection, &ListQuery { window, ..query.clone() }).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_some(), "{page:?}");
    let window = Window::Beside { position: page.next.as_ref(), limit: 10 };
    let page = fixture.store.list(&here.tenant, &here.connection, &ListQuery { window, ..query.clone() }).await.unwrap();
    assert_eq!((page.items.len(), page.next), (0, None));
    // What an index narrows down may be looked at.
    let narrowed = parse("userName eq \"ana@example.com\" and nickName eq null");
    assert_eq!(users(&here, &narrowed).await, ["user-ana"]);
    assert_eq!(list(&here, ResourceKind::User, Some(&parse("meta.created pr")), 0, 1).await.1, i64::try_from(count + 1).unwrap());
}

async fn a_page_has_no_more_bytes_than_may_be_in_memory(fixture: Fixture) {
    let here = fixture.here();
    let document = |bytes: usize| format!(r#"{{"userName":"x%","nickName":"{}"}}"#, "x".repeat(bytes));
    put_users(&fixture, 4, &document(PAGE_BYTES_LIMIT * 2 / 5)).await;
    let schemas = Schemas::default();
    let filter = Filter::parse(&schemas, ResourceKind::User, "nickName pr").unwrap();
    let window = Window::Index { offset: 0, limit: 2 };
    let all = ListQuery { kinds: &[ResourceKind::User], schemas: &schemas, filter: None, sort: None, window };
    // In the order of a column, looked at one by one, and in the order of keys.
    let sort = |by| Sort::parse(&schemas, &[ResourceKind::User], Some(by), None).unwrap();
    let (by_name, by_value) = (sort("userName"), sort("nickName"));
    let ways = [
        all.clone(),
        ListQuery { sort: by_name.as_ref(), ..all.clone() },
        ListQuery { filter: Some(&filter), ..all.clone() },
        ListQuery { sort: by_value.as_ref(), ..all },
    ];
    for query in &ways {
        let (ids, total) = ids_and_total(&here, query).await;
        assert_eq!((ids, total), (vec!["x1".to_owned(), "x2".to_owned()], 4));
        let query = ListQuery { window: Window::Index { offset: 1, limit: 3 }, ..query.clone() };
        let refused = here.store.list(&here.tenant, &here.connection, &query).await;
        assert!(matches!(refused, Err(StoreError::PageTooLarge)), "{:?}", refused.map(|page| page.items.len()));
        let [there, back] = walk(&here, &query, 10).await;
        assert_eq!((&there[..], &back[..]), (&[["x1", "x2"], ["x3", "x4"]].map(|page| page.map(str::to_owned).to_vec())[..], &there[..1]));
    }
    // Somebody who is larger than a page is one alone.
    run(&fixture, "UPDATE resources SET document = $1 WHERE id = 'x2'".into(), &document(PAGE_BYTES_LIMIT + 1).replace('%', "2")).await;
    for query in &ways {
        let [there, _] = walk(&here, query, 10).await;
        assert_eq!(there.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2]);
    }
}
