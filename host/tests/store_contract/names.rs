//! Names of accounts: unique in the tenant, waited for, told when they are free.

use rolecall::model::{AccountState, Cause};
use rolecall::store::{AccountWrite, Change, Effect, PersonOutcome, StoreError};

use crate::fixture::{Fixture, START, account, claim_all, held, outcome};

store_contract_suite!(
    a_name_is_had_by_one_account,
    whoever_waits_is_told_when_the_holder_is_renamed,
    whoever_waits_is_told_when_the_holder_is_deleted,
    whoever_waits_is_told_when_the_connection_is_deleted,
    nobody_waits_for_a_free_name,
    names_are_passed_on_in_one_change,
    an_account_is_found_by_name_the_holder_first,
);

/// A user `name` through the second connection whose account is held over `wanted`.
async fn create_held(fixture: &Fixture, name: &str, wanted: &str) -> Result<rolecall::model::ResourceId, StoreError> {
    let there = fixture.through("conn-2");
    let mut change = there.creation(name);
    change.persons[0].effect.account = Some(held(name, wanted));
    there.commit(change).await.map(|_| format!("user-{name}").as_str().into())
}

async fn a_name_is_had_by_one_account(fixture: Fixture) {
    let here = fixture.here();
    here.create_user("josé").await;
    let holders = fixture.store.name_holders(&fixture.tenant, &["jose".to_owned(), "nobody".to_owned()]).await.unwrap();
    assert_eq!(holders.into_iter().collect::<Vec<_>>(), [("jose".to_owned(), "account-josé".into())]);
    let lost = here.commit(here.creation("JOSE")).await;
    assert!(matches!(lost, Err(StoreError::Conflict { what: "account_name" })), "{lost:?}");
}

async fn whoever_waits_is_told_when_the_holder_is_renamed(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    let here = fixture.here();
    let ana = here.create_user("ana").await;
    let waiting = create_held(&fixture, "ana2", "ana").await.unwrap();
    assert!(claim_all(&fixture.store, START).await.is_empty());
    let renamed = AccountWrite { id: "account-ana".into(), ..account("anna") };
    let rename = PersonOutcome { effect: Effect { account: Some(renamed), ..Effect::default() }, ..outcome(&ana, 0) };
    let committed = here.commit(Change { persons: vec![rename], ..here.change() }).await.unwrap();
    assert_eq!(committed.pending, std::slice::from_ref(&waiting));
    assert_eq!(claim_all(&fixture.store, START).await.into_iter().collect::<Vec<_>>(), [(waiting.0, Cause::NameFreed)]);
}

async fn whoever_waits_is_told_when_the_holder_is_deleted(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    let ana = fixture.here().create_user("ana").await;
    let waiting = create_held(&fixture, "ana2", "ana").await.unwrap();
    fixture.here().delete_user(&ana).await;
    let person = fixture.through("conn-2").person(&waiting).await;
    assert_eq!((person.account.state, person.evaluation.cause), (AccountState::Held, Some(Cause::NameFreed)));
}

async fn whoever_waits_is_told_when_the_connection_is_deleted(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    fixture.here().create_user("ana").await;
    let waiting = create_held(&fixture, "ana2", "ana").await.unwrap();
    fixture.store.delete_connection(&fixture.tenant, &fixture.connection, &crate::fixture::actor(), START).await.unwrap();
    assert_eq!(fixture.through("conn-2").person(&waiting).await.evaluation.cause, Some(Cause::NameFreed));
}

async fn nobody_waits_for_a_free_name(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    let lost = create_held(&fixture, "ana2", "ana").await;
    assert!(matches!(lost, Err(StoreError::Conflict { what: "account_name" })), "the holder let go meanwhile: {lost:?}");
    // Held for another reason, a name may be remembered without a holder.
    let there = fixture.through("conn-2");
    let mut change = there.creation("bob");
    let mut refused = held("bob", "bob");
    refused.note.as_mut().unwrap().code = "refused".into();
    change.persons[0].effect.account = Some(refused);
    there.commit(change).await.unwrap();
}

async fn names_are_passed_on_in_one_change(fixture: Fixture) {
    let here = fixture.here();
    let (ana, bob) = (here.create_user("ana").await, here.create_user("bob").await);
    let swapped = |owner: &str, name: &str| AccountWrite { id: account(owner).id, ..account(name) };
    let people = vec![
        PersonOutcome { effect: Effect { account: Some(swapped("ana", "bob")), ..Effect::default() }, ..outcome(&ana, 0) },
        PersonOutcome { effect: Effect { account: Some(swapped("bob", "ana")), ..Effect::default() }, ..outcome(&bob, 0) },
    ];
    here.commit(Change { persons: people, ..here.change() }).await.unwrap();
    assert_eq!(here.person(&ana).await.account.user_name.as_deref(), Some("bob"));
    assert_eq!(here.person(&bob).await.account.user_name.as_deref(), Some("ana"));
}

async fn an_account_is_found_by_name_the_holder_first(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    fixture.here().create_user("ana").await;
    create_held(&fixture, "aaa", "ana").await.unwrap();
    let found = async |name: &str| fixture.store.account(&fixture.tenant, name).await.unwrap().map(|view| view.account.id.0);
    assert_eq!(found("Ana").await.as_deref(), Some("account-ana"));
    assert_eq!(found("account-aaa").await.as_deref(), Some("account-aaa"));
    assert_eq!(found("nobody").await, None);
    assert_eq!(found("a\0").await, None);
    let all = fixture.store.accounts(&fixture.tenant, None, None, 10).await.unwrap();
    assert_eq!(all.iter().map(|view| view.account.id.as_str()).collect::<Vec<_>>(), ["account-aaa", "account-ana"]);
    let next = fixture.store.accounts(&fixture.tenant, None, Some(&"account-aaa".into()), 10).await.unwrap();
    assert_eq!(next.len(), 1);
    let held = fixture.store.accounts(&fixture.tenant, Some(AccountState::Held), None, 10).await.unwrap();
    assert_eq!(held.iter().map(|view| view.account.id.as_str()).collect::<Vec<_>>(), ["account-aaa"]);
    assert_eq!(fixture.store.accounts(&fixture.tenant, None, None, 1).await.unwrap().len(), 1);
}
