//! Whole requests through the router, with a tenant's plugins and policies on and off.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use rolecall::revision::{self, Files};
use rolecall::tenancy;
use rolecall_tests::tenant::{patch, text, user};
use rolecall_tests::{Connection, Database, Kind, Server};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::load;
use crate::report::{ROUNDS, Report};

/// How many requests are under way at once, as from a few busy identity providers.
pub const CONCURRENT: usize = 32;
/// How many requests a round has.
pub const REQUESTS: usize = 640;
/// How often everybody is asked about: each round takes seconds.
const SIMULATIONS: usize = 3;
/// Groups whose members change.
const GROUPS: usize = 16;

/// A tenant with its connection and the people that are there already.
pub struct Side {
    /// Where it writes.
    pub connection: Connection,
    router: Router,
    next: AtomicUsize,
    people: Vec<String>,
    groups: Vec<String>,
}

/// The example tenant Acme as it is: two plugins, eleven policies, twelve and more roles, lookup tables.
pub fn everything() -> Files {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tenants/acme");
    revision::read_folder(&folder).unwrap_or_else(|problems| panic!("build the plugins first: {problems:?}"))
}

/// A tenant without plugins and policies.
pub fn nothing() -> Files {
    Files::from([("tenant.toml".to_owned(), b"name = \"Off\"\n".to_vec())])
}

/// Acme's roles and policies without its plugins: [`person`]s get the same roles there, by what the plain mapping takes from them.
fn without_plugins() -> Files {
    let mut files = everything();
    files.retain(|name, _| !name.starts_with("plugins/") && !name.starts_with("tests/"));
    let settings = files.get_mut("tenant.toml").expect("a folder has settings");
    let mut document: toml::Table = std::str::from_utf8(settings).ok().and_then(|text| text.parse().ok()).expect("settings are TOML");
    document.remove("plugins").expect("Acme has plugins");
    *settings = document.to_string().into_bytes();
    files
}

/// The roles of one of a tenant's people.
async fn roles(server: &Server, tenant: &str) -> Vec<String> {
    let accounts = server.existing(tenant).api.get("/accounts?state=active&limit=1").await.expect(200);
    let grants = accounts["accounts"][0]["grants"].as_array().cloned().unwrap_or_default();
    grants.iter().map(|grant| text(&grant["role"])).collect()
}

/// Names of groups as Acme's convention has them, so that the nominating plugin has something to say.
fn group_name(number: usize) -> String {
    let team = ["payments", "data"][number % 2];
    let environment = ["dev", "test", "stage", "prod"][number / 2 % 4];
    let level = ["ro", "rw"][number / 8 % 2];
    format!("grp-{team}-{environment}-{level}")
}

/// A person as Acme's directory sends one.
pub fn person(name: &str, number: usize) -> Value {
    user(
        name,
        json!({
            "displayName": "Mara Winter", "name": {"givenName": "Mara", "familyName": "Winter"}, "title": "Pilot", "userType": "employee",
            "emails": [{"value": name, "type": "work", "primary": true}],
            "urn:acme:params:scim:schemas:extension:hr:1.0:User": {"dept": "Sales", "costCentre": "CC-210"},
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                "employeeNumber": format!("H-{number}"), "department": "Sales",
            },
        }),
    )
}

impl Side {
    /// Made with the people and groups that it begins with.
    pub async fn new(server: &Server, id: &str, files: Files) -> Arc<Self> {
        let tenant = server.tenant(id).create_empty().await;
        tenant.activate(server, files).await;
        let connection = tenant.connection(server, "Entra ID").await;
        let router = rolecall::http::router(Arc::clone(server.app()));
        let mut groups = Vec::new();
        for number in 0..GROUPS {
            groups.push(connection.group(&group_name(number), &[]).await);
        }
        let mut side = Self { connection, router, next: AtomicUsize::new(0), people: Vec::new(), groups };
        for number in 0..REQUESTS {
            let body = person(&format!("member-{number}@acme.example"), number);
            side.people.push(text(&side.connection.scim.post("/Users", body).await.expect(201)["id"]));
        }
        Arc::new(side)
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Vec<u8>) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/scim/{}/v2{path}", self.connection.id))
            .header("host", "rolecall.example")
            .header("content-type", "application/scim+json")
            .header("authorization", format!("Bearer {}", self.connection.scim.token.as_deref().unwrap_or_default()))
            .body(Body::from(body.to_string()))
            .expect("the request is well formed");
        let answer = self.router.clone().oneshot(request).await.expect("the router answers");
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("the body is whole");
        (status, body.to_vec())
    }

    async fn create(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("person-{number}@acme.example");
        let (status, body) = self.send("POST", "/Users", &person(&name, number)).await;
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    }

    /// Adds a member in even rounds and removes the same in odd ones.
    async fn change_member(&self, number: usize, round: usize) {
        let (person, group) = (&self.people[number], &self.groups[number % GROUPS]);
        let operation = if round.is_multiple_of(2) {
            json!({"op": "add", "path": "members", "value": [{"value": person}]})
        } else {
            json!({"op": "remove", "path": format!("members[value eq \"{person}\"]")})
        };
        let (status, body) = self.send("PATCH", &format!("/Groups/{group}"), &patch(json!([operation]))).await;
        assert!([200, 204].contains(&status), "{}", String::from_utf8_lossy(&body));
    }
}

/// Requests a second, [`CONCURRENT`] at a time.
pub async fn rate(side: &Arc<Side>, what: What, round: usize) -> f64 {
    let side = Arc::clone(side);
    let request = move |number| {
        let side = Arc::clone(&side);
        async move {
            match what {
                What::Create => side.create().await,
                What::Member => side.change_member(number, round).await,
            }
        }
    };
    load::make(CONCURRENT, REQUESTS, request).await.1
}

/// Rates of two sides in alternating rounds. Which begins alternates too: whoever comes first after a rest finds the machine otherwise than whoever
/// comes second.
async fn alternating(server: &Server, one: &Arc<Side>, other: &Arc<Side>, what: What, rounds: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut sides = [(one, &mut of_one), (other, &mut of_other)];
        if round % 2 == 1 {
            sides.reverse();
        }
        for (side, rates) in sides {
            rates.push(rate(side, what, round).await);
            // Pending work of one round is not the next one's.
            server.settle().await;
        }
    }
    (of_one, of_other)
}

/// What is asked for.
#[derive(Clone, Copy)]
pub enum What {
    /// Somebody new.
    Create,
    /// A member more or less.
    Member,
}

/// Creates and member changes, on and off.
pub async fn measure(report: &mut Report) {
    let database = Database::create(Kind::Sqlite).await;
    let server = Server::start(&database).await;
    let (on, off) = (Side::new(&server, "on", everything()).await, Side::new(&server, "off", nothing()).await);
    let same = Side::new(&server, "same", without_plugins()).await;
    let (held, alike) = (roles(&server, "on").await, roles(&server, "same").await);
    assert!(!held.is_empty() && held == alike, "with plugins {held:?}, without {alike:?}");
    for (name, what) in [("SCIM create", What::Create), ("member PATCH", What::Member)] {
        let (with, without) = alternating(&server, &on, &off, what, ROUNDS).await;
        report.add(name, "requests a second", ("plugin and Cedar", with), ("off", without));
    }
    // What plugins cost by themselves: the same roles by the same policies.
    let (with, without) = alternating(&server, &on, &same, What::Create, 2 * ROUNDS).await;
    report.add("SCIM create, the same roles", "requests a second", ("plugins", with), ("none", without));
    guarded(report, &server, &on).await;
    tried_out(report, &server, &on).await;
    server.stop().await;
}

/// The same tenant with a guard that counts everybody and holds nobody, against one whose connection is not guarded.
async fn guarded(report: &mut Report, server: &Server, on: &Arc<Side>) {
    let mut files = everything();
    let settings = "\n[guard]\npercent = 100\npeople = 10000\nat_least = 10000\nprivileged_percent = 100\nprivileged_people = \
                    10000\nprivileged_at_least = 10000\n";
    files.get_mut("tenant.toml").expect("a folder has settings").extend_from_slice(settings.as_bytes());
    let guarded = Side::new(server, "guarded", files).await;
    server.existing("guarded").guard(&guarded.connection).await;
    for (name, what) in [("SCIM create", What::Create), ("member PATCH", What::Member)] {
        let (with, without) = alternating(server, &guarded, on, what, ROUNDS).await;
        report.add(format!("{name}, guard"), "requests a second", ("on", with), ("off", without));
    }
}

/// A candidate that is tried out: what a shadow costs those whom it goes along with, and a simulation beside deciding everybody anew.
async fn tried_out(report: &mut Report, server: &Server, on: &Arc<Side>) {
    let tenant = server.existing("on");
    let candidate = |number: usize| {
        let mut files = everything();
        files.get_mut("tenant.toml").expect("a folder has settings").extend_from_slice(format!("\n# {number}\n").as_bytes());
        files
    };
    let hash = tenancy::store_revision(server.app(), &tenant.id, candidate(0)).await.expect("the candidate is in order").hash;
    let (mut alone, mut along) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        alone.push(rate(on, What::Create, round).await);
        let shadow = tenant.api.post("/trials", json!({"kind": "shadow", "revision": hash})).await.expect(201);
        along.push(rate(on, What::Create, round).await);
        tenant.api.post(&format!("/trials/{}/stop", text(&shadow["id"])), json!({})).await.expect(200);
        server.settle().await;
    }
    report.add("SCIM create beside a shadow", "requests a second", ("shadow", along), ("none", alone));
    let (mut simulated, mut decided) = (Vec::new(), Vec::new());
    for round in 0..SIMULATIONS {
        let begun = tenant.api.post("/trials", json!({"kind": "simulation", "revision": hash})).await.expect(201);
        let started = Instant::now();
        server.settle().await;
        let took = started.elapsed().as_secs_f64();
        let done = tenant.api.get(&format!("/trials/{}", text(&begun["id"]))).await.expect(200);
        let people = done["summary"]["people"].as_f64().expect("people are counted");
        assert!(done["state"] == "finished" && people > REQUESTS as f64, "{done}");
        simulated.push(people / took);
        tenant.activate(server, candidate(round + 1)).await;
        let started = Instant::now();
        server.settle().await;
        decided.push(people / started.elapsed().as_secs_f64());
    }
    report.add("everybody under another revision", "people a second", ("simulated", simulated), ("decided", decided));
}
