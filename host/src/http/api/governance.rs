//! Holds, approvals and exceptions: what waits for a person, and what people say.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::guards::{TenantDecider, TenantReader};
use crate::http::query::{ApiQuery, At, page, page_limit};
use crate::model::{AccountId, Hold, HoldState, Instant, RoleId, Ruling, RulingKind, RulingState};
use crate::store::RulingQuery;
use crate::tenancy::governance::{self, HoldAnswer, WantedException};

/// Which holds.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldQuery {
    /// Only those in this state.
    state: Option<HoldState>,
    /// Only those behind this one.
    after: Option<String>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A page of holds.
#[derive(Serialize, JsonSchema)]
pub struct HoldList {
    /// Newest first.
    holds: Vec<Hold>,
    /// `after` for the next page; `null` on the last one.
    next: Option<String>,
}

/// Which rulings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only those in this state; all that count still unless given.
    state: Option<RulingState>,
    /// Only those of this account, by id.
    account: Option<AccountId>,
    /// Only those behind this id.
    after: Option<String>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A page of what was, or is to be, said.
#[derive(Serialize, JsonSchema)]
pub struct RulingList {
    /// By id.
    rulings: Vec<Ruling>,
    /// `after` for the next page; `null` on the last one.
    next: Option<String>,
}

/// A hold is released.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Of these accounts, by id or login name; of all unless given.
    accounts: Option<Vec<String>>,
    /// Why.
    reason: String,
}

/// A hold is rejected: what stands stays, as a difference to the identity provider that somebody answers for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// Of these accounts, by id or login name; of all unless given.
    accounts: Option<Vec<String>>,
    /// Why.
    reason: String,
    /// Who answers for it.
    owner: String,
    /// Until when: within 366 days.
    ends: Instant,
}

/// What became of a hold.
#[derive(Serialize, JsonSchema)]
pub struct HoldAnswered {
    /// The hold.
    #[serde(flatten)]
    hold: Hold,
    /// How many people were answered about.
    answered: i64,
}

/// A yes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Why.
    reason: String,
    /// Until when the role may be held: for as long as the policies give it, unless given.
    ends: Option<Instant>,
}

/// A no.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Why.
    reason: String,
}

/// What an exception does.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionEffect {
    /// Gives the role although no policy does.
    Grant,
    /// Keeps the role away although a policy gives it.
    Forbid,
}

/// An exception to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewException {
    /// The role.
    role: RoleId,
    /// What it does.
    effect: ExceptionEffect,
    /// Since when it counts; at once unless given.
    starts: Option<Instant>,
    /// Until when: within 366 days of its beginning.
    ends: Instant,
    /// Why.
    reason: String,
    /// Who answers for it.
    owner: String,
}

fn without_nul(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.contains('\0'))
}

/// GET …/holds
///
/// # Errors
/// The store's.
pub async fn holds(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<HoldQuery>) -> Result<Json<HoldList>> {
    let limit = page_limit(query.limit);
    let after = without_nul(query.after);
    let found = app.store.holds(&who.tenant.id, query.state, after.as_deref(), limit + 1).await?;
    let (holds, next) = page(found, limit, |hold| hold.id.clone());
    Ok(Json(HoldList { holds, next }))
}

/// GET …/holds/{hold}
///
/// # Errors
/// 404.
pub async fn hold(who: TenantReader, State(app): State<Arc<App>>, At((_, hold)): At<(String, String)>) -> Result<Json<Hold>> {
    app.store.hold(&who.tenant.id, &hold).await?.map(Json).ok_or_else(|| Error::not_found("such hold"))
}

/// GET …/holds/{hold}/people
///
/// # Errors
/// 404.
pub async fn people(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, hold)): At<(String, String)>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<RulingList>> {
    let hold = app.store.hold(&who.tenant.id, &hold).await?.ok_or_else(|| Error::not_found("such hold"))?;
    listed(&who, &app, query, None, Some(hold.id)).await
}

pub(super) async fn listed(
    who: &TenantReader,
    app: &Arc<App>,
    query: ListQuery,
    kind: Option<RulingKind>,
    hold: Option<String>,
) -> Result<Json<RulingList>> {
    let limit = page_limit(query.limit);
    let account = query.account.filter(|account| !account.as_str().contains('\0'));
    let asked = RulingQuery { kind, state: query.state, account, hold, after: without_nul(query.after), limit: limit + 1 };
    let (rulings, next) = page(app.store.rulings(&who.tenant.id, &asked).await?, limit, |ruling| ruling.id.clone());
    Ok(Json(RulingList { rulings, next }))
}

/// POST …/holds/{hold}/release
///
/// # Errors
/// 404; 403 for somebody who is in it; 422 that names accounts that are not held there.
pub async fn release(
    who: TenantDecider,
    State(app): State<Arc<App>>,
    At((_, hold)): At<(String, String)>,
    ApiBody(said): ApiBody<Release>,
) -> Result<Json<HoldAnswered>> {
    let said = HoldAnswer { release: true, accounts: said.accounts, reason: said.reason, owner: None, ends: None };
    let (hold, answered) = governance::answer_hold(&app, &who.tenant.id, &who.principal, &hold, said).await?;
    Ok(Json(HoldAnswered { hold, answered }))
}

/// POST …/holds/{hold}/reject
///
/// # Errors
/// 404; 403 for somebody who is in it; 422 that names accounts that are not held there.
pub async fn reject(
    who: TenantDecider,
    State(app): State<Arc<App>>,
    At((_, hold)): At<(String, String)>,
    ApiBody(said): ApiBody<Rejection>,
) -> Result<Json<HoldAnswered>> {
    let Rejection { accounts, reason, owner, ends } = said;
    let said = HoldAnswer { release: false, accounts, reason, owner: Some(owner), ends: Some(ends) };
    let (hold, answered) = governance::answer_hold(&app, &who.tenant.id, &who.principal, &hold, said).await?;
    Ok(Json(HoldAnswered { hold, answered }))
}

/// GET …/approvals
///
/// # Errors
/// The store's.
pub async fn approvals(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<ListQuery>) -> Result<Json<RulingList>> {
    listed(&who, &app, query, Some(RulingKind::Approval), None).await
}

/// POST …/approvals/{approval}/approve
///
/// # Errors
/// 404; 403 for oneself, and for a token that names nobody.
pub async fn approve(
    who: TenantDecider,
    State(app): State<Arc<App>>,
    At((_, approval)): At<(String, String)>,
    ApiBody(said): ApiBody<Approval>,
) -> Result<Json<Ruling>> {
    let answer = (true, said.reason, said.ends);
    Ok(Json(governance::answer_approval(&app, &who.tenant.id, &who.principal, &approval, answer).await?))
}

/// POST …/approvals/{approval}/reject
///
/// # Errors
/// 404.
pub async fn refuse(
    who: TenantDecider,
    State(app): State<Arc<App>>,
    At((_, approval)): At<(String, String)>,
    ApiBody(said): ApiBody<Refusal>,
) -> Result<Json<Ruling>> {
    let answer = (false, said.reason, None);
    Ok(Json(governance::answer_approval(&app, &who.tenant.id, &who.principal, &approval, answer).await?))
}

/// GET …/exceptions
///
/// # Errors
/// The store's.
pub async fn exceptions(
    who: TenantReader,
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ExceptionQuery>,
) -> Result<Json<RulingList>> {
    let ExceptionQuery { effect, account, after, limit } = query;
    let kind = match effect {
        ExceptionEffect::Grant => RulingKind::Grant,
        ExceptionEffect::Forbid => RulingKind::Forbid,
    };
    listed(&who, &app, ListQuery { state: None, account, after, limit }, Some(kind), None).await
}

/// Which exceptions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExceptionQuery {
    /// What they do.
    effect: ExceptionEffect,
    /// Only those of this account, by id.
    account: Option<AccountId>,
    /// Only those behind this id.
    after: Option<String>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// POST …/accounts/{account}/exceptions
///
/// # Errors
/// 404; 403 for oneself; 409 where there is one for the role.
pub async fn make_exception(
    who: TenantDecider,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiBody(new): ApiBody<NewException>,
) -> Result<(StatusCode, Json<Ruling>)> {
    let NewException { role, effect, starts, ends, reason, owner } = new;
    let wanted = WantedException { account, role, grants: matches!(effect, ExceptionEffect::Grant), starts, ends, reason, owner };
    let made = governance::make_exception(&app, &who.tenant.id, &who.principal, wanted).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// DELETE …/exceptions/{exception}
///
/// # Errors
/// 404; 403 for oneself.
pub async fn end_exception(
    who: TenantDecider,
    State(app): State<Arc<App>>,
    At((_, exception)): At<(String, String)>,
) -> Result<StatusCode> {
    governance::end_exception(&app, &who.tenant.id, &who.principal, &exception).await?;
    Ok(StatusCode::NO_CONTENT)
}
