//! What is read of a person to decide about them, and the change that is committed of it.

use rolecall_scim::resource::Document;

use super::{Effect, Guarded, HandleBinding, StoredResource};
#[cfg(doc)]
use super::{Store, StoreError};
use crate::model::{
    Account, AccountId, AccountState, Actor, Cause, ConnectionId, EvaluationState, Grant, GroupMembership, Instant, Led, NewEvent, Note,
    ResourceId, RevisionHash, Ruling, Urgency,
};

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
pub type LockedDecision<'a> = Box<dyn FnOnce(&Person) -> Result<Change, rolecall_scim::ScimError> + Send + 'a>;
