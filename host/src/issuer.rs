//! The keys of tenants' own issuers: fetched from where the issuer publishes them, bounded in size, time and number. What is
//! kept of them is the store's, what they are good for is `crypto::jwt`'s.

pub mod provider;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::crypto::jwt::{KEY_SET_BYTES_LIMIT, KeySet};
use crate::model::{ConnectionId, Instant};
use crate::outgoing::{Bounds, Client, Failed};
use crate::store::{Result, Store, StoredIssuer};

/// How long an issuer may take to give its keys, because somebody waits for it, and how large they may be.
const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(5), bytes: KEY_SET_BYTES_LIMIT };
/// The least time between two attempts to fetch an issuer's keys, by all processes together: a stranger's tokens can't make us
/// knock at it more often, and a new key is known at the latest so much later.
pub const RETRY_SECONDS: i64 = 30;
/// When keys are fetched anew though all that is asked for are known, before anybody is let in by them: so long a key that the issuer has
/// withdrawn is good.
pub const FRESH_SECONDS: i64 = 3_600;
/// When they are fetched anew beside a request, so that on a connection in use nobody has to wait for them.
const AGEING_SECONDS: i64 = FRESH_SECONDS / 2;
/// How long keys are good that can't be fetched anew, because the issuer is away.
pub const KEPT_SECONDS: i64 = 7 * 86_400;

/// Who is fetching keys at the moment.
#[derive(Default)]
pub struct Fetching(Mutex<HashMap<ConnectionId, Arc<tokio::sync::Mutex<()>>>>);

/// Whether the keys that are known may still be used.
#[must_use]
pub fn are_good(issuer: &StoredIssuer, now: Instant) -> bool {
    issuer.fetched.is_none_or(|fetched| now < fetched.plus_seconds(KEPT_SECONDS))
}

/// Whether they have to be fetched anew first.
#[must_use]
pub fn are_old(issuer: &StoredIssuer, now: Instant) -> bool {
    is_time(issuer, FRESH_SECONDS, now)
}

/// Whether it is time to fetch them anew.
#[must_use]
pub fn are_ageing(issuer: &StoredIssuer, now: Instant) -> bool {
    is_time(issuer, AGEING_SECONDS, now)
}

fn is_time(issuer: &StoredIssuer, seconds: i64, now: Instant) -> bool {
    issuer.settings.jwks_uri.is_some() && issuer.fetched.is_none_or(|fetched| fetched.plus_seconds(seconds) <= now)
}

impl Fetching {
    /// Fetches the issuer's keys and keeps them, unless that was tried just now. Whoever asks at the same time waits for the same
    /// answer. A failure is logged and nothing else: what is known of the keys stays.
    ///
    /// # Errors
    /// The store's.
    pub async fn refresh(&self, outgoing: &Client, store: &dyn Store, clock: &dyn Clock, known: &StoredIssuer) -> Result<()> {
        let Some(url) = known.settings.jwks_uri.as_deref() else { return Ok(()) };
        let turn = self.turn(&known.connection);
        let done = {
            let _turn = turn.lock().await;
            refresh_in_turn(outgoing, store, clock, known, url).await
        };
        self.leave(&known.connection, &turn);
        done
    }

    fn turn(&self, connection: &ConnectionId) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(fetching.entry(connection.clone()).or_default())
    }

    /// Forgets the turn when nobody else waits for it.
    fn leave(&self, connection: &ConnectionId, turn: &Arc<tokio::sync::Mutex<()>>) {
        let mut fetching = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One in the map, one here.
        if Arc::strong_count(turn) <= 2 {
            fetching.remove(connection);
        }
    }
}

async fn refresh_in_turn(outgoing: &Client, store: &dyn Store, clock: &dyn Clock, known: &StoredIssuer, url: &str) -> Result<()> {
    let (now, connection) = (clock.now(), &known.connection);
    if !store.claim_keys(&known.tenant, connection, now.plus_seconds(-RETRY_SECONDS), now).await? {
        return Ok(());
    }
    match fetch(outgoing, url).await {
        Ok(keys) => store.keep_keys(&known.tenant, connection, &known.settings, &keys, clock.now()).await,
        Err(why) => {
            tracing::warn!(%connection, why, "an issuer's keys can't be fetched: those that are known stay good for a while");
            Ok(())
        }
    }
}

/// The key set at the URL; why there is none is said without the URL, whose query may hold a secret.
async fn fetch(outgoing: &Client, url: &str) -> Result<String, String> {
    let bytes = outgoing.get(url, "application/jwk-set+json, application/json", BOUNDS).await.map_err(|failed| match failed {
        Failed::Refused(refusal) => format!("the issuer is not called: {refusal}"),
        Failed::Timeout => "the issuer did not answer in time".into(),
        Failed::Unreachable | Failed::Broken => "the issuer can't be reached".into(),
        Failed::Status(status) => format!("the issuer answered {status}"),
        Failed::TooLarge(_) => "the issuer's key set is too large".into(),
    })?;
    let text = String::from_utf8(bytes.into()).map_err(|_| "the issuer's key set is no text")?;
    let keys = KeySet::read(&text).map_err(|_| "what the issuer answered is no key set")?;
    if keys.is_empty() {
        // It was asked and says so: this is how an issuer withdraws its last key.
        tracing::warn!("an issuer publishes no key that can be used: nobody is let in by its JWTs");
    }
    // PostgreSQL's text can't hold NUL; JSON has it escaped alone.
    Ok(text)
}
