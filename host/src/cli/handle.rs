//! `rolecall handle`: which group each of a tenant's handles stands for, and a person's yes where a privileged role hangs on it.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::connection::At;
use crate::cli::{Output, items, render, word};

/// Look at and confirm what groups a tenant's handles are bound to.
#[derive(clap::Subcommand)]
pub enum Handle {
    /// List handles with the groups that they are bound to
    List {
        #[command(flatten)]
        at: At,
    },
    /// Confirm that a handle stands for the group that it is bound to: privileged roles hang on it
    #[command(
        after_help = "Example:\n  rolecall handle list --tenant acme\n  rolecall handle confirm --tenant acme grp-platform-prod-admin"
    )]
    Confirm {
        /// The handle
        handle: String,
        #[command(flatten)]
        at: At,
    },
}

impl Handle {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { at } => list(at, output).await?,
            Self::Confirm { handle, at } => {
                let path = ["tenants", &at.tenant, "handles", &handle, "confirm"];
                let answer = at.remote.connect()?.post(&path, &json!({})).await?;
                output.show(&answer, |paint| {
                    let group = word(&answer["display_name"]);
                    Ok(format!("{} stands for the group {group}; its people are being decided\n", paint.strong(&handle)))
                })?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(at: At, output: Output) -> anyhow::Result<()> {
    let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "handles"], &[]).await?;
    output.show(&answer, |_| {
        let mut table = render::table(["handle", "group", "external id", "counts", "bound"]);
        for binding in items(&answer, "handles") {
            let counts = if binding["confirmed"] == true { "yes" } else { "no: waits for `rolecall handle confirm`" };
            table.add_row([
                word(&binding["handle"]),
                word(&binding["display_name"]),
                word(&binding["external_id"]),
                counts.to_owned(),
                word(&binding["bound"]),
            ]);
        }
        Ok(format!("{table}\n"))
    })
}
