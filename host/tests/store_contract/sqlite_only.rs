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

#[tokio::test]
async fn commits_are_synchronous_and_logged_ahead() {
    use sqlx::Connection as _;
    let fixture = Fixture::on_sqlite().await;
    let mut conn = sqlx::SqliteConnection::connect(&fixture.url).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut conn).await.unwrap();
    assert_eq!(mode, "wal");
}
