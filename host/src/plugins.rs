//! The sandbox: the only place that names wasmtime.
//!
//! A plugin is checked and compiled once ([`Sandbox::load`]) and gets a fresh store and instance for every call, dropped after it
//! whatever happened. What it may use is in [`limits`]; what it sees of a person is `projection`'s; its answers are believed
//! only after `answer` has checked them. It knows nothing of revisions, policies or stores.

mod answer;
mod artefacts;
mod call;
mod check;
mod contract;
mod engine;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod inspect;
pub mod limits;
mod projection;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use wasmtime::component::Component;

pub use self::artefacts::Artefacts;
use self::call::Ready;
use self::contract::rolecall::plugin::types::Question;
use self::engine::Machine;
pub use self::error::{PluginError, PluginFault, SettingsProblem};
pub use self::inspect::{Inspection, inspect};
use self::limits::Kind;
pub use self::projection::PluginSettings;
use self::projection::Reads;
use crate::crypto::sha256_hex;
use crate::mapping::{AccountShape, Mapping};
use crate::metrics::SandboxState;
pub use crate::model::{Frame, LogLine, Usage};

/// A tenant's lookup tables: table → key → row (column → value).
pub type Tables = BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>;

/// What one call gets.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The instant of the evaluation.
    pub as_of: jiff::Timestamp,
    /// The connection's id.
    pub connection: &'a str,
    /// The plugin's settings.
    pub settings: &'a PluginSettings,
    /// The SCIM User; the host projects it to what the plugin declared that it reads.
    pub user: &'a Value,
    /// The handles of the person's groups, direct and inherited.
    pub groups: &'a [&'a str],
    /// The tenant's lookup tables.
    pub tables: &'a Arc<Tables>,
}

/// What a call showed, whatever came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What it used.
    pub usage: Usage,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// The functions that were running when it ended without an answer, the innermost first.
    pub backtrace: Vec<Frame>,
}

/// The answer of `transform-user`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformed {
    /// The mapping.
    pub mapping: Mapping,
    /// What the call used.
    pub usage: Usage,
    /// What it logged.
    pub logs: Vec<LogLine>,
}

/// How long one call took in an instance that was used before: [`Plugin::time_reused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reused {
    /// With the projection before it and the check of the answer after it, as a decision has them.
    pub whole: Duration,
    /// The call alone.
    pub guest: Duration,
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
    /// What the call used.
    pub usage: Usage,
    /// What it logged.
    pub logs: Vec<LogLine>,
}

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory_bytes: usize,
    /// Linear memory of an interpreter, in bytes.
    pub interpreter_memory_bytes: usize,
    /// CPU, deterministically counted: about one unit an instruction.
    pub fuel: u64,
    /// CPU of an interpreter, counted likewise.
    pub interpreter_fuel: u64,
    /// Processor time, in milliseconds.
    pub cpu_time_ms: u64,
    /// Wall-clock time, in milliseconds.
    pub wall_clock_ms: u64,
    /// Text in a question, in bytes.
    pub input_bytes: usize,
    /// Data handed over at once, in bytes.
    pub output_bytes: usize,
}

impl Limits {
    /// The linear memory that a plugin of this kind may have, in bytes.
    #[must_use]
    pub fn memory_bytes_of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Compiled => self.memory_bytes,
            Kind::Interpreter => self.interpreter_memory_bytes,
        }
    }

    /// The fuel that a call of a plugin of this kind may use.
    #[must_use]
    pub fn fuel_of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Compiled => self.fuel,
            Kind::Interpreter => self.interpreter_fuel,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: limits::MEMORY_BYTES_LIMIT,
            interpreter_memory_bytes: limits::INTERPRETER_MEMORY_BYTES_LIMIT,
            fuel: limits::FUEL_LIMIT,
            interpreter_fuel: limits::INTERPRETER_FUEL_LIMIT,
            cpu_time_ms: limits::CPU_TIME_MS_LIMIT,
            wall_clock_ms: limits::WALL_CLOCK_MS_LIMIT,
            input_bytes: limits::INPUT_BYTES_LIMIT,
            output_bytes: limits::OUTPUT_BYTES_LIMIT,
        }
    }
}

/// Limits and sizes of the sandbox.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Calls at the same time: as many as threads that evaluate. A few more are reserved for checking new revisions.
    pub concurrency: u32,
    /// What each may use.
    pub limits: Limits,
    /// Where compiled plugins are kept; without it each process compiles them again.
    pub artefacts: Option<Artefacts>,
    /// Whether a backtrace names source lines, where a build has them. Not for code of strangers: reading an upload's debug
    /// information at a trap can take longer than the call was allowed.
    pub source_lines: bool,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        /// A thread for each core of a large machine; a slot that is not used costs address space alone.
        const CONCURRENCY: u32 = 16;
        Self { concurrency: CONCURRENCY, limits: Limits::default(), artefacts: None, source_lines: false }
    }
}

/// One engine for the process.
pub struct Sandbox {
    machine: Arc<Machine>,
    /// Plugins that are in use somewhere, by digest.
    loaded: Mutex<HashMap<String, Weak<Plugin>>>,
    /// Held while compiling: one upload at a time, however many arrive.
    compiling: Mutex<()>,
    artefacts: Option<Artefacts>,
    compiled: AtomicU64,
    read_back: AtomicU64,
    found: AtomicU64,
    compile_ms: AtomicU64,
}

impl Sandbox {
    /// Makes the engine.
    ///
    /// # Errors
    /// When the machine can't reserve the pool.
    pub fn new(config: &SandboxConfig) -> Result<Self, PluginError> {
        Ok(Self {
            machine: Arc::new(Machine::new(config)?),
            loaded: Mutex::default(),
            compiling: Mutex::default(),
            artefacts: config.artefacts.clone(),
            compiled: AtomicU64::new(0),
            read_back: AtomicU64::new(0),
            found: AtomicU64::new(0),
            compile_ms: AtomicU64::new(0),
        })
    }

    /// What it has now.
    #[must_use]
    pub fn occupancy(&self) -> SandboxState {
        SandboxState {
            running: self.machine.engine.pooling_allocator_metrics().map_or(0, |pool| pool.component_instances()),
            slots: self.machine.slots,
            plugins: lock(&self.loaded).values().filter(|plugin| plugin.strong_count() > 0).count(),
            compiled: self.compiled.load(Ordering::Relaxed),
            read_back: self.read_back.load(Ordering::Relaxed),
            found: self.found.load(Ordering::Relaxed),
            compile_ms: self.compile_ms.load(Ordering::Relaxed),
        }
    }

    /// Checks, componentises and compiles a plugin. Slow: never on a request path or an async worker. The same bytes give the same `Arc` while one lives.
    ///
    /// # Errors
    /// What is wrong, and the fix.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        check::bytes(bytes)?;
        let digest = sha256_hex(bytes);
        if let Some(plugin) = self.find(&digest) {
            return Ok(plugin);
        }
        check::on_a_deep_stack(|| self.load_new(digest, bytes))
    }

    fn load_new(&self, digest: String, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        let (component, kind) = check::component(bytes, &self.machine.limits)?;
        let _one_at_a_time = lock(&self.compiling);
        // Another thread may have had the same bytes.
        if let Some(plugin) = self.find(&digest) {
            return Ok(plugin);
        }
        let started = Instant::now();
        let kept = self.artefacts.as_ref().and_then(|artefacts| artefacts.read(&self.machine.engine, &digest));
        let was_kept = kept.is_some();
        let component = kept.map_or_else(|| self.machine.compile(&component), Ok)?;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.compile_ms.fetch_add(ms, Ordering::Relaxed);
        tracing::debug!(plugin = digest, ms, was_kept, "the plugin's machine code is there");
        if was_kept { &self.read_back } else { &self.compiled }.fetch_add(1, Ordering::Relaxed);
        let plugin = Arc::new(Plugin::of(&self.machine, digest.clone(), &component, kind)?);
        if let (Some(artefacts), false) = (&self.artefacts, was_kept) {
            artefacts.write(&self.machine.engine, &digest, &component);
        }
        let mut loaded = lock(&self.loaded);
        loaded.retain(|_, plugin| plugin.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(&plugin));
        Ok(plugin)
    }

    fn find(&self, digest: &str) -> Option<Arc<Plugin>> {
        let found = lock(&self.loaded).get(digest).and_then(Weak::upgrade)?;
        self.found.fetch_add(1, Ordering::Relaxed);
        Some(found)
    }
}

/// What the locks guard is whole at every step, so that a panic of another thread takes nothing away.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
pub struct Plugin {
    machine: Arc<Machine>,
    digest: String,
    description: Description,
    label: Arc<str>,
    reads: Reads,
    kind: Kind,
    instance: Ready,
    info: contract::info::GuestIndices,
    transform: Option<contract::transform::GuestIndices>,
    propose: Option<contract::propose::GuestIndices>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("digest", &self.digest).field("description", &self.description).finish_non_exhaustive()
    }
}

impl Plugin {
    fn of(machine: &Arc<Machine>, digest: String, component: &Component, kind: Kind) -> Result<Self, PluginError> {
        let wrong_world = |error: wasmtime::Error| PluginError::WrongWorld { detail: check::short(&format!("{error:#}")) };
        let pre = machine.linker.instantiate_pre(component).map_err(wrong_world)?;
        let exports = |name: &str| component.get_export_index(None, name).is_some();
        let has_transform = exports(contract::TRANSFORM);
        let has_propose = exports(contract::PROPOSE);
        if !exports(contract::INFO) || !(has_transform || has_propose) {
            let detail = format!("it must export `{}`, and `{}` or `{}` or both", contract::INFO, contract::TRANSFORM, contract::PROPOSE);
            return Err(PluginError::WrongWorld { detail });
        }
        let info = contract::info::GuestIndices::new(&pre).map_err(wrong_world)?;
        let transform = has_transform.then(|| contract::transform::GuestIndices::new(&pre)).transpose().map_err(wrong_world)?;
        let propose = has_propose.then(|| contract::propose::GuestIndices::new(&pre)).transpose().map_err(wrong_world)?;
        let instance = Ready { pre, memory_bytes: machine.limits.memory_bytes_of(kind), fuel: machine.limits.fuel_of(kind) };
        let mut seen = Seen::default();
        call::run(machine, &instance, None, &mut seen, async |_, _| Ok(())).map_err(PluginError::Start)?;
        let described = call::run(machine, &instance, None, &mut seen, async |store, instance| {
            // All hooks are looked at once here: the types of their arguments are only compared then.
            if let Some(hook) = &transform {
                hook.load(&mut *store, instance)?;
            }
            if let Some(hook) = &propose {
                hook.load(&mut *store, instance)?;
            }
            info.load(&mut *store, instance)?.call_describe(store).await
        });
        let said = described.map_err(PluginError::Describe)?;
        let (description, reads) = answer::description(said).map_err(PluginError::Describe)?;
        let label = Arc::from(description.name.as_str());
        Ok(Self { machine: Arc::clone(machine), digest, description, label, reads, kind, instance, info, transform, propose })
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What runs in it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Its name, shared: what counters and logs call it.
    #[must_use]
    pub fn label(&self) -> Arc<str> {
        Arc::clone(&self.label)
    }

    /// Whether it has the hook.
    #[must_use]
    pub fn transforms(&self) -> bool {
        self.transform.is_some()
    }

    /// Whether it has the hook.
    #[must_use]
    pub fn proposes(&self) -> bool {
        self.propose.is_some()
    }

    /// The hooks that it has.
    #[must_use]
    pub fn hooks(&self) -> Vec<&'static str> {
        let hooks = [("transform-user", self.transforms()), ("propose-roles", self.proposes())];
        hooks.into_iter().filter(|(_, there)| *there).map(|(hook, _)| hook).collect()
    }

    /// `validate-settings`: `Ok(Err(sentence))` when the plugin refuses them.
    ///
    /// # Errors
    /// The fault.
    pub fn validate_settings(&self, settings: &str) -> Result<Result<(), String>, PluginFault> {
        self.validate_seen(settings, &mut Seen::default())
    }

    /// Whether the plugin takes these settings.
    ///
    /// # Errors
    /// What it says against them, or that it failed over them, with the last that it logged.
    pub fn check_settings(&self, settings: &str) -> Result<(), SettingsProblem> {
        let mut seen = Seen::default();
        let said = self.validate_seen(settings, &mut seen);
        said.map_err(|fault| SettingsProblem::Fault { fault, last_words: LogLine::last_words(&seen.logs) })?
            .map_err(SettingsProblem::Refused)
    }

    fn validate_seen(&self, settings: &str, seen: &mut Seen) -> Result<Result<(), String>, PluginFault> {
        self.within_input([settings])?;
        let answer = call::run(&self.machine, &self.instance, None, seen, async |store, instance| {
            self.info.load(&mut *store, instance)?.call_validate_settings(store, settings).await
        })?;
        answer.map_or_else(|error| answer::settings_problem(error).map(Err), |()| Ok(Ok(())))
    }

    /// `transform-user`.
    ///
    /// # Errors
    /// The fault.
    pub fn transform_user(&self, call: &Call<'_>) -> Result<Transformed, PluginFault> {
        let mut seen = Seen::default();
        let mapping = self.transform_seen(call, &mut seen)?;
        Ok(Transformed { mapping, usage: seen.usage, logs: seen.logs })
    }

    /// As [`Plugin::transform_user`], with what the call showed also where it gives no answer.
    ///
    /// # Errors
    /// The fault.
    pub fn transform_seen(&self, call: &Call<'_>, seen: &mut Seen) -> Result<Mapping, PluginFault> {
        let hook = self.transform.as_ref().ok_or(PluginFault::MissingHook { hook: "transform-user" })?;
        let (as_of, user) = self.question(call, "")?;
        let answer = call::run(&self.machine, &self.instance, Some(call.tables), seen, async |store, instance| {
            hook.load(&mut *store, instance)?.call_transform_user(store, question(call, &as_of, &user)).await
        })?;
        answer::mapping(answer)
    }

    /// Times `transform-user` in one instance that is called again and again, as no decision is ever made: what a fresh instance costs is the
    /// difference. The answers are dropped.
    ///
    /// # Errors
    /// The fault: an instance that is used again may run out of memory, because nothing is cleared.
    pub fn time_reused(&self, call: &Call<'_>, calls: usize) -> Result<Vec<Reused>, PluginFault> {
        let hook = self.transform.as_ref().ok_or(PluginFault::MissingHook { hook: "transform-user" })?;
        let (as_of, user) = self.question(call, "")?;
        let times = call::run(&self.machine, &self.instance, Some(call.tables), &mut Seen::default(), async |store, instance| {
            let hook = hook.load(&mut *store, instance)?;
            let mut times = Vec::with_capacity(calls);
            for _ in 0..calls {
                store.set_fuel(self.instance.fuel)?;
                let started = Instant::now();
                // What a decision does around the call too, so that the instance is all that differs.
                drop(self.question(call, ""));
                let called = Instant::now();
                let answer = hook.call_transform_user(&mut *store, question(call, &as_of, &user)).await?;
                let guest = called.elapsed();
                drop(answer::mapping(answer));
                times.push(Reused { whole: started.elapsed(), guest });
            }
            Ok(times)
        })?;
        Ok(times)
    }

    /// `propose-roles`.
    ///
    /// # Errors
    /// The fault.
    pub fn propose_roles(&self, call: &Call<'_>, account: &AccountShape) -> Result<Proposed, PluginFault> {
        let mut seen = Seen::default();
        let proposals = self.propose_seen(call, account, &mut seen)?;
        Ok(Proposed { proposals, usage: seen.usage, logs: seen.logs })
    }

    /// As [`Plugin::propose_roles`], with what the call showed also where it gives no answer.
    ///
    /// # Errors
    /// The fault.
    pub fn propose_seen(&self, call: &Call<'_>, account: &AccountShape, seen: &mut Seen) -> Result<Vec<Proposal>, PluginFault> {
        let hook = self.propose.as_ref().ok_or(PluginFault::MissingHook { hook: "propose-roles" })?;
        let account = serde_json::to_string(account).expect("an account has texts for keys and can't fail to serialise");
        let (as_of, user) = self.question(call, &account)?;
        let answer = call::run(&self.machine, &self.instance, Some(call.tables), seen, async |store, instance| {
            hook.load(&mut *store, instance)?.call_propose_roles(store, question(call, &as_of, &user), &account).await
        })?;
        answer::proposals(answer)
    }

    /// What the plugin is shown of a person: what it declared that it reads.
    #[must_use]
    pub fn sees(&self, user: &Value, settings: &PluginSettings) -> Value {
        serde_json::from_str(&self.reads.project(user, settings)).unwrap_or_default()
    }

    /// The parts of a question that have to be made: the instant and the projected user.
    fn question(&self, call: &Call<'_>, account: &str) -> Result<(String, String), PluginFault> {
        let user = self.reads.project(call.user, call.settings);
        self.within_input([user.as_str(), call.settings.json(), account].into_iter().chain(call.groups.iter().copied()))?;
        Ok((format!("{:.0}", call.as_of), user))
    }

    fn within_input<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Result<(), PluginFault> {
        let used = texts.into_iter().map(str::len).sum();
        let allowed = self.machine.limits.input_bytes;
        if used > allowed {
            return Err(PluginFault::InputTooLarge { used: check::size(used), allowed: check::size(allowed) });
        }
        Ok(())
    }
}

fn question<'a>(call: &Call<'a>, as_of: &'a str, user: &'a str) -> Question<'a> {
    Question { as_of, connection: call.connection, settings: call.settings.json(), user, groups: call.groups }
}
