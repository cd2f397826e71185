//! `rolecall plugin inspect`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::project;
use crate::cli::render;
use crate::cli::{EXIT_FOUND, Output, sandbox};
use crate::plugins::{Inspection, Limits, inspect, limits};

/// A plugin's file.
#[derive(clap::Args)]
pub struct Inspect {
    /// The module or component, or a plugin's folder
    #[arg(value_name = "DIR|FILE")]
    file: PathBuf,
    /// Look at the module that is there: don't build a folder first
    #[arg(long)]
    no_build: bool,
}

impl Inspect {
    pub(super) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let file = if self.file.is_dir() { module_of(&self.file, self.no_build)? } else { self.file };
        let bytes = super::bytes_of(&file)?;
        let found = inspect(&bytes);
        let loaded = sandbox::make()?.load(&bytes);
        let (described, problem, code) = match &loaded {
            Ok(plugin) => (Some(plugin.description()), None, None),
            Err(error) => (None, Some(error.to_string()), Some(error.code())),
        };
        let hooks: Vec<&str> = loaded.as_ref().ok().map(|plugin| plugin.hooks()).unwrap_or_default();
        let digest = crate::crypto::sha256_hex(&bytes);
        let mut value =
            json!({"ok": problem.is_none(), "digest": digest, "file": found, "description": described, "hooks": hooks, "problem": problem});
        value["code"] = code.into();
        output.show(&value, |paint| {
            let mut text = match (&problem, described) {
                (Some(problem), _) => format!("{}: {problem}\n", paint.bad("a server would refuse it")),
                (None, Some(said)) => format!("{} {}: {}\n", paint.good(&said.name), said.version, hooks.join(", ")),
                (None, None) => String::new(),
            };
            text += &format!("{digest}\n");
            if let Some(found) = &found {
                text += &format!("{}\n", sizes(found));
                text += &lines("imports", &found.imports);
                text += &lines("exports", &found.exports);
            }
            text += &described.map(|said| lines("reads", &said.reads)).unwrap_or_default();
            Ok(text)
        })?;
        Ok(ExitCode::from(if problem.is_none() { 0 } else { EXIT_FOUND }))
    }
}

/// The module of a plugin's folder, built where the folder is a project.
fn module_of(dir: &Path, no_build: bool) -> anyhow::Result<PathBuf> {
    project::refresh(dir, no_build)?;
    let (folder, shown) = (dir.join("plugins"), dir.display());
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let mut modules: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "wasm")).collect();
    match (modules.pop(), modules.len()) {
        (Some(module), 0) => Ok(module),
        (Some(_), others) => anyhow::bail!("`{shown}` is a folder with {} plugins: name the file of one", others + 1),
        (None, _) => {
            anyhow::bail!("`{shown}` is a folder without a plugin: name a file, or a folder that `rolecall plugin build` can build")
        }
    }
}

fn sizes(found: &Inspection) -> String {
    let mut table = render::table([found.kind, "has", "may have"]);
    let contract = found.contract.clone().unwrap_or_else(|| "none".into());
    table.add_row(["contract".to_owned(), contract, "1.0.0".to_owned()]);
    table.add_row(["bytes".to_owned(), found.bytes.to_string(), limits::PLUGIN_BYTES_LIMIT.to_string()]);
    table.add_row(["functions".to_owned(), found.functions.to_string(), limits::FUNCTIONS_LIMIT.to_string()]);
    table.add_row([
        "bytes of memory at the start".to_owned(),
        found.memory_bytes.to_string(),
        Limits::default().memory_bytes_of(limits::Kind::of(found.memory_bytes)).to_string(),
    ]);
    table.to_string()
}

fn lines(what: &str, names: &[String]) -> String {
    if names.is_empty() { format!("{what} nothing\n") } else { format!("{what}\n  {}\n", names.join("\n  ")) }
}
