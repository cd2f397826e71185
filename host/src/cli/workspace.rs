//! `rolecall workspace`: who may come into the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::client::Remote;
use crate::cli::token::Bearer;
use crate::cli::{Output, items, render, word};
use crate::tenancy::visitors::LINK_SECONDS_LIMIT;

/// Let people into the workspace, where identity teams work in a browser.
#[derive(clap::Subcommand)]
pub enum Workspace {
    /// Make a link that signs one person in, once. It is shown once
    #[command(after_help = "Examples:\n  rolecall workspace link --write                   an operator: everything, in every tenant\n  \
        rolecall workspace link --tenant acme --write --person ada@acme.example\n  rolecall workspace link --tenant acme --admin-role reviewer --person ada@acme.example\n  rolecall workspace link --tenant acme --admin-role auditor --minutes 1440")]
    Link {
        #[command(flatten)]
        bearer: Bearer,
        /// How long the link is good
        #[arg(long, value_name = "MINUTES", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=LINK_SECONDS_LIMIT / 60))]
        minutes: u32,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the OpenID providers that people sign in with
    Providers {
        /// The tenant whose people they sign in [default: the platform, for operators]
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Set an OpenID provider that people sign in with: a new one, or other settings of one that is there
    #[command(after_help = "The secret of Rolecall as a client there is read from ROLECALL_CLIENT_SECRET; a public client has none.\n\n\
        Examples:\n  rolecall workspace set-provider --tenant acme entra \\\n    \
        --issuer https://login.microsoftonline.com/TENANT-ID/v2.0 --client-id CLIENT --name \"Acme\" \\\n    \
        --group rolecall-owners=tenant-owner --group rolecall-audit=auditor\n  \
        rolecall workspace set-provider operators --issuer https://id.example.com --client-id rolecall \\\n    \
        --group platform=platform-operator")]
    SetProvider {
        /// An id to name it by: lower-case letters, digits and hyphens
        #[arg(value_name = "PROVIDER")]
        id: String,
        /// The tenant whose people it signs in [default: the platform, for operators]
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Its issuer identifier, under which it says what it is
        #[arg(long, value_name = "URL")]
        issuer: String,
        /// The id of Rolecall as a client there
        #[arg(long, value_name = "ID")]
        client_id: String,
        /// What stands on the button [default: the id]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// The claim that names the person
        #[arg(long, value_name = "CLAIM", default_value = "email")]
        person_claim: String,
        /// The claim with the person's groups
        #[arg(long, value_name = "CLAIM", default_value = "groups")]
        groups_claim: String,
        /// A group, and an admin role that it gives; may be given several times. Whoever is in none of them is not let in
        #[arg(long = "group", value_name = "GROUP=ROLE", required = true, value_parser = group)]
        groups: Vec<(String, String)>,
        /// What is asked for beside `openid`
        #[arg(long = "scope", value_name = "SCOPE", default_values = ["email", "profile"])]
        scopes: Vec<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Remove an OpenID provider: nobody new signs in with it. Sessions go on until they end
    RemoveProvider {
        /// Its id
        #[arg(value_name = "PROVIDER")]
        id: String,
        /// The tenant whose people it signs in [default: the platform]
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// The variable that a client's secret is read from: it has no place in a list of processes.
const SECRET_VARIABLE: &str = "ROLECALL_CLIENT_SECRET";

fn group(text: &str) -> Result<(String, String), String> {
    let pair = text.rsplit_once('=').filter(|(group, role)| !group.is_empty() && !role.is_empty());
    pair.map(|(group, role)| (group.to_owned(), role.to_owned())).ok_or_else(|| "write GROUP=ROLE, such as owners=tenant-owner".to_owned())
}

/// Where providers are in the API.
fn providers(tenant: Option<&str>) -> Vec<&str> {
    tenant.map_or_else(|| vec!["workspace", "providers"], |tenant| vec!["tenants", tenant, "providers"])
}

impl Workspace {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::Link { bearer, minutes, remote } => {
                let body = bearer.asked(Some(i64::from(minutes) * 60));
                let answer = remote.connect()?.post(&["workspace", "links"], &body).await?;
                output.show(&answer, |_| {
                    let (url, expires) = (word(&answer["url"]), word(&answer["expires"]));
                    Ok(format!(
                        "{url}\nOpen it in the browser that is to be signed in: it is good once, until {expires}, and shown this once.\n"
                    ))
                })?;
            }
            Self::Providers { tenant, remote } => {
                let answer = remote.connect()?.get(&providers(tenant.as_deref()), &[]).await?;
                output.show(&answer, |_| Ok(listed(&answer)))?;
            }
            Self::SetProvider { id, tenant, issuer, client_id, name, person_claim, groups_claim, groups, scopes, remote } => {
                let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
                for (group, role) in groups {
                    roles.entry(group).or_default().insert(role);
                }
                let secret = std::env::var(SECRET_VARIABLE).ok().filter(|secret| !secret.is_empty());
                let body = json!({
                    "name": name.unwrap_or_else(|| id.clone()), "issuer": issuer, "client_id": client_id, "scopes": scopes,
                    "person_claim": person_claim, "groups_claim": groups_claim, "roles": roles, "client_secret": secret,
                });
                let (client, mut path) = (remote.connect()?, providers(tenant.as_deref()));
                path.push(&id);
                client.put(&path, &body).await?;
                let answer = client.get(&providers(tenant.as_deref()), &[]).await?;
                output.show(&answer, |_| Ok(listed(&answer)))?;
            }
            Self::RemoveProvider { id, tenant, remote } => {
                let mut path = providers(tenant.as_deref());
                path.push(&id);
                remote.connect()?.delete(&path).await?;
                output.show(&json!({"removed": id}), |_| Ok(format!("{id} signs nobody in any more\n")))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn listed(answer: &Value) -> String {
    let mut table = render::table(["id", "name", "issuer", "client", "groups", "redirect URI"]);
    for provider in items(answer, "providers") {
        let one = |(group, roles): (&String, &Value)| {
            let roles: Vec<&str> = roles.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("{group} gives {}", roles.join(", "))
        };
        let groups: Vec<String> = provider["roles"].as_object().into_iter().flatten().map(one).collect();
        table.add_row([
            word(&provider["id"]),
            word(&provider["name"]),
            word(&provider["issuer"]),
            word(&provider["client_id"]),
            groups.join("\n"),
            word(&provider["redirect_uri"]),
        ]);
    }
    format!("{table}\n")
}
