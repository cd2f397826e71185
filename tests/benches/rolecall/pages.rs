//! How long the server takes for each page of the workspace, and how heavy it is, where there are a million people in a thousand tenants:
//! three hundred thousand in the one that is looked at, with whatever there is to be looked at.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use flate2::Compression;
use flate2::write::GzEncoder;
use rolecall::model::{Actor, ConnectionState, Evidence, GrantState, Instant as Moment, ReviewerSource, TenantId};
use rolecall::{history, tenancy};
use rolecall_tests::browser::Browser;
use rolecall_tests::tenant::text;
use rolecall_tests::{Database, Kind, Server};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tower::ServiceExt as _;

use crate::provisioning::{everything, person};
use crate::report::{Report, at};

/// People: `ROLECALL_BENCH_PEOPLE`, for a quick look.
const PEOPLE: u32 = 1_000_000;
/// The tenant that is looked at has so many of ten of them.
const OF_TEN: u32 = 3;
/// Tenants beside it.
const TENANTS: u32 = 999;
/// How often each page is asked for.
const REQUESTS: usize = 40;
/// The digits of the one person whom everybody else is a copy of, with other digits.
const PATTERN: &str = "00000000";
/// Connections of the tenant that is looked at, beside that which everybody comes from.
const CONNECTIONS: usize = 20;

/// What the copies differ from.
struct Template {
    connection: String,
    user: String,
    account: String,
}

/// Measures on one kind of database.
pub async fn measure(report: &mut Report, kind: Kind) {
    let people = std::env::var("ROLECALL_BENCH_PEOPLE").ok().and_then(|people| people.parse().ok()).unwrap_or(PEOPLE);
    let database = Database::create(kind).await;
    let server = Server::start(&database).await;
    let template = begin(&server).await;
    let started = Instant::now();
    fill(&database, kind, &template, people).await;
    eprintln!("{people} people are there after {:.0} s", started.elapsed().as_secs_f64());
    // A host seals what happens as it happens: no page finds the history of years unsealed.
    let (app, started) = (server.app(), Instant::now());
    while history::seal_all(&*app.store, &app.keyring, app.clock.now()).await.expect("it is sealed") {}
    eprintln!("sealed after {:.0} s more", started.elapsed().as_secs_f64());
    let browser = Browser::sign_in(&server, json!({})).await;
    let cookie = browser.secrets().0.to_owned();
    let router = rolecall::http::router(Arc::clone(server.app()));
    let (mut slowest, mut heaviest) = (Vec::new(), Vec::new());
    for page in pages(&template) {
        let mut times = Vec::with_capacity(REQUESTS);
        let mut weight = 0;
        for _ in 0..REQUESTS {
            let started = Instant::now();
            let Some(body) = get(&router, &cookie, &page).await else { break };
            times.push(started.elapsed().as_secs_f64() * 1e3);
            weight = weighed(&body);
        }
        if times.is_empty() {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "some thousands of bytes")]
        let kilobytes = weight as f64 / 1_000.0;
        slowest.push(at(&times, 0.95));
        heaviest.push(kilobytes);
        let name = format!("{page}, {kilobytes:.1} KB, {kind}");
        report.add(name, "ms", ("p95", vec![at(&times, 0.95)]), ("p50", vec![at(&times, 0.5)]));
    }
    let (slowest, heaviest) = (at(&slowest, 1.0), at(&heaviest, 1.0));
    report.add(format!("slowest p95 of a page, {people} people, {kind}"), "ms", ("slowest", vec![slowest]), ("aim", vec![100.0]));
    report.add(format!("heaviest page, {kind}"), "KB in gzip", ("heaviest", vec![heaviest]), ("aim", vec![150.0]));
    server.stop().await;
}

/// The pages that are looked at.
fn pages(template: &Template) -> Vec<String> {
    let (connection, account) = (&template.connection, &template.account);
    let of_tenant = [
        "".to_owned(),
        "/people".to_owned(),
        "/people?q=person-00001234".to_owned(),
        "/people?q=Winter".to_owned(),
        "/people?state=held".to_owned(),
        format!("/people/{account}"),
        format!("/people/{account}/standing"),
        format!("/people/{account}/history"),
        "/people/account-00001234".to_owned(),
        "/roles".to_owned(),
        "/roles/crm-user".to_owned(),
        "/groups".to_owned(),
        "/groups/unused".to_owned(),
        "/connections".to_owned(),
        format!("/connections/{connection}"),
        format!("/connections/{connection}/log"),
        format!("/connections/{connection}/log?outcome=refused"),
        format!("/connections/{connection}/credentials"),
        format!("/connections/{connection}/dialects"),
        "/mapping".to_owned(),
        "/mapping/plugins".to_owned(),
        "/decisions".to_owned(),
        "/decisions/holds/hold-0007".to_owned(),
        "/decisions/approvals".to_owned(),
        "/decisions/exceptions".to_owned(),
        "/decisions/reviews".to_owned(),
        "/decisions/reviews/review-0001".to_owned(),
        "/history".to_owned(),
        "/history?kind=grant".to_owned(),
        format!("/history?person={account}"),
        "/history?by=nobody".to_owned(),
        "/history/held?role=crm-user".to_owned(),
        "/history/verify".to_owned(),
        "/settings".to_owned(),
    ];
    let big = of_tenant.into_iter().map(|page| format!("/workspace/t/big{page}"));
    let others = ["/workspace", "/workspace/t/tenant-7", "/workspace/t/tenant-7/people"].map(str::to_owned);
    others.into_iter().chain(big).collect()
}

/// A page; `None`, and it is told, where there is none: what is measured then is the others.
async fn get(router: &Router, cookie: &str, page: &str) -> Option<Vec<u8>> {
    let request = Request::builder().uri(page).header("host", "rolecall.example").header("cookie", cookie);
    let request = request.body(Body::empty()).expect("the request is well formed");
    let answer = router.clone().oneshot(request).await.expect("the router answers");
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("the page is whole").to_vec();
    if !status.is_success() {
        let said = String::from_utf8_lossy(&body);
        eprintln!("{page}: {status}: {}", said.split("<main").last().unwrap_or_default());
        return None;
    }
    Some(body)
}

/// How many bytes a page has as browsers ask for it.
fn weighed(page: &[u8]) -> usize {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(page).expect("memory takes it");
    gzip.finish().expect("memory takes it").len()
}

/// The tenant that is looked at, as the example tenant is, with one person and one connection that everybody will come from; and the others.
async fn begin(server: &Server) -> Template {
    let big = server.tenant("big").create_empty().await;
    big.activate(server, everything()).await;
    let connection = big.connection(server, "Directory").await;
    let name = format!("person-{PATTERN}@acme.example");
    let user = text(&connection.scim.post("/Users", person(&name, 0)).await.expect(201)["id"]);
    server.settle().await;
    let accounts = big.api.get("/accounts?limit=1").await.expect(200);
    let account = text(&accounts["accounts"][0]["id"]);
    let (app, actor) = (server.app(), Actor { kind: "worker".into(), id: "bench".into() });
    let make = async |tenant: &TenantId, name: &str| {
        tenancy::create_connection(app, tenant, name, (ConnectionState::Active, false), &actor).await.expect("the connection is made");
    };
    for number in 0..CONNECTIONS {
        make(&big.id, &format!("Directory {number}")).await;
    }
    for number in 0..TENANTS {
        let tenant = TenantId(format!("tenant-{number}"));
        app.store.ensure_tenant(&tenant, &format!("Tenant {number}"), "api", app.clock.now()).await.expect("the tenant is made");
        make(&tenant, "Directory").await;
    }
    server.settle().await;
    Template { connection: connection.id, user, account }
}

/// Copies what the one person left, and adds what a tenant of that size has: groups, holds, approvals, reviews, a log.
async fn fill(database: &Database, kind: Kind, template: &Template, people: u32) {
    let statements = statements(kind, template, people);
    match kind {
        Kind::Sqlite => {
            let mut conn = sqlx::SqliteConnection::connect(&database.url).await.expect("the file opens");
            conn.execute("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -200000")
                .await
                .expect("it is in a hurry");
            for statement in statements {
                run(&mut conn, statement).await;
            }
        }
        Kind::Postgres => {
            let mut conn = sqlx::PgConnection::connect(&database.url).await.expect("the database answers");
            conn.execute("SET synchronous_commit = off; SET session_replication_role = replica").await.expect("it is in a hurry");
            for statement in statements {
                run(&mut conn, statement).await;
            }
        }
    }
}

async fn run<'c, C: sqlx::Executor<'c>>(conn: C, statement: String) {
    let shown: String = statement.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
    conn.execute(AssertSqlSafe(statement)).await.unwrap_or_else(|error| panic!("{shown}: {error}"));
}

#[expect(clippy::too_many_lines, reason = "a list of statements")]
fn statements(kind: Kind, template: &Template, people: u32) -> Vec<String> {
    let Template { connection, user, account } = template;
    let eight = |number: &str| match kind {
        Kind::Sqlite => format!("printf('%08d', {number})"),
        Kind::Postgres => format!("lpad(({number})::text, 8, '0')"),
    };
    let four = |number: &str| match kind {
        Kind::Sqlite => format!("printf('%04d', {number})"),
        Kind::Postgres => format!("lpad(({number})::text, 4, '0')"),
    };
    let numbers = |last: u32| format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last})");
    let (in_big, in_others) = (people / 10 * OF_TEN, (people - people / 10 * OF_TEN) / TENANTS);
    let digits = eight("n.i");
    let with = |column: &str| format!("replace({column}, '{PATTERN}', {digits})");
    let id = format!("'seeded-' || {digits}");
    let mut statements = Vec::new();
    // Everybody: the connection that people come from is the first one of each tenant.
    for (last, whose) in [(in_big - 1, format!("c.connection = '{connection}'")), (in_others, "c.tenant <> 'big'".to_owned())] {
        let of = |table: &str| format!("FROM n CROSS JOIN connections c CROSS JOIN {table}");
        let these = |key: &str, value: &str| format!("WHERE {whose} AND t.tenant = 'big' AND t.{key} = '{value}'");
        statements.push(format!(
            "{} INSERT INTO resources (tenant, connection, id, kind, external_id, user_name, display_name, label, active, created, modified,
                                       version, document)
             SELECT c.tenant, c.connection, {id}, kind, {}, {}, {}, {}, active, t.created, modified, version, {} {} {}",
            numbers(last),
            with("external_id"),
            with("user_name"),
            with("display_name"),
            with("label"),
            with("document"),
            of("resources t"),
            these("id", user),
        ));
        statements.push(format!(
            "{} INSERT INTO emails (tenant, connection, value, resource) SELECT c.tenant, c.connection, {}, {id} {} {}",
            numbers(last),
            with("value"),
            of("emails t"),
            these("resource", user),
        ));
        statements.push(format!(
            "{} INSERT INTO accounts (tenant, account, state, user_name, user_name_folded, name_key, profile, provenance, created, modified, used)
             SELECT c.tenant, 'account-' || {digits}, CASE WHEN n.i % 1000 = 7 THEN 'held' ELSE t.state END, {}, {}, {}, {}, provenance,
                    t.created, modified, used {} {}",
            numbers(last),
            with("user_name"),
            with("user_name_folded"),
            with("name_key"),
            with("profile"),
            of("accounts t"),
            these("account", account),
        ));
        statements.push(format!(
            "{} INSERT INTO links (tenant, connection, resource, account)
             SELECT c.tenant, c.connection, {id}, 'account-' || {digits} {} {}",
            numbers(last),
            of("links t"),
            these("resource", user),
        ));
        statements.push(format!(
            "{} INSERT INTO evaluations (tenant, connection, resource, input_version, evaluated_version, evaluated_revision, as_of, attempts,
                                         moved_at)
             SELECT c.tenant, c.connection, {id}, input_version, evaluated_version, evaluated_revision, as_of, attempts, moved_at {} {}",
            numbers(last),
            of("evaluations t"),
            these("resource", user),
        ));
        statements.push(format!(
            "{} INSERT INTO grants (tenant, account, role, state, reasons, since, revision)
             SELECT c.tenant, 'account-' || {digits}, role, t.state, reasons, since, revision {} {}",
            numbers(last),
            of("grants t"),
            these("account", account),
        ));
        // What happened to each: as much as one event of the first.
        statements.push(format!(
            "{} INSERT INTO events (tenant, id, seq, at, kind, actor_kind, actor_id, request_id, account, data)
             SELECT c.tenant, 'event-' || {digits}, h.last_seq + n.i, at + n.i, t.kind, actor_kind, actor_id, request_id, 'account-' || {digits},
                    data
             FROM n CROSS JOIN connections c JOIN event_heads h ON h.tenant = c.tenant CROSS JOIN events t
             WHERE {whose} AND t.position = (SELECT min(position) FROM events WHERE tenant = 'big' AND account = '{account}')",
            numbers(last),
        ));
    }
    statements
        .push(format!("UPDATE event_heads SET last_seq = last_seq + CASE WHEN tenant = 'big' THEN {} ELSE {in_others} END", in_big - 1));
    // Groups: 500, everybody in one of them, a hundred thousand in the last.
    statements.push(format!(
        "{} INSERT INTO resources (tenant, connection, id, kind, external_id, display_name, label, created, modified, version, document)
         SELECT 'big', '{connection}', 'group-' || {}, 'group', 'group-' || i, 'team ' || i, 'Team ' || i, 0, 0, 1,
                '{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:Group\"],\"displayName\":\"Team ' || i || '\"}}' FROM n",
        numbers(500),
        four("n.i"),
    ));
    statements.push(format!(
        "{} INSERT INTO handles (tenant, handle, connection, group_id, external_id, confirmed, bound)
         SELECT 'big', 'team-' || i, '{connection}', 'group-' || {}, NULL, {}, 0 FROM n",
        numbers(500),
        four("n.i"),
        if kind == Kind::Sqlite { "1" } else { "TRUE" },
    ));
    for (group, last) in [(four("n.i % 499 + 1"), in_big - 1), ("'0500'".to_owned(), (in_big - 1).min(100_000))] {
        statements.push(format!(
            "{} INSERT INTO members (tenant, connection, group_id, member_id, member_kind)
             SELECT 'big', '{connection}', 'group-' || {group}, {id}, 'user' FROM n",
            numbers(last),
        ));
    }
    statements.extend(governed(&numbers, &digits, &four, in_big));
    statements.extend(observed(kind, &numbers, connection, &id));
    if kind == Kind::Postgres {
        // A SQLite file has its statistics from the migrations.
        statements.push("ANALYZE".to_owned());
    }
    statements
}

/// What people decide about: open holds with those who wait in them, approvals, exceptions, reviews; and what was.
fn governed(numbers: &impl Fn(u32) -> String, digits: &str, four: &impl Fn(&str) -> String, people: u32) -> Vec<String> {
    let all = numbers(people - 1);
    let (some, many) = (numbers(20_000.min(people - 1)), numbers(50_000.min(people - 1)));
    let ruling = "INSERT INTO rulings (tenant, ruling, account, role, kind, state, hold, created, created_kind, created_id, reason, owner)";
    let plan = r#"'{"scope":{"roles":["crm-user"]},"reviewers":"named","named":["ada@acme.example"],"fallback":"ada@acme.example","on_silence":"keep",
                    "exception_days":30,"exception_owner":"ada@acme.example"}'"#;
    let evidence = json!(Evidence {
        reasons: Vec::new(),
        since: Moment(0),
        state: GrantState::Effective,
        revision: "r".into(),
        last_change: Moment(0),
        privileged: false,
        peers: 1_000,
        connection: None,
        reviewer_by: ReviewerSource::Named,
    });
    vec![
        format!(
            "{} INSERT INTO holds (tenant, hold, guard, state, limit_people, opened)
             SELECT 'big', 'hold-' || {}, 'losses/role/role-' || i, CASE WHEN i <= 50 THEN 'open' ELSE 'closed' END, 500, i FROM n",
            numbers(1_000),
            four("n.i"),
        ),
        format!(
            "{some} {ruling} SELECT 'big', 'held-' || i, 'account-' || {digits}, 'crm-user', 'loss', 'open', 'hold-' || {}, i, 'worker', 'x', NULL,
             NULL FROM n",
            four("n.i % 50 + 1"),
        ),
        format!(
            "{some} {ruling} SELECT 'big', 'asked-' || i, 'account-' || {digits}, 'invoice-approver', 'approval', CASE WHEN i % 10 = 0 THEN 'open' ELSE 'ended'
             END, NULL, i, 'worker', 'x', NULL, NULL FROM n",
        ),
        format!(
            "{some} {ruling} SELECT 'big', 'granted-' || i, 'account-' || {digits}, 'wiki', 'grant', 'yes', NULL, i, 'person', 'x', 'x', 'x' FROM n",
        ),
        format!(
            "{} INSERT INTO reviews (tenant, review, name, state, plan, opens, closes, opened, closed, created, created_kind, created_id, counts,
                                     reminded, cursor_part, cursor_after)
             SELECT 'big', 'review-' || {}, 'Quarter ' || i, CASE WHEN i < 3 THEN 'open' ELSE 'closed' END, {plan}, 0, 4000000000000000, 0,
                    CASE WHEN i < 3 THEN NULL ELSE 1 END, i, 'person', 'x', '{{}}', 0, 0, '' FROM n",
            numbers(100),
            four("n.i"),
        ),
        format!(
            "{many} INSERT INTO review_lines (tenant, review, line, account, role, reviewer, reviewer_key, decision, evidence)
             SELECT 'big', 'review-0001', i, 'account-' || {digits}, 'crm-user', 'ada@acme.example', 'ada@acme.example',
                    CASE WHEN i % 3 = 0 THEN 'keep' ELSE 'undecided' END, '{evidence}' FROM n",
        ),
        format!(
            "{all} INSERT INTO standings (tenant, seq, account, role, state, reasons, since_at, held_since, held_seq)
             SELECT 'big', h.last_seq - i, 'account-' || {digits}, 'crm-user', 'effective', '[]', i, i, h.last_seq - i
             FROM n CROSS JOIN event_heads h WHERE h.tenant = 'big'",
        ),
    ]
}

/// What is seen of connections: logs as long as they get, and weeks of counts.
fn observed(kind: Kind, numbers: &impl Fn(u32) -> String, connection: &str, id: &str) -> Vec<String> {
    let now = match kind {
        Kind::Sqlite => "CAST(strftime('%s') AS INTEGER) * 1000000",
        Kind::Postgres => "CAST(extract(epoch FROM now()) AS BIGINT) * 1000000",
    };
    let slot = format!("({now}) / 300000000 * 300000000 - CAST(n.i AS BIGINT) * 300000000");
    vec![
        format!(
            "{} INSERT INTO provisioning_log (tenant, connection, at, request_id, method, kind, resource, status, applied, no_op, refused, code,
                                              detail)
             SELECT 'big', '{connection}', {now} - CAST(10000 - i AS BIGINT) * 1000000, 'request-' || i, 'PATCH', 'user', {id},
                    CASE WHEN i % 50 = 0 THEN 400 ELSE 200 END, CASE WHEN i % 50 = 0 THEN 0 ELSE 1 END, 0, CASE WHEN i % 50 = 0 THEN 1 ELSE 0 END,
                    CASE WHEN i % 50 = 0 THEN 'invalid_value' ELSE 'applied' END, '{{\"took_us\":1200}}' FROM n",
            numbers(10_000),
        ),
        format!(
            "{} INSERT INTO connection_traffic (tenant, connection, slot, requests, lists, writes, applied, no_op, refused, failed, limited, wrong,
                                                skewed)
             SELECT 'big', connection, {slot}, 12, 2, 10, 9, 1, 0, 0, 0, 0, 0 FROM n CROSS JOIN connections WHERE tenant = 'big'
             ON CONFLICT DO NOTHING",
            numbers(10_080),
        ),
        // All of it but the last hour has been taken in.
        format!(
            "INSERT INTO connection_health (tenant, connection, memory, health, taken_in, version)
             SELECT tenant, connection, NULL, NULL, ({now}) - 3600000000, 1 FROM connections WHERE 1 = 1
             ON CONFLICT (tenant, connection) DO UPDATE SET taken_in = excluded.taken_in",
        ),
        "UPDATE connections SET last_seen = created".to_owned(),
    ]
}
