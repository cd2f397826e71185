//! Targets: downstream systems that are told of events.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::app::App;
use crate::delivery::webhook;
use crate::http::body::ApiBody;
use crate::http::error::{Error, Result};
use crate::http::frame;
use crate::http::guards::{ManageTargets, TenantReader, TenantWriter};
use crate::http::query::At;
use crate::model::{Actor, TenantId};
use crate::store::Target;

/// The most targets of a tenant: every event waits for each of them by itself.
const TARGETS_LIMIT: usize = 20;
/// The longest id of a target, in bytes.
const ID_BYTES_LIMIT: usize = 63;
/// How many bytes a signing secret may have (Standard Webhooks).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A target, without its secret.
#[derive(Serialize, JsonSchema)]
pub struct TargetAnswer {
    /// Its id, chosen by whoever made it.
    id: String,
    /// Where events are sent.
    url: String,
    /// Whether deliveries are made.
    enabled: bool,
    /// The signing secret: in the answer that made it, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) secret: Option<String>,
}

/// The tenant's targets.
#[derive(Serialize, JsonSchema)]
pub struct TargetList {
    /// By id.
    targets: Vec<TargetAnswer>,
}

/// What a target is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetWrite {
    /// `https://…`, without user information, at a public address; others are for the server's operator to allow.
    pub(in crate::http) url: String,
    /// The signing secret, `whsec_` and 24 to 64 bytes in base64; one is made for a new target unless given, and kept for
    /// an existing one.
    pub(in crate::http) secret: Option<String>,
    /// Whether deliveries are made; `true` unless given.
    pub(in crate::http) enabled: Option<bool>,
}

impl From<Target> for TargetAnswer {
    fn from(target: Target) -> Self {
        Self { id: target.id, url: target.url, enabled: target.enabled, secret: None }
    }
}

/// GET …/targets
///
/// # Errors
/// The store's.
pub async fn list(who: TenantReader, State(app): State<Arc<App>>) -> Result<Json<TargetList>> {
    let targets = app.store.targets(&who.tenant.id).await?;
    Ok(Json(TargetList { targets: targets.into_iter().map(Into::into).collect() }))
}

/// PUT …/targets/{target}
///
/// # Errors
/// 400 for a malformed id, URL or secret, and for a URL that this server does not call.
pub async fn put(
    who: TenantWriter<ManageTargets>,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiBody(wanted): ApiBody<TargetWrite>,
) -> Result<Json<TargetAnswer>> {
    Ok(Json(set(&app, &who.tenant.id, id, wanted, &who.actor).await?))
}

/// DELETE …/targets/{target}
///
/// # Errors
/// 404.
pub async fn delete(
    who: TenantWriter<ManageTargets>,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
) -> Result<StatusCode> {
    remove(&app, who.tenant.id, id, who.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a target, whoever asked stays to hear of it or not: much may wait for it.
pub(in crate::http) async fn remove(app: &Arc<App>, tenant: TenantId, id: String, actor: Actor) -> Result<()> {
    let app = Arc::clone(app);
    frame::to_the_end(async move { app.store.remove_target(&tenant, &id, &actor, app.clock.now()).await }).await??;
    Ok(())
}

/// Sets a target. Its secret is in the answer where it was made just now.
pub(in crate::http) async fn set(app: &App, tenant: &TenantId, id: String, wanted: TargetWrite, actor: &Actor) -> Result<TargetAnswer> {
    check_id(&id)?;
    fit_url(app, "url", &wanted.url).await?;
    let all = app.store.targets(tenant).await?;
    let count = all.len();
    let known = all.into_iter().find(|target| target.id == id);
    if known.is_none() && count >= TARGETS_LIMIT {
        return Err(Error::bad_request(
            format!("there are {TARGETS_LIMIT} targets already: remove one first"),
            "there are too many targets",
        ));
    }
    let (sealed_secret, made) = match (wanted.secret.map(Zeroizing::new), known) {
        (Some(secret), _) => (seal(app, tenant, &secret).await?, None),
        (None, Some(known)) => (known.sealed_secret, None),
        (None, None) => {
            let secret = webhook::new_secret();
            (seal(app, tenant, &secret).await?, Some(secret.to_string()))
        }
    };
    let target = Target { id, tenant: tenant.clone(), url: wanted.url, sealed_secret, enabled: wanted.enabled.unwrap_or(true) };
    app.store.put_target(&target, actor, app.clock.now()).await?;
    Ok(TargetAnswer { secret: made, ..target.into() })
}

async fn seal(app: &App, tenant: &TenantId, secret: &str) -> Result<Vec<u8>> {
    if !webhook::secret_bytes(secret).is_some_and(|bytes| SECRET_BYTES.contains(&bytes.len())) {
        return Err(Error::bad_request("`secret` must be `whsec_` and 24 to 64 bytes in base64", "a signing secret is malformed"));
    }
    Ok(app.store.seal_secret(tenant, secret.as_bytes()).await?)
}

/// Whether this server calls the URL that a field of a request names.
pub(super) async fn fit_url(app: &App, field: &str, url: &str) -> Result<()> {
    let refused = |refusal| Error::bad_request(format!("`{field}` can't be used: {refusal}"), "a URL is given that is not called");
    app.outgoing.vet(url).await.map_err(refused)
}

fn check_id(id: &str) -> Result<()> {
    let fits = (1..=ID_BYTES_LIMIT).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let refused =
        || Error::bad_request(format!("a target's id has 1 to {ID_BYTES_LIMIT} letters, digits and `-_.`"), "a target's id is malformed");
    if fits { Ok(()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_targets_are_plain() {
        assert!(check_id("crm-1.prod_x").is_ok());
        for id in ["", "a b", "ä", &"x".repeat(64)] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }
}
