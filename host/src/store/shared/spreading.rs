//! The methods of [`Spreading`], and their statements.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::json;
use sqlx::Row as _;

use super::groups::{self, WhatIf};
use super::rows::word;
use super::work::{self, CROWD_LIMIT, DUE_COUNT};
use super::{Backend, Conn, Scope, give_up, is_lost, lock_revision};
use crate::model::{Cause, ConnectionId, GroupMembership, Instant, ResourceId, RevisionHash, TenantId};
use crate::store::{Page, Place, Reached, Result, Spread, Spreading, StoreError};

/// The tenant's next fan-out.
pub(super) const NEXT: &str =
    "SELECT id, connection, cursor_connection, cursor_resource FROM fan_outs WHERE tenant = $1 ORDER BY touched, id LIMIT 1";
/// People behind a place, with the profile of those who stand as their last decision left them and are waiting for nothing.
pub(super) const PAGE: &str = concat!(
    "SELECT e.connection, e.resource, e.input_version, e.evaluated_revision,
         CASE WHEN e.cause IS NULL AND e.evaluated_version = e.input_version AND (e.next_evaluation_at IS NULL OR e.next_evaluation_at > $5)
             AND a.state = 'active' AND a.note IS NULL AND c.state = 'active'
             AND NOT EXISTS (SELECT 1 FROM rulings u WHERE u.tenant = a.tenant AND u.account = a.account AND u.state <> 'ended'",
    apart!(),
    ")
             AND NOT EXISTS (
                 SELECT 1 FROM grants g WHERE g.tenant = a.tenant AND g.account = a.account
                     AND (g.state <> 'effective' OR g.deadline IS NOT NULL OR g.waits_for IS NOT NULL)",
    apart!(),
    ")
             THEN a.profile END AS profile
     FROM evaluations e",
    joined!("connections", "c", "c.tenant = e.tenant AND c.connection = e.connection"),
    joined_if_any!("links", "l", "l.tenant = e.tenant AND l.connection = e.connection AND l.resource = e.resource"),
    joined_if_any!("accounts", "a", "a.tenant = l.tenant AND a.account = l.account"),
    " WHERE e.tenant = $1 AND (e.connection, e.resource) > ($2, $3) ORDER BY e.connection, e.resource LIMIT +$4"
);
/// Stamps those whose inputs are as they were. They are locked in the order of their ids, as everybody locks them.
pub(super) const STAMP: &str = concat!(
    "UPDATE evaluations SET evaluated_revision = $4, as_of = $5 WHERE tenant = $1 AND connection = $2 AND ",
    among!(
        "resource",
        "SELECT e.resource FROM ",
        pairs_of!("$3"),
        // No `joined!`: what it looks up would be locked as it comes, and before it is looked at.
        " AS p CROSS JOIN evaluations e WHERE e.tenant = $1 AND e.connection = $2 AND e.resource = p.one AND ",
        among!("e.resource", "SELECT listed.one FROM ", pairs_of!("$3"), " AS listed"),
        " AND CAST(e.input_version AS TEXT) = p.two AND e.cause IS NULL AND e.evaluated_version = e.input_version
             AND e.evaluated_revision = $6
         ORDER BY e.resource",
        for_update_of!("e")
    )
);

#[async_trait]
impl Spreading for Backend {
    async fn spreading(&self) -> Result<Option<TenantId>> {
        read_once!(self.read_platform(), conn => work::next_fan_out(conn))
    }

    async fn next_page(&self, tenant: &TenantId, now: Instant, limit: i64) -> Result<Option<Page>> {
        next_page(&mut *self.read(tenant).await?, tenant, now, limit).await
    }

    async fn spread(&self, tenant: &TenantId, step: &Spread) -> Result<bool> {
        let (scope, step) = (self.scope(tenant), step.clone());
        self.write_behind(tenant, move |conn: &mut Conn| Box::pin(async move { spread(conn, &scope, step).await })).await
    }

    async fn handles_of(&self, tenant: &TenantId, places: &[Place]) -> Result<Vec<Vec<GroupMembership>>> {
        let mut by_connection = BTreeMap::<&ConnectionId, Vec<ResourceId>>::new();
        for (connection, user) in places {
            by_connection.entry(connection).or_default().push(user.clone());
        }
        let conn = &mut *self.read(tenant).await?;
        let mut found = BTreeMap::new();
        for (connection, users) in by_connection {
            let handles = groups::memberships_if(conn, tenant, connection, &users, WhatIf::default()).await?;
            found.extend(handles.into_iter().map(|(user, handles)| ((connection.clone(), user), handles)));
        }
        Ok(places.iter().map(|place| found.remove(place).unwrap_or_default()).collect())
    }
}

async fn next_page(conn: &mut Conn, tenant: &TenantId, now: Instant, limit: i64) -> Result<Option<Page>> {
    let next: Option<(String, Option<String>, String, String)> =
        sqlx::query_as(NEXT).bind(tenant.as_str()).fetch_optional(&mut *conn).await?;
    let Some((fan_out, None, connection, resource)) = next else { return Ok(None) };
    let due: i64 = sqlx::query_scalar(DUE_COUNT).bind(tenant.as_str()).bind(now.0).bind(CROWD_LIMIT).fetch_one(&mut *conn).await?;
    if due >= CROWD_LIMIT {
        return Ok(None);
    }
    let rows =
        sqlx::query(PAGE).bind(tenant.as_str()).bind(&connection).bind(&resource).bind(limit).bind(now.0).fetch_all(&mut *conn).await?;
    let mut people = Vec::with_capacity(rows.len());
    for row in &rows {
        let decided: (Option<String>, Option<String>) = (row.try_get("evaluated_revision")?, row.try_get("profile")?);
        let settled = match decided {
            (Some(revision), Some(profile)) => {
                let profile = serde_json::from_str(&profile).map_err(|error| StoreError::Corrupt(format!("a profile: {error}")))?;
                Some((RevisionHash(revision), profile))
            }
            _ => None,
        };
        let place = (ConnectionId(row.try_get("connection")?), ResourceId(row.try_get("resource")?));
        people.push(Reached { place, input_version: row.try_get("input_version")?, settled });
    }
    Ok(Some(Page { fan_out, after: (ConnectionId(connection), ResourceId(resource)), people }))
}

async fn spread(conn: &mut Conn, scope: &Scope, step: Spread) -> Result<bool> {
    let tenant = &scope.tenant;
    lock_revision(conn, tenant, false).await?;
    let found: Option<(String, String, String, Option<String>)> = sqlx::query_as(concat!(
        "SELECT f.cause, f.cursor_connection, f.cursor_resource, t.active_revision FROM fan_outs f JOIN tenants t ON t.tenant = f.tenant
         WHERE f.tenant = $1 AND f.id = $2",
        for_update_of!("f")
    ))
    .bind(tenant.as_str())
    .bind(&step.fan_out)
    .fetch_optional(&mut *conn)
    .await?;
    let Some((cause, connection, resource, active)) = found else { return Ok(false) };
    if (connection.as_str(), resource.as_str()) != (step.after.0.as_str(), step.after.1.as_str())
        || active.as_deref() != Some(step.revision.as_str())
    {
        return Ok(false);
    }
    let mut by_connection = BTreeMap::<&ConnectionId, Vec<serde_json::Value>>::new();
    for ((connection, user), version) in &step.untouched {
        by_connection.entry(connection).or_default().push(json!([user.as_str(), version.to_string()]));
    }
    for (connection, versions) in by_connection {
        sqlx::query(STAMP)
            .bind(tenant.as_str())
            .bind(connection.as_str())
            .bind(serde_json::Value::Array(versions).to_string())
            .bind(step.revision.as_str())
            .bind(step.as_of.0)
            .bind(step.from.as_str())
            .execute(&mut *conn)
            .await?;
    }
    let people = step.people.iter().map(|(connection, user)| (connection.as_str(), user.as_str()));
    work::mark_undecided(conn, tenant, people, word(&cause, Cause::from_word)?, step.at).await?;
    let to = step.to.map(|(connection, user)| (connection.0, user.0));
    work::advance(conn, tenant, &step.fan_out, to, step.at).await?;
    Ok(true)
}
