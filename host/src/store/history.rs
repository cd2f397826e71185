//! History as the store keeps it sealed: events by their stored columns, batches, and what stood from when to when.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Result;
use crate::model::{AccountId, Instant, RevisionHash, RoleId, TenantId};

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;
/// The most standings of one role or account that a page looks at; those of another time are passed over.
pub const STANDINGS_SCAN_LIMIT: i64 = 10_000;

/// An event by the columns that are sealed: personal values as the ciphertext that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its public number.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub kind: String,
    /// The kind of who caused it.
    pub actor_kind: String,
    /// Who caused it.
    pub actor_id: String,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// The account concerned.
    pub account: Option<String>,
    /// The facts, as JSON text, byte for byte.
    pub data: String,
    /// Personal values, sealed under the person's key.
    pub personal: Option<Vec<u8>>,
}

/// A sealed batch of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number, ascending from 1.
    pub number: i64,
    /// The number of its first event.
    pub first: i64,
    /// The number of its last event.
    pub last: i64,
    /// When it was sealed.
    pub sealed: Instant,
    /// The hash over its events and the hash of the batch before.
    pub hash: Vec<u8>,
    /// The signature of this head.
    pub signature: Vec<u8>,
}

/// A batch with the hash of each of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestedBatch {
    /// The batch.
    pub batch: Batch,
    /// [`HASH_BYTES`] for each event, in order.
    pub digests: Vec<u8>,
}

/// What stood from when to when: a grant or, without a role, an account's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The number of the event that began it.
    pub seq: i64,
    /// The account.
    pub account: AccountId,
    /// The role; `None` for the account's own state.
    pub role: Option<RoleId>,
    /// The state of the grant or of the account, as a word.
    pub state: String,
    /// Why, as JSON text: a list of [`crate::model::Reason`].
    pub reasons: String,
    /// The revision that decided.
    pub revision: Option<RevisionHash>,
    /// Why an account was held or out of scope: a word.
    pub note: Option<String>,
    /// When a retained grant was to fall.
    pub deadline: Option<Instant>,
    /// From when.
    pub since: Instant,
    /// Until when, exclusive; `None` while it stands.
    pub until: Option<Instant>,
    /// The number of the event that ended it.
    pub until_seq: Option<i64>,
    /// Since when the role was held without a break.
    pub held_since: Instant,
    /// The number of the event with which that began.
    pub held_seq: i64,
}

/// A standing as it is told, with what is known of its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What stood.
    pub standing: Standing,
    /// The login name that the account has now; `None` without one.
    pub user_name: Option<String>,
}

/// A page of standings, in the order in which they began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldPage {
    /// Those that stood at some moment of the time that was asked about.
    pub held: Vec<Held>,
    /// The number behind which the next page begins; `None` on the last one. A page may hold fewer than asked for and yet not be
    /// the last, where [`STANDINGS_SCAN_LIMIT`] were looked at.
    pub next: Option<i64>,
}

/// A span of time: from an instant, until before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From.
    pub from: Instant,
    /// Until, exclusive.
    pub to: Instant,
}

/// Whose standings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of everybody who had a role.
    Role(RoleId),
    /// Of an account: its roles and its own states.
    Account(AccountId),
}

/// What the next batch is to be made of, in one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsealed {
    /// The last batch.
    pub head: Option<Batch>,
    /// The events behind it, in order.
    pub events: Vec<StoredEvent>,
    /// Whether there are others behind these.
    pub more: bool,
}

/// What a range of history is verified by, in one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The batch before the first.
    pub before: Option<Batch>,
    /// Batches whose numbers follow one another, as many as the bounds allow.
    pub batches: Vec<DigestedBatch>,
    /// The stored events that these batches cover, by the number of their digests.
    pub events: Vec<StoredEvent>,
    /// The standings that began with one of them.
    pub standings: Vec<Standing>,
    /// Whether these are the last batches.
    pub complete: bool,
    /// With the last batches, what is behind them.
    pub tail: Option<Tail>,
}

/// What is behind the last sealed event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The number that the tenant gave last.
    pub counted: i64,
    /// The lowest number that there is.
    pub lowest: Option<i64>,
    /// The highest number that there is.
    pub highest: Option<i64>,
    /// The first numbers behind the last batch.
    pub unsealed: Vec<i64>,
}

/// Where verifying begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the batch that the event with this number is in.
    Event(i64),
    /// Behind the batch with this number.
    Behind(i64),
}

/// Bounds of what is read at once to be verified.
#[derive(Clone, Copy, Debug)]
pub struct VerifyBounds {
    /// Batches.
    pub batches: i64,
    /// Events; of one batch that has more, all.
    pub events: i64,
    /// Bytes of events; of one batch that has more, all.
    pub bytes: i64,
}

/// History, sealed.
#[async_trait]
pub trait History: Send + Sync {
    /// Tenants with numbered events that are not sealed yet.
    async fn unsealed(&self) -> Result<Vec<TenantId>>;

    /// What the next batch is to be made of: at most `limit` events, which have at most `bytes_limit` bytes together. One that has more by
    /// itself is alone.
    async fn next_batch(&self, tenant: &TenantId, limit: i64, bytes_limit: i64) -> Result<Unsealed>;
    /// The newest standing of each of these accounts and roles (`""` for the account's state) that began before `before`.
    async fn latest_standings(&self, tenant: &TenantId, keys: &[(AccountId, String)], before: i64) -> Result<Vec<Standing>>;
    /// Keeps a batch with what its events began and ended. `false`, and nothing is kept, when another host has sealed one with this number.
    async fn seal_batch(&self, tenant: &TenantId, batch: &DigestedBatch, began: &[Standing], ended: &[Standing]) -> Result<bool>;
    /// Batches behind a number, ascending.
    async fn batches(&self, tenant: &TenantId, after: i64, limit: i64) -> Result<Vec<Batch>>;
    /// The last batch.
    async fn last_batch(&self, tenant: &TenantId) -> Result<Option<Batch>>;
    /// What history is verified by: batches whose numbers follow one another.
    async fn evidence(&self, tenant: &TenantId, start: Start, bounds: VerifyBounds) -> Result<Evidence>;
    /// A batch by its number.
    async fn batch(&self, tenant: &TenantId, number: i64) -> Result<Option<Batch>>;
    /// Stored events by their numbers, those that exist.
    async fn events_at(&self, tenant: &TenantId, seqs: &[i64]) -> Result<Vec<StoredEvent>>;
    /// The login names that these accounts have now, of those that have one.
    async fn account_names(&self, tenant: &TenantId, accounts: &[AccountId]) -> Result<BTreeMap<AccountId, String>>;
    /// What stood at some moment of a span, of those that began behind the event `after`.
    async fn held(&self, tenant: &TenantId, whose: &Whose, span: Span, after: i64, limit: i64) -> Result<HeldPage>;
}
