//! Sessions, links, providers and sign-ins of the workspace.

use std::collections::BTreeSet;

use rolecall::model::{Actor, ConnectionId, Instant, LinkPurpose, TenantId};
use rolecall::store::{ApiScope, Link, Session, SessionQuery, SignIn, SignInIssuer, StoreError};

use serde_json::{Value, json};

use crate::fixture::{Fixture, START};

store_contract_suite!(
    a_session_is_found_noted_and_ended_by_its_own,
    what_has_ended_is_taken_out,
    a_link_is_taken_once,
    providers_are_set_replaced_and_removed,
    a_sign_in_is_taken_once,
);

fn session(id: &str, scope: ApiScope) -> Session {
    let (id, hash) = (id.to_owned(), format!("hash of {id}"));
    let expires = START.plus_seconds(3_600);
    Session { id, hash, scope, name: "Ada".into(), via: "link".into(), created: START, last_used: START, expires }
}

fn link(id: &str, purpose: LinkPurpose, scope: ApiScope, connection: Option<&str>, created: Instant) -> Link {
    Link {
        id: id.into(),
        hash: format!("hash of {id}"),
        purpose,
        scope,
        connection: connection.map(ConnectionId::from),
        name: "Ada".into(),
        created,
        expires: created.plus_seconds(60),
    }
}

fn somebody() -> Actor {
    Actor { kind: "person".into(), id: "grace".into() }
}

fn of(fixture: &Fixture) -> ApiScope {
    let admin_roles = BTreeSet::from(["auditor".to_owned()]);
    ApiScope { tenant: Some(fixture.tenant.clone()), person: Some("ada".into()), admin_roles, ..ApiScope::default() }
}

async fn a_session_is_found_noted_and_ended_by_its_own(fixture: Fixture) {
    let store = &fixture.store;
    let (own, platform) = (session("one", of(&fixture)), session("two", ApiScope { write: true, ..ApiScope::default() }));
    store.begin_session(&own, Some("link-1")).await.unwrap();
    store.begin_session(&platform, None).await.unwrap();
    assert_eq!(store.find_session("hash of one").await.unwrap(), Some(own.clone()));
    assert_eq!(store.find_session("hash of nobody").await.unwrap(), None);
    store.note_session("one", START.plus_seconds(60)).await.unwrap();
    store.note_session("one", START.plus_seconds(30)).await.unwrap();
    assert_eq!(store.find_session("hash of one").await.unwrap().unwrap().last_used, START.plus_seconds(60));
    let listed = async |tenant: Option<&str>| {
        let found = store.sessions(SessionQuery { tenant, limit: 10 }, START.plus_seconds(60)).await.unwrap();
        found.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(Some(fixture.tenant.as_str())).await, ["one"]);
    assert_eq!(listed(None).await, ["two"]);
    assert_eq!(listed(Some("globex")).await, Vec::<String>::new());
    // Neither the platform's nor another tenant's to end.
    for tenant in [None, Some(&"globex".into())] {
        let refused = store.end_session(tenant, "one", &somebody(), START).await;
        assert!(matches!(refused, Err(StoreError::Missing("session"))), "{refused:?}");
    }
    store.end_session(Some(&fixture.tenant), "one", &somebody(), START).await.unwrap();
    store.end_session(None, "two", &somebody(), START).await.unwrap();
    assert_eq!(store.find_session("hash of one").await.unwrap(), None);
    assert_eq!(listed(None).await, Vec::<String>::new());
    // The tenant is told of its own, without whom it names; what is refused and the platform's stay out.
    while store.number_events().await.unwrap() > 0 {}
    let events = store.events(&fixture.tenant, 0, 100).await.unwrap();
    let told: Vec<_> = events.iter().filter(|event| event.kind.starts_with("session.")).collect();
    let [begun, ended] = told[..] else { panic!("{events:?}") };
    let data = json!({"session": "one", "via": "link", "link": "link-1", "write": false, "named": true, "admin_roles": ["auditor"],
                      "expires": own.expires});
    assert_eq!((begun.kind.as_str(), &begun.data, begun.actor.id.as_str()), ("session.begun", &data, "ada"));
    assert_eq!((ended.kind.as_str(), &ended.data, &ended.actor), ("session.ended", &json!({"session": "one"}), &somebody()));
}

async fn what_has_ended_is_taken_out(fixture: Fixture) {
    let store = &fixture.store;
    store.begin_session(&session("old", of(&fixture)), None).await.unwrap();
    store.put_link(&link("old", LinkPurpose::SignIn, of(&fixture), None, START), &somebody()).await.unwrap();
    let later = START.plus_seconds(7_200);
    let new = Session { created: later, expires: later.plus_seconds(1), ..session("new", of(&fixture)) };
    store.begin_session(&new, None).await.unwrap();
    assert_eq!(store.find_session("hash of old").await.unwrap(), None);
    assert_eq!(store.find_link("hash of old").await.unwrap(), None);
    assert!(store.find_session("hash of new").await.unwrap().is_some());
}

async fn a_link_is_taken_once(fixture: Fixture) {
    let store = &fixture.store;
    let sign_in = link("in", LinkPurpose::SignIn, of(&fixture), None, START);
    let setup = link("setup", LinkPurpose::Setup, of(&fixture), Some("conn"), START);
    store.put_link(&sign_in, &somebody()).await.unwrap();
    store.put_link(&setup, &somebody()).await.unwrap();
    assert_eq!(store.find_link("hash of in").await.unwrap(), Some(sign_in.clone()));
    let taken = futures_util::future::join_all((0..8).map(|_| store.take_link("hash of in"))).await;
    let taken: Vec<Link> = taken.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(taken, [sign_in], "one of all who ask at once gets it");
    let end = async |tenant: &TenantId, connection: &str| store.end_links(tenant, &connection.into(), &somebody(), START).await.unwrap();
    assert_eq!(end(&fixture.tenant, "other").await, 0);
    assert_eq!(end(&"globex".into(), "conn").await, 0);
    assert_eq!(store.find_link("hash of setup").await.unwrap(), Some(setup));
    assert_eq!(end(&fixture.tenant, "conn").await, 1);
    assert_eq!(store.find_link("hash of setup").await.unwrap(), None);
    while store.number_events().await.unwrap() > 0 {}
    let events = store.events(&fixture.tenant, 0, 100).await.unwrap();
    let told: Vec<_> = events.iter().filter(|event| event.kind.starts_with("link.")).map(|event| (&*event.kind, &event.data)).collect();
    let made = |id: &str, purpose: &str, connection: Option<&str>| {
        json!({"link": id, "purpose": purpose, "connection": connection, "write": false, "named": true, "admin_roles": ["auditor"],
               "expires": START.plus_seconds(60)})
    };
    let wanted = [
        ("link.made", made("in", "sign_in", None)),
        ("link.made", made("setup", "setup", Some("conn"))),
        ("link.ended", json!({"purpose": "setup", "connection": "conn", "links": 1})),
    ];
    assert_eq!(told, wanted.iter().map(|(kind, data)| (*kind, data)).collect::<Vec<_>>());
}

async fn providers_are_set_replaced_and_removed(fixture: Fixture) {
    let store = &fixture.store;
    let one = SignInIssuer {
        id: "acme.one".into(),
        tenant: Some(fixture.tenant.clone()),
        settings: "{}".into(),
        sealed_secret: Some(vec![1, 2]),
        created: START,
    };
    let platform = SignInIssuer { id: "ops".into(), tenant: None, sealed_secret: None, ..one.clone() };
    store.put_sign_in_issuer(&one, &somebody(), START).await.unwrap();
    store.put_sign_in_issuer(&platform, &somebody(), START).await.unwrap();
    let changed = SignInIssuer { settings: "{\"a\":1}".into(), sealed_secret: None, ..one.clone() };
    store.put_sign_in_issuer(&changed, &somebody(), START).await.unwrap();
    assert_eq!(store.sign_in_issuers(Some(&fixture.tenant)).await.unwrap(), std::slice::from_ref(&changed));
    assert_eq!(store.sign_in_issuers(None).await.unwrap(), std::slice::from_ref(&platform));
    assert_eq!(store.sign_in_issuer("acme.one").await.unwrap(), Some(changed));
    assert!(store.remove_sign_in_issuer(None, "acme.one", &somebody(), START).await.is_err());
    store.remove_sign_in_issuer(Some(&fixture.tenant), "acme.one", &somebody(), START).await.unwrap();
    assert_eq!(store.sign_in_issuer("acme.one").await.unwrap(), None);
    // The tenant is told of its own.
    while store.number_events().await.unwrap() > 0 {}
    let told = store.events(&fixture.tenant, 1, 10).await.unwrap();
    let of = |settings: Value, secret_changed: bool| json!({"provider": "one", "settings": settings, "secret_changed": secret_changed});
    let wanted = [
        ("provider.created", of(json!({}), true)),
        ("provider.changed", of(json!({"a": 1}), true)),
        ("provider.removed", json!({"provider": "one"})),
    ];
    let told: Vec<_> = told.iter().map(|event| (event.kind.as_str(), &event.data)).collect();
    assert_eq!(told, wanted.iter().map(|(kind, data)| (*kind, data)).collect::<Vec<_>>());
}

async fn a_sign_in_is_taken_once(fixture: Fixture) {
    let store = &fixture.store;
    let issuer = SignInIssuer { id: "ops".into(), tenant: None, settings: "{}".into(), sealed_secret: None, created: START };
    store.put_sign_in_issuer(&issuer, &somebody(), START).await.unwrap();
    let sign_in = |hash: &str| SignIn { hash: hash.into(), issuer: "ops".into(), sealed: vec![7], expires: START.plus_seconds(60) };
    store.begin_sign_in(&sign_in("a"), START).await.unwrap();
    store.begin_sign_in(&sign_in("b"), START).await.unwrap();
    assert_eq!(store.take_sign_in("a").await.unwrap(), Some(sign_in("a")));
    assert_eq!(store.take_sign_in("a").await.unwrap(), None);
    // Whoever is on the way to a provider that is removed meanwhile comes back to nothing.
    store.remove_sign_in_issuer(None, "ops", &somebody(), START).await.unwrap();
    assert_eq!(store.take_sign_in("b").await.unwrap(), None);
}
