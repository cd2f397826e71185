//! Restores: what a restored database goes through once, and the release of the connections that wait since.

use serde_json::{Value, json};

use super::batch::Batch;
use super::health::restored;
use super::history::{self, Stamp};
use super::work::{Below, fan_out};
use super::{Conn, Scope, tenancy};
use crate::model::{Actor, Cause, ConnectionId, ConnectionState, Instant, NewEvent, ResourceId, Restored, TenantId};
use crate::store::{Restore, Result, StoreError, UNTOUCHED_PAGE, Untouched, UntouchedPage};

/// The next users of a connection, by the name that they log in with: two people may be shown by one display name.
pub(super) const NEXT_USERS: &str = "SELECT id, COALESCE(user_name, label) AS label, modified FROM resources
     WHERE tenant = $1 AND connection = $2 AND kind = 'user' AND id > $3 ORDER BY id LIMIT +$4";

/// Notes a restore.
pub(super) async fn put(conn: &mut Conn, restore: &Restore) -> Result<()> {
    sqlx::query("INSERT INTO restores (restore_id, at, backup_at, revoke_tokens, finished) VALUES ($1, $2, $3, $4, $5)")
        .bind(&restore.id)
        .bind(restore.at.0)
        .bind(restore.backup_at.0)
        .bind(restore.revoke_tokens)
        .bind(false)
        .execute(conn)
        .await?;
    Ok(())
}

/// Those that are not carried through.
pub(super) async fn open(conn: &mut Conn) -> Result<Vec<Restore>> {
    let rows: Vec<(String, i64, i64, bool)> =
        sqlx::query_as("SELECT restore_id, at, backup_at, revoke_tokens FROM restores WHERE NOT finished ORDER BY at, restore_id")
            .fetch_all(conn)
            .await?;
    let restore = |(id, at, backup_at, revoke_tokens)| Restore { id, at: Instant(at), backup_at: Instant(backup_at), revoke_tokens };
    Ok(rows.into_iter().map(restore).collect())
}

/// Carries one through for a tenant.
pub(super) async fn carry(conn: &mut Conn, scope: &Scope, restore: &Restore) -> Result<bool> {
    let tenant = scope.tenant.as_str();
    let noted = sqlx::query("UPDATE tenants SET restored = $2 WHERE tenant = $1 AND (restored IS NULL OR restored <> $2)")
        .bind(tenant)
        .bind(&restore.id)
        .execute(&mut *conn)
        .await?;
    if noted.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE connections SET state = 'restored', restored =
             '{\"was\":\"' || CASE WHEN state = 'paused' OR restored LIKE '%\"was\":\"paused\"%' THEN 'paused' ELSE 'active' END
             || '\",\"at\":\"' || $2 || '\",\"backup_at\":\"' || $3 || '\"}'
         WHERE tenant = $1 AND state <> 'staging'",
    )
    .bind(tenant)
    .bind(restore.at.to_string())
    .bind(restore.backup_at.to_string())
    .execute(&mut *conn)
    .await?;
    let waiting: Vec<(String, String)> =
        sqlx::query_as("SELECT connection, name FROM connections WHERE tenant = $1 AND state = 'restored' ORDER BY connection")
            .bind(tenant)
            .fetch_all(&mut *conn)
            .await?;
    if !waiting.is_empty() {
        // What was on its way may have arrived since the backup, and whom it speaks of may have left since: only departures are said again.
        sqlx::query("UPDATE delivery_lanes SET next_at = NULL WHERE tenant = $1 AND NOT leaver").bind(tenant).execute(&mut *conn).await?;
    }
    let told = |kind, data: Value| NewEvent { kind, account: None, data, personal: None, leaver: false };
    let (at, backup_at) = (restore.at, restore.backup_at);
    let mut events = vec![told("tenant.restored", json!({"restore": restore.id, "at": at, "backup_at": backup_at}))];
    events.extend(waiting.iter().map(|(connection, name)| {
        told("connection.restored", json!({"connection": connection, "name": name, "at": at, "backup_at": backup_at}))
    }));
    let actor = Actor { kind: "operator".into(), id: "restore".into() };
    history::append(conn, Batch::new(), scope, Stamp { at, actor: &actor, request_id: None }, &events, None).await?;
    Ok(true)
}

/// Ends the workspace's sessions, links and sign-ins, which may have ended since the backup, and API tokens where that was asked for.
pub(super) async fn finish(conn: &mut Conn, restore: &Restore) -> Result<()> {
    for end in ["DELETE FROM web_sessions", "DELETE FROM web_links", "DELETE FROM web_sign_ins"] {
        sqlx::query(end).execute(&mut *conn).await?;
    }
    if restore.revoke_tokens {
        sqlx::query("DELETE FROM api_tokens").execute(&mut *conn).await?;
    }
    sqlx::query("UPDATE restores SET finished = $2 WHERE restore_id = $1").bind(&restore.id).bind(true).execute(conn).await?;
    Ok(())
}

/// What a restore made of a connection that waits still.
async fn standing(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<Restored> {
    let row = sqlx::query("SELECT state, restored FROM connections WHERE tenant = $1 AND connection = $2")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .fetch_optional(conn)
        .await?;
    restored(&row.ok_or(StoreError::Missing("connection"))?)?.ok_or(StoreError::Conflict { what: "not_restored" })
}

/// The next people who stand as they did in the backup.
pub(super) async fn untouched(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    after: Option<&ResourceId>,
) -> Result<UntouchedPage> {
    let restored = standing(conn, tenant, connection).await?;
    let rows: Vec<(String, Option<String>, i64)> = sqlx::query_as(NEXT_USERS)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(after.map_or("", ResourceId::as_str))
        .bind(UNTOUCHED_PAGE)
        .fetch_all(conn)
        .await?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|read| read == UNTOUCHED_PAGE);
    let next = rows.last().filter(|_| is_full).map(|(id, ..)| ResourceId(id.clone()));
    let is_old = |modified: i64| modified <= restored.at.0;
    let people = rows.into_iter().filter(|(.., modified)| is_old(*modified)).map(|(id, label, _)| Untouched { id: ResourceId(id), label });
    Ok(UntouchedPage { people: people.collect(), restored, next })
}

/// Releases a connection, and what waits for the tenant's targets with the last one.
pub(super) async fn release(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    why: &str,
    actor: &Actor,
    at: Instant,
) -> Result<Restored> {
    let name = tenancy::lock_connection(conn, &scope.tenant, connection).await?;
    let restored = standing(conn, &scope.tenant, connection).await?;
    let was = if restored.was == ConnectionState::Paused { ConnectionState::Paused } else { ConnectionState::Active };
    sqlx::query("UPDATE connections SET state = $3, restored = NULL WHERE tenant = $1 AND connection = $2")
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .bind(was.word())
        .execute(&mut *conn)
        .await?;
    if was == ConnectionState::Active {
        fan_out(conn, &scope.tenant, Below::Connection(connection), Cause::Resumed, at).await?;
    }
    // 0 is past for every clock.
    sqlx::query(
        "UPDATE delivery_lanes SET next_at = 0 WHERE tenant = $1 AND next_at IS NULL
         AND target IN (SELECT target FROM targets WHERE tenant = $1 AND enabled)
         AND NOT EXISTS (SELECT 1 FROM connections WHERE tenant = $1 AND state = 'restored')",
    )
    .bind(scope.tenant.as_str())
    .execute(&mut *conn)
    .await?;
    let data =
        json!({"connection": connection, "name": name, "state": was, "at": restored.at, "backup_at": restored.backup_at, "reason": why});
    tenancy::record(conn, scope, actor, at, "connection.released", data).await?;
    Ok(restored)
}
