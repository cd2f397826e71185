//! Plays case files at `rolecall dev`, each file at a server of its own: `scripts/replay-cases [FILE…]`.
//!
//! Also an example of pointing a SCIM client at Rolecall in one step: the server's first line says all that it needs.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use rolecall_tests::process::Dev;
use rolecall_tests::{Client, cases};
use serde_json::Value;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        bail!("name the case files to play");
    }
    let mut failed = 0;
    for file in &files {
        let text = std::fs::read_to_string(file).with_context(|| format!("`{file}` can't be read"))?;
        let suite: Value = serde_json::from_str(&text).with_context(|| format!("`{file}` is no JSON"))?;
        // Two servers: the second stands for another tenant, for cases that try to cross.
        let (own, other) = (Dev::start(&[]).await, Dev::start(&[]).await);
        let report = cases::play(&suite, &client(&own)?, Some(&client(&other)?)).await;
        println!("{:4} passed {:4} failed  {file}", report.passed, report.failed.len());
        for failure in &report.failed {
            println!("  {failure}");
        }
        failed += report.failed.len();
        own.stop().await;
        other.stop().await;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn client(dev: &Dev) -> anyhow::Result<Client> {
    let text = |key: &str| dev.first_line[key].as_str().map(str::to_owned).with_context(|| format!("the first line has no `{key}`"));
    Ok(Client::scim(text("base_url")?, text("token")?))
}
