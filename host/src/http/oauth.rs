//! A connection's token endpoint: OAuth 2.0 client credentials (RFC 6749 §4.4). It stands beside the SCIM base URL.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{HeaderValue, PRAGMA};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use zeroize::Zeroizing;

use super::body::FormBody;
use super::error::{Error, Result};
use super::guards::ScimClient;
use crate::app::App;
use crate::auth::{self, Denied, Presented};

/// What there is to ask for: all that a connection may do.
const SCOPE: &str = "scim";

/// A request for an access token (`application/x-www-form-urlencoded`).
#[derive(JsonSchema)]
#[expect(dead_code, reason = "documents a form that is read by name")]
pub struct TokenRequest {
    /// `client_credentials`.
    grant_type: String,
    /// The client's id, unless it is in the `Authorization` header.
    client_id: Option<String>,
    /// The client's secret, unless it is in the `Authorization` header.
    client_secret: Option<String>,
    /// Ignored: a client may do on its connection all that there is to do.
    scope: Option<String>,
}

/// An access token (RFC 6749 §5.1).
#[derive(Serialize, JsonSchema)]
pub struct AccessToken {
    /// The token, `ra_…`.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// For how many seconds it is good.
    expires_in: i64,
    /// What it is good for: `scim`.
    scope: &'static str,
}

/// POST …/oauth/token
///
/// # Errors
/// As RFC 6749 §5.2 has them; 429.
pub async fn token(who: ScimClient, State(app): State<Arc<App>>, form: FormBody) -> Result<Response> {
    if !form.is_form() {
        return Err(Error::token_request(
            "invalid_request",
            "send the request as a form, `Content-Type: application/x-www-form-urlencoded`",
        ));
    }
    if form.repeats() {
        return Err(Error::token_request("invalid_request", "a parameter is there twice"));
    }
    let refused = |denied| match denied {
        Denied::Unauthorized | Denied::Missing => Error::invalid_client(),
        other => other.into(),
    };
    let Some((id, secret)) = credentials(&who, &form)? else {
        // Its tenant finds it with the refused ones, as a bearer token that is missing.
        let presented = if who.basic.is_some() { Presented::OtherScheme } else { Presented::Missing };
        return Err(refused(auth::none(&app, &who.path, presented).await));
    };
    let granted = auth::client::grant(&app, &who.path, &id, &secret).await.map_err(refused)?;
    // After the client is known: a stranger learns nothing of what may be asked here.
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(Error::token_request("unsupported_grant_type", "the grant_type must be client_credentials")),
        None => return Err(Error::token_request("invalid_request", "send grant_type=client_credentials as a form")),
    }
    let token = AccessToken { access_token: granted.token.to_string(), token_type: "Bearer", expires_in: granted.seconds, scope: SCOPE };
    // `Cache-Control: no-store` is on every answer.
    Ok(([(PRAGMA, HeaderValue::from_static("no-cache"))], Json(token)).into_response())
}

/// RFC 6749 §2.3.1: in the header or in the body, and not in both; nothing where there is no secret. A secret without an id is one of
/// nobody's.
fn credentials(who: &ScimClient, form: &FormBody) -> Result<Option<(String, Zeroizing<String>)>> {
    let (id, secret) = (form.get("client_id"), form.get("client_secret"));
    match (&who.basic, secret) {
        (Some(_), Some(_)) => Err(Error::token_request("invalid_request", "send the client's secret in one place only")),
        (Some(Ok((name, secret))), None) => match id {
            Some(id) if id != name => Err(Error::token_request("invalid_request", "the client_id is another than in the header")),
            _ => Ok(Some((name.clone(), secret.clone()))),
        },
        (None, Some(secret)) => Ok(Some((id.unwrap_or_default().to_owned(), Zeroizing::new(secret.to_owned())))),
        (Some(Err(())) | None, None) => Ok(None),
    }
}
