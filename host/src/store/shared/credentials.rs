//! Other ways to authenticate than a bearer token: the secrets of OAuth clients, and the issuers of JWTs with their keys.

use std::collections::HashMap;

use serde_json::json;
use sqlx::Row as _;

use super::rows::{Row, json as json_of, json_text, word};
use super::tenancy::{lock_connection, record};
use super::{Conn, Scope, text_list};
use crate::model::{Actor, ConnectionId, ConnectionState, Instant, Issuer, RevisionHash, TenantId};
use crate::store::{ConnectionCredential, CredentialKind, HeardRevision, Result, StoreError, StoredIssuer};

/// The SELECT of [`credential`], with a condition to follow.
macro_rules! credentials {
    ($condition:expr) => {
        concat!(
            "SELECT t.tenant, t.connection, c.state, t.token_id, t.kind, t.hash, t.expires, t.last_used, n.active_revision
             FROM connection_tokens t JOIN connections c ON c.tenant = t.tenant AND c.connection = t.connection
             JOIN tenants n ON n.tenant = t.tenant WHERE ",
            $condition
        )
    };
}

/// What the secrets with these hashes stand for.
pub(super) const BY_HASH: &str = credentials!(any_of!("t.hash", "$1"));

/// What the secret with this id stands for.
pub(super) const BY_ID: &str = credentials!("t.tenant = $1 AND t.connection = $2 AND t.token_id = $3");

/// The issuer of the connection with this id.
pub(super) const ISSUER: &str = "SELECT i.tenant, i.connection, c.state, c.last_seen, i.settings, i.keys, i.fetched, n.active_revision
     FROM connections c JOIN connection_issuers i ON i.tenant = c.tenant AND i.connection = c.connection
     JOIN tenants n ON n.tenant = c.tenant WHERE c.connection = $1";

fn credential(row: &Row) -> Result<ConnectionCredential> {
    Ok(ConnectionCredential {
        tenant: TenantId(row.try_get("tenant")?),
        connection: ConnectionId(row.try_get("connection")?),
        state: word(row.try_get("state")?, ConnectionState::from_word)?,
        token_id: row.try_get("token_id")?,
        kind: word(row.try_get("kind")?, CredentialKind::from_word)?,
        hash: row.try_get("hash")?,
        expires: row.try_get::<Option<i64>, _>("expires")?.map(Instant),
        last_used: row.try_get::<Option<i64>, _>("last_used")?.map(Instant),
        revision: heard(row)?,
    })
}

fn heard(row: &Row) -> Result<HeardRevision> {
    Ok(Some(row.try_get::<Option<String>, _>("active_revision")?.map(RevisionHash)))
}

/// What secrets stand for, by their keyed hashes.
pub(super) async fn by_hash(conn: &mut Conn, hashes: &[String]) -> Result<HashMap<String, ConnectionCredential>> {
    let rows = sqlx::query(BY_HASH).bind(text_list(hashes.iter().map(String::as_str))).fetch_all(conn).await?;
    rows.iter().map(|row| credential(row).map(|found| (found.hash.clone(), found))).collect()
}

/// What a secret stands for, by its id.
pub(super) async fn by_id(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, id: &str) -> Result<Option<ConnectionCredential>> {
    let found = sqlx::query(BY_ID).bind(tenant.as_str()).bind(connection.as_str()).bind(id).fetch_optional(conn).await?;
    found.map(|row| credential(&row)).transpose()
}

/// Ends all client secrets.
pub(super) async fn remove_client(conn: &mut Conn, scope: &Scope, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<()> {
    lock_connection(conn, &scope.tenant, connection).await?;
    let removed = sqlx::query("DELETE FROM connection_tokens WHERE tenant = $1 AND connection = $2 AND kind = $3")
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .bind(CredentialKind::ClientSecret.word())
        .execute(&mut *conn)
        .await?;
    if removed.rows_affected() == 0 {
        return Err(StoreError::Missing("client"));
    }
    record(conn, scope, actor, at, "connection.client_removed", json!({"connection": connection})).await
}

/// Sets the issuer.
pub(super) async fn put_issuer(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    (issuer, keys): (&Issuer, Option<&str>),
    actor: &Actor,
    at: Instant,
) -> Result<()> {
    lock_connection(conn, &scope.tenant, connection).await?;
    sqlx::query(
        "INSERT INTO connection_issuers (tenant, connection, settings, keys) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant, connection) DO UPDATE SET settings = excluded.settings, keys = excluded.keys, fetched = NULL, tried = NULL",
    )
    .bind(scope.tenant.as_str())
    .bind(connection.as_str())
    .bind(json_text(issuer, "an issuer")?)
    .bind(keys)
    .execute(&mut *conn)
    .await?;
    let data = json!({"connection": connection, "issuer": issuer.issuer, "audience": issuer.audience, "algorithms": issuer.algorithms});
    record(conn, scope, actor, at, "connection.issuer_set", data).await
}

/// Removes the issuer.
pub(super) async fn remove_issuer(conn: &mut Conn, scope: &Scope, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<()> {
    lock_connection(conn, &scope.tenant, connection).await?;
    let removed = sqlx::query("DELETE FROM connection_issuers WHERE tenant = $1 AND connection = $2")
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .execute(&mut *conn)
        .await?;
    if removed.rows_affected() == 0 {
        return Err(StoreError::Missing("issuer"));
    }
    record(conn, scope, actor, at, "connection.issuer_removed", json!({"connection": connection})).await
}

/// The issuer of a connection, with its keys.
pub(super) async fn find_issuer(conn: &mut Conn, connection: &ConnectionId) -> Result<Option<StoredIssuer>> {
    let row = sqlx::query(ISSUER).bind(connection.as_str()).fetch_optional(conn).await?;
    row.map(|row| {
        Ok(StoredIssuer {
            tenant: TenantId(row.try_get("tenant")?),
            connection: ConnectionId(row.try_get("connection")?),
            state: word(row.try_get("state")?, ConnectionState::from_word)?,
            last_seen: row.try_get::<Option<i64>, _>("last_seen")?.map(Instant),
            settings: json_of(row.try_get("settings")?, "an issuer")?,
            keys: row.try_get("keys")?,
            fetched: row.try_get::<Option<i64>, _>("fetched")?.map(Instant),
            revision: heard(&row)?,
        })
    })
    .transpose()
}

/// The settings of a connection's issuer.
pub(super) async fn issuer(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<Option<Issuer>> {
    let settings: Option<String> = sqlx::query_scalar("SELECT settings FROM connection_issuers WHERE tenant = $1 AND connection = $2")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .fetch_optional(conn)
        .await?;
    settings.map(|settings| json_of(&settings, "an issuer")).transpose()
}

/// Whether the keys may be fetched now.
pub(super) async fn claim_keys(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    before: Instant,
    at: Instant,
) -> Result<bool> {
    let claimed = sqlx::query(
        "UPDATE connection_issuers SET tried = $4 WHERE tenant = $1 AND connection = $2 AND (tried IS NULL OR tried <= $3 OR tried > $4)",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(before.0)
    .bind(at.0)
    .execute(conn)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Keeps fetched keys.
pub(super) async fn keep_keys(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    (issuer, keys): (&Issuer, &str),
    at: Instant,
) -> Result<()> {
    sqlx::query("UPDATE connection_issuers SET keys = $4, fetched = $5 WHERE tenant = $1 AND connection = $2 AND settings = $3")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(json_text(issuer, "an issuer")?)
        .bind(keys)
        .bind(at.0)
        .execute(conn)
        .await?;
    Ok(())
}
