//! `rolecall invitation`: links by which people begin to use their accounts. The links themselves are told to targets alone.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::connection::At;
use crate::cli::{Output, items, render, word};

/// Invite people to use their accounts, and take invitations back.
#[derive(clap::Subcommand)]
pub enum Invitation {
    /// List invitations: open ones, unless another state is given
    #[command(after_help = "Example:\n  rolecall invitation list --tenant acme --state expired")]
    List {
        /// Show those in this state
        #[arg(long, value_name = "STATE", value_parser = ["open", "accepted", "expired", "revoked"])]
        state: Option<String>,
        /// Show those of this account, by id or login name
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Invite an account in use, or invite it again: the link before is good no more
    #[command(after_help = "Example:\n  rolecall invitation send --tenant acme ada@acme.example")]
    Send {
        /// The account's id or login name
        account: String,
        #[command(flatten)]
        at: At,
    },
    /// Take an open invitation back
    #[command(after_help = "Example:\n  rolecall invitation revoke --tenant acme 5be2…")]
    Revoke {
        /// The invitation
        invitation: String,
        #[command(flatten)]
        at: At,
    },
}

impl Invitation {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { state, account, at } => {
                let asked = [("state", state), ("account", account)];
                let query: Vec<(&str, &str)> = asked.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
                let listed = at.remote.connect()?.get(&["tenants", &at.tenant, "invitations"], &query).await?;
                output.show(&listed, |_| {
                    let mut table = render::table(["invitation", "login name", "state", "made", "expires", "ended"]);
                    for invitation in items(&listed, "invitations") {
                        table.add_row(["id", "user_name", "state", "made", "expires", "ended"].map(|key| word(&invitation[key])));
                    }
                    Ok(format!("{table}\n"))
                })?;
            }
            Self::Send { account, at } => {
                let made = at.remote.connect()?.post(&["tenants", &at.tenant, "accounts", &account, "invitation"], &json!({})).await?;
                output.show(&made, |_| {
                    Ok(format!(
                        "invitation {} is on its way to the targets; its link is good until {}\n",
                        word(&made["id"]),
                        word(&made["expires"])
                    ))
                })?;
            }
            Self::Revoke { invitation, at } => {
                let answer = at.remote.connect()?.delete(&["tenants", &at.tenant, "invitations", &invitation]).await?;
                output.show(&answer, |_| Ok(format!("invitation {invitation} is taken back\n")))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
