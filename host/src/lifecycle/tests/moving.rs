//! Dates, moves and leaves of absence, case by case.

use super::*;
use crate::mapping::Dates;

const DAY: i64 = 24 * HOUR;

const MOVING: Say<'static> = Say { overlap: true, ..LIVE };

fn with_dates(evaluation: Evaluation, starts: Option<i64>, ends: Option<i64>) -> Evaluation {
    let at = |seconds: Option<i64>| seconds.map(|seconds| NOW.plus_seconds(seconds));
    Evaluation { dates: Dates { starts: at(starts), ends: at(ends) }, ..evaluation }
}

fn ended_note() -> Evaluation {
    with_dates(Evaluation::outcome(Outcome::Ended), None, Some(0))
}

#[test]
fn at_the_end_date_everything_goes_in_the_leavers_lane() {
    let grants = [standing_grant("writer", "eng"), standing_grant("root", "ops")];
    let coming = with_dates(mapped(&[("writer", "eng")]), None, Some(DAY));
    let before = said(&grants[..1], &[], &coming, LIVE, NOW);
    assert_eq!((dropped(&before).len(), before.effect.next_evaluation_at), (0, Some(NOW.plus_seconds(DAY))));
    // The decision was given a coarser instant: the date has come all the same.
    for evaluation in [ended_note(), with_dates(mapped(&[("writer", "eng")]), None, Some(-1))] {
        let ended = said(&grants, &[], &evaluation, LIVE, NOW);
        let write = ended.effect.account.as_ref().unwrap();
        assert_eq!((write.state, write.note.as_ref().unwrap().code.as_str()), (AccountState::Suspended, Note::ENDED));
        assert_eq!(dropped(&ended), ["writer", "root"]);
        assert!(ended.effect.events.iter().all(|event| event.leaver));
        let guarded = ended.guarded.unwrap();
        assert!(guarded.concerned.scopes(GuardDirection::Losses).is_empty(), "a departure is never held");
        assert!(!guarded.concerned.scopes(GuardDirection::Leavers).is_empty());
    }
    let suspended = Account { note: None, ..account(AccountState::Suspended) };
    let standing =
        Standing { account: &suspended, fresh: false, grants: &[], rulings: &[], former: Former::default(), attempts: 0, user: None };
    let later = with_dates(mapped(&[("writer", "eng")]), None, Some(DAY));
    let back = settled_with(standing, &later, &["eng"], LIVE, NOW);
    assert_eq!((state(&back), put(&back.effect)), (AccountState::Active, vec![("writer", GrantState::Effective, None)]));
}

#[test]
fn a_fault_keeps_nobody_past_their_end() {
    let grants = [standing_grant("writer", "eng")];
    let known = with_dates(fault(true), None, Some(HOUR));
    let waits = said(&grants, &[], &known, LIVE, NOW.plus_seconds(HOUR - 10));
    assert_eq!(waits.effect.put_grants[0].state, GrantState::Retained);
    let ended = said(&grants, &[], &known, LIVE, NOW.plus_seconds(HOUR));
    assert_eq!((state(&ended), dropped(&ended), ended.still_pending), (AccountState::Suspended, vec!["writer"], None));
    // The date that the mapping made last counts while it makes none.
    let profile = json!({"user_name": "ada", "tags": {"last-day": ["2027-01-14"]}});
    let account = Account { profile, ..account(AccountState::Active) };
    let standing =
        || Standing { account: &account, fresh: false, grants: &grants, rulings: &[], former: Former::default(), attempts: 0, user: None };
    let end = Instant::from("2027-01-15T00:00:00Z".parse::<jiff::Timestamp>().unwrap());
    let before = settled_with(standing(), &fault(false), &["eng"], LIVE, end.plus_seconds(-1));
    assert_eq!(before.effect.next_evaluation_at, Some(end));
    assert_eq!(state(&settled_with(standing(), &fault(false), &["eng"], LIVE, end)), AccountState::Suspended);
}

#[test]
fn before_the_start_roles_are_shown_and_none_is_in_effect() {
    let account_new = Account { user_name: None, ..account(AccountState::Active) };
    let coming = with_dates(mapped(&[("writer", "eng")]), Some(DAY), None);
    let standing =
        Standing { account: &account_new, fresh: true, grants: &[], rulings: &[], former: Former::default(), attempts: 0, user: None };
    let first = settled_with(standing, &coming, &["eng"], LIVE, NOW);
    let write = first.effect.account.clone().unwrap();
    assert_eq!((write.state, write.name_key.as_deref()), (AccountState::Scheduled, Some("ada")));
    assert_eq!(put(&first.effect), [("writer", GrantState::Pending, Some(Waiting::Start))]);
    assert_eq!((first.effect.next_evaluation_at, first.guarded), (Some(NOW.plus_seconds(DAY)), None));

    let scheduled = Account { profile: write.profile, provenance: write.provenance, note: write.note, ..account(AccountState::Scheduled) };
    let then = |evaluation: &Evaluation, now| {
        let standing = Standing {
            account: &scheduled,
            fresh: false,
            grants: &first.effect.put_grants,
            rulings: &[],
            former: Former::default(),
            attempts: 0,
            user: None,
        };
        settled_with(standing, evaluation, &["eng"], LIVE, now)
    };
    let same = then(&coming, NOW.plus_seconds(HOUR));
    assert!(same.effect.account.is_none() && same.effect.put_grants.is_empty() && same.effect.events.is_empty());
    let other = then(&with_dates(mapped(&[("seller", "sales")]), Some(2 * DAY), None), NOW);
    assert_eq!((put(&other.effect), dropped(&other)), (vec![("seller", GrantState::Pending, Some(Waiting::Start))], vec!["writer"]));
    let begins = then(&coming, NOW.plus_seconds(DAY));
    assert_eq!((state(&begins), put(&begins.effect)), (AccountState::Active, vec![("writer", GrantState::Effective, None)]));
    assert!(begins.effect.events.iter().any(|event| event.kind == "account.activated"));
}

#[test]
fn a_start_that_moves_into_the_future_is_a_loss_that_the_guard_counts() {
    let grants = [standing_grant("writer", "eng")];
    let moved = said(&grants, &[], &with_dates(mapped(&[("writer", "eng")]), Some(DAY), None), LIVE, NOW);
    assert_eq!((state(&moved), put(&moved.effect)), (AccountState::Scheduled, vec![("writer", GrantState::Pending, Some(Waiting::Start))]));
    let lost: Vec<_> = moved.effect.events.iter().filter(|event| event.leaver).map(|event| event.kind).collect();
    assert_eq!(lost, ["grant.removed", "account.scheduled"]);
    let held = moved.guarded.unwrap().losses_held.unwrap();
    assert_eq!((held.account.as_ref().unwrap().state, held.put_grants.len()), (AccountState::Active, 0));
}

#[test]
fn a_mover_may_keep_plain_roles_for_a_while() {
    let grants = [standing_grant("writer", "eng"), standing_grant("root", "eng")];
    let sales = mapped(&[("seller", "sales")]);
    let moved = said(&grants, &[], &sales, MOVING, NOW);
    let deadline = NOW.plus_seconds(14 * DAY);
    assert_eq!(
        put(&moved.effect),
        [("seller", GrantState::Effective, None), ("writer", GrantState::Retained, Some(Waiting::Overlap))],
        "never a privileged one"
    );
    assert_eq!((dropped(&moved), moved.effect.next_evaluation_at), (vec!["root"], Some(deadline)));
    assert_eq!(moved.guarded.as_ref().unwrap().concerned.lost, [RoleId::from("root")]);

    let standing: Vec<Grant> = moved.effect.put_grants;
    let waits = said(&standing, &[], &sales, MOVING, deadline.plus_seconds(-1));
    assert_eq!((waits.effect.put_grants.len(), dropped(&waits).len(), waits.effect.next_evaluation_at), (0, 0, Some(deadline)));
    let faulty = said(&standing, &[], &fault(false), MOVING, NOW.plus_seconds(13 * DAY));
    assert!(!dropped(&faulty).contains(&"writer"), "the group is left, and the time is not over");
    let over = said(&standing, &[], &sales, MOVING, deadline);
    assert_eq!((dropped(&over), over.guarded.clone().unwrap().concerned.lost), (vec!["writer"], vec![RoleId::from("writer")]));
    let back = said(&standing, &[], &mapped(&[("seller", "sales"), ("writer", "eng")]), MOVING, NOW.plus_seconds(DAY));
    assert_eq!(put(&back.effect), [("writer", GrantState::Effective, None)]);
    let forbidden = Evaluation { forbidden: BTreeSet::from(["writer".to_owned()]), ..sales.clone() };
    assert!(dropped(&said(&standing, &[], &forbidden, MOVING, NOW.plus_seconds(DAY))).contains(&"writer"));
    assert!(dropped(&said(&grants, &[], &forbidden, MOVING, NOW)).contains(&"writer"), "what is forbidden goes at once");
}

#[test]
fn whoever_gains_nothing_is_no_mover_and_a_leaver_keeps_nothing() {
    let grants = [standing_grant("writer", "eng"), standing_grant("seller", "sales")];
    assert_eq!(dropped(&said(&grants, &[], &mapped(&[("seller", "sales")]), MOVING, NOW)), ["writer"]);
    let kept = Grant {
        state: GrantState::Retained,
        deadline: Some(NOW.plus_seconds(DAY)),
        waits_for: Some(Waiting::Overlap),
        ..standing_grant("writer", "eng")
    };
    assert_eq!(dropped(&said(&[kept], &[], &Evaluation::inactive(), MOVING, NOW)), ["writer"]);
}

#[test]
fn a_leave_of_absence_suspends_and_ends_by_itself() {
    let (begins, ends) = (NOW.plus_seconds(HOUR), NOW.plus_seconds(DAY));
    let away = [Ruling { starts: Some(begins), ..ruling(RulingKind::Absence, None, RulingState::Yes, Some(ends)) }];
    let grants = [standing_grant("writer", "eng"), standing_grant("seller", "sales")];
    let given = mapped(&[("writer", "eng"), ("seller", "sales")]);
    let before = said(&grants, &away, &given, LIVE, NOW);
    assert_eq!((before.effect.put_grants.len(), before.effect.next_evaluation_at), (0, Some(begins)));
    let gone = said(&grants, &away, &given, LIVE, begins);
    let dormant = gone.effect.put_grants.clone();
    assert_eq!(gone.effect.account.as_ref().unwrap().note.as_ref().unwrap().code, "absent");
    assert_eq!((state(&gone), gone.effect.next_evaluation_at, gone.guarded), (AccountState::Suspended, Some(ends), None));
    assert!(dormant.iter().all(|grant| grant.state == GrantState::Dormant) && dormant.len() == 2);
    assert_eq!(state(&said(&grants, &away, &fault(false), LIVE, begins)), AccountState::Suspended, "whatever is broken");

    let suspended = account(AccountState::Suspended);
    let then = |evaluation: &Evaluation, now| {
        let standing = Standing {
            account: &suspended,
            fresh: false,
            grants: &dormant,
            rulings: &away,
            former: Former::default(),
            attempts: 0,
            user: None,
        };
        settled_with(standing, evaluation, &["eng"], LIVE, now)
    };
    let back = then(&mapped(&[("writer", "eng")]), ends);
    assert_eq!((state(&back), put(&back.effect)), (AccountState::Active, vec![("writer", GrantState::Effective, None)]));
    assert_eq!(
        (dropped(&back), back.effect.end_rulings.clone(), back.guarded.clone()),
        (vec!["seller"], vec!["absence-".to_owned()], None)
    );
    let left = then(&Evaluation::inactive(), NOW.plus_seconds(2 * HOUR));
    assert_eq!((dropped(&left).len(), left.effect.put_grants.len()), (2, 0), "the identity provider's word wins");
}

#[test]
fn what_was_approved_for_a_time_does_not_come_back_after_it() {
    let say = Say { approved: &["writer"], ..LIVE };
    let dormant = [Grant { state: GrantState::Dormant, ..standing_grant("writer", "eng") }];
    let suspended = account(AccountState::Suspended);
    let then = |ends, now| {
        let rulings = [ruling(RulingKind::Approval, Some("writer"), RulingState::Yes, Some(ends))];
        let standing = Standing {
            account: &suspended,
            fresh: false,
            grants: &dormant,
            rulings: &rulings,
            former: Former::default(),
            attempts: 0,
            user: None,
        };
        settled_with(standing, &mapped(&[("writer", "eng")]), &["eng"], say, now)
    };
    let back = then(NOW.plus_seconds(HOUR), NOW);
    assert_eq!((put(&back.effect).len(), back.effect.next_evaluation_at), (1, Some(NOW.plus_seconds(HOUR))));
    assert_eq!(dropped(&then(NOW, NOW)), ["writer"]);
}

#[test]
fn an_end_that_is_near_is_said_once() {
    let grants = [standing_grant("writer", "eng")];
    let ends = with_dates(mapped(&[("writer", "eng")]), None, Some(8 * DAY));
    let early = said(&grants, &[], &ends, MOVING, NOW);
    assert_eq!((early.effect.next_evaluation_at, early.effect.account.unwrap().note), (Some(NOW.plus_seconds(DAY)), None));
    let near = said(&grants, &[], &ends, MOVING, NOW.plus_seconds(DAY));
    let kinds = |settled: &Settled| settled.effect.events.iter().map(|event| event.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&near), ["account.ending", "account.changed"]);
    let write = near.effect.account.unwrap();
    let noted = Account { note: write.note, profile: write.profile, provenance: write.provenance, ..account(AccountState::Active) };
    let standing =
        Standing { account: &noted, fresh: false, grants: &grants, rulings: &[], former: Former::default(), attempts: 0, user: None };
    let again = settled_with(standing, &ends, &["eng"], MOVING, NOW.plus_seconds(2 * DAY));
    assert!(again.effect.events.is_empty() && again.effect.account.is_none());
}
