//! A player of case files: what a client sends, step by step, and what each answer must be.
//!
//! A file is `{"suite", "session", "vars", "setup": [step…], "cases": [{"name", "tier", "steps": [step…]}]}`. With
//! `session`, what one case saves is known to the later ones. A step is `{"method", "path", "query", "headers", "auth":
//! "none"|"bad", "tenant": "alt", "body"|"raw", "fan": [key, n, element], "expect": {"status", "headers", "json",
//! "json_if_body"}, "save": {variable: path}}`. `{{name}}` stands for a variable; `run`, `case`, `uuid`, `now` and
//! `base` are there from the start. `expect.json` holds `[path, operator, value]`: see `cases/check.rs`.

mod check;
mod path;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use rolecall::clock::{Clock as _, SystemClock};
use serde_json::{Map, Value, json};

use crate::Client;
use check::check;

/// What became of a suite's cases.
#[derive(Debug, Default)]
pub struct Report {
    /// How many passed.
    pub passed: usize,
    /// What failed, and why.
    pub failed: Vec<String>,
    /// Which were left out, because they need a second tenant.
    pub skipped: Vec<String>,
}

/// Plays one file's cases at a SCIM endpoint; `alt` is a connection of another tenant, for cases that try to cross.
pub async fn play(suite: &Value, client: &Client, alt: Option<&Client>) -> Report {
    let run = fresh();
    let mut session = Map::new();
    session.insert("run".into(), run.clone().into());
    session.insert("base".into(), client.base.clone().into());
    for (name, value) in suite["vars"].as_object().into_iter().flatten() {
        let value = fill(value, &session).unwrap_or_else(|missing| panic!("`vars` uses `{missing}`, which is not there"));
        session.insert(name.clone(), value);
    }
    let mut report = Report::default();
    let player = Player { client, alt };
    if let Outcome::Failed(why) = player.steps(&suite["setup"], &mut session).await {
        report.failed.push(format!("setup: {why}"));
        return report;
    }
    for (index, case) in suite["cases"].as_array().into_iter().flatten().enumerate() {
        let name = case["name"].as_str().unwrap_or("without a name").to_owned();
        let mut own = session.clone();
        own.insert("case".into(), format!("{run}{index:03}").into());
        match player.steps(&case["steps"], &mut own).await {
            Outcome::Passed => report.passed += 1,
            Outcome::Failed(why) => report.failed.push(format!("{name}: {why}")),
            Outcome::Skipped => report.skipped.push(name),
        }
        if suite["session"] == true {
            session = own;
        }
    }
    report
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped,
}

struct Player<'a> {
    client: &'a Client,
    alt: Option<&'a Client>,
}

impl Player<'_> {
    async fn steps(&self, steps: &Value, variables: &mut Map<String, Value>) -> Outcome {
        for step in steps.as_array().into_iter().flatten() {
            let client = match step["tenant"].as_str() {
                Some("alt") => match self.alt {
                    Some(alt) => alt,
                    None => return Outcome::Skipped,
                },
                _ => self.client,
            };
            let step = match fill(step, variables) {
                Ok(step) => step,
                Err(missing) => return Outcome::Failed(format!("variable `{missing}` was never saved")),
            };
            if let Err(why) = self.step(client, &step, variables).await {
                return Outcome::Failed(format!("{} {}: {why}", step["method"], step["path"]));
            }
        }
        Outcome::Passed
    }

    async fn step(&self, client: &Client, step: &Value, variables: &mut Map<String, Value>) -> Result<(), String> {
        let client = match step["auth"].as_str() {
            Some("none") => client.with_token(None),
            Some("bad") => client.with_token(Some(&format!("not-a-token-{}", fresh()))),
            _ => client.clone(),
        };
        let method = step["method"].as_str().ok_or("a step needs a method")?;
        let path = format!("{}{}", step["path"].as_str().ok_or("a step needs a path")?, query(&step["query"]));
        let headers: Vec<(&str, &str)> = step["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| value.as_str().map(|value| (name.as_str(), value)))
            .collect();
        let answer = client.try_send(method, &path, &headers, body_of(step)).await.map_err(|e| format!("no answer: {e:?}"))?;
        let document: Option<Value> = serde_json::from_str(&answer.text).ok();
        let expect = &step["expect"];
        let statuses = match &expect["status"] {
            Value::Array(statuses) => statuses.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        if !statuses.is_empty() && !statuses.contains(&json!(answer.status.as_u16())) {
            return Err(format!("answered {} and not {statuses:?}: {}", answer.status, answer.text));
        }
        for (name, test) in expect["headers"].as_object().into_iter().flatten() {
            let value = answer.headers.get(name).and_then(|value| value.to_str().ok());
            let header = value.map_or_else(|| json!({}), |value| json!({"h": value}));
            let test = test.as_array().ok_or("a header's test is a list")?;
            check(&header, "", &json!("h"), test.first(), test.get(1)).map_err(|why| format!("header {name}: {why}"))?;
        }
        let exempt = answer.status == 204 && expect["json_if_body"] == true;
        for test in expect["json"].as_array().into_iter().flatten().filter(|_| !exempt) {
            check(document.as_ref().unwrap_or(&Value::Null), &answer.text, &test[0], test.get(1), test.get(2))
                .map_err(|why| format!("{why}; the body was {}", answer.text))?;
        }
        for (variable, path) in step["save"].as_object().into_iter().flatten() {
            let path = path.as_str().ok_or("a path to save is a text")?;
            let value = match path.strip_prefix("header:") {
                Some(name) => answer.headers.get(name).and_then(|value| value.to_str().ok()).map(Value::from),
                None => document.as_ref().and_then(|document| path::get(document, path)).cloned(),
            };
            match value {
                Some(value) if !value.is_null() => variables.insert(variable.clone(), value),
                _ => variables.remove(variable),
            };
        }
        Ok(())
    }
}

fn body_of(step: &Value) -> Option<Vec<u8>> {
    if let Some(raw) = step["raw"].as_str() {
        return Some(raw.as_bytes().to_vec());
    }
    let mut body = step.get("body")?.clone();
    if let Some([key, count, element]) = step["fan"].as_array().map(Vec::as_slice) {
        let copies = (0..=count.as_u64().unwrap_or(0))
            .map(|i| serde_json::from_str(&element.to_string().replace("{{i}}", &i.to_string())).expect("the element stays JSON"))
            .collect();
        body[key.as_str().unwrap_or_default()] = Value::Array(copies);
    }
    Some(body.to_string().into_bytes())
}

fn query(parameters: &Value) -> String {
    let parameters: BTreeMap<&str, String> = parameters
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    let pairs: Vec<String> = parameters.into_iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(&value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Percent-encoding of everything but unreserved characters.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

/// The value with every `{{name}}` replaced; a text that is nothing but one keeps the variable's type.
fn fill(value: &Value, variables: &Map<String, Value>) -> Result<Value, String> {
    Ok(match value {
        Value::Object(object) => {
            let mut filled = Map::new();
            for (name, value) in object {
                filled.insert(fill_text(name, variables)?, fill(value, variables)?);
            }
            Value::Object(filled)
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| fill(item, variables)).collect::<Result<_, _>>()?),
        Value::String(text) => match text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
            Some(name) if !name.contains(['{', '}']) => variable(name, variables)?,
            _ => Value::String(fill_text(text, variables)?),
        },
        other => other.clone(),
    })
}

fn fill_text(text: &str, variables: &Map<String, Value>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else { break };
        filled.push_str(before);
        let value = variable(name, variables)?;
        filled.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn variable(name: &str, variables: &Map<String, Value>) -> Result<Value, String> {
    match name {
        // Counts copies: replaced where the copies are made.
        "i" => Ok("{{i}}".into()),
        "uuid" => Ok(format!("00000000-0000-4000-8000-{:0>12}", fresh()).into()),
        "now" => Ok(SystemClock.now().to_string().into()),
        _ => variables.get(name).cloned().ok_or_else(|| name.to_owned()),
    }
}

/// A text that was not given before, in this process or, as good as always, in another.
fn fresh() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:x}{:03x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
