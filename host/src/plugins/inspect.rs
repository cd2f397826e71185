//! What a file says of itself before anything of it runs: for authors, also when it would be refused.

use wasmparser::{Encoding, Parser, Payload};

use super::check;
use super::contract::{HOST, INFO};

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Inspection {
    /// `module` or `component`.
    pub kind: &'static str,
    /// Its size.
    pub bytes: usize,
    /// Functions, those of nested modules too.
    pub functions: u64,
    /// The memory that it starts with, in bytes.
    pub memory_bytes: u64,
    /// The contract's version that it was built for: `1.0.0`.
    pub contract: Option<String>,
    /// What it imports: instances where it is a component or carries a contract, else functions.
    pub imports: Vec<String>,
    /// What it exports, likewise.
    pub exports: Vec<String>,
}

/// Reads a file's sections; `None` when it is no WebAssembly, or broken.
#[must_use]
pub fn inspect(bytes: &[u8]) -> Option<Inspection> {
    let own = Sections::read(bytes)?;
    // A module's contract says what a component of it would import and export.
    let shown = if own.is_component { None } else { check::encode(bytes).ok().and_then(|component| Sections::read(&component)) };
    let (imports, exports) = match shown {
        Some(component) => (component.imports, component.exports),
        None => (own.imports, own.exports),
    };
    let version = |name: &String| {
        let (instance, version) = name.split_once('@')?;
        let ours = [HOST, INFO].iter().any(|known| known.starts_with(instance));
        ours.then(|| version.split('#').next().unwrap_or(version).to_owned())
    };
    let contract = imports.iter().chain(&exports).find_map(version);
    let kind = if own.is_component { "component" } else { "module" };
    Some(Inspection { kind, bytes: bytes.len(), functions: own.functions, memory_bytes: own.memory_bytes, contract, imports, exports })
}

#[derive(Default)]
struct Sections {
    is_component: bool,
    functions: u64,
    memory_bytes: u64,
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Sections {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut sections = Self::default();
        let (mut depth, mut begun) = (0_usize, false);
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.ok()? {
                Payload::Version { encoding, .. } if !begun => (sections.is_component, begun) = (encoding == Encoding::Component, true),
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::FunctionSection(section) => sections.functions += u64::from(section.count()),
                Payload::MemorySection(section) => {
                    for memory in section {
                        let bytes = memory.ok()?.initial.saturating_mul(check::WASM_PAGE_BYTES);
                        sections.memory_bytes = sections.memory_bytes.saturating_add(bytes);
                    }
                }
                Payload::ImportSection(section) if depth == 0 => {
                    for import in section.into_imports() {
                        let import = import.ok()?;
                        sections.imports.push(check::short(&format!("{}.{}", import.module, import.name)));
                    }
                }
                Payload::ExportSection(section) if depth == 0 => {
                    for export in section {
                        sections.exports.push(check::short(export.ok()?.name));
                    }
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        sections.imports.push(check::short(import.ok()?.name.name));
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        sections.exports.push(check::short(export.ok()?.name.name));
                    }
                }
                _ => {}
            }
        }
        begun.then_some(sections)
    }
}
