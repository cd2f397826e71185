//! Other ways for an identity provider to authenticate than a bearer token: a connection's OAuth client, and the issuer whose
//! JWTs it accepts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::connections::{Rotation, checked_rotation};
use super::targets::fit_url;
use crate::app::App;
use crate::crypto::jwt::{Algorithm, KEYS_LIMIT, KeySet, Unfit, UnfitKey};
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::guards::{ManageCredentials, TenantReader, TenantWriter};
use crate::http::query::At;
use crate::http::urls::Urls;
use crate::model::{ConnectionId, Instant, Issuer, quoted};
use crate::store::CredentialKind;
use crate::tenancy;

/// The longest text in an issuer's settings, in characters: issuers are URLs.
const TEXT_CHARS_LIMIT: usize = 1_024;
/// The most claims beside the registered ones that a token can be asked to have.
const CLAIMS_LIMIT: usize = 16;
/// The furthest that an issuer's clock may be off, in seconds: further off, and its tokens mean little.
const CLOCK_SKEW_SECONDS_LIMIT: i64 = 300;
/// How far an issuer's clock may be off unless the settings say, in seconds.
const CLOCK_SKEW_SECONDS_DEFAULT: i64 = 60;

/// A client's secret that was just made: shown this once.
#[derive(Serialize, JsonSchema)]
pub struct ClientAnswer {
    /// The client's id, for the identity provider.
    client_id: String,
    /// The secret, `rs_…`: it can't be shown again.
    client_secret: String,
    /// An id to name the secret by; not the secret.
    secret_id: String,
    /// When it stops being accepted; `null` for never.
    expires: Option<Instant>,
    /// The token endpoint, for the identity provider.
    token_url: String,
}

/// The issuer whose JWTs a connection is to accept. Exactly one of `jwks_uri` and `jwks` says where its keys are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerWrite {
    /// The `iss` that tokens must have.
    pub(in crate::http) issuer: String,
    /// What must be (in) their `aud`.
    pub(in crate::http) audience: String,
    /// `https://…`, where the issuer publishes its keys (a JSON Web Key Set): a public address, unless the server's operator allows others.
    pub(in crate::http) jwks_uri: Option<String>,
    /// The keys themselves, as a JSON Web Key Set.
    pub(in crate::http) jwks: Option<Value>,
    /// The algorithms that may sign tokens; all that are known unless given.
    pub(in crate::http) algorithms: Option<Vec<String>>,
    /// How far the issuer's clock may be off; 60 unless given, at most 300.
    pub(in crate::http) clock_skew_seconds: Option<i64>,
    /// The `sub` that tokens must have, if any.
    pub(in crate::http) subject: Option<String>,
    /// Other claims that they must have: each is this text, or an array with it.
    #[serde(default)]
    pub(in crate::http) claims: BTreeMap<String, String>,
}

/// POST …/connections/{connection}/client/rotate
///
/// # Errors
/// 404.
pub async fn rotate_client(
    who: TenantWriter<ManageCredentials>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    urls: Urls,
    ApiBody(rotation): ApiBody<Rotation>,
) -> Result<(StatusCode, Json<ClientAnswer>)> {
    let (overlap, lifetime) = checked_rotation(&rotation)?;
    let whose = (&who.tenant.id, &connection);
    let issued = tenancy::rotate_token(&app, whose, CredentialKind::ClientSecret, overlap, lifetime, &who.actor).await?;
    let answer = ClientAnswer {
        token_url: urls.token(&connection),
        client_id: connection.0,
        client_secret: issued.token.to_string(),
        secret_id: issued.id,
        expires: issued.expires,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// DELETE …/connections/{connection}/client
///
/// # Errors
/// 404.
pub async fn remove_client(
    who: TenantWriter<ManageCredentials>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
) -> Result<StatusCode> {
    app.store.remove_client(&who.tenant.id, &connection, &who.actor, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// GET …/connections/{connection}/issuer
///
/// # Errors
/// 404.
pub async fn issuer(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
) -> Result<Json<Issuer>> {
    let issuer = app.store.issuer(&who.tenant.id, &connection).await?;
    issuer.map(Json).ok_or_else(|| Error::not_found("issuer of such a connection"))
}

/// PUT …/connections/{connection}/issuer
///
/// # Errors
/// 400 for what can't be; 404.
pub async fn put_issuer(
    who: TenantWriter<ManageCredentials>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
    ApiBody(wanted): ApiBody<IssuerWrite>,
) -> Result<Json<Issuer>> {
    let (issuer, keys) = checked(&app, wanted).await?;
    app.store.put_issuer(&who.tenant.id, &connection, &issuer, keys.as_deref(), &who.actor, app.clock.now()).await?;
    Ok(Json(issuer))
}

/// DELETE …/connections/{connection}/issuer
///
/// # Errors
/// 404.
pub async fn remove_issuer(
    who: TenantWriter<ManageCredentials>,
    State(app): State<Arc<App>>,
    At((_, connection)): At<(String, ConnectionId)>,
) -> Result<StatusCode> {
    app.store.remove_issuer(&who.tenant.id, &connection, &who.actor, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The settings with the keys, where they are given; where they are fetched, from an address that may be called.
pub(in crate::http) async fn checked(app: &App, wanted: IssuerWrite) -> Result<(Issuer, Option<String>)> {
    let (issuer, keys) = in_range(wanted)?;
    if let Some(url) = &issuer.jwks_uri {
        fit_url(app, "jwks_uri", url).await?;
    }
    Ok((issuer, keys))
}

fn in_range(wanted: IssuerWrite) -> Result<(Issuer, Option<String>)> {
    let refused = |detail: String| Err(Error::bad_request(detail, "an issuer's settings are out of range"));
    let texts = [("issuer", Some(&wanted.issuer)), ("audience", Some(&wanted.audience)), ("subject", wanted.subject.as_ref())];
    let texts = texts.into_iter().filter_map(|(name, text)| text.map(|text| (name, text)));
    let claims = wanted.claims.iter().flat_map(|(name, text)| [("claims", name), ("claims", text)]);
    for (name, text) in texts.chain(claims) {
        if text.is_empty() || text.chars().count() > TEXT_CHARS_LIMIT || text.chars().any(char::is_control) {
            return refused(format!("`{name}` must have 1 to {TEXT_CHARS_LIMIT} characters and no control characters"));
        }
    }
    if wanted.claims.len() > CLAIMS_LIMIT {
        return refused(format!("`claims` may have at most {CLAIMS_LIMIT} entries"));
    }
    let known = Algorithm::ALL.iter().map(|algorithm| algorithm.word());
    let algorithms = wanted.algorithms.unwrap_or_else(|| known.clone().map(str::to_owned).collect());
    if algorithms.is_empty() || !algorithms.iter().all(|word| Algorithm::from_word(word).is_some()) {
        return refused(format!("`algorithms` may be some of {}, nothing else", known.collect::<Vec<_>>().join(", ")));
    }
    let clock_skew_seconds = wanted.clock_skew_seconds.unwrap_or(CLOCK_SKEW_SECONDS_DEFAULT);
    if !(0..=CLOCK_SKEW_SECONDS_LIMIT).contains(&clock_skew_seconds) {
        return refused(format!("`clock_skew_seconds` must be from 0 to {CLOCK_SKEW_SECONDS_LIMIT}"));
    }
    let keys = match (&wanted.jwks_uri, &wanted.jwks) {
        (Some(_), None) => None,
        (None, Some(keys)) => Some(keys.to_string()),
        _ => return refused("give `jwks_uri` or `jwks`, and not both".into()),
    };
    if let Some(unfit) = wanted.jwks.as_ref().and_then(KeySet::unfit) {
        return refused(unfit_words(&unfit));
    }
    if wanted.jwks.as_ref().and_then(|keys| keys.get("keys")?.as_array()).is_some_and(|keys| keys.len() > KEYS_LIMIT) {
        return refused(format!("`jwks` may have at most {KEYS_LIMIT} keys"));
    }
    if let Some(keys) = &keys {
        let Some(read) = KeySet::read(keys).ok().filter(|keys| !keys.is_empty()) else {
            return refused("`jwks` must be a JSON Web Key Set with a public key for signatures (RSA, P-256, P-384 or Ed25519)".into());
        };
        if !read.fits(&algorithms) {
            return refused(format!("no key of `jwks` is one for {}: nothing would ever be verified", algorithms.join(", ")));
        }
    }
    let IssuerWrite { issuer, audience, jwks_uri, subject, claims, .. } = wanted;
    Ok((Issuer { issuer, audience, algorithms, jwks_uri, clock_skew_seconds, subject, claims }, keys))
}

/// Which key it is and what to do. Nothing of the key itself: a private part may be the very secret that must not go further.
fn unfit_words(unfit: &UnfitKey) -> String {
    let id = unfit.id.as_deref().map(|id| format!(" (`{}`)", quoted(id))).unwrap_or_default();
    let why = match unfit.why {
        Unfit::Private => "has its private part: send public keys alone, and replace this one, which is known to more than its owner now",
        Unfit::Length => "is an RSA key of less than 2,048 or more than 8,192 bits, with which nothing is verified: use another",
    };
    format!("`jwks`: key {}{id} {why}", unfit.position)
}
