//! The harness: a server in this process, tenants with rules of their own, and clients that read like English.
//!
//! A test says what happens (`entra.create("ada@acme.example")`), the harness knows where and how. It may know of
//! Rolecall's start-up and administration, so that a test can set its scene; what is tested goes over HTTP.

pub mod browser;
pub mod cases;
pub mod client;
pub mod database;
pub mod issuer;
pub mod logs;
pub mod probe;
pub mod process;
pub mod receiver;
pub mod server;
pub mod tenant;
pub mod wasm;

pub use client::{Answer, Client};
pub use database::{Database, Kind};
pub use server::Server;
pub use tenant::{Connection, Tenant};

/// Stamps tests onto both databases: each gets an empty database of its own, which is gone afterwards.
///
/// ```text
/// on_both_databases! {
///     /// What it shows.
///     async fn name_of_the_test(database: Database) { … }
/// }
/// ```
#[macro_export]
macro_rules! on_both_databases {
    ($($(#[$doc:meta])* async fn $name:ident($database:ident: $given:ty) $body:block)+) => {
        $(
            $(#[$doc])*
            mod $name {
                use super::*;

                async fn test($database: $given) $body

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    $crate::database::with($crate::Kind::Sqlite, test).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    $crate::database::with($crate::Kind::Postgres, test).await;
                }
            }
        )+
    };
}
