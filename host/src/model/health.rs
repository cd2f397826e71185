//! A connection's health: what was observed of it, what is made of that, and by which settings. The rules are `health`'s.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Instant, Restored};

word_enum!(
    /// How a connection is.
    HealthState {
        /// Somebody has paused it.
        Paused = "paused",
        /// It came back with a backup: removals take effect, gains wait.
        Restored = "restored",
        /// It does harm: what it writes is stored and removals take effect, gains wait.
        Quarantined = "quarantined",
        /// Most of what it asks for comes to nothing.
        Failing = "failing",
        /// It is silent for longer than it ever is, or what it sent is not decided.
        Stalled = "stalled",
        /// It works, and something is wrong.
        Degraded = "degraded",
        /// Nothing is wrong.
        Healthy = "healthy",
        /// No request has ever come.
        NeverSeen = "never_seen",
    }
);

word_enum!(
    /// What is looked at.
    HealthRule {
        /// The connection came back with a backup, and nobody has released it.
        Restored = "restored",
        /// No traffic for longer than the rhythm that the connection has shown.
        Silence = "silence",
        /// The share of operations that were refused or failed.
        Errors = "errors",
        /// Credentials that are wrong.
        WrongCredentials = "wrong_credentials",
        /// Credentials that end soon, or have ended.
        ExpiringCredentials = "expiring_credentials",
        /// One person or group that is refused again and again.
        RepeatedFailures = "repeated_failures",
        /// People for whom the tenant's plugin fails.
        PluginFaults = "plugin_faults",
        /// People for whom a policy fails.
        PolicyErrors = "policy_errors",
        /// People who wait to be decided.
        Pending = "pending",
        /// The guard holds something back.
        Guard = "guard",
        /// Far fewer requests than on the same day of any week before.
        Throughput = "throughput",
        /// A client that walks lists and has never written.
        NeverWrites = "never_writes",
        /// Requests whose clock is ahead, or that write what was read long ago.
        Clock = "clock",
        /// More requests than the connection may make.
        Overload = "overload",
        /// Harm: most of a crowd of operations is refused, old data are played back, or the guard holds many times its limit.
        Harm = "harm",
        /// What the identity provider lists is far from what is stored, or further than it was.
        Distance = "distance",
    }
);

/// What a connection did within some time. All are counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Traffic {
    /// Requests with a right credential that were let in.
    pub requests: i64,
    /// Those of them that asked for a list.
    pub lists: i64,
    /// Those of them that write.
    pub writes: i64,
    /// Operations that were carried out.
    pub applied: i64,
    /// Operations that changed nothing.
    pub no_op: i64,
    /// Operations that were refused: the client's fault.
    pub refused: i64,
    /// Requests that failed: ours.
    pub failed: i64,
    /// Requests that were one too many (429).
    pub limited: i64,
    /// Requests with a wrong credential.
    pub wrong: i64,
    /// Requests whose clock is ahead of ours, or that write back what was read before somebody else's change.
    pub skewed: i64,
}

impl HealthState {
    /// Whether somebody has to do something about it.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Restored | Self::Quarantined | Self::Failing | Self::Stalled | Self::Degraded)
    }
}

impl Traffic {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            lists: self.lists.saturating_add(other.lists),
            writes: self.writes.saturating_add(other.writes),
            applied: self.applied.saturating_add(other.applied),
            no_op: self.no_op.saturating_add(other.no_op),
            refused: self.refused.saturating_add(other.refused),
            failed: self.failed.saturating_add(other.failed),
            limited: self.limited.saturating_add(other.limited),
            wrong: self.wrong.saturating_add(other.wrong),
            skewed: self.skewed.saturating_add(other.skewed),
        }
    }

    /// All counts, in the order in which they stand above.
    #[must_use]
    pub fn counts(self) -> [i64; 10] {
        let Self { requests, lists, writes, applied, no_op, refused, failed, limited, wrong, skewed } = self;
        [requests, lists, writes, applied, no_op, refused, failed, limited, wrong, skewed]
    }

    /// The traffic with these counts.
    #[must_use]
    pub fn of([requests, lists, writes, applied, no_op, refused, failed, limited, wrong, skewed]: [i64; 10]) -> Self {
        Self { requests, lists, writes, applied, no_op, refused, failed, limited, wrong, skewed }
    }

    /// Whether the client itself came: with a right credential.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.requests > 0
    }
}

/// How a connection's people and credentials stand at an instant: what its traffic does not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether somebody has paused it.
    pub paused: bool,
    /// Set while its gains wait since its database was restored.
    pub restored: Option<Restored>,
    /// Whether it is not let in yet: its rhythm is not its rhythm.
    pub staging: bool,
    /// Whether any credential of it can be used at all: tokens, clients, an issuer.
    pub credentials: i64,
    /// When the last of them ends; `None` if one has no end, or there is none.
    pub credentials_end: Option<Instant>,
    /// Its people.
    pub people: i64,
    /// Those of them for whom the plugin fails.
    pub plugin_faults: i64,
    /// Those of them for whom a policy fails.
    pub policy_errors: i64,
    /// Since when the one that waits longest is not decided.
    pub pending_since: Option<Instant>,
    /// How many wait.
    pub pending: i64,
    /// Open holds that the connection's people are in.
    pub holds: i64,
    /// The most people that one of those holds, beside what its limit is.
    pub held: Option<(i64, i64)>,
    /// The person or group that was refused most often within a day, and how often.
    pub repeated: Option<(String, i64)>,
    /// How far what was listed last is from what is stored.
    pub distance: Option<Distance>,
}

/// How far a complete export is from what is stored of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distance {
    /// People who are listed otherwise than stored, and were not put right.
    pub people: i64,
    /// How many those were of the export before; `None` for the first one.
    pub before: Option<i64>,
    /// People of the connection, then.
    pub stored: i64,
}

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthEvidence {
    /// The rule.
    pub rule: HealthRule,
    /// The state that it alone would make.
    pub state: HealthState,
    /// What was seen, with figures, and what to do.
    pub detail: String,
    /// Since when it is found.
    pub since: Instant,
}

/// What is made of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// The state.
    pub state: HealthState,
    /// Since when it is that.
    pub since: Instant,
    /// Why: the worst first. Empty for a healthy connection.
    pub evidence: Vec<HealthEvidence>,
    /// When the client came last.
    pub last_seen: Option<Instant>,
    /// The rhythm that it has shown, in words; `null` while it is being learned.
    pub rhythm: Option<String>,
    /// When silence counts as a stall, if it stays silent; `null` while that is not known.
    pub silent_until: Option<Instant>,
}

word_enum!(
    /// What is told of a connection's health, once each.
    HealthNews {
        /// The first request came.
        FirstSeen = "first_seen",
        /// It is in another bad state than before.
        Alarm = "alarm",
        /// It is in the same bad state for long.
        Escalated = "escalated",
        /// Nothing is wrong any more.
        AllClear = "all_clear",
    }
);

/// By which measures a connection is judged; set for each connection, and left alone by most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// Rules that are not asked.
    pub without: Vec<HealthRule>,
    /// After how many minutes of silence the connection is stalled, whatever its rhythm; `null` learns it.
    pub silence_minutes: Option<u32>,
    /// The share of operations that are refused or fail, in percent, from which it is degraded.
    pub degraded_percent: u32,
    /// The share from which it is failing.
    pub failing_percent: u32,
    /// Fewer operations than that within the window say nothing.
    pub errors_at_least: u32,
    /// Wrong credentials within an hour from which it is degraded; failing, when no right one comes any more.
    pub wrong_credentials: u32,
    /// So many days before its last credential ends, it is degraded.
    pub credential_days: u32,
    /// Refusals of one person or group within a day.
    pub repeated_failures: u32,
    /// The share of people, in percent, whose plugin or policy fails, from which it is failing rather than degraded.
    pub faults_percent: u32,
    /// After how many minutes of waiting to be decided it is degraded; after six times as many it is stalled.
    pub pending_minutes: u32,
    /// Below which share of the quietest same day of four weeks, in percent, its traffic has collapsed.
    pub throughput_percent: u32,
    /// Requests within an hour whose clock is off.
    pub skewed: u32,
    /// The share of requests that are too many, in percent of all within an hour.
    pub overload_percent: u32,
    /// The share of people, in percent, who are listed otherwise than stored.
    pub distance_percent: u32,
    /// How often its limit a hold may have before the connection does harm.
    pub harm_times: u32,
    /// Operations within an hour of which nine in ten are refused: harm.
    pub harm_refused: u32,
    /// Whether harm puts it into quarantine, or is only said.
    pub quarantine: bool,
    /// For how many minutes a rule must find nothing before what it found is over.
    pub recovery_minutes: u32,
    /// After how many minutes of one bad state it is told again; 0 for never.
    pub escalate_minutes: u32,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            without: Vec::new(),
            silence_minutes: None,
            degraded_percent: 10,
            failing_percent: 50,
            errors_at_least: 10,
            wrong_credentials: 5,
            credential_days: 14,
            repeated_failures: 5,
            faults_percent: 25,
            pending_minutes: 10,
            throughput_percent: 10,
            skewed: 20,
            overload_percent: 10,
            distance_percent: 10,
            harm_times: 5,
            harm_refused: 1_000,
            quarantine: true,
            recovery_minutes: 15,
            escalate_minutes: 240,
        }
    }
}

/// The longest time that a setting names, in minutes: a year.
const MINUTES_LIMIT: u32 = 366 * 24 * 60;

impl HealthSettings {
    /// Whether they make sense.
    ///
    /// # Errors
    /// The first field that does not, with what it may be.
    pub fn check(&self) -> Result<(), String> {
        let percents = [
            ("degraded_percent", self.degraded_percent),
            ("failing_percent", self.failing_percent),
            ("faults_percent", self.faults_percent),
            ("throughput_percent", self.throughput_percent),
            ("overload_percent", self.overload_percent),
            ("distance_percent", self.distance_percent),
        ];
        if let Some((field, _)) = percents.iter().find(|(_, percent)| !(1..=100).contains(percent)) {
            return Err(format!("`{field}` must be from 1 to 100"));
        }
        if self.degraded_percent > self.failing_percent {
            return Err("`degraded_percent` must not be above `failing_percent`".to_owned());
        }
        let counts = [
            ("errors_at_least", self.errors_at_least),
            ("wrong_credentials", self.wrong_credentials),
            ("repeated_failures", self.repeated_failures),
            ("pending_minutes", self.pending_minutes),
            ("skewed", self.skewed),
            ("harm_times", self.harm_times),
            ("harm_refused", self.harm_refused),
            ("silence_minutes", self.silence_minutes.unwrap_or(1)),
        ];
        if let Some((field, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(format!("`{field}` must be at least 1; to ask a rule no more, name it in `without`"));
        }
        let minutes = [
            ("silence_minutes", self.silence_minutes.unwrap_or(1)),
            ("pending_minutes", self.pending_minutes),
            ("recovery_minutes", self.recovery_minutes),
            ("escalate_minutes", self.escalate_minutes),
        ];
        match minutes.iter().find(|(_, minutes)| *minutes > MINUTES_LIMIT) {
            Some((field, _)) => Err(format!("`{field}` must be at most {MINUTES_LIMIT}, a year")),
            None if self.credential_days > 366 => Err("`credential_days` must be at most 366".to_owned()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let read = |json: &str| serde_json::from_str::<HealthSettings>(json).unwrap().check();
        assert_eq!(HealthSettings::default().check(), Ok(()));
        assert_eq!(read(r#"{"without": ["silence"], "silence_minutes": 30, "escalate_minutes": 0}"#), Ok(()));
        for (json, field) in [
            (r#"{"degraded_percent": 0}"#, "degraded_percent"),
            (r#"{"degraded_percent": 60}"#, "degraded_percent"),
            (r#"{"overload_percent": 101}"#, "overload_percent"),
            (r#"{"skewed": 0}"#, "skewed"),
            (r#"{"silence_minutes": 0}"#, "silence_minutes"),
            (r#"{"recovery_minutes": 1000000}"#, "recovery_minutes"),
            (r#"{"credential_days": 400}"#, "credential_days"),
        ] {
            assert!(read(json).is_err_and(|detail| detail.contains(field)), "{json}");
        }
        assert!(serde_json::from_str::<HealthSettings>(r#"{"silence": 1}"#).is_err());
    }
}
