//! What plugins logged. A line is sealed under the tenant's key: what a plugin says of a person is the tenant's.

use sqlx::{QueryBuilder, Row as _};

use super::history::tenant_key;
use super::records::{asked, narrow, of_the_living};
use super::rows::Row;
use super::{Conn, Db, Scope, lock_log};
use crate::crypto::SecretKey;
use crate::model::{ConnectionId, Instant, LEVELS, LogLine, ResourceId, TenantId};
use crate::store::keys::{line_purpose, unsealable};
use crate::store::records::{Asked, Line, LineQuery};
use crate::store::{Result, StoreError};

/// Rows of one INSERT: far below both databases' limits on parameters.
const INSERT_BATCH: usize = 500;
/// Lines beyond what is kept that go with one batch: as many as a batch can bring, and bounded.
const PRUNED_LIMIT: i64 = 5_000;

/// Keeps lines.
pub(super) async fn keep(conn: &mut Conn, scope: &Scope, new: &[Line], keep: i64) -> Result<()> {
    // Batches of several hosts are committed one after the other: whoever reads on from a position misses none.
    lock_log(conn, &scope.tenant).await?;
    let key = tenant_key(conn, scope).await?;
    let new = of_the_living(conn, &scope.tenant, new, |line| (&line.asked.connection, &line.asked.user)).await?;
    for chunk in new.chunks(INSERT_BATCH) {
        let mut sealed = Vec::with_capacity(chunk.len());
        for &line in chunk {
            let purpose = line_purpose(&scope.tenant, &line.asked.connection, &line.asked.user);
            sealed.push((line, key.seal(&purpose, line.line.message.as_bytes()).map_err(unsealable)?));
        }
        insert(conn, &scope.tenant, sealed).await?;
    }
    prune(conn, &scope.tenant, keep).await
}

async fn insert(conn: &mut Conn, tenant: &TenantId, lines: Vec<(&Line, Vec<u8>)>) -> Result<()> {
    let mut insert =
        QueryBuilder::<Db>::new("INSERT INTO plugin_lines (tenant, at, level, plugin, digest, hook, connection, resource, message) ");
    insert.push_values(lines, |mut row, (line, message)| {
        let Asked { plugin, digest, hook, connection, user } = &line.asked;
        row.push_bind(tenant.as_str())
            .push_bind(line.at.0)
            .push_bind(rank(&line.line.level))
            .push_bind(plugin)
            .push_bind(digest)
            .push_bind(hook)
            .push_bind(connection.as_str())
            .push_bind(user.as_str())
            .push_bind(message);
    });
    insert.build().persistent(false).execute(conn).await?;
    Ok(())
}

fn rank(level: &str) -> i64 {
    let rank = LEVELS.iter().position(|known| *known == level).unwrap_or(1);
    i64::try_from(rank).unwrap_or(1)
}

/// The oldest lines beyond `keep` go.
async fn prune(conn: &mut Conn, tenant: &TenantId, keep: i64) -> Result<()> {
    let newest_to_go: Option<i64> =
        sqlx::query_scalar("SELECT position FROM plugin_lines WHERE tenant = $1 ORDER BY position DESC LIMIT 1 OFFSET $2")
            .bind(tenant.as_str())
            .bind(keep)
            .fetch_optional(&mut *conn)
            .await?;
    let Some(newest_to_go) = newest_to_go else { return Ok(()) };
    sqlx::query(concat!(
        "DELETE FROM plugin_lines WHERE tenant = $1 AND ",
        among!("position", "SELECT position FROM plugin_lines WHERE tenant = $1 AND position <= $2 ORDER BY position LIMIT +$3")
    ))
    .bind(tenant.as_str())
    .bind(newest_to_go)
    .bind(PRUNED_LIMIT)
    .execute(conn)
    .await?;
    Ok(())
}

/// Lines, ascending.
pub(super) async fn list(conn: &mut Conn, scope: &Scope, query: &LineQuery, limit: i64) -> Result<Vec<(i64, Line)>> {
    let mut sql = QueryBuilder::<Db>::new("SELECT position, at, level, plugin, digest, hook, connection, resource, message ");
    sql.push("FROM plugin_lines WHERE tenant = ").push_bind(scope.tenant.as_str());
    if query.level > 0 {
        sql.push(" AND level >= ").push_bind(query.level);
    }
    let words = [
        ("hook", query.hook.as_deref()),
        ("connection", query.connection.as_ref().map(ConnectionId::as_str)),
        ("resource", query.user.as_ref().map(ResourceId::as_str)),
    ];
    narrow(&mut sql, words, query.plugin.as_deref());
    if let Some(since) = query.since {
        sql.push(" AND at >= ").push_bind(since.0);
    }
    if let Some(until) = query.until {
        sql.push(" AND at < ").push_bind(until.0);
    }
    match query.after {
        Some(after) => sql.push(" AND position > ").push_bind(after).push(" ORDER BY position LIMIT +").push_bind(limit),
        None => sql.push(" ORDER BY position DESC LIMIT +").push_bind(limit),
    };
    let mut rows = sql.build().persistent(false).fetch_all(&mut *conn).await?;
    if query.after.is_none() {
        rows.reverse();
    }
    let key = tenant_key(conn, scope).await?;
    rows.iter().map(|row| line(scope, &key, row)).collect()
}

fn line(scope: &Scope, key: &SecretKey, row: &Row) -> Result<(i64, Line)> {
    let level: i64 = row.try_get("level")?;
    let level = usize::try_from(level).ok().and_then(|rank| LEVELS.get(rank)).ok_or_else(|| StoreError::Corrupt("no such level".into()))?;
    let asked = asked(row)?;
    let sealed: &[u8] = row.try_get("message")?;
    let plain = key.open(&line_purpose(&scope.tenant, &asked.connection, &asked.user), sealed).map_err(unsealable)?;
    let message = String::from_utf8(plain.to_vec()).map_err(|_| StoreError::Corrupt("a line is no text".into()))?;
    let line = Line { at: Instant(row.try_get("at")?), asked, line: LogLine { level: (*level).to_owned(), message } };
    Ok((row.try_get("position")?, line))
}

/// Removes what is too old.
pub(super) async fn forget(conn: &mut Conn, tenant: &TenantId, before: Instant, limit: i64) -> Result<u64> {
    let gone = sqlx::query(concat!(
        "DELETE FROM plugin_lines WHERE tenant = $1 AND ",
        among!("position", "SELECT position FROM plugin_lines WHERE tenant = $1 AND at < $2 ORDER BY at LIMIT +$3")
    ))
    .bind(tenant.as_str())
    .bind(before.0)
    .bind(limit)
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
