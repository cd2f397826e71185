//! `rolecall connection`: an identity provider's provisioning path into a tenant, made, watched and ended.

mod client;
mod first_sync;
mod health;
mod issuer;
mod log;
mod moving;
mod probe;
mod restored;
mod watch;

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::client::{Api, ApiError, Remote};
use crate::cli::token::LIFETIME_DAYS;
use crate::cli::{Output, confirmed, items, render, word};

/// How long the token before stays good after a rotation: a working day to put the new one into the identity provider.
const DEFAULT_OVERLAP_HOURS: u32 = 24;
/// Entries of the log that are shown: a screen.
const LOG_PAGE: u32 = 50;

/// Manage the connections of identity providers.
#[derive(clap::Subcommand)]
pub enum Connection {
    /// Make a connection in staging: prints the base URL and the token for the identity provider, once
    #[command(
        after_help = "Examples:\n  rolecall connection create --tenant acme entra-id          in staging, to look first\n  rolecall connection create --tenant acme entra-id --live"
    )]
    Create {
        /// A name for people, unique in the tenant
        name: String,
        /// Let what it writes take effect at once, without staging
        #[arg(long)]
        live: bool,
        /// Let the guard count nobody: changes of any number of people take effect
        #[arg(long)]
        unguarded: bool,
        #[command(flatten)]
        at: At,
    },
    /// Issue another token; the one before stays good for a while
    #[command(after_help = "Example:\n  rolecall connection rotate --tenant acme entra-id --overlap-hours 2")]
    Rotate {
        #[command(flatten)]
        which: Which,
        /// How long the token before stays good
        #[arg(long, value_name = "HOURS", default_value_t = DEFAULT_OVERLAP_HOURS, value_parser = clap::value_parser!(u32).range(0..=720))]
        overlap_hours: u32,
        /// After how many days the new token ends [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(LIFETIME_DAYS))]
        days: Option<u32>,
    },
    /// Show what a connection in staging changes when it goes live; of one that is live, who waits for somebody
    Difference(first_sync::Difference),
    /// End staging: what was seen of it takes effect
    #[command(after_help = "Example:\n  rolecall connection live --tenant acme entra-id")]
    Live {
        #[command(flatten)]
        which: Which,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Say which account is somebody's that is there already, or that theirs is a new one
    Adopt(first_sync::Adopt),
    Move(moving::Move),
    Moved(moving::Moved),
    MoveBack(moving::MoveBack),
    /// Say whether the guard counts the people whom changes concern
    #[command(after_help = "Example:\n  rolecall connection guard --tenant acme entra-id off")]
    Guard {
        #[command(flatten)]
        which: Which,
        /// On or off
        #[arg(value_parser = ["on", "off"])]
        guard: String,
    },
    /// Grant nothing new until resumed; what takes access away still takes effect
    Pause {
        #[command(flatten)]
        which: Which,
    },
    /// Take part again, and decide what waited
    Resume {
        #[command(flatten)]
        which: Which,
    },
    /// Show whom the identity provider has not changed since the connection came back with a backup
    Restored {
        #[command(flatten)]
        which: Which,
    },
    /// Let a connection that came back with a backup take part again, and decide what waited
    #[command(
        after_help = "Look first: whoever left between the backup and the restore stands active until the identity provider says otherwise.\n\nExamples:\n  rolecall connection restored --tenant acme entra-id\n  rolecall connection release --tenant acme entra-id --reason \"compared with HR's list of 6 May\""
    )]
    Release {
        #[command(flatten)]
        which: Which,
        /// How it is known who has left since the backup; kept in the history
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// End a connection: its people lose their accounts as if each had been deleted
    Delete {
        #[command(flatten)]
        which: Which,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    #[command(subcommand)]
    Client(client::Client),
    #[command(subcommand)]
    Issuer(issuer::Issuer),
    Health(health::Health),
    /// Show what the client does that the standard does not ask for, and whether it was handled
    Dialects {
        #[command(flatten)]
        which: Which,
    },
    Log(Box<log::Log>),
    Outcomes(log::Outcomes),
    /// Show which checks the credentials failed that were refused
    Refused {
        #[command(flatten)]
        which: Which,
    },
    Probe(probe::Probe),
    /// List a tenant's connections
    List {
        #[command(flatten)]
        at: At,
    },
}

/// A tenant on a server.
#[derive(clap::Args)]
pub struct At {
    /// The tenant
    #[arg(long, env = "ROLECALL_TENANT", value_name = "TENANT")]
    pub tenant: String,
    #[command(flatten)]
    pub remote: Remote,
}

/// A connection of a tenant.
#[derive(clap::Args)]
pub struct Which {
    /// The connection's name or id
    connection: String,
    #[command(flatten)]
    at: At,
}

impl Which {
    /// The connection as the command line names it.
    fn name(&self) -> &str {
        &self.connection
    }

    /// The API, the tenant and the connection's id.
    pub(super) async fn find(self) -> anyhow::Result<(Api, String, String)> {
        let api = self.at.remote.connect()?;
        let id = id_of(&api, &self.at.tenant, &self.connection).await?;
        Ok((api, self.at.tenant, id))
    }
}

/// A page of a list of a connection; `None` where all of it was written to standard output, as CSV.
async fn page(which: Which, list: &str, csv: bool, (limit, after): (u32, Option<&str>)) -> anyhow::Result<Option<Value>> {
    let (api, tenant, id) = which.find().await?;
    let path = ["tenants", &tenant, "connections", &id, list];
    if csv {
        api.download(&path, &[("format", "csv")], &mut std::io::stdout().lock()).await?;
        return Ok(None);
    }
    let limit = limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(after.map(|after| ("after", after)));
    Ok(Some(api.get(&path, &query).await?))
}

/// Roles in a cell of a table.
fn roles(roles: &Value) -> String {
    roles.as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(", ")
}

/// The id of a connection of a tenant, which is named by that or by its name.
async fn id_of(api: &Api, tenant: &str, connection: &str) -> anyhow::Result<String> {
    let answer = api.get(&["tenants", tenant, "connections"], &[]).await?;
    let named = |known: &&Value| known["name"] == *connection || known["id"] == *connection;
    let found = items(&answer, "connections").iter().find(named).and_then(|known| known["id"].as_str()).map(str::to_owned);
    let missing = || ApiError::NotListed(format!("tenant `{tenant}` has no connection `{connection}`; see `rolecall connection list`"));
    Ok(found.ok_or_else(missing)?)
}

impl Connection {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create { name, live, unguarded, at } => {
                create(&json!({"name": name, "staging": !live, "guarded": !unguarded}), at, output).await?;
            }
            Self::Difference(difference) => difference.run(output).await?,
            Self::Live { which, yes } => first_sync::live(which, yes, output).await?,
            Self::Adopt(adopt) => adopt.run(output).await?,
            Self::Move(moves) => moves.run(output).await?,
            Self::Moved(moved) => moved.run(output).await?,
            Self::MoveBack(back) => back.run(output).await?,
            Self::Guard { which, guard } => {
                let name = which.name().to_owned();
                let (api, tenant, id) = which.find().await?;
                let path = ["tenants", &tenant, "connections", &id, "guard"];
                let answer = api.put(&path, &json!({"guarded": guard == "on"})).await?;
                output.show(&answer, |paint| Ok(format!("the guard of {} is {guard}\n", paint.strong(&name))))?;
            }
            Self::Rotate { which, overlap_hours, days } => rotate(which, overlap_hours, days, output).await?,
            Self::Pause { which } => turn(which, "pause", "is paused: nothing new is granted, leavers still leave", output).await?,
            Self::Resume { which } => turn(which, "resume", "is active: what waited is being decided", output).await?,
            Self::Restored { which } => restored::show(which, output).await?,
            Self::Release { which, reason } => restored::release(which, &reason, output).await?,
            Self::Delete { which, yes } => delete(which, yes, output).await?,
            Self::Client(client) => client.run(output).await?,
            Self::Issuer(issuer) => issuer.run(output).await?,
            Self::Health(command) => health::run(command, output).await?,
            Self::Dialects { which } => watch::dialects(which, output).await?,
            Self::Log(log) => log.run(output).await?,
            Self::Outcomes(outcomes) => return log::outcomes(&outcomes, output),
            Self::Refused { which } => log::refused(which, output).await?,
            Self::Probe(probe) => return probe.run(output).await,
            Self::List { at } => list(at, output).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn create(body: &Value, at: At, output: Output) -> anyhow::Result<()> {
    let answer = at.remote.connect()?.post(&["tenants", &at.tenant, "connections"], body).await?;
    output.show(&answer, |paint| {
        let name = word(&answer["name"]);
        let headline = paint.good(&format!("connection {name} of {} is made", at.tenant));
        let staging = if answer["state"] == "staging" {
            format!("It is in staging: nothing has effect before `rolecall connection live --tenant {} {name}`.\n", at.tenant)
        } else {
            String::new()
        };
        Ok(format!("{headline}\n{}The token is shown this once; put both into the identity provider.\n{staging}", credentials(&answer)))
    })
}

fn credentials(answer: &Value) -> String {
    format!("base URL  {}\ntoken     {}\n", word(&answer["base_url"]), word(&answer["token"]))
}

async fn rotate(which: Which, overlap_hours: u32, days: Option<u32>, output: Output) -> anyhow::Result<()> {
    let (api, tenant, id) = which.find().await?;
    let answer = api.post(&["tenants", &tenant, "connections", &id, "rotate"], &rotation(overlap_hours, days)).await?;
    output.show(&answer, |_| {
        let ends = word(&answer["expires"]);
        let before = if overlap_hours == 0 { "has ended".to_owned() } else { format!("stays good for {overlap_hours} hours") };
        Ok(format!("token    {}\nexpires  {ends}\nThe token before {before}.\n", word(&answer["token"])))
    })
}

fn rotation(overlap_hours: u32, days: Option<u32>) -> Value {
    json!({
        "overlap_seconds": i64::from(overlap_hours) * 3_600,
        "lifetime_seconds": days.map(|days| i64::from(days) * 86_400),
    })
}

async fn turn(which: Which, action: &str, done: &str, output: Output) -> anyhow::Result<()> {
    let name = which.connection.clone();
    let (api, tenant, id) = which.find().await?;
    let answer = api.post(&["tenants", &tenant, "connections", &id, action], &json!({})).await?;
    output.show(&answer, |paint| Ok(format!("{} {done}\n", paint.strong(&name))))
}

async fn delete(which: Which, yes: bool, output: Output) -> anyhow::Result<()> {
    let question = format!(
        "Delete connection `{}` of `{}`? Everybody that it provisioned loses their account and roles at once.",
        which.connection, which.at.tenant
    );
    let name = which.connection.clone();
    let (api, tenant, id) = which.find().await?;
    if !confirmed(yes, &question)? {
        return output.print("nothing was deleted\n");
    }
    api.delete(&["tenants", &tenant, "connections", &id]).await?;
    output.show(&json!({"deleted": id}), |paint| Ok(format!("{} is deleted\n", paint.strong(&name))))
}

async fn list(at: At, output: Output) -> anyhow::Result<()> {
    let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "connections"], &[]).await?;
    output.show(&answer, |_| {
        let mut table = render::table(["name", "id", "state", "last seen", "wrong credentials", "tokens"]);
        for known in items(&answer, "connections") {
            let tokens = known["tokens"].as_array().map_or(0, Vec::len);
            table.add_row([
                word(&known["name"]),
                word(&known["id"]),
                word(&known["state"]),
                word(&known["last_seen"]),
                word(&known["wrong_credentials"]),
                tokens.to_string(),
            ]);
        }
        Ok(format!("{table}\n"))
    })
}
