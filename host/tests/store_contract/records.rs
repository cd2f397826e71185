//! What is kept of plugins: failures, lines, and whose signatures count.

use rolecall::model::{CallInput, Failing, FailureDetail, FailureKind, Frame, Instant, LimitMet, LogLine, Spent, TenantId};
use rolecall::store::StoreError;
use rolecall::store::records::{Asked, FailureBounds, FailureQuery, Line, LineQuery, NewFailure, PluginKey};
use serde_json::json;

use crate::fixture::{Fixture, START, actor};

store_contract_suite!(
    a_failure_comes_back_as_it_went_in_and_is_counted,
    failures_are_bounded_by_plugin_tenant_and_time,
    failures_are_found_by_what_they_are,
    lines_keep_the_newest_and_forget_with_age,
    of_people_and_connections_that_are_gone_nothing_is_kept,
    another_tenant_has_none_of_it,
    keys_have_names_of_their_own,
);

const BOUNDS: FailureBounds = FailureBounds { of_plugin: 10, of_tenant: 100 };

fn asked(digest: &str, connection: &str, user: &str) -> Asked {
    let (plugin, hook) = (format!("plugin-{digest}"), "transform-user".into());
    Asked { plugin, digest: digest.into(), hook, connection: connection.into(), user: user.into() }
}

pub(crate) fn failure(id: &str, asked: Asked, code: &str, at: Instant) -> NewFailure {
    let detail = FailureDetail {
        message: format!("message of {id}"),
        path: Some("/account".into()),
        limit: Some(LimitMet { used: Some(2), allowed: 1 }),
        spent: Spent { fuel: 3, memory_bytes: 4, wall_clock_us: 5 },
        backtrace: vec![Frame { function: "f".into(), offset: Some(6), source: None }],
        logs: vec![LogLine { level: "warn".into(), message: "m".into() }],
    };
    let user = json!({"userName": "ana"});
    let input = CallInput { as_of: START, user, groups: vec!["eng".into()], account: None, masked: vec!["userName".into()] };
    let failing = Failing { kind: FailureKind::Fault, code: code.into(), detail, input: Ok(input) };
    NewFailure { id: id.into(), at, until: at.plus_seconds(100), times: 1, asked, account: "a".into(), revision: "r".into(), failing }
}

pub(crate) fn line(message: &str, level: &str, asked: Asked, at: Instant) -> Line {
    Line { at, asked, line: LogLine { level: level.into(), message: message.into() } }
}

pub(crate) fn key(name: &str, byte: u8) -> PluginKey {
    PluginKey { id: format!("key-{byte}"), name: name.into(), public_key: format!("{}=", "A".repeat(43)), created: START }
}

fn acme(user: &str) -> Asked {
    asked("d", "conn-acme", user)
}

async fn ids(fixture: &Fixture, query: FailureQuery) -> Vec<String> {
    let found = fixture.store.failures(&fixture.tenant, &query, 100).await.unwrap();
    found.into_iter().map(|failure| failure.id).collect()
}

async fn messages(fixture: &Fixture, query: LineQuery, limit: i64) -> Vec<String> {
    let found = fixture.store.lines(&fixture.tenant, &query, limit).await.unwrap();
    found.into_iter().map(|(_, line)| line.line.message).collect()
}

async fn a_failure_comes_back_as_it_went_in_and_is_counted(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    let first = failure("1", acme("u"), "trap", START);
    store.keep_failures(tenant, std::slice::from_ref(&first), BOUNDS).await.unwrap();
    let (kept, input) = store.failure(tenant, "1").await.unwrap().unwrap();
    assert_eq!((kept.times, kept.first_at, kept.last_at, kept.until), (1, START, START, first.until));
    assert_eq!((kept.kind, &*kept.code, &kept.asked, &kept.detail), (FailureKind::Fault, "trap", &first.asked, &first.failing.detail));
    assert_eq!(input, first.failing.input);
    let later = START.plus_seconds(50);
    let mut again = failure("2", acme("u"), "trap", later);
    again.times = 3;
    again.failing.input = Err("too large".into());
    store.keep_failures(tenant, &[again.clone()], BOUNDS).await.unwrap();
    assert!(store.failure(tenant, "2").await.unwrap().is_none(), "it has the id of the first of its like");
    let (kept, input) = store.failure(tenant, "1").await.unwrap().unwrap();
    assert_eq!((kept.times, kept.first_at, kept.last_at, kept.until), (4, START, later, again.until));
    assert_eq!((&*kept.detail.message, input), ("message of 2", Err("too large".into())), "the newest is told of");
    assert!(store.failure(tenant, "nul\0").await.unwrap().is_none());
}

async fn failures_are_bounded_by_plugin_tenant_and_time(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    let bounds = FailureBounds { of_plugin: 3, of_tenant: 5 };
    for (plugin, count) in [("d", 5), ("e", 4)] {
        let new: Vec<_> = (0..count)
            .map(|n| failure(&format!("{plugin}{n}"), asked(plugin, "conn-acme", &n.to_string()), "trap", START.plus_seconds(n)))
            .collect();
        store.keep_failures(tenant, &new, bounds).await.unwrap();
    }
    let mut kept = ids(&fixture, FailureQuery::default()).await;
    kept.sort();
    assert_eq!(kept, ["d2", "d3", "d4", "e2", "e3"], "three of each plugin, and then those that were seen least recently go");
    assert!(!store.forget_records(tenant, START.plus_seconds(102), START, 10).await.unwrap());
    assert_eq!(ids(&fixture, FailureQuery::default()).await.len(), 3, "two have had their time");
    assert!(store.forget_records(tenant, START.plus_seconds(999), START, 2).await.unwrap(), "in bounded batches");
    assert_eq!(ids(&fixture, FailureQuery::default()).await.len(), 1);
}

async fn failures_are_found_by_what_they_are(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    let mut nominating = failure("3", acme("v"), "fuel", START.plus_seconds(20));
    nominating.asked.hook = "propose-roles".into();
    nominating.account = "b".into();
    let mut refused = failure("4", acme("v"), "too_tall", START.plus_seconds(30));
    refused.failing.kind = FailureKind::Refusal;
    let new = [
        failure("1", acme("u"), "trap", START),
        failure("2", asked("e", "conn-acme", "u"), "trap", START.plus_seconds(10)),
        nominating,
        refused,
    ];
    store.keep_failures(tenant, &new, BOUNDS).await.unwrap();
    let all = FailureQuery::default;
    for (query, expected) in [
        (all(), vec!["4", "3", "2", "1"]),
        (FailureQuery { kind: Some(FailureKind::Refusal), ..all() }, vec!["4"]),
        (FailureQuery { code: Some("trap".into()), ..all() }, vec!["2", "1"]),
        (FailureQuery { hook: Some("propose-roles".into()), ..all() }, vec!["3"]),
        (FailureQuery { plugin: Some("plugin-e".into()), ..all() }, vec!["2"]),
        (FailureQuery { plugin: Some("e".into()), ..all() }, vec!["2"]),
        (FailureQuery { user: Some("u".into()), ..all() }, vec!["2", "1"]),
        (FailureQuery { account: Some("b".into()), ..all() }, vec!["3"]),
        (FailureQuery { connection: Some("conn-else".into()), ..all() }, vec![]),
        (FailureQuery { since: Some(START.plus_seconds(20)), ..all() }, vec!["4", "3"]),
        (FailureQuery { until: Some(START.plus_seconds(20)), ..all() }, vec!["2", "1"]),
    ] {
        assert_eq!(ids(&fixture, query.clone()).await, expected, "{query:?}");
    }
    let page = store.failures(tenant, &all(), 2).await.unwrap();
    assert_eq!(ids(&fixture, FailureQuery { before: Some(page[1].position), ..all() }).await, ["2", "1"]);
}

async fn lines_keep_the_newest_and_forget_with_age(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    let later = START.plus_seconds(60);
    let first = [line("1", "debug", acme("u"), START), line("2", "error", acme("v"), START)];
    store.keep_lines(tenant, &first, 4).await.unwrap();
    let more =
        [line("3", "info", acme("u"), later), line("4", "warn", asked("e", "conn-acme", "u"), later), line("5", "info", acme("v"), later)];
    store.keep_lines(tenant, &more, 4).await.unwrap();
    let all = LineQuery::default;
    let found = store.lines(tenant, &all(), 10).await.unwrap();
    assert_eq!(
        found.iter().map(|(_, line)| line.clone()).collect::<Vec<_>>(),
        [&first[1..], &more].concat(),
        "as they went in, the oldest gone"
    );
    for (query, expected) in [
        (LineQuery { level: 2, ..all() }, vec!["2", "4"]),
        (LineQuery { plugin: Some("plugin-e".into()), ..all() }, vec!["4"]),
        (LineQuery { user: Some("v".into()), ..all() }, vec!["2", "5"]),
        (LineQuery { hook: Some("propose-roles".into()), ..all() }, vec![]),
        (LineQuery { connection: Some("conn-acme".into()), since: Some(later), ..all() }, vec!["3", "4", "5"]),
        (LineQuery { until: Some(later), ..all() }, vec!["2"]),
        (LineQuery { after: Some(found[0].0), ..all() }, vec!["3", "4", "5"]),
    ] {
        assert_eq!(messages(&fixture, query.clone(), 10).await, expected, "{query:?}");
    }
    assert_eq!(messages(&fixture, all(), 2).await, ["4", "5"], "the newest");
    assert_eq!(messages(&fixture, LineQuery { after: Some(0), ..all() }, 2).await, ["2", "3"], "the next");
    assert!(store.forget_records(tenant, START, later.plus_seconds(1), 3).await.unwrap(), "in bounded batches");
    assert_eq!(messages(&fixture, all(), 10).await.len(), 1);
}

async fn of_people_and_connections_that_are_gone_nothing_is_kept(fixture: Fixture) {
    let (store, tenant, here) = (&fixture.store, &fixture.tenant, fixture.here());
    fixture.new_connection(tenant, "conn-2").await.unwrap();
    let (ana, bob) = (here.create_user("ana").await, here.create_user("bob").await);
    let of = |user: &str, n: i64| failure(&format!("{user}{n}"), acme(user), "trap", START);
    let said = |user: &str| line(user, "info", acme(user), START);
    store.keep_failures(tenant, &[of(ana.as_str(), 1), of(bob.as_str(), 1), of("never-stored", 1)], BOUNDS).await.unwrap();
    store.keep_lines(tenant, &[said(ana.as_str()), said(bob.as_str())], 10).await.unwrap();
    here.delete_user(&bob).await;
    assert_eq!(ids(&fixture, FailureQuery { user: Some(bob.clone()), ..FailureQuery::default() }).await, [] as [&str; 0]);
    assert_eq!(messages(&fixture, LineQuery::default(), 10).await, [ana.as_str()]);
    // What comes too late, of one who is deleted and of a connection that never was.
    let other = failure("x", asked("d", "conn-none", "u"), "trap", START);
    store.keep_failures(tenant, &[of(bob.as_str(), 2), other], BOUNDS).await.unwrap();
    store.keep_lines(tenant, &[said(bob.as_str()), line("x", "info", asked("d", "conn-none", "u"), START)], 10).await.unwrap();
    assert_eq!(ids(&fixture, FailureQuery::default()).await.len(), 2, "ana's, and that of one who was never stored");
    assert_eq!(messages(&fixture, LineQuery::default(), 10).await.len(), 1);
    store.delete_connection(tenant, &fixture.connection, &actor(), START).await.unwrap();
    assert!(ids(&fixture, FailureQuery::default()).await.is_empty() && messages(&fixture, LineQuery::default(), 10).await.is_empty());
}

async fn another_tenant_has_none_of_it(fixture: Fixture) {
    let store = &fixture.store;
    fixture.new_tenant("globex", "conn-globex").await;
    let other = TenantId::from("globex");
    store.keep_failures(&fixture.tenant, &[failure("1", acme("u"), "trap", START)], BOUNDS).await.unwrap();
    store.keep_lines(&fixture.tenant, &[line("1", "info", acme("u"), START)], 10).await.unwrap();
    store.put_plugin_key(&fixture.tenant, &key("k", 1), &actor(), START).await.unwrap();
    store.require_signatures(&fixture.tenant, true, &actor(), START).await.unwrap();
    // Nor can it keep anything on a connection that is not its own.
    store.keep_failures(&other, &[failure("2", acme("u"), "trap", START)], BOUNDS).await.unwrap();
    store.keep_lines(&other, &[line("2", "info", acme("u"), START)], 10).await.unwrap();
    assert!(store.failures(&other, &FailureQuery::default(), 10).await.unwrap().is_empty());
    assert!(store.failure(&other, "1").await.unwrap().is_none());
    assert!(store.lines(&other, &LineQuery::default(), 10).await.unwrap().is_empty());
    assert_eq!(store.signing_rules(&other).await.unwrap(), rolecall::store::records::SigningRules::default());
    assert!(store.remove_plugin_key(&other, "key-1", &actor(), START).await.is_err());
    assert!(!store.forget_records(&other, START.plus_seconds(999), START.plus_seconds(999), 10).await.unwrap());
    assert_eq!((ids(&fixture, FailureQuery::default()).await.len(), messages(&fixture, LineQuery::default(), 10).await.len()), (1, 1));
}

async fn keys_have_names_of_their_own(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    assert!(!store.signing_rules(tenant).await.unwrap().required);
    for (name, byte) in [("b", 1), ("a", 2)] {
        store.put_plugin_key(tenant, &key(name, byte), &actor(), START).await.unwrap();
    }
    let taken = store.put_plugin_key(tenant, &key("a", 3), &actor(), START).await.unwrap_err();
    assert!(matches!(taken, StoreError::Taken { attribute: "name" }), "{taken:?}");
    store.put_plugin_key(tenant, &key("c", 1), &actor(), START).await.unwrap();
    store.require_signatures(tenant, true, &actor(), START).await.unwrap();
    let rules = store.signing_rules(tenant).await.unwrap();
    assert!(rules.required);
    assert_eq!(rules.keys, [key("a", 2), key("c", 1)]);
    store.remove_plugin_key(tenant, "key-1", &actor(), START).await.unwrap();
    store.require_signatures(tenant, false, &actor(), START).await.unwrap();
    let rules = store.signing_rules(tenant).await.unwrap();
    assert_eq!((rules.required, rules.keys.len()), (false, 1));
    assert!(matches!(store.remove_plugin_key(tenant, "key-1", &actor(), START).await, Err(StoreError::Missing(_))));
}
