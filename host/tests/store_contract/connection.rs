//! What is kept of a connection beside its resources: client secrets, the issuer of its JWTs, quirks, and the provisioning log.

use std::collections::BTreeMap;

use rolecall::model::{
    Checked, ConnectionState, CredentialCheck, CredentialForm, CredentialTrace, Health, HealthSettings, HealthState, Instant, Issuer,
    LogDetail, NewEvent, OutcomeClass, OutcomeCode, RefusedCredential, ResourceId, Traffic,
};
use rolecall::store::{Counted, CredentialKind, Dialect, FoundEntry, Gathered, KeptHealth, LogEntry, LogSearch, LogSide, StoreError};
use rolecall_scim::ResourceKind;

use crate::fixture::{Fixture, START, actor, token};

store_contract_suite!(
    client_secrets_rotate_apart_from_tokens,
    an_issuer_is_set_found_and_removed,
    keys_are_claimed_by_one_and_kept_for_their_settings,
    the_use_of_what_is_not_stored_is_a_sight_of_the_connection,
    quirks_add_up,
    the_log_keeps_the_newest_and_forgets_with_age,
    the_log_is_searched_by_whatever_is_asked_for,
    refusals_that_are_alike_are_counted_and_the_last_is_told,
    what_a_connection_did_goes_with_it_and_is_its_tenants,
    what_came_adds_up_until_it_is_taken_in,
    a_judgement_is_kept_once_and_may_quarantine,
    what_the_rules_look_at_is_counted,
);

pub(crate) fn issuer(audience: &str) -> Issuer {
    Issuer {
        issuer: "https://idp.acme.example".into(),
        audience: audience.into(),
        algorithms: vec!["ES256".into()],
        jwks_uri: Some("https://idp.acme.example/jwks".into()),
        clock_skew_seconds: 60,
        subject: None,
        claims: BTreeMap::from([("scope".into(), "scim".into())]),
    }
}

pub(crate) fn dialect(quirk: &str, seen: i64, handled: i64, at: Instant) -> Dialect {
    Dialect { quirk: quirk.into(), seen, handled, last_seen: at, example: format!("example of {}", at.0) }
}

pub(crate) fn entry(request: &str, at: Instant) -> LogEntry {
    LogEntry {
        at,
        request_id: request.into(),
        method: "PATCH".into(),
        kind: Some(ResourceKind::Group),
        resource: Some(ResourceId::from("g")),
        status: 400,
        scim_type: Some("noTarget".into()),
        reason: None,
        applied: 1,
        no_op: 2,
        refused: 3,
        code: OutcomeCode::NoTarget,
        detail: LogDetail { took_us: 1_500, quirks: vec!["capitalised_op".into()], operation: Some(1), ..LogDetail::default() },
    }
}

/// What was gathered, where it is entries alone.
pub(crate) fn entries(of: &[(rolecall::model::ConnectionId, LogEntry)]) -> Gathered {
    Gathered { entries: of.to_vec(), ..Gathered::default() }
}

fn searched(connection: &rolecall::model::ConnectionId, side: LogSide, limit: i64) -> LogSearch {
    LogSearch { connection: Some(connection.clone()), side, limit, ..LogSearch::default() }
}

async fn client_secrets_rotate_apart_from_tokens(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    let overlap = START.plus_seconds(3_600);
    for id in ["s1", "s2", "s3"] {
        let at = START.plus_seconds(1);
        store.rotate_token(tenant, connection, CredentialKind::ClientSecret, &token(id, at), overlap, &actor()).await.unwrap();
    }
    let listed = store.connections(tenant).await.unwrap().remove(0);
    let ids = |tokens: &[rolecall::store::TokenInfo]| tokens.iter().map(|token| token.id.clone()).collect::<Vec<_>>();
    assert_eq!((ids(&listed.tokens), ids(&listed.client_secrets)), (vec!["first of conn-acme".into()], vec!["s3".into(), "s2".into()]));
    let found = store.find_connection_token("hash of s3").await.unwrap().unwrap();
    assert_eq!((found.kind, &found.connection), (CredentialKind::ClientSecret, connection));
    assert_eq!(store.find_connection_token("hash of first of conn-acme").await.unwrap().unwrap().kind, CredentialKind::Bearer);
    assert_eq!(store.credential(tenant, connection, "s2").await.unwrap().unwrap().expires, Some(overlap));
    assert_eq!(store.credential(tenant, connection, "s1").await.unwrap(), None);
    store.remove_client(tenant, connection, &actor(), START).await.unwrap();
    let listed = store.connections(tenant).await.unwrap().remove(0);
    assert_eq!((listed.tokens.len(), listed.client_secrets.len()), (1, 0));
    let gone = store.remove_client(tenant, connection, &actor(), START).await;
    assert!(matches!(gone, Err(StoreError::Missing("client"))), "{gone:?}");
}

async fn an_issuer_is_set_found_and_removed(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    assert_eq!(store.find_issuer(connection).await.unwrap(), None);
    assert_eq!(store.find_issuer(&"conn-\0".into()).await.unwrap(), None);
    store.put_issuer(tenant, connection, &issuer("a"), Some("{keys}"), &actor(), START).await.unwrap();
    store.put_issuer(tenant, connection, &issuer("b"), None, &actor(), START).await.unwrap();
    let found = store.find_issuer(connection).await.unwrap().unwrap();
    assert_eq!((found.tenant, found.connection, found.settings.clone()), (tenant.clone(), connection.clone(), issuer("b")));
    assert_eq!((found.keys, found.fetched), (None, None), "the keys before were for other settings");
    assert_eq!(store.issuer(tenant, connection).await.unwrap(), Some(issuer("b")));
    assert_eq!(store.connections(tenant).await.unwrap()[0].issuer.as_deref(), Some("https://idp.acme.example"));
    store.remove_issuer(tenant, connection, &actor(), START).await.unwrap();
    assert_eq!(store.find_issuer(connection).await.unwrap(), None);
    let gone = store.remove_issuer(tenant, connection, &actor(), START).await;
    assert!(matches!(gone, Err(StoreError::Missing("issuer"))), "{gone:?}");
    let nowhere = store.put_issuer(tenant, &"conn-x".into(), &issuer("a"), None, &actor(), START).await;
    assert!(matches!(nowhere, Err(StoreError::Missing("connection"))), "{nowhere:?}");
    let kinds = fixture.event_kinds().await;
    assert_eq!(kinds, ["connection.created", "connection.issuer_set", "connection.issuer_set", "connection.issuer_removed"]);
}

async fn keys_are_claimed_by_one_and_kept_for_their_settings(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    let claim = async |at: Instant| store.claim_keys(tenant, connection, at.plus_seconds(-30), at).await.unwrap();
    assert!(!claim(START).await, "there is no issuer");
    store.put_issuer(tenant, connection, &issuer("a"), None, &actor(), START).await.unwrap();
    assert!(claim(START).await);
    assert!(!claim(START.plus_seconds(29)).await);
    assert!(claim(START.plus_seconds(30)).await);
    assert!(claim(START).await, "a clock that was put back locks nobody out");
    store.keep_keys(tenant, connection, &issuer("b"), "{b}", START).await.unwrap();
    assert_eq!(store.find_issuer(connection).await.unwrap().unwrap().keys, None, "the settings have changed meanwhile");
    store.keep_keys(tenant, connection, &issuer("a"), "{a}", START).await.unwrap();
    let found = store.find_issuer(connection).await.unwrap().unwrap();
    assert_eq!((found.keys.as_deref(), found.fetched), (Some("{a}"), Some(START)));
}

async fn the_use_of_what_is_not_stored_is_a_sight_of_the_connection(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    for (at, seen) in [(START, START), (START.plus_seconds(59), START), (START.plus_seconds(60), START.plus_seconds(60))] {
        store.note_credential(tenant, connection, Some(""), at).await.unwrap();
        let listed = store.connections(tenant).await.unwrap().remove(0);
        assert_eq!((listed.last_seen, listed.tokens[0].last_used), (Some(seen), None));
    }
}

async fn quirks_add_up(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    let later = START.plus_seconds(1);
    for batch in [vec![dialect("a", 2, 1, START), dialect("b", 1, 1, START)], vec![dialect("a", 3, 3, later)]] {
        let batch: Vec<_> = batch.into_iter().map(|dialect| (connection.clone(), dialect)).collect();
        store.record(tenant, &Gathered { dialects: batch, ..Gathered::default() }, 10).await.unwrap();
    }
    assert_eq!(store.dialects(tenant, connection).await.unwrap(), [dialect("a", 5, 4, later), dialect("b", 1, 1, START)]);
}

async fn the_log_keeps_the_newest_and_forgets_with_age(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    fixture.new_connection(tenant, "conn-2").await.unwrap();
    let of = |ids: &[&str], at: Instant| ids.iter().map(|id| (connection.clone(), entry(id, at))).collect::<Vec<_>>();
    store.record(tenant, &entries(&[("conn-2".into(), entry("other", START))]), 3).await.unwrap();
    store.record(tenant, &entries(&of(&["1", "2"], START)), 3).await.unwrap();
    store.record(tenant, &entries(&of(&["3", "4", "5"], START.plus_seconds(60))), 3).await.unwrap();
    let read = async |side: LogSide, limit: i64| store.search_log(tenant, &searched(connection, side, limit)).await.unwrap().entries;
    let ids = |entries: &[FoundEntry]| entries.iter().map(|found| found.entry.request_id.clone()).collect::<Vec<_>>();
    let all = read(LogSide::Newest, 10).await;
    assert_eq!(ids(&all), ["3", "4", "5"]);
    assert_eq!(all[0].entry, entry("3", START.plus_seconds(60)), "it comes back as it went in");
    assert_eq!(ids(&read(LogSide::Newest, 2).await), ["4", "5"]);
    assert_eq!(ids(&read(LogSide::After(0), 2).await), ["3", "4"]);
    assert_eq!(ids(&read(LogSide::After(all[0].position), 10).await), ["4", "5"]);
    assert_eq!(ids(&read(LogSide::Before(all[2].position), 10).await), ["3", "4"]);
    assert_eq!(ids(&read(LogSide::Before(all[2].position), 1).await), ["4"], "the nearest ones");
    let others = store.search_log(tenant, &searched(&"conn-2".into(), LogSide::Newest, 10)).await.unwrap();
    assert_eq!(ids(&others.entries), ["other"], "others' entries are their own");
    assert_eq!(store.forget_log(tenant, START.plus_seconds(1), 10).await.unwrap(), 1);
    assert_eq!(store.forget_log(tenant, START.plus_seconds(61), 2).await.unwrap(), 2, "in bounded batches");
    assert_eq!(ids(&read(LogSide::Newest, 10).await), ["5"]);
}

pub(crate) fn credential(received: &str, at: Instant) -> RefusedCredential {
    let checks = vec![Checked::of(CredentialCheck::Form, true), Checked::said(CredentialCheck::Issuer, false, "https://idp", received)];
    RefusedCredential::once(CredentialTrace { form: CredentialForm::Jwt, checks }, at)
}

async fn refusals_that_are_alike_are_counted_and_the_last_is_told(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    for (received, at) in [("a", START), ("b", START.plus_seconds(9))] {
        let refusals = vec![(connection.clone(), credential(received, at))];
        store.record(tenant, &Gathered { refusals, ..Gathered::default() }, 10).await.unwrap();
    }
    let [found] = store.refused_credentials(tenant, connection).await.unwrap().try_into().unwrap();
    assert_eq!((found.seen, found.first_seen, found.last_seen), (2, START, START.plus_seconds(9)));
    assert_eq!(found.trace, credential("b", START).trace);
    store.forget_log(tenant, START.plus_seconds(10), 10).await.unwrap();
    assert!(store.refused_credentials(tenant, connection).await.unwrap().is_empty());
}

async fn the_log_is_searched_by_whatever_is_asked_for(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    let of = |n: i64| {
        let at = START.plus_seconds(n * 60);
        let good = n % 2 == 0;
        let (status, code) = if good { (200, OutcomeCode::Applied) } else { (404, OutcomeCode::NotFound) };
        let resource = Some(ResourceId(format!("u{}", n % 3)));
        (
            connection.clone(),
            LogEntry { resource, status, code, method: if good { "PATCH".into() } else { "GET".into() }, ..entry(&n.to_string(), at) },
        )
    };
    let all: Vec<_> = (0..12).map(of).collect();
    store.record(tenant, &entries(&all), 100).await.unwrap();
    let found = async |search: LogSearch| {
        let found = store.search_log(tenant, &LogSearch { limit: 100, ..search }).await.unwrap();
        found.entries.iter().map(|found| found.entry.request_id.parse::<i64>().unwrap()).collect::<Vec<_>>()
    };
    let any = LogSearch::default;
    assert_eq!(found(any()).await, (0..12).collect::<Vec<_>>());
    assert_eq!(found(LogSearch { resource: Some("u1".into()), ..any() }).await, [1, 4, 7, 10]);
    assert_eq!(found(LogSearch { request: Some("7".into()), ..any() }).await, [7]);
    assert_eq!(found(LogSearch { class: Some(OutcomeClass::Refused), ..any() }).await, [1, 3, 5, 7, 9, 11]);
    assert_eq!(found(LogSearch { class: Some(OutcomeClass::Failed), ..any() }).await, [] as [i64; 0]);
    assert_eq!(found(LogSearch { code: Some(OutcomeCode::NotFound), resource: Some("u0".into()), ..any() }).await, [3, 9]);
    assert_eq!(found(LogSearch { code: Some(OutcomeCode::Applied), ..any() }).await, [0, 2, 4, 6, 8, 10]);
    assert_eq!(found(LogSearch { method: Some("GET".into()), connection: Some(connection.clone()), ..any() }).await, [1, 3, 5, 7, 9, 11]);
    let (from, until) = (Some(START.plus_seconds(180)), Some(START.plus_seconds(420)));
    assert_eq!(found(LogSearch { from, until, ..any() }).await, [3, 4, 5, 6]);
    assert_eq!(found(LogSearch { until: Some(START), ..any() }).await, [] as [i64; 0]);
    assert_eq!(found(LogSearch { resource: Some("u\0".into()), ..any() }).await, [] as [i64; 0]);
    // Back in pages, however little of each is wanted.
    let (mut side, mut read) = (LogSide::Newest, Vec::new());
    loop {
        let search = LogSearch { class: Some(OutcomeClass::Done), side, limit: 2, ..any() };
        let page = store.search_log(tenant, &search).await.unwrap();
        read.extend(page.entries.iter().rev().map(|found| found.entry.request_id.clone()));
        let Some((lowest, _)) = page.looked.filter(|_| page.more) else { break };
        side = LogSide::Before(lowest);
    }
    assert_eq!(read, ["10", "8", "6", "4", "2", "0"]);
}

async fn what_a_connection_did_goes_with_it_and_is_its_tenants(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    fixture.new_tenant("globex", "conn-globex").await;
    let other = "globex".into();
    let entries = vec![(connection.clone(), entry("1", START)), ("conn-gone".into(), entry("2", START))];
    let refusals = vec![(connection.clone(), credential("a", START)), ("conn-gone".into(), credential("a", START))];
    let dialects = vec![(connection.clone(), dialect("a", 1, 1, START)), ("conn-gone".into(), dialect("a", 1, 1, START))];
    store.put_issuer(tenant, connection, &issuer("a"), None, &actor(), START).await.unwrap();
    let gathered = Gathered { dialects, entries, counted: Vec::new(), refusals };
    store.record(tenant, &gathered, 10).await.unwrap();
    store.record(&other, &gathered, 10).await.unwrap();
    let kept = async |tenant: &rolecall::model::TenantId| {
        let log = store.search_log(tenant, &searched(connection, LogSide::Newest, 10)).await.unwrap().entries.len();
        let whole = store.search_log(tenant, &LogSearch { limit: 10, ..LogSearch::default() }).await.unwrap().entries.len();
        let refused = store.refused_credentials(tenant, connection).await.unwrap().len();
        (log, whole, refused, store.dialects(tenant, connection).await.unwrap().len())
    };
    assert_eq!(kept(tenant).await, (1, 1, 1, 1));
    assert_eq!(kept(&other).await, (0, 0, 0, 0));
    assert_eq!(store.issuer(&other, connection).await.unwrap(), None);
    assert_eq!(store.credential(&other, connection, "first of conn-acme").await.unwrap(), None);
    assert!(!store.claim_keys(&other, connection, START, START).await.unwrap());
    assert_eq!(store.forget_log(&other, START.plus_seconds(9), 10).await.unwrap(), 0);
    assert!(store.remove_issuer(&other, connection, &actor(), START).await.is_err());
    store.delete_connection(tenant, connection, &actor(), START).await.unwrap();
    assert_eq!(kept(tenant).await, (0, 0, 0, 0));
    assert_eq!(store.find_issuer(connection).await.unwrap(), None);
}

pub(crate) fn counted(connection: &str, slot: Instant, requests: i64) -> Counted {
    Counted { connection: connection.into(), slot, traffic: Traffic { requests, wrong: 1, ..Traffic::default() } }
}

pub(crate) fn kept(connection: &str, version: i64, state: HealthState, taken_in: Instant) -> KeptHealth {
    let health = Health { state, since: START, evidence: Vec::new(), last_seen: None, rhythm: None, silent_until: None };
    let event = NewEvent { kind: "connection.alarm", account: None, data: serde_json::json!({}), personal: None, leaver: false };
    let becomes = (state == HealthState::Quarantined).then_some(ConnectionState::Quarantined);
    KeptHealth { connection: connection.into(), memory: "learned".into(), health, taken_in, version, event: Some(event), becomes }
}

async fn what_came_adds_up_until_it_is_taken_in(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    let (first, second) = (START, START.plus_seconds(300));
    let name = connection.as_str();
    for batch in [vec![counted(name, first, 2), counted(name, second, 5), counted("conn-gone", first, 1)], vec![counted(name, first, 3)]] {
        store.record(tenant, &Gathered { counted: batch.to_vec(), ..Gathered::default() }, 10).await.unwrap();
    }
    let came = |requests, wrong| Traffic { requests, wrong, ..Traffic::default() };
    let case = store.health_cases(tenant, Some(connection), second).await.unwrap().remove(0);
    assert_eq!(case.counted, [(first, came(5, 2)), (second, came(5, 1))]);
    store.keep_health(tenant, &[kept(name, 0, HealthState::Healthy, first)], &actor(), second).await.unwrap();
    let case = store.health_cases(tenant, None, second).await.unwrap().remove(0);
    assert_eq!((case.counted.as_slice(), case.memory.as_deref(), case.version), ([(second, came(5, 1))].as_slice(), Some("learned"), 1));
    assert_eq!(store.traffic(tenant, connection, START, 10).await.unwrap().len(), 2);
    assert_eq!(store.forget_traffic(tenant, second, 10).await.unwrap(), 1);
    assert_eq!(store.traffic(tenant, connection, START, 10).await.unwrap(), [(second, came(5, 1))]);
    store.delete_connection(tenant, connection, &actor(), START).await.unwrap();
    assert!(store.health_cases(tenant, None, second).await.unwrap().is_empty());
}

async fn a_judgement_is_kept_once_and_may_quarantine(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    let harm = [kept(connection.as_str(), 0, HealthState::Quarantined, START)];
    assert_eq!(store.keep_health(tenant, &harm, &actor(), START).await.unwrap(), std::slice::from_ref(connection));
    // Another host has judged at the same moment: it is told once.
    assert!(store.keep_health(tenant, &harm, &actor(), START).await.unwrap().is_empty());
    assert!(store.keep_health(tenant, &[kept("conn-gone", 0, HealthState::Healthy, START)], &actor(), START).await.unwrap().is_empty());
    assert_eq!(store.connections(tenant).await.unwrap()[0].state, ConnectionState::Quarantined);
    let settings = HealthSettings { silence_minutes: Some(7), ..HealthSettings::default() };
    store.put_health_settings(tenant, connection, Some(&settings), &actor(), START).await.unwrap();
    let case = store.health_cases(tenant, None, START).await.unwrap().remove(0);
    assert_eq!((case.settings, case.version, case.health.map(|health| health.state)), (Some(settings), 2, Some(HealthState::Quarantined)));
    let unknown = store.put_health_settings(tenant, &"conn-gone".into(), None, &actor(), START).await;
    assert!(matches!(unknown, Err(StoreError::Missing("connection"))), "{unknown:?}");
}

async fn what_the_rules_look_at_is_counted(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    let refused = |request: &str, at: Instant| (connection.clone(), entry(request, at));
    let entries = [refused("1", START), refused("2", START), refused("3", START.plus_seconds(-90_000))];
    store.record(tenant, &self::entries(&entries), 10).await.unwrap();
    let case = store.health_cases(tenant, None, START).await.unwrap().remove(0);
    assert_eq!(case.standing.repeated, Some(("group g".to_owned(), 2)));
    assert_eq!((case.standing.credentials, case.standing.credentials_end), (1, None));
    let ends = token("short", START);
    let overlap = START.plus_seconds(60);
    store.rotate_token(tenant, connection, CredentialKind::Bearer, &ends, overlap, &actor()).await.unwrap();
    let standing = store.health_cases(tenant, None, overlap).await.unwrap().remove(0).standing;
    assert_eq!((standing.credentials, standing.pending, standing.holds, standing.plugin_faults), (1, 0, 0, 0));
}
