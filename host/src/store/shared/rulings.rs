//! Approvals, exceptions and holds as they are written and answered.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{QueryBuilder, Row as _};

use super::batch::Batch;
use super::departed;
use super::drift;
use super::guard::Kept;
use super::history::{self, Stamp};
use super::holds;
use super::rows::{Row, word};
use super::work::mark;
use super::{Conn, Db, Scope, lock_revision, text_list};
use crate::crypto::random_id;
use crate::model::{
    AccountId, Actor, Cause, ConnectionId, Instant, NewEvent, NewRuling, ResourceId, RoleId, Ruling, RulingKind, RulingState, TenantId,
};
use crate::store::{ANSWERED_AT_ONCE, Answer, Answered, LEAVES_LIMIT, Result, RulingQuery, StoreError};

/// The columns of [`ruling`].
macro_rules! ruling_columns {
    () => {
        "ruling, account, role, kind, state, hold, starts, ends, created, created_kind, created_id, decided, decided_kind, decided_id, \
         reason, asks, owner, (SELECT a.user_name FROM accounts a WHERE a.tenant = rulings.tenant AND a.account = rulings.account) AS user_name"
    };
}

fn ruling(row: &Row) -> Result<Ruling> {
    let instant = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Instant));
    let role: String = row.try_get("role")?;
    let decided_by: (Option<String>, Option<String>) = (row.try_get("decided_kind")?, row.try_get("decided_id")?);
    Ok(Ruling {
        id: row.try_get("ruling")?,
        account: AccountId(row.try_get("account")?),
        user_name: row.try_get("user_name")?,
        role: Some(role).filter(|role| !role.is_empty()).map(RoleId),
        kind: word(row.try_get("kind")?, RulingKind::from_word)?,
        state: word(row.try_get("state")?, RulingState::from_word)?,
        hold: row.try_get("hold")?,
        starts: instant("starts")?,
        ends: instant("ends")?,
        created: Instant(row.try_get("created")?),
        created_by: Actor { kind: row.try_get("created_kind")?, id: row.try_get("created_id")? },
        decided: instant("decided")?,
        decided_by: decided_by.0.zip(decided_by.1).map(|(kind, id)| Actor { kind, id }),
        reason: row.try_get("reason")?,
        asks: row.try_get("asks")?,
        owner: row.try_get("owner")?,
    })
}

/// What counts still for accounts.
pub(super) const OF_ACCOUNTS: &str = concat!(
    "SELECT ",
    ruling_columns!(),
    " FROM rulings WHERE tenant = $1 AND state <> 'ended' AND ",
    any_of!("account", "$2"),
    " ORDER BY account, created, ruling"
);

/// What counts still for accounts, by account and in the order in which it was made.
pub(super) async fn of_accounts(conn: &mut Conn, tenant: &TenantId, accounts: &[&str]) -> Result<BTreeMap<AccountId, Vec<Ruling>>> {
    let found = sqlx::query(OF_ACCOUNTS).bind(tenant.as_str()).bind(text_list(accounts.iter().copied())).fetch_all(conn).await?;
    let mut rulings = BTreeMap::<AccountId, Vec<Ruling>>::new();
    for row in &found {
        let ruling = ruling(row)?;
        rulings.entry(ruling.account.clone()).or_default().push(ruling);
    }
    Ok(rulings)
}

/// Writes what a change asks for, and ends what counts no longer.
pub(super) async fn write(
    conn: &mut Conn,
    batch: &mut Batch,
    tenant: &TenantId,
    account: &AccountId,
    (asked, ended, kept): (&[NewRuling], &[String], &Kept),
    stamp: Stamp<'_>,
) -> Result<()> {
    if !ended.is_empty() {
        let sql = batch.next(conn, ended.len()).await?;
        sql.push("UPDATE rulings SET state = 'ended', settle_at = NULL WHERE tenant = ")
            .push_bind(tenant.as_str())
            .push(" AND ruling IN (");
        let mut ids = sql.separated(", ");
        for id in ended {
            ids.push_bind(id);
        }
        sql.push(")");
    }
    if !asked.is_empty() {
        let sql = batch.next(conn, asked.len()).await?;
        sql.push(
            "INSERT INTO rulings (tenant, ruling, account, role, kind, state, hold, ends, remind_at, asks, created, created_kind, created_id) ",
        );
        sql.push_values(asked, |mut row, ruling| {
            let hold = match ruling.kind {
                RulingKind::Loss | RulingKind::Restored => kept.losses.as_deref(),
                RulingKind::Gain => kept.gains.as_deref(),
                RulingKind::Approval
                | RulingKind::Grant
                | RulingKind::Forbid
                | RulingKind::Absence
                | RulingKind::Adoption
                | RulingKind::Drift => None,
            };
            row.push_bind(tenant.as_str())
                .push_bind(random_id())
                .push_bind(account.as_str())
                .push_bind(ruling.role.as_ref().map_or("", RoleId::as_str))
                .push_bind(ruling.kind.word())
                .push_bind(RulingState::Open.word())
                .push_bind(hold)
                .push_bind(ruling.ends.map(|at| at.0))
                .push_bind(ruling.remind_at.map(|at| at.0))
                .push_bind(&ruling.asks)
                .push_bind(stamp.at.0)
                .push_bind(&stamp.actor.kind)
                .push_bind(&stamp.actor.id);
        });
    }
    Ok(())
}

/// [`find`].
pub(super) const BY_ID: &str = concat!("SELECT ", ruling_columns!(), " FROM rulings WHERE tenant = $1 AND ruling = $2");

/// A ruling by id.
pub(super) async fn find(conn: &mut Conn, tenant: &TenantId, id: &str) -> Result<Option<Ruling>> {
    let row = sqlx::query(BY_ID).bind(tenant.as_str()).bind(id).fetch_optional(conn).await?;
    row.as_ref().map(ruling).transpose()
}

/// Rulings behind one, by id.
pub(super) async fn list(conn: &mut Conn, tenant: &TenantId, query: &RulingQuery) -> Result<Vec<Ruling>> {
    let mut sql = select(tenant, query);
    let rows = sql.build().fetch_all(conn).await?;
    rows.iter().map(ruling).collect()
}

/// The SELECT of [`list`].
pub(super) fn select<'q>(tenant: &'q TenantId, query: &'q RulingQuery) -> QueryBuilder<Db> {
    let mut sql = QueryBuilder::<Db>::new(concat!("SELECT ", ruling_columns!(), " FROM rulings WHERE tenant = "));
    sql.push_bind(tenant.0.clone());
    // Said also where a state is: the indexes are of what counts still.
    if query.state != Some(RulingState::Ended) {
        sql.push(" AND state <> 'ended'");
    }
    if let Some(state) = query.state {
        sql.push(" AND state = ").push_bind(state.word());
    }
    if let Some(kind) = query.kind {
        sql.push(" AND kind = ").push_bind(kind.word());
    }
    if let Some(account) = &query.account {
        sql.push(" AND account = ").push_bind(account.0.clone());
    }
    if let Some(hold) = &query.hold {
        sql.push(" AND hold = ").push_bind(hold.clone());
    }
    if let Some(after) = &query.after {
        sql.push(" AND ruling > ").push_bind(after.clone());
    }
    sql.push(" ORDER BY ruling LIMIT +").push_bind(query.limit);
    sql
}

/// What is said already of a role.
pub(super) const SAID_ALREADY: &str = "SELECT ruling FROM rulings WHERE tenant = $1 AND account = $2 AND state <> 'ended' AND role = $3
     AND kind IN ('grant', 'forbid')";
/// What is said of an account as a whole, from when to when.
pub(super) const LEAVES: &str =
    "SELECT kind, starts, ends FROM rulings WHERE tenant = $1 AND account = $2 AND state <> 'ended' AND role = ''";

/// Makes an exception.
pub(super) async fn make_exception(conn: &mut Conn, scope: &Scope, made: &Ruling) -> Result<()> {
    lock_revision(conn, &scope.tenant, false).await?;
    let tenant = &scope.tenant;
    let account: Option<String> =
        sqlx::query_scalar(concat!("SELECT account FROM accounts WHERE tenant = $1 AND account = $2", for_update!()))
            .bind(tenant.as_str())
            .bind(made.account.as_str())
            .fetch_optional(&mut *conn)
            .await?;
    account.ok_or(StoreError::Missing("account"))?;
    match &made.role {
        Some(role) => {
            let said = sqlx::query(SAID_ALREADY).bind(tenant.as_str()).bind(made.account.as_str()).bind(role.as_str());
            if said.fetch_optional(&mut *conn).await?.is_some() {
                return Err(StoreError::Conflict { what: "ruling" });
            }
        }
        None => check_leave(conn, tenant, made).await?,
    }
    insert_exceptions(conn, tenant, std::slice::from_ref(made)).await?;
    mark_accounts(conn, tenant, &[made.account.as_str()], made.created).await?;
    let stamp = Stamp { at: made.created, actor: &made.created_by, request_id: None };
    tell(conn, scope, stamp, "exception.made", std::slice::from_ref(made)).await
}

/// A leave may begin before another one ends: whoever is to be out of use now may have a leave ahead.
async fn check_leave(conn: &mut Conn, tenant: &TenantId, made: &Ruling) -> Result<()> {
    let mut leaves: Vec<(String, Option<i64>, Option<i64>)> =
        sqlx::query_as(LEAVES).bind(tenant.as_str()).bind(made.account.as_str()).fetch_all(conn).await?;
    leaves.retain(|(kind, ..)| *kind == made.kind.word());
    let begins = made.starts.unwrap_or(made.created).0;
    let covers = |&(_, starts, ends): &(String, Option<i64>, Option<i64>)| {
        starts.is_none_or(|starts| starts <= begins) && ends.is_none_or(|ends| made.ends.is_some_and(|made| ends >= made.0))
    };
    if leaves.iter().any(covers) {
        return Err(StoreError::Conflict { what: "leave" });
    }
    if leaves.len() >= LEAVES_LIMIT {
        return Err(StoreError::Conflict { what: "leaves" });
    }
    Ok(())
}

async fn insert_exceptions(conn: &mut Conn, tenant: &TenantId, made: &[Ruling]) -> Result<()> {
    let mut sql = QueryBuilder::<Db>::new(
        "INSERT INTO rulings (tenant, ruling, account, role, kind, state, starts, ends, created, created_kind, created_id, reason, owner) ",
    );
    sql.push_values(made, |mut row, made| {
        row.push_bind(tenant.as_str())
            .push_bind(&made.id)
            .push_bind(made.account.as_str())
            .push_bind(made.role.as_ref().map_or("", RoleId::as_str))
            .push_bind(made.kind.word())
            .push_bind(made.state.word())
            .push_bind(made.starts.map(|at| at.0))
            .push_bind(made.ends.map(|at| at.0))
            .push_bind(made.created.0)
            .push_bind(&made.created_by.kind)
            .push_bind(&made.created_by.id)
            .push_bind(&made.reason)
            .push_bind(&made.owner);
    });
    sql.build().execute(conn).await?;
    Ok(())
}

/// Ends exceptions and makes others, a bounded number at once, whose people are locked and marked.
pub(super) async fn replace_exceptions(conn: &mut Conn, scope: &Scope, ended: &[Ruling], made: &[Ruling], stamp: Stamp<'_>) -> Result<()> {
    if !ended.is_empty() {
        sqlx::query(concat!("UPDATE rulings SET state = 'ended' WHERE tenant = $1 AND ", any_of!("ruling", "$2")))
            .bind(scope.tenant.as_str())
            .bind(text_list(ended.iter().map(|ruling| ruling.id.as_str())))
            .execute(&mut *conn)
            .await?;
        tell(conn, scope, stamp, "ruling.ended", ended).await?;
    }
    if made.is_empty() {
        return Ok(());
    }
    insert_exceptions(conn, &scope.tenant, made).await?;
    tell(conn, scope, stamp, "exception.made", made).await
}

/// Ends a ruling before its time.
pub(super) async fn end(conn: &mut Conn, scope: &Scope, id: &str, reason: Option<&str>, actor: &Actor, at: Instant) -> Result<Ruling> {
    lock_revision(conn, &scope.tenant, false).await?;
    let row = sqlx::query(concat!(
        "UPDATE rulings SET state = 'ended', reason = COALESCE($3, reason) WHERE tenant = $1 AND ruling = $2 AND state <> 'ended' RETURNING ",
        ruling_columns!()
    ))
    .bind(scope.tenant.as_str())
    .bind(id)
    .bind(reason)
    .fetch_optional(&mut *conn)
    .await?;
    let ended = ruling(&row.ok_or(StoreError::Missing("ruling"))?)?;
    mark_accounts(conn, &scope.tenant, &[ended.account.as_str()], at).await?;
    tell(conn, scope, Stamp { at, actor, request_id: None }, "ruling.ended", std::slice::from_ref(&ended)).await?;
    Ok(ended)
}

/// Answers rulings of a bounded number of accounts. How many there were.
pub(super) async fn answer(conn: &mut Conn, scope: &Scope, which: &Answered, answer: &Answer) -> Result<i64> {
    lock_revision(conn, &scope.tenant, false).await?;
    let tenant = &scope.tenant;
    let accounts: Vec<String> = match which {
        Answered::One(id) => {
            let account: Option<String> =
                sqlx::query_scalar("SELECT account FROM rulings WHERE tenant = $1 AND ruling = $2 AND state <> 'ended'")
                    .bind(tenant.as_str())
                    .bind(id)
                    .fetch_optional(&mut *conn)
                    .await?;
            vec![account.ok_or(StoreError::Missing("ruling"))?]
        }
        Answered::Hold(hold, only) => {
            let mut sql = QueryBuilder::<Db>::new("SELECT DISTINCT account FROM rulings WHERE tenant = ");
            sql.push_bind(tenant.as_str()).push(" AND hold = ").push_bind(hold).push(" AND state = 'open'");
            if let Some(only) = only {
                sql.push(" AND account IN (");
                let mut ids = sql.separated(", ");
                for account in only {
                    ids.push_bind(account.as_str());
                }
                sql.push(")");
            }
            sql.push(" ORDER BY account LIMIT +").push_bind(ANSWERED_AT_ONCE);
            sql.build_query_scalar().fetch_all(&mut *conn).await?
        }
    };
    if accounts.is_empty() {
        return Ok(0);
    }
    let ids: Vec<&str> = accounts.iter().map(String::as_str).collect();
    // People are locked before what is about them, as everywhere.
    mark_accounts(conn, tenant, &ids, answer.at).await?;
    let mut sql = QueryBuilder::<Db>::new("UPDATE rulings SET state = ");
    sql.push_bind(if answer.yes { RulingState::Yes } else { RulingState::No }.word());
    sql.push(", ends = ").push_bind(answer.ends.map(|at| at.0));
    sql.push(", decided = ").push_bind(answer.at.0);
    sql.push(", decided_kind = ").push_bind(&answer.actor.kind).push(", decided_id = ").push_bind(&answer.actor.id);
    sql.push(", reason = ").push_bind(&answer.reason).push(", owner = ").push_bind(&answer.owner);
    sql.push(" WHERE tenant = ").push_bind(tenant.as_str());
    match which {
        Answered::One(id) => {
            sql.push(" AND ruling = ").push_bind(id).push(" AND state <> 'ended'");
        }
        Answered::Hold(hold, _) => {
            sql.push(" AND hold = ").push_bind(hold).push(" AND state = 'open' AND account IN (");
            let mut listed = sql.separated(", ");
            for id in &ids {
                listed.push_bind(*id);
            }
            sql.push(")");
        }
    }
    sql.push(concat!(" RETURNING ", ruling_columns!()));
    let rows = sql.build().fetch_all(&mut *conn).await?;
    let answered = rows.iter().map(ruling).collect::<Result<Vec<_>>>()?;
    if answered.iter().any(|ruling| ruling.kind == RulingKind::Restored) {
        departed::settle_later(conn, tenant, &ids, answer.at).await?;
    }
    if let Some(hold) = answered.iter().find(|ruling| ruling.kind == RulingKind::Drift).and_then(|ruling| ruling.hold.as_deref()) {
        drift::answered(conn, tenant, hold, answer.at).await?;
    }
    let stamp = Stamp { at: answer.at, actor: &answer.actor, request_id: None };
    tell(conn, scope, stamp, if answer.yes { "ruling.yes" } else { "ruling.no" }, &answered).await?;
    for hold in answered.iter().filter_map(|ruling| ruling.hold.as_deref()).collect::<std::collections::BTreeSet<_>>() {
        holds::close_if_empty(conn, scope, hold, "answered", stamp).await?;
    }
    Ok(i64::try_from(accounts.len()).unwrap_or(i64::MAX))
}

/// The people of accounts.
pub(super) const PEOPLE_OF_ACCOUNTS: &str =
    concat!("SELECT connection, resource FROM links WHERE tenant = $1 AND ", any_of!("account", "$2"));

/// Marks the people of accounts: what was said about them has changed.
pub(super) async fn mark_accounts(conn: &mut Conn, tenant: &TenantId, accounts: &[&str], at: Instant) -> Result<()> {
    let found: Vec<(String, String)> =
        sqlx::query_as(PEOPLE_OF_ACCOUNTS).bind(tenant.as_str()).bind(text_list(accounts.iter().copied())).fetch_all(&mut *conn).await?;
    let mut by_connection = BTreeMap::<ConnectionId, Vec<ResourceId>>::new();
    for (connection, resource) in found {
        by_connection.entry(ConnectionId(connection)).or_default().push(ResourceId(resource));
    }
    let marked: usize = by_connection.values().map(Vec::len).sum();
    for (connection, users) in by_connection {
        mark(conn, tenant, &connection, &users, Cause::Ruling, at).await?;
    }
    if marked < accounts.len() { departed::settle_later(conn, tenant, accounts, at).await } else { Ok(()) }
}

/// What was said, in the history of each person. Reasons are people's own words, and personal.
async fn tell(conn: &mut Conn, scope: &Scope, stamp: Stamp<'_>, kind: &'static str, rulings: &[Ruling]) -> Result<()> {
    let events: Vec<NewEvent> = rulings
        .iter()
        .map(|ruling| NewEvent {
            kind,
            account: Some(ruling.account.clone()),
            data: json!({"ruling": ruling.id, "kind": ruling.kind, "role": ruling.role, "state": ruling.state, "hold": ruling.hold,
                         "starts": ruling.starts, "ends": ruling.ends}),
            personal: (ruling.reason.is_some() || ruling.owner.is_some()).then(|| json!({"reason": ruling.reason, "owner": ruling.owner})),
            leaver: false,
        })
        .collect();
    history::append(conn, Batch::new(), scope, stamp, &events, None).await
}

/// The tenants in which somebody is to be reminded.
pub(super) const DUE_REMINDERS: &str =
    "SELECT DISTINCT tenant FROM (SELECT tenant FROM rulings WHERE remind_at <= $1 ORDER BY remind_at LIMIT +$2) AS due";

/// [`DUE_REMINDERS`].
pub(super) async fn due_reminders(conn: &mut Conn, now: Instant, limit: i64) -> Result<Vec<TenantId>> {
    let tenants: Vec<String> = sqlx::query_scalar(DUE_REMINDERS).bind(now.0).bind(limit).fetch_all(conn).await?;
    Ok(tenants.into_iter().map(TenantId).collect())
}

/// Ends the reminders that are due.
pub(super) const REMIND: &str = concat!(
    "UPDATE rulings SET remind_at = NULL WHERE tenant = $1 AND ",
    among!("ruling", "SELECT ruling FROM rulings WHERE tenant = $1 AND remind_at <= $2 ORDER BY remind_at LIMIT +$3", for_update!()),
    " RETURNING ",
    ruling_columns!()
);

/// Tells of requests that nobody has answered yet, a bounded number of them. How many.
pub(super) async fn remind(conn: &mut Conn, scope: &Scope, limit: i64, actor: &Actor, at: Instant) -> Result<i64> {
    let rows = sqlx::query(REMIND).bind(scope.tenant.as_str()).bind(at.0).bind(limit).fetch_all(&mut *conn).await?;
    let due = rows.iter().map(ruling).collect::<Result<Vec<_>>>()?;
    let open: Vec<Ruling> = due.iter().filter(|ruling| ruling.state == RulingState::Open && !ruling.is_over(at)).cloned().collect();
    tell(conn, scope, Stamp { at, actor, request_id: None }, "approval.reminded", &open).await?;
    Ok(i64::try_from(due.len()).unwrap_or(i64::MAX))
}
