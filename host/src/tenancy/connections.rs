//! Connections as they are administered, and the secrets that are issued: for them, and for the API.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{TenancyError, admin, check_name};
use crate::app::App;
use crate::crypto;
use crate::model::{Actor, ConnectionId, ConnectionState, Instant, TenantId};
use crate::store::{ApiScope, Connection, CredentialKind, NewToken, StoreError, TokenInfo};

/// A token that is shown once.
pub struct IssuedToken {
    /// Its id.
    pub id: String,
    /// The secret, `rc_…`.
    pub token: Zeroizing<String>,
    /// When it ends.
    pub expires: Option<Instant>,
}

fn issue(app: &App, prefix: &str, lifetime_seconds: Option<i64>) -> (IssuedToken, NewToken) {
    let token = crypto::new_token(prefix);
    let created = app.clock.now();
    let expires = lifetime_seconds.map(|seconds| created.plus_seconds(seconds.max(0)));
    let id = crypto::random_id();
    let stored = NewToken { id: id.clone(), hash: app.keyring.token_hash(&token), created, expires };
    (IssuedToken { id, token, expires }, stored)
}

/// Creates a connection with its first token.
///
/// # Errors
/// `Store(Taken)` for a name in use.
pub async fn create_connection(
    app: &Arc<App>,
    tenant: &TenantId,
    name: &str,
    (state, guarded): (ConnectionState, bool),
    actor: &Actor,
) -> Result<(Connection, IssuedToken), TenancyError> {
    check_name(name)?;
    let (issued, stored) = issue(app, crypto::TOKEN_PREFIX, None);
    let info = TokenInfo { id: stored.id.clone(), created: stored.created, expires: stored.expires, last_used: None };
    let connection = Connection {
        id: ConnectionId(crypto::random_id()),
        name: name.to_owned(),
        state,
        guarded,
        created: stored.created,
        last_seen: None,
        restored: None,
        wrong_credentials: 0,
        tokens: vec![info],
        client_secrets: Vec::new(),
        issuer: None,
    };
    app.store.create_connection(tenant, &connection, &stored, actor).await?;
    Ok((connection, issued))
}

/// Issues another token, or another secret of the connection's OAuth client (which has none until the first one); the one before
/// stays good for `overlap_seconds`.
///
/// # Errors
/// `Store(Missing)`.
pub async fn rotate_token(
    app: &Arc<App>,
    (tenant, connection): (&TenantId, &ConnectionId),
    kind: CredentialKind,
    overlap_seconds: i64,
    lifetime_seconds: Option<i64>,
    actor: &Actor,
) -> Result<IssuedToken, TenancyError> {
    let prefix = match kind {
        CredentialKind::Bearer => crypto::TOKEN_PREFIX,
        CredentialKind::ClientSecret => crypto::CLIENT_SECRET_PREFIX,
    };
    let (issued, stored) = issue(app, prefix, lifetime_seconds);
    let others_end = stored.created.plus_seconds(overlap_seconds.max(0));
    app.store.rotate_token(tenant, connection, kind, &stored, others_end, actor).await?;
    Ok(issued)
}

/// Pauses or resumes.
///
/// # Errors
/// `Store(Missing)`.
pub async fn set_connection_state(
    app: &Arc<App>,
    tenant: &TenantId,
    connection: &ConnectionId,
    state: ConnectionState,
    actor: &Actor,
) -> Result<(), TenancyError> {
    app.store.set_connection_state(tenant, connection, state, actor, app.clock.now()).await?;
    app.wake.notify_one();
    Ok(())
}

/// Deletes a connection: as if each of its people had been deleted.
///
/// # Errors
/// `Store(Missing)`.
pub async fn delete_connection(app: &Arc<App>, tenant: &TenantId, connection: &ConnectionId, actor: &Actor) -> Result<(), TenancyError> {
    app.store.delete_connection(tenant, connection, actor, app.clock.now()).await?;
    app.freed.note(tenant);
    app.wake.notify_one();
    Ok(())
}

/// Who acts where the server does by itself as it starts.
#[must_use]
pub fn starting() -> Actor {
    Actor { kind: "startup".into(), id: "rolecall".into() }
}

/// Issues an API token.
///
/// # Errors
/// The store's.
pub async fn create_api_token(app: &Arc<App>, scope: ApiScope, lifetime_seconds: Option<i64>) -> Result<IssuedToken, TenancyError> {
    issue_api_token(app, (scope, None), lifetime_seconds, &starting()).await
}

/// The same, for somebody, with a name that says what it is for.
///
/// # Errors
/// `Refused` for admin roles that a token can't carry; the store's.
pub async fn issue_api_token(
    app: &Arc<App>,
    (scope, name): (ApiScope, Option<&str>),
    lifetime_seconds: Option<i64>,
    actor: &Actor,
) -> Result<IssuedToken, TenancyError> {
    admin::check_roles(&scope)?;
    if let Some(tenant) = &scope.tenant {
        app.store.tenant(tenant).await?.ok_or(StoreError::Missing("tenant"))?;
    }
    let (issued, stored) = issue(app, crypto::TOKEN_PREFIX, lifetime_seconds);
    app.store.create_api_token(&stored, &scope, name, actor).await?;
    Ok(issued)
}
