//! The routes about people who are away, or have left.

use axum::http::StatusCode;

use super::{Route, delete, get, post};
use crate::http::api::{governance as g, processes as p};
use crate::lifecycle::receipt::Receipt;
use crate::model::Ruling;

pub(super) fn all() -> Vec<Route> {
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        get("/api/v1/tenants/{tenant}/leaves", "list_leaves", "Leaves of absence that count, or will", p::leaves)
            .query::<g::ListQuery>()
            .answers::<g::RulingList>(ok),
        post(
            "/api/v1/tenants/{tenant}/accounts/{account}/leave",
            "begin_leave",
            "Takes an account out of use for a time: it comes back by itself",
            p::begin_leave,
        )
        .body::<p::NewLeave>()
        .answers::<Ruling>(created),
        delete("/api/v1/tenants/{tenant}/leaves/{leave}", "end_leave", "Ends a leave before its time", p::end_leave),
        get(
            "/api/v1/tenants/{tenant}/accounts/{account}/receipt",
            "read_receipt",
            "The last departure: what was asked, what went, and which targets have acknowledged",
            p::receipt,
        )
        .answers::<Receipt>(ok),
        post(
            "/api/v1/tenants/{tenant}/accounts/{account}/erase",
            "erase_account",
            "Erases what is personal of a removed account, at once",
            p::erase,
        )
        .body::<p::ErasureReason>(),
    ]
}
