//! An identity provider's export, CSV or JSON, as people: pure. Read as files of accounts are; everything that is wrong is found in one go.

use std::collections::BTreeMap;

use super::file::{Format, Raw, Reading, Shape, is_sound, rows_of};
use crate::diagnostic::Diagnostic;
use crate::lifecycle::drift::{ATTRIBUTES, Listed};
use crate::mapping::TEXT_BYTES_LIMIT;
use crate::model::collision_key;

/// The largest export, in bytes: 50,000 people of some 320.
pub const LISTING_BYTES_LIMIT: usize = 16 * 1024 * 1024;
/// The most people of an export: they are compared in memory.
pub const LISTING_ROWS_LIMIT: usize = 50_000;
/// The most groups of one of them: each that differs is a write of its own.
const GROUPS_LIMIT: usize = 200;

/// The columns that there are.
const COLUMNS: &[&str] = &[
    "user_name",
    "external_id",
    "active",
    "display_name",
    "given_name",
    "family_name",
    "title",
    "user_type",
    "department",
    "division",
    "organization",
    "cost_center",
    "employee_number",
    "emails",
    "groups",
];
const SHAPE: Shape = Shape { of: "export", item: "a person", columns: COLUMNS, many: &["emails", "groups"], truths: &["active"] };

/// Reads an export.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(format: Format, text: &str) -> Result<Vec<Listed>, Vec<Diagnostic>> {
    let mut reading = Reading::new(&SHAPE, format, text);
    let raw = rows_of(&mut reading, format, (LISTING_BYTES_LIMIT, LISTING_ROWS_LIMIT, "upload it with fewer columns"))?;
    let (mut names, mut ids) = (BTreeMap::new(), BTreeMap::new());
    let mut people = Vec::with_capacity(raw.len());
    for raw in raw {
        let Some(person) = person(&mut reading, &raw) else { continue };
        let twice = |seen: &mut BTreeMap<String, ()>, key: String| seen.insert(key, ()).is_some();
        if let Some(name) = person.attributes.get("userName")
            && twice(&mut names, collision_key(name))
        {
            reading.problem(raw.at_of("user_name"), format!("the name `{name}` stands in the file already"));
        }
        if let Some(id) = person.attributes.get("externalId")
            && twice(&mut ids, id.clone())
        {
            reading.problem(raw.at_of("external_id"), format!("the external id `{id}` stands in the file already"));
        }
        people.push(person);
    }
    let problems = reading.finish();
    if problems.is_empty() { Ok(people) } else { Err(problems) }
}

/// Somebody as a row lists them; nothing where it has no name.
fn person(reading: &mut Reading<'_>, raw: &Raw) -> Option<Listed> {
    for field in raw.fields.values().filter(|field| !field.values.iter().all(|value| is_sound(value))) {
        reading.problem(field.at.clone(), format!("a value is 1 to {TEXT_BYTES_LIMIT} bytes, without control characters"));
    }
    let first = |name: &str| raw.fields.get(name).and_then(|field| field.values.first());
    if first("user_name").is_none_or(|name| collision_key(name).is_empty()) {
        reading.problem(raw.at_of("user_name"), "the person has no `user_name`");
        return None;
    }
    let active = first("active").and_then(|word| match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" | "active" | "enabled" => Some(true),
        "false" | "no" | "0" | "inactive" | "disabled" => Some(false),
        _ => {
            reading.problem(raw.at_of("active"), "`active` is `true` or `false`");
            None
        }
    });
    let groups = raw.fields.get("groups").map(|field| field.values.clone());
    if groups.as_ref().is_some_and(|groups| groups.len() > GROUPS_LIMIT) {
        reading.problem(raw.at_of("groups"), format!("a person has at most {GROUPS_LIMIT} groups"));
    }
    let attributes = ATTRIBUTES.iter().filter_map(|(column, attribute)| first(column).map(|text| (*attribute, text.clone()))).collect();
    let emails = raw.fields.get("emails").map(|field| field.values.clone()).unwrap_or_default();
    Some(Listed { attributes, active, emails, groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_list_the_same() {
        let csv =
            "user_name,external_id,active,department,emails,groups\nada,e1,Disabled,R&D,a@x.example;b@x.example,\nbob,,,,,staff; admins\n";
        let json = r#"[{"user_name": "ada", "external_id": "e1", "active": false, "department": "R&D", "emails": ["a@x.example", "b@x.example"],
                        "groups": []}, {"user_name": "bob", "groups": ["staff", "admins"]}]"#;
        let listed = read(Format::Csv, csv).unwrap();
        assert_eq!(listed, read(Format::Json, json).unwrap());
        assert_eq!((listed[0].active, listed[0].groups.as_deref(), listed[1].active), (Some(false), Some(&[][..]), None));
        assert_eq!(listed[1].groups.as_ref().map(Vec::len), Some(2));
        assert_eq!(read(Format::Csv, "user_name\nada\n").unwrap()[0].groups, None);
    }

    #[test]
    fn everything_that_is_wrong_is_said() {
        let said = |format, text: &str| {
            let place = |problem: Diagnostic| format!("{}:{} {}", problem.line.unwrap_or(0), problem.column.unwrap_or(0), problem.message);
            read(format, text).unwrap_err().into_iter().map(place).collect::<Vec<_>>()
        };
        assert_eq!(
            said(Format::Csv, "user_name,external_id,active\nada,e1,perhaps\nADA,e1,\n,,\n"),
            [
                "2:8 `active` is `true` or `false`",
                "3:1 the name `ADA` stands in the file already",
                "3:5 the external id `e1` stands in the file already",
                "4:1 the person has no `user_name`",
            ]
        );
        assert!(said(Format::Csv, "user_name,roles\n")[0].contains("there is no column `roles`"));
        assert_eq!(said(Format::Json, "[1]"), ["1:2 a person is an object"]);
        assert!(said(Format::Csv, &"x".repeat(LISTING_BYTES_LIMIT + 1))[0].contains("bytes"));
    }
}
