//! `rolecall approval`: roles that nobody holds without a person's yes.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::connection::At;
use crate::cli::{Output, items, render, when, word};
use crate::model::Instant;

/// Look at roles that wait for a person's yes, and answer.
#[derive(clap::Subcommand)]
pub enum Approval {
    /// List what waits
    #[command(after_help = "Example:\n  rolecall approval list --tenant acme")]
    List {
        /// Show what was answered as well
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        at: At,
    },
    /// Say yes: the token must name a person (`rolecall token create --person`), and never the one whose role it is
    #[command(after_help = "Example:\n  rolecall approval approve --tenant acme 77d0… --reason 'on call from Monday' --ends 30d")]
    Approve {
        /// The request
        approval: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Until when the role may be held [default: for as long as the policies give it]
        #[arg(long, value_name = "INSTANT", value_parser = when::ahead)]
        ends: Option<Instant>,
        #[command(flatten)]
        at: At,
    },
    /// Say no, also after a yes: the role goes
    #[command(after_help = "Example:\n  rolecall approval reject --tenant acme 77d0… --reason 'not needed'")]
    Reject {
        /// The request
        approval: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        at: At,
    },
}

impl Approval {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { all, at } => list(all, at, output).await?,
            Self::Approve { approval, reason, ends, at } => {
                answer(&approval, "approve", &json!({"reason": reason, "ends": ends}), at, output).await?;
            }
            Self::Reject { approval, reason, at } => answer(&approval, "reject", &json!({"reason": reason}), at, output).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(all: bool, at: At, output: Output) -> anyhow::Result<()> {
    let query: &[(&str, &str)] = if all { &[] } else { &[("state", "open")] };
    let listed = at.remote.connect()?.get(&["tenants", &at.tenant, "approvals"], query).await?;
    output.show(&listed, |_| {
        let mut table = render::table(["request", "login name", "role", "state", "since", "ends", "asks", "why"]);
        for ruling in items(&listed, "rulings") {
            table.add_row(["id", "user_name", "role", "state", "created", "ends", "asks", "reason"].map(|key| word(&ruling[key])));
        }
        Ok(format!("{table}\n"))
    })
}

async fn answer(approval: &str, how: &str, body: &Value, at: At, output: Output) -> anyhow::Result<()> {
    let said = at.remote.connect()?.post(&["tenants", &at.tenant, "approvals", approval, how], body).await?;
    output.show(&said, |paint| {
        let (who, role) = (word(&said["user_name"]), word(&said["role"]));
        let becomes = if said["state"] == "yes" { "may hold" } else { "may not hold" };
        Ok(format!("{} {becomes} {}\n", paint.strong(&who), paint.strong(&role)))
    })
}
