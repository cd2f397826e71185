//! What is fuzzed: one function for each thing that clients write and this crate reads. It takes any bytes and stops at
//! a property that does not hold, so that it finds what is wrong and not only what panics.
//!
//! Owns the properties. Knows neither libFuzzer, which calls these functions from `targets/`, nor the tests, which call
//! them with the inputs that are kept.

mod base;
mod bulk;

use std::collections::BTreeSet;

use rolecall_scim::cursor::{self, CURSOR_CHARS_LIMIT, Cursor};
use rolecall_scim::filter::{FILTER_BYTES_LIMIT, Filter};
use rolecall_scim::patch::{Done, Patch, Patched};
use rolecall_scim::path::{AttrPath, PATH_BYTES_LIMIT, Path};
use rolecall_scim::resource::{Document, read, view};
use rolecall_scim::sort::SortKey;
use rolecall_scim::version::{IfMatch, Tags, etag};
use rolecall_scim::{ResourceKind, ScimError};
use serde_json::Value;

use self::base::{extras, resources, schemas};
pub use self::bulk::bulk;

/// A target: its name and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 7] = [
    ("filter", filter),
    ("path", path),
    ("patch", patch),
    ("resource", resource),
    ("bulk", bulk),
    ("cursor", cursor),
    ("if_match", if_match),
];

/// The kinds of resources that the first byte asks for, and the rest.
fn kinds(data: &[u8]) -> Option<(&'static [ResourceKind], &[u8])> {
    let (first, rest) = data.split_first()?;
    let kinds: &[ResourceKind] = match first {
        b'u' => &[ResourceKind::User],
        b'g' => &[ResourceKind::Group],
        _ => &ResourceKind::ALL,
    };
    Some((kinds, rest))
}

/// An error tells the client a status that is the client's fault.
fn is_refusal(error: &ScimError) {
    assert!((400..500).contains(&error.status) && !error.detail.is_empty(), "{error:?}");
}

/// A filter's text. What was parsed is printed as a text that means the same, asks the same question of a cursor and has no
/// quirks left; a filter and its opposite share the resources between them.
pub fn filter(data: &[u8]) {
    let Some((kinds, rest)) = kinds(data) else { return };
    let Ok(text) = str::from_utf8(rest) else { return };
    let filter = match Filter::parse_any(schemas(), kinds, text) {
        Ok((filter, _)) => filter,
        Err(error) => return is_refusal(&error),
    };
    let printed = filter.to_string();
    match Filter::parse_any(schemas(), kinds, &printed) {
        Ok((again, quirks)) => {
            assert_eq!(again, filter, "{printed}");
            assert!(quirks.is_empty(), "{printed}: {quirks:?}");
            assert_eq!(cursor::question(kinds, Some(&again), None), cursor::question(kinds, Some(&filter), None));
        }
        // Printing writes what a client may leave out.
        Err(error) => assert!(printed.len() > FILTER_BYTES_LIMIT, "{printed}: {error}"),
    }
    let opposite = Filter::Not(Box::new(filter.clone()));
    for (kind, resource) in resources() {
        assert_ne!(filter.matches(schemas(), *kind, resource), opposite.matches(schemas(), *kind, resource), "{printed}");
    }
}

/// A path's text. What was parsed is printed as a text that means the same.
pub fn path(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match Path::parse(schemas(), text) {
        Ok(path) => {
            let printed = path.to_string();
            match Path::parse(schemas(), &printed) {
                Ok(again) => assert_eq!(again, path, "{printed}"),
                Err(error) => assert!(printed.len() > PATH_BYTES_LIMIT, "{printed}: {error}"),
            }
        }
        Err(error) => is_refusal(&error),
    }
    match AttrPath::parse(schemas(), text) {
        Ok(path) => assert_eq!(AttrPath::parse(schemas(), &path.to_string()).as_ref(), Ok(&path)),
        Err(error) => is_refusal(&error),
    }
}

/// The bodies of a PATCH of one of the resources of [`base`], which the first byte chooses. What became of it is as if a
/// client had written it, and each operation's report is true.
pub fn patch(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let Ok(body) = serde_json::from_slice::<Value>(rest) else { return };
    let (kind, before) = base::document(*first);
    let patch = match Patch::parse(schemas(), kind, &body) {
        Ok(patch) => patch,
        Err(error) => return is_refusal(&error),
    };
    let patched = match patch.apply(schemas(), before) {
        Ok(patched) => patched,
        Err(error) => return is_refusal(&error),
    };
    is_normal(kind, &patched.document);
    says_what_it_did(before, &patched);
    let again = patch.apply(schemas(), before).expect("what was applied once is applied again");
    assert_eq!(again.document.to_value().to_string(), patched.document.to_value().to_string());
}

fn says_what_it_did(before: &Document, patched: &Patched) {
    assert_eq!(patched.members.len(), patched.member_operations.len());
    assert!(patched.member_operations.iter().all(|(index, _)| *index < patched.operations.len()));
    let said: BTreeSet<&str> = patched.changed.iter().map(String::as_str).collect();
    assert_eq!(said.len(), patched.changed.len(), "each once: {said:?}");
    if patched.operations.iter().all(|done| *done == Done::NoOp) {
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(&patched.document, before);
    }
    // What differs now was said to change: the attribute, or a part of it.
    for path in patched.document.changed_since(before) {
        let urn_of = |path: &str| path.rsplit_once(':').map(|(urn, _)| urn.to_owned());
        let known = said.iter().any(|said| {
            *said == path
                || said.strip_prefix(path.as_str()).is_some_and(|part| part.starts_with('.'))
                || urn_of(&path).as_deref() == Some(said)
        });
        // `schemas` follows the extensions that are used.
        assert!(known || path == "schemas", "`{path}` changed, said was {said:?}");
    }
}

/// The body of a POST, and of a PUT of one of the resources of [`base`]. What was read is in normal form: a client that
/// writes what it got changes nothing.
pub fn resource(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let Ok(body) = serde_json::from_slice::<Value>(rest) else { return };
    let (kind, previous) = base::document(*first);
    for previous in [None, Some(previous)] {
        match read(schemas(), kind, &body, previous) {
            Ok(read) => is_normal(kind, &read.document),
            Err(error) => is_refusal(&error),
        }
    }
}

/// Whether reading what is shown of a document gives the document, in the same order, and the same from the database.
pub(crate) fn is_normal(kind: ResourceKind, document: &Document) {
    for secret in ["password", "members", "id", "meta"] {
        assert!(document.get(secret).is_none(), "`{secret}` was kept");
    }
    let value = document.to_value();
    let text = value.to_string();
    assert!(!has_nul(&value), "{text}");
    let shown = Value::Object(view(kind, document, extras()));
    for previous in [None, Some(document)] {
        let again = read(schemas(), kind, &shown, previous).expect("what is shown can be written");
        assert_eq!(again.document.to_value().to_string(), text);
    }
    assert_eq!(Document::from_stored(&text).ok().as_ref(), Some(document));
}

/// Whether a text has a NUL in it. Names have none: they are the schemas'.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(parts) => parts.values().any(has_nul),
        _ => false,
    }
}

/// A cursor: its text if the first byte is `t`, else its payload. There is one form of each, so that nobody can write a
/// cursor in two ways, and what is read is within the bounds.
pub fn cursor(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let payload = match (first, str::from_utf8(rest)) {
        (b't', Ok(text)) => match cursor::bytes(text) {
            Ok(bytes) => {
                assert_eq!(cursor::text(&bytes), text);
                bytes
            }
            Err(error) => return is_refusal(&error),
        },
        _ => rest.to_vec(),
    };
    let cursor = match Cursor::from_bytes(&payload) {
        Ok(cursor) => cursor,
        Err(error) => return is_refusal(&error),
    };
    assert_eq!(cursor.to_bytes().as_ref(), Ok(&payload));
    // A keyed digest is added to it before clients get it.
    assert!(cursor::text(&payload).len() + 64 <= CURSOR_CHARS_LIMIT);
    for (now_s, timeout_s) in [(0, 0), (i64::MAX, 3_600), (i64::MIN, 3_600), (cursor.issued_s, 3_600)] {
        if let Err(error) = cursor.check(cursor.question, now_s, timeout_s) {
            is_refusal(&error);
        }
    }
    assert!(cursor.check(cursor.question, cursor.issued_s, 3_600).is_ok());
    assert!(cursor.check(!cursor.question, cursor.issued_s, 3_600).is_err());
    for descending in [false, true] {
        let Some(key) = cursor.position.sort_key.as_deref().and_then(|text| SortKey::from_text(descending, text)) else { continue };
        let text = key.to_text();
        let again = SortKey::from_text(descending, &text).expect("a key that was written can be read");
        assert_eq!((again.to_text(), again.cmp(&key)), (text, std::cmp::Ordering::Equal));
    }
}

/// The lines of an `If-Match` header. Only the tag that was given for a version names it.
pub fn if_match(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let condition = IfMatch::of(text.lines());
    let tags = Tags::of(text.lines());
    let asked: Vec<&str> = text.lines().flat_map(|line| line.split(',')).map(str::trim).collect();
    for version in tags.versions.iter().copied().chain([0, 1, -1, i64::MIN, i64::MAX]) {
        assert_eq!(condition.allows(version), tags.name(version));
        let tag = etag(version);
        let written = asked.iter().any(|asked| *asked == tag || Some(*asked) == tag.strip_prefix("W/"));
        assert!(!tags.versions.contains(&version) || written, "{version} is named by none of {asked:?}");
    }
    let printed: Vec<String> = tags.versions.iter().copied().map(etag).collect();
    if !tags.any {
        assert_eq!(IfMatch::of([printed.join(", ").as_str()]), condition);
    }
}
