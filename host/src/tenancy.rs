//! Tenants as administered: what is done with each of the things that a tenant has stands in a file of its own.
//! Knows nothing of HTTP; the API, the command line and start-up call the same functions.

mod activation;
mod active;
pub mod admin;
pub mod authoring;
mod connections;
mod explaining;
pub mod first_sync;
pub mod fresh;
pub mod governance;
pub mod handles;
pub mod health;
pub mod imports;
pub mod log;
mod moved;
pub mod moving;
mod person;
pub mod plugins;
pub mod processes;
pub mod restored;
pub mod reviews;
pub mod setup;
pub mod sign_in;
pub mod steps;
pub mod visitors;

use std::sync::Arc;

pub use activation::{
    Checked, activate, activate_as, activation_settings, check_owner, check_revision, look_after_fresh, set_aside, store_revision,
    stored_contents, take_back,
};
pub use active::{Active, Revisions, active, active_if_loaded, active_now, active_revision, candidate, schemas};
pub use connections::{
    IssuedToken, create_api_token, create_connection, delete_connection, issue_api_token, rotate_token, set_connection_state, starting,
};
pub use explaining::explain;
pub use governance::check_reason;
pub use moved::{Moved, moved};
pub use person::{is_called, same_name};

use crate::app::App;
use crate::diagnostic::{self, Diagnostic};
use crate::model::{TenantId, quoted};
use crate::revision::GoldenResult;
use crate::store::{StoreError, Tenant};

/// The longest tenant id, as a DNS label.
const TENANT_ID_LIMIT: usize = 63;
/// The longest name of a connection or tenant, in characters.
const NAME_LIMIT: usize = 128;

/// Why an administrative change was not made.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// The folder is broken.
    #[error("the revision has {}", diagnostic::counted(.0.len(), "problem"))]
    Broken(Vec<Diagnostic>),
    /// A file that was uploaded is broken.
    #[error("the file has {}", diagnostic::counted(.0.len(), "problem"))]
    File(Vec<Diagnostic>),
    /// Golden cases fail.
    #[error("{} not as expected", diagnostic::counted(.0.iter().filter(|case| case.diff.is_some()).count(), "golden case"))]
    Golden(Vec<GoldenResult>),
    /// Managed elsewhere, a malformed name …: a sentence that says what to do.
    #[error("{0}")]
    Refused(String),
    /// Waits for a second person: a sentence that says what to do.
    #[error("{0}")]
    Held(String),
    /// Not for this caller, whatever policies say: a sentence that says why.
    #[error("{0}")]
    Forbidden(String),
    /// Accounts are named that do not wait in the hold that is answered.
    #[error("not held here: {}; nobody was answered about, and `rolecall hold show` lists who is held", .0.join(", "))]
    NotHeld(Vec<String>),
    /// The store's word.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too much of this tenant's waits for the evaluation threads.
    #[error(transparent)]
    Overloaded(#[from] crate::compute::Overloaded),
}

/// Makes the tenant if it is not there.
///
/// # Errors
/// `Refused` for a malformed id or name.
pub async fn ensure_tenant(app: &Arc<App>, tenant: &TenantId, name: &str, managed_by: &str) -> Result<Tenant, TenancyError> {
    let well_formed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let id = tenant.as_str();
    if id.is_empty() || id.len() > TENANT_ID_LIMIT || !id.chars().all(well_formed) || id.starts_with('-') || id.ends_with('-') {
        let rule = format!(
            "`{}` is no tenant id: use lower-case letters, digits and inner hyphens, at most {TENANT_ID_LIMIT}",
            quoted(id).escape_debug()
        );
        return Err(TenancyError::Refused(rule));
    }
    check_name(name)?;
    Ok(app.store.ensure_tenant(tenant, name, managed_by, app.clock.now()).await?)
}

fn check_name(name: &str) -> Result<(), TenancyError> {
    if name.trim().is_empty() || name.chars().count() > NAME_LIMIT || name.chars().any(char::is_control) {
        return Err(TenancyError::Refused(format!("a name has 1 to {NAME_LIMIT} characters and no control characters")));
    }
    Ok(())
}
