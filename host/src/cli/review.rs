//! `rolecall review`: access reviews set up, looked at, decided, closed, exported, and an export verified.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::account::reasons;
use crate::cli::connection::At;
use crate::cli::{Output, items, render, when, word, written};
use crate::config::ConfigError;
use crate::crypto::signature::VerifyingKey;
use crate::model::Instant;
use crate::tenancy::reviews::export;

/// A page of lines: a screen or two.
const PAGE: u32 = 100;

/// Let people say which roles stay, carry out what they say, and show it to auditors
#[derive(clap::Subcommand)]
pub enum Review {
    /// Set a review up: what it is about, who reviews, what silence means
    #[command(
        after_help = "Examples:\n  rolecall review create --tenant acme 'Deployers, spring' --role deployer --reviewers role_owner \\\n      \
        --fallback audit@acme.example --closes 30d --on-silence revoke \\\n      --exception-owner iam@acme.example\n  \
        rolecall review create --tenant acme 'Everybody of Entra ID' --connection 5be2… \\\n      --reviewers manager \\\n      \
        --fallback audit@acme.example --closes 30d --remind-hours 168 --remind-hours 24 \\\n      \
        --on-silence keep --exception-owner iam@acme.example"
    )]
    Create(Box<Create>),
    /// List reviews, newest first
    #[command(after_help = "Example:\n  rolecall review list --tenant acme")]
    List(At),
    /// Show how far a review is
    #[command(after_help = "Example:\n  rolecall review show --tenant acme 4f1c…")]
    Show(Which),
    /// Show lines with what is known of each
    #[command(after_help = "Example:\n  rolecall review lines --tenant acme 4f1c… --reviewer grace@acme.example --decision undecided")]
    Lines {
        #[command(flatten)]
        which: Which,
        /// Only those of this reviewer; with an empty text, those of nobody
        #[arg(long, value_name = "NAME")]
        reviewer: Option<String>,
        /// Only those with this decision
        #[arg(long, value_parser = ["undecided", "keep", "revoke", "change", "dont_know"])]
        decision: Option<String>,
        /// Go on after this number
        #[arg(long, value_name = "LINE")]
        after: Option<i64>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = PAGE, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// Say of lines whether the role stays; with a token that names their reviewer
    #[command(after_help = "Examples:\n  rolecall review decide --tenant acme 4f1c… keep 1 2 3\n  \
        rolecall review decide --tenant acme 4f1c… revoke 4 --reason 'has moved to sales'\n  \
        rolecall review decide --tenant acme 4f1c… change 5 --reason 'reads only' --instead reader")]
    Decide {
        #[command(flatten)]
        which: Which,
        /// What
        #[arg(value_parser = ["keep", "revoke", "change", "dont_know"])]
        decision: String,
        /// The lines, by number
        #[arg(value_name = "LINE", required = true)]
        lines: Vec<i64>,
        /// Why: needed where a role is to go
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// What is to be asked for instead
        #[arg(long, value_name = "TEXT")]
        instead: Option<String>,
    },
    /// Hand lines to somebody else
    #[command(after_help = "Example:\n  rolecall review reassign --tenant acme 4f1c… ken@acme.example 7 8 --reason 'she is away'")]
    Reassign {
        #[command(flatten)]
        which: Which,
        /// Who is to decide
        reviewer: String,
        /// The lines, by number
        #[arg(value_name = "LINE", required = true)]
        lines: Vec<i64>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Close a review before its time, or call one off that is not open yet
    #[command(after_help = "Example:\n  rolecall review close --tenant acme 4f1c… --reason 'everything is decided'")]
    Close {
        #[command(flatten)]
        which: Which,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Let lines about which nobody has said anything follow what was set up for silence
        #[arg(long)]
        with_silence: bool,
    },
    /// Write a review for auditors, with a last line that signs it
    #[command(after_help = "Example:\n  rolecall review export --tenant acme 4f1c… --csv > review.csv")]
    Export {
        #[command(flatten)]
        which: Which,
        /// As CSV, for spreadsheets [default: JSON Lines]
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Print the public key that verifies exports of this installation
    #[command(after_help = "Example:\n  rolecall review key --tenant acme > reviews.pub")]
    Key(At),
    /// Verify an export, without a server
    #[command(
        after_help = "Example:\n  rolecall review verify review.csv --key reviews.pub\n\nExit code 1 when it is not what was exported."
    )]
    Verify {
        /// The export
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The public key: PEM, as `rolecall review key` prints it
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
}

/// A review of a tenant.
#[derive(clap::Args)]
pub struct Which {
    /// The review
    review: String,
    #[command(flatten)]
    at: At,
}

/// A review to be set up.
#[derive(clap::Args)]
pub struct Create {
    /// A name for people
    name: String,
    /// This role; may be given several times
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Of this account, by id; may be given several times
    #[arg(long = "account", value_name = "ID")]
    accounts: Vec<String>,
    /// Of people of this connection, by id; may be given several times
    #[arg(long = "connection", value_name = "ID")]
    connections: Vec<String>,
    /// Who reviews; of a privileged role the owner in the manager's place
    #[arg(long, value_parser = ["manager", "role_owner", "named"])]
    reviewers: String,
    /// A reviewer, with `--reviewers named`; may be given several times
    #[arg(long = "named", value_name = "NAME")]
    named: Vec<String>,
    /// Who reviews where nobody else can, and what others don't know
    #[arg(long, value_name = "NAME")]
    fallback: String,
    /// When it begins [default: now]
    #[arg(long, value_name = "INSTANT", value_parser = when::ahead)]
    opens: Option<Instant>,
    /// Until when can be decided: an instant, a date, or days from now (`30d`)
    #[arg(long, value_name = "INSTANT", value_parser = when::ahead)]
    closes: Instant,
    /// How many hours before it closes an event reminds; may be given several times
    #[arg(long = "remind-hours", value_name = "HOURS")]
    remind_hours: Vec<u32>,
    /// What becomes of roles about which nobody says anything
    #[arg(long, value_parser = ["keep", "revoke"])]
    on_silence: String,
    /// For how many days a revocation counts
    #[arg(long, value_name = "DAYS", default_value_t = 366, value_parser = clap::value_parser!(u32).range(1..=366))]
    exception_days: u32,
    /// Who answers for the exceptions that carry revocations out
    #[arg(long, value_name = "WHO")]
    exception_owner: String,
    #[command(flatten)]
    at: At,
}

impl Review {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's; what is no key or can't be read.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create(create) => create.run(output).await?,
            Self::List(at) => list(at, output).await?,
            Self::Show(which) => {
                let review = which.at.remote.connect()?.get(&["tenants", &which.at.tenant, "reviews", &which.review], &[]).await?;
                output.show(&review, |_| Ok(shown(&review)))?;
            }
            Self::Lines { which, reviewer, decision, after, limit } => {
                let (after, limit) = (after.map(|after| after.to_string()), limit.to_string());
                let mut query = vec![("limit", limit.as_str())];
                query.extend(reviewer.as_deref().map(|reviewer| ("reviewer", reviewer)));
                query.extend(decision.as_deref().map(|decision| ("decision", decision)));
                query.extend(after.as_deref().map(|after| ("after", after)));
                lines(which, &query, output).await?;
            }
            Self::Decide { which, decision, lines, reason, instead } => {
                post(which, "decide", &json!({"lines": lines, "decision": decision, "reason": reason, "instead": instead}), output).await?;
            }
            Self::Reassign { which, reviewer, lines, reason } => {
                post(which, "reassign", &json!({"lines": lines, "reviewer": reviewer, "reason": reason}), output).await?;
            }
            Self::Close { which, reason, with_silence } => {
                post(which, "close", &json!({"reason": reason, "with_silence": with_silence}), output).await?;
            }
            Self::Export { which, csv } => {
                let path = ["tenants", &which.at.tenant, "reviews", &which.review, "export"];
                let mut out = std::io::stdout();
                which.at.remote.connect()?.download(&path, &[("format", written(csv))], &mut out).await?;
                out.flush()?;
            }
            Self::Key(at) => {
                let key = at.remote.connect()?.get(&["tenants", &at.tenant, "reviews", "key"], &[]).await?;
                output.show(&key, |_| Ok(key["public_key"].as_str().unwrap_or_default().to_owned()))?;
            }
            Self::Verify { file, key } => verify(&file, &key, output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    async fn run(self, output: Output) -> anyhow::Result<()> {
        let body = json!({
            "name": self.name, "opens": self.opens, "closes": self.closes,
            "scope": {"roles": self.roles, "accounts": self.accounts, "connections": self.connections},
            "reviewers": self.reviewers, "named": self.named, "fallback": self.fallback, "remind_hours": self.remind_hours,
            "on_silence": self.on_silence, "exception_days": self.exception_days, "exception_owner": self.exception_owner,
        });
        let made = self.at.remote.connect()?.post(&["tenants", &self.at.tenant, "reviews"], &body).await?;
        output.show(&made, |_| {
            Ok(format!("review {} opens {} and closes {}\n", word(&made["id"]), word(&made["opens"]), word(&made["closes"])))
        })
    }
}

async fn post(which: Which, how: &str, body: &Value, output: Output) -> anyhow::Result<()> {
    let review = which.at.remote.connect()?.post(&["tenants", &which.at.tenant, "reviews", &which.review, how], body).await?;
    output.show(&review, |_| Ok(shown(&review)))
}

async fn list(at: At, output: Output) -> anyhow::Result<()> {
    let listed = at.remote.connect()?.get(&["tenants", &at.tenant, "reviews"], &[]).await?;
    output.show(&listed, |_| {
        let mut table = render::table(["review", "name", "state", "lines", "undecided", "closes"]);
        for review in items(&listed, "reviews") {
            let [id, name, state, closes] = ["id", "name", "state", "closes"].map(|key| word(&review[key]));
            table.add_row([id, name, state, word(&review["counts"]["lines"]), word(&review["counts"]["undecided"]), closes]);
        }
        Ok(format!("{table}\n"))
    })
}

fn shown(review: &Value) -> String {
    let count = |key: &str| word(&review["counts"][key]);
    format!(
        "{} `{}` is {} and closes {}\n{} lines: {} undecided, {} not known, {} keep, {} revoke, {} change; carried out: {} kept, {} revoked\n",
        word(&review["id"]),
        word(&review["name"]),
        word(&review["state"]),
        word(&review["closes"]),
        count("lines"),
        count("undecided"),
        count("dont_know"),
        count("keep"),
        count("revoke"),
        count("change"),
        count("kept"),
        count("revoked"),
    )
}

async fn lines(which: Which, query: &[(&str, &str)], output: Output) -> anyhow::Result<()> {
    let listed = which.at.remote.connect()?.get(&["tenants", &which.at.tenant, "reviews", &which.review, "lines"], query).await?;
    output.show(&listed, |_| {
        let mut table = render::table(["line", "login name", "role", "why", "since", "peers", "reviewer", "decision", "outcome"]);
        for line in items(&listed, "lines") {
            let evidence = &line["evidence"];
            let [number, name, role, reviewer, decision, outcome] =
                ["line", "user_name", "role", "reviewer", "decision", "outcome"].map(|key| word(&line[key]));
            let why = reasons(&evidence["reasons"]).join("\n");
            let (since, peers) = (word(&evidence["since"]), word(&evidence["peers"]));
            table.add_row([number, name, role, why, since, peers, reviewer, decision, outcome]);
        }
        let more = listed["next"].as_i64().map(|next| format!("more: --after {next}\n")).unwrap_or_default();
        Ok(format!("{table}\n{more}"))
    })
}

fn verify(file: &std::path::Path, key: &std::path::Path, output: Output) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(key).with_context(|| format!("`{}` can't be read", key.display()))?;
    let public = VerifyingKey::read(&text).map_err(|error| ConfigError::Argument { name: "--key", problem: format!("is {error}") })?;
    let bytes = std::fs::read(file).with_context(|| format!("`{}` can't be read", file.display()))?;
    let lines = export::verify(&bytes, &public).with_context(|| format!("`{}` can't be relied on", file.display()))?;
    let answer = json!({"lines": lines, "key": public.id()});
    output.show(&answer, |paint| Ok(format!("{}: {lines} lines, signed by {}\n", paint.good("as it was exported"), public.id())))
}
