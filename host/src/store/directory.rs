//! How people are found by what others know them by, who holds a role, and about whom nothing can be decided.

use async_trait::async_trait;

use super::{AccountView, Result};
use crate::model::{AccountId, AccountState, GrantState, Instant, Note, RoleId, TenantId};

/// The most accounts that a page of a search by name looks at, where one state is asked for: a page may hold fewer than asked for and yet
/// not be the last.
pub const NAMES_LOOKED_AT: i64 = 2_000;
/// The most people that are found by each other thing than their name: by an address, a display name, an external id.
pub const FOUND_OTHERWISE_LIMIT: i64 = 20;

/// Accounts whose login names begin alike.
#[derive(Clone, Debug)]
pub struct NameQuery {
    /// What the names begin with: some characters, in any case.
    pub prefix: String,
    /// Only accounts in this state.
    pub state: Option<AccountState>,
    /// Only accounts behind this place.
    pub after: Option<NamePlace>,
    /// At most so many.
    pub limit: i64,
}

/// A place in the order of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePlace {
    /// The folded name.
    pub name: String,
    /// The account, of several that have the name.
    pub account: AccountId,
}

/// Accounts by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamePage {
    /// In the order of their names.
    pub accounts: Vec<AccountView>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<NamePlace>,
}

/// Somebody who has a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The account.
    pub account: AccountId,
    /// Its login name.
    pub user_name: Option<String>,
    /// What it is at present.
    pub account_state: AccountState,
    /// In which way it has the role.
    pub state: GrantState,
    /// Since when.
    pub since: Instant,
}

/// Somebody about whom nothing can be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faulty {
    /// The account.
    pub account: AccountId,
    /// Its login name.
    pub user_name: Option<String>,
    /// What failed.
    pub note: Note,
}

/// Look-ups of people by indexes: none costs more where there are more people.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Accounts whose login name begins with some characters, by name. Of a prefix without characters there are none.
    async fn accounts_named(&self, tenant: &TenantId, query: &NameQuery) -> Result<NamePage>;
    /// Accounts that somebody is known by otherwise: an e-mail address or display name that begins so, or the external id itself. At most
    /// [`FOUND_OTHERWISE_LIMIT`] for each of these, by id; where one state is asked for, at most so many of the first [`NAMES_LOOKED_AT`] of each.
    async fn accounts_known_by(&self, tenant: &TenantId, text: &str, state: Option<AccountState>) -> Result<Vec<AccountView>>;
    /// Accounts that have a role, in whichever way, by id, behind one.
    async fn role_holders(&self, tenant: &TenantId, role: &RoleId, after: Option<&AccountId>, limit: i64) -> Result<Vec<Holder>>;
    /// How many accounts have a role, counted up to `most`.
    async fn count_role_holders(&self, tenant: &TenantId, role: &RoleId, most: i64) -> Result<i64>;
    /// People for whom a plugin or a policy fails, by account.
    async fn faulty_people(&self, tenant: &TenantId, limit: i64) -> Result<Vec<Faulty>>;
}
