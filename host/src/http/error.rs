//! The one place that picks a status: every room's errors come here, are logged here once, and leave as a SCIM error
//! (RFC 7644 §3.12) below `/scim` and as a problem (RFC 9457) everywhere else.

use std::any::Any;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use rolecall_scim::{ScimError, ScimType};
use schemars::JsonSchema;
use serde::Serialize;

use crate::auth::Denied;
use crate::compute::Overloaded;
use crate::diagnostic::Diagnostic;
use crate::model::{OutcomeCode, quoted};
use crate::provisioning::Failure;
use crate::rate::TooMany;
use crate::store::{LEAVES_LIMIT, StoreError};
use crate::tenancy::TenancyError;
use crate::tenancy::sign_in::NotSignedIn;

/// When a client should come back after an outage of the database, in seconds.
const RETRY_OUTAGE_SECONDS: u16 = 5;
/// When a client should come back after a lost race or a full queue, in seconds: the next turn will do.
const RETRY_SOON_SECONDS: u16 = 1;
/// The media type of a problem (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";
const JSON: &str = "application/json";
/// How the path of a token endpoint ends.
const TOKEN_ENDPOINT: &str = "/oauth/token";

/// What a handler returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An answer that is no success.
#[derive(Debug)]
pub struct Error(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    scim_type: Option<ScimType>,
    detail: String,
    /// Said in the log instead of `detail`, where that repeats what a client sent.
    logged: Option<&'static str>,
    /// The code in an answer of the token endpoint.
    oauth: Option<&'static str>,
    /// Which of the request's operations is at fault, counted from 0.
    operation: Option<usize>,
    retry_after_seconds: Option<u16>,
    challenge: Challenge,
    problems: Vec<Diagnostic>,
    golden: Vec<FailedCase>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a 401 is for.
#[derive(Clone, Copy, Debug)]
enum Challenge {
    /// No token was sent.
    NothingSent,
    /// The one that was sent is not good.
    NotGood,
}

/// The body of an error outside SCIM (RFC 9457; the type is `about:blank`).
#[derive(Serialize, JsonSchema)]
pub struct Problem<'a> {
    /// The status in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// What failed, where, and what to do.
    detail: &'a str,
    /// The request, as in the `x-request-id` header and the server's logs.
    request_id: &'a str,
    /// What is wrong with a tenant's files.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    problems: &'a [Diagnostic],
    /// The golden cases that fail.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    golden: &'a [FailedCase],
}

/// A golden case that fails.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FailedCase {
    /// Its file in the tenant folder.
    file: String,
    /// Its name.
    name: String,
    /// What was expected and what came, as a unified diff.
    diff: String,
}

/// The form in which an error leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Below `/scim`.
    Scim,
    /// At a token endpoint (RFC 6749 §5.2).
    OAuth,
    /// In the workspace.
    Page,
    /// Everywhere else.
    Problem,
}

impl Format {
    /// The form for a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let below = path.strip_prefix("/scim").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match below {
            true if path.ends_with(TOKEN_ENDPOINT) => Self::OAuth,
            true => Self::Scim,
            false if path == "/" || path == super::workspace::ROOT || path.starts_with("/workspace/") => Self::Page,
            false => Self::Problem,
        }
    }
}

impl Error {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            scim_type: None,
            detail: detail.into(),
            logged: None,
            oauth: None,
            challenge: Challenge::NotGood,
            operation: None,
            retry_after_seconds: None,
            problems: Vec::new(),
            golden: Vec::new(),
            source: None,
        }))
    }

    fn retry_after(mut self, seconds: u16) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    fn logged_as(mut self, text: &'static str) -> Self {
        self.0.logged = Some(text);
        self
    }

    /// 400, where `logged` stands in the log for a detail that repeats what the client sent.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>, logged: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail).logged_as(logged)
    }

    /// 401, the same for every reason.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "send a good token for this URL as `Authorization: Bearer …`")
    }

    /// 401 where no token was sent.
    #[must_use]
    pub fn unauthenticated() -> Self {
        let mut error = Self::unauthorized();
        error.0.challenge = Challenge::NothingSent;
        error
    }

    /// 429 for one more credential that is not good.
    #[must_use]
    pub fn too_many_wrong(seconds: u16) -> Self {
        let detail = format!(
            "this credential is not good here, and too many came that were not: send a good one, which is never made to wait, or try again in {seconds} s"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(seconds)
    }

    /// 429.
    #[must_use]
    pub fn too_many_requests(seconds: u16) -> Self {
        let detail = format!("too many requests on this connection: go on in {seconds} s, at the pace that `Retry-After` asks for");
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(seconds)
    }

    /// 401 at a token endpoint, the same for every reason.
    #[must_use]
    pub fn invalid_client() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "send the client id and a good secret of this connection's client").coded("invalid_client")
    }

    /// 400 at a token endpoint, with the code of RFC 6749 §5.2.
    #[must_use]
    pub fn token_request(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail).coded(code)
    }

    fn coded(mut self, code: &'static str) -> Self {
        self.0.oauth = Some(code);
        self
    }

    /// 403, with what would be needed.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: `there is no …`.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }

    /// 404 for a path that no route has; 400 `invalidVers` for another version of SCIM (RFC 7644 §3.13).
    #[must_use]
    pub fn unknown_path(path: &str) -> Self {
        let mut parts = path.split('/').skip(1);
        let version = (parts.next() == Some("scim")).then(|| parts.nth(1)).flatten().and_then(|part| part.strip_prefix(['v', 'V']));
        match version {
            Some(number) if number != "2" && number.starts_with(|c: char| c.is_ascii_digit()) => {
                ScimError::invalid_vers("this server speaks SCIM 2.0 alone: use the base URL that ends with `/v2`").into()
            }
            _ => Self::not_found("such path"),
        }
    }

    /// 405; the router adds `Allow`.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method: see the `allow` header")
    }

    /// 406.
    #[must_use]
    pub fn not_acceptable() -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "answers are JSON: send `Accept: application/scim+json` or none")
    }

    /// 501, with what to do instead.
    #[must_use]
    pub fn not_implemented(detail: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, detail)
    }

    /// 412 for another version.
    #[must_use]
    pub fn precondition_failed() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "the resource has another version than the request names (`If-Match`, in a Bulk `version`): read it again",
        )
    }

    /// 412 for a version that the request excludes.
    #[must_use]
    pub fn excluded_version() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "`If-None-Match` excludes the version that the resource has: nothing was changed")
    }

    /// 413.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than the limit of {limit} bytes: send less at once"))
    }

    /// 413 for a body that is small as it came.
    #[must_use]
    pub fn too_large_expanded(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body expands to more than {limit} bytes: send less at once"))
    }

    /// 413 for a body that becomes many times larger than it came.
    #[must_use]
    pub fn expands_too_far(times: usize) -> Self {
        let detail = format!("the body expands to more than {times} times its size: send it as it is, without `Content-Encoding`");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 415.
    #[must_use]
    pub fn unsupported_encoding() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body as it is, or with `Content-Encoding: gzip`")
    }

    /// 415.
    #[must_use]
    pub fn unsupported_media_type(expected: &str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("send the body with `Content-Type: {expected}`"))
    }

    /// 500: a defect; the client isn't told more.
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here: the request id finds it in the server's log")
            .caused_by(source)
    }

    /// 408: the client did not send its body in time.
    #[must_use]
    pub fn body_late(limit: Duration) -> Self {
        let detail = format!("the body did not arrive within {} s: nothing was done, send it again", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, detail)
    }

    /// 503: the request took too long.
    #[must_use]
    pub fn timed_out() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the request took too long: whether it was carried out shows when it is read again")
            .retry_after(RETRY_OUTAGE_SECONDS)
    }

    /// Why a write was not done. With a version condition, a lost race is the condition's failure.
    #[must_use]
    pub fn of_write(failure: Failure, conditional: bool) -> Self {
        match failure {
            Failure::Store(StoreError::Conflict { what: "resource" }) if conditional => Self::precondition_failed(),
            other => other.into(),
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The error as a part of an answer about several operations; logged here, as it never gets an answer of its own.
    #[must_use]
    pub fn into_scim(self) -> ScimError {
        self.log();
        self.to_scim()
    }

    fn to_scim(&self) -> ScimError {
        let parts = &*self.0;
        ScimError { status: parts.status.as_u16(), scim_type: parts.scim_type, detail: parts.detail.clone() }
    }

    /// Writes the error into the answer that carries it, and logs it.
    pub fn render(&self, mut response: Response<Body>, format: Format, request_id: &str) -> Response<Body> {
        self.log();
        let parts = &*self.0;
        if let Some(seconds) = parts.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if format == Format::Page {
            return self.page(response, request_id);
        }
        let (content_type, body) = match format {
            Format::Scim => (super::scim::SCIM_JSON, self.to_scim().to_json().to_string()),
            Format::OAuth => (JSON, self.oauth()),
            Format::Problem | Format::Page => (PROBLEM_JSON, self.problem(request_id)),
        };
        *response.status_mut() = parts.status;
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if parts.status == StatusCode::UNAUTHORIZED {
            // RFC 6749 §5.2, RFC 6750 §3: the scheme that the client has to use, with a code where a token was sent (§3.1).
            let scheme = match (format, parts.challenge) {
                (Format::OAuth, _) => "Basic realm=\"rolecall\"",
                (_, Challenge::NothingSent) => "Bearer realm=\"rolecall\"",
                (_, Challenge::NotGood) => "Bearer realm=\"rolecall\", error=\"invalid_token\"",
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        response
    }

    /// The error as a page. What a router's answer had in its headers (`Allow`) stays.
    fn page(&self, mut response: Response<Body>, request_id: &str) -> Response<Body> {
        let parts = &*self.0;
        let title = parts.status.canonical_reason().unwrap_or("Error");
        let more: Vec<String> = parts.problems.iter().map(ToString::to_string).collect();
        let page = super::workspace::page::of_error(title, &parts.detail, &more, request_id);
        let (head, body) = page.into_parts();
        *response.status_mut() = parts.status;
        *response.body_mut() = body;
        response.headers_mut().extend(head.headers);
        response
    }

    /// What is told to somebody who looks at a page: the sentence, with what is wrong with their files.
    #[must_use]
    pub fn told(&self) -> String {
        let parts = &*self.0;
        let problems = parts.problems.iter().map(ToString::to_string);
        let cases = parts.golden.iter().map(|case| format!("{}: {}", case.file, case.name));
        std::iter::once(parts.detail.clone()).chain(problems).chain(cases).collect::<Vec<_>>().join("\n")
    }

    /// RFC 6749 §5.2. The codes of errors that may happen to any request are those of its §4.1.2.1.
    fn oauth(&self) -> String {
        let parts = &*self.0;
        let code = parts.oauth.unwrap_or(match parts.status {
            StatusCode::UNAUTHORIZED => "invalid_client",
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request",
        });
        let described: String = parts.detail.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
        serde_json::json!({"error": code, "error_description": described}).to_string()
    }

    /// The keyword, where the RFC has one.
    #[must_use]
    pub fn scim_type(&self) -> Option<&'static str> {
        self.0.scim_type.map(ScimType::word)
    }

    /// Which of the request's operations is at fault, counted from 0, where one is.
    #[must_use]
    pub fn operation(&self) -> Option<u64> {
        self.0.operation.and_then(|operation| u64::try_from(operation).ok())
    }

    /// What is said of it where no value of a client's may stand.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.0.logged.unwrap_or(&self.0.detail)
    }

    fn problem(&self, request_id: &str) -> String {
        let parts = &*self.0;
        let problem = Problem {
            title: parts.status.canonical_reason().unwrap_or("Error"),
            status: parts.status.as_u16(),
            detail: &parts.detail,
            request_id,
            problems: &parts.problems,
            golden: &parts.golden,
        };
        serde_json::to_string(&problem).expect("texts and numbers are always JSON")
    }

    fn log(&self) {
        let parts = &*self.0;
        let status = parts.status.as_u16();
        let said = parts.logged.unwrap_or(&parts.detail);
        let error = parts.source.as_deref().map(|source| chain(source));
        if OutcomeCode::is_failure(status) {
            tracing::error!(status, detail = said, error, "the request failed");
        } else {
            let (scim_type, operation) = (parts.scim_type.map(ScimType::word), parts.operation);
            tracing::info!(status, scim_type, operation, detail = said, error, "the request was refused");
        }
    }
}

impl IntoResponse for Error {
    /// A bare answer that carries the error to [`Error::render`].
    fn into_response(self) -> Response<Body> {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The answer to a panic: a defect that ends its request alone.
#[expect(clippy::needless_pass_by_value, reason = "the signature is the layer's")]
pub fn of_panic(payload: Box<dyn Any + Send>) -> Response<Body> {
    let message = payload.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| payload.downcast_ref::<String>().cloned());
    Error::internal(format!("panicked: {}", message.as_deref().unwrap_or("without a message"))).into_response()
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        write!(text, ": {source}").expect("writing to a string can't fail");
        next = source.source();
    }
    text
}

impl From<ScimError> for Error {
    fn from(error: ScimError) -> Self {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut made = Self::new(status, error.detail);
        made.0.scim_type = error.scim_type;
        made
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the database is not available: try again")
                .retry_after(RETRY_OUTAGE_SECONDS)
                .caused_by(error),
            StoreError::Conflict { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "too many changes of the same thing at once: try again")
                    .retry_after(RETRY_SOON_SECONDS)
                    .caused_by(error)
            }
            StoreError::Taken { attribute } => ScimError::uniqueness(attribute).into(),
            StoreError::UnknownMembers(ids) => {
                let id = quoted(ids.first().map_or("", String::as_str));
                let detail = format!("`members`: there is no user or group `{id}` on this connection: create it first");
                Self::from(ScimError::invalid_value(detail)).logged_as("a member is unknown")
            }
            StoreError::Nesting(id) => {
                let detail = format!(
                    "`members`: with `{}` the group would contain itself or nest more than {} deep: leave it out",
                    quoted(&id),
                    crate::store::GROUP_DEPTH_LIMIT
                );
                Self::from(ScimError::invalid_value(detail)).logged_as("the nesting would be circular or too deep")
            }
            StoreError::Missing(what) => Self::not_found(&format!("such {what}")),
            StoreError::TooMany => {
                ScimError::too_many(format!("{error}: filter by `id`, `externalId`, `userName`, `displayName` or an e-mail address")).into()
            }
            StoreError::PageTooLarge => ScimError::too_many(format!("{error}: ask for fewer with `count`, or page by `cursor`")).into(),
            StoreError::Corrupt(_) => Self::internal(error),
        }
    }
}

impl From<Overloaded> for Error {
    fn from(error: Overloaded) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error}: try again")).retry_after(RETRY_SOON_SECONDS)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            // A refusal by the tenant's mapping has the plugin's own sentence, which may name the person.
            Failure::Scim(error) if error.scim_type == Some(ScimType::InvalidValue) => Self::from(error).logged_as("a value is refused"),
            Failure::Scim(error) => error.into(),
            Failure::Refused(refusal) => {
                let mut made = Self::from(Failure::Scim(refusal.error));
                made.0.operation = refusal.operation;
                made
            }
            Failure::Store(error) => error.into(),
        }
    }
}

impl From<TenancyError> for Error {
    fn from(error: TenancyError) -> Self {
        let detail = error.to_string();
        match error {
            TenancyError::Broken(problems) | TenancyError::File(problems) => {
                let mut made = Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
                made.0.problems = problems;
                made
            }
            TenancyError::Golden(results) => {
                let mut made = Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
                made.0.golden = results
                    .into_iter()
                    .filter_map(|case| case.diff.map(|diff| FailedCase { file: case.file, name: case.name, diff }))
                    .collect();
                made
            }
            TenancyError::Held(_) => Self::new(StatusCode::CONFLICT, detail),
            TenancyError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, detail),
            TenancyError::Refused(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
            TenancyError::NotHeld(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail).logged_as("accounts are named that are not held")
            }
            TenancyError::Store(StoreError::Conflict { what: "trial" }) => {
                Self::new(StatusCode::CONFLICT, "a trial of this kind is running: wait for it, or stop it (`rolecall tenant trial`)")
            }
            TenancyError::Store(StoreError::Conflict { what: "reconciliation" }) => Self::new(
                StatusCode::CONFLICT,
                "a reconciliation is carried out once, when it is `ready`, and only one of a connection at a time: see `rolecall drift list`",
            ),
            TenancyError::Store(StoreError::Conflict { what: "connection" }) => Self::new(
                StatusCode::CONFLICT,
                "the connection is in staging, where nothing has effect: let it go live first (`rolecall connection live`)",
            ),
            TenancyError::Store(StoreError::Conflict { what: "restored_connection" }) => Self::new(
                StatusCode::CONFLICT,
                "the connection came back with a backup, and what is new waits: reconcile it, or look and release it (`rolecall connection release`)",
            ),
            TenancyError::Store(StoreError::Conflict { what: "not_restored" }) => {
                Self::new(StatusCode::CONFLICT, "the connection does not wait for a release: it was not restored, or was released already")
            }
            TenancyError::Store(StoreError::Conflict { what: "account_name" }) => Self::new(
                StatusCode::CONFLICT,
                "the login name belongs to another account: change that one first, at the identity provider or where it was imported from",
            ),
            TenancyError::Store(StoreError::Conflict { what: "ruling" }) => {
                Self::new(StatusCode::CONFLICT, "the account has an exception for this role: end that one first (`rolecall exception end`)")
            }
            TenancyError::Store(StoreError::Conflict { what: "leave" }) => Self::new(
                StatusCode::CONFLICT,
                "the account has a leave already that lasts from then until then: end that one first (`rolecall account back`), or choose a later end",
            ),
            TenancyError::Store(StoreError::Conflict { what: "leaves" }) => Self::new(
                StatusCode::CONFLICT,
                format!("the account has {LEAVES_LIMIT} leaves already: end one first (`rolecall account back`)"),
            ),
            TenancyError::Store(StoreError::Conflict { what: "step" }) => {
                Self::new(StatusCode::CONFLICT, "the step is done or skipped already, or its process was called off")
            }
            TenancyError::Store(StoreError::Conflict { what: "review" }) => {
                Self::new(StatusCode::CONFLICT, "the review is not open: nothing can be decided in it any more, or not yet")
            }
            TenancyError::Store(StoreError::Conflict { what: "undecided" }) => Self::new(
                StatusCode::CONFLICT,
                "nobody has said anything that counts about some lines: have them decided, or close it with silence (`with_silence`), so that they follow \
                 what was set up for that",
            ),
            TenancyError::Store(StoreError::Conflict { what }) => {
                let moved = || format!("the {what} was changed meanwhile: read it again and repeat the request");
                Self::new(StatusCode::CONFLICT, of_accounts_before(what).map_or_else(moved, str::to_owned))
            }
            TenancyError::Store(StoreError::Taken { attribute }) => {
                Self::new(StatusCode::CONFLICT, format!("this {attribute} is taken: choose another"))
            }
            TenancyError::Store(error) => error.into(),
            TenancyError::Overloaded(error) => error.into(),
        }
    }
}

/// What can't be about accounts that were there before a connection goes live, and about going back.
fn of_accounts_before(what: &str) -> Option<&'static str> {
    match what {
        "connection_state" => Some("the connection is not in staging: it is live already"),
        "predecessor" => Some(
            "that connection can't be taken over: it is this one, is in staging itself, or another connection in staging takes over from it",
        ),
        "not_live" => Some("the connection is in staging: it has to be live before somebody can go back"),
        "move" => Some("somebody can't go back any more who could a moment ago: look again (`rolecall connection moved`), and repeat it"),
        "fed" => Some(
            "a connection feeds the account, or has fed it, and the identity provider's word that somebody is gone always wins: only accounts \
             that were imported and that nobody has adopted can be protected",
        ),
        "import" => Some(
            "the account can't be adopted: it was not imported and is none of the connection that is taken over, is protected, or is somebody \
             else's by now",
        ),
        "adoption" => Some("nothing is to be decided about this person: the account is in use, or none that is there may be theirs"),
        _ => None,
    }
}

impl From<NotSignedIn> for Error {
    fn from(error: NotSignedIn) -> Self {
        let detail = error.to_string();
        match error {
            NotSignedIn::Unasked => Self::new(StatusCode::BAD_REQUEST, detail),
            NotSignedIn::Provider(_) => Self::new(StatusCode::BAD_GATEWAY, detail),
            // Claims and a provider's own words may name somebody.
            NotSignedIn::Denied(_) => Self::new(StatusCode::FORBIDDEN, detail).logged_as("a sign-in provider refused"),
            NotSignedIn::Nobody(_) => Self::new(StatusCode::FORBIDDEN, detail).logged_as("somebody who may do nothing here"),
            NotSignedIn::Token(_) => Self::new(StatusCode::FORBIDDEN, detail),
            NotSignedIn::TooMany(TooMany { retry_after_seconds }) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(retry_after_seconds)
            }
            NotSignedIn::Tenancy(error) => error.into(),
        }
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthorized => Self::unauthorized(),
            Denied::Missing => Self::unauthenticated(),
            Denied::TooMany(TooMany { retry_after_seconds }) => Self::too_many_requests(retry_after_seconds),
            Denied::TooManyWrong(TooMany { retry_after_seconds }) => Self::too_many_wrong(retry_after_seconds),
            Denied::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage() -> StoreError {
        StoreError::Unavailable(Box::new(std::io::Error::other("no route to the database")))
    }

    #[test]
    fn every_failure_of_a_write_has_its_status_and_word() {
        let cases = [
            (outage().into(), false, 503, None, Some(5)),
            (StoreError::Conflict { what: "resource" }.into(), false, 503, None, Some(1)),
            (StoreError::Conflict { what: "resource" }.into(), true, 412, None, None),
            (StoreError::Conflict { what: "revision" }.into(), true, 503, None, Some(1)),
            (StoreError::Taken { attribute: "userName" }.into(), false, 409, Some(ScimType::Uniqueness), None),
            (StoreError::UnknownMembers(vec!["x".into()]).into(), false, 400, Some(ScimType::InvalidValue), None),
            (StoreError::Nesting("x".into()).into(), false, 400, Some(ScimType::InvalidValue), None),
            (StoreError::Missing("user").into(), false, 404, None, None),
            (StoreError::TooMany.into(), false, 400, Some(ScimType::TooMany), None),
            (StoreError::PageTooLarge.into(), false, 400, Some(ScimType::TooMany), None),
            (StoreError::Corrupt("row 1".into()).into(), false, 500, None, None),
            (ScimError::no_target("x").into(), false, 400, Some(ScimType::NoTarget), None),
        ];
        for (failure, conditional, status, scim_type, retry) in cases {
            let name = format!("{failure:?}");
            let error = Error::of_write(failure, conditional);
            assert_eq!((error.status().as_u16(), error.0.scim_type, error.0.retry_after_seconds), (status, scim_type, retry), "{name}");
        }
    }

    #[test]
    fn administration_tells_conflicts_from_outages() {
        let conflict = Error::from(TenancyError::Store(StoreError::Conflict { what: "revision" }));
        assert_eq!(conflict.status(), StatusCode::CONFLICT);
        let broken = Error::from(TenancyError::Broken(Vec::new()));
        assert_eq!(broken.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(Error::from(TenancyError::Store(outage())).status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn a_client_never_sees_what_a_defect_said_and_the_chain_is_whole() {
        let error = Error::internal(outage());
        assert!(!error.problem("r").contains("route to the database"));
        assert_eq!(chain(&outage()), "the database is not available: no route to the database");
    }

    #[test]
    fn a_member_is_named_clipped_in_the_answer_and_not_in_the_log() {
        let error = Error::from(StoreError::UnknownMembers(vec!["m".repeat(5_000)]));
        assert!(error.0.detail.contains(&"m".repeat(100)) && error.0.detail.len() < 300);
        assert_eq!(error.0.logged, Some("a member is unknown"));
    }

    #[test]
    fn the_form_is_the_paths() {
        for (path, format) in [
            ("/scim", Format::Scim),
            ("/scim/c/v2/Users", Format::Scim),
            ("/scim/c/oauth/token", Format::OAuth),
            ("/scimx", Format::Problem),
            ("/api/v1", Format::Problem),
            ("/workspace", Format::Page),
            ("/workspacex", Format::Problem),
        ] {
            assert_eq!(Format::of(path), format, "{path}");
        }
    }
}
