//! Paths into a JSON answer: `a.b[0].c`, `a[type=work].value` (the first that matches), `['urn:x:y'].z`, `$` for the whole.

use serde_json::Value;

/// One step of a path.
#[derive(Debug, PartialEq)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
    First(&'a str, &'a str),
}

/// The value at the path, if there is one.
pub fn get<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() || path == "$" {
        return Some(document);
    }
    steps(path)?.iter().try_fold(document, |value, step| match step {
        Step::Key(key) => value.as_object()?.get(*key),
        Step::Index(index) => value.as_array()?.get(*index),
        Step::First(key, wanted) => value.as_array()?.iter().find(|item| is(item.get(*key), wanted)),
    })
}

fn is(value: Option<&Value>, wanted: &str) -> bool {
    match value {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Bool(truth)) => truth.to_string() == wanted,
        _ => false,
    }
}

fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(quoted) = rest.strip_prefix("['") {
            let (key, behind) = quoted.split_once("']")?;
            steps.push(Step::Key(key));
            rest = behind;
        } else if let Some(bracketed) = rest.strip_prefix('[') {
            let (inner, behind) = bracketed.split_once(']')?;
            steps.push(match inner.split_once('=') {
                Some((key, wanted)) => Step::First(key, wanted),
                None => Step::Index(inner.parse().ok()?),
            });
            rest = behind;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            steps.push(Step::Key(&rest[..end]));
            rest = &rest[end..];
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_into_answers() {
        let document = json!({"a": {"b": [{"c": 1, "type": "work"}, {"c": 2, "type": "home"}]}, "urn:x:y": {"z": 3}});
        for (path, expected) in [
            ("a.b[1].c", Some(json!(2))),
            ("a.b[type=work].c", Some(json!(1))),
            ("['urn:x:y'].z", Some(json!(3))),
            ("a.b[2].c", None),
            ("a.x", None),
            ("a.b[type=other].c", None),
        ] {
            assert_eq!(get(&document, path), expected.as_ref(), "{path}");
        }
        assert_eq!(get(&document, "$"), Some(&document));
    }
}
