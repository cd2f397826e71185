//! The command line: one file per command, in `cli/`. This file owns what they share: parsing, output, exit codes.
//!
//! Commands about a running server talk to it over HTTP (`client.rs`) and know nothing of its parts; `serve`, `dev`
//! and `demo` build one; `tenant check`, `tenant test`, `policy` and `plugin` need none.

mod account;
mod approval;
mod backup;
mod client;
mod connection;
pub mod demo;
pub mod dev;
mod drift;
mod event;
mod exception;
mod handle;
mod history;
mod hold;
mod import;
mod invitation;
mod logging;
mod plugin;
mod policy;
mod process;
mod render;
mod review;
mod run;
mod sandbox;
pub mod serve;
mod step;
mod tenant;
mod token;
mod when;
mod workspace;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::cli::client::ApiError;
use crate::cli::render::Paint;
use crate::config::ConfigError;
use crate::diagnostic::on_a_line;

/// What was asked for was looked at and found wrong: a broken folder, a failing case, a difference.
const EXIT_FOUND: u8 = 1;
/// The command line or the settings make no sense (clap uses the same).
const EXIT_USAGE: u8 = 2;
/// The server refused, or can't be reached.
const EXIT_SERVER: u8 = 3;

/// Rolecall: a SCIM 2.0 provisioning server in which every tenant brings its own logic.
#[derive(Parser)]
#[command(
    name = "rolecall",
    version,
    after_help = "\
First steps:
  rolecall demo                        see it work, with invented people
  rolecall dev                         a throw-away server to point a SCIM client at
  rolecall serve                       the server
  rolecall tenant check examples/tenants/acme
  rolecall policy test policies/birthright
  rolecall plugin new my-mapping       a plugin of your own to begin with

Commands about a running server take its address from --server or ROLECALL_SERVER and
their right from ROLECALL_TOKEN, --token-file or --token.

Exit codes:
  0  done
  1  found wrong: a broken folder, a failing case, a difference, altered history, an ended server
  2  the command line or the settings make no sense
  3  the server refused, or can't be reached"
)]
struct Cli {
    /// Answer in JSON, for machines
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Dev(dev::Dev),
    Demo(demo::Demo),
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Connection(connection::Connection),
    #[command(subcommand)]
    Drift(drift::Drift),
    #[command(subcommand)]
    Account(account::Account),
    Explain(account::Explain),
    Events(event::Events),
    #[command(subcommand)]
    History(history::History),
    #[command(subcommand)]
    Handle(handle::Handle),
    #[command(subcommand)]
    Hold(hold::Hold),
    #[command(subcommand)]
    Approval(approval::Approval),
    #[command(subcommand)]
    Exception(exception::Exception),
    #[command(subcommand)]
    Process(step::Step),
    #[command(subcommand)]
    Invitation(invitation::Invitation),
    #[command(subcommand)]
    Review(review::Review),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Workspace(workspace::Workspace),
}

/// Where a command's answer goes.
#[derive(Clone, Copy)]
pub struct Output {
    json: bool,
    paint: Paint,
}

impl Output {
    /// Prints the answer: `value` for machines, what `text` makes for people.
    fn show(self, value: &Value, text: impl FnOnce(Paint) -> anyhow::Result<String>) -> anyhow::Result<()> {
        if self.json { self.print(&format!("{value:#}\n")) } else { self.print(&text(self.paint)?) }
    }

    /// Prints text as it is. A reader that has gone away is an error like any other, not a panic.
    fn print(self, text: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }
}

/// Runs the command that the process was started with.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output { json: cli.json, paint: Paint::for_stdout() };
    match run(cli.command, output).await {
        Ok(code) => code,
        Err(error) => report(&error, output),
    }
}

async fn run(command: Command, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(serve) => serve.run().await,
        Command::Backup(backup) => backup.run(output).await,
        Command::Restore(restore) => restore.run(output).await,
        Command::Dev(dev) => dev.run().await,
        Command::Demo(demo) => demo.run(output).await,
        Command::Tenant(tenant) => tenant.run(output).await,
        Command::Plugin(plugin) => plugin.run(output).await,
        Command::Policy(policy) => policy.run(output).await,
        Command::Connection(connection) => connection.run(output).await,
        Command::Drift(drift) => drift.run(output).await,
        Command::Account(account) => account.run(output).await,
        Command::Explain(explain) => explain.run(output).await,
        Command::Events(events) => events.run(output).await,
        Command::History(history) => history.run(output).await,
        Command::Handle(handle) => handle.run(output).await,
        Command::Hold(hold) => hold.run(output).await,
        Command::Approval(approval) => approval.run(output).await,
        Command::Exception(exception) => exception.run(output).await,
        Command::Process(step) => step.run(output).await,
        Command::Invitation(invitation) => invitation.run(output).await,
        Command::Review(review) => review.run(output).await,
        Command::Token(token) => token.run(output).await,
        Command::Workspace(workspace) => workspace.run(output).await,
    }
}

/// Tells the person what failed; the exit code tells the script.
fn report(error: &anyhow::Error, output: Output) -> ExitCode {
    let gone = error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe);
    if gone {
        return ExitCode::SUCCESS;
    }
    let api = error.chain().find_map(|cause| cause.downcast_ref::<ApiError>());
    let details = api.map(ApiError::details).unwrap_or_default();
    // Nothing can be done when standard error is closed too.
    let _ = writeln!(std::io::stderr(), "{details}error: {}", chain(error));
    if let (true, Some(ApiError::Refused { problem, .. })) = (output.json, api) {
        let _ = output.print(&format!("{problem:#}\n"));
    }
    let usage = error.chain().any(|cause| cause.is::<ConfigError>());
    ExitCode::from(match (usage, api) {
        (true, _) => EXIT_USAGE,
        (false, Some(_)) => EXIT_SERVER,
        (false, None) => EXIT_FOUND,
    })
}

/// The error and its causes on one line. Libraries often say their cause as well: what was said is not said again.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text += &format!(": {cause}");
        }
    }
    text
}

/// Whether to do what can't be undone: `--yes`, or a person at a terminal says so.
fn confirmed(yes: bool, question: &str) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(ConfigError::Argument { name: "--yes", problem: "is needed: there is no terminal to ask at".into() }.into());
    }
    let mut err = std::io::stderr();
    write!(err, "{question} [y/N] ").and_then(|()| err.flush()).context("standard error is closed")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("no answer could be read")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The name of how the server is to write what will be kept: `--csv` says CSV wherever there is a table, and without it it is JSON.
fn written(csv: bool) -> &'static str {
    if csv { "csv" } else { "json" }
}

/// A file that is made and never replaces one that is there.
fn new_file(path: &std::path::Path, mut options: std::fs::OpenOptions) -> anyhow::Result<std::fs::File> {
    let shown = path.display();
    options.write(true).create_new(true).open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => anyhow::anyhow!("`{shown}` is there already and is not replaced: name another file"),
        _ => anyhow::Error::new(error).context(format!("`{shown}` can't be made")),
    })
}

/// What a person reads for a value that may be missing. Control characters come from outside and never reach the terminal.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => on_a_line(text),
        other => on_a_line(&other.to_string()),
    }
}

/// The entries of a listing.
fn items<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer[key].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_table_is_csv_or_json_and_not_both() {
        for arguments in ["drift show --tenant acme", "review export --tenant acme", "tenant trial export --tenant acme"] {
            let parsed = |more: &[&str]| {
                Cli::try_parse_from(["rolecall"].into_iter().chain(arguments.split(' ')).chain(["ID"]).chain(more.iter().copied()))
                    .map(drop)
            };
            parsed(&["--csv"]).and(parsed(&["--json"])).unwrap_or_else(|error| panic!("{arguments}: {error}"));
            let refused = parsed(&["--csv", "--json"]).unwrap_err();
            assert_eq!(refused.kind(), clap::error::ErrorKind::ArgumentConflict, "{arguments}: {refused}");
        }
    }

    #[test]
    fn help_never_shows_what_is_secret() {
        // clap shows the values of environment variables in its help unless told not to.
        fn check(command: &clap::Command) {
            for arg in command.get_arguments() {
                let secret = arg.get_env().is_some() && ["token", "database_url"].contains(&arg.get_id().as_str());
                assert!(!secret || arg.is_hide_env_values_set(), "`{}` of `{}`", arg.get_id(), command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn every_command_and_option_says_what_it_is_for() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "`{}` has no description", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "`{}` of `{}` has no description", arg.get_id(), command.get_name());
            }
            command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(check);
        }
        check(&Cli::command());
    }

    /// Every command, with its name in full.
    fn commands() -> Vec<(String, clap::Command)> {
        fn below(command: &clap::Command, name: &str, all: &mut Vec<(String, clap::Command)>) {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                below(sub, &format!("{name} {}", sub.get_name()), all);
            }
            all.push((name.to_owned(), command.clone()));
        }
        let mut all = Vec::new();
        below(&Cli::command(), "rolecall", &mut all);
        all
    }

    #[test]
    fn a_commands_own_options_stand_under_options() {
        for (name, command) in commands() {
            for arg in command.get_arguments() {
                let of_the_server = ["server", "token", "token_file"].contains(&arg.get_id().as_str());
                assert!(of_the_server || arg.get_help_heading() != Some(client::HEADING), "`{}` of `{name}`", arg.get_id());
            }
        }
    }

    #[test]
    fn examples_fit_so_that_they_can_be_pasted() {
        /// Where clap breaks lines, in characters: in the middle of a command that would be two.
        const LINE_CHARS: usize = 100;
        for (name, command) in commands() {
            for help in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
                for line in help.to_string().lines().filter(|line| line.starts_with("  ")) {
                    assert!(line.chars().count() <= LINE_CHARS, "`{name}`: {line}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_there_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head.json");
        assert!(new_file(&path, std::fs::OpenOptions::new()).is_ok());
        let again = new_file(&path, std::fs::OpenOptions::new()).unwrap_err().to_string();
        assert!(again.contains("is there already") && again.contains("name another file"), "{again}");
    }

    #[test]
    fn names_from_outside_can_t_steer_the_terminal() {
        assert_eq!(word(&Value::from("a\u{1b}[2Jb\n")), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(word(&Value::from("gpj.\u{202e}txt عربي")), "gpj.\u{fffd}txt عربي");
        assert_eq!(word(&Value::Null), "–");
        assert_eq!(word(&Value::from(3)), "3");
    }

    #[test]
    fn causes_are_said_once() {
        let error = anyhow::anyhow!("refused").context("connecting: refused").context("the database can't be opened");
        assert_eq!(chain(&error), "the database can't be opened: connecting: refused");
    }

    #[test]
    fn exit_codes_tell_usage_server_and_findings_apart() {
        let output = Output { json: false, paint: Paint::default() };
        let usage = anyhow::Error::new(ConfigError::Argument { name: "--yes", problem: "is needed".into() }).context("outer");
        let server = anyhow::Error::new(ApiError::Refused { status: 403, problem: Value::Null }).context("outer");
        let pipe = anyhow::Error::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(report(&usage, output), ExitCode::from(EXIT_USAGE));
        assert_eq!(report(&server, output), ExitCode::from(EXIT_SERVER));
        assert_eq!(report(&anyhow::anyhow!("x"), output), ExitCode::from(EXIT_FOUND));
        assert_eq!(report(&pipe, output), ExitCode::SUCCESS);
    }
}
