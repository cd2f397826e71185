//! What connections did, on its way to the database: counts of client quirks and of what came, refused credentials, and the provisioning
//! log. Gathered in bounded memory and written in batches by a job, so that a write costs nothing for it.
//!
//! It is a view for people. What must not be lost of a change is its event, which is written with the change itself and has the
//! request's id and what each operation did; a crash loses the last second of this.

pub mod curl;
pub mod example;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rolecall_scim::Quirk;

use crate::config::LOG_DAYS;
use crate::health::slot_of;
use crate::model::{ConnectionId, CredentialTrace, Instant, LogDetail, OutcomeCode, RefusedCredential, TenantId, Traffic};
use crate::store::{Counted, Dialect, Gathered, LogEntry, Result, Store};

/// The most entries that wait to be written; past it the oldest go, and the log says how many.
const WAITING_ENTRIES_LIMIT: usize = 20_000;
/// The most counts that wait to be written, one for each connection and quirk, or connection and slot; past it new ones are not counted.
const WAITING_COUNTS_LIMIT: usize = 20_000;
/// The most entries that are written in one transaction for one tenant.
const BATCH_LIMIT: usize = 1_000;
/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// What stands for the method where an entry is of several requests that nobody read.
pub const TURNED_AWAY: &str = "*";
/// The entries that are kept of a connection: days of a busy one.
pub const LOG_ENTRIES_LIMIT: i64 = 10_000;
/// The reads of a connection that are listed within a minute because they were refused: a client that asks for what there is not would push
/// out what it wrote. What is beyond is one entry a second.
const REFUSED_READS_A_MINUTE: u32 = 60;
/// Microseconds of a minute.
const MINUTE: i64 = 60 * SECOND;

/// What one request showed so far, shared by all that see a part of it.
#[derive(Debug, Default)]
pub struct Trail {
    quirks: Mutex<Vec<Quirk>>,
    /// Those that were taken, for the entry in the log.
    shown: Mutex<Vec<Quirk>>,
    logged: AtomicU64,
    skewed: AtomicBool,
}

impl Trail {
    /// Notes quirks; each counts once.
    pub fn see(&self, quirks: &[Quirk]) {
        let mut seen = self.quirks.lock().unwrap_or_else(PoisonError::into_inner);
        for quirk in quirks {
            if !seen.contains(quirk) {
                seen.push(*quirk);
            }
        }
    }

    /// The quirks that nobody has taken yet.
    #[must_use]
    pub fn take(&self) -> Vec<Quirk> {
        let taken = std::mem::take(&mut *self.quirks.lock().unwrap_or_else(PoisonError::into_inner));
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).extend(&taken);
        taken
    }

    /// The words of the quirks that were taken since this was asked last: an entry of the log is about them.
    #[must_use]
    pub fn shown(&self) -> Vec<String> {
        std::mem::take(&mut *self.shown.lock().unwrap_or_else(PoisonError::into_inner))
            .iter()
            .map(|quirk| quirk.word().to_owned())
            .collect()
    }

    /// Says that the request, or one more of its operations, has its entry in the log.
    pub fn add_logged(&self) {
        self.logged.fetch_add(1, Ordering::AcqRel);
    }

    /// Says that the request's clock is off, or that it writes back what was read before a later change.
    pub fn is_skewed(&self) {
        self.skewed.store(true, Ordering::Release);
    }

    /// What the request is in the counts, beside its operations.
    #[must_use]
    pub fn traffic(&self, lists: bool, writes: bool) -> Traffic {
        let skewed = self.skewed.load(Ordering::Acquire);
        Traffic { requests: 1, lists: lists.into(), writes: writes.into(), skewed: skewed.into(), ..Traffic::default() }
    }

    /// How many entries the request has in the log.
    #[must_use]
    pub fn logged(&self) -> u64 {
        self.logged.load(Ordering::Acquire)
    }
}

#[derive(Clone, Debug)]
struct Count {
    seen: i64,
    handled: i64,
    last_seen: Instant,
    example: String,
}

/// Requests of which nobody needs to know one by one: of one connection, with one status, in one second.
type Door = (TenantId, ConnectionId, u16, i64);

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<(TenantId, ConnectionId, LogEntry)>,
    turned_away: BTreeMap<Door, i64>,
    counts: BTreeMap<(TenantId, ConnectionId, Quirk), Count>,
    traffic: BTreeMap<(TenantId, ConnectionId, Instant), Traffic>,
    refusals: BTreeMap<(TenantId, ConnectionId, String), RefusedCredential>,
    /// The reads that were refused within the minute, by connection.
    reads: (i64, BTreeMap<ConnectionId, u32>),
    lost: u64,
}

/// What waits to be written.
#[derive(Debug)]
pub struct Journal {
    waiting: Mutex<Waiting>,
    writing: tokio::sync::Mutex<()>,
    /// Wakes whoever waits for what is new in the log.
    pub grown: tokio::sync::Notify,
    /// For how many days entries are kept; none are made where it is 0.
    days: u32,
}

impl Default for Journal {
    fn default() -> Self {
        Self::keeping(LOG_DAYS)
    }
}

impl Waiting {
    fn observe(&mut self, tenant: &TenantId, connection: &ConnectionId, at: Instant, traffic: Traffic) {
        let key = (tenant.clone(), connection.clone(), slot_of(at));
        if let Some(counted) = self.traffic.get_mut(&key) {
            *counted = counted.and(traffic);
        } else if self.traffic.len() < WAITING_COUNTS_LIMIT {
            self.traffic.insert(key, traffic);
        }
    }
}

impl Journal {
    /// Keeps entries for so many days; makes none where it is 0.
    #[must_use]
    pub fn keeping(days: u32) -> Self {
        Self { waiting: Mutex::default(), writing: tokio::sync::Mutex::default(), grown: tokio::sync::Notify::new(), days }
    }

    /// For how many days entries are kept.
    #[must_use]
    pub fn days(&self) -> u32 {
        self.days
    }

    /// Whether there is a log at all.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.days > 0
    }

    /// Counts what came of a connection, for its health.
    pub fn observe(&self, tenant: &TenantId, connection: &ConnectionId, at: Instant, traffic: Traffic) {
        self.waiting().observe(tenant, connection, at, traffic);
    }

    /// Puts an entry into the log, and counts its operations.
    pub fn log(&self, tenant: &TenantId, connection: &ConnectionId, entry: LogEntry) {
        let LogEntry { applied, no_op, refused, .. } = entry;
        // What is our fault is no refusal.
        let (refused, failed) = if OutcomeCode::is_failure(entry.status) { (0, refused) } else { (refused, 0) };
        let mut waiting = self.waiting();
        waiting.observe(tenant, connection, entry.at, Traffic { applied, no_op, refused, failed, ..Traffic::default() });
        waiting.list(self.is_kept(), tenant, connection, entry);
    }

    /// Puts a read into the log that was refused: the first of a minute one by one.
    pub fn log_read(&self, tenant: &TenantId, connection: &ConnectionId, entry: LogEntry) {
        let mut waiting = self.waiting();
        let minute = entry.at.0.div_euclid(MINUTE);
        if waiting.reads.0 != minute {
            waiting.reads = (minute, BTreeMap::new());
        }
        let known = waiting.reads.1.len();
        let full = known >= WAITING_COUNTS_LIMIT && !waiting.reads.1.contains_key(connection);
        let listed = if full { REFUSED_READS_A_MINUTE } else { *waiting.reads.1.entry(connection.clone()).or_default() };
        if listed < REFUSED_READS_A_MINUTE {
            waiting.reads.1.insert(connection.clone(), listed + 1);
            waiting.list(self.is_kept(), tenant, connection, entry);
        } else {
            waiting.crowd((tenant.clone(), connection.clone(), entry.status, entry.at.0.div_euclid(SECOND)));
        }
    }

    /// Notes how a credential was checked that was refused: those that are alike are counted.
    pub fn refuse(&self, tenant: &TenantId, connection: &ConnectionId, trace: CredentialTrace, at: Instant) {
        let mut waiting = self.waiting();
        let key = (tenant.clone(), connection.clone(), trace.key());
        let refused = RefusedCredential::once(trace, at);
        if waiting.refusals.len() < WAITING_COUNTS_LIMIT || waiting.refusals.contains_key(&key) {
            waiting.refusals.entry(key).and_modify(|before| before.and(&refused)).or_insert(refused);
        }
    }
}

impl Waiting {
    fn list(&mut self, is_kept: bool, tenant: &TenantId, connection: &ConnectionId, entry: LogEntry) {
        let waiting = self;
        if !is_kept {
            return;
        }
        if waiting.entries.len() >= WAITING_ENTRIES_LIMIT {
            waiting.entries.pop_front();
            waiting.lost += 1;
        }
        waiting.entries.push_back((tenant.clone(), connection.clone(), entry));
    }

    /// One more of requests that nobody needs to know one by one.
    fn crowd(&mut self, door: Door) {
        if let Some(count) = self.turned_away.get_mut(&door) {
            *count += 1;
        } else if self.turned_away.len() < WAITING_COUNTS_LIMIT {
            self.turned_away.insert(door, 1);
        } else {
            self.lost += 1;
        }
    }
}

impl Journal {
    /// Notes a request that was turned away before anything of it was read: with 401 over its credential, with 429 over its number. A
    /// second of them is one entry, however many there are.
    pub fn turn_away(&self, tenant: &TenantId, connection: &ConnectionId, status: u16, at: Instant) {
        let mut waiting = self.waiting();
        let (wrong, limited) = (i64::from(status == 401), i64::from(status == 429));
        waiting.observe(tenant, connection, at, Traffic { wrong, limited, ..Traffic::default() });
        waiting.crowd((tenant.clone(), connection.clone(), status, at.0.div_euclid(SECOND)));
    }

    /// Counts the quirks of a request; the example is made only where one is wanted.
    pub fn count(
        &self,
        (tenant, connection): (&TenantId, &ConnectionId),
        quirks: &[Quirk],
        handled: bool,
        at: Instant,
        example: impl FnOnce() -> String,
    ) {
        if quirks.is_empty() {
            return;
        }
        let mut waiting = self.waiting();
        let mut example = Some(example);
        let mut made = String::new();
        for quirk in quirks {
            let key = (tenant.clone(), connection.clone(), *quirk);
            let handled = i64::from(handled);
            if let Some(count) = waiting.counts.get_mut(&key) {
                count.seen += 1;
                count.handled += handled;
                count.last_seen = at;
            } else if waiting.counts.len() < WAITING_COUNTS_LIMIT {
                if let Some(make) = example.take() {
                    made = make();
                }
                waiting.counts.insert(key, Count { seen: 1, handled, last_seen: at, example: made.clone() });
            }
        }
    }

    /// Writes what waits, in batches, until all that waited at the beginning is written.
    ///
    /// # Errors
    /// The store's: what was not written waits on.
    pub async fn flush(&self, store: &dyn Store) -> Result<()> {
        let _turn = self.writing.lock().await;
        let mut left = self.waiting().entries.len();
        // The first batch brings all counts along.
        loop {
            let taken = self.write_batch(store).await?;
            if taken > 0 {
                self.grown.notify_waiters();
            }
            left = left.saturating_sub(taken);
            if taken == 0 || left == 0 {
                return Ok(());
            }
        }
    }

    /// Writes one batch; returns how many entries it had.
    async fn write_batch(&self, store: &dyn Store) -> Result<usize> {
        let (parts, taken) = self.take_batch();
        let mut failed = None;
        for (tenant, part) in parts {
            // Once the database is away, the rest waits for the next time.
            let written = match failed {
                None => store.record(&tenant, &part, LOG_ENTRIES_LIMIT).await,
                Some(_) => Ok(()),
            };
            match (written, &failed) {
                (Ok(()), None) => {}
                (Ok(()), Some(_)) => self.put_back(&tenant, part),
                (Err(error), _) => {
                    self.put_back(&tenant, part);
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(taken), Err)
    }

    fn take_batch(&self) -> (BTreeMap<TenantId, Gathered>, usize) {
        let mut parts = BTreeMap::<TenantId, Gathered>::new();
        let mut waiting = self.waiting();
        if waiting.lost > 0 {
            tracing::warn!(entries = waiting.lost, "the provisioning log has a gap: more was to be written than the database took");
            waiting.lost = 0;
        }
        for ((tenant, connection, quirk), count) in std::mem::take(&mut waiting.counts) {
            let Count { seen, handled, last_seen, example } = count;
            let dialect = Dialect { quirk: quirk.word().to_owned(), seen, handled, last_seen, example };
            parts.entry(tenant).or_default().dialects.push((connection, dialect));
        }
        for ((tenant, connection, status, second), count) in std::mem::take(&mut waiting.turned_away) {
            if self.is_kept() {
                parts.entry(tenant).or_default().entries.push((connection, of_door(status, second, count)));
            }
        }
        for ((tenant, connection, slot), traffic) in std::mem::take(&mut waiting.traffic) {
            parts.entry(tenant).or_default().counted.push(Counted { connection, slot, traffic });
        }
        for ((tenant, connection, _), refused) in std::mem::take(&mut waiting.refusals) {
            parts.entry(tenant).or_default().refusals.push((connection, refused));
        }
        let taken = waiting.entries.len().min(BATCH_LIMIT);
        for (tenant, connection, entry) in waiting.entries.drain(..taken) {
            parts.entry(tenant).or_default().entries.push((connection, entry));
        }
        (parts, taken)
    }

    fn put_back(&self, tenant: &TenantId, part: Gathered) {
        let mut waiting = self.waiting();
        for (connection, entry) in part.entries.into_iter().rev() {
            if waiting.entries.len() < WAITING_ENTRIES_LIMIT {
                waiting.entries.push_front((tenant.clone(), connection, entry));
            } else {
                waiting.lost += 1;
            }
        }
        for (connection, refused) in part.refusals {
            let key = (tenant.clone(), connection, refused.trace.key());
            match waiting.refusals.get_mut(&key) {
                Some(since) => since.seen += refused.seen,
                None => drop(waiting.refusals.insert(key, refused)),
            }
        }
        for Counted { connection, slot, traffic } in part.counted {
            waiting.observe(tenant, &connection, slot, traffic);
        }
        for (connection, dialect) in part.dialects {
            let Some(quirk) = Quirk::from_word(&dialect.quirk) else { continue };
            let Dialect { seen, handled, last_seen, example, .. } = dialect;
            let before = waiting.counts.entry((tenant.clone(), connection, quirk));
            let count = before.or_insert(Count { seen: 0, handled: 0, last_seen, example });
            count.seen += seen;
            count.handled += handled;
            count.last_seen = count.last_seen.max(last_seen);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry of requests that were turned away: no one of them has a name in it.
fn of_door(status: u16, second: i64, refused: i64) -> LogEntry {
    let why = match status {
        429 => "more requests than the connection may make",
        401 => "a wrong credential",
        _ => "more reads that were refused",
    };
    LogEntry {
        at: Instant(second.saturating_mul(SECOND)),
        request_id: String::new(),
        method: TURNED_AWAY.into(),
        kind: None,
        resource: None,
        status,
        scim_type: None,
        reason: Some(format!("{why}: so many within a second")),
        applied: 0,
        no_op: 0,
        refused,
        code: OutcomeCode::of(status, None, false),
        detail: LogDetail::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_requests_that_are_turned_away_is_one_entry() {
        let journal = Journal::default();
        let (tenant, connection) = (TenantId::from("acme"), ConnectionId::from("c"));
        for millisecond in 0..2_500 {
            journal.turn_away(&tenant, &connection, 401, Instant(millisecond * 1_000));
        }
        journal.turn_away(&tenant, &connection, 429, Instant(0));
        let (mut parts, _) = journal.take_batch();
        let part = parts.remove(&tenant).unwrap();
        let found: Vec<_> = part.entries.iter().map(|(_, entry)| (entry.status, entry.at.0, entry.refused)).collect();
        assert_eq!(found, [(401, 0, 1_000), (401, 1_000_000, 1_000), (401, 2_000_000, 500), (429, 0, 1)]);
        let counted: Vec<_> = part.counted.iter().map(|of| (of.slot.0, of.traffic.wrong, of.traffic.limited)).collect();
        assert_eq!(counted, [(0, 2_500, 1)]);
        assert!(journal.take_batch().0.is_empty());
    }

    fn entry(n: i64) -> LogEntry {
        LogEntry {
            at: Instant(n),
            request_id: n.to_string(),
            method: "POST".into(),
            kind: None,
            resource: None,
            status: 201,
            scim_type: None,
            reason: None,
            applied: 1,
            no_op: 0,
            refused: 0,
            code: OutcomeCode::Applied,
            detail: LogDetail::default(),
        }
    }

    #[test]
    fn reads_that_are_refused_do_not_push_out_what_was_written() {
        let journal = Journal::default();
        let (tenant, connection) = (TenantId::from("acme"), ConnectionId::from("c"));
        let read = |n: i64| LogEntry { at: Instant(n), method: "GET".into(), status: 404, ..entry(n) };
        (0..200).for_each(|n| journal.log_read(&tenant, &connection, read(n)));
        journal.log_read(&tenant, &connection, read(MINUTE));
        let part = journal.take_batch().0.remove(&tenant).unwrap();
        assert_eq!(part.entries.len(), 1 + usize::try_from(REFUSED_READS_A_MINUTE).unwrap() + 1);
        let crowd = part.entries.iter().find(|(_, entry)| entry.method == TURNED_AWAY).unwrap();
        assert_eq!((crowd.1.status, crowd.1.refused, crowd.1.code), (404, 140, OutcomeCode::NotFound));
    }

    #[test]
    fn without_a_log_what_is_counted_is_counted_all_the_same() {
        let journal = Journal::keeping(0);
        let (tenant, connection) = (TenantId::from("acme"), ConnectionId::from("c"));
        journal.log(&tenant, &connection, entry(1));
        journal.turn_away(&tenant, &connection, 401, Instant(0));
        let part = journal.take_batch().0.remove(&tenant).unwrap();
        assert_eq!((part.entries.len(), part.counted[0].traffic.applied, part.counted[0].traffic.wrong), (0, 1, 1));
    }

    #[test]
    fn refusals_that_are_alike_are_one_whose_last_is_told() {
        use crate::model::{Checked, CredentialCheck, CredentialForm};
        let journal = Journal::default();
        let (tenant, connection) = (TenantId::from("acme"), ConnectionId::from("c"));
        for n in 0..3_i64 {
            let checks = vec![Checked::said(CredentialCheck::Issuer, false, "a", n.to_string())];
            journal.refuse(&tenant, &connection, CredentialTrace { form: CredentialForm::Jwt, checks }, Instant(n));
        }
        let part = journal.take_batch().0.remove(&tenant).unwrap();
        let [(_, refused)] = part.refusals.as_slice() else { panic!("{:?}", part.refusals) };
        assert_eq!((refused.seen, refused.first_seen.0, refused.last_seen.0), (3, 0, 2));
        assert_eq!(refused.trace.checks[0].received.as_deref(), Some("2"));
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_stay() {
        let journal = Journal::default();
        let (tenant, connection) = (TenantId::from("acme"), ConnectionId::from("c"));
        let most = i64::try_from(WAITING_ENTRIES_LIMIT).unwrap();
        (0..most + 5).for_each(|n| journal.log(&tenant, &connection, entry(n)));
        assert_eq!(journal.waiting().entries.len(), WAITING_ENTRIES_LIMIT);
        assert_eq!(journal.waiting().lost, 5);
        let (mut parts, taken) = journal.take_batch();
        assert_eq!(taken, BATCH_LIMIT);
        let part = parts.remove(&tenant).unwrap();
        assert_eq!(part.entries[0].1, entry(5));
        journal.put_back(&tenant, part);
        assert_eq!(journal.waiting().entries.front().unwrap().2, entry(5));
    }

    #[test]
    fn quirks_are_counted_once_a_request_and_have_one_example() {
        let journal = Journal::default();
        let who = (&TenantId::from("acme"), &ConnectionId::from("c"));
        let trail = Trail::default();
        trail.see(&[Quirk::CapitalisedOp, Quirk::BooleanText, Quirk::CapitalisedOp]);
        journal.count(who, &trail.take(), true, Instant(1), || "first".into());
        assert!(trail.take().is_empty());
        journal.count(who, &[Quirk::BooleanText], false, Instant(2), || "second".into());
        let (mut parts, _) = journal.take_batch();
        let part = parts.remove(who.0).unwrap();
        let found: Vec<_> = part.dialects.iter().map(|(_, d)| (d.quirk.as_str(), d.seen, d.handled, d.last_seen.0, &*d.example)).collect();
        assert_eq!(found, [("capitalised_op", 1, 1, 1, "first"), ("boolean_text", 2, 1, 2, "first")]);
        journal.put_back(who.0, part);
        journal.count(who, &[Quirk::BooleanText], true, Instant(3), || unreachable!("there is an example"));
        assert_eq!(journal.waiting().counts.values().map(|count| count.seen).sum::<i64>(), 4);
    }
}
