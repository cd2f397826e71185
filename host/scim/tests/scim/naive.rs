//! A second, naive PATCH and filter, written from the RFC's sentences for a few attributes, to hold the real ones against.

use rolecall_scim::schema::{ENTERPRISE, USER};
use serde_json::{Map, Value, json};

/// What became of an operation.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The resource is now this.
    Became(Value),
    /// `noTarget`.
    NoTarget,
    /// `invalidValue`: several values would be primary.
    TwoPrimary,
}

/// Applies one operation as [`super::generate::operation`] makes them.
pub fn patch(user: Value, operation: &Value) -> Outcome {
    let before = user.get("active").cloned();
    let inactive = before.as_ref().is_some_and(|active| *active != true);
    match patched(user, operation) {
        // Whoever is deactivated does not come back by nothing being said; what was removed is a null.
        Outcome::Became(mut user) if inactive && user.get("active").is_none() => {
            user["active"] = if operation["op"] == "remove" { Value::Null } else { before.unwrap() };
            Outcome::Became(user)
        }
        other => other,
    }
}

fn patched(mut user: Value, operation: &Value) -> Outcome {
    let op = operation["op"].as_str().unwrap();
    let value = &operation["value"];
    let Some(path) = operation["path"].as_str() else {
        for (name, value) in value.as_object().unwrap() {
            match patch(user, &json!({"op": op, "path": name, "value": value})) {
                Outcome::Became(next) => user = next,
                other => return other,
            }
        }
        return Outcome::Became(user);
    };
    if let Some(rest) = path.strip_prefix("emails") {
        let mut emails = user["emails"].as_array().cloned().unwrap_or_default();
        let failed = if let Some((kind, part)) = rest.strip_prefix("[type eq \"").and_then(|rest| rest.split_once("\"]")) {
            filtered(&mut emails, op, kind, part.strip_prefix('.'), value)
        } else {
            whole(&mut emails, op, rest.strip_prefix('.'), value);
            None
        };
        if let Some(failed) = failed {
            return failed;
        }
        user["emails"] = emails.into();
    } else if let Some(name) = path.strip_prefix(ENTERPRISE).and_then(|rest| rest.strip_prefix(':')) {
        let before = user.get(ENTERPRISE).is_some();
        user[ENTERPRISE][name] = value.clone();
        let used = user[ENTERPRISE].as_object().unwrap().values().any(|value| !value.is_null());
        let urns = user["schemas"].as_array_mut().unwrap();
        if used && !before {
            urns.push(ENTERPRISE.into());
        } else if !used && before {
            urns.retain(|urn| urn != ENTERPRISE);
        }
    } else if path == "name" && op != "remove" {
        for (part, value) in value.as_object().unwrap() {
            user["name"][part] = value.clone();
        }
    } else if let Some((name, part)) = path.split_once('.') {
        user[name][part] = value.clone();
    } else {
        user[path] = value.clone();
    }
    tidy(&mut user);
    if let Some(emails) = user["emails"].as_array() {
        user["emails"] = without_repeats(emails).into();
    }
    tidy(&mut user);
    Outcome::Became(user)
}

/// RFC 7643 §2.4: no two with the same type and value. Those that come later leave the first what it lacks.
fn without_repeats(emails: &[Value]) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for email in emails {
        let same = |other: &&mut Value| !email["value"].is_null() && other["value"] == email["value"] && other["type"] == email["type"];
        let Some(first) = kept.iter_mut().find(same) else {
            kept.push(email.clone());
            continue;
        };
        for (part, value) in email.as_object().unwrap() {
            if first[part].is_null() || part == "primary" && *value == true {
                first[part] = value.clone();
            }
        }
    }
    kept
}

fn whole(emails: &mut Vec<Value>, op: &str, part: Option<&str>, value: &Value) {
    match (op, part) {
        ("remove", None) => emails.clear(),
        ("remove", Some(part)) => {
            let had: Vec<bool> = emails.iter().map(|email| email.get(part).is_some()).collect();
            emails.iter_mut().for_each(|email| email[part] = Value::Null);
            let mut had = had.into_iter();
            emails.retain(|email| !had.next().unwrap() || says_something(email));
        }
        ("replace", _) => *emails = value.as_array().unwrap().clone(),
        _ => {
            for given in value.as_array().unwrap() {
                if emails.contains(given) {
                    if given["primary"] == true {
                        let at = emails.iter().position(|email| email == given).unwrap();
                        only_primary(emails, &[at]);
                    }
                    continue;
                }
                let same =
                    |email: &Value| given.get("value").is_some() && email["value"] == given["value"] && email["type"] == given["type"];
                let at = emails.iter().position(same).unwrap_or_else(|| {
                    emails.push(json!({}));
                    emails.len() - 1
                });
                for (part, value) in given.as_object().unwrap() {
                    emails[at][part] = value.clone();
                }
                if given["primary"] == true {
                    only_primary(emails, &[at]);
                }
            }
        }
    }
}

fn filtered(emails: &mut Vec<Value>, op: &str, kind: &str, part: Option<&str>, value: &Value) -> Option<Outcome> {
    let mut matching: Vec<usize> = (0..emails.len()).filter(|&at| emails[at]["type"] == kind).collect();
    if matching.is_empty() {
        match (op, part) {
            ("remove", _) => return None,
            // Nothing is described but what the value would be for.
            (_, Some("primary")) => return Some(Outcome::NoTarget),
            ("replace", _) => return Some(Outcome::NoTarget),
            _ => {
                emails.push(json!({"type": kind}));
                matching.push(emails.len() - 1);
            }
        }
    }
    let had: Vec<usize> = matching.iter().copied().filter(|&at| part.is_some_and(|part| emails[at].get(part).is_some())).collect();
    for &at in &matching {
        match part {
            None => emails[at] = value.clone(),
            Some(part) => emails[at][part] = value.clone(),
        }
    }
    if part == Some("primary") && *value == true {
        if matching.len() > 1 {
            return Some(Outcome::TwoPrimary);
        }
        only_primary(emails, &matching);
    }
    if op == "remove" {
        let mut at = 0;
        emails.retain(|email| {
            at += 1;
            !matching.contains(&(at - 1)) || part.is_some() && (!had.contains(&(at - 1)) || says_something(email))
        });
    }
    if part.is_none() {
        let mut kept: Vec<Value> = Vec::new();
        emails.retain(|email| {
            let new = !kept.contains(email);
            kept.push(email.clone());
            new
        });
    }
    None
}

/// What says no more than what it would be for goes with its last part.
fn says_something(email: &Value) -> bool {
    email.as_object().is_some_and(|parts| parts.iter().any(|(name, value)| name != "type" && name != "primary" && !value.is_null()))
}

fn only_primary(emails: &mut [Value], primary: &[usize]) {
    for (at, email) in emails.iter_mut().enumerate() {
        if !primary.contains(&at) && email["primary"] == true {
            email["primary"] = json!(false);
        }
    }
}

/// Takes away what has no value, from the inside out.
pub fn tidy(value: &mut Value) {
    match value {
        Value::Object(parts) => {
            parts.values_mut().for_each(tidy);
            parts.retain(|_, value| !empty(value));
        }
        Value::Array(values) => {
            values.iter_mut().for_each(tidy);
            values.retain(|value| !empty(value));
        }
        _ => {}
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        _ => false,
    }
}

/// The texts of an attribute or of a part of each of its values; `None` where one has none.
fn texts(user: &Map<String, Value>, name: &str, part: Option<&str>) -> Vec<Option<String>> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_ascii_lowercase);
    match (user.get(name), part) {
        (Some(Value::Array(values)), Some(part)) => values.iter().map(|value| text(value.get(part))).collect(),
        (value, _) => vec![text(value)],
    }
}

/// Whether a comparison of ASCII texts where case does not matter holds for any value.
pub fn compare(user: &Map<String, Value>, name: &str, part: Option<&str>, op: &str, wanted: &str) -> bool {
    let wanted = wanted.to_ascii_lowercase();
    let wanted = wanted.as_str();
    texts(user, name, part).into_iter().any(|text| match (text.as_deref(), op) {
        (text, "pr") => text.is_some_and(|text| !text.is_empty()),
        (None, op) => op == "ne",
        (Some(text), "eq") => text == wanted,
        (Some(text), "ne") => text != wanted,
        (Some(text), "co") => text.contains(wanted),
        (Some(text), "sw") => text.starts_with(wanted),
        (Some(text), "ew") => text.ends_with(wanted),
        (Some(text), "gt") => text > wanted,
        (Some(text), "ge") => text >= wanted,
        (Some(text), "lt") => text < wanted,
        (Some(text), "le") => text <= wanted,
        _ => panic!("no operator {op}"),
    })
}

/// A user with nothing but a name.
pub fn least() -> Value {
    json!({"schemas": [USER], "userName": "ada"})
}
