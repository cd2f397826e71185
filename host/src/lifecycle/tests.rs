//! What changes for a person, case by case.

use super::*;
use crate::evaluation::{Fault, Undecided};
use crate::model::Reason;
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
    Reason { policy: format!("by-{handle}"), reason: None, groups: vec![vec![handle.to_owned()]], proposed: false, nomination: None }
}

fn standing_grant(role: &str, handle: &str) -> Grant {
    Grant {
        role: RoleId::from(role),
        state: GrantState::Effective,
        reasons: vec![reason(handle)],
        since: NOW.plus_seconds(-HOUR),
        deadline: None,
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

fn settled(account: &Account, grants: &[Grant], evaluation: &Evaluation, groups: &[&str], paused: bool, now: Instant) -> Settled {
    let (decisions, privileged, revision) = (DecisionSettings::default(), BTreeSet::from(["root".to_owned()]), RevisionHash::from("r1"));
    let rules = Rules { decisions: &decisions, revision: Some(&revision), privileged: &privileged, paused };
    let standing = Standing { account, fresh: false, grants, attempts: 0 };
    settle(&standing, evaluation, &member_of(groups), &rules, now)
}

fn state(settled: &Settled) -> AccountState {
    settled.account.as_ref().unwrap().state
}

fn dropped(settled: &Settled) -> Vec<&str> {
    settled.drop.iter().map(RoleId::as_str).collect()
}

#[test]
fn a_leaver_loses_everything_in_the_leavers_lane() {
    let grants = [standing_grant("writer", "eng"), standing_grant("root", "ops")];
    let settled = settled(&account(AccountState::Active), &grants, &Evaluation::inactive(), &["eng", "ops"], false, NOW);
    assert_eq!(state(&settled), AccountState::Suspended);
    assert_eq!(dropped(&settled), ["writer", "root"]);
    assert!(settled.put.is_empty());
    assert!(settled.events.iter().all(|event| event.leaver));
}

#[test]
fn a_fault_grants_nothing_and_retains_until_a_deadline_by_privilege() {
    let grants = [standing_grant("writer", "eng"), standing_grant("root", "eng")];
    let settled = settled(&account(AccountState::Active), &grants, &fault(false), &["eng"], false, NOW);
    assert_eq!(state(&settled), AccountState::Active);
    assert_eq!(settled.account.as_ref().unwrap().note.as_ref().unwrap().code, "plugin_fault");
    let deadlines: Vec<_> = settled.put.iter().map(|grant| (grant.role.as_str(), grant.state, grant.deadline)).collect();
    let (writer, root) = (NOW.plus_seconds(72 * HOUR), NOW.plus_seconds(4 * HOUR));
    assert_eq!(deadlines, [("writer", GrantState::Retained, Some(writer)), ("root", GrantState::Retained, Some(root))]);
    assert_eq!(settled.next_evaluation_at, Some(root));
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
    assert!(settled.put.is_empty() && settled.drop.is_empty());
    assert_eq!(settled.next_evaluation_at, Some(deadline));
}

#[test]
fn a_repair_makes_a_retained_grant_effective_and_keeps_since() {
    let retained = Grant { state: GrantState::Retained, deadline: Some(NOW), ..standing_grant("writer", "eng") };
    let settled = settled(&account(AccountState::Active), &[retained], &mapped(&[("writer", "eng")]), &["eng"], false, NOW);
    assert_eq!(settled.put.len(), 1);
    assert_eq!((settled.put[0].state, settled.put[0].since), (GrantState::Effective, NOW.plus_seconds(-HOUR)));
}

#[test]
fn an_infrastructure_fault_is_no_verdict() {
    let settled = settled(&account(AccountState::Active), &[], &fault(true), &[], false, NOW);
    assert_eq!((settled.still_pending, settled.attempts), (Some(Cause::Retry), 1));
    assert_eq!(settled.next_evaluation_at, Some(NOW.plus_seconds(1)));
    assert_eq!(retry_at(NOW, 40), NOW.plus_seconds(RETRY_MAX_SECONDS));
}

#[test]
fn nothing_comes_into_use_on_a_doubt() {
    let settled = settled(&account(AccountState::Suspended), &[], &fault(false), &["eng"], false, NOW);
    assert_eq!(state(&settled), AccountState::Held);
    assert!(settled.put.is_empty());
}

#[test]
fn an_undecided_role_is_retained_where_it_stands_and_not_granted_where_it_does_not() {
    let note = Note { code: "policy_error".into(), path: None, message: "overflow".into() };
    let undecided = ["writer", "reader"].map(|role| Undecided { role: role.into(), note: note.clone() });
    let evaluation = Evaluation { undecided: undecided.into(), ..mapped(&[]) };
    let grants = [standing_grant("writer", "eng")];
    let settled = settled(&account(AccountState::Active), &grants, &evaluation, &["eng"], false, NOW);
    assert_eq!(settled.put.len(), 1);
    assert_eq!((settled.put[0].role.as_str(), settled.put[0].state), ("writer", GrantState::Retained));
    assert_eq!(settled.account.unwrap().note.unwrap().code, "policy_error");
}

#[test]
fn a_mover_gains_and_loses() {
    let grants = [standing_grant("writer", "eng")];
    let settled = settled(&account(AccountState::Active), &grants, &mapped(&[("seller", "sales")]), &["sales"], false, NOW);
    assert_eq!(dropped(&settled), ["writer"]);
    assert_eq!(settled.put[0].role.as_str(), "seller");
    assert_eq!(settled.account.unwrap().name_key.as_deref(), Some("ada"));
}

#[test]
fn a_paused_connection_takes_away_and_gives_nothing() {
    let grants = [standing_grant("writer", "eng")];
    let evaluation = mapped(&[("seller", "sales")]);
    let active = settled(&account(AccountState::Active), &grants, &evaluation, &["sales"], true, NOW);
    assert_eq!((dropped(&active), active.put.len()), (vec!["writer"], 0));
    let back = settled(&account(AccountState::Suspended), &[], &evaluation, &["sales"], true, NOW);
    assert_eq!((state(&back), back.put.len()), (AccountState::Held, 0));
}

#[test]
fn a_collision_is_held_without_a_name_and_waits_for_it() {
    let shape = AccountShape { user_name: "José".into(), ..AccountShape::default() };
    let evaluation = Evaluation::outcome(Outcome::Collision(Box::new(shape), AccountId::from("other")));
    let settled = settled(&account(AccountState::Active), &[standing_grant("writer", "eng")], &evaluation, &["eng"], false, NOW);
    let write = settled.account.unwrap();
    assert_eq!((write.state, write.name_key, write.wanted_key.as_deref()), (AccountState::Held, None, Some("jose")));
    assert_eq!(settled.drop.len(), 1);
}

#[test]
fn whoever_has_no_name_takes_none_along() {
    let away = Evaluation::outcome(Outcome::OutOfScope("none of ours".into()));
    let inactive = Evaluation::inactive();
    // Held over a collision, then away, back out of scope, and away again: the name is the other's all the while.
    for (before, evaluation) in [(AccountState::Held, &inactive), (AccountState::Suspended, &away), (AccountState::OutOfScope, &inactive)] {
        for holds_name in [false, true] {
            let standing = Account { holds_name, ..account(before) };
            let write = settled(&standing, &[], evaluation, &[], false, NOW).account.unwrap();
            assert_eq!((write.name_key.is_some(), write.wanted_key), (holds_name, None), "{before:?}");
        }
    }
}

#[test]
fn the_same_again_changes_nothing() {
    let mut before = account(AccountState::Active);
    let evaluation = mapped(&[("writer", "eng")]);
    let first = settled(&before, &[], &evaluation, &["eng"], false, NOW);
    let write = first.account.unwrap();
    before.profile = write.profile;
    before.provenance = write.provenance;
    let again = settled(&before, &first.put, &evaluation, &["eng"], false, NOW.plus_seconds(HOUR));
    assert_eq!(
        again,
        Settled { next_evaluation_at: None, account: None, put: vec![], drop: vec![], events: vec![], still_pending: None, attempts: 0 }
    );
}
