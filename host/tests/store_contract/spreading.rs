//! Activations on their way over a population: who is left as they are is stamped, and everybody else becomes due.

use rolecall::model::{Cause, Note, ResourceId, RevisionHash};
use rolecall::store::{Change, Effect, PersonOutcome, Reached, Spread};

use crate::fixture::{Fixture, START, account, claim_all, grant, outcome};

store_contract_suite!(who_is_left_as_they_are_is_stamped_and_the_others_are_due, a_page_is_taken_once_and_under_the_active_revision,);

fn settled(people: &[Reached]) -> impl Iterator<Item = &Reached> {
    people.iter().filter(|reached| reached.settled.is_some())
}

/// Of the page everybody is left as they are who may be.
fn everybody(fan_out: &str, from: &str, people: &[Reached]) -> Spread {
    Spread {
        fan_out: fan_out.into(),
        after: (String::new().as_str().into(), String::new().as_str().into()),
        to: None,
        from: from.into(),
        revision: "r2".into(),
        untouched: settled(people).map(|reached| (reached.place.clone(), reached.input_version)).collect(),
        people: people.iter().map(|reached| reached.place.clone()).collect(),
        as_of: START,
        at: START,
    }
}

/// Decides somebody as they are, but for this.
async fn with(fixture: &Fixture, user: &ResourceId, effect: Effect) {
    let here = fixture.here();
    let version = here.person(user).await.evaluation.input_version;
    let person = PersonOutcome { effect, revision: here.active().await, ..outcome(user, version) };
    here.commit(Change { revision: here.active().await, persons: vec![person], ..here.change() }).await.unwrap();
}

async fn who_is_left_as_they_are_is_stamped_and_the_others_are_due(fixture: Fixture) {
    fixture.activate("r1").await;
    fixture.expand().await;
    let here = fixture.here();
    let mut users = Vec::new();
    for name in ["ana", "bob", "cyd", "dot", "eve", "fay"] {
        users.push(here.create_user(name).await);
    }
    with(&fixture, &users[1], Effect { put_grants: vec![grant("mail")], ..Effect::default() }).await;
    let waiting = rolecall::model::Grant { deadline: Some(START.plus_seconds(9)), ..grant("mail") };
    with(&fixture, &users[2], Effect { put_grants: vec![waiting], ..Effect::default() }).await;
    let note = Note { code: "x".into(), path: None, message: "x".into() };
    let noted = rolecall::store::AccountWrite { note: Some(note), ..account("dot") };
    with(&fixture, &users[3], Effect { account: Some(noted), ..Effect::default() }).await;
    // Somebody's date has come, and somebody is pending.
    with(&fixture, &users[4], Effect { next_evaluation_at: Some(START), ..Effect::default() }).await;
    here.create_group("eng", &[&users[5]]).await;
    assert_eq!(fixture.store.next_page(&fixture.tenant, START, 10).await.unwrap(), None, "nothing is on its way");
    fixture.activate("r2").await;
    assert_eq!(fixture.store.spreading().await.unwrap().as_ref(), Some(&fixture.tenant));
    let page = fixture.store.next_page(&fixture.tenant, START, 10).await.unwrap().unwrap();
    let users_of: Vec<&str> = settled(&page.people).map(|reached| reached.user().as_str()).collect();
    assert_eq!((page.people.len(), users_of), (6, vec!["user-ana", "user-bob"]));
    let (revision, profile) = page.people[0].settled.clone().unwrap();
    assert_eq!((revision, profile), (RevisionHash::from("r1"), account("ana").profile));
    assert_eq!(fixture.store.count_pending(&fixture.tenant).await.unwrap(), 6);

    // Bob's inputs change before the page is written.
    let bob = here.person(&users[1]).await.evaluation.input_version;
    with(&fixture, &users[1], Effect::default()).await;
    assert!(here.person(&users[1]).await.evaluation.input_version > bob);
    here.create_group("ops", &[&users[1]]).await;
    assert!(fixture.store.spread(&fixture.tenant, &everybody(&page.fan_out, "r1", &page.people)).await.unwrap());
    let due: Vec<(String, Cause)> = claim_all(&fixture.store, START).await.into_iter().collect();
    let due: Vec<(&str, Cause)> = due.iter().map(|(user, cause)| (user.as_str(), *cause)).collect();
    assert_eq!(
        due,
        [
            ("user-bob", Cause::GroupChange),
            ("user-cyd", Cause::Activation),
            ("user-dot", Cause::Activation),
            ("user-eve", Cause::Activation),
            ("user-fay", Cause::GroupChange),
        ]
    );
    let ana = here.person(&users[0]).await.evaluation;
    assert_eq!((ana.evaluated_revision, ana.cause, ana.evaluated_version), (Some("r2".into()), None, Some(ana.input_version)));
    // Ana, and Bob, whose inputs have changed again since.
    assert_eq!(fixture.store.coverage(&fixture.tenant).await.unwrap().decided, 2);
    assert_eq!(fixture.store.spreading().await.unwrap(), None);
}

async fn a_page_is_taken_once_and_under_the_active_revision(fixture: Fixture) {
    fixture.activate("r1").await;
    fixture.expand().await;
    let here = fixture.here();
    here.create_users("p", 5).await;
    fixture.activate("r2").await;
    let page = fixture.store.next_page(&fixture.tenant, START, 2).await.unwrap().unwrap();
    assert_eq!(page.people.len(), 2);
    let step = Spread { to: Some(page.people[1].place.clone()), ..everybody(&page.fan_out, "r1", &page.people) };
    let other = Spread { revision: "r1".into(), ..step.clone() };
    assert!(!fixture.store.spread(&fixture.tenant, &other).await.unwrap(), "another revision is active");
    assert!(fixture.store.spread(&fixture.tenant, &step).await.unwrap());
    assert!(!fixture.store.spread(&fixture.tenant, &step).await.unwrap(), "another host has taken the page");
    let next = fixture.store.next_page(&fixture.tenant, START, 10).await.unwrap().unwrap();
    assert_eq!((next.people.len(), &next.after), (3, &page.people[1].place));
    assert_eq!(fixture.store.count_pending(&fixture.tenant).await.unwrap(), 3);
    // What is not spread is expanded as ever.
    fixture.expand().await;
    assert_eq!(claim_all(&fixture.store, START).await.len(), 3);
}
