//! The guard: counts the people whom a change concerns, and chooses for each what takes effect, in the transaction of the change. Whoever
//! counts holds the rows of the windows, so that changes at the same time can't pass a limit together.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{Conn, Scope, text_list};
use crate::crypto::random_id;
use crate::model::{AccountId, Concerned, Forecast, GuardDirection, GuardScope, GuardSettings, Instant, NewEvent, TenantId};
use crate::store::{PersonOutcome, Result};

/// What a direction, a scope and its id are called in the database.
pub(super) fn name(direction: GuardDirection, (scope, of): &(GuardScope, String)) -> String {
    format!("{direction}/{scope}/{of}")
}

/// The parts of a guard's name.
pub(super) fn parts(guard: &str) -> Option<(GuardDirection, GuardScope, &str)> {
    let (direction, rest) = guard.split_once('/')?;
    let (scope, of) = rest.split_once('/')?;
    Some((GuardDirection::from_word(direction)?, GuardScope::from_word(scope)?, of))
}

macro_rules! windows {
    ($lock:expr) => {
        concat!(
            "SELECT guard, limit_people FROM guard_windows WHERE tenant = $1 AND began > $3 AND ",
            any_of!("guard", "$2"),
            " ORDER BY guard",
            $lock
        )
    };
}
/// The windows that go on, locked in the order of their names.
pub(super) const WINDOWS: &str = windows!(for_update!());
/// The same, looked at alone.
const WINDOWS_SEEN: &str = windows!("");
/// How many people were concerned in each: as many as its limit at most.
pub(super) const COUNTED: &str =
    concat!("SELECT guard, count(*) FROM guard_people WHERE tenant = $1 AND at > $3 AND ", any_of!("guard", "$2"), " GROUP BY guard");
/// Who of some people was among them.
pub(super) const KNOWN: &str = concat!(
    "SELECT guard, account FROM guard_people WHERE tenant = $1 AND at > $4 AND ",
    any_of!("guard", "$2"),
    " AND ",
    any_of!("account", "$3")
);
/// The holds that are open, locked: whoever joins one keeps it open.
pub(super) const OPEN: &str = concat!(
    "SELECT guard, hold FROM holds WHERE tenant = $1 AND state = 'open' AND ",
    any_of!("guard", "$2"),
    " ORDER BY guard",
    for_update!()
);
/// As many people of a connection as matter.
pub(super) const PEOPLE_OF_CONNECTION: &str =
    "SELECT count(*) FROM (SELECT 1 FROM links WHERE tenant = $1 AND connection = $2 LIMIT $3) AS people";
/// As many people with a role as matter.
pub(super) const PEOPLE_WITH_ROLE: &str = "SELECT count(*) FROM (SELECT 1 FROM grants WHERE tenant = $1 AND role = $2 LIMIT $3) AS people";
/// As many people of a tenant as matter.
pub(super) const PEOPLE_OF_TENANT: &str = "SELECT count(*) FROM (SELECT 1 FROM links WHERE tenant = $1 AND $2 <> '' LIMIT $3) AS people";

/// As many people of each of some connections as matter.
pub(super) const PEOPLE_OF_CONNECTIONS: &str = concat!(
    "SELECT item, (SELECT count(*) FROM (SELECT 1 FROM links WHERE tenant = $1 AND connection = item LIMIT $3) AS people) FROM ",
    items_of!("$2"),
    " AS asked"
);
/// As many people with each of some roles as matter.
pub(super) const PEOPLE_WITH_ROLES: &str = concat!(
    "SELECT item, (SELECT count(*) FROM (SELECT 1 FROM grants WHERE tenant = $1 AND role = item LIMIT $3) AS people) FROM ",
    items_of!("$2"),
    " AS asked"
);

/// A window: how many people may be concerned, and who was so far.
struct Window {
    limit: i64,
    people: i64,
    known: BTreeSet<String>,
}

/// What is kept back of a person, and in which hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// The hold of losses, or of somebody who leaves.
    pub(super) losses: Option<String>,
    /// The hold of gains.
    pub(super) gains: Option<String>,
}

/// Counts the people of a change; what is beyond a limit is kept back. Gives for each outcome what that is, in order, and the history of
/// holds that were opened. `accounts` has the account of each outcome; none of somebody who is gone.
pub(super) async fn weigh(
    conn: &mut Conn,
    scope: &Scope,
    persons: &mut [PersonOutcome],
    accounts: &[Option<AccountId>],
    at: Instant,
) -> Result<(Vec<Kept>, Vec<NewEvent>)> {
    let mut kept = vec![Kept::default(); persons.len()];
    let mut wanted: BTreeMap<String, (GuardSettings, GuardDirection, GuardScope, String)> = BTreeMap::new();
    for guarded in persons.iter().filter_map(|person| person.guarded.as_ref()) {
        for direction in GuardDirection::ALL {
            for scope in guarded.concerned.scopes(*direction) {
                let settings = guarded.concerned.settings.clone();
                wanted.entry(name(*direction, &scope)).or_insert((settings, *direction, scope.0, scope.1));
            }
        }
    }
    if wanted.is_empty() {
        return Ok((kept, Vec::new()));
    }
    let asked = persons.iter().zip(accounts).filter(|(person, _)| person.guarded.is_some());
    let ids: Vec<&str> = asked.filter_map(|(_, account)| account.as_ref()).map(AccountId::as_str).collect();
    let mut windows = open_windows(conn, &scope.tenant, &wanted, &ids, at).await?;
    let mut counted: Vec<(String, String)> = Vec::new();
    // Whose outcome it is, whether it is a loss, and the guard whose limit is reached.
    let mut past: Vec<(usize, bool, String)> = Vec::new();
    for (number, (person, account)) in persons.iter().zip(accounts).enumerate() {
        let (Some(guarded), Some(account)) = (&person.guarded, account) else { continue };
        for (losing, directions) in
            [(true, [GuardDirection::Leavers, GuardDirection::Losses]), (false, [GuardDirection::Gains, GuardDirection::PrivilegedGains])]
        {
            let guards = names(&guarded.concerned, directions);
            let full = guards.iter().find(|guard| windows.get(*guard).is_some_and(|window| window.is_full(account.as_str())));
            if let Some(full) = full {
                past.push((number, losing, full.clone()));
                continue;
            }
            for guard in guards {
                let Some(window) = windows.get_mut(&guard) else { continue };
                if window.known.insert(account.0.clone()) {
                    window.people += 1;
                    counted.push((guard, account.0.clone()));
                }
            }
        }
    }
    count(conn, &scope.tenant, &counted, at).await?;
    let full: BTreeSet<&str> = past.iter().map(|(.., guard)| guard.as_str()).collect();
    let (holds, events) = open_holds(conn, &scope.tenant, &full, &windows, at).await?;
    for (number, losing, guard) in past {
        let hold = holds.get(&guard).cloned();
        if losing { kept[number].losses = hold } else { kept[number].gains = hold }
    }
    for (person, kept) in persons.iter_mut().zip(&kept) {
        let Some(guarded) = person.guarded.take() else { continue };
        let chosen = match (kept.losses.is_some(), kept.gains.is_some()) {
            (false, false) => None,
            (true, false) => guarded.losses_held,
            (false, true) => guarded.gains_held,
            (true, true) => guarded.both_held,
        };
        if let Some(chosen) = chosen {
            person.effect = chosen;
        }
    }
    Ok((kept, events))
}

fn names(concerned: &Concerned, directions: [GuardDirection; 2]) -> Vec<String> {
    directions
        .into_iter()
        .flat_map(|direction| concerned.scopes(direction).iter().map(|scope| name(direction, scope)).collect::<Vec<_>>())
        .collect()
}

impl Window {
    fn is_full(&self, account: &str) -> bool {
        self.people >= self.limit && !self.known.contains(account)
    }
}

/// The windows, locked in the order of their names: those that are over begin anew, those that are missing begin now.
async fn open_windows(
    conn: &mut Conn,
    tenant: &TenantId,
    wanted: &BTreeMap<String, (GuardSettings, GuardDirection, GuardScope, String)>,
    accounts: &[&str],
    at: Instant,
) -> Result<BTreeMap<String, Window>> {
    let hours = wanted.values().map(|(settings, ..)| settings.window_hours).max().unwrap_or(0);
    let cutoff = at.plus_seconds(-i64::from(hours) * 3_600);
    let mut found = lock_windows(conn, tenant, wanted.keys(), cutoff).await?;
    let missing: Vec<&String> = wanted.keys().filter(|guard| !found.contains_key(*guard)).collect();
    if !missing.is_empty() {
        for guard in missing {
            let (settings, direction, scope, of) = &wanted[guard];
            let population = population(conn, tenant, *scope, of, settings.population_needed(*direction)).await?;
            let limit = settings.limit(*direction, population);
            sqlx::query(
                "INSERT INTO guard_windows (tenant, guard, began, limit_people) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant, guard) DO UPDATE SET began = excluded.began, limit_people = excluded.limit_people
                 WHERE guard_windows.began <= $5",
            )
            .bind(tenant.as_str())
            .bind(guard)
            .bind(at.0)
            .bind(limit)
            .bind(cutoff.0)
            .execute(&mut *conn)
            .await?;
        }
        // Somebody else may have begun one meanwhile: theirs counts.
        found = lock_windows(conn, tenant, wanted.keys(), cutoff).await?;
    }
    let guards = || text_list(wanted.keys().map(String::as_str));
    let counts: Vec<(String, i64)> =
        sqlx::query_as(COUNTED).bind(tenant.as_str()).bind(guards()).bind(cutoff.0).fetch_all(&mut *conn).await?;
    let known: Vec<(String, String)> = sqlx::query_as(KNOWN)
        .bind(tenant.as_str())
        .bind(guards())
        .bind(text_list(accounts.iter().copied()))
        .bind(cutoff.0)
        .fetch_all(&mut *conn)
        .await?;
    let mut windows: BTreeMap<String, Window> =
        found.into_iter().map(|(guard, limit)| (guard, Window { limit, people: 0, known: BTreeSet::new() })).collect();
    for (guard, people) in counts {
        windows.entry(guard).and_modify(|window| window.people = people);
    }
    for (guard, account) in known {
        windows.entry(guard).and_modify(|window| {
            window.known.insert(account);
        });
    }
    Ok(windows)
}

/// The windows that go on, with their limits.
async fn lock_windows<'g>(
    conn: &mut Conn,
    tenant: &TenantId,
    guards: impl Iterator<Item = &'g String>,
    cutoff: Instant,
) -> Result<BTreeMap<String, i64>> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as(WINDOWS).bind(tenant.as_str()).bind(text_list(guards.map(String::as_str))).bind(cutoff.0).fetch_all(conn).await?;
    Ok(rows.into_iter().collect())
}

/// How many people a scope has, as far as it matters: a window's limit is made of it when it begins.
pub(super) async fn population(conn: &mut Conn, tenant: &TenantId, scope: GuardScope, of: &str, most: i64) -> Result<i64> {
    let statement = match scope {
        GuardScope::Connection => PEOPLE_OF_CONNECTION,
        GuardScope::Role => PEOPLE_WITH_ROLE,
        GuardScope::Revision | GuardScope::Plan => PEOPLE_OF_TENANT,
    };
    Ok(sqlx::query_scalar(statement).bind(tenant.as_str()).bind(of).bind(most).fetch_one(conn).await?)
}

/// Notes who was concerned, and when.
async fn count(conn: &mut Conn, tenant: &TenantId, counted: &[(String, String)], at: Instant) -> Result<()> {
    /// Rows of one INSERT.
    const ROWS: usize = 500;
    for chunk in counted.chunks(ROWS) {
        let mut sql = sqlx::QueryBuilder::new("INSERT INTO guard_people (tenant, guard, account, at) ");
        sql.push_values(chunk, |mut row, (guard, account)| {
            row.push_bind(tenant.as_str()).push_bind(guard).push_bind(account).push_bind(at.0);
        });
        sql.push(" ON CONFLICT (tenant, guard, account) DO UPDATE SET at = excluded.at");
        sql.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// The open hold of each guard, opened where there is none: the guard's window is locked.
async fn open_holds(
    conn: &mut Conn,
    tenant: &TenantId,
    guards: &BTreeSet<&str>,
    windows: &BTreeMap<String, Window>,
    at: Instant,
) -> Result<(BTreeMap<String, String>, Vec<NewEvent>)> {
    if guards.is_empty() {
        return Ok((BTreeMap::new(), Vec::new()));
    }
    let found: Vec<(String, String)> =
        sqlx::query_as(OPEN).bind(tenant.as_str()).bind(text_list(guards.iter().copied())).fetch_all(&mut *conn).await?;
    let mut holds: BTreeMap<String, String> = found.into_iter().collect();
    let mut events = Vec::new();
    for guard in guards.iter().filter(|guard| !holds.contains_key(**guard)).copied().collect::<Vec<_>>() {
        let hold = random_id();
        let limit = windows.get(guard).map_or(0, |window| window.limit);
        sqlx::query("INSERT INTO holds (tenant, hold, guard, state, limit_people, opened) VALUES ($1, $2, $3, 'open', $4, $5)")
            .bind(tenant.as_str())
            .bind(&hold)
            .bind(guard)
            .bind(limit)
            .bind(at.0)
            .execute(&mut *conn)
            .await?;
        let (direction, scope, of) = parts(guard).map_or((None, None, guard), |(direction, scope, of)| (Some(direction), Some(scope), of));
        let data = json!({"hold": hold, "direction": direction, "scope": scope, "of": of, "limit": limit});
        events.push(NewEvent { kind: "hold.opened", account: None, data, personal: None, leaver: false });
        holds.insert(guard.to_owned(), hold);
    }
    Ok((holds, events))
}

/// Forecasts with the limits of the windows that go on, and of those that would begin now.
pub(super) async fn limit_forecasts(
    conn: &mut Conn,
    tenant: &TenantId,
    settings: &GuardSettings,
    forecasts: Vec<Forecast>,
    now: Instant,
) -> Result<Vec<Forecast>> {
    if forecasts.is_empty() {
        return Ok(forecasts);
    }
    let guard_of = |forecast: &Forecast| name(forecast.direction, &(forecast.scope, forecast.of.clone()));
    let guards: Vec<String> = forecasts.iter().map(guard_of).collect();
    let cutoff = now.plus_seconds(-i64::from(settings.window_hours) * 3_600);
    let open: BTreeMap<String, i64> = {
        let asked = sqlx::query_as(WINDOWS_SEEN).bind(tenant.as_str()).bind(text_list(guards.iter().map(String::as_str))).bind(cutoff.0);
        asked.fetch_all(&mut *conn).await?.into_iter().collect()
    };
    let counted: BTreeMap<String, i64> = {
        let asked = sqlx::query_as(COUNTED).bind(tenant.as_str()).bind(text_list(guards.iter().map(String::as_str))).bind(cutoff.0);
        asked.fetch_all(&mut *conn).await?.into_iter().collect()
    };
    let people = populations(conn, tenant, settings, &forecasts).await?;
    let limited = |(forecast, guard): (Forecast, String)| {
        let population = people.get(&(forecast.scope, forecast.of.clone())).copied().unwrap_or(0);
        let limit = open.get(&guard).copied().unwrap_or_else(|| settings.limit(forecast.direction, population));
        forecast.limited(limit, counted.get(&guard).copied().unwrap_or(0))
    };
    Ok(forecasts.into_iter().zip(guards).map(limited).collect())
}

/// How many people scopes have, as far as it matters.
async fn populations(
    conn: &mut Conn,
    tenant: &TenantId,
    settings: &GuardSettings,
    forecasts: &[Forecast],
) -> Result<BTreeMap<(GuardScope, String), i64>> {
    let most = GuardDirection::ALL.iter().map(|direction| settings.population_needed(*direction)).max().unwrap_or(0);
    let mut found = BTreeMap::new();
    for (scope, statement) in [(GuardScope::Connection, PEOPLE_OF_CONNECTIONS), (GuardScope::Role, PEOPLE_WITH_ROLES)] {
        let asked: BTreeSet<&str> =
            forecasts.iter().filter(|forecast| forecast.scope == scope).map(|forecast| forecast.of.as_str()).collect();
        let asked = sqlx::query_as(statement).bind(tenant.as_str()).bind(text_list(asked)).bind(most);
        let rows: Vec<(String, i64)> = asked.fetch_all(&mut *conn).await?;
        found.extend(rows.into_iter().map(|(of, people)| ((scope, of), people)));
    }
    for forecast in forecasts.iter().filter(|forecast| forecast.scope == GuardScope::Revision) {
        let key = (GuardScope::Revision, forecast.of.clone());
        // A candidate is one revision, in two or three directions.
        if let std::collections::btree_map::Entry::Vacant(place) = found.entry(key) {
            place.insert(population(conn, tenant, forecast.scope, &forecast.of, most).await?);
        }
    }
    Ok(found)
}
