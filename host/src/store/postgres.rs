//! The store on PostgreSQL: how it is reached, the roles and settings that fence tenants off, and the words in which its SQL
//! differs from SQLite's. What the two have in common is `shared.rs`, compiled once for each.
//!
//! Every connection works as `rolecall_app`, which owns no table and sees no row but those of the tenant that the present
//! transaction (or, for single reads, the session) names. What has to be found before a tenant is known is read as `rolecall_platform`. The migration says what each may see.

mod backup_role;
#[cfg(test)]
mod planning;
mod readers;
#[cfg(test)]
mod scratch;
mod statistics;

use std::borrow::Cow;
use std::str::FromStr as _;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::task::JoinSet;

pub(super) use self::readers::ReadOne;
use self::readers::Readers;
use super::keys::Keys;
use super::trips::SharedTrips;
use super::{ACQUIRE_TIMEOUT, ConnectionCredential, Result, STATEMENT_CACHE, StoreError, Work, migrations};
use crate::crypto::Keyring;
use crate::model::{ConnectionId, TenantId};

/// `any_of!("id", "$3")`: the id is in the [`TextList`] that is bound there.
macro_rules! any_of {
    ($column:literal, $parameter:literal) => {
        concat!($column, " = ANY(", $parameter, ")")
    };
}
/// `among!("position", "SELECT position FROM …")`: the value is among those of a subquery, which is carried out first. With `IN`, a planner that doesn't know
/// how few the subquery gives may read the table whole to compare it with them.
macro_rules! among {
    ($column:literal, $($subquery:expr),+ $(,)?) => {
        concat!($column, " = ANY(ARRAY(", $($subquery,)+ "))")
    };
}
/// `these!("connection, slot", " FROM … LIMIT +$3")`: the rows of the same table that a subquery finds, by the columns of their key.
macro_rules! these {
    ($key:literal, $from:expr) => {
        concat!("ctid = ANY(ARRAY(SELECT ctid", $from, "))")
    };
}
/// The texts of a [`TextList`] as a table with one column, `item`, that compares as the tables' columns do.
macro_rules! items_of {
    ($parameter:literal) => {
        concat!("(SELECT unnest(CAST(", $parameter, " AS TEXT[])) COLLATE \"C\" AS item)")
    };
}
/// Pairs of texts, bound as a JSON array of arrays, as a table with the columns `one` and `two`.
macro_rules! pairs_of {
    ($parameter:literal) => {
        concat!(
            "(SELECT (pair ->> 0) COLLATE \"C\" AS one, (pair ->> 1) COLLATE \"C\" AS two FROM json_array_elements(CAST(",
            $parameter,
            " AS JSON)) AS pair)"
        )
    };
}
/// Rows of a subquery as one JSON array of arrays: NULL or an empty one for none.
macro_rules! json_rows {
    ($first:expr, $($column:expr),+) => {
        concat!("CAST(json_agg(json_build_array(", $first, $(", ", $column,)+ ")) AS TEXT)")
    };
}
/// Joins the last row by a column of those in a tenant's table (`$1`) that a condition finds for the row before: each is looked up by itself,
/// where a join by a subquery's number may read the whole table to look for a few.
macro_rules! last_of {
    ($table:literal, $alias:literal, $by:literal, $found:literal) => {
        concat!(" CROSS JOIN LATERAL (SELECT * FROM ", $table, " WHERE ", $found, " ORDER BY ", $by, " DESC LIMIT 1) AS ", $alias)
    };
}
/// Joins the one row of a table that a whole key finds for the row before: `joined!("links", "l", "l.tenant = a.tenant AND l.account = a.account")`.
/// A subquery with a LIMIT stays as it is written, so that the look-up is neither turned round nor made by a part of the key with the rest compared
/// afterwards, which seems as good to a planner that knows nothing of the table yet; and one row is expected, whatever it knows.
/// Not for a table whose rows the statement locks: they would be locked as they are looked up, in no order and whatever else is asked of them.
macro_rules! joined {
    ($table:literal, $alias:literal, $found:expr) => {
        concat!(" CROSS JOIN LATERAL (SELECT * FROM ", $table, " AS ", $alias, " WHERE ", $found, " LIMIT 1) AS ", $alias)
    };
}
/// The same; nulls where there is none.
macro_rules! joined_if_any {
    ($table:literal, $alias:literal, $found:expr) => {
        concat!(" LEFT JOIN LATERAL (SELECT * FROM ", $table, " AS ", $alias, " WHERE ", $found, " LIMIT 1) AS ", $alias, " ON TRUE")
    };
}
/// Ends an EXISTS that is asked of each row by itself, for the same reason.
macro_rules! apart {
    () => {
        " OFFSET 0"
    };
}
/// Locks the rows that a SELECT finds.
macro_rules! for_update {
    () => {
        " FOR UPDATE"
    };
}
/// Locks only the rows of one table of several.
macro_rules! for_update_of {
    ($table:literal) => {
        concat!(" FOR UPDATE OF ", $table)
    };
}
/// The same, passing over rows that another host has locked.
macro_rules! skip_locked {
    () => {
        " FOR UPDATE SKIP LOCKED"
    };
}

#[path = "shared.rs"]
#[expect(clippy::duplicate_mod, reason = "compiled once for each database: only the types and words above differ")]
mod shared;

/// How often a change is tried at most that the database gives up in favour of others (a deadlock).
pub(super) const ATTEMPTS: usize = 5;

/// The database's driver.
pub(super) type Db = sqlx::Postgres;
/// A connection in a transaction.
pub(super) type Conn = PgConnection;
/// A list of texts as one parameter.
pub(super) type TextList = Vec<String>;

/// Texts as one parameter: an array.
pub(super) fn text_list<'t>(texts: impl IntoIterator<Item = &'t str>) -> TextList {
    texts.into_iter().map(str::to_owned).collect()
}

/// Connections of one host for transactions. With those that read and the one that keeps statistics, a host has at most 21; PostgreSQL's default is
/// 100 for all hosts.
const POOL: u32 = 12;
/// Those that read single statements of a tenant.
const READERS: usize = 6;
/// Those that read single statements over all tenants: whose token it is, what is due.
const PLATFORM_READERS: usize = 2;
/// The longest that one statement may take: deleting a large connection is the slowest.
const STATEMENT_TIMEOUT: &str = "60s";
/// The longest wait for a row that another transaction has locked.
const LOCK_TIMEOUT: &str = "10s";
/// The longest that a host may leave a transaction open without a word, before the server ends it and frees its locks.
const IDLE_TIMEOUT: &str = "30s";

/// How statements are planned: once for whoever they may be about, not for one tenant among those that the statistics know. A tenant that has
/// just come isn't among them, and would have no rows in the planner's eyes: its people would be joined by going through all of them for
/// each of them. Migration 25 says the other half, that any tenant may have nearly all rows; so what is expected is always much, which
/// must lead neither to reading the others' rows as well nor to what only large questions are worth.
const PLANNING: [(&str, &str); 4] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off"), ("max_parallel_workers_per_gather", "0")];

/// First keys of the advisory locks, so that the kinds can't be mistaken for one another.
const REVISION_LOCK: i32 = 0x0052_4331;
const STRUCTURE_LOCK: i32 = 0x0052_4332;
const LOG_LOCK: i32 = 0x0052_4333;
const GROUP_LOCK: i32 = 0x0052_4334;

/// The store on a PostgreSQL database.
pub struct PostgresStore {
    pool: PgPool,
    readers: Readers,
    platform: Readers,
    keys: Arc<Keys>,
    trips: SharedTrips,
    /// Ends with the store.
    _statistics: JoinSet<()>,
}

/// What `shared.rs` implements the traits for.
pub(super) type Backend = PostgresStore;
/// A transaction that reads.
pub(super) type ReadTx = sqlx::Transaction<'static, Db>;

/// The roles that the migrations and backups give rights to.
const ROLES: [&str; 3] = ["rolecall_app", "rolecall_platform", "rolecall_backup"];

/// Makes the roles that are missing, each in a transaction of its own: roles are the whole cluster's, and a migration whose neighbour in
/// another database made one and has not committed would find it neither missing nor there. Who may make none is told by the migration.
async fn make_roles(owner: &mut PgConnection) -> Result<()> {
    for role in ROLES {
        let is_there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)").bind(role).fetch_one(&mut *owner).await?;
        if is_there {
            continue;
        }
        if let Err(error) = owner.execute(AssertSqlSafe(format!("CREATE ROLE {role} NOLOGIN"))).await {
            let code = error.as_database_error().and_then(|error| error.code().map(Cow::into_owned));
            // There by now, or not for this user to make.
            if !matches!(code.as_deref(), Some("42710" | "23505" | "42501")) {
                return Err(error.into());
            }
        }
    }
    Ok(())
}

impl PostgresStore {
    /// Connects to the database that the URL names and applies the migrations as the user that it names.
    ///
    /// # Errors
    /// `Unavailable` when it can't be reached.
    pub async fn open(url: &str, keyring: Arc<Keyring>) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?.application_name("rolecall").statement_cache_capacity(STATEMENT_CACHE);
        let mut owner = PgConnection::connect_with(&options).await?;
        make_roles(&mut owner).await?;
        migrations::run(&mut owner, migrations::POSTGRES).await?;
        backup_role::let_read(&mut owner).await?;
        owner.close().await?;
        let mut statistics = JoinSet::new();
        statistics.spawn(statistics::keep(options.clone()));
        let options = options.options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_TIMEOUT),
            ("standard_conforming_strings", "on"),
        ]);
        let options = options.options(PLANNING);
        let pool = PgPoolOptions::new()
            .max_connections(POOL)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // Beginning a transaction asks soon enough: see `begin`.
            .test_before_acquire(false)
            .after_connect(|conn, _| Box::pin(async move { conn.execute("SET ROLE rolecall_app").await.map(|_| ()) }))
            .connect_with(options.clone())
            .await?;
        let readers = Readers::new(options.clone(), "rolecall_app", READERS)?;
        let platform = Readers::new(options, "rolecall_platform", PLATFORM_READERS)?;
        Ok(Self { pool, readers, platform, keys: Arc::new(Keys::new(keyring)), trips: SharedTrips::default(), _statistics: statistics })
    }

    /// One snapshot of the tenant's rows.
    pub(super) async fn read(&self, tenant: &TenantId) -> Result<ReadTx> {
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}", enter("LOCAL", tenant));
        self.begin(begin).await
    }

    /// For one statement on the tenant's rows.
    pub(super) async fn read_one(&self, tenant: &TenantId) -> Result<ReadOne> {
        self.readers.of(tenant).await
    }

    /// For one statement over what may be seen across tenants.
    pub(super) async fn read_platform(&self) -> Result<ReadOne> {
        self.platform.any().await
    }

    /// One whole transaction on the tenant's rows, answered once it is durable.
    pub(super) async fn write<T: Send + 'static>(&self, tenant: &TenantId, work: impl Work<Conn, T>) -> Result<T> {
        // Another default isolation level would make locked rows look as they were before the wait.
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}", enter("LOCAL", tenant));
        let mut tx = self.begin(begin).await?;
        let done = work(&mut tx).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// One whole transaction, behind those that somebody waits for: here they are made beside each other.
    pub(super) async fn write_behind<T: Send + 'static>(&self, tenant: &TenantId, work: impl Work<Conn, T>) -> Result<T> {
        self.write(tenant, work).await
    }

    /// One whole transaction that may write as much as there is: no different here.
    pub(super) async fn write_everything<T: Send + 'static>(&self, tenant: &TenantId, work: impl Work<Conn, T>) -> Result<T> {
        self.write(tenant, work).await
    }

    /// One whole transaction over what belongs to no tenant.
    pub(super) async fn write_platform<T: Send + 'static>(&self, work: impl Work<Conn, T>) -> Result<T> {
        let mut tx = self.begin("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL ROLE rolecall_platform".into()).await?;
        let done = work(&mut tx).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// A transaction, on a connection that lives: one that the server has closed meanwhile shows with its first words, before
    /// anything was done, and another one is taken. So none is asked beforehand, which would be a trip for nothing.
    async fn begin(&self, words: String) -> Result<ReadTx> {
        let mut left = POOL;
        loop {
            match self.pool.begin_with(AssertSqlSafe(words.clone())).await {
                Err(error) if left > 0 && is_closed(&error) => left -= 1,
                begun => return Ok(begun?),
            }
        }
    }

    /// A credential, always as it is read: another host may have ended it.
    pub(super) async fn remembered(
        &self,
        _hash: &str,
        read: impl Future<Output = Result<Option<ConnectionCredential>>>,
    ) -> Result<Option<ConnectionCredential>> {
        read.await
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        self.keys.clone()
    }

    pub(super) fn trips(&self) -> &SharedTrips {
        &self.trips
    }
}

/// Whether a read failed because its session had been closed: nothing was read then, and another one may be asked.
pub(super) fn is_lost(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    source.downcast_ref::<sqlx::Error>().is_some_and(is_closed)
}

/// Leaves a lost session to nobody else.
pub(super) fn give_up(reader: ReadOne) {
    reader.give_up();
}

/// Whether a connection has been closed: by the network, or by the server (class 57P, operator intervention).
fn is_closed(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// Begins the `nth` statement of a batch: all are parts of one statement, which sees the rows as they were before it.
pub(super) fn begin_statement(sql: &mut sqlx::QueryBuilder<Db>, nth: usize) {
    sql.push(if nth == 0 { "WITH part" } else { "), part" }).push(nth).push(" AS (");
}

/// Begins the statement of a batch that gives its rows.
pub(super) fn begin_last_statement(sql: &mut sqlx::QueryBuilder<Db>, nth: usize) {
    if nth > 0 {
        sql.push(") ");
    }
}

/// Ends a batch that gives no rows.
pub(super) fn end_statements(sql: &mut sqlx::QueryBuilder<Db>) {
    sql.push(") SELECT 1");
}

/// A new event has no public number yet: in which order overlapping changes commit shows only afterwards.
pub(super) fn number_at_once(row: &mut sqlx::query_builder::Separated<'_, Db, &'static str>, _tenant: &TenantId, _nth: i64) {
    row.push("CAST(NULL AS BIGINT)");
}

/// Nothing was numbered.
pub(super) fn advance_head(_sql: &mut sqlx::QueryBuilder<Db>, _tenant: &TenantId, _count: i64) {}

/// Names the tenant whose rows this transaction (`LOCAL`) or session (`SESSION`) sees. A quotation mark inside a text is
/// written twice; every other character, a backslash too, stands for itself (`standard_conforming_strings` is set).
fn enter(scope: &'static str, tenant: &TenantId) -> String {
    format!("SET {scope} rolecall.tenant = '{}'", tenant.as_str().replace('\'', "''"))
}

/// Guards the tenant's active revision until the transaction ends: changes share it, an activation has it alone. So no result
/// of the revision before can be committed after the activation has begun to look for such results.
pub(super) async fn lock_revision(conn: &mut Conn, tenant: &TenantId, exclusive: bool) -> Result<()> {
    advisory_lock(conn, REVISION_LOCK, tenant.as_str(), exclusive).await
}

/// Guards which group is in which, and which handle is whose, until the transaction ends: those who add people share it, those
/// who change the structure have it alone.
pub(super) async fn lock_structure(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, exclusive: bool) -> Result<()> {
    advisory_lock(conn, STRUCTURE_LOCK, &format!("{tenant}/{connection}"), exclusive).await
}

/// Guards the order of the tenant's provisioning log until the transaction ends.
pub(super) async fn lock_log(conn: &mut Conn, tenant: &TenantId) -> Result<()> {
    advisory_lock(conn, LOG_LOCK, tenant.as_str(), true).await
}

/// Guards until the transaction ends that a group of this external id is made once.
pub(super) async fn lock_new_group(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, external_id: &str) -> Result<()> {
    advisory_lock(conn, GROUP_LOCK, &format!("{tenant}/{connection}/{external_id}"), true).await
}

/// Two names may share a lock by chance: then they wait for each other and nothing worse.
async fn advisory_lock(conn: &mut Conn, kind: i32, name: &str, exclusive: bool) -> Result<()> {
    let statement =
        if exclusive { "SELECT pg_advisory_xact_lock($1, hashtext($2))" } else { "SELECT pg_advisory_xact_lock_shared($1, hashtext($2))" };
    sqlx::query(statement).bind(kind).bind(name).execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_name_of_a_tenant_is_more_than_a_name() {
        let (store, _conn, _scratch) = scratch::open().await;
        for name in ["acme", "o'hara", "'; RESET ROLE; --", "back\\slash'", "''", "ü\u{1F642}"] {
            let mut tx = store.read(&TenantId::from(name)).await.unwrap();
            let (tenant, role): (String, String) =
                sqlx::query_as("SELECT current_setting('rolecall.tenant'), current_user::text").fetch_one(&mut *tx).await.unwrap();
            assert_eq!((tenant.as_str(), role.as_str()), (name, "rolecall_app"));
            let mut reader = store.read_one(&TenantId::from(name)).await.unwrap();
            let (tenant, role): (String, String) =
                sqlx::query_as("SELECT current_setting('rolecall.tenant'), current_user::text").fetch_one(&mut *reader).await.unwrap();
            assert_eq!((tenant.as_str(), role.as_str()), (name, "rolecall_app"));
        }
    }

    #[tokio::test]
    async fn what_reads_single_statements_can_not_write() {
        let (store, _conn, _scratch) = scratch::open().await;
        let tenant = TenantId::from("acme");
        for mut reader in [store.read_one(&tenant).await.unwrap(), store.read_platform().await.unwrap()] {
            let refused = sqlx::query("DELETE FROM api_tokens").execute(&mut *reader).await.unwrap_err();
            assert!(
                refused.to_string().contains("read-only transaction") || refused.to_string().contains("permission denied"),
                "{refused}"
            );
            assert_eq!(sqlx::query_scalar::<_, String>("SHOW transaction_read_only").fetch_one(&mut *reader).await.unwrap(), "on");
        }
    }
}
