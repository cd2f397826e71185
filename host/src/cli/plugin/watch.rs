//! `rolecall plugin failures` and `rolecall plugin logs`: what plugins do in production.

use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;

use super::question;
use crate::cli::connection::At;
use crate::cli::render::{self, Paint};
use crate::cli::{Output, items, word};
use crate::model::Frame;
use crate::plugins::PluginFault;

/// How many are shown unless asked for otherwise: a screen.
const PAGE: u32 = 50;
/// How many lines are asked for at once while following.
const FOLLOW_PAGE: &str = "1000";
/// How often the server is asked for news: as often as it writes them.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// What a plugin is asked for.
const HOOKS: [&str; 2] = ["transform-user", "propose-roles"];

/// Which people and plugins.
#[derive(clap::Args)]
pub struct Filter {
    /// Only of this hook: transform-user or propose-roles
    #[arg(long, value_name = "HOOK", value_parser = HOOKS, hide_possible_values = true)]
    hook: Option<String>,
    /// Only of the plugin with this name or digest
    #[arg(long, value_name = "NAME|DIGEST")]
    plugin: Option<String>,
    /// Only about the person with this SCIM id
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only of this instant or later
    #[arg(long, value_name = "RFC3339")]
    since: Option<jiff::Timestamp>,
    /// Only of before this instant
    #[arg(long, value_name = "RFC3339")]
    until: Option<jiff::Timestamp>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = PAGE, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

impl Filter {
    /// The query's parameters.
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("hook", self.hook.clone()),
            ("plugin", self.plugin.clone()),
            ("user", self.user.clone()),
            ("since", self.since.map(|at| at.to_string())),
            ("until", self.until.map(|at| at.to_string())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn borrowed<'a>(pairs: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    pairs.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Which failures.
#[derive(clap::Args)]
pub struct Failures {
    /// A failure's id
    id: Option<String>,
    /// Only with this code: trap, fuel, memory, invalid_answer …
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Only those before this one, which the end of a list names
    #[arg(long, value_name = "N")]
    before: Option<i64>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    at: At,
}

impl Failures {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let api = self.at.remote.connect()?;
        if let Some(id) = &self.id {
            let answer = api.get(&["tenants", &self.at.tenant, "plugins", "failures", id], &[]).await?;
            output.show(&answer, |paint| Ok(details(&answer, paint)))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut pairs = self.filter.pairs();
        pairs.extend(self.code.clone().map(|code| ("code", code)));
        pairs.extend(self.before.map(|before| ("before", before.to_string())));
        pairs.push(("limit", self.filter.limit.to_string()));
        let answer = api.get(&["tenants", &self.at.tenant, "plugins", "failures"], &borrowed(&pairs)).await?;
        output.show(&answer, |paint| {
            let mut table = render::table(["id", "last seen", "times", "plugin", "hook", "code", "account", "message"]);
            for failure in items(&answer, "failures") {
                let cells = ["id", "last_at", "times", "plugin", "hook", "code", "account", "message"];
                table.add_row(cells.map(|cell| word(&failure[cell])));
            }
            if table.is_empty() {
                return Ok(paint.faint(&none_with(self.code.as_deref())) + "\n");
            }
            let more = answer["next"].as_i64().map(|next| format!("more: --before {next}\n")).unwrap_or_default();
            Ok(format!("{table}\n{more}"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// That there is none. A word that no fault has may be one of the plugin's own, as refusals have, or mistaken.
fn none_with(code: Option<&str>) -> String {
    match code.filter(|code| !PluginFault::CODES.contains(code)) {
        Some(code) => {
            let known = PluginFault::CODES.join("`, `");
            format!("no failure: faults have the codes `{known}`, and `{code}` is none of them; a refusal has one of the plugin's own")
        }
        None => "no failure".to_owned(),
    }
}

/// A failure, a fact a line.
pub(super) fn details(failure: &Value, paint: Paint) -> String {
    let headline =
        format!("{} `{}` of {} in {}", word(&failure["kind"]), word(&failure["code"]), word(&failure["plugin"]), word(&failure["hook"]));
    let mut text = format!("{}: {}\n", paint.bad(&headline), word(&failure["message"]));
    let limit = &failure["limit"];
    let met = if limit.is_null() { String::new() } else { format!("used {}, allowed {}", word(&limit["used"]), word(&limit["allowed"])) };
    let spent = &failure["spent"];
    let facts = [
        (
            "seen",
            format!("{} times, last at {}, first at {}", word(&failure["times"]), word(&failure["last_at"]), word(&failure["first_at"])),
        ),
        ("path", word(&failure["path"])),
        ("limit", met),
        ("spent", format!("{} fuel, {} bytes of memory, {} µs", spent["fuel"], spent["memory_bytes"], spent["wall_clock_us"])),
        ("person", format!("account {}, user {}", word(&failure["account"]), word(&failure["user"]))),
        ("revision", word(&failure["revision"])),
        ("forgotten", word(&failure["expires"])),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty() && fact != "–") {
        text += &format!("{name:<10} {fact}\n");
    }
    for frame in items(failure, "backtrace").iter().filter_map(|frame| Frame::deserialize(frame).ok()) {
        text += &format!("{:<10} {}\n", "in", word(&Value::from(question::place(&frame))));
    }
    for line in items(failure, "logs") {
        text += &paint.faint(&format!("{:<10} {}: {}\n", "logged", word(&line["level"]), word(&line["message"])));
    }
    match (&failure["input"], failure["input_missing"].as_str()) {
        (_, Some(why)) => text += &format!("{:<10} not kept: {why}\n", "input"),
        (Value::Null, None) => {}
        (input, None) => {
            text += &format!("{input:#}\n");
            let masked: Vec<String> = items(input, "masked").iter().map(word).collect();
            if !masked.is_empty() {
                text += &paint.faint(&format!("masked: {}\n", masked.join(", ")));
            }
        }
    }
    text
}

/// Which lines.
#[derive(clap::Args)]
pub struct Logs {
    /// Only lines of this level or a more urgent one: debug, info, warn, error
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// Go on as lines come, until interrupted
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    at: At,
}

impl Logs {
    pub(super) async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let api = self.at.remote.connect()?;
        let mut base = self.filter.pairs();
        base.extend(self.level.map(|level| ("level", level)));
        let mut place = vec![("limit", self.filter.limit.to_string())];
        loop {
            let pairs: Vec<_> = base.iter().chain(&place).cloned().collect();
            let answer = api.get(&["tenants", &self.at.tenant, "plugins", "logs"], &borrowed(&pairs)).await?;
            for line in items(&answer, "lines") {
                let shown = if output.json { line.to_string() } else { sentence(line, output.paint) };
                output.print(&(shown + "\n"))?;
            }
            if !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
            match answer["next"].as_i64() {
                Some(next) => place = vec![("after", next.to_string()), ("limit", FOLLOW_PAGE.to_owned())],
                // Nothing yet: from the beginning of what comes.
                None if place.len() == 1 => place = vec![("after", "0".to_owned()), ("limit", FOLLOW_PAGE.to_owned())],
                None => {}
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }
}

/// A line that was logged, on one line.
fn sentence(line: &Value, paint: Paint) -> String {
    let level = format!("{:<5}", word(&line["level"]));
    let level = match line["level"].as_str() {
        Some("warn" | "error") => paint.bad(&level),
        _ => paint.faint(&level),
    };
    let about = paint.faint(&format!("{} {} user {}", word(&line["plugin"]), word(&line["hook"]), word(&line["user"])));
    format!("{}  {level}  {}  {about}", word(&line["at"]), word(&line["message"]))
}
