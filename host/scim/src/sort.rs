//! Sorting (RFC 7644 §3.4.2.3): what `sortBy` and `sortOrder` mean, and a key that orders resources.
//!
//! Owns the order of two values. The order of resources that have the same key (by their id, so that pages are
//! stable) is the caller's, and so is whether a database or memory does the sorting.

use std::cmp::Ordering;

use jiff::SignedDuration;
use serde_json::{Map, Value};

use crate::filter::{fold, instant};
use crate::path::{AttrPath, shown};
use crate::resource::value::is_primary;
use crate::schema::{Resolved, Returned, Schemas, Type};
use crate::{ResourceKind, ScimError};

/// How many characters of a text decide its place. Sort keys travel in cursors, and nobody tells names apart behind that.
pub const SORT_TEXT_CHARS_LIMIT: usize = 256;

/// What to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The attribute or sub-attribute.
    pub path: AttrPath,
    /// `sortOrder=descending`.
    pub descending: bool,
}

/// What a resource is sorted by. Keys of one [`Sort`] are totally ordered, the first resource's being the least.
#[derive(Clone, Debug)]
pub struct SortKey {
    descending: bool,
    /// `None`: the resource has no value.
    value: Option<SortValue>,
}

/// A value as it is compared.
#[derive(Clone, Debug)]
enum SortValue {
    Bool(bool),
    /// The number, and exactly if it is a whole one: 64 bits don't fit into a float.
    Number(f64, i128),
    Instant(SignedDuration),
    /// Folded unless the attribute is case exact, at most [`SORT_TEXT_CHARS_LIMIT`] characters.
    Text(String),
}

impl Sort {
    /// From `sortBy` and `sortOrder`; `None` without a `sortBy`, whatever the order. A path is good if one of `kinds` has it.
    ///
    /// # Errors
    /// 400 `invalidValue` (`invalidPath` is for PATCH alone: RFC 7644 §3.12) for an attribute that no kind has or that has no order, and for
    /// another `sortOrder` than `ascending` and `descending` (in any case).
    pub fn parse(schemas: &Schemas, kinds: &[ResourceKind], by: Option<&str>, order: Option<&str>) -> Result<Option<Self>, ScimError> {
        let descending = match order {
            None => false,
            Some(word) if word.eq_ignore_ascii_case("ascending") => false,
            Some(word) if word.eq_ignore_ascii_case("descending") => true,
            Some(_) => return Err(ScimError::invalid_value("`sortOrder` must be ascending or descending")),
        };
        let Some(by) = by else { return Ok(None) };
        let unknown = || ScimError::invalid_value(format!("there is no attribute `{}` to sort by", shown(by)));
        let path = AttrPath::parse(schemas, by).map_err(|_| unknown())?;
        let found = schemas.resolve_any(kinds, &path).filter(|found| found.leaf().returned != Returned::Never);
        let found = found.filter(|found| found.attribute.returned != Returned::Never);
        let found = found.ok_or_else(unknown)?;
        check_sortable(&found, by)?;
        Ok(Some(Self { path, descending }))
    }

    /// The key of a resource (as [`crate::resource::view`] makes it): of an attribute with many values the primary or
    /// else the first one, of a complex value its part `value`.
    #[must_use]
    pub fn key(&self, schemas: &Schemas, kind: ResourceKind, resource: &Map<String, Value>) -> SortKey {
        SortKey { descending: self.descending, value: self.value(schemas, kind, resource) }
    }

    fn value(&self, schemas: &Schemas, kind: ResourceKind, resource: &Map<String, Value>) -> Option<SortValue> {
        let found = crate::filter::compared(schemas, kind, &self.path)?;
        let owner = match found.extension {
            None => resource,
            Some(urn) => resource.get(urn)?.as_object()?,
        };
        let mut value = preferred(owner.get(&found.attribute.name)?)?;
        if let Some(part) = found.sub {
            value = preferred(value.get(&part.name)?)?;
        }
        let leaf = found.leaf();
        match value {
            Value::Bool(value) => Some(SortValue::Bool(*value)),
            Value::Number(number) => number.as_f64().map(|float| SortValue::Number(float + 0.0, whole(number, float))),
            Value::String(text) if leaf.kind == Type::DateTime => instant(text).map(SortValue::Instant),
            Value::String(text) if leaf.case_exact => Some(SortValue::Text(head(text))),
            Value::String(text) => Some(SortValue::Text(head(&fold(text)))),
            _ => None,
        }
    }
}

/// Whether the values of an attribute have an order that can be asked for.
fn check_sortable(found: &Resolved<'_>, by: &str) -> Result<(), ScimError> {
    let refuse = |why: &str| Err(ScimError::invalid_value(format!("`{}` can't be sorted by: {why}", shown(by))));
    // Rows beside the documents: to sort by them would load every membership there is.
    if found.extension.is_none() && matches!(found.attribute.name.as_str(), "members" | "groups") {
        return refuse("memberships have no order");
    }
    let leaf = found.sub.or_else(|| found.attribute.sub("value")).unwrap_or(found.attribute);
    match leaf.kind {
        Type::Complex => refuse("name one of its parts, such as `name.familyName`"),
        Type::Binary => refuse("it is binary"),
        _ => Ok(()),
    }
}

/// The value that stands for all: the primary one, or else the first (RFC 7644 §3.4.2.3).
fn preferred(value: &Value) -> Option<&Value> {
    match value {
        Value::Array(values) => values.iter().find(|value| is_primary(value)).or_else(|| values.first()),
        value => Some(value),
    }
}

fn head(text: &str) -> String {
    text.chars().take(SORT_TEXT_CHARS_LIMIT).collect()
}

/// The whole part of a number, exactly for a whole one.
fn whole(number: &serde_json::Number, float: f64) -> i128 {
    // The cast stops at the ends of the range, which is all that is needed to tell equal floats apart.
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)).unwrap_or(float as i128)
}

impl SortKey {
    /// The key as text, for the position in a [`crate::cursor::Cursor`]: at most four bytes for each of
    /// [`SORT_TEXT_CHARS_LIMIT`] characters, and one.
    #[must_use]
    pub fn to_text(&self) -> String {
        match &self.value {
            None => "-".into(),
            Some(SortValue::Bool(value)) => format!("b{value}"),
            // `{:?}` of a float is the shortest text that reads as the same float.
            Some(SortValue::Number(float, whole)) => format!("n{float:?} {whole}"),
            Some(SortValue::Instant(instant)) => format!("i{}", instant.as_nanos()),
            Some(SortValue::Text(text)) => format!("t{text}"),
        }
    }

    /// What [`Self::to_text`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_text(descending: bool, text: &str) -> Option<Self> {
        let value = match (text.get(..1)?, text.get(1..)?) {
            ("-", "") => None,
            ("b", word) => Some(SortValue::Bool(word.parse().ok()?)),
            ("n", pair) => {
                let (float, whole) = pair.split_once(' ')?;
                let float: f64 = float.parse().ok().filter(|float: &f64| float.is_finite())?;
                Some(SortValue::Number(float + 0.0, whole.parse().ok()?))
            }
            ("i", nanoseconds) => Some(SortValue::Instant(SignedDuration::try_from_nanos_i128(nanoseconds.parse().ok()?)?)),
            ("t", text) => Some(SortValue::Text(head(text))),
            _ => return None,
        };
        Some(Self { descending, value })
    }
}

impl Ord for SortKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let ascending = match (&self.value, &other.value) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(left), Some(right)) => left.cmp(right),
        };
        if self.descending { ascending.reverse() } else { ascending }
    }
}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SortKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SortKey {}

impl SortValue {
    /// Types meet only where two kinds of resources have attributes of one name and different types.
    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Number(..) => 1,
            Self::Instant(_) => 2,
            Self::Text(_) => 3,
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Number(left, left_whole), Self::Number(right, right_whole)) => left.total_cmp(right).then(left_whole.cmp(right_whole)),
            (Self::Instant(left), Self::Instant(right)) => left.cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}
