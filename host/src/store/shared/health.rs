//! Connections' health: what was counted within slots, what the rules look at beside that, and what was made of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::{QueryBuilder, Row as _};

use super::rows::{Row, json as json_of, word};
use super::{Conn, Db, Scope, guard, tenancy};
use crate::model::{
    Actor, ConnectionId, ConnectionState, Distance, DriftCounts, GuardScope, Health, HealthSettings, Instant, NewEvent, Restored, Standing,
    TenantId, Traffic,
};
use crate::store::{Counted, HEALTH_PEOPLE_LIMIT, HealthCase, KeptHealth, Result, SLOTS_AT_ONCE, StoreError};

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

/// What connections are judged by, in one statement: rows of several kinds, `part` says of which. A host asks it of each tenant every few
/// seconds, and eight statements were eight trips. In their order: the connections with what was learned of them; what was counted and is not
/// taken in yet; the credentials that can be used (how many, how many of them have no end, the last end) with the issuers, whose JWTs have no
/// end that is known here; the people for whom there is no decision, by what failed, beside as many people as matter; the people whom no worker has
/// taken up although they are due; the open holds (of whole connections and of others); the resources that were refused within a day, with how
/// often; the exports that were compared.
///
/// What is not taken in yet is stepped to from slot to slot: few of the thousands that are kept, and a planner that expects a third of them reads all. (`CROSS JOIN` is what SQLite keeps the order of.)
pub(super) const CASES: &str = "
    WITH RECURSIVE fresh(connection, slot, step) AS (
        SELECT c.connection, COALESCE(h.taken_in, 0), 0
        FROM connections c LEFT JOIN connection_health h ON h.tenant = c.tenant AND h.connection = c.connection
        WHERE c.tenant = $1 AND ($2 IS NULL OR c.connection = $2)
        UNION ALL
        SELECT f.connection,
               (SELECT min(t.slot) FROM connection_traffic t WHERE t.tenant = $1 AND t.connection = f.connection AND t.slot > f.slot), 1
        FROM fresh f WHERE f.slot IS NOT NULL)
    SELECT 'connection' AS part, c.connection, c.name AS word, c.state AS what, h.settings, h.memory, h.health, c.restored,
           COALESCE(h.taken_in, 0) AS n0, COALESCE(h.version, 0) AS n1, CAST(NULL AS BIGINT) AS n2, CAST(NULL AS BIGINT) AS n3,
           CAST(NULL AS BIGINT) AS n4, CAST(NULL AS BIGINT) AS n5, CAST(NULL AS BIGINT) AS n6, CAST(NULL AS BIGINT) AS n7,
           CAST(NULL AS BIGINT) AS n8, CAST(NULL AS BIGINT) AS n9, CAST(NULL AS BIGINT) AS n10
    FROM connections c LEFT JOIN connection_health h ON h.tenant = c.tenant AND h.connection = c.connection
    WHERE c.tenant = $1 AND ($2 IS NULL OR c.connection = $2)
    UNION ALL
        SELECT 'counted', connection, NULL, NULL, NULL, NULL, NULL, NULL, slot, requests, lists, writes, applied, no_op, refused, failed, limited,
               wrong, skewed
        FROM (SELECT t.* FROM fresh f CROSS JOIN connection_traffic t
              WHERE f.step = 1 AND t.tenant = $1 AND t.connection = f.connection AND t.slot = f.slot ORDER BY t.connection, t.slot LIMIT +$3) AS counted
    UNION ALL
        SELECT 'credentials', connection, NULL, NULL, NULL, NULL, NULL, NULL, count(*), count(*) - count(expires), max(expires), NULL, NULL, NULL,
               NULL, NULL, NULL, NULL, NULL
        FROM (SELECT connection, expires FROM connection_tokens WHERE tenant = $1 AND (expires IS NULL OR expires > $4)
              UNION ALL SELECT connection, NULL FROM connection_issuers WHERE tenant = $1) AS credentials
        GROUP BY connection
    UNION ALL
        SELECT 'faulty', connection, code, NULL, NULL, NULL, NULL, NULL, count(*),
               (SELECT count(*) FROM (SELECT 1 FROM links l WHERE l.tenant = $1 AND l.connection = faulty.connection ORDER BY l.resource LIMIT +$5) AS people),
               NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM (SELECT l.connection, substr(a.note, 10, 12) AS code FROM accounts a JOIN links l ON l.tenant = a.tenant AND l.account = a.account
              WHERE a.tenant = $1 AND substr(a.note, 10, 12) IN ('plugin_fault', 'policy_error') LIMIT +$5) AS faulty
        GROUP BY connection, code
    UNION ALL
        SELECT 'overdue', connection, NULL, NULL, NULL, NULL, NULL, NULL, count(*), min(due_at), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM (SELECT connection, due_at FROM evaluations WHERE tenant = $1 AND due_at <= $4 ORDER BY due_at LIMIT +$5) AS overdue
        GROUP BY connection
    UNION ALL
        SELECT 'hold', guard, NULL, NULL, NULL, NULL, NULL, NULL, limit_people, people, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM (SELECT h.guard, h.limit_people,
                     (SELECT count(DISTINCT r.account) FROM rulings r WHERE r.tenant = h.tenant AND r.hold = h.hold AND r.state = 'open') AS people
              FROM holds h WHERE h.tenant = $1 AND h.state = 'open' ORDER BY h.opened DESC, h.hold DESC LIMIT +$8) AS held
    UNION ALL
        SELECT 'refused', connection, resource, kind, NULL, NULL, NULL, NULL, count(*), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM (SELECT connection, kind, resource FROM provisioning_log
              WHERE tenant = $1 AND at > $6 AND refused > 0 AND resource IS NOT NULL ORDER BY at DESC LIMIT +$7) AS refused
        GROUP BY connection, kind, resource HAVING count(*) > 1
    UNION ALL
        SELECT 'listed', connection, NULL, NULL, counts, NULL, NULL, NULL, distance, created, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM (SELECT connection, distance, counts, created FROM reconciliations
              WHERE tenant = $1 AND created > $9 AND is_complete AND state <> 'loading' AND state <> 'abandoned'
              ORDER BY created DESC LIMIT +$10) AS listed";
/// What was counted of a connection.
pub(super) const TRAFFIC: &str = "SELECT connection, slot, requests, lists, writes, applied, no_op, refused, failed, limited, wrong, skewed
     FROM connection_traffic WHERE tenant = $1 AND connection = $2 AND slot >= $3 ORDER BY slot LIMIT +$4";

/// Adds to what was counted.
pub(super) async fn add_traffic(conn: &mut Conn, tenant: &TenantId, counted: &[&Counted]) -> Result<()> {
    for chunk in counted.chunks(INSERT_BATCH) {
        let mut insert = QueryBuilder::<Db>::new(
            "INSERT INTO connection_traffic (tenant, connection, slot, requests, lists, writes, applied, no_op, refused, failed, limited,
                                             wrong, skewed) ",
        );
        insert.push_values(chunk, |mut row, counted| {
            row.push_bind(tenant.as_str()).push_bind(counted.connection.as_str()).push_bind(counted.slot.0);
            for count in counted.traffic.counts() {
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

/// What connections are judged by: [`CASES`].
pub(super) async fn cases(conn: &mut Conn, tenant: &TenantId, only: Option<&ConnectionId>, now: Instant) -> Result<Vec<HealthCase>> {
    let asked = sqlx::query(CASES).bind(tenant.as_str()).bind(only.map(ConnectionId::as_str)).bind(SLOTS_AT_ONCE).bind(now.0);
    let asked = asked.bind(HEALTH_PEOPLE_LIMIT).bind(now.plus_seconds(-REPEATED_SECONDS).0).bind(REFUSED_LIMIT).bind(HOLDS_LIMIT);
    let asked = asked.bind(now.plus_seconds(-LISTED_SECONDS).0).bind(LISTED_LIMIT);
    let rows = asked.fetch_all(conn).await?;
    let (connections, others): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.try_get("part").is_ok_and(|part: &str| part == "connection"));
    let mut cases = Cases::new();
    for row in connections {
        let case = case(row)?;
        cases.insert(case.connection.0.clone(), case);
    }
    let (mut exports, others): (Vec<&Row>, Vec<&Row>) =
        others.into_iter().partition(|row| row.try_get("part").is_ok_and(|part: &str| part == "listed"));
    for row in others {
        add(row, &mut cases)?;
    }
    exports.sort_by_key(|row| std::cmp::Reverse(row.try_get::<i64, _>("n1").unwrap_or_default()));
    for row in exports {
        listed(row, &mut cases)?;
    }
    let mut cases: Vec<HealthCase> = cases.into_values().collect();
    for case in &mut cases {
        case.counted.sort_by_key(|(slot, _)| *slot);
    }
    Ok(cases)
}

type Cases = BTreeMap<String, HealthCase>;

fn case(row: &Row) -> Result<HealthCase> {
    let state = word(row.try_get("what")?, ConnectionState::from_word)?;
    let json = |column| row.try_get::<Option<&str>, _>(column);
    Ok(HealthCase {
        connection: ConnectionId(row.try_get("connection")?),
        name: row.try_get("word")?,
        state,
        standing: Standing {
            paused: state == ConnectionState::Paused,
            restored: restored(row)?.filter(|_| state == ConnectionState::Restored),
            staging: state == ConnectionState::Staging,
            ..Standing::default()
        },
        settings: json("settings")?.map(|text| json_of(text, "settings of a connection's health")).transpose()?,
        memory: row.try_get("memory")?,
        health: json("health")?.map(|text| json_of(text, "a connection's health")).transpose()?,
        counted: Vec::new(),
        taken_in: Instant(row.try_get("n0")?),
        version: row.try_get("n1")?,
    })
}

/// What a row of a connection remembers of a restore.
pub(super) fn restored(row: &Row) -> Result<Option<Restored>> {
    let text: Option<&str> = row.try_get("restored")?;
    text.map(|text| json_of(text, "what a restore made of a connection")).transpose()
}

/// Adds to a connection's case what a row says of it.
fn add(row: &Row, cases: &mut Cases) -> Result<()> {
    let (part, of): (&str, &str) = (row.try_get("part")?, row.try_get("connection")?);
    if part == "hold" {
        return held(row, of, cases);
    }
    let Some(case) = cases.get_mut(of) else { return Ok(()) };
    let count = |column: &str| row.try_get::<i64, _>(column);
    match part {
        "counted" => {
            let [requests, lists, writes, applied] = [count("n1")?, count("n2")?, count("n3")?, count("n4")?];
            let [no_op, refused, failed, limited] = [count("n5")?, count("n6")?, count("n7")?, count("n8")?];
            let traffic =
                Traffic { requests, lists, writes, applied, no_op, refused, failed, limited, wrong: count("n9")?, skewed: count("n10")? };
            case.counted.push((Instant(count("n0")?), traffic));
        }
        "credentials" => {
            let endless = count("n1")?;
            case.standing.credentials = count("n0")?;
            case.standing.credentials_end = row.try_get::<Option<i64>, _>("n2")?.filter(|_| endless == 0).map(Instant);
        }
        "faulty" => {
            case.standing.people = count("n1")?;
            match row.try_get::<&str, _>("word")? {
                "plugin_fault" => case.standing.plugin_faults = count("n0")?,
                _ => case.standing.policy_errors = count("n0")?,
            }
        }
        "overdue" => (case.standing.pending, case.standing.pending_since) = (count("n0")?, Some(Instant(count("n1")?))),
        "refused" => {
            let (resource, kind): (&str, Option<&str>) = (row.try_get("word")?, row.try_get("what")?);
            let found = (format!("{} {resource}", kind.unwrap_or("resource")), count("n0")?);
            // The most often refused; of those that are alike, one that stays the same.
            let is_less = |known: &(String, i64)| (known.1, &found.0) < (found.1, &known.0);
            if case.standing.repeated.as_ref().is_none_or(is_less) {
                case.standing.repeated = Some(found);
            }
        }
        _ => {}
    }
    Ok(())
}

/// How far a compared export was from what is stored: the newest first, and the one before it.
fn listed(row: &Row, cases: &mut Cases) -> Result<()> {
    let (people, of): (i64, &str) = (row.try_get("n0")?, row.try_get("connection")?);
    let Some(case) = cases.get_mut(of) else { return Ok(()) };
    match &mut case.standing.distance {
        None => {
            let counts: DriftCounts = json_of(row.try_get("settings")?, "the numbers of a reconciliation")?;
            case.standing.distance = Some(Distance { people, before: None, stored: counts.stored });
        }
        Some(last) if last.before.is_none() => last.before = Some(people),
        Some(_) => {}
    }
    Ok(())
}

/// Holds of whole connections: those of roles and revisions are of several.
fn held(row: &Row, guard: &str, cases: &mut Cases) -> Result<()> {
    let (_, scope, of) = guard::parts(guard).ok_or_else(|| StoreError::Corrupt(format!("unknown guard `{guard}`")))?;
    let (limit, people): (i64, i64) = (row.try_get("n0")?, row.try_get("n1")?);
    let Some(case) = cases.get_mut(of).filter(|_| scope == GuardScope::Connection && people > 0) else { return Ok(()) };
    case.standing.holds += 1;
    let most = case.standing.held.get_or_insert((people, limit));
    if people.saturating_mul(most.1.max(1)) > most.0.saturating_mul(limit.max(1)) {
        *most = (people, limit);
    }
    Ok(())
}

/// Keeps judgements that were made from what is stored still.
pub(super) async fn keep(conn: &mut Conn, scope: &Scope, kept: &[KeptHealth], actor: &Actor, at: Instant) -> Result<Vec<ConnectionId>> {
    let mut written = BTreeSet::new();
    for chunk in kept.chunks(INSERT_BATCH) {
        let mut insert = QueryBuilder::<Db>::new(
            "INSERT INTO connection_health (tenant, connection, memory, health, taken_in, version)
             SELECT c.tenant, c.connection, k.column2, k.column3, k.column4, k.column5 + 1 FROM (",
        );
        // Rows that name no connection fill up to a power of two: there are as few of these statements, and they can be kept prepared.
        let filled = chunk.iter().map(Some).chain(std::iter::repeat(None)).take(chunk.len().next_power_of_two());
        insert.push_values(filled, |mut row, one| {
            row.push_bind(one.map_or("", |one| one.connection.as_str())).push_bind(one.map_or("", |one| one.memory.as_str()));
            row.push_bind(one.map(|one| written_out(&one.health)).unwrap_or_default());
            row.push_bind(one.map_or(0, |one| one.taken_in.0)).push_bind(one.map_or(0, |one| one.version));
        });
        // Whoever is gone meanwhile has no row here.
        insert.push(") AS k JOIN connections c ON c.connection = k.column1 WHERE c.tenant = ").push_bind(scope.tenant.as_str());
        insert.push(
            " ON CONFLICT (tenant, connection) DO UPDATE SET
                  memory = excluded.memory, health = excluded.health, taken_in = excluded.taken_in, version = excluded.version
              WHERE connection_health.version = excluded.version - 1
              RETURNING connection",
        );
        written.extend(insert.build_query_scalar::<String>().fetch_all(&mut *conn).await?);
    }
    let mut done = Vec::new();
    for one in kept.iter().filter(|one| written.contains(one.connection.as_str())) {
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

/// A judgement as text, without the detour through a `Value`.
fn written_out(health: &Health) -> String {
    serde_json::to_string(health).expect("words, numbers and texts can be written")
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
    let gone = sqlx::query(concat!(
        "DELETE FROM connection_traffic WHERE tenant = $1 AND ",
        these!("connection, slot", " FROM connection_traffic WHERE tenant = $1 AND slot < $2 ORDER BY slot LIMIT +$3")
    ))
    .bind(tenant.as_str())
    .bind(before.0)
    .bind(limit)
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
