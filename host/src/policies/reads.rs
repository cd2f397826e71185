//! What a condition reads of a person: taken from the policy's tree, so that two people in whom all of it is equal get one answer.
//!
//! What is not understood here makes the whole policy [`Reads::opaque`]: nobody shares its answers then.

use std::collections::BTreeSet;

use cedar_policy::EntityUid;
use serde_json::{Value, json};

use super::rule::{bodies, operands, operator};
use super::{Principal, entity};

/// What the conditions of one policy read of a person, the groups that it names aside: those are the rule's `handles`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// Numbers in [`entity::ATTRIBUTES`], sorted.
    pub attributes: Box<[u8]>,
    /// Names of tags, sorted.
    pub tags: Box<[Box<str>]>,
    /// Whether it asks who the person is; the people that it names are in `people`.
    pub identity: bool,
    /// Ids of people that the policy names, sorted.
    pub people: Box<[Box<str>]>,
    /// Whether it reads the person in a way that is not one of these.
    pub opaque: bool,
}

impl Reads {
    /// Of a policy in Cedar's JSON form, and the entities that it names.
    pub(super) fn of(policy: &Value, named: &[EntityUid]) -> Self {
        let mut walk = Walk::default();
        bodies(policy).for_each(|body| walk.expression(body));
        let user = entity::type_name("User");
        let people: BTreeSet<Box<str>> =
            named.iter().filter(|uid| *uid.type_name() == user).map(|uid| uid.id().unescaped().into()).collect();
        Self {
            attributes: walk.attributes.into_iter().collect(),
            tags: walk.tags.into_iter().collect(),
            identity: walk.identity,
            people: people.into_iter().collect(),
            opaque: walk.opaque,
        }
    }

    /// Adds everything that is read of the person to a key.
    pub(super) fn describe(&self, principal: &Principal<'_>, key: &mut Key) {
        for &attribute in &self.attributes {
            key.attribute(principal, attribute);
        }
        for tag in &self.tags {
            key.tag(principal, tag);
        }
        if self.identity {
            key.text(self.people.iter().find(|id| ***id == *principal.user).map(|id| &**id));
        }
    }
}

/// What was found on the way through a tree.
#[derive(Default)]
struct Walk {
    attributes: BTreeSet<u8>,
    tags: BTreeSet<Box<str>>,
    identity: bool,
    opaque: bool,
}

impl Walk {
    fn expression(&mut self, expression: &Value) {
        let Some((operator, below)) = operator(expression) else { return };
        let is_person = |side: &str| below[side] == json!({"Var": "principal"});
        match operator {
            "Value" => {}
            "Var" => self.opaque |= below == "principal",
            "." | "has" if is_person("left") => self.attribute(&below["attr"]),
            "hasTag" | "getTag" if is_person("left") => self.tag(&below["right"]),
            // Membership is among the groups that the policy names, or it is in a person, who is nobody's parent.
            "in" if is_person("left") && is_literal(&below["right"]) => self.identity = true,
            "is" if is_person("left") && below.get("in").is_none_or(is_literal) => self.identity = true,
            "==" | "!=" if is_person("left") && is_literal(&below["right"]) => self.identity = true,
            "==" | "!=" if is_person("right") && is_literal(&below["left"]) => self.identity = true,
            _ => operands(below).into_iter().for_each(|operand| self.expression(operand)),
        }
    }

    fn attribute(&mut self, name: &Value) {
        let number = name.as_str().and_then(|name| entity::ATTRIBUTES.iter().position(|known| *known == name));
        match number.and_then(|number| u8::try_from(number).ok()) {
            Some(number) => _ = self.attributes.insert(number),
            None => self.opaque = true,
        }
    }

    fn tag(&mut self, name: &Value) {
        match name.get("Value").and_then(Value::as_str) {
            Some(name) => _ = self.tags.insert(name.into()),
            // Which tag is a matter of other things.
            None => self.opaque = true,
        }
    }
}

/// A value that stands in the policy, or a set of such.
fn is_literal(expression: &Value) -> bool {
    match operator(expression) {
        Some(("Value", _)) => true,
        Some(("Set", items)) => items.as_array().is_some_and(|items| items.iter().all(is_literal)),
        _ => false,
    }
}

/// What an answer depends on, written one after the other so that no two different lists look alike.
#[derive(Debug, Default)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn number(&mut self, number: usize) {
        self.0.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    }

    pub(super) fn text(&mut self, text: Option<&str>) {
        match text {
            None => self.number(0),
            Some(text) => {
                self.number(text.len() + 1);
                self.0.extend_from_slice(text.as_bytes());
            }
        }
    }

    pub(super) fn attribute(&mut self, principal: &Principal<'_>, number: u8) {
        self.text(entity::attribute(principal, usize::from(number)).as_deref());
    }

    pub(super) fn tag(&mut self, principal: &Principal<'_>, name: &str) {
        match principal.shape.tags.get(name) {
            None => self.number(0),
            Some(values) => {
                self.number(values.len() + 1);
                values.iter().for_each(|value| self.text(Some(value)));
            }
        }
    }

    /// The bytes.
    pub(super) fn into_bytes(self) -> Box<[u8]> {
        self.0.into_boxed_slice()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::{Policy, PolicyId};

    use super::*;

    fn reads(condition: &str) -> Reads {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        let policy = Policy::parse(Some(PolicyId::new("p")), text).unwrap();
        Reads::of(&policy.to_json().unwrap(), &policy.entity_literals())
    }

    /// Attributes, tags, people; `?` for whoever asks who the person is and `!` for what is opaque.
    fn check(condition: &str, expect: &str) {
        let reads = reads(condition);
        let mut found: Vec<&str> = reads.attributes.iter().map(|&number| entity::ATTRIBUTES[usize::from(number)]).collect();
        found.extend(reads.tags.iter().map(|tag| &**tag));
        found.extend(reads.people.iter().map(|id| &**id));
        found.extend(reads.identity.then_some("?"));
        found.extend(reads.opaque.then_some("!"));
        assert_eq!(found.join(" "), expect, "{condition}");
    }

    #[test]
    fn what_is_read_is_found_wherever_it_stands() {
        check("principal.department like \"Sales*\" && principal has title", "title department");
        check("principal.hasTag(\"grade\") && principal.getTag(\"grade\").containsAny([\"a\", \"b\"])", "grade");
        check("if context.proposed then principal.userName == \"a\" else {\"x\": principal.costCenter}.x == \"b\"", "userName costCenter");
        check(
            "[principal.emailDomain, \"x\"].contains(\"y\") || principal.connection == Rolecall::Connection::\"c\"",
            "connection emailDomain",
        );
        check("decimal(\"1.5\").lessThan(decimal(\"2.0\")) && resource.risk > 3 && context.asOf < datetime(\"2026-01-01\")", "");
        check("principal.manager == Rolecall::User::\"m\"", "manager m");
        check("principal in Rolecall::Group::\"g\" || principal in [Rolecall::Group::\"h\", Rolecall::Group::\"i\"]", "?");
        check("principal == Rolecall::User::\"u\" || Rolecall::User::\"v\" != principal", "u v ?");
        check("principal is Rolecall::User in Rolecall::Group::\"g\"", "?");
        check("{\"principal\": 1}.principal == 1", "");
    }

    #[test]
    fn what_is_not_understood_is_opaque() {
        check("principal.getTag(principal.userName).contains(\"a\")", "!");
        check("{\"p\": principal}.p.department == \"Sales\"", "!");
        check("[principal].contains(Rolecall::User::\"u\")", "u !");
        check("principal.manager == principal", "manager !");
        check("principal in principal.manager", "manager !");
        check("(if context.proposed then principal else principal).department == \"Sales\"", "!");
        check("principal.shoeSize == 4", "!");
    }
}
