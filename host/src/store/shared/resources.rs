//! Resources: rows written and read.

use std::collections::BTreeSet;

use rolecall_scim::ResourceKind;
use rolecall_scim::filter::fold;
use rolecall_scim::resource::Document;
use serde_json::Value;

use super::batch::Batch;
use super::rows::{self, json_text, kind_word};
use super::{Conn, lock_new_group};
use crate::model::{ConnectionId, Instant, ResourceId, TenantId};
use crate::store::{Result, StoreError, StoredResource};

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
        active: document.get("active").map(|_| document.is_active()),
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

/// Whether there is a group of an external id ($3) and folded name ($4).
pub(super) const SAME_GROUP: &str =
    "SELECT 1 FROM resources WHERE tenant = $1 AND connection = $2 AND external_id = $3 AND kind = 'group' AND display_name = $4 LIMIT 1";

/// Refuses a group that a client creates again, because it has not heard of the first time or has forgotten it: the older one would keep its
/// members, and they their roles. Its own id of the group and the name say so together; each alone may be in use twice.
pub(super) async fn refuse_same_group(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, document: &Document) -> Result<()> {
    let Columns { external_id: Some(external_id), display_name: Some(display_name), .. } = columns(ResourceKind::Group, document)? else {
        return Ok(());
    };
    // A client that waited too long for its first answer asks again while the first is still at work.
    lock_new_group(conn, tenant, connection, external_id).await?;
    let same = sqlx::query(SAME_GROUP)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(external_id)
        .bind(display_name)
        .fetch_optional(conn)
        .await?;
    if same.is_some() { Err(StoreError::Taken { attribute: "externalId" }) } else { Ok(()) }
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
