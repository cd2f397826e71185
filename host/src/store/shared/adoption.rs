//! People of a connection beside the accounts that were imported and those of the connection that it takes over, a page at a time by batched
//! look-ups, and the mark by which it is told whether they still are what was read. Writes nothing: that is `adopting`'s.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_scim::filter::fold;
use sqlx::Row as _;

use super::rows::{Row, json, word};
use super::{Conn, accounts, moving, people, text_list};
use crate::model::{AccountId, AccountState, ConnectionId, Grant, Reason, ResourceId, RevisionHash, RoleId, TenantId, collision_key};
use crate::store::{AdoptionCandidate, AdoptionChoice, DifferenceMark, Likeness, MarkThere, Result, Staged, StoreError, Unadopted};

/// The SELECT of people, with a condition to follow.
macro_rules! staged {
    ($condition:expr) => {
        concat!(
            "SELECT r.id, r.external_id, r.user_name AS scim_name, a.account, a.state, a.user_name, a.note, e.evaluated_version, \
                    c.resource AS chosen_for, c.account AS chosen, ",
            asked_about!(),
            " AS is_asked FROM resources r",
            to_account!(),
            joined!("evaluations", "e", "e.tenant = r.tenant AND e.connection = r.connection AND e.resource = r.id"),
            joined_if_any!("adoptions", "c", "c.tenant = r.tenant AND c.connection = r.connection AND c.resource = r.id"),
            " WHERE r.tenant = $1 AND r.connection = $2 AND r.kind = 'user' AND ",
            $condition
        )
    };
}
/// People behind one.
pub(super) const STAGED: &str = staged!("r.id > $3 ORDER BY r.id LIMIT +$4");
/// Some people.
pub(super) const STAGED_OF: &str = staged!(concat!(any_of!("r.id", "$3"), " ORDER BY r.id"));

/// The addresses of people.
pub(super) const EMAILS: &str =
    concat!("SELECT resource, value FROM emails WHERE tenant = $1 AND connection = $2 AND ", any_of!("resource", "$3"));

/// The SELECT of imported accounts that nobody has adopted, with a condition to follow.
macro_rules! candidates {
    ($from:expr, $value:literal, $condition:expr) => {
        concat!(
            "SELECT ",
            $value,
            " AS value, i.account, i.name_key, i.external_id, i.is_protected, a.user_name FROM ",
            $from,
            joined!("accounts", "a", "a.tenant = i.tenant AND a.account = i.account"),
            " WHERE i.tenant = $1 AND i.adopted IS NULL AND ",
            $condition
        )
    };
}
/// Imported accounts by login name.
pub(super) const BY_NAME: &str = candidates!("imports i", "i.name_key", any_of!("i.name_key", "$2"));
/// Imported accounts by external id.
pub(super) const BY_EXTERNAL_ID: &str = candidates!("imports i", "i.external_id", any_of!("i.external_id", "$2"));
/// Imported accounts by address.
pub(super) const BY_EMAIL: &str = candidates!(
    concat!("import_emails m", joined!("imports", "i", "i.tenant = m.tenant AND i.account = m.account")),
    "m.value",
    concat!("m.tenant = $1 AND ", any_of!("m.value", "$2"))
);
/// Imported accounts behind one.
pub(super) const LEFT: &str = candidates!("imports i", "i.name_key", "i.account > $2 ORDER BY i.account LIMIT +$3");

/// The SELECT of accounts of the connection that is taken over ($3) whose people have not moved, with a condition to follow.
macro_rules! there {
    ($value:literal, $from:expr, $condition:expr) => {
        concat!(
            "SELECT ",
            $value,
            " AS value, a.account, COALESCE(a.name_key, a.wanted_key) AS name_key, r.external_id, a.user_name, r.active, r.id AS there FROM ",
            $from,
            " WHERE a.tenant = $1 AND l.connection = $3 AND r.kind = 'user' AND NOT EXISTS (
                 SELECT 1 FROM moves m WHERE m.tenant = $1 AND m.old_connection = $3 AND m.old_resource = r.id",
            apart!(),
            ") AND ",
            $condition
        )
    };
}
/// How one comes from an account to its user.
macro_rules! of_account {
    () => {
        concat!(
            "accounts a",
            joined!("links", "l", "l.tenant = a.tenant AND l.account = a.account"),
            joined!("resources", "r", "r.tenant = l.tenant AND r.connection = l.connection AND r.id = l.resource")
        )
    };
}
/// How one comes from a user to their account.
macro_rules! of_user {
    () => {
        concat!("resources r", to_account!())
    };
}
/// Accounts there by the login name that they have.
pub(super) const THERE_BY_NAME: &str = there!("a.name_key", of_account!(), any_of!("a.name_key", "$2"));
/// Accounts there by the login name that they wait for.
pub(super) const THERE_BY_WANTED: &str = there!("a.wanted_key", of_account!(), any_of!("a.wanted_key", "$2"));
/// Accounts there by external id.
pub(super) const THERE_BY_ID: &str =
    there!("r.external_id", of_user!(), concat!("r.tenant = $1 AND r.connection = $3 AND ", any_of!("r.external_id", "$2")));
/// Accounts there by address.
pub(super) const THERE_BY_EMAIL: &str = there!(
    "e.value",
    concat!(
        "emails e",
        joined!("resources", "r", "r.tenant = e.tenant AND r.connection = e.connection AND r.id = e.resource"),
        to_account!()
    ),
    concat!("e.tenant = $1 AND e.connection = $3 AND ", any_of!("e.value", "$2"))
);
/// Accounts there, by their users, behind one.
pub(super) const THERE: &str = there!("r.id", of_user!(), "r.tenant = $1 AND r.connection = $3 AND r.id > $2 ORDER BY r.id LIMIT +$4");
/// An account there by its id.
pub(super) const THERE_BY_ACCOUNT: &str = there!("a.account", of_account!(), "a.account = $2");

/// Who of a connection waits for names.
pub(super) const WANTED: &str = concat!(
    "SELECT a.wanted_key, l.resource, a.account FROM accounts a",
    joined!("links", "l", "l.tenant = a.tenant AND l.account = a.account"),
    " WHERE a.tenant = $1 AND l.connection = $2 AND ",
    any_of!("a.wanted_key", "$3")
);
/// Who of a connection has external ids.
pub(super) const WITH_ID: &str = concat!(
    "SELECT external_id, id FROM resources WHERE tenant = $1 AND connection = $2 AND kind = 'user' AND ",
    any_of!("external_id", "$3")
);
/// Who of a connection has login names there.
pub(super) const WITH_NAME: &str =
    concat!("SELECT user_name, id FROM resources WHERE tenant = $1 AND connection = $2 AND kind = 'user' AND ", any_of!("user_name", "$3"));
/// Who of a connection has, or had, login names here.
pub(super) const MAPPED: &str = concat!(
    "SELECT a.user_name_folded, l.resource FROM accounts a",
    joined!("links", "l", "l.tenant = a.tenant AND l.account = a.account"),
    " WHERE a.tenant = $1 AND l.connection = $2 AND ",
    any_of!("a.user_name_folded", "$3")
);
/// Who of a connection has addresses.
pub(super) const WITH_EMAIL: &str =
    concat!("SELECT value, resource FROM emails WHERE tenant = $1 AND connection = $2 AND ", any_of!("value", "$3"));

/// People of a connection, behind one.
pub(super) async fn staged(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, after: &str, limit: i64) -> Result<Vec<Staged>> {
    let found = sqlx::query(STAGED).bind(tenant.as_str()).bind(connection.as_str()).bind(after).bind(limit).fetch_all(&mut *conn).await?;
    beside_known(conn, tenant, connection, &found).await
}

/// Some people of a connection.
pub(super) async fn staged_of(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, users: &[ResourceId]) -> Result<Vec<Staged>> {
    let found = sqlx::query(STAGED_OF)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(text_list(users.iter().map(ResourceId::as_str)))
        .fetch_all(&mut *conn)
        .await?;
    beside_known(conn, tenant, connection, &found).await
}

/// Somebody as read, with what imported accounts are looked up by.
struct Sought {
    staged: Staged,
    name_key: Option<String>,
    external_id: Option<String>,
    emails: BTreeSet<String>,
}

/// An account that was imported, or that is taken over, as read.
#[derive(Clone)]
struct Known {
    account: AccountId,
    /// Empty for one whose name nobody has.
    name_key: String,
    external_id: Option<String>,
    protected: bool,
    user_name: Option<String>,
    /// Whose it is at the connection that is taken over.
    from: Option<ResourceId>,
    gone: bool,
}

async fn beside_known(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, found: &[Row]) -> Result<Vec<Staged>> {
    let mut people = found.iter().map(sought).collect::<Result<Vec<_>>>()?;
    if people.is_empty() {
        return Ok(Vec::new());
    }
    add_emails(conn, (tenant, connection), &mut people).await?;
    let names: BTreeSet<&str> = people.iter().filter_map(|person| person.name_key.as_deref()).collect();
    let ids: BTreeSet<&str> = people.iter().filter_map(|person| person.external_id.as_deref()).collect();
    let addresses: BTreeSet<&str> = people.iter().flat_map(|person| &person.emails).map(String::as_str).collect();
    let there = moving::predecessor(conn, tenant, connection).await?;
    let mut by_name = known_by(conn, tenant, BY_NAME, &names).await?;
    let mut by_id = known_by(conn, tenant, BY_EXTERNAL_ID, &ids).await?;
    let mut by_email = known_by(conn, tenant, BY_EMAIL, &addresses).await?;
    if let Some(there) = &there {
        for statement in [THERE_BY_NAME, THERE_BY_WANTED] {
            add_known(&mut by_name, there_by(conn, (tenant, there), statement, &names).await?);
        }
        add_known(&mut by_id, there_by(conn, (tenant, there), THERE_BY_ID, &ids).await?);
        add_known(&mut by_email, there_by(conn, (tenant, there), THERE_BY_EMAIL, &addresses).await?);
    }
    let known: Vec<&Known> = by_name.values().chain(by_id.values()).chain(by_email.values()).flatten().collect();
    let wanted_names: BTreeSet<&str> = names.iter().copied().chain(known.iter().map(|import| import.name_key.as_str())).collect();
    let wanted = wanted(conn, tenant, connection, &wanted_names).await?;
    let their_ids: BTreeSet<&str> = known.iter().filter_map(|import| import.external_id.as_deref()).collect();
    let with_id = people_by(conn, (tenant, connection), WITH_ID, &their_ids).await?;
    let holders = accounts::name_holders(conn, tenant, names.iter().copied()).await?;
    let theirs = people.iter().map(|person| person.staged.account.as_str());
    let accounts: BTreeSet<&str> = theirs.chain(known.iter().map(|import| import.account.as_str())).collect();
    let grants = people::grants_of(conn, tenant, &accounts.into_iter().collect::<Vec<_>>()).await?;
    let claims = |import: &Known, user: &ResourceId| {
        let by_name = wanted.get(&import.name_key).into_iter().flatten().any(|(other, _)| other != user);
        let ids = import.external_id.as_ref().and_then(|id| with_id.get(id));
        by_name || ids.into_iter().flatten().any(|other| other != user)
    };
    let mut staged = Vec::with_capacity(people.len());
    for person in &people {
        let mut of = person.staged.clone();
        of.roles = roles_of(&grants, &of.account, |_| true);
        let mut candidates = BTreeMap::<AccountId, AdoptionCandidate>::new();
        let mut see = |imports: Option<&Vec<Known>>, by: fn(&mut Likeness)| {
            for import in imports.into_iter().flatten() {
                let candidate = candidates.entry(import.account.clone()).or_insert_with(|| AdoptionCandidate {
                    account: import.account.clone(),
                    user_name: import.user_name.clone(),
                    by: Likeness::default(),
                    protected: import.protected,
                    rivals: claims(import, &of.user),
                    from: import.from.clone(),
                    gone: import.gone,
                    roles: roles_of(&grants, &import.account, |_| true),
                    excepted: roles_of(&grants, &import.account, |grant| grant.reasons.iter().any(Reason::is_exception)),
                });
                by(&mut candidate.by);
            }
        };
        // Whoever is gone waits for no name: theirs is looked for as it is written, from either side.
        let written = |import: &Known| import.user_name.as_deref().map(fold) == of.user_name.as_deref().map(fold);
        let named = person.name_key.as_ref().and_then(|name| by_name.get(name));
        let named = named.filter(|imports| of.state != AccountState::Suspended || imports.iter().all(written));
        see(named, |by| by.name = true);
        see(person.external_id.as_ref().and_then(|id| by_id.get(id)), |by| by.external_id = true);
        for email in &person.emails {
            see(by_email.get(email), |by| by.email = true);
        }
        of.candidates = candidates.into_values().collect();
        of.holder = person.name_key.as_ref().and_then(|name| holders.get(name)).filter(|holder| **holder != of.account).cloned();
        let others = person.name_key.as_ref().and_then(|name| wanted.get(name)).into_iter().flatten();
        of.before = others.filter(|(other, _)| *other < of.user).min().map(|(_, account)| account.clone());
        staged.push(of);
    }
    Ok(staged)
}

/// Reads people's addresses.
async fn add_emails(conn: &mut Conn, (tenant, connection): (&TenantId, &ConnectionId), people: &mut [Sought]) -> Result<()> {
    let index: BTreeMap<ResourceId, usize> =
        people.iter().enumerate().map(|(number, person)| (person.staged.user.clone(), number)).collect();
    let emails: Vec<(String, String)> = sqlx::query_as(EMAILS)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(text_list(index.keys().map(ResourceId::as_str)))
        .fetch_all(&mut *conn)
        .await?;
    for (user, email) in emails {
        if let Some(person) = index.get(&ResourceId(user)).and_then(|number| people.get_mut(*number)) {
            person.emails.insert(email);
        }
    }
    Ok(())
}

fn roles_of(grants: &BTreeMap<AccountId, Vec<Grant>>, account: &AccountId, wanted: fn(&Grant) -> bool) -> Vec<RoleId> {
    grants.get(account).into_iter().flatten().filter(|grant| wanted(grant)).map(|grant| grant.role.clone()).collect()
}

fn sought(row: &Row) -> Result<Sought> {
    let note: Option<String> = row.try_get("note")?;
    let mapped: Option<String> = row.try_get("user_name")?;
    let user_name = mapped.or(row.try_get("scim_name")?);
    let chosen: (Option<String>, Option<String>) = (row.try_get("chosen_for")?, row.try_get("chosen")?);
    let choice = match chosen {
        (None, _) => None,
        (Some(_), None) => Some(AdoptionChoice::New),
        (Some(_), Some(account)) => Some(AdoptionChoice::Adopt(AccountId(account))),
    };
    Ok(Sought {
        name_key: user_name.as_deref().map(collision_key),
        external_id: row.try_get("external_id")?,
        emails: BTreeSet::new(),
        staged: Staged {
            user: ResourceId(row.try_get("id")?),
            account: AccountId(row.try_get("account")?),
            state: word(row.try_get("state")?, AccountState::from_word)?,
            note: note.map(|note| json(&note, "a note")).transpose()?,
            undecided: row.try_get::<Option<i64>, _>("evaluated_version")?.is_none(),
            user_name,
            roles: Vec::new(),
            candidates: Vec::new(),
            holder: None,
            before: None,
            choice,
            asked: row.try_get("is_asked")?,
        },
    })
}

fn import(row: &Row) -> Result<Known> {
    Ok(Known {
        account: AccountId(row.try_get("account")?),
        name_key: row.try_get("name_key")?,
        external_id: row.try_get("external_id")?,
        protected: row.try_get("is_protected")?,
        user_name: row.try_get("user_name")?,
        from: None,
        gone: false,
    })
}

fn there(row: &Row) -> Result<Known> {
    let user_name: Option<String> = row.try_get("user_name")?;
    let name_key = row.try_get::<Option<String>, _>("name_key")?.or_else(|| user_name.as_deref().map(collision_key));
    Ok(Known {
        account: AccountId(row.try_get("account")?),
        name_key: name_key.unwrap_or_default(),
        external_id: row.try_get("external_id")?,
        protected: false,
        user_name,
        from: Some(ResourceId(row.try_get("there")?)),
        gone: row.try_get::<Option<bool>, _>("active")? == Some(false),
    })
}

/// Accounts by what they are looked up by.
type KnownBy = BTreeMap<String, Vec<Known>>;

/// Imported accounts by what they are looked up by.
async fn known_by(conn: &mut Conn, tenant: &TenantId, statement: &'static str, values: &BTreeSet<&str>) -> Result<KnownBy> {
    if values.is_empty() {
        return Ok(KnownBy::new());
    }
    let found = sqlx::query(statement).bind(tenant.as_str()).bind(text_list(values.iter().copied())).fetch_all(conn).await?;
    by_value(&found, import)
}

/// Accounts of the connection that is taken over by what they are looked up by.
async fn there_by(
    conn: &mut Conn,
    (tenant, connection): (&TenantId, &ConnectionId),
    statement: &'static str,
    values: &BTreeSet<&str>,
) -> Result<KnownBy> {
    if values.is_empty() {
        return Ok(KnownBy::new());
    }
    let values = text_list(values.iter().copied());
    let found = sqlx::query(statement).bind(tenant.as_str()).bind(values).bind(connection.as_str()).fetch_all(conn).await?;
    by_value(&found, there)
}

fn by_value(found: &[Row], read: fn(&Row) -> Result<Known>) -> Result<KnownBy> {
    let mut by = KnownBy::new();
    for row in found {
        by.entry(row.try_get("value")?).or_default().push(read(row)?);
    }
    Ok(by)
}

fn add_known(all: &mut KnownBy, more: KnownBy) {
    for (value, known) in more {
        all.entry(value).or_default().extend(known);
    }
}

/// The people of a connection by what they are looked up by.
async fn people_by(
    conn: &mut Conn,
    (tenant, connection): (&TenantId, &ConnectionId),
    statement: &'static str,
    values: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Vec<ResourceId>>> {
    let mut by = BTreeMap::<String, Vec<ResourceId>>::new();
    if !values.is_empty() {
        let found: Vec<(String, String)> = sqlx::query_as(statement)
            .bind(tenant.as_str())
            .bind(connection.as_str())
            .bind(text_list(values.iter().copied()))
            .fetch_all(conn)
            .await?;
        for (value, user) in found {
            by.entry(value).or_default().push(ResourceId(user));
        }
    }
    Ok(by)
}

/// Who of a connection waits for names, and with which account.
async fn wanted(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    names: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Vec<(ResourceId, AccountId)>>> {
    let found: Vec<(String, String, String)> = sqlx::query_as(WANTED)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(text_list(names.iter().copied()))
        .fetch_all(conn)
        .await?;
    let mut wanted = BTreeMap::<String, Vec<(ResourceId, AccountId)>>::new();
    for (name, user, account) in found {
        wanted.entry(name).or_default().push((ResourceId(user), AccountId(account)));
    }
    Ok(wanted)
}

/// Imported accounts behind one, with people of the connection who have something in common with them.
pub(super) async fn unadopted(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    after: &str,
    limit: i64,
) -> Result<Vec<Unadopted>> {
    let found = sqlx::query(LEFT).bind(tenant.as_str()).bind(after).bind(limit).fetch_all(&mut *conn).await?;
    let imports = found.iter().map(import).collect::<Result<Vec<_>>>()?;
    let addresses: Vec<(String, String)> =
        sqlx::query_as(concat!("SELECT account, value FROM import_emails WHERE tenant = $1 AND ", any_of!("account", "$2")))
            .bind(tenant.as_str())
            .bind(text_list(imports.iter().map(|import| import.account.as_str())))
            .fetch_all(&mut *conn)
            .await?;
    beside_people(conn, (tenant, connection), &imports, &addresses).await
}

/// See [`crate::store::Moves::untaken`].
pub(super) async fn untaken(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    after: &str,
    limit: i64,
) -> Result<Vec<Unadopted>> {
    let Some(from) = moving::predecessor(conn, tenant, connection).await? else { return Ok(Vec::new()) };
    let found = sqlx::query(THERE).bind(tenant.as_str()).bind(after).bind(from.as_str()).bind(limit).fetch_all(&mut *conn).await?;
    let known = found.iter().map(there).collect::<Result<Vec<_>>>()?;
    let accounts: BTreeMap<&str, &AccountId> =
        known.iter().filter_map(|known| Some((known.from.as_ref()?.as_str(), &known.account))).collect();
    let addresses: Vec<(String, String)> = sqlx::query_as(EMAILS)
        .bind(tenant.as_str())
        .bind(from.as_str())
        .bind(text_list(accounts.keys().copied()))
        .fetch_all(&mut *conn)
        .await?;
    let addresses: Vec<(String, String)> =
        addresses.into_iter().filter_map(|(user, value)| Some((accounts.get(user.as_str())?.0.clone(), value))).collect();
    beside_people(conn, (tenant, connection), &known, &addresses).await
}

/// Accounts, whose addresses are given, with people of the connection who have something in common with them.
async fn beside_people(
    conn: &mut Conn,
    (tenant, connection): (&TenantId, &ConnectionId),
    known: &[Known],
    addresses: &[(String, String)],
) -> Result<Vec<Unadopted>> {
    let accounts: Vec<&str> = known.iter().map(|known| known.account.as_str()).collect();
    let names: BTreeSet<&str> = known.iter().map(|known| known.name_key.as_str()).filter(|name| !name.is_empty()).collect();
    let ids: BTreeSet<&str> = known.iter().filter_map(|known| known.external_id.as_deref()).collect();
    let values: BTreeSet<&str> = addresses.iter().map(|(_, value)| value.as_str()).collect();
    let wanted = wanted(conn, tenant, connection, &names).await?;
    let with_id = people_by(conn, (tenant, connection), WITH_ID, &ids).await?;
    let with_email = people_by(conn, (tenant, connection), WITH_EMAIL, &values).await?;
    let written: Vec<String> = known.iter().map(|known| fold(known.user_name.as_deref().unwrap_or_default())).collect();
    let folded: BTreeSet<&str> = written.iter().map(String::as_str).collect();
    let with_name = people_by(conn, (tenant, connection), WITH_NAME, &folded).await?;
    let mapped = people_by(conn, (tenant, connection), MAPPED, &folded).await?;
    let mut their_emails = BTreeMap::<&str, Vec<&str>>::new();
    for (account, value) in addresses {
        their_emails.entry(account).or_default().push(value);
    }
    let grants = people::grants_of(conn, tenant, &accounts).await?;
    let of = |(known, written): (&Known, &String)| {
        let as_written = [&with_name, &mapped].into_iter().filter_map(|people| people.get(written)).flatten();
        let by_name = wanted.get(&known.name_key).into_iter().flatten().map(|(user, _)| user);
        let by_id = known.external_id.as_ref().and_then(|id| with_id.get(id)).into_iter().flatten();
        let emails = their_emails.get(known.account.as_str()).into_iter().flatten();
        let alike: BTreeSet<&ResourceId> =
            by_name.chain(as_written).chain(by_id).chain(emails.filter_map(|value| with_email.get(*value)).flatten()).collect();
        Unadopted {
            account: known.account.clone(),
            user_name: known.user_name.clone(),
            protected: known.protected,
            roles: roles_of(&grants, &known.account, |_| true),
            from: known.from.clone(),
            alike: alike.into_iter().cloned().collect(),
        }
    };
    Ok(known.iter().zip(&written).map(of).collect())
}

/// What a difference depends on. Each count grows and never shrinks but that of people, which grows with each that is not deleted.
pub(super) const MARK: &str = "SELECT t.active_revision, COALESCE((SELECT v.version FROM import_versions v WHERE v.tenant = $1), 0) AS imports,
            (SELECT count(*) FROM deleted_resources d WHERE d.tenant = $1 AND d.connection = $2 AND d.kind = 'user') AS deleted,
            (SELECT count(*) FROM evaluations e WHERE e.tenant = $1 AND e.connection = $2) AS people,
            (SELECT CAST(COALESCE(sum(e.input_version), 0) AS BIGINT) FROM evaluations e WHERE e.tenant = $1 AND e.connection = $2) AS versions
     FROM tenants t WHERE t.tenant = $1";

/// [`MARK`], of the connection and of the one that it takes over.
pub(super) async fn mark_of(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<DifferenceMark> {
    let mark = count_of(conn, tenant, connection).await?;
    let Some(from) = moving::predecessor(conn, tenant, connection).await? else { return Ok(mark) };
    let DifferenceMark { people, deleted, versions, .. } = count_of(conn, tenant, &from).await?;
    Ok(DifferenceMark { there: Some(MarkThere { people, deleted, versions }), ..mark })
}

async fn count_of(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<DifferenceMark> {
    let row = sqlx::query(MARK).bind(tenant.as_str()).bind(connection.as_str()).fetch_optional(conn).await?;
    let row = row.ok_or(StoreError::Missing("tenant"))?;
    Ok(DifferenceMark {
        people: row.try_get("people")?,
        deleted: row.try_get("deleted")?,
        versions: row.try_get("versions")?,
        imports: row.try_get("imports")?,
        revision: row.try_get::<Option<String>, _>("active_revision")?.map(RevisionHash),
        there: None,
    })
}

/// Whose an account is at the connection that is taken over, if they have not moved.
pub(super) async fn user_there(
    conn: &mut Conn,
    (tenant, from): (&TenantId, &ConnectionId),
    account: &AccountId,
) -> Result<Option<ResourceId>> {
    let row = sqlx::query(THERE_BY_ACCOUNT).bind(tenant.as_str()).bind(account.as_str()).bind(from.as_str()).fetch_optional(conn).await?;
    row.map(|row| Ok(ResourceId(row.try_get("there")?))).transpose()
}
