//! What changes for a person, case by case.

mod departed;
mod first_sync;
mod house;
mod moving;
mod said;
mod steps;

use serde_json::json;

use super::*;
use crate::evaluation::{Fault, Undecided};
use crate::mapping::AccountShape;
use crate::model::{AccountId, GrantState, GuardDirection, Reason, RoleId, RulingState, Waiting};
use crate::policies::RoleDecision;

const NOW: Instant = Instant(1_800_000_000_000_000);
const HOUR: i64 = 3_600;

fn account(state: AccountState) -> Account {
    Account {
        id: AccountId::from("a1"),
        state,
        user_name: Some("ada".into()),
        holds_name: !matches!(state, AccountState::Held | AccountState::Removed),
        profile: json!({"user_name": "ada", "title": "before"}),
        provenance: json!({}),
        note: None,
        created: NOW,
        modified: NOW,
    }
}

fn reason(handle: &str) -> Reason {
    Reason {
        policy: format!("by-{handle}"),
        reason: None,
        groups: vec![vec![handle.to_owned()]],
        proposed: false,
        nomination: None,
        approval: None,
    }
}

fn standing_grant(role: &str, handle: &str) -> Grant {
    Grant {
        role: RoleId::from(role),
        state: GrantState::Effective,
        reasons: vec![reason(handle)],
        since: NOW.plus_seconds(-HOUR),
        deadline: None,
        waits_for: None,
        revision: RevisionHash::from("r1"),
    }
}

fn member_of(handles: &[&str]) -> Vec<GroupMembership> {
    handles.iter().map(|handle| GroupMembership { handle: (*handle).to_owned(), chain: vec![(*handle).to_owned()] }).collect()
}

fn mapped(roles: &[(&str, &str)]) -> Evaluation {
    let shape = AccountShape { user_name: "ada".into(), ..AccountShape::default() };
    let roles = roles.iter().map(|(role, handle)| RoleDecision { role: (*role).to_owned(), reasons: vec![reason(handle)] }).collect();
    Evaluation { roles, ..Evaluation::outcome(Outcome::Account(Box::new(shape))) }
}

fn fault(infrastructure: bool) -> Evaluation {
    let note = Note { code: "plugin_fault".into(), path: None, message: "trap".into() };
    Evaluation::fault(Fault { note, code: "trap", infrastructure })
}

/// What a test says of the rules.
#[derive(Clone, Copy)]
struct Say<'a> {
    connection: ConnectionState,
    approved: &'a [&'a str],
    guard: bool,
    overlap: bool,
}

const LIVE: Say<'static> = Say { connection: ConnectionState::Active, approved: &[], guard: true, overlap: false };
const PAUSED: Say<'static> = Say { connection: ConnectionState::Paused, ..LIVE };

fn settled_with(standing: Standing<'_>, evaluation: &Evaluation, groups: &[&str], say: Say<'_>, now: Instant) -> Settled {
    with_rules(say, |rules| settle(&standing, evaluation, &member_of(groups), (rules, &"c".into(), false), now))
}

fn with_rules<T>(say: Say<'_>, settle: impl FnOnce(&Rules<'_>) -> T) -> T {
    let (decisions, privileged, revision) = (DecisionSettings::default(), BTreeSet::from(["root".to_owned()]), RevisionHash::from("r1"));
    let approved = say.approved.iter().map(|role| (*role).to_owned()).collect();
    let (approvals, guard) = (ApprovalSettings::default(), GuardSettings { enabled: say.guard, ..GuardSettings::default() });
    let processes = ProcessSettings { overlap_days: 14, remind_days: 7, ..ProcessSettings::default() };
    let tags = ProcessSettings {
        time_zone: Some("UTC".into()),
        end_date_tag: Some("last-day".into()),
        start_date_tag: Some("first-day".into()),
        ..ProcessSettings::default()
    };
    let calendar = Calendar::of(&tags, &rolecall_scim::schema::Schemas::default()).unwrap();
    let rules = Rules {
        processes: if say.overlap { &processes } else { &tags },
        calendar: &calendar,
        conditions: &Conditions::default(),
        decisions: &decisions,
        revision: Some(&revision),
        privileged: &privileged,
        approved: &approved,
        approvals: &approvals,
        guard: &guard,
        connection: say.connection,
    };
    settle(&rules)
}

fn settled(account: &Account, grants: &[Grant], evaluation: &Evaluation, groups: &[&str], paused: bool, now: Instant) -> Settled {
    let say = if paused { PAUSED } else { LIVE };
    settled_with(
        Standing { account, fresh: false, grants, rulings: &[], former: Former::default(), attempts: 0, user: None },
        evaluation,
        groups,
        say,
        now,
    )
}

fn ruling(kind: RulingKind, role: Option<&str>, state: RulingState, ends: Option<Instant>) -> Ruling {
    Ruling {
        id: format!("{kind}-{}", role.unwrap_or_default()),
        account: "a1".into(),
        user_name: None,
        role: role.map(RoleId::from),
        kind,
        state,
        hold: None,
        starts: None,
        ends,
        created: NOW,
        created_by: crate::model::Actor { kind: "api_token".into(), id: "t".into() },
        decided: None,
        decided_by: None,
        reason: Some("because".into()),
        asks: None,
        owner: None,
    }
}

/// Settles for an active account with what was said.
fn said(grants: &[Grant], rulings: &[Ruling], evaluation: &Evaluation, say: Say<'_>, now: Instant) -> Settled {
    let account = account(AccountState::Active);
    settled_with(
        Standing { account: &account, fresh: false, grants, rulings, former: Former::default(), attempts: 0, user: None },
        evaluation,
        &["eng"],
        say,
        now,
    )
}

/// Each grant that is put, with its state and what it waits for.
fn put(effect: &Effect) -> Vec<(&str, GrantState, Option<Waiting>)> {
    effect.put_grants.iter().map(|grant| (grant.role.as_str(), grant.state, grant.waits_for)).collect()
}

fn asked(effect: &Effect) -> Vec<(RulingKind, Option<&str>)> {
    effect.rule.iter().map(|ruling| (ruling.kind, ruling.role.as_ref().map(RoleId::as_str))).collect()
}

fn state(settled: &Settled) -> AccountState {
    settled.effect.account.as_ref().unwrap().state
}

fn dropped(settled: &Settled) -> Vec<&str> {
    settled.effect.drop_grants.iter().map(RoleId::as_str).collect()
}

#[test]
fn what_is_new_waits_wherever_gains_are_parked_and_removals_do_not() {
    for connection in ConnectionState::ALL.iter().copied().filter(|state| state.parks()) {
        let say = Say { connection, ..LIVE };
        let grants = [standing_grant("kept", "eng"), standing_grant("lost", "old")];
        let in_use = said(&grants, &[], &mapped(&[("kept", "eng"), ("new", "eng")]), say, NOW);
        assert_eq!((put(&in_use.effect), dropped(&in_use)), (vec![], vec!["lost"]), "{connection}");
        let account = account(AccountState::Suspended);
        let standing =
            Standing { account: &account, fresh: false, grants: &[], rulings: &[], former: Former::default(), attempts: 0, user: None };
        let back = settled_with(standing, &mapped(&[("kept", "eng")]), &["eng"], say, NOW);
        let note = back.effect.account.as_ref().unwrap().note.as_ref().unwrap().code.clone();
        assert_eq!((state(&back), note.as_str(), put(&back.effect)), (AccountState::Held, connection.word(), vec![]));
    }
    assert_eq!(ConnectionState::ALL.iter().filter(|state| state.parks()).count(), 3);
}

#[test]
fn a_leaver_loses_everything_in_the_leavers_lane() {
    let grants = [standing_grant("writer", "eng"), standing_grant("root", "ops")];
    let settled = settled(&account(AccountState::Active), &grants, &Evaluation::inactive(), &["eng", "ops"], false, NOW);
    assert_eq!(state(&settled), AccountState::Suspended);
    assert_eq!(dropped(&settled), ["writer", "root"]);
    assert!(settled.effect.put_grants.is_empty());
    assert!(settled.effect.events.iter().all(|event| event.leaver));
}

#[test]
fn a_fault_grants_nothing_and_retains_until_a_deadline_by_privilege() {
    let grants = [standing_grant("writer", "eng"), standing_grant("root", "eng")];
    let settled = settled(&account(AccountState::Active), &grants, &fault(false), &["eng"], false, NOW);
    assert_eq!(state(&settled), AccountState::Active);
    assert_eq!(settled.effect.account.as_ref().unwrap().note.as_ref().unwrap().code, "plugin_fault");
    let deadlines: Vec<_> = settled.effect.put_grants.iter().map(|grant| (grant.role.as_str(), grant.state, grant.deadline)).collect();
    let (writer, root) = (NOW.plus_seconds(72 * HOUR), NOW.plus_seconds(4 * HOUR));
    assert_eq!(deadlines, [("writer", GrantState::Retained, Some(writer)), ("root", GrantState::Retained, Some(root))]);
    assert_eq!(settled.effect.next_evaluation_at, Some(root));
    assert_eq!(settled.still_pending, None);
}

#[test]
fn a_retained_grant_falls_at_its_deadline_and_with_its_group() {
    let retained = Grant { state: GrantState::Retained, deadline: Some(NOW), ..standing_grant("writer", "eng") };
    let at_deadline = settled(&account(AccountState::Active), &[retained], &fault(false), &["eng"], false, NOW);
    assert_eq!(dropped(&at_deadline), ["writer"]);
    let group_left = settled(&account(AccountState::Active), &[standing_grant("writer", "eng")], &fault(false), &[], false, NOW);
    assert_eq!(dropped(&group_left), ["writer"]);
}

#[test]
fn a_deadline_does_not_move_while_the_fault_lasts() {
    let deadline = NOW.plus_seconds(HOUR);
    let retained = Grant { state: GrantState::Retained, deadline: Some(deadline), ..standing_grant("writer", "eng") };
    let settled = settled(&account(AccountState::Active), &[retained], &fault(false), &["eng"], false, NOW);
    assert!(settled.effect.put_grants.is_empty() && settled.effect.drop_grants.is_empty());
    assert_eq!(settled.effect.next_evaluation_at, Some(deadline));
}

#[test]
fn a_repair_makes_a_retained_grant_effective_and_keeps_since() {
    let retained = Grant { state: GrantState::Retained, deadline: Some(NOW), ..standing_grant("writer", "eng") };
    let settled = settled(&account(AccountState::Active), &[retained], &mapped(&[("writer", "eng")]), &["eng"], false, NOW);
    assert_eq!(settled.effect.put_grants.len(), 1);
    assert_eq!((settled.effect.put_grants[0].state, settled.effect.put_grants[0].since), (GrantState::Effective, NOW.plus_seconds(-HOUR)));
}

#[test]
fn an_infrastructure_fault_is_no_verdict() {
    let settled = settled(&account(AccountState::Active), &[], &fault(true), &[], false, NOW);
    assert_eq!((settled.still_pending, settled.attempts), (Some(Cause::Retry), 1));
    assert_eq!(settled.effect.next_evaluation_at, Some(NOW.plus_seconds(1)));
    assert_eq!(retry_at(NOW, 40), NOW.plus_seconds(RETRY_MAX_SECONDS));
}

#[test]
fn nothing_comes_into_use_on_a_doubt() {
    let settled = settled(&account(AccountState::Suspended), &[], &fault(false), &["eng"], false, NOW);
    assert_eq!(state(&settled), AccountState::Held);
    assert!(settled.effect.put_grants.is_empty());
}

#[test]
fn an_undecided_role_is_retained_where_it_stands_and_not_granted_where_it_does_not() {
    let note = Note { code: "policy_error".into(), path: None, message: "overflow".into() };
    let undecided = ["writer", "reader"].map(|role| Undecided { role: role.into(), note: note.clone() });
    let evaluation = Evaluation { undecided: undecided.into(), ..mapped(&[]) };
    let grants = [standing_grant("writer", "eng")];
    let settled = settled(&account(AccountState::Active), &grants, &evaluation, &["eng"], false, NOW);
    assert_eq!(settled.effect.put_grants.len(), 1);
    assert_eq!((settled.effect.put_grants[0].role.as_str(), settled.effect.put_grants[0].state), ("writer", GrantState::Retained));
    assert_eq!(settled.effect.account.unwrap().note.unwrap().code, "policy_error");
}

#[test]
fn a_mover_gains_and_loses() {
    let grants = [standing_grant("writer", "eng")];
    let settled = settled(&account(AccountState::Active), &grants, &mapped(&[("seller", "sales")]), &["sales"], false, NOW);
    assert_eq!(dropped(&settled), ["writer"]);
    assert_eq!(settled.effect.put_grants[0].role.as_str(), "seller");
    assert_eq!(settled.effect.account.unwrap().name_key.as_deref(), Some("ada"));
}

#[test]
fn a_paused_connection_takes_away_and_gives_nothing() {
    let grants = [standing_grant("writer", "eng")];
    let evaluation = mapped(&[("seller", "sales")]);
    let active = settled(&account(AccountState::Active), &grants, &evaluation, &["sales"], true, NOW);
    assert_eq!((dropped(&active), active.effect.put_grants.len()), (vec!["writer"], 0));
    let back = settled(&account(AccountState::Suspended), &[], &evaluation, &["sales"], true, NOW);
    assert_eq!((state(&back), back.effect.put_grants.len()), (AccountState::Held, 0));
}

#[test]
fn a_collision_is_held_without_a_name_and_waits_for_it() {
    let shape = AccountShape { user_name: "José".into(), ..AccountShape::default() };
    let evaluation = Evaluation::outcome(Outcome::Collision(Box::new(shape), AccountId::from("other")));
    let settled = settled(&account(AccountState::Active), &[standing_grant("writer", "eng")], &evaluation, &["eng"], false, NOW);
    let write = settled.effect.account.unwrap();
    assert_eq!((write.state, write.name_key, write.wanted_key.as_deref()), (AccountState::Held, None, Some("jose")));
    assert_eq!(settled.effect.drop_grants.len(), 1);
}

#[test]
fn whoever_has_no_name_takes_none_along() {
    let away = Evaluation::outcome(Outcome::OutOfScope("none of ours".into()));
    let inactive = Evaluation::inactive();
    // Held over a collision, then away, back out of scope, and away again: the name is the other's all the while.
    for (before, evaluation) in [(AccountState::Held, &inactive), (AccountState::Suspended, &away), (AccountState::OutOfScope, &inactive)] {
        for holds_name in [false, true] {
            let standing = Account { holds_name, ..account(before) };
            let write = settled(&standing, &[], evaluation, &[], false, NOW).effect.account.unwrap();
            assert_eq!((write.name_key.is_some(), write.wanted_key), (holds_name, None), "{before:?}");
        }
    }
}

#[test]
fn the_same_again_changes_nothing() {
    let mut before = account(AccountState::Active);
    let evaluation = mapped(&[("writer", "eng")]);
    let first = settled(&before, &[], &evaluation, &["eng"], false, NOW);
    let write = first.effect.account.unwrap();
    before.profile = write.profile;
    before.provenance = write.provenance;
    let again = settled(&before, &first.effect.put_grants, &evaluation, &["eng"], false, NOW.plus_seconds(HOUR));
    assert_eq!(again, Settled { effect: Effect::default(), guarded: None, still_pending: None, attempts: 0 });
}

#[test]
fn a_role_that_needs_a_yes_waits_for_it_and_goes_with_what_gave_it() {
    let say = Say { approved: &["root"], ..LIVE };
    let given = mapped(&[("root", "eng"), ("writer", "eng")]);
    let first = said(&[], &[], &given, say, NOW);
    assert_eq!(put(&first.effect), [("root", GrantState::Pending, Some(Waiting::Approval)), ("writer", GrantState::Effective, None)]);
    assert_eq!(asked(&first.effect), [(RulingKind::Approval, Some("root"))]);
    let lapses = NOW.plus_seconds(168 * HOUR);
    assert_eq!((first.effect.rule[0].ends, first.effect.next_evaluation_at), (Some(lapses), Some(lapses)));

    let waiting = first.effect.put_grants;
    let open = [ruling(RulingKind::Approval, Some("root"), RulingState::Open, Some(lapses))];
    let again = said(&waiting, &open, &given, say, NOW);
    assert!(again.effect.put_grants.is_empty() && again.effect.rule.is_empty() && again.guarded.is_none());
    let lapsed = said(&waiting, &open, &given, say, lapses);
    assert_eq!((dropped(&lapsed), lapsed.effect.rule.len()), (vec!["root"], 0), "nobody answered in time, and nobody is asked again");
    for (state, effect) in [(RulingState::Yes, Some(GrantState::Effective)), (RulingState::No, None)] {
        let after = said(&waiting, &[ruling(RulingKind::Approval, Some("root"), state, None)], &given, say, NOW);
        assert_eq!(after.effect.put_grants.iter().map(|grant| grant.state).next(), effect, "{state}");
        assert_eq!(dropped(&after).is_empty(), state == RulingState::Yes, "{state}");
        assert!(after.guarded.is_none(), "a person's yes is not counted once more");
    }
    let held = [Grant { role: "root".into(), ..standing_grant("root", "eng") }];
    let approved = [ruling(RulingKind::Approval, Some("root"), RulingState::Yes, None)];
    let lost = said(&held, &approved, &mapped(&[]), say, NOW);
    assert_eq!((dropped(&lost), lost.effect.end_rulings.clone()), (vec!["root"], vec!["approval-root".to_owned()]));
}

/// An evaluation that gives `writer` by these policies: those that end in `!` ask a person.
fn given_by(policies: &[&str]) -> Evaluation {
    let reason =
        |policy: &&str| Reason { approval: policy.ends_with('!').then(|| "a lead agrees".into()), ..reason(policy.trim_end_matches('!')) };
    let reasons = policies.iter().map(reason).collect();
    Evaluation { roles: vec![RoleDecision { role: "writer".into(), reasons }], ..mapped(&[]) }
}

#[test]
fn a_role_waits_where_each_policy_that_gives_it_asks() {
    let first = said(&[], &[], &given_by(&["eng!", "staff!"]), LIVE, NOW);
    assert_eq!(put(&first.effect), [("writer", GrantState::Pending, Some(Waiting::Approval))]);
    assert_eq!(first.effect.rule[0].asks.as_deref(), Some("a lead agrees"));
    let plain = said(&[], &[], &given_by(&["eng!", "staff"]), LIVE, NOW);
    assert_eq!((put(&plain.effect), plain.effect.rule.len()), (vec![("writer", GrantState::Effective, None)], 0), "one asks nobody");
    let now_plain = said(&first.effect.put_grants, &[], &given_by(&["eng!", "staff"]), LIVE, NOW);
    assert_eq!(put(&now_plain.effect), [("writer", GrantState::Effective, None)], "nobody has to say yes any more");
    let open = [ruling(RulingKind::Approval, Some("writer"), RulingState::Open, None)];
    let no_more = said(&first.effect.put_grants, &open, &given_by(&["eng!", "staff"]), LIVE, NOW);
    assert_eq!(no_more.effect.end_rulings, ["approval-writer"], "nor is anybody asked");
    let exception = [ruling(RulingKind::Grant, Some("writer"), RulingState::Yes, None)];
    let excepted = said(&[], &exception, &given_by(&["eng!"]), LIVE, NOW).effect.put_grants;
    assert_eq!((excepted[0].state, excepted[0].reasons.len()), (GrantState::Effective, 2), "an exception asks nobody");
    assert!(said(&excepted, &exception, &given_by(&["eng!"]), LIVE, NOW).effect.put_grants.is_empty());
    let say = Say { approved: &["writer"], ..LIVE };
    let of_the_catalogue = said(&[], &[], &given_by(&["eng!", "staff"]), say, NOW);
    assert_eq!(put(&of_the_catalogue.effect)[0].1, GrantState::Pending, "a policy takes back nothing that the catalogue asks for");
}

#[test]
fn who_loses_the_policy_that_asked_nobody_is_asked_about_and_a_policy_that_begins_to_ask_takes_nothing() {
    let held = said(&[], &[], &given_by(&["eng!", "staff"]), LIVE, NOW).effect.put_grants;
    let quiet = Say { guard: false, ..LIVE };
    let anew = said(&held, &[], &given_by(&["eng!"]), quiet, NOW);
    assert_eq!(put(&anew.effect), [("writer", GrantState::Pending, Some(Waiting::Approval))]);
    assert_eq!(asked(&anew.effect), [(RulingKind::Approval, Some("writer"))]);
    let kinds: Vec<&str> = anew.effect.events.iter().map(|event| event.kind).collect();
    assert!(kinds.contains(&"grant.removed") && kinds.contains(&"grant.pending"), "{kinds:?}");
    let guarded = said(&held, &[], &given_by(&["eng!"]), LIVE, NOW).guarded.expect("a loss is counted");
    assert_eq!(guarded.concerned.lost, [RoleId::from("writer")]);

    let before = said(&[], &[], &given_by(&["eng"]), LIVE, NOW).effect.put_grants;
    let begins = said(&before, &[], &given_by(&["eng!"]), LIVE, NOW).effect.put_grants;
    assert_eq!(begins[0].state, GrantState::Effective);
    assert!(said(&begins, &[], &given_by(&["eng!"]), LIVE, NOW).effect.put_grants.is_empty(), "and it stays so");
    let yes = [ruling(RulingKind::Approval, Some("writer"), RulingState::Yes, None)];
    assert!(said(&held, &yes, &given_by(&["eng!"]), LIVE, NOW).effect.put_grants.iter().all(|grant| grant.state == GrantState::Effective));
}

#[test]
fn an_exception_gives_a_role_for_its_time_and_a_forbid_wins() {
    let ends = NOW.plus_seconds(HOUR);
    let grant = ruling(RulingKind::Grant, Some("writer"), RulingState::Yes, Some(ends));
    let given = said(&[], std::slice::from_ref(&grant), &mapped(&[]), LIVE, NOW);
    assert_eq!(put(&given.effect), [("writer", GrantState::Effective, None)]);
    assert!(given.effect.put_grants[0].reasons[0].is_exception());
    assert_eq!((given.effect.next_evaluation_at, given.guarded), (Some(ends), None));

    let over = said(&given.effect.put_grants, std::slice::from_ref(&grant), &mapped(&[]), LIVE, ends);
    assert_eq!((dropped(&over), over.effect.end_rulings.clone()), (vec!["writer"], vec!["grant-writer".to_owned()]));
    assert_eq!(over.guarded, None, "its end was planned");

    let forbidden = Evaluation { forbidden: BTreeSet::from(["writer".to_owned()]), ..mapped(&[]) };
    assert!(said(&[], std::slice::from_ref(&grant), &forbidden, LIVE, NOW).effect.put_grants.is_empty());
    let later = Ruling { starts: Some(ends), ends: Some(ends.plus_seconds(HOUR)), ..grant };
    let not_yet = said(&[], &[later], &mapped(&[]), LIVE, NOW);
    assert_eq!((not_yet.effect.put_grants.len(), not_yet.effect.next_evaluation_at), (0, Some(ends)));

    let forbid = ruling(RulingKind::Forbid, Some("writer"), RulingState::Yes, Some(ends));
    let kept_away = said(&[standing_grant("writer", "eng")], &[forbid], &mapped(&[("writer", "eng")]), LIVE, NOW);
    assert_eq!((dropped(&kept_away), kept_away.guarded.is_none()), (vec!["writer"], true));
}

#[test]
fn a_loss_that_is_held_stays_in_effect_until_somebody_answers() {
    let grants = [standing_grant("writer", "eng")];
    let lost = said(&grants, &[], &mapped(&[]), LIVE, NOW);
    assert_eq!(dropped(&lost), ["writer"]);
    let guarded = lost.guarded.unwrap();
    assert_eq!(guarded.concerned.scopes(GuardDirection::Losses).len(), 2);
    let held = &guarded.losses_held.unwrap();
    assert_eq!((put(held), held.drop_grants.len()), (vec![("writer", GrantState::Effective, Some(Waiting::Hold))], 0));
    assert_eq!(asked(held), [(RulingKind::Loss, Some("writer"))]);

    let keeps = |rulings: &[Ruling], now| said(&held.put_grants, rulings, &mapped(&[]), LIVE, now);
    let open = [ruling(RulingKind::Loss, Some("writer"), RulingState::Open, None)];
    let waiting = keeps(&open, NOW);
    assert_eq!(
        (put(&waiting.effect).len(), dropped(&waiting).len(), waiting.effect.rule.len(), waiting.guarded),
        (0, 0, 0, None),
        "held already: nothing changes, nobody is counted"
    );
    let released = keeps(&[ruling(RulingKind::Loss, Some("writer"), RulingState::Yes, None)], NOW);
    assert_eq!((dropped(&released), released.guarded.clone()), (vec!["writer"], None));
    let ends = NOW.plus_seconds(HOUR);
    let rejected = [ruling(RulingKind::Loss, Some("writer"), RulingState::No, Some(ends))];
    let stays = keeps(&rejected, NOW);
    assert_eq!((dropped(&stays).len(), stays.effect.next_evaluation_at), (0, Some(ends)));
    assert!(keeps(&rejected, ends).guarded.is_some(), "its time is over: counted again");
    // The identity provider takes it back by itself.
    let resolved = said(&held.put_grants, &open, &mapped(&[("writer", "eng")]), LIVE, NOW);
    assert_eq!(
        (put(&resolved.effect), resolved.effect.end_rulings.clone()),
        (vec![("writer", GrantState::Effective, None)], vec!["loss-writer".to_owned()])
    );
}

#[test]
fn somebody_turned_away_stays_in_use_while_that_is_held() {
    let away = Evaluation::outcome(Outcome::OutOfScope("none of ours".into()));
    let grants = [standing_grant("writer", "eng")];
    let gone = said(&grants, &[], &away, LIVE, NOW);
    assert_eq!((state(&gone), dropped(&gone)), (AccountState::OutOfScope, vec!["writer"]));
    let held = gone.guarded.unwrap().losses_held.unwrap();
    assert_eq!(
        (held.account.as_ref().unwrap().state, held.drop_grants.len(), asked(&held)),
        (AccountState::Active, 0, vec![(RulingKind::Loss, None)])
    );
    let open = said(&grants, &[ruling(RulingKind::Loss, None, RulingState::Open, None)], &away, LIVE, NOW);
    assert_eq!((state(&open), open.guarded), (AccountState::Active, None));
    let released = said(&grants, &[ruling(RulingKind::Loss, None, RulingState::Yes, None)], &away, LIVE, NOW);
    assert_eq!((state(&released), dropped(&released), released.guarded.clone()), (AccountState::OutOfScope, vec!["writer"], None));
}

#[test]
fn a_gain_that_is_held_waits_and_one_that_is_rejected_does_not_come() {
    let gained = said(&[], &[], &mapped(&[("writer", "eng")]), LIVE, NOW);
    let held = gained.guarded.unwrap().gains_held.unwrap();
    assert_eq!(
        (put(&held), asked(&held)),
        (vec![("writer", GrantState::Pending, Some(Waiting::Hold))], vec![(RulingKind::Gain, Some("writer"))])
    );
    for (state, effective) in [(RulingState::Yes, true), (RulingState::No, false)] {
        let answered = ruling(RulingKind::Gain, Some("writer"), state, Some(NOW.plus_seconds(HOUR)).filter(|_| !effective));
        let after = said(&held.put_grants, &[answered], &mapped(&[("writer", "eng")]), LIVE, NOW);
        assert_eq!(after.effect.put_grants.iter().any(|grant| grant.state.in_effect()), effective);
        assert_eq!((dropped(&after).is_empty(), after.guarded.clone()), (effective, None));
    }
}

#[test]
fn a_departure_is_never_held_and_beyond_the_limit_it_can_be_undone() {
    let grants = [standing_grant("writer", "eng")];
    let left = said(&grants, &[], &Evaluation::inactive(), LIVE, NOW);
    assert_eq!((state(&left), dropped(&left)), (AccountState::Suspended, vec!["writer"]));
    let guarded = left.guarded.unwrap();
    assert!(guarded.concerned.scopes(GuardDirection::Losses).is_empty() && !guarded.concerned.scopes(GuardDirection::Leavers).is_empty());
    let dormant = guarded.losses_held.unwrap();
    assert_eq!(dormant.account.as_ref().unwrap().state, AccountState::Suspended, "gone at once all the same");
    assert_eq!((put(&dormant), asked(&dormant)), (vec![("writer", GrantState::Dormant, None)], vec![(RulingKind::Restored, None)]));
    assert!(dormant.events.iter().all(|event| event.leaver));

    let suspended = account(AccountState::Suspended);
    let then = |state, ends, evaluation: &Evaluation, now| {
        let rulings = [ruling(RulingKind::Restored, None, state, ends)];
        let standing = Standing {
            account: &suspended,
            fresh: false,
            grants: &dormant.put_grants,
            rulings: &rulings,
            former: Former::default(),
            attempts: 0,
            user: None,
        };
        settled_with(standing, evaluation, &["eng"], LIVE, now)
    };
    let still = then(RulingState::Open, None, &Evaluation::inactive(), NOW);
    assert_eq!((still.effect.drop_grants.len(), still.guarded), (0, None));
    let confirmed = then(RulingState::No, None, &Evaluation::inactive(), NOW);
    assert_eq!((dropped(&confirmed), confirmed.guarded.clone()), (vec!["writer"], None));
    let ends = NOW.plus_seconds(HOUR);
    let restored = then(RulingState::Yes, Some(ends), &Evaluation::inactive(), NOW);
    assert_eq!((state(&restored), put(&restored.effect)), (AccountState::Active, vec![("writer", GrantState::Effective, None)]));
    assert_eq!((restored.effect.next_evaluation_at, restored.guarded), (Some(ends), None));
    assert_eq!(state_of_over(&dormant.put_grants, ends), Some(AccountState::Suspended), "the exception is over: gone again");
    // The identity provider takes it back by itself: the roles are no gain.
    let back = then(RulingState::Open, None, &mapped(&[("writer", "eng")]), NOW);
    assert_eq!(
        (state(&back), put(&back.effect), back.guarded.clone()),
        (AccountState::Active, vec![("writer", GrantState::Effective, None)], None)
    );
}

/// The account's state when a restored one's time is over.
fn state_of_over(grants: &[Grant], now: Instant) -> Option<AccountState> {
    let rulings = [ruling(RulingKind::Restored, None, RulingState::Yes, Some(now))];
    said(grants, &rulings, &Evaluation::inactive(), LIVE, now).effect.account.map(|account| account.state)
}

#[test]
fn in_staging_everything_is_shown_and_nothing_has_effect() {
    let account = account(AccountState::Active);
    let standing =
        Standing { account: &account, fresh: true, grants: &[], rulings: &[], former: Former::default(), attempts: 0, user: None };
    let say = Say { connection: ConnectionState::Staging, ..LIVE };
    let staged = settled_with(standing, &mapped(&[("writer", "eng")]), &["eng"], say, NOW);
    let write = staged.effect.account.clone().unwrap();
    assert_eq!((write.state, write.note.as_ref().unwrap().code.as_str()), (AccountState::Held, Note::STAGING));
    assert_eq!((put(&staged.effect), &staged.guarded), (vec![("writer", GrantState::Pending, Some(Waiting::Staging))], &None));

    let held = Account { state: AccountState::Held, note: write.note, ..account };
    let standing = Standing {
        account: &held,
        fresh: false,
        grants: &staged.effect.put_grants,
        rulings: &[],
        former: Former::default(),
        attempts: 0,
        user: None,
    };
    let live = settled_with(standing, &mapped(&[("writer", "eng")]), &["eng"], LIVE, NOW);
    assert_eq!(
        (state(&live), put(&live.effect), live.guarded.clone()),
        (AccountState::Active, vec![("writer", GrantState::Effective, None)], None)
    );
}
