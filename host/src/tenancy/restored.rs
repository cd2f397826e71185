//! Connections that came back with a backup: who stands as they did then, and the release.

use super::TenancyError;
use crate::app::App;
use crate::model::{Actor, ConnectionId, Restored, TenantId};

/// The longest reason for a release, in characters.
pub const REASON_CHARS_LIMIT: usize = 500;

/// Releases a restored connection: it has the state again that it had in the backup, and what waited is decided. For a person who has looked, and
/// for a reconciliation that has ended.
///
/// # Errors
/// `Refused` without a reason, or with one that is too long; `Store(Missing)`; `Store(Conflict)` for a connection that does not wait for it.
pub async fn release(app: &App, tenant: &TenantId, connection: &ConnectionId, why: &str, actor: &Actor) -> Result<Restored, TenancyError> {
    let why = why.trim();
    if why.is_empty() || why.chars().count() > REASON_CHARS_LIMIT {
        return Err(TenancyError::Refused(format!(
            "say why in at most {REASON_CHARS_LIMIT} characters: how it is known who has left since the backup"
        )));
    }
    let restored = app.store.release_restored(tenant, connection, why, actor, app.clock.now()).await?;
    app.wake.notify_one();
    app.numbered.notify_one();
    Ok(restored)
}
