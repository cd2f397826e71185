//! Where log lines go: standard error, so that standard output stays what a command answers.

use anyhow::Context as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{ConfigError, LogFormat};

/// The words for how much is logged, least first.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// Starts logging for the process.
///
/// # Errors
/// For a filter that can't be read.
pub fn init(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let targets = read(filter).map_err(|problem| ConfigError::Invalid { key: "log_level", problem })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let set = tracing_subscriber::registry().with(targets).with(lines).try_init();
    set.context("logging can't be started")
}

/// A filter: levels, each alone or after the module that it is for (`warn,rolecall=debug`). A word that is neither is refused: it would be taken for a
/// module, and what was meant would not be logged.
fn read(filter: &str) -> Result<Targets, String> {
    filter.split(',').map(str::trim).try_fold(Targets::new(), |targets, directive| {
        let (module, word) = directive.split_once('=').map_or((None, directive), |(module, word)| (Some(module.trim()), word.trim()));
        let level = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, level)| *level).ok_or_else(|| {
            let levels = LEVELS.map(|(name, _)| name).join(", ");
            format!("is `{filter}`, in which `{word}` is no level ({levels}); try `info` or `warn,rolecall=debug`")
        })?;
        match module {
            None => Ok(targets.with_default(level)),
            Some("") => Err(format!("is `{filter}`, in which `{directive}` names no module; try `info` or `warn,rolecall=debug`")),
            Some(module) => Ok(targets.with_target(module, level)),
        }
    })
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_is_levels_alone_and_of_modules() {
        let filter = read("WARN, rolecall=debug,rolecall::store=off").unwrap();
        let shown = |target, level| filter.would_enable(target, &level);
        assert!(shown("hyper", Level::WARN) && !shown("hyper", Level::INFO));
        assert!(shown("rolecall::http", Level::DEBUG) && !shown("rolecall::http", Level::TRACE));
        assert!(!shown("rolecall::store", Level::ERROR));
    }

    #[test]
    fn what_is_no_level_is_refused_by_name() {
        for (filter, part) in [
            ("debgu", "`debgu`"),
            ("warn,rolecall", "`rolecall`"),
            ("banana=", "``"),
            ("=info", "names no module"),
            ("", "``"),
            ("a=b=info", "`b=info`"),
        ] {
            let problem = read(filter).unwrap_err();
            assert!(problem.contains(part) && problem.contains("warn,rolecall=debug"), "{filter}: {problem}");
        }
    }
}
