//! Golden cases: a SCIM user and groups, and the account and roles that the revision must make of them. They run through the one decision.

use std::collections::BTreeSet;
use std::fmt;

use rolecall_scim::ResourceKind;
use rolecall_scim::resource::{self, Document};
use rolecall_scim::schema::Schemas;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{Revision, json_problem};
use crate::diagnostic::Diagnostic;
use crate::evaluation::{self, Evaluation, HookCall, Outcome, Subject};
use crate::mapping::AccountShape;
use crate::model::{ConnectionId, GroupMembership, Instant, LogLine, ResourceId};

/// The instant of a case that names none, so that a case never turns with the calendar: 2026-01-01T00:00:00Z.
pub(super) const DEFAULT_AS_OF: Instant = Instant(1_767_225_600_000_000);

/// A golden case: SCIM user + groups → account + roles.
#[derive(Clone, Debug)]
pub(super) struct GoldenCase {
    /// `tests/x.json`.
    pub file: String,
    /// Its name.
    pub name: String,
    as_of: Instant,
    document: Document,
    groups: Vec<GroupMembership>,
    expected: Expected,
}

/// How a golden case ended.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct GoldenResult {
    /// `tests/x.json`.
    pub file: String,
    /// Its name.
    pub name: String,
    /// A unified diff of expected and actual; `None` when it passed.
    pub diff: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default, deserialize_with = "instant")]
    as_of: Option<Instant>,
    user: Value,
    #[serde(default)]
    groups: Vec<String>,
    expect: Expected,
}

pub(super) fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Instant>, D::Error> {
    let expected = |_| D::Error::custom("expected an instant in RFC 3339, such as `2026-01-31T00:00:00Z`");
    String::deserialize(deserializer)?.parse().map(|at: jiff::Timestamp| Some(Instant::from(at))).map_err(expected)
}

/// What a case expects: a word, or an object.
#[derive(Clone, Debug)]
enum Expected {
    Inactive,
    /// The end date has come.
    Ended,
    /// With this reason, if one is given.
    OutOfScope(Option<String>),
    /// With this code, if one is given.
    Refused(Option<String>),
    /// The attributes that are named (`null`: none), and the roles, if they are given.
    Account(Option<Map<String, Value>>, Option<BTreeSet<String>>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedObject {
    #[serde(default, deserialize_with = "expected_account")]
    account: Option<Map<String, Value>>,
    roles: Option<BTreeSet<String>>,
    refused: Option<String>,
    out_of_scope: Option<String>,
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Expected;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "`inactive`, `ended`, `out_of_scope`, `refused`, or an object with `account` and `roles`, `refused`, or `out_of_scope`",
                )
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Expected, E> {
                match word {
                    "inactive" => Ok(Expected::Inactive),
                    "ended" => Ok(Expected::Ended),
                    "out_of_scope" => Ok(Expected::OutOfScope(None)),
                    "refused" => Ok(Expected::Refused(None)),
                    _ => Err(E::unknown_variant(word, &["inactive", "ended", "out_of_scope", "refused"])),
                }
            }

            // Read as part of the whole, and not from a copy, so that errors keep their line and column.
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expected, A::Error> {
                let written = ExpectedObject::deserialize(MapAccessDeserializer::new(map))?;
                match written {
                    ExpectedObject { account: None, roles: None, refused: Some(code), out_of_scope: None } => {
                        Ok(Expected::Refused(Some(code)))
                    }
                    ExpectedObject { account: None, roles: None, refused: None, out_of_scope: Some(reason) } => {
                        Ok(Expected::OutOfScope(Some(reason)))
                    }
                    ExpectedObject { account: None, roles: None, refused: None, out_of_scope: None } => {
                        Err(A::Error::custom("`expect` says nothing: name an `account`, `roles`, or both"))
                    }
                    ExpectedObject { account, roles, refused: None, out_of_scope: None } => Ok(Expected::Account(account, roles)),
                    _ => Err(A::Error::custom("a person who is refused or out of scope has no account and no roles")),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// An object whose keys are attributes of an account.
fn expected_account<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Map<String, Value>>, D::Error> {
    struct Attributes;
    impl<'de> Visitor<'de> for Attributes {
        type Value = Option<Map<String, Value>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with attributes of an account")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut attributes = Map::new();
            while let Some(name) = map.next_key::<String>()? {
                if !AccountShape::ATTRIBUTES.contains(&name.as_str()) {
                    return Err(A::Error::unknown_field(&name, AccountShape::ATTRIBUTES));
                }
                attributes.insert(name, map.next_value()?);
            }
            Ok(Some(attributes))
        }
    }
    deserializer.deserialize_map(Attributes)
}

/// Reads a case.
pub(super) fn read(file: &str, text: &str, schemas: &Schemas, catalogue: Option<&BTreeSet<&str>>) -> Result<GoldenCase, Vec<Diagnostic>> {
    let written: Written = serde_json::from_str(text).map_err(|error| vec![json_problem(file, text, &error)])?;
    let mut problems = Vec::new();
    // A place in the text, by the first occurrence of what is wrong: JSON values don't keep theirs.
    let at = |needle: &str, message: String| match text.find(needle) {
        Some(start) => Diagnostic::at(file, text, start..start + needle.len(), message),
        None => Diagnostic::of_file(file, message),
    };
    let read = resource::read(schemas, ResourceKind::User, &written.user, None);
    let document = read.map_err(|error| problems.push(at("\"user\"", format!("the user is no SCIM user: {}", error.detail)))).ok();
    if let (Expected::Account(_, Some(roles)), Some(catalogue)) = (&written.expect, catalogue) {
        for role in roles.iter().filter(|role| !catalogue.contains(role.as_str())) {
            problems.push(at(&format!("\"{role}\""), format!("the catalogue has no role `{role}`")));
        }
    }
    match document {
        Some(read) if problems.is_empty() => Ok(GoldenCase {
            file: file.to_owned(),
            name: written.name,
            as_of: written.as_of.unwrap_or(DEFAULT_AS_OF),
            document: read.document,
            groups: written.groups.into_iter().map(|handle| GroupMembership { chain: vec![handle.clone()], handle }).collect(),
            expected: written.expect,
        }),
        _ => Err(problems),
    }
}

impl GoldenCase {
    /// Runs the case.
    pub(super) fn run(&self, revision: &Revision) -> GoldenResult {
        let subject = Subject {
            user: ResourceId("golden-user".into()),
            connection: ConnectionId("golden-connection".into()),
            document: self.document.clone(),
            groups: self.groups.clone(),
            collision: None,
            excepted: Vec::new(),
        };
        let evaluation = evaluation::evaluate(revision, &subject, self.as_of);
        let (expected, actual) = (self.expected.to_json(), self.expected.of(&evaluation));
        GoldenResult { file: self.file.clone(), name: self.name.clone(), diff: difference(&expected, &actual) }
    }
}

/// A unified diff, where there is a difference.
pub(super) fn difference(expected: &Value, actual: &Value) -> Option<String> {
    (expected != actual).then(|| {
        let (expected, actual) = (format!("{expected:#}\n"), format!("{actual:#}\n"));
        similar::TextDiff::from_lines(&expected, &actual).unified_diff().header("expected", "actual").to_string()
    })
}

impl Expected {
    fn to_json(&self) -> Value {
        match self {
            Self::Inactive => json!("inactive"),
            Self::Ended => json!("ended"),
            Self::OutOfScope(None) => json!("out_of_scope"),
            Self::OutOfScope(Some(reason)) => json!({"out_of_scope": reason}),
            Self::Refused(None) => json!("refused"),
            Self::Refused(Some(code)) => json!({"refused": code}),
            Self::Account(account, roles) => {
                let mut expected = Map::new();
                expected.extend(account.iter().map(|account| ("account".to_owned(), sorted(account))));
                expected.extend(roles.iter().map(|roles| ("roles".to_owned(), json!(roles))));
                Value::Object(expected)
            }
        }
    }

    /// What the evaluation says of that which is expected. Where it is of another kind it is shown whole; roles that an error left
    /// undecided are always shown, so that no case passes over a failing policy.
    fn of(&self, evaluation: &Evaluation) -> Value {
        match &evaluation.outcome {
            Outcome::Inactive => json!("inactive"),
            Outcome::Ended => json!("ended"),
            Outcome::OutOfScope(_) if matches!(self, Self::OutOfScope(None)) => json!("out_of_scope"),
            Outcome::OutOfScope(reason) => json!({"out_of_scope": reason}),
            Outcome::Refused(_) if matches!(self, Self::Refused(None)) => json!("refused"),
            Outcome::Refused(note) if matches!(self, Self::Refused(_)) => json!({"refused": note.code}),
            Outcome::Refused(note) => json!({"refused": note.code, "path": note.path, "message": note.message}),
            Outcome::Fault(fault) => fault_of(&fault.note.message, evaluation.calls.last()),
            Outcome::Account(shape) | Outcome::Collision(shape, _) => {
                let whole = match serde_json::to_value(shape) {
                    Ok(Value::Object(whole)) => whole,
                    _ => Map::new(),
                };
                let roles: Vec<&str> = evaluation.roles.iter().map(|granted| granted.role.as_str()).collect();
                let mut actual = Map::new();
                let (account, with_roles) = match self {
                    Self::Account(None, roles) => (None, roles.is_some()),
                    Self::Account(Some(named), roles) => {
                        let value = |name: &String| (name.clone(), whole.get(name).cloned().unwrap_or_default());
                        (Some(named.keys().map(value).collect()), roles.is_some())
                    }
                    Self::Inactive | Self::Ended | Self::OutOfScope(_) | Self::Refused(_) => (Some(whole), true),
                };
                actual.extend(account.iter().map(|account| ("account".to_owned(), sorted(account))));
                actual.extend(with_roles.then(|| ("roles".to_owned(), json!(roles))));
                if !evaluation.undecided.is_empty() {
                    let undecided: Map<String, Value> =
                        evaluation.undecided.iter().map(|role| (role.role.clone(), role.note.message.clone().into())).collect();
                    actual.insert("undecided".to_owned(), undecided.into());
                }
                Value::Object(actual)
            }
        }
    }
}

/// A fault, with the last that its call logged: a trap's message says nothing of the panic or exception that it was.
fn fault_of(message: &str, call: Option<&HookCall>) -> Value {
    let logs = call.and_then(|call| call.told.as_ref()).map(|told| LogLine::last_words(&told.logs)).unwrap_or_default();
    let mut shown = json!({"fault": message});
    if !logs.is_empty() {
        shown["logs"] = json!(logs);
    }
    shown
}

/// Attributes in the order of their names, and each tag's values sorted, so that only differences in meaning are shown.
fn sorted(account: &Map<String, Value>) -> Value {
    let mut sorted: Vec<(String, Value)> = account.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (_, value) in &mut sorted {
        if let Value::Object(tags) = value {
            for values in tags.values_mut().filter_map(Value::as_array_mut) {
                values.sort_by_key(Value::to_string);
            }
            tags.sort_keys();
        }
    }
    Value::Object(sorted.into_iter().collect())
}
