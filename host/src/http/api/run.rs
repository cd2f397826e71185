//! Running a person while somebody looks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Nothing;
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::Result;
use crate::http::guards::{ManageTenant, TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At};
use crate::model::RevisionHash;
use crate::provisioning::run::{self as running, Run, Wanted};

/// What is to be run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunQuery {
    /// The stored revision that is asked; the active one unless given.
    revision: Option<RevisionHash>,
    /// A role to be explained beside those that it is about.
    role: Option<String>,
}

/// GET …/accounts/{account}/run
///
/// # Errors
/// 404 for an unknown account or revision; 409 for somebody whom the identity provider has deleted.
pub async fn run(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiQuery(query): ApiQuery<RunQuery>,
) -> Result<Json<Run>> {
    let wanted = Wanted { revision: query.revision, roles: query.role.into_iter().collect() };
    Ok(Json(running::run(&app, &who.tenant.id, &account, wanted).await?))
}

/// POST …/accounts/{account}/run
///
/// # Errors
/// As [`run`].
pub async fn apply(
    who: TenantWriter<ManageTenant>,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    _: ApiBody<Nothing>,
) -> Result<Json<Run>> {
    Ok(Json(running::apply(&app, &who.tenant.id, &account, &who.actor).await?))
}
