//! What the store says of people who have left, and what it erases of them.

use async_trait::async_trait;

use super::{Effect, Result};
use crate::model::{Account, AccountId, Actor, Grant, Instant, Ruling, TenantId};

/// The most events of a departure that are read: far more than one person has roles.
pub const DEPARTURE_EVENTS_LIMIT: i64 = 2_000;
/// The most people who are erased in one transaction.
pub const ERASED_AT_ONCE: i64 = 100;

/// An event that took access away.
#[derive(Clone, Debug, PartialEq)]
pub struct DepartureEvent {
    /// Its id.
    pub id: String,
    /// When.
    pub at: Instant,
    /// What happened.
    pub kind: String,
    /// Who or what caused it.
    pub actor: Actor,
    /// The request that did.
    pub request_id: Option<String>,
    /// The facts.
    pub data: serde_json::Value,
}

/// An event on its way to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepartureDelivery {
    /// The target.
    pub target: String,
    /// Whether deliveries to it are made.
    pub enabled: bool,
    /// The event.
    pub event: String,
    /// `waiting`, `acknowledged` or `dead`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// How the last attempt failed.
    pub problem: Option<String>,
    /// When it was acknowledged, or given up.
    pub finished: Option<Instant>,
}

/// What took access away from an account, newest first, and where that is delivered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Departures {
    /// The events.
    pub events: Vec<DepartureEvent>,
    /// Their deliveries, by target.
    pub deliveries: Vec<DepartureDelivery>,
    /// When nothing personal was left of the account.
    pub erased: Option<Instant>,
}

/// Why people are erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// `retention` or `request`.
    pub why: &'static str,
    /// A reference for the record, without personal data.
    pub reference: Option<String>,
    /// Who erases.
    pub actor: Actor,
    /// When.
    pub at: Instant,
}

/// The most people without a user who are settled in one transaction.
pub const DEPARTED_AT_ONCE: i64 = 50;

/// The account of somebody whom the identity provider has deleted: nothing evaluates it.
#[derive(Clone, Debug, PartialEq)]
pub struct Departed {
    /// The account.
    pub account: Account,
    /// What is left of its grants, by role.
    pub grants: Vec<Grant>,
    /// What people have said that counts still.
    pub rulings: Vec<Ruling>,
    /// The other account that has its name by now.
    pub holder: Option<AccountId>,
}

/// People who have left.
#[async_trait]
pub trait Processes: Send + Sync {
    /// What took access away from an account.
    async fn departures(&self, tenant: &TenantId, account: &AccountId) -> Result<Departures>;
    /// The tenants, of all, in which something that was said of deleted people is to be settled: of at most `limit` of them.
    async fn due_departed(&self, now: Instant, limit: i64) -> Result<Vec<TenantId>>;
    /// The deleted people of whom something is to be settled, those who have waited longest first, at most `limit`.
    async fn departed(&self, tenant: &TenantId, now: Instant, limit: i64) -> Result<Vec<Departed>>;
    /// Commits what becomes of them; whoever has come back meanwhile, or of whom something else was said, is left as they are. An
    /// effect's next date says when to look again. How many were settled. `Conflict{account_name}` when a name was taken meanwhile.
    async fn settle_departed(&self, tenant: &TenantId, settled: &[(Departed, Effect)], actor: &Actor, at: Instant) -> Result<i64>;
    /// Removed accounts that have stood so since an instant, are not erased and can't come back by an answer to a hold; those that were
    /// removed first, at most `limit`.
    async fn erasable(&self, tenant: &TenantId, removed_before: Instant, limit: i64) -> Result<Vec<AccountId>>;
    /// Erases what is personal of removed accounts: their keys, and with them the personal values of their events, names, profiles, the
    /// words of rulings, the identity providers' ids. How many were erased: those that came back, were erased before, or may be
    /// given back by an answer to a hold are left.
    async fn erase(&self, tenant: &TenantId, accounts: &[AccountId], erasure: &Erasure) -> Result<i64>;
}
