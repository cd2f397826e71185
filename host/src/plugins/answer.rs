//! A plugin's answers, checked: what the contract's types can't say. An answer that breaks a bound is the plugin's fault, with the place.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::short;
use super::contract::rolecall::plugin::types;
use super::error::PluginFault;
use super::limits::{PATH_BYTES_LIMIT, PROPOSALS_LIMIT, WORD_BYTES_LIMIT};
use super::projection::Reads;
use super::{Description, Proposal};
use crate::mapping::{AccountShape, Mapping, TEXT_BYTES_LIMIT, has_control};

/// What a plugin says of itself.
pub fn description(said: types::Description) -> Result<(Description, Reads), PluginFault> {
    text("/name", &said.name, WORD_BYTES_LIMIT)?;
    text("/version", &said.version, WORD_BYTES_LIMIT)?;
    let reads = Reads::new(&said.reads).map_err(|(number, problem)| invalid(format!("/reads/{number}"), problem))?;
    Ok((Description { name: said.name, version: said.version, reads: said.reads }, reads))
}

/// What becomes of a person.
pub fn mapping(answer: Result<types::Answer, types::PluginError>) -> Result<Mapping, PluginFault> {
    match answer {
        Ok(types::Answer::Account(account)) => self::account(account),
        Ok(types::Answer::OutOfScope(reason)) => {
            text("/out-of-scope", &reason, TEXT_BYTES_LIMIT)?;
            Ok(Mapping::OutOfScope { reason })
        }
        Err(error) => {
            let Refusal { code, path, message } = refusal(error)?;
            Ok(Mapping::Refused { code, path, message })
        }
    }
}

/// The roles that are nominated.
pub fn proposals(answer: Result<Vec<types::Proposal>, types::PluginError>) -> Result<Vec<Proposal>, PluginFault> {
    let said = match answer {
        Ok(said) => said,
        Err(error) => {
            let Refusal { code, path, message } = refusal(error)?;
            return Err(PluginFault::NoVerdict { code, path, message });
        }
    };
    if said.len() > PROPOSALS_LIMIT {
        return Err(invalid("".into(), format!("{} roles are nominated, at most {PROPOSALS_LIMIT} are allowed", said.len())));
    }
    let mut proposals = Vec::with_capacity(said.len());
    for (number, types::Proposal { role, because }) in said.into_iter().enumerate() {
        text(&format!("/{number}/role"), &role, PATH_BYTES_LIMIT)?;
        if let Some(because) = &because {
            text(&format!("/{number}/because"), because, TEXT_BYTES_LIMIT)?;
        }
        proposals.push(Proposal { role, because });
    }
    Ok(proposals)
}

/// A refusal of settings as one sentence.
pub fn settings_problem(error: types::PluginError) -> Result<String, PluginFault> {
    let Refusal { path, message, .. } = refusal(error)?;
    Ok(path.map_or_else(|| message.clone(), |path| format!("`{path}`: {message}")))
}

struct Refusal {
    code: String,
    path: Option<String>,
    message: String,
}

fn refusal(error: types::PluginError) -> Result<Refusal, PluginFault> {
    let types::PluginError { code, path, message } = error;
    let is_word = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_word || code.len() > WORD_BYTES_LIMIT {
        let problem = format!("a code has 1 to {WORD_BYTES_LIMIT} lower-case letters, digits and underscores");
        return Err(invalid("/plugin-error/code".into(), problem));
    }
    if let Some(path) = &path {
        text("/plugin-error/path", path, PATH_BYTES_LIMIT)?;
    }
    text("/plugin-error/message", &message, TEXT_BYTES_LIMIT)?;
    Ok(Refusal { code, path, message })
}

fn account(said: types::Account) -> Result<Mapping, PluginFault> {
    let shape: AccountShape = serde_json::from_str(&said.json).map_err(|error| misshapen(&said.json, &error))?;
    shape.check().map_err(|(path, problem)| invalid(format!("/account/json/{}", path.replace('.', "/")), problem))?;
    let names: Vec<&str> = shape.texts().map(|(name, _)| name).collect();
    let has = |attribute: &str| match attribute.strip_prefix("tags.") {
        Some(tag) => shape.tags.contains_key(tag),
        None => attribute == "tags" && !shape.tags.is_empty() || names.contains(&attribute),
    };
    let mut provenance = BTreeMap::new();
    for (number, types::Provenance { attribute, source }) in said.provenance.into_iter().enumerate() {
        let path = |member: &str| format!("/account/provenance/{number}/{member}");
        if !has(&attribute) {
            return Err(invalid(path("attribute"), "expected an attribute that the account has, or `tags.` and one of its tags".into()));
        }
        if let Err(problem) = check_text(&source, TEXT_BYTES_LIMIT) {
            return Err(invalid(path("source"), problem));
        }
        provenance.insert(attribute, source);
    }
    Ok(Mapping::Account { shape, provenance })
}

/// What is wrong with an account's JSON. Serde says what it expected and not where, so a second look finds the place.
fn misshapen(json: &str, error: &serde_json::Error) -> PluginFault {
    let whole = |problem: String| invalid("/account/json".into(), problem);
    let attributes = match serde_json::from_str::<Value>(json) {
        Ok(Value::Object(attributes)) => attributes,
        Ok(_) => return whole("expected a JSON object".into()),
        Err(error) => return whole(short(&error.to_string())),
    };
    for (name, value) in &attributes {
        if !AccountShape::ATTRIBUTES.contains(&name.as_str()) {
            let known = AccountShape::ATTRIBUTES.join("`, `");
            return whole(format!("an account has no attribute `{}`; it has `{known}`", short(name)));
        }
        let path = format!("/account/json/{name}");
        match value {
            Value::Object(tags) if name == "tags" => {
                let is_set = |values: &Value| values.as_array().is_some_and(|values| values.iter().all(Value::is_string));
                if let Some((tag, _)) = tags.iter().find(|(_, values)| !is_set(values)) {
                    return invalid(format!("{path}/{}", short(tag)), "expected a list of texts".into());
                }
            }
            _ if name == "tags" => return invalid(path, "expected an object of lists of texts".into()),
            Value::String(_) => {}
            _ => return invalid(path, "expected a text".into()),
        }
    }
    whole(short(&error.to_string()))
}

fn text(path: &str, text: &str, limit: usize) -> Result<(), PluginFault> {
    check_text(text, limit).map_err(|problem| invalid(path.to_owned(), problem))
}

fn check_text(text: &str, limit: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > limit || has_control(text) {
        return Err(format!("expected 1 to {limit} bytes of text without control characters, got {} bytes", text.len()));
    }
    Ok(())
}

fn invalid(path: String, problem: String) -> PluginFault {
    PluginFault::InvalidAnswer { path, problem }
}
