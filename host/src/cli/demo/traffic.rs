//! Recorded traffic: the requests of an identity provider in order, told in chapters. `examples/traffic/README.md` is the format for people.
//! Pure: reads and fills in; sends nothing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

/// The largest traffic file, in bytes: a demonstration is read by people, and a larger file is another file.
const FILE_BYTES_LIMIT: u64 = 4 * 1024 * 1024;

/// One identity provider's traffic into one tenant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// The tenant, and the name of its folder.
    pub tenant: String,
    /// The identity provider, for people.
    pub client: String,
    /// What is to be seen.
    pub about: String,
    /// Headers that this client sends with each request.
    pub headers: BTreeMap<String, String>,
    /// What the table of accounts compares.
    pub compare: Vec<Compared>,
    /// What happens.
    pub chapters: Vec<Chapter>,
}

/// One column of the table of accounts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// Its heading.
    pub title: String,
    /// The value as the identity provider wrote it: a JSON pointer into the SCIM User.
    pub sent: String,
    /// What the mapping made of it: a key of the account's profile.
    pub made: String,
}

/// Requests that belong together, and what is to be seen after them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chapter {
    /// Its heading.
    pub title: String,
    /// What happens and why it matters.
    #[serde(default)]
    pub about: String,
    /// The requests.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Handles that a person confirms after the requests.
    #[serde(default)]
    pub confirm: Vec<String>,
    /// What is shown.
    #[serde(default)]
    pub show: Vec<Show>,
    /// Of whom it is asked why they hold a role, or why not.
    #[serde(default)]
    pub explain: Vec<Question>,
    /// Whom it is about; everybody when empty.
    #[serde(default)]
    pub people: Vec<String>,
    /// What must have become of whom.
    #[serde(default)]
    pub expect: BTreeMap<String, Expected>,
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Show {
    /// Each person as sent and as mapped.
    Accounts,
    /// Each role with its reasons.
    Roles,
    /// Which groups wait for a person's yes.
    Handles,
    /// Who gained and lost what in this chapter.
    Change,
    /// What leavers lost, and how soon.
    Leavers,
}

/// Why does somebody hold a role, or why not?
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Who.
    pub person: String,
    /// Which role.
    pub role: String,
}

/// What must have become of somebody.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The account's state.
    pub state: Option<String>,
    /// The login name.
    pub login: Option<String>,
    /// The roles in effect, in any order.
    pub roles: Option<Vec<String>>,
}

/// One request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What the identity provider wants; steps of the same title are counted together.
    pub title: String,
    /// The method.
    pub method: String,
    /// The path below the connection's base URL, with its query.
    pub path: String,
    /// The body.
    #[serde(default)]
    pub body: Option<Value>,
    /// Instead of a body: what was saved under this name is sent back…
    #[serde(default)]
    pub echo: Option<String>,
    /// … with these values (by JSON pointer) in it.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// The status that must come.
    pub status: u16,
    /// Values that the answer must hold, by JSON pointer.
    #[serde(default)]
    pub expect: BTreeMap<String, Value>,
    /// What is remembered of the answer: name → JSON pointer.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// The answer's `id` is this person's.
    #[serde(default)]
    pub person: Option<String>,
    /// After this request the person must be without any role; the time is taken.
    #[serde(default)]
    pub leaver: Option<String>,
}

/// What was remembered of answers.
pub type Memory = BTreeMap<String, Value>;

/// Reads a traffic file.
///
/// # Errors
/// With the place of what is wrong.
pub fn read(path: &Path) -> anyhow::Result<Traffic> {
    let shown = path.display();
    let bytes = std::fs::metadata(path).with_context(|| format!("the traffic file `{shown}` can't be read"))?.len();
    anyhow::ensure!(bytes <= FILE_BYTES_LIMIT, "the traffic file `{shown}` has more than {FILE_BYTES_LIMIT} bytes");
    let text = std::fs::read_to_string(path).with_context(|| format!("the traffic file `{shown}` can't be read"))?;
    serde_json::from_str(&text).with_context(|| format!("the traffic file `{shown}` is malformed"))
}

/// The body of a step, filled in.
///
/// # Errors
/// When something named was not remembered, or a pointer leads nowhere.
pub fn body(step: &Step, memory: &Memory) -> anyhow::Result<Option<Value>> {
    match (&step.body, &step.echo) {
        (Some(_), Some(_)) => bail!("step `{}` has both a body and an echo", step.title),
        (Some(body), None) => fill(body, memory).map(Some),
        (None, None) => Ok(None),
        (None, Some(name)) => {
            let mut document = remembered(name, memory)?.clone();
            for (pointer, value) in &step.set {
                set(&mut document, pointer, fill(value, memory)?)?;
            }
            Ok(Some(document))
        }
    }
}

/// `{{name}}` replaced by what was remembered; a text that is nothing else takes the value with its type.
///
/// # Errors
/// When something named was not remembered.
pub fn fill(value: &Value, memory: &Memory) -> anyhow::Result<Value> {
    Ok(match value {
        Value::String(text) => match text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
            Some(name) if !name.contains("{{") => remembered(name, memory)?.clone(),
            _ => Value::String(fill_text(text, memory)?),
        },
        Value::Array(items) => Value::Array(items.iter().map(|item| fill(item, memory)).collect::<anyhow::Result<_>>()?),
        Value::Object(map) => {
            let filled = map.iter().map(|(key, item)| Ok((key.clone(), fill(item, memory)?)));
            Value::Object(filled.collect::<anyhow::Result<_>>()?)
        }
        other => other.clone(),
    })
}

/// As [`fill`], within a text.
///
/// # Errors
/// When something named was not remembered, or is not closed.
pub fn fill_text(text: &str, memory: &Memory) -> anyhow::Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").with_context(|| format!("`{text}` opens `{{{{` and doesn't close it"))?;
        filled.push_str(before);
        match remembered(name, memory)? {
            Value::String(value) => filled.push_str(value),
            other => filled.push_str(&other.to_string()),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn remembered<'a>(name: &str, memory: &'a Memory) -> anyhow::Result<&'a Value> {
    memory.get(name).with_context(|| format!("nothing was saved as `{name}` before"))
}

/// Puts a value where the pointer leads; the parent must be there.
fn set(document: &mut Value, pointer: &str, value: Value) -> anyhow::Result<()> {
    if let Some(place) = document.pointer_mut(pointer) {
        *place = value;
        return Ok(());
    }
    let (parent, key) = pointer.rsplit_once('/').with_context(|| format!("`{pointer}` is no JSON pointer"))?;
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut).with_context(|| format!("`{pointer}` leads nowhere"))?;
    parent.insert(key.replace("~1", "/").replace("~0", "~"), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn memory() -> Memory {
        BTreeMap::from([
            ("ada".to_owned(), json!("u-1")),
            ("n".to_owned(), json!(3)),
            ("doc".to_owned(), json!({"id": "u-1", "a": {"b": 1}})),
        ])
    }

    #[test]
    fn what_was_remembered_is_filled_in() {
        let filled = fill(&json!({"x": ["{{ada}}", "{{n}}", "a {{ada}} b {{n}}", 7, null]}), &memory()).unwrap();
        assert_eq!(filled, json!({"x": ["u-1", 3, "a u-1 b 3", 7, null]}));
        assert_eq!(fill_text("/Users/{{ada}}?x={{n}}", &memory()).unwrap(), "/Users/u-1?x=3");
        assert_eq!(fill(&json!("{{ada}}{{n}}"), &memory()).unwrap(), json!("u-13"));
    }

    #[test]
    fn what_was_not_remembered_is_named() {
        assert_eq!(fill(&json!("{{bob}}"), &memory()).unwrap_err().to_string(), "nothing was saved as `bob` before");
        assert!(fill_text("x {{ada", &memory()).is_err());
    }

    #[test]
    fn an_echo_sends_back_what_came_with_changes() {
        let step: Step = serde_json::from_value(json!({
            "title": "t", "method": "PUT", "path": "/Users/{{ada}}", "status": 200, "echo": "doc",
            "set": {"/a/b": 2, "/a/c": "{{n}}", "/active": false},
        }))
        .unwrap();
        assert_eq!(body(&step, &memory()).unwrap(), Some(json!({"id": "u-1", "a": {"b": 2, "c": 3}, "active": false})));
        let astray = Step { set: BTreeMap::from([("/x/y".to_owned(), json!(1))]), ..step.clone() };
        assert_eq!(body(&astray, &memory()).unwrap_err().to_string(), "`/x/y` leads nowhere");
        let both = Step { body: Some(json!({})), ..step };
        assert!(body(&both, &memory()).is_err());
    }
}
