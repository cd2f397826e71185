//! What is written when a connection goes live with those who adopt an account, and when a person says of somebody whose account is theirs.
//! How accounts change connections is `moving`'s.

use serde_json::json;
use sqlx::{QueryBuilder, Row as _};

use super::adoption::{mark_of, user_there};
use super::batch::Batch;
use super::commit::lock_evaluations;
use super::history::{self, Stamp};
use super::rows::{self, json_text};
use super::work::{Below, fan_out, mark, mark_waiting_for};
use super::{Conn, Db, Scope, accounts, imports, lock_revision, moving, tenancy, text_list};
use crate::crypto::random_id;
use crate::model::{
    AccountId, AccountState, Actor, Cause, ConnectionId, ConnectionState, Instant, NewEvent, Note, ResourceId, RulingKind, RulingState,
    TenantId,
};
use crate::store::{AdoptionChoice, AdoptionPlan, AdoptionWord, DifferenceMark, Result, StoreError, TakeOver};

/// People who change accounts in one statement: far below both databases' limits on parameters.
const ADOPTED_AT_ONCE: usize = 500;

/// See [`crate::store::Imports::go_live`].
pub(super) async fn go_live(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    (plan, seen): (&AdoptionPlan, &DifferenceMark),
    (actor, at): (&Actor, Instant),
) -> Result<std::result::Result<(), DifferenceMark>> {
    // Alone: no change of anybody is under way, so that what was seen is what stands.
    lock_revision(conn, &scope.tenant, true).await?;
    imports::lock(conn, &scope.tenant).await?;
    let name = tenancy::lock_connection(conn, &scope.tenant, connection).await?;
    if tenancy::state_of(conn, &scope.tenant, connection).await? != ConnectionState::Staging {
        return Err(StoreError::Conflict { what: "connection_state" });
    }
    let mark = mark_of(conn, &scope.tenant, connection).await?;
    if mark != *seen {
        return Ok(Err(mark));
    }
    let stamp = Stamp { at, actor, request_id: None };
    for adopted in plan.adopt.chunks(ADOPTED_AT_ONCE) {
        adopt(conn, scope, connection, adopted, stamp).await?;
    }
    if !plan.take_over.is_empty() {
        let from = moving::predecessor(conn, &scope.tenant, connection).await?.ok_or(StoreError::Conflict { what: "import" })?;
        let note = moved_note(connection);
        for people in plan.take_over.chunks(moving::MOVED_AT_ONCE) {
            moving::take_over(conn, scope, (connection, &from), (people, &note), stamp).await?;
        }
    }
    for doubts in plan.doubts.chunks(ADOPTED_AT_ONCE) {
        doubt(conn, &scope.tenant, doubts, stamp).await?;
    }
    sqlx::query("DELETE FROM adoptions WHERE tenant = $1 AND connection = $2")
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .execute(&mut *conn)
        .await?;
    sqlx::query("UPDATE connections SET state = $3 WHERE tenant = $1 AND connection = $2")
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .bind(ConnectionState::Active.word())
        .execute(&mut *conn)
        .await?;
    if !(plan.adopt.is_empty() && plan.take_over.is_empty()) {
        imports::moved(conn, &scope.tenant).await?;
    }
    fan_out(conn, &scope.tenant, Below::Connection(connection), Cause::Resumed, at).await?;
    let data = json!({"connection": connection, "name": name, "totals": plan.totals});
    tenancy::record(conn, scope, actor, at, "connection.live", data).await?;
    Ok(Ok(()))
}

/// What stands at a connection for somebody who has moved to another one says so.
fn moved_note(to: &ConnectionId) -> Note {
    let message = format!("moved to connection `{to}`: their account is there, and what is said of them here decides nothing");
    Note { code: Note::MOVED.into(), path: None, message }
}

/// Joins users to imported accounts in place of those that were made for them. What was said of the latter goes along.
async fn adopt(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    adopted: &[(ResourceId, AccountId, AccountId)],
    stamp: Stamp<'_>,
) -> Result<()> {
    let tenant = &scope.tenant;
    let note = Note { code: Note::ADOPTED.into(), path: None, message: "adopted: its roles are being decided".into() };
    // Whoever is to be adopted must be so still: neither protected nor somebody else's by now.
    let open = sqlx::query(concat!(
        "UPDATE imports SET adopted = $3 WHERE tenant = $1 AND adopted IS NULL AND NOT is_protected AND ",
        any_of!("account", "$2")
    ))
    .bind(tenant.as_str())
    .bind(text_list(adopted.iter().map(|(.., taken)| taken.as_str())))
    .bind(stamp.at.0)
    .execute(&mut *conn)
    .await?;
    if open.rows_affected() != adopted.len() as u64 {
        return Err(StoreError::Conflict { what: "import" });
    }
    // What was computed of them before is about another account.
    mark(conn, tenant, connection, adopted.iter().map(|(user, ..)| user), Cause::Resumed, stamp.at).await?;
    let links: Vec<[&str; 2]> = adopted.iter().map(|(user, _, taken)| [user.as_str(), taken.as_str()]).collect();
    sqlx::query(concat!(
        "UPDATE links SET account = pairs.two FROM ",
        pairs_of!("$3"),
        " AS pairs WHERE links.tenant = $1 AND links.connection = $2 AND links.resource = pairs.one"
    ))
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(json_text(&links, "pairs")?)
    .execute(&mut *conn)
    .await?;
    let pairs: Vec<(&AccountId, &AccountId)> = adopted.iter().map(|(_, made, taken)| (made, taken)).collect();
    moving::pass_rulings(conn, tenant, &pairs).await?;
    let (made, accounts): (Vec<&AccountId>, Vec<&AccountId>) = pairs.into_iter().unzip();
    let mut events = moving::drop_waiting(conn, tenant, &made, "adopted").await?;
    let mut ended = QueryBuilder::<Db>::new("UPDATE accounts SET state = ");
    ended.push_bind(AccountState::Removed.word()).push(", wanted_key = NULL, name_key = NULL, note = NULL, modified = ");
    ended.push_bind(stamp.at.0).push(" WHERE tenant = ").push_bind(tenant.as_str()).push(" AND account IN (");
    let mut listed = ended.separated(", ");
    for made in &made {
        listed.push_bind(made.as_str());
    }
    ended.push(")").build().persistent(false).execute(&mut *conn).await?;
    moving::note_all(conn, tenant, &accounts, &note, stamp.at).await?;
    for (user, made, taken) in adopted {
        events.push(moving::about(taken, "account.adopted", json!({"connection": connection, "user": user, "instead_of": made})));
        events.push(moving::about(made, "account.removed", json!({"state": AccountState::Removed, "why": "adopted", "account": taken})));
    }
    history::append(conn, Batch::new(), scope, stamp, &events, None).await
}

/// Lets people wait for somebody to say whose an imported account is.
async fn doubt(conn: &mut Conn, tenant: &TenantId, accounts: &[AccountId], stamp: Stamp<'_>) -> Result<()> {
    let mut sql =
        QueryBuilder::<Db>::new("INSERT INTO rulings (tenant, ruling, account, role, kind, state, created, created_kind, created_id) ");
    sql.push_values(accounts, |mut row, account| {
        row.push_bind(tenant.as_str())
            .push_bind(random_id())
            .push_bind(account.as_str())
            .push_bind("")
            .push_bind(RulingKind::Adoption.word())
            .push_bind(RulingState::Open.word())
            .push_bind(stamp.at.0)
            .push_bind(&stamp.actor.kind)
            .push_bind(&stamp.actor.id);
    });
    sql.build().persistent(false).execute(conn).await?;
    Ok(())
}

/// See [`crate::store::Imports::choose_account`].
pub(super) async fn choose(conn: &mut Conn, scope: &Scope, connection: &ConnectionId, said: &AdoptionWord) -> Result<()> {
    lock_revision(conn, &scope.tenant, false).await?;
    let tenant = &scope.tenant;
    let locked = lock_evaluations(conn, tenant, connection, [said.user.as_str()]).await?;
    let (_, made) = locked.into_iter().next().map(|(_, locked)| locked).ok_or(StoreError::Missing("user"))?;
    imports::lock(conn, tenant).await?;
    let staged = tenancy::state_of(conn, tenant, connection).await? == ConnectionState::Staging;
    let row = sqlx::query(concat!(
        "SELECT ",
        account_columns!(),
        ", a.wanted_key, ",
        asked_about!(),
        " AS is_asked FROM accounts a WHERE a.tenant = $1 AND a.account = $2"
    ))
    .bind(tenant.as_str())
    .bind(made.as_str())
    .fetch_one(&mut *conn)
    .await?;
    let (account, wanted) = (rows::account(&row)?, row.try_get::<Option<String>, _>("wanted_key")?);
    // Whoever is in use has an account; and so has who was, and was adopted. Who has left while somebody was asked may have had one.
    let is_asked = row.try_get::<bool, _>("is_asked")?;
    let is_open = account.state == AccountState::Held || account.state == AccountState::Suspended && (staged || is_asked);
    if !is_open {
        return Err(StoreError::Conflict { what: "adoption" });
    }
    let from = moving::predecessor(conn, tenant, connection).await?;
    let mut there = None;
    if let AdoptionChoice::Adopt(chosen) = &said.choice {
        there = match &from {
            Some(from) => user_there(conn, (tenant, from), chosen).await?.map(|user| (from, user)),
            None => None,
        };
        check_open(conn, tenant, (chosen, there.is_some()), wanted.as_deref()).await?;
    }
    let stamp = Stamp { at: said.at, actor: &said.actor, request_id: None };
    let chosen = match &said.choice {
        AdoptionChoice::Adopt(chosen) => Some(chosen),
        AdoptionChoice::New => None,
    };
    let data = json!({"connection": connection, "user": said.user, "account": chosen});
    let event = NewEvent {
        kind: "adoption.decided",
        account: Some(made.clone()),
        data,
        personal: Some(json!({"reason": said.reason})),
        leaver: false,
    };
    history::append(conn, Batch::new(), scope, stamp, &[event], None).await?;
    if staged {
        keep_choice(conn, tenant, connection, (&said.user, chosen), said.at).await?;
        return imports::moved(conn, tenant).await;
    }
    match chosen {
        Some(chosen) => {
            match there {
                Some((from, from_user)) => {
                    let person = TakeOver { user: said.user.clone(), made, account: chosen.clone(), from_user };
                    moving::take_over(conn, scope, (connection, from), (&[person], &moved_note(connection)), stamp).await?;
                }
                None => adopt(conn, scope, connection, &[(said.user.clone(), made, chosen.clone())], stamp).await?,
            }
            imports::moved(conn, tenant).await?;
            // Whoever waited for this account's person may wait no more.
            mark_waiting_for(conn, tenant, wanted.as_slice(), said.at).await?;
            Ok(())
        }
        None => {
            let ended = sqlx::query(
                "UPDATE rulings SET state = 'ended' WHERE tenant = $1 AND account = $2 AND kind = 'adoption' AND state = 'open'",
            )
            .bind(tenant.as_str())
            .bind(made.as_str())
            .execute(&mut *conn)
            .await?;
            if ended.rows_affected() == 0 {
                return Err(StoreError::Conflict { what: "adoption" });
            }
            mark(conn, tenant, connection, [&said.user], Cause::Ruling, said.at).await?;
            Ok(())
        }
    }
}

/// That an account is there to be taken over, or was imported and is nobody's, and that the person's name, if it is taken, is its own.
async fn check_open(conn: &mut Conn, tenant: &TenantId, (chosen, is_there): (&AccountId, bool), wanted: Option<&str>) -> Result<()> {
    let is_open: Option<bool> =
        sqlx::query_scalar("SELECT NOT is_protected FROM imports WHERE tenant = $1 AND account = $2 AND adopted IS NULL")
            .bind(tenant.as_str())
            .bind(chosen.as_str())
            .fetch_optional(&mut *conn)
            .await?;
    if !is_there && is_open != Some(true) {
        return Err(StoreError::Conflict { what: "import" });
    }
    let holders = accounts::name_holders(conn, tenant, wanted).await?;
    if holders.into_values().any(|holder| holder != *chosen) { Err(StoreError::Conflict { what: "account_name" }) } else { Ok(()) }
}

async fn keep_choice(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    (user, chosen): (&ResourceId, Option<&AccountId>),
    at: Instant,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO adoptions (tenant, connection, resource, account, decided) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant, connection, resource) DO UPDATE SET account = excluded.account, decided = excluded.decided",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .bind(user.as_str())
    .bind(chosen.map(AccountId::as_str))
    .bind(at.0)
    .execute(conn)
    .await?;
    Ok(())
}
