//! A database of its own for each test, with a tenant and a connection in it, and short words for what tests do with it.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use std::sync::Arc;

use rolecall::crypto::{Keyring, SecretKey};
use rolecall::model::{
    AccountId, AccountState, Actor, Cause, ConnectionId, ConnectionState, Grant, GrantState, GroupMembership, Instant, NewEvent, Note,
    Reason, ResourceId, RevisionHash, RoleId, TenantId, Urgency, collision_key,
};
use rolecall::store::{
    self, AccountWrite, Change, Committed, Connection, Effect, NewActivation, NewToken, Person, PersonOutcome, ResourceWrite, Stale, Store,
    StoreError, StoredRevision,
};
use rolecall_scim::ResourceKind;
use rolecall_scim::resource::Document;
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// Names a PostgreSQL in which databases may be made: `scripts/with-postgres` starts one and sets it.
const POSTGRES_URL: &str = "ROLECALL_TEST_POSTGRES_URL";

/// The instant at which every test starts.
pub const START: Instant = Instant(1_790_000_000_000_000);

/// What the database lives in: dropping it removes the database.
type Home = Box<dyn std::any::Any + Send + Sync>;

/// A PostgreSQL database that is dropped when this is.
struct Dropped {
    server: String,
    name: String,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own, because the test's can't be waited for here.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut conn = PgConnection::connect(&server).await.unwrap();
                sqlx::query(sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&mut conn).await.unwrap();
            });
        });
        if dropped.join().is_err() && !std::thread::panicking() {
            panic!("the test's database can't be dropped");
        }
    }
}

/// The server that tests may make databases in.
pub fn postgres_server() -> String {
    std::env::var(POSTGRES_URL).unwrap_or_else(|_| panic!("`{POSTGRES_URL}` is not set: run `scripts/with-postgres cargo test …`"))
}

/// A store with a tenant `acme` and a connection.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where it is.
    pub url: String,
    /// What it was opened with.
    pub keyring: Arc<Keyring>,
    /// The tenant.
    pub tenant: TenantId,
    /// Its connection.
    pub connection: ConnectionId,
    _home: Home,
}

/// The master key of every test: the same again after reopening.
pub fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::new(SecretKey::from_bytes(&[7; 32]).unwrap()))
}

impl Fixture {
    /// On a file in a temporary folder.
    pub async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("rolecall.db").display());
        Self::at(url, Box::new(folder)).await
    }

    /// On a database of its own. Fails where there is no PostgreSQL: a skipped database is an untested one.
    pub async fn on_postgres() -> Self {
        let server = postgres_server();
        let name = format!("rolecall_{}", rolecall::crypto::random_id());
        let mut conn = PgConnection::connect(&server).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut conn).await.unwrap();
        let options = PgConnectOptions::from_str(&server).unwrap();
        let url = format!("postgres://{}@{}:{}/{name}", options.get_username(), options.get_host(), options.get_port());
        Self::at(url, Box::new(Dropped { server, name })).await
    }

    async fn at(url: String, home: Home) -> Self {
        let keyring = keyring();
        let store = store::open(&url, keyring.clone()).await.unwrap();
        let (tenant, connection) = (TenantId::from("acme"), ConnectionId::from("conn-acme"));
        let fixture = Self { store, url, keyring, tenant, connection, _home: home };
        fixture.new_tenant("acme", "conn-acme").await;
        fixture
    }

    /// Makes a tenant with one connection.
    pub async fn new_tenant(&self, tenant: &str, connection: &str) {
        self.store.ensure_tenant(&tenant.into(), tenant, "api", START).await.unwrap();
        self.new_connection(&tenant.into(), connection).await.unwrap();
    }

    /// Makes a connection with a token whose hash is `hash of` its id.
    pub async fn new_connection(&self, tenant: &TenantId, id: &str) -> Result<(), StoreError> {
        let connection = Connection {
            id: id.into(),
            name: format!("directory {id}"),
            state: ConnectionState::Active,
            guarded: true,
            restored: None,
            created: START,
            last_seen: None,
            wrong_credentials: 0,
            client_secrets: Vec::new(),
            issuer: None,
            tokens: Vec::new(),
        };
        self.store.create_connection(tenant, &connection, &token(&format!("first of {id}"), START), &actor()).await
    }

    /// The same tenant seen through another connection.
    pub fn through(&self, connection: &str) -> Through<'_> {
        Through { store: &self.store, tenant: self.tenant.clone(), connection: connection.into() }
    }

    /// The tenant and the connection.
    pub fn here(&self) -> Through<'_> {
        self.through(self.connection.as_str())
    }

    /// Opens the same database once more, as another host would.
    pub async fn another_host(&self) -> Arc<dyn Store> {
        store::open(&self.url, self.keyring.clone()).await.unwrap()
    }

    /// Stores a revision and makes it the active one.
    pub async fn activate(&self, hash: &str) {
        let active = self.store.tenant(&self.tenant).await.unwrap().unwrap().active_revision;
        self.store_revision(hash).await;
        self.store.activate(&self.tenant, &NewActivation::of(hash.into(), active), &actor(), START).await.unwrap();
    }

    /// Stores a revision of one file.
    pub async fn store_revision(&self, hash: &str) {
        let revision = StoredRevision { hash: hash.into(), files: BTreeMap::from([("tenant.toml".to_owned(), hash.into())]) };
        self.store.put_revision(&self.tenant, &revision, &[], START).await.unwrap();
    }

    /// Expands fan-outs until none is left.
    pub async fn expand(&self) {
        while self.store.expand_fan_outs(START).await.unwrap() {}
    }

    /// The kinds of all events so far, in public order.
    pub async fn event_kinds(&self) -> Vec<String> {
        while self.store.number_events().await.unwrap() > 0 {}
        self.store.events(&self.tenant, 0, 10_000).await.unwrap().into_iter().map(|event| event.kind).collect()
    }
}

/// A tenant through one connection.
#[derive(Clone)]
pub struct Through<'f> {
    /// The store.
    pub store: &'f Arc<dyn Store>,
    /// The tenant.
    pub tenant: TenantId,
    /// The connection.
    pub connection: ConnectionId,
}

impl Through<'_> {
    /// A change by this connection that does nothing yet.
    pub fn change(&self) -> Change {
        Change {
            connection: self.connection.clone(),
            at: START,
            actor: actor(),
            request_id: Some("request-1".into()),
            revision: None,
            write: None,
            persons: Vec::new(),
            stale: Stale::Conflict,
            urgency: Urgency::Live,
            fan_out: Vec::new(),
            bind_handle: None,
            events: Vec::new(),
        }
    }

    /// Commits a change.
    pub async fn commit(&self, change: Change) -> Result<Committed, StoreError> {
        self.store.commit(&self.tenant, change).await
    }

    /// The change that creates a user `name` whose account is in use.
    pub fn creation(&self, name: &str) -> Change {
        let id = ResourceId(format!("user-{name}"));
        let outcome = PersonOutcome { effect: Effect { account: Some(account(name)), ..Effect::default() }, ..outcome(&id, 0) };
        let document = user_document(name);
        let events = vec![personal_event("account.created", &account(name).id, name)];
        Change { write: Some(ResourceWrite::CreateUser { id, document, revives: None }), persons: vec![outcome], events, ..self.change() }
    }

    /// Creates a user and returns its id.
    pub async fn create_user(&self, name: &str) -> ResourceId {
        let revision = self.active().await;
        let mut change = Change { revision: revision.clone(), ..self.creation(name) };
        change.persons[0].revision = revision;
        self.commit(change).await.unwrap();
        ResourceId(format!("user-{name}"))
    }

    /// Creates users `0…count` with a prefix.
    pub async fn create_users(&self, prefix: &str, count: usize) -> Vec<ResourceId> {
        let mut ids = Vec::new();
        for chunk in (0..count).collect::<Vec<_>>().chunks(64) {
            // Together, as requests come: SQLite commits them as groups.
            let creations = chunk.iter().map(|number| {
                let (through, name) = (self.owned(), format!("{prefix}{number:05}"));
                tokio::spawn(async move { through.creation_in(&name).await })
            });
            for creation in creations.collect::<Vec<_>>() {
                ids.push(creation.await.unwrap());
            }
        }
        ids
    }

    fn owned(&self) -> OwnedThrough {
        OwnedThrough { store: self.store.clone(), tenant: self.tenant.clone(), connection: self.connection.clone() }
    }

    /// The revision that is active.
    pub async fn active(&self) -> Option<RevisionHash> {
        self.store.tenant(&self.tenant).await.unwrap().unwrap().active_revision
    }

    /// Creates a group and returns its id.
    pub async fn create_group(&self, name: &str, members: &[&ResourceId]) -> ResourceId {
        let id = ResourceId(format!("group-{name}"));
        self.commit(self.group_creation(name, members)).await.unwrap();
        id
    }

    /// The change that creates a group without deciding its people.
    pub fn group_creation(&self, name: &str, members: &[&ResourceId]) -> Change {
        let write = ResourceWrite::CreateGroup {
            id: ResourceId(format!("group-{name}")),
            document: document(json!({"displayName": name, "externalId": format!("ext-{name}")})),
            members: members.iter().map(|&id| id.clone()).collect(),
        };
        Change { write: Some(write), ..self.change() }
    }

    /// The change of a group's members without deciding its people.
    pub fn members_change(&self, group: &ResourceId, add: &[&ResourceId], remove: &[&ResourceId]) -> Change {
        let ids = |ids: &[&ResourceId]| ids.iter().map(|&id| id.clone()).collect();
        let write = ResourceWrite::UpdateGroup { id: group.clone(), expected: None, document: None, add: ids(add), remove: ids(remove) };
        Change { write: Some(write), ..self.change() }
    }

    /// Changes a group's members.
    pub async fn change_members(&self, group: &ResourceId, add: &[&ResourceId], remove: &[&ResourceId]) -> Committed {
        self.commit(self.members_change(group, add, remove)).await.unwrap()
    }

    /// A person as stored.
    pub async fn person(&self, user: &ResourceId) -> Person {
        self.store.people(&self.tenant, &self.connection, std::slice::from_ref(user)).await.unwrap().pop().expect("the person is there")
    }

    /// The version of a resource; `None` when it is not there.
    pub async fn version(&self, kind: ResourceKind, id: &ResourceId) -> Option<i64> {
        self.store.resource(&self.tenant, &self.connection, kind, id).await.unwrap().map(|resource| resource.version)
    }

    /// Who is in a group.
    pub async fn members(&self, group: &ResourceId) -> Vec<String> {
        let mut members = self.store.members(&self.tenant, &self.connection, std::slice::from_ref(group), 10_000).await.unwrap();
        members.remove(group).unwrap_or_default().into_iter().map(|member| member.id.0).collect()
    }

    /// Commits a verdict that nothing changes, so that the person is no longer pending.
    pub async fn settle(&self, user: &ResourceId) {
        let person = self.person(user).await;
        let revision = self.active().await;
        let outcome = PersonOutcome { revision: revision.clone(), ..outcome(user, person.evaluation.input_version) };
        self.commit(Change { persons: vec![outcome], revision, ..self.change() }).await.unwrap();
    }

    /// Deletes a user as the write path does: under its lock.
    pub async fn delete_user(&self, user: &ResourceId) -> Committed {
        let through = self.owned();
        let decide = move |person: &Person| Ok(through.as_through().deletion(person));
        self.store.commit_locked(&self.tenant, &self.connection, user, Box::new(decide)).await.unwrap().unwrap()
    }

    /// The change that deletes a person.
    pub fn deletion(&self, person: &Person) -> Change {
        let id = person.resource.id.clone();
        let account = AccountWrite {
            state: AccountState::Removed,
            name_key: None,
            ..account(person.account.user_name.as_deref().unwrap_or_default())
        };
        let account = AccountWrite { id: person.account.id.clone(), ..account };
        let event = NewEvent { leaver: true, ..personal_event("account.removed", &account.id, "gone") };
        let outcome = PersonOutcome {
            effect: Effect {
                account: Some(account),
                drop_grants: person.grants.iter().map(|grant| grant.role.clone()).collect(),
                ..Effect::default()
            },
            ..outcome(&id, person.evaluation.input_version)
        };
        Change { write: Some(ResourceWrite::DeleteUser { id }), persons: vec![outcome], events: vec![event], ..self.change() }
    }
}

/// The same without a borrow, for tasks.
#[derive(Clone)]
pub struct OwnedThrough {
    store: Arc<dyn Store>,
    tenant: TenantId,
    connection: ConnectionId,
}

impl OwnedThrough {
    fn as_through(&self) -> Through<'_> {
        Through { store: &self.store, tenant: self.tenant.clone(), connection: self.connection.clone() }
    }

    async fn creation_in(&self, name: &str) -> ResourceId {
        self.as_through().create_user(name).await
    }
}

/// Who changes things in tests.
pub fn actor() -> Actor {
    Actor { kind: "api_token".into(), id: "test".into() }
}

/// A token by its id.
pub fn token(id: &str, created: Instant) -> NewToken {
    NewToken { id: id.into(), hash: format!("hash of {id}"), created, expires: None }
}

/// A document as stored.
pub fn document(value: Value) -> Document {
    Document::from_stored(&value.to_string()).unwrap()
}

/// The document of a user.
pub fn user_document(name: &str) -> Document {
    document(json!({
        "userName": format!("{name}@example.com"), "externalId": format!("ext-{name}"), "displayName": name, "active": true,
        "emails": [{"value": format!("{name}@example.com"), "type": "work"}],
    }))
}

/// An account in use under a name.
pub fn account(name: &str) -> AccountWrite {
    AccountWrite {
        id: AccountId(format!("account-{name}")),
        state: AccountState::Active,
        user_name: Some(name.into()),
        name_key: Some(collision_key(name)),
        wanted_key: None,
        profile: json!({"user_name": name}),
        provenance: json!({"user_name": "userName"}),
        note: None,
    }
}

/// The account of `owner`, held because another has the name.
pub fn held(owner: &str, wanted: &str) -> AccountWrite {
    AccountWrite {
        state: AccountState::Held,
        user_name: Some(wanted.into()),
        name_key: None,
        wanted_key: Some(collision_key(wanted)),
        note: Some(Note { code: Note::COLLISION.into(), path: None, message: "taken".into() }),
        ..account(owner)
    }
}

/// A verdict that changes nothing.
pub fn outcome(user: &ResourceId, read_input_version: i64) -> PersonOutcome {
    PersonOutcome {
        user: user.clone(),
        read_input_version,
        groups: Vec::new(),
        effect: Effect::default(),
        guarded: None,
        as_of: START,
        revision: None,
        attempts: 0,
        still_pending: None,
    }
}

/// A grant in effect.
pub fn grant(role: &str) -> Grant {
    Grant {
        role: RoleId::from(role),
        state: GrantState::Effective,
        reasons: vec![Reason {
            policy: "p1".into(),
            reason: Some("because".into()),
            groups: vec![vec!["eng".into()]],
            proposed: true,
            nomination: None,
            approval: Some("a lead agrees".into()),
        }],
        since: START,
        deadline: None,
        waits_for: None,
        revision: "r1".into(),
    }
}

/// An event with personal values.
pub fn personal_event(kind: &'static str, account: &AccountId, name: &str) -> NewEvent {
    NewEvent { kind, account: Some(account.clone()), data: json!({"n": 1}), personal: Some(json!({"name": name})), leaver: false }
}

/// Memberships by handle and chain.
pub fn chains(memberships: &[GroupMembership]) -> Vec<String> {
    memberships.iter().map(|found| format!("{}: {}", found.handle, found.chain.join(" → "))).collect()
}

/// The causes of everybody who is claimed now, by user.
pub async fn claim_all(store: &Arc<dyn Store>, now: Instant) -> BTreeMap<String, Cause> {
    let due = store.claim_due(now, now.plus_seconds(60), 10_000, &BTreeSet::new()).await.unwrap();
    due.into_iter().map(|person| (person.user.0, person.cause)).collect()
}
