//! Attribute paths (RFC 7644 §3.5.2, §3.10): `name.givenName`, `urn:…:User:manager`, `emails[type eq "work"].value`.

use std::fmt;

use crate::filter::parse::{Parser, Scope};
use crate::filter::{FILTER_BYTES_LIMIT, Filter};
use crate::schema::Schemas;
use crate::{Quirk, ResourceKind, ScimError};

/// The longest path in bytes: a path can hold a filter.
pub const PATH_BYTES_LIMIT: usize = FILTER_BYTES_LIMIT;
/// How much of a name that a client wrote an error repeats.
const SHOWN_CHARS: usize = 128;

/// `attrPath` of RFC 7644 §3.4.2.2: an attribute, perhaps qualified by a schema URN, perhaps with a sub-attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttrPath {
    /// The schema's URN as written, when qualified.
    pub urn: Option<String>,
    /// The attribute's name as written (names are compared in any case).
    pub name: String,
    /// The sub-attribute's name as written.
    pub sub: Option<String>,
}

/// The target of a PATCH operation (RFC 7644 §3.5.2).
#[derive(Clone, Debug, PartialEq)]
pub enum Path {
    /// An attribute or sub-attribute.
    Attribute(AttrPath),
    /// The values of a multi-valued attribute that match, or a sub-attribute of them.
    Values {
        /// The multi-valued attribute (no sub-attribute).
        attribute: AttrPath,
        /// Which values.
        filter: Filter,
        /// Which part of them.
        sub: Option<String>,
    },
    /// A whole extension: its URN alone.
    Extension(String),
}

impl Path {
    /// Parses a path; `schemas` tell where a URN ends and, for the attributes that they define, what a
    /// filter in the path may compare.
    ///
    /// # Errors
    /// 400 `invalidPath`, or `invalidFilter` within the brackets, with the column.
    pub fn parse(schemas: &Schemas, text: &str) -> Result<Self, ScimError> {
        Self::parse_for(schemas, &[ResourceKind::User, ResourceKind::Group], text).map(|(path, _)| path)
    }

    /// Parses a path for the first of `kinds` that has the attribute; with the client quirks in its filter.
    pub(crate) fn parse_for(schemas: &Schemas, kinds: &[ResourceKind], text: &str) -> Result<(Self, Vec<Quirk>), ScimError> {
        if text.len() > PATH_BYTES_LIMIT {
            return Err(ScimError::invalid_path(format!("the path is longer than {PATH_BYTES_LIMIT} bytes")));
        }
        let mut parser = Parser::new(schemas, text.trim());
        let token = parser.token();
        if schemas.leading_urn(token).is_some_and(|(_, rest)| rest.is_empty()) && parser.at_end() {
            return Ok((Self::Extension(token.into()), Vec::new()));
        }
        let attribute = AttrPath::from_token(schemas, token)?;
        if parser.at_end() {
            return Ok((Self::Attribute(attribute), Vec::new()));
        }
        if attribute.sub.is_some() || !parser.eat('[') {
            let column = parser.column();
            return Err(ScimError::invalid_path(format!(
                "path, column {column}: expected an attribute, then at most `[filter]` and `.part`"
            )));
        }
        if !text.contains(']') {
            return Err(ScimError::invalid_path(format!("path, column {}: the `[` is never closed", parser.column())));
        }
        let known = kinds.iter().find_map(|&kind| schemas.resolve(kind, &attribute));
        let filter = parser.bracketed(known.map_or(Scope::Unknown, |known| Scope::Values(known.attribute)))?;
        let sub = if parser.eat('.') {
            let name = parser.token();
            Some(is_name(name).then(|| name.to_owned()).ok_or_else(|| {
                ScimError::invalid_path(format!("path, column {}: expected the name of a sub-attribute", parser.column()))
            })?)
        } else {
            None
        };
        if !parser.at_end() {
            return Err(ScimError::invalid_path(format!("path, column {}: expected the end of the path", parser.column())));
        }
        Ok((Self::Values { attribute, filter, sub }, parser.quirks))
    }
}

impl AttrPath {
    /// Parses an attribute path.
    ///
    /// # Errors
    /// 400 `invalidPath`.
    pub fn parse(schemas: &Schemas, text: &str) -> Result<Self, ScimError> {
        if text.len() > PATH_BYTES_LIMIT {
            return Err(ScimError::invalid_path(format!("the path is longer than {PATH_BYTES_LIMIT} bytes")));
        }
        Self::from_token(schemas, text.trim())
    }

    /// From a word without spaces and brackets.
    pub(crate) fn from_token(schemas: &Schemas, token: &str) -> Result<Self, ScimError> {
        // A URN holds dots and colons: a known one is cut off by its length, an unknown one at the last colon.
        let (urn, rest) = match schemas.leading_urn(token).or_else(|| token.rsplit_once(':')) {
            Some((urn, rest)) => (Some(urn), rest),
            None => (None, token),
        };
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        if urn.is_some_and(str::is_empty) || !is_name(name) || !sub.is_none_or(is_name) {
            return Err(ScimError::invalid_path(format!(
                "`{}` is no attribute path: write `name`, `name.part` or `urn:…:name`",
                shown(token)
            )));
        }
        Ok(Self { urn: urn.map(Into::into), name: name.into(), sub: sub.map(Into::into) })
    }
}

/// Whether a text is an attribute's name: `ATTRNAME` of RFC 7643 §2.1, and `$ref`.
pub(crate) fn is_name(text: &str) -> bool {
    let bare = text.strip_prefix('$').unwrap_or(text);
    bare.starts_with(|c: char| c.is_ascii_alphabetic()) && bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// A name that a client wrote, short enough for an error or a log.
pub(crate) fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.into(),
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(urn) = &self.urn {
            write!(f, "{urn}:")?;
        }
        f.write_str(&self.name)?;
        self.sub.as_ref().map_or(Ok(()), |sub| write!(f, ".{sub}"))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(path) => path.fmt(f),
            Self::Values { attribute, filter, sub } => {
                write!(f, "{attribute}[{filter}]")?;
                sub.as_ref().map_or(Ok(()), |sub| write!(f, ".{sub}"))
            }
            Self::Extension(urn) => f.write_str(urn),
        }
    }
}
