//! Steps and invitations: begun, dated anew and called off with the commit, told once when overdue, accepted once.

use std::collections::BTreeMap;

use rolecall::model::{
    AccountId, Instant, InvitationState, NewProcess, NewStep, Passage, Process, ProcessKind, ProcessState, ProcessStepState, ResourceId,
};
use rolecall::store::{
    Change, DeliveryRoom, Effect, Erasure, InvitationQuery, Left, NewInvitation, OVERDUE_AT_ONCE, PersonOutcome, ProcessQuery, StepSaid,
    StoreError,
};
use serde_json::json;

use crate::fixture::{Fixture, START, Through, account, actor, keyring, outcome};
use crate::history::{append, event, put_target};

store_contract_suite!(
    a_joiner_begins_once_and_is_dated_anew,
    a_leaver_ends_what_is_open,
    steps_are_done_and_skipped_once,
    what_is_overdue_is_told_once_by_one_host,
    an_invitation_is_accepted_once,
    an_invitation_ends_in_its_ways,
    a_connection_that_ends_ends_what_is_open,
    who_leaves_with_a_connection_begins_once,
);

const DAY: i64 = 86_400;

fn id(name: &str) -> AccountId {
    account(name).id
}

/// A process with a step two days before and one a day behind the anchor.
pub fn process(kind: ProcessKind, anchor: Instant) -> NewProcess {
    let step = |id: &str, span: &str, days: i64| NewStep {
        id: id.into(),
        title: "something to do".into(),
        owner: "it@acme.example".into(),
        span: span.into(),
        due: anchor.plus_seconds(days * DAY),
    };
    NewProcess { kind, anchor, zone: "UTC".into(), steps: vec![step("before", "-2 days", -2), step("after", "1 day", 1)] }
}

pub fn joins(anchor: Instant, again: bool) -> Passage {
    Passage::Joins { process: process(ProcessKind::Joiner, anchor), again }
}

pub fn invited(again: bool) -> Passage {
    Passage::Invited { expires: START.plus_seconds(7 * DAY), again, personal: json!({"email": "ana@acme.example"}) }
}

fn leaves() -> Passage {
    let process = Some(process(ProcessKind::Leaver, START));
    Passage::Leaves { process, acknowledged_by: Some(START.plus_seconds(DAY)), departed: START }
}

/// Commits passages of somebody who is there.
pub async fn pass(here: &Through<'_>, user: &ResourceId, passages: Vec<Passage>) {
    let (revision, person) = (here.active().await, here.person(user).await);
    let effect = Effect { passages, ..Effect::default() };
    let passing = PersonOutcome { effect, revision: revision.clone(), ..outcome(user, person.evaluation.input_version) };
    here.commit(Change { persons: vec![passing], revision, ..here.change() }).await.unwrap();
}

/// Creates a user with what that means.
async fn create(here: &Through<'_>, name: &str, passages: Vec<Passage>) -> ResourceId {
    let revision = here.active().await;
    let mut change = Change { revision: revision.clone(), ..here.creation(name) };
    change.persons[0].revision = revision;
    change.persons[0].effect.passages = passages;
    here.commit(change).await.unwrap();
    ResourceId(format!("user-{name}"))
}

async fn processes(fixture: &Fixture, state: Option<ProcessState>) -> Vec<Process> {
    let query = ProcessQuery { state, limit: 100, ..ProcessQuery::default() };
    fixture.store.processes(&fixture.tenant, &query).await.unwrap()
}

fn dues(process: &Process) -> Vec<i64> {
    process.steps.iter().map(|step| step.due.millis_since(START) / 1_000 / DAY).collect()
}

async fn count(fixture: &Fixture, kind: &str) -> usize {
    fixture.event_kinds().await.iter().filter(|found| *found == kind).count()
}

async fn a_joiner_begins_once_and_is_dated_anew(fixture: Fixture) {
    let here = fixture.here();
    let ana = create(&here, "ana", vec![joins(START.plus_seconds(10 * DAY), false)]).await;
    let open = processes(&fixture, None).await;
    assert_eq!((open.len(), open[0].kind, dues(&open[0])), (1, ProcessKind::Joiner, vec![8, 11]));
    assert_eq!((open[0].account.clone(), open[0].user_name.as_deref(), open[0].steps[0].id.as_str()), (id("ana"), Some("ana"), "before"));
    // The same date says nothing new; another one moves what is due.
    pass(&here, &ana, vec![joins(START.plus_seconds(10 * DAY), false)]).await;
    assert_eq!(count(&fixture, "process.dated").await, 0);
    pass(&here, &ana, vec![joins(START.plus_seconds(20 * DAY), false)]).await;
    let open = processes(&fixture, None).await;
    assert_eq!((open.len(), open[0].anchor, dues(&open[0])), (1, START.plus_seconds(20 * DAY), vec![18, 21]));
    assert_eq!((count(&fixture, "process.begun").await, count(&fixture, "process.dated").await), (1, 1));
    // Who was in use before does not join, unless they come back.
    let bob = here.create_user("bob").await;
    pass(&here, &bob, vec![joins(START, false)]).await;
    assert_eq!(processes(&fixture, None).await.len(), 1);
    pass(&here, &bob, vec![joins(START, true)]).await;
    assert_eq!(processes(&fixture, None).await.len(), 2);
    pass(
        &here,
        &bob,
        vec![
            Passage::Moves(process(ProcessKind::Mover, START)),
            Passage::Moves(NewProcess { steps: Vec::new(), ..process(ProcessKind::Mover, START) }),
        ],
    )
    .await;
    let by = async |query: ProcessQuery| fixture.store.processes(&fixture.tenant, &query).await.unwrap();
    assert_eq!(
        by(ProcessQuery { kind: Some(ProcessKind::Mover), limit: 9, ..ProcessQuery::default() }).await.len(),
        1,
        "without steps there is none"
    );
    assert_eq!(by(ProcessQuery { account: Some(id("bob")), limit: 9, ..ProcessQuery::default() }).await.len(), 2);
    let first = by(ProcessQuery { limit: 1, ..ProcessQuery::default() }).await;
    let rest = by(ProcessQuery { after: Some(first[0].id.clone()), limit: 9, ..ProcessQuery::default() }).await;
    assert_eq!((first.len(), rest.len()), (1, 2));
}

async fn a_leaver_ends_what_is_open(fixture: Fixture) {
    let here = fixture.here();
    let ana = create(&here, "ana", vec![joins(START, false), invited(false)]).await;
    let near = START.plus_seconds(5 * DAY);
    pass(&here, &ana, vec![Passage::EndNears(process(ProcessKind::Leaver, near))]).await;
    pass(&here, &ana, vec![Passage::EndNears(process(ProcessKind::Leaver, near))]).await;
    pass(&here, &ana, vec![leaves()]).await;
    let open = processes(&fixture, None).await;
    assert_eq!(open.iter().map(|process| (process.kind, dues(process))).collect::<Vec<_>>(), [(ProcessKind::Leaver, vec![-2, 1])]);
    let off = processes(&fixture, Some(ProcessState::CalledOff)).await;
    assert_eq!((off.len(), off[0].kind, off[0].ended), (1, ProcessKind::Joiner, Some(START)));
    assert!(off[0].steps.iter().all(|step| step.state == ProcessStepState::Skipped));
    assert_eq!(count(&fixture, "invitation.revoked").await, 1);
    pass(&here, &ana, vec![Passage::Stays]).await;
    assert_eq!(processes(&fixture, None).await, []);
    assert_eq!(count(&fixture, "process.called_off").await, 2);
    pass(&here, &ana, vec![Passage::Stays, Passage::Leaves { process: None, acknowledged_by: None, departed: START }]).await;
    assert_eq!(count(&fixture, "process.called_off").await, 2, "nothing is open");
}

async fn steps_are_done_and_skipped_once(fixture: Fixture) {
    let here = fixture.here();
    create(&here, "ana", vec![joins(START, false)]).await;
    let process = processes(&fixture, None).await.remove(0).id;
    let say = async |step: &str, done: bool| {
        let said = StepSaid { done, reason: Some("because".into()), actor: actor(), at: START.plus_seconds(5) };
        fixture.store.say_of_step(&fixture.tenant, &process, step, &said).await
    };
    let said = say("before", true).await.unwrap();
    assert_eq!(
        (said.state, said.steps[0].state, said.steps[0].decided),
        (ProcessState::Open, ProcessStepState::Done, Some(START.plus_seconds(5)))
    );
    for (step, why) in [("before", "Conflict"), ("nothing", "Missing")] {
        let refused = say(step, true).await.unwrap_err();
        assert!(format!("{refused:?}").starts_with(why), "{refused:?}");
    }
    let said = say("after", false).await.unwrap();
    assert_eq!((said.state, said.ended), (ProcessState::Done, Some(START.plus_seconds(5))));
    assert_eq!(fixture.store.process(&fixture.tenant, &process).await.unwrap(), Some(said));
    let kinds = ["step.done", "step.skipped", "process.done"];
    for kind in kinds {
        assert_eq!(count(&fixture, kind).await, 1, "{kind}");
    }
    let events = fixture.store.events(&fixture.tenant, 0, 100).await.unwrap();
    for event in events.iter().filter(|event| kinds.contains(&event.kind.as_str())) {
        assert!(!event.data.to_string().contains("because") && !event.data.to_string().contains("acme.example"), "{event:?}");
    }
    fixture.new_tenant("globex", "conn-globex").await;
    assert_eq!(fixture.store.process(&"globex".into(), &process).await.unwrap(), None);
}

async fn what_is_overdue_is_told_once_by_one_host(fixture: Fixture) {
    let here = fixture.here();
    put_target(&fixture, true).await;
    let ana = create(&here, "ana", vec![joins(START.plus_seconds(10 * DAY), false), invited(false)]).await;
    let other = fixture.another_host().await;
    let tell = async |days: i64| {
        let at = START.plus_seconds(days * DAY);
        let due = fixture.store.with_overdue(at, OVERDUE_AT_ONCE).await.unwrap();
        let who = actor();
        let told = futures_util::future::join_all(
            [&fixture.store, &other].map(|host| host.tell_overdue(&fixture.tenant, OVERDUE_AT_ONCE, &who, at)),
        );
        let told: i64 = told.await.into_iter().map(|told| told.unwrap()).sum();
        assert_eq!(due.is_empty(), told == 0, "day {days}");
        assert_eq!(fixture.store.with_overdue(at, OVERDUE_AT_ONCE).await.unwrap(), [], "day {days}: all was told");
        told
    };
    assert_eq!(tell(6).await, 0);
    assert_eq!(tell(7).await, 1, "the invitation");
    assert_eq!(tell(8).await, 1);
    assert_eq!(tell(9).await, 0);
    let overdue = ProcessQuery { overdue: true, limit: 9, ..ProcessQuery::default() };
    let found = fixture.store.processes(&fixture.tenant, &overdue).await.unwrap();
    assert_eq!(found[0].steps.iter().map(|step| step.state).collect::<Vec<_>>(), [ProcessStepState::Overdue, ProcessStepState::Open]);
    // A later start: not past the date any more, and told again when it is.
    let later = Change { at: START.plus_seconds(9 * DAY), ..here.change() };
    let (revision, person) = (here.active().await, here.person(&ana).await);
    let effect = Effect { passages: vec![joins(START.plus_seconds(20 * DAY), false)], ..Effect::default() };
    let passing = PersonOutcome { effect, revision: revision.clone(), ..outcome(&ana, person.evaluation.input_version) };
    here.commit(Change { persons: vec![passing], revision, ..later }).await.unwrap();
    assert_eq!(tell(17).await, 0);
    assert_eq!(tell(21).await, 2);
    assert_eq!((count(&fixture, "step.overdue").await, count(&fixture, "invitation.expired").await), (3, 1));
    // A departure that the target has not acknowledged in time.
    append(&fixture, vec![event("account.suspended", Some("ana"), true)]).await;
    pass(&here, &ana, vec![Passage::Leaves { process: None, acknowledged_by: Some(START.plus_seconds(30 * DAY)), departed: START }]).await;
    assert_eq!(tell(29).await, 0);
    assert_eq!(tell(30).await, 1);
    let events = fixture.event_kinds().await;
    assert_eq!(events.iter().filter(|kind| *kind == "receipt.overdue").count(), 1, "{events:?}");
}

/// The token that the target is told, from the delivery.
async fn token(fixture: &Fixture) -> BTreeMap<String, String> {
    while fixture.store.number_events().await.unwrap() > 0 {}
    let mut found = BTreeMap::new();
    loop {
        let due = fixture.store.claim_deliveries(START, START.plus_seconds(60), &DeliveryRoom::of(100)).await.unwrap();
        if due.is_empty() {
            return found;
        }
        for delivery in due {
            if let Some(token) = &delivery.token {
                assert_eq!(delivery.event.kind, "invitation.made");
                assert!(!format!("{delivery:?}").contains(token.0.as_str()), "never shown");
                found.insert(delivery.event.data["invitation"].as_str().unwrap().to_owned(), token.0.to_string());
            }
            let acknowledged = rolecall::store::DeliveryResult::Acknowledged;
            fixture.store.finish_delivery(&fixture.tenant, "hook", &delivery.event.id, &acknowledged, START).await.unwrap();
        }
    }
}

async fn an_invitation_is_accepted_once(fixture: Fixture) {
    let here = fixture.here();
    put_target(&fixture, true).await;
    create(&here, "ana", vec![invited(false)]).await;
    let list = async |state| {
        fixture.store.invitations(&fixture.tenant, &InvitationQuery { state, limit: 9, ..InvitationQuery::default() }).await.unwrap()
    };
    let open = list(None).await;
    assert_eq!((open.len(), open[0].account.clone(), open[0].expires), (1, id("ana"), START.plus_seconds(7 * DAY)));
    let told = token(&fixture).await;
    let token = &told[&open[0].id];
    assert!(token.starts_with("ri_") && token.len() == 46, "256 bits");
    let find = async |token: &str| fixture.store.find_invitation(&fixture.tenant, &keyring().token_hash(token)).await.unwrap();
    let found = find(token).await.unwrap();
    assert_eq!((found.id.as_str(), found.state), (open[0].id.as_str(), InvitationState::Open));
    assert_eq!(find("ri_guess").await, None);
    let other = fixture.another_host().await;
    let at = START.plus_seconds(DAY);
    assert!(
        !fixture.store.accept_invitation(&fixture.tenant, &found.id, found.expires).await.unwrap(),
        "expired, though nobody has said so"
    );
    let accepted =
        futures_util::future::join_all([&fixture.store, &other].map(|host| host.accept_invitation(&fixture.tenant, &found.id, at))).await;
    assert_eq!(accepted.into_iter().filter(|accepted| *accepted.as_ref().unwrap()).count(), 1, "once");
    assert_eq!((count(&fixture, "invitation.accepted").await, list(Some(InvitationState::Accepted)).await[0].ended), (1, Some(at)));
    let events = json!(fixture.store.events(&fixture.tenant, 0, 100).await.unwrap()).to_string();
    assert!(!events.contains(token.as_str()) && !events.contains("ri_"), "{events}");
    fixture.new_tenant("globex", "conn-globex").await;
    assert_eq!(fixture.store.find_invitation(&"globex".into(), &keyring().token_hash(token)).await.unwrap(), None);
}

async fn an_invitation_ends_in_its_ways(fixture: Fixture) {
    let here = fixture.here();
    let ana = create(&here, "ana", vec![invited(false)]).await;
    // In use before: not again, unless the tenant says so.
    pass(&here, &ana, vec![invited(false)]).await;
    assert_eq!(count(&fixture, "invitation.made").await, 1);
    pass(&here, &ana, vec![invited(true)]).await;
    assert_eq!((count(&fixture, "invitation.made").await, count(&fixture, "invitation.revoked").await), (2, 1));
    let new = |name: &str| NewInvitation {
        account: id(name),
        expires: START.plus_seconds(DAY),
        personal: json!({"email": null}),
        actor: actor(),
        at: START,
    };
    let made = fixture.store.invite(&fixture.tenant, &new("ana")).await.unwrap();
    assert_eq!((made.state, made.expires, &made.made_by), (InvitationState::Open, START.plus_seconds(DAY), &actor()));
    let open = fixture.store.invitations(&fixture.tenant, &InvitationQuery { limit: 9, ..InvitationQuery::default() }).await.unwrap();
    assert_eq!(open, std::slice::from_ref(&made), "the one before is good no more");
    let missing = fixture.store.invite(&fixture.tenant, &new("nobody")).await;
    assert!(matches!(missing, Err(StoreError::Missing(_))), "{missing:?}");
    let revoked = fixture.store.revoke_invitation(&fixture.tenant, &made.id, &actor(), START).await.unwrap();
    assert_eq!(revoked.state, InvitationState::Revoked);
    let again = fixture.store.revoke_invitation(&fixture.tenant, &made.id, &actor(), START).await;
    assert!(matches!(again, Err(StoreError::Missing(_))), "{again:?}");
    assert!(!fixture.store.accept_invitation(&fixture.tenant, &made.id, START).await.unwrap());
    // Out of use by whatever way: nothing is accepted, though the invitation is open.
    let made = fixture.store.invite(&fixture.tenant, &new("ana")).await.unwrap();
    here.delete_user(&ana).await;
    assert!(!fixture.store.accept_invitation(&fixture.tenant, &made.id, START).await.unwrap());
}

async fn a_connection_that_ends_ends_what_is_open(fixture: Fixture) {
    let here = fixture.here();
    create(&here, "ana", vec![joins(START, false), invited(false)]).await;
    fixture.store.delete_connection(&fixture.tenant, &here.connection, &actor(), START).await.unwrap();
    assert_eq!(processes(&fixture, None).await, []);
    assert_eq!((count(&fixture, "process.called_off").await, count(&fixture, "invitation.revoked").await), (1, 1));
}

async fn who_leaves_with_a_connection_begins_once(fixture: Fixture) {
    let here = fixture.here();
    put_target(&fixture, true).await;
    for name in ["ana", "bob", "eve"] {
        create(&here, name, vec![joins(START, false)]).await;
    }
    let (store, at) = (&fixture.store, START.plus_seconds(DAY));
    store.delete_connection(&fixture.tenant, &here.connection, &actor(), at).await.unwrap();
    assert_eq!(store.tenants_with_left(9).await.unwrap(), std::slice::from_ref(&fixture.tenant));
    // Nothing of who is erased meanwhile is left to begin with.
    let erasure = Erasure { why: "request", reference: None, actor: actor(), at };
    assert_eq!(store.erase(&fixture.tenant, &[id("eve")], &erasure).await.unwrap(), 1);
    let left = store.left(&fixture.tenant, 9).await.unwrap();
    assert_eq!(
        left.iter().map(|left| (left.account.as_str(), left.departed)).collect::<Vec<_>>(),
        [("account-ana", at), ("account-bob", at)]
    );
    assert_eq!(left[0].document.get("userName"), Some(&json!("ana@example.com")));
    let other = fixture.another_host().await;
    let leaving = |left: &Left| Passage::Leaves {
        process: Some(process(ProcessKind::Leaver, at)),
        acknowledged_by: Some(at.plus_seconds(60)),
        departed: left.departed,
    };
    let passages: Vec<(Left, Passage)> = left.iter().map(|left| (left.clone(), leaving(left))).collect();
    let (who, later) = (actor(), at.plus_seconds(30));
    let begun = [store, &other].map(|host| host.begin_left(&fixture.tenant, passages.clone(), &who, later));
    let begun: i64 = futures_util::future::join_all(begun).await.into_iter().map(|begun| begun.unwrap()).sum();
    assert_eq!((begun, processes(&fixture, None).await.len()), (2, 2));
    assert_eq!(count(&fixture, "process.begun").await, 3 + 2);
    assert_eq!(store.tenants_with_left(9).await.unwrap(), []);
    // The target has not been told yet, of a departure that was before its steps began.
    store.number_events().await.unwrap();
    assert_eq!(store.tell_overdue(&fixture.tenant, OVERDUE_AT_ONCE, &who, at.plus_seconds(61)).await.unwrap(), 2 + 2);
    assert_eq!(count(&fixture, "receipt.overdue").await, 2);
}
