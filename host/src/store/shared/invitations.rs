//! Invitations: made with a token of which only the keyed hash is stored, accepted once, ended.

use serde_json::{Value, json};
use sqlx::{QueryBuilder, Row as _};

use super::batch::Batch;
use super::history::{self, Stamp};
use super::rows::{Row, word};
use super::steps::Settled;
use super::{Conn, Db, Scope, text_list};
use crate::crypto::{INVITATION_PREFIX, new_token, random_id};
use crate::model::{AccountId, AccountState, Actor, Instant, Invitation, InvitationState, NewEvent, TenantId};
use crate::store::{FoundInvitation, InvitationQuery, NewInvitation, Result, StoreError};

/// The columns of [`invitation`].
macro_rules! invitation_columns {
    () => {
        "invitation, account, state, made, made_kind, made_id, expires, ended,
         (SELECT a.user_name FROM accounts a WHERE a.tenant = invitations.tenant AND a.account = invitations.account) AS user_name"
    };
}

/// What stands behind a token.
pub(super) const BY_HASH: &str = "SELECT invitation, hash, state, expires FROM invitations WHERE tenant = $1 AND hash = $2";

/// A tenant's open invitations past their time.
pub(super) const EXPIRED: &str = concat!(
    "SELECT invitation FROM invitations WHERE tenant = $1 AND state = 'open' AND expires <= $2 ORDER BY expires, invitation LIMIT +$3",
    for_update!()
);

fn invitation(row: &Row) -> Result<Invitation> {
    Ok(Invitation {
        id: row.try_get("invitation")?,
        account: AccountId(row.try_get("account")?),
        user_name: row.try_get("user_name")?,
        state: word(row.try_get("state")?, InvitationState::from_word)?,
        made: Instant(row.try_get("made")?),
        made_by: Actor { kind: row.try_get("made_kind")?, id: row.try_get("made_id")? },
        expires: Instant(row.try_get("expires")?),
        ended: row.try_get::<Option<i64>, _>("ended")?.map(Instant),
    })
}

/// Makes invitations for accounts without an open one, in the batch. The tokens are in the answer and nowhere else in plain.
pub(super) async fn make(
    conn: &mut Conn,
    batch: &mut Batch,
    scope: &Scope,
    invited: Vec<(AccountId, Instant, Value)>,
    stamp: Stamp<'_>,
) -> Result<Settled> {
    let mut settled = Settled::default();
    if invited.is_empty() {
        return Ok(settled);
    }
    let sql = batch.next(conn, invited.len()).await?;
    sql.push("INSERT INTO invitations (tenant, invitation, account, hash, state, made, made_kind, made_id, expires) ");
    sql.push_values(invited, |mut row, (account, expires, personal)| {
        let (id, token) = (random_id(), new_token(INVITATION_PREFIX));
        row.push_bind(scope.tenant.as_str())
            .push_bind(id.clone())
            .push_bind(account.as_str().to_owned())
            .push_bind(scope.keys.token_hash(&token))
            .push_bind(InvitationState::Open.word())
            .push_bind(stamp.at.0)
            .push_bind(&stamp.actor.kind)
            .push_bind(&stamp.actor.id)
            .push_bind(expires.0);
        let data = json!({"invitation": id, "expires": expires});
        settled.events.push(NewEvent { personal: Some(personal), ..about(&account, history::INVITED, data) });
        settled.secrets.insert(account, token);
    });
    Ok(settled)
}

fn about(account: &AccountId, kind: &'static str, data: Value) -> NewEvent {
    NewEvent { kind, account: Some(account.clone()), data, personal: None, leaver: false }
}

/// Takes back what is open of accounts: of those who left, or for another invitation in its place.
pub(super) async fn end_of(
    conn: &mut Conn,
    tenant: &TenantId,
    accounts: &[&str],
    why: &'static str,
    stamp: Stamp<'_>,
) -> Result<Vec<NewEvent>> {
    let ended: Vec<(String, String)> = sqlx::query_as(concat!(
        "UPDATE invitations SET state = 'revoked', ended = $3 WHERE tenant = $1 AND state = 'open' AND ",
        any_of!("account", "$2"),
        " RETURNING invitation, account"
    ))
    .bind(tenant.as_str())
    .bind(text_list(accounts.iter().copied()))
    .bind(stamp.at.0)
    .fetch_all(conn)
    .await?;
    Ok(ended.into_iter().map(|(id, account)| revoked(&AccountId(account), &id, why)).collect())
}

fn revoked(account: &AccountId, id: &str, why: &str) -> NewEvent {
    about(account, "invitation.revoked", json!({"invitation": id, "why": why}))
}

/// See [`crate::store::Steps::invite`].
pub(super) async fn invite(conn: &mut Conn, scope: &Scope, new: &NewInvitation) -> Result<Invitation> {
    let stamp = Stamp { at: new.at, actor: &new.actor, request_id: None };
    // The account is locked, so that of two that are made at once the second takes the first one back.
    let state: Option<String> = sqlx::query_scalar(concat!("SELECT state FROM accounts WHERE tenant = $1 AND account = $2", for_update!()))
        .bind(scope.tenant.as_str())
        .bind(new.account.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    if state.as_deref() != Some(AccountState::Active.word()) {
        return Err(StoreError::Missing("account in use"));
    }
    let mut events = end_of(conn, &scope.tenant, &[new.account.as_str()], "replaced", stamp).await?;
    let mut batch = Batch::new();
    let made = make(conn, &mut batch, scope, vec![(new.account.clone(), new.expires, new.personal.clone())], stamp).await?;
    batch.flush(conn).await?;
    events.extend(made.events);
    history::append_with(conn, Batch::new(), scope, stamp, &events, None, &made.secrets).await?;
    let row =
        sqlx::query(concat!("SELECT ", invitation_columns!(), " FROM invitations WHERE tenant = $1 AND account = $2 AND state = 'open'"))
            .bind(scope.tenant.as_str())
            .bind(new.account.as_str())
            .fetch_one(conn)
            .await?;
    invitation(&row)
}

/// See [`crate::store::Steps::revoke_invitation`].
pub(super) async fn revoke(conn: &mut Conn, scope: &Scope, id: &str, actor: &Actor, at: Instant) -> Result<Invitation> {
    let row = sqlx::query(concat!(
        "UPDATE invitations SET state = 'revoked', ended = $3 WHERE tenant = $1 AND invitation = $2 AND state = 'open' RETURNING ",
        invitation_columns!()
    ))
    .bind(scope.tenant.as_str())
    .bind(id)
    .bind(at.0)
    .fetch_optional(&mut *conn)
    .await?;
    let ended = invitation(&row.ok_or(StoreError::Missing("open invitation"))?)?;
    let events = [revoked(&ended.account, id, "revoked")];
    history::append(conn, Batch::new(), scope, Stamp { at, actor, request_id: None }, &events, None).await?;
    Ok(ended)
}

/// [`BY_HASH`].
pub(super) async fn by_hash(conn: &mut Conn, tenant: &TenantId, hash: &str) -> Result<Option<FoundInvitation>> {
    let row = sqlx::query(BY_HASH).bind(tenant.as_str()).bind(hash).fetch_optional(conn).await?;
    let found = |row: Row| {
        Ok(FoundInvitation {
            id: row.try_get("invitation")?,
            hash: row.try_get("hash")?,
            state: word(row.try_get("state")?, InvitationState::from_word)?,
            expires: Instant(row.try_get("expires")?),
        })
    };
    row.map(found).transpose()
}

/// See [`crate::store::Steps::accept_invitation`]. Of two that come at once one finds it open.
pub(super) async fn accept(conn: &mut Conn, scope: &Scope, id: &str, at: Instant) -> Result<bool> {
    let account: Option<String> = sqlx::query_scalar(
        "UPDATE invitations SET state = 'accepted', ended = $3
         WHERE tenant = $1 AND invitation = $2 AND state = 'open' AND expires > $3 AND EXISTS (
             SELECT 1 FROM accounts a WHERE a.tenant = $1 AND a.account = invitations.account AND a.state = 'active'
         ) RETURNING account",
    )
    .bind(scope.tenant.as_str())
    .bind(id)
    .bind(at.0)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(account) = account else { return Ok(false) };
    // Whoever has the link: that is all that is known of them.
    let actor = Actor { kind: "invitation".into(), id: id.to_owned() };
    let events = [about(&AccountId(account), "invitation.accepted", json!({"invitation": id}))];
    history::append(conn, Batch::new(), scope, Stamp { at, actor: &actor, request_id: None }, &events, None).await?;
    Ok(true)
}

/// Ends invitations whose time is over.
pub(super) async fn expire(conn: &mut Conn, tenant: &TenantId, limit: i64, at: Instant) -> Result<Vec<NewEvent>> {
    let found: Vec<String> = sqlx::query_scalar(EXPIRED).bind(tenant.as_str()).bind(at.0).bind(limit).fetch_all(&mut *conn).await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ended: Vec<(String, String)> = sqlx::query_as(concat!(
        "UPDATE invitations SET state = 'expired', ended = $3 WHERE tenant = $1 AND state = 'open' AND ",
        any_of!("invitation", "$2"),
        " RETURNING invitation, account"
    ))
    .bind(tenant.as_str())
    .bind(text_list(found.iter().map(String::as_str)))
    .bind(at.0)
    .fetch_all(conn)
    .await?;
    Ok(ended.into_iter().map(|(id, account)| about(&AccountId(account), "invitation.expired", json!({"invitation": id}))).collect())
}

/// Invitations, by id.
pub(super) async fn list(conn: &mut Conn, tenant: &TenantId, query: &InvitationQuery) -> Result<Vec<Invitation>> {
    let mut sql = QueryBuilder::<Db>::new(concat!("SELECT ", invitation_columns!(), " FROM invitations WHERE tenant = "));
    sql.push_bind(tenant.as_str()).push(" AND state = ").push_bind(query.state.unwrap_or(InvitationState::Open).word());
    if let Some(account) = &query.account {
        sql.push(" AND account = ").push_bind(account.as_str());
    }
    if let Some(after) = &query.after {
        sql.push(" AND invitation > ").push_bind(after);
    }
    sql.push(" ORDER BY invitation LIMIT +").push_bind(query.limit);
    sql.build().fetch_all(conn).await?.iter().map(invitation).collect()
}
