//! Accounts that were there before any connection, as they are written: imported all at once, and protected.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_scim::filter::fold;
use serde_json::json;
use sqlx::{QueryBuilder, Row as _};

use super::batch::Batch;
use super::history::{self, Stamp};
use super::rows::{json as json_of, json_text};
use super::{Conn, Db, Scope, accounts, lock_revision, people, text_list};
use crate::model::{AccountId, AccountState, Actor, GrantState, Instant, NewEvent, Reason, RevisionHash, RoleId, TenantId};
use crate::store::keys::{person_purpose, unsealable};
use crate::store::{ImportProblem, Imported, NewImport, Result, StoreError};

/// Rows of one INSERT: with a dozen values each, far below both databases' limits on parameters.
const INSERT_BATCH: usize = 500;

/// Lets one import, or decision about imported accounts, of a tenant be made at a time.
pub(super) async fn lock(conn: &mut Conn, tenant: &TenantId) -> Result<()> {
    sqlx::query("INSERT INTO import_versions (tenant, version) VALUES ($1, 0) ON CONFLICT (tenant) DO NOTHING")
        .bind(tenant.as_str())
        .execute(&mut *conn)
        .await?;
    sqlx::query(concat!("SELECT version FROM import_versions WHERE tenant = $1", for_update!()))
        .bind(tenant.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// What imported accounts people may adopt has changed.
pub(super) async fn moved(conn: &mut Conn, tenant: &TenantId) -> Result<()> {
    sqlx::query("UPDATE import_versions SET version = version + 1 WHERE tenant = $1").bind(tenant.as_str()).execute(conn).await?;
    Ok(())
}

/// Imported accounts by name.
pub(super) const BY_NAME: &str = concat!(
    "SELECT account, name_key, digest, is_protected, adopted, roles FROM imports WHERE tenant = $1 AND ",
    any_of!("name_key", "$2")
);
/// Imported accounts by external id.
pub(super) const BY_EXTERNAL_ID: &str =
    concat!("SELECT external_id, account FROM imports WHERE tenant = $1 AND ", any_of!("external_id", "$2"));

struct Before {
    account: AccountId,
    digest: String,
    protected: bool,
    adopted: bool,
    /// The roles that the row named; none is known of what was imported by versions that didn't keep them.
    roles: BTreeSet<RoleId>,
}

/// What a row comes to.
enum Change<'r> {
    Create(&'r NewImport),
    Change(&'r NewImport, Before),
}

impl Change<'_> {
    fn row(&self) -> &NewImport {
        match self {
            Self::Create(row) | Self::Change(row, _) => row,
        }
    }

    fn account(&self) -> &AccountId {
        match self {
            Self::Create(row) => &row.account,
            Self::Change(_, before) => &before.account,
        }
    }

    /// Whether the account's row named a role already.
    fn named(&self, role: &RoleId) -> bool {
        matches!(self, Self::Change(_, before) if before.roles.contains(role))
    }

    fn was_protected(&self) -> bool {
        matches!(self, Self::Change(_, before) if before.protected)
    }

    fn protected(&self) -> bool {
        self.row().protected.unwrap_or_else(|| self.was_protected())
    }
}

/// See [`crate::store::Imports::import_accounts`].
pub(super) async fn write(
    conn: &mut Conn,
    scope: &Scope,
    rows: &[NewImport],
    (revision, dry_run): (Option<&RevisionHash>, bool),
    (actor, at): (&Actor, Instant),
) -> Result<std::result::Result<Imported, BTreeMap<usize, ImportProblem>>> {
    lock_revision(conn, &scope.tenant, false).await?;
    lock(conn, &scope.tenant).await?;
    let (changes, imported, problems) = compare(conn, &scope.tenant, rows).await?;
    if !problems.is_empty() {
        return Ok(Err(problems));
    }
    if dry_run || changes.is_empty() {
        return Ok(Ok(imported));
    }
    let tenant = &scope.tenant;
    let ids: Vec<&str> = changes.iter().map(|change| change.account().as_str()).collect();
    let held = people::grants_of(conn, tenant, &ids).await?;
    for chunk in changes.chunks(INSERT_BATCH) {
        put_accounts(conn, tenant, chunk, at).await?;
        put_imports(conn, tenant, chunk, at).await?;
        put_emails(conn, tenant, chunk).await?;
        make_keys(conn, scope, chunk).await?;
    }
    let mut events = Vec::new();
    let (mut given, mut taken) = (Vec::new(), Vec::new());
    for change in &changes {
        let (row, account) = (change.row(), change.account());
        events.extend(told(change));
        let before: BTreeSet<&RoleId> = held.get(account).into_iter().flatten().map(|grant| &grant.role).collect();
        let wanted: BTreeSet<&RoleId> = row.roles.iter().collect();
        // What the row named before and the account lacks was taken away meanwhile, by a review: it is not given back.
        for role in wanted.difference(&before).filter(|role| !change.named(role)) {
            given.push((account, *role));
            events.push(of_role("grant.added", account, role, &json!({"reasons": [Reason::imported()], "revision": revision})));
        }
        for role in before.difference(&wanted) {
            taken.push((account, *role));
            events.push(of_role("grant.removed", account, role, &json!({"why": "import", "was": GrantState::Effective})));
        }
    }
    drop_grants(conn, tenant, &taken).await?;
    put_grants(conn, tenant, &given, revision, at).await?;
    moved(conn, tenant).await?;
    history::append(conn, Batch::new(), scope, Stamp { at, actor, request_id: None }, &events, None).await?;
    Ok(Ok(imported))
}

/// What each row comes to, and which of them can't be.
async fn compare<'r>(
    conn: &mut Conn,
    tenant: &TenantId,
    rows: &'r [NewImport],
) -> Result<(Vec<Change<'r>>, Imported, BTreeMap<usize, ImportProblem>)> {
    let names = text_list(rows.iter().map(|row| row.name_key.as_str()));
    let found = sqlx::query(BY_NAME).bind(tenant.as_str()).bind(names).fetch_all(&mut *conn).await?;
    let mut known = BTreeMap::new();
    for row in found {
        let roles: Option<String> = row.try_get("roles")?;
        let before = Before {
            account: AccountId(row.try_get("account")?),
            digest: row.try_get("digest")?,
            protected: row.try_get("is_protected")?,
            adopted: row.try_get::<Option<i64>, _>("adopted")?.is_some(),
            roles: roles.map_or_else(|| Ok(BTreeSet::new()), |roles| json_of(&roles, "an import's roles"))?,
        };
        known.insert(row.try_get::<String, _>("name_key")?, before);
    }
    let ids = text_list(rows.iter().filter_map(|row| row.external_id.as_deref()));
    let by_id: Vec<(String, String)> = sqlx::query_as(BY_EXTERNAL_ID).bind(tenant.as_str()).bind(ids).fetch_all(&mut *conn).await?;
    let by_id: BTreeMap<String, String> = by_id.into_iter().collect();
    let holders = accounts::name_holders(conn, tenant, rows.iter().map(|row| row.name_key.as_str())).await?;
    let (mut changes, mut imported, mut problems) = (Vec::new(), Imported::default(), BTreeMap::new());
    for (number, row) in rows.iter().enumerate() {
        let before = known.remove(&row.name_key);
        let id_taken = row.external_id.as_ref().and_then(|id| by_id.get(id));
        match before {
            Some(before) if before.adopted && row.protected == Some(true) => {
                problems.insert(number, ImportProblem::Fed);
            }
            Some(before) if before.adopted => imported.adopted += 1,
            Some(before) if before.digest == row.digest => imported.unchanged += 1,
            Some(before) if id_taken.is_none_or(|taken| *taken == before.account.0) => {
                imported.changed += 1;
                changes.push(Change::Change(row, before));
            }
            None if id_taken.is_none() && !holders.contains_key(&row.name_key) => {
                imported.created += 1;
                changes.push(Change::Create(row));
            }
            None if id_taken.is_none() => {
                problems.insert(number, ImportProblem::NameTaken);
            }
            Some(_) | None => {
                problems.insert(number, ImportProblem::ExternalIdTaken);
            }
        }
    }
    Ok((changes, imported, problems))
}

async fn put_accounts(conn: &mut Conn, tenant: &TenantId, changes: &[Change<'_>], at: Instant) -> Result<()> {
    let mut rows = Vec::with_capacity(changes.len());
    for change in changes {
        let provenance = json!({"user_name": "import"});
        rows.push((change, json_text(&change.row().profile, "a profile")?, json_text(&provenance, "a provenance")?));
    }
    let mut sql = QueryBuilder::<Db>::new(
        "INSERT INTO accounts (tenant, account, state, user_name, user_name_folded, name_key, profile, provenance, created, modified,
                               used) ",
    );
    sql.push_values(rows, |mut row, (change, profile, provenance)| {
        let new = change.row();
        row.push_bind(tenant.as_str())
            .push_bind(change.account().as_str())
            .push_bind(AccountState::Active.word())
            .push_bind(&new.user_name)
            .push_bind(fold(&new.user_name))
            .push_bind(&new.name_key)
            .push_bind(profile)
            .push_bind(provenance)
            .push_bind(at.0)
            .push_bind(at.0)
            .push_bind(at.0);
    });
    sql.push(
        " ON CONFLICT (tenant, account) DO UPDATE SET user_name = excluded.user_name, user_name_folded = excluded.user_name_folded,
              profile = excluded.profile, provenance = excluded.provenance, modified = excluded.modified",
    );
    sql.build().persistent(false).execute(conn).await?;
    Ok(())
}

async fn put_imports(conn: &mut Conn, tenant: &TenantId, changes: &[Change<'_>], at: Instant) -> Result<()> {
    let mut rows = Vec::with_capacity(changes.len());
    for change in changes {
        rows.push((change, json_text(&change.row().roles, "an import's roles")?));
    }
    let mut sql =
        QueryBuilder::<Db>::new("INSERT INTO imports (tenant, account, name_key, external_id, digest, is_protected, imported, roles) ");
    sql.push_values(rows, |mut row, (change, roles)| {
        let new = change.row();
        row.push_bind(tenant.as_str())
            .push_bind(change.account().as_str())
            .push_bind(&new.name_key)
            .push_bind(&new.external_id)
            .push_bind(&new.digest)
            .push_bind(change.protected())
            .push_bind(at.0)
            .push_bind(roles);
    });
    sql.push(
        " ON CONFLICT (tenant, account) DO UPDATE SET external_id = excluded.external_id, digest = excluded.digest,
              is_protected = excluded.is_protected, imported = excluded.imported, roles = excluded.roles",
    );
    sql.build().persistent(false).execute(conn).await?;
    Ok(())
}

async fn put_emails(conn: &mut Conn, tenant: &TenantId, changes: &[Change<'_>]) -> Result<()> {
    sqlx::query(concat!("DELETE FROM import_emails WHERE tenant = $1 AND ", any_of!("account", "$2")))
        .bind(tenant.as_str())
        .bind(text_list(changes.iter().map(|change| change.account().as_str())))
        .execute(&mut *conn)
        .await?;
    let emails = changes.iter().flat_map(|change| change.row().emails.iter().map(|email| (email, change.account())));
    let emails: Vec<(&String, &AccountId)> = emails.collect();
    for chunk in emails.chunks(INSERT_BATCH) {
        let mut sql = QueryBuilder::<Db>::new("INSERT INTO import_emails (tenant, value, account) ");
        sql.push_values(chunk, |mut row, (email, account)| {
            row.push_bind(tenant.as_str()).push_bind(*email).push_bind(account.as_str());
        });
        sql.build().persistent(false).execute(&mut *conn).await?;
    }
    Ok(())
}

/// The keys of those who are new: many at once.
async fn make_keys(conn: &mut Conn, scope: &Scope, changes: &[Change<'_>]) -> Result<()> {
    let key = history::tenant_key(conn, scope).await?;
    let mut made = Vec::new();
    for change in changes.iter().filter(|change| matches!(change, Change::Create(_))) {
        let (_, sealed) = key.new_sealed_key(&person_purpose(&scope.tenant, change.account())).map_err(unsealable)?;
        made.push((change.account(), sealed));
    }
    if made.is_empty() {
        return Ok(());
    }
    let mut sql = QueryBuilder::<Db>::new("INSERT INTO person_keys (tenant, account, sealed_key) ");
    sql.push_values(made, |mut row, (account, sealed)| {
        row.push_bind(scope.tenant.as_str()).push_bind(account.as_str()).push_bind(sealed);
    });
    sql.build().persistent(false).execute(conn).await?;
    Ok(())
}

async fn put_grants(
    conn: &mut Conn,
    tenant: &TenantId,
    given: &[(&AccountId, &RoleId)],
    revision: Option<&RevisionHash>,
    at: Instant,
) -> Result<()> {
    let reasons = json_text(&[Reason::imported()], "a grant's reasons")?;
    for chunk in given.chunks(INSERT_BATCH) {
        let mut sql = QueryBuilder::<Db>::new("INSERT INTO grants (tenant, account, role, state, reasons, since, revision) ");
        sql.push_values(chunk, |mut row, (account, role)| {
            row.push_bind(tenant.as_str())
                .push_bind(account.as_str())
                .push_bind(role.as_str())
                .push_bind(GrantState::Effective.word())
                .push_bind(&reasons)
                .push_bind(at.0)
                .push_bind(revision.map_or("", RevisionHash::as_str));
        });
        sql.build().persistent(false).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Takes roles away from accounts, given as pairs.
async fn drop_grants(conn: &mut Conn, tenant: &TenantId, taken: &[(&AccountId, &RoleId)]) -> Result<()> {
    if taken.is_empty() {
        return Ok(());
    }
    let pairs: Vec<[&str; 2]> = taken.iter().map(|(account, role)| [account.as_str(), role.as_str()]).collect();
    sqlx::query(concat!(
        "DELETE FROM grants WHERE tenant = $1 AND (account, role) IN (SELECT one, two FROM ",
        pairs_of!("$2"),
        " AS pairs)"
    ))
    .bind(tenant.as_str())
    .bind(json_text(&pairs, "pairs")?)
    .execute(conn)
    .await?;
    Ok(())
}

fn told(change: &Change<'_>) -> Vec<NewEvent> {
    let (row, account) = (change.row(), change.account());
    let data = json!({"state": AccountState::Active, "imported": true, "changed": matches!(change, Change::Change(..))});
    let kind = if matches!(change, Change::Create(_)) { "account.created" } else { "account.changed" };
    let personal = json!({"user_name": row.user_name, "profile": row.profile});
    let mut events = vec![NewEvent { kind, account: Some(account.clone()), data, personal: Some(personal), leaver: false }];
    if change.protected() != change.was_protected() {
        events.push(protection(account, change.protected(), None));
    }
    events
}

fn protection(account: &AccountId, protected: bool, reason: Option<&str>) -> NewEvent {
    NewEvent {
        kind: if protected { "account.protected" } else { "account.unprotected" },
        account: Some(account.clone()),
        data: json!({"by_import": reason.is_none()}),
        personal: reason.map(|reason| json!({"reason": reason})),
        leaver: false,
    }
}

fn of_role(kind: &'static str, account: &AccountId, role: &RoleId, more: &serde_json::Value) -> NewEvent {
    let mut data = more.clone();
    data["role"] = json!(role);
    NewEvent { kind, account: Some(account.clone()), data, personal: None, leaver: kind == "grant.removed" }
}

/// See [`crate::store::Imports::set_protected`].
pub(super) async fn set_protected(
    conn: &mut Conn,
    scope: &Scope,
    account: &AccountId,
    (protected, reason): (bool, &str),
    (actor, at): (&Actor, Instant),
) -> Result<()> {
    lock_revision(conn, &scope.tenant, false).await?;
    lock(conn, &scope.tenant).await?;
    let tenant = &scope.tenant;
    let before: Option<bool> =
        sqlx::query_scalar("SELECT is_protected FROM imports WHERE tenant = $1 AND account = $2 AND adopted IS NULL")
            .bind(tenant.as_str())
            .bind(account.as_str())
            .fetch_optional(&mut *conn)
            .await?;
    // All accounts but those that were imported were made by a connection, and are gone or fed.
    let before = before.ok_or(StoreError::Conflict { what: "fed" })?;
    if before == protected {
        return Ok(());
    }
    sqlx::query("UPDATE imports SET is_protected = $3 WHERE tenant = $1 AND account = $2")
        .bind(tenant.as_str())
        .bind(account.as_str())
        .bind(protected)
        .execute(&mut *conn)
        .await?;
    moved(conn, tenant).await?;
    let event = protection(account, protected, Some(reason));
    history::append(conn, Batch::new(), scope, Stamp { at, actor, request_id: None }, &[event], None).await
}

/// Those of the accounts that were imported and that nobody has adopted, with whether they are protected.
pub(super) async fn left_of(conn: &mut Conn, tenant: &TenantId, accounts: &[&str]) -> Result<BTreeMap<AccountId, bool>> {
    let found: Vec<(String, bool)> = sqlx::query_as(concat!(
        "SELECT account, is_protected FROM imports WHERE tenant = $1 AND adopted IS NULL AND ",
        any_of!("account", "$2")
    ))
    .bind(tenant.as_str())
    .bind(text_list(accounts.iter().copied()))
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|(account, protected)| (AccountId(account), protected)).collect())
}

/// Takes roles away from imported accounts: nothing decides theirs, so that they stay away.
pub(super) async fn revoke(conn: &mut Conn, scope: &Scope, taken: &[(AccountId, RoleId)], stamp: Stamp<'_>) -> Result<()> {
    let pairs: Vec<(&AccountId, &RoleId)> = taken.iter().map(|(account, role)| (account, role)).collect();
    if pairs.is_empty() {
        return Ok(());
    }
    drop_grants(conn, &scope.tenant, &pairs).await?;
    moved(conn, &scope.tenant).await?;
    let lost = json!({"why": "review", "was": GrantState::Effective});
    let events: Vec<NewEvent> = pairs.iter().map(|(account, role)| of_role("grant.removed", account, role, &lost)).collect();
    history::append(conn, Batch::new(), scope, stamp, &events, None).await
}
