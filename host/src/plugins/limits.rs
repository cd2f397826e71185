//! What a plugin may use, as numbers with their reasons. docs/plugins/limits.md is made from it.

/// Bytes of an uploaded plugin: an interpreter for JavaScript or Python with its snapshot is 12 to 18 MB.
pub const PLUGIN_BYTES_LIMIT: usize = 32 * 1024 * 1024;
/// Functions in a plugin: Python's interpreter has some tens of thousands. Compiling takes time for each.
pub const FUNCTIONS_LIMIT: u64 = 100_000;
/// Bytes of one function: compiling takes more than linear time, and the largest interpreter loops are a few hundred KB.
pub const FUNCTION_BYTES_LIMIT: u64 = 1024 * 1024;
/// Bytes of the sections that carry the contract: ours is under 4 KB, and reading it builds a graph.
pub const CONTRACT_BYTES_LIMIT: usize = 64 * 1024;
/// Bytes of a component's types: ours are under 1 KB. Three bytes nest a type one deeper, and who reads it recurses.
pub const TYPE_BYTES_LIMIT: u64 = 64 * 1024;
/// The stack on which an upload is read and compiled, in bytes: room for types that are nested as deep as they may be large.
pub const LOAD_STACK_BYTES: usize = 256 * 1024 * 1024;
/// Modules, components and instances in a component: an encoded module has one and a few shims, Python's interpreter with its libraries
/// some 150, most of them a few bytes.
pub const PARTS_LIMIT: u64 = 256;
/// Core instances of one plugin: as above, Python's libraries each have one.
pub const CORE_INSTANCES_LIMIT: u32 = 64;
/// Tables of one plugin: the module's own and the shims'.
pub const TABLES_LIMIT: u32 = 8;
/// Table elements: one for each function that is called indirectly.
pub const TABLE_ELEMENTS_LIMIT: usize = 20_000;
/// Bytes of bookkeeping for an instance: grows with imports, globals and functions.
pub const INSTANCE_BYTES_LIMIT: usize = 1024 * 1024;

/// Linear memory, in bytes: a mapping in Rust needs two pages of 64 KiB.
pub const MEMORY_BYTES_LIMIT: usize = 16 * 1024 * 1024;
/// Linear memory of an interpreter, in bytes: JavaScript's starts with 9 MiB and Python's with 13, and what they add to it for a call is theirs
/// to choose. A plugin that only claims to be one gains these bytes and nothing else: as many calls run at once as before.
pub const INTERPRETER_MEMORY_BYTES_LIMIT: usize = 32 * 1024 * 1024;
/// Memory that a plugin of a compiled language starts with, in bytes: its stack and its constants. What starts with more is taken for an
/// interpreter with its snapshot; what a plugin says of itself is not asked.
pub const COMPILED_START_BYTES_LIMIT: u64 = 4 * 1024 * 1024;
/// The call stack, in bytes: enough for recursive descent through the deepest resource that is accepted.
pub const STACK_BYTES_LIMIT: usize = 256 * 1024;
/// Fuel for a call, about one unit an instruction: 10 to 20 ms. A mapping in Rust needs some ten thousand units.
pub const FUEL_LIMIT: u64 = 20_000_000;
/// Fuel for a call of an interpreter: the same mapping takes JavaScript a hundred times as much, 13 million units for a person of 4 KiB.
pub const INTERPRETER_FUEL_LIMIT: u64 = 100_000_000;
/// Processor time for a call, in milliseconds: many times what the fuel takes, because it only stands behind the fuel. It is the time that
/// the call itself ran, so that a busy machine doesn't make a plugin's calls fail.
pub const CPU_TIME_MS_LIMIT: u64 = 1_000;
/// Wall-clock time for a call, in milliseconds: what holds where the processor's time can't be trusted, on a machine that stands still.
pub const WALL_CLOCK_MS_LIMIT: u64 = 20_000;

/// Text in a question, in bytes: a SCIM body is smaller, and so are ten thousand handles.
pub const INPUT_BYTES_LIMIT: usize = 2 * 1024 * 1024;
/// What a plugin hands over at once (an answer, a log line, a look-up), in bytes: an account of the largest allowed texts fits.
pub const OUTPUT_BYTES_LIMIT: usize = 256 * 1024;
/// Log lines kept of a call; a note stands for the rest.
pub const LOG_LINES_LIMIT: usize = 50;
/// Bytes kept of a log line.
pub const LOG_LINE_BYTES_LIMIT: usize = 1_000;
/// Functions that are named of those that were running when a call ended: the innermost ones tell.
pub const FRAMES_LIMIT: usize = 16;
/// Fuel for a log line or a look-up, on top of one unit a byte: the host's work is paid for too.
pub const HOST_CALL_FUEL: u64 = 5_000;
/// Fuel for each cell of a row that was found: its two texts are copied into the plugin one by one.
pub const CELL_FUEL: u64 = 3_000;

/// Roles nominated at once: more than a person can have.
pub const PROPOSALS_LIMIT: usize = 256;
/// SCIM paths that a plugin declares.
pub const READS_LIMIT: usize = 64;
/// Bytes of a declared path.
pub const PATH_BYTES_LIMIT: usize = 256;
/// Bytes of a plugin's name, its version, or the code of a refusal.
pub const WORD_BYTES_LIMIT: usize = 100;

/// What runs in a plugin: which bounds its memory and its fuel have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Code of a compiled language.
    Compiled,
    /// An interpreter of another language, with a snapshot of its memory.
    Interpreter,
}

impl Kind {
    /// Told from the memory that the plugin starts with, in bytes.
    #[must_use]
    pub fn of(starts_with_bytes: u64) -> Self {
        if starts_with_bytes > COMPILED_START_BYTES_LIMIT { Self::Interpreter } else { Self::Compiled }
    }
}
