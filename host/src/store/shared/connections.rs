//! [`Connections`] on either database: a transaction around one function of its neighbours.

use async_trait::async_trait;

use super::{Backend, Conn, credentials, give_up, has_nul, is_lost, journal, log};
use crate::model::{Actor, ConnectionId, Instant, Issuer, RefusedCredential, TenantId};
use crate::store::{ConnectionCredential, Connections, Dialect, Gathered, LogFound, LogSearch, Result};

#[async_trait]
impl Connections for Backend {
    async fn credential(&self, tenant: &TenantId, connection: &ConnectionId, id: &str) -> Result<Option<ConnectionCredential>> {
        read_once!(self.read_one(tenant), conn => credentials::by_id(conn, tenant, connection, id))
    }

    async fn remove_client(&self, tenant: &TenantId, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, connection, actor) = (self.scope(tenant), connection.clone(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { credentials::remove_client(conn, &scope, &connection, &actor, at).await })
        })
        .await
    }

    async fn put_issuer(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        issuer: &Issuer,
        keys: Option<&str>,
        actor: &Actor,
        at: Instant,
    ) -> Result<()> {
        let (scope, connection, actor) = (self.scope(tenant), connection.clone(), actor.clone());
        let (issuer, keys) = (issuer.clone(), keys.map(str::to_owned));
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { credentials::put_issuer(conn, &scope, &connection, (&issuer, keys.as_deref()), &actor, at).await })
        })
        .await
    }

    async fn remove_issuer(&self, tenant: &TenantId, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, connection, actor) = (self.scope(tenant), connection.clone(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { credentials::remove_issuer(conn, &scope, &connection, &actor, at).await })
        })
        .await
    }

    async fn issuer(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Option<Issuer>> {
        if has_nul(connection.as_str()) {
            return Ok(None);
        }
        read_once!(self.read_one(tenant), conn => credentials::issuer(conn, tenant, connection))
    }

    async fn claim_keys(&self, tenant: &TenantId, connection: &ConnectionId, before: Instant, at: Instant) -> Result<bool> {
        let (scope, connection) = (self.scope(tenant), connection.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { credentials::claim_keys(conn, &scope.tenant, &connection, before, at).await })
        })
        .await
    }

    async fn keep_keys(&self, tenant: &TenantId, connection: &ConnectionId, issuer: &Issuer, keys: &str, at: Instant) -> Result<()> {
        let (scope, connection, issuer, keys) = (self.scope(tenant), connection.clone(), issuer.clone(), keys.to_owned());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { credentials::keep_keys(conn, &scope.tenant, &connection, (&issuer, &keys), at).await })
        })
        .await
    }

    async fn record(&self, tenant: &TenantId, gathered: &Gathered, keep: i64) -> Result<()> {
        let (scope, gathered) = (self.scope(tenant), gathered.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { journal::record(conn, &scope.tenant, &gathered, keep).await }))
            .await
    }

    async fn dialects(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<Dialect>> {
        read_once!(self.read_one(tenant), conn => journal::dialects(conn, tenant, connection))
    }

    async fn search_log(&self, tenant: &TenantId, search: &LogSearch) -> Result<LogFound> {
        read_once!(self.read_one(tenant), conn => log::search(conn, tenant, search))
    }

    async fn refused_credentials(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<RefusedCredential>> {
        read_once!(self.read_one(tenant), conn => log::refused_credentials(conn, tenant, connection))
    }

    async fn forget_log(&self, tenant: &TenantId, before: Instant, limit: i64) -> Result<u64> {
        let scope = self.scope(tenant);
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { journal::forget(conn, &scope.tenant, before, limit).await })).await
    }
}
