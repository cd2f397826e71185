//! `rolecall connection move`, `moved` and `move-back`: another connection's people, taken over with their accounts, and the way back.

use serde_json::{Value, json};

use super::{Which, id_of, page, roles};
use crate::cli::{Output, confirmed, items, render, word};

/// People who are shown: a few screens. The CSV has them all.
const PAGE: u32 = 100;

/// Say from which connection one in staging takes over: people whom both know keep their accounts and roles
#[derive(clap::Args)]
#[command(
    after_help = "A tenant that changes its identity provider makes a connection for the new one, in staging, lets it send everybody, and says whose people they are.\nWhoever is known to both (by login name or external id; an e-mail address is a doubt that somebody decides) keeps the account and its roles. From then on the\nold connection decides nothing about them, whatever it writes or deletes; the others stay with it.\n\nExamples:\n  rolecall connection create --tenant acme okta\n  rolecall connection move --tenant acme okta --from entra-id\n  rolecall connection difference --tenant acme okta        who moves, doubts, who stays\n  rolecall connection adopt --tenant acme okta ada@acme.example --account ada --reason 'is her'\n  rolecall connection live --tenant acme okta              carries it out in one step\n  rolecall connection moved --tenant acme okta             who moved, and who can go back\n  rolecall connection move-back --tenant acme okta         the way back"
)]
pub struct Move {
    #[command(flatten)]
    which: Which,
    /// The name or id of the connection whose people it takes over
    #[arg(long, value_name = "CONNECTION", required_unless_present = "from_nobody")]
    from: Option<String>,
    /// It takes over from nobody, after all
    #[arg(long, conflicts_with = "from")]
    from_nobody: bool,
}

/// Show who moved to a connection, and who of them can go back
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  rolecall connection moved --tenant acme okta\n  rolecall connection moved --tenant acme okta --csv > moved.csv"
)]
pub struct Moved {
    #[command(flatten)]
    which: Which,
    /// Everybody, as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// How many people
    #[arg(long, value_name = "N", default_value_t = PAGE, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on behind this person
    #[arg(long, value_name = "PERSON")]
    after: Option<String>,
}

/// Let everybody go back who moved to a connection and can: shows the numbers, asks, and puts the connection into staging
#[derive(clap::Args)]
#[command(
    after_help = "They keep their accounts and roles until the connection that they came from has decided about them. Whoever left since the move is not brought back.\n\nExample:\n  rolecall connection move-back --tenant acme okta"
)]
pub struct MoveBack {
    #[command(flatten)]
    which: Which,
    /// Don't ask
    #[arg(long)]
    yes: bool,
}

impl Move {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<()> {
        let Self { which, from, from_nobody: _ } = self;
        let name = which.name().to_owned();
        let (api, tenant, id) = which.find().await?;
        let other = match &from {
            Some(from) => Some(id_of(&api, &tenant, from).await?),
            None => None,
        };
        let path = ["tenants", &tenant, "connections", &id, "predecessor"];
        let answer = api.put(&path, &json!({"connection": other})).await?;
        output.show(&answer, |paint| {
            let name = paint.strong(&name);
            Ok(match &from {
                Some(from) => {
                    format!("{name} takes over from {from}: look at `rolecall connection difference`, then `rolecall connection live`\n")
                }
                None => format!("{name} takes over from nobody\n"),
            })
        })
    }
}

impl Moved {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<()> {
        let Self { which, csv, limit, after } = self;
        match page(which, "moved", csv, (limit, after.as_deref())).await? {
            Some(answer) => output.show(&answer, |_| Ok(shown(&answer))),
            None => Ok(()),
        }
    }
}

impl MoveBack {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<()> {
        let Self { which, yes } = self;
        let name = which.name().to_owned();
        let (api, tenant, id) = which.find().await?;
        let seen = api.get(&["tenants", &tenant, "connections", &id, "moved"], &[("limit", "1")]).await?;
        if !yes {
            output.print(&numbers(&seen["totals"]))?;
        }
        if !confirmed(yes, &format!("Let those go back who can, and put connection `{name}` of `{tenant}` into staging?"))? {
            return output.print("nothing was changed\n");
        }
        let answer = api.post(&["tenants", &tenant, "connections", &id, "move-back"], &json!({"digest": seen["digest"]})).await?;
        output.show(&answer, |paint| Ok(format!("{}{} is in staging\n", numbers(&answer), paint.strong(&name))))
    }
}

/// What becomes of people on the way back.
const WAYS: [(&str, &str); 6] = [
    ("goes", "go back with their accounts"),
    ("left", "have left since: they are not brought back"),
    ("deleted", "were deleted here"),
    ("deleted_there", "were deleted where they came from: they stay"),
    ("inactive_there", "are inactive where they came from: they stay"),
    ("elsewhere", "have another account by now: they stay"),
];

fn numbers(totals: &Value) -> String {
    let mut text = format!("{:>8}  people moved to this connection\n", totals["moved"].as_i64().unwrap_or(0));
    for (key, what) in WAYS {
        let number = totals["ways"][key].as_i64().unwrap_or(0);
        if number > 0 || key == "goes" {
            text += &format!("{number:>8}  {what}\n");
        }
    }
    text
}

fn shown(moved: &Value) -> String {
    let mut text = if moved["totals"].is_null() { String::new() } else { numbers(&moved["totals"]) };
    let mut table = render::table(["login name", "way back", "gains", "loses", "account", "person", "person there"]);
    for person in items(moved, "people") {
        table.add_row([
            word(&person["user_name"]),
            word(&person["way"]),
            roles(&person["gained"]),
            roles(&person["lost"]),
            word(&person["account"]),
            word(&person["user"]),
            word(&person["from_user"]),
        ]);
    }
    text += &format!("{table}\n");
    if !moved["next"].is_null() {
        text += &format!("there is more: `--after {}`, or everybody with `--csv`\n", word(&moved["next"]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_says_who_goes_and_who_stays() {
        let moved = json!({
            "totals": {"moved": 3, "ways": {"goes": 2, "left": 1}},
            "people": [{"user": "u1", "user_name": "ada", "account": "a1", "from": "c", "from_user": "o1", "way": "goes",
                        "gained": ["writer"], "lost": ["old"]}],
            "next": "u1",
        });
        let text = shown(&moved);
        for part in ["3  people moved", "2  go back", "1  have left since", "ada", "writer", "old", "--after u1"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("deleted"), "{text}");
    }
}
