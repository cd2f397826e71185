//! What only SQLite has: the file.

use rolecall::store::{self, StoreError};
use rolecall_scim::ResourceKind;

use crate::fixture::{Fixture, keyring};

#[tokio::test]
async fn what_was_answered_is_in_the_file() {
    let fixture = Fixture::on_sqlite().await;
    let ids = fixture.here().create_users("u", 100).await;
    // As after a crash: the first store is still open and has closed nothing.
    let reopened = fixture.another_host().await;
    for id in &ids {
        let found = reopened.resource(&fixture.tenant, &fixture.connection, ResourceKind::User, id).await.unwrap();
        assert!(found.is_some(), "{id}");
    }
}

#[tokio::test]
async fn a_database_in_memory_is_refused() {
    for url in ["sqlite::memory:", "sqlite:file:x?mode=memory"] {
        let refused = store::open(url, keyring()).await.err().unwrap();
        assert!(matches!(refused, StoreError::Missing(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_unavailable() {
    let refused = store::open("sqlite:/nowhere/at/all/rolecall.db", keyring()).await.err().unwrap();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    let refused = store::open("mysql://db.example", keyring()).await.err().unwrap();
    assert!(matches!(refused, StoreError::Missing(_)), "{refused:?}");
}

#[test]
fn one_process_serves_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("rolecall.db").display());
    let held = store::hold(&url).unwrap();
    let refused = store::hold(&url).unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.to_string().contains("another process")), "{refused:?}");
    drop(held);
    store::hold(&url).unwrap();
    assert!(store::hold("postgres://localhost/rolecall").unwrap().is_none(), "any number of processes");
}

#[tokio::test]
async fn commits_are_synchronous_and_logged_ahead() {
    use sqlx::Connection as _;
    let fixture = Fixture::on_sqlite().await;
    let mut conn = sqlx::SqliteConnection::connect(&fixture.url).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut conn).await.unwrap();
    assert_eq!(mode, "wal");
}
