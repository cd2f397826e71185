//! The one writer of a SQLite file. It commits in groups: changes that wait share one transaction, a savepoint each, and
//! one fsync; nobody is answered before it. Knows jobs and savepoints; knows no tables.
//!
//! A failed savepoint rollback means that SQLite itself has ended the transaction (a full disk, `OR ROLLBACK`): later
//! statements would commit on their own. Then the connection is dropped, so that nothing of the group stays, and the whole
//! group fails.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::copying::{CHANGES, Copying};
use crate::model::LIVE_IN_A_ROW;
use crate::store::{ACQUIRE_TIMEOUT, Pending, Result, StoreError, Work, migrations};

/// The most changes that share a transaction: past this the fsync is noise, and the first would wait for too long.
const GROUP_LIMIT: usize = 256;
/// The most changes that wait for the writer: a fraction of a second of work. More wait outside until [`ACQUIRE_TIMEOUT`].
const QUEUE_LIMIT: usize = 1_024;
/// The pause before the file is opened again after that failed, so that a missing disk is not hammered.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);

/// How much a change writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So much at most that what is needed to undo it may be in memory.
    Bounded,
    /// As much at most for many people, and it is nobody's request: it has a transaction to itself, behind the others.
    Crowd,
    /// Perhaps everything: it has a transaction to itself, and what is needed to undo it is in a temporary file.
    Everything,
}

/// The way to the writer's task; the task ends when this is dropped and the queue is empty.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    crowd: mpsc::Sender<Box<dyn Job>>,
    epoch: Arc<AtomicU64>,
}

/// What waits for the writer. A change waits for one piece of a crowd at most: that which is being written.
struct Queues {
    live: mpsc::Receiver<Box<dyn Job>>,
    crowd: mpsc::Receiver<Box<dyn Job>>,
    /// How many groups have gone ahead of the crowd since it had its turn.
    live_in_a_row: usize,
}

impl Queues {
    /// The next job; `None` when nobody can ask any more.
    async fn next(&mut self) -> Option<Box<dyn Job>> {
        let in_turn = if self.live_in_a_row >= LIVE_IN_A_ROW { self.crowd.try_recv().ok() } else { None };
        if in_turn.is_some() {
            self.live_in_a_row = 0;
            return in_turn;
        }
        tokio::select! {
            biased;
            Some(job) = self.live.recv() => {
                self.live_in_a_row += 1;
                Some(job)
            }
            Some(job) = self.crowd.recv() => {
                self.live_in_a_row = 0;
                Some(job)
            }
            else => None,
        }
    }
}

impl Writer {
    /// Opens the file for writing, applies the migrations and starts the task. `count` is a statement that gives a number, whose
    /// changes are told by [`Writer::epoch`].
    pub(super) async fn start(options: SqliteConnectOptions, count: &'static str) -> Result<Self> {
        let mut conn = SqliteConnection::connect_with(&options).await?;
        migrations::run(&mut conn, migrations::SQLITE).await?;
        let (queue, live) = mpsc::channel(QUEUE_LIMIT);
        let (crowd, crowds) = mpsc::channel(QUEUE_LIMIT);
        let waiting = Queues { live, crowd: crowds, live_in_a_row: 0 };
        // A thread of its own: each statement is a trip to the connection's thread and back, and among the tasks of a busy
        // server every one of them would wait for its turn. Without I/O, which would make each wake a word to the system's poll.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|error| unavailable_because(error.into()))?;
        let epoch = Arc::new(AtomicU64::new(0));
        let watch = Watch { count, last: None, epoch: Arc::clone(&epoch) };
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || runtime.block_on(write(options, conn, waiting, watch)))
            .map_err(|error| unavailable_because(error.into()))?;
        Ok(Self { queue, crowd, epoch })
    }

    /// Goes up with each group of changes after which the count is another, or may be, and before anybody in the group is answered. So
    /// what is counted, and was read since this was as it is now, is what a read now would find, as far as anybody has been told.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Has the work done in a transaction, and answers once it is durable. The work is finished even if nobody waits for it any more.
    pub(super) async fn submit<T: Send + 'static>(&self, extent: Extent, work: impl Work<SqliteConnection, T>) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task { extent, work: Some(work), result: None, reply: Some(reply) });
        let queue = if extent == Extent::Crowd { &self.crowd } else { &self.queue };
        queue.send_timeout(job, ACQUIRE_TIMEOUT).await.map_err(|_| unavailable("the writer has too much to do"))?;
        answer.await.map_err(|_| unavailable("the writer stopped"))?
    }
}

/// What [`Writer::epoch`] is told by.
struct Watch {
    count: &'static str,
    last: Option<i64>,
    epoch: Arc<AtomicU64>,
}

impl Watch {
    /// After a group: the count, if it is known.
    fn see(&mut self, count: Option<i64>) {
        if count.is_none() || count != self.last {
            self.epoch.fetch_add(1, Ordering::Release);
        }
        self.last = count;
    }
}

fn unavailable(why: &'static str) -> StoreError {
    unavailable_because(why.into())
}

fn unavailable_because(why: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    StoreError::Unavailable(why)
}

/// A change on its way through the writer, whatever its result's type.
trait Job: Send {
    /// How much it writes.
    fn extent(&self) -> Extent;
    /// Does the work. `false`: it refused, and what it wrote must be undone.
    fn run<'c>(&'c mut self, conn: &'c mut SqliteConnection) -> Pending<'c, bool>;
    /// Tells the result: the work's own, or that nothing was committed.
    fn answer(self: Box<Self>, committed: bool);
}

struct Task<W, T> {
    extent: Extent,
    work: Option<W>,
    result: Option<Result<T>>,
    reply: Option<oneshot::Sender<Result<T>>>,
}

impl<W: Work<SqliteConnection, T>, T: Send> Job for Task<W, T> {
    fn extent(&self) -> Extent {
        self.extent
    }

    fn run<'c>(&'c mut self, conn: &'c mut SqliteConnection) -> Pending<'c, bool> {
        Box::pin(async move {
            let work = self.work.take().expect("a job runs once");
            let result = work(conn).await;
            let kept = result.is_ok();
            self.result = Some(result);
            kept
        })
    }

    fn answer(mut self: Box<Self>, committed: bool) {
        let result = self.result.take().filter(|result| committed || result.is_err());
        let result = result.unwrap_or_else(|| Err(unavailable("the transaction could not be completed")));
        if let Some(reply) = self.reply.take() {
            // Whoever asked may be gone; the change stands all the same.
            let _ = reply.send(result);
        }
    }
}

/// Works off the queue, a group at a time, until nobody can ask any more.
async fn write(options: SqliteConnectOptions, conn: SqliteConnection, mut waiting: Queues, mut watch: Watch) {
    let mut copying = Copying::start(&options);
    let mut open = Some(conn);
    let mut carried = None;
    loop {
        let next = match carried.take() {
            Some(job) => Some(job),
            None => waiting.next().await,
        };
        let Some(first) = next else { return };
        let conn = match open.take() {
            Some(conn) => Ok(conn),
            None => SqliteConnection::connect_with(&options).await,
        };
        let mut group = vec![first];
        let committed = match conn {
            Ok(mut conn) => {
                let done = commit_group(&mut conn, &mut group, &mut waiting.live, &mut carried, watch.count).await;
                watch.see(done.as_ref().ok().copied());
                // What may write everything fills the log by itself.
                copying.committed(if group.iter().all(|job| job.extent() == Extent::Bounded) { group.len() } else { CHANGES });
                match &done {
                    Ok(_) => open = Some(conn),
                    // Dropping the connection rolls back whatever is still open.
                    Err(error) => {
                        tracing::error!(error = error as &dyn std::error::Error, changes = group.len(), "a group of changes failed")
                    }
                }
                done.is_ok()
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the database can't be opened for writing");
                tokio::time::sleep(REOPEN_PAUSE).await;
                false
            }
        };
        for job in group {
            job.answer(committed);
        }
    }
}

/// Runs what waits in one transaction and commits it. `group` then holds every job that took part, and `carried` one that is to
/// be the first of the next. Gives the count afterwards.
async fn commit_group(
    conn: &mut SqliteConnection,
    group: &mut Vec<Box<dyn Job>>,
    waiting: &mut mpsc::Receiver<Box<dyn Job>>,
    carried: &mut Option<Box<dyn Job>>,
    count: &'static str,
) -> std::result::Result<i64, sqlx::Error> {
    // Plain statements, not sqlx's transactions: those count depth on their own and would not notice a rollback by SQLite.
    // What ends one job and begins the next goes in one trip.
    let everything = group.iter().any(|job| job.extent() == Extent::Everything);
    let alone = group.iter().any(|job| job.extent() != Extent::Bounded);
    if everything {
        execute(conn, "PRAGMA temp_store = FILE").await?;
    }
    execute(conn, "BEGIN IMMEDIATE; SAVEPOINT job").await?;
    // Only what waits already: what comes meanwhile is the next group, so that while this one is on its way to the disk its
    // neighbours' requests are read and decided. A slow disk makes the groups larger by itself.
    let most = if alone { 1 } else { GROUP_LIMIT.min(group.len() + waiting.len()) };
    let end = loop {
        let job = group.last_mut().expect("a group begins with a job");
        let kept = run_caught(job.as_mut(), conn).await?;
        let mut another = if group.len() < most { waiting.try_recv().ok() } else { None };
        if another.as_ref().is_some_and(|job| job.extent() == Extent::Everything) {
            *carried = another.take();
        }
        let Some(another) = another else { break if kept { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" } };
        let next = if kept { "RELEASE job; SAVEPOINT job" } else { "ROLLBACK TO job; RELEASE job; SAVEPOINT job" };
        if let Err(error) = execute(conn, next).await {
            // It has not run: it is the first of the next group.
            *carried = Some(another);
            return Err(error);
        }
        group.push(another);
    };
    let counted = sqlx::query_scalar(AssertSqlSafe(format!("{end}; COMMIT; {count}"))).fetch_one(&mut *conn).await?;
    if everything {
        execute(conn, "PRAGMA temp_store = MEMORY").await?;
    }
    Ok(counted)
}

/// Runs a job. A panic in it is a defect that must cost this group, not the writer.
async fn run_caught(job: &mut dyn Job, conn: &mut SqliteConnection) -> std::result::Result<bool, sqlx::Error> {
    let mut running = job.run(conn);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(sqlx::Error::WorkerCrashed)),
    })
    .await
}

async fn execute(conn: &mut SqliteConnection, statement: &'static str) -> std::result::Result<(), sqlx::Error> {
    sqlx::query(statement).execute(conn).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use sqlx::sqlite::SqliteJournalMode;

    use super::*;

    struct Bench {
        writer: Arc<Writer>,
        options: SqliteConnectOptions,
        _folder: tempfile::TempDir,
    }

    async fn bench() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("w.db").display());
        let options = SqliteConnectOptions::from_str(&url).unwrap().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let writer = Arc::new(Writer::start(options.clone(), "SELECT count(*) FROM sqlite_schema").await.unwrap());
        writer.submit(Extent::Bounded, run("CREATE TABLE noted (n INTEGER PRIMARY KEY)")).await.unwrap();
        Bench { writer, options, _folder: folder }
    }

    /// Work that runs one statement.
    fn run(statement: &'static str) -> impl Work<SqliteConnection, ()> {
        move |conn: &mut SqliteConnection| {
            Box::pin(async move {
                sqlx::query(statement).execute(conn).await?;
                Ok(())
            })
        }
    }

    /// Work that says where SQLite keeps what is temporary.
    fn temp_store() -> impl Work<SqliteConnection, i64> {
        |conn: &mut SqliteConnection| Box::pin(async move { Ok(sqlx::query_scalar("PRAGMA temp_store").fetch_one(conn).await?) })
    }

    impl Bench {
        /// Keeps the writer busy until told, so that what is submitted meanwhile forms the next group. Returns when it is.
        async fn hold(&self) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
            let (release, released) = oneshot::channel::<()>();
            let (begin, begun) = oneshot::channel::<()>();
            let writer = self.writer.clone();
            let held = async move {
                writer
                    .submit(Extent::Bounded, |_: &mut SqliteConnection| {
                        Box::pin(async move {
                            begin.send(()).unwrap();
                            released.await.unwrap();
                            Ok(())
                        })
                    })
                    .await
            };
            let held = tokio::spawn(held);
            begun.await.unwrap();
            (release, held)
        }

        /// Puts statements into the queue, in order.
        async fn enqueue(&self, statements: &[&'static str]) -> Vec<tokio::task::JoinHandle<Result<()>>> {
            let mut waiting = Vec::new();
            for statement in statements {
                let before = self.writer.queue.capacity();
                let (writer, work) = (self.writer.clone(), run(statement));
                waiting.push(tokio::spawn(async move { writer.submit(Extent::Bounded, work).await }));
                // The writer is held and takes nothing: once there is less room, it is in the queue.
                while self.writer.queue.capacity() == before {
                    tokio::task::yield_now().await;
                }
            }
            waiting
        }

        async fn noted(&self) -> Vec<i64> {
            let mut conn = SqliteConnection::connect_with(&self.options).await.unwrap();
            sqlx::query_scalar("SELECT n FROM noted ORDER BY n").fetch_all(&mut conn).await.unwrap()
        }
    }

    /// Answers of a group in order: whether each was kept.
    async fn answers(bench: &Bench, statements: &[&'static str]) -> Vec<bool> {
        let (release, held) = bench.hold().await;
        let waiting = bench.enqueue(statements).await;
        release.send(()).unwrap();
        let mut answers = vec![held.await.unwrap().is_ok()];
        for answer in waiting {
            answers.push(answer.await.unwrap().is_ok());
        }
        answers
    }

    #[tokio::test]
    async fn a_refused_change_is_undone_alone() {
        let bench = bench().await;
        let statements = ["INSERT INTO noted VALUES (1)", "INSERT INTO noted VALUES (1)", "INSERT INTO noted VALUES (2)"];
        assert_eq!(answers(&bench, &statements).await, [true, true, false, true]);
        assert_eq!(bench.noted().await, [1, 2]);
    }

    #[tokio::test]
    async fn a_rollback_by_the_database_fails_the_whole_group() {
        let bench = bench().await;
        let statements = [
            "INSERT INTO noted VALUES (1)",
            "INSERT INTO noted VALUES (2)",
            "INSERT OR ROLLBACK INTO noted VALUES (1)",
            "INSERT INTO noted VALUES (4)",
        ];
        // The last one comes to a new connection and a new group: it does not commit by itself what the database took back.
        assert_eq!(answers(&bench, &statements).await, [true, false, false, false, true]);
        assert_eq!(bench.noted().await, [4], "nothing that was answered as failed may stay");
    }

    #[tokio::test]
    async fn a_panic_costs_its_group_and_not_the_writer() {
        let bench = bench().await;
        let failed: Result<()> =
            bench.writer.submit(Extent::Bounded, |_: &mut SqliteConnection| Box::pin(async { panic!("on purpose") })).await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
        bench.writer.submit(Extent::Bounded, run("INSERT INTO noted VALUES (1)")).await.unwrap();
        assert_eq!(bench.noted().await, [1]);
    }

    #[tokio::test]
    async fn what_may_write_everything_is_alone_and_undone_from_a_file() {
        let bench = bench().await;
        let (release, held) = bench.hold().await;
        let mut waiting = Vec::new();
        for extent in [Extent::Bounded, Extent::Bounded, Extent::Everything, Extent::Bounded] {
            let (before, writer) = (bench.writer.queue.capacity(), bench.writer.clone());
            waiting.push(tokio::spawn(async move { writer.submit(extent, temp_store()).await }));
            while bench.writer.queue.capacity() == before {
                tokio::task::yield_now().await;
            }
        }
        release.send(()).unwrap();
        held.await.unwrap().unwrap();
        let mut kinds = Vec::new();
        for answer in waiting {
            kinds.push(answer.await.unwrap().unwrap());
        }
        let (memory, file) = (2_i64, 1);
        // The file was opened without a word about it: only afterwards it is known to be memory.
        assert_eq!(kinds, [0, 0, file, memory]);
    }

    #[tokio::test]
    async fn a_crowd_goes_behind_what_waits_and_is_not_starved() {
        let bench = bench().await;
        sqlx::query("CREATE TABLE steps (step INTEGER PRIMARY KEY, kind TEXT NOT NULL)")
            .execute(&mut SqliteConnection::connect_with(&bench.options).await.unwrap())
            .await
            .unwrap();
        let (release, held) = bench.hold().await;
        let mut waiting = Vec::new();
        let (crowd, live) = ("INSERT INTO steps (kind) VALUES ('crowd')", "INSERT INTO steps (kind) VALUES ('live')");
        for (extent, statement) in [(Extent::Crowd, crowd), (Extent::Crowd, crowd), (Extent::Bounded, live), (Extent::Bounded, live)] {
            let room = |writer: &Writer| writer.queue.capacity() + writer.crowd.capacity();
            let (before, writer) = (room(&bench.writer), bench.writer.clone());
            waiting.push(tokio::spawn(async move { writer.submit(extent, run(statement)).await }));
            while room(&bench.writer) == before {
                tokio::task::yield_now().await;
            }
        }
        release.send(()).unwrap();
        held.await.unwrap().unwrap();
        for answer in waiting {
            answer.await.unwrap().unwrap();
        }
        let mut conn = SqliteConnection::connect_with(&bench.options).await.unwrap();
        let kinds: Vec<String> = sqlx::query_scalar("SELECT kind FROM steps ORDER BY step").fetch_all(&mut conn).await.unwrap();
        assert_eq!(kinds, ["live", "live", "crowd", "crowd"]);
        let (live, crowd) = (mpsc::channel(64), mpsc::channel(64));
        let job = |extent| -> Box<dyn Job> { Box::new(Task { extent, work: Some(run("SELECT 1")), result: None, reply: None }) };
        for _ in 0..LIVE_IN_A_ROW + 2 {
            live.0.try_send(job(Extent::Bounded)).ok().unwrap();
        }
        crowd.0.try_send(job(Extent::Crowd)).ok().unwrap();
        let mut queues = Queues { live: live.1, crowd: crowd.1, live_in_a_row: 0 };
        let mut taken = Vec::new();
        for _ in 0..LIVE_IN_A_ROW + 3 {
            taken.push(queues.next().await.unwrap().extent());
        }
        assert_eq!(taken.iter().position(|extent| *extent == Extent::Crowd), Some(LIVE_IN_A_ROW));
    }

    #[tokio::test]
    async fn the_epoch_moves_with_the_count_and_with_what_failed() {
        let bench = bench().await;
        let begun = bench.writer.epoch();
        bench.writer.submit(Extent::Bounded, run("INSERT INTO noted VALUES (1)")).await.unwrap();
        assert_eq!(bench.writer.epoch(), begun, "what is counted is as it was");
        bench.writer.submit(Extent::Bounded, run("CREATE TABLE more (n INTEGER)")).await.unwrap();
        assert_eq!(bench.writer.epoch(), begun + 1);
        bench.writer.submit(Extent::Bounded, run("CREATE TABLE more (n INTEGER)")).await.unwrap_err();
        assert_eq!(bench.writer.epoch(), begun + 1, "a change that was undone by itself");
        bench.writer.submit(Extent::Bounded, run("INSERT OR ROLLBACK INTO noted VALUES (1)")).await.unwrap_err();
        assert_eq!(bench.writer.epoch(), begun + 2, "a group that failed: nobody knows");
    }

    #[tokio::test]
    async fn nobody_is_answered_before_the_commit() {
        let bench = bench().await;
        let (release, held) = bench.hold().await;
        let waiting = bench.enqueue(&["INSERT INTO noted VALUES (1)"]).await;
        assert_eq!(bench.noted().await, [0_i64; 0]);
        assert!(!held.is_finished());
        release.send(()).unwrap();
        for answer in waiting {
            answer.await.unwrap().unwrap();
            assert_eq!(bench.noted().await, [1]);
        }
    }
}
