//! Trials of candidate revisions, and activations with what becomes of them.

use rolecall::model::{
    AccountId, ActivationState, AttributeDifference, Difference, DifferenceKind, Forecast, GuardDirection, GuardScope, GuardSettings,
    Instant, Part, PersonDifference, PersonRef, ResourceId, Summary, Trial, TrialKind, TrialState, TurnedAway, Watch, collision_key,
};
use rolecall::store::{Advance, Change, NewActivation, NewDifference, PersonOutcome, Place, Progress, StoreError};

use crate::fixture::{Fixture, START, account, actor, outcome};
use crate::groups::bind;
use crate::rulings::past_the_limit;

store_contract_suite!(
    one_trial_of_a_kind_runs_at_a_time,
    a_simulation_goes_on_where_it_was_and_no_step_counts_twice,
    a_simulation_is_claimed_by_one_host_until_its_lease_ends,
    names_that_collide_are_found_at_the_end,
    a_persons_newest_difference_is_kept_and_goes_with_them,
    what_is_old_is_forgotten_in_bounded_batches,
    activations_are_numbered_and_say_what_became_of_them,
    who_is_turned_away_adds_up_while_the_revision_is_active,
    trials_are_apart_from_other_tenants,
    a_part_of_the_people_is_walked_once_whichever_way_leads_there,
    who_moved_after_an_instant_is_counted_as_far_as_it_matters,
    a_forecast_has_the_limit_of_its_window,
);

pub(crate) fn trial(id: &str, kind: TrialKind, revision: &str) -> Trial {
    Trial {
        id: id.into(),
        kind,
        revision: revision.into(),
        base: None,
        state: TrialState::Running,
        problem: None,
        actor: actor(),
        percent: 50,
        started: START,
        ends: (kind == TrialKind::Shadow).then(|| START.plus_seconds(3_600)),
        finished: None,
        population: None,
        part: None,
        summary: Summary::default(),
    }
}

pub(crate) fn difference(fixture: &Fixture, name: &str, kind: DifferenceKind, new_name: Option<&str>) -> NewDifference {
    let difference = Difference {
        kind,
        user_name: Some(name.into()),
        before: "active".into(),
        after: "active".into(),
        attributes: vec![AttributeDifference { attribute: "title".into(), before: "a".into(), after: name.into() }],
        gains: vec![],
        loses: vec!["dev".into()],
        waits: vec![],
        withdrawn: vec![],
        because: vec![],
        retains: vec![],
        note: None,
        collides: false,
    };
    let (user, account) = (ResourceId(format!("user-{name}")), format!("account-{name}").as_str().into());
    let person = PersonDifference { connection: fixture.connection.clone(), user, account, difference };
    NewDifference { person, name_key: new_name.map(collision_key) }
}

fn summary(people: u64) -> Summary {
    Summary { people, ..Summary::default() }
}

/// A step from where the simulation is over everybody that it has found.
fn step(progress: &Progress, last: bool) -> Advance {
    Advance {
        from: progress.place.clone(),
        to: progress.people.last().filter(|_| !last).cloned(),
        forecasts: None,
        population: Some(3),
        summary: summary(progress.people.len() as u64),
        differences: vec![],
        at: START.plus_seconds(5),
        lease_until: START.plus_seconds(60),
    }
}

async fn one_trial_of_a_kind_runs_at_a_time(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    let missing = store.start_trial(tenant, &trial("t0", TrialKind::Simulation, "r9")).await;
    assert!(matches!(missing, Err(StoreError::Missing("revision"))), "{missing:?}");
    fixture.activate("r1").await;
    store.start_trial(tenant, &trial("t1", TrialKind::Simulation, "r1")).await.unwrap();
    let second = store.start_trial(tenant, &trial("t2", TrialKind::Simulation, "r1")).await;
    assert!(matches!(second, Err(StoreError::Conflict { what: "trial" })), "{second:?}");
    store.start_trial(tenant, &trial("t3", TrialKind::Shadow, "r1")).await.unwrap();
    let shadows = store.running_shadows().await.unwrap();
    assert_eq!(
        (shadows.len(), shadows[0].trial.as_str(), shadows[0].percent, shadows[0].ends),
        (1, "t3", 50, Some(START.plus_seconds(3_600)))
    );
    let ended = store.end_trial(tenant, "t1", TrialState::Failed, Some("why"), START.plus_seconds(1)).await.unwrap();
    assert_eq!((ended.state, ended.problem.as_deref(), ended.finished), (TrialState::Failed, Some("why"), Some(START.plus_seconds(1))));
    let again = store.end_trial(tenant, "t1", TrialState::Stopped, None, START.plus_seconds(9)).await.unwrap();
    assert_eq!(again, ended, "one that has ended stays as it is");
    store.start_trial(tenant, &Trial { started: START.plus_seconds(2), ..trial("t2", TrialKind::Simulation, "r1") }).await.unwrap();
    let listed: Vec<String> = store.trials(tenant, 10).await.unwrap().into_iter().map(|trial| trial.id).collect();
    assert_eq!(listed, ["t2", "t3", "t1"]);
    let nowhere = store.end_trial(tenant, "t9", TrialState::Stopped, None, START).await;
    assert!(matches!(nowhere, Err(StoreError::Missing("trial"))), "{nowhere:?}");
    let kinds = fixture.event_kinds().await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "trial.started").count(), 3);
    assert_eq!(kinds.iter().filter(|kind| *kind == "trial.ended").count(), 1);
}

async fn a_simulation_goes_on_where_it_was_and_no_step_counts_twice(fixture: Fixture) {
    let (store, tenant, here) = (&fixture.store, &fixture.tenant, fixture.here());
    fixture.activate("r1").await;
    for name in ["ana", "bob", "cid"] {
        here.create_user(name).await;
    }
    store.start_trial(tenant, &trial("t", TrialKind::Simulation, "r1")).await.unwrap();
    let first = store.trial_progress(tenant, "t", 2).await.unwrap().unwrap();
    assert_eq!(first.people.len(), 2);
    let mut one = step(&first, false);
    one.differences =
        vec![difference(&fixture, "ana", DifferenceKind::Loses, None), difference(&fixture, "nobody", DifferenceKind::Loses, None)];
    one.summary.count(&one.differences[0].person);
    assert!(store.advance_trial(tenant, "t", &one).await.unwrap());
    assert!(!store.advance_trial(tenant, "t", &one).await.unwrap(), "another host has taken the step");
    let second = store.trial_progress(tenant, "t", 2).await.unwrap().unwrap();
    assert_eq!((second.people.len(), second.trial.population, second.trial.summary.people), (1, Some(3), 2));
    assert!(store.advance_trial(tenant, "t", &step(&second, true)).await.unwrap());
    let done = store.trial(tenant, "t").await.unwrap().unwrap();
    assert_eq!((done.state, done.summary.people, done.summary.different), (TrialState::Finished, 3, 1));
    assert_eq!(done.finished, Some(START.plus_seconds(5)));
    assert!(store.trial_progress(tenant, "t", 2).await.unwrap().is_none());
    assert!(!store.advance_trial(tenant, "t", &step(&second, true)).await.unwrap());
    let kept = store.trial_differences(tenant, "t", None, None, 10).await.unwrap();
    assert_eq!(kept, [difference(&fixture, "ana", DifferenceKind::Loses, None).person], "of who isn't there nothing is kept");
}

async fn a_simulation_is_claimed_by_one_host_until_its_lease_ends(fixture: Fixture) {
    let (store, other) = (&fixture.store, fixture.another_host().await);
    fixture.activate("r1").await;
    store.start_trial(&fixture.tenant, &trial("t", TrialKind::Simulation, "r1")).await.unwrap();
    let lease = START.plus_seconds(60);
    assert_eq!(store.claim_simulation(START, lease).await.unwrap(), Some((fixture.tenant.clone(), "t".to_owned())));
    assert_eq!(other.claim_simulation(START.plus_seconds(59), lease).await.unwrap(), None);
    assert!(other.claim_simulation(lease, lease.plus_seconds(60)).await.unwrap().is_some());
}

async fn names_that_collide_are_found_at_the_end(fixture: Fixture) {
    let (store, tenant, here) = (&fixture.store, &fixture.tenant, fixture.here());
    fixture.activate("r1").await;
    for name in ["ana", "bob", "cid", "dan", "eve"] {
        here.create_user(name).await;
    }
    let key = |name: &str| Some(name.to_owned());
    store.start_trial(tenant, &trial("t", TrialKind::Simulation, "r1")).await.unwrap();
    let progress = store.trial_progress(tenant, "t", 10).await.unwrap().unwrap();
    // bob gets ana's name, which she keeps; cid and dan get the same new one; eve gets one that is free.
    let names = [("bob", "ana"), ("cid", "José"), ("dan", "jose"), ("eve", "free")];
    let differences = names.map(|(who, name)| difference(&fixture, who, DifferenceKind::Account, Some(name)));
    let last = Advance { differences: differences.to_vec(), ..step(&progress, true) };
    assert!(store.advance_trial(tenant, "t", &last).await.unwrap());
    let found = store.trial_differences(tenant, "t", None, None, 10).await.unwrap();
    let collide: Vec<&str> = found.iter().filter(|found| found.difference.collides).map(|found| found.user.as_str()).collect();
    assert_eq!(collide, ["user-bob", "user-cid", "user-dan"], "{:?}", key("ana"));
    assert_eq!(store.trial(tenant, "t").await.unwrap().unwrap().summary.collisions, 3);
    // Where she gives it up, nobody collides.
    store.start_trial(tenant, &trial("u", TrialKind::Simulation, "r1")).await.unwrap();
    let progress = store.trial_progress(tenant, "u", 10).await.unwrap().unwrap();
    let names = [("ana", "another"), ("bob", "ana")];
    let differences = names.map(|(who, name)| difference(&fixture, who, DifferenceKind::Account, Some(name)));
    let last = Advance { differences: differences.to_vec(), ..step(&progress, true) };
    assert!(store.advance_trial(tenant, "u", &last).await.unwrap());
    assert_eq!(store.trial(tenant, "u").await.unwrap().unwrap().summary.collisions, 0);
}

async fn a_persons_newest_difference_is_kept_and_goes_with_them(fixture: Fixture) {
    let (store, tenant, here) = (&fixture.store, &fixture.tenant, fixture.here());
    fixture.activate("r1").await;
    let ana = here.create_user("ana").await;
    here.create_user("bob").await;
    store.start_trial(tenant, &trial("t", TrialKind::Shadow, "r1")).await.unwrap();
    for kind in [DifferenceKind::Loses, DifferenceKind::Fault] {
        let found = [difference(&fixture, "ana", kind, None), difference(&fixture, "bob", DifferenceKind::Gains, None)];
        assert!(store.add_to_trial(tenant, "t", &summary(2), &found).await.unwrap());
    }
    assert_eq!(store.trial(tenant, "t").await.unwrap().unwrap().summary.people, 4);
    let of = async |kind: Option<DifferenceKind>, after: Option<&Place>| {
        let found = store.trial_differences(tenant, "t", kind, after, 10).await.unwrap();
        found.into_iter().map(|found| (found.user.0, found.difference.kind)).collect::<Vec<_>>()
    };
    let (ana_faults, bob_gains) = (("user-ana".to_owned(), DifferenceKind::Fault), ("user-bob".to_owned(), DifferenceKind::Gains));
    assert_eq!(of(None, None).await, [ana_faults.clone(), bob_gains.clone()]);
    assert_eq!(of(Some(DifferenceKind::Fault), None).await, [ana_faults]);
    assert_eq!(of(None, Some(&(fixture.connection.clone(), ana.clone()))).await, std::slice::from_ref(&bob_gains));
    here.delete_user(&ana).await;
    assert_eq!(of(None, None).await, [bob_gains]);
    store.end_trial(tenant, "t", TrialState::Finished, None, START).await.unwrap();
    assert!(!store.add_to_trial(tenant, "t", &summary(1), &[]).await.unwrap());
}

async fn what_is_old_is_forgotten_in_bounded_batches(fixture: Fixture) {
    let (store, tenant, here) = (&fixture.store, &fixture.tenant, fixture.here());
    fixture.activate("r1").await;
    for name in ["ana", "bob", "cid"] {
        here.create_user(name).await;
    }
    for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
        let at = START.plus_seconds(i64::try_from(number).unwrap());
        store.start_trial(tenant, &Trial { started: at, ..trial(id, TrialKind::Shadow, "r1") }).await.unwrap();
        let found = ["ana", "bob", "cid"].map(|name| difference(&fixture, name, DifferenceKind::Gains, None));
        store.add_to_trial(tenant, id, &summary(3), &found).await.unwrap();
        store.end_trial(tenant, id, TrialState::Finished, None, at).await.unwrap();
    }
    let left = async || store.trials(tenant, 10).await.unwrap().into_iter().map(|trial| trial.id).collect::<Vec<_>>();
    let long_ago = Instant(0);
    assert_eq!(store.forget_trials(tenant, long_ago, 3, 2).await.unwrap(), 0);
    // One too many: its three differences go two by two, then it.
    let mut steps = 0;
    while store.forget_trials(tenant, long_ago, 2, 2).await.unwrap() > 0 {
        steps += 1;
    }
    assert_eq!((steps, left().await), (2, vec!["c".to_owned(), "b".to_owned()]));
    while store.forget_trials(tenant, START.plus_seconds(2), 9, 100).await.unwrap() > 0 {}
    assert_eq!(left().await, ["c"]);
    assert_eq!(store.trial_differences(tenant, "c", None, None, 10).await.unwrap().len(), 3);
}

async fn activations_are_numbered_and_say_what_became_of_them(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    fixture.activate("r1").await;
    fixture.activate("r2").await;
    fixture.activate("r1").await;
    let back = NewActivation { returns: Some("too many".into()), ..NewActivation::of("r2".into(), Some("r1".into())) };
    store.activate(tenant, &back, &actor(), START).await.unwrap();
    let held = NewActivation::of("r1".into(), Some("r2".into()));
    for _ in 0..2 {
        store.hold_activation(tenant, &held, "look at it", &actor(), START).await.unwrap();
    }
    let listed: Vec<_> = store.activations(tenant, 10).await.unwrap();
    let told: Vec<_> = listed.iter().map(|one| (one.number, one.revision.as_str(), one.state, one.reason.as_deref())).collect();
    assert_eq!(
        told,
        [
            (5, "r1", ActivationState::Held, Some("look at it")),
            (4, "r2", ActivationState::Active, None),
            (3, "r1", ActivationState::Returned, Some("too many")),
            (2, "r2", ActivationState::Superseded, None),
            (1, "r1", ActivationState::Superseded, None),
        ]
    );
    let kinds = fixture.event_kinds().await;
    assert_eq!(kinds[1..], ["revision.activated", "revision.activated", "revision.activated", "revision.returned", "revision.held"]);
    fixture.activate("r1").await;
    let listed = store.activations(tenant, 2).await.unwrap();
    assert_eq!((listed[0].state, listed[1].state), (ActivationState::Active, ActivationState::Dropped), "what was held is done with");
    let of = async |revision: &str, state| store.activation_of(tenant, &revision.into(), state).await.unwrap().map(|one| one.number);
    assert_eq!((of("r1", None).await, of("r2", None).await, of("r3", None).await), (Some(6), Some(4), None));
    assert_eq!(of("r1", Some(ActivationState::Superseded)).await, Some(1), "what was held only was never active");
    for revision in ["r3", "r4"] {
        fixture.store_revision(revision).await;
        let held = NewActivation::of(revision.into(), Some("r1".into()));
        store.hold_activation(tenant, &held, "look at it", &actor(), START).await.unwrap();
    }
    assert_eq!((of("r3", Some(ActivationState::Dropped)).await, of("r4", Some(ActivationState::Held)).await), (Some(7), Some(8)));
    assert_eq!(of("r3", Some(ActivationState::Superseded)).await, None);
}

async fn who_is_turned_away_adds_up_while_the_revision_is_active(fixture: Fixture) {
    let (store, tenant, here) = (&fixture.store, &fixture.tenant, fixture.here());
    fixture.activate("r1").await;
    fixture.activate("r2").await;
    let watch = Watch { limit: 7, until: START.plus_seconds(60) };
    let watched = NewActivation { watch: Some(watch), simulation: Some("s".into()), ..NewActivation::of("r1".into(), Some("r2".into())) };
    store.activate(tenant, &watched, &actor(), START).await.unwrap();
    let away = TurnedAway { faults: 1, refused: 2, out_of_scope: 3 };
    assert_eq!(store.turn_away(tenant, 3, away).await.unwrap(), Some(away));
    assert_eq!(store.turn_away(tenant, 3, away).await.unwrap().map(TurnedAway::people), Some(12));
    assert_eq!(store.turn_away(tenant, 2, away).await.unwrap(), None, "another is active");
    let newest = store.activations(tenant, 1).await.unwrap().remove(0);
    assert_eq!((newest.watch, newest.simulation.as_deref(), newest.turned_away.people()), (Some(watch), Some("s"), 12));
    here.create_users("p", 12).await;
    assert_eq!(store.count_people(tenant, 5).await.unwrap(), 5, "as far as is asked for");
    assert_eq!(store.count_people(tenant, 100).await.unwrap(), 12);
}

async fn trials_are_apart_from_other_tenants(fixture: Fixture) {
    let store = &fixture.store;
    fixture.new_tenant("globex", "conn-globex").await;
    fixture.activate("r1").await;
    fixture.here().create_user("ana").await;
    store.start_trial(&fixture.tenant, &trial("t", TrialKind::Shadow, "r1")).await.unwrap();
    let found = [difference(&fixture, "ana", DifferenceKind::Gains, None)];
    store.add_to_trial(&fixture.tenant, "t", &summary(1), &found).await.unwrap();
    let other = "globex".into();
    assert_eq!(store.trial(&other, "t").await.unwrap(), None);
    assert!(store.trials(&other, 10).await.unwrap().is_empty());
    assert!(store.trial_differences(&other, "t", None, None, 10).await.unwrap().is_empty());
    assert!(!store.add_to_trial(&other, "t", &summary(1), &found).await.unwrap());
    assert!(store.end_trial(&other, "t", TrialState::Stopped, None, START).await.is_err());
    assert!(store.activations(&other, 10).await.unwrap().is_empty());
    assert_eq!(store.turn_away(&other, 1, TurnedAway::default()).await.unwrap(), None);
    assert_eq!(store.forget_trials(&other, START.plus_seconds(99), 0, 10).await.unwrap(), 0);
    assert_eq!(store.trial(&fixture.tenant, "t").await.unwrap().unwrap().summary.people, 1);
}

/// The people of a part, in steps of two.
async fn walked(fixture: &Fixture, number: usize, part: Part) -> Vec<String> {
    let (store, tenant, id) = (&fixture.store, &fixture.tenant, format!("part-{number}"));
    let begun = Trial { part: Some(part.clone()), ..trial(&id, TrialKind::Simulation, "r1") };
    store.start_trial(tenant, &begun).await.unwrap();
    assert_eq!(store.trial(tenant, &id).await.unwrap().unwrap().part, Some(part));
    let mut found = Vec::new();
    while let Some(progress) = store.trial_progress(tenant, &id, 2).await.unwrap() {
        found.extend(progress.people.iter().map(|(connection, user)| format!("{connection}/{user}")));
        let step = Advance { to: progress.next.clone(), ..step(&progress, true) };
        assert!(store.advance_trial(tenant, &id, &step).await.unwrap());
    }
    found
}

async fn a_part_of_the_people_is_walked_once_whichever_way_leads_there(fixture: Fixture) {
    fixture.activate("r1").await;
    fixture.new_connection(&fixture.tenant, "conn-other").await.unwrap();
    let (here, there) = (fixture.here(), fixture.through("conn-other"));
    let (ana, bob, cid) = (here.create_user("ana").await, here.create_user("bob").await, here.create_user("cid").await);
    here.create_user("dan").await;
    there.create_user("eve").await;
    let inner = here.create_group("inner", &[&bob, &cid]).await;
    let outer = here.create_group("outer", &[&ana, &bob, &inner]).await;
    here.create_group("empty", &[]).await;
    for (handle, group) in [("outer", &outer), ("empty", &ResourceId::from("group-empty"))] {
        bind(&here, handle, group).await;
    }
    let connections = |ids: &[&str]| Part { connections: ids.iter().map(|id| (*id).into()).collect(), ..Part::default() };
    let groups = |handles: &[&str]| Part { groups: handles.iter().map(|handle| (*handle).to_owned()).collect(), ..Part::default() };
    let person = |connection: &str, user: &str| PersonRef { connection: connection.into(), user: user.into() };
    let people = vec![person("conn-other", "user-eve"), person("conn-acme", "user-ana"), person("conn-acme", "user-ana")];
    let of = |names: &[&str]| names.iter().map(|name| format!("conn-acme/user-{name}")).collect::<Vec<_>>();
    let eve = "conn-other/user-eve".to_owned();
    let both = [of(&["ana", "bob", "cid", "dan"]), vec![eve.clone()]].concat();
    for (number, (part, expected)) in [
        (connections(&["conn-other"]), vec![eve.clone()]),
        (connections(&["conn-other", "conn-acme", "gone"]), both),
        (groups(&["outer"]), of(&["ana", "bob", "cid"])),
        (groups(&["empty", "unbound"]), vec![]),
        (Part { groups: vec!["outer".into()], ..connections(&["conn-other"]) }, vec![]),
        (Part { people: people.clone(), ..Part::default() }, [of(&["ana"]), vec![eve.clone()]].concat()),
        (Part { people, ..connections(&["conn-other"]) }, vec![eve.clone()]),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(walked(&fixture, number, part.clone()).await, expected, "{part:?}");
    }
    let names = ["ANA", "account-bob", "user-cid", "nobody"].map(str::to_owned);
    let mut found = fixture.store.people_named(&fixture.tenant, &names).await.unwrap();
    found.sort();
    let expected = [("account-bob", "user-bob"), ("ana", "user-ana"), ("user-cid", "user-cid")];
    assert_eq!(found, expected.map(|(said, user)| (said.to_owned(), person("conn-acme", user))));
    assert!(fixture.store.people_named(&"nowhere".into(), &names).await.unwrap().is_empty());
    let accounts = ["account-ana", "nobody", "a\0b"].map(AccountId::from);
    let called = fixture.store.account_names(&fixture.tenant, &accounts).await.unwrap();
    assert_eq!(called.into_iter().collect::<Vec<_>>(), [(accounts[0].clone(), "ana".to_owned())]);
    assert!(fixture.store.account_names(&"nowhere".into(), &accounts).await.unwrap().is_empty());
}

async fn who_moved_after_an_instant_is_counted_as_far_as_it_matters(fixture: Fixture) {
    let (store, tenant, here) = (&fixture.store, &fixture.tenant, fixture.here());
    fixture.activate("r1").await;
    let (ana, bob) = (here.create_user("ana").await, here.create_user("bob").await);
    here.create_user("cid").await;
    let moved = async |since: Instant, most: i64| store.count_moved(tenant, since, most).await.unwrap();
    assert_eq!((moved(START, 10).await, moved(START.plus_seconds(-1), 10).await, moved(START.plus_seconds(-1), 2).await), (0, 3, 2));
    // A group that somebody comes into, a verdict, and somebody new.
    let later = START.plus_seconds(60);
    let group = here.create_group("g", &[]).await;
    here.commit(Change { at: later, ..here.members_change(&group, &[&ana], &[]) }).await.unwrap();
    assert_eq!(moved(START, 10).await, 1);
    let (person, revision) = (here.person(&bob).await, here.active().await);
    let outcome = PersonOutcome { revision: revision.clone(), ..outcome(&bob, person.evaluation.input_version) };
    here.commit(Change { persons: vec![outcome], revision: revision.clone(), at: later, ..here.change() }).await.unwrap();
    let mut change = Change { revision: revision.clone(), at: later, ..here.creation("dan") };
    change.persons[0].revision = revision;
    here.commit(change).await.unwrap();
    assert_eq!((moved(START, 10).await, moved(later, 10).await), (3, 0));
    // Another revision moves nobody by itself.
    fixture.activate("r2").await;
    fixture.expand().await;
    assert_eq!(moved(START, 10).await, 3);
    here.delete_user(&ana).await;
    assert_eq!(moved(START, 10).await, 2, "who is gone is not counted");
    assert_eq!(store.count_moved(&"globex".into(), START, 10).await.unwrap(), 0);
}

async fn a_forecast_has_the_limit_of_its_window(fixture: Fixture) {
    let here = fixture.here();
    let users = here.create_users("u", 6).await;
    past_the_limit(&here, &users[0]).await;
    let half = GuardSettings { percent: 50, people: 500, at_least: 0, ..GuardSettings::default() };
    let forecast = |scope, of: &str| Forecast {
        direction: GuardDirection::Losses,
        scope,
        of: of.into(),
        people: 5,
        counted: 0,
        limit: None,
        held: None,
    };
    let asked =
        [(GuardScope::Connection, "conn-acme"), (GuardScope::Role, "kept"), (GuardScope::Role, "nobodys"), (GuardScope::Revision, "r2")];
    let asked: Vec<Forecast> = asked.into_iter().map(|(scope, of)| forecast(scope, of)).collect();
    let told = fixture.store.limit_forecasts(&fixture.tenant, &half, asked.clone(), START).await.unwrap();
    let told: Vec<_> = told.iter().map(|told| (told.limit, told.held)).collect();
    // The connection's window goes on, and somebody was counted; one of the two who were asked about has the role; there are seven people.
    assert_eq!(told, [(Some(1), Some(5)), (Some(0), Some(5)), (Some(0), Some(5)), (Some(3), Some(2))]);
    // Who of some people the windows have counted: the one who was, in the connection's.
    let losses = |scope, of: &str| (GuardDirection::Losses, scope, of.to_owned());
    let who = |user: &ResourceId| account(user.as_str().trim_start_matches("user-")).id;
    let ask = async |at| {
        let scopes = [losses(GuardScope::Connection, "conn-acme"), losses(GuardScope::Role, "nobodys")];
        let asked: Vec<_> = scopes.iter().flat_map(|scope| users.iter().map(|user| (scope.clone(), who(user)))).collect();
        fixture.store.counted_already(&fixture.tenant, &half, &asked, at).await.unwrap()
    };
    assert_eq!(ask(START).await, [(losses(GuardScope::Connection, "conn-acme"), 1)]);
    let after = START.plus_seconds(25 * 3_600);
    assert_eq!(ask(after).await, []);
    let told = fixture.store.limit_forecasts(&fixture.tenant, &half, asked, after).await.unwrap();
    assert_eq!((told[0].limit, told[0].held), (Some(3), Some(2)), "a new window");
}
