//! What the store says of people's steps and invitations, and what is overdue.

use async_trait::async_trait;
use rolecall_scim::resource::Document;
use zeroize::Zeroizing;

use super::Result;
use crate::model::{AccountId, Actor, Instant, Invitation, InvitationState, Passage, Process, ProcessKind, ProcessState, RoleId, TenantId};

/// The most invitations, or departures, that one step looks at.
pub const OVERDUE_AT_ONCE: i64 = 200;

/// The most people who left with their connection and whose steps begin in one transaction.
pub const LEFT_AT_ONCE: i64 = 100;

/// Somebody who was in use and left with their whole connection: their leavers' process is to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    /// The account.
    pub account: AccountId,
    /// When.
    pub departed: Instant,
    /// The roles that were in effect.
    pub roles: Vec<RoleId>,
    /// The account's shape, as the mapping made it last.
    pub profile: serde_json::Value,
    /// What the identity provider wrote of them last.
    pub document: Document,
}

/// A token that is told to a target alone, and shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken(pub Zeroizing<String>);

impl std::fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkToken(…)")
    }
}

/// Which processes are listed.
#[derive(Clone, Debug, Default)]
pub struct ProcessQuery {
    /// In this state; those that are open where there is none.
    pub state: Option<ProcessState>,
    /// Of this kind.
    pub kind: Option<ProcessKind>,
    /// Of this account.
    pub account: Option<AccountId>,
    /// With a step that is past its date.
    pub overdue: bool,
    /// Behind this id.
    pub after: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// Which invitations are listed.
#[derive(Clone, Debug, Default)]
pub struct InvitationQuery {
    /// In this state; those that are open where there is none.
    pub state: Option<InvitationState>,
    /// Of this account.
    pub account: Option<AccountId>,
    /// Behind this id.
    pub after: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// What is said of a step.
#[derive(Clone, Debug)]
pub struct StepSaid {
    /// Whether it is done, or skipped.
    pub done: bool,
    /// Why it is skipped, or what there is to say.
    pub reason: Option<String>,
    /// Who says so.
    pub actor: Actor,
    /// When.
    pub at: Instant,
}

/// An invitation that somebody makes.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// For whom: an account in use.
    pub account: AccountId,
    /// When its link expires.
    pub expires: Instant,
    /// Whom to write to.
    pub personal: serde_json::Value,
    /// Who makes it.
    pub actor: Actor,
    /// When.
    pub at: Instant,
}

/// What stands behind the token of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundInvitation {
    /// The invitation.
    pub id: String,
    /// The stored hash, to be compared in constant time.
    pub hash: String,
    /// How far it is.
    pub state: InvitationState,
    /// When the link expires.
    pub expires: Instant,
}

/// Steps and invitations. Which of them there are comes about with the commit of a change ([`super::Effect::passages`]).
#[async_trait]
pub trait Steps: Send + Sync {
    /// People's processes, by id.
    async fn processes(&self, tenant: &TenantId, query: &ProcessQuery) -> Result<Vec<Process>>;
    /// A process.
    async fn process(&self, tenant: &TenantId, process: &str) -> Result<Option<Process>>;
    /// Says that a step is done or skipped; with the last one the process is done. `Missing` where there is no such process or step,
    /// `Conflict{step}` where it is done or skipped already.
    async fn say_of_step(&self, tenant: &TenantId, process: &str, step: &str, said: &StepSaid) -> Result<Process>;

    /// Invitations, by id.
    async fn invitations(&self, tenant: &TenantId, query: &InvitationQuery) -> Result<Vec<Invitation>>;
    /// Makes an invitation; an open one of the account ends. `Missing` where no account in use has the id.
    async fn invite(&self, tenant: &TenantId, new: &NewInvitation) -> Result<Invitation>;
    /// Takes an open invitation back. `Missing` where there is none.
    async fn revoke_invitation(&self, tenant: &TenantId, invitation: &str, actor: &Actor, at: Instant) -> Result<Invitation>;
    /// What stands behind a link's token, by its keyed hash.
    async fn find_invitation(&self, tenant: &TenantId, hash: &str) -> Result<Option<FoundInvitation>>;
    /// Accepts an invitation that is open, has not expired and whose account is in use, once. Whether it was accepted.
    async fn accept_invitation(&self, tenant: &TenantId, invitation: &str, at: Instant) -> Result<bool>;

    /// The tenants, of all, in which people left with their connection and their leavers' process has not begun: at most `limit` tenants.
    async fn tenants_with_left(&self, limit: i64) -> Result<Vec<TenantId>>;
    /// Such people, by account, at most `limit`.
    async fn left(&self, tenant: &TenantId, limit: i64) -> Result<Vec<Left>>;
    /// Begins their leavers' process, once, and says by when targets are to acknowledge the departure. Whoever has come back, or was
    /// erased, meanwhile is nobody who leaves. How many were done with.
    async fn begin_left(&self, tenant: &TenantId, left: Vec<(Left, Passage)>, actor: &Actor, at: Instant) -> Result<i64>;

    /// The tenants, of all, in which a step, an invitation or an acknowledgement is past its date: at most `limit` tenants.
    async fn with_overdue(&self, now: Instant, limit: i64) -> Result<Vec<TenantId>>;
    /// Tells of what is past its date, once, at most `limit` of each: steps, invitations, departures that targets have not acknowledged.
    /// How many there were.
    async fn tell_overdue(&self, tenant: &TenantId, limit: i64, actor: &Actor, at: Instant) -> Result<i64>;
}
