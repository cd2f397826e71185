//! The methods of [`Moves`]: each opens what it needs and calls one function of `moving` or `adoption`.

use async_trait::async_trait;

use super::{Backend, Conn, adoption, give_up, has_nul, is_lost, moving};
use crate::model::{Actor, ConnectionId, Handle, Instant, ResourceId, TenantId};
use crate::store::{GoBack, MovedAway, MovedPerson, Moves, Result, StoreError, Unadopted};

#[async_trait]
impl Moves for Backend {
    async fn set_predecessor(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        predecessor: Option<&ConnectionId>,
        actor: &Actor,
        at: Instant,
    ) -> Result<()> {
        if predecessor.is_some_and(|predecessor| has_nul(predecessor.as_str())) {
            return Err(StoreError::Missing("connection"));
        }
        let (scope, connection, predecessor, actor) = (self.scope(tenant), connection.clone(), predecessor.cloned(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { moving::set_predecessor(conn, &scope, &connection, predecessor.as_ref(), (&actor, at)).await })
        })
        .await
    }

    async fn predecessor(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Option<ConnectionId>> {
        read_once!(self.read_one(tenant), conn => moving::predecessor(conn, tenant, connection))
    }

    async fn shares_handle(&self, tenant: &TenantId, connection: &ConnectionId, other: &ConnectionId, handle: &Handle) -> Result<bool> {
        read_once!(self.read_one(tenant), conn => moving::shares_handle(conn, tenant, (connection, other), handle))
    }

    async fn untaken(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        after: Option<&ResourceId>,
        limit: i64,
    ) -> Result<Vec<Unadopted>> {
        let mut tx = self.read(tenant).await?;
        adoption::untaken(&mut tx, tenant, connection, after.map_or("", ResourceId::as_str), limit).await
    }

    async fn moved(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        after: Option<&ResourceId>,
        limit: i64,
    ) -> Result<Vec<MovedPerson>> {
        let after = after.map_or("", ResourceId::as_str);
        read_once!(self.read_one(tenant), conn => moving::moved(conn, tenant, connection, after, limit))
    }

    async fn moved_away(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<MovedAway>> {
        read_once!(self.read_one(tenant), conn => moving::moved_away(conn, tenant, connection))
    }

    async fn go_back(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        people: &[GoBack],
        totals: &serde_json::Value,
        actor: &Actor,
        at: Instant,
    ) -> Result<()> {
        let (scope, connection, people) = (self.scope(tenant), connection.clone(), people.to_vec());
        let (totals, actor) = (totals.clone(), actor.clone());
        self.write_everything(tenant, move |conn: &mut Conn| {
            Box::pin(async move { moving::go_back(conn, &scope, &connection, (&people, &totals), (&actor, at)).await })
        })
        .await
    }
}
