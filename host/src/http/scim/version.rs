//! Entity tags (RFC 7644 §3.14, RFC 9110 §8.8.3, §13.1): the version of a resource, weak, as `W/"3"`.

use axum::http::HeaderMap;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};

/// The most tags in one header that are looked at.
const TAGS_LIMIT: usize = 32;

/// The entity tag of a version, as in the `ETag` header and in `meta.version`.
#[must_use]
pub fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// What a request's `If-Match` asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Nothing: there is no such header, or it is `*`, and whether the resource exists shows by itself.
    Any,
    /// This version.
    One(i64),
    /// One of these versions; none, where no tag is one of ours.
    OneOf(Vec<i64>),
}

impl IfMatch {
    /// Reads the header. Weak tags count (SCIM's are weak, where HTTP would have `If-Match` compare strongly).
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        tags(headers, IF_MATCH).map_or(Self::Any, Self::of_tags)
    }

    /// Reads the `version` of an operation in a bulk request, which has the header's form (RFC 7644 §3.7).
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self::of_tags(Tags::of([text].into_iter()))
    }

    fn of_tags(Tags { any, versions }: Tags) -> Self {
        match versions[..] {
            _ if any => Self::Any,
            [version] => Self::One(version),
            _ => Self::OneOf(versions),
        }
    }

    /// Whether a resource of that version fulfils it.
    #[must_use]
    pub fn allows(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::One(wanted) => *wanted == version,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

/// Whether there is an `If-None-Match`.
#[must_use]
pub fn has_none_match(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH)
}

/// Whether `If-None-Match` names the version that the client would get.
#[must_use]
pub fn not_modified(headers: &HeaderMap, version: i64) -> bool {
    tags(headers, IF_NONE_MATCH).is_some_and(|tags| tags.any || tags.versions.contains(&version))
}

struct Tags {
    any: bool,
    versions: Vec<i64>,
}

impl Tags {
    fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let mut tags = Self { any: false, versions: Vec::new() };
        for tag in texts.flat_map(|text| text.split(',')).map(str::trim).take(TAGS_LIMIT) {
            tags.any |= tag == "*";
            tags.versions.extend(version_of(tag));
        }
        tags
    }
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Tags> {
    headers.contains_key(&name).then(|| Tags::of(headers.get_all(&name).iter().filter_map(|value| value.to_str().ok())))
}

fn version_of(tag: &str) -> Option<i64> {
    let quoted = tag.strip_prefix("W/").unwrap_or(tag);
    quoted.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn if_match_is_read_in_every_form() {
        for (value, expected) in [
            ("*", IfMatch::Any),
            ("W/\"3\"", IfMatch::One(3)),
            ("\"3\"", IfMatch::One(3)),
            ("W/\"3\", W/\"4\"", IfMatch::OneOf(vec![3, 4])),
            ("\"of another server\"", IfMatch::OneOf(vec![])),
            ("3", IfMatch::OneOf(vec![])),
            ("", IfMatch::OneOf(vec![])),
        ] {
            assert_eq!(IfMatch::of(&headers(IF_MATCH, value)), expected, "{value}");
        }
        assert_eq!(IfMatch::of(&HeaderMap::new()), IfMatch::Any);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for (value, same) in [("W/\"3\"", true), ("\"3\"", true), ("*", true), ("W/\"2\", W/\"3\"", true), ("W/\"2\"", false), ("x", false)]
        {
            assert_eq!(not_modified(&headers(IF_NONE_MATCH, value), 3), same, "{value}");
        }
        assert!(!not_modified(&HeaderMap::new(), 3));
    }

    #[test]
    fn a_tag_names_the_version_that_it_was_made_of() {
        assert_eq!(version_of(&etag(42)), Some(42));
    }
}
