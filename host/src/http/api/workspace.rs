//! Who may come into the workspace: links that begin sessions.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checked_name;
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::guards::PlatformWriter;
use crate::http::urls::Urls;
use crate::model::{Instant, TenantId};
use crate::store::ApiScope;
use crate::tenancy::visitors::{self, IssuedLink};

/// A link to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    /// The only tenant that the session sees; the whole platform unless given.
    tenant: Option<TenantId>,
    /// Whether it may change anything.
    #[serde(default)]
    write: bool,
    /// Who it is for, by user name or address: approvals are given by people, and nobody says yes for themselves.
    person: Option<String>,
    /// The admin roles that it carries: what they may decide is said by the tenant's admin policies.
    #[serde(default)]
    admin_roles: BTreeSet<String>,
    /// How long the link is good: 15 minutes unless given, 30 days at most.
    lifetime_seconds: Option<i64>,
}

/// A link that was just made: shown this once.
#[derive(Serialize, JsonSchema)]
pub struct LinkAnswer {
    /// An id to name it by.
    link_id: String,
    /// The link, with its secret.
    url: String,
    /// When it ends, unless it is used before.
    expires: Instant,
}

/// A link as the API gives it.
pub(in crate::http) fn shown(urls: &Urls, link: &IssuedLink, path: &str) -> LinkAnswer {
    LinkAnswer { link_id: link.id.clone(), url: format!("{}{path}/{}", urls.root(), *link.token), expires: link.expires }
}

/// POST /api/v1/workspace/links
///
/// # Errors
/// 404 for a tenant that does not exist; 422 for admin roles that it can't carry, or a life out of range.
pub async fn link(
    _: PlatformWriter,
    State(app): State<Arc<App>>,
    urls: Urls,
    ApiBody(new): ApiBody<NewLink>,
) -> Result<(StatusCode, Json<LinkAnswer>)> {
    if let Some(tenant) = &new.tenant {
        let known = !tenant.as_str().contains('\0') && app.store.tenant(tenant).await?.is_some();
        if !known {
            return Err(Error::not_found("such tenant"));
        }
    }
    let name = match &new.person {
        Some(person) => checked_name(person)?.to_owned(),
        None if new.tenant.is_none() && new.write => "operator".to_owned(),
        None => new.admin_roles.iter().next().cloned().unwrap_or_else(|| "reader".to_owned()),
    };
    let scope = ApiScope { tenant: new.tenant, write: new.write, person: new.person, admin_roles: new.admin_roles };
    let link = visitors::sign_in_link(&app, scope, &name, new.lifetime_seconds).await?;
    Ok((StatusCode::CREATED, Json(shown(&urls, &link, "/workspace/links"))))
}
