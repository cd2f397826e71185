//! What operators' machines ask: is it alive, is it ready, how is it doing. And what it can do: the OpenAPI document.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::{Error, Result};
use super::guards::{Anyone, PlatformReader};
use crate::app::App;
use crate::metrics;

/// How long the database may take to say that it is there: shorter than the timeouts of the usual probes (10 s).
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// The answer of a probe.
#[derive(Serialize, JsonSchema)]
pub struct Status {
    /// `ok`.
    status: &'static str,
}

/// `/healthz`: the process answers.
pub async fn health(_: Anyone) -> Json<Status> {
    Json(Status { status: "ok" })
}

/// `/readyz`: the database answers too.
///
/// # Errors
/// 503.
pub async fn ready(_: Anyone, State(app): State<Arc<App>>) -> Result<Json<Status>> {
    tokio::time::timeout(READY_TIMEOUT, app.store.ping()).await.map_err(|_| Error::timed_out())??;
    Ok(Json(Status { status: "ok" }))
}

/// `/metrics`: of the process for everybody, and of tenants for the platform's own tokens.
///
/// # Errors
/// 401 and 403 for a token that is not good for it.
pub async fn metrics(_: Anyone, State(app): State<Arc<App>>, operator: Option<PlatformReader>) -> Result<Response> {
    app.metrics.sandbox(&app.sandbox.occupancy());
    let text = app.metrics.render(operator.is_some());
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE))], text).into_response())
}

/// `/api/openapi.json`.
pub async fn openapi(_: Anyone) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], super::openapi::document()).into_response()
}
