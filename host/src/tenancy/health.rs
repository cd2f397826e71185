//! Looking after connections: judges them, puts what does harm into quarantine and lets it out again, and tells what has changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use serde_json::json;

use super::TenancyError;
use crate::app::App;
use crate::health::{Memory, is_over};
use crate::model::{
    Actor, ConnectionId, ConnectionState, Health, HealthNews, HealthSettings, HealthState, Instant, NewEvent, TenantId, Traffic,
};
use crate::store::{HealthCase, KeptHealth, StoreError};

/// For how many hours harm is not asked about after somebody has looked.
pub const EXCUSED_HOURS: u32 = 24;
/// For how many days what was counted is kept: the weeks that a day is compared with.
pub const TRAFFIC_DAYS: i64 = 35;
/// Tenants that are looked after at a time: their trips to the database overlap, and leave connections to requests.
const TENANTS_AT_ONCE: usize = 3;
/// Slots that are shown of a connection: a day.
pub const SLOTS_SHOWN: i64 = 288;

/// A connection's health for people.
#[derive(Clone, Debug)]
pub struct HealthView {
    /// The judgement, made now.
    pub health: Health,
    /// The measures.
    pub settings: HealthSettings,
    /// What came within the last day.
    pub traffic: Vec<(Instant, Traffic)>,
}

/// Judges the connections of every tenant, and counts them by state. Whether anything is told.
///
/// # Errors
/// The store's, for the tenants; then the others are looked after all the same.
pub async fn look_after_all(app: &App) -> Result<(BTreeMap<HealthState, i64>, bool), StoreError> {
    let tenants = app.store.tenants().await?;
    let looks = tenants.into_iter().map(|tenant| async move { look_after(app, &tenant.id).await });
    let mut looks = futures_util::stream::iter(looks).buffer_unordered(TENANTS_AT_ONCE);
    let mut states: BTreeMap<HealthState, i64> = HealthState::ALL.iter().map(|state| (*state, 0)).collect();
    let (mut told, mut failed) = (false, None);
    while let Some(look) = looks.next().await {
        match look {
            Ok((found, news)) => {
                told |= news;
                found.into_iter().for_each(|state| *states.entry(state).or_default() += 1);
            }
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok((states, told)), Err)
}

/// Judges the connections of a tenant and keeps what has changed. Returns the state of each, and whether anything is told.
///
/// # Errors
/// The store's.
pub async fn look_after(app: &App, tenant: &TenantId) -> Result<(Vec<HealthState>, bool), StoreError> {
    let now = app.clock.now();
    let cases = app.store.health_cases(tenant, None, now).await?;
    let judged: Vec<(HealthState, Option<KeptHealth>)> = cases.into_iter().map(|case| judge(case, now)).collect();
    let (states, kept): (Vec<HealthState>, Vec<Option<KeptHealth>>) = judged.into_iter().unzip();
    let kept: Vec<KeptHealth> = kept.into_iter().flatten().collect();
    if kept.is_empty() {
        return Ok((states, false));
    }
    let actor = Actor { kind: "worker".into(), id: "health".into() };
    let done = app.store.keep_health(tenant, &kept, &actor, now).await?;
    for one in kept.iter().filter(|one| one.event.is_some() && done.contains(&one.connection)) {
        let rules: Vec<&str> = one.health.evidence.iter().map(|evidence| evidence.rule.word()).collect();
        let (connection, state) = (&one.connection, one.health.state);
        if state.is_bad() {
            tracing::warn!(%tenant, %connection, %state, ?rules, "a connection is in a bad state: see its health");
        } else {
            tracing::info!(%tenant, %connection, %state, ?rules, "a connection is well");
        }
    }
    // Events have to be numbered, and people of a connection that is let out again are due.
    app.wake.notify_one();
    let told = kept.iter().any(|one| one.event.is_some() || one.becomes.is_some());
    Ok((states, told))
}

/// The judgement of a connection, and what is to be kept of it where anything is.
fn judge(case: HealthCase, now: Instant) -> (HealthState, Option<KeptHealth>) {
    let before = memory(&case);
    let mut memory = before.clone();
    let (health, news) = look(&case, &mut memory, now);
    let becomes = match (health.state, case.state) {
        (HealthState::Quarantined, ConnectionState::Active) => Some(ConnectionState::Quarantined),
        (HealthState::Quarantined, _) => None,
        (_, ConnectionState::Quarantined) => Some(ConnectionState::Active),
        _ => None,
    };
    let state = health.state;
    let taken_in = case.counted.iter().rfind(|(slot, _)| is_over(*slot, now)).map_or(case.taken_in, |(slot, _)| *slot);
    let is_kept = memory == before && case.health.as_ref().is_some_and(|kept| is_written_alike(kept, &health));
    if is_kept && becomes.is_none() && taken_in == case.taken_in {
        return (state, None);
    }
    let event = news.map(|news| told(&case, news, &health));
    let memory = written(&memory);
    let kept = KeptHealth { connection: case.connection, memory, health, taken_in, version: case.version, event, becomes };
    (state, Some(kept))
}

/// Whether two judgements are the same once they are written: their instants are told to the millisecond then, so that a judgement that was
/// read is never quite the one that is made, and every connection would be written with every look.
fn is_written_alike(one: &Health, other: &Health) -> bool {
    let written = |health: &Health| serde_json::to_string(health).expect("words and instants can be written");
    written(one) == written(other)
}

/// Looks at a connection with all that was counted of it.
fn look(case: &HealthCase, memory: &mut Memory, now: Instant) -> (Health, Option<HealthNews>) {
    let (over, open): (Vec<_>, Vec<_>) = case.counted.iter().copied().partition(|(slot, _)| is_over(*slot, now));
    memory.look((&over, &open), &case.standing, &case.settings.clone().unwrap_or_default(), now)
}

/// What was learned; nothing where it can't be read any more: it is learned again.
fn memory(case: &HealthCase) -> Memory {
    case.memory.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn written(memory: &Memory) -> String {
    // By itself and not through a `Value`, which takes several times as long for ten thousand of them.
    serde_json::to_string(memory).expect("numbers and texts can be written")
}

fn told(case: &HealthCase, news: HealthNews, health: &Health) -> NewEvent {
    let kind = match news {
        HealthNews::FirstSeen => "connection.first_seen",
        HealthNews::Alarm => "connection.alarm",
        HealthNews::Escalated => "connection.alarm_escalated",
        HealthNews::AllClear => "connection.all_clear",
    };
    let before = case.health.as_ref().map(|health| health.state);
    let data = json!({
        "connection": case.connection,
        "name": case.name,
        "state": health.state,
        "before": before,
        "since": health.since,
        "evidence": health.evidence,
    });
    NewEvent { kind, account: None, data, personal: None, leaver: false }
}

/// A connection's health now, with what it is made of.
///
/// # Errors
/// `Store(Missing)` for an unknown connection; the store's.
pub async fn view(app: &App, tenant: &TenantId, connection: &ConnectionId) -> Result<HealthView, TenancyError> {
    app.journal.flush(&*app.store).await?;
    let now = app.clock.now();
    let case = one(app, tenant, connection, now).await?;
    let (health, _) = look(&case, &mut memory(&case), now);
    let traffic = app.store.traffic(tenant, connection, now.plus_seconds(-86_400), SLOTS_SHOWN).await?;
    Ok(HealthView { health, settings: case.settings.unwrap_or_default(), traffic })
}

/// Somebody has looked at a connection that does harm: it takes part again, and harm is not asked about for [`EXCUSED_HOURS`].
///
/// # Errors
/// `Store(Missing)`; `Store(Conflict)` when it is judged anew at this moment, again and again.
pub async fn excuse(app: &Arc<App>, tenant: &TenantId, connection: &ConnectionId, actor: &Actor) -> Result<(), TenancyError> {
    const ATTEMPTS: usize = 5;
    for _ in 0..ATTEMPTS {
        let now = app.clock.now();
        let case = one(app, tenant, connection, now).await?;
        let settings = case.settings.clone().unwrap_or_default();
        let mut memory = memory(&case);
        memory.excuse(EXCUSED_HOURS, now);
        let health = memory.clone().judge(&case.standing, &settings, now);
        let kept = KeptHealth {
            connection: connection.clone(),
            memory: written(&memory),
            health,
            taken_in: case.taken_in,
            version: case.version,
            event: None,
            becomes: Some(ConnectionState::Active),
        };
        if !app.store.keep_health(tenant, &[kept], actor, now).await?.is_empty() {
            app.wake.notify_one();
            return Ok(());
        }
    }
    Err(StoreError::Conflict { what: "connection" }.into())
}

async fn one(app: &App, tenant: &TenantId, connection: &ConnectionId, now: Instant) -> Result<HealthCase, StoreError> {
    let cases = app.store.health_cases(tenant, Some(connection), now).await?;
    cases.into_iter().next().ok_or(StoreError::Missing("connection"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{GRACE, SLOT};
    use crate::model::Standing;

    #[test]
    fn what_has_not_changed_is_not_kept_again() {
        let slot = Instant(1_900_000_200_000_000);
        let now = Instant(slot.0 + SLOT + GRACE + 1_234_567);
        let counted = vec![(slot, Traffic { requests: 60, writes: 60, applied: 10, refused: 50, ..Traffic::default() })];
        let case = HealthCase {
            connection: ConnectionId::from("c"),
            name: "Directory".into(),
            state: ConnectionState::Active,
            standing: Standing { credentials: 1, people: 10, ..Standing::default() },
            settings: None,
            memory: None,
            health: None,
            counted,
            taken_in: Instant(0),
            version: 0,
        };
        let (state, kept) = judge(case.clone(), now);
        let kept = kept.expect("it is judged for the first time");
        assert!(state.is_bad(), "{kept:?}");
        let stored = serde_json::to_string(&kept.health).unwrap();
        let again = HealthCase {
            memory: Some(kept.memory),
            health: serde_json::from_str(&stored).unwrap(),
            taken_in: kept.taken_in,
            counted: Vec::new(),
            version: 1,
            ..case
        };
        assert!(judge(again.clone(), now.plus_seconds(15)).1.is_none());
        assert!(judge(again, now.plus_seconds(86_400)).1.is_some(), "what was found is over");
    }
}
