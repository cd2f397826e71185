//! A database of its own for a test inside the crate.

use std::any::Any;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use super::{Conn, SqliteStore};
use crate::crypto::{Keyring, SecretKey};
use crate::store::migrations::{self, Script};

/// Each table with each of its columns.
pub(in super::super) const COLUMNS: &str =
    "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'";

/// What becomes of a database that people were put into: nothing, statistics are never gathered.
pub(in super::super) const SETTLE: &[&str] = &[];

/// Whether a line of a plan goes through a whole table of people, events or deliveries.
pub(in super::super) fn is_scan(line: &str) -> bool {
    let walks_over = [
        "resources",
        "r",
        "evaluations",
        "e",
        "members",
        "m",
        "events",
        "deliveries",
        "delivery_lanes",
        "l",
        "emails",
        "x",
        "standings",
        "s",
        "history_batches",
        "b",
    ];
    line.strip_prefix("SCAN ").is_some_and(|rest| walks_over.contains(&rest.split(' ').next().unwrap_or_default()))
}

/// How a statement is planned, which its values have no part in.
pub(in super::super) async fn plan(conn: &mut Conn, statement: &str, _types: &[&str]) -> Vec<String> {
    let plan = conn.fetch_all(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"))).await.unwrap();
    plan.iter().map(|row| row.get("detail")).collect()
}

/// The migrations.
pub(in super::super) const MIGRATIONS: &[Script] = migrations::SQLITE;

/// Bytes in a statement.
pub(in super::super) fn bytes(bytes: &[u8]) -> String {
    format!("x'{}'", crate::crypto::hex(bytes))
}

/// The URL of an empty database, and what removes it when it is dropped.
pub(in super::super) async fn blank() -> (String, Box<dyn Any + Send>) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("rolecall.db").display());
    Conn::connect(&format!("{url}?mode=rwc")).await.unwrap().close().await.unwrap();
    (url, Box::new(folder))
}

/// A store, a connection beside it, and what removes the database when it is dropped.
pub(in super::super) async fn open() -> (SqliteStore, Conn, Box<dyn Any + Send>) {
    let (url, scratch) = blank().await;
    let store = SqliteStore::open(&url, Arc::new(Keyring::new(SecretKey::random()))).await.unwrap();
    (store, Conn::connect(&url).await.unwrap(), scratch)
}
