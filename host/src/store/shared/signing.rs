//! Whose signatures on plugins count.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Conn, Scope, tenancy};
use crate::model::{Actor, Instant, TenantId};
use crate::store::records::{PluginKey, SigningRules};
use crate::store::{Result, StoreError};

/// Adds a key, or gives it another name.
pub(super) async fn put_key(conn: &mut Conn, scope: &Scope, key: &PluginKey, actor: &Actor, at: Instant) -> Result<()> {
    let bytes = STANDARD.decode(&key.public_key);
    let bytes = bytes.map_err(|_| StoreError::Corrupt("a public key is no base64".into()))?;
    let taken: Option<i64> = sqlx::query_scalar("SELECT created FROM plugin_keys WHERE tenant = $1 AND name = $2 AND key_id <> $3")
        .bind(scope.tenant.as_str())
        .bind(&key.name)
        .bind(&key.id)
        .fetch_optional(&mut *conn)
        .await?;
    if taken.is_some() {
        return Err(StoreError::Taken { attribute: "name" });
    }
    sqlx::query(
        "INSERT INTO plugin_keys (tenant, key_id, name, public_key, created) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant, key_id) DO UPDATE SET name = excluded.name",
    )
    .bind(scope.tenant.as_str())
    .bind(&key.id)
    .bind(&key.name)
    .bind(bytes)
    .bind(key.created.0)
    .execute(&mut *conn)
    .await?;
    tenancy::record(conn, scope, actor, at, "plugin_key.added", json!({"key": key.id, "name": key.name})).await
}

/// Removes a key.
pub(super) async fn remove_key(conn: &mut Conn, scope: &Scope, id: &str, actor: &Actor, at: Instant) -> Result<()> {
    let removed = sqlx::query("DELETE FROM plugin_keys WHERE tenant = $1 AND key_id = $2")
        .bind(scope.tenant.as_str())
        .bind(id)
        .execute(&mut *conn)
        .await?;
    if removed.rows_affected() == 0 {
        return Err(StoreError::Missing("plugin key"));
    }
    tenancy::record(conn, scope, actor, at, "plugin_key.removed", json!({"key": id})).await
}

/// Says whether plugins must be signed.
pub(super) async fn require(conn: &mut Conn, scope: &Scope, required: bool, actor: &Actor, at: Instant) -> Result<()> {
    sqlx::query(
        "INSERT INTO plugin_signing (tenant, required) VALUES ($1, $2) ON CONFLICT (tenant) DO UPDATE SET required = excluded.required",
    )
    .bind(scope.tenant.as_str())
    .bind(required)
    .execute(&mut *conn)
    .await?;
    tenancy::record(conn, scope, actor, at, "plugin_signing.changed", json!({"required": required})).await
}

/// Whose plugins are taken.
pub(super) async fn rules(conn: &mut Conn, tenant: &TenantId) -> Result<SigningRules> {
    let required: Option<bool> = sqlx::query_scalar("SELECT required FROM plugin_signing WHERE tenant = $1")
        .bind(tenant.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    let rows: Vec<(String, String, Vec<u8>, i64)> =
        sqlx::query_as("SELECT key_id, name, public_key, created FROM plugin_keys WHERE tenant = $1 ORDER BY name")
            .bind(tenant.as_str())
            .fetch_all(conn)
            .await?;
    let key = |(id, name, bytes, created): (String, String, Vec<u8>, i64)| {
        let public_key = STANDARD.encode(bytes);
        PluginKey { id, name, public_key, created: Instant(created) }
    };
    Ok(SigningRules { required: required.unwrap_or_default(), keys: rows.into_iter().map(key).collect() })
}
