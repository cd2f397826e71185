//! Everything that the servers of this process log, so that tests can show what is not in it.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The most that is kept, in bytes: what is older than that is of no test that still runs.
const KEPT_LIMIT: usize = 64 * 1024 * 1024;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() > KEPT_LIMIT {
            log.drain(..KEPT_LIMIT / 2);
        }
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

/// Captures what this process logs, from `debug` upwards.
pub fn capture() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let targets = Targets::new().with_default(Level::INFO).with_targets([("rolecall", Level::DEBUG), ("rolecall_scim", Level::DEBUG)]);
        let lines = tracing_subscriber::fmt::layer().json().with_writer(Sink);
        tracing_subscriber::registry().with(targets).with(lines).try_init().expect("nothing else in the tests sets a subscriber");
    });
}

/// Whether the text stands anywhere in what was logged.
#[must_use]
pub fn contains(text: &str) -> bool {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    log.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The lines that hold the text.
#[must_use]
pub fn lines_with(text: &str) -> Vec<String> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner).clone();
    String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}
