//! People whom the identity provider has deleted and of whom something was said since: nothing evaluates them, so what was said is due for
//! a job.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::Batch;
use super::guard::Kept;
use super::history::{self, Stamp};
use super::work::mark_waiting_for;
use super::{Conn, Scope, accounts, lock_revision, people, rows, rulings, text_list};
use crate::model::{Account, Actor, Instant, TenantId, collision_key};
use crate::store::{Departed, Effect, Result};

/// Makes what was said of deleted people due. Of those who have a user it is read with their evaluation.
pub(super) const SETTLE_LATER: &str = concat!(
    "UPDATE rulings SET settle_at = $3 WHERE tenant = $1 AND ",
    any_of!("account", "$2"),
    " AND state <> 'ended' AND kind = 'restored' AND state IN ('yes', 'no') AND ",
    without_user!("rulings.account")
);

/// [`SETTLE_LATER`].
pub(super) async fn settle_later(conn: &mut Conn, tenant: &TenantId, accounts: &[&str], at: Instant) -> Result<()> {
    let ids = text_list(accounts.iter().copied());
    sqlx::query(SETTLE_LATER).bind(tenant.as_str()).bind(ids).bind(at.0).execute(conn).await?;
    Ok(())
}

/// The tenants in which something is due.
pub(super) const DUE_TENANTS: &str =
    "SELECT DISTINCT tenant FROM (SELECT tenant FROM rulings WHERE settle_at <= $1 ORDER BY settle_at LIMIT +$2) AS due";

/// [`DUE_TENANTS`].
pub(super) async fn due_tenants(conn: &mut Conn, now: Instant, limit: i64) -> Result<Vec<TenantId>> {
    let tenants: Vec<String> = sqlx::query_scalar(DUE_TENANTS).bind(now.0).bind(limit).fetch_all(conn).await?;
    Ok(tenants.into_iter().map(TenantId).collect())
}

/// The deleted people of a tenant of whom something is due.
pub(super) const DUE: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM (SELECT account AS whose, min(settle_at) AS since FROM rulings WHERE tenant = $1 AND settle_at <= $2 GROUP BY account) AS due",
    joined!("accounts", "a", "a.tenant = $1 AND a.account = due.whose"),
    " WHERE ",
    without_user!("due.whose"),
    " ORDER BY due.since, due.whose LIMIT +$3"
);

/// See [`crate::store::Processes::departed`].
pub(super) async fn due(conn: &mut Conn, tenant: &TenantId, now: Instant, limit: i64) -> Result<Vec<Departed>> {
    let found = sqlx::query(DUE).bind(tenant.as_str()).bind(now.0).bind(limit).fetch_all(&mut *conn).await?;
    let found = found.iter().map(rows::account).collect::<Result<Vec<Account>>>()?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = found.iter().map(|account| account.id.as_str()).collect();
    let mut grants = people::grants_of(conn, tenant, &ids).await?;
    let mut said = rulings::of_accounts(conn, tenant, &ids).await?;
    let key = |account: &Account| account.user_name.as_deref().map(collision_key);
    let keys: BTreeSet<String> = found.iter().filter_map(key).collect();
    let holders = accounts::name_holders(conn, tenant, keys.iter().map(String::as_str)).await?;
    let departed = found.into_iter().map(|account| Departed {
        grants: grants.remove(&account.id).unwrap_or_default(),
        rulings: said.remove(&account.id).unwrap_or_default(),
        holder: key(&account).and_then(|key| holders.get(&key).cloned()).filter(|holder| *holder != account.id),
        account,
    });
    Ok(departed.collect())
}

/// Accounts that nobody has come back to, locked.
pub(super) const LOCK: &str = concat!(
    "SELECT account, modified FROM accounts WHERE tenant = $1 AND ",
    any_of!("account", "$2"),
    " AND ",
    without_user!("accounts.account"),
    " ORDER BY account",
    for_update!()
);
/// What is said of them.
pub(super) const SAID: &str = concat!(
    "SELECT account, ruling, state FROM rulings WHERE tenant = $1 AND ",
    any_of!("account", "$2"),
    " AND state <> 'ended' ORDER BY ruling",
    for_update!()
);

/// See [`crate::store::Processes::settle_departed`].
pub(super) async fn settle(conn: &mut Conn, scope: &Scope, settled: &[(Departed, Effect)], actor: &Actor, at: Instant) -> Result<i64> {
    let tenant = &scope.tenant;
    lock_revision(conn, tenant, false).await?;
    let ids = || text_list(settled.iter().map(|(departed, _)| departed.account.id.as_str()));
    let locked: Vec<(String, i64)> = sqlx::query_as(LOCK).bind(tenant.as_str()).bind(ids()).fetch_all(&mut *conn).await?;
    let locked: BTreeMap<String, i64> = locked.into_iter().collect();
    let found: Vec<(String, String, String)> = sqlx::query_as(SAID).bind(tenant.as_str()).bind(ids()).fetch_all(&mut *conn).await?;
    let mut said = BTreeMap::<String, BTreeSet<(String, String)>>::new();
    for (account, ruling, state) in found {
        said.entry(account).or_default().insert((ruling, state));
    }
    let as_read = |departed: &Departed| {
        let id = departed.account.id.as_str();
        let read: BTreeSet<_> = departed.rulings.iter().map(|ruling| (ruling.id.clone(), ruling.state.word().to_owned())).collect();
        locked.get(id) == Some(&departed.account.modified.0) && said.get(id).cloned().unwrap_or_default() == read
    };
    let settled: Vec<&(Departed, Effect)> = settled.iter().filter(|(departed, _)| as_read(departed)).collect();
    let mut batch = Batch::new();
    let writes: Vec<_> = settled.iter().filter_map(|(_, effect)| effect.account.as_ref()).collect();
    let freed = accounts::write(conn, &mut batch, tenant, &writes, at).await?;
    let stamp = Stamp { at, actor, request_id: None };
    let mut events = Vec::new();
    for (departed, effect) in &settled {
        let id = &departed.account.id;
        accounts::write_grants(conn, &mut batch, tenant, id, (&effect.put_grants, &effect.drop_grants)).await?;
        let asked = (&effect.rule[..], &effect.end_rulings[..], &Kept::default());
        rulings::write(conn, &mut batch, tenant, id, asked, stamp).await?;
        events.extend(effect.events.iter().cloned());
    }
    batch.flush(conn).await?;
    // Behind the others: one statement writes a row once.
    let mut batch = Batch::new();
    for (departed, effect) in &settled {
        let sql = batch.next(conn, 1).await?;
        sql.push("UPDATE rulings SET settle_at = ").push_bind(effect.next_evaluation_at.map(|next| next.0));
        sql.push(" WHERE tenant = ").push_bind(tenant.as_str()).push(" AND account = ").push_bind(departed.account.id.as_str());
        sql.push(" AND settle_at IS NOT NULL AND state <> 'ended'");
    }
    batch.flush(conn).await?;
    mark_waiting_for(conn, tenant, &freed, at).await?;
    history::append(conn, Batch::new(), scope, stamp, &events, None).await?;
    Ok(i64::try_from(settled.len()).unwrap_or(i64::MAX))
}
