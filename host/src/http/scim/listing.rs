//! Queries (RFC 7644 §3.4.2, §3.4.3): by GET and by `.search`, of one kind of resources or of both, with pages by number and by
//! cursor (RFC 9865).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use rolecall_scim::cursor::{self, Cursor, Position};
use rolecall_scim::search::{Page, SearchRequest};
use rolecall_scim::sort::{Sort, SortKey};
use rolecall_scim::{ResourceKind, ScimError, message};
use serde_json::{Map, Value};

use super::view::View;
use super::{Endpoint, schemas, scim};
use crate::app::App;
use crate::http::body::ScimBody;
use crate::http::error::{Error, Result};
use crate::http::guards::ScimCaller;
use crate::http::query::ScimQuery;
use crate::provisioning::Caller;
use crate::store::{ListQuery, Listing, StoredResource, Window};

/// For how long a cursor is good, in seconds: a client that takes an hour over a page has given up.
pub const CURSOR_TIMEOUT_S: i64 = 3_600;

/// GET of `/Users` or `/Groups`.
///
/// # Errors
/// 400 `invalidFilter`, `invalidPath`, `invalidValue`, `tooMany`, `invalidCursor`, `expiredCursor`, `invalidCount`.
pub async fn list<E: Endpoint>(who: ScimCaller, State(app): State<Arc<App>>, query: ScimQuery) -> Result<Response> {
    answer(&app, &who, &[E::KIND], &query.search()?).await
}

/// POST of a query to `/Users/.search` or `/Groups/.search` (RFC 7644 §3.4.3).
///
/// # Errors
/// As [`list`]; 400 `invalidSyntax` for a body that is no `SearchRequest`.
pub async fn search<E: Endpoint>(who: ScimCaller, State(app): State<Arc<App>>, body: ScimBody) -> Result<Response> {
    answer(&app, &who, &[E::KIND], &SearchRequest::from_body(&body.0)?).await
}

/// GET of the base URL: users and groups together (RFC 7644 §3.4.2.1).
///
/// # Errors
/// As [`list`].
pub async fn list_all(who: ScimCaller, State(app): State<Arc<App>>, query: ScimQuery) -> Result<Response> {
    answer(&app, &who, &ResourceKind::ALL, &query.search()?).await
}

/// POST of a query to `/.search` at the base URL.
///
/// # Errors
/// As [`search`].
pub async fn search_all(who: ScimCaller, State(app): State<Arc<App>>, body: ScimBody) -> Result<Response> {
    answer(&app, &who, &ResourceKind::ALL, &SearchRequest::from_body(&body.0)?).await
}

async fn answer(app: &Arc<App>, who: &ScimCaller, kinds: &[ResourceKind], request: &SearchRequest) -> Result<Response> {
    let schemas = schemas(app, &who.caller.tenant).await?;
    let (filter, quirks) = request.filter(&schemas, kinds)?;
    quirks.iter().for_each(|quirk| app.metrics.quirk(quirk.word()));
    who.caller.trail.see(&quirks);
    let sort = request.sort(&schemas, kinds)?;
    let question = cursor::question(kinds, filter.as_ref(), sort.as_ref());
    let list = async |window: Window<'_>| -> Result<(Listing, Vec<Map<String, Value>>)> {
        let query = ListQuery { kinds, schemas: &schemas, filter: filter.as_ref(), sort: sort.as_ref(), window };
        let mut found = app.store.list(&who.caller.tenant, &who.caller.connection, &query).await?;
        let mut by_kind: BTreeMap<ResourceKind, Vec<StoredResource>> = BTreeMap::new();
        let mut places: HashMap<String, usize> = HashMap::with_capacity(found.items.len());
        for (place, item) in std::mem::take(&mut found.items).into_iter().enumerate() {
            places.insert(item.id.0.clone(), place);
            by_kind.entry(item.kind).or_default().push(item);
        }
        let mut shown = Vec::with_capacity(places.len());
        for (kind, items) in by_kind {
            let projection = request.projection(&schemas, kind)?;
            shown.extend(View { app, who, schemas: &schemas, projection: &projection }.page(&items).await?);
        }
        // Rendered kind by kind, answered in the order of the page.
        shown.sort_by_cached_key(|resource| places.get(resource.get("id").and_then(Value::as_str).unwrap_or_default()).copied());
        Ok((found, shown))
    };
    for &kind in kinds {
        // What is wrong with the parameters is told also where nothing is found.
        request.projection(&schemas, kind)?;
    }
    match request.page()? {
        Page::Index { start_index, count } => {
            let (found, shown) = list(Window::Index { offset: start_index - 1, limit: count }).await?;
            let total = found.total.ok_or_else(|| Error::internal("a page by number came without a total"))?;
            Ok(scim(StatusCode::OK, &message::list_response(total, start_index, shown)))
        }
        Page::Cursor { cursor, count } => {
            let position = cursor.map(|text| open(app, &who.caller, question, sort.as_ref(), text)).transpose()?;
            let (found, shown) = list(Window::Beside { position: position.as_ref(), limit: count }).await?;
            let seal = |position: Option<Position>| position.map(|position| seal(app, &who.caller, question, position)).transpose();
            let (next, previous) = (seal(found.next)?, seal(found.previous)?);
            Ok(scim(StatusCode::OK, &message::cursor_response(found.total, shown, next.as_deref(), previous.as_deref())))
        }
    }
}

/// What a cursor is sealed for: nobody can make one up, carry it to another connection, or read the names in it.
fn purpose(caller: &Caller) -> String {
    format!("cursor of {}/{}", caller.tenant, caller.connection)
}

fn seal(app: &App, caller: &Caller, question: u64, position: Position) -> Result<String> {
    let cursor = Cursor { question, issued_s: app.clock.now().timestamp().as_second(), position };
    let sealed = app.keyring.cursors().seal(&purpose(caller), &cursor.to_bytes()?).map_err(Error::internal)?;
    Ok(cursor::text(&sealed))
}

fn open(app: &App, caller: &Caller, question: u64, sort: Option<&Sort>, text: &str) -> Result<Position> {
    let unknown = || ScimError::invalid_cursor("the cursor is none that this connection was given: start with an empty `cursor`");
    let bytes = app.keyring.cursors().open(&purpose(caller), &cursor::bytes(text)?).map_err(|_| unknown())?;
    let cursor = Cursor::from_bytes(&bytes)?;
    cursor.check(question, app.clock.now().timestamp().as_second(), CURSOR_TIMEOUT_S)?;
    let key = cursor.position.sort_key.as_deref();
    let readable = match sort {
        None => key.is_none(),
        Some(sort) => key.is_none_or(|key| SortKey::from_text(sort.descending, key).is_some()),
    };
    if readable { Ok(cursor.position) } else { Err(unknown().into()) }
}
