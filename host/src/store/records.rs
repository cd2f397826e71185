//! What the store keeps of tenants' plugins beside their files: calls that failed, what was logged, and whose signatures count.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Result;
use crate::crypto::sha256_hex;
use crate::model::{
    AccountId, Actor, CallInput, ConnectionId, Failing, FailureDetail, FailureKind, Instant, LogLine, ResourceId, RevisionHash, TenantId,
};

/// Which plugin was asked about whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name that the plugin gives itself.
    pub plugin: String,
    /// Its digest.
    pub digest: String,
    /// `transform-user` or `propose-roles`.
    pub hook: String,
    /// The person's connection.
    pub connection: ConnectionId,
    /// The SCIM User.
    pub user: ResourceId,
}

/// A failure to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFailure {
    /// An unguessable id, used if it is the first of its like.
    pub id: String,
    /// When it happened last.
    pub at: Instant,
    /// When it is forgotten.
    pub until: Instant,
    /// How often it happened.
    pub times: i64,
    /// Which plugin, about whom.
    pub asked: Asked,
    /// The person's account.
    pub account: AccountId,
    /// The revision that was active.
    pub revision: RevisionHash,
    /// What happened.
    pub failing: Failing,
}

impl NewFailure {
    /// The same for failures that are counted as one: of the same person, plugin, hook and code.
    #[must_use]
    pub fn likeness(&self) -> String {
        let Asked { digest, hook, connection, user, .. } = &self.asked;
        let Failing { kind, code, .. } = &self.failing;
        sha256_hex(format!("{digest}\n{hook}\n{connection}\n{user}\n{kind}\n{code}").as_bytes())
    }
}

/// A failure as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Its place among the tenant's, ascending with gaps.
    pub position: i64,
    /// Its id.
    pub id: String,
    /// When it was first seen.
    pub first_at: Instant,
    /// When it was last seen: the rest is of that time.
    pub last_at: Instant,
    /// When it is forgotten.
    pub until: Instant,
    /// How often it was seen.
    pub times: i64,
    /// How the call ended.
    pub kind: FailureKind,
    /// The fault's code, or the plugin's own for a refusal.
    pub code: String,
    /// Which plugin, about whom.
    pub asked: Asked,
    /// The person's account.
    pub account: AccountId,
    /// The revision that was active.
    pub revision: RevisionHash,
    /// What was said and used.
    pub detail: FailureDetail,
}

/// Which failures.
#[derive(Clone, Debug, Default)]
pub struct FailureQuery {
    /// Only those with a lower position.
    pub before: Option<i64>,
    /// Only those that ended so.
    pub kind: Option<FailureKind>,
    /// Only those with this code.
    pub code: Option<String>,
    /// Only those of this hook.
    pub hook: Option<String>,
    /// Only those of the plugin with this name or digest.
    pub plugin: Option<String>,
    /// Only those about people of this connection.
    pub connection: Option<ConnectionId>,
    /// Only those about this SCIM User.
    pub user: Option<ResourceId>,
    /// Only those about this account.
    pub account: Option<AccountId>,
    /// Only those that were last seen at this instant or later.
    pub since: Option<Instant>,
    /// Only those that were first seen before this instant.
    pub until: Option<Instant>,
}

/// How many failures are kept.
#[derive(Clone, Copy, Debug)]
pub struct FailureBounds {
    /// Of one plugin.
    pub of_plugin: i64,
    /// Of a tenant.
    pub of_tenant: i64,
}

/// A line that a plugin logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Instant,
    /// Which plugin, about whom.
    pub asked: Asked,
    /// What it said.
    pub line: LogLine,
}

/// Which lines.
#[derive(Clone, Debug, Default)]
pub struct LineQuery {
    /// Only those behind this position, oldest first; the newest ones unless given.
    pub after: Option<i64>,
    /// Only those of this level or a more urgent one: a rank of [`crate::model::LEVELS`].
    pub level: i64,
    /// Only those of this hook.
    pub hook: Option<String>,
    /// Only those of the plugin with this name or digest.
    pub plugin: Option<String>,
    /// Only those about people of this connection.
    pub connection: Option<ConnectionId>,
    /// Only those about this SCIM User.
    pub user: Option<ResourceId>,
    /// Only those of this instant or later.
    pub since: Option<Instant>,
    /// Only those of before this instant.
    pub until: Option<Instant>,
}

/// A key whose signatures on plugins a tenant accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PluginKey {
    /// SHA-256 of the public key's 32 bytes, in hexadecimal.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The public key's 32 bytes, in base64.
    pub public_key: String,
    /// When it was added.
    pub created: Instant,
}

/// Whose plugins a tenant takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigningRules {
    /// Whether each plugin must have a good signature.
    pub required: bool,
    /// The keys that count, by name.
    pub keys: Vec<PluginKey>,
}

/// Everything that is kept of a tenant's plugins.
#[async_trait]
pub trait PluginRecords: Send + Sync {
    /// Keeps failures, or counts them where one of their like is kept; of people and connections that are gone nothing is kept. Past
    /// `bounds` those go that were seen least recently.
    async fn keep_failures(&self, tenant: &TenantId, failures: &[NewFailure], bounds: FailureBounds) -> Result<()>;
    /// Failures, those that were first seen last first.
    async fn failures(&self, tenant: &TenantId, query: &FailureQuery, limit: i64) -> Result<Vec<Failure>>;
    /// A failure with what was asked, or why that is not kept.
    async fn failure(&self, tenant: &TenantId, id: &str) -> Result<Option<(Failure, Result<CallInput, String>)>>;
    /// Keeps lines, those of people and connections that are gone excepted. The oldest beyond `keep` go.
    async fn keep_lines(&self, tenant: &TenantId, lines: &[Line], keep: i64) -> Result<()>;
    /// Lines with their positions, ascending.
    async fn lines(&self, tenant: &TenantId, query: &LineQuery, limit: i64) -> Result<Vec<(i64, Line)>>;
    /// Removes failures whose time is up at `now`, lines from before `lines_before`, and both of people who are gone: at most
    /// `limit` of each. Returns whether there may be more.
    async fn forget_records(&self, tenant: &TenantId, now: Instant, lines_before: Instant, limit: i64) -> Result<bool>;

    /// Adds a key; the same key again has its new name. `Taken` where another key has the name.
    async fn put_plugin_key(&self, tenant: &TenantId, key: &PluginKey, actor: &Actor, at: Instant) -> Result<()>;
    /// Removes a key. `Missing` when there is none.
    async fn remove_plugin_key(&self, tenant: &TenantId, id: &str, actor: &Actor, at: Instant) -> Result<()>;
    /// Says whether plugins must be signed.
    async fn require_signatures(&self, tenant: &TenantId, required: bool, actor: &Actor, at: Instant) -> Result<()>;
    /// Whose plugins are taken.
    async fn signing_rules(&self, tenant: &TenantId) -> Result<SigningRules>;
}
