//! The API for the platform and its tools: `/api/v1`. One file for each kind of thing; answers are the domain's own types
//! where those are fit to be read, and a struct beside the handler where they are not.

pub mod accounts;
pub mod connections;
pub mod credentials;
pub mod drift;
pub mod first_sync;
pub mod governance;
pub mod handles;
pub mod health;
pub mod history;
pub mod journal;
pub mod moving;
mod pages;
pub mod plugins;
pub mod policies;
pub mod processes;
pub mod restored;
pub mod reviews;
pub mod revisions;
pub mod run;
pub mod steps;
pub mod targets;
pub mod tenants;
pub mod tokens;
pub mod trials;
pub mod workspace;

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use crate::app::App;
use crate::model::Instant;
use crate::store::ApiScope;
use crate::tenancy::IssuedToken;

/// The longest name for people, in characters.
const NAME_CHARS_LIMIT: usize = 200;
/// The longest life of a token, in seconds: ten years, so that an end can always be computed.
pub const LIFETIME_SECONDS_LIMIT: i64 = 10 * 366 * 24 * 3600;

/// A body without fields.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A token that was just made: shown this once.
#[derive(Serialize, JsonSchema)]
pub struct TokenAnswer {
    /// An id to name it by; not the secret.
    token_id: String,
    /// The secret, `rc_…`: it can't be shown again.
    token: String,
    /// When it stops being accepted; `null` for never.
    expires: Option<Instant>,
}

impl From<IssuedToken> for TokenAnswer {
    fn from(issued: IssuedToken) -> Self {
        Self { token_id: issued.id, token: issued.token.to_string(), expires: issued.expires }
    }
}

/// The headers of an answer that is kept as a file of that name.
pub(super) fn attached(name: &str, media_type: &'static str) -> [(HeaderName, String); 2] {
    [(CONTENT_TYPE, media_type.to_owned()), (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))]
}

fn checked_name(name: &str) -> Result<&str> {
    checked_text("name", name)
}

/// A text for people in a field of that name.
fn checked_text<'t>(field: &str, text: &'t str) -> Result<&'t str> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > NAME_CHARS_LIMIT || text.chars().any(char::is_control) {
        let detail = format!("`{field}` must have 1 to {NAME_CHARS_LIMIT} characters and no control characters");
        return Err(Error::bad_request(detail, "a name is too long, empty or not printable"));
    }
    Ok(text)
}

/// A scope that a token or a session may have: of a tenant that there is, and of somebody who can be named.
async fn checked_scope(app: &App, scope: ApiScope) -> Result<ApiScope> {
    if let Some(tenant) = &scope.tenant {
        let known = !tenant.as_str().contains('\0') && app.store.tenant(tenant).await?.is_some();
        if !known {
            return Err(Error::not_found("such tenant"));
        }
    }
    if let Some(person) = &scope.person {
        checked_text("person", person)?;
    }
    Ok(scope)
}

fn checked_lifetime(seconds: Option<i64>) -> Result<Option<i64>> {
    match seconds {
        Some(seconds) if !(1..=LIFETIME_SECONDS_LIMIT).contains(&seconds) => {
            let detail = format!("`lifetime_seconds` must be from 1 to {LIFETIME_SECONDS_LIMIT}, or left out for no end");
            Err(Error::bad_request(detail, "a lifetime is out of range"))
        }
        fitting => Ok(fitting),
    }
}
