//! What a server can do and knows (RFC 7644 §4): for a connection, because a tenant may define schemas of its own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use rolecall_scim::message::AuthenticationScheme;
use rolecall_scim::{ResourceKind, message};
use serde_json::{Map, Value};

use super::{schemas, scim};
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::guards::ScimCaller;
use crate::http::query::{At, ScimQuery};
use crate::store::TokenInfo;

/// `/ServiceProviderConfig`.
///
/// # Errors
/// The store's.
pub async fn service_provider_config(who: ScimCaller, State(app): State<Arc<App>>) -> Result<Response> {
    let features = message::Features { authentication: authentication(&app, &who).await?, ..message::Features::default() };
    Ok(scim(StatusCode::OK, &message::service_provider_config(&features, &who.base)))
}

/// How this connection's clients can authenticate, as it is now.
async fn authentication(app: &App, who: &ScimCaller) -> Result<Vec<AuthenticationScheme>> {
    let connections = app.store.connections(&who.caller.tenant).await?;
    let own = connections.into_iter().find(|connection| connection.id == who.caller.connection);
    let now = app.clock.now();
    let live = |tokens: &[TokenInfo]| tokens.iter().any(|token| token.expires.is_none_or(|expires| now < expires));
    let has = own.map_or([false; 3], |own| [live(&own.tokens), live(&own.client_secrets), own.issuer.is_some()]);
    let all = [AuthenticationScheme::BearerToken, AuthenticationScheme::ClientCredentials, AuthenticationScheme::Jwt];
    Ok(all.into_iter().zip(has).filter_map(|(scheme, has)| has.then_some(scheme)).collect())
}

/// `/ResourceTypes`.
///
/// # Errors
/// 403 for a filter.
pub async fn resource_types(who: ScimCaller, State(app): State<Arc<App>>, query: ScimQuery) -> Result<Response> {
    let schemas = schemas(&app, &who.caller.tenant).await?;
    let types = [ResourceKind::User, ResourceKind::Group].map(|kind| message::resource_type(&schemas, kind, &who.base));
    listing(&query, types.into_iter().filter_map(into_object).collect())
}

/// `/ResourceTypes/{id}`.
///
/// # Errors
/// 404.
pub async fn resource_type(who: ScimCaller, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>) -> Result<Response> {
    let kind = ResourceKind::from_name(&id).ok_or_else(|| Error::not_found("such resource type"))?;
    let schemas = schemas(&app, &who.caller.tenant).await?;
    Ok(scim(StatusCode::OK, &message::resource_type(&schemas, kind, &who.base)))
}

/// `/Schemas`.
///
/// # Errors
/// 403 for a filter.
pub async fn schema_list(who: ScimCaller, State(app): State<Arc<App>>, query: ScimQuery) -> Result<Response> {
    let schemas = schemas(&app, &who.caller.tenant).await?;
    listing(&query, message::schema_resources(&schemas, &who.base))
}

/// `/Schemas/{id}`.
///
/// # Errors
/// 404.
pub async fn schema(who: ScimCaller, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>) -> Result<Response> {
    let schemas = schemas(&app, &who.caller.tenant).await?;
    let known = message::schema_resources(&schemas, &who.base).into_iter().find(|schema| is_called(schema, &id));
    known.map(|schema| scim(StatusCode::OK, &schema)).ok_or_else(|| Error::not_found("such schema"))
}

/// RFC 7644 §4: a filter on a discovery endpoint is refused, because a client that filters wants what isn't there.
fn listing(query: &ScimQuery, resources: Vec<Map<String, Value>>) -> Result<Response> {
    if query.get("filter").is_some() {
        return Err(Error::forbidden("this endpoint takes no filter: read the whole list"));
    }
    let total = i64::try_from(resources.len()).unwrap_or(i64::MAX);
    Ok(scim(StatusCode::OK, &message::list_response(total, 1, resources)))
}

fn is_called(schema: &Map<String, Value>, id: &str) -> bool {
    schema.get("id").and_then(Value::as_str).is_some_and(|known| known.eq_ignore_ascii_case(id))
}

fn into_object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}
