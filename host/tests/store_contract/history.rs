//! Events and their way out: numbers, personal values, lanes.

use std::sync::Arc;

use rolecall::model::{Instant, NewEvent};
use rolecall::store::{Change, DELIVERY_LEASE_SECONDS, DeliveryResult, DeliveryRoom, StoreError, Target};
use serde_json::json;

use crate::fixture::{Fixture, START, account, actor, personal_event};

store_contract_suite!(
    events_are_numbered_without_gaps_in_order,
    numbers_are_dense_while_others_commit,
    personal_values_come_back_with_their_person,
    deliveries_are_ordered_for_each_person,
    receipts_say_how_the_newest_events_came_there,
    leavers_go_first,
    a_failed_delivery_waits_and_a_dead_one_is_passed_over,
    a_disabled_target_waits,
    what_becomes_of_targets_is_told,
    a_removed_target_hears_of_nothing_and_what_it_acknowledged_stays,
    a_target_that_wants_no_more_is_paused_and_loses_nothing,
    what_failed_does_not_keep_a_leaver_or_a_mended_target_waiting,
    a_tenant_has_its_share_of_the_room,
);

pub fn event(kind: &'static str, person: Option<&str>, leaver: bool) -> NewEvent {
    NewEvent { kind, account: person.map(|name| account(name).id), data: json!({"kind": kind}), personal: None, leaver }
}

pub async fn append(fixture: &Fixture, events: Vec<NewEvent>) {
    let here = fixture.here();
    here.commit(Change { events, ..here.change() }).await.unwrap();
}

pub async fn put_target(fixture: &Fixture, enabled: bool) {
    let target = Target {
        id: "hook".into(),
        tenant: fixture.tenant.clone(),
        url: "https://hook.example/".into(),
        sealed_secret: vec![1, 2, 3],
        enabled,
    };
    fixture.store.put_target(&target, &actor(), START).await.unwrap();
    assert_eq!(fixture.store.targets(&fixture.tenant).await.unwrap(), [target]);
}

/// Claims once, as `kind person`, and acknowledges what was claimed. What is told of targets themselves is left out.
async fn deliver(fixture: &Fixture, now: Instant, limit: i64) -> Vec<String> {
    while fixture.store.number_events().await.unwrap() > 0 {}
    let due = fixture.store.claim_deliveries(now, now.plus_seconds(60), &DeliveryRoom::of(limit)).await.unwrap();
    let mut said = Vec::new();
    for delivery in due {
        let person = delivery.event.account.as_ref().map_or("", |account| account.as_str().trim_start_matches("account-"));
        said.extend(
            (!delivery.event.kind.starts_with("target.")).then(|| format!("{} {person}", delivery.event.kind).trim_end().to_owned()),
        );
        finish(fixture, &delivery.event.id, DeliveryResult::Acknowledged, now).await;
    }
    said
}

async fn finish(fixture: &Fixture, event: &str, result: DeliveryResult, at: Instant) {
    fixture.store.finish_delivery(&fixture.tenant, "hook", event, &result, at).await.unwrap();
}

async fn events_are_numbered_without_gaps_in_order(fixture: Fixture) {
    append(&fixture, vec![event("a", None, false), event("b", None, false)]).await;
    assert_eq!(fixture.event_kinds().await.len(), 3);
    append(&fixture, vec![event("c", None, false)]).await;
    assert_eq!(fixture.event_kinds().await.len(), 4);
    let events = fixture.store.events(&fixture.tenant, 1, 2).await.unwrap();
    assert_eq!(events.iter().map(|event| (event.seq, event.kind.as_str())).collect::<Vec<_>>(), [(2, "a"), (3, "b")]);
    let first = &events[0];
    assert_eq!((first.at, first.actor.id.as_str(), first.request_id.as_deref()), (START, "test", Some("request-1")));
    assert_eq!(first.data, json!({"kind": "a"}));
    assert_eq!(fixture.store.events(&fixture.tenant, 3, 10).await.unwrap()[0].kind, "c");
}

async fn numbers_are_dense_while_others_commit(fixture: Fixture) {
    const WRITERS: usize = 8;
    const CHANGES: usize = 10;
    let fixture = Arc::new(fixture);
    let writers = (0..WRITERS).map(|_| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move {
            for _ in 0..CHANGES {
                append(&fixture, vec![event("x", None, false), event("y", None, false)]).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let total = i64::try_from(WRITERS * CHANGES * 2 + 1).unwrap();
    let mut last = 0;
    while last < total {
        // Two hosts number at once.
        let (one, two) = tokio::join!(fixture.store.number_events(), fixture.store.number_events());
        one.unwrap();
        two.unwrap();
        let next = fixture.store.events(&fixture.tenant, last, 1_000).await.unwrap();
        for event in next {
            assert_eq!(event.seq, last + 1, "no gap, and nothing appears below what was read");
            last = event.seq;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn personal_values_come_back_with_their_person(fixture: Fixture) {
    let events = ["ana", "bob", "ana"].map(|name| personal_event("account.changed", &account(name).id, name));
    append(&fixture, events.into()).await;
    fixture.event_kinds().await;
    let host = fixture.another_host().await;
    let events = host.events(&fixture.tenant, 1, 10).await.unwrap();
    let names: Vec<_> = events.into_iter().map(|event| event.personal).collect();
    assert_eq!(names, [Some(json!({"name": "ana"})), Some(json!({"name": "bob"})), Some(json!({"name": "ana"}))]);
    let nobody = NewEvent { personal: Some(json!({"name": "eve"})), ..event("odd", None, false) };
    let refused = fixture.here().commit(Change { events: vec![nobody], ..fixture.here().change() }).await;
    assert!(refused.is_err(), "personal values of nobody could never be erased");
}

async fn deliveries_are_ordered_for_each_person(fixture: Fixture) {
    put_target(&fixture, true).await;
    let events = [("one", Some("ana")), ("two", Some("ana")), ("one", Some("bob")), ("alone", None), ("also", None)];
    append(&fixture, events.map(|(kind, person)| event(kind, person, false)).into()).await;
    append(&fixture, vec![event("three", Some("ana"), false)]).await;
    assert_eq!(deliver(&fixture, START, 10).await, ["one ana", "one bob", "alone", "also"]);
    assert_eq!(deliver(&fixture, START, 10).await, ["two ana"]);
    assert_eq!(deliver(&fixture, START, 10).await, ["three ana"]);
    assert!(deliver(&fixture, START, 10).await.is_empty());
    assert_eq!(fixture.store.next_due(START).await.unwrap(), None);
    append(&fixture, vec![event("four", Some("ana"), false)]).await;
    assert_eq!(deliver(&fixture, START, 10).await, ["four ana"]);
}

async fn receipts_say_how_the_newest_events_came_there(fixture: Fixture) {
    put_target(&fixture, true).await;
    append(&fixture, ["one", "two", "three"].map(|kind| event(kind, Some("ana"), false)).into()).await;
    assert_eq!(deliver(&fixture, START, 10).await, ["one ana"]);
    let due = fixture.store.claim_deliveries(START, START.plus_seconds(60), &DeliveryRoom::of(1)).await.unwrap().remove(0);
    finish(&fixture, &due.event.id, DeliveryResult::Retry(START.plus_seconds(300), "status 500".into()), START).await;
    let told = async |events: i64| {
        let receipts = fixture.store.receipts(&fixture.tenant, events).await.unwrap();
        receipts
            .into_iter()
            .map(|one| format!("{} {} {} {} {:?}", one.target, one.kind, one.state, one.attempts, one.problem))
            .collect::<Vec<_>>()
    };
    let (three, two) = ("hook three waiting 0 None", "hook two waiting 1 Some(\"status 500\")");
    assert_eq!(told(2).await, [three, two]);
    assert_eq!(told(20).await, [three, two, "hook one acknowledged 1 None"]);
    assert!(fixture.store.receipts(&"unknown".into(), 20).await.unwrap().is_empty());
}

async fn leavers_go_first(fixture: Fixture) {
    put_target(&fixture, true).await;
    for name in ["joiner1", "joiner2", "joiner3"] {
        append(&fixture, vec![event("created", Some(name), false)]).await;
    }
    append(&fixture, vec![event("created", Some("leaver"), false)]).await;
    append(&fixture, vec![event("removed", Some("leaver"), true)]).await;
    // A leaver's earlier events come with the leaver: the order of one person is kept.
    assert_eq!(deliver(&fixture, START, 1).await, ["created leaver"]);
    assert_eq!(deliver(&fixture, START, 1).await, ["removed leaver"]);
    assert_eq!(deliver(&fixture, START, 1).await, ["created joiner1"]);
    append(&fixture, vec![event("created", Some("leaver"), false)]).await;
    assert_eq!(deliver(&fixture, START, 1).await, ["created joiner2"], "the leaver's lane is an ordinary one again");
}

async fn a_failed_delivery_waits_and_a_dead_one_is_passed_over(fixture: Fixture) {
    put_target(&fixture, true).await;
    append(&fixture, vec![event("one", Some("ana"), false), event("two", Some("ana"), false), event("three", Some("ana"), false)]).await;
    fixture.event_kinds().await;
    let store = &fixture.store;
    let claim = async |now: Instant| store.claim_deliveries(now, now.plus_seconds(60), &DeliveryRoom::of(10)).await.unwrap();
    let due = claim(START).await.remove(0);
    assert_eq!((due.event.kind.as_str(), due.attempts, due.target.url.as_str()), ("one", 0, "https://hook.example/"));
    assert!(claim(START.plus_seconds(59)).await.is_empty(), "leased");
    let retry = START.plus_seconds(300);
    finish(&fixture, &due.event.id, DeliveryResult::Retry(retry, "status 500".into()), START).await;
    assert!(claim(START.plus_seconds(299)).await.is_empty());
    assert_eq!(store.next_due(START).await.unwrap(), Some(retry));
    let due = claim(retry).await.remove(0);
    assert_eq!((due.event.kind.as_str(), due.attempts), ("one", 1));
    finish(&fixture, &due.event.id, DeliveryResult::Dead("gone".into()), retry).await;
    // A late answer of the first attempt changes nothing.
    finish(&fixture, &due.event.id, DeliveryResult::Retry(START, "late".into()), retry).await;
    assert_eq!(deliver(&fixture, retry, 10).await, ["two ana"]);
    assert_eq!(deliver(&fixture, retry, 10).await, ["three ana"]);
}

async fn a_disabled_target_waits(fixture: Fixture) {
    put_target(&fixture, false).await;
    append(&fixture, vec![event("one", Some("ana"), false)]).await;
    assert!(deliver(&fixture, START, 10).await.is_empty());
    put_target(&fixture, true).await;
    append(&fixture, vec![event("two", Some("ana"), false)]).await;
    while fixture.store.number_events().await.unwrap() > 0 {}
    let due = fixture.store.claim_deliveries(START, START.plus_seconds(60), &DeliveryRoom::of(10)).await.unwrap();
    assert_eq!(due.iter().map(|due| due.event.kind.as_str()).collect::<Vec<_>>(), ["one", "target.resumed"]);
    // Disabled while the attempt is made.
    put_target(&fixture, false).await;
    finish(&fixture, &due[0].event.id, DeliveryResult::Acknowledged, START).await;
    assert!(deliver(&fixture, START.plus_seconds(1_000), 10).await.is_empty());
    put_target(&fixture, true).await;
    assert_eq!(deliver(&fixture, START, 10).await, ["two ana"]);
}

async fn what_becomes_of_targets_is_told(fixture: Fixture) {
    put_target(&fixture, true).await;
    put_target(&fixture, true).await;
    put_target(&fixture, false).await;
    put_target(&fixture, true).await;
    let changed = Target {
        id: "hook".into(),
        tenant: fixture.tenant.clone(),
        url: "https://other.example:8443/in?token=hidden".into(),
        sealed_secret: vec![4],
        enabled: true,
    };
    fixture.store.put_target(&changed, &actor(), START).await.unwrap();
    fixture.store.remove_target(&fixture.tenant, "hook", &actor(), START).await.unwrap();
    while fixture.store.number_events().await.unwrap() > 0 {}
    let told = fixture.store.events(&fixture.tenant, 1, 10).await.unwrap();
    let (hook, other) = ("https://hook.example", "https://other.example:8443");
    let of = |origin, enabled, changed: &[&str]| json!({"target": "hook", "origin": origin, "enabled": enabled, "changed": changed});
    let wanted = [
        ("target.created", of(hook, true, &[])),
        ("target.paused", of(hook, false, &[])),
        ("target.resumed", of(hook, true, &[])),
        ("target.changed", of(other, true, &["url", "secret"])),
        ("target.removed", json!({"target": "hook", "origin": other})),
    ];
    assert!(told.iter().all(|event| event.actor == actor()));
    let told: Vec<_> = told.iter().map(|event| (event.kind.as_str(), &event.data)).collect();
    assert_eq!(told, wanted.iter().map(|(kind, data)| (*kind, data)).collect::<Vec<_>>());
}

async fn a_removed_target_hears_of_nothing_and_what_it_acknowledged_stays(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    fixture.here().create_user("ana").await;
    put_target(&fixture, true).await;
    append(&fixture, vec![event("account.suspended", Some("ana"), true)]).await;
    assert_eq!(deliver(&fixture, START, 10).await, ["account.suspended ana"]);
    append(&fixture, vec![event("grant.removed", Some("ana"), true), event("one", Some("bob"), false)]).await;
    while store.number_events().await.unwrap() > 0 {}
    let under_way = store.claim_deliveries(START, START.plus_seconds(60), &DeliveryRoom::of(1)).await.unwrap().remove(0);
    store.remove_target(tenant, "hook", &actor(), START).await.unwrap();
    finish(&fixture, &under_way.event.id, DeliveryResult::Retry(START, "late".into()), START).await;
    append(&fixture, vec![event("two", Some("bob"), false)]).await;
    assert!(deliver(&fixture, START.plus_seconds(1_000), 10).await.is_empty());
    assert_eq!((store.next_due(START).await.unwrap(), store.targets(tenant).await.unwrap()), (None, Vec::new()));
    assert!(store.receipts(tenant, 20).await.unwrap().is_empty());
    let departures = store.departures(tenant, &account("ana").id).await.unwrap();
    let deliveries: Vec<_> = departures.deliveries.iter().map(|one| (one.target.as_str(), one.state.as_str())).collect();
    assert_eq!(deliveries, [("hook", "acknowledged")], "what waits for nobody keeps no departure open");
    for id in ["hook", "unknown", "a\0b"] {
        assert!(matches!(store.remove_target(tenant, id, &actor(), START).await, Err(StoreError::Missing("target"))), "{id}");
    }
    // Made anew, it hears of what comes from then on.
    put_target(&fixture, true).await;
    append(&fixture, vec![event("three", Some("bob"), false)]).await;
    assert_eq!(deliver(&fixture, START.plus_seconds(1_000), 10).await, ["three bob"]);
    assert!(deliver(&fixture, START.plus_seconds(1_000), 10).await.is_empty());
}

async fn a_target_that_wants_no_more_is_paused_and_loses_nothing(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    put_target(&fixture, true).await;
    append(&fixture, vec![event("one", Some("ana"), true)]).await;
    while store.number_events().await.unwrap() > 0 {}
    let due = store.claim_deliveries(START, START.plus_seconds(60), &DeliveryRoom::of(1)).await.unwrap().remove(0);
    finish(&fixture, &due.event.id, DeliveryResult::Unwanted("it answered 410".into()), START).await;
    for _ in 0..2 {
        store.pause_target(tenant, "hook", "it answered 410", &actor(), START).await.unwrap();
    }
    store.pause_target(tenant, "unknown", "it answered 410", &actor(), START).await.unwrap();
    assert!(deliver(&fixture, START.plus_seconds(1_000), 10).await.is_empty());
    assert!(!store.targets(tenant).await.unwrap()[0].enabled);
    let told = store.events(tenant, 3, 10).await.unwrap();
    let told: Vec<_> = told.iter().map(|event| (event.kind.as_str(), &event.data["why"])).collect();
    assert_eq!(told, [("target.paused", &json!("it answered 410"))]);
    put_target(&fixture, true).await;
    assert_eq!(deliver(&fixture, START.plus_seconds(1_000), 10).await, ["one ana"]);
}

async fn what_failed_does_not_keep_a_leaver_or_a_mended_target_waiting(fixture: Fixture) {
    put_target(&fixture, true).await;
    let far = START.plus_seconds(86_400);
    let fails = async |kind: &'static str, person: &'static str| {
        append(&fixture, vec![event(kind, Some(person), false)]).await;
        while fixture.store.number_events().await.unwrap() > 0 {}
        let due = fixture.store.claim_deliveries(START, START.plus_seconds(60), &DeliveryRoom::of(10)).await.unwrap();
        assert_eq!(due.len(), 1, "{due:?}");
        finish(&fixture, &due[0].event.id, DeliveryResult::Retry(far, "status 500".into()), START).await;
    };
    fails("created", "ana").await;
    append(&fixture, vec![event("changed", Some("ana"), false)]).await;
    assert!(deliver(&fixture, START, 10).await.is_empty(), "what is not about a leaver waits");
    append(&fixture, vec![event("removed", Some("ana"), true)]).await;
    assert_eq!(deliver(&fixture, START, 10).await, ["created ana"]);
    assert_eq!(deliver(&fixture, START, 10).await, ["changed ana"]);
    assert_eq!(deliver(&fixture, START, 10).await, ["removed ana"]);
    // An attempt that is being made is not made twice.
    append(&fixture, vec![event("created", Some("bob"), false)]).await;
    while fixture.store.number_events().await.unwrap() > 0 {}
    let lease = START.plus_seconds(DELIVERY_LEASE_SECONDS);
    let due = fixture.store.claim_deliveries(START, lease, &DeliveryRoom::of(10)).await.unwrap();
    append(&fixture, vec![event("removed", Some("bob"), true)]).await;
    assert!(deliver(&fixture, START, 10).await.is_empty());
    finish(&fixture, &due[0].event.id, DeliveryResult::Acknowledged, START).await;
    assert_eq!(deliver(&fixture, START, 10).await, ["removed bob"]);
    // Set again, a target is tried at once.
    fails("created", "cleo").await;
    put_target(&fixture, true).await;
    assert_eq!(deliver(&fixture, START, 10).await, ["created cleo"]);
}

async fn a_tenant_has_its_share_of_the_room(fixture: Fixture) {
    put_target(&fixture, true).await;
    for name in ["ana", "bob", "cleo"] {
        append(&fixture, vec![event("created", Some(name), name == "cleo")]).await;
    }
    while fixture.store.number_events().await.unwrap() > 0 {}
    let claim = async |each: i64, under_way: i64| {
        let room = DeliveryRoom { free: 10, each, busy: [(fixture.tenant.clone(), under_way)].into() };
        fixture.store.claim_deliveries(START, START.plus_seconds(60), &room).await.unwrap().len()
    };
    assert_eq!(claim(2, 2).await, 0);
    assert_eq!(claim(2, 1).await, 1, "the leaver, and with that no room is left for the others");
    assert_eq!(claim(10, 0).await, 2);
}
