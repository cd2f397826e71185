//! People who have left: what took their access away and whom it was told, and the end of what is personal of them.

use serde_json::json;
use sqlx::Row as _;

use super::batch::Batch;
use super::history::{self, Stamp};
use super::personal;
use super::rows::json;
use super::{Conn, Scope, lock_revision, text_list};
use crate::model::{AccountId, Actor, GrantState, Instant, NewEvent, TenantId};
use crate::store::{DEPARTURE_EVENTS_LIMIT, DepartureDelivery, DepartureEvent, Departures, Erasure, Result, StoreError};

/// What took access away from an account, newest first.
pub(super) const DEPARTURES: &str = "SELECT id, at, kind, actor_kind, actor_id, request_id, data FROM events
     WHERE tenant = $1 AND account = $2
     AND kind IN ('account.suspended', 'account.removed', 'account.out_of_scope', 'grant.removed', 'grant.dormant')
     ORDER BY position DESC LIMIT +$3";

/// Where events are delivered, by target. Of one that was removed, what it acknowledged.
pub(super) const DELIVERIES: &str = concat!(
    "SELECT d.target, t.enabled, d.event, d.state, d.attempts, d.problem, d.finished
     FROM targets t JOIN deliveries d ON d.tenant = t.tenant AND d.target = t.target
     WHERE t.tenant = $1 AND (t.removed IS NULL OR d.state = 'acknowledged') AND ",
    any_of!("d.event", "$2"),
    " ORDER BY d.target, d.position"
);

/// Whether nothing of a removed account of the tenant `$1` counts any more: no grant but what could be given back, and no word that it comes back.
macro_rules! nothing_counts {
    ($account:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM grants g WHERE g.tenant = $1 AND g.account = ",
            $account,
            " AND g.state <> 'dormant'",
            apart!(),
            ") AND NOT EXISTS (SELECT 1 FROM rulings r WHERE r.tenant = $1 AND r.account = ",
            $account,
            " AND r.kind = 'restored' AND r.state <> 'ended' AND r.state <> 'no'",
            apart!(),
            ")"
        )
    };
}
/// Removed accounts that may be erased.
pub(super) const ERASABLE: &str = concat!(
    "SELECT a.account FROM accounts a WHERE a.tenant = $1 AND a.state = 'removed' AND a.erased IS NULL AND a.modified <= $2 AND ",
    nothing_counts!("a.account"),
    " ORDER BY a.modified, a.account LIMIT +$3"
);

/// See [`crate::store::Processes::departures`].
pub(super) async fn of(conn: &mut Conn, tenant: &TenantId, account: &AccountId) -> Result<Departures> {
    let erased: Option<Option<i64>> = sqlx::query_scalar("SELECT erased FROM accounts WHERE tenant = $1 AND account = $2")
        .bind(tenant.as_str())
        .bind(account.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    let erased = erased.ok_or(StoreError::Missing("account"))?.map(Instant);
    let rows =
        sqlx::query(DEPARTURES).bind(tenant.as_str()).bind(account.as_str()).bind(DEPARTURE_EVENTS_LIMIT).fetch_all(&mut *conn).await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        events.push(DepartureEvent {
            id: row.try_get("id")?,
            at: Instant(row.try_get("at")?),
            kind: row.try_get("kind")?,
            actor: Actor { kind: row.try_get("actor_kind")?, id: row.try_get("actor_id")? },
            request_id: row.try_get("request_id")?,
            data: json(row.try_get("data")?, "an event")?,
        });
    }
    let rows =
        sqlx::query(DELIVERIES).bind(tenant.as_str()).bind(text_list(events.iter().map(|event| event.id.as_str()))).fetch_all(conn).await?;
    let mut deliveries = Vec::with_capacity(rows.len());
    for row in &rows {
        deliveries.push(DepartureDelivery {
            target: row.try_get("target")?,
            enabled: row.try_get("enabled")?,
            event: row.try_get("event")?,
            state: row.try_get("state")?,
            attempts: row.try_get("attempts")?,
            problem: row.try_get("problem")?,
            finished: row.try_get::<Option<i64>, _>("finished")?.map(Instant),
        });
    }
    Ok(Departures { events, deliveries, erased })
}

/// See [`crate::store::Processes::erasable`].
pub(super) async fn erasable(conn: &mut Conn, tenant: &TenantId, removed_before: Instant, limit: i64) -> Result<Vec<AccountId>> {
    let accounts: Vec<String> =
        sqlx::query_scalar(ERASABLE).bind(tenant.as_str()).bind(removed_before.0).bind(limit).fetch_all(conn).await?;
    Ok(accounts.into_iter().map(AccountId).collect())
}

/// What becomes of accounts that are erased: of those that are removed, and of whom nothing is left that counts.
pub(super) const ERASE: &str = concat!(
    "UPDATE accounts SET erased = $3, user_name = NULL, user_name_folded = NULL, name_key = NULL, wanted_key = NULL, profile = 'null',
                         provenance = 'null', note = NULL
     WHERE tenant = $1 AND state = 'removed' AND erased IS NULL AND ",
    any_of!("account", "$2"),
    " AND ",
    without_user!("accounts.account"),
    " AND ",
    nothing_counts!("accounts.account"),
    " RETURNING account"
);

/// See [`crate::store::Processes::erase`].
pub(super) async fn erase(conn: &mut Conn, scope: &Scope, accounts: &[AccountId], erasure: &Erasure) -> Result<i64> {
    lock_revision(conn, &scope.tenant, false).await?;
    let tenant = &scope.tenant;
    // Whoever is revived at this moment is either removed no more, or comes back to an account that has nothing.
    let erased: Vec<String> = sqlx::query_scalar(ERASE)
        .bind(tenant.as_str())
        .bind(text_list(accounts.iter().map(AccountId::as_str)))
        .bind(erasure.at.0)
        .fetch_all(&mut *conn)
        .await?;
    if erased.is_empty() {
        return Ok(0);
    }
    // What could be given back until somebody said that the departure is final: the person is gone, and nobody decides about them again.
    let dormant: Vec<(String, String)> =
        sqlx::query_as(concat!("DELETE FROM grants WHERE tenant = $1 AND ", any_of!("account", "$2"), " RETURNING account, role"))
            .bind(tenant.as_str())
            .bind(text_list(erased.iter().map(String::as_str)))
            .fetch_all(&mut *conn)
            .await?;
    personal::erase(conn, tenant, &erased).await?;
    let event =
        |kind, account: &str, data, leaver| NewEvent { kind, account: Some(AccountId(account.to_owned())), data, personal: None, leaver };
    let mut events: Vec<NewEvent> = Vec::with_capacity(erased.len() + dormant.len());
    for (account, role) in &dormant {
        events.push(event("grant.removed", account, json!({"role": role, "was": GrantState::Dormant, "why": "erased"}), true));
    }
    for account in &erased {
        events.push(event("account.erased", account, json!({"why": erasure.why, "reference": erasure.reference}), false));
    }
    let stamp = Stamp { at: erasure.at, actor: &erasure.actor, request_id: None };
    history::append(conn, Batch::new(), scope, stamp, &events, None).await?;
    Ok(i64::try_from(erased.len()).unwrap_or(i64::MAX))
}
