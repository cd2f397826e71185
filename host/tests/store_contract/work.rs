//! Work that waits: claims and leases, dates, activations, resumed connections.

use rolecall::model::{Cause, ConnectionState, Instant, ResourceId};
use rolecall::store::{Change, Effect, PersonOutcome};
use std::collections::BTreeSet;

use crate::fixture::{Fixture, START, actor, claim_all, outcome};

store_contract_suite!(
    a_claim_is_a_lease,
    what_is_given_back_is_due_at_once,
    a_date_makes_somebody_due,
    an_activation_makes_everybody_due,
    a_resumed_connection_makes_everybody_due,
    tenants_share_what_is_claimed,
    hosts_share_what_is_due,
    the_next_date_is_known,
);

/// Leaves a user with a date.
async fn due_at(fixture: &Fixture, user: &ResourceId, at: Instant) {
    let here = fixture.here();
    let version = here.person(user).await.evaluation.input_version;
    let dated = PersonOutcome { effect: Effect { next_evaluation_at: Some(at), ..Effect::default() }, ..outcome(user, version) };
    here.commit(Change { persons: vec![dated], ..here.change() }).await.unwrap();
}

async fn a_claim_is_a_lease(fixture: Fixture) {
    let here = fixture.here();
    let ana = here.create_user("ana").await;
    here.create_group("eng", &[&ana]).await;
    let (store, lease) = (&fixture.store, START.plus_seconds(60));
    let due = store.claim_due(START, lease, 10, &BTreeSet::new()).await.unwrap();
    assert_eq!((due.len(), &due[0].user, due[0].cause, &due[0].connection), (1, &ana, Cause::GroupChange, &here.connection));
    assert!(store.claim_due(START.plus_seconds(59), lease, 10, &BTreeSet::new()).await.unwrap().is_empty());
    // Whoever claimed has died.
    assert_eq!(claim_all(store, lease).await.len(), 1);
    here.settle(&ana).await;
    assert!(claim_all(store, START.plus_seconds(10_000)).await.is_empty());
    // A change during the lease is due at once.
    here.create_group("ops", &[&ana]).await;
    claim_all(store, START).await;
    here.create_group("dev", &[&ana]).await;
    assert_eq!(claim_all(store, START).await.len(), 1);
}

async fn what_is_given_back_is_due_at_once(fixture: Fixture) {
    let here = fixture.here();
    let (ana, bob) = (here.create_user("ana").await, here.create_user("bob").await);
    here.create_group("eng", &[&ana, &bob]).await;
    let (store, later) = (&fixture.store, START.plus_seconds(1));
    assert_eq!(claim_all(store, START).await.len(), 2);
    here.settle(&bob).await;
    store.give_back(&fixture.tenant, &here.connection, &[ana.clone(), bob.clone()], later).await.unwrap();
    // Whoever was decided meanwhile is not pending, and stays so.
    assert_eq!(claim_all(store, later).await.into_keys().collect::<Vec<_>>(), [ana.0]);
}

async fn a_date_makes_somebody_due(fixture: Fixture) {
    let ana = fixture.here().create_user("ana").await;
    let at = START.plus_seconds(3_600);
    due_at(&fixture, &ana, at).await;
    assert_eq!(fixture.store.count_pending(&fixture.tenant).await.unwrap(), 0);
    assert!(claim_all(&fixture.store, START.plus_seconds(3_599)).await.is_empty());
    assert_eq!(claim_all(&fixture.store, at).await.into_iter().collect::<Vec<_>>(), [(ana.0, Cause::Schedule)]);
}

async fn an_activation_makes_everybody_due(fixture: Fixture) {
    fixture.activate("r1").await;
    fixture.expand().await;
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    // More than one step of a fan-out.
    let users = fixture.here().create_users("u", 1_001).await;
    let there = fixture.through("conn-2").create_user("there").await;
    assert_eq!(fixture.store.count_pending(&fixture.tenant).await.unwrap(), 0);
    fixture.activate("r2").await;
    assert_eq!(fixture.store.count_pending(&fixture.tenant).await.unwrap(), 1_002, "before anybody is marked");
    let person = fixture.here().person(&users[0]).await;
    assert_eq!((person.evaluation.cause, person.evaluation.input_version), (Some(Cause::Activation), 0));
    // Decided under the new revision before the fan-out comes: not due again.
    fixture.here().settle(&users[0]).await;
    fixture.expand().await;
    let due = claim_all(&fixture.store, START).await;
    assert_eq!((due.len(), due.get(there.as_str())), (1_001, Some(&Cause::Activation)));
    assert_eq!(due.get(users[0].as_str()), None);
    assert_eq!(fixture.store.count_pending(&fixture.tenant).await.unwrap(), 1_001);
}

async fn a_resumed_connection_makes_everybody_due(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    let ana = fixture.here().create_user("ana").await;
    fixture.through("conn-2").create_user("bob").await;
    let set = async |state| fixture.store.set_connection_state(&fixture.tenant, &fixture.connection, state, &actor(), START).await.unwrap();
    set(ConnectionState::Active).await;
    set(ConnectionState::Paused).await;
    fixture.expand().await;
    assert!(claim_all(&fixture.store, START).await.is_empty());
    set(ConnectionState::Active).await;
    assert_eq!(fixture.store.count_pending(&fixture.tenant).await.unwrap(), 1);
    fixture.expand().await;
    assert_eq!(claim_all(&fixture.store, START).await.into_iter().collect::<Vec<_>>(), [(ana.0, Cause::Resumed)]);
    let kinds = fixture.event_kinds().await;
    let states: Vec<_> = kinds.iter().filter(|kind| ["connection.paused", "connection.resumed"].contains(&kind.as_str())).collect();
    assert_eq!(states, ["connection.paused", "connection.resumed"], "what changes nothing is no event");
}

async fn tenants_share_what_is_claimed(fixture: Fixture) {
    fixture.new_tenant("globex", "conn-globex").await;
    let here = fixture.here();
    let users = here.create_users("u", 20).await;
    let all: Vec<&ResourceId> = users.iter().collect();
    here.create_group("eng", &all).await;
    let globex = crate::fixture::Through { tenant: "globex".into(), connection: "conn-globex".into(), store: &fixture.store };
    let gil = globex.create_user("gil").await;
    let later = globex.group_creation("ops", &[&gil]);
    globex.commit(Change { at: START.plus_seconds(1), ..later }).await.unwrap();
    let now = START.plus_seconds(2);
    let due = fixture.store.claim_due(now, now.plus_seconds(60), 10, &BTreeSet::new()).await.unwrap();
    let of = |tenant: &str| due.iter().filter(|person| person.tenant.as_str() == tenant).count();
    assert_eq!((of("acme"), of("globex")), (5, 1), "the crowd of one tenant does not keep the other waiting");
    assert!(fixture.store.claim_due(now, now.plus_seconds(60), 0, &BTreeSet::new()).await.unwrap().is_empty());
}

async fn hosts_share_what_is_due(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 40).await;
    let all: Vec<&ResourceId> = users.iter().collect();
    here.create_group("eng", &all).await;
    let hosts = [fixture.store.clone(), fixture.another_host().await];
    let claims = hosts.into_iter().flat_map(|host| {
        (0..4).map(move |_| {
            let host = host.clone();
            tokio::spawn(async move { host.claim_due(START, START.plus_seconds(60), 5, &BTreeSet::new()).await.unwrap() })
        })
    });
    let mut claimed = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        claimed.extend(claim.await.unwrap().into_iter().map(|person| person.user));
    }
    claimed.extend(claim_all(&fixture.store, START).await.into_keys().map(ResourceId));
    claimed.sort();
    assert_eq!(claimed, users, "everybody once");
}

async fn the_next_date_is_known(fixture: Fixture) {
    let store = &fixture.store;
    fixture.event_kinds().await;
    assert_eq!(store.next_due(START).await.unwrap(), None);
    let ana = fixture.here().create_user("ana").await;
    fixture.event_kinds().await;
    let at = START.plus_seconds(3_600);
    due_at(&fixture, &ana, at).await;
    assert_eq!(store.next_due(START).await.unwrap(), Some(at));
    let late = at.plus_seconds(5);
    assert_eq!(store.next_due(late).await.unwrap(), Some(late));
    fixture.here().commit(Change { fan_out: vec![("group-x".into(), Cause::GroupChange)], ..fixture.here().change() }).await.unwrap();
    assert_eq!(store.next_due(START).await.unwrap(), Some(START), "a fan-out waits");
}
