//! The routes about connections that take over from others, and the way back.

use axum::http::StatusCode;

use super::{Route, get, post, put};
use crate::http::api::moving as m;
use crate::lifecycle::house::WayBackTotals;

pub(super) fn all() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        put(
            "/api/v1/tenants/{tenant}/connections/{connection}/predecessor",
            "take_over_connection",
            "Says from which connection one in staging takes over: its difference is beside that one's accounts as well",
            m::take_over,
        )
        .body::<m::Predecessor>(),
        get(
            "/api/v1/tenants/{tenant}/connections/{connection}/moved",
            "read_moved",
            "Who has moved to a connection, and who of them can go back. JSON or CSV",
            m::moved,
        )
        .query::<m::MovedQuery>()
        .answers::<m::Moved>(ok),
        post(
            "/api/v1/tenants/{tenant}/connections/{connection}/move-back",
            "connection_moves_back",
            "Lets everybody go back who can, and puts the connection into staging. Names the digest of what was seen",
            m::go_back,
        )
        .body::<m::GoingBack>()
        .answers::<WayBackTotals>(ok),
    ]
}
