//! The guard and what people say of what it holds: counted with the commit, answered in bounded steps, read with the person.

use rolecall::model::{
    AccountId, AccountState, Cause, Concerned, Grant, GrantState, GuardDirection, GuardScope, GuardSettings, HoldState, Instant, NewRuling,
    ResourceId, Ruling, RulingKind, RulingState,
};
use rolecall::store::{Answer, Answered, Change, Departed, Effect, Guarded, PersonOutcome, ResourceWrite, RulingQuery, StoreError};

use crate::fixture::{Fixture, START, Through, actor, grant, outcome};

store_contract_suite!(
    so_many_people_pass_and_the_others_are_held,
    a_window_ends_and_its_limit_is_what_it_was_when_it_began,
    a_person_is_counted_once,
    an_unguarded_connection_is_not_counted,
    an_answer_marks_its_people_and_closes_the_hold,
    a_hold_that_is_resolved_is_closed_once,
    a_deleted_person_is_settled_by_what_was_said,
    exceptions_are_made_once_and_ended,
    changes_at_once_do_not_pass_together,
);

/// A guard that lets one person pass.
fn settings() -> GuardSettings {
    GuardSettings { percent: 0, people: 0, at_least: 1, ..GuardSettings::default() }
}

/// The outcome of somebody who loses a role, unless the guard keeps it.
fn loss(user: &ResourceId, read_input_version: i64, settings: GuardSettings) -> PersonOutcome {
    let held = Effect {
        rule: vec![NewRuling { role: Some("dev".into()), kind: RulingKind::Loss, ends: None, remind_at: None, asks: Some("why".into()) }],
        put_grants: vec![grant("kept")],
        ..Effect::default()
    };
    let concerned = Concerned {
        connection: "conn-acme".into(),
        activated: None,
        settings,
        loses: true,
        leaves: false,
        lost: Vec::new(),
        gained: Vec::new(),
        gained_privileged: Vec::new(),
    };
    let guarded = Guarded { concerned, losses_held: Some(held), gains_held: None, both_held: None };
    PersonOutcome {
        effect: Effect { drop_grants: vec!["dev".into()], put_grants: vec![grant("passed")], ..Effect::default() },
        guarded: Some(Box::new(guarded)),
        ..outcome(user, read_input_version)
    }
}

async fn lose_with(here: &Through<'_>, user: &ResourceId, at: Instant, settings: GuardSettings) {
    let (revision, person) = (here.active().await, here.person(user).await);
    let mut outcome = loss(user, person.evaluation.input_version, settings);
    outcome.revision.clone_from(&revision);
    here.commit(Change { persons: vec![outcome], revision, at, ..here.change() }).await.unwrap();
}

async fn lose(here: &Through<'_>, user: &ResourceId, at: Instant) {
    lose_with(here, user, at, settings()).await;
}

/// Somebody passes, and somebody else is held: every table of the guard has a row.
pub async fn past_the_limit(here: &Through<'_>, user: &ResourceId) {
    let other = here.create_user("other").await;
    lose(here, user, START).await;
    lose(here, &other, START).await;
}

async fn roles(here: &Through<'_>, user: &ResourceId) -> Vec<String> {
    here.person(user).await.grants.into_iter().map(|grant| grant.role.0).collect()
}

async fn so_many_people_pass_and_the_others_are_held(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 3).await;
    for user in &users {
        lose(&here, user, START).await;
    }
    assert_eq!(roles(&here, &users[0]).await, ["passed"]);
    for user in &users[1..] {
        assert_eq!(roles(&here, user).await, ["kept"]);
        let person = here.person(user).await;
        assert_eq!(
            person.rulings.iter().map(|ruling| (ruling.kind, ruling.state)).collect::<Vec<_>>(),
            [(RulingKind::Loss, RulingState::Open)]
        );
    }
    let holds = fixture.store.holds(&fixture.tenant, None, None, 10).await.unwrap();
    assert_eq!(holds.len(), 1, "{holds:?}");
    let hold = &holds[0];
    assert_eq!(
        (hold.direction, hold.scope, hold.of.as_str(), hold.state, hold.limit, hold.people),
        (GuardDirection::Losses, GuardScope::Connection, "conn-acme", HoldState::Open, 1, 2)
    );
    assert_eq!(fixture.store.hold(&fixture.tenant, &hold.id).await.unwrap().as_ref(), Some(hold));
    assert_eq!(fixture.event_kinds().await.iter().filter(|kind| *kind == "hold.opened").count(), 1);
}

async fn a_window_ends_and_its_limit_is_what_it_was_when_it_began(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 6).await;
    let half = || GuardSettings { percent: 50, people: 500, at_least: 0, ..GuardSettings::default() };
    lose_with(&here, &users[0], START, half()).await;
    // More people come: the limit of the window stays half of six.
    here.create_users("v", 20).await;
    for user in &users[1..] {
        lose_with(&here, user, START.plus_seconds(3_600), half()).await;
    }
    let mut held = 0;
    for user in &users {
        held += i64::from(roles(&here, user).await == ["kept"]);
    }
    assert_eq!(held, 3);
    let later = here.create_users("w", 1).await;
    lose_with(&here, &later[0], START.plus_seconds(25 * 3_600), settings()).await;
    assert_eq!(roles(&here, &later[0]).await, ["passed"], "a new window");
}

async fn a_person_is_counted_once(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 2).await;
    for _ in 0..3 {
        lose(&here, &users[0], START).await;
    }
    assert_eq!(roles(&here, &users[0]).await, ["passed"]);
    lose(&here, &users[1], START).await;
    assert_eq!(roles(&here, &users[1]).await, ["kept"]);
}

async fn an_unguarded_connection_is_not_counted(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 3).await;
    fixture.store.set_guarded(&fixture.tenant, &here.connection, false, &actor(), START).await.unwrap();
    for user in &users {
        lose(&here, user, START).await;
        assert_eq!(roles(&here, user).await, ["passed"]);
    }
    assert!(!fixture.store.connections(&fixture.tenant).await.unwrap()[0].guarded);
    let missing = fixture.store.set_guarded(&fixture.tenant, &"nothing".into(), true, &actor(), START).await;
    assert!(matches!(missing, Err(StoreError::Missing("connection"))), "{missing:?}");
}

fn said(yes: bool) -> Answer {
    Answer { yes, ends: None, reason: Some("because".into()), owner: Some("iam".into()), actor: actor(), at: START }
}

async fn an_answer_marks_its_people_and_closes_the_hold(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 4).await;
    for user in &users {
        lose(&here, user, START).await;
    }
    let hold = fixture.store.holds(&fixture.tenant, Some(HoldState::Open), None, 10).await.unwrap().remove(0);
    let query = RulingQuery { hold: Some(hold.id.clone()), limit: 10, ..RulingQuery::default() };
    let held = fixture.store.rulings(&fixture.tenant, &query).await.unwrap();
    assert_eq!(held.len(), 3);
    let one: AccountId = held[0].account.clone();
    let some = Answered::Hold(hold.id.clone(), Some(vec![one.clone(), "nobody".into()]));
    assert_eq!(fixture.store.answer_rulings(&fixture.tenant, &some, &said(true)).await.unwrap(), 1);
    assert_eq!(fixture.store.hold(&fixture.tenant, &hold.id).await.unwrap().unwrap().people, 2);
    let all = Answered::Hold(hold.id.clone(), None);
    assert_eq!(fixture.store.answer_rulings(&fixture.tenant, &all, &said(false)).await.unwrap(), 2);
    assert_eq!(fixture.store.answer_rulings(&fixture.tenant, &all, &said(false)).await.unwrap(), 0);
    let closed = fixture.store.hold(&fixture.tenant, &hold.id).await.unwrap().unwrap();
    assert_eq!((closed.state, closed.people, closed.closed), (HoldState::Closed, 0, Some(START)));
    let answered = fixture.store.ruling(&fixture.tenant, &held[0].id).await.unwrap().unwrap();
    assert_eq!((answered.state, answered.decided_by, answered.owner.as_deref()), (RulingState::Yes, Some(actor()), Some("iam")));
    for user in &users[1..] {
        assert_eq!(here.person(user).await.evaluation.cause, Some(Cause::Ruling));
    }
    let again = Answered::One(held[0].id.clone());
    assert_eq!(fixture.store.answer_rulings(&fixture.tenant, &again, &said(false)).await.unwrap(), 1);
    let missing = fixture.store.answer_rulings(&fixture.tenant, &Answered::One("x".into()), &said(true)).await;
    assert!(matches!(missing, Err(StoreError::Missing("ruling"))), "{missing:?}");
    // The next that are too many open a hold of their own.
    let late = here.create_users("late", 1).await;
    lose(&here, &late[0], START).await;
    assert_eq!(fixture.store.holds(&fixture.tenant, Some(HoldState::Open), None, 10).await.unwrap().len(), 1);
    let newest = fixture.store.holds(&fixture.tenant, None, None, 1).await.unwrap();
    let others = fixture.store.holds(&fixture.tenant, None, Some(&newest[0].id), 10).await.unwrap();
    assert_eq!(others.len(), 1);
}

async fn a_hold_that_is_resolved_is_closed_once(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 3).await;
    for user in &users {
        lose(&here, user, START).await;
    }
    let hold = fixture.store.holds(&fixture.tenant, None, None, 1).await.unwrap().remove(0);
    let people = fixture.store.people_in_hold(&fixture.tenant, &hold.id, None, 10).await.unwrap();
    let names: Vec<_> = people.iter().map(|held| held.user_name.as_deref().unwrap()).collect();
    assert_eq!(names, ["u00001", "u00002"]);
    let behind = fixture.store.people_in_hold(&fixture.tenant, &hold.id, Some(&people[0].account), 10).await.unwrap();
    assert_eq!(behind, people[1..]);
    assert!(fixture.store.resolved_holds(10).await.unwrap().is_empty());
    let end = async |user: &ResourceId| {
        let (revision, person) = (here.active().await, here.person(user).await);
        let effect = Effect { end_rulings: person.rulings.iter().map(|ruling| ruling.id.clone()).collect(), ..Effect::default() };
        let decided = PersonOutcome { effect, revision: revision.clone(), ..outcome(user, person.evaluation.input_version) };
        here.commit(Change { persons: vec![decided], revision, ..here.change() }).await.unwrap();
    };
    end(&users[1]).await;
    assert!(fixture.store.resolved_holds(10).await.unwrap().is_empty(), "somebody waits");
    fixture.store.close_resolved(&fixture.tenant, &hold.id, &actor(), START).await.unwrap();
    assert_eq!(fixture.store.hold(&fixture.tenant, &hold.id).await.unwrap().unwrap().state, HoldState::Open);
    end(&users[2]).await;
    assert_eq!(fixture.store.resolved_holds(10).await.unwrap(), [(fixture.tenant.clone(), hold.id.clone())]);
    for _ in 0..2 {
        fixture.store.close_resolved(&fixture.tenant, &hold.id, &actor(), START).await.unwrap();
    }
    let closed = fixture.store.hold(&fixture.tenant, &hold.id).await.unwrap().unwrap();
    assert_eq!((closed.state, closed.closed, closed.people), (HoldState::Closed, Some(START), 0));
    assert!(fixture.store.resolved_holds(10).await.unwrap().is_empty());
    assert_eq!(fixture.event_kinds().await.iter().filter(|kind| *kind == "hold.closed").count(), 1);
}

async fn a_deleted_person_is_settled_by_what_was_said(fixture: Fixture) {
    let (here, store, tenant) = (fixture.here(), &fixture.store, &fixture.tenant);
    let ana = here.create_user("ana").await;
    let person = here.person(&ana).await;
    let mut deletion = here.deletion(&person);
    let dormant = Grant { state: GrantState::Dormant, ..grant("dev") };
    deletion.persons[0].effect.put_grants = vec![dormant];
    deletion.persons[0].effect.rule = vec![NewRuling::open(None, RulingKind::Restored)];
    here.commit(deletion).await.unwrap();
    let open = store.rulings(tenant, &RulingQuery { limit: 10, ..RulingQuery::default() }).await.unwrap().remove(0);
    assert!(store.due_departed(START, 10).await.unwrap().is_empty(), "nobody has said anything");
    let ends = START.plus_seconds(3_600);
    let yes = Answer { ends: Some(ends), ..said(true) };
    store.answer_rulings(tenant, &Answered::One(open.id.clone()), &yes).await.unwrap();
    assert_eq!(store.due_departed(START, 10).await.unwrap(), std::slice::from_ref(tenant));
    let departed = store.departed(tenant, START, 10).await.unwrap().remove(0);
    assert_eq!(
        (departed.account.id.as_str(), departed.account.state, departed.holder.as_ref()),
        ("account-ana", AccountState::Removed, None)
    );
    assert_eq!((departed.grants[0].state, departed.rulings[0].state), (GrantState::Dormant, RulingState::Yes));
    let effect = Effect {
        account: Some(crate::fixture::account("ana")),
        put_grants: vec![grant("dev")],
        next_evaluation_at: Some(ends),
        ..Effect::default()
    };
    // Something else was said since it was read: what comes of that is decided again.
    let stale = Departed { rulings: Vec::new(), ..departed.clone() };
    assert_eq!(store.settle_departed(tenant, &[(stale, effect.clone())], &actor(), START).await.unwrap(), 0);
    let later = START.plus_seconds(1);
    assert_eq!(store.settle_departed(tenant, &[(departed.clone(), effect.clone())], &actor(), later).await.unwrap(), 1);
    assert_eq!(store.settle_departed(tenant, &[(departed, effect)], &actor(), later).await.unwrap(), 0, "once");
    let view = store.account(tenant, "ana").await.unwrap().unwrap();
    assert_eq!((view.account.state, view.account.holds_name, view.source), (AccountState::Active, true, None));
    assert!(store.due_departed(later, 10).await.unwrap().is_empty() && !store.due_departed(ends, 10).await.unwrap().is_empty());
    // An exception is settled like an answer.
    let forbid = Ruling { role: Some("dev".into()), ..Ruling::said("e".into(), "account-ana".into(), RulingKind::Forbid, later, actor()) };
    store.make_exception(tenant, &forbid).await.unwrap();
    assert_eq!(store.departed(tenant, later, 10).await.unwrap()[0].rulings.len(), 2);
    // Whoever comes back has what is left of them read with the account; and once they are here, nobody settles them.
    let left = store.revivable(tenant, &here.connection, "ext-ana").await.unwrap().unwrap();
    assert_eq!((left.grants.len(), left.rulings.len(), left.account.modified), (1, 2, later));
    let mut back = here.creation("ana");
    let document = crate::fixture::document(serde_json::json!({"userName": "back", "externalId": "ext-ana"}));
    let returning = |modified| ResourceWrite::CreateUser { id: "user-back".into(), document: document.clone(), revives: Some(modified) };
    back.persons[0].user = "user-back".into();
    back.persons[0].effect.end_rulings = vec![open.id];
    back.write = Some(returning(START));
    let raced = here.commit(back.clone()).await;
    assert!(matches!(raced, Err(StoreError::Conflict { what: "account" })), "{raced:?}");
    back.write = Some(returning(later));
    here.commit(back).await.unwrap();
    assert!(store.due_departed(ends, 10).await.unwrap().is_empty());
    assert!(store.departed(tenant, ends, 10).await.unwrap().is_empty());
}

async fn exceptions_are_made_once_and_ended(fixture: Fixture) {
    let here = fixture.here();
    let ana = here.create_user("ana").await;
    let exception = Ruling {
        id: "e1".into(),
        account: "account-ana".into(),
        user_name: None,
        role: Some("dev".into()),
        kind: RulingKind::Grant,
        state: RulingState::Yes,
        hold: None,
        starts: Some(START),
        ends: Some(START.plus_seconds(60)),
        created: START,
        created_by: actor(),
        decided: None,
        decided_by: None,
        asks: None,
        reason: Some("stands in".into()),
        owner: Some("iam".into()),
    };
    fixture.store.make_exception(&fixture.tenant, &exception).await.unwrap();
    let person = here.person(&ana).await;
    let read = Ruling { user_name: person.account.user_name.clone(), ..exception.clone() };
    assert_eq!((person.rulings, person.evaluation.cause), (vec![read], Some(Cause::Ruling)));
    let twice =
        fixture.store.make_exception(&fixture.tenant, &Ruling { id: "e2".into(), kind: RulingKind::Forbid, ..exception.clone() }).await;
    assert!(matches!(twice, Err(StoreError::Conflict { what: "ruling" })), "{twice:?}");
    let nobody =
        fixture.store.make_exception(&fixture.tenant, &Ruling { id: "e3".into(), account: "nobody".into(), ..exception.clone() }).await;
    assert!(matches!(nobody, Err(StoreError::Missing("account"))), "{nobody:?}");
    let ended = fixture.store.end_ruling(&fixture.tenant, "e1", None, &actor(), START).await.unwrap();
    assert_eq!(ended.state, RulingState::Ended);
    let again = fixture.store.end_ruling(&fixture.tenant, "e1", None, &actor(), START).await;
    assert!(matches!(again, Err(StoreError::Missing("ruling"))), "{again:?}");
    assert!(here.person(&ana).await.rulings.is_empty());
    fixture.store.make_exception(&fixture.tenant, &Ruling { id: "e4".into(), ..exception }).await.unwrap();
    let other: rolecall::model::TenantId = "globex".into();
    assert_eq!(fixture.store.ruling(&other, "e4").await.unwrap(), None);
}

async fn changes_at_once_do_not_pass_together(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 16).await;
    let mut tasks = Vec::new();
    for user in users.clone() {
        let (store, tenant, change) =
            (fixture.store.clone(), fixture.tenant.clone(), Change { persons: vec![loss(&user, 0, settings())], ..here.change() });
        tasks.push(tokio::spawn(async move { store.commit(&tenant, change).await }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let mut passed = 0;
    for user in &users {
        passed += i64::from(roles(&here, user).await == ["passed"]);
    }
    assert_eq!(passed, 1);
}
