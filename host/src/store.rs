//! The durable state, as one object-safe trait whose methods are each one whole transaction in the
//! domain's words. `store/sqlite.rs` and `store/postgres.rs` are the only places that name sqlx.
//!
//! The tenant is the first argument of every method and the first column of every key. The methods
//! that can't name a tenant first are few: they stand in [`Platform`].
//!
//! Inside: `sqlite.rs` and `postgres.rs` say how each database is opened, read, written and locked.
//! `shared.rs` and `shared/` hold all that they have in common, and are compiled once for each of
//! them (`#[path]`): the same SQL, bound to that database's types, with the few words that differ as
//! macros. `condition.rs` (filters), `nesting.rs` (groups above people) and `keys.rs` are pure.

mod condition;
mod connection;
pub mod copy;
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
mod restore;
mod review;
mod ruling;
mod spreading;
mod sqlite;
mod step;
mod token;
mod trial;
mod visitor;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rolecall_scim::ResourceKind;
use rolecall_scim::cursor::Position;
use rolecall_scim::filter::Filter;
use rolecall_scim::resource::Document;
use rolecall_scim::schema::Schemas;
use rolecall_scim::sort::Sort;
use serde::{Deserialize, Serialize};

pub use connection::{
    Connections, CredentialKind, Dialect, FoundEntry, Gathered, LOG_SCAN_LIMIT, LogEntry, LogFound, LogSearch, LogSide, StoredIssuer,
};
pub use directory::{Directory, FOUND_OTHERWISE_LIMIT, Faulty, Holder, NAMES_LOOKED_AT, NamePage, NamePlace, NameQuery};
pub use drift::{CarryOut, DRIFT_LINES_AT_ONCE, DriftNoted, DriftQuery, Drifts, Forecasted, NewDriftLine, NewReconciliation};
pub use health::{Counted, HEALTH_PEOPLE_LIMIT, HealthCase, Healths, KeptHealth, SLOTS_AT_ONCE};
pub use import::{
    AdoptionCandidate, AdoptionChoice, AdoptionPlan, AdoptionWord, DIFFERENCE_PAGE_LIMIT, DifferenceMark, IMPORT_ROWS_LIMIT, ImportProblem,
    Imported, ImportedAccount, Imports, Likeness, MarkThere, NewImport, Staged, Unadopted,
};
pub use moving::{GoBack, MOVED_PAGE_LIMIT, MovedPerson, Moves, TakeOver};
pub use process::{
    DEPARTED_AT_ONCE, DEPARTURE_EVENTS_LIMIT, Departed, DepartureDelivery, DepartureEvent, Departures, ERASED_AT_ONCE, Erasure, Processes,
};
pub use restore::carry_through;
pub use restore::{Restore, Restores, UNTOUCHED_PAGE, Untouched, UntouchedPage};
pub use review::{
    Candidate, EarlyClose, Filling, LINES_AT_ONCE_LIMIT, LineQuery, LineView, LinesDecided, LinesReassigned, NewReviewLine, OpeningPage,
    PEERS_LIMIT, REVIEWERS_AT_ONCE, ReviewPlace, Reviews,
};
pub use ruling::{ANSWERED_AT_ONCE, Answer, Answered, Effect, Guarded, HeldPerson, RulingQuery, Rulings};
pub use spreading::{Page, Reached, Spread, Spreading};
pub use step::{
    FoundInvitation, InvitationQuery, LEFT_AT_ONCE, Left, LinkToken, NewInvitation, OVERDUE_AT_ONCE, ProcessQuery, StepSaid, Steps,
};
pub use token::{API_TOKENS_AT_ONCE, ApiTokenInfo, Tokens};
pub use trial::{Advance, DIFFERENCES_LIMIT, DespiteChanges, NewActivation, NewDifference, Place, Progress, RunningShadow, Trials};
pub use visitor::{Link, Session, SessionQuery, SignIn, SignInIssuer, Visitors};

use crate::model::{
    Account, AccountId, AccountState, Actor, Cause, ConnectionId, ConnectionState, EvaluationState, Event, Grant, GroupMembership, Handle,
    Instant, Led, ListedRevision, NewEvent, Note, PLATFORM_OPERATOR, ResourceId, Restored, RevisionHash, RoleId, Ruling, TenantId, Urgency,
};

/// The most people that are evaluated with the write that affects them; more are marked and left to the worker.
pub const INLINE_PEOPLE_LIMIT: usize = 500;
/// How deep nested groups are followed: deeper chains are a modelling error and would make every decision slow.
pub const GROUP_DEPTH_LIMIT: usize = 8;
/// The most candidates that a filter without an index may look at before it is refused as `tooMany`.
pub const SCAN_LIMIT: usize = 20_000;

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
    /// A filter without an index would have to look at too many resources.
    #[error("the filter looks at more than {SCAN_LIMIT} resources")]
    TooMany,
    /// What is stored can't be read: a defect or a damaged database.
    #[error("stored data can't be read: {0}")]
    Corrupt(String),
}

/// The result of a store method.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A SCIM resource as stored: the client's document beside what the server keeps about it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredResource {
    /// The SCIM id.
    pub id: ResourceId,
    /// User or Group.
    pub kind: ResourceKind,
    /// What the client wrote, in normal form; a group's has no members.
    pub document: Document,
    /// Ascending with every change of the document (and of a group's members): the ETag.
    pub version: i64,
    /// When it was created.
    pub created: Instant,
    /// When it was last modified.
    pub modified: Instant,
}

/// One person as the write path and the worker see them: read in one snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// The connection that wrote the resource.
    pub connection: ConnectionId,
    /// The SCIM User.
    pub resource: StoredResource,
    /// What was evaluated, and whether something is pending.
    pub evaluation: EvaluationState,
    /// The account that the link table joins to the resource.
    pub account: Account,
    /// The standing grants, by role.
    pub grants: Vec<Grant>,
    /// What people and the guard have said about the account that counts still, in the order in which it was said.
    pub rulings: Vec<Ruling>,
    /// Direct and inherited memberships in groups with a confirmed handle; one entry a handle, the shortest chain.
    pub groups: Vec<GroupMembership>,
}

/// A member of a group as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMember {
    /// The member's SCIM id.
    pub id: ResourceId,
    /// User or Group.
    pub kind: ResourceKind,
    /// The member's display name (or user name) for rendering, when it has one.
    pub display: Option<String>,
}

/// A group that a user is in, for rendering the read-only `groups` attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserGroup {
    /// The group's SCIM id.
    pub id: ResourceId,
    /// The group's display name.
    pub display: String,
    /// Whether the user is a direct member (else through a nested group).
    pub direct: bool,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The resources of the page, in order.
    pub items: Vec<StoredResource>,
    /// How many match in all; `None` in [`Window::Beside`] where telling would mean to look at each.
    pub total: Option<i64>,
    /// Where the next page is, in [`Window::Beside`]; `None` on the last one.
    pub next: Option<Position>,
    /// Where the page before is, in [`Window::Beside`]; `None` on the first one.
    pub previous: Option<Position>,
}

/// What a SCIM listing asks for.
#[derive(Clone, Debug)]
pub struct ListQuery<'a> {
    /// Users, Groups, or both (the server's root).
    pub kinds: &'a [ResourceKind],
    /// The connection's schemas: what the filter's paths mean.
    pub schemas: &'a Schemas,
    /// The filter; `None` lists all.
    pub filter: Option<&'a Filter>,
    /// The order; `None` is by id. Ties are in the order of ids, in the same direction.
    pub sort: Option<&'a Sort>,
    /// The part that is wanted.
    pub window: Window<'a>,
}

/// A part of a listing.
#[derive(Clone, Copy, Debug)]
pub enum Window<'a> {
    /// By number, with an exact total.
    Index {
        /// How many matches to skip (`startIndex - 1`).
        offset: i64,
        /// How many to return: at least 0, bounded by the caller.
        limit: i64,
    },
    /// Next to a resource that was seen, whether it is still there or not. A page may hold fewer than asked for and yet not be
    /// the last, where a filter without an index had [`SCAN_LIMIT`] resources to look at.
    Beside {
        /// The place; `None` is the start.
        position: Option<&'a Position>,
        /// How many to return: at least 1, bounded by the caller.
        limit: i64,
    },
}

/// What happens to the resource itself.
#[derive(Clone, Debug)]
pub enum ResourceWrite {
    /// A new user. Its outcome in [`Change::persons`] writes its account: a new one, or a removed one that is revived
    /// ([`Store::revivable`]); `Conflict{account}` when that one was revived meanwhile.
    CreateUser {
        /// The new id.
        id: ResourceId,
        /// The document.
        document: Document,
        /// When the account was last changed, where it is a deleted user's that comes back: `Conflict{account}` when it was since.
        revives: Option<Instant>,
    },
    /// A user's document is replaced if its version is still `expected`.
    UpdateUser {
        /// The user.
        id: ResourceId,
        /// The version that the new document was computed from; `Conflict{resource}` when it has moved on.
        expected: i64,
        /// The document.
        document: Document,
    },
    /// A user is deleted; its link ends, its memberships end, its id stays known as deleted. Its outcome in
    /// [`Change::persons`] takes its access away.
    DeleteUser {
        /// The user.
        id: ResourceId,
    },
    /// A new group.
    CreateGroup {
        /// The new id.
        id: ResourceId,
        /// The document, without members.
        document: Document,
        /// Its members' ids, users or groups.
        members: Vec<ResourceId>,
    },
    /// A group's document or members change, under the group's row lock.
    UpdateGroup {
        /// The group.
        id: ResourceId,
        /// Checked when given (`If-Match`, or a document that was computed from what was read); deltas of members need no version.
        expected: Option<i64>,
        /// The new document, if it changes.
        document: Option<Document>,
        /// Members to add: unknown ids are refused, ids of deleted people are ignored and counted.
        add: Vec<ResourceId>,
        /// Members to remove; absent ones are ignored.
        remove: Vec<ResourceId>,
    },
    /// A group is deleted: 404 at once, its memberships no longer count. Its name and handle are free. People below it who
    /// are not in [`Change::persons`] are marked pending, in the background when they are many.
    DeleteGroup {
        /// The group.
        id: ResourceId,
    },
}

/// How an account is written.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountWrite {
    /// The account; its id is made by the caller when it is new.
    pub id: AccountId,
    /// Its new state.
    pub state: AccountState,
    /// Its login name.
    pub user_name: Option<String>,
    /// [`crate::model::collision_key`] of the name that this account *has*: unique in the tenant. `None` when held or removed.
    pub name_key: Option<String>,
    /// The key that a held account is waiting for.
    pub wanted_key: Option<String>,
    /// The mapping's answer.
    pub profile: serde_json::Value,
    /// Where each value came from.
    pub provenance: serde_json::Value,
    /// Why it is held or out of scope.
    pub note: Option<Note>,
}

/// What evaluation and settling made of one person, to be committed if its inputs are still the same.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonOutcome {
    /// The user.
    pub user: ResourceId,
    /// The `input_version` that was read; the commit checks it. 0 for a user created by the same change.
    pub read_input_version: i64,
    /// The memberships that evaluation was given. Where the change writes a group they are compared with what the write really
    /// makes of them, because a group above may have got a handle or a parent meanwhile: the person is stale when they differ.
    pub groups: Vec<GroupMembership>,
    /// What becomes of the person.
    pub effect: Effect,
    /// What becomes of the person instead, where the guard keeps something back: people are counted with the commit.
    pub guarded: Option<Box<Guarded>>,
    /// The instant that evaluation was given.
    pub as_of: Instant,
    /// The revision that decided; `None` when there was none.
    pub revision: Option<RevisionHash>,
    /// Consecutive infrastructure faults, this one included.
    pub attempts: i64,
    /// When set, the outcome is not a verdict: the person stays pending with this cause until `next_evaluation_at`.
    pub still_pending: Option<Cause>,
}

/// What becomes of a person whose inputs moved on between reading and committing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The whole change is refused with [`StoreError::Conflict`].
    Conflict,
    /// The resource is written all the same, and that person's outcome and events are dropped and the person marked pending
    /// with the given cause. (Not for a user that the change deletes: that is refused.)
    MarkPending(Cause),
}

/// Everything that one request or job changes: ONE transaction.
#[derive(Clone, Debug)]
pub struct Change {
    /// The connection whose resources are written.
    pub connection: ConnectionId,
    /// When, as the caller's clock had it.
    pub at: Instant,
    /// Who or what causes it.
    pub actor: Actor,
    /// The request that causes it.
    pub request_id: Option<String>,
    /// The revision that was active when evaluation ran. `Conflict{revision}` when another is active at commit
    /// (not checked when `persons` is empty, nor by [`Store::commit_locked`]: a deactivation reads no revision and must not lose a race).
    ///
    /// People whose inputs the write changes and who have no outcome in `persons` (members really added or removed, people below
    /// member groups that were added or removed, below a deleted group or below one that gets a handle) are marked pending by
    /// the store itself in the same transaction: direct members always, others through a fan-out when they are many.
    pub revision: Option<RevisionHash>,
    /// The write of the resource, if any.
    pub write: Option<ResourceWrite>,
    /// Outcomes for the people that the write affects.
    pub persons: Vec<PersonOutcome>,
    /// What becomes of stale people.
    pub stale: Stale,
    /// Whether it goes behind others' changes, where changes wait for each other.
    pub urgency: Urgency,
    /// People (by group) too many to evaluate here: every user below the group is marked pending in the background.
    pub fan_out: Vec<(ResourceId, Cause)>,
    /// A handle to bind to the group that this change writes; `Conflict{handle}` when another group has it by now.
    pub bind_handle: Option<HandleBinding>,
    /// History, in order, before that of `persons`. The store seals `personal`, numbers events after commit, and queues deliveries to targets in the same transaction.
    pub events: Vec<NewEvent>,
}

/// How many people have been decided under the active revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The people of the tenant.
    pub people: i64,
    /// Those whose last verdict is the active revision's.
    pub decided: i64,
}

/// What a commit found and did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// The new version of the resource that was written; `None` for deletes and for changes without a write.
    pub version: Option<i64>,
    /// Members that were really added.
    pub added: Vec<ResourceId>,
    /// Members that were really removed.
    pub removed: Vec<ResourceId>,
    /// Members named that belong to deleted resources: recorded no-ops.
    pub gone: Vec<ResourceId>,
    /// People left pending by this commit.
    pub pending: Vec<ResourceId>,
    /// What the change led to.
    pub led: Led,
}

/// A pure step that runs under the person's row lock: from what stands to the change. Used where winning an
/// optimistic race must not matter (deactivation, deletion). It must be quick and must not call tenant code.
pub type LockedDecision<'a> = Box<dyn FnOnce(&Person) -> std::result::Result<Change, rolecall_scim::ScimError> + Send + 'a>;

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

/// A token as people may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TokenInfo {
    /// An id to name it by; not the secret.
    pub id: String,
    /// When it was made.
    pub created: Instant,
    /// When it stops being accepted.
    pub expires: Option<Instant>,
    /// When it was last used, at a granularity of one minute.
    pub last_used: Option<Instant>,
}

/// A token to be stored: only its keyed hash.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// An id to name it by.
    pub id: String,
    /// The keyed hash of the secret.
    pub hash: String,
    /// When it was made.
    pub created: Instant,
    /// When it stops being accepted.
    pub expires: Option<Instant>,
}

/// What a connection's secret stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionCredential {
    /// The tenant.
    pub tenant: TenantId,
    /// The connection.
    pub connection: ConnectionId,
    /// Its state.
    pub state: ConnectionState,
    /// The token's id.
    pub token_id: String,
    /// What it is good for.
    pub kind: CredentialKind,
    /// The stored hash, to be compared in constant time.
    pub hash: String,
    /// When the token stops being accepted.
    pub expires: Option<Instant>,
    /// When it was last used.
    pub last_used: Option<Instant>,
}

/// What an API token may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ApiScope {
    /// The only tenant that it is good for; `None` = the whole platform.
    pub tenant: Option<TenantId>,
    /// Whether it may change anything.
    pub write: bool,
    /// Whom it stands for, by user name or address; nobody in particular unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The admin roles that it carries: what they may decide is said by admin policies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub admin_roles: BTreeSet<String>,
}

/// What stands behind a good API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiPrincipal {
    /// The token's id.
    pub token_id: String,
    /// What it may do.
    pub scope: ApiScope,
}

impl ApiPrincipal {
    /// Whether it operates the platform, and may decide everything in every tenant.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.scope.tenant.is_none() && (self.scope.write || self.scope.admin_roles.contains(PLATFORM_OPERATOR))
    }

    /// Whether it may decide anything at all: what, is asked of admin policies.
    #[must_use]
    pub fn may_decide(&self) -> bool {
        self.scope.write || !self.scope.admin_roles.is_empty()
    }

    /// The token as the cause of events: the person whom it names, where it names one.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match &self.scope.person {
            Some(person) => Actor { kind: Actor::PERSON.into(), id: person.clone() },
            None => Actor { kind: "api_token".into(), id: self.token_id.clone() },
        }
    }
}

/// What an API token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCredential {
    /// The token's id.
    pub token_id: String,
    /// The stored hash, to be compared in constant time.
    pub hash: String,
    /// What it may do.
    pub scope: ApiScope,
    /// When it was used last, give or take a minute.
    pub last_used: Option<Instant>,
    /// When it stops being accepted.
    pub expires: Option<Instant>,
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

/// A downstream system that is told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub id: String,
    /// The tenant.
    pub tenant: TenantId,
    /// Where to.
    pub url: String,
    /// The signing secret, sealed under the tenant's key.
    pub sealed_secret: Vec<u8>,
    /// Whether deliveries are made.
    pub enabled: bool,
}

/// What became of an event at a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The target.
    pub target: String,
    /// The event's number.
    pub seq: i64,
    /// What happened.
    pub kind: String,
    /// `waiting`, `acknowledged` or `dead`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// How the last attempt failed.
    pub problem: Option<String>,
    /// When it was acknowledged, or given up.
    pub finished: Option<Instant>,
}

/// A delivery that is due: the first undelivered event of its person at its target.
#[derive(Clone, Debug, PartialEq)]
pub struct DueDelivery {
    /// The tenant.
    pub tenant: TenantId,
    /// The target.
    pub target: Target,
    /// The event.
    pub event: Event,
    /// How often it was tried.
    pub attempts: i64,
    /// What the target alone is told with it: the token in an invitation's link.
    pub token: Option<LinkToken>,
}

/// How an attempt to deliver ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The target acknowledged it.
    Acknowledged,
    /// To be tried again at the instant, for the reason.
    Retry(Instant, String),
    /// Given up for good, for the reason.
    Dead(String),
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
    /// The tenant and state of a connection by its unguessable id.
    async fn find_connection(&self, connection: &ConnectionId) -> Result<Option<(TenantId, ConnectionState)>>;
    /// What a connection's secret stands for, by its keyed hash.
    async fn find_connection_token(&self, hash: &str) -> Result<Option<ConnectionCredential>>;
    /// The issuer whose JWTs a connection accepts, with its keys.
    async fn find_issuer(&self, connection: &ConnectionId) -> Result<Option<StoredIssuer>>;
    /// What an API token stands for, by its keyed hash.
    async fn find_api_token(&self, hash: &str) -> Result<Option<ApiCredential>>;
    /// How many API tokens exist: none at first start.
    async fn count_api_tokens(&self) -> Result<i64>;
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
    /// people with a leaver's event waiting go first.
    async fn claim_deliveries(&self, now: Instant, lease_until: Instant, limit: i64) -> Result<Vec<DueDelivery>>;
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
    /// The account, other than `except`, that has the name key in the tenant.
    async fn name_holder(&self, tenant: &TenantId, name_key: &str, except: &AccountId) -> Result<Option<AccountId>>;
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
    /// The groups of users, for rendering. One trip, unless groups are themselves in groups.
    async fn groups_of(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        users: &[ResourceId],
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

    /// Creates or replaces a target by id. What waits for a disabled target waits until it is enabled.
    async fn put_target(&self, target: &Target) -> Result<()>;
    /// The tenant's targets.
    async fn targets(&self, tenant: &TenantId) -> Result<Vec<Target>>;
    /// What became of the newest `events` of the tenant at each of its targets, by target, the newest first.
    async fn receipts(&self, tenant: &TenantId, events: i64) -> Result<Vec<Receipt>>;
    /// Records how an attempt ended; a delivery that has ended already is left as it is.
    async fn finish_delivery(&self, tenant: &TenantId, target: &str, event: &str, result: &DeliveryResult, at: Instant) -> Result<()>;
}

/// Keeps other processes from serving a SQLite file, for as long as what this gives is held; any number may serve a PostgreSQL
/// database. The lock is on a file beside the database, and ends with the process however that ends.
///
/// # Errors
/// `Unavailable` when another process serves the file, or the lock's file can't be made.
pub fn hold(url: &str) -> Result<Option<std::fs::File>> {
    if url.starts_with("sqlite:") { sqlite::hold(url).map(Some) } else { Ok(None) }
}

/// Opens the store that the URL's scheme names (`sqlite:` or `postgres:`), with its migrations applied and what a restore left to do done.
///
/// # Errors
/// `Unavailable` when the database can't be opened; `Missing` for another scheme; `Corrupt` when the database was made
/// with another master key: nothing sealed in it could be read, and no token would be known.
pub async fn open(url: &str, keyring: Arc<crate::crypto::Keyring>) -> Result<Arc<dyn Store>> {
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
    carry_through(&*store).await?;
    Ok(store)
}
