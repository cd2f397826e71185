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
        rolecall token create --tenant acme --write --days 90\n  rolecall token create --tenant acme --write --person ada@acme.example\n  rolecall token create --write                       everything: for operators")]
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
        let Self::Create { tenant, write, person, days, remote } = self;
        let body =
            json!({"tenant": tenant, "write": write, "person": person, "lifetime_seconds": days.map(|days| i64::from(days) * 86_400)});
        let answer = remote.connect()?.post(&["tokens"], &body).await?;
        output.show(&answer, |_| {
            let scope = tenant.map_or_else(|| "the whole platform".to_owned(), |tenant| format!("tenant {tenant}"));
            let right = if write { "read and write" } else { "read" };
            let ends = word(&answer["expires"]);
            Ok(format!("token    {}\nmay      {right} {scope}\nexpires  {ends}\nIt is shown this once.\n", word(&answer["token"])))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
