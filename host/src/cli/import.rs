//! `rolecall account import`, `protect` and `unprotect`: accounts that were there before any connection.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::Output;
use crate::cli::connection::At;
use crate::tenancy::imports::IMPORT_BYTES_LIMIT;

/// Accounts that were there before any connection.
#[derive(clap::Subcommand)]
pub enum Unconnected {
    /// Import accounts that are there already, from CSV or JSON: all or none
    #[command(
        after_help = "Columns: user_name (required), external_id, emails, display_name, roles, protected; several emails or roles of a cell are\n\
                      separated by `;`. JSON is an array of objects with the same names.\n\nExamples:\n  rolecall account import --tenant acme accounts.csv \
                      --dry-run\n  export-accounts | rolecall account import --tenant acme - --format json"
    )]
    Import {
        /// The file; `-` for standard input
        file: PathBuf,
        /// Only say what would be
        #[arg(long)]
        dry_run: bool,
        /// How the file is written [default: by its ending, else csv]
        #[arg(long, value_parser = ["csv", "json"])]
        format: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Let no connection touch an imported account: service accounts, break-glass accounts
    #[command(after_help = "Example:\n  rolecall account protect --tenant acme break-glass --reason 'for emergencies'")]
    Protect {
        #[command(flatten)]
        which: Protected,
    },
    /// End the protection of an account
    #[command(after_help = "Example:\n  rolecall account unprotect --tenant acme old-service --reason 'no longer in use'")]
    Unprotect {
        #[command(flatten)]
        which: Protected,
    },
}

/// An account, and why.
#[derive(clap::Args)]
pub struct Protected {
    /// The account's id or login name
    account: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    at: At,
}

impl Unconnected {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Import { file, dry_run, format, at } => {
                let format = format.unwrap_or_else(|| format_of(&file).to_owned());
                let body = json!({"format": format, "content": read(&file, IMPORT_BYTES_LIMIT)?, "dry_run": dry_run});
                let sent = at.remote.connect()?.post(&["tenants", &at.tenant, "accounts", "import"], &body).await;
                let answer = sent.map_err(|error| error.about(&file))?;
                output.show(&answer, |_| Ok(shown(&answer, dry_run)))
            }
            Self::Protect { which } => which.set(true, output).await,
            Self::Unprotect { which } => which.set(false, output).await,
        }
    }
}

impl Protected {
    async fn set(self, protected: bool, output: Output) -> anyhow::Result<()> {
        let Self { account, reason, at } = self;
        let path = ["tenants", &at.tenant, "accounts", &account, "protection"];
        let answer = at.remote.connect()?.put(&path, &json!({"protected": protected, "reason": reason})).await?;
        let is = if protected { "is protected: no connection touches it" } else { "is protected no longer" };
        output.show(&answer, |_| Ok(format!("{account} {is}\n")))
    }
}

pub(super) fn format_of(file: &Path) -> &'static str {
    let is_json = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    if is_json { "json" } else { "csv" }
}

/// The file as a text; more than the server takes is not read.
pub(super) fn read(file: &Path, bytes_limit: usize) -> anyhow::Result<String> {
    let shown = file.display();
    let mut from: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| format!("the file `{shown}` can't be read"))?)
    };
    let mut bytes = Vec::new();
    from.by_ref().take(bytes_limit as u64 + 1).read_to_end(&mut bytes).with_context(|| format!("the file `{shown}` can't be read"))?;
    anyhow::ensure!(bytes.len() <= bytes_limit, "the file `{shown}` has more than {bytes_limit} bytes");
    String::from_utf8(bytes)
        .map_err(|error| anyhow::anyhow!("the file `{shown}` is not UTF-8 from byte {}", error.utf8_error().valid_up_to()))
}

fn shown(answer: &Value, dry_run: bool) -> String {
    let number = |key: &str| answer[key].as_i64().unwrap_or(0);
    let mut text = if dry_run { "would be: ".to_owned() } else { String::new() };
    text += &format!("{} new, {} changed, {} as they were", number("created"), number("changed"), number("unchanged"));
    if number("adopted") > 0 {
        text += &format!(", {} adopted by a connection and left alone", number("adopted"));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_import_came_to_is_one_line() {
        let answer = json!({"created": 2, "changed": 0, "unchanged": 1, "adopted": 3});
        assert_eq!(shown(&answer, false), "2 new, 0 changed, 1 as they were, 3 adopted by a connection and left alone\n");
        assert!(shown(&json!({"created": 1}), true).starts_with("would be: 1 new"));
        assert_eq!((format_of(Path::new("a.JSON")), format_of(Path::new("-"))), ("json", "csv"));
    }
}
