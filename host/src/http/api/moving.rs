//! Moving house: which connection takes over from which, who has moved, and the way back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attached;
use super::first_sync::DifferenceFormat;
use super::pages::{Failed, Pages, csv_head, csv_of, roles};
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::frame;
use crate::http::guards::{TenantReader, TenantWriter};
use crate::http::query::{ApiQuery, At, page_limit};
use crate::lifecycle::house::{WayBack, WayBackTotals};
use crate::model::{ConnectionId, ResourceId, TenantId};
use crate::provisioning::house;
use crate::tenancy::moving;

/// The columns of a way back as CSV.
const COLUMNS: [&str; 8] = ["user", "user_name", "account", "from", "from_user", "way", "gained", "lost"];

/// People whom a CSV's piece is made of: each is decided for it.
const CSV_PAGE: i64 = 100;

/// From which connection one takes over.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Predecessor {
    /// The other connection of the tenant; `null` for none.
    connection: Option<ConnectionId>,
}

/// PUT …/connections/{connection}/predecessor
///
/// # Errors
/// 404; 409 for a connection that is not in staging, and for one that can't be taken over.
pub async fn take_over(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiBody(said): ApiBody<Predecessor>,
) -> Result<StatusCode> {
    let done = async move { moving::take_over(&app, &who.tenant.id, &who.principal, &connection, said.connection.as_ref()).await };
    frame::to_the_end(done).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Which part of a way back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MovedQuery {
    /// Only people behind this one.
    after: Option<ResourceId>,
    /// How many people at most: 100 unless given, at most 500.
    limit: Option<i64>,
    /// `json` (a page) unless given, or `csv` (everybody).
    #[serde(default)]
    format: DifferenceFormat,
}

/// Who has moved to a connection, and who of them can go back.
#[derive(Serialize, JsonSchema)]
pub struct Moved {
    /// What stands for all that was seen: going back names it. On the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// The whole in numbers; on the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<WayBackTotals>,
    /// People, by id.
    people: Vec<WayBack>,
    /// `after` for the next page; `null` on the last one.
    next: Option<ResourceId>,
}

/// GET …/connections/{connection}/moved
///
/// # Errors
/// 404.
pub async fn moved(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<MovedQuery>,
) -> Result<Response> {
    let tenant = who.tenant.id;
    if query.after.as_ref().is_some_and(|after| after.as_str().contains('\0')) {
        return Err(Error::bad_request("`after` is the `next` of the page before", "a place among those who have moved is none"));
    }
    let totals = match query.after {
        None => Some(moving::way_back(&app, &tenant, &connection).await?.0),
        Some(_) => None,
    };
    if query.format == DifferenceFormat::Csv {
        let everybody = Everybody { app, tenant, connection, next: Some(None) };
        return Ok((attached("moved.csv", "text/csv; charset=utf-8"), everybody.streamed(csv_head(&COLUMNS))).into_response());
    }
    let (people, next) = moving::page(&app, &tenant, &connection, query.after.as_ref(), page_limit(query.limit)).await?;
    let people = house::look_ahead(&app, &tenant, &connection, people).await?;
    Ok(Json(Moved { digest: totals.as_ref().map(WayBackTotals::digest), totals, people, next }).into_response())
}

/// Everybody who has moved, read a page after the other. Nothing is held between two pages.
struct Everybody {
    app: Arc<App>,
    tenant: TenantId,
    connection: ConnectionId,
    /// Behind whom the next page begins; `None` once the last one was read.
    next: Option<Option<ResourceId>>,
}

impl Pages for Everybody {
    const ENDS_EARLY: &'static str = "a way back ends in the middle: people can't be read";

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failed> {
        let Some(after) = self.next.take() else { return Ok(None) };
        let (people, next) = moving::page(&self.app, &self.tenant, &self.connection, after.as_ref(), CSV_PAGE).await?;
        let people = house::look_ahead(&self.app, &self.tenant, &self.connection, people).await?;
        self.next = next.map(Some);
        Ok(Some(csv_of(people.iter().map(cells))?))
    }
}

fn cells(person: &WayBack) -> [String; COLUMNS.len()] {
    let WayBack { user, from, from_user, account, user_name, way, gained, lost } = person;
    [
        user.to_string(),
        user_name.clone().unwrap_or_default(),
        account.to_string(),
        from.to_string(),
        from_user.to_string(),
        way.to_string(),
        roles(gained),
        roles(lost),
    ]
}

/// What was seen.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoingBack {
    /// The way back's digest.
    digest: String,
}

/// POST …/connections/{connection}/move-back
///
/// # Errors
/// 404; 409 where the way back is another by now, nobody can go, or the connection is in staging.
pub async fn go_back(
    who: TenantWriter,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiBody(seen): ApiBody<GoingBack>,
) -> Result<Json<WayBackTotals>> {
    // A large connection takes its time; half of it would have to be done again.
    let done = frame::to_the_end(async move { moving::go_back(&app, &who.tenant.id, &who.principal, &connection, &seen.digest).await });
    Ok(Json(done.await??))
}
