//! What a plugin sees of a person: what it declared that it reads, and no more, so that logs and derived values can't carry out the rest.
//! Knows nothing of Wasm.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

use super::limits::{PATH_BYTES_LIMIT, READS_LIMIT};

/// A core attribute may be written with its schema's URN before it.
const CORE_PREFIX: &str = "urn:ietf:params:scim:schemas:core:2.0:User:";

/// The paths that a plugin declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reads {
    paths: Vec<Path>,
    /// With settings' names in braces.
    templates: Vec<String>,
}

/// A SCIM path without filters. Extensions' URNs have dots and colons of their own, so that where the URN ends only shows against a document.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Path {
    text: String,
    /// What stands between an attribute's name and what is below it: `:` after an extension's URN.
    below: char,
}

/// A tenant's settings of a plugin. Read once, when a revision is made, because the paths that a plugin reads may be named in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSettings {
    json: String,
    values: Map<String, Value>,
}

impl PluginSettings {
    /// As JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }
}

impl<T: Into<String>> From<T> for PluginSettings {
    /// Of JSON text. What is no object has no values; the plugin sees the text as it is.
    fn from(json: T) -> Self {
        let json = json.into();
        Self { values: serde_json::from_str(&json).unwrap_or_default(), json }
    }
}

impl Reads {
    /// Reads the declared paths.
    ///
    /// # Errors
    /// The number of the path and what is wrong with it.
    pub fn new(declared: &[String]) -> Result<Self, (usize, String)> {
        if declared.len() > READS_LIMIT {
            return Err((READS_LIMIT, format!("{} paths are declared, at most {READS_LIMIT} are allowed", declared.len())));
        }
        let mut reads = Self { paths: Vec::new(), templates: Vec::new() };
        for (number, text) in declared.iter().enumerate() {
            if text.contains(['{', '}']) {
                check_template(text).map_err(|problem| (number, problem))?;
                reads.templates.push(text.clone());
            } else {
                reads.paths.push(Path::new(text).map_err(|problem| (number, problem))?);
            }
        }
        Ok(reads)
    }

    /// The user as JSON text, with the attributes that were declared. A path whose setting is missing is left out.
    pub fn project(&self, user: &Value, settings: &PluginSettings) -> String {
        let Some(user) = user.as_object() else { return "{}".into() };
        let named = self.templates.iter().filter_map(|template| fill(template, &settings.values)).filter_map(|text| Path::new(&text).ok());
        let projected = Projected { user, declared: &self.paths, named: named.collect() };
        serde_json::to_string(&projected).expect("a JSON value with texts for keys can't fail to serialise")
    }
}

fn check_template(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let closed = after.split_once('}').filter(|(name, _)| !name.is_empty() && !name.contains('{'));
        let Some((_, after)) = closed.filter(|_| !before.contains('}')) else { break };
        rest = after;
    }
    if rest.contains(['{', '}']) {
        return Err("expected the name of a setting between `{` and `}`".into());
    }
    if text.len() > PATH_BYTES_LIMIT || text.chars().any(char::is_control) {
        return Err(format!("expected at most {PATH_BYTES_LIMIT} bytes without control characters"));
    }
    Ok(())
}

fn fill(template: &str, settings: &Map<String, Value>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(settings.get(name)?.as_str()?);
        rest = after;
    }
    Some(filled + rest)
}

impl Path {
    fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > PATH_BYTES_LIMIT || text.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(format!("expected a SCIM path of 1 to {PATH_BYTES_LIMIT} bytes without spaces"));
        }
        let core = text.get(..CORE_PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(CORE_PREFIX));
        let text = core.map_or(text, |prefix| &text[prefix.len()..]);
        if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:")) {
            return Ok(Self { text: text.to_owned(), below: ':' });
        }
        let is_name = |segment: &str| {
            segment.starts_with(|first: char| first.is_ascii_alphabetic() || first == '$')
                && segment.chars().skip(1).all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
        };
        if text.split('.').all(is_name) {
            return Ok(Self { text: text.to_owned(), below: '.' });
        }
        Err("expected a SCIM path such as `userName`, `name.givenName` or an extension's URN (filters are not possible)".into())
    }

    /// What of an attribute is wanted: the path below it (empty: all of it), or nothing of it.
    fn below(&self, attribute: &str) -> Option<&str> {
        below(&self.text, attribute, self.below)
    }
}

/// What a path names below a name that it begins with, whatever the case.
fn below<'a>(path: &'a str, name: &str, separator: char) -> Option<&'a str> {
    let start = path.get(..name.len()).filter(|start| start.eq_ignore_ascii_case(name))?;
    let rest = &path[start.len()..];
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(separator) }
}

struct Projected<'a> {
    user: &'a Map<String, Value>,
    declared: &'a [Path],
    /// By the tenant's settings.
    named: Vec<Path>,
}

impl Serialize for Projected<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.user {
            let wanted = self.declared.iter().chain(&self.named).filter_map(|path| path.below(name));
            put(&mut map, name, value, wanted)?;
        }
        map.end()
    }
}

/// Writes what is wanted of an attribute, if something is.
fn put<'a, M: SerializeMap>(
    map: &mut M,
    name: &str,
    value: &'a Value,
    wanted: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), M::Error> {
    if wanted.clone().any(str::is_empty) {
        return map.serialize_entry(name, value);
    }
    let part = Part { value, wanted: wanted.collect() };
    if part.wanted.is_empty() || !(value.is_object() || value.is_array()) {
        return Ok(());
    }
    map.serialize_entry(name, &part)
}

/// A value of which these paths are wanted, and no more.
struct Part<'a> {
    value: &'a Value,
    wanted: Vec<&'a str>,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(object) => {
                let mut map = serializer.serialize_map(None)?;
                for (name, value) in object {
                    put(&mut map, name, value, self.wanted.iter().filter_map(|path| below(path, name, '.')))?;
                }
                map.end()
            }
            // The sub-attributes of a multi-valued attribute are those of each of its values.
            Value::Array(values) => {
                let mut list = serializer.serialize_seq(None)?;
                for value in values.iter().filter(|value| value.is_object()) {
                    list.serialize_element(&Part { value, wanted: self.wanted.clone() })?;
                }
                list.end()
            }
            value => value.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn project(reads: &[&str], settings: &str) -> Value {
        let user = json!({
            "userName": "ann", "active": true, "secret": {"a": 1},
            "name": {"givenName": "Ann", "familyName": "Lee", "formatted": "Ann Lee"},
            "emails": [{"type": "work", "value": "ann@acme.example", "primary": true}, {"type": "home", "value": "a@home.example"}, "odd"],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "R&D", "manager": {"value": "m", "displayName": "Max"}},
            "urn:example:acme:2.0:User": {"unit": "U7", "salary": 1}
        });
        let declared: Vec<String> = reads.iter().map(|path| (*path).to_owned()).collect();
        serde_json::from_str(&Reads::new(&declared).unwrap().project(&user, &settings.into())).unwrap()
    }

    #[test]
    fn a_plugin_sees_what_it_declared() {
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        for (reads, settings, expected) in [
            (vec![], "{}", json!({})),
            (vec!["username", "absent", "active.nothing"], "{}", json!({"userName": "ann"})),
            (vec!["urn:ietf:params:scim:schemas:core:2.0:User:name.givenName"], "{}", json!({"name": {"givenName": "Ann"}})),
            (vec!["name.givenName", "name.FamilyName"], "{}", json!({"name": {"givenName": "Ann", "familyName": "Lee"}})),
            (vec!["name", "name.givenName"], "{}", json!({"name": {"givenName": "Ann", "familyName": "Lee", "formatted": "Ann Lee"}})),
            (
                vec!["emails.value", "emails.type"],
                "{}",
                json!({"emails": [{"type": "work", "value": "ann@acme.example"}, {"type": "home", "value": "a@home.example"}]}),
            ),
            (
                vec!["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value"],
                "{}",
                json!({enterprise: {"manager": {"value": "m"}}}),
            ),
            (vec!["URN:example:acme:2.0:user:unit"], "{}", json!({"urn:example:acme:2.0:User": {"unit": "U7"}})),
            (vec!["urn:example:acme:2.0:Use"], "{}", json!({})),
            (vec!["urn:example:acme:2.0:UserX"], "{}", json!({})),
            (
                vec!["{ext}:{unit}"],
                r#"{"ext": "urn:example:acme:2.0:User", "unit": "unit"}"#,
                json!({"urn:example:acme:2.0:User": {"unit": "U7"}}),
            ),
            (vec!["{ext}"], "{}", json!({})),
            (vec!["{ext}"], r#"{"ext": 5}"#, json!({})),
            (vec!["{ext}"], r#"{"ext": "not a path"}"#, json!({})),
        ] {
            assert_eq!(project(&reads, settings), expected, "{reads:?} {settings}");
        }
    }

    #[test]
    fn a_path_that_is_none_is_named() {
        for path in
            ["", "a b", "emails[type eq \"work\"]", "name.", ".name", "{", "a}b{c}", "{a{b}}", "{}", "{a}:\nb", "{a\0}", &"x".repeat(300)]
        {
            let declared = vec!["userName".to_owned(), path.to_owned()];
            assert_eq!(Reads::new(&declared).unwrap_err().0, 1, "{path}");
        }
        assert!(Reads::new(&vec!["userName".to_owned(); READS_LIMIT + 1]).is_err());
    }
}
