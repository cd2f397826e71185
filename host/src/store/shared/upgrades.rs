//! Databases of versions that were, brought up to date with what is in them: `migrations/fixtures`.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::super::scratch::{MIGRATIONS, blank, bytes};
use super::{Backend, Conn};
use crate::crypto::{Keyring, SecretKey};
use crate::model::{AccountState, ConnectionId, GrantState, Instant, TenantId};
use crate::store::keys::Keys;
use crate::store::{Platform as _, Store as _, migrations};

/// The last migration of a version, and its rows.
const FIXTURES: &[(i64, &str)] =
    &[(1, include_str!("../../../migrations/fixtures/0001.sql")), (13, include_str!("../../../migrations/fixtures/0013.sql"))];

const MASTER: [u8; 32] = [5; 32];

fn keyring() -> std::sync::Arc<Keyring> {
    std::sync::Arc::new(Keyring::new(SecretKey::from_bytes(&MASTER).unwrap()))
}

#[tokio::test]
async fn a_database_of_any_version_is_brought_up_to_date() {
    for (last, rows) in FIXTURES {
        let (url, _scratch) = blank().await;
        let tenant = TenantId::from("acme");
        let sealed = Keys::new(keyring()).new_tenant_key(&tenant).unwrap();
        let count = MIGRATIONS.iter().position(|(number, ..)| number == last).unwrap() + 1;
        let mut conn = Conn::connect(&url).await.unwrap();
        migrations::run(&mut conn, &MIGRATIONS[..count]).await.unwrap();
        conn.execute(AssertSqlSafe(rows.replace("{key}", &bytes(&sealed)))).await.unwrap();
        conn.close().await.unwrap();
        let store = Backend::open(&url, keyring()).await.unwrap();
        let found = store.tenants().await.unwrap();
        assert_eq!(found.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>(), ["acme"], "from {last}");
        store.seal_secret(&tenant, b"x").await.unwrap();
        let connections = store.connections(&tenant).await.unwrap();
        assert_eq!((connections.len(), connections[0].tokens.len(), connections[0].restored.as_ref()), (1, 1, None), "from {last}");
        assert_eq!(store.count_operator_tokens(Instant(0)).await.unwrap(), 1, "from {last}");
        let ada = store.account(&tenant, "ada").await.unwrap().unwrap();
        assert_eq!((ada.account.state, ada.grants[0].state), (AccountState::Active, GrantState::Effective), "from {last}");
        let people = store.people(&tenant, &ConnectionId::from("c"), &["ada".into()]).await.unwrap();
        assert_eq!(people[0].groups.len(), 1, "from {last}");
        assert_eq!(store.accounts(&tenant, None, None, 10).await.unwrap().len(), 2, "from {last}");
        assert_eq!(store.events(&tenant, 0, 10).await.unwrap().len(), 1, "from {last}");
        let due = store.next_due(Instant(2)).await.unwrap();
        assert!(due.is_some(), "what waits for a target waits still, from {last}");
    }
}

#[test]
fn fixtures_are_of_migrations_that_are_there() {
    assert!(FIXTURES.is_sorted_by_key(|(last, _)| last));
    assert!(FIXTURES.iter().all(|(last, _)| MIGRATIONS.iter().any(|(number, ..)| number == last)));
}
