//! Who may call: every handler's first argument is a guard, and the route table takes each route's access from it, so
//! that what is documented, what tests walk and what is enforced can't differ.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, OptionalFromRequestParts};
use axum::http::Method;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use rolecall_scim::Quirk;

use super::error::Error;
use super::frame::{RequestId, scim_media_type};
use super::query::is_dangling;
use super::trail::Whose;
use super::urls::Urls;
use crate::app::App;
use crate::auth::{self, ApiPrincipal};
use crate::journal::Trail;
use crate::model::{Actor, AdminAction, TenantId, quoted};
use crate::provisioning::Caller;
use crate::store::Tenant;
use crate::tenancy::admin::{self, Asked};
use zeroize::Zeroizing;

/// On the requests to a route of the API that takes no query parameters: the guards refuse any, so that no handler forgets to. A misspelt
/// or misplaced one must never be passed over.
#[derive(Clone, Copy)]
pub(super) struct NoQuery {
    /// Whether the route takes a body with fields.
    pub(super) has_body: bool,
}

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// A token of the connection in the path.
    Connection,
    /// The id and secret of the OAuth client of the connection in the path.
    Client,
    /// Any API token.
    Api,
    /// An API token of the tenant in the path or of the platform.
    TenantRead,
    /// The same, with the right to write.
    TenantWrite,
    /// An API token of the platform, with the right to write.
    PlatformWrite,
    /// A session of the workspace; what it may do there is asked of admin policies.
    Session,
}

impl Access {
    /// What is needed, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Public => "nobody in particular",
            Self::Connection => "a token of the connection",
            Self::Client => "the client of the connection, with its secret",
            Self::Api => "any API token",
            Self::TenantRead => "an API token of the tenant or of the platform",
            Self::TenantWrite => "an API token of the tenant or of the platform, with `write` or an admin role: see admin policies",
            Self::PlatformWrite => "an API token of the platform, with `write`",
            Self::Session => "somebody who is signed in to the workspace",
        }
    }
}

/// An extractor that lets a caller pass or not.
pub trait Guard {
    /// What it asks.
    const ACCESS: Access;
}

/// The arguments of a handler that begins with a guard, as axum's `Handler` names them.
pub trait Guarded {
    /// What the guard asks.
    const ACCESS: Access;
}

macro_rules! guarded {
    ($($argument:ident),*) => {
        impl<M, G: Guard, $($argument),*> Guarded for (M, G, $($argument),*) {
            const ACCESS: Access = G::ACCESS;
        }
    };
}
guarded!();
guarded!(A);
guarded!(A, B);
guarded!(A, B, C);
guarded!(A, B, C, D);
guarded!(A, B, C, D, E);

/// Everybody.
pub struct Anyone;

impl Guard for Anyone {
    const ACCESS: Access = Access::Public;
}

impl FromRequestParts<Arc<App>> for Anyone {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Error> {
        no_unknown_parameters(parts)?;
        Ok(Self)
    }
}

/// An identity provider, on its connection.
pub struct ScimCaller {
    /// Who writes.
    pub caller: Caller,
    /// The connection's base URL.
    pub base: String,
}

impl Guard for ScimCaller {
    const ACCESS: Access = Access::Connection;
}

impl FromRequestParts<Arc<App>> for ScimCaller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let path = segment(parts, "connection").ok_or_else(Error::unauthorized)?;
        let known = auth::connection(app, path, presented(parts)).await?;
        let urls = Urls::from_request_parts(parts, app).await?;
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        let base = urls.scim(&known.connection);
        let trail = Arc::new(Trail::default());
        if parts.uri.query().is_some_and(is_dangling) {
            trail.see(&[Quirk::DanglingQuery]);
        }
        if let Some(whose) = parts.extensions.get::<Arc<Whose>>() {
            whose.is(&known.tenant, &known.connection, &trail);
        }
        // Whoever leaves has left: an answer without a body suits every `Accept`.
        if parts.method != Method::DELETE && scim_media_type(&parts.headers).is_none() {
            return Err(Error::not_acceptable());
        }
        let caller = Caller { tenant: known.tenant, connection: known.connection, state: known.state, request_id, trail, instead: None };
        Ok(Self { caller, base })
    }
}

/// The OAuth client of a connection, by what its `Authorization` header says; what it sends in the body is the handler's to read.
pub struct ScimClient {
    /// The connection, as in the path.
    pub path: String,
    /// Id and secret; an `Err` for a header that is none of HTTP Basic.
    pub basic: Option<Result<(String, Zeroizing<String>), ()>>,
}

impl Guard for ScimClient {
    const ACCESS: Access = Access::Client;
}

impl FromRequestParts<Arc<App>> for ScimClient {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Error> {
        let path = segment(parts, "connection").ok_or_else(Error::invalid_client)?.to_owned();
        let basic = parts.headers.get(AUTHORIZATION).map(|value| value.to_str().ok().and_then(auth::basic).ok_or(()));
        Ok(Self { path, basic })
    }
}

/// The bearer of any API token.
pub struct ApiCaller(pub ApiPrincipal);

impl Guard for ApiCaller {
    const ACCESS: Access = Access::Api;
}

impl FromRequestParts<Arc<App>> for ApiCaller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        Ok(Self(principal_of(parts, app).await?))
    }
}

/// Somebody who may read the tenant in the path.
pub struct TenantReader {
    /// The tenant.
    pub tenant: Tenant,
}

impl Guard for TenantReader {
    const ACCESS: Access = Access::TenantRead;
}

impl FromRequestParts<Arc<App>> for TenantReader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let (_, tenant) = tenant_of(parts, app).await?;
        Ok(Self { tenant })
    }
}

/// An action that a route stands for.
pub trait Stands {
    /// It.
    const ACTION: AdminAction;
}

macro_rules! actions {
    ($($name:ident),+ $(,)?) => {
        $(
            #[doc = concat!("[`AdminAction::", stringify!($name), "`].")]
            pub struct $name;

            impl Stands for $name {
                const ACTION: AdminAction = AdminAction::$name;
            }
        )+
    };
}
actions!(
    AuthorRevisions,
    TryRevisions,
    ManagePlugins,
    ConfirmHandles,
    ManageReviews,
    ManageConnections,
    ManageCredentials,
    ManageTargets,
    ManageLeaves,
    EraseAccounts,
    ManageTenant,
);

/// Somebody who may change the tenant in the path: the admin policies are asked whether they may do what the route stands for.
pub struct TenantWriter<A = ManageTenant> {
    /// The tenant.
    pub tenant: Tenant,
    /// Who it is, for events.
    pub actor: Actor,
    /// What the token stands for.
    pub principal: ApiPrincipal,
    action: PhantomData<A>,
}

impl<A> Guard for TenantWriter<A> {
    const ACCESS: Access = Access::TenantWrite;
}

impl<A: Stands + Send> FromRequestParts<Arc<App>> for TenantWriter<A> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let (principal, tenant) = decider(parts, app).await?;
        admin::ask(app, &tenant.id, &principal, A::ACTION, Asked::Tenant).await?;
        Ok(Self { tenant, actor: principal.actor(), principal, action: PhantomData })
    }
}

/// Somebody who may perhaps decide what the request is about: whoever decides it asks the admin policies.
pub struct TenantDecider {
    /// The tenant.
    pub tenant: Tenant,
    /// What the token stands for.
    pub principal: ApiPrincipal,
}

impl Guard for TenantDecider {
    const ACCESS: Access = Access::TenantWrite;
}

impl FromRequestParts<Arc<App>> for TenantDecider {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let (principal, tenant) = decider(parts, app).await?;
        Ok(Self { tenant, principal })
    }
}

async fn decider(parts: &Parts, app: &Arc<App>) -> Result<(ApiPrincipal, Tenant), Error> {
    let (principal, tenant) = tenant_of(parts, app).await?;
    if !principal.may_decide() {
        return Err(Error::forbidden("this token may read only: use one with `write`, or with an admin role"));
    }
    Ok((principal, tenant))
}

/// Somebody who may change the platform.
pub struct PlatformWriter {
    /// Who it is, for events.
    pub actor: Actor,
}

impl Guard for PlatformWriter {
    const ACCESS: Access = Access::PlatformWrite;
}

impl FromRequestParts<Arc<App>> for PlatformWriter {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let principal = principal_of(parts, app).await?;
        if !principal.is_operator() {
            return Err(Error::forbidden("this needs a token of the platform with `write`"));
        }
        Ok(Self { actor: principal.actor() })
    }
}

/// An operator of the platform who changes the tenant in the path: what the tenant's own tokens must not.
pub struct TenantOperator {
    /// The tenant.
    pub tenant: Tenant,
    /// Who it is, for events.
    pub actor: Actor,
}

impl Guard for TenantOperator {
    const ACCESS: Access = Access::PlatformWrite;
}

impl FromRequestParts<Arc<App>> for TenantOperator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        // Said before anything is looked at: what the answer is says nothing of which tenants there are.
        let operator = PlatformWriter::from_request_parts(parts, app).await?;
        let (_, tenant) = tenant_of(parts, app).await?;
        Ok(Self { tenant, actor: operator.actor })
    }
}

/// An operator who may read the whole platform. Optional: `None` for a request without a token.
pub struct PlatformReader;

impl OptionalFromRequestParts<Arc<App>> for PlatformReader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, Error> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        let principal = auth::api(app, bearer(parts)).await?;
        match principal.scope.tenant {
            None => Ok(Some(Self)),
            Some(_) => Err(Error::forbidden("this needs a token of the platform, or none")),
        }
    }
}

/// The bearer of an API token, on a route that knows every parameter of the request's.
async fn principal_of(parts: &Parts, app: &App) -> Result<ApiPrincipal, Error> {
    let principal = auth::api(app, bearer(parts)).await?;
    no_unknown_parameters(parts)?;
    Ok(principal)
}

/// Refuses the first query parameter where the route takes none. Where it takes some, [`super::query::ApiQuery`] knows which.
fn no_unknown_parameters(parts: &Parts) -> Result<(), Error> {
    let Some(NoQuery { has_body }) = parts.extensions.get::<NoQuery>() else { return Ok(()) };
    let Some((name, _)) = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).next() else { return Ok(()) };
    let instead = if *has_body { ": send them in the body" } else { "" };
    let detail = format!("the query string: unknown field `{}`: this route takes no query parameters{instead}", quoted(&name));
    Err(Error::bad_request(detail, "an unknown query parameter"))
}

/// The tenant in the path, if the caller may know of it: else exactly what a tenant that does not exist gives.
async fn tenant_of(parts: &Parts, app: &Arc<App>) -> Result<(ApiPrincipal, Tenant), Error> {
    let principal = principal_of(parts, app).await?;
    let missing = || Error::not_found("such tenant");
    let id = segment(parts, "tenant").map(TenantId::from).ok_or_else(missing)?;
    if principal.scope.tenant.as_ref().is_some_and(|own| *own != id) {
        return Err(missing());
    }
    let tenant = app.store.tenant(&id).await?.ok_or_else(missing)?;
    app.revisions.heard(&tenant.id, &Some(tenant.active_revision.clone()));
    Ok((principal, tenant))
}

fn presented(parts: &Parts) -> auth::Presented<'_> {
    match bearer(parts) {
        Some(token) => auth::Presented::Token(token),
        None if parts.headers.contains_key(AUTHORIZATION) => auth::Presented::OtherScheme,
        None => auth::Presented::Missing,
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(auth::bearer)
}

/// A part of the path as it was sent, by its name in the route. Not through axum's `Path`, which gives nothing at all when
/// any part of the path is not UTF-8: who may ask is decided before that is looked at. Ids of tenants and connections need no
/// escapes, so that an escaped one is simply unknown.
pub(super) fn segment<'p>(parts: &'p Parts, name: &str) -> Option<&'p str> {
    segment_of(parts.extensions.get::<MatchedPath>()?.as_str(), parts.uri.path(), name)
}

/// The same of a path that a route has matched.
pub(super) fn segment_of<'p>(route: &str, path: &'p str, name: &str) -> Option<&'p str> {
    let is_named = |part: &str| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) == Some(name);
    route.split('/').zip(path.split('/')).find(|(part, _)| is_named(part)).map(|(_, text)| text)
}
