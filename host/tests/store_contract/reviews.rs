//! Access reviews step by step: opened page by page, decided, reminded of, carried out, forgotten. Of two hosts one takes each step.

use std::collections::BTreeSet;

use rolecall::model::{
    Evidence, GrantState, Instant, OnSilence, Review, ReviewCounts, ReviewDecision, ReviewOutcome, ReviewPlan, ReviewScope, ReviewState,
    ReviewerSource, Reviewers, RulingKind,
};
use rolecall::store::{
    Change, EarlyClose, Effect, Filling, LineQuery, LinesDecided, LinesReassigned, NewReviewLine, PersonOutcome, REVIEWERS_AT_ONCE,
    StoreError,
};

use crate::fixture::{Fixture, START, Through, actor, grant, outcome};
use crate::imports::{import, row};

store_contract_suite!(
    a_review_is_claimed_filled_once_and_listed,
    lines_are_decided_by_their_reviewer_until_it_closes,
    each_reviewer_is_reminded_once_with_their_number,
    silence_is_closed_early_only_where_it_is_meant,
    what_was_decided_is_carried_out_step_by_step,
    what_a_review_took_an_import_does_not_give_back,
    a_closed_review_goes_in_steps_and_is_seen_whole_or_not_at_all,
);

const DAY: i64 = 86_400;

fn review(id: &str) -> Review {
    Review {
        id: id.into(),
        name: format!("review {id}"),
        state: ReviewState::Draft,
        plan: ReviewPlan {
            scope: ReviewScope { roles: vec!["dev".into()], ..ReviewScope::default() },
            reviewers: Reviewers::RoleOwner,
            named: Vec::new(),
            fallback: "audit".into(),
            remind_hours: vec![48, 24],
            on_silence: OnSilence::Revoke,
            exception_days: 30,
            exception_owner: "iam".into(),
        },
        opens: START,
        closes: START.plus_seconds(7 * DAY),
        opened: None,
        closed: None,
        created: START,
        created_by: actor(),
        reminded: 0,
        counts: ReviewCounts::default(),
    }
}

fn line(account: &str, role: &str, reviewer: Option<&str>) -> NewReviewLine {
    let grant = grant(role);
    NewReviewLine {
        account: account.into(),
        role: role.into(),
        reviewer: reviewer.map(str::to_owned),
        evidence: Evidence {
            reasons: grant.reasons,
            since: grant.since,
            state: GrantState::Effective,
            revision: grant.revision,
            last_change: START,
            privileged: false,
            peers: 0,
            connection: None,
            reviewer_by: ReviewerSource::RoleOwner,
        },
    }
}

/// A review that is open, with these lines.
async fn opened(fixture: &Fixture, id: &str, lines: Vec<NewReviewLine>) {
    fixture.store.create_review(&fixture.tenant, &review(id)).await.unwrap();
    let step = Filling { from: (0, String::new()), to: None, lines, at: START };
    assert!(fixture.store.fill_review(&fixture.tenant, id, &step).await.unwrap());
}

async fn found(fixture: &Fixture, id: &str) -> Option<Review> {
    fixture.store.review(&fixture.tenant, id).await.unwrap()
}

/// Users who hold the role, by their accounts.
async fn holders(here: &Through<'_>, names: &[&str], role: &str) -> Vec<NewReviewLine> {
    let mut lines = Vec::new();
    for name in names {
        let user = here.create_user(name).await;
        let revision = here.active().await;
        let effect = Effect { put_grants: vec![grant(role)], ..Effect::default() };
        let decided = PersonOutcome { effect, revision: revision.clone(), ..outcome(&user, 0) };
        here.commit(Change { persons: vec![decided], revision, ..here.change() }).await.unwrap();
        lines.push(line(&format!("account-{name}"), role, Some("Olga")));
    }
    lines
}

fn said(lines: &[i64], decision: ReviewDecision, by: &str, at: Instant) -> LinesDecided {
    LinesDecided {
        lines: lines.to_vec(),
        decision,
        reason: Some("because".into()),
        instead: None,
        by: by.into(),
        key: by.to_lowercase(),
        handed: Default::default(),
        actor: actor(),
        at,
    }
}

async fn a_review_is_claimed_filled_once_and_listed(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    for (number, id) in ["r1", "r2"].into_iter().enumerate() {
        let created = START.plus_seconds(i64::try_from(number).unwrap());
        store.create_review(tenant, &Review { created, ..review(id) }).await.unwrap();
    }
    let ids = |reviews: Vec<Review>| reviews.into_iter().map(|review| review.id).collect::<Vec<_>>();
    assert_eq!(ids(store.reviews(tenant, None, 10).await.unwrap()), ["r2", "r1"]);
    assert_eq!(ids(store.reviews(tenant, Some("r2"), 10).await.unwrap()), ["r1"]);
    assert_eq!(store.reviews(&"globex".into(), None, 10).await.unwrap(), []);
    // Each is claimed by one host, until its lease is over.
    let lease = START.plus_seconds(60);
    let mut claimed = BTreeSet::new();
    while let Some((_, id)) = store.claim_review(START, lease).await.unwrap() {
        assert!(claimed.insert(id));
    }
    assert_eq!(claimed.len(), 2);
    assert!(fixture.another_host().await.claim_review(lease, lease.plus_seconds(60)).await.unwrap().is_some());
    // Of two hosts that made the same page one writes it.
    let here = fixture.here();
    let lines = holders(&here, &["ana", "bo"], "dev").await;
    let page = store.review_page(tenant, "r1", 1).await.unwrap().unwrap();
    let found_first = page.candidates.iter().map(|held| held.account.0.clone()).collect::<Vec<_>>();
    assert_eq!((found_first, page.holders[&"dev".into()]), (vec!["account-ana".to_owned()], 2));
    let first = Filling { from: page.place, to: page.next.clone(), lines: lines[..1].to_vec(), at: START };
    assert!(store.fill_review(tenant, "r1", &first).await.unwrap());
    assert!(!store.fill_review(tenant, "r1", &first).await.unwrap(), "it was taken");
    let last = Filling { from: page.next.unwrap(), to: None, lines: lines[1..].to_vec(), at: START };
    assert!(store.fill_review(tenant, "r1", &last).await.unwrap());
    let open = found(&fixture, "r1").await.unwrap();
    assert_eq!((open.state, open.counts.lines, open.counts.undecided), (ReviewState::Open, 2, 2));
    assert!(store.review_page(tenant, "r1", 1).await.unwrap().is_none(), "it is no draft any more");
}

async fn lines_are_decided_by_their_reviewer_until_it_closes(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    let lines = holders(&fixture.here(), &["ana", "bo"], "dev").await;
    opened(&fixture, "r", lines).await;
    let others = store.decide_lines(tenant, "r", &said(&[1, 2], ReviewDecision::Keep, "ken", START)).await;
    assert!(matches!(others, Err(StoreError::Conflict { what: "reviewer" })), "{others:?}");
    let missing = store.decide_lines(tenant, "r", &said(&[1, 3], ReviewDecision::Keep, "olga", START)).await;
    assert!(matches!(missing, Err(StoreError::Missing(_))), "{missing:?}");
    store.decide_lines(tenant, "r", &said(&[1], ReviewDecision::Keep, "olga", START)).await.unwrap();
    store.decide_lines(tenant, "r", &said(&[1], ReviewDecision::Revoke, "olga", START)).await.unwrap();
    let handed = LinesReassigned { lines: vec![2], reviewer: "Ken".into(), reason: "knows".into(), actor: actor(), at: START };
    store.reassign_lines(tenant, "r", &handed).await.unwrap();
    store.decide_lines(tenant, "r", &said(&[2], ReviewDecision::Keep, "ken", START)).await.unwrap();
    let counts = found(&fixture, "r").await.unwrap().counts;
    assert_eq!((counts.undecided, counts.keep, counts.revoke), (0, 1, 1));
    let of_ken = LineQuery { reviewer: Some("ken".into()), limit: 10, ..LineQuery::default() };
    let view = store.review_lines(tenant, "r", &of_ken).await.unwrap().pop().unwrap();
    assert_eq!((view.line.line, view.line.decision, view.line.user_name.as_deref()), (2, ReviewDecision::Keep, Some("bo")));
    let late = store.decide_lines(tenant, "r", &said(&[2], ReviewDecision::Keep, "ken", START.plus_seconds(8 * DAY))).await;
    assert!(matches!(late, Err(StoreError::Conflict { what: "review" })), "{late:?}");
    let kinds = fixture.event_kinds().await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "review.decided").count(), 3);
}

async fn each_reviewer_is_reminded_once_with_their_number(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    let mut lines = holders(&fixture.here(), &["ana", "bo", "olga"], "dev").await;
    lines[2].reviewer = None;
    let many = REVIEWERS_AT_ONCE + 5;
    lines.extend((0..many).map(|number| line("account-ana", &format!("role{number}"), Some(&format!("stranger{number:04}")))));
    opened(&fixture, "r", lines).await;
    store.decide_lines(tenant, "r", &said(&[1], ReviewDecision::DontKnow, "olga", START)).await.unwrap();
    let at = START.plus_seconds(5 * DAY + 3_600);
    let mut steps = 0;
    while store.claim_review(at, at.plus_seconds(60)).await.unwrap().is_some() {
        store.remind_of_review(tenant, "r", at).await.unwrap();
        steps += 1;
    }
    assert_eq!((steps, found(&fixture, "r").await.unwrap().reminded), (2, 1));
    fixture.event_kinds().await;
    let events = store.events(tenant, 0, 10_000).await.unwrap();
    let sent: Vec<_> = events.iter().filter(|event| event.kind == "review.reminded").collect();
    assert_eq!(i64::try_from(sent.len()).unwrap(), many + 2, "olga, nobody, and each of the others");
    let olga = sent.iter().find(|event| event.account.as_ref().is_some_and(|account| account.as_str() == "account-olga")).unwrap();
    assert_eq!(
        (&olga.data["undecided"], &olga.data["dont_know"], &olga.data["reviewer"]),
        (&1.into(), &1.into(), &serde_json::Value::Null)
    );
    assert_eq!(olga.personal.as_ref().unwrap()["reviewer"], "Olga", "the name of somebody here is personal");
    let nobodys = sent.iter().filter(|event| event.account.is_none() && event.personal.is_none()).count();
    let stranger = sent.iter().find(|event| event.personal.as_ref().is_some_and(|told| told["reviewer"] == "stranger0000")).unwrap();
    assert_eq!((nobodys, &stranger.account), (1, &None), "lines of nobody have no name");
    assert!(sent.iter().all(|event| !event.data.to_string().contains("stranger")), "nor is a name without an account plain");
    // Whoever has decided everything is not reminded again.
    store.decide_lines(tenant, "r", &said(&[1, 2], ReviewDecision::Keep, "olga", at)).await.unwrap();
    let later = START.plus_seconds(6 * DAY + 3_600);
    while store.claim_review(later, later.plus_seconds(60)).await.unwrap().is_some() {
        store.remind_of_review(tenant, "r", later).await.unwrap();
    }
    let kinds = fixture.event_kinds().await;
    assert_eq!(i64::try_from(kinds.iter().filter(|kind| *kind == "review.reminded").count()).unwrap(), 2 * many + 3);
    // With the review go the names of those who have no account; the others' stay with their account.
    let close = EarlyClose { reason: "done".into(), with_silence: true };
    store.begin_closing(tenant, "r", Some(&close), &actor(), later).await.unwrap();
    while store.close_step(tenant, "r", 1_000, later).await.unwrap() {}
    while store.forget_review(tenant, "r", 1_000, &actor(), later).await.unwrap() {}
    let events = store.events(tenant, 0, 10_000).await.unwrap();
    let named: Vec<_> = events.iter().filter(|event| event.kind == "review.reminded" && event.personal.is_some()).collect();
    assert!(named.iter().all(|event| event.account.is_some()) && !named.is_empty(), "{} names", named.len());
}

async fn silence_is_closed_early_only_where_it_is_meant(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    let lines = holders(&fixture.here(), &["ana"], "dev").await;
    opened(&fixture, "r", lines).await;
    let early = |with_silence| EarlyClose { reason: "done".into(), with_silence };
    let refused = store.begin_closing(tenant, "r", Some(&early(false)), &actor(), START).await;
    assert!(matches!(refused, Err(StoreError::Conflict { what: "undecided" })), "{refused:?}");
    store.begin_closing(tenant, "r", None, &actor(), START).await.unwrap();
    assert_eq!(found(&fixture, "r").await.unwrap().state, ReviewState::Open, "it is not time");
    store.begin_closing(tenant, "r", Some(&early(true)), &actor(), START).await.unwrap();
    let twice = store.begin_closing(tenant, "r", Some(&early(true)), &actor(), START).await;
    assert!(matches!(twice, Err(StoreError::Conflict { what: "review" })), "{twice:?}");
    // A draft is called off, and nothing is carried out.
    store.create_review(tenant, &review("draft")).await.unwrap();
    store.begin_closing(tenant, "draft", Some(&early(false)), &actor(), START).await.unwrap();
    let off = found(&fixture, "draft").await.unwrap();
    assert_eq!((off.state, off.closed), (ReviewState::Closed, Some(START)));
}

async fn what_was_decided_is_carried_out_step_by_step(fixture: Fixture) {
    let (store, tenant, here) = (&fixture.store, &fixture.tenant, fixture.here());
    let mut lines = holders(&here, &["ana", "bo"], "dev").await;
    lines.push(line("account-gone", "dev", Some("Olga")));
    opened(&fixture, "r", lines).await;
    store.decide_lines(tenant, "r", &said(&[1], ReviewDecision::Keep, "olga", START)).await.unwrap();
    let at = START.plus_seconds(7 * DAY);
    store.begin_closing(tenant, "r", None, &actor(), at).await.unwrap();
    assert!(store.close_step(tenant, "r", 2, at).await.unwrap(), "there is more");
    assert_eq!(found(&fixture, "r").await.unwrap().state, ReviewState::Closing);
    assert!(!store.close_step(tenant, "r", 2, at).await.unwrap());
    assert!(!store.close_step(tenant, "r", 2, at).await.unwrap(), "it is over");
    let closed = found(&fixture, "r").await.unwrap();
    assert_eq!((closed.state, closed.closed), (ReviewState::Closed, Some(at)));
    assert_eq!((closed.counts.kept, closed.counts.revoked, closed.counts.gone), (1, 1, 1));
    let views = store.review_lines(tenant, "r", &LineQuery { limit: 10, ..LineQuery::default() }).await.unwrap();
    let outcomes: Vec<_> = views.iter().map(|view| view.line.outcome.unwrap()).collect();
    assert_eq!(outcomes, [ReviewOutcome::Kept, ReviewOutcome::Revoked, ReviewOutcome::Gone]);
    let bo = here.person(&"user-bo".into()).await;
    let made: Vec<_> = bo.rulings.iter().map(|ruling| (ruling.kind, ruling.ends, Some(ruling.id.clone()))).collect();
    assert_eq!(made, [(RulingKind::Forbid, Some(at.plus_seconds(30 * DAY)), views[1].line.exception.clone())]);
    assert!(bo.evaluation.cause.is_some(), "the person is decided again");
}

async fn what_a_review_took_an_import_does_not_give_back(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    import(&fixture, &[row("ada", None, &["dev", "ops"])]).await.unwrap();
    opened(&fixture, "r", vec![line("import-ada", "dev", Some("Olga"))]).await;
    store.decide_lines(tenant, "r", &said(&[1], ReviewDecision::Revoke, "olga", START)).await.unwrap();
    store.begin_closing(tenant, "r", Some(&EarlyClose { reason: "done".into(), with_silence: true }), &actor(), START).await.unwrap();
    while store.close_step(tenant, "r", 100, START).await.unwrap() {}
    let roles = async || {
        let ada = store.account(tenant, "ada").await.unwrap().unwrap();
        ada.grants.into_iter().map(|grant| grant.role.0).collect::<Vec<_>>()
    };
    assert_eq!(roles().await, ["ops"]);
    let imports = async |external_id: &str, roles: &[&str]| {
        assert_eq!(import(&fixture, &[row("ada", Some(external_id), roles)]).await.unwrap().changed, 1);
    };
    imports("e1", &["dev", "ops", "read"]).await;
    assert_eq!(roles().await, ["ops", "read"], "what is named as before was taken, what is named anew is given");
    imports("e2", &["ops", "read"]).await;
    imports("e3", &["dev"]).await;
    assert_eq!(roles().await, ["dev"], "named anew, it is meant");
}

async fn a_closed_review_goes_in_steps_and_is_seen_whole_or_not_at_all(fixture: Fixture) {
    let (store, tenant) = (&fixture.store, &fixture.tenant);
    let lines: Vec<_> = (0..5).map(|number| line(&format!("account-{number}"), "dev", None)).collect();
    opened(&fixture, "open", lines.clone()).await;
    opened(&fixture, "old", lines).await;
    let keep = EarlyClose { reason: "done".into(), with_silence: true };
    store.begin_closing(tenant, "old", Some(&keep), &actor(), START).await.unwrap();
    while store.close_step(tenant, "old", 100, START).await.unwrap() {}
    let before = async |at: Instant| store.forgettable_reviews(tenant, at, 10).await.unwrap();
    assert!(before(START.plus_seconds(-1)).await.is_empty());
    assert_eq!(before(START).await, ["old"], "what is open has no end yet");
    assert!(store.forgettable_reviews(&"globex".into(), START, 10).await.unwrap().is_empty());
    assert!(!store.forget_review(tenant, "open", 100, &actor(), START).await.unwrap());
    assert!(store.forget_review(tenant, "old", 3, &actor(), START).await.unwrap(), "there is more");
    assert!(found(&fixture, "old").await.is_none(), "a part does not pass for the whole");
    let listed: Vec<String> = store.reviews(tenant, None, 10).await.unwrap().into_iter().map(|review| review.id).collect();
    assert_eq!((listed, before(START).await), (vec!["open".to_owned()], vec!["old".to_owned()]));
    assert!(!store.forget_review(tenant, "old", 3, &actor(), START).await.unwrap());
    assert!(before(START).await.is_empty());
    assert_eq!(store.review_lines(tenant, "old", &LineQuery { limit: 10, ..LineQuery::default() }).await.unwrap().len(), 0);
    assert_eq!(store.review_lines(tenant, "open", &LineQuery { limit: 10, ..LineQuery::default() }).await.unwrap().len(), 5);
    fixture.event_kinds().await;
    let events = store.events(tenant, 0, 10_000).await.unwrap();
    let told = events.iter().find(|event| event.kind == "review.forgotten").unwrap();
    assert_eq!((&told.data["review"], &told.data["counts"]["lines"]), (&"old".into(), &5.into()));
}
