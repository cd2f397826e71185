//! Pools of connections that read, handed out and taken back without a word. Knows bounds and waits; knows no database.

use deadpool::Runtime;
use deadpool::managed::{Manager, Object, Pool, PoolError};

use super::{ACQUIRE_TIMEOUT, Result, StoreError};

/// A pool of at most so many.
pub(super) fn of<M: Manager>(manager: M, most: usize) -> Result<Pool<M>> {
    Pool::builder(manager)
        .max_size(most)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(ACQUIRE_TIMEOUT))
        .create_timeout(Some(ACQUIRE_TIMEOUT))
        .build()
        .map_err(|error| StoreError::Unavailable(error.into()))
}

/// One of them.
pub(super) async fn one<M: Manager<Error = sqlx::Error>>(pool: &Pool<M>) -> Result<Object<M>> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error.into(),
        other => StoreError::Unavailable(other.into()),
    })
}
