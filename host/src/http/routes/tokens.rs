//! The routes about API tokens.

use axum::http::StatusCode;

use super::{Route, delete, get, post};
use crate::http::api::{self, tokens as t};

pub(super) fn all() -> Vec<Route> {
    const OWN: &str = "/api/v1/tenants/{tenant}/tokens";
    let ok = StatusCode::OK;
    vec![
        post("/api/v1/tokens", "create_token", "A new API token", t::create)
            .body::<t::NewToken>()
            .answers::<api::TokenAnswer>(StatusCode::CREATED),
        get("/api/v1/tokens", "list_platform_tokens", "API tokens of the platform, without their secrets", t::list_of_platform)
            .query::<t::TokenListQuery>()
            .answers::<t::TokenList>(ok),
        delete("/api/v1/tokens/{token}", "revoke_platform_token", "Ends an API token of the platform at once", t::revoke_of_platform),
        get(OWN, "list_tokens", "API tokens of the tenant, without their secrets", t::list)
            .query::<t::TokenListQuery>()
            .answers::<t::TokenList>(ok),
        delete("/api/v1/tenants/{tenant}/tokens/{token}", "revoke_token", "Ends an API token of the tenant at once", t::revoke),
    ]
}
