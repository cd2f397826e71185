//! Tenants.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checked_name;
use crate::app::App;
use crate::http::body::ApiBody;
use crate::http::error::Result;
use crate::http::guards::{ApiCaller, PlatformWriter, TenantReader};
use crate::model::{ActivationState, Instant, RevisionHash, TenantId};
use crate::store::Tenant;
use crate::tenancy;

/// The tenants that a token may see.
#[derive(Serialize, JsonSchema)]
pub struct TenantList {
    /// By id.
    tenants: Vec<Tenant>,
}

/// A tenant to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Lower-case letters, digits and hyphens, at most 63 characters.
    id: TenantId,
    /// For people; the id, unless given.
    name: Option<String>,
    /// Who alone may activate its revisions; the API, unless given.
    #[serde(default)]
    managed_by: Owner,
}

/// The one owner of a tenant's revisions.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// This API.
    #[default]
    Api,
    /// The folder that the server was started with.
    Folder,
}

impl Owner {
    fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Folder => "folder",
        }
    }
}

/// A tenant and how it is doing.
#[derive(Serialize, JsonSchema)]
pub struct TenantAnswer {
    /// The tenant.
    #[serde(flatten)]
    tenant: Tenant,
    /// How many people's evaluations are due.
    pending: i64,
}

/// GET /api/v1/tenants
///
/// # Errors
/// The store's.
pub async fn list(ApiCaller(principal): ApiCaller, State(app): State<Arc<App>>) -> Result<Json<TenantList>> {
    let tenants = match &principal.scope.tenant {
        None => app.store.tenants().await?,
        Some(own) => app.store.tenant(own).await?.into_iter().collect(),
    };
    Ok(Json(TenantList { tenants }))
}

/// POST /api/v1/tenants: 201, or 200 where the tenant is there already.
///
/// # Errors
/// 422 for a malformed id.
pub async fn create(
    _: PlatformWriter,
    State(app): State<Arc<App>>,
    ApiBody(new): ApiBody<NewTenant>,
) -> Result<(StatusCode, Json<Tenant>)> {
    let name = new.name.as_deref().map(checked_name).transpose()?.unwrap_or(new.id.as_str());
    // Before the look-up: what is no id must not reach the database.
    let known = if new.id.as_str().contains('\0') { None } else { app.store.tenant(&new.id).await? };
    let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let tenant = tenancy::ensure_tenant(&app, &new.id, name, new.managed_by.word()).await?;
    Ok((status, Json(tenant)))
}

/// GET /api/v1/tenants/{tenant}
///
/// # Errors
/// 404.
pub async fn read(who: TenantReader, State(app): State<Arc<App>>) -> Result<Json<TenantAnswer>> {
    let pending = app.store.count_pending(&who.tenant.id).await?;
    Ok(Json(TenantAnswer { tenant: who.tenant, pending }))
}

/// How far a tenant's people have been decided under its active revision. Any host gives the same answer, whoever works at it.
#[derive(Serialize, JsonSchema)]
pub struct Progress {
    /// The active revision; `null` for none.
    revision: Option<RevisionHash>,
    /// When it was activated; `null` where that is not known any more.
    activated: Option<Instant>,
    /// How many people there are.
    total: i64,
    /// How many of them were decided under it.
    done: i64,
    /// How many are not yet. Somebody whose evaluation fails and is tried again is among them.
    remaining: i64,
    /// How many people's evaluations are due, for whatever reason.
    pending: i64,
    /// How many were decided a second, on average since it was activated; `null` when none remain.
    per_second: Option<f64>,
    /// How long the rest takes at that rate; `null` when none remain, or none is done.
    remaining_seconds: Option<i64>,
}

impl Progress {
    fn at_that_rate(&mut self, activated: Option<Instant>, now: Instant) {
        let Some(activated) = activated.filter(|_| self.remaining > 0 && self.done > 0) else { return };
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let (done, remaining, ms) = (self.done as f64, self.remaining as f64, now.millis_since(activated).max(1) as f64);
        let rate = done * 1_000.0 / ms;
        self.per_second = Some((rate * 10.0).round() / 10.0);
        #[expect(clippy::cast_possible_truncation, reason = "at most the age of an activation times the number of people")]
        let seconds = (remaining / rate).ceil() as i64;
        self.remaining_seconds = Some(seconds);
    }
}

/// GET /api/v1/tenants/{tenant}/progress
///
/// # Errors
/// 404.
pub async fn progress(who: TenantReader, State(app): State<Arc<App>>) -> Result<Json<Progress>> {
    let tenant = &who.tenant.id;
    let covered = app.store.coverage(tenant).await?;
    let pending = app.store.count_pending(tenant).await?;
    let activated = match &who.tenant.active_revision {
        Some(revision) => app.store.activation_of(tenant, revision, Some(ActivationState::Active)).await?.map(|active| active.at),
        None => None,
    };
    let mut progress = Progress {
        revision: who.tenant.active_revision,
        activated,
        total: covered.people,
        done: covered.decided,
        remaining: covered.people - covered.decided,
        pending,
        per_second: None,
        remaining_seconds: None,
    };
    progress.at_that_rate(activated, app.clock.now());
    Ok(Json(progress))
}
