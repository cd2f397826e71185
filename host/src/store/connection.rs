//! A connection, and what the store keeps of it beside its resources: other ways to authenticate than a bearer token, the client
//! quirks that were counted, and the provisioning log.

use async_trait::async_trait;
use rolecall_scim::ResourceKind;
use serde::{Deserialize, Serialize};

use super::{ConnectionCredential, Counted, HeardRevision, Result, TokenInfo};
use crate::model::{
    AccountId, Actor, ConnectionId, ConnectionState, Instant, Issuer, LogDetail, OutcomeClass, OutcomeCode, RefusedCredential, ResourceId,
    Restored, TenantId,
};

/// A connection as administered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Connection {
    /// Its id, part of the base URL.
    pub id: ConnectionId,
    /// Its name for people, unique in the tenant.
    pub name: String,
    /// In staging, active, paused, quarantined, or restored.
    pub state: ConnectionState,
    /// While it is restored: from which backup, and what it was then.
    pub restored: Option<Restored>,
    /// Whether the guard counts its people.
    pub guarded: bool,
    /// When it was created.
    pub created: Instant,
    /// When a request with a good credential last came.
    pub last_seen: Option<Instant>,
    /// How many requests came with a wrong credential since creation.
    pub wrong_credentials: i64,
    /// Its tokens, newest first and without their secrets. Ended ones stay until the next rotation.
    pub tokens: Vec<TokenInfo>,
    /// The secrets of its OAuth client, likewise; none when it has no client. The client's id is the connection's.
    pub client_secrets: Vec<TokenInfo>,
    /// The issuer whose JWTs it accepts.
    pub issuer: Option<String>,
}

/// A connection's issuer with what is known of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredIssuer {
    /// The tenant.
    pub tenant: TenantId,
    /// The connection.
    pub connection: ConnectionId,
    /// Its state.
    pub state: ConnectionState,
    /// When a request with a good credential last came.
    pub last_seen: Option<Instant>,
    /// Which tokens are good.
    pub settings: Issuer,
    /// The keys as they were given or fetched last: a JSON Web Key Set.
    pub keys: Option<String>,
    /// When they were fetched; `None` for keys that were given.
    pub fetched: Option<Instant>,
    /// The tenant's active revision.
    pub revision: HeardRevision,
}

/// How often a client's quirk was met on a connection, and what it looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Dialect {
    /// The quirk's word.
    pub quirk: String,
    /// Requests that had it.
    pub seen: i64,
    /// Those of them that were carried out.
    pub handled: i64,
    /// When it was last seen.
    pub last_seen: Instant,
    /// A request that had it, without values.
    pub example: String,
}

/// One request that writes or that was refused, or one operation of a bulk request, in the provisioning log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When it was answered.
    pub at: Instant,
    /// The request, as in events and in the server's own log.
    pub request_id: String,
    /// `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: String,
    /// What it was about, where that is known.
    pub kind: Option<ResourceKind>,
    /// The resource, where there is one.
    pub resource: Option<ResourceId>,
    /// The status of the answer.
    pub status: u16,
    /// The keyword of a refusal.
    pub scim_type: Option<String>,
    /// Why it was refused, without values.
    pub reason: Option<String>,
    /// Operations that changed something.
    pub applied: i64,
    /// Operations that changed nothing.
    pub no_op: i64,
    /// Operations that were refused.
    pub refused: i64,
    /// What it came to, in one word.
    pub code: OutcomeCode,
    /// What else there is to say of it.
    pub detail: LogDetail,
}

/// An entry as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEntry {
    /// Where it is: ascending, with gaps.
    pub position: i64,
    /// The connection.
    pub connection: ConnectionId,
    /// The account of the person whom it is about, while the identity provider has not deleted them.
    pub account: Option<AccountId>,
    /// The entry.
    pub entry: LogEntry,
}

/// The part of the log that is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogSide {
    /// The newest entries.
    #[default]
    Newest,
    /// Those before a position, the nearest ones.
    Before(i64),
    /// Those behind a position, the nearest ones.
    After(i64),
}

/// Which entries are wanted; what names nothing chooses nothing out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSearch {
    /// Of this connection.
    pub connection: Option<ConnectionId>,
    /// About this person or group.
    pub resource: Option<ResourceId>,
    /// Of this request.
    pub request: Option<String>,
    /// With this outcome.
    pub code: Option<OutcomeCode>,
    /// With an outcome of this class.
    pub class: Option<OutcomeClass>,
    /// By this method.
    pub method: Option<String>,
    /// Not before.
    pub from: Option<Instant>,
    /// Before.
    pub until: Option<Instant>,
    /// Where.
    pub side: LogSide,
    /// How many: at least 1, bounded by the caller.
    pub limit: i64,
}

/// Entries that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFound {
    /// In the order of their positions.
    pub entries: Vec<FoundEntry>,
    /// The lowest and the highest position up to which everything was looked at; `None` where there was nothing to look at. A search looks at
    /// no more than [`LOG_SCAN_LIMIT`] entries, so that it may find fewer than asked for and there may be more.
    pub looked: Option<(i64, i64)>,
    /// Whether there may be more in the direction of the search.
    pub more: bool,
}

/// The most entries that one search of the log looks at.
pub const LOG_SCAN_LIMIT: i64 = 5_000;

/// What was gathered of a tenant's connections, to be written together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gathered {
    /// Client quirks, counted.
    pub dialects: Vec<(ConnectionId, Dialect)>,
    /// Entries of the provisioning log.
    pub entries: Vec<(ConnectionId, LogEntry)>,
    /// What came, counted.
    pub counted: Vec<Counted>,
    /// Refused credentials, those that are alike together: the last one, how many, the first and the last instant.
    pub refusals: Vec<(ConnectionId, RefusedCredential)>,
}

/// Everything that is asked about one connection beside its resources.
#[async_trait]
pub trait Connections: Send + Sync {
    /// A stored secret by its id; for access tokens, which name the secret that they were given for.
    async fn credential(&self, tenant: &TenantId, connection: &ConnectionId, id: &str) -> Result<Option<ConnectionCredential>>;
    /// Ends all of the connection's client secrets. `Missing` when there are none.
    async fn remove_client(&self, tenant: &TenantId, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<()>;

    /// Sets the connection's issuer; with `keys` where they are given. What was fetched before is forgotten.
    async fn put_issuer(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        issuer: &Issuer,
        keys: Option<&str>,
        actor: &Actor,
        at: Instant,
    ) -> Result<()>;
    /// The connection accepts no JWTs any more. `Missing` when it accepted none.
    async fn remove_issuer(&self, tenant: &TenantId, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<()>;
    /// The connection's issuer.
    async fn issuer(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Option<Issuer>>;
    /// Whether the caller may try to fetch the issuer's keys: nobody has since `before`. Counts as an attempt at `at`.
    async fn claim_keys(&self, tenant: &TenantId, connection: &ConnectionId, before: Instant, at: Instant) -> Result<bool>;
    /// Keeps keys that were fetched for these settings, if they still are the connection's.
    async fn keep_keys(&self, tenant: &TenantId, connection: &ConnectionId, issuer: &Issuer, keys: &str, at: Instant) -> Result<()>;

    /// Adds to the counts of quirks, of what came and of refused credentials, and puts entries into the provisioning log, each with the
    /// connection that it is of; of connections that are gone nothing is kept. The oldest entries beyond `keep` of each connection go.
    async fn record(&self, tenant: &TenantId, gathered: &Gathered, keep: i64) -> Result<()>;
    /// The counts of quirks, by word.
    async fn dialects(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<Dialect>>;
    /// Entries of the log.
    async fn search_log(&self, tenant: &TenantId, search: &LogSearch) -> Result<LogFound>;
    /// The credentials that were refused on a connection, the last one first.
    async fn refused_credentials(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<RefusedCredential>>;
    /// Removes entries that are older than `before`, at most `limit`, and refused credentials. Returns how many entries.
    async fn forget_log(&self, tenant: &TenantId, before: Instant, limit: i64) -> Result<u64>;
}
