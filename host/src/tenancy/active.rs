//! Each tenant's active revision, and candidates that are tried out, built and in memory: a memory of the database, which every commit
//! checks. Compiling is done here and nowhere else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rolecall_scim::schema::Schemas;

use super::TenancyError;
use super::fresh::Fresh;
use crate::app::App;
use crate::diagnostic::Diagnostic;
use crate::model::{ActivationSettings, ActivationState, Instant, RevisionHash, TenantId};
use crate::policies::admin::AdminPolicies;
use crate::revision::{self, Files, Revision};
use crate::store::{HeardRevision, StoreError};

/// The most tenants whose revision stays built in memory; the least recently built is built again when needed.
const BUILT_LIMIT: usize = 10_000;

/// Candidates that stay built in memory: those that are tried out at the moment.
const CANDIDATES_LIMIT: usize = 16;

/// What is known in memory of a tenant's active revision.
#[derive(Clone, Default)]
pub struct Active {
    /// Its hash, which commits are checked against; `None` while the tenant has no revision.
    pub hash: Option<RevisionHash>,
    /// `None` when there is none, or when the stored one can't be built any more: then there is no verdict and nothing is granted.
    pub built: Option<Arc<Revision>>,
    /// Set while the revision is fresh and may be taken back.
    pub fresh: Option<Arc<Fresh>>,
    /// The admin policies of one that can't be built, where they can be read all the same.
    admin: Option<Arc<AdminPolicies>>,
}

impl Active {
    /// The settings by which the next activation is watched.
    pub(super) fn activation_settings(&self) -> ActivationSettings {
        self.built.as_ref().map(|revision| revision.activation.clone()).unwrap_or_default()
    }

    /// Who may decide: by the active revision, by the program while there is none, and the operators alone where that can't be known.
    pub(super) fn admin(&self) -> Arc<AdminPolicies> {
        match (&self.built, &self.admin, &self.hash) {
            (Some(built), ..) => Arc::clone(&built.admin),
            (None, Some(admin), _) => Arc::clone(admin),
            (None, None, None) => AdminPolicies::default_policies(),
            (None, None, Some(_)) => AdminPolicies::none(),
        }
    }
}

/// Each tenant's active revision, built. A memory of the database: every commit checks that it is still true, what lets a request
/// in is read with it, and jobs ask first ([`active_now`]).
#[derive(Default)]
pub struct Revisions {
    active: Mutex<HashMap<TenantId, Known>>,
    /// For how long what nobody needs stays, in seconds; `None` for ever.
    idle_seconds: Option<i64>,
    /// Compiling is work that an upload can make long: one at a time. What was built last is kept, because a revision that
    /// is checked is mostly activated next; it is known by its hash, so it is the same for whoever has the same files.
    building: tokio::sync::Mutex<Option<Arc<Revision>>>,
    /// Candidates that are tried out, the one that was asked for last in front.
    candidates: Mutex<Vec<(TenantId, Arc<Revision>)>>,
}

/// What is in memory of a tenant.
struct Known {
    active: Active,
    /// When it was last needed.
    used: Instant,
}

impl Revisions {
    /// A memory that forgets what nobody has needed for so long.
    #[must_use]
    pub fn resting_after(seconds: u64) -> Self {
        Self { idle_seconds: Some(i64::try_from(seconds).unwrap_or(i64::MAX)), ..Self::default() }
    }

    /// Waits for the turn to compile, which ends when what is returned is dropped.
    pub(super) async fn turn(&self) -> impl Drop {
        self.building.lock().await
    }

    fn active(&self) -> MutexGuard<'_, HashMap<TenantId, Known>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets tenants whose revision nobody has needed for a while: their next request builds it again, from artefacts on disk.
    pub fn rest(&self, now: Instant) {
        let Some(seconds) = self.idle_seconds else { return };
        let before = now.plus_seconds(-seconds);
        // What is under watch has counts that are not written yet.
        self.active().retain(|_, known| known.used > before || known.active.fresh.is_some());
    }

    fn candidate(&self, tenant: &TenantId, hash: &RevisionHash) -> Option<Arc<Revision>> {
        let mut candidates = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        let at = candidates.iter().position(|(of, revision)| of == tenant && revision.hash == *hash)?;
        candidates[..=at].rotate_right(1);
        Some(Arc::clone(&candidates[0].1))
    }

    fn keep_candidate(&self, tenant: &TenantId, revision: &Arc<Revision>) {
        let mut candidates = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        candidates.retain(|(of, known)| of != tenant || known.hash != revision.hash);
        candidates.truncate(CANDIDATES_LIMIT - 1);
        candidates.insert(0, (tenant.clone(), Arc::clone(revision)));
    }

    /// The tenants whose active revision is fresh.
    pub(super) fn watched(&self) -> Vec<(TenantId, Arc<Fresh>)> {
        self.active().iter().filter_map(|(tenant, known)| Some((tenant.clone(), Arc::clone(known.active.fresh.as_ref()?)))).collect()
    }

    /// The revision is fresh no longer.
    pub(super) fn settle(&self, tenant: &TenantId, fresh: &Arc<Fresh>) {
        if let Some(Known { active, .. }) = self.active().get_mut(tenant)
            && active.fresh.as_ref().is_some_and(|known| Arc::ptr_eq(known, fresh))
        {
            active.fresh = None;
        }
    }

    fn get(&self, tenant: &TenantId, now: Instant) -> Option<Active> {
        let mut map = self.active();
        let known = map.get_mut(tenant)?;
        known.used = now;
        Some(known.active.clone())
    }

    fn put(&self, tenant: &TenantId, active: Active, now: Instant) {
        let mut map = self.active();
        if map.len() >= BUILT_LIMIT {
            map.clear();
        }
        map.insert(tenant.clone(), Known { active, used: now });
    }

    /// What was read of a tenant beside something else: where another revision is active by now, because another host has activated it,
    /// what is known is forgotten.
    pub fn heard(&self, tenant: &TenantId, revision: &HeardRevision) {
        let Some(hash) = revision else { return };
        let mut map = self.active();
        if map.get(tenant).is_some_and(|known| known.active.hash != *hash) {
            map.remove(tenant);
        }
    }

    /// Forgets what is known of a tenant: a commit found that another revision is active.
    pub fn forget(&self, tenant: &TenantId) {
        self.active().remove(tenant);
    }
}

/// The tenant's active revision, built, where there is one that can be built: as [`active`].
///
/// # Errors
/// The store's.
pub async fn active_revision(app: &Arc<App>, tenant: &TenantId) -> Result<Option<Arc<Revision>>, StoreError> {
    Ok(active(app, tenant).await?.built)
}

/// What is active for the tenant, whichever host has activated it: for what no request and no commit has looked at it for.
///
/// # Errors
/// The store's.
pub async fn active_now(app: &Arc<App>, tenant: &TenantId) -> Result<Active, StoreError> {
    let hash = app.store.tenant(tenant).await?.and_then(|tenant| tenant.active_revision);
    app.revisions.heard(tenant, &Some(hash));
    active(app, tenant).await
}

/// What is active for the tenant, from memory: for what a commit checks, and for requests, whose credential or tenant was read with it
/// ([`Revisions::heard`]), so that however often they ask, it takes no trip.
///
/// # Errors
/// The store's.
pub async fn active(app: &Arc<App>, tenant: &TenantId) -> Result<Active, StoreError> {
    if let Some(active) = app.revisions.get(tenant, app.clock.now()) {
        return Ok(active);
    }
    let mut last = app.revisions.building.lock().await;
    if let Some(active) = app.revisions.get(tenant, app.clock.now()) {
        return Ok(active);
    }
    let hash = app.store.tenant(tenant).await?.and_then(|tenant| tenant.active_revision);
    let built = match &hash {
        Some(hash) => build_stored(app, &mut last, tenant, hash).await?,
        None => None,
    };
    let admin = match &hash {
        Some(hash) if built.is_none() => app.store.revision(tenant, hash).await?.and_then(|stored| revision::admin_policies(&stored.files)),
        Some(_) | None => None,
    };
    let fresh = match &built {
        Some(built) => fresh_of(app, &mut last, tenant, built).await?,
        None => None,
    };
    let active = Active { hash, built, fresh, admin };
    app.revisions.put(tenant, active.clone(), app.clock.now());
    Ok(active)
}

/// The watch over a revision that was activated a while ago, with the one before it built.
async fn fresh_of(
    app: &Arc<App>,
    last: &mut Option<Arc<Revision>>,
    tenant: &TenantId,
    built: &Arc<Revision>,
) -> Result<Option<Arc<Fresh>>, StoreError> {
    // What is held was never active, however much of it stands in front of what is.
    let Some(activation) = app.store.activation_of(tenant, &built.hash, Some(ActivationState::Active)).await? else { return Ok(None) };
    let watch = activation.watch.filter(|watch| app.clock.now() < watch.until);
    let (Some(watch), Some(replaces)) = (watch, &activation.replaces) else { return Ok(None) };
    let previous = build_stored(app, last, tenant, replaces).await?;
    // What was built last is the active one again, so that whoever needs it next finds it.
    *last = Some(Arc::clone(built));
    let watched = |previous| Fresh::new(activation.number, built.hash.clone(), previous, watch, activation.turned_away);
    Ok(previous.map(|previous| Arc::new(watched(previous))))
}

/// A stored revision of the tenant's, built, to be tried out.
///
/// # Errors
/// `Store(Missing)` when it is not stored, `Broken` when it can't be built.
pub async fn candidate(app: &Arc<App>, tenant: &TenantId, hash: &RevisionHash) -> Result<Arc<Revision>, TenancyError> {
    if let Some(candidate) = app.revisions.candidate(tenant, hash) {
        return Ok(candidate);
    }
    let files = app.store.revision(tenant, hash).await?.ok_or(StoreError::Missing("revision"))?.files;
    let candidate = built(app, &Arc::new(files)).await.map_err(TenancyError::Broken)?;
    app.revisions.keep_candidate(tenant, &candidate);
    Ok(candidate)
}

/// What is active if it is in memory, else nothing: for what must not wait for a compilation (a leaver).
#[must_use]
pub fn active_if_loaded(app: &App, tenant: &TenantId) -> Active {
    app.revisions.get(tenant, app.clock.now()).unwrap_or_default()
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
    match build(app, last, &Arc::new(stored.files)).await {
        Ok(revision) => Ok(Some(revision)),
        Err(problems) => {
            let first = problems.first().map(|problem| problem.message.as_str()).unwrap_or_default();
            tracing::error!(%tenant, %hash, problem = first, "the active revision can't be built: nothing is granted until another is activated");
            Ok(None)
        }
    }
}

/// Builds files, in turn with whatever else is compiled.
pub(super) async fn built(app: &Arc<App>, files: &Arc<Files>) -> Result<Arc<Revision>, Vec<Diagnostic>> {
    build(app, &mut *app.revisions.building.lock().await, files).await
}

/// Builds off the async workers, because compiling takes long; what was built last is not built again.
async fn build(app: &Arc<App>, last: &mut Option<Arc<Revision>>, files: &Arc<Files>) -> Result<Arc<Revision>, Vec<Diagnostic>> {
    let hash = revision::hash(files);
    if let Some(built) = last.as_ref().filter(|built| built.hash == hash) {
        return Ok(Arc::clone(built));
    }
    let (sandbox, files) = (Arc::clone(&app.sandbox), Arc::clone(files));
    let built = tokio::task::spawn_blocking(move || Revision::build(&files, &sandbox)).await;
    let built = match built {
        Ok(result) => Arc::new(result?),
        Err(_) => return Err(vec![Diagnostic::of_file("tenant.toml", "the revision could not be built: building it failed inside")]),
    };
    *last = Some(Arc::clone(&built));
    Ok(built)
}

/// The schemas that a tenant uses; the standard ones while it has no revision.
#[must_use]
pub fn schemas(active: &Active) -> Arc<Schemas> {
    active.built.as_ref().map_or_else(Schemas::standard, |revision| Arc::clone(&revision.schemas))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_needs_is_forgotten_and_what_is_needed_stays() {
        let revisions = Revisions::resting_after(10);
        let (ada, bob) = (TenantId::from("ada"), TenantId::from("bob"));
        for tenant in [&ada, &bob] {
            revisions.put(tenant, Active::default(), Instant(0));
        }
        let at = |seconds| Instant(0).plus_seconds(seconds);
        revisions.rest(at(9));
        assert!(revisions.get(&ada, at(9)).is_some());
        revisions.rest(at(11));
        assert!(revisions.get(&ada, at(11)).is_some() && revisions.get(&bob, at(11)).is_none());
        let other = || Some(Some(RevisionHash("another".into())));
        revisions.heard(&ada, &None);
        revisions.heard(&ada, &Some(None));
        revisions.heard(&bob, &other());
        assert!(revisions.get(&ada, at(11)).is_some(), "it is what is active");
        revisions.put(&bob, Active::default(), at(11));
        revisions.heard(&bob, &other());
        assert!(revisions.get(&bob, at(11)).is_none(), "another host has activated one");
        revisions.rest(at(21));
        assert!(revisions.get(&ada, at(21)).is_none());
    }
}
