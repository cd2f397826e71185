//! What a connection did: the client quirks that were counted on it, and its provisioning log.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use rolecall_scim::Quirk;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tenants::NoQuery;
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::guards::TenantReader;
use crate::http::query::{ApiQuery, At, page_limit};
use crate::model::{ConnectionId, Instant, ResourceId, TenantId};
use crate::store::{Dialect, LogEntry};

/// A client quirk that was met on the connection.
#[derive(Serialize, JsonSchema)]
pub struct DialectAnswer {
    /// How often, when, and what it looks like.
    #[serde(flatten)]
    dialect: Dialect,
    /// The clients that are known to do it.
    clients: &'static [&'static str],
    /// Where it is documented.
    source: &'static str,
}

/// The quirks of a connection's client.
#[derive(Serialize, JsonSchema)]
pub struct DialectList {
    /// By word.
    dialects: Vec<DialectAnswer>,
}

/// Which entries of the log are wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Only entries after this position; the newest ones unless given.
    after: Option<i64>,
    /// How many; 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// What became of a request's operations.
#[derive(Serialize, JsonSchema)]
pub struct Operations {
    /// Those that changed something.
    applied: i64,
    /// Those that asked for what was so already.
    no_op: i64,
    /// Those that were refused, and all that were with them.
    refused: i64,
}

/// An entry of the provisioning log: one request that writes, or one operation of a bulk request.
#[derive(Serialize, JsonSchema)]
pub struct LogEntryAnswer {
    /// Ascending, with gaps.
    position: i64,
    /// When it was answered.
    at: Instant,
    /// The request, as in the answer's `x-request-id`, in events and in the server's own log.
    request_id: String,
    /// `POST`, `PUT`, `PATCH`, `DELETE`.
    method: String,
    /// `User` or `Group`, where that is known.
    resource_type: Option<&'static str>,
    /// The resource's id, where there is one.
    resource: Option<ResourceId>,
    /// The status of the answer.
    status: u16,
    /// The keyword of a refusal (RFC 7644 §3.12).
    scim_type: Option<String>,
    /// Why it was refused, without values.
    reason: Option<String>,
    /// What became of its operations.
    operations: Operations,
}

/// A part of the provisioning log.
#[derive(Serialize, JsonSchema)]
pub struct LogPage {
    /// Oldest first.
    entries: Vec<LogEntryAnswer>,
    /// The `after` of the entries that follow.
    next: Option<i64>,
}

impl From<(i64, LogEntry)> for LogEntryAnswer {
    fn from((position, entry): (i64, LogEntry)) -> Self {
        let LogEntry { at, request_id, method, kind, resource, status, scim_type, reason, applied, no_op, refused } = entry;
        let (resource_type, operations) = (kind.map(|kind| kind.name()), Operations { applied, no_op, refused });
        Self { position, at, request_id, method, resource_type, resource, status, scim_type, reason, operations }
    }
}

/// GET …/connections/{connection}/dialects
///
/// # Errors
/// 404.
pub async fn dialects(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    _: ApiQuery<NoQuery>,
) -> Result<Json<DialectList>> {
    up_to_date(&app, &who.tenant.id, &connection).await?;
    let counted = app.store.dialects(&who.tenant.id, &connection).await?;
    // A quirk that this version does not know any more has no client and no source.
    let about = |dialect: Dialect| match Quirk::from_word(&dialect.quirk) {
        Some(quirk) => DialectAnswer { dialect, clients: quirk.clients(), source: quirk.source() },
        None => DialectAnswer { dialect, clients: &[], source: "" },
    };
    Ok(Json(DialectList { dialects: counted.into_iter().map(about).collect() }))
}

/// GET …/connections/{connection}/log
///
/// # Errors
/// 404.
pub async fn log(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<LogQuery>,
) -> Result<Json<LogPage>> {
    up_to_date(&app, &who.tenant.id, &connection).await?;
    let entries = app.store.log(&who.tenant.id, &connection, query.after, page_limit(query.limit)).await?;
    let next = entries.last().map(|(position, _)| *position);
    Ok(Json(LogPage { entries: entries.into_iter().map(Into::into).collect(), next }))
}

/// What this process has gathered is written first, so that whoever made a request finds it.
pub(in crate::http) async fn up_to_date(app: &App, tenant: &TenantId, connection: &ConnectionId) -> Result<()> {
    let found = app.store.find_connection(connection).await?;
    if found.is_none_or(|(owner, _)| owner != *tenant) {
        return Err(Error::not_found("such connection"));
    }
    Ok(app.journal.flush(&*app.store).await?)
}
