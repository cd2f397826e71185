//! The methods of [`Rulings`]: each opens what it needs and calls one function of `rulings`.

use async_trait::async_trait;

use super::{Backend, Conn, give_up, has_nul, holds, is_lost, rulings, tenancy};
use crate::model::{AccountId, Actor, ConnectionId, Hold, HoldState, Instant, Ruling, TenantId};
use crate::store::{Answer, Answered, HeldPerson, Result, RulingQuery, Rulings, StoreError};

#[async_trait]
impl Rulings for Backend {
    async fn ruling(&self, tenant: &TenantId, ruling: &str) -> Result<Option<Ruling>> {
        if has_nul(ruling) {
            return Ok(None);
        }
        read_once!(self.read_one(tenant), conn => rulings::find(conn, tenant, ruling))
    }

    async fn rulings(&self, tenant: &TenantId, query: &RulingQuery) -> Result<Vec<Ruling>> {
        read_once!(self.read_one(tenant), conn => rulings::list(conn, tenant, query))
    }

    async fn make_exception(&self, tenant: &TenantId, ruling: &Ruling) -> Result<()> {
        let (scope, ruling) = (self.scope(tenant), ruling.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { rulings::make_exception(conn, &scope, &ruling).await })).await
    }

    async fn end_ruling(&self, tenant: &TenantId, ruling: &str, reason: Option<&str>, actor: &Actor, at: Instant) -> Result<Ruling> {
        if has_nul(ruling) {
            return Err(StoreError::Missing("ruling"));
        }
        let (scope, ruling, reason, actor) = (self.scope(tenant), ruling.to_owned(), reason.map(str::to_owned), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { rulings::end(conn, &scope, &ruling, reason.as_deref(), &actor, at).await })
        })
        .await
    }

    async fn answer_rulings(&self, tenant: &TenantId, which: &Answered, answer: &Answer) -> Result<i64> {
        let (scope, which, answer) = (self.scope(tenant), which.clone(), answer.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { rulings::answer(conn, &scope, &which, &answer).await })).await
    }

    async fn due_reminders(&self, now: Instant, limit: i64) -> Result<Vec<TenantId>> {
        read_once!(self.read_platform(), conn => rulings::due_reminders(conn, now, limit))
    }

    async fn remind(&self, tenant: &TenantId, limit: i64, actor: &Actor, at: Instant) -> Result<i64> {
        let (scope, actor) = (self.scope(tenant), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { rulings::remind(conn, &scope, limit, &actor, at).await })).await
    }

    async fn holds(&self, tenant: &TenantId, state: Option<HoldState>, after: Option<&str>, limit: i64) -> Result<Vec<Hold>> {
        read_once!(self.read_one(tenant), conn => holds::holds(conn, tenant, state, after, limit))
    }

    async fn hold(&self, tenant: &TenantId, hold: &str) -> Result<Option<Hold>> {
        if has_nul(hold) {
            return Ok(None);
        }
        read_once!(self.read_one(tenant), conn => holds::find_hold(conn, tenant, hold))
    }

    async fn people_in_hold(&self, tenant: &TenantId, hold: &str, after: Option<&AccountId>, limit: i64) -> Result<Vec<HeldPerson>> {
        read_once!(self.read_one(tenant), conn => holds::people(conn, tenant, hold, after.map_or("", AccountId::as_str), limit))
    }

    async fn resolved_holds(&self, limit: i64) -> Result<Vec<(TenantId, String)>> {
        read_once!(self.read_platform(), conn => holds::empty(conn, limit))
    }

    async fn close_resolved(&self, tenant: &TenantId, hold: &str, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, hold, actor) = (self.scope(tenant), hold.to_owned(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { holds::close_resolved(conn, &scope, &hold, &actor, at).await }))
            .await
    }

    async fn set_guarded(&self, tenant: &TenantId, connection: &ConnectionId, guarded: bool, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, connection, actor) = (self.scope(tenant), connection.clone(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { tenancy::set_guarded(conn, &scope, &connection, guarded, &actor, at).await })
        })
        .await
    }
}
