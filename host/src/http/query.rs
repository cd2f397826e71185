//! Paths and query strings, read: strictly for the API, where an unknown parameter is a mistake to be told of, and
//! leniently for SCIM, whose clients send dangling `&` and `?` (OneLogin) and parameters of their own.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use rolecall_scim::message::{PAGE_DEFAULT, PAGE_LIMIT};
use rolecall_scim::projection::Projection;
use rolecall_scim::schema::Schemas;
use rolecall_scim::search::SearchRequest;
use rolecall_scim::{Quirk, ResourceKind};
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use crate::app::App;

/// The longest identifier in a path, in bytes: user names may be e-mail addresses, which have at most 254.
const SEGMENT_BYTES_LIMIT: usize = 512;

/// Parts of the path as a type; 404 for what can't be one. NUL is in no identifier, and PostgreSQL's text can't hold it.
pub struct At<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for At<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self> {
        let missing = || Error::not_found("such path");
        let Path(segments) =
            <Path<Vec<(String, String)>> as FromRequestParts<()>>::from_request_parts(parts, &()).await.map_err(|_| missing())?;
        if segments.iter().any(|(_, text)| text.contains('\0') || text.len() > SEGMENT_BYTES_LIMIT) {
            return Err(missing());
        }
        let Path(value) = <Path<T> as FromRequestParts<()>>::from_request_parts(parts, &()).await.map_err(|_| missing())?;
        Ok(Self(value))
    }
}

/// The query string as a type that refuses unknown parameters.
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for ApiQuery<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self> {
        let Query(value) = Query::<T>::try_from_uri(&parts.uri).map_err(|rejection| {
            let why = std::error::Error::source(&rejection).map_or_else(|| rejection.to_string(), ToString::to_string);
            Error::bad_request(format!("the query string: {why}"), "the query string does not fit")
        })?;
        Ok(Self(value))
    }
}

/// A page of an API listing.
#[must_use]
pub fn page_limit(asked: Option<i64>) -> i64 {
    asked.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_LIMIT)
}

/// A page, where one more than `limit` was asked for: that one tells whether there is another page, and goes. Gives with it where the next
/// page begins, `None` on the last one.
#[must_use]
pub fn page<T, P>(mut items: Vec<T>, limit: i64, place: impl FnOnce(&T) -> P) -> (Vec<T>, Option<P>) {
    let more = i64::try_from(items.len()).unwrap_or(i64::MAX) > limit;
    if more {
        items.pop();
    }
    let next = items.last().filter(|_| more).map(place);
    (items, next)
}

/// The query parameters of a SCIM request, as sent.
#[derive(Clone, Debug, Default)]
pub struct ScimQuery(Vec<(String, String)>);

impl ScimQuery {
    /// The parameter's first value; an empty one counts as none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty())
    }

    /// All values of a parameter that is a list, however often it is there; `None` where it says nothing.
    fn list(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.0.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect();
        Some(values.join(",")).filter(|list| !list.is_empty())
    }

    /// What the client wants to see.
    ///
    /// # Errors
    /// 400 for contradictory parameters.
    pub fn projection(&self, schemas: &Schemas, kind: ResourceKind) -> Result<Projection> {
        Ok(Projection::parse(schemas, kind, self.list("attributes").as_deref(), self.list("excludedAttributes").as_deref())?)
    }

    /// What is asked of a listing.
    ///
    /// # Errors
    /// 400 `invalidValue` for what is no integer.
    pub fn search(&self) -> Result<SearchRequest> {
        Ok(SearchRequest::from_query(self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())))?)
    }
}

impl FromRequestParts<Arc<App>> for ScimQuery {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        if parts.uri.query().is_some_and(is_dangling) {
            app.metrics.quirk(Quirk::DanglingQuery.word());
        }
        Ok(Self::of(&parts.uri))
    }
}

/// Whether a query string has separators with nothing between them (OneLogin).
pub(super) fn is_dangling(query: &str) -> bool {
    query.is_empty() || query.starts_with('?') || query.split('&').any(str::is_empty)
}

impl ScimQuery {
    fn of(uri: &axum::http::Uri) -> Self {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).unwrap_or_default();
        // OneLogin puts a second `?` before the first parameter.
        let pairs = pairs.into_iter().map(|(key, value)| (key.trim_start_matches('?').to_owned(), value));
        Self(pairs.filter(|(key, _)| !key.is_empty()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> ScimQuery {
        ScimQuery::of(&format!("/Users{text}").parse().unwrap())
    }

    #[test]
    fn dangling_separators_and_unknown_parameters_are_no_matter() {
        let query = query("??filter=userName+eq+%22a%22&&frob=1&");
        assert_eq!(query.get("filter"), Some("userName eq \"a\""));
        assert_eq!(query.get("startIndex"), None);
    }

    #[test]
    fn a_list_may_be_in_several_parameters() {
        let query = query("?attributes=userName&attributes=title,active&excludedAttributes=");
        assert_eq!(query.list("attributes").as_deref(), Some("userName,title,active"));
        assert_eq!((query.list("excludedAttributes"), query.list("sortBy")), (None, None));
    }

    #[test]
    fn dangling_separators_are_told_from_others() {
        for (text, dangling) in
            [("a=1&b=2", false), ("a=1", false), ("", true), ("a=1&", true), ("&a=1", true), ("a=1&&b=2", true), ("?a=1", true)]
        {
            assert_eq!(is_dangling(text), dangling, "{text}");
        }
    }

    #[test]
    fn numbers_are_numbers() {
        assert_eq!(query("?startIndex=5&COUNT=2").search().unwrap().count, Some(2));
        for text in ["?count=many", "?startIndex=1.5", "?count=99999999999999999999"] {
            assert_eq!(query(text).search().unwrap_err().status().as_u16(), 400, "{text}");
        }
    }
}
