//! `rolecall connection difference`, `live` and `adopt`: what a connection changes when it goes live, and who adopts what.

use serde_json::{Value, json};

use super::{Which, page, roles};
use crate::cli::client::Api;
use crate::cli::{Output, confirmed, items, render, word};

/// Lines that are shown: a few screens. The CSV has them all.
const PAGE: u32 = 100;

/// What a connection in staging changes when it goes live.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  rolecall connection difference --tenant acme entra-id\n  rolecall connection difference --tenant acme entra-id --csv > difference.csv"
)]
pub struct Difference {
    #[command(flatten)]
    which: Which,
    /// All lines, as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// How many lines
    #[arg(long, value_name = "N", default_value_t = PAGE, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on behind this place
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
}

/// Whose an account is that is there already.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  rolecall connection adopt --tenant acme entra-id ada@acme.example --account ada \\\n    --reason 'the same person'\n  \
                        rolecall connection adopt --tenant acme entra-id bob@acme.example --new --reason 'a namesake'"
)]
pub struct Adopt {
    #[command(flatten)]
    which: Which,
    /// The person, by login name or SCIM id, as `rolecall connection difference` shows them
    person: String,
    /// The account that they adopt or take over, by id or login name
    #[arg(long, value_name = "ACCOUNT", required_unless_present = "new", conflicts_with = "new")]
    account: Option<String>,
    /// Theirs is a new account
    #[arg(long)]
    new: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Difference {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<()> {
        let Self { which, csv, limit, after } = self;
        match page(which, "difference", csv, (limit, after.as_deref())).await? {
            Some(answer) => output.show(&answer, |_| Ok(shown(&answer))),
            None => Ok(()),
        }
    }
}

impl Adopt {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<()> {
        let Self { which, person, account, new: _, reason } = self;
        let (api, tenant, id) = which.find().await?;
        let user = user_of(&api, (&tenant, &id), &person).await?;
        let adopted = match &account {
            Some(account) => api.get(&["tenants", &tenant, "accounts", account], &[]).await?["id"].clone(),
            None => Value::Null,
        };
        let path = ["tenants", &tenant, "connections", &id, "adoptions", &user];
        let answer = api.put(&path, &json!({"account": adopted, "reason": reason})).await?;
        output.show(&answer, |_| {
            let whose = account.map_or_else(|| "a new one".to_owned(), |account| format!("account {account}"));
            Ok(format!("the account of {person} is {whose}\n"))
        })
    }
}

/// The SCIM id of somebody who waits for a word, who is named by that or by the login name: names are those of the difference, because a staged
/// person's may be another account's as well.
async fn user_of(api: &Api, (tenant, connection): (&str, &str), person: &str) -> anyhow::Result<String> {
    if uuid::Uuid::try_parse(person).is_ok() {
        return Ok(person.to_owned());
    }
    let path = ["tenants", tenant, "connections", connection, "difference"];
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let query = [("limit", "500")].into_iter().chain(after.as_deref().map(|after| ("after", after))).collect::<Vec<_>>();
        let page = api.get(&path, &query).await?;
        let named = |line: &&Value| line["user_name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(person));
        found.extend(items(&page, "lines").iter().filter(named).filter_map(|line| line["user"].as_str().map(str::to_owned)));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    match found.as_slice() {
        [user] => Ok(user.clone()),
        [] => anyhow::bail!("nobody with the login name `{person}` is in the difference: see `rolecall connection difference`"),
        many => anyhow::bail!("several people have the login name `{person}`: name one by id, {}", many.join(" or ")),
    }
}

/// Shows the numbers, asks, and goes live with what was seen.
pub(super) async fn live(which: Which, yes: bool, output: Output) -> anyhow::Result<()> {
    let name = which.name().to_owned();
    let (api, tenant, id) = which.find().await?;
    let (digest, totals) = seen(&api, &tenant, &id).await?;
    if !yes {
        output.print(&numbers(&totals))?;
    }
    if !confirmed(yes, &format!("Let connection `{name}` of `{tenant}` go live with that?"))? {
        return output.print("nothing was changed\n");
    }
    let answer = api.post(&["tenants", &tenant, "connections", &id, "live"], &json!({"digest": digest})).await?;
    output.show(&answer, |paint| Ok(format!("{}{} is live: what was staged is being decided\n", numbers(&answer), paint.strong(&name))))
}

async fn seen(api: &Api, tenant: &str, id: &str) -> anyhow::Result<(String, Value)> {
    let answer = api.get(&["tenants", tenant, "connections", id, "difference"], &[("limit", "1")]).await?;
    anyhow::ensure!(!answer["totals"].is_null(), "the connection is not in staging: it is live already");
    Ok((word(&answer["digest"]), answer["totals"].clone()))
}

/// What the numbers are called.
const NUMBERS: [(&str, &str); 14] = [
    ("people", "people of the connection"),
    ("new", "new accounts"),
    ("adopted", "imported accounts that are adopted"),
    ("moved", "people who keep the account that they have through the connection that is taken over"),
    ("in_use", "have an account in use here already"),
    ("doubts", "doubts: held until a person decides (`rolecall connection adopt`)"),
    ("collisions", "collisions: held, another account has the name"),
    ("refused", "refused by the mapping"),
    ("out_of_scope", "out of scope"),
    ("inactive", "inactive, without an account to lose"),
    ("undecided", "not decided yet"),
    ("leftovers", "imported accounts that are nobody's: they stay as they are"),
    ("protected", "protected accounts: left alone"),
    ("stays", "accounts of the connection that is taken over that are nobody's here: they stay with it"),
];

fn numbers(totals: &Value) -> String {
    let mut text = String::new();
    for (key, what) in NUMBERS {
        let number = totals[key].as_i64().unwrap_or(0);
        if number > 0 || matches!(key, "people" | "new" | "adopted") {
            text += &format!("{number:>8}  {what}\n");
        }
    }
    for (key, verb) in [("gained", "gain"), ("lost", "lose")] {
        for (role, number) in totals[key].as_object().into_iter().flatten() {
            text += &format!("{:>8}  {verb} {}\n", number.as_i64().unwrap_or(0), word(&Value::from(role.as_str())));
        }
    }
    text
}

fn shown(difference: &Value) -> String {
    let mut text = if difference["totals"].is_null() { String::new() } else { numbers(&difference["totals"]) };
    let mut table = render::table(["login name", "what", "account", "gains", "loses", "person"]);
    for line in items(difference, "lines") {
        let candidates = items(line, "candidates").iter().map(|candidate| {
            let by = items(candidate, "by").iter().map(word).collect::<Vec<_>>().join(", ");
            format!("{} ({by})", word(&candidate["account"]))
        });
        let candidates = candidates.collect::<Vec<_>>().join("\n");
        let account = match line["fate"].as_str() {
            Some("doubt" | "adopted" | "moved") => candidates,
            Some("collision") => format!("{} has the name", word(&line["holder"])),
            Some("refused" | "out_of_scope") => word(&line["note"]["message"]),
            _ => word(&line["account"]),
        };
        table.add_row([
            word(&line["user_name"]),
            word(&line["fate"]),
            account,
            roles(&line["gained"]),
            roles(&line["lost"]),
            word(&line["user"]),
        ]);
    }
    text += &format!("{table}\n");
    if !difference["next"].is_null() {
        text += &format!("there is more: `--after {}`, or all of it with `--csv`\n", word(&difference["next"]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_who_and_what() {
        let difference = json!({
            "totals": {"people": 3, "new": 1, "adopted": 1, "doubts": 1, "collisions": 0, "gained": {"writer": 2}, "lost": {"old": 1}},
            "lines": [
                {"user": "u1", "user_name": "ada", "fate": "adopted", "account": "a1", "gained": ["writer"], "lost": ["old"],
                 "candidates": [{"account": "a1", "by": ["user_name", "email"]}]},
                {"user": "u2", "user_name": "bob", "fate": "collision", "account": "x", "holder": "a2", "gained": [], "lost": [], "candidates": []},
            ],
            "next": "people.u2",
        });
        let text = shown(&difference);
        for part in ["1  new accounts", "2  gain writer", "1  lose old", "a1 (user_name, email)", "a2 has the name", "--after people.u2"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("collisions"), "{text}");
    }
}
