//! OAuth 2.0 client credentials (RFC 6749 §4.4): a client's secret for an access token, and what an access token stands for.
//!
//! Access tokens are sealed and not stored: they name the secret that they were given for, and end with it.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Denied, Known, Presented, TOKEN_BYTES_LIMIT, live, note_use, take_turn, wrong};
use crate::app::App;
use crate::crypto::{self, CLIENT_SECRET_PREFIX};
use crate::model::{ConnectionId, Instant, TenantId};
use crate::store::{CredentialKind, StoreError};

/// How long an access token is good, in seconds: a full cycle of an identity provider needs one, and a lost one is soon worth nothing.
pub const ACCESS_TOKEN_SECONDS: i64 = 3_600;

/// An access token that was just given.
pub struct Granted {
    /// The token, `ra_…`.
    pub token: Zeroizing<String>,
    /// For how long it is good.
    pub seconds: i64,
}

/// Gives an access token for the id and secret of the connection's client.
///
/// # Errors
/// `Unauthorized` for every reason alike; `TooMany`; the store's.
pub async fn grant(app: &Arc<App>, path: &str, id: &str, secret: &str) -> Result<Granted, Denied> {
    let now = app.clock.now();
    // What can't be a secret is not looked up: guessing in bulk costs a comparison.
    let well_formed = secret.starts_with(CLIENT_SECRET_PREFIX) && secret.len() <= TOKEN_BYTES_LIMIT;
    let found = if well_formed && crypto::same(id, path) {
        let hash = app.keyring.token_hash(secret);
        app.store.find_connection_token(&hash).await?.filter(|found| {
            let is_it = crypto::same(&found.hash, &hash) && crypto::same(found.connection.as_str(), path);
            is_it && found.kind == CredentialKind::ClientSecret && live(found.expires, now)
        })
    } else {
        None
    };
    let Some(found) = found else { return Err(wrong(app, path, Presented::Client { id, secret }, now).await) };
    note_use(app, &found, now);
    take_turn(app, &found.tenant, &found.connection, now)?;
    // Never longer than the secret itself.
    let end = found.expires.map_or(now.plus_seconds(ACCESS_TOKEN_SECONDS), |expires| expires.min(now.plus_seconds(ACCESS_TOKEN_SECONDS)));
    let content = format!("{}\n{}\n{}\n{}", found.tenant, found.connection, found.token_id, end.0);
    let sealed = app.keyring.seal_access_token(&content);
    let token = sealed.map_err(|_| StoreError::Corrupt("an access token can't be sealed".into()))?;
    Ok(Granted { token, seconds: end.millis_since(now) / 1_000 })
}

/// What an access token stands for; `None` when it is none, has ended, or its secret has.
pub(super) async fn known(app: &Arc<App>, path: &str, token: &str, now: Instant) -> Result<Option<Known>, StoreError> {
    let Some(content) = app.keyring.open_access_token(token) else { return Ok(None) };
    let mut parts = content.splitn(4, '\n');
    let (Some(tenant), Some(connection), Some(secret), Some(end)) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    let ended = end.parse().map_or(true, |end| Instant(end) <= now);
    if ended || !crypto::same(connection, path) {
        return Ok(None);
    }
    let (tenant, connection) = (TenantId::from(tenant), ConnectionId::from(connection));
    let found = app.store.credential(&tenant, &connection, secret).await?;
    let found = found.filter(|found| found.kind == CredentialKind::ClientSecret && live(found.expires, now));
    Ok(found.map(|found| {
        app.revisions.heard(&found.tenant, &found.revision);
        note_use(app, &found, now);
        Known { tenant: found.tenant, connection: found.connection, state: found.state }
    }))
}
