//! What a trial would make different, to be kept: JSON Lines with everything, and CSV with a row for each role of a person that changes.
//! Pure: pages are read elsewhere.

use serde_json::json;

use crate::model::{Because, Difference, PersonDifference, Trial};
use crate::spreadsheet::row;

/// The columns of CSV.
const COLUMNS: [&str; 15] = [
    "connection",
    "user",
    "account",
    "user_name",
    "kind",
    "before",
    "after",
    "change",
    "role",
    "waits_for",
    "policies",
    "groups",
    "attributes",
    "note",
    "collides",
];

/// How differences are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, every cell quoted.
    Csv,
    /// One JSON document a line.
    Json,
}

impl Format {
    /// What stands in front: the columns, or the trial itself.
    #[must_use]
    pub fn first(self, trial: &Trial) -> String {
        match self {
            Self::Csv => row(&COLUMNS),
            Self::Json => format!("{}\n", json!({"trial": trial})),
        }
    }

    /// People.
    #[must_use]
    pub fn people(self, people: &[PersonDifference]) -> String {
        match self {
            Self::Csv => people.iter().flat_map(rows).collect(),
            Self::Json => people.iter().map(|person| format!("{}\n", json!(person))).collect(),
        }
    }
}

/// A row for each role that changes; one for somebody for whom none does.
fn rows(person: &PersonDifference) -> Vec<String> {
    let Difference { gains, loses, waits, withdrawn, retains, .. } = &person.difference;
    let plain = |change: &'static str, roles: &[String]| roles.iter().map(|role| (change, role.clone(), "")).collect::<Vec<_>>();
    let mut changes = plain("loses", loses);
    changes.extend(plain("gains", gains));
    changes.extend(waits.iter().map(|waiting| ("waits", waiting.role.clone(), waiting.waits_for.word())));
    changes.extend(plain("withdrawn", withdrawn));
    changes.extend(plain("retains", retains));
    if changes.is_empty() {
        changes.push(("", String::new(), ""));
    }
    changes.into_iter().map(|(change, role, waits_for)| row_of(person, change, &role, waits_for)).collect()
}

fn row_of(person: &PersonDifference, change: &str, role: &str, waits_for: &str) -> String {
    let found = &person.difference;
    let nothing = Because::default();
    let because = found.because.iter().find(|because| because.role == role).unwrap_or(&nothing);
    let attributes: Vec<&str> = found.attributes.iter().map(|attribute| attribute.attribute.as_str()).collect();
    let cells: [&str; COLUMNS.len()] = [
        person.connection.as_str(),
        person.user.as_str(),
        person.account.as_str(),
        found.user_name.as_deref().unwrap_or_default(),
        found.kind.word(),
        &found.before,
        &found.after,
        change,
        role,
        waits_for,
        &because.policies.join("; "),
        &because.groups.join("; "),
        &attributes.join("; "),
        found.note.as_ref().map(|note| note.code.as_str()).unwrap_or_default(),
        if found.collides { "true" } else { "false" },
    ];
    row(&cells)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::model::{AttributeDifference, DifferenceKind, Waiting, WaitingRole};

    #[test]
    fn a_row_for_each_role_that_changes_and_one_for_who_has_none() {
        let because = |role: &str| Because { role: role.into(), policies: vec!["a".into(), "b".into()], groups: vec!["staff".into()] };
        let mut difference = Difference {
            kind: DifferenceKind::Loses,
            user_name: Some("=cmd()".into()),
            before: "active".into(),
            after: "active".into(),
            attributes: vec![AttributeDifference { attribute: "title".into(), before: Value::Null, after: "x".into() }],
            gains: vec!["mail".into()],
            loses: vec!["vpn".into()],
            waits: vec![WaitingRole { role: "root".into(), waits_for: Waiting::Approval }],
            withdrawn: vec![],
            because: vec![because("mail"), because("root")],
            retains: vec![],
            note: None,
            collides: false,
        };
        let person = |difference: &Difference| PersonDifference {
            connection: "entra".into(),
            user: "u1".into(),
            account: "a1".into(),
            difference: difference.clone(),
        };
        let front = "\"entra\",\"u1\",\"a1\",\"'=cmd()\"";
        assert_eq!(
            Format::Csv.people(&[person(&difference)]),
            format!(
                "{front},\"loses\",\"active\",\"active\",\"loses\",\"vpn\",\"\",\"\",\"\",\"title\",\"\",\"false\"\r\n\
                 {front},\"loses\",\"active\",\"active\",\"gains\",\"mail\",\"\",\"a; b\",\"staff\",\"title\",\"\",\"false\"\r\n\
                 {front},\"loses\",\"active\",\"active\",\"waits\",\"root\",\"approval\",\"a; b\",\"staff\",\"title\",\"\",\"false\"\r\n"
            )
        );
        let read: PersonDifference = serde_json::from_str(&Format::Json.people(&[person(&difference)])).unwrap();
        assert_eq!(read, person(&difference));
        (difference.gains, difference.loses, difference.waits) = (vec![], vec![], vec![]);
        assert_eq!(Format::Csv.people(&[person(&difference)]).lines().count(), 1);
    }
}
