//! People who left with their whole connection, until their leavers' process has begun.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_scim::resource::Document;
use sqlx::Row as _;

use super::batch::Batch;
use super::history::{self, Stamp};
use super::{Conn, Scope, lock_revision, rows, steps, text_list};
use crate::model::{AccountId, Actor, ConnectionId, Instant, Passage, RoleId, TenantId};
use crate::store::{Left, Result, StoreError};

/// Between roles: no id of a role has it.
const BETWEEN: &str = "\n";

/// Remembers people whose connection ends, before anything of them goes. Whose name another connection's user waits for has an account still, and
/// is nobody who leaves.
pub(super) const REMEMBER: &str = concat!(
    "INSERT INTO left_with_connection (tenant, account, departed, roles, document)
     SELECT l.tenant, l.account, $4, (SELECT string_agg(g.role, $5) FROM grants g WHERE g.tenant = l.tenant AND g.account = l.account
                                      AND g.state IN ('effective', 'retained')), r.document
     FROM links l",
    joined!("resources", "r", "r.tenant = l.tenant AND r.connection = l.connection AND r.id = l.resource"),
    joined!("accounts", "a", "a.tenant = l.tenant AND a.account = l.account"),
    " WHERE l.tenant = $1 AND l.connection = $2 AND ",
    any_of!("l.account", "$3"),
    " AND NOT EXISTS (SELECT 1 FROM accounts w",
    joined!("links", "o", "o.tenant = w.tenant AND o.account = w.account"),
    " WHERE w.tenant = $1 AND w.wanted_key = a.name_key AND w.state = 'held' AND o.connection <> $2",
    apart!(),
    ") ON CONFLICT (tenant, account) DO UPDATE SET departed = excluded.departed, roles = excluded.roles, document = excluded.document"
);

/// [`REMEMBER`].
pub(super) async fn remember(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    accounts: &[&AccountId],
    at: Instant,
) -> Result<()> {
    if accounts.is_empty() {
        return Ok(());
    }
    sqlx::query(REMEMBER)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(text_list(accounts.iter().map(|account| account.as_str())))
        .bind(at.0)
        .bind(BETWEEN)
        .execute(conn)
        .await?;
    Ok(())
}

/// The tenants that have such people.
pub(super) const TENANTS: &str = "SELECT t.tenant FROM tenants t
     WHERE EXISTS (SELECT 1 FROM left_with_connection l WHERE l.tenant = t.tenant) ORDER BY t.tenant LIMIT +$1";

/// [`TENANTS`].
pub(super) async fn tenants(conn: &mut Conn, limit: i64) -> Result<Vec<TenantId>> {
    let tenants: Vec<String> = sqlx::query_scalar(TENANTS).bind(limit).fetch_all(conn).await?;
    Ok(tenants.into_iter().map(TenantId).collect())
}

/// Such people of a tenant.
pub(super) const LEFT: &str = concat!(
    "SELECT l.account, l.departed, l.roles, l.document, a.profile FROM left_with_connection l",
    joined!("accounts", "a", "a.tenant = l.tenant AND a.account = l.account"),
    " WHERE l.tenant = $1 ORDER BY l.account LIMIT +$2"
);

/// See [`crate::store::Steps::left`].
pub(super) async fn list(conn: &mut Conn, tenant: &TenantId, limit: i64) -> Result<Vec<Left>> {
    let rows = sqlx::query(LEFT).bind(tenant.as_str()).bind(limit).fetch_all(conn).await?;
    let mut left = Vec::with_capacity(rows.len());
    for row in &rows {
        let roles: Option<String> = row.try_get("roles")?;
        let document = Document::from_stored(row.try_get("document")?)
            .map_err(|error| StoreError::Corrupt(format!("the document of somebody who left with their connection: {error}")))?;
        left.push(Left {
            account: AccountId(row.try_get("account")?),
            departed: Instant(row.try_get("departed")?),
            roles: roles.iter().flat_map(|roles| roles.split(BETWEEN)).map(|role| RoleId(role.to_owned())).collect(),
            profile: rows::json(row.try_get("profile")?, "a profile")?,
            document,
        });
    }
    Ok(left)
}

/// Accounts that stand as they were left, locked.
pub(super) const GONE: &str = concat!(
    "SELECT account, modified FROM accounts WHERE tenant = $1 AND ",
    any_of!("account", "$2"),
    " AND state = 'removed' AND erased IS NULL ORDER BY account",
    for_update!()
);
/// Takes people off the list: of two hosts one begins.
pub(super) const TAKE: &str =
    concat!("DELETE FROM left_with_connection WHERE tenant = $1 AND ", any_of!("account", "$2"), " RETURNING account, departed");

/// See [`crate::store::Steps::begin_left`].
pub(super) async fn begin(conn: &mut Conn, scope: &Scope, left: Vec<(Left, Passage)>, actor: &Actor, at: Instant) -> Result<i64> {
    let tenant = &scope.tenant;
    lock_revision(conn, tenant, false).await?;
    let ids = || text_list(left.iter().map(|(left, _)| left.account.as_str()));
    let gone: Vec<(String, i64)> = sqlx::query_as(GONE).bind(tenant.as_str()).bind(ids()).fetch_all(&mut *conn).await?;
    let taken: Vec<(String, i64)> = sqlx::query_as(TAKE).bind(tenant.as_str()).bind(ids()).fetch_all(&mut *conn).await?;
    let (gone, taken): (BTreeMap<String, i64>, BTreeSet<(String, i64)>) = (gone.into_iter().collect(), taken.into_iter().collect());
    let as_read = |left: &Left| {
        gone.get(left.account.as_str()) == Some(&left.departed.0) && taken.contains(&(left.account.0.clone(), left.departed.0))
    };
    let leaving: Vec<(AccountId, Vec<Passage>)> =
        left.into_iter().filter(|(left, _)| as_read(left)).map(|(left, passage)| (left.account, vec![passage])).collect();
    let of: Vec<(&AccountId, &[Passage])> = leaving.iter().map(|(account, passages)| (account, &passages[..])).collect();
    let before = steps::read(conn, tenant, &of).await?;
    let stamp = Stamp { at, actor, request_id: None };
    let mut batch = Batch::new();
    let settled = steps::settle(conn, &mut batch, scope, leaving, &before, stamp).await?;
    batch.flush(conn).await?;
    history::append(conn, Batch::new(), scope, stamp, &settled.events, None).await?;
    Ok(i64::try_from(taken.len()).unwrap_or(i64::MAX))
}
