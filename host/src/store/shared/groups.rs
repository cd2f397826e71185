//! Members as rows: who is in which group, directly and through nested groups. A deleted large group's rows may linger until
//! its fan-out has cleared them away; they lead to no handle, no parent and no living group.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rolecall_scim::ResourceKind;
use sqlx::Row as _;

use super::rows::{Row, json, kind_of, resource};
use super::{Conn, Scope, text_list};
use crate::model::{Actor, Cause, ConnectionId, GroupMembership, Handle, Instant, ResourceId, TenantId};
use crate::store::nesting::Above;
use crate::store::trips::UserAndGroups;
use crate::store::{GROUP_DEPTH_LIMIT, HandleBinding, INLINE_PEOPLE_LIMIT, Result, StoreError, StoredMember, StoredResource, UserGroup};

/// The SELECT of a group's members, with a condition to follow.
macro_rules! members {
    ($condition:expr) => {
        concat!(
            "SELECT m.member_id, m.member_kind, r.label FROM members m",
            joined!("resources", "r", "r.tenant = m.tenant AND r.connection = m.connection AND r.id = m.member_id"),
            " WHERE m.tenant = $1 AND m.connection = $2 AND m.group_id = $3 AND ",
            $condition
        )
    };
}
/// Members of a group in the order of their ids, behind one of them.
pub(super) const MEMBERS: &str = members!("m.member_id > $4 ORDER BY m.member_id LIMIT +$5");
/// Which of some ($4) are members of a group.
pub(super) const WHICH_MEMBERS: &str = members!(concat!(any_of!("m.member_id", "$4"), " ORDER BY m.member_id"));

/// The members of groups, at most `limit` a group.
pub(super) async fn members(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    groups: &[ResourceId],
    limit: i64,
) -> Result<BTreeMap<ResourceId, Vec<StoredMember>>> {
    let mut members = BTreeMap::new();
    for group in groups {
        members.insert(group.clone(), members_after(conn, tenant, connection, group, None, limit).await?);
    }
    Ok(members)
}

/// The next members of a group, at most `limit`.
pub(super) async fn members_after(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    group: &ResourceId,
    after: Option<&ResourceId>,
    limit: i64,
) -> Result<Vec<StoredMember>> {
    let rows = sqlx::query_as(MEMBERS)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(group.as_str())
        .bind(after.map_or("", ResourceId::as_str))
        .bind(limit)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(member).collect()
}

fn member((id, kind, display): (String, String, Option<String>)) -> Result<StoredMember> {
    Ok(StoredMember { id: ResourceId(id), kind: kind_of(&kind)?, display })
}

/// Which of `candidates` are members of the group.
pub(super) async fn which_members(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    group: &ResourceId,
    candidates: &[ResourceId],
) -> Result<Vec<StoredMember>> {
    let rows = sqlx::query_as(WHICH_MEMBERS)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(group.as_str())
        .bind(text_list(candidates.iter().map(ResourceId::as_str)))
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(member).collect()
}

/// What some resources ($3) are as members.
pub(super) const AS_MEMBERS: &str =
    concat!("SELECT id, kind, label FROM resources WHERE tenant = $1 AND connection = $2 AND ", any_of!("id", "$3"));

/// What resources are as members: who exists of them.
pub(super) async fn as_members(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    ids: &[ResourceId],
) -> Result<Vec<StoredMember>> {
    let ids = text_list(ids.iter().map(ResourceId::as_str));
    let rows = sqlx::query_as(AS_MEMBERS).bind(tenant.as_str()).bind(connection.as_str()).bind(ids).fetch_all(conn).await?;
    rows.into_iter().map(member).collect()
}

/// Which groups some resources are directly in.
pub(super) const GROUPS_OF: &str =
    concat!("SELECT member_id, group_id FROM members WHERE tenant = $1 AND connection = $2 AND ", any_of!("member_id", "$3"));

/// Which groups each of `members` is directly in.
async fn parents(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    members: impl IntoIterator<Item = &ResourceId>,
) -> Result<BTreeMap<ResourceId, BTreeSet<ResourceId>>> {
    let members: Vec<&str> = members.into_iter().map(ResourceId::as_str).collect();
    if members.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(String, String)> =
        sqlx::query_as(GROUPS_OF).bind(tenant.as_str()).bind(connection.as_str()).bind(text_list(members)).fetch_all(conn).await?;
    let mut parents = BTreeMap::<ResourceId, BTreeSet<ResourceId>>::new();
    for (member, group) in rows {
        parents.entry(ResourceId(member)).or_default().insert(ResourceId(group));
    }
    Ok(parents)
}

/// What is above groups: their ancestors, and the confirmed handles of all of them. A statement a level, by lists of ids: as one
/// recursion, SQLite with statistics builds a Bloom filter over all memberships of the connection first.
async fn above(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, groups: BTreeSet<ResourceId>) -> Result<Above> {
    let mut above = Above::default();
    let mut seen = groups.clone();
    let mut level = groups;
    // Ends by itself: no group is looked at twice.
    while !level.is_empty() {
        let parents = parents(conn, tenant, connection, &level).await?;
        level = parents.values().flatten().filter(|parent| !seen.contains(*parent)).cloned().collect();
        seen.extend(level.iter().cloned());
        above.parents.extend(parents);
    }
    if seen.is_empty() {
        return Ok(above);
    }
    let handles: Vec<(String, String)> = sqlx::query_as(concat!(
        "SELECT group_id, handle FROM handles WHERE tenant = $1 AND connection = $2 AND confirmed = TRUE AND ",
        any_of!("group_id", "$3"),
        // Of several handles of one group, the first by name stands in chains.
        " ORDER BY handle DESC"
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(text_list(seen.iter().map(ResourceId::as_str)))
    .fetch_all(conn)
    .await?;
    above.handles = handles.into_iter().map(|(group, handle)| (ResourceId(group), handle)).collect();
    Ok(above)
}

/// How groups would differ from what they are.
#[derive(Clone, Copy, Default)]
pub(super) struct WhatIf<'a> {
    /// Groups that everybody asked about would also be in directly.
    pub(super) plus: &'a [ResourceId],
    /// Groups that they would not be in directly.
    pub(super) minus: &'a [ResourceId],
    /// A group that would not exist.
    pub(super) gone: Option<&'a ResourceId>,
}

/// The handle memberships that users have, or would have.
pub(super) async fn memberships_if(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    users: &[ResourceId],
    what_if: WhatIf<'_>,
) -> Result<BTreeMap<ResourceId, Vec<GroupMembership>>> {
    let mut present = parents(conn, tenant, connection, users).await?;
    let mut direct = BTreeMap::new();
    for user in users {
        let mut groups = present.remove(user).unwrap_or_default();
        groups.extend(what_if.plus.iter().cloned());
        groups.retain(|group| !what_if.minus.contains(group) && what_if.gone != Some(group));
        direct.insert(user.clone(), groups);
    }
    let mut above = above(conn, tenant, connection, direct.values().flatten().cloned().collect()).await?;
    if let Some(gone) = what_if.gone {
        above.remove(gone);
    }
    Ok(direct.into_iter().map(|(user, groups)| (user, above.memberships(&groups))).collect())
}

/// Whether the group of `m` is itself in a group, as a number.
macro_rules! is_nested {
    () => {
        "CASE WHEN EXISTS (SELECT 1 FROM members p WHERE p.tenant = m.tenant AND p.connection = m.connection AND p.member_id = m.group_id)
         THEN 1 ELSE 0 END"
    };
}
/// The living groups `g` of the memberships `m`.
macro_rules! living_groups {
    () => {
        concat!(" FROM members m", joined!("resources", "g", "g.tenant = m.tenant AND g.connection = m.connection AND g.id = m.group_id"))
    };
}

/// The living groups that users are directly in.
pub(super) const DIRECT_GROUPS: &str = concat!(
    "SELECT m.member_id, g.id, g.label, ",
    is_nested!(),
    living_groups!(),
    " WHERE g.kind = 'group' AND m.tenant = $1 AND m.connection = $2 AND ",
    any_of!("m.member_id", "$3"),
    " ORDER BY g.id"
);

/// The groups of users, if one statement sees them all: `None` when one of them is in a group itself.
pub(super) async fn direct_groups_of(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    users: &[ResourceId],
) -> Result<Option<BTreeMap<ResourceId, Vec<UserGroup>>>> {
    let rows: Vec<(String, String, Option<String>, i32)> = sqlx::query_as(DIRECT_GROUPS)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(text_list(users.iter().map(ResourceId::as_str)))
        .fetch_all(conn)
        .await?;
    let mut groups_of: BTreeMap<ResourceId, Vec<UserGroup>> = users.iter().map(|user| (user.clone(), Vec::new())).collect();
    for (user, id, label, nested) in rows {
        if nested != 0 {
            return Ok(None);
        }
        groups_of.entry(ResourceId(user)).or_default().push(direct_group(id, label));
    }
    Ok(Some(groups_of))
}

fn direct_group(id: String, label: Option<String>) -> UserGroup {
    UserGroup { id: ResourceId(id), display: label.unwrap_or_default(), direct: true }
}

/// Users with the living groups that each is directly in: id, label, and whether the group is in a group.
pub(super) const USERS: &str = concat!(
    "SELECT ",
    resource_columns!(),
    ", (SELECT ",
    json_rows!("g.id", "g.label", is_nested!()),
    living_groups!(),
    " WHERE g.kind = 'group' AND m.tenant = r.tenant AND m.connection = r.connection AND m.member_id = r.id) AS in_groups
     FROM resources r WHERE r.tenant = $1 AND r.connection = $2 AND r.kind = 'user' AND ",
    any_of!("r.id", "$3")
);

/// Users with their groups; without them when one of them is in a group itself, so that there are more than one statement sees.
pub(super) async fn users(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    ids: &[ResourceId],
) -> Result<HashMap<ResourceId, UserAndGroups>> {
    let rows = sqlx::query(USERS)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(text_list(ids.iter().map(ResourceId::as_str)))
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| user_and_groups(row).map(|found| (found.0.id.clone(), found))).collect()
}

fn user_and_groups(row: &Row) -> Result<UserAndGroups> {
    let in_groups: Option<&str> = row.try_get("in_groups")?;
    let direct: Vec<(String, Option<String>, u8)> = in_groups.map_or(Ok(Vec::new()), |rows| json(rows, "a list of groups"))?;
    let user = resource(row)?;
    if direct.iter().any(|(_, _, nested)| *nested != 0) {
        return Ok((user, None));
    }
    let mut groups: Vec<UserGroup> = direct.into_iter().map(|(id, label, _)| direct_group(id, label)).collect();
    groups.sort_by(|one, other| one.id.cmp(&other.id));
    Ok((user, Some(groups)))
}

/// The living groups of users, by id; `TooMany` where they have more than `limit` together.
pub(super) async fn groups_of(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    users: &[ResourceId],
    limit: usize,
) -> Result<BTreeMap<ResourceId, Vec<UserGroup>>> {
    let direct = parents(conn, tenant, connection, users).await?;
    if direct.is_empty() {
        return Ok(users.iter().map(|user| (user.clone(), Vec::new())).collect());
    }
    let above = above(conn, tenant, connection, direct.values().flatten().cloned().collect()).await?;
    let mut left = limit;
    let mut all: BTreeMap<&ResourceId, BTreeSet<ResourceId>> = BTreeMap::new();
    for (user, groups) in &direct {
        let groups = above.groups(groups);
        left = left.checked_sub(groups.len()).ok_or(StoreError::TooMany)?;
        all.insert(user, groups);
    }
    let ids: BTreeSet<&str> = all.values().flatten().map(ResourceId::as_str).collect();
    let labels: Vec<(String, Option<String>)> = sqlx::query_as(concat!(
        "SELECT id, label FROM resources WHERE tenant = $1 AND connection = $2 AND kind = 'group' AND ",
        any_of!("id", "$3")
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(text_list(ids))
    .fetch_all(conn)
    .await?;
    let labels: BTreeMap<String, Option<String>> = labels.into_iter().collect();
    let mut groups_of: BTreeMap<ResourceId, Vec<UserGroup>> = users.iter().map(|user| (user.clone(), Vec::new())).collect();
    for (user, groups) in &all {
        let is_direct = |group: &ResourceId| direct.get(*user).is_some_and(|direct| direct.contains(group));
        let living = groups.iter().filter_map(|group| {
            let label = labels.get(group.as_str())?;
            Some(UserGroup { id: group.clone(), display: label.clone().unwrap_or_default(), direct: is_direct(group) })
        });
        groups_of.insert((*user).clone(), living.collect());
    }
    Ok(groups_of)
}

/// The distinct users below groups, as the rows have them: also below a group that is deleted. Users are rows of the recursion
/// like groups, so that both databases stop as soon as the limit is reached.
pub(super) const USERS_BELOW: &str = concat!(
    "WITH RECURSIVE below(id, is_user) AS (
         SELECT item, FALSE FROM ",
    items_of!("$3"),
    " AS start
         UNION
         SELECT m.member_id, m.member_kind = 'user' FROM below JOIN members m ON m.group_id = below.id
         WHERE m.tenant = $1 AND m.connection = $2 AND NOT below.is_user
     )
     SELECT id FROM below WHERE is_user LIMIT +$4"
);

/// The distinct users below groups; `None` when more than `limit`.
pub(super) async fn users_below<'g>(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    groups: impl IntoIterator<Item = &'g ResourceId>,
    limit: usize,
) -> Result<Option<Vec<ResourceId>>> {
    let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut users: Vec<String> = sqlx::query_scalar(USERS_BELOW)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(text_list(groups.into_iter().map(ResourceId::as_str)))
        .bind(more)
        .fetch_all(conn)
        .await?;
    users.sort();
    Ok((users.len() <= limit).then(|| users.into_iter().map(ResourceId).collect()))
}

/// Refuses to put `child` into `group` when the nesting would be circular or too deep.
pub(super) async fn check_nesting(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    group: &ResourceId,
    child: &ResourceId,
) -> Result<()> {
    let refused = || StoreError::Nesting(child.0.clone());
    let (above, ancestors) = height(conn, tenant, connection, group, Direction::Up).await?;
    let (below, _) = height(conn, tenant, connection, child, Direction::Down).await?;
    if ancestors.contains(child) || above + below > GROUP_DEPTH_LIMIT { Err(refused()) } else { Ok(()) }
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

/// Groups inside groups.
pub(super) const NESTED: &str = concat!(
    "SELECT DISTINCT member_id FROM members WHERE tenant = $1 AND connection = $2 AND member_kind = 'group' AND ",
    any_of!("group_id", "$3")
);

/// The longest chain of groups from `start` (which counts) in a direction, at most one more than the limit, and all groups on such chains.
async fn height(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    start: &ResourceId,
    direction: Direction,
) -> Result<(usize, BTreeSet<ResourceId>)> {
    let mut seen = BTreeSet::new();
    let mut level = BTreeSet::from([start.clone()]);
    let mut levels = 0;
    while !level.is_empty() && levels <= GROUP_DEPTH_LIMIT {
        levels += 1;
        seen.extend(level.iter().cloned());
        // A group is looked at on every level that it is on: the longest chain counts.
        level = match direction {
            Direction::Up => parents(conn, tenant, connection, &level).await?.into_values().flatten().collect(),
            Direction::Down => {
                let nested: Vec<String> = sqlx::query_scalar(NESTED)
                    .bind(tenant.as_str())
                    .bind(connection.as_str())
                    .bind(text_list(level.iter().map(ResourceId::as_str)))
                    .fetch_all(&mut *conn)
                    .await?;
                nested.into_iter().map(ResourceId).collect()
            }
        };
    }
    Ok((levels, seen))
}

/// Puts members into a group: those that exist. Returns those that were not in it, with their kinds.
pub(super) async fn add_members(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    group: &ResourceId,
    members: &[ResourceId],
) -> Result<Vec<(ResourceId, ResourceKind)>> {
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let added: Vec<(String, String)> = sqlx::query_as(concat!(
        "INSERT INTO members (tenant, connection, group_id, member_id, member_kind)
         SELECT tenant, connection, $3, id, kind FROM resources WHERE tenant = $1 AND connection = $2 AND ",
        any_of!("id", "$4"),
        " ON CONFLICT (tenant, connection, group_id, member_id) DO NOTHING RETURNING member_id, member_kind"
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(group.as_str())
    .bind(text_list(members.iter().map(ResourceId::as_str)))
    .fetch_all(conn)
    .await?;
    with_kinds(added)
}

/// Takes members out of a group. Returns those that were in it, with their kinds.
pub(super) async fn remove_members(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    group: &ResourceId,
    members: &[ResourceId],
) -> Result<Vec<(ResourceId, ResourceKind)>> {
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let removed: Vec<(String, String)> = sqlx::query_as(concat!(
        "DELETE FROM members WHERE tenant = $1 AND connection = $2 AND group_id = $3 AND ",
        any_of!("member_id", "$4"),
        " RETURNING member_id, member_kind"
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(group.as_str())
    .bind(text_list(members.iter().map(ResourceId::as_str)))
    .fetch_all(conn)
    .await?;
    with_kinds(removed)
}

fn with_kinds(rows: Vec<(String, String)>) -> Result<Vec<(ResourceId, ResourceKind)>> {
    let mut members = rows.into_iter().map(|(id, kind)| Ok((ResourceId(id), kind_of(&kind)?))).collect::<Result<Vec<_>>>()?;
    members.sort();
    Ok(members)
}

/// Takes a resource out of every group that it is in, and counts that as a change of each.
pub(super) async fn leave_all(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    member: &ResourceId,
    at: Instant,
) -> Result<()> {
    let groups: Vec<String> =
        sqlx::query_scalar("DELETE FROM members WHERE tenant = $1 AND connection = $2 AND member_id = $3 RETURNING group_id")
            .bind(tenant.as_str())
            .bind(connection.as_str())
            .bind(member.as_str())
            .fetch_all(&mut *conn)
            .await?;
    if groups.is_empty() {
        return Ok(());
    }
    sqlx::query(concat!(
        "UPDATE resources SET version = version + 1, modified = $4 WHERE tenant = $1 AND connection = $2 AND ",
        among!(
            "id",
            "SELECT id FROM resources WHERE tenant = $1 AND connection = $2 AND ",
            any_of!("id", "$3"),
            " ORDER BY id",
            for_update!()
        )
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(text_list(groups.iter().map(String::as_str)))
    .bind(at.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// The SELECT of [`binding`], with a condition to follow.
macro_rules! bindings {
    ($condition:literal) => {
        concat!(
            "SELECT h.handle, h.connection, h.group_id, h.external_id, h.confirmed, h.bound, r.label FROM handles h
             JOIN resources r ON r.tenant = h.tenant AND r.connection = h.connection AND r.id = h.group_id WHERE h.tenant = $1",
            $condition
        )
    };
}

/// What a handle was bound to first.
pub(super) async fn handle(conn: &mut Conn, tenant: &TenantId, handle: &Handle) -> Result<Option<HandleBinding>> {
    let row = sqlx::query(bindings!(" AND h.handle = $2 AND h.beside IS NULL"))
        .bind(tenant.as_str())
        .bind(handle.as_str())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(binding).transpose()
}

/// All bindings, by handle.
pub(super) async fn handles(conn: &mut Conn, tenant: &TenantId) -> Result<Vec<HandleBinding>> {
    let rows =
        sqlx::query(bindings!(" ORDER BY h.handle, h.beside IS NOT NULL, h.connection")).bind(tenant.as_str()).fetch_all(conn).await?;
    rows.iter().map(binding).collect()
}

fn binding(row: &Row) -> Result<HandleBinding> {
    Ok(HandleBinding {
        handle: Handle(row.try_get("handle")?),
        connection: ConnectionId(row.try_get("connection")?),
        group: ResourceId(row.try_get("group_id")?),
        external_id: row.try_get("external_id")?,
        display_name: row.try_get::<Option<String>, _>("label")?.unwrap_or_default(),
        confirmed: row.try_get("confirmed")?,
        bound: Instant(row.try_get("bound")?),
    })
}

/// Living groups without a handle, by id. Through the connections, so that the key of `resources` leads to them.
pub(super) async fn unbound(
    conn: &mut Conn,
    tenant: &TenantId,
    only: Option<&ResourceId>,
    after: Option<&ResourceId>,
    limit: i64,
) -> Result<Vec<(ConnectionId, StoredResource)>> {
    let statement = if only.is_some() { UNBOUND_GROUP } else { UNBOUND_GROUPS };
    let mut query = sqlx::query(statement).bind(tenant.as_str()).bind(after.map_or("", ResourceId::as_str)).bind(limit);
    if let Some(only) = only {
        query = query.bind(only.as_str());
    }
    let rows = query.fetch_all(conn).await?;
    rows.iter().map(|row| Ok((ConnectionId(row.try_get("connection")?), resource(row)?))).collect()
}

/// The SELECT of [`unbound`], with a condition on the id.
macro_rules! unbound {
    ($condition:literal) => {
        concat!(
            "SELECT r.connection, ",
            resource_columns!(),
            " FROM connections c JOIN resources r ON r.tenant = c.tenant AND r.connection = c.connection AND r.kind = 'group'
             WHERE c.tenant = $1 AND r.id > $2",
            $condition,
            " AND NOT EXISTS (
                 SELECT 1 FROM handles h WHERE h.tenant = r.tenant AND h.connection = r.connection AND h.group_id = r.id",
            apart!(),
            ") ORDER BY r.id LIMIT +$3"
        )
    };
}

/// Groups without a handle after an id.
pub(super) const UNBOUND_GROUPS: &str = unbound!("");
/// One group, if it has no handle.
pub(super) const UNBOUND_GROUP: &str = unbound!(" AND r.id = $4");

/// Binds a handle that is free, or beside the group of a connection of which one takes over from the other.
const BIND: [&str; 2] = [
    "INSERT INTO handles (tenant, handle, connection, group_id, external_id, confirmed, bound) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT DO NOTHING",
    "INSERT INTO handles (tenant, handle, connection, group_id, external_id, confirmed, bound, beside)
     SELECT $1, $2, $3, $4, $5, $6, $7, h.connection FROM handles h
     WHERE h.tenant = $1 AND h.handle = $2 AND h.beside IS NULL AND EXISTS (
         SELECT 1 FROM predecessors p WHERE p.tenant = $1
         AND (p.connection = $3 AND p.predecessor = h.connection OR p.connection = h.connection AND p.predecessor = $3)
     )
     ON CONFLICT DO NOTHING",
];

/// Binds a handle; `Conflict{handle}` when another group has it. Returns whether anything changed.
pub(super) async fn bind_handle(conn: &mut Conn, tenant: &TenantId, binding: &HandleBinding) -> Result<bool> {
    for statement in BIND {
        let bound = sqlx::query(statement)
            .bind(tenant.as_str())
            .bind(binding.handle.as_str())
            .bind(binding.connection.as_str())
            .bind(binding.group.as_str())
            .bind(&binding.external_id)
            .bind(binding.confirmed)
            .bind(binding.bound.0)
            .execute(&mut *conn)
            .await?;
        if bound.rows_affected() == 1 {
            return Ok(true);
        }
    }
    let is_same = |standing: &HandleBinding| standing.connection == binding.connection && standing.group == binding.group;
    if bindings_of(conn, tenant, &binding.handle).await?.iter().any(is_same) {
        Ok(false)
    } else {
        Err(StoreError::Conflict { what: "handle" })
    }
}

/// All that a handle is bound to; what it was bound to first comes first.
async fn bindings_of(conn: &mut Conn, tenant: &TenantId, handle: &Handle) -> Result<Vec<HandleBinding>> {
    let rows = sqlx::query(bindings!(" AND h.handle = $2 ORDER BY h.beside IS NOT NULL, h.connection"))
        .bind(tenant.as_str())
        .bind(handle.as_str())
        .fetch_all(conn)
        .await?;
    rows.iter().map(binding).collect()
}

/// Confirms the bindings of a handle and marks the people below its groups. There is more than one where a connection takes over from another.
pub(super) async fn confirm_handle(conn: &mut Conn, scope: &Scope, name: &Handle, actor: &Actor, at: Instant) -> Result<HandleBinding> {
    for standing in bindings_of(conn, &scope.tenant, name).await? {
        super::lock_structure(conn, &scope.tenant, &standing.connection, true).await?;
    }
    // Read again: a group may have been deleted while this waited for the locks.
    let standing = bindings_of(conn, &scope.tenant, name).await?;
    let first = standing.first().cloned().ok_or(StoreError::Missing("handle"))?;
    let unconfirmed: Vec<&HandleBinding> = standing.iter().filter(|standing| !standing.confirmed).collect();
    if unconfirmed.is_empty() {
        return Ok(first);
    }
    sqlx::query("UPDATE handles SET confirmed = TRUE WHERE tenant = $1 AND handle = $2")
        .bind(scope.tenant.as_str())
        .bind(name.as_str())
        .execute(&mut *conn)
        .await?;
    for standing in unconfirmed {
        mark_below(conn, &scope.tenant, &standing.connection, &standing.group, Cause::HandleChange, &BTreeSet::new(), at).await?;
        let data = serde_json::json!({"handle": name, "connection": standing.connection, "group": standing.group});
        super::tenancy::record(conn, scope, actor, at, "handle.confirmed", data).await?;
    }
    Ok(HandleBinding { confirmed: true, ..first })
}

/// Marks everybody below a group but `except`: at once, or in the background when they are many. Returns those marked at once.
pub(super) async fn mark_below(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    group: &ResourceId,
    cause: Cause,
    except: &BTreeSet<ResourceId>,
    at: Instant,
) -> Result<Vec<ResourceId>> {
    match users_below(conn, tenant, connection, [group], INLINE_PEOPLE_LIMIT).await? {
        Some(users) => super::work::mark(conn, tenant, connection, users.iter().filter(|user| !except.contains(*user)), cause, at).await,
        None => {
            super::work::fan_out(conn, tenant, super::work::Below::Group(connection, group), cause, at).await?;
            Ok(Vec::new())
        }
    }
}

/// Lets what stood beside the first group of handles stand for them where that is no more.
pub(super) const PROMOTE: &str = concat!(
    "UPDATE handles SET beside = NULL WHERE tenant = $1 AND ",
    any_of!("handle", "$2"),
    " AND beside IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM handles f WHERE f.tenant = $1 AND f.handle = handles.handle AND f.beside IS NULL)
         AND connection = (SELECT min(s.connection) FROM handles s WHERE s.tenant = $1 AND s.handle = handles.handle AND s.beside IS NOT NULL)"
);

/// [`PROMOTE`], of handles that were freed.
pub(super) async fn promote(conn: &mut Conn, tenant: &TenantId, freed: &[String]) -> Result<()> {
    if !freed.is_empty() {
        sqlx::query(PROMOTE).bind(tenant.as_str()).bind(text_list(freed.iter().map(String::as_str))).execute(conn).await?;
    }
    Ok(())
}

/// Frees the handles of a group that is deleted.
pub(super) async fn release_handles(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, group: &ResourceId) -> Result<()> {
    let freed: Vec<String> =
        sqlx::query_scalar("DELETE FROM handles WHERE tenant = $1 AND connection = $2 AND group_id = $3 RETURNING handle")
            .bind(tenant.as_str())
            .bind(connection.as_str())
            .bind(group.as_str())
            .fetch_all(&mut *conn)
            .await?;
    promote(conn, tenant, &freed).await
}

/// Frees what the groups of a connection have beside those of another one.
pub(super) async fn release_shared(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<()> {
    sqlx::query("DELETE FROM handles WHERE tenant = $1 AND connection = $2 AND beside IS NOT NULL")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// Clears away the member rows of a group.
pub(super) async fn remove_all_members(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, group: &ResourceId) -> Result<()> {
    sqlx::query("DELETE FROM members WHERE tenant = $1 AND connection = $2 AND group_id = $3")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(group.as_str())
        .execute(conn)
        .await?;
    Ok(())
}
