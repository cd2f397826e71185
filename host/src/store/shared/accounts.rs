//! Accounts as they are written: state, name, grants and the link to the resource that feeds them.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_scim::filter::fold;

use super::batch::Batch;
use super::rows::json_text;
use super::{Conn, text_list};
use crate::model::{AccountId, AccountState, Grant, Instant, Note, RoleId, TenantId, Waiting};
use crate::store::{AccountWrite, Result, StoreError};

/// Rows of one INSERT: far below both databases' limits on parameters.
const INSERT_BATCH: usize = 500;

/// Writes accounts; names are unique in the tenant. Returns the names that nobody has any more.
pub(super) async fn write(
    conn: &mut Conn,
    batch: &mut Batch,
    tenant: &TenantId,
    writes: &[&AccountWrite],
    at: Instant,
) -> Result<Vec<String>> {
    if writes.is_empty() {
        return Ok(Vec::new());
    }
    let before = lock(conn, tenant, writes.iter().map(|write| write.id.as_str())).await?;
    // Several may pass a name on to one another: first all let go, then all take.
    if writes.len() > 1 {
        sqlx::query(concat!("UPDATE accounts SET name_key = NULL WHERE tenant = $1 AND ", any_of!("account", "$2")))
            .bind(tenant.as_str())
            .bind(text_list(writes.iter().map(|write| write.id.as_str())))
            .execute(&mut *conn)
            .await?;
    }
    for write in writes {
        put(conn, batch, tenant, write, at).await?;
    }
    // Who has which name is looked at when all have theirs.
    if writes.len() > 1 || writes.iter().any(|write| waits_for(write).is_some()) {
        batch.flush(conn).await?;
    }
    for write in writes {
        check_collision(conn, tenant, write).await?;
    }
    let taken: BTreeSet<&str> = writes.iter().filter_map(|write| write.name_key.as_deref()).collect();
    let freed = before.into_values().flatten();
    Ok(freed.filter(|name| !taken.contains(name.as_str())).collect())
}

/// Writes the account of a user that is created: a new one, or a removed one that comes back and so has no name to let go of.
/// If somebody else has revived it, it has a link, and the new one is refused.
pub(super) async fn write_of_created(
    conn: &mut Conn,
    batch: &mut Batch,
    tenant: &TenantId,
    write: &AccountWrite,
    at: Instant,
) -> Result<()> {
    check_collision(conn, tenant, write).await?;
    put(conn, batch, tenant, write, at).await
}

/// Locks accounts. Returns the name of each that exists.
async fn lock<'a>(
    conn: &mut Conn,
    tenant: &TenantId,
    ids: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<AccountId, Option<String>>> {
    let rows: Vec<(String, Option<String>)> = sqlx::query_as(concat!(
        "SELECT account, name_key FROM accounts WHERE tenant = $1 AND ",
        any_of!("account", "$2"),
        " ORDER BY account",
        for_update!()
    ))
    .bind(tenant.as_str())
    .bind(text_list(ids))
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(id, name_key)| (AccountId(id), name_key)).collect())
}

async fn put(conn: &mut Conn, batch: &mut Batch, tenant: &TenantId, write: &AccountWrite, at: Instant) -> Result<()> {
    let (profile, provenance) = (json_text(&write.profile, "a profile")?, json_text(&write.provenance, "a provenance")?);
    let note = write.note.as_ref().map(|note| json_text(note, "a note")).transpose()?;
    let sql = batch.next(conn, 1).await?;
    sql.push(
        "INSERT INTO accounts (tenant, account, state, user_name, user_name_folded, name_key, wanted_key, profile, provenance, note,
                               created, modified, used) VALUES (",
    );
    let mut values = sql.separated(", ");
    values
        .push_bind(tenant.as_str())
        .push_bind(write.id.as_str())
        .push_bind(write.state.word())
        .push_bind(&write.user_name)
        .push_bind(write.user_name.as_deref().map(fold))
        .push_bind(&write.name_key)
        .push_bind(&write.wanted_key)
        .push_bind(profile)
        .push_bind(provenance)
        .push_bind(note)
        .push_bind(at.0)
        .push_bind(at.0)
        .push_bind((write.state == AccountState::Active).then_some(at.0));
    sql.push(
        ") ON CONFLICT (tenant, account) DO UPDATE SET
             state = excluded.state, user_name = excluded.user_name, user_name_folded = excluded.user_name_folded,
             name_key = excluded.name_key, wanted_key = excluded.wanted_key, profile = excluded.profile,
             provenance = excluded.provenance, note = excluded.note, modified = excluded.modified, erased = NULL,
             used = COALESCE(accounts.used, excluded.used)",
    );
    Ok(())
}

/// The name that a held account waits for.
fn waits_for(write: &AccountWrite) -> Option<&str> {
    let is_collision = write.note.as_ref().is_some_and(|note| note.code == Note::COLLISION);
    write.wanted_key.as_deref().filter(|_| is_collision)
}

/// Who has names.
pub(super) const NAME_HOLDERS: &str = concat!("SELECT name_key, account FROM accounts WHERE tenant = $1 AND ", any_of!("name_key", "$2"));

/// [`NAME_HOLDERS`], by name.
pub(super) async fn name_holders<'n>(
    conn: &mut Conn,
    tenant: &TenantId,
    names: impl IntoIterator<Item = &'n str>,
) -> Result<BTreeMap<String, AccountId>> {
    let found: Vec<(String, String)> = sqlx::query_as(NAME_HOLDERS).bind(tenant.as_str()).bind(text_list(names)).fetch_all(conn).await?;
    Ok(found.into_iter().map(|(name, account)| (name, AccountId(account))).collect())
}

/// An account that is held because another has its name: the other must still have it, or nobody would ever tell this one that
/// the name is free. The holder is locked, so that letting go waits until this one can be seen waiting.
async fn check_collision(conn: &mut Conn, tenant: &TenantId, write: &AccountWrite) -> Result<()> {
    let Some(wanted) = waits_for(write) else { return Ok(()) };
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
    batch: &mut Batch,
    tenant: &TenantId,
    account: &AccountId,
    (put, drop): (&[Grant], &[RoleId]),
) -> Result<()> {
    if !drop.is_empty() {
        let sql = batch.next(conn, drop.len()).await?;
        sql.push("DELETE FROM grants WHERE tenant = ").push_bind(tenant.as_str());
        sql.push(" AND account = ").push_bind(account.as_str()).push(" AND role IN (");
        let mut roles = sql.separated(", ");
        for role in drop {
            roles.push_bind(role.as_str());
        }
        sql.push(")");
    }
    for chunk in put.chunks(INSERT_BATCH) {
        let mut rows = Vec::with_capacity(chunk.len());
        for grant in chunk {
            rows.push((grant, json_text(&grant.reasons, "a grant's reasons")?));
        }
        let sql = batch.next(conn, rows.len()).await?;
        sql.push("INSERT INTO grants (tenant, account, role, state, reasons, since, deadline, revision, waits_for) ");
        sql.push_values(rows, |mut row, (grant, reasons)| {
            row.push_bind(tenant.as_str())
                .push_bind(account.as_str())
                .push_bind(grant.role.as_str())
                .push_bind(grant.state.word())
                .push_bind(reasons)
                .push_bind(grant.since.0)
                .push_bind(grant.deadline.map(|at| at.0))
                .push_bind(grant.revision.as_str())
                .push_bind(grant.waits_for.map(Waiting::word));
        });
        sql.push(
            " ON CONFLICT (tenant, account, role) DO UPDATE SET
                 state = excluded.state, reasons = excluded.reasons, since = excluded.since, deadline = excluded.deadline,
                 revision = excluded.revision, waits_for = excluded.waits_for",
        );
    }
    Ok(())
}
