//! Candidate revisions that are tried out, and what became of activations.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pages::{Failed, Pages};
use super::{Nothing, attached};
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::guards::{TenantReader, TenantWriter, TryRevisions};
use crate::http::query::{ApiQuery, At, page_limit};
use crate::model::{Activation, ConnectionId, DifferenceKind, PersonDifference, ResourceId, RevisionHash, TenantId, Trial, TrialKind};
use crate::store::{Place, StoreError};
use crate::trial::export::Format;
use crate::trial::part::NamedPart;
use crate::trial::{self, SHADOW_HOURS_LIMIT, Wanted};

/// The share of the people that a shadow asks about unless told otherwise.
const PERCENT: u8 = 100;
/// People who are read at once for an export.
const EXPORT_PAGE: i64 = 1_000;
/// For how many hours a shadow goes along unless told otherwise.
const HOURS: u32 = 24;

/// A trial of a stored revision.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTrial {
    /// `simulation`: over the people who are stored, once. `shadow`: along with what is decided from now on.
    kind: TrialKind,
    /// The candidate: a revision that was stored (`create_revision`).
    revision: RevisionHash,
    /// A shadow: for which share of the people, in percent; 100 unless given.
    percent: Option<u8>,
    /// A shadow: for how many hours; 24 unless given, at most 720.
    hours: Option<u32>,
    /// A simulation: which part of the people; everybody unless given. An activation can't name one of a part.
    part: Option<NewPart>,
}

/// A part of the people: those of these connections who are in one of these groups and are among these people. What is left out, or
/// empty, chooses nobody out. At most 1,000 of each.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPart {
    /// Connections, by id or name.
    #[serde(default)]
    connections: Vec<String>,
    /// Groups, by handle: their members, and those of groups in them.
    #[serde(default)]
    groups: Vec<String>,
    /// People, by account id, SCIM id or login name.
    #[serde(default)]
    people: Vec<String>,
}

/// How a trial's differences are written.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceFormat {
    /// One JSON document a line: the trial, then each person.
    #[default]
    Json,
    /// For spreadsheets: a row for each role of a person that changes.
    Csv,
}

/// Which differences are written, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DifferenceExportQuery {
    /// JSON Lines unless given.
    #[serde(default)]
    format: DifferenceFormat,
    /// Only those of this kind.
    kind: Option<DifferenceKind>,
}

/// The tenant's trials.
#[derive(Serialize, JsonSchema)]
pub struct TrialList {
    /// Newest first.
    trials: Vec<Trial>,
}

/// Which differences are wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DifferenceQuery {
    /// Only those of this kind.
    kind: Option<DifferenceKind>,
    /// Only those after this place, as the page before named it.
    after: Option<String>,
    /// How many; 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A part of what a trial would make different.
#[derive(Serialize, JsonSchema)]
pub struct DifferencePage {
    /// In the order of connections and users.
    differences: Vec<PersonDifference>,
    /// The `after` of those that follow; `null` when there are no more.
    next: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// How many; 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// The tenant's activations.
#[derive(Serialize, JsonSchema)]
pub struct ActivationList {
    /// Newest first.
    activations: Vec<Activation>,
}

/// POST …/trials
///
/// # Errors
/// 404 for a revision that is not stored; 409 while another trial of the kind is running; 422 for one that can't be built, and for a part
/// of the people that names what there is not.
pub async fn create(
    who: TenantWriter<TryRevisions>,
    State(app): State<Arc<App>>,
    ApiBody(new): ApiBody<NewTrial>,
) -> Result<(StatusCode, Json<Trial>)> {
    let (percent, hours) = (new.percent.unwrap_or(PERCENT), new.hours.unwrap_or(HOURS));
    if !(1..=100).contains(&percent) {
        return Err(Error::bad_request("`percent` is from 1 to 100", "a percentage is out of range"));
    }
    if !(1..=SHADOW_HOURS_LIMIT).contains(&hours) {
        return Err(Error::bad_request(format!("`hours` is from 1 to {SHADOW_HOURS_LIMIT}"), "hours are out of range"));
    }
    if new.kind == TrialKind::Shadow && new.part.is_some() {
        return Err(Error::bad_request(
            "`part` is for a simulation: a shadow takes a share of the people (`percent`)",
            "a shadow of a part",
        ));
    }
    let part = new.part.map(|NewPart { connections, groups, people }| NamedPart { connections, groups, people });
    let wanted = Wanted { kind: new.kind, revision: new.revision, percent, hours, part: part.unwrap_or_default() };
    Ok((StatusCode::CREATED, Json(trial::start(&app, &who.tenant.id, wanted, &who.actor).await?)))
}

/// GET …/trials
///
/// # Errors
/// The store's.
pub async fn list(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<ListQuery>) -> Result<Json<TrialList>> {
    app.shadows.flush(&app, Some(&who.tenant.id)).await?;
    Ok(Json(TrialList { trials: app.store.trials(&who.tenant.id, page_limit(query.limit)).await? }))
}

/// GET …/trials/{trial}
///
/// # Errors
/// 404.
pub async fn read(who: TenantReader, State(app): State<Arc<App>>, At((_, trial)): At<(String, String)>) -> Result<Json<Trial>> {
    app.shadows.flush(&app, Some(&who.tenant.id)).await?;
    let trial = app.store.trial(&who.tenant.id, &trial).await?;
    Ok(Json(trial.ok_or_else(|| Error::not_found("such trial"))?))
}

/// GET …/trials/{trial}/differences
///
/// # Errors
/// 404; 400 for a malformed `after`.
pub async fn differences(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, trial)): At<(String, String)>,
    ApiQuery(query): ApiQuery<DifferenceQuery>,
) -> Result<Json<DifferencePage>> {
    app.shadows.flush(&app, Some(&who.tenant.id)).await?;
    app.store.trial(&who.tenant.id, &trial).await?.ok_or_else(|| Error::not_found("such trial"))?;
    let after = query.after.as_deref().map(place).transpose()?;
    let limit = page_limit(query.limit);
    let differences = app.store.trial_differences(&who.tenant.id, &trial, query.kind, after.as_ref(), limit).await?;
    let full = i64::try_from(differences.len()).is_ok_and(|found| found == limit);
    let next = differences.last().filter(|_| full).map(|last| format!("{}/{}", last.connection, last.user));
    Ok(Json(DifferencePage { differences, next }))
}

/// GET …/trials/{trial}/export
///
/// # Errors
/// 404.
pub async fn export(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, trial)): At<(String, String)>,
    ApiQuery(query): ApiQuery<DifferenceExportQuery>,
) -> Result<Response> {
    exported(&app, &who.tenant.id, &trial, query).await
}

/// What differs for whom, as a file.
pub(in crate::http) async fn exported(app: &Arc<App>, tenant: &TenantId, trial: &str, query: DifferenceExportQuery) -> Result<Response> {
    let (app, tenant) = (Arc::clone(app), tenant.clone());
    app.shadows.flush(&app, Some(&tenant)).await?;
    let trial = app.store.trial(&tenant, trial).await?.ok_or_else(|| Error::not_found("such trial"))?;
    let (format, content_type, ending) = match query.format {
        DifferenceFormat::Json => (Format::Json, "application/x-ndjson", "jsonl"),
        DifferenceFormat::Csv => (Format::Csv, "text/csv; charset=utf-8", "csv"),
    };
    let named = format!("trial-{}.{ending}", trial.id);
    let first = format.first(&trial);
    let pages = Differences { app, tenant, trial: trial.id, kind: query.kind, format, after: None };
    Ok((attached(&named, content_type), pages.streamed(first)).into_response())
}

/// Differences, read a page after the other. Nothing is held between two pages.
struct Differences {
    app: Arc<App>,
    tenant: TenantId,
    trial: String,
    kind: Option<DifferenceKind>,
    format: Format,
    after: Option<Place>,
}

impl Pages for Differences {
    const ENDS_EARLY: &'static str = "a trial's differences can't be read to their end";

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        let after = self.after.as_ref();
        let people = self.app.store.trial_differences(&self.tenant, &self.trial, self.kind, after, EXPORT_PAGE).await?;
        let Some(last) = people.last() else { return Ok(None) };
        self.after = Some((last.connection.clone(), last.user.clone()));
        Ok(Some(self.format.people(&people).into_bytes()))
    }
}

/// POST …/trials/{trial}/stop
///
/// # Errors
/// 404.
pub async fn stop(
    who: TenantWriter<TryRevisions>,
    State(app): State<Arc<App>>,
    At((_, trial)): At<(String, String)>,
    _: ApiBody<Nothing>,
) -> Result<Json<Trial>> {
    match trial::stop(&app, &who.tenant.id, &trial).await {
        Err(StoreError::Missing(_)) => Err(Error::not_found("such trial")),
        stopped => Ok(Json(stopped?)),
    }
}

/// GET …/activations
///
/// # Errors
/// The store's.
pub async fn activations(
    who: TenantReader,
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<ActivationList>> {
    // Whom a fresh revision has turned away up to now is part of the answer.
    crate::tenancy::look_after_fresh(&app, Some(&who.tenant.id)).await?;
    Ok(Json(ActivationList { activations: app.store.activations(&who.tenant.id, page_limit(query.limit)).await? }))
}

/// The place that a page named.
pub(in crate::http) fn place(text: &str) -> Result<Place> {
    let malformed = || Error::bad_request("`after` is no place that a page named", "a place is malformed");
    let (connection, user) = text.split_once('/').filter(|_| !text.contains('\0')).ok_or_else(malformed)?;
    Ok((ConnectionId(connection.to_owned()), ResourceId(user.to_owned())))
}
