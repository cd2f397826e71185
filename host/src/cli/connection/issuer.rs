//! `rolecall connection issuer`: the tenant's own issuer, whose JWTs a connection accepts.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Which;
use crate::cli::{Output, confirmed, word};
use crate::config::ConfigError;

/// Manage the issuer whose JWTs the connection accepts.
#[derive(clap::Subcommand)]
pub enum Issuer {
    /// Accept JWTs of this issuer, in place of the one before
    #[command(after_help = "Example:\n  rolecall connection issuer set --tenant acme entra-id --issuer https://idp.acme.example \\\n    \
        --audience rolecall --jwks-uri https://idp.acme.example/jwks --subject provisioning")]
    Set(Box<Set>),
    /// Show the issuer
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Accept no JWTs any more
    Remove {
        #[command(flatten)]
        which: Which,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

/// What the issuer is.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("keys").required(true))]
pub struct Set {
    #[command(flatten)]
    which: Which,
    /// What tokens must say in `iss`
    #[arg(long, value_name = "ISSUER")]
    issuer: String,
    /// What tokens must say in `aud`
    #[arg(long, value_name = "AUDIENCE")]
    audience: String,
    /// Where the issuer publishes its keys
    #[arg(long, value_name = "URL", group = "keys")]
    jwks_uri: Option<String>,
    /// A file with the issuer's keys (a JSON Web Key Set)
    #[arg(long, value_name = "FILE", group = "keys")]
    jwks: Option<PathBuf>,
    /// An algorithm that may sign tokens, such as RS256; may be repeated [default: every asymmetric one that is known]
    #[arg(long = "algorithm", value_name = "NAME")]
    algorithms: Vec<String>,
    /// How far the issuer's clock may be off [default: 60]
    #[arg(long, value_name = "SECONDS")]
    clock_skew: Option<u32>,
    /// What tokens must say in `sub`
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// What tokens must say in another claim; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, String)>,
}

fn claim(text: &str) -> Result<(String, String), &'static str> {
    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or("give NAME=VALUE")
}

fn read_keys(path: &Path) -> Result<Value, ConfigError> {
    let refused =
        |problem: String| ConfigError::Argument { name: "--jwks", problem: format!("names `{}`, which {problem}", path.display()) };
    let text = std::fs::read_to_string(path).map_err(|error| refused(format!("can't be read: {error}")))?;
    serde_json::from_str(&text).map_err(|error| refused(format!("holds no JSON: {error}")))
}

impl Issuer {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Set(set) => set.run(output).await,
            Self::Show { which } => show(which, output).await,
            Self::Remove { which, yes } => remove(which, yes, output).await,
        }
    }
}

impl Set {
    async fn run(self, output: Output) -> anyhow::Result<()> {
        let keys = self.jwks.as_deref().map(read_keys).transpose()?;
        let claims: Map<String, Value> = self.claims.into_iter().map(|(name, value)| (name, value.into())).collect();
        let body = json!({
            "issuer": self.issuer,
            "audience": self.audience,
            "jwks_uri": self.jwks_uri,
            "jwks": keys,
            "algorithms": (!self.algorithms.is_empty()).then_some(self.algorithms),
            "clock_skew_seconds": self.clock_skew,
            "subject": self.subject,
            "claims": claims,
        });
        let (api, tenant, id) = self.which.find().await?;
        let answer = api.put(&["tenants", &tenant, "connections", &id, "issuer"], &body).await?;
        output.show(&answer, |_| Ok(sentence(&answer)))
    }
}

async fn show(which: Which, output: Output) -> anyhow::Result<()> {
    let (api, tenant, id) = which.find().await?;
    let answer = api.get(&["tenants", &tenant, "connections", &id, "issuer"], &[]).await?;
    output.show(&answer, |_| Ok(sentence(&answer)))
}

fn sentence(issuer: &Value) -> String {
    let algorithms: Vec<String> = issuer["algorithms"].as_array().into_iter().flatten().map(word).collect();
    format!(
        "issuer      {}\naudience    {}\nkeys        {}\nalgorithms  {}\nclock skew  {} s\nsubject     {}\nclaims      {}\n",
        word(&issuer["issuer"]),
        word(&issuer["audience"]),
        issuer["jwks_uri"].as_str().map_or_else(|| "given".to_owned(), |url| word(&json!(url))),
        algorithms.join(", "),
        word(&issuer["clock_skew_seconds"]),
        word(&issuer["subject"]),
        word(&issuer["claims"]),
    )
}

async fn remove(which: Which, yes: bool, output: Output) -> anyhow::Result<()> {
    let question = format!("Accept no JWTs on connection `{}` any more? An identity provider that sends them is locked out.", which.name());
    let name = which.name().to_owned();
    let (api, tenant, id) = which.find().await?;
    if !confirmed(yes, &question)? {
        return output.print("nothing was changed\n");
    }
    api.delete(&["tenants", &tenant, "connections", &id, "issuer"]).await?;
    output.show(&json!({"removed": id}), |paint| Ok(format!("{} accepts no JWTs any more\n", paint.strong(&name))))
}
