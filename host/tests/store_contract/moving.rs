//! Moving house: who is known to both connections is found, accounts change connections with what was said of them and go back, and a
//! handle stands for a group of each.

use rolecall::model::{AccountId, AccountState, Cause, ConnectionId, ConnectionState, Note, ResourceId, collision_key};
use rolecall::store::{
    AccountWrite, AdoptionChoice, AdoptionPlan, AdoptionWord, Change, Effect, GoBack, HandleBinding, PersonOutcome, Result, StoreError,
    TakeOver,
};
use serde_json::json;

use crate::fixture::{Fixture, START, Through, actor};

store_contract_suite!(
    people_of_both_connections_are_found,
    accounts_move_and_go_back,
    only_what_can_be_is_taken_over,
    a_handle_stands_for_a_group_of_each,
);

/// Somebody has moved: the tables have rows.
pub async fn moved(fixture: &Fixture) {
    for connection in ["conn-old", "conn-new"] {
        fixture.new_connection(&fixture.tenant, connection).await.unwrap();
    }
    let (old, new) = (fixture.through("conn-old"), fixture.through("conn-new"));
    let (there, user) = (old.create_user("mover").await, staged(fixture, &new, "stayer", "mover").await);
    say(fixture, &new, Some(&old.connection)).await.unwrap();
    go_live(fixture, &new, &[person(&new, &user, &old, &there).await]).await;
}

/// Somebody of a connection in staging, whose mapped name is another one's.
async fn staged(fixture: &Fixture, here: &Through<'_>, name: &str, mapped: &str) -> ResourceId {
    fixture.store.set_connection_state(&fixture.tenant, &here.connection, ConnectionState::Staging, &actor(), START).await.unwrap();
    let user = here.create_user(name).await;
    let person = here.person(&user).await;
    let write = AccountWrite {
        id: person.account.id.clone(),
        state: AccountState::Held,
        name_key: None,
        wanted_key: Some(collision_key(mapped)),
        user_name: Some(mapped.into()),
        profile: person.account.profile.clone(),
        provenance: person.account.provenance.clone(),
        note: Some(Note { code: Note::STAGING.into(), path: None, message: String::new() }),
    };
    let revision = here.active().await;
    let effect = Effect { account: Some(write), ..Effect::default() };
    let outcome = crate::fixture::outcome(&user, person.evaluation.input_version);
    let outcome = PersonOutcome { effect, revision: revision.clone(), ..outcome };
    here.commit(Change { persons: vec![outcome], revision, ..here.change() }).await.unwrap();
    user
}

async fn say(fixture: &Fixture, here: &Through<'_>, from: Option<&ConnectionId>) -> Result<()> {
    fixture.store.set_predecessor(&fixture.tenant, &here.connection, from, &actor(), START).await
}

async fn person(here: &Through<'_>, user: &ResourceId, there: &Through<'_>, from_user: &ResourceId) -> TakeOver {
    let (made, account) = (here.person(user).await.account.id, there.person(from_user).await.account.id);
    TakeOver { user: user.clone(), made, account, from_user: from_user.clone() }
}

async fn go_live(fixture: &Fixture, here: &Through<'_>, people: &[TakeOver]) {
    let plan = AdoptionPlan { take_over: people.to_vec(), ..AdoptionPlan::default() };
    let mark = fixture.store.difference_mark(&fixture.tenant, &here.connection).await.unwrap();
    fixture.store.go_live(&fixture.tenant, &here.connection, &plan, &mark, &actor(), START).await.unwrap().unwrap();
}

async fn people_of_both_connections_are_found(fixture: Fixture) {
    let old = fixture.here();
    fixture.new_connection(&fixture.tenant, "conn-new").await.unwrap();
    let new = fixture.through("conn-new");
    let (ada, bob) = (old.create_user("ada").await, old.create_user("bob").await);
    let user = staged(&fixture, &new, "nora", "Ada").await;
    let all = async || fixture.store.staged(&fixture.tenant, &new.connection, None, 10).await.unwrap();
    assert_eq!(all().await[0].candidates, [], "nobody is compared unasked");
    let before = fixture.store.difference_mark(&fixture.tenant, &new.connection).await.unwrap();
    say(&fixture, &new, Some(&old.connection)).await.unwrap();
    let mark = fixture.store.difference_mark(&fixture.tenant, &new.connection).await.unwrap();
    assert!(mark.imports > before.imports && mark.there.as_ref().unwrap().people == 2, "{mark:?}");
    let found = all().await;
    let candidate = &found[0].candidates[0];
    assert_eq!(
        (candidate.account.as_str(), candidate.from.as_ref(), candidate.by.name, candidate.gone),
        ("account-ada", Some(&ada), true, false)
    );
    assert_eq!(found[0].holder, Some("account-ada".into()));
    let left = fixture.store.untaken(&fixture.tenant, &new.connection, None, 10).await.unwrap();
    let alike: Vec<_> = left.iter().map(|left| (left.from.clone().unwrap(), left.alike.clone())).collect();
    assert_eq!(alike, [(ada.clone(), vec![user.clone()]), (bob.clone(), vec![])]);
    assert_eq!(fixture.store.untaken(&fixture.tenant, &new.connection, Some(&ada), 10).await.unwrap(), left[1..]);
    let word = AdoptionWord {
        user: user.clone(),
        choice: AdoptionChoice::Adopt("account-bob".into()),
        reason: "because".into(),
        actor: actor(),
        at: START,
    };
    let named = fixture.store.choose_account(&fixture.tenant, &new.connection, &word).await;
    assert!(matches!(named, Err(StoreError::Conflict { what: "account_name" })), "{named:?}");
    let word = AdoptionWord { choice: AdoptionChoice::Adopt("account-ada".into()), ..word };
    fixture.store.choose_account(&fixture.tenant, &new.connection, &word).await.unwrap();
    assert_eq!(all().await[0].choice, Some(AdoptionChoice::Adopt("account-ada".into())));
}

async fn accounts_move_and_go_back(fixture: Fixture) {
    let old = fixture.here();
    fixture.new_connection(&fixture.tenant, "conn-new").await.unwrap();
    let new = fixture.through("conn-new");
    let (ada, bob) = (old.create_user("ada").await, old.create_user("bob").await);
    let (nora, nils) = (staged(&fixture, &new, "nora", "ada").await, staged(&fixture, &new, "nils", "bob").await);
    say(&fixture, &new, Some(&old.connection)).await.unwrap();
    let before = old.person(&ada).await;
    let moving = [person(&new, &nora, &old, &ada).await, person(&new, &nils, &old, &bob).await];
    go_live(&fixture, &new, &moving).await;
    let here = new.person(&nora).await;
    assert_eq!((&here.account.id, &here.grants, here.account.state), (&before.account.id, &before.grants, AccountState::Active));
    assert_eq!((here.account.note.unwrap().code.as_str(), here.evaluation.cause), (Note::TAKEN_OVER, Some(Cause::Resumed)));
    let there = old.person(&ada).await;
    assert_eq!((there.account.id.as_str(), there.account.state, there.grants.len()), ("account-nora", AccountState::OutOfScope, 0));
    assert_eq!((there.account.note.unwrap().code.as_str(), there.account.user_name), (Note::MOVED, None));
    assert!(there.evaluation.input_version > before.evaluation.input_version, "what was computed before is about another account");
    // Whoever has moved is nobody's any more.
    assert_eq!(fixture.store.untaken(&fixture.tenant, &new.connection, None, 10).await.unwrap(), []);
    let listed = fixture.store.moved(&fixture.tenant, &new.connection, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|moved| moved.user.clone()).collect::<Vec<_>>(), [nils.clone(), nora.clone()]);
    assert_eq!(fixture.store.moved(&fixture.tenant, &new.connection, Some(&nils), 10).await.unwrap(), listed[1..]);
    let one = &listed[1];
    assert_eq!((&one.has, &one.has_there), (&Some(one.account.clone()), &Some(one.placeholder.clone())));
    let back = |moved: &rolecall::store::MovedPerson| GoBack {
        user: moved.user.clone(),
        from: (moved.from.clone(), moved.from_user.clone()),
        account: moved.account.clone(),
        placeholder: moved.placeholder.clone(),
    };
    let go = async |people: &[GoBack]| fixture.store.go_back(&fixture.tenant, &new.connection, people, &json!({}), &actor(), START).await;
    let wrong = GoBack { account: AccountId("account-bob".into()), ..back(one) };
    assert!(matches!(go(&[back(&listed[0]), wrong]).await, Err(StoreError::Conflict { what: "move" })));
    assert_eq!(new.person(&nils).await.account.id.as_str(), "account-bob", "all of it, or nothing");
    go(&[back(one)]).await.unwrap();
    let again = old.person(&ada).await;
    assert_eq!((&again.account.id, &again.grants), (&before.account.id, &before.grants));
    let staged = new.person(&nora).await;
    assert_eq!((staged.account.id.as_str(), staged.account.state), ("account-nora", AccountState::Held));
    assert_eq!(fixture.store.moved(&fixture.tenant, &new.connection, None, 10).await.unwrap().len(), 1);
    assert!(matches!(go(&[back(&listed[0])]).await, Err(StoreError::Conflict { what: "not_live" })));
    let kinds = fixture.event_kinds().await;
    for kind in ["connection.taking_over", "account.moved", "connection.live", "account.moved_back", "connection.moved_back"] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}: {kinds:?}");
    }
    // Who stays keeps the account; the end of the old connection ends the way back alone.
    fixture.store.delete_connection(&fixture.tenant, &old.connection, &actor(), START).await.unwrap();
    assert_eq!(fixture.store.moved(&fixture.tenant, &new.connection, None, 10).await.unwrap(), []);
    assert_eq!(fixture.store.predecessor(&fixture.tenant, &new.connection).await.unwrap(), None);
    assert_eq!(new.person(&nils).await.account.state, AccountState::Active);
}

async fn only_what_can_be_is_taken_over(fixture: Fixture) {
    let old = fixture.here();
    for connection in ["conn-new", "conn-third"] {
        fixture.new_connection(&fixture.tenant, connection).await.unwrap();
    }
    fixture.new_tenant("other", "conn-other").await;
    let (new, third) = (fixture.through("conn-new"), fixture.through("conn-third"));
    assert!(matches!(say(&fixture, &new, Some(&old.connection)).await, Err(StoreError::Conflict { what: "connection_state" })));
    for connection in [&new, &third] {
        fixture
            .store
            .set_connection_state(&fixture.tenant, &connection.connection, ConnectionState::Staging, &actor(), START)
            .await
            .unwrap();
    }
    for from in [&new, &third] {
        assert!(matches!(say(&fixture, &new, Some(&from.connection)).await, Err(StoreError::Conflict { what: "predecessor" })));
    }
    assert!(matches!(say(&fixture, &new, Some(&"conn-other".into())).await, Err(StoreError::Missing("connection"))));
    say(&fixture, &new, Some(&old.connection)).await.unwrap();
    assert!(matches!(say(&fixture, &third, Some(&old.connection)).await, Err(StoreError::Conflict { what: "predecessor" })));
    say(&fixture, &new, None).await.unwrap();
    say(&fixture, &third, Some(&old.connection)).await.unwrap();
    assert_eq!(fixture.store.predecessor(&fixture.tenant, &third.connection).await.unwrap(), Some(old.connection.clone()));
}

async fn a_handle_stands_for_a_group_of_each(fixture: Fixture) {
    let old = fixture.here();
    fixture.new_connection(&fixture.tenant, "conn-new").await.unwrap();
    let new = fixture.through("conn-new");
    let (here, there) = (new.create_group("staff", &[]).await, old.create_group("people", &[]).await);
    let bind = async |through: &Through<'_>, group: &ResourceId| {
        let binding = HandleBinding {
            handle: "eng".into(),
            connection: through.connection.clone(),
            group: group.clone(),
            external_id: None,
            display_name: String::new(),
            confirmed: false,
            bound: START,
        };
        through.commit(Change { bind_handle: Some(binding), revision: through.active().await, ..through.change() }).await.map(|_| ())
    };
    let bound = async || {
        let all = fixture.store.handles(&fixture.tenant).await.unwrap();
        all.into_iter().map(|binding| (binding.group.0, binding.confirmed)).collect::<Vec<_>>()
    };
    bind(&old, &there).await.unwrap();
    assert!(matches!(bind(&new, &here).await, Err(StoreError::Conflict { what: "handle" })), "two connections share nothing unasked");
    fixture.store.set_connection_state(&fixture.tenant, &new.connection, ConnectionState::Staging, &actor(), START).await.unwrap();
    let shares = async || fixture.store.shares_handle(&fixture.tenant, &new.connection, &old.connection, &"eng".into()).await.unwrap();
    assert!(!shares().await);
    say(&fixture, &new, Some(&old.connection)).await.unwrap();
    assert!(shares().await);
    bind(&new, &here).await.unwrap();
    assert!(!shares().await, "one group of each");
    fixture.store.confirm_handle(&fixture.tenant, &"eng".into(), &actor(), START).await.unwrap();
    assert_eq!(bound().await, [(there.0.clone(), true), (here.0.clone(), true)]);
    say(&fixture, &new, None).await.unwrap();
    assert_eq!(bound().await, [(there.0.clone(), true)], "what was beside it goes with the reason");
    say(&fixture, &new, Some(&old.connection)).await.unwrap();
    bind(&new, &here).await.unwrap();
    fixture.store.delete_connection(&fixture.tenant, &old.connection, &actor(), START).await.unwrap();
    assert_eq!(bound().await, [(here.0, false)]);
    assert_eq!(fixture.store.handle(&fixture.tenant, &"eng".into()).await.unwrap().unwrap().connection, new.connection);
}
