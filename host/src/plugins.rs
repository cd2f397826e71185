//! The sandbox: the only place that names wasmtime.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::mapping::{AccountShape, Mapping};

/// A tenant's lookup tables: table → key → row (column → value).
pub type Tables = BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>;

/// What one call gets.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The instant of the evaluation.
    pub as_of: jiff::Timestamp,
    /// The connection's id.
    pub connection: &'a str,
    /// The plugin's settings as JSON text.
    pub settings: &'a str,
    /// The SCIM User; the host projects it to what the plugin declared that it reads.
    pub user: &'a Value,
    /// The handles of the person's groups, direct and inherited.
    pub groups: &'a [&'a str],
    /// The tenant's lookup tables.
    pub tables: &'a Arc<Tables>,
}

/// A line that a plugin logged.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LogLine {
    /// `debug`, `info`, `warn`, `error`.
    pub level: String,
    /// Bounded text.
    pub message: String,
}

/// The answer of `transform-user`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformed {
    /// The mapping.
    pub mapping: Mapping,
    /// Fuel used.
    pub fuel: u64,
    /// What it logged.
    pub logs: Vec<LogLine>,
}

/// A role that a plugin nominates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The role.
    pub role: String,
    /// The rule that nominated it, for people.
    pub because: Option<String>,
}

/// The answer of `propose-roles`.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposed {
    /// The nominations.
    pub proposals: Vec<Proposal>,
    /// Fuel used.
    pub fuel: u64,
    /// What it logged.
    pub logs: Vec<LogLine>,
}

/// Why a call gave no answer. Every variant names limit used and allowed where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginFault {
    /// Wall clock.
    #[error("the plugin ran longer than {allowed_ms} ms of wall-clock time")]
    Timeout {
        /// Allowed.
        allowed_ms: u64,
    },
}

impl PluginFault {
    /// A stable word: `timeout`, `fuel`, `memory`, `trap`, `output_too_large`, `invalid_answer` …
    #[must_use]
    pub fn code(&self) -> &'static str {
        unimplemented!()
    }
    /// Whether trying again may give another answer (a wall-clock timeout, no free slot).
    #[must_use]
    pub fn is_infrastructure(&self) -> bool {
        unimplemented!()
    }
}

/// Why bytes are no plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// Not Wasm.
    #[error("not a WebAssembly module or component")]
    NotWasm,
}

/// Limits and sizes of the sandbox.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Calls at the same time.
    pub concurrency: u32,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        unimplemented!()
    }
}

/// One engine for the process.
pub struct Sandbox {}

impl Sandbox {
    /// Makes the engine and its epoch ticker.
    ///
    /// # Errors
    /// When the machine can't reserve the pool.
    pub fn new(config: &SandboxConfig) -> Result<Self, PluginError> {
        let _ = config;
        unimplemented!()
    }
    /// Checks, componentises and compiles a plugin. Slow: never on a request path or an async worker. The same bytes give the same `Arc` while one lives.
    ///
    /// # Errors
    /// What is wrong, and the fix.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        let _ = bytes;
        unimplemented!()
    }
}

/// What `describe` says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SCIM paths that it reads.
    pub reads: Vec<String>,
}

/// A compiled plugin: shared, immutable. Every call is a fresh store and instance.
pub struct Plugin {}

impl Plugin {
    /// SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> &str {
        unimplemented!()
    }
    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        unimplemented!()
    }
    /// Whether it has the hook.
    #[must_use]
    pub fn transforms(&self) -> bool {
        unimplemented!()
    }
    /// Whether it has the hook.
    #[must_use]
    pub fn proposes(&self) -> bool {
        unimplemented!()
    }
    /// `validate-settings`: `Ok(Err(sentence))` when the plugin refuses them.
    ///
    /// # Errors
    /// The fault.
    pub fn validate_settings(&self, settings: &str) -> Result<Result<(), String>, PluginFault> {
        let _ = settings;
        unimplemented!()
    }
    /// `transform-user`.
    ///
    /// # Errors
    /// The fault.
    pub fn transform_user(&self, call: &Call<'_>) -> Result<Transformed, PluginFault> {
        let _ = call;
        unimplemented!()
    }
    /// `propose-roles`.
    ///
    /// # Errors
    /// The fault.
    pub fn propose_roles(&self, call: &Call<'_>, account: &AccountShape) -> Result<Proposed, PluginFault> {
        let _ = (call, account);
        unimplemented!()
    }
}
