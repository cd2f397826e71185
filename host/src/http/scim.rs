//! SCIM's endpoints (RFC 7644 §3): from a request to a command or a read, and from what came of it to an answer.

pub mod bulk;
pub mod discovery;
pub mod listing;
pub mod version;
pub mod view;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use rolecall_scim::ResourceKind;
use rolecall_scim::content::{Prefer, Returns};
use rolecall_scim::patch::Done;
use rolecall_scim::projection::Projection;
use rolecall_scim::schema::Schemas;

use super::body::ScimBody;
use super::error::{Error, Result};
use super::frame;
use super::guards::ScimCaller;
use super::query::{At, ScimQuery};
use super::trail;
use super::urls;
use crate::app::App;
use crate::model::{ResourceId, TenantId};
use crate::provisioning::{self, Applied, Caller, Command};
use crate::store::{StoredResource, UserGroup};
use crate::tenancy;
use version::IfMatch;
use view::View;

pub use rolecall_scim::content::SCIM_JSON;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

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
    let written = write(&app, &who.caller, Command::Create { kind: E::KIND, body: body.0 }, false).await?;
    let view = written.view(&app, &who, &schemas, projection);
    let location = urls::resource(&who.base, E::KIND, written.stored.id.as_str());
    // Nobody can have put it into a group yet.
    let groups = (E::KIND == ResourceKind::User).then(Vec::new);
    let answer = view.shown(StatusCode::CREATED, &written.stored, groups).await?;
    Ok(([(LOCATION, location)], answer).into_response())
}

/// GET of one resource (RFC 7644 §3.4.1). A group with many members is sent as they are read.
///
/// # Errors
/// 404; 412 where `If-Match` names another version.
pub async fn read<E: Endpoint>(
    who: ScimCaller,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    query: ScimQuery,
    headers: HeaderMap,
) -> Result<Response> {
    let schemas = schemas(&app, &who.caller.tenant).await?;
    let projection = query.projection(&schemas, E::KIND)?;
    let (id, caller) = (ResourceId(id), &who.caller);
    let (stored, groups) = if E::KIND == ResourceKind::User && projection.wants("groups") {
        let found = app.store.user(&caller.tenant, &caller.connection, &id).await?;
        found.map(|(user, groups)| (user, Some(groups))).ok_or_else(|| not_found(E::KIND))?
    } else {
        (find(&app, caller, E::KIND, &id).await?, None)
    };
    if !version::if_match(&headers).allows(stored.version) {
        return Err(Error::precondition_failed());
    }
    let view = View { app: &app, who: &who, schemas: &schemas, projection: &projection };
    if version::not_modified(&headers, stored.version) {
        return Ok((StatusCode::NOT_MODIFIED, view.validators(&stored)).into_response());
    }
    view.answer(StatusCode::OK, &stored, groups).await
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
    let if_match = conditions(&app, &who.caller, E::KIND, &id, &headers).await?;
    let command = Command::Replace { kind: E::KIND, id, body: body.0, if_match };
    let written = write(&app, &who.caller, command, if_match.is_some()).await?;
    written.view(&app, &who, &schemas, projection).shown(StatusCode::OK, &written.stored, None).await
}

/// PATCH (RFC 7644 §3.5.2): the answer is the resource; of a group that has members there is none unless `attributes` asks for
/// it, because clients that add one member don't want to be sent them all (Entra ID). `Prefer: return=…` says otherwise.
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
    let if_match = conditions(&app, &who.caller, E::KIND, &id, &headers).await?;
    let command = Command::Patch { kind: E::KIND, id, body: body.0, if_match };
    let written = write(&app, &who.caller, command, if_match.is_some()).await?;
    // RFC 7644 §3.5.2: `attributes` calls for a body, whatever else is preferred.
    let asked = query.get("attributes").is_some();
    let preferred = Prefer::parse(headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok())).returns.filter(|_| !asked);
    let shows = match preferred {
        _ if asked => true,
        Some(returns) => returns == Returns::Representation,
        None => !has_members(&app, &who.caller, &written.stored).await?,
    };
    let mut answer = if shows {
        written.view(&app, &who, &schemas, projection).shown(StatusCode::OK, &written.stored, None).await?
    } else {
        (StatusCode::NO_CONTENT, [(ETAG, version::etag(written.stored.version))]).into_response()
    };
    if let Some(returns) = preferred {
        answer.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static(returns.applied()));
    }
    Ok(answer)
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
    let if_match = conditions(&app, &who.caller, E::KIND, &id, &headers).await?;
    apply(&app, &who.caller, Command::Delete { kind: E::KIND, id, if_match }, if_match.is_some()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `/Me` by any method (RFC 7644 §3.11). A connection's token stands for an identity provider and for no person, so that there
/// is nobody for it to be an alias of. Credentials that stand for a person are to be told apart here.
///
/// # Errors
/// 501, always.
pub async fn me(_: ScimCaller) -> Result<Response> {
    Err(Error::not_implemented(
        "`/Me` is for tokens that stand for a user, and a connection's token stands for an identity provider: use /Users",
    ))
}

/// The schemas that a connection knows: the standard ones, and those of the tenant's revision.
async fn schemas(app: &Arc<App>, tenant: &TenantId) -> Result<Arc<Schemas>> {
    Ok(tenancy::schemas(&tenancy::active(app, tenant).await?))
}

async fn find(app: &App, caller: &Caller, kind: ResourceKind, id: &ResourceId) -> Result<StoredResource> {
    let found = app.store.resource(&caller.tenant, &caller.connection, kind, id).await?;
    found.ok_or_else(|| not_found(kind))
}

fn not_found(kind: ResourceKind) -> Error {
    Error::not_found(&format!("such {}", kind.name().to_lowercase()))
}

/// Whether it is a group that has somebody in it.
async fn has_members(app: &App, caller: &Caller, stored: &StoredResource) -> Result<bool> {
    if stored.kind == ResourceKind::User {
        return Ok(false);
    }
    let found = app.store.members(&caller.tenant, &caller.connection, std::slice::from_ref(&stored.id), 1).await?;
    Ok(found.values().any(|members| !members.is_empty()))
}

/// The version that the request's headers let it change.
async fn conditions(app: &App, caller: &Caller, kind: ResourceKind, id: &ResourceId, headers: &HeaderMap) -> Result<Option<i64>> {
    if version::has_none_match(headers) && version::not_modified(headers, find(app, caller, kind, id).await?.version) {
        // RFC 9110 §13.1.2: only a reader is told that nothing has changed.
        return Err(Error::excluded_version());
    }
    expected(app, caller, kind, id, version::if_match(headers)).await
}

/// The version that a condition lets a write change. One tag is left to the write itself to compare.
async fn expected(app: &App, caller: &Caller, kind: ResourceKind, id: &ResourceId, condition: IfMatch) -> Result<Option<i64>> {
    match condition {
        IfMatch::Any => Ok(None),
        IfMatch::One(version) => Ok(Some(version)),
        IfMatch::OneOf(_) => {
            let current = find(app, caller, kind, id).await?.version;
            if condition.allows(current) { Ok(Some(current)) } else { Err(Error::precondition_failed()) }
        }
    }
}

async fn apply(app: &Arc<App>, caller: &Caller, command: Command, conditional: bool) -> Result<Applied> {
    let (ours, who, logged) = (Arc::clone(app), caller.clone(), trail::Logged::of(app, &command));
    let write = frame::to_the_end(async move {
        let result = provisioning::apply(&ours, &who, command).await.map_err(|failure| Error::of_write(failure, conditional));
        logged.write(&ours, &who, &result);
        result
    });
    let applied = write.await??;
    applied.quirks.iter().for_each(|quirk| app.metrics.quirk(quirk.word()));
    let no_op = applied.operations.iter().filter(|done| **done == Done::NoOp).count();
    tracing::info!(applied = applied.operations.len() - no_op, no_op, "the write was carried out");
    Ok(applied)
}

/// A write that left a resource.
struct Written {
    stored: StoredResource,
    changed: Vec<String>,
}

async fn write(app: &Arc<App>, caller: &Caller, command: Command, conditional: bool) -> Result<Written> {
    let Applied { resource, changed, .. } = apply(app, caller, command, conditional).await?;
    let stored = resource.ok_or_else(|| Error::internal("a write that is no DELETE left no resource"))?;
    Ok(Written { stored, changed })
}

impl Written {
    /// What the client wants to see of it: also what is shown on request only, where it has just been written.
    fn view<'a>(&self, app: &'a Arc<App>, who: &'a ScimCaller, schemas: &'a Arc<Schemas>, projection: Projection) -> Shown<'a> {
        let projection = projection.with_written(schemas, self.stored.kind, self.changed.iter().map(String::as_str));
        Shown { app, who, schemas, projection }
    }
}

/// A view with its own projection.
struct Shown<'a> {
    app: &'a Arc<App>,
    who: &'a ScimCaller,
    schemas: &'a Arc<Schemas>,
    projection: Projection,
}

impl Shown<'_> {
    async fn shown(&self, status: StatusCode, stored: &StoredResource, groups: Option<Vec<UserGroup>>) -> Result<Response> {
        View { app: self.app, who: self.who, schemas: self.schemas, projection: &self.projection }.answer(status, stored, groups).await
    }
}

fn scim(status: StatusCode, body: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => of_scim(status, bytes.into()),
        Err(error) => Error::internal(error).into_response(),
    }
}

fn of_scim(status: StatusCode, body: Body) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static(SCIM_JSON))], body).into_response()
}
