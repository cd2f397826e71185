//! People whom the identity provider has deleted, case by case.

use super::*;

fn dormant(role: &str) -> Grant {
    Grant { state: GrantState::Dormant, ..standing_grant(role, "eng") }
}

fn departed(state: AccountState, grants: &[Grant], rulings: &[Ruling], holder: Option<&str>, now: Instant) -> Effect {
    let account = Account { holds_name: state == AccountState::Active, ..account(state) };
    let standing = Standing { account: &account, fresh: false, grants, rulings, former: Former::default(), attempts: 0, user: None };
    with_rules(LIVE, |rules| settle_departed(&standing, rules, holder.map(AccountId::from).as_ref(), now))
}

#[test]
fn whoever_was_deleted_is_given_back_for_a_time() {
    let ends = NOW.plus_seconds(HOUR);
    let yes = [ruling(RulingKind::Restored, None, RulingState::Yes, Some(ends))];
    let back = departed(AccountState::Removed, &[dormant("writer")], &yes, None, NOW);
    let write = back.account.clone().unwrap();
    assert_eq!((write.state, write.name_key.as_deref()), (AccountState::Active, Some("ada")));
    assert_eq!(write.note.map(|note| note.code).as_deref(), Some("restored"));
    assert_eq!((back.put_grants[0].state, back.next_evaluation_at), (GrantState::Effective, Some(ends)));
    assert!(back.end_rulings.is_empty());
    // A forbid keeps a role away also from somebody whom nothing evaluates.
    let forbid = ruling(RulingKind::Forbid, Some("writer"), RulingState::Yes, Some(ends));
    let kept = departed(AccountState::Removed, &[dormant("writer")], &[yes[0].clone(), forbid], None, NOW);
    assert_eq!((kept.put_grants.len(), kept.drop_grants), (0, vec![RoleId::from("writer")]));
    // Another has the name by now: nothing is in effect, and it is tried again.
    let held = departed(AccountState::Removed, &[dormant("writer")], &yes, Some("a2"), NOW);
    assert_eq!(held.account.map(|write| (write.state, write.name_key)), Some((AccountState::Held, None)));
    assert!(held.put_grants.is_empty() && held.next_evaluation_at == Some(ends));
}

#[test]
fn when_it_is_over_or_somebody_says_no_nothing_is_left() {
    let over = ruling(RulingKind::Restored, None, RulingState::Yes, Some(NOW));
    let no = ruling(RulingKind::Restored, None, RulingState::No, None);
    for (state, grant, said) in
        [(AccountState::Active, standing_grant("writer", "eng"), over), (AccountState::Removed, dormant("writer"), no)]
    {
        let gone = departed(state, &[grant], std::slice::from_ref(&said), None, NOW);
        assert_eq!((gone.drop_grants, gone.end_rulings), (vec![RoleId::from("writer")], vec![said.id]));
        assert_eq!(gone.account.map(|write| write.state), (state == AccountState::Active).then_some(AccountState::Removed));
        assert_eq!(gone.next_evaluation_at, None);
        assert!(gone.events.iter().all(|event| event.leaver), "{:?}", gone.events);
    }
}

#[test]
fn whoever_comes_back_begins_anew() {
    let account = Account { holds_name: true, ..account(AccountState::Active) };
    let former = [standing_grant("writer", "eng"), dormant("admin")];
    let over = ["l1".to_owned()];
    let standing = Standing {
        account: &account,
        fresh: true,
        grants: &[],
        rulings: &[],
        former: Former { grants: &former, rulings: &over },
        attempts: 0,
        user: None,
    };
    let back = settled_with(standing, &mapped(&[("writer", "eng")]), &["eng"], LIVE, NOW);
    let kinds: Vec<&str> = back.effect.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["grant.removed", "grant.removed", "grant.added", "account.revived"]);
    assert_eq!(back.effect.drop_grants, [RoleId::from("admin")], "the other is put in its place");
    assert_eq!((put(&back.effect).len(), back.effect.end_rulings), (1, vec!["l1".to_owned()]));
    assert!(back.guarded.is_some(), "what is gained is counted as a joiner's");
    let standing = Standing {
        account: &account,
        fresh: true,
        grants: &[],
        rulings: &[],
        former: Former { grants: &former, rulings: &over },
        attempts: 0,
        user: None,
    };
    let gone = settled_with(standing, &Evaluation::inactive(), &[], LIVE, NOW);
    assert_eq!((gone.effect.account.map(|write| write.state), gone.effect.drop_grants.len()), (Some(AccountState::Suspended), 2));
}
