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

/// Jobs of tenants on one thread that take as long as is said, and who had the thread then.
struct Played {
    state: State,
    now: Instant,
}

impl Played {
    fn add(&mut self, tenant: &str) {
        self.state.add(&TenantId::from(tenant), Urgency::Live, 100, Box::new(|| {})).unwrap();
    }

    /// The next job, which takes so many milliseconds; who it was of.
    fn run(&mut self, took: u64) -> Option<String> {
        let (tenant, _) = self.state.next(1, self.now)?;
        let began = self.now;
        self.now += Duration::from_millis(took);
        self.state.finished(&tenant, began, self.now);
        Some(tenant.0)
    }
}

#[test]
fn whoever_had_a_thread_for_long_rests_as_long_while_others_are_there() {
    let mut played = Played { state: State::default(), now: Instant::now() };
    for _ in 0..9 {
        played.add("long");
    }
    for _ in 0..2 {
        assert_eq!(played.run(20).as_deref(), Some("long"), "nobody else is there");
    }
    played.add("short");
    assert_eq!(played.run(20).as_deref(), Some("long"), "it is in turn, and nobody else has begun yet");
    assert_eq!(played.run(1).as_deref(), Some("short"));
    assert_eq!(played.run(20).as_deref(), Some("long"));
    assert_eq!(played.run(20), None, "it rests");
    played.add("short");
    assert_eq!(played.run(15).as_deref(), Some("short"), "and others go on meanwhile");
    assert_eq!(played.run(20), None, "20 ms are not over");
    assert!(played.state.rests.len() == 2, "a long job is a long job, whosever it is");
    played.now += Duration::from_millis(5);
    assert_eq!(played.run(9).as_deref(), Some("long"), "20 ms are over");
    assert_eq!(played.run(20).as_deref(), Some("long"), "9 ms are no long job");
    played.now += PRESENCE;
    assert_eq!(played.run(20).as_deref(), Some("long"));
    assert_eq!(played.run(20).as_deref(), Some("long"), "the others have not been there for a while");
    assert!(played.state.rests.is_empty());
}

#[test]
fn what_waits_for_the_end_of_a_rest_is_run_then() {
    let bench = Bench::new(1, 10);
    let gate = Gate::default();
    let _open = OpenAtEnd(gate.clone());
    bench.finish(bench.start("short", "there", None)).unwrap();
    let long = bench.start("long", "first", Some(&gate));
    let next = bench.start("long", "second", None);
    assert_eq!([bench.next_report(), bench.next_report()], ["there", "first"]);
    // The first is a long job by the time that it ends: it holds the thread until the clock says so.
    let began = Instant::now();
    while began.elapsed() <= LONG {
        thread::yield_now();
    }
    gate.open();
    bench.finish(long).unwrap();
    bench.finish(next).unwrap();
    assert_eq!(bench.next_report(), "second");
}
