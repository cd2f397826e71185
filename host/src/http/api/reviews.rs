//! Access reviews: set up, looked at, decided, handed on, closed, exported.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attached;
use super::pages::{Failed, Pages};
use crate::app::App;
use crate::crypto::signature::SigningKey;
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::guards::{ManageReviews, TenantDecider, TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At, page, page_limit};
use crate::model::{Instant, OnSilence, Review, ReviewDecision, ReviewLine, ReviewPlan, ReviewScope, Reviewers, TenantId, collision_key};
use crate::store::{EarlyClose, LineQuery};
use crate::tenancy::reviews::export::{Export, Format};
use crate::tenancy::reviews::{self, Said, WantedReview};

/// For how many days a revocation counts unless told otherwise: as long as any exception may.
const EXCEPTION_DAYS: u32 = 366;
/// Lines that are read at once for an export.
const EXPORT_PAGE: i64 = 1_000;

/// A review to be set up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReview {
    /// For people.
    name: String,
    /// When its lines are written; at once unless given.
    opens: Option<Instant>,
    /// Until when can be decided: an hour to 366 days after it opens.
    closes: Instant,
    /// Whose roles: at most 1,000 of each.
    scope: ReviewScope,
    /// Who reviews. The manager never reviews a privileged role: its owner does, or the fallback reviewer.
    reviewers: Reviewers,
    /// The reviewers, by login name or address, where `reviewers` is `named`: each person's roles go to one of them.
    #[serde(default)]
    named: Vec<String>,
    /// Who reviews where nobody else can, and what others don't know: a login name or address.
    fallback: String,
    /// How many hours before it closes an event reminds of what is undecided: at most 10 times.
    #[serde(default)]
    remind_hours: Vec<u32>,
    /// What becomes of lines about which nobody says anything that counts.
    on_silence: OnSilence,
    /// For how many days a revocation counts: 1 to 366, from the closing; 366 unless given.
    exception_days: Option<u32>,
    /// Who answers for the exceptions that carry revocations out.
    exception_owner: String,
}

/// Which reviews.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only those behind this one.
    after: Option<String>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A page of reviews.
#[derive(Serialize, JsonSchema)]
pub struct ReviewList {
    /// Newest first.
    reviews: Vec<Review>,
    /// `after` for the next page; `null` on the last one.
    next: Option<String>,
}

/// Which lines.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinesQuery {
    /// Only those of this reviewer; with an empty text, those of nobody.
    reviewer: Option<String>,
    /// Only those with this decision.
    decision: Option<ReviewDecision>,
    /// Only those behind this number.
    after: Option<i64>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A page of lines.
#[derive(Serialize, JsonSchema)]
pub struct LineList {
    /// By number.
    lines: Vec<ReviewLine>,
    /// `after` for the next page; `null` on the last one.
    next: Option<i64>,
}

/// What a reviewer says about lines.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The lines, by number: at most 500, all of them the caller's to decide.
    lines: Vec<i64>,
    /// What.
    decision: ReviewDecision,
    /// Why: needed where a role is to go.
    reason: Option<String>,
    /// What is to be asked for instead: with `change`.
    instead: Option<String>,
}

/// Lines that somebody else is to decide.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reassignment {
    /// The lines, by number: at most 500.
    lines: Vec<i64>,
    /// Who is to decide, by login name or address.
    reviewer: String,
    /// Why.
    reason: String,
}

/// A review that ends before its time.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// Why.
    reason: String,
    /// Whether lines about which nobody has said anything that counts follow `on_silence` now; otherwise there may be none.
    #[serde(default)]
    with_silence: bool,
}

/// How an export is written.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// One JSON document a line.
    #[default]
    Json,
    /// For spreadsheets.
    Csv,
}

/// Which export.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// JSON Lines unless given.
    #[serde(default)]
    pub(in crate::http) format: ExportFormat,
}

/// The key that signs exports.
#[derive(Serialize, JsonSchema)]
pub struct ExportKey {
    /// What it is named by: SHA-256 of the key.
    id: String,
    /// The public key as PEM.
    public_key: String,
}

/// POST …/reviews
///
/// # Errors
/// 422 for what makes no sense; 404 for a role or connection that there is not.
pub async fn create(
    who: TenantWriter<ManageReviews>,
    State(app): State<Arc<App>>,
    ApiBody(new): ApiBody<NewReview>,
) -> Result<(StatusCode, Json<Review>)> {
    let NewReview { name, opens, closes, .. } = new;
    let plan = ReviewPlan {
        scope: new.scope,
        reviewers: new.reviewers,
        named: new.named,
        fallback: new.fallback,
        remind_hours: new.remind_hours,
        on_silence: new.on_silence,
        exception_days: new.exception_days.unwrap_or(EXCEPTION_DAYS),
        exception_owner: new.exception_owner,
    };
    let review = reviews::create(&app, &who.tenant.id, &who.actor, WantedReview { name, plan, opens, closes }).await?;
    Ok((StatusCode::CREATED, Json(review)))
}

/// GET …/reviews
///
/// # Errors
/// The store's.
pub async fn list(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<ListQuery>) -> Result<Json<ReviewList>> {
    let limit = page_limit(query.limit);
    let after = query.after.filter(|after| !after.contains('\0'));
    let found = app.store.reviews(&who.tenant.id, after.as_deref(), limit + 1).await?;
    let (reviews, next) = page(found, limit, |review| review.id.clone());
    Ok(Json(ReviewList { reviews, next }))
}

/// GET …/reviews/{review}
///
/// # Errors
/// 404.
pub async fn read(who: TenantReader, State(app): State<Arc<App>>, At((_, review)): At<(String, String)>) -> Result<Json<Review>> {
    Ok(Json(found(&app, &who.tenant.id, &review).await?))
}

async fn found(app: &Arc<App>, tenant: &TenantId, review: &str) -> Result<Review> {
    app.store.review(tenant, review).await?.ok_or_else(|| Error::not_found("such review"))
}

/// GET …/reviews/{review}/lines
///
/// # Errors
/// 404.
pub async fn lines(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, review)): At<(String, String)>,
    ApiQuery(query): ApiQuery<LinesQuery>,
) -> Result<Json<LineList>> {
    let review = found(&app, &who.tenant.id, &review).await?;
    let limit = page_limit(query.limit);
    let asked = LineQuery {
        reviewer: query.reviewer.as_deref().map(collision_key),
        decision: query.decision,
        lines: None,
        after: query.after.unwrap_or(0),
        limit: limit + 1,
    };
    let found: Vec<ReviewLine> =
        app.store.review_lines(&who.tenant.id, &review.id, &asked).await?.into_iter().map(|view| view.line).collect();
    let (lines, next) = page(found, limit, |line| line.line);
    Ok(Json(LineList { lines, next }))
}

/// POST …/reviews/{review}/decide
///
/// # Errors
/// 404; 403 for a token that names nobody, for lines of another reviewer and for one's own roles; 409 when it is not open.
pub async fn decide(
    who: TenantDecider,
    State(app): State<Arc<App>>,
    At((_, review)): At<(String, String)>,
    ApiBody(said): ApiBody<Decision>,
) -> Result<Json<Review>> {
    let Decision { lines, decision, reason, instead } = said;
    let said = Said { lines, decision, reason, instead };
    Ok(Json(reviews::decide(&app, &who.tenant.id, &who.principal, &review, said).await?))
}

/// POST …/reviews/{review}/reassign
///
/// # Errors
/// 404; 403 for the person whom a line is about; 409 when it is not open.
pub async fn reassign(
    who: TenantWriter<ManageReviews>,
    State(app): State<Arc<App>>,
    At((_, review)): At<(String, String)>,
    ApiBody(wanted): ApiBody<Reassignment>,
) -> Result<Json<Review>> {
    let Reassignment { lines, reviewer, reason } = wanted;
    Ok(Json(reviews::reassign(&app, &who.tenant.id, &who.actor, &review, (lines, reviewer, reason)).await?))
}

/// POST …/reviews/{review}/close
///
/// # Errors
/// 404; 409 when it is closing or closed, or silence would count and was not meant to.
pub async fn close(
    who: TenantWriter<ManageReviews>,
    State(app): State<Arc<App>>,
    At((_, review)): At<(String, String)>,
    ApiBody(closing): ApiBody<Closing>,
) -> Result<Json<Review>> {
    let Closing { reason, with_silence } = closing;
    Ok(Json(reviews::close(&app, &who.tenant.id, &who.actor, &review, EarlyClose { reason, with_silence }).await?))
}

/// GET …/reviews/key
///
/// # Errors
/// None that a client can mend.
pub async fn key(_: TenantReader, State(app): State<Arc<App>>) -> Result<Json<ExportKey>> {
    let public = app.keyring.reviews().and_then(|key| key.verifying()).map_err(Error::internal)?;
    Ok(Json(ExportKey { id: public.id(), public_key: public.to_pem() }))
}

/// GET …/reviews/{review}/export
///
/// # Errors
/// 404.
pub async fn export(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, review)): At<(String, String)>,
    ApiQuery(query): ApiQuery<ExportQuery>,
) -> Result<Response> {
    exported(&app, &who.tenant.id, &review, query.format).await
}

/// A review as a file.
pub(in crate::http) async fn exported(app: &Arc<App>, tenant: &TenantId, review: &str, format: ExportFormat) -> Result<Response> {
    let review = found(app, tenant, review).await?;
    let (format, content_type, ending) = match format {
        ExportFormat::Json => (Format::Json, "application/x-ndjson", "jsonl"),
        ExportFormat::Csv => (Format::Csv, "text/csv; charset=utf-8", "csv"),
    };
    let key = app.keyring.reviews().map_err(Error::internal)?;
    let named = format!("review-{}.{ending}", review.id);
    let (whose, id) = (tenant.clone(), review.id.clone());
    let (export, first) = Export::begin(format, tenant.clone(), review, app.clock.now());
    let lines = Lines { app: Arc::clone(app), tenant: whose, review: id, key, after: 0, export: Some(export) };
    Ok((attached(&named, content_type), lines.streamed(first)).into_response())
}

/// The lines of an export, read a page after the other. Nothing is held between two pages.
struct Lines {
    app: Arc<App>,
    tenant: TenantId,
    review: String,
    key: SigningKey,
    after: i64,
    /// `None` once it is signed.
    export: Option<Export>,
}

/// When a page can't be read, the line that signs the export is missing.
impl Pages for Lines {
    const ENDS_EARLY: &'static str = "an export ends in the middle: lines can't be read";

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        let Some(mut export) = self.export.take() else { return Ok(None) };
        let query = LineQuery { after: self.after, limit: EXPORT_PAGE, ..LineQuery::default() };
        let views = self.app.store.review_lines(&self.tenant, &self.review, &query).await?;
        let Some(last) = views.last() else { return Ok(Some(export.end(&self.key)?.into_bytes())) };
        self.after = last.line.line;
        let lines: Vec<ReviewLine> = views.into_iter().map(|view| view.line).collect();
        let text = export.lines(&lines);
        self.export = Some(export);
        Ok(Some(text.into_bytes()))
    }
}
