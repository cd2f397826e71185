//! `rolecall workspace`: who may come into the workspace.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::client::Remote;
use crate::cli::{Output, word};

/// Let people into the workspace, where identity teams work in a browser.
#[derive(clap::Subcommand)]
pub enum Workspace {
    /// Make a link that signs one person in, once. It is shown once
    #[command(
        after_help = "Examples:\n  rolecall workspace link --write                                     an operator: everything, in every tenant\n  \
        rolecall workspace link --tenant acme --write --person ada@acme.example\n  rolecall workspace link --tenant acme --admin-role reviewer --person ada@acme.example\n  rolecall workspace link --tenant acme --admin-role auditor --minutes 1440"
    )]
    Link {
        /// The only tenant that is seen [default: the whole platform]
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Let them change everything
        #[arg(long)]
        write: bool,
        /// Who it is for, by user name or address: approvals are given by people
        #[arg(long, value_name = "NAME")]
        person: Option<String>,
        /// An admin role that they have: `tenant-owner`, `policy-author`, `plugin-author`, `reviewer`, `auditor`, `platform-operator`, or one
        /// that the tenant's admin policies name; may be given several times
        #[arg(long = "admin-role", value_name = "ROLE")]
        admin_roles: Vec<String>,
        /// How long the link is good
        #[arg(long, value_name = "MINUTES", default_value_t = 15)]
        minutes: u32,
        #[command(flatten)]
        remote: Remote,
    },
}

impl Workspace {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let Self::Link { tenant, write, person, admin_roles, minutes, remote } = self;
        let body = json!({
            "tenant": tenant, "write": write, "person": person, "admin_roles": admin_roles, "lifetime_seconds": i64::from(minutes) * 60,
        });
        let answer = remote.connect()?.post(&["workspace", "links"], &body).await?;
        output.show(&answer, |_| {
            let (url, expires) = (word(&answer["url"]), word(&answer["expires"]));
            Ok(format!("{url}\nOpen it in the browser that is to be signed in: it is good once, until {expires}, and shown this once.\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
