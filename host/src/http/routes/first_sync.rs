//! The routes about the first sync of a connection and the accounts that were there before.

use axum::http::StatusCode;

use super::{Route, get, post, put};
use crate::http::api::first_sync as f;
use crate::lifecycle::adoption::Totals;
use crate::store::Imported;

pub(super) fn all() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        post(
            "/api/v1/tenants/{tenant}/accounts/import",
            "import_accounts",
            "Imports accounts that are there already, from CSV or JSON: all or none",
            f::import,
        )
        .body::<f::NewImports>()
        .answers::<Imported>(ok),
        put(
            "/api/v1/tenants/{tenant}/accounts/{account}/protection",
            "protect_account",
            "Says whether connections may touch an imported account",
            f::protect,
        )
        .body::<f::Protection>(),
        get(
            "/api/v1/tenants/{tenant}/connections/{connection}/difference",
            "read_difference",
            "What a connection in staging changes when it goes live; of one that is live, who waits for somebody. JSON or CSV",
            f::difference,
        )
        .query::<f::DifferenceQuery>()
        .answers::<f::Difference>(ok),
        post(
            "/api/v1/tenants/{tenant}/connections/{connection}/live",
            "connection_goes_live",
            "Ends staging: what was seen of it takes effect. Names the difference's digest",
            f::live,
        )
        .body::<f::GoingLive>()
        .answers::<Totals>(ok),
        put(
            "/api/v1/tenants/{tenant}/connections/{connection}/adoptions/{user}",
            "choose_account",
            "Says which account is somebody's that is there already, or that theirs is a new one",
            f::adopt,
        )
        .body::<f::Adoption>(),
    ]
}
