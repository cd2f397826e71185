//! What connections did, on its way to the database: counts of client quirks and of what came, and the provisioning log. Gathered in bounded
//! memory and written in batches by a job, so that a write costs nothing for it.
//!
//! It is a view for people. What must not be lost of a change is its event, which is written with the change itself and has the
//! request's id and what each operation did; a crash loses the last second of this.

pub mod example;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rolecall_scim::Quirk;

use crate::health::slot_of;
use crate::model::{ConnectionId, Instant, TenantId, Traffic};
use crate::store::{Counted, Dialect, LogEntry, Result, Store};

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
/// How long an entry is kept, in days.
pub const LOG_DAYS_LIMIT: i64 = 30;

/// What one request showed so far, shared by all that see a part of it.
#[derive(Debug, Default)]
pub struct Trail {
    quirks: Mutex<Vec<Quirk>>,
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
        std::mem::take(&mut *self.quirks.lock().unwrap_or_else(PoisonError::into_inner))
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

/// Requests that were turned away at the door: of one connection, with one status, in one second.
type Door = (TenantId, ConnectionId, u16, i64);

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<(TenantId, ConnectionId, LogEntry)>,
    turned_away: BTreeMap<Door, i64>,
    counts: BTreeMap<(TenantId, ConnectionId, Quirk), Count>,
    traffic: BTreeMap<(TenantId, ConnectionId, Instant), Traffic>,
    lost: u64,
}

/// One tenant's part of a batch.
#[derive(Default)]
struct Part {
    dialects: Vec<(ConnectionId, Dialect)>,
    entries: Vec<(ConnectionId, LogEntry)>,
    counted: Vec<Counted>,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub struct Journal {
    waiting: Mutex<Waiting>,
    writing: tokio::sync::Mutex<()>,
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
    /// Counts what came of a connection, for its health.
    pub fn observe(&self, tenant: &TenantId, connection: &ConnectionId, at: Instant, traffic: Traffic) {
        self.waiting().observe(tenant, connection, at, traffic);
    }

    /// Puts an entry into the log, and counts its operations.
    pub fn log(&self, tenant: &TenantId, connection: &ConnectionId, entry: LogEntry) {
        let LogEntry { applied, no_op, refused, .. } = entry;
        // What is our fault is no refusal.
        let (refused, failed) = if entry.status >= 500 { (0, refused) } else { (refused, 0) };
        let mut waiting = self.waiting();
        waiting.observe(tenant, connection, entry.at, Traffic { applied, no_op, refused, failed, ..Traffic::default() });
        if waiting.entries.len() >= WAITING_ENTRIES_LIMIT {
            waiting.entries.pop_front();
            waiting.lost += 1;
        }
        waiting.entries.push_back((tenant.clone(), connection.clone(), entry));
    }

    /// Notes a request that was turned away before anything of it was read: with 401 over its credential, with 429 over its number. A
    /// second of them is one entry, however many there are.
    pub fn turn_away(&self, tenant: &TenantId, connection: &ConnectionId, status: u16, at: Instant) {
        let mut waiting = self.waiting();
        let (wrong, limited) = (i64::from(status == 401), i64::from(status == 429));
        waiting.observe(tenant, connection, at, Traffic { wrong, limited, ..Traffic::default() });
        let door = (tenant.clone(), connection.clone(), status, at.0.div_euclid(SECOND));
        if let Some(count) = waiting.turned_away.get_mut(&door) {
            *count += 1;
        } else if waiting.turned_away.len() < WAITING_COUNTS_LIMIT {
            waiting.turned_away.insert(door, 1);
        } else {
            waiting.lost += 1;
        }
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
                None => store.record(&tenant, &part.dialects, &part.entries, &part.counted, LOG_ENTRIES_LIMIT).await,
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

    fn take_batch(&self) -> (BTreeMap<TenantId, Part>, usize) {
        let mut parts = BTreeMap::<TenantId, Part>::new();
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
            parts.entry(tenant).or_default().entries.push((connection, of_door(status, second, count)));
        }
        for ((tenant, connection, slot), traffic) in std::mem::take(&mut waiting.traffic) {
            parts.entry(tenant).or_default().counted.push(Counted { connection, slot, traffic });
        }
        let taken = waiting.entries.len().min(BATCH_LIMIT);
        for (tenant, connection, entry) in waiting.entries.drain(..taken) {
            parts.entry(tenant).or_default().entries.push((connection, entry));
        }
        (parts, taken)
    }

    fn put_back(&self, tenant: &TenantId, part: Part) {
        let mut waiting = self.waiting();
        for (connection, entry) in part.entries.into_iter().rev() {
            if waiting.entries.len() < WAITING_ENTRIES_LIMIT {
                waiting.entries.push_front((tenant.clone(), connection, entry));
            } else {
                waiting.lost += 1;
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
    let why = if status == 429 { "more requests than the connection may make" } else { "a wrong credential" };
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
        }
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
