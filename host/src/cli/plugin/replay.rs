//! `rolecall plugin replay`: what a call of production was asked, asked again here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::project;
use super::question::{Asked, Said, Step, object, told};
use crate::cli::client::{Api, Remote};
use crate::cli::render::Paint;
use crate::cli::{EXIT_FOUND, Output, tenant};
use crate::config::ConfigError;
use crate::diagnostic::Diagnostic;
use crate::model::{CallInput, FailureKind, Instant};
use crate::plugins::{Plugin, PluginSettings, Sandbox, Tables};
use crate::policies::DeclaredTags;
use crate::revision::{self, Bound, Files, Revision};

/// The largest file of a failure or a golden case, in bytes: as many as a case may have.
const FILE_BYTES_LIMIT: u64 = 1 << 20;
/// The instant of a golden case that names none.
const CASE_AS_OF: &str = "2026-01-01T00:00:00Z";

/// What is asked again, and whom.
#[derive(clap::Args)]
pub struct Replay {
    /// A failure's id, or a file with a failure or a golden case
    #[arg(value_name = "ID|FILE")]
    which: String,
    /// Ask this plugin instead: a folder, or a module or component
    #[arg(long, value_name = "DIR|FILE")]
    with: Option<PathBuf>,
    /// Other settings, as JSON, for a `--with` that is a file [default: those of the failure's revision, or {}]
    #[arg(long, value_name = "JSON")]
    settings: Option<String>,
    /// Ask the module that is there: don't build a folder first
    #[arg(long)]
    no_build: bool,
    /// The tenant of the failure
    #[arg(long, env = "ROLECALL_TENANT", value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// What is read of a failure.
#[derive(Deserialize)]
struct Kept {
    kind: FailureKind,
    code: String,
    hook: String,
    plugin: String,
    revision: String,
    connection: String,
    spent: Spent,
    input: Option<CallInput>,
    input_missing: Option<String>,
}

#[derive(Deserialize)]
struct Spent {
    fuel: u64,
}

/// What is read of a golden case.
#[derive(Deserialize)]
struct Case {
    user: Value,
    #[serde(default)]
    groups: Vec<String>,
    as_of: Option<Instant>,
}

/// What is asked again.
enum Again {
    Failure(Box<Kept>),
    Case(CallInput),
}

impl Again {
    /// The only hook that is asked, where it is one.
    fn hook(&self) -> Option<&str> {
        match self {
            Self::Failure(kept) => Some(&kept.hook),
            Self::Case(_) => None,
        }
    }
}

/// The plugins of both hooks with their tables; or a folder and what is wrong with it.
type Loaded = Result<Questioned, (PathBuf, Vec<Diagnostic>)>;

/// What is asked, and what its answers are held to.
#[derive(Default)]
struct Questioned {
    transform: Option<Bound>,
    propose: Option<Bound>,
    tables: Arc<Tables>,
    tags: Option<DeclaredTags>,
}

impl Replay {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let settings = self.settings.as_deref().map(object).transpose()?;
        if settings.is_some() && self.with.as_ref().is_none_or(|with| with.is_dir()) {
            return Err(usage("--settings", "is for a `--with` that is a file: a folder and a revision have settings of their own").into());
        }
        let wanted = Wanted { sandbox: crate::cli::sandbox::make()?, settings, no_build: self.no_build };
        let file = Path::new(&self.which).is_file().then(|| PathBuf::from(&self.which));
        let (again, loaded) = match file {
            Some(file) => {
                let again = read(&file)?;
                let loaded = wanted.load(again.hook(), self.with.or_else(|| folder_of(&file)), None)?;
                (again, loaded)
            }
            None if looks_like_a_path(&self.which) => anyhow::bail!("there is no file `{}`", self.which),
            None => {
                let tenant = self.tenant.ok_or_else(|| usage("--tenant", "is missing: an id is of a tenant"))?;
                let api = self.remote.connect()?;
                let kept = api.get(&["tenants", &tenant, "plugins", "failures", &self.which], &[]).await?;
                let kept: Kept = serde_json::from_value(kept).context("the server's answer can't be read")?;
                let is_folder = self.with.as_ref().is_some_and(|with| with.is_dir());
                let files = if is_folder { None } else { Some(files(&api, &tenant, &kept.revision).await?) };
                let again = Again::Failure(Box::new(kept));
                let loaded = wanted.load(again.hook(), self.with, files)?;
                (again, loaded)
            }
        };
        let questioned = match loaded {
            Ok(loaded) => loaded,
            Err((dir, problems)) => return tenant::broken(&dir, &problems, output),
        };
        match again {
            Again::Failure(kept) => replay(*kept, questioned, output),
            Again::Case(input) => {
                let asked = asked(input, "connection".into(), questioned)?;
                show(None, &[], &asked.answer(), output)
            }
        }
    }
}

fn usage(name: &'static str, problem: &str) -> ConfigError {
    ConfigError::Argument { name, problem: problem.into() }
}

/// Whether somebody means a file: a failure's id has letters and digits alone.
fn looks_like_a_path(which: &str) -> bool {
    which.contains(['/', '.'])
}

/// Reads a failure, or a golden case.
fn read(file: &Path) -> anyhow::Result<Again> {
    let shown = file.display();
    let size = std::fs::metadata(file).with_context(|| format!("`{shown}` can't be read"))?.len();
    anyhow::ensure!(size <= FILE_BYTES_LIMIT, "`{shown}` has more than {FILE_BYTES_LIMIT} bytes: it is no failure and no golden case");
    let text = std::fs::read_to_string(file).with_context(|| format!("`{shown}` can't be read"))?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("`{shown}` is no JSON"))?;
    if value.get("expect").is_some() {
        let case: Case = serde_json::from_value(value).with_context(|| format!("`{shown}` is no golden case"))?;
        let default = || CASE_AS_OF.parse::<jiff::Timestamp>().map(Instant::from);
        let as_of = case.as_of.map_or_else(default, Ok)?;
        return Ok(Again::Case(CallInput { as_of, user: case.user, groups: case.groups, account: None, masked: Vec::new() }));
    }
    let kept = serde_json::from_value(value)
        .with_context(|| format!("`{shown}` is no failure as `rolecall plugin failures ID --json` gives it"))?;
    Ok(Again::Failure(Box::new(kept)))
}

/// The tenant folder that a golden case stands in.
fn folder_of(file: &Path) -> Option<PathBuf> {
    let tests = file.parent()?;
    let folder = if tests.as_os_str().is_empty() { Path::new("..") } else { tests.parent()? };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    folder.join("tenant.toml").is_file().then(|| folder.to_owned())
}

/// The files of a stored revision.
async fn files(api: &Api, tenant: &str, revision: &str) -> anyhow::Result<Files> {
    #[derive(Deserialize)]
    struct Answer {
        files: BTreeMap<String, String>,
    }
    let answer = api.get(&["tenants", tenant, "revisions", revision], &[]).await?;
    let answer: Answer = serde_json::from_value(answer).context("the server's answer can't be read")?;
    let decoded = |(path, text): (String, String)| Ok((path, STANDARD.decode(text).context("the server's answer can't be read")?));
    answer.files.into_iter().map(decoded).collect()
}

/// With what the plugins are loaded that are asked.
struct Wanted {
    sandbox: Sandbox,
    /// Settings in place of the revision's.
    settings: Option<PluginSettings>,
    /// Whether a folder is taken as it is.
    no_build: bool,
}

impl Wanted {
    /// The plugins that are asked: those of `with`, else the revision's. A file that stands in for them has their settings and tables.
    fn load(&self, hook: Option<&str>, with: Option<PathBuf>, files: Option<Files>) -> anyhow::Result<Loaded> {
        if let Some(dir) = with.as_ref().filter(|with| with.is_dir()) {
            project::refresh(dir, self.no_build)?;
            return Ok(match revision::read_folder(dir) {
                Ok(files) => self.built(&files, dir.clone()),
                Err(problems) => Err((dir.clone(), problems)),
            });
        }
        let base = match &files {
            Some(files) => match self.built(files, PathBuf::from("the failure's revision")) {
                Ok(base) => base,
                broken => return Ok(broken),
            },
            None => Questioned::default(),
        };
        let Some(file) = with else {
            anyhow::ensure!(files.is_some(), usage("--with", "is missing: say which plugin is to be asked, a folder or a file"));
            return Ok(Ok(base));
        };
        let Questioned { transform, propose, tables, tags } = base;
        let bytes = super::bytes_of(&file)?;
        let plugin = self.sandbox.load(&bytes).with_context(|| file.display().to_string())?;
        // Only for the hook that is asked: settings of another one are none of the question.
        let asks = |name: &str| hook.is_none_or(|hook| hook == name);
        let transform = (plugin.transforms() && asks("transform-user")).then(|| self.bound(&plugin, transform)).transpose()?;
        let propose = (plugin.proposes() && asks("propose-roles")).then(|| self.bound(&plugin, propose)).transpose()?;
        Ok(Ok(Questioned { transform, propose, tables, tags }))
    }

    fn built(&self, files: &Files, place: PathBuf) -> Loaded {
        match Revision::build(files, &self.sandbox) {
            Ok(Revision { transform, propose, tables, tags, .. }) => Ok(Questioned { transform, propose, tables, tags }),
            Err(problems) => Err((place, problems)),
        }
    }

    /// The plugin in place of another one, whose settings it has to take where there are no others.
    fn bound(&self, plugin: &Arc<Plugin>, before: Option<Bound>) -> anyhow::Result<Bound> {
        let kept = || before.map_or_else(|| "{}".into(), |before| before.settings);
        let settings = self.settings.clone().unwrap_or_else(kept);
        if let Err(problem) = plugin.check_settings(settings.json()) {
            let whose = if self.settings.is_some() { "won't do" } else { "is needed, in place of those that there are" };
            return Err(usage("--settings", &format!("{whose}: {problem}")).into());
        }
        Ok(Bound { plugin: Arc::clone(plugin), settings })
    }
}

fn asked(input: CallInput, connection: String, questioned: Questioned) -> anyhow::Result<Asked> {
    let Questioned { transform, propose, tables, tags } = questioned;
    if transform.is_none() && propose.is_none() {
        return Err(usage("--with", "names a plugin that does not have the hook").into());
    }
    let CallInput { as_of, user, groups, account, .. } = input;
    let account = account.map(serde_json::from_value).transpose().context("the account that was kept is none")?;
    Ok(Asked { transform, propose, tables, tags, user, groups, as_of: as_of.timestamp(), connection, account })
}

/// Asks the hook that failed, and it alone.
fn replay(kept: Kept, questioned: Questioned, output: Output) -> anyhow::Result<ExitCode> {
    let Some(input) = kept.input.clone() else {
        anyhow::bail!("there is nothing to ask again: {}", kept.input_missing.as_deref().unwrap_or("the input was not kept"));
    };
    let masked = input.masked.clone();
    let one = match &*kept.hook {
        "propose-roles" => Questioned { transform: None, ..questioned },
        _ => Questioned { propose: None, ..questioned },
    };
    let asked = asked(input, kept.connection.clone(), one)?;
    show(Some(&kept), &masked, &asked.answer(), output)
}

/// Whether what failed then fails now, and how.
fn show(kept: Option<&Kept>, masked: &[String], said: &Said, output: Output) -> anyhow::Result<ExitCode> {
    let Said { answer, steps, fault } = said;
    let refused = answer.get("refused").and_then(|refused| refused["code"].as_str());
    let now = fault.as_ref().map(|(_, fault)| (FailureKind::Fault, fault.code())).or(refused.map(|code| (FailureKind::Refusal, code)));
    // A refusal is an answer, unless it is what is asked about.
    let fails = match (now, kept) {
        (Some((FailureKind::Fault, _)), _) => true,
        (Some((FailureKind::Refusal, _)), Some(kept)) => kept.kind == FailureKind::Refusal,
        _ => false,
    };
    let again = kept.is_some_and(|kept| now == Some((kept.kind, &*kept.code)));
    let mut value = json!({"ok": !fails, "answer": answer, "calls": steps.iter().map(Step::to_json).collect::<Vec<_>>()});
    if let Some(kept) = kept {
        value["again"] = again.into();
        value["was"] = json!({"kind": kept.kind, "code": kept.code, "hook": kept.hook, "plugin": kept.plugin, "fuel": kept.spent.fuel});
        value["masked"] = json!(masked);
    }
    if let Some((hook, fault)) = fault {
        value["fault"] = told(hook, fault);
    }
    output.show(&value, |paint| Ok(text(kept, masked, said, again, paint)))?;
    Ok(ExitCode::from(if fails { EXIT_FOUND } else { 0 }))
}

fn text(kept: Option<&Kept>, masked: &[String], said: &Said, again: bool, paint: Paint) -> String {
    let mut text = match kept {
        Some(kept) if again => paint.bad(&format!("{} `{}` happens again", kept.kind, kept.code)) + "\n",
        Some(kept) if said.fault.is_some() => paint.bad(&format!("{} `{}` is another one now", kept.kind, kept.code)) + "\n",
        Some(kept) => paint.good(&format!("{} `{}` does not happen", kept.kind, kept.code)) + "\n",
        None => String::new(),
    };
    text += &match &said.fault {
        Some((hook, fault)) => format!("{} {hook}: {fault}\n", paint.bad(&format!("fault `{}`", fault.code()))),
        None => format!("{:#}\n", Value::Object(said.answer.clone())),
    };
    text.extend(said.steps.iter().map(|step| paint.faint(&step.to_text())));
    if let Some(kept) = kept {
        text += &paint.faint(&format!("in production: {} fuel\n", kept.spent.fuel));
    }
    if !masked.is_empty() {
        let hint = if again { "" } else { ": what hangs on one of these may not show here" };
        text += &paint.faint(&format!("masked: {}{hint}\n", masked.join(", ")));
    }
    text
}
