//! The rhythm of a connection: how long it is silent between two visits, learned from its own traffic and forgotten after some weeks.

use serde::{Deserialize, Serialize};

use super::{DAY, MINUTE, SLOT};

/// Lengths are told apart by half octaves of a slot: from five minutes to eight months.
const LENGTHS: usize = 32;
/// Of how many weeks silences are remembered, the present one included.
const WEEKS: usize = 5;
/// So many silences make a rhythm, if they are alike.
const REGULAR_SILENCES: u32 = 12;
/// And for so long it must have been watched.
const REGULAR_AFTER: i64 = DAY;
/// A connection that comes when something happens is known after so long: its weekends have been seen.
const EVENTFUL_AFTER: i64 = 8 * DAY;
/// And after so many silences.
const EVENTFUL_SILENCES: u32 = 8;
/// How often the usual length a regular client may be late: Entra ID retries a failed cycle within the next two.
const REGULAR_TIMES: i64 = 3;
/// The shortest silence that can be a stall: below it, restarts and slow cycles of a client would be told as one.
const SHORTEST: i64 = 30 * MINUTE;
/// The same for a client that comes when something happens: nights.
const SHORTEST_EVENTFUL: i64 = DAY;

/// How long the client is silent, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Every so often, in microseconds.
    Every(i64),
    /// When something happens; so long at the longest.
    AtTimes(i64),
}

/// Silences by their length, a row for each week.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Rhythm {
    /// The newest week is the last.
    weeks: Vec<(i64, Vec<u32>)>,
    /// The length of the last silence that counted as a stall: an outage teaches nothing, but whoever does the same again has changed.
    set_aside: Option<usize>,
}

impl Rhythm {
    /// Learns a silence that has ended.
    pub(super) fn learn(&mut self, from: i64, until: i64, stalled: bool) {
        let length = length_of(until.saturating_sub(from));
        if stalled && self.set_aside.is_none_or(|before| before.abs_diff(length) > 1) {
            self.set_aside = Some(length);
            return;
        }
        self.set_aside = self.set_aside.filter(|_| !stalled);
        let week = until.div_euclid(7 * DAY);
        if self.weeks.last().is_none_or(|(last, _)| *last < week) {
            self.weeks.push((week, vec![0; LENGTHS]));
        }
        self.weeks.retain(|(of, _)| of.saturating_add(WEEKS as i64) > week);
        if let Some(count) = self.weeks.last_mut().and_then(|(_, lengths)| lengths.get_mut(length)) {
            *count = count.saturating_add(1);
        }
    }

    /// What is known of it after having been watched for so long, in microseconds.
    pub(super) fn pace(&self, watched: i64) -> Option<Pace> {
        let silences: u32 = self.weeks.iter().flat_map(|(_, lengths)| lengths).fold(0, |sum, count| sum.saturating_add(*count));
        let usual = self.at(silences.div_ceil(2))?;
        let most = self.at(silences.saturating_sub(silences / 50))?;
        // All but a few within one octave: what comes every forty minutes leaves one out now and then, and has no nights.
        if silences >= REGULAR_SILENCES && watched >= REGULAR_AFTER && most <= usual + 2 {
            return Some(Pace::Every(end_of(usual)));
        }
        let longest = self.at(silences)?;
        (silences >= EVENTFUL_SILENCES && watched >= EVENTFUL_AFTER).then(|| Pace::AtTimes(end_of(longest)))
    }

    /// The length of the silence at a rank, from the shortest; ranks begin with 1.
    fn at(&self, rank: u32) -> Option<usize> {
        let mut seen = 0_u32;
        (0..LENGTHS).find(|length| {
            let of_length = self.weeks.iter().filter_map(|(_, lengths)| lengths.get(*length)).sum::<u32>();
            seen = seen.saturating_add(of_length);
            rank > 0 && seen >= rank
        })
    }
}

impl Pace {
    /// From how long a silence on it is a stall, in microseconds.
    pub(super) fn patience(&self) -> i64 {
        match self {
            Self::Every(length) => length.saturating_mul(REGULAR_TIMES).max(SHORTEST),
            Self::AtTimes(longest) => longest.saturating_add(longest / 2).max(SHORTEST_EVENTFUL),
        }
    }

    /// The same in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Every(length) => format!("comes about every {}", super::spell(*length)),
            Self::AtTimes(longest) => format!("comes when something happens, and was silent for {} at the longest", super::spell(*longest)),
        }
    }
}

/// The half octave of a length in microseconds.
fn length_of(micros: i64) -> usize {
    (0..LENGTHS).find(|length| micros <= end_of(*length)).unwrap_or(LENGTHS - 1)
}

/// The longest that counts as this length, in microseconds: five minutes, seven, ten, fourteen …
fn end_of(length: usize) -> i64 {
    let octave = SLOT.saturating_mul(1_i64 << (length / 2).min(30));
    // The square root of two, in thousandths.
    if length.is_multiple_of(2) { octave } else { octave.saturating_mul(1_414) / 1_000 }
}

#[cfg(test)]
mod tests {
    use super::super::HOUR;
    use super::*;

    #[test]
    fn lengths_grow_by_half_octaves_and_hold_what_they_say() {
        assert_eq!(end_of(0), SLOT);
        assert_eq!(end_of(2), 2 * SLOT);
        assert!((0..LENGTHS - 1).all(|length| end_of(length) < end_of(length + 1)));
        assert_eq!(length_of(0), 0);
        assert!((0..LENGTHS).all(|length| length_of(end_of(length)) == length));
        assert_eq!(length_of(i64::MAX), LENGTHS - 1);
    }

    #[test]
    fn a_client_that_comes_every_forty_minutes_is_known_after_a_day() {
        let mut rhythm = Rhythm::default();
        for n in 0..40 {
            rhythm.learn(n * 40 * MINUTE, (n + 1) * 40 * MINUTE, false);
        }
        assert_eq!(rhythm.pace(DAY - 1), None);
        let pace = rhythm.pace(DAY).unwrap();
        assert!(matches!(pace, Pace::Every(length) if (40 * MINUTE..HOUR).contains(&length)), "{pace:?}");
        assert!(pace.patience() <= 3 * HOUR);
    }

    #[test]
    fn a_client_that_comes_at_times_has_the_patience_of_its_weekends() {
        let mut rhythm = Rhythm::default();
        for n in 0..10 {
            rhythm.learn(n * DAY, n * DAY + n * HOUR, false);
        }
        rhythm.learn(5 * DAY, 5 * DAY + 64 * HOUR, false);
        assert_eq!(rhythm.pace(7 * DAY), None);
        let pace = rhythm.pace(8 * DAY).unwrap();
        assert!((64 * HOUR..6 * DAY).contains(&pace.patience()), "{pace:?}");
    }

    #[test]
    fn an_outage_teaches_nothing_until_it_is_a_habit() {
        let mut rhythm = Rhythm::default();
        for n in 0..40 {
            rhythm.learn(n * HOUR, (n + 1) * HOUR, false);
        }
        let before = rhythm.clone();
        rhythm.learn(40 * HOUR, 60 * HOUR, true);
        assert_eq!(rhythm.weeks, before.weeks);
        rhythm.learn(60 * HOUR, 80 * HOUR, true);
        assert_ne!(rhythm.weeks, before.weeks);
    }

    #[test]
    fn weeks_are_forgotten() {
        let mut rhythm = Rhythm::default();
        (0..20).for_each(|week| rhythm.learn(week * 7 * DAY, week * 7 * DAY + HOUR, false));
        assert_eq!(rhythm.weeks.len(), WEEKS);
        assert!(serde_json::to_string(&rhythm).unwrap().len() < 1_024);
    }
}
