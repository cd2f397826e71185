//! A revision: everything that a tenant customises, read, checked, hashed, immutable.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rolecall_scim::schema::Schemas;

use crate::diagnostic::Diagnostic;
use crate::model::{DecisionSettings, Handle, RevisionHash};
use crate::plugins::{Plugin, Sandbox, Tables};
use crate::policies::Policies;

/// A tenant folder's files: path with `/` → contents.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A plugin with its settings, for one hook.
#[derive(Clone)]
pub struct Bound {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Its settings as JSON text.
    pub settings_json: String,
}

/// A checked revision, ready to evaluate.
pub struct Revision {
    /// SHA-256 over its files.
    pub hash: RevisionHash,
    /// The tenant's name for people.
    pub name: String,
    /// The mapping plugin.
    pub transform: Option<Bound>,
    /// The nominating plugin.
    pub propose: Option<Bound>,
    /// Lookup tables.
    pub tables: Arc<Tables>,
    /// Policies and the role catalogue.
    pub policies: Policies,
    /// How doubts are settled.
    pub decisions: DecisionSettings,
    /// The standard schemas and the tenant's extensions.
    pub schemas: Arc<Schemas>,
    /// Golden cases.
    pub tests: Vec<GoldenCase>,
    /// Declared handles by folded display name.
    pub declared_handles: BTreeMap<String, Handle>,
}

/// A golden case: SCIM user + groups → account + roles.
#[derive(Clone, Debug)]
pub struct GoldenCase {
    /// `tests/x.json`.
    pub file: String,
    /// Its name.
    pub name: String,
}

/// How a golden case ended.
#[derive(Clone, Debug, serde::Serialize)]
pub struct GoldenResult {
    /// `tests/x.json`.
    pub file: String,
    /// Its name.
    pub name: String,
    /// A unified diff of expected and actual; `None` when it passed.
    pub diff: Option<String>,
}

/// Reads a tenant folder: only what a revision consists of, bounded.
///
/// # Errors
/// What can't be read or is too large.
pub fn read_folder(dir: &Path) -> Result<Files, Vec<Diagnostic>> {
    let _ = dir;
    unimplemented!()
}

/// The hash of the files.
#[must_use]
pub fn hash(files: &Files) -> RevisionHash {
    let _ = files;
    unimplemented!()
}

impl Revision {
    /// Checks everything (settings, catalogue, schemas, tables, plugins with their settings, policies) and makes the revision.
    /// Slow (compiles plugins). Golden cases are run by [`Revision::run_tests`].
    ///
    /// # Errors
    /// Every problem that was found.
    pub fn build(files: &Files, sandbox: &Sandbox) -> Result<Self, Vec<Diagnostic>> {
        let _ = (files, sandbox);
        unimplemented!()
    }
    /// Runs the golden cases.
    #[must_use]
    pub fn run_tests(&self) -> Vec<GoldenResult> {
        unimplemented!()
    }
    /// The handle for a group's display name: the declared one, else a slug of the name.
    #[must_use]
    pub fn handle_for(&self, display_name: &str) -> Option<Handle> {
        let _ = display_name;
        unimplemented!()
    }
}
