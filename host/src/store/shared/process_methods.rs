//! The methods of [`Processes`]: each opens what it needs and calls one function of `departures`.

use async_trait::async_trait;

use super::{Backend, Conn, departures, give_up, is_lost};
use crate::model::{AccountId, Instant, TenantId};
use crate::store::{Departures, Erasure, Processes, Result};

#[async_trait]
impl Processes for Backend {
    async fn departures(&self, tenant: &TenantId, account: &AccountId) -> Result<Departures> {
        let mut tx = self.read(tenant).await?;
        departures::of(&mut tx, tenant, account).await
    }

    async fn erasable(&self, tenant: &TenantId, removed_before: Instant, limit: i64) -> Result<Vec<AccountId>> {
        read_once!(self.read_one(tenant), conn => departures::erasable(conn, tenant, removed_before, limit))
    }

    async fn erase(&self, tenant: &TenantId, accounts: &[AccountId], erasure: &Erasure) -> Result<i64> {
        let (scope, accounts, erasure) = (self.scope(tenant), accounts.to_vec(), erasure.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { departures::erase(conn, &scope, &accounts, &erasure).await })).await
    }
}
