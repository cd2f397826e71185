//! Tenants that are folders on this machine: read when the server starts, and again whenever a file in them changes. A folder goes the
//! same way as an upload; what is broken, or turns too many people away, leaves the last good revision in force.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::app::App;
use crate::diagnostic::{self, Diagnostic};
use crate::model::{Actor, TenantId};
use crate::revision::{self, Files, SETTINGS};
use crate::store::StoreError;
use crate::tenancy::{self, TenancyError};
use crate::trial;

/// The owner of tenants that are folders.
const OWNER: &str = "folder";
/// For how long a folder has to be left alone before it is read: editors and copies write several files, each in several steps.
const QUIET: Duration = Duration::from_millis(200);
/// How often folders are looked over for changes that the system did not tell of: network file systems tell nothing.
const LOOK_OVER: Duration = Duration::from_secs(30);
/// How often a folder is tried again that the database or the evaluation threads had no room for.
const AGAIN: Duration = Duration::from_secs(2);
/// Changes that wait to be looked at: they only say which folder, so that any more mean nothing new.
const CHANGES_LIMIT: usize = 1_024;

/// Why a folder's revision is not active. The tenant's last good one stays.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The name of the folder can't be a tenant's.
    #[error("the folder's name is not valid UTF-8")]
    Name,
    /// The folder can't be read.
    #[error("the folder has {}", diagnostic::counted(.0.len(), "problem"))]
    Broken(Vec<Diagnostic>),
    /// Its revision is refused.
    #[error(transparent)]
    Refused(#[from] TenancyError),
}

impl FolderError {
    /// Whether the folder itself is no reason, and the same again may do.
    fn passes(&self) -> bool {
        matches!(
            self,
            Self::Refused(TenancyError::Store(StoreError::Unavailable(_) | StoreError::Conflict { .. }) | TenancyError::Overloaded(_))
        )
    }
}

/// The folders in `dir` that are tenants'.
fn folders(dir: &Path) -> std::io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.join(SETTINGS).is_file() {
            found.insert(path);
        }
    }
    Ok(found)
}

/// What [`load_folders`] leaves to [`watch_folders`].
#[derive(Debug, Default)]
pub struct Left {
    /// Folders of tenants that have people already: they are simulated first.
    pub later: Vec<PathBuf>,
    /// Folders that were reported: that they are in order again is worth a line.
    pub broken: Vec<PathBuf>,
}

/// Loads each folder in `dir` as the tenant of that name. A broken folder is reported and stops no other.
///
/// # Errors
/// When `dir` can't be read, or the database is away.
pub async fn load_folders(app: &Arc<App>, dir: &Path) -> anyhow::Result<Left> {
    use anyhow::Context as _;
    let found = folders(dir).with_context(|| format!("the tenants' directory `{}` can't be read", dir.display()))?;
    if found.is_empty() {
        tracing::warn!(dir = %dir.display(), "no folder here holds a `tenant.toml`: no tenant was loaded");
    }
    let mut left = Left::default();
    for folder in found {
        let with_people = match tenant_of(&folder) {
            Ok(tenant) => has_people(app, &tenant).await,
            Err(_) => Ok(false),
        };
        match with_people {
            Ok(true) => {
                left.later.push(folder);
                continue;
            }
            Ok(false) => {}
            Err(error) => return Err(anyhow::Error::new(error).context("the tenants' folders can't be loaded")),
        }
        match load_folder(app, &folder).await {
            Ok((tenant, changed)) => tracing::info!(%tenant, changed, "tenant folder loaded"),
            // Nothing is decided well without the database: better not to start than to start half.
            Err(FolderError::Refused(TenancyError::Store(error @ StoreError::Unavailable(_)))) => {
                return Err(anyhow::Error::new(error).context("the tenants' folders can't be loaded"));
            }
            Err(error) => {
                report(&folder, &error);
                left.broken.push(folder);
            }
        }
    }
    Ok(left)
}

async fn has_people(app: &App, tenant: &TenantId) -> Result<bool, StoreError> {
    let known = app.store.tenant(tenant).await?.is_some_and(|tenant| tenant.active_revision.is_some());
    Ok(known && app.store.count_people(tenant, 1).await? > 0)
}

fn tenant_of(folder: &Path) -> Result<TenantId, FolderError> {
    folder.file_name().and_then(|name| name.to_str()).map(TenantId::from).ok_or(FolderError::Name)
}

/// Makes the folder's revision the active one of the tenant that it is named for. Says whether another was active before.
///
/// # Errors
/// [`FolderError`]; the last good revision stays active.
pub async fn load_folder(app: &Arc<App>, folder: &Path) -> Result<(TenantId, bool), FolderError> {
    let tenant = tenant_of(folder)?;
    let path = folder.to_owned();
    let files = tokio::task::spawn_blocking(move || revision::read_folder(&path))
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
        .map_err(FolderError::Broken)?;
    let changed = load_files(app, &tenant, files, OWNER).await?;
    Ok((tenant, changed))
}

/// Makes `files` the active revision of a tenant, which is made if it is missing. Says whether another was active before.
///
/// # Errors
/// [`TenancyError`]; the last good revision stays active.
pub async fn load_files(app: &Arc<App>, tenant: &TenantId, files: Files, owner: &str) -> Result<bool, TenancyError> {
    let name = display_name(&files).unwrap_or_else(|| tenant.0.clone());
    tenancy::ensure_tenant(app, tenant, &name, owner).await?;
    let kind = if owner == OWNER { OWNER } else { "startup" };
    let actor = Actor { kind: kind.to_owned(), id: tenant.0.clone() };
    trial::deploy(app, tenant, files, owner, &actor).await
}

/// The tenant's name for people, read before the folder is checked: a tenant has its name even while its first revision is broken.
#[must_use]
pub fn display_name(files: &Files) -> Option<String> {
    let settings: toml::Table = toml::from_str(std::str::from_utf8(files.get(SETTINGS)?).ok()?).ok()?;
    settings.get("name")?.as_str().map(str::to_owned)
}

fn report(folder: &Path, error: &FolderError) {
    let shown = folder.display();
    tracing::error!(folder = %shown, %error, "the tenant folder is not loaded; its last good revision stays active");
    match error {
        FolderError::Broken(problems) | FolderError::Refused(TenancyError::Broken(problems)) => {
            for problem in problems {
                let Diagnostic { file, line, column, help, .. } = problem;
                // The line with the caret below it, but for files that hold people. How many there are is said once, above.
                let told =
                    if file.starts_with("tests/") || file.starts_with("tables/") { problem.message.clone() } else { problem.to_string() };
                tracing::error!(folder = %shown, file, line, column, help, "{}", told.trim_end());
            }
        }
        FolderError::Refused(TenancyError::Golden(cases)) => {
            for case in cases.iter().filter(|case| case.diff.is_some()) {
                tracing::error!(folder = %shown, file = case.file, "golden case `{}` fails: see `rolecall tenant test`", case.name);
            }
        }
        FolderError::Name | FolderError::Refused(_) => {}
    }
}

/// What a folder looks like from outside: its files with size and time.
type Look = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// Loads folders again when something in them changes, until told to stop: first those that were left for later, then whatever the system
/// tells of.
///
/// # Errors
/// When the directory can't be watched.
pub fn watch_folders(app: Arc<App>, dir: &Path, left: Left, stop: watch::Receiver<bool>) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    use anyhow::Context as _;
    let dir = dir.canonicalize().with_context(|| format!("the tenants' directory `{}` can't be read", dir.display()))?;
    let (changed, changes) = mpsc::channel(CHANGES_LIMIT);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let paths = match event {
            Ok(event) if event.kind.is_access() => return,
            Ok(event) => event.paths,
            // What was missed is found when the folders are looked over.
            Err(_) => return,
        };
        for path in paths {
            // A full channel holds changes of every folder that matters, or is followed by a look over all of them.
            let _ = changed.try_send(path);
        }
    })
    .context("folders can't be watched on this machine")?;
    watcher.watch(&dir, RecursiveMode::Recursive).with_context(|| format!("`{}` can't be watched", dir.display()))?;
    // Under the names that the system gives them.
    let named = |folders: Vec<PathBuf>| folders.into_iter().map(|folder| dir.join(folder.file_name().unwrap_or_default())).collect();
    let (later, broken): (Vec<PathBuf>, BTreeSet<PathBuf>) = (named(left.later), named(left.broken).into_iter().collect());
    let watching = Watching { app, dir, dirty: BTreeMap::new(), looks: BTreeMap::new(), broken, changes, _watcher: watcher };
    Ok(tokio::spawn(watching.run(later, stop)))
}

struct Watching {
    app: Arc<App>,
    dir: PathBuf,
    /// Folders to be loaded, each with when it has been quiet for long enough.
    dirty: BTreeMap<PathBuf, Instant>,
    /// What each folder looked like when it was last loaded.
    looks: BTreeMap<PathBuf, Look>,
    /// Folders whose last line in the log said that something is wrong.
    broken: BTreeSet<PathBuf>,
    changes: mpsc::Receiver<PathBuf>,
    _watcher: notify::RecommendedWatcher,
}

impl Watching {
    async fn run(mut self, later: Vec<PathBuf>, mut stop: watch::Receiver<bool>) {
        for folder in folders(&self.dir).unwrap_or_default() {
            self.looks.insert(folder.clone(), look(&folder));
        }
        for folder in later {
            self.touched(&folder);
        }
        let mut look_over = Instant::now() + LOOK_OVER;
        while !*stop.borrow() {
            let next = self.dirty.values().min().copied().unwrap_or(look_over).min(look_over);
            tokio::select! {
                Some(path) = self.changes.recv() => self.touched(&path),
                () = tokio::time::sleep_until(next) => {
                    if look_over <= Instant::now() {
                        self.look_over();
                        look_over = Instant::now() + LOOK_OVER;
                    }
                    self.load_quiet().await;
                }
                _ = stop.changed() => {}
            }
        }
    }

    /// Something below the directory has changed.
    fn touched(&mut self, path: &Path) {
        let Some(name) = path.strip_prefix(&self.dir).ok().and_then(|below| below.components().next()) else { return };
        self.dirty.insert(self.dir.join(name), Instant::now() + QUIET);
    }

    /// Finds what the system did not tell of.
    fn look_over(&mut self) {
        for folder in folders(&self.dir).unwrap_or_default() {
            if self.looks.get(&folder) != Some(&look(&folder)) {
                self.dirty.entry(folder).or_insert_with(Instant::now);
            }
        }
    }

    /// Loads the folders that have been left alone for long enough.
    async fn load_quiet(&mut self) {
        let now = Instant::now();
        let quiet: Vec<PathBuf> = self.dirty.iter().filter(|(_, at)| **at <= now).map(|(folder, _)| folder.clone()).collect();
        for folder in quiet {
            self.dirty.remove(&folder);
            if !folder.join(SETTINGS).is_file() {
                if self.looks.remove(&folder).is_some() {
                    let what = if folder.is_dir() { "has no `tenant.toml` any more" } else { "is gone" };
                    tracing::warn!(folder = %folder.display(), "the tenant folder {what}; the tenant stays as it is");
                    self.broken.insert(folder);
                }
                continue;
            }
            let seen = look(&folder);
            let loaded = load_folder(&self.app, &folder).await;
            let was_broken = if loaded.is_ok() { self.broken.remove(&folder) } else { !self.broken.insert(folder.clone()) };
            match loaded {
                Ok((tenant, true)) => tracing::info!(%tenant, "the tenant folder has changed and is loaded"),
                Ok((tenant, false)) if was_broken => {
                    tracing::info!(%tenant, folder = %folder.display(), "the tenant folder is in order again: it says what is active");
                }
                Ok((tenant, false)) => tracing::debug!(%tenant, "the tenant folder says the same as before"),
                Err(error) if error.passes() => {
                    tracing::warn!(folder = %folder.display(), %error, "the tenant folder could not be loaded, trying again");
                    self.dirty.insert(folder.clone(), Instant::now() + AGAIN);
                }
                Err(error) => report(&folder, &error),
            }
            self.looks.insert(folder, seen);
        }
    }
}

/// What a folder looks like: two levels, as deep as tenant folders go.
fn look(folder: &Path) -> Look {
    let mut seen = Look::new();
    let mut below = vec![(folder.to_owned(), 0)];
    while let Some((dir, depth)) = below.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() && depth == 0 {
                below.push((entry.path(), depth + 1));
            } else {
                seen.insert(entry.path(), (about.len(), about.modified().ok()));
            }
        }
    }
    seen
}
