//! What a person has, as a picture; what differs between two of them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::evaluation::Outcome;
use crate::lifecycle::{Settled, Standing};
use crate::model::{
    AccountState, AttributeDifference, Because, Difference, DifferenceKind, Grant, GrantState, Note, Reason, Waiting, WaitingRole,
};
use crate::policies::Loss;

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
    roles: BTreeMap<String, Role>,
    note: Option<Note>,
}

/// A role that a person has, or that waits.
#[derive(Clone, Debug, PartialEq)]
struct Role {
    state: GrantState,
    waits_for: Option<Waiting>,
    reasons: Vec<Reason>,
}

impl Role {
    fn of(grant: &Grant) -> (String, Self) {
        (grant.role.0.clone(), Self { state: grant.state, waits_for: grant.waits_for, reasons: grant.reasons.clone() })
    }

    /// For what it waits before it has effect.
    fn waits(&self) -> Option<Waiting> {
        self.waits_for.filter(|_| self.state == GrantState::Pending)
    }
}

impl Picture {
    /// What stands.
    #[must_use]
    pub fn standing(standing: &Standing<'_>) -> Self {
        Self {
            state: (!standing.fresh).then_some(standing.account.state),
            user_name: standing.account.user_name.clone(),
            profile: standing.account.profile.clone(),
            roles: standing.grants.iter().map(Role::of).collect(),
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
            picture.roles.extend([Role::of(grant)]);
        }
        picture
    }

    /// What differs from this picture to one that a candidate makes with that outcome; `lost` says what forbids roles that are lost.
    #[must_use]
    pub fn difference(&self, after: &Self, outcome: &Outcome, lost: &[Loss]) -> Option<Difference> {
        let attributes = attributes_other_than(&self.profile, &after.profile);
        let Roles { gains, loses, waits, withdrawn, retains } = self.roles_other_than(after);
        let code = |picture: &Self| picture.note.as_ref().map(|note| note.code.clone());
        let same_state = self.state == after.state && code(self) == code(after);
        let same_roles = [&gains, &loses, &withdrawn, &retains].iter().all(|roles| roles.is_empty()) && waits.is_empty();
        if same_state && attributes.is_empty() && same_roles {
            return None;
        }
        let kind = match outcome {
            Outcome::Fault(_) => DifferenceKind::Fault,
            Outcome::Refused(_) => DifferenceKind::Refused,
            Outcome::OutOfScope(_) => DifferenceKind::OutOfScope,
            _ if after.state == Some(AccountState::Held) && self.state != after.state => DifferenceKind::Held,
            _ if !loses.is_empty() => DifferenceKind::Loses,
            _ if !gains.is_empty() => DifferenceKind::Gains,
            _ if !waits.is_empty() || !withdrawn.is_empty() => DifferenceKind::Waits,
            _ if after.state == Some(AccountState::Active) && self.state != after.state => DifferenceKind::Admitted,
            _ => DifferenceKind::Account,
        };
        let word = |state: Option<AccountState>| state.map_or("new", AccountState::word).to_owned();
        let (before, after_word) = (word(self.state), word(after.state));
        let note = after.note.clone().filter(|_| !same_state);
        let user_name = self.user_name.clone().or_else(|| after.user_name.clone());
        let given = gains.iter().chain(waits.iter().map(|waiting| &waiting.role)).map(|role| Because::of(role, after.reasons(role)));
        let taken = loses.iter().map(|role| {
            let forbids = lost.iter().filter(|loss| loss.role == *role).flat_map(|loss| &loss.forbids);
            Because::of(role, self.reasons(role).iter().chain(forbids))
        });
        let because = given.chain(taken).collect();
        Some(Difference {
            kind,
            user_name,
            before,
            after: after_word,
            attributes,
            gains,
            loses,
            waits,
            withdrawn,
            because,
            retains,
            note,
            collides: false,
        })
    }

    fn reasons(&self, role: &str) -> &[Reason] {
        self.roles.get(role).map_or(&[], |role| &role.reasons)
    }

    /// What becomes of roles. What waits is not held: nobody gains what comes to wait, or loses what waited.
    fn roles_other_than(&self, after: &Self) -> Roles {
        let mut found = Roles::default();
        let has = |picture: &Self, role: &str| picture.roles.get(role).is_some_and(|role| role.state.in_effect());
        let is_waiting = |picture: &Self, role: &str| picture.roles.get(role).is_some_and(|role| role.waits().is_some());
        for (name, role) in &after.roles {
            let before = self.roles.get(name);
            if role.state == GrantState::Retained && before.is_none_or(|before| before.state != GrantState::Retained) {
                found.retains.push(name.clone());
            } else if role.state.in_effect() && !has(self, name) {
                found.gains.push(name.clone());
            }
            if let Some(waits_for) = role.waits().filter(|_| before.and_then(Role::waits) != role.waits()) {
                found.waits.push(WaitingRole { role: name.clone(), waits_for });
            }
        }
        for name in self.roles.keys().filter(|name| !has(after, name)) {
            if has(self, name) {
                found.loses.push(name.clone());
            } else if is_waiting(self, name) && !is_waiting(after, name) {
                found.withdrawn.push(name.clone());
            }
        }
        found
    }
}

/// What becomes of a person's roles.
#[derive(Debug, Default)]
struct Roles {
    gains: Vec<String>,
    loses: Vec<String>,
    waits: Vec<WaitingRole>,
    withdrawn: Vec<String>,
    retains: Vec<String>,
}

/// The attributes that differ; tags one by one.
fn attributes_other_than(before: &Value, after: &Value) -> Vec<AttributeDifference> {
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
            roles: roles.iter().map(|role| held(role, GrantState::Effective, None)).collect(),
            note: note.map(|code| Note { code: code.to_owned(), path: None, message: code.to_owned() }),
        }
    }

    fn held(role: &str, state: GrantState, waits_for: Option<Waiting>) -> (String, Role) {
        let groups = vec![vec!["team".to_owned(), format!("{role}-people")]];
        let reason = Reason { policy: format!("{role}-policy"), reason: None, groups, proposed: false, nomination: None, approval: None };
        (role.to_owned(), Role { state, waits_for, reasons: vec![reason] })
    }

    fn account() -> Outcome {
        Outcome::Account(Box::default())
    }

    #[test]
    fn the_same_is_no_difference() {
        let one = picture(AccountState::Active, json!({"title": "x", "tags": {"a": ["b"]}}), &["mail"], None);
        assert_eq!(one.difference(&one.clone(), &account(), &[]), None);
        // A fault that stands already is no news, whatever its words are.
        let faulty = picture(AccountState::Active, json!({}), &[], Some("plugin_fault"));
        let fault = Outcome::Refused(Note { code: "plugin_fault".into(), path: None, message: "other words".into() });
        assert_eq!(faulty.difference(&faulty.clone(), &fault, &[]), None);
    }

    #[test]
    fn the_gravest_thing_names_it() {
        let before = picture(AccountState::Active, json!({"title": "x", "tags": {"a": ["b"], "c": ["d"]}}), &["mail", "wiki"], None);
        let mover = picture(AccountState::Active, json!({"title": "y", "tags": {"a": ["b"]}, "locale": null}), &["wiki", "build"], None);
        let difference = before.difference(&mover, &account(), &[]).unwrap();
        assert_eq!(
            (difference.kind, difference.gains, difference.loses),
            (DifferenceKind::Loses, vec!["build".into()], vec!["mail".into()])
        );
        let names: Vec<&str> = difference.attributes.iter().map(|attribute| attribute.attribute.as_str()).collect();
        assert_eq!(names, ["tags.c", "title"]);

        let away = picture(AccountState::OutOfScope, json!({"title": "x", "tags": {"a": ["b"], "c": ["d"]}}), &[], Some("out_of_scope"));
        let difference = before.difference(&away, &Outcome::OutOfScope("none of ours".into()), &[]).unwrap();
        assert!(difference.kind.turns_away() && difference.note.is_some());
        assert_eq!((difference.before.as_str(), difference.after.as_str(), difference.loses.len()), ("active", "out_of_scope", 2));
        let back = away.difference(&before, &account(), &[]).unwrap();
        assert_eq!(back.kind, DifferenceKind::Gains);
        let admitted = picture(AccountState::Active, json!({"title": "x", "tags": {"a": ["b"], "c": ["d"]}}), &[], None);
        assert_eq!(away.difference(&admitted, &account(), &[]).unwrap().kind, DifferenceKind::Admitted);
    }

    #[test]
    fn what_waits_is_neither_gained_nor_lost() {
        let with = |roles: &[(&str, GrantState, Option<Waiting>)]| Picture {
            roles: roles.iter().map(|(role, state, waits_for)| held(role, *state, *waits_for)).collect(),
            ..picture(AccountState::Active, json!({}), &[], None)
        };
        let (pending, effective) = (GrantState::Pending, GrantState::Effective);
        let (none, approval) = (with(&[]), with(&[("root", pending, Some(Waiting::Approval))]));
        let (hold, has) = (with(&[("root", pending, Some(Waiting::Hold))]), with(&[("root", effective, None)]));
        let kept = with(&[("root", effective, Some(Waiting::Hold))]);
        let dormant = with(&[("root", GrantState::Dormant, None)]);
        let told = |before: &Picture, after: &Picture| {
            let found = before.difference(after, &account(), &[])?;
            let words = [found.gains.len(), found.loses.len(), found.waits.len(), found.withdrawn.len()];
            Some((found.kind, words, found.because.first().map(|because| because.policies.clone())))
        };
        let by = Some(vec!["root-policy".to_owned()]);
        assert_eq!(told(&none, &approval), Some((DifferenceKind::Waits, [0, 0, 1, 0], by.clone())));
        assert_eq!(told(&hold, &approval), Some((DifferenceKind::Waits, [0, 0, 1, 0], by.clone())), "for something else than before");
        assert_eq!(told(&approval, &approval), None);
        assert_eq!(told(&approval, &none), Some((DifferenceKind::Waits, [0, 0, 0, 1], None)));
        assert_eq!(told(&approval, &has), Some((DifferenceKind::Gains, [1, 0, 0, 0], by.clone())));
        assert_eq!(told(&has, &none), Some((DifferenceKind::Loses, [0, 1, 0, 0], by.clone())));
        assert_eq!(told(&has, &dormant), Some((DifferenceKind::Loses, [0, 1, 0, 0], by.clone())));
        assert_eq!(told(&dormant, &has), Some((DifferenceKind::Gains, [1, 0, 0, 0], by)));
        assert_eq!(told(&has, &kept), None, "a loss that is held is none");
        assert_eq!(told(&dormant, &none), None);
    }

    #[test]
    fn a_forbid_is_a_reason_of_a_loss() {
        let before = picture(AccountState::Active, json!({}), &["root"], None);
        let after = picture(AccountState::Active, json!({}), &[], None);
        let forbid =
            Reason { policy: "no-contractors".into(), reason: None, groups: vec![], proposed: false, nomination: None, approval: None };
        let loss = |role: &str| Loss { role: role.into(), permits: vec![], forbids: vec![forbid.clone()] };
        let found = before.difference(&after, &account(), &[loss("root")]).unwrap();
        assert_eq!(found.because[0].policies, ["no-contractors", "root-policy"]);
        assert_eq!(found.because[0].groups, ["root-people"]);
        let found = before.difference(&after, &account(), &[loss("mail")]).unwrap();
        assert_eq!(found.because[0].policies, ["root-policy"]);
    }
}
