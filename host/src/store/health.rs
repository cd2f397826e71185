//! Connections' health as it is stored: what was counted of them, what was learned, and what is made of it.

use async_trait::async_trait;

use super::Result;
use crate::model::{Actor, ConnectionId, ConnectionState, Health, HealthSettings, Instant, NewEvent, Standing, TenantId, Traffic};

/// A connection of which more slots than this are not taken in yet is caught up in several rounds.
pub const SLOTS_AT_ONCE: i64 = 10_000;
/// People who are counted for a connection's health: beyond it, it is many.
pub const HEALTH_PEOPLE_LIMIT: i64 = 10_000;

/// What was counted of a connection within a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The connection.
    pub connection: ConnectionId,
    /// When the slot began.
    pub slot: Instant,
    /// What came.
    pub traffic: Traffic,
}

/// What a connection is judged by.
#[derive(Clone, Debug)]
pub struct HealthCase {
    /// The connection.
    pub connection: ConnectionId,
    /// Its name.
    pub name: String,
    /// Whether it takes part.
    pub state: ConnectionState,
    /// How its people and credentials stand.
    pub standing: Standing,
    /// By which measures; `None` for the usual ones.
    pub settings: Option<HealthSettings>,
    /// What was learned, as text of the room that learns; `None` before the first time.
    pub memory: Option<String>,
    /// The last judgement.
    pub health: Option<Health>,
    /// What was counted since the last slot that was taken in, ascending.
    pub counted: Vec<(Instant, Traffic)>,
    /// The last slot that was taken in.
    pub taken_in: Instant,
    /// The version of what is stored: 0 before the first time.
    pub version: i64,
}

/// A judgement to be kept, if nobody has kept another one meanwhile.
#[derive(Clone, Debug)]
pub struct KeptHealth {
    /// The connection.
    pub connection: ConnectionId,
    /// What was learned.
    pub memory: String,
    /// The judgement.
    pub health: Health,
    /// The last slot that is part of it.
    pub taken_in: Instant,
    /// The version that it was made from.
    pub version: i64,
    /// What is to be told.
    pub event: Option<NewEvent>,
    /// The state that the connection gets.
    pub becomes: Option<ConnectionState>,
}

/// Health as it is stored.
#[async_trait]
pub trait Healths: Send + Sync {
    /// What a tenant's connections are judged by, all or one, by id.
    async fn health_cases(&self, tenant: &TenantId, only: Option<&ConnectionId>, now: Instant) -> Result<Vec<HealthCase>>;
    /// Keeps judgements; those that somebody else has made anew are left out. Returns which were kept.
    async fn keep_health(&self, tenant: &TenantId, kept: &[KeptHealth], actor: &Actor, at: Instant) -> Result<Vec<ConnectionId>>;
    /// Sets by which measures a connection is judged; `None` for the usual ones. `Missing` for an unknown connection.
    async fn put_health_settings(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        settings: Option<&HealthSettings>,
        actor: &Actor,
        at: Instant,
    ) -> Result<()>;
    /// What was counted of a connection since an instant, ascending, at most `limit` slots.
    async fn traffic(&self, tenant: &TenantId, connection: &ConnectionId, since: Instant, limit: i64) -> Result<Vec<(Instant, Traffic)>>;
    /// Removes what was counted before an instant, at most `limit` slots. Returns how many.
    async fn forget_traffic(&self, tenant: &TenantId, before: Instant, limit: i64) -> Result<u64>;
}
