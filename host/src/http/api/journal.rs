//! What connections did: the client quirks that were counted, the provisioning log, and the credentials that were refused.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use rolecall_scim::Quirk;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::guards::{ApiCaller, TenantReader};
use crate::http::query::{ApiQuery, At, page_limit};
use crate::http::urls::Urls;
use crate::journal::curl;
use crate::model::{
    AccountId, ConnectionId, Explained, Instant, Led, LogDetail, OperationFate, OutcomeClass, OutcomeCode, RefusedCredential, ResourceId,
    TenantId, catalogue,
};
use crate::store::{Dialect, FoundEntry, LogEntry, LogFound, LogSearch, LogSide};
use crate::tenancy;
use crate::tenancy::log::Wanted;

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

/// Which entries of the log are wanted. What is not given chooses nothing out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Of this connection, by id.
    connection: Option<ConnectionId>,
    /// About this person, by account id, login name or SCIM id.
    person: Option<String>,
    /// About this group, by handle or SCIM id.
    group: Option<String>,
    /// Of this request: the `x-request-id` of an answer, and what events name.
    request: Option<String>,
    /// How it ended: `done`, `refused`, `failed`.
    outcome: Option<OutcomeClass>,
    /// What it came to, in one word.
    code: Option<OutcomeCode>,
    /// By this method; `*` for what was counted and not listed one by one.
    method: Option<String>,
    /// Not before.
    from: Option<Instant>,
    /// Before.
    until: Option<Instant>,
    /// Only entries after this position, the nearest ones.
    after: Option<i64>,
    /// Only entries before this position, the nearest ones. The newest ones where neither is given.
    before: Option<i64>,
    /// How many; 100 unless given, at most 1,000.
    limit: Option<i64>,
    /// With `after`: for how many seconds to wait where nothing is there yet; at most 25.
    wait: Option<u64>,
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
    /// One by one, the first 100.
    each: Vec<OperationFate>,
    /// Which of them is at fault, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_fault: Option<u64>,
}

/// An entry of the provisioning log: one request that writes, one that was refused, or one operation of a bulk request. Nobody's values are
/// in it.
#[derive(Serialize, JsonSchema)]
pub struct LogEntryAnswer {
    /// Ascending, with gaps.
    position: i64,
    /// When it was answered.
    at: Instant,
    /// The connection.
    connection: ConnectionId,
    /// The request, as in the answer's `x-request-id`, in events and in the server's own log.
    request_id: String,
    /// `POST`, `PUT`, `PATCH`, `DELETE`, `GET`; `*` for several of which nobody needs to know one by one.
    method: String,
    /// `User` or `Group`, where that is known.
    resource_type: Option<&'static str>,
    /// The resource's id, where there is one.
    resource: Option<ResourceId>,
    /// The person's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    /// The status of the answer.
    status: u16,
    /// How it ended.
    outcome: OutcomeClass,
    /// What it came to, in one word.
    code: OutcomeCode,
    /// What that means and what to do, where it was refused or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    explained: Option<Explained>,
    /// The keyword of a refusal (RFC 7644 §3.12).
    scim_type: Option<String>,
    /// Why it was refused, without values.
    reason: Option<String>,
    /// What became of its operations.
    operations: Operations,
    /// How long it took, in milliseconds.
    took_ms: f64,
    /// The client quirks that it had.
    quirks: Vec<String>,
    /// What it led to.
    #[serde(skip_serializing_if = "Led::is_nothing")]
    led: Led,
    /// The request for a terminal, with its values gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    curl: Option<String>,
}

/// A part of the provisioning log.
#[derive(Serialize, JsonSchema)]
pub struct LogPage {
    /// Oldest first.
    entries: Vec<LogEntryAnswer>,
    /// The `after` of the entries that follow.
    next: Option<i64>,
    /// The `before` of the entries that come before; `null` where there is none. A search looks at 5,000 entries at once: a page may hold fewer
    /// than asked for, or none, and not be the last.
    previous: Option<i64>,
}

/// Every outcome that an entry of the log can have.
#[derive(Serialize, JsonSchema)]
pub struct OutcomeList {
    /// In order.
    outcomes: Vec<Explained>,
}

/// The credentials that were refused on a connection.
#[derive(Serialize, JsonSchema)]
pub struct RefusedCredentials {
    /// Those that are alike (the kind of credential, and the check that failed) together, the last one first.
    refused: Vec<RefusedCredential>,
}

fn answer(urls: &Urls, found: FoundEntry) -> LogEntryAnswer {
    let FoundEntry { position, connection, account, entry } = found;
    let curl = curl::curl(&urls.scim(&connection), &entry);
    let LogEntry { at, request_id, method, kind, resource, status, scim_type, reason, applied, no_op, refused, code, detail } = entry;
    let took_ms = detail.took_ms();
    let LogDetail { quirks, fates, operation, led, .. } = detail;
    let outcome = code.class();
    LogEntryAnswer {
        position,
        at,
        connection,
        request_id,
        method,
        resource_type: kind.map(|kind| kind.name()),
        resource,
        account,
        status,
        outcome,
        code,
        explained: (outcome != OutcomeClass::Done).then(|| Explained::of(code)),
        scim_type,
        reason,
        operations: Operations { applied, no_op, refused, each: fates, at_fault: operation },
        took_ms,
        quirks,
        led,
        curl,
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
/// 404; 400 for `after` and `before` together.
pub async fn log(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<LogQuery>,
    urls: Urls,
) -> Result<Json<LogPage>> {
    if query.connection.as_ref().is_some_and(|named| *named != connection) {
        return Err(Error::bad_request("`connection` names another one than the path: leave it out", "two connections are named"));
    }
    search(&app, &who.tenant.id, LogQuery { connection: Some(connection), ..query }, &urls).await
}

/// GET …/log
///
/// # Errors
/// As [`log`].
pub async fn log_of_tenant(
    who: TenantReader,
    State(app): State<Arc<App>>,
    ApiQuery(query): ApiQuery<LogQuery>,
    urls: Urls,
) -> Result<Json<LogPage>> {
    search(&app, &who.tenant.id, query, &urls).await
}

/// GET /api/v1/outcomes
///
/// # Errors
/// None.
pub async fn outcomes(_: ApiCaller) -> Result<Json<OutcomeList>> {
    Ok(Json(OutcomeList { outcomes: catalogue() }))
}

/// GET …/connections/{connection}/refused-credentials
///
/// # Errors
/// 404.
pub async fn refused_credentials(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
) -> Result<Json<RefusedCredentials>> {
    Ok(Json(RefusedCredentials { refused: tenancy::log::refused_credentials(&app, &who.tenant.id, &connection).await? }))
}

async fn search(app: &App, tenant: &TenantId, query: LogQuery, urls: &Urls) -> Result<Json<LogPage>> {
    let LogQuery { connection, person, group, request, outcome, code, method, from, until, after, before, limit, wait } = query;
    let side = match (after, before) {
        (None, None) => LogSide::Newest,
        (Some(after), None) => LogSide::After(after),
        (None, Some(before)) => LogSide::Before(before),
        (Some(_), Some(_)) => return Err(Error::bad_request("give `after` or `before`, and not both", "two sides of the log are named")),
    };
    if person.is_some() && group.is_some() {
        return Err(Error::bad_request("give `person` or `group`, and not both", "two resources are named"));
    }
    let (class, limit, wait_seconds) = (outcome, page_limit(limit), wait.unwrap_or(0));
    let search = LogSearch { connection, resource: None, request, code, class, method, from, until, side, limit };
    let wanted = Wanted { person, group, search, wait_seconds };
    let LogFound { entries, looked, more } = tenancy::log::search(app, tenant, wanted).await?;
    let (first, last) = (entries.first().map(|found| found.position), entries.last().map(|found| found.position));
    let previous = match side {
        LogSide::After(_) => first,
        LogSide::Newest | LogSide::Before(_) => looked.map(|(lowest, _)| lowest).filter(|_| more),
    };
    let next = match side {
        LogSide::After(_) => looked.map(|(_, highest)| highest),
        LogSide::Newest | LogSide::Before(_) => last,
    };
    Ok(Json(LogPage { entries: entries.into_iter().map(|found| answer(urls, found)).collect(), next, previous }))
}

/// What this process has gathered is written first, so that whoever made a request finds it.
pub(in crate::http) async fn up_to_date(app: &App, tenant: &TenantId, connection: &ConnectionId) -> Result<()> {
    let found = app.store.find_connection(connection).await?;
    if found.is_none_or(|(owner, _)| owner != *tenant) {
        return Err(Error::not_found("such connection"));
    }
    Ok(app.journal.flush(&*app.store).await?)
}
