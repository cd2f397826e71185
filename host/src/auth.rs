//! Who a token stands for, and whether it is still good: API tokens, and on a connection its own tokens, access tokens of its
//! OAuth client and JWTs of its issuer.
//!
//! Knows tokens, their keyed hashes and their scopes; knows nothing of HTTP but the form of the
//! `Authorization` header's value. Nothing is cached here: a revoked token ends with the next request.

pub mod client;
mod jwt;
mod trace;

use std::sync::Arc;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::app::App;
use crate::crypto;
use crate::crypto::jwt::Token;
use crate::model::{ConnectionId, ConnectionState, Instant, TenantId};
use crate::rate::TooMany;
pub use crate::store::ApiPrincipal;
use crate::store::{ConnectionCredential, CredentialKind, StoreError};

/// The longest token that is looked up, in bytes: ours have 46, and hashing more is work for nothing.
pub const TOKEN_BYTES_LIMIT: usize = 256;
/// The longest access token that is looked at, in bytes: it names a tenant, a connection and a secret.
const ACCESS_TOKEN_BYTES_LIMIT: usize = 512;
/// The longest credentials of HTTP Basic that are looked at, in bytes: ours have about 110.
const BASIC_BYTES_LIMIT: usize = 1_024;
/// The longest connection id that is looked up, in bytes: ours have 32 or 36.
const CONNECTION_ID_BYTES_LIMIT: usize = 64;
/// How old the noted last use of a token may become before it is noted again, in seconds.
const NOTE_USE_SECONDS: i64 = 60;
/// How many uses are being noted at the same time in the process: a burst of first requests needs no more, because
/// each of them would note the same minute.
const NOTES_AT_ONCE: usize = 8;

static NOTES: Semaphore = Semaphore::const_new(NOTES_AT_ONCE);

/// Why nobody was recognised.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// No token, an unknown, ended or foreign one, or an unknown connection: the caller isn't told which.
    #[error("the bearer token is missing or not good here")]
    Unauthorized,
    /// No credential came.
    #[error("the bearer token is missing")]
    Missing,
    /// Too many requests of one connection.
    #[error("too many requests")]
    TooMany(TooMany),
    /// The credential is not good, and too many came that were not.
    #[error("too many wrong credentials")]
    TooManyWrong(TooMany),
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came as a credential.
#[derive(Clone, Copy)]
pub enum Presented<'t> {
    /// Nothing.
    Missing,
    /// Something that is no bearer token.
    OtherScheme,
    /// A bearer token.
    Token(&'t str),
    /// The id and secret of an OAuth client.
    Client {
        /// The id.
        id: &'t str,
        /// The secret.
        secret: &'t str,
    },
}

/// The token in the value of an `Authorization` header; `None` for another scheme or an empty token.
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The id and secret in the value of an `Authorization` header with HTTP Basic, each form-encoded as RFC 6749 §2.3.1 has it;
/// `None` for another scheme or what is malformed.
#[must_use]
pub fn basic(header: &str) -> Option<(String, Zeroizing<String>)> {
    use base64::Engine as _;
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > BASIC_BYTES_LIMIT {
        return None;
    }
    let decoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?);
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((form_decoded(id).to_string(), form_decoded(secret)))
}

/// A text that is form-encoded by itself: what separates the fields of a form stands for itself in it.
fn form_decoded(text: &str) -> Zeroizing<String> {
    let whole = Zeroizing::new(text.replace('&', "%26").replace('=', "%3D"));
    Zeroizing::new(form_urlencoded::parse(whole.as_bytes()).map(|(text, _)| text.into_owned()).collect())
}

/// Whom a good credential of a connection stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The tenant.
    pub tenant: TenantId,
    /// The connection.
    pub connection: ConnectionId,
    /// Its state.
    pub state: ConnectionState,
}

/// What a token stands for on the connection that the path names: its own bearer token, an access token of its client, or a
/// JWT of its issuer. A wrong credential on a known connection is counted there; the last use of a good one is noted at a
/// granularity of one minute, beside the request.
///
/// A good credential is recognised however many wrong ones came before it: those use up what strangers have, never what the
/// connection has.
///
/// # Errors
/// `Unauthorized` for every reason alike; `TooMany` for more requests than the connection may make, or more wrong credentials
/// than anybody may send; the store's.
pub async fn connection(app: &Arc<App>, path: &str, presented: Presented<'_>) -> Result<Known, Denied> {
    let now = app.clock.now();
    let Presented::Token(token) = presented else { return Err(none(app, path, presented).await) };
    let known = if token.starts_with(crypto::ACCESS_TOKEN_PREFIX) {
        if token.len() <= ACCESS_TOKEN_BYTES_LIMIT { client::known(app, path, token, now).await? } else { None }
    } else if Token::is_meant(token) {
        jwt::known(app, path, token).await?
    } else {
        by_bearer_token(app, path, token, now).await?
    };
    let Some(known) = known else { return Err(wrong(app, path, presented, now).await) };
    take_turn(app, &known.tenant, &known.connection, now)?;
    Ok(known)
}

async fn by_bearer_token(app: &Arc<App>, path: &str, token: &str, now: Instant) -> Result<Option<Known>, StoreError> {
    // What can't be one of ours is not looked up: guessing in bulk costs a comparison.
    if !token.starts_with(crypto::TOKEN_PREFIX) || token.len() > TOKEN_BYTES_LIMIT {
        return Ok(None);
    }
    let hash = app.keyring.token_hash(token);
    let found = app.store.find_connection_token(&hash).await?.filter(|found| {
        let is_it = crypto::same(&found.hash, &hash) && crypto::same(found.connection.as_str(), path);
        is_it && found.kind == CredentialKind::Bearer && live(found.expires, now)
    });
    Ok(found.map(|found| {
        app.revisions.heard(&found.tenant, &found.revision);
        note_use(app, &found, now);
        Known { tenant: found.tenant, connection: found.connection, state: found.state }
    }))
}

/// A request of a known connection, counted; one too many is in the connection's log.
fn take_turn(app: &App, tenant: &TenantId, connection: &ConnectionId, now: Instant) -> Result<(), Denied> {
    app.requests.take(connection, now).map_err(|too_many| {
        app.journal.turn_away(tenant, connection, 429, now);
        Denied::TooMany(too_many)
    })
}

/// What is answered where no credential came, or something that is none. It is no wrong one and takes nothing from what those may be; whoever
/// forgot it finds it with the refused ones.
pub(crate) async fn none(app: &App, path: &str, presented: Presented<'_>) -> Denied {
    let now = app.clock.now();
    // A name that no path has.
    if app.guesses.take(&format!("{path}/none"), now).is_ok() {
        note_refused(app, path, presented, now, false).await;
    }
    match presented {
        // RFC 6750 §3.1: no error code where no token was sent.
        Presented::Missing | Presented::OtherScheme => Denied::Missing,
        _ => Denied::Unauthorized,
    }
}

/// What is answered to a wrong credential: past what strangers may try, that they have to wait, and then nothing is written.
async fn wrong(app: &App, path: &str, presented: Presented<'_>, now: Instant) -> Denied {
    match app.guesses.take(path, now) {
        Ok(()) => {
            note_refused(app, path, presented, now, true).await;
            Denied::Unauthorized
        }
        Err(too_many) => Denied::TooManyWrong(too_many),
    }
}

/// What an API token stands for.
///
/// # Errors
/// `Unauthorized` for every reason alike; the store's.
pub async fn api(app: &App, token: Option<&str>) -> Result<ApiPrincipal, Denied> {
    let token = token.ok_or(Denied::Missing)?;
    if token.len() > TOKEN_BYTES_LIMIT {
        return Err(Denied::Unauthorized);
    }
    let hash = app.keyring.token_hash(token);
    let credential = app.store.find_api_token(&hash).await?.ok_or(Denied::Unauthorized)?;
    let now = app.clock.now();
    if crypto::same(&credential.hash, &hash) && live(credential.expires, now) {
        if credential.last_used.is_none_or(|used| now >= used.plus_seconds(NOTE_USE_SECONDS))
            && let Err(error) = app.store.note_api_token(&credential.token_id, now).await
        {
            tracing::warn!(%error, "the use of an API token could not be noted");
        }
        Ok(ApiPrincipal { token_id: credential.token_id, scope: credential.scope })
    } else {
        Err(Denied::Unauthorized)
    }
}

fn live(expires: Option<Instant>, now: Instant) -> bool {
    expires.is_none_or(|expires| now < expires)
}

/// The connection that a path names, if it can be one.
fn connection_id(path: &str) -> Option<ConnectionId> {
    let well_formed = path.len() <= CONNECTION_ID_BYTES_LIMIT && path.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    well_formed.then(|| ConnectionId::from(path))
}

/// Counted before the answer, so that whoever reads the connection's health next sees it. A failure to count is not
/// told: the answer must not depend on whether the connection exists.
async fn note_refused(app: &App, path: &str, presented: Presented<'_>, now: Instant, is_counted: bool) {
    let Some(connection) = connection_id(path) else { return };
    if let Err(error) = note_refused_on(app, &connection, presented, now, is_counted).await {
        tracing::warn!(error = %error, "a refused credential could not be noted");
    }
}

async fn note_refused_on(
    app: &App,
    connection: &ConnectionId,
    presented: Presented<'_>,
    now: Instant,
    is_counted: bool,
) -> Result<(), StoreError> {
    let Some((tenant, _)) = app.store.find_connection(connection).await? else { return Ok(()) };
    let trace = trace::of(app, (&tenant, connection), presented, now).await?;
    app.journal.refuse(&tenant, connection, trace, now);
    if is_counted {
        app.journal.turn_away(&tenant, connection, 401, now);
        app.store.note_credential(&tenant, connection, None, now).await?;
    }
    Ok(())
}

fn note_use(app: &Arc<App>, credential: &ConnectionCredential, now: Instant) {
    note(app, &credential.tenant, &credential.connection, &credential.token_id, credential.last_used, now);
}

/// The use of a credential that is not stored: the connection alone was seen.
fn note_connection(app: &Arc<App>, tenant: &TenantId, connection: &ConnectionId, last_seen: Option<Instant>, now: Instant) {
    note(app, tenant, connection, "", last_seen, now);
}

fn note(app: &Arc<App>, tenant: &TenantId, connection: &ConnectionId, token_id: &str, last: Option<Instant>, now: Instant) {
    if last.is_some_and(|last| now < last.plus_seconds(NOTE_USE_SECONDS)) {
        return;
    }
    let Ok(permit) = NOTES.try_acquire() else { return };
    let (app, tenant, connection, token_id) = (Arc::clone(app), tenant.clone(), connection.clone(), token_id.to_owned());
    tokio::spawn(async move {
        let noted = app.store.note_credential(&tenant, &connection, Some(&token_id), now).await;
        if let Err(error) = noted {
            tracing::warn!(error = %error, %connection, "the use of a token could not be noted");
        }
        drop(permit);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_scheme_is_read_in_any_case_and_nothing_else_is() {
        for (header, token) in [
            ("Bearer rc_x", Some("rc_x")),
            ("bearer   rc_x ", Some("rc_x")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic cmNfeA==", None),
            ("rc_x", None),
            ("", None),
        ] {
            assert_eq!(bearer(header), token, "{header:?}");
        }
    }

    #[test]
    fn basic_credentials_are_form_encoded_in_base64() {
        use base64::Engine as _;
        let read = |text: &str| {
            let header = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
            basic(&header).map(|(id, secret)| (id, secret.to_string()))
        };
        assert_eq!(read("id:rs_x-_"), Some(("id".into(), "rs_x-_".into())));
        assert_eq!(read("a%3Ab:c+d"), Some(("a:b".into(), "c d".into())));
        assert_eq!(read(":"), Some((String::new(), String::new())));
        assert_eq!(
            read("id&a=b:rs_x&junk=1%26"),
            Some(("id&a=b".into(), "rs_x&junk=1&".into())),
            "each is one text, and no form of fields"
        );
        assert_eq!(read("no colon"), None);
        assert_eq!(basic("Bearer rc_x"), None);
        assert_eq!(basic("Basic ***"), None);
        assert_eq!(read(&format!("id:{}", "x".repeat(2_000))), None);
    }

    #[test]
    fn a_token_ends_at_its_instant() {
        let at = Instant(1_000_000);
        assert!(live(None, at));
        assert!(live(Some(Instant(1_000_001)), at));
        assert!(!live(Some(at), at));
    }
}
