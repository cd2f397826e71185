//! What people have said counts wherever nothing is decided as well: of somebody whom a hold gave back, of whom the mapping refuses or fails
//! on, and whose loss is held.

use super::*;

fn settled_of(account: &Account, grants: &[Grant], rulings: &[Ruling], evaluation: &Evaluation, say: Say<'_>, now: Instant) -> Settled {
    let standing = Standing { account, fresh: false, grants, rulings, former: Former::default(), attempts: 0, user: None };
    settled_with(standing, evaluation, &["eng"], say, now)
}

fn note(settled: &Settled) -> String {
    settled.effect.account.as_ref().and_then(|write| write.note.as_ref()).map(|note| note.code.clone()).unwrap_or_default()
}

fn later() -> Instant {
    NOW.plus_seconds(24 * HOUR)
}

fn restored() -> Ruling {
    ruling(RulingKind::Restored, None, RulingState::Yes, Some(later()))
}

fn out_of_scope() -> Evaluation {
    Evaluation::outcome(Outcome::OutOfScope("none of ours".into()))
}

fn collision() -> Evaluation {
    let shape = AccountShape { user_name: "ada".into(), ..AccountShape::default() };
    Evaluation::outcome(Outcome::Collision(Box::new(shape), AccountId::from("other")))
}

fn refused() -> Evaluation {
    Evaluation::outcome(Outcome::Refused(Note { code: "no".into(), path: None, message: "unreadable".into() }))
}

fn by_exception(role: &str) -> Grant {
    Grant { reasons: vec![Reason::exception("x1", None)], ..standing_grant(role, "eng") }
}

/// Whatever leaves somebody in use although nothing is decided: a word of the identity provider or the mapping, and what people said.
fn without_decision() -> Vec<(&'static str, Evaluation, Vec<Ruling>)> {
    let held = ruling(RulingKind::Loss, None, RulingState::Open, None);
    vec![
        ("given back", Evaluation::inactive(), vec![restored()]),
        ("refused", refused(), vec![]),
        ("failed", fault(false), vec![]),
        ("none of ours, and held", out_of_scope(), vec![held.clone()]),
        ("a collision, and held", collision(), vec![held]),
    ]
}

#[test]
fn what_is_said_against_a_role_takes_it_from_everybody() {
    let say = Say { approved: &["root"], ..LIVE };
    let forbid = ruling(RulingKind::Forbid, Some("writer"), RulingState::Yes, Some(later()));
    let no_more = ruling(RulingKind::Approval, Some("root"), RulingState::No, None);
    let over = ruling(RulingKind::Approval, Some("root"), RulingState::Yes, Some(NOW));
    let ended = ruling(RulingKind::Grant, Some("extra"), RulingState::Yes, Some(NOW));
    for (what, evaluation, rulings) in without_decision() {
        let grants = [standing_grant("writer", "eng"), standing_grant("root", "eng"), by_exception("extra")];
        for (word, role) in [(&forbid, "writer"), (&no_more, "root"), (&over, "root"), (&ended, "extra")] {
            let standing_exception = ruling(RulingKind::Grant, Some("extra"), RulingState::Yes, Some(later()));
            let approved = ruling(RulingKind::Approval, Some("root"), RulingState::Yes, Some(later()));
            let mut all = rulings.clone();
            all.extend([word.clone()]);
            all.extend([standing_exception].into_iter().filter(|_| role != "extra"));
            all.extend([approved].into_iter().filter(|_| role != "root"));
            let settled = settled_of(&account(AccountState::Active), &grants, &all, &evaluation, say, NOW);
            assert_eq!(dropped(&settled), [role], "{what}: {} {:?}", word.kind, word.state);
            let state = settled.effect.account.as_ref().map_or(AccountState::Active, |write| write.state);
            assert_eq!(state, AccountState::Active, "{what}");
        }
        // Where nobody says anything, nothing goes; and what ends is looked at when it does.
        let mut all = rulings.clone();
        all.push(ruling(RulingKind::Grant, Some("extra"), RulingState::Yes, Some(NOW.plus_seconds(HOUR))));
        all.push(ruling(RulingKind::Approval, Some("root"), RulingState::Yes, Some(NOW.plus_seconds(2 * HOUR))));
        let settled = settled_of(&account(AccountState::Active), &grants, &all, &evaluation, say, NOW);
        assert_eq!(dropped(&settled), [""; 0], "{what}");
        assert_eq!(settled.effect.next_evaluation_at, Some(NOW.plus_seconds(HOUR)), "{what}");
    }
}

#[test]
fn a_leave_takes_everybody_out_of_use() {
    let leave = ruling(RulingKind::Absence, None, RulingState::Yes, Some(later()));
    for (what, evaluation, mut rulings) in without_decision() {
        rulings.push(leave.clone());
        let settled = settled_of(&account(AccountState::Active), &[standing_grant("writer", "eng")], &rulings, &evaluation, LIVE, NOW);
        assert_eq!((state(&settled), note(&settled).as_str()), (AccountState::Suspended, Note::ABSENT), "{what}");
        assert_eq!(put(&settled.effect), [("writer", GrantState::Dormant, None)], "{what}");
        assert_eq!(settled.effect.next_evaluation_at, Some(later()), "{what}");
    }
    // Over, they are given back as somebody said.
    let rulings = [restored(), ruling(RulingKind::Absence, None, RulingState::Yes, Some(NOW))];
    let dormant = Grant { state: GrantState::Dormant, ..standing_grant("writer", "eng") };
    let settled = settled_of(&account(AccountState::Suspended), &[dormant], &rulings, &Evaluation::inactive(), LIVE, NOW);
    assert_eq!((state(&settled), note(&settled).as_str()), (AccountState::Active, "restored"));
    assert_eq!(put(&settled.effect), [("writer", GrantState::Effective, None)]);
}

/// Whoever is said to be there by the identity provider is decided by it from then on: when it says that they are gone, they are.
#[test]
fn a_word_about_a_departure_ends_when_the_person_is_there() {
    let leave = ruling(RulingKind::Absence, None, RulingState::Yes, Some(later()));
    let mut coming = mapped(&[("writer", "eng")]);
    coming.dates.starts = Some(later());
    let there = [
        ("decided", mapped(&[("writer", "eng")]), None),
        ("on leave", mapped(&[("writer", "eng")]), Some(&leave)),
        ("refused", refused(), None),
        ("failed", fault(true), None),
        ("out of scope", out_of_scope(), None),
        ("a collision", collision(), None),
        ("scheduled", coming, None),
    ];
    for (what, evaluation, beside) in there {
        for word in [restored(), ruling(RulingKind::Restored, None, RulingState::Open, None)] {
            let rulings: Vec<Ruling> = [word.clone()].into_iter().chain(beside.cloned()).collect();
            let settled = settled_of(&account(AccountState::Suspended), &[], &rulings, &evaluation, LIVE, NOW);
            assert!(settled.effect.end_rulings.contains(&word.id), "{what}: {:?}", settled.effect.end_rulings);
        }
    }
    let gone = settled_of(&account(AccountState::Active), &[], &[restored()], &Evaluation::inactive(), LIVE, NOW);
    assert!(gone.effect.end_rulings.is_empty(), "it counts while they are gone");
}

#[test]
fn a_retention_ends_also_of_somebody_who_was_given_back() {
    let retained = Grant { state: GrantState::Retained, deadline: Some(NOW), ..standing_grant("writer", "eng") };
    let later = Grant { deadline: Some(NOW.plus_seconds(HOUR)), ..Grant { role: "reader".into(), ..retained.clone() } };
    let settled = settled_of(&account(AccountState::Active), &[retained, later], &[restored()], &Evaluation::inactive(), LIVE, NOW);
    assert_eq!((dropped(&settled), settled.effect.next_evaluation_at), (vec!["writer"], Some(NOW.plus_seconds(HOUR))));
}

#[test]
fn whoever_has_let_go_of_a_name_is_not_given_back_with_it() {
    let account = Account { holds_name: false, ..account(AccountState::Suspended) };
    let dormant = Grant { state: GrantState::Dormant, ..standing_grant("writer", "eng") };
    let settled = settled_of(&account, &[dormant], &[restored()], &Evaluation::inactive(), LIVE, NOW);
    assert_eq!((state(&settled), note(&settled).as_str(), put(&settled.effect)), (AccountState::Held, Note::COLLISION, vec![]));
}

/// What was approved for a time is approved for that time, also where a departure is held back in between.
#[test]
fn an_approval_goes_along_with_a_departure_past_the_guard() {
    let say = Say { approved: &["root"], ..LIVE };
    let ends = NOW.plus_seconds(HOUR);
    let yes = [ruling(RulingKind::Approval, Some("root"), RulingState::Yes, Some(ends))];
    let gone = settled_of(&account(AccountState::Active), &[standing_grant("root", "eng")], &yes, &Evaluation::inactive(), say, NOW);
    assert_eq!(gone.effect.end_rulings, [yes[0].id.clone()], "within the limit it ends");
    let held = gone.guarded.and_then(|guarded| guarded.losses_held).expect("the guard counts it");
    assert!(held.end_rulings.is_empty(), "{:?}", held.end_rulings);
    let dormant = [Grant { state: GrantState::Dormant, ..standing_grant("root", "eng") }];
    let open = ruling(RulingKind::Restored, None, RulingState::Open, None);
    let rulings = [yes[0].clone(), open];
    let back = |now| settled_of(&account(AccountState::Suspended), &dormant, &rulings, &mapped(&[("root", "eng")]), say, now);
    assert_eq!(put(&back(NOW).effect), [("root", GrantState::Effective, None)]);
    assert_eq!(back(NOW).effect.next_evaluation_at, Some(ends));
    assert_eq!((dropped(&back(ends)), put(&back(ends).effect)), (vec!["root"], vec![]));
    let given_back = settled_of(
        &account(AccountState::Suspended),
        &dormant,
        &[yes[0].clone(), restored()],
        &Evaluation::inactive(),
        say,
        ends.plus_seconds(1),
    );
    assert_eq!((state(&given_back), dropped(&given_back)), (AccountState::Active, vec!["root"]));
}

#[test]
fn an_approval_that_is_over_is_asked_for_again_by_whoever_gains_the_role_again() {
    let say = Say { approved: &["root"], ..LIVE };
    let over = [ruling(RulingKind::Approval, Some("root"), RulingState::Yes, Some(NOW))];
    let account = account(AccountState::Active);
    let with = settled_of(&account, &[], &over, &mapped(&[("root", "eng")]), say, NOW);
    assert_eq!((put(&with.effect), asked(&with.effect)), (vec![], vec![]), "while it is given nobody is asked each time");
    let without = settled_of(&account, &[], &over, &mapped(&[]), say, NOW);
    assert_eq!(without.effect.end_rulings, [over[0].id.clone()]);
    let again = settled_of(&account, &[], &[], &mapped(&[("root", "eng")]), say, NOW);
    assert_eq!(asked(&again.effect), [(RulingKind::Approval, Some("root"))]);
}

/// A doubt of a first sync stays one: the imported account is in use, and whose it is has to be said also of somebody who has left.
#[test]
fn a_doubt_outlives_a_departure() {
    let doubt = [ruling(RulingKind::Adoption, None, RulingState::Open, None)];
    let held = Account { holds_name: false, ..account(AccountState::Held) };
    let gone = settled_of(&held, &[], &doubt, &Evaluation::inactive(), LIVE, NOW);
    assert_eq!((state(&gone), gone.effect.end_rulings), (AccountState::Suspended, vec![]));
    let suspended = Account { holds_name: false, ..account(AccountState::Suspended) };
    let back = settled_of(&suspended, &[], &doubt, &mapped(&[("writer", "eng")]), LIVE, NOW);
    assert_eq!((state(&back), note(&back).as_str()), (AccountState::Held, Note::ADOPTION));
    let standing =
        Standing { account: &suspended, fresh: false, grants: &[], rulings: &doubt, former: Former::default(), attempts: 0, user: None };
    let removed = with_rules(LIVE, |rules| remove(&standing, (rules, &"c".into()), NOW));
    assert_eq!(removed.effect.end_rulings, [doubt[0].id.clone()], "with the person the question is gone");
}
