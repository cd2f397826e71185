//! `rolecall connection dialects`: what a connection's client sends.

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
