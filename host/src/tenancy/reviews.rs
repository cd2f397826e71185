//! Access reviews: who is to say of which role whether it stays, what may be said by whom, and the steps in which a review is opened,
//! reminded of and carried out. The floor: nobody reviews for themselves, and no attribute that the identity provider controls picks
//! the reviewer of a privileged role.

pub mod export;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::app::App;
use crate::crypto;
use crate::model::{
    AccountId, Actor, AdminAction, Evidence, Instant, Review, ReviewCounts, ReviewDecision, ReviewPlan, ReviewSettings, ReviewState,
    ReviewerSource, Reviewers, TenantId, collision_key,
};
use crate::policies::Role;
use crate::revision;
use crate::store::{
    ApiPrincipal, Candidate, EarlyClose, Filling, LINES_AT_ONCE_LIMIT, LineQuery, LineView, LinesDecided, LinesReassigned, NewReviewLine,
    OpeningPage, StoreError,
};

use super::TenancyError;
use super::admin::{self, Asked};
use super::governance::{EXCEPTION_DAYS_LIMIT, OWNER_CHARS_LIMIT, sound};
use super::person::{Person, same_name};

/// The longest reason of a decision, in characters: it becomes a part of an exception's.
pub const DECISION_CHARS_LIMIT: usize = 500;
/// The longest note of what is to be asked for instead, in characters, for the same reason.
pub const INSTEAD_CHARS_LIMIT: usize = 200;
/// The most roles, accounts or connections that a review names: all of them are stored with it.
pub const SCOPE_LIMIT: usize = 1_000;
/// The most reviewers that a review names.
pub const NAMED_LIMIT: usize = 100;
/// The most reminders of a review.
pub const REMINDERS_LIMIT: usize = 10;
/// The longest time that a review is open, or waits to be, in days.
pub const REVIEW_DAYS_LIMIT: i64 = 366;
/// The shortest time that a review is open, in seconds: an hour.
const SHORTEST_SECONDS: i64 = 3_600;
/// People of one step of opening: read and written together.
const PEOPLE_PER_STEP: i64 = 100;
/// Lines of one step of closing: each may become an exception, and its person is decided again.
const LINES_PER_STEP: i64 = 200;
/// Lines that one step of forgetting removes.
const LINES_FORGOTTEN: i64 = 1_000;
/// Reviews whose end is looked up together.
const REVIEWS_AT_ONCE: i64 = 50;
/// For how long a claim keeps other processes away: longer than a step takes at its slowest.
const LEASE_SECONDS: i64 = 60;

/// A review that is wanted.
#[derive(Clone, Debug)]
pub struct WantedReview {
    /// For people.
    pub name: String,
    /// What is set up front.
    pub plan: ReviewPlan,
    /// When its lines are written; at once where there is none.
    pub opens: Option<Instant>,
    /// Until when can be decided.
    pub closes: Instant,
}

/// What a reviewer says about lines.
#[derive(Clone, Debug)]
pub struct Said {
    /// The lines, by number.
    pub lines: Vec<i64>,
    /// What.
    pub decision: ReviewDecision,
    /// Why.
    pub reason: Option<String>,
    /// What is to be asked for instead.
    pub instead: Option<String>,
}

/// Sets a review up.
///
/// # Errors
/// `Refused` for what makes no sense; `Store(Missing)` for a role or connection that there is not.
pub async fn create(app: &Arc<App>, tenant: &TenantId, actor: &Actor, wanted: WantedReview) -> Result<Review, TenancyError> {
    super::check_name(&wanted.name)?;
    let now = app.clock.now();
    let WantedReview { name, mut plan, opens, closes } = wanted;
    let opens = opens.unwrap_or(now);
    check_times(now, opens, closes)?;
    check_plan(&plan)?;
    plan.remind_hours.sort_unstable_by(|a, b| b.cmp(a));
    plan.remind_hours.dedup();
    let known = super::active_revision(app, tenant).await?;
    let catalogue: BTreeSet<&str> = known.iter().flat_map(|revision| revision.policies.roles()).map(|role| role.id.as_str()).collect();
    if plan.scope.roles.iter().any(|role| !catalogue.contains(role.as_str())) {
        return Err(StoreError::Missing("role in the tenant's catalogue").into());
    }
    if !plan.scope.connections.is_empty() {
        let there: BTreeSet<_> = app.store.connections(tenant).await?.into_iter().map(|connection| connection.id).collect();
        if plan.scope.connections.iter().any(|connection| !there.contains(connection)) {
            return Err(StoreError::Missing("connection").into());
        }
    }
    let review = Review {
        id: crypto::random_id(),
        name,
        state: ReviewState::Draft,
        plan,
        opens,
        closes,
        opened: None,
        closed: None,
        created: now,
        created_by: actor.clone(),
        reminded: 0,
        counts: ReviewCounts::default(),
    };
    app.store.create_review(tenant, &review).await?;
    Ok(review)
}

fn refused<T>(why: impl Into<String>) -> Result<T, TenancyError> {
    Err(TenancyError::Refused(why.into()))
}

fn check_times(now: Instant, opens: Instant, closes: Instant) -> Result<(), TenancyError> {
    let limit = REVIEW_DAYS_LIMIT * 86_400;
    if opens < now || opens > now.plus_seconds(limit) {
        return refused(format!("`opens` must be from now on and within {REVIEW_DAYS_LIMIT} days"));
    }
    if closes < opens.plus_seconds(SHORTEST_SECONDS) || closes > opens.plus_seconds(limit) {
        return refused(format!("`closes` must be an hour after `opens` at the earliest, and within {REVIEW_DAYS_LIMIT} days of it"));
    }
    Ok(())
}

fn check_plan(plan: &ReviewPlan) -> Result<(), TenancyError> {
    let scope = &plan.scope;
    let (roles, accounts, connections) = (scope.roles.len(), scope.accounts.len(), scope.connections.len());
    if roles + accounts + connections == 0 {
        return refused("`scope` must name roles, accounts or connections");
    }
    if roles.max(accounts).max(connections) > SCOPE_LIMIT {
        return refused(format!("`scope` names at most {SCOPE_LIMIT} roles, accounts or connections"));
    }
    let distinct = scope.roles.iter().collect::<BTreeSet<_>>().len() == roles
        && scope.connections.iter().collect::<BTreeSet<_>>().len() == connections
        && scope.accounts.iter().all(|account| !account.as_str().contains('\0'));
    if !distinct {
        return refused("`scope` names each role and connection once, and accounts by their ids");
    }
    if (plan.reviewers == Reviewers::Named) == plan.named.is_empty() || plan.named.len() > NAMED_LIMIT {
        return refused(format!("`named` has 1 to {NAMED_LIMIT} reviewers where `reviewers` is `named`, and none elsewhere"));
    }
    for name in plan.named.iter().chain([&plan.fallback, &plan.exception_owner]) {
        check_person(name)?;
    }
    let longest = u32::try_from(REVIEW_DAYS_LIMIT * 24).unwrap_or(u32::MAX);
    if plan.remind_hours.len() > REMINDERS_LIMIT || plan.remind_hours.iter().any(|hours| !(1..=longest).contains(hours)) {
        return refused(format!("`remind_hours` has at most {REMINDERS_LIMIT} numbers of hours before the closing, from 1 to {longest}"));
    }
    if !(1..=EXCEPTION_DAYS_LIMIT).contains(&i64::from(plan.exception_days)) {
        return refused(format!("`exception_days` is from 1 to {EXCEPTION_DAYS_LIMIT}: nothing of this kind is for ever"));
    }
    Ok(())
}

fn check_person(name: &str) -> Result<(), TenancyError> {
    if name.trim().is_empty() || name.chars().count() > OWNER_CHARS_LIMIT || name.contains(char::is_control) {
        return refused(format!("reviewers and owners are named in 1 to {OWNER_CHARS_LIMIT} characters: a login name or an address"));
    }
    Ok(())
}

fn check_text(what: &str, text: &str, most: usize) -> Result<(), TenancyError> {
    if !sound(text, most) {
        return refused(format!("`{what}` has 1 to {most} characters"));
    }
    Ok(())
}

fn check_lines(lines: &[i64]) -> Result<(), TenancyError> {
    let distinct = lines.iter().collect::<BTreeSet<_>>().len() == lines.len();
    if lines.is_empty() || lines.len() > LINES_AT_ONCE_LIMIT || !distinct {
        return refused(format!("name 1 to {LINES_AT_ONCE_LIMIT} lines by their numbers, each once"));
    }
    Ok(())
}

async fn lines_of(app: &Arc<App>, tenant: &TenantId, review: &str, lines: &[i64]) -> Result<(Review, Vec<LineView>), TenancyError> {
    check_lines(lines)?;
    let review = app.store.review(tenant, review).await?.ok_or(StoreError::Missing("review"))?;
    let query = LineQuery { lines: Some(lines.to_vec()), limit: i64::try_from(lines.len()).unwrap_or(i64::MAX), ..LineQuery::default() };
    let found = app.store.review_lines(tenant, &review.id, &query).await?;
    if found.len() == lines.len() { Ok((review, found)) } else { Err(StoreError::Missing("line in the review").into()) }
}

fn is_about(name: &str, view: &LineView) -> bool {
    Person::from(view).goes_by(name)
}

/// Says something about lines, as the person whom a token names; what was said before is replaced.
///
/// # Errors
/// `Forbidden` by the floor, and for lines of another reviewer; `Refused`; `Store(Missing)`; `Store(Conflict{review})` when it is not open.
pub async fn decide(app: &Arc<App>, tenant: &TenantId, who: &ApiPrincipal, review: &str, said: Said) -> Result<Review, TenancyError> {
    let Some(person) = who.scope.person.as_deref() else {
        let how = "a review is decided by a person: use a token that names one (`rolecall token create --person NAME`)";
        return Err(TenancyError::Forbidden(how.into()));
    };
    check_said(&said)?;
    let (review, found) = lines_of(app, tenant, review, &said.lines).await?;
    let key = collision_key(person);
    if let Some(own) = found.iter().find(|view| is_about(person, view)) {
        let why = format!("nobody reviews a role of their own: line {} is about you, have it reassigned", own.line.line);
        return Err(TenancyError::Forbidden(why));
    }
    if let Some(other) = found.iter().find(|view| !view.line.reviewer.as_deref().is_some_and(|reviewer| same_name(reviewer, person))) {
        let reviewer = other.line.reviewer.as_deref().unwrap_or("nobody");
        let why = format!("line {} is for {reviewer} to decide: have it reassigned to you first", other.line.line);
        return Err(TenancyError::Forbidden(why));
    }
    let keeps = said.decision == ReviewDecision::Keep;
    let roles: BTreeSet<&str> = found.iter().map(|view| view.line.role.as_str()).collect();
    let about: Vec<(&str, bool)> = roles.into_iter().map(|role| (role, keeps)).collect();
    admin::ask(app, tenant, who, AdminAction::DecideReview, Asked::Roles(&about)).await?;
    let fallback = &review.plan.fallback;
    let goes_on = said.decision == ReviewDecision::DontKnow && !same_name(fallback, person);
    let handed = found.iter().filter(|_| goes_on).map(|view| (view.line.line, Some(fallback.clone()).filter(|name| !is_about(name, view))));
    let decided = LinesDecided {
        handed: handed.collect(),
        lines: said.lines,
        decision: said.decision,
        reason: said.reason,
        instead: said.instead,
        by: person.to_owned(),
        key,
        actor: who.actor(),
        at: app.clock.now(),
    };
    app.store.decide_lines(tenant, &review.id, &decided).await?;
    Ok(app.store.review(tenant, &review.id).await?.ok_or(StoreError::Missing("review"))?)
}

fn check_said(said: &Said) -> Result<(), TenancyError> {
    let takes = matches!(said.decision, ReviewDecision::Revoke | ReviewDecision::Change);
    match (&said.reason, &said.instead) {
        _ if said.decision == ReviewDecision::Undecided => return refused("say `keep`, `revoke`, `change` or `dont_know`"),
        (None, _) if takes => return refused("`reason` says why the role is to go"),
        (_, None) if said.decision == ReviewDecision::Change => return refused("`instead` says what is to be asked for instead"),
        (_, Some(_)) if said.decision != ReviewDecision::Change => return refused("`instead` goes with `change` alone"),
        _ => {}
    }
    if let Some(reason) = &said.reason {
        check_text("reason", reason, DECISION_CHARS_LIMIT)?;
    }
    if let Some(instead) = &said.instead {
        check_text("instead", instead, INSTEAD_CHARS_LIMIT)?;
    }
    Ok(())
}

/// Hands lines to somebody else.
///
/// # Errors
/// `Forbidden` when it is the person whom a line is about; `Refused`; `Store(Missing)`; `Store(Conflict{review})`.
pub async fn reassign(
    app: &Arc<App>,
    tenant: &TenantId,
    actor: &Actor,
    review: &str,
    (lines, reviewer, reason): (Vec<i64>, String, String),
) -> Result<Review, TenancyError> {
    check_person(&reviewer)?;
    check_text("reason", &reason, DECISION_CHARS_LIMIT)?;
    let (review, found) = lines_of(app, tenant, review, &lines).await?;
    if let Some(own) = found.iter().find(|view| is_about(&reviewer, view)) {
        let why = format!("nobody reviews a role of their own: line {} is about {reviewer}", own.line.line);
        return Err(TenancyError::Forbidden(why));
    }
    let wanted = LinesReassigned { lines, reviewer, reason, actor: actor.clone(), at: app.clock.now() };
    app.store.reassign_lines(tenant, &review.id, &wanted).await?;
    Ok(app.store.review(tenant, &review.id).await?.ok_or(StoreError::Missing("review"))?)
}

/// Closes a review before its time, or calls one off that is not open yet.
///
/// # Errors
/// `Refused`; `Store(Missing)`; `Store(Conflict)`.
pub async fn close(app: &Arc<App>, tenant: &TenantId, actor: &Actor, review: &str, early: EarlyClose) -> Result<Review, TenancyError> {
    check_text("reason", &early.reason, DECISION_CHARS_LIMIT)?;
    app.store.begin_closing(tenant, review, Some(&early), actor, app.clock.now()).await?;
    Ok(app.store.review(tenant, review).await?.ok_or(StoreError::Missing("review"))?)
}

/// Takes the review that has waited longest one step further. Whether there was one.
///
/// # Errors
/// The store's.
pub async fn work_next(app: &Arc<App>) -> Result<bool, StoreError> {
    let now = app.clock.now();
    let Some((tenant, id)) = app.store.claim_review(now, now.plus_seconds(LEASE_SECONDS)).await? else { return Ok(false) };
    let Some(review) = app.store.review(&tenant, &id).await? else { return Ok(true) };
    let actor = Actor { kind: "review".into(), id: id.clone() };
    match review.state {
        ReviewState::Draft => open_step(app, &tenant, &id, now).await?,
        ReviewState::Open if review.closes <= now => app.store.begin_closing(&tenant, &id, None, &actor, now).await?,
        ReviewState::Open => app.store.remind_of_review(&tenant, &id, now).await?,
        ReviewState::Closing => {
            app.store.close_step(&tenant, &id, LINES_PER_STEP, now).await?;
            app.wake.notify_one();
        }
        ReviewState::Closed => {}
    }
    Ok(true)
}

/// Removes closed reviews whose time is over, in bounded steps.
///
/// # Errors
/// The store's.
pub async fn forget(app: &App, tenant: &TenantId) -> Result<(), StoreError> {
    let now = app.clock.now();
    let days_ago = |days: u32| now.plus_seconds(-i64::from(days) * 86_400);
    // Most tenants have none that is old enough by any setting, and their settings need not be read.
    if app.store.forgettable_reviews(tenant, days_ago(ReviewSettings::KEEP_DAYS.0), 1).await?.is_empty() {
        return Ok(());
    }
    let settings = super::processes::active_settings(app, tenant).await?;
    let days = settings.map_or_else(|| ReviewSettings::default().keep_days, |settings| revision::review_keep_days(&settings));
    let actor = Actor { kind: "worker".into(), id: "retention".into() };
    loop {
        let over = app.store.forgettable_reviews(tenant, days_ago(days), REVIEWS_AT_ONCE).await?;
        for review in &over {
            while app.store.forget_review(tenant, review, LINES_FORGOTTEN, &actor, now).await? {}
        }
        if over.is_empty() {
            return Ok(());
        }
    }
}

async fn open_step(app: &Arc<App>, tenant: &TenantId, id: &str, now: Instant) -> Result<(), StoreError> {
    let Some(page) = app.store.review_page(tenant, id, PEOPLE_PER_STEP).await? else { return Ok(()) };
    let known = super::active_revision(app, tenant).await?;
    let catalogue: BTreeMap<&str, &Role> =
        known.iter().flat_map(|revision| revision.policies.roles()).map(|role| (role.id.as_str(), role)).collect();
    let lines = page.candidates.iter().map(|held| line(&page, held, catalogue.get(held.grant.role.as_str()).copied())).collect();
    let step = Filling { from: page.place.clone(), to: page.next.clone(), lines, at: now };
    app.store.fill_review(tenant, id, &step).await?;
    Ok(())
}

fn line(page: &OpeningPage, held: &Candidate, role: Option<&Role>) -> NewReviewLine {
    let manager = held.connection.as_ref().zip(held.manager.as_ref());
    let manager = manager.and_then(|(connection, manager)| page.managers.get(&(connection.clone(), manager.clone())));
    let (reviewer, reviewer_by) = reviewer(&page.review.plan, held, role, manager);
    let grant = &held.grant;
    let evidence = Evidence {
        reasons: grant.reasons.clone(),
        since: grant.since,
        state: grant.state,
        revision: grant.revision.clone(),
        last_change: held.last_change,
        privileged: is_privileged(role),
        peers: page.holders.get(&grant.role).map_or(0, |holders| (holders - 1).max(0)),
        connection: held.connection.clone(),
        reviewer_by,
    };
    NewReviewLine { account: held.account.clone(), role: grant.role.clone(), reviewer, evidence }
}

/// A role that the catalogue does not have any more may have been.
fn is_privileged(role: Option<&Role>) -> bool {
    role.is_none_or(|role| role.privileged)
}

/// Who reviews a role that somebody holds, and how that comes about.
fn reviewer(
    plan: &ReviewPlan,
    held: &Candidate,
    role: Option<&Role>,
    manager: Option<&(AccountId, String)>,
) -> (Option<String>, ReviewerSource) {
    let person = Person { account: &held.account, user_name: held.user_name.as_deref(), email: held.email.as_deref() };
    let is_other = |name: &&String| !person.goes_by(name);
    let owner = || role.and_then(|role| role.owner.as_ref()).filter(is_other).map(|owner| (owner.clone(), ReviewerSource::RoleOwner));
    let first = match plan.reviewers {
        // The identity provider says who the manager is: it is not to say who reviews what matters most.
        Reviewers::Manager if is_privileged(role) => owner(),
        Reviewers::Manager => {
            let other = manager.filter(|(account, name)| *account != held.account && is_other(&name));
            other.map(|(_, name)| (name.clone(), ReviewerSource::Manager))
        }
        Reviewers::RoleOwner => owner(),
        Reviewers::Named => {
            let others: Vec<&String> = plan.named.iter().filter(is_other).collect();
            let turn: usize = held.account.as_str().bytes().map(usize::from).sum();
            turn.checked_rem(others.len()).map(|turn| (others[turn].clone(), ReviewerSource::Named))
        }
    };
    let fallback = || Some(&plan.fallback).filter(is_other).map(|name| (name.clone(), ReviewerSource::Fallback));
    match first.or_else(fallback) {
        Some((name, source)) => (Some(name), source),
        None => (None, ReviewerSource::Nobody),
    }
}

#[cfg(test)]
mod tests;
