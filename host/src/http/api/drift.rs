//! Reconciliations: an identity provider's export is compared with what is stored of a connection, and what was seen is carried out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attached;
use super::first_sync::DifferenceFormat;
use super::pages::{Failed, Pages, csv_head, csv_of, roles};
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::Result;
use crate::http::frame;
use crate::http::guards::{ManageConnections, TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At, page, page_limit};
use crate::model::{ConnectionId, DriftGroup, DriftKind, DriftLine, DriftOutcome, Reconciliation, TenantId};
use crate::provisioning::drift::{self, Upload};
use crate::store::{DriftQuery, StoreError};
use crate::tenancy::imports::Format;

/// The largest body of an export, in bytes: a file as a text in JSON, with quotes and ends of lines escaped.
pub const LISTING_BODY_BYTES_LIMIT: usize = 32 * 1024 * 1024;
/// Lines of a page of the CSV.
const CSV_PAGE: i64 = 500;
/// The columns of lines as CSV.
const COLUMNS: [&str; 13] =
    ["line", "kind", "user", "user_name", "account", "attributes", "joins", "leaves", "gains", "loses", "waits", "outcome", "note"];

/// An export to be compared.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewExport {
    /// How it is written.
    format: Format,
    /// The export: at most 16 MiB and 50,000 people. Of each `user_name`, and where there is one `external_id`, `active`, `display_name`,
    /// `given_name`, `family_name`, `title`, `user_type`, `department`, `division`, `organization`, `cost_center`, `employee_number`, `emails`
    /// and `groups`.
    content: String,
    /// Whether it lists everybody (yes, unless given): else nobody is extra.
    complete: Option<bool>,
}

/// POST …/connections/{connection}/reconciliations
///
/// # Errors
/// 404; 422 with `problems`; 409 while another one is carried out.
pub async fn compare(
    who: TenantWriter<ManageConnections>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiBody(new): ApiBody<NewExport, LISTING_BODY_BYTES_LIMIT>,
) -> Result<(StatusCode, Json<Reconciliation>)> {
    let upload = Upload { format: new.format, content: new.content, complete: new.complete.unwrap_or(true) };
    let work = async move {
        let begun = drift::begin(&app, &who.tenant.id, &connection, upload, &who.actor).await?;
        drift::compare(&app, begun).await
    };
    let done = frame::to_the_end(work).await?;
    Ok((StatusCode::CREATED, Json(done?)))
}

/// Which reconciliations.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReconciliationsQuery {
    /// Of this connection alone.
    connection: Option<ConnectionId>,
    /// How many at most: 100 unless given, at most 500.
    limit: Option<i64>,
}

/// Reconciliations.
#[derive(Serialize, JsonSchema)]
pub struct Reconciliations {
    /// The newest first.
    reconciliations: Vec<Reconciliation>,
}

/// GET …/reconciliations
///
/// # Errors
/// 404.
pub async fn list(
    who: TenantReader,
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<ReconciliationsQuery>,
) -> Result<Json<Reconciliations>> {
    let found = app.store.reconciliations(&who.tenant.id, query.connection.as_ref(), page_limit(query.limit)).await?;
    Ok(Json(Reconciliations { reconciliations: found }))
}

/// GET …/reconciliations/{reconciliation}
///
/// # Errors
/// 404.
pub async fn read(who: TenantReader, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>) -> Result<Json<Reconciliation>> {
    Ok(Json(find(&app, &who.tenant.id, &id).await?))
}

async fn find(app: &App, tenant: &TenantId, id: &str) -> Result<Reconciliation> {
    Ok(app.store.reconciliation(tenant, id).await?.ok_or(StoreError::Missing("reconciliation"))?)
}

/// Which lines.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinesQuery {
    /// Only lines behind this one.
    after: Option<i64>,
    /// How many at most: 100 unless given, at most 500.
    limit: Option<i64>,
    /// Of this kind alone.
    kind: Option<DriftKind>,
    /// With this outcome alone.
    outcome: Option<DriftOutcome>,
    /// `json` (a page) unless given, or `csv` (all lines).
    #[serde(default)]
    format: DifferenceFormat,
}

/// A page of lines.
#[derive(Serialize, JsonSchema)]
pub struct DriftPage {
    /// By number.
    lines: Vec<DriftLine>,
    /// `after` for the next page; `null` on the last one.
    next: Option<i64>,
}

/// GET …/reconciliations/{reconciliation}/lines
///
/// # Errors
/// 404.
pub async fn lines(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiQuery(asked): ApiQuery<LinesQuery>,
) -> Result<Response> {
    let tenant = who.tenant.id;
    find(&app, &tenant, &id).await?;
    let query = DriftQuery { after: asked.after.unwrap_or(0), kind: asked.kind, outcome: asked.outcome, limit: CSV_PAGE };
    if asked.format == DifferenceFormat::Csv {
        return Ok(as_csv(app, tenant, id, query));
    }
    let limit = page_limit(asked.limit);
    let found = app.store.drift_lines(&tenant, &id, &DriftQuery { limit: limit + 1, ..query }).await?;
    let (lines, next) = page(found, limit, |line| line.line);
    Ok(Json(DriftPage { lines, next }).into_response())
}

/// All lines that are asked for, as a file.
pub(in crate::http) fn as_csv(app: Arc<App>, tenant: TenantId, id: String, query: DriftQuery) -> Response {
    let lines = Lines { app, tenant, id, query: Some(DriftQuery { limit: CSV_PAGE, ..query }) };
    (attached("drift.csv", "text/csv; charset=utf-8"), lines.streamed(csv_head(&COLUMNS))).into_response()
}

/// All lines, read a page after the other. Nothing is held between two pages.
struct Lines {
    app: Arc<App>,
    tenant: TenantId,
    id: String,
    query: Option<DriftQuery>,
}

impl Pages for Lines {
    const ENDS_EARLY: &'static str = "lines of a reconciliation end in the middle: they can't be read";

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        let Some(query) = self.query.take() else { return Ok(None) };
        let found = self.app.store.drift_lines(&self.tenant, &self.id, &query).await?;
        let is_full = i64::try_from(found.len()).is_ok_and(|found| found >= query.limit);
        self.query = found.last().filter(|_| is_full).map(|last| DriftQuery { after: last.line, ..query });
        Ok(Some(csv_of(found.iter().map(cells))?))
    }
}

fn cells(line: &DriftLine) -> [String; COLUMNS.len()] {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let attributes =
        line.detail.attributes.iter().map(|one| format!("{}: {} -> {}", one.attribute, plain(&one.stored), plain(&one.listed)));
    let groups = |groups: &[DriftGroup]| groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join("; ");
    let forecast = line.forecast.clone().unwrap_or_default();
    [
        line.line.to_string(),
        line.kind.to_string(),
        line.user.as_ref().map(ToString::to_string).unwrap_or_default(),
        line.detail.user_name.clone(),
        line.account.as_ref().map(ToString::to_string).unwrap_or_default(),
        attributes.collect::<Vec<_>>().join("; "),
        groups(&line.detail.joins),
        groups(&line.detail.leaves),
        roles(&forecast.gains),
        roles(&forecast.loses),
        roles(&forecast.waits),
        line.outcome.map(|outcome| outcome.to_string()).unwrap_or_default(),
        line.note.clone().unwrap_or_default(),
    ]
}

/// What was seen.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CarryingOut {
    /// The reconciliation's digest.
    digest: String,
    /// Why it is carried out.
    reason: String,
}

/// A reconciliation that is carried out.
#[derive(Serialize, JsonSchema)]
pub struct CarriedOut {
    /// How many people wait in its hold, because more would lose access than may be at once.
    held: i64,
    /// It, as it stands.
    reconciliation: Reconciliation,
}

/// POST …/reconciliations/{reconciliation}/carry-out
///
/// # Errors
/// 404; 403 for whoever would gain roles by it; 409 where it is another by now, or not ready.
pub async fn carry_out(
    who: TenantWriter<ManageConnections>,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiBody(said): ApiBody<CarryingOut>,
) -> Result<Json<CarriedOut>> {
    let held = drift::carry_out(&app, &who.tenant.id, &who.principal, &id, (said.digest, said.reason)).await?;
    Ok(Json(CarriedOut { held, reconciliation: find(&app, &who.tenant.id, &id).await? }))
}

/// Why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Abandoning {
    /// Why it is given up.
    reason: String,
}

/// POST …/reconciliations/{reconciliation}/abandon
///
/// # Errors
/// 404; 409 where it is over already.
pub async fn abandon(
    who: TenantWriter<ManageConnections>,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiBody(said): ApiBody<Abandoning>,
) -> Result<StatusCode> {
    drift::abandon(&app, &who.tenant.id, &who.principal, &id, &said.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
