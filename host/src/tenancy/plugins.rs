//! Plugins as a tenant administers them: whose signatures count, and what would become of a file before it is part of a revision.

use std::sync::Arc;

use crate::app::App;
use crate::crypto::sha256_hex;
use crate::crypto::signature::{Signature, SignatureError, VerifyingKey};
use crate::diagnostic::Diagnostic;
use crate::model::{Actor, TenantId, Urgency};
use crate::plugins::{Inspection, Plugin, inspect};
use crate::revision::{Files, SIGNATURE_ENDING, is_plugin};
use crate::store::StoreError;
use crate::store::records::{PluginKey, SigningRules};
use crate::tenancy::{TenancyError, check_name};

/// The most keys of a tenant: people and build machines, not every build.
const KEYS_LIMIT: usize = 50;
/// What a plugin is called that has no path yet.
const UPLOADED: &str = "plugin";

/// A plugin's file, to be looked at.
pub struct Candidate {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its settings as JSON text, if the plugin is to say what it makes of them.
    pub settings: Option<String>,
    /// Its signature as text.
    pub signature: Option<String>,
}

/// What a plugin's file is.
pub struct Examined {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// What is in the file.
    pub file: Option<Inspection>,
    /// The name of the key that it is signed with.
    pub signed_by: Option<String>,
}

/// Refuses files whose plugins have no good signature, where the tenant wants one. A signature that is there must be good as soon as
/// the tenant has a key, wanted or not: one that is not tells of a mistake, or of somebody.
///
/// # Errors
/// `Broken`.
pub async fn check_signatures(app: &App, tenant: &TenantId, files: &Files) -> Result<(), TenancyError> {
    let rules = app.store.signing_rules(tenant).await?;
    let problems: Vec<Diagnostic> = files
        .iter()
        .filter(|(path, _)| is_plugin(path))
        .filter_map(|(path, bytes)| {
            let signature = files.get(&format!("{path}{SIGNATURE_ENDING}"));
            let signature = signature.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            signed_by(&rules, path, &sha256_hex(bytes), signature.as_deref()).err().map(|problem| *problem)
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(TenancyError::Broken(problems)) }
}

/// The key that a plugin is signed with, if it need not be or is.
fn signed_by<'a>(
    rules: &'a SigningRules,
    path: &str,
    digest: &str,
    signature: Option<&str>,
) -> Result<Option<&'a PluginKey>, Box<Diagnostic>> {
    let problem = |file: String, code: &str, message: String, help: &str| {
        Box::new(Diagnostic::of_file(&file, message).with_code(code).with_help(help))
    };
    let beside = format!("{path}{SIGNATURE_ENDING}");
    let Some(signature) = signature else {
        let help = "sign it with `rolecall plugin sign`, and keep the signature beside it";
        let refused =
            || problem(path.to_owned(), "unsigned", "the plugin is not signed, and this tenant takes signed plugins alone".into(), help);
        return if rules.required { Err(refused()) } else { Ok(None) };
    };
    if rules.keys.is_empty() && !rules.required {
        return Ok(None);
    }
    let help = "sign the file as it is with one of the tenant's keys: see `rolecall plugin key list`";
    let signature = Signature::read(signature).map_err(|error| problem(beside.clone(), "malformed_signature", error.to_string(), help))?;
    let by = rules.keys.iter().find(|key| VerifyingKey::read(&key.public_key).is_ok_and(|key| key.verifies(digest, &signature)));
    let wrong = || problem(beside, "wrong_signature", "the signature is of none of this tenant's keys, or of another file".into(), help);
    by.map(Some).ok_or_else(wrong)
}

/// Adds a key whose signatures count.
///
/// # Errors
/// `Refused` for what is no key or name, for a key that the tenant has by another name, and past the most keys; `Store(Taken)` for a name in use.
pub async fn add_key(app: &App, tenant: &TenantId, name: &str, public_key: &str, actor: &Actor) -> Result<PluginKey, TenancyError> {
    check_name(name)?;
    let key = VerifyingKey::read(public_key).map_err(|error: SignatureError| TenancyError::Refused(error.to_string()))?;
    let rules = app.store.signing_rules(tenant).await?;
    match rules.keys.iter().find(|known| known.id == key.id()) {
        Some(known) if known.name == name => return Ok(known.clone()),
        Some(known) => return Err(TenancyError::Refused(format!("the tenant has this key already, as `{}`: remove it first", known.name))),
        None => {}
    }
    if rules.keys.len() >= KEYS_LIMIT {
        return Err(TenancyError::Refused(format!("a tenant has at most {KEYS_LIMIT} keys: remove one first")));
    }
    let key = PluginKey { id: key.id(), name: name.to_owned(), public_key: key.to_base64(), created: app.clock.now() };
    app.store.put_plugin_key(tenant, &key, actor, key.created).await?;
    Ok(key)
}

/// Says whether the tenant takes signed plugins alone.
///
/// # Errors
/// `Refused` where that would take no plugin at all, because there is no key.
pub async fn require_signatures(app: &App, tenant: &TenantId, required: bool, actor: &Actor) -> Result<(), TenancyError> {
    if required && app.store.signing_rules(tenant).await?.keys.is_empty() {
        return Err(TenancyError::Refused("the tenant has no key, so no plugin could be signed: add one first".into()));
    }
    Ok(app.store.require_signatures(tenant, required, actor, app.clock.now()).await?)
}

/// Removes a key, by its id or name. What is active stays so; what is activated from now on has no signature of it.
///
/// # Errors
/// `Refused` for the last key of a tenant that takes signed plugins alone; `Store(Missing)`.
pub async fn remove_key(app: &App, tenant: &TenantId, id_or_name: &str, actor: &Actor) -> Result<(), TenancyError> {
    let rules = app.store.signing_rules(tenant).await?;
    let found = rules.keys.iter().find(|key| key.id == id_or_name || key.name == id_or_name);
    let key = found.ok_or(StoreError::Missing("plugin key"))?;
    if rules.required && rules.keys.len() == 1 {
        return Err(TenancyError::Refused("it is the last key, and the tenant takes signed plugins alone: add another one first".into()));
    }
    Ok(app.store.remove_plugin_key(tenant, &key.id, actor, app.clock.now()).await?)
}

/// Looks at a plugin's file as an upload of a revision would, and stores nothing.
///
/// # Errors
/// `Broken`, with a code that says why.
pub async fn examine(app: &Arc<App>, tenant: &TenantId, candidate: Candidate) -> Result<Examined, TenancyError> {
    let rules = app.store.signing_rules(tenant).await?;
    let Candidate { bytes, settings, signature } = candidate;
    let broken = |problem: Diagnostic| TenancyError::Broken(vec![problem]);
    let signed_by = signed_by(&rules, UPLOADED, &sha256_hex(&bytes), signature.as_deref());
    let signed_by = signed_by.map_err(|problem| broken(*problem))?.map(|key| key.name.clone());
    // Compiling is what an upload can make long: in turn with revisions.
    let _turn = app.revisions.turn().await;
    let sandbox = Arc::clone(&app.sandbox);
    let loaded = tokio::task::spawn_blocking(move || sandbox.load(&bytes).map(|plugin| (plugin, inspect(&bytes)))).await;
    let loaded = loaded.map_err(|_| broken(Diagnostic::of_file(UPLOADED, "looking at the plugin failed inside")))?;
    let (plugin, file) = loaded.map_err(|error| broken(Diagnostic::of_file(UPLOADED, error.to_string()).with_code(error.code())))?;
    if let Some(settings) = settings {
        let asked = Arc::clone(&plugin);
        let said = app.compute.run(tenant, Urgency::Live, move || asked.check_settings(&settings)).await?;
        said.map_err(|problem| broken(Diagnostic::of_file(UPLOADED, problem.to_string()).with_code(problem.code())))?;
    }
    Ok(Examined { plugin, file, signed_by })
}
