//! The guard: counts the people whom a change concerns, and chooses for each what takes effect, in the transaction of the change. Whoever
//! counts holds the rows of the windows, so that changes at the same time can't pass a limit together.
//!
//! A window's row has how many people were concerned after an instant, its `counted_from`. The window moves on with time, so that instant
//! does as well, and whoever lies between the two is taken out (or in, where hours were added or another host's clock is behind). Each
//! person is so counted once on the way in and once on the way out, however many there are in between.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::batch::Batch;
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
            "SELECT guard, limit_people, people FROM guard_windows WHERE tenant = $1 AND began > $3 AND ",
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
/// How many people are to be added to what the windows' rows say, for an instant from which is counted; all but none are taken out.
macro_rules! passed {
    ($cutoff:literal) => {
        concat!(
            "(SELECT count(*) FROM guard_people p WHERE p.tenant = $1 AND p.guard = w.guard AND p.at > ",
            $cutoff,
            " AND p.at <= w.counted_from)
             - (SELECT count(*) FROM guard_people p WHERE p.tenant = $1 AND p.guard = w.guard AND p.at > w.counted_from AND p.at <= ",
            $cutoff,
            ")"
        )
    };
}
/// How many people were concerned in each window, and who of some people was among them: rows of either. Asked of windows that are
/// locked: a statement of its own, because one that waits for a lock sees the other tables as they were before.
pub(super) const COUNTED: &str = concat!(
    "SELECT w.guard AS guard, NULL AS account, w.people + ",
    passed!("$4"),
    " AS people FROM guard_windows w WHERE w.tenant = $1 AND ",
    any_of!("w.guard", "$2"),
    " UNION ALL SELECT g.item AS guard, a.item AS account, 0 AS people FROM ",
    items_of!("$2"),
    " AS g CROSS JOIN ",
    items_of!("$3"),
    // Each found by its key and not by the instant, after which there is everybody.
    " AS a WHERE EXISTS (SELECT 1 FROM guard_people p WHERE p.tenant = $1 AND p.guard = g.item AND p.account = a.item AND p.at + 0 > $4)"
);
/// How many of some people each of some windows has counted, after an instant. Each is found by its key.
pub(super) const COUNTED_ALREADY: &str = concat!(
    "SELECT p.guard, count(*) FROM ",
    pairs_of!("$2"),
    " AS asked",
    joined!("guard_people", "p", "p.tenant = $1 AND p.guard = asked.one AND p.account = asked.two"),
    " WHERE p.at + 0 > $3 GROUP BY p.guard"
);
/// The holds that are open, locked: whoever joins one keeps it open.
pub(super) const OPEN: &str = concat!(
    "SELECT guard, hold FROM holds WHERE tenant = $1 AND state = 'open' AND ",
    any_of!("guard", "$2"),
    " ORDER BY guard",
    for_update!()
);
/// As many people of a connection as matter. In the order of its key, so that another index, which leaves the connection out, is none the better.
pub(super) const PEOPLE_OF_CONNECTION: &str =
    "SELECT count(*) FROM (SELECT 1 FROM links WHERE tenant = $1 AND connection = $2 ORDER BY resource LIMIT +$3) AS people";
/// As many people with a role as matter.
pub(super) const PEOPLE_WITH_ROLE: &str = "SELECT count(*) FROM (SELECT 1 FROM grants WHERE tenant = $1 AND role = $2 LIMIT +$3) AS people";
/// As many people of a tenant as matter.
pub(super) const PEOPLE_OF_TENANT: &str = "SELECT count(*) FROM (SELECT 1 FROM links WHERE tenant = $1 AND $2 <> '' LIMIT +$3) AS people";

/// As many people of each of some connections as matter.
pub(super) const PEOPLE_OF_CONNECTIONS: &str = concat!(
    "SELECT item, (SELECT count(*) FROM (SELECT 1 FROM links WHERE tenant = $1 AND connection = item ORDER BY resource LIMIT +$3) AS people) FROM ",
    items_of!("$2"),
    " AS asked"
);
/// As many people with each of some roles as matter.
pub(super) const PEOPLE_WITH_ROLES: &str = concat!(
    "SELECT item, (SELECT count(*) FROM (SELECT 1 FROM grants WHERE tenant = $1 AND role = item LIMIT +$3) AS people) FROM ",
    items_of!("$2"),
    " AS asked"
);

/// A window: how many people may be concerned, how many were so far, and who of those that are asked about was.
struct Window {
    limit: i64,
    people: i64,
    known: BTreeSet<String>,
    /// Whether somebody came in or went out, so that the row has to be written. (Its number may be the same all the same.)
    is_moved: bool,
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
    let mut wanted = Wanted::new();
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
    let cutoff = cutoff(&wanted, at);
    let mut windows = open_windows(conn, &scope.tenant, &wanted, &ids, (at, cutoff)).await?;
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
                    window.is_moved = true;
                    counted.push((guard, account.0.clone()));
                }
            }
        }
    }
    count(conn, &scope.tenant, &windows, &counted, (at, cutoff)).await?;
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

/// What a change asks of the guard: settings, direction and scope by the guard's name.
type Wanted = BTreeMap<String, (GuardSettings, GuardDirection, GuardScope, String)>;

/// The instant after which people count.
fn cutoff(wanted: &Wanted, at: Instant) -> Instant {
    let hours = wanted.values().map(|(settings, ..)| settings.window_hours).max().unwrap_or(0);
    at.plus_seconds(-i64::from(hours) * 3_600)
}

/// The windows, locked in the order of their names: those that are over begin anew, those that are missing begin now.
async fn open_windows(
    conn: &mut Conn,
    tenant: &TenantId,
    wanted: &Wanted,
    accounts: &[&str],
    (at, cutoff): (Instant, Instant),
) -> Result<BTreeMap<String, Window>> {
    let mut windows = lock_windows(conn, tenant, wanted.keys(), cutoff).await?;
    let missing: Vec<&String> = wanted.keys().filter(|guard| !windows.contains_key(*guard)).collect();
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
        windows = lock_windows(conn, tenant, wanted.keys(), cutoff).await?;
    }
    for (guard, account, people) in counted(conn, tenant, wanted.keys().map(String::as_str), accounts, cutoff).await? {
        let Some(window) = windows.get_mut(&guard) else { continue };
        match account {
            Some(account) => drop(window.known.insert(account)),
            None => {
                window.is_moved = window.people != people;
                window.people = people;
            }
        }
    }
    Ok(windows)
}

/// [`COUNTED`].
async fn counted<'g>(
    conn: &mut Conn,
    tenant: &TenantId,
    guards: impl Iterator<Item = &'g str>,
    accounts: &[&str],
    cutoff: Instant,
) -> Result<Vec<(String, Option<String>, i64)>> {
    let asked = sqlx::query_as(COUNTED).bind(tenant.as_str()).bind(text_list(guards)).bind(text_list(accounts.iter().copied()));
    Ok(asked.bind(cutoff.0).fetch_all(conn).await?)
}

/// The windows that go on, with their limits and what their rows say of people.
async fn lock_windows<'g>(
    conn: &mut Conn,
    tenant: &TenantId,
    guards: impl Iterator<Item = &'g String>,
    cutoff: Instant,
) -> Result<BTreeMap<String, Window>> {
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as(WINDOWS).bind(tenant.as_str()).bind(text_list(guards.map(String::as_str))).bind(cutoff.0).fetch_all(conn).await?;
    let window = |(guard, limit, people)| (guard, Window { limit, people, known: BTreeSet::new(), is_moved: false });
    Ok(rows.into_iter().map(window).collect())
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

/// Notes who was concerned, and when; and in the windows' rows how many that makes after `cutoff`.
async fn count(
    conn: &mut Conn,
    tenant: &TenantId,
    windows: &BTreeMap<String, Window>,
    counted: &[(String, String)],
    (at, cutoff): (Instant, Instant),
) -> Result<()> {
    /// Rows of one INSERT.
    const ROWS: usize = 500;
    let mut batch = Batch::new();
    for chunk in counted.chunks(ROWS) {
        let sql = batch.next(conn, chunk.len()).await?;
        sql.push("INSERT INTO guard_people (tenant, guard, account, at) ");
        sql.push_values(chunk, |mut row, (guard, account)| {
            row.push_bind(tenant.as_str()).push_bind(guard).push_bind(account).push_bind(at.0);
        });
        sql.push(" ON CONFLICT (tenant, guard, account) DO UPDATE SET at = excluded.at");
    }
    let moved: Vec<(&String, &Window)> = windows.iter().filter(|(_, window)| window.is_moved).collect();
    for chunk in moved.chunks(ROWS) {
        let sql = batch.next(conn, chunk.len()).await?;
        // The rows are there and locked: what begins a window is not written.
        sql.push("INSERT INTO guard_windows (tenant, guard, began, limit_people, people, counted_from) ");
        sql.push_values(chunk, |mut row, (guard, window)| {
            row.push_bind(tenant.as_str()).push_bind(*guard).push_bind(at.0).push_bind(window.limit);
            row.push_bind(window.people).push_bind(cutoff.0);
        });
        sql.push(" ON CONFLICT (tenant, guard) DO UPDATE SET people = excluded.people, counted_from = excluded.counted_from");
    }
    batch.flush(conn).await
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
    let open: Vec<(String, i64, i64)> = {
        let asked = sqlx::query_as(WINDOWS_SEEN).bind(tenant.as_str()).bind(text_list(guards.iter().map(String::as_str))).bind(cutoff.0);
        asked.fetch_all(&mut *conn).await?
    };
    let open: BTreeMap<String, i64> = open.into_iter().map(|(guard, limit, _)| (guard, limit)).collect();
    let rows = counted(conn, tenant, guards.iter().map(String::as_str), &[], cutoff).await?;
    let counted: BTreeMap<String, i64> = rows.into_iter().map(|(guard, _, people)| (guard, people)).collect();
    let people = populations(conn, tenant, settings, &forecasts).await?;
    let limited = |(forecast, guard): (Forecast, String)| {
        let population = people.get(&(forecast.scope, forecast.of.clone())).copied().unwrap_or(0);
        let limit = open.get(&guard).copied().unwrap_or_else(|| settings.limit(forecast.direction, population));
        forecast.limited(limit, counted.get(&guard).copied().unwrap_or(0))
    };
    Ok(forecasts.into_iter().zip(guards).map(limited).collect())
}

/// See [`crate::store::Trials::counted_already`].
pub(super) async fn counted_already(
    conn: &mut Conn,
    tenant: &TenantId,
    settings: &GuardSettings,
    asked: &[((GuardDirection, GuardScope, String), AccountId)],
    now: Instant,
) -> Result<Vec<((GuardDirection, GuardScope, String), u64)>> {
    let pair = |((direction, scope, of), account): &((GuardDirection, GuardScope, String), AccountId)| {
        json!([name(*direction, &(*scope, of.clone())), account])
    };
    let pairs = serde_json::Value::from_iter(asked.iter().map(pair)).to_string();
    let cutoff = now.plus_seconds(-i64::from(settings.window_hours) * 3_600);
    let rows: Vec<(String, i64)> = sqlx::query_as(COUNTED_ALREADY).bind(tenant.as_str()).bind(pairs).bind(cutoff.0).fetch_all(conn).await?;
    let counted = rows.into_iter().filter_map(|(guard, people)| {
        let (direction, scope, of) = parts(&guard)?;
        Some(((direction, scope, of.to_owned()), people.unsigned_abs()))
    });
    Ok(counted.collect())
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::strategy::{Strategy as _, ValueTree as _};
    use proptest::test_runner::TestRunner;

    use super::super::super::scratch::open;
    use super::*;
    use crate::store::{Effect, Guarded, Store as _};

    /// Histories that are tried, each of at most so many changes.
    const HISTORIES: usize = 24;
    const CHANGES: usize = 24;
    /// Each limit: low enough that windows fill up.
    const LIMIT: u32 = 4;

    /// A change: seconds since the one before (hosts' clocks differ, so that they may be behind), hours of the window, who gains which
    /// roles.
    type Step = (i64, u32, Vec<(u8, Vec<u8>)>);

    fn outcome(step_hours: u32, person: u8, roles: &[u8]) -> PersonOutcome {
        let settings = GuardSettings { window_hours: step_hours, people: LIMIT, at_least: LIMIT, ..GuardSettings::default() };
        let concerned = Concerned {
            connection: "c".into(),
            activated: None,
            settings,
            loses: false,
            leaves: false,
            lost: Vec::new(),
            gained: roles.iter().map(|role| format!("r{role}").as_str().into()).collect(),
            gained_privileged: Vec::new(),
        };
        let guarded = Guarded { concerned, losses_held: None, gains_held: None, both_held: None };
        PersonOutcome {
            user: format!("u{person}").as_str().into(),
            read_input_version: 0,
            groups: Vec::new(),
            effect: Effect::default(),
            guarded: Some(Box::new(guarded)),
            as_of: Instant(0),
            revision: None,
            attempts: 0,
            still_pending: None,
        }
    }

    /// How many people are concerned after an instant, counted one by one: what was asked with each change before windows kept a count.
    async fn counted_one_by_one(conn: &mut Conn, tenant: &TenantId, after: Instant) -> BTreeMap<String, i64> {
        let counted = "SELECT guard, count(*) FROM guard_people WHERE tenant = $1 AND at > $2 GROUP BY guard";
        let rows: Vec<(String, i64)> = sqlx::query_as(counted).bind(tenant.as_str()).bind(after.0).fetch_all(conn).await.unwrap();
        rows.into_iter().collect()
    }

    #[tokio::test]
    async fn what_a_window_says_is_what_counting_everybody_gives() {
        let (store, mut conn, _scratch) = open().await;
        let step = (
            proptest::prop_oneof![-1_800_i64..3_600, 3_000_i64..90_000],
            proptest::sample::select(vec![1_u32, 2, 24]),
            vec((0_u8..12, proptest::collection::btree_set(0_u8..3, 1..3).prop_map(|roles| roles.into_iter().collect())), 1..4),
        );
        let histories = vec(step, 1..CHANGES);
        let mut runner = TestRunner::deterministic();
        let (mut taken, mut refused) = (0, 0);
        for number in 0..HISTORIES {
            let history: Vec<Step> = histories.new_tree(&mut runner).unwrap().current();
            let tenant = TenantId(format!("t{number}"));
            store.ensure_tenant(&tenant, "tenant", "api", Instant(0)).await.unwrap();
            let scope = store.scope(&tenant);
            let mut at = Instant(0).plus_seconds(1_000_000);
            for (seconds, hours, people) in &history {
                at = at.plus_seconds(*seconds);
                let after = at.plus_seconds(-i64::from(*hours) * 3_600);
                // What would be counted if everybody were counted, each in turn.
                let mut naive = counted_one_by_one(&mut conn, &tenant, after).await;
                let known: Vec<(String, String)> = sqlx::query_as("SELECT guard, account FROM guard_people WHERE tenant = $1 AND at > $2")
                    .bind(tenant.as_str())
                    .bind(after.0)
                    .fetch_all(&mut conn)
                    .await
                    .unwrap();
                let mut known: BTreeSet<(String, String)> = known.into_iter().collect();
                let mut expected = Vec::new();
                for (person, roles) in people {
                    let account = format!("a{person}");
                    let scopes = roles.iter().map(|role| format!("gains/role/r{role}")).chain(["gains/connection/c".to_owned()]);
                    let guards: Vec<String> = scopes.collect();
                    let is_full = |guard: &String| {
                        naive.get(guard).copied().unwrap_or(0) >= i64::from(LIMIT) && !known.contains(&(guard.clone(), account.clone()))
                    };
                    let is_kept = guards.iter().any(is_full);
                    expected.push(is_kept);
                    for guard in guards.into_iter().filter(|_| !is_kept) {
                        if known.insert((guard.clone(), account.clone())) {
                            *naive.entry(guard).or_default() += 1;
                        }
                    }
                }
                let mut outcomes: Vec<PersonOutcome> = people.iter().map(|(person, roles)| outcome(*hours, *person, roles)).collect();
                let accounts: Vec<Option<AccountId>> = people.iter().map(|(person, _)| Some(AccountId(format!("a{person}")))).collect();
                let (kept, _) = weigh(&mut conn, &scope, &mut outcomes, &accounts, at).await.unwrap();
                let found: Vec<bool> = kept.iter().map(|kept| kept.gains.is_some()).collect();
                assert_eq!(found, expected, "history {number}: {history:?}");
                taken += found.iter().filter(|is_kept| !**is_kept).count();
                refused += found.iter().filter(|is_kept| **is_kept).count();
                // Every row says what is true of its own instant.
                let rows: Vec<(String, i64, i64)> =
                    sqlx::query_as("SELECT guard, people, counted_from FROM guard_windows WHERE tenant = $1")
                        .bind(tenant.as_str())
                        .fetch_all(&mut conn)
                        .await
                        .unwrap();
                for (guard, people, counted_from) in rows {
                    let naive = counted_one_by_one(&mut conn, &tenant, Instant(counted_from)).await;
                    assert_eq!(people, naive.get(&guard).copied().unwrap_or(0), "{guard} of history {number}: {history:?}");
                }
            }
        }
        assert!(taken > 100 && refused > 100, "histories in which windows fill and empty: {taken} taken, {refused} refused");
    }

    /// Windows from before there was a count: their people are counted with the next change.
    #[tokio::test]
    async fn windows_from_before_are_counted_with_the_next_change() {
        let (store, mut conn, _scratch) = open().await;
        let tenant = TenantId::from("t");
        store.ensure_tenant(&tenant, "tenant", "api", Instant(0)).await.unwrap();
        let at = Instant(0).plus_seconds(1_000_000);
        for statement in [
            "INSERT INTO guard_windows (tenant, guard, began, limit_people) VALUES ('t', 'gains/connection/c', 999000000000, 4)",
            "INSERT INTO guard_people (tenant, guard, account, at) VALUES ('t', 'gains/connection/c', 'old', 1),
             ('t', 'gains/connection/c', 'x', 999000000000), ('t', 'gains/connection/c', 'y', 999000000000),
             ('t', 'gains/connection/c', 'z', 999000000000)",
        ] {
            sqlx::query(statement).execute(&mut conn).await.unwrap();
        }
        let mut outcomes = [outcome(24, 1, &[1]), outcome(24, 2, &[2])];
        let accounts = [Some(AccountId("a1".into())), Some(AccountId("a2".into()))];
        let (kept, _) = weigh(&mut conn, &store.scope(&tenant), &mut outcomes, &accounts, at).await.unwrap();
        assert_eq!(kept.iter().map(|kept| kept.gains.is_some()).collect::<Vec<_>>(), [false, true]);
    }
}
