//! Compiled plugins on disk, so that a plugin whose compilation takes seconds starts in milliseconds after a restart.
//!
//! An artefact is machine code: reading one back that somebody else made or altered would run whatever they like. So each carries a
//! tag that only this installation's key makes, over its name and its content; the name holds the plugin's digest and all that the
//! engine says about what it compiles to. What has no right tag is compiled again and never loaded.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::crypto::{SecretKey, TAG_BYTES, hex, random_id};

/// The largest artefact that is kept, in bytes: Python's interpreter compiles to about five times its 18 MB.
const ARTEFACT_BYTES_LIMIT: u64 = 512 << 20;
/// The most bytes of all artefacts: past it, those that were written first go.
const ARTEFACTS_BYTES_LIMIT: u64 = 4 << 30;
/// The ending of an artefact's name.
const ENDING: &str = "compiled";

/// The artefacts of one installation.
#[derive(Clone, Debug)]
pub struct Artefacts {
    dir: PathBuf,
    key: SecretKey,
}

impl Artefacts {
    /// Artefacts in this folder, which is made if it is missing, tagged with this key.
    #[must_use]
    pub fn new(dir: PathBuf, key: SecretKey) -> Self {
        Self { dir, key }
    }

    /// The compiled plugin with this digest, if it was kept by an engine like this one.
    pub(super) fn read(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let name = name(engine, digest);
        let path = self.dir.join(&name);
        let mut file = File::open(&path).ok()?;
        let component = self.checked(engine, &name, &mut file);
        if component.is_none() {
            tracing::warn!(plugin = digest, "a compiled plugin on disk is not what was written: it is compiled again");
        }
        component
    }

    fn checked(&self, engine: &Engine, name: &str, file: &mut File) -> Option<Component> {
        let mut content = Vec::new();
        file.take(ARTEFACT_BYTES_LIMIT).read_to_end(&mut content).ok()?;
        let (tag, code) = content.split_at_checked(TAG_BYTES)?;
        if !self.key.is_tagged(name, code, tag) {
            return None;
        }
        deserialize(engine, code)
    }

    /// Keeps a compiled plugin. What can't be kept is compiled again after a restart.
    pub(super) fn write(&self, engine: &Engine, digest: &str, component: &Component) {
        if let Err(error) = self.try_write(&name(engine, digest), component) {
            tracing::warn!(plugin = digest, error = format!("{error:#}"), "a compiled plugin can't be kept on disk");
        }
    }

    fn try_write(&self, name: &str, component: &Component) -> Result<(), Box<dyn std::error::Error>> {
        let code = component.serialize()?;
        let bytes = code.len() as u64 + TAG_BYTES as u64;
        if bytes > ARTEFACT_BYTES_LIMIT {
            return Err(format!("it has {bytes} bytes and may have {ARTEFACT_BYTES_LIMIT}").into());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        self.make_room(bytes)?;
        // Whole or not at all, whoever else writes the same.
        let unfinished = self.dir.join(format!("{}.unfinished", random_id()));
        let written = (|| {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(&self.key.tag(name, &code))?;
            file.write_all(&code)?;
            fs::rename(&unfinished, self.dir.join(name))
        })();
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        Ok(written?)
    }

    /// Removes what was written first, unfinished files too, until so many bytes more are within the limit.
    fn make_room(&self, bytes: u64) -> std::io::Result<()> {
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let (entry, metadata) = entry.and_then(|entry| entry.metadata().map(|metadata| (entry, metadata)))?;
            kept.push((metadata.modified()?, metadata.len(), entry.path()));
        }
        kept.sort_unstable();
        let mut total = kept.iter().map(|(_, bytes, _)| bytes).sum::<u64>().saturating_add(bytes);
        for (_, bytes, path) in kept {
            if total <= ARTEFACTS_BYTES_LIMIT {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

/// The name of a plugin's artefact for an engine: its digest, and a digest of what the engine compiles to (wasmtime's version and
/// settings, the processor's features).
fn name(engine: &Engine, digest: &str) -> String {
    let mut hasher = Hashed(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{}.{ENDING}", hex(&hasher.0.finalize()))
}

/// SHA-256 of what is hashed: a name on disk has to be the same in every process.
struct Hashed(Sha256);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// The component in an artefact whose tag was right.
#[expect(unsafe_code, reason = "reading machine code back is what this file is for")]
fn deserialize(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: the bytes are what `Component::serialize` gave. They are in our own memory, and the tag that was just checked over these very
    // bytes is one that only this installation's key makes, which `write` uses for nothing but `serialize`'s output. The tag covers the name,
    // so they are the artefact of this plugin by an engine of the same version and settings; wasmtime checks the latter once more.
    unsafe { Component::deserialize(engine, code) }.ok()
}
