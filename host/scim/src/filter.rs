//! Filters (RFC 7644 §3.4.2.2): grammar, meaning, printing. Pure; the database compiles the same tree to SQL.

mod meaning;
pub(crate) mod parse;
mod print;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;

use crate::path::AttrPath;
use crate::schema::{Attribute, Resolved, Schemas, Type};
use crate::{Quirk, ResourceKind, ScimError};

pub(crate) use meaning::value_matches;

/// The longest filter in bytes.
pub const FILTER_BYTES_LIMIT: usize = 8_192;
/// The deepest nesting of parentheses, brackets and `not`.
pub const FILTER_DEPTH_LIMIT: usize = 32;

/// A filter as a tree. The parser makes it flat: a chain of `and` or of `or` is a balanced tree in the
/// operands' order, so that whoever walks it needs a stack of a few dozen levels.
///
/// What a test means (the database must agree): it looks at an attribute's values, or at a sub-attribute
/// of each value; an attribute without values counts as one absent value. It holds if it holds for
/// any of them. Of an absent value, `eq null` and `ne` anything but null hold, nothing else. `eq null`
/// is the opposite of `pr` for one value, `ne null` is `pr`; an empty text is there for `eq ""` but not for `pr`.
/// A comparison of a complex attribute compares its `value` (see [`compared`]). Texts are compared as they are
/// where the attribute is case exact, else [`fold`]ed; dates as instants (see [`instant`]).
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// Either.
    Or(Box<Filter>, Box<Filter>),
    /// Not.
    Not(Box<Filter>),
    /// A test of an attribute; of a multi-valued one: any value.
    Test(AttrPath, Test),
    /// Some value of a multi-valued attribute matches, and (a form that Entra ID sends:
    /// `emails[type eq "work"].value eq "x"`) passes a test of a sub-attribute.
    Values {
        /// The multi-valued attribute.
        attribute: AttrPath,
        /// What a value has to match.
        filter: Box<Filter>,
        /// The sub-attribute and test behind the bracket.
        then: Option<(String, Test)>,
    },
}

/// A test of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `pr`: there is a value.
    Present,
    /// A comparison.
    Compare(Op, Literal),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `eq`
    Eq,
    /// `ne`
    Ne,
    /// `co`
    Contains,
    /// `sw`
    StartsWith,
    /// `ew`
    EndsWith,
    /// `gt`
    Gt,
    /// `ge`
    Ge,
    /// `lt`
    Lt,
    /// `le`
    Le,
}

/// What is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A JSON number.
    Number(serde_json::Number),
    /// A JSON string.
    Text(String),
}

impl Filter {
    /// How many tests it is made of: what it takes to ask it about one value.
    #[must_use]
    pub fn tests(&self) -> usize {
        match self {
            Self::And(left, right) | Self::Or(left, right) => left.tests() + right.tests(),
            Self::Not(inner) | Self::Values { filter: inner, .. } => inner.tests(),
            Self::Test(..) => 1,
        }
    }

    /// The same in looks at a value with all that is done with it, which takes as long as some tests do.
    #[must_use]
    pub fn looks(&self) -> usize {
        const TESTS_IN_A_LOOK: usize = 8;
        1 + self.tests() / TESTS_IN_A_LOOK
    }

    /// Parses a filter for a kind of resource and checks it against the schemas.
    ///
    /// # Errors
    /// 400 `invalidFilter` with the column and what was expected.
    pub fn parse(schemas: &Schemas, kind: ResourceKind, text: &str) -> Result<Self, ScimError> {
        Self::parse_with_quirks(schemas, kind, text).map(|(filter, _)| filter)
    }

    /// As [`Self::parse`], with the client quirks that were met.
    ///
    /// # Errors
    /// 400 `invalidFilter` with the column and what was expected.
    pub fn parse_with_quirks(schemas: &Schemas, kind: ResourceKind, text: &str) -> Result<(Self, Vec<Quirk>), ScimError> {
        Self::parse_any(schemas, &[kind], text)
    }

    /// As [`Self::parse_with_quirks`], for a query of several kinds of resources (RFC 7644 §3.4.2.1). A path is good if one
    /// of `kinds` has it; for a resource of another kind, the attribute counts as absent. Where several kinds have it, the
    /// value is read in the type of the first one's, a core attribute before an extension's.
    ///
    /// # Errors
    /// 400 `invalidFilter` with the column and what was expected.
    pub fn parse_any(schemas: &Schemas, kinds: &[ResourceKind], text: &str) -> Result<(Self, Vec<Quirk>), ScimError> {
        if text.len() > FILTER_BYTES_LIMIT {
            return Err(ScimError::invalid_filter(format!("the filter is longer than {FILTER_BYTES_LIMIT} bytes: ask for less at once")));
        }
        let mut parser = parse::Parser::new(schemas, text);
        let filter = parser.whole(parse::Scope::Resources(kinds))?;
        Ok((filter, parser.quirks))
    }

    /// Whether the whole resource (as [`crate::resource::view`] makes it) matches.
    #[must_use]
    pub fn matches(&self, schemas: &Schemas, kind: ResourceKind, resource: &Map<String, Value>) -> bool {
        meaning::resource_matches(self, schemas, kind, resource)
    }
}

/// What a comparison with a path compares: the attribute or sub-attribute, and the part `value` where a complex
/// attribute is named (RFC 7644 §3.4.2.2). `None` when the path names nothing.
#[must_use]
pub fn compared<'a>(schemas: &'a Schemas, kind: ResourceKind, path: &AttrPath) -> Option<Resolved<'a>> {
    let resolved = schemas.resolve(kind, path)?;
    let sub = resolved.sub.or_else(|| default_part(resolved.attribute));
    Some(Resolved { sub, ..resolved })
}

/// The part that stands for a complex attribute.
fn default_part(attribute: &Attribute) -> Option<&Attribute> {
    if attribute.kind == Type::Complex { attribute.sub("value") } else { None }
}

/// A text as it is compared where case does not matter, and as databases index it: what looks the same is the same, as RFC 7644 §5 wants
/// it of user names (RFC 8265 §3.3: full and half width mapped, case folded, normalisation form C).
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        // The wide and half-wide forms of other characters.
        if matches!(c, '\u{3000}' | '\u{ff01}'..='\u{ffee}') {
            plain.extend(std::iter::once(c).nfkc());
        } else {
            plain.push(c);
        }
    }
    let composed: String = plain.nfc().collect();
    caseless::default_case_fold_str(&composed).nfc().collect()
}

/// The time from 1970 in UTC to the instant that an `xsd:dateTime` names (RFC 7643 §2.3.5), to the nanosecond; without an offset it is read
/// as UTC. Years have four digits.
#[must_use]
pub fn instant(text: &str) -> Option<SignedDuration> {
    const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    let (date, time) = text.split_once('T')?;
    let (time, zone) = time.split_at(time.find(['Z', '+', '-']).unwrap_or(time.len()));
    let (time, fraction) =
        time.split_once('.').map_or(Some((time, "0")), |(time, digits)| (!digits.is_empty()).then_some((time, digits)))?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i32 = format!("{fraction:0<9.9}").parse().ok()?;
    // 24:00:00 is the end of the day.
    let ends = (hour, minute, second, nanos) == (24, 0, 0, 0);
    let small = |number: i16| i8::try_from(number).ok();
    let hour = if ends { 0 } else { small(hour)? };
    let local = DateTime::new(year, small(month)?, small(day)?, hour, small(minute)?, small(second)?, nanos).ok()?;
    let since = local.duration_since(EPOCH);
    Some(if ends { since + DAY } else { since } - offset(zone)?)
}

/// How far a zone is ahead of UTC: at most 14 hours either way.
fn offset(zone: &str) -> Option<SignedDuration> {
    let ahead = match zone.split_at_checked(1) {
        None | Some(("Z", "")) => return Some(SignedDuration::ZERO),
        Some(("+", ahead)) => ahead,
        Some(("-", behind)) => return offset(&format!("+{behind}")).map(|ahead| -ahead),
        Some(_) => return None,
    };
    let [hours, minutes] = numbers(ahead, ':', [2, 2])?;
    let minutes = (minutes < 60).then_some(hours * 60 + minutes)?;
    (minutes <= 14 * 60).then(|| SignedDuration::from_mins(minutes.into()))
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i16; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_an_xsd_date_time() {
        let nanos = |text: &str| instant(text).map(|since| since.as_nanos());
        for (text, same) in [
            ("2024-01-03T10:00:00Z", "2024-01-03T10:00:00"),
            ("2024-01-03T24:00:00Z", "2024-01-04T00:00:00Z"),
            ("2024-01-03T10:00:00+14:00", "2024-01-02T20:00:00.000Z"),
            ("2024-01-03T10:00:00-02:30", "2024-01-03T12:30:00Z"),
            ("2024-01-03T10:00:00.12345678901Z", "2024-01-03T10:00:00.123456789Z"),
        ] {
            assert!(nanos(text).is_some() && nanos(text) == nanos(same), "{text}");
        }
        assert_eq!(nanos("1970-01-01T00:00:00.5+00:00"), Some(500_000_000));
        assert!(nanos("9999-12-31T24:00:00-14:00") > nanos("9999-12-31T23:59:59Z"));
        assert!(nanos("0000-01-01T00:00:00+14:00") < nanos("0001-01-01T00:00:00Z"));
        for text in [
            "2024-01-03",
            "20240103T100000Z",
            "2024-01-03T10Z",
            "2024-01-03T10:00Z",
            "2024-01-03T10:00:00+0200",
            "2024-01-03T10:00:00+02",
            "2024-01-03T10:00:00+14:01",
            "2024-01-03T10:00:00+02:60",
            "2024-01-03T10:00:00,5Z",
            "2024-01-03T10:00:00.Z",
            "2024-01-03T10:00:60Z",
            "2024-01-03T24:00:01Z",
            "+002024-01-03T10:00:00Z",
            "2024-02-30T10:00:00Z",
            "2024-01-03t10:00:00z",
            "2024-01-03T10:00:00Z[UTC]",
            "2024-01-03 10:00:00Z",
            "2024-01-03T10:00:00ZZ",
            "2024-01-03T10:00:0\u{661}Z",
            "T",
            "",
        ] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }

    #[test]
    fn what_looks_the_same_is_the_same() {
        for (one, other) in [
            ("ABC", "abc"),
            ("\u{e9}a", "E\u{301}A"),
            ("\u{ff41}bc", "ABC"),
            ("STRASSE", "stra\u{df}e"),
            ("\u{3c2}", "\u{3a3}"),
            ("\u{ff76}\u{ff9e}", "\u{30ac}"),
        ] {
            assert_eq!(fold(one), fold(other));
        }
        // Only widths are mapped, and case: another character is another one.
        for (one, other) in [("x\u{b2}", "x2"), ("\u{430}", "a"), ("e", "\u{e9}")] {
            assert_ne!(fold(one), fold(other));
        }
    }
}
