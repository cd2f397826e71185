//! A plugin's call that came to no good end, as it is kept for its author: what was said, what was used, and what it was asked.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Instant;

word_enum!(
    /// How a call ended that is kept.
    FailureKind {
        /// No verdict: a trap, a limit, an answer that the contract does not allow.
        Fault = "fault",
        /// The plugin refused the person.
        Refusal = "refusal",
    }
);

/// A line that a plugin logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// `debug`, `info`, `warn`, `error`.
    pub level: String,
    /// Bounded text.
    pub message: String,
}

/// The levels of log lines, from the least to the most urgent: a line's rank is its place here.
pub const LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];

/// How many of a call's lines are shown beside its fault: a panic is one, and an exception's place another.
const LAST_WORDS: usize = 3;
/// How much of each is shown there, in bytes.
const LAST_WORDS_BYTES: usize = 300;

impl LogLine {
    /// The last warnings and errors of a call, each cut, `error: …`: where it ended in a fault, what the panic or exception says.
    #[must_use]
    pub fn last_words(logs: &[Self]) -> Vec<String> {
        let urgent: Vec<&Self> = logs.iter().filter(|line| matches!(line.level.as_str(), "warn" | "error")).collect();
        let last = &urgent[urgent.len().saturating_sub(LAST_WORDS)..];
        let shown = |line: &&Self| {
            let cut = line.message.floor_char_boundary(LAST_WORDS_BYTES);
            format!("{}: {}{}", line.level, &line.message[..cut], if cut < line.message.len() { "…" } else { "" })
        };
        last.iter().map(shown).collect()
    }
}

/// A function that was running when a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Frame {
    /// Its name where the build has names, else its number.
    pub function: String,
    /// Where in the module's file it was, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// File, line and column, where the build has debug information and the sandbox reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A limit that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitMet {
    /// What was used or asked for; absent where that is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// What is allowed.
    pub allowed: u64,
}

/// What a call used, as numbers for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    /// Fuel: the same wherever the call is made again.
    pub fuel: u64,
    /// The most linear memory, in bytes.
    pub memory_bytes: u64,
    /// Wall-clock time, in microseconds: this machine's, at that moment.
    pub wall_clock_us: u64,
}

impl From<super::Usage> for Spent {
    fn from(usage: super::Usage) -> Self {
        Self {
            fuel: usage.fuel,
            memory_bytes: u64::try_from(usage.memory_bytes).unwrap_or(u64::MAX),
            wall_clock_us: u64::try_from(usage.took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// What a call was asked, after the tenant's rules have masked it. Settings and tables are the revision's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallInput {
    /// The instant of the evaluation.
    pub as_of: Instant,
    /// What the plugin saw of the SCIM User.
    pub user: Value,
    /// The handles of the person's groups.
    pub groups: Vec<String>,
    /// The account that roles were to be nominated for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Value>,
    /// The paths whose values are masked: a failure that hangs on one of them may not happen again.
    pub masked: Vec<String>,
}

/// Everything about a failure that may hold personal values: stored sealed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailureDetail {
    /// What happened, in a sentence.
    pub message: String,
    /// What is concerned: a JSON pointer into the answer, or the path that the plugin named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The limit that was met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitMet>,
    /// What the call used until its end.
    pub spent: Spent,
    /// The functions that were running, the innermost first.
    pub backtrace: Vec<Frame>,
    /// What the call logged.
    pub logs: Vec<LogLine>,
}

/// A failure as the decision tells it, before anybody knows whose it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Failing {
    /// How the call ended.
    pub kind: FailureKind,
    /// The fault's code, or the plugin's own for a refusal.
    pub code: String,
    /// What was said and used.
    pub detail: FailureDetail,
    /// What was asked, or why that is not kept.
    pub input: Result<CallInput, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_last_urgent_lines_and_short() {
        let line = |level: &str, message: &str| LogLine { level: level.into(), message: message.into() };
        assert!(LogLine::last_words(&[line("info", "a"), line("debug", "b")]).is_empty());
        let long = "ü".repeat(400);
        let logs = [line("error", "0"), line("warn", "1"), line("error", "2"), line("info", "between"), line("error", &long)];
        let words = LogLine::last_words(&logs);
        assert_eq!((&*words[0], &*words[1], words.len()), ("warn: 1", "error: 2", 3));
        assert_eq!(words[2], format!("error: {}…", "ü".repeat(150)));
    }
}
