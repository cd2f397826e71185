//! Group handles: which group each stands for, and a person's yes to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::Nothing;
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::Result;
use crate::http::guards::{ConfirmHandles, TenantReader, TenantWriter};
use crate::http::query::At;
use crate::model::Handle;
use crate::store::HandleBinding;
use crate::tenancy;

/// The tenant's handles.
#[derive(Serialize, JsonSchema)]
pub struct HandleList {
    /// By handle.
    handles: Vec<HandleBinding>,
}

/// GET …/handles
///
/// # Errors
/// The store's.
pub async fn list(who: TenantReader, State(app): State<Arc<App>>) -> Result<Json<HandleList>> {
    Ok(Json(HandleList { handles: app.store.handles(&who.tenant.id).await? }))
}

/// POST …/handles/{handle}/confirm
///
/// # Errors
/// 404.
pub async fn confirm(
    who: TenantWriter<ConfirmHandles>,
    State(app): State<Arc<App>>,
    At((_, handle)): At<(String, Handle)>,
    _: ApiBody<Nothing>,
) -> Result<Json<HandleBinding>> {
    Ok(Json(tenancy::handles::confirm(&app, &who.tenant.id, &handle, &who.actor).await?))
}
