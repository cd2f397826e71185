//! An empty database for each test, of either kind, gone when the test is over.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};

/// Names a PostgreSQL in which databases may be made: `scripts/with-postgres` starts one and sets it.
pub const POSTGRES_URL_VARIABLE: &str = "ROLECALL_TEST_POSTGRES_URL";

/// The two databases that Rolecall runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// A database of the test's own, with a folder for what else a server keeps.
#[derive(Clone, Debug)]
pub struct Database {
    /// Which kind.
    pub kind: Kind,
    /// Its URL.
    pub url: String,
    folder: Arc<tempfile::TempDir>,
    name: Option<String>,
}

impl Database {
    /// An empty database.
    ///
    /// # Panics
    /// When PostgreSQL is asked for and can't be had: a test that quietly skips a database is a defect.
    pub async fn create(kind: Kind) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder can be made"));
        match kind {
            Kind::Sqlite => {
                let url = format!("sqlite:{}", folder.path().join("rolecall.db").display());
                Self { kind, url, folder, name: None }
            }
            Kind::Postgres => {
                let name = fresh_name();
                let mut server = server_connection().await;
                server.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("a database can be made");
                Self { kind, url: with_database(&server_url(), &name), folder, name: Some(name) }
            }
        }
    }

    /// Where a server on this database keeps its master key.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The SQLite file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("rolecall.db")
    }

    /// Runs a statement behind the server's back, as somebody does who can write to the database.
    ///
    /// # Panics
    /// When it fails.
    pub async fn alter(&self, statement: &'static str) {
        let altered = match self.kind {
            Kind::Sqlite => {
                let mut conn = sqlx::SqliteConnection::connect(&self.url).await.expect("the file can be opened");
                conn.execute(statement).await.map(|done| done.rows_affected())
            }
            Kind::Postgres => {
                let mut conn = PgConnection::connect(&self.url).await.expect("the database answers");
                conn.execute(statement).await.map(|done| done.rows_affected())
            }
        };
        assert!(altered.expect("the statement runs") > 0, "`{statement}` altered nothing");
    }

    /// Removes the database, whoever is still connected.
    async fn remove(self) {
        if let Some(name) = self.name {
            let mut server = server_connection().await;
            server.execute(sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.expect("the database can be removed");
        }
    }
}

/// How long a test may take: far more than any does, so that one that waits for what never comes fails by its name instead
/// of stopping everything.
fn limit() -> Duration {
    Duration::from_secs(if std::env::var_os("ROLECALL_TEST_SOAK").is_some() { 3_600 } else { 400 })
}

/// Runs a test on a database of its own and removes it, also when the test fails.
///
/// # Panics
/// As the test does, and when it takes too long.
pub async fn with<F, T>(kind: Kind, test: F)
where
    F: FnOnce(Database) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    crate::logs::capture();
    let database = Database::create(kind).await;
    let outcome = tokio::time::timeout(limit(), tokio::spawn(test(database.clone()))).await;
    database.remove().await;
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => std::panic::resume_unwind(failure.into_panic()),
        Err(_) => panic!("the test did not end within {:?}", limit()),
    }
}

fn server_url() -> String {
    std::env::var(POSTGRES_URL_VARIABLE).unwrap_or_else(|_| {
        panic!(
            "`{POSTGRES_URL_VARIABLE}` is not set: run the tests as `scripts/with-postgres cargo test …`, or all of them with `make test`"
        )
    })
}

async fn server_connection() -> PgConnection {
    PgConnection::connect(&server_url()).await.expect("the PostgreSQL of the tests answers")
}

/// The URL with another database's name: the path is replaced, the query (a socket's folder may be in it) stays.
fn with_database(url: &str, name: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let scheme_end = address.find("://").map_or(0, |at| at + 3);
    let path_start = address[scheme_end..].find('/').map_or(address.len(), |at| scheme_end + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &address[..path_start])
}

/// A name that no other test has, of this process or of another on the same PostgreSQL.
fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("rolecall_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            ("postgres://u:p@h:5/postgres", "postgres://u:p@h:5/x"),
            ("postgres://u@h", "postgres://u@h/x"),
            ("postgres:///postgres?host=/run/s&port=5", "postgres:///x?host=/run/s&port=5"),
        ] {
            assert_eq!(with_database(url, "x"), expected);
        }
    }
}
