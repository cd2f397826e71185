//! Tenants are apart: rows, plugins, tables, logs and tokens of one never reach another.

use rolecall::model::{AccountId, ConnectionId, Handle, ResourceId, RevisionHash, TenantId};
use rolecall_scim::ResourceKind;
use rolecall_tests::tenant::text;
use rolecall_tests::{Database, Kind, Server, on_both_databases};
use serde_json::json;
use sqlx::{Connection as _, Row as _};

on_both_databases! {
    /// Over SCIM, one tenant's connection finds nothing of another's, by list, filter, id or member.
    async fn scim_shows_the_own_tenant_alone(database: Database) {
        let server = Server::start(&database).await;
        let (acme, globex) = (server.tenant("acme").create().await, server.tenant("globex").create().await);
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, globex.connection(&server, "Okta").await);
        let ada = entra.create("ada@acme.example").await;
        let group = entra.group("Engineering", &[&ada]).await;
        let own = okta.group("Engineering", &[]).await;
        assert_eq!(okta.scim.get("/Users").await.expect(200)["totalResults"], 0);
        for filter in [format!("id eq \"{ada}\""), "userName eq \"ada@acme.example\"".to_owned(), "externalId eq \"ext-ada@acme.example\"".to_owned()] {
            let filter = rolecall_tests::cases::escaped(&filter);
            assert_eq!(okta.scim.get(&format!("/Users?filter={filter}")).await.expect(200)["totalResults"], 0);
        }
        for path in [format!("/Users/{ada}"), format!("/Groups/{group}")] {
            okta.scim.get(&path).await.expect_scim_error(404, None);
            okta.scim.delete(&path).await.expect_scim_error(404, None);
        }
        let body = rolecall_tests::tenant::patch(json!([{"op": "add", "path": "members", "value": [{"value": ada}]}]));
        let unchanged = okta.scim.patch(&format!("/Groups/{own}"), body).await.expect(200);
        assert_eq!(unchanged["members"], json!([]), "as if nobody had that id");
        let whole = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Others", "members": [{"value": ada}]});
        okta.scim.post("/Groups", whole).await.expect_scim_error(400, Some("invalidValue"));
        okta.create("ada@acme.example").await;
        assert_eq!(acme.state("ada@acme.example").await, "active");
        assert_eq!(globex.state("ada@acme.example").await, "active", "names do not collide across tenants");
        server.stop().await;
    }

    /// The store itself: with another tenant named first, another's ids find nothing.
    async fn the_store_finds_nothing_under_another_tenant(database: Database) {
        let server = Server::start(&database).await;
        let (acme, globex) = (server.tenant("acme").create().await, server.tenant("globex").create().await);
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let group = entra.group("Operations", &[&ada]).await;
        let account = AccountId(text(&acme.account("ada@acme.example").await["id"]));
        let (store, other) = (&server.app().store, &globex.id);
        let connection = ConnectionId::from(entra.id.as_str());
        let (user, group) = (ResourceId(ada), ResourceId(group));
        let hash: RevisionHash = store.tenant(&acme.id).await.expect("the store answers").and_then(|tenant| tenant.active_revision).expect("active");
        let ids = std::slice::from_ref(&user);
        assert!(store.people(other, &connection, ids).await.expect("answers").is_empty());
        assert_eq!(store.resource(other, &connection, ResourceKind::User, &user).await.expect("answers"), None);
        assert!(store.members(other, &connection, std::slice::from_ref(&group), 10).await.expect("answers").values().all(Vec::is_empty));
        assert!(store.as_members(other, &connection, ids).await.expect("answers").is_empty());
        assert!(store.which_members(other, &connection, &group, ids).await.expect("answers").is_empty());
        assert!(store.groups_of(other, &connection, ids, usize::MAX).await.expect("answers").values().all(Vec::is_empty));
        assert_eq!(store.account(other, account.as_str()).await.expect("answers"), None);
        assert_eq!(store.account(other, "ada@acme.example").await.expect("answers"), None);
        assert_eq!(store.handle(other, &Handle::from("operations")).await.expect("answers"), None);
        assert!(store.connections(other).await.expect("answers").is_empty());
        assert_eq!(store.revision(&TenantId::from("initech"), &hash).await.expect("answers"), None);
        assert!(store.events(other, 0, 100).await.expect("answers").iter().all(|event| event.account.as_ref() != Some(&account)));
        server.stop().await;
    }

    /// One tenant's plugin never sees another's people, and its faults and log lines stay with its tenant.
    async fn plugins_and_faults_stay_in_their_tenant(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let globex = server.tenant("globex").create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, globex.connection(&server, "Okta").await);
        entra.create_with("ada@acme.example", json!({"title": "trap"})).await;
        okta.create_with("hank@globex.example", json!({"title": "trap"})).await;
        assert_eq!(globex.state("hank@globex.example").await, "active");
        let held = acme.api.get("/accounts?state=held").await.expect(200);
        assert_eq!(held["accounts"].as_array().map(Vec::len), Some(1));
        let events = json!(globex.events(&server).await).to_string();
        assert!(!events.contains("ada@acme.example") && !events.contains("plugin_fault"), "{events}");
        server.stop().await;
    }

    /// Names and addresses of people are in no log line.
    async fn no_log_line_names_a_person(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let kind = format!("{:?}", database.kind).to_lowercase();
        let name = format!("nobody.reads.this.{kind}@acme.example");
        let id = entra.create_with(&name, json!({"title": "trap", "displayName": format!("Nobody Reads This {kind}")})).await;
        entra.set(&id, "title", json!("refuse")).await;
        entra.scim.post("/Users", rolecall_tests::tenant::user(&name, json!({}))).await.expect(409);
        entra.scim.get(&format!("/Users?filter={}", rolecall_tests::cases::escaped(&format!("userName eq \"{name}\"")))).await.expect(200);
        acme.api.get(&format!("/accounts/{name}")).await;
        entra.scim.delete(&format!("/Users/{id}")).await.expect(204);
        server.settle().await;
        for secret in [name.as_str(), &format!("Nobody Reads This {kind}"), entra.scim.token.as_deref().unwrap_or_default()] {
            assert!(!rolecall_tests::logs::contains(secret), "logged: {:?}", rolecall_tests::logs::lines_with(secret));
        }
        assert!(rolecall_tests::logs::contains("answered"), "the log was not captured: this test would show nothing");
        server.stop().await;
    }
}

/// PostgreSQL itself refuses another tenant's rows: row-level security holds for every table that has a tenant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_level_security_covers_every_table() {
    rolecall_tests::database::with(Kind::Postgres, async |database: Database| {
        let server = Server::start(&database).await;
        let mut connection = sqlx::PgConnection::connect(&database.url).await.expect("the database answers");
        let tables = sqlx::query(
            "SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS guarded
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relkind = 'r' AND n.nspname = 'public' AND a.attname = 'tenant' AND NOT a.attisdropped ORDER BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .expect("the catalogue can be read");
        assert!(tables.len() > 8, "only {} tables have a tenant: this test would show nothing", tables.len());
        let open: Vec<String> = tables.iter().filter(|table| !table.get::<bool, _>("guarded")).map(|table| table.get("name")).collect();
        assert!(open.is_empty(), "tables without forced row-level security: {open:?}");
        server.stop().await;
    })
    .await;
}
