//! The rules: each looks at one thing, and says what it found, with figures and what to do.

use super::{DAY, HOUR, MINUTE, Memory, SLOT, rhythm, spell};
use crate::model::{HealthRule, HealthSettings, HealthState, Standing, Traffic};

/// What a rule found: the state that it alone would make, and the words.
pub(super) type Finding = (HealthState, String);
type Rule = fn(&Scene<'_>) -> Option<Finding>;

/// So many lists without a write say that a client only reads.
const LISTS_OF_A_READER: i64 = 20;
/// Fewer operations than that came to nothing by accident.
const BAD_OPERATIONS: i64 = 3;
/// Quieter days than that have no throughput that could collapse.
const REQUESTS_OF_A_BUSY_DAY: i64 = 100;
/// Fewer requests within an hour than that can't be an overload.
const REQUESTS_OF_A_BUSY_HOUR: i64 = 20;
/// After so many times the patience for people who wait to be decided, the connection stands still.
const STILL_TIMES: i64 = 6;
/// So many times the usual bound of requests with a clock that is off are old data played back.
const PLAYED_BACK_TIMES: i64 = 10;

/// Fewer people than that are listed otherwise because an export is never of the same moment.
const PEOPLE_APART: i64 = 5;
/// So many times as many people as the time before are a distance that grows.
const GROWN_TIMES: i64 = 2;

/// Every rule, each once.
pub(super) const RULES: &[(HealthRule, Rule)] = &[
    (HealthRule::Restored, restored),
    (HealthRule::Silence, silence),
    (HealthRule::Errors, errors),
    (HealthRule::WrongCredentials, wrong_credentials),
    (HealthRule::ExpiringCredentials, expiring_credentials),
    (HealthRule::RepeatedFailures, repeated_failures),
    (HealthRule::PluginFaults, plugin_faults),
    (HealthRule::PolicyErrors, policy_errors),
    (HealthRule::Pending, pending),
    (HealthRule::Guard, guard),
    (HealthRule::Throughput, throughput),
    (HealthRule::NeverWrites, never_writes),
    (HealthRule::Clock, clock),
    (HealthRule::Overload, overload),
    (HealthRule::Harm, harm),
    (HealthRule::Distance, distance),
];

/// Whether a rule looks at something that comes and goes with every few requests.
pub(super) fn flickers(rule: HealthRule) -> bool {
    use HealthRule::{Clock, Errors, Harm, Overload, WrongCredentials};
    matches!(rule, Errors | WrongCredentials | Clock | Overload | Harm)
}

/// What the rules look at.
pub(super) struct Scene<'a> {
    memory: &'a Memory,
    standing: &'a Standing,
    settings: &'a HealthSettings,
    now: i64,
    /// What came within the last hour.
    hour: Traffic,
}

impl<'a> Scene<'a> {
    pub(super) fn new(memory: &'a Memory, standing: &'a Standing, settings: &'a HealthSettings, now: i64) -> Self {
        let recent = memory.slots.iter().filter(|(slot, _)| slot.saturating_add(SLOT).saturating_add(HOUR) > now);
        let hour = recent.fold(Traffic::default(), |sum, (_, traffic)| sum.and(*traffic));
        Self { memory, standing, settings, now, hour }
    }

    /// The newest operations: of the last hour, or of as many hours as it takes to have enough, a day at most.
    fn newest_operations(&self) -> Option<(Traffic, &'static str)> {
        let enough = i64::from(self.settings.errors_at_least);
        if operations(self.hour) >= enough {
            return Some((self.hour, "the last hour"));
        }
        let mut sum = Traffic::default();
        for (_, traffic) in self.memory.hours.iter().rev().take_while(|(hour, _)| hour.saturating_add(DAY) > self.now) {
            sum = sum.and(*traffic);
            if operations(sum) >= enough {
                return Some((sum, "the last day"));
            }
        }
        None
    }
}

/// Operations that came to something, or to nothing.
fn operations(traffic: Traffic) -> i64 {
    [traffic.applied, traffic.no_op, traffic.refused, traffic.failed].into_iter().fold(0, i64::saturating_add)
}

fn percent(part: i64, whole: i64) -> i64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

fn restored(scene: &Scene<'_>) -> Option<Finding> {
    let restored = scene.standing.restored.as_ref()?;
    let detail = format!(
        "restored at {} from a backup of {}: removals take effect, gains wait; whoever left since the backup stands as they were then. Reconcile \
         it, or look and release it (`rolecall connection release`)",
        restored.at, restored.backup_at
    );
    Some((HealthState::Restored, detail))
}

fn silence(scene: &Scene<'_>) -> Option<Finding> {
    let seen = scene.memory.seen?;
    if scene.standing.staging {
        return None;
    }
    let patience = scene.memory.patience(seen, scene.settings)?;
    let silent = scene.now.saturating_sub(seen);
    let usually = match (scene.settings.silence_minutes, scene.memory.pace(seen)) {
        (None, Some(pace)) => rhythm::Pace::words(&pace),
        _ => format!("may be silent for {}", spell(patience)),
    };
    (silent > patience).then(|| {
        let detail = format!("nothing came for {}; the client {usually}: see whether provisioning is switched on there", spell(silent));
        (HealthState::Stalled, detail)
    })
}

fn errors(scene: &Scene<'_>) -> Option<Finding> {
    let (traffic, when) = scene.newest_operations()?;
    let (bad, all) = (traffic.refused.saturating_add(traffic.failed), operations(traffic));
    let share = percent(bad, all);
    let state = match share {
        _ if bad < BAD_OPERATIONS => return None,
        share if share >= scene.settings.failing_percent.into() => HealthState::Failing,
        share if share >= scene.settings.degraded_percent.into() => HealthState::Degraded,
        _ => return None,
    };
    let (refused, failed) = (traffic.refused, traffic.failed);
    let whose = if failed > refused { "Rolecall failed: see its log" } else { "what it asked was refused: see the provisioning log" };
    Some((state, format!("{share} % of {all} operations within {when} came to nothing ({refused} refused, {failed} failed): {whose}")))
}

fn wrong_credentials(scene: &Scene<'_>) -> Option<Finding> {
    let Traffic { wrong, requests, .. } = scene.hour;
    if wrong < i64::from(scene.settings.wrong_credentials.max(1)) {
        return None;
    }
    Some(if requests == 0 {
        let detail = format!(
            "{wrong} requests with a wrong credential within the last hour and none with a right one: give the client a token again"
        );
        (HealthState::Failing, detail)
    } else {
        let detail = format!(
            "{wrong} requests with a wrong credential within the last hour, beside {requests} with a right one: somebody has an old token, or guesses"
        );
        (HealthState::Degraded, detail)
    })
}

fn expiring_credentials(scene: &Scene<'_>) -> Option<Finding> {
    let standing = scene.standing;
    if standing.credentials == 0 {
        let detail = "it has no credential that is accepted: make one".to_owned();
        return scene.memory.seen.is_some().then_some((HealthState::Failing, detail));
    }
    let left = standing.credentials_end?.0.saturating_sub(scene.now);
    if left <= 0 {
        return Some((HealthState::Failing, "its last credential has ended: make one and give it to the client".to_owned()));
    }
    let notice = DAY.saturating_mul(scene.settings.credential_days.into());
    (left <= notice).then(|| (HealthState::Degraded, format!("its last credential ends in {}: rotate it", spell(left))))
}

fn repeated_failures(scene: &Scene<'_>) -> Option<Finding> {
    let (resource, times) = scene.standing.repeated.as_ref()?;
    (*times >= i64::from(scene.settings.repeated_failures.max(1))).then(|| {
        let detail = format!("{resource} was refused {times} times within a day: the provisioning log says why");
        (HealthState::Degraded, detail)
    })
}

fn faulty(scene: &Scene<'_>, faulty: i64, what: &str) -> Option<Finding> {
    let people = scene.standing.people;
    let most = percent(faulty, people) >= scene.settings.faults_percent.into();
    let state = if most { HealthState::Failing } else { HealthState::Degraded };
    (faulty > 0)
        .then(|| (state, format!("{what} for {faulty} of {people} people: they keep what they had until its deadline, and gain nothing")))
}

fn plugin_faults(scene: &Scene<'_>) -> Option<Finding> {
    faulty(scene, scene.standing.plugin_faults, "the plugin fails")
}

fn policy_errors(scene: &Scene<'_>) -> Option<Finding> {
    faulty(scene, scene.standing.policy_errors, "a policy fails")
}

fn pending(scene: &Scene<'_>) -> Option<Finding> {
    let waited = scene.now.saturating_sub(scene.standing.pending_since?.0);
    let patience = MINUTE.saturating_mul(scene.settings.pending_minutes.into());
    let state = if waited >= patience.saturating_mul(STILL_TIMES) { HealthState::Stalled } else { HealthState::Degraded };
    (waited >= patience).then(|| (state, format!("{} people wait to be decided, for {} by now", scene.standing.pending, spell(waited))))
}

fn guard(scene: &Scene<'_>) -> Option<Finding> {
    let holds = scene.standing.holds;
    (holds > 0).then(|| (HealthState::Degraded, format!("{holds} holds of the guard wait for an answer")))
}

fn throughput(scene: &Scene<'_>) -> Option<Finding> {
    let today = scene.now.div_euclid(DAY);
    let on = |day: i64| {
        let found = scene.memory.days.iter().find(|(start, _)| start.div_euclid(DAY) == day);
        found.map_or(0, |(_, traffic)| traffic.requests)
    };
    let yesterday = today.saturating_sub(1);
    let usual = (1..=4).map(|week| on(yesterday.saturating_sub(7 * week))).min().unwrap_or(0);
    let came = on(yesterday);
    (usual >= REQUESTS_OF_A_BUSY_DAY && percent(came, usual) < scene.settings.throughput_percent.into()).then(|| {
        let detail = format!("{came} requests came yesterday; on the same day of the four weeks before, at least {usual} came each time");
        (HealthState::Degraded, detail)
    })
}

fn never_writes(scene: &Scene<'_>) -> Option<Finding> {
    let memory = scene.memory;
    let watched = scene.now.saturating_sub(memory.began?);
    let reads = !memory.wrote && memory.lists >= LISTS_OF_A_READER && watched >= DAY;
    reads.then(|| {
        let detail = format!(
            "it has asked for {} lists in {} and has never written: see whether people are assigned there",
            memory.lists,
            spell(watched)
        );
        (HealthState::Degraded, detail)
    })
}

fn clock(scene: &Scene<'_>) -> Option<Finding> {
    let skewed = scene.hour.skewed;
    (skewed >= i64::from(scene.settings.skewed.max(1))).then(|| {
        let detail =
            format!("{skewed} requests within the last hour have a clock that is ahead, or write back what was read before a later change");
        (HealthState::Degraded, detail)
    })
}

fn overload(scene: &Scene<'_>) -> Option<Finding> {
    let Traffic { limited, requests, .. } = scene.hour;
    let all = limited.saturating_add(requests);
    (all >= REQUESTS_OF_A_BUSY_HOUR && percent(limited, all) >= scene.settings.overload_percent.into()).then(|| {
        let detail =
            format!("{limited} of {all} requests within the last hour were too many (429): the client comes again later, and falls behind");
        (HealthState::Degraded, detail)
    })
}

fn distance(scene: &Scene<'_>) -> Option<Finding> {
    let found = scene.standing.distance?;
    let is_far = percent(found.people, found.stored.max(1)) >= scene.settings.distance_percent.into();
    let has_grown = found.before.is_some_and(|before| found.people >= before.saturating_mul(GROWN_TIMES));
    let before = found.before.map(|before| format!(", {before} the time before")).unwrap_or_default();
    (found.people >= PEOPLE_APART && (is_far || has_grown)).then(|| {
        let detail = format!(
            "{} people were listed otherwise than the {} who are stored{before}: see `rolecall drift show`",
            found.people, found.stored
        );
        (HealthState::Degraded, detail)
    })
}

fn harm(scene: &Scene<'_>) -> Option<Finding> {
    let (memory, settings) = (scene.memory, scene.settings);
    if memory.excused.is_some_and(|until| scene.now < until) || scene.standing.staging {
        return None;
    }
    let (refused, all) = (scene.hour.refused, operations(scene.hour));
    let detail = match scene.standing.held {
        _ if refused >= i64::from(settings.harm_refused.max(1)) && percent(refused, all) >= 90 => {
            format!("{refused} of {all} operations within the last hour were refused")
        }
        _ if scene.hour.skewed >= i64::from(settings.skewed.max(1)).saturating_mul(PLAYED_BACK_TIMES) => {
            format!("{} requests within the last hour write back old data", scene.hour.skewed)
        }
        Some((people, limit)) if people >= limit.max(1).saturating_mul(settings.harm_times.max(1).into()) => {
            format!("one hold has {people} people, where the guard lets {limit} pass")
        }
        _ => return None,
    };
    let state = if settings.quarantine { HealthState::Quarantined } else { HealthState::Failing };
    Some((state, detail))
}
