//! JWTs of a tenant's own issuer: who one stands for, and when the issuer's keys have to be fetched anew.

use std::sync::Arc;

use super::{Known, connection_id, note_connection};
use crate::app::App;
use crate::crypto::jwt::{KeySet, Refused, Token};
use crate::issuer;
use crate::store::{StoreError, StoredIssuer};

/// What a JWT stands for; `None` when it is not good on this connection, for whatever reason.
pub(super) async fn known(app: &Arc<App>, path: &str, token: &str) -> Result<Option<Known>, StoreError> {
    let Some(connection) = connection_id(path) else { return Ok(None) };
    let Some(mut stored) = app.store.find_issuer(&connection).await? else { return Ok(None) };
    let mut checked = check(app, &stored, token);
    let asks = match checked {
        // The issuer may have new keys: whoever's token this is, they are asked for at most once in a while.
        Err(Refused::UnknownKey) => stored.settings.jwks_uri.is_some(),
        // Who has not been asked for long may have withdrawn the key meanwhile: nobody is let in before that was tried.
        Ok(()) => issuer::are_old(&stored, app.clock.now()),
        Err(_) => false,
    };
    if asks {
        refresh(app, &stored).await?;
        let Some(again) = app.store.find_issuer(&connection).await? else { return Ok(None) };
        stored = again;
        checked = check(app, &stored, token);
    }
    if let Err(why) = checked {
        tracing::info!(connection = %stored.connection, why = %why, "a JWT is refused");
        return Ok(None);
    }
    let now = app.clock.now();
    if issuer::are_ageing(&stored, now) {
        let (app, stored) = (Arc::clone(app), stored.clone());
        // Beside the request: an issuer that is slow or away holds nobody up whose key is known.
        tokio::spawn(async move {
            if let Err(error) = app.issuers.refresh(&app.outgoing, &*app.store, &*app.clock, &stored).await {
                tracing::warn!(%error, connection = %stored.connection, "an issuer's keys can't be kept");
            }
        });
    }
    app.revisions.heard(&stored.tenant, &stored.revision);
    note_connection(app, &stored.tenant, &stored.connection, stored.last_seen, now);
    Ok(Some(Known { tenant: stored.tenant, connection: stored.connection, state: stored.state }))
}

fn check(app: &App, stored: &StoredIssuer, token: &str) -> Result<(), Refused> {
    let token = Token::read(token)?;
    token.is_addressed(&stored.settings)?;
    let now = app.clock.now();
    let keys = stored.keys.as_deref().filter(|_| issuer::are_good(stored, now)).ok_or(Refused::UnknownKey)?;
    token.check(&stored.settings, &KeySet::read(keys)?, now)
}

/// To its end, whether or not the client still waits: a stranger who hangs up must not keep the keys from being fetched.
async fn refresh(app: &Arc<App>, stored: &StoredIssuer) -> Result<(), StoreError> {
    let (app, stored) = (Arc::clone(app), stored.clone());
    let fetching = tokio::spawn(async move { app.issuers.refresh(&app.outgoing, &*app.store, &*app.clock, &stored).await });
    match fetching.await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ok(()),
        },
    }
}
