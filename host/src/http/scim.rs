//! SCIM's endpoints (RFC 7644 §3): from a request to a command or a read, and from what came of it to an answer.

pub mod discovery;
pub mod version;
pub mod view;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderValue, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use rolecall_scim::schema::Schemas;
use rolecall_scim::{ResourceKind, message};
use serde_json::{Map, Value};

use super::body::ScimBody;
use super::error::{Error, Result};
use super::frame;
use super::guards::ScimCaller;
use super::query::{At, ScimQuery};
use super::trail;
use crate::app::App;
use crate::model::{ResourceId, TenantId};
use crate::provisioning::{self, Applied, Caller, Command};
use crate::store::{ListQuery, StoredResource};
use crate::tenancy;
use version::IfMatch;
use view::{Excess, View};

/// The media type of SCIM (RFC 7644 §8.1).
pub const SCIM_JSON: &str = "application/scim+json";

/// One of the two endpoints for resources.
pub trait Endpoint: Send + 'static {
    /// What it serves.
    const KIND: ResourceKind;
}

/// `/Users`.
pub struct Users;

impl Endpoint for Users {
    const KIND: ResourceKind = ResourceKind::User;
}

/// `/Groups`.
pub struct Groups;

impl Endpoint for Groups {
    const KIND: ResourceKind = ResourceKind::Group;
}

/// POST (RFC 7644 §3.3).
///
/// # Errors
/// As [`provisioning::apply`].
pub async fn create<E: Endpoint>(who: ScimCaller, State(app): State<Arc<App>>, query: ScimQuery, body: ScimBody) -> Result<Response> {
    let schemas = schemas(&app, &who.caller.tenant).await?;
    let projection = query.projection(&schemas, E::KIND)?;
    let stored = write(&app, &who.caller, Command::Create { kind: E::KIND, body: body.0 }, false).await?;
    let view = View { app: &app, who: &who, schemas: &schemas, projection: &projection };
    let location = view.location(&stored);
    let answer = answer(StatusCode::CREATED, &stored, &view.one(&stored, Excess::LeaveOut).await?);
    Ok(([(LOCATION, location)], answer).into_response())
}

/// GET of one resource (RFC 7644 §3.4.1).
///
/// # Errors
/// 404; 400 `tooMany` for more members than an answer holds.
pub async fn read<E: Endpoint>(
    who: ScimCaller,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    query: ScimQuery,
    headers: HeaderMap,
) -> Result<Response> {
    let schemas = schemas(&app, &who.caller.tenant).await?;
    let projection = query.projection(&schemas, E::KIND)?;
    let stored = find::<E>(&app, &who.caller, &ResourceId(id)).await?;
    if version::not_modified(&headers, stored.version) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, version::etag(stored.version))]).into_response());
    }
    let view = View { app: &app, who: &who, schemas: &schemas, projection: &projection };
    Ok(answer(StatusCode::OK, &stored, &view.one(&stored, Excess::Refuse).await?))
}

/// GET of a listing (RFC 7644 §3.4.2).
///
/// # Errors
/// 400 `invalidFilter`, `tooMany`, `invalidValue`.
pub async fn list<E: Endpoint>(who: ScimCaller, State(app): State<Arc<App>>, query: ScimQuery) -> Result<Response> {
    let schemas = schemas(&app, &who.caller.tenant).await?;
    let projection = query.projection(&schemas, E::KIND)?;
    let filter = query.filter(&schemas, E::KIND)?;
    let window = query.window()?;
    let asked =
        ListQuery { kind: E::KIND, schemas: &schemas, filter: filter.as_ref(), offset: window.start_index - 1, limit: window.count };
    let page = app.store.list(&who.caller.tenant, &who.caller.connection, &asked).await?;
    let view = View { app: &app, who: &who, schemas: &schemas, projection: &projection };
    let resources = view.page(&page.items).await?;
    Ok(scim(StatusCode::OK, &message::list_response(page.total, window.start_index, resources)))
}

/// PUT (RFC 7644 §3.5.1).
///
/// # Errors
/// As [`provisioning::apply`].
pub async fn replace<E: Endpoint>(
    who: ScimCaller,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    query: ScimQuery,
    headers: HeaderMap,
    body: ScimBody,
) -> Result<Response> {
    let (schemas, id) = (schemas(&app, &who.caller.tenant).await?, ResourceId(id));
    let projection = query.projection(&schemas, E::KIND)?;
    let if_match = expected::<E>(&app, &who.caller, &id, &headers).await?;
    let command = Command::Replace { kind: E::KIND, id, body: body.0, if_match };
    let stored = write(&app, &who.caller, command, if_match.is_some()).await?;
    let view = View { app: &app, who: &who, schemas: &schemas, projection: &projection };
    Ok(answer(StatusCode::OK, &stored, &view.one(&stored, Excess::LeaveOut).await?))
}

/// PATCH (RFC 7644 §3.5.2): of a user with the user as the answer; of a group without one unless `attributes` asks for
/// it, because clients that add one member don't want to be sent them all (Entra ID).
///
/// # Errors
/// As [`provisioning::apply`].
pub async fn patch<E: Endpoint>(
    who: ScimCaller,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    query: ScimQuery,
    headers: HeaderMap,
    body: ScimBody,
) -> Result<Response> {
    let (schemas, id) = (schemas(&app, &who.caller.tenant).await?, ResourceId(id));
    let projection = query.projection(&schemas, E::KIND)?;
    let if_match = expected::<E>(&app, &who.caller, &id, &headers).await?;
    let command = Command::Patch { kind: E::KIND, id, body: body.0, if_match };
    let stored = write(&app, &who.caller, command, if_match.is_some()).await?;
    if E::KIND == ResourceKind::Group && query.get("attributes").is_none() {
        return Ok((StatusCode::NO_CONTENT, [(ETAG, version::etag(stored.version))]).into_response());
    }
    let view = View { app: &app, who: &who, schemas: &schemas, projection: &projection };
    Ok(answer(StatusCode::OK, &stored, &view.one(&stored, Excess::LeaveOut).await?))
}

/// DELETE (RFC 7644 §3.6).
///
/// # Errors
/// As [`provisioning::apply`].
pub async fn delete<E: Endpoint>(
    who: ScimCaller,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode> {
    let id = ResourceId(id);
    let if_match = expected::<E>(&app, &who.caller, &id, &headers).await?;
    apply(&app, &who.caller, Command::Delete { kind: E::KIND, id, if_match }, if_match.is_some()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The schemas that a connection knows: the standard ones, and those of the tenant's revision.
async fn schemas(app: &Arc<App>, tenant: &TenantId) -> Result<Arc<Schemas>> {
    Ok(tenancy::schemas(&tenancy::active(app, tenant).await?))
}

async fn find<E: Endpoint>(app: &App, caller: &Caller, id: &ResourceId) -> Result<StoredResource> {
    let found = app.store.resource(&caller.tenant, &caller.connection, E::KIND, id).await?;
    found.ok_or_else(|| Error::not_found(&format!("such {}", E::KIND.name().to_lowercase())))
}

/// The version that the request's `If-Match` lets it change. One tag is left to the write itself to compare.
async fn expected<E: Endpoint>(app: &App, caller: &Caller, id: &ResourceId, headers: &HeaderMap) -> Result<Option<i64>> {
    match IfMatch::of(headers) {
        IfMatch::Any => Ok(None),
        IfMatch::One(version) => Ok(Some(version)),
        IfMatch::OneOf(versions) => {
            let current = find::<E>(app, caller, id).await?.version;
            if versions.contains(&current) { Ok(Some(current)) } else { Err(Error::precondition_failed()) }
        }
    }
}

async fn apply(app: &Arc<App>, caller: &Caller, command: Command, conditional: bool) -> Result<Applied> {
    let (ours, who, logged) = (Arc::clone(app), caller.clone(), trail::Logged::of(&command));
    let write = frame::to_the_end(async move {
        let result = provisioning::apply(&ours, &who, command).await.map_err(|failure| Error::of_write(failure, conditional));
        logged.write(&ours, &who, &result);
        result
    });
    let applied = write.await??;
    applied.quirks.iter().for_each(|quirk| app.metrics.quirk(quirk.word()));
    Ok(applied)
}

async fn write(app: &Arc<App>, caller: &Caller, command: Command, conditional: bool) -> Result<StoredResource> {
    let applied = apply(app, caller, command, conditional).await?;
    applied.resource.ok_or_else(|| Error::internal("a write that is no DELETE left no resource"))
}

fn answer(status: StatusCode, stored: &StoredResource, resource: &Map<String, Value>) -> Response {
    ([(ETAG, version::etag(stored.version))], scim(status, resource)).into_response()
}

fn scim(status: StatusCode, body: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON))], bytes).into_response(),
        Err(error) => Error::internal(error).into_response(),
    }
}
