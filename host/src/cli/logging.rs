//! Where log lines go: standard error, so that standard output stays what a command answers.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::SubscriberBuilder;

use crate::config::{ConfigError, LogFormat};

/// Starts logging for the process.
///
/// # Errors
/// For a filter that can't be read.
pub fn init(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(filter).map_err(|error| ConfigError::Invalid {
        key: "log_level",
        problem: format!("is `{filter}`: {error}; try `info` or `warn,rolecall=debug`"),
    })?;
    let builder = SubscriberBuilder::default().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    set.map_err(|error| anyhow::anyhow!("{error}")).context("logging can't be started")
}
