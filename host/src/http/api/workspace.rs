//! Who may come into the workspace: links that begin sessions, and OpenID providers that people sign in with.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::checked_scope;
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::Result;
use crate::http::guards::{PlatformWriter, TenantReader, TenantWriter};
use crate::http::query::At;
use crate::http::urls::Urls;
use crate::model::{Instant, TenantId};
use crate::store::ApiScope;
use crate::tenancy::sign_in::{self, Known, ProviderSettings};
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
    who: PlatformWriter,
    State(app): State<Arc<App>>,
    urls: Urls,
    ApiBody(new): ApiBody<NewLink>,
) -> Result<(StatusCode, Json<LinkAnswer>)> {
    let scope = ApiScope { tenant: new.tenant, write: new.write, person: new.person, admin_roles: new.admin_roles };
    let scope = checked_scope(&app, scope).await?;
    let name = match &scope.person {
        Some(person) => person.trim().to_owned(),
        None if scope.tenant.is_none() && scope.write => "operator".to_owned(),
        None => scope.admin_roles.iter().next().cloned().unwrap_or_else(|| "reader".to_owned()),
    };
    let link = visitors::sign_in_link(&app, scope, &name, new.lifetime_seconds, &who.actor).await?;
    Ok((StatusCode::CREATED, Json(shown(&urls, &link, "/workspace/links"))))
}

/// A secret in a body.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

/// A provider to be set.
#[derive(JsonSchema)]
pub struct NewProvider {
    /// Its settings.
    #[schemars(flatten)]
    settings: ProviderSettings,
    /// The secret of Rolecall as a client there; the one that is known stays unless given.
    client_secret: Option<Secret>,
}

// By hand, because derived code passes over fields that it does not know where others are flattened.
impl<'de> Deserialize<'de> for NewProvider {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let secret = fields.remove("client_secret").unwrap_or_default();
        let client_secret = serde_json::from_value(secret).map_err(D::Error::custom)?;
        let settings = serde_json::from_value(Value::Object(fields)).map_err(D::Error::custom)?;
        Ok(Self { settings, client_secret })
    }
}

/// A provider.
#[derive(Serialize, JsonSchema)]
pub struct ProviderAnswer {
    /// Its id.
    id: String,
    /// Its settings.
    #[serde(flatten)]
    settings: ProviderSettings,
    /// Whether a secret was given.
    has_secret: bool,
    /// Where it has to send people back to: to be set there.
    redirect_uri: String,
}

/// Providers.
#[derive(Serialize, JsonSchema)]
pub struct ProviderList {
    /// By id.
    providers: Vec<ProviderAnswer>,
}

async fn listed(app: &App, urls: &Urls, tenant: Option<&TenantId>) -> Result<Json<ProviderList>> {
    let answer = |known: Known| ProviderAnswer {
        id: known.own_id,
        settings: known.settings,
        has_secret: known.has_secret,
        redirect_uri: format!("{}/workspace/callback", urls.root()),
    };
    let providers = sign_in::providers(app, tenant).await?.into_iter().map(answer).collect();
    Ok(Json(ProviderList { providers }))
}

/// GET /api/v1/workspace/providers
///
/// # Errors
/// The store's.
pub async fn platform_providers(_: PlatformWriter, State(app): State<Arc<App>>, urls: Urls) -> Result<Json<ProviderList>> {
    listed(&app, &urls, None).await
}

/// PUT /api/v1/workspace/providers/{provider}
///
/// # Errors
/// 422 for settings that can't be.
pub async fn put_platform_provider(
    who: PlatformWriter,
    State(app): State<Arc<App>>,
    At(id): At<String>,
    ApiBody(new): ApiBody<NewProvider>,
) -> Result<StatusCode> {
    let secret = new.client_secret.as_ref().map(|secret| secret.0.as_str());
    sign_in::put_provider(&app, None, &id, &new.settings, secret, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE /api/v1/workspace/providers/{provider}
///
/// # Errors
/// 404.
pub async fn remove_platform_provider(who: PlatformWriter, State(app): State<Arc<App>>, At(id): At<String>) -> Result<StatusCode> {
    sign_in::remove_provider(&app, None, &id, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// GET …/providers
///
/// # Errors
/// The store's.
pub async fn providers(who: TenantReader, State(app): State<Arc<App>>, urls: Urls) -> Result<Json<ProviderList>> {
    listed(&app, &urls, Some(&who.tenant.id)).await
}

/// PUT …/providers/{provider}
///
/// # Errors
/// 422 for settings that can't be.
pub async fn put_provider(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiBody(new): ApiBody<NewProvider>,
) -> Result<StatusCode> {
    let secret = new.client_secret.as_ref().map(|secret| secret.0.as_str());
    sign_in::put_provider(&app, Some(&who.tenant.id), &id, &new.settings, secret, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE …/providers/{provider}
///
/// # Errors
/// 404.
pub async fn remove_provider(who: TenantWriter, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>) -> Result<StatusCode> {
    sign_in::remove_provider(&app, Some(&who.tenant.id), &id, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
