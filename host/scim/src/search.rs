//! What a query asks (RFC 7644 §3.4.2, §3.4.3; RFC 9865): one form for the parameters of a GET and the body of a `.search`.
//!
//! Owns the names and types of the parameters. Whether an attribute exists is [`Filter`]'s, [`Sort`]'s and
//! [`Projection`]'s to say, what a cursor holds [`crate::cursor`]'s.

use serde_json::{Map, Value};

use crate::filter::Filter;
use crate::message::{PAGE_DEFAULT, PAGE_LIMIT};
use crate::path::shown;
use crate::projection::{NAMES_LIMIT, Projection};
use crate::resource::body::{check_depth, names_schema};
use crate::schema::Schemas;
use crate::sort::Sort;
use crate::{Quirk, ResourceKind, ScimError};

/// The message of a query by POST.
pub const SEARCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
/// The most unknown parameters whose names are kept: enough to see what is wrong.
const IGNORED_LIMIT: usize = 100;

/// A query, its types checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchRequest {
    /// Only these attributes.
    pub attributes: Vec<String>,
    /// Not these attributes.
    pub excluded_attributes: Vec<String>,
    /// The filter's text.
    pub filter: Option<String>,
    /// The attribute to sort by.
    pub sort_by: Option<String>,
    /// `ascending` or `descending`, as sent.
    pub sort_order: Option<String>,
    /// The first result, as sent.
    pub start_index: Option<i64>,
    /// How many results, as sent.
    pub count: Option<i64>,
    /// The cursor; empty asks for the first page of a query with cursors.
    pub cursor: Option<String>,
    /// Names of parameters that mean nothing here.
    pub ignored: Vec<String>,
}

/// Which part of the results is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page<'a> {
    /// By index (RFC 7644 §3.4.2.4).
    Index {
        /// Counted from 1.
        start_index: i64,
        /// At most [`PAGE_LIMIT`].
        count: i64,
    },
    /// By cursor (RFC 9865 §2).
    Cursor {
        /// The cursor's text; `None` for the first page.
        cursor: Option<&'a str>,
        /// At most [`PAGE_LIMIT`].
        count: i64,
    },
}

impl SearchRequest {
    /// From the body of a POST to `.search`.
    ///
    /// # Errors
    /// 400 `invalidSyntax` for what is no such message, `invalidValue` (`invalidCount`, `invalidCursor`) for a parameter of
    /// another type, naming it.
    pub fn from_body(body: &Value) -> Result<Self, ScimError> {
        let Value::Object(body) = body else {
            return Err(ScimError::invalid_syntax("the body must be a JSON object: a SearchRequest message"));
        };
        check_depth(body)?;
        names_schema(body, SEARCH_SCHEMA)?;
        let mut request = Self::default();
        let mut seen = Vec::new();
        for (name, value) in body {
            let Some(known) = Parameter::named(name) else {
                if !name.eq_ignore_ascii_case("schemas") {
                    request.ignore(name);
                }
                continue;
            };
            if seen.contains(&known) {
                return Err(ScimError::invalid_syntax(format!("`{}` is there twice: names differ by more than their case", known.name())));
            }
            seen.push(known);
            if !value.is_null() {
                request.set(known, value, with_cursor(body))?;
            }
        }
        Ok(request)
    }

    /// From the parameters of a GET. What is empty counts as not there, but for the cursor; of a parameter that is there
    /// twice the first one counts, and lists are joined.
    ///
    /// # Errors
    /// 400 `invalidValue` (`invalidCount`) for what is no number, naming the parameter.
    pub fn from_query<'q>(parameters: impl IntoIterator<Item = (&'q str, &'q str)>) -> Result<Self, ScimError> {
        let mut request = Self::default();
        let parameters: Vec<(&str, &str)> = parameters.into_iter().collect();
        let with_cursor = parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case("cursor"));
        let mut seen = Vec::new();
        for (name, text) in parameters {
            let Some(known) = Parameter::named(name) else {
                request.ignore(name);
                continue;
            };
            let text = text.trim();
            if text.is_empty() && known != Parameter::Cursor || seen.contains(&known) && !known.is_list() {
                continue;
            }
            seen.push(known);
            let value = match known {
                Parameter::StartIndex | Parameter::Count => {
                    Value::from(text.parse::<i64>().map_err(|_| known.wrong("an integer of at most 63 bits", with_cursor))?)
                }
                Parameter::Attributes | Parameter::ExcludedAttributes => text.split(',').map(str::trim).collect(),
                _ => Value::from(text),
            };
            request.set(known, &value, with_cursor)?;
        }
        Ok(request)
    }

    fn ignore(&mut self, name: &str) {
        let name = shown(name);
        if self.ignored.len() < IGNORED_LIMIT && !self.ignored.contains(&name) {
            self.ignored.push(name);
        }
    }

    fn set(&mut self, parameter: Parameter, value: &Value, with_cursor: bool) -> Result<(), ScimError> {
        let text = || value.as_str().map(str::to_owned).ok_or_else(|| parameter.wrong("a text", with_cursor));
        let filled = || text().map(|text| Some(text.trim().to_owned()).filter(|text| !text.is_empty()));
        let integer = || value.as_i64().ok_or_else(|| parameter.wrong("an integer of at most 63 bits", with_cursor)).map(Some);
        match parameter {
            Parameter::Attributes => self.attributes.extend(names(parameter, value)?),
            Parameter::ExcludedAttributes => self.excluded_attributes.extend(names(parameter, value)?),
            Parameter::Filter => self.filter = filled()?,
            Parameter::SortBy => self.sort_by = filled()?,
            Parameter::SortOrder => self.sort_order = filled()?,
            Parameter::StartIndex => self.start_index = integer()?,
            Parameter::Count => self.count = integer()?,
            Parameter::Cursor => self.cursor = Some(text()?),
        }
        Ok(())
    }

    /// The filter for the kinds of resources that are asked for, with the client quirks in it.
    ///
    /// # Errors
    /// 400 `invalidFilter`.
    pub fn filter(&self, schemas: &Schemas, kinds: &[ResourceKind]) -> Result<(Option<Filter>, Vec<Quirk>), ScimError> {
        match &self.filter {
            None => Ok((None, Vec::new())),
            Some(text) => Filter::parse_any(schemas, kinds, text).map(|(filter, quirks)| (Some(filter), quirks)),
        }
    }

    /// What to sort by.
    ///
    /// # Errors
    /// 400, see [`Sort::parse`].
    pub fn sort(&self, schemas: &Schemas, kinds: &[ResourceKind]) -> Result<Option<Sort>, ScimError> {
        Sort::parse(schemas, kinds, self.sort_by.as_deref(), self.sort_order.as_deref())
    }

    /// What to show of resources of a kind.
    ///
    /// # Errors
    /// 400, see [`Projection::parse`].
    pub fn projection(&self, schemas: &Schemas, kind: ResourceKind) -> Result<Projection, ScimError> {
        let list = |names: &[String]| (!names.is_empty()).then(|| names.join(","));
        Projection::parse(schemas, kind, list(&self.attributes).as_deref(), list(&self.excluded_attributes).as_deref())
    }

    /// The part that is wanted: a start below 1 counts as 1, a negative count as 0, and no count is more than [`PAGE_LIMIT`].
    /// Without a word about it, pages go by index (RFC 9865 §2.4 for servers whose clients know only that).
    ///
    /// # Errors
    /// 400 `invalidValue` when both kinds of pages are asked for, `invalidCount` for a page by cursor of less than one
    /// resource (RFC 9865 §2: a positive integer).
    pub fn page(&self) -> Result<Page<'_>, ScimError> {
        let count = self.count.unwrap_or(PAGE_DEFAULT).clamp(0, PAGE_LIMIT);
        match (&self.cursor, self.start_index) {
            (None, start_index) => Ok(Page::Index { start_index: start_index.unwrap_or(1).max(1), count }),
            (Some(_), None) if count < 1 => Err(ScimError::invalid_count("`count` must be at least 1 for a page by cursor")),
            (Some(cursor), None) => Ok(Page::Cursor { cursor: Some(cursor.as_str()).filter(|cursor| !cursor.is_empty()), count }),
            (Some(_), Some(_)) => Err(ScimError::invalid_value("`startIndex` and `cursor` exclude each other: send one of them")),
        }
    }
}

/// Whether a body asks for pages by cursor.
fn with_cursor(body: &Map<String, Value>) -> bool {
    body.iter().any(|(name, value)| name.eq_ignore_ascii_case("cursor") && !value.is_null())
}

/// A list of attribute names.
fn names(parameter: Parameter, value: &Value) -> Result<Vec<String>, ScimError> {
    let wrong = || parameter.wrong("an array of attribute names", false);
    let values = value.as_array().ok_or_else(wrong)?;
    if values.len() > NAMES_LIMIT {
        return Err(ScimError::invalid_value(format!("more than {NAMES_LIMIT} attribute names")));
    }
    values.iter().map(|name| name.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    Attributes,
    ExcludedAttributes,
    Filter,
    SortBy,
    SortOrder,
    StartIndex,
    Count,
    Cursor,
}

impl Parameter {
    const ALL: [Self; 8] = [
        Self::Attributes,
        Self::ExcludedAttributes,
        Self::Filter,
        Self::SortBy,
        Self::SortOrder,
        Self::StartIndex,
        Self::Count,
        Self::Cursor,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Attributes => "attributes",
            Self::ExcludedAttributes => "excludedAttributes",
            Self::Filter => "filter",
            Self::SortBy => "sortBy",
            Self::SortOrder => "sortOrder",
            Self::StartIndex => "startIndex",
            Self::Count => "count",
            Self::Cursor => "cursor",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
    }

    fn is_list(self) -> bool {
        matches!(self, Self::Attributes | Self::ExcludedAttributes)
    }

    /// RFC 9865 §2.1 has keywords of its own for queries with a cursor.
    fn wrong(self, wanted: &str, with_cursor: bool) -> ScimError {
        let detail = format!("`{}` must be {wanted}", self.name());
        match self {
            Self::Cursor => ScimError::invalid_cursor(detail),
            Self::Count if with_cursor => ScimError::invalid_count(detail),
            _ => ScimError::invalid_value(detail),
        }
    }
}
