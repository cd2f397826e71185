//! The store's contract, black box through its traits, stamped onto both databases. What only one database has (roles and
//! row-level security, the file) stands in `postgres_only.rs` and `sqlite_only.rs`.

#![expect(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

/// Stamps test functions that take a [`fixture::Fixture`] onto SQLite and PostgreSQL.
macro_rules! store_contract_suite {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::within_limit(super::$case(crate::fixture::Fixture::on_sqlite().await)).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::within_limit(super::$case(crate::fixture::Fixture::on_postgres().await)).await;
            })+
        }
    };
}

mod connection;
mod directory;
mod drift;
mod fixture;
mod groups;
mod history;
mod imports;
mod listing;
mod moving;
mod names;
mod postgres_only;
mod processes;
mod races;
mod records;
mod removal;
mod restores;
mod reviews;
mod rulings;
mod sealed;
mod spreading;
mod sqlite_only;
mod steps;
mod tenancy;
mod trials;
mod users;
mod visitors;
mod work;

/// Far more than any test takes: one that waits for what never comes fails by its name instead of stopping everything.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(400);

async fn within_limit(test: impl Future<Output = ()>) {
    tokio::time::timeout(LIMIT, test).await.expect("the test ends in time");
}
