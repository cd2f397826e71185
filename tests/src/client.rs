//! An HTTP client whose failures show the whole exchange.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// How long an answer may take before the test gives up: far beyond what any request needs on a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A base URL with a credential.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// What paths are appended to.
    pub base: String,
    /// The bearer token, if any.
    pub token: Option<String>,
    content_type: &'static str,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The request, for messages.
    pub request: String,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Client {
    /// A client of the API.
    #[must_use]
    pub fn new(base: impl Into<String>, token: Option<String>) -> Self {
        rolecall::cli::serve::install_tls_provider();
        let http = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client can be made");
        Self { http, base: base.into(), token, content_type: "application/json" }
    }

    /// A client of SCIM.
    #[must_use]
    pub fn scim(base: impl Into<String>, token: impl Into<String>) -> Self {
        Self { content_type: "application/scim+json", ..Self::new(base, Some(token.into())) }
    }

    /// The same with another credential.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// The same at another address.
    #[must_use]
    pub fn at(&self, base: impl Into<String>) -> Self {
        Self { base: base.into(), ..self.clone() }
    }

    /// Sends a request as it is given.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Answer, reqwest::Error> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let method = Method::from_bytes(method.as_bytes()).expect("the test names a method");
        let mut request = self.http.request(method.clone(), &url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", self.content_type);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let shown = body.as_deref().map(|body| String::from_utf8_lossy(&body[..body.len().min(2_000)]).into_owned()).unwrap_or_default();
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { request: format!("{method} {url}\n{shown}"), status, headers, text: response.text().await? })
    }

    /// Sends a request as it is given.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap_or_else(|e| panic!("{method} {path}: no answer: {e:?}"))
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[], Some(body.to_string().into_bytes())).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, &[], Some(body.to_string().into_bytes())).await
    }

    /// PATCH of JSON.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, &[], Some(body.to_string().into_bytes())).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None).await
    }
}

impl Answer {
    /// The body, which has to be JSON or empty (`null`).
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text)
            .unwrap_or_else(|e| panic!("{}\n{}: the body is no JSON ({e}):\n{}", self.request, self.status, self.text))
    }

    /// Fails with the whole exchange unless the status is this one; gives the body.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        self.expect_one_of(&[status])
    }

    /// Fails with the whole exchange unless the status is one of these; gives the body.
    #[track_caller]
    pub fn expect_one_of(&self, statuses: &[u16]) -> Value {
        assert!(
            statuses.contains(&self.status.as_u16()),
            "{}\nanswered {} and not {statuses:?}:\n{}\n{}",
            self.request,
            self.status,
            self.text,
            self.log()
        );
        self.json()
    }

    /// Fails unless this is a SCIM error with the status and keyword; gives its sentence.
    #[track_caller]
    pub fn expect_scim_error(&self, status: u16, scim_type: Option<&str>) -> String {
        let body = self.expect(status);
        let shown = format!("{}\n{}\n{}", self.request, self.status, self.text);
        assert_eq!(body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error", "{shown}");
        assert_eq!(body["status"], status.to_string(), "{shown}");
        assert_eq!(body["scimType"].as_str(), scim_type, "{shown}");
        let detail = body["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.split(' ').count() >= 3, "the detail is no sentence: {shown}");
        detail
    }

    /// What the server logged about the request, if it runs in this process and something went wrong in it.
    fn log(&self) -> String {
        let id = self.header("x-request-id");
        if !self.status.is_server_error() || id.is_empty() {
            return String::new();
        }
        crate::logs::lines_with(id).join("\n")
    }

    /// A header's text; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
