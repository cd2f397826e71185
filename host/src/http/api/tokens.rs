//! API tokens.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{TokenAnswer, checked_lifetime, checked_scope};
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::Result;
use crate::http::guards::PlatformWriter;
use crate::model::TenantId;
use crate::store::ApiScope;
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
    let token = tenancy::issue_api_token(&app, checked_scope(&app, scope).await?, lifetime, &who.actor).await?;
    Ok((StatusCode::CREATED, Json(token.into())))
}
