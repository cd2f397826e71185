//! Entity tags (RFC 7644 §3.14, RFC 9110 §8.8.3, §13.1): the version of a resource, weak, as `W/"3"`, and the conditions that
//! clients make of it. Knows texts; which headers they stood in is the caller's.

/// The most tags in one condition that are looked at.
pub const TAGS_LIMIT: usize = 32;

/// The entity tag of a version, as in the `ETag` header and in `meta.version`.
#[must_use]
pub fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// The versions that tags name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// It is `*`: every version.
    pub any: bool,
    /// These versions, in order; tags of another server name none of ours.
    pub versions: Vec<i64>,
}

impl Tags {
    /// Reads the values of a header, of which there may be several lines. Weak tags count as strong ones do.
    #[must_use]
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut tags = Self::default();
        for text in texts {
            // A star stands alone (RFC 9110 §13.1.1), and a tag may hold commas and stars.
            tags.any |= text.trim() == "*";
            tags.versions.extend(listed(text).take(TAGS_LIMIT).filter_map(version_of));
        }
        tags.versions.truncate(TAGS_LIMIT);
        tags
    }

    /// Whether one of them names that version.
    #[must_use]
    pub fn name(&self, version: i64) -> bool {
        self.any || self.versions.contains(&version)
    }
}

/// What an `If-Match` asks.
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
    /// Reads the header's values. Weak tags count (SCIM's are weak, where HTTP would have `If-Match` compare strongly).
    #[must_use]
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let Tags { any, versions } = Tags::of(texts);
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

/// The tags of a header's text: commas within the quotes of one are its own, and nothing in it is an escape (RFC 9110 §8.8.3).
fn listed(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let ends = move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    text.split(ends).map(str::trim)
}

fn version_of(tag: &str) -> Option<i64> {
    let quoted = tag.strip_prefix("W/").unwrap_or(tag);
    let opaque = quoted.strip_prefix('"')?.strip_suffix('"')?;
    // Tags are compared as texts (RFC 9110 §8.8.3.2): `"03"` is none of ours.
    opaque.parse().ok().filter(|version: &i64| version.to_string() == opaque)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_read_in_every_form() {
        for (value, expected) in [
            ("*", IfMatch::Any),
            ("W/\"3\"", IfMatch::One(3)),
            ("\"3\"", IfMatch::One(3)),
            ("W/\"3\", W/\"4\"", IfMatch::OneOf(vec![3, 4])),
            ("\"of another server\"", IfMatch::OneOf(vec![])),
            ("3", IfMatch::OneOf(vec![])),
            ("\"03\", \"+3\", W/\"-0\"", IfMatch::OneOf(vec![])),
            ("", IfMatch::OneOf(vec![])),
            ("\"a,*,b\", \",\"", IfMatch::OneOf(vec![])),
            ("\"a,\\\", W/\"3\"", IfMatch::One(3)),
            ("*, \"3\"", IfMatch::One(3)),
        ] {
            assert_eq!(IfMatch::of([value]), expected, "{value}");
        }
        assert_eq!(IfMatch::of(["W/\"3\"", "\"4\""]), IfMatch::OneOf(vec![3, 4]), "two lines of one header");
    }

    #[test]
    fn a_tag_names_the_version_that_it_was_made_of() {
        assert_eq!(version_of(&etag(42)), Some(42));
    }
}
