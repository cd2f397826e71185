//! `rolecall connection dialects` and `rolecall connection log`: what a connection's client sends, and what came of it.

use serde_json::Value;

use super::Which;
use crate::cli::{Output, items, render, word};

/// Shows the client quirks that were met.
///
/// # Errors
/// The server's.
pub async fn dialects(which: Which, output: Output) -> anyhow::Result<()> {
    let (api, tenant, id) = which.find().await?;
    let answer = api.get(&["tenants", &tenant, "connections", &id, "dialects"], &[]).await?;
    output.show(&answer, |_| {
        let mut table = render::table(["quirk", "seen", "handled", "last seen", "known of", "example"]);
        for known in items(&answer, "dialects") {
            let clients: Vec<String> = items(known, "clients").iter().map(word).collect();
            table.add_row([
                word(&known["quirk"]),
                word(&known["seen"]),
                word(&known["handled"]),
                word(&known["last_seen"]),
                clients.join(", "),
                word(&known["example"]),
            ]);
        }
        Ok(format!("{table}\n"))
    })
}

/// Shows entries of the provisioning log.
///
/// # Errors
/// The server's.
pub async fn log(which: Which, after: Option<i64>, limit: u32, output: Output) -> anyhow::Result<()> {
    let (api, tenant, id) = which.find().await?;
    let (after, limit) = (after.map(|after| after.to_string()), limit.to_string());
    let query: Vec<(&str, &str)> = after.as_deref().map(|after| ("after", after)).into_iter().chain([("limit", &*limit)]).collect();
    let answer = api.get(&["tenants", &tenant, "connections", &id, "log"], &query).await?;
    output.show(&answer, |_| Ok(items(&answer, "entries").iter().map(sentence).collect()))
}

/// An entry on one line.
fn sentence(entry: &Value) -> String {
    let done = &entry["operations"];
    let counts: Vec<String> = [("applied", "applied"), ("no_op", "no-op"), ("refused", "refused")]
        .into_iter()
        .filter(|(key, _)| done[*key].as_i64().unwrap_or(0) > 0)
        .map(|(key, shown)| format!("{} {shown}", done[key]))
        .collect();
    let why: Vec<String> = ["scim_type", "reason"].into_iter().filter(|key| !entry[*key].is_null()).map(|key| word(&entry[key])).collect();
    let line = format!(
        "{:>8}  {}  {:<6}  {:<5}  {:<36}  {}  {:<12}  {}  {}",
        word(&entry["position"]),
        word(&entry["at"]),
        word(&entry["method"]),
        word(&entry["resource_type"]),
        word(&entry["resource"]),
        word(&entry["status"]),
        counts.join(", "),
        word(&entry["request_id"]),
        why.join(": "),
    );
    format!("{}\n", line.trim_end())
}
