//! What tenants' plugins did that their authors want to see, on its way to the database: calls that failed, and what was logged.
//! Gathered in bounded memory and written in batches by a job, so that no request waits for it.
//!
//! One tenant's flood costs the others nothing: lines are bounded by tenant and second, failures of one like are counted as one, and each
//! tenant has a share of what waits. What was dropped is counted, and said where it is missing. Nothing of it is in the host's own log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::crypto;
use crate::evaluation::{Evaluation, HookCall};
use crate::model::{AccountId, ConnectionId, Instant, LogLine, ResourceId, RevisionHash, TenantId};
use crate::rate::{Limiter, Rate};
use crate::store::records::{Asked, FailureBounds, Line, NewFailure};
use crate::store::{Result, Store};

/// The most failures that wait to be written, of all tenants: a few KiB each, at most some hundred.
const WAITING_FAILURES_LIMIT: usize = 500;
/// The most failures of one tenant that wait: a tenth of the room, so that nobody fills it.
const WAITING_FAILURES_OF_TENANT_LIMIT: usize = 50;
/// The most lines that wait to be written: at most a KiB each.
const WAITING_LINES_LIMIT: usize = 20_000;
/// Lines of a tenant that are taken each second, and at once after a rest: more is not read by anybody, and costs the database.
const LINES_RATE: Rate = Rate { per_second: 200, burst: 2_000 };
/// The most lines that are written in one transaction for one tenant.
const BATCH_LIMIT: usize = 1_000;
/// How many failures are kept: enough to see what kinds there are; repeats are counted.
pub const FAILURES_LIMIT: FailureBounds = FailureBounds { of_plugin: 100, of_tenant: 500 };
/// Lines that are kept of a tenant.
pub const LINES_LIMIT: i64 = 10_000;
/// How long a line is kept, in days: as long as failures are unless a tenant says otherwise.
pub const LINES_DAYS_LIMIT: i64 = 7;

/// The plugin that a line of the host's own is said to be of.
const HOST: &str = "rolecall";

/// Whose evaluation it was.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The person's connection.
    pub connection: &'a ConnectionId,
    /// The SCIM User.
    pub user: &'a ResourceId,
    /// The account.
    pub account: &'a AccountId,
    /// The revision that decided.
    pub revision: &'a RevisionHash,
    /// For how many days the tenant keeps failures.
    pub keep_days: u32,
}

/// What was dropped because there was too much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Lines.
    pub lines: u64,
    /// Failures.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    failures: BTreeMap<(TenantId, String), NewFailure>,
    of_tenant: BTreeMap<TenantId, usize>,
    lines: VecDeque<(TenantId, Line)>,
    /// Lines that a tenant had too many of, with whom the last one was about.
    dropped: BTreeMap<TenantId, (u64, Asked)>,
}

/// One tenant's part of a batch.
#[derive(Default)]
struct Part {
    failures: Vec<NewFailure>,
    lines: Vec<Line>,
}

/// What waits to be written.
#[derive(Debug)]
pub struct Watch {
    waiting: Mutex<Waiting>,
    rate: Limiter<TenantId>,
    writing: tokio::sync::Mutex<()>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { waiting: Mutex::default(), rate: Limiter::new(LINES_RATE), writing: tokio::sync::Mutex::default() }
    }
}

impl Watch {
    /// Takes what an evaluation's calls have to tell; says what was too much.
    pub fn see(&self, whose: Whose<'_>, evaluation: &Evaluation, now: Instant) -> Dropped {
        let mut dropped = Dropped::default();
        for call in &evaluation.calls {
            let Some(told) = &call.told else { continue };
            let asked = asked(whose, call, &told.digest);
            for line in &told.logs {
                dropped.lines += self.line(whose.tenant, &asked, line, now);
            }
            if let Some(failing) = &told.failing {
                let failure = NewFailure {
                    id: crypto::random_id(),
                    at: now,
                    until: now.plus_seconds(i64::from(whose.keep_days) * 86_400),
                    times: 1,
                    asked,
                    account: whose.account.clone(),
                    revision: whose.revision.clone(),
                    failing: failing.clone(),
                };
                dropped.failures += u64::from(!self.waiting().add(whose.tenant.clone(), failure));
            }
        }
        dropped
    }

    /// Takes a line; returns how many were dropped.
    fn line(&self, tenant: &TenantId, asked: &Asked, line: &LogLine, now: Instant) -> u64 {
        let too_many = self.rate.take(tenant, now).is_err();
        let mut waiting = self.waiting();
        if too_many || waiting.lines.len() >= WAITING_LINES_LIMIT {
            waiting.dropped.entry(tenant.clone()).or_insert((0, asked.clone())).0 += 1;
            return 1;
        }
        waiting.lines.push_back((tenant.clone(), Line { at: now, asked: asked.clone(), line: line.clone() }));
        0
    }

    /// Writes what waits, in batches, until all that waited at the beginning is written.
    ///
    /// # Errors
    /// The store's: what was not written waits on.
    pub async fn flush(&self, store: &dyn Store, now: Instant) -> Result<()> {
        let _turn = self.writing.lock().await;
        let mut left = self.waiting().lines.len();
        loop {
            let (parts, taken) = self.take_batch(now);
            self.write(store, parts).await?;
            left = left.saturating_sub(taken);
            if taken == 0 || left == 0 {
                return Ok(());
            }
        }
    }

    async fn write(&self, store: &dyn Store, parts: BTreeMap<TenantId, Part>) -> Result<()> {
        let mut parts = parts.into_iter();
        while let Some((tenant, part)) = parts.next() {
            if let Err(error) = write_part(store, &tenant, &part).await {
                self.waiting().put_back(tenant, part);
                // Once the database is away, the rest waits for the next time.
                parts.for_each(|(tenant, part)| self.waiting().put_back(tenant, part));
                return Err(error);
            }
        }
        Ok(())
    }

    fn take_batch(&self, now: Instant) -> (BTreeMap<TenantId, Part>, usize) {
        let mut parts = BTreeMap::<TenantId, Part>::new();
        let mut waiting = self.waiting();
        waiting.of_tenant.clear();
        for ((tenant, _), failure) in std::mem::take(&mut waiting.failures) {
            parts.entry(tenant).or_default().failures.push(failure);
        }
        // Their places tell their order.
        parts.values_mut().for_each(|part| part.failures.sort_by_key(|failure| failure.at));
        let taken = waiting.lines.len().min(BATCH_LIMIT);
        for (tenant, line) in waiting.lines.drain(..taken) {
            parts.entry(tenant).or_default().lines.push(line);
        }
        for (tenant, (count, asked)) in std::mem::take(&mut waiting.dropped) {
            let message = format!("{count} lines were dropped: at most {} a second are kept", LINES_RATE.per_second);
            let asked = Asked { plugin: HOST.into(), digest: String::new(), ..asked };
            let line = Line { at: now, asked, line: LogLine { level: "warn".into(), message } };
            parts.entry(tenant).or_default().lines.push(line);
        }
        (parts, taken)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn asked(whose: Whose<'_>, call: &HookCall, digest: &str) -> Asked {
    Asked {
        plugin: call.plugin.to_string(),
        digest: digest.to_owned(),
        hook: call.hook.to_owned(),
        connection: whose.connection.clone(),
        user: whose.user.clone(),
    }
}

async fn write_part(store: &dyn Store, tenant: &TenantId, part: &Part) -> Result<()> {
    if !part.failures.is_empty() {
        store.keep_failures(tenant, &part.failures, FAILURES_LIMIT).await?;
    }
    if !part.lines.is_empty() {
        store.keep_lines(tenant, &part.lines, LINES_LIMIT).await?;
    }
    Ok(())
}

impl Waiting {
    /// Adds a failure, or counts it where one of its like waits; whether there was room.
    fn add(&mut self, tenant: TenantId, failure: NewFailure) -> bool {
        let key = (tenant, failure.likeness());
        if let Some(before) = self.failures.get_mut(&key) {
            let (id, times) = (std::mem::take(&mut before.id), before.times + failure.times);
            *before = NewFailure { id, times, ..failure };
            return true;
        }
        let of_tenant = self.of_tenant.entry(key.0.clone()).or_default();
        if self.failures.len() >= WAITING_FAILURES_LIMIT || *of_tenant >= WAITING_FAILURES_OF_TENANT_LIMIT {
            return false;
        }
        *of_tenant += 1;
        self.failures.insert(key, failure);
        true
    }

    fn put_back(&mut self, tenant: TenantId, part: Part) {
        for failure in part.failures {
            let key = (tenant.clone(), failure.likeness());
            match self.failures.get_mut(&key) {
                // What came meanwhile is newer.
                Some(newer) => newer.times += failure.times,
                None => drop(self.add(tenant.clone(), failure)),
            }
        }
        for line in part.lines.into_iter().rev() {
            if self.lines.len() < WAITING_LINES_LIMIT {
                self.lines.push_front((tenant.clone(), line));
            } else {
                self.dropped.entry(tenant.clone()).or_insert((0, line.asked)).0 += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{Outcome, Told};
    use crate::model::{Failing, FailureDetail, FailureKind, Spent};

    const NOW: Instant = Instant(1_800_000_000_000_000);

    fn evaluation(code: &str, lines: usize) -> Evaluation {
        let detail =
            FailureDetail { message: "m".into(), path: None, limit: None, spent: Spent::default(), backtrace: vec![], logs: vec![] };
        let failing = Failing { kind: FailureKind::Fault, code: code.into(), detail, input: Err("none".into()) };
        let logs = vec![LogLine { level: "info".into(), message: "hello".into() }; lines];
        let told = Told { digest: "d".into(), logs, failing: (!code.is_empty()).then_some(failing) };
        let call = HookCall { hook: "transform-user", plugin: "p".into(), result: Err("trap"), fuel: 1, told: Some(Box::new(told)) };
        Evaluation { calls: vec![call], ..Evaluation::outcome(Outcome::OutOfScope("x".into())) }
    }

    fn see(watch: &Watch, tenant: &str, user: &str, evaluation: &Evaluation) -> Dropped {
        let (tenant, connection, user) = (TenantId::from(tenant), ConnectionId::from("c"), ResourceId::from(user));
        let (account, revision) = (AccountId::from("a"), RevisionHash::from("r"));
        let whose = Whose { tenant: &tenant, connection: &connection, user: &user, account: &account, revision: &revision, keep_days: 7 };
        watch.see(whose, evaluation, NOW)
    }

    #[test]
    fn failures_of_one_like_are_counted_as_one() {
        let watch = Watch::default();
        for (user, code) in [("u", "trap"), ("u", "trap"), ("u", "fuel"), ("v", "trap"), ("u", "trap")] {
            assert_eq!(see(&watch, "acme", user, &evaluation(code, 0)), Dropped::default());
        }
        let (mut parts, _) = watch.take_batch(NOW);
        let part = parts.remove(&TenantId::from("acme")).unwrap();
        let mut times: Vec<i64> = part.failures.iter().map(|failure| failure.times).collect();
        times.sort_unstable();
        assert_eq!(times, [1, 1, 3]);
        see(&watch, "acme", "v", &evaluation("trap", 0));
        watch.waiting().put_back("acme".into(), part);
        let waiting = watch.waiting();
        assert_eq!((waiting.failures.len(), waiting.failures.values().map(|failure| failure.times).sum::<i64>()), (3, 6));
    }

    #[test]
    fn one_tenant_fills_its_own_share_alone() {
        let watch = Watch::default();
        let full = WAITING_FAILURES_OF_TENANT_LIMIT;
        let dropped: u64 = (0..full + 5).map(|n| see(&watch, "acme", &n.to_string(), &evaluation("trap", 0)).failures).sum();
        assert_eq!(dropped, 5);
        assert_eq!(see(&watch, "globex", "u", &evaluation("trap", 0)).failures, 0);
    }

    #[test]
    fn a_flood_of_lines_is_bounded_and_what_was_dropped_is_said() {
        let watch = Watch::default();
        let burst = usize::try_from(LINES_RATE.burst).unwrap();
        let mut dropped = 0;
        for _ in 0..burst / 50 + 3 {
            dropped += see(&watch, "acme", "u", &evaluation("", 50)).lines;
        }
        assert_eq!(dropped, 150);
        assert_eq!(see(&watch, "globex", "u", &evaluation("", 50)).lines, 0, "others have a rate of their own");
        let (parts, taken) = watch.take_batch(NOW);
        assert_eq!(taken, BATCH_LIMIT);
        let said = &parts[&TenantId::from("acme")].lines.last().unwrap();
        assert_eq!((&*said.asked.plugin, &*said.line.message), (HOST, "150 lines were dropped: at most 200 a second are kept"));
    }
}
