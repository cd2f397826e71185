//! Copies the write-ahead log back into the file, beside the writer: a copy waits for the disk twice, and no change should wait for it.
//! Knows the log; knows no tables.
//!
//! The log begins anew once all of it was copied and nobody writes or reads what is in it, which does not come about while changes follow
//! each other closely. Then the writer copies the rest itself, past [`WRITER_PAGES`]: little, because this goes on without a pause before.

use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::Notify;

/// The pages (of 4 KiB) of the log past which the writer copies what is left of it: sixteen times SQLite's own 1,000.
pub(super) const WRITER_PAGES: i64 = 16_000;
/// The pages past which the log is copied without a pause.
const NEAR: i64 = WRITER_PAGES - 1_000;
/// The changes after which the log is copied. Pages that many changes touch are copied once for all of them, and what is copied at once keeps the
/// disk from the writer for as long: with 64 the slowest hundredth of changes is a little faster, and a tenth fewer are made.
pub(super) const CHANGES: usize = 256;

/// Where the writer says what it has committed.
pub(super) struct Copying {
    changes: usize,
    due: Arc<Notify>,
}

impl Copying {
    /// Begins on the runtime of the caller, and ends with it.
    pub(super) fn start(options: &SqliteConnectOptions) -> Self {
        let due = Arc::new(Notify::new());
        let options = options.clone().create_if_missing(false).pragma("wal_autocheckpoint", "0");
        tokio::spawn(copy(options, Arc::clone(&due)));
        Self { changes: 0, due }
    }

    /// So many changes more are in the log.
    pub(super) fn committed(&mut self, changes: usize) {
        self.changes = self.changes.saturating_add(changes);
        if self.changes >= CHANGES {
            self.changes = 0;
            self.due.notify_one();
        }
    }
}

async fn copy(options: SqliteConnectOptions, due: Arc<Notify>) {
    let mut open = None;
    loop {
        due.notified().await;
        if let Err(error) = copy_once(&options, &mut open).await {
            open = None;
            tracing::warn!(error = &error as &dyn std::error::Error, "the write-ahead log could not be copied: the writer does it");
        }
    }
}

/// Copies what there is; past [`NEAR`] again, as long as there is more.
async fn copy_once(options: &SqliteConnectOptions, open: &mut Option<SqliteConnection>) -> Result<(), sqlx::Error> {
    let conn = match open {
        Some(conn) => conn,
        None => open.insert(SqliteConnection::connect_with(options).await?),
    };
    let mut before = 0;
    loop {
        // Passive: it waits for nobody, and nobody for it.
        let (_, pages, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut *conn).await?;
        if pages < NEAR || pages == before {
            return Ok(());
        }
        before = pages;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::str::FromStr as _;

    use sqlx::sqlite::SqliteJournalMode;

    use super::*;

    /// How many rows the file has by itself.
    async fn in_the_file(file: &Path) -> i64 {
        let alone = file.with_extension("alone");
        std::fs::copy(file, &alone).unwrap();
        let options = SqliteConnectOptions::new().filename(&alone);
        let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
        let counted = sqlx::query_scalar("SELECT count(*) FROM noted").fetch_one(&mut conn).await;
        conn.close().await.unwrap();
        counted.unwrap_or(0)
    }

    #[tokio::test]
    async fn what_was_committed_is_copied_beside_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.db");
        let options = SqliteConnectOptions::from_str(&format!("sqlite:{}", file.display())).unwrap();
        let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal).pragma("wal_autocheckpoint", "0");
        let mut writer = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("CREATE TABLE noted (n INTEGER PRIMARY KEY)").execute(&mut writer).await.unwrap();
        let mut copying = Copying::start(&options);
        for rows in 1..=2 {
            sqlx::query("INSERT INTO noted DEFAULT VALUES").execute(&mut writer).await.unwrap();
            copying.committed(CHANGES - 1);
            tokio::task::yield_now().await;
            assert_eq!(in_the_file(&file).await, rows - 1, "not yet");
            copying.committed(1);
            while in_the_file(&file).await != rows {
                tokio::task::yield_now().await;
            }
        }
    }
}
