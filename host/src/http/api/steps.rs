//! Steps of people's processes, and invitations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::guards::{TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At, page, page_limit};
use crate::model::{Invitation, InvitationState, Process, ProcessKind, ProcessState};
use crate::store::{InvitationQuery, ProcessQuery};
use crate::tenancy::steps;

/// Which processes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessListQuery {
    /// Only those in this state: `open` unless given.
    state: Option<ProcessState>,
    /// Only those of this kind.
    kind: Option<ProcessKind>,
    /// Only those of this account, by id or user name.
    account: Option<String>,
    /// Only those with a step that is past its date.
    #[serde(default)]
    overdue: bool,
    /// Only those behind this id.
    after: Option<String>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A page of processes.
#[derive(Serialize, JsonSchema)]
pub struct ProcessList {
    /// By id.
    processes: Vec<Process>,
    /// `after` for the next page; `null` on the last one.
    next: Option<String>,
}

/// Which invitations.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationListQuery {
    /// Only those in this state: `open` unless given.
    state: Option<InvitationState>,
    /// Only those of this account, by id or user name.
    account: Option<String>,
    /// Only those behind this id.
    after: Option<String>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A page of invitations.
#[derive(Serialize, JsonSchema)]
pub struct InvitationList {
    /// By id.
    invitations: Vec<Invitation>,
    /// `after` for the next page; `null` on the last one.
    next: Option<String>,
}

/// A step is done.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepDone {
    /// What there is to say of it.
    reason: Option<String>,
}

/// A step is not to be done.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSkipped {
    /// Why.
    reason: String,
}

/// Nothing to say.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

/// GET …/processes
///
/// # Errors
/// 404 for an account that is none.
pub async fn list(
    who: TenantReader,
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ProcessListQuery>,
) -> Result<Json<ProcessList>> {
    let limit = page_limit(query.limit);
    let ProcessListQuery { state, kind, account, overdue, after, .. } = query;
    let account = steps::account_id(&app, &who.tenant.id, account).await?;
    let asked = ProcessQuery { state, kind, account, overdue, after, limit: limit + 1 };
    let (processes, next) = page(app.store.processes(&who.tenant.id, &asked).await?, limit, |process| process.id.clone());
    Ok(Json(ProcessList { processes, next }))
}

/// GET …/processes/{process}
///
/// # Errors
/// 404.
pub async fn read(who: TenantReader, State(app): State<Arc<App>>, At((_, process)): At<(String, String)>) -> Result<Json<Process>> {
    Ok(Json(app.store.process(&who.tenant.id, &process).await?.ok_or_else(|| Error::not_found("such process"))?))
}

/// POST …/processes/{process}/steps/{step}/done
///
/// # Errors
/// 404; 409 where it is done or skipped already.
pub async fn done(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, process, step)): At<(String, String, String)>,
    ApiBody(said): ApiBody<StepDone>,
) -> Result<Json<Process>> {
    Ok(Json(steps::say(&app, &who.tenant.id, &who.principal, (&process, &step), (true, said.reason)).await?))
}

/// POST …/processes/{process}/steps/{step}/skip
///
/// # Errors
/// 404; 409 where it is done or skipped already.
pub async fn skip(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, process, step)): At<(String, String, String)>,
    ApiBody(said): ApiBody<StepSkipped>,
) -> Result<Json<Process>> {
    Ok(Json(steps::say(&app, &who.tenant.id, &who.principal, (&process, &step), (false, Some(said.reason))).await?))
}

/// GET …/invitations
///
/// # Errors
/// 404 for an account that is none.
pub async fn invitations(
    who: TenantReader,
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<InvitationListQuery>,
) -> Result<Json<InvitationList>> {
    let limit = page_limit(query.limit);
    let InvitationListQuery { state, account, after, .. } = query;
    let account = steps::account_id(&app, &who.tenant.id, account).await?;
    let asked = InvitationQuery { state, account, after, limit: limit + 1 };
    let (invitations, next) = page(app.store.invitations(&who.tenant.id, &asked).await?, limit, |invitation| invitation.id.clone());
    Ok(Json(InvitationList { invitations, next }))
}

/// POST …/accounts/{account}/invitation
///
/// # Errors
/// 404; 422 for an account that is not in use.
pub async fn invite(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiBody(NoBody {}): ApiBody<NoBody>,
) -> Result<(StatusCode, Json<Invitation>)> {
    Ok((StatusCode::CREATED, Json(steps::invite(&app, &who.tenant.id, &who.principal, &account).await?)))
}

/// DELETE …/invitations/{invitation}
///
/// # Errors
/// 404 where there is no open one.
pub async fn revoke(who: TenantWriter, State(app): State<Arc<App>>, At((_, invitation)): At<(String, String)>) -> Result<StatusCode> {
    steps::revoke(&app, &who.tenant.id, &who.principal, &invitation).await?;
    Ok(StatusCode::NO_CONTENT)
}
