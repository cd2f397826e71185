//! Who reviews what: the floor in all its ways round.

use super::*;
use crate::model::{ConnectionId, Grant, GrantState, OnSilence, ReviewScope, RoleId};

fn plan(reviewers: Reviewers, named: &[&str]) -> ReviewPlan {
    ReviewPlan {
        scope: ReviewScope { roles: vec![RoleId::from("r")], ..ReviewScope::default() },
        reviewers,
        named: named.iter().map(|name| (*name).to_owned()).collect(),
        fallback: "audit".into(),
        remind_hours: Vec::new(),
        on_silence: OnSilence::Keep,
        exception_days: 30,
        exception_owner: "iam".into(),
    }
}

fn held() -> Candidate {
    Candidate {
        account: "a1".into(),
        user_name: Some("ada".into()),
        email: Some("ada@acme.example".into()),
        manager: Some("m".into()),
        last_change: Instant(0),
        connection: Some(ConnectionId::from("c")),
        grant: Grant {
            role: "r".into(),
            state: GrantState::Effective,
            reasons: Vec::new(),
            since: Instant(0),
            deadline: None,
            revision: "v".into(),
            waits_for: None,
        },
    }
}

fn role(privileged: bool, owner: Option<&str>) -> Role {
    let owner = owner.map(str::to_owned);
    Role { id: "r".into(), description: String::new(), risk: 1, privileged, approval: None, owner, app: None, families: Vec::new() }
}

fn check(plan: &ReviewPlan, role: Option<&Role>, manager: Option<(&str, &str)>, expect: (Option<&str>, ReviewerSource)) {
    let manager = manager.map(|(account, name)| (AccountId::from(account), name.to_owned()));
    let (name, source) = reviewer(plan, &held(), role, manager.as_ref());
    assert_eq!((name.as_deref(), source), expect, "{plan:?} {role:?}");
}

#[test]
fn the_manager_reviews_what_is_not_privileged_and_nobody_themselves() {
    let by_manager = plan(Reviewers::Manager, &[]);
    check(&by_manager, Some(&role(false, Some("owner"))), Some(("a2", "grace")), (Some("grace"), ReviewerSource::Manager));
    check(&by_manager, Some(&role(true, Some("owner"))), Some(("a2", "grace")), (Some("owner"), ReviewerSource::RoleOwner));
    check(&by_manager, Some(&role(true, None)), Some(("a2", "grace")), (Some("audit"), ReviewerSource::Fallback));
    check(&by_manager, None, Some(("a2", "grace")), (Some("audit"), ReviewerSource::Fallback));
    check(&by_manager, Some(&role(false, None)), Some(("a1", "other")), (Some("audit"), ReviewerSource::Fallback));
    check(&by_manager, Some(&role(false, None)), Some(("a2", "ADA")), (Some("audit"), ReviewerSource::Fallback));
    check(&by_manager, Some(&role(false, None)), None, (Some("audit"), ReviewerSource::Fallback));
}

#[test]
fn owners_and_named_reviewers_pass_themselves_over() {
    check(&plan(Reviewers::RoleOwner, &[]), Some(&role(true, Some("Ada@acme.example"))), None, (Some("audit"), ReviewerSource::Fallback));
    let named = plan(Reviewers::Named, &["ada", "ken"]);
    check(&named, Some(&role(true, None)), None, (Some("ken"), ReviewerSource::Named));
    let alone = ReviewPlan { fallback: "a1".into(), ..plan(Reviewers::Named, &["ada"]) };
    check(&alone, Some(&role(false, None)), None, (None, ReviewerSource::Nobody));
}
