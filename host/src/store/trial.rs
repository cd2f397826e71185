//! Candidate revisions that are tried out, and activations, as the store keeps them.

use async_trait::async_trait;

use super::Result;
use crate::model::{
    AccountId, Activation, ActivationState, Actor, ConnectionId, DifferenceKind, Forecast, GuardDirection, GuardScope, GuardSettings,
    Instant, PersonDifference, PersonRef, ResourceId, RevisionHash, Summary, TenantId, Trial, TrialState, TurnedAway, Watch,
};

/// The most people whose differences one trial keeps: all are counted, and a list that is longer is read by nobody.
pub const DIFFERENCES_LIMIT: u64 = 100_000;

/// A place in a walk over a tenant's people: behind it are those that were seen.
pub type Place = (ConnectionId, ResourceId);

/// A shadow that goes along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningShadow {
    /// The tenant.
    pub tenant: TenantId,
    /// The trial.
    pub trial: String,
    /// The candidate.
    pub revision: RevisionHash,
    /// The share of the people that it is asked about.
    pub percent: u8,
    /// When it ends by itself.
    pub ends: Option<Instant>,
}

/// A person's difference, to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDifference {
    /// What differs.
    pub person: PersonDifference,
    /// [`crate::model::collision_key`] of the name that the account would get, where it is another.
    pub name_key: Option<String>,
}

/// A step of a simulation.
#[derive(Clone, Debug)]
pub struct Advance {
    /// Where the step began, as it was read.
    pub from: Place,
    /// Where it ended; `None` when nobody is left.
    pub to: Option<Place>,
    /// How many people there are, with the first step.
    pub population: Option<i64>,
    /// What it came to.
    pub summary: Summary,
    /// How many of all whom the guard would count it would hold, with the last step.
    pub forecasts: Option<Vec<Forecast>>,
    /// What differs for whom.
    pub differences: Vec<NewDifference>,
    /// When.
    pub at: Instant,
    /// Until when others keep away.
    pub lease_until: Instant,
}

/// Where a simulation is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The trial.
    pub trial: Trial,
    /// Behind whom it goes on.
    pub place: Place,
    /// The next people in order, at most as many as were asked for: none where a part of the people has none here.
    pub people: Vec<Place>,
    /// Where it is after them; `None` when nobody is left.
    pub next: Option<Place>,
}

/// An activation that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewActivation {
    /// The revision to activate.
    pub revision: RevisionHash,
    /// The one that has to be active still; `Conflict{revision}` otherwise.
    pub replaces: Option<RevisionHash>,
    /// The simulation that it is activated with.
    pub simulation: Option<String>,
    /// When it is to be taken back.
    pub watch: Option<Watch>,
    /// Why what stands is taken back, where this is no new activation but a return.
    pub returns: Option<String>,
    /// Why it is activated although the people are others than when its simulation began.
    pub despite_changes: Option<DespiteChanges>,
}

/// An activation although the people are others than when its simulation began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DespiteChanges {
    /// Why, in somebody's words.
    pub reason: String,
    /// About how many of them something is other; 0 before they are counted.
    pub moved: i64,
}

impl NewActivation {
    /// An activation that nothing watches.
    #[must_use]
    pub fn of(revision: RevisionHash, replaces: Option<RevisionHash>) -> Self {
        Self { revision, replaces, simulation: None, watch: None, returns: None, despite_changes: None }
    }
}

/// Trials and activations.
#[async_trait]
pub trait Trials: Send + Sync {
    /// The shadows that go along, of all tenants.
    async fn running_shadows(&self) -> Result<Vec<RunningShadow>>;
    /// Claims the simulation that has waited longest, of all tenants, until the end of the lease.
    async fn claim_simulation(&self, now: Instant, lease_until: Instant) -> Result<Option<(TenantId, String)>>;

    /// Begins a trial. `Conflict{trial}` when one of the kind is running; `Missing` when the candidate is not stored.
    async fn start_trial(&self, tenant: &TenantId, trial: &Trial) -> Result<()>;
    /// A trial.
    async fn trial(&self, tenant: &TenantId, trial: &str) -> Result<Option<Trial>>;
    /// The newest trials, newest first.
    async fn trials(&self, tenant: &TenantId, limit: i64) -> Result<Vec<Trial>>;
    /// Where a running simulation is, with the next people; `None` when it isn't running.
    async fn trial_progress(&self, tenant: &TenantId, trial: &str, limit: i64) -> Result<Option<Progress>>;
    /// Keeps a step, and ends the simulation with the last one: collisions are looked for then. `false`, and nothing is kept, when
    /// it isn't running or another host has taken the step.
    async fn advance_trial(&self, tenant: &TenantId, trial: &str, step: &Advance) -> Result<bool>;
    /// Adds what a shadow found; a person's newest difference replaces the one before. `false` when it isn't running.
    async fn add_to_trial(&self, tenant: &TenantId, trial: &str, summary: &Summary, differences: &[NewDifference]) -> Result<bool>;
    /// Ends a running trial. One that has ended stays as it is.
    async fn end_trial(&self, tenant: &TenantId, trial: &str, state: TrialState, problem: Option<&str>, at: Instant) -> Result<Trial>;
    /// What differs for whom, in the order of connections and users, behind a place.
    async fn trial_differences(
        &self,
        tenant: &TenantId,
        trial: &str,
        kind: Option<DifferenceKind>,
        after: Option<&Place>,
        limit: i64,
    ) -> Result<Vec<PersonDifference>>;
    /// Removes what trials that ended before `before`, or are not among the newest `keep`, have left: at most `limit` rows. Returns how many.
    async fn forget_trials(&self, tenant: &TenantId, before: Instant, keep: i64, limit: i64) -> Result<u64>;

    /// How many people the tenant has, as far as `most`.
    async fn count_people(&self, tenant: &TenantId, most: i64) -> Result<i64>;
    /// About how many people something that a decision rests on, or that stands, was changed after an instant, as far as `most`. Who is
    /// gone since is not counted.
    async fn count_moved(&self, tenant: &TenantId, since: Instant, most: i64) -> Result<i64>;
    /// The people whom account ids, SCIM ids or login names stand for: each name that stands for somebody, with whom.
    async fn people_named(&self, tenant: &TenantId, names: &[String]) -> Result<Vec<(String, PersonRef)>>;
    /// The same forecasts with the limits of the guard's windows, those that go on and those that would begin now.
    async fn limit_forecasts(
        &self,
        tenant: &TenantId,
        settings: &GuardSettings,
        forecasts: Vec<Forecast>,
        now: Instant,
    ) -> Result<Vec<Forecast>>;
    /// How many of some people each scope's window has counted already, of those that counted somebody.
    async fn counted_already(
        &self,
        tenant: &TenantId,
        settings: &GuardSettings,
        asked: &[((GuardDirection, GuardScope, String), AccountId)],
        now: Instant,
    ) -> Result<Vec<((GuardDirection, GuardScope, String), u64)>>;
    /// Activates a revision, or takes back what stands.
    async fn activate(&self, tenant: &TenantId, activation: &NewActivation, actor: &Actor, at: Instant) -> Result<()>;
    /// Notes that a revision waits for somebody to activate it, once for each revision in a row.
    async fn hold_activation(&self, tenant: &TenantId, activation: &NewActivation, reason: &str, actor: &Actor, at: Instant) -> Result<()>;
    /// The newest activations, newest first.
    async fn activations(&self, tenant: &TenantId, limit: i64) -> Result<Vec<Activation>>;
    /// The newest activation of a revision, in that state where one is named.
    async fn activation_of(&self, tenant: &TenantId, revision: &RevisionHash, state: Option<ActivationState>)
    -> Result<Option<Activation>>;
    /// Adds people whom the active revision turned away. What there are in all; `None` when that activation isn't the active one any more.
    async fn turn_away(&self, tenant: &TenantId, activation: i64, people: TurnedAway) -> Result<Option<TurnedAway>>;
}
