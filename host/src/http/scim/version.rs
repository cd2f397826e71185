//! The headers that hold entity tags. What tags mean is `rolecall_scim::version`'s.

use axum::http::HeaderMap;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use rolecall_scim::version::Tags;
pub use rolecall_scim::version::{IfMatch, etag};

/// What a request's `If-Match` asks.
#[must_use]
pub fn if_match(headers: &HeaderMap) -> IfMatch {
    if headers.contains_key(IF_MATCH) { IfMatch::of(texts(headers, &IF_MATCH)) } else { IfMatch::Any }
}

/// Whether there is an `If-None-Match`.
#[must_use]
pub fn has_none_match(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH)
}

/// Whether `If-None-Match` names the version that the client would get.
#[must_use]
pub fn not_modified(headers: &HeaderMap, version: i64) -> bool {
    Tags::of(texts(headers, &IF_NONE_MATCH)).name(version)
}

fn texts<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_header_that_is_not_there_asks_nothing_and_one_that_says_nothing_allows_nothing() {
        assert_eq!(if_match(&HeaderMap::new()), IfMatch::Any);
        assert_eq!(if_match(&headers(IF_MATCH, "W/\"3\"")), IfMatch::One(3));
        let unreadable = HeaderMap::from_iter([(IF_MATCH, axum::http::HeaderValue::from_bytes(b"W/\"\xff\"").unwrap())]);
        assert_eq!(if_match(&unreadable), IfMatch::OneOf(vec![]));
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for (value, same) in [("W/\"3\"", true), ("\"3\"", true), ("*", true), ("W/\"2\", W/\"3\"", true), ("W/\"2\"", false), ("x", false)]
        {
            assert_eq!(not_modified(&headers(IF_NONE_MATCH, value), 3), same, "{value}");
        }
        assert!(!not_modified(&HeaderMap::new(), 3));
    }
}
