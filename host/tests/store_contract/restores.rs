//! What a restored database goes through once, whoever opens it, and how often it is opened.

use rolecall::model::{ConnectionState, Restored};
use rolecall::store::{self, Restore, StoreError};

use crate::fixture::{Fixture, START, actor};

store_contract_suite!(whoever_opens_a_restored_database_carries_it_through_once, a_release_gives_back_what_was);

fn restore(id: &str) -> Restore {
    Restore { id: id.into(), at: START.plus_seconds(20), backup_at: START.plus_seconds(10), revoke_tokens: true }
}

async fn whoever_opens_a_restored_database_carries_it_through_once(fixture: Fixture) {
    let paused = "conn-paused".into();
    fixture.new_connection(&fixture.tenant, "conn-paused").await.unwrap();
    fixture.store.set_connection_state(&fixture.tenant, &paused, ConnectionState::Paused, &actor(), START).await.unwrap();
    let here = fixture.here();
    here.create_user("ada").await;
    fixture.store.put_restore(&restore("first")).await.unwrap();
    // As after a kill: a tenant was carried through, and nothing else.
    assert!(fixture.store.carry_restore(&fixture.tenant, &restore("first")).await.unwrap());
    assert!(!fixture.store.carry_restore(&fixture.tenant, &restore("first")).await.unwrap());
    let opened = store::open(&fixture.url, fixture.keyring.clone()).await.unwrap();
    assert_eq!(opened.open_restores().await.unwrap(), []);
    assert_eq!(opened.count_operator_tokens(START).await.unwrap(), 0);
    while opened.number_events().await.unwrap() > 0 {}
    let kinds = fixture.event_kinds().await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "tenant.restored").count(), 1, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| *kind == "connection.restored").count(), 2, "{kinds:?}");
    let was = |was| Some(Restored { was, at: START.plus_seconds(20), backup_at: START.plus_seconds(10) });
    for connection in opened.connections(&fixture.tenant).await.unwrap() {
        let before = if connection.id == paused { ConnectionState::Paused } else { ConnectionState::Active };
        assert_eq!((connection.state, connection.restored), (ConnectionState::Restored, was(before)), "{}", connection.name);
    }
    // A backup of a restored database remembers what was before it.
    fixture.store.put_restore(&restore("second")).await.unwrap();
    assert!(fixture.store.carry_restore(&fixture.tenant, &restore("second")).await.unwrap());
    let found = opened.connections(&fixture.tenant).await.unwrap().into_iter().find(|connection| connection.id == paused).unwrap();
    assert_eq!(found.restored, was(ConnectionState::Paused));
}

async fn a_release_gives_back_what_was(fixture: Fixture) {
    let here = fixture.here();
    let ada = here.create_user("ada").await;
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &here.connection);
    let early = store.release_restored(tenant, connection, "why", &actor(), START).await;
    assert!(matches!(early, Err(StoreError::Conflict { what: "not_restored" })), "{early:?}");
    store.carry_restore(tenant, &restore("a")).await.unwrap();
    for state in [ConnectionState::Active, ConnectionState::Paused, ConnectionState::Quarantined] {
        let refused = store.set_connection_state(tenant, connection, state, &actor(), START).await;
        assert!(matches!(refused, Err(StoreError::Conflict { what: "restored_connection" })), "{state}: {refused:?}");
    }
    let page = store.untouched(tenant, connection, None).await.unwrap();
    assert_eq!((page.people.len(), &page.people[0].id, page.next), (1, &ada, None));
    assert_eq!(store.untouched(tenant, connection, Some(&ada)).await.unwrap().people, []);
    let released = store.release_restored(tenant, connection, "why", &actor(), START.plus_seconds(30)).await.unwrap();
    assert_eq!(released.was, ConnectionState::Active);
    let found = store.connections(tenant).await.unwrap().remove(0);
    assert_eq!((found.state, found.restored), (ConnectionState::Active, None));
    let missing = store.untouched(tenant, &"nobody".into(), None).await;
    assert!(matches!(missing, Err(StoreError::Missing("connection"))), "{missing:?}");
}
