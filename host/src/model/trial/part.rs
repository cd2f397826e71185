//! A chosen part of a tenant's people.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{ConnectionId, ResourceId};

/// A person by the SCIM User.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PersonRef {
    /// The connection.
    pub connection: ConnectionId,
    /// The User.
    pub user: ResourceId,
}

/// A chosen part of the people: those of these connections who are in one of these groups and are among these people. Whatever names
/// nothing chooses nobody out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Part {
    /// The connections.
    pub connections: Vec<ConnectionId>,
    /// The handles of the groups: their members, and those of groups in them.
    pub groups: Vec<String>,
    /// The people.
    pub people: Vec<PersonRef>,
}

impl Part {
    /// Whether it is everybody.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.connections.is_empty() && self.groups.is_empty() && self.people.is_empty()
    }

    /// Whether it has people of a connection, as far as connections are named.
    #[must_use]
    pub fn has_connection(&self, connection: &ConnectionId) -> bool {
        self.connections.is_empty() || self.connections.contains(connection)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [("connection", self.connections.len()), ("group", self.groups.len()), ("named person", self.people.len())];
        let parts: Vec<String> = counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| match (what, count) {
                (_, 1) => format!("1 {what}"),
                ("named person", _) => format!("{count} named people"),
                _ => format!("{count} {what}s"),
            })
            .collect();
        f.write_str(&if parts.is_empty() { "everybody".to_owned() } else { parts.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_what_it_is() {
        let person = |user: &str| PersonRef { connection: "entra".into(), user: user.into() };
        let part = Part { connections: vec!["entra".into()], groups: vec!["a".into(), "b".into()], people: vec![person("x"), person("y")] };
        assert_eq!(part.to_string(), "1 connection, 2 groups, 2 named people");
        assert_eq!(Part { people: vec![person("x")], ..Part::default() }.to_string(), "1 named person");
        assert_eq!(Part::default().to_string(), "everybody");
        assert!(Part::default().is_whole() && Part::default().has_connection(&"other".into()));
        assert!(part.has_connection(&"entra".into()) && !part.has_connection(&"other".into()));
    }
}
