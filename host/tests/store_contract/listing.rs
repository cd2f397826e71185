//! Listings: filters as SQL, pages, exact totals.

use rolecall_scim::ResourceKind;
use rolecall_scim::filter::{Filter, Literal, Op, Test};
use rolecall_scim::path::AttrPath;
use rolecall_scim::schema::Schemas;

use crate::fixture::{Fixture, START, Through, document};
use rolecall::store::{Change, ListQuery, ResourceWrite};
use serde_json::json;

store_contract_suite!(pages_are_stable_and_totals_exact, columns_answer_filters, rows_beside_answer_filters);

fn test(path: &str, op: Op, value: Literal) -> Filter {
    let (name, sub) = path.split_once('.').map_or((path, None), |(name, sub)| (name, Some(sub.to_owned())));
    Filter::Test(AttrPath { urn: None, name: name.into(), sub }, Test::Compare(op, value))
}

fn eq(path: &str, value: &str) -> Filter {
    test(path, Op::Eq, Literal::Text(value.into()))
}

async fn list(through: &Through<'_>, kind: ResourceKind, filter: Option<&Filter>, offset: i64, limit: i64) -> (Vec<String>, i64) {
    let schemas = Schemas::default();
    let query = ListQuery { kind, schemas: &schemas, filter, offset, limit };
    let page = through.store.list(&through.tenant, &through.connection, &query).await.unwrap();
    (page.items.into_iter().map(|item| item.id.0).collect(), page.total)
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
    inactive.write = Some(ResourceWrite::CreateUser { id: "user-eve".into(), document: document(eve) });
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
