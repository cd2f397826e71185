//! People found by what others know them by, and who holds a role: by indexes alone.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rolecall_scim::filter::fold;
use sqlx::Row as _;

use super::rows::{json, word};
use super::{Backend, Conn, give_up, guard, has_nul, is_lost, people, text_list};
use crate::model::{AccountId, AccountState, ConnectionId, GrantState, Instant, RoleId, TenantId};
use crate::store::{
    AccountView, Directory, FOUND_OTHERWISE_LIMIT, Faulty, Holder, NAMES_LOOKED_AT, NamePage, NamePlace, NameQuery, Result, Store as _,
};

/// Behind every text that begins with what stands before it.
const LAST: char = char::MAX;

/// Accounts by name, from one on and before another. The lower bound of a later page is the name that it begins behind.
pub(super) const NAMED: &str = "SELECT account, user_name_folded, state FROM accounts
     WHERE tenant = $1 AND user_name_folded >= $2 AND user_name_folded < $3 AND (user_name_folded > $2 OR account > $4)
     ORDER BY user_name_folded, account LIMIT +$5";

/// The accounts of users by what else they are known by. $2: the tenant's connections, $3 and $4: from where to where, folded, $5: as it is,
/// $6: how many of each.
pub(super) const KNOWN_BY: &str = concat!(
    "SELECT account FROM (SELECT l.account FROM ",
    items_of!("$2"),
    " AS c JOIN emails e ON e.tenant = $1 AND e.connection = c.item AND e.value >= $3 AND e.value < $4",
    joined!("links", "l", "l.tenant = e.tenant AND l.connection = e.connection AND l.resource = e.resource"),
    " LIMIT +$6) AS by_email
     UNION SELECT account FROM (SELECT l.account FROM ",
    items_of!("$2"),
    " AS c JOIN resources r ON r.tenant = $1 AND r.connection = c.item AND r.display_name >= $3 AND r.display_name < $4",
    joined!("links", "l", "l.tenant = r.tenant AND l.connection = r.connection AND l.resource = r.id"),
    " LIMIT +$6) AS by_display_name
     UNION SELECT account FROM (SELECT l.account FROM ",
    items_of!("$2"),
    " AS c JOIN resources r ON r.tenant = $1 AND r.connection = c.item AND r.external_id = $5",
    joined!("links", "l", "l.tenant = r.tenant AND l.connection = r.connection AND l.resource = r.id"),
    " LIMIT +$6) AS by_external_id
     UNION SELECT account FROM (SELECT account FROM import_emails
         WHERE tenant = $1 AND value >= $3 AND value < $4 LIMIT +$6) AS by_imported_email
     UNION SELECT account FROM imports WHERE tenant = $1 AND external_id = $5
     ORDER BY account"
);

/// How many kinds of things [`KNOWN_BY`] looks for.
const KNOWN_BY_KINDS: i64 = 5;

/// Those of some accounts that are in a state.
pub(super) const IN_STATE: &str = concat!(
    "SELECT account FROM accounts WHERE tenant = $1 AND state || '' = $2 AND ",
    any_of!("account", "$3"),
    " ORDER BY account LIMIT +$4"
);

/// Who has a role.
pub(super) const HOLDERS: &str = concat!(
    "SELECT g.account, a.user_name, a.state AS account_state, g.state, g.since FROM grants g",
    joined!("accounts", "a", "a.tenant = g.tenant AND a.account = g.account"),
    " WHERE g.tenant = $1 AND g.role = $2 AND g.account > $3 ORDER BY g.account LIMIT +$4"
);

/// People for whom there is no decision.
pub(super) const FAULTY: &str = "SELECT account, user_name, note FROM accounts
     WHERE tenant = $1 AND substr(note, 10, 12) IN ('plugin_fault', 'policy_error') ORDER BY account LIMIT +$2";

#[async_trait]
impl Directory for Backend {
    async fn accounts_named(&self, tenant: &TenantId, query: &NameQuery) -> Result<NamePage> {
        let prefix = fold(&query.prefix);
        if prefix.is_empty() || has_nul(&prefix) || query.after.as_ref().is_some_and(|after| has_nul(&after.name)) {
            return Ok(NamePage::default());
        }
        named(&mut *self.read(tenant).await?, tenant, query, &prefix).await
    }

    async fn accounts_known_by(&self, tenant: &TenantId, text: &str, state: Option<AccountState>) -> Result<Vec<AccountView>> {
        if text.is_empty() || has_nul(text) {
            return Ok(Vec::new());
        }
        let connections: Vec<ConnectionId> = self.connections(tenant).await?.into_iter().map(|connection| connection.id).collect();
        known_by(&mut *self.read(tenant).await?, tenant, &connections, (text, state)).await
    }

    async fn role_holders(&self, tenant: &TenantId, role: &RoleId, after: Option<&AccountId>, limit: i64) -> Result<Vec<Holder>> {
        if has_nul(role.as_str()) || after.is_some_and(|after| has_nul(after.as_str())) {
            return Ok(Vec::new());
        }
        read_once!(self.read_one(tenant), conn => holders(conn, tenant, role, after, limit))
    }

    async fn count_role_holders(&self, tenant: &TenantId, role: &RoleId, most: i64) -> Result<i64> {
        if has_nul(role.as_str()) {
            return Ok(0);
        }
        read_once!(self.read_one(tenant), conn => async {
            Ok(sqlx::query_scalar(guard::PEOPLE_WITH_ROLE).bind(tenant.as_str()).bind(role.as_str()).bind(most).fetch_one(conn).await?)
        })
    }

    async fn faulty_people(&self, tenant: &TenantId, limit: i64) -> Result<Vec<Faulty>> {
        read_once!(self.read_one(tenant), conn => faulty(conn, tenant, limit))
    }
}

async fn named(conn: &mut Conn, tenant: &TenantId, query: &NameQuery, prefix: &str) -> Result<NamePage> {
    let looked_at = if query.state.is_some() { NAMES_LOOKED_AT } else { query.limit };
    let (from, after) = match &query.after {
        // A place before the prefix, which nobody was given, is its beginning.
        Some(after) if after.name.as_str() >= prefix => (after.name.as_str(), after.account.as_str()),
        _ => (prefix, ""),
    };
    let rows: Vec<(String, String, String)> = sqlx::query_as(NAMED)
        .bind(tenant.as_str())
        .bind(from)
        .bind(format!("{prefix}{LAST}"))
        .bind(after)
        .bind(looked_at.saturating_add(1))
        .fetch_all(&mut *conn)
        .await?;
    let is_more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > looked_at;
    let mut chosen = Vec::new();
    let (mut last, mut stopped) = (None, false);
    let limit = usize::try_from(query.limit).unwrap_or(0);
    for (account, name, state) in rows.into_iter().take(usize::try_from(looked_at).unwrap_or(usize::MAX)) {
        if chosen.len() == limit {
            stopped = true;
            break;
        }
        if query.state.is_none_or(|wanted| wanted.word() == state) {
            chosen.push(account.clone());
        }
        last = Some(NamePlace { name, account: AccountId(account) });
    }
    let mut views = by_id(conn, tenant, &chosen).await?;
    let accounts = chosen.iter().filter_map(|account| views.remove(account)).collect();
    Ok(NamePage { accounts, next: last.filter(|_| stopped || is_more) })
}

async fn known_by(
    conn: &mut Conn,
    tenant: &TenantId,
    connections: &[ConnectionId],
    (text, state): (&str, Option<AccountState>),
) -> Result<Vec<AccountView>> {
    let folded = fold(text);
    let mut found: Vec<String> = sqlx::query_scalar(KNOWN_BY)
        .bind(tenant.as_str())
        .bind(text_list(connections.iter().map(ConnectionId::as_str)))
        .bind(&folded)
        .bind(format!("{folded}{LAST}"))
        .bind(text)
        .bind(if state.is_some() { NAMES_LOOKED_AT } else { FOUND_OTHERWISE_LIMIT })
        .fetch_all(&mut *conn)
        .await?;
    if let Some(state) = state {
        found = sqlx::query_scalar(IN_STATE)
            .bind(tenant.as_str())
            .bind(state.word())
            .bind(text_list(found.iter().map(String::as_str)))
            .bind(FOUND_OTHERWISE_LIMIT * KNOWN_BY_KINDS)
            .fetch_all(&mut *conn)
            .await?;
    }
    Ok(by_id(conn, tenant, &found).await?.into_values().collect())
}

async fn by_id(conn: &mut Conn, tenant: &TenantId, accounts: &[String]) -> Result<BTreeMap<String, AccountView>> {
    if accounts.is_empty() {
        return Ok(BTreeMap::new());
    }
    let views = people::accounts_by_id(conn, tenant, accounts).await?;
    Ok(views.into_iter().map(|view| (view.account.id.0.clone(), view)).collect())
}

async fn holders(conn: &mut Conn, tenant: &TenantId, role: &RoleId, after: Option<&AccountId>, limit: i64) -> Result<Vec<Holder>> {
    let rows = sqlx::query(HOLDERS)
        .bind(tenant.as_str())
        .bind(role.as_str())
        .bind(after.map_or("", AccountId::as_str))
        .bind(limit)
        .fetch_all(conn)
        .await?;
    let holder = |row: &super::rows::Row| {
        Ok(Holder {
            account: AccountId(row.try_get("account")?),
            user_name: row.try_get("user_name")?,
            account_state: word(row.try_get("account_state")?, AccountState::from_word)?,
            state: word(row.try_get("state")?, GrantState::from_word)?,
            since: Instant(row.try_get("since")?),
        })
    };
    rows.iter().map(holder).collect()
}

async fn faulty(conn: &mut Conn, tenant: &TenantId, limit: i64) -> Result<Vec<Faulty>> {
    let rows: Vec<(String, Option<String>, String)> = sqlx::query_as(FAULTY).bind(tenant.as_str()).bind(limit).fetch_all(conn).await?;
    let faulty = |(account, user_name, note): (String, Option<String>, String)| {
        Ok(Faulty { account: AccountId(account), user_name, note: json(&note, "a note")? })
    };
    rows.into_iter().map(faulty).collect()
}
