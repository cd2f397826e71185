//! Access reviews: what is set up, said, and carried out. How the lines come about is `review_opening`'s.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::{QueryBuilder, Row as _};

use super::batch::Batch;
use super::history::{self, Stamp};
use super::rows::{Row, json as json_of, json_text, word};
use super::{Conn, Db, Scope, imports, lock_revision, rulings, text_list};
use crate::crypto::random_id;
use crate::model::{
    AccountId, Actor, Instant, NewEvent, Review, ReviewCounts, ReviewDecision, ReviewLine, ReviewOutcome, ReviewPlan, ReviewState, RoleId,
    Ruling, RulingKind, RulingState, TenantId, collision_key,
};
use crate::store::{EarlyClose, LineQuery, LineView, LinesDecided, LinesReassigned, Result, ReviewPlace, StoreError};

/// The longest reason of an exception that a review makes, in characters: as long as any exception's.
const WHY_CHARS_LIMIT: usize = 1_000;

/// The columns of [`review`].
macro_rules! review_columns {
    () => {
        "review, name, state, plan, opens, closes, opened, closed, created, created_kind, created_id, counts, reminded"
    };
}

fn review(row: &Row) -> Result<Review> {
    let instant = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Instant));
    let plan: ReviewPlan = json_of(row.try_get("plan")?, "a review's plan")?;
    Ok(Review {
        id: row.try_get("review")?,
        name: row.try_get("name")?,
        state: word(row.try_get("state")?, ReviewState::from_word)?,
        plan,
        opens: Instant(row.try_get("opens")?),
        closes: Instant(row.try_get("closes")?),
        opened: instant("opened")?,
        closed: instant("closed")?,
        created: Instant(row.try_get("created")?),
        created_by: Actor { kind: row.try_get("created_kind")?, id: row.try_get("created_id")? },
        reminded: row.try_get("reminded")?,
        counts: json_of(row.try_get("counts")?, "a review's counts")?,
    })
}

pub(super) fn counts_text(counts: &ReviewCounts) -> Result<String> {
    json_text(counts, "a review's counts")
}

/// The review that has waited longest for a worker.
pub(super) const DUE: &str = "SELECT tenant, review FROM reviews WHERE due_at <= $1 ORDER BY due_at, tenant LIMIT 1";

/// [`DUE`].
pub(super) async fn due(conn: &mut Conn, now: Instant) -> Result<Option<(TenantId, String)>> {
    let found: Option<(String, String)> = sqlx::query_as(DUE).bind(now.0).fetch_optional(conn).await?;
    Ok(found.map(|(tenant, review)| (TenantId(tenant), review)))
}

/// Claims it, unless another host was quicker.
pub(super) async fn claim(conn: &mut Conn, tenant: &TenantId, review: &str, now: Instant, lease_until: Instant) -> Result<bool> {
    let claimed = sqlx::query("UPDATE reviews SET due_at = $4 WHERE tenant = $1 AND review = $2 AND due_at <= $3")
        .bind(tenant.as_str())
        .bind(review)
        .bind(now.0)
        .bind(lease_until.0)
        .execute(conn)
        .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Stores a review that has not begun.
pub(super) async fn create(conn: &mut Conn, scope: &Scope, new: &Review) -> Result<()> {
    sqlx::query(
        "INSERT INTO reviews (tenant, review, name, state, plan, opens, closes, created, created_kind, created_id, counts, reminded,
                              cursor_part, cursor_after, due_at)
         VALUES ($1, $2, $3, 'draft', $4, $5, $6, $7, $8, $9, $10, 0, 0, '', $5)",
    )
    .bind(scope.tenant.as_str())
    .bind(&new.id)
    .bind(&new.name)
    .bind(json_text(&new.plan, "a review's plan")?)
    .bind(new.opens.0)
    .bind(new.closes.0)
    .bind(new.created.0)
    .bind(&new.created_by.kind)
    .bind(&new.created_by.id)
    .bind(counts_text(&new.counts)?)
    .execute(&mut *conn)
    .await?;
    let data = json!({"review": new.id, "name": new.name, "opens": new.opens, "closes": new.closes, "on_silence": new.plan.on_silence});
    one_event(conn, scope, (&new.created_by, new.created), "review.created", data).await
}

/// A review.
pub(super) async fn find(conn: &mut Conn, tenant: &TenantId, id: &str) -> Result<Option<Review>> {
    let row = sqlx::query(concat!("SELECT ", review_columns!(), " FROM reviews WHERE tenant = $1 AND review = $2 AND cursor_part >= 0"))
        .bind(tenant.as_str())
        .bind(id)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(review).transpose()
}

/// The newest reviews.
pub(super) const NEWEST: &str = concat!(
    "SELECT ",
    review_columns!(),
    " FROM reviews WHERE tenant = $1 AND cursor_part >= 0 ORDER BY created DESC, review DESC LIMIT +$2"
);
/// The newest behind one.
pub(super) const NEWEST_BEHIND: &str = concat!(
    "SELECT ",
    review_columns!(),
    " FROM reviews WHERE tenant = $1 AND cursor_part >= 0 AND (created, review) < (SELECT o.created, o.review FROM reviews o WHERE o.tenant = $1
      AND o.review = $3) ORDER BY created DESC, review DESC LIMIT +$2"
);

/// Reviews, newest first, behind one.
pub(super) async fn newest(conn: &mut Conn, tenant: &TenantId, after: Option<&str>, limit: i64) -> Result<Vec<Review>> {
    let mut asked = sqlx::query(if after.is_some() { NEWEST_BEHIND } else { NEWEST }).bind(tenant.as_str()).bind(limit);
    if let Some(after) = after {
        asked = asked.bind(after);
    }
    asked.fetch_all(conn).await?.iter().map(review).collect()
}

/// A review that is in the state, and how far it has come.
pub(super) async fn place_of(conn: &mut Conn, tenant: &TenantId, id: &str, state: ReviewState) -> Result<Option<(Review, ReviewPlace)>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        review_columns!(),
        ", cursor_part, cursor_after FROM reviews WHERE tenant = $1 AND review = $2 AND state = $3"
    ))
    .bind(tenant.as_str())
    .bind(id)
    .bind(state.word())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(with_place).transpose()
}

fn with_place(row: &Row) -> Result<(Review, ReviewPlace)> {
    Ok((review(row)?, (row.try_get("cursor_part")?, row.try_get("cursor_after")?)))
}

/// A review, locked until the transaction ends, and how far it has come.
pub(super) async fn locked(conn: &mut Conn, tenant: &TenantId, id: &str) -> Result<Option<(Review, ReviewPlace)>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        review_columns!(),
        ", cursor_part, cursor_after FROM reviews WHERE tenant = $1 AND review = $2",
        for_update!()
    ))
    .bind(tenant.as_str())
    .bind(id)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(with_place).transpose()
}

/// The review, if it can be decided in at an instant.
async fn open(conn: &mut Conn, tenant: &TenantId, id: &str, at: Instant) -> Result<Review> {
    let (review, _) = locked(conn, tenant, id).await?.ok_or(StoreError::Missing("review"))?;
    if review.state == ReviewState::Open && at < review.closes { Ok(review) } else { Err(StoreError::Conflict { what: "review" }) }
}

/// An event about nobody in particular.
pub(super) async fn one_event(
    conn: &mut Conn,
    scope: &Scope,
    (actor, at): (&Actor, Instant),
    kind: &'static str,
    data: Value,
) -> Result<()> {
    let event = NewEvent { kind, account: None, data, personal: None, leaver: false };
    history::append(conn, Batch::new(), scope, Stamp { at, actor, request_id: None }, &[event], None).await
}

/// A line as it is found to be decided.
struct Found {
    line: i64,
    account: AccountId,
    role: RoleId,
    decision: ReviewDecision,
    reviewer: Option<String>,
    reviewer_key: String,
}

/// All of the lines, by number.
async fn found(conn: &mut Conn, tenant: &TenantId, review: &str, lines: &BTreeSet<i64>) -> Result<Vec<Found>> {
    let mut sql = QueryBuilder::<Db>::new("SELECT line, account, role, decision, reviewer, reviewer_key FROM review_lines WHERE tenant = ");
    sql.push_bind(tenant.as_str()).push(" AND review = ").push_bind(review);
    these(&mut sql, lines);
    sql.push(" ORDER BY line");
    let rows = sql.build().fetch_all(conn).await?;
    if rows.len() != lines.len() {
        return Err(StoreError::Missing("line in the review"));
    }
    rows.iter()
        .map(|row| {
            Ok(Found {
                line: row.try_get("line")?,
                account: AccountId(row.try_get("account")?),
                role: RoleId(row.try_get("role")?),
                decision: word(row.try_get("decision")?, ReviewDecision::from_word)?,
                reviewer: row.try_get("reviewer")?,
                reviewer_key: row.try_get("reviewer_key")?,
            })
        })
        .collect()
}

fn these(sql: &mut QueryBuilder<Db>, lines: &BTreeSet<i64>) {
    sql.push(" AND line IN (");
    let mut numbers = sql.separated(", ");
    for line in lines {
        numbers.push_bind(*line);
    }
    sql.push(")");
}

/// Decides lines.
pub(super) async fn decide(conn: &mut Conn, scope: &Scope, id: &str, said: &LinesDecided) -> Result<()> {
    let tenant = &scope.tenant;
    let mut review = open(conn, tenant, id, said.at).await?;
    let lines: BTreeSet<i64> = said.lines.iter().copied().collect();
    let found = found(conn, tenant, id, &lines).await?;
    if found.iter().any(|line| line.reviewer_key != said.key) {
        return Err(StoreError::Conflict { what: "reviewer" });
    }
    let mut sql = QueryBuilder::<Db>::new("UPDATE review_lines SET decision = ");
    sql.push_bind(said.decision.word()).push(", decided = ").push_bind(said.at.0);
    sql.push(", decided_by = ").push_bind(&said.by).push(", reason = ").push_bind(&said.reason);
    sql.push(", instead = ").push_bind(&said.instead);
    sql.push(" WHERE tenant = ").push_bind(tenant.as_str()).push(" AND review = ").push_bind(id);
    these(&mut sql, &lines);
    sql.build().execute(&mut *conn).await?;
    let mut to = BTreeMap::<Option<&str>, BTreeSet<i64>>::new();
    for (line, reviewer) in &said.handed {
        to.entry(reviewer.as_deref()).or_default().insert(*line);
    }
    for (reviewer, lines) in &to {
        hand(conn, tenant, id, *reviewer, lines).await?;
    }
    let mut events = Vec::with_capacity(found.len());
    for line in &found {
        *review.counts.of(line.decision) -= 1;
        *review.counts.of(said.decision) += 1;
        let data = json!({"decision": said.decision, "before": line.decision});
        events.push(about(id, line, "review.decided", data, json!({"by": said.by, "reason": said.reason, "instead": said.instead})));
        if let Some(reviewer) = said.handed.get(&line.line) {
            let personal = json!({"from": line.reviewer, "to": reviewer});
            events.push(about(id, line, "review.reassigned", json!({"why": "dont_know"}), personal));
        }
    }
    put_counts(conn, tenant, id, &review.counts).await?;
    history::append(conn, Batch::new(), scope, Stamp { at: said.at, actor: &said.actor, request_id: None }, &events, None).await
}

async fn hand(conn: &mut Conn, tenant: &TenantId, review: &str, reviewer: Option<&str>, lines: &BTreeSet<i64>) -> Result<()> {
    let mut sql = QueryBuilder::<Db>::new("UPDATE review_lines SET reviewer = ");
    sql.push_bind(reviewer).push(", reviewer_key = ").push_bind(reviewer.map(collision_key).unwrap_or_default());
    sql.push(" WHERE tenant = ").push_bind(tenant.as_str()).push(" AND review = ").push_bind(review);
    these(&mut sql, lines);
    sql.build().execute(conn).await?;
    Ok(())
}

async fn put_counts(conn: &mut Conn, tenant: &TenantId, review: &str, counts: &ReviewCounts) -> Result<()> {
    sqlx::query("UPDATE reviews SET counts = $3 WHERE tenant = $1 AND review = $2")
        .bind(tenant.as_str())
        .bind(review)
        .bind(counts_text(counts)?)
        .execute(conn)
        .await?;
    Ok(())
}

/// What happened to a line, in the history of its person. Names and people's own words are personal.
fn about(review: &str, line: &Found, kind: &'static str, mut data: Value, personal: Value) -> NewEvent {
    data["review"] = review.into();
    data["line"] = line.line.into();
    data["role"] = line.role.as_str().into();
    NewEvent { kind, account: Some(line.account.clone()), data, personal: Some(personal), leaver: false }
}

/// Hands lines to somebody else.
pub(super) async fn reassign(conn: &mut Conn, scope: &Scope, id: &str, wanted: &LinesReassigned) -> Result<()> {
    open(conn, &scope.tenant, id, wanted.at).await?;
    let lines: BTreeSet<i64> = wanted.lines.iter().copied().collect();
    let found = found(conn, &scope.tenant, id, &lines).await?;
    hand(conn, &scope.tenant, id, Some(&wanted.reviewer), &lines).await?;
    let event = |line: &Found| {
        let personal = json!({"from": line.reviewer, "to": wanted.reviewer, "reason": wanted.reason});
        about(id, line, "review.reassigned", json!({"why": "asked"}), personal)
    };
    let events: Vec<NewEvent> = found.iter().map(event).collect();
    history::append(conn, Batch::new(), scope, Stamp { at: wanted.at, actor: &wanted.actor, request_id: None }, &events, None).await
}

/// Ends deciding, when it is time or before it; a draft is called off.
pub(super) async fn begin_closing(
    conn: &mut Conn,
    scope: &Scope,
    id: &str,
    early: Option<&EarlyClose>,
    actor: &Actor,
    at: Instant,
) -> Result<()> {
    let (review, _) = locked(conn, &scope.tenant, id).await?.ok_or(StoreError::Missing("review"))?;
    let state = match (review.state, early) {
        (ReviewState::Open, None) if at < review.closes => return Ok(()),
        (ReviewState::Open, Some(early)) if !early.with_silence && review.counts.undecided + review.counts.dont_know > 0 => {
            return Err(StoreError::Conflict { what: "undecided" });
        }
        (ReviewState::Open, _) => ReviewState::Closing,
        (ReviewState::Draft, Some(_)) => ReviewState::Closed,
        (ReviewState::Draft | ReviewState::Closing | ReviewState::Closed, None) => return Ok(()),
        (ReviewState::Closing | ReviewState::Closed, Some(_)) => return Err(StoreError::Conflict { what: "review" }),
    };
    let called_off = state == ReviewState::Closed;
    sqlx::query(
        "UPDATE reviews SET state = $3, closes = $4, closed = $5, cursor_part = 0, cursor_after = '', due_at = $6
         WHERE tenant = $1 AND review = $2",
    )
    .bind(scope.tenant.as_str())
    .bind(id)
    .bind(state.word())
    .bind(review.closes.min(at).0)
    .bind(called_off.then_some(at.0))
    .bind((!called_off).then_some(at.0))
    .execute(&mut *conn)
    .await?;
    let data = json!({"review": id, "name": review.name, "early": early.is_some(), "reason": early.map(|early| &early.reason)});
    one_event(conn, scope, (actor, at), if called_off { "review.called_off" } else { "review.closing" }, data).await
}

/// The next lines of a review.
pub(super) const NEXT_LINES: &str = "SELECT line, account, role, decision, reason, instead FROM review_lines
     WHERE tenant = $1 AND review = $2 AND line > $3 ORDER BY line LIMIT +$4";

type Decided = (i64, String, String, String, Option<String>, Option<String>);

/// Carries out the next lines, and closes the review with the last. Whether there are more.
pub(super) async fn close_step(conn: &mut Conn, scope: &Scope, id: &str, limit: i64, at: Instant) -> Result<bool> {
    lock_revision(conn, &scope.tenant, false).await?;
    let tenant = &scope.tenant;
    let Some((mut review, (after, _))) = locked(conn, tenant, id).await? else { return Ok(false) };
    if review.state != ReviewState::Closing {
        return Ok(false);
    }
    let lines: Vec<Decided> =
        sqlx::query_as(NEXT_LINES).bind(tenant.as_str()).bind(id).bind(after).bind(limit).fetch_all(&mut *conn).await?;
    let actor = Actor { kind: "review".into(), id: id.to_owned() };
    let stamp = Stamp { at, actor: &actor, request_id: None };
    for (outcome, numbers) in carry_out(conn, scope, &review, &lines, stamp).await? {
        *review.counts.came_to(outcome) += i64::try_from(numbers.len()).unwrap_or(0);
        put_outcome(conn, tenant, id, outcome, &numbers).await?;
    }
    let full = i64::try_from(lines.len()).unwrap_or(0) == limit;
    let state = if full { ReviewState::Closing } else { ReviewState::Closed };
    sqlx::query("UPDATE reviews SET state = $3, closed = $4, counts = $5, cursor_part = $6, due_at = $7 WHERE tenant = $1 AND review = $2")
        .bind(tenant.as_str())
        .bind(id)
        .bind(state.word())
        .bind((!full).then_some(at.0))
        .bind(counts_text(&review.counts)?)
        .bind(lines.last().map_or(after, |line| line.0))
        .bind(full.then_some(at.0))
        .execute(&mut *conn)
        .await?;
    if !full {
        let data = json!({"review": id, "name": review.name, "counts": review.counts});
        one_event(conn, scope, (&actor, at), "review.closed", data).await?;
    }
    Ok(full)
}

/// Makes the exceptions that revocations are, and says what each line came to.
async fn carry_out(
    conn: &mut Conn,
    scope: &Scope,
    review: &Review,
    lines: &[Decided],
    stamp: Stamp<'_>,
) -> Result<BTreeMap<ReviewOutcome, BTreeSet<i64>>> {
    let tenant = &scope.tenant;
    let mut outcomes = BTreeMap::<ReviewOutcome, BTreeSet<i64>>::new();
    let mut revoked = Vec::new();
    for line in lines {
        if word(&line.3, ReviewDecision::from_word)?.revokes(review.plan.on_silence) {
            revoked.push(line);
        } else {
            outcomes.entry(ReviewOutcome::Kept).or_default().insert(line.0);
        }
    }
    let ids: BTreeSet<&str> = revoked.iter().map(|line| line.1.as_str()).collect();
    if ids.is_empty() {
        return Ok(outcomes);
    }
    let ids: Vec<&str> = ids.into_iter().collect();
    // People are locked before what is about them, as everywhere.
    rulings::mark_accounts(conn, tenant, &ids, stamp.at).await?;
    let there: BTreeSet<String> =
        sqlx::query_scalar(concat!("SELECT account FROM accounts WHERE tenant = $1 AND ", any_of!("account", "$2")))
            .bind(tenant.as_str())
            .bind(text_list(ids.iter().copied()))
            .fetch_all(&mut *conn)
            .await?
            .into_iter()
            .collect();
    let standing = rulings::of_accounts(conn, tenant, &ids).await?;
    let ends = stamp.at.plus_seconds(i64::from(review.plan.exception_days) * 86_400);
    let unfed = imports::left_of(conn, tenant, &ids).await?;
    let (mut made, mut ended, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for line in revoked {
        let (account, role) = (AccountId(line.1.clone()), RoleId(line.2.clone()));
        if !there.contains(account.as_str()) {
            outcomes.entry(ReviewOutcome::Gone).or_default().insert(line.0);
            continue;
        }
        match unfed.get(&account) {
            Some(true) => {
                outcomes.entry(ReviewOutcome::Protected).or_default().insert(line.0);
                continue;
            }
            // Nothing decides the roles of an account that no connection feeds: there is nothing that could give this one back.
            Some(false) => {
                taken.push((account, role));
                outcomes.entry(ReviewOutcome::Revoked).or_default().insert(line.0);
                continue;
            }
            None => {}
        }
        let is_exception =
            |ruling: &&Ruling| matches!(ruling.kind, RulingKind::Grant | RulingKind::Forbid) && ruling.role.as_ref() == Some(&role);
        let before: Vec<&Ruling> = standing.get(&account).into_iter().flatten().filter(is_exception).collect();
        let longer = |ruling: &&Ruling| {
            ruling.kind == RulingKind::Forbid && ruling.holds_at(stamp.at) && ruling.ends.is_none_or(|other| other >= ends)
        };
        if before.iter().copied().any(|ruling| longer(&ruling)) {
            outcomes.entry(ReviewOutcome::RevokedBefore).or_default().insert(line.0);
            continue;
        }
        ended.extend(before.into_iter().map(|ruling| Ruling { state: RulingState::Ended, ..ruling.clone() }));
        made.push(exception(review, line, (account, role), ends, stamp));
        outcomes.entry(ReviewOutcome::Revoked).or_default().insert(line.0);
    }
    imports::revoke(conn, scope, &taken, stamp).await?;
    rulings::replace_exceptions(conn, scope, &ended, &made, stamp).await?;
    Ok(outcomes)
}

/// The exception that a revocation is.
fn exception(review: &Review, line: &Decided, (account, role): (AccountId, RoleId), ends: Instant, stamp: Stamp<'_>) -> Ruling {
    let said = line.4.as_deref().unwrap_or("nobody said that it is to stay");
    let instead = line.5.as_ref().map(|instead| format!("; instead: {instead}")).unwrap_or_default();
    let why = format!("access review `{}`: {said}{instead}", review.name);
    Ruling {
        role: Some(role),
        ends: Some(ends),
        reason: Some(why.chars().take(WHY_CHARS_LIMIT).collect()),
        owner: Some(review.plan.exception_owner.clone()),
        ..Ruling::said(random_id(), account, RulingKind::Forbid, stamp.at, stamp.actor.clone())
    }
}

async fn put_outcome(conn: &mut Conn, tenant: &TenantId, review: &str, outcome: ReviewOutcome, lines: &BTreeSet<i64>) -> Result<()> {
    let mut sql = QueryBuilder::<Db>::new("UPDATE review_lines SET outcome = ");
    sql.push_bind(outcome.word());
    if matches!(outcome, ReviewOutcome::Revoked | ReviewOutcome::RevokedBefore) {
        sql.push(
            ", exception = (SELECT max(r.ruling) FROM rulings r WHERE r.tenant = review_lines.tenant AND r.account = review_lines.account
                            AND r.role = review_lines.role AND r.state <> 'ended' AND r.kind = 'forbid')",
        );
    }
    sql.push(" WHERE tenant = ").push_bind(tenant.as_str()).push(" AND review = ").push_bind(review);
    these(&mut sql, lines);
    sql.build().execute(conn).await?;
    Ok(())
}

/// Lines, by number.
pub(super) async fn lines(conn: &mut Conn, tenant: &TenantId, review: &str, query: &LineQuery) -> Result<Vec<LineView>> {
    let mut sql = select_lines(tenant, review, query);
    let rows = sql.build().fetch_all(conn).await?;
    rows.iter().map(line_view).collect()
}

/// The SELECT of lines.
pub(super) fn select_lines<'q>(tenant: &'q TenantId, review: &'q str, query: &'q LineQuery) -> QueryBuilder<Db> {
    let mut sql = QueryBuilder::<Db>::new(concat!(
        "SELECT v.line, v.account, v.role, v.reviewer, v.decision, v.decided, v.decided_by, v.reason, v.instead, v.evidence, v.outcome,
                v.exception, a.user_name, a.profile
         FROM review_lines v",
        joined_if_any!("accounts", "a", "a.tenant = v.tenant AND a.account = v.account"),
        " WHERE v.tenant = "
    ));
    sql.push_bind(tenant.0.clone()).push(" AND v.review = ").push_bind(review.to_owned());
    if let Some(reviewer) = &query.reviewer {
        sql.push(" AND v.reviewer_key = ").push_bind(reviewer.clone());
    }
    if let Some(decision) = query.decision {
        sql.push(" AND v.decision = ").push_bind(decision.word());
    }
    if let Some(lines) = &query.lines {
        sql.push(" AND v.line IN (");
        let mut numbers = sql.separated(", ");
        for line in lines {
            numbers.push_bind(*line);
        }
        sql.push(")");
    }
    sql.push(" AND v.line > ").push_bind(query.after).push(" ORDER BY v.line LIMIT +").push_bind(query.limit);
    sql
}

fn line_view(row: &Row) -> Result<LineView> {
    let outcome: Option<String> = row.try_get("outcome")?;
    let profile: Option<String> = row.try_get("profile")?;
    let profile: Option<Value> = profile.map(|profile| json_of(&profile, "a profile")).transpose()?;
    let line = ReviewLine {
        line: row.try_get("line")?,
        account: AccountId(row.try_get("account")?),
        user_name: row.try_get("user_name")?,
        role: RoleId(row.try_get("role")?),
        reviewer: row.try_get("reviewer")?,
        decision: word(row.try_get("decision")?, ReviewDecision::from_word)?,
        decided: row.try_get::<Option<i64>, _>("decided")?.map(Instant),
        decided_by: row.try_get("decided_by")?,
        reason: row.try_get("reason")?,
        instead: row.try_get("instead")?,
        evidence: json_of(row.try_get("evidence")?, "a line's evidence")?,
        outcome: outcome.map(|outcome| word(&outcome, ReviewOutcome::from_word)).transpose()?,
        exception: row.try_get("exception")?,
    };
    Ok(LineView { line, email: profile.and_then(|profile| profile["email"].as_str().map(str::to_owned)) })
}
