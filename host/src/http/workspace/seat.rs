//! Who asks for a page: somebody with a session, and the tenant in the path where there is one.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{COOKIE, HOST, HeaderName, LOCATION, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;

use super::page::Said;
use super::path;
use crate::app::App;
use crate::http::error::Error;
use crate::http::guards::{Access, Guard, segment};
use crate::http::urls::Urls;
use crate::model::{AdminAction, TenantId};
use crate::policies::admin::About;
use crate::store::{ApiPrincipal, Tenant};
use crate::tenancy::admin::{self, Asked};
use crate::tenancy::visitors::{self, Visitor};
use crate::tenancy::{self, TenancyError};

/// The cookie with a session's secret where the address is one of `https`: no other host may set it, and it is never sent in the open.
const SECURE_COOKIE: &str = "__Host-rolecall";
/// The same on one's own machine, where addresses are of `http`.
const PLAIN_COOKIE: &str = "rolecall";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why somebody does not get a page.
pub enum Turned {
    /// They are not signed in: to where one signs in, and back.
    ToSignIn(Option<String>),
    /// Something else.
    Error(Error),
}

impl From<Error> for Turned {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        match self {
            Self::Error(error) => error.into_response(),
            Self::ToSignIn(next) => {
                let to = path::with("/workspace/sign-in", &[("next", &next.unwrap_or_default())]);
                (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
            }
        }
    }
}

/// Somebody who is signed in.
pub struct Guest {
    /// Their session.
    pub visitor: Visitor,
    /// What was said to them with the page before.
    pub said: Option<Said>,
    /// The path that was asked for.
    pub path: String,
    /// Scheme and authority as the browser sees them.
    pub urls: Urls,
}

/// What tells that a form is of the session: read by [`super::form::Sent`].
#[derive(Clone)]
pub(super) struct FormKey(pub String);

impl Guard for Guest {
    const ACCESS: Access = Access::Session;
}

impl FromRequestParts<Arc<App>> for Guest {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Turned> {
        let urls = Urls::from_request_parts(parts, app).await?;
        let is_read = parts.method == Method::GET || parts.method == Method::HEAD;
        let secret = cookie(&parts.headers, session_cookie(&urls));
        let visitor = match secret {
            Some(secret) => visitors::visitor(app, secret).await.map_err(Error::from)?,
            None => None,
        };
        let here = || parts.uri.path_and_query().map(ToString::to_string);
        let Some(visitor) = visitor else { return Err(Turned::ToSignIn(here().filter(|_| is_read))) };
        if !is_read {
            check_own(&parts.headers, &urls)?;
        }
        parts.extensions.insert(FormKey(visitor.form_key().to_owned()));
        let said = parts.extensions.remove::<Said>().or_else(|| Said::of(&parts.headers));
        Ok(Self { visitor, said, path: parts.uri.path().to_owned(), urls })
    }
}

impl Guest {
    /// What is asked about them where something is decided.
    #[must_use]
    pub fn principal(&self) -> ApiPrincipal {
        self.visitor.principal()
    }
}

/// Somebody who is signed in, at the tenant in the path.
pub struct Seat {
    /// The tenant.
    pub tenant: Tenant,
    /// Who it is.
    pub guest: Guest,
}

impl Guard for Seat {
    const ACCESS: Access = Access::Session;
}

impl FromRequestParts<Arc<App>> for Seat {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Turned> {
        let guest = Guest::from_request_parts(parts, app).await?;
        let missing = || Error::not_found("such tenant, or you are signed in to another one");
        let id = segment(parts, "tenant").map(TenantId::from).ok_or_else(missing)?;
        if guest.visitor.session.scope.tenant.as_ref().is_some_and(|own| *own != id) {
            return Err(missing().into());
        }
        let tenant = app.store.tenant(&id).await.map_err(Error::from)?.ok_or_else(missing)?;
        app.revisions.heard(&tenant.id, &Some(tenant.active_revision.clone()));
        Ok(Self { tenant, guest })
    }
}

impl Seat {
    /// What is asked about them where something is decided.
    #[must_use]
    pub fn principal(&self) -> ApiPrincipal {
        self.guest.principal()
    }

    /// The address of a page of the tenant: `at("people")`.
    #[must_use]
    pub fn at(&self, rest: &str) -> String {
        let slash = if rest.is_empty() { "" } else { "/" };
        format!("/workspace/t/{}{slash}{rest}", self.tenant.id)
    }

    /// The time zone in which days in the tenant's forms are meant: UTC unless its revision names one.
    ///
    /// # Errors
    /// The store's.
    pub async fn zone(&self, app: &Arc<App>) -> Result<TimeZone, Error> {
        let revision = tenancy::active_revision(app, &self.tenant.id).await?;
        let named = revision.and_then(|revision| TimeZone::get(revision.processes.time_zone.as_deref()?).ok());
        Ok(named.unwrap_or(TimeZone::UTC))
    }

    /// Fails unless they may do that in the tenant.
    ///
    /// # Errors
    /// 403 with what would be needed.
    pub async fn ask(&self, app: &Arc<App>, action: AdminAction) -> Result<(), Error> {
        let principal = self.principal();
        if !principal.may_decide() {
            return Err(Error::forbidden("you may read everything here and change nothing"));
        }
        Ok(admin::ask(app, &self.tenant.id, &principal, action, Asked::Tenant).await?)
    }

    /// Whether they may do that about one thing, or about one of several: what a page offers them.
    ///
    /// # Errors
    /// The store's.
    pub async fn may(&self, app: &Arc<App>, action: AdminAction, about: &[Asked<'_>]) -> Result<bool, Error> {
        let principal = self.principal();
        for asked in about {
            if self.is_let(app, &principal, action, *asked).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the admin policies let them: a no is an answer here.
    async fn is_let(&self, app: &Arc<App>, principal: &ApiPrincipal, action: AdminAction, about: Asked<'_>) -> Result<bool, Error> {
        if !principal.may_decide() {
            return Ok(false);
        }
        match admin::ask(app, &self.tenant.id, principal, action, about).await {
            Ok(()) => Ok(true),
            Err(TenancyError::Forbidden(_)) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    /// All that they may do in the tenant as a whole: what a page offers them.
    ///
    /// # Errors
    /// The store's.
    pub async fn rights(&self, app: &Arc<App>) -> Result<Rights, Error> {
        let mut actions = BTreeSet::new();
        let principal = self.principal();
        for action in AdminAction::ALL.iter().filter(|action| About::of(**action) == About::Tenant) {
            if self.is_let(app, &principal, *action, Asked::Tenant).await? {
                actions.insert(*action);
            }
        }
        Ok(Rights { actions, decides: principal.may_decide() })
    }
}

/// What somebody may do in a tenant.
pub struct Rights {
    actions: BTreeSet<AdminAction>,
    /// Whether they may decide anything at all; about one thing (a role, a hold, a revision) it is asked when they do.
    pub decides: bool,
}

impl Rights {
    /// Whether they may do that in the tenant as a whole.
    #[must_use]
    pub fn may(&self, action: AdminAction) -> bool {
        self.actions.contains(&action)
    }
}

/// The name of the cookie with the session's secret.
pub(super) fn session_cookie(urls: &Urls) -> &'static str {
    if urls.is_secure() { SECURE_COOKIE } else { PLAIN_COOKIE }
}

/// A cookie of a request.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Refuses a form that was not sent by one of our pages, as far as the browser says: what it does not say, the form's token decides.
///
/// # Errors
/// `Forbidden`.
pub(super) fn check_own(headers: &HeaderMap, urls: &Urls) -> Result<(), Error> {
    if is_own(headers, urls) {
        return Ok(());
    }
    Err(Error::forbidden("the form comes from another site: open the page here and send it again"))
}

fn is_own(headers: &HeaderMap, urls: &Urls) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = text(&SEC_FETCH_SITE).is_none_or(|site| site == "same-origin");
    let host = text(&HOST).unwrap_or_default();
    let same = |origin: &str| origin == urls.root() || origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    site && text(&ORIGIN).is_none_or(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1; rolecall_said=x; rolecall=rw_1".parse().unwrap());
        headers.append(COOKIE, "b=2".parse().unwrap());
        assert_eq!(cookie(&headers, "rolecall"), Some("rw_1"));
        assert_eq!(cookie(&headers, "b"), Some("2"));
        assert_eq!(cookie(&headers, "rolecal"), None);
    }
}
