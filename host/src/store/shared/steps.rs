//! People's steps: what a change means for them, what is said of them, what is overdue.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::{QueryBuilder, Row as _};

use super::batch::Batch;
use super::history::{self, Secrets, Stamp};
use super::rows::{Row, word};
use super::{Conn, Db, Scope, invitations, text_list};
use crate::crypto::random_id;
use crate::model::{
    AccountId, Actor, Instant, NewEvent, NewProcess, Passage, Process, ProcessKind, ProcessState, ProcessStep, ProcessStepState, TenantId,
    due_at,
};
use crate::store::{ProcessQuery, Result, StepSaid, StoreError};

/// Rows of one INSERT: far below both databases' limits on parameters.
const INSERT_BATCH: usize = 500;

/// What is open of accounts.
pub(super) const OPEN: &str = concat!(
    "SELECT process, account, kind, anchor, zone FROM processes WHERE tenant = $1 AND state = 'open' AND ",
    any_of!("account", "$2"),
    " ORDER BY process",
    for_update!()
);
/// When accounts came into use first.
pub(super) const USED: &str = concat!("SELECT account FROM accounts WHERE tenant = $1 AND used IS NOT NULL AND ", any_of!("account", "$2"));
/// Whose joiner's process is done: who was prepared may have one before coming into use.
pub(super) const JOINED: &str =
    concat!("SELECT account FROM processes WHERE tenant = $1 AND kind = 'joiner' AND state = 'done' AND ", any_of!("account", "$2"));
/// The steps of processes.
pub(super) const STEPS: &str = concat!(
    "SELECT process, step, title, owner, span, due, state, decided, decided_kind, decided_id, reason FROM process_steps
     WHERE tenant = $1 AND ",
    any_of!("process", "$2"),
    " ORDER BY process, place"
);

/// A process that is open.
struct Open {
    id: String,
    account: AccountId,
    kind: ProcessKind,
    anchor: Instant,
    zone: String,
}

/// What stands of the people of a change before it is written.
#[derive(Default)]
pub(super) struct Before {
    open: Vec<Open>,
    used: BTreeSet<AccountId>,
    joined: BTreeSet<AccountId>,
}

/// What a change begins and ends.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) events: Vec<NewEvent>,
    pub(super) secrets: Secrets,
}

/// What stands of people to whom a change means something: nothing is read for the others.
pub(super) async fn read(conn: &mut Conn, tenant: &TenantId, of: &[(&AccountId, &[Passage])]) -> Result<Before> {
    let concerned: BTreeSet<&str> = of.iter().filter(|(_, passages)| !passages.is_empty()).map(|(account, _)| account.as_str()).collect();
    if concerned.is_empty() {
        return Ok(Before::default());
    }
    let ids = || text_list(concerned.iter().copied());
    let rows = sqlx::query(OPEN).bind(tenant.as_str()).bind(ids()).fetch_all(&mut *conn).await?;
    let mut open = Vec::with_capacity(rows.len());
    for row in &rows {
        open.push(Open {
            id: row.try_get("process")?,
            account: AccountId(row.try_get("account")?),
            kind: word(row.try_get("kind")?, ProcessKind::from_word)?,
            anchor: Instant(row.try_get("anchor")?),
            zone: row.try_get("zone")?,
        });
    }
    let any = |asks: fn(&Passage) -> bool| of.iter().any(|(_, passages)| passages.iter().any(asks));
    let joins = any(|passage| matches!(passage, Passage::Joins { .. }));
    let mut before = Before { open, ..Before::default() };
    if joins || any(|passage| matches!(passage, Passage::Invited { .. })) {
        let used: Vec<String> = sqlx::query_scalar(USED).bind(tenant.as_str()).bind(ids()).fetch_all(&mut *conn).await?;
        before.used = used.into_iter().map(AccountId).collect();
    }
    if joins {
        let joined: Vec<String> = sqlx::query_scalar(JOINED).bind(tenant.as_str()).bind(ids()).fetch_all(conn).await?;
        before.joined = joined.into_iter().map(AccountId).collect();
    }
    Ok(before)
}

/// Begins, dates anew and calls off what the change means. Everybody concerned is locked, and was read before.
pub(super) async fn settle(
    conn: &mut Conn,
    batch: &mut Batch,
    scope: &Scope,
    of: Vec<(AccountId, Vec<Passage>)>,
    before: &Before,
    stamp: Stamp<'_>,
) -> Result<Settled> {
    let mut work = Work::new(stamp);
    let leaving: Vec<&str> = of
        .iter()
        .filter(|(_, passages)| passages.iter().any(|passage| matches!(passage, Passage::Leaves { .. })))
        .map(|(account, _)| account.as_str())
        .collect();
    if !leaving.is_empty() {
        work.settled.events.extend(invitations::end_of(conn, &scope.tenant, &leaving, "left", stamp).await?);
    }
    let mut invited = Vec::new();
    for (account, passages) in of {
        for passage in passages {
            if let Passage::Invited { expires, again, personal } = passage {
                if again || !before.used.contains(&account) {
                    invited.push((account.clone(), expires, personal));
                }
            } else {
                work.weigh(before, &account, passage);
            }
        }
    }
    let again: Vec<&str> =
        invited.iter().map(|(account, ..)| account).filter(|account| before.used.contains(*account)).map(AccountId::as_str).collect();
    if !again.is_empty() {
        work.settled.events.extend(invitations::end_of(conn, &scope.tenant, &again, "replaced", stamp).await?);
    }
    let made = invitations::make(conn, batch, scope, invited, stamp).await?;
    work.settled.events.extend(made.events);
    work.settled.secrets.extend(made.secrets);
    work.write(conn, batch, &scope.tenant).await?;
    Ok(work.settled)
}

/// What people's passages come to, in a change.
struct Work<'a> {
    stamp: Stamp<'a>,
    begun: Vec<(String, AccountId, NewProcess)>,
    dated: Vec<(&'a Open, Instant)>,
    called_off: Vec<&'a Open>,
    /// Whose departure targets are to acknowledge: when it was, and by when.
    acknowledged_by: Vec<(AccountId, Instant, Instant)>,
    settled: Settled,
}

impl<'a> Work<'a> {
    fn new(stamp: Stamp<'a>) -> Self {
        let (begun, dated, called_off, acknowledged_by) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { stamp, begun, dated, called_off, acknowledged_by, settled: Settled::default() }
    }

    fn weigh(&mut self, before: &'a Before, account: &AccountId, passage: Passage) {
        let open = |kind: ProcessKind| before.open.iter().filter(move |open| open.account == *account && open.kind == kind);
        match passage {
            Passage::Joins { process, again } => match open(ProcessKind::Joiner).next() {
                Some(open) if !again => self.date(open, process.anchor),
                _ if again || !before.used.contains(account) && !before.joined.contains(account) => self.begin(account, process),
                _ => {}
            },
            Passage::Moves(process) => self.begin(account, process),
            Passage::EndNears(process) => match open(ProcessKind::Leaver).next() {
                Some(open) => self.date(open, process.anchor),
                None => self.begin(account, process),
            },
            Passage::Leaves { process, acknowledged_by, departed } => {
                self.called_off.extend(open(ProcessKind::Joiner).chain(open(ProcessKind::Mover)));
                self.acknowledged_by.extend(acknowledged_by.map(|by| (account.clone(), departed, by)));
                match (open(ProcessKind::Leaver).next(), process) {
                    (Some(open), Some(process)) => self.date(open, process.anchor),
                    (None, Some(process)) => self.begin(account, process),
                    (_, None) => {}
                }
            }
            Passage::Stays => self.called_off.extend(open(ProcessKind::Leaver)),
            Passage::Invited { .. } => {}
        }
    }

    fn begin(&mut self, account: &AccountId, process: NewProcess) {
        if process.steps.is_empty() {
            return;
        }
        let id = random_id();
        let steps: Vec<Value> = process.steps.iter().map(|step| json!({"step": step.id, "title": step.title, "due": step.due})).collect();
        let owners: serde_json::Map<String, Value> =
            process.steps.iter().map(|step| (step.id.clone(), step.owner.as_str().into())).collect();
        let data = json!({"process": id, "kind": process.kind, "anchor": process.anchor, "steps": steps});
        self.settled.events.push(about(account, "process.begun", data, Some(json!({"owners": owners}))));
        self.begun.push((id, account.clone(), process));
    }

    fn date(&mut self, open: &'a Open, anchor: Instant) {
        if open.anchor != anchor {
            let data = json!({"process": open.id, "kind": open.kind, "anchor": anchor, "before": open.anchor});
            self.settled.events.push(about(&open.account, "process.dated", data, None));
            self.dated.push((open, anchor));
        }
    }

    async fn write(&mut self, conn: &mut Conn, batch: &mut Batch, tenant: &TenantId) -> Result<()> {
        call_off(conn, batch, tenant, &self.called_off, self.stamp.at).await?;
        for open in &self.called_off {
            let data = json!({"process": open.id, "kind": open.kind});
            self.settled.events.push(about(&open.account, "process.called_off", data, None));
        }
        date_anew(conn, tenant, &self.dated, self.stamp.at).await?;
        insert(conn, batch, tenant, &self.begun, self.stamp.at).await?;
        if !self.acknowledged_by.is_empty() {
            let sql = batch.next(conn, self.acknowledged_by.len()).await?;
            sql.push("INSERT INTO acknowledgements_due (tenant, account, departed, due) SELECT * FROM (");
            sql.push_values(&self.acknowledged_by, |mut row, (account, departed, by)| {
                row.push_bind(tenant.as_str()).push_bind(account.as_str()).push_bind(departed.0).push_bind(by.0);
            });
            sql.push(") AS due WHERE EXISTS (SELECT 1 FROM targets WHERE tenant = ").push_bind(tenant.as_str());
            sql.push(") ON CONFLICT (tenant, account) DO UPDATE SET departed = excluded.departed, due = excluded.due");
        }
        Ok(())
    }
}

/// What happened to a person's steps. Owners and people's own words are personal.
fn about(account: &AccountId, kind: &'static str, data: Value, personal: Option<Value>) -> NewEvent {
    NewEvent { kind, account: Some(account.clone()), data, personal, leaver: false }
}

async fn insert(
    conn: &mut Conn,
    batch: &mut Batch,
    tenant: &TenantId,
    begun: &[(String, AccountId, NewProcess)],
    at: Instant,
) -> Result<()> {
    if begun.is_empty() {
        return Ok(());
    }
    let sql = batch.next(conn, begun.len()).await?;
    sql.push("INSERT INTO processes (tenant, process, account, kind, state, anchor, zone, begun) ");
    sql.push_values(begun, |mut row, (id, account, process)| {
        row.push_bind(tenant.as_str())
            .push_bind(id.as_str())
            .push_bind(account.as_str())
            .push_bind(process.kind.word())
            .push_bind(ProcessState::Open.word())
            .push_bind(process.anchor.0)
            .push_bind(process.zone.as_str())
            .push_bind(at.0);
    });
    let steps: Vec<_> = begun
        .iter()
        .flat_map(|(id, account, process)| (0_i64..).zip(&process.steps).map(move |(place, step)| (id, account, place, step)))
        .collect();
    for chunk in steps.chunks(INSERT_BATCH) {
        let sql = batch.next(conn, chunk.len()).await?;
        sql.push("INSERT INTO process_steps (tenant, process, place, step, account, title, owner, span, due, state) ");
        sql.push_values(chunk, |mut row, (id, account, place, step)| {
            row.push_bind(tenant.as_str())
                .push_bind(id.as_str())
                .push_bind(*place)
                .push_bind(step.id.as_str())
                .push_bind(account.as_str())
                .push_bind(step.title.as_str())
                .push_bind(step.owner.as_str())
                .push_bind(step.span.as_str())
                .push_bind(step.due.0)
                .push_bind(ProcessStepState::Open.word());
        });
    }
    Ok(())
}

async fn call_off(conn: &mut Conn, batch: &mut Batch, tenant: &TenantId, called_off: &[&Open], at: Instant) -> Result<()> {
    if called_off.is_empty() {
        return Ok(());
    }
    let these = |sql: &mut QueryBuilder<Db>| {
        sql.push(" WHERE tenant = ").push_bind(tenant.as_str()).push(" AND process IN (");
        let mut ids = sql.separated(", ");
        for open in called_off {
            ids.push_bind(open.id.as_str());
        }
        sql.push(")");
    };
    let sql = batch.next(conn, called_off.len()).await?;
    sql.push("UPDATE processes SET state = 'called_off', ended = ").push_bind(at.0);
    these(sql);
    let sql = batch.next(conn, called_off.len()).await?;
    sql.push("UPDATE process_steps SET state = 'skipped'");
    these(sql);
    sql.push(" AND state IN ('open', 'overdue')");
    Ok(())
}

/// Counts due dates from another anchor. What is to be done and is past its date by the old one only is open again.
async fn date_anew(conn: &mut Conn, tenant: &TenantId, dated: &[(&Open, Instant)], at: Instant) -> Result<()> {
    if dated.is_empty() {
        return Ok(());
    }
    let by_id: BTreeMap<&str, (&Open, Instant)> = dated.iter().map(|(open, anchor)| (open.id.as_str(), (*open, *anchor))).collect();
    let rows = sqlx::query(STEPS).bind(tenant.as_str()).bind(text_list(by_id.keys().copied())).fetch_all(&mut *conn).await?;
    let mut dues = Vec::with_capacity(rows.len());
    for row in &rows {
        let (process, step, span): (String, String, String) = (row.try_get("process")?, row.try_get("step")?, row.try_get("span")?);
        let Some((open, anchor)) = by_id.get(process.as_str()) else { continue };
        let due = due_at(*anchor, &span, &open.zone).unwrap_or(*anchor);
        dues.push((process, step, due));
    }
    let mut sql = QueryBuilder::<Db>::new("UPDATE processes SET anchor = dated.column2 FROM (");
    sql.push_values(dated, |mut row, (open, anchor)| {
        row.push_bind(open.id.as_str()).push_bind(anchor.0);
    });
    sql.push(") AS dated WHERE tenant = ").push_bind(tenant.as_str()).push(" AND process = dated.column1");
    sql.build().execute(&mut *conn).await?;
    for chunk in dues.chunks(INSERT_BATCH) {
        let mut sql = QueryBuilder::<Db>::new("UPDATE process_steps SET due = dated.column3, state = CASE WHEN dated.column3 > ");
        sql.push_bind(at.0).push(" THEN 'open' ELSE state END FROM (");
        sql.push_values(chunk, |mut row, (process, step, due)| {
            row.push_bind(process.as_str()).push_bind(step.as_str()).push_bind(due.0);
        });
        sql.push(") AS dated WHERE tenant = ").push_bind(tenant.as_str());
        sql.push(" AND process = dated.column1 AND step = dated.column2 AND state IN ('open', 'overdue')");
        sql.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// The end of what is open of people whose connection ends. Their leavers' process is begun by a job ([`super::left`]).
pub(super) async fn end_of(conn: &mut Conn, tenant: &TenantId, accounts: &[&AccountId], stamp: Stamp<'_>) -> Result<Vec<NewEvent>> {
    let left = || Passage::Leaves { process: None, acknowledged_by: None, departed: stamp.at };
    let leaves = [left()];
    let of: Vec<(&AccountId, &[Passage])> = accounts.iter().map(|account| (*account, &leaves[..])).collect();
    let before = read(conn, tenant, &of).await?;
    let ids: Vec<&str> = accounts.iter().map(|account| account.as_str()).collect();
    let mut work = Work::new(stamp);
    work.settled.events = invitations::end_of(conn, tenant, &ids, "left", stamp).await?;
    for account in accounts {
        work.weigh(&before, account, left());
    }
    let mut batch = Batch::new();
    work.write(conn, &mut batch, tenant).await?;
    batch.flush(conn).await?;
    Ok(work.settled.events)
}

/// The columns of [`process`].
macro_rules! process_columns {
    () => {
        "process, account, kind, state, anchor, begun, ended,
         (SELECT a.user_name FROM accounts a WHERE a.tenant = processes.tenant AND a.account = processes.account) AS user_name"
    };
}

fn process(row: &Row) -> Result<Process> {
    Ok(Process {
        id: row.try_get("process")?,
        account: AccountId(row.try_get("account")?),
        user_name: row.try_get("user_name")?,
        kind: word(row.try_get("kind")?, ProcessKind::from_word)?,
        state: word(row.try_get("state")?, ProcessState::from_word)?,
        anchor: Instant(row.try_get("anchor")?),
        begun: Instant(row.try_get("begun")?),
        ended: row.try_get::<Option<i64>, _>("ended")?.map(Instant),
        steps: Vec::new(),
    })
}

fn step(row: &Row) -> Result<ProcessStep> {
    let decided_by: (Option<String>, Option<String>) = (row.try_get("decided_kind")?, row.try_get("decided_id")?);
    Ok(ProcessStep {
        id: row.try_get("step")?,
        title: row.try_get("title")?,
        owner: row.try_get("owner")?,
        state: word(row.try_get("state")?, ProcessStepState::from_word)?,
        due: Instant(row.try_get("due")?),
        decided: row.try_get::<Option<i64>, _>("decided")?.map(Instant),
        decided_by: decided_by.0.zip(decided_by.1).map(|(kind, id)| Actor { kind, id }),
        reason: row.try_get("reason")?,
    })
}

/// Processes with their steps.
async fn with_steps(conn: &mut Conn, tenant: &TenantId, rows: &[Row]) -> Result<Vec<Process>> {
    let mut processes = rows.iter().map(process).collect::<Result<Vec<_>>>()?;
    if processes.is_empty() {
        return Ok(processes);
    }
    let ids = text_list(processes.iter().map(|process| process.id.as_str()));
    let rows = sqlx::query(STEPS).bind(tenant.as_str()).bind(ids).fetch_all(conn).await?;
    let mut steps = BTreeMap::<String, Vec<ProcessStep>>::new();
    for row in &rows {
        steps.entry(row.try_get("process")?).or_default().push(step(row)?);
    }
    for process in &mut processes {
        process.steps = steps.remove(&process.id).unwrap_or_default();
    }
    Ok(processes)
}

/// The SELECT of processes.
pub(super) fn select(tenant: &TenantId, query: &ProcessQuery) -> QueryBuilder<Db> {
    let mut sql = QueryBuilder::<Db>::new(concat!("SELECT ", process_columns!(), " FROM processes WHERE tenant = "));
    sql.push_bind(tenant.0.clone());
    match query.state {
        // As a literal: the index is of those that are open.
        None | Some(ProcessState::Open) => sql.push(" AND state = 'open'"),
        Some(state) => sql.push(" AND state = ").push_bind(state.word()),
    };
    if let Some(kind) = query.kind {
        sql.push(" AND kind = ").push_bind(kind.word());
    }
    if let Some(account) = &query.account {
        sql.push(" AND account = ").push_bind(account.0.clone());
    }
    if query.overdue {
        sql.push(
            " AND EXISTS (SELECT 1 FROM process_steps s WHERE s.tenant = processes.tenant AND s.process = processes.process
              AND s.state = 'overdue')",
        );
    }
    if let Some(after) = &query.after {
        sql.push(" AND process > ").push_bind(after.clone());
    }
    sql.push(" ORDER BY process LIMIT +").push_bind(query.limit);
    sql
}

/// Processes, by id.
pub(super) async fn list(conn: &mut Conn, tenant: &TenantId, query: &ProcessQuery) -> Result<Vec<Process>> {
    let rows = select(tenant, query).build().fetch_all(&mut *conn).await?;
    with_steps(conn, tenant, &rows).await
}

/// A process.
pub(super) async fn find(conn: &mut Conn, tenant: &TenantId, id: &str) -> Result<Option<Process>> {
    let rows = sqlx::query(concat!("SELECT ", process_columns!(), " FROM processes WHERE tenant = $1 AND process = $2"))
        .bind(tenant.as_str())
        .bind(id)
        .fetch_all(&mut *conn)
        .await?;
    Ok(with_steps(conn, tenant, &rows).await?.pop())
}

/// See [`crate::store::Steps::say_of_step`].
pub(super) async fn say(conn: &mut Conn, scope: &Scope, id: &str, step: &str, said: &StepSaid) -> Result<Process> {
    let tenant = &scope.tenant;
    // The process is locked before its steps, as where a change calls it off.
    sqlx::query(concat!("SELECT 1 FROM processes WHERE tenant = $1 AND process = $2", for_update!()))
        .bind(tenant.as_str())
        .bind(id)
        .execute(&mut *conn)
        .await?;
    let mut process = find(conn, tenant, id).await?.ok_or(StoreError::Missing("process"))?;
    let found = process.steps.iter_mut().find(|found| found.id == step).ok_or(StoreError::Missing("step of the process"))?;
    if !matches!(found.state, ProcessStepState::Open | ProcessStepState::Overdue) {
        return Err(StoreError::Conflict { what: "step" });
    }
    found.state = if said.done { ProcessStepState::Done } else { ProcessStepState::Skipped };
    (found.decided, found.decided_by) = (Some(said.at), Some(said.actor.clone()));
    found.reason.clone_from(&said.reason);
    sqlx::query(
        "UPDATE process_steps SET state = $4, decided = $5, decided_kind = $6, decided_id = $7, reason = $8
         WHERE tenant = $1 AND process = $2 AND step = $3",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(step)
    .bind(found.state.word())
    .bind(said.at.0)
    .bind(&said.actor.kind)
    .bind(&said.actor.id)
    .bind(&said.reason)
    .execute(&mut *conn)
    .await?;
    let data = json!({"process": id, "kind": process.kind, "step": step, "title": found.title, "due": found.due});
    let personal = json!({"owner": found.owner, "reason": said.reason});
    let mut events = vec![about(&process.account, if said.done { "step.done" } else { "step.skipped" }, data, Some(personal))];
    let is_over = |step: &ProcessStep| matches!(step.state, ProcessStepState::Done | ProcessStepState::Skipped);
    if process.state == ProcessState::Open && process.steps.iter().all(is_over) {
        (process.state, process.ended) = (ProcessState::Done, Some(said.at));
        sqlx::query("UPDATE processes SET state = 'done', ended = $3 WHERE tenant = $1 AND process = $2")
            .bind(tenant.as_str())
            .bind(id)
            .bind(said.at.0)
            .execute(&mut *conn)
            .await?;
        events.push(about(&process.account, "process.done", json!({"process": id, "kind": process.kind}), None));
    }
    history::append(conn, Batch::new(), scope, Stamp { at: said.at, actor: &said.actor, request_id: None }, &events, None).await?;
    Ok(process)
}

/// The tenants in which something is past its date.
pub(super) const WITH_OVERDUE: &str = "SELECT tenant FROM (
         SELECT t.tenant, (SELECT min(s.due) FROM process_steps s WHERE s.tenant = t.tenant AND s.state = 'open') AS step,
                (SELECT min(d.due) FROM acknowledgements_due d WHERE d.tenant = t.tenant) AS departure,
                (SELECT min(i.expires) FROM invitations i WHERE i.tenant = t.tenant AND i.state = 'open') AS link
         FROM tenants t
     ) AS waiting WHERE step <= $1 OR departure <= $1 OR link <= $1 ORDER BY tenant LIMIT +$2";
/// A tenant's steps past their date.
pub(super) const OVERDUE: &str = concat!(
    "SELECT process, step FROM process_steps WHERE tenant = $1 AND state = 'open' AND due <= $2 ORDER BY due, process, step LIMIT +$3",
    for_update!()
);
/// A tenant's departures that are to have been acknowledged.
pub(super) const ACKNOWLEDGEMENTS: &str = concat!(
    "SELECT account, departed FROM acknowledgements_due WHERE tenant = $1 AND due <= $2 ORDER BY due, account LIMIT +$3",
    for_update!()
);
/// The targets that have not acknowledged what took access away from accounts, with the last of it.
pub(super) const UNACKNOWLEDGED: &str = concat!(
    "SELECT e.account, d.target, max(e.at) AS last FROM events e JOIN targets t ON t.tenant = e.tenant AND t.removed IS NULL
     JOIN deliveries d ON d.tenant = t.tenant AND d.target = t.target AND d.event = e.id AND d.state <> 'acknowledged'
     WHERE e.tenant = $1 AND ",
    any_of!("e.account", "$2"),
    " AND e.kind IN ('account.suspended', 'account.removed', 'account.out_of_scope', 'grant.removed', 'grant.dormant')
     GROUP BY e.account, d.target ORDER BY e.account, d.target"
);

/// [`WITH_OVERDUE`].
pub(super) async fn with_overdue(conn: &mut Conn, now: Instant, limit: i64) -> Result<Vec<TenantId>> {
    let tenants: Vec<String> = sqlx::query_scalar(WITH_OVERDUE).bind(now.0).bind(limit).fetch_all(conn).await?;
    Ok(tenants.into_iter().map(TenantId).collect())
}

/// See [`crate::store::Steps::tell_overdue`]. Rows are locked where they are found, so that of two hosts one tells.
pub(super) async fn tell_overdue(conn: &mut Conn, scope: &Scope, limit: i64, actor: &Actor, at: Instant) -> Result<i64> {
    let (steps, mut events) = overdue(conn, &scope.tenant, limit, at).await?;
    let (departures, late) = unacknowledged(conn, &scope.tenant, limit, at).await?;
    let expired = invitations::expire(conn, &scope.tenant, limit, at).await?;
    let told = steps + departures + expired.len();
    events.extend(late);
    events.extend(expired);
    history::append(conn, Batch::new(), scope, Stamp { at, actor, request_id: None }, &events, None).await?;
    Ok(i64::try_from(told).unwrap_or(i64::MAX))
}

async fn overdue(conn: &mut Conn, tenant: &TenantId, limit: i64, at: Instant) -> Result<(usize, Vec<NewEvent>)> {
    let found: Vec<(String, String)> = sqlx::query_as(OVERDUE).bind(tenant.as_str()).bind(at.0).bind(limit).fetch_all(&mut *conn).await?;
    if found.is_empty() {
        return Ok((0, Vec::new()));
    }
    let mut sql = QueryBuilder::<Db>::new("UPDATE process_steps SET state = 'overdue' WHERE tenant = ");
    sql.push_bind(tenant.as_str()).push(" AND state = 'open' AND (process, step) IN (");
    sql.push_values(&found, |mut row, (process, step)| {
        row.push_bind(process.as_str()).push_bind(step.as_str());
    });
    sql.push(") RETURNING process, step, account, title, owner, due");
    let mut events = Vec::with_capacity(found.len());
    for row in sql.build().fetch_all(conn).await? {
        let text = |column: &str| row.try_get::<String, _>(column);
        let due = Instant(row.try_get("due")?);
        let data = json!({"process": text("process")?, "step": text("step")?, "title": text("title")?, "due": due});
        events.push(about(&AccountId(text("account")?), "step.overdue", data, Some(json!({"owner": text("owner")?}))));
    }
    Ok((found.len(), events))
}

async fn unacknowledged(conn: &mut Conn, tenant: &TenantId, limit: i64, at: Instant) -> Result<(usize, Vec<NewEvent>)> {
    let due: Vec<(String, i64)> =
        sqlx::query_as(ACKNOWLEDGEMENTS).bind(tenant.as_str()).bind(at.0).bind(limit).fetch_all(&mut *conn).await?;
    if due.is_empty() {
        return Ok((0, Vec::new()));
    }
    let ids = || text_list(due.iter().map(|(account, _)| account.as_str()));
    sqlx::query(concat!("DELETE FROM acknowledgements_due WHERE tenant = $1 AND ", any_of!("account", "$2")))
        .bind(tenant.as_str())
        .bind(ids())
        .execute(&mut *conn)
        .await?;
    let waiting: Vec<(String, String, i64)> = sqlx::query_as(UNACKNOWLEDGED).bind(tenant.as_str()).bind(ids()).fetch_all(conn).await?;
    let told = due.iter().filter_map(|(account, departed)| {
        let targets: Vec<&str> =
            waiting.iter().filter(|(of, _, last)| of == account && last >= departed).map(|(_, target, _)| target.as_str()).collect();
        let data = json!({"targets": targets, "departed": Instant(*departed)});
        (!targets.is_empty()).then(|| about(&AccountId(account.clone()), "receipt.overdue", data, None))
    });
    Ok((due.len(), told.collect()))
}
