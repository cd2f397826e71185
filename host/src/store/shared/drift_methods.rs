//! The methods of [`Drifts`]: each opens what it needs and calls one function of `drift`.

use async_trait::async_trait;

use super::{Backend, Conn, drift, give_up, has_nul, is_lost};
use crate::model::{Actor, ConnectionId, DriftCounts, DriftLine, Instant, Reconciliation, ReconciliationState, RulingState, TenantId};
use crate::store::{CarryOut, DriftNoted, DriftQuery, Drifts, Forecasted, NewDriftLine, NewReconciliation, Result};

#[async_trait]
impl Drifts for Backend {
    async fn begin_reconciliation(&self, tenant: &TenantId, new: &NewReconciliation) -> Result<()> {
        let (scope, new) = (self.scope(tenant), new.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { drift::begin(conn, &scope, &new).await })).await
    }

    async fn add_drift(&self, tenant: &TenantId, id: &str, lines: &[NewDriftLine]) -> Result<()> {
        let (scope, id, lines) = (self.scope(tenant), id.to_owned(), lines.to_vec());
        self.write_behind(tenant, move |conn: &mut Conn| Box::pin(async move { drift::add(conn, &scope, &id, &lines).await })).await
    }

    async fn compared(&self, tenant: &TenantId, id: &str, counts: &DriftCounts, at: Instant) -> Result<()> {
        let (scope, id, counts) = (self.scope(tenant), id.to_owned(), counts.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { drift::compared(conn, &scope, &id, &counts, at).await })).await
    }

    async fn reconciliation(&self, tenant: &TenantId, id: &str) -> Result<Option<Reconciliation>> {
        if has_nul(id) {
            return Ok(None);
        }
        read_once!(self.read_one(tenant), conn => drift::find(conn, tenant, id))
    }

    async fn reconciliations(&self, tenant: &TenantId, connection: Option<&ConnectionId>, limit: i64) -> Result<Vec<Reconciliation>> {
        if connection.is_some_and(|connection| has_nul(connection.as_str())) {
            return Ok(Vec::new());
        }
        read_once!(self.read_one(tenant), conn => drift::list(conn, tenant, connection, limit))
    }

    async fn drift_lines(&self, tenant: &TenantId, id: &str, query: &DriftQuery) -> Result<Vec<DriftLine>> {
        if has_nul(id) {
            return Ok(Vec::new());
        }
        drift::lines(&mut *self.read(tenant).await?, &self.scope(tenant), id, query).await
    }

    async fn due_reconciliation(&self, now: Instant) -> Result<Option<(TenantId, String)>> {
        read_once!(self.read_platform(), conn => drift::due(conn, now))
    }

    async fn claim_reconciliation(&self, tenant: &TenantId, id: &str, now: Instant, lease_until: Instant) -> Result<bool> {
        let (scope, id) = (self.scope(tenant), id.to_owned());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { drift::claim(conn, &scope.tenant, &id, now, lease_until).await }))
            .await
    }

    async fn keep_forecast(&self, tenant: &TenantId, id: &str, forecast: &Forecasted) -> Result<bool> {
        let (scope, id, forecast) = (self.scope(tenant), id.to_owned(), forecast.clone());
        self.write_behind(tenant, move |conn: &mut Conn| Box::pin(async move { drift::keep_forecast(conn, &scope, &id, &forecast).await }))
            .await
    }

    async fn carry_out(&self, tenant: &TenantId, id: &str, said: &CarryOut) -> Result<i64> {
        let (scope, id, said) = (self.scope(tenant), id.to_owned(), said.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { drift::carry_out(conn, &scope, &id, &said).await })).await
    }

    async fn next_drift(&self, tenant: &TenantId, id: &str, limit: i64) -> Result<Vec<(DriftLine, Option<RulingState>)>> {
        drift::next(&mut *self.read(tenant).await?, &self.scope(tenant), id, limit).await
    }

    async fn note_drift(&self, tenant: &TenantId, id: &str, noted: &[DriftNoted], due: Instant) -> Result<bool> {
        let (scope, id, noted) = (self.scope(tenant), id.to_owned(), noted.to_vec());
        self.write_behind(tenant, move |conn: &mut Conn| Box::pin(async move { drift::note(conn, &scope, &id, &noted, due).await })).await
    }

    async fn end_reconciliation(
        &self,
        tenant: &TenantId,
        id: &str,
        (state, reason): (ReconciliationState, Option<&str>),
        actor: &Actor,
        at: Instant,
        forget_at: Instant,
    ) -> Result<()> {
        let (scope, id, reason, actor) = (self.scope(tenant), id.to_owned(), reason.map(str::to_owned), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { drift::end(conn, &scope, &id, (state, reason.as_deref(), forget_at), (&actor, at)).await })
        })
        .await
    }

    async fn forget_reconciliation(&self, tenant: &TenantId, id: &str) -> Result<()> {
        let (scope, id) = (self.scope(tenant), id.to_owned());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { drift::forget(conn, &scope.tenant, &id).await })).await
    }
}
