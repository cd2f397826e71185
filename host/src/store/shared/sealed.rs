//! Sealed history: batches of events, what stood from when to when, and the methods of [`History`].

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::{QueryBuilder, Row as _};

use super::rows::Row;
use super::{Backend, Conn, Db, Scope, give_up, has_nul, is_lost, text_list};
use crate::model::{AccountId, Instant, RevisionHash, RoleId, TenantId};
use crate::store::history::{
    Batch, DigestedBatch, Evidence, HASH_BYTES, Held, HeldPage, History, STANDINGS_SCAN_LIMIT, Span, Standing, Start, StoredEvent, Tail,
    Unsealed, VerifyBounds, Whose,
};
use crate::store::{Result, StoreError};

/// Rows of one INSERT: fourteen values each, far below both databases' limits on parameters.
const INSERT_BATCH: usize = 500;

macro_rules! event_columns {
    () => {
        "seq, id, at, kind, actor_kind, actor_id, request_id, account, data, personal"
    };
}
macro_rules! batch_columns {
    () => {
        "number, first_seq, last_seq, sealed, hash, signature"
    };
}
macro_rules! standing_columns {
    () => {
        "s.seq, s.account, s.role, s.state, s.reasons, s.revision, s.note, s.deadline, s.since_at, s.until_at, s.until_seq, \
         s.held_since, s.held_seq"
    };
}

/// Tenants with numbered events behind their last batch.
pub(super) const UNSEALED: &str = "SELECT t.tenant FROM tenants t
     WHERE (SELECT max(e.seq) FROM events e WHERE e.tenant = t.tenant AND e.seq IS NOT NULL) > COALESCE(
         (SELECT max(b.last_seq) FROM history_batches b WHERE b.tenant = t.tenant), 0)
     ORDER BY t.tenant";
/// The last batch.
pub(super) const LAST: &str = concat!("SELECT ", batch_columns!(), " FROM history_batches WHERE tenant = $1 ORDER BY number DESC LIMIT 1");
/// Batches behind a number.
pub(super) const BATCHES: &str =
    concat!("SELECT ", batch_columns!(), " FROM history_batches WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT +$3");
/// The batch before a number.
pub(super) const BEFORE: &str =
    concat!("SELECT ", batch_columns!(), " FROM history_batches WHERE tenant = $1 AND number < $2 ORDER BY number DESC LIMIT 1");
/// The batch that an event is in, or the next one.
pub(super) const BATCH_OF: &str = "SELECT number FROM history_batches WHERE tenant = $1 AND last_seq >= $2 ORDER BY last_seq LIMIT 1";
/// The first batch behind a number.
pub(super) const BATCH_BEHIND: &str = "SELECT number FROM history_batches WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT 1";
/// The digests of batches.
pub(super) const DIGESTS: &str = "SELECT digests FROM history_batches WHERE tenant = $1 AND number >= $2 AND number <= $3 ORDER BY number";
/// Events behind a number.
pub(super) const EVENTS: &str =
    concat!("SELECT ", event_columns!(), " FROM events WHERE tenant = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT +$4");
/// How large the next events are, and one more.
pub(super) const SIZES: &str = "SELECT seq, CAST(octet_length(data) + COALESCE(octet_length(personal), 0) AS BIGINT) FROM events
     WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT +$3";
/// How large events of a range are.
pub(super) const SIZES_BETWEEN: &str = "SELECT seq, CAST(octet_length(data) + COALESCE(octet_length(personal), 0) AS BIGINT) FROM events
     WHERE tenant = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT +$4";
/// Standings that began in a range.
pub(super) const BEGAN: &str =
    concat!("SELECT ", standing_columns!(), " FROM standings s WHERE s.tenant = $1 AND s.seq >= $2 AND s.seq <= $3 ORDER BY s.seq");
/// The newest standing of each of several accounts and roles before a number.
pub(super) const LATEST: &str = concat!(
    "SELECT ",
    standing_columns!(),
    " FROM ",
    pairs_of!("$2"),
    " AS wanted",
    last_of!("standings", "s", "seq", "tenant = $1 AND account = wanted.one AND role = wanted.two AND seq < $3")
);

macro_rules! held {
    ($whose:literal) => {
        concat!(
            "SELECT ",
            standing_columns!(),
            ", a.user_name AS user_name FROM standings s",
            joined_if_any!("accounts", "a", "a.tenant = s.tenant AND a.account = s.account"),
            " WHERE s.tenant = $1 AND ",
            $whose,
            " AND s.seq > $3 AND s.seq <= $4 AND s.since_at < $5
                 AND (s.until_at IS NULL OR (s.until_at > $6 AND s.until_at > s.since_at))
             ORDER BY s.seq LIMIT +$7"
        )
    };
}
/// Who had a role.
pub(super) const HELD_ROLE: &str = held!("s.role = $2 AND s.role <> ''");
/// What an account had.
pub(super) const HELD_BY: &str = held!("s.account = $2");
/// The last standing of a role that a page looks at.
pub(super) const ROLE_END: &str =
    "SELECT seq FROM standings WHERE tenant = $1 AND role = $2 AND role <> '' AND seq > $3 ORDER BY seq LIMIT 1 OFFSET $4";
/// The lowest and highest numbers that there are, and the one that was given last.
pub(super) const ENDS: &str = "SELECT (SELECT last_seq FROM event_heads WHERE tenant = $1),
         (SELECT seq FROM events WHERE tenant = $1 AND seq IS NOT NULL ORDER BY seq LIMIT 1),
         (SELECT seq FROM events WHERE tenant = $1 AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1)";

fn event(row: &Row) -> Result<StoredEvent> {
    Ok(StoredEvent {
        seq: row.try_get("seq")?,
        id: row.try_get("id")?,
        at: Instant(row.try_get("at")?),
        kind: row.try_get("kind")?,
        actor_kind: row.try_get("actor_kind")?,
        actor_id: row.try_get("actor_id")?,
        request_id: row.try_get("request_id")?,
        account: row.try_get("account")?,
        data: row.try_get("data")?,
        personal: row.try_get("personal")?,
    })
}

fn batch(row: &Row) -> Result<Batch> {
    Ok(Batch {
        number: row.try_get("number")?,
        first: row.try_get("first_seq")?,
        last: row.try_get("last_seq")?,
        sealed: Instant(row.try_get("sealed")?),
        hash: row.try_get("hash")?,
        signature: row.try_get("signature")?,
    })
}

fn standing(row: &Row) -> Result<Standing> {
    let instant = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Instant));
    let role: String = row.try_get("role")?;
    Ok(Standing {
        seq: row.try_get("seq")?,
        account: AccountId(row.try_get("account")?),
        role: (!role.is_empty()).then_some(RoleId(role)),
        state: row.try_get("state")?,
        reasons: row.try_get("reasons")?,
        revision: row.try_get::<Option<String>, _>("revision")?.map(RevisionHash),
        note: row.try_get("note")?,
        deadline: instant("deadline")?,
        since: Instant(row.try_get("since_at")?),
        until: instant("until_at")?,
        until_seq: row.try_get("until_seq")?,
        held_since: Instant(row.try_get("held_since")?),
        held_seq: row.try_get("held_seq")?,
    })
}

async fn last_batch(conn: &mut Conn, tenant: &TenantId) -> Result<Option<Batch>> {
    sqlx::query(LAST).bind(tenant.as_str()).fetch_optional(conn).await?.as_ref().map(batch).transpose()
}

async fn events_between(conn: &mut Conn, tenant: &TenantId, after: i64, last: i64, limit: i64) -> Result<Vec<StoredEvent>> {
    let rows = sqlx::query(EVENTS).bind(tenant.as_str()).bind(after).bind(last).bind(limit).fetch_all(conn).await?;
    rows.iter().map(event).collect()
}

/// The last event of a batch.
fn last_of_batch(sizes: &[(i64, i64)], limit: i64, bytes_limit: i64) -> Option<i64> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let bytes = sizes.iter().scan(0_i64, |sum, (_, bytes)| {
        *sum = sum.saturating_add(*bytes);
        Some(*sum)
    });
    let fitting = sizes.iter().zip(bytes).enumerate().take(most).take_while(|(nth, (_, bytes))| *nth == 0 || *bytes <= bytes_limit);
    fitting.last().map(|(_, ((seq, _), _))| *seq)
}

async fn batches_after(conn: &mut Conn, tenant: &TenantId, after: i64, limit: i64) -> Result<Vec<Batch>> {
    let rows = sqlx::query(BATCHES).bind(tenant.as_str()).bind(after).bind(limit).fetch_all(conn).await?;
    rows.iter().map(batch).collect()
}

/// Keeps a batch: whoever comes second finds its number or its last event taken, and waits for nobody but the first.
async fn seal(conn: &mut Conn, tenant: &TenantId, sealed: &DigestedBatch, began: &[Standing], ended: &[Standing]) -> Result<bool> {
    let Batch { number, first, last, sealed: at, hash, signature } = &sealed.batch;
    let kept = sqlx::query(
        "INSERT INTO history_batches (tenant, number, first_seq, last_seq, sealed, digests, hash, signature)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(*number)
    .bind(*first)
    .bind(*last)
    .bind(at.0)
    .bind(&sealed.digests)
    .bind(hash)
    .bind(signature)
    .execute(&mut *conn)
    .await?;
    if kept.rows_affected() == 0 {
        return Ok(false);
    }
    for chunk in began.chunks(INSERT_BATCH) {
        let mut insert = QueryBuilder::<Db>::new(
            "INSERT INTO standings (tenant, seq, account, role, state, reasons, revision, note, deadline, since_at, until_at, until_seq,
                                    held_since, held_seq) ",
        );
        insert.push_values(chunk, |mut row, standing| {
            row.push_bind(tenant.as_str())
                .push_bind(standing.seq)
                .push_bind(standing.account.as_str())
                .push_bind(standing.role.as_ref().map_or("", RoleId::as_str))
                .push_bind(&standing.state)
                .push_bind(&standing.reasons)
                .push_bind(standing.revision.as_ref().map(RevisionHash::as_str))
                .push_bind(&standing.note)
                .push_bind(standing.deadline.map(|at| at.0))
                .push_bind(standing.since.0)
                .push_bind(standing.until.map(|at| at.0))
                .push_bind(standing.until_seq)
                .push_bind(standing.held_since.0)
                .push_bind(standing.held_seq);
        });
        insert.build().execute(&mut *conn).await?;
    }
    for chunk in ended.chunks(INSERT_BATCH) {
        let mut update = QueryBuilder::<Db>::new("UPDATE standings SET until_at = ended.column2, until_seq = ended.column3 FROM (");
        update.push_values(chunk, |mut row, standing| {
            row.push_bind(standing.seq).push_bind(standing.until.map(|at| at.0)).push_bind(standing.until_seq);
        });
        update.push(") AS ended WHERE tenant = ").push_bind(tenant.as_str()).push(" AND seq = ended.column1");
        update.build().execute(&mut *conn).await?;
    }
    Ok(true)
}

async fn evidence(conn: &mut Conn, tenant: &TenantId, start: Start, bounds: VerifyBounds) -> Result<Evidence> {
    let (statement, place) = match start {
        Start::Event(seq) => (BATCH_OF, seq),
        Start::Behind(number) => (BATCH_BEHIND, number),
    };
    let first: Option<i64> = sqlx::query_scalar(statement).bind(tenant.as_str()).bind(place).fetch_optional(&mut *conn).await?;
    let Some(first) = first else {
        let before = last_batch(conn, tenant).await?;
        let tail = tail(conn, tenant, before.as_ref().map_or(0, |batch| batch.last), bounds.events).await?;
        return Ok(Evidence { before, complete: true, tail: Some(tail), ..Evidence::default() });
    };
    let before = sqlx::query(BEFORE).bind(tenant.as_str()).bind(first).fetch_optional(&mut *conn).await?;
    let before = before.as_ref().map(batch).transpose()?;
    // One more tells whether there are others.
    let mut batches = batches_after(conn, tenant, first.saturating_sub(1), bounds.batches + 1).await?;
    let mut events = 0_i64;
    // What is stored may be anything: nothing is believed here but that there is a bound.
    let is_fitting = |batch: &Batch, number: i64| {
        let is_first = events == 0;
        events = events.saturating_add(batch.last.saturating_sub(batch.first).saturating_add(1).max(1));
        batch.number == number && (is_first || events <= bounds.events)
    };
    let fitting = fitting(&batches, first, bounds.batches, is_fitting);
    let mut complete = fitting == batches.len();
    batches.truncate(fitting);
    let (Some(start), Some(end)) = (batches.first(), batches.last()) else { return Ok(Evidence::default()) };
    let mut digests: Vec<Vec<u8>> =
        sqlx::query_scalar(DIGESTS).bind(tenant.as_str()).bind(start.number).bind(end.number).fetch_all(&mut *conn).await?;
    let after = match &before {
        Some(before) if before.number + 1 == start.number => before.last,
        _ => start.first.saturating_sub(1),
    };
    // An altered batch can't ask for more events than it has digests.
    let sizes: Vec<(i64, i64)> = sqlx::query_as(SIZES_BETWEEN)
        .bind(tenant.as_str())
        .bind(after)
        .bind(after.saturating_add(covered(&digests)))
        .bind(covered(&digests).max(1))
        .fetch_all(&mut *conn)
        .await?;
    let fitting = fitting_bytes(&digests, after, &sizes, bounds.bytes);
    complete &= fitting == digests.len();
    batches.truncate(fitting);
    digests.truncate(fitting);
    let covered = covered(&digests);
    let last = after.saturating_add(covered);
    let events = events_between(conn, tenant, after, last, covered.max(1)).await?;
    let rows = sqlx::query(BEGAN).bind(tenant.as_str()).bind(after.saturating_add(1)).bind(last).fetch_all(&mut *conn).await?;
    let standings = rows.iter().map(standing).collect::<Result<_>>()?;
    let tail = if complete { Some(tail(conn, tenant, last, bounds.events).await?) } else { None };
    let batches = batches.into_iter().zip(digests).map(|(batch, digests)| DigestedBatch { batch, digests }).collect();
    Ok(Evidence { before, batches, events, standings, complete, tail })
}

/// How many batches from the first on are taken.
fn fitting(batches: &[Batch], first: i64, most: i64, mut fits: impl FnMut(&Batch, i64) -> bool) -> usize {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    batches.iter().zip(first..).take(most).take_while(|(batch, number)| fits(batch, *number)).count()
}

/// How many events batches are of, by their digests.
fn covered(digests: &[Vec<u8>]) -> i64 {
    i64::try_from(digests.iter().map(Vec::len).sum::<usize>() / HASH_BYTES).unwrap_or(i64::MAX)
}

/// How many batches have no more bytes than so many together, the first one whatever it has. `after` is the event before the first batch.
fn fitting_bytes(digests: &[Vec<u8>], after: i64, sizes: &[(i64, i64)], most: i64) -> usize {
    let (mut sizes, mut end, mut bytes) = (sizes.iter().peekable(), after, 0_i64);
    let fits = |digests: &&Vec<u8>| {
        end = end.saturating_add(covered(std::slice::from_ref(*digests)));
        while let Some((_, size)) = sizes.next_if(|(seq, _)| *seq <= end) {
            bytes = bytes.saturating_add(*size);
        }
        bytes <= most
    };
    digests.iter().take_while(fits).count().max(digests.len().min(1))
}

async fn tail(conn: &mut Conn, tenant: &TenantId, last: i64, limit: i64) -> Result<Tail> {
    let (counted, lowest, highest): (Option<i64>, Option<i64>, Option<i64>) =
        sqlx::query_as(ENDS).bind(tenant.as_str()).fetch_one(&mut *conn).await?;
    let unsealed = sqlx::query_scalar("SELECT seq FROM events WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT +$3")
        .bind(tenant.as_str())
        .bind(last)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    Ok(Tail { counted: counted.unwrap_or_default(), lowest, highest, unsealed })
}

async fn held(conn: &mut Conn, tenant: &TenantId, whose: &Whose, span: Span, after: i64, limit: i64) -> Result<HeldPage> {
    let (statement, name, end) = match whose {
        Whose::Role(role) => {
            let end: Option<i64> = sqlx::query_scalar(ROLE_END)
                .bind(tenant.as_str())
                .bind(role.as_str())
                .bind(after)
                .bind(STANDINGS_SCAN_LIMIT - 1)
                .fetch_optional(&mut *conn)
                .await?;
            (HELD_ROLE, role.as_str(), end)
        }
        // One person's are few.
        Whose::Account(account) => (HELD_BY, account.as_str(), None),
    };
    let rows = sqlx::query(statement)
        .bind(tenant.as_str())
        .bind(name)
        .bind(after)
        .bind(end.unwrap_or(i64::MAX))
        .bind(span.to.0)
        .bind(span.from.0)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    let told = |row: &Row| Ok(Held { standing: standing(row)?, user_name: row.try_get("user_name")? });
    let held = rows.iter().map(told).collect::<Result<Vec<_>>>()?;
    let full = i64::try_from(held.len()).unwrap_or(i64::MAX) >= limit;
    let next = if full { held.last().map(|held| held.standing.seq) } else { end };
    Ok(HeldPage { held, next })
}

#[async_trait]
impl History for Backend {
    async fn unsealed(&self) -> Result<Vec<TenantId>> {
        let tenants: Vec<String> =
            read_once!(self.read_platform(), conn => async { Ok(sqlx::query_scalar(UNSEALED).fetch_all(conn).await?) })?;
        Ok(tenants.into_iter().map(TenantId).collect())
    }

    async fn next_batch(&self, tenant: &TenantId, limit: i64, bytes_limit: i64) -> Result<Unsealed> {
        let mut tx = self.read(tenant).await?;
        let head = last_batch(&mut tx, tenant).await?;
        let after = head.as_ref().map_or(0, |batch| batch.last);
        // Read before the events themselves: what is too much is never in memory.
        let sizes: Vec<(i64, i64)> =
            sqlx::query_as(SIZES).bind(tenant.as_str()).bind(after).bind(limit.saturating_add(1)).fetch_all(&mut *tx).await?;
        let Some(last) = last_of_batch(&sizes, limit, bytes_limit) else { return Ok(Unsealed { head, events: Vec::new(), more: false }) };
        let events = events_between(&mut tx, tenant, after, last, limit).await?;
        Ok(Unsealed { head, events, more: sizes.iter().any(|(seq, _)| *seq > last) })
    }

    async fn latest_standings(&self, tenant: &TenantId, keys: &[(AccountId, String)], before: i64) -> Result<Vec<Standing>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let pairs: BTreeSet<(&str, &str)> = keys.iter().map(|(account, role)| (account.as_str(), role.as_str())).collect();
        let pairs = serde_json::Value::from_iter(pairs.into_iter().map(|(account, role)| serde_json::json!([account, role]))).to_string();
        let pairs = pairs.as_str();
        let rows = read_once!(self.read_one(tenant), conn => async {
            Ok::<_, StoreError>(sqlx::query(LATEST).bind(tenant.as_str()).bind(pairs).bind(before).fetch_all(conn).await?)
        })?;
        rows.iter().map(standing).collect()
    }

    async fn seal_batch(&self, tenant: &TenantId, batch: &DigestedBatch, began: &[Standing], ended: &[Standing]) -> Result<bool> {
        let (scope, batch, began, ended): (Scope, _, _, _) = (self.scope(tenant), batch.clone(), began.to_vec(), ended.to_vec());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { seal(conn, &scope.tenant, &batch, &began, &ended).await })).await
    }

    async fn batches(&self, tenant: &TenantId, after: i64, limit: i64) -> Result<Vec<Batch>> {
        read_once!(self.read_one(tenant), conn => batches_after(conn, tenant, after, limit))
    }

    async fn last_batch(&self, tenant: &TenantId) -> Result<Option<Batch>> {
        read_once!(self.read_one(tenant), conn => last_batch(conn, tenant))
    }

    async fn evidence(&self, tenant: &TenantId, start: Start, bounds: VerifyBounds) -> Result<Evidence> {
        evidence(&mut *self.read(tenant).await?, tenant, start, bounds).await
    }

    async fn batch(&self, tenant: &TenantId, number: i64) -> Result<Option<Batch>> {
        Ok(self.batches(tenant, number.saturating_sub(1), 1).await?.into_iter().find(|batch| batch.number == number))
    }

    async fn events_at(&self, tenant: &TenantId, seqs: &[i64]) -> Result<Vec<StoredEvent>> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        // As texts, which both databases take as a list.
        let texts: Vec<String> = seqs.iter().map(ToString::to_string).collect();
        let rows = read_once!(self.read_one(tenant), conn => async {
            Ok::<_, StoreError>(
                sqlx::query(EVENTS_AT).bind(tenant.as_str()).bind(text_list(texts.iter().map(String::as_str))).fetch_all(conn).await?,
            )
        })?;
        rows.iter().map(event).collect()
    }

    async fn account_names(&self, tenant: &TenantId, accounts: &[AccountId]) -> Result<BTreeMap<AccountId, String>> {
        let accounts: Vec<&str> = accounts.iter().map(AccountId::as_str).filter(|account| !has_nul(account)).collect();
        if accounts.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows: Vec<(String, String)> = read_once!(self.read_one(tenant), conn => async {
            Ok::<_, StoreError>(
                sqlx::query_as(NAMES).bind(tenant.as_str()).bind(text_list(accounts.iter().copied())).fetch_all(conn).await?,
            )
        })?;
        Ok(rows.into_iter().map(|(account, name)| (AccountId(account), name)).collect())
    }

    async fn held(&self, tenant: &TenantId, whose: &Whose, span: Span, after: i64, limit: i64) -> Result<HeldPage> {
        let name = match whose {
            Whose::Role(role) => role.as_str(),
            Whose::Account(account) => account.as_str(),
        };
        if has_nul(name) {
            return Ok(HeldPage::default());
        }
        held(&mut *self.read(tenant).await?, tenant, whose, span, after, limit).await
    }
}

/// Events by their numbers, which are read in a step before: beside a row-level policy PostgreSQL asks no index for a value that is still to be cast.
pub(super) const EVENTS_AT: &str = concat!(
    "WITH wanted AS MATERIALIZED (SELECT CAST(listed.item AS BIGINT) AS number FROM ",
    items_of!("$2"),
    " AS listed) SELECT ",
    event_columns!(),
    " FROM wanted JOIN events ON tenant = $1 AND seq = wanted.number"
);
/// The login names of accounts.
pub(super) const NAMES: &str =
    concat!("SELECT account, user_name FROM accounts WHERE tenant = $1 AND user_name IS NOT NULL AND ", any_of!("account", "$2"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_taken_by_their_bytes() {
        // Three batches of two events, from event 5 on; event 8 is missing.
        let digests = vec![vec![0; 2 * HASH_BYTES]; 3];
        let sizes = [(5, 10), (6, 10), (7, 30), (9, 5), (10, 5)];
        for (most, taken) in [(0, 1), (19, 1), (20, 1), (49, 1), (50, 2), (59, 2), (60, 3), (i64::MAX, 3)] {
            assert_eq!(fitting_bytes(&digests, 4, &sizes, most), taken, "{most}");
        }
        assert_eq!(fitting_bytes(&[], 4, &sizes, 100), 0);
    }
}
