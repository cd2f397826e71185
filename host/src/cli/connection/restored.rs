//! `rolecall connection restored` and `release`: connections that came back with a backup.

use serde_json::{Value, json};

use super::Which;
use crate::cli::{Output, items, render, word};

/// Shows who stands as they did in the backup.
pub async fn show(which: Which, output: Output) -> anyhow::Result<()> {
    let (api, tenant, id) = which.find().await?;
    let path = ["tenants", &tenant, "connections", &id, "restored"];
    let mut people: Vec<Value> = Vec::new();
    let mut after = String::new();
    let restored = loop {
        let query: &[(&str, &str)] = if after.is_empty() { &[] } else { &[("after", &after)] };
        let page = api.get(&path, query).await?;
        people.extend_from_slice(items(&page, "untouched"));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break page["restored"].clone(),
        }
    };
    let answer = json!({"restored": restored, "untouched": people});
    output.show(&answer, |_| {
        let mut text = format!(
            "restored at {} from a backup of {}\n{} people stand as they did then; whoever of them has left since is still active:\n",
            word(&restored["at"]),
            word(&restored["backup_at"]),
            people.len()
        );
        let mut table = render::table(["user name", "id"]);
        for person in &people {
            table.add_row([word(&person["user_name"]), word(&person["id"])]);
        }
        text.push_str(&format!("{table}\nOnce those who left are out, `rolecall connection release` lets gains take effect.\n"));
        Ok(text)
    })
}

/// Releases it.
pub async fn release(which: Which, reason: &str, output: Output) -> anyhow::Result<()> {
    let name = which.name().to_owned();
    let (api, tenant, id) = which.find().await?;
    let answer = api.post(&["tenants", &tenant, "connections", &id, "release"], &json!({"reason": reason})).await?;
    output.show(&answer, |paint| Ok(format!("{} is released: what waited since the restore is being decided\n", paint.strong(&name))))
}
