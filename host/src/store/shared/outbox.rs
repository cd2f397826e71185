//! The outbox: targets, and events on their way to them. One lane for each person and target keeps the order; lanes with a
//! leaver's event go first.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{QueryBuilder, Row as _};
use zeroize::Zeroizing;

use super::history;
use super::rows::Row;
use super::work::shares;
use super::{Conn, Db, Scope, tenancy, text_list};
use crate::crypto::SecretKey;
use crate::model::{Actor, Event, Instant, TenantId};
use crate::store::keys::{delivery_purpose, unsealable};
use crate::store::{DELIVERY_LEASE_SECONDS, DeliveryResult, DeliveryRoom, DueDelivery, LinkToken, Receipt, Result, StoreError, Target};

/// How much of what waits for a removed target is taken away in one transaction: others write in between.
const FORGOTTEN_AT_ONCE: i64 = 2_000;

/// Rows of one INSERT: far below both databases' limits on parameters.
const INSERT_BATCH: usize = 500;

/// An event that was appended in this transaction.
pub(super) struct Appended {
    pub(super) id: String,
    pub(super) position: i64,
    pub(super) lane: String,
    pub(super) leaver: bool,
    /// What targets alone are told with it.
    pub(super) sealed: Option<Vec<u8>>,
}

/// Queues events for every target of the tenant.
pub(super) async fn enqueue(conn: &mut Conn, scope: &Scope, at: Instant, events: &[Appended]) -> Result<()> {
    let targets: Vec<(String, bool)> =
        sqlx::query_as("SELECT target, enabled FROM targets WHERE tenant = $1 AND removed IS NULL ORDER BY target")
            .bind(scope.tenant.as_str())
            .fetch_all(&mut *conn)
            .await?;
    for (target, enabled) in &targets {
        for chunk in events.chunks(INSERT_BATCH) {
            let mut insert =
                QueryBuilder::<Db>::new("INSERT INTO deliveries (tenant, target, event, lane, position, leaver, sealed, state, attempts) ");
            insert.push_values(chunk, |mut row, event| {
                row.push_bind(scope.tenant.as_str())
                    .push_bind(target)
                    .push_bind(&event.id)
                    .push_bind(&event.lane)
                    .push_bind(event.position)
                    .push_bind(event.leaver)
                    .push_bind(event.sealed.as_deref())
                    .push("'waiting', 0");
            });
            insert.build().execute(&mut *conn).await?;
        }
        // In the order of their names, as everybody locks them.
        let mut lanes = BTreeMap::<&str, bool>::new();
        for event in events {
            *lanes.entry(&event.lane).or_default() |= event.leaver;
        }
        for (lane, leaver) in lanes {
            // A lane that waits since a restore (NULL at a target that is enabled), or because an earlier event failed, waits no longer once
            // somebody leaves: what is further away than a claim lasts is no attempt that is being made.
            sqlx::query(
                "INSERT INTO delivery_lanes (tenant, target, lane, leaver, next_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (tenant, target, lane) DO UPDATE SET leaver = delivery_lanes.leaver OR excluded.leaver,
                     next_at = CASE WHEN excluded.leaver AND delivery_lanes.next_at IS NULL THEN excluded.next_at
                                    WHEN excluded.leaver AND delivery_lanes.next_at > $6 THEN excluded.next_at
                                    ELSE delivery_lanes.next_at END",
            )
            .bind(scope.tenant.as_str())
            .bind(target)
            .bind(lane)
            .bind(leaver)
            .bind(enabled.then_some(at.0))
            .bind(at.plus_seconds(DELIVERY_LEASE_SECONDS).0)
            .execute(&mut *conn)
            .await?;
        }
    }
    Ok(())
}

/// Creates or replaces a target, and tells the tenant. A new one is not told of itself.
pub(super) async fn put_target(
    conn: &mut Conn,
    scope: &Scope,
    target: &Target,
    why: Option<&str>,
    actor: &Actor,
    at: Instant,
) -> Result<()> {
    let before = targets(conn, &scope.tenant).await?.into_iter().find(|known| known.id == target.id);
    let data = |changed: &[&str]| {
        let mut data = json!({"target": target.id, "origin": target.origin(), "enabled": target.enabled, "changed": changed});
        if let Some(why) = why {
            data["why"] = why.into();
        }
        data
    };
    if before.is_none() {
        tenancy::record(conn, scope, actor, at, "target.created", data(&[])).await?;
    }
    sqlx::query(
        "INSERT INTO targets (tenant, target, url, sealed_secret, enabled) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant, target) DO UPDATE
         SET url = excluded.url, sealed_secret = excluded.sealed_secret, enabled = excluded.enabled, removed = NULL",
    )
    .bind(target.tenant.as_str())
    .bind(&target.id)
    .bind(&target.url)
    .bind(&target.sealed_secret)
    .bind(target.enabled)
    .execute(&mut *conn)
    .await?;
    // 0 is past for every clock: what waited for the target to be enabled is due, and so is what failed by what it was before.
    let waits = if target.enabled {
        "UPDATE delivery_lanes SET next_at = 0 WHERE tenant = $1 AND target = $2 AND (next_at IS NULL OR EXISTS (
             SELECT 1 FROM deliveries d WHERE d.tenant = delivery_lanes.tenant AND d.target = delivery_lanes.target
             AND d.lane = delivery_lanes.lane AND d.state = 'waiting' AND d.attempts > 0))"
    } else {
        "UPDATE delivery_lanes SET next_at = NULL WHERE tenant = $1 AND target = $2"
    };
    sqlx::query(waits).bind(target.tenant.as_str()).bind(&target.id).execute(&mut *conn).await?;
    let Some(before) = before else { return Ok(()) };
    let changes = [("url", before.url != target.url), ("secret", before.sealed_secret != target.sealed_secret)];
    let changed: Vec<&str> = changes.into_iter().filter_map(|(what, has)| has.then_some(what)).collect();
    let kind = match (before.enabled, target.enabled) {
        (true, false) => "target.paused",
        (false, true) => "target.resumed",
        _ if changed.is_empty() => return Ok(()),
        _ => "target.changed",
    };
    tenancy::record(conn, scope, actor, at, kind, data(&changed)).await
}

/// Pauses a target that is enabled, and tells the tenant why.
pub(super) async fn pause_target(conn: &mut Conn, scope: &Scope, id: &str, why: &str, actor: &Actor, at: Instant) -> Result<()> {
    let enabled = targets(conn, &scope.tenant).await?.into_iter().find(|known| known.id == id && known.enabled);
    let Some(target) = enabled else { return Ok(()) };
    put_target(conn, scope, &Target { enabled: false, ..target }, Some(why), actor, at).await
}

/// Removes a target, and tells the tenant.
pub(super) async fn remove_target(conn: &mut Conn, scope: &Scope, id: &str, actor: &Actor, at: Instant) -> Result<()> {
    let before = targets(conn, &scope.tenant).await?.into_iter().find(|known| known.id == id).ok_or(StoreError::Missing("target"))?;
    sqlx::query("UPDATE targets SET removed = $3, enabled = FALSE, url = '', sealed_secret = $4 WHERE tenant = $1 AND target = $2")
        .bind(scope.tenant.as_str())
        .bind(id)
        .bind(at.0)
        .bind([].as_slice() as &[u8])
        .execute(&mut *conn)
        .await?;
    tenancy::record(conn, scope, actor, at, "target.removed", json!({"target": id, "origin": before.origin()})).await
}

/// What waits for a target, some of it.
pub(super) const WAITING_EVENTS: &str =
    "SELECT event FROM deliveries WHERE tenant = $1 AND target = $2 AND state = 'waiting' ORDER BY lane, position LIMIT +$3";
/// The lanes that it waits in, some of them.
pub(super) const LANES: &str = "SELECT lane FROM delivery_lanes WHERE tenant = $1 AND target = $2 ORDER BY lane LIMIT +$3";
/// Takes deliveries away.
pub(super) const FORGET_EVENTS: &str =
    concat!("DELETE FROM deliveries WHERE tenant = $1 AND target = $2 AND state = 'waiting' AND ", any_of!("event", "$3"));
/// Takes lanes away.
pub(super) const FORGET_LANES: &str = concat!("DELETE FROM delivery_lanes WHERE tenant = $1 AND target = $2 AND ", any_of!("lane", "$3"));

/// Takes away some of what waits for a target, if it was removed; whether nothing is left.
pub(super) async fn forget(conn: &mut Conn, tenant: &TenantId, target: &str) -> Result<bool> {
    let removed = "SELECT 1 FROM targets WHERE tenant = $1 AND target = $2 AND removed IS NOT NULL";
    if sqlx::query(removed).bind(tenant.as_str()).bind(target).fetch_optional(&mut *conn).await?.is_none() {
        return Ok(true);
    }
    let mut all = true;
    for (some, forget) in [(WAITING_EVENTS, FORGET_EVENTS), (LANES, FORGET_LANES)] {
        let found: Vec<String> =
            sqlx::query_scalar(some).bind(tenant.as_str()).bind(target).bind(FORGOTTEN_AT_ONCE).fetch_all(&mut *conn).await?;
        if !found.is_empty() {
            all = false;
            let found = text_list(found.iter().map(String::as_str));
            sqlx::query(forget).bind(tenant.as_str()).bind(target).bind(found).execute(&mut *conn).await?;
        }
    }
    Ok(all)
}

/// The tenant's targets, by id.
pub(super) async fn targets(conn: &mut Conn, tenant: &TenantId) -> Result<Vec<Target>> {
    let rows: Vec<(String, String, Vec<u8>, bool)> =
        sqlx::query_as("SELECT target, url, sealed_secret, enabled FROM targets WHERE tenant = $1 AND removed IS NULL ORDER BY target")
            .bind(tenant.as_str())
            .fetch_all(conn)
            .await?;
    let target = |(id, url, sealed_secret, enabled)| Target { id, tenant: tenant.clone(), url, sealed_secret, enabled };
    Ok(rows.into_iter().map(target).collect())
}

/// Tenants with due lanes of leavers (or of others), the longest waiting first.
pub(super) const DUE_TENANTS: &str = "SELECT tenant FROM (
         SELECT t.tenant, (SELECT min(l.next_at) FROM delivery_lanes l
                           WHERE l.tenant = t.tenant AND l.leaver = $2 AND l.next_at IS NOT NULL) AS due FROM tenants t
     ) AS waiting WHERE due <= $1 ORDER BY due, tenant LIMIT +$3";

/// A tenant's due lanes of leavers (or of others). A lane whose oldest event has no public number yet is passed over.
pub(super) const DUE_LANES: &str = concat!(
    "SELECT target, lane FROM delivery_lanes l
     WHERE tenant = $1 AND leaver = $2 AND next_at <= $3 AND EXISTS (
         SELECT 1 FROM events e WHERE e.tenant = l.tenant AND e.seq IS NOT NULL AND e.position = (
             SELECT min(d.position) FROM deliveries d
             WHERE d.tenant = l.tenant AND d.target = l.target AND d.lane = l.lane AND d.state = 'waiting'
         )
     )
     ORDER BY next_at, target, lane LIMIT +$4",
    skip_locked!()
);

/// The oldest waiting delivery of a lane.
pub(super) const HEAD: &str =
    "SELECT position, attempts, sealed FROM deliveries WHERE tenant = $1 AND target = $2 AND lane = $3 AND state = 'waiting'
     ORDER BY position LIMIT 1";

/// What became of the newest events at each target: numbers have no gaps.
pub(super) const RECEIPTS: &str = concat!(
    "SELECT d.target, e.seq, e.kind, d.state, d.attempts, d.problem, d.finished FROM events e
     JOIN targets t ON t.tenant = e.tenant AND t.removed IS NULL",
    joined!("deliveries", "d", "d.tenant = e.tenant AND d.target = t.target AND d.event = e.id"),
    " WHERE e.tenant = $1 AND e.seq > (SELECT COALESCE(max(l.seq), 0) FROM events l WHERE l.tenant = $1 AND l.seq IS NOT NULL) - $2
     ORDER BY d.target, e.seq DESC"
);

/// They.
pub(super) async fn receipts(conn: &mut Conn, tenant: &TenantId, events: i64) -> Result<Vec<Receipt>> {
    let rows = sqlx::query(RECEIPTS).bind(tenant.as_str()).bind(events).fetch_all(conn).await?;
    let receipt = |row: &Row| {
        Ok(Receipt {
            target: row.try_get("target")?,
            seq: row.try_get("seq")?,
            kind: row.try_get("kind")?,
            state: row.try_get("state")?,
            attempts: row.try_get("attempts")?,
            problem: row.try_get("problem")?,
            finished: row.try_get::<Option<i64>, _>("finished")?.map(Instant),
        })
    };
    rows.iter().map(receipt).collect()
}

/// Claims due lanes of a tenant and reads the first delivery of each.
pub(super) async fn claim(
    conn: &mut Conn,
    scope: &Scope,
    leavers: bool,
    now: Instant,
    lease_until: Instant,
    limit: i64,
) -> Result<Vec<DueDelivery>> {
    let lanes: Vec<(String, String)> =
        sqlx::query_as(DUE_LANES).bind(scope.tenant.as_str()).bind(leavers).bind(now.0).bind(limit).fetch_all(&mut *conn).await?;
    let mut heads = Vec::new();
    let targets: BTreeMap<String, Target> =
        targets(conn, &scope.tenant).await?.into_iter().map(|target| (target.id.clone(), target)).collect();
    for (target, lane) in lanes {
        sqlx::query("UPDATE delivery_lanes SET next_at = $4 WHERE tenant = $1 AND target = $2 AND lane = $3")
            .bind(scope.tenant.as_str())
            .bind(&target)
            .bind(&lane)
            // What came while its target was removed waits for nobody.
            .bind(targets.contains_key(&target).then_some(lease_until.0))
            .execute(&mut *conn)
            .await?;
        let head: Option<(i64, i64, Option<Vec<u8>>)> =
            sqlx::query_as(HEAD).bind(scope.tenant.as_str()).bind(&target).bind(&lane).fetch_optional(&mut *conn).await?;
        heads.extend(head.map(|(position, attempts, sealed)| (target, position, attempts, sealed)));
    }
    let positions: Vec<i64> = heads.iter().map(|(_, position, ..)| *position).collect();
    let events = history::at(conn, scope, &positions).await?;
    let sealed =
        heads.iter().filter(|(.., sealed)| sealed.is_some()).filter_map(|(_, position, ..)| events.get(position)?.account.as_ref());
    let keys = history::person_keys(conn, scope, sealed).await?;
    let mut due: Vec<DueDelivery> = Vec::with_capacity(heads.len());
    for (target, position, attempts, sealed) in heads {
        let (Some(target), Some(event)) = (targets.get(&target).cloned(), events.get(&position).cloned()) else { continue };
        // Of somebody who was erased meanwhile nothing can be told.
        let key = event.account.as_ref().and_then(|account| keys.get(account));
        let token = key.zip(sealed).map(|(key, sealed)| told(scope, &event, key, &sealed)).transpose()?;
        due.push(DueDelivery { tenant: scope.tenant.clone(), target, event, attempts, token });
    }
    due.sort_by_key(|delivery| delivery.event.seq);
    Ok(due)
}

/// What a target alone is told with an event.
fn told(scope: &Scope, event: &Event, key: &SecretKey, sealed: &[u8]) -> Result<LinkToken> {
    let opened = key.open(&delivery_purpose(&scope.tenant, &event.id), sealed).map_err(unsealable)?;
    let text = std::str::from_utf8(&opened).map_err(|_| StoreError::Corrupt("what a target is to be told is no text".into()))?;
    Ok(LinkToken(Zeroizing::new(text.to_owned())))
}

/// How many deliveries each tenant may claim of the leavers' lanes or of the others'.
pub(super) async fn claim_shares(conn: &mut Conn, leavers: bool, now: Instant, room: &DeliveryRoom) -> Result<Vec<(TenantId, i64)>> {
    let looked_at = room.free.saturating_add(i64::try_from(room.busy.len()).unwrap_or(i64::MAX));
    let mut tenants: Vec<String> = sqlx::query_scalar(DUE_TENANTS).bind(now.0).bind(leavers).bind(looked_at).fetch_all(conn).await?;
    let left = |tenant: &str| room.each - room.busy.get(&TenantId::from(tenant)).copied().unwrap_or_default();
    tenants.retain(|tenant| left(tenant) > 0);
    tenants.truncate(usize::try_from(room.free).unwrap_or(0));
    let shared = shares(tenants, room.free).into_iter();
    Ok(shared.map(|(tenant, share)| (tenant.clone(), share.min(left(tenant.as_str())))).collect())
}

/// Records how an attempt ended and makes the next one of the lane due.
pub(super) async fn finish(
    conn: &mut Conn,
    tenant: &TenantId,
    target: &str,
    event: &str,
    result: &DeliveryResult,
    at: Instant,
) -> Result<()> {
    let lane: Option<String> =
        sqlx::query_scalar("SELECT lane FROM deliveries WHERE tenant = $1 AND target = $2 AND event = $3 AND state = 'waiting'")
            .bind(tenant.as_str())
            .bind(target)
            .bind(event)
            .fetch_optional(&mut *conn)
            .await?;
    let Some(lane) = lane else { return Ok(()) };
    // The lane's lock is what a commit waits for that adds an event to it.
    sqlx::query(concat!("SELECT 1 FROM delivery_lanes WHERE tenant = $1 AND target = $2 AND lane = $3", for_update!()))
        .bind(tenant.as_str())
        .bind(target)
        .bind(&lane)
        .execute(&mut *conn)
        .await?;
    let (state, problem, next_at) = match result {
        DeliveryResult::Acknowledged => ("acknowledged", None, at),
        DeliveryResult::Retry(next, problem) => ("waiting", Some(problem), *next),
        DeliveryResult::Unwanted(problem) => ("waiting", Some(problem), at),
        DeliveryResult::Dead(problem) => ("dead", Some(problem), at),
    };
    let finished = (state != "waiting").then_some(at.0);
    let ended = sqlx::query(
        "UPDATE deliveries SET state = $4, attempts = attempts + 1, problem = $5, finished = $6,
                               sealed = CASE WHEN $4 = 'waiting' THEN sealed END
         WHERE tenant = $1 AND target = $2 AND event = $3 AND state = 'waiting'",
    )
    .bind(tenant.as_str())
    .bind(target)
    .bind(event)
    .bind(state)
    .bind(problem)
    .bind(finished)
    .execute(&mut *conn)
    .await?;
    if ended.rows_affected() == 1 {
        move_on(conn, tenant, target, &lane, next_at).await?;
    }
    Ok(())
}

/// The lane waits until `next_at` for its next event; without one it ends.
async fn move_on(conn: &mut Conn, tenant: &TenantId, target: &str, lane: &str, next_at: Instant) -> Result<()> {
    let leavers: Vec<bool> =
        sqlx::query_scalar("SELECT DISTINCT leaver FROM deliveries WHERE tenant = $1 AND target = $2 AND lane = $3 AND state = 'waiting'")
            .bind(tenant.as_str())
            .bind(target)
            .bind(lane)
            .fetch_all(&mut *conn)
            .await?;
    let statement = if leavers.is_empty() {
        sqlx::query("DELETE FROM delivery_lanes WHERE tenant = $1 AND target = $2 AND lane = $3")
            .bind(tenant.as_str())
            .bind(target)
            .bind(lane)
    } else {
        // NULL stays NULL: the target was disabled while the attempt was made.
        sqlx::query(
            "UPDATE delivery_lanes SET leaver = $4, next_at = CASE WHEN next_at IS NULL THEN NULL ELSE $5 END
             WHERE tenant = $1 AND target = $2 AND lane = $3",
        )
        .bind(tenant.as_str())
        .bind(target)
        .bind(lane)
        .bind(leavers.contains(&true))
        .bind(next_at.0)
    };
    statement.execute(conn).await?;
    Ok(())
}
