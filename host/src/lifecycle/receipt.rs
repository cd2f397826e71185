//! The receipt of a departure: what was asked, what went with it, and which target has acknowledged what. Pure.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{AccountId, AccountState, Actor, Grant, GrantState, Instant};
use crate::store::{AccountView, DepartureEvent, Departures};

/// What was taken from somebody who left, and who knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Receipt {
    /// The account.
    pub account: AccountId,
    /// Its login name; `null` once it is erased.
    pub user_name: Option<String>,
    /// What it is at present.
    pub state: AccountState,
    /// Whether nothing is left to do: every role is gone, and every target has acknowledged.
    pub complete: bool,
    /// What caused it.
    pub request: Request,
    /// The roles that went, by role.
    pub roles: Vec<Lost>,
    /// What had to be done, in order.
    pub steps: Vec<Step>,
}

/// What caused a departure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Request {
    /// When it came.
    pub at: Instant,
    /// Who or what it came from.
    pub actor: Actor,
    /// The request, as in logs and the `x-request-id` header; `null` where a date came or somebody answered a hold.
    pub request_id: Option<String>,
    /// What it said, `inactive`, `deleted`, `ended` …, where roles went with it.
    pub why: Option<String>,
}

/// A role that went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Lost {
    /// The role.
    pub role: String,
    /// When.
    pub at: Instant,
    /// Whether it can come back by an answer to a hold, or at the end of a leave.
    pub dormant: bool,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Done.
    Done,
    /// Not yet.
    Waiting,
    /// Given up: somebody has to see to it.
    Failed,
}

/// Something that had to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    /// `suspension`, `roles`, `target` or `erasure`.
    pub name: String,
    /// Whose it is: Rolecall's own, or a target's.
    pub owner: String,
    /// How far it is.
    pub state: StepState,
    /// When it was done.
    pub at: Option<Instant>,
    /// By when it is to be done.
    pub due: Option<Instant>,
    /// What it waits for, or why it was given up.
    pub waits_for: Option<String>,
}

/// By when the steps of a departure are to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Hours within which a target is to acknowledge.
    pub target_hours: u32,
    /// Days after a removal until what is personal is erased.
    pub retain_days: Option<u32>,
}

/// The receipt of an account's last departure; `None` for somebody who has never left.
#[must_use]
pub fn receipt(view: &AccountView, departures: &Departures, terms: Terms) -> Option<Receipt> {
    let events = last_departure(&departures.events);
    let first = events.iter().find(|event| event.kind.starts_with("account."))?;
    let mut roles: Vec<Lost> = Vec::new();
    for event in events.iter().filter(|event| event.kind.starts_with("grant.")) {
        let role = event.data["role"].as_str().unwrap_or_default().to_owned();
        let was_in_effect = event.data["was"] != GrantState::Pending.word();
        match roles.iter_mut().find(|lost| lost.role == role) {
            Some(known) => known.dormant = event.kind == "grant.dormant",
            None if was_in_effect => roles.push(Lost { role, at: event.at, dormant: event.kind == "grant.dormant" }),
            None => {}
        }
    }
    roles.sort_by(|a, b| a.role.cmp(&b.role));
    let why = events.iter().find_map(|event| event.data["why"].as_str()).map(str::to_owned);
    let mut steps = vec![Step {
        name: "suspension".into(),
        owner: "rolecall".into(),
        state: StepState::Done,
        at: Some(first.at),
        due: Some(first.at),
        waits_for: None,
    }];
    steps.push(of_roles(&view.grants, first.at));
    steps.extend(of_targets(&events, departures, first.at, terms));
    let complete = steps.iter().all(|step| step.state == StepState::Done);
    steps.extend(of_erasure(view, departures, terms));
    Some(Receipt {
        account: view.account.id.clone(),
        user_name: view.account.user_name.clone(),
        state: view.account.state,
        complete,
        request: Request { at: first.at, actor: first.actor.clone(), request_id: first.request_id.clone(), why },
        roles,
        steps,
    })
}

/// The events of the last departure, oldest first: from the change in which an account in use came out of it.
fn last_departure(newest_first: &[DepartureEvent]) -> Vec<&DepartureEvent> {
    let begins = |event: &&DepartureEvent| event.kind.starts_with("account.") && event.data["before"] == AccountState::Active.word();
    let Some(begin) = newest_first.iter().find(begins) else { return Vec::new() };
    // What one change writes has one instant and one request; the roles of a departure come before the account in it.
    let since = |event: &&DepartureEvent| event.at >= begin.at;
    let mut events: Vec<&DepartureEvent> = newest_first.iter().filter(since).collect();
    events.reverse();
    events
}

fn of_roles(grants: &[Grant], at: Instant) -> Step {
    let held: Vec<&str> = grants
        .iter()
        .filter(|grant| grant.state.in_effect() || grant.state == GrantState::Dormant)
        .map(|grant| grant.role.as_str())
        .collect();
    let state = if held.is_empty() { StepState::Done } else { StepState::Waiting };
    let waits_for = (!held.is_empty()).then(|| format!("what can be given back still, or is again in effect: {}", held.join(", ")));
    Step { name: "roles".into(), owner: "rolecall".into(), state, at: held.is_empty().then_some(at), due: Some(at), waits_for }
}

/// A step for each target that was to be told, however many events that took.
fn of_targets(events: &[&DepartureEvent], departures: &Departures, at: Instant, terms: Terms) -> Vec<Step> {
    let due = Some(at.plus_seconds(i64::from(terms.target_hours) * 3_600)).filter(|_| terms.target_hours > 0);
    let concerned = departures.deliveries.iter().filter(|delivery| events.iter().any(|event| event.id == delivery.event));
    let mut steps: Vec<Step> = Vec::new();
    for delivery in concerned {
        let known = steps.iter().position(|step| step.owner == delivery.target).unwrap_or_else(|| {
            let (name, owner) = ("target".into(), delivery.target.clone());
            steps.push(Step { name, owner, state: StepState::Done, at: None, due, waits_for: None });
            steps.len() - 1
        });
        let step = &mut steps[known];
        match delivery.state.as_str() {
            "acknowledged" => step.at = step.at.max(delivery.finished),
            "dead" => {
                step.state = StepState::Failed;
                step.waits_for = Some(format!("given up: {}", delivery.problem.as_deref().unwrap_or("no reason was noted")));
            }
            _ if step.state == StepState::Failed => {}
            _ => {
                step.state = StepState::Waiting;
                step.waits_for = Some(match &delivery.problem {
                    _ if !delivery.enabled => "the target is disabled".into(),
                    Some(problem) => format!("the next of {} attempts so far: {problem}", delivery.attempts),
                    None => "the target's acknowledgement".into(),
                });
            }
        }
    }
    for step in steps.iter_mut().filter(|step| step.state != StepState::Done) {
        step.at = None;
    }
    steps
}

fn of_erasure(view: &AccountView, departures: &Departures, terms: Terms) -> Option<Step> {
    let step = |state, at, due, waits_for| Step { name: "erasure".into(), owner: "rolecall".into(), state, at, due, waits_for };
    if let Some(erased) = departures.erased {
        return Some(step(StepState::Done, Some(erased), None, None));
    }
    let days = i64::from(terms.retain_days?);
    let removed = view.account.state == AccountState::Removed;
    let due = removed.then(|| view.account.modified.plus_seconds(days * 86_400));
    let waits_for = if removed { "the end of the retention" } else { "the person's deletion by the identity provider" };
    Some(step(StepState::Waiting, None, due, Some(waits_for.into())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Account;
    use crate::store::DepartureDelivery;

    const NOW: Instant = Instant(1_800_000_000_000_000);

    fn event(id: &str, at: i64, kind: &str, data: Value) -> DepartureEvent {
        let actor = Actor { kind: "connection".into(), id: "c".into() };
        DepartureEvent { id: id.into(), at: NOW.plus_seconds(at), kind: kind.into(), actor, request_id: Some(format!("r{at}")), data }
    }

    fn delivery(event: &str, state: &str, problem: Option<&str>) -> DepartureDelivery {
        DepartureDelivery {
            target: "crm".into(),
            enabled: true,
            event: event.into(),
            state: state.into(),
            attempts: 1,
            problem: problem.map(str::to_owned),
            finished: (state == "acknowledged").then(|| NOW.plus_seconds(90)),
        }
    }

    fn view(state: AccountState) -> AccountView {
        let account = Account {
            id: "a".into(),
            state,
            user_name: Some("ada".into()),
            holds_name: false,
            profile: Value::Null,
            provenance: Value::Null,
            note: None,
            created: NOW,
            modified: NOW,
        };
        AccountView { account, grants: Vec::new(), source: None, evaluation: None, imported: None }
    }

    /// Newest first: a mover's loss long before, the departure, and a deletion after it.
    fn events() -> Vec<DepartureEvent> {
        vec![
            event("e5", 60, "account.removed", json!({"before": "suspended"})),
            event("e4", 0, "account.suspended", json!({"before": "active"})),
            event("e3", 0, "grant.removed", json!({"role": "waiting", "was": "pending", "why": "inactive"})),
            event("e2", 0, "grant.removed", json!({"role": "writer", "was": "effective", "why": "inactive"})),
            event("e1", -60, "grant.removed", json!({"role": "seller", "was": "effective", "why": "policy"})),
        ]
    }

    #[test]
    fn it_is_complete_when_every_target_has_acknowledged_all_of_it() {
        let terms = Terms { target_hours: 24, retain_days: Some(30) };
        let mut departures = Departures { events: events(), deliveries: Vec::new(), erased: None };
        departures.deliveries = vec![delivery("e2", "acknowledged", None), delivery("e4", "waiting", None)];
        let waits = receipt(&view(AccountState::Removed), &departures, terms).unwrap();
        assert_eq!(
            (waits.request.at, waits.request.request_id.as_deref(), waits.request.why.as_deref()),
            (NOW, Some("r0"), Some("inactive"))
        );
        assert_eq!(waits.roles, [Lost { role: "writer".into(), at: NOW, dormant: false }], "what was not in effect is no loss");
        let target = waits.steps.iter().find(|step| step.name == "target").unwrap();
        assert_eq!((target.state, target.at, target.due), (StepState::Waiting, None, Some(NOW.plus_seconds(24 * 3_600))));
        assert!(!waits.complete);
        let erasure = waits.steps.last().unwrap();
        assert_eq!((erasure.name.as_str(), erasure.due), ("erasure", Some(NOW.plus_seconds(30 * 86_400))));

        departures.deliveries = vec![delivery("e2", "acknowledged", None), delivery("e4", "acknowledged", None)];
        let done = receipt(&view(AccountState::Removed), &departures, terms).unwrap();
        let target = done.steps.iter().find(|step| step.name == "target").unwrap();
        assert_eq!((done.complete, target.at), (true, Some(NOW.plus_seconds(90))));
        departures.deliveries = vec![delivery("e2", "dead", Some("the target answered 410")), delivery("e4", "waiting", None)];
        let failed = receipt(&view(AccountState::Removed), &departures, terms).unwrap();
        let target = failed.steps.iter().find(|step| step.name == "target").unwrap();
        assert_eq!((failed.complete, target.state), (false, StepState::Failed));
        assert!(target.waits_for.as_ref().unwrap().contains("410"));
    }

    #[test]
    fn whoever_never_left_has_none() {
        let departures = Departures { events: events().split_off(4), ..Departures::default() };
        assert_eq!(receipt(&view(AccountState::Active), &departures, Terms::default()), None);
    }
}
