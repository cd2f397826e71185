//! What the store says of API tokens, to those who look after them: never the secret, nor its hash.

use async_trait::async_trait;

use super::{ApiScope, NewToken, Result};
use crate::model::{Actor, Instant, TenantId};

/// The most API tokens that one answer lists.
pub const API_TOKENS_AT_ONCE: i64 = 500;

/// An API token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct ApiTokenInfo {
    /// Its id.
    pub id: String,
    /// What it is for, where somebody said so.
    pub name: Option<String>,
    /// What it may do.
    #[serde(flatten)]
    pub scope: ApiScope,
    /// When it was made.
    pub created: Instant,
    /// Who made it, where that is known.
    pub created_by: Option<Actor>,
    /// When it was used last, give or take a minute; `null` where it never was, as far as is known.
    pub last_used: Option<Instant>,
    /// When it ends; `null`: never.
    pub expires: Option<Instant>,
}

/// API tokens: of a tenant, or (`None`) of the platform.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Stores an API token with what it is for; one for a tenant is told in its history.
    async fn create_api_token(&self, token: &NewToken, scope: &ApiScope, name: Option<&str>, actor: &Actor) -> Result<()>;
    /// Tokens behind an id, by id, at most `limit`: those that have expired too.
    async fn api_tokens(&self, tenant: Option<&TenantId>, after: Option<&str>, limit: i64) -> Result<Vec<ApiTokenInfo>>;
    /// Ends a token; one of a tenant is told in its history. `Missing` where there is none of that id there.
    async fn end_api_token(&self, tenant: Option<&TenantId>, id: &str, actor: &Actor, at: Instant) -> Result<()>;
    /// Notes the use of a token.
    async fn note_api_token(&self, id: &str, at: Instant) -> Result<()>;
}
