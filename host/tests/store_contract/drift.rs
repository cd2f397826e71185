//! Reconciliations: one of a connection at a time, simulated in order, begun with what was seen, and held as one.

use rolecall::model::{
    DriftCounts, DriftDetail, DriftForecast, DriftKind, DriftOutcome, GuardScope, GuardSettings, HoldState, Instant, ReconciliationState,
    ResourceId, RoleId, RulingState,
};
use rolecall::store::{
    Answer, Answered, CarryOut, DriftNoted, DriftQuery, Forecasted, NewDriftLine, NewReconciliation, Result, StoreError,
};

use crate::fixture::{Fixture, START, Through, actor};

store_contract_suite!(
    a_reconciliation_is_simulated_in_order_and_begun_once,
    losses_are_held_together_and_answered,
    lines_go_with_their_person
);

const LATER: Instant = Instant(START.0 + 7 * 86_400_000_000);

async fn begin(fixture: &Fixture, here: &Through<'_>, id: &str) -> Result<()> {
    let (connection, actor) = (here.connection.clone(), actor());
    let new = NewReconciliation { id: id.into(), connection, complete: true, actor, at: START, ends: LATER };
    fixture.store.begin_reconciliation(&fixture.tenant, &new).await
}

/// One with a line for each of some people, ready; everybody would lose a role.
async fn ready(fixture: &Fixture, here: &Through<'_>, id: &str, users: &[ResourceId]) {
    begin(fixture, here, id).await.unwrap();
    let mut lines = Vec::new();
    for (number, user) in (1..).zip(users) {
        let person = here.person(user).await;
        let detail = DriftDetail { user_name: format!("name of {user}"), ..DriftDetail::default() };
        lines.push(NewDriftLine {
            line: number,
            kind: DriftKind::Extra,
            stored: Some((user.clone(), person.account.id)),
            version: 1,
            detail,
        });
    }
    fixture.store.add_drift(&fixture.tenant, id, &lines).await.unwrap();
    let extra = i64::try_from(users.len()).unwrap();
    fixture.store.compared(&fixture.tenant, id, &DriftCounts { extra, ..DriftCounts::default() }, START).await.unwrap();
    assert!(forecast(fixture, id, 0, extra, true).await);
}

async fn forecast(fixture: &Fixture, id: &str, from: i64, to: i64, last: bool) -> bool {
    let loses = DriftForecast { loses: vec![RoleId::from("reader")], ..DriftForecast::default() };
    let lines = (from + 1..=to).map(|line| (line, loses.clone())).collect();
    let step = Forecasted { from, lines, to, digest: format!("d{to}"), last, at: START };
    fixture.store.keep_forecast(&fixture.tenant, id, &step).await.unwrap()
}

async fn carry_out(fixture: &Fixture, id: &str, digest: &str) -> Result<i64> {
    let (guard, actor) = (Some(GuardSettings::default()), actor());
    let said = CarryOut { digest: digest.into(), reason: "because".into(), guard, actor, at: START, ends: LATER };
    fixture.store.carry_out(&fixture.tenant, id, &said).await
}

async fn state(fixture: &Fixture, id: &str) -> Option<ReconciliationState> {
    fixture.store.reconciliation(&fixture.tenant, id).await.unwrap().map(|found| found.state)
}

async fn a_reconciliation_is_simulated_in_order_and_begun_once(fixture: Fixture) {
    let (here, store, tenant) = (fixture.here(), &fixture.store, &fixture.tenant);
    let users = here.create_users("p", 3).await;
    ready(&fixture, &here, "one", &users).await;
    begin(&fixture, &here, "two").await.unwrap();
    assert_eq!(state(&fixture, "one").await, Some(ReconciliationState::Abandoned), "a newer export takes its place");
    assert!(store.add_drift(tenant, "one", &[]).await.is_err());
    ready(&fixture, &here, "three", &users).await;
    assert!(!forecast(&fixture, "three", 0, 3, true).await, "not twice");
    assert!(matches!(carry_out(&fixture, "three", "other").await, Err(StoreError::Conflict { what: "digest" })));
    assert!(matches!(carry_out(&fixture, "nothing", "d3").await, Err(StoreError::Missing(_))));
    assert_eq!(carry_out(&fixture, "three", "d3").await.unwrap(), 0, "three people are no crowd");
    assert!(carry_out(&fixture, "three", "d3").await.is_err());
    assert!(begin(&fixture, &here, "four").await.is_err(), "one is being carried out");
    let (found, id) = store.due_reconciliation(START).await.unwrap().unwrap();
    assert_eq!((&found, id.as_str()), (tenant, "three"));
    assert!(store.claim_reconciliation(tenant, "three", START, LATER).await.unwrap());
    assert!(!store.claim_reconciliation(tenant, "three", START, LATER).await.unwrap(), "another host has it");
    let next = store.next_drift(tenant, "three", 2).await.unwrap();
    assert_eq!(next.iter().map(|(line, said)| (line.line, *said)).collect::<Vec<_>>(), [(1, None), (2, None)]);
    assert_eq!(next[0].0.detail.user_name, format!("name of {}", users[0]));
    let done = |line| DriftNoted { line, account: None, outcome: DriftOutcome::Done, note: None };
    assert!(store.note_drift(tenant, "three", &[done(1), done(2)], START).await.unwrap());
    assert_eq!(store.reconciliation(tenant, "three").await.unwrap().unwrap().distance, 1, "how far it is");
    assert!(!store.note_drift(tenant, "three", &[done(3)], START).await.unwrap(), "nothing is left");
    store.end_reconciliation(tenant, "three", (ReconciliationState::Finished, None), &actor(), START, LATER).await.unwrap();
    let found = store.reconciliation(tenant, "three").await.unwrap().unwrap();
    assert_eq!((found.state, found.distance, found.digest.as_deref()), (ReconciliationState::Finished, 0, Some("d3")));
    let listed = store.reconciliations(tenant, Some(&here.connection), 10).await.unwrap();
    assert_eq!(listed.len(), 3);
    store.forget_reconciliation(tenant, "three").await.unwrap();
    assert_eq!(state(&fixture, "three").await, None);
}

async fn losses_are_held_together_and_answered(fixture: Fixture) {
    let (here, store, tenant) = (fixture.here(), &fixture.store, &fixture.tenant);
    let users = here.create_users("p", 8).await;
    ready(&fixture, &here, "one", &users).await;
    assert_eq!(carry_out(&fixture, "one", "d8").await.unwrap(), 8);
    assert!(store.next_drift(tenant, "one", 100).await.unwrap().is_empty(), "all of them wait");
    let holds = store.holds(tenant, Some(HoldState::Open), None, 10).await.unwrap();
    assert_eq!((holds[0].scope, holds[0].of.as_str(), holds[0].people), (GuardScope::Plan, "one", 8));
    let account = here.person(&users[0]).await.account.id;
    let answer = |yes| Answer { yes, ends: Some(LATER), reason: None, owner: None, actor: actor(), at: START };
    store.note_drift(tenant, "one", &[], LATER).await.unwrap();
    let released = Answered::Hold(holds[0].id.clone(), Some(vec![account.clone()]));
    assert_eq!(store.answer_rulings(tenant, &released, &answer(true)).await.unwrap(), 1);
    assert!(store.due_reconciliation(START).await.unwrap().is_some(), "an answer makes it due");
    let next = store.next_drift(tenant, "one", 100).await.unwrap();
    assert_eq!((next.len(), next[0].1), (1, Some(RulingState::Yes)));
    let noted = DriftNoted { line: 1, account: Some(account), outcome: DriftOutcome::Done, note: None };
    store.note_drift(tenant, "one", &[noted], START).await.unwrap();
    assert!(here.person(&users[0]).await.rulings.is_empty(), "what was released counts for this alone");
    assert_eq!(store.answer_rulings(tenant, &Answered::Hold(holds[0].id.clone(), None), &answer(false)).await.unwrap(), 7);
    let next = store.next_drift(tenant, "one", 100).await.unwrap();
    assert_eq!((next.len(), next[0].1), (7, Some(RulingState::No)));
    store.end_reconciliation(tenant, "one", (ReconciliationState::Abandoned, Some("enough")), &actor(), START, LATER).await.unwrap();
    // What somebody lets stand is asked about by none.
    ready(&fixture, &here, "two", &users[1..]).await;
    assert_eq!(carry_out(&fixture, "two", "d7").await.unwrap(), 0);
    let rejected = DriftQuery { outcome: Some(DriftOutcome::Rejected), limit: 100, ..DriftQuery::default() };
    assert_eq!(store.drift_lines(tenant, "two", &rejected).await.unwrap().len(), 7);
}

async fn lines_go_with_their_person(fixture: Fixture) {
    let (here, store, tenant) = (fixture.here(), &fixture.store, &fixture.tenant);
    let users = here.create_users("p", 2).await;
    ready(&fixture, &here, "one", &users).await;
    here.delete_user(&users[0]).await;
    let all = DriftQuery { limit: 100, ..DriftQuery::default() };
    let left = store.drift_lines(tenant, "one", &all).await.unwrap();
    assert_eq!(left.iter().map(|line| line.line).collect::<Vec<_>>(), [2]);
    store.delete_connection(tenant, &here.connection, &actor(), START).await.unwrap();
    assert_eq!(state(&fixture, "one").await, None);
}
