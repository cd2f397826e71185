//! Threads for tenant code: a spinning plugin can neither hold an async worker nor starve another tenant.
//!
//! Knows nothing of what the work is.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::model::TenantId;

/// The pool is closed, or the tenant's queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much is waiting to be evaluated for this tenant")]
pub struct Overloaded;

type Job = Box<dyn FnOnce() + Send>;

/// One tenant's work.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Job>,
    running: usize,
}

#[derive(Default)]
struct State {
    /// The tenants that have work, waiting or running.
    lanes: HashMap<TenantId, Lane>,
    /// Whose turn is next: each tenant with waiting work stands here exactly once.
    turns: VecDeque<TenantId>,
    closed: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// How many jobs of one tenant run at once.
    running_limit: usize,
    /// How many jobs of one tenant wait.
    waiting_limit: usize,
}

/// A fixed number of threads with a fair queue: one tenant's waiting work never delays another's by more than a turn.
pub struct Compute {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Compute {
    /// `threads` workers; each tenant may have `queue` jobs waiting and at most `threads - 1` (at least 1) running.
    ///
    /// # Panics
    /// When the machine can't start a thread.
    #[must_use]
    pub fn new(threads: usize, queue: usize) -> Self {
        let threads = threads.max(1);
        let running_limit = (threads - 1).max(1);
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), running_limit, waiting_limit: queue });
        let workers = (0..threads)
            .map(|number| {
                let shared = Arc::clone(&shared);
                let worker = thread::Builder::new().name(format!("evaluate-{number}"));
                worker.spawn(move || shared.work()).expect("a process that can't start its threads can't serve")
            })
            .collect();
        Self { shared, workers }
    }

    /// Runs `work` on a worker thread. Work whose caller has gone away before its turn is not run.
    ///
    /// # Errors
    /// [`Overloaded`].
    ///
    /// # Panics
    /// With what `work` panics with: the worker itself goes on.
    pub async fn run<T: Send + 'static>(&self, tenant: &TenantId, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Overloaded> {
        let (answer, answered) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        let job = Box::new(move || {
            if !answer.is_closed() {
                // A caller that has gone away while the work ran wants no answer.
                let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
            }
        });
        self.shared.enqueue(tenant, job)?;
        match answered.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => resume_unwind(panic),
            // The pool was closed with the job still waiting.
            Err(_) => Err(Overloaded),
        }
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        self.shared.close();
        let this = thread::current().id();
        for worker in self.workers.drain(..) {
            // The last owner may be a job: a thread can't wait for itself.
            if worker.thread().id() != this {
                // Workers catch what jobs panic with.
                let _ = worker.join();
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the queue itself would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, tenant: &TenantId, job: Job) -> Result<(), Overloaded> {
        let mut state = self.state();
        if state.closed {
            return Err(Overloaded);
        }
        let lane = state.lanes.entry(tenant.clone()).or_default();
        if lane.waiting.len() >= self.waiting_limit {
            return Err(Overloaded);
        }
        lane.waiting.push_back(job);
        if lane.waiting.len() == 1 {
            state.turns.push_back(tenant.clone());
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.lanes.clear();
        state.turns.clear();
        drop(state);
        self.changed.notify_all();
    }

    fn work(&self) {
        let mut state = self.state();
        while !state.closed {
            let Some((tenant, job)) = state.next(self.running_limit) else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            job();
            state = self.state();
            state.finished(&tenant);
            // A tenant that was at its limit may go on, and the worker that finds that out may be another one.
            self.changed.notify_one();
        }
    }
}

impl State {
    /// The next job of the first tenant in turn that is below its limit, which then goes to the end of the line.
    fn next(&mut self, running_limit: usize) -> Option<(TenantId, Job)> {
        let in_turn = self.turns.iter().position(|tenant| self.lanes.get(tenant).is_some_and(|lane| lane.running < running_limit))?;
        let tenant = self.turns.remove(in_turn)?;
        let lane = self.lanes.get_mut(&tenant)?;
        let job = lane.waiting.pop_front()?;
        lane.running += 1;
        if !lane.waiting.is_empty() {
            self.turns.push_back(tenant.clone());
        }
        Some((tenant, job))
    }

    fn finished(&mut self, tenant: &TenantId) {
        // Absent when the pool was closed meanwhile.
        let Some(lane) = self.lanes.get_mut(tenant) else { return };
        lane.running -= 1;
        if lane.running == 0 && lane.waiting.is_empty() {
            self.lanes.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests;
