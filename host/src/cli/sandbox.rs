//! The sandbox of the commands that need no server: the one that the server has, with the same limits.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::crypto::Keyring;
use crate::plugins::{Artefacts, Sandbox, SandboxConfig};

/// Makes it. What it compiles is kept in the user's cache folder, so that a plugin whose compilation takes seconds is tried again in
/// milliseconds.
///
/// # Errors
/// When the machine can't reserve the pool.
pub fn make() -> anyhow::Result<Sandbox> {
    // The author's own code: a backtrace may name its lines.
    Sandbox::new(&SandboxConfig { artefacts: artefacts(), source_lines: true, ..SandboxConfig::default() })
        .context("the sandbox can't be made")
}

/// Where compiled plugins are kept, with a key beside them that their owner alone reads. Without a folder for it nothing is kept.
fn artefacts() -> Option<Artefacts> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?.join("rolecall");
    make_private_dir(&dir).ok()?;
    let keyring = Keyring::from_file(&dir.join("compiled.key")).ok()?;
    Some(Artefacts::new(dir.join("compiled"), keyring.artefacts().clone()))
}

fn make_private_dir(dir: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
