//! Threads for tenant code: a spinning plugin can neither hold an async worker nor starve another tenant.
//!
//! Knows nothing of what the work is.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use crate::model::{LIVE_IN_A_ROW, TenantId, Urgency};

/// The pool is closed, or the tenant's queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much is waiting to be evaluated for this tenant")]
pub struct Overloaded;

type Job = Box<dyn FnOnce() + Send>;

/// One tenant's work.
#[derive(Default)]
struct Lane {
    live: VecDeque<Job>,
    crowd: VecDeque<Job>,
    running: usize,
}

impl Lane {
    fn waiting(&mut self, urgency: Urgency) -> &mut VecDeque<Job> {
        match urgency {
            Urgency::Live => &mut self.live,
            Urgency::Crowd => &mut self.crowd,
        }
    }
}

#[derive(Default)]
struct State {
    /// The tenants that have work, waiting or running.
    lanes: HashMap<TenantId, Lane>,
    /// Whose turn is next: each tenant with waiting live work stands here exactly once.
    live_turns: VecDeque<TenantId>,
    /// The same for the crowds'.
    crowd_turns: VecDeque<TenantId>,
    /// How many live jobs have gone ahead of a crowd since it had its turn.
    live_in_a_row: usize,
    closed: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// How many jobs of one tenant run at once.
    running_limit: usize,
    /// How many jobs of one tenant and urgency wait.
    waiting_limit: usize,
}

/// A fixed number of threads with a fair queue: one tenant's waiting work never delays another's by more than a turn, and what is live
/// goes ahead of every tenant's crowd.
pub struct Compute {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Compute {
    /// `threads` workers; each tenant may have `queue` jobs of each urgency waiting and at most `threads - 1` (at least 1) running.
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
    pub async fn run<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        urgency: Urgency,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let (answer, answered) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        let job = Box::new(move || {
            if !answer.is_closed() {
                // A caller that has gone away while the work ran wants no answer.
                let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
            }
        });
        self.shared.enqueue(tenant, urgency, job)?;
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

    fn enqueue(&self, tenant: &TenantId, urgency: Urgency, job: Job) -> Result<(), Overloaded> {
        let mut state = self.state();
        if state.closed {
            return Err(Overloaded);
        }
        let waiting = state.lanes.entry(tenant.clone()).or_default().waiting(urgency);
        if waiting.len() >= self.waiting_limit {
            return Err(Overloaded);
        }
        waiting.push_back(job);
        if waiting.len() == 1 {
            state.turns(urgency).push_back(tenant.clone());
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.lanes.clear();
        state.live_turns.clear();
        state.crowd_turns.clear();
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
    fn turns(&mut self, urgency: Urgency) -> &mut VecDeque<TenantId> {
        match urgency {
            Urgency::Live => &mut self.live_turns,
            Urgency::Crowd => &mut self.crowd_turns,
        }
    }

    /// The next job: a live one, unless so many have gone ahead that a crowd is in turn.
    fn next(&mut self, running_limit: usize) -> Option<(TenantId, Job)> {
        let in_turn = self.live_in_a_row >= LIVE_IN_A_ROW;
        let order = if in_turn { [Urgency::Crowd, Urgency::Live] } else { [Urgency::Live, Urgency::Crowd] };
        order.into_iter().find_map(|urgency| self.next_of(urgency, running_limit))
    }

    /// The next job of the first tenant in turn that is below its limit, which then goes to the end of the line.
    fn next_of(&mut self, urgency: Urgency, running_limit: usize) -> Option<(TenantId, Job)> {
        let lanes = &self.lanes;
        let below = |tenant: &TenantId| lanes.get(tenant).is_some_and(|lane| lane.running < running_limit);
        let turns = if urgency == Urgency::Live { &self.live_turns } else { &self.crowd_turns };
        let in_turn = turns.iter().position(below)?;
        let tenant = self.turns(urgency).remove(in_turn)?;
        let lane = self.lanes.get_mut(&tenant)?;
        let job = lane.waiting(urgency).pop_front()?;
        lane.running += 1;
        let more = !lane.waiting(urgency).is_empty();
        if more {
            self.turns(urgency).push_back(tenant.clone());
        }
        self.live_in_a_row = match urgency {
            Urgency::Live if !self.crowd_turns.is_empty() => self.live_in_a_row + 1,
            Urgency::Live | Urgency::Crowd => 0,
        };
        Some((tenant, job))
    }

    fn finished(&mut self, tenant: &TenantId) {
        // Absent when the pool was closed meanwhile.
        let Some(lane) = self.lanes.get_mut(tenant) else { return };
        lane.running -= 1;
        if lane.running == 0 && lane.live.is_empty() && lane.crowd.is_empty() {
            self.lanes.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests;
