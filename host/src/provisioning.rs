//! The write path: one straight line for every kind of change (read, apply, validate, evaluate, settle, commit).

use std::sync::Arc;

use rolecall_scim::patch::Done;
use rolecall_scim::{Quirk, ResourceKind, ScimError};
use serde_json::Value;

use crate::app::App;
use crate::model::{ConnectionId, ConnectionState, ResourceId, TenantId};
use crate::store::{StoreError, StoredResource};

/// Who writes: made by the extractor from path and token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The tenant.
    pub tenant: TenantId,
    /// The connection.
    pub connection: ConnectionId,
    /// Its state when the request came.
    pub state: ConnectionState,
    /// The request.
    pub request_id: String,
}

/// What a client asks for. `if_match` is the version in the `If-Match` header.
#[derive(Clone, Debug)]
pub enum Command {
    /// POST.
    Create {
        /// User or Group.
        kind: ResourceKind,
        /// The body.
        body: Value,
    },
    /// PUT.
    Replace {
        /// User or Group.
        kind: ResourceKind,
        /// The resource.
        id: ResourceId,
        /// The body.
        body: Value,
        /// Version condition.
        if_match: Option<i64>,
    },
    /// PATCH.
    Patch {
        /// User or Group.
        kind: ResourceKind,
        /// The resource.
        id: ResourceId,
        /// The body.
        body: Value,
        /// Version condition.
        if_match: Option<i64>,
    },
    /// DELETE.
    Delete {
        /// User or Group.
        kind: ResourceKind,
        /// The resource.
        id: ResourceId,
        /// Version condition.
        if_match: Option<i64>,
    },
}

/// What became of it: durable.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The resource after the change; `None` after a DELETE.
    pub resource: Option<StoredResource>,
    /// What each PATCH operation did.
    pub operations: Vec<Done>,
    /// Quirks that were met.
    pub quirks: Vec<Quirk>,
}

/// Why it was not done: nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The client is told this.
    #[error(transparent)]
    Scim(#[from] ScimError),
    /// The store's word: `http::error` picks the status.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too much waits for this tenant: 503.
    #[error(transparent)]
    Overloaded(#[from] crate::compute::Overloaded),
}

/// Carries out a command.
///
/// # Errors
/// [`Failure`]; nothing was stored.
pub async fn apply(app: &Arc<App>, caller: &Caller, command: Command) -> Result<Applied, Failure> {
    let _ = (app, caller, command);
    unimplemented!()
}
