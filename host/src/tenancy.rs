//! Tenants as administered: their revisions (stored, checked, activated, built once), their connections and tokens.
//! Knows nothing of HTTP; the API, the command line and start-up call the same functions.

pub mod handles;
pub mod plugins;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rolecall_scim::schema::Schemas;
use zeroize::Zeroizing;

use crate::app::App;
use crate::crypto;
use crate::diagnostic::Diagnostic;
use crate::evaluation::{self, Outcome};
use crate::model::{Actor, ConnectionId, ConnectionState, Instant, RevisionHash, TenantId};
use crate::policies::Explanation;
use crate::provisioning::people::Case;
use crate::revision::{self, Files, GoldenResult, Revision};
use crate::store::{ApiScope, Connection, CredentialKind, NewToken, StoreError, StoredRevision, Tenant};

/// The longest tenant id, as a DNS label.
const TENANT_ID_LIMIT: usize = 63;
/// The longest name of a connection or tenant, in characters.
const NAME_LIMIT: usize = 128;
/// The most tenants whose revision stays built in memory; the least recently built is built again when needed.
const BUILT_LIMIT: usize = 10_000;

/// What is known in memory of a tenant's active revision.
#[derive(Clone, Default)]
pub struct Active {
    /// Its hash, which commits are checked against; `None` while the tenant has no revision.
    pub hash: Option<RevisionHash>,
    /// `None` when there is none, or when the stored one can't be built any more: then there is no verdict and nothing is granted.
    pub built: Option<Arc<Revision>>,
}

/// Each tenant's active revision, built. A memory of the database: every commit checks that it is still true.
#[derive(Default)]
pub struct Revisions {
    active: Mutex<HashMap<TenantId, Active>>,
    /// Compiling is work that an upload can make long: one at a time. What was built last is kept, because a revision that
    /// is checked is mostly activated next; it is known by its hash, so it is the same for whoever has the same files.
    building: tokio::sync::Mutex<Option<Arc<Revision>>>,
}

impl Revisions {
    fn get(&self, tenant: &TenantId) -> Option<Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    fn put(&self, tenant: &TenantId, active: Active) {
        let mut map = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= BUILT_LIMIT {
            map.clear();
        }
        map.insert(tenant.clone(), active);
    }

    /// Forgets what is known of a tenant: a commit found that another revision is active.
    pub fn forget(&self, tenant: &TenantId) {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }
}

/// Why an administrative change was not made.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// The folder is broken.
    #[error("the revision has {} problem(s)", .0.len())]
    Broken(Vec<Diagnostic>),
    /// Golden cases fail.
    #[error("{} golden case(s) fail", .0.iter().filter(|case| case.diff.is_some()).count())]
    Golden(Vec<GoldenResult>),
    /// Managed elsewhere, a malformed name …: a sentence that says what to do.
    #[error("{0}")]
    Refused(String),
    /// The store's word.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too much of this tenant's waits for the evaluation threads.
    #[error(transparent)]
    Overloaded(#[from] crate::compute::Overloaded),
}

/// What checking a revision found.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Checked {
    /// Its hash.
    pub hash: RevisionHash,
    /// How many golden cases passed.
    pub golden_passed: usize,
    /// The revision that is active now.
    pub active: Option<RevisionHash>,
}

/// A token that is shown once.
pub struct IssuedToken {
    /// Its id.
    pub id: String,
    /// The secret, `rc_…`.
    pub token: Zeroizing<String>,
    /// When it ends.
    pub expires: Option<Instant>,
}

/// The tenant's active revision, built, where there is one that can be built.
///
/// # Errors
/// The store's.
pub async fn active_revision(app: &Arc<App>, tenant: &TenantId) -> Result<Option<Arc<Revision>>, StoreError> {
    Ok(active(app, tenant).await?.built)
}

/// What is active for the tenant; from memory unless another revision was activated.
///
/// # Errors
/// The store's.
pub async fn active(app: &Arc<App>, tenant: &TenantId) -> Result<Active, StoreError> {
    if let Some(active) = app.revisions.get(tenant) {
        return Ok(active);
    }
    let mut last = app.revisions.building.lock().await;
    if let Some(active) = app.revisions.get(tenant) {
        return Ok(active);
    }
    let hash = app.store.tenant(tenant).await?.and_then(|tenant| tenant.active_revision);
    let built = match &hash {
        Some(hash) => build_stored(app, &mut last, tenant, hash).await?,
        None => None,
    };
    let active = Active { hash, built };
    app.revisions.put(tenant, active.clone());
    Ok(active)
}

/// What is active if it is in memory, else nothing: for what must not wait for a compilation (a leaver).
#[must_use]
pub fn active_if_loaded(app: &App, tenant: &TenantId) -> Active {
    app.revisions.get(tenant).unwrap_or_default()
}

async fn build_stored(
    app: &Arc<App>,
    last: &mut Option<Arc<Revision>>,
    tenant: &TenantId,
    hash: &RevisionHash,
) -> Result<Option<Arc<Revision>>, StoreError> {
    let Some(stored) = app.store.revision(tenant, hash).await? else {
        return Err(StoreError::Corrupt(format!("the active revision `{hash}` of tenant `{tenant}` is not stored")));
    };
    match build(app, last, stored.files).await {
        Ok(revision) => Ok(Some(revision)),
        Err(problems) => {
            let first = problems.first().map(|problem| problem.message.as_str()).unwrap_or_default();
            tracing::error!(%tenant, %hash, problem = first, "the active revision can't be built: nothing is granted until another is activated");
            Ok(None)
        }
    }
}

/// Builds off the async workers, because compiling takes long; what was built last is not built again.
async fn build(app: &Arc<App>, last: &mut Option<Arc<Revision>>, files: Files) -> Result<Arc<Revision>, Vec<Diagnostic>> {
    let hash = revision::hash(&files);
    if let Some(built) = last.as_ref().filter(|built| built.hash == hash) {
        return Ok(Arc::clone(built));
    }
    let sandbox = Arc::clone(&app.sandbox);
    let built = tokio::task::spawn_blocking(move || Revision::build(&files, &sandbox)).await;
    let built = match built {
        Ok(result) => Arc::new(result?),
        Err(_) => return Err(vec![Diagnostic::of_file("tenant.toml", "the revision could not be built: building it failed inside")]),
    };
    *last = Some(Arc::clone(&built));
    Ok(built)
}

/// Makes the tenant if it is not there.
///
/// # Errors
/// `Refused` for a malformed id or name.
pub async fn ensure_tenant(app: &Arc<App>, tenant: &TenantId, name: &str, managed_by: &str) -> Result<Tenant, TenancyError> {
    let well_formed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let id = tenant.as_str();
    if id.is_empty() || id.len() > TENANT_ID_LIMIT || !id.chars().all(well_formed) || id.starts_with('-') || id.ends_with('-') {
        let rule =
            format!("`{}` is no tenant id: use lower-case letters, digits and inner hyphens, at most {TENANT_ID_LIMIT}", id.escape_debug());
        return Err(TenancyError::Refused(rule));
    }
    check_name(name)?;
    Ok(app.store.ensure_tenant(tenant, name, managed_by, app.clock.now()).await?)
}

fn check_name(name: &str) -> Result<(), TenancyError> {
    if name.trim().is_empty() || name.chars().count() > NAME_LIMIT || name.chars().any(char::is_control) {
        return Err(TenancyError::Refused(format!("a name has 1 to {NAME_LIMIT} characters and no control characters")));
    }
    Ok(())
}

/// Checks files as a revision, golden cases included, without storing anything.
///
/// # Errors
/// `Broken`, `Golden`.
pub async fn check_revision(app: &Arc<App>, tenant: &TenantId, files: Files) -> Result<Checked, TenancyError> {
    let active = app.store.tenant(tenant).await?.and_then(|tenant| tenant.active_revision);
    plugins::check_signatures(app, tenant, &files).await?;
    let built = build(app, &mut *app.revisions.building.lock().await, files).await.map_err(TenancyError::Broken)?;
    let (hash, tested) = (built.hash.clone(), Arc::clone(&built));
    // Golden cases are tenant code: on the tenant's threads, within its share.
    let results = app.compute.run(tenant, move || tested.run_tests()).await?;
    if results.iter().any(|case| case.diff.is_some()) {
        return Err(TenancyError::Golden(results));
    }
    Ok(Checked { hash, golden_passed: results.len(), active })
}

/// Checks files as a revision (golden cases included) and stores it.
///
/// # Errors
/// `Broken`, `Golden`.
pub async fn store_revision(app: &Arc<App>, tenant: &TenantId, files: Files) -> Result<Checked, TenancyError> {
    let checked = check_revision(app, tenant, files.clone()).await?;
    let stored = StoredRevision { hash: revision::hash(&files), files };
    app.store.put_revision(tenant, &stored, app.clock.now()).await?;
    Ok(checked)
}

/// Activates a stored revision if `replaces` still is the active one. `owner` is `folder` or `api` and must be the tenant's `managed_by`.
///
/// # Errors
/// `Store(Conflict)` when another was activated meanwhile; `Refused` when somebody else owns the tenant's revisions or it can't be built.
pub async fn activate(
    app: &Arc<App>,
    tenant: &TenantId,
    hash: &RevisionHash,
    replaces: Option<&RevisionHash>,
    owner: &str,
    actor: &Actor,
) -> Result<(), TenancyError> {
    let stored = app.store.tenant(tenant).await?.ok_or(StoreError::Missing("tenant"))?;
    if stored.managed_by != owner {
        let by = &stored.managed_by;
        return Err(TenancyError::Refused(format!("the revisions of tenant `{tenant}` are managed by its {by}: change them there")));
    }
    let files = app.store.revision(tenant, hash).await?.ok_or(StoreError::Missing("revision"))?.files;
    // By the keys of now: one may have been removed since the revision was stored.
    plugins::check_signatures(app, tenant, &files).await?;
    // Built before it is swapped in: a revision that can't be built never replaces one that can.
    let built = build(app, &mut *app.revisions.building.lock().await, files).await.map_err(TenancyError::Broken)?;
    app.store.activate(tenant, hash, replaces, actor, app.clock.now()).await?;
    app.revisions.put(tenant, Active { hash: Some(hash.clone()), built: Some(built) });
    handles::bind_unbound(app, tenant, None).await?;
    app.wake.notify_one();
    Ok(())
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
    actor: &Actor,
) -> Result<(Connection, IssuedToken), TenancyError> {
    check_name(name)?;
    let (issued, stored) = issue(app, crypto::TOKEN_PREFIX, None);
    let info = crate::store::TokenInfo { id: stored.id.clone(), created: stored.created, expires: stored.expires, last_used: None };
    let connection = Connection {
        id: ConnectionId(crypto::random_id()),
        name: name.to_owned(),
        state: ConnectionState::Active,
        created: stored.created,
        last_seen: None,
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
    app.wake.notify_one();
    Ok(())
}

/// Confirms a handle: people below its group are evaluated again.
///
/// # Errors
/// `Store(Missing)`.
pub async fn confirm_handle(
    app: &Arc<App>,
    tenant: &TenantId,
    handle: &crate::model::Handle,
    actor: &Actor,
) -> Result<crate::store::HandleBinding, TenancyError> {
    let binding = app.store.confirm_handle(tenant, handle, actor, app.clock.now()).await?;
    app.wake.notify_one();
    Ok(binding)
}

/// Issues an API token.
///
/// # Errors
/// The store's.
pub async fn create_api_token(app: &Arc<App>, scope: ApiScope, lifetime_seconds: Option<i64>) -> Result<IssuedToken, TenancyError> {
    if let Some(tenant) = &scope.tenant {
        app.store.tenant(tenant).await?.ok_or(StoreError::Missing("tenant"))?;
    }
    let (issued, stored) = issue(app, crypto::TOKEN_PREFIX, lifetime_seconds);
    app.store.create_api_token(&stored, &scope).await?;
    Ok(issued)
}

/// Why an account holds a role or does not, decided on the stored inputs now.
///
/// # Errors
/// `Store(Missing)` for an unknown account or role.
pub async fn explain(app: &Arc<App>, tenant: &TenantId, account: &str, role: &str) -> Result<Explanation, TenancyError> {
    let view = app.store.account(tenant, account).await?.ok_or(StoreError::Missing("account"))?;
    let revision = active_revision(app, tenant).await?;
    let Some(revision) = revision else {
        return Ok(Explanation::without_policies(role, "no_revision", "the tenant has no active revision: apply one"));
    };
    if !revision.policies.roles().iter().any(|known| known.id == role) {
        return Err(StoreError::Missing("role in the tenant's catalogue").into());
    }
    let Some((connection, user)) = view.source else {
        return Ok(Explanation::without_policies(role, "removed", "the identity provider deleted the person"));
    };
    let people = app.store.people(tenant, &connection, std::slice::from_ref(&user)).await?;
    let person = people.into_iter().next().ok_or(StoreError::Missing("account"))?;
    let as_of = crate::provisioning::people::as_of(app.clock.now(), None);
    let (role, case) = (role.to_owned(), Case::unchanged(person));
    Ok(app.compute.run(tenant, move || explain_case(&revision, &case, &role, as_of)).await?)
}

fn explain_case(revision: &Revision, case: &Case, role: &str, as_of: Instant) -> Explanation {
    let evaluation = evaluation::evaluate(revision, &case.subject, as_of);
    let shape = match &evaluation.outcome {
        Outcome::Account(shape) | Outcome::Collision(shape, _) => shape,
        Outcome::Inactive => {
            return Explanation::without_policies(role, "inactive", "the identity provider says that the person is inactive");
        }
        Outcome::OutOfScope(reason) => return Explanation::without_policies(role, "out_of_scope", reason),
        Outcome::Refused(note) => return Explanation::without_policies(role, "refused", &note.message),
        Outcome::Fault(fault) => return Explanation::without_policies(role, "fault", &fault.note.message),
    };
    match evaluation::nominations(revision, &case.subject, shape, as_of) {
        Ok(nominations) => {
            let principal = evaluation::principal(&case.subject, shape);
            let explained = revision.policies.explain(&principal, role, nominations.contains_key(role), as_of.timestamp());
            let unknown = || Explanation::without_policies(role, "unknown_role", "the role is not in the tenant's catalogue");
            let mut explained = explained.unwrap_or_else(unknown);
            evaluation::name_nomination(&mut explained.reasons, nominations.get(role));
            explained
        }
        Err(fault) => Explanation::without_policies(role, "fault", &fault.to_string()),
    }
}

/// The schemas that a tenant uses; the standard ones while it has no revision.
#[must_use]
pub fn schemas(active: &Active) -> Arc<Schemas> {
    // Made once: every request asks.
    static STANDARD: LazyLock<Arc<Schemas>> = LazyLock::new(Arc::default);
    active.built.as_ref().map_or_else(|| Arc::clone(&STANDARD), |revision| Arc::clone(&revision.schemas))
}
