//! People who have left: what took their access away, and what is erased of them, never while they may be given back.

use rolecall::model::{AccountId, Actor, GrantState, Instant, NewEvent, NewRuling, ResourceId, RulingKind};
use rolecall::store::{Answer, Answered, Change, DeliveryResult, Effect, Erasure, PersonOutcome, StoreError};
use serde_json::json;

use crate::fixture::{Fixture, START, Through, account, actor, grant, outcome};
use crate::history::{append, event, put_target};

store_contract_suite!(
    what_took_access_away_is_read_newest_first_with_its_deliveries,
    those_removed_first_are_erasable_first,
    erasing_takes_all_that_is_personal_once,
    nobody_is_erased_while_a_departure_is_reversible,
);

const DAY: i64 = 86_400;

fn erasure(at: Instant) -> Erasure {
    Erasure { why: "request", reference: Some("ticket 1".into()), actor: actor(), at }
}

fn id(name: &str) -> AccountId {
    account(name).id
}

/// Deletes a user at an instant.
async fn delete(here: &Through<'_>, user: &ResourceId, at: Instant) {
    let person = here.person(user).await;
    here.commit(Change { at, ..here.deletion(&person) }).await.unwrap();
}

async fn what_took_access_away_is_read_newest_first_with_its_deliveries(fixture: Fixture) {
    let here = fixture.here();
    put_target(&fixture, true).await;
    here.create_user("ana").await;
    here.create_user("bob").await;
    let removed = NewEvent { data: json!({"role": "dev", "why": "inactive"}), ..event("grant.removed", Some("ana"), true) };
    append(&fixture, vec![removed, event("account.suspended", Some("ana"), true), event("grant.added", Some("ana"), false)]).await;
    append(&fixture, vec![event("account.suspended", Some("bob"), true)]).await;
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    let found = store.departures(tenant, &id("ana")).await.unwrap();
    let kinds: Vec<&str> = found.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["account.suspended", "grant.removed"], "neither another person's nor what took nothing away");
    let first = &found.events[1];
    assert_eq!(
        (first.at, first.request_id.as_deref(), &first.actor, &first.data["role"]),
        (START, Some("request-1"), &actor(), &json!("dev"))
    );
    let deliveries: Vec<(&str, &str, bool)> =
        found.deliveries.iter().map(|delivery| (delivery.target.as_str(), delivery.state.as_str(), delivery.enabled)).collect();
    assert_eq!(deliveries, [("hook", "waiting", true); 2]);
    let retried = DeliveryResult::Retry(START.plus_seconds(5), "no answer".into());
    store.finish_delivery(tenant, "hook", &found.events[0].id, &retried, START).await.unwrap();
    store.finish_delivery(tenant, "hook", &first.id, &DeliveryResult::Acknowledged, START.plus_seconds(9)).await.unwrap();
    let later = store.departures(tenant, &id("ana")).await.unwrap();
    let of = |event: &str| later.deliveries.iter().find(|delivery| delivery.event == event).unwrap().clone();
    let (waiting, done) = (of(&found.events[0].id), of(&first.id));
    assert_eq!((waiting.attempts, waiting.problem.as_deref(), waiting.finished), (1, Some("no answer"), None));
    assert_eq!((done.state.as_str(), done.finished), ("acknowledged", Some(START.plus_seconds(9))));
    assert_eq!(later.erased, None);
    fixture.new_tenant("globex", "conn-globex").await;
    for (tenant, account) in [(tenant.clone(), id("nobody")), ("globex".into(), id("ana"))] {
        let missing = store.departures(&tenant, &account).await;
        assert!(matches!(missing, Err(StoreError::Missing("account"))), "{missing:?}");
    }
}

async fn those_removed_first_are_erasable_first(fixture: Fixture) {
    let here = fixture.here();
    let (ana, bob, eve) = (here.create_user("ana").await, here.create_user("bob").await, here.create_user("eve").await);
    here.create_user("zoe").await;
    delete(&here, &bob, START.plus_seconds(DAY)).await;
    delete(&here, &ana, START.plus_seconds(2 * DAY)).await;
    delete(&here, &eve, START.plus_seconds(3 * DAY)).await;
    let erasable = async |before: i64, limit| fixture.store.erasable(&fixture.tenant, START.plus_seconds(before), limit).await.unwrap();
    assert_eq!(erasable(DAY - 1, 10).await, []);
    assert_eq!(erasable(DAY, 10).await, [id("bob")]);
    assert_eq!(erasable(9 * DAY, 10).await, [id("bob"), id("ana"), id("eve")]);
    assert_eq!(erasable(9 * DAY, 2).await, [id("bob"), id("ana")]);
    let erased = fixture.store.erase(&fixture.tenant, &[id("bob"), id("zoe")], &erasure(START.plus_seconds(9 * DAY))).await.unwrap();
    assert_eq!(erased, 1, "nobody who is there");
    assert_eq!(erasable(9 * DAY, 10).await, [id("ana"), id("eve")]);
    fixture.new_tenant("globex", "conn-globex").await;
    assert_eq!(fixture.store.erasable(&"globex".into(), START.plus_seconds(9 * DAY), 10).await.unwrap(), []);
    assert_eq!(fixture.store.erase(&"globex".into(), &[id("ana")], &erasure(START)).await.unwrap(), 0);
}

async fn erasing_takes_all_that_is_personal_once(fixture: Fixture) {
    let here = fixture.here();
    let ana = here.create_user("ana").await;
    here.create_user("bob").await;
    here.delete_user(&ana).await;
    let at = START.plus_seconds(DAY);
    let erase = async || fixture.store.erase(&fixture.tenant, &[id("ana")], &erasure(at)).await.unwrap();
    assert_eq!((erase().await, erase().await), (1, 0));
    let view = fixture.store.account(&fixture.tenant, id("ana").as_str()).await.unwrap().unwrap();
    assert_eq!((view.account.user_name, view.account.profile, view.account.note), (None, json!(null), None));
    assert!(fixture.store.account(&fixture.tenant, "ana").await.unwrap().is_none(), "the name is nobody's");
    assert!(fixture.store.revivable(&fixture.tenant, &here.connection, "ext-ana").await.unwrap().is_none(), "a rehire is a new person");
    assert_eq!(fixture.store.departures(&fixture.tenant, &id("ana")).await.unwrap().erased, Some(at));
    while fixture.store.number_events().await.unwrap() > 0 {}
    let events = fixture.store.events(&fixture.tenant, 0, 100).await.unwrap();
    for event in events.iter().filter(|event| event.kind == "account.created" || event.kind == "account.removed") {
        assert_eq!(event.personal.is_none(), event.account == Some(id("ana")), "{event:?}");
    }
    let records: Vec<_> = events.iter().filter(|event| event.kind == "account.erased").collect();
    assert_eq!((records.len(), &records[0].data), (1, &json!({"why": "request", "reference": "ticket 1"})));
}

/// Somebody who left with more others than the guard lets go at once: the roles are dormant until somebody has looked at it.
async fn leave_reversibly(here: &Through<'_>, name: &str) -> AccountId {
    let user = here.create_user(name).await;
    let revision = here.active().await;
    let version = here.person(&user).await.evaluation.input_version;
    let granted = PersonOutcome {
        effect: Effect { put_grants: vec![grant("dev")], ..Effect::default() },
        revision: revision.clone(),
        ..outcome(&user, version)
    };
    here.commit(Change { persons: vec![granted], revision, ..here.change() }).await.unwrap();
    let mut gone = here.deletion(&here.person(&user).await);
    let effect = &mut gone.persons[0].effect;
    effect.drop_grants.clear();
    effect.put_grants = vec![rolecall::model::Grant { state: GrantState::Dormant, ..grant("dev") }];
    effect.rule = vec![NewRuling::open(None, RulingKind::Restored)];
    here.commit(gone).await.unwrap();
    id(name)
}

async fn nobody_is_erased_while_a_departure_is_reversible(fixture: Fixture) {
    let here = fixture.here();
    let accounts = [leave_reversibly(&here, "ana").await, leave_reversibly(&here, "bob").await];
    let later = START.plus_seconds(400 * DAY);
    let erasable = async || fixture.store.erasable(&fixture.tenant, later, 10).await.unwrap();
    let erase = async || fixture.store.erase(&fixture.tenant, &accounts, &erasure(later)).await.unwrap();
    assert_eq!((erasable().await, erase().await), (vec![], 0), "nobody has looked at it");
    let rulings = fixture.store.rulings(&fixture.tenant, &rolecall::store::RulingQuery { limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(rulings.len(), 2);
    for ruling in rulings {
        let yes = ruling.account == accounts[0];
        let answer =
            Answer { yes, ends: None, reason: None, owner: None, actor: Actor { kind: "person".into(), id: "eve".into() }, at: later };
        fixture.store.answer_rulings(&fixture.tenant, &Answered::One(ruling.id), &answer).await.unwrap();
    }
    // Ana is to be as she was; of Bob it was said that he is gone for good.
    assert_eq!((erasable().await, erase().await), (vec![accounts[1].clone()], 1));
    let roles = async |account: &AccountId| fixture.store.account(&fixture.tenant, account.as_str()).await.unwrap().unwrap().grants.len();
    assert_eq!((roles(&accounts[0]).await, roles(&accounts[1]).await), (1, 0));
    assert_eq!(fixture.event_kinds().await.iter().filter(|kind| *kind == "account.erased").count(), 1);
}
