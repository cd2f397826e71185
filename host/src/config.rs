//! The settings of a server: flags over environment over a file, checked once, before anything starts.
//!
//! One table, [`Layer`], makes the flags, the environment variables and the file's keys, so they can't drift apart.
//! Knows nothing of what the settings are for.

use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::outgoing::Allowed;
use crate::rate::Rate;

/// How long an entry of the provisioning log is kept unless a setting says otherwise, in days.
pub const LOG_DAYS: u32 = 30;
/// The longest that it may be kept, in days: what personal ids are in is bounded.
const MAX_LOG_DAYS: u32 = 400;

/// Where the master key is taken from when it is not in a file.
pub const MASTER_KEY_VARIABLE: &str = "ROLECALL_MASTER_KEY";
/// The loopback address: nothing is exposed until an operator says so.
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
/// Beside wherever the server is started, so that a first try needs no rights.
const DEFAULT_DATA_DIR: &str = "rolecall-data";
/// Enough to follow what is happening, without a line for every query.
const DEFAULT_LOG_LEVEL: &str = "info";
/// Below the 30 seconds after which common supervisors kill.
const DEFAULT_SHUTDOWN_GRACE_SECONDS: u64 = 20;
/// The longest grace of a shutdown, in seconds: beyond it a stuck one would be taken for a hang.
const MAX_SHUTDOWN_GRACE_SECONDS: u64 = 600;
/// The most threads for tenant code: each holds a stack and a slot of the sandbox, and more than the cores never help.
const MAX_EVALUATION_THREADS: usize = 256;
/// How many evaluations of one tenant may wait: a large group change fits, and a flood is refused before it holds memory.
const DEFAULT_EVALUATION_QUEUE: usize = 1_024;
/// The most evaluations of one tenant that a setting may let wait: a slip of the pen must not take the bound away.
const MAX_EVALUATION_QUEUE: usize = 1_000_000;
/// How long a tenant's revision stays built in memory after it was last needed, in seconds: directories come by every 40 minutes or when
/// something happens, and building it again takes milliseconds.
const DEFAULT_REVISION_IDLE_SECONDS: u64 = 900;
/// The longest that it may stay, in seconds: a month is for ever.
const MAX_REVISION_IDLE_SECONDS: u64 = 31 * 86_400;
/// What a connection may ask for in every second: four times what Entra ID's gallery expects of a server (25 a second).
const DEFAULT_CONNECTION_REQUESTS_PER_SECOND: u32 = 100;
/// What a connection may ask for at once: the largest bursts of real clients are some hundred requests.
const DEFAULT_CONNECTION_BURST: u32 = 1_000;
/// The most that either may be set to: beyond it, no limit is meant.
const MAX_CONNECTION_REQUESTS: u32 = 1_000_000;
/// The largest configuration file, in bytes: it is a page of text, and anything larger is another file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file `{path}` can't be read")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file says something that is not a setting.
    #[error("{path}:{line}:{column}: {message}")]
    Malformed {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong there. Never the line itself: it may hold the database's password.
        message: String,
    },
    /// An argument of the command line that can't be.
    #[error("`{name}` {problem}")]
    Argument {
        /// As the help writes it: `--role`, `FILE`.
        name: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A value that can't be.
    #[error("the setting `{key}` {problem}")]
    Invalid {
        /// The setting.
        key: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What one source (flags and environment, or the file) says. Every value is optional: the next source is asked.
#[derive(Clone, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Layer {
    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "ROLECALL_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// `sqlite:PATH` or `postgres://…` [default: a SQLite file in the data directory]
    #[arg(long, env = "ROLECALL_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Where the master key and the SQLite file are kept [default: rolecall-data]
    #[arg(long, env = "ROLECALL_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Load each folder in DIR as the tenant of that name
    #[arg(long, env = "ROLECALL_TENANTS", value_name = "DIR")]
    pub tenants: Option<PathBuf>,
    /// The address that clients see when a proxy is in front, such as `https://rolecall.example`
    #[arg(long, env = "ROLECALL_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// How log lines are written to standard error [default: text]
    #[arg(long, env = "ROLECALL_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: a level, or directives such as `warn,rolecall=debug` [default: info]
    #[arg(long, env = "ROLECALL_LOG_LEVEL", value_name = "FILTER")]
    pub log_level: Option<String>,
    /// Threads for tenants' plugins and policies [default: one a core]
    #[arg(long, env = "ROLECALL_EVALUATION_THREADS", value_name = "N")]
    pub evaluation_threads: Option<usize>,
    /// Evaluations of one tenant that may wait before it is answered 503 [default: 1024]
    #[arg(long, env = "ROLECALL_EVALUATION_QUEUE", value_name = "N")]
    pub evaluation_queue: Option<usize>,
    /// How long a tenant's revision stays built in memory after it was last needed [default: 900]
    #[arg(long, env = "ROLECALL_REVISION_IDLE_SECONDS", value_name = "SECONDS")]
    pub revision_idle_seconds: Option<u64>,
    /// Requests that one connection may make per second, for ever; more is answered 429, 0 sets no limit [default: 100]
    #[arg(long, env = "ROLECALL_CONNECTION_REQUESTS_PER_SECOND", value_name = "N")]
    pub connection_requests_per_second: Option<u32>,
    /// Requests that one connection may make at once, after a rest [default: 1000]
    #[arg(long, env = "ROLECALL_CONNECTION_BURST", value_name = "N")]
    pub connection_burst: Option<u32>,
    /// What is called beside the public internet: addresses, ranges and hosts' names, separated by commas [default: nothing]
    #[arg(long, env = "ROLECALL_OUTGOING_ALLOW", value_name = "LIST", value_delimiter = ',')]
    pub outgoing_allow: Option<Vec<String>>,
    /// For how many days the provisioning log is kept; 0 keeps none [default: 30]
    #[arg(long, env = "ROLECALL_PROVISIONING_LOG_DAYS", value_name = "DAYS")]
    pub provisioning_log_days: Option<u32>,
    /// How long requests and jobs may take to finish once the server is told to stop [default: 20]
    #[arg(long, env = "ROLECALL_SHUTDOWN_GRACE_SECONDS", value_name = "SECONDS")]
    pub shutdown_grace_seconds: Option<u64>,
}

/// Where the master key comes from.
#[derive(Clone)]
pub enum MasterKey {
    /// A file in the data directory, made at the first start.
    File(PathBuf),
    /// 64 hexadecimal digits, from the operator's secret store.
    Hex(Zeroizing<String>),
}

/// The settings of a server, complete and checked.
#[derive(Clone)]
pub struct Config {
    /// The address to listen on.
    pub listen: String,
    /// The database; may hold a password, so it is never printed.
    pub database_url: String,
    /// Where the master key and the SQLite file are kept.
    pub data_dir: PathBuf,
    /// Where the master key comes from.
    pub master_key: MasterKey,
    /// Folders to load as tenants.
    pub tenants: Option<PathBuf>,
    /// The scheme and authority that clients see, without a `/` at the end.
    pub public_url: Option<String>,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_level: String,
    /// Threads for tenant code.
    pub evaluation_threads: usize,
    /// Evaluations of one tenant that may wait.
    pub evaluation_queue: usize,
    /// How long a tenant's revision stays built in memory after it was last needed, in seconds.
    pub revision_idle_seconds: u64,
    /// How many requests a connection may make; 0 per second is no limit.
    pub connection_rate: Rate,
    /// What is called beside the public internet.
    pub outgoing_allow: Allowed,
    /// For how many days the provisioning log is kept; 0 keeps none.
    pub provisioning_log_days: u32,
    /// How long a shutdown may take, in seconds.
    pub shutdown_grace_seconds: u64,
}

impl Config {
    /// The settings of a server whose state is all in `data_dir`, on a free port of the loopback interface: for `dev`, the demo and tests.
    #[must_use]
    pub fn local(data_dir: &Path) -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            database_url: sqlite_url(data_dir),
            data_dir: data_dir.to_owned(),
            master_key: MasterKey::File(master_key_file(data_dir)),
            tenants: None,
            public_url: None,
            log_format: LogFormat::Text,
            log_level: "warn".to_owned(),
            evaluation_threads: cores(),
            evaluation_queue: DEFAULT_EVALUATION_QUEUE,
            revision_idle_seconds: DEFAULT_REVISION_IDLE_SECONDS,
            // One's own machine, where loads are tried out.
            connection_rate: Rate { per_second: 0, burst: DEFAULT_CONNECTION_BURST },
            outgoing_allow: Allowed::this_machine(),
            provisioning_log_days: LOG_DAYS,
            shutdown_grace_seconds: DEFAULT_SHUTDOWN_GRACE_SECONDS,
        }
    }

    /// Flags and environment (`flags`) over the file. `master_key` is the environment's: a key has no place in a process list or a file of settings.
    ///
    /// # Errors
    /// [`ConfigError`]: which setting, where, and what to do.
    pub fn resolve(flags: Layer, file: Option<&Path>, master_key: Option<Zeroizing<String>>) -> Result<Self, ConfigError> {
        let layer = match file {
            Some(path) => flags.over(Layer::read(path)?),
            None => flags,
        };
        let data_dir = layer.data_dir.unwrap_or_else(|| DEFAULT_DATA_DIR.into());
        let local = Self::local(&data_dir);
        let config = Self {
            listen: layer.listen.unwrap_or_else(|| DEFAULT_LISTEN.to_owned()),
            database_url: layer.database_url.unwrap_or(local.database_url),
            data_dir,
            master_key: master_key.map_or(local.master_key, MasterKey::Hex),
            tenants: layer.tenants,
            public_url: layer.public_url.map(|url| url.trim_end_matches('/').to_owned()),
            log_format: layer.log_format.unwrap_or_default(),
            log_level: layer.log_level.unwrap_or_else(|| DEFAULT_LOG_LEVEL.to_owned()),
            evaluation_threads: layer.evaluation_threads.unwrap_or(local.evaluation_threads),
            evaluation_queue: layer.evaluation_queue.unwrap_or(local.evaluation_queue),
            provisioning_log_days: layer.provisioning_log_days.unwrap_or(local.provisioning_log_days),
            revision_idle_seconds: layer.revision_idle_seconds.unwrap_or(local.revision_idle_seconds),
            connection_rate: Rate {
                per_second: layer.connection_requests_per_second.unwrap_or(DEFAULT_CONNECTION_REQUESTS_PER_SECOND),
                burst: layer.connection_burst.unwrap_or(DEFAULT_CONNECTION_BURST),
            },
            outgoing_allow: Allowed::read(&layer.outgoing_allow.unwrap_or_default())
                .map_err(|error| ConfigError::Invalid { key: "outgoing_allow", problem: error.to_string() })?,
            shutdown_grace_seconds: layer.shutdown_grace_seconds.unwrap_or(local.shutdown_grace_seconds),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key, problem: String| Err(ConfigError::Invalid { key, problem });
        if !["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| self.database_url.starts_with(scheme)) {
            return invalid("database_url", "must begin with `sqlite:` or `postgres:`".into());
        }
        if let Some(url) = &self.public_url {
            let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
            if authority.is_empty() || authority.contains(['/', '?', '#', ' ', '@']) {
                return invalid("public_url", format!("is `{url}`: give scheme and host alone, such as `https://rolecall.example`"));
            }
        }
        within("evaluation_threads", self.evaluation_threads, MAX_EVALUATION_THREADS)?;
        within("evaluation_queue", self.evaluation_queue, MAX_EVALUATION_QUEUE)?;
        if self.connection_rate.per_second > MAX_CONNECTION_REQUESTS {
            return invalid("connection_requests_per_second", format!("must be at most {MAX_CONNECTION_REQUESTS}"));
        }
        if !(1..=MAX_CONNECTION_REQUESTS).contains(&self.connection_rate.burst) {
            return invalid("connection_burst", format!("must be from 1 to {MAX_CONNECTION_REQUESTS}"));
        }
        if self.provisioning_log_days > MAX_LOG_DAYS {
            return invalid("provisioning_log_days", format!("must be at most {MAX_LOG_DAYS}"));
        }
        if self.revision_idle_seconds > MAX_REVISION_IDLE_SECONDS {
            return invalid("revision_idle_seconds", format!("must be at most {MAX_REVISION_IDLE_SECONDS}"));
        }
        if self.shutdown_grace_seconds > MAX_SHUTDOWN_GRACE_SECONDS {
            return invalid("shutdown_grace_seconds", format!("must be at most {MAX_SHUTDOWN_GRACE_SECONDS}"));
        }
        Ok(())
    }
}

impl Layer {
    /// Reads the file. Paths in it are relative to the file's own folder, so that it means the same wherever the server is started.
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.display().to_string(), source };
        // It may be a pipe, whose size nobody knows before it is read.
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(unreadable(std::io::Error::other(format!("it has more than {MAX_FILE_BYTES} bytes"))));
        }
        let mut layer = Self::parse(&path.display().to_string(), &text)?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for relative in [&mut layer.data_dir, &mut layer.tenants].into_iter().flatten() {
            *relative = folder.join(&*relative);
        }
        layer.database_url = layer.database_url.map(|url| beside(folder, url));
        Ok(layer)
    }

    fn parse(path: &str, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            ConfigError::Malformed {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                message: error.message().to_owned(),
            }
        })
    }

    /// What this source says, and where it is silent what `under` says.
    fn over(self, under: Self) -> Self {
        Self {
            listen: self.listen.or(under.listen),
            database_url: self.database_url.or(under.database_url),
            data_dir: self.data_dir.or(under.data_dir),
            tenants: self.tenants.or(under.tenants),
            public_url: self.public_url.or(under.public_url),
            log_format: self.log_format.or(under.log_format),
            log_level: self.log_level.or(under.log_level),
            evaluation_threads: self.evaluation_threads.or(under.evaluation_threads),
            evaluation_queue: self.evaluation_queue.or(under.evaluation_queue),
            provisioning_log_days: self.provisioning_log_days.or(under.provisioning_log_days),
            revision_idle_seconds: self.revision_idle_seconds.or(under.revision_idle_seconds),
            connection_requests_per_second: self.connection_requests_per_second.or(under.connection_requests_per_second),
            connection_burst: self.connection_burst.or(under.connection_burst),
            outgoing_allow: self.outgoing_allow.or(under.outgoing_allow),
            shutdown_grace_seconds: self.shutdown_grace_seconds.or(under.shutdown_grace_seconds),
        }
    }
}

fn within(key: &'static str, value: usize, max: usize) -> Result<(), ConfigError> {
    if (1..=max).contains(&value) { Ok(()) } else { Err(ConfigError::Invalid { key, problem: format!("must be from 1 to {max}") }) }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_EVALUATION_THREADS)
}

fn master_key_file(data_dir: &Path) -> PathBuf {
    data_dir.join("master.key")
}

/// The SQLite file in a data directory, as a URL.
fn sqlite_url(data_dir: &Path) -> String {
    format!("sqlite:{}", in_url(&data_dir.join("rolecall.db")))
}

/// A path as it stands in a URL, where `%` and `?` mean something.
fn in_url(path: &Path) -> String {
    path.display().to_string().replace('%', "%25").replace('?', "%3F")
}

/// A URL from a file in a folder: a SQLite file without a whole path is beside the file that names it.
fn beside(folder: &Path, url: String) -> String {
    let Some(path) = url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path)) else { return url };
    if folder.as_os_str().is_empty() || path.is_empty() || path.starts_with(['/', ':']) {
        return url;
    }
    format!("sqlite:{}/{path}", in_url(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rolecall.toml");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn problem(text: &str) -> String {
        let (_dir, path) = file(text);
        let error = Config::resolve(Layer::default(), Some(&path), None).err().unwrap();
        error.to_string().replace(&path.display().to_string(), "FILE")
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let (dir, path) = file("listen = \"0.0.0.0:1\"\nevaluation_threads = 3\ntenants = \"t\"\npublic_url = \"https://r.example/\"\n");
        let flags = Layer { listen: Some("127.0.0.1:2".into()), ..Layer::default() };
        let config = Config::resolve(flags, Some(&path), None).unwrap();
        assert_eq!(config.listen, "127.0.0.1:2");
        assert_eq!(config.evaluation_threads, 3);
        assert_eq!(config.tenants.unwrap(), dir.path().join("t"));
        assert_eq!(config.public_url.unwrap(), "https://r.example");
        assert_eq!(config.database_url, "sqlite:rolecall-data/rolecall.db");
        assert_eq!(config.connection_rate, Rate { per_second: 100, burst: 1_000 });
        assert_eq!(config.shutdown_grace_seconds, DEFAULT_SHUTDOWN_GRACE_SECONDS);
        assert!(matches!(config.master_key, MasterKey::File(path) if path == Path::new("rolecall-data/master.key")));
    }

    #[test]
    fn a_database_in_a_file_is_named_from_the_file() {
        let folder = Path::new("/etc/role?call");
        for (written, means) in [
            ("sqlite:my.db", "sqlite:/etc/role%3Fcall/my.db"),
            ("sqlite://data/my.db?mode=rwc", "sqlite:/etc/role%3Fcall/data/my.db?mode=rwc"),
            ("sqlite:/srv/my.db", "sqlite:/srv/my.db"),
            ("sqlite:///srv/my.db", "sqlite:///srv/my.db"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("postgres://db.example/rolecall", "postgres://db.example/rolecall"),
        ] {
            assert_eq!(beside(folder, written.to_owned()), means);
        }
        assert_eq!(beside(Path::new(""), "sqlite:my.db".to_owned()), "sqlite:my.db");
        let (dir, path) = file("database_url = \"sqlite:my.db\"\n");
        let config = Config::resolve(Layer::default(), Some(&path), None).unwrap();
        assert_eq!(config.database_url, format!("sqlite:{}/my.db", dir.path().display()));
    }

    #[test]
    fn the_default_database_follows_the_data_directory() {
        let flags = Layer { data_dir: Some("/srv/50%?".into()), ..Layer::default() };
        let config = Config::resolve(flags, None, Some(Zeroizing::new("00".repeat(32)))).unwrap();
        assert_eq!(config.database_url, "sqlite:/srv/50%25%3F/rolecall.db");
        assert!(matches!(config.master_key, MasterKey::Hex(_)));
    }

    #[test]
    fn unknown_keys_are_refused_with_their_place_and_without_their_value() {
        let text = problem("listen = \"x\"\n\ndatabase_ur = \"postgres://u:hunter2@db/r\"\n");
        assert!(text.starts_with("FILE:3:1: unknown field `database_ur`"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn malformed_files_and_values_are_refused_by_name() {
        for (text, expected) in [
            ("evaluation_threads = \"many\"", "FILE:1:22: invalid type"),
            ("log_format = \"xml\"", "FILE:1:14: unknown variant `xml`"),
            ("listen = ", "FILE:1:"),
            ("evaluation_threads = 0", "the setting `evaluation_threads` must be from 1 to 256"),
            ("evaluation_queue = 0", "the setting `evaluation_queue` must be from 1 to 1000000"),
            ("connection_requests_per_second = 1000001", "the setting `connection_requests_per_second` must be at most 1000000"),
            ("connection_burst = 0", "the setting `connection_burst` must be from 1 to 1000000"),
            ("revision_idle_seconds = 2678401", "the setting `revision_idle_seconds` must be at most 2678400"),
            ("outgoing_allow = [\"127.0.0.0/8\", \"10.0.0.0/33\"]", "the setting `outgoing_allow` has `10.0.0.0/33`: give an address"),
            ("shutdown_grace_seconds = 601", "the setting `shutdown_grace_seconds` must be at most 600"),
            ("database_url = \"mysql://u:hunter2@h/d\"", "the setting `database_url` must begin with `sqlite:` or `postgres:`"),
            ("public_url = \"rolecall.example\"", "the setting `public_url` is `rolecall.example`"),
            ("public_url = \"https://rolecall.example/scim\"", "the setting `public_url` is"),
        ] {
            let found = problem(text);
            assert!(found.starts_with(expected), "{text}: {found}");
            assert!(!found.contains("hunter2"), "{found}");
        }
        let missing = Config::resolve(Layer::default(), Some(Path::new("/nowhere/rolecall.toml")), None).err().unwrap();
        assert_eq!(missing.to_string(), "the configuration file `/nowhere/rolecall.toml` can't be read");
        let endless = Config::resolve(Layer::default(), Some(Path::new("/dev/zero")), None).err().unwrap();
        let ConfigError::Unreadable { source, .. } = endless else { panic!("{endless}") };
        assert_eq!(source.to_string(), "it has more than 65536 bytes");
    }

    #[test]
    fn the_example_is_accepted_and_the_guide_lists_every_setting() {
        use clap::Args as _;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let example = Config::resolve(Layer::default(), Some(&root.join("examples/deployment/rolecall.toml")), None).unwrap();
        assert_eq!(example.data_dir, Path::new("/var/lib/rolecall"));
        let guide = std::fs::read_to_string(root.join("docs/operators.md")).unwrap();
        let command = Layer::augment_args(clap::Command::new("serve"));
        for arg in command.get_arguments() {
            let key = arg.get_id().as_str();
            let row = format!("| `{key}` | `--{}` | `ROLECALL_{}` |", key.replace('_', "-"), key.to_uppercase());
            assert!(guide.contains(&row), "docs/operators.md has no row for `{key}`");
            assert_eq!(arg.get_env(), Some(format!("ROLECALL_{}", key.to_uppercase()).as_ref()));
        }
    }
}
