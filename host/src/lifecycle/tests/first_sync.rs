//! What going live makes of somebody who adopts an account, and of somebody who may.

use super::*;

fn noted(state: AccountState, code: &str) -> Account {
    Account { note: Some(Note { code: code.into(), path: None, message: String::new() }), ..account(state) }
}

#[test]
fn what_an_adoption_changes_was_seen_and_is_not_held() {
    let adopted = noted(AccountState::Active, Note::ADOPTED);
    let imported = Grant { reasons: vec![Reason::imported()], ..standing_grant("old", "x") };
    let kept = Grant { reasons: vec![Reason::imported()], ..standing_grant("root", "x") };
    let grants = [imported, kept];
    let standing =
        || Standing { account: &adopted, fresh: false, grants: &grants, rulings: &[], former: Former::default(), attempts: 0, user: None };
    let say = Say { approved: &["root"], overlap: true, ..LIVE };
    let decided = settled_with(standing(), &mapped(&[("root", "eng"), ("writer", "eng")]), &["eng"], say, NOW);
    assert_eq!((state(&decided), &decided.guarded), (AccountState::Active, &None));
    assert_eq!(decided.effect.drop_grants, [RoleId::from("old")], "nobody keeps it as a mover would");
    assert_eq!(put(&decided.effect), [("root", GrantState::Effective, None), ("writer", GrantState::Effective, None)]);
    assert_eq!(decided.effect.account.as_ref().unwrap().note, None, "from now on the guard counts");
    assert_eq!(asked(&decided.effect), []);
    let gone = settled_with(standing(), &Evaluation::inactive(), &["eng"], say, NOW);
    assert_eq!((state(&gone), gone.effect.drop_grants.len(), gone.guarded.clone()), (AccountState::Suspended, 2, None));
    let failed = settled_with(standing(), &fault(false), &["eng"], say, NOW);
    assert_eq!(state(&failed), AccountState::Active, "what stands is retained over a fault, as always");
}

#[test]
fn a_doubt_is_held_until_somebody_decides() {
    let staged = noted(AccountState::Held, Note::STAGING);
    let open = [ruling(RulingKind::Adoption, None, RulingState::Open, None)];
    let standing =
        |rulings| Standing { account: &staged, fresh: false, grants: &[], rulings, former: Former::default(), attempts: 0, user: None };
    let evaluation = mapped(&[("writer", "eng")]);
    let held = settled_with(standing(&open), &evaluation, &["eng"], LIVE, NOW);
    assert_eq!(held.effect.account.as_ref().unwrap().note.as_ref().unwrap().code, Note::ADOPTION);
    assert_eq!((state(&held), put(&held.effect)), (AccountState::Held, vec![("writer", GrantState::Pending, Some(Waiting::Adoption))]));
    let shape = AccountShape { user_name: "ada".into(), ..AccountShape::default() };
    let collision = Evaluation { ..Evaluation::outcome(Outcome::Collision(Box::new(shape), "imported".into())) };
    let also = settled_with(standing(&open), &collision, &["eng"], LIVE, NOW);
    assert_eq!(also.effect.account.unwrap().note.unwrap().code, Note::ADOPTION, "the name may be that of the account in doubt");
    let left = settled_with(standing(&open), &Evaluation::inactive(), &["eng"], LIVE, NOW);
    assert_eq!((state(&left), left.effect.end_rulings), (AccountState::Suspended, vec![]), "the imported account is in use still");
    let waiting = noted(AccountState::Held, Note::ADOPTION);
    let decided = settled_with(Standing { account: &waiting, ..standing(&[]) }, &evaluation, &["eng"], LIVE, NOW);
    assert_eq!(
        (state(&decided), put(&decided.effect), decided.guarded),
        (AccountState::Active, vec![("writer", GrantState::Effective, None)], None)
    );
}
