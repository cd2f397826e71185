//! Small histories with the state that each must give, and weeks of traffic as clients make it, with faults put in.

use proptest::prelude::*;

use super::*;
use crate::model::{ConnectionState, Distance, Restored};

/// A connection that is watched every slot.
struct Watched {
    memory: Memory,
    standing: Standing,
    settings: HealthSettings,
    now: i64,
}

/// A Monday, at midnight.
const MONDAY: i64 = 4 * DAY + 3_000 * 7 * DAY;

impl Watched {
    fn new() -> Self {
        let standing = Standing { credentials: 1, people: 100, ..Standing::default() };
        Self { memory: Memory::default(), standing, settings: HealthSettings::default(), now: MONDAY }
    }

    /// What comes within a slot, and what is made of it at its end.
    fn slot(&mut self, traffic: Traffic) -> Health {
        if traffic != Traffic::default() {
            self.memory.observe(Instant(self.now), traffic, &self.settings, !self.standing.staging);
        }
        self.now += SLOT;
        self.memory.judge(&self.standing, &self.settings, Instant(self.now))
    }

    /// The same visit every so often, for so long.
    fn visits(&mut self, traffic: Traffic, every: i64, during: i64) -> Health {
        let end = self.now + during;
        let mut health = self.slot(traffic);
        while self.now < end {
            let visit = (self.now - MONDAY) % every < SLOT;
            health = self.slot(if visit { traffic } else { Traffic::default() });
        }
        health
    }
}

fn writes(applied: i64, refused: i64) -> Traffic {
    Traffic { requests: applied + refused, writes: applied + refused, applied, refused, ..Traffic::default() }
}

const fn reads(lists: i64) -> Traffic {
    Traffic { requests: lists, lists, writes: 0, applied: 0, no_op: 0, refused: 0, failed: 0, limited: 0, wrong: 0, skewed: 0 }
}

/// The state, and the rules that found something.
fn found(health: &Health) -> (HealthState, Vec<HealthRule>) {
    (health.state, health.evidence.iter().map(|evidence| evidence.rule).collect())
}

type Case = (&'static str, fn(&mut Watched) -> Health, HealthState, &'static [HealthRule]);

const CASES: &[Case] = &[
    ("nobody has come", |on| on.slot(Traffic::default()), HealthState::NeverSeen, &[]),
    ("one write", |on| on.slot(writes(1, 0)), HealthState::Healthy, &[]),
    (
        "only wrong credentials come",
        |on| on.slot(Traffic { wrong: 5, ..Traffic::default() }),
        HealthState::Failing,
        &[HealthRule::WrongCredentials],
    ),
    (
        "wrong credentials beside right ones",
        |on| on.slot(Traffic { wrong: 9, ..writes(3, 0) }),
        HealthState::Degraded,
        &[HealthRule::WrongCredentials],
    ),
    ("four wrong ones are a mistake", |on| on.slot(Traffic { wrong: 4, ..writes(1, 0) }), HealthState::Healthy, &[]),
    ("few operations say nothing", |on| on.slot(writes(0, 9)), HealthState::Healthy, &[]),
    ("one of ten is an accident", |on| on.slot(writes(9, 1)), HealthState::Healthy, &[]),
    ("a tenth is refused", |on| on.slot(writes(27, 3)), HealthState::Degraded, &[HealthRule::Errors]),
    ("half is refused", |on| on.slot(writes(5, 5)), HealthState::Failing, &[HealthRule::Errors]),
    ("we fail", |on| on.slot(Traffic { failed: 10, requests: 10, ..Traffic::default() }), HealthState::Failing, &[HealthRule::Errors]),
    (
        "errors of a client that comes seldom, over a day",
        |on| on.visits(writes(0, 1), 2 * HOUR, 22 * HOUR),
        HealthState::Failing,
        &[HealthRule::Errors],
    ),
    (
        "errors are over once newer operations succeed",
        |on| {
            on.slot(writes(0, 50));
            on.visits(writes(10, 0), SLOT, 2 * HOUR)
        },
        HealthState::Healthy,
        &[],
    ),
    (
        "what was found stays for a quarter of an hour",
        |on| {
            on.slot(Traffic { limited: 50, ..writes(50, 0) });
            on.visits(Traffic::default(), DAY, HOUR + 2 * SLOT)
        },
        HealthState::Degraded,
        &[HealthRule::Overload],
    ),
    (
        "the last credential ends in ten days",
        |on| {
            on.standing.credentials_end = Some(Instant(on.now + 10 * DAY));
            on.slot(writes(1, 0))
        },
        HealthState::Degraded,
        &[HealthRule::ExpiringCredentials],
    ),
    (
        "the last credential has ended",
        |on| {
            on.standing.credentials_end = Some(Instant(on.now));
            on.slot(writes(1, 0))
        },
        HealthState::Failing,
        &[HealthRule::ExpiringCredentials],
    ),
    (
        "a tenth is listed otherwise than stored",
        |on| {
            on.standing.distance = Some(Distance { people: 10, before: None, stored: 100 });
            on.slot(writes(1, 0))
        },
        HealthState::Degraded,
        &[HealthRule::Distance],
    ),
    (
        "twice as many as the time before",
        |on| {
            on.standing.distance = Some(Distance { people: 8, before: Some(4), stored: 1_000 });
            on.slot(writes(1, 0))
        },
        HealthState::Degraded,
        &[HealthRule::Distance],
    ),
    (
        "a few of many, as ever",
        |on| {
            on.standing.distance = Some(Distance { people: 8, before: Some(7), stored: 1_000 });
            on.slot(writes(1, 0))
        },
        HealthState::Healthy,
        &[],
    ),
    (
        "a few of a few",
        |on| {
            on.standing.distance = Some(Distance { people: 4, before: Some(0), stored: 8 });
            on.slot(writes(1, 0))
        },
        HealthState::Healthy,
        &[],
    ),
    (
        "no credential is left",
        |on| {
            on.standing.credentials = 0;
            on.slot(writes(1, 0))
        },
        HealthState::Failing,
        &[HealthRule::ExpiringCredentials],
    ),
    (
        "a new connection has no credential yet",
        |on| {
            on.standing.credentials = 0;
            on.slot(Traffic::default())
        },
        HealthState::NeverSeen,
        &[],
    ),
    (
        "one person is refused again and again",
        |on| {
            on.standing.repeated = Some(("user 7".to_owned(), 5));
            on.slot(writes(1, 0))
        },
        HealthState::Degraded,
        &[HealthRule::RepeatedFailures],
    ),
    (
        "the plugin fails for somebody",
        |on| {
            on.standing.plugin_faults = 1;
            on.slot(writes(1, 0))
        },
        HealthState::Degraded,
        &[HealthRule::PluginFaults],
    ),
    (
        "a policy fails for a quarter",
        |on| {
            on.standing.policy_errors = 25;
            on.slot(writes(1, 0))
        },
        HealthState::Failing,
        &[HealthRule::PolicyErrors],
    ),
    (
        "people wait for ten minutes",
        |on| {
            (on.standing.pending, on.standing.pending_since) = (3, Some(Instant(on.now - 10 * MINUTE)));
            on.slot(writes(1, 0))
        },
        HealthState::Degraded,
        &[HealthRule::Pending],
    ),
    (
        "people wait for an hour",
        |on| {
            (on.standing.pending, on.standing.pending_since) = (3, Some(Instant(on.now - HOUR)));
            on.slot(writes(1, 0))
        },
        HealthState::Stalled,
        &[HealthRule::Pending],
    ),
    (
        "a hold waits",
        |on| {
            (on.standing.holds, on.standing.held) = (1, Some((6, 5)));
            on.slot(writes(1, 0))
        },
        HealthState::Degraded,
        &[HealthRule::Guard],
    ),
    (
        "a hold of many times the limit is harm",
        |on| {
            (on.standing.holds, on.standing.held) = (1, Some((25, 5)));
            on.slot(writes(1, 0))
        },
        HealthState::Quarantined,
        &[HealthRule::Harm, HealthRule::Guard],
    ),
    (
        "harm is only said where nobody wants a quarantine",
        |on| {
            on.settings.quarantine = false;
            on.slot(writes(10, 1_000))
        },
        HealthState::Failing,
        &[HealthRule::Errors, HealthRule::Harm],
    ),
    ("a crowd of refusals is harm", |on| on.slot(writes(10, 1_000)), HealthState::Quarantined, &[HealthRule::Harm, HealthRule::Errors]),
    (
        "old data are played back",
        |on| on.slot(Traffic { skewed: 200, ..writes(200, 0) }),
        HealthState::Quarantined,
        &[HealthRule::Harm, HealthRule::Clock],
    ),
    (
        "somebody has looked at the harm",
        |on| {
            on.slot(Traffic { skewed: 200, ..writes(200, 0) });
            on.memory.excuse(4, Instant(on.now));
            on.slot(writes(1, 0))
        },
        HealthState::Degraded,
        &[HealthRule::Clock],
    ),
    (
        "a quarantine is over by itself once the harm is",
        |on| {
            on.slot(writes(10, 1_000));
            on.visits(writes(10, 0), SLOT, 2 * HOUR)
        },
        HealthState::Healthy,
        &[],
    ),
    ("a client that only reads", |on| on.visits(reads(1), HOUR, DAY + HOUR), HealthState::Degraded, &[HealthRule::NeverWrites]),
    (
        "a client that reads and has written once",
        |on| {
            on.slot(writes(1, 0));
            on.visits(reads(1), HOUR, DAY + HOUR)
        },
        HealthState::Healthy,
        &[],
    ),
    (
        "a silence as long as was set",
        |on| {
            on.settings.silence_minutes = Some(60);
            on.slot(writes(1, 0));
            on.visits(Traffic::default(), DAY, 2 * HOUR)
        },
        HealthState::Stalled,
        &[HealthRule::Silence],
    ),
    (
        "a silence is over with the next request",
        |on| {
            on.settings.silence_minutes = Some(60);
            on.slot(writes(1, 0));
            on.visits(Traffic::default(), DAY, 2 * HOUR);
            on.slot(writes(1, 0))
        },
        HealthState::Healthy,
        &[],
    ),
    (
        "a rule that is left out",
        |on| {
            on.settings.without = vec![HealthRule::Errors];
            on.slot(writes(0, 50))
        },
        HealthState::Healthy,
        &[],
    ),
    (
        "a connection that is paused",
        |on| {
            on.standing.paused = true;
            on.slot(writes(0, 50))
        },
        HealthState::Paused,
        &[HealthRule::Errors],
    ),
    (
        "a connection that came back with a backup",
        |on| {
            let at = Instant(on.now);
            on.standing.restored = Some(Restored { was: ConnectionState::Active, at, backup_at: at.plus_seconds(-3_600) });
            on.slot(writes(9, 0))
        },
        HealthState::Restored,
        &[HealthRule::Restored],
    ),
    (
        "a first sync has no rhythm and does no harm",
        |on| {
            on.standing.staging = true;
            on.visits(writes(1, 99), SLOT, 2 * DAY);
            on.visits(Traffic::default(), DAY, 3 * DAY)
        },
        HealthState::Healthy,
        &[],
    ),
];

#[test]
fn each_history_gives_its_state_and_its_evidence() {
    for (what, history, state, rules) in CASES {
        let health = history(&mut Watched::new());
        assert_eq!(found(&health), (*state, rules.to_vec()), "{what}: {health:?}");
    }
}

#[test]
fn every_rule_has_a_history_that_it_finds_something_in() {
    let in_weeks = [HealthRule::Throughput];
    for rule in HealthRule::ALL {
        let shown = CASES.iter().any(|(_, _, _, rules)| rules.contains(rule));
        assert!(shown || in_weeks.contains(rule), "{rule}");
        assert_eq!(rules::RULES.iter().filter(|(of, _)| of == rule).count(), 1, "{rule}");
    }
}

#[test]
fn a_state_has_begun_when_it_began() {
    let mut on = Watched::new();
    let healthy = on.slot(writes(1, 0));
    let failing = on.slot(writes(0, 50));
    assert!(failing.since > healthy.since);
    let still = on.slot(writes(0, 1));
    assert_eq!((still.since, still.evidence[0].since), (failing.since, failing.evidence[0].since));
    assert!(still.evidence[0].detail.contains("52 operations"), "{still:?}");
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % n
    }
}

/// What arrives of what a client sends, while something is wrong.
type Change = fn(Traffic, &mut Watched) -> Traffic;

/// What a client sends within the slot that begins at an instant.
type Client = fn(i64, &mut Dice) -> Traffic;

/// Entra ID: a cycle about every forty minutes, which reads, and writes what has changed.
fn like_entra(at: i64, dice: &mut Dice) -> Traffic {
    let cycle = (at - MONDAY).rem_euclid(40 * MINUTE) < SLOT;
    let late = dice.below(40) == 0;
    if !cycle || late {
        return Traffic::default();
    }
    let working = is_working_hour(at);
    let changes = if working { dice.below(6) } else { i64::from(dice.below(20) == 0) };
    let refused = i64::from(changes > 3 && dice.below(40) == 0);
    reads(1 + dice.below(4)).and(writes(changes, refused))
}

/// Okta: something happens, mostly while people work.
fn like_okta(at: i64, dice: &mut Dice) -> Traffic {
    let often = if is_working_hour(at) { 4 } else { 400 };
    if dice.below(often) > 0 || (!is_working_hour(at) && is_weekend(at)) {
        return Traffic::default();
    }
    let changes = 1 + dice.below(3);
    reads(changes).and(writes(changes, 0))
}

fn is_weekend(at: i64) -> bool {
    (at - MONDAY).div_euclid(DAY).rem_euclid(7) >= 5
}

fn is_working_hour(at: i64) -> bool {
    !is_weekend(at) && (8..18).contains(&(at.rem_euclid(DAY) / HOUR))
}

/// Weeks of a client. From `broken` on for some days, `fault` changes what arrives; told is when the first state that is not healthy comes
/// after that, in microseconds, and whether all was well again a day after the end.
fn weeks(client: Client, seed: u64, days: i64, fault: Option<(i64, i64, Change)>) -> (Vec<(i64, Health)>, Health) {
    let mut on = Watched::new();
    let mut dice = Dice(seed);
    let mut told = Vec::new();
    let mut last = on.slot(Traffic::default());
    while on.now < MONDAY + days * DAY {
        let mut traffic = client(on.now, &mut dice);
        if let Some((from, until, change)) = fault
            && (MONDAY + from..MONDAY + until).contains(&on.now)
        {
            traffic = change(traffic, &mut on);
        }
        last = on.slot(traffic);
        if !matches!(last.state, HealthState::Healthy | HealthState::NeverSeen) {
            told.push((on.now - MONDAY, last.clone()));
        }
    }
    (told, last)
}

const CLIENTS: [(&str, Client); 2] = [("Entra ID", like_entra), ("Okta", like_okta)];

#[test]
fn a_quiet_month_has_no_alarm() {
    for (name, client) in CLIENTS {
        for seed in 1..=10 {
            let (told, last) = weeks(client, seed, 35, None);
            assert!(told.is_empty(), "{name}, seed {seed}: {:?}", told.first());
            assert!(last.rhythm.is_some(), "{name}");
        }
    }
}

#[test]
fn faults_are_found_in_time_and_are_over_in_time() {
    type Fault = (&'static str, Change, HealthRule, [i64; 2]);
    let faults: [Fault; 3] = [
        ("nothing comes any more", |_, _| Traffic::default(), HealthRule::Silence, [4 * HOUR, 6 * DAY]),
        (
            "everything is refused",
            |traffic, _| Traffic { applied: 0, refused: traffic.applied + traffic.refused, ..traffic },
            HealthRule::Errors,
            [8 * HOUR, 4 * HOUR],
        ),
        (
            "the token was changed here and not there",
            |traffic, _| Traffic { wrong: traffic.requests, ..Traffic::default() },
            HealthRule::WrongCredentials,
            [3 * HOUR, 2 * HOUR],
        ),
    ];
    // A Tuesday in the third week, in the morning.
    let from = 15 * DAY + 9 * HOUR;
    for (what, change, rule, within) in faults {
        for ((name, client), within) in CLIENTS.into_iter().zip(within) {
            for seed in 1..=5 {
                let until = from + within + 12 * HOUR;
                let (told, last) = weeks(client, seed, until / DAY + 9, Some((from, until, change)));
                let first = told.iter().find(|(_, health)| health.evidence.iter().any(|evidence| evidence.rule == rule));
                let (at, _) = first.unwrap_or_else(|| panic!("{what}, {name}, seed {seed}: never found"));
                assert!((from..=from + within).contains(at), "{what}, {name}, seed {seed}: found {} after", spell(at - from));
                assert_eq!(last.state, HealthState::Healthy, "{what}, {name}, seed {seed}: {last:?}");
            }
        }
    }
}

#[test]
fn a_collapse_of_traffic_is_found_the_day_after() {
    let (from, until) = (30 * DAY, 33 * DAY);
    let thinner: Change = |traffic, on| if on.now.rem_euclid(DAY) < HOUR { traffic } else { Traffic::default() };
    // Only the first of a day's cycles goes through: too regular a visitor to be silent for a day.
    let (told, _) = weeks(busy, 1, 34, Some((from, until, thinner)));
    let found = told.iter().find(|(_, health)| health.evidence.iter().any(|evidence| evidence.rule == HealthRule::Throughput));
    assert!(found.is_some_and(|(at, _)| *at <= from + DAY + HOUR), "{:?}", told.first());
}

/// A client that works day and night.
fn busy(at: i64, dice: &mut Dice) -> Traffic {
    like_entra(at, dice).and(if at.rem_euclid(HOUR) < SLOT { writes(20, 0) } else { Traffic::default() })
}

#[test]
fn news_is_told_once() {
    let mut on = Watched::new();
    let mut told = Vec::new();
    for slot in 0..(12 * 8) {
        let traffic = if (12..72).contains(&slot) { writes(0, 10) } else { writes(10, 0) };
        let open = [(Instant(on.now), traffic)];
        let over: Vec<_> = if slot > 0 {
            vec![(Instant(on.now - SLOT), if (13..73).contains(&slot) { writes(0, 10) } else { writes(10, 0) })]
        } else {
            vec![]
        };
        on.now += SLOT;
        let (_, news) = on.memory.look((&over, &open), &on.standing, &on.settings, Instant(on.now));
        told.extend(news.map(|news| (slot, news)));
    }
    let words: Vec<HealthNews> = told.iter().map(|(_, news)| *news).collect();
    let first =
        [HealthNews::FirstSeen, HealthNews::Alarm, HealthNews::Alarm, HealthNews::Escalated, HealthNews::Alarm, HealthNews::AllClear];
    // Degraded, then failing for more than four hours, then degraded again until the newest operations succeed.
    assert_eq!(words, first, "{told:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes: what is remembered is bounded, survives being stored, and a healthy connection has no evidence.
    #[test]
    fn what_is_remembered_is_bounded(slots in prop::collection::vec((0_i64..4_000, 0_i64..2_000, 0_i64..2_000, any::<bool>()), 1..200)) {
        let mut on = Watched::new();
        for (ahead, applied, refused, wrong) in slots {
            on.now += ahead * SLOT;
            let traffic = if wrong { Traffic { wrong: refused, ..Traffic::default() } } else { writes(applied, refused) };
            let health = on.slot(traffic);
            prop_assert_eq!(health.evidence.is_empty(), matches!(health.state, HealthState::Healthy | HealthState::NeverSeen));
            prop_assert_eq!(health.evidence.first().map_or(health.state, |worst| worst.state), health.state);
        }
        let stored = serde_json::to_string(&on.memory).unwrap();
        prop_assert!(stored.len() < 16 * 1_024, "{}", stored.len());
        prop_assert_eq!(serde_json::from_str::<Memory>(&stored).unwrap(), on.memory);
    }

    /// Several hosts count apart and tell late: the order within an hour makes no difference to what is counted.
    #[test]
    fn hosts_count_apart(mut parts in prop::collection::vec((0_i64..12, 1_i64..50, 0_i64..50), 1..30)) {
        let settings = HealthSettings::default();
        let judged = |parts: &[(i64, i64, i64)]| {
            let mut memory = Memory::default();
            for (slot, applied, refused) in parts {
                memory.observe(Instant(MONDAY + slot * SLOT), writes(*applied, *refused), &settings, true);
            }
            (memory.slots, memory.hours, memory.days)
        };
        let as_told = judged(&parts);
        parts.sort_unstable();
        prop_assert_eq!(as_told, judged(&parts));
    }
}
