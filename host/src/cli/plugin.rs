//! `rolecall plugin`: everything that a plugin's author does, without a server: a new project, building, golden cases, one call, a
//! bench, and what is in a file. Calls go through the sandbox that the server has, with the same limits.

mod bench;
mod inspect;
mod project;
mod question;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::project::Language;
use self::question::Question;
use crate::cli::{Output, tenant};

/// Write, build, test and measure plugins. Needs no server
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
        A folder gives settings and tables from its tenant.toml; a file takes them from --settings.")]
    Run(Question),
    /// Measure a plugin's calls: time, fuel, memory, and how near they are to each limit
    #[command(after_help = "Example:\n  rolecall plugin bench my-mapping < person.json\n\n\
        Every call is a fresh sandbox, as in the server. Fuel is counted and the same everywhere; times are this machine's.")]
    Bench(bench::Bench),
    /// Say what is in a plugin's file: contract, imports, exports, sizes, and what a server would refuse
    #[command(
        after_help = "Example:\n  rolecall plugin inspect my-mapping/plugins/my_mapping.wasm\n\nExit code 1 when a server would refuse it."
    )]
    Inspect(inspect::Inspect),
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
    pub fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::New(new) => {
                let dir = new.dir.unwrap_or_else(|| PathBuf::from(&new.name));
                project::create(&new.name, new.lang, &dir, output)
            }
            Self::Build(folder) => {
                project::build(&folder.dir, output, true)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Test(test) => {
                if !test.no_build && is_project(&test.folder.dir) {
                    project::build(&test.folder.dir, output, false)?;
                }
                tenant::test(&test.folder.dir, output)
            }
            Self::Run(question) => question.run(output),
            Self::Bench(bench) => bench.run(output),
            Self::Inspect(inspect) => inspect.run(output),
        }
    }
}

/// Whether there is something to build in the folder: a tenant folder with a module in it is tested as it is.
fn is_project(dir: &Path) -> bool {
    Language::of(dir).is_some()
}
