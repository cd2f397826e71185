//! `rolecall token`: rights to the API, each as small as its use.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::client::Remote;
use crate::cli::{Output, word};

/// Issue API tokens.
#[derive(clap::Subcommand)]
pub enum Token {
    /// Issue a token: for one tenant or the whole platform, to read or also to write. It is shown once
    #[command(after_help = "Examples:\n  rolecall token create --tenant acme                 reads acme, never ends\n  \
        rolecall token create --tenant acme --write --days 90\n  rolecall token create --tenant acme --write --person ada@acme.example\n  rolecall token create --tenant acme --admin-role reviewer --person ada@acme.example\n  rolecall token create --write                       everything: for operators")]
    Create {
        /// The only tenant that it is good for [default: the whole platform]
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Let it change things too
        #[arg(long)]
        write: bool,
        /// Whom it stands for, by user name or address: approvals are given by people
        #[arg(long, value_name = "NAME")]
        person: Option<String>,
        /// An admin role that it carries: `tenant-owner`, `policy-author`, `plugin-author`, `reviewer`, `auditor`, `platform-operator`, or
        /// one that the tenant's admin policies name; may be given several times. Without `--write` it decides what they allow, and no more
        #[arg(long = "admin-role", value_name = "ROLE")]
        admin_roles: Vec<String>,
        /// After how many days it ends [default: never]
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
        #[command(flatten)]
        remote: Remote,
    },
}

impl Token {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let Self::Create { tenant, write, person, admin_roles, days, remote } = self;
        let lifetime = days.map(|days| i64::from(days) * 86_400);
        let body = json!({"tenant": tenant, "write": write, "person": person, "admin_roles": admin_roles, "lifetime_seconds": lifetime});
        let answer = remote.connect()?.post(&["tokens"], &body).await?;
        output.show(&answer, |_| {
            let scope = tenant.map_or_else(|| "the whole platform".to_owned(), |tenant| format!("tenant {tenant}"));
            let right = if write { "read and write" } else { "read" };
            let right = if admin_roles.is_empty() { right.to_owned() } else { format!("{right} as {}", admin_roles.join(", ")) };
            let ends = word(&answer["expires"]);
            Ok(format!("token    {}\nmay      {right} {scope}\nexpires  {ends}\nIt is shown this once.\n", word(&answer["token"])))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
