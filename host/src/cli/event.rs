//! `rolecall events`: a tenant's history, as far as it is, or as it grows.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::connection::At;
use crate::cli::{Output, items, word};

/// How many events are asked for at once.
const PAGE: u32 = 500;
/// How often the server is asked for news: quick enough for a person, and nothing to the server.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Show a tenant's history, oldest first.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  rolecall events --tenant acme\n  rolecall events --tenant acme --after 1200 --follow\n\n\
    With --json, one JSON object a line.")]
pub struct Events {
    /// Only events after this sequence number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: i64,
    /// Go on as events happen, until interrupted
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    at: At,
}

impl Events {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let api = self.at.remote.connect()?;
        let limit = PAGE.to_string();
        let mut after = self.after;
        loop {
            let from = after.to_string();
            let answer = api.get(&["tenants", &self.at.tenant, "events"], &[("after", &from), ("limit", &limit)]).await?;
            let page = items(&answer, "events");
            for event in page {
                let line = if output.json { event.to_string() } else { sentence(event) };
                output.print(&(line + "\n"))?;
                after = after.max(event["seq"].as_i64().unwrap_or(after));
            }
            let more = !page.is_empty();
            if !more && !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
            if !more {
                tokio::time::sleep(FOLLOW_INTERVAL).await;
            }
        }
    }
}

/// An event on one line: number, time, what, whom, the facts, by whom.
fn sentence(event: &Value) -> String {
    let actor = &event["actor"];
    let data = if event["data"] == json!({}) { String::new() } else { word(&event["data"]) };
    format!(
        "{:>6}  {}  {:<22}  {}  {data}  by {} {}",
        word(&event["seq"]),
        word(&event["at"]),
        word(&event["kind"]),
        word(&event["account"]),
        word(&actor["kind"]),
        word(&actor["id"]),
    )
}
