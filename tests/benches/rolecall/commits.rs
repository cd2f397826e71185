//! Durable creates against what the same database allows: bare commits of as many rows, with the same settings and grouping.

use std::time::Instant;

use rolecall_tests::{Database, Kind};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, SqliteConnection};

use crate::provisioning::CONCURRENT;
use crate::report::Report;

/// Rows that one create writes: resource, link, account, evaluation, and a few events.
const ROWS: usize = 8;
/// The bytes of one such row.
const ROW_BYTES: usize = 400;
/// How many groups a round commits.
const GROUPS: usize = 20;

/// Commits groups of as many changes as there are requests under way, each in a savepoint of its own; changes a second.
async fn raw_rate(connection: &mut SqliteConnection, body: &str) -> f64 {
    let started = Instant::now();
    for _ in 0..GROUPS {
        let mut transaction = connection.begin().await.expect("a transaction begins");
        for _ in 0..CONCURRENT {
            let mut savepoint = transaction.begin().await.expect("a savepoint begins");
            for _ in 0..ROWS {
                sqlx::query("INSERT INTO raw (body) VALUES ($1)").bind(body).execute(&mut *savepoint).await.expect("a row is written");
            }
            savepoint.commit().await.expect("a savepoint is released");
        }
        transaction.commit().await.expect("a group is committed");
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred changes")]
    let changes = (GROUPS * CONCURRENT) as f64;
    changes / started.elapsed().as_secs_f64()
}

/// Compares the rates of creation, measured before, with the bare loop.
pub async fn measure(report: &mut Report, creates: &[f64]) {
    let database = Database::create(Kind::Sqlite).await;
    let options = SqliteConnectOptions::new()
        .filename(database.file())
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = options.connect().await.expect("the file opens");
    connection.execute("CREATE TABLE raw (id INTEGER PRIMARY KEY, body TEXT NOT NULL)").await.expect("a table is made");
    let body = "x".repeat(ROW_BYTES);
    let mut raw = Vec::new();
    for _ in 0..creates.len() {
        raw.push(raw_rate(&mut connection, &body).await);
    }
    report.add("durable creates", "changes a second", ("SCIM create", creates.to_vec()), ("raw commits, same grouping", raw));
}
