//! How a connection is, and by which measures.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::guards::{TenantReader, TenantWriter};
use crate::http::query::At;
use crate::model::{ConnectionId, Health, HealthSettings, Instant, Traffic};
use crate::tenancy::health::{self, HealthView};

/// What came within five minutes.
#[derive(Serialize, JsonSchema)]
pub struct SlotAnswer {
    /// When they began.
    slot: Instant,
    /// What came.
    #[serde(flatten)]
    traffic: Traffic,
}

/// A connection's health.
#[derive(Serialize, JsonSchema)]
pub struct HealthAnswer {
    /// The state with its evidence.
    #[serde(flatten)]
    health: Health,
    /// The measures by which it is judged.
    settings: HealthSettings,
    /// What came within the last day, in slots of five minutes; those without traffic are left out.
    traffic: Vec<SlotAnswer>,
}

impl From<HealthView> for HealthAnswer {
    fn from(view: HealthView) -> Self {
        let HealthView { health, settings, traffic } = view;
        Self { health, settings, traffic: traffic.into_iter().map(|(slot, traffic)| SlotAnswer { slot, traffic }).collect() }
    }
}

/// GET …/connections/{connection}/health
///
/// # Errors
/// 404.
pub async fn read(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
) -> Result<Json<HealthAnswer>> {
    Ok(Json(health::view(&app, &who.tenant.id, &connection).await?.into()))
}

/// PUT …/connections/{connection}/health/settings: what is left out is as usual.
///
/// # Errors
/// 404; 400 for what makes no sense.
pub async fn set(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiBody(settings): ApiBody<HealthSettings>,
) -> Result<StatusCode> {
    if let Err(detail) = settings.check() {
        return Err(Error::bad_request(detail, "settings of a connection's health are out of range"));
    }
    app.store.put_health_settings(&who.tenant.id, &connection, Some(&settings), &who.actor, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE …/connections/{connection}/health/settings: the usual measures again.
///
/// # Errors
/// 404.
pub async fn reset(who: TenantWriter, State(app): State<Arc<App>>, At((_, connection)): At<(String, ConnectionId)>) -> Result<StatusCode> {
    app.store.put_health_settings(&who.tenant.id, &connection, None, &who.actor, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
