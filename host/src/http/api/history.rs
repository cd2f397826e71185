//! History, sealed: its batches and signed head, verifying it, and who held what at some time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::crypto::hex;
use crate::history::chain::Anchor;
use crate::history::verify::Verified;
use crate::history::{self, HistoryError, VERIFY_BATCHES, VERIFY_BYTES, VERIFY_EVENTS};
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::guards::TenantReader;
use crate::http::query::{ApiQuery, At, page_limit};
use crate::model::{AccountId, Instant, Reason, RevisionHash, RoleId, TenantId};
use crate::store::StoreError;
use crate::store::history::{Batch, Held, Span, Standing, Start, VerifyBounds, Whose};
use crate::tenancy;

/// Which batches.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchQuery {
    /// Only batches with a higher number; 0 unless given.
    after: Option<i64>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A sealed batch.
#[derive(Serialize, JsonSchema)]
pub struct BatchAnswer {
    /// Its number, from 1.
    batch: i64,
    /// The number of its first event.
    first: i64,
    /// The number of its last event.
    last: i64,
    /// How many events it covers.
    count: i64,
    /// When it was sealed.
    sealed: Instant,
    /// The hash over its events and the batch before, in hexadecimal.
    hash: String,
}

/// A page of batches.
#[derive(Serialize, JsonSchema)]
pub struct BatchPage {
    /// By number.
    batches: Vec<BatchAnswer>,
    /// `after` for the next page; `null` on the last one.
    next: Option<i64>,
}

/// The signed head.
#[derive(Serialize, JsonSchema)]
pub struct HeadAnswer {
    /// To be kept outside; `null` while nothing is sealed.
    head: Option<Anchor>,
    /// The Ed25519 public key of this installation, its 32 bytes in base64.
    public_key: String,
}

/// What is to be verified.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// The event to begin with: the batch that it is in is verified whole. 1 unless given.
    from: Option<i64>,
    /// The batch to go on behind: the `next` of the answer before.
    after: Option<i64>,
    /// A head that was kept outside, to be compared with what is stored.
    anchor: Option<Anchor>,
}

/// At which time.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldQuery {
    /// The instant; now unless given.
    at: Option<Instant>,
    /// The end of a span, exclusive: with it, whatever stood at some moment from `at` until then.
    to: Option<Instant>,
    /// Only what events with a higher number began: the `next` of the page before.
    after: Option<i64>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A grant, or a state of an account, from when to when.
#[derive(Serialize, JsonSchema)]
pub struct HeldAnswer {
    /// The account.
    account: AccountId,
    /// The login name that the account has now.
    user_name: Option<String>,
    /// The role; `null` for the account's own state.
    role: Option<RoleId>,
    /// `effective`, `pending` or `retained`; of an account, its state.
    state: String,
    /// Every policy that gave it.
    reasons: Vec<Reason>,
    /// The revision that decided it.
    revision: Option<RevisionHash>,
    /// Why an account was held or out of scope: a word.
    note: Option<String>,
    /// When a retained grant was to fall.
    deadline: Option<Instant>,
    /// Since when the role was held without a break.
    held_since: Instant,
    /// Since when for these reasons and in this state.
    since: Instant,
    /// Until when; `null` while it stands.
    until: Option<Instant>,
    /// The numbers of the events that tell it: with which it was first held, with which this began, with which this ended.
    evidence: Vec<i64>,
}

/// Who held what.
#[derive(Serialize, JsonSchema)]
pub struct HeldList {
    /// The instant, or the beginning of the span.
    at: Instant,
    /// The end of the span, exclusive.
    to: Option<Instant>,
    /// The last event that is sealed: what came later is not told.
    sealed: i64,
    /// In the order in which it began.
    held: Vec<HeldAnswer>,
    /// `after` for the next page; `null` on the last one. A page may hold fewer than asked for and yet not be the last.
    next: Option<i64>,
}

impl From<Batch> for BatchAnswer {
    fn from(batch: Batch) -> Self {
        let Batch { number, first, last, sealed, hash, signature: _ } = batch;
        Self { batch: number, first, last, count: last.saturating_sub(first).saturating_add(1), sealed, hash: hex(&hash) }
    }
}

impl From<HistoryError> for Error {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Store(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

/// GET …/history/batches
///
/// # Errors
/// The store's.
pub async fn batches(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<BatchQuery>) -> Result<Json<BatchPage>> {
    let limit = page_limit(query.limit);
    let batches = app.store.batches(&who.tenant.id, query.after.unwrap_or(0).max(0), limit).await?;
    let full = i64::try_from(batches.len()).unwrap_or(i64::MAX) >= limit;
    let next = batches.last().filter(|_| full).map(|batch| batch.number);
    Ok(Json(BatchPage { batches: batches.into_iter().map(Into::into).collect(), next }))
}

/// GET …/history/head
///
/// # Errors
/// The store's.
pub async fn head(who: TenantReader, State(app): State<Arc<App>>) -> Result<Json<HeadAnswer>> {
    let head = history::head(&*app.store, &app.keyring, &who.tenant.id, app.clock.now()).await?;
    let key = app.keyring.history().and_then(|key| key.verifying()).map_err(HistoryError::Key)?;
    Ok(Json(HeadAnswer { head, public_key: key.to_base64() }))
}

/// POST …/history/verify
///
/// # Errors
/// The store's.
pub async fn verify(who: TenantReader, State(app): State<Arc<App>>, ApiBody(asked): ApiBody<VerifyRequest>) -> Result<Json<Verified>> {
    let (store, keyring, tenant) = (&*app.store, &app.keyring, &who.tenant.id);
    let start = match (asked.after, asked.from) {
        (Some(number), _) => Start::Behind(number),
        (None, from) => Start::Event(from.unwrap_or(1)),
    };
    let bounds = VerifyBounds { batches: VERIFY_BATCHES, events: VERIFY_EVENTS, bytes: VERIFY_BYTES };
    let mut verified = history::verify(store, keyring, tenant, start, bounds).await?;
    if let Some(anchor) = &asked.anchor {
        verified.add(history::compare(store, keyring, tenant, anchor).await?);
    }
    Ok(Json(verified))
}

/// GET …/history/roles/{role}
///
/// # Errors
/// 400 for a span that ends before it begins; 404 for a role that nobody ever held and that the catalogue does not have: a name that is mistyped
/// looks like a role that nobody has.
pub async fn holders(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, role)): At<(String, RoleId)>,
    ApiQuery(query): ApiQuery<HeldQuery>,
) -> Result<Json<HeldList>> {
    let (tenant, whose) = (&who.tenant.id, Whose::Role(role.clone()));
    let found = held(&app, tenant, &whose, &query).await?;
    if found.held.is_empty() && query.after.unwrap_or(0) == 0 && !is_known(&app, tenant, &role, &whose).await? {
        return Err(Error::not_found("role of this name: nobody ever held one, and the catalogue has none"));
    }
    Ok(found)
}

/// Whether the active catalogue has a role, or somebody ever held it.
async fn is_known(app: &Arc<App>, tenant: &TenantId, role: &RoleId, whose: &Whose) -> Result<bool> {
    let active = tenancy::active_revision(app, tenant).await?;
    if active.is_some_and(|revision| revision.policies.roles().iter().any(|known| known.id == role.as_str())) {
        return Ok(true);
    }
    let ever = Span { from: Instant(0), to: Instant(app.clock.now().0.saturating_add(1)) };
    Ok(!app.store.held(tenant, whose, ever, 0, 1).await?.held.is_empty())
}

/// GET …/accounts/{account}/roles
///
/// # Errors
/// 404 for an unknown account; 400 for a span that ends before it begins.
pub async fn roles(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiQuery(query): ApiQuery<HeldQuery>,
) -> Result<Json<HeldList>> {
    let view = app.store.account(&who.tenant.id, &account).await?.ok_or_else(|| Error::not_found("such account"))?;
    held(&app, &who.tenant.id, &Whose::Account(view.account.id), &query).await
}

async fn held(app: &App, tenant: &TenantId, whose: &Whose, query: &HeldQuery) -> Result<Json<HeldList>> {
    let now = app.clock.now();
    let at = query.at.unwrap_or(now);
    let span = Span { from: at, to: query.to.unwrap_or(Instant(at.0.saturating_add(1))) };
    if span.to <= span.from {
        return Err(Error::bad_request("`to` must be later than `at`", "a span ends before it begins"));
    }
    let head = history::catch_up(&*app.store, &app.keyring, tenant, now).await?;
    let page = app.store.held(tenant, whose, span, query.after.unwrap_or(0), page_limit(query.limit)).await?;
    let held = page.held.into_iter().map(told).collect::<Result<_, StoreError>>()?;
    Ok(Json(HeldList { at, to: query.to, sealed: head.map_or(0, |head| head.last), held, next: page.next }))
}

fn told(held: Held) -> Result<HeldAnswer, StoreError> {
    let Held { standing, user_name } = held;
    let Standing { seq, account, role, state, reasons, revision, note, deadline, since, until, until_seq, held_since, held_seq } = standing;
    let reasons = serde_json::from_str(&reasons).map_err(|_| StoreError::Corrupt("a grant's reasons".into()))?;
    let mut evidence: Vec<i64> = [Some(held_seq), Some(seq), until_seq].into_iter().flatten().collect();
    evidence.dedup();
    Ok(HeldAnswer { account, user_name, role, state, reasons, revision, note, deadline, held_since, since, until, evidence })
}
