//! Filters (RFC 7644 §3.4.2.2): grammar, meaning, printing. Pure; the database compiles the same tree to SQL.

mod meaning;
pub(crate) mod parse;
mod print;

use serde_json::{Map, Value};

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

/// A text as it is compared where case does not matter: default case folding. What databases index.
#[must_use]
pub fn fold(text: &str) -> String {
    caseless::default_case_fold_str(text)
}

/// The instant that an `xsd:dateTime` names (RFC 7643 §2.3.5); without an offset it is read as UTC.
#[must_use]
pub fn instant(text: &str) -> Option<jiff::Timestamp> {
    // Dates without a time and bracketed zone names are valid for the parser, not for `xsd:dateTime`.
    if !text.contains(['T', 't']) || text.contains('[') {
        return None;
    }
    text.parse().ok().or_else(|| {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        jiff::tz::Offset::UTC.to_timestamp(local).ok()
    })
}
