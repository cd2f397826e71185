//! The store on SQLite: how the file is opened, how it is read, and the words in which its SQL differs from PostgreSQL's.
//! What the two have in common is `shared.rs`, compiled once for each; how writes are grouped is `sqlite/writer.rs`.

mod copying;
mod credentials;
mod readers;
#[cfg(test)]
mod scratch;
mod writer;

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use self::credentials::Remembered;
use self::readers::Readers;
pub(super) use self::readers::{ReadOne, ReadTx};
use self::writer::{Extent, Writer};
use super::keys::Keys;
use super::trips::SharedTrips;
use super::{ConnectionCredential, Result, STATEMENT_CACHE, StoreError, Work};
use crate::crypto::Keyring;
use crate::model::{ConnectionId, TenantId};

/// `any_of!("id", "$3")`: the id is in the [`TextList`] that is bound there.
macro_rules! any_of {
    ($column:literal, $parameter:literal) => {
        concat!($column, " IN (SELECT value FROM json_each(", $parameter, "))")
    };
}
/// `among!("position", "SELECT position FROM …")`: the value is among those of a subquery.
macro_rules! among {
    ($column:literal, $($subquery:expr),+ $(,)?) => {
        concat!($column, " IN (", $($subquery,)+ ")")
    };
}
/// `these!("connection, slot", " FROM … LIMIT +$3")`: the rows of the same table that a subquery finds, by the columns of their key.
macro_rules! these {
    ($key:literal, $from:expr) => {
        concat!("(", $key, ") IN (SELECT ", $key, $from, ")")
    };
}
/// The texts of a [`TextList`] as a table with one column, `item`.
macro_rules! items_of {
    ($parameter:literal) => {
        concat!("(SELECT value AS item FROM json_each(", $parameter, "))")
    };
}
/// Pairs of texts, bound as a JSON array of arrays, as a table with the columns `one` and `two`.
macro_rules! pairs_of {
    ($parameter:literal) => {
        concat!("(SELECT json_extract(value, '$[0]') AS one, json_extract(value, '$[1]') AS two FROM json_each(", $parameter, "))")
    };
}
/// Rows of a subquery as one JSON array of arrays: NULL or an empty one for none.
macro_rules! json_rows {
    ($first:expr, $($column:expr),+) => {
        concat!("json_group_array(json_array(", $first, $(", ", $column,)+ "))")
    };
}
/// Joins the last row by a column of those in a tenant's table (`$1`) that a condition finds for the row before. The tenant and the column are the
/// table's key.
macro_rules! last_of {
    ($table:literal, $alias:literal, $by:literal, $found:literal) => {
        concat!(
            " CROSS JOIN ",
            $table,
            " AS ",
            $alias,
            " ON ",
            $alias,
            ".tenant = $1 AND ",
            $alias,
            ".",
            $by,
            " = (SELECT max(",
            $by,
            ") FROM ",
            $table,
            " WHERE ",
            $found,
            ")"
        )
    };
}
/// Joins the one row of a table that a whole key finds for the row before.
macro_rules! joined {
    ($table:literal, $alias:literal, $found:expr) => {
        concat!(" JOIN ", $table, " AS ", $alias, " ON ", $found)
    };
}
/// The same; nulls where there is none.
macro_rules! joined_if_any {
    ($table:literal, $alias:literal, $found:expr) => {
        concat!(" LEFT JOIN ", $table, " AS ", $alias, " ON ", $found)
    };
}
/// Ends an EXISTS that is asked of each row by itself, which each is here.
macro_rules! apart {
    () => {
        ""
    };
}
/// Locks the rows that a SELECT finds: nothing here, because there is one writer.
macro_rules! for_update {
    () => {
        ""
    };
}
/// Locks only the rows of one table of several: nothing here either.
macro_rules! for_update_of {
    ($table:literal) => {
        ""
    };
}
/// The same, passing over rows that another host has locked.
macro_rules! skip_locked {
    () => {
        ""
    };
}

#[path = "shared.rs"]
#[expect(clippy::duplicate_mod, reason = "compiled once for each database: only the types and words above differ")]
mod shared;

/// How often a change is tried: with one writer none is given up in favour of others.
pub(super) const ATTEMPTS: usize = 1;

/// The database's driver.
pub(super) type Db = sqlx::Sqlite;
/// A connection in a transaction.
pub(super) type Conn = sqlx::SqliteConnection;
/// A list of texts as one parameter.
pub(super) type TextList = String;

/// Texts as one parameter: JSON.
pub(super) fn text_list<'t>(texts: impl IntoIterator<Item = &'t str>) -> TextList {
    serde_json::Value::from_iter(texts).to_string()
}

/// How long a connection waits for a lock that another process holds on the file (a backup, the command line).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store on one SQLite file.
pub struct SqliteStore {
    readers: Readers,
    writer: Writer,
    keys: Arc<Keys>,
    trips: SharedTrips,
    credentials: Remembered,
}

/// What `shared.rs` implements the traits for.
pub(super) type Backend = SqliteStore;

impl SqliteStore {
    /// Opens the file that the URL names, making it if need be, and applies the migrations.
    ///
    /// # Errors
    /// `Unavailable` when it can't be opened, `Missing` for a database in memory: nothing there is durable, and it can't be shared by connections.
    pub async fn open(url: &str, keyring: Arc<Keyring>) -> Result<Self> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("wal_autocheckpoint", copying::WRITER_PAGES.to_string())
            // What is needed to undo one change of a group: see `Extent`.
            .pragma("temp_store", "MEMORY")
            .statement_cache_capacity(STATEMENT_CACHE);
        if url.contains(":memory:") || url.contains("mode=memory") {
            return Err(StoreError::Missing("durable database in memory (name a file: `sqlite:rolecall.db`)"));
        }
        // For its owner alone, as its log will be then. Whoever made it before has said who reads it; why it can't be made is told below.
        drop(File::options().write(true).create_new(true).mode(0o600).open(options.get_filename()));
        let writer = Writer::start(options.clone(), credentials::CHANGES).await?;
        let readers = Readers::new(options.create_if_missing(false).pragma("query_only", "ON"))?;
        Ok(Self { readers, writer, keys: Arc::new(Keys::new(keyring)), trips: SharedTrips::default(), credentials: Remembered::default() })
    }

    /// One snapshot. Every statement names the tenant itself; there is no second fence here as on PostgreSQL.
    pub(super) async fn read(&self, _tenant: &TenantId) -> Result<ReadTx> {
        self.readers.snapshot().await
    }

    /// For one statement.
    pub(super) async fn read_one(&self, _tenant: &TenantId) -> Result<ReadOne> {
        self.readers.one().await
    }

    /// For one statement over all tenants.
    pub(super) async fn read_platform(&self) -> Result<ReadOne> {
        self.readers.one().await
    }

    /// One whole transaction, answered once it is durable.
    pub(super) async fn write<T: Send + 'static>(&self, _tenant: &TenantId, work: impl Work<Conn, T>) -> Result<T> {
        self.writer.submit(Extent::Bounded, work).await
    }

    /// One whole transaction, behind those that somebody waits for.
    pub(super) async fn write_behind<T: Send + 'static>(&self, _tenant: &TenantId, work: impl Work<Conn, T>) -> Result<T> {
        self.writer.submit(Extent::Crowd, work).await
    }

    /// One whole transaction that may write as much as there is.
    pub(super) async fn write_everything<T: Send + 'static>(&self, _tenant: &TenantId, work: impl Work<Conn, T>) -> Result<T> {
        self.writer.submit(Extent::Everything, work).await
    }

    /// One whole transaction over what belongs to no tenant.
    pub(super) async fn write_platform<T: Send + 'static>(&self, work: impl Work<Conn, T>) -> Result<T> {
        self.writer.submit(Extent::Bounded, work).await
    }

    /// A credential by its hash: as it was read before, if no credential has changed since.
    pub(super) async fn remembered(
        &self,
        hash: &str,
        read: impl Future<Output = Result<Option<ConnectionCredential>>>,
    ) -> Result<Option<ConnectionCredential>> {
        let epoch = self.writer.epoch();
        if let Some(credential) = self.credentials.get(epoch, hash) {
            return Ok(Some(credential));
        }
        let found = read.await?;
        if let Some(credential) = &found {
            self.credentials.put(epoch, hash, credential);
        }
        Ok(found)
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        self.keys.clone()
    }

    pub(super) fn trips(&self) -> &SharedTrips {
        &self.trips
    }
}

/// Whether a read failed because its connection had been closed: a file closes none.
pub(super) fn is_lost(_error: &StoreError) -> bool {
    false
}

/// Leaves a lost connection to nobody else.
pub(super) fn give_up(_reader: ReadOne) {}

/// Whether there is a file with something in it.
pub(super) fn is_there(url: &str) -> Result<bool> {
    let path = SqliteConnectOptions::from_str(url)?.get_filename().to_owned();
    Ok(path.metadata().is_ok_and(|file| file.len() > 0))
}

/// The lock of the one process that serves the file. Not on the file itself: closing it there would end SQLite's own locks.
pub(super) fn hold(url: &str) -> Result<File> {
    let mut path = SqliteConnectOptions::from_str(url)?.get_filename().as_os_str().to_owned();
    path.push("-served");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| StoreError::Unavailable(error.into()))?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            StoreError::Unavailable("another process serves this SQLite file, and only one can: use PostgreSQL for several".into())
        }
        TryLockError::Error(error) => StoreError::Unavailable(error.into()),
    })?;
    Ok(file)
}

/// Begins the `nth` statement of a batch: one text, one trip to the thread that owns the file.
pub(super) fn begin_statement(sql: &mut sqlx::QueryBuilder<Db>, nth: usize) {
    if nth > 0 {
        sql.push("; ");
    }
}

/// Begins the statement of a batch that gives its rows.
pub(super) fn begin_last_statement(sql: &mut sqlx::QueryBuilder<Db>, nth: usize) {
    begin_statement(sql, nth);
}

/// Ends a batch that gives no rows.
pub(super) fn end_statements(_sql: &mut sqlx::QueryBuilder<Db>) {}

/// The public number of the `nth` new event: with one writer the order of writing is that of committing, so events are numbered
/// as they are written, and [`shared`]'s numbering finds none to do.
pub(super) fn number_at_once(row: &mut sqlx::query_builder::Separated<'_, Db, &'static str>, tenant: &TenantId, nth: i64) {
    row.push("(SELECT last_seq + ").push_bind_unseparated(nth);
    row.push_unseparated(" FROM event_heads WHERE tenant = ").push_bind_unseparated(tenant.as_str()).push_unseparated(")");
}

/// Counts the events that were just numbered.
pub(super) fn advance_head(sql: &mut sqlx::QueryBuilder<Db>, tenant: &TenantId, count: i64) {
    sql.push("; UPDATE event_heads SET last_seq = last_seq + ").push_bind(count);
    sql.push(" WHERE tenant = ").push_bind(tenant.as_str());
}

/// Nothing to do: with one writer no change overlaps an activation.
pub(super) async fn lock_revision(_conn: &mut Conn, _tenant: &TenantId, _exclusive: bool) -> Result<()> {
    Ok(())
}

/// Nothing to do: with one writer batches come one after the other.
pub(super) async fn lock_log(_conn: &mut Conn, _tenant: &TenantId) -> Result<()> {
    Ok(())
}

/// Nothing to do: with one writer no two changes overlap.
pub(super) async fn lock_structure(_conn: &mut Conn, _tenant: &TenantId, _connection: &ConnectionId, _exclusive: bool) -> Result<()> {
    Ok(())
}

/// Nothing to do: with one writer no two changes overlap.
pub(super) async fn lock_new_group(_conn: &mut Conn, _tenant: &TenantId, _connection: &ConnectionId, _external_id: &str) -> Result<()> {
    Ok(())
}
