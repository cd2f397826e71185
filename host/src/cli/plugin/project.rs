//! A plugin's folder: what `rolecall plugin new` writes, and how `rolecall plugin build` makes a module or component of it.
//!
//! The folder holds all that it needs: the kit of its language is vendored into it, with what builds it. How each language does is
//! in a file of its own.

mod files;
mod rust;
mod script;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::cli::{Output, sandbox};
use crate::config::ConfigError;

/// The longest name of a plugin, in characters: it is a file's name, too.
const NAME_CHARS_LIMIT: usize = 64;
/// What the kit's own package is called in each language.
const KIT: &str = "rolecall-plugin";
/// From so many bytes on, compiling takes seconds, and a line says so.
const SLOW_BYTES: usize = 4 << 20;

/// What a plugin may be written in.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Language {
    /// Rust: quickest, and smallest
    Rust,
    /// JavaScript, or TypeScript: src/plugin.js or src/plugin.ts
    Js,
    /// Python
    Python,
}

impl Language {
    /// The language of a project, by the file that it begins with.
    pub(super) fn of(dir: &Path) -> Option<Self> {
        let has = |file: &str| dir.join(file).is_file();
        if has("Cargo.toml") {
            Some(Self::Rust)
        } else if has("src/plugin.js") || has("src/plugin.ts") {
            Some(Self::Js)
        } else if has("src/plugin.py") {
            Some(Self::Python)
        } else {
            None
        }
    }

    /// The file that the author writes.
    fn source(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::Js => "src/plugin.js",
            Self::Python => "src/plugin.py",
        }
    }
}

/// Writes a new project.
pub(super) fn create(name: &str, language: Language, dir: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let letters = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-') && !name.contains("--");
    if !letters || name.len() > NAME_CHARS_LIMIT || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        let problem = format!("must be 1 to {NAME_CHARS_LIMIT} lower-case letters, digits and single hyphens, and begin with a letter");
        return Err(ConfigError::Argument { name: "NAME", problem }.into());
    }
    if name == KIT {
        let problem = format!("is `{KIT}`, which is what the kit in the folder is called: give the plugin another name");
        return Err(ConfigError::Argument { name: "NAME", problem }.into());
    }
    if dir.is_file() {
        bail!("`{}` is a file: name a folder with `--dir`", dir.display());
    }
    if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("`{}` is there already and is not empty: name another folder with `--dir`", dir.display());
    }
    let module = name.replace('-', "_");
    for (path, text) in files::of(language) {
        let vendored = path.starts_with("vendor/");
        let text = if vendored { text.to_owned() } else { text.replace("{name}", name).replace("{module}", &module) };
        write(&dir.join(path), &text)?;
    }
    output.show(&json!({"ok": true, "dir": dir, "name": name}), |paint| {
        let (shown, source) = (dir.display(), language.source());
        Ok(format!(
            "{} in {shown}\nwrite what it does in {source} and what you expect of it in tests/, then\n  rolecall plugin test {shown}\n  rolecall tenant apply {shown} --server …\n",
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

/// Builds the project into `plugins/`, and says what came of it.
pub(super) fn build(dir: &Path, output: Output) -> anyhow::Result<()> {
    let (put, bytes) = make(dir)?;
    if bytes.len() > SLOW_BYTES {
        eprintln!("checking it as a server does: the first time it is compiled, which takes some seconds");
    }
    let plugin = sandbox::make()?.load(&bytes).context("a server would refuse the module")?;
    output.show(&json!({"ok": true, "file": put, "bytes": bytes.len(), "digest": plugin.digest(), "hooks": plugin.hooks()}), |paint| {
        Ok(format!("{} {}, {} bytes: {}\n", paint.good("built"), put.display(), bytes.len(), plugin.hooks().join(", ")))
    })
}

/// Builds what there is to build before a folder's plugin is asked, so that the answer is that of the source as it is. A tenant folder with a
/// module and no source is taken as it is.
pub(super) fn refresh(dir: &Path, no_build: bool) -> anyhow::Result<()> {
    if no_build || Language::of(dir).is_none() {
        return Ok(());
    }
    let before = newest(dir);
    let (_, bytes) = make(dir)?;
    if bytes.len() > SLOW_BYTES && newest(dir) != before {
        eprintln!("asking what was built: the first time it is compiled, which takes some seconds");
    }
    Ok(())
}

/// When something in `plugins/` was last written: whether a build had anything to do.
fn newest(dir: &Path) -> Option<SystemTime> {
    let entries = dir.join("plugins").read_dir().ok()?.flatten();
    entries.filter_map(|entry| entry.metadata().ok()?.modified().ok()).max()
}

/// Makes the module; gives where it is put, and its bytes. What the language's tools say goes to standard error as they say it.
fn make(dir: &Path) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let dir = dir.canonicalize().with_context(|| format!("`{}` can't be found", dir.display()))?;
    let language = Language::of(&dir);
    let language = language.with_context(|| {
        format!("there is no plugin to build in `{}`: `rolecall plugin new` makes a folder that can be built", dir.display())
    })?;
    let put = match language {
        Language::Rust => rust::build(&dir)?,
        Language::Js => script::build(&dir, &script::JS)?,
        Language::Python => script::build(&dir, &script::PYTHON)?,
    };
    let bytes = super::bytes_of(&put)?;
    let (built, named) = (put.file_name().map(|name| format!("plugins/{}", name.to_string_lossy())), named(&dir)?);
    if let (Some(built), Some(first)) = (built, named.first())
        && !named.contains(&built)
    {
        bail!(
            "what was built is `{built}`, and tenant.toml names `{first}`, which stays as it is: name the new one there, or call it as before"
        );
    }
    Ok((put, bytes))
}

/// The files that tenant.toml names as plugins, in its order; none where there is no such file, or one that is told of when the folder is read.
fn named(dir: &Path) -> anyhow::Result<Vec<String>> {
    let settings = dir.join("tenant.toml");
    let Ok(text) = std::fs::read_to_string(&settings) else { return Ok(Vec::new()) };
    let table: toml::Table = text.parse().with_context(|| format!("`{}` is no TOML", settings.display()))?;
    let plugins = table.get("plugins").and_then(toml::Value::as_table);
    let files = plugins.into_iter().flat_map(toml::Table::values).filter_map(|hook| hook.get("file").and_then(toml::Value::as_str));
    Ok(files.map(str::to_owned).collect())
}

/// Where a build goes.
fn plugins_folder(dir: &Path) -> anyhow::Result<PathBuf> {
    let folder = dir.join("plugins");
    std::fs::create_dir_all(&folder).context("`plugins` can't be made")?;
    Ok(folder)
}
