//! Sealed history: whatever is done to it behind the server's back is found, several hosts seal it, and who held what at an instant
//! is what a replay of the events says.

use std::collections::BTreeMap;
use std::sync::Arc;

use rolecall::history::chain::{self, Anchor};
use rolecall::history::verify::{Finding, Wrong};
use rolecall::history::{self, HistoryError};
use rolecall::model::{Event, Instant, NewEvent, TenantId};
use rolecall::store::history::{Span, Start, VerifyBounds, Whose};
use rolecall::store::{Change, Store};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::fixture::{Fixture, START, Through, keyring, personal_event};

store_contract_suite!(
    every_tampering_is_found,
    the_death_of_a_persons_key_leaves_the_chain_whole,
    an_end_that_is_sealed_anew_is_told_by_an_anchor,
    two_hosts_seal_the_same_history,
    what_was_numbered_before_a_crash_is_sealed_after_it,
    nothing_is_sealed_across_a_gap,
    verifying_goes_on_where_it_stopped,
    who_held_what_is_what_a_replay_says,
    pages_of_holders_miss_nobody,
    a_batch_is_bounded_by_bytes_as_well,
);

/// Events of one batch.
const BATCH: i64 = 10;
/// Bounds that let everything be verified at once.
const ALL: VerifyBounds = VerifyBounds { batches: 100, events: 10_000, bytes: 1 << 30 };

/// Alters the database as somebody does who can write to it.
async fn tamper(fixture: &Fixture, statements: &[String]) {
    if fixture.url.starts_with("sqlite:") {
        let mut conn = SqliteConnection::connect(&fixture.url).await.unwrap();
        for statement in statements {
            conn.execute(AssertSqlSafe(statement.clone())).await.unwrap();
        }
    } else {
        let mut conn = PgConnection::connect(&fixture.url).await.unwrap();
        for statement in statements {
            conn.execute(AssertSqlSafe(statement.clone())).await.unwrap();
        }
    }
}

fn granted(kind: &'static str, account: &str, role: &str, policy: &str) -> NewEvent {
    let data = json!({"role": role, "reasons": [{"policy": policy, "groups": [], "proposed": false}], "revision": "r1"});
    NewEvent { kind, account: Some(account.into()), data, personal: None, leaver: false }
}

fn stated(account: &str, state: &str) -> NewEvent {
    NewEvent { data: json!({"state": state, "revision": "r1"}), ..personal_event("account.changed", &account.into(), account) }
}

async fn append(through: &Through<'_>, at: Instant, events: Vec<NewEvent>) {
    through.commit(Change { events, at, ..through.change() }).await.unwrap();
}

async fn seal(store: &dyn Store, tenant: &TenantId) {
    while store.number_events().await.unwrap() > 0 {}
    while history::seal(store, &keyring(), tenant, START.plus_seconds(9), BATCH).await.unwrap() {}
}

/// A tenant with 25 sealed events in three batches: the connection's first, accounts with names, grants, and a removal.
async fn sealed<'f>(fixture: &'f Fixture, name: &str) -> Through<'f> {
    let connection = format!("conn-{name}");
    fixture.new_tenant(name, &connection).await;
    let through = Through { tenant: name.into(), ..fixture.through(&connection) };
    for number in 0..8 {
        let account = format!("a{number}");
        let events = vec![stated(&account, "active"), granted("grant.added", &account, "dev", "first")];
        append(&through, START.plus_seconds(number), events).await;
    }
    for number in 0..8 {
        append(&through, START.plus_seconds(10 + number), vec![granted("grant.changed", &format!("a{number}"), "dev", "second")]).await;
    }
    seal(&*fixture.store, &through.tenant).await;
    through
}

async fn findings(store: &dyn Store, tenant: &TenantId) -> Vec<Finding> {
    let (mut start, mut findings) = (Start::Event(1), Vec::new());
    loop {
        let part = history::verify(store, &keyring(), tenant, start, ALL).await.unwrap();
        findings.extend(part.findings);
        let Some(next) = part.next else { return findings };
        start = Start::Behind(next);
    }
}

async fn anchor(store: &dyn Store, tenant: &TenantId) -> Anchor {
    history::head(store, &keyring(), tenant, START.plus_seconds(99)).await.unwrap().expect("something is sealed")
}

/// What is done, and what has to be found at which event and batch.
type Case = (&'static str, &'static [&'static str], &'static [(Wrong, Option<i64>, Option<i64>)]);

/// `{t}` stands for the condition on the tenant.
const CASES: &[Case] = &[
    ("nothing", &[], &[]),
    ("a value", &["UPDATE events SET data = '{}' WHERE {t} AND seq = 7"], &[(Wrong::EventAltered, Some(7), Some(1))]),
    ("an instant", &["UPDATE events SET at = at + 1 WHERE {t} AND seq = 12"], &[(Wrong::EventAltered, Some(12), Some(2))]),
    ("a kind", &["UPDATE events SET kind = 'other' WHERE {t} AND seq = 1"], &[(Wrong::EventAltered, Some(1), Some(1))]),
    ("an actor", &["UPDATE events SET actor_id = 'nobody' WHERE {t} AND seq = 25"], &[(Wrong::EventAltered, Some(25), Some(3))]),
    ("a request", &["UPDATE events SET request_id = NULL WHERE {t} AND seq = 3"], &[(Wrong::EventAltered, Some(3), Some(1))]),
    (
        "an account",
        &["UPDATE events SET account = 'eve' WHERE {t} AND seq = 2"],
        &[(Wrong::EventAltered, Some(2), Some(1)), (Wrong::StandingAltered, Some(2), None)],
    ),
    (
        "personal values",
        &["UPDATE events SET personal = (SELECT o.personal FROM events o WHERE o.tenant = events.tenant AND o.seq = 4) WHERE {t} AND seq = 2"],
        &[(Wrong::EventAltered, Some(2), Some(1))],
    ),
    ("no personal values", &["UPDATE events SET personal = NULL WHERE {t} AND seq = 2"], &[(Wrong::EventAltered, Some(2), Some(1))]),
    (
        "an event in the middle",
        &["DELETE FROM events WHERE {t} AND seq = 11"],
        &[(Wrong::EventMissing, Some(11), Some(2)), (Wrong::StandingAltered, Some(11), None), (Wrong::StandingAltered, Some(22), None)],
    ),
    (
        "the end",
        &["DELETE FROM events WHERE {t} AND seq > 24"],
        &[(Wrong::EventMissing, Some(25), Some(3)), (Wrong::EndAltered, Some(25), None)],
    ),
    (
        "two swapped",
        &[
            "UPDATE events SET seq = 99 WHERE {t} AND seq = 2",
            "UPDATE events SET seq = 2 WHERE {t} AND seq = 4",
            "UPDATE events SET seq = 4 WHERE {t} AND seq = 99",
        ],
        &[
            (Wrong::EventMoved, Some(2), Some(1)),
            (Wrong::EventMoved, Some(4), Some(1)),
            (Wrong::StandingAltered, Some(2), None),
            (Wrong::StandingAltered, Some(4), None),
        ],
    ),
    (
        "one inserted",
        &["INSERT INTO events (tenant, id, seq, at, kind, actor_kind, actor_id, data)
           SELECT tenant, 'forged', 0, at, kind, actor_kind, actor_id, data FROM events WHERE {t} AND seq = 1"],
        &[(Wrong::EventInserted, Some(0), None)],
    ),
    (
        "one appended without a count",
        &["INSERT INTO events (tenant, id, seq, at, kind, actor_kind, actor_id, data)
           SELECT tenant, 'forged', 26, at, kind, actor_kind, actor_id, data FROM events WHERE {t} AND seq = 1"],
        &[(Wrong::EndAltered, Some(26), None)],
    ),
    (
        "a batch's hash",
        &["UPDATE history_batches SET hash = (SELECT o.hash FROM history_batches o WHERE o.tenant = history_batches.tenant AND o.number = 1)
           WHERE {t} AND number = 2"],
        &[(Wrong::SignatureWrong, None, Some(2)), (Wrong::BatchAltered, None, Some(2)), (Wrong::BatchAltered, None, Some(3))],
    ),
    (
        "a batch's instant",
        &["UPDATE history_batches SET sealed = sealed + 1000 WHERE {t} AND number = 2"],
        &[(Wrong::SignatureWrong, None, Some(2)), (Wrong::BatchAltered, None, Some(2))],
    ),
    (
        "a batch's digests",
        &["UPDATE history_batches SET digests = (SELECT o.digests FROM history_batches o WHERE o.tenant = history_batches.tenant AND o.number = 1)
           WHERE {t} AND number = 3"],
        &[(Wrong::BatchAltered, None, Some(3)), (Wrong::EventAltered, Some(21), Some(3))],
    ),
    (
        "a signature",
        &["UPDATE history_batches SET signature = (SELECT o.signature FROM history_batches o WHERE o.tenant = history_batches.tenant
           AND o.number = 1) WHERE {t} AND number = 3"],
        &[(Wrong::SignatureWrong, None, Some(3))],
    ),
    ("a batch", &["DELETE FROM history_batches WHERE {t} AND number = 2"], &[(Wrong::BatchMissing, None, Some(2))]),
    ("the first batch", &["DELETE FROM history_batches WHERE {t} AND number = 1"], &[(Wrong::BatchMissing, None, Some(1))]),
    (
        "the end and its batch",
        &["DELETE FROM events WHERE {t} AND seq > 20", "DELETE FROM history_batches WHERE {t} AND number = 3"],
        &[(Wrong::EndAltered, Some(21), None)],
    ),
    (
        "who held what",
        &["UPDATE standings SET role = 'ops' WHERE {t} AND seq = 3"],
        &[(Wrong::StandingAltered, Some(3), None)],
    ),
    ("the end of what was held", &["UPDATE standings SET until_at = until_at - 1 WHERE {t} AND seq = 3"], &[(Wrong::StandingAltered, Some(3), None)]),
    (
        "an end that never was",
        &["UPDATE standings SET until_at = 1, until_seq = 24 WHERE {t} AND seq = 2"],
        &[(Wrong::StandingAltered, Some(2), None)],
    ),
    ("what was held", &["DELETE FROM standings WHERE {t} AND seq = 25"], &[(Wrong::StandingAltered, Some(25), None)]),
    (
        "what was never held",
        &["INSERT INTO standings (tenant, seq, account, role, state, reasons, since_at, held_since, held_seq)
           SELECT tenant, 1, account, 'root', 'effective', '[]', since_at, held_since, held_seq FROM standings WHERE {t} AND seq = 3"],
        &[(Wrong::StandingAltered, Some(1), None)],
    ),
];

async fn every_tampering_is_found(fixture: Fixture) {
    for (number, (what, statements, expected)) in CASES.iter().enumerate() {
        let through = sealed(&fixture, &format!("t{number}")).await;
        let anchor = anchor(&*fixture.store, &through.tenant).await;
        assert_eq!((anchor.batch, anchor.last, anchor.check()), (3, 25, Ok(())));
        let statements: Vec<String> = statements.iter().map(|sql| sql.replace("{t}", &format!("tenant = '{}'", through.tenant))).collect();
        tamper(&fixture, &statements).await;
        let found = findings(&*fixture.store, &through.tenant).await;
        let told: Vec<_> = found.iter().map(|finding| (finding.what, finding.seq, finding.batch)).collect();
        for expected in *expected {
            assert!(told.contains(expected), "{what}: {expected:?} is not among {found:#?}");
        }
        assert_eq!(expected.is_empty(), told.is_empty(), "{what}: {found:#?}");
        // Small bounds find the same as large ones, but for what lies between.
        let mut start = Start::Event(1);
        let mut in_parts = 0;
        loop {
            let bounds = VerifyBounds { batches: 1, events: 1, bytes: 1 };
            let part = history::verify(&*fixture.store, &keyring(), &through.tenant, start, bounds).await.unwrap();
            in_parts += part.found;
            let Some(next) = part.next else { break };
            start = Start::Behind(next);
        }
        assert_eq!(in_parts == 0, found.is_empty(), "{what}, in parts");
    }
}

async fn the_death_of_a_persons_key_leaves_the_chain_whole(fixture: Fixture) {
    let through = sealed(&fixture, "globex").await;
    tamper(&fixture, &["DELETE FROM person_keys WHERE tenant = 'globex'".into()]).await;
    assert_eq!(findings(&*fixture.store, &through.tenant).await, []);
    let events = fixture.store.events(&through.tenant, 0, 100).await.unwrap();
    assert!(events.iter().all(|event| event.personal.is_none()) && events.len() == 25);
}

async fn an_end_that_is_sealed_anew_is_told_by_an_anchor(fixture: Fixture) {
    let store = &*fixture.store;
    let through = sealed(&fixture, "globex").await;
    let kept = anchor(store, &through.tenant).await;
    let compare = async |anchor: &Anchor| {
        let found = history::compare(store, &keyring(), &through.tenant, anchor).await.unwrap();
        found.into_iter().map(|finding| (finding.what, finding.seq)).collect::<Vec<_>>()
    };
    assert_eq!(compare(&kept).await, []);
    assert_eq!(compare(&Anchor { last: 24, ..kept.clone() }).await, [(Wrong::AnchorWrong, Some(24))]);
    let other = sealed(&fixture, "other").await;
    assert_eq!(compare(&anchor(store, &other.tenant).await).await, [(Wrong::AnchorWrong, Some(25))], "another tenant's");
    // Cut off with all traces of it: nothing in the database knows of it any more.
    let cut = [
        "DELETE FROM events WHERE tenant = 'globex' AND seq > 20",
        "DELETE FROM history_batches WHERE tenant = 'globex' AND number = 3",
        "UPDATE standings SET until_at = NULL, until_seq = NULL WHERE tenant = 'globex' AND until_seq > 20",
        "DELETE FROM standings WHERE tenant = 'globex' AND seq > 20",
        "UPDATE event_heads SET last_seq = 20 WHERE tenant = 'globex'",
    ];
    tamper(&fixture, &cut.map(str::to_owned)).await;
    assert_eq!(findings(store, &through.tenant).await, []);
    assert_eq!(compare(&kept).await, [(Wrong::AnchorDiffers, Some(25))]);
    // Written anew and sealed by the server itself.
    for _ in 0..5 {
        append(&through, START.plus_seconds(40), vec![granted("grant.added", "eve", "root", "forged")]).await;
    }
    seal(store, &through.tenant).await;
    assert_eq!(findings(store, &through.tenant).await, []);
    assert_eq!(compare(&kept).await, [(Wrong::AnchorDiffers, Some(25))]);
}

async fn two_hosts_seal_the_same_history(fixture: Fixture) {
    let fixture = Arc::new(fixture);
    let (one, two) = (fixture.store.clone(), fixture.another_host().await);
    let writer = {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move {
            for number in 0..60 {
                let events = vec![granted("grant.added", &format!("a{}", number % 7), "dev", &format!("p{number}"))];
                append(&fixture.here(), START.plus_seconds(number), events).await;
            }
        })
    };
    let sealing = [one.clone(), two].map(|store| {
        let tenant = fixture.tenant.clone();
        tokio::spawn(async move {
            while store.last_batch(&tenant).await.unwrap().is_none_or(|batch| batch.last < 61) {
                seal(&*store, &tenant).await;
            }
        })
    });
    writer.await.unwrap();
    for sealing in sealing {
        sealing.await.unwrap();
    }
    let batches = one.batches(&fixture.tenant, 0, 100).await.unwrap();
    assert!(batches.windows(2).all(|pair| pair[1].first == pair[0].last + 1 && pair[1].number == pair[0].number + 1), "{batches:?}");
    assert_eq!((batches[0].first, batches.last().unwrap().last), (1, 61));
    assert_eq!(findings(&*one, &fixture.tenant).await, []);
}

async fn what_was_numbered_before_a_crash_is_sealed_after_it(fixture: Fixture) {
    append(&fixture.here(), START, vec![granted("grant.added", "ana", "dev", "p")]).await;
    while fixture.store.number_events().await.unwrap() > 0 {}
    assert_eq!(fixture.store.unsealed().await.unwrap(), std::slice::from_ref(&fixture.tenant));
    let host = fixture.another_host().await;
    while history::seal_all(&*host, &keyring(), START).await.unwrap() {}
    assert_eq!((host.unsealed().await.unwrap(), findings(&*host, &fixture.tenant).await), (vec![], vec![]));
    let held =
        host.held(&fixture.tenant, &Whose::Role("dev".into()), Span { from: START, to: START.plus_seconds(1) }, 0, 10).await.unwrap();
    assert_eq!(held.held.len(), 1);
    // Nothing is there to be sealed, and nothing is.
    while history::seal_all(&*host, &keyring(), START).await.unwrap() {}
    assert_eq!(host.batches(&fixture.tenant, 0, 10).await.unwrap().len(), 1);
}

async fn nothing_is_sealed_across_a_gap(fixture: Fixture) {
    append(&fixture.here(), START, vec![granted("grant.added", "ana", "dev", "p"), granted("grant.added", "bob", "dev", "p")]).await;
    while fixture.store.number_events().await.unwrap() > 0 {}
    tamper(&fixture, &["DELETE FROM events WHERE tenant = 'acme' AND seq = 2".into()]).await;
    let seal = async || history::seal(&*fixture.store, &keyring(), &fixture.tenant, START, BATCH).await;
    seal().await.unwrap();
    assert!(matches!(seal().await, Err(HistoryError::Gap { seq: 2, .. })));
    // Others are sealed all the same.
    fixture.new_tenant("globex", "conn-globex").await;
    while fixture.store.number_events().await.unwrap() > 0 {}
    while history::seal_all(&*fixture.store, &keyring(), START).await.unwrap() {}
    assert!(fixture.store.last_batch(&"globex".into()).await.unwrap().is_some());
    let found = findings(&*fixture.store, &fixture.tenant).await;
    assert_eq!(found.iter().map(|finding| (finding.what, finding.seq)).collect::<Vec<_>>(), [(Wrong::EventMissing, Some(2))]);
}

async fn verifying_goes_on_where_it_stopped(fixture: Fixture) {
    let through = sealed(&fixture, "globex").await;
    append(&through, START, vec![granted("grant.added", "ana", "dev", "p")]).await;
    while fixture.store.number_events().await.unwrap() > 0 {}
    let within = async |start, bounds| {
        let verified = history::verify(&*fixture.store, &keyring(), &through.tenant, start, bounds).await.unwrap();
        assert_eq!(verified.findings, []);
        (verified.batches, verified.events, verified.last, verified.unsealed, verified.next)
    };
    let verify = async |start, batches, events| within(start, VerifyBounds { batches, events, ..ALL }).await;
    assert_eq!(verify(Start::Event(1), 9, 99).await, (3, 25, Some(25), Some(1), None));
    assert_eq!(verify(Start::Event(1), 2, 99).await, (2, 20, Some(20), None, Some(2)));
    assert_eq!(verify(Start::Behind(2), 2, 99).await, (1, 5, Some(25), Some(1), None));
    assert_eq!(verify(Start::Event(1), 9, 15).await, (1, 10, Some(10), None, Some(1)), "whole batches, as far as the bound allows");
    assert_eq!(within(Start::Event(1), VerifyBounds { bytes: 1, ..ALL }).await, (1, 10, Some(10), None, Some(1)), "a batch at least");
    assert_eq!(within(Start::Behind(1), VerifyBounds { bytes: 1, ..ALL }).await, (1, 10, Some(20), None, Some(2)));
    assert_eq!(verify(Start::Event(11), 9, 99).await, (2, 15, Some(25), Some(1), None));
    assert_eq!(verify(Start::Event(26), 9, 99).await, (0, 0, Some(25), Some(1), None));
}

/// A small generator: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Who held the role at an instant, by the events alone: account, state and policies.
fn replayed(events: &[Event], role: &str, at: Instant) -> Vec<(String, String, Value)> {
    // Of each account: what it came to with each event, and when that took effect.
    let mut changes = BTreeMap::<String, Vec<(Instant, Option<(String, Value)>)>>::new();
    for event in events.iter().filter(|event| event.data["role"] == role && event.kind.starts_with("grant.")) {
        let changes = changes.entry(event.account.clone().unwrap().0).or_default();
        let before = changes.last().and_then(|(_, held)| held.clone());
        let after = match event.kind.as_str() {
            "grant.removed" if before.is_none() => continue,
            "grant.removed" => None,
            "grant.retained" => Some(("retained".to_owned(), before.map_or_else(|| json!([]), |(_, reasons)| reasons))),
            _ => Some(("effective".to_owned(), event.data["reasons"].clone())),
        };
        let since = changes.last().map_or(event.at, |(since, _)| event.at.max(*since));
        changes.push((since, after));
    }
    let at_that_time = |changes: &[(Instant, Option<(String, Value)>)]| changes.iter().rfind(|(since, _)| *since <= at)?.1.clone();
    changes.iter().filter_map(|(account, changes)| at_that_time(changes).map(|(state, why)| (account.clone(), state, why))).collect()
}

async fn who_held_what_is_what_a_replay_says(fixture: Fixture) {
    let mut numbers = Numbers(7);
    for step in 0..150 {
        let account = format!("a{}", numbers.below(5));
        let role = ["dev", "ops"][usize::try_from(numbers.below(2)).unwrap()];
        let kind = ["grant.added", "grant.changed", "grant.retained", "grant.removed"][usize::try_from(numbers.below(4)).unwrap()];
        // Clocks of hosts differ: some events bear an earlier instant than those before them.
        let at = START.plus_seconds(step * 3 + i64::try_from(numbers.below(20)).unwrap());
        append(&fixture.here(), at, vec![granted(kind, &account, role, &format!("p{step}"))]).await;
        if numbers.below(9) == 0 {
            seal(&*fixture.store, &fixture.tenant).await;
        }
    }
    seal(&*fixture.store, &fixture.tenant).await;
    assert_eq!(findings(&*fixture.store, &fixture.tenant).await, []);
    let events = fixture.store.events(&fixture.tenant, 0, 10_000).await.unwrap();
    for second in (-2..475).step_by(2) {
        let at = START.plus_seconds(second);
        for role in ["dev", "ops"] {
            let span = Span { from: at, to: Instant(at.0 + 1) };
            let page = fixture.store.held(&fixture.tenant, &Whose::Role(role.into()), span, 0, 100).await.unwrap();
            let mut held: Vec<_> = page
                .held
                .into_iter()
                .map(|held| (held.standing.account.0, held.standing.state, serde_json::from_str(&held.standing.reasons).unwrap()))
                .collect();
            held.sort_by(|a: &(String, String, Value), b| a.0.cmp(&b.0));
            assert_eq!(held, replayed(&events, role, at), "{role} at {at}");
        }
    }
}

async fn pages_of_holders_miss_nobody(fixture: Fixture) {
    let through = sealed(&fixture, "globex").await;
    // The day: everything that stood at some moment of it.
    let day = Span { from: START, to: START.plus_seconds(86_400) };
    let walk = async |whose: Whose, span: Span, limit: i64| {
        let (mut after, mut seqs, mut pages) = (0, Vec::new(), 0);
        loop {
            let page = fixture.store.held(&through.tenant, &whose, span, after, limit).await.unwrap();
            pages += 1;
            seqs.extend(page.held.iter().map(|held| held.standing.seq));
            let Some(next) = page.next else { return (seqs, pages) };
            after = next;
        }
    };
    let dev = || Whose::Role("dev".into());
    assert_eq!(walk(dev(), day, 100).await.0.len(), 16, "each for two reasons in turn");
    assert_eq!(walk(dev(), day, 3).await, (walk(dev(), day, 100).await.0, 6));
    let early = Span { from: START.plus_seconds(2), to: START.plus_seconds(3) };
    assert_eq!(walk(dev(), early, 100).await.0, [3, 5, 7]);
    assert_eq!(walk(Whose::Account("a0".into()), day, 100).await.0, [2, 3, 18], "its state, and the role for two reasons");
    assert_eq!(walk(Whose::Role("none\0".into()), day, 100).await.0, [0_i64; 0]);
    let page =
        fixture.store.held(&through.tenant, &dev(), Span { from: START.plus_seconds(11), to: START.plus_seconds(12) }, 0, 2).await.unwrap();
    let first = &page.held[0].standing;
    assert_eq!((first.seq, first.held_seq, first.held_since, first.until_seq), (7, 7, START.plus_seconds(2), Some(20)));
}

async fn a_batch_is_bounded_by_bytes_as_well(fixture: Fixture) {
    let large =
        |bytes: usize| NewEvent { kind: "x", account: None, data: json!({"x": "ö".repeat(bytes / 2)}), personal: None, leaver: false };
    append(&fixture.here(), START, [100, 100, 5_000, 100, 100].map(large).into()).await;
    while fixture.store.number_events().await.unwrap() > 0 {}
    let counted = async |limit: i64| {
        let batch = fixture.store.next_batch(&fixture.tenant, limit, i64::MAX).await.unwrap();
        (batch.events.len(), batch.more)
    };
    assert_eq!((counted(5).await, counted(6).await, counted(7).await), ((5, true), (6, false), (6, false)));
    let mut batches = Vec::new();
    let mut more = true;
    while more {
        let next = fixture.store.next_batch(&fixture.tenant, BATCH, 2_000).await.unwrap();
        more = next.more;
        batches.push(next.events.iter().map(|event| event.seq).collect::<Vec<_>>());
        let key = keyring().history().unwrap();
        let sealed = chain::seal(&key, &fixture.tenant, next.head.as_ref(), &next.events, START).unwrap();
        assert!(fixture.store.seal_batch(&fixture.tenant, &sealed, &[], &[]).await.unwrap());
    }
    assert_eq!(batches, [vec![1, 2, 3], vec![4], vec![5, 6]], "what is too large by itself is alone");
}
