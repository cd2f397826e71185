//! `rolecall exception`: roles given or kept away beside the policies, by somebody and for a time.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::connection::At;
use crate::cli::{Output, items, render, when, word};
use crate::model::Instant;

/// Give or keep away roles beside the policies, for a time.
#[derive(clap::Subcommand)]
pub enum Exception {
    /// List exceptions that count, or will
    #[command(after_help = "Example:\n  rolecall exception list --tenant acme")]
    List {
        /// Show those that keep roles away, and not those that give them
        #[arg(long)]
        forbid: bool,
        #[command(flatten)]
        at: At,
    },
    /// Make one: a `forbid` of the policies wins over it all the same
    #[command(after_help = "Examples:\n  rolecall exception make --tenant acme ada@acme.example deployer --ends 90d \\\n      \
            --reason 'stands in for the release manager' --owner iam@acme.example\n  \
            rolecall exception make --tenant acme bob@acme.example auditor --forbid --ends 30d \\\n      \
            --reason 'under review' --owner audit@acme.example")]
    Make {
        /// The account's id or login name
        account: String,
        /// The role
        role: String,
        /// Keep the role away instead of giving it
        #[arg(long)]
        forbid: bool,
        /// Since when [default: now]
        #[arg(long, value_name = "INSTANT", value_parser = when::ahead)]
        starts: Option<Instant>,
        /// Until when, within 366 days of its beginning: an instant, a date, or days from now (`90d`)
        #[arg(long, value_name = "INSTANT", value_parser = when::ahead)]
        ends: Instant,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who answers for it
        #[arg(long, value_name = "WHO")]
        owner: String,
        #[command(flatten)]
        at: At,
    },
    /// End one before its time
    #[command(after_help = "Example:\n  rolecall exception end --tenant acme 5be2…")]
    End {
        /// The exception
        exception: String,
        #[command(flatten)]
        at: At,
    },
}

impl Exception {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { forbid, at } => list(forbid, at, output).await?,
            Self::Make { account, role, forbid, starts, ends, reason, owner, at } => {
                let effect = if forbid { "forbid" } else { "grant" };
                let body = json!({"role": role, "effect": effect, "starts": starts, "ends": ends, "reason": reason, "owner": owner});
                let made = at.remote.connect()?.post(&["tenants", &at.tenant, "accounts", &account, "exceptions"], &body).await?;
                output.show(&made, |_| Ok(format!("exception {} counts until {}\n", word(&made["id"]), word(&made["ends"]))))?;
            }
            Self::End { exception, at } => {
                let answer = at.remote.connect()?.delete(&["tenants", &at.tenant, "exceptions", &exception]).await?;
                output.show(&answer, |_| Ok(format!("exception {exception} has ended\n")))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(forbid: bool, at: At, output: Output) -> anyhow::Result<()> {
    let effect = if forbid { "forbid" } else { "grant" };
    let listed = at.remote.connect()?.get(&["tenants", &at.tenant, "exceptions"], &[("effect", effect)]).await?;
    output.show(&listed, |_| {
        let mut table = render::table(["exception", "login name", "role", "starts", "ends", "owner", "why"]);
        for ruling in items(&listed, "rulings") {
            table.add_row(["id", "user_name", "role", "starts", "ends", "owner", "reason"].map(|key| word(&ruling[key])));
        }
        Ok(format!("{table}\n"))
    })
}
