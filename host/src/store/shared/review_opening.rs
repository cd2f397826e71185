//! How an access review's lines are found and written, page by page: the way in is an index, whatever the scope names.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{QueryBuilder, Row as _};

use super::reviews::{counts_text, locked, one_event, place_of};
use super::rows::{self, Row, json, json_text};
use super::{Conn, Db, Scope, text_list};
use crate::model::{AccountId, Actor, ConnectionId, Instant, ReviewDecision, ReviewScope, ReviewState, RoleId, TenantId, collision_key};
use crate::store::{Candidate, Filling, NewReviewLine, OpeningPage, PEERS_LIMIT, Result, ReviewPlace};

/// Rows of one INSERT.
const INSERT_BATCH: usize = 500;
/// By how many seconds a review may be opened late without being closed later.
const LATE_SECONDS: i64 = 3_600;

/// Who holds a role, behind an account.
pub(super) const HOLDERS: &str =
    "SELECT account, account FROM grants WHERE tenant = $1 AND role = $2 AND account > $3 ORDER BY account LIMIT +$4";
/// The people of a connection, behind a user.
pub(super) const PEOPLE: &str =
    "SELECT resource, account FROM links WHERE tenant = $1 AND connection = $2 AND resource > $3 ORDER BY resource LIMIT +$4";

macro_rules! held {
    ($more:expr) => {
        concat!(
            "SELECT g.account, g.role, g.state, g.reasons, g.since, g.deadline, g.revision, g.waits_for, a.user_name, a.profile, \
             a.modified AS account_modified, l.connection
             FROM grants g",
            joined!("accounts", "a", "a.tenant = g.tenant AND a.account = g.account"),
            joined_if_any!("links", "l", "l.tenant = g.tenant AND l.account = g.account"),
            " WHERE g.tenant = $1 AND g.state IN ('effective', 'retained') AND ",
            any_of!("g.account", "$2"),
            $more,
            " ORDER BY g.account, g.role"
        )
    };
}
/// What accounts hold.
pub(super) const HELD: &str = held!("");
/// What accounts hold of some roles.
pub(super) const HELD_OF_ROLES: &str = held!(concat!(" AND ", any_of!("g.role", "$3")));

/// The next part of what a draft is about.
pub(super) async fn page(conn: &mut Conn, tenant: &TenantId, review: &str, people: i64) -> Result<Option<OpeningPage>> {
    let Some((review, place)) = place_of(conn, tenant, review, ReviewState::Draft).await? else { return Ok(None) };
    let scope = &review.plan.scope;
    let (accounts, roles, next) = next_people(conn, tenant, scope, &place, people).await?;
    let ids: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let mut candidates = held(conn, tenant, &ids, &roles).await?;
    if !scope.connections.is_empty() {
        candidates.retain(|held| held.connection.as_ref().is_some_and(|connection| scope.connections.contains(connection)));
    }
    let holders = holders(conn, tenant, &candidates).await?;
    let managers = managers(conn, tenant, &candidates).await?;
    Ok(Some(OpeningPage { review, place, next, candidates, holders, managers }))
}

/// The next accounts, the roles of theirs that are looked at (all where there are none), and where the page after begins.
async fn next_people(
    conn: &mut Conn,
    tenant: &TenantId,
    scope: &ReviewScope,
    (part, after): &ReviewPlace,
    limit: i64,
) -> Result<(Vec<String>, Vec<String>, Option<ReviewPlace>)> {
    let roles: Vec<String> = scope.roles.iter().map(|role| role.0.clone()).collect();
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    if !scope.accounts.is_empty() {
        let sorted: BTreeSet<&str> = scope.accounts.iter().map(AccountId::as_str).collect();
        let behind: Vec<String> = sorted.into_iter().filter(|id| *id > after.as_str()).take(size).map(str::to_owned).collect();
        let next = behind.last().filter(|_| behind.len() == size).map(|last| (0, last.clone()));
        return Ok((behind, roles, next));
    }
    let number = usize::try_from(*part).unwrap_or(usize::MAX);
    let (statement, of, parts) = if roles.is_empty() {
        (PEOPLE, scope.connections.get(number).map(|connection| connection.0.clone()), scope.connections.len())
    } else {
        (HOLDERS, roles.get(number).cloned(), roles.len())
    };
    let Some(of) = of else { return Ok((Vec::new(), roles, None)) };
    let found: Vec<(String, String)> =
        sqlx::query_as(statement).bind(tenant.as_str()).bind(&of).bind(after).bind(limit).fetch_all(conn).await?;
    let full = found.len() == size;
    let next = match found.last() {
        Some((last, _)) if full => Some((*part, last.clone())),
        _ => (number + 1 < parts).then(|| (*part + 1, String::new())),
    };
    let only = if roles.is_empty() { Vec::new() } else { vec![of] };
    Ok((found.into_iter().map(|(_, account)| account).collect(), only, next))
}

async fn held(conn: &mut Conn, tenant: &TenantId, accounts: &[&str], roles: &[String]) -> Result<Vec<Candidate>> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let asked = sqlx::query(if roles.is_empty() { HELD } else { HELD_OF_ROLES }).bind(tenant.as_str());
    let asked = asked.bind(text_list(accounts.iter().copied()));
    let found = if roles.is_empty() {
        asked.fetch_all(conn).await?
    } else {
        asked.bind(text_list(roles.iter().map(String::as_str))).fetch_all(conn).await?
    };
    found.iter().map(candidate).collect()
}

fn candidate(row: &Row) -> Result<Candidate> {
    let profile: serde_json::Value = json(row.try_get("profile")?, "a profile")?;
    let text = |name: &str| profile[name].as_str().map(str::to_owned);
    Ok(Candidate {
        account: AccountId(row.try_get("account")?),
        user_name: row.try_get("user_name")?,
        email: text("email"),
        manager: text("manager"),
        last_change: Instant(row.try_get("account_modified")?),
        connection: row.try_get::<Option<String>, _>("connection")?.map(ConnectionId),
        grant: rows::grant(row)?,
    })
}

/// How many hold each role, as far as it matters.
pub(super) const PEERS: &str = concat!(
    "SELECT wanted.item, (SELECT count(*) FROM (SELECT 1 FROM grants g WHERE g.tenant = $1 AND g.role = wanted.item
         AND g.state IN ('effective', 'retained') LIMIT +$3) AS some_holders) FROM ",
    items_of!("$2"),
    " AS wanted"
);

/// [`PEERS`].
async fn holders(conn: &mut Conn, tenant: &TenantId, candidates: &[Candidate]) -> Result<BTreeMap<RoleId, i64>> {
    let roles: BTreeSet<&str> = candidates.iter().map(|held| held.grant.role.as_str()).collect();
    if roles.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found: Vec<(String, i64)> =
        sqlx::query_as(PEERS).bind(tenant.as_str()).bind(text_list(roles)).bind(PEERS_LIMIT + 1).fetch_all(conn).await?;
    Ok(found.into_iter().map(|(role, count)| (RoleId(role), count)).collect())
}

/// Managers by SCIM id.
pub(super) const BY_ID: &str = concat!(
    "SELECT r.connection, r.id, min(l.account), max(l.account) FROM resources r
     JOIN links l ON l.tenant = r.tenant AND l.connection = r.connection AND l.resource = r.id
     WHERE r.tenant = $1 AND ",
    any_of!("r.connection", "$2"),
    " AND ",
    any_of!("r.id", "$3"),
    " GROUP BY r.connection, r.id"
);
/// Managers by the id that the identity provider gave them.
pub(super) const BY_EXTERNAL_ID: &str = concat!(
    "SELECT r.connection, r.external_id, min(l.account), max(l.account) FROM resources r
     JOIN links l ON l.tenant = r.tenant AND l.connection = r.connection AND l.resource = r.id
     WHERE r.tenant = $1 AND ",
    any_of!("r.connection", "$2"),
    " AND ",
    any_of!("r.external_id", "$3"),
    " GROUP BY r.connection, r.external_id"
);

/// The login names of accounts in use.
pub(super) const IN_USE: &str = concat!(
    "SELECT account, user_name FROM accounts WHERE tenant = $1 AND state = 'active' AND user_name IS NOT NULL AND ",
    any_of!("account", "$2")
);

/// The accounts in use that the managers stand for.
async fn managers(
    conn: &mut Conn,
    tenant: &TenantId,
    candidates: &[Candidate],
) -> Result<BTreeMap<(ConnectionId, String), (AccountId, String)>> {
    let connections: BTreeSet<&str> = candidates.iter().filter_map(|held| held.connection.as_ref()).map(ConnectionId::as_str).collect();
    let named: BTreeSet<&str> = candidates.iter().filter_map(|held| held.manager.as_deref()).collect();
    if connections.is_empty() || named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut stands_for = BTreeMap::<(String, String), Option<String>>::new();
    for statement in [BY_ID, BY_EXTERNAL_ID] {
        let found: Vec<(String, String, String, String)> = sqlx::query_as(statement)
            .bind(tenant.as_str())
            .bind(text_list(connections.iter().copied()))
            .bind(text_list(named.iter().copied()))
            .fetch_all(&mut *conn)
            .await?;
        for (connection, name, first, last) in found {
            let account = (first == last).then_some(first);
            // A name that stands for two people stands for nobody.
            stands_for
                .entry((connection, name))
                .and_modify(|known| *known = known.take().filter(|known| Some(known) == account.as_ref()))
                .or_insert(account);
        }
    }
    let ids: BTreeSet<&str> = stands_for.values().flatten().map(String::as_str).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let in_use: Vec<(String, String)> = sqlx::query_as(IN_USE).bind(tenant.as_str()).bind(text_list(ids)).fetch_all(conn).await?;
    let in_use: BTreeMap<String, String> = in_use.into_iter().collect();
    let managers = stands_for.into_iter().filter_map(|((connection, name), account)| {
        let account = account?;
        let user_name = in_use.get(&account)?.clone();
        Some(((ConnectionId(connection), name), (AccountId(account), user_name)))
    });
    Ok(managers.collect())
}

/// Writes lines, and opens the review with the last of them.
pub(super) async fn fill(conn: &mut Conn, scope: &Scope, id: &str, step: &Filling) -> Result<bool> {
    let Some((mut review, place)) = locked(conn, &scope.tenant, id).await? else { return Ok(false) };
    if review.state != ReviewState::Draft || place != step.from {
        return Ok(false);
    }
    insert(conn, &scope.tenant, id, review.counts.lines, &step.lines).await?;
    let more = i64::try_from(step.lines.len()).unwrap_or(i64::MAX);
    review.counts.lines += more;
    *review.counts.of(ReviewDecision::Undecided) += more;
    review.counts.nobody += i64::try_from(step.lines.iter().filter(|line| line.reviewer.is_none()).count()).unwrap_or(0);
    let opens = step.to.is_none();
    if opens {
        let late = step.at.0.saturating_sub(review.opens.0);
        // Reviewers have the time that they were promised.
        if late > LATE_SECONDS * 1_000_000 {
            review.closes = Instant(review.closes.0.saturating_add(late));
        }
        review.state = ReviewState::Open;
    }
    let (part, after) = step.to.clone().unwrap_or_default();
    let due = if opens { review.due() } else { step.at };
    sqlx::query(
        "UPDATE reviews SET state = $3, closes = $4, opened = $5, counts = $6, cursor_part = $7, cursor_after = $8, due_at = $9
         WHERE tenant = $1 AND review = $2",
    )
    .bind(scope.tenant.as_str())
    .bind(id)
    .bind(review.state.word())
    .bind(review.closes.0)
    .bind(opens.then_some(step.at.0))
    .bind(counts_text(&review.counts)?)
    .bind(part)
    .bind(after)
    .bind(due.0)
    .execute(&mut *conn)
    .await?;
    if opens {
        let actor = Actor { kind: "review".into(), id: id.to_owned() };
        let data = serde_json::json!({"review": id, "name": review.name, "lines": review.counts.lines, "nobody": review.counts.nobody,
                                      "closes": review.closes, "on_silence": review.plan.on_silence});
        one_event(conn, scope, (&actor, step.at), "review.opened", data).await?;
    }
    Ok(true)
}

async fn insert(conn: &mut Conn, tenant: &TenantId, review: &str, before: i64, lines: &[NewReviewLine]) -> Result<()> {
    let mut number = before;
    for chunk in lines.chunks(INSERT_BATCH) {
        let mut rows = Vec::with_capacity(chunk.len());
        for line in chunk {
            rows.push((line, json_text(&line.evidence, "a line's evidence")?));
        }
        let mut sql = QueryBuilder::<Db>::new(
            "INSERT INTO review_lines (tenant, review, line, account, role, reviewer, reviewer_key, decision, evidence) ",
        );
        sql.push_values(rows, |mut row, (line, evidence)| {
            number += 1;
            row.push_bind(tenant.as_str())
                .push_bind(review)
                .push_bind(number)
                .push_bind(line.account.as_str())
                .push_bind(line.role.as_str())
                .push_bind(&line.reviewer)
                .push_bind(line.reviewer.as_deref().map(collision_key).unwrap_or_default())
                .push_bind(ReviewDecision::Undecided.word())
                .push_bind(evidence);
        });
        sql.build().execute(&mut *conn).await?;
    }
    Ok(())
}
