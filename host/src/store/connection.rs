//! What the store keeps of a connection beside its resources: other ways to authenticate than a bearer token, the client
//! quirks that were counted, and the provisioning log.

use async_trait::async_trait;
use rolecall_scim::ResourceKind;
use serde::Serialize;

use super::{ConnectionCredential, Counted, Result};
use crate::model::{Actor, ConnectionId, ConnectionState, Instant, Issuer, ResourceId, TenantId};

/// What a stored secret of a connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// It is sent with every request.
    Bearer,
    /// It is exchanged for access tokens at the connection's token endpoint.
    ClientSecret,
}

impl CredentialKind {
    /// The word in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::ClientSecret => "client_secret",
        }
    }

    /// The kind that a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Bearer, Self::ClientSecret].into_iter().find(|kind| kind.word() == word)
    }
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

/// One request that writes, or one operation of a bulk request, in the provisioning log.
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

    /// Adds to the counts of quirks and of what came, and puts entries into the provisioning log, each with the connection that it is of; of
    /// connections that are gone nothing is kept. The oldest entries beyond `keep` of each connection go.
    async fn record(
        &self,
        tenant: &TenantId,
        dialects: &[(ConnectionId, Dialect)],
        entries: &[(ConnectionId, LogEntry)],
        counted: &[Counted],
        keep: i64,
    ) -> Result<()>;
    /// The counts of quirks, by word.
    async fn dialects(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<Dialect>>;
    /// Entries with their positions, ascending: those after `after`, or the newest ones.
    async fn log(&self, tenant: &TenantId, connection: &ConnectionId, after: Option<i64>, limit: i64) -> Result<Vec<(i64, LogEntry)>>;
    /// Removes entries that are older than `before`, at most `limit`. Returns how many.
    async fn forget_log(&self, tenant: &TenantId, before: Instant, limit: i64) -> Result<u64>;
}
