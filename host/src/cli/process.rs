//! `rolecall account leave`, `back`, `receipt` and `erase`: people who are away, and people who have left.

use serde_json::{Value, json};

use crate::cli::connection::At;
use crate::cli::{Output, confirmed, items, render, when, word};
use crate::model::Instant;

/// People who are away, and people who have left.
#[derive(clap::Subcommand)]
pub enum Process {
    /// Take an account out of use for a time: it comes back by itself
    #[command(after_help = "Examples:\n  rolecall account leave --tenant acme ada@acme.example --until 90d --reason 'parental leave'\n  \
                            rolecall account leave --tenant acme ada@acme.example --from 14d --until 180d --reason 'sailing'")]
    Leave {
        /// The account's id or login name
        account: String,
        /// From when on [default: now]
        #[arg(long, value_name = "INSTANT", value_parser = when::ahead)]
        from: Option<Instant>,
        /// Until when, within 366 days of its beginning: an instant, a date, or days from now (`90d`)
        #[arg(long, value_name = "INSTANT", value_parser = when::ahead)]
        until: Instant,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who answers for it
        #[arg(long, value_name = "WHO")]
        owner: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// End a leave before its time
    #[command(after_help = "Example:\n  rolecall account back --tenant acme 5be2…")]
    Back {
        /// The leave's id, as `rolecall account leaves` shows it
        leave: String,
        #[command(flatten)]
        at: At,
    },
    /// List leaves that count, or will
    #[command(after_help = "Example:\n  rolecall account leaves --tenant acme")]
    Leaves {
        #[command(flatten)]
        at: At,
    },
    /// Show the receipt of the last departure: what was asked, what went, and who has acknowledged
    #[command(after_help = "Example:\n  rolecall account receipt --tenant acme bob@acme.example")]
    Receipt {
        /// The account's id or login name
        account: String,
        #[command(flatten)]
        at: At,
    },
    /// Erase what is personal of a removed account, for good
    #[command(after_help = "Example:\n  rolecall account erase --tenant acme 0d4c… --reason 'ticket 4711' --yes")]
    Erase {
        /// The account's id or login name
        account: String,
        /// A reference that stays in the record: a ticket, and nothing personal
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Don't ask: there is no way back
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        at: At,
    },
}

impl Process {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<()> {
        match self {
            Self::Leave { account, from, until, reason, owner, at } => {
                let body = json!({"starts": from, "ends": until, "reason": reason, "owner": owner});
                let made = at.remote.connect()?.post(&["tenants", &at.tenant, "accounts", &account, "leave"], &body).await?;
                output.show(&made, |_| Ok(format!("leave {} counts until {}\n", word(&made["id"]), word(&made["ends"]))))
            }
            Self::Back { leave, at } => {
                let answer = at.remote.connect()?.delete(&["tenants", &at.tenant, "leaves", &leave]).await?;
                output.show(&answer, |_| Ok(format!("leave {leave} has ended\n")))
            }
            Self::Leaves { at } => leaves(at, output).await,
            Self::Receipt { account, at } => {
                let receipt = at.remote.connect()?.get(&["tenants", &at.tenant, "accounts", &account, "receipt"], &[]).await?;
                output.show(&receipt, |_| Ok(shown(&receipt)))
            }
            Self::Erase { account, reason, yes, at } => {
                if !confirmed(yes, &format!("Erase what is personal of {account}? There is no way back."))? {
                    return output.print("nothing was erased\n");
                }
                let body = json!({"reason": reason});
                let answer = at.remote.connect()?.post(&["tenants", &at.tenant, "accounts", &account, "erase"], &body).await?;
                output.show(&answer, |_| Ok(format!("nothing personal is left of {account}\n")))
            }
        }
    }
}

async fn leaves(at: At, output: Output) -> anyhow::Result<()> {
    let listed = at.remote.connect()?.get(&["tenants", &at.tenant, "leaves"], &[]).await?;
    output.show(&listed, |_| {
        let mut table = render::table(["leave", "login name", "from", "until", "owner", "why"]);
        for leave in items(&listed, "rulings") {
            table.add_row(["id", "user_name", "starts", "ends", "owner", "reason"].map(|key| word(&leave[key])));
        }
        Ok(format!("{table}\n"))
    })
}

/// A receipt in sentences and one table.
fn shown(receipt: &Value) -> String {
    let name = if receipt["user_name"].is_null() { &receipt["account"] } else { &receipt["user_name"] };
    let complete = if receipt["complete"] == true { "complete" } else { "not complete" };
    let request = &receipt["request"];
    let mut text = format!("{} ({}): {complete}\n", word(name), word(&receipt["state"]));
    text += &format!("asked for at {} by {} {}", word(&request["at"]), word(&request["actor"]["kind"]), word(&request["actor"]["id"]));
    for (label, key) in [("request", "request_id"), ("because", "why")] {
        if !request[key].is_null() {
            text += &format!(", {label} {}", word(&request[key]));
        }
    }
    text += "\n";
    for role in items(receipt, "roles") {
        let how = if role["dormant"] == true { "out of effect, and may come back" } else { "gone" };
        text += &format!("role {}: {how} since {}\n", word(&role["role"]), word(&role["at"]));
    }
    let mut table = render::table(["step", "owner", "state", "done", "due", "waits for"]);
    for step in items(receipt, "steps") {
        table.add_row(["name", "owner", "state", "at", "due", "waits_for"].map(|key| word(&step[key])));
    }
    text + &format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_says_who_what_and_what_is_left() {
        let receipt = json!({
            "account": "a1", "user_name": "bob", "state": "removed", "complete": false,
            "request": {"at": "2031-01-01T00:00:00.000Z", "actor": {"kind": "connection", "id": "c"}, "request_id": "r1", "why": "deleted"},
            "roles": [{"role": "writer", "at": "2031-01-01T00:00:00.000Z", "dormant": false}],
            "steps": [{"name": "target", "owner": "crm", "state": "waiting", "at": null, "due": null, "waits_for": "the target is disabled"}],
        });
        let text = shown(&receipt);
        for part in
            ["bob (removed): not complete", "by connection c, request r1, because deleted", "role writer: gone", "the target is disabled"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
