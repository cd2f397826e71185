//! The methods of [`Restores`]: each opens what it needs and calls one function of `restores`.

use async_trait::async_trait;

use super::{Backend, Conn, give_up, has_nul, is_lost, restores};
use crate::model::{Actor, ConnectionId, Instant, ResourceId, Restored, TenantId};
use crate::store::{Restore, Restores, Result, StoreError, UntouchedPage};

#[async_trait]
impl Restores for Backend {
    async fn put_restore(&self, restore: &Restore) -> Result<()> {
        let restore = restore.clone();
        self.write_platform(move |conn: &mut Conn| Box::pin(async move { restores::put(conn, &restore).await })).await
    }

    async fn open_restores(&self) -> Result<Vec<Restore>> {
        read_once!(self.read_platform(), conn => restores::open(conn))
    }

    async fn carry_restore(&self, tenant: &TenantId, restore: &Restore) -> Result<bool> {
        let (scope, restore) = (self.scope(tenant), restore.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { restores::carry(conn, &scope, &restore).await })).await
    }

    async fn finish_restore(&self, restore: &Restore) -> Result<()> {
        let restore = restore.clone();
        self.write_platform(move |conn: &mut Conn| Box::pin(async move { restores::finish(conn, &restore).await })).await
    }

    async fn untouched(&self, tenant: &TenantId, connection: &ConnectionId, after: Option<&ResourceId>) -> Result<UntouchedPage> {
        if has_nul(connection.as_str()) || after.is_some_and(|after| has_nul(after.as_str())) {
            return Err(StoreError::Missing("connection"));
        }
        restores::untouched(&mut *self.read(tenant).await?, tenant, connection, after).await
    }

    async fn release_restored(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        why: &str,
        actor: &Actor,
        at: Instant,
    ) -> Result<Restored> {
        if has_nul(connection.as_str()) || has_nul(why) {
            return Err(StoreError::Missing("connection"));
        }
        let (scope, connection, why, actor) = (self.scope(tenant), connection.clone(), why.to_owned(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { restores::release(conn, &scope, &connection, &why, &actor, at).await })
        })
        .await
    }
}
