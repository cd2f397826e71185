//! Candidate revisions that are tried out, and activations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::{QueryBuilder, Row as _};

use super::revisions;
use super::rows::{Row, json as json_of, json_text, word};
use super::tenancy::{self, record};
use super::work::{Below, fan_out};
use super::{Conn, Db, Scope, lock_revision, text_list, trial_people};
use crate::model::{
    Activation, ActivationState, Actor, Cause, ConnectionId, Difference, DifferenceKind, Instant, PersonDifference, ResourceId,
    RevisionHash, Summary, TenantId, Trial, TrialState, TurnedAway, Watch,
};
use crate::store::{
    Advance, DIFFERENCES_LIMIT, DespiteChanges, NewActivation, NewDifference, Place, Progress, Result, RunningShadow, StoreError,
};

macro_rules! trial_columns {
    () => {
        "trial, kind, revision, base, state, problem, actor_kind, actor_id, percent, started, ends, finished, population, part, summary"
    };
}

fn trial_of(row: &Row) -> Result<Trial> {
    let instant = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Instant));
    let percent: i64 = row.try_get("percent")?;
    Ok(Trial {
        id: row.try_get("trial")?,
        kind: word(row.try_get("kind")?, crate::model::TrialKind::from_word)?,
        revision: RevisionHash(row.try_get("revision")?),
        base: row.try_get::<Option<String>, _>("base")?.map(RevisionHash),
        state: word(row.try_get("state")?, TrialState::from_word)?,
        problem: row.try_get("problem")?,
        actor: Actor { kind: row.try_get("actor_kind")?, id: row.try_get("actor_id")? },
        percent: percent_of(percent)?,
        started: Instant(row.try_get("started")?),
        ends: instant("ends")?,
        finished: instant("finished")?,
        population: row.try_get("population")?,
        part: row.try_get::<Option<&str>, _>("part")?.map(|part| json_of(part, "a part of the people")).transpose()?,
        summary: json_of(row.try_get("summary")?, "a trial's summary")?,
    })
}

fn percent_of(percent: i64) -> Result<u8> {
    u8::try_from(percent).map_err(|_| StoreError::Corrupt(format!("{percent} is no percentage")))
}

/// What runs is little, and has an index of its own.
pub(super) const RUNNING_SHADOWS: &str =
    "SELECT tenant, trial, revision, percent, ends FROM trials WHERE state = 'running' AND kind = 'shadow'";

/// The shadows that go along.
pub(super) async fn running_shadows(conn: &mut Conn) -> Result<Vec<RunningShadow>> {
    let rows: Vec<(String, String, String, i64, Option<i64>)> = sqlx::query_as(RUNNING_SHADOWS).fetch_all(conn).await?;
    rows.into_iter()
        .map(|(tenant, trial, revision, percent, ends)| {
            let percent = percent_of(percent)?;
            Ok(RunningShadow { tenant: TenantId(tenant), trial, revision: RevisionHash(revision), percent, ends: ends.map(Instant) })
        })
        .collect()
}

/// The simulation that has waited longest.
pub(super) const DUE_SIMULATION: &str =
    "SELECT tenant, trial FROM trials WHERE state = 'running' AND kind = 'simulation' AND due_at <= $1 ORDER BY due_at, tenant LIMIT 1";

/// The simulation that has waited longest.
pub(super) async fn due_simulation(conn: &mut Conn, now: Instant) -> Result<Option<(TenantId, String)>> {
    let found: Option<(String, String)> = sqlx::query_as(DUE_SIMULATION).bind(now.0).fetch_optional(conn).await?;
    Ok(found.map(|(tenant, trial)| (TenantId(tenant), trial)))
}

/// Claims it, unless another host was quicker.
pub(super) async fn claim(conn: &mut Conn, tenant: &TenantId, trial: &str, now: Instant, lease_until: Instant) -> Result<bool> {
    let claimed = sqlx::query("UPDATE trials SET due_at = $4 WHERE tenant = $1 AND trial = $2 AND state = 'running' AND due_at <= $3")
        .bind(tenant.as_str())
        .bind(trial)
        .bind(now.0)
        .bind(lease_until.0)
        .execute(conn)
        .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Begins a trial.
pub(super) async fn start(conn: &mut Conn, scope: &Scope, trial: &Trial) -> Result<()> {
    // Two that begin at once come one after the other, and the second is told of the first.
    lock_revision(conn, &scope.tenant, true).await?;
    if !revisions::exists(conn, &scope.tenant, &trial.revision).await? {
        return Err(StoreError::Missing("revision"));
    }
    let running = sqlx::query("SELECT 1 FROM trials WHERE tenant = $1 AND kind = $2 AND state = 'running'")
        .bind(scope.tenant.as_str())
        .bind(trial.kind.word())
        .fetch_optional(&mut *conn)
        .await?;
    if running.is_some() {
        return Err(StoreError::Conflict { what: "trial" });
    }
    sqlx::query(
        "INSERT INTO trials (tenant, trial, kind, revision, base, state, actor_kind, actor_id, percent, started, ends, cursor_connection,
                             cursor_resource, summary, part, due_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '', '', $12, $13, $10)",
    )
    .bind(scope.tenant.as_str())
    .bind(&trial.id)
    .bind(trial.kind.word())
    .bind(trial.revision.as_str())
    .bind(trial.base.as_ref().map(RevisionHash::as_str))
    .bind(trial.state.word())
    .bind(&trial.actor.kind)
    .bind(&trial.actor.id)
    .bind(i64::from(trial.percent))
    .bind(trial.started.0)
    .bind(trial.ends.map(|ends| ends.0))
    .bind(json_text(&trial.summary, "a trial's summary")?)
    .bind(trial.part.as_ref().map(|part| json_text(part, "a part of the people")).transpose()?)
    .execute(&mut *conn)
    .await?;
    let mut data = json!({"trial": trial.id, "kind": trial.kind, "revision": trial.revision, "base": trial.base});
    if let Some(part) = &trial.part {
        data["part"] = json!({"connections": part.connections, "groups": part.groups, "people": part.people.len()});
    }
    record(conn, scope, &trial.actor, trial.started, "trial.started", data).await
}

/// A trial.
pub(super) async fn find(conn: &mut Conn, tenant: &TenantId, trial: &str) -> Result<Option<Trial>> {
    let row = sqlx::query(concat!("SELECT ", trial_columns!(), " FROM trials WHERE tenant = $1 AND trial = $2"))
        .bind(tenant.as_str())
        .bind(trial)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(trial_of).transpose()
}

/// The newest trials.
pub(super) async fn newest(conn: &mut Conn, tenant: &TenantId, limit: i64) -> Result<Vec<Trial>> {
    let rows =
        sqlx::query(concat!("SELECT ", trial_columns!(), " FROM trials WHERE tenant = $1 ORDER BY started DESC, trial DESC LIMIT +$2"))
            .bind(tenant.as_str())
            .bind(limit)
            .fetch_all(conn)
            .await?;
    rows.iter().map(trial_of).collect()
}

/// Where a running simulation is.
pub(super) async fn progress(conn: &mut Conn, tenant: &TenantId, trial: &str, limit: i64) -> Result<Option<Progress>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        trial_columns!(),
        ", cursor_connection, cursor_resource FROM trials WHERE tenant = $1 AND trial = $2 AND state = 'running'"
    ))
    .bind(tenant.as_str())
    .bind(trial)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let place: Place = (ConnectionId(row.try_get("cursor_connection")?), ResourceId(row.try_get("cursor_resource")?));
    let trial = trial_of(&row)?;
    let (people, next) = trial_people::next(conn, tenant, trial.part.as_ref(), &place, limit).await?;
    Ok(Some(Progress { trial, place, people, next }))
}

/// The summary of a running trial, locked until the transaction ends.
async fn running_summary(conn: &mut Conn, tenant: &TenantId, trial: &str) -> Result<Option<(Summary, Place)>> {
    let row = sqlx::query(concat!(
        "SELECT summary, cursor_connection, cursor_resource FROM trials WHERE tenant = $1 AND trial = $2 AND state = 'running'",
        for_update!()
    ))
    .bind(tenant.as_str())
    .bind(trial)
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let place = (ConnectionId(row.try_get("cursor_connection")?), ResourceId(row.try_get("cursor_resource")?));
    Ok(Some((json_of(row.try_get("summary")?, "a trial's summary")?, place)))
}

/// Keeps a step of a simulation.
pub(super) async fn advance(conn: &mut Conn, scope: &Scope, trial: &str, step: &Advance) -> Result<bool> {
    let tenant = &scope.tenant;
    let Some((mut summary, place)) = running_summary(conn, tenant, trial).await? else { return Ok(false) };
    if place != step.from {
        return Ok(false);
    }
    keep(conn, tenant, trial, &summary, &step.differences).await?;
    summary.merge(&step.summary);
    if let Some(forecasts) = &step.forecasts {
        summary.guard.scopes.clone_from(forecasts);
    }
    if step.to.is_none() {
        summary.collisions = collide(conn, tenant, trial).await?;
    }
    let place = step.to.as_ref().unwrap_or(&step.from);
    let finished = step.to.is_none();
    sqlx::query(
        "UPDATE trials SET summary = $3, cursor_connection = $4, cursor_resource = $5, population = COALESCE($6, population), state = $7,
                finished = $8, due_at = $9 WHERE tenant = $1 AND trial = $2",
    )
    .bind(tenant.as_str())
    .bind(trial)
    .bind(json_text(&summary, "a trial's summary")?)
    .bind(place.0.as_str())
    .bind(place.1.as_str())
    .bind(step.population)
    .bind(if finished { TrialState::Finished } else { TrialState::Running }.word())
    .bind(finished.then_some(step.at.0))
    .bind((!finished).then_some(step.lease_until.0))
    .execute(&mut *conn)
    .await?;
    if finished {
        ended(conn, scope, trial, step.at).await?;
    }
    Ok(true)
}

/// Adds what a shadow found.
pub(super) async fn add(conn: &mut Conn, tenant: &TenantId, trial: &str, part: &Summary, differences: &[NewDifference]) -> Result<bool> {
    let Some((mut summary, _)) = running_summary(conn, tenant, trial).await? else { return Ok(false) };
    keep(conn, tenant, trial, &summary, differences).await?;
    summary.merge(part);
    sqlx::query("UPDATE trials SET summary = $3 WHERE tenant = $1 AND trial = $2")
        .bind(tenant.as_str())
        .bind(trial)
        .bind(json_text(&summary, "a trial's summary")?)
        .execute(conn)
        .await?;
    Ok(true)
}

/// Keeps differences; of people who are gone meanwhile nothing is kept.
async fn keep(conn: &mut Conn, tenant: &TenantId, trial: &str, so_far: &Summary, differences: &[NewDifference]) -> Result<()> {
    if so_far.different >= DIFFERENCES_LIMIT {
        return Ok(());
    }
    let mut by_connection = BTreeMap::<&ConnectionId, Vec<&NewDifference>>::new();
    for difference in differences {
        by_connection.entry(&difference.person.connection).or_default().push(difference);
    }
    for (connection, mut differences) in by_connection {
        let there: Vec<String> =
            sqlx::query_scalar(concat!("SELECT id FROM resources WHERE tenant = $1 AND connection = $2 AND ", any_of!("id", "$3")))
                .bind(tenant.as_str())
                .bind(connection.as_str())
                .bind(text_list(differences.iter().map(|difference| difference.person.user.as_str())))
                .fetch_all(&mut *conn)
                .await?;
        let there: BTreeSet<String> = there.into_iter().collect();
        differences.retain(|difference| there.contains(difference.person.user.as_str()));
        if !differences.is_empty() {
            insert_differences(conn, tenant, trial, &differences).await?;
        }
    }
    Ok(())
}

async fn insert_differences(conn: &mut Conn, tenant: &TenantId, trial: &str, differences: &[&NewDifference]) -> Result<()> {
    let texts = differences.iter().map(|difference| json_text(&difference.person.difference, "a difference"));
    let texts: Vec<String> = texts.collect::<Result<_>>()?;
    let mut insert = QueryBuilder::<Db>::new(
        "INSERT INTO trial_differences (tenant, trial, connection, resource, account, kind, difference, collides, name_key) ",
    );
    insert.push_values(differences.iter().zip(texts), |mut row, (NewDifference { person, name_key }, text)| {
        row.push_bind(tenant.as_str())
            .push_bind(trial)
            .push_bind(person.connection.as_str())
            .push_bind(person.user.as_str())
            .push_bind(person.account.as_str())
            .push_bind(person.difference.kind.word())
            .push_bind(text)
            .push_bind(false)
            .push_bind(name_key);
    });
    insert.push(
        " ON CONFLICT (tenant, trial, connection, resource)
          DO UPDATE SET kind = excluded.kind, difference = excluded.difference, name_key = excluded.name_key",
    );
    // The number of rows varies: a statement kept for each would push out those that requests make.
    insert.build().persistent(false).execute(conn).await?;
    Ok(())
}

/// Marks the accounts whose new name another account has and keeps, or gets as well. Returns how many.
async fn collide(conn: &mut Conn, tenant: &TenantId, trial: &str) -> Result<u64> {
    let marked = sqlx::query(
        "UPDATE trial_differences SET collides = TRUE WHERE tenant = $1 AND trial = $2 AND name_key IS NOT NULL AND (
             EXISTS (SELECT 1 FROM trial_differences o WHERE o.tenant = $1 AND o.trial = $2 AND o.name_key = trial_differences.name_key
                     AND o.account <> trial_differences.account)
             OR EXISTS (SELECT 1 FROM accounts a WHERE a.tenant = $1 AND a.name_key = trial_differences.name_key
                        AND a.account <> trial_differences.account
                        AND NOT EXISTS (SELECT 1 FROM trial_differences m JOIN links l ON l.tenant = m.tenant
                                            AND l.connection = m.connection AND l.resource = m.resource
                                        WHERE l.tenant = $1 AND l.account = a.account AND m.trial = $2 AND m.name_key IS NOT NULL)))",
    )
    .bind(tenant.as_str())
    .bind(trial)
    .execute(conn)
    .await?;
    Ok(marked.rows_affected())
}

/// Ends a running trial.
pub(super) async fn end(
    conn: &mut Conn,
    scope: &Scope,
    trial: &str,
    state: TrialState,
    problem: Option<&str>,
    at: Instant,
) -> Result<Trial> {
    let done = sqlx::query(
        "UPDATE trials SET state = $3, problem = $4, finished = $5, due_at = NULL WHERE tenant = $1 AND trial = $2 AND state = 'running'",
    )
    .bind(scope.tenant.as_str())
    .bind(trial)
    .bind(state.word())
    .bind(problem)
    .bind(at.0)
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 1 {
        ended(conn, scope, trial, at).await?;
    }
    find(conn, &scope.tenant, trial).await?.ok_or(StoreError::Missing("trial"))
}

async fn ended(conn: &mut Conn, scope: &Scope, trial: &str, at: Instant) -> Result<()> {
    let Some(trial) = find(conn, &scope.tenant, trial).await? else { return Ok(()) };
    let summary = &trial.summary;
    let data = json!({
        "trial": trial.id, "kind": trial.kind, "revision": trial.revision, "state": trial.state, "people": summary.people,
        "different": summary.different, "turned_away": summary.turned_away,
    });
    record(conn, scope, &trial.actor, at, "trial.ended", data).await
}

/// What differs for whom.
pub(super) const DIFFERENCES: &str = "SELECT connection, resource, account, difference, collides FROM trial_differences
     WHERE tenant = $1 AND trial = $2 AND (connection, resource) > ($3, $4) ORDER BY connection, resource LIMIT +$5";

/// The same, of one kind. As a range over the index that begins with it: as an equality, SQLite takes the key and goes through the others.
pub(super) const DIFFERENCES_OF: &str = "SELECT connection, resource, account, difference, collides FROM trial_differences
     WHERE tenant = $1 AND trial = $2 AND (kind, connection, resource) > ($6, $3, $4) AND kind <= $6
     ORDER BY kind, connection, resource LIMIT +$5";

/// What differs for whom, behind a place.
pub(super) async fn differences(
    conn: &mut Conn,
    tenant: &TenantId,
    trial: &str,
    kind: Option<DifferenceKind>,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<PersonDifference>> {
    let (connection, user) = after.map_or(("", ""), |(connection, user)| (connection.as_str(), user.as_str()));
    let asked = sqlx::query(if kind.is_some() { DIFFERENCES_OF } else { DIFFERENCES });
    let asked = asked.bind(tenant.as_str()).bind(trial).bind(connection).bind(user).bind(limit);
    let rows = match kind {
        Some(kind) => asked.bind(kind.word()).fetch_all(conn).await?,
        None => asked.fetch_all(conn).await?,
    };
    rows.iter()
        .map(|row| {
            let difference: Difference = json_of(row.try_get("difference")?, "a difference")?;
            Ok(PersonDifference {
                connection: ConnectionId(row.try_get("connection")?),
                user: ResourceId(row.try_get("resource")?),
                account: crate::model::AccountId(row.try_get("account")?),
                difference: Difference { collides: row.try_get("collides")?, ..difference },
            })
        })
        .collect()
}

/// Removes what old trials have left.
pub(super) async fn forget(conn: &mut Conn, tenant: &TenantId, before: Instant, keep: i64, limit: i64) -> Result<u64> {
    let old: Option<String> = sqlx::query_scalar(
        "SELECT trial FROM trials WHERE tenant = $1 AND state <> 'running' AND (finished < $2 OR trial NOT IN (
             SELECT newest.trial FROM (SELECT trial FROM trials WHERE tenant = $1 ORDER BY started DESC, trial DESC LIMIT +$3) AS newest))
         ORDER BY started LIMIT 1",
    )
    .bind(tenant.as_str())
    .bind(before.0)
    .bind(keep)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(old) = old else { return Ok(0) };
    let gone = sqlx::query(concat!(
        "DELETE FROM trial_differences WHERE tenant = $1 AND trial = $2 AND ",
        these!("connection, resource", " FROM trial_differences WHERE tenant = $1 AND trial = $2 ORDER BY connection, resource LIMIT +$3")
    ))
    .bind(tenant.as_str())
    .bind(&old)
    .bind(limit)
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if gone == limit.unsigned_abs() {
        return Ok(gone);
    }
    sqlx::query("DELETE FROM trials WHERE tenant = $1 AND trial = $2").bind(tenant.as_str()).bind(&old).execute(conn).await?;
    // There may be another one.
    Ok(limit.unsigned_abs())
}

/// How many people the tenant has, as far as `most`.
pub(super) async fn count_people(conn: &mut Conn, tenant: &TenantId, most: i64) -> Result<i64> {
    let count = sqlx::query_scalar("SELECT count(*) FROM (SELECT 1 AS one FROM evaluations WHERE tenant = $1 LIMIT +$2) AS some_people")
        .bind(tenant.as_str())
        .bind(most)
        .fetch_one(conn)
        .await?;
    Ok(count)
}

/// Swaps the active revision and leaves marking everybody to the job.
pub(super) async fn activate(conn: &mut Conn, scope: &Scope, wanted: &NewActivation, actor: &Actor, at: Instant) -> Result<()> {
    let NewActivation { revision, replaces, simulation, watch, returns, despite_changes } = wanted;
    lock_revision(conn, &scope.tenant, true).await?;
    let tenant = tenancy::find(conn, &scope.tenant).await?.ok_or(StoreError::Missing("tenant"))?;
    if !revisions::exists(conn, &scope.tenant, revision).await? {
        return Err(StoreError::Missing("revision"));
    }
    if tenant.active_revision != *replaces {
        return Err(StoreError::Conflict { what: "revision" });
    }
    if replaces.as_ref() == Some(revision) {
        return Ok(());
    }
    sqlx::query("UPDATE tenants SET active_revision = $2 WHERE tenant = $1")
        .bind(scope.tenant.as_str())
        .bind(revision.as_str())
        .execute(&mut *conn)
        .await?;
    let before = if returns.is_some() { ActivationState::Returned } else { ActivationState::Superseded };
    sqlx::query("UPDATE activations SET state = $2, reason = $3 WHERE tenant = $1 AND state = 'active'")
        .bind(scope.tenant.as_str())
        .bind(before.word())
        .bind(returns)
        .execute(&mut *conn)
        .await?;
    sqlx::query("UPDATE activations SET state = 'dropped' WHERE tenant = $1 AND state = 'held'")
        .bind(scope.tenant.as_str())
        .execute(&mut *conn)
        .await?;
    insert(conn, scope, wanted, (ActivationState::Active, None), actor, at).await?;
    fan_out(conn, &scope.tenant, Below::Tenant, Cause::Activation, at).await?;
    let data = json!({"revision": revision, "replaces": replaces});
    let (kind, data) = match returns {
        Some(reason) => ("revision.returned", json!({"revision": revision, "replaces": replaces, "reason": reason})),
        None if simulation.is_some() || watch.is_some() => {
            let limit = watch.map(|watch| watch.limit);
            let mut data = json!({"revision": revision, "replaces": replaces, "simulation": simulation, "limit": limit});
            if let Some(DespiteChanges { reason, moved }) = despite_changes {
                data["despite_changes"] = json!({"reason": reason, "moved": moved});
            }
            ("revision.activated", data)
        }
        None => ("revision.activated", data),
    };
    record(conn, scope, actor, at, kind, data).await
}

async fn insert(
    conn: &mut Conn,
    scope: &Scope,
    wanted: &NewActivation,
    (state, reason): (ActivationState, Option<&str>),
    actor: &Actor,
    at: Instant,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO activations (tenant, number, revision, replaces, at, actor_kind, actor_id, simulation, state, reason, watch_until,
                                  limit_people, faults, refused, out_of_scope)
         VALUES ($1, (SELECT COALESCE(max(number), 0) + 1 FROM activations WHERE tenant = $1), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
                 0, 0, 0)",
    )
    .bind(scope.tenant.as_str())
    .bind(wanted.revision.as_str())
    .bind(wanted.replaces.as_ref().map(RevisionHash::as_str))
    .bind(at.0)
    .bind(&actor.kind)
    .bind(&actor.id)
    .bind(&wanted.simulation)
    .bind(state.word())
    .bind(reason)
    .bind(wanted.watch.map(|watch| watch.until.0))
    .bind(wanted.watch.map(|watch| watch.limit))
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that a revision waits for somebody.
pub(super) async fn hold(conn: &mut Conn, scope: &Scope, wanted: &NewActivation, reason: &str, actor: &Actor, at: Instant) -> Result<()> {
    lock_revision(conn, &scope.tenant, true).await?;
    let held: Option<(String, String)> =
        sqlx::query_as("SELECT revision, actor_kind FROM activations WHERE tenant = $1 ORDER BY number DESC LIMIT 1")
            .bind(scope.tenant.as_str())
            .fetch_optional(&mut *conn)
            .await?;
    // Whoever is somebody takes the place of nobody in particular, whose word is no first person's.
    if held.is_some_and(|(revision, by)| revision == wanted.revision.as_str() && (by != Actor::API_TOKEN || actor.kind != Actor::PERSON)) {
        return Ok(());
    }
    sqlx::query("UPDATE activations SET state = 'dropped' WHERE tenant = $1 AND state = 'held'")
        .bind(scope.tenant.as_str())
        .execute(&mut *conn)
        .await?;
    insert(conn, scope, wanted, (ActivationState::Held, Some(reason)), actor, at).await?;
    let data = json!({"revision": wanted.revision, "replaces": wanted.replaces, "simulation": wanted.simulation, "reason": reason});
    record(conn, scope, actor, at, "revision.held", data).await
}

macro_rules! activation_columns {
    () => {
        "number, revision, replaces, at, actor_kind, actor_id, simulation, state, reason, watch_until, limit_people, faults, refused,
         out_of_scope"
    };
}

/// The newest activation of a revision ($2), in a state ($3) where one is given. The sign keeps the planner from walking all of the tenant's in
/// their order.
pub(super) const ACTIVATION_OF: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM activations WHERE tenant = $1 AND revision = $2 AND ($3 IS NULL OR state = $3) ORDER BY +number DESC LIMIT 1"
);

/// The newest activations.
pub(super) async fn activations(conn: &mut Conn, tenant: &TenantId, limit: i64) -> Result<Vec<Activation>> {
    let statement = concat!("SELECT ", activation_columns!(), " FROM activations WHERE tenant = $1 ORDER BY number DESC LIMIT +$2");
    let rows = sqlx::query(statement).bind(tenant.as_str()).bind(limit).fetch_all(conn).await?;
    rows.iter().map(activation).collect()
}

/// The newest activation of a revision, in that state where one is named.
pub(super) async fn activation_of(
    conn: &mut Conn,
    tenant: &TenantId,
    revision: &RevisionHash,
    state: Option<ActivationState>,
) -> Result<Option<Activation>> {
    let row = sqlx::query(ACTIVATION_OF)
        .bind(tenant.as_str())
        .bind(revision.as_str())
        .bind(state.map(ActivationState::word))
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(activation).transpose()
}

fn activation(row: &Row) -> Result<Activation> {
    let until: Option<i64> = row.try_get("watch_until")?;
    let limit: Option<i64> = row.try_get("limit_people")?;
    Ok(Activation {
        number: row.try_get("number")?,
        revision: RevisionHash(row.try_get("revision")?),
        replaces: row.try_get::<Option<String>, _>("replaces")?.map(RevisionHash),
        at: Instant(row.try_get("at")?),
        actor: Actor { kind: row.try_get("actor_kind")?, id: row.try_get("actor_id")? },
        simulation: row.try_get("simulation")?,
        state: word(row.try_get("state")?, ActivationState::from_word)?,
        reason: row.try_get("reason")?,
        watch: until.zip(limit).map(|(until, limit)| Watch { limit, until: Instant(until) }),
        turned_away: TurnedAway {
            faults: row.try_get("faults")?,
            refused: row.try_get("refused")?,
            out_of_scope: row.try_get("out_of_scope")?,
        },
    })
}

/// Adds people whom the active revision turned away.
pub(super) async fn turn_away(conn: &mut Conn, tenant: &TenantId, number: i64, people: TurnedAway) -> Result<Option<TurnedAway>> {
    let totals: Option<(i64, i64, i64)> = sqlx::query_as(
        "UPDATE activations SET faults = faults + $3, refused = refused + $4, out_of_scope = out_of_scope + $5
         WHERE tenant = $1 AND number = $2 AND state = 'active' RETURNING faults, refused, out_of_scope",
    )
    .bind(tenant.as_str())
    .bind(number)
    .bind(people.faults)
    .bind(people.refused)
    .bind(people.out_of_scope)
    .fetch_optional(conn)
    .await?;
    Ok(totals.map(|(faults, refused, out_of_scope)| TurnedAway { faults, refused, out_of_scope }))
}
