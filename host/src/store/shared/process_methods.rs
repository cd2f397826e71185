//! The methods of [`Processes`]: each opens what it needs and calls one function of `departures`.

use async_trait::async_trait;

use super::{Backend, Conn, departed, departures, give_up, is_lost};
use crate::model::{AccountId, Actor, Instant, TenantId};
use crate::store::{Departed, Departures, Effect, Erasure, Processes, Result};

#[async_trait]
impl Processes for Backend {
    async fn departures(&self, tenant: &TenantId, account: &AccountId) -> Result<Departures> {
        let mut tx = self.read(tenant).await?;
        departures::of(&mut tx, tenant, account).await
    }

    async fn due_departed(&self, now: Instant, limit: i64) -> Result<Vec<TenantId>> {
        read_once!(self.read_platform(), conn => departed::due_tenants(conn, now, limit))
    }

    async fn departed(&self, tenant: &TenantId, now: Instant, limit: i64) -> Result<Vec<Departed>> {
        departed::due(&mut *self.read(tenant).await?, tenant, now, limit).await
    }

    async fn settle_departed(&self, tenant: &TenantId, settled: &[(Departed, Effect)], actor: &Actor, at: Instant) -> Result<i64> {
        let (scope, settled, actor) = (self.scope(tenant), settled.to_vec(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { departed::settle(conn, &scope, &settled, &actor, at).await })).await
    }

    async fn erasable(&self, tenant: &TenantId, removed_before: Instant, limit: i64) -> Result<Vec<AccountId>> {
        read_once!(self.read_one(tenant), conn => departures::erasable(conn, tenant, removed_before, limit))
    }

    async fn erase(&self, tenant: &TenantId, accounts: &[AccountId], erasure: &Erasure) -> Result<i64> {
        let (scope, accounts, erasure) = (self.scope(tenant), accounts.to_vec(), erasure.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { departures::erase(conn, &scope, &accounts, &erasure).await })).await
    }
}
