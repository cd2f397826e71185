//! What pages say of people, in sentences: pure.

use serde_json::Value;

use super::super::words;
use crate::model::{AccountState, Actor, Grant, GrantState, Note, Ruling, RulingKind, RulingState, Waiting};
use crate::store::AccountView;
use crate::store::history::Standing;

/// How deep a value is laid out before it is shown as it is.
const DEPTH_LIMIT: usize = 4;
/// The most lines of a document that are shown.
const LINES_LIMIT: usize = 300;
/// The most roles that are named in a line.
const ROLES_NAMED: usize = 3;

/// What somebody is called.
pub fn name(view: &AccountView) -> &str {
    let shown = view.account.profile["display_name"].as_str();
    view.account.user_name.as_deref().or(shown).unwrap_or(view.account.id.as_str())
}

/// The roles in effect, in a few words.
pub fn in_effect(view: &AccountView) -> String {
    let roles: Vec<&str> = view.grants.iter().filter(|grant| grant.state.in_effect()).map(|grant| grant.role.as_str()).collect();
    match roles.len() {
        0 => "none".to_owned(),
        many if many > ROLES_NAMED => format!("{} and {} more", roles[..ROLES_NAMED].join(", "), many - ROLES_NAMED),
        _ => roles.join(", "),
    }
}

/// What a state means.
pub fn meaning(state: AccountState) -> &'static str {
    match state {
        AccountState::Active => "The account is in use.",
        AccountState::Suspended => "The account is out of use: no role is in effect.",
        AccountState::Held => "The account waits for somebody: nothing new is given until then.",
        AccountState::OutOfScope => "The mapping says that this person is none of this tenant’s: there is no account to use.",
        AccountState::Scheduled => "The account is prepared, and comes into use at its start date.",
        AccountState::Removed => "The identity provider deleted this person: the account is out of use, and kept for its history.",
    }
}

/// What a note is about, in a word or two.
pub fn heading_of(note: &Note) -> &str {
    match note.code.as_str() {
        Note::COLLISION => "name is taken",
        Note::PLUGIN_FAULT => "the plugin fails",
        "policy_error" => "a policy fails",
        Note::STAGING => "connection in staging",
        Note::ADOPTION => "whose account is it?",
        Note::ADOPTED => "adopted, not decided yet",
        Note::MOVED => "moved to another connection",
        Note::TAKEN_OVER => "moved here, not decided yet",
        Note::ENDED => "end date has come",
        Note::ENDING => "end date is near",
        Note::ABSENT => "on leave",
        "loss_held" => "loss is held",
        "restored" => "in use by an exception",
        "no_revision" => "no active revision",
        "paused" => "connection is paused",
        "quarantined" => "connection is quarantined",
        other => other,
    }
}

/// What somebody does about a note.
pub fn remedy(note: &Note) -> &'static str {
    match note.code.as_str() {
        Note::COLLISION => {
            "Another account has this login name. Rename one of the two at the identity provider: the name is tried again by itself."
        }
        Note::PLUGIN_FAULT => {
            "The mapping’s plugin fails for this person. What they had stays until its deadline. Look at the plugin’s failures under Mapping, and activate a revision with a plugin that copes."
        }
        "policy_error" => {
            "A policy fails for this person. What they had stays until its deadline. Mend the policy that is named, and activate the revision."
        }
        Note::STAGING => "Nothing of this connection has effect before it goes live: look at its first sync under Connections.",
        Note::ADOPTION => "Say under Connections, with the first sync, whether an account that is there already is this person’s.",
        Note::MOVED => {
            "What stands here has no roles and gets none: the person’s account is at the connection that they moved to. The way back is under Connections, with that connection’s first sync."
        }
        Note::TAKEN_OVER => "Their roles stay as they are until the connection that they moved to has decided about them.",
        Note::ENDED => "Their end date has come. If it is wrong, correct it at the identity provider.",
        Note::ENDING => "Their end date is near. If it is wrong, correct it at the identity provider.",
        Note::ABSENT => "They are on leave. End the leave below to give everything back.",
        "loss_held" => "More people lose access at once than may be: answer the hold under Decisions.",
        "restored" => {
            "The identity provider says that they are inactive, and somebody restored them for a time: enable them there, or let the time end."
        }
        "no_revision" => "Apply a revision under Mapping.",
        "paused" | "quarantined" => {
            "The connection does not take part at present: what is new waits until it is resumed under Connections."
        }
        "out_of_scope" => "If they belong here, change what the mapping asks for, or their attributes at the identity provider.",
        _ => "The mapping refuses this person for the reason above: correct the attribute at the identity provider, or change the mapping.",
    }
}

/// In which way a role is held.
pub fn of_grant(grant: &Grant) -> &'static str {
    match (grant.state, grant.waits_for) {
        (GrantState::Effective, None) => "in effect",
        (GrantState::Effective, Some(_)) => "in effect, its loss is held",
        (GrantState::Retained, Some(Waiting::Overlap)) => "kept for a while after a move",
        (GrantState::Retained, _) => "kept until its deadline: it can’t be decided",
        (GrantState::Dormant, _) => "asleep: it may come back",
        (GrantState::Pending, Some(Waiting::Approval)) => "waits for an approval",
        (GrantState::Pending, Some(Waiting::Hold)) => "waits in a hold",
        (GrantState::Pending, Some(Waiting::Staging)) => "waits for the connection to go live",
        (GrantState::Pending, Some(Waiting::Adoption)) => "waits for somebody to say whose the account is",
        (GrantState::Pending, Some(Waiting::Start)) => "waits for the start date",
        (GrantState::Pending, _) => "waits",
    }
}

/// Who did something.
pub fn actor(actor: &Actor) -> String {
    match actor.kind.as_str() {
        "connection" => "the identity provider".to_owned(),
        "worker" => format!("Rolecall ({})", actor.id.replace('_', " ")),
        "guard" => "the guard".to_owned(),
        "review" => "a review".to_owned(),
        _ => words::actor(actor),
    }
}

/// What was said of somebody.
pub fn ruling(ruling: &Ruling) -> String {
    let role = ruling.role.as_ref().map_or("the account", |role| role.as_str());
    match (ruling.kind, ruling.state) {
        (RulingKind::Approval, RulingState::Open) => format!("asks for the role {role}"),
        (RulingKind::Approval, RulingState::Yes) => format!("was allowed the role {role}"),
        (RulingKind::Approval, _) => format!("was refused the role {role}"),
        (RulingKind::Grant, _) => format!("has the role {role} by an exception"),
        (RulingKind::Forbid, _) => format!("is kept from the role {role} by an exception"),
        (RulingKind::Loss, RulingState::Open) => format!("waits in a hold: would lose {role}"),
        (RulingKind::Gain, RulingState::Open) => format!("waits in a hold: would gain {role}"),
        (RulingKind::Loss, RulingState::Yes) => format!("loses {role}, as was said of a hold"),
        (RulingKind::Gain, RulingState::Yes) => format!("gains {role}, as was said of a hold"),
        (RulingKind::Loss, _) => format!("keeps {role}, as was said of a hold"),
        (RulingKind::Gain, _) => format!("does not gain {role}, as was said of a hold"),
        (RulingKind::Restored, _) => "is in use by an exception, although the identity provider says inactive".to_owned(),
        (RulingKind::Absence, _) => "is on leave".to_owned(),
        (RulingKind::Drift, RulingState::Open) => "waits in a hold: the identity provider's export says something else of them".to_owned(),
        (RulingKind::Drift, RulingState::Yes) => "is changed by a reconciliation, as was said of a hold".to_owned(),
        (RulingKind::Drift, _) => "is left as they are by a reconciliation, as was said of a hold".to_owned(),
        (RulingKind::Adoption, _) => "may be somebody whose account was imported".to_owned(),
    }
}

/// What stood or stands, as a sentence without its time.
pub fn stood(standing: &Standing) -> String {
    let over = standing.until.is_some();
    let Some(role) = &standing.role else {
        let why = standing.note.as_deref().map(|note| format!(" ({})", note.replace('_', " "))).unwrap_or_default();
        let verb = if over { "was" } else { "is" };
        return format!("The account {verb} {}{why}.", standing.state.replace('_', " "));
    };
    match (GrantState::from_word(&standing.state), over) {
        (Some(GrantState::Effective), true) => format!("Had the role {role}."),
        (Some(GrantState::Effective), false) => format!("Has the role {role}."),
        (Some(GrantState::Retained), true) => format!("Kept the role {role} for a while."),
        (Some(GrantState::Retained), false) => format!("Keeps the role {role} for a while."),
        (Some(GrantState::Pending), true) => format!("Was to get the role {role}, and waited."),
        (Some(GrantState::Pending), false) => format!("Is to get the role {role}, and waits."),
        (Some(GrantState::Dormant), true) => format!("The role {role} was asleep."),
        (Some(GrantState::Dormant), false) => format!("The role {role} is asleep."),
        (None, _) => format!("{role}: {}.", standing.state),
    }
}

/// How a decision about a role ends.
pub fn decision(word: &str) -> &'static str {
    match word {
        "allow" => "The policies give it.",
        "deny" => "A policy forbids it.",
        "no_permit" => "No policy gives it.",
        "error" => "It can’t be decided: a policy fails.",
        "inactive" | "ended" | "removed" => "Nobody who is gone has roles.",
        "out_of_scope" | "refused" => "There is no account that could have it.",
        "no_revision" => "There are no policies to ask.",
        _ => "It can’t be decided.",
    }
}

/// A document, laid out as paths with their values: the paths are those that mappings and filters name.
pub fn laid_out(value: &Value) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    lay_out(value, String::new(), 0, &mut lines);
    if lines.len() > LINES_LIMIT {
        let more = lines.len() - LINES_LIMIT;
        lines.truncate(LINES_LIMIT);
        lines.push(("…".to_owned(), format!("and {more} more")));
    }
    lines
}

fn lay_out(value: &Value, path: String, depth: usize, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(parts) if depth < DEPTH_LIMIT => {
            for (name, part) in parts {
                let separator = if depth == 1 && path.starts_with("urn:") { ":" } else { "." };
                let inner = if path.is_empty() { name.clone() } else { format!("{path}{separator}{name}") };
                lay_out(part, inner, depth + 1, lines);
            }
        }
        Value::Array(items) if depth < DEPTH_LIMIT && items.iter().any(Value::is_object) => {
            for item in items {
                let of = item["type"].as_str().or(item["display"].as_str()).map(|of| format!("[{of}]")).unwrap_or_default();
                match item.get("value") {
                    Some(value) => lines.push((format!("{path}{of}"), text(value))),
                    None => lay_out(item, format!("{path}{of}"), depth + 1, lines),
                }
            }
        }
        other => lines.push((path, text(other))),
    }
}

/// Where an attribute comes from: said of itself, or of what it is a part of.
pub fn provenance<'v>(provenance: &'v Value, attribute: &str) -> Option<&'v Value> {
    provenance.get(attribute).or_else(|| provenance.get(attribute.split('.').next()?))
}

/// A value in a line.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_laid_out_by_paths() {
        let document = json!({
            "userName": "ada", "active": true, "name": {"familyName": "Lovelace"},
            "emails": [{"value": "ada@acme.example", "type": "work", "primary": true}],
            "addresses": [{"type": "work", "locality": "London"}],
            "urn:x:2.0:User": {"department": "Engineering", "tags": ["a", "b"]},
        });
        let lines: BTreeSet<String> = laid_out(&document).into_iter().map(|(path, value)| format!("{path} = {value}")).collect();
        let expected = [
            "userName = ada",
            "active = true",
            "name.familyName = Lovelace",
            "emails[work] = ada@acme.example",
            "addresses[work].type = work",
            "addresses[work].locality = London",
            "urn:x:2.0:User:department = Engineering",
            "urn:x:2.0:User:tags = a, b",
        ];
        assert_eq!(lines, expected.map(str::to_owned).into());
    }

    #[test]
    fn every_way_of_holding_a_role_has_its_words() {
        let grant = |state, waits_for| Grant {
            role: "r".into(),
            state,
            reasons: Vec::new(),
            since: crate::model::Instant(0),
            deadline: None,
            revision: "x".into(),
            waits_for,
        };
        let said: BTreeSet<&str> = GrantState::ALL.iter().map(|state| of_grant(&grant(*state, None))).collect();
        assert_eq!(said.len(), GrantState::ALL.len());
        assert_eq!(of_grant(&grant(GrantState::Pending, Some(Waiting::Approval))), "waits for an approval");
    }
}
