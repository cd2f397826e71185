//! The target `upload` for libFuzzer: what it asks is in `rolecall::plugins::fuzz::upload`. Half of the mutations are made of the module's
//! parts instead of its bytes, because most changes of bytes end at the first check.
#![no_main]

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use wasm_mutate::WasmMutate;
use wasmparser::{Parser, Payload};

fuzz_target!(
    // The usual hook ends the process at any panic. Those of the encoder are caught by the host; what it does not catch, libFuzzer sees.
    init: panic::set_hook(Box::new(|panic| eprintln!("{panic}"))),
    |data: &[u8]| rolecall::plugins::fuzz::upload(data)
);

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mutated = if seed.is_multiple_of(2) { None } else { mutated(&data[..size], max_size, seed) };
    match mutated {
        Some(mutated) => {
            data[..mutated.len()].copy_from_slice(&mutated);
            mutated.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});

/// The upload with its module, or the first module of its component, changed.
fn mutated(upload: &[u8], max_size: usize, seed: u32) -> Option<Vec<u8>> {
    let (before, module, after) = match nested(upload)? {
        None => (Vec::new(), upload, &upload[upload.len()..]),
        // A length may promise more than there is.
        Some((section, module)) => (upload[..section].to_vec(), upload.get(module.clone())?, &upload[module.end..]),
    };
    let changed = panic::catch_unwind(AssertUnwindSafe(|| change(module, seed))).ok().flatten()?;
    let mut whole = before;
    if !whole.is_empty() {
        whole.push(CORE_MODULE_SECTION);
        write_length(&mut whole, changed.len());
    }
    whole.extend_from_slice(&changed);
    whole.extend_from_slice(after);
    (whole.len() <= max_size).then_some(whole)
}

fn change(module: &[u8], seed: u32) -> Option<Vec<u8>> {
    /// What finding a change may cost: a few milliseconds.
    const EFFORT: u64 = 300;
    let mut mutate = WasmMutate::default();
    mutate.seed(seed.into()).fuel(EFFORT).preserve_semantics(false);
    mutate.run(module).ok()?.next()?.ok()
}

/// The section of a component that has a module in it.
const CORE_MODULE_SECTION: u8 = 1;

/// Where the first module of a component's section begins, and the module itself; nothing inside for what is a module already.
fn nested(upload: &[u8]) -> Option<Option<(usize, Range<usize>)>> {
    let mut end_of_last = 8;
    for payload in Parser::new(0).parse_all(upload) {
        match payload.ok()? {
            Payload::Version { encoding: wasmparser::Encoding::Module, .. } => return Some(None),
            Payload::ModuleSection { unchecked_range, .. } => {
                let range = usize::try_from(unchecked_range.start).ok()?..usize::try_from(unchecked_range.end).ok()?;
                return Some(Some((end_of_last, range)));
            }
            payload => {
                if let Some((_, range)) = payload.as_section() {
                    end_of_last = usize::try_from(range.end).ok()?;
                }
            }
        }
    }
    None
}

/// A length as WebAssembly writes it: seven bits a byte.
fn write_length(to: &mut Vec<u8>, mut length: usize) {
    loop {
        let byte = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        if length == 0 {
            return to.push(byte);
        }
        to.push(byte | 0x80);
    }
}
