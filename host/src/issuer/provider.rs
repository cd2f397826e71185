//! OpenID providers that people sign in with: what one says of itself (OpenID Connect Discovery 1.0 §4), its keys, and the token that it gives
//! for a code (RFC 6749 §4.1.3). Bounded in size and time; nothing is kept but what a provider says of itself, for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Client, is_fit};
use crate::crypto::jwt::{KEY_SET_BYTES_LIMIT, KeySet};
use crate::model::Instant;

/// How long what a provider says of itself is believed, in seconds: a new endpoint is known at the latest so much later.
const METADATA_SECONDS: i64 = 300;
/// The largest answer of a provider, in bytes.
const ANSWER_BYTES_LIMIT: usize = KEY_SET_BYTES_LIMIT;

/// What providers have said of themselves, by their issuer.
pub(super) type Providers = Mutex<HashMap<String, (Instant, Arc<Provider>)>>;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It does not answer, or not in time.
    #[error("the sign-in provider can't be reached")]
    Away,
    /// It answered with something that is no success.
    #[error("the sign-in provider refused")]
    Refused,
    /// What it says can't be used.
    #[error("the sign-in provider answered something that can't be used: {0}")]
    Unusable(&'static str),
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: Option<String>,
}

impl Client {
    /// What a provider says of itself.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn provider(&self, issuer: &str, now: Instant) -> Result<Arc<Provider>, ProviderError> {
        let known = self.providers.lock().unwrap_or_else(PoisonError::into_inner).get(issuer).cloned();
        if let Some((read, provider)) = known
            && now < read.plus_seconds(METADATA_SECONDS)
        {
            return Ok(provider);
        }
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let text = self.text(self.http.get(url).header("accept", "application/json")).await?;
        let provider: Provider =
            serde_json::from_str(&text).map_err(|_| ProviderError::Unusable("its configuration lacks something or is no JSON"))?;
        // OpenID Connect Discovery 1.0 §4.3: else one provider could speak for another.
        if provider.issuer != issuer {
            return Err(ProviderError::Unusable("its configuration is of another issuer"));
        }
        let addresses = [&provider.authorization_endpoint, &provider.token_endpoint, &provider.jwks_uri];
        if !addresses.into_iter().chain(&provider.end_session_endpoint).all(|address| is_fit(address)) {
            return Err(ProviderError::Unusable("an address in its configuration is not of https"));
        }
        let provider = Arc::new(provider);
        let mut kept = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (read, _)| now < read.plus_seconds(METADATA_SECONDS));
        kept.insert(issuer.to_owned(), (now, Arc::clone(&provider)));
        Ok(provider)
    }

    /// A provider's keys, as they are now.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn provider_keys(&self, provider: &Provider) -> Result<KeySet, ProviderError> {
        let text = self.text(self.http.get(&provider.jwks_uri).header("accept", "application/jwk-set+json, application/json")).await?;
        KeySet::read(&text).map_err(|_| ProviderError::Unusable("its keys can't be used"))
    }

    /// The ID token that a provider gives for a code. `form` is the request's without who the client is.
    ///
    /// # Errors
    /// [`ProviderError`]: `Refused` for a code that is none, was used or has ended.
    pub async fn id_token(
        &self,
        provider: &Provider,
        (client, secret): (&str, Option<&str>),
        form: &[(&str, &str)],
    ) -> Result<Zeroizing<String>, ProviderError> {
        let methods = &provider.token_endpoint_auth_methods_supported;
        // OpenID Connect Discovery 1.0 §3: nothing said means `client_secret_basic`.
        let basic = methods.is_empty() || methods.iter().any(|method| method == "client_secret_basic");
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let mut form = form.to_vec();
        let request = self.http.post(&provider.token_endpoint);
        let request = match secret {
            // RFC 6749 §2.3.1: form-encoded first.
            Some(secret) if basic => request.basic_auth(encoded(client), Some(encoded(secret))),
            Some(secret) => {
                form.extend([("client_id", client), ("client_secret", secret)]);
                request
            }
            None => {
                form.push(("client_id", client));
                request
            }
        };
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = request.header("content-type", "application/x-www-form-urlencoded").header("accept", "application/json");
        let text = Zeroizing::new(self.text(request.body(body)).await?);
        let answer: TokenAnswer = serde_json::from_str(&text).map_err(|_| ProviderError::Unusable("its token answer is no JSON"))?;
        answer.id_token.map(Zeroizing::new).ok_or(ProviderError::Unusable("its token answer has no `id_token`: is `openid` asked for?"))
    }

    async fn text(&self, request: reqwest::RequestBuilder) -> Result<String, ProviderError> {
        let mut answer = request.send().await.map_err(|_| ProviderError::Away)?;
        if !answer.status().is_success() {
            return Err(if answer.status().is_server_error() { ProviderError::Away } else { ProviderError::Refused });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| ProviderError::Away)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_LIMIT {
                return Err(ProviderError::Unusable("its answer is too large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| ProviderError::Unusable("its answer is no text"))
    }
}
