//! The routes about what connections did, and about running a person while somebody looks.

use axum::http::StatusCode;

use super::{Route, get, post};
use crate::http::api::{journal, run};
use crate::provisioning::run::Run;

pub(super) fn all() -> Vec<Route> {
    const RUN: &str = "/api/v1/tenants/{tenant}/accounts/{account}/run";
    let ok = StatusCode::OK;
    vec![
        get(
            "/api/v1/tenants/{tenant}/connections/{connection}/dialects",
            "list_dialects",
            "The client quirks that were met on the connection",
            journal::dialects,
        )
        .answers::<journal::DialectList>(ok),
        get(
            "/api/v1/tenants/{tenant}/connections/{connection}/log",
            "read_provisioning_log",
            "What each request of the connection came to",
            journal::log,
        )
        .query::<journal::LogQuery>()
        .answers::<journal::LogPage>(ok),
        get(
            "/api/v1/tenants/{tenant}/log",
            "search_provisioning_log",
            "What each request of the tenant's connections came to: by person, group, outcome and time",
            journal::log_of_tenant,
        )
        .query::<journal::LogQuery>()
        .answers::<journal::LogPage>(ok),
        get("/api/v1/outcomes", "list_outcomes", "What the outcomes in the provisioning log mean, and what to do", journal::outcomes)
            .answers::<journal::OutcomeList>(ok),
        get(
            "/api/v1/tenants/{tenant}/connections/{connection}/refused-credentials",
            "list_refused_credentials",
            "Which checks the credentials failed that were refused on the connection",
            journal::refused_credentials,
        )
        .answers::<journal::RefusedCredentials>(ok),
        get(RUN, "run_account", "Runs a person step by step, without effect", run::run).query::<run::RunQuery>().answers::<Run>(ok),
        post(RUN, "apply_account", "Runs a person through the active revision now, and commits what comes of it", run::apply)
            .answers::<Run>(ok),
    ]
}
