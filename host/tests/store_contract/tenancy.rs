//! Tenants, revisions, connections, tokens; and that tenants are apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rolecall::crypto::{Keyring, SecretKey, sha256_hex};
use rolecall::model::{ConnectionState, Handle, Instant};
use rolecall::store::{
    self, ApiScope, ApiTokenInfo, Change, CredentialKind, HandleBinding, NewActivation, NewPlugin, NewToken, StoreError, StoredPlugin,
    StoredRevision, Target,
};
use rolecall_scim::ResourceKind;

use crate::fixture::{Fixture, START, actor, token};

store_contract_suite!(
    a_tenant_is_made_once,
    a_revision_is_stored_once_and_read_back,
    equal_contents_of_a_tenant_are_stored_once,
    activation_expects_what_it_replaces,
    a_connection_is_found_by_its_id_and_its_tokens,
    at_most_two_tokens_live,
    connection_names_are_unique_in_the_tenant,
    uses_are_noted_by_the_minute_and_wrong_credentials_counted,
    api_tokens_are_found_by_their_hash,
    secrets_open_for_their_tenant_only,
    another_master_key_is_refused,
    tenants_are_apart,
);

async fn another_master_key_is_refused(fixture: Fixture) {
    let other = Arc::new(Keyring::new(SecretKey::random()));
    let refused = store::open(&fixture.url, other).await.err().unwrap();
    assert!(matches!(&refused, StoreError::Corrupt(why) if why.contains("master key")), "{refused}");
    store::open(&fixture.url, fixture.keyring.clone()).await.unwrap();
    // It is told before anything is sealed, too: the first key is kept, and no other.
    let kept = fixture.store.keep_master_key("another").await.unwrap();
    assert_eq!(kept, fixture.keyring.fingerprint());
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("new.db").display());
    drop(store::open(&url, fixture.keyring.clone()).await.unwrap());
    let refused = store::open(&url, Arc::new(Keyring::new(SecretKey::random()))).await.err().unwrap();
    assert!(matches!(&refused, StoreError::Corrupt(why) if why.contains("master key")), "{refused}");
    store::open(&url, fixture.keyring.clone()).await.unwrap();
}

async fn a_tenant_is_made_once(fixture: Fixture) {
    let again = fixture.store.ensure_tenant(&fixture.tenant, "another name", "folder", START.plus_seconds(1)).await.unwrap();
    assert_eq!((again.name.as_str(), again.managed_by.as_str(), again.created), ("acme", "api", START));
    fixture.new_tenant("aardvark", "conn-aardvark").await;
    let all: Vec<String> = fixture.store.tenants().await.unwrap().into_iter().map(|tenant| tenant.id.0).collect();
    assert_eq!(all, ["aardvark", "acme"]);
    assert_eq!(fixture.store.tenant(&"nobody".into()).await.unwrap(), None);
    fixture.store.ping().await.unwrap();
}

async fn a_revision_is_stored_once_and_read_back(fixture: Fixture) {
    let files = BTreeMap::from([("tenant.toml".to_owned(), b"name".to_vec()), ("plugin.wasm".to_owned(), vec![0, 255, 1])]);
    let revision = StoredRevision { hash: "r1".into(), files };
    fixture.store.put_revision(&fixture.tenant, &revision, &[], START).await.unwrap();
    fixture.store.put_revision(&fixture.tenant, &revision, &[], START).await.unwrap();
    assert_eq!(fixture.store.revision(&fixture.tenant, &"r1".into()).await.unwrap(), Some(revision.clone()));
    assert_eq!(fixture.store.revision(&fixture.tenant, &"r2".into()).await.unwrap(), None);
    let nowhere = fixture.store.put_revision(&"nobody".into(), &revision, &[], START).await;
    assert!(matches!(nowhere, Err(StoreError::Missing("tenant"))), "{nowhere:?}");
}

async fn equal_contents_of_a_tenant_are_stored_once(fixture: Fixture) {
    let store = &fixture.store;
    let (plugin, module) = (
        |name: &str, module: &[u8]| {
            let hooks = vec!["transform-user".to_owned(), "propose-roles".to_owned()];
            NewPlugin { digest: sha256_hex(module), name: name.into(), version: "1.2".into(), hooks, size: 3 }
        },
        vec![0, 255, 1],
    );
    let revision = |hash: &str, settings: &str, module: &[u8]| {
        let files = BTreeMap::from([("tenant.toml".to_owned(), settings.into()), ("plugins/a.wasm".to_owned(), module.to_vec())]);
        StoredRevision { hash: hash.into(), files }
    };
    let (first, second) = (revision("r1", "a", &module), revision("r2", "b", &module));
    let third = revision("r3", "b", &[7]);
    store.put_revision(&fixture.tenant, &first, &[plugin("mapping", &module)], START).await.unwrap();
    store.put_revision(&fixture.tenant, &second, &[plugin("mapping", &module)], START.plus_seconds(1)).await.unwrap();
    store.put_revision(&fixture.tenant, &third, &[plugin("other", &[7])], START.plus_seconds(2)).await.unwrap();
    store.activate(&fixture.tenant, &NewActivation::of("r2".into(), None), &actor(), START).await.unwrap();
    for stored in [&first, &second, &third] {
        assert_eq!(store.revision(&fixture.tenant, &stored.hash).await.unwrap().as_ref(), Some(stored));
        let digests = store.revision_digests(&fixture.tenant, &stored.hash).await.unwrap().unwrap();
        assert_eq!(digests, stored.files.iter().map(|(path, bytes)| (path.clone(), sha256_hex(bytes))).collect());
    }
    assert_eq!(store.revision_digests(&fixture.tenant, &"r9".into()).await.unwrap(), None);
    let stored = |plugin: NewPlugin, created, revisions, active| StoredPlugin { plugin, created, revisions, active };
    let newest = stored(plugin("other", &[7]), START.plus_seconds(2), 1, false);
    assert_eq!(store.plugins(&fixture.tenant, 9).await.unwrap(), [newest.clone(), stored(plugin("mapping", &module), START, 2, true)]);
    assert_eq!(store.plugins(&fixture.tenant, 1).await.unwrap(), [newest]);
    // By digest within the tenant, and for nobody else.
    let wanted = [sha256_hex(&module), sha256_hex(b"a"), sha256_hex(b"elsewhere")];
    let found = store.contents(&fixture.tenant, &wanted, 4).await.unwrap();
    assert_eq!(found, Some(BTreeMap::from([(wanted[0].clone(), module.clone()), (wanted[1].clone(), b"a".to_vec())])));
    assert_eq!(store.contents(&fixture.tenant, &wanted, 3).await.unwrap(), None, "too large together");
    fixture.new_tenant("other", "conn-other").await;
    let other = "other".into();
    assert_eq!(store.contents(&other, &wanted, 9).await.unwrap(), Some(BTreeMap::new()));
    assert_eq!(store.plugins(&other, 9).await.unwrap(), []);
}

async fn activation_expects_what_it_replaces(fixture: Fixture) {
    fixture.activate("r1").await;
    let store = &fixture.store;
    let missing = store.activate(&fixture.tenant, &NewActivation::of("r9".into(), Some("r1".into())), &actor(), START).await;
    assert!(matches!(missing, Err(StoreError::Missing("revision"))), "{missing:?}");
    for wrong in [None, Some("r9".into())] {
        let lost = store.activate(&fixture.tenant, &NewActivation::of("r1".into(), wrong), &actor(), START).await;
        assert!(matches!(lost, Err(StoreError::Conflict { what: "revision" })), "{lost:?}");
    }
    fixture.activate("r2").await;
    assert_eq!(store.tenant(&fixture.tenant).await.unwrap().unwrap().active_revision, Some("r2".into()));
    assert_eq!(fixture.event_kinds().await, ["connection.created", "revision.activated", "revision.activated"]);
}

async fn a_connection_is_found_by_its_id_and_its_tokens(fixture: Fixture) {
    let store = &fixture.store;
    let found = store.find_connection(&fixture.connection).await.unwrap();
    assert_eq!(found, Some((fixture.tenant.clone(), ConnectionState::Active)));
    assert_eq!(store.find_connection(&"conn-\0".into()).await.unwrap(), None);
    let credential = store.find_connection_token("hash of first of conn-acme").await.unwrap().unwrap();
    assert_eq!((credential.tenant, credential.connection), (fixture.tenant.clone(), fixture.connection.clone()));
    assert_eq!(store.find_connection_token("hash of another").await.unwrap(), None);
    store.set_connection_state(&fixture.tenant, &fixture.connection, ConnectionState::Paused, &actor(), START).await.unwrap();
    let found = store.find_connection(&fixture.connection).await.unwrap();
    assert_eq!(found, Some((fixture.tenant.clone(), ConnectionState::Paused)));
    let nowhere = store.set_connection_state(&fixture.tenant, &"conn-x".into(), ConnectionState::Paused, &actor(), START).await;
    assert!(matches!(nowhere, Err(StoreError::Missing("connection"))), "{nowhere:?}");
}

async fn at_most_two_tokens_live(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    let overlap = START.plus_seconds(3_600);
    let rotate = async |id: &str, at: Instant| {
        store.rotate_token(tenant, connection, CredentialKind::Bearer, &token(id, at), overlap, &actor()).await.unwrap();
        let connections = store.connections(tenant).await.unwrap();
        connections[0].tokens.iter().map(|token| (token.id.clone(), token.expires)).collect::<Vec<_>>()
    };
    let first = "first of conn-acme".to_owned();
    assert_eq!(rotate("second", START.plus_seconds(1)).await, [("second".into(), None), (first, Some(overlap))]);
    // The first is gone at once; the second ends with the overlap.
    assert_eq!(rotate("third", START.plus_seconds(2)).await, [("third".into(), None), ("second".into(), Some(overlap))]);
    assert_eq!(store.find_connection_token("hash of first of conn-acme").await.unwrap(), None);
    assert_eq!(store.find_connection_token("hash of second").await.unwrap().unwrap().expires, Some(overlap));
    let missing = store.rotate_token(tenant, &"conn-x".into(), CredentialKind::Bearer, &token("x", START), overlap, &actor()).await;
    assert!(matches!(missing, Err(StoreError::Missing("connection"))), "{missing:?}");
}

async fn connection_names_are_unique_in_the_tenant(fixture: Fixture) {
    fixture.new_tenant("globex", "conn-globex").await;
    let mut twin = fixture.store.connections(&fixture.tenant).await.unwrap().remove(0);
    twin.id = "conn-2".into();
    let taken = fixture.store.create_connection(&fixture.tenant, &twin, &token("t2", START), &actor()).await;
    assert!(matches!(taken, Err(StoreError::Taken { attribute: "name" })), "{taken:?}");
    // Another tenant may use the name.
    fixture.store.create_connection(&"globex".into(), &twin, &token("t2", START), &actor()).await.unwrap();
}

async fn uses_are_noted_by_the_minute_and_wrong_credentials_counted(fixture: Fixture) {
    let (store, tenant, connection) = (&fixture.store, &fixture.tenant, &fixture.connection);
    let token_id = Some("first of conn-acme");
    let seen = async || {
        let connection = store.connections(tenant).await.unwrap().remove(0);
        (connection.last_seen, connection.tokens[0].last_used, connection.wrong_credentials)
    };
    store.note_credential(tenant, connection, token_id, START).await.unwrap();
    assert_eq!(seen().await, (Some(START), Some(START), 0));
    store.note_credential(tenant, connection, token_id, START.plus_seconds(59)).await.unwrap();
    assert_eq!(seen().await, (Some(START), Some(START), 0));
    let later = START.plus_seconds(60);
    store.note_credential(tenant, connection, token_id, later).await.unwrap();
    assert_eq!(seen().await, (Some(later), Some(later), 0));
    for _ in 0..3 {
        store.note_credential(tenant, connection, None, later).await.unwrap();
    }
    assert_eq!(seen().await, (Some(later), Some(later), 3));
}

async fn api_tokens_are_found_by_their_hash(fixture: Fixture) {
    let store = &fixture.store;
    assert_eq!(store.count_operator_tokens(START).await.unwrap(), 0);
    let everything = ApiScope { tenant: None, write: true, ..ApiScope::default() };
    let one = ApiScope {
        tenant: Some(fixture.tenant.clone()),
        write: false,
        person: Some("ada".into()),
        admin_roles: BTreeSet::from(["reviewer".to_owned()]),
    };
    store.create_api_token(&token("operator", START), &everything, None, &actor()).await.unwrap();
    store.create_api_token(&token("reader", START), &one, Some("payroll"), &actor()).await.unwrap();
    // Those that let nobody administer the server are not counted: a tenant's, one that may only read, one that has ended.
    let reading = ApiScope::default();
    store.create_api_token(&token("auditor", START), &reading, None, &actor()).await.unwrap();
    let ended = NewToken { expires: Some(START), ..token("ended", START) };
    store.create_api_token(&ended, &everything, None, &actor()).await.unwrap();
    assert_eq!(store.count_operator_tokens(START).await.unwrap(), 1);
    // Whoever has the role may do it without the right to write.
    let by_role = ApiScope { admin_roles: BTreeSet::from(["platform-operator".to_owned()]), ..ApiScope::default() };
    let living = NewToken { expires: Some(Instant(i64::MAX)), ..token("role", START) };
    store.create_api_token(&living, &by_role, None, &actor()).await.unwrap();
    assert_eq!(store.count_operator_tokens(START).await.unwrap(), 2);
    for gone in ["auditor", "ended", "role"] {
        store.end_api_token(None, gone, &actor(), START).await.unwrap();
    }
    assert_eq!(store.count_operator_tokens(START).await.unwrap(), 1);
    assert_eq!(store.find_api_token("hash of operator").await.unwrap().unwrap().scope, everything);
    assert_eq!(store.find_api_token("hash of reader").await.unwrap().unwrap().scope, one);
    assert_eq!(store.find_api_token("hash of nobody").await.unwrap(), None);

    // Listed with what they are for and by whom they were made; used, and ended where they belong.
    fixture.new_tenant("globex", "conn-globex").await;
    let globex = "globex".into();
    let reader = store.find_api_token("hash of reader").await.unwrap().unwrap().token_id;
    store.note_api_token(&reader, START.plus_seconds(60)).await.unwrap();
    store.note_api_token(&reader, START).await.unwrap();
    let listed = store.api_tokens(Some(&fixture.tenant), None, 9).await.unwrap();
    assert_eq!(
        listed,
        [ApiTokenInfo {
            id: reader.clone(),
            name: Some("payroll".into()),
            scope: one,
            created: START,
            created_by: Some(actor()),
            last_used: Some(START.plus_seconds(60)),
            expires: None,
        }]
    );
    assert_eq!(store.api_tokens(Some(&fixture.tenant), Some(&reader), 9).await.unwrap(), []);
    assert_eq!(store.api_tokens(Some(&globex), None, 9).await.unwrap(), []);
    let platform = store.api_tokens(None, None, 9).await.unwrap();
    assert_eq!(platform.iter().map(|token| (token.name.clone(), token.last_used)).collect::<Vec<_>>(), [(None, None)]);
    for elsewhere in [None, Some(&globex)] {
        let refused = store.end_api_token(elsewhere, &reader, &actor(), START).await;
        assert!(matches!(refused, Err(StoreError::Missing(_))), "{refused:?}");
    }
    store.end_api_token(Some(&fixture.tenant), &reader, &actor(), START).await.unwrap();
    assert_eq!(store.find_api_token("hash of reader").await.unwrap(), None);
    assert_eq!(fixture.event_kinds().await.iter().filter(|kind| *kind == "token.revoked").count(), 1);
    store.end_api_token(None, &platform[0].id, &actor(), START).await.unwrap();
    assert_eq!(store.count_operator_tokens(START).await.unwrap(), 0);
}

async fn secrets_open_for_their_tenant_only(fixture: Fixture) {
    fixture.new_tenant("globex", "conn-globex").await;
    let sealed = fixture.store.seal_secret(&fixture.tenant, b"whsec").await.unwrap();
    assert_eq!(&fixture.store.open_secret(&fixture.tenant, &sealed).await.unwrap()[..], b"whsec");
    assert!(fixture.store.open_secret(&"globex".into(), &sealed).await.is_err());
    // The key is stored, not only kept.
    assert_eq!(&fixture.another_host().await.open_secret(&fixture.tenant, &sealed).await.unwrap()[..], b"whsec");
}

async fn tenants_are_apart(fixture: Fixture) {
    let here = fixture.here();
    let ana = here.create_user("ana").await;
    let group = here.create_group("eng", &[&ana]).await;
    let binding = HandleBinding {
        handle: "eng".into(),
        connection: here.connection.clone(),
        group: group.clone(),
        external_id: None,
        display_name: "eng".into(),
        confirmed: true,
        bound: START,
    };
    here.commit(Change { bind_handle: Some(binding), ..here.change() }).await.unwrap();
    let target =
        Target { id: "hook".into(), tenant: here.tenant.clone(), url: "https://a.example".into(), sealed_secret: vec![1], enabled: true };
    fixture.store.put_target(&target, &actor(), START).await.unwrap();
    fixture.event_kinds().await;
    fixture.new_tenant("globex", "conn-globex").await;

    // The other tenant's name with this tenant's ids finds nothing, whatever is asked.
    let (store, other, connection) = (&fixture.store, &"globex".into(), &fixture.connection);
    assert!(store.people(other, connection, std::slice::from_ref(&ana)).await.unwrap().is_empty());
    assert_eq!(store.resource(other, connection, ResourceKind::User, &ana).await.unwrap(), None);
    assert_eq!(store.user(other, connection, &ana).await.unwrap(), None);
    assert!(store.members(other, connection, std::slice::from_ref(&group), 10).await.unwrap()[&group].is_empty());
    assert!(store.as_members(other, connection, std::slice::from_ref(&ana)).await.unwrap().is_empty());
    assert!(store.which_members(other, connection, &group, std::slice::from_ref(&ana)).await.unwrap().is_empty());
    assert!(store.groups_of(other, connection, std::slice::from_ref(&ana), usize::MAX).await.unwrap()[&ana].is_empty());
    assert_eq!(store.users_below(other, connection, std::slice::from_ref(&group), 10).await.unwrap(), Some(Vec::new()));
    assert_eq!(store.handle(other, &Handle::from("eng")).await.unwrap(), None);
    assert!(store.handles(other).await.unwrap().is_empty());
    assert!(store.accounts(other, None, None, 10).await.unwrap().is_empty());
    assert_eq!(store.account(other, "ana").await.unwrap(), None);
    assert_eq!(store.account(other, "account-ana").await.unwrap(), None);
    assert!(store.name_holders(other, &["ana".to_owned()]).await.unwrap().is_empty());
    assert!(store.targets(other).await.unwrap().is_empty());
    assert!(store.unbound_groups(other, Some(&group), None, 10).await.unwrap().is_empty());
    while store.number_events().await.unwrap() > 0 {}
    let events = store.events(other, 0, 100).await.unwrap();
    assert_eq!(events.iter().map(|event| (event.seq, event.kind.as_str())).collect::<Vec<_>>(), [(1, "connection.created")]);
    // Nor can it write there.
    let theirs = crate::fixture::Through { tenant: other.clone(), ..here.clone() };
    let written = theirs.commit(theirs.creation("bob")).await;
    assert!(matches!(written, Err(StoreError::Missing("connection"))), "{written:?}");
    let confirmed = store.confirm_handle(other, &"eng".into(), &actor(), START).await;
    assert!(matches!(confirmed, Err(StoreError::Missing("handle"))), "{confirmed:?}");
    let deleted = store.delete_connection(other, connection, &actor(), START).await;
    assert!(matches!(deleted, Err(StoreError::Missing("connection"))), "{deleted:?}");
    assert_eq!(here.version(ResourceKind::User, &ana).await, Some(1));
}
