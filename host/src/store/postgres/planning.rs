//! What statements meet when they are planned by nothing, or by wrong expectations: no statement may take longer by more than the people that
//! it is about, whatever the planner knows. Each of the statements of `plans` is carried out and undone, and what it met is counted.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::shared::plans::{As, CASES, OF_ALL, SEED, Value};
use super::{Conn, PLANNING, make_roles, scratch};
use crate::store::migrations;

/// People in a list that a statement is given: as many as batches have.
const WIDE: usize = 500;
/// Rows that a statement may meet which is given a list, in a connection of 2,000 people: each of them by its key, in some tables, and the whole
/// connection a few times. Going through the connection for each would be 1,000,000.
const MOST: f64 = 40_000.0;
/// The same of a tenant that has nothing, beside 10,000 people of others.
const MOST_OF_NOBODY: f64 = 8.0 * WIDE as f64;

/// Who the statements are about.
const TENANT: &str = "t3";

/// A database with rows for tenants, of so many people each. Nothing is known of its tables: no store is open, which would gather that.
async fn filled(tenants: &[&str], people: u32) -> (Conn, Box<dyn std::any::Any + Send>) {
    let (url, scratch) = scratch::blank().await;
    let mut conn = Conn::connect(&url).await.unwrap();
    make_roles(&mut conn).await.unwrap();
    migrations::run(&mut conn, migrations::POSTGRES).await.unwrap();
    let tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut conn).await.unwrap();
    for table in tables {
        conn.execute(AssertSqlSafe(format!("ALTER TABLE {table} SET (autovacuum_enabled = false)"))).await.unwrap();
    }
    for tenant in tenants {
        for statement in [
            "INSERT INTO tenants (tenant, name, managed_by, created, sealed_key) VALUES ($1, 'T', 'api', 0, '')",
            "INSERT INTO targets (tenant, target, url, sealed_secret, enabled) VALUES ($1, 'hook', '', '', TRUE)",
        ] {
            sqlx::query(statement).bind(tenant).execute(&mut conn).await.unwrap();
        }
    }
    for statement in SEED {
        conn.execute(AssertSqlSafe(statement.replace("i < 2000", &format!("i < {people}")))).await.unwrap();
    }
    (conn, scratch)
}

/// The list that stands for one of [`CASES`], with so many of its kind. Few connections, groups and guards are asked about at a time.
fn widened(texts: &[&str], wide: usize) -> Vec<String> {
    let first = texts[0];
    let Some(digits) = first.find(|letter: char| letter.is_ascii_digit()) else { return vec![first.to_owned()] };
    let (kind, rest) = (&first[..digits], first[digits..].trim_start_matches(|letter: char| letter.is_ascii_digit()));
    let count = if ["t", "g", "h", "losses/role/r"].contains(&kind) { wide.min(5) } else { wide };
    let mut wide: Vec<String> = (1..=count).map(|number| format!("{kind}{number}{rest}")).collect();
    wide.sort_unstable();
    wide
}

fn literal(value: &Value, tenant: &str, wide: usize) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace(TENANT, tenant));
    match value {
        Value::Text(text) => quoted(text),
        Value::List(texts) => {
            let items: Vec<String> = widened(texts, wide).iter().map(|text| quoted(text)).collect();
            format!("ARRAY[{}]::text[]", items.join(", "))
        }
        Value::Number(number) => number.to_string(),
        Value::Truth(truth) => truth.to_string(),
    }
}

/// The number behind some words of a line of a plan.
fn number(line: &str, words: &str) -> f64 {
    let digits = line.split(words).nth(1).and_then(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// How many rows a statement met that was carried out: what each part of its plan gave, and what it took out.
fn met(plan: &[String]) -> f64 {
    let (mut loops, mut met) = (1.0, 0.0);
    for line in plan {
        if let Some((_, actual)) = line.split_once("(actual ") {
            loops = number(actual, "loops=");
            met += loops * number(actual, "rows=");
        } else if line.contains("Rows Removed") {
            met += loops * number(line, ": ");
        }
    }
    met
}

/// What each statement of a tenant meets with lists of so many, as a session of the host carries it out: the statement, how many rows, and the plan.
async fn carried_out(conn: &mut Conn, tenant: &str, wide: usize) -> Vec<(&'static str, f64, String)> {
    let mut all = Vec::new();
    for (statement, role, values, _) in CASES {
        // Those over all tenants are about many rows by nature.
        if matches!(role, As::Platform) {
            continue;
        }
        let mut tx = conn.begin().await.unwrap();
        let enter = format!("SET LOCAL ROLE rolecall_app; SELECT set_config('rolecall.tenant', '{tenant}', true)");
        tx.execute(AssertSqlSafe(enter)).await.unwrap();
        for (name, value) in PLANNING {
            tx.execute(AssertSqlSafe(format!("SET LOCAL {name} = {value}"))).await.unwrap();
        }
        let types: Vec<&str> = values.iter().map(Value::sql_type).collect();
        let values: Vec<String> = values.iter().map(|value| literal(value, tenant, wide)).collect();
        let plan = scratch::explain(&mut tx, "EXPLAIN (ANALYZE, TIMING OFF)", statement, &types, Some(values)).await;
        tx.rollback().await.unwrap();
        all.push((*statement, met(&plan), plan.join("\n")));
    }
    assert!(all.len() > 100, "{}", all.len());
    all
}

fn check(all: &[(&str, f64, String)], most: f64) {
    let over: Vec<String> =
        all.iter().filter(|(_, met, _)| *met > most).map(|(statement, met, plan)| format!("{met} rows: {statement}\n{plan}")).collect();
    assert!(over.is_empty(), "of at most {most}:\n{}", over.join("\n\n"));
}

#[tokio::test]
async fn a_new_database_is_looked_up_by_its_keys() {
    let (mut conn, _scratch) = filled(&["t1", "t2", TENANT, "t4", "t5"], 2_000).await;
    check(&carried_out(&mut conn, TENANT, WIDE).await, MOST);
}

#[tokio::test]
async fn a_tenant_that_has_just_come_is_looked_up_by_its_keys() {
    // Known as another, and with the other's connection: what the planner has never heard of is the name.
    const RENAME: &str = "DO $$ DECLARE place RECORD; BEGIN
        FOR place IN SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'
            AND column_name IN ('tenant', 'connection', 'beside', 'predecessor', 'old_connection') LOOP
            EXECUTE format('UPDATE %I SET %I = replace(%I, ''t9'', ''t3'') WHERE %I IN (''t9'', ''t9c'')',
                           place.table_name, place.column_name, place.column_name, place.column_name);
        END LOOP; END $$";
    let (mut conn, _scratch) = filled(&["t1", "t2", "t9", "t4", "t5"], 2_000).await;
    conn.execute("ANALYZE").await.unwrap();
    // Rows refer to one another by these names.
    conn.execute(AssertSqlSafe(format!("SET session_replication_role = replica; {RENAME}; SET session_replication_role = DEFAULT")))
        .await
        .unwrap();
    let people: i64 = sqlx::query_scalar("SELECT count(*) FROM links WHERE tenant = $1").bind(TENANT).fetch_one(&mut conn).await.unwrap();
    assert_eq!(people, 2_000);
    check(&carried_out(&mut conn, TENANT, WIDE).await, MOST);
}

#[tokio::test]
async fn a_small_tenant_meets_nothing_of_the_large() {
    let (mut conn, _scratch) = filled(&["t1", "t2", TENANT, "t4", "t5"], 2_000).await;
    // Few rows each, of many tenants: what has indexes that don't begin with the tenant must not be read by them.
    let connections = "INSERT INTO connections (tenant, connection, name, state, created, wrong_credentials)
         SELECT 't5', 'c' || i, 'c' || i, 'active', 0, 0 FROM generate_series(1, 10000) AS i";
    conn.execute(connections).await.unwrap();
    conn.execute("ANALYZE").await.unwrap();
    check(&carried_out(&mut conn, TENANT, WIDE).await, MOST);
    check(&carried_out(&mut conn, "t8", WIDE).await, MOST_OF_NOBODY);
}

#[tokio::test]
async fn nothing_grows_with_the_population() {
    let mut met = Vec::new();
    for people in [2_000, 10_000] {
        let (mut conn, _scratch) = filled(&[TENANT], people).await;
        conn.execute("ANALYZE").await.unwrap();
        met.push(carried_out(&mut conn, TENANT, 2).await);
    }
    let grows = |((statement, few, _), (_, many, plan)): (&(&'static str, f64, String), &(&'static str, f64, String))| {
        (!OF_ALL.contains(statement) && *many > 2.0 * few + 200.0).then(|| format!("{few} and {many} rows: {statement}\n{plan}"))
    };
    let growing: Vec<String> = met[0].iter().zip(&met[1]).filter_map(grows).collect();
    assert!(growing.is_empty(), "{}", growing.join("\n\n"));
}
