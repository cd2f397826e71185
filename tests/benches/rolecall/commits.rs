//! Durable creates against what the same database allows: the same rows into the same tables, with the same grouping and
//! durability, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rolecall_tests::tenant::user;
use rolecall_tests::{Connection, Database, Kind, Server};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::task::JoinSet;

use crate::load;
use crate::provisioning::CONCURRENT;
use crate::report::{ROUNDS, Report};

/// Creates of one round.
const REQUESTS: usize = 640;
/// The tenant.
const TENANT: &str = "commits";
/// The name of the one whose rows are copied; each copy has other digits.
const PATTERN: &str = "00000000";

fn person(digits: &str) -> Value {
    user(
        &format!("person-{digits}@commits.example"),
        json!({
            "externalId": format!("external-{digits}"), "displayName": format!("Person {digits}"), "active": true,
            "emails": [{"value": format!("person-{digits}@mail.example"), "type": "work", "primary": true}],
        }),
    )
}

/// The statements that copy every row that a creation wrote, each found by its key. `$1` is eight digits.
fn copies(connection: &str, resource: &str, account: &str, events: &[i64]) -> Vec<String> {
    let of_connection = |column: &str| format!("tenant = '{TENANT}' AND connection = '{connection}' AND {column} = '{resource}'");
    let of_account = format!("tenant = '{TENANT}' AND account = '{account}'");
    let events: Vec<String> = events.iter().map(i64::to_string).collect();
    let with = |column: &str| format!("replace({column}, '{PATTERN}', $1)");
    vec![
        format!(
            "INSERT INTO resources (tenant, connection, id, kind, external_id, user_name, display_name, label, active, created, modified,
                                    version, document)
             SELECT tenant, connection, 'copy-' || $1, kind, {}, {}, {}, {}, active, created, modified, version, {}
             FROM resources WHERE {}",
            with("external_id"),
            with("user_name"),
            with("display_name"),
            with("label"),
            with("document"),
            of_connection("id"),
        ),
        format!(
            "INSERT INTO emails (tenant, connection, value, resource)
             SELECT tenant, connection, {}, 'copy-' || $1 FROM emails WHERE {}",
            with("value"),
            of_connection("resource"),
        ),
        format!(
            "INSERT INTO accounts (tenant, account, state, user_name, user_name_folded, name_key, profile, provenance, created, modified)
             SELECT tenant, 'copy-' || $1, state, {}, {}, {}, {}, provenance, created, modified FROM accounts WHERE {of_account}",
            with("user_name"),
            with("user_name_folded"),
            with("name_key"),
            with("profile"),
        ),
        format!(
            "INSERT INTO links (tenant, connection, resource, account)
             SELECT tenant, connection, 'copy-' || $1, 'copy-' || $1 FROM links WHERE {}",
            of_connection("resource"),
        ),
        format!(
            "INSERT INTO evaluations (tenant, connection, resource, input_version, evaluated_version, evaluated_revision, as_of, attempts)
             SELECT tenant, connection, 'copy-' || $1, input_version, evaluated_version, evaluated_revision, as_of, attempts
             FROM evaluations WHERE {}",
            of_connection("resource"),
        ),
        format!(
            "INSERT INTO person_keys (tenant, account, sealed_key)
             SELECT tenant, 'copy-' || $1, sealed_key FROM person_keys WHERE {of_account}"
        ),
        format!(
            "INSERT INTO events (tenant, id, at, kind, actor_kind, actor_id, request_id, account, data, personal)
             SELECT tenant, id || $1, at, kind, actor_kind, actor_id, request_id, 'copy-' || $1, data, personal
             FROM events WHERE tenant = '{TENANT}' AND position IN ({})",
            events.join(", "),
        ),
    ]
}

/// The statements in one trip: on PostgreSQL as parts of one.
fn at_once(kind: Kind, statements: &[String]) -> String {
    match kind {
        Kind::Sqlite => statements.join("; "),
        Kind::Postgres => {
            let parts = statements.iter().enumerate().map(|(number, statement)| format!("part{number} AS ({statement})"));
            format!("WITH {} SELECT 1", parts.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Copies a second: on SQLite as many in one transaction as there are requests under way, on PostgreSQL one each, as many at once.
macro_rules! raw_rate {
    ($name:ident, $connection:ty, $grouped:expr) => {
        async fn $name(url: &str, copy: &Arc<str>, next: &Arc<AtomicUsize>) -> f64 {
            let (writers, group) = if $grouped { (1, CONCURRENT) } else { (CONCURRENT / 2, 1) };
            let mut connections = Vec::new();
            for _ in 0..writers {
                connections.push(<$connection>::connect(url).await.expect("the database opens"));
            }
            let started = Instant::now();
            let mut tasks = JoinSet::new();
            for mut conn in connections {
                let (copy, next) = (Arc::clone(copy), Arc::clone(next));
                tasks.spawn(async move {
                    for _ in 0..REQUESTS / writers / group {
                        let mut transaction = conn.begin().await.expect("a transaction begins");
                        for _ in 0..group {
                            let digits = format!("{:08}", next.fetch_add(1, Ordering::Relaxed));
                            let copy = sqlx::query(AssertSqlSafe(Arc::clone(&copy))).bind(&digits);
                            transaction.execute(copy).await.expect("rows are copied");
                        }
                        transaction.commit().await.expect("it is committed");
                    }
                });
            }
            tasks.join_all().await;
            load::per_second(REQUESTS, started)
        }
    };
}
raw_rate!(raw_rate_on_sqlite, sqlx::SqliteConnection, true);
raw_rate!(raw_rate_on_postgres, sqlx::PgConnection, false);

async fn create_rate(connection: &Connection, next: &Arc<AtomicUsize>) -> f64 {
    let (connection, next) = (connection.clone(), Arc::clone(next));
    let request = move |_| {
        let digits = format!("{:08}", next.fetch_add(1, Ordering::Relaxed));
        let connection = connection.clone();
        async move { drop(connection.scim.post("/Users", person(&digits)).await.expect(201)) }
    };
    load::make(CONCURRENT, REQUESTS, request).await.1
}

/// Where the events of an account are.
async fn events_of(database: &Database, account: &str) -> Vec<i64> {
    let statement = "SELECT position FROM events WHERE account = $1";
    match database.kind {
        Kind::Sqlite => {
            let mut conn = sqlx::SqliteConnection::connect(&database.url).await.expect("the file opens");
            sqlx::query_scalar(statement).bind(account).fetch_all(&mut conn).await.expect("events can be read")
        }
        Kind::Postgres => {
            let mut conn = sqlx::PgConnection::connect(&database.url).await.expect("the database answers");
            sqlx::query_scalar(statement).bind(account).fetch_all(&mut conn).await.expect("events can be read")
        }
    }
}

/// Measures on one kind of database.
pub async fn measure(report: &mut Report, kind: Kind) {
    let database = Database::create(kind).await;
    let server = Server::start(&database).await;
    let tenant = server.tenant(TENANT).create_empty().await;
    tenant.activate(&server, crate::provisioning::nothing()).await;
    let connection = tenant.connection(&server, "Directory").await;
    let first = connection.scim.post("/Users", person(PATTERN)).await.expect(201);
    server.settle().await;
    let accounts = tenant.accounts().await;
    let account = accounts.values().next().expect("the person has an account");
    let (resource, account) = (first["id"].as_str().unwrap_or_default(), account["id"].as_str().unwrap_or_default());
    let events = events_of(&database, account).await;
    assert!(!events.is_empty(), "a creation is an event");
    let statements = copies(&connection.id, resource, account, &events);
    let (copy, next) = (Arc::<str>::from(at_once(kind, &statements)), Arc::new(AtomicUsize::new(1)));
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(create_rate(&connection, &next).await);
        // Work that the creates left is not the other side's.
        server.settle().await;
        raw.push(match kind {
            Kind::Sqlite => raw_rate_on_sqlite(&database.url, &copy, &next).await,
            Kind::Postgres => raw_rate_on_postgres(&database.url, &copy, &next).await,
        });
    }
    report.add(format!("durable creates, {kind}"), "a second", ("SCIM create", ours), ("the same rows, nothing else", raw));
    server.stop().await;
}
