//! Imported accounts: written all or none, found by batched look-ups, adopted when a connection goes live with what was seen of it.

use std::collections::BTreeMap;

use rolecall::model::{AccountId, AccountState, Cause, ConnectionState, Note, ResourceId, RoleId, RulingKind, collision_key};
use rolecall::store::{AdoptionChoice, AdoptionPlan, AdoptionWord, ImportProblem, Imported, NewImport, Person, Result, Staged, StoreError};
use serde_json::json;

use crate::fixture::{Fixture, START, Through, actor};

store_contract_suite!(
    all_rows_are_imported_or_none,
    people_are_found_beside_what_was_imported,
    a_connection_goes_live_with_what_was_seen,
    what_is_protected_is_nobodys,
    an_adopted_account_and_one_that_was_made_are_no_race,
);

pub fn row(name: &str, external_id: Option<&str>, roles: &[&str]) -> NewImport {
    NewImport {
        account: AccountId(format!("import-{name}")),
        user_name: name.into(),
        name_key: collision_key(name),
        external_id: external_id.map(str::to_owned),
        emails: vec![format!("{name}@example.com")],
        profile: json!({"user_name": name}),
        roles: roles.iter().map(|role| RoleId::from(*role)).collect(),
        protected: None,
        digest: format!("{name} {external_id:?} {roles:?}"),
    }
}

pub async fn import(fixture: &Fixture, rows: &[NewImport]) -> std::result::Result<Imported, BTreeMap<usize, ImportProblem>> {
    fixture.store.import_accounts(&fixture.tenant, rows, Some(&"r1".into()), false, &actor(), START).await.unwrap()
}

/// An import, a decision and what it is about: every table has a row.
pub async fn imported(here: &Through<'_>, fixture: &Fixture, user: &ResourceId) {
    import(fixture, &[row("relic", None, &[])]).await.unwrap();
    fixture.store.set_connection_state(&fixture.tenant, &here.connection, ConnectionState::Staging, &actor(), START).await.unwrap();
    let person = here.person(user).await;
    hold(here, &person, Note::STAGING).await;
    choose(fixture, here, user, AdoptionChoice::New).await.unwrap();
}

/// Holds the account that was made for somebody, as staging does.
async fn hold(here: &Through<'_>, person: &Person, code: &str) {
    use rolecall::store::{AccountWrite, Change, Effect, PersonOutcome};
    let name = person.account.user_name.clone().unwrap();
    let write = AccountWrite {
        id: person.account.id.clone(),
        state: AccountState::Held,
        name_key: None,
        wanted_key: Some(collision_key(&name)),
        user_name: Some(name),
        profile: person.account.profile.clone(),
        provenance: person.account.provenance.clone(),
        note: Some(Note { code: code.into(), path: None, message: String::new() }),
    };
    let revision = here.active().await;
    let effect = Effect { account: Some(write), ..Effect::default() };
    let outcome = crate::fixture::outcome(&person.resource.id, person.evaluation.input_version);
    let outcome = PersonOutcome { effect, revision: revision.clone(), ..outcome };
    here.commit(Change { persons: vec![outcome], revision, ..here.change() }).await.unwrap();
}

async fn choose(fixture: &Fixture, here: &Through<'_>, user: &ResourceId, choice: AdoptionChoice) -> Result<()> {
    let word = AdoptionWord { user: user.clone(), choice, reason: "because".into(), actor: actor(), at: START };
    fixture.store.choose_account(&fixture.tenant, &here.connection, &word).await
}

/// People of a staged connection, held.
async fn staged(fixture: &Fixture, here: &Through<'_>, names: &[&str]) -> Vec<ResourceId> {
    fixture.store.set_connection_state(&fixture.tenant, &here.connection, ConnectionState::Staging, &actor(), START).await.unwrap();
    let mut users = Vec::new();
    for name in names {
        let user = here.create_user(name).await;
        hold(here, &here.person(&user).await, Note::STAGING).await;
        users.push(user);
    }
    users
}

async fn all_rows_are_imported_or_none(fixture: Fixture) {
    let here = fixture.here();
    here.create_user("fed").await;
    let rows = [row("ada", Some("e1"), &["dev", "ops"]), row("bob", None, &[])];
    let done = import(&fixture, &rows).await.unwrap();
    assert_eq!((done.created, done.unchanged), (2, 0));
    assert_eq!(import(&fixture, &rows).await.unwrap(), Imported { unchanged: 2, ..Imported::default() });
    let problems = import(&fixture, &[row("fed", None, &[]), row("new", None, &[]), row("other", Some("e1"), &[])]).await.unwrap_err();
    assert_eq!(problems, BTreeMap::from([(0, ImportProblem::NameTaken), (2, ImportProblem::ExternalIdTaken)]));
    assert!(fixture.store.account(&fixture.tenant, "new").await.unwrap().is_none(), "one that is wrong keeps all of them out");
    let changed = NewImport { protected: Some(true), ..row("ada", Some("e1"), &["ops", "read"]) };
    assert_eq!(import(&fixture, &[changed]).await.unwrap().changed, 1);
    let ada = fixture.store.account(&fixture.tenant, "ADA").await.unwrap().unwrap();
    assert_eq!(ada.account.id, AccountId("import-ada".into()));
    assert_eq!(ada.grants.iter().map(|grant| grant.role.as_str()).collect::<Vec<_>>(), ["ops", "read"]);
    assert!(ada.imported.unwrap().protected && ada.source.is_none() && ada.account.holds_name);
    let kinds = fixture.event_kinds().await;
    let count = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
    assert_eq!((count("grant.added"), count("grant.removed"), count("account.protected")), (3, 1, 1), "{kinds:?}");
    let tried = fixture.store.import_accounts(&fixture.tenant, &[row("dry", None, &[])], None, true, &actor(), START).await.unwrap();
    assert_eq!(tried.unwrap().created, 1);
    assert!(fixture.store.account(&fixture.tenant, "dry").await.unwrap().is_none());
}

async fn people_are_found_beside_what_was_imported(fixture: Fixture) {
    let here = fixture.here();
    let users = staged(&fixture, &here, &["ada", "bob", "carl"]).await;
    import(&fixture, &[row("ada", None, &["dev"]), row("b", Some("ext-bob"), &[]), row("dora", None, &[]), row("zed", None, &[])])
        .await
        .unwrap();
    let page =
        async |after: Option<&ResourceId>, limit| fixture.store.staged(&fixture.tenant, &here.connection, after, limit).await.unwrap();
    let all = page(None, 10).await;
    let first = page(None, 2).await;
    assert_eq!((&first[..], page(Some(&first[1].user), 2).await), (&all[..2], all[2..].to_vec()));
    let by = |staged: &Staged| {
        let of = staged.candidates.iter();
        of.map(|found| (found.account.0.clone(), found.by.name, found.by.external_id, found.by.email, found.rivals)).collect::<Vec<_>>()
    };
    assert_eq!(by(&all[0]), [("import-ada".to_owned(), true, false, true, false)]);
    assert_eq!((all[0].holder.as_ref().map(AccountId::as_str), all[0].candidates[0].roles.len()), (Some("import-ada"), 1));
    assert_eq!(by(&all[1]), [("import-b".to_owned(), false, true, false, false)]);
    assert_eq!((by(&all[2]), &all[2].holder), (vec![], &None));
    assert_eq!(fixture.store.staged_of(&fixture.tenant, &here.connection, &users[1..2]).await.unwrap(), all[1..2]);
    let left = fixture.store.unadopted(&fixture.tenant, &here.connection, None, 10).await.unwrap();
    let alike: Vec<usize> = left.iter().map(|left| left.alike.len()).collect();
    assert_eq!((left.len(), alike), (4, vec![1, 1, 0, 0]));
    let behind = fixture.store.unadopted(&fixture.tenant, &here.connection, Some(&left[1].account), 10).await.unwrap();
    assert_eq!(behind, left[2..]);
    // Somebody else with as much in common is seen from both sides.
    import(&fixture, &[row("carl", Some("ext-bob"), &[])]).await.unwrap_err();
    import(&fixture, &[row("carl", Some("ext-ada"), &[])]).await.unwrap();
    let all = page(None, 10).await;
    assert_eq!(by(&all[2]), [("import-carl".to_owned(), true, false, true, true)]);
    assert!(by(&all[0]).contains(&("import-carl".to_owned(), false, true, false, true)), "{:?}", all[0]);
}

async fn a_connection_goes_live_with_what_was_seen(fixture: Fixture) {
    let here = fixture.here();
    let users = staged(&fixture, &here, &["ada", "bob"]).await;
    import(&fixture, &[row("ada", None, &["dev"]), row("d", None, &[])]).await.unwrap();
    let made = here.person(&users[0]).await;
    let mark = async || fixture.store.difference_mark(&fixture.tenant, &here.connection).await.unwrap();
    let seen = mark().await;
    let plan = AdoptionPlan {
        adopt: vec![(users[0].clone(), made.account.id.clone(), "import-ada".into())],
        doubts: vec![here.person(&users[1]).await.account.id],
        totals: json!({}),
        ..AdoptionPlan::default()
    };
    let go = async |seen: &_| fixture.store.go_live(&fixture.tenant, &here.connection, &plan, seen, &actor(), START).await;
    // Whatever it depends on moves it: what is imported, what is decided, who is deleted.
    choose(&fixture, &here, &users[1], AdoptionChoice::Adopt("import-d".into())).await.unwrap();
    let chosen = mark().await;
    assert_eq!(go(&seen).await.unwrap(), Err(chosen.clone()));
    let resumed = fixture.store.set_connection_state(&fixture.tenant, &here.connection, ConnectionState::Active, &actor(), START).await;
    assert!(matches!(resumed, Err(StoreError::Conflict { what: "connection" })), "{resumed:?}");
    assert_eq!(
        fixture.store.staged(&fixture.tenant, &here.connection, None, 10).await.unwrap()[1].choice,
        Some(AdoptionChoice::Adopt("import-d".into()))
    );
    go(&chosen).await.unwrap().unwrap();
    assert!(matches!(go(&chosen).await, Err(StoreError::Conflict { what: "connection_state" })));
    let ada = here.person(&users[0]).await;
    assert_eq!((ada.account.id.as_str(), ada.account.note.unwrap().code.as_str()), ("import-ada", Note::ADOPTED));
    assert_eq!((ada.grants.len(), ada.evaluation.cause), (1, Some(Cause::Resumed)));
    assert!(ada.evaluation.input_version > made.evaluation.input_version);
    let gone = fixture.store.account(&fixture.tenant, made.account.id.as_str()).await.unwrap().unwrap();
    assert_eq!((gone.account.state, gone.account.holds_name, gone.source), (AccountState::Removed, false, None));
    let bob = here.person(&users[1]).await;
    assert_eq!(bob.rulings.iter().map(|ruling| ruling.kind).collect::<Vec<_>>(), [RulingKind::Adoption]);
    assert_eq!(fixture.store.staged(&fixture.tenant, &here.connection, None, 10).await.unwrap()[1].choice, None);
    choose(&fixture, &here, &users[1], AdoptionChoice::New).await.unwrap();
    assert_eq!(here.person(&users[1]).await.rulings, []);
    assert!(matches!(choose(&fixture, &here, &users[1], AdoptionChoice::New).await, Err(StoreError::Conflict { what: "adoption" })));
    choose(&fixture, &here, &users[1], AdoptionChoice::Adopt("import-d".into())).await.unwrap();
    assert_eq!(here.person(&users[1]).await.account.id.as_str(), "import-d");
    assert_eq!(import(&fixture, &[row("ada", None, &["dev"])]).await.unwrap().adopted, 1);
}

async fn what_is_protected_is_nobodys(fixture: Fixture) {
    let here = fixture.here();
    import(&fixture, &[row("root", None, &["dev"])]).await.unwrap();
    let users = staged(&fixture, &here, &["fed"]).await;
    let protect = async |account: &str, protected| {
        fixture.store.set_protected(&fixture.tenant, &account.into(), protected, "because", &actor(), START).await
    };
    assert!(matches!(protect("account-fed", true).await, Err(StoreError::Conflict { what: "fed" })));
    protect("import-root", true).await.unwrap();
    let adopt = AdoptionChoice::Adopt("import-root".into());
    assert!(matches!(choose(&fixture, &here, &users[0], adopt.clone()).await, Err(StoreError::Conflict { what: "import" })));
    let made = here.person(&users[0]).await.account.id;
    let plan = AdoptionPlan { adopt: vec![(users[0].clone(), made.clone(), "import-root".into())], ..AdoptionPlan::default() };
    let mark = fixture.store.difference_mark(&fixture.tenant, &here.connection).await.unwrap();
    let refused = fixture.store.go_live(&fixture.tenant, &here.connection, &plan, &mark, &actor(), START).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "import" })), "{refused:?}");
    assert_eq!(here.person(&users[0]).await.account.id, made, "all of it, or nothing");
    protect("import-root", false).await.unwrap();
    choose(&fixture, &here, &users[0], adopt).await.unwrap();
}

/// What was computed of a person before the adoption is about another account, and can't be committed after it.
async fn an_adopted_account_and_one_that_was_made_are_no_race(fixture: Fixture) {
    let here = fixture.here();
    import(&fixture, &[row("relic", None, &["dev"])]).await.unwrap();
    let user = here.create_user("ada").await;
    hold(&here, &here.person(&user).await, Note::ADOPTION).await;
    let before = here.person(&user).await;
    choose(&fixture, &here, &user, AdoptionChoice::Adopt("import-relic".into())).await.unwrap();
    let revision = here.active().await;
    let stale = crate::fixture::outcome(&user, before.evaluation.input_version);
    let change = rolecall::store::Change { persons: vec![stale], revision, ..here.change() };
    assert!(matches!(here.commit(change).await, Err(StoreError::Conflict { what: "person" })));
    assert!(matches!(
        choose(&fixture, &here, &user, AdoptionChoice::Adopt("import-relic".into())).await,
        Err(StoreError::Conflict { what: "adoption" })
    ));
}
