//! The end of a whole connection: as if each of its people had been deleted, in one transaction and bounded memory.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::Row as _;

use super::batch::Batch;
use super::history::{self, Stamp};
use super::rows;
use super::work::mark_waiting_for;
use super::{Conn, Scope, groups, left, lock_revision, steps, tenancy, text_list};
use crate::model::{AccountId, AccountState, Actor, ConnectionId, Grant, Instant, NewEvent, Note, Reason};
use crate::store::Result;

/// People whose accounts are removed at once: bounds what is in memory.
const BATCH: i64 = 500;

/// Ends what waits for an answer about people who leave, or was answered: nobody is left to be asked about, or to be given back. Exceptions
/// are of the account, and go on.
pub(super) const END_RULINGS: &str = concat!(
    "UPDATE rulings SET state = 'ended', settle_at = NULL WHERE tenant = $1 AND state <> 'ended'
     AND kind IN ('approval', 'loss', 'gain', 'adoption', 'restored') AND ",
    any_of!("account", "$2")
);

/// An account that is about to be removed.
struct Leaver {
    resource: String,
    account: AccountId,
    state: AccountState,
    name_key: Option<String>,
    note: Option<Note>,
}

impl Leaver {
    /// Whether they were in use, or away for a time: nobody else has a leavers' process.
    fn was_there(&self) -> bool {
        let is_away = || self.note.as_ref().is_some_and(|note| note.code == Note::ABSENT);
        self.state == AccountState::Active || self.state == AccountState::Suspended && is_away()
    }
}

/// Deletes a connection.
pub(super) async fn delete_connection(conn: &mut Conn, scope: &Scope, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<()> {
    // Alone: no change of the connection's people is under way when this has begun.
    lock_revision(conn, &scope.tenant, true).await?;
    let name = tenancy::lock_connection(conn, &scope.tenant, connection).await?;
    let stamp = Stamp { at, actor, request_id: None };
    let mut after = String::new();
    let mut people = 0_usize;
    loop {
        let batch = leavers(conn, scope, connection, &after).await?;
        let Some(last) = batch.last() else { break };
        after.clone_from(&last.resource);
        people += batch.len();
        let there: Vec<&AccountId> = batch.iter().filter(|leaver| leaver.was_there()).map(|leaver| &leaver.account).collect();
        left::remember(conn, &scope.tenant, connection, &there, at).await?;
        remove_accounts(conn, scope, stamp, &batch).await?;
    }
    // Rows that refer to resources first; the rest goes with the connection.
    let freed: Vec<String> = sqlx::query_scalar("DELETE FROM handles WHERE tenant = $1 AND connection = $2 RETURNING handle")
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .fetch_all(&mut *conn)
        .await?;
    for statement in [
        "UPDATE rulings SET state = 'ended' WHERE tenant = $1 AND kind = 'drift' AND state <> 'ended' AND hold IN
             (SELECT hold FROM reconciliations WHERE tenant = $1 AND connection = $2)",
        "DELETE FROM members WHERE tenant = $1 AND connection = $2",
        "DELETE FROM fan_outs WHERE tenant = $1 AND connection = $2",
        "DELETE FROM connections WHERE tenant = $1 AND connection = $2",
    ] {
        sqlx::query(statement).bind(scope.tenant.as_str()).bind(connection.as_str()).execute(&mut *conn).await?;
    }
    // What another connection's groups had beside its groups, they have alone.
    groups::promote(conn, &scope.tenant, &freed).await?;
    let data = json!({"connection": connection, "name": name, "people": people});
    tenancy::record(conn, scope, actor, at, "connection.deleted", data).await
}

/// The next accounts of a connection.
pub(super) const LEAVERS: &str = concat!(
    "SELECT l.resource, a.account, a.state, a.name_key, a.note FROM links l",
    joined!("accounts", "a", "a.tenant = l.tenant AND a.account = l.account"),
    " WHERE l.tenant = $1 AND l.connection = $2 AND l.resource > $3 ORDER BY l.resource LIMIT +$4"
);

async fn leavers(conn: &mut Conn, scope: &Scope, connection: &ConnectionId, after: &str) -> Result<Vec<Leaver>> {
    let found = sqlx::query(LEAVERS).bind(scope.tenant.as_str()).bind(connection.as_str()).bind(after).bind(BATCH).fetch_all(conn).await?;
    found.iter().map(leaver).collect()
}

fn leaver(row: &rows::Row) -> Result<Leaver> {
    let note: Option<String> = row.try_get("note")?;
    Ok(Leaver {
        resource: row.try_get("resource")?,
        account: AccountId(row.try_get("account")?),
        state: rows::word(row.try_get("state")?, AccountState::from_word)?,
        name_key: row.try_get("name_key")?,
        note: note.map(|note| rows::json(&note, "a note")).transpose()?,
    })
}

async fn remove_accounts(conn: &mut Conn, scope: &Scope, stamp: Stamp<'_>, leavers: &[Leaver]) -> Result<()> {
    let ids = || text_list(leavers.iter().map(|leaver| leaver.account.as_str()));
    let dropped = sqlx::query(concat!(
        "DELETE FROM grants WHERE tenant = $1 AND ",
        any_of!("account", "$2"),
        " RETURNING account, role, state, reasons, since, deadline, revision, waits_for"
    ))
    .bind(scope.tenant.as_str())
    .bind(ids())
    .fetch_all(&mut *conn)
    .await?;
    let mut grants = BTreeMap::<AccountId, Vec<Grant>>::new();
    for row in &dropped {
        grants.entry(AccountId(row.try_get("account")?)).or_default().push(rows::grant(row)?);
    }
    sqlx::query(END_RULINGS).bind(scope.tenant.as_str()).bind(ids()).execute(&mut *conn).await?;
    sqlx::query(concat!(
        "UPDATE accounts SET state = 'removed', name_key = NULL, wanted_key = NULL, note = NULL, modified = $3
         WHERE tenant = $1 AND ",
        any_of!("account", "$2")
    ))
    .bind(scope.tenant.as_str())
    .bind(ids())
    .bind(stamp.at.0)
    .execute(&mut *conn)
    .await?;
    let mut events = Vec::new();
    for leaver in leavers {
        for grant in grants.remove(&leaver.account).unwrap_or_default() {
            let mut data = json!({"role": grant.role, "was": grant.state, "why": "connection_deleted", "reasons": grant.reasons,
                                  "revision": grant.revision});
            let personal = Reason::seal_words(&mut data, None);
            events.push(NewEvent { personal, ..leave(&leaver.account, "grant.removed", data) });
        }
        let data = json!({"state": AccountState::Removed, "before": leaver.state, "why": "connection_deleted"});
        events.push(leave(&leaver.account, "account.removed", data));
    }
    let gone: Vec<&AccountId> = leavers.iter().map(|leaver| &leaver.account).collect();
    events.extend(steps::end_of(conn, &scope.tenant, &gone, stamp).await?);
    history::append(conn, Batch::new(), scope, stamp, &events, None).await?;
    let freed: Vec<String> = leavers.iter().filter_map(|leaver| leaver.name_key.clone()).collect();
    mark_waiting_for(conn, &scope.tenant, &freed, stamp.at).await?;
    Ok(())
}

fn leave(account: &AccountId, kind: &'static str, data: serde_json::Value) -> NewEvent {
    NewEvent { kind, account: Some(account.clone()), data, personal: None, leaver: true }
}
