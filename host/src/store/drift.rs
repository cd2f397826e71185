//! Reconciliations as the store keeps them: what an export lists otherwise than stored, line by line, and what became of each.

use async_trait::async_trait;

use super::Result;
use crate::model::{
    AccountId, Actor, ConnectionId, DriftCounts, DriftDetail, DriftForecast, DriftKind, DriftLine, DriftOutcome, GuardSettings, Instant,
    Reconciliation, ReconciliationState, ResourceId, RulingState, TenantId,
};

/// The most lines that one call writes or reads: they are one transaction.
pub const DRIFT_LINES_AT_ONCE: usize = 500;

/// A reconciliation that begins.
#[derive(Clone, Debug)]
pub struct NewReconciliation {
    /// Its id.
    pub id: String,
    /// The connection.
    pub connection: ConnectionId,
    /// Whether the export lists everybody.
    pub complete: bool,
    /// Who uploaded it.
    pub actor: Actor,
    /// When.
    pub at: Instant,
    /// Until when it may be carried out.
    pub ends: Instant,
}

/// A line to be kept.
#[derive(Clone, Debug)]
pub struct NewDriftLine {
    /// Its number.
    pub line: i64,
    /// In which way.
    pub kind: DriftKind,
    /// The SCIM user and its account, where there is one.
    pub stored: Option<(ResourceId, AccountId)>,
    /// The version of the user that was compared.
    pub version: i64,
    /// Names and values.
    pub detail: DriftDetail,
}

/// Which lines are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct DriftQuery {
    /// Behind this one.
    pub after: i64,
    /// Of this kind.
    pub kind: Option<DriftKind>,
    /// With this outcome.
    pub outcome: Option<DriftOutcome>,
    /// At most so many.
    pub limit: i64,
}

/// What lines come to, found out by simulating them.
#[derive(Clone, Debug)]
pub struct Forecasted {
    /// The last line that was part of the digest before.
    pub from: i64,
    /// Lines with what they come to.
    pub lines: Vec<(i64, DriftForecast)>,
    /// The last line that is part of the digest now.
    pub to: i64,
    /// The digest.
    pub digest: String,
    /// Whether that was the last: it can be carried out from now on.
    pub last: bool,
    /// When.
    pub at: Instant,
}

/// Somebody has seen a reconciliation, and wants it to be carried out.
#[derive(Clone, Debug)]
pub struct CarryOut {
    /// What was seen.
    pub digest: String,
    /// Why.
    pub reason: String,
    /// By which settings people who lose access are held; `None` where nothing is.
    pub guard: Option<GuardSettings>,
    /// Who says so.
    pub actor: Actor,
    /// When.
    pub at: Instant,
    /// Until when its hold may be answered.
    pub ends: Instant,
}

/// What became of a line.
#[derive(Clone, Debug)]
pub struct DriftNoted {
    /// The line.
    pub line: i64,
    /// Whose account it was, where there was one.
    pub account: Option<AccountId>,
    /// The outcome.
    pub outcome: DriftOutcome,
    /// Why.
    pub note: Option<String>,
}

/// Reconciliations.
#[async_trait]
pub trait Drifts: Send + Sync {
    /// Begins one; a former one of the connection that nobody has carried out is given up for it. `Conflict{reconciliation}` while one is carried
    /// out; `Missing` for an unknown connection.
    async fn begin_reconciliation(&self, tenant: &TenantId, new: &NewReconciliation) -> Result<()>;
    /// Keeps lines of one that is loading, at most [`DRIFT_LINES_AT_ONCE`].
    async fn add_drift(&self, tenant: &TenantId, id: &str, lines: &[NewDriftLine]) -> Result<()>;
    /// All lines are there: they are to be simulated.
    async fn compared(&self, tenant: &TenantId, id: &str, counts: &DriftCounts, at: Instant) -> Result<()>;
    /// A reconciliation.
    async fn reconciliation(&self, tenant: &TenantId, id: &str) -> Result<Option<Reconciliation>>;
    /// Reconciliations, of all connections or one, newest first.
    async fn reconciliations(&self, tenant: &TenantId, connection: Option<&ConnectionId>, limit: i64) -> Result<Vec<Reconciliation>>;
    /// Lines, by number.
    async fn drift_lines(&self, tenant: &TenantId, id: &str, query: &DriftQuery) -> Result<Vec<DriftLine>>;
    /// The reconciliation, of all tenants, that has waited longest for a worker.
    async fn due_reconciliation(&self, now: Instant) -> Result<Option<(TenantId, String)>>;
    /// Claims it until `lease_until`, unless another host was quicker.
    async fn claim_reconciliation(&self, tenant: &TenantId, id: &str, now: Instant, lease_until: Instant) -> Result<bool>;
    /// Keeps what lines come to. Whether they were the next ones still.
    async fn keep_forecast(&self, tenant: &TenantId, id: &str, forecast: &Forecasted) -> Result<bool>;
    /// Lets it be carried out: whoever would lose access is held, all of them together, where they are more than may be. How many are held.
    /// `Conflict{digest}` where something else was seen; `Conflict{reconciliation}` where it is not ready.
    async fn carry_out(&self, tenant: &TenantId, id: &str, said: &CarryOut) -> Result<i64>;
    /// The next lines to be carried out, with what was said of those who were held. Whoever is held still is left out.
    async fn next_drift(&self, tenant: &TenantId, id: &str, limit: i64) -> Result<Vec<(DriftLine, Option<RulingState>)>>;
    /// Notes what became of lines. It is looked at again at `due`, or when the hold is answered. Whether lines are left, held ones among them.
    async fn note_drift(&self, tenant: &TenantId, id: &str, noted: &[DriftNoted], due: Instant) -> Result<bool>;
    /// Ends one, in that state and for that reason: what is left of it is `expired`, and nobody of it is held any more. `Conflict{reconciliation}` where it is over already.
    async fn end_reconciliation(
        &self,
        tenant: &TenantId,
        id: &str,
        ending: (ReconciliationState, Option<&str>),
        actor: &Actor,
        at: Instant,
        forget_at: Instant,
    ) -> Result<()>;
    /// Removes one that is over, with its lines.
    async fn forget_reconciliation(&self, tenant: &TenantId, id: &str) -> Result<()>;
}
