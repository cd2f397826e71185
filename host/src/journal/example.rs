//! What a request looked like, without its values: names of attributes, operators and the shape stay, what they were given goes.
//! Pure.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The longest example, in characters: enough to see the form.
const EXAMPLE_CHARS_LIMIT: usize = 600;
/// The longest name that is shown, in characters: attributes with their URN have less.
const NAME_CHARS_LIMIT: usize = 160;
/// Elements of an array and fields of an object that are shown.
const SHOWN: usize = 6;
/// How deep an example shows objects in objects.
const DEPTH: usize = 6;
/// What stands for a value.
const GONE: &str = "…";
/// The parameters whose names are shown.
const PARAMETERS: &[&str] =
    &["filter", "startIndex", "count", "attributes", "excludedAttributes", "sortBy", "sortOrder", "cursor", "domain"];

/// A request that writes.
#[must_use]
pub fn of_write(method: &str, endpoint: &str, body: Option<&Value>) -> String {
    let shown = body.map(|body| format!(" {}", shape(body, 0))).unwrap_or_default();
    clip(&format!("{method} {endpoint}{shown}"))
}

/// A request that reads; `query` as it was sent, without the first `?`.
#[must_use]
pub fn of_read(method: &str, route: &str, query: Option<&str>) -> String {
    let mut text = format!("{method} {route}");
    for (index, part) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        let name_start = part.trim_start_matches('?');
        text.push_str(&"?".repeat(part.len() - name_start.len()));
        let Some((name, value)) = name_start.split_once('=') else {
            text.push_str(if name_start.is_empty() { "" } else { GONE });
            continue;
        };
        let name = PARAMETERS.iter().find(|known| **known == name).copied().unwrap_or(GONE);
        let decoded =
            || form_urlencoded::parse(format!("v={value}").as_bytes()).next().map(|(_, text)| text.into_owned()).unwrap_or_default();
        let value = if name == "filter" { filter(&decoded()) } else { GONE.to_owned() };
        write!(text, "{name}={value}").expect("writing to a string can't fail");
    }
    clip(&text)
}

fn clip(text: &str) -> String {
    if text.chars().count() <= EXAMPLE_CHARS_LIMIT {
        return text.to_owned();
    }
    text.chars().take(EXAMPLE_CHARS_LIMIT).chain(GONE.chars()).collect()
}

/// A value with texts and numbers gone. `depth` 0 is the body itself, 2 an element of `Operations`.
fn shape(value: &Value, depth: usize) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(_) => json!(0),
        Value::String(text) => json!(text_shape(text)),
        _ if depth > DEPTH => json!(GONE),
        Value::Array(elements) => {
            let more = (elements.len() > SHOWN).then(|| json!(GONE));
            elements.iter().take(SHOWN).map(|element| shape(element, depth + 1)).chain(more).collect()
        }
        Value::Object(fields) => {
            let more = (fields.len() > SHOWN).then(|| (GONE.to_owned(), json!(GONE)));
            fields.iter().take(SHOWN).map(|(name, value)| field(name, value, depth)).chain(more).collect::<Map<_, _>>().into()
        }
    }
}

fn field(name: &str, value: &Value, depth: usize) -> (String, Value) {
    let shown = match (depth, name.to_ascii_lowercase().as_str(), value) {
        (0, "schemas", Value::Array(urns)) => urns.iter().take(SHOWN).map(urn).collect(),
        (2, "op", Value::String(verb)) if ["add", "replace", "remove"].iter().any(|known| verb.eq_ignore_ascii_case(known)) => json!(verb),
        (2, "path", Value::String(text)) => json!(path(text)),
        _ => shape(value, depth + 1),
    };
    (path(name), shown)
}

/// Texts whose form is what matters stay: booleans, nothing at all, JSON in a text.
fn text_shape(text: &str) -> &str {
    match text.trim_start().chars().next() {
        None => "",
        Some('{') => "{…}",
        Some('[') => "[…]",
        Some(_) if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") => text,
        Some(_) => GONE,
    }
}

/// A schema's URN is nobody's value, if it is of the kinds that clients send.
fn urn(value: &Value) -> Value {
    let known = ["urn:ietf:params:scim:", "urn:scim:schemas:", "http://schemas.microsoft.com/"];
    match value.as_str() {
        Some(text) if known.iter().any(|start| text.starts_with(start)) && is_name(text) => value.clone(),
        _ => json!(GONE),
    }
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:_-$/".contains(c);
    !text.is_empty() && text.len() <= NAME_CHARS_LIMIT && text.chars().all(plain)
}

fn name(text: &str) -> &str {
    if text.is_empty() || is_name(text) { text } else { GONE }
}

/// An attribute's path, with the values of its filter gone.
fn path(text: &str) -> String {
    match text.split_once('[').map(|(before, rest)| (before, rest.rsplit_once(']'))) {
        Some((before, Some((inner, after)))) => format!("{}[{}]{}", name(before), filter(inner), name(after)),
        Some(_) => GONE.to_owned(),
        None => name(text).to_owned(),
    }
}

/// What comes next in a filter.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Attribute,
    Operator,
    Value,
    Conjunction,
}

/// A filter with its values gone, whether or not it could be parsed.
fn filter(text: &str) -> String {
    let mut shown = String::new();
    let mut next = Next::Attribute;
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = after_quoted(rest);
            shown.push_str("\"…\"");
            next = Next::Conjunction;
        } else if "()[]".contains(first) {
            rest = &rest[1..];
            shown.push(first);
            next = if "([".contains(first) { Next::Attribute } else { Next::Conjunction };
        } else if first.is_whitespace() {
            rest = rest.trim_start();
            if !shown.ends_with(' ') {
                shown.push(' ');
            }
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "()[]\"".contains(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            next = of_word(word, next, &mut shown);
        }
    }
    shown.trim_end().to_owned()
}

fn of_word(word: &str, next: Next, shown: &mut String) -> Next {
    let lower = word.to_ascii_lowercase();
    match (next, lower.as_str()) {
        (Next::Attribute, "not") => {
            shown.push_str(word);
            Next::Attribute
        }
        (Next::Attribute, _) => {
            shown.push_str(name(word));
            Next::Operator
        }
        (Next::Operator, "pr") => {
            shown.push_str(word);
            Next::Conjunction
        }
        (Next::Operator, "eq" | "ne" | "co" | "sw" | "ew" | "gt" | "ge" | "lt" | "le") => {
            shown.push_str(word);
            Next::Value
        }
        (Next::Conjunction, "and" | "or") => {
            shown.push_str(word);
            Next::Attribute
        }
        (Next::Value, _) => {
            shown.push_str(text_shape(word));
            Next::Conjunction
        }
        // The rest of a value with blanks in it, or what is no filter.
        (Next::Operator | Next::Conjunction, _) => {
            if !shown.ends_with(GONE) && !shown.ends_with("… ") {
                shown.push_str(GONE);
            }
            Next::Conjunction
        }
    }
}

/// What stands behind a quoted text.
fn after_quoted(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_stays_and_values_go() {
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp", "ada"], "Operations": [
            {"op": "Replace", "path": "active", "value": "False"},
            {"op": "Add", "path": "emails[type eq \"work\"].value", "value": "ada@acme.example"},
            {"op": "replace", "value": {"name.givenName": "Ada", "ada@acme.example": 7}},
            {"op": "ada", "path": "ada lovelace", "value": [{"$ref": null, "value": "{\"id\":1}"}]},
        ]});
        assert_eq!(
            of_write("PATCH", "Users", Some(&body)),
            "PATCH Users {\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\",\"…\"],\"Operations\":[\
             {\"op\":\"Replace\",\"path\":\"active\",\"value\":\"False\"},\
             {\"op\":\"Add\",\"path\":\"emails[type eq \\\"…\\\"].value\",\"value\":\"…\"},\
             {\"op\":\"replace\",\"value\":{\"name.givenName\":\"…\",\"…\":0}},\
             {\"op\":\"…\",\"path\":\"…\",\"value\":[{\"$ref\":null,\"value\":\"{…}\"}]}]}"
        );
        assert_eq!(of_write("DELETE", "Users", None), "DELETE Users");
    }

    #[test]
    fn queries_lose_their_values() {
        for (query, shown) in [
            ("filter=externalId+eq+jyoung", "GET Users?filter=externalId eq …"),
            ("filter=userName%20eq%20%22ada%22%20and%20active%20eq%20true", "GET Users?filter=userName eq \"…\" and active eq true"),
            ("filter=displayName+eq+Ada+Lovelace+and+title+pr", "GET Users?filter=displayName eq … and title pr"),
            ("filter=emails[value+eq+%22a\\%22b%22]", "GET Users?filter=emails[value eq \"…\"]"),
            ("?filter=userName+eq+%22ada%22&&ada=7&count=2&", "GET Users??filter=userName eq \"…\"&&…=…&count=…&"),
            ("ada", "GET Users?…"),
        ] {
            assert_eq!(of_read("GET", "Users", Some(query)), shown, "{query}");
        }
        assert_eq!(of_read("GET", "Users", None), "GET Users");
    }

    #[test]
    fn an_example_is_short_whatever_was_sent() {
        let wide: Map<String, Value> = (0..1_000).map(|n| (format!("a{n}"), json!([[[[[[[[["deep"]]]]]]]]]))).collect();
        let shown = of_write("POST", "Users", Some(&Value::Object(wide)));
        assert!(shown.chars().count() <= EXAMPLE_CHARS_LIMIT + 1 && !shown.contains("deep"), "{shown}");
        let long = of_read("GET", "Users", Some(&format!("filter={}", "(".repeat(5_000))));
        assert!(long.chars().count() <= EXAMPLE_CHARS_LIMIT + 1);
    }
}
