//! `rolecall token`: rights to the API, each as small as its use, and which there are.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::client::{Api, Remote};
use crate::cli::{Output, items, render, tenant, word};
use crate::http::api::LIFETIME_SECONDS_LIMIT;
use crate::model::ADMIN_ROLES;

/// How many days a token or a client's secret can be good for: whole ones of those that the server takes.
pub const LIFETIME_DAYS: std::ops::RangeInclusive<i64> = 1..=LIFETIME_SECONDS_LIMIT / 86_400;

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

/// Issue, list and end API tokens.
#[derive(clap::Subcommand)]
pub enum Token {
    /// Issue a token: for one tenant or the whole platform, to read or also to write. It is shown once
    #[command(after_help = "Examples:\n  rolecall token create --tenant acme                 reads acme, never ends\n  \
        rolecall token create --tenant acme --write --days 90\n  rolecall token create --tenant acme --write --person ada@acme.example\n  rolecall token create --tenant acme --admin-role reviewer --person ada@acme.example\n  rolecall token create --write                       everything: for operators")]
    Create {
        #[command(flatten)]
        bearer: Bearer,
        /// After how many days it ends [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(LIFETIME_DAYS))]
        days: Option<u32>,
        /// What it is for: tokens are listed by it
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List API tokens: what each may do, who made it, when it was used last. Secrets are shown once, when a token is made, and never again
    #[command(
        after_help = "Examples:\n  rolecall token list --tenant acme\n  rolecall token list                                  those of the platform"
    )]
    List {
        /// The tenant whose tokens [default: the platform's own]
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// End a token: with the next request it is good no more
    #[command(after_help = "Example:\n  rolecall token revoke --tenant acme TOKEN            the id, as `rolecall token list` shows it")]
    Revoke {
        /// Its id
        #[arg(value_name = "TOKEN")]
        id: String,
        /// The tenant that it is of [default: the platform]
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Where tokens are in the API.
fn tokens(tenant: Option<&str>) -> Vec<&str> {
    tenant.map_or_else(|| vec!["tokens"], |tenant| vec!["tenants", tenant, "tokens"])
}

/// Every token, page after page.
async fn all(remote: Remote, tenant: Option<&str>) -> anyhow::Result<Value> {
    let (client, path) = (remote.connect()?, tokens(tenant));
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let query: Vec<(&str, &str)> = after.iter().map(|after| ("after", after.as_str())).collect();
        let page = client.get(&path, &query).await?;
        found.extend_from_slice(items(&page, "tokens"));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(json!({"tokens": found})),
        }
    }
}

fn listed(answer: &Value) -> String {
    let mut table = render::table(["id", "name", "may", "for", "made", "by", "last used", "expires"]);
    for token in items(answer, "tokens") {
        let roles: Vec<&str> = token["admin_roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let right = if token["write"] == true { "read and write" } else { "read" };
        let right = if roles.is_empty() { right.to_owned() } else { format!("{right} as {}", roles.join(", ")) };
        let by = token["created_by"]
            .as_object()
            .map_or_else(String::new, |_| format!("{} {}", word(&token["created_by"]["kind"]), word(&token["created_by"]["id"])));
        let told = |key: &str| token[key].as_str().unwrap_or_default().to_owned();
        let or = |key: &str, none: &str| token[key].as_str().unwrap_or(none).to_owned();
        table.add_row([
            word(&token["id"]),
            told("name"),
            right,
            told("person"),
            word(&token["created"]),
            by,
            or("last_used", "never"),
            or("expires", "never"),
        ]);
    }
    format!("{table}\n")
}

impl Token {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create { bearer, days, name, remote } => create(bearer, days, name, remote, output).await?,
            Self::List { tenant, remote } => {
                let answer = all(remote, tenant.as_deref()).await?;
                output.show(&answer, |_| Ok(listed(&answer)))?;
            }
            Self::Revoke { id, tenant, remote } => {
                let mut path = tokens(tenant.as_deref());
                path.push(&id);
                remote.connect()?.delete(&path).await?;
                output.show(&json!({"revoked": id}), |_| Ok(format!("{id} is good no more\n")))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Says on standard error which admin roles no admin policy of the tenant names: a name that is mistyped is a right to nothing. Where that can't be
/// found out nothing is said, because a role may be named later.
async fn warn_of_unknown(api: &Api, bearer: &Bearer) {
    let usual = |role: &&String| ADMIN_ROLES.iter().any(|(name, _)| name == role);
    let own: Vec<&String> = bearer.admin_roles.iter().filter(|role| !usual(role)).collect();
    let (Some(tenant), false) = (&bearer.tenant, own.is_empty()) else { return };
    let Ok(Some(active)) = tenant::active(api, tenant, true).await else { return };
    let Ok(files) = active.contents() else { return };
    let policies: Vec<&Vec<u8>> = files.iter().filter(|(path, _)| path.starts_with("admin/")).map(|(_, bytes)| bytes).collect();
    for role in own.into_iter().filter(|role| !policies.iter().any(|bytes| names(bytes, role))) {
        // Nothing can be done when standard error is closed.
        let _ =
            writeln!(std::io::stderr(), "warning: no admin policy of `{tenant}` names the role `{role}`, and it is none of the usual ones");
    }
}

/// Whether a policy names a role, which stands there in quotes.
fn names(policy: &[u8], role: &str) -> bool {
    std::str::from_utf8(policy).is_ok_and(|text| text.contains(&format!("\"{role}\"")))
}

async fn create(bearer: Bearer, days: Option<u32>, name: Option<String>, remote: Remote, output: Output) -> anyhow::Result<()> {
    let lifetime = days.map(|days| i64::from(days) * 86_400);
    let mut asked = bearer.asked(lifetime);
    asked["name"] = json!(name);
    let api = remote.connect()?;
    let answer = api.post(&["tokens"], &asked).await?;
    warn_of_unknown(&api, &bearer).await;
    let Bearer { tenant, write, admin_roles, .. } = bearer;
    output.show(&answer, |_| {
        let scope = tenant.map_or_else(|| "the whole platform".to_owned(), |tenant| format!("tenant {tenant}"));
        let right = if write { "read and write" } else { "read" };
        let right = if admin_roles.is_empty() { right.to_owned() } else { format!("{right} as {}", admin_roles.join(", ")) };
        let ends = word(&answer["expires"]);
        Ok(format!("token    {}\nmay      {right} {scope}\nexpires  {ends}\nIt is shown this once.\n", word(&answer["token"])))
    })
}
