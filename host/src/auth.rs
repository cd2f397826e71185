//! Who a bearer token stands for, and whether it is still good.
//!
//! Knows tokens, their keyed hashes and their scopes; knows nothing of HTTP but the form of the
//! `Authorization` header's value. Nothing is cached: a revoked token ends with the next request.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::app::App;
use crate::crypto;
use crate::model::{Actor, ConnectionId, Instant};
use crate::store::{ApiScope, ConnectionCredential, StoreError};

/// The longest token that is looked up, in bytes: ours have 46, and hashing more is work for nothing.
pub const TOKEN_BYTES_LIMIT: usize = 256;
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
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What stands behind a good API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiPrincipal {
    /// The token's id.
    pub token_id: String,
    /// What it may do.
    pub scope: ApiScope,
}

impl ApiPrincipal {
    /// The token as the cause of events.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor { kind: "api_token".into(), id: self.token_id.clone() }
    }
}

/// The token in the value of an `Authorization` header; `None` for another scheme or an empty token.
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// What a token stands for on the connection that the path names. A wrong credential on a known connection is counted
/// there; the last use of a good one is noted at a granularity of one minute, beside the request.
///
/// # Errors
/// `Unauthorized` for every reason alike; the store's.
pub async fn connection(app: &Arc<App>, path: &str, token: Option<&str>) -> Result<ConnectionCredential, Denied> {
    let now = app.clock.now();
    let credential = match token.filter(|token| token.len() <= TOKEN_BYTES_LIMIT) {
        None => None,
        Some(token) => {
            let hash = app.keyring.token_hash(token);
            app.store.find_connection_token(&hash).await?.filter(|found| crypto::same(&found.hash, &hash) && live(found.expires, now))
        }
    };
    match credential {
        Some(credential) if crypto::same(credential.connection.as_str(), path) => {
            note_use(app, &credential, now);
            Ok(credential)
        }
        _ => {
            if token.is_some() {
                count_wrong(app, path, now).await;
            }
            Err(Denied::Unauthorized)
        }
    }
}

/// What an API token stands for.
///
/// # Errors
/// `Unauthorized` for every reason alike; the store's.
pub async fn api(app: &App, token: Option<&str>) -> Result<ApiPrincipal, Denied> {
    let token = token.filter(|token| token.len() <= TOKEN_BYTES_LIMIT).ok_or(Denied::Unauthorized)?;
    let hash = app.keyring.token_hash(token);
    let credential = app.store.find_api_token(&hash).await?.ok_or(Denied::Unauthorized)?;
    if crypto::same(&credential.hash, &hash) && live(credential.expires, app.clock.now()) {
        Ok(ApiPrincipal { token_id: credential.token_id, scope: credential.scope })
    } else {
        Err(Denied::Unauthorized)
    }
}

fn live(expires: Option<Instant>, now: Instant) -> bool {
    expires.is_none_or(|expires| now < expires)
}

/// Counted before the answer, so that whoever reads the connection's health next sees it. A failure to count is not
/// told: the answer must not depend on whether the connection exists.
async fn count_wrong(app: &App, path: &str, now: Instant) {
    let well_formed = path.len() <= CONNECTION_ID_BYTES_LIMIT && path.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !well_formed {
        return;
    }
    let connection = ConnectionId::from(path);
    let counted = match app.store.find_connection(&connection).await {
        Ok(Some((tenant, _))) => app.store.note_credential(&tenant, &connection, None, now).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = counted {
        tracing::warn!(error = %error, "a wrong credential could not be counted");
    }
}

fn note_use(app: &Arc<App>, credential: &ConnectionCredential, now: Instant) {
    let recent = credential.last_used.is_some_and(|last| now < last.plus_seconds(NOTE_USE_SECONDS));
    if recent {
        return;
    }
    let Ok(permit) = NOTES.try_acquire() else { return };
    let (app, credential) = (Arc::clone(app), credential.clone());
    tokio::spawn(async move {
        let noted = app.store.note_credential(&credential.tenant, &credential.connection, Some(&credential.token_id), now).await;
        if let Err(error) = noted {
            tracing::warn!(error = %error, connection = %credential.connection, "the use of a token could not be noted");
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
    fn a_token_ends_at_its_instant() {
        let at = Instant(1_000_000);
        assert!(live(None, at));
        assert!(live(Some(Instant(1_000_001)), at));
        assert!(!live(Some(at), at));
    }
}
