//! OpenID providers that people sign in with: what one says of itself (OpenID Connect Discovery 1.0 §4), its keys, and the token that it gives
//! for a code (RFC 6749 §4.1.3). Bounded in size and time; nothing is kept but what a provider says of itself, for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::crypto::jwt::{KEY_SET_BYTES_LIMIT, KeySet};
use crate::model::Instant;
use crate::outgoing::{Bounds, Client, Failed, Refusal};

/// How long what a provider says of itself is believed, in seconds: a new endpoint is known at the latest so much later.
const METADATA_SECONDS: i64 = 300;
/// For how long a provider that could not be asked is not asked again, in seconds.
const FAILURE_SECONDS: i64 = 10;
/// Somebody waits for it, and nothing that a provider says is longer than keys.
const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(5), bytes: KEY_SET_BYTES_LIMIT };

/// What providers have said of themselves, by their issuer.
#[derive(Default)]
pub struct Providers(Mutex<HashMap<String, Read>>);

/// When a provider was asked, and what came of it.
type Read = (Instant, Result<Arc<Provider>, ProviderError>);

/// Whether what was read is still to be gone by: a failure for a moment, since strangers decide how often somebody wants to know.
fn counts((read, found): &Read, now: Instant) -> bool {
    now < read.plus_seconds(if found.is_ok() { METADATA_SECONDS } else { FAILURE_SECONDS })
}

/// What a provider says of itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Provider {
    /// Its issuer identifier.
    pub issuer: String,
    /// Where people go.
    pub authorization_endpoint: String,
    /// Where a code becomes a token.
    pub token_endpoint: String,
    /// Where its keys are.
    pub jwks_uri: String,
    /// Where people sign out, if it has such a place.
    pub end_session_endpoint: Option<String>,
    /// How it lets clients show who they are.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
}

/// Why a provider can't be asked, or what it said can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It does not answer, or not in time.
    #[error("the sign-in provider can't be reached")]
    Away,
    /// It answered with something that is no success.
    #[error("the sign-in provider refused")]
    Refused,
    /// It is not asked: where it is is nowhere that may be called.
    #[error("the sign-in provider is not asked: {0}")]
    NotAllowed(Refusal),
    /// What it says can't be used.
    #[error("the sign-in provider answered something that can't be used: {0}")]
    Unusable(&'static str),
}

impl From<Failed> for ProviderError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(refusal) => Self::NotAllowed(refusal),
            Failed::Status(400..500) => Self::Refused,
            Failed::TooLarge(_) => Self::Unusable("its answer is too large"),
            Failed::Timeout | Failed::Unreachable | Failed::Broken | Failed::Status(_) => Self::Away,
        }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: Option<String>,
}

impl Providers {
    /// What a provider says of itself.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn provider(&self, outgoing: &Client, issuer: &str, now: Instant) -> Result<Arc<Provider>, ProviderError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(issuer).cloned();
        if let Some((_, found)) = known.filter(|known| counts(known, now)) {
            return found;
        }
        let found = Self::ask(outgoing, issuer).await.map(Arc::new);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, read| counts(read, now));
        kept.insert(issuer.to_owned(), (now, found.clone()));
        found
    }

    async fn ask(outgoing: &Client, issuer: &str) -> Result<Provider, ProviderError> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let text = outgoing.get(&url, "application/json", BOUNDS).await?;
        let provider: Provider =
            serde_json::from_slice(&text).map_err(|_| ProviderError::Unusable("its configuration lacks something or is no JSON"))?;
        // OpenID Connect Discovery 1.0 §4.3: else one provider could speak for another.
        if provider.issuer != issuer {
            return Err(ProviderError::Unusable("its configuration is of another issuer"));
        }
        // Where the browser goes is not called from here, and must be no script either.
        let shown = std::iter::once(&provider.authorization_endpoint).chain(&provider.end_session_endpoint);
        if !shown.into_iter().all(|address| address.starts_with("https://") || address.starts_with("http://")) {
            return Err(ProviderError::Unusable("an address in its configuration is none of https"));
        }
        Ok(provider)
    }
}

impl Provider {
    /// Its keys, as they are now.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn keys(&self, outgoing: &Client) -> Result<KeySet, ProviderError> {
        let bytes = outgoing.get(&self.jwks_uri, "application/jwk-set+json, application/json", BOUNDS).await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| ProviderError::Unusable("its keys are no text"))?;
        KeySet::read(text).ok().filter(|keys| !keys.is_empty()).ok_or(ProviderError::Unusable("its keys can't be used"))
    }

    /// The ID token that it gives for a code. `form` is the request's without who the client is.
    ///
    /// # Errors
    /// [`ProviderError`]: `Refused` for a code that is none, was used or has ended.
    pub async fn id_token(
        &self,
        outgoing: &Client,
        (client, secret): (&str, Option<&str>),
        form: &[(&str, &str)],
    ) -> Result<Zeroizing<String>, ProviderError> {
        let methods = &self.token_endpoint_auth_methods_supported;
        // OpenID Connect Discovery 1.0 §3: nothing said means `client_secret_basic`.
        let basic = methods.is_empty() || methods.iter().any(|method| method == "client_secret_basic");
        // RFC 6749 §2.3.1: form-encoded first.
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (mut form, mut header) = (form.to_vec(), None);
        match secret {
            Some(secret) if basic => {
                let pair = Zeroizing::new(format!("{}:{}", encoded(client), encoded(secret)));
                header = Some(Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes()))));
            }
            Some(secret) => form.extend([("client_id", client), ("client_secret", secret)]),
            None => form.push(("client_id", client)),
        }
        let authorization = header.as_ref().map(|header| ("authorization", header.as_str()));
        let headers: Vec<(&str, &str)> = std::iter::once(("accept", "application/json")).chain(authorization).collect();
        let answer = outgoing.post_form(&self.token_endpoint, &headers, &form, BOUNDS).await?;
        match answer.status {
            200..300 => {}
            500.. => return Err(ProviderError::Away),
            _ => return Err(ProviderError::Refused),
        }
        let answer: TokenAnswer =
            serde_json::from_slice(&answer.body).map_err(|_| ProviderError::Unusable("its token answer is no JSON"))?;
        answer.id_token.map(Zeroizing::new).ok_or(ProviderError::Unusable("its token answer has no `id_token`: is `openid` asked for?"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use tokio::net::TcpListener;

    use super::*;
    use crate::outgoing::Allowed;

    /// Strangers decide how often it is wanted, and can't make us ask as often.
    #[tokio::test]
    async fn a_provider_that_fails_is_left_alone_for_a_moment() {
        // Another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&asked);
        let failing = Router::new().fallback(async move || {
            counting.fetch_add(1, Ordering::Relaxed);
            StatusCode::INTERNAL_SERVER_ERROR
        });
        let server = tokio::spawn(async move { axum::serve(listener, failing).await });
        let (providers, client) = (Providers::default(), Client::new(Allowed::this_machine()).unwrap());
        let start = Instant(1_800_000_000_000_000);
        for (after, times) in [(0, 1), (FAILURE_SECONDS - 1, 1), (FAILURE_SECONDS, 2)] {
            let found = providers.provider(&client, &issuer, start.plus_seconds(after)).await;
            assert_eq!(found.err(), Some(ProviderError::Away), "{after}");
            assert_eq!(asked.load(Ordering::Relaxed), times, "{after}");
        }
        server.abort();
    }
}
