//! Who is signed in to the workspace: sessions, and the links that begin them. How one signs in with an OpenID provider is `sign_in`'s.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::TenancyError;
use super::admin::check_roles;
use crate::app::App;
use crate::crypto;
use crate::model::{Actor, ConnectionId, Instant, LinkPurpose, TenantId};
use crate::rate::TooMany;
use crate::store::{ApiPrincipal, ApiScope, Link, Session, SessionQuery, StoreError};

/// How long a session lasts without being used, in seconds: two hours, a long meeting.
pub const IDLE_SECONDS: i64 = 2 * 3_600;
/// How long a session lasts at most, in seconds: a working day.
pub const SESSION_SECONDS: i64 = 12 * 3_600;
/// How long a link that begins a session is good unless said, in seconds.
pub const SIGN_IN_LINK_SECONDS: i64 = 15 * 60;
/// How long the link to a connection's set-up is good unless said, in seconds: whoever it is for may be on holiday.
pub const SETUP_LINK_SECONDS: i64 = 7 * 86_400;
/// The longest life of a link, in seconds.
pub const LINK_SECONDS_LIMIT: i64 = 30 * 86_400;
/// The most sessions that are listed.
pub const SESSIONS_LIMIT: i64 = 500;
/// What wrong links are counted as: no path of a connection has that name.
const LINKS: &str = "links to sessions";
/// How old the noted last use of a session may become before it is noted again, in seconds.
const NOTE_USE_SECONDS: i64 = 60;
/// The longest secret that is looked up, in bytes: ours have 46.
const SECRET_BYTES_LIMIT: usize = 128;
/// The longest name of a person, in characters.
const NAME_CHARS_LIMIT: usize = 200;
/// How a session came about that a link began.
pub const VIA_LINK: &str = "link";

/// How somebody is signed in.
#[derive(Clone, Copy, Debug)]
pub enum Via<'a> {
    /// With a link, by its id.
    Link(&'a str),
    /// With an OpenID provider, by its id.
    Provider(&'a str),
}

/// What the ids of sessions begin with: they stand in events where nobody is named.
const SESSION_ID_PREFIX: &str = "session-";

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The session.
    pub session: Session,
    /// What forms of this page carry, so that no other site can send them: another text for each page, so that its length among others, once they
    /// are compressed, tells nothing.
    pub form_token: String,
    form_key: String,
}

impl Visitor {
    fn new(app: &App, session: Session, secret: &str) -> Self {
        let form_key = app.keyring.token_hash(&format!("form {secret}"));
        let page = crypto::random_id();
        let form_token = format!("{page}.{}", app.keyring.token_hash(&format!("{form_key} {page}")));
        Self { session, form_token, form_key }
    }

    /// What a form has to carry, to be compared by [`is_of`].
    #[must_use]
    pub fn form_key(&self) -> &str {
        &self.form_key
    }
}

/// Whether a form's token is of a page of the session.
#[must_use]
pub fn is_of(app: &App, form_key: &str, token: &str) -> bool {
    let Some((page, tag)) = token.split_once('.') else { return false };
    crypto::same(&app.keyring.token_hash(&format!("{form_key} {page}")), tag)
}

impl Visitor {
    /// What is asked about them where something is decided.
    #[must_use]
    pub fn principal(&self) -> ApiPrincipal {
        ApiPrincipal { token_id: self.session.id.clone(), scope: self.session.scope.clone() }
    }
}

/// A link that was just made: shown this once.
pub struct IssuedLink {
    /// An id to name it by.
    pub id: String,
    /// The secret, `rl_…`.
    pub token: Zeroizing<String>,
    /// When it ends.
    pub expires: Instant,
}

/// Begins a session. Gives the secret that the browser keeps.
///
/// # Errors
/// `Refused` for admin roles that there can't be; the store's.
pub async fn begin(app: &Arc<App>, scope: ApiScope, name: &str, via: Via<'_>) -> Result<Zeroizing<String>, TenancyError> {
    check_roles(&scope)?;
    let (via, link) = match via {
        Via::Link(id) => (VIA_LINK, Some(id)),
        Via::Provider(id) => (id, None),
    };
    let (now, secret) = (app.clock.now(), crypto::new_token(crypto::SESSION_PREFIX));
    let session = Session {
        id: format!("{SESSION_ID_PREFIX}{}", crypto::random_id()),
        hash: app.keyring.token_hash(&secret),
        scope,
        name: name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_LIMIT).collect(),
        via: via.to_owned(),
        created: now,
        last_used: now,
        expires: now.plus_seconds(SESSION_SECONDS),
    };
    app.store.begin_session(&session, link).await?;
    tracing::info!(session = session.id, tenant = session.scope.tenant.as_ref().map(TenantId::as_str), "a session of the workspace began");
    Ok(secret)
}

/// Who a session's secret stands for; `None` when it is none, has been idle for too long or has ended.
///
/// # Errors
/// The store's.
pub async fn visitor(app: &Arc<App>, secret: &str) -> Result<Option<Visitor>, StoreError> {
    if !secret.starts_with(crypto::SESSION_PREFIX) || secret.len() > SECRET_BYTES_LIMIT {
        return Ok(None);
    }
    let (hash, now) = (app.keyring.token_hash(secret), app.clock.now());
    let found = app.store.find_session(&hash).await?;
    let lives = |session: &Session| {
        crypto::same(&session.hash, &hash) && now < session.expires && now < session.last_used.plus_seconds(IDLE_SECONDS)
    };
    let Some(session) = found.filter(lives) else { return Ok(None) };
    if now >= session.last_used.plus_seconds(NOTE_USE_SECONDS) {
        app.store.note_session(&session.id, now).await?;
    }
    Ok(Some(Visitor::new(app, session, secret)))
}

/// Ends a session: with the next request nobody is behind it.
///
/// # Errors
/// `Missing` where the tenant (`None`: the platform) has none of that id.
pub async fn end(app: &App, tenant: Option<&TenantId>, id: &str, who: &Actor) -> Result<(), StoreError> {
    app.store.end_session(tenant, id, who, app.clock.now()).await?;
    tracing::info!(session = id, tenant = tenant.map(TenantId::as_str), "a session of the workspace was ended");
    Ok(())
}

/// The sessions of a tenant (`None`: of the platform) that live.
///
/// # Errors
/// The store's.
pub async fn sessions(app: &App, tenant: Option<&TenantId>) -> Result<Vec<Session>, StoreError> {
    let now = app.clock.now();
    let query = SessionQuery { tenant: tenant.map(TenantId::as_str), limit: SESSIONS_LIMIT };
    let mut sessions = app.store.sessions(query, now).await?;
    sessions.retain(|session| now < session.last_used.plus_seconds(IDLE_SECONDS));
    Ok(sessions)
}

/// Makes a link that begins one session.
///
/// # Errors
/// `Refused` for admin roles that there can't be, or a life out of range; the store's.
pub async fn sign_in_link(
    app: &Arc<App>,
    scope: ApiScope,
    name: &str,
    seconds: Option<i64>,
    who: &Actor,
) -> Result<IssuedLink, TenancyError> {
    check_roles(&scope)?;
    issue(app, (LinkPurpose::SignIn, scope, None), name, seconds.unwrap_or(SIGN_IN_LINK_SECONDS), who).await
}

/// The link that a start prints: good for everything.
///
/// # Errors
/// The store's.
pub async fn first_link(app: &Arc<App>, seconds: Option<i64>) -> Result<IssuedLink, TenancyError> {
    let scope = ApiScope { write: true, ..ApiScope::default() };
    sign_in_link(app, scope, "operator", seconds, &super::starting()).await
}

/// Makes a link to the set-up of a connection. Earlier ones of that connection end.
///
/// # Errors
/// `Refused` for a life out of range; the store's.
pub async fn setup_link(
    app: &Arc<App>,
    tenant: &TenantId,
    connection: &ConnectionId,
    name: &str,
    seconds: Option<i64>,
    who: &Actor,
) -> Result<IssuedLink, TenancyError> {
    app.store.end_links(tenant, connection, who, app.clock.now()).await?;
    let scope = ApiScope { tenant: Some(tenant.clone()), ..ApiScope::default() };
    issue(app, (LinkPurpose::Setup, scope, Some(connection.clone())), name, seconds.unwrap_or(SETUP_LINK_SECONDS), who).await
}

async fn issue(
    app: &Arc<App>,
    (purpose, scope, connection): (LinkPurpose, ApiScope, Option<ConnectionId>),
    name: &str,
    seconds: i64,
    who: &Actor,
) -> Result<IssuedLink, TenancyError> {
    if !(1..=LINK_SECONDS_LIMIT).contains(&seconds) {
        return Err(TenancyError::Refused(format!("a link lasts from 1 to {LINK_SECONDS_LIMIT} seconds")));
    }
    let (now, token) = (app.clock.now(), crypto::new_token(crypto::LINK_PREFIX));
    let link = Link {
        id: crypto::random_id(),
        hash: app.keyring.token_hash(&token),
        purpose,
        scope,
        connection,
        name: name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_LIMIT).collect(),
        created: now,
        expires: now.plus_seconds(seconds),
    };
    app.store.put_link(&link, who).await?;
    Ok(IssuedLink { id: link.id, token, expires: link.expires })
}

/// What became of a link that was followed.
pub enum Followed {
    /// The session has begun.
    Begun {
        /// Its secret.
        secret: Zeroizing<String>,
        /// What it may do.
        scope: ApiScope,
    },
    /// The link is not good, for whichever reason.
    NotGood,
    /// Links that are not good were tried too often.
    TooMany(TooMany),
}

/// Begins the session that a link is for. A link is good once.
///
/// # Errors
/// The store's.
pub async fn follow(app: &Arc<App>, token: &str) -> Result<Followed, TenancyError> {
    if let Some(hash) = hash_of(app, token)
        // Looked at first: a link to a set-up, which stays good, must not be taken out here.
        && app.store.find_link(&hash).await?.is_some_and(|link| link.purpose == LinkPurpose::SignIn)
        && let Some(link) = app.store.take_link(&hash).await?
        && crypto::same(&link.hash, &hash)
        && app.clock.now() < link.expires
    {
        let secret = begin(app, link.scope.clone(), &link.name, Via::Link(&link.id)).await?;
        return Ok(Followed::Begun { secret, scope: link.scope });
    }
    Ok(app.guesses.take(LINKS, app.clock.now()).map_or_else(Followed::TooMany, |()| Followed::NotGood))
}

/// The connection whose set-up a link shows; `None` for a link that is not good.
///
/// # Errors
/// The store's.
pub async fn setup_of(app: &App, token: &str) -> Result<Option<(TenantId, ConnectionId, Link)>, StoreError> {
    let Some(hash) = hash_of(app, token) else { return Ok(None) };
    let found = app.store.find_link(&hash).await?;
    let good = found.filter(|link| link.purpose == LinkPurpose::Setup && crypto::same(&link.hash, &hash) && app.clock.now() < link.expires);
    Ok(good.and_then(|link| Some((link.scope.tenant.clone()?, link.connection.clone()?, link))))
}

fn hash_of(app: &App, token: &str) -> Option<String> {
    let well_formed = token.starts_with(crypto::LINK_PREFIX) && token.len() <= SECRET_BYTES_LIMIT;
    well_formed.then(|| app.keyring.token_hash(token))
}
