//! Who is signed in to the workspace and how one gets there, as it is kept: sessions, links, OpenID providers, sign-ins under way. All are
//! looked up by a secret's keyed hash, before it is known which tenant is meant.

use async_trait::async_trait;

use super::{ApiScope, Result};
use crate::model::{Actor, ConnectionId, Instant, LinkPurpose, TenantId};

/// A session of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// An id to name it by; not the secret.
    pub id: String,
    /// The keyed hash of the secret, to be compared in constant time.
    pub hash: String,
    /// What it may do.
    pub scope: ApiScope,
    /// Who it is, for people.
    pub name: String,
    /// How it came about: `link`, or the id of the OpenID provider.
    pub via: String,
    /// When it began.
    pub created: Instant,
    /// When it was last used, at a granularity of one minute.
    pub last_used: Instant,
    /// When it ends, whatever is done with it.
    pub expires: Instant,
}

/// A link that lets somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// An id to name it by; not the secret.
    pub id: String,
    /// The keyed hash of the secret.
    pub hash: String,
    /// What it is for.
    pub purpose: LinkPurpose,
    /// What the session that it begins may do; of a set-up the tenant alone.
    pub scope: ApiScope,
    /// The connection whose set-up it shows.
    pub connection: Option<ConnectionId>,
    /// Who it is for, for people.
    pub name: String,
    /// When it was made.
    pub created: Instant,
    /// When it ends.
    pub expires: Instant,
}

/// An OpenID provider that people sign in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInIssuer {
    /// An id to name it by.
    pub id: String,
    /// Whose people it signs in; `None` for the platform's operators.
    pub tenant: Option<TenantId>,
    /// Its settings, as JSON text that `tenancy` reads.
    pub settings: String,
    /// The client's secret, sealed; `None` for a public client.
    pub sealed_secret: Option<Vec<u8>>,
    /// When it was set.
    pub created: Instant,
}

/// A provider's id as people chose it: what stands behind the tenant in the one that it has among those of all tenants. Ids have no dot.
pub(crate) fn own_id(id: &str) -> &str {
    id.rsplit_once('.').map_or(id, |(_, own)| own)
}

/// A sign-in that has gone to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The keyed hash of its state.
    pub hash: String,
    /// The provider.
    pub issuer: String,
    /// What has to come back with it, sealed.
    pub sealed: Vec<u8>,
    /// When it is too late.
    pub expires: Instant,
}

/// Which sessions.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionQuery<'a> {
    /// Sessions of this tenant alone; `None` lists those of the platform.
    pub tenant: Option<&'a str>,
    /// How many at most.
    pub limit: i64,
}

/// The workspace's own records. What has ended is taken out with the next that begins, a bounded number at a time. What is a tenant's is told in
/// the tenant's history in the same transaction; the platform has none.
#[async_trait]
pub trait Visitors: Send + Sync {
    /// Begins a session, of a link where one was followed: `session.begun`.
    async fn begin_session(&self, session: &Session, link: Option<&str>) -> Result<()>;
    /// A session by its hash, ended or not.
    async fn find_session(&self, hash: &str) -> Result<Option<Session>>;
    /// Notes that a session was used.
    async fn note_session(&self, id: &str, at: Instant) -> Result<()>;
    /// Ends a session of this tenant (`None`: of the platform): `session.ended`. `Missing` where there is none.
    async fn end_session(&self, tenant: Option<&TenantId>, id: &str, actor: &Actor, at: Instant) -> Result<()>;
    /// Sessions that have not reached their end, by id.
    async fn sessions(&self, query: SessionQuery<'_>, now: Instant) -> Result<Vec<Session>>;

    /// Keeps a link: `link.made`.
    async fn put_link(&self, link: &Link, actor: &Actor) -> Result<()>;
    /// A link by its hash, ended or not.
    async fn find_link(&self, hash: &str) -> Result<Option<Link>>;
    /// Takes a link out: it is given to one caller alone.
    async fn take_link(&self, hash: &str) -> Result<Option<Link>>;
    /// Ends the links to the set-up of a connection: `link.ended`, where there were any. How many there were.
    async fn end_links(&self, tenant: &TenantId, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<u64>;

    /// Sets a provider; the same id is replaced: `provider.created`, `provider.changed`.
    async fn put_sign_in_issuer(&self, issuer: &SignInIssuer, actor: &Actor, at: Instant) -> Result<()>;
    /// The providers of a tenant (`None`: of the platform), by id.
    async fn sign_in_issuers(&self, tenant: Option<&TenantId>) -> Result<Vec<SignInIssuer>>;
    /// A provider.
    async fn sign_in_issuer(&self, id: &str) -> Result<Option<SignInIssuer>>;
    /// Removes a provider: nobody new is signed in with it, `provider.removed`. `Missing` where there is none.
    async fn remove_sign_in_issuer(&self, tenant: Option<&TenantId>, id: &str, actor: &Actor, at: Instant) -> Result<()>;

    /// Keeps a sign-in that goes to a provider.
    async fn begin_sign_in(&self, sign_in: &SignIn, now: Instant) -> Result<()>;
    /// Takes a sign-in out by its state's hash: an answer is taken once.
    async fn take_sign_in(&self, hash: &str) -> Result<Option<SignIn>>;
}
