//! What connections did: counts of client quirks, refused credentials, and the provisioning log. Written in batches, beside the changes
//! themselves; the log is read in `log.rs`.

use std::collections::BTreeSet;

use sqlx::QueryBuilder;

use super::rows::{json_text, kind_word};
use super::{Conn, Db, health, lock_log, text_list};
use crate::model::{ConnectionId, Instant, RefusedCredential, ResourceId, TenantId};
use crate::store::{Counted, Dialect, Gathered, LogEntry, Result};

/// Rows of one INSERT: far below both databases' limits on parameters.
const INSERT_BATCH: usize = 500;
/// Entries beyond what is kept that go with one batch, of each connection in it: as many as a batch can bring, and bounded.
const PRUNED_LIMIT: i64 = 2_000;

/// A batch of one tenant.
pub(super) async fn record(conn: &mut Conn, tenant: &TenantId, gathered: &Gathered, keep: i64) -> Result<()> {
    let Gathered { dialects, entries, counted, refusals } = gathered;
    // Batches of several hosts are committed one after the other: whoever reads on from a position misses none.
    lock_log(conn, tenant).await?;
    let named = dialects.iter().map(|(id, _)| id).chain(entries.iter().map(|(id, _)| id)).chain(counted.iter().map(|of| &of.connection));
    let named = named.chain(refusals.iter().map(|(id, _)| id)).map(ConnectionId::as_str);
    let named: BTreeSet<&str> = named.collect();
    let known: Vec<String> =
        sqlx::query_scalar(concat!("SELECT connection FROM connections WHERE tenant = $1 AND ", any_of!("connection", "$2")))
            .bind(tenant.as_str())
            .bind(text_list(named))
            .fetch_all(&mut *conn)
            .await?;
    let known: BTreeSet<String> = known.into_iter().collect();
    for (connection, dialect) in dialects.iter().filter(|(id, _)| known.contains(id.as_str())) {
        add_dialect(conn, tenant, connection, dialect).await?;
    }
    let counted: Vec<&Counted> = counted.iter().filter(|of| known.contains(of.connection.as_str())).collect();
    health::add_traffic(conn, tenant, &counted).await?;
    for (connection, refused) in refusals.iter().filter(|(id, _)| known.contains(id.as_str())) {
        add_refusal(conn, tenant, connection, refused).await?;
    }
    let entries: Vec<_> = entries.iter().filter(|(id, _)| known.contains(id.as_str())).collect();
    for chunk in entries.chunks(INSERT_BATCH) {
        insert(conn, tenant, chunk).await?;
    }
    let grown: BTreeSet<&ConnectionId> = entries.iter().map(|(id, _)| id).collect();
    for connection in grown {
        prune(conn, tenant, connection, keep).await?;
    }
    Ok(())
}

async fn add_dialect(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, dialect: &Dialect) -> Result<()> {
    sqlx::query(
        "INSERT INTO connection_dialects (tenant, connection, quirk, seen, handled, last_seen, example) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (tenant, connection, quirk) DO UPDATE SET
             seen = connection_dialects.seen + excluded.seen, handled = connection_dialects.handled + excluded.handled,
             last_seen = excluded.last_seen, example = excluded.example",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(&dialect.quirk)
    .bind(dialect.seen)
    .bind(dialect.handled)
    .bind(dialect.last_seen.0)
    .bind(&dialect.example)
    .execute(conn)
    .await?;
    Ok(())
}

/// There is a row for each kind of credential and check that fails: few.
async fn add_refusal(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, refused: &RefusedCredential) -> Result<()> {
    sqlx::query(
        "INSERT INTO credential_refusals (tenant, connection, failed, trace, seen, first_seen, last_seen) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (tenant, connection, failed) DO UPDATE SET
             trace = excluded.trace, seen = credential_refusals.seen + excluded.seen, last_seen = excluded.last_seen",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(refused.trace.key())
    .bind(json_text(&refused.trace, "the checks of a credential")?)
    .bind(refused.seen)
    .bind(refused.first_seen.0)
    .bind(refused.last_seen.0)
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert(conn: &mut Conn, tenant: &TenantId, entries: &[&(ConnectionId, LogEntry)]) -> Result<()> {
    let details = entries.iter().map(|(_, entry)| json_text(&entry.detail, "an entry of the log")).collect::<Result<Vec<_>>>()?;
    let mut insert = QueryBuilder::<Db>::new(
        "INSERT INTO provisioning_log (tenant, connection, at, request_id, method, kind, resource, status, scim_type, reason, applied,
                                       no_op, refused, code, detail) ",
    );
    insert.push_values(entries.iter().zip(details), |mut row, ((connection, entry), detail)| {
        row.push_bind(tenant.as_str())
            .push_bind(connection.as_str())
            .push_bind(entry.at.0)
            .push_bind(&entry.request_id)
            .push_bind(&entry.method)
            .push_bind(entry.kind.map(kind_word))
            .push_bind(entry.resource.as_ref().map(ResourceId::as_str))
            .push_bind(i64::from(entry.status))
            .push_bind(&entry.scim_type)
            .push_bind(&entry.reason)
            .push_bind(entry.applied)
            .push_bind(entry.no_op)
            .push_bind(entry.refused)
            .push_bind(entry.code.word())
            .push_bind(detail);
    });
    // The number of rows varies: a statement kept for each would push out those that requests make.
    insert.build().persistent(false).execute(conn).await?;
    Ok(())
}

/// The oldest entries beyond `keep` go.
async fn prune(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, keep: i64) -> Result<()> {
    let newest_to_go: Option<i64> = sqlx::query_scalar(
        "SELECT position FROM provisioning_log WHERE tenant = $1 AND connection = $2 ORDER BY position DESC LIMIT 1 OFFSET $3",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(keep)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(newest_to_go) = newest_to_go else { return Ok(()) };
    sqlx::query(concat!(
        "DELETE FROM provisioning_log WHERE tenant = $1 AND ",
        among!(
            "position",
            "SELECT position FROM provisioning_log WHERE tenant = $1 AND connection = $2 AND position <= $3 ORDER BY position LIMIT +$4"
        )
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(newest_to_go)
    .bind(PRUNED_LIMIT)
    .execute(conn)
    .await?;
    Ok(())
}

/// The counts of quirks.
pub(super) async fn dialects(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<Dialect>> {
    let rows: Vec<(String, i64, i64, i64, String)> = sqlx::query_as(
        "SELECT quirk, seen, handled, last_seen, example FROM connection_dialects WHERE tenant = $1 AND connection = $2 ORDER BY quirk",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .fetch_all(conn)
    .await?;
    let dialect = |(quirk, seen, handled, last_seen, example)| Dialect { quirk, seen, handled, last_seen: Instant(last_seen), example };
    Ok(rows.into_iter().map(dialect).collect())
}

/// Removes what is too old.
pub(super) async fn forget(conn: &mut Conn, tenant: &TenantId, before: Instant, limit: i64) -> Result<u64> {
    let gone = sqlx::query(concat!(
        "DELETE FROM provisioning_log WHERE tenant = $1 AND ",
        among!("position", "SELECT position FROM provisioning_log WHERE tenant = $1 AND at < $2 ORDER BY at LIMIT +$3")
    ))
    .bind(tenant.as_str())
    .bind(before.0)
    .bind(limit)
    .execute(&mut *conn)
    .await?;
    sqlx::query("DELETE FROM credential_refusals WHERE tenant = $1 AND last_seen < $2")
        .bind(tenant.as_str())
        .bind(before.0)
        .execute(conn)
        .await?;
    Ok(gone.rows_affected())
}
