//! How a connection is: **pure**. What was observed of it goes in, slot by slot, with how its people stand; the state with its evidence comes out.
//!
//! What is remembered of a connection ([`Memory`]) has a fixed size, however busy it is, so that ten thousand of them are judged in a moment.
//! Nothing here is read by a decision: an outage must never revoke.

mod rhythm;
mod rules;
mod spans;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Health, HealthEvidence, HealthNews, HealthRule, HealthSettings, HealthState, Instant, Standing, Traffic};
use rhythm::Rhythm;
use spans::Ring;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The length of a slot in microseconds: what is counted within five minutes is one observation.
pub const SLOT: i64 = 5 * MINUTE;
/// The slots that are told apart: an hour.
const SLOTS: usize = 12;
/// The hours that are told apart: a day.
const HOURS: usize = 24;
/// The days whose requests are remembered: four weeks, the day before them, and today.
const DAYS: usize = 30;

/// What was counted within a slot, with when it began.
pub type Slot = (Instant, Traffic);

/// A slot is over so long after its end, in microseconds: until then, hosts write what they have counted.
pub const GRACE: i64 = 30 * SECOND;

/// Whether nothing more is expected of a slot.
#[must_use]
pub fn is_over(slot: Instant, as_of: Instant) -> bool {
    slot.0.saturating_add(SLOT).saturating_add(GRACE) <= as_of.0
}

/// The slot that an instant is in: when it began.
#[must_use]
pub fn slot_of(at: Instant) -> Instant {
    Instant(at.0.saturating_sub(at.0.rem_euclid(SLOT)))
}

/// What is remembered of a connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The first slot that taught something.
    began: Option<i64>,
    /// The last slot in which the client came.
    seen: Option<i64>,
    /// Whether it has ever written.
    wrote: bool,
    /// How many lists it has asked for.
    lists: i64,
    rhythm: Rhythm,
    #[serde(with = "spans")]
    slots: Ring,
    #[serde(with = "spans")]
    hours: Ring,
    #[serde(with = "spans")]
    days: Ring,
    found: BTreeMap<HealthRule, Found>,
    state: Option<(HealthState, i64)>,
    /// Whether its state was told a second time.
    escalated: bool,
    /// Until when harm is not asked about: somebody has looked.
    excused: Option<i64>,
}

/// What a rule found, and since when it has not found it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    state: HealthState,
    detail: String,
    since: i64,
    clear: Option<i64>,
}

impl Memory {
    /// Takes in what was counted within a slot, or more of it: hosts count apart. What is older than what is told apart is left out.
    ///
    /// A connection that is not let in yet teaches nothing: its first sync is not its rhythm.
    pub fn observe(&mut self, slot: Instant, traffic: Traffic, settings: &HealthSettings, teaches: bool) {
        let at = slot_of(slot).0;
        add(&mut self.slots, SLOTS, SLOT, at, traffic);
        add(&mut self.hours, HOURS, HOUR, at, traffic);
        self.wrote |= traffic.writes > 0;
        self.lists = self.lists.saturating_add(traffic.lists);
        if !traffic.is_alive() {
            return;
        }
        if teaches {
            add(&mut self.days, DAYS, DAY, at, traffic);
            let began = *self.began.get_or_insert(at);
            if let Some(before) = self.seen.filter(|before| at > before.saturating_add(SLOT) && *before >= began) {
                let stalled = self.patience(before, settings).is_some_and(|patience| at.saturating_sub(before) > patience);
                self.rhythm.learn(before, at, stalled);
            }
        }
        self.seen = Some(self.seen.map_or(at, |seen| seen.max(at)));
    }

    /// Takes in the slots that are over, and judges the connection with those that go on: they are told again, with more in them.
    pub fn look(
        &mut self,
        (over, open): (&[Slot], &[Slot]),
        standing: &Standing,
        settings: &HealthSettings,
        as_of: Instant,
    ) -> (Health, Option<HealthNews>) {
        for (slot, traffic) in over {
            self.observe(*slot, *traffic, settings, !standing.staging);
        }
        let mut seen = self.clone();
        for (slot, traffic) in open {
            seen.observe(*slot, *traffic, settings, !standing.staging);
        }
        let before = self.state;
        let health = seen.judge(standing, settings, as_of);
        self.state = seen.state;
        self.found = seen.found;
        let news = self.news(before.map(|(state, _)| state), &health, settings, as_of);
        (health, news)
    }

    /// What is to be told: each change once, and once more what lasts.
    fn news(&mut self, before: Option<HealthState>, health: &Health, settings: &HealthSettings, as_of: Instant) -> Option<HealthNews> {
        let (before, now) = (before.unwrap_or(HealthState::NeverSeen), health.state);
        if before != now {
            self.escalated = false;
            return match now {
                _ if now.is_bad() => Some(HealthNews::Alarm),
                HealthState::Healthy if before == HealthState::NeverSeen => Some(HealthNews::FirstSeen),
                HealthState::Healthy if before.is_bad() => Some(HealthNews::AllClear),
                _ => None,
            };
        }
        let patience = MINUTE.saturating_mul(settings.escalate_minutes.into());
        let lasts = patience > 0 && as_of.0.saturating_sub(health.since.0) >= patience;
        (now.is_bad() && lasts && !std::mem::replace(&mut self.escalated, true)).then_some(HealthNews::Escalated)
    }

    /// Judges the connection. What is found stays found until it has not been found for some time, so that a state does not flicker.
    pub fn judge(&mut self, standing: &Standing, settings: &HealthSettings, as_of: Instant) -> Health {
        let scene = rules::Scene::new(self, standing, settings, as_of.0);
        let findings: Vec<(HealthRule, Option<rules::Finding>)> =
            rules::RULES.iter().map(|(rule, ask)| (*rule, (!settings.without.contains(rule)).then(|| ask(&scene)).flatten())).collect();
        for (rule, finding) in findings {
            self.note(rule, finding, settings, as_of.0);
        }
        let usual = if self.seen.is_some() { HealthState::Healthy } else { HealthState::NeverSeen };
        let worst = self.found.values().map(|found| found.state).chain([usual]).min().unwrap_or(usual);
        let state = if standing.paused { HealthState::Paused } else { worst };
        let since = match self.state {
            Some((before, since)) if before == state => since,
            _ => as_of.0,
        };
        self.state = Some((state, since));
        let mut evidence: Vec<HealthEvidence> = self.found.iter().map(|(rule, found)| found.evidence(*rule)).collect();
        evidence.sort_by_key(|evidence| (evidence.state, evidence.since));
        let pace = self.pace(self.seen.unwrap_or_default());
        Health {
            state,
            since: Instant(since),
            evidence,
            last_seen: self.seen.map(Instant),
            rhythm: pace.map(|pace| pace.words()),
            silent_until: self.seen.and_then(|seen| Some(Instant(seen.saturating_add(self.patience(seen, settings)?)))),
        }
    }

    /// Somebody has looked: harm is not asked about for so many hours, and what was found of it is over.
    pub fn excuse(&mut self, hours: u32, as_of: Instant) {
        self.excused = Some(as_of.0.saturating_add(HOUR.saturating_mul(i64::from(hours))));
        self.found.remove(&HealthRule::Harm);
    }

    fn note(&mut self, rule: HealthRule, finding: Option<rules::Finding>, settings: &HealthSettings, now: i64) {
        match (finding, self.found.get_mut(&rule)) {
            (Some((state, detail)), Some(found)) => {
                found.state = state;
                found.detail = detail;
                found.clear = None;
            }
            (Some((state, detail)), None) => {
                self.found.insert(rule, Found { state, detail, since: now, clear: None });
            }
            (None, Some(found)) => {
                let clear = *found.clear.get_or_insert(now);
                let patience = if rules::flickers(rule) { MINUTE.saturating_mul(settings.recovery_minutes.into()) } else { 0 };
                if now.saturating_sub(clear) >= patience || settings.without.contains(&rule) {
                    self.found.remove(&rule);
                }
            }
            (None, None) => {}
        }
    }

    fn pace(&self, now: i64) -> Option<rhythm::Pace> {
        self.rhythm.pace(now.saturating_sub(self.began?))
    }

    /// From how long a silence after `seen` is a stall; `None` while that is not known.
    fn patience(&self, seen: i64, settings: &HealthSettings) -> Option<i64> {
        match settings.silence_minutes {
            Some(minutes) => Some(MINUTE.saturating_mul(minutes.into())),
            None => self.pace(seen).map(|pace| pace.patience()),
        }
    }
}

impl Found {
    fn evidence(&self, rule: HealthRule) -> HealthEvidence {
        HealthEvidence { rule, state: self.state, detail: self.detail.clone(), since: Instant(self.since) }
    }
}

/// Adds to a ring of equal spans, the newest last. Spans without traffic have no place in it.
fn add(ring: &mut Ring, most: usize, span: i64, at: i64, traffic: Traffic) {
    let of = at.saturating_sub(at.rem_euclid(span));
    let newest = ring.back().map_or(of, |(newest, _)| of.max(*newest));
    let oldest = newest.saturating_sub(span.saturating_mul(i64::try_from(most).unwrap_or(i64::MAX).saturating_sub(1)));
    if of < oldest {
        return;
    }
    ring.retain(|(start, _)| *start >= oldest);
    let place = ring.partition_point(|(start, _)| *start < of);
    match ring.get_mut(place) {
        Some((start, counted)) if *start == of => *counted = counted.and(traffic),
        _ => ring.insert(place, (of, traffic)),
    }
}

/// A length in words, in the largest unit of which there are two.
fn spell(micros: i64) -> String {
    let [days, hours, minutes] = [DAY, HOUR, MINUTE].map(|unit| (micros.saturating_add(unit / 2)).div_euclid(unit));
    match () {
        () if days > 2 => format!("{days} days"),
        () if hours > 2 => format!("{hours} hours"),
        () if minutes == 1 => "a minute".to_owned(),
        () => format!("{minutes} minutes"),
    }
}
