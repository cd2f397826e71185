//! What the store says of moving house: which connection takes over from which, who has moved with their account, and their way back.

use async_trait::async_trait;

use super::{Result, Unadopted};
use crate::model::{AccountId, AccountState, Actor, ConnectionId, Handle, Instant, ResourceId, TenantId};

/// People who have moved that are read at once.
pub const MOVED_PAGE_LIMIT: i64 = 500;

/// Somebody who takes over the account that they have through another connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeOver {
    /// The SCIM user.
    pub user: ResourceId,
    /// The account that was made for them, which stands for them at the other connection from then on.
    pub made: AccountId,
    /// The account that they take over.
    pub account: AccountId,
    /// The SCIM user at the other connection.
    pub from_user: ResourceId,
}

/// Somebody who has moved, and how they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedPerson {
    /// The SCIM user.
    pub user: ResourceId,
    /// The connection that they came from.
    pub from: ConnectionId,
    /// The SCIM user there.
    pub from_user: ResourceId,
    /// The account that went with them.
    pub account: AccountId,
    /// What stands in its place there.
    pub placeholder: AccountId,
    /// The account that the user has; `None` for one who is deleted.
    pub has: Option<AccountId>,
    /// The account that the user there has.
    pub has_there: Option<AccountId>,
    /// What the account that went with them is.
    pub state: AccountState,
    /// Whether it is out of use for a leave.
    pub is_absent: bool,
    /// Its login name.
    pub user_name: Option<String>,
    /// Whether the connection that they came from says that they are inactive.
    pub inactive_there: bool,
}

/// How many have moved away from a connection to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedAway {
    /// The other connection.
    pub to: ConnectionId,
    /// Those who have the account there that went with them.
    pub there: i64,
    /// Those of all who moved whose user has not been deleted here: nothing hangs on it.
    pub here: i64,
}

/// Somebody who goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoBack {
    /// The SCIM user.
    pub user: ResourceId,
    /// The connection that they came from, and the SCIM user there.
    pub from: (ConnectionId, ResourceId),
    /// Their account.
    pub account: AccountId,
    /// What stands in its place there.
    pub placeholder: AccountId,
}

/// Moving house.
#[async_trait]
pub trait Moves: Send + Sync {
    /// Says from which connection one in staging takes over, or from none. `Conflict{connection_state}` where it is not in staging,
    /// `Conflict{predecessor}` for one that can't be taken over: itself, one in staging, one that another connection in staging takes over.
    async fn set_predecessor(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        predecessor: Option<&ConnectionId>,
        actor: &Actor,
        at: Instant,
    ) -> Result<()>;
    /// From which connection one takes over, or has.
    async fn predecessor(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Option<ConnectionId>>;
    /// Whether a group of a connection may have a handle beside that of another connection's group: one of the two takes over from the other,
    /// and no group of it has the handle yet.
    async fn shares_handle(&self, tenant: &TenantId, connection: &ConnectionId, other: &ConnectionId, handle: &Handle) -> Result<bool>;
    /// Accounts of the connection that is taken over, by the SCIM id there, behind one, with people of the connection who have something in
    /// common with them.
    async fn untaken(&self, tenant: &TenantId, connection: &ConnectionId, after: Option<&ResourceId>, limit: i64)
    -> Result<Vec<Unadopted>>;
    /// Who has moved to a connection, by id, behind one.
    async fn moved(&self, tenant: &TenantId, connection: &ConnectionId, after: Option<&ResourceId>, limit: i64)
    -> Result<Vec<MovedPerson>>;
    /// Who has moved away from a connection, by the one that they moved to.
    async fn moved_away(&self, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<MovedAway>>;
    /// Lets people go back with their accounts, all of them, and puts the connection into staging. `Conflict{not_live}` where it is
    /// there already, `Conflict{move}` where somebody can't go back any more.
    async fn go_back(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        people: &[GoBack],
        totals: &serde_json::Value,
        actor: &Actor,
        at: Instant,
    ) -> Result<()>;
}
