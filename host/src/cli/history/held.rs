//! `rolecall history who-had` and `roles-of`: who held what, and why, as a table, as CSV and as JSON.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::account::reasons;
use crate::cli::connection::At;
use crate::cli::{Output, items, render, when, word};
use crate::spreadsheet::defused;

/// What is asked for at once.
const PAGE: u32 = 1_000;
/// The columns of the CSV.
const COLUMNS: [&str; 11] =
    ["account", "user_name", "role", "state", "since", "until", "held_since", "revision", "policies", "reasons", "evidence"];

/// At which time, and how it is shown.
#[derive(clap::Args)]
struct Asked {
    /// A date, which is the whole day, or an instant (`2026-09-21T14:00:00Z`)
    #[arg(long = "at", value_name = "DATE")]
    when: String,
    /// The time zone of a date [default: UTC]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Answer in CSV, for spreadsheets
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    at: At,
}

/// Say who had a role at some time, and why.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  rolecall history who-had deployer --tenant acme --at 2026-09-21\n  \
    rolecall history who-had deployer --tenant acme --at 2026-09-21 --zone Europe/Berlin \\\n      --csv > deployers.csv")]
pub struct WhoHad {
    /// The role
    role: String,
    #[command(flatten)]
    asked: Asked,
}

/// Say which roles an account had at some time, what state it was in, and why.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  rolecall history roles-of ada.okonkwo@acme.example --tenant acme --at 2026-09-21T14:00:00Z")]
pub struct RolesOf {
    /// The account's id or login name
    account: String,
    #[command(flatten)]
    asked: Asked,
}

impl WhoHad {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<()> {
        self.asked.run(&["history", "roles", &self.role], output).await
    }
}

impl RolesOf {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<()> {
        self.asked.run(&["accounts", &self.account, "roles"], output).await
    }
}

impl Asked {
    async fn run(self, below: &[&str], output: Output) -> anyhow::Result<()> {
        let when = when::read(&self.when, self.zone.as_deref())?;
        let api = self.at.remote.connect()?;
        let (from, to, limit) = (when.at.to_string(), when.to.map(|to| to.to_string()), PAGE.to_string());
        let segments = [&["tenants", self.at.tenant.as_str()][..], below].concat();
        let (mut held, mut after) = (Vec::new(), "0".to_owned());
        let sealed = loop {
            let mut query = vec![("at", from.as_str()), ("limit", &limit), ("after", &after)];
            query.extend(to.as_deref().map(|to| ("to", to)));
            let page = api.get(&segments, &query).await?;
            held.extend(items(&page, "held").iter().cloned());
            match page["next"].as_i64() {
                Some(next) => after = next.to_string(),
                None => break page["sealed"].clone(),
            }
        };
        if self.csv {
            return output.print(&csv_of(&held)?);
        }
        let zone = when.to.map(|_| self.zone.as_deref().unwrap_or("UTC"));
        let answer = json!({"at": from, "to": to, "zone": zone, "sealed": sealed, "held": held});
        output.show(&answer, |_| Ok(format!("{}, by the events up to {}\n{}\n", when.words, word(&sealed), table(&held))))
    }
}

fn table(held: &[Value]) -> comfy_table::Table {
    let mut table = render::table(["account", "role", "state", "since", "until", "because", "events"]);
    for held in held {
        let name = if held["user_name"].is_null() { &held["account"] } else { &held["user_name"] };
        table.add_row([
            word(name),
            word(&held["role"]),
            word(&held["state"]),
            word(&held["since"]),
            word(&held["until"]),
            because(held).join("\n"),
            evidence(held),
        ]);
    }
    table
}

fn because(held: &Value) -> Vec<String> {
    let note = held["note"].as_str().map(|note| word(&Value::from(note)));
    reasons(&held["reasons"]).into_iter().chain(note).collect()
}

fn evidence(held: &Value) -> String {
    items(held, "evidence").iter().map(word).collect::<Vec<_>>().join(" ")
}

fn csv_of(held: &[Value]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).context("the table can't be written")?;
    for held in held {
        let plain = |name: &str| if held[name].is_null() { String::new() } else { word(&held[name]) };
        let policies: Vec<String> = items(held, "reasons").iter().map(|reason| word(&reason["policy"])).collect();
        let row = ["account", "user_name", "role", "state", "since", "until", "held_since", "revision"].map(plain);
        let rest = [policies.join(" "), because(held).join("; "), evidence(held)];
        writer.write_record(row.iter().chain(&rest).map(|cell| defused(cell))).context("the table can't be written")?;
    }
    let bytes = writer.into_inner().context("the table can't be written")?;
    String::from_utf8(bytes).context("the table is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let held = json!({"account": "=1+1", "user_name": "@SUM(a)", "role": "-dev", "state": "effective", "since": "2026-09-21T14:13:20.000Z",
                          "reasons": [{"policy": "p", "reason": "+\"x\", y", "groups": []}], "evidence": [1, 2]});
        let text = csv_of(&[held]).unwrap();
        let row = text.lines().nth(1).unwrap();
        assert!(row.starts_with("'=1+1,'@SUM(a),'-dev,effective,2026-09-21T14:13:20.000Z,,,,p,"), "{text}");
        assert!(row.ends_with(",1 2"), "{text}");
        assert!(csv_of(&[]).unwrap().starts_with("account,user_name,role"));
    }
}
