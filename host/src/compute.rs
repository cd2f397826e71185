//! Threads for tenant code: a spinning plugin can neither hold an async worker nor starve another tenant.

use crate::model::TenantId;

/// The pool is closed, or the tenant's queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much is waiting to be evaluated for this tenant")]
pub struct Overloaded;

/// A fixed number of threads with a fair queue: one tenant's waiting work never delays another's by more than a turn.
pub struct Compute {}

impl Compute {
    /// `threads` workers; each tenant may have `queue` jobs waiting and at most `threads - 1` (at least 1) running.
    #[must_use]
    pub fn new(threads: usize, queue: usize) -> Self {
        let _ = (threads, queue);
        unimplemented!()
    }
    /// Runs `work` on a worker thread.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn run<T: Send + 'static>(&self, tenant: &TenantId, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Overloaded> {
        let _ = (tenant, work);
        unimplemented!()
    }
}
