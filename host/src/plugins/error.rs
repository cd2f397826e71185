//! What can go wrong with a plugin, as data: bytes that are none, and calls that give no answer. Never holds personal values of its own
//! making; a plugin's own words are the tenant's.

use crate::model::LimitMet;

/// Why a call gave no answer. Every variant names limit used and allowed where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginFault {
    /// Time: the machine's doing as much as the plugin's, so never a verdict.
    #[error("the plugin ran longer than {allowed_ms} ms")]
    Timeout {
        /// Allowed.
        allowed_ms: u64,
    },
    /// CPU, counted deterministically: the same input gives the same verdict everywhere.
    #[error("the plugin used its {allowed} units of fuel up before it had an answer: look for a loop that does not end")]
    Fuel {
        /// Used.
        used: u64,
        /// Allowed.
        allowed: u64,
    },
    /// Linear memory.
    #[error("the plugin needs {used} bytes of memory and may have {allowed}")]
    Memory {
        /// What it asked for, in bytes.
        used: u64,
        /// Allowed, in bytes.
        allowed: u64,
    },
    /// Table elements.
    #[error("the plugin needs {used} table elements and may have {allowed}")]
    Table {
        /// What it asked for.
        used: u64,
        /// Allowed.
        allowed: u64,
    },
    /// The call stack.
    #[error("the plugin used its {allowed} bytes of stack up{}: look for a recursion that does not end", place(.at.as_deref()))]
    Stack {
        /// Allowed, in bytes.
        allowed: u64,
        /// The innermost function, where the build has names.
        at: Option<String>,
    },
    /// A trap of its own making, such as a panic.
    #[error("the plugin stopped: {what}{}", place(.at.as_deref()))]
    Trap {
        /// What the machine says.
        what: String,
        /// The innermost function, where the build has names.
        at: Option<String>,
    },
    /// The question is larger than what a plugin is given.
    #[error("the person, the groups and the settings are {used} bytes of text and a plugin is given at most {allowed}")]
    InputTooLarge {
        /// Used, in bytes.
        used: u64,
        /// Allowed, in bytes.
        allowed: u64,
    },
    /// More data in an answer or in one look-up or log line than is taken.
    #[error("the plugin handed over more than {allowed} bytes at once")]
    OutputTooLarge {
        /// Allowed, in bytes.
        allowed: u64,
    },
    /// An answer that the contract does not allow.
    #[error("the plugin's answer is not valid at `{path}`: {problem}")]
    InvalidAnswer {
        /// A JSON pointer into the answer.
        path: String,
        /// What was expected.
        problem: String,
    },
    /// The plugin itself gives no verdict on this question.
    #[error("the plugin gives no verdict (`{code}`{}): {message}", place(.path.as_deref()))]
    NoVerdict {
        /// Its word.
        code: String,
        /// What is concerned.
        path: Option<String>,
        /// Its sentence.
        message: String,
    },
    /// All slots for running plugins are taken.
    #[error("no slot is free to run the plugin in: {allowed} calls run already")]
    NoSlot {
        /// How many run at once.
        allowed: u32,
    },
    /// The plugin was asked for a hook that it does not have.
    #[error("the plugin has no hook `{hook}`")]
    MissingHook {
        /// The hook.
        hook: &'static str,
    },
}

fn place(name: Option<&str>) -> String {
    name.map(|name| format!(" at `{name}`")).unwrap_or_default()
}

impl PluginFault {
    /// The words of those that are kept for their author, as [`PluginFault::code`] gives them.
    pub const CODES: [&str; 11] = [
        "fuel",
        "input_too_large",
        "invalid_answer",
        "memory",
        "missing_hook",
        "no_verdict",
        "output_too_large",
        "stack",
        "table",
        "timeout",
        "trap",
    ];

    /// A stable word: `timeout`, `fuel`, `memory`, `trap`, `output_too_large`, `invalid_answer` …
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Fuel { .. } => "fuel",
            Self::Memory { .. } => "memory",
            Self::Table { .. } => "table",
            Self::Stack { .. } => "stack",
            Self::Trap { .. } => "trap",
            Self::InputTooLarge { .. } => "input_too_large",
            Self::OutputTooLarge { .. } => "output_too_large",
            Self::InvalidAnswer { .. } => "invalid_answer",
            Self::NoVerdict { .. } => "no_verdict",
            Self::NoSlot { .. } => "no_slot",
            Self::MissingHook { .. } => "missing_hook",
        }
    }

    /// What is concerned: a JSON pointer into the answer, or the path that the plugin named.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::InvalidAnswer { path, .. } if !path.is_empty() => Some(path),
            Self::NoVerdict { path, .. } => path.as_deref(),
            _ => None,
        }
    }

    /// The limit that was met.
    #[must_use]
    pub fn limit(&self) -> Option<LimitMet> {
        let (used, allowed) = match self {
            Self::Timeout { allowed_ms } => (None, *allowed_ms),
            Self::Stack { allowed, .. } | Self::OutputTooLarge { allowed } => (None, *allowed),
            Self::Fuel { used, allowed }
            | Self::Memory { used, allowed }
            | Self::Table { used, allowed }
            | Self::InputTooLarge { used, allowed } => (Some(*used), *allowed),
            Self::NoSlot { allowed } => (None, u64::from(*allowed)),
            Self::Trap { .. } | Self::InvalidAnswer { .. } | Self::NoVerdict { .. } | Self::MissingHook { .. } => return None,
        };
        Some(LimitMet { used, allowed })
    }

    /// Whether trying again may give another answer (a timeout, no free slot).
    #[must_use]
    pub fn is_infrastructure(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::NoSlot { .. })
    }
}

/// Why a plugin does not take its settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsProblem {
    /// It says what is wrong with them.
    #[error("the plugin refuses its settings: {0}")]
    Refused(String),
    /// It gave no answer.
    #[error("the plugin failed while it checked its settings: {fault}{}", logged(.last_words))]
    Fault {
        /// Why.
        fault: PluginFault,
        /// The last that it logged: a panic's own words.
        last_words: Vec<String>,
    },
}

fn logged(last_words: &[String]) -> String {
    if last_words.is_empty() { String::new() } else { format!("; it logged `{}`", last_words.join("`, `")) }
}

impl SettingsProblem {
    /// A stable word.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "settings_refused",
            Self::Fault { .. } => "settings_fault",
        }
    }
}

/// Why bytes are no plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The machine has no memory for the pool, which shows when a process starts, or no thread to read an upload on. The latter is the one way
    /// in which a client can meet it, and no upload brings it about: it stays because whoever sent a plugin has to be told that it is not to blame.
    #[error("the sandbox can't be set up: {reason}")]
    Engine {
        /// What the machine says.
        reason: String,
    },
    /// Not Wasm.
    #[error("not a WebAssembly module or component: the file does not begin with `\\0asm`")]
    NotWasm,
    /// Machine code of somebody else's making.
    #[error("a precompiled artefact is machine code and is never accepted: upload the WebAssembly module that it was made from")]
    Precompiled,
    /// Larger than a plugin may be.
    #[error("the plugin is {used} bytes and may be {allowed}: build it with `opt-level = \"s\"`, `lto` and `strip`")]
    TooBig {
        /// Used, in bytes.
        used: u64,
        /// Allowed, in bytes.
        allowed: u64,
    },
    /// More functions than are compiled.
    #[error("the plugin has {used} functions and may have {allowed}")]
    TooManyFunctions {
        /// Used.
        used: u64,
        /// Allowed.
        allowed: u64,
    },
    /// A function larger than is compiled.
    #[error("a function of the plugin is {used} bytes of code and may be {allowed}")]
    FunctionTooBig {
        /// Used, in bytes.
        used: u64,
        /// Allowed, in bytes.
        allowed: u64,
    },
    /// It starts with more memory than it may ever have, or with more memories than one.
    #[error(
        "the plugin starts with {used} bytes of memory and may have {allowed}: link it with a smaller stack (`-C link-arg=-zstack-size=65536`)"
    )]
    TooMuchMemory {
        /// Used, in bytes.
        used: u64,
        /// Allowed, in bytes.
        allowed: u64,
    },
    /// Wasm, but broken.
    #[error("malformed WebAssembly at byte {offset}: {message}")]
    Malformed {
        /// Where.
        offset: u64,
        /// What was expected.
        message: String,
    },
    /// Something is imported that a plugin does not get.
    #[error("the plugin imports `{import}`, and a plugin gets `log` and `lookup` and nothing else: {fix}")]
    UnknownImport {
        /// The import.
        import: String,
        /// What to do.
        fix: &'static str,
    },
    /// A core module that does not say what it exports.
    #[error(
        "the module does not carry the plugin contract (no `component-type` section): build it with the SDK's `export!`, and don't strip custom sections"
    )]
    NoContract,
    /// The exports are none of the contract's worlds.
    #[error("the plugin is of none of the contract's worlds: {detail}")]
    WrongWorld {
        /// What is missing or does not fit.
        detail: String,
    },
    /// It can't be compiled.
    #[error("the plugin can't be compiled: {reason}")]
    Compile {
        /// What the compiler says.
        reason: String,
    },
    /// It can't be started.
    #[error("the plugin fails when it is started: {0}")]
    Start(PluginFault),
    /// `describe` gives no answer.
    #[error("the plugin's `describe` fails: {0}")]
    Describe(PluginFault),
}

impl PluginError {
    /// A stable word.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Engine { .. } => "engine",
            Self::NotWasm => "not_wasm",
            Self::Precompiled => "precompiled",
            Self::TooBig { .. } => "too_big",
            Self::TooManyFunctions { .. } => "too_many_functions",
            Self::FunctionTooBig { .. } => "function_too_big",
            Self::TooMuchMemory { .. } => "too_much_memory",
            Self::Malformed { .. } => "malformed",
            Self::UnknownImport { .. } => "unknown_import",
            Self::NoContract => "no_contract",
            Self::WrongWorld { .. } => "wrong_world",
            Self::Compile { .. } => "compile",
            Self::Start(_) => "start",
            Self::Describe(_) => "describe",
        }
    }
}
