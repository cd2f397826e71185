//! Reconciliations as they are written: lines are sealed under the tenant's key, and whoever would lose access by one is held by the
//! transaction that begins to carry it out.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{QueryBuilder, Row as _};

use super::history::tenant_key;
use super::rows::{Row, json as json_of, json_text, word};
use super::{Conn, Db, Scope, guard, lock_revision, tenancy, text_list};
use crate::crypto::{SecretKey, random_id};
use crate::model::{
    AccountId, Actor, ConnectionId, DriftCounts, DriftDetail, DriftKind, DriftLine, DriftOutcome, GuardDirection, GuardScope,
    GuardSettings, Instant, Reconciliation, ReconciliationState, ResourceId, RulingKind, RulingState, TenantId,
};
use crate::store::keys::{drift_purpose, unsealable};
use crate::store::{CarryOut, DriftNoted, DriftQuery, Forecasted, NewDriftLine, NewReconciliation, Result, StoreError};

/// Rows of one INSERT.
const INSERT_BATCH: usize = 500;

macro_rules! columns {
    () => {
        "reconciliation, connection, state, is_complete, counts, distance, digest, place, hold, reason, made_kind, made_id, begun_kind, begun_id, \
         created, ends, begun, finished"
    };
}
macro_rules! line_columns {
    () => {
        "l.line, l.kind, l.resource, l.account, l.version, l.detail, l.forecast, l.outcome, l.note"
    };
}

fn reconciliation(row: &Row) -> Result<Reconciliation> {
    let instant = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Instant));
    let state = word(row.try_get("state")?, ReconciliationState::from_word)?;
    let (kind, id): (Option<String>, Option<String>) = (row.try_get("begun_kind")?, row.try_get("begun_id")?);
    let unknown = matches!(state, ReconciliationState::Loading | ReconciliationState::Simulating);
    Ok(Reconciliation {
        id: row.try_get("reconciliation")?,
        connection: ConnectionId(row.try_get("connection")?),
        state,
        complete: row.try_get("is_complete")?,
        counts: json_of(row.try_get("counts")?, "the numbers of a reconciliation")?,
        distance: row.try_get("distance")?,
        simulated: row.try_get("place")?,
        digest: Some(row.try_get("digest")?).filter(|_| !unknown),
        hold: row.try_get("hold")?,
        reason: row.try_get("reason")?,
        made_by: Actor { kind: row.try_get("made_kind")?, id: row.try_get("made_id")? },
        carried_out_by: kind.zip(id).map(|(kind, id)| Actor { kind, id }),
        created: Instant(row.try_get("created")?),
        ends: Instant(row.try_get("ends")?),
        begun: instant("begun")?,
        finished: instant("finished")?,
    })
}

fn line(scope: &Scope, key: &SecretKey, id: &str, row: &Row) -> Result<DriftLine> {
    let number: i64 = row.try_get("line")?;
    let sealed: &[u8] = row.try_get("detail")?;
    let plain = key.open(&drift_purpose(&scope.tenant, id, number), sealed).map_err(unsealable)?;
    let detail: DriftDetail =
        serde_json::from_slice(&plain).map_err(|_| StoreError::Corrupt("a line of a reconciliation is not what was written".into()))?;
    let some = |column: &str| row.try_get::<String, _>(column).map(|text| Some(text).filter(|text| !text.is_empty()));
    Ok(DriftLine {
        line: number,
        kind: word(row.try_get("kind")?, DriftKind::from_word)?,
        user: some("resource")?.map(ResourceId),
        account: some("account")?.map(AccountId),
        version: row.try_get("version")?,
        detail,
        forecast: row.try_get::<Option<&str>, _>("forecast")?.map(|text| json_of(text, "a forecast")).transpose()?,
        outcome: row.try_get::<Option<&str>, _>("outcome")?.map(|text| word(text, DriftOutcome::from_word)).transpose()?,
        note: row.try_get("note")?,
    })
}

/// A reconciliation, locked until the transaction ends.
async fn locked(conn: &mut Conn, tenant: &TenantId, id: &str) -> Result<Reconciliation> {
    let row = sqlx::query(concat!("SELECT ", columns!(), " FROM reconciliations WHERE tenant = $1 AND reconciliation = $2", for_update!()))
        .bind(tenant.as_str())
        .bind(id)
        .fetch_optional(conn)
        .await?;
    reconciliation(&row.ok_or(StoreError::Missing("reconciliation"))?)
}

const NOT_SO: StoreError = StoreError::Conflict { what: "reconciliation" };

/// See [`crate::store::Drifts::begin_reconciliation`].
pub(super) async fn begin(conn: &mut Conn, scope: &Scope, new: &NewReconciliation) -> Result<()> {
    let tenant = &scope.tenant;
    let name = tenancy::lock_connection(conn, tenant, &new.connection).await?;
    let open: Vec<(String, String)> = sqlx::query_as(
        "SELECT reconciliation, state FROM reconciliations WHERE tenant = $1 AND connection = $2
         AND state IN ('loading', 'simulating', 'ready', 'running')",
    )
    .bind(tenant.as_str())
    .bind(new.connection.as_str())
    .fetch_all(&mut *conn)
    .await?;
    if open.iter().any(|(_, state)| state == ReconciliationState::Running.word()) {
        return Err(NOT_SO);
    }
    // One at most: each that begins ends the one before.
    for (before, _) in open {
        let over = (ReconciliationState::Abandoned, Some("a newer export took its place"), new.ends);
        end(conn, scope, &before, over, (&new.actor, new.at)).await?;
    }
    sqlx::query(
        "INSERT INTO reconciliations (tenant, reconciliation, connection, state, is_complete, counts, distance, digest, place, made_kind,
                                      made_id, created, ends, due_at)
         VALUES ($1, $2, $3, 'loading', $4, $5, 0, '', 0, $6, $7, $8, $9, $9)",
    )
    .bind(tenant.as_str())
    .bind(&new.id)
    .bind(new.connection.as_str())
    .bind(new.complete)
    .bind(json_text(&DriftCounts::default(), "the numbers of a reconciliation")?)
    .bind(&new.actor.kind)
    .bind(&new.actor.id)
    .bind(new.at.0)
    .bind(new.ends.0)
    .execute(&mut *conn)
    .await?;
    let data = json!({"reconciliation": new.id, "connection": new.connection, "name": name, "complete": new.complete});
    tenancy::record(conn, scope, &new.actor, new.at, "drift.uploaded", data).await
}

/// See [`crate::store::Drifts::add_drift`].
pub(super) async fn add(conn: &mut Conn, scope: &Scope, id: &str, lines: &[NewDriftLine]) -> Result<()> {
    let found = locked(conn, &scope.tenant, id).await?;
    if found.state != ReconciliationState::Loading {
        return Err(NOT_SO);
    }
    let key = tenant_key(conn, scope).await?;
    let mut rows = Vec::with_capacity(lines.len());
    for line in lines {
        let detail = json_text(&line.detail, "a line of a reconciliation")?;
        rows.push((line, key.seal(&drift_purpose(&scope.tenant, id, line.line), detail.as_bytes()).map_err(unsealable)?));
    }
    for chunk in rows.chunks(INSERT_BATCH) {
        let mut sql = QueryBuilder::<Db>::new(
            "INSERT INTO drift_lines (tenant, reconciliation, line, kind, connection, resource, account, version, detail, loses) ",
        );
        sql.push_values(chunk, |mut row, (line, detail)| {
            let (resource, account) = line.stored.as_ref().map_or(("", ""), |(user, account)| (user.as_str(), account.as_str()));
            row.push_bind(scope.tenant.as_str())
                .push_bind(id)
                .push_bind(line.line)
                .push_bind(line.kind.word())
                .push_bind(found.connection.as_str())
                .push_bind(resource)
                .push_bind(account)
                .push_bind(line.version)
                .push_bind(detail)
                .push_bind(false);
        });
        sql.build().persistent(false).execute(&mut *conn).await?;
    }
    Ok(())
}

/// See [`crate::store::Drifts::compared`].
pub(super) async fn compared(conn: &mut Conn, scope: &Scope, id: &str, counts: &DriftCounts, at: Instant) -> Result<()> {
    let found = locked(conn, &scope.tenant, id).await?;
    if found.state != ReconciliationState::Loading {
        return Err(NOT_SO);
    }
    sqlx::query(
        "UPDATE reconciliations SET state = 'simulating', counts = $3, distance = $4, due_at = $5 WHERE tenant = $1 AND reconciliation = $2",
    )
    .bind(scope.tenant.as_str())
    .bind(id)
    .bind(json_text(counts, "the numbers of a reconciliation")?)
    .bind(counts.distance())
    .bind(at.0)
    .execute(&mut *conn)
    .await?;
    let data = json!({"reconciliation": id, "connection": found.connection, "complete": found.complete, "counts": {
        "listed": counts.listed, "stored": counts.stored, "missing": counts.missing, "extra": counts.extra,
        "differing": counts.differing, "doubts": counts.doubts, "memberships": counts.memberships}});
    tenancy::record(conn, scope, &found.made_by, at, "drift.compared", data).await
}

/// A reconciliation by id.
pub(super) const BY_ID: &str = concat!("SELECT ", columns!(), " FROM reconciliations WHERE tenant = $1 AND reconciliation = $2");

pub(super) async fn find(conn: &mut Conn, tenant: &TenantId, id: &str) -> Result<Option<Reconciliation>> {
    let row = sqlx::query(BY_ID).bind(tenant.as_str()).bind(id).fetch_optional(conn).await?;
    row.as_ref().map(reconciliation).transpose()
}

/// The newest of all connections.
pub(super) const NEWEST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM reconciliations WHERE tenant = $1 AND $2 = '' ORDER BY created DESC, reconciliation DESC LIMIT +$3"
);
/// The newest of one.
pub(super) const NEWEST_OF: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM reconciliations WHERE tenant = $1 AND connection = $2 ORDER BY created DESC, reconciliation DESC LIMIT +$3"
);

pub(super) async fn list(conn: &mut Conn, tenant: &TenantId, connection: Option<&ConnectionId>, limit: i64) -> Result<Vec<Reconciliation>> {
    let statement = if connection.is_some() { NEWEST_OF } else { NEWEST };
    let connection = connection.map_or("", ConnectionId::as_str);
    let rows = sqlx::query(statement).bind(tenant.as_str()).bind(connection).bind(limit).fetch_all(conn).await?;
    rows.iter().map(reconciliation).collect()
}

/// See [`crate::store::Drifts::drift_lines`].
pub(super) async fn lines(conn: &mut Conn, scope: &Scope, id: &str, query: &DriftQuery) -> Result<Vec<DriftLine>> {
    let mut sql = QueryBuilder::<Db>::new(concat!("SELECT ", line_columns!(), " FROM drift_lines l WHERE l.tenant = "));
    sql.push_bind(scope.tenant.as_str()).push(" AND l.reconciliation = ").push_bind(id).push(" AND l.line > ").push_bind(query.after);
    if let Some(kind) = query.kind {
        sql.push(" AND l.kind = ").push_bind(kind.word());
    }
    if let Some(outcome) = query.outcome {
        sql.push(" AND l.outcome = ").push_bind(outcome.word());
    }
    sql.push(" ORDER BY l.line LIMIT +").push_bind(query.limit);
    let rows = sql.build().fetch_all(&mut *conn).await?;
    let key = tenant_key(conn, scope).await?;
    rows.iter().map(|row| line(scope, &key, id, row)).collect()
}

/// What has waited longest for a worker.
pub(super) const DUE: &str = "SELECT tenant, reconciliation FROM reconciliations WHERE due_at <= $1 ORDER BY due_at, tenant LIMIT 1";

pub(super) async fn due(conn: &mut Conn, now: Instant) -> Result<Option<(TenantId, String)>> {
    let found: Option<(String, String)> = sqlx::query_as(DUE).bind(now.0).fetch_optional(conn).await?;
    Ok(found.map(|(tenant, id)| (TenantId(tenant), id)))
}

pub(super) async fn claim(conn: &mut Conn, tenant: &TenantId, id: &str, now: Instant, lease_until: Instant) -> Result<bool> {
    let claimed = sqlx::query("UPDATE reconciliations SET due_at = $4 WHERE tenant = $1 AND reconciliation = $2 AND due_at <= $3")
        .bind(tenant.as_str())
        .bind(id)
        .bind(now.0)
        .bind(lease_until.0)
        .execute(conn)
        .await?;
    Ok(claimed.rows_affected() == 1)
}

/// See [`crate::store::Drifts::keep_forecast`].
pub(super) async fn keep_forecast(conn: &mut Conn, scope: &Scope, id: &str, step: &Forecasted) -> Result<bool> {
    let found = locked(conn, &scope.tenant, id).await?;
    if found.state != ReconciliationState::Simulating || found.simulated != step.from {
        return Ok(false);
    }
    // A step has few lines.
    for (number, forecast) in &step.lines {
        sqlx::query("UPDATE drift_lines SET forecast = $4, loses = $5 WHERE tenant = $1 AND reconciliation = $2 AND line = $3")
            .bind(scope.tenant.as_str())
            .bind(id)
            .bind(number)
            .bind(json_text(forecast, "a forecast")?)
            .bind(forecast.takes_access())
            .execute(&mut *conn)
            .await?;
    }
    let state = if step.last { ReconciliationState::Ready } else { ReconciliationState::Simulating };
    sqlx::query("UPDATE reconciliations SET state = $3, digest = $4, place = $5, due_at = $6 WHERE tenant = $1 AND reconciliation = $2")
        .bind(scope.tenant.as_str())
        .bind(id)
        .bind(state.word())
        .bind(&step.digest)
        .bind(step.to)
        .bind(if step.last { found.ends.0 } else { step.at.0 })
        .execute(&mut *conn)
        .await?;
    if step.last {
        let data = json!({"reconciliation": id, "connection": found.connection, "digest": step.digest});
        tenancy::record(conn, scope, &found.made_by, step.at, "drift.ready", data).await?;
    }
    Ok(true)
}

/// Accounts whose people lose access by a reconciliation.
pub(super) const LOSING: &str =
    "SELECT DISTINCT account FROM drift_lines WHERE tenant = $1 AND reconciliation = $2 AND outcome IS NULL AND loses AND account <> ''";
/// Differences that somebody lets stand for a while.
const STANDING: &str = concat!(
    "SELECT account, max(ends) FROM rulings WHERE tenant = $1 AND kind = 'drift' AND state = 'no' AND ends > $3 AND ",
    any_of!("account", "$2"),
    " GROUP BY account"
);

/// See [`crate::store::Drifts::carry_out`].
pub(super) async fn carry_out(conn: &mut Conn, scope: &Scope, id: &str, said: &CarryOut) -> Result<i64> {
    let tenant = &scope.tenant;
    lock_revision(conn, tenant, false).await?;
    let found = locked(conn, tenant, id).await?;
    if found.state != ReconciliationState::Ready || found.ends <= said.at {
        return Err(NOT_SO);
    }
    if found.digest.as_deref() != Some(said.digest.as_str()) {
        return Err(StoreError::Conflict { what: "digest" });
    }
    sqlx::query("UPDATE drift_lines SET outcome = 'skipped', note = $3 WHERE tenant = $1 AND reconciliation = $2 AND kind = 'doubt'")
        .bind(tenant.as_str())
        .bind(id)
        .bind("the login name is one person's and the external id another's: decided at the identity provider")
        .execute(&mut *conn)
        .await?;
    let mut losing: Vec<String> = sqlx::query_scalar(LOSING).bind(tenant.as_str()).bind(id).fetch_all(&mut *conn).await?;
    let standing: Vec<(String, Option<i64>)> = sqlx::query_as(STANDING)
        .bind(tenant.as_str())
        .bind(text_list(losing.iter().map(String::as_str)))
        .bind(said.at.0)
        .fetch_all(&mut *conn)
        .await?;
    let standing: BTreeMap<String, Option<i64>> = standing.into_iter().collect();
    losing.retain(|account| !standing.contains_key(account));
    sqlx::query(concat!(
        "UPDATE drift_lines SET outcome = 'rejected', note = $4 WHERE tenant = $1 AND reconciliation = $2 AND outcome IS NULL AND loses AND ",
        any_of!("account", "$3")
    ))
    .bind(tenant.as_str())
    .bind(id)
    .bind(text_list(standing.keys().map(String::as_str)))
    .bind("somebody lets the difference stand")
    .execute(&mut *conn)
    .await?;
    let is_guarded: bool = sqlx::query_scalar("SELECT guarded FROM connections WHERE tenant = $1 AND connection = $2")
        .bind(tenant.as_str())
        .bind(found.connection.as_str())
        .fetch_one(&mut *conn)
        .await?;
    let hold = match said.guard.as_ref().filter(|guard| guard.enabled && is_guarded) {
        Some(guard) => hold_back(conn, scope, (id, &found.connection), &losing, (guard, said)).await?,
        None => None,
    };
    let held = if hold.is_some() { losing.len() } else { 0 };
    sqlx::query(
        "UPDATE reconciliations SET state = 'running', hold = $3, reason = $4, begun_kind = $5, begun_id = $6, begun = $7, ends = $8,
                due_at = $7 WHERE tenant = $1 AND reconciliation = $2",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(&hold)
    .bind(&said.reason)
    .bind(&said.actor.kind)
    .bind(&said.actor.id)
    .bind(said.at.0)
    .bind(said.ends.0)
    .execute(&mut *conn)
    .await?;
    let data = json!({"reconciliation": id, "connection": found.connection, "digest": said.digest, "held": held, "hold": hold,
                      "reason": said.reason});
    tenancy::record(conn, scope, &said.actor, said.at, "drift.begun", data).await?;
    Ok(i64::try_from(held).unwrap_or(i64::MAX))
}

/// Holds those who would lose access, all of them together, where they are more than may be within the window.
async fn hold_back(
    conn: &mut Conn,
    scope: &Scope,
    (id, connection): (&str, &ConnectionId),
    losing: &[String],
    (settings, said): (&GuardSettings, &CarryOut),
) -> Result<Option<String>> {
    let (tenant, direction) = (&scope.tenant, GuardDirection::Losses);
    let population =
        guard::population(conn, tenant, GuardScope::Connection, connection.as_str(), settings.population_needed(direction)).await?;
    let limit = settings.limit(direction, population);
    let since = said.at.plus_seconds(-i64::from(settings.window_hours) * 3_600);
    let window = guard::name(direction, &(GuardScope::Connection, connection.0.clone()));
    // Those who lost something already within the window count as well.
    let counted: i64 = sqlx::query_scalar("SELECT count(*) FROM guard_people WHERE tenant = $1 AND guard = $2 AND at > $3")
        .bind(tenant.as_str())
        .bind(window)
        .bind(since.0)
        .fetch_one(&mut *conn)
        .await?;
    let people = i64::try_from(losing.len()).unwrap_or(i64::MAX);
    if people == 0 || counted.saturating_add(people) <= limit {
        return Ok(None);
    }
    let hold = random_id();
    sqlx::query("INSERT INTO holds (tenant, hold, guard, state, limit_people, opened) VALUES ($1, $2, $3, 'open', $4, $5)")
        .bind(tenant.as_str())
        .bind(&hold)
        .bind(guard::name(direction, &(GuardScope::Plan, id.to_owned())))
        .bind(limit)
        .bind(said.at.0)
        .execute(&mut *conn)
        .await?;
    for chunk in losing.chunks(INSERT_BATCH) {
        let mut sql = QueryBuilder::<Db>::new(
            "INSERT INTO rulings (tenant, ruling, account, role, kind, state, hold, created, created_kind, created_id) ",
        );
        sql.push_values(chunk, |mut row, account| {
            row.push_bind(tenant.as_str())
                .push_bind(random_id())
                .push_bind(account)
                .push_bind("")
                .push_bind(RulingKind::Drift.word())
                .push_bind(RulingState::Open.word())
                .push_bind(&hold)
                .push_bind(said.at.0)
                .push_bind(&said.actor.kind)
                .push_bind(&said.actor.id);
        });
        sql.build().persistent(false).execute(&mut *conn).await?;
    }
    let data = json!({"hold": hold, "direction": direction, "scope": GuardScope::Plan, "of": id, "limit": limit});
    tenancy::record(conn, scope, &said.actor, said.at, "hold.opened", data).await?;
    Ok(Some(hold))
}

/// Lines that nothing has become of and that nobody holds.
pub(super) const NEXT: &str = concat!(
    "SELECT ",
    line_columns!(),
    ", r.state AS said FROM drift_lines l
     LEFT JOIN rulings r ON r.tenant = l.tenant AND r.hold = $3 AND r.account = l.account AND r.kind = 'drift' AND l.loses
     WHERE l.tenant = $1 AND l.reconciliation = $2 AND l.outcome IS NULL AND (r.state IS NULL OR r.state <> 'open')
     ORDER BY l.line LIMIT +$4"
);

/// See [`crate::store::Drifts::next_drift`].
pub(super) async fn next(conn: &mut Conn, scope: &Scope, id: &str, limit: i64) -> Result<Vec<(DriftLine, Option<RulingState>)>> {
    let hold: Option<Option<String>> =
        sqlx::query_scalar("SELECT hold FROM reconciliations WHERE tenant = $1 AND reconciliation = $2 AND state = 'running'")
            .bind(scope.tenant.as_str())
            .bind(id)
            .fetch_optional(&mut *conn)
            .await?;
    let Some(hold) = hold else { return Ok(Vec::new()) };
    let rows =
        sqlx::query(NEXT).bind(scope.tenant.as_str()).bind(id).bind(hold.unwrap_or_default()).bind(limit).fetch_all(&mut *conn).await?;
    let key = tenant_key(conn, scope).await?;
    let with_word = |row: &Row| {
        let said = row.try_get::<Option<&str>, _>("said")?.map(|said| word(said, RulingState::from_word)).transpose()?;
        Ok((line(scope, &key, id, row)?, said))
    };
    rows.iter().map(with_word).collect()
}

/// See [`crate::store::Drifts::note_drift`].
pub(super) async fn note(conn: &mut Conn, scope: &Scope, id: &str, noted: &[DriftNoted], due: Instant) -> Result<bool> {
    let tenant = &scope.tenant;
    let found = locked(conn, tenant, id).await?;
    let mut done = 0_i64;
    // A step has few lines.
    for one in noted {
        let write = "UPDATE drift_lines SET outcome = $4, note = $5
                     WHERE tenant = $1 AND reconciliation = $2 AND line = $3 AND outcome IS NULL";
        let written = sqlx::query(write)
            .bind(tenant.as_str())
            .bind(id)
            .bind(one.line)
            .bind(one.outcome.word())
            .bind(&one.note)
            .execute(&mut *conn)
            .await?;
        done += i64::from(one.outcome == DriftOutcome::Done && written.rows_affected() == 1);
    }
    // What was released counts for what was seen, and for nothing that comes after it. What was rejected stands.
    let over = noted.iter().filter(|one| one.outcome != DriftOutcome::Rejected).filter_map(|one| one.account.as_ref());
    sqlx::query(concat!(
        "UPDATE rulings SET state = 'ended' WHERE tenant = $1 AND hold = $2 AND kind = 'drift' AND state = 'yes' AND ",
        any_of!("account", "$3")
    ))
    .bind(tenant.as_str())
    .bind(found.hold.as_deref().unwrap_or(""))
    .bind(text_list(over.map(AccountId::as_str)))
    .execute(&mut *conn)
    .await?;
    let left: Option<i64> =
        sqlx::query_scalar("SELECT line FROM drift_lines WHERE tenant = $1 AND reconciliation = $2 AND outcome IS NULL LIMIT 1")
            .bind(tenant.as_str())
            .bind(id)
            .fetch_optional(&mut *conn)
            .await?;
    let goes_on =
        "UPDATE reconciliations SET due_at = $3, distance = distance - $4 WHERE tenant = $1 AND reconciliation = $2 AND state = 'running'";
    sqlx::query(goes_on).bind(tenant.as_str()).bind(id).bind(due.0).bind(done).execute(conn).await?;
    Ok(left.is_some())
}

/// The hold of a reconciliation was answered: it goes on.
pub(super) async fn answered(conn: &mut Conn, tenant: &TenantId, hold: &str, at: Instant) -> Result<()> {
    sqlx::query("UPDATE reconciliations SET due_at = $3 WHERE tenant = $1 AND hold = $2 AND state = 'running'")
        .bind(tenant.as_str())
        .bind(hold)
        .bind(at.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// See [`crate::store::Drifts::end_reconciliation`].
pub(super) async fn end(
    conn: &mut Conn,
    scope: &Scope,
    id: &str,
    (state, reason, forget_at): (ReconciliationState, Option<&str>, Instant),
    (actor, at): (&Actor, Instant),
) -> Result<()> {
    let tenant = &scope.tenant;
    let found = locked(conn, tenant, id).await?;
    if found.state.is_over() {
        return Err(NOT_SO);
    }
    sqlx::query("UPDATE drift_lines SET outcome = 'expired' WHERE tenant = $1 AND reconciliation = $2 AND outcome IS NULL")
        .bind(tenant.as_str())
        .bind(id)
        .execute(&mut *conn)
        .await?;
    sqlx::query("UPDATE rulings SET state = 'ended' WHERE tenant = $1 AND hold = $2 AND kind = 'drift' AND state IN ('open', 'yes')")
        .bind(tenant.as_str())
        .bind(found.hold.as_deref().unwrap_or(""))
        .execute(&mut *conn)
        .await?;
    let counted: Vec<(String, i64)> = sqlx::query_as(
        "SELECT outcome, count(*) FROM drift_lines WHERE tenant = $1 AND reconciliation = $2 AND outcome IS NOT NULL GROUP BY outcome",
    )
    .bind(tenant.as_str())
    .bind(id)
    .fetch_all(&mut *conn)
    .await?;
    let outcomes: BTreeMap<String, i64> = counted.into_iter().collect();
    let done = outcomes.get(DriftOutcome::Done.word()).copied().unwrap_or(0);
    sqlx::query(
        "UPDATE reconciliations SET state = $3, reason = COALESCE($4, reason), distance = $5, finished = $6, due_at = $7
         WHERE tenant = $1 AND reconciliation = $2",
    )
    .bind(tenant.as_str())
    .bind(id)
    .bind(state.word())
    .bind(reason)
    .bind(found.counts.distance().saturating_sub(done))
    .bind(at.0)
    .bind(forget_at.0)
    .execute(&mut *conn)
    .await?;
    let kind = match state {
        ReconciliationState::Finished => "drift.finished",
        ReconciliationState::Expired => "drift.expired",
        _ => "drift.abandoned",
    };
    let data = json!({"reconciliation": id, "connection": found.connection, "outcomes": outcomes, "reason": reason});
    tenancy::record(conn, scope, actor, at, kind, data).await
}

pub(super) async fn forget(conn: &mut Conn, tenant: &TenantId, id: &str) -> Result<()> {
    sqlx::query("DELETE FROM reconciliations WHERE tenant = $1 AND reconciliation = $2 AND state IN ('finished', 'abandoned', 'expired')")
        .bind(tenant.as_str())
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}
