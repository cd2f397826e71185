//! `rolecall account` and `rolecall explain`: who somebody is here, which roles they hold, and why or why not.

use std::process::ExitCode;

use serde_json::Value;

use crate::cli::connection::At;
use crate::cli::render::{self, Paint};
use crate::cli::{Output, items, word};

/// One page: a terminal shows no more at once, and `--after` goes on.
const DEFAULT_LIMIT: u32 = 100;

/// Look at accounts.
#[derive(clap::Subcommand)]
pub enum Account {
    /// List accounts with their roles
    #[command(after_help = "Example:\n  rolecall account list --tenant acme --state active")]
    List {
        /// Only accounts in this state: active, suspended, held, out_of_scope, scheduled, removed
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
        /// Go on after this account id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Show one account: attributes, where each came from, roles with their reasons
    #[command(after_help = "Example:\n  rolecall account show --tenant acme ada.okonkwo@acme.example")]
    Show {
        /// Its id or login name
        account: String,
        #[command(flatten)]
        at: At,
    },
    Run(super::run::Run),
    #[command(flatten)]
    Process(super::process::Process),
    #[command(flatten)]
    Import(super::import::Unconnected),
}

/// Say why an account holds a role, or why not.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  rolecall explain --tenant acme ada.okonkwo@acme.example deployer")]
pub struct Explain {
    /// The account's id or login name
    account: String,
    /// The role
    role: String,
    #[command(flatten)]
    at: At,
}

impl Account {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { state, limit, after, at } => list(state, limit, after, at, output).await?,
            Self::Show { account, at } => {
                let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "accounts", &account], &[]).await?;
                output.show(&answer, |paint| Ok(shown(&answer, paint)))?;
            }
            Self::Run(run) => run.run(output).await?,
            Self::Process(process) => process.run(output).await?,
            Self::Import(import) => import.run(output).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(state: Option<String>, limit: u32, after: Option<String>, at: At, output: Output) -> anyhow::Result<()> {
    let limit = limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(state.as_deref().map(|state| ("state", state)));
    query.extend(after.as_deref().map(|after| ("after", after)));
    let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "accounts"], &query).await?;
    output.show(&answer, |_| {
        let mut table = render::table(["id", "login name", "state", "roles", "pending"]);
        for account in items(&answer, "accounts") {
            table.add_row([
                word(&account["id"]),
                word(&account["user_name"]),
                word(&account["state"]),
                roles(&account["grants"]).join(", "),
                word(&account["pending"]),
            ]);
        }
        let more = if answer["next"].is_null() { String::new() } else { format!("there is more: `--after {}`\n", word(&answer["next"])) };
        Ok(format!("{table}\n{more}"))
    })
}

/// The roles of an account with what is special about each.
pub fn roles(grants: &Value) -> Vec<String> {
    let shown = |grant: &Value| match grant["state"].as_str() {
        None | Some("effective") => word(&grant["role"]),
        Some(state) => format!("{} ({state})", word(&grant["role"])),
    };
    grants.as_array().map(|grants| grants.iter().map(shown).collect()).unwrap_or_default()
}

fn shown(account: &Value, paint: Paint) -> String {
    let name = account["user_name"].as_str().map_or_else(|| word(&account["id"]), |_| word(&account["user_name"]));
    let mut text = format!("{} ({}), id {}\n", paint.strong(&name), word(&account["state"]), word(&account["id"]));
    if let Some(note) = account["note"]["message"].as_str() {
        text += &format!("{} {}\n", paint.bad("note:"), word(&Value::from(note)));
    }
    if account["imported"]["protected"] == true {
        text += "protected: no connection touches it\n";
    }
    if !account["pending"].is_null() && account["pending"] != false {
        text += &format!("an evaluation is pending: {}\n", word(&account["pending"]));
    }
    let mut profile = render::table(["attribute", "value", "from"]);
    for (key, value) in account["profile"].as_object().into_iter().flatten() {
        profile.add_row([key.clone(), word(value), word(&account["provenance"][key])]);
    }
    let mut held = render::table(["role", "state", "because", "since"]);
    for grant in account["grants"].as_array().into_iter().flatten() {
        held.add_row([word(&grant["role"]), word(&grant["state"]), reasons(&grant["reasons"]).join("\n"), word(&grant["since"])]);
    }
    text + &format!("{profile}\n{held}\n")
}

/// Reasons, one sentence each: the policy, what it says, and the group that met it.
pub fn reasons(reasons: &Value) -> Vec<String> {
    reasons.as_array().into_iter().flatten().map(reason).collect()
}

fn reason(reason: &Value) -> String {
    let mut text = format!("policy {}", word(&reason["policy"]));
    if let Some(why) = reason["reason"].as_str() {
        text += &format!(": {}", word(&Value::from(why)));
    }
    for chain in reason["groups"].as_array().into_iter().flatten() {
        let path: Vec<String> = chain.as_array().into_iter().flatten().map(word).collect();
        text += &format!("; group {}", path.join(" → "));
    }
    if reason["proposed"] == true {
        text += "; nominated by the plugin";
        if let Some(because) = reason["nomination"].as_str() {
            text += &format!(": {}", word(&Value::from(because)));
        }
    }
    if let Some(asks) = reason["approval"].as_str() {
        text += &format!("; with a person's yes: {}", word(&Value::from(asks)));
    }
    text
}

impl Explain {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let path = ["tenants", &self.at.tenant, "accounts", &self.account, "explain"];
        let answer = self.at.remote.connect()?.get(&path, &[("role", &self.role)]).await?;
        output.show(&answer, |paint| Ok(explained(&self.account, &answer, paint)))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// An explanation in sentences.
pub fn explained(account: &str, answer: &Value, paint: Paint) -> String {
    let role = word(&answer["role"]);
    let verdict = match answer["decision"].as_str() {
        Some("allow") => paint.good(&format!("{account} may hold {role} by the policies")),
        Some("deny") => paint.bad(&format!("{account} may not hold {role}: a policy forbids it")),
        Some("no_permit") => paint.bad(&format!("{account} does not hold {role}: no policy gives it")),
        Some("error") => paint.bad(&format!("{role} can't be decided for {account}: a policy fails, and nothing is granted on a doubt")),
        _ => format!("{account}, {role}: {}", word(&answer["decision"])),
    };
    let mut text = verdict + "\n";
    if let Some(because) = answer["because"].as_str() {
        text += &format!("  {}\n", word(&Value::from(because)));
    }
    for (heading, list) in [("because", &answer["reasons"]), ("forbidden by", &answer["forbids"])] {
        for sentence in reasons(list) {
            text += &format!("  {heading} {sentence}\n");
        }
    }
    if let Some(said) = answer["said"].as_array() {
        let stands = match answer["grant"]["state"].as_str() {
            Some("effective") => "they have it".to_owned(),
            Some(state) => format!("it is {state}"),
            None => "they don't have it".to_owned(),
        };
        text += &format!("  at present {stands}\n");
        for ruling in said {
            let words = [("kind", ""), ("state", " "), ("starts", " from "), ("ends", " until "), ("reason", ": ")];
            let parts = words.iter().filter(|(key, _)| !ruling[key].is_null());
            let parts: String = parts.map(|(key, before)| format!("{before}{}", word(&ruling[key]))).collect();
            text += &format!("  beside the policies counts {parts}\n");
        }
    }
    for miss in answer["nearest"].as_array().into_iter().flatten() {
        let why = miss["reason"].as_str().map(|why| format!(" ({})", word(&Value::from(why)))).unwrap_or_default();
        text += &format!("  policy {}{why} would give it, but: {}\n", word(&miss["policy"]), word(&miss["unmet"]));
        for seen in miss["saw"].as_array().into_iter().flatten() {
            let value = if seen["value"].is_null() { "not set".to_owned() } else { seen["value"].to_string() };
            text += &format!("    {}: {}\n", word(&seen["expression"]), word(&Value::from(value)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reasons_name_policy_and_groups() {
        let found = reasons(&json!([
            {"policy": "eng-deploy", "reason": "engineers deploy", "groups": [["grp-a", "grp-b"]], "proposed": true,
             "nomination": "group `grp-b`"},
            {"policy": "everybody", "groups": [], "proposed": false, "approval": "required"},
        ]));
        let first = "policy eng-deploy: engineers deploy; group grp-a → grp-b; nominated by the plugin: group `grp-b`";
        assert_eq!(found, [first, "policy everybody; with a person's yes: required"]);
        assert_eq!(reasons(&Value::Null), Vec::<String>::new());
    }

    #[test]
    fn explanations_say_why_not() {
        let answer = json!({"role": "deployer", "decision": "no_permit", "reasons": [], "forbids": [],
            "nearest": [{"policy": "eng-deploy", "reason": null, "unmet": "not in group \"grp-eng\"",
                "saw": [{"expression": "the person's groups", "value": ["staff"]}, {"expression": "principal.title", "value": null}]}]});
        let expected = "ada does not hold deployer: no policy gives it\n  policy eng-deploy would give it, but: not in group \"grp-eng\"\n    \
            the person's groups: [\"staff\"]\n    principal.title: not set\n";
        assert_eq!(explained("ada", &answer, Paint::default()), expected);
        let forbidden = json!({"role": "deployer", "decision": "allow", "reasons": [], "forbids": [], "nearest": [], "grant": null,
            "said": [{"kind": "forbid", "state": "yes", "starts": null, "ends": "2027-01-01T00:00:00Z", "reason": "an audit"}]});
        let expected = "ada may hold deployer by the policies\n  at present they don't have it\n  \
            beside the policies counts forbid yes until 2027-01-01T00:00:00Z: an audit\n";
        assert_eq!(explained("ada", &forbidden, Paint::default()), expected);
    }

    #[test]
    fn roles_that_are_not_simply_in_effect_say_so() {
        let grants = json!([{"role": "a", "state": "effective"}, {"role": "b", "state": "pending"}]);
        assert_eq!(roles(&grants), ["a", "b (pending)"]);
    }
}
