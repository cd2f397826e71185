//! The methods of [`Healths`]: each opens what it needs and calls one function of `health`.

use async_trait::async_trait;

use super::{Backend, Conn, give_up, has_nul, health, is_lost};
use crate::model::{Actor, ConnectionId, HealthSettings, Instant, TenantId, Traffic};
use crate::store::{HealthCase, Healths, KeptHealth, Result, StoreError};

#[async_trait]
impl Healths for Backend {
    async fn health_cases(&self, tenant: &TenantId, only: Option<&ConnectionId>, now: Instant) -> Result<Vec<HealthCase>> {
        if only.is_some_and(|connection| has_nul(connection.as_str())) {
            return Ok(Vec::new());
        }
        read_once!(self.read_one(tenant), conn => health::cases(conn, tenant, only, now))
    }

    async fn keep_health(&self, tenant: &TenantId, kept: &[KeptHealth], actor: &Actor, at: Instant) -> Result<Vec<ConnectionId>> {
        let (scope, kept, actor) = (self.scope(tenant), kept.to_vec(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { health::keep(conn, &scope, &kept, &actor, at).await })).await
    }

    async fn put_health_settings(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        settings: Option<&HealthSettings>,
        actor: &Actor,
        at: Instant,
    ) -> Result<()> {
        if has_nul(connection.as_str()) {
            return Err(StoreError::Missing("connection"));
        }
        let (scope, connection, settings, actor) = (self.scope(tenant), connection.clone(), settings.cloned(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { health::put_settings(conn, &scope, &connection, settings.as_ref(), &actor, at).await })
        })
        .await
    }

    async fn traffic(&self, tenant: &TenantId, connection: &ConnectionId, since: Instant, limit: i64) -> Result<Vec<(Instant, Traffic)>> {
        if has_nul(connection.as_str()) {
            return Ok(Vec::new());
        }
        read_once!(self.read_one(tenant), conn => health::traffic(conn, tenant, connection, since, limit))
    }

    async fn forget_traffic(&self, tenant: &TenantId, before: Instant, limit: i64) -> Result<u64> {
        let scope = self.scope(tenant);
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { health::forget(conn, &scope.tenant, before, limit).await })).await
    }
}
