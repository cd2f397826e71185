//! `rolecall serve`: builds the parts of a server, loads tenant folders, serves until told to stop, and drains.
//!
//! [`start`] is what `serve`, `dev`, `demo` and the tests have in common. The only wiring of the process is here.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::app::App;
use crate::cli::logging;
use crate::clock::{Clock, SystemClock};
use crate::compute::Compute;
use crate::config::{Config, ConfigError, Layer, MASTER_KEY_VARIABLE, MasterKey};
use crate::crypto::Keyring;
use crate::http::connections::{self, Bounds};
use crate::journal::Journal;
use crate::plugins::{Artefacts, Sandbox, SandboxConfig};
use crate::store::{self, ApiScope};
use crate::tenancy::{self, IssuedToken, Revisions, visitors};
use crate::{http, jobs, outgoing, reload};

/// Run the server.
#[derive(clap::Args)]
#[command(after_help = "\
Settings are taken from flags, then from the environment, then from the file.
ROLECALL_MASTER_KEY (64 hexadecimal digits) replaces the key file in the data directory.

Examples:
  rolecall serve
  rolecall serve --config /etc/rolecall/rolecall.toml
  rolecall serve --tenants examples/tenants --listen 0.0.0.0:8080 --log-format json
  ROLECALL_DATABASE_URL=postgres://rolecall@db/rolecall rolecall serve")]
pub struct Serve {
    /// A TOML file with the settings below, named with `_` for `-`
    #[arg(long, env = "ROLECALL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Layer,
}

/// A server that is running.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its parts.
    pub app: Arc<App>,
    grace: Duration,
    stop_serving: watch::Sender<bool>,
    stop_jobs: watch::Sender<bool>,
    server: JoinHandle<()>,
    worker: JoinHandle<()>,
    database_url: String,
    _held: Option<std::fs::File>,
}

/// Nothing is lost by it, but a copy of the file alone would lack what stands in the log.
const NOT_SETTLED: &str = "the write-ahead log could not be brought into the database's file: whoever copies it needs `-wal` as well";

/// What had finished when a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Every connection's requests.
    pub requests: bool,
    /// Every job.
    pub jobs: bool,
}

impl Running {
    /// `http://ADDR`, or the public URL when one is set.
    #[must_use]
    pub fn url(&self) -> String {
        self.app.public_url.clone().unwrap_or_else(|| format!("http://{}", self.addr))
    }

    /// Stops accepting, lets requests and then jobs finish, and gives up on what is left when the grace is over. Jobs are told to finish after
    /// half of it at the latest: a client that never ends its request holds up nobody else.
    pub async fn stop(mut self) -> Stopped {
        let ends = tokio::time::Instant::now() + self.grace;
        self.stop_serving.send_replace(true);
        let early = tokio::time::timeout(self.grace / 2, &mut self.server).await.ok();
        self.stop_jobs.send_replace(true);
        self.app.wake.notify_waiters();
        let worked = tokio::time::timeout_at(ends, &mut self.worker).await.ok();
        let served = match early {
            Some(served) => Some(served),
            None => tokio::time::timeout_at(ends, &mut self.server).await.ok(),
        };
        let stopped = Stopped { requests: served.is_some(), jobs: worked.is_some() };
        match (&served, &worked) {
            (Some(Ok(())), Some(Ok(()))) => {
                match tokio::time::timeout_at(ends, store::settle(&self.database_url)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "{NOT_SETTLED}"),
                    Err(_) => tracing::warn!("{NOT_SETTLED}, as the grace is over"),
                }
                tracing::info!("stopped: every request and job has finished");
            }
            (Some(Err(_)), _) | (_, Some(Err(_))) => {
                tracing::error!(server = ?served, worker = ?worked, "a part of the server failed while it stopped");
            }
            _ => {
                let Stopped { requests, jobs } = stopped;
                let grace_seconds = self.grace.as_secs();
                tracing::warn!(grace_seconds, requests, jobs, "stopped before everything had finished; what is left is durable");
                self.server.abort();
                self.worker.abort();
            }
        }
        stopped
    }

    /// Resolves when a part that should run for ever has ended by itself: never, unless there is a defect.
    async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            ended = &mut self.server => anyhow::anyhow!("the server has ended: {ended:?}"),
            ended = &mut self.worker => anyhow::anyhow!("the worker has ended: {ended:?}"),
        }
    }
}

/// Starts a server. Port 0 takes a free port; see [`Running::addr`].
///
/// # Errors
/// When the address is taken, the database is away, the master key is wrong or the sandbox can't be made.
pub async fn start(config: &Config) -> anyhow::Result<Running> {
    start_at(config, Arc::new(SystemClock)).await
}

/// As [`start`], with a clock of the caller's: for tests that move time.
///
/// # Errors
/// As [`start`].
pub async fn start_at(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Running> {
    assemble(config, clock, true).await
}

/// As [`start_at`], without the worker: for tests that call [`jobs::run_until_idle`] and look at what stands before and after.
///
/// # Errors
/// As [`start`].
pub async fn start_idle(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Running> {
    assemble(config, clock, false).await
}

async fn assemble(config: &Config, clock: Arc<dyn Clock>, work: bool) -> anyhow::Result<Running> {
    install_tls_provider();
    let listener = TcpListener::bind(&config.listen).await.map_err(|error| ConfigError::Invalid {
        key: "listen",
        problem: format!("is `{}`, where nothing can listen: {error}; try `127.0.0.1:8080`", config.listen),
    })?;
    let addr = listener.local_addr().context("the listener has no address")?;
    let (app, held) = build(config, clock).await?;
    let (stop_serving, serving_stopped) = watch::channel(false);
    let (stop_jobs, mut jobs_stopped) = watch::channel(false);
    let folders = match &config.tenants {
        Some(dir) => {
            let later = reload::load_folders(&app, dir).await?;
            work.then(|| reload::watch_folders(Arc::clone(&app), dir, later, jobs_stopped.clone())).transpose()?
        }
        None => None,
    };
    let router = http::router(Arc::clone(&app));
    let server = tokio::spawn(connections::serve(listener, router, Bounds::of_process(), serving_stopped));
    let working = Arc::clone(&app);
    let worker = tokio::spawn(async move {
        if work {
            jobs::run(working, jobs_stopped).await;
            if let Some(folders) = folders
                && let Err(error) = folders.await
            {
                tracing::error!(%error, "the job that watches tenants' folders ended abruptly");
            }
        } else {
            // An error means that the sender is gone, which is a stop too.
            let _ = jobs_stopped.wait_for(|stopped| *stopped).await;
        }
    });
    tracing::info!(%addr, "listening");
    let grace = Duration::from_secs(config.shutdown_grace_seconds);
    let database_url = config.database_url.clone();
    Ok(Running { addr, app, grace, stop_serving, stop_jobs, server, worker, database_url, _held: held })
}

/// The TLS library of outgoing requests and of PostgreSQL, chosen once for the process.
pub fn install_tls_provider() {
    // An error means that another server in this process has already done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The process's parts, and what keeps other processes from the database.
async fn build(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<(Arc<App>, Option<std::fs::File>)> {
    make_private_dir(&config.data_dir).with_context(|| format!("the data directory `{}` can't be made", config.data_dir.display()))?;
    let keyring = Arc::new(match &config.master_key {
        // A new key would open nothing that is in the database, and look as if it were the right one.
        MasterKey::File(path) if !path.exists() && store::is_there(&config.database_url).context("the database can't be opened")? => {
            anyhow::bail!(
                "there is a database and no master key `{}`: put back the key that the database was made with (it is no part of a backup), \
                 or give it in {MASTER_KEY_VARIABLE}",
                path.display()
            )
        }
        MasterKey::File(path) => Keyring::from_file(path)?,
        MasterKey::Hex(key) => Keyring::from_hex(key)
            .map_err(|error| ConfigError::Invalid { key: MASTER_KEY_VARIABLE, problem: format!("can't be used: {error}") })?,
    });
    let held = store::hold(&config.database_url).context("the database can't be opened")?;
    let store = store::open(&config.database_url, Arc::clone(&keyring)).await.context("the database can't be opened")?;
    let concurrency = u32::try_from(config.evaluation_threads).context("too many evaluation threads")?;
    let artefacts = Some(Artefacts::new(config.data_dir.join("compiled"), keyring.artefacts().clone()));
    let sandbox = Sandbox::new(&SandboxConfig { concurrency, artefacts, ..SandboxConfig::default() });
    let sandbox = sandbox.context("the sandbox can't be made")?;
    let compute = Compute::new(config.evaluation_threads, config.evaluation_queue);
    let outgoing = outgoing::Client::new(config.outgoing_allow.clone())?;
    let mut app = App::new(store, clock, keyring, sandbox, compute, config.connection_rate, outgoing);
    app.public_url.clone_from(&config.public_url);
    app.journal = Journal::keeping(config.provisioning_log_days);
    app.revisions = Revisions::resting_after(config.revision_idle_seconds);
    Ok((Arc::new(app), held))
}

fn make_private_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// As [`start`], and what ends a running server.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let master_key = std::env::var(MASTER_KEY_VARIABLE).ok().map(Zeroizing::new);
        let config = Config::resolve(self.settings, self.config.as_deref(), master_key)?;
        logging::init(config.log_format, &config.log_level)?;
        let mut stop = Signals::new()?;
        let mut running = start(&config).await?;
        issue_first_token(&running).await?;
        let failure = tokio::select! {
            signal = stop.received() => {
                tracing::info!(signal, "stopping");
                None
            }
            failure = running.failed() => Some(failure),
        };
        match failure {
            Some(failure) => Err(failure),
            None => {
                running.stop().await;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Where nobody could administer the server, at the first start above all, one token is made and shown once, on standard output, never in the log.
async fn issue_first_token(running: &Running) -> anyhow::Result<()> {
    if running.app.store.count_operator_tokens(running.app.clock.now()).await? > 0 {
        return Ok(());
    }
    let scope = ApiScope { write: true, ..ApiScope::default() };
    let issued = tenancy::create_api_token(&running.app, scope, None).await?;
    let shown = show_first_token(running, &issued).await;
    if shown.is_err() {
        // What nobody has seen would keep every later start from making one.
        running.app.store.end_api_token(None, &issued.id, &tenancy::starting(), running.app.clock.now()).await?;
    }
    shown.context("the first token can't be shown on standard output, and was ended: the next start makes another")
}

async fn show_first_token(running: &Running, issued: &IssuedToken) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "There is no token for an operator yet, or none that is still good. The one below may do everything; it is shown this once and stored nowhere:\n"
    )?;
    writeln!(out, "  {}\n", *issued.token)?;
    writeln!(out, "Keep it in a secret store. Try: ROLECALL_TOKEN=… rolecall tenant list --server {}\n", running.url())?;
    let link = visitors::first_link(&running.app, None).await?;
    writeln!(out, "To sign in to the workspace, open this once, within 15 minutes (later: `rolecall workspace link`):\n")?;
    writeln!(out, "  {}/workspace/links/{}\n", running.url(), *link.token)?;
    out.flush()?;
    Ok(())
}

/// The signals that mean: stop.
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).context("signals can't be received");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Resolves with the name of the first that comes.
    pub async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests;
