//! People as the write path sees them, accounts and their grants.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_scim::filter::fold;
use sqlx::Row as _;

use super::rows::{self, Row};
use super::{Conn, groups, rulings, text_list};
use crate::model::{AccountId, AccountState, ConnectionId, Grant, ResourceId, RoleId, TenantId};
use crate::store::{AccountView, Coverage, Departed, ImportedAccount, Person, Result};

/// People with all that evaluation reads of their own rows, in the order of their ids.
pub(super) const PEOPLE: &str = concat!(
    "SELECT ",
    resource_columns!(),
    ", ",
    account_columns!(),
    ", ",
    evaluation_columns!(),
    ", EXISTS (SELECT 1 FROM rulings u WHERE u.tenant = a.tenant AND u.account = a.account AND u.state <> 'ended'",
    apart!(),
    ") AS is_ruled FROM resources r",
    to_account!(),
    joined!("evaluations", "e", "e.tenant = r.tenant AND e.connection = r.connection AND e.resource = r.id"),
    " JOIN tenants t ON t.tenant = r.tenant WHERE r.tenant = $1 AND r.connection = $2 AND ",
    any_of!("r.id", "$3"),
    " ORDER BY r.id"
);

/// [`PEOPLE`], with their grants, what was said of them and their groups.
pub(super) async fn read(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, users: &[ResourceId]) -> Result<Vec<Person>> {
    let found = sqlx::query(PEOPLE)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(text_list(users.iter().map(ResourceId::as_str)))
        .fetch_all(&mut *conn)
        .await?;
    let mut people = Vec::with_capacity(found.len());
    let mut is_ruled = false;
    for row in &found {
        is_ruled |= row.try_get::<bool, _>("is_ruled")?;
        people.push(Person {
            connection: connection.clone(),
            resource: rows::resource(row)?,
            evaluation: rows::evaluation(row)?,
            account: rows::account(row)?,
            grants: Vec::new(),
            rulings: Vec::new(),
            groups: Vec::new(),
        });
    }
    let accounts: Vec<&str> = people.iter().map(|person| person.account.id.as_str()).collect();
    let mut grants = grants_of(conn, tenant, &accounts).await?;
    // Few people are ruled about: the others cost no trip.
    let mut rulings = if is_ruled { rulings::of_accounts(conn, tenant, &accounts).await? } else { BTreeMap::new() };
    let ids: Vec<ResourceId> = people.iter().map(|person| person.resource.id.clone()).collect();
    let mut groups = groups::memberships_if(conn, tenant, connection, &ids, groups::WhatIf::default()).await?;
    for person in &mut people {
        person.grants = grants.remove(&person.account.id).unwrap_or_default();
        person.rulings = rulings.remove(&person.account.id).unwrap_or_default();
        person.groups = groups.remove(&person.resource.id).unwrap_or_default();
    }
    Ok(people)
}

/// The grants of accounts, by role.
pub(super) async fn grants_of(conn: &mut Conn, tenant: &TenantId, accounts: &[&str]) -> Result<BTreeMap<AccountId, Vec<Grant>>> {
    let found = sqlx::query(concat!(
        "SELECT account, role, state, reasons, since, deadline, revision, waits_for FROM grants WHERE tenant = $1 AND ",
        any_of!("account", "$2"),
        " ORDER BY account, role"
    ))
    .bind(tenant.as_str())
    .bind(text_list(accounts.iter().copied()))
    .fetch_all(conn)
    .await?;
    let mut grants = BTreeMap::<AccountId, Vec<Grant>>::new();
    for row in &found {
        grants.entry(AccountId(row.try_get("account")?)).or_default().push(rows::grant(row)?);
    }
    Ok(grants)
}

/// The account of whoever had that external id last, where nobody has it now.
pub(super) const REVIVABLE: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM deleted_resources d JOIN accounts a ON a.tenant = d.tenant AND a.account = d.account
     WHERE d.tenant = $1 AND d.connection = $2 AND d.external_id = $3
     AND ",
    without_user!("a.account"),
    " ORDER BY d.deleted DESC, d.id DESC LIMIT 1"
);

/// [`REVIVABLE`], with what is left of it.
pub(super) async fn revivable(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    external_id: &str,
) -> Result<Option<Departed>> {
    let row = sqlx::query(REVIVABLE).bind(tenant.as_str()).bind(connection.as_str()).bind(external_id).fetch_optional(&mut *conn).await?;
    let Some(row) = row else { return Ok(None) };
    let account = rows::account(&row)?;
    let ids = [account.id.as_str()];
    let grants = grants_of(conn, tenant, &ids).await?.into_values().flatten().collect();
    let rulings = rulings::of_accounts(conn, tenant, &ids).await?.into_values().flatten().collect();
    Ok(Some(Departed { account, grants, rulings, holder: None }))
}

/// The SELECT that [`views`] reads, with a condition to follow.
macro_rules! view {
    ($condition:literal) => {
        concat!(
            "SELECT l.connection, l.resource, ",
            account_columns!(),
            ", ",
            evaluation_columns!(),
            ", i.is_protected FROM accounts a
             JOIN tenants t ON t.tenant = a.tenant",
            joined_if_any!("imports", "i", "i.tenant = a.tenant AND i.account = a.account AND i.adopted IS NULL"),
            joined_if_any!("links", "l", "l.tenant = a.tenant AND l.account = a.account"),
            joined_if_any!("evaluations", "e", "e.tenant = l.tenant AND e.connection = l.connection AND e.resource = l.resource"),
            " WHERE a.tenant = $1 AND ",
            $condition
        )
    };
}

/// Accounts by id.
pub(super) const ACCOUNTS_BY_ID: &str = concat!(view!(""), any_of!("a.account", "$2"));

/// Accounts after an id.
pub(super) const ACCOUNTS: &str = view!("a.account > $2 ORDER BY a.account LIMIT +$3");
/// Accounts in use after an id: most are.
pub(super) const ACTIVE_ACCOUNTS: &str = view!("a.state = $4 AND a.account > $2 ORDER BY a.account LIMIT +$3");
/// Accounts in another state after an id.
pub(super) const ACCOUNTS_IN_STATE: &str = view!("a.state = $4 AND a.state <> 'active' AND a.account > $2 ORDER BY a.account LIMIT +$3");
/// Accounts by folded user name: whoever has the name first.
pub(super) const ACCOUNT_BY_NAME: &str = view!("a.user_name_folded = $2 ORDER BY a.name_key IS NULL, a.modified DESC, a.account LIMIT 1");

/// Accounts by id, after `after`, optionally in one state.
pub(super) async fn accounts(
    conn: &mut Conn,
    tenant: &TenantId,
    state: Option<AccountState>,
    after: Option<&AccountId>,
    limit: i64,
) -> Result<Vec<AccountView>> {
    let statement = match state {
        None => ACCOUNTS,
        Some(AccountState::Active) => ACTIVE_ACCOUNTS,
        Some(_) => ACCOUNTS_IN_STATE,
    };
    let mut query = sqlx::query(statement).bind(tenant.as_str()).bind(after.map_or("", AccountId::as_str)).bind(limit);
    if let Some(state) = state {
        query = query.bind(state.word());
    }
    let found = query.fetch_all(&mut *conn).await?;
    views(conn, tenant, &found).await
}

/// Accounts by these ids.
pub(super) async fn accounts_by_id(conn: &mut Conn, tenant: &TenantId, ids: &[String]) -> Result<Vec<AccountView>> {
    let found =
        sqlx::query(ACCOUNTS_BY_ID).bind(tenant.as_str()).bind(text_list(ids.iter().map(String::as_str))).fetch_all(&mut *conn).await?;
    views(conn, tenant, &found).await
}

/// An account by id, else by folded user name.
pub(super) async fn account(conn: &mut Conn, tenant: &TenantId, id_or_name: &str) -> Result<Option<AccountView>> {
    let by_id = sqlx::query(view!("a.account = $2")).bind(tenant.as_str()).bind(id_or_name).fetch_optional(&mut *conn).await?;
    let found = match by_id {
        Some(row) => Some(row),
        None => sqlx::query(ACCOUNT_BY_NAME).bind(tenant.as_str()).bind(fold(id_or_name)).fetch_optional(&mut *conn).await?,
    };
    Ok(views(conn, tenant, found.as_slice()).await?.pop())
}

async fn views(conn: &mut Conn, tenant: &TenantId, found: &[Row]) -> Result<Vec<AccountView>> {
    let mut views = Vec::with_capacity(found.len());
    for row in found {
        let source: (Option<String>, Option<String>) = (row.try_get("connection")?, row.try_get("resource")?);
        let source = source.0.zip(source.1).map(|(connection, resource)| (ConnectionId(connection), ResourceId(resource)));
        let evaluation = source.is_some().then(|| rows::evaluation(row)).transpose()?;
        let imported = row.try_get::<Option<bool>, _>("is_protected")?.map(|protected| ImportedAccount { protected });
        views.push(AccountView { account: rows::account(row)?, grants: Vec::new(), source, evaluation, imported });
    }
    let accounts: Vec<&str> = views.iter().map(|view| view.account.id.as_str()).collect();
    let mut grants = grants_of(conn, tenant, &accounts).await?;
    for view in &mut views {
        view.grants = grants.remove(&view.account.id).unwrap_or_default();
    }
    Ok(views)
}

/// People with a mark, and those whom a fan-out has yet to mark: below a group, of a connection, of the tenant.
pub(super) const PENDING: &str = "WITH RECURSIVE below(connection, id, is_user) AS (
         SELECT connection, group_id, FALSE FROM fan_outs WHERE tenant = $1 AND group_id IS NOT NULL
         UNION
         SELECT m.connection, m.member_id, m.member_kind = 'user' FROM below
         JOIN members m ON m.tenant = $1 AND m.connection = below.connection AND m.group_id = below.id WHERE NOT below.is_user
     )
     SELECT count(*) FROM (
         SELECT connection, resource FROM evaluations WHERE tenant = $1 AND cause IS NOT NULL
         UNION
         SELECT connection, id FROM below WHERE is_user
         UNION
         SELECT e.connection, e.resource FROM fan_outs f JOIN evaluations e ON e.tenant = f.tenant AND e.connection = f.connection
         WHERE f.tenant = $1 AND f.group_id IS NULL
         UNION
         SELECT e.connection, e.resource FROM fan_outs f JOIN tenants t ON t.tenant = f.tenant JOIN evaluations e ON e.tenant = f.tenant
         WHERE f.tenant = $1 AND f.connection IS NULL AND e.evaluated_revision IS DISTINCT FROM t.active_revision
     ) AS pending";

/// [`coverage`].
pub(super) const COVERAGE: &str = "SELECT count(e.resource), count(CASE WHEN e.evaluated_revision = t.active_revision THEN 1 END)
     FROM tenants t LEFT JOIN evaluations e ON e.tenant = t.tenant WHERE t.tenant = $1";

/// How far the tenant's people have been decided under its active revision.
pub(super) async fn coverage(conn: &mut Conn, tenant: &TenantId) -> Result<Coverage> {
    let (people, decided) = sqlx::query_as(COVERAGE).bind(tenant.as_str()).fetch_one(conn).await?;
    Ok(Coverage { people, decided })
}

/// How many people are pending.
pub(super) async fn count_pending(conn: &mut Conn, tenant: &TenantId) -> Result<i64> {
    Ok(sqlx::query_scalar(PENDING).bind(tenant.as_str()).fetch_one(conn).await?)
}

/// The roles that somebody holds: from each to the next in the index, however many hold it.
pub(super) const ROLES_HELD: &str = "WITH RECURSIVE held(role) AS (
         SELECT min(role) FROM grants WHERE tenant = $1
         UNION ALL
         SELECT (SELECT min(g.role) FROM grants g WHERE g.tenant = $1 AND g.role > held.role) FROM held WHERE held.role IS NOT NULL
     ) SELECT role FROM held WHERE role IS NOT NULL LIMIT +$2";

/// The roles that are held; `None` where they are more than `most`.
pub(super) async fn roles_held(conn: &mut Conn, tenant: &TenantId, most: i64) -> Result<Option<BTreeSet<RoleId>>> {
    let held: Vec<String> = sqlx::query_scalar(ROLES_HELD).bind(tenant.as_str()).bind(most.saturating_add(1)).fetch_all(conn).await?;
    let is_whole = i64::try_from(held.len()).is_ok_and(|held| held <= most);
    Ok(is_whole.then(|| held.into_iter().map(RoleId).collect()))
}
