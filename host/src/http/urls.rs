//! Absolute URLs as clients see them: from the configured public URL, else from the `Host` header.

use std::net::Ipv6Addr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use rolecall_scim::ResourceKind;

use super::error::Error;
use crate::app::App;
use crate::model::ConnectionId;

/// The longest `Host` header that is believed, in bytes: a DNS name has at most 253.
const HOST_BYTES_LIMIT: usize = 261;

/// Scheme and authority, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    root: String,
}

impl Urls {
    /// Scheme and authority, without a slash at the end.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Whether browsers come by `https`.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.root.starts_with("https://")
    }

    /// The base URL of a connection.
    #[must_use]
    pub fn scim(&self, connection: &ConnectionId) -> String {
        format!("{}/scim/{connection}/v2", self.root)
    }

    /// The token endpoint of a connection.
    #[must_use]
    pub fn token(&self, connection: &ConnectionId) -> String {
        format!("{}/scim/{connection}/oauth/token", self.root)
    }
}

/// The URI of a resource under a connection's base URL.
#[must_use]
pub fn resource(base: &str, kind: ResourceKind, id: &str) -> String {
    format!("{base}/{}/{id}", kind.endpoint())
}

impl FromRequestParts<Arc<App>> for Urls {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        if let Some(public) = &app.public_url {
            return Ok(Self { root: public.trim_end_matches('/').to_owned() });
        }
        // RFC 9112 §3.2.2: what the request line names is what is meant, whatever `Host` says beside it; §3.2: there is one `Host`.
        let mut named = parts.headers.get_all(HOST).iter();
        let (host, another) = (named.next().and_then(|value| value.to_str().ok()), named.next());
        if another.is_some() {
            return Err(Error::bad_request("send one `Host` header", "several host headers"));
        }
        let host = parts.uri.authority().map(Authority::as_str).or(host);
        let host = host
            .filter(|host| is_host(host))
            .ok_or_else(|| Error::bad_request("send a `Host` header with a host name", "no usable host header"))?;
        Ok(Self { root: format!("http://{host}") })
    }
}

/// What ends up in answers must be a name and a port, not whatever a client sent.
fn is_host(host: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if host.len() > HOST_BYTES_LIMIT || !host.bytes().all(safe) {
        return false;
    }
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let port = host.strip_prefix(name).unwrap_or_default();
    is_name(name) && (port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()))
}

/// An IPv6 address in brackets, or labels between dots: an IPv4 address is as well. A DNS name may end with a dot.
fn is_name(name: &str) -> bool {
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name.strip_suffix('.').unwrap_or(name).split('.').all(|label| !label.is_empty() && !label.contains([':', '[', ']'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_are_hosts() {
        for host in ["localhost", "127.0.0.1:8080", "[::1]:8080", "[2001:db8::7]", "rolecall.example", "rolecall.example.:65535"] {
            assert!(is_host(host), "{host}");
        }
        let none = [":80", "[]", "[]:80", "[::g]", "..", ".", ".a", "a..b", "a:99999", "a:", "a:b", "[::1]x", "::1"];
        for host in none.into_iter().chain(["", "a b", "user@rolecall.example", "a/b", "<script>", "a:b:c", &"x".repeat(300)]) {
            assert!(!is_host(host), "{host}");
        }
    }
}
