//! What becomes of reviews by time: reviewers are reminded, and closed ones have an end. Each step is bounded, and goes on where the one
//! before it ended.

use std::collections::BTreeMap;

use serde_json::json;

use super::batch::Batch;
use super::history::{self, Stamp};
use super::reviews::{locked, one_event};
use super::{Conn, Scope, text_list};
use crate::model::{AccountId, Actor, Instant, NewEvent, Review, ReviewState, TenantId};
use crate::store::{REVIEWERS_AT_ONCE, Result};

/// The cursor's part while reviewers are being reminded: `cursor_after` is the last who was.
const REMINDING: i64 = 1;
/// The cursor's part once lines of a closed review are being removed: nobody sees it any more.
pub(super) const GOING: i64 = -1;

/// The next reviewers with lines that would follow silence, the one without a name first.
pub(super) const REVIEWERS: &str = "SELECT reviewer_key, min(reviewer), count(CASE WHEN decision = 'undecided' THEN 1 END),
            count(CASE WHEN decision = 'dont_know' THEN 1 END)
     FROM review_lines WHERE tenant = $1 AND review = $2 AND reviewer_key > $3 AND decision IN ('undecided', 'dont_know')
     GROUP BY reviewer_key ORDER BY reviewer_key LIMIT +$4";
/// The same of lines for which nobody could be found.
pub(super) const NOBODYS: &str = "SELECT reviewer_key, min(reviewer), count(CASE WHEN decision = 'undecided' THEN 1 END),
            count(CASE WHEN decision = 'dont_know' THEN 1 END)
     FROM review_lines WHERE tenant = $1 AND review = $2 AND reviewer_key = '' AND decision IN ('undecided', 'dont_know')
     GROUP BY reviewer_key";
/// Whose login names reviewers' names are.
pub(super) const ACCOUNTS: &str = concat!("SELECT name_key, account FROM accounts WHERE tenant = $1 AND ", any_of!("name_key", "$2"));

/// A reviewer's key, name, and lines without a word and with a `dont_know`.
type Reviewer = (String, Option<String>, i64, i64);

/// Reminds the next reviewers, where it is time. See [`crate::store::Reviews::remind_of_review`].
pub(super) async fn remind(conn: &mut Conn, scope: &Scope, id: &str, at: Instant) -> Result<()> {
    let Some((mut review, (part, after))) = locked(conn, &scope.tenant, id).await? else { return Ok(()) };
    if review.state != ReviewState::Open {
        return Ok(());
    }
    let mut more = None;
    if part == REMINDING || review.next_reminder().is_some_and(|reminder| reminder <= at) {
        let mut reviewers = Vec::new();
        if part != REMINDING {
            reviewers = sqlx::query_as(NOBODYS).bind(scope.tenant.as_str()).bind(id).fetch_all(&mut *conn).await?;
        }
        let next: Vec<Reviewer> = sqlx::query_as(REVIEWERS)
            .bind(scope.tenant.as_str())
            .bind(id)
            .bind(if part == REMINDING { after.as_str() } else { "" })
            .bind(REVIEWERS_AT_ONCE)
            .fetch_all(&mut *conn)
            .await?;
        more = next.last().filter(|_| i64::try_from(next.len()).is_ok_and(|found| found == REVIEWERS_AT_ONCE)).map(|last| last.0.clone());
        reviewers.extend(next);
        tell(conn, scope, &review, &reviewers, at).await?;
    }
    if more.is_none() {
        while review.next_reminder().is_some_and(|reminder| reminder <= at) {
            review.reminded += 1;
        }
    }
    sqlx::query("UPDATE reviews SET reminded = $3, cursor_part = $4, cursor_after = $5, due_at = $6 WHERE tenant = $1 AND review = $2")
        .bind(scope.tenant.as_str())
        .bind(id)
        .bind(review.reminded)
        .bind(if more.is_some() { REMINDING } else { 0 })
        .bind(more.as_deref().unwrap_or_default())
        .bind(if more.is_some() { at.0 } else { review.due().0 })
        .execute(&mut *conn)
        .await?;
    Ok(())
}

/// An event for each reviewer. A name is a personal value: of the person who has an account, and else of the review.
async fn tell(conn: &mut Conn, scope: &Scope, review: &Review, reviewers: &[Reviewer], at: Instant) -> Result<()> {
    let keys = text_list(reviewers.iter().map(|reviewer| reviewer.0.as_str()).filter(|key| !key.is_empty()));
    let accounts: Vec<(String, String)> = sqlx::query_as(ACCOUNTS).bind(scope.tenant.as_str()).bind(keys).fetch_all(&mut *conn).await?;
    let accounts: BTreeMap<String, String> = accounts.into_iter().collect();
    let event = |(key, name, undecided, dont_know): &Reviewer| {
        let account = accounts.get(key).map(|account| AccountId(account.clone()));
        let data = json!({"review": review.id, "name": review.name, "undecided": undecided, "dont_know": dont_know,
                          "closes": review.closes, "on_silence": review.plan.on_silence});
        let personal = name.as_ref().map(|name| json!({"reviewer": name}));
        NewEvent { kind: "review.reminded", account, data, personal, leaver: false }
    };
    let events: Vec<NewEvent> = reviewers.iter().map(event).collect();
    let actor = Actor { kind: "review".into(), id: review.id.clone() };
    history::append(conn, Batch::new(), scope, Stamp { at, actor: &actor, request_id: None }, &events, None).await
}

/// Closed reviews whose time is over, the oldest first; those that are on their way among them.
pub(super) const FORGETTABLE: &str =
    "SELECT review FROM reviews WHERE tenant = $1 AND state = 'closed' AND closed <= $2 ORDER BY closed, review LIMIT +$3";

/// See [`crate::store::Reviews::forgettable_reviews`].
pub(super) async fn forgettable(conn: &mut Conn, tenant: &TenantId, closed_before: Instant, limit: i64) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(FORGETTABLE).bind(tenant.as_str()).bind(closed_before.0).bind(limit).fetch_all(conn).await?)
}

/// The next lines of a review that go.
pub(super) const FORGET_LINES: &str = "DELETE FROM review_lines WHERE tenant = $1 AND review = $2 AND line <= (
         SELECT max(line) FROM (SELECT line FROM review_lines WHERE tenant = $1 AND review = $2 ORDER BY line LIMIT +$3) AS first)";

/// See [`crate::store::Reviews::forget_review`].
pub(super) async fn forget(conn: &mut Conn, scope: &Scope, id: &str, limit: i64, actor: &Actor, at: Instant) -> Result<bool> {
    let Some((review, _)) = locked(conn, &scope.tenant, id).await?.filter(|(review, _)| review.state == ReviewState::Closed) else {
        return Ok(false);
    };
    let gone = sqlx::query(FORGET_LINES).bind(scope.tenant.as_str()).bind(id).bind(limit).execute(&mut *conn).await?.rows_affected();
    if gone == limit.unsigned_abs() {
        // A part of a review must not pass for the whole.
        sqlx::query("UPDATE reviews SET cursor_part = $3 WHERE tenant = $1 AND review = $2")
            .bind(scope.tenant.as_str())
            .bind(id)
            .bind(GOING)
            .execute(&mut *conn)
            .await?;
        return Ok(true);
    }
    sqlx::query("DELETE FROM reviews WHERE tenant = $1 AND review = $2").bind(scope.tenant.as_str()).bind(id).execute(&mut *conn).await?;
    history::forget_review_key(conn, &scope.tenant, id).await?;
    let data = json!({"review": id, "name": review.name, "closed": review.closed, "counts": review.counts});
    one_event(conn, scope, (actor, at), "review.forgotten", data).await?;
    Ok(false)
}
