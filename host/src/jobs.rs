//! What runs without a request: fan-outs, pending evaluations, numbering and sealing of events, deliveries. All of it is data in the
//! database, so that several processes can share it and a crash loses nothing.

mod spreading;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::app::App;
use crate::delivery::webhook;
use crate::history::HistoryError;
use crate::model::{Actor, Cause, ConnectionId, Instant, ResourceId, TenantId};
use crate::provisioning::{departed, drift, people};
use crate::store::{DELIVERY_LEASE_SECONDS, DeliveryResult, DeliveryRoom, DueDelivery, DuePerson, OVERDUE_AT_ONCE, StoreError};
use crate::watch::LINES_DAYS_LIMIT;
use crate::{history, tenancy, trial};

/// How many due people one round claims.
const PEOPLE_PER_ROUND: i64 = 512;
/// How many deliveries are under way at the same time.
const DELIVERIES_AT_ONCE: usize = 128;
/// How many of one tenant: a target that does not answer holds each of them for as long as one may take, and nobody else's.
const DELIVERIES_OF_A_TENANT: i64 = 16;
/// For how long a claim keeps other processes away: longer than a round takes at its slowest.
const LEASE_SECONDS: i64 = 60;
/// The longest sleep: another process may have made work, or taken a lease and died.
const IDLE: Duration = Duration::from_secs(2);
/// The longest sleep while batches are at work: other tenants' dates are looked at in between.
const WHILE_BUSY: Duration = Duration::from_millis(50);
/// The shortest time from one round to the next that new work asks for: under load one round serves the work of many requests.
const PACE: Duration = Duration::from_millis(10);
/// How long counts of quirks and entries of the provisioning log wait: what a crash can lose of them.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);
/// How often entries that are too old are looked for, in seconds.
const FORGET_SECONDS: i64 = 3_600;
/// How many of them go in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 1_000;
/// How often fresh revisions and shadows are looked after.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// How many requests for approvals one round reminds of.
const REMINDERS_PER_ROUND: i64 = 200;
/// How often numbered events are sealed: what is not sealed can be altered unseen, and each time makes a batch of a tenant in use.
const SEAL_PAUSE: Duration = Duration::from_secs(5);
/// How often connections are judged: what is found is told within so long.
const HEALTH_PAUSE: Duration = Duration::from_secs(15);
/// The pause after the database could not be reached, or a round failed otherwise.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Runs until `stop` is true, then finishes what it is doing.
pub async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let beside = [
        ("the delivery job", tokio::spawn(deliver_until(Arc::clone(&app), stop.clone()))),
        ("the job that writes the provisioning log", tokio::spawn(write_journal_until(Arc::clone(&app), stop.clone()))),
        ("the job that works at simulations", tokio::spawn(simulate_until(Arc::clone(&app), stop.clone()))),
        ("the job that looks after fresh revisions", tokio::spawn(look_after_revisions_until(Arc::clone(&app), stop.clone()))),
        ("the job that seals history", tokio::spawn(seal_until(Arc::clone(&app), stop.clone()))),
        ("the job that looks after connections", tokio::spawn(look_after_connections_until(Arc::clone(&app), stop.clone()))),
        ("the job that works at access reviews", tokio::spawn(review_until(Arc::clone(&app), stop.clone()))),
        ("the job that works at reconciliations", tokio::spawn(reconcile_until(Arc::clone(&app), stop.clone()))),
    ];
    bind_handles(&app).await;
    let mut work = Work::default();
    while !*stop.borrow() {
        let began = tokio::time::Instant::now();
        let pause = match round(&app, &mut work).await {
            Ok(true) => continue,
            Ok(false) if work.tenants.is_empty() => Some(until_due(&app).await),
            // Somebody's people are being decided: what is due may be theirs.
            Ok(false) => Some(WHILE_BUSY),
            Err(error) => {
                log_failure("background work", &error);
                None
            }
        };
        let woken = async {
            app.wake.notified().await;
            tokio::time::sleep_until(began + PACE).await;
        };
        tokio::select! {
            Some(ended) = work.batches.join_next() => work.ended(ended),
            () = rest(pause, woken, &mut stop) => {}
        }
    }
    work.finish().await;
    for (job, ended) in beside {
        if let Err(error) = ended.await {
            tracing::error!(%error, "{job} ended abruptly");
        }
    }
}

/// Does everything that is due now, until nothing is: for tests, the demo and draining.
///
/// # Errors
/// The store's.
pub async fn run_until_idle(app: &Arc<App>) -> Result<(), StoreError> {
    let mut work = Work::default();
    loop {
        let worked = round(app, &mut work).await?;
        let evaluated = !work.tenants.is_empty();
        work.finish().await;
        if !worked
            && !evaluated
            && !trial::simulate_next(app).await?
            && !tenancy::reviews::work_next(app).await?
            && !drift::work_next(app).await?
            && !departed::settle_due(app).await?
            && !departed::begin_left(app).await?
            && !deliver_round(app).await?
        {
            app.journal.flush(&*app.store).await?;
            look_after_revisions(app).await?;
            if look_after_connections(app).await? {
                continue;
            }
            while seal_history(app).await? {}
            return app.watch.flush(&*app.store, app.clock.now()).await;
        }
    }
}

/// Rests for so long, or until somebody wakes it or the process ends. After a failure (`None`) nobody does: what failed would fail again as often as there is
/// something new, and the log would fill at the rate of requests.
async fn rest(pause: Option<Duration>, woken: impl Future<Output = ()>, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = woken, if pause.is_some() => {}
        () = tokio::time::sleep(pause.unwrap_or(AFTER_FAILURE)) => {}
        _ = stop.changed() => {}
    }
}

/// The tenants whose people are being decided. Each has one batch at a time, beside the others': a tenant whose code is
/// slow makes itself wait and nobody else.
#[derive(Default)]
struct Work {
    batches: JoinSet<TenantId>,
    tenants: BTreeSet<TenantId>,
}

impl Work {
    fn start(&mut self, app: &Arc<App>, tenant: TenantId, due: Vec<DuePerson>) {
        self.tenants.insert(tenant.clone());
        let app = Arc::clone(app);
        self.batches.spawn(async move {
            if let Err(error) = evaluate_due(&app, &tenant, due).await {
                log_failure("evaluation of pending people", &error);
            }
            tenant
        });
    }

    fn ended(&mut self, ended: Result<TenantId, tokio::task::JoinError>) {
        match ended {
            Ok(tenant) => {
                self.tenants.remove(&tenant);
            }
            Err(error) => {
                tracing::error!(%error, "a batch of evaluations ended abruptly; its people are due again when its lease ends");
                // Whose batch it was is not known: all are asked about again, and the leases keep their people apart.
                self.tenants.clear();
            }
        }
    }

    async fn finish(&mut self) {
        while let Some(ended) = self.batches.join_next().await {
            self.ended(ended);
        }
    }
}

/// Deliveries wait for other people's servers, so they have a loop of their own: evaluation never waits for a target.
async fn deliver_until(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut attempts = Attempts::default();
    while !*stop.borrow() {
        let pause = match attempts.start(&app).await {
            Ok(true) => continue,
            // What is due may be of a tenant that has its share under way.
            Ok(false) if !attempts.under_way.is_empty() => Some(until_due(&app).await.max(WHILE_BUSY)),
            Ok(false) => Some(until_due(&app).await),
            Err(error) => {
                log_failure("delivery", &error);
                None
            }
        };
        let woken = async {
            tokio::select! {
                () = app.numbered.notified() => {}
                () = attempts.some_end() => {}
            }
        };
        rest(pause, woken, &mut stop).await;
    }
    attempts.all_end().await;
}

/// Deliveries that are under way, each beside the others: a target that does not answer makes its own wait, and nobody else's.
#[derive(Default)]
struct Attempts {
    tasks: JoinSet<Result<(), StoreError>>,
    /// Whose they are.
    under_way: HashMap<tokio::task::Id, TenantId>,
}

impl Attempts {
    /// Claims what there is room for and begins it. Whether there was something.
    async fn start(&mut self, app: &Arc<App>) -> Result<bool, StoreError> {
        let now = app.clock.now();
        let free = i64::try_from(DELIVERIES_AT_ONCE - self.under_way.len().min(DELIVERIES_AT_ONCE)).unwrap_or(0);
        let mut room = DeliveryRoom { free, each: DELIVERIES_OF_A_TENANT, ..DeliveryRoom::default() };
        for tenant in self.under_way.values() {
            *room.busy.entry(tenant.clone()).or_default() += 1;
        }
        let due = app.store.claim_deliveries(now, now.plus_seconds(DELIVERY_LEASE_SECONDS), &room).await?;
        let any = !due.is_empty();
        for due in due {
            let (app, tenant) = (Arc::clone(app), due.tenant.clone());
            let task = self.tasks.spawn(async move { deliver(&app, &due, now).await });
            self.under_way.insert(task.id(), tenant);
        }
        Ok(any)
    }

    /// Waits until one has ended, and a moment more: those that end together make room together.
    async fn some_end(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else { return pending().await };
        self.ended(ended);
        tokio::time::sleep(PACE).await;
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    /// Waits until all have ended.
    async fn all_end(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<(tokio::task::Id, Result<(), StoreError>), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, result)) => {
                if let Err(error) = result {
                    log_failure("delivery", &error);
                }
                id
            }
            Err(error) => {
                tracing::error!(%error, "a delivery ended abruptly; it is due again when its lease ends");
                error.id()
            }
        };
        self.under_way.remove(&id);
    }
}

/// Writes what connections did every now and then, and once more at the end: requests have ended by then. What has become too
/// old goes every hour.
async fn write_journal_until(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut forget_at = app.clock.now();
    loop {
        let stopping = *stop.borrow();
        if let Err(error) = app.journal.flush(&*app.store).await {
            log_failure("the provisioning log", &error);
        }
        if let Err(error) = app.watch.flush(&*app.store, app.clock.now()).await {
            log_failure("what plugins did", &error);
        }
        if stopping {
            return;
        }
        if forget_at <= app.clock.now() {
            forget_at = app.clock.now().plus_seconds(FORGET_SECONDS);
            if let Err(error) = forget_log(&app).await {
                log_failure("the end of old entries in the provisioning log", &error);
            }
            if let Err(error) = erase_retained(&app).await {
                log_failure("the erasure of removed accounts", &error);
            }
            if let Err(error) = forget_reviews(&app).await {
                log_failure("the end of old access reviews", &error);
            }
            if let Err(error) = forget_records(&app).await {
                log_failure("the end of what is kept of plugins", &error);
            }
        }
        rest(Some(JOURNAL_PAUSE), pending(), &mut stop).await;
    }
}

/// Takes one step after the other while there are some; where there are none it rests, for as long as nobody wakes it.
async fn step_until<F, S>(mut stop: watch::Receiver<bool>, what: &str, woken: Option<&Notify>, step: F)
where
    F: Fn() -> S,
    S: Future<Output = Result<bool, StoreError>>,
{
    let woken = async || match woken {
        Some(woken) => woken.notified().await,
        None => pending().await,
    };
    while !*stop.borrow() {
        let pause = match step().await {
            Ok(true) => continue,
            Ok(false) => Some(IDLE),
            Err(error) => {
                log_failure(what, &error);
                None
            }
        };
        rest(pause, woken(), &mut stop).await;
    }
}

/// Works at simulations, one slice after the other.
async fn simulate_until(app: Arc<App>, stop: watch::Receiver<bool>) {
    step_until(stop, "a simulation", Some(&app.trials), || trial::simulate_next(&app)).await;
}

/// Opens, reminds of and closes access reviews.
async fn review_until(app: Arc<App>, stop: watch::Receiver<bool>) {
    step_until(stop, "an access review", None, || tenancy::reviews::work_next(&app)).await;
}

/// Finds out what reconciliations would do, and carries them out.
async fn reconcile_until(app: Arc<App>, stop: watch::Receiver<bool>) {
    step_until(stop, "a reconciliation", None, || drift::work_next(&app)).await;
}

/// Judges connections.
async fn look_after_connections_until(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        if let Err(error) = look_after_connections(&app).await {
            log_failure("looking after connections", &error);
        }
        rest(Some(HEALTH_PAUSE), pending(), &mut stop).await;
    }
}

/// Judges all connections once, and counts them by state. Whether anything is told.
async fn look_after_connections(app: &App) -> Result<bool, StoreError> {
    let (states, told) = tenancy::health::look_after_all(app).await?;
    app.metrics.connections(&states);
    Ok(told)
}

/// Looks after what was activated a while ago, and after shadows, once more at the end.
async fn look_after_revisions_until(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        let stopping = *stop.borrow();
        if let Err(error) = look_after_revisions(&app).await {
            log_failure("looking after fresh revisions", &error);
        }
        if stopping {
            return;
        }
        rest(Some(LOOK_AFTER), pending(), &mut stop).await;
    }
}

async fn look_after_revisions(app: &Arc<App>) -> Result<(), StoreError> {
    app.revisions.rest(app.clock.now());
    tenancy::look_after_fresh(app, None).await?;
    while remind(app).await? {}
    while departed::settle_due(app).await? {}
    while departed::begin_left(app).await? {}
    while tenancy::governance::close_resolved(app).await? {}
    while tell_overdue(app).await? {}
    app.shadows.flush(app, None).await?;
    app.shadows.refresh(app).await
}

/// Reminds of requests for approvals that nobody has answered yet. Whether there may be more.
async fn remind(app: &Arc<App>) -> Result<bool, StoreError> {
    let now = app.clock.now();
    let actor = Actor { kind: "worker".into(), id: "reminder".into() };
    let due = app.store.due_reminders(now, REMINDERS_PER_ROUND).await?;
    for tenant in &due {
        app.store.remind(tenant, REMINDERS_PER_ROUND, &actor, now).await?;
    }
    Ok(!due.is_empty())
}

/// Tells of steps, invitations and acknowledgements that are past their date. Whether there may be more.
async fn tell_overdue(app: &Arc<App>) -> Result<bool, StoreError> {
    let now = app.clock.now();
    let actor = Actor { kind: "worker".into(), id: "overdue".into() };
    let due = app.store.with_overdue(now, OVERDUE_AT_ONCE).await?;
    for tenant in &due {
        app.store.tell_overdue(tenant, OVERDUE_AT_ONCE, &actor, now).await?;
    }
    Ok(!due.is_empty())
}

/// Seals numbered events every now and then, and once more at the end.
async fn seal_until(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        let stopping = *stop.borrow();
        let pause = match seal_history(&app).await {
            Ok(true) if !stopping => continue,
            Ok(_) => Some(SEAL_PAUSE),
            Err(error) => {
                log_failure("the sealing of history", &error);
                None
            }
        };
        if stopping {
            return;
        }
        rest(pause, pending(), &mut stop).await;
    }
}

async fn seal_history(app: &App) -> Result<bool, StoreError> {
    match history::seal_all(&*app.store, &app.keyring, app.clock.now()).await {
        Ok(more) => Ok(more),
        Err(HistoryError::Store(error)) => Err(error),
        // Neither comes here: gaps are said in the log, and the key is one that signs.
        Err(error @ (HistoryError::Gap { .. } | HistoryError::Key(_))) => Err(StoreError::Corrupt(error.to_string())),
    }
}

/// Removes entries of the provisioning log and results of trials that are too old, in bounded batches.
///
/// # Errors
/// The store's.
pub async fn forget_log(app: &App) -> Result<(), StoreError> {
    let before = app.clock.now().plus_seconds(-i64::from(app.journal.days()) * 86_400);
    for tenant in app.store.tenants().await? {
        while app.store.forget_log(&tenant.id, before, FORGOTTEN_AT_ONCE).await? == FORGOTTEN_AT_ONCE.unsigned_abs() {}
        trial::forget(app, &tenant.id, FORGOTTEN_AT_ONCE).await?;
        let traffic_before = app.clock.now().plus_seconds(-tenancy::health::TRAFFIC_DAYS * 86_400);
        while app.store.forget_traffic(&tenant.id, traffic_before, FORGOTTEN_AT_ONCE).await? == FORGOTTEN_AT_ONCE.unsigned_abs() {}
    }
    Ok(())
}

/// Erases removed accounts whose retention is over, in bounded batches.
///
/// # Errors
/// The store's.
pub async fn erase_retained(app: &Arc<App>) -> Result<(), StoreError> {
    for tenant in app.store.tenants().await? {
        tenancy::processes::erase_retained(app, &tenant.id).await?;
    }
    Ok(())
}

/// Removes closed access reviews whose time is over, in bounded steps.
///
/// # Errors
/// The store's.
pub async fn forget_reviews(app: &App) -> Result<(), StoreError> {
    for tenant in app.store.tenants().await? {
        tenancy::reviews::forget(app, &tenant.id).await?;
    }
    Ok(())
}

/// Removes what is kept of plugins and is too old or of people who are gone, in bounded batches.
///
/// # Errors
/// The store's.
pub async fn forget_records(app: &App) -> Result<(), StoreError> {
    let now = app.clock.now();
    let lines_before = now.plus_seconds(-LINES_DAYS_LIMIT * 86_400);
    for tenant in app.store.tenants().await? {
        while app.store.forget_records(&tenant.id, now, lines_before, FORGOTTEN_AT_ONCE).await? {}
    }
    Ok(())
}

/// Groups that were stored before their tenant had a revision get their handles.
async fn bind_handles(app: &Arc<App>) {
    let bound = async {
        for tenant in app.store.tenants().await?.into_iter().filter(|tenant| tenant.active_revision.is_some()) {
            tenancy::handles::bind_unbound(app, &tenant.id, None).await?;
        }
        Ok::<(), StoreError>(())
    };
    if let Err(error) = bound.await {
        log_failure("binding of handles", &error);
    }
}

/// One bounded round; whether there may be more to do at once.
async fn round(app: &Arc<App>, work: &mut Work) -> Result<bool, StoreError> {
    let now = app.clock.now();
    let bound = tenancy::handles::bind_freed(app).await?;
    let more_fan_outs = spreading::step(app, now).await?;
    let due = app.store.claim_due(now, now.plus_seconds(LEASE_SECONDS), PEOPLE_PER_ROUND, &work.tenants).await?;
    let claimed = !due.is_empty();
    let mut by_tenant: BTreeMap<TenantId, Vec<DuePerson>> = BTreeMap::new();
    for person in due {
        by_tenant.entry(person.tenant.clone()).or_default().push(person);
    }
    for (tenant, due) in by_tenant {
        work.start(app, tenant, due);
    }
    let numbered = app.store.number_events().await?;
    // Also when none was left to number: some databases number events as they are written.
    app.numbered.notify_one();
    Ok(bound || more_fan_outs || claimed || numbered > 0)
}

/// Decides due people of one tenant, a batch for each connection and cause.
async fn evaluate_due(app: &Arc<App>, tenant: &TenantId, due: Vec<DuePerson>) -> Result<(), StoreError> {
    let mut batches: BTreeMap<(ConnectionId, Cause), Vec<ResourceId>> = BTreeMap::new();
    for person in due {
        batches.entry((person.connection, person.cause)).or_default().push(person.user);
    }
    for ((connection, cause), users) in batches {
        let Some((_, state)) = app.store.find_connection(&connection).await? else { continue };
        let people = app.store.people(tenant, &connection, &users).await?;
        people::evaluate_pending(app, tenant, people, state, cause).await?;
    }
    Ok(())
}

/// Makes what is due, to the end. Whether there was something.
async fn deliver_round(app: &Arc<App>) -> Result<bool, StoreError> {
    let mut attempts = Attempts::default();
    let any = attempts.start(app).await?;
    attempts.all_end().await;
    Ok(any)
}

async fn deliver(app: &Arc<App>, due: &DueDelivery, now: Instant) -> Result<(), StoreError> {
    let secret = app.store.open_secret(&due.tenant, &due.target.sealed_secret).await?;
    let result = match std::str::from_utf8(&secret) {
        Ok(secret) => webhook::deliver(&app.outgoing, due, secret, app.public_url.as_deref().unwrap_or_default(), now).await,
        Err(_) => DeliveryResult::Dead("the target's secret is malformed: set the target again".into()),
    };
    let word = match &result {
        DeliveryResult::Acknowledged => "acknowledged",
        DeliveryResult::Retry(..) => "retry",
        DeliveryResult::Unwanted(_) => "unwanted",
        DeliveryResult::Dead(_) => "dead",
    };
    app.metrics.delivery(word);
    let (tenant, target, now) = (&due.tenant, &due.target.id, app.clock.now());
    app.store.finish_delivery(tenant, target, &due.event.id, &result, now).await?;
    if let DeliveryResult::Unwanted(why) = &result {
        let actor = Actor { kind: "worker".into(), id: "delivery".into() };
        app.store.pause_target(tenant, target, why, &actor, now).await?;
    }
    Ok(())
}

/// How long nothing is due.
async fn until_due(app: &App) -> Duration {
    let now = app.clock.now();
    match app.store.next_due(now).await {
        Ok(Some(at)) => Duration::from_millis(u64::try_from(at.millis_since(now)).unwrap_or(0)).clamp(Duration::from_millis(1), IDLE),
        Ok(None) | Err(_) => IDLE,
    }
}

fn log_failure(what: &str, error: &StoreError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(what, %error, cause, "could not be done, trying again");
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    /// Whether a rest of an hour, or the one after a failure, ends with what wakes it or with the end of the process.
    async fn ends(pause: Option<Duration>, wake: bool, end: bool) -> bool {
        let (ending, mut stop) = watch::channel(false);
        if end {
            ending.send_replace(true);
        }
        let woken = async {
            if !wake {
                pending::<()>().await;
            }
        };
        let mut rest = pin!(rest(pause, woken, &mut stop));
        std::future::poll_fn(|context| Poll::Ready(rest.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn after_a_failure_nobody_wakes_what_rests_but_the_end_does() {
        let long = Some(Duration::from_secs(3_600));
        assert!(ends(long, true, false).await);
        assert!(!ends(long, false, false).await);
        assert!(!ends(None, true, false).await);
        assert!(ends(long, false, true).await && ends(None, true, true).await);
    }
}
