//! A plugin's folder: what `rolecall plugin new` writes, and how `rolecall plugin build` makes a module of it.
//!
//! The folder holds all that it needs: the kit is vendored into it, and how WebAssembly is built on this machine is told by the script
//! that builds this repository's own plugins.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;

use crate::cli::Output;
use crate::config::ConfigError;

/// What makes a folder a project that can be built.
pub(super) const MANIFEST: &str = "Cargo.toml";
/// The longest name of a plugin, in characters: it is a file's name, too.
const NAME_CHARS_LIMIT: usize = 64;

/// Says how WebAssembly is built here.
const TOOLCHAIN: &str = include_str!("../../../../scripts/wasm-toolchain");
/// Runs its arguments with what the toolchain's `env` says, and its flags behind them.
const WITH_TOOLCHAIN: &str = r#"set -euo pipefail; said=$(bash -c "$TOOLCHAIN" wasm-toolchain env); eval "$said"; read -ra flags <<<"$CARGO_WASM_FLAGS"; "$@" "${flags[@]}""#;
/// 64 KiB of stack instead of 1 MiB: each page that a fresh instance touches costs time.
const LINKED: &str = "-C link-arg=-zstack-size=65536";

/// What a plugin may be written in.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Language {
    /// Rust
    Rust,
}

macro_rules! kit {
    ($($file:literal),+) => {
        [$((concat!("vendor/rolecall-plugin/", $file), include_str!(concat!("../../../../plugin-sdk/rust/", $file)))),+]
    };
}

/// The kit, as it is vendored.
const KIT: [(&str, &str); 8] =
    kit!["Cargo.toml", "src/account.rs", "src/guest.rs", "src/lib.rs", "src/memory.rs", "src/run.rs", "src/text.rs", "src/user.rs"];

/// The files of a new project; `{name}` and `{module}` stand for its name and its module's.
const FILES: [(&str, &str); 8] = [
    (MANIFEST, include_str!("template/manifest.toml")),
    ("src/lib.rs", include_str!("template/mapping.rs")),
    ("tenant.toml", include_str!("template/tenant.toml")),
    ("tests/account.json", include_str!("template/account.json")),
    ("tests/ignored.json", include_str!("template/ignored.json")),
    (".gitignore", "/target\n"),
    (
        "vendor/README.md",
        concat!(
            "Vendored from Rolecall ",
            env!("CARGO_PKG_VERSION"),
            ": not to be edited. The contract is in wit/, the kit for Rust in rolecall-plugin/.\n"
        ),
    ),
    ("vendor/wit/v1/plugin.wit", include_str!("../../../../plugin-sdk/wit/v1/plugin.wit")),
];

/// Writes a new project.
pub(super) fn create(name: &str, language: Language, dir: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let letters = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-') && !name.contains("--");
    if !letters || name.len() > NAME_CHARS_LIMIT || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        let problem = format!("must be 1 to {NAME_CHARS_LIMIT} lower-case letters, digits and single hyphens, and begin with a letter");
        return Err(ConfigError::Invalid { key: "name", problem }.into());
    }
    if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("`{}` is there already and is not empty: name another folder with `--dir`", dir.display());
    }
    let module = name.replace('-', "_");
    match language {
        Language::Rust => {
            for (path, text) in FILES.iter().chain(&KIT) {
                let vendored = path.starts_with("vendor/");
                let text = if vendored { (*text).to_owned() } else { text.replace("{name}", name).replace("{module}", &module) };
                write(&dir.join(path), &text)?;
            }
        }
    }
    output.show(&json!({"ok": true, "dir": dir, "name": name}), |paint| {
        let shown = dir.display();
        Ok(format!(
            "{} in {shown}\nwrite what it does in src/lib.rs and what you expect of it in tests/, then\n  rolecall plugin test {shown}\n  rolecall tenant apply {shown} --server …\n",
            paint.good(&format!("{name} is made"))
        ))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("`{}` can't be written", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    std::fs::write(path, text).with_context(failed)
}

/// What of cargo's messages is read.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Builds the project and puts its module into `plugins/`. What cargo says goes to standard error as it says it.
pub(super) fn build(dir: &Path, output: Output, tells: bool) -> anyhow::Result<()> {
    let dir = dir.canonicalize().with_context(|| format!("`{}` can't be found", dir.display()))?;
    let manifest = dir.join(MANIFEST);
    if !manifest.is_file() {
        bail!("there is no `{}`: `rolecall plugin new` makes a folder that can be built", manifest.display());
    }
    let built = Command::new("bash")
        .args(["-c", WITH_TOOLCHAIN, "build", "cargo", "build", "--release", "--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest)
        .env("TOOLCHAIN", TOOLCHAIN)
        // Whoever builds many plugins shares what they are built of.
        .env("CARGO_TARGET_DIR", std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| dir.join("target").into()))
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", LINKED)
        .current_dir(&dir)
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
    let plugin = super::sandbox()?.load(&bytes).context("a server would refuse the module")?;
    let name = module.file_name().context("the module has no name")?;
    let put = dir.join("plugins").join(name);
    if std::fs::read(&put).ok().as_ref() != Some(&bytes) {
        std::fs::create_dir_all(dir.join("plugins")).context("`plugins` can't be made")?;
        std::fs::write(&put, &bytes).with_context(|| format!("`{}` can't be written", put.display()))?;
    }
    if !tells {
        return Ok(());
    }
    output.show(&json!({"ok": true, "file": put, "bytes": bytes.len(), "digest": plugin.digest(), "hooks": plugin.hooks()}), |paint| {
        Ok(format!("{} {}, {} bytes: {}\n", paint.good("built"), put.display(), bytes.len(), plugin.hooks().join(", ")))
    })
}
