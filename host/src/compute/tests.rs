//! Fairness against tenants whose work does not end, held up by gates and never by time.

use std::sync::mpsc;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle as Task;

use super::*;

/// Work that does not end until the gate is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn wait(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// Opens the gate however the test ends, so that a failing assertion does not wait for ever for its workers.
struct OpenAtEnd(Gate);

impl Drop for OpenAtEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A pool under test, with what its jobs report.
struct Bench {
    runtime: Runtime,
    compute: Arc<Compute>,
    reports: mpsc::Sender<String>,
    reported: mpsc::Receiver<String>,
}

impl Bench {
    fn new(threads: usize, queue: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (reports, reported) = mpsc::channel();
        Self { runtime, compute: Arc::new(Compute::new(threads, queue)), reports, reported }
    }

    /// Queues a job that reports its name and then waits for the gate. Returns when it is queued (or refused).
    fn start(&self, tenant: &str, name: &str, gate: Option<&Gate>) -> Task<Result<(), Overloaded>> {
        self.start_as(Urgency::Live, tenant, name, gate)
    }

    fn start_as(&self, urgency: Urgency, tenant: &str, name: &str, gate: Option<&Gate>) -> Task<Result<(), Overloaded>> {
        let (compute, tenant, name) = (Arc::clone(&self.compute), TenantId::from(tenant), name.to_owned());
        let (reports, gate) = (self.reports.clone(), gate.cloned());
        let mut run = Box::pin(async move {
            let work = move || {
                reports.send(name).unwrap();
                if let Some(gate) = gate {
                    gate.wait();
                }
            };
            compute.run(&tenant, urgency, work).await
        });
        // One poll queues the job; the rest waits for the answer elsewhere.
        let polled =
            self.runtime.block_on(async { std::future::poll_fn(|context| std::task::Poll::Ready(run.as_mut().poll(context))).await });
        match polled {
            std::task::Poll::Ready(answer) => self.runtime.spawn(async move { answer }),
            std::task::Poll::Pending => self.runtime.spawn(run),
        }
    }

    fn finish(&self, task: Task<Result<(), Overloaded>>) -> Result<(), Overloaded> {
        self.runtime.block_on(task).unwrap()
    }

    fn next_report(&self) -> String {
        self.reported.recv().unwrap()
    }
}

#[test]
fn a_tenant_never_holds_all_threads() {
    let (bench, gate) = (Bench::new(3, 100), Gate::default());
    let _open = OpenAtEnd(gate.clone());
    let spinning: Vec<_> = (0..10).map(|number| bench.start("hostile", &format!("h{number}"), Some(&gate))).collect();
    let mut running = [bench.next_report(), bench.next_report()];
    running.sort();
    assert_eq!(running, ["h0", "h1"]);
    // Two hostile jobs run for ever and eight wait; others' work is done all the same.
    for number in 0..50 {
        let name = format!("v{number}");
        bench.finish(bench.start("victim", &name, None)).unwrap();
        assert_eq!(bench.next_report(), name, "no third hostile job was started");
    }
    gate.open();
    for task in spinning {
        bench.finish(task).unwrap();
    }
}

#[test]
fn turns_go_round_the_tenants_however_much_each_has_waiting() {
    let (bench, gate) = (Bench::new(1, 100), Gate::default());
    let _open = OpenAtEnd(gate.clone());
    let first = bench.start("a", "first", Some(&gate));
    assert_eq!(bench.next_report(), "first");
    let mut tasks = vec![first];
    for (tenant, jobs) in [("a", 4), ("b", 1), ("c", 2)] {
        tasks.extend((0..jobs).map(|number| bench.start(tenant, &format!("{tenant}{number}"), None)));
    }
    gate.open();
    for task in tasks {
        bench.finish(task).unwrap();
    }
    let order: Vec<_> = (0..7).map(|_| bench.next_report()).collect();
    assert_eq!(order, ["a0", "b0", "c0", "a1", "c1", "a2", "a3"]);
}

#[test]
fn a_full_queue_refuses_its_own_tenant_alone() {
    let (bench, gate) = (Bench::new(2, 2), Gate::default());
    let _open = OpenAtEnd(gate.clone());
    let running = bench.start("full", "running", Some(&gate));
    assert_eq!(bench.next_report(), "running");
    let waiting = [bench.start("full", "w0", None), bench.start("full", "w1", None)];
    assert_eq!(bench.finish(bench.start("full", "too much", None)), Err(Overloaded));
    assert_eq!(bench.finish(bench.start("other", "other", None)), Ok(()));
    gate.open();
    bench.finish(running).unwrap();
    for task in waiting {
        bench.finish(task).unwrap();
    }
    assert_eq!(bench.finish(bench.start("full", "again", None)), Ok(()), "there is room again");
}

#[test]
fn work_whose_caller_went_away_is_not_run() {
    let (bench, gate) = (Bench::new(1, 10), Gate::default());
    let _open = OpenAtEnd(gate.clone());
    let running = bench.start("a", "running", Some(&gate));
    assert_eq!(bench.next_report(), "running");
    let abandoned = bench.start("a", "abandoned", None);
    abandoned.abort();
    assert!(bench.runtime.block_on(abandoned).unwrap_err().is_cancelled());
    let last = bench.start("a", "last", None);
    gate.open();
    bench.finish(running).unwrap();
    bench.finish(last).unwrap();
    assert_eq!(bench.next_report(), "last");
}

#[test]
fn a_panic_goes_to_its_caller_and_the_worker_goes_on() {
    let bench = Bench::new(1, 10);
    let compute = Arc::clone(&bench.compute);
    let panicking =
        bench.runtime.spawn(async move { compute.run(&TenantId::from("a"), Urgency::Live, || std::panic::panic_any(7_u8)).await });
    let panic = bench.runtime.block_on(panicking).unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<u8>(), Some(&7));
    assert_eq!(bench.finish(bench.start("a", "after", None)), Ok(()));
}

#[test]
fn closing_tells_those_who_wait_and_leaves_nothing_behind() {
    let (bench, gate) = (Bench::new(1, 10), Gate::default());
    let _open = OpenAtEnd(gate.clone());
    let running = bench.start("a", "running", Some(&gate));
    assert_eq!(bench.next_report(), "running");
    let waiting = bench.start("b", "waiting", None);
    bench.compute.shared.close();
    assert_eq!(bench.finish(waiting), Err(Overloaded));
    assert_eq!(bench.finish(bench.start("c", "late", None)), Err(Overloaded));
    gate.open();
    assert_eq!(bench.finish(running), Ok(()), "what runs is answered");
    let Bench { runtime, compute, .. } = bench;
    drop(runtime);
    let shared = Arc::downgrade(&compute.shared);
    drop(compute);
    assert!(shared.upgrade().is_none(), "the workers have ended");
}

#[test]
fn what_is_live_goes_ahead_of_the_crowd_which_is_not_starved() {
    let bench = Bench::new(1, 100);
    let gate = Gate::default();
    let _open = OpenAtEnd(gate.clone());
    let first = bench.start("a", "first", Some(&gate));
    assert_eq!(bench.next_report(), "first");
    let mut tasks: Vec<_> = (0..2).map(|_| bench.start_as(Urgency::Crowd, "a", "crowd", None)).collect();
    tasks.extend((0..LIVE_IN_A_ROW + 2).map(|n| bench.start(if n % 2 == 0 { "a" } else { "b" }, "live", None)));
    gate.open();
    bench.finish(first).unwrap();
    let order: Vec<String> = (0..LIVE_IN_A_ROW + 4).map(|_| bench.next_report()).collect();
    let mut expected = vec!["live"; LIVE_IN_A_ROW];
    expected.extend(["crowd", "live", "live", "crowd"]);
    assert_eq!(order, expected);
    for task in tasks {
        bench.finish(task).unwrap();
    }
}
