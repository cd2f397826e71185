//! Revisions: uploaded, checked, activated, read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tenants::NoQuery;
use crate::app::App;
use crate::http::body::{ApiBody, REVISION_BODY_BYTES_LIMIT};
use crate::http::error::{Error, Result};
use crate::http::guards::{TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At};
use crate::model::RevisionHash;
use crate::revision::Files;
use crate::store::StoreError;
use crate::tenancy::{self, Checked};

/// Who owns the revisions of a tenant that are activated here (`managed_by`).
const OWNER: &str = "api";

/// The files of a tenant folder, to be checked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Path in the folder → contents, in base64.
    files: BTreeMap<String, String>,
}

/// The files of a tenant folder, to be stored and perhaps activated.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRevision {
    /// Path in the folder → contents, in base64.
    files: BTreeMap<String, String>,
    /// Whether to activate it as well.
    #[serde(default)]
    activate: bool,
    /// The revision that is active now, as far as the caller knows; `null` for none.
    replaces: Option<RevisionHash>,
}

/// What became of an upload.
#[derive(Serialize, JsonSchema)]
pub struct RevisionAnswer {
    /// What checking found; `active` is the revision that was active before.
    #[serde(flatten)]
    checked: Checked,
    /// Whether it is active now.
    activated: bool,
}

/// Which revision an activation replaces.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Activation {
    /// The revision that is active now, as far as the caller knows; `null` for none.
    replaces: Option<RevisionHash>,
}

/// A revision's files: for comparing a folder with it, and for playing a failure of it again.
#[derive(Serialize, JsonSchema)]
pub struct RevisionFiles {
    /// Its hash.
    hash: RevisionHash,
    /// Path in the folder → contents, in base64.
    files: BTreeMap<String, String>,
}

/// POST …/revisions/check
///
/// # Errors
/// 422 with `problems` or `golden`.
pub async fn check(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    ApiBody(upload): ApiBody<Upload, REVISION_BODY_BYTES_LIMIT>,
) -> Result<Json<Checked>> {
    Ok(Json(tenancy::check_revision(&app, &who.tenant.id, decoded(upload.files)?).await?))
}

/// POST …/revisions
///
/// # Errors
/// 422 with `problems` or `golden`; 409 where another revision is active than the one that it replaces.
pub async fn create(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    ApiBody(new): ApiBody<NewRevision, REVISION_BODY_BYTES_LIMIT>,
) -> Result<(StatusCode, Json<RevisionAnswer>)> {
    let tenant = &who.tenant.id;
    let checked = tenancy::store_revision(&app, tenant, decoded(new.files)?).await?;
    if new.activate {
        tenancy::activate(&app, tenant, &checked.hash, new.replaces.as_ref(), OWNER, &who.actor).await?;
    }
    Ok((StatusCode::CREATED, Json(RevisionAnswer { checked, activated: new.activate })))
}

/// POST …/revisions/{revision}/activate
///
/// # Errors
/// 404; 409 where another revision is active than the one that it replaces.
pub async fn activate(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, hash)): At<(String, RevisionHash)>,
    ApiBody(activation): ApiBody<Activation>,
) -> Result<StatusCode> {
    tenancy::activate(&app, &who.tenant.id, &hash, activation.replaces.as_ref(), OWNER, &who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// GET …/revisions/active
///
/// # Errors
/// 404 where no revision is active.
pub async fn active(who: TenantReader, State(app): State<Arc<App>>, _: ApiQuery<NoQuery>) -> Result<Json<RevisionFiles>> {
    let hash = who.tenant.active_revision.clone().ok_or_else(|| Error::not_found("active revision"))?;
    files_of(&app, &who, hash).await
}

/// GET …/revisions/{revision}
///
/// # Errors
/// 404.
pub async fn read(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, hash)): At<(String, RevisionHash)>,
    _: ApiQuery<NoQuery>,
) -> Result<Json<RevisionFiles>> {
    files_of(&app, &who, hash).await
}

async fn files_of(app: &App, who: &TenantReader, hash: RevisionHash) -> Result<Json<RevisionFiles>> {
    let stored = app.store.revision(&who.tenant.id, &hash).await?.ok_or(StoreError::Missing("revision"))?;
    let files = stored.files.into_iter().map(|(path, contents)| (path, STANDARD.encode(contents))).collect();
    Ok(Json(RevisionFiles { hash, files }))
}

fn decoded(files: BTreeMap<String, String>) -> Result<Files> {
    let decode = |(path, text): (String, String)| match STANDARD.decode(text) {
        Ok(contents) => Ok((path, contents)),
        Err(error) => Err(Error::bad_request(format!("`files`: `{path}` is no base64: {error}"), "a file is no base64")),
    };
    files.into_iter().map(decode).collect()
}
