//! The end of a connection.

use rolecall::model::AccountState;
use rolecall::store::{Change, Effect, HandleBinding, PersonOutcome, RulingQuery, StoreError};
use rolecall_scim::ResourceKind;

use crate::fixture::{Fixture, START, actor, grant, outcome};
use crate::rulings::past_the_limit;

store_contract_suite!(a_deleted_connection_takes_every_access_away, nobody_waits_for_an_answer_whose_connection_is_gone);

/// What was to be answered about them ends with them, so that the hold closes and nothing keeps them from being erased.
async fn nobody_waits_for_an_answer_whose_connection_is_gone(fixture: Fixture) {
    let (here, store) = (fixture.here(), &fixture.store);
    let user = here.create_user("ana").await;
    past_the_limit(&here, &user).await;
    let waiting = RulingQuery { limit: 9, ..RulingQuery::default() };
    assert_eq!(store.rulings(&fixture.tenant, &waiting).await.unwrap().len(), 1);
    assert_eq!(store.resolved_holds(9).await.unwrap(), []);
    store.delete_connection(&fixture.tenant, &here.connection, &actor(), START).await.unwrap();
    assert_eq!(store.rulings(&fixture.tenant, &waiting).await.unwrap(), []);
    assert_eq!(store.resolved_holds(9).await.unwrap().len(), 1, "the hold is found to be closed");
    assert_eq!(store.erasable(&fixture.tenant, START, 9).await.unwrap().len(), 2);
}

async fn a_deleted_connection_takes_every_access_away(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    let (here, there) = (fixture.here(), fixture.through("conn-2"));
    // More than one batch.
    let users = here.create_users("u", 501).await;
    let granted =
        PersonOutcome { effect: Effect { put_grants: vec![grant("admin"), grant("dev")], ..Effect::default() }, ..outcome(&users[500], 0) };
    here.commit(Change { persons: vec![granted], ..here.change() }).await.unwrap();
    let inner = here.create_group("inner", &[&users[0]]).await;
    let outer = here.create_group("outer", &[&inner]).await;
    let bind_handle = Some(HandleBinding {
        handle: "inner".into(),
        connection: here.connection.clone(),
        group: inner,
        external_id: None,
        display_name: String::new(),
        confirmed: true,
        bound: START,
    });
    here.commit(Change { bind_handle, ..here.change() }).await.unwrap();
    let other = there.create_user("other").await;
    let store = &fixture.store;

    store.delete_connection(&fixture.tenant, &here.connection, &actor(), START.plus_seconds(1)).await.unwrap();
    assert_eq!(store.find_connection(&here.connection).await.unwrap(), None);
    assert_eq!(store.find_connection_token("hash of first of conn-acme").await.unwrap(), None);
    assert_eq!(store.handle(&fixture.tenant, &"inner".into()).await.unwrap(), None);
    assert_eq!(here.version(ResourceKind::Group, &outer).await, None);
    assert_eq!(here.version(ResourceKind::User, &users[0]).await, None);
    let removed = store.accounts(&fixture.tenant, Some(AccountState::Removed), None, 1_000).await.unwrap();
    assert_eq!(removed.len(), 501);
    assert!(removed.iter().all(|view| view.grants.is_empty() && view.source.is_none()));
    assert_eq!(there.version(ResourceKind::User, &other).await, Some(1), "the other connection's people stay");
    assert_eq!(store.count_pending(&fixture.tenant).await.unwrap(), 0);

    let kinds = fixture.event_kinds().await;
    let count = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
    assert_eq!((count("account.removed"), count("grant.removed"), count("connection.deleted")), (501, 2, 1));
    // Names are free, and nothing can be written through it any more.
    there.create_user("u00000-again").await;
    let gone = here.commit(here.creation("late")).await;
    assert!(matches!(gone, Err(StoreError::Missing("connection"))), "{gone:?}");
    let gone = store.delete_connection(&fixture.tenant, &here.connection, &actor(), START).await;
    assert!(matches!(gone, Err(StoreError::Missing("connection"))), "{gone:?}");
}
