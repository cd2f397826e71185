//! One question to a plugin, from a person on standard input: `rolecall plugin run`, and what `bench` asks.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use rolecall_scim::ResourceKind;
use rolecall_scim::resource;
use rolecall_scim::schema::Schemas;
use serde_json::{Map, Value, json};

use super::project;
use crate::cli::{EXIT_FOUND, Output, sandbox, tenant};
use crate::config::ConfigError;
use crate::diagnostic::{Diagnostic, on_a_line};
use crate::evaluation;
use crate::mapping::{AccountShape, Mapping};
use crate::plugins::limits::Kind;
use crate::plugins::{Call, Frame, LogLine, Plugin, PluginFault, PluginSettings, Seen, Tables, Usage};
use crate::policies::DeclaredTags;
use crate::revision::{self, Bound, Revision};

/// The longest person that is read, in bytes: what SCIM takes in one request.
const PERSON_BYTES_LIMIT: u64 = 1 << 20;

/// What a plugin is asked.
#[derive(clap::Args)]
pub struct Question {
    /// The plugin's folder, or a module or component
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    path: PathBuf,
    /// Ask the module that is there: don't build a folder first
    #[arg(long)]
    no_build: bool,
    /// The plugin's settings as JSON, for a file [default: {}]
    #[arg(long, value_name = "JSON")]
    settings: Option<String>,
    /// A group's handle that the person is in; may be repeated
    #[arg(long = "group", value_name = "HANDLE")]
    groups: Vec<String>,
    /// The instant of the evaluation
    #[arg(long, value_name = "RFC3339", default_value = "2026-01-01T00:00:00Z")]
    as_of: jiff::Timestamp,
    /// The connection's id
    #[arg(long, value_name = "ID", default_value = "connection")]
    connection: String,
    /// For a plugin that only nominates: the account as JSON [default: the standard mapping's]
    #[arg(long, value_name = "JSON")]
    account: Option<String>,
}

/// A question with all that it needs.
pub(super) struct Asked {
    pub transform: Option<Bound>,
    pub propose: Option<Bound>,
    pub tables: Arc<Tables>,
    /// The tags that the tenant declares.
    pub tags: Option<DeclaredTags>,
    pub user: Value,
    pub groups: Vec<String>,
    pub as_of: jiff::Timestamp,
    pub connection: String,
    pub account: Option<AccountShape>,
}

/// What a hook's call used, and what it logged.
pub(super) struct Step {
    pub hook: &'static str,
    /// What runs in the plugin: how much memory it may have.
    pub kind: Kind,
    pub usage: Usage,
    pub logs: Vec<LogLine>,
    /// What was running when it ended without an answer.
    pub backtrace: Vec<Frame>,
}

/// What came of a question: as much of the answer as there is, and the hook's fault that ended it.
pub(super) struct Said {
    pub answer: Map<String, Value>,
    pub steps: Vec<Step>,
    pub fault: Option<(&'static str, PluginFault)>,
}

impl Question {
    pub(super) fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let asked = match self.ask()? {
            Ok(asked) => asked,
            Err((dir, problems)) => return tenant::broken(&dir, &problems, output),
        };
        let Said { answer, steps, fault } = asked.answer();
        let mut value = json!({"ok": fault.is_none(), "answer": answer, "calls": steps.iter().map(Step::to_json).collect::<Vec<_>>()});
        if let Some((hook, fault)) = &fault {
            value["fault"] = told(hook, fault);
        }
        output.show(&value, |paint| {
            let mut text = format!("{:#}\n", Value::Object(answer.clone()));
            text.extend(steps.iter().map(|step| paint.faint(&step.to_text())));
            if let Some((hook, fault)) = &fault {
                text += &format!("{} {hook}: {fault}\n", paint.bad(&format!("fault `{}`", fault.code())));
            }
            Ok(text)
        })?;
        Ok(ExitCode::from(if fault.is_none() { 0 } else { EXIT_FOUND }))
    }

    /// Reads the person and loads the plugin; what is wrong with its folder is told as problems.
    pub(super) fn ask(self) -> anyhow::Result<Result<Asked, (PathBuf, Vec<Diagnostic>)>> {
        let sandbox = sandbox::make()?;
        let invalid = |name: &'static str, problem: String| ConfigError::Argument { name, problem };
        let (transform, propose, tables, tags, schemas) = if self.path.is_dir() {
            if self.settings.is_some() {
                return Err(invalid("--settings", "is for a file: a folder's settings are those of its tenant.toml".into()).into());
            }
            project::refresh(&self.path, self.no_build)?;
            let built = revision::read_folder(&self.path).and_then(|files| Revision::build(&files, &sandbox));
            let revision = match built {
                Ok(revision) => revision,
                Err(problems) => return Ok(Err((self.path, problems))),
            };
            if revision.transform.is_none() && revision.propose.is_none() {
                return Err(invalid("PATH", "names a folder whose tenant.toml names no plugin".into()).into());
            }
            (revision.transform, revision.propose, revision.tables, revision.tags, revision.schemas)
        } else {
            let bytes = super::bytes_of(&self.path)?;
            let plugin = sandbox.load(&bytes).with_context(|| self.path.display().to_string())?;
            let settings = object(self.settings.as_deref().unwrap_or("{}"))?;
            plugin.check_settings(settings.json()).map_err(|problem| invalid("--settings", format!("won't do: {problem}")))?;
            let bound = Bound { plugin: Arc::clone(&plugin), settings };
            let (transform, propose) = (plugin.transforms().then(|| bound.clone()), plugin.proposes().then_some(bound));
            (transform, propose, Arc::default(), None, Arc::new(Schemas::default()))
        };
        let account = self.account.map(|text| serde_json::from_str(&text)).transpose();
        let account = account.map_err(|error| invalid("--account", format!("is no account: {error}")))?;
        let user = person(&schemas)?;
        let Self { groups, as_of, connection, .. } = self;
        Ok(Ok(Asked { transform, propose, tables, tags, user, groups, as_of, connection, account }))
    }
}

/// What `--settings` gives.
pub(super) fn object(text: &str) -> Result<PluginSettings, ConfigError> {
    let read = serde_json::from_str::<Map<String, Value>>(text);
    read.map_err(|error| ConfigError::Argument { name: "--settings", problem: format!("is no JSON object: {error}") })?;
    Ok(text.into())
}

/// The person on standard input, as a server would have stored them.
fn person(schemas: &Schemas) -> anyhow::Result<Value> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("reading a SCIM User as JSON; end with Ctrl-D");
    }
    let mut bytes = Vec::new();
    stdin.lock().take(PERSON_BYTES_LIMIT + 1).read_to_end(&mut bytes).context("standard input can't be read")?;
    anyhow::ensure!(bytes.len() as u64 <= PERSON_BYTES_LIMIT, "standard input has more than {PERSON_BYTES_LIMIT} bytes: it is no person");
    let mut body: Value = serde_json::from_slice(&bytes).context("standard input is no JSON")?;
    if let Some(body) = body.as_object_mut() {
        body.entry("schemas").or_insert_with(|| json!(["urn:ietf:params:scim:schemas:core:2.0:User"]));
    }
    let read = resource::read(schemas, ResourceKind::User, &body, None);
    let read = read.map_err(|error| anyhow::anyhow!("standard input is no SCIM User: {}", error.detail))?;
    Ok(read.document.to_value())
}

/// A fault, for machines.
pub(super) fn told(hook: &str, fault: &PluginFault) -> Value {
    json!({"hook": hook, "code": fault.code(), "message": fault.to_string(), "path": fault.path(), "limit": fault.limit()})
}

/// Where a function was: its name, where in the module, and the line where that is known.
pub(super) fn place(Frame { function, offset, source }: &Frame) -> String {
    let offset = offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
    let source = source.as_ref().map(|source| format!(", {source}")).unwrap_or_default();
    format!("{function}{offset}{source}")
}

impl Step {
    fn of(hook: &'static str, plugin: &Plugin, seen: Seen) -> Self {
        Self { hook, kind: plugin.kind(), usage: seen.usage, logs: seen.logs, backtrace: seen.backtrace }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "hook": self.hook, "fuel": self.usage.fuel, "memory_bytes": self.usage.memory_bytes, "logs": self.logs,
            "backtrace": self.backtrace,
        })
    }

    /// What it logged, where it was and what it used, a line each.
    pub(super) fn to_text(&self) -> String {
        let mut text: String =
            self.logs.iter().map(|line| format!("{}: {}: {}\n", self.hook, line.level, on_a_line(&line.message))).collect();
        for frame in &self.backtrace {
            text += &format!("{}:   in {}\n", self.hook, place(frame));
        }
        text + &format!("{}: {} fuel, {} bytes of memory\n", self.hook, self.usage.fuel, self.usage.memory_bytes)
    }
}

impl Asked {
    /// What the plugin answers, what each call used, and the fault that ended them.
    pub(super) fn answer(&self) -> Said {
        let handles: Vec<&str> = self.groups.iter().map(String::as_str).collect();
        let (mut answer, mut steps) = (Map::new(), Vec::new());
        let mut shape = self.account.clone();
        if let Some(bound) = &self.transform {
            let mut seen = Seen::default();
            let mapping = bound.plugin.transform_seen(&self.call(bound, &handles), &mut seen);
            let mapping = mapping.and_then(|answer| evaluation::declared(answer, self.tags.as_ref()));
            steps.push(Step::of("transform-user", &bound.plugin, seen));
            match mapping {
                Ok(Mapping::Account { shape: made, provenance }) => {
                    answer.insert("account".into(), json!(made));
                    answer.insert("provenance".into(), json!(provenance));
                    shape = Some(made);
                }
                Ok(Mapping::OutOfScope { reason }) => {
                    answer.insert("out_of_scope".into(), reason.into());
                    return Said { answer, steps, fault: None };
                }
                Ok(Mapping::Refused { code, path, message }) => {
                    answer.insert("refused".into(), json!({"code": code, "path": path, "message": message}));
                    return Said { answer, steps, fault: None };
                }
                Err(fault) => return Said { answer, steps, fault: Some(("transform-user", fault)) },
            }
        }
        if let Some(bound) = &self.propose {
            let shape = shape.or_else(|| match Mapping::default_for(&self.user) {
                Mapping::Account { shape, .. } => Some(shape),
                _ => None,
            });
            let mut seen = Seen::default();
            let proposals = bound.plugin.propose_seen(&self.call(bound, &handles), &shape.unwrap_or_default(), &mut seen);
            steps.push(Step::of("propose-roles", &bound.plugin, seen));
            match proposals {
                Ok(proposals) => {
                    let proposals = proposals.iter().map(|role| json!({"role": role.role, "because": role.because}));
                    answer.insert("proposals".into(), proposals.collect());
                }
                Err(fault) => return Said { answer, steps, fault: Some(("propose-roles", fault)) },
            }
        }
        Said { answer, steps, fault: None }
    }

    fn call<'a>(&'a self, bound: &'a Bound, handles: &'a [&'a str]) -> Call<'a> {
        Call {
            as_of: self.as_of,
            connection: &self.connection,
            settings: &bound.settings,
            user: &self.user,
            groups: handles,
            tables: &self.tables,
        }
    }
}
