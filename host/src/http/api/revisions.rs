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

use crate::app::App;
use crate::crypto::sha256_hex;
use crate::http::body::{ApiBody, REVISION_BODY_BYTES_LIMIT};
use crate::http::error::{Error, Result};
use crate::http::guards::{AuthorRevisions, TenantDecider, TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At, page, page_limit};
use crate::model::{ListedRevision, RevisionHash, TenantId};
use crate::revision::Files;
use crate::store::{DespiteChanges, NewActivation, StoreError};
use crate::tenancy::{self, Checked};

/// Who owns the revisions of a tenant that are activated here (`managed_by`).
pub(in crate::http) const OWNER: &str = "api";

/// The files of a tenant folder, to be checked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Path in the folder → contents.
    files: BTreeMap<String, Contents>,
}

/// What is in a file: the bytes, or the digest of what the tenant has stored before.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a text in base64, or an object with `sha256`")]
pub enum Contents {
    /// In base64.
    Bytes(String),
    /// What is in a file of one of the tenant's revisions.
    Stored(Reference),
}

/// Contents that the tenant has stored.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Their SHA-256, in lower-case hexadecimal digits.
    sha256: String,
}

/// The files of a tenant folder, to be stored and perhaps activated.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRevision {
    /// Path in the folder → contents.
    files: BTreeMap<String, Contents>,
    /// Whether to activate it as well.
    #[serde(default)]
    activate: bool,
    /// The revision that is active now, as far as the caller knows; `null` for none.
    replaces: Option<RevisionHash>,
    /// The finished simulation of these files that the activation rests on.
    simulation: Option<String>,
    /// Why it is activated although something has changed about more people than may be since the simulation began: 1 to 1,000 characters.
    despite_changes: Option<String>,
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
    /// The finished simulation of the revision that the activation rests on: people whom it turned away are expected, then.
    simulation: Option<String>,
    /// Why it is activated although something has changed about more people than may be since the simulation began: 1 to 1,000 characters.
    despite_changes: Option<String>,
}

/// A revision's files: for comparing a folder with it, and for playing a failure of it again.
#[derive(Serialize, JsonSchema)]
pub struct RevisionFiles {
    /// Its hash.
    hash: RevisionHash,
    /// Path in the folder → SHA-256 of the contents.
    digests: BTreeMap<String, String>,
    /// Path in the folder → contents, in base64; left out with `contents=false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<BTreeMap<String, String>>,
}

/// How much of a revision.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevisionQuery {
    /// `false` leaves out what is in the files; `true` unless given.
    contents: Option<bool>,
}

/// POST …/revisions/check
///
/// # Errors
/// 422 with `problems` or `golden`.
pub async fn check(
    who: TenantWriter<AuthorRevisions>,
    State(app): State<Arc<App>>,
    ApiBody(upload): ApiBody<Upload, REVISION_BODY_BYTES_LIMIT>,
) -> Result<Json<Checked>> {
    Ok(Json(tenancy::check_revision(&app, &who.tenant.id, decoded(&app, &who.tenant.id, upload.files).await?).await?))
}

/// POST …/revisions
///
/// # Errors
/// 422 with `problems` or `golden`; 409 where another revision is active than the one that it replaces.
pub async fn create(
    who: TenantWriter<AuthorRevisions>,
    State(app): State<Arc<App>>,
    ApiBody(new): ApiBody<NewRevision, REVISION_BODY_BYTES_LIMIT>,
) -> Result<(StatusCode, Json<RevisionAnswer>)> {
    let tenant = &who.tenant.id;
    let checked = tenancy::store_revision(&app, tenant, decoded(&app, tenant, new.files).await?).await?;
    if new.activate {
        let wanted = wanted(checked.hash.clone(), new.replaces, new.simulation, new.despite_changes);
        tenancy::activate_as(&app, tenant, wanted, OWNER, &who.principal).await?;
    }
    Ok((StatusCode::CREATED, Json(RevisionAnswer { checked, activated: new.activate })))
}

/// Which revisions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevisionsQuery {
    /// Only those that were stored before this one.
    after: Option<RevisionHash>,
    /// How many at most: 100 unless given, at most 500.
    limit: Option<i64>,
}

/// A page of stored revisions.
#[derive(Serialize, JsonSchema)]
pub struct RevisionPage {
    /// The newest first.
    revisions: Vec<ListedRevision>,
    /// `after` for the next page; `null` on the last one.
    next: Option<RevisionHash>,
}

/// GET …/revisions
///
/// # Errors
/// 404, also where `after` is no stored revision.
pub async fn list(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<RevisionsQuery>) -> Result<Json<RevisionPage>> {
    let limit = page_limit(query.limit);
    let found = app.store.revisions(&who.tenant.id, query.after.as_ref(), limit + 1).await?;
    let (revisions, next) = page(found, limit, |last| last.hash.clone());
    Ok(Json(RevisionPage { revisions, next }))
}

/// POST …/revisions/{revision}/activate
///
/// # Errors
/// 404; 409 where another revision is active than the one that it replaces.
pub async fn activate(
    who: TenantDecider,
    State(app): State<Arc<App>>,
    At((_, hash)): At<(String, RevisionHash)>,
    ApiBody(activation): ApiBody<Activation>,
) -> Result<StatusCode> {
    let wanted = wanted(hash, activation.replaces, activation.simulation, activation.despite_changes);
    tenancy::activate_as(&app, &who.tenant.id, wanted, OWNER, &who.principal).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn wanted(hash: RevisionHash, replaces: Option<RevisionHash>, simulation: Option<String>, despite: Option<String>) -> NewActivation {
    let despite_changes = despite.map(|reason| DespiteChanges { reason, moved: 0 });
    NewActivation { simulation, despite_changes, ..NewActivation::of(hash, replaces) }
}

/// GET …/revisions/active
///
/// # Errors
/// 404 where no revision is active.
pub async fn active(
    who: TenantReader,
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<RevisionQuery>,
) -> Result<Json<RevisionFiles>> {
    let hash = who.tenant.active_revision.clone().ok_or_else(|| Error::not_found("active revision"))?;
    files_of(&app, &who, hash, &query).await
}

/// GET …/revisions/{revision}
///
/// # Errors
/// 404.
pub async fn read(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, hash)): At<(String, RevisionHash)>,
    ApiQuery(query): ApiQuery<RevisionQuery>,
) -> Result<Json<RevisionFiles>> {
    files_of(&app, &who, hash, &query).await
}

async fn files_of(app: &App, who: &TenantReader, hash: RevisionHash, query: &RevisionQuery) -> Result<Json<RevisionFiles>> {
    let (tenant, missing) = (&who.tenant.id, StoreError::Missing("revision"));
    if query.contents == Some(false) {
        let digests = app.store.revision_digests(tenant, &hash).await?.ok_or(missing)?;
        return Ok(Json(RevisionFiles { hash, digests, files: None }));
    }
    let stored = app.store.revision(tenant, &hash).await?.ok_or(missing)?;
    let digests = stored.files.iter().map(|(path, contents)| (path.clone(), sha256_hex(contents))).collect();
    let files = stored.files.into_iter().map(|(path, contents)| (path, STANDARD.encode(contents))).collect();
    Ok(Json(RevisionFiles { hash, digests, files: Some(files) }))
}

/// The files' bytes: those that came, and those that the tenant has stored.
async fn decoded(app: &App, tenant: &TenantId, files: BTreeMap<String, Contents>) -> Result<Files> {
    let mut references = BTreeMap::new();
    let mut found = Files::new();
    for (path, contents) in files {
        match contents {
            Contents::Stored(Reference { sha256 }) => drop(references.insert(path, sha256)),
            Contents::Bytes(text) => match STANDARD.decode(text) {
                Ok(bytes) => drop(found.insert(path, bytes)),
                Err(error) => return Err(Error::bad_request(format!("`files`: `{path}` is no base64: {error}"), "a file is no base64")),
            },
        }
    }
    found.extend(tenancy::stored_contents(app, tenant, references).await?);
    Ok(found)
}
