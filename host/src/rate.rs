//! How often something may happen: a rate with bursts, counted for each key in bounded memory. Knows no requests and no
//! connections, and takes the time as a value.
//!
//! The algorithm is GCRA: all that is kept of a key is the instant at which its burst will be whole again.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::Instant;

/// The most keys that are told apart at once. Those whose burst is whole again need no place; whoever finds none is let pass.
const KEYS_LIMIT: usize = 100_000;
/// Cells of a [`Guesses`]: strangers can't fill them up, they can only share one.
const CELLS: usize = 4_096;

const MICROSECONDS: i64 = 1_000_000;

/// A sustained rate and how much may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Per second, for ever; 0 is without bounds.
    pub per_second: u32,
    /// At once, after a rest: at least 1.
    pub burst: u32,
}

/// There were too many: the next one may come in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// At least 1.
    pub retry_after_seconds: u16,
}

impl Rate {
    /// The instant at which the burst is whole again if one more comes now, from what it was before.
    fn next(self, whole_at: i64, now: i64) -> Result<i64, TooMany> {
        let Some(interval) = MICROSECONDS.checked_div(i64::from(self.per_second)) else { return Ok(whole_at) };
        let room = interval.saturating_mul(i64::from(self.burst.max(1)));
        // A clock that was put back must not make anybody wait longer than for one whole burst.
        let next = whole_at.clamp(now, now.saturating_add(room)).saturating_add(interval);
        let early = next.saturating_sub(now).saturating_sub(room);
        if early <= 0 {
            return Ok(next);
        }
        let seconds = early.saturating_add(MICROSECONDS - 1) / MICROSECONDS;
        Err(TooMany { retry_after_seconds: u16::try_from(seconds).unwrap_or(u16::MAX) })
    }
}

/// Counts for keys that are known to exist.
#[derive(Debug)]
pub struct Limiter<K> {
    rate: Rate,
    whole_at: Mutex<HashMap<K, i64>>,
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// Everything is whole.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, whole_at: Mutex::default() }
    }

    /// Counts one more of the key.
    ///
    /// # Errors
    /// When it is one too many: it is not counted.
    pub fn take(&self, key: &K, now: Instant) -> Result<(), TooMany> {
        if self.rate.per_second == 0 {
            return Ok(());
        }
        let mut known = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(whole_at) = known.get_mut(key) {
            *whole_at = self.rate.next(*whole_at, now.0)?;
            return Ok(());
        }
        if known.len() >= KEYS_LIMIT {
            known.retain(|_, whole_at| *whole_at > now.0);
        }
        if known.len() < KEYS_LIMIT {
            let first = self.rate.next(now.0, now.0)?;
            known.insert(key.clone(), first);
        }
        Ok(())
    }
}

/// Counts what strangers do, by a name that they choose: in constant memory. Which names share a cell can't be foreseen.
#[derive(Debug)]
pub struct Guesses {
    rate: Rate,
    cells: Vec<AtomicI64>,
    hasher: RandomState,
}

impl Guesses {
    /// Everything is whole.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, cells: (0..CELLS).map(|_| AtomicI64::new(0)).collect(), hasher: RandomState::new() }
    }

    /// Counts one more guess at the name.
    ///
    /// # Errors
    /// When it is one too many: it is not counted.
    pub fn take(&self, name: &str, now: Instant) -> Result<(), TooMany> {
        let cell = usize::try_from(self.hasher.hash_one(name) % CELLS as u64).unwrap_or(0);
        let cell = &self.cells[cell];
        let mut whole_at = cell.load(Ordering::Relaxed);
        loop {
            let next = self.rate.next(whole_at, now.0)?;
            match cell.compare_exchange_weak(whole_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => whole_at = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant(1_700_000_000_000_000);

    #[test]
    fn a_burst_then_the_rate_and_after_a_rest_a_burst_again() {
        let limiter = Limiter::new(Rate { per_second: 10, burst: 5 });
        let pass = |now: Instant| (0..100).take_while(|_| limiter.take(&"c", now).is_ok()).count();
        assert_eq!(pass(START), 5);
        assert_eq!(limiter.take(&"c", START), Err(TooMany { retry_after_seconds: 1 }));
        assert_eq!(limiter.take(&"d", START), Ok(()), "another's burst is its own");
        assert_eq!(pass(Instant(START.0 + 100_000)), 1);
        assert_eq!(pass(START.plus_seconds(60)), 5);
    }

    #[test]
    fn who_keeps_to_the_rate_never_waits() {
        let limiter = Limiter::new(Rate { per_second: 25, burst: 1 });
        assert!((0..10_000).all(|n| limiter.take(&"c", Instant(START.0 + n * 40_000)).is_ok()));
    }

    #[test]
    fn a_clock_that_is_put_back_locks_nobody_out_for_long() {
        let limiter = Limiter::new(Rate { per_second: 1, burst: 2 });
        assert!(limiter.take(&"c", START.plus_seconds(86_400)).is_ok());
        assert_eq!(limiter.take(&"c", START), Err(TooMany { retry_after_seconds: 1 }));
        assert!(limiter.take(&"c", START.plus_seconds(1)).is_err(), "each refusal sees the same instant");
        let slow = Rate { per_second: 1, burst: 1 };
        assert_eq!(slow.next(START.0 + 90 * MICROSECONDS, START.0), Err(TooMany { retry_after_seconds: 1 }));
    }

    #[test]
    fn without_a_rate_there_is_no_bound() {
        let limiter = Limiter::new(Rate { per_second: 0, burst: 0 });
        assert!((0..1_000).all(|_| limiter.take(&"c", START).is_ok()));
        assert!(limiter.whole_at.lock().unwrap().is_empty());
    }

    #[test]
    fn keys_beyond_the_bound_are_let_pass_and_rested_ones_make_room() {
        let limiter = Limiter::new(Rate { per_second: 1, burst: 1 });
        for key in 0..=KEYS_LIMIT {
            assert!(limiter.take(&key, START).is_ok());
        }
        assert_eq!(limiter.whole_at.lock().unwrap().len(), KEYS_LIMIT);
        assert!(limiter.take(&KEYS_LIMIT, START).is_ok(), "it has no place, so it is let pass");
        assert!(limiter.take(&KEYS_LIMIT, START.plus_seconds(2)).is_ok());
        assert_eq!(limiter.whole_at.lock().unwrap().len(), 1);
    }

    #[test]
    fn guesses_take_no_memory_and_come_to_an_end() {
        let guesses = Guesses::new(Rate { per_second: 1, burst: 3 });
        let tried = (0..100).filter(|_| guesses.take("c", START).is_ok()).count();
        assert_eq!(tried, 3);
        for n in 0..10_000 {
            let _ = guesses.take(&n.to_string(), START);
        }
        assert_eq!(guesses.cells.len(), CELLS);
        assert!(guesses.take("c", START.plus_seconds(10)).is_ok());
    }
}
