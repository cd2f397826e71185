//! What a change means for people's steps and invitations, case by case.

use super::*;
use crate::mapping::{Conditions, Dates};
use crate::model::{Invited, NewProcess, Passage, ProcessKind, StepCondition, StepSettings};

const DAY: i64 = 24 * HOUR;

fn step(id: &str, due: &str, when: StepCondition) -> StepSettings {
    StepSettings { id: id.into(), title: id.into(), owner: "it".into(), due: due.into(), when }
}

fn processes() -> ProcessSettings {
    let when = StepCondition::default;
    let mut settings = ProcessSettings { time_zone: Some("UTC".into()), ..ProcessSettings::default() };
    settings.joiner.steps =
        vec![step("laptop", "-2 days", when()), step("contract", "P1D", StepCondition { user_type: Some("contractor".into()), ..when() })];
    settings.mover.steps = vec![
        step("any", "1 day", when()),
        step("handover", "3 days", StepCondition { loses: Some("writer".into()), ..when() }),
        step("course", "3 days", StepCondition { gains: Some("seller".into()), ..when() }),
        step("other", "3 days", StepCondition { gains: Some("root".into()), ..when() }),
    ];
    settings.leaver.steps =
        vec![step("keys", "1 day", StepCondition { loses: Some("writer".into()), ..when() }), step("desk", "1 day", when())];
    settings
}

/// Settles with steps.
fn passages_with(
    settings: &ProcessSettings,
    standing: Standing<'_>,
    evaluation: &Evaluation,
    connection: ConnectionState,
    activated: bool,
) -> Settled {
    let (decisions, nothing, revision) = (DecisionSettings::default(), BTreeSet::new(), RevisionHash::from("r1"));
    let (approvals, guard) = (ApprovalSettings::default(), GuardSettings { enabled: true, ..GuardSettings::default() });
    let calendar = Calendar::default();
    let conditions = Conditions::of(settings, &rolecall_scim::schema::Schemas::standard()).expect("the test's filters are sound");
    let rules = Rules {
        processes: settings,
        calendar: &calendar,
        conditions: &conditions,
        decisions: &decisions,
        revision: Some(&revision),
        privileged: &nothing,
        approved: &nothing,
        approvals: &approvals,
        guard: &guard,
        connection,
    };
    settle(&standing, evaluation, &member_of(&["eng"]), (&rules, &"c".into(), activated), NOW)
}

fn passages(account: &Account, fresh: bool, grants: &[Grant], evaluation: &Evaluation) -> Vec<Passage> {
    let standing = Standing { account, fresh, grants, rulings: &[], former: Former::default(), attempts: 0, user: None };
    passages_with(&processes(), standing, evaluation, ConnectionState::Active, false).effect.passages
}

fn dated(evaluation: Evaluation, starts: Option<i64>, ends: Option<i64>) -> Evaluation {
    let at = |seconds: Option<i64>| seconds.map(|seconds| NOW.plus_seconds(seconds));
    Evaluation { dates: Dates { starts: at(starts), ends: at(ends) }, ..evaluation }
}

/// Each step with its due date, in seconds from now.
fn dues(process: &NewProcess) -> Vec<(&str, i64)> {
    process.steps.iter().map(|step| (step.id.as_str(), step.due.millis_since(NOW) / 1_000)).collect()
}

fn unknown() -> Account {
    Account { user_name: None, profile: json!(null), ..account(AccountState::Active) }
}

#[test]
fn a_joiner_begins_at_the_start_or_when_in_use() {
    let joined = |account: &Account, fresh, evaluation: &Evaluation| match &passages(account, fresh, &[], evaluation)[..] {
        [Passage::Joins { process, again }] => {
            (dues(process).into_iter().map(|(id, due)| (id.to_owned(), due)).collect::<Vec<_>>(), *again)
        }
        other => panic!("{other:?}"),
    };
    let laptop = |due: i64| vec![("laptop".to_owned(), due - 2 * DAY)];
    assert_eq!(joined(&unknown(), true, &mapped(&[])), (laptop(0), false));
    assert_eq!(joined(&unknown(), true, &dated(mapped(&[]), Some(5 * DAY), None)), (laptop(5 * DAY), false));
    // Told of too late: from when they come into use.
    assert_eq!(joined(&unknown(), true, &dated(mapped(&[]), Some(-300 * DAY), None)), (laptop(0), false));
    // Prepared: the date counts, whenever it is noticed that it has come.
    assert_eq!(joined(&account(AccountState::Scheduled), false, &dated(mapped(&[]), Some(-HOUR), None)), (laptop(-HOUR), false));
    let revived = passages(&account(AccountState::Removed), true, &[], &mapped(&[]));
    assert!(matches!(&revived[..], [Passage::Joins { again: true, .. }, Passage::Stays]), "{revived:?}");
    let contractor = AccountShape { user_name: "ada".into(), user_type: Some("Contractor".into()), ..AccountShape::default() };
    let evaluation = Evaluation::outcome(Outcome::Account(Box::new(contractor)));
    assert_eq!(joined(&unknown(), true, &evaluation).0.len(), 2, "types are compared in any case");
}

#[test]
fn nobody_joins_by_staying_or_by_a_first_sync() {
    let names = Evaluation::outcome(Outcome::Account(Box::new(AccountShape { user_name: "bea".into(), ..AccountShape::default() })));
    assert_eq!(passages(&account(AccountState::Active), false, &[], &names), []);
    let staged =
        Account { note: Some(Note { code: Note::STAGING.into(), path: None, message: String::new() }), ..account(AccountState::Held) };
    assert_eq!(passages(&staged, false, &[], &mapped(&[])), []);
    let coming = passages(&staged, false, &[], &dated(mapped(&[]), Some(DAY), None));
    assert!(matches!(&coming[..], [Passage::Joins { .. }]), "{coming:?}");
    for connection in [ConnectionState::Staging, ConnectionState::Paused] {
        let fresh = unknown();
        let standing =
            Standing { account: &fresh, fresh: true, grants: &[], rulings: &[], former: Former::default(), attempts: 0, user: None };
        assert_eq!(passages_with(&processes(), standing, &mapped(&[]), connection, false).effect.passages, [], "{connection}");
    }
    assert_eq!(passages(&unknown(), true, &[], &Evaluation::inactive()), []);
    assert_eq!(passages(&unknown(), true, &[], &fault(false)), []);
}

#[test]
fn who_gains_and_loses_moves_once_whatever_the_guard_keeps_back() {
    let grants = [standing_grant("writer", "eng")];
    let active = account(AccountState::Active);
    let standing =
        || Standing { account: &active, fresh: false, grants: &grants, rulings: &[], former: Former::default(), attempts: 0, user: None };
    let move_on = mapped(&[("seller", "eng")]);
    let settled = passages_with(&processes(), standing(), &move_on, ConnectionState::Active, false);
    let [Passage::Moves(process)] = &settled.effect.passages[..] else { panic!("{:?}", settled.effect.passages) };
    assert_eq!(dues(process), [("any", DAY), ("handover", 3 * DAY), ("course", 3 * DAY)]);
    let guarded = settled.guarded.unwrap();
    let held = guarded.both_held.unwrap();
    assert_eq!(held.passages, settled.effect.passages, "the person has moved, though nothing has taken effect");
    // What was held is released later: no other move.
    let later = Standing { grants: &held.put_grants, ..standing() };
    assert_eq!(passages_with(&processes(), later, &move_on, ConnectionState::Active, false).effect.passages, []);
    for (wanted, activated) in [(vec![("writer", "eng"), ("seller", "eng")], false), (vec![], false), (vec![("seller", "eng")], true)] {
        let settled = passages_with(&processes(), standing(), &mapped(&wanted), ConnectionState::Active, activated);
        assert_eq!(settled.effect.passages, [], "{wanted:?}");
    }
}

#[test]
fn a_leaver_leaves_once_and_whoever_is_away_stays() {
    let grants = [standing_grant("writer", "eng")];
    let left = passages(&account(AccountState::Active), false, &grants, &Evaluation::inactive());
    let [Passage::Leaves { process: Some(process), acknowledged_by: Some(_), departed: NOW }] = &left[..] else { panic!("{left:?}") };
    assert_eq!((process.kind, dues(process)), (ProcessKind::Leaver, vec![("keys", DAY), ("desk", DAY)]));
    let plain = passages(&account(AccountState::Active), false, &[], &Evaluation::inactive());
    let [Passage::Leaves { process: Some(process), .. }] = &plain[..] else { panic!("{plain:?}") };
    assert_eq!(dues(process), [("desk", DAY)], "nothing was lost that has a step");
    // Never in use: there is nothing to hand back.
    let coming = passages(&account(AccountState::Scheduled), false, &[], &Evaluation::inactive());
    assert!(matches!(&coming[..], [Passage::Leaves { process: None, acknowledged_by: None, departed: NOW }]), "{coming:?}");
    assert_eq!(passages(&account(AccountState::Suspended), false, &[], &Evaluation::inactive()), []);
    let back = passages(&account(AccountState::Suspended), false, &[], &mapped(&[]));
    assert!(matches!(&back[..], [Passage::Joins { .. }, Passage::Stays]), "{back:?}");

    let absence = [Ruling { ends: Some(NOW.plus_seconds(DAY)), ..ruling(RulingKind::Absence, None, RulingState::Yes, None) }];
    let active = account(AccountState::Active);
    let standing =
        Standing { account: &active, fresh: false, grants: &grants, rulings: &absence, former: Former::default(), attempts: 0, user: None };
    let away = passages_with(&processes(), standing, &mapped(&[("writer", "eng")]), ConnectionState::Active, false);
    assert_eq!((away.effect.account.as_ref().unwrap().state, away.effect.passages.len()), (AccountState::Suspended, 0));
    let absent = Account { note: away.effect.account.unwrap().note, ..account(AccountState::Suspended) };
    let gone = passages(&absent, false, &away.effect.put_grants, &Evaluation::inactive());
    assert!(matches!(&gone[..], [Passage::Leaves { process: Some(_), .. }]), "{gone:?}");
}

#[test]
fn steps_before_an_end_begin_with_the_first_of_them() {
    let mut settings = processes();
    settings.leaver.steps.push(step("notice", "-7 days", StepCondition::default()));
    let active = account(AccountState::Active);
    let settle = |ends: Option<i64>| {
        let standing =
            Standing { account: &active, fresh: false, grants: &[], rulings: &[], former: Former::default(), attempts: 0, user: None };
        passages_with(&settings, standing, &dated(mapped(&[]), None, ends), ConnectionState::Active, false).effect
    };
    let far = settle(Some(20 * DAY));
    assert_eq!((far.passages, far.next_evaluation_at), (vec![Passage::Stays], Some(NOW.plus_seconds(13 * DAY))));
    let near = settle(Some(6 * DAY)).passages;
    let [Passage::EndNears(process)] = &near[..] else { panic!("{near:?}") };
    assert_eq!(dues(process), [("desk", 7 * DAY), ("notice", -DAY)]);
    assert_eq!(settle(None).passages, [Passage::Stays]);
}

#[test]
fn who_is_meant_is_invited_when_in_use_and_never_before() {
    let mut settings = ProcessSettings::default();
    settings.invitations.accounts = Invited::Tagged;
    settings.invitations.tag = Some("invite".into());
    let tags = crate::model::Tags::from([("invite".to_owned(), BTreeSet::from(["yes".to_owned()]))]);
    let shape = AccountShape { user_name: "ada".into(), email: Some("ada@acme.example".into()), tags, ..AccountShape::default() };
    let tagged = Evaluation::outcome(Outcome::Account(Box::new(shape)));
    let fresh = unknown();
    let invited = |account: &Account, fresh, evaluation: &Evaluation, connection| {
        let standing = Standing { account, fresh, grants: &[], rulings: &[], former: Former::default(), attempts: 0, user: None };
        let passages = passages_with(&settings, standing, evaluation, connection, false).effect.passages;
        passages.into_iter().find_map(|passage| match passage {
            Passage::Invited { expires, again, personal } => Some((expires, again, personal)),
            _ => None,
        })
    };
    let (expires, again, personal) = invited(&fresh, true, &tagged, ConnectionState::Active).unwrap();
    assert_eq!((expires, again, &personal["email"]), (NOW.plus_seconds(168 * HOUR), false, &json!("ada@acme.example")));
    assert_eq!(invited(&fresh, true, &mapped(&[]), ConnectionState::Active), None, "without the tag");
    for connection in [ConnectionState::Staging, ConnectionState::Paused] {
        assert_eq!(invited(&fresh, true, &tagged, connection), None, "{connection}");
    }
    let coming = dated(tagged.clone(), Some(DAY), None);
    assert_eq!(invited(&fresh, true, &coming, ConnectionState::Active), None, "before the start");
    assert!(invited(&account(AccountState::Scheduled), false, &tagged, ConnectionState::Active).is_some(), "at the start");
    assert!(invited(&account(AccountState::Held), false, &tagged, ConnectionState::Active).is_some(), "when nothing holds it any more");
    assert_eq!(invited(&account(AccountState::Active), false, &tagged, ConnectionState::Active), None, "in use before");
    assert_eq!(invited(&fresh, true, &fault(false), ConnectionState::Active), None);
}

#[test]
fn the_words_of_an_exception_are_personal_in_every_event() {
    let excepted = [Ruling { starts: None, ..ruling(RulingKind::Grant, Some("root"), RulingState::Yes, Some(NOW.plus_seconds(DAY))) }];
    let given = said(&[], &excepted, &mapped(&[]), Say { guard: false, ..LIVE }, NOW);
    let added = given.effect.events.iter().find(|event| event.kind == "grant.added").unwrap();
    assert!(!added.data.to_string().contains("because"), "{}", added.data);
    let policy = added.data["reasons"][0]["policy"].as_str().unwrap();
    assert_eq!(added.personal.as_ref().unwrap()["exceptions"][policy], "because");
    // The account goes on saying it.
    assert_eq!(given.effect.put_grants[0].reasons[0].reason.as_deref(), Some("because"));
    let gone = said(&given.effect.put_grants, &[], &Evaluation::inactive(), LIVE, NOW);
    let removed = gone.effect.events.iter().find(|event| event.kind == "grant.removed").unwrap();
    assert!(!removed.data.to_string().contains("because"), "{}", removed.data);
    assert_eq!(removed.personal.as_ref().unwrap()["exceptions"][policy], "because");
    // A policy's words are the tenant's.
    let mut plain = mapped(&[("writer", "eng")]);
    plain.roles[0].reasons[0].reason = Some("engineers write".into());
    let by_policy = said(&[], &[], &plain, Say { guard: false, ..LIVE }, NOW);
    let added = by_policy.effect.events.iter().find(|event| event.kind == "grant.added").unwrap();
    assert_eq!((&added.data["reasons"][0]["reason"], &added.personal), (&json!("engineers write"), &None));
}

/// A filter is about what the identity provider wrote, for each kind of process, and asks what the change leaves of it.
#[test]
fn a_step_is_for_whom_its_filter_says() {
    let filtered = |id: &str, filter: &str| {
        let when: StepCondition = toml::from_str(&format!("filter = '{filter}'")).expect("a condition");
        step(id, "1 day", when)
    };
    let mut settings = ProcessSettings { time_zone: Some("UTC".into()), ..ProcessSettings::default() };
    for list in [&mut settings.joiner, &mut settings.leaver] {
        list.steps = vec![filtered("sales", r#"department eq "Sales""#), filtered("leads", r#"title co "lead" and not (userType pr)"#)];
    }
    let nobody = Document::default();
    let written: Document = serde_json::from_value(json!({"title": "Team lead",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "sales"}}))
    .expect("a document");
    let active = account(AccountState::Active);
    let begun = |account: &Account, fresh, user: Option<&Document>, evaluation: &Evaluation| {
        let standing = Standing { account, fresh, grants: &[], rulings: &[], former: Former::default(), attempts: 0, user };
        let settled = passages_with(&settings, standing, evaluation, ConnectionState::Active, false);
        match &settled.effect.passages[..] {
            [Passage::Joins { process, .. } | Passage::Leaves { process: Some(process), .. }, ..] => {
                process.steps.iter().map(|step| step.id.clone()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    for (user, expected) in [(Some(&written), &["sales", "leads"][..]), (Some(&nobody), &[][..]), (None, &[][..])] {
        assert_eq!(begun(&unknown(), true, user, &mapped(&[])), expected);
        assert_eq!(begun(&active, false, user, &Evaluation::inactive()), expected);
    }
}
