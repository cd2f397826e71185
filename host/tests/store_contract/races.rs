//! Many writers at once, also from two hosts: every answered write is there, and some order explains what is.

use std::sync::Arc;

use rolecall::model::{AccountState, ResourceId};
use rolecall::store::{AccountWrite, Change, Committed, Effect, Person, PersonOutcome, ResourceWrite, Store, StoreError};
use rolecall_scim::ResourceKind;
use serde_json::json;

use crate::fixture::{Fixture, START, Through, account, document, outcome};

store_contract_suite!(
    updates_of_one_user_take_turns,
    members_of_one_group_commute,
    a_deactivation_wins_against_a_crowd,
    deletions_and_group_changes_end,
    opposite_nestings_make_no_circle,
    one_name_is_had_once,
    one_group_is_made_once,
);

const WRITERS: usize = 16;

/// Runs one task a writer, half of them on another host, and waits for all.
async fn race<T, F>(fixture: &Fixture, write: impl Fn(Arc<dyn Store>, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let hosts = [fixture.store.clone(), fixture.another_host().await];
    let tasks: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write(hosts[writer % 2].clone(), writer))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

fn through<'s>(fixture: &Fixture, store: &'s Arc<dyn Store>) -> Through<'s> {
    Through { store, tenant: fixture.tenant.clone(), connection: fixture.connection.clone() }
}

/// Everything that a task needs of a fixture.
fn parts(fixture: &Fixture) -> (rolecall::model::TenantId, rolecall::model::ConnectionId) {
    (fixture.tenant.clone(), fixture.connection.clone())
}

async fn updates_of_one_user_take_turns(fixture: Fixture) {
    let id = fixture.here().create_user("ana").await;
    let results = race(&fixture, |store, writer| {
        let ((tenant, connection), id) = (parts(&fixture), id.clone());
        async move {
            let here = Through { store: &store, tenant, connection };
            loop {
                let person = here.person(&id).await;
                let document = document(json!({"userName": "ana@example.com", "title": format!("title {writer}")}));
                let write = ResourceWrite::UpdateUser { id: id.clone(), expected: person.resource.version, document };
                let decided = outcome(&id, person.evaluation.input_version);
                match here.commit(Change { write: Some(write), persons: vec![decided], ..here.change() }).await {
                    Ok(committed) => return committed.version.unwrap(),
                    Err(StoreError::Conflict { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    })
    .await;
    let mut versions = results;
    versions.sort_unstable();
    assert_eq!(versions, (2..).take(WRITERS).collect::<Vec<_>>(), "each its own version");
    let evaluation = fixture.here().person(&id).await.evaluation;
    assert_eq!((evaluation.input_version, evaluation.cause), (i64::try_from(WRITERS).unwrap(), None));
}

async fn members_of_one_group_commute(fixture: Fixture) {
    let here = fixture.here();
    let (leaving, joining) = (here.create_users("old", WRITERS).await, here.create_users("new", WRITERS).await);
    let all: Vec<&ResourceId> = leaving.iter().collect();
    let group = here.create_group("eng", &all).await;
    let results = race(&fixture, |store, writer| {
        let change = through(&fixture, &fixture.store).members_change(&group, &[&joining[writer]], &[&leaving[writer]]);
        let tenant = fixture.tenant.clone();
        async move { store.commit(&tenant, change).await.unwrap() }
    })
    .await;
    let mut versions: Vec<_> = results.iter().map(|committed: &Committed| committed.version.unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..).take(WRITERS).collect::<Vec<_>>());
    assert_eq!(here.members(&group).await, joining.iter().map(|id| id.0.clone()).collect::<Vec<_>>());
}

async fn a_deactivation_wins_against_a_crowd(fixture: Fixture) {
    let id = fixture.here().create_user("ana").await;
    race(&fixture, |store, writer| {
        let ((tenant, connection), id) = (parts(&fixture), id.clone());
        async move {
            let here = Through { store: &store, tenant: tenant.clone(), connection: connection.clone() };
            if writer == WRITERS / 2 {
                let change = here.change();
                // One attempt, never a conflict.
                let decide = move |person: &Person| Ok(suspension(person, change));
                let committed = store.commit_locked(&tenant, &connection, &id, Box::new(decide)).await.unwrap().unwrap();
                assert!(committed.version.is_some());
                return;
            }
            for _ in 0..5 {
                let person = here.person(&id).await;
                let write = ResourceWrite::UpdateUser {
                    id: id.clone(),
                    expected: person.resource.version,
                    document: document(json!({"userName": "ana@example.com", "title": writer})),
                };
                match here.commit(Change { write: Some(write), ..here.change() }).await {
                    Ok(_) | Err(StoreError::Conflict { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    })
    .await;
    assert_eq!(fixture.here().person(&id).await.account.state, AccountState::Suspended);
}

fn suspension(person: &Person, change: Change) -> Change {
    let id = person.resource.id.clone();
    let document = document(json!({"userName": "ana@example.com", "active": false}));
    let account = AccountWrite { state: AccountState::Suspended, ..account("ana") };
    let outcome =
        PersonOutcome { effect: Effect { account: Some(account), ..Effect::default() }, ..outcome(&id, person.evaluation.input_version) };
    let write = ResourceWrite::UpdateUser { id, expected: person.resource.version, document };
    Change { write: Some(write), persons: vec![outcome], ..change }
}

async fn deletions_and_group_changes_end(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", WRITERS).await;
    let all: Vec<&ResourceId> = users.iter().collect();
    let groups = [here.create_group("one", &all).await, here.create_group("two", &all).await];
    // Half delete a user that is in both groups, half change both groups' members: no lock is waited for in a circle.
    race(&fixture, |store, writer| {
        let ((tenant, connection), users, groups) = (parts(&fixture), users.clone(), groups.clone());
        async move {
            let here = Through { store: &store, tenant, connection };
            if writer % 4 < 2 {
                here.delete_user(&users[writer]).await;
                return;
            }
            for group in &groups {
                here.change_members(group, &[], &[&users[writer]]).await;
                here.change_members(group, &[&users[writer], &users[WRITERS - 1 - writer]], &[]).await;
            }
        }
    })
    .await;
    let left: Vec<String> = (0..WRITERS).filter(|writer| writer % 4 >= 2).map(|writer| users[writer].0.clone()).collect();
    for group in &groups {
        assert_eq!(here.members(group).await, left);
    }
}

async fn opposite_nestings_make_no_circle(fixture: Fixture) {
    let here = fixture.here();
    let mut groups = Vec::new();
    for name in ["a", "b", "c", "d"] {
        groups.push(here.create_group(name, &[]).await);
    }
    // a ← b ← c ← d ← a: at most three of the four edges can stand.
    let results = race(&fixture, |store, writer| {
        let (outer, inner) = (&groups[writer % 4], &groups[(writer + 1) % 4]);
        let change = through(&fixture, &fixture.store).members_change(outer, &[inner], &[]);
        let tenant = fixture.tenant.clone();
        async move {
            match store.commit(&tenant, change).await {
                Ok(committed) => committed.added.len(),
                Err(StoreError::Nesting(_)) => 0,
                Err(other) => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(results.into_iter().sum::<usize>(), 3);
}

async fn one_name_is_had_once(fixture: Fixture) {
    let results = race(&fixture, |store, writer| {
        let mut change = through(&fixture, &fixture.store).creation(&format!("ana{writer}"));
        change.persons[0].effect.account.as_mut().unwrap().name_key = Some("ana".into());
        let tenant = fixture.tenant.clone();
        async move {
            match store.commit(&tenant, change).await {
                Ok(_) => true,
                Err(StoreError::Conflict { what: "account_name" }) => false,
                Err(other) => panic!("{other:?}"),
            }
        }
    })
    .await;
    let winner = results.iter().position(|won| *won).unwrap();
    assert_eq!(results.iter().filter(|won| **won).count(), 1);
    for writer in 0..WRITERS {
        let id = ResourceId(format!("user-ana{writer}"));
        assert_eq!(fixture.here().version(ResourceKind::User, &id).await.is_some(), writer == winner);
    }
    assert_eq!(fixture.store.accounts(&fixture.tenant, None, None, 100).await.unwrap().len(), 1, "{START}");
}

async fn one_group_is_made_once(fixture: Fixture) {
    let results = race(&fixture, |store, writer| {
        let mut change = through(&fixture, &fixture.store).group_creation("eng", &[]);
        let Some(ResourceWrite::CreateGroup { id, .. }) = &mut change.write else { unreachable!() };
        *id = ResourceId(format!("group-{writer}"));
        let tenant = fixture.tenant.clone();
        async move { store.commit(&tenant, change).await }
    })
    .await;
    let (made, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::Taken { attribute: "externalId" })), "{refused:?}");
    }
}
