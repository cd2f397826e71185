//! The first sync: accounts that were there before, what a connection changes when it goes live, and who adopts what.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attached;
use super::pages::{Failed, Pages, csv_head, csv_of, roles};
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::frame;
use crate::http::guards::{TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At, page_limit};
use crate::lifecycle::adoption::{Line, Totals};
use crate::model::{AccountId, ConnectionId, ConnectionState, ResourceId, TenantId};
use crate::store::{DIFFERENCE_PAGE_LIMIT, Imported, StoreError};
use crate::tenancy::first_sync::{self, Place};
use crate::tenancy::imports::{self, Format};

/// The largest body of an import, in bytes: a file as a text in JSON, with quotes and ends of lines escaped.
pub const IMPORT_BODY_BYTES_LIMIT: usize = 8 * 1024 * 1024;

/// The columns of a difference as CSV.
const COLUMNS: [&str; 9] = ["user", "user_name", "fate", "account", "candidates", "holder", "gained", "lost", "note"];

/// Accounts to be imported.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewImports {
    /// How the file is written.
    format: Format,
    /// The file: at most 4 MiB and 10,000 accounts. Of each `user_name`, and where there is one `external_id`, `emails`, `display_name`, `roles`
    /// (as the tenant's catalogue names them) and `protected`.
    content: String,
    /// Only says what would be.
    #[serde(default)]
    dry_run: bool,
}

/// POST …/accounts/import
///
/// # Errors
/// 422 with `problems`.
pub async fn import(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    ApiBody(new): ApiBody<NewImports, IMPORT_BODY_BYTES_LIMIT>,
) -> Result<Json<Imported>> {
    let NewImports { format, content, dry_run } = new;
    let done =
        frame::to_the_end(async move { imports::import(&app, &who.tenant.id, &who.actor, (format, content), dry_run).await }).await?;
    Ok(Json(done?))
}

/// Whether connections may touch an account.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Protection {
    /// Whether none may.
    protected: bool,
    /// Why.
    reason: String,
}

/// PUT …/accounts/{account}/protection
///
/// # Errors
/// 404; 409 for an account that a connection feeds.
pub async fn protect(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiBody(said): ApiBody<Protection>,
) -> Result<StatusCode> {
    imports::protect(&app, &who.tenant.id, &who.principal, &account, (said.protected, &said.reason)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How a difference is written.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceFormat {
    /// A page.
    #[default]
    Json,
    /// All lines.
    Csv,
}

/// Which part of a difference.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DifferenceQuery {
    /// Only lines behind this place.
    after: Option<String>,
    /// How many lines at most: 100 unless given, at most 500.
    limit: Option<i64>,
    /// `json` (a page) unless given, or `csv` (all lines).
    #[serde(default)]
    format: DifferenceFormat,
}

/// What a connection changes when it goes live. Of one that is live: who waits for somebody.
#[derive(Serialize, JsonSchema)]
pub struct Difference {
    /// Whether the connection is in staging.
    state: ConnectionState,
    /// What stands for all that was seen: going live names it.
    digest: String,
    /// The whole in numbers; on the first page of a connection in staging.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<Totals>,
    /// People of the connection, by id, then imported accounts that are nobody's.
    lines: Vec<Line>,
    /// `after` for the next page; `null` on the last one.
    next: Option<String>,
}

/// GET …/connections/{connection}/difference
///
/// # Errors
/// 404.
pub async fn difference(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<DifferenceQuery>,
) -> Result<Response> {
    let tenant = who.tenant.id;
    let (state, digest) = first_sync::stands(&app, &tenant, &connection).await?;
    if query.format == DifferenceFormat::Csv {
        let lines = Lines { app, tenant, connection, state, next: Some(Place::People(None)) };
        return Ok((attached("difference.csv", "text/csv; charset=utf-8"), lines.streamed(csv_head(&COLUMNS))).into_response());
    }
    let place = match query.after.as_deref() {
        None => Place::People(None),
        Some(after) => Place::read(after)
            .filter(|_| !after.contains('\0'))
            .ok_or_else(|| Error::bad_request("`after` is the `next` of the page before", "a place in a difference is none"))?,
    };
    let totals = match (state, &query.after) {
        (ConnectionState::Staging, None) => Some(first_sync::whole(&app, &tenant, &connection).await?.0),
        _ => None,
    };
    let limit = page_limit(query.limit);
    let (lines, next) = first_sync::page(&app, &tenant, (&connection, state), &place, limit).await?;
    Ok(Json(Difference { state, digest, totals, lines, next: next.map(|next| next.to_string()) }).into_response())
}

/// All lines of a difference, read a page after the other. Nothing is held between two pages.
struct Lines {
    app: Arc<App>,
    tenant: TenantId,
    connection: ConnectionId,
    state: ConnectionState,
    next: Option<Place>,
}

impl Pages for Lines {
    const ENDS_EARLY: &'static str = "a difference ends in the middle: lines can't be read";

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        let Some(place) = self.next.take() else { return Ok(None) };
        let whose = (&self.connection, self.state);
        let (lines, next) = first_sync::page(&self.app, &self.tenant, whose, &place, DIFFERENCE_PAGE_LIMIT).await?;
        self.next = next;
        Ok(Some(csv_of(lines.iter().map(cells))?))
    }
}

fn cells(line: &Line) -> [String; COLUMNS.len()] {
    let candidates: Vec<&str> = line.candidates.iter().map(|candidate| candidate.account.as_str()).collect();
    [
        line.user.as_ref().map(ToString::to_string).unwrap_or_default(),
        line.user_name.clone().unwrap_or_default(),
        line.fate.to_string(),
        line.account.to_string(),
        candidates.join(" "),
        line.holder.as_ref().map(ToString::to_string).unwrap_or_default(),
        roles(&line.gained),
        roles(&line.lost),
        line.note.as_ref().map(|note| note.message.clone()).unwrap_or_default(),
    ]
}

/// What was seen.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoingLive {
    /// The difference's digest.
    digest: String,
}

/// POST …/connections/{connection}/live
///
/// # Errors
/// 404; 409 where the difference is another by now, or the connection is not in staging.
pub async fn live(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiBody(seen): ApiBody<GoingLive>,
) -> Result<Json<Totals>> {
    // A large connection takes its time; half of it would have to be done again.
    let done = frame::to_the_end(async move { first_sync::go_live(&app, &who.tenant.id, &who.principal, &connection, &seen.digest).await });
    Ok(Json(done.await??))
}

/// Which account is somebody's.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adoption {
    /// The imported account that they adopt; `null` for a new one.
    account: Option<AccountId>,
    /// Why.
    reason: String,
}

/// PUT …/connections/{connection}/adoptions/{user}
///
/// # Errors
/// 404; 403 for one's own; 409 for an account that can't be adopted.
pub async fn adopt(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, connection, user)): At<(String, ConnectionId, ResourceId)>,
    ApiBody(said): ApiBody<Adoption>,
) -> Result<StatusCode> {
    if said.account.as_ref().is_some_and(|account| account.as_str().contains('\0')) {
        return Err(StoreError::Missing("account").into());
    }
    first_sync::choose(&app, &who.tenant.id, &who.principal, &connection, (user, said.account, said.reason)).await?;
    Ok(StatusCode::NO_CONTENT)
}
