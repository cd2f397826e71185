//! Sends traffic as the identity provider does, and watches the tenant's accounts through the API meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::traffic::{self, Memory, Step, Traffic};
use crate::cli::client::Api;
use crate::cli::items;

/// The longest that the demonstration waits for anything: longer than a healthy server on the same machine takes.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often the API is asked while something is awaited.
const POLL: Duration = Duration::from_millis(5);
/// More accounts than a demonstration has.
const ACCOUNTS: &str = "500";

/// An identity provider at work.
pub struct Player<'a> {
    api: &'a Api,
    http: reqwest::Client,
    tenant: String,
    base_url: String,
    token: Zeroizing<String>,
    memory: Memory,
    /// People in the order of their coming.
    people: Vec<String>,
    /// Person by account: once a person is deleted, the account names no SCIM user any more.
    persons: BTreeMap<String, String>,
    /// How long each leaver's roles outlived the request.
    left: BTreeMap<String, Left>,
    requests: usize,
}

/// How a leaver left.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// From the request until its answer, in milliseconds.
    pub answered_ms: f64,
    /// From the request until the API showed no role, in milliseconds.
    pub gone_ms: f64,
}

/// A tenant's accounts by person, at one time.
pub type Snapshot = BTreeMap<String, Value>;

impl<'a> Player<'a> {
    /// An identity provider that sends to the connection.
    ///
    /// # Errors
    /// For headers that can't be sent.
    pub fn new(api: &'a Api, traffic: &Traffic, base_url: String, token: Zeroizing<String>) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &traffic.headers {
            let header = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()));
            let (Ok(name), Ok(value)) = header else { bail!("the header `{name}` can't be sent") };
            headers.insert(name, value);
        }
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/scim+json"));
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/scim+json; charset=utf-8"));
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .default_headers(headers)
            .build()
            .context("no HTTP client can be made")?;
        Ok(Self {
            api,
            http,
            tenant: traffic.tenant.clone(),
            base_url,
            token,
            memory: Memory::new(),
            people: Vec::new(),
            persons: BTreeMap::new(),
            left: BTreeMap::new(),
            requests: 0,
        })
    }

    /// The people so far, in the order of their coming.
    pub fn people(&self) -> &[String] {
        &self.people
    }

    /// How somebody left.
    pub fn left(&self, person: &str) -> Option<Left> {
        self.left.get(person).copied()
    }

    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// How many requests were sent.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// The connection's base URL.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The connection's token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Sends one request and checks the answer.
    ///
    /// # Errors
    /// When the answer is not the one that the step expects.
    pub async fn send(&mut self, step: &Step) -> anyhow::Result<()> {
        let sent = Instant::now();
        let answer = self.request(step).await.with_context(|| format!("{}, step `{}`", self.tenant, step.title))?;
        let answered_ms = milliseconds(sent);
        if let Some(person) = &step.person {
            let id = answer.get("id").filter(|id| id.is_string()).with_context(|| format!("the answer to `{}` has no id", step.title))?;
            self.memory.insert(person.clone(), id.clone());
            self.people.push(person.clone());
        }
        for (name, pointer) in &step.save {
            let value = answer.pointer(pointer).with_context(|| format!("the answer to `{}` has no `{pointer}`", step.title))?;
            self.memory.insert(name.clone(), value.clone());
        }
        if let Some(person) = &step.leaver {
            self.wait_until(&format!("{person} to be without a role"), |accounts| {
                accounts.get(person).is_some_and(|account| account["state"] != "active" && effective(account).is_empty())
            })
            .await?;
            self.left.insert(person.clone(), Left { answered_ms, gone_ms: milliseconds(sent) });
        }
        Ok(())
    }

    async fn request(&mut self, step: &Step) -> anyhow::Result<Value> {
        let method = step.method.parse::<reqwest::Method>().context("no method")?;
        let url = format!("{}{}", self.base_url, traffic::fill_text(&step.path, &self.memory)?);
        let mut request = self.http.request(method, url).bearer_auth(&*self.token);
        if let Some(body) = traffic::body(step, &self.memory)? {
            request = request.body(body.to_string());
        }
        self.requests += 1;
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        ensure!(status == step.status, "expected status {} and got {status}: {text}", step.status);
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        for (pointer, expected) in &step.expect {
            let expected = traffic::fill(expected, &self.memory)?;
            let found = answer.pointer(pointer).cloned().unwrap_or_default();
            ensure!(found == expected, "expected `{pointer}` to be {expected} and got {found}");
        }
        Ok(answer)
    }

    /// People as the identity provider would read them back.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn resources(&self, people: &[String]) -> anyhow::Result<Vec<Value>> {
        let mut resources = Vec::new();
        for person in people {
            let id = self.memory.get(person).and_then(Value::as_str).with_context(|| format!("there is no person `{person}`"))?;
            let request = self.http.get(format!("{}/Users/{id}", self.base_url)).bearer_auth(&*self.token);
            let answer = request.send().await.map_err(reqwest::Error::without_url)?;
            resources.push(serde_json::from_str(&answer.text().await?).context("a person can't be read back")?);
        }
        Ok(resources)
    }

    /// Why an account holds a role, or why not.
    ///
    /// # Errors
    /// The server's.
    pub async fn explain(&self, account: &Value, role: &str) -> anyhow::Result<Value> {
        let id = account["id"].as_str().unwrap_or_default();
        Ok(self.api.get(&["tenants", &self.tenant, "accounts", id, "explain"], &[("role", role)]).await?)
    }

    /// Sends this connection's token to another connection's address: the status that comes.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub async fn knock(&self, door: &Self) -> anyhow::Result<u16> {
        let request = self.http.get(format!("{}/Users", door.base_url)).bearer_auth(&*self.token);
        Ok(request.send().await.map_err(reqwest::Error::without_url)?.status().as_u16())
    }

    /// Confirms a handle, as a person at the tenant does.
    ///
    /// # Errors
    /// The server's.
    pub async fn confirm(&self, handle: &str) -> anyhow::Result<()> {
        self.api.post(&["tenants", &self.tenant, "handles", handle, "confirm"], &json!({})).await?;
        Ok(())
    }

    /// The tenant's handles.
    ///
    /// # Errors
    /// The server's.
    pub async fn handles(&self) -> anyhow::Result<Vec<Value>> {
        let answer = self.api.get(&["tenants", &self.tenant, "handles"], &[]).await?;
        Ok(items(&answer, "handles").to_vec())
    }

    /// The accounts once nothing is pending.
    ///
    /// # Errors
    /// The server's, and when something stays pending.
    pub async fn settled(&mut self) -> anyhow::Result<Snapshot> {
        self.wait_until("pending evaluations to finish", |accounts| accounts.values().all(|account| account["pending"] != true)).await
    }

    async fn wait_until(&mut self, what: &str, done: impl Fn(&Snapshot) -> bool) -> anyhow::Result<Snapshot> {
        let waiting = Instant::now();
        loop {
            let accounts = self.accounts().await?;
            if done(&accounts) {
                return Ok(accounts);
            }
            ensure!(waiting.elapsed() < TIMEOUT, "waited {} seconds for {what}", TIMEOUT.as_secs());
            tokio::time::sleep(POLL).await;
        }
    }

    async fn accounts(&mut self) -> anyhow::Result<Snapshot> {
        let answer = self.api.get(&["tenants", &self.tenant, "accounts"], &[("limit", ACCOUNTS)]).await?;
        let mut snapshot = Snapshot::new();
        for account in items(&answer, "accounts") {
            let id = account["id"].as_str().unwrap_or_default();
            if let Some(person) = self.people.iter().find(|person| self.memory.get(*person) == Some(&account["source"]["id"])) {
                self.persons.insert(id.to_owned(), person.clone());
            }
            snapshot.extend(self.persons.get(id).map(|person| (person.clone(), account.clone())));
        }
        Ok(snapshot)
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

/// The roles of an account that are in effect.
pub fn effective(account: &Value) -> BTreeSet<&str> {
    let grants = account["grants"].as_array().into_iter().flatten();
    grants.filter(|grant| grant["state"] != "pending").filter_map(|grant| grant["role"].as_str()).collect()
}
