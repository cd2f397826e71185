//! Users: creation, change, deletion, and what the commit checks.

use rolecall::model::{AccountState, Cause, ConnectionId};
use rolecall::store::{Change, Effect, PersonOutcome, ResourceWrite, Stale, StoreError};
use rolecall_scim::{ResourceKind, ScimError};
use serde_json::json;

use crate::fixture::{Fixture, START, account, document, grant, outcome, personal_event, user_document};

store_contract_suite!(
    a_created_user_is_read_back_decided,
    user_names_are_unique_in_their_connection,
    external_ids_are_not_unique,
    a_user_needs_an_account,
    an_update_needs_the_version_that_was_read,
    stale_people_refuse_the_change_or_are_marked,
    another_active_revision_refuses_the_change,
    grants_are_put_changed_and_dropped,
    a_verdict_that_is_none_stays_pending,
    a_deleted_user_is_gone_and_its_name_free,
    a_returning_user_revives_the_account_once,
    a_locked_decision_sees_what_stands,
    a_locked_decision_survives_an_activation,
    a_refused_change_leaves_nothing,
);

async fn a_created_user_is_read_back_decided(fixture: Fixture) {
    fixture.activate("r1").await;
    let here = fixture.here();
    let id = here.create_user("ana").await;
    let person = here.person(&id).await;
    assert_eq!(person.resource.document, user_document("ana"));
    assert_eq!((person.resource.version, person.resource.created, person.resource.modified), (1, START, START));
    let account = &person.account;
    assert_eq!((account.state, account.user_name.as_deref(), account.created), (AccountState::Active, Some("ana"), START));
    let evaluation = person.evaluation;
    assert_eq!((evaluation.cause, evaluation.as_of), (None, Some(START)));
    assert_eq!((evaluation.evaluated_version, evaluation.evaluated_revision), (Some(evaluation.input_version), Some("r1".into())));
    assert_eq!(fixture.store.count_pending(&fixture.tenant).await.unwrap(), 0);
    let view = fixture.store.account(&fixture.tenant, "ANA").await.unwrap().unwrap();
    assert_eq!(view.source, Some((here.connection.clone(), id)));
    assert_eq!(view.account, *account);
    assert_eq!(fixture.event_kinds().await, ["connection.created", "revision.activated", "account.created"]);
}

async fn user_names_are_unique_in_their_connection(fixture: Fixture) {
    let here = fixture.here();
    here.create_user("ana").await;
    let mut twin = here.creation("twin");
    let shouted = document(json!({"userName": "ANA@EXAMPLE.COM"}));
    twin.write = Some(ResourceWrite::CreateUser { id: "user-twin".into(), document: shouted, revives: None });
    let taken = here.commit(twin.clone()).await;
    assert!(matches!(taken, Err(StoreError::Taken { attribute: "userName" })), "{taken:?}");
    let bob = here.create_user("bob").await;
    let renamed = document(json!({"userName": "Ana@example.com"}));
    let update = ResourceWrite::UpdateUser { id: bob, expected: 1, document: renamed };
    let taken = here.commit(Change { write: Some(update), ..here.change() }).await;
    assert!(matches!(taken, Err(StoreError::Taken { attribute: "userName" })), "{taken:?}");
    // Another connection has names of its own.
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    let there = fixture.through("conn-2");
    there.commit(Change { connection: there.connection.clone(), ..twin }).await.unwrap();
}

async fn external_ids_are_not_unique(fixture: Fixture) {
    let here = fixture.here();
    for name in ["ana", "bob"] {
        let mut change = here.creation(name);
        let document = document(json!({"userName": name, "externalId": "same"}));
        change.write = Some(ResourceWrite::CreateUser { id: name.into(), document, revives: None });
        change.persons[0].user = name.into();
        here.commit(change).await.unwrap();
    }
}

async fn a_user_needs_an_account(fixture: Fixture) {
    let here = fixture.here();
    let undecided = here.commit(Change { persons: Vec::new(), ..here.creation("ana") }).await;
    assert!(matches!(undecided, Err(StoreError::Corrupt(_))), "{undecided:?}");
    assert_eq!(here.version(ResourceKind::User, &"user-ana".into()).await, None);
}

async fn an_update_needs_the_version_that_was_read(fixture: Fixture) {
    let here = fixture.here();
    let id = here.create_user("ana").await;
    let update = |expected| {
        let document = document(json!({"userName": "ana2@example.com"}));
        Change { write: Some(ResourceWrite::UpdateUser { id: id.clone(), expected, document }), ..here.change() }
    };
    let later = START.plus_seconds(5);
    let committed = here.commit(Change { at: later, ..update(1) }).await.unwrap();
    assert_eq!((committed.version, committed.pending.as_slice()), (Some(2), std::slice::from_ref(&id)));
    let person = here.person(&id).await;
    assert_eq!((person.resource.version, person.resource.created, person.resource.modified), (2, START, later));
    // Nobody decided the person: pending.
    assert_eq!((person.evaluation.cause, person.evaluation.input_version), (Some(Cause::UserWrite), 1));
    let lost = here.commit(update(1)).await;
    assert!(matches!(lost, Err(StoreError::Conflict { what: "resource" })), "{lost:?}");
    let nobody = ResourceWrite::UpdateUser { id: "nobody".into(), expected: 1, document: user_document("x") };
    let missing = here.commit(Change { write: Some(nobody), ..here.change() }).await;
    assert!(matches!(missing, Err(StoreError::Missing("user"))), "{missing:?}");
}

async fn stale_people_refuse_the_change_or_are_marked(fixture: Fixture) {
    let here = fixture.here();
    let (ana, bob) = (here.create_user("ana").await, here.create_user("bob").await);
    let gains = |name: &str| Effect {
        put_grants: vec![grant("dev")],
        events: vec![personal_event("grant.added", &account(name).id, name)],
        ..Effect::default()
    };
    let people =
        vec![PersonOutcome { effect: gains("ana"), ..outcome(&ana, 7) }, PersonOutcome { effect: gains("bob"), ..outcome(&bob, 0) }];
    let change = Change { persons: people, ..here.change() };
    let lost = here.commit(change.clone()).await;
    assert!(matches!(lost, Err(StoreError::Conflict { what: "person" })), "{lost:?}");
    assert!(here.person(&bob).await.grants.is_empty());
    let committed = here.commit(Change { stale: Stale::MarkPending(Cause::GroupChange), ..change }).await.unwrap();
    assert_eq!(committed.pending, std::slice::from_ref(&ana));
    let (ana, bob) = (here.person(&ana).await, here.person(&bob).await);
    assert_eq!((ana.grants.len(), ana.evaluation.cause, ana.evaluation.input_version), (0, Some(Cause::GroupChange), 1));
    assert_eq!((bob.grants.len(), bob.evaluation.cause), (1, None));
    // Only what was applied is history.
    assert_eq!(fixture.event_kinds().await.iter().filter(|kind| *kind == "grant.added").count(), 1);
}

async fn another_active_revision_refuses_the_change(fixture: Fixture) {
    let here = fixture.here();
    let id = here.create_user("ana").await;
    fixture.activate("r1").await;
    let decided = Change { persons: vec![outcome(&id, 0)], ..here.change() };
    let lost = here.commit(decided.clone()).await;
    assert!(matches!(lost, Err(StoreError::Conflict { what: "revision" })), "{lost:?}");
    // Without anybody decided, no revision was read.
    here.commit(here.change()).await.unwrap();
    let mut current = Change { revision: Some("r1".into()), ..decided };
    current.persons[0].revision = Some("r1".into());
    here.commit(current).await.unwrap();
    assert_eq!(here.person(&id).await.evaluation.cause, None);
}

async fn grants_are_put_changed_and_dropped(fixture: Fixture) {
    let here = fixture.here();
    let id = here.create_user("ana").await;
    let put = PersonOutcome { effect: Effect { put_grants: vec![grant("dev"), grant("admin")], ..Effect::default() }, ..outcome(&id, 0) };
    here.commit(Change { persons: vec![put], ..here.change() }).await.unwrap();
    assert_eq!(here.person(&id).await.grants, [grant("admin"), grant("dev")]);
    let held = async |most| fixture.store.roles_held(&fixture.tenant, most).await.unwrap();
    assert_eq!((held(2).await, held(1).await), (Some(["admin".into(), "dev".into()].into()), None), "as far as is asked for");
    let elsewhere = fixture.store.roles_held(&"nobody".into(), 2).await.unwrap();
    assert_eq!(elsewhere, Some([].into()), "another tenant's are its own");
    // What was decided at the same version is a difference to grants that stand no more.
    let late = PersonOutcome { effect: Effect { put_grants: vec![grant("late")], ..Effect::default() }, ..outcome(&id, 0) };
    let late = here.commit(Change { persons: vec![late], ..here.change() }).await;
    assert!(matches!(late, Err(StoreError::Conflict { what: "person" })), "{late:?}");
    let mut retained = grant("dev");
    retained.state = rolecall::model::GrantState::Retained;
    retained.deadline = Some(START.plus_seconds(60));
    let change = PersonOutcome {
        effect: Effect { put_grants: vec![retained.clone()], drop_grants: vec!["admin".into(), "never".into()], ..Effect::default() },
        ..outcome(&id, 1)
    };
    here.commit(Change { persons: vec![change], ..here.change() }).await.unwrap();
    assert_eq!(here.person(&id).await.grants, std::slice::from_ref(&retained));
    let view = fixture.store.account(&fixture.tenant, "account-ana").await.unwrap().unwrap();
    assert_eq!(view.grants, [retained]);
}

async fn a_verdict_that_is_none_stays_pending(fixture: Fixture) {
    let here = fixture.here();
    let id = here.create_user("ana").await;
    let retry_at = START.plus_seconds(2);
    let fault = PersonOutcome {
        effect: Effect { next_evaluation_at: Some(retry_at), ..Effect::default() },
        still_pending: Some(Cause::Retry),
        attempts: 3,
        as_of: START.plus_seconds(9),
        ..outcome(&id, 0)
    };
    let committed = here.commit(Change { persons: vec![fault], ..here.change() }).await.unwrap();
    assert_eq!(committed.pending, std::slice::from_ref(&id));
    let evaluation = here.person(&id).await.evaluation;
    assert_eq!((evaluation.input_version, evaluation.evaluated_version, evaluation.as_of), (1, Some(0), Some(START)));
    assert_eq!((evaluation.cause, evaluation.attempts, evaluation.next_evaluation_at), (Some(Cause::Retry), 3, Some(retry_at)));
    assert_eq!(fixture.store.count_pending(&fixture.tenant).await.unwrap(), 1);
    here.settle(&id).await;
    let evaluation = here.person(&id).await.evaluation;
    assert_eq!((evaluation.cause, evaluation.attempts, evaluation.evaluated_version), (None, 0, Some(2)));
}

async fn a_deleted_user_is_gone_and_its_name_free(fixture: Fixture) {
    let here = fixture.here();
    let id = here.create_user("ana").await;
    let put = PersonOutcome { effect: Effect { put_grants: vec![grant("dev")], ..Effect::default() }, ..outcome(&id, 0) };
    here.commit(Change { persons: vec![put], ..here.change() }).await.unwrap();
    let group = here.create_group("eng", &[&id]).await;
    let committed = here.delete_user(&id).await;
    assert_eq!((committed.version, committed.pending.len()), (None, 0));
    assert_eq!(here.version(ResourceKind::User, &id).await, None);
    assert!(here.members(&group).await.is_empty());
    assert_eq!(here.version(ResourceKind::Group, &group).await, Some(2), "losing a member changes the group");
    let view = fixture.store.account(&fixture.tenant, "account-ana").await.unwrap().unwrap();
    assert_eq!((view.account.state, view.grants.len(), view.source, view.evaluation), (AccountState::Removed, 0, None, None));
    let again = fixture.store.commit_locked(&fixture.tenant, &here.connection, &id, Box::new(|_| unreachable!("nobody is there"))).await;
    assert!(matches!(again, Err(StoreError::Missing("user"))), "{again:?}");
    // A new person of that name: SCIM name and account name are free.
    let mut change = here.creation("ana");
    change.write = Some(ResourceWrite::CreateUser { id: "user-new".into(), document: user_document("ana"), revives: None });
    change.persons[0].user = "user-new".into();
    if let Some(account) = &mut change.persons[0].effect.account {
        account.id = "account-new".into();
    }
    change.events.clear();
    here.commit(change).await.unwrap();
}

async fn a_returning_user_revives_the_account_once(fixture: Fixture) {
    let here = fixture.here();
    let id = here.create_user("ana").await;
    let revivable = async |external_id: &str| fixture.store.revivable(&fixture.tenant, &here.connection, external_id).await.unwrap();
    assert_eq!(revivable("ext-ana").await, None, "the account is in use");
    here.delete_user(&id).await;
    let removed = revivable("ext-ana").await.unwrap();
    assert_eq!((removed.account.id.as_str(), removed.account.state), ("account-ana", AccountState::Removed));
    assert!(removed.grants.is_empty() && removed.rulings.is_empty());
    assert_eq!(revivable("ext-bob").await, None);
    let nowhere = fixture.store.revivable(&fixture.tenant, &ConnectionId::from("conn-2"), "ext-ana").await.unwrap();
    assert_eq!(nowhere, None);
    let returning = |number: i32| {
        let mut change = here.creation("ana");
        let id = format!("user-returned-{number}");
        let document = document(json!({"userName": id, "externalId": "ext-ana"}));
        change.write = Some(ResourceWrite::CreateUser { id: id.as_str().into(), document, revives: Some(START) });
        change.persons[0].user = id.as_str().into();
        change
    };
    here.commit(returning(1)).await.unwrap();
    assert_eq!(revivable("ext-ana").await, None);
    let person = here.person(&"user-returned-1".into()).await;
    assert_eq!((person.account.id.as_str(), person.account.state), ("account-ana", AccountState::Active));
    assert_eq!(person.account.created, START);
    let twice = here.commit(returning(2)).await;
    assert!(matches!(twice, Err(StoreError::Conflict { what: "account" })), "{twice:?}");
}

async fn a_locked_decision_sees_what_stands(fixture: Fixture) {
    let here = fixture.here();
    let id = here.create_user("ana").await;
    let change = here.change();
    let suspend = move |person: &rolecall::store::Person| {
        let document = document(json!({"userName": "ana@example.com", "active": false}));
        let account = rolecall::store::AccountWrite { state: AccountState::Suspended, ..account("ana") };
        let outcome = PersonOutcome {
            effect: Effect { account: Some(account), ..Effect::default() },
            ..outcome(&person.resource.id, person.evaluation.input_version)
        };
        let write = ResourceWrite::UpdateUser { id: person.resource.id.clone(), expected: person.resource.version, document };
        Ok(Change { write: Some(write), persons: vec![outcome], ..change })
    };
    let committed = fixture.store.commit_locked(&fixture.tenant, &here.connection, &id, Box::new(suspend)).await.unwrap().unwrap();
    assert_eq!(committed.version, Some(2));
    let person = here.person(&id).await;
    assert_eq!((person.account.state, person.evaluation.cause, person.evaluation.input_version), (AccountState::Suspended, None, 1));
    let refusal = ScimError::status(412, "another version");
    let refuse = {
        let refusal = refusal.clone();
        move |_: &rolecall::store::Person| Err(refusal)
    };
    let refused = fixture.store.commit_locked(&fixture.tenant, &here.connection, &id, Box::new(refuse)).await.unwrap();
    assert_eq!(refused, Err(refusal));
    assert_eq!(here.version(ResourceKind::User, &id).await, Some(2));
}

async fn a_locked_decision_survives_an_activation(fixture: Fixture) {
    let here = fixture.here();
    let id = here.create_user("ana").await;
    fixture.activate("r1").await;
    let change = here.change();
    let decide = move |person: &rolecall::store::Person| {
        let outcome = PersonOutcome {
            effect: Effect { put_grants: Vec::new(), ..Effect::default() },
            ..outcome(&person.resource.id, person.evaluation.input_version)
        };
        Ok(Change { persons: vec![outcome], ..change })
    };
    let committed = fixture.store.commit_locked(&fixture.tenant, &here.connection, &id, Box::new(decide)).await.unwrap().unwrap();
    assert_eq!(committed.pending, std::slice::from_ref(&id), "decided under no revision while one is active");
    assert_eq!(here.person(&id).await.evaluation.cause, Some(Cause::Activation));
    let due = crate::fixture::claim_all(&fixture.store, START).await;
    assert_eq!(due.get(id.as_str()), Some(&Cause::Activation));
}

async fn a_refused_change_leaves_nothing(fixture: Fixture) {
    let here = fixture.here();
    here.create_user("ana").await;
    // The name of the account is found to be taken after the resource is written.
    let mut change = here.creation("bob");
    change.persons[0].effect.account.as_mut().unwrap().name_key = Some("ana".into());
    let lost = here.commit(change).await;
    assert!(matches!(lost, Err(StoreError::Conflict { what: "account_name" })), "{lost:?}");
    assert_eq!(here.version(ResourceKind::User, &"user-bob".into()).await, None);
    assert_eq!(fixture.store.account(&fixture.tenant, "account-bob").await.unwrap(), None);
    assert_eq!(fixture.event_kinds().await, ["connection.created", "account.created"]);
    // And what comes after is not touched by it.
    here.create_user("bob").await;
}
