//! What an export lists beside what is stored, person by person: pure. Also what a line asks of the write path, as SCIM.
//!
//! People are known by their external id, else by their login name. A name with somebody else's external id is a doubt. What the export says nothing
//! of (a column that is not there, a cell that is empty) differs from nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rolecall_scim::filter::fold;
use rolecall_scim::resource::Document;
use rolecall_scim::schema::ENTERPRISE;
use serde_json::{Map, Value, json};

use crate::model::{DriftAttribute, DriftCounts, DriftDetail, DriftGroup, DriftKind};

/// The attribute that says whether somebody is there.
const ACTIVE: &str = "active";
/// The attribute of addresses.
const EMAILS: &str = "emails";
/// The most names of unknown groups that are told.
const UNKNOWN_GROUPS_LIMIT: usize = 100;

/// The attributes that an export may list, by the column that does: the SCIM attribute, in an extension by its URN.
pub const ATTRIBUTES: &[(&str, &str)] = &[
    ("user_name", "userName"),
    ("external_id", "externalId"),
    ("display_name", "displayName"),
    ("given_name", "name.givenName"),
    ("family_name", "name.familyName"),
    ("title", "title"),
    ("user_type", "userType"),
    ("department", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"),
    ("division", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division"),
    ("organization", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization"),
    ("cost_center", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter"),
    ("employee_number", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber"),
];

/// Somebody as an export lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// What is listed, by SCIM attribute.
    pub attributes: BTreeMap<&'static str, String>,
    /// Whether they are active; nothing where the export says nothing.
    pub active: Option<bool>,
    /// Their addresses; nothing where the export says nothing.
    pub emails: Vec<String>,
    /// The groups that they are in, by name or external id; `None` where the export has no such column.
    pub groups: Option<Vec<String>>,
}

impl Listed {
    fn text(&self, attribute: &str) -> Option<&str> {
        self.attributes.get(attribute).map(String::as_str)
    }
}

/// Somebody as stored.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// What was written.
    pub document: &'a Document,
    /// The groups that they are members of, themselves.
    pub groups: &'a [DriftGroup],
}

/// Groups that are stored, by what an export may call them.
#[derive(Clone, Debug, Default)]
pub struct GroupNames(HashMap<String, BTreeSet<DriftGroup>>);

impl GroupNames {
    /// Adds a group by its display name and, where it has one, its external id.
    pub fn add(&mut self, group: &DriftGroup, external_id: Option<&str>) {
        for name in [Some(group.name.as_str()), external_id].into_iter().flatten() {
            self.0.entry(fold(name)).or_default().insert(group.clone());
        }
    }
}

/// An export that is compared with what is stored, person by person.
pub struct Comparison {
    rows: Vec<Listed>,
    seen: Vec<bool>,
    by_external_id: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
    groups: GroupNames,
    complete: bool,
    /// What was found so far.
    pub counts: DriftCounts,
}

impl Comparison {
    /// Begins one. An export that is not complete says nothing of whom it does not list.
    #[must_use]
    pub fn new(rows: Vec<Listed>, groups: GroupNames, complete: bool) -> Self {
        let by = |attribute: &str, key: fn(&str) -> String| {
            let keyed = rows.iter().enumerate().filter_map(|(number, row)| row.text(attribute).map(|text| (key(text), number)));
            keyed.collect::<HashMap<_, _>>()
        };
        let (by_external_id, by_name) = (by("externalId", str::to_owned), by("userName", fold));
        let counts = DriftCounts { listed: count(rows.len()), ..DriftCounts::default() };
        Self { seen: vec![false; rows.len()], rows, by_external_id, by_name, groups, complete, counts }
    }

    /// Somebody who is stored: what is listed otherwise.
    pub fn compare(&mut self, stored: Stored<'_>) -> Option<(DriftKind, DriftDetail)> {
        self.counts.stored += 1;
        let user_name = stored.document.text("userName").unwrap_or_default().to_owned();
        let external_id = stored.document.text("externalId");
        let by_id = external_id.and_then(|id| self.by_external_id.get(id)).copied();
        let Some(number) = by_id.or_else(|| self.by_name.get(&fold(&user_name)).copied()) else {
            let gone = self.complete && stored.document.is_active();
            return gone.then(|| {
                self.counts.extra += 1;
                let attributes = vec![DriftAttribute { attribute: ACTIVE.into(), stored: json!(true), listed: json!(false) }];
                (DriftKind::Extra, DriftDetail { user_name, attributes, ..DriftDetail::default() })
            });
        };
        let other_id = self.rows[number].text("externalId").zip(external_id).filter(|(listed, stored)| listed != stored);
        if by_id.is_none() && (other_id.is_some() || self.seen[number]) {
            let attributes = vec![DriftAttribute {
                attribute: "externalId".into(),
                stored: json!(external_id),
                listed: json!(other_id.map(|(id, _)| id)),
            }];
            self.seen[number] = true;
            self.counts.doubts += 1;
            return Some((DriftKind::Doubt, DriftDetail { user_name, attributes, ..DriftDetail::default() }));
        }
        self.seen[number] = true;
        let listed = self.rows[number].clone();
        let attributes = differing(&listed, stored.document);
        let (joins, leaves) = self.memberships(&listed, stored.groups);
        if attributes.is_empty() && joins.is_empty() && leaves.is_empty() {
            return None;
        }
        self.counts.differing += 1;
        Some((DriftKind::Differing, DriftDetail { user_name, attributes, joins, leaves }))
    }

    /// Those whom nobody who is stored was: all that is listed of them. Somebody who is listed as inactive is not missed.
    pub fn missing(&mut self) -> Vec<DriftDetail> {
        let left: Vec<Listed> = self
            .rows
            .iter()
            .zip(&self.seen)
            .filter(|(row, seen)| !**seen && row.active != Some(false))
            .map(|(row, _)| row.clone())
            .collect();
        self.counts.missing = count(left.len());
        let nobody = Document::default();
        left.iter()
            .map(|listed| {
                let (joins, _) = self.memberships(listed, &[]);
                let user_name = listed.text("userName").unwrap_or_default().to_owned();
                DriftDetail { user_name, attributes: differing(listed, &nobody), joins, leaves: Vec::new() }
            })
            .collect()
    }

    /// The groups to join and to leave.
    fn memberships(&mut self, listed: &Listed, stored: &[DriftGroup]) -> (Vec<DriftGroup>, Vec<DriftGroup>) {
        let Some(names) = &listed.groups else { return (Vec::new(), Vec::new()) };
        let (mut joins, mut kept) = (BTreeSet::new(), BTreeSet::new());
        // A row may repeat a name, and many groups may have one.
        let mut seen = BTreeSet::new();
        for name in names {
            let folded = fold(name);
            let known = self.groups.0.get(&folded);
            if !seen.insert(folded) {
                continue;
            }
            let is_in: Vec<&DriftGroup> = stored.iter().filter(|group| known.is_some_and(|known| known.contains(*group))).collect();
            match known {
                _ if !is_in.is_empty() => kept.extend(is_in.into_iter().cloned()),
                Some(known) if known.len() == 1 => joins.extend(known.iter().cloned()),
                // Whoever is in a group that is not stored can't join it, and which of several is meant nobody knows.
                _ if self.counts.unknown_groups.len() < UNKNOWN_GROUPS_LIMIT && !self.counts.unknown_groups.contains(name) => {
                    self.counts.unknown_groups.push(name.clone());
                }
                _ => {}
            }
        }
        let leaves: Vec<DriftGroup> = stored.iter().filter(|group| !kept.contains(*group)).cloned().collect();
        self.counts.memberships += count(joins.len() + leaves.len());
        (joins.into_iter().collect(), leaves)
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Where a SCIM attribute stands in a document: the attribute and, within it, another one.
fn place(attribute: &str) -> (&str, Option<&str>) {
    match attribute.strip_prefix(ENTERPRISE).and_then(|rest| rest.strip_prefix(':')) {
        Some(name) => (ENTERPRISE, Some(name)),
        None => attribute.split_once('.').map_or((attribute, None), |(outer, inner)| (outer, Some(inner))),
    }
}

fn value_of<'d>(document: &'d Document, attribute: &str) -> Option<&'d Value> {
    let (outer, inner) = place(attribute);
    let value = document.get(outer)?;
    inner.map_or(Some(value), |inner| value.get(inner))
}

/// Attributes that are listed with another value than is stored.
fn differing(listed: &Listed, stored: &Document) -> Vec<DriftAttribute> {
    let mut found = Vec::new();
    for (attribute, text) in &listed.attributes {
        let value = value_of(stored, attribute);
        let folded = *attribute == "userName" && value.and_then(Value::as_str).is_some_and(|value| fold(value) == fold(text));
        if value.and_then(Value::as_str) != Some(text) && !folded {
            let value = value.cloned().unwrap_or_default();
            found.push(DriftAttribute { attribute: (*attribute).into(), stored: value, listed: json!(text) });
        }
    }
    if let Some(active) = listed.active.filter(|active| *active != stored.is_active()) {
        found.push(DriftAttribute { attribute: ACTIVE.into(), stored: json!(stored.is_active()), listed: json!(active) });
    }
    let addresses = |values: &[&str]| values.iter().map(|value| fold(value)).collect::<BTreeSet<_>>();
    let kept: Vec<&Value> = stored.get(EMAILS).and_then(Value::as_array).into_iter().flatten().collect();
    let before: Vec<&str> = kept.iter().filter_map(|email| email["value"].as_str()).collect();
    let now: Vec<&str> = listed.emails.iter().map(String::as_str).collect();
    if !now.is_empty() && addresses(&before) != addresses(&now) {
        found.push(DriftAttribute { attribute: EMAILS.into(), stored: json!(before), listed: json!(now) });
    }
    found
}

/// The body that makes somebody who is missing.
#[must_use]
pub fn creation(detail: &DriftDetail) -> Value {
    let mut body = Map::new();
    let mut schemas = vec!["urn:ietf:params:scim:schemas:core:2.0:User"];
    for DriftAttribute { attribute, listed, .. } in &detail.attributes {
        let (outer, inner) = place(attribute);
        match inner {
            Some(inner) => {
                let within = body.entry(outer).or_insert_with(|| json!({}));
                within[inner] = listed.clone();
            }
            None => {
                let value = if outer == EMAILS { emails(listed, &[]) } else { listed.clone() };
                body.insert(outer.to_owned(), value);
            }
        }
    }
    if body.contains_key(ENTERPRISE) {
        schemas.push(ENTERPRISE);
    }
    body.entry(ACTIVE).or_insert(Value::Bool(true));
    body.insert("schemas".to_owned(), json!(schemas));
    Value::Object(body)
}

/// The PATCH that makes somebody as listed; `None` where no attribute differs.
#[must_use]
pub fn change(detail: &DriftDetail, stored: &Document) -> Option<Value> {
    let kept: Vec<Value> = stored.get(EMAILS).and_then(Value::as_array).cloned().unwrap_or_default();
    let replace = |DriftAttribute { attribute, listed, .. }: &DriftAttribute| {
        let value = if attribute == EMAILS { emails(listed, &kept) } else { listed.clone() };
        json!({"op": "replace", "path": attribute, "value": value})
    };
    let operations: Vec<Value> = detail.attributes.iter().map(replace).collect();
    (!operations.is_empty()).then(|| patch(&operations))
}

/// A PATCH of a group's members by one.
#[must_use]
pub fn membership(user: &str, joins: bool) -> Value {
    let operation = if joins {
        json!({"op": "add", "path": "members", "value": [{"value": user}]})
    } else {
        json!({"op": "remove", "path": format!("members[value eq \"{user}\"]")})
    };
    patch(&[operation])
}

fn patch(operations: &[Value]) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

/// Addresses as SCIM has them: what is kept stays as it is, with its type.
fn emails(listed: &Value, kept: &[Value]) -> Value {
    let of = |address: &str| kept.iter().find(|email| email["value"].as_str().is_some_and(|value| fold(value) == fold(address)));
    let addresses = listed.as_array().into_iter().flatten().filter_map(Value::as_str).enumerate();
    addresses
        .map(|(number, address)| match of(address) {
            Some(email) => email.clone(),
            None if kept.is_empty() && number == 0 => json!({"value": address, "type": "work", "primary": true}),
            None => json!({"value": address, "type": "other"}),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(value: &Value) -> Document {
        Document::from_stored(&value.to_string()).unwrap()
    }

    fn group(name: &str) -> DriftGroup {
        DriftGroup { id: format!("id-{name}").as_str().into(), name: name.into() }
    }

    fn listed(attributes: &[(&'static str, &str)]) -> Listed {
        Listed { attributes: attributes.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), ..Listed::default() }
    }

    /// What is found of Ada, who is in staff: the kind, `attribute: stored → listed`, `+group` and `-group`.
    fn found(rows: Vec<Listed>, complete: bool, stored: &Value) -> (Option<String>, Vec<String>) {
        let mut names = GroupNames::default();
        for name in ["staff", "admins"] {
            names.add(&group(name), Some(&format!("ext-{name}")));
        }
        names.add(&DriftGroup { id: "other".into(), name: "admins two".into() }, Some("twice"));
        names.add(&DriftGroup { id: "another".into(), name: "admins three".into() }, Some("twice"));
        let mut comparison = Comparison::new(rows, names, complete);
        let staff = [group("staff")];
        let line = comparison.compare(Stored { document: &document(stored), groups: &staff }).map(|(kind, detail)| {
            let attributes = detail.attributes.iter().map(|one| format!(" {}: {} → {}", one.attribute, one.stored, one.listed));
            let groups = detail.joins.iter().map(|group| format!(" +{}", group.name));
            let left = detail.leaves.iter().map(|group| format!(" -{}", group.name));
            format!("{kind}{}", attributes.chain(groups).chain(left).collect::<String>())
        });
        let missing = comparison.missing().into_iter().map(|detail| detail.user_name).collect();
        (line, missing)
    }

    #[test]
    fn a_row_that_repeats_a_name_names_it_once() {
        let ada = json!({"userName": "ada"});
        let listed = |groups: &[&str]| Listed {
            groups: Some(groups.iter().map(|name| (*name).to_owned()).collect()),
            ..listed(&[("userName", "ada")])
        };
        let once = found(vec![listed(&["STAFF", "admins"])], true, &ada);
        assert_eq!(found(vec![listed(&["staff", "Admins", "STAFF", "admins"])], true, &ada), once);
        assert_eq!(once.0.as_deref(), Some("differing +admins"));
    }

    #[test]
    fn what_is_listed_otherwise_than_stored() {
        let ada = json!({"userName": "ada", "externalId": "e1", "active": true, "title": "Engineer", "name": {"givenName": "Ada"},
            "emails": [{"value": "ada@x.example", "type": "work"}], ENTERPRISE: {"department": "R&D"}});
        let gone = json!({"userName": "ada", "externalId": "e1", "active": false});
        let nameless = json!({"userName": "ada"});
        let department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
        let same = || listed(&[("userName", "ADA"), ("externalId", "e1")]);
        let in_groups = |groups: &[&str]| Listed { groups: Some(groups.iter().map(|name| (*name).to_owned()).collect()), ..same() };
        let none: &[&str] = &[];
        type Row<'a> = (&'a str, Vec<Listed>, bool, &'a Value, Option<&'a str>, &'a [&'a str]);
        let cases: Vec<Row<'_>> = vec![
            ("the same, in other letters", vec![same()], true, &ada, None, none),
            ("not listed", vec![], true, &ada, Some("extra active: true → false"), none),
            ("not listed in a part", vec![], false, &ada, None, none),
            ("not listed, and gone", vec![], true, &gone, None, none),
            ("known by name", vec![listed(&[("userName", "Ada")])], true, &ada, None, none),
            ("nothing but a name is stored", vec![same()], true, &nameless, Some("differing externalId: null → \"e1\""), none),
            (
                "renamed",
                vec![listed(&[("userName", "lovelace"), ("externalId", "e1")])],
                true,
                &ada,
                Some("differing userName: \"ada\" → \"lovelace\""),
                none,
            ),
            (
                "the name with another's id",
                vec![listed(&[("userName", "ada"), ("externalId", "e2")])],
                true,
                &ada,
                Some("doubt externalId: \"e1\" → \"e2\""),
                none,
            ),
            (
                "attributes, plain, within another, and of the extension",
                vec![listed(&[("externalId", "e1"), ("title", "Lead"), ("name.givenName", "Augusta"), (department, "Labs")])],
                true,
                &ada,
                Some(
                    "differing name.givenName: \"Ada\" → \"Augusta\" title: \"Engineer\" → \"Lead\" \
                     urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department: \"R&D\" → \"Labs\"",
                ),
                none,
            ),
            ("inactive there", vec![Listed { active: Some(false), ..same() }], true, &ada, Some("differing active: true → false"), none),
            ("active there", vec![Listed { active: Some(true), ..same() }], true, &gone, Some("differing active: false → true"), none),
            ("the same address", vec![Listed { emails: vec!["Ada@X.example".into()], ..same() }], true, &ada, None, none),
            (
                "one more address",
                vec![Listed { emails: vec!["ada@x.example".into(), "a@y.example".into()], ..same() }],
                true,
                &ada,
                Some("differing emails: [\"ada@x.example\"] → [\"ada@x.example\",\"a@y.example\"]"),
                none,
            ),
            ("in the same group", vec![in_groups(&["Staff"])], true, &ada, None, none),
            ("in the same group, by external id", vec![in_groups(&["ext-staff"])], true, &ada, None, none),
            ("in another group as well", vec![in_groups(&["staff", "admins"])], true, &ada, Some("differing +admins"), none),
            ("in no group", vec![in_groups(&[])], true, &ada, Some("differing -staff"), none),
            ("in groups that nobody knows, or that are two", vec![in_groups(&["staff", "chess", "twice"])], true, &ada, None, none),
            ("somebody else", vec![same(), listed(&[("userName", "bob")])], true, &ada, None, &["bob"]),
            (
                "somebody else who is gone there",
                vec![same(), Listed { active: Some(false), ..listed(&[("userName", "bob")]) }],
                true,
                &ada,
                None,
                none,
            ),
        ];
        for (what, rows, complete, stored, line, missing) in cases {
            let (found, left) = found(rows, complete, stored);
            assert_eq!((found.as_deref(), left), (line, missing.iter().map(|name| (*name).to_owned()).collect()), "{what}");
        }
    }

    #[test]
    fn two_who_are_one_in_the_export_are_a_doubt() {
        let mut comparison = Comparison::new(vec![listed(&[("userName", "ada"), ("externalId", "e1")])], GroupNames::default(), true);
        let (one, two) = (document(&json!({"userName": "lovelace", "externalId": "e1"})), document(&json!({"userName": "ada"})));
        assert!(matches!(comparison.compare(Stored { document: &one, groups: &[] }), Some((DriftKind::Differing, _))));
        assert!(matches!(comparison.compare(Stored { document: &two, groups: &[] }), Some((DriftKind::Doubt, _))));
        assert_eq!((comparison.counts.stored, comparison.counts.distance()), (2, 2));
    }

    #[test]
    fn a_line_is_what_the_write_path_is_asked() {
        let attribute = |name: &str, listed: Value| DriftAttribute { attribute: name.into(), stored: Value::Null, listed };
        let detail = DriftDetail {
            user_name: "ada".into(),
            attributes: vec![
                attribute("userName", json!("ada")),
                attribute("name.givenName", json!("Ada")),
                attribute(&format!("{ENTERPRISE}:department"), json!("R&D")),
                attribute("emails", json!(["a@x.example", "b@x.example"])),
            ],
            ..DriftDetail::default()
        };
        let body = creation(&detail);
        assert_eq!(
            (&body["active"], &body["name"]["givenName"], &body[ENTERPRISE]["department"]),
            (&json!(true), &json!("Ada"), &json!("R&D"))
        );
        assert_eq!((&body["emails"][0]["primary"], &body["schemas"][1]), (&json!(true), &json!(ENTERPRISE)));
        let stored = document(&json!({"userName": "ada", "emails": [{"value": "A@x.example", "type": "home"}]}));
        let patch = change(&detail, &stored).unwrap();
        assert_eq!(
            patch["Operations"][3]["value"],
            json!([{"value": "A@x.example", "type": "home"}, {"value": "b@x.example", "type": "other"}])
        );
        assert_eq!(change(&DriftDetail::default(), &stored), None);
    }
}
