//! `rolecall token`: rights to the API, each as small as its use.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::client::Remote;
use crate::cli::{Output, word};

/// Whom something is issued for, and what it may do.
#[derive(clap::Args)]
pub struct Bearer {
    /// The only tenant that it is good for [default: the whole platform]
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Let it change things too
    #[arg(long)]
    pub write: bool,
    /// Whom it stands for, by user name or address: approvals are given by people
    #[arg(long, value_name = "NAME")]
    pub person: Option<String>,
    /// An admin role that it carries: `tenant-owner`, `policy-author`, `plugin-author`, `reviewer`, `auditor`, `platform-operator`, or
    /// one that the tenant's admin policies name; may be given several times. Without `--write` it decides what they allow, and no more
    #[arg(long = "admin-role", value_name = "ROLE")]
    pub admin_roles: Vec<String>,
}

impl Bearer {
    /// What the API is asked for, which ends after so many seconds.
    pub fn asked(&self, lifetime_seconds: Option<i64>) -> Value {
        let Self { tenant, write, person, admin_roles } = self;
        json!({"tenant": tenant, "write": write, "person": person, "admin_roles": admin_roles, "lifetime_seconds": lifetime_seconds})
    }
}

/// Issue API tokens.
#[derive(clap::Subcommand)]
pub enum Token {
    /// Issue a token: for one tenant or the whole platform, to read or also to write. It is shown once
    #[command(after_help = "Examples:\n  rolecall token create --tenant acme                 reads acme, never ends\n  \
        rolecall token create --tenant acme --write --days 90\n  rolecall token create --tenant acme --write --person ada@acme.example\n  rolecall token create --tenant acme --admin-role reviewer --person ada@acme.example\n  rolecall token create --write                       everything: for operators")]
    Create {
        #[command(flatten)]
        bearer: Bearer,
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
        let Self::Create { bearer, days, remote } = self;
        let lifetime = days.map(|days| i64::from(days) * 86_400);
        let answer = remote.connect()?.post(&["tokens"], &bearer.asked(lifetime)).await?;
        let Bearer { tenant, write, admin_roles, .. } = bearer;
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
