//! Connections and their tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Nothing, TokenAnswer, checked_lifetime, checked_name};
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::frame;
use crate::http::guards::{ManageConnections, ManageCredentials, TenantReader, TenantWriter};
use crate::http::query::At;
use crate::http::urls::Urls;
use crate::model::{ConnectionId, ConnectionState};
use crate::store::{Connection, CredentialKind};
use crate::tenancy;

/// How long the token before stays good after a rotation unless the request says: a day, to change it at the identity provider.
const OVERLAP_SECONDS_DEFAULT: i64 = 24 * 3600;
/// The longest overlap, in seconds: 30 days.
const OVERLAP_SECONDS_LIMIT: i64 = 30 * 24 * 3600;

/// A connection, as an identity team needs it.
#[derive(Serialize, JsonSchema)]
pub struct ConnectionAnswer {
    /// The connection.
    #[serde(flatten)]
    connection: Connection,
    /// The base URL for the identity provider.
    base_url: String,
    /// The token endpoint, for the connection's OAuth client.
    token_url: String,
}

/// A connection that was just made.
#[derive(Serialize, JsonSchema)]
pub struct NewConnectionAnswer {
    /// The connection.
    #[serde(flatten)]
    connection: ConnectionAnswer,
    /// Its first token.
    #[serde(flatten)]
    token: TokenAnswer,
}

/// The tenant's connections.
#[derive(Serialize, JsonSchema)]
pub struct ConnectionList {
    /// By name.
    connections: Vec<ConnectionAnswer>,
}

/// A connection to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnection {
    /// For people, unique in the tenant.
    name: String,
    /// Whether it begins in staging, where people and groups arrive and nothing has effect before it goes live: so unless given.
    staging: Option<bool>,
    /// Whether the guard counts its people: so unless given.
    guarded: Option<bool>,
}

/// Whether the guard counts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardWrite {
    /// Whether it counts the connection's people.
    guarded: bool,
}

/// How a token or a client's secret is rotated.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// How long the token before stays good; a day unless given, at most 30 days, 0 to end it at once.
    overlap_seconds: Option<i64>,
    /// When the new token ends; never unless given.
    lifetime_seconds: Option<i64>,
}

fn seen(connection: Connection, urls: &Urls) -> ConnectionAnswer {
    ConnectionAnswer { base_url: urls.scim(&connection.id), token_url: urls.token(&connection.id), connection }
}

/// GET …/connections
///
/// # Errors
/// The store's.
pub async fn list(who: TenantReader, State(app): State<Arc<App>>, urls: Urls) -> Result<Json<ConnectionList>> {
    let connections = app.store.connections(&who.tenant.id).await?;
    Ok(Json(ConnectionList { connections: connections.into_iter().map(|connection| seen(connection, &urls)).collect() }))
}

/// POST …/connections
///
/// # Errors
/// 409 for a name that is taken.
pub async fn create(
    who: TenantWriter<ManageConnections>,
    State(app): State<Arc<App>>,
    urls: Urls,
    ApiBody(new): ApiBody<NewConnection>,
) -> Result<(StatusCode, Json<NewConnectionAnswer>)> {
    let name = checked_name(&new.name)?;
    let state = if new.staging.unwrap_or(true) { ConnectionState::Staging } else { ConnectionState::Active };
    let begins = (state, new.guarded.unwrap_or(true));
    let (connection, token) = tenancy::create_connection(&app, &who.tenant.id, name, begins, &who.actor).await?;
    Ok((StatusCode::CREATED, Json(NewConnectionAnswer { connection: seen(connection, &urls), token: token.into() })))
}

/// POST …/connections/{connection}/rotate
///
/// # Errors
/// 404.
pub async fn rotate(
    who: TenantWriter<ManageCredentials>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiBody(rotation): ApiBody<Rotation>,
) -> Result<(StatusCode, Json<TokenAnswer>)> {
    let (overlap, lifetime) = checked_rotation(&rotation)?;
    let whose = (&who.tenant.id, &connection);
    let token = tenancy::rotate_token(&app, whose, CredentialKind::Bearer, overlap, lifetime, &who.actor).await?;
    Ok((StatusCode::CREATED, Json(token.into())))
}

/// The overlap and the life of what a rotation makes, in seconds.
pub(super) fn checked_rotation(rotation: &Rotation) -> Result<(i64, Option<i64>)> {
    let overlap = rotation.overlap_seconds.unwrap_or(OVERLAP_SECONDS_DEFAULT);
    if !(0..=OVERLAP_SECONDS_LIMIT).contains(&overlap) {
        let detail = format!("`overlap_seconds` must be from 0 to {OVERLAP_SECONDS_LIMIT}");
        return Err(Error::bad_request(detail, "an overlap is out of range"));
    }
    Ok((overlap, checked_lifetime(rotation.lifetime_seconds)?))
}

/// POST …/connections/{connection}/pause
///
/// # Errors
/// 404.
pub async fn pause(
    who: TenantWriter<ManageConnections>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    _: ApiBody<Nothing>,
) -> Result<StatusCode> {
    tenancy::set_connection_state(&app, &who.tenant.id, &connection, ConnectionState::Paused, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// PUT …/connections/{connection}/guard
///
/// # Errors
/// 404.
pub async fn guard(
    who: TenantWriter<ManageConnections>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiBody(write): ApiBody<GuardWrite>,
) -> Result<StatusCode> {
    app.store.set_guarded(&who.tenant.id, &connection, write.guarded, &who.actor, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// POST …/connections/{connection}/resume: what was kept back, by a pause or in quarantine, takes effect. Whoever resumes a connection has
/// looked at what it did.
///
/// # Errors
/// 404; 409 for a connection in staging.
pub async fn resume(
    who: TenantWriter<ManageConnections>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    _: ApiBody<Nothing>,
) -> Result<StatusCode> {
    tenancy::health::excuse(&app, &who.tenant.id, &connection, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE …/connections/{connection}
///
/// # Errors
/// 404.
pub async fn delete(
    who: TenantWriter<ManageConnections>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
) -> Result<StatusCode> {
    // A large connection takes its time; half of it would have to be done again.
    frame::to_the_end(async move { tenancy::delete_connection(&app, &who.tenant.id, &connection, &who.actor).await }).await??;
    Ok(StatusCode::NO_CONTENT)
}
