//! `rolecall connection health`: how a connection is, and by which measures.

use serde_json::{Value, json};

use super::Which;
use crate::cli::{Output, items, render, word};
use crate::config::ConfigError;
use crate::model::HealthSettings;

/// How a connection is, or by which measures it is judged.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  rolecall connection health --tenant acme entra-id\n  rolecall connection health --tenant acme entra-id --set silence_minutes=90\n  rolecall connection health --tenant acme entra-id --set 'without=[\"throughput\"]'\n  rolecall connection health --tenant acme entra-id --reset"
)]
pub struct Health {
    #[command(flatten)]
    which: Which,
    /// Set a measure, `field=value`; the others stay
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Go back to the usual measures
    #[arg(long, conflicts_with = "set")]
    reset: bool,
}

/// Carries it out.
pub async fn run(command: Health, output: Output) -> anyhow::Result<()> {
    let Health { which, set, reset } = command;
    let measures = set.iter().map(|pair| measure(pair)).collect::<Result<Vec<_>, _>>()?;
    let (api, tenant, id) = which.find().await?;
    let path = ["tenants", &tenant, "connections", &id, "health"];
    let settings = [path.as_slice(), &["settings"]].concat();
    if reset {
        api.delete(&settings).await?;
    }
    let mut answer = api.get(&path, &[]).await?;
    if !set.is_empty() {
        let mut wanted = answer["settings"].clone();
        for (field, value) in measures {
            wanted[field] = value;
        }
        api.put(&settings, &wanted).await?;
        answer = api.get(&path, &[]).await?;
    }
    output.show(&answer, |paint| {
        let state = word(&answer["state"]);
        let mut text = format!("{}  since {}\n", paint.strong(&state), word(&answer["since"]));
        text.push_str(&format!("last seen  {}\nrhythm     {}\n", word(&answer["last_seen"]), rhythm(&answer)));
        if !items(&answer, "evidence").is_empty() {
            let mut table = render::table(["rule", "state", "since", "what was seen"]);
            for found in items(&answer, "evidence") {
                table.add_row([word(&found["rule"]), word(&found["state"]), word(&found["since"]), word(&found["detail"])]);
            }
            text.push_str(&format!("{table}\n"));
        }
        if reset && set.is_empty() {
            text.push_str("No measure is set any more: those that come with Rolecall hold.\n");
        } else if !set.is_empty() {
            text.push_str("The measures are set; `--json` shows them.\n");
        }
        Ok(text)
    })
}

/// A measure as the command line gives it, if there is such a one.
fn measure(pair: &str) -> Result<(&str, Value), ConfigError> {
    let refused = |why: &dyn std::fmt::Display| ConfigError::Argument { name: "--set", problem: format!("is `{pair}`: {why}") };
    let (field, value) = pair.split_once('=').ok_or_else(|| refused(&"a measure is `field=value`"))?;
    // What is no JSON is text.
    let (field, value) = (field.trim(), serde_json::from_str(value).unwrap_or_else(|_| json!(value)));
    serde_json::from_value::<HealthSettings>(json!({field: value})).map_err(|error| refused(&error))?;
    Ok((field, value))
}

fn rhythm(answer: &Value) -> String {
    match (answer["rhythm"].as_str(), answer["silent_until"].as_str()) {
        (Some(rhythm), Some(until)) => format!("{rhythm}; silence is a stall from {until}"),
        (None, Some(until)) => format!("set; silence is a stall from {until}"),
        _ => "still being learned".to_owned(),
    }
}
