//! What the store says of the first sync: accounts that were imported, whom of a connection they may belong to, and how a staged
//! connection goes live with those that are adopted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Result, TakeOver};
use crate::model::{AccountId, AccountState, Actor, ConnectionId, Instant, Note, ResourceId, RevisionHash, RoleId, TenantId};

/// The most accounts that one import writes: they are one transaction.
pub const IMPORT_ROWS_LIMIT: usize = 10_000;
/// People of a connection who are compared with imported accounts at once: what one page of a difference holds at most.
pub const DIFFERENCE_PAGE_LIMIT: i64 = 500;

/// An account to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImport {
    /// Its id, where it is new.
    pub account: AccountId,
    /// Its login name.
    pub user_name: String,
    /// [`crate::model::collision_key`] of that.
    pub name_key: String,
    /// The identity provider's id, where the file has one.
    pub external_id: Option<String>,
    /// Its addresses, folded as SCIM's are.
    pub emails: Vec<String>,
    /// Name, address and what else is shown of it.
    pub profile: serde_json::Value,
    /// The roles that it has today.
    pub roles: Vec<RoleId>,
    /// Whether no connection may touch it; as it is where the file says nothing.
    pub protected: Option<bool>,
    /// What the row says, as a hash: the same again changes nothing.
    pub digest: String,
}

/// Why a row can't be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportProblem {
    /// Its name belongs to an account that a connection feeds.
    NameTaken,
    /// Its external id belongs to another imported account.
    ExternalIdTaken,
    /// It is to be protected, and a connection's person has adopted it.
    Fed,
}

/// What an import came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Imported {
    /// Accounts that are new.
    pub created: i64,
    /// Accounts that were imported before, and are changed.
    pub changed: i64,
    /// Accounts that are what the file says already.
    pub unchanged: i64,
    /// Accounts that a connection's person has adopted since: they are left alone.
    pub adopted: i64,
}

/// What is known of an account that was imported and that nobody has adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ImportedAccount {
    /// Whether no connection may touch it.
    pub protected: bool,
}

/// What a person may be known by in an imported account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Likeness {
    /// The login name, folded.
    pub name: bool,
    /// The identity provider's id.
    pub external_id: bool,
    /// An e-mail address.
    pub email: bool,
}

/// An account that may be somebody's: one that was imported, or one of the connection that is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptionCandidate {
    /// The account.
    pub account: AccountId,
    /// Its login name.
    pub user_name: Option<String>,
    /// By what.
    pub by: Likeness,
    /// Whether no connection may touch it.
    pub protected: bool,
    /// Whether somebody else of the connection has its name or external id.
    pub rivals: bool,
    /// Whose it is at the connection that is taken over; `None` for one that was imported.
    pub from: Option<ResourceId>,
    /// Whether that connection said that the person is gone: an account may be out of use for other reasons, and those move with it.
    pub gone: bool,
    /// The roles that it has.
    pub roles: Vec<RoleId>,
    /// Those of them that an exception gives: it goes with the account.
    pub excepted: Vec<RoleId>,
}

/// What a person said of somebody before the connection goes live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdoptionChoice {
    /// They adopt this account.
    Adopt(AccountId),
    /// Their account is a new one.
    New,
}

/// Somebody of a connection, beside what was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The SCIM user.
    pub user: ResourceId,
    /// The account that was made for them.
    pub account: AccountId,
    /// What that is.
    pub state: AccountState,
    /// Why.
    pub note: Option<Note>,
    /// Whether the mapping has never made an account of them.
    pub undecided: bool,
    /// The login name: the mapping's, else the identity provider's.
    pub user_name: Option<String>,
    /// The roles that policies give them.
    pub roles: Vec<RoleId>,
    /// Accounts that may be theirs.
    pub candidates: Vec<AdoptionCandidate>,
    /// The account that has the name.
    pub holder: Option<AccountId>,
    /// Somebody else of the connection who wants the name, and comes first.
    pub before: Option<AccountId>,
    /// What a person said.
    pub choice: Option<AdoptionChoice>,
    /// Whether somebody is asked whose the accounts are: also of somebody who has left since.
    pub asked: bool,
}

/// An imported account that nobody has adopted, or an account of the connection that is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unadopted {
    /// The account.
    pub account: AccountId,
    /// Its login name.
    pub user_name: Option<String>,
    /// Whether no connection may touch it.
    pub protected: bool,
    /// The roles that it has.
    pub roles: Vec<RoleId>,
    /// Whose it is at the connection that is taken over; `None` for one that was imported.
    pub from: Option<ResourceId>,
    /// People of the connection who have something in common with it.
    pub alike: Vec<ResourceId>,
}

/// What a difference depends on, as counts that only grow: two that are equal were computed from the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DifferenceMark {
    /// People of the connection.
    pub people: i64,
    /// Those whom it has deleted.
    pub deleted: i64,
    /// The sum of their input versions.
    pub versions: i64,
    /// The version of what was imported.
    pub imports: i64,
    /// The active revision.
    pub revision: Option<RevisionHash>,
    /// Of the connection that is taken over, where there is one.
    pub there: Option<MarkThere>,
}

/// What a difference depends on at the connection that is taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkThere {
    /// Its people.
    pub people: i64,
    /// Those whom it has deleted.
    pub deleted: i64,
    /// The sum of their input versions.
    pub versions: i64,
}

/// Who adopts what when a connection goes live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdoptionPlan {
    /// The user, the account that was made for them, and the imported one that they adopt.
    pub adopt: Vec<(ResourceId, AccountId, AccountId)>,
    /// Who takes over which account of the connection that is taken over.
    pub take_over: Vec<TakeOver>,
    /// The accounts of people who wait for a person.
    pub doubts: Vec<AccountId>,
    /// What the history says of it all.
    pub totals: serde_json::Value,
}

/// What a person says of somebody.
#[derive(Clone, Debug)]
pub struct AdoptionWord {
    /// The SCIM user.
    pub user: ResourceId,
    /// Which account.
    pub choice: AdoptionChoice,
    /// Why.
    pub reason: String,
    /// Who says it.
    pub actor: Actor,
    /// When.
    pub at: Instant,
}

/// Imported accounts and their adoption.
#[async_trait]
pub trait Imports: Send + Sync {
    /// Writes imported accounts, all or, where a row can't be, none; with `dry_run` none in any case. The rows that can't be, by number.
    async fn import_accounts(
        &self,
        tenant: &TenantId,
        rows: &[NewImport],
        revision: Option<&RevisionHash>,
        dry_run: bool,
        actor: &Actor,
        at: Instant,
    ) -> Result<std::result::Result<Imported, BTreeMap<usize, ImportProblem>>>;
    /// Protects an account that no connection feeds, or ends that. `Conflict{fed}` where one does.
    async fn set_protected(
        &self,
        tenant: &TenantId,
        account: &AccountId,
        protected: bool,
        reason: &str,
        actor: &Actor,
        at: Instant,
    ) -> Result<()>;
    /// People of a connection beside what was imported, by id, behind one.
    async fn staged(&self, tenant: &TenantId, connection: &ConnectionId, after: Option<&ResourceId>, limit: i64) -> Result<Vec<Staged>>;
    /// The same of some people.
    async fn staged_of(&self, tenant: &TenantId, connection: &ConnectionId, users: &[ResourceId]) -> Result<Vec<Staged>>;
    /// Imported accounts that nobody has adopted, by id, behind one, with people of the connection who have something in common with them.
    async fn unadopted(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        after: Option<&AccountId>,
        limit: i64,
    ) -> Result<Vec<Unadopted>>;
    /// What a difference depends on.
    async fn difference_mark(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<DifferenceMark>;
    /// Ends staging, unless what the plan depends on has moved: then the mark that it has by now. `Conflict{connection_state}` for a connection
    /// that is not in staging.
    async fn go_live(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        plan: &AdoptionPlan,
        mark: &DifferenceMark,
        actor: &Actor,
        at: Instant,
    ) -> Result<std::result::Result<(), DifferenceMark>>;
    /// Keeps what a person says of somebody until the connection goes live; at once where it is. `Conflict{import}` for an account that can't
    /// be adopted or taken over, `Conflict{adoption}` for somebody about whom there is nothing to say, `Conflict{account_name}` where the name is another's.
    async fn choose_account(&self, tenant: &TenantId, connection: &ConnectionId, word: &AdoptionWord) -> Result<()>;
}
