//! The routes about reconciliations of connections with what their identity providers list.

use axum::http::StatusCode;

use super::{Route, get, post};
use crate::http::api::drift as d;
use crate::model::Reconciliation;

pub(super) fn all() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        post(
            "/api/v1/tenants/{tenant}/connections/{connection}/reconciliations",
            "compare_export",
            "Compares an identity provider's export, CSV or JSON, with what is stored of a connection",
            d::compare,
        )
        .body::<d::NewExport>()
        .answers::<Reconciliation>(StatusCode::CREATED),
        get("/api/v1/tenants/{tenant}/reconciliations", "list_reconciliations", "Exports that were compared, the newest first", d::list)
            .query::<d::ReconciliationsQuery>()
            .answers::<d::Reconciliations>(ok),
        get(
            "/api/v1/tenants/{tenant}/reconciliations/{reconciliation}",
            "read_reconciliation",
            "How far a reconciliation is, and what was found",
            d::read,
        )
        .answers::<Reconciliation>(ok),
        get(
            "/api/v1/tenants/{tenant}/reconciliations/{reconciliation}/lines",
            "list_drift",
            "Who is listed otherwise than stored, what carrying that out would do to their roles, and what became of it. JSON or CSV",
            d::lines,
        )
        .query::<d::LinesQuery>()
        .answers::<d::DriftPage>(ok),
        post(
            "/api/v1/tenants/{tenant}/reconciliations/{reconciliation}/carry-out",
            "carry_out_reconciliation",
            "Makes people as they are listed; those who would lose access are held together where they are many. Names the digest",
            d::carry_out,
        )
        .body::<d::CarryingOut>()
        .answers::<d::CarriedOut>(ok),
        post(
            "/api/v1/tenants/{tenant}/reconciliations/{reconciliation}/abandon",
            "abandon_reconciliation",
            "Gives a reconciliation up",
            d::abandon,
        )
        .body::<d::Abandoning>(),
    ]
}
