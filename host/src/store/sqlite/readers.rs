//! The connections that read the file. Each is a thread of its own, and every word with it is a switch to that thread and back:
//! so a connection is handed out and taken back without one. (sqlx's pool asks each whether it still lives whenever it comes
//! back, which a file has no need of.)

use std::ops::{Deref, DerefMut};

use deadpool::managed::{Manager, Metrics, Object, Pool, RecycleResult};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use crate::store::{Result, pool};

/// Connections that read. They never block each other or the writer; more than cores are of no use.
const READERS: usize = 4;

/// Opens connections.
pub struct Opener(SqliteConnectOptions);

impl Manager for Opener {
    type Type = SqliteConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> std::result::Result<SqliteConnection, sqlx::Error> {
        self.0.connect().await
    }

    async fn recycle(&self, _: &mut SqliteConnection, _: &Metrics) -> RecycleResult<sqlx::Error> {
        Ok(())
    }
}

/// The readers of one file.
pub struct Readers(Pool<Opener>);

/// What reads with one statement: each statement is a snapshot by itself.
pub type ReadOne = Object<Opener>;

impl Readers {
    /// Readers that open the file with these options.
    pub(super) fn new(options: SqliteConnectOptions) -> Result<Self> {
        pool::of(Opener(options), READERS).map(Self)
    }

    /// For one statement.
    pub(super) async fn one(&self) -> Result<ReadOne> {
        pool::one(&self.0).await
    }

    /// For several statements that see the same.
    pub(super) async fn snapshot(&self) -> Result<ReadTx> {
        let mut conn = self.one().await?;
        sqlx::query("BEGIN").execute(&mut *conn).await?;
        Ok(ReadTx(Some(conn)))
    }
}

/// A transaction that reads. It ends when this is dropped, and the connection goes back when it has.
pub struct ReadTx(Option<ReadOne>);

impl Deref for ReadTx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.0.as_ref().expect("a connection is here until the drop")
    }
}

impl DerefMut for ReadTx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.0.as_mut().expect("a connection is here until the drop")
    }
}

impl Drop for ReadTx {
    fn drop(&mut self) {
        let Some(mut conn) = self.0.take() else { return };
        // Without a runtime the process is ending: dropping the connection ends the transaction as well.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                if sqlx::query("ROLLBACK").execute(&mut *conn).await.is_err() {
                    // Nobody may get a connection that is still in a transaction.
                    drop(Object::take(conn));
                }
            })),
            Err(_) => drop(Object::take(conn)),
        }
    }
}
