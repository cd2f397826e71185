//! History: events as they are appended, sealed, numbered and read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::{QueryBuilder, Row as _};
use zeroize::Zeroizing;

use super::batch::Batch;
use super::rows::{Row, json, json_text};
use super::{Conn, Db, Scope, advance_head, number_at_once, text_list};
use crate::crypto::{SecretKey, random_id};
use crate::model::{AccountId, Actor, Event, Instant, NewEvent, TenantId};
use crate::store::keys::{delivery_purpose, event_purpose, person_purpose, unsealable};
use crate::store::{Result, StoreError};

/// Events of one tenant that are numbered at once: bounds how long the tenant's head is locked.
const NUMBERING_BATCH: i64 = 1_000;
/// Rows of one INSERT: far below both databases' limits on parameters.
const INSERT_BATCH: usize = 500;

/// What the events of one change have in common.
#[derive(Clone, Copy)]
pub(super) struct Stamp<'a> {
    pub(super) at: Instant,
    pub(super) actor: &'a Actor,
    pub(super) request_id: Option<&'a str>,
}

/// The event of an invitation: its link is told to targets with it, and is no part of it.
pub(super) const INVITED: &str = "invitation.made";

/// What targets alone are told with an invitation, by whom it is for.
pub(super) type Secrets = BTreeMap<AccountId, Zeroizing<String>>;

/// Appends events in order, and their deliveries, with what waits. Call it last in a transaction: the order of one person's
/// events is that of the transactions that locked the person. `new` is somebody who has no key yet.
pub(super) async fn append(
    conn: &mut Conn,
    batch: Batch,
    scope: &Scope,
    stamp: Stamp<'_>,
    events: &[NewEvent],
    new: Option<&AccountId>,
) -> Result<()> {
    append_with(conn, batch, scope, stamp, events, new, &Secrets::new()).await
}

/// [`append`], with what targets alone are told.
pub(super) async fn append_with(
    conn: &mut Conn,
    mut batch: Batch,
    scope: &Scope,
    stamp: Stamp<'_>,
    events: &[NewEvent],
    new: Option<&AccountId>,
    secrets: &Secrets,
) -> Result<()> {
    let keys = person_keys_for(conn, &mut batch, scope, events, new).await?;
    for chunk in events.chunks(INSERT_BATCH) {
        let mut rows = Vec::with_capacity(chunk.len());
        for event in chunk {
            let id = random_id();
            let personal = seal(scope, &keys, &id, event)?;
            rows.push((id, json_text(&event.data, "an event")?, personal, event));
        }
        let inserted = batch.flush_with(conn, |sql| insert(sql, scope, stamp, &rows)).await?;
        let mut positions = BTreeMap::<String, i64>::new();
        let mut is_heard = false;
        for row in &inserted {
            positions.insert(row.try_get("id")?, row.try_get("position")?);
            is_heard |= row.try_get::<bool, _>("is_heard")?;
        }
        if !is_heard {
            continue;
        }
        let mut appended = Vec::with_capacity(rows.len());
        for (id, _, _, event) in rows {
            let position = positions.get(&id).copied().ok_or_else(|| StoreError::Corrupt("an event was not appended".into()))?;
            let secret = event
                .account
                .as_ref()
                .filter(|_| event.kind == INVITED)
                .and_then(|account| Some((keys.get(account)?, secrets.get(account)?)));
            let seal = |(key, secret): (&SecretKey, &Zeroizing<String>)| key.seal(&delivery_purpose(&scope.tenant, &id), secret.as_bytes());
            let sealed = secret.map(seal).transpose().map_err(unsealable)?;
            appended.push(super::outbox::Appended { lane: lane(event, &id), id, position, leaver: event.leaver, sealed });
        }
        super::outbox::enqueue(conn, scope, stamp.at, &appended).await?;
    }
    batch.flush(conn).await
}

/// An event to be appended: its id, its data as text, its personal values sealed.
type NewRow<'e> = (String, String, Option<Vec<u8>>, &'e NewEvent);

/// The INSERT of events. Tells of each its position, and whether the tenant has a target that is to hear of it.
fn insert(sql: &mut QueryBuilder<Db>, scope: &Scope, stamp: Stamp<'_>, rows: &[NewRow<'_>]) {
    sql.push("INSERT INTO events (seq, tenant, id, at, kind, actor_kind, actor_id, request_id, account, data, personal) ");
    let mut number = 0;
    sql.push_values(rows, |mut row, (id, data, personal, event)| {
        number += 1;
        number_at_once(&mut row, &scope.tenant, number);
        row.push_bind(scope.tenant.as_str())
            .push_bind(id)
            .push_bind(stamp.at.0)
            .push_bind(event.kind)
            .push_bind(&stamp.actor.kind)
            .push_bind(&stamp.actor.id)
            .push_bind(stamp.request_id)
            .push_bind(event.account.as_ref().map(AccountId::as_str))
            .push_bind(data)
            .push_bind(personal);
    });
    sql.push(" RETURNING id, position, EXISTS (SELECT 1 FROM targets WHERE targets.tenant = ").push_bind(scope.tenant.as_str());
    sql.push(" AND targets.removed IS NULL) AS is_heard");
    advance_head(sql, &scope.tenant, number);
}

/// What an event is kept in order with: the events of its person; one about nobody stands alone.
fn lane(event: &NewEvent, id: &str) -> String {
    event.account.as_ref().map_or_else(|| id.to_owned(), |account| account.0.clone())
}

/// Whose key an event's personal values are sealed under: its person's, or else that of the review that it is about, which ends with the review.
fn keeper(account: Option<&AccountId>, data: &Value) -> Option<AccountId> {
    account.cloned().or_else(|| data["review"].as_str().map(review_keeper))
}

/// A review among those who have a key. No account's id has a slash.
fn review_keeper(review: &str) -> AccountId {
    AccountId(format!("review/{review}"))
}

/// Ends the key of a review: what it told of reviewers without an account can be read by nobody.
pub(super) async fn forget_review_key(conn: &mut Conn, tenant: &TenantId, review: &str) -> Result<()> {
    sqlx::query("DELETE FROM person_keys WHERE tenant = $1 AND account = $2")
        .bind(tenant.as_str())
        .bind(review_keeper(review).as_str())
        .execute(conn)
        .await?;
    Ok(())
}

fn seal(scope: &Scope, keys: &BTreeMap<AccountId, SecretKey>, id: &str, event: &NewEvent) -> Result<Option<Vec<u8>>> {
    let Some(personal) = &event.personal else { return Ok(None) };
    let key = keeper(event.account.as_ref(), &event.data).and_then(|keeper| keys.get(&keeper));
    let key = key.ok_or_else(|| StoreError::Corrupt(format!("event `{}` has personal values of nobody", event.kind)))?;
    let plain = json_text(personal, "an event's personal values")?;
    key.seal(&event_purpose(&scope.tenant, id), plain.as_bytes()).map(Some).map_err(unsealable)
}

/// The keys of everybody whom the events hold personal values of, made where there is none.
async fn person_keys_for(
    conn: &mut Conn,
    batch: &mut Batch,
    scope: &Scope,
    events: &[NewEvent],
    new: Option<&AccountId>,
) -> Result<BTreeMap<AccountId, SecretKey>> {
    let told = events.iter().filter(|event| event.personal.is_some());
    let people: BTreeSet<AccountId> = told.filter_map(|event| keeper(event.account.as_ref(), &event.data)).collect();
    let mut keys = person_keys(conn, scope, people.iter().filter(|person| new != Some(*person))).await?;
    for person in &people {
        if keys.contains_key(person) {
            continue;
        }
        let (key, sealed) = tenant_key(conn, scope).await?.new_sealed_key(&person_purpose(&scope.tenant, person)).map_err(unsealable)?;
        if new == Some(person) {
            let sql = batch.next(conn, 1).await?;
            sql.push("INSERT INTO person_keys (tenant, account, sealed_key) VALUES (");
            sql.separated(", ").push_bind(scope.tenant.as_str()).push_bind(person.as_str()).push_bind(sealed);
            sql.push(")");
            keys.insert(person.clone(), key);
            continue;
        }
        let made = sqlx::query(
            "INSERT INTO person_keys (tenant, account, sealed_key) VALUES ($1, $2, $3) ON CONFLICT (tenant, account) DO NOTHING",
        )
        .bind(scope.tenant.as_str())
        .bind(person.as_str())
        .bind(sealed)
        .execute(&mut *conn)
        .await?;
        if made.rows_affected() == 1 {
            keys.insert(person.clone(), key);
        } else {
            keys.extend(person_keys(conn, scope, [person].into_iter()).await?);
        }
    }
    Ok(keys)
}

/// The keys of people, as far as they have one (an erased person has none).
pub(super) async fn person_keys(
    conn: &mut Conn,
    scope: &Scope,
    people: impl Iterator<Item = &AccountId> + Send,
) -> Result<BTreeMap<AccountId, SecretKey>> {
    let people: BTreeSet<&str> = people.map(AccountId::as_str).collect();
    if people.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sealed: Vec<(String, Vec<u8>)> =
        sqlx::query_as(concat!("SELECT account, sealed_key FROM person_keys WHERE tenant = $1 AND ", any_of!("account", "$2")))
            .bind(scope.tenant.as_str())
            .bind(text_list(people))
            .fetch_all(&mut *conn)
            .await?;
    let tenant_key = tenant_key(conn, scope).await?;
    let open = |(account, sealed): (String, Vec<u8>)| {
        let account = AccountId(account);
        let key = tenant_key.open_key(&person_purpose(&scope.tenant, &account), &sealed).map_err(unsealable)?;
        Ok((account, key))
    };
    sealed.into_iter().map(open).collect()
}

/// The tenant's key.
pub(super) async fn tenant_key(conn: &mut Conn, scope: &Scope) -> Result<SecretKey> {
    if let Some(key) = scope.keys.opened(&scope.tenant) {
        return Ok(key);
    }
    let sealed: Option<Vec<u8>> = sqlx::query_scalar("SELECT sealed_key FROM tenants WHERE tenant = $1")
        .bind(scope.tenant.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    scope.keys.open(&scope.tenant, &sealed.ok_or(StoreError::Missing("tenant"))?)
}

/// Gives the oldest unnumbered events of a tenant their public numbers. Only committed events are seen here, and the head is
/// locked first, so numbers are dense and nothing appears below a number that was read already.
pub(super) async fn number(conn: &mut Conn, scope: &Scope) -> Result<u64> {
    let head: i64 = sqlx::query_scalar(concat!("SELECT last_seq FROM event_heads WHERE tenant = $1", for_update!()))
        .bind(scope.tenant.as_str())
        .fetch_one(&mut *conn)
        .await?;
    let numbered = sqlx::query(
        // By the key and nothing else: that an event is unnumbered is rarer than a planner's statistics can say, and then what finds all of them
        // looks as good as what finds one. What is made once is made once, whatever the join is taken for.
        "WITH numbered AS MATERIALIZED (
             SELECT position AS place, $2 + row_number() OVER (ORDER BY position) AS number
             FROM (SELECT position FROM events WHERE tenant = $1 AND seq IS NULL ORDER BY position LIMIT +$3) AS oldest)
         UPDATE events SET seq = numbered.number FROM numbered WHERE tenant = $1 AND position = numbered.place",
    )
    .bind(scope.tenant.as_str())
    .bind(head)
    .bind(NUMBERING_BATCH)
    .execute(&mut *conn)
    .await?
    .rows_affected();
    sqlx::query("UPDATE event_heads SET last_seq = $2 WHERE tenant = $1")
        .bind(scope.tenant.as_str())
        .bind(head.saturating_add_unsigned(numbered))
        .execute(&mut *conn)
        .await?;
    Ok(numbered)
}

/// Tenants with unnumbered events, stepped to from one to the next: one that has many counts no more than one that has few.
pub(super) const UNNUMBERED: &str = "
    WITH RECURSIVE waiting(tenant) AS (
        SELECT min(tenant) FROM events WHERE seq IS NULL
        UNION ALL
        SELECT (SELECT min(e.tenant) FROM events e WHERE e.seq IS NULL AND e.tenant > w.tenant) FROM waiting w WHERE w.tenant IS NOT NULL)
    SELECT t.tenant FROM waiting w CROSS JOIN tenants t WHERE t.tenant = w.tenant ORDER BY t.tenant";

/// [`UNNUMBERED`].
pub(super) async fn unnumbered(conn: &mut Conn) -> Result<Vec<TenantId>> {
    let tenants: Vec<String> = sqlx::query_scalar(UNNUMBERED).fetch_all(conn).await?;
    Ok(tenants.into_iter().map(TenantId).collect())
}

/// Numbered events after a number.
pub(super) const AFTER: &str = "SELECT id, seq, at, kind, actor_kind, actor_id, request_id, account, data, personal FROM events \
                                WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT +$3";

/// Numbered events after `after`, ascending.
pub(super) async fn after(conn: &mut Conn, scope: &Scope, after: i64, limit: i64) -> Result<Vec<Event>> {
    let rows = sqlx::query(AFTER).bind(scope.tenant.as_str()).bind(after).bind(limit).fetch_all(&mut *conn).await?;
    read(conn, scope, &rows).await
}

/// Events by position, with their positions. They must be numbered.
pub(super) async fn at(conn: &mut Conn, scope: &Scope, positions: &[i64]) -> Result<BTreeMap<i64, Event>> {
    let mut rows = Vec::with_capacity(positions.len());
    for position in positions {
        let row = sqlx::query(
            "SELECT id, seq, at, kind, actor_kind, actor_id, request_id, account, data, personal FROM events
             WHERE tenant = $1 AND position = $2",
        )
        .bind(scope.tenant.as_str())
        .bind(*position)
        .fetch_one(&mut *conn)
        .await?;
        rows.push(row);
    }
    Ok(positions.iter().copied().zip(read(conn, scope, &rows).await?).collect())
}

async fn read(conn: &mut Conn, scope: &Scope, rows: &[Row]) -> Result<Vec<Event>> {
    let mut events = rows.iter().map(plain).collect::<Result<Vec<_>>>()?;
    let mut sealed = Vec::with_capacity(rows.len());
    for (event, row) in events.iter().zip(rows) {
        let bytes: Option<Vec<u8>> = row.try_get("personal")?;
        sealed.push(bytes.and_then(|bytes| Some((bytes, keeper(event.account.as_ref(), &event.data)?))));
    }
    let keys = person_keys(conn, scope, sealed.iter().flatten().map(|(_, keeper)| keeper)).await?;
    for (event, sealed) in events.iter_mut().zip(sealed) {
        if let Some((sealed, keeper)) = sealed
            && let Some(key) = keys.get(&keeper)
        {
            let plain = key.open(&event_purpose(&scope.tenant, &event.id), &sealed).map_err(unsealable)?;
            let plain = std::str::from_utf8(&plain).map_err(|_| StoreError::Corrupt("an event's personal values".into()))?;
            event.personal = Some(json(plain, "an event's personal values")?);
        }
    }
    Ok(events)
}

/// All but the personal values.
fn plain(row: &Row) -> Result<Event> {
    Ok(Event {
        seq: row.try_get("seq")?,
        id: row.try_get("id")?,
        at: Instant(row.try_get("at")?),
        kind: row.try_get("kind")?,
        actor: Actor { kind: row.try_get("actor_kind")?, id: row.try_get("actor_id")? },
        request_id: row.try_get("request_id")?,
        account: row.try_get::<Option<String>, _>("account")?.map(AccountId),
        data: json(row.try_get("data")?, "an event")?,
        personal: None,
    })
}
