//! [`PluginRecords`] on either database: a transaction around one function of `failures`, `lines` or `signing`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::{QueryBuilder, Row as _};

use super::rows::Row;
use super::{Backend, Conn, Db, failures, has_nul, lines, personal, signing, text_list};
use crate::model::{Actor, CallInput, ConnectionId, Instant, ResourceId, TenantId};
use crate::store::records::{
    Asked, Failure, FailureBounds, FailureQuery, Line, LineQuery, NewFailure, PluginKey, PluginRecords, SigningRules,
};
use crate::store::{Result, StoreError};

/// What was asked, of the columns that failures and lines have in common.
pub(super) fn asked(row: &Row) -> Result<Asked> {
    Ok(Asked {
        plugin: row.try_get("plugin")?,
        digest: row.try_get("digest")?,
        hook: row.try_get("hook")?,
        connection: ConnectionId(row.try_get("connection")?),
        user: ResourceId(row.try_get("resource")?),
    })
}

/// Narrows a query to rows whose columns have these words, and to a plugin by its name or digest.
pub(super) fn narrow<'q>(
    sql: &mut QueryBuilder<Db>,
    words: impl IntoIterator<Item = (&'static str, Option<&'q str>)>,
    plugin: Option<&'q str>,
) {
    for (column, word) in words {
        if let Some(word) = word {
            sql.push(" AND ").push(column).push(" = ").push_bind(word);
        }
    }
    if let Some(plugin) = plugin {
        sql.push(" AND (plugin = ").push_bind(plugin).push(" OR digest = ").push_bind(plugin).push(")");
    }
}

/// What comes of people who are still there, or were never stored.
pub(super) async fn of_the_living<'a, T>(
    conn: &mut Conn,
    tenant: &TenantId,
    items: &'a [T],
    whose: impl Fn(&T) -> (&ConnectionId, &ResourceId),
) -> Result<Vec<&'a T>> {
    let connections: BTreeSet<&str> = items.iter().map(|item| whose(item).0.as_str()).collect();
    let users: BTreeSet<&str> = items.iter().map(|item| whose(item).1.as_str()).collect();
    let known: Vec<String> =
        sqlx::query_scalar(concat!("SELECT connection FROM connections WHERE tenant = $1 AND ", any_of!("connection", "$2")))
            .bind(tenant.as_str())
            .bind(text_list(connections.iter().copied()))
            .fetch_all(&mut *conn)
            .await?;
    let gone: Vec<(String, String)> = sqlx::query_as(concat!(
        "SELECT connection, id FROM deleted_resources WHERE tenant = $1 AND ",
        any_of!("connection", "$2"),
        " AND ",
        any_of!("id", "$3")
    ))
    .bind(tenant.as_str())
    .bind(text_list(connections))
    .bind(text_list(users))
    .fetch_all(conn)
    .await?;
    let (known, gone) = (BTreeSet::from_iter(known), BTreeSet::from_iter(gone));
    let lives = |item: &&T| {
        let (connection, user) = whose(item);
        known.contains(connection.as_str()) && !gone.contains(&(connection.0.clone(), user.0.clone()))
    };
    Ok(items.iter().filter(lives).collect())
}

/// Nothing of a person remains who is deleted.
pub(super) async fn forget_person(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, user: &ResourceId) -> Result<()> {
    for statement in personal::OF_USER {
        sqlx::query(*statement).bind(tenant.as_str()).bind(connection.as_str()).bind(user.as_str()).execute(&mut *conn).await?;
    }
    Ok(())
}

/// What was written while its person was being deleted: neither of the two saw the other.
async fn forget_the_gone(conn: &mut Conn, tenant: &TenantId) -> Result<()> {
    for statement in personal::OF_THE_GONE {
        sqlx::query(*statement).bind(tenant.as_str()).execute(&mut *conn).await?;
    }
    Ok(())
}

#[async_trait]
impl PluginRecords for Backend {
    async fn keep_failures(&self, tenant: &TenantId, new: &[NewFailure], bounds: FailureBounds) -> Result<()> {
        let (scope, new) = (self.scope(tenant), new.to_vec());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { failures::keep(conn, &scope, &new, bounds).await })).await
    }

    async fn failures(&self, tenant: &TenantId, query: &FailureQuery, limit: i64) -> Result<Vec<Failure>> {
        let texts = [&query.code, &query.hook, &query.plugin].into_iter().flatten().map(String::as_str);
        let ids = query.connection.as_ref().map(ConnectionId::as_str).into_iter().chain(query.user.as_ref().map(ResourceId::as_str));
        if texts.chain(ids).chain(query.account.as_ref().map(|account| account.as_str())).any(has_nul) {
            return Ok(Vec::new());
        }
        let mut tx = self.read(tenant).await?;
        failures::list(&mut tx, &self.scope(tenant), query, limit).await
    }

    async fn failure(&self, tenant: &TenantId, id: &str) -> Result<Option<(Failure, Result<CallInput, String>)>> {
        if has_nul(id) {
            return Ok(None);
        }
        let mut tx = self.read(tenant).await?;
        failures::read(&mut tx, &self.scope(tenant), id).await
    }

    async fn keep_lines(&self, tenant: &TenantId, new: &[Line], keep: i64) -> Result<()> {
        let (scope, new) = (self.scope(tenant), new.to_vec());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { lines::keep(conn, &scope, &new, keep).await })).await
    }

    async fn lines(&self, tenant: &TenantId, query: &LineQuery, limit: i64) -> Result<Vec<(i64, Line)>> {
        let texts = [&query.hook, &query.plugin].into_iter().flatten().map(String::as_str);
        let ids = query.connection.as_ref().map(ConnectionId::as_str).into_iter().chain(query.user.as_ref().map(ResourceId::as_str));
        if texts.chain(ids).any(has_nul) {
            return Ok(Vec::new());
        }
        let mut tx = self.read(tenant).await?;
        lines::list(&mut tx, &self.scope(tenant), query, limit).await
    }

    async fn forget_records(&self, tenant: &TenantId, now: Instant, lines_before: Instant, limit: i64) -> Result<bool> {
        let scope = self.scope(tenant);
        let most = limit.unsigned_abs();
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move {
                forget_the_gone(conn, &scope.tenant).await?;
                let failures = failures::forget(conn, &scope.tenant, now, limit).await?;
                let lines = lines::forget(conn, &scope.tenant, lines_before, limit).await?;
                Ok(failures.max(lines) >= most)
            })
        })
        .await
    }

    async fn put_plugin_key(&self, tenant: &TenantId, key: &PluginKey, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, key, actor) = (self.scope(tenant), key.clone(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { signing::put_key(conn, &scope, &key, &actor, at).await })).await
    }

    async fn remove_plugin_key(&self, tenant: &TenantId, id: &str, actor: &Actor, at: Instant) -> Result<()> {
        if has_nul(id) {
            return Err(StoreError::Missing("plugin key"));
        }
        let (scope, id, actor) = (self.scope(tenant), id.to_owned(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { signing::remove_key(conn, &scope, &id, &actor, at).await })).await
    }

    async fn require_signatures(&self, tenant: &TenantId, required: bool, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, actor) = (self.scope(tenant), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { signing::require(conn, &scope, required, &actor, at).await })).await
    }

    async fn signing_rules(&self, tenant: &TenantId) -> Result<SigningRules> {
        let mut tx = self.read(tenant).await?;
        signing::rules(&mut tx, tenant).await
    }
}
