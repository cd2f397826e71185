//! Connections that came back with a backup.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::Result;
use crate::http::guards::{ManageConnections, TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At};
use crate::model::{ConnectionId, ResourceId, Restored};
use crate::tenancy::restored;

/// Which page.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UntouchedQuery {
    /// `next` of the page before; the first page unless given.
    after: Option<ResourceId>,
}

/// Somebody.
#[derive(Serialize, JsonSchema)]
pub struct UntouchedAnswer {
    /// The SCIM id.
    id: ResourceId,
    /// The user name, or what is shown of them.
    user_name: Option<String>,
}

/// A restored connection, with people whom its identity provider has not changed since.
#[derive(Serialize, JsonSchema)]
pub struct RestoredAnswer {
    /// What is remembered of the restore.
    restored: Restored,
    /// People who stand as they did in the backup, by id; a page may have fewer than others, or none.
    untouched: Vec<UntouchedAnswer>,
    /// Where the next page begins; `null` on the last one.
    next: Option<ResourceId>,
}

/// Why it is released.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// How it is known who has left since the backup; at most 500 characters. It is kept in the history.
    reason: String,
}

/// GET …/connections/{connection}/restored
///
/// # Errors
/// 404; 409 for a connection that does not wait.
pub async fn read(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<UntouchedQuery>,
) -> Result<Json<RestoredAnswer>> {
    let page = app.store.untouched(&who.tenant.id, &connection, query.after.as_ref()).await.map_err(crate::tenancy::TenancyError::from)?;
    let untouched = page.people.into_iter().map(|person| UntouchedAnswer { id: person.id, user_name: person.label });
    Ok(Json(RestoredAnswer { restored: page.restored, untouched: untouched.collect(), next: page.next }))
}

/// POST …/connections/{connection}/release: what waited since the restore is decided.
///
/// # Errors
/// 404; 409 for a connection that does not wait; 422 without a reason.
pub async fn release(
    who: TenantWriter<ManageConnections>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiBody(Release { reason }): ApiBody<Release>,
) -> Result<StatusCode> {
    restored::release(&app, &who.tenant.id, &connection, &reason, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
