//! What a change does to a person as the guard may have it, and what people say of approvals, exceptions and holds.

use async_trait::async_trait;

use super::{AccountWrite, Result};
use crate::model::{
    AccountId, Actor, Concerned, Grant, Hold, HoldState, Instant, NewEvent, NewRuling, Passage, RoleId, Ruling, RulingKind, RulingState,
    TenantId,
};

/// The most accounts whose rulings are answered in one transaction.
pub const ANSWERED_AT_ONCE: i64 = 500;
/// The most leaves of an account that have not ended: each is looked at whenever its person is decided.
pub const LEAVES_LIMIT: usize = 20;

/// What becomes of one person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effect {
    /// The account after the change; `None` when nothing about it changes.
    pub account: Option<AccountWrite>,
    /// Grants that are new or changed.
    pub put_grants: Vec<Grant>,
    /// Roles that are no longer held.
    pub drop_grants: Vec<RoleId>,
    /// Rulings that are asked for.
    pub rule: Vec<NewRuling>,
    /// Rulings that count no longer, by id.
    pub end_rulings: Vec<String>,
    /// What it means for the person's processes and invitation.
    pub passages: Vec<Passage>,
    /// The person's history, in order.
    pub events: Vec<NewEvent>,
    /// The next date at which the result may change by itself, or at which a fault is tried again.
    pub next_evaluation_at: Option<Instant>,
}

/// What takes effect instead where more people are concerned than may be: chosen with the commit, when they are counted. There is nothing
/// where nobody is counted for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Guarded {
    /// Whom to count, where.
    pub concerned: Concerned,
    /// With losses kept back (of somebody who leaves: reversible).
    pub losses_held: Option<Effect>,
    /// With gains kept back.
    pub gains_held: Option<Effect>,
    /// With both kept back.
    pub both_held: Option<Effect>,
}

/// Which rulings are answered.
#[derive(Clone, Debug)]
pub enum Answered {
    /// One, open or answered before.
    One(String),
    /// The open ones of a hold: of all people, or of these.
    Hold(String, Option<Vec<AccountId>>),
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Yes or no.
    pub yes: bool,
    /// Until when it counts.
    pub ends: Option<Instant>,
    /// Why.
    pub reason: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Who says so.
    pub actor: Actor,
    /// When.
    pub at: Instant,
}

/// Which rulings are listed.
#[derive(Clone, Debug, Default)]
pub struct RulingQuery {
    /// Of this kind.
    pub kind: Option<RulingKind>,
    /// In this state; any but ended where there is none.
    pub state: Option<RulingState>,
    /// Of this account.
    pub account: Option<AccountId>,
    /// Of this hold.
    pub hold: Option<String>,
    /// Behind this id.
    pub after: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// Somebody who waits in a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPerson {
    /// The account.
    pub account: AccountId,
    /// Its login name.
    pub user_name: Option<String>,
    /// Its address.
    pub email: Option<String>,
}

/// Rulings and holds.
#[async_trait]
pub trait Rulings: Send + Sync {
    /// A ruling.
    async fn ruling(&self, tenant: &TenantId, ruling: &str) -> Result<Option<Ruling>>;
    /// Rulings, by id.
    async fn rulings(&self, tenant: &TenantId, query: &RulingQuery) -> Result<Vec<Ruling>>;
    /// Makes an exception; the person is marked pending. `Missing` when there is no such account, `Conflict{ruling}` when there is one
    /// of the kind for the role already.
    async fn make_exception(&self, tenant: &TenantId, ruling: &Ruling) -> Result<()>;
    /// Ends a ruling before its time; the person is marked pending.
    async fn end_ruling(&self, tenant: &TenantId, ruling: &str, reason: Option<&str>, actor: &Actor, at: Instant) -> Result<Ruling>;
    /// Answers rulings, those of at most [`ANSWERED_AT_ONCE`] accounts; their people are marked pending. How many accounts there were: to be
    /// called again until there are none.
    async fn answer_rulings(&self, tenant: &TenantId, which: &Answered, answer: &Answer) -> Result<i64>;
    /// The tenants, of all, in which somebody is to be reminded: of at most `limit` requests.
    async fn due_reminders(&self, now: Instant, limit: i64) -> Result<Vec<TenantId>>;
    /// Tells of requests that nobody has answered yet, at most `limit` of them. How many were due.
    async fn remind(&self, tenant: &TenantId, limit: i64, actor: &Actor, at: Instant) -> Result<i64>;
    /// Holds, newest first, behind one.
    async fn holds(&self, tenant: &TenantId, state: Option<HoldState>, after: Option<&str>, limit: i64) -> Result<Vec<Hold>>;
    /// A hold.
    async fn hold(&self, tenant: &TenantId, hold: &str) -> Result<Option<Hold>>;
    /// Whoever waits in a hold, by account behind one, at most `limit`.
    async fn people_in_hold(&self, tenant: &TenantId, hold: &str, after: Option<&AccountId>, limit: i64) -> Result<Vec<HeldPerson>>;
    /// Open holds of all tenants in which nobody waits any more, at most `limit`: the identity provider, or time, has resolved them.
    async fn resolved_holds(&self, limit: i64) -> Result<Vec<(TenantId, String)>>;
    /// Closes a hold in which nobody waits; one in which somebody does again is left as it is.
    async fn close_resolved(&self, tenant: &TenantId, hold: &str, actor: &Actor, at: Instant) -> Result<()>;
    /// Whether the guard counts a connection's people.
    async fn set_guarded(
        &self,
        tenant: &TenantId,
        connection: &crate::model::ConnectionId,
        guarded: bool,
        actor: &Actor,
        at: Instant,
    ) -> Result<()>;
}
