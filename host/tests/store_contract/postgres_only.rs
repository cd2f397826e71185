//! What only PostgreSQL has: roles, row-level security, events without a number yet, a server that goes away.

use std::collections::BTreeMap;

use rolecall::crypto::sha256_hex;
use rolecall::model::{ConnectionId, TenantId};
use rolecall::store::records::{Asked, FailureBounds};
use rolecall::store::{self, DeliveryRoom, NewPlugin, StoreError, StoredRevision};
use rolecall_scim::ResourceKind;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::connection::{dialect, entry, issuer};
use crate::fixture::{Fixture, START, actor, keyring};
use crate::history;
use crate::records::{failure, key, line};

/// Tables without rows of a tenant.
const WITHOUT_TENANT: &[&str] =
    &["_sqlx_migrations", "api_tokens", "master_key", "restores", "web_issuers", "web_links", "web_sessions", "web_sign_ins"];

/// Keeps a judgement, and has what was counted.
async fn keep_health(fixture: &Fixture, tenant: &TenantId, connection: &ConnectionId) -> [store::Counted; 1] {
    let kept = crate::connection::kept(connection.as_str(), 0, rolecall::model::HealthState::Healthy, START);
    fixture.store.keep_health(tenant, &[kept], &actor(), START).await.unwrap();
    [crate::connection::counted(connection.as_str(), START, 1)]
}

async fn fixture_with_rows_everywhere() -> (Fixture, PgConnection) {
    let fixture = Fixture::on_postgres().await;
    fixture.new_tenant("globex", "conn-globex").await;
    fixture.activate("r1").await;
    let here = fixture.here();
    let (ana, bob) = (here.create_user("ana").await, here.create_user("bob").await);
    let target = store::Target {
        id: "hook".into(),
        tenant: fixture.tenant.clone(),
        url: "https://hook.example".into(),
        sealed_secret: vec![1],
        enabled: true,
    };
    fixture.store.put_target(&target, &actor(), START).await.unwrap();
    let group = here.create_group("eng", &[&ana]).await;
    let bind_handle = Some(store::HandleBinding {
        handle: "eng".into(),
        connection: here.connection.clone(),
        group,
        external_id: None,
        display_name: "eng".into(),
        confirmed: true,
        bound: START,
    });
    let revision = Some("r1".into());
    let version = here.person(&ana).await.evaluation.input_version;
    let granted = store::PersonOutcome {
        effect: store::Effect { put_grants: vec![crate::fixture::grant("dev")], ..store::Effect::default() },
        revision: revision.clone(),
        ..crate::fixture::outcome(&ana, version)
    };
    let data = serde_json::json!({"state": "active"});
    let stated = rolecall::model::NewEvent { data, ..crate::fixture::personal_event("account.changed", &"account-ana".into(), "ana") };
    let events = vec![crate::fixture::personal_event("account.changed", &"account-ana".into(), "ana"), stated];
    here.commit(store::Change { bind_handle, persons: vec![granted], revision, events, ..here.change() }).await.unwrap();
    here.delete_user(&bob).await;
    crate::rulings::past_the_limit(&here, &ana).await;
    let leaves = rolecall::model::Passage::Leaves { process: None, acknowledged_by: Some(START), departed: START };
    crate::steps::pass(&here, &ana, vec![leaves, crate::steps::joins(START, true), crate::steps::invited(true)]).await;
    for (tenant, connection) in [("acme", "conn-acme"), ("globex", "conn-globex")] {
        let (tenant, connection) = (tenant.into(), ConnectionId::from(connection));
        let (at, actor) = (START, actor());
        fixture.store.put_issuer(&tenant, &connection, &issuer("a"), None, &actor, at).await.unwrap();
        let (dialects, entries) = (vec![(connection.clone(), dialect("a", 1, 1, at))], vec![(connection.clone(), entry("r", at))]);
        let counted = keep_health(&fixture, &tenant, &connection).await.to_vec();
        let refusals = vec![(connection.clone(), crate::connection::credential("x", at))];
        fixture.store.record(&tenant, &store::Gathered { dialects, entries, counted, refusals }, 10).await.unwrap();
        let asked = Asked {
            plugin: "p".into(),
            digest: "d".into(),
            hook: "transform-user".into(),
            connection: connection.clone(),
            user: "u".into(),
        };
        let failure = failure(tenant.as_str(), asked.clone(), "trap", at);
        fixture.store.keep_failures(&tenant, &[failure], FailureBounds { of_plugin: 9, of_tenant: 9 }).await.unwrap();
        fixture.store.keep_lines(&tenant, &[line("secret words", "info", asked, at)], 9).await.unwrap();
        fixture.store.put_plugin_key(&tenant, &key("k", 1), &actor, at).await.unwrap();
        fixture.store.require_signatures(&tenant, true, &actor, at).await.unwrap();
        let files = BTreeMap::from([("plugins/a.wasm".to_owned(), b"module".to_vec())]);
        let plugin = NewPlugin { digest: sha256_hex(b"module"), name: "a".into(), version: "1".into(), hooks: Vec::new(), size: 6 };
        fixture.store.put_revision(&tenant, &StoredRevision { hash: "with plugin".into(), files }, &[plugin], at).await.unwrap();
    }
    let shadow = crate::trials::trial("t", rolecall::model::TrialKind::Shadow, "r1");
    fixture.store.start_trial(&fixture.tenant, &shadow).await.unwrap();
    let found = [crate::trials::difference(&fixture, "ana", rolecall::model::DifferenceKind::Gains, None)];
    fixture.store.add_to_trial(&fixture.tenant, "t", &shadow.summary, &found).await.unwrap();
    crate::imports::imported(&here, &fixture, &ana).await;
    crate::moving::moved(&fixture).await;
    while fixture.store.number_events().await.unwrap() > 0 {}
    while rolecall::history::seal_all(&*fixture.store, &keyring(), START).await.unwrap() {}
    let mut owner = PgConnection::connect(&fixture.url).await.unwrap();
    reviewed(&mut owner).await;
    (fixture, owner)
}

/// Reviews and reconciliations take jobs and a clock to come to their lines: their rows are enough here.
async fn reviewed(owner: &mut PgConnection) {
    for statement in [
        "INSERT INTO reviews (tenant, review, name, state, plan, opens, closes, created, created_kind, created_id, counts, reminded, cursor_part,
                              cursor_after) VALUES ('acme', 'r', 'x', 'closed', '{}', 0, 0, 0, 'x', 'x', '{}', 0, 0, '')",
        "INSERT INTO review_lines (tenant, review, line, account, role, reviewer, reviewer_key, decision, evidence)
         VALUES ('acme', 'r', 1, 'account-ana', 'dev', 'boss', 'boss', 'keep', '{}')",
        "INSERT INTO reconciliations (tenant, reconciliation, connection, state, is_complete, counts, distance, digest, place, made_kind, made_id,
                                      created, ends)
         SELECT tenant, 'n', connection, 'ready', TRUE, '{}', 0, '', 0, 'x', 'x', 0, 0 FROM connections WHERE tenant = 'acme' LIMIT 1",
        "INSERT INTO drift_lines (tenant, reconciliation, line, kind, connection, resource, account, version, detail, loses)
         SELECT tenant, 'n', 1, 'extra', connection, '', '', 0, '', FALSE FROM reconciliations",
        "INSERT INTO left_with_connection (tenant, account, departed, document) VALUES ('acme', 'account-ana', 0, '{}')",
    ] {
        owner.execute(statement).await.unwrap();
    }
}

async fn tables(owner: &mut PgConnection) -> Vec<String> {
    let all: Vec<String> =
        sqlx::query_scalar("SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1")
            .fetch_all(owner)
            .await
            .unwrap();
    all.into_iter().filter(|table| !WITHOUT_TENANT.contains(&table.as_str())).collect()
}

async fn count(conn: &mut PgConnection, table: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}"))).fetch_one(conn).await.unwrap()
}

#[tokio::test]
async fn every_table_is_fenced_for_its_owner_too() {
    let (_fixture, mut owner) = fixture_with_rows_everywhere().await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
         AND relname <> '_sqlx_migrations' AND NOT (relrowsecurity AND relforcerowsecurity)",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(open.is_empty(), "without row-level security: {open:?}");
    let owned: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_class JOIN pg_roles r ON r.oid = relowner WHERE rolname LIKE 'rolecall\\_%'")
            .fetch_one(&mut owner)
            .await
            .unwrap();
    assert_eq!(owned, 0, "the roles that work own nothing");
}

/// A table that comes later says it in its own migration: migration 25 has the words, and why.
#[tokio::test]
async fn no_tenant_is_expected_to_have_few_rows() {
    let (_fixture, mut owner) = fixture_with_rows_everywhere().await;
    let average: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_attribute a
         JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
         WHERE a.attname = 'tenant'
         AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indpred IS NULL AND i.indkey[0] <> a.attnum)
         AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indnkeyatts = 1)
         AND (a.attoptions IS DISTINCT FROM '{n_distinct=1}' OR a.attstattarget <> 1)",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(average.is_empty(), "without `n_distinct = 1` and `STATISTICS 1`: {average:?}");
}

#[tokio::test]
async fn no_tenant_or_another_tenant_sees_no_row_of_any_table() {
    let (fixture, mut conn) = fixture_with_rows_everywhere().await;
    let tables = tables(&mut conn).await;
    assert!(tables.len() > 20, "{tables:?}");
    conn.execute("SET ROLE rolecall_app").await.unwrap();
    for table in &tables {
        // As a connection is when it comes from the pool.
        conn.execute("SELECT set_config('rolecall.tenant', '', false)").await.unwrap();
        assert_eq!(count(&mut conn, table).await, 0, "`{table}` without a tenant");
        conn.execute("SELECT set_config('rolecall.tenant', 'nobody', false)").await.unwrap();
        assert_eq!(count(&mut conn, table).await, 0, "`{table}` with another tenant");
        conn.execute("SELECT set_config('rolecall.tenant', 'acme', false)").await.unwrap();
        let own: i64 = count(&mut conn, table).await;
        let all: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table} WHERE tenant = 'acme'")))
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(own, all, "`{table}` shows rows of others");
        assert!(own > 0 || table == "fan_outs", "`{table}` has no row, so this proves nothing for it");
    }
    // Nor can a row be written for, or moved to, another tenant.
    for statement in [
        "INSERT INTO event_heads (tenant, last_seq) VALUES ('globex', 9)",
        "UPDATE accounts SET tenant = 'globex'",
        "INSERT INTO fan_outs (tenant, id, cause, purge, cursor_connection, cursor_resource, touched)
         VALUES ('globex', 'x', 'activation', false, '', '', 0)",
    ] {
        let refused = conn.execute(statement).await.unwrap_err().to_string();
        assert!(refused.contains("row-level security"), "{refused}");
    }
    assert_eq!(conn.execute("DELETE FROM connections WHERE tenant = 'globex'").await.unwrap().rows_affected(), 0);
    assert!(fixture.store.find_connection(&"conn-globex".into()).await.unwrap().is_some());
}

#[tokio::test]
async fn the_platform_role_sees_listed_columns_only() {
    let (_fixture, mut conn) = fixture_with_rows_everywhere().await;
    let tables = tables(&mut conn).await;
    conn.execute("SET ROLE rolecall_platform").await.unwrap();
    for statement in ["SELECT tenant, due_at FROM evaluations", "SELECT tenant, seq FROM events", "SELECT tenant, state FROM connections"] {
        conn.execute(statement).await.unwrap();
    }
    let readable: &[&str] = &["connection_tokens", "connection_issuers"];
    for table in tables.iter().filter(|table| !readable.contains(&table.as_str())) {
        let refused = conn.execute(AssertSqlSafe(format!("SELECT * FROM {table}"))).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("permission denied")), "`{table}` can be read across tenants");
        let refused = conn.execute(AssertSqlSafe(format!("DELETE FROM {table}"))).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("permission denied")), "`{table}` can be written across tenants");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_are_made_again() {
    let fixture = Fixture::on_postgres().await;
    let ana = fixture.here().create_user("ana").await;
    let mut owner = PgConnection::connect(&fixture.url).await.unwrap();
    let ended: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert!(ended > 0);
    assert_eq!(fixture.here().version(ResourceKind::User, &ana).await, Some(1));
    fixture.here().create_user("bob").await;
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = store::open(&format!("postgres://rolecall@127.0.0.1:{port}/rolecall"), keyring()).await.err().unwrap();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
}

#[tokio::test]
async fn personal_values_are_sealed_and_die_with_their_key() {
    let (fixture, mut owner) = fixture_with_rows_everywhere().await;
    fixture.event_kinds().await;
    let sealed: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT personal FROM events WHERE personal IS NOT NULL").fetch_all(&mut owner).await.unwrap();
    assert!(sealed.len() > 2);
    assert!(sealed.iter().all(|bytes| !bytes.windows(3).any(|part| part == b"ana")));
    let of_plugins: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT detail FROM plugin_failures UNION ALL SELECT input FROM plugin_failures UNION ALL SELECT message FROM plugin_lines",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert_eq!(of_plugins.len(), 6);
    let words = [&b"ana"[..], b"message of", b"secret"];
    assert!(of_plugins.iter().all(|bytes| !words.iter().any(|word| bytes.windows(word.len()).any(|part| part == *word))));
    let before = fixture.store.events(&fixture.tenant, 0, 100).await.unwrap();
    sqlx::query("DELETE FROM person_keys WHERE account = 'account-ana'").execute(&mut owner).await.unwrap();
    let after = fixture.store.events(&fixture.tenant, 0, 100).await.unwrap();
    let of_ana = |event: &rolecall::model::Event| event.account == Some("account-ana".into());
    assert!(before.iter().any(|event| of_ana(event) && event.personal.is_some()));
    assert!(before.iter().any(|event| event.account.is_some() && !of_ana(event) && event.personal.is_some()));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.personal.is_some(), before.personal.is_some() && !of_ana(after), "{}", after.kind);
    }
}

/// Changes overlap, so events get their numbers after they were committed. Until then nobody sees them.
#[tokio::test]
async fn what_has_no_number_yet_is_neither_read_nor_delivered() {
    let fixture = Fixture::on_postgres().await;
    history::put_target(&fixture, true).await;
    history::append(&fixture, vec![history::event("one", Some("ana"), true)]).await;
    let claim = async || fixture.store.claim_deliveries(START, START.plus_seconds(60), &DeliveryRoom::of(10)).await.unwrap();
    assert!(fixture.store.events(&fixture.tenant, 0, 10).await.unwrap().is_empty());
    assert!(claim().await.is_empty());
    assert_eq!(fixture.store.next_due(START).await.unwrap(), Some(START), "the worker is to number them");
    assert_eq!(fixture.store.number_events().await.unwrap(), 3);
    assert_eq!(fixture.store.number_events().await.unwrap(), 0);
    let due = claim().await;
    assert_eq!((due.len(), due[0].event.seq), (1, 3));
}
