//! Leaves of absence, receipts of departures, erasure.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::governance::{ListQuery, RulingList, listed};
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::Result;
use crate::http::guards::{EraseAccounts, ManageLeaves, TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At};
use crate::lifecycle::receipt::Receipt;
use crate::model::{Instant, Ruling, RulingKind};
use crate::tenancy::processes::{self, WantedLeave};

/// A leave to begin.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLeave {
    /// From when on: at once unless given.
    starts: Option<Instant>,
    /// Until when: within 366 days of its beginning.
    ends: Instant,
    /// Why.
    reason: String,
    /// Who answers for it.
    owner: Option<String>,
}

/// GET …/leaves
///
/// # Errors
/// The store's.
pub async fn leaves(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<ListQuery>) -> Result<Json<RulingList>> {
    listed(&who, &app, query, Some(RulingKind::Absence), None).await
}

/// POST …/accounts/{account}/leave
///
/// # Errors
/// 404; 409 where there is one already.
pub async fn begin_leave(
    who: TenantWriter<ManageLeaves>,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiBody(new): ApiBody<NewLeave>,
) -> Result<(StatusCode, Json<Ruling>)> {
    let NewLeave { starts, ends, reason, owner } = new;
    let wanted = WantedLeave { account, starts, ends, reason, owner };
    let made = processes::begin_leave(&app, &who.tenant.id, &who.principal, wanted).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// DELETE …/leaves/{leave}
///
/// # Errors
/// 404; 403 for one's own.
pub async fn end_leave(
    who: TenantWriter<ManageLeaves>,
    State(app): State<Arc<App>>,
    At((_, leave)): At<(String, String)>,
) -> Result<StatusCode> {
    processes::end_leave(&app, &who.tenant.id, &who.principal, &leave).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Why somebody is erased.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasureReason {
    /// A reference that stays in the record: a ticket, and nothing personal.
    reason: String,
}

/// GET …/accounts/{account}/receipt
///
/// # Errors
/// 404, also for somebody who has never left.
pub async fn receipt(who: TenantReader, State(app): State<Arc<App>>, At((_, account)): At<(String, String)>) -> Result<Json<Receipt>> {
    Ok(Json(processes::receipt(&app, &who.tenant.id, &account).await?))
}

/// POST …/accounts/{account}/erase
///
/// # Errors
/// 404; 422 for somebody who is not removed, or may be given back.
pub async fn erase(
    who: TenantWriter<EraseAccounts>,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiBody(said): ApiBody<ErasureReason>,
) -> Result<StatusCode> {
    processes::erase(&app, &who.tenant.id, &who.principal, &account, said.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
