//! `rolecall account run`: one person, step by step: what came in, what the mapping made of it, what the policies decided, what changes.

use serde_json::{Value, json};

use crate::cli::account::explained;
use crate::cli::connection::At;
use crate::cli::render::{self, Paint};
use crate::cli::{Output, items, word};

/// Run a person through the active revision or another one, and show each step; nothing changes unless `--apply` says so
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rolecall account run --tenant acme ada.okonkwo@acme.example
  rolecall account run --tenant acme ada.okonkwo@acme.example --revision 3f0c… --role deployer
  rolecall account run --tenant acme ada.okonkwo@acme.example --apply")]
pub struct Run {
    /// The account's id or login name
    account: String,
    /// A stored revision [default: the active one]
    #[arg(long, value_name = "HASH")]
    revision: Option<String>,
    /// A role to explain beside those that it is about
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Decide the person by the active revision now, and let it take effect
    #[arg(long, conflicts_with_all = ["revision", "role"])]
    apply: bool,
    #[command(flatten)]
    at: At,
}

impl Run {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<()> {
        let api = self.at.remote.connect()?;
        let path = ["tenants", &self.at.tenant, "accounts", &self.account, "run"];
        let answer = if self.apply {
            api.post(&path, &json!({})).await?
        } else {
            let asked = [("revision", self.revision.as_deref()), ("role", self.role.as_deref())];
            let query: Vec<(&str, &str)> = asked.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            api.get(&path, &query).await?
        };
        output.show(&answer, |paint| Ok(shown(&self.account, &answer, paint)))
    }
}

fn shown(account: &str, run: &Value, paint: Paint) -> String {
    let came = &run["came_in"];
    let which = if run["is_active"] == true { "the active revision" } else { "a candidate" };
    let mut text = format!("{} under {which} {}, as of {}\n", paint.strong(account), word(&run["revision"]), word(&run["as_of"]));
    text += &format!(
        "\n1. What came in: connection {} ({}), user {}, version {}, written {}\n",
        word(&came["connection"]),
        word(&came["connection_state"]),
        word(&came["user"]),
        word(&came["version"]),
        word(&came["modified"])
    );
    let mut document = render::table(["attribute", "value"]);
    for (name, value) in came["document"].as_object().into_iter().flatten() {
        document.add_row([word(&Value::from(name.as_str())), word(value)]);
    }
    text += &format!("{document}\n");
    for chain in items(came, "groups") {
        let chain: Vec<String> = chain.as_array().into_iter().flatten().map(word).collect();
        text += &format!("   group {}\n", chain.join(" → "));
    }
    text += &mapped(&run["mapped"]);
    text += "\n3. What the policies say\n";
    for explanation in items(run, "decided") {
        text += &explained(account, explanation, paint);
    }
    text + &changes(run, paint)
}

fn mapped(mapped: &Value) -> String {
    let mut text = format!("\n2. What the mapping made of it: {}\n", word(&mapped["outcome"]));
    for call in items(mapped, "calls") {
        let how =
            if call["fault"].is_null() { format!("{} fuel", word(&call["fuel"])) } else { format!("failed: {}", word(&call["fault"])) };
        text += &format!("   {} of {}: {how}\n", word(&call["hook"]), word(&call["plugin"]));
        for line in items(call, "logs") {
            text += &format!("     {}: {}\n", word(&line["level"]), word(&line["message"]));
        }
    }
    if let Some(note) = mapped["note"]["message"].as_str() {
        text += &format!("   {}\n", word(&Value::from(note)));
    }
    let mut account = render::table(["attribute", "value", "from"]);
    for (name, value) in mapped["account"].as_object().into_iter().flatten() {
        account.add_row([word(&Value::from(name.as_str())), word(value), word(&mapped["provenance"][name])]);
    }
    if !mapped["account"].is_null() {
        text += &format!("{account}\n");
    }
    for (role, because) in mapped["nominated"].as_object().into_iter().flatten() {
        text += &format!("   nominates {} {}\n", word(&Value::from(role.as_str())), word(because));
    }
    text
}

fn changes(run: &Value, paint: Paint) -> String {
    let changes = &run["changes"];
    let heading = if run["applied"].is_null() { "What would change" } else { "What has changed" };
    let mut text = format!("\n4. {heading}\n");
    let difference = &changes["difference"];
    if difference.is_null() {
        text += "   nothing\n";
    } else {
        text += &format!("   account {} → {}\n", word(&difference["before"]), word(&difference["after"]));
        for attribute in items(difference, "attributes") {
            let (before, after) = (word(&attribute["before"]), word(&attribute["after"]));
            text += &format!("   {}: {before} → {after}\n", word(&attribute["attribute"]));
        }
        for (key, shown) in [("gains", "gains"), ("loses", "loses"), ("retains", "retains"), ("withdrawn", "waits no longer for")] {
            for role in items(difference, key) {
                text += &format!("   {} {}\n", paint.strong(shown), word(role));
            }
        }
        for waiting in items(difference, "waits") {
            text += &format!("   {} waits for {}\n", word(&waiting["role"]), word(&waiting["waits_for"]));
        }
    }
    if changes["guarded"] == true {
        text += "   the guard counts it: with many others at once it may be held\n";
    }
    if !changes["next"].is_null() {
        text += &format!("   looked at again at {}\n", word(&changes["next"]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_shown() {
        let run = json!({
            "revision": "r1", "is_active": true, "as_of": "2026-11-27T10:00:00Z", "applied": null,
            "came_in": {"connection": "c", "connection_state": "active", "user": "u", "version": 3, "modified": "x",
                        "document": {"userName": "ada"}, "groups": [["eng", "staff"]]},
            "mapped": {"outcome": "account", "calls": [{"hook": "transform-user", "plugin": "acme", "fuel": 7, "fault": null, "logs": []}],
                       "account": {"user_name": "ada"}, "provenance": {"user_name": "userName"}, "nominated": {"vpn": null}},
            "decided": [{"role": "vpn", "decision": "allow", "reasons": [], "forbids": [], "nearest": []}],
            "changes": {"difference": {"before": "active", "after": "active", "gains": ["vpn"]}, "events": [], "guarded": true, "next": null},
        });
        let text = shown("ada", &run, Paint::default());
        for part in ["group eng → staff", "transform-user of acme: 7 fuel", "ada may hold vpn", "gains vpn", "the guard counts it"] {
            assert!(text.contains(part), "`{part}` is missing:\n{text}");
        }
    }
}
