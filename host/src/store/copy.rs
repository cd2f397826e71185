//! Whole databases, copied and looked at beside whoever serves them: what a backup and a restore need below the store's methods.
//!
//! Everything here reads, but for [`settle_file`], which is given a file that nobody serves. Knows nothing of a backup's form.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor, PgConnection};

use super::keys::Keys;
use super::{Result, StoreError, migrations};
use crate::crypto::Keyring;
use crate::model::{Instant, TenantId};

/// How long another process's lock on a SQLite file is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// The role that may read every row, for backups alone.
pub const BACKUP_ROLE: &str = "rolecall_backup";

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseKind {
    /// A SQLite file.
    Sqlite,
    /// A PostgreSQL database.
    Postgres,
}

impl DatabaseKind {
    /// The kind that a URL's scheme names.
    #[must_use]
    pub fn of(url: &str) -> Self {
        if url.starts_with("sqlite:") { Self::Sqlite } else { Self::Postgres }
    }

    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// How much is in a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Tenants.
    pub tenants: i64,
    /// Connections.
    pub connections: i64,
    /// People: SCIM users.
    pub people: i64,
    /// SCIM groups.
    pub groups: i64,
    /// Accounts.
    pub accounts: i64,
    /// Grants, in effect or not.
    pub grants: i64,
    /// Events.
    pub events: i64,
    /// API tokens.
    pub api_tokens: i64,
    /// Connections' tokens and client secrets.
    pub connection_tokens: i64,
}

impl Counts {
    /// Whether nothing of anybody's is there.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.tenants == 0 && self.api_tokens == 0
    }
}

/// What a database of Rolecall's holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The number of its last migration.
    pub schema: i64,
    /// How much of what.
    pub counts: Counts,
}

/// The number of the last migration that this program knows.
#[must_use]
pub fn schema_version() -> i64 {
    migrations::SQLITE.last().map_or(0, |(number, ..)| *number)
}

const SCHEMA: &str = "SELECT max(version) FROM _sqlx_migrations";
const COUNTS: &str = "SELECT
     (SELECT count(*) FROM tenants), (SELECT count(*) FROM connections), (SELECT count(*) FROM resources WHERE kind = 'user'),
     (SELECT count(*) FROM resources WHERE kind = 'group'), (SELECT count(*) FROM accounts), (SELECT count(*) FROM grants),
     (SELECT count(*) FROM events), (SELECT count(*) FROM api_tokens), (SELECT count(*) FROM connection_tokens)";
/// Any tenant's key: they are all sealed under the one master key.
const A_KEY: &str = "SELECT tenant, sealed_key FROM tenants ORDER BY tenant LIMIT 1";

type CountRow = (i64, i64, i64, i64, i64, i64, i64, i64, i64);

fn contents_of(
    schema: Option<i64>,
    (tenants, connections, people, groups, accounts, grants, events, api_tokens, connection_tokens): CountRow,
) -> Contents {
    let counts = Counts { tenants, connections, people, groups, accounts, grants, events, api_tokens, connection_tokens };
    Contents { schema: schema.unwrap_or_default(), counts }
}

/// Whether the key opens what is sealed in the database.
fn check_key(keyring: &Arc<Keyring>, sealed: Option<(String, Vec<u8>)>) -> Result<()> {
    let Some((tenant, sealed)) = sealed else { return Ok(()) };
    Keys::new(Arc::clone(keyring)).open(&TenantId(tenant), &sealed).map(|_| ())
}

fn sqlite_options(url: &str) -> Result<SqliteConnectOptions> {
    Ok(SqliteConnectOptions::from_str(url)?.create_if_missing(false).busy_timeout(BUSY_TIMEOUT))
}

/// The file that a `sqlite:` URL names.
///
/// # Errors
/// For a URL that names none.
pub fn sqlite_file(url: &str) -> Result<std::path::PathBuf> {
    Ok(SqliteConnectOptions::from_str(url)?.get_filename().to_path_buf())
}

/// The URL of a SQLite file: `%` and `?` mean something in one.
#[must_use]
pub fn sqlite_url(path: &Path) -> String {
    format!("sqlite:{}", path.display().to_string().replace('%', "%25").replace('?', "%3F"))
}

/// Copies a SQLite database as it is at one moment into a file that is not there yet. Whoever serves it goes on reading and writing: the copy
/// is one long read, and needs no lock but a reader's.
///
/// # Errors
/// `Unavailable` when it can't be read, or the copy not be written.
pub async fn copy_file(url: &str, to: &Path) -> Result<()> {
    let mut conn = sqlite_options(url)?.read_only(true).connect().await?;
    sqlx::query("VACUUM INTO $1").bind(to.display().to_string()).execute(&mut conn).await?;
    conn.close().await?;
    Ok(())
}

/// What a SQLite file holds; `None` where there is no file, or nothing in it. With a key, whether it is the right one.
///
/// # Errors
/// `Unavailable` when it can't be read; `Corrupt` for a file that is no database of Rolecall's, is damaged, or has another master key.
pub async fn look_at_file(url: &str, keyring: Option<&Arc<Keyring>>) -> Result<Option<Contents>> {
    let path = sqlite_file(url)?;
    let is_empty = match std::fs::metadata(&path) {
        Ok(found) => found.len() == 0,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(StoreError::Unavailable(error.into())),
    };
    if is_empty {
        return Ok(None);
    }
    let mut conn = sqlite_options(url)?.read_only(true).connect().await?;
    let sound: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut conn).await?;
    if sound != "ok" {
        return Err(StoreError::Corrupt(sound));
    }
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'").fetch_all(&mut conn).await?;
    if tables.is_empty() {
        return Ok(None);
    }
    check_tables(&tables)?;
    if let Some(keyring) = keyring {
        check_key(keyring, sqlx::query_as(A_KEY).fetch_optional(&mut conn).await?)?;
    }
    let schema = sqlx::query_scalar(SCHEMA).fetch_one(&mut conn).await?;
    let counts = sqlx::query_as(COUNTS).fetch_one(&mut conn).await?;
    conn.close().await?;
    Ok(Some(contents_of(schema, counts)))
}

fn check_tables(tables: &[String]) -> Result<()> {
    let has = |wanted: &str| tables.iter().any(|table| table == wanted);
    if has("_sqlx_migrations") && has("tenants") && has("event_heads") {
        return Ok(());
    }
    Err(StoreError::Corrupt("it holds tables that are not Rolecall's, and none of Rolecall's: name another database".into()))
}

/// Brings everything of a SQLite database that nobody uses into its one file, so that the file can be moved or replaced.
///
/// # Errors
/// `Unavailable` when somebody uses it still.
pub async fn settle_file(url: &str) -> Result<()> {
    let mut conn = sqlite_options(url)?.connect().await?;
    let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut conn).await?;
    conn.close().await?;
    if busy != 0 { Err(StoreError::Unavailable("another process reads the SQLite file: let it end first".into())) } else { Ok(()) }
}

/// A PostgreSQL database at one moment, for as long as this lives.
pub struct Snapshot {
    conn: PgConnection,
    id: String,
    namespace: String,
}

impl Snapshot {
    /// Takes it.
    ///
    /// # Errors
    /// `Unavailable` when the database can't be reached; `Missing` without the role that may read every row.
    pub async fn take(url: &str) -> Result<Self> {
        let mut conn = PgConnectOptions::from_str(url)?.application_name("rolecall-backup").connect().await?;
        let has_role: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)").bind(BACKUP_ROLE).fetch_one(&mut conn).await?;
        if !has_role {
            return Err(StoreError::Missing(
                "role `rolecall_backup` in PostgreSQL: a server of this version makes it when it starts; where it may not, have it made \
                 (`CREATE ROLE rolecall_backup NOLOGIN; GRANT rolecall_backup TO` Rolecall's user) and start the server once",
            ));
        }
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let (id, namespace): (String, String) =
            sqlx::query_as("SELECT pg_export_snapshot(), current_schema()::text").fetch_one(&mut conn).await?;
        conn.execute(AssertSqlSafe(format!("SET LOCAL ROLE {BACKUP_ROLE}"))).await?;
        Ok(Self { conn, id, namespace })
    }

    /// What others name it by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The schema (namespace) that holds Rolecall's tables.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What it holds, once the key is known to be the right one.
    ///
    /// # Errors
    /// `Corrupt` for another master key.
    pub async fn contents(&mut self, keyring: &Arc<Keyring>) -> Result<Contents> {
        check_key(keyring, sqlx::query_as(A_KEY).fetch_optional(&mut self.conn).await?)?;
        let schema = sqlx::query_scalar(SCHEMA).fetch_one(&mut self.conn).await?;
        Ok(contents_of(schema, sqlx::query_as(COUNTS).fetch_one(&mut self.conn).await?))
    }

    /// Ends it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end(self) -> Result<()> {
        Ok(self.conn.close().await?)
    }
}

/// People who left, as far as they are named: beyond it, it is many.
pub const LEFT_LIMIT: i64 = 1_000;

/// Somebody whom a database knows as deactivated or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The tenant.
    pub tenant: String,
    /// The connection; empty where it was deleted with its people.
    pub connection: String,
    /// The SCIM id; the account's where the connection was deleted.
    pub id: String,
    /// The login name, folded, where it is known still.
    pub user_name: Option<String>,
}

const LEFT: &str = "SELECT r.tenant, r.connection, r.id, r.user_name FROM resources r
     WHERE r.kind = 'user' AND NOT r.active AND r.modified > $1
     UNION ALL
     SELECT d.tenant, d.connection, d.id, a.user_name FROM deleted_resources d
     LEFT JOIN accounts a ON a.tenant = d.tenant AND a.account = d.account
     WHERE d.kind = 'user' AND d.deleted > $1
     UNION ALL
     SELECT a.tenant, '', a.account, a.user_name FROM accounts a
     WHERE a.state = 'removed' AND a.erased IS NULL AND a.modified > $1
     AND NOT EXISTS (SELECT 1 FROM deleted_resources d WHERE d.tenant = a.tenant AND d.account = a.account)
     ORDER BY 1, 2, 3 LIMIT +$2";

/// Who was deactivated or deleted after an instant, at most [`LEFT_LIMIT`].
///
/// # Errors
/// `Unavailable` or `Corrupt` when the database can't be read.
pub async fn left_since(url: &str, since: Instant) -> Result<Vec<Left>> {
    let rows: Vec<(String, String, String, Option<String>)> = match DatabaseKind::of(url) {
        DatabaseKind::Sqlite => {
            let mut conn = sqlite_options(url)?.read_only(true).connect().await?;
            let rows = sqlx::query_as(LEFT).bind(since.0).bind(LEFT_LIMIT).fetch_all(&mut conn).await?;
            conn.close().await?;
            rows
        }
        DatabaseKind::Postgres => {
            let mut conn = PgConnectOptions::from_str(url)?.application_name("rolecall-restore").connect().await?;
            conn.execute(AssertSqlSafe(format!("SET ROLE {BACKUP_ROLE}"))).await?;
            let rows = sqlx::query_as(LEFT).bind(since.0).bind(LEFT_LIMIT).fetch_all(&mut conn).await?;
            conn.close().await?;
            rows
        }
    };
    Ok(rows.into_iter().map(|(tenant, connection, id, user_name)| Left { tenant, connection, id, user_name }).collect())
}

/// What stands in a PostgreSQL database before it is restored into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The schema (namespace) that tables are made in.
    pub namespace: String,
    /// Its tables.
    pub tables: Vec<String>,
    /// How many sessions of servers there are.
    pub servers: i64,
    /// How much is there; `None` for an empty database, or where not every row may be read.
    pub counts: Option<Counts>,
}

/// Looks at a PostgreSQL database that is to be restored into.
///
/// # Errors
/// `Unavailable` when it can't be reached; `Corrupt` where tables of somebody else's are.
pub async fn look_at_server(url: &str) -> Result<Standing> {
    let mut conn = PgConnectOptions::from_str(url)?.application_name("rolecall-restore").connect().await?;
    let namespace: String = sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&mut conn).await?;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename")
            .fetch_all(&mut conn)
            .await?;
    let servers =
        sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rolecall'")
            .fetch_one(&mut conn)
            .await?;
    let mut counts = None;
    if !tables.is_empty() {
        check_tables(&tables)?;
        let may_read: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)").bind(BACKUP_ROLE).fetch_one(&mut conn).await?;
        if may_read {
            conn.execute(AssertSqlSafe(format!("SET ROLE {BACKUP_ROLE}"))).await?;
            let found: CountRow = sqlx::query_as(COUNTS).fetch_one(&mut conn).await?;
            counts = Some(contents_of(None, found).counts);
        }
    }
    conn.close().await?;
    Ok(Standing { namespace, tables, servers, counts })
}
