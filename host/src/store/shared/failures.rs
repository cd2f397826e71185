//! Plugin calls that failed. What may hold personal values is sealed under the tenant's key.

use std::collections::BTreeSet;

use sqlx::{QueryBuilder, Row as _};

use super::history::tenant_key;
use super::records::{asked, narrow, of_the_living};
use super::rows::{self, Row};
use super::{Conn, Db, Scope};
use crate::crypto::SecretKey;
use crate::model::{AccountId, CallInput, ConnectionId, FailureKind, Instant, ResourceId, RevisionHash, TenantId};
use crate::store::keys::{failure_purpose, unsealable};
use crate::store::records::{Asked, Failure, FailureBounds, FailureQuery, NewFailure};
use crate::store::{Result, StoreError};

/// Failures beyond what is kept that go with one batch: as many as a batch can bring, and bounded.
const PRUNED_LIMIT: i64 = 2_000;

const COLUMNS: &str = "position, id, first_at, last_at, until_at, times, kind, code, hook, plugin, digest, revision, connection, resource, \
                       account, detail";

/// Keeps failures, or counts them.
pub(super) async fn keep(conn: &mut Conn, scope: &Scope, new: &[NewFailure], bounds: FailureBounds) -> Result<()> {
    let key = tenant_key(conn, scope).await?;
    let new = of_the_living(conn, &scope.tenant, new, |failure| (&failure.asked.connection, &failure.asked.user)).await?;
    for failure in &new {
        put(conn, scope, &key, failure).await?;
    }
    let plugins: BTreeSet<&str> = new.iter().map(|failure| failure.asked.digest.as_str()).collect();
    for digest in plugins {
        sqlx::query(concat!(
            "DELETE FROM plugin_failures WHERE tenant = $1 AND ",
            among!(
                "position",
                "SELECT position FROM plugin_failures
                 WHERE tenant = $1 AND digest = $2 ORDER BY last_at DESC, position DESC LIMIT +$3 OFFSET $4"
            )
        ))
        .bind(scope.tenant.as_str())
        .bind(digest)
        .bind(PRUNED_LIMIT)
        .bind(bounds.of_plugin)
        .execute(&mut *conn)
        .await?;
    }
    sqlx::query(concat!(
        "DELETE FROM plugin_failures WHERE tenant = $1 AND ",
        among!(
            "position",
            "SELECT position FROM plugin_failures
             WHERE tenant = $1 ORDER BY last_at DESC, position DESC LIMIT +$2 OFFSET $3"
        )
    ))
    .bind(scope.tenant.as_str())
    .bind(PRUNED_LIMIT)
    .bind(bounds.of_tenant)
    .execute(conn)
    .await?;
    Ok(())
}

/// The sealed parts are bound to the likeness: a row that is counted again is sealed again, under the id that it has.
async fn put(conn: &mut Conn, scope: &Scope, key: &SecretKey, failure: &NewFailure) -> Result<()> {
    let likeness = failure.likeness();
    let seal = |part: &str, text: String| key.seal(&failure_purpose(&scope.tenant, &likeness, part), text.as_bytes()).map_err(unsealable);
    let detail = seal("detail", rows::json_text(&failure.failing.detail, "a failure")?)?;
    let input = seal("input", rows::json_text(&failure.failing.input, "an input")?)?;
    let Asked { plugin, digest, hook, connection, user } = &failure.asked;
    sqlx::query(
        "INSERT INTO plugin_failures (tenant, id, likeness, first_at, last_at, until_at, times, kind, code, hook, plugin, digest, revision,
                                      connection, resource, account, detail, input)
         VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         ON CONFLICT (tenant, likeness) DO UPDATE SET
             last_at = excluded.last_at, until_at = excluded.until_at, times = plugin_failures.times + excluded.times,
             revision = excluded.revision, account = excluded.account, detail = excluded.detail, input = excluded.input",
    )
    .bind(scope.tenant.as_str())
    .bind(&failure.id)
    .bind(&likeness)
    .bind(failure.at.0)
    .bind(failure.until.0)
    .bind(failure.times)
    .bind(failure.failing.kind.word())
    .bind(&failure.failing.code)
    .bind(hook)
    .bind(plugin)
    .bind(digest)
    .bind(failure.revision.as_str())
    .bind(connection.as_str())
    .bind(user.as_str())
    .bind(failure.account.as_str())
    .bind(detail)
    .bind(input)
    .execute(conn)
    .await?;
    Ok(())
}

/// Failures, the newest first.
pub(super) async fn list(conn: &mut Conn, scope: &Scope, query: &FailureQuery, limit: i64) -> Result<Vec<Failure>> {
    let mut sql = QueryBuilder::<Db>::new("SELECT ");
    sql.push(COLUMNS).push(", likeness FROM plugin_failures WHERE tenant = ").push_bind(scope.tenant.as_str());
    if let Some(before) = query.before {
        sql.push(" AND position < ").push_bind(before);
    }
    let words = [
        ("kind", query.kind.map(FailureKind::word)),
        ("code", query.code.as_deref()),
        ("hook", query.hook.as_deref()),
        ("connection", query.connection.as_ref().map(ConnectionId::as_str)),
        ("resource", query.user.as_ref().map(ResourceId::as_str)),
        ("account", query.account.as_ref().map(AccountId::as_str)),
    ];
    narrow(&mut sql, words, query.plugin.as_deref());
    if let Some(since) = query.since {
        sql.push(" AND last_at >= ").push_bind(since.0);
    }
    if let Some(until) = query.until {
        sql.push(" AND first_at < ").push_bind(until.0);
    }
    sql.push(" ORDER BY position DESC LIMIT +").push_bind(limit);
    let rows = sql.build().persistent(false).fetch_all(&mut *conn).await?;
    let key = tenant_key(conn, scope).await?;
    rows.iter().map(|row| failure(scope, &key, row)).collect()
}

/// A failure with what was asked.
pub(super) async fn read(conn: &mut Conn, scope: &Scope, id: &str) -> Result<Option<(Failure, Result<CallInput, String>)>> {
    let mut sql = QueryBuilder::<Db>::new("SELECT ");
    sql.push(COLUMNS).push(", likeness, input FROM plugin_failures WHERE tenant = ").push_bind(scope.tenant.as_str());
    sql.push(" AND id = ").push_bind(id);
    let Some(row) = sql.build().fetch_optional(&mut *conn).await? else { return Ok(None) };
    let key = tenant_key(conn, scope).await?;
    let input = opened(scope, &key, &row, "input")?;
    Ok(Some((failure(scope, &key, &row)?, rows::json(&input, "an input")?)))
}

fn failure(scope: &Scope, key: &SecretKey, row: &Row) -> Result<Failure> {
    let asked = asked(row)?;
    Ok(Failure {
        position: row.try_get("position")?,
        id: row.try_get("id")?,
        first_at: Instant(row.try_get("first_at")?),
        last_at: Instant(row.try_get("last_at")?),
        until: Instant(row.try_get("until_at")?),
        times: row.try_get("times")?,
        kind: rows::word(row.try_get("kind")?, FailureKind::from_word)?,
        code: row.try_get("code")?,
        asked,
        account: AccountId(row.try_get("account")?),
        revision: RevisionHash(row.try_get("revision")?),
        detail: rows::json(&opened(scope, key, row, "detail")?, "a failure")?,
    })
}

fn opened(scope: &Scope, key: &SecretKey, row: &Row, part: &str) -> Result<String> {
    let likeness: &str = row.try_get("likeness")?;
    let sealed: &[u8] = row.try_get(part)?;
    let plain = key.open(&failure_purpose(&scope.tenant, likeness, part), sealed).map_err(unsealable)?;
    String::from_utf8(plain.to_vec()).map_err(|_| StoreError::Corrupt("a failure is no text".into()))
}

/// Removes those whose time is up.
pub(super) async fn forget(conn: &mut Conn, tenant: &TenantId, now: Instant, limit: i64) -> Result<u64> {
    let gone = sqlx::query(concat!(
        "DELETE FROM plugin_failures WHERE tenant = $1 AND ",
        among!("position", "SELECT position FROM plugin_failures WHERE tenant = $1 AND until_at <= $2 ORDER BY until_at LIMIT +$3")
    ))
    .bind(tenant.as_str())
    .bind(now.0)
    .bind(limit)
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
