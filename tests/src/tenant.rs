//! Tenants and connections as tests see them: made in one sentence, read over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use rolecall::model::{Actor, ConnectionState, TenantId};
use rolecall::revision::{self, Files};
use rolecall::store::NewActivation;
use rolecall::tenancy::{self, TenancyError};
use serde_json::{Value, json};

use crate::{Client, Server, probe};

/// Who administers tenants in tests: the API, so that a test may activate what it likes.
const OWNER: &str = "api";

/// Policies that most tests use: one plain role, one privileged role, one that two groups must give together.
pub const POLICIES: &str = r#"
@id("engineers")
@reason("engineers work on the code")
permit (principal in Rolecall::Group::"engineering", action == Rolecall::Action::"hold", resource == Rolecall::Role::"developer");

@id("operators")
@reason("operators run the platform")
permit (principal in Rolecall::Group::"operations", action == Rolecall::Action::"hold", resource == Rolecall::Role::"admin");

@id("everybody")
@reason("everybody may read")
permit (principal in Rolecall::Group::"staff", action == Rolecall::Action::"hold", resource == Rolecall::Role::"reader");
"#;

/// A policy that fails when it is asked about the role `developer` for people with the title `overflow`, and gives that role.
pub const FAILING_POLICY: &str = r#"
@id("fails")
@reason("a rule that adds up too much")
forbid (principal, action == Rolecall::Action::"hold", resource == Rolecall::Role::"developer")
when { principal has title && principal.title == "overflow" && resource.risk + 9223372036854775807 > 0 };
"#;

/// A tenant in the making.
pub struct TenantBuilder<'a> {
    server: &'a Server,
    id: String,
    files: Files,
    roles: Vec<(&'static str, bool)>,
    policies: String,
    plugin: Option<Vec<u8>>,
    on_reject: &'static str,
    settings: String,
    asks: bool,
}

impl<'a> TenantBuilder<'a> {
    pub(crate) fn new(server: &'a Server, id: &str) -> Self {
        Self {
            server,
            id: id.to_owned(),
            files: Files::new(),
            roles: vec![("developer", false), ("reader", false), ("admin", true)],
            policies: POLICIES.to_owned(),
            plugin: None,
            on_reject: "accept",
            settings: String::new(),
            asks: false,
        }
    }

    /// With the test plugin: what it does is in the person's title.
    #[must_use]
    pub fn with_probe(self) -> Self {
        self.with_plugin(probe::module())
    }

    /// With a mapping plugin.
    #[must_use]
    pub fn with_plugin(mut self, bytes: Vec<u8>) -> Self {
        self.plugin = Some(bytes);
        self
    }

    /// With other policies than [`POLICIES`].
    #[must_use]
    pub fn with_policies(mut self, policies: &str) -> Self {
        policies.clone_into(&mut self.policies);
        self
    }

    /// With more policies.
    #[must_use]
    pub fn and_policies(mut self, policies: &str) -> Self {
        self.policies.push_str(policies);
        self
    }

    /// With another role in the catalogue.
    #[must_use]
    pub fn with_role(mut self, role: &'static str, privileged: bool) -> Self {
        self.roles.push((role, privileged));
        self
    }

    /// A refusal by the mapping answers 400.
    #[must_use]
    pub fn refusing(mut self) -> Self {
        self.on_reject = "refuse";
        self
    }

    /// Privileged roles wait for a person's yes, as they do unless a tenant says otherwise: most tests are about something else.
    #[must_use]
    pub fn asking(mut self) -> Self {
        self.asks = true;
        self
    }

    /// With more tables in its `tenant.toml`.
    #[must_use]
    pub fn and_settings(mut self, toml: &str) -> Self {
        self.settings.push_str(toml);
        self
    }

    /// The files of a tenant folder instead of all the above.
    #[must_use]
    pub fn with_folder(mut self, folder: &Path) -> Self {
        self.files = revision::read_folder(folder).unwrap_or_else(|problems| panic!("{}: {problems:?}", folder.display()));
        self
    }

    /// The files of its first revision.
    #[must_use]
    pub fn files(&self) -> Files {
        if !self.files.is_empty() {
            return self.files.clone();
        }
        let mut settings = format!("name = \"{}\"\n\n[decisions]\non_reject = \"{}\"\n", self.id, self.on_reject);
        if !self.asks {
            settings.push_str("\n[approvals]\nprivileged = false\nsecond_person = \"never\"\n");
        }
        for (role, privileged) in &self.roles {
            write!(settings, "\n[[roles]]\nid = \"{role}\"\nrisk = 1\nprivileged = {privileged}\n")
                .expect("writing to a string can't fail");
        }
        let mut files = Files::from([("policies/roles.cedar".to_owned(), self.policies.clone().into_bytes())]);
        if let Some(plugin) = &self.plugin {
            settings.push_str("\n[plugins.transform]\nfile = \"plugins/plugin.wasm\"\n");
            files.insert("plugins/plugin.wasm".to_owned(), plugin.clone());
        }
        settings.push('\n');
        settings.push_str(&self.settings);
        files.insert("tenant.toml".to_owned(), settings.into_bytes());
        files
    }

    /// Makes the tenant without any revision.
    pub async fn create_empty(self) -> Tenant {
        let tenant = TenantId::from(self.id.as_str());
        tenancy::ensure_tenant(self.server.app(), &tenant, &self.id, OWNER).await.expect("the tenant can be made");
        Tenant::new(self.server, tenant)
    }

    /// Makes the tenant with its revision active.
    pub async fn create(self) -> Tenant {
        let files = self.files();
        let server = self.server;
        let tenant = self.create_empty().await;
        tenant.activate(server, files).await;
        tenant
    }
}

/// A tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// A client that may do everything in it.
    pub api: Client,
}

impl Tenant {
    pub(crate) fn new(server: &Server, id: TenantId) -> Self {
        let api = server.operator.at(format!("{}/tenants/{id}", server.operator.base));
        Self { id, api }
    }

    /// The same tenant, served by another process.
    #[must_use]
    pub fn at(&self, operator: &Client, url: &str) -> Self {
        Self { id: self.id.clone(), api: operator.at(format!("{url}/api/v1/tenants/{}", self.id)) }
    }

    /// Stores and activates a revision.
    pub async fn activate(&self, server: &Server, files: Files) {
        self.try_activate(server, files).await.unwrap_or_else(|e| panic!("the revision is refused: {e:?}"));
    }

    /// Stores and activates a revision.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn try_activate(&self, server: &Server, files: Files) -> Result<(), TenancyError> {
        let checked = tenancy::store_revision(server.app(), &self.id, files).await?;
        let actor = Actor { kind: "api_token".to_owned(), id: "test".to_owned() };
        tenancy::activate(server.app(), &self.id, NewActivation::of(checked.hash, checked.active), OWNER, &actor).await
    }

    /// A new connection.
    pub async fn connection(&self, server: &Server, name: &str) -> Connection {
        let actor = Actor { kind: "api_token".to_owned(), id: "test".to_owned() };
        let (connection, issued) = tenancy::create_connection(server.app(), &self.id, name, (ConnectionState::Active, false), &actor)
            .await
            .expect("the connection can be made");
        Connection {
            id: connection.id.0.clone(),
            scim: Client::scim(format!("{}/scim/{}/v2", server.url(), connection.id), issued.token.to_string()),
        }
    }

    /// Lets the guard count the people of a connection: it counts nobody of those that tests make.
    pub async fn guard(&self, connection: &Connection) {
        self.api.put(&format!("/connections/{}/guard", connection.id), json!({"guarded": true})).await.expect(204);
    }

    /// An account as the platform reads it.
    pub async fn account(&self, name: &str) -> Value {
        self.api.get(&format!("/accounts/{name}")).await.expect(200)
    }

    /// The roles that an account holds in effect.
    pub async fn roles(&self, name: &str) -> BTreeSet<String> {
        roles_in_effect(&self.account(name).await)
    }

    /// An account's state.
    pub async fn state(&self, name: &str) -> String {
        text(&self.account(name).await["state"])
    }

    /// All accounts by user name (or id, where there is no name yet).
    pub async fn accounts(&self) -> BTreeMap<String, Value> {
        let mut accounts = BTreeMap::new();
        let mut after = String::new();
        loop {
            let page = self.api.get(&format!("/accounts?limit=100{after}")).await.expect(200);
            let items = page["accounts"].as_array().expect("a page has accounts").clone();
            for account in items {
                let key = account["user_name"].as_str().unwrap_or(account["id"].as_str().unwrap_or_default()).to_owned();
                accounts.insert(key, account);
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return accounts,
            }
        }
    }

    /// The tenant's history, numbered.
    pub async fn events(&self, server: &Server) -> Vec<Value> {
        server.settle().await;
        let mut events: Vec<Value> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event["seq"].as_i64().expect("events are numbered"));
            let page = self.api.get(&format!("/events?after={after}")).await.expect(200);
            let items = page["events"].as_array().expect("a page has events");
            if items.is_empty() {
                return events;
            }
            events.extend(items.iter().cloned());
        }
    }
}

/// The roles in effect of an account as the platform reads it.
#[must_use]
pub fn roles_in_effect(account: &Value) -> BTreeSet<String> {
    let grants = account["grants"].as_array().unwrap_or_else(|| panic!("the account has no grants: {account}"));
    grants.iter().filter(|grant| grant["state"] != "pending" && grant["state"] != "dormant").map(|grant| text(&grant["role"])).collect()
}

/// A connection with its token.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// A client of its SCIM endpoint.
    pub scim: Client,
}

impl Connection {
    /// The same connection, served by another process.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { id: self.id.clone(), scim: self.scim.at(format!("{url}/scim/{}/v2", self.id)) }
    }

    /// Creates a user; gives the SCIM id.
    pub async fn create(&self, user_name: &str) -> String {
        self.create_with(user_name, json!({})).await
    }

    /// Creates a user with more attributes; gives the SCIM id.
    pub async fn create_with(&self, user_name: &str, more: Value) -> String {
        text(&self.scim.post("/Users", user(user_name, more)).await.expect(201)["id"])
    }

    /// Creates many users, whose names begin with a text, by bulk requests of which a few are on their way at once; gives
    /// the SCIM ids.
    pub async fn crowd(&self, prefix: &str, count: usize) -> Vec<String> {
        const IN_REQUEST: usize = 100;
        const AT_ONCE: usize = 8;
        let mut ids = Vec::with_capacity(count);
        for wave in (0..count).step_by(IN_REQUEST * AT_ONCE) {
            let mut requests = Vec::with_capacity(AT_ONCE);
            for first in (wave..count.min(wave + IN_REQUEST * AT_ONCE)).step_by(IN_REQUEST) {
                let creation = |number: usize| {
                    let body = user(&format!("{prefix}{number:05}@acme.example"), json!({"title": format!("t{}", number % 7)}));
                    json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(), "data": body})
                };
                let operations: Vec<Value> = (first..count.min(first + IN_REQUEST)).map(creation).collect();
                let connection = self.clone();
                requests.push(tokio::spawn(async move { connection.bulk(json!(operations)).await }));
            }
            for request in requests {
                let outcomes = request.await.expect("the request ends");
                for outcome in outcomes.as_array().expect("outcomes") {
                    assert_eq!(outcome["status"], "201", "{outcome}");
                    ids.push(text(&outcome["location"]).rsplit('/').next().unwrap_or_default().to_owned());
                }
            }
        }
        ids
    }

    /// A bulk request; gives the outcomes.
    pub async fn bulk(&self, operations: Value) -> Value {
        self.scim.post("/Bulk", bulk(operations, json!({}))).await.expect(200)["Operations"].clone()
    }

    /// Creates a group; gives the SCIM id.
    pub async fn group(&self, name: &str, members: &[&str]) -> String {
        text(&self.scim.post("/Groups", group(name, members)).await.expect(201)["id"])
    }

    /// Adds a member.
    pub async fn add(&self, group: &str, member: &str) {
        let body = patch(json!([{"op": "add", "path": "members", "value": [{"value": member}]}]));
        self.scim.patch(&format!("/Groups/{group}"), body).await.expect_one_of(&[200, 204]);
    }

    /// Removes a member.
    pub async fn remove(&self, group: &str, member: &str) {
        let body = patch(json!([{"op": "remove", "path": format!("members[value eq \"{member}\"]")}]));
        self.scim.patch(&format!("/Groups/{group}"), body).await.expect_one_of(&[200, 204]);
    }

    /// Deactivates a user.
    pub async fn deactivate(&self, id: &str) {
        self.set(id, "active", json!(false)).await;
    }

    /// Replaces one attribute of a user.
    pub async fn set(&self, id: &str, path: &str, value: Value) {
        let body = patch(json!([{"op": "replace", "path": path, "value": value}]));
        self.scim.patch(&format!("/Users/{id}"), body).await.expect(200);
    }
}

/// The body of a user.
#[must_use]
pub fn user(user_name: &str, more: Value) -> Value {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": user_name,
        "externalId": format!("ext-{user_name}"),
        "active": true,
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

/// The body of a group.
#[must_use]
pub fn group(name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name, "members": members})
}

/// The body of a PATCH.
#[must_use]
pub fn patch(operations: Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

/// The body of a bulk request.
#[must_use]
pub fn bulk(operations: Value, more: Value) -> Value {
    let mut body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

/// The body of a query by POST.
#[must_use]
pub fn search(more: Value) -> Value {
    let mut body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

/// A text value.
#[must_use]
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
