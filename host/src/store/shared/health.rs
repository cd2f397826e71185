//! Connections' health: what was counted within slots, what the rules look at beside that, and what was made of it.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{QueryBuilder, Row as _};

use super::rows::{Row, json as json_of, word};
use super::{Conn, Db, Scope, holds, tenancy, text_list};
use crate::model::{
    Actor, ConnectionId, ConnectionState, Distance, DriftCounts, GuardScope, HealthSettings, HoldState, Instant, NewEvent, Standing,
    TenantId, Traffic,
};
use crate::store::{Counted, HEALTH_PEOPLE_LIMIT, HealthCase, KeptHealth, Result, SLOTS_AT_ONCE};

/// Rows of one INSERT.
const INSERT_BATCH: usize = 500;
/// Open holds that are looked at.
const HOLDS_LIMIT: i64 = 1_000;
/// Refused requests of the last day that are looked at, the newest first.
const REFUSED_LIMIT: i64 = 5_000;
/// Over which time refusals of one resource are counted, in seconds.
const REPEATED_SECONDS: i64 = 86_400;

/// Compared exports that are looked at, the newest first.
const LISTED_LIMIT: i64 = 1_000;
/// For how long an export says something of what is stored, in seconds.
const LISTED_SECONDS: i64 = 30 * 86_400;

/// The connections with what was learned of them.
pub(super) const CONNECTIONS: &str =
    "SELECT c.connection, c.name, c.state, h.settings, h.memory, h.health, COALESCE(h.taken_in, 0) AS taken_in,
            COALESCE(h.version, 0) AS version
     FROM connections c LEFT JOIN connection_health h ON h.tenant = c.tenant AND h.connection = c.connection
     WHERE c.tenant = $1 AND ($2 IS NULL OR c.connection = $2) ORDER BY c.connection";
/// What was counted and is not taken in yet.
pub(super) const NOT_TAKEN_IN: &str = "SELECT t.connection, t.slot, t.requests, t.lists, t.writes, t.applied, t.no_op, t.refused, t.failed,
            t.limited, t.wrong, t.skewed
     FROM connections c LEFT JOIN connection_health h ON h.tenant = c.tenant AND h.connection = c.connection
     JOIN connection_traffic t ON t.tenant = c.tenant AND t.connection = c.connection AND t.slot > COALESCE(h.taken_in, 0)
     WHERE c.tenant = $1 AND ($2 IS NULL OR c.connection = $2) ORDER BY t.connection, t.slot LIMIT $3";
/// The credentials that can be used: how many, how many of them have no end, and the last end.
pub(super) const CREDENTIALS: &str = "SELECT connection, count(*), count(*) - count(expires), max(expires) FROM connection_tokens
     WHERE tenant = $1 AND (expires IS NULL OR expires > $2) GROUP BY connection";
/// The connections with an issuer: its JWTs have no end that is known here.
pub(super) const ISSUERS: &str = "SELECT connection FROM connection_issuers WHERE tenant = $1";
/// The people for whom there is no decision, by what failed.
pub(super) const FAULTY: &str = "SELECT connection, code, count(*) FROM
         (SELECT l.connection, substr(a.note, 10, 12) AS code FROM accounts a JOIN links l ON l.tenant = a.tenant AND l.account = a.account
          WHERE a.tenant = $1 AND substr(a.note, 10, 12) IN ('plugin_fault', 'policy_error') LIMIT $2) AS faulty
     GROUP BY connection, code";
/// As many people of some connections as matter.
pub(super) const PEOPLE: &str = concat!(
    "SELECT c.connection, (SELECT count(*) FROM (SELECT 1 FROM links l WHERE l.tenant = c.tenant AND l.connection = c.connection LIMIT $3) AS counted)
     FROM connections c WHERE c.tenant = $1 AND ",
    any_of!("c.connection", "$2")
);
/// The people whom no worker has taken up although they are due.
pub(super) const OVERDUE: &str = "SELECT connection, count(*), min(due_at) FROM
         (SELECT connection, due_at FROM evaluations WHERE tenant = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3) AS overdue
     GROUP BY connection";
/// The resources that were refused within a day, with how often.
pub(super) const REFUSED: &str = "SELECT connection, kind, resource, count(*) AS times FROM
         (SELECT connection, kind, resource FROM provisioning_log
          WHERE tenant = $1 AND at > $2 AND refused > 0 AND resource IS NOT NULL ORDER BY at DESC LIMIT $3) AS refused
     GROUP BY connection, kind, resource HAVING count(*) > 1 ORDER BY times DESC, resource";
/// What was counted of a connection.
pub(super) const TRAFFIC: &str = "SELECT connection, slot, requests, lists, writes, applied, no_op, refused, failed, limited, wrong, skewed
     FROM connection_traffic WHERE tenant = $1 AND connection = $2 AND slot >= $3 ORDER BY slot LIMIT $4";

/// Adds to what was counted.
pub(super) async fn add_traffic(conn: &mut Conn, tenant: &TenantId, counted: &[&Counted]) -> Result<()> {
    for chunk in counted.chunks(INSERT_BATCH) {
        let mut insert = QueryBuilder::<Db>::new(
            "INSERT INTO connection_traffic (tenant, connection, slot, requests, lists, writes, applied, no_op, refused, failed, limited,
                                             wrong, skewed) ",
        );
        insert.push_values(chunk, |mut row, counted| {
            let Traffic { requests, lists, writes, applied, no_op, refused, failed, limited, wrong, skewed } = counted.traffic;
            row.push_bind(tenant.as_str()).push_bind(counted.connection.as_str()).push_bind(counted.slot.0);
            for count in [requests, lists, writes, applied, no_op, refused, failed, limited, wrong, skewed] {
                row.push_bind(count);
            }
        });
        insert.push(
            " ON CONFLICT (tenant, connection, slot) DO UPDATE SET
                  requests = connection_traffic.requests + excluded.requests, lists = connection_traffic.lists + excluded.lists,
                  writes = connection_traffic.writes + excluded.writes, applied = connection_traffic.applied + excluded.applied,
                  no_op = connection_traffic.no_op + excluded.no_op, refused = connection_traffic.refused + excluded.refused,
                  failed = connection_traffic.failed + excluded.failed, limited = connection_traffic.limited + excluded.limited,
                  wrong = connection_traffic.wrong + excluded.wrong, skewed = connection_traffic.skewed + excluded.skewed",
        );
        // The number of rows varies: a statement kept for each would push out those that requests make.
        insert.build().persistent(false).execute(&mut *conn).await?;
    }
    Ok(())
}

fn counted(row: &Row) -> Result<(String, Instant, Traffic)> {
    let traffic = Traffic {
        requests: row.try_get("requests")?,
        lists: row.try_get("lists")?,
        writes: row.try_get("writes")?,
        applied: row.try_get("applied")?,
        no_op: row.try_get("no_op")?,
        refused: row.try_get("refused")?,
        failed: row.try_get("failed")?,
        limited: row.try_get("limited")?,
        wrong: row.try_get("wrong")?,
        skewed: row.try_get("skewed")?,
    };
    Ok((row.try_get("connection")?, Instant(row.try_get("slot")?), traffic))
}

/// What connections are judged by.
pub(super) async fn cases(conn: &mut Conn, tenant: &TenantId, only: Option<&ConnectionId>, now: Instant) -> Result<Vec<HealthCase>> {
    let only = only.map(ConnectionId::as_str);
    let rows = sqlx::query(CONNECTIONS).bind(tenant.as_str()).bind(only).fetch_all(&mut *conn).await?;
    let mut cases = BTreeMap::new();
    for row in &rows {
        let case = case(row)?;
        cases.insert(case.connection.0.clone(), case);
    }
    if cases.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(NOT_TAKEN_IN).bind(tenant.as_str()).bind(only).bind(SLOTS_AT_ONCE).fetch_all(&mut *conn).await?;
    for row in &rows {
        let (connection, slot, traffic) = counted(row)?;
        if let Some(case) = cases.get_mut(&connection) {
            case.counted.push((slot, traffic));
        }
    }
    credentials(conn, tenant, now, &mut cases).await?;
    people(conn, tenant, now, &mut cases).await?;
    held(conn, tenant, &mut cases).await?;
    refused(conn, tenant, now, &mut cases).await?;
    listed(conn, tenant, now, &mut cases).await?;
    Ok(cases.into_values().collect())
}

fn case(row: &Row) -> Result<HealthCase> {
    let state = word(row.try_get("state")?, ConnectionState::from_word)?;
    let json = |column| row.try_get::<Option<&str>, _>(column);
    Ok(HealthCase {
        connection: ConnectionId(row.try_get("connection")?),
        name: row.try_get("name")?,
        state,
        standing: Standing { paused: state == ConnectionState::Paused, staging: state == ConnectionState::Staging, ..Standing::default() },
        settings: json("settings")?.map(|text| json_of(text, "settings of a connection's health")).transpose()?,
        memory: row.try_get("memory")?,
        health: json("health")?.map(|text| json_of(text, "a connection's health")).transpose()?,
        counted: Vec::new(),
        taken_in: Instant(row.try_get("taken_in")?),
        version: row.try_get("version")?,
    })
}

type Cases = BTreeMap<String, HealthCase>;

async fn credentials(conn: &mut Conn, tenant: &TenantId, now: Instant, cases: &mut Cases) -> Result<()> {
    let live: Vec<(String, i64, i64, Option<i64>)> =
        sqlx::query_as(CREDENTIALS).bind(tenant.as_str()).bind(now.0).fetch_all(&mut *conn).await?;
    for (connection, count, endless, last) in live {
        if let Some(case) = cases.get_mut(&connection) {
            case.standing.credentials = count;
            case.standing.credentials_end = last.filter(|_| endless == 0).map(Instant);
        }
    }
    let issuers: Vec<String> = sqlx::query_scalar(ISSUERS).bind(tenant.as_str()).fetch_all(conn).await?;
    for connection in issuers {
        if let Some(case) = cases.get_mut(&connection) {
            case.standing.credentials += 1;
            case.standing.credentials_end = None;
        }
    }
    Ok(())
}

async fn people(conn: &mut Conn, tenant: &TenantId, now: Instant, cases: &mut Cases) -> Result<()> {
    let faulty: Vec<(String, String, i64)> =
        sqlx::query_as(FAULTY).bind(tenant.as_str()).bind(HEALTH_PEOPLE_LIMIT).fetch_all(&mut *conn).await?;
    let mut concerned = Vec::new();
    for (connection, code, count) in faulty {
        let Some(case) = cases.get_mut(&connection) else { continue };
        match code.as_str() {
            "plugin_fault" => case.standing.plugin_faults = count,
            _ => case.standing.policy_errors = count,
        }
        concerned.push(connection);
    }
    if !concerned.is_empty() {
        let named = text_list(concerned.iter().map(String::as_str));
        let people: Vec<(String, i64)> =
            sqlx::query_as(PEOPLE).bind(tenant.as_str()).bind(named).bind(HEALTH_PEOPLE_LIMIT).fetch_all(&mut *conn).await?;
        for (connection, count) in people {
            if let Some(case) = cases.get_mut(&connection) {
                case.standing.people = count;
            }
        }
    }
    let overdue: Vec<(String, i64, i64)> =
        sqlx::query_as(OVERDUE).bind(tenant.as_str()).bind(now.0).bind(HEALTH_PEOPLE_LIMIT).fetch_all(conn).await?;
    for (connection, count, since) in overdue {
        if let Some(case) = cases.get_mut(&connection) {
            (case.standing.pending, case.standing.pending_since) = (count, Some(Instant(since)));
        }
    }
    Ok(())
}

/// Holds of whole connections: those of roles and revisions are of several.
async fn held(conn: &mut Conn, tenant: &TenantId, cases: &mut Cases) -> Result<()> {
    let open = holds::holds(conn, tenant, Some(HoldState::Open), None, HOLDS_LIMIT).await?;
    for hold in open.into_iter().filter(|hold| hold.scope == GuardScope::Connection && hold.people > 0) {
        let Some(case) = cases.get_mut(&hold.of) else { continue };
        case.standing.holds += 1;
        let most = case.standing.held.get_or_insert((hold.people, hold.limit));
        if hold.people.saturating_mul(most.1.max(1)) > most.0.saturating_mul(hold.limit.max(1)) {
            *most = (hold.people, hold.limit);
        }
    }
    Ok(())
}

/// Compared exports, the newest first.
pub(super) const LISTED: &str = "SELECT connection, distance, counts FROM reconciliations
     WHERE tenant = $1 AND created > $2 AND is_complete AND state <> 'loading' AND state <> 'abandoned'
     ORDER BY created DESC LIMIT $3";

async fn listed(conn: &mut Conn, tenant: &TenantId, now: Instant, cases: &mut Cases) -> Result<()> {
    let since = now.plus_seconds(-LISTED_SECONDS);
    let found: Vec<(String, i64, String)> =
        sqlx::query_as(LISTED).bind(tenant.as_str()).bind(since.0).bind(LISTED_LIMIT).fetch_all(conn).await?;
    for (connection, people, counts) in found {
        let Some(case) = cases.get_mut(&connection) else { continue };
        match &mut case.standing.distance {
            None => {
                let counts: DriftCounts = json_of(&counts, "the numbers of a reconciliation")?;
                case.standing.distance = Some(Distance { people, before: None, stored: counts.stored });
            }
            Some(last) if last.before.is_none() => last.before = Some(people),
            Some(_) => {}
        }
    }
    Ok(())
}

async fn refused(conn: &mut Conn, tenant: &TenantId, now: Instant, cases: &mut Cases) -> Result<()> {
    let since = now.plus_seconds(-REPEATED_SECONDS);
    let refused: Vec<(String, Option<String>, String, i64)> =
        sqlx::query_as(REFUSED).bind(tenant.as_str()).bind(since.0).bind(REFUSED_LIMIT).fetch_all(conn).await?;
    for (connection, kind, resource, times) in refused {
        let Some(case) = cases.get_mut(&connection) else { continue };
        let what = kind.as_deref().unwrap_or("resource");
        // The most often refused comes first.
        case.standing.repeated.get_or_insert_with(|| (format!("{what} {resource}"), times));
    }
    Ok(())
}

/// Keeps judgements that were made from what is stored still.
pub(super) async fn keep(conn: &mut Conn, scope: &Scope, kept: &[KeptHealth], actor: &Actor, at: Instant) -> Result<Vec<ConnectionId>> {
    let mut done = Vec::new();
    for one in kept {
        let written = sqlx::query(
            "INSERT INTO connection_health (tenant, connection, memory, health, taken_in, version)
             SELECT tenant, connection, $3, $4, $5, $6 + 1 FROM connections WHERE tenant = $1 AND connection = $2
             ON CONFLICT (tenant, connection) DO UPDATE SET
                 memory = excluded.memory, health = excluded.health, taken_in = excluded.taken_in, version = excluded.version
             WHERE connection_health.version = $6",
        )
        .bind(scope.tenant.as_str())
        .bind(one.connection.as_str())
        .bind(&one.memory)
        .bind(json!(one.health).to_string())
        .bind(one.taken_in.0)
        .bind(one.version)
        .execute(&mut *conn)
        .await?;
        if written.rows_affected() == 0 {
            continue;
        }
        if let Some(state) = one.becomes {
            tenancy::set_connection_state(conn, scope, &one.connection, state, actor, at).await?;
        }
        if let Some(NewEvent { kind, data, .. }) = &one.event {
            tenancy::record(conn, scope, actor, at, kind, data.clone()).await?;
        }
        done.push(one.connection.clone());
    }
    Ok(done)
}

/// Sets the measures.
pub(super) async fn put_settings(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    settings: Option<&HealthSettings>,
    actor: &Actor,
    at: Instant,
) -> Result<()> {
    let name = tenancy::lock_connection(conn, &scope.tenant, connection).await?;
    sqlx::query(
        "INSERT INTO connection_health (tenant, connection, settings, taken_in, version) VALUES ($1, $2, $3, 0, 1)
         ON CONFLICT (tenant, connection) DO UPDATE SET settings = excluded.settings, version = connection_health.version + 1",
    )
    .bind(scope.tenant.as_str())
    .bind(connection.as_str())
    .bind(settings.map(|settings| json!(settings).to_string()))
    .execute(&mut *conn)
    .await?;
    let data = json!({"connection": connection, "name": name, "settings": settings});
    tenancy::record(conn, scope, actor, at, "connection.health_settings", data).await
}

/// What was counted of a connection.
pub(super) async fn traffic(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    since: Instant,
    limit: i64,
) -> Result<Vec<(Instant, Traffic)>> {
    let rows = sqlx::query(TRAFFIC).bind(tenant.as_str()).bind(connection.as_str()).bind(since.0).bind(limit).fetch_all(conn).await?;
    rows.iter().map(|row| counted(row).map(|(_, slot, traffic)| (slot, traffic))).collect()
}

/// Removes what is too old.
pub(super) async fn forget(conn: &mut Conn, tenant: &TenantId, before: Instant, limit: i64) -> Result<u64> {
    let gone = sqlx::query(
        "DELETE FROM connection_traffic WHERE tenant = $1 AND (connection, slot) IN
             (SELECT connection, slot FROM connection_traffic WHERE tenant = $1 AND slot < $2 ORDER BY slot LIMIT $3)",
    )
    .bind(tenant.as_str())
    .bind(before.0)
    .bind(limit)
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
