//! Whom a simulation asks about, page by page: everybody, or a part of the people by whichever index leads there; and about how many
//! something has changed since.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_scim::filter::fold;

use super::{Conn, text_list};
use crate::model::{ConnectionId, Instant, Part, PersonRef, ResourceId, TenantId};
use crate::store::{Place, Result};

/// The next people of a tenant, in order.
pub(super) const NEXT_PEOPLE: &str = "SELECT connection, resource FROM evaluations WHERE tenant = $1 AND (connection, resource) > ($2, $3)
     ORDER BY connection, resource LIMIT +$4";
/// The next people of a connection.
pub(super) const NEXT_OF_CONNECTION: &str =
    "SELECT resource FROM evaluations WHERE tenant = $1 AND connection = $2 AND resource > $3 ORDER BY resource LIMIT +$4";
/// The groups that handles stand for.
pub(super) const GROUPS: &str =
    concat!("SELECT connection, group_id FROM handles WHERE tenant = $1 AND confirmed = TRUE AND ", any_of!("handle", "$2"));
/// The next people in groups, or in groups that are in them.
pub(super) const NEXT_BELOW: &str = concat!(
    "WITH RECURSIVE below(id) AS (
         SELECT item FROM ",
    items_of!("$3"),
    " AS start
         UNION
         SELECT m.member_id FROM below JOIN members m ON m.group_id = below.id
         WHERE m.tenant = $1 AND m.connection = $2 AND m.member_kind = 'group'
     )
     SELECT DISTINCT m.member_id FROM below JOIN members m ON m.group_id = below.id
     WHERE m.tenant = $1 AND m.connection = $2 AND m.member_id > $4 AND m.member_kind = 'user'
     ORDER BY m.member_id LIMIT +$5"
);
/// People by account, by login name and by SCIM id.
pub(super) const NAMED: &str = concat!(
    "SELECT l.account, l.connection, l.resource FROM links l WHERE l.tenant = $1 AND ",
    any_of!("l.account", "$2"),
    " UNION
     SELECT a.user_name_folded, l.connection, l.resource FROM accounts a JOIN links l ON l.tenant = a.tenant AND l.account = a.account
     WHERE a.tenant = $1 AND ",
    any_of!("a.user_name_folded", "$3"),
    " UNION
     SELECT l.resource, l.connection, l.resource FROM connections c JOIN links l ON l.tenant = c.tenant AND l.connection = c.connection
     WHERE c.tenant = $1 AND ",
    any_of!("l.resource", "$2")
);
/// As many people as matter about whom something was changed after an instant.
pub(super) const MOVED: &str =
    "SELECT count(*) FROM (SELECT 1 AS one FROM evaluations WHERE tenant = $1 AND moved_at > $2 LIMIT +$3) AS moved";

/// The next people, and where the walk is after them.
pub(super) async fn next(
    conn: &mut Conn,
    tenant: &TenantId,
    part: Option<&Part>,
    place: &Place,
    limit: i64,
) -> Result<(Vec<Place>, Option<Place>)> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let Some(part) = part.filter(|part| !part.is_whole()) else {
        let asked = sqlx::query_as(NEXT_PEOPLE).bind(tenant.as_str()).bind(place.0.as_str()).bind(place.1.as_str()).bind(limit);
        let people: Vec<(String, String)> = asked.fetch_all(conn).await?;
        let people: Vec<Place> = people.into_iter().map(|(connection, user)| (ConnectionId(connection), ResourceId(user))).collect();
        let next = people.last().filter(|_| people.len() == size).cloned();
        return Ok((people, next));
    };
    if !part.people.is_empty() {
        let chosen = part.people.iter().filter(|person| part.has_connection(&person.connection));
        let all: BTreeSet<Place> = chosen.map(|person| (person.connection.clone(), person.user.clone())).collect();
        let people: Vec<Place> = all.into_iter().filter(|person| person > place).take(size).collect();
        let next = people.last().filter(|_| people.len() == size).cloned();
        return Ok((people, next));
    }
    let ways = ways(conn, tenant, part).await?;
    // One connection at a time: the walk is in their order.
    let Some((connection, groups)) = ways.range(&place.0..).next() else { return Ok((Vec::new(), None)) };
    let after = if *connection == place.0 { place.1.as_str() } else { "" };
    let users: Vec<String> = if part.groups.is_empty() {
        let asked = sqlx::query_scalar(NEXT_OF_CONNECTION).bind(tenant.as_str()).bind(connection.as_str());
        asked.bind(after).bind(limit).fetch_all(conn).await?
    } else {
        let asked = sqlx::query_scalar(NEXT_BELOW).bind(tenant.as_str()).bind(connection.as_str());
        asked.bind(text_list(groups.iter().map(String::as_str))).bind(after).bind(limit).fetch_all(conn).await?
    };
    let people: Vec<Place> = users.into_iter().map(|user| (connection.clone(), ResourceId(user))).collect();
    let behind = || ways.keys().find(|other| *other > connection).map(|next| (next.clone(), ResourceId(String::new())));
    let next = people.last().filter(|_| people.len() == size).cloned().or_else(behind);
    Ok((people, next))
}

/// The connections that a part leads to, and the groups in each, where it names groups.
async fn ways(conn: &mut Conn, tenant: &TenantId, part: &Part) -> Result<BTreeMap<ConnectionId, BTreeSet<String>>> {
    if part.groups.is_empty() {
        return Ok(part.connections.iter().map(|connection| (connection.clone(), BTreeSet::new())).collect());
    }
    let groups: Vec<(String, String)> =
        sqlx::query_as(GROUPS).bind(tenant.as_str()).bind(text_list(part.groups.iter().map(String::as_str))).fetch_all(conn).await?;
    let mut ways = BTreeMap::<ConnectionId, BTreeSet<String>>::new();
    for (connection, group) in groups {
        let connection = ConnectionId(connection);
        if part.has_connection(&connection) {
            ways.entry(connection).or_default().insert(group);
        }
    }
    Ok(ways)
}

/// Whom names stand for.
pub(super) async fn named(conn: &mut Conn, tenant: &TenantId, names: &[String]) -> Result<Vec<(String, PersonRef)>> {
    let folded: BTreeSet<String> = names.iter().map(|name| fold(name)).collect();
    let found: Vec<(String, String, String)> = sqlx::query_as(NAMED)
        .bind(tenant.as_str())
        .bind(text_list(names.iter().map(String::as_str)))
        .bind(text_list(folded.iter().map(String::as_str)))
        .fetch_all(conn)
        .await?;
    let person = |connection: String, user: String| PersonRef { connection: ConnectionId(connection), user: ResourceId(user) };
    Ok(found.into_iter().map(|(said, connection, user)| (said, person(connection, user))).collect())
}

/// About how many people something was changed after an instant.
pub(super) async fn count_moved(conn: &mut Conn, tenant: &TenantId, since: Instant, most: i64) -> Result<i64> {
    Ok(sqlx::query_scalar(MOVED).bind(tenant.as_str()).bind(since.0).bind(most).fetch_one(conn).await?)
}
