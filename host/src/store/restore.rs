//! What a restored database has to go through once, and the connections whose gains wait since.

use async_trait::async_trait;

use super::{Result, Store};
use crate::model::{Actor, ConnectionId, Instant, ResourceId, Restored, TenantId};

/// People that one page of [`Restores::untouched`] looks at.
pub const UNTOUCHED_PAGE: i64 = 500;

/// A restore of a backup, as it is written with the restored database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// An id of its own.
    pub id: String,
    /// When.
    pub at: Instant,
    /// When the backup was begun.
    pub backup_at: Instant,
    /// Whether API tokens end with it.
    pub revoke_tokens: bool,
}

/// Somebody whom the identity provider has not changed since a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untouched {
    /// The SCIM id.
    pub id: ResourceId,
    /// The user name or what is shown of them.
    pub label: Option<String>,
}

/// A page of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntouchedPage {
    /// What is remembered of the restore.
    pub restored: Restored,
    /// The people, by id: fewer than were looked at, or none.
    pub people: Vec<Untouched>,
    /// After whom the next page begins; `None` on the last one.
    pub next: Option<ResourceId>,
}

/// Restores as they are stored.
#[async_trait]
pub trait Restores: Send + Sync {
    /// Notes a restore that is still to be carried through.
    async fn put_restore(&self, restore: &Restore) -> Result<()>;
    /// Restores that are not carried through yet.
    async fn open_restores(&self) -> Result<Vec<Restore>>;
    /// Carries a restore through for a tenant, once: its connections, but those in staging, become `restored`, what waits for targets and is
    /// no leaver's waits for the release, and the history says so. Returns whether it was still to be done.
    async fn carry_restore(&self, tenant: &TenantId, restore: &Restore) -> Result<bool>;
    /// Ends a restore: everything about it is done. Nobody is signed in to the workspace after it, and no link to it is good.
    async fn finish_restore(&self, restore: &Restore) -> Result<()>;
    /// The next people of a restored connection whom its identity provider has not changed since. `Missing` for an unknown connection,
    /// `Conflict{not_restored}` for one that is not, or no longer, `restored`.
    async fn untouched(&self, tenant: &TenantId, connection: &ConnectionId, after: Option<&ResourceId>) -> Result<UntouchedPage>;
    /// Gives a restored connection the state that it had in the backup: what waited is decided. Once none of the tenant's waits any more,
    /// so does nothing for its targets. Errors as [`Restores::untouched`].
    async fn release_restored(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        why: &str,
        actor: &Actor,
        at: Instant,
    ) -> Result<Restored>;
}

/// Carries through what restores have left to do: whoever opens the database does it before anything else.
///
/// # Errors
/// The store's; what is done stays done, and the next one who opens the database goes on.
pub async fn carry_through(store: &dyn Store) -> Result<()> {
    for restore in store.open_restores().await? {
        for tenant in store.tenants().await? {
            store.carry_restore(&tenant.id, &restore).await?;
        }
        store.finish_restore(&restore).await?;
    }
    Ok(())
}
