//! The provisioning log as it is read: searched through an index of whatever is asked for, page by page, and never far at once.

use sqlx::Row as _;

use super::Conn;
use super::rows::{Row, json, kind_of};
use crate::model::{AccountId, ConnectionId, Instant, OutcomeClass, OutcomeCode, RefusedCredential, ResourceId, TenantId};
use crate::store::{FoundEntry, LOG_SCAN_LIMIT, LogEntry, LogFound, LogSearch, LogSide, Result, StoreError};

/// How far hosts' clocks, and the batches that they write, may be apart: entries near an instant are looked for around it.
const NEIGHBOURS: i64 = 1_000;

/// A search: `$by` is the part of the log that an index gives, in order, `$2` and `$3` the positions between which it is looked at.
macro_rules! looked {
    ($by:literal, $order:literal) => {
        concat!(
            "SELECT found.position, found.connection, at, request_id, method, kind, found.resource, status, scim_type, reason, applied, no_op,
                    refused, code, detail, account
             FROM (SELECT * FROM (SELECT * FROM provisioning_log
                                  WHERE tenant = $1 AND ",
            $by,
            " AND position < $2 AND position > $3 ORDER BY position ",
            $order,
            " LIMIT +$4) AS looked
                   WHERE ($5 IS NULL OR connection = $5) AND ($6 IS NULL OR resource = $6) AND ($7 IS NULL OR request_id = $7)
                     AND ($8 IS NULL OR code = $8) AND ($9 IS NULL OR method = $9) AND status >= $10 AND status < $11 AND at >= $12
                     AND at < $13
                   ORDER BY position ",
            $order,
            " LIMIT +$14) AS found",
            joined_if_any!("links", "l", "l.tenant = $1 AND l.connection = found.connection AND l.resource = found.resource"),
            " ORDER BY found.position ",
            $order
        )
    };
}

/// Both directions of a search, and how far it looked.
pub(super) struct Statements {
    pub(super) back: &'static str,
    pub(super) on: &'static str,
    pub(super) extent: [&'static str; 2],
}

macro_rules! statements {
    ($by:literal) => {
        Statements { back: looked!($by, "DESC"), on: looked!($by, "ASC"), extent: [extent!($by, "DESC"), extent!($by, "ASC")] }
    };
}

macro_rules! extent {
    ($by:literal, $order:literal) => {
        concat!(
            "SELECT count(*) AS looked, min(position) AS lowest, max(position) AS highest
             FROM (SELECT position FROM provisioning_log WHERE tenant = $1 AND ",
            $by,
            " AND position < $2 AND position > $3 AND ($5 IS NULL OR $5 = $5) AND ($6 IS NULL OR $6 = $6) AND ($7 IS NULL OR $7 = $7)
              ORDER BY position ",
            $order,
            " LIMIT +$4) AS looked"
        )
    };
}

/// By a person or group.
pub(super) const BY_RESOURCE: Statements = statements!("resource = $6");
/// By a request's id.
pub(super) const BY_REQUEST: Statements = statements!("request_id = $7");
/// What was refused or failed.
pub(super) const FAILING: Statements = statements!("status >= 400");
/// By a connection.
pub(super) const BY_CONNECTION: Statements = statements!("connection = $5");
/// The whole tenant's.
pub(super) const ALL: Statements = statements!("1 = 1");

/// The highest position near an instant.
pub(super) const HIGHEST: &str =
    "SELECT max(position) FROM (SELECT position FROM provisioning_log WHERE tenant = $1 AND at < $2 ORDER BY at DESC LIMIT +$3) AS near";

/// The lowest position near an instant.
pub(super) const LOWEST: &str =
    "SELECT min(position) FROM (SELECT position FROM provisioning_log WHERE tenant = $1 AND at >= $2 ORDER BY at LIMIT +$3) AS near";

/// Entries that are asked for.
pub(super) async fn search(conn: &mut Conn, tenant: &TenantId, search: &LogSearch) -> Result<LogFound> {
    let has_nul = |text: &str| text.contains('\0');
    let texts = [search.connection.as_ref().map(ConnectionId::as_str), search.resource.as_ref().map(ResourceId::as_str)];
    if texts.into_iter().chain([search.request.as_deref(), search.method.as_deref()]).flatten().any(has_nul) {
        return Ok(LogFound::default());
    }
    let Some((below, above)) = bounds(conn, tenant, search).await? else { return Ok(LogFound::default()) };
    let statements = statements_for(search);
    let on = matches!(search.side, LogSide::After(_));
    let code = search.code.map(OutcomeCode::word);
    let (low, high) = statuses(search.class);
    let rows = sqlx::query(if on { statements.on } else { statements.back })
        .bind(tenant.as_str())
        .bind(below)
        .bind(above)
        .bind(LOG_SCAN_LIMIT)
        .bind(texts[0])
        .bind(texts[1])
        .bind(search.request.as_deref())
        .bind(code)
        .bind(search.method.as_deref())
        .bind(low)
        .bind(high)
        .bind(search.from.map_or(i64::MIN, |from| from.0))
        .bind(search.until.map_or(i64::MAX, |until| until.0))
        .bind(search.limit)
        .fetch_all(&mut *conn)
        .await?;
    let mut entries = rows.iter().map(entry).collect::<Result<Vec<_>>>()?;
    if !on {
        entries.reverse();
    }
    let wanted = usize::try_from(search.limit).unwrap_or(usize::MAX);
    if let (Some(first), Some(last)) = (entries.first(), entries.last())
        && entries.len() >= wanted
    {
        let looked = Some((first.position, last.position));
        return Ok(LogFound { entries, looked, more: true });
    }
    let extent = sqlx::query(statements.extent[usize::from(on)])
        .bind(tenant.as_str())
        .bind(below)
        .bind(above)
        .bind(LOG_SCAN_LIMIT)
        .bind(texts[0])
        .bind(texts[1])
        .bind(search.request.as_deref())
        .fetch_one(conn)
        .await?;
    let (count, lowest, highest): (i64, Option<i64>, Option<i64>) =
        (extent.try_get("looked")?, extent.try_get("lowest")?, extent.try_get("highest")?);
    Ok(LogFound { entries, looked: lowest.zip(highest), more: count >= LOG_SCAN_LIMIT })
}

/// The index that leaves the least to look at.
fn statements_for(search: &LogSearch) -> &'static Statements {
    let class = search.class.or_else(|| search.code.map(OutcomeCode::class));
    if search.resource.is_some() {
        &BY_RESOURCE
    } else if search.request.is_some() {
        &BY_REQUEST
    } else if class.is_some_and(|class| class != OutcomeClass::Done) {
        &FAILING
    } else if search.connection.is_some() {
        &BY_CONNECTION
    } else {
        &ALL
    }
}

/// The positions between which to look: below the first, above the second; `None` where there is nothing.
async fn bounds(conn: &mut Conn, tenant: &TenantId, search: &LogSearch) -> Result<Option<(i64, i64)>> {
    let (mut below, mut above) = match search.side {
        LogSide::Newest => (i64::MAX, 0),
        LogSide::Before(position) => (position, 0),
        LogSide::After(position) => (i64::MAX, position.max(0)),
    };
    for (statement, at) in [(HIGHEST, search.until), (LOWEST, search.from)] {
        let Some(at) = at else { continue };
        let near: Option<i64> =
            sqlx::query_scalar(statement).bind(tenant.as_str()).bind(at.0).bind(NEIGHBOURS).fetch_one(&mut *conn).await?;
        let Some(near) = near else { return Ok(None) };
        if statement == HIGHEST {
            below = below.min(near.saturating_add(1));
        } else {
            above = above.max(near.saturating_sub(1));
        }
    }
    Ok(Some((below, above)))
}

/// The statuses of a class: from the first, below the second.
fn statuses(class: Option<OutcomeClass>) -> (i64, i64) {
    match class {
        None => (0, 1_000),
        Some(OutcomeClass::Done) => (0, 400),
        Some(OutcomeClass::Refused) => (400, 500),
        Some(OutcomeClass::Failed) => (500, 1_000),
    }
}

fn entry(row: &Row) -> Result<FoundEntry> {
    let status: i64 = row.try_get("status")?;
    let status = u16::try_from(status).map_err(|_| StoreError::Corrupt(format!("{status} is no status")))?;
    let scim_type: Option<String> = row.try_get("scim_type")?;
    let applied: i64 = row.try_get("applied")?;
    let code = OutcomeCode::from_word(row.try_get("code")?);
    let detail: Option<&str> = row.try_get("detail")?;
    let entry = LogEntry {
        at: Instant(row.try_get("at")?),
        request_id: row.try_get("request_id")?,
        method: row.try_get("method")?,
        kind: row.try_get::<Option<&str>, _>("kind")?.map(kind_of).transpose()?,
        resource: row.try_get::<Option<String>, _>("resource")?.map(ResourceId),
        status,
        // An entry of an earlier version has no word.
        code: code.unwrap_or_else(|| OutcomeCode::of(status, scim_type.as_deref(), applied > 0)),
        scim_type,
        reason: row.try_get("reason")?,
        applied,
        no_op: row.try_get("no_op")?,
        refused: row.try_get("refused")?,
        detail: detail.map(|text| json(text, "an entry of the log")).transpose()?.unwrap_or_default(),
    };
    let connection: String = row.try_get("connection")?;
    let account = row.try_get::<Option<String>, _>("account")?.map(AccountId);
    Ok(FoundEntry { position: row.try_get("position")?, connection: ConnectionId(connection), account, entry })
}

/// The credentials that were refused on a connection.
pub(super) async fn refused_credentials(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<RefusedCredential>> {
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "SELECT trace, seen, first_seen, last_seen FROM credential_refusals WHERE tenant = $1 AND connection = $2
         ORDER BY last_seen DESC, failed",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .fetch_all(conn)
    .await?;
    let refused = |(trace, seen, first, last): (String, i64, i64, i64)| {
        let (trace, first_seen, last_seen) = (json(&trace, "the checks of a credential")?, Instant(first), Instant(last));
        Ok(RefusedCredential { trace, seen, first_seen, last_seen })
    };
    rows.into_iter().map(refused).collect()
}
