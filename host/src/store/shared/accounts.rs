//! Accounts as they are written: state, name, grants and the link to the resource that feeds them.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_scim::filter::fold;
use sqlx::QueryBuilder;

use super::rows::json_text;
use super::{Conn, Db, text_list};
use crate::model::{AccountId, ConnectionId, Grant, Instant, Note, ResourceId, RoleId, TenantId};
use crate::store::{AccountWrite, Result, StoreError};

/// Rows of one INSERT: far below both databases' limits on parameters.
const INSERT_BATCH: usize = 500;

/// Writes accounts; names are unique in the tenant. `fresh` is the account of a user that is created: new, or revived. Returns
/// the names that nobody has any more.
pub(super) async fn write(
    conn: &mut Conn,
    tenant: &TenantId,
    writes: &[&AccountWrite],
    fresh: Option<&AccountId>,
    at: Instant,
) -> Result<Vec<String>> {
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let before = lock(conn, tenant, writes.iter().map(|write| write.id.as_str())).await?;
    if let Some((state, _)) = fresh.and_then(|fresh| before.get(fresh))
        && state != "removed"
    {
        // Somebody else has revived it.
        return Err(StoreError::Conflict { what: "account" });
    }
    // Several may pass a name on to one another: first all let go, then all take.
    if writes.len() > 1 {
        sqlx::query(concat!("UPDATE accounts SET name_key = NULL WHERE tenant = $1 AND ", any_of!("account", "$2")))
            .bind(tenant.as_str())
            .bind(text_list(writes.iter().map(|write| write.id.as_str())))
            .execute(&mut *conn)
            .await?;
    }
    for write in writes {
        put(conn, tenant, write, at).await?;
    }
    for write in writes {
        check_collision(conn, tenant, write).await?;
    }
    let taken: BTreeSet<&str> = writes.iter().filter_map(|write| write.name_key.as_deref()).collect();
    let freed = before.into_values().filter_map(|(_, name_key)| name_key);
    Ok(freed.filter(|name| !taken.contains(name.as_str())).collect())
}

/// Locks accounts. Returns the state and name of each that exists.
async fn lock<'a>(
    conn: &mut Conn,
    tenant: &TenantId,
    ids: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<AccountId, (String, Option<String>)>> {
    let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(concat!(
        "SELECT account, state, name_key FROM accounts WHERE tenant = $1 AND ",
        any_of!("account", "$2"),
        " ORDER BY account",
        for_update!()
    ))
    .bind(tenant.as_str())
    .bind(text_list(ids))
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(id, state, name_key)| (AccountId(id), (state, name_key))).collect())
}

async fn put(conn: &mut Conn, tenant: &TenantId, write: &AccountWrite, at: Instant) -> Result<()> {
    let note = write.note.as_ref().map(|note| json_text(note, "a note")).transpose()?;
    sqlx::query(
        "INSERT INTO accounts (tenant, account, state, user_name, user_name_folded, name_key, wanted_key, profile, provenance, note,
                               created, modified)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
         ON CONFLICT (tenant, account) DO UPDATE SET
             state = excluded.state, user_name = excluded.user_name, user_name_folded = excluded.user_name_folded,
             name_key = excluded.name_key, wanted_key = excluded.wanted_key, profile = excluded.profile,
             provenance = excluded.provenance, note = excluded.note, modified = excluded.modified",
    )
    .bind(tenant.as_str())
    .bind(write.id.as_str())
    .bind(write.state.word())
    .bind(&write.user_name)
    .bind(write.user_name.as_deref().map(fold))
    .bind(&write.name_key)
    .bind(&write.wanted_key)
    .bind(json_text(&write.profile, "a profile")?)
    .bind(json_text(&write.provenance, "a provenance")?)
    .bind(note)
    .bind(at.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// An account that is held because another has its name: the other must still have it, or nobody would ever tell this one that
/// the name is free. The holder is locked, so that letting go waits until this one can be seen waiting.
async fn check_collision(conn: &mut Conn, tenant: &TenantId, write: &AccountWrite) -> Result<()> {
    let is_collision = write.note.as_ref().is_some_and(|note| note.code == Note::COLLISION);
    let Some(wanted) = write.wanted_key.as_deref().filter(|_| is_collision) else { return Ok(()) };
    let holder = sqlx::query(concat!("SELECT 1 FROM accounts WHERE tenant = $1 AND name_key = $2", for_update!()))
        .bind(tenant.as_str())
        .bind(wanted)
        .fetch_optional(conn)
        .await?;
    if holder.is_some() { Ok(()) } else { Err(StoreError::Conflict { what: "account_name" }) }
}

/// Puts new and changed grants and drops those that are no longer held.
pub(super) async fn write_grants(
    conn: &mut Conn,
    tenant: &TenantId,
    account: &AccountId,
    (put, drop): (&[Grant], &[RoleId]),
) -> Result<()> {
    if !drop.is_empty() {
        sqlx::query(concat!("DELETE FROM grants WHERE tenant = $1 AND account = $2 AND ", any_of!("role", "$3")))
            .bind(tenant.as_str())
            .bind(account.as_str())
            .bind(text_list(drop.iter().map(RoleId::as_str)))
            .execute(&mut *conn)
            .await?;
    }
    // All rows in one statement: on SQLite each statement is a trip to the thread that owns the file.
    for chunk in put.chunks(INSERT_BATCH) {
        let mut rows = Vec::with_capacity(chunk.len());
        for grant in chunk {
            rows.push((grant, json_text(&grant.reasons, "a grant's reasons")?));
        }
        let mut insert = QueryBuilder::<Db>::new("INSERT INTO grants (tenant, account, role, state, reasons, since, deadline, revision) ");
        insert.push_values(rows, |mut row, (grant, reasons)| {
            row.push_bind(tenant.as_str())
                .push_bind(account.as_str())
                .push_bind(grant.role.as_str())
                .push_bind(grant.state.word())
                .push_bind(reasons)
                .push_bind(grant.since.0)
                .push_bind(grant.deadline.map(|at| at.0))
                .push_bind(grant.revision.as_str());
        });
        insert.push(
            " ON CONFLICT (tenant, account, role) DO UPDATE SET
                 state = excluded.state, reasons = excluded.reasons, since = excluded.since, deadline = excluded.deadline,
                 revision = excluded.revision",
        );
        insert.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// Joins a new user to its account and begins its evaluation.
pub(super) async fn link(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    user: &ResourceId,
    account: &AccountId,
) -> Result<()> {
    sqlx::query("INSERT INTO links (tenant, connection, resource, account) VALUES ($1, $2, $3, $4)")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(user.as_str())
        .bind(account.as_str())
        .execute(&mut *conn)
        .await?;
    sqlx::query("INSERT INTO evaluations (tenant, connection, resource, input_version, attempts) VALUES ($1, $2, $3, 0, 0)")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(user.as_str())
        .execute(conn)
        .await?;
    Ok(())
}
