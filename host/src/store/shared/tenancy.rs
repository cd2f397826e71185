//! Tenants, their revisions, connections and tokens: what is administered, and what finds the tenant of a request.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::Row as _;

use super::batch::Batch;
use super::health::restored;
use super::history::{self, Stamp};
use super::rows::{json as json_of, word};
use super::work::{Below, fan_out};
use super::{Conn, Scope, api_tokens};
use crate::model::{Actor, Cause, ConnectionId, ConnectionState, Instant, Issuer, NewEvent, RevisionHash, TenantId};
use crate::store::{ApiCredential, Connection, CredentialKind, NewToken, Result, StoreError, Tenant, TokenInfo};

/// Uses of a token and sights of a connection are kept to the minute: a write for each request would cost more than it tells.
const SEEN_GRANULARITY_SECONDS: i64 = 60;

const TENANT: &str = "SELECT tenant, name, active_revision, managed_by, created FROM tenants WHERE tenant = $1";

type TenantRow = (String, String, Option<String>, String, i64);

fn tenant_of((id, name, active_revision, managed_by, created): TenantRow) -> Tenant {
    let active_revision = active_revision.map(RevisionHash);
    Tenant { id: TenantId(id), name, active_revision, managed_by, created: Instant(created) }
}

/// Creates the tenant, with its key, if it is not there.
pub(super) async fn ensure(conn: &mut Conn, scope: &Scope, name: &str, managed_by: &str, at: Instant) -> Result<Tenant> {
    let sealed_key = scope.keys.new_tenant_key(&scope.tenant)?;
    let made = sqlx::query(
        "INSERT INTO tenants (tenant, name, managed_by, sealed_key, created) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant) DO NOTHING",
    )
    .bind(scope.tenant.as_str())
    .bind(name)
    .bind(managed_by)
    .bind(sealed_key)
    .bind(at.0)
    .execute(&mut *conn)
    .await?;
    if made.rows_affected() == 1 {
        sqlx::query("INSERT INTO event_heads (tenant, last_seq) VALUES ($1, 0)").bind(scope.tenant.as_str()).execute(&mut *conn).await?;
    }
    find(conn, &scope.tenant).await?.ok_or(StoreError::Missing("tenant"))
}

/// The tenant, or `None`.
pub(super) async fn find(conn: &mut Conn, tenant: &TenantId) -> Result<Option<Tenant>> {
    let row: Option<TenantRow> = sqlx::query_as(TENANT).bind(tenant.as_str()).fetch_optional(conn).await?;
    Ok(row.map(tenant_of))
}

/// All tenants, by id.
pub(super) async fn all(conn: &mut Conn) -> Result<Vec<Tenant>> {
    let rows: Vec<TenantRow> =
        sqlx::query_as("SELECT tenant, name, active_revision, managed_by, created FROM tenants ORDER BY tenant").fetch_all(conn).await?;
    Ok(rows.into_iter().map(tenant_of).collect())
}

/// An event about nobody in particular.
pub(super) async fn record(
    conn: &mut Conn,
    scope: &Scope,
    actor: &Actor,
    at: Instant,
    kind: &'static str,
    data: serde_json::Value,
) -> Result<()> {
    let event = NewEvent { kind, account: None, data, personal: None, leaver: false };
    history::append(conn, Batch::new(), scope, Stamp { at, actor, request_id: None }, &[event], None).await
}

/// Creates a connection with its first token.
pub(super) async fn create_connection(
    conn: &mut Conn,
    scope: &Scope,
    connection: &Connection,
    token: &NewToken,
    actor: &Actor,
) -> Result<()> {
    if find(conn, &scope.tenant).await?.is_none() {
        return Err(StoreError::Missing("tenant"));
    }
    sqlx::query(
        "INSERT INTO connections (tenant, connection, name, state, created, last_seen, wrong_credentials, guarded)
         VALUES ($1, $2, $3, $4, $5, NULL, 0, $6)",
    )
    .bind(scope.tenant.as_str())
    .bind(connection.id.as_str())
    .bind(&connection.name)
    .bind(connection.state.word())
    .bind(connection.created.0)
    .bind(connection.guarded)
    .execute(&mut *conn)
    .await?;
    insert_token(conn, &scope.tenant, &connection.id, CredentialKind::Bearer, token).await?;
    let data = json!({"connection": connection.id, "name": connection.name, "state": connection.state, "guarded": connection.guarded});
    record(conn, scope, actor, connection.created, "connection.created", data).await
}

async fn insert_token(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, kind: CredentialKind, token: &NewToken) -> Result<()> {
    sqlx::query(
        "INSERT INTO connection_tokens (tenant, connection, token_id, kind, hash, created, expires, last_used)
         VALUES ($1, $2, $3, $4, $5, $6, $7, NULL)",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(&token.id)
    .bind(kind.word())
    .bind(&token.hash)
    .bind(token.created.0)
    .bind(token.expires.map(|at| at.0))
    .execute(conn)
    .await?;
    Ok(())
}

/// All connections, by name.
pub(super) async fn connections(conn: &mut Conn, tenant: &TenantId) -> Result<Vec<Connection>> {
    let tokens = sqlx::query(
        "SELECT connection, token_id, kind, created, expires, last_used FROM connection_tokens
         WHERE tenant = $1 ORDER BY created DESC, token_id DESC",
    )
    .bind(tenant.as_str())
    .fetch_all(&mut *conn)
    .await?;
    let (mut bearer, mut secrets) = (BTreeMap::<String, Vec<TokenInfo>>::new(), BTreeMap::<String, Vec<TokenInfo>>::new());
    for row in &tokens {
        let token = TokenInfo {
            id: row.try_get("token_id")?,
            created: Instant(row.try_get("created")?),
            expires: row.try_get::<Option<i64>, _>("expires")?.map(Instant),
            last_used: row.try_get::<Option<i64>, _>("last_used")?.map(Instant),
        };
        let of_kind = match word(row.try_get("kind")?, CredentialKind::from_word)? {
            CredentialKind::Bearer => &mut bearer,
            CredentialKind::ClientSecret => &mut secrets,
        };
        of_kind.entry(row.try_get("connection")?).or_default().push(token);
    }
    let rows = sqlx::query(
        "SELECT c.connection, c.name, c.state, c.restored, c.guarded, c.created, c.last_seen, c.wrong_credentials, i.settings FROM connections c
         LEFT JOIN connection_issuers i ON i.tenant = c.tenant AND i.connection = c.connection WHERE c.tenant = $1 ORDER BY c.name",
    )
    .bind(tenant.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let id: String = row.try_get("connection")?;
            let issuer: Option<&str> = row.try_get("settings")?;
            let issuer: Option<Issuer> = issuer.map(|settings| json_of(settings, "an issuer")).transpose()?;
            Ok(Connection {
                tokens: bearer.remove(&id).unwrap_or_default(),
                client_secrets: secrets.remove(&id).unwrap_or_default(),
                issuer: issuer.map(|issuer| issuer.issuer),
                id: ConnectionId(id),
                name: row.try_get("name")?,
                state: word(row.try_get("state")?, ConnectionState::from_word)?,
                restored: restored(row)?,
                guarded: row.try_get("guarded")?,
                created: Instant(row.try_get("created")?),
                last_seen: row.try_get::<Option<i64>, _>("last_seen")?.map(Instant),
                wrong_credentials: row.try_get("wrong_credentials")?,
            })
        })
        .collect()
}

/// The name of a connection, locked until the transaction ends; `Missing` when it is not the tenant's.
pub(super) async fn lock_connection(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<String> {
    let name: Option<String> =
        sqlx::query_scalar(concat!("SELECT name FROM connections WHERE tenant = $1 AND connection = $2", for_update!()))
            .bind(tenant.as_str())
            .bind(connection.as_str())
            .fetch_optional(conn)
            .await?;
    name.ok_or(StoreError::Missing("connection"))
}

/// A connection's state.
pub(super) async fn state_of(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<ConnectionState> {
    let state: Option<String> = sqlx::query_scalar("SELECT state FROM connections WHERE tenant = $1 AND connection = $2")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .fetch_optional(conn)
        .await?;
    word(&state.ok_or(StoreError::Missing("connection"))?, ConnectionState::from_word)
}

/// Adds a token of a kind; the newest one before it ends at `expire_others` at the latest, older ones go.
pub(super) async fn rotate_token(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    (kind, token): (CredentialKind, &NewToken),
    expire_others: Instant,
    actor: &Actor,
) -> Result<()> {
    lock_connection(conn, &scope.tenant, connection).await?;
    let live: Vec<String> = sqlx::query_scalar(
        "SELECT token_id FROM connection_tokens WHERE tenant = $1 AND connection = $2 AND (expires IS NULL OR expires > $3)
         AND kind = $4 ORDER BY created DESC, token_id DESC",
    )
    .bind(scope.tenant.as_str())
    .bind(connection.as_str())
    .bind(token.created.0)
    .bind(kind.word())
    .fetch_all(&mut *conn)
    .await?;
    let kept = live.first().map_or("", String::as_str);
    sqlx::query("DELETE FROM connection_tokens WHERE tenant = $1 AND connection = $2 AND token_id <> $3 AND kind = $4")
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .bind(kept)
        .bind(kind.word())
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "UPDATE connection_tokens SET expires = $3
         WHERE tenant = $1 AND connection = $2 AND kind = $4 AND (expires IS NULL OR expires > $3)",
    )
    .bind(scope.tenant.as_str())
    .bind(connection.as_str())
    .bind(expire_others.0)
    .bind(kind.word())
    .execute(&mut *conn)
    .await?;
    insert_token(conn, &scope.tenant, connection, kind, token).await?;
    let data = json!({"connection": connection, "token": token.id, "others_end": expire_others});
    let event = match kind {
        CredentialKind::Bearer => "connection.token_rotated",
        CredentialKind::ClientSecret => "connection.client_secret_rotated",
    };
    record(conn, scope, actor, token.created, event, data).await
}

/// Pauses or resumes; resuming marks everybody of the connection, in the background.
pub(super) async fn set_connection_state(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    state: ConnectionState,
    actor: &Actor,
    at: Instant,
) -> Result<()> {
    let name = lock_connection(conn, &scope.tenant, connection).await?;
    let before: String = sqlx::query_scalar("SELECT state FROM connections WHERE tenant = $1 AND connection = $2")
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .fetch_one(&mut *conn)
        .await?;
    let before = word(&before, ConnectionState::from_word)?;
    // What is staged goes live with what was seen of it, or is deleted: a pause would let what is there already be in use.
    if before == ConnectionState::Staging && state != ConnectionState::Staging {
        return Err(StoreError::Conflict { what: "connection" });
    }
    // What waits since a restore waits for a release, which says why.
    if before == ConnectionState::Restored && state != ConnectionState::Restored {
        return Err(StoreError::Conflict { what: "restored_connection" });
    }
    let changed = sqlx::query("UPDATE connections SET state = $3 WHERE tenant = $1 AND connection = $2 AND state <> $3")
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .bind(state.word())
        .execute(&mut *conn)
        .await?;
    if changed.rows_affected() == 0 {
        return Ok(());
    }
    let kind = match state {
        ConnectionState::Active => {
            fan_out(conn, &scope.tenant, Below::Connection(connection), Cause::Resumed, at).await?;
            "connection.resumed"
        }
        ConnectionState::Paused => "connection.paused",
        ConnectionState::Quarantined => "connection.quarantined",
        ConnectionState::Restored => "connection.restored",
        ConnectionState::Staging => "connection.staged",
    };
    record(conn, scope, actor, at, kind, json!({"connection": connection, "name": name})).await
}

/// Whether the guard counts a connection's people.
pub(super) async fn set_guarded(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    guarded: bool,
    actor: &Actor,
    at: Instant,
) -> Result<()> {
    let name = lock_connection(conn, &scope.tenant, connection).await?;
    let changed = sqlx::query("UPDATE connections SET guarded = $3 WHERE tenant = $1 AND connection = $2 AND guarded <> $3")
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .bind(guarded)
        .execute(&mut *conn)
        .await?;
    if changed.rows_affected() == 0 {
        return Ok(());
    }
    let kind = if guarded { "connection.guarded" } else { "connection.unguarded" };
    record(conn, scope, actor, at, kind, json!({"connection": connection, "name": name})).await
}

/// Whether noting a use of a token would change anything: most requests need no write.
pub(super) async fn is_news(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, token_id: &str, at: Instant) -> Result<bool> {
    let seen: Option<(Option<i64>, Option<i64>)> = sqlx::query_as(
        "SELECT c.last_seen, CASE WHEN t.token_id IS NULL THEN c.last_seen ELSE t.last_used END FROM connections c
         LEFT JOIN connection_tokens t ON t.tenant = c.tenant AND t.connection = c.connection AND t.token_id = $3
         WHERE c.tenant = $1 AND c.connection = $2",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(token_id)
    .fetch_optional(conn)
    .await?;
    let before = at.plus_seconds(-SEEN_GRANULARITY_SECONDS).0;
    let is_old = |seen: Option<i64>| seen.is_none_or(|seen| seen <= before);
    Ok(seen.is_some_and(|(connection, token)| is_old(connection) || is_old(token)))
}

/// Notes a use of a good token, or counts a wrong credential.
pub(super) async fn note_credential(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    token_id: Option<&str>,
    at: Instant,
) -> Result<()> {
    let Some(token_id) = token_id else {
        sqlx::query("UPDATE connections SET wrong_credentials = wrong_credentials + 1 WHERE tenant = $1 AND connection = $2")
            .bind(tenant.as_str())
            .bind(connection.as_str())
            .execute(conn)
            .await?;
        return Ok(());
    };
    let before = at.plus_seconds(-SEEN_GRANULARITY_SECONDS);
    sqlx::query("UPDATE connections SET last_seen = $3 WHERE tenant = $1 AND connection = $2 AND (last_seen IS NULL OR last_seen <= $4)")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(at.0)
        .bind(before.0)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "UPDATE connection_tokens SET last_used = $4
         WHERE tenant = $1 AND connection = $2 AND token_id = $3 AND (last_used IS NULL OR last_used <= $5)",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(token_id)
    .bind(at.0)
    .bind(before.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// The tenant and state of a connection.
pub(super) async fn find_connection(conn: &mut Conn, connection: &ConnectionId) -> Result<Option<(TenantId, ConnectionState)>> {
    let row: Option<(String, String)> = sqlx::query_as("SELECT tenant, state FROM connections WHERE connection = $1")
        .bind(connection.as_str())
        .fetch_optional(conn)
        .await?;
    row.map(|(tenant, state)| Ok((TenantId(tenant), word(&state, ConnectionState::from_word)?))).transpose()
}

/// What an API token stands for.
pub(super) const API_TOKEN: &str =
    "SELECT token_id, hash, tenant, may_write, person, admin_roles, last_used, expires FROM api_tokens WHERE hash = $1";

/// What an API token stands for.
pub(super) async fn find_api_token(conn: &mut Conn, hash: &str) -> Result<Option<ApiCredential>> {
    let row = sqlx::query(API_TOKEN).bind(hash).fetch_optional(conn).await?;
    row.map(|row| {
        Ok(ApiCredential {
            token_id: row.try_get("token_id")?,
            hash: row.try_get("hash")?,
            scope: api_tokens::scope(&row)?,
            last_used: row.try_get::<Option<i64>, _>("last_used")?.map(Instant),
            expires: row.try_get::<Option<i64>, _>("expires")?.map(Instant),
        })
    })
    .transpose()
}

/// What the platform's tokens may do that have not ended.
const SCOPES_OF_PLATFORM: &str =
    "SELECT tenant, may_write, person, admin_roles FROM api_tokens WHERE tenant IS NULL AND (expires IS NULL OR expires > $1)";

/// How many API tokens may change the platform and have not ended. Which may is said where tokens are looked at, and there alone.
pub(super) async fn count_operator_tokens(conn: &mut Conn, now: Instant) -> Result<i64> {
    let rows = sqlx::query(SCOPES_OF_PLATFORM).bind(now.0).fetch_all(conn).await?;
    let scopes = rows.iter().map(api_tokens::scope).collect::<Result<Vec<_>>>()?;
    let operators = scopes.iter().filter(|scope| scope.is_operator()).count();
    Ok(i64::try_from(operators).unwrap_or(i64::MAX))
}
