//! Requests to other servers: one client for webhooks, issuers' keys and sign-in, and the only room that names reqwest beside the commands.
//!
//! Where they go is said by tenants, so they must not reach what stands beside this server: a name is resolved once for a connection, what
//! it resolves to is looked at, and the connection is made to just that. Nothing follows a redirect, nothing takes a proxy from the
//! environment, time and size have bounds. Knows nothing of what is asked and why.

mod addresses;

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{RequestBuilder, Url};

pub use self::addresses::{Allowed, Unreadable};

/// The longest URL that is called, in bytes: what common servers take.
pub const URL_BYTES_LIMIT: usize = 2_048;
/// How long a name may take to be resolved where somebody waits for whether it may be called.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection that nobody uses is kept: what a name resolves to is looked at with each new one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an answer may take and how large it may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the beginning to the answer's last byte.
    pub timeout: Duration,
    /// Bytes of the answer's body; 0 where nobody reads it.
    pub bytes: usize,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status. A redirect is an answer like others.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why a URL is not called. Never with the URL's path or query, which may hold a secret, nor with what its name resolves to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No URL that could be called.
    #[error("the URL must be absolute, of at most {URL_BYTES_LIMIT} bytes, with a host and without user information and `#`")]
    Malformed,
    /// A scheme that is never called.
    #[error("the URL must begin with `https://`")]
    Scheme,
    /// Plain HTTP to a host that the operator has not listed.
    #[error("`{0}` is called over `https://` alone; `http://` is for hosts that the server's operator lists in `outgoing_allow`")]
    Plain(String),
    /// An address that is not on the public internet.
    #[error(
        "`{host}` has an address of {kind}, which is not called; where it is meant, the server's operator lists it in `outgoing_allow`"
    )]
    Address {
        /// As the URL names it.
        host: String,
        /// What kind of address it has.
        kind: &'static str,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// It was not asked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not in time.
    #[error("there was no answer in time")]
    Timeout,
    /// No connection.
    #[error("the server can't be reached")]
    Unreachable,
    /// The connection broke, or what came was no HTTP.
    #[error("the request failed")]
    Broken,
    /// A status that is none of success, where success was needed.
    #[error("the server answered {0}")]
    Status(u16),
    /// Too many bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("the client for outgoing requests can't be made")]
pub struct ClientError(#[source] reqwest::Error);

/// The client.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    allowed: Arc<Allowed>,
}

impl Client {
    /// Makes the client, which calls public addresses and what is allowed beside them.
    ///
    /// # Errors
    /// When the TLS configuration can't be made (the process installs the TLS library at start-up).
    pub fn new(allowed: Allowed) -> Result<Self, ClientError> {
        let allowed = Arc::new(allowed);
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_idle_timeout(IDLE_TIMEOUT)
            .dns_resolver(Guarded(Arc::clone(&allowed)))
            .user_agent(concat!("rolecall/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ClientError)?;
        Ok(Self { http, allowed })
    }

    /// Whether a URL may be called, as far as can be told now: for whoever sets one. A name that can't be resolved passes, because that
    /// may be otherwise tomorrow; each call looks again.
    ///
    /// # Errors
    /// [`Refusal`], to be shown to whoever set it.
    pub async fn vet(&self, url: &str) -> Result<(), Refusal> {
        let url = self.allowed.check(url)?;
        let host = addresses::host(&url);
        if host.parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        match tokio::time::timeout(LOOKUP_TIMEOUT, look_up(host)).await {
            Ok(Ok(found)) if !found.is_empty() => self.allowed.choose(host, found).map(|_| ()),
            Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// The body of a successful answer to a GET.
    ///
    /// # Errors
    /// [`Failed`].
    pub async fn get(&self, url: &str, accept: &str, bounds: Bounds) -> Result<Bytes, Failed> {
        let url = self.allowed.check(url)?;
        let answer = send(self.http.get(url).header("accept", accept), bounds).await?;
        if (200..300).contains(&answer.status) { Ok(answer.body) } else { Err(Failed::Status(answer.status)) }
    }

    /// The answer to a POST.
    ///
    /// # Errors
    /// [`Failed`]; a status is none.
    pub async fn post(&self, url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>, bounds: Bounds) -> Result<Answer, Failed> {
        let url = self.allowed.check(url)?;
        let request = headers.iter().fold(self.http.post(url), |request, (name, value)| request.header(*name, *value));
        send(request.body(body.into()), bounds).await
    }

    /// The answer to a form, as OAuth's token endpoints take it (RFC 6749 appendix B).
    ///
    /// # Errors
    /// [`Failed`]; a status is none.
    pub async fn post_form(&self, url: &str, headers: &[(&str, &str)], fields: &[(&str, &str)], bounds: Bounds) -> Result<Answer, Failed> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        self.post(url, &headers, body, bounds).await
    }
}

async fn send(request: RequestBuilder, bounds: Bounds) -> Result<Answer, Failed> {
    let mut answer = request.timeout(bounds.timeout).send().await.map_err(|error| failed(&error))?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    if bounds.bytes == 0 {
        return Ok(Answer { status, body: Bytes::new() });
    }
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > bounds.bytes {
            return Err(Failed::TooLarge(bounds.bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body: body.into() })
}

/// Never the error's own text: it holds the URL, whose query may hold a secret.
fn failed(error: &reqwest::Error) -> Failed {
    let mut cause = error.source();
    while let Some(this) = cause {
        if let Some(refusal) = this.downcast_ref::<Refusal>() {
            return refusal.clone().into();
        }
        cause = this.source();
    }
    match error {
        error if error.is_timeout() => Failed::Timeout,
        error if error.is_connect() => Failed::Unreachable,
        _ => Failed::Broken,
    }
}

async fn look_up(host: &str) -> std::io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect())
}

/// Resolves names to addresses that may be called, and to no others. Addresses in URLs never come here: [`Allowed::check`] has seen them.
struct Guarded(Arc<Allowed>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            let found = look_up(name.as_str()).await?;
            let chosen = allowed.choose(name.as_str(), found)?;
            // Port 0 is the URL's.
            Ok(Box::new(chosen.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

impl Allowed {
    /// The URL, if it may be called as far as itself says.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, url: &str) -> Result<Url, Refusal> {
        let parsed = Url::parse(url).map_err(|_| Refusal::Malformed)?;
        if !["http", "https"].contains(&parsed.scheme()) {
            return Err(Refusal::Scheme);
        }
        let host = addresses::host(&parsed);
        let is_plain = parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none();
        if url.len() > URL_BYTES_LIMIT || host.is_empty() || !is_plain {
            return Err(Refusal::Malformed);
        }
        let literal = host.parse::<IpAddr>().ok();
        if let Some(address) = literal {
            self.choose(host, vec![address])?;
        }
        if parsed.scheme() == "http" && !literal.map_or_else(|| self.names(host), |address| self.lists(address)) {
            return Err(Refusal::Plain(host.to_owned()));
        }
        Ok(parsed)
    }

    /// Those of a host's addresses that may be called.
    fn choose(&self, host: &str, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refusal> {
        let mut kind = None;
        let is_fit = |address: &IpAddr| match addresses::kind(*address) {
            Some(what) if !self.names(host) && !self.lists(*address) => {
                kind = kind.or(Some(what));
                false
            }
            _ => true,
        };
        let chosen: Vec<IpAddr> = found.into_iter().filter(is_fit).collect();
        match kind {
            Some(kind) if chosen.is_empty() => Err(Refusal::Address { host: host.to_owned(), kind }),
            _ => Ok(chosen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(entries: &[&str]) -> Allowed {
        Allowed::read(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn address(host: &str, kind: &'static str) -> Result<(), Refusal> {
        Err(Refusal::Address { host: host.into(), kind })
    }

    #[test]
    fn urls_are_called_over_https_at_public_addresses() {
        let nothing = allowed(&[]);
        let long = format!("https://hooks.example.com/{}", "x".repeat(URL_BYTES_LIMIT));
        let plain = |host: &str| Err(Refusal::Plain(host.into()));
        for (url, expected) in [
            ("https://hooks.example.com/rolecall?x=1", Ok(())),
            ("https://8.8.8.8/", Ok(())),
            ("https://[2606:4700::1111]:8443/", Ok(())),
            ("http://hooks.example.com/", plain("hooks.example.com")),
            ("http://8.8.8.8/", plain("8.8.8.8")),
            ("http://localhost:9/", plain("localhost")),
            ("https://127.0.0.1/", address("127.0.0.1", "this machine")),
            ("http://127.0.0.1/", address("127.0.0.1", "this machine")),
            // Other ways to write an address.
            ("https://2130706433/", address("127.0.0.1", "this machine")),
            ("https://0x7f.1/", address("127.0.0.1", "this machine")),
            ("https://0177.0.0.1/", address("127.0.0.1", "this machine")),
            ("https://127.1/", address("127.0.0.1", "this machine")),
            ("https://127.0.0.1./", address("127.0.0.1", "this machine")),
            ("https://\u{ff11}27.0.0.1/", address("127.0.0.1", "this machine")),
            ("https://[::ffff:a9fe:a9fe]/", address("::ffff:a9fe:a9fe", "a link")),
            ("https://[::ffff:169.254.169.254]/", address("::ffff:a9fe:a9fe", "a link")),
            ("https://[fe80::1]/", address("fe80::1", "a link")),
            ("ftp://hooks.example.com/", Err(Refusal::Scheme)),
            ("file:///etc/passwd", Err(Refusal::Scheme)),
            ("/jwks", Err(Refusal::Malformed)),
            ("", Err(Refusal::Malformed)),
            ("https://", Err(Refusal::Malformed)),
            ("https://u:p@hooks.example.com/", Err(Refusal::Malformed)),
            ("https://hooks.example.com/#f", Err(Refusal::Malformed)),
            (&long, Err(Refusal::Malformed)),
        ] {
            assert_eq!(nothing.check(url).map(|_| ()), expected, "{url}");
        }
    }

    #[test]
    fn what_an_operator_lists_is_called_and_nothing_beside_it() {
        let listed = allowed(&["10.1.2.3", "127.0.0.0/8", "fd00:1::/32", "hooks.internal"]);
        for url in [
            "http://10.1.2.3/",
            "https://10.1.2.3/",
            "http://127.0.0.1:9/jwks",
            "https://[::ffff:10.1.2.3]/",
            "https://[fd00:1::9]/",
            "http://hooks.internal/x",
            "https://HOOKS.internal./",
        ] {
            assert_eq!(listed.check(url).map(|_| ()), Ok(()), "{url}");
        }
        for url in ["https://10.1.2.4/", "https://[fd00:2::9]/", "https://[::1]/", "http://x.hooks.internal/", "http://localhost/"] {
            assert!(listed.check(url).is_err(), "{url}");
        }
    }

    /// Against a server on this machine: what is bounded, that nothing is followed, and that a refusal of the resolver is told as such.
    #[tokio::test]
    async fn answers_are_bounded_and_nothing_is_followed() {
        use axum::http::StatusCode;
        use axum::routing::{get, post};
        // Twice is once: other tests of the process may have installed it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let router = axum::Router::new()
            .route("/keys", get(async || "0123456789"))
            .route("/away", get(async || axum::response::Redirect::to("/keys")))
            .route("/never", get(std::future::pending::<StatusCode>))
            .route("/token", post(async |body: String| (StatusCode::BAD_REQUEST, body)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = Client::new(Allowed::this_machine()).unwrap();
        let url = |path: &str| format!("http://localhost:{port}{path}");
        let bounds = |bytes| Bounds { timeout: Duration::from_secs(10), bytes };
        assert_eq!(client.get(&url("/keys"), "*/*", bounds(10)).await, Ok(Bytes::from("0123456789")));
        assert_eq!(client.get(&url("/keys"), "*/*", bounds(9)).await, Err(Failed::TooLarge(9)));
        assert_eq!(client.get(&url("/keys"), "*/*", bounds(0)).await, Ok(Bytes::new()));
        assert_eq!(client.get(&url("/away"), "*/*", bounds(10)).await, Err(Failed::Status(303)));
        let soon = Bounds { timeout: Duration::from_millis(50), bytes: 10 };
        assert_eq!(client.get(&url("/never"), "*/*", soon).await, Err(Failed::Timeout));
        let form = client.post_form(&url("/token"), &[], &[("code", "a b&c"), ("state", "ü")], bounds(100)).await;
        assert_eq!(form, Ok(Answer { status: 400, body: Bytes::from("code=a+b%26c&state=%C3%BC") }));
        let strict = Client::new(Allowed::default()).unwrap();
        let refused = strict.get(&format!("https://localhost:{port}/keys"), "*/*", bounds(10)).await;
        let refusal = address("localhost", "this machine");
        assert_eq!(refused.map(|_| ()), refusal.clone().map_err(Failed::Refused));
        assert_eq!(strict.vet("https://localhost/").await, refusal);
        assert_eq!(strict.vet("https://8.8.8.8/").await, Ok(()));
    }

    /// A name may resolve to something else with each look: what counts is what it resolves to for the connection.
    #[test]
    fn of_a_names_addresses_those_are_called_that_may_be() {
        let listed = allowed(&["10.1.2.3", "hooks.internal"]);
        let read = |addresses: &[&str]| addresses.iter().map(|address| address.parse::<IpAddr>().unwrap()).collect::<Vec<_>>();
        for (host, found, chosen) in [
            ("hooks.example.com", &["8.8.8.8", "2606:4700::1111"][..], Some(&["8.8.8.8", "2606:4700::1111"][..])),
            ("hooks.example.com", &["192.168.0.1", "8.8.8.8", "::1"], Some(&["8.8.8.8"])),
            ("hooks.example.com", &["10.1.2.3", "10.1.2.4"], Some(&["10.1.2.3"])),
            ("hooks.example.com", &["192.168.0.1"], None),
            ("hooks.internal", &["192.168.0.1"], Some(&["192.168.0.1"])),
            ("Hooks.Internal.", &["192.168.0.1"], Some(&["192.168.0.1"])),
            ("hooks.example.com", &[], Some(&[])),
        ] {
            let expected = chosen.map(read).ok_or(Refusal::Address { host: host.into(), kind: "a private network" });
            assert_eq!(listed.choose(host, read(found)), expected, "{host} {found:?}");
        }
    }
}
