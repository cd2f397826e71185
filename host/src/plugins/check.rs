//! From uploaded bytes to a component that is worth compiling: everything that can be refused without running or compiling anything.
//!
//! Knows nothing of wasmtime but how to tell its artefacts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

use super::Limits;
use super::contract::{HOST, TYPES};
use super::error::PluginError;
use super::limits::{
    CONTRACT_BYTES_LIMIT, FUNCTION_BYTES_LIMIT, FUNCTIONS_LIMIT, Kind, LOAD_STACK_BYTES, PARTS_LIMIT, PLUGIN_BYTES_LIMIT,
    TABLE_ELEMENTS_LIMIT, TYPE_BYTES_LIMIT,
};

/// A page of linear memory.
pub const WASM_PAGE_BYTES: u64 = 64 * 1024;

/// What shows at first sight, before anything is read or hashed.
pub fn bytes(bytes: &[u8]) -> Result<(), PluginError> {
    if bytes.len() > PLUGIN_BYTES_LIMIT {
        return Err(PluginError::TooBig { used: size(bytes.len()), allowed: size(PLUGIN_BYTES_LIMIT) });
    }
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(PluginError::Precompiled);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(PluginError::NotWasm);
    }
    Ok(())
}

/// Runs what reads an upload's types on a stack on which they can't be nested too deep: an overflow would end the process.
///
/// # Errors
/// When the machine can't start a thread.
pub fn on_a_deep_stack<T: Send>(read: impl FnOnce() -> Result<T, PluginError> + Send) -> Result<T, PluginError> {
    thread::scope(|scope| {
        // Only the pages that are used are ever there.
        let reader = thread::Builder::new().name("plugin-load".into()).stack_size(LOAD_STACK_BYTES).spawn_scoped(scope, read);
        let reader = reader.map_err(|error| PluginError::Engine { reason: error.to_string() })?;
        reader.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// The component in the bytes, of which [`bytes`] thinks well, and what runs in it. A core module is made one, by the contract that it
/// carries.
pub fn component(bytes: &[u8], limits: &Limits) -> Result<(Vec<u8>, Kind), PluginError> {
    // What an interpreter may start with: the plugin's kind is told from no less than all that it starts with.
    let counted = count(bytes, limits.interpreter_memory_bytes)?;
    let kind = Kind::of(counted.memory_bytes);
    if counted.is_component {
        return Ok((bytes.to_vec(), kind));
    }
    if counted.contract_bytes == 0 {
        return Err(PluginError::NoContract);
    }
    Ok((encode(bytes)?, kind))
}

/// A core module as a component with the imports and exports that it says it has.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, PluginError> {
    has_no_circle(module)?;
    // The encoder reads a graph of types from the upload, and is written for authors' builds: what it asserts of them,
    // a hostile upload may break.
    let encoded = catch_unwind(AssertUnwindSafe(|| ComponentEncoder::default().module(module).and_then(|encoder| encoder.encode())));
    match encoded {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(error)) => Err(PluginError::WrongWorld { detail: short(&format!("{error:#}")) }),
        Err(_) => Err(PluginError::WrongWorld { detail: "the contract that the module carries can't be read".into() }),
    }
}

/// Whether the packages of the contracts that the module carries use each other in no circle, of which the encoder, which follows them, finds no
/// end. Versions don't count, because contracts are merged by what is compatible.
fn has_no_circle(module: &[u8]) -> Result<(), PluginError> {
    let wrong = |detail: &str| PluginError::WrongWorld { detail: short(detail) };
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::CustomSection(section) = payload.map_err(|error| malformed(&error))? else { continue };
        if !section.name().starts_with("component-type") {
            continue;
        }
        if !section.data().starts_with(b"\0asm") {
            return Err(wrong("the contract that the module carries is of an old format"));
        }
        let decoded = catch_unwind(|| wit_parser::decoding::decode_world(section.data()));
        let decoded = decoded.map_err(|_| wrong("the contract that the module carries can't be read"))?;
        let (contract, _) = decoded.map_err(|error| wrong(&format!("{error:#}")))?;
        let name = |id| {
            let package: &wit_parser::Package = &contract.packages[id];
            format!("{}:{}", package.name.namespace, package.name.name)
        };
        for (id, _) in contract.packages.iter() {
            uses.entry(name(id)).or_default().extend(contract.package_direct_deps(id).map(name));
        }
    }
    // Those go whose own all have gone; in a circle none can be the first.
    while !uses.is_empty() {
        let before = uses.len();
        let left: BTreeSet<String> = uses.keys().cloned().collect();
        uses.retain(|_, used| used.iter().any(|name| left.contains(name)));
        if uses.len() == before {
            return Err(wrong("the packages of the contract that the module carries use each other in a circle"));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Counted {
    is_component: bool,
    /// How deep in nested modules and components the parser is.
    depth: usize,
    parts: u64,
    functions: u64,
    memory_bytes: u64,
    contract_bytes: usize,
    type_bytes: u64,
}

/// Walks the sections, nested modules' too, without validating function bodies: the compiler does that.
fn count(bytes: &[u8], memory_limit: usize) -> Result<Counted, PluginError> {
    let mut counted = Counted::default();
    for payload in Parser::new(0).parse_all(bytes) {
        counted.add(payload.map_err(|error| malformed(&error))?, memory_limit)?;
    }
    Ok(counted)
}

impl Counted {
    fn add(&mut self, payload: Payload<'_>, memory_limit: usize) -> Result<(), PluginError> {
        match payload {
            Payload::Version { encoding, .. } => {
                if self.depth == 0 && self.parts == 0 {
                    self.is_component = encoding == Encoding::Component;
                }
                self.part(1)?;
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => self.depth += 1,
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::InstanceSection(section) => self.part(section.count().into())?,
            Payload::ComponentInstanceSection(section) => self.part(section.count().into())?,
            Payload::FunctionSection(section) => {
                self.functions += u64::from(section.count());
                if self.functions > FUNCTIONS_LIMIT {
                    return Err(PluginError::TooManyFunctions { used: self.functions, allowed: FUNCTIONS_LIMIT });
                }
            }
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                let used = range.end.saturating_sub(range.start);
                if used > FUNCTION_BYTES_LIMIT {
                    return Err(PluginError::FunctionTooBig { used, allowed: FUNCTION_BYTES_LIMIT });
                }
            }
            Payload::ComponentTypeSection(section) => self.types(&section.range())?,
            Payload::CoreTypeSection(section) => self.types(&section.range())?,
            Payload::MemorySection(section) => {
                for memory in section {
                    let pages = memory.map_err(|error| malformed(&error))?.initial;
                    self.memory_bytes = self.memory_bytes.saturating_add(pages.saturating_mul(WASM_PAGE_BYTES));
                }
                if self.memory_bytes > size(memory_limit) {
                    return Err(PluginError::TooMuchMemory { used: self.memory_bytes, allowed: size(memory_limit) });
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let elements = table.map_err(|error| malformed(&error))?.ty.initial;
                    if elements > size(TABLE_ELEMENTS_LIMIT) {
                        let reason = format!("it starts with {elements} table elements and may have {TABLE_ELEMENTS_LIMIT}");
                        return Err(PluginError::Compile { reason });
                    }
                }
            }
            Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                self.contract_bytes += section.data().len();
                if self.contract_bytes > CONTRACT_BYTES_LIMIT {
                    let detail = format!("the contract that it carries is over {CONTRACT_BYTES_LIMIT} bytes");
                    return Err(PluginError::WrongWorld { detail });
                }
            }
            Payload::ImportSection(section) if self.depth == 0 => {
                for import in section.into_imports() {
                    let import = import.map_err(|error| malformed(&error))?;
                    allowed_import(import.module, Some(import.name))?;
                }
            }
            Payload::ComponentImportSection(section) if self.depth == 0 => {
                for import in section {
                    allowed_import(import.map_err(|error| malformed(&error))?.name.name, None)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn types(&mut self, section: &Range<u64>) -> Result<(), PluginError> {
        self.type_bytes += section.end.saturating_sub(section.start);
        if self.type_bytes > TYPE_BYTES_LIMIT {
            return Err(PluginError::Compile { reason: format!("its component types are over {TYPE_BYTES_LIMIT} bytes") });
        }
        Ok(())
    }

    fn part(&mut self, parts: u64) -> Result<(), PluginError> {
        self.parts += parts;
        if self.parts > PARTS_LIMIT {
            return Err(PluginError::Compile { reason: format!("it has more than {PARTS_LIMIT} modules, components and instances") });
        }
        Ok(())
    }
}

/// Whether a plugin gets what it imports: the contract's own instances (of this major version), and nothing else.
fn allowed_import(module: &str, name: Option<&str>) -> Result<(), PluginError> {
    let major =
        |instance: &'static str| instance.rsplit_once('.').and_then(|(rest, _)| rest.rsplit_once('.')).map_or(instance, |(major, _)| major);
    if [HOST, TYPES].iter().any(|ours| module.strip_prefix(major(ours)).is_some_and(|minor| minor.starts_with('.'))) {
        return Ok(());
    }
    let fix = if module.starts_with("wasi") {
        "build for `wasm32-unknown-unknown` (Rust) or with WASI stubbed out, and without clocks, randomness, files and output"
    } else if module.starts_with("__wbindgen") || module == "wbg" {
        "a dependency expects a browser: switch its JavaScript feature off (`getrandom`'s and `chrono`'s are the usual ones)"
    } else if module == "env" {
        "a symbol was left undefined when the plugin was linked: find the dependency on C code or on the operating system"
    } else {
        "remove what needs it, or pass what it gives through the plugin's settings and tables"
    };
    let import = short(&name.map_or_else(|| module.to_owned(), |name| format!("{module}.{name}")));
    Err(PluginError::UnknownImport { import, fix })
}

fn malformed(error: &wasmparser::BinaryReaderError) -> PluginError {
    PluginError::Malformed { offset: error.offset(), message: short(error.message()) }
}

/// A text of somebody else's making, on one line and bounded.
pub fn short(text: &str) -> String {
    /// Characters of such a text: a sentence or two.
    const SHORT_CHARACTERS: usize = 400;
    let mut line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(SHORT_CHARACTERS).collect();
    if text.chars().nth(SHORT_CHARACTERS).is_some() {
        line.push('…');
    }
    line
}

/// A length as the errors tell it.
pub fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
