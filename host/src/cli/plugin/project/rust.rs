//! Rust: cargo makes a core module, and how WebAssembly is built on this machine is told by the script that builds this repository's own
//! plugins.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::plugins_folder;

/// Says how WebAssembly is built here.
const TOOLCHAIN: &str = include_str!("../../../../../scripts/wasm-toolchain");
/// Runs its arguments with what the toolchain's `env` says, and its flags behind them.
const WITH_TOOLCHAIN: &str = r#"set -euo pipefail; said=$(bash -c "$TOOLCHAIN" wasm-toolchain env); eval "$said"; read -ra flags <<<"$CARGO_WASM_FLAGS"; "$@" "${flags[@]}""#;

/// What to do without cargo.
const INSTALL: &str = "`cargo` can't be run, which Rust plugins are built with: install it from https://rustup.rs, with the target \
                       wasm32-unknown-unknown, or on Debian with `apt-get install cargo rustc-web rust-web-src lld-19`";

/// What of cargo's messages is read.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Builds the crate; gives where its module is put.
pub fn build(dir: &Path) -> anyhow::Result<PathBuf> {
    // Asked first: what looks for the target would say that this is what is missing.
    if let Err(error) = Command::new("cargo").arg("--version").stdin(Stdio::null()).output() {
        return Err(error).context(INSTALL);
    }
    let manifest = dir.join("Cargo.toml");
    let built = Command::new("bash")
        .args(["-c", WITH_TOOLCHAIN, "build", "cargo", "build", "--release", "--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest)
        .env("TOOLCHAIN", TOOLCHAIN)
        // Whoever builds many plugins shares what they are built of.
        .env("CARGO_TARGET_DIR", std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| dir.join("target").into()))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("bash can't be run, which says how WebAssembly is built here")?;
    if !built.status.success() {
        bail!("the plugin can't be built");
    }
    let said = String::from_utf8_lossy(&built.stdout);
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let ours = messages.filter(|message| message.reason == "compiler-artifact" && message.manifest_path == manifest);
    let module = ours.flat_map(|message| message.filenames).find(|file| file.extension().is_some_and(|ending| ending == "wasm"));
    let module = module.context("cargo made no module: the manifest needs `crate-type = [\"cdylib\"]`")?;
    let bytes = std::fs::read(&module).context("the module can't be read")?;
    let name = module.file_name().context("the module has no name")?;
    let put = plugins_folder(dir)?.join(name);
    if std::fs::read(&put).ok().as_ref() != Some(&bytes) {
        std::fs::write(&put, &bytes).with_context(|| format!("`{}` can't be written", put.display()))?;
    }
    Ok(put)
}
