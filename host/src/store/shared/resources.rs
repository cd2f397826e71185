//! Resources: rows written and read, and filters as SQL.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_scim::ResourceKind;
use rolecall_scim::filter::{Filter, fold};
use rolecall_scim::resource::{Document, Extras, view};
use serde_json::{Value, json};
use sqlx::QueryBuilder;

use super::batch::Batch;
use super::groups;
use super::rows::{self, json_text, kind_word};
use super::{Conn, Db};
use crate::model::{ConnectionId, Instant, ResourceId, TenantId};
use crate::store::condition::{Compiled, Condition, compile, reads_rows};
use crate::store::{ListQuery, Page, Result, SCAN_LIMIT, StoreError, StoredMember, StoredResource, UserGroup};

/// Resources that a scan reads at once: bounds what is in memory.
const SCAN_BATCH: i64 = 500;

/// A resource by id.
pub(super) async fn read(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    kind: ResourceKind,
    id: &ResourceId,
) -> Result<Option<StoredResource>> {
    let row = sqlx::query(concat!(
        "SELECT ",
        resource_columns!(),
        " FROM resources r WHERE r.tenant = $1 AND r.connection = $2 AND r.id = $3 AND r.kind = $4"
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(id.as_str())
    .bind(kind_word(kind))
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(rows::resource).transpose()
}

/// What is kept of a document in columns.
struct Columns<'d> {
    external_id: Option<&'d str>,
    user_name: Option<String>,
    display_name: Option<String>,
    label: Option<&'d str>,
    active: Option<bool>,
    document: String,
}

fn columns(kind: ResourceKind, document: &Document) -> Result<Columns<'_>> {
    let user_name = document.text("userName").filter(|_| kind == ResourceKind::User);
    Ok(Columns {
        external_id: document.text("externalId"),
        user_name: user_name.map(fold),
        display_name: document.text("displayName").map(fold),
        label: document.text("displayName").or(user_name),
        active: document.get("active").and_then(Value::as_bool),
        document: json_text(document, "a document")?,
    })
}

/// The folded e-mail addresses of a document.
fn emails(document: &Document) -> BTreeSet<String> {
    let values = document.get("emails").and_then(Value::as_array).into_iter().flatten();
    values.filter_map(|email| email.get("value")?.as_str()).map(fold).collect()
}

/// Inserts a resource at version 1 with what waits; `Taken{userName}` when another user has the name.
pub(super) async fn insert(
    conn: &mut Conn,
    batch: &mut Batch,
    tenant: &TenantId,
    connection: &ConnectionId,
    (kind, id, document): (ResourceKind, &ResourceId, &Document),
    at: Instant,
) -> Result<()> {
    let columns = columns(kind, document)?;
    let sql = batch.next(conn, 1).await?;
    sql.push(
        "INSERT INTO resources (tenant, connection, id, kind, external_id, user_name, display_name, label, active, document,
                                created, modified, version) VALUES (",
    );
    let mut values = sql.separated(", ");
    values
        .push_bind(tenant.as_str())
        .push_bind(connection.as_str())
        .push_bind(id.as_str())
        .push_bind(kind_word(kind))
        .push_bind(columns.external_id)
        .push_bind(columns.user_name)
        .push_bind(columns.display_name)
        .push_bind(columns.label)
        .push_bind(columns.active)
        .push_bind(columns.document)
        .push_bind(at.0)
        .push_bind(at.0)
        .push_unseparated(", 1)");
    insert_emails(conn, batch, tenant, connection, id, &emails(document)).await
}

async fn insert_emails(
    conn: &mut Conn,
    batch: &mut Batch,
    tenant: &TenantId,
    connection: &ConnectionId,
    id: &ResourceId,
    emails: &BTreeSet<String>,
) -> Result<()> {
    if emails.is_empty() {
        return Ok(());
    }
    let sql = batch.next(conn, emails.len()).await?;
    sql.push("INSERT INTO emails (tenant, connection, value, resource) ").push_values(emails, |mut row, email| {
        row.push_bind(tenant.as_str()).push_bind(connection.as_str()).push_bind(email).push_bind(id.as_str());
    });
    Ok(())
}

/// Replaces a document. With `expected`, only if the version still is that. Returns the new version.
pub(super) async fn update(
    conn: &mut Conn,
    batch: &mut Batch,
    tenant: &TenantId,
    connection: &ConnectionId,
    (kind, id, document): (ResourceKind, &ResourceId, &Document),
    expected: Option<i64>,
    at: Instant,
) -> Result<i64> {
    let columns = columns(kind, document)?;
    let version: Option<i64> = sqlx::query_scalar(
        "UPDATE resources SET external_id = $5, user_name = $6, display_name = $7, label = $8, active = $9, document = $10,
                              modified = $11, version = version + 1
         WHERE tenant = $1 AND connection = $2 AND id = $3 AND kind = $4 AND version = COALESCE($12, version)
         RETURNING version",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(id.as_str())
    .bind(kind_word(kind))
    .bind(columns.external_id)
    .bind(columns.user_name)
    .bind(columns.display_name)
    .bind(columns.label)
    .bind(columns.active)
    .bind(columns.document)
    .bind(at.0)
    .bind(expected)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(version) = version else {
        let exists = read(conn, tenant, connection, kind, id).await?.is_some();
        return Err(if exists { StoreError::Conflict { what: "resource" } } else { StoreError::Missing(kind_word(kind)) });
    };
    if kind == ResourceKind::User {
        replace_emails(conn, batch, tenant, connection, id, &emails(document)).await?;
    }
    Ok(version)
}

async fn replace_emails(
    conn: &mut Conn,
    batch: &mut Batch,
    tenant: &TenantId,
    connection: &ConnectionId,
    id: &ResourceId,
    emails: &BTreeSet<String>,
) -> Result<()> {
    let present: Vec<String> = sqlx::query_scalar("SELECT value FROM emails WHERE tenant = $1 AND connection = $2 AND resource = $3")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(id.as_str())
        .fetch_all(&mut *conn)
        .await?;
    if present.iter().collect::<BTreeSet<_>>() == emails.iter().collect() {
        return Ok(());
    }
    sqlx::query("DELETE FROM emails WHERE tenant = $1 AND connection = $2 AND resource = $3")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(id.as_str())
        .execute(&mut *conn)
        .await?;
    insert_emails(conn, batch, tenant, connection, id, emails).await
}

/// Locks a group and returns its version.
pub(super) async fn lock_group(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, id: &ResourceId) -> Result<i64> {
    let version: Option<i64> = sqlx::query_scalar(concat!(
        "SELECT version FROM resources WHERE tenant = $1 AND connection = $2 AND id = $3 AND kind = 'group'",
        for_update!()
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    version.ok_or(StoreError::Missing("group"))
}

/// Counts a change of a group's members as a change of the group, with what waits. The group must be locked.
pub(super) async fn touch(
    conn: &mut Conn,
    batch: &mut Batch,
    tenant: &TenantId,
    connection: &ConnectionId,
    id: &ResourceId,
    at: Instant,
) -> Result<()> {
    let sql = batch.next(conn, 1).await?;
    sql.push("UPDATE resources SET version = version + 1, modified = ").push_bind(at.0);
    sql.push(" WHERE tenant = ").push_bind(tenant.as_str());
    sql.push(" AND connection = ").push_bind(connection.as_str());
    sql.push(" AND id = ").push_bind(id.as_str());
    Ok(())
}

/// Deletes a resource and remembers its id. Its memberships must have ended.
pub(super) async fn delete(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    kind: ResourceKind,
    id: &ResourceId,
    at: Instant,
) -> Result<()> {
    let remembered = sqlx::query(
        "INSERT INTO deleted_resources (tenant, connection, id, kind, external_id, account, deleted)
         SELECT r.tenant, r.connection, r.id, r.kind, r.external_id, l.account, $5 FROM resources r
         LEFT JOIN links l ON l.tenant = r.tenant AND l.connection = r.connection AND l.resource = r.id
         WHERE r.tenant = $1 AND r.connection = $2 AND r.id = $3 AND r.kind = $4",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(id.as_str())
    .bind(kind_word(kind))
    .bind(at.0)
    .execute(&mut *conn)
    .await?;
    if remembered.rows_affected() == 0 {
        return Err(StoreError::Missing(kind_word(kind)));
    }
    // E-mail addresses, the link and the evaluation go with it.
    sqlx::query("DELETE FROM resources WHERE tenant = $1 AND connection = $2 AND id = $3")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(id.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// Where a listing looks: everything that a condition is put after.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) connection: &'a ConnectionId,
    pub(super) kind: ResourceKind,
}

/// `start … WHERE` the resources of a place that fulfil the condition.
pub(super) fn select(start: &str, place: Place<'_>, condition: &Condition) -> QueryBuilder<Db> {
    let mut query = QueryBuilder::new(start);
    query.push(" FROM resources r WHERE r.tenant = ").push_bind(place.tenant.as_str());
    query.push(" AND r.connection = ").push_bind(place.connection.as_str());
    // As a literal: the indexes of a kind are partial.
    query.push(" AND r.kind = '").push(kind_word(place.kind)).push("' AND ");
    push_condition(&mut query, place, condition);
    query
}

fn push_condition(query: &mut QueryBuilder<Db>, place: Place<'_>, condition: &Condition) {
    match condition {
        Condition::Always => drop(query.push("TRUE")),
        Condition::Never => drop(query.push("FALSE")),
        Condition::And(a, b) => push_both(query, place, a, " AND ", b),
        Condition::Or(a, b) => push_both(query, place, a, " OR ", b),
        Condition::Text(column, value) => drop(query.push("r.").push(column.name()).push(" = ").push_bind(value)),
        Condition::Present(column) => drop(query.push("r.").push(column.name()).push(" <> ''")),
        Condition::Active(active) => drop(query.push("r.active = ").push_bind(*active)),
        Condition::Between(column, from, until) => {
            query.push("(r.").push(column.name()).push(" >= ").push_bind(*from);
            query.push(" AND r.").push(column.name()).push(" < ").push_bind(*until).push(")");
        }
        Condition::Email(value) => push_ids(query, place, "SELECT x.resource FROM emails x", "x.value", value),
        Condition::HasMember(member) => push_ids(query, place, "SELECT x.group_id FROM members x", "x.member_id", member),
        Condition::InGroup(group) => push_below(query, place, group),
    }
}

fn push_both(query: &mut QueryBuilder<Db>, place: Place<'_>, a: &Condition, word: &str, b: &Condition) {
    query.push("(");
    push_condition(query, place, a);
    query.push(word);
    push_condition(query, place, b);
    query.push(")");
}

/// The resources whose ids a look into another table gives.
fn push_ids(query: &mut QueryBuilder<Db>, place: Place<'_>, start: &str, column: &str, value: &str) {
    query.push("r.id IN (").push(start).push(" WHERE x.tenant = ").push_bind(place.tenant.as_str());
    query.push(" AND x.connection = ").push_bind(place.connection.as_str());
    query.push(" AND ").push(column).push(" = ").push_bind(value).push(")");
}

/// The users below a living group.
fn push_below(query: &mut QueryBuilder<Db>, place: Place<'_>, group: &str) {
    query.push("r.id IN (WITH RECURSIVE below(id, is_user) AS (SELECT g.id, FALSE FROM resources g WHERE g.tenant = ");
    query.push_bind(place.tenant.as_str()).push(" AND g.connection = ").push_bind(place.connection.as_str());
    query.push(" AND g.kind = 'group' AND g.id = ").push_bind(group);
    query.push(" UNION SELECT m.member_id, m.member_kind = 'user' FROM below JOIN members m ON m.group_id = below.id WHERE m.tenant = ");
    query.push_bind(place.tenant.as_str()).push(" AND m.connection = ").push_bind(place.connection.as_str());
    query.push(" AND NOT below.is_user) SELECT id FROM below WHERE is_user)");
}

const COLUMNS: &str = concat!("SELECT ", resource_columns!());

/// Resources that match, by id.
pub(super) async fn list(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    query: &ListQuery<'_>,
) -> Result<Page<StoredResource>> {
    let place = Place { tenant, connection, kind: query.kind };
    let compiled = query.filter.map(|filter| compile(query.schemas, query.kind, filter));
    match (query.filter, compiled) {
        (Some(filter), Some(Compiled { condition, exact: false })) => scan(conn, place, query, filter, &condition).await,
        (_, compiled) => page(conn, place, query, &compiled.map_or(Condition::Always, |compiled| compiled.condition)).await,
    }
}

/// A page of what the condition alone decides.
async fn page(conn: &mut Conn, place: Place<'_>, query: &ListQuery<'_>, condition: &Condition) -> Result<Page<StoredResource>> {
    let total: i64 = select("SELECT count(*)", place, condition).build_query_scalar().fetch_one(&mut *conn).await?;
    if query.limit <= 0 || query.offset >= total {
        return Ok(Page { items: Vec::new(), total });
    }
    let mut rows = select(COLUMNS, place, condition);
    rows.push(" ORDER BY r.id LIMIT ").push_bind(query.limit).push(" OFFSET ").push_bind(query.offset.max(0));
    let items = rows.build().fetch_all(conn).await?.iter().map(rows::resource).collect::<Result<_>>()?;
    Ok(Page { items, total })
}

/// A page of what has to be looked at: the candidates that fulfil the necessary condition, one bounded batch after the other.
async fn scan(
    conn: &mut Conn,
    place: Place<'_>,
    query: &ListQuery<'_>,
    filter: &Filter,
    condition: &Condition,
) -> Result<Page<StoredResource>> {
    let candidates: i64 = select("SELECT count(*)", place, condition).build_query_scalar().fetch_one(&mut *conn).await?;
    let mut budget = SCAN_LIMIT.checked_sub(usize::try_from(candidates).unwrap_or(usize::MAX)).ok_or(StoreError::TooMany)?;
    let with_rows = reads_rows(filter);
    let mut page = Page { items: Vec::new(), total: 0 };
    let mut after = String::new();
    loop {
        let mut rows = select(COLUMNS, place, condition);
        rows.push(" AND r.id > ").push_bind(&after).push(" ORDER BY r.id LIMIT ").push_bind(SCAN_BATCH);
        let batch: Vec<StoredResource> = rows.build().fetch_all(&mut *conn).await?.iter().map(rows::resource).collect::<Result<_>>()?;
        let Some(last) = batch.last() else { return Ok(page) };
        after.clone_from(&last.id.0);
        let mut beside = if with_rows { rows_beside(conn, place, &batch, &mut budget).await? } else { BTreeMap::new() };
        for resource in batch {
            let rows = beside.remove(&resource.id);
            if !filter.matches(query.schemas, query.kind, &seen(&resource, rows)) {
                continue;
            }
            if page.total >= query.offset && page.total - query.offset.max(0) < query.limit {
                page.items.push(resource);
            }
            page.total += 1;
        }
    }
}

/// The resource as a client sees it, but for its location.
fn seen(resource: &StoredResource, rows: Option<Vec<Value>>) -> serde_json::Map<String, Value> {
    let extras = Extras {
        id: resource.id.as_str(),
        created: resource.created.to_string(),
        last_modified: resource.modified.to_string(),
        location: String::new(),
        version: format!("W/\"{}\"", resource.version),
        rows,
    };
    view(resource.kind, &resource.document, extras)
}

/// The members of groups, or the groups of users, as clients see them. They count against what a scan may look at.
async fn rows_beside(
    conn: &mut Conn,
    place: Place<'_>,
    batch: &[StoredResource],
    budget: &mut usize,
) -> Result<BTreeMap<ResourceId, Vec<Value>>> {
    let ids: Vec<ResourceId> = batch.iter().map(|resource| resource.id.clone()).collect();
    let mut beside = BTreeMap::new();
    match place.kind {
        ResourceKind::Group => {
            for id in ids {
                // One more than may be looked at tells that there are too many.
                let limit = i64::try_from(*budget).unwrap_or(i64::MAX).saturating_add(1);
                let members = groups::members(conn, place.tenant, place.connection, std::slice::from_ref(&id), limit).await?;
                let members = members.into_values().flatten().map(|member| member_value(&member)).collect::<Vec<_>>();
                *budget = budget.checked_sub(members.len()).ok_or(StoreError::TooMany)?;
                beside.insert(id, members);
            }
        }
        ResourceKind::User => {
            for (user, groups) in groups::groups_of(conn, place.tenant, place.connection, &ids).await? {
                *budget = budget.checked_sub(groups.len()).ok_or(StoreError::TooMany)?;
                beside.insert(user, groups.iter().map(group_value).collect());
            }
        }
    }
    Ok(beside)
}

fn member_value(member: &StoredMember) -> Value {
    json!({"value": member.id, "type": member.kind.name(), "display": member.display})
}

fn group_value(group: &UserGroup) -> Value {
    json!({"value": group.id, "display": group.display, "type": if group.direct { "direct" } else { "indirect" }})
}
