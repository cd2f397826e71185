//! A tenant's policies as they are written: checked, formatted, linted, tested and asked without being stored, posted or of a revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::TenancyError;
use crate::app::App;
use crate::diagnostic::Diagnostic;
use crate::lifecycle;
use crate::model::{RevisionHash, TenantId, Urgency};
use crate::policies::{Explanation, Facts, PolicyDifference};
use crate::revision::{self, Files, Formatted, GoldenResult, Person, Rulebook, SETTINGS};
use crate::store::StoreError;

/// The most roles that people of a tenant hold, ten catalogues: where old revisions left more of them, nothing is said about which ones nobody holds.
pub const HELD_ROLES_LIMIT: i64 = 10_000;

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Texts by path (`tenant.toml`, `policies/*.cedar`, `policies/*.test.json`, and the same in `admin/`). Without `tenant.toml` among them the revision's is taken.
    pub texts: Option<BTreeMap<String, String>>,
    /// The stored revision that is meant; the active one unless given.
    pub revision: Option<RevisionHash>,
}

/// The files that are looked at.
///
/// # Errors
/// `Store(Missing)` where there is no such revision; `Broken` for a file that has no say.
pub async fn files(app: &Arc<App>, tenant: &TenantId, wanted: Wanted) -> Result<Files, TenancyError> {
    let Some(texts) = wanted.texts else { return stored(app, tenant, wanted.revision, revision::is_rule).await };
    let stray = |path: &String| {
        let help = "send tenant.toml, policies/*.cedar, admin/*.cedar and *.test.json beside them";
        Diagnostic::of_file(path, "the file has no say in which roles people hold").with_help(help)
    };
    let strays: Vec<Diagnostic> = texts.keys().filter(|path| !revision::is_rule(path)).map(stray).collect();
    if !strays.is_empty() {
        return Err(TenancyError::Broken(strays));
    }
    let mut files: Files = texts.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
    if !files.contains_key(SETTINGS) {
        files.extend(stored(app, tenant, wanted.revision, |path| path == SETTINGS).await?);
    }
    Ok(files)
}

/// Files of a stored revision; plugins and tables, which are large, stay where they are.
async fn stored(
    app: &Arc<App>,
    tenant: &TenantId,
    hash: Option<RevisionHash>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Files, TenancyError> {
    let hash = match hash {
        Some(hash) => hash,
        None => {
            let active = app.store.tenant(tenant).await?.and_then(|tenant| tenant.active_revision);
            active.ok_or(StoreError::Missing("active revision"))?
        }
    };
    let digests = app.store.revision_digests(tenant, &hash).await?.ok_or(StoreError::Missing("revision"))?;
    super::stored_contents(app, tenant, digests.into_iter().filter(|(path, _)| wanted(path)).collect()).await
}

/// Reads the rules on the tenant's threads and does something with them.
async fn with_rules<T: Send + 'static>(
    app: &Arc<App>,
    tenant: &TenantId,
    files: Files,
    work: impl FnOnce(Rulebook) -> Result<T, Vec<Diagnostic>> + Send + 'static,
) -> Result<T, TenancyError> {
    let done = app.compute.run(tenant, Urgency::Live, move || Rulebook::read(&files).and_then(work)).await?;
    done.map_err(TenancyError::Broken)
}

/// How many policies and roles there are, where nothing is wrong with them.
///
/// # Errors
/// `Broken`.
pub async fn check(app: &Arc<App>, tenant: &TenantId, wanted: Wanted) -> Result<(usize, usize), TenancyError> {
    let files = files(app, tenant, wanted).await?;
    with_rules(app, tenant, files, |rules| Ok((rules.policies().ids().len(), rules.policies().roles().len()))).await
}

/// The files that are laid out differently than they would be.
///
/// # Errors
/// `Broken` for what can't be parsed.
pub async fn format(app: &Arc<App>, tenant: &TenantId, wanted: Wanted) -> Result<Vec<Formatted>, TenancyError> {
    let files = files(app, tenant, wanted).await?;
    app.compute.run(tenant, Urgency::Live, move || revision::format(&files)).await?.map_err(TenancyError::Broken)
}

/// What the policies say that nobody can have meant, by what the tenant has.
///
/// # Errors
/// `Broken` for policies that are wrong.
pub async fn lint(app: &Arc<App>, tenant: &TenantId, wanted: Wanted) -> Result<Vec<Diagnostic>, TenancyError> {
    let files = files(app, tenant, wanted).await?;
    let bindings = app.store.handles(tenant).await?;
    let unconfirmed = bindings.iter().filter(|binding| !binding.confirmed).map(|binding| binding.handle.0.clone()).collect();
    let handles = bindings.into_iter().map(|binding| binding.handle.0).collect();
    // A decision's instant is cut like this, so that none lies before it.
    let now = lifecycle::as_of(app.clock.now(), None).timestamp();
    let held = app.store.roles_held(tenant, HELD_ROLES_LIMIT).await?;
    // Of a tenant without people it would say the same of every role.
    let held = held.filter(|roles| !roles.is_empty()).map(|roles| roles.into_iter().map(|role| role.0).collect());
    let facts = Facts { handles: Some(handles), unconfirmed, held, now: Some(now) };
    with_rules(app, tenant, files, |rules| rules.lint(facts)).await
}

/// Runs the policy tests.
///
/// # Errors
/// `Broken`.
pub async fn test(app: &Arc<App>, tenant: &TenantId, wanted: Wanted) -> Result<Vec<GoldenResult>, TenancyError> {
    let files = files(app, tenant, wanted).await?;
    with_rules(app, tenant, files, |rules| Ok(rules.test())).await
}

/// Why somebody would have a role or not.
///
/// # Errors
/// `Broken`; `Store(Missing)` for an unknown role.
pub async fn explain(app: &Arc<App>, tenant: &TenantId, wanted: Wanted, person: Person, role: String) -> Result<Explanation, TenancyError> {
    let files = files(app, tenant, wanted).await?;
    let explained = with_rules(app, tenant, files, move |rules| Ok(rules.explain(&person, &role))).await?;
    explained.ok_or_else(|| StoreError::Missing("role in the tenant's catalogue").into())
}

/// What differs between the policies of two stored revisions; the active one where none is named.
///
/// # Errors
/// `Store(Missing)`.
pub async fn diff(
    app: &Arc<App>,
    tenant: &TenantId,
    from: Option<RevisionHash>,
    to: Option<RevisionHash>,
) -> Result<PolicyDifference, TenancyError> {
    let of = async |revision| files(app, tenant, Wanted { texts: None, revision }).await;
    let (from, to) = (of(from).await?, of(to).await?);
    Ok(app.compute.run(tenant, Urgency::Live, move || revision::policy_diff(&from, &to)).await?)
}
