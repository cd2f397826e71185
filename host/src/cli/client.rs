//! The command line as a client of a running server: address, token, and errors as the server words them.
//! Knows the API's shapes only as JSON; each command reads what it shows.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use reqwest::{Method, Url};
use serde::Deserialize as _;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cli::word;
use crate::config::ConfigError;
use crate::diagnostic::{self, Diagnostic};
use crate::http::body::EXPANSION_LIMIT;

/// The longest that a command waits for a server: longer than a server lets a request of the API take.
const TIMEOUT: Duration = Duration::from_secs(180);
/// A token is one short line: a larger file is another file.
const TOKEN_FILE_BYTES: u64 = 4 * 1024;
/// From this size on a body is compressed, in bytes.
const COMPRESSED_BYTES: usize = 16 * 1024;
/// Sent with every request, so that operators can tell the command line from other clients.
const USER_AGENT: &str = concat!("rolecall/", env!("CARGO_PKG_VERSION"));

/// Under which heading the options of a connection to a server stand in a command's help.
pub const HEADING: &str = "Server";

/// The options as they stand in a command's help.
// The heading stands at each option: one for the whole would go on over what a command says behind it.
#[derive(clap::Args)]
struct Written {
    /// The server's address
    #[arg(long, help_heading = HEADING, env = "ROLECALL_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// An API token; better in the environment or a file, since others may see command lines
    #[arg(long, help_heading = HEADING, env = "ROLECALL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// A file that holds an API token and nothing else. An option goes before the environment, and there the token before the file
    #[arg(long, help_heading = HEADING, env = "ROLECALL_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Which server, and with what right.
pub struct Remote {
    server: String,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

// By hand, because clap's conflicts count the environment: an option must win over that, and be refused beside another option alone.
impl clap::FromArgMatches for Remote {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let Written { server, token, token_file } = Written::from_arg_matches(matches)?;
        let is_option = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        match (is_option("token"), is_option("token_file")) {
            (true, true) => Err(clap::Error::raw(
                ErrorKind::ArgumentConflict,
                "the argument '--token <TOKEN>' cannot be used with '--token-file <FILE>'\n",
            )),
            (false, true) => Ok(Self { server, token: None, token_file }),
            (_, false) => Ok(Self { server, token, token_file }),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Remote {
    fn augment_args(command: clap::Command) -> clap::Command {
        Written::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Written::augment_args_for_update(command)
    }
}

/// The server refused, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer.
    #[error("the server at `{server}` can't be reached; is it running, and is `--server` right?")]
    Unreachable {
        /// Its address.
        server: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server's listing has no such thing.
    #[error("{0}")]
    NotListed(String),
    /// The server's word: an RFC 9457 problem.
    #[error("{}", refusal(*.status, .problem))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The problem document, or null when the answer was none.
        problem: Value,
    },
}

impl ApiError {
    /// What the server found in a tenant folder, for people: problems with line and caret, failing golden cases with their difference.
    #[must_use]
    pub fn details(&self) -> String {
        let Self::Refused { problem, .. } = self else { return String::new() };
        let problems: Vec<Diagnostic> = problem.get("problems").and_then(|list| Vec::deserialize(list).ok()).unwrap_or_default();
        let mut text = if problems.is_empty() { String::new() } else { diagnostic::render(&problems, false) };
        for case in problem.get("golden").and_then(Value::as_array).into_iter().flatten() {
            text += &format!("FAIL {} {}\n{}", word(&case["name"]), word(&case["file"]), case["diff"].as_str().unwrap_or_default());
        }
        text
    }

    /// The error of a request that sent a file: problems are those of the file that whoever called knows, and not of the name that the server gave it.
    #[must_use]
    pub fn about(mut self, file: &std::path::Path) -> Self {
        let name = if file == std::path::Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
        if let Self::Refused { problem, .. } = &mut self {
            for one in problem.get_mut("problems").and_then(Value::as_array_mut).into_iter().flatten() {
                one["file"] = Value::from(name.as_str());
            }
        }
        self
    }
}

fn refusal(status: u16, problem: &Value) -> String {
    let detail = problem.get("detail").or_else(|| problem.get("title")).and_then(Value::as_str);
    match (status, detail) {
        (401, _) => "the server refused the token (401): give a valid one with ROLECALL_TOKEN or `--token-file`".to_owned(),
        (_, Some(detail)) => format!("the server refused ({status}): {detail}"),
        (404, None) => "the server knows no such thing (404); is `--server` the address of a Rolecall server?".to_owned(),
        (_, None) => format!("the server answered {status} without a reason"),
    }
}

/// A connection to a server's API.
pub struct Api {
    http: reqwest::Client,
    base: Url,
    server: String,
    token: Zeroizing<String>,
}

impl Remote {
    /// The API that the options name.
    ///
    /// # Errors
    /// When there is no token, or the address is none.
    pub fn connect(self) -> anyhow::Result<Api> {
        let token = match (self.token, self.token_file) {
            (Some(token), _) => {
                let token = Zeroizing::new(token);
                fit_token("--token", "or ROLECALL_TOKEN", &token)?;
                token
            }
            (None, Some(path)) => read_token(&path)?,
            (None, None) => {
                return Err(ConfigError::Argument {
                    name: "--token-file",
                    problem: "is missing, and ROLECALL_TOKEN is not set: one of them gives an API token".into(),
                }
                .into());
            }
        };
        Api::new(&self.server, token)
    }
}

fn read_token(path: &std::path::Path) -> Result<Zeroizing<String>, ConfigError> {
    let shown = path.display();
    let refused = |problem: String| ConfigError::Argument { name: "--token-file", problem };
    let unreadable = |error: std::io::Error| refused(format!("names `{shown}`, which can't be read: {error}"));
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > TOKEN_FILE_BYTES {
        let problem = format!("names `{shown}`, which has more than {TOKEN_FILE_BYTES} bytes: it must hold a token and nothing else");
        return Err(refused(problem));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    let token = Zeroizing::new(text.trim().to_owned());
    fit_token("--token-file", &format!("names `{shown}`, which"), &token)?;
    Ok(token)
}

/// Refuses what no header can carry, before it looks as though the server were at fault. Never says what it is.
fn fit_token(name: &'static str, whose: &str, token: &str) -> Result<(), ConfigError> {
    if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let what = if token.is_empty() { "is empty" } else { "holds more than a token" };
    Err(ConfigError::Argument { name, problem: format!("{whose} {what}: it must be one word, on one line") })
}

impl Api {
    /// The API of the server at `server`.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(server: &str, token: Zeroizing<String>) -> anyhow::Result<Self> {
        super::serve::install_tls_provider();
        let invalid = |problem: String| ConfigError::Argument { name: "--server", problem };
        let base = Url::parse(server).map_err(|error| invalid(format!("is `{server}`, which is no address: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(invalid(format!("is `{server}`: it must begin with `http://` or `https://`")).into());
        }
        let mut builder = reqwest::Client::builder().timeout(TIMEOUT).user_agent(USER_AGENT);
        if base.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost")) {
            // A proxy for the outside world doesn't know what runs on this machine.
            builder = builder.no_proxy();
        }
        let http = builder.build().context("no HTTP client can be made")?;
        Ok(Self { http, base, server: server.to_owned(), token })
    }

    /// GET of the path whose segments are given below `/api/v1`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.send(Method::GET, segments, query, None).await
    }

    /// GET of the path, written as it comes.
    ///
    /// # Errors
    /// [`ApiError`], and what can't be written. What was written before a failure is cut off.
    pub async fn download(&self, segments: &[&str], query: &[(&str, &str)], to: &mut impl std::io::Write) -> anyhow::Result<()> {
        let mut answer = self.answer(Method::GET, segments, query, None).await?;
        let status = answer.status();
        if !status.is_success() {
            let problem = serde_json::from_slice(&answer.bytes().await.unwrap_or_default()).unwrap_or(Value::Null);
            return Err(ApiError::Refused { status: status.as_u16(), problem }.into());
        }
        while let Some(part) = answer.chunk().await.map_err(|source| self.unreachable(source))? {
            to.write_all(&part)?;
        }
        Ok(())
    }

    /// POST of a body to the path.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn post(&self, segments: &[&str], body: &Value) -> Result<Value, ApiError> {
        self.send(Method::POST, segments, &[], Some(body)).await
    }

    /// PUT of a body to the path.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn put(&self, segments: &[&str], body: &Value) -> Result<Value, ApiError> {
        self.send(Method::PUT, segments, &[], Some(body)).await
    }

    /// DELETE of the path.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete(&self, segments: &[&str]) -> Result<Value, ApiError> {
        self.send(Method::DELETE, segments, &[], None).await
    }

    async fn send(&self, method: Method, segments: &[&str], query: &[(&str, &str)], body: Option<&Value>) -> Result<Value, ApiError> {
        let answer = self.answer(method, segments, query, body).await?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|source| self.unreachable(source))?;
        let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() { Ok(value) } else { Err(ApiError::Refused { status: status.as_u16(), problem: value }) }
    }

    fn unreachable(&self, source: reqwest::Error) -> ApiError {
        ApiError::Unreachable { server: self.server.clone(), source: source.without_url() }
    }

    async fn answer(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<reqwest::Response, ApiError> {
        let mut request = self.http.request(method, self.url(segments, query)).bearer_auth(&*self.token);
        if let Some(body) = body {
            let text = body.to_string();
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json");
            request = match compressed(&text) {
                Some(bytes) => request.header(reqwest::header::CONTENT_ENCODING, "gzip").body(bytes),
                None => request.body(text),
            };
        }
        request.send().await.map_err(|source| self.unreachable(source))
    }

    fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("an http address has a path").pop_if_empty().extend(["api", "v1"]).extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// A body that is worth it, compressed: plugins become a third of their size. One that would become much smaller goes as it is, since a server takes
/// what expands so far for an attempt to fill its memory.
fn compressed(text: &str) -> Option<Vec<u8>> {
    use std::io::Write as _;
    if text.len() < COMPRESSED_BYTES {
        return None;
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to memory does not fail; if it did, the body would go as it is.
    let bytes = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).ok()?;
    (text.len() <= bytes.len().saturating_mul(EXPANSION_LIMIT)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_escaped_in_addresses() {
        let api = Api::new("https://rolecall.example/base/", Zeroizing::new("t".into())).unwrap();
        let url = api.url(&["tenants", "acme", "accounts", "a/b?c@é"], &[("role", "x&y")]);
        assert_eq!(url.as_str(), "https://rolecall.example/base/api/v1/tenants/acme/accounts/a%2Fb%3Fc@%C3%A9?role=x%26y");
        assert!(Api::new("rolecall.example:80", Zeroizing::new("t".into())).is_err());
        assert!(Api::new("nonsense", Zeroizing::new("t".into())).is_err());
    }

    #[test]
    fn refusals_say_what_the_server_said() {
        let refused = |status, problem| ApiError::Refused { status, problem };
        let error = refused(
            422,
            json!({"detail": "the revision has 1 problem", "problems": [{
                "file": "tenant.toml", "line": 3, "column": 1, "length": 2, "source": "xy = 1", "message": "unknown key `xy`", "help": null,
            }]}),
        );
        assert_eq!(error.to_string(), "the server refused (422): the revision has 1 problem");
        assert!(error.details().contains("--> tenant.toml:3:1"));
        assert!(error.about(std::path::Path::new("/tmp/mine.toml")).details().contains("--> /tmp/mine.toml:3:1"));
        let golden = refused(422, json!({"golden": [{"file": "tests/a.json", "name": "joiner", "diff": "-a\n+b\n"}]}));
        assert_eq!(golden.details(), "FAIL joiner tests/a.json\n-a\n+b\n");
        assert!(refused(401, Value::Null).to_string().contains("ROLECALL_TOKEN"));
        assert_eq!(refused(500, Value::Null).to_string(), "the server answered 500 without a reason");
        assert_eq!(refused(400, json!({"problems": 3, "golden": 4})).details(), "");
    }

    #[test]
    fn a_token_file_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "rc_abc\n").unwrap();
        assert_eq!(*read_token(&path).unwrap(), "rc_abc");
        std::fs::write(&path, "x".repeat(5_000)).unwrap();
        assert!(read_token(&path).unwrap_err().to_string().contains("4096 bytes"));
        for more in ["rc_abc\nrc_def", "rc_a\u{0}bc", "rc_abc # mine", "rc_äbc"] {
            std::fs::write(&path, more).unwrap();
            let error = read_token(&path).unwrap_err().to_string();
            assert!(
                error.starts_with("`--token-file` names") && error.contains("holds more than a token") && !error.contains("rc_"),
                "{error}"
            );
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(read_token(&path).unwrap_err().to_string().contains("is empty"));
        assert!(read_token(&dir.path().join("none")).is_err());
    }

    #[test]
    fn what_would_expand_too_far_goes_as_it_is() {
        assert_eq!(compressed("a"), None, "small");
        let alike = "a".repeat(8 << 20);
        assert_eq!(compressed(&alike), None);
        let varied: String = (0..200_000).map(|number| format!("{number:x},")).collect();
        let bytes = compressed(&varied).expect("it is worth it");
        assert!(bytes.len() < varied.len() && crate::http::body::expand(&bytes, 64 << 20).is_ok());
    }
}
