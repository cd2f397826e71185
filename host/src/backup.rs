//! Backups: a database copied into one file while it is served, and put back. Each step leaves either what stood or all of what it makes.
//!
//! `manifest.rs` says what a backup says of itself (pure), `tools.rs` drives PostgreSQL's own programs, `scratch.rs` keeps what is half made out
//! of sight. What a restored database means for connections, targets and tokens is the store's and tenancy's; nothing here knows rows.

pub mod manifest;
mod scratch;
mod tools;

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::crypto::{Hasher, Keyring, random_id};
use crate::model::Instant;
use crate::store::copy::{self, Contents, Counts, DatabaseKind, Left, Snapshot};
use crate::store::{self, Restore, StoreError};
use manifest::{FORMAT, HEAD_BYTES, Manifest, Unfit};
use scratch::Scratch;
pub use tools::Tools;

/// Bytes that are read and hashed at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// After so many bytes progress is told again.
const TOLD_EVERY_BYTES: u64 = 64 << 20;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file does not fit.
    #[error("the backup `{path}` can't be used: {why}")]
    Unfit {
        /// The file.
        path: String,
        /// Why.
        why: Unfit,
    },
    /// The file system.
    #[error("{what} `{path}` failed")]
    File {
        /// What was done.
        what: &'static str,
        /// To which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database.
    #[error("{what}")]
    Database {
        /// What was done.
        what: &'static str,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// One of PostgreSQL's programs.
    #[error(transparent)]
    Tool(#[from] tools::ToolError),
    /// There is nothing to back up.
    #[error("there is no database of Rolecall's here: check `--database-url` and `--data-dir`")]
    Nothing,
    /// Something stands where the backup would go.
    #[error(
        "the database is not empty: it has {tenants} tenants and {api_tokens} API tokens. Back it up, then give `--replace` to put the backup in its place"
    )]
    NotEmpty {
        /// Tenants that stand.
        tenants: i64,
        /// API tokens that stand.
        api_tokens: i64,
    },
    /// Servers are at work on the database.
    #[error("{0} sessions of servers are connected to the database: stop the servers, then restore")]
    Served(i64),
    /// A backup with more or less in it than it says.
    #[error("the backup holds something else than it says: {found:?}, and {said:?} were written. Take another backup")]
    Counts {
        /// What is in it.
        found: Box<Counts>,
        /// What it says.
        said: Box<Counts>,
    },
}

type Result<T, E = BackupError> = std::result::Result<T, E>;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: &'static str,
    /// Bytes that are done.
    pub done: u64,
    /// Of how many, where that is known.
    pub of: Option<u64>,
}

/// Whom progress is told.
pub type Say = Arc<dyn Fn(Progress) + Send + Sync>;

/// A database, the key that opens it, and what is needed to work with it.
pub struct Place {
    /// Its URL.
    pub url: String,
    /// Its master key.
    pub keyring: Arc<Keyring>,
    /// PostgreSQL's programs.
    pub tools: Tools,
    /// Whom progress is told.
    pub say: Say,
}

/// What a restore does beside restoring.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Put the backup in the place of what stands.
    pub replace: bool,
    /// End all API tokens.
    pub revoke_tokens: bool,
}

fn file_failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.display().to_string();
    move |source| BackupError::File { what, path, source }
}

fn database_failed(what: &'static str) -> impl FnOnce(StoreError) -> BackupError {
    move |source| BackupError::Database { what, source }
}

/// A backup of the database into a file, in the place of one that stands there. `now` is when it is begun.
///
/// # Errors
/// [`BackupError`]; then there is no file, or the one that stood.
pub async fn back_up(place: &Place, to: &Path, now: Instant) -> Result<Manifest> {
    refuse_own_file(place, to)?;
    let scratch = Scratch::beside(to).map_err(file_failed("making a folder beside", to))?;
    let mut out = private(&scratch.file("backup")).map_err(file_failed("making", to))?;
    out.write_all(&[0; HEAD_BYTES]).map_err(file_failed("writing", to))?;
    let database = DatabaseKind::of(&place.url);
    let mut hashed = Hashed::new(out);
    let (contents, mut hashed) = match database {
        DatabaseKind::Sqlite => pack_file(place, &scratch, hashed).await?,
        DatabaseKind::Postgres => {
            let mut snapshot = Snapshot::take(&place.url).await.map_err(database_failed("the database can't be read"))?;
            let contents = snapshot.contents(&place.keyring).await.map_err(database_failed("the database can't be read"))?;
            place.tools.dump(&place.url, &snapshot, &mut hashed, &place.say).await?;
            snapshot.end().await.map_err(database_failed("the database can't be read"))?;
            (contents, hashed)
        }
    };
    let (bytes, sha256) = hashed.finish();
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        database,
        schema: contents.schema,
        begun: now,
        counts: contents.counts,
        bytes,
        sha256,
        master_key: place.keyring.fingerprint(),
    };
    let head = manifest.head(&place.keyring).map_err(file_failed("writing", to))?;
    hashed.into.rewind().and_then(|()| hashed.into.write_all(&head)).map_err(file_failed("writing", to))?;
    scratch.place("backup", to).map_err(file_failed("putting in place", to))?;
    Ok(manifest)
}

/// The SQLite file, copied as it is at one moment and packed.
async fn pack_file(place: &Place, scratch: &Scratch, mut hashed: Hashed) -> Result<(Contents, Hashed)> {
    let standing = copy::sqlite_file(&place.url).map_err(database_failed("the database's URL can't be read"))?;
    let size = std::fs::metadata(&standing).map(|found| found.len()).unwrap_or_default();
    if size == 0 {
        return Err(BackupError::Nothing);
    }
    let copied = scratch.file("copy");
    (place.say)(Progress { step: "copying the database", done: 0, of: Some(size) });
    copy::copy_file(&place.url, &copied).await.map_err(database_failed("the database can't be copied"))?;
    let looked = copy::look_at_file(&copy::sqlite_url(&copied), Some(&place.keyring)).await;
    let contents = looked.map_err(database_failed("the copy of the database can't be used"))?.ok_or(BackupError::Nothing)?;
    let say = Arc::clone(&place.say);
    blocking(move || {
        let mut from = File::open(&copied).map_err(file_failed("reading", &copied))?;
        let of = from.metadata().map(|found| found.len()).ok();
        let mut packed = GzEncoder::new(&mut hashed, Compression::fast());
        pump(&mut from, |part| packed.write_all(part), ("packing", of), &say).map_err(file_failed("packing", &copied))?;
        packed.finish().map_err(file_failed("packing", &copied))?;
        Ok((contents, hashed))
    })
    .await
}

/// Looks whether a file is a whole backup. With a key, also whether its head is as it was written.
///
/// # Errors
/// [`BackupError`].
pub async fn check(path: &Path, keyring: Option<Arc<Keyring>>, say: &Say) -> Result<Manifest> {
    let (path, say) = (path.to_owned(), Arc::clone(say));
    blocking(move || {
        let unfit = |why| BackupError::Unfit { path: path.display().to_string(), why };
        let (manifest, mut from) = read_head(&path, keyring.as_deref())?;
        let mut hashed = Hashed::new(io::sink());
        pump(&mut from, |part| hashed.write_all(part), ("checking", Some(manifest.bytes)), &say).map_err(file_failed("reading", &path))?;
        let (bytes, sha256) = hashed.finish();
        manifest.check_payload(bytes, &sha256).map_err(unfit)?;
        Ok(manifest)
    })
    .await
}

/// The manifest, and the file behind the head.
fn read_head(path: &Path, keyring: Option<&Keyring>) -> Result<(Manifest, File)> {
    let mut from = File::open(path).map_err(file_failed("opening", path))?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    Read::by_ref(&mut from).take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(file_failed("reading", path))?;
    let manifest = Manifest::read(&head, keyring).map_err(|why| BackupError::Unfit { path: path.display().to_string(), why })?;
    Ok((manifest, from))
}

/// What a restore did.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The backup.
    pub manifest: Manifest,
    /// Who had left since the backup, as the database said that was replaced: in the backup they are active. `None` where nothing was replaced,
    /// or it could not be read.
    pub left_since: Option<Vec<Left>>,
}

/// Puts a backup into the database, with migrations applied, its connections waiting and its history saying so. A failure leaves what stood.
///
/// # Errors
/// [`BackupError`].
pub async fn restore(place: &Place, from: &Path, wish: Wish, now: Instant) -> Result<Restored> {
    let unfit = |why| BackupError::Unfit { path: from.display().to_string(), why };
    let into = DatabaseKind::of(&place.url);
    // Before the digest, which takes long: what would be refused anyway.
    let (manifest, _) = read_head(from, Some(&place.keyring))?;
    manifest.check_target(into, copy::schema_version(), &place.keyring).map_err(unfit)?;
    let manifest = check(from, Some(Arc::clone(&place.keyring)), &place.say).await?;
    let restore = Restore { id: random_id(), at: now, backup_at: manifest.begun, revoke_tokens: wish.revoke_tokens };
    let left_since = if wish.replace { copy::left_since(&place.url, manifest.begun).await.ok() } else { None };
    match into {
        DatabaseKind::Sqlite => restore_file(place, from, &manifest, wish, &restore).await?,
        DatabaseKind::Postgres => restore_server(place, from, wish, &restore).await?,
    }
    Ok(Restored { manifest, left_since })
}

async fn restore_file(place: &Place, from: &Path, manifest: &Manifest, wish: Wish, restore: &Restore) -> Result<()> {
    const STANDS: &str = "what stands in the database's place can't be read: where it is damaged, move it away (with its `-wal` and `-shm`) and restore again";
    let target = copy::sqlite_file(&place.url).map_err(database_failed("the database's URL can't be read"))?;
    let scratch = Scratch::beside(&target).map_err(file_failed("making a folder beside", &target))?;
    let _held = store::hold(&place.url).map_err(database_failed("the database is being served: stop the server, then restore"))?;
    let standing = copy::look_at_file(&place.url, None).await.map_err(database_failed(STANDS))?.map(|found| found.counts);
    refuse_unless_empty(standing, wish)?;
    let staged = scratch.file("rolecall.db");
    unpack(from, &staged, &place.say).await?;
    let url = copy::sqlite_url(&staged);
    let looked = copy::look_at_file(&url, Some(&place.keyring)).await.map_err(database_failed("what the backup holds can't be read"))?;
    let found = looked.map(|found| found.counts).unwrap_or_default();
    if found != manifest.counts {
        return Err(BackupError::Counts { found: Box::new(found), said: Box::new(manifest.counts) });
    }
    (place.say)(Progress { step: "bringing it up to date", done: 0, of: None });
    let failed = "the restored database can't be brought up to date";
    {
        let store = store::open(&url, Arc::clone(&place.keyring)).await.map_err(database_failed(failed))?;
        store.put_restore(restore).await.map_err(database_failed(failed))?;
        store::carry_through(&*store).await.map_err(database_failed(failed))?;
    }
    copy::settle_file(&url).await.map_err(database_failed(failed))?;
    if target.exists() {
        copy::settle_file(&place.url).await.map_err(database_failed(STANDS))?;
        let allowed = std::fs::metadata(&target).map_err(file_failed("looking at", &target))?.permissions();
        std::fs::set_permissions(&staged, allowed).map_err(file_failed("setting the rights of", &staged))?;
    }
    remove_log(&target)?;
    scratch.place("rolecall.db", &target).map_err(file_failed("putting in place", &target))
}

/// The file that SQLite, or the lock of whoever serves it, has beside a database's: its name with that end.
fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Whether two paths name one file, through links as well; also one that is not there yet.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// A backup never takes the place of what it is made of.
fn refuse_own_file(place: &Place, to: &Path) -> Result<()> {
    if DatabaseKind::of(&place.url) != DatabaseKind::Sqlite {
        return Ok(());
    }
    let database = copy::sqlite_file(&place.url).map_err(database_failed("the database's URL can't be read"))?;
    for end in ["", "-wal", "-shm", "-served"] {
        if is_same_file(&beside(&database, end), to) {
            let source = io::Error::other("it is the database's own file: name another one");
            return Err(BackupError::File { what: "writing the backup to", path: to.display().to_string(), source });
        }
    }
    Ok(())
}

/// Removes what belongs to the file that stands and would be taken for the new one's: its write-ahead log, which is empty.
fn remove_log(target: &Path) -> Result<()> {
    for end in ["-wal", "-shm"] {
        let path = beside(target, end);
        match std::fs::metadata(&path) {
            Ok(found) if end == "-wal" && found.len() > 0 => {
                let source = io::Error::other("it holds changes that are not in the database's file: end whoever uses it");
                return Err(BackupError::File { what: "removing", path: path.display().to_string(), source });
            }
            Ok(_) => std::fs::remove_file(&path).map_err(file_failed("removing", &path))?,
            Err(_) => {}
        }
    }
    Ok(())
}

async fn unpack(from: &Path, to: &Path, say: &Say) -> Result<()> {
    let (from, to, say) = (from.to_owned(), to.to_owned(), Arc::clone(say));
    blocking(move || {
        let (_, packed) = read_head(&from, None)?;
        let mut out = private(&to).map_err(file_failed("making", &to))?;
        let mut unpacked = GzDecoder::new(io::BufReader::with_capacity(CHUNK_BYTES, packed));
        pump(&mut unpacked, |part| out.write_all(part), ("unpacking", None), &say).map_err(file_failed("unpacking into", &to))
    })
    .await
}

async fn restore_server(place: &Place, from: &Path, wish: Wish, restore: &Restore) -> Result<()> {
    let standing = copy::look_at_server(&place.url).await.map_err(database_failed("what stands in the database's place can't be read"))?;
    if standing.servers > 0 {
        return Err(BackupError::Served(standing.servers));
    }
    // Where not every row may be read, tables alone are enough to be careful.
    let unknown = || (!standing.tables.is_empty()).then_some(Counts { tenants: 1, ..Counts::default() });
    refuse_unless_empty(standing.counts.or_else(unknown), wish)?;
    let (_, packed) = read_head(from, None)?;
    place.tools.restore(&place.url, &standing, packed, restore, &place.say).await?;
    // Migrates, and carries through what the restore has left to do. A server that starts instead would do the same.
    let opened = store::open(&place.url, Arc::clone(&place.keyring)).await;
    opened
        .map(|_| ())
        .map_err(database_failed("the backup is restored, and can't be brought up to date: start the server, which tries again"))
}

fn refuse_unless_empty(standing: Option<Counts>, wish: Wish) -> Result<()> {
    match standing {
        Some(Counts { tenants, api_tokens, .. }) if !wish.replace && (tenants, api_tokens) != (0, 0) => {
            Err(BackupError::NotEmpty { tenants, api_tokens })
        }
        _ => Ok(()),
    }
}

/// A new file that its owner alone may read.
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().create_new(true).write(true).mode(0o600).open(path)
}

/// Reads everything, part by part, and tells how far it is.
fn pump(
    from: &mut impl Read,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
    (step, of): (&'static str, Option<u64>),
    say: &Say,
) -> io::Result<()> {
    let mut part = vec![0; CHUNK_BYTES];
    let (mut done, mut told) = (0_u64, 0_u64);
    say(Progress { step, done, of });
    loop {
        let read = match from.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        each(&part[..read])?;
        done += read as u64;
        if done - told >= TOLD_EVERY_BYTES {
            told = done;
            say(Progress { step, done, of });
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What is written, counted and hashed.
struct Hashed<W = File> {
    into: W,
    hasher: Hasher,
    bytes: u64,
}

impl<W> Hashed<W> {
    fn new(into: W) -> Self {
        Self { into, hasher: Hasher::default(), bytes: 0 }
    }

    /// How much was written, and its SHA-256.
    fn finish(&mut self) -> (u64, String) {
        (self.bytes, std::mem::take(&mut self.hasher).finish())
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let written = self.into.write(part)?;
        self.hasher.update(&part[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}
