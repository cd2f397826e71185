//! What a server can do and knows (RFC 7644 §4): for a connection, because a tenant may define schemas of its own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use rolecall_scim::message::{AuthenticationScheme, BulkFeature, CursorFeature, Features};
use rolecall_scim::{ResourceKind, message};
use serde_json::{Map, Value};

use super::bulk::BULK_OPERATIONS_LIMIT;
use super::listing::CURSOR_TIMEOUT_S;
use super::{schemas, scim};
use crate::app::App;
use crate::http::body::BODY_BYTES_LIMIT;
use crate::http::error::{Error, Result};
use crate::http::guards::ScimCaller;
use crate::http::query::{At, ScimQuery};
use crate::store::TokenInfo;

/// `/ServiceProviderConfig`.
///
/// # Errors
/// 403 for a filter.
pub async fn service_provider_config(who: ScimCaller, State(app): State<Arc<App>>, query: ScimQuery) -> Result<Response> {
    refuse_filter(&query)?;
    let features = Features {
        bulk: Some(BulkFeature { max_operations: BULK_OPERATIONS_LIMIT, max_payload_bytes: BODY_BYTES_LIMIT }),
        sort: true,
        cursors: Some(CursorFeature { timeout_s: Some(CURSOR_TIMEOUT_S) }),
        authentication: authentication(&app, &who).await?,
        ..Features::default()
    };
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
/// 403 for a filter; 404.
pub async fn resource_type(
    who: ScimCaller,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    query: ScimQuery,
) -> Result<Response> {
    refuse_filter(&query)?;
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
/// 403 for a filter; 404.
pub async fn schema(who: ScimCaller, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>, query: ScimQuery) -> Result<Response> {
    refuse_filter(&query)?;
    let schemas = schemas(&app, &who.caller.tenant).await?;
    let known = message::schema_resources(&schemas, &who.base).into_iter().find(|schema| is_called(schema, &id));
    known.map(|schema| scim(StatusCode::OK, &schema)).ok_or_else(|| Error::not_found("such schema"))
}

/// RFC 7644 §4: a filter on a discovery endpoint is refused, so that no client takes all for what matches. Its other parameters
/// are ignored.
fn refuse_filter(query: &ScimQuery) -> Result<()> {
    match query.get("filter") {
        Some(_) => Err(Error::forbidden("this endpoint takes no filter: read all of it")),
        None => Ok(()),
    }
}

fn listing(query: &ScimQuery, resources: Vec<Map<String, Value>>) -> Result<Response> {
    refuse_filter(query)?;
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
