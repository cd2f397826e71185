//! What is built in: `deny.toml`'s licences, bans and sources, and how little the protocol crate may use.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::{none, root};

/// All that the protocol crate may use: none of these can do input or output for it.
const PURE_CRATES: &[&str] = &["base64", "caseless", "jiff", "serde", "serde_json", "thiserror", "unicode-normalization"];

/// `cargo metadata` for the platforms that we deploy on.
fn metadata() -> Value {
    let deny = deny();
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(root());
    for target in deny["graph"]["targets"].as_array().unwrap() {
        command.args(["--filter-platform", target.as_str().unwrap()]);
    }
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn deny() -> toml::Table {
    std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap()
}

/// The packages that are really built, by id.
fn built(metadata: &Value) -> Vec<&Value> {
    let used: BTreeSet<&str> = metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    metadata["packages"].as_array().unwrap().iter().filter(|package| used.contains(package["id"].as_str().unwrap())).collect()
}

fn texts(value: &toml::Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn licences_bans_and_sources_are_those_of_deny_toml() {
    let (metadata, deny) = (metadata(), deny());
    let allowed = texts(&deny["licenses"]["allow"]);
    let registries = texts(&deny["sources"]["allow-registry"]);
    let banned: BTreeSet<&str> = deny["bans"]["deny"].as_array().unwrap().iter().map(|ban| ban["crate"].as_str().unwrap()).collect();
    let mut findings = Vec::new();
    let packages = built(&metadata);
    assert!(packages.len() > 100, "only {} packages were found", packages.len());
    for package in packages {
        let name = package["name"].as_str().unwrap();
        match package["license"].as_str() {
            None => findings.push(format!("{name}: no licence")),
            Some(licence) if !is_allowed(licence, &allowed) => findings.push(format!("{name}: licence `{licence}`")),
            Some(_) => {}
        }
        if banned.contains(name) {
            findings.push(format!("{name}: banned"));
        }
        if let Some(source) = package["source"].as_str() {
            let registry = source.strip_prefix("registry+").unwrap_or(source);
            if !registries.contains(registry) {
                findings.push(format!("{name}: from `{source}`"));
            }
        }
    }
    none("deny.toml", findings);
}

#[test]
fn the_protocol_crate_can_do_no_input_or_output() {
    let metadata = metadata();
    let scim = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "rolecall-scim").unwrap();
    let uses: BTreeMap<&str, &Value> = scim["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| (dependency["name"].as_str().unwrap(), dependency))
        .collect();
    assert!(uses.contains_key("serde_json"), "the dependencies were not found");
    none("rolecall-scim stays pure", uses.keys().filter(|name| !PURE_CRATES.contains(name)).map(|name| (*name).to_owned()).collect());
    let jiff = uses.get("jiff").map(|jiff| &jiff["uses_default_features"]);
    assert!(jiff.is_none_or(|default| default == false), "jiff's default features read the system's time zone");
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"]);
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception OR GPL-2.0"]
    {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in
        ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", "MIT WITH Something", "", "MIT OR", "(MIT", "MIT Apache-2.0"]
    {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

/// Whether an SPDX expression (or its older form with `/`) can be met with allowed licences alone.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &tokens[..];
    let verdict = any_of(&mut rest, allowed);
    rest.is_empty() && verdict == Some(true)
}

fn any_of(tokens: &mut &[&str], allowed: &BTreeSet<&str>) -> Option<bool> {
    let mut verdict = all_of(tokens, allowed)?;
    while tokens.first() == Some(&"OR") {
        *tokens = &tokens[1..];
        verdict |= all_of(tokens, allowed)?;
    }
    Some(verdict)
}

fn all_of(tokens: &mut &[&str], allowed: &BTreeSet<&str>) -> Option<bool> {
    let mut verdict = one(tokens, allowed)?;
    while tokens.first() == Some(&"AND") {
        *tokens = &tokens[1..];
        verdict &= one(tokens, allowed)?;
    }
    Some(verdict)
}

fn one(tokens: &mut &[&str], allowed: &BTreeSet<&str>) -> Option<bool> {
    let (first, rest) = tokens.split_first()?;
    *tokens = rest;
    if *first == "(" {
        let verdict = any_of(tokens, allowed)?;
        let (last, rest) = tokens.split_first()?;
        *tokens = rest;
        return (*last == ")").then_some(verdict);
    }
    if let [with, exception, rest @ ..] = *tokens
        && *with == "WITH"
    {
        *tokens = rest;
        return Some(allowed.contains(format!("{first} WITH {exception}").as_str()));
    }
    Some(allowed.contains(first))
}
