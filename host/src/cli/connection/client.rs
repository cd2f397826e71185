//! `rolecall connection client`: the OAuth 2.0 client of a connection, for identity providers that fetch access tokens.

use serde_json::json;

use super::{DEFAULT_OVERLAP_HOURS, Which, rotation};
use crate::cli::token::LIFETIME_DAYS;
use crate::cli::{Output, confirmed, word};

/// Manage the connection's OAuth client.
#[derive(clap::Subcommand)]
pub enum Client {
    /// Issue a secret: the client's first, or another one while the one before stays good for a while
    #[command(after_help = "Example:\n  rolecall connection client rotate --tenant acme entra-id")]
    Rotate {
        #[command(flatten)]
        which: Which,
        /// How long the secret before stays good
        #[arg(long, value_name = "HOURS", default_value_t = DEFAULT_OVERLAP_HOURS, value_parser = clap::value_parser!(u32).range(0..=720))]
        overlap_hours: u32,
        /// After how many days the new secret ends [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(LIFETIME_DAYS))]
        days: Option<u32>,
    },
    /// End the client: its secrets and access tokens are good no more
    Remove {
        #[command(flatten)]
        which: Which,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

impl Client {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Rotate { which, overlap_hours, days } => rotate(which, overlap_hours, days, output).await,
            Self::Remove { which, yes } => remove(which, yes, output).await,
        }
    }
}

async fn rotate(which: Which, overlap_hours: u32, days: Option<u32>, output: Output) -> anyhow::Result<()> {
    let (api, tenant, id) = which.find().await?;
    let answer = api.post(&["tenants", &tenant, "connections", &id, "client", "rotate"], &rotation(overlap_hours, days)).await?;
    output.show(&answer, |_| {
        Ok(format!(
            "token URL      {}\nclient id      {}\nclient secret  {}\nexpires        {}\nThe secret is shown this once.\n",
            word(&answer["token_url"]),
            word(&answer["client_id"]),
            word(&answer["client_secret"]),
            word(&answer["expires"])
        ))
    })
}

async fn remove(which: Which, yes: bool, output: Output) -> anyhow::Result<()> {
    let question =
        format!("End the OAuth client of connection `{}`? An identity provider that uses it is locked out at once.", which.name());
    let name = which.name().to_owned();
    let (api, tenant, id) = which.find().await?;
    if !confirmed(yes, &question)? {
        return output.print("nothing was changed\n");
    }
    api.delete(&["tenants", &tenant, "connections", &id, "client"]).await?;
    output.show(&json!({"removed": id}), |paint| Ok(format!("{} has no OAuth client any more\n", paint.strong(&name))))
}
