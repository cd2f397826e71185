//! The methods of [`Steps`]: each opens what it needs and calls one function of `steps` or `invitations`.

use async_trait::async_trait;

use super::{Backend, Conn, give_up, has_nul, invitations, is_lost, left, steps};
use crate::model::{Actor, Instant, Invitation, Passage, Process, TenantId};
use crate::store::{FoundInvitation, InvitationQuery, Left, NewInvitation, ProcessQuery, Result, StepSaid, Steps, StoreError};

fn known(id: &str, what: &'static str) -> Result<String> {
    if has_nul(id) { Err(StoreError::Missing(what)) } else { Ok(id.to_owned()) }
}

fn is_nobody(account: Option<&crate::model::AccountId>, after: Option<&str>) -> bool {
    account.is_some_and(|account| has_nul(account.as_str())) || after.is_some_and(has_nul)
}

#[async_trait]
impl Steps for Backend {
    async fn processes(&self, tenant: &TenantId, query: &ProcessQuery) -> Result<Vec<Process>> {
        if is_nobody(query.account.as_ref(), query.after.as_deref()) {
            return Ok(Vec::new());
        }
        steps::list(&mut *self.read(tenant).await?, tenant, query).await
    }

    async fn process(&self, tenant: &TenantId, process: &str) -> Result<Option<Process>> {
        if has_nul(process) {
            return Ok(None);
        }
        steps::find(&mut *self.read(tenant).await?, tenant, process).await
    }

    async fn say_of_step(&self, tenant: &TenantId, process: &str, step: &str, said: &StepSaid) -> Result<Process> {
        let (scope, said) = (self.scope(tenant), said.clone());
        let (process, step) = (known(process, "process")?, known(step, "step of the process")?);
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { steps::say(conn, &scope, &process, &step, &said).await })).await
    }

    async fn invitations(&self, tenant: &TenantId, query: &InvitationQuery) -> Result<Vec<Invitation>> {
        if is_nobody(query.account.as_ref(), query.after.as_deref()) {
            return Ok(Vec::new());
        }
        read_once!(self.read_one(tenant), conn => invitations::list(conn, tenant, query))
    }

    async fn invite(&self, tenant: &TenantId, new: &NewInvitation) -> Result<Invitation> {
        let (scope, new) = (self.scope(tenant), new.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { invitations::invite(conn, &scope, &new).await })).await
    }

    async fn revoke_invitation(&self, tenant: &TenantId, invitation: &str, actor: &Actor, at: Instant) -> Result<Invitation> {
        let (scope, actor, id) = (self.scope(tenant), actor.clone(), known(invitation, "open invitation")?);
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { invitations::revoke(conn, &scope, &id, &actor, at).await })).await
    }

    async fn find_invitation(&self, tenant: &TenantId, hash: &str) -> Result<Option<FoundInvitation>> {
        if has_nul(tenant.as_str()) {
            return Ok(None);
        }
        read_once!(self.read_one(tenant), conn => invitations::by_hash(conn, tenant, hash))
    }

    async fn accept_invitation(&self, tenant: &TenantId, invitation: &str, at: Instant) -> Result<bool> {
        let (scope, id) = (self.scope(tenant), invitation.to_owned());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { invitations::accept(conn, &scope, &id, at).await })).await
    }

    async fn tenants_with_left(&self, limit: i64) -> Result<Vec<TenantId>> {
        read_once!(self.read_platform(), conn => left::tenants(conn, limit))
    }

    async fn left(&self, tenant: &TenantId, limit: i64) -> Result<Vec<Left>> {
        read_once!(self.read_one(tenant), conn => left::list(conn, tenant, limit))
    }

    async fn begin_left(&self, tenant: &TenantId, left: Vec<(Left, Passage)>, actor: &Actor, at: Instant) -> Result<i64> {
        let (scope, actor) = (self.scope(tenant), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { left::begin(conn, &scope, left, &actor, at).await })).await
    }

    async fn with_overdue(&self, now: Instant, limit: i64) -> Result<Vec<TenantId>> {
        read_once!(self.read_platform(), conn => steps::with_overdue(conn, now, limit))
    }

    async fn tell_overdue(&self, tenant: &TenantId, limit: i64, actor: &Actor, at: Instant) -> Result<i64> {
        let (scope, actor) = (self.scope(tenant), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { steps::tell_overdue(conn, &scope, limit, &actor, at).await })).await
    }
}
