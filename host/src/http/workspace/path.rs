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

/// An address with a query: parameters without a value are left out.
#[must_use]
pub fn with(path: &str, parameters: &[(&str, &str)]) -> String {
    let said = parameters.iter().filter(|(_, value)| !value.is_empty());
    let query = Serializer::new(String::new()).extend_pairs(said).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_kind_are_one_part() {
        assert_eq!(segment("reader-1"), "reader-1");
        assert_eq!(segment("a/b ü?#%"), "a%2Fb%20%C3%BC%3F%23%25");
        assert_eq!(segment("a b/c"), "a%20b%2Fc");
    }

    #[test]
    fn addresses_leave_out_what_is_not_said() {
        assert_eq!(with("/p", &[("q", "a b"), ("state", ""), ("after", "x")]), "/p?q=a+b&after=x");
        assert_eq!(with("/a", &[("b", ""), ("c", "d e&f")]), "/a?c=d+e%26f");
        assert_eq!(with("/a", &[("b", "")]), "/a");
    }
}
