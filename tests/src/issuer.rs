//! A tenant's own issuer: signs JWTs with keys that it publishes, changes and withdraws, and can go away.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

#[derive(Default)]
struct Published {
    keys: Mutex<Option<String>>,
    asked: AtomicUsize,
}

/// An issuer on a free port.
pub struct Issuer {
    addr: SocketAddr,
    published: Arc<Published>,
    task: tokio::task::JoinHandle<()>,
}

/// A key of an issuer's, for ES256.
pub struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

impl Issuer {
    /// Starts it, publishing these keys.
    pub async fn start(keys: &[&Key]) -> Self {
        let published = Arc::new(Published::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&published));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let addr = listener.local_addr().expect("the listener has an address");
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("the issuer runs") });
        let issuer = Self { addr, published, task };
        issuer.publish(keys);
        issuer
    }

    /// Where its keys are.
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        format!("http://{}/jwks", self.addr)
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&Key]) {
        self.publish_text(json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()}).to_string());
    }

    /// Publishes a text in place of keys.
    pub fn publish_text(&self, text: String) {
        *self.published.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// From now on it answers with 503.
    pub fn go_away(&self) {
        *self.published.keys.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How often its keys were asked for.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.published.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(published): State<Arc<Published>>) -> (StatusCode, String) {
    published.asked.fetch_add(1, Ordering::SeqCst);
    match published.keys.lock().unwrap_or_else(PoisonError::into_inner).clone() {
        Some(keys) => (StatusCode::OK, keys),
        None => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
    }
}

impl Key {
    /// A new key.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn new(id: &str) -> Self {
        let random = SystemRandom::new();
        let stored = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key can be made");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, stored.as_ref(), &random).expect("the key can be read");
        Self { id: id.to_owned(), pair }
    }

    /// Its public half, as a JSON Web Key.
    #[must_use]
    pub fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y})
    }

    /// A token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": "ES256", "kid": self.id, "typ": "JWT"}), claims)
    }

    /// A token with another header.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("signing works");
        format!("{signed}.{}", BASE64.encode(signature.as_ref()))
    }
}
