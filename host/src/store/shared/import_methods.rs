//! The methods of [`Imports`]: each opens what it needs and calls one function of `imports` or `adoption`.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Backend, Conn, adopting, adoption, askable, has_nul, imports};
use crate::model::{AccountId, Actor, ConnectionId, Instant, ResourceId, RevisionHash, TenantId};
use crate::store::{
    AdoptionPlan, AdoptionWord, DifferenceMark, ImportProblem, Imported, Imports, NewImport, Result, Staged, StoreError, Unadopted,
};

#[async_trait]
impl Imports for Backend {
    async fn import_accounts(
        &self,
        tenant: &TenantId,
        rows: &[NewImport],
        revision: Option<&RevisionHash>,
        dry_run: bool,
        actor: &Actor,
        at: Instant,
    ) -> Result<std::result::Result<Imported, BTreeMap<usize, ImportProblem>>> {
        let (scope, rows, revision, actor) = (self.scope(tenant), rows.to_vec(), revision.cloned(), actor.clone());
        self.write_everything(tenant, move |conn: &mut Conn| {
            Box::pin(async move { imports::write(conn, &scope, &rows, (revision.as_ref(), dry_run), (&actor, at)).await })
        })
        .await
    }

    async fn set_protected(
        &self,
        tenant: &TenantId,
        account: &AccountId,
        protected: bool,
        reason: &str,
        actor: &Actor,
        at: Instant,
    ) -> Result<()> {
        let (scope, account, reason, actor) = (self.scope(tenant), account.clone(), reason.to_owned(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { imports::set_protected(conn, &scope, &account, (protected, &reason), (&actor, at)).await })
        })
        .await
    }

    async fn staged(&self, tenant: &TenantId, connection: &ConnectionId, after: Option<&ResourceId>, limit: i64) -> Result<Vec<Staged>> {
        let mut tx = self.read(tenant).await?;
        adoption::staged(&mut tx, tenant, connection, after.map_or("", ResourceId::as_str), limit).await
    }

    async fn staged_of(&self, tenant: &TenantId, connection: &ConnectionId, users: &[ResourceId]) -> Result<Vec<Staged>> {
        let mut tx = self.read(tenant).await?;
        adoption::staged_of(&mut tx, tenant, connection, &askable(users)).await
    }

    async fn unadopted(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        after: Option<&AccountId>,
        limit: i64,
    ) -> Result<Vec<Unadopted>> {
        let mut tx = self.read(tenant).await?;
        adoption::unadopted(&mut tx, tenant, connection, after.map_or("", AccountId::as_str), limit).await
    }

    async fn difference_mark(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<DifferenceMark> {
        let mut tx = self.read(tenant).await?;
        adoption::mark_of(&mut tx, tenant, connection).await
    }

    async fn go_live(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        plan: &AdoptionPlan,
        mark: &DifferenceMark,
        actor: &Actor,
        at: Instant,
    ) -> Result<std::result::Result<(), DifferenceMark>> {
        let (scope, connection, plan, mark, actor) = (self.scope(tenant), connection.clone(), plan.clone(), mark.clone(), actor.clone());
        self.write_everything(tenant, move |conn: &mut Conn| {
            Box::pin(async move { adopting::go_live(conn, &scope, &connection, (&plan, &mark), (&actor, at)).await })
        })
        .await
    }

    async fn choose_account(&self, tenant: &TenantId, connection: &ConnectionId, word: &AdoptionWord) -> Result<()> {
        if has_nul(word.user.as_str()) {
            return Err(StoreError::Missing("user"));
        }
        let (scope, connection, word) = (self.scope(tenant), connection.clone(), word.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { adopting::choose(conn, &scope, &connection, &word).await })).await
    }
}
