//! The keys of tenants' own issuers: fetched from where the issuer publishes them, bounded in size, time and number. Knows HTTP;
//! what is kept of them is the store's, what they are good for is `crypto::jwt`'s.

pub mod provider;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;

use crate::clock::Clock;
use crate::crypto::jwt::{KEY_SET_BYTES_LIMIT, KeySet};
use crate::model::{ConnectionId, Instant};
use crate::store::{Result, Store, StoredIssuer};

/// How long an issuer may take to give its keys: somebody waits for it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest URL of keys, in bytes.
const URL_BYTES_LIMIT: usize = 2_048;
/// The least time between two attempts to fetch an issuer's keys, by all processes together: a stranger's tokens can't make us
/// knock at it more often, and a new key is known at the latest so much later.
pub const RETRY_SECONDS: i64 = 30;
/// When keys are fetched anew though all that is asked for are known: so long a key that the issuer has withdrawn is good.
pub const FRESH_SECONDS: i64 = 3_600;
/// How long keys are good that can't be fetched anew, because the issuer is away.
pub const KEPT_SECONDS: i64 = 7 * 86_400;

/// The HTTP client for keys, and who is fetching at the moment.
pub struct Client {
    http: reqwest::Client,
    providers: provider::Providers,
    fetching: Mutex<HashMap<ConnectionId, Arc<tokio::sync::Mutex<()>>>>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("the client for issuers' keys can't be made")]
pub struct ClientError(#[source] reqwest::Error);

/// Whether keys may be fetched from there: HTTPS, or HTTP on this machine, without user information.
#[must_use]
pub fn is_fit(url: &str) -> bool {
    let Ok(parsed) = Url::parse(url) else { return false };
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let scheme = parsed.scheme() == "https" || (parsed.scheme() == "http" && is_here);
    scheme && url.len() <= URL_BYTES_LIMIT && !host.is_empty() && parsed.username().is_empty() && parsed.password().is_none()
}

/// Whether the keys that are known may still be used.
#[must_use]
pub fn are_good(issuer: &StoredIssuer, now: Instant) -> bool {
    issuer.fetched.is_none_or(|fetched| now < fetched.plus_seconds(KEPT_SECONDS))
}

/// Whether it is time to fetch them anew.
#[must_use]
pub fn are_old(issuer: &StoredIssuer, now: Instant) -> bool {
    issuer.settings.jwks_uri.is_some() && issuer.fetched.is_none_or(|fetched| fetched.plus_seconds(FRESH_SECONDS) <= now)
}

impl Client {
    /// Makes the client: no redirects (what is fetched must be what was configured), bounded time.
    ///
    /// # Errors
    /// When the TLS configuration can't be made (the process installs the TLS library at start-up).
    pub fn new() -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(FETCH_TIMEOUT)
            .user_agent(concat!("rolecall/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ClientError)?;
        Ok(Self { http, providers: Mutex::default(), fetching: Mutex::default() })
    }

    /// Fetches the issuer's keys and keeps them, unless that was tried just now. Whoever asks at the same time waits for the same
    /// answer. A failure is logged and nothing else: what is known of the keys stays.
    ///
    /// # Errors
    /// The store's.
    pub async fn refresh(&self, store: &dyn Store, clock: &dyn Clock, known: &StoredIssuer) -> Result<()> {
        let Some(url) = known.settings.jwks_uri.as_deref() else { return Ok(()) };
        let turn = self.turn(&known.connection);
        let done = {
            let _turn = turn.lock().await;
            self.refresh_in_turn(store, clock, known, url).await
        };
        self.leave(&known.connection, &turn);
        done
    }

    async fn refresh_in_turn(&self, store: &dyn Store, clock: &dyn Clock, known: &StoredIssuer, url: &str) -> Result<()> {
        let (now, connection) = (clock.now(), &known.connection);
        if !store.claim_keys(&known.tenant, connection, now.plus_seconds(-RETRY_SECONDS), now).await? {
            return Ok(());
        }
        match self.fetch(url).await {
            Ok(keys) => store.keep_keys(&known.tenant, connection, &known.settings, &keys, clock.now()).await,
            Err(why) => {
                tracing::warn!(%connection, why, "an issuer's keys can't be fetched: those that are known stay good for a while");
                Ok(())
            }
        }
    }

    /// The key set at the URL; why there is none is said without the URL, whose query may hold a secret.
    async fn fetch(&self, url: &str) -> Result<String, &'static str> {
        let failed = |error: reqwest::Error| {
            if error.is_timeout() { "the issuer did not answer in time" } else { "the issuer can't be reached" }
        };
        let mut answer = self.http.get(url).header("accept", "application/jwk-set+json, application/json").send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err("the issuer did not answer with success");
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > KEY_SET_BYTES_LIMIT {
                return Err("the issuer's key set is too large");
            }
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(bytes).map_err(|_| "the issuer's key set is no text")?;
        // PostgreSQL's text can't hold NUL; JSON has it escaped alone.
        KeySet::read(&text).map(|_| text).map_err(|_| "the issuer's key set has no key that can be used")
    }

    fn turn(&self, connection: &ConnectionId) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(fetching.entry(connection.clone()).or_default())
    }

    /// Forgets the turn when nobody else waits for it.
    fn leave(&self, connection: &ConnectionId, turn: &Arc<tokio::sync::Mutex<()>>) {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        // One in the map, one here.
        if Arc::strong_count(turn) <= 2 {
            fetching.remove(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for url in ["https://idp.example.com/jwks", "http://127.0.0.1:9/jwks", "http://localhost/jwks", "http://[::1]:80/jwks"] {
            assert!(is_fit(url), "{url}");
        }
        let long = format!("https://idp.example.com/{}", "x".repeat(URL_BYTES_LIMIT));
        for url in
            ["", "/jwks", "http://idp.example.com/jwks", "http://10.0.0.1/", "ftp://127.0.0.1/", "https://u:p@idp.example.com/", &long]
        {
            assert!(!is_fit(url), "{url}");
        }
    }
}
