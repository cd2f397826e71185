//! Tenants as administered: their revisions (stored, checked, activated, built once), their connections and tokens.
//! Knows nothing of HTTP; the API, the command line and start-up call the same functions.

pub mod admin;
pub mod authoring;
pub mod first_sync;
pub mod fresh;
pub mod governance;
pub mod handles;
pub mod health;
pub mod imports;
pub mod log;
mod moved;
pub mod moving;
mod person;
pub mod plugins;
pub mod processes;
pub mod restored;
pub mod reviews;
pub mod setup;
pub mod sign_in;
pub mod steps;
pub mod visitors;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rolecall_scim::schema::Schemas;
use zeroize::Zeroizing;

use crate::app::App;
use crate::crypto::{self, sha256_hex};
use crate::diagnostic::Diagnostic;
use crate::evaluation::{self, Outcome};
use crate::lifecycle::{self, Case};
use crate::model::{
    Account, ActivationSettings, ActivationState, Actor, AdminAction, ConnectionId, ConnectionState, Instant, RevisionHash, SecondPerson,
    TenantId, TrialKind, TrialState, Urgency, Watch,
};
use crate::policies::Explanation;
use crate::policies::admin::AdminPolicies;
use crate::revision::{self, Files, GoldenResult, Revision};
use crate::store::{
    ApiPrincipal, ApiScope, Connection, CredentialKind, DespiteChanges, NewActivation, NewPlugin, NewToken, StoreError, StoredRevision,
    Tenant,
};
use admin::Asked;
use fresh::{Fresh, Verdict};
pub use governance::check_reason;
pub use moved::{Moved, moved};
use person::Person;
pub use person::same_name;

/// The longest tenant id, as a DNS label.
const TENANT_ID_LIMIT: usize = 63;
/// The longest name of a connection or tenant, in characters.
const NAME_LIMIT: usize = 128;
/// Activations that are looked at for the one that counts: what is held, and the few before it.
const ACTIVATIONS_LOOKED_AT: i64 = 10;
/// The most tenants whose revision stays built in memory; the least recently built is built again when needed.
const BUILT_LIMIT: usize = 10_000;

/// Candidates that stay built in memory: those that are tried out at the moment.
const CANDIDATES_LIMIT: usize = 16;
/// For how long a simulation counts when its revision is activated, in hours: the people are others by then.
const SIMULATION_HOURS: i64 = 24;

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
    fn activation_settings(&self) -> ActivationSettings {
        self.built.as_ref().map(|revision| revision.activation.clone()).unwrap_or_default()
    }

    /// Who may decide: by the active revision, by the program while there is none, and the operators alone where that can't be known.
    fn admin(&self) -> Arc<AdminPolicies> {
        match (&self.built, &self.admin, &self.hash) {
            (Some(built), ..) => Arc::clone(&built.admin),
            (None, Some(admin), _) => Arc::clone(admin),
            (None, None, None) => AdminPolicies::default_policies(),
            (None, None, Some(_)) => AdminPolicies::none(),
        }
    }
}

/// Each tenant's active revision, built. A memory of the database: every commit checks that it is still true.
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
    fn watched(&self) -> Vec<(TenantId, Arc<Fresh>)> {
        self.active().iter().filter_map(|(tenant, known)| Some((tenant.clone(), Arc::clone(known.active.fresh.as_ref()?)))).collect()
    }

    /// The revision is fresh no longer.
    fn settle(&self, tenant: &TenantId, fresh: &Arc<Fresh>) {
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

    /// Forgets what is known of a tenant: a commit found that another revision is active.
    pub fn forget(&self, tenant: &TenantId) {
        self.active().remove(tenant);
    }
}

/// Why an administrative change was not made.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// The folder is broken.
    #[error("the revision has {} problem(s)", .0.len())]
    Broken(Vec<Diagnostic>),
    /// A file that was uploaded is broken.
    #[error("the file has {} problem(s)", .0.len())]
    File(Vec<Diagnostic>),
    /// Golden cases fail.
    #[error("{} golden case(s) fail", .0.iter().filter(|case| case.diff.is_some()).count())]
    Golden(Vec<GoldenResult>),
    /// Managed elsewhere, a malformed name …: a sentence that says what to do.
    #[error("{0}")]
    Refused(String),
    /// Waits for a second person: a sentence that says what to do.
    #[error("{0}")]
    Held(String),
    /// Not for this caller, whatever policies say: a sentence that says why.
    #[error("{0}")]
    Forbidden(String),
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

/// Whether an account goes by a name: its id, its login name or its address.
#[must_use]
pub fn is_called(account: &Account, name: &str) -> bool {
    Person { account: &account.id, user_name: account.user_name.as_deref(), email: account.profile["email"].as_str() }.goes_by(name)
}

/// What is active for the tenant; from memory unless another revision was activated.
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
    // What is held was never active: it stands in front of what is.
    let newest = app.store.activations(tenant, ACTIVATIONS_LOOKED_AT).await?;
    let Some(activation) = newest.into_iter().find(|activation| activation.state == ActivationState::Active) else { return Ok(None) };
    let watch = activation.watch.filter(|watch| app.clock.now() < watch.until && activation.revision == built.hash);
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
    let built = build(app, &mut *app.revisions.building.lock().await, &Arc::new(files)).await.map_err(TenancyError::Broken)?;
    app.revisions.keep_candidate(tenant, &built);
    Ok(built)
}

/// The settings by which the next activation is watched: the active revision's, never the candidate's.
///
/// # Errors
/// The store's.
pub async fn activation_settings(app: &Arc<App>, tenant: &TenantId) -> Result<ActivationSettings, StoreError> {
    Ok(active(app, tenant).await?.activation_settings())
}

/// Why a folder's revision is not to be activated by itself: it was taken back, or waits for somebody.
///
/// # Errors
/// The store's.
pub async fn set_aside(app: &App, tenant: &TenantId, hash: &RevisionHash) -> Result<Option<String>, StoreError> {
    let newest = app.store.activations(tenant, ACTIVATIONS_LOOKED_AT).await?;
    let last = newest.into_iter().find(|activation| activation.revision == *hash);
    Ok(last.and_then(|activation| match activation.state {
        ActivationState::Returned => Some(format!(
            "revision {hash} was taken back: {}. Change the folder, or activate it with `rolecall tenant activate`",
            activation.reason.unwrap_or_default()
        )),
        ActivationState::Held => activation.reason,
        ActivationState::Active | ActivationState::Superseded => None,
    }))
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
    Ok(checked(app, tenant, files).await?.1)
}

async fn checked(app: &Arc<App>, tenant: &TenantId, files: Files) -> Result<(Arc<Revision>, Checked), TenancyError> {
    let active = app.store.tenant(tenant).await?.and_then(|tenant| tenant.active_revision);
    plugins::check_signatures(app, tenant, &files).await?;
    let files = Arc::new(files);
    let built = build(app, &mut *app.revisions.building.lock().await, &files).await.map_err(TenancyError::Broken)?;
    let (hash, tested) = (built.hash.clone(), Arc::clone(&built));
    // Golden cases are tenant code: on the tenant's threads, within its share.
    let results = app.compute.run(tenant, Urgency::Live, move || tested.run_tests(&files)).await?.map_err(TenancyError::Broken)?;
    if results.iter().any(|case| case.diff.is_some()) {
        return Err(TenancyError::Golden(results));
    }
    Ok((built, Checked { hash, golden_passed: results.len(), active }))
}

/// The contents that paths refer to by their SHA-256. Whatever a revision of the tenant has can be referred to, and nothing else.
///
/// # Errors
/// `Broken` with the code `not_stored` for each path whose contents the tenant does not have.
pub async fn stored_contents(app: &App, tenant: &TenantId, references: BTreeMap<String, String>) -> Result<Files, TenancyError> {
    if references.is_empty() {
        return Ok(Files::new());
    }
    let digest = |text: &&String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wanted: BTreeSet<String> = references.values().filter(digest).cloned().collect();
    let too_large = || TenancyError::Broken(vec![revision::too_large_together()]);
    let limit = revision::TOTAL_BYTES_LIMIT;
    let found = app.store.contents(tenant, &wanted.into_iter().collect::<Vec<_>>(), limit).await?.ok_or_else(too_large)?;
    let (mut files, mut problems, mut bytes) = (Files::new(), Vec::new(), 0_usize);
    for (path, digest) in references {
        match found.get(&digest) {
            // One content may stand at many paths: bounded before it is copied.
            Some(contents) => {
                bytes = bytes.saturating_add(contents.len());
                if bytes > limit {
                    return Err(too_large());
                }
                files.insert(path, contents.clone());
            }
            None => {
                let problem = Diagnostic::of_file(&path, "no revision of the tenant has a file with these contents");
                problems.push(problem.with_code("not_stored").with_help("send the file itself"));
            }
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(TenancyError::Broken(problems)) }
}

/// Checks files as a revision (golden cases included) and stores it.
///
/// # Errors
/// `Broken`, `Golden`.
pub async fn store_revision(app: &Arc<App>, tenant: &TenantId, files: Files) -> Result<Checked, TenancyError> {
    let (built, checked) = checked(app, tenant, files.clone()).await?;
    let plugins: Vec<NewPlugin> = files
        .iter()
        .filter(|(path, _)| revision::is_plugin(path))
        .filter_map(|(_, bytes)| {
            let digest = sha256_hex(bytes);
            let bound = [&built.transform, &built.propose].into_iter().flatten().find(|bound| bound.plugin.digest() == digest)?;
            let described = bound.plugin.description();
            Some(NewPlugin {
                digest,
                name: described.name.clone(),
                version: described.version.clone(),
                hooks: bound.plugin.hooks().into_iter().map(str::to_owned).collect(),
                size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            })
        })
        .collect();
    let stored = StoredRevision { hash: checked.hash.clone(), files };
    app.store.put_revision(tenant, &stored, &plugins, app.clock.now()).await?;
    Ok(checked)
}

/// Activates a stored revision if the one that it replaces still is the active one. `owner` is `folder` or `api` and must be the
/// tenant's `managed_by`, unless the folder's own revision waits for somebody. For a while, people whom the fresh revision turns away are
/// counted: past a limit the one before is activated again.
///
/// # Errors
/// `Store(Conflict)` when another was activated meanwhile; `Refused` when somebody else owns the tenant's revisions or the simulation
/// does not fit; `Broken` when it can't be built.
pub async fn activate(app: &Arc<App>, tenant: &TenantId, wanted: NewActivation, owner: &str, actor: &Actor) -> Result<(), TenancyError> {
    activate_for(app, tenant, wanted, owner, (actor, None)).await
}

/// The same, by somebody with a token: the admin policies are asked whether they may.
///
/// # Errors
/// Those of [`activate`]; `Forbidden`.
pub async fn activate_as(
    app: &Arc<App>,
    tenant: &TenantId,
    wanted: NewActivation,
    owner: &str,
    who: &ApiPrincipal,
) -> Result<(), TenancyError> {
    activate_for(app, tenant, wanted, owner, (&who.actor(), Some(who))).await
}

async fn activate_for(
    app: &Arc<App>,
    tenant: &TenantId,
    mut wanted: NewActivation,
    owner: &str,
    (actor, who): (&Actor, Option<&ApiPrincipal>),
) -> Result<(), TenancyError> {
    let stored = app.store.tenant(tenant).await?.ok_or(StoreError::Missing("tenant"))?;
    if stored.managed_by != owner && set_aside(app, tenant, &wanted.revision).await?.is_none() {
        let by = &stored.managed_by;
        return Err(TenancyError::Refused(format!("the revisions of tenant `{tenant}` are managed by its {by}: change them there")));
    }
    let before = active(app, tenant).await?;
    let settings = before.activation_settings();
    let expected = simulated(app, tenant, &mut wanted, &settings).await?;
    let files = app.store.revision(tenant, &wanted.revision).await?.ok_or(StoreError::Missing("revision"))?.files;
    // By the keys of now: one may have been removed since the revision was stored.
    plugins::check_signatures(app, tenant, &files).await?;
    // Built before it is swapped in: a revision that can't be built never replaces one that can.
    let built = build(app, &mut *app.revisions.building.lock().await, &Arc::new(files)).await.map_err(TenancyError::Broken)?;
    let turn = turn(app, tenant, &before, &built, &wanted, actor).await?;
    if let Some(who) = who {
        let privileged = before.built.as_ref().is_none_or(|active| active.privilege != built.privilege);
        let action = if turn == Turn::Confirms { AdminAction::ConfirmRevision } else { AdminAction::ActivateRevision };
        admin::ask(app, tenant, who, action, Asked::Revision { hash: &wanted.revision, privileged }).await?;
    }
    if let Turn::Waits(reason) = turn {
        app.store.hold_activation(tenant, &wanted, &reason, actor, app.clock.now()).await?;
        return Err(TenancyError::Held(format!("revision {} is held: {reason}", wanted.revision)));
    }
    let now = app.clock.now();
    // Without a revision to go back to there is nothing to watch for.
    let previous = before.built.filter(|revision| settings.watch_hours > 0 && Some(&revision.hash) == wanted.replaces.as_ref());
    // Going back is a way out, and is not second-guessed.
    if previous.is_some() && !was_active(app, tenant, &wanted.revision).await? {
        let population = app.store.count_people(tenant, settings.population_needed()).await?;
        let limit = settings.limit(population).saturating_add(expected);
        wanted.watch = Some(Watch { limit, until: now.plus_seconds(i64::from(settings.watch_hours) * 3600) });
    }
    app.store.activate(tenant, &wanted, actor, now).await?;
    drop(built);
    // Read again, with the watch over it: what was built last is at hand.
    app.revisions.forget(tenant);
    active(app, tenant).await?;
    handles::bind_unbound(app, tenant, None).await?;
    app.wake.notify_one();
    Ok(())
}

/// For how long the first of two people's word counts, in hours.
const SECOND_PERSON_HOURS: i64 = 7 * 24;

/// Whether an activation waits for another person.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// One person is enough.
    Alone,
    /// Somebody said it before.
    Confirms,
    /// A second person has to say it as well.
    Waits(String),
}

/// Whether a second person has to say it as well, and whether this is one: a token that names nobody may be anybody's, and is neither. By
/// the settings of what is active; the first revision of a tenant and the way back need none.
async fn turn(
    app: &Arc<App>,
    tenant: &TenantId,
    before: &Active,
    built: &Revision,
    wanted: &NewActivation,
    actor: &Actor,
) -> Result<Turn, TenancyError> {
    let Some(active) = &before.built else { return Ok(Turn::Alone) };
    let needed = match active.approvals.second_person {
        SecondPerson::Always => true,
        SecondPerson::Privileged => active.privilege != built.privilege,
        SecondPerson::Never => false,
    };
    if !needed || active.hash == built.hash || was_active(app, tenant, &wanted.revision).await? {
        return Ok(Turn::Alone);
    }
    let now = app.clock.now();
    let newest = app.store.activations(tenant, ACTIVATIONS_LOOKED_AT).await?;
    let first = newest.into_iter().find(|activation| activation.revision == wanted.revision && activation.state == ActivationState::Held);
    let said = first.filter(|first| now <= first.at.plus_seconds(SECOND_PERSON_HOURS * 3_600));
    if let Some(first) = said
        && actor.kind == Actor::PERSON
        && first.actor.kind != Actor::API_TOKEN
        && !person::same_actor(app, tenant, &first.actor, actor).await?
    {
        return Ok(Turn::Confirms);
    }
    let reason = format!(
        "it changes what decides about privileged roles, so a second person has to activate it within {SECOND_PERSON_HOURS} hours: \
         `rolecall tenant activate` with a token that names them (`rolecall token create --person`)"
    );
    Ok(Turn::Waits(reason))
}

/// How many people the simulation that an activation names turned away: expected, then. It counts as long as it is of what is activated,
/// of everybody, and of people who are still those whom it saw, unless somebody says that it does all the same.
async fn simulated(app: &App, tenant: &TenantId, wanted: &mut NewActivation, settings: &ActivationSettings) -> Result<i64, TenancyError> {
    if let Some(despite) = &wanted.despite_changes {
        governance::check_words(&despite.reason, None)?;
    }
    let Some(id) = &wanted.simulation else {
        if wanted.despite_changes.is_some() {
            return Err(TenancyError::Refused("`despite_changes` is said of a simulation: name it as well".into()));
        }
        // Back to what was active before is a way out, and never waits.
        let new = settings.require_simulation && !was_active(app, tenant, &wanted.revision).await?;
        let needed = "the tenant's revisions are activated after a simulation: begin one with `rolecall tenant simulate`, and name it";
        return if new { Err(TenancyError::Refused(needed.into())) } else { Ok(0) };
    };
    let trial = app.store.trial(tenant, id).await?.ok_or(StoreError::Missing("simulation"))?;
    let old = app.clock.now() > trial.started.plus_seconds(SIMULATION_HOURS * 3600);
    let problem = if trial.kind != TrialKind::Simulation {
        "is a shadow: an activation names a simulation".to_owned()
    } else if trial.revision != wanted.revision {
        format!("is of revision {}: what is activated has to be what was simulated", trial.revision)
    } else if trial.base != wanted.replaces {
        "was begun while another revision was active: begin another one".to_owned()
    } else if trial.state != TrialState::Finished {
        format!("is {}: only one that has asked about everybody counts", trial.state)
    } else if let Some(part) = &trial.part {
        format!("is of a part of the people ({part}): an activation names one of everybody")
    } else if old {
        format!("is older than {SIMULATION_HOURS} hours, and the people are others by now: begin another one")
    } else {
        let moved = moved(app, tenant, &trial, settings).await?;
        wanted.despite_changes = match wanted.despite_changes.take() {
            // Only what had to be said is part of the history.
            Some(despite) => moved.is_past().then_some(DespiteChanges { moved: moved.people, ..despite }),
            None if moved.is_past() => return Err(TenancyError::Refused(moved.refusal(id))),
            None => None,
        };
        return Ok(i64::try_from(trial.summary.turned_away).unwrap_or(i64::MAX));
    };
    Err(TenancyError::Refused(format!("simulation `{id}` {problem}")))
}

async fn was_active(app: &App, tenant: &TenantId, hash: &RevisionHash) -> Result<bool, StoreError> {
    let newest = app.store.activations(tenant, ACTIVATIONS_LOOKED_AT).await?;
    Ok(newest.iter().any(|activation| activation.revision == *hash && activation.state == ActivationState::Superseded))
}

/// Activates the revision before a fresh one again.
///
/// # Errors
/// The store's; whoever turns somebody away next tries again.
pub async fn take_back(app: &Arc<App>, tenant: &TenantId, fresh: &Arc<Fresh>) -> Result<(), StoreError> {
    let actor = Actor { kind: "guard".into(), id: "turned_away".into() };
    let wanted =
        NewActivation { returns: Some(fresh.reason()), ..NewActivation::of(fresh.previous.hash.clone(), Some(fresh.revision.clone())) };
    let unsaved = fresh.unsaved();
    if let Err(error) = app.store.turn_away(tenant, fresh.activation, unsaved).await {
        fresh.put_back(unsaved);
        fresh.failed();
        return Err(error);
    }
    match app.store.activate(tenant, &wanted, &actor, app.clock.now()).await {
        Ok(()) => {
            tracing::warn!(%tenant, revision = %fresh.revision, back_to = %fresh.previous.hash, "a revision turned too many people away and was taken back");
            app.metrics.revision_returned(tenant);
        }
        // Somebody else has taken it back, or activated another.
        Err(StoreError::Conflict { .. }) => {}
        Err(error) => {
            fresh.failed();
            return Err(error);
        }
    }
    app.revisions.forget(tenant);
    active(app, tenant).await?;
    handles::bind_unbound(app, tenant, None).await?;
    app.wake.notify_one();
    Ok(())
}

/// Writes whom fresh revisions turned away, takes back those that are past their limit in all processes together, and ends the
/// watch over those whose time is over; `only` of one tenant.
///
/// # Errors
/// The store's.
pub async fn look_after_fresh(app: &Arc<App>, only: Option<&TenantId>) -> Result<(), StoreError> {
    for (tenant, fresh) in app.revisions.watched().into_iter().filter(|(tenant, _)| only.is_none_or(|only| tenant == only)) {
        if !fresh.is_watched(app.clock.now()) {
            app.revisions.settle(&tenant, &fresh);
        }
        let unsaved = fresh.unsaved();
        if unsaved.people() == 0 {
            continue;
        }
        match app.store.turn_away(&tenant, fresh.activation, unsaved).await {
            Ok(Some(totals)) => {
                if fresh.learn(totals) == Verdict::Past && fresh.begin_return() {
                    take_back(app, &tenant, &fresh).await?;
                }
            }
            Ok(None) => app.revisions.forget(&tenant),
            Err(error) => {
                fresh.put_back(unsaved);
                return Err(error);
            }
        }
    }
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
    (state, guarded): (ConnectionState, bool),
    actor: &Actor,
) -> Result<(Connection, IssuedToken), TenancyError> {
    check_name(name)?;
    let (issued, stored) = issue(app, crypto::TOKEN_PREFIX, None);
    let info = crate::store::TokenInfo { id: stored.id.clone(), created: stored.created, expires: stored.expires, last_used: None };
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
    issue_api_token(app, (scope, None), lifetime_seconds, &Actor { kind: "startup".into(), id: "rolecall".into() }).await
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

/// Why an account holds a role or does not, decided on the stored inputs now, by the active revision or another one.
///
/// # Errors
/// `Store(Missing)` for an unknown account, role or revision.
pub async fn explain(
    app: &Arc<App>,
    tenant: &TenantId,
    account: &str,
    role: &str,
    by: Option<&RevisionHash>,
) -> Result<Explanation, TenancyError> {
    let view = app.store.account(tenant, account).await?.ok_or(StoreError::Missing("account"))?;
    let revision = match by {
        Some(hash) => Some(candidate(app, tenant, hash).await?),
        None => active_revision(app, tenant).await?,
    };
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
    let as_of = lifecycle::as_of(app.clock.now(), None);
    let (role, case) = (role.to_owned(), Case::unchanged(person));
    Ok(app.compute.run(tenant, Urgency::Live, move || explain_case(&revision, &case, &role, as_of)).await?)
}

fn explain_case(revision: &Revision, case: &Case, role: &str, as_of: Instant) -> Explanation {
    let evaluation = evaluation::evaluate(revision, &case.subject, as_of);
    let shape = match &evaluation.outcome {
        Outcome::Account(shape) | Outcome::Collision(shape, _) => shape,
        Outcome::Inactive => {
            return Explanation::without_policies(role, "inactive", "the identity provider says that the person is inactive");
        }
        Outcome::Ended => return Explanation::without_policies(role, "ended", "the person's end date has come"),
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
        revisions.rest(at(21));
        assert!(revisions.get(&ada, at(21)).is_none());
    }
}
