//! People found by what others know them by, and who holds a role.

use rolecall::model::{AccountState, GrantState};
use rolecall::store::{AccountView, Change, Effect, NamePlace, NameQuery, PersonOutcome};

use crate::fixture::{Fixture, account, grant, held, outcome};

store_contract_suite!(
    names_that_begin_alike_are_paged_in_their_order,
    a_state_narrows_a_search_by_name,
    people_are_known_by_address_display_name_and_external_id,
    holders_of_a_role_are_paged_and_counted,
    people_without_a_decision_are_listed,
);

fn ids(views: &[AccountView]) -> Vec<&str> {
    views.iter().map(|view| view.account.id.as_str()).collect()
}

fn query(prefix: &str, after: Option<NamePlace>) -> NameQuery {
    NameQuery { prefix: prefix.into(), state: None, after, limit: 2 }
}

async fn names_that_begin_alike_are_paged_in_their_order(fixture: Fixture) {
    for name in ["anna", "Ann", "bob", "annika", "an\u{10FFFE}"] {
        fixture.here().create_user(name).await;
    }
    let page = fixture.store.accounts_named(&fixture.tenant, &query("ANN", None)).await.unwrap();
    assert_eq!(ids(&page.accounts), ["account-Ann", "account-anna"]);
    let next = fixture.store.accounts_named(&fixture.tenant, &query("ANN", page.next)).await.unwrap();
    assert_eq!((ids(&next.accounts), next.next), (vec!["account-annika"], None));
    let wide = NameQuery { limit: 10, ..query("an", None) };
    assert_eq!(fixture.store.accounts_named(&fixture.tenant, &wide).await.unwrap().accounts.len(), 4);
    for nobody in ["", "a\0", "zoe"] {
        let page = fixture.store.accounts_named(&fixture.tenant, &query(nobody, None)).await.unwrap();
        assert_eq!((page.accounts, page.next), (vec![], None), "{nobody:?}");
    }
    fixture.new_tenant("globex", "conn-g").await;
    assert!(fixture.store.accounts_named(&"globex".into(), &query("ann", None)).await.unwrap().accounts.is_empty());
}

async fn a_state_narrows_a_search_by_name(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    fixture.here().create_user("ana").await;
    fixture.here().create_user("anb").await;
    let there = fixture.through("conn-2");
    let mut change = there.creation("waiting");
    change.persons[0].effect.account = Some(held("waiting", "ana"));
    there.commit(change).await.unwrap();
    let held = NameQuery { state: Some(AccountState::Held), ..query("an", None) };
    let page = fixture.store.accounts_named(&fixture.tenant, &held).await.unwrap();
    assert_eq!((ids(&page.accounts), page.next), (vec!["account-waiting"], None));
}

async fn people_are_known_by_address_display_name_and_external_id(fixture: Fixture) {
    fixture.new_connection(&fixture.tenant, "conn-2").await.unwrap();
    fixture.here().create_user("ada").await;
    fixture.through("conn-2").create_user("bob").await;
    for (text, found) in [
        ("ADA@example", vec!["account-ada"]),
        ("bob@example.com", vec!["account-bob"]),
        ("ad", vec!["account-ada"]),
        ("ext-bob", vec!["account-bob"]),
        ("ext-", vec![]),
        ("", vec![]),
        ("b\0", vec![]),
    ] {
        let views = fixture.store.accounts_known_by(&fixture.tenant, text, None).await.unwrap();
        assert_eq!(ids(&views), found, "{text:?}");
    }
    // Those in one state are found behind more others than are shown.
    let here = fixture.here();
    here.create_users("zoe", 25).await;
    let mut waiting = here.creation("zoe-waits");
    waiting.persons[0].effect.account = Some(held("zoe-waits", "zoe00000"));
    here.commit(waiting).await.unwrap();
    let views = fixture.store.accounts_known_by(&fixture.tenant, "zoe", Some(AccountState::Held)).await.unwrap();
    assert_eq!(ids(&views), ["account-zoe-waits"]);
    assert!(fixture.store.accounts_known_by(&fixture.tenant, "zoe", Some(AccountState::Removed)).await.unwrap().is_empty());
}

async fn holders_of_a_role_are_paged_and_counted(fixture: Fixture) {
    let here = fixture.here();
    for name in ["a", "b", "c"] {
        let user = here.create_user(name).await;
        let mut given = grant("reader");
        given.state = if name == "b" { GrantState::Pending } else { GrantState::Effective };
        let effect = Effect { put_grants: vec![given], account: Some(account(name)), ..Effect::default() };
        here.commit(Change { persons: vec![PersonOutcome { effect, ..outcome(&user, 0) }], ..here.change() }).await.unwrap();
    }
    let (tenant, role) = (&fixture.tenant, "reader".into());
    let first = fixture.store.role_holders(tenant, &role, None, 2).await.unwrap();
    let told: Vec<(&str, GrantState)> = first.iter().map(|holder| (holder.account.as_str(), holder.state)).collect();
    assert_eq!(told, [("account-a", GrantState::Effective), ("account-b", GrantState::Pending)]);
    let rest = fixture.store.role_holders(tenant, &role, Some(&first[1].account), 2).await.unwrap();
    assert_eq!(rest.iter().map(|holder| holder.user_name.as_deref()).collect::<Vec<_>>(), [Some("c")]);
    assert_eq!(fixture.store.count_role_holders(tenant, &role, 2).await.unwrap(), 2);
    assert_eq!(fixture.store.count_role_holders(tenant, &role, 9).await.unwrap(), 3);
    assert!(fixture.store.role_holders(tenant, &"x\0".into(), None, 2).await.unwrap().is_empty());
}

async fn people_without_a_decision_are_listed(fixture: Fixture) {
    let here = fixture.here();
    for (name, code) in [("a", "plugin_fault"), ("b", "policy_error"), ("c", "refused")] {
        let mut change = here.creation(name);
        let mut written = held(name, name);
        written.note.as_mut().unwrap().code = code.into();
        change.persons[0].effect.account = Some(written);
        here.commit(change).await.unwrap();
    }
    let faulty = fixture.store.faulty_people(&fixture.tenant, 5).await.unwrap();
    let told: Vec<(&str, &str)> = faulty.iter().map(|faulty| (faulty.account.as_str(), faulty.note.code.as_str())).collect();
    assert_eq!(told, [("account-a", "plugin_fault"), ("account-b", "policy_error")]);
    assert_eq!(fixture.store.faulty_people(&fixture.tenant, 1).await.unwrap().len(), 1);
}
