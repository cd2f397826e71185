//! Moving house, as it is written: which connection takes over from which, accounts that change connections together with what was said of
//! them, and their way back.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{QueryBuilder, Row as _};

use super::batch::Batch;
use super::history::{self, Stamp};
use super::rows::{Row, json as json_of, json_text, word};
use super::work::{Below, fan_out, mark};
use super::{Conn, Db, Scope, groups, imports, lock_revision, tenancy, text_list};
use crate::model::{
    AccountId, AccountState, Actor, Cause, ConnectionId, ConnectionState, Handle, Instant, NewEvent, Note, ResourceId, TenantId,
};
use crate::store::{GoBack, MovedAway, MovedPerson, Result, StoreError, TakeOver};

/// People who change connections in one statement: far below both databases' limits on parameters.
pub(super) const MOVED_AT_ONCE: usize = 500;

/// From which connection one takes over.
pub(super) const PREDECESSOR: &str = "SELECT predecessor FROM predecessors WHERE tenant = $1 AND connection = $2";
/// Whether another connection in staging takes over from one.
pub(super) const ELSEWHERE: &str = "SELECT EXISTS (
         SELECT 1 FROM predecessors p JOIN connections c ON c.tenant = p.tenant AND c.connection = p.connection
         WHERE p.tenant = $1 AND p.predecessor = $2 AND p.connection <> $3 AND c.state = 'staging'
     )";
/// Whether a connection's group may have a handle beside another's: they are one family, and it has none of that name.
pub(super) const SHARES_HANDLE: &str = "SELECT EXISTS (
         SELECT 1 FROM predecessors p WHERE p.tenant = $1
         AND (p.connection = $2 AND p.predecessor = $3 OR p.connection = $3 AND p.predecessor = $2)
     ) AND NOT EXISTS (SELECT 1 FROM handles h WHERE h.tenant = $1 AND h.handle = $4 AND h.connection = $2)";
/// Who has moved to a connection, behind one.
pub(super) const MOVED: &str = concat!(
    "SELECT m.resource, m.old_connection, m.old_resource, m.account, m.placeholder, n.account AS has,
            o.account AS has_there, a.state, a.note, a.user_name, COALESCE(r.active, TRUE) AS active_there
     FROM moves m",
    joined!("accounts", "a", "a.tenant = m.tenant AND a.account = m.account"),
    joined_if_any!("links", "n", "n.tenant = m.tenant AND n.connection = m.connection AND n.resource = m.resource"),
    joined_if_any!("links", "o", "o.tenant = m.tenant AND o.connection = m.old_connection AND o.resource = m.old_resource"),
    joined_if_any!("resources", "r", "r.tenant = m.tenant AND r.connection = m.old_connection AND r.id = m.old_resource"),
    " WHERE m.tenant = $1 AND m.connection = $2 AND m.resource > $3 ORDER BY m.resource LIMIT +$4"
);
/// How many have moved away from a connection, by the one that they moved to.
pub(super) const MOVED_AWAY: &str = concat!(
    "SELECT m.connection, count(n.account) AS there, count(e.resource) AS here FROM moves m",
    joined_if_any!(
        "links",
        "n",
        "n.tenant = m.tenant AND n.connection = m.connection AND n.resource = m.resource AND n.account = m.account"
    ),
    joined_if_any!("evaluations", "e", "e.tenant = m.tenant AND e.connection = m.old_connection AND e.resource = m.old_resource"),
    " WHERE m.tenant = $1 AND m.old_connection = $2 GROUP BY m.connection ORDER BY m.connection"
);

/// From which connection one takes over.
pub(super) async fn predecessor(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<Option<ConnectionId>> {
    let found: Option<String> =
        sqlx::query_scalar(PREDECESSOR).bind(tenant.as_str()).bind(connection.as_str()).fetch_optional(conn).await?;
    Ok(found.map(ConnectionId))
}

/// See [`crate::store::Moves::moved_away`].
pub(super) async fn moved_away(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<MovedAway>> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(MOVED_AWAY).bind(tenant.as_str()).bind(connection.as_str()).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(to, there, here)| MovedAway { to: ConnectionId(to), there, here }).collect())
}

/// See [`crate::store::Moves::shares_handle`].
pub(super) async fn shares_handle(
    conn: &mut Conn,
    tenant: &TenantId,
    (connection, other): (&ConnectionId, &ConnectionId),
    handle: &Handle,
) -> Result<bool> {
    let shares = sqlx::query_scalar(SHARES_HANDLE)
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(other.as_str())
        .bind(handle.as_str())
        .fetch_one(conn)
        .await?;
    Ok(shares)
}

/// See [`crate::store::Moves::set_predecessor`].
pub(super) async fn set_predecessor(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    predecessor: Option<&ConnectionId>,
    (actor, at): (&Actor, Instant),
) -> Result<()> {
    let tenant = &scope.tenant;
    // Alone: two connections that are to take over from one another, or from the same one, come one after the other.
    lock_revision(conn, tenant, true).await?;
    imports::lock(conn, tenant).await?;
    let name = tenancy::lock_connection(conn, tenant, connection).await?;
    if tenancy::state_of(conn, tenant, connection).await? != ConnectionState::Staging {
        return Err(StoreError::Conflict { what: "connection_state" });
    }
    if let Some(predecessor) = predecessor {
        let taken: bool = sqlx::query_scalar(ELSEWHERE)
            .bind(tenant.as_str())
            .bind(predecessor.as_str())
            .bind(connection.as_str())
            .fetch_one(&mut *conn)
            .await?;
        let in_staging = tenancy::state_of(conn, tenant, predecessor).await? == ConnectionState::Staging;
        if taken || in_staging {
            return Err(StoreError::Conflict { what: "predecessor" });
        }
    }
    if self::predecessor(conn, tenant, connection).await?.as_ref() == predecessor {
        return Ok(());
    }
    sqlx::query("DELETE FROM predecessors WHERE tenant = $1 AND connection = $2")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .execute(&mut *conn)
        .await?;
    // What its groups had beside those of the connection before, they have no longer.
    groups::release_shared(conn, tenant, connection).await?;
    if let Some(predecessor) = predecessor {
        sqlx::query("INSERT INTO predecessors (tenant, connection, predecessor, said) VALUES ($1, $2, $3, $4)")
            .bind(tenant.as_str())
            .bind(connection.as_str())
            .bind(predecessor.as_str())
            .bind(at.0)
            .execute(&mut *conn)
            .await?;
    }
    imports::moved(conn, tenant).await?;
    fan_out(conn, tenant, Below::Connection(connection), Cause::HandleChange, at).await?;
    let data = json!({"connection": connection, "name": name, "from": predecessor});
    tenancy::record(conn, scope, actor, at, "connection.taking_over", data).await
}

/// See [`crate::store::Moves::moved`].
pub(super) async fn moved(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    after: &str,
    limit: i64,
) -> Result<Vec<MovedPerson>> {
    let found = sqlx::query(MOVED).bind(tenant.as_str()).bind(connection.as_str()).bind(after).bind(limit).fetch_all(conn).await?;
    found.iter().map(moved_person).collect()
}

fn moved_person(row: &Row) -> Result<MovedPerson> {
    let note = row.try_get::<Option<&str>, _>("note")?.map(|text| json_of::<Note>(text, "a note")).transpose()?;
    Ok(MovedPerson {
        is_absent: note.is_some_and(|note| note.code == Note::ABSENT),
        user: ResourceId(row.try_get("resource")?),
        from: ConnectionId(row.try_get("old_connection")?),
        from_user: ResourceId(row.try_get("old_resource")?),
        account: AccountId(row.try_get("account")?),
        placeholder: AccountId(row.try_get("placeholder")?),
        has: row.try_get::<Option<String>, _>("has")?.map(AccountId),
        has_there: row.try_get::<Option<String>, _>("has_there")?.map(AccountId),
        state: word(row.try_get("state")?, AccountState::from_word)?,
        user_name: row.try_get("user_name")?,
        inactive_there: !row.try_get::<bool, _>("active_there")?,
    })
}

/// A user, with the account that they are to have.
type Joined<'a> = (&'a ConnectionId, &'a ResourceId, &'a AccountId);

/// Joins users to accounts. Each account has one user: the links that were go first.
async fn join(conn: &mut Conn, tenant: &TenantId, joined: &[Joined<'_>]) -> Result<()> {
    sqlx::query(concat!("DELETE FROM links WHERE tenant = $1 AND ", any_of!("account", "$2")))
        .bind(tenant.as_str())
        .bind(text_list(joined.iter().map(|(.., account)| account.as_str())))
        .execute(&mut *conn)
        .await?;
    for joined in joined.chunks(MOVED_AT_ONCE) {
        let mut sql = QueryBuilder::<Db>::new("INSERT INTO links (tenant, connection, resource, account) ");
        sql.push_values(joined, |mut row, (connection, user, account)| {
            row.push_bind(tenant.as_str()).push_bind(connection.as_str()).push_bind(user.as_str()).push_bind(account.as_str());
        });
        sql.build().persistent(false).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Those of the pairs of a user and an account that are joined.
async fn count_joined(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, pairs: &[[&str; 2]]) -> Result<usize> {
    let count: i64 = sqlx::query_scalar(concat!(
        "SELECT count(*) FROM ",
        pairs_of!("$3"),
        " AS pairs JOIN links l ON l.tenant = $1 AND l.connection = $2 AND l.resource = pairs.one AND l.account = pairs.two"
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(json_text(&pairs, "pairs")?)
    .fetch_one(conn)
    .await?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Puts accounts into a state in which they have no name and stand for nobody in use, with a note.
async fn stand_in(
    conn: &mut Conn,
    tenant: &TenantId,
    accounts: &[&AccountId],
    (state, note): (AccountState, &Note),
    at: Instant,
) -> Result<()> {
    sqlx::query(concat!(
        "UPDATE accounts SET state = $3, user_name = NULL, user_name_folded = NULL, name_key = NULL, wanted_key = NULL, profile = 'null',
             provenance = 'null', note = $4, modified = $5
         WHERE tenant = $1 AND ",
        any_of!("account", "$2")
    ))
    .bind(tenant.as_str())
    .bind(text_list(accounts.iter().map(|account| account.as_str())))
    .bind(state.word())
    .bind(json_text(note, "a note")?)
    .bind(at.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes of accounts that another connection decides about from now on.
async fn note_taken_over(conn: &mut Conn, tenant: &TenantId, accounts: &[&AccountId], to: &ConnectionId, at: Instant) -> Result<()> {
    let message = format!("came to connection `{to}`: its roles stay as they are until they are decided there");
    note_all(conn, tenant, accounts, &Note { code: Note::TAKEN_OVER.into(), path: None, message }, at).await
}

/// Gives accounts a note.
pub(super) async fn note_all(conn: &mut Conn, tenant: &TenantId, accounts: &[&AccountId], note: &Note, at: Instant) -> Result<()> {
    sqlx::query(concat!("UPDATE accounts SET note = $3, modified = $4 WHERE tenant = $1 AND ", any_of!("account", "$2")))
        .bind(tenant.as_str())
        .bind(text_list(accounts.iter().map(|account| account.as_str())))
        .bind(json_text(note, "a note")?)
        .bind(at.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Lets what was said of accounts that were made in staging be said of those that their users have instead; what waited for it is over.
pub(super) async fn pass_rulings(conn: &mut Conn, tenant: &TenantId, pairs: &[(&AccountId, &AccountId)]) -> Result<()> {
    let passed: Vec<[&str; 2]> = pairs.iter().map(|(made, instead)| [made.as_str(), instead.as_str()]).collect();
    sqlx::query(concat!(
        "UPDATE rulings SET account = pairs.two FROM ",
        pairs_of!("$2"),
        " AS pairs WHERE rulings.tenant = $1 AND rulings.account = pairs.one AND rulings.state <> 'ended' AND rulings.kind <> 'adoption'"
    ))
    .bind(tenant.as_str())
    .bind(json_text(&passed, "pairs")?)
    .execute(&mut *conn)
    .await?;
    sqlx::query(concat!("UPDATE rulings SET state = 'ended' WHERE tenant = $1 AND state <> 'ended' AND ", any_of!("account", "$2")))
        .bind(tenant.as_str())
        .bind(text_list(pairs.iter().map(|(made, _)| made.as_str())))
        .execute(conn)
        .await?;
    Ok(())
}

/// An event about an account that says nothing personal.
pub(super) fn about(account: &AccountId, kind: &'static str, data: serde_json::Value) -> NewEvent {
    NewEvent { kind, account: Some(account.clone()), data, personal: None, leaver: false }
}

/// Moves accounts to the users of another connection: their roles, and what was said of them, stay as they are. What was made for those
/// users stands for them where they came from. `note` is what it says there.
pub(super) async fn take_over(
    conn: &mut Conn,
    scope: &Scope,
    (connection, from): (&ConnectionId, &ConnectionId),
    (people, note): (&[TakeOver], &Note),
    stamp: Stamp<'_>,
) -> Result<()> {
    let tenant = &scope.tenant;
    let theirs: Vec<[&str; 2]> = people.iter().map(|person| [person.user.as_str(), person.made.as_str()]).collect();
    let there: Vec<[&str; 2]> = people.iter().map(|person| [person.from_user.as_str(), person.account.as_str()]).collect();
    // What was computed of either before is about another account.
    mark(conn, tenant, connection, people.iter().map(|person| &person.user), Cause::Resumed, stamp.at).await?;
    mark(conn, tenant, from, people.iter().map(|person| &person.from_user), Cause::Resumed, stamp.at).await?;
    let joined = count_joined(conn, tenant, connection, &theirs).await? + count_joined(conn, tenant, from, &there).await?;
    if joined != people.len() * 2 {
        return Err(StoreError::Conflict { what: "import" });
    }
    let to = people.iter().map(|person| (connection, &person.user, &person.account));
    let back = people.iter().map(|person| (from, &person.from_user, &person.made));
    join(conn, tenant, &to.chain(back).collect::<Vec<_>>()).await?;
    let made: Vec<&AccountId> = people.iter().map(|person| &person.made).collect();
    let accounts: Vec<&AccountId> = people.iter().map(|person| &person.account).collect();
    let pairs: Vec<(&AccountId, &AccountId)> = people.iter().map(|person| (&person.made, &person.account)).collect();
    pass_rulings(conn, tenant, &pairs).await?;
    let mut events = drop_waiting(conn, tenant, &made, "moved").await?;
    stand_in(conn, tenant, &made, (AccountState::OutOfScope, note), stamp.at).await?;
    note_taken_over(conn, tenant, &accounts, connection, stamp.at).await?;
    keep(conn, tenant, (connection, from), people, stamp).await?;
    for person in people {
        let data =
            json!({"connection": connection, "user": person.user, "from": from, "from_user": person.from_user, "instead_of": person.made});
        events.push(about(&person.account, "account.moved", data));
        let stands = json!({"state": AccountState::OutOfScope, "why": "moved", "account": person.account, "connection": from, "user": person.from_user});
        events.push(about(&person.made, "account.out_of_scope", stands));
    }
    history::append(conn, Batch::new(), scope, stamp, &events, None).await
}

/// Takes away the roles that wait; the events that say so.
pub(super) async fn drop_waiting(conn: &mut Conn, tenant: &TenantId, accounts: &[&AccountId], why: &str) -> Result<Vec<NewEvent>> {
    let waited: Vec<(String, String, String)> =
        sqlx::query_as(concat!("DELETE FROM grants WHERE tenant = $1 AND ", any_of!("account", "$2"), " RETURNING account, role, state"))
            .bind(tenant.as_str())
            .bind(text_list(accounts.iter().map(|account| account.as_str())))
            .fetch_all(conn)
            .await?;
    let event = |(account, role, state): (String, String, String)| {
        about(&AccountId(account), "grant.removed", json!({"role": role, "was": state, "why": why}))
    };
    Ok(waited.into_iter().map(event).collect())
}

/// Writes down who has moved, so that there is a way back.
async fn keep(
    conn: &mut Conn,
    tenant: &TenantId,
    (connection, from): (&ConnectionId, &ConnectionId),
    people: &[TakeOver],
    stamp: Stamp<'_>,
) -> Result<()> {
    let mut sql = QueryBuilder::<Db>::new(
        "INSERT INTO moves (tenant, connection, resource, old_connection, old_resource, account, placeholder, moved, moved_kind, moved_id) ",
    );
    sql.push_values(people, |mut row, person| {
        row.push_bind(tenant.as_str())
            .push_bind(connection.as_str())
            .push_bind(person.user.as_str())
            .push_bind(from.as_str())
            .push_bind(person.from_user.as_str())
            .push_bind(person.account.as_str())
            .push_bind(person.made.as_str())
            .push_bind(stamp.at.0)
            .push_bind(&stamp.actor.kind)
            .push_bind(&stamp.actor.id);
    });
    // Somebody who could not go back the last time, and moves again from another user.
    sql.push(
        " ON CONFLICT (tenant, connection, resource) DO UPDATE SET old_connection = excluded.old_connection,
              old_resource = excluded.old_resource, account = excluded.account, placeholder = excluded.placeholder,
              moved = excluded.moved, moved_kind = excluded.moved_kind, moved_id = excluded.moved_id",
    );
    sql.build().persistent(false).execute(conn).await?;
    Ok(())
}

/// See [`crate::store::Moves::go_back`].
pub(super) async fn go_back(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    (people, totals): (&[GoBack], &serde_json::Value),
    (actor, at): (&Actor, Instant),
) -> Result<()> {
    let tenant = &scope.tenant;
    // Alone: no change of anybody is under way, so that whoever can go back when this begins still can.
    lock_revision(conn, tenant, true).await?;
    imports::lock(conn, tenant).await?;
    let name = tenancy::lock_connection(conn, tenant, connection).await?;
    if tenancy::state_of(conn, tenant, connection).await? == ConnectionState::Staging {
        return Err(StoreError::Conflict { what: "not_live" });
    }
    let stamp = Stamp { at, actor, request_id: None };
    let mut by_connection = BTreeMap::<&ConnectionId, Vec<&GoBack>>::new();
    for person in people {
        by_connection.entry(&person.from.0).or_default().push(person);
    }
    for (from, people) in by_connection {
        for people in people.chunks(MOVED_AT_ONCE) {
            give_back(conn, scope, (connection, from), people, stamp).await?;
        }
    }
    sqlx::query("UPDATE connections SET state = $3 WHERE tenant = $1 AND connection = $2")
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(ConnectionState::Staging.word())
        .execute(&mut *conn)
        .await?;
    imports::moved(conn, tenant).await?;
    fan_out(conn, tenant, Below::Connection(connection), Cause::Resumed, at).await?;
    let data = json!({"connection": connection, "name": name, "totals": totals});
    tenancy::record(conn, scope, actor, at, "connection.moved_back", data).await
}

async fn give_back(
    conn: &mut Conn,
    scope: &Scope,
    (connection, from): (&ConnectionId, &ConnectionId),
    people: &[&GoBack],
    stamp: Stamp<'_>,
) -> Result<()> {
    let tenant = &scope.tenant;
    let theirs: Vec<[&str; 2]> = people.iter().map(|person| [person.user.as_str(), person.account.as_str()]).collect();
    let there: Vec<[&str; 2]> = people.iter().map(|person| [person.from.1.as_str(), person.placeholder.as_str()]).collect();
    mark(conn, tenant, connection, people.iter().map(|person| &person.user), Cause::Resumed, stamp.at).await?;
    mark(conn, tenant, from, people.iter().map(|person| &person.from.1), Cause::Resumed, stamp.at).await?;
    let joined = count_joined(conn, tenant, connection, &theirs).await? + count_joined(conn, tenant, from, &there).await?;
    let accounts: Vec<&AccountId> = people.iter().map(|person| &person.account).collect();
    let gone: i64 = sqlx::query_scalar(concat!(
        "SELECT count(*) FROM accounts WHERE tenant = $1 AND state IN ('suspended', 'removed') AND ",
        any_of!("account", "$2")
    ))
    .bind(tenant.as_str())
    .bind(text_list(accounts.iter().map(|account| account.as_str())))
    .fetch_one(&mut *conn)
    .await?;
    let inactive: i64 = sqlx::query_scalar(concat!(
        "SELECT count(*) FROM resources WHERE tenant = $1 AND connection = $2 AND active = FALSE AND ",
        any_of!("id", "$3")
    ))
    .bind(tenant.as_str())
    .bind(from.as_str())
    .bind(text_list(people.iter().map(|person| person.from.1.as_str())))
    .fetch_one(&mut *conn)
    .await?;
    if joined != people.len() * 2 || gone > 0 || inactive > 0 {
        return Err(StoreError::Conflict { what: "move" });
    }
    let to = people.iter().map(|person| (from, &person.from.1, &person.account));
    let back = people.iter().map(|person| (connection, &person.user, &person.placeholder));
    join(conn, tenant, &to.chain(back).collect::<Vec<_>>()).await?;
    let placeholders: Vec<&AccountId> = people.iter().map(|person| &person.placeholder).collect();
    let message = "the connection is in staging: nothing has effect before it goes live".to_owned();
    let staged = Note { code: Note::STAGING.into(), path: None, message };
    stand_in(conn, tenant, &placeholders, (AccountState::Held, &staged), stamp.at).await?;
    note_taken_over(conn, tenant, &accounts, from, stamp.at).await?;
    sqlx::query(concat!("DELETE FROM moves WHERE tenant = $1 AND connection = $2 AND ", any_of!("resource", "$3")))
        .bind(tenant.as_str())
        .bind(connection.as_str())
        .bind(text_list(people.iter().map(|person| person.user.as_str())))
        .execute(&mut *conn)
        .await?;
    let events: Vec<NewEvent> = people
        .iter()
        .flat_map(|person| {
            let (from, from_user) = &person.from;
            let data = json!({"connection": from, "user": from_user, "from": connection, "from_user": person.user, "instead_of": person.placeholder});
            let stands = json!({"state": AccountState::Held, "why": "moved_back", "account": person.account});
            [about(&person.account, "account.moved_back", data), about(&person.placeholder, "account.held", stands)]
        })
        .collect();
    history::append(conn, Batch::new(), scope, stamp, &events, None).await
}
