//! The routes about how connections are.

use axum::http::StatusCode;

use super::{Route, delete, get, put};
use crate::http::api::health as h;
use crate::model::HealthSettings;

pub(super) fn all() -> Vec<Route> {
    const SETTINGS: &str = "/api/v1/tenants/{tenant}/connections/{connection}/health/settings";
    vec![
        get(
            "/api/v1/tenants/{tenant}/connections/{connection}/health",
            "read_health",
            "How a connection is, since when and why; with what came within the last day",
            h::read,
        )
        .answers::<h::HealthAnswer>(StatusCode::OK),
        put(SETTINGS, "set_health_settings", "By which measures a connection is judged", h::set).body::<HealthSettings>(),
        delete(SETTINGS, "reset_health_settings", "The usual measures again", h::reset),
    ]
}
