//! A database of its own for a test inside the crate.

use std::any::Any;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

use super::{Conn, PostgresStore};
use crate::crypto::{Keyring, SecretKey, random_id};
use crate::store::migrations::{self, Script};

/// Each table with each of its columns.
pub(in super::super) const COLUMNS: &str =
    "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = current_schema()";

/// What becomes of a database that people were put into: its own housekeeping gathers statistics.
pub(in super::super) const SETTLE: &[&str] = &["ANALYZE"];

/// Whether a line of a plan goes through a whole table of people, events or deliveries.
pub(in super::super) fn is_scan(line: &str) -> bool {
    let walks_over =
        ["resources", "evaluations", "members", "events", "deliveries", "delivery_lanes", "emails", "standings", "history_batches"];
    line.split_once("Seq Scan on ").is_some_and(|(_, rest)| walks_over.contains(&rest.split(' ').next().unwrap_or_default()))
}

/// Drops the database when it is dropped.
struct Scratch {
    server: String,
    name: String,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own, because the test's can't be waited for here.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                let mut conn = Conn::connect(&server).await.unwrap();
                sqlx::query(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&mut conn).await.unwrap();
            });
        });
        assert!(dropped.join().is_ok() || std::thread::panicking(), "the test's database can't be dropped");
    }
}

/// How a statement is planned for a session, as it is for a request: without the values. Types of the parameters may be given, where the statement
/// itself tells too little of them.
pub(in super::super) async fn plan(conn: &mut Conn, statement: &str, types: &[&str]) -> Vec<String> {
    explain(conn, "EXPLAIN", statement, types, None).await
}

/// The plan of a statement that is prepared and called, with values (in SQL's words) where they matter.
pub(super) async fn explain(conn: &mut Conn, how: &str, statement: &str, types: &[&str], values: Option<Vec<String>>) -> Vec<String> {
    let listed = |items: &str| if items.is_empty() { String::new() } else { format!("({items})") };
    let prepare = format!("PREPARE planned{} AS {statement}", listed(&types.join(", ")));
    conn.execute(AssertSqlSafe(prepare)).await.unwrap();
    let count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'planned'";
    let count: i32 = sqlx::query_scalar(count).fetch_one(&mut *conn).await.unwrap();
    let values = values.unwrap_or_else(|| vec!["NULL".into(); usize::try_from(count).unwrap()]).join(", ");
    let plan = conn.fetch_all(AssertSqlSafe(format!("{how} EXECUTE planned{}", listed(&values)))).await.unwrap();
    conn.execute("DEALLOCATE planned").await.unwrap();
    plan.iter().map(|row| row.get("QUERY PLAN")).collect()
}

/// The migrations.
pub(in super::super) const MIGRATIONS: &[Script] = migrations::POSTGRES;

/// Bytes in a statement.
pub(in super::super) fn bytes(bytes: &[u8]) -> String {
    format!("'\\x{}'::bytea", crate::crypto::hex(bytes))
}

/// The URL of an empty database, and what removes it when it is dropped.
pub(in super::super) async fn blank() -> (String, Box<dyn Any + Send>) {
    let server =
        std::env::var("ROLECALL_TEST_POSTGRES_URL").expect("`ROLECALL_TEST_POSTGRES_URL` is set: run `scripts/with-postgres cargo test …`");
    let name = format!("rolecall_{}", random_id());
    let mut conn = Conn::connect(&server).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut conn).await.unwrap();
    let (start, _) = server.rsplit_once('/').unwrap();
    let url = format!("{start}/{name}");
    (url, Box::new(Scratch { server, name }))
}

/// A store, a connection beside it, and what removes the database when it is dropped.
pub(in super::super) async fn open() -> (PostgresStore, Conn, Box<dyn Any + Send>) {
    let (url, scratch) = blank().await;
    let store = PostgresStore::open(&url, Arc::new(Keyring::new(SecretKey::random()))).await.unwrap();
    (store, Conn::connect(&url).await.unwrap(), scratch)
}
