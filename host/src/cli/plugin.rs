//! `rolecall plugin`: everything that a plugin's author does, without a server: a new project, building, golden cases, one call, a
//! bench, and what is in a file. Calls go through the sandbox that the server has, with the same limits. And what its author does with a
//! server: failures and logs of production, a failure played again, signatures.

mod bench;
mod inspect;
mod project;
mod question;
mod replay;
mod sign;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use self::project::Language;
use self::question::Question;
use crate::cli::client::ApiError;
use crate::cli::connection::At;
use crate::cli::{Output, chain, items, render, tenant, word};
use crate::plugins::PluginError;
use crate::plugins::limits::PLUGIN_BYTES_LIMIT;
use crate::revision;

/// The most bytes of a plugin's file that are read: larger ones than a server takes, so that it can be said why it would not.
const FILE_BYTES_LIMIT: usize = 4 * PLUGIN_BYTES_LIMIT;

/// Write, build, test and measure plugins; see what they do in production, and play it again
#[derive(clap::Subcommand)]
pub enum Plugin {
    /// Make a folder with a plugin to begin with
    #[command(after_help = "The folder is a project of its language and a tenant folder in one: the plugin is in src/, its golden\n\
        cases are in tests/, and `rolecall tenant apply` takes it as it is.\n\n\
        Rust needs cargo and its target wasm32-unknown-unknown; js needs Node.js 20 with npm; python needs Python 3.11.\n\
        What else a build needs it installs once into the folder's .tools, or into $ROLECALL_PLUGIN_TOOLS for many.\n\n\
        Example:\n  rolecall plugin new my-mapping --lang js\n  rolecall plugin test my-mapping")]
    New(New),
    /// Build a plugin's folder to WebAssembly
    #[command(
        after_help = "The module or component is put into plugins/, where tenant.toml names it. Nothing is built again while nothing\n\
        has changed.\n\nExample:\n  rolecall plugin build my-mapping"
    )]
    Build(Folder),
    /// Build a plugin's folder and run its golden cases
    #[command(after_help = "Example:\n  rolecall plugin test my-mapping\n\nExit code 1 when a case fails.")]
    Test(Test),
    /// Ask a plugin about one person: a SCIM User as JSON on standard input
    #[command(after_help = "Example:\n  echo '{\"userName\":\"ann@acme.example\"}' | rolecall plugin run my-mapping\n\n\
        A folder is built first, where it is a project, and gives settings and tables from its tenant.toml;\n\
        a file takes its settings from --settings.")]
    Run(Question),
    /// Measure a plugin's calls: time, fuel, memory, and how near they are to each limit
    #[command(after_help = "Example:\n  rolecall plugin bench my-mapping < person.json\n\n\
        Every call is a fresh sandbox, as in the server. Fuel is counted and the same everywhere; times are this machine's.")]
    Bench(bench::Bench),
    /// Say what is in a plugin's file: contract, imports, exports, sizes, and what a server would refuse
    #[command(
        after_help = "Examples:\n  rolecall plugin inspect my-mapping\n  rolecall plugin inspect my-mapping/plugins/my_mapping.wasm\n\n\
        Exit code 1 when a server would refuse it."
    )]
    Inspect(inspect::Inspect),
    /// Say what a server would make of a plugin's file, without storing it
    #[command(after_help = "Example:\n  rolecall plugin check --tenant acme plugins/my_mapping.wasm\n\n\
        A signature beside the file (`.sig`) is looked at too. Exit code 3 when the server refuses it.")]
    Check(sign::Check),
    /// List the plugins of a tenant's revisions: name, version, digest, and which is active
    #[command(after_help = "Example:\n  rolecall plugin versions --tenant acme")]
    Versions(At),
    /// Show plugin calls that failed in production; with an id, one of them with what it was asked
    #[command(
        after_help = "Examples:\n  rolecall plugin failures --tenant acme\n  rolecall plugin failures --tenant acme --code fuel --since 2026-01-31T00:00:00Z\n  \
        rolecall plugin failures --tenant acme ID --json > failure.json"
    )]
    Failures(watch::Failures),
    /// Show what plugins logged in production
    #[command(
        after_help = "Examples:\n  rolecall plugin logs --tenant acme --level warn\n  rolecall plugin logs --tenant acme --follow\n\n\
        With --json, one JSON object a line."
    )]
    Logs(watch::Logs),
    /// Ask again what a failure of production was asked, here, in the same sandbox with the same limits
    #[command(
        after_help = "Examples:\n  rolecall plugin replay --tenant acme ID\n  rolecall plugin replay --tenant acme ID --with my-mapping\n  \
        rolecall plugin replay failure.json --with my-mapping\n  rolecall plugin replay my-mapping/tests/ghent.json\n\n\
        With an id, the failure and its revision come from the server. A file is a failure as `rolecall plugin failures ID --json`\n\
        gives it, or a golden case, and needs no server. A folder that is a project is built first.\n\
        Exit code 1 when the call fails again."
    )]
    Replay(Box<replay::Replay>),
    /// Make a key to sign plugins with: a private key's file, and the public key on standard output
    #[command(after_help = "Example:\n  rolecall plugin keygen release.key > release.pub")]
    Keygen(sign::Keygen),
    /// Sign a plugin's file: the signature is put beside it
    #[command(after_help = "Example:\n  rolecall plugin sign plugins/my_mapping.wasm --key release.key")]
    Sign(sign::Sign),
    /// Say whose signatures on plugins a tenant accepts
    #[command(subcommand)]
    Key(sign::Key),
}

/// A new plugin.
#[derive(clap::Args)]
pub struct New {
    /// The plugin's name: lower-case letters, digits and hyphens
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
    /// The folder to make [default: the name]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A plugin's folder.
#[derive(clap::Args)]
pub struct Folder {
    /// The plugin's folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// A test of a folder.
#[derive(clap::Args)]
pub struct Test {
    #[command(flatten)]
    folder: Folder,
    /// Test the module that is there
    #[arg(long)]
    no_build: bool,
}

impl Plugin {
    /// Runs the command.
    ///
    /// # Errors
    /// What could not be read, written or built.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let done = self.carry_out(output).await;
        if let Err(error) = &done {
            told_to_machines(error, output)?;
        }
        done
    }

    async fn carry_out(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::New(new) => {
                let dir = new.dir.unwrap_or_else(|| PathBuf::from(&new.name));
                project::create(&new.name, new.lang, &dir, output)
            }
            Self::Build(folder) => {
                project::build(&folder.dir, output)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Test(test) => {
                project::refresh(&test.folder.dir, test.no_build)?;
                tenant::test(&test.folder.dir, output)
            }
            Self::Run(question) => question.run(output),
            Self::Bench(bench) => bench.run(output),
            Self::Inspect(inspect) => inspect.run(output),
            Self::Check(check) => check.run(output).await,
            Self::Versions(at) => versions(at, output).await,
            Self::Failures(failures) => failures.run(output).await,
            Self::Logs(logs) => logs.run(output).await,
            Self::Replay(replay) => replay.run(output).await,
            Self::Keygen(keygen) => keygen.run(output),
            Self::Sign(sign) => sign.run(output),
            Self::Key(key) => key.run(output).await,
        }
    }
}

/// Says on standard output what failed, where answers are JSON: people read it on standard error. A server's refusal stands there already.
fn told_to_machines(error: &anyhow::Error, output: Output) -> anyhow::Result<()> {
    let causes = || error.chain();
    let told = causes().any(|cause| matches!(cause.downcast_ref(), Some(ApiError::Refused { .. })));
    if !output.json || told {
        return Ok(());
    }
    let code = causes().find_map(|cause| cause.downcast_ref::<PluginError>()).map(PluginError::code);
    let mut value = json!({"ok": false, "problem": chain(error)});
    if let Some(code) = code {
        value["code"] = code.into();
    }
    // On one line: `logs` answers with an object a line.
    output.print(&format!("{value}\n"))
}

async fn versions(at: At, output: Output) -> anyhow::Result<ExitCode> {
    let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "plugins"], &[]).await?;
    output.show(&answer, |paint| {
        let mut table = render::table(["", "plugin", "version", "digest", "hooks", "bytes", "since", "revisions"]);
        for plugin in items(&answer, "plugins") {
            let hooks: Vec<String> = items(plugin, "hooks").iter().map(word).collect();
            let state = if plugin["active"] == true { "active" } else { "" };
            let [name, version, digest, size, created, revisions] =
                ["name", "version", "digest", "size", "created", "revisions"].map(|key| word(&plugin[key]));
            table.add_row([state.to_owned(), name, version, digest, hooks.join(", "), size, created, revisions]);
        }
        if table.is_empty() { Ok(paint.faint("no plugin") + "\n") } else { Ok(format!("{table}\n")) }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The bytes of a plugin's file.
fn bytes_of(file: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = file.display();
    let read = revision::read_bounded(file, FILE_BYTES_LIMIT).with_context(|| format!("`{shown}` can't be read"))?;
    read.with_context(|| format!("`{shown}` has more than {FILE_BYTES_LIMIT} bytes: it is no plugin"))
}
