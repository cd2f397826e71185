//! Tenants as administered: their revisions (stored, checked, activated, built once) and their connections.

use std::sync::Arc;

use crate::app::App;
use crate::diagnostic::Diagnostic;
use crate::model::{Actor, ConnectionId, ConnectionState, Instant, RevisionHash, TenantId};
use crate::revision::{Files, GoldenResult, Revision};
use crate::store::{ApiScope, Connection, StoreError};

/// Built revisions by hash, and each tenant's active one.
#[derive(Default)]
pub struct Revisions {}

/// Why an administrative change was not made.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// The folder is broken.
    #[error("the revision has {} problems", .0.len())]
    Broken(Vec<Diagnostic>),
    /// Golden cases fail.
    #[error("{} golden cases fail", .0.iter().filter(|case| case.diff.is_some()).count())]
    Golden(Vec<GoldenResult>),
    /// Managed elsewhere, a malformed name …: a sentence that says what to do.
    #[error("{0}")]
    Refused(String),
    /// The store's word.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What checking a revision found.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Checked {
    /// Its hash.
    pub hash: RevisionHash,
    /// How many golden cases passed.
    pub golden_passed: usize,
    /// The revision that is active now.
    pub active: Option<RevisionHash>,
}

/// A token that is shown once.
pub struct IssuedToken {
    /// Its id.
    pub id: String,
    /// The secret, `rc_…`.
    pub token: zeroize::Zeroizing<String>,
    /// When it ends.
    pub expires: Option<Instant>,
}

/// The tenant's active revision, built; from memory unless another was activated.
///
/// # Errors
/// The store's.
pub async fn active_revision(app: &Arc<App>, tenant: &TenantId) -> Result<Option<Arc<Revision>>, StoreError> {
    let _ = (app, tenant);
    unimplemented!()
}

/// Makes the tenant if it is not there.
///
/// # Errors
/// `Refused` for a malformed id.
pub async fn ensure_tenant(app: &Arc<App>, tenant: &TenantId, name: &str, managed_by: &str) -> Result<crate::store::Tenant, TenancyError> {
    let _ = (app, tenant, name, managed_by);
    unimplemented!()
}

/// Checks files as a revision (golden cases included) and stores it.
///
/// # Errors
/// `Broken`, `Golden`.
pub async fn store_revision(app: &Arc<App>, tenant: &TenantId, files: Files) -> Result<Checked, TenancyError> {
    let _ = (app, tenant, files);
    unimplemented!()
}

/// Activates a stored revision if `replaces` still is the active one. `owner` is `folder` or `api` and must be the tenant's `managed_by`.
///
/// # Errors
/// `Store(Conflict)` when another was activated meanwhile.
pub async fn activate(
    app: &Arc<App>,
    tenant: &TenantId,
    hash: &RevisionHash,
    replaces: Option<&RevisionHash>,
    owner: &str,
    actor: &Actor,
) -> Result<(), TenancyError> {
    let _ = (app, tenant, hash, replaces, owner, actor);
    unimplemented!()
}

/// Creates a connection with its first token.
///
/// # Errors
/// `Store(Taken)` for a name in use.
pub async fn create_connection(
    app: &Arc<App>,
    tenant: &TenantId,
    name: &str,
    actor: &Actor,
) -> Result<(Connection, IssuedToken), TenancyError> {
    let _ = (app, tenant, name, actor);
    unimplemented!()
}

/// Issues another token; the one before stays good for `overlap_seconds`.
///
/// # Errors
/// `Store(Missing)`.
pub async fn rotate_token(
    app: &Arc<App>,
    tenant: &TenantId,
    connection: &ConnectionId,
    overlap_seconds: i64,
    lifetime_seconds: Option<i64>,
    actor: &Actor,
) -> Result<IssuedToken, TenancyError> {
    let _ = (app, tenant, connection, overlap_seconds, lifetime_seconds, actor);
    unimplemented!()
}

/// Pauses or resumes.
///
/// # Errors
/// `Store(Missing)`.
pub async fn set_connection_state(
    app: &Arc<App>,
    tenant: &TenantId,
    connection: &ConnectionId,
    state: ConnectionState,
    actor: &Actor,
) -> Result<(), TenancyError> {
    let _ = (app, tenant, connection, state, actor);
    unimplemented!()
}

/// Deletes a connection: as if each of its people had been deleted.
///
/// # Errors
/// `Store(Missing)`.
pub async fn delete_connection(app: &Arc<App>, tenant: &TenantId, connection: &ConnectionId, actor: &Actor) -> Result<(), TenancyError> {
    let _ = (app, tenant, connection, actor);
    unimplemented!()
}

/// Issues an API token.
///
/// # Errors
/// The store's.
pub async fn create_api_token(app: &Arc<App>, scope: ApiScope, lifetime_seconds: Option<i64>) -> Result<IssuedToken, TenancyError> {
    let _ = (app, scope, lifetime_seconds);
    unimplemented!()
}

/// Why or why not.
///
/// # Errors
/// `Store(Missing)` for an unknown account or role.
pub async fn explain(app: &Arc<App>, tenant: &TenantId, account: &str, role: &str) -> Result<crate::policies::Explanation, TenancyError> {
    let _ = (app, tenant, account, role);
    unimplemented!()
}

/// Checks files as a revision (golden cases included) and stores nothing.
///
/// # Errors
/// `Broken`, `Golden`.
pub async fn check_revision(app: &Arc<App>, tenant: &TenantId, files: Files) -> Result<Checked, TenancyError> {
    let sandbox = Arc::clone(&app.sandbox);
    // Compiling plugins is long work, and tenant code runs: not on a worker that serves requests.
    let built =
        tokio::task::spawn_blocking(move || Revision::build(&files, &sandbox).map(|revision| (revision.run_tests(), revision.hash)));
    let (golden, hash) =
        built.await.map_err(|e| StoreError::Corrupt(format!("checking a revision panicked: {e}")))?.map_err(TenancyError::Broken)?;
    if golden.iter().any(|case| case.diff.is_some()) {
        return Err(TenancyError::Golden(golden));
    }
    let active = app.store.tenant(tenant).await?.and_then(|tenant| tenant.active_revision);
    Ok(Checked { hash, golden_passed: golden.len(), active })
}
