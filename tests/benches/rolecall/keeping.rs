//! What the provisioning log and the counts for health cost live requests: the same writes at a server that keeps a log, and at one that
//! keeps none.

use std::sync::Arc;
use std::time::Instant;

use rolecall::journal::LOG_ENTRIES_LIMIT;
use rolecall::model::{ConnectionId, LogDetail, OutcomeCode};
use rolecall::store::{Gathered, LogEntry};
use rolecall_tests::{Database, Kind, Server};

use crate::load::{per_second, processor_ms};
use crate::provisioning::{REQUESTS, Side, What, everything, rate};
use crate::report::Report;

/// Rounds of each side.
const ROUNDS: usize = 11;
/// How often a round makes its requests: long enough for the log to be written several times by itself.
const TIMES: usize = 3;

/// A server that keeps its log for so many days, with the example tenant; its log is as long as it gets.
async fn side(database: &Database, days: u32) -> (Server, Arc<Side>) {
    let server = Server::start_working_with(database, |config| config.provisioning_log_days = days).await;
    let side = Side::new(&server, "kept", everything()).await;
    let app = server.app();
    let entry = LogEntry {
        at: app.clock.now(),
        request_id: "01890000-0000-7000-8000-000000000000".into(),
        method: "POST".into(),
        kind: None,
        resource: None,
        status: 201,
        scim_type: None,
        reason: None,
        applied: 1,
        no_op: 0,
        refused: 0,
        code: OutcomeCode::Applied,
        detail: LogDetail::default(),
    };
    let most = usize::try_from(LOG_ENTRIES_LIMIT).expect("some thousands");
    let entries = if days == 0 { Vec::new() } else { vec![(ConnectionId::from(side.connection.id.as_str()), entry); most] };
    let gathered = Gathered { entries, ..Gathered::default() };
    app.store.record(&server.existing("kept").id, &gathered, LOG_ENTRIES_LIMIT).await.expect("the log is written");
    (server, side)
}

/// Writes a second, until what they leave in the log is written; and how long the processor took for each, in microseconds.
async fn round(server: &Server, side: &Arc<Side>, what: What, round: usize) -> (f64, f64) {
    let (started, taken) = (Instant::now(), processor_ms());
    for time in 0..TIMES {
        rate(side, what, round * TIMES + time).await;
    }
    server.app().journal.flush(&*server.app().store).await.expect("the log is written");
    let requests = TIMES * REQUESTS;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let each = (processor_ms() - taken) * 1e3 / requests as f64;
    (per_second(requests, started), each)
}

/// Measures on one kind of database.
pub async fn measure(report: &mut Report, kind: Kind) {
    let (kept, without) = (Database::create(kind).await, Database::create(kind).await);
    let (kept, without) = (side(&kept, 30).await, side(&without, 0).await);
    for (name, what) in [("SCIM create", What::Create), ("member PATCH", What::Member)] {
        let (mut with, mut alone) = (Vec::new(), Vec::new());
        for number in 0..ROUNDS {
            // Who goes first alternates: the machine's minutes are no side's.
            for turn in 0..2 {
                let ((server, side), rates) = if (number + turn) % 2 == 0 { (&kept, &mut with) } else { (&without, &mut alone) };
                rates.push(round(server, side, what, number).await);
            }
        }
        let (with, with_taken): (Vec<f64>, Vec<f64>) = with.into_iter().unzip();
        let (alone, alone_taken): (Vec<f64>, Vec<f64>) = alone.into_iter().unzip();
        report.add(format!("{name}, log, {kind}"), "requests a second", ("kept", with), ("none", alone));
        report.add(format!("the same, of the processor, {kind}"), "µs each", ("kept", with_taken), ("none", alone_taken));
    }
    kept.0.stop().await;
    without.0.stop().await;
}
