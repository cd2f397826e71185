//! A connection's health: what was observed of it, what is made of that, and by which settings. The rules are `health`'s.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Instant;

word_enum!(
    /// How a connection is.
    HealthState {
        /// Somebody has paused it.
        Paused = "paused",
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
    /// How often its limit a hold may have before the connection does harm.
    pub harm_times: u32,
    /// Operations within an hour of which nine in ten are refused: harm.
    pub harm_refused: u32,
    /// Whether harm puts it into quarantine, or is only said.
    pub quarantine: bool,
    /// For how many minutes a rule must find nothing before what it found is over.
    pub recovery_minutes: u32,
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
            harm_times: 5,
            harm_refused: 1_000,
            quarantine: true,
            recovery_minutes: 15,
        }
    }
}
