//! Work that is waiting: marking people as pending, fan-outs, claims. Pending work is rows; whoever claims has a lease.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::word;
use super::{Conn, Scope, text_list};
use crate::crypto::random_id;
use crate::model::{Cause, ConnectionId, Instant, ResourceId, TenantId};
use crate::store::{DuePerson, Result};

/// People (or members) that one step of a fan-out looks at: bounds its transaction.
const FAN_OUT_BATCH: i64 = 1_000;
/// Due people beyond whom nobody else is made due by another revision: whoever becomes due for a reason of their own stands behind
/// so many of the crowd and no more.
pub(super) const CROWD_LIMIT: i64 = 2_000;

/// Whose evaluation a fan-out makes due.
pub(super) enum Below<'a> {
    /// Everybody who was evaluated under another revision than the active one.
    Tenant,
    /// Everybody of the connection.
    Connection(&'a ConnectionId),
    /// Everybody below the group.
    Group(&'a ConnectionId, &'a ResourceId),
    /// Everybody below the group, which is deleted: its member rows go as well.
    Purge(&'a ConnectionId, &'a ResourceId),
}

/// Leaves marking to the job.
pub(super) async fn fan_out(conn: &mut Conn, tenant: &TenantId, below: Below<'_>, cause: Cause, at: Instant) -> Result<()> {
    let (connection, group, purge) = match below {
        Below::Tenant => (None, None, false),
        Below::Connection(connection) => (Some(connection), None, false),
        Below::Group(connection, group) => (Some(connection), Some(group), false),
        Below::Purge(connection, group) => (Some(connection), Some(group), true),
    };
    sqlx::query(
        "INSERT INTO fan_outs (tenant, id, connection, group_id, cause, purge, cursor_connection, cursor_resource, touched)
         VALUES ($1, $2, $3, $4, $5, $6, '', '', $7)",
    )
    .bind(tenant.as_str())
    .bind(random_id())
    .bind(connection.map(ConnectionId::as_str))
    .bind(group.map(ResourceId::as_str))
    .bind(cause.word())
    .bind(purge)
    .bind(at.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// What [`mark`] does, to whom is locked in the order of ids, as everybody locks them.
pub(super) const MARK: &str = concat!(
    "UPDATE evaluations SET input_version = input_version + 1, cause = $4, due_at = $5, moved_at = $5, attempts = 0
     WHERE tenant = $1 AND connection = $2 AND ",
    among!(
        "resource",
        "SELECT resource FROM evaluations WHERE tenant = $1 AND connection = $2 AND ",
        any_of!("resource", "$3"),
        " ORDER BY resource",
        for_update!()
    ),
    " RETURNING resource"
);

/// Marks users as pending: their inputs have changed. Returns those who exist.
pub(super) async fn mark<'u>(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    users: impl IntoIterator<Item = &'u ResourceId>,
    cause: Cause,
    at: Instant,
) -> Result<Vec<ResourceId>> {
    let users = users.into_iter().map(ResourceId::as_str).collect::<Vec<_>>();
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let marked: Vec<String> = sqlx::query_scalar(MARK)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(text_list(users))
        .bind(cause.word())
        .bind(at.0)
        .fetch_all(conn)
        .await?;
    Ok(marked.into_iter().map(ResourceId).collect())
}

/// Whose account waits for one of the names. Nobody waits for a name but who is held.
pub(super) const WAITING_FOR: &str = concat!(
    "SELECT l.connection, l.resource FROM accounts a",
    joined!("links", "l", "l.tenant = a.tenant AND l.account = a.account"),
    " WHERE a.tenant = $1 AND a.state = 'held' AND ",
    any_of!("a.wanted_key", "$2")
);

/// Marks those whose account waits for one of the names: nobody has them any more.
pub(super) async fn mark_waiting_for(conn: &mut Conn, tenant: &TenantId, names: &[String], at: Instant) -> Result<Vec<ResourceId>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names = text_list(names.iter().map(String::as_str));
    let waiting: Vec<(String, String)> = sqlx::query_as(WAITING_FOR).bind(tenant.as_str()).bind(names).fetch_all(&mut *conn).await?;
    let mut by_connection = BTreeMap::<ConnectionId, Vec<ResourceId>>::new();
    for (connection, resource) in waiting {
        by_connection.entry(ConnectionId(connection)).or_default().push(ResourceId(resource));
    }
    let mut marked = Vec::new();
    for (connection, users) in by_connection {
        marked.extend(mark(conn, tenant, &connection, &users, Cause::NameFreed, at).await?);
    }
    Ok(marked)
}

/// The tenant whose fan-out was touched least recently.
pub(super) const NEXT_FAN_OUT: &str = "SELECT tenant FROM fan_outs ORDER BY touched, tenant LIMIT 1";

/// [`NEXT_FAN_OUT`].
pub(super) async fn next_fan_out(conn: &mut Conn) -> Result<Option<TenantId>> {
    let tenant: Option<String> = sqlx::query_scalar(NEXT_FAN_OUT).fetch_optional(conn).await?;
    Ok(tenant.map(TenantId))
}

/// A fan-out as stored: id, connection, group, cause, purge, and how far it has come.
type FanOut = (String, Option<String>, Option<String>, String, bool, String, String);

/// How many of the tenant's people are due, as far as that is counted.
pub(super) const DUE_COUNT: &str =
    "SELECT count(*) FROM (SELECT 1 AS due FROM evaluations WHERE tenant = $1 AND due_at <= $2 LIMIT +$3) AS due_people";

/// Takes the tenant's least recently touched fan-out one bounded step further. `false`: it waits until fewer people are due.
pub(super) async fn expand(conn: &mut Conn, scope: &Scope, now: Instant) -> Result<bool> {
    let tenant = &scope.tenant;
    let next: Option<FanOut> = sqlx::query_as(concat!(
        "SELECT id, connection, group_id, cause, purge, cursor_connection, cursor_resource FROM fan_outs
         WHERE tenant = $1 ORDER BY touched, id LIMIT 1",
        for_update!()
    ))
    .bind(tenant.as_str())
    .fetch_optional(&mut *conn)
    .await?;
    let Some((id, connection, group, cause, purge, cursor_connection, cursor_resource)) = next else { return Ok(true) };
    let cause = word(&cause, Cause::from_word)?;
    if connection.is_none() {
        let due: i64 = sqlx::query_scalar(DUE_COUNT).bind(tenant.as_str()).bind(now.0).bind(CROWD_LIMIT).fetch_one(&mut *conn).await?;
        if due >= CROWD_LIMIT {
            // The tenant's others have their turn first.
            sqlx::query("UPDATE fan_outs SET touched = $3 WHERE tenant = $1 AND id = $2")
                .bind(tenant.as_str())
                .bind(id)
                .bind(now.0)
                .execute(conn)
                .await?;
            return Ok(false);
        }
    }
    let cursor = (cursor_connection, cursor_resource);
    let reached = match (connection.map(ConnectionId), group.map(ResourceId)) {
        (Some(connection), Some(group)) => step_below_group(conn, tenant, (&connection, &group), purge, cause, cursor, now).await?,
        (Some(connection), None) => step_of_connection(conn, tenant, &connection, cause, cursor, now).await?,
        (None, _) => step_of_tenant(conn, tenant, cause, cursor, now).await?,
    };
    advance(conn, tenant, &id, reached, now).await?;
    Ok(true)
}

/// Notes how far a fan-out has come, or that it is done.
pub(super) async fn advance(conn: &mut Conn, tenant: &TenantId, id: &str, reached: Option<Cursor>, now: Instant) -> Result<()> {
    match reached {
        Some((connection, resource)) => {
            sqlx::query("UPDATE fan_outs SET cursor_connection = $3, cursor_resource = $4, touched = $5 WHERE tenant = $1 AND id = $2")
                .bind(tenant.as_str())
                .bind(id)
                .bind(connection)
                .bind(resource)
                .bind(now.0)
                .execute(conn)
                .await?
        }
        None => sqlx::query("DELETE FROM fan_outs WHERE tenant = $1 AND id = $2").bind(tenant.as_str()).bind(id).execute(conn).await?,
    };
    Ok(())
}

/// How far a fan-out has come: connection and resource of the last one looked at. `None`: to the end.
pub(super) type Cursor = (String, String);

/// Users directly in the group are marked; each nested group becomes a fan-out of its own.
async fn step_below_group(
    conn: &mut Conn,
    tenant: &TenantId,
    (connection, group): (&ConnectionId, &ResourceId),
    purge: bool,
    cause: Cause,
    (_, after): Cursor,
    now: Instant,
) -> Result<Option<Cursor>> {
    let members: Vec<(String, String)> = sqlx::query_as(
        "SELECT member_id, member_kind FROM members WHERE tenant = $1 AND connection = $2 AND group_id = $3 AND member_id > $4
         ORDER BY member_id LIMIT +$5",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(group.as_str())
    .bind(after)
    .bind(FAN_OUT_BATCH)
    .fetch_all(&mut *conn)
    .await?;
    let (users, groups): (Vec<_>, Vec<_>) = members.into_iter().partition(|(_, kind)| kind == "user");
    let ids = |members: Vec<(String, String)>| members.into_iter().map(|(id, _)| ResourceId(id)).collect::<Vec<_>>();
    let (users, groups) = (ids(users), ids(groups));
    mark(conn, tenant, connection, &users, cause, now).await?;
    for nested in &groups {
        fan_out(conn, tenant, Below::Group(connection, nested), cause, now).await?;
    }
    if purge {
        sqlx::query(concat!(
            "DELETE FROM members WHERE tenant = $1 AND connection = $2 AND group_id = $3 AND ",
            any_of!("member_id", "$4")
        ))
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(group.as_str())
        .bind(text_list(users.iter().chain(&groups).map(ResourceId::as_str)))
        .execute(&mut *conn)
        .await?;
    }
    let looked_at = users.len() + groups.len();
    let last = users.into_iter().chain(groups).max();
    Ok(last.filter(|_| is_full(looked_at)).map(|last| (connection.0.clone(), last.0)))
}

fn is_full(rows: usize) -> bool {
    i64::try_from(rows).is_ok_and(|rows| rows == FAN_OUT_BATCH)
}

async fn step_of_connection(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    cause: Cause,
    (_, after): Cursor,
    now: Instant,
) -> Result<Option<Cursor>> {
    let users: Vec<String> = sqlx::query_scalar(
        "SELECT resource FROM evaluations WHERE tenant = $1 AND connection = $2 AND resource > $3 ORDER BY resource LIMIT +$4",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(after)
    .bind(FAN_OUT_BATCH)
    .fetch_all(&mut *conn)
    .await?;
    let users: Vec<ResourceId> = users.into_iter().map(ResourceId).collect();
    mark(conn, tenant, connection, &users, cause, now).await?;
    Ok(users.last().filter(|_| is_full(users.len())).map(|last| (connection.0.clone(), last.0.clone())))
}

async fn step_of_tenant(conn: &mut Conn, tenant: &TenantId, cause: Cause, after: Cursor, now: Instant) -> Result<Option<Cursor>> {
    let users: Vec<(String, String)> = sqlx::query_as(
        "SELECT connection, resource FROM evaluations WHERE tenant = $1 AND (connection, resource) > ($2, $3)
         ORDER BY connection, resource LIMIT +$4",
    )
    .bind(tenant.as_str())
    .bind(after.0)
    .bind(after.1)
    .bind(FAN_OUT_BATCH)
    .fetch_all(&mut *conn)
    .await?;
    mark_undecided(conn, tenant, users.iter().map(|(connection, resource)| (connection.as_str(), resource.as_str())), cause, now).await?;
    Ok(users.last().filter(|_| is_full(users.len())).cloned())
}

/// See [`mark_undecided`].
pub(super) const UNDECIDED: &str = concat!(
    "UPDATE evaluations SET cause = COALESCE(cause, $4), due_at = $5 WHERE tenant = $1 AND connection = $2 AND ",
    among!(
        "resource",
        "SELECT e.resource FROM evaluations e JOIN tenants t ON t.tenant = e.tenant
         WHERE e.tenant = $1 AND e.connection = $2 AND e.evaluated_revision IS DISTINCT FROM t.active_revision AND ",
        any_of!("e.resource", "$3")
    )
);

/// Makes those due who were evaluated under another revision than the active one. Their inputs are what they were, and whoever was evaluated
/// under it already is done.
pub(super) async fn mark_undecided<'p>(
    conn: &mut Conn,
    tenant: &TenantId,
    people: impl Iterator<Item = (&'p str, &'p str)>,
    cause: Cause,
    now: Instant,
) -> Result<()> {
    let mut by_connection = BTreeMap::<&str, Vec<&str>>::new();
    for (connection, resource) in people {
        by_connection.entry(connection).or_default().push(resource);
    }
    for (connection, resources) in by_connection {
        sqlx::query(UNDECIDED)
            .bind(tenant.as_str())
            .bind(connection)
            .bind(text_list(resources))
            .bind(cause.word())
            .bind(now.0)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Tenants with due people, the longest waiting first.
pub(super) const DUE_TENANTS: &str = "SELECT tenant FROM (
         SELECT t.tenant, (SELECT min(e.due_at) FROM evaluations e WHERE e.tenant = t.tenant AND e.due_at IS NOT NULL) AS due
         FROM tenants t
     ) AS waiting WHERE due <= $1 ORDER BY due, tenant LIMIT +$2";

/// A tenant's due people.
pub(super) const DUE_PEOPLE: &str = concat!(
    "SELECT connection, resource, cause FROM evaluations WHERE tenant = $1 AND due_at <= $2
     ORDER BY due_at, connection, resource LIMIT +$3",
    skip_locked!()
);

/// How many people each tenant may claim.
pub(super) async fn claim_shares(conn: &mut Conn, now: Instant, limit: i64, busy: &BTreeSet<TenantId>) -> Result<Vec<(TenantId, i64)>> {
    let looked_at = limit.saturating_add(i64::try_from(busy.len()).unwrap_or(i64::MAX));
    let mut tenants: Vec<String> = sqlx::query_scalar(DUE_TENANTS).bind(now.0).bind(looked_at).fetch_all(conn).await?;
    tenants.retain(|tenant| !busy.iter().any(|busy| busy.as_str() == tenant));
    tenants.truncate(usize::try_from(limit).unwrap_or(0));
    Ok(shares(tenants, limit))
}

/// Equal shares of `limit`, at least one each; what does not divide goes to the first.
pub(super) fn shares(tenants: Vec<String>, limit: i64) -> Vec<(TenantId, i64)> {
    let count = i64::try_from(tenants.len()).unwrap_or(i64::MAX).max(1);
    let (share, mut rest) = (limit / count, limit % count);
    let mut shared = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        let extra = i64::from(rest > 0);
        rest -= extra;
        shared.push((TenantId(tenant), share + extra));
    }
    shared
}

/// Claims a tenant's due people: until the end of the lease nobody else gets them.
pub(super) async fn claim(conn: &mut Conn, scope: &Scope, now: Instant, lease_until: Instant, limit: i64) -> Result<Vec<DuePerson>> {
    let due: Vec<(String, String, Option<String>)> =
        sqlx::query_as(DUE_PEOPLE).bind(scope.tenant.as_str()).bind(now.0).bind(limit).fetch_all(&mut *conn).await?;
    let mut by_connection = BTreeMap::<&str, Vec<&str>>::new();
    for (connection, resource, _) in &due {
        by_connection.entry(connection).or_default().push(resource);
    }
    for (connection, resources) in by_connection {
        sqlx::query(concat!("UPDATE evaluations SET due_at = $4 WHERE tenant = $1 AND connection = $2 AND ", any_of!("resource", "$3")))
            .bind(scope.tenant.as_str())
            .bind(connection)
            .bind(text_list(resources))
            .bind(lease_until.0)
            .execute(&mut *conn)
            .await?;
    }
    let person = |(connection, user, cause): (String, String, Option<String>)| {
        // Nothing is pending: a date has come.
        let cause = cause.map_or(Ok(Cause::Schedule), |cause| word(&cause, Cause::from_word))?;
        Ok(DuePerson { tenant: scope.tenant.clone(), connection: ConnectionId(connection), user: ResourceId(user), cause })
    };
    due.into_iter().map(person).collect()
}

/// Ends the claims on people who are pending still: they are due at once.
pub(super) async fn give_back(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    users: &[ResourceId],
    now: Instant,
) -> Result<()> {
    sqlx::query(concat!(
        "UPDATE evaluations SET due_at = $4 WHERE tenant = $1 AND connection = $2 AND cause IS NOT NULL AND due_at > $4 AND ",
        any_of!("resource", "$3")
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(text_list(users.iter().map(ResourceId::as_str)))
    .bind(now.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// The earliest instants at which somebody, or a delivery, becomes due.
pub(super) const NEXT_DUE: &str = "SELECT min(due) FROM (
         SELECT (SELECT min(e.due_at) FROM evaluations e WHERE e.tenant = t.tenant AND e.due_at IS NOT NULL) AS due FROM tenants t
         UNION ALL
         SELECT (SELECT min(l.next_at) FROM delivery_lanes l WHERE l.tenant = t.tenant AND l.leaver = TRUE AND l.next_at IS NOT NULL)
         FROM tenants t
         UNION ALL
         SELECT (SELECT min(l.next_at) FROM delivery_lanes l WHERE l.tenant = t.tenant AND l.leaver = FALSE AND l.next_at IS NOT NULL)
         FROM tenants t
     ) AS instants";

/// The earliest instant at which something becomes due.
pub(super) async fn next_due(conn: &mut Conn, now: Instant) -> Result<Option<Instant>> {
    if next_fan_out(conn).await?.is_some() || !super::history::unnumbered(conn).await?.is_empty() {
        return Ok(Some(now));
    }
    let due: Option<i64> = sqlx::query_scalar(NEXT_DUE).fetch_one(conn).await?;
    Ok(due.map(|due| Instant(due).max(now)))
}
