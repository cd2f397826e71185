//! API tokens.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TokenAnswer, checked_lifetime, checked_name, checked_scope};
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::Result;
use crate::http::guards::{PlatformWriter, TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At, page, page_limit};
use crate::model::TenantId;
use crate::store::{ApiScope, ApiTokenInfo};
use crate::tenancy;

/// A token to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The only tenant that it is good for; the whole platform unless given.
    tenant: Option<TenantId>,
    /// Whether it may change anything.
    #[serde(default)]
    write: bool,
    /// Whom it stands for, by user name or address: approvals are given by people, and nobody says yes for themselves.
    person: Option<String>,
    /// The admin roles that it carries: what they may decide is said by the tenant's admin policies. Without `write` it may decide that alone.
    #[serde(default)]
    admin_roles: BTreeSet<String>,
    /// When it ends; never unless given.
    lifetime_seconds: Option<i64>,
    /// What it is for: tokens are listed by it.
    name: Option<String>,
}

/// Which tokens.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenListQuery {
    /// Only those behind this id.
    after: Option<String>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A page of tokens, those that have expired among them. No secret is known any more.
#[derive(Serialize, JsonSchema)]
pub struct TokenList {
    /// By id.
    tokens: Vec<ApiTokenInfo>,
    /// `after` for the next page; `null` on the last one.
    next: Option<String>,
}

async fn listed(app: &App, tenant: Option<&TenantId>, query: &TokenListQuery) -> Result<Json<TokenList>> {
    let limit = page_limit(query.limit);
    let found = app.store.api_tokens(tenant, query.after.as_deref(), limit + 1).await?;
    let (tokens, next) = page(found, limit, |token| token.id.clone());
    Ok(Json(TokenList { tokens, next }))
}

/// GET /api/v1/tokens
///
/// # Errors
/// The store's.
pub async fn list_of_platform(
    _: PlatformWriter,
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<TokenListQuery>,
) -> Result<Json<TokenList>> {
    listed(&app, None, &query).await
}

/// GET …/tokens
///
/// # Errors
/// The store's.
pub async fn list(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<TokenListQuery>) -> Result<Json<TokenList>> {
    listed(&app, Some(&who.tenant.id), &query).await
}

/// DELETE /api/v1/tokens/{token}
///
/// # Errors
/// 404.
pub async fn revoke_of_platform(who: PlatformWriter, State(app): State<Arc<App>>, At(token): At<String>) -> Result<StatusCode> {
    app.store.end_api_token(None, &token, &who.actor, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE …/tokens/{token}
///
/// # Errors
/// 404.
pub async fn revoke(who: TenantWriter, State(app): State<Arc<App>>, At((_, token)): At<(String, String)>) -> Result<StatusCode> {
    app.store.end_api_token(Some(&who.tenant.id), &token, &who.actor, app.clock.now()).await?;
    app.wake.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

/// POST /api/v1/tokens
///
/// # Errors
/// 404 for a tenant that does not exist; 422 for admin roles that it can't carry.
pub async fn create(
    who: PlatformWriter,
    State(app): State<Arc<App>>,
    ApiBody(new): ApiBody<NewToken>,
) -> Result<(StatusCode, Json<TokenAnswer>)> {
    let lifetime = checked_lifetime(new.lifetime_seconds)?;
    let scope = ApiScope { tenant: new.tenant, write: new.write, person: new.person, admin_roles: new.admin_roles };
    let name = new.name.as_deref().map(checked_name).transpose()?;
    let token = tenancy::issue_api_token(&app, (checked_scope(&app, scope).await?, name), lifetime, &who.actor).await?;
    Ok((StatusCode::CREATED, Json(token.into())))
}
