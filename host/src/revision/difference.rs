//! What differs between two revisions: the texts, and in the words that decide: policies by `@id`, roles by id.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Files;
use super::folder::{Kind, SETTINGS};
use crate::crypto::sha256_hex;
use crate::policies;

/// How much of a file's hash is shown where its text can't be.
const HASH_CHARS_SHOWN: usize = 12;

/// What differs between two revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Difference {
    /// The files that differ, by path.
    pub files: Vec<FileDifference>,
    /// Policies by `@id`.
    pub policies: Named,
    /// Roles of the catalogue by id.
    pub roles: Named,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FileDifference {
    /// Its path.
    pub path: String,
    /// A unified diff; for plugins the hashes.
    pub diff: String,
}

/// Names that came, went, or mean something else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Named {
    /// Only in the second.
    pub added: Vec<String>,
    /// Only in the first.
    pub removed: Vec<String>,
    /// In both, and not the same.
    pub changed: Vec<String>,
}

/// What differs from `a` to `b`. Files that can't be parsed are compared as text alone.
#[must_use]
pub fn diff(a: &Files, b: &Files) -> Difference {
    let paths: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let files = paths.into_iter().filter(|path| a.get(*path) != b.get(*path));
    Difference {
        files: files.map(|path| FileDifference { diff: file_diff(path, a.get(path), b.get(path)), path: path.clone() }).collect(),
        policies: Named::between(&policies::texts_by_id(&sources(a)), &policies::texts_by_id(&sources(b))),
        roles: Named::between(&roles(a), &roles(b)),
    }
}

fn file_diff(path: &str, a: Option<&Vec<u8>>, b: Option<&Vec<u8>>) -> String {
    let text = |side: Option<&Vec<u8>>| side.map_or(Some(String::new()), |bytes| String::from_utf8(bytes.clone()).ok());
    match (Kind::of(path), text(a), text(b)) {
        (Some(Kind::Plugin), _, _) | (_, None, _) | (_, _, None) => {
            let shown = |side: Option<&Vec<u8>>| match side {
                None => "none".to_owned(),
                Some(bytes) => format!("{} ({} bytes)", &sha256_hex(bytes)[..HASH_CHARS_SHOWN], bytes.len()),
            };
            format!("--- a/{path}\n+++ b/{path}\n-{}\n+{}\n", shown(a), shown(b))
        }
        (_, Some(a), Some(b)) => {
            similar::TextDiff::from_lines(&a, &b).unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string()
        }
    }
}

fn sources(files: &Files) -> Vec<(String, String)> {
    let policies = files.iter().filter(|(path, _)| Kind::of(path) == Some(Kind::Policy));
    policies.filter_map(|(path, bytes)| Some((path.clone(), String::from_utf8(bytes.clone()).ok()?))).collect()
}

fn roles(files: &Files) -> BTreeMap<String, String> {
    let text = files.get(SETTINGS).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    let roles = table.get("roles").and_then(toml::Value::as_array).into_iter().flatten();
    roles.filter_map(|role| Some((role.get("id")?.as_str()?.to_owned(), role.to_string()))).collect()
}

impl Named {
    fn between(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) -> Self {
        let missing = |from: &BTreeMap<String, String>, of: &BTreeMap<String, String>| {
            of.keys().filter(|name| !from.contains_key(*name)).cloned().collect()
        };
        let changed = a.iter().filter(|(name, text)| b.get(*name).is_some_and(|other| other != *text));
        Self { added: missing(a, b), removed: missing(b, a), changed: changed.map(|(name, _)| name.clone()).collect() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.files.is_empty() {
            return f.write_str("no difference\n");
        }
        for (what, named) in [("policy", &self.policies), ("role", &self.roles)] {
            for (sign, names) in [('+', &named.added), ('-', &named.removed), ('~', &named.changed)] {
                for name in names {
                    writeln!(f, "{sign} {what} {name}")?;
                }
            }
        }
        self.files.iter().try_for_each(|file| write!(f, "\n{}", file.diff))
    }
}
