//! `rolecall hold`: changes that wait because they concern more people than may be at once; released, rejected, restored.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::connection::At;
use crate::cli::{Output, items, render, when, word};
use crate::model::Instant;

/// A page of people: a screen or two.
const PAGE: u32 = 100;

/// Look at changes that wait for a person, and answer them.
#[derive(clap::Subcommand)]
pub enum Hold {
    /// List what waits, newest first
    #[command(after_help = "Example:\n  rolecall hold list --tenant acme")]
    List {
        /// Show what was answered as well
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        at: At,
    },
    /// Show exactly who and what a hold keeps back
    #[command(after_help = "Example:\n  rolecall hold show --tenant acme 4f1c…")]
    Show {
        /// The hold
        hold: String,
        /// Go on after this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = PAGE, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
        #[command(flatten)]
        at: At,
    },
    /// Let it take effect, for everybody or for some; of leavers: they are gone for good
    #[command(after_help = "Examples:\n  rolecall hold release --tenant acme 4f1c… --reason 'the reorganisation of June'\n  \
            rolecall hold release --tenant acme 4f1c… --account ada@acme.example --reason 'she has moved'")]
    Release {
        /// The hold
        hold: String,
        /// Only of this account, by id or login name; may be given several times
        #[arg(long = "account", value_name = "ACCOUNT")]
        accounts: Vec<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        at: At,
    },
    /// Leave what stands for a while, or restore it where it is gone: a difference to the identity provider that somebody answers for
    #[command(
        after_help = "Example:\n  rolecall hold reject --tenant acme 4f1c… --reason 'a wrong filter at the identity provider' \\\n      \
            --owner iam@acme.example --ends 30d"
    )]
    Reject {
        /// The hold
        hold: String,
        /// Only of this account, by id or login name; may be given several times
        #[arg(long = "account", value_name = "ACCOUNT")]
        accounts: Vec<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who answers for the difference
        #[arg(long, value_name = "WHO")]
        owner: String,
        /// Until when it may stand, within 366 days: then it is counted and asked about again
        #[arg(long, value_name = "INSTANT", value_parser = when::ahead)]
        ends: Instant,
        #[command(flatten)]
        at: At,
    },
}

impl Hold {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { all, at } => list(all, at, output).await?,
            Self::Show { hold, after, limit, at } => show(&hold, after.as_deref(), limit, at, output).await?,
            Self::Release { hold, accounts, reason, at } => {
                let body = json!({"accounts": some(accounts), "reason": reason});
                answer(&hold, "release", &body, at, output).await?;
            }
            Self::Reject { hold, accounts, reason, owner, ends, at } => {
                let body = json!({"accounts": some(accounts), "reason": reason, "owner": owner, "ends": ends});
                answer(&hold, "reject", &body, at, output).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn some(accounts: Vec<String>) -> Option<Vec<String>> {
    Some(accounts).filter(|accounts| !accounts.is_empty())
}

async fn list(all: bool, at: At, output: Output) -> anyhow::Result<()> {
    let query: &[(&str, &str)] = if all { &[] } else { &[("state", "open")] };
    let listed = at.remote.connect()?.get(&["tenants", &at.tenant, "holds"], query).await?;
    output.show(&listed, |_| {
        let mut table = render::table(["hold", "what", "whose", "people", "limit", "state", "opened"]);
        for hold in items(&listed, "holds") {
            let whose = format!("{} {}", word(&hold["scope"]), word(&hold["of"]));
            let people = if hold["people"] == 0 { "0 (resolved)".to_owned() } else { word(&hold["people"]) };
            let [id, what, limit, state, opened] = ["id", "direction", "limit", "state", "opened"].map(|key| word(&hold[key]));
            table.add_row([id, what, whose, people, limit, state, opened]);
        }
        Ok(format!("{table}\n"))
    })
}

async fn show(hold: &str, after: Option<&str>, limit: u32, at: At, output: Output) -> anyhow::Result<()> {
    let limit = limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(after.map(|after| ("after", after)));
    let people = at.remote.connect()?.get(&["tenants", &at.tenant, "holds", hold, "people"], &query).await?;
    output.show(&people, |_| {
        let mut table = render::table(["login name", "account", "what", "role", "state", "since"]);
        for ruling in items(&people, "rulings") {
            table.add_row(["user_name", "account", "kind", "role", "state", "created"].map(|key| word(&ruling[key])));
        }
        let more = people["next"].as_str().map(|next| format!("more: --after {next}\n")).unwrap_or_default();
        Ok(format!("{table}\n{more}"))
    })
}

async fn answer(hold: &str, how: &str, body: &Value, at: At, output: Output) -> anyhow::Result<()> {
    let answered = at.remote.connect()?.post(&["tenants", &at.tenant, "holds", hold, how], body).await?;
    output.show(&answered, |_| {
        let (people, left) = (word(&answered["answered"]), word(&answered["people"]));
        Ok(format!("{people} people answered about, {left} still wait; what changes for them is being decided\n"))
    })
}
