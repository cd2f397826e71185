//! Addresses that are put together from what tenants name: roles may be called anything.

use std::fmt::Write as _;

use form_urlencoded::Serializer;

/// A part of a path (RFC 3986 §3.3): what is not unreserved is written with percent signs.
#[must_use]
pub fn segment(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

/// A query string of the parameters that have a value, with its question mark.
#[must_use]
pub fn query(parameters: &[(&str, &str)]) -> String {
    let mut sent = Serializer::new(String::new());
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        sent.append_pair(name, value);
    }
    let sent = sent.finish();
    if sent.is_empty() { sent } else { format!("?{sent}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_kind_are_one_part() {
        assert_eq!(segment("reader-1"), "reader-1");
        assert_eq!(segment("a/b ü?#%"), "a%2Fb%20%C3%BC%3F%23%25");
        assert_eq!(query(&[("q", "a b"), ("state", ""), ("after", "x")]), "?q=a+b&after=x");
        assert_eq!(query(&[("q", "")]), "");
    }
}
