//! `rolecall connection probe`: plays an identity provider at a connection, with a test person and a test group that it takes away again.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::{EXIT_FOUND, EXIT_SERVER, Output, render};
use crate::config::ConfigError;
use crate::crypto;
use crate::model::{PROBE_DOMAIN, PROBE_GROUP};

/// How long a step may take: what Okta waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The media type of SCIM (RFC 7644 §3.1).
const SCIM_JSON: &str = "application/scim+json";

/// Play an identity provider at a connection: makes, changes and deletes a test person and a test group, and says what came.
#[derive(clap::Args)]
#[command(after_help = "The test person and the test group are known as such: they set nothing off, and are deleted again.

Example:
  ROLECALL_SCIM_TOKEN=rc_… rolecall connection probe --url https://rolecall.example/scim/0190…/v2")]
pub struct Probe {
    /// The connection's base URL, as it was shown when it was made
    #[arg(long, env = "ROLECALL_SCIM_URL", value_name = "URL")]
    url: String,
    /// The connection's token; better in the environment, since others may see command lines
    #[arg(long, env = "ROLECALL_SCIM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: String,
}

/// What was done, what was expected and what came.
struct Step {
    what: &'static str,
    method: Method,
    path: String,
    expected: String,
    came: String,
    answered: bool,
    passed: bool,
    took: Duration,
}

/// The identity provider.
struct Client {
    http: reqwest::Client,
    base: String,
    token: Zeroizing<String>,
    steps: Vec<Step>,
}

/// What an answer has to be: one of these statuses, and what its body has to say.
struct Expected<'a> {
    statuses: &'a [u16],
    says: Option<(&'a str, Value)>,
}

impl Probe {
    /// Runs the command.
    ///
    /// # Errors
    /// When the URL is none. What the connection does not answer as it should is shown, with exit code 1; with 3 where it answers nothing.
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        crate::cli::serve::install_tls_provider();
        let url = base_url(&self.url)?;
        let mut builder = reqwest::Client::builder().timeout(TIMEOUT);
        if url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost")) {
            builder = builder.no_proxy();
        }
        let base = self.url.trim_end_matches('/').to_owned();
        let http = builder.build().context("no HTTP client can be made")?;
        let mut client = Client { http, base, token: Zeroizing::new(self.token), steps: Vec::new() };
        client.play(&crypto::random_id()[..12]).await;
        let passed = client.steps.iter().all(|step| step.passed);
        output.show(&client.answer(passed), |paint| {
            let mut table = render::table(["step", "request", "expected", "came", "ms"]);
            for step in &client.steps {
                let came = if step.passed { paint.good(&step.came) } else { paint.bad(&step.came) };
                table.add_row([
                    step.what.to_owned(),
                    format!("{} {}", step.method, step.path),
                    step.expected.clone(),
                    came,
                    step.took.as_millis().to_string(),
                ]);
            }
            let verdict = if passed { paint.good("The connection answers as it should.") } else { paint.bad("Something is wrong.") };
            Ok(format!("{table}\n{verdict}\n"))
        })?;
        let answered = client.steps.iter().any(|step| step.answered);
        Ok(match (passed, answered) {
            (true, _) => ExitCode::SUCCESS,
            (false, true) => ExitCode::from(EXIT_FOUND),
            (false, false) => ExitCode::from(EXIT_SERVER),
        })
    }
}

fn base_url(text: &str) -> Result<Url, ConfigError> {
    let refused = |why: String| ConfigError::Argument { name: "--url", problem: format!("is `{text}`: {why}") };
    let url = Url::parse(text).map_err(|error| refused(format!("that is no address ({error}): give the connection's base URL")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("it must begin with `http://` or `https://`".into()));
    }
    Ok(url)
}

impl Client {
    /// All that there is to be tried; what was made is taken away, whatever became of the rest.
    async fn play(&mut self, mark: &str) {
        let (name, group_name) = (format!("rolecall-probe-{mark}{PROBE_DOMAIN}"), format!("{PROBE_GROUP}{mark}"));
        let found = format!("/Users?filter={}", encoded(&format!("userName eq \"{name}\"")));
        let plain = |statuses| Expected { statuses, says: None };
        let says = |path, value| Expected { statuses: &[200], says: Some((path, value)) };
        if self.step("capabilities", Method::GET, "/ServiceProviderConfig", None, plain(&[200])).await.is_none() {
            // Nothing else is answered better.
            return;
        }
        self.step("look for a person who is not there", Method::GET, &found, None, says("/totalResults", json!(0))).await;
        let made = self.step("make a person", Method::POST, "/Users", Some(person(&name, mark)), plain(&[201])).await;
        let user = id(made.as_ref());
        if let Some(user) = &user {
            let path = format!("/Users/{user}");
            self.step("read the person", Method::GET, &path, None, says("/userName", json!(name))).await;
            self.step("find the person", Method::GET, &found, None, says("/totalResults", json!(1))).await;
            let title = patch(&json!([{"op": "replace", "path": "title", "value": "Probe"}]));
            self.step("change the person", Method::PATCH, &path, Some(title), plain(&[200, 204])).await;
        }
        let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": group_name});
        let made = self.step("make a group", Method::POST, "/Groups", Some(body), plain(&[201])).await;
        let group = id(made.as_ref());
        if let (Some(user), Some(group)) = (&user, &group) {
            let path = format!("/Groups/{group}");
            let add = patch(&json!([{"op": "add", "path": "members", "value": [{"value": user}]}]));
            self.step("put the person into the group", Method::PATCH, &path, Some(add), plain(&[200, 204])).await;
            self.step("read the group", Method::GET, &path, None, says("/members/0/value", json!(user))).await;
            let remove = patch(&json!([{"op": "remove", "path": format!("members[value eq \"{user}\"]")}]));
            self.step("take the person out again", Method::PATCH, &path, Some(remove), plain(&[200, 204])).await;
        }
        if let Some(user) = &user {
            let path = format!("/Users/{user}");
            let off = patch(&json!([{"op": "replace", "path": "active", "value": false}]));
            self.step("deactivate the person", Method::PATCH, &path, Some(off), plain(&[200, 204])).await;
            self.step("read that", Method::GET, &path, None, says("/active", json!(false))).await;
        }
        if let Some(group) = &group {
            self.step("delete the group", Method::DELETE, &format!("/Groups/{group}"), None, plain(&[204])).await;
        }
        if let Some(user) = &user {
            let path = format!("/Users/{user}");
            self.step("delete the person", Method::DELETE, &path, None, plain(&[204])).await;
            self.step("read nobody", Method::GET, &path, None, plain(&[404])).await;
        }
        self.step("find nobody", Method::GET, &found, None, says("/totalResults", json!(0))).await;
    }

    /// One request. What came, where it is what was expected.
    async fn step(&mut self, what: &'static str, method: Method, path: &str, body: Option<Value>, expected: Expected<'_>) -> Option<Value> {
        let began = Instant::now();
        let (came, answered, value, passed) = match self.send(&method, path, body).await {
            Ok((status, value)) => {
                let said = expected.says.as_ref().map(|(path, _)| value.pointer(path).cloned().unwrap_or(Value::Null));
                let right = expected.says.as_ref().zip(said.as_ref()).is_none_or(|((_, wanted), said)| wanted == said);
                let detail = value["detail"].as_str().map(|detail| format!(": {detail}")).unwrap_or_default();
                let said = said.map(|said| format!(", {said}")).unwrap_or_default();
                let passed = expected.statuses.contains(&status) && right;
                (format!("{status}{said}{detail}"), true, Some(value), passed)
            }
            Err(error) => (format!("no answer: {error:#}"), false, None, false),
        };
        let statuses: Vec<String> = expected.statuses.iter().map(u16::to_string).collect();
        let wanted = expected.says.map(|(_, wanted)| format!(", {wanted}")).unwrap_or_default();
        let expected = format!("{}{wanted}", statuses.join(" or "));
        self.steps.push(Step { what, method, path: path.to_owned(), expected, came, answered, passed, took: began.elapsed() });
        value.filter(|_| passed)
    }

    async fn send(&self, method: &Method, path: &str, body: Option<Value>) -> anyhow::Result<(u16, Value)> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base)).bearer_auth(self.token.as_str());
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, SCIM_JSON).body(body.to_string());
        }
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.map_err(reqwest::Error::without_url)?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    fn answer(&self, passed: bool) -> Value {
        let step = |step: &Step| {
            json!({
                "step": step.what, "method": step.method.as_str(), "path": step.path, "expected": step.expected, "came": step.came,
                "passed": step.passed, "ms": u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX),
            })
        };
        json!({"passed": passed, "steps": self.steps.iter().map(step).collect::<Vec<_>>()})
    }
}

fn person(name: &str, mark: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name, "externalId": format!("rolecall-probe-{mark}"), "displayName": "Rolecall Probe",
        "name": {"givenName": "Rolecall", "familyName": "Probe"}, "emails": [{"type": "work", "value": name, "primary": true}], "active": true,
    })
}

fn patch(operations: &Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

fn id(made: Option<&Value>) -> Option<String> {
    made.and_then(|made| made["id"].as_str()).map(str::to_owned)
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
