//! Whether what a request costs grows with the population: the same requests at a thousand and at a million people, and at a
//! group of a hundred and of a hundred thousand.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt as _;
use rolecall_tests::tenant::{patch, text, user};
use rolecall_tests::{Connection, Database, Kind, Server};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tower::ServiceExt as _;

use crate::report::{ROUNDS, Report};

/// People of the small population and of the large one.
const SMALL: u32 = 1_000;
/// See [`SMALL`].
const LARGE: u32 = 1_000_000;
/// Members of the small group and of the large one.
const SMALL_GROUP: u32 = 100;
/// See [`SMALL_GROUP`].
const LARGE_GROUP: u32 = 100_000;
/// Requests whose median is one round's value.
const REQUESTS: usize = 40;
/// The digits in the one person that is made by a request, and that every other is a copy of with other digits.
const PATTERN: &str = "00000000";

/// The large population: `ROLECALL_BENCH_PEOPLE`, for a quick look.
fn large() -> u32 {
    std::env::var("ROLECALL_BENCH_PEOPLE").ok().and_then(|people| people.parse().ok()).unwrap_or(LARGE)
}

/// A server with so many people.
pub struct Population {
    /// Goes with the last of these.
    _database: Database,
    /// The server.
    pub server: Server,
    connection: Connection,
    router: Router,
    /// How many.
    pub people: u32,
    /// A group of each size, and somebody who is in neither.
    groups: [String; 2],
    outsider: String,
    state: u64,
}

impl Population {
    /// Seeds it.
    pub async fn new(kind: Kind, people: u32) -> Self {
        let database = Database::create(kind).await;
        let server = Server::start(&database).await;
        let tenant = server.tenant("population").create_empty().await;
        tenant.activate(&server, crate::provisioning::nothing()).await;
        let connection = tenant.connection(&server, "Directory").await;
        let person = user(
            &format!("person-{PATTERN}@population.example"),
            json!({
                "externalId": format!("external-{PATTERN}"), "displayName": format!("Person {PATTERN}"), "active": true,
                "name": {"givenName": "Person", "familyName": PATTERN},
                "emails": [{"value": format!("person-{PATTERN}@mail.example"), "type": "work", "primary": true}],
            }),
        );
        let first = text(&connection.scim.post("/Users", person).await.expect(201)["id"]);
        let outsider = connection.create("outsider@population.example").await;
        let groups = [connection.group("small", &[]).await, connection.group("large", &[]).await];
        server.settle().await;
        seed(&database, kind, &first, people, [(&groups[0], SMALL_GROUP.min(people)), (&groups[1], LARGE_GROUP.min(people))]).await;
        let router = rolecall::http::router(Arc::clone(server.app()));
        Self { _database: database, server, connection, router, people, groups, outsider, state: 0x2545_f491_4f6c_dd1d }
    }

    /// The digits of somebody; the sequence is the same in every run (xorshift).
    fn somebody(&mut self) -> String {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        format!("{:08}", 1 + self.state % u64::from(self.people - 1))
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(format!("/scim/{}/v2{path}", self.connection.id))
            .header("host", "rolecall.example")
            .header("content-type", "application/scim+json")
            .header("authorization", format!("Bearer {}", self.connection.scim.token.as_deref().unwrap_or_default()))
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .expect("the request is well formed")
    }

    /// Sends a request, reads its answer in pieces; how many bytes it had.
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> usize {
        let answer = self.router.clone().oneshot(self.request(method, path, body)).await.expect("the router answers");
        let status = answer.status();
        let mut pieces = answer.into_body().into_data_stream();
        if !status.is_success() {
            let said = pieces.next().await.and_then(Result::ok).unwrap_or_default();
            panic!("{method} {path}: {status}: {}", String::from_utf8_lossy(&said));
        }
        let mut bytes = 0;
        while let Some(piece) = pieces.next().await {
            bytes += piece.expect("the body is whole").len();
        }
        bytes
    }

    /// The median of a few requests, in microseconds.
    async fn median(&mut self, query: Query) -> f64 {
        let mut times = Vec::with_capacity(REQUESTS);
        for turn in 0..REQUESTS {
            let digits = self.somebody();
            let (method, path, body) = query.request(self, &digits, turn);
            let started = Instant::now();
            let bytes = self.send(method, &path, body.as_ref()).await;
            times.push(started.elapsed().as_secs_f64() * 1e6);
            assert!(bytes > 0 || method == "PATCH", "{path} found nobody");
        }
        times.sort_by(f64::total_cmp);
        times[REQUESTS / 2]
    }
}

/// What is asked.
#[derive(Clone, Copy)]
enum Query {
    /// `ATTRIBUTE eq "…"`, where the person's value has the digits in this pattern.
    Equal(&'static str, &'static str),
    /// By id.
    Id,
    /// A member is put into a group, or taken out again.
    Member(usize),
    /// A group without its members.
    Without(usize),
}

impl Query {
    fn request(self, population: &Population, digits: &str, turn: usize) -> (&'static str, String, Option<Value>) {
        match self {
            Self::Equal(attribute, pattern) => {
                let value = pattern.replace('#', digits);
                ("GET", format!("/Users?filter={attribute}%20eq%20%22{value}%22"), None)
            }
            Self::Id => ("GET", format!("/Users/seeded-{digits}"), None),
            Self::Member(group) => {
                let outsider = &population.outsider;
                let operation = if turn.is_multiple_of(2) {
                    json!({"op": "add", "path": "members", "value": [{"value": outsider}]})
                } else {
                    json!({"op": "remove", "path": format!("members[value eq \"{outsider}\"]")})
                };
                ("PATCH", format!("/Groups/{}", population.groups[group]), Some(patch(json!([operation]))))
            }
            Self::Without(group) => ("GET", format!("/Groups/{}?excludedAttributes=members", population.groups[group]), None),
        }
    }
}

/// Copies the first person so often that there are `people`, with other digits everywhere, and fills the groups.
async fn seed(database: &Database, kind: Kind, first: &str, people: u32, groups: [(&String, u32); 2]) {
    let digits = match kind {
        Kind::Sqlite => "printf('%08d', i)",
        Kind::Postgres => "lpad(i::text, 8, '0')",
    };
    let numbers = |last: u32| format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last})");
    let with = |column: &str| format!("replace({column}, '{PATTERN}', {digits})");
    let id = format!("'seeded-' || {digits}");
    let last = people - 1;
    let mut statements = vec![
        format!(
            "{} INSERT INTO resources (tenant, connection, id, kind, external_id, user_name, display_name, label, active, created, modified,
                                       version, document)
             SELECT tenant, connection, {id}, kind, {}, {}, {}, {}, active, created, modified, version, {}
             FROM n, resources WHERE tenant = 'population' AND id = '{first}'",
            numbers(last),
            with("external_id"),
            with("user_name"),
            with("display_name"),
            with("label"),
            with("document"),
        ),
        format!(
            "{} INSERT INTO emails (tenant, connection, value, resource) SELECT tenant, connection, {}, {id} FROM n, emails WHERE tenant = 'population' AND resource = '{first}'",
            numbers(last),
            with("value"),
        ),
        format!(
            "{} INSERT INTO accounts (tenant, account, state, user_name, user_name_folded, name_key, profile, provenance, created, modified)
             SELECT a.tenant, 'account-' || {digits}, state, {}, {}, {}, {}, provenance, created, modified
             FROM n, accounts a JOIN links l ON l.tenant = a.tenant AND l.account = a.account WHERE l.tenant = 'population' AND l.resource = '{first}'",
            numbers(last),
            with("user_name"),
            with("user_name_folded"),
            with("name_key"),
            with("profile"),
        ),
        format!(
            "{} INSERT INTO links (tenant, connection, resource, account)
             SELECT tenant, connection, {id}, 'account-' || {digits} FROM n, links WHERE tenant = 'population' AND resource = '{first}'",
            numbers(last),
        ),
        format!(
            "{} INSERT INTO evaluations (tenant, connection, resource, input_version, evaluated_version, evaluated_revision, as_of, attempts)
             SELECT tenant, connection, {id}, input_version, evaluated_version, evaluated_revision, as_of, attempts
             FROM n, evaluations WHERE tenant = 'population' AND resource = '{first}'",
            numbers(last),
        ),
    ];
    for (group, size) in groups {
        statements.push(format!(
            "{} INSERT INTO members (tenant, connection, group_id, member_id, member_kind)
             SELECT tenant, connection, '{group}', {id}, 'user' FROM n, resources WHERE tenant = 'population' AND id = '{first}'",
            numbers(size - 1),
        ));
    }
    if kind == Kind::Postgres {
        // A SQLite file has its statistics from the migrations; with samples of its own every statement would be prepared anew each time.
        statements.push("ANALYZE".to_owned());
    }
    match kind {
        Kind::Sqlite => {
            let mut conn = sqlx::SqliteConnection::connect(&database.url).await.expect("the file opens");
            for statement in statements {
                conn.execute(AssertSqlSafe(statement)).await.expect("people are copied");
            }
        }
        Kind::Postgres => {
            let mut conn = sqlx::PgConnection::connect(&database.url).await.expect("the database answers");
            for statement in statements {
                conn.execute(AssertSqlSafe(statement)).await.expect("people are copied");
            }
        }
    }
}

/// The most memory that this process has had since [`forget_peak`], in MiB.
pub fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0
}

/// Makes the present memory the peak (Linux).
pub fn forget_peak() {
    // Elsewhere the figure says the peak of the whole run, on both sides alike.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Measures on one kind of database.
pub async fn measure(report: &mut Report, kind: Kind) {
    let (mut small, mut large) = (Population::new(kind, SMALL).await, Population::new(kind, large()).await);
    for (name, query) in [
        ("userName eq", Query::Equal("userName", "person-#@population.example")),
        ("externalId eq", Query::Equal("externalId", "external-#")),
        ("emails.value eq", Query::Equal("emails.value", "person-#@mail.example")),
        ("displayName eq", Query::Equal("displayName", "Person%20#")),
        ("GET by id", Query::Id),
    ] {
        let (mut many, mut few) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            many.push(large.median(query).await);
            few.push(small.median(query).await);
        }
        report.add(format!("{name}, {} people, {kind}", large.people), "µs, median", ("many people", many), ("a thousand", few));
    }
    let members = LARGE_GROUP.min(large.people);
    for (name, query) in [("PATCH of one member", Query::Member as fn(usize) -> Query), ("GET without members", Query::Without)] {
        let (mut many, mut few) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            many.push(large.median(query(1)).await);
            few.push(large.median(query(0)).await);
        }
        report.add(format!("{name}, {members} in the group, {kind}"), "µs, median", ("large group", many), ("of 100", few));
    }
    let (mut many, mut few) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        for (group, peaks) in [(0, &mut few), (1, &mut many)] {
            forget_peak();
            let before = peak();
            large.send("GET", &format!("/Groups/{}", large.groups[group]), None).await;
            peaks.push((peak() - before).max(0.1));
        }
    }
    report.add(format!("memory of a full GET, {members} in the group, {kind}"), "MiB more", ("large group", many), ("of 100", few));
    large.server.stop().await;
    small.server.stop().await;
}
