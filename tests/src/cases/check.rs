//! What can be asked of a value in an answer. An operator that is not known fails: a case never passes unasked.

use serde_json::Value;

use super::path::get;

/// Asks `operator` of what stands at `path`. Nothing there fails, save for `absent`, `empty`, `hasnot`, `not_contains`,
/// `opt_in` and `ne`.
pub fn check(document: &Value, text: &str, path: &Value, operator: Option<&Value>, wanted: Option<&Value>) -> Result<(), String> {
    let path = path.as_str().ok_or("a path is a text")?;
    let operator = operator.and_then(Value::as_str).ok_or("an operator is a text")?;
    let whole;
    let value = if path == "$text" {
        whole = Value::String(text.to_owned());
        Some(&whole)
    } else {
        get(document, path)
    };
    let wanted = wanted.unwrap_or(&Value::Null);
    match holds(operator, value, wanted) {
        None => Err(format!("`{operator}` is no operator, or not with `{wanted}`")),
        Some(true) => Ok(()),
        Some(false) => Err(format!("{path} {operator} {wanted}: got {}", value.map_or("nothing".to_owned(), Value::to_string))),
    }
}

/// Whether it holds; `None` for what can't be asked.
fn holds(operator: &str, value: Option<&Value>, wanted: &Value) -> Option<bool> {
    let present = value.filter(|value| !value.is_null());
    let list = value.and_then(Value::as_array);
    Some(match operator {
        "exists" => present.is_some(),
        "absent" => present.is_none(),
        "empty" => is_empty(value),
        "notempty" => !is_empty(value),
        "eq" => value == Some(wanted),
        "ne" => value != Some(wanted),
        "ieq" => value.is_some_and(|value| plain(value).eq_ignore_ascii_case(&plain(wanted))),
        "contains" => value.is_some_and(|value| contains(value, wanted)),
        "not_contains" => !value.is_some_and(|value| contains(value, wanted)),
        "len" => length(value) == wanted.as_u64()?,
        "gte" => value.and_then(Value::as_f64).is_some_and(|value| wanted.as_f64().is_some_and(|wanted| value >= wanted)),
        "lte" => value.and_then(Value::as_f64).is_some_and(|value| wanted.as_f64().is_some_and(|wanted| value <= wanted)),
        "in" => value.is_some_and(|value| wanted.as_array().is_some_and(|wanted| wanted.contains(value))),
        "opt_in" => present.is_none_or(|value| wanted.as_array().is_some_and(|wanted| wanted.contains(value))),
        "type" => is_of_type(value?, wanted.as_str()?)?,
        "has" => list.is_some_and(|list| list.iter().any(|item| subset(wanted, item))),
        "hasnot" => !list.is_some_and(|list| list.iter().any(|item| subset(wanted, item))),
        "set_eq" => sorted(list.into_iter().flatten().map(Value::to_string)) == sorted(wanted.as_array()?.iter().map(Value::to_string)),
        "values" => list.is_some() && column(value, wanted)? == sorted(wanted[1].as_array()?.iter().map(plain)),
        "order" => {
            let attribute = wanted[0].as_str()?;
            let found: Vec<String> = list?.iter().map(|item| get(item, attribute).map(plain).unwrap_or_default()).collect();
            found == wanted[1].as_array()?.iter().map(plain).collect::<Vec<_>>()
        }
        // Only the elements that the file itself made count: those whose attribute holds the suffix.
        "sample_eq" => {
            let suffix = wanted[1].as_str()?;
            let found: Vec<String> = column(value, wanted)?.into_iter().filter(|value| value.contains(suffix)).collect();
            found == sorted(wanted[2].as_array()?.iter().map(plain))
        }
        _ => return None,
    })
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(object)) => object.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => false,
    }
}

fn contains(value: &Value, wanted: &Value) -> bool {
    match value {
        Value::String(text) => wanted.as_str().is_some_and(|wanted| text.contains(wanted)),
        Value::Array(items) => items.contains(wanted),
        Value::Object(object) => wanted.as_str().is_some_and(|wanted| object.contains_key(wanted)),
        _ => false,
    }
}

fn length(value: Option<&Value>) -> u64 {
    let length = match value {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(object)) => object.len(),
        Some(Value::String(text)) => text.chars().count(),
        _ => 0,
    };
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn is_of_type(value: &Value, name: &str) -> Option<bool> {
    Some(match name {
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_f64(),
        "str" => value.is_string(),
        "bool" => value.is_boolean(),
        "list" => value.is_array(),
        "dict" => value.is_object(),
        _ => return None,
    })
}

/// Whether everything in `wanted` is in `have`.
fn subset(wanted: &Value, have: &Value) -> bool {
    match (wanted, have) {
        (Value::Object(wanted), Value::Object(have)) => {
            wanted.iter().all(|(name, wanted)| have.get(name).is_some_and(|have| subset(wanted, have)))
        }
        _ => wanted == have,
    }
}

/// An attribute of every element, sorted.
fn column(value: Option<&Value>, wanted: &Value) -> Option<Vec<String>> {
    let attribute = wanted[0].as_str()?;
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Some(sorted(items.iter().map(|item| get(item, attribute).map(plain).unwrap_or_default())))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn sorted(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut items: Vec<String> = items.collect();
    items.sort();
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_operator_can_fail_and_pass() {
        let document = json!({"n": 3, "s": "Text", "b": false, "l": [{"a": "x", "k": 1}, {"a": "y"}], "e": [], "none": null});
        for (path, operator, good, bad) in [
            ("n", "eq", json!(3), json!(4)),
            ("n", "ne", json!(4), json!(3)),
            ("s", "ieq", json!("tEXT"), json!("other")),
            ("s", "contains", json!("ex"), json!("z")),
            ("s", "not_contains", json!("z"), json!("ex")),
            ("l", "len", json!(2), json!(1)),
            ("n", "gte", json!(3), json!(4)),
            ("n", "lte", json!(3), json!(2)),
            ("n", "in", json!([1, 3]), json!([1])),
            ("n", "opt_in", json!([3]), json!([1])),
            ("b", "type", json!("bool"), json!("str")),
            ("l", "has", json!({"a": "x"}), json!({"a": "z"})),
            ("l", "hasnot", json!({"a": "z"}), json!({"a": "x"})),
            ("l", "values", json!(["a", ["y", "x"]]), json!(["a", ["x"]])),
            ("l", "order", json!(["a", ["x", "y"]]), json!(["a", ["y", "x"]])),
        ] {
            assert_eq!(check(&document, "", &json!(path), Some(&json!(operator)), Some(&good)), Ok(()), "{operator}");
            assert!(check(&document, "", &json!(path), Some(&json!(operator)), Some(&bad)).is_err(), "{operator}");
        }
        for (good, bad, operator) in [("s", "none", "exists"), ("none", "s", "absent"), ("e", "l", "empty"), ("b", "e", "notempty")] {
            assert_eq!(check(&document, "", &json!(good), Some(&json!(operator)), None), Ok(()), "{operator}");
            assert!(check(&document, "", &json!(bad), Some(&json!(operator)), None).is_err(), "{operator}");
        }
        assert!(check(&document, "", &json!("n"), Some(&json!("nosuch")), None).is_err());
        assert!(check(&document, "", &json!("missing"), Some(&json!("eq")), Some(&Value::Null)).is_err());
    }
}
