//! Shadows: candidates that go along with what is decided. They are asked after the decision, on the tenant's own share of the
//! evaluation threads, and miss decisions rather than make anybody wait.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Picture, Terms, compare};
use crate::app::App;
use crate::lifecycle::{Case, Settled};
use crate::model::{ConnectionState, Instant, Summary, TenantId, TrialState, Urgency};
use crate::store::{NewDifference, Place, RunningShadow, StoreError};
use crate::tenancy::{self, TenancyError};

/// Decisions that wait to be asked about, of one tenant: so few that they can't fill the tenant's own queue.
const WAITING_LIMIT: usize = 64;
/// People whose differences wait to be written; more are counted.
const UNWRITTEN_LIMIT: usize = 1_000;

/// A decision that was made, as a shadow is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// What was decided on.
    pub case: &'a Case,
    /// What it changes.
    pub settled: &'a Settled,
    /// How the connection stood.
    pub connection: ConnectionState,
    /// When.
    pub now: Instant,
    /// The instant that the evaluation was given.
    pub as_of: Instant,
}

/// The shadows that go along in this process.
#[derive(Default)]
pub struct Shadows {
    running: Mutex<HashMap<TenantId, Arc<Shadow>>>,
}

struct Shadow {
    trial: RunningShadow,
    waiting: AtomicUsize,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    summary: Summary,
    /// A person's newest difference.
    differences: BTreeMap<Place, NewDifference>,
}

impl Found {
    fn add(&mut self, part: &Summary, difference: Option<NewDifference>) {
        self.summary.merge(part);
        if let Some(difference) = difference {
            let place = (difference.person.connection.clone(), difference.person.user.clone());
            if self.differences.len() < UNWRITTEN_LIMIT || self.differences.contains_key(&place) {
                self.differences.insert(place, difference);
            }
        }
    }
}

/// What the locks guard is whole at every step, so that a panic of another thread takes nothing away.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shadows {
    /// Tells the tenant's shadow, if there is one, of a decision.
    pub fn offer(&self, app: &Arc<App>, tenant: &TenantId, decision: Decision<'_>) {
        let Some(shadow) = lock(&self.running).get(tenant).map(Arc::clone) else { return };
        let Decision { case, settled, connection, now, as_of } = decision;
        let over = shadow.trial.ends.is_some_and(|ends| ends <= now);
        if over || !case.subject.document.is_active() || !is_of_share(case, shadow.trial.percent) {
            return;
        }
        if shadow.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_LIMIT {
            shadow.waiting.fetch_sub(1, Ordering::Relaxed);
            lock(&shadow.found).summary.missed += 1;
            return;
        }
        let before = Picture::after(&case.standing(), settled);
        let (app, tenant, case) = (Arc::clone(app), tenant.clone(), case.clone());
        tokio::spawn(async move {
            let asked = ask(&app, &tenant, &shadow, case, before, connection, (now, as_of)).await;
            shadow.waiting.fetch_sub(1, Ordering::Relaxed);
            let mut found = lock(&shadow.found);
            match asked {
                Some((part, difference)) => found.add(&part, difference),
                None => found.summary.missed += 1,
            }
        });
    }

    /// Brings the shadows of this process to what the database says, and ends those whose time is over.
    ///
    /// # Errors
    /// The store's.
    pub async fn refresh(&self, app: &Arc<App>) -> Result<(), StoreError> {
        let now = app.clock.now();
        let mut wanted = HashMap::new();
        for trial in app.store.running_shadows().await? {
            if trial.ends.is_some_and(|ends| ends <= now) {
                self.flush_one(app, &trial.tenant).await?;
                app.store.end_trial(&trial.tenant, &trial.trial, TrialState::Finished, None, now).await?;
            } else {
                wanted.insert(trial.tenant.clone(), trial);
            }
        }
        let mut running = lock(&self.running);
        running.retain(|tenant, shadow| wanted.get(tenant) == Some(&shadow.trial));
        for (tenant, trial) in wanted {
            running.entry(tenant).or_insert_with(|| Arc::new(Shadow { trial, waiting: AtomicUsize::new(0), found: Mutex::default() }));
        }
        Ok(())
    }

    /// Writes what was found, `only` of one tenant. What can't be written now is kept for the next time.
    ///
    /// # Errors
    /// The store's.
    pub async fn flush(&self, app: &Arc<App>, only: Option<&TenantId>) -> Result<(), StoreError> {
        let tenants: Vec<TenantId> = lock(&self.running).keys().cloned().collect();
        for tenant in tenants.into_iter().filter(|tenant| only.is_none_or(|only| tenant == only)) {
            self.flush_one(app, &tenant).await?;
        }
        Ok(())
    }

    async fn flush_one(&self, app: &Arc<App>, tenant: &TenantId) -> Result<(), StoreError> {
        let Some(shadow) = lock(&self.running).get(tenant).map(Arc::clone) else { return Ok(()) };
        let Found { summary, differences } = std::mem::take(&mut *lock(&shadow.found));
        if summary == Summary::default() {
            return Ok(());
        }
        let differences: Vec<NewDifference> = differences.into_values().collect();
        match app.store.add_to_trial(tenant, &shadow.trial.trial, &summary, &differences).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                lock(&self.running).remove(tenant);
                Ok(())
            }
            Err(error) => {
                let mut found = lock(&shadow.found);
                found.summary.merge(&summary);
                for difference in differences {
                    let place = (difference.person.connection.clone(), difference.person.user.clone());
                    found.differences.entry(place).or_insert(difference);
                }
                drop(found);
                // Somebody was deleted meanwhile: the next time leaves them out.
                if matches!(error, StoreError::Conflict { .. }) { Ok(()) } else { Err(error) }
            }
        }
    }
}

async fn ask(
    app: &Arc<App>,
    tenant: &TenantId,
    shadow: &Shadow,
    case: Case,
    before: Picture,
    connection: ConnectionState,
    at: (Instant, Instant),
) -> Option<(Summary, Option<NewDifference>)> {
    let candidate = match tenancy::candidate(app, tenant, &shadow.trial.revision).await {
        Ok(candidate) => candidate,
        Err(TenancyError::Store(_)) => return None,
        Err(error) => {
            let now = app.clock.now();
            let ended = app.store.end_trial(tenant, &shadow.trial.trial, TrialState::Failed, Some(&error.to_string()), now).await;
            tracing::warn!(%tenant, trial = shadow.trial.trial, %error, recorded = ended.is_ok(), "a shadow's revision can't be built");
            return None;
        }
    };
    let work = move || {
        let mut part = Summary::default();
        // Who comes first is not known of decisions that are made anyway: a shadow says nothing of the guard.
        let found = compare(&candidate, &case, &before, Terms { connection, activated: false, guard: None, at }, &mut part).difference;
        (part, found)
    };
    app.compute.run(tenant, Urgency::Crowd, work).await.ok()
}

/// Whether the person is among those whom the shadow asks about: always the same ones, in every process.
fn is_of_share(case: &Case, percent: u8) -> bool {
    let mut hasher = DefaultHasher::new();
    case.account.id.as_str().hash(&mut hasher);
    hasher.finish() % 100 < u64::from(percent)
}
