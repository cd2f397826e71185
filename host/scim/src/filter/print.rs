//! Filters as text: what is printed parses to the same tree. Knows no schemas.

use std::fmt;

use super::{Filter, Literal, Op, Test};

impl Op {
    /// Every operator with its word.
    pub(super) const WORDS: [(&'static str, Self); 9] = [
        ("eq", Self::Eq),
        ("ne", Self::Ne),
        ("co", Self::Contains),
        ("sw", Self::StartsWith),
        ("ew", Self::EndsWith),
        ("gt", Self::Gt),
        ("ge", Self::Ge),
        ("lt", Self::Lt),
        ("le", Self::Le),
    ];

    /// The operator's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Contains => "co",
            Self::StartsWith => "sw",
            Self::EndsWith => "ew",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(left, right) => {
                operand(f, left)?;
                f.write_str(" and ")?;
                operand(f, right)
            }
            Self::Or(left, right) => write!(f, "{left} or {right}"),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Test(path, test) => write!(f, "{path} {test}"),
            Self::Values { attribute, filter, then: None } => write!(f, "{attribute}[{filter}]"),
            Self::Values { attribute, filter, then: Some((sub, test)) } => write!(f, "{attribute}[{filter}].{sub} {test}"),
        }
    }
}

/// An operand of `and`, which binds tighter than `or`.
fn operand(f: &mut fmt::Formatter<'_>, filter: &Filter) -> fmt::Result {
    if matches!(filter, Filter::Or(..)) { write!(f, "({filter})") } else { write!(f, "{filter}") }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("pr"),
            Self::Compare(op, literal) => write!(f, "{} {literal}", op.word()),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => serde_json::Value::from(value.as_str()).fmt(f),
        }
    }
}
