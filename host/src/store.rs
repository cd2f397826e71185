//! The durable state, as one object-safe trait whose methods are each one whole transaction in the
//! domain's words. `store/sqlite.rs` and `store/postgres.rs` are the only places that name sqlx.
//!
//! The tenant is the first argument of every method and the first column of every key. The methods
//! that can't name a tenant first are few: they stand in [`Platform`].
//!
//! Inside: `sqlite.rs` and `postgres.rs` say how each database is opened, read, written and locked.
//! `shared.rs` and `shared/` hold all that they have in common, and are compiled once for each of
//! them (`#[path]`): the same SQL, bound to that database's types, with the few words that differ as
//! macros. `condition.rs` (filters), `nesting.rs` (groups above people) and `keys.rs` are pure. `trips.rs`
//! lets small reads that wait at the same time go together.

mod change;
mod condition;
mod connection;
pub mod copy;
mod credential;
mod delivery;
mod directory;
mod drift;
mod failure;
mod health;
pub mod history;
mod import;
mod keys;
mod migrations;
mod moving;
mod nesting;
mod pool;
mod postgres;
mod process;
pub mod records;
mod resource;
mod restore;
mod review;
mod ruling;
mod spreading;
mod sqlite;
mod step;
mod token;
mod trial;
mod trips;
mod visitor;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rolecall_scim::ResourceKind;
use serde::{Deserialize, Serialize};

pub use change::{AccountWrite, Change, Committed, LockedDecision, Person, PersonOutcome, ResourceWrite, Stale};
pub use connection::{
    Connection, Connections, Dialect, FoundEntry, Gathered, LOG_SCAN_LIMIT, LogEntry, LogFound, LogSearch, LogSide, StoredIssuer,
};
pub use credential::{ApiCredential, ApiPrincipal, ApiScope, ConnectionCredential, CredentialKind, HeardRevision, NewToken, TokenInfo};
pub use delivery::{DELIVERY_LEASE_SECONDS, DeliveryResult, DeliveryRoom, DueDelivery, Receipt, Target};
pub use directory::{Directory, FOUND_OTHERWISE_LIMIT, Faulty, Holder, NAMES_LOOKED_AT, NamePage, NamePlace, NameQuery};
pub use drift::{CarryOut, DRIFT_LINES_AT_ONCE, DriftNoted, DriftQuery, Drifts, Forecasted, NewDriftLine, NewReconciliation};
pub use health::{Counted, HEALTH_PEOPLE_LIMIT, HealthCase, Healths, KeptHealth, SLOTS_AT_ONCE};
pub use import::{
    AdoptionCandidate, AdoptionChoice, AdoptionPlan, AdoptionWord, DIFFERENCE_PAGE_LIMIT, DifferenceMark, IMPORT_ROWS_LIMIT, ImportProblem,
    Imported, ImportedAccount, Imports, Likeness, MarkThere, NewImport, Staged, Unadopted,
};
pub use moving::{GoBack, MOVED_PAGE_LIMIT, MovedAway, MovedPerson, Moves, TakeOver};
pub use process::{
    DEPARTED_AT_ONCE, DEPARTURE_EVENTS_LIMIT, Departed, DepartureDelivery, DepartureEvent, Departures, ERASED_AT_ONCE, Erasure, Processes,
};
pub use resource::{ListQuery, Listing, StoredMember, StoredResource, UserGroup, Window};
pub use restore::carry_through;
pub use restore::{Restore, Restores, UNTOUCHED_PAGE, Untouched, UntouchedPage};
pub use review::{
    Candidate, EarlyClose, Filling, LINES_AT_ONCE_LIMIT, LineQuery, LineView, LinesDecided, LinesReassigned, NewReviewLine, OpeningPage,
    PEERS_LIMIT, REVIEWERS_AT_ONCE, ReviewPlace, Reviews,
};
pub use ruling::{ANSWERED_AT_ONCE, Answer, Answered, Effect, Guarded, HeldPerson, LEAVES_LIMIT, RulingQuery, Rulings};
pub use spreading::{Page, Reached, Spread, Spreading};
pub use step::{
    FoundInvitation, InvitationQuery, LEFT_AT_ONCE, Left, LinkToken, NewInvitation, OVERDUE_AT_ONCE, ProcessQuery, StepSaid, Steps,
};
pub use token::{API_TOKENS_AT_ONCE, ApiTokenInfo, Tokens};
pub use trial::{Advance, DIFFERENCES_LIMIT, DespiteChanges, NewActivation, NewDifference, Place, Progress, RunningShadow, Trials};
pub(crate) use visitor::own_id;
pub use visitor::{Link, Session, SessionQuery, SignIn, SignInIssuer, Visitors};

use crate::model::{
    Account, AccountId, AccountState, Actor, Cause, ConnectionId, ConnectionState, EvaluationState, Event, Grant, GroupMembership, Handle,
    Instant, ListedRevision, ResourceId, RevisionHash, RoleId, TenantId,
};

/// The most people that are evaluated with the write that affects them; more are marked and left to the worker.
pub const INLINE_PEOPLE_LIMIT: usize = 500;
/// How deep nested groups are followed: deeper chains are a modelling error and would make every decision slow.
pub const GROUP_DEPTH_LIMIT: usize = 8;
/// The most candidates that a filter without an index may look at before it is refused as `tooMany`.
pub const SCAN_LIMIT: usize = 20_000;
/// The largest page of a listing, in bytes of what is stored of its resources: it is put together in memory. A page by cursor ends before it;
/// one by number is refused as `tooMany`, because whoever goes on at the next number would miss what was left out.
pub const PAGE_BYTES_LIMIT: usize = 16 << 20;

/// How long a request waits for a connection or for room in the writer's queue before it is told that the database is not available.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements that a connection keeps: more than there are in `shared/`, so that none is prepared twice.
const STATEMENT_CACHE: usize = 300;

/// A boxed step of work.
type Pending<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// What is done in one transaction. The databases begin and end it around this.
trait Work<C, T>: for<'c> FnOnce(&'c mut C) -> Pending<'c, Result<T>> + Send + 'static {}
impl<F, C, T> Work<C, T> for F where F: for<'c> FnOnce(&'c mut C) -> Pending<'c, Result<T>> + Send + 'static {}

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be reached or gave up in the middle; trying again later may help.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the change was computed from is no longer so: read again and compute again.
    #[error("the change lost a race over `{what}`")]
    Conflict {
        /// What had changed meanwhile: `resource`, `person`, `revision`, `account`, `account_name`, `handle`, `transaction`.
        what: &'static str,
    },
    /// A value that must be unique in the connection is taken by another resource.
    #[error("`{attribute}` is taken by another resource of this connection")]
    Taken {
        /// The SCIM attribute: `userName`, `externalId` …
        attribute: &'static str,
    },
    /// Group members that never existed in this connection: at least one.
    #[error("no such members: {0:?}")]
    UnknownMembers(Vec<String>),
    /// A group that would contain itself, or nest deeper than [`GROUP_DEPTH_LIMIT`].
    #[error("the nesting of groups would be circular or too deep at `{0}`")]
    Nesting(String),
    /// The resource, tenant, connection … does not exist.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// A filter without an index would have to look at too many resources, or at too many of their values; or users have too many groups.
    #[error("the filter looks at more than {SCAN_LIMIT} resources, or at too many of their values")]
    TooMany,
    /// What a page by number would hold has more bytes than a page may have.
    #[error("the page has more than {} MiB", PAGE_BYTES_LIMIT >> 20)]
    PageTooLarge,
    /// What is stored can't be read: a defect or a damaged database.
    #[error("stored data can't be read: {0}")]
    Corrupt(String),
}

/// The result of a store method.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// How many people have been decided under the active revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The people of the tenant.
    pub people: i64,
    /// Those whose last verdict is the active revision's.
    pub decided: i64,
}

/// A tenant as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name for people.
    pub name: String,
    /// The active revision.
    pub active_revision: Option<RevisionHash>,
    /// The one owner of its revisions: `folder` or `api`.
    pub managed_by: String,
    /// When it was made.
    pub created: Instant,
}

/// A revision as stored: its files. Equal contents of a tenant are stored once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRevision {
    /// Its hash.
    pub hash: RevisionHash,
    /// Path in the tenant folder → contents.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A plugin that is part of a revision, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPlugin {
    /// SHA-256 of its file.
    pub digest: String,
    /// The name that it gives itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The hooks that it has.
    pub hooks: Vec<String>,
    /// Its file's size in bytes.
    pub size: i64,
}

/// A plugin of a tenant's revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPlugin {
    /// What it is.
    pub plugin: NewPlugin,
    /// When it was part of a revision first.
    pub created: Instant,
    /// How many revisions it is part of.
    pub revisions: i64,
    /// Whether the active one is among them.
    pub active: bool,
}

/// Which group a handle is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HandleBinding {
    /// The handle.
    pub handle: Handle,
    /// The connection of the group.
    pub connection: ConnectionId,
    /// The SCIM id of the group.
    pub group: ResourceId,
    /// The group's external id when it was bound.
    pub external_id: Option<String>,
    /// The group's present display name.
    pub display_name: String,
    /// Whether it counts: `false` waits for a person, because a privileged role hangs on it.
    pub confirmed: bool,
    /// When it was bound.
    pub bound: Instant,
}

/// Somebody whose evaluation is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuePerson {
    /// The tenant.
    pub tenant: TenantId,
    /// The connection.
    pub connection: ConnectionId,
    /// The user.
    pub user: ResourceId,
    /// Why.
    pub cause: Cause,
}

/// An account with the resource that feeds it, as the platform reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountView {
    /// The account.
    pub account: Account,
    /// Its standing grants.
    pub grants: Vec<Grant>,
    /// The connection and SCIM id that feed it; `None` once the resource is deleted.
    pub source: Option<(ConnectionId, ResourceId)>,
    /// Its evaluation state; `None` once the resource is deleted.
    pub evaluation: Option<EvaluationState>,
    /// Set for an account that was imported and that nobody has adopted.
    pub imported: Option<ImportedAccount>,
}

/// The methods that can't name a tenant first. Nothing else may cross tenants.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Whether the database answers.
    async fn ping(&self) -> Result<()>;
    /// Keeps the fingerprint of the master key that the database is made with, if none is kept. The one that is.
    async fn keep_master_key(&self, fingerprint: &str) -> Result<String>;
    /// The tenant and state of a connection by its unguessable id.
    async fn find_connection(&self, connection: &ConnectionId) -> Result<Option<(TenantId, ConnectionState)>>;
    /// What a connection's secret stands for, by its keyed hash.
    async fn find_connection_token(&self, hash: &str) -> Result<Option<ConnectionCredential>>;
    /// The issuer whose JWTs a connection accepts, with its keys.
    async fn find_issuer(&self, connection: &ConnectionId) -> Result<Option<StoredIssuer>>;
    /// What an API token stands for, by its keyed hash.
    async fn find_api_token(&self, hash: &str) -> Result<Option<ApiCredential>>;
    /// How many API tokens may change the platform and have not ended: none at the first start, and none once the last one is gone.
    async fn count_operator_tokens(&self, now: Instant) -> Result<i64>;
    /// All tenants, by id.
    async fn tenants(&self) -> Result<Vec<Tenant>>;
    /// Expands fan-outs (one bounded batch): marks people below changed groups as pending, and after an activation everybody
    /// who was evaluated under another revision. To be called before [`Platform::claim_due`]. Returns whether work is left.
    async fn expand_fan_outs(&self, now: Instant) -> Result<bool>;
    /// Claims due people until `lease_until`: pending inputs, another active revision (once its fan-out has come to them), or a
    /// date that has come. Tenants get equal shares of `limit`, and among tenants the longest-waiting go first.
    /// Nobody of the `busy` tenants is claimed: the caller is still at work for them.
    async fn claim_due(&self, now: Instant, lease_until: Instant, limit: i64, busy: &BTreeSet<TenantId>) -> Result<Vec<DuePerson>>;
    /// Numbers committed events per tenant, in commit-visible order without gaps: a bounded batch a tenant. Returns how many: none
    /// where events are numbered as they are written.
    async fn number_events(&self) -> Result<u64>;
    /// Claims due deliveries of numbered events until `lease_until`: at most one per (target, person), the oldest of each;
    /// people with a leaver's event waiting go first. Tenants get equal shares of the room that there is, and none more than its own.
    async fn claim_deliveries(&self, now: Instant, lease_until: Instant, room: &DeliveryRoom) -> Result<Vec<DueDelivery>>;
    /// The earliest instant at which something becomes due: `now` when something already is.
    async fn next_due(&self, now: Instant) -> Result<Option<Instant>>;
}

/// Everything that is asked for one tenant.
#[async_trait]
pub trait Store:
    Platform
    + Connections
    + Healths
    + Trials
    + Rulings
    + Reviews
    + Processes
    + Steps
    + Tokens
    + Imports
    + Moves
    + Drifts
    + Spreading
    + Restores
    + records::PluginRecords
    + history::History
    + Directory
    + Visitors
{
    /// Creates the tenant if it does not exist; `managed_by` of an existing one is left as it is.
    async fn ensure_tenant(&self, tenant: &TenantId, name: &str, managed_by: &str, at: Instant) -> Result<Tenant>;
    /// The tenant, or `None`.
    async fn tenant(&self, tenant: &TenantId) -> Result<Option<Tenant>>;

    /// Stores a revision and what its plugins say of themselves; the same hash again is a no-op.
    async fn put_revision(&self, tenant: &TenantId, revision: &StoredRevision, plugins: &[NewPlugin], at: Instant) -> Result<()>;
    /// The plugins of the tenant's revisions, those that came last first, at most `limit`.
    async fn plugins(&self, tenant: &TenantId, limit: i64) -> Result<Vec<StoredPlugin>>;
    /// The paths of a stored revision with the SHA-256 of what is there; `None` where there is no such revision.
    async fn revision_digests(&self, tenant: &TenantId, hash: &RevisionHash) -> Result<Option<BTreeMap<String, String>>>;
    /// Those of the contents that the tenant has stored, by their SHA-256; `None` where they have more than `bytes_limit` bytes together.
    async fn contents(&self, tenant: &TenantId, digests: &[String], bytes_limit: usize) -> Result<Option<BTreeMap<String, Vec<u8>>>>;
    /// Stored revisions, the newest first, behind one of them; `Missing` where that is not stored.
    async fn revisions(&self, tenant: &TenantId, behind: Option<&RevisionHash>, limit: i64) -> Result<Vec<ListedRevision>>;
    /// A stored revision.
    async fn revision(&self, tenant: &TenantId, hash: &RevisionHash) -> Result<Option<StoredRevision>>;

    /// Creates a connection with its first token; `Taken{name}` when the name is in use.
    async fn create_connection(&self, tenant: &TenantId, connection: &Connection, token: &NewToken, actor: &Actor) -> Result<()>;
    /// All connections, by name.
    async fn connections(&self, tenant: &TenantId) -> Result<Vec<Connection>>;
    /// Adds a token or client secret. At most two of the kind live: the newest one before it ends at `expire_others` at the latest, older ones are gone at once.
    async fn rotate_token(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        kind: CredentialKind,
        token: &NewToken,
        expire_others: Instant,
        actor: &Actor,
    ) -> Result<()>;
    /// Pauses or resumes; resuming marks what was parked as pending.
    async fn set_connection_state(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        state: ConnectionState,
        actor: &Actor,
        at: Instant,
    ) -> Result<()>;
    /// Deletes a connection: its tokens end at once, its resources and accounts as if each had been deleted. One
    /// transaction, in bounded memory.
    async fn delete_connection(&self, tenant: &TenantId, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<()>;
    /// Notes a use of a good token (kept at one-minute granularity; of the connection alone where no stored token has the id)
    /// or counts a wrong credential (`token_id` = `None`).
    async fn note_credential(&self, tenant: &TenantId, connection: &ConnectionId, token_id: Option<&str>, at: Instant) -> Result<()>;

    /// People with all that evaluation reads, in one snapshot; ids that don't exist are left out.
    async fn people(&self, tenant: &TenantId, connection: &ConnectionId, users: &[ResourceId]) -> Result<Vec<Person>>;
    /// The account of a deleted user that a new one with this external id would revive: removed, or in use by an answer to a hold.
    async fn revivable(&self, tenant: &TenantId, connection: &ConnectionId, external_id: &str) -> Result<Option<Departed>>;
    /// The accounts that have names in the tenant, by name key; names that nobody has are left out.
    async fn name_holders(&self, tenant: &TenantId, name_keys: &[String]) -> Result<BTreeMap<String, AccountId>>;
    /// A resource by id.
    async fn resource(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        kind: ResourceKind,
        id: &ResourceId,
    ) -> Result<Option<StoredResource>>;
    /// A user by id with its groups, for rendering. One trip, unless its groups are themselves in groups.
    async fn user(&self, tenant: &TenantId, connection: &ConnectionId, id: &ResourceId)
    -> Result<Option<(StoredResource, Vec<UserGroup>)>>;
    /// Resources that match, in a stable order.
    async fn list(&self, tenant: &TenantId, connection: &ConnectionId, query: &ListQuery<'_>) -> Result<Listing>;
    /// The members of groups, at most `limit` a group (in id order).
    async fn members(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        groups: &[ResourceId],
        limit: i64,
    ) -> Result<BTreeMap<ResourceId, Vec<StoredMember>>>;
    /// The next members of a group in id order, behind `after`.
    async fn members_after(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        group: &ResourceId,
        after: Option<&ResourceId>,
        limit: i64,
    ) -> Result<Vec<StoredMember>>;
    /// Which of `candidates` are members of the group.
    async fn which_members(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        group: &ResourceId,
        candidates: &[ResourceId],
    ) -> Result<Vec<StoredMember>>;
    /// What resources are as members of a group, whether or not they are in one. Who does not exist is left out.
    async fn as_members(&self, tenant: &TenantId, connection: &ConnectionId, ids: &[ResourceId]) -> Result<Vec<StoredMember>>;
    /// The groups of users, for rendering. One trip, unless groups are themselves in groups. `TooMany` where they have more than `limit`
    /// together.
    async fn groups_of(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        users: &[ResourceId],
        limit: usize,
    ) -> Result<BTreeMap<ResourceId, Vec<UserGroup>>>;
    /// The distinct users below a group (itself included, nested groups followed): `None` when more than `limit`.
    async fn users_below(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        groups: &[ResourceId],
        limit: usize,
    ) -> Result<Option<Vec<ResourceId>>>;
    /// The handle memberships (confirmed handles, nested groups followed upwards) that users would have if they were direct
    /// members of their present groups plus `plus` minus `minus`, and if the group `gone` did not exist at any level;
    /// every user asked for is in the answer.
    async fn memberships_if(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        users: &[ResourceId],
        plus: &[ResourceId],
        minus: &[ResourceId],
        gone: Option<&ResourceId>,
    ) -> Result<BTreeMap<ResourceId, Vec<GroupMembership>>>;
    /// Live groups that no handle is bound to, in id order after `after`; `only` asks about one group.
    async fn unbound_groups(
        &self,
        tenant: &TenantId,
        only: Option<&ResourceId>,
        after: Option<&ResourceId>,
        limit: i64,
    ) -> Result<Vec<(ConnectionId, StoredResource)>>;
    /// Seals a secret (of a target) under the tenant's key.
    async fn seal_secret(&self, tenant: &TenantId, plain: &[u8]) -> Result<Vec<u8>>;
    /// Opens what [`Store::seal_secret`] sealed.
    async fn open_secret(&self, tenant: &TenantId, sealed: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>>;

    /// Commits a change: all of it, durably, or nothing. Besides those named at [`Change::persons`] it marks people whose
    /// account waits for a name that the change frees.
    async fn commit(&self, tenant: &TenantId, change: Change) -> Result<Committed>;
    /// Locks the person, lets `decide` compute the change from what stands, and commits it: never loses a race. The active
    /// revision is not compared; when it is another than the outcome's, the person is left pending.
    /// The inner result is the decision's own refusal. `Missing` when there is no such user.
    async fn commit_locked(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        user: &ResourceId,
        decide: LockedDecision<'static>,
    ) -> Result<std::result::Result<Committed, rolecall_scim::ScimError>>;

    /// What a handle is bound to, or `None` when it is free.
    async fn handle(&self, tenant: &TenantId, handle: &Handle) -> Result<Option<HandleBinding>>;
    /// Confirms a binding; people below the group are marked pending.
    async fn confirm_handle(&self, tenant: &TenantId, handle: &Handle, actor: &Actor, at: Instant) -> Result<HandleBinding>;
    /// All bindings, by handle.
    async fn handles(&self, tenant: &TenantId) -> Result<Vec<HandleBinding>>;

    /// Accounts by id, after `after`, optionally in one state.
    async fn accounts(
        &self,
        tenant: &TenantId,
        state: Option<AccountState>,
        after: Option<&AccountId>,
        limit: i64,
    ) -> Result<Vec<AccountView>>;
    /// An account by id or by user name (folded; whoever has the name comes before those who had or want it).
    async fn account(&self, tenant: &TenantId, id_or_name: &str) -> Result<Option<AccountView>>;
    /// The roles that accounts of the tenant hold; `None` where they are more than `most`.
    async fn roles_held(&self, tenant: &TenantId, most: i64) -> Result<Option<BTreeSet<RoleId>>>;
    /// Gives back people whom [`Platform::claim_due`] claimed and who could not be decided now: those who are pending still are due at once.
    async fn give_back(&self, tenant: &TenantId, connection: &ConnectionId, users: &[ResourceId], now: Instant) -> Result<()>;
    /// How many people are pending in the tenant.
    async fn count_pending(&self, tenant: &TenantId) -> Result<i64>;
    /// How far everybody has been decided under the active revision.
    async fn coverage(&self, tenant: &TenantId) -> Result<Coverage>;
    /// Numbered events after `after`, at most `limit`, ascending.
    async fn events(&self, tenant: &TenantId, after: i64, limit: i64) -> Result<Vec<Event>>;

    /// Creates or replaces a target by id: `target.created`, `target.paused`, `target.resumed` or `target.changed`. What waits for a
    /// disabled target waits until it is enabled.
    async fn put_target(&self, target: &Target, actor: &Actor, at: Instant) -> Result<()>;
    /// Pauses a target that is enabled, for a reason: `target.paused`.
    async fn pause_target(&self, tenant: &TenantId, id: &str, why: &str, actor: &Actor, at: Instant) -> Result<()>;
    /// Removes a target: `target.removed`. Nothing waits for it any more; what it has acknowledged stays known. `Missing`.
    async fn remove_target(&self, tenant: &TenantId, id: &str, actor: &Actor, at: Instant) -> Result<()>;
    /// The tenant's targets.
    async fn targets(&self, tenant: &TenantId) -> Result<Vec<Target>>;
    /// What became of the newest `events` of the tenant at each of its targets, by target, the newest first.
    async fn receipts(&self, tenant: &TenantId, events: i64) -> Result<Vec<Receipt>>;
    /// Records how an attempt ended; a delivery that has ended already is left as it is.
    async fn finish_delivery(&self, tenant: &TenantId, target: &str, event: &str, result: &DeliveryResult, at: Instant) -> Result<()>;
}

/// Whether the URL names a SQLite file that has something in it; what is in a PostgreSQL database is known only once it is opened.
///
/// # Errors
/// `Unavailable` when the URL can't be read.
pub fn is_there(url: &str) -> Result<bool> {
    if url.starts_with("sqlite:") { sqlite::is_there(url) } else { Ok(false) }
}

/// Keeps other processes from serving a SQLite file, for as long as what this gives is held; any number may serve a PostgreSQL
/// database. The lock is on a file beside the database, and ends with the process however that ends.
///
/// # Errors
/// `Unavailable` when another process serves the file, or the lock's file can't be made.
pub fn hold(url: &str) -> Result<Option<std::fs::File>> {
    if url.starts_with("sqlite:") { sqlite::hold(url).map(Some) } else { Ok(None) }
}

/// Brings everything of a SQLite database into its one file, as the last thing that is done with it: whoever copies the file alone has all. Nothing
/// is to be done for PostgreSQL.
///
/// # Errors
/// `Unavailable` when somebody uses the file still.
pub async fn settle(url: &str) -> Result<()> {
    if url.starts_with("sqlite:") { copy::settle_file(url).await } else { Ok(()) }
}

/// Opens the store that the URL's scheme names (`sqlite:` or `postgres:`), with its migrations applied and what a restore left to do done.
///
/// # Errors
/// `Unavailable` when the database can't be opened; `Missing` for another scheme; `Corrupt` when the database was made
/// with another master key: nothing sealed in it could be read, and no token would be known.
pub async fn open(url: &str, keyring: Arc<crate::crypto::Keyring>) -> Result<Arc<dyn Store>> {
    let fingerprint = keyring.fingerprint();
    let store: Arc<dyn Store> = if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        Arc::new(postgres::PostgresStore::open(url, keyring).await?)
    } else if url.starts_with("sqlite:") {
        Arc::new(sqlite::SqliteStore::open(url, keyring).await?)
    } else {
        return Err(StoreError::Missing("database scheme (use `sqlite:` or `postgres:`)"));
    };
    if let Some(tenant) = store.tenants().await?.first() {
        // Sealing anything opens the tenant's own key, which the master key has sealed.
        store.seal_secret(&tenant.id, &[]).await?;
    }
    // Where there is no tenant yet, tokens are: each is known by a hash that the key makes.
    if store.keep_master_key(&fingerprint).await? != fingerprint {
        return Err(StoreError::Corrupt("another master key was there when the database was made: is this the right one?".into()));
    }
    carry_through(&*store).await?;
    Ok(store)
}
