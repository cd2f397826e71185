//! `rolecall backup` and `rolecall restore`: the database into one file and back. They work on the database itself, not over HTTP: a restore has
//! no server to ask, and whoever backs up has the database's rights and the master key anyway.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::backup::manifest::Manifest;
use crate::backup::{self, Place, Progress, Restored, Say, Tools, Wish};
use crate::cli::render::{self, Paint};
use crate::cli::serve::{Signals, install_tls_provider};
use crate::cli::{Output, confirmed, word};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, ConfigError, Layer, MASTER_KEY_VARIABLE, MasterKey};
use crate::crypto::Keyring;
use crate::store::copy::{LEFT_LIMIT, Left};

/// Back up the database into one file, also while servers are at work on it
#[derive(clap::Args)]
#[command(after_help = "\
The file holds everything but the master key: keep that apart, because whoever has both can read everything, and
without it the backup is worth nothing. On PostgreSQL the client programs (pg_dump) are needed.

Examples:
  rolecall backup --data-dir /var/lib/rolecall /backup/rolecall-$(date +%F).backup
  ROLECALL_DATABASE_URL=postgres://rolecall@db/rolecall \\\n    rolecall backup /backup/rolecall.backup --force
  rolecall backup --check /backup/rolecall.backup")]
pub struct Backup {
    /// The file to write, or with --check the one to look at
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Look whether FILE is a whole backup, and write nothing
    #[arg(long)]
    check: bool,
    /// Replace FILE where it is there already
    #[arg(long, conflicts_with = "check")]
    force: bool,
    #[command(flatten)]
    source: Source,
}

/// Put a backup into an empty database, or with --replace in the place of what stands
#[derive(clap::Args)]
#[command(after_help = "\
Stop the servers first, and put the master key in its place. The backup is looked at before anything is changed, and a restore
that fails leaves what stood.

Afterwards removals take effect at once and gains wait, for each connection, until it was reconciled or somebody releases it:
whoever left since the backup was taken is active in it.

Examples:
  rolecall restore --data-dir /var/lib/rolecall /backup/rolecall.backup
  rolecall restore --data-dir /var/lib/rolecall /backup/rolecall.backup --replace --revoke-tokens
  rolecall connection restored --tenant acme entra-id       then, once those who left are out:
  rolecall connection release --tenant acme entra-id --reason \"compared with HR's list\"")]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace what stands in the database
    #[arg(long)]
    replace: bool,
    /// End all API tokens; the next start prints a new operator token
    #[arg(long)]
    revoke_tokens: bool,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    source: Source,
}

/// Which database.
#[derive(clap::Args)]
struct Source {
    /// The server's configuration file
    #[arg(long, env = "ROLECALL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// `sqlite:PATH` or `postgres://…` [default: a SQLite file in the data directory]
    #[arg(long, env = "ROLECALL_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Where the master key and the SQLite file are kept [default: rolecall-data]
    #[arg(long, env = "ROLECALL_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The folder of PostgreSQL's client programs [default: the path, then where Debian keeps them]
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
}

impl Source {
    fn config(&self) -> anyhow::Result<Config> {
        let master_key = std::env::var(MASTER_KEY_VARIABLE).ok().map(Zeroizing::new);
        let flags = Layer { database_url: self.database_url.clone(), data_dir: self.data_dir.clone(), ..Layer::default() };
        Ok(Config::resolve(flags, self.config.as_deref(), master_key)?)
    }

    fn place(&self, config: &Config, say: Say) -> anyhow::Result<Place> {
        let keyring = key(config)?.ok_or_else(|| ConfigError::Invalid {
            key: "master_key",
            problem: format!(
                "is missing: there is no `master.key` in `{}`, and {MASTER_KEY_VARIABLE} is not set. Put there the key that the database was made with",
                config.data_dir.display()
            ),
        })?;
        Ok(Place { url: config.database_url.clone(), keyring, tools: Tools { folder: self.pg_bin.clone() }, say })
    }
}

/// The master key; `None` where there is none. It is never made here: another one would open nothing.
fn key(config: &Config) -> anyhow::Result<Option<Arc<Keyring>>> {
    Ok(match &config.master_key {
        MasterKey::File(path) if !path.is_file() => None,
        MasterKey::File(path) => Some(Arc::new(Keyring::from_file(path)?)),
        MasterKey::Hex(key) => Some(Arc::new(
            Keyring::from_hex(key)
                .map_err(|error| ConfigError::Invalid { key: MASTER_KEY_VARIABLE, problem: format!("can't be used: {error}") })?,
        )),
    })
}

/// Progress for people, on standard error.
fn telling(output: Output) -> Say {
    Arc::new(move |Progress { step, done, of }| {
        if output.json {
            return;
        }
        let mebibytes = |bytes: u64| bytes >> 20;
        let line = match (done, of) {
            (0, None) => format!("{step} …"),
            (0, Some(of)) => format!("{step} ({} MiB) …", mebibytes(of)),
            (done, None) => format!("{step}: {} MiB", mebibytes(done)),
            (done, Some(of)) => format!("{step}: {} of {} MiB", mebibytes(done), mebibytes(of)),
        };
        // Nothing can be done when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{line}");
    })
}

/// Does the work until somebody ends it; what is half made goes with it.
async fn until_told<T, E: Into<anyhow::Error>>(work: impl Future<Output = Result<T, E>>) -> anyhow::Result<T> {
    let mut stop = Signals::new()?;
    tokio::select! {
        done = work => done.map_err(Into::into),
        signal = stop.received() => Err(anyhow::anyhow!("ended by {signal}: what was not done is as it was, and nothing is half done")),
    }
}

impl Backup {
    /// Runs the command.
    ///
    /// # Errors
    /// What stops a backup, or shows that a file is none.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        install_tls_provider();
        let config = self.source.config()?;
        let say = telling(output);
        if self.check {
            let keyring = key(&config)?;
            let here = keyring.as_ref().map(|keyring| keyring.fingerprint());
            let manifest = until_told(backup::check(&self.file, keyring, &say)).await?;
            let fits = here.as_ref().map(|here| *here == manifest.master_key);
            let mut answer = answer(&self.file, &manifest);
            answer["master_key_is_here"] = json!(fits);
            output.show(&answer, |paint| {
                let key = match fits {
                    Some(true) => "The master key that it needs is the one here.",
                    Some(false) => "The master key here is another one than it needs.",
                    None => "There is no master key here to compare with.",
                };
                Ok(format!("{}\n{}{key}\n", paint.good("the backup is whole"), table(&self.file, &manifest)))
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        if !self.force && self.file.exists() {
            let problem = format!("is `{}`, which is there already: name another file, or give `--force`", self.file.display());
            return Err(ConfigError::Argument { name: "FILE", problem }.into());
        }
        if let MasterKey::File(key) = &config.master_key
            && backup::is_same_file(key, &self.file)
        {
            let problem = format!("is `{}`, the master key: name another file", self.file.display());
            return Err(ConfigError::Argument { name: "FILE", problem }.into());
        }
        let place = self.source.place(&config, say)?;
        let manifest = until_told(backup::back_up(&place, &self.file, SystemClock.now())).await?;
        output.show(&answer(&self.file, &manifest), |paint| {
            let key = match &config.master_key {
                MasterKey::File(path) => format!("`{}`", path.display()),
                MasterKey::Hex(_) => format!("the key in {MASTER_KEY_VARIABLE}"),
            };
            Ok(format!(
                "{}\n{}The master key is not in it, and without it the backup is worth nothing: keep {key} as well, and apart from it.\n",
                paint.good("the backup is made"),
                table(&self.file, &manifest)
            ))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Restore {
    /// Runs the command.
    ///
    /// # Errors
    /// What stops a restore; then what stood stands.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        install_tls_provider();
        let config = self.source.config()?;
        let place = self.source.place(&config, telling(output))?;
        let question = "Replace everything that stands in the database with the backup? What came since it was taken is gone.";
        if self.replace && !confirmed(self.yes, question)? {
            output.print("nothing was changed\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        let wish = Wish { replace: self.replace, revoke_tokens: self.revoke_tokens };
        let now = SystemClock.now();
        let restored = until_told(backup::restore(&place, &self.file, wish, now)).await?;
        let mut answer = answer(&self.file, &restored.manifest);
        answer["restored"] = json!(now);
        answer["tokens_revoked"] = json!(self.revoke_tokens);
        answer["left_since"] = json!(restored.left_since);
        output.show(&answer, |paint| {
            let done = paint.good("the backup is restored");
            Ok(format!("{done}\n{}{}", table(&self.file, &restored.manifest), next(paint, &restored, self.revoke_tokens)))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is left to do after a restore.
fn next(paint: Paint, Restored { manifest, left_since }: &Restored, revoked: bool) -> String {
    let mut text = format!(
        "
{}
- Gains wait: each connection takes removals and grants nothing new until it was reconciled, or somebody releases it.
  Whoever left after {} is active in the backup: `rolecall connection restored --tenant T CONNECTION` lists whom to look at, then
  `rolecall connection release --reason …`.
",
        paint.strong("What is left to do"),
        manifest.begun
    );
    if let Some(left) = left_since {
        text +=
            &format!("- What was replaced knew of {} people who have left since the backup; have them removed again:\n", many(left.len()));
        for Left { tenant, connection, id, user_name } in left {
            let shown = word(&Value::from(user_name.as_deref().unwrap_or("–")));
            text += &format!("    {}  {}  {}  {shown}\n", word(&json!(tenant)), word(&json!(connection)), word(&json!(id)));
        }
    }
    if revoked {
        text += "- All API tokens have ended: the next start prints a new operator token.\n";
    } else {
        let tokens = manifest.counts.api_tokens;
        text += &format!(
            "- {tokens} API tokens are good as they were then, also those that were revoked since: `--revoke-tokens` ends them all.\n"
        );
    }
    text += "- Nobody is signed in to the workspace, and no link to it is good: `rolecall workspace link` makes new ones.\n";
    text + &format!(
        "- {} tokens of connections are good as they were then: rotate those that were given away.
- Anchors of the history that were kept since the backup no longer match; the history itself verifies, and says that it was restored.
",
        manifest.counts.connection_tokens
    )
}

fn many(count: usize) -> String {
    let is_more = i64::try_from(count).is_ok_and(|count| count >= LEFT_LIMIT);
    if is_more { format!("{count} or more") } else { count.to_string() }
}

fn answer(file: &Path, manifest: &Manifest) -> Value {
    json!({"file": file.display().to_string(), "manifest": manifest, "master_key_included": false})
}

fn table(file: &Path, manifest: &Manifest) -> String {
    let mut table = render::table(["", ""]);
    let counts = &manifest.counts;
    for (name, value) in [
        ("file", file.display().to_string()),
        ("begun", manifest.begun.to_string()),
        ("database", format!("{}, schema {}, Rolecall {}", manifest.database.name(), manifest.schema, manifest.program)),
        ("tenants", counts.tenants.to_string()),
        ("connections", counts.connections.to_string()),
        ("people", format!("{}, {} groups", counts.people, counts.groups)),
        ("accounts", format!("{}, {} grants", counts.accounts, counts.grants)),
        ("events", counts.events.to_string()),
        ("size", format!("{} bytes, SHA-256 {}", manifest.bytes, manifest.sha256)),
        ("needs the master key", manifest.master_key.clone()),
    ] {
        table.add_row([name.to_owned(), word(&Value::from(value))]);
    }
    format!("{table}\n")
}
