//! Holds as they are listed, looked into and closed: changes that wait together.

use serde_json::json;
use sqlx::{QueryBuilder, Row as _};

use super::batch::Batch;
use super::guard;
use super::history::{self, Stamp};
use super::rows::{Row, json, word};
use super::{Conn, Db, Scope, lock_revision};
use crate::model::{AccountId, Actor, Hold, HoldState, Instant, NewEvent, TenantId};
use crate::store::{HeldPerson, Result, StoreError};

/// The columns of [`hold`].
macro_rules! hold_columns {
    () => {
        "h.hold, h.guard, h.state, h.limit_people, h.opened, h.closed,
         (SELECT count(DISTINCT r.account) FROM rulings r WHERE r.tenant = h.tenant AND r.hold = h.hold AND r.state = 'open') AS people"
    };
}

fn hold(row: &Row) -> Result<Hold> {
    let guard: String = row.try_get("guard")?;
    let (direction, scope, of) = guard::parts(&guard).ok_or_else(|| StoreError::Corrupt(format!("unknown guard `{guard}`")))?;
    Ok(Hold {
        id: row.try_get("hold")?,
        scope,
        of: of.to_owned(),
        direction,
        state: word(row.try_get("state")?, HoldState::from_word)?,
        limit: row.try_get("limit_people")?,
        opened: Instant(row.try_get("opened")?),
        closed: row.try_get::<Option<i64>, _>("closed")?.map(Instant),
        people: row.try_get("people")?,
    })
}

/// Holds, newest first, behind one.
pub(super) async fn holds(
    conn: &mut Conn,
    tenant: &TenantId,
    state: Option<HoldState>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Hold>> {
    let mut sql = select_holds(tenant, state, after, limit);
    let rows = sql.build().fetch_all(conn).await?;
    rows.iter().map(hold).collect()
}

/// The SELECT of [`holds`].
pub(super) fn select_holds(tenant: &TenantId, state: Option<HoldState>, after: Option<&str>, limit: i64) -> QueryBuilder<Db> {
    let mut sql = QueryBuilder::<Db>::new(concat!("SELECT ", hold_columns!(), " FROM holds h WHERE h.tenant = "));
    sql.push_bind(tenant.0.clone());
    if let Some(state) = state {
        sql.push(" AND h.state = ").push_bind(state.word());
    }
    if let Some(after) = after {
        sql.push(" AND (h.opened, h.hold) < (SELECT o.opened, o.hold FROM holds o WHERE o.tenant = ").push_bind(tenant.0.clone());
        sql.push(" AND o.hold = ").push_bind(after.to_owned()).push(")");
    }
    sql.push(" ORDER BY h.opened DESC, h.hold DESC LIMIT +").push_bind(limit);
    sql
}

/// A hold by id.
pub(super) async fn find_hold(conn: &mut Conn, tenant: &TenantId, id: &str) -> Result<Option<Hold>> {
    let row = sqlx::query(concat!("SELECT ", hold_columns!(), " FROM holds h WHERE h.tenant = $1 AND h.hold = $2"))
        .bind(tenant.as_str())
        .bind(id)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(hold).transpose()
}

/// Locks a hold that is open, so that nobody joins it while it is closed.
const LOCK: &str = concat!("SELECT 1 FROM holds WHERE tenant = $1 AND hold = $2 AND state = 'open'", for_update!());
/// Closes a hold in which nobody waits.
pub(super) const CLOSE: &str = "UPDATE holds SET state = 'closed', closed = $3 WHERE tenant = $1 AND hold = $2 AND state = 'open'
     AND NOT EXISTS (SELECT 1 FROM rulings r WHERE r.tenant = $1 AND r.hold = $2 AND r.state = 'open')";

/// A hold in which nobody waits is closed: the last was answered, or resolved by itself.
pub(super) async fn close_if_empty(conn: &mut Conn, scope: &Scope, hold: &str, why: &str, stamp: Stamp<'_>) -> Result<()> {
    sqlx::query(LOCK).bind(scope.tenant.as_str()).bind(hold).execute(&mut *conn).await?;
    let closed = sqlx::query(CLOSE).bind(scope.tenant.as_str()).bind(hold).bind(stamp.at.0).execute(&mut *conn).await?;
    if closed.rows_affected() == 0 {
        return Ok(());
    }
    let event = NewEvent { kind: "hold.closed", account: None, data: json!({"hold": hold, "why": why}), personal: None, leaver: false };
    history::append(conn, Batch::new(), scope, stamp, &[event], None).await
}

/// Open holds in which nobody waits. Those that are open are few, and found before they are sorted: of each one row is asked.
pub(super) const EMPTY: &str = "WITH opened AS MATERIALIZED (SELECT h.tenant, h.hold FROM holds h WHERE h.state = 'open')
     SELECT o.tenant, o.hold FROM opened o
     WHERE NOT EXISTS (SELECT 1 FROM rulings r WHERE r.tenant = o.tenant AND r.hold = o.hold AND r.state = 'open')
     ORDER BY o.tenant, o.hold LIMIT +$1";

/// [`EMPTY`].
pub(super) async fn empty(conn: &mut Conn, limit: i64) -> Result<Vec<(TenantId, String)>> {
    let found: Vec<(String, String)> = sqlx::query_as(EMPTY).bind(limit).fetch_all(conn).await?;
    Ok(found.into_iter().map(|(tenant, hold)| (TenantId(tenant), hold)).collect())
}

/// See [`crate::store::Rulings::close_resolved`].
pub(super) async fn close_resolved(conn: &mut Conn, scope: &Scope, hold: &str, actor: &Actor, at: Instant) -> Result<()> {
    lock_revision(conn, &scope.tenant, false).await?;
    close_if_empty(conn, scope, hold, "resolved", Stamp { at, actor, request_id: None }).await
}

/// Whoever waits in a hold, with what they go by.
pub(super) const PEOPLE: &str = "SELECT DISTINCT a.account, a.user_name, a.profile FROM rulings r
     JOIN accounts a ON a.tenant = r.tenant AND a.account = r.account
     WHERE r.tenant = $1 AND r.hold = $2 AND r.state = 'open' AND r.account > $3 ORDER BY a.account LIMIT +$4";

/// See [`crate::store::Rulings::people_in_hold`].
pub(super) async fn people(conn: &mut Conn, tenant: &TenantId, hold: &str, after: &str, limit: i64) -> Result<Vec<HeldPerson>> {
    let rows = sqlx::query(PEOPLE).bind(tenant.as_str()).bind(hold).bind(after).bind(limit).fetch_all(conn).await?;
    let person = |row: &Row| {
        let profile: serde_json::Value = json(row.try_get("profile")?, "a profile")?;
        Ok(HeldPerson {
            account: AccountId(row.try_get("account")?),
            user_name: row.try_get("user_name")?,
            email: profile["email"].as_str().map(str::to_owned),
        })
    };
    rows.iter().map(person).collect()
}
