//! `rolecall tenant simulate`, `shadow`, `trial`: what a folder would make different, before it does.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Deployed, active, broken, encoded};
use crate::cli::client::Api;
use crate::cli::connection::At;
use crate::cli::render::{self, Paint};
use crate::cli::{EXIT_FOUND, Output, items, word, written};
use crate::revision;

/// How often a simulation's progress is asked for.
const POLL: Duration = Duration::from_millis(200);
/// How many people are shown after a simulation; the rest is asked for.
const SHOWN: &str = "20";

/// A simulation of a folder.
#[derive(clap::Args)]
pub struct Simulate {
    #[command(flatten)]
    deployed: Deployed,
    /// Only people of this connection (id or name); may be given several times
    #[arg(long = "connection", value_name = "CONNECTION")]
    connections: Vec<String>,
    /// Only people in this group, by handle; may be given several times
    #[arg(long = "group", value_name = "HANDLE")]
    groups: Vec<String>,
    /// Only this person (account id, SCIM id or login name); may be given several times
    #[arg(long = "person", value_name = "PERSON")]
    people: Vec<String>,
    /// Write what differs for whom into this file: as CSV if it ends so, else as JSON Lines
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

/// A folder that goes along.
#[derive(clap::Args)]
pub struct Shadow {
    #[command(flatten)]
    deployed: Deployed,
    /// The share of the people that are asked about; always the same ones
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    percent: u8,
    /// When it ends by itself
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
    hours: u32,
}

/// What was tried out.
#[derive(clap::Subcommand)]
pub enum Trials {
    /// List the tenant's trials, newest first
    List(At),
    /// Show how far a trial is and what it came to
    Show(One),
    /// Show what a trial would make different, person by person
    #[command(after_help = "Example:\n  rolecall tenant trial differences --tenant acme ID --kind out_of_scope")]
    Differences(Differences),
    /// Write what a trial would make different: everything as JSON Lines, or CSV with a row for each role of a person that changes
    #[command(after_help = "Example:\n  rolecall tenant trial export --tenant acme ID --csv > differences.csv")]
    Export(Export),
    /// End a trial before its time
    Stop(One),
}

/// A trial.
#[derive(clap::Args)]
pub struct One {
    #[command(flatten)]
    at: At,
    /// The trial's id
    #[arg(value_name = "TRIAL")]
    trial: String,
}

/// What a trial would make different.
#[derive(clap::Args)]
pub struct Differences {
    #[command(flatten)]
    one: One,
    /// Only people for whom this is the gravest difference: fault, refused, out_of_scope, held, loses, gains, waits, admitted, account
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only those behind this place, as the page before named it
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
}

/// What a trial would make different, to be kept.
#[derive(clap::Args)]
pub struct Export {
    #[command(flatten)]
    one: One,
    /// As CSV, for spreadsheets [default: JSON Lines]
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Only people for whom this is the gravest difference
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
}

/// Simulates a folder over everybody or a part of the people, and shows what differs.
pub(super) async fn simulate(simulate: Simulate, output: Output) -> anyhow::Result<ExitCode> {
    let (tenant, files, api) = match simulate.deployed.open()? {
        Ok(opened) => opened,
        Err((dir, problems)) => return broken(&dir, &problems, output),
    };
    let Simulate { connections, groups, people: named, export, .. } = simulate;
    let is_whole = connections.is_empty() && groups.is_empty() && named.is_empty();
    let part = if is_whole { Value::Null } else { json!({"connections": connections, "groups": groups, "people": named}) };
    let trial = run(&api, &tenant, &files, &part, output).await?;
    let id = word(&trial["id"]);
    if let Some(path) = &export {
        let csv = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        let mut file = std::fs::File::create(path).with_context(|| format!("`{}` can't be written", path.display()))?;
        api.download(&["tenants", &tenant, "trials", &id, "export"], &[("format", written(csv))], &mut file).await?;
    }
    let page = api.get(&["tenants", &tenant, "trials", &id, "differences"], &[("limit", SHOWN)]).await?;
    let value = json!({"trial": trial, "differences": page["differences"], "next": page["next"]});
    output.show(&value, |paint| {
        let mut text = summary(&trial, paint) + &people(&page, paint);
        if !page["next"].is_null() {
            writeln!(text, "… the others: rolecall tenant trial differences --tenant {tenant} {id}")?;
        }
        if !is_whole {
            writeln!(text, "\na simulation of a part of the people: an activation names one of everybody")?;
            return Ok(text);
        }
        writeln!(
            text,
            "\nto activate what was simulated:\n  rolecall tenant activate --tenant {tenant} {} --simulation {id}",
            word(&trial["revision"])
        )?;
        Ok(text)
    })?;
    Ok(ExitCode::from(if trial["summary"]["turned_away"] == 0 { 0 } else { EXIT_FOUND }))
}

/// Stores a folder's files and simulates them to the end, over everybody or the part of the people that is named.
pub(super) async fn run(api: &Api, tenant: &str, files: &revision::Files, part: &Value, output: Output) -> anyhow::Result<Value> {
    let hash = store(api, tenant, files).await?;
    let wanted = json!({"kind": "simulation", "revision": hash, "part": part});
    let mut trial = api.post(&["tenants", tenant, "trials"], &wanted).await?;
    let id = word(&trial["id"]);
    let mut progress = Progress { shown: !output.json && std::io::stderr().is_terminal() };
    while trial["state"] == "running" {
        progress.show(&trial);
        tokio::time::sleep(POLL).await;
        trial = api.get(&["tenants", tenant, "trials", &id], &[]).await?;
    }
    progress.clear();
    anyhow::ensure!(trial["state"] == "finished", "the simulation has {}: {}", word(&trial["state"]), word(&trial["problem"]));
    Ok(trial)
}

/// Stores a folder's files as a revision that is not active.
async fn store(api: &Api, tenant: &str, files: &revision::Files) -> anyhow::Result<String> {
    super::known(api, tenant).await?;
    let digests = active(api, tenant, false).await?.map(|active| active.digests).unwrap_or_default();
    let body = json!({"files": encoded(files, &digests), "activate": false, "replaces": null});
    let stored = api.post(&["tenants", tenant, "revisions"], &body).await?;
    Ok(word(&stored["hash"]))
}

/// A line that is written over, on a terminal.
struct Progress {
    shown: bool,
}

impl Progress {
    fn show(&mut self, trial: &Value) {
        if self.shown {
            let done = word(&trial["summary"]["people"]);
            let of = trial["population"].as_i64().map(|all| format!(" of {all}")).unwrap_or_default();
            // Nobody reads progress that can't be shown.
            let _ = write!(std::io::stderr(), "\r\u{1b}[Ksimulating: {done}{of} people");
            let _ = std::io::stderr().flush();
        }
    }

    fn clear(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

/// Lets a folder go along with what is decided.
pub(super) async fn shadow(shadow: Shadow, output: Output) -> anyhow::Result<ExitCode> {
    let (tenant, files, api) = match shadow.deployed.open()? {
        Ok(opened) => opened,
        Err((dir, problems)) => return broken(&dir, &problems, output),
    };
    let hash = store(&api, &tenant, &files).await?;
    let body = json!({"kind": "shadow", "revision": hash, "percent": shadow.percent, "hours": shadow.hours});
    let trial = api.post(&["tenants", &tenant, "trials"], &body).await?;
    output.show(&trial, |paint| {
        let id = word(&trial["id"]);
        let ends = word(&trial["ends"]);
        Ok(format!(
            "{} until {ends}, without effect\nrevision {hash}\nwhat it finds: rolecall tenant trial show --tenant {tenant} {id}\n",
            paint.good("the folder goes along")
        ))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `rolecall tenant trial`.
pub(super) async fn trials(command: Trials, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Trials::List(at) => list(at, output).await?,
        Trials::Show(one) => {
            let api = one.at.remote.connect()?;
            let trial = api.get(&["tenants", &one.at.tenant, "trials", &one.trial], &[]).await?;
            output.show(&trial, |paint| Ok(summary(&trial, paint)))?;
        }
        Trials::Differences(asked) => differences(asked, output).await?,
        Trials::Export(Export { one, csv, kind }) => {
            let mut query = vec![("format", written(csv))];
            query.extend(kind.as_deref().map(|kind| ("kind", kind)));
            let path = ["tenants", &one.at.tenant, "trials", &one.trial, "export"];
            let mut out = std::io::stdout();
            one.at.remote.connect()?.download(&path, &query, &mut out).await?;
            out.flush()?;
        }
        Trials::Stop(one) => {
            let api = one.at.remote.connect()?;
            let trial = api.post(&["tenants", &one.at.tenant, "trials", &one.trial, "stop"], &json!({})).await?;
            output.show(&trial, |paint| Ok(summary(&trial, paint)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(at: At, output: Output) -> anyhow::Result<()> {
    let answer = at.remote.connect()?.get(&["tenants", &at.tenant, "trials"], &[]).await?;
    output.show(&answer, |_| {
        let mut table = render::table(["trial", "kind", "revision", "state", "began", "asked about", "different", "turned away"]);
        for trial in items(&answer, "trials") {
            let summary = &trial["summary"];
            table.add_row([
                word(&trial["id"]),
                word(&trial["kind"]),
                super::short(&trial["revision"]),
                word(&trial["state"]),
                word(&trial["started"]),
                word(&summary["people"]),
                word(&summary["different"]),
                word(&summary["turned_away"]),
            ]);
        }
        Ok(format!("{table}\n"))
    })
}

async fn differences(asked: Differences, output: Output) -> anyhow::Result<()> {
    let limit = asked.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(asked.kind.as_deref().map(|kind| ("kind", kind)));
    query.extend(asked.after.as_deref().map(|after| ("after", after)));
    let One { at, trial } = asked.one;
    let page = at.remote.connect()?.get(&["tenants", &at.tenant, "trials", &trial, "differences"], &query).await?;
    output.show(&page, |paint| {
        let mut text = people(&page, paint);
        if !page["next"].is_null() {
            writeln!(text, "… go on with --after {}", word(&page["next"]))?;
        }
        Ok(text)
    })
}

/// What a trial came to, for people.
fn summary(trial: &Value, paint: Paint) -> String {
    let found = &trial["summary"];
    let mut text = format!(
        "{} {} of revision {}: {}\n",
        word(&trial["kind"]),
        word(&trial["id"]),
        super::short(&trial["revision"]),
        paint.strong(&word(&trial["state"]))
    );
    if !trial["problem"].is_null() {
        text += &format!("{}\n", paint.bad(&word(&trial["problem"])));
    }
    let part = &trial["part"];
    let named = |key: &str| part[key].as_array().map_or(0, Vec::len);
    if !part.is_null() {
        let (connections, groups, people) = (named("connections"), named("groups"), named("people"));
        text += &format!("of a part: {connections} connections, {groups} groups, {people} people named\n");
    }
    // A shadow counts decisions: whoever is decided three times is asked about three times.
    let asked = if trial["kind"] == "shadow" { "decisions looked at" } else { "people asked about" };
    text += &format!("{} {asked}, {} different", word(&found["people"]), word(&found["different"]));
    let away = word(&found["turned_away"]);
    text += &if away == "0" { ", nobody turned away\n".to_owned() } else { format!(", {}\n", paint.bad(&format!("{away} turned away"))) };
    for (what, key) in [
        ("by gravest difference", "kinds"),
        ("attributes", "attributes"),
        ("roles gained", "gains"),
        ("roles lost", "loses"),
        ("roles that wait for a yes", "waits"),
        ("faults and refusals", "errors"),
    ] {
        let counts = found[key].as_object().into_iter().flatten().map(|(name, count)| format!("{name} {count}"));
        let counts: Vec<String> = counts.collect();
        if !counts.is_empty() {
            text += &format!("  {what}: {}\n", counts.join(", "));
        }
    }
    for (what, key) in [("connection", "by_connection"), ("group", "by_group"), ("policy", "by_policy")] {
        text += &tally(what, &found[key], paint);
    }
    text += &held(&found["guard"], paint);
    for (what, key) in [("names that collide", "collisions"), ("decisions missed", "missed"), ("inactive people", "inactive")] {
        if found[key].as_u64().unwrap_or(0) > 0 {
            text += &format!("  {what}: {}\n", found[key]);
        }
    }
    if let (Some(calls), Some(fuel)) = (found["calls"].as_u64().filter(|calls| *calls > 0), found["fuel"].as_u64()) {
        text += &format!("  fuel a call: {} on average, {} at most\n", fuel / calls, found["fuel_max"]);
    }
    text
}

/// People by what becomes of their roles, of each connection, group or policy; those with the most first.
fn tally(what: &str, tally: &Value, paint: Paint) -> String {
    /// How many are shown.
    const SHOWN: usize = 10;
    let count = |totals: &Value, key: &str| totals[key].as_u64().unwrap_or(0);
    let all = |totals: &Value| ["gains", "loses", "waits"].iter().map(|key| count(totals, key)).sum::<u64>();
    let line = |totals: &Value| {
        let words = [("gains", "gain"), ("loses", "lose"), ("waits", "wait")];
        let told = words.iter().filter(|(key, _)| count(totals, key) > 0).map(|(key, word)| format!("{} {word}", count(totals, key)));
        told.collect::<Vec<_>>().join(", ")
    };
    let mut apart: Vec<(&String, &Value)> = tally["of"].as_object().into_iter().flatten().collect();
    apart.sort_by_key(|(_, totals)| std::cmp::Reverse(all(totals)));
    let mut text = String::new();
    for (name, totals) in apart.iter().take(SHOWN) {
        text += &format!("  {what} {}: {}\n", paint.strong(name), line(totals));
    }
    if apart.len() > SHOWN {
        text += &format!("  … and {} more: --json shows them\n", apart.len() - SHOWN);
    }
    if all(&tally["others"]) > 0 {
        text += &format!("  others, counted together: {}\n", line(&tally["others"]));
    }
    text
}

/// How many the guard would hold, by scope.
fn held(guard: &Value, paint: Paint) -> String {
    let mut text = String::new();
    for scope in items(guard, "scopes").iter().filter(|scope| scope["held"].as_u64().unwrap_or(0) > 0) {
        let of = if scope["scope"] == "revision" { super::short(&scope["of"]) } else { word(&scope["of"]) };
        let line = format!(
            "  {} of {} {} would be held by the guard ({} {of}, limit {})",
            word(&scope["held"]),
            word(&scope["people"]),
            word(&scope["direction"]).replace('_', " "),
            word(&scope["scope"]),
            word(&scope["limit"]),
        );
        text += &format!("{}\n", paint.bad(&line));
    }
    text
}

/// What differs for whom, for people.
fn people(page: &Value, paint: Paint) -> String {
    let mut text = String::new();
    for person in items(page, "differences") {
        let turned = matches!(person["kind"].as_str(), Some("fault" | "refused" | "out_of_scope"));
        let kind = word(&person["kind"]);
        let shown = if turned { paint.bad(&kind) } else { paint.strong(&kind) };
        let name = if person["user_name"].is_null() { word(&person["account"]) } else { word(&person["user_name"]) };
        text += &format!("{shown} {name} ({} → {})", word(&person["before"]), word(&person["after"]));
        text += if person["collides"] == true { ", its name collides\n" } else { "\n" };
        for attribute in items(person, "attributes") {
            let _ = writeln!(text, "    {}: {} → {}", word(&attribute["attribute"]), word(&attribute["before"]), word(&attribute["after"]));
        }
        for waiting in items(person, "waits") {
            let _ = writeln!(text, "    ? {} (waits for: {})", word(&waiting["role"]), word(&waiting["waits_for"]));
        }
        for (sign, key) in [("+", "gains"), ("-", "loses"), ("~", "retains"), ("×", "withdrawn")] {
            for role in items(person, key) {
                let line = format!("    {sign} {}", word(role));
                text += &format!("{}\n", if sign == "+" { paint.good(&line) } else { paint.bad(&line) });
            }
        }
        if !person["note"].is_null() {
            text += &format!("    {}\n", paint.faint(&word(&person["note"]["message"])));
        }
    }
    text
}
