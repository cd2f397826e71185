//! The routes about connections that came back with a backup.

use axum::http::StatusCode;

use super::{Route, get, post};
use crate::http::api::restored as r;

pub(super) fn all() -> Vec<Route> {
    vec![
        get(
            "/api/v1/tenants/{tenant}/connections/{connection}/restored",
            "read_restored",
            "Who stands as they did in the backup, of a connection whose gains wait since its database was restored",
            r::read,
        )
        .query::<r::UntouchedQuery>()
        .answers::<r::RestoredAnswer>(StatusCode::OK),
        post(
            "/api/v1/tenants/{tenant}/connections/{connection}/release",
            "release_connection",
            "Let a restored connection take part again, and decide what waited",
            r::release,
        )
        .body::<r::Release>(),
    ]
}
