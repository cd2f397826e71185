//! What a person has, as a picture; what differs between two of them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::evaluation::Outcome;
use crate::lifecycle::{Settled, Standing};
use crate::model::{AccountState, AttributeDifference, Difference, DifferenceKind, GrantState, Note};

/// The attribute of an account whose members are attributes themselves.
const TAGS: &str = "tags";

/// What a person has.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The account's state; `None` for somebody who has never been decided.
    state: Option<AccountState>,
    /// The account's login name.
    pub user_name: Option<String>,
    profile: Value,
    roles: BTreeMap<String, GrantState>,
    note: Option<Note>,
}

impl Picture {
    /// What stands.
    #[must_use]
    pub fn standing(standing: &Standing<'_>) -> Self {
        Self {
            state: (!standing.fresh).then_some(standing.account.state),
            user_name: standing.account.user_name.clone(),
            profile: standing.account.profile.clone(),
            roles: standing.grants.iter().map(|grant| (grant.role.0.clone(), grant.state)).collect(),
            note: standing.account.note.clone(),
        }
    }

    /// What would stand after the change.
    #[must_use]
    pub fn after(standing: &Standing<'_>, settled: &Settled) -> Self {
        let mut picture = Self::standing(standing);
        picture.state = Some(standing.account.state);
        if let Some(account) = &settled.effect.account {
            picture.state = Some(account.state);
            picture.user_name.clone_from(&account.user_name);
            picture.profile.clone_from(&account.profile);
            picture.note.clone_from(&account.note);
        }
        for role in &settled.effect.drop_grants {
            picture.roles.remove(role.as_str());
        }
        for grant in &settled.effect.put_grants {
            picture.roles.insert(grant.role.0.clone(), grant.state);
        }
        picture
    }

    /// What differs from this picture to one that a candidate makes with that outcome.
    #[must_use]
    pub fn difference(&self, after: &Self, outcome: &Outcome) -> Option<Difference> {
        let account = attributes(&self.profile, &after.profile);
        let gains = other_than(&after.roles, &self.roles, |state| state != GrantState::Retained);
        let loses = other_than(&self.roles, &after.roles, |_| true);
        let retains: Vec<String> = after
            .roles
            .iter()
            .filter(|(role, state)| **state == GrantState::Retained && self.roles.get(*role) != Some(&GrantState::Retained))
            .map(|(role, _)| role.clone())
            .collect();
        let code = |picture: &Self| picture.note.as_ref().map(|note| note.code.clone());
        let same_state = self.state == after.state && code(self) == code(after);
        if same_state && account.is_empty() && gains.is_empty() && loses.is_empty() && retains.is_empty() {
            return None;
        }
        let kind = match outcome {
            Outcome::Fault(_) => DifferenceKind::Fault,
            Outcome::Refused(_) => DifferenceKind::Refused,
            Outcome::OutOfScope(_) => DifferenceKind::OutOfScope,
            _ if after.state == Some(AccountState::Held) && self.state != after.state => DifferenceKind::Held,
            _ if !loses.is_empty() => DifferenceKind::Loses,
            _ if !gains.is_empty() => DifferenceKind::Gains,
            _ if after.state == Some(AccountState::Active) && self.state != after.state => DifferenceKind::Admitted,
            _ => DifferenceKind::Account,
        };
        let word = |state: Option<AccountState>| state.map_or("new", AccountState::word).to_owned();
        let (before, after_word) = (word(self.state), word(after.state));
        let note = after.note.clone().filter(|_| !same_state);
        let user_name = self.user_name.clone().or_else(|| after.user_name.clone());
        Some(Difference { kind, user_name, before, after: after_word, account, gains, loses, retains, note, collides: false })
    }
}

/// The roles of one that the other has not.
fn other_than(
    these: &BTreeMap<String, GrantState>,
    those: &BTreeMap<String, GrantState>,
    counts: impl Fn(GrantState) -> bool,
) -> Vec<String> {
    these.iter().filter(|(role, state)| counts(**state) && !those.contains_key(*role)).map(|(role, _)| role.clone()).collect()
}

/// The attributes that differ; tags one by one.
fn attributes(before: &Value, after: &Value) -> Vec<AttributeDifference> {
    let (before, after) = (flat(before), flat(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| {
            let value = |of: &BTreeMap<String, &Value>| of.get(name).map_or(Value::Null, |value| (*value).clone());
            AttributeDifference { attribute: name.clone(), before: value(&before), after: value(&after) }
        })
        .collect()
}

fn flat(profile: &Value) -> BTreeMap<String, &Value> {
    let mut flat = BTreeMap::new();
    for (name, value) in profile.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        match value.as_object() {
            Some(tags) if name == TAGS => flat.extend(tags.iter().map(|(tag, value)| (format!("{TAGS}.{tag}"), value))),
            _ => {
                flat.insert(name.clone(), value);
            }
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn picture(state: AccountState, profile: Value, roles: &[&str], note: Option<&str>) -> Picture {
        Picture {
            state: Some(state),
            user_name: None,
            profile,
            roles: roles.iter().map(|role| ((*role).to_owned(), GrantState::Effective)).collect(),
            note: note.map(|code| Note { code: code.to_owned(), path: None, message: code.to_owned() }),
        }
    }

    fn account() -> Outcome {
        Outcome::Account(Box::default())
    }

    #[test]
    fn the_same_is_no_difference() {
        let one = picture(AccountState::Active, json!({"title": "x", "tags": {"a": ["b"]}}), &["mail"], None);
        assert_eq!(one.difference(&one.clone(), &account()), None);
        // A fault that stands already is no news, whatever its words are.
        let faulty = picture(AccountState::Active, json!({}), &[], Some("plugin_fault"));
        let fault = Outcome::Refused(Note { code: "plugin_fault".into(), path: None, message: "other words".into() });
        assert_eq!(faulty.difference(&faulty.clone(), &fault), None);
    }

    #[test]
    fn the_gravest_thing_names_it() {
        let before = picture(AccountState::Active, json!({"title": "x", "tags": {"a": ["b"], "c": ["d"]}}), &["mail", "wiki"], None);
        let mover = picture(AccountState::Active, json!({"title": "y", "tags": {"a": ["b"]}, "locale": null}), &["wiki", "build"], None);
        let difference = before.difference(&mover, &account()).unwrap();
        assert_eq!(
            (difference.kind, difference.gains, difference.loses),
            (DifferenceKind::Loses, vec!["build".into()], vec!["mail".into()])
        );
        let names: Vec<&str> = difference.account.iter().map(|attribute| attribute.attribute.as_str()).collect();
        assert_eq!(names, ["tags.c", "title"]);

        let away = picture(AccountState::OutOfScope, json!({"title": "x", "tags": {"a": ["b"], "c": ["d"]}}), &[], Some("out_of_scope"));
        let difference = before.difference(&away, &Outcome::OutOfScope("none of ours".into())).unwrap();
        assert!(difference.kind.turns_away() && difference.note.is_some());
        assert_eq!((difference.before.as_str(), difference.after.as_str(), difference.loses.len()), ("active", "out_of_scope", 2));
        let back = away.difference(&before, &account()).unwrap();
        assert_eq!(back.kind, DifferenceKind::Gains);
        let admitted = picture(AccountState::Active, json!({"title": "x", "tags": {"a": ["b"], "c": ["d"]}}), &[], None);
        assert_eq!(away.difference(&admitted, &account()).unwrap().kind, DifferenceKind::Admitted);
    }
}
