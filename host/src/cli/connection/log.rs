//! `rolecall connection log`, `outcomes` and `refused`: what the requests of connections came to, what that means, and which credentials were
//! refused.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use super::{At, LOG_PAGE, Which};
use crate::cli::render::{self, Paint};
use crate::cli::{Output, items, when, word};
use crate::model::{Instant, OutcomeCode, catalogue};

/// How long a request of `--follow` waits for what is new, in seconds.
const FOLLOW_SECONDS: &str = "20";

/// Show what each request of the identity providers came to.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  rolecall connection log --tenant acme entra-id
  rolecall connection log --tenant acme --person ada@acme.example
  rolecall connection log --tenant acme --outcome refused --from 2026-11-01T00:00:00Z
  rolecall connection log --tenant acme --request 8f0c… --curl
  rolecall connection log --tenant acme entra-id --follow")]
pub struct Log {
    /// A connection's name or id [default: all of the tenant's]
    connection: Option<String>,
    /// Only about this person: account id, login name or SCIM id
    #[arg(long, value_name = "PERSON", conflicts_with = "group")]
    person: Option<String>,
    /// Only about this group: handle or SCIM id
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only of this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only those that ended so
    #[arg(long, value_name = "OUTCOME", value_parser = ["done", "refused", "failed"])]
    outcome: Option<String>,
    /// Only those that came to this: see `rolecall connection outcomes`
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Not before this instant; a date stands for its beginning, in UTC
    #[arg(long, value_name = "INSTANT", value_parser = when::instant)]
    from: Option<Instant>,
    /// Before this instant
    #[arg(long, value_name = "INSTANT", value_parser = when::instant)]
    until: Option<Instant>,
    /// Only entries after this position
    #[arg(long, value_name = "POSITION")]
    after: Option<i64>,
    /// Only entries before this position [default: the newest]
    #[arg(long, value_name = "POSITION", conflicts_with = "after")]
    before: Option<i64>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = LOG_PAGE, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Go on with what comes, until interrupted
    #[arg(long, conflicts_with_all = ["before", "until"])]
    follow: bool,
    /// Show each request for a terminal too, with its values gone
    #[arg(long)]
    curl: bool,
    #[command(flatten)]
    at: At,
}

/// Say what the outcomes in the log mean, and what to do.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  rolecall connection outcomes\n  rolecall connection outcomes no_target")]
pub struct Outcomes {
    /// One of them [default: all]
    code: Option<String>,
}

impl Log {
    /// Runs the command.
    ///
    /// # Errors
    /// The server's.
    pub async fn run(self, output: Output) -> anyhow::Result<()> {
        let (follow, curl, limit) = (self.follow, self.curl, self.limit.to_string());
        let (after, before) = (self.after.map(|at| at.to_string()), self.before.map(|at| at.to_string()));
        let wanted = [
            ("person", self.person),
            ("group", self.group),
            ("request", self.request),
            ("outcome", self.outcome),
            ("code", self.code),
            ("from", self.from.map(|at| at.to_string())),
            ("until", self.until.map(|at| at.to_string())),
            ("limit", Some(limit)),
        ];
        let (api, tenant, id) = match self.connection {
            Some(connection) => {
                let (api, tenant, id) = Which { connection, at: self.at }.find().await?;
                (api, tenant, Some(id))
            }
            None => (self.at.remote.connect()?, self.at.tenant, None),
        };
        let path = match &id {
            Some(id) => vec!["tenants", &tenant, "connections", id, "log"],
            None => vec!["tenants", &tenant, "log"],
        };
        let mut query: Vec<(&str, &str)> = wanted.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        let plain = query.len();
        query.extend(after.as_deref().map(|after| ("after", after)));
        query.extend(before.as_deref().map(|before| ("before", before)));
        let answer = api.get(&path, &query).await?;
        if !follow {
            return output.show(&answer, |paint| Ok(page(&answer, curl, paint)));
        }
        let mut answer = answer;
        let mut next = after.clone().unwrap_or_else(|| "0".to_owned());
        loop {
            for entry in items(&answer, "entries") {
                output.show(entry, |paint| Ok(sentence(entry, curl, paint)))?;
            }
            if let Some(on) = answer["next"].as_i64() {
                next = on.to_string();
            }
            query.truncate(plain);
            let tail = [("after", next.as_str()), ("wait", FOLLOW_SECONDS)];
            answer = api.get(&path, &[query.as_slice(), &tail].concat()).await?;
        }
    }
}

fn page(answer: &Value, curl: bool, paint: Paint) -> String {
    let mut text: String = items(answer, "entries").iter().map(|entry| sentence(entry, curl, paint)).collect();
    if let Some(before) = answer["previous"].as_i64() {
        text.push_str(&format!("There is more before: `--before {before}`.\n"));
    }
    text
}

/// An entry on one line; what it led to, and the request, on lines below.
fn sentence(entry: &Value, curl: bool, paint: Paint) -> String {
    let done = &entry["operations"];
    let counts: Vec<String> = [("applied", "applied"), ("no_op", "no-op"), ("refused", "refused")]
        .into_iter()
        .filter(|(key, _)| done[*key].as_i64().unwrap_or(0) > 0)
        .map(|(key, shown)| format!("{} {shown}", done[key]))
        .collect();
    let why: Vec<String> = ["scim_type", "reason"].into_iter().filter(|key| !entry[*key].is_null()).map(|key| word(&entry[key])).collect();
    let code = word(&entry["code"]);
    let shown = match entry["outcome"].as_str() {
        Some("done") => paint.good(&format!("{code:<20}")),
        _ => paint.bad(&format!("{code:<20}")),
    };
    let line = format!(
        "{:>8}  {}  {:<6}  {:<5}  {:<36}  {}  {shown}  {:<12}  {} ms  {}  {}",
        word(&entry["position"]),
        word(&entry["at"]),
        word(&entry["method"]),
        word(&entry["resource_type"]),
        word(&entry["resource"]),
        word(&entry["status"]),
        counts.join(", "),
        word(&entry["took_ms"]),
        word(&entry["request_id"]),
        why.join(": "),
    );
    let mut text = format!("{}\n", line.trim_end());
    let led = led(&entry["led"]);
    if !led.is_empty() {
        text.push_str(&format!("          led to: {}\n", led.join("; ")));
    }
    if let (true, Some(request)) = (curl, entry["curl"].as_str()) {
        text.push_str(&format!("          {}\n", word(&Value::from(request))));
    }
    text
}

/// What a write led to, in parts of a sentence.
fn led(led: &Value) -> Vec<String> {
    let names = |key: &str| items(led, key).iter().map(word).collect::<Vec<_>>().join(", ");
    let mut parts = Vec::new();
    for (key, shown) in [("gained", "gains"), ("lost", "loses")] {
        if !items(led, key).is_empty() {
            parts.push(format!("{shown} {}", names(key)));
        }
    }
    for (key, shown) in [("people", "decided"), ("held", "held or waiting for a yes"), ("pending", "left to be decided")] {
        if led[key].as_u64().unwrap_or(0) > 0 {
            parts.push(format!("{} {shown}", led[key]));
        }
    }
    parts
}

/// Says what outcomes mean: the list is the server's own.
///
/// # Errors
/// For a word that is none.
pub fn outcomes(command: &Outcomes, output: Output) -> anyhow::Result<ExitCode> {
    let wanted = match &command.code {
        None => None,
        Some(code) => match OutcomeCode::from_word(code) {
            Some(code) => Some(code),
            None => bail!("there is no outcome `{code}`: see `rolecall connection outcomes`"),
        },
    };
    let found: Vec<_> = catalogue().into_iter().filter(|known| wanted.is_none_or(|code| code == known.code)).collect();
    output.show(&json!({"outcomes": found}), |paint| {
        let sentence = |known: &crate::model::Explained| {
            format!("{} ({})\n  {}\n  What to do: {}\n", paint.strong(known.code.word()), known.class, known.meaning, known.to_do)
        };
        Ok(found.iter().map(sentence).collect())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the credentials that were refused.
///
/// # Errors
/// The server's.
pub async fn refused(which: Which, output: Output) -> anyhow::Result<()> {
    let (api, tenant, id) = which.find().await?;
    let answer = api.get(&["tenants", &tenant, "connections", &id, "refused-credentials"], &[]).await?;
    output.show(&answer, |paint| {
        if items(&answer, "refused").is_empty() {
            return Ok("No credential was refused.\n".to_owned());
        }
        let mut text = String::new();
        for refused in items(&answer, "refused") {
            let heading = format!("{}, {} times, last at {}", word(&refused["form"]), word(&refused["seen"]), word(&refused["last_seen"]));
            text.push_str(&format!("{}\n", paint.strong(&heading)));
            let mut table = render::table(["check", "passed", "expected", "received"]);
            for check in items(refused, "checks") {
                table.add_row([word(&check["check"]), word(&check["passed"]), word(&check["expected"]), word(&check["received"])]);
            }
            text.push_str(&format!("{table}\n"));
        }
        Ok(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_line_with_what_it_led_to() {
        let entry = json!({
            "position": 7, "at": "2026-11-27T10:00:00Z", "method": "PATCH", "resource_type": "User", "resource": "u1", "status": 200,
            "outcome": "done", "code": "applied", "operations": {"applied": 2, "no_op": 1, "refused": 0}, "took_ms": 1.5, "request_id": "r1",
            "scim_type": null, "reason": null, "curl": "curl -X PATCH 'x'",
            "led": {"gained": ["vpn"], "lost": [], "people": 1, "held": 0, "pending": 0},
        });
        let text = sentence(&entry, true, Paint::default());
        assert!(text.contains("2 applied, 1 no-op") && text.contains("1.5 ms  r1"), "{text}");
        assert!(text.contains("led to: gains vpn; 1 decided\n          curl -X PATCH 'x'\n"), "{text}");
    }
}
