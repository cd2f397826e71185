//! The methods of [`Trials`]: each opens what it needs and calls one function of `trials`.

use async_trait::async_trait;

use super::{Backend, Conn, give_up, guard, has_nul, is_lost, trial_people, trials};
use crate::model::{
    AccountId, Activation, ActivationState, Actor, DifferenceKind, Forecast, GuardDirection, GuardScope, GuardSettings, Instant,
    PersonDifference, PersonRef, RevisionHash, Summary, TenantId, Trial, TrialState, TurnedAway,
};
use crate::store::{Advance, NewActivation, NewDifference, Place, Progress, Result, RunningShadow, StoreError, Trials};

#[async_trait]
impl Trials for Backend {
    async fn running_shadows(&self) -> Result<Vec<RunningShadow>> {
        read_once!(self.read_platform(), conn => trials::running_shadows(conn))
    }

    async fn claim_simulation(&self, now: Instant, lease_until: Instant) -> Result<Option<(TenantId, String)>> {
        let Some((tenant, trial)) = read_once!(self.read_platform(), conn => trials::due_simulation(conn, now))? else { return Ok(None) };
        let scope = self.scope(&tenant);
        let wanted = trial.clone();
        let claimed = self
            .write(&tenant, move |conn: &mut Conn| {
                Box::pin(async move { trials::claim(conn, &scope.tenant, &wanted, now, lease_until).await })
            })
            .await?;
        Ok(claimed.then_some((tenant, trial)))
    }

    async fn start_trial(&self, tenant: &TenantId, trial: &Trial) -> Result<()> {
        if has_nul(trial.revision.as_str()) {
            return Err(StoreError::Missing("revision"));
        }
        let (scope, trial) = (self.scope(tenant), trial.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { trials::start(conn, &scope, &trial).await })).await
    }

    async fn trial(&self, tenant: &TenantId, trial: &str) -> Result<Option<Trial>> {
        if has_nul(trial) {
            return Ok(None);
        }
        read_once!(self.read_one(tenant), conn => trials::find(conn, tenant, trial))
    }

    async fn trials(&self, tenant: &TenantId, limit: i64) -> Result<Vec<Trial>> {
        read_once!(self.read_one(tenant), conn => trials::newest(conn, tenant, limit))
    }

    async fn trial_progress(&self, tenant: &TenantId, trial: &str, limit: i64) -> Result<Option<Progress>> {
        trials::progress(&mut *self.read(tenant).await?, tenant, trial, limit).await
    }

    async fn advance_trial(&self, tenant: &TenantId, trial: &str, step: &Advance) -> Result<bool> {
        let (scope, trial, step) = (self.scope(tenant), trial.to_owned(), step.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { trials::advance(conn, &scope, &trial, &step).await })).await
    }

    async fn add_to_trial(&self, tenant: &TenantId, trial: &str, summary: &Summary, differences: &[NewDifference]) -> Result<bool> {
        let (scope, trial) = (self.scope(tenant), trial.to_owned());
        let (summary, differences) = (summary.clone(), differences.to_vec());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { trials::add(conn, &scope.tenant, &trial, &summary, &differences).await })
        })
        .await
    }

    async fn end_trial(&self, tenant: &TenantId, trial: &str, state: TrialState, problem: Option<&str>, at: Instant) -> Result<Trial> {
        let (scope, trial, problem) = (self.scope(tenant), trial.to_owned(), problem.map(str::to_owned));
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { trials::end(conn, &scope, &trial, state, problem.as_deref(), at).await })
        })
        .await
    }

    async fn trial_differences(
        &self,
        tenant: &TenantId,
        trial: &str,
        kind: Option<DifferenceKind>,
        after: Option<&Place>,
        limit: i64,
    ) -> Result<Vec<PersonDifference>> {
        read_once!(self.read_one(tenant), conn => trials::differences(conn, tenant, trial, kind, after, limit))
    }

    async fn forget_trials(&self, tenant: &TenantId, before: Instant, keep: i64, limit: i64) -> Result<u64> {
        let scope = self.scope(tenant);
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { trials::forget(conn, &scope.tenant, before, keep, limit).await }))
            .await
    }

    async fn count_people(&self, tenant: &TenantId, most: i64) -> Result<i64> {
        read_once!(self.read_one(tenant), conn => trials::count_people(conn, tenant, most))
    }

    async fn count_moved(&self, tenant: &TenantId, since: Instant, most: i64) -> Result<i64> {
        read_once!(self.read_one(tenant), conn => trial_people::count_moved(conn, tenant, since, most))
    }

    async fn people_named(&self, tenant: &TenantId, names: &[String]) -> Result<Vec<(String, PersonRef)>> {
        let names: Vec<String> = names.iter().filter(|name| !has_nul(name)).cloned().collect();
        trial_people::named(&mut *self.read(tenant).await?, tenant, &names).await
    }

    async fn limit_forecasts(
        &self,
        tenant: &TenantId,
        settings: &GuardSettings,
        forecasts: Vec<Forecast>,
        now: Instant,
    ) -> Result<Vec<Forecast>> {
        guard::limit_forecasts(&mut *self.read(tenant).await?, tenant, settings, forecasts, now).await
    }

    async fn counted_already(
        &self,
        tenant: &TenantId,
        settings: &GuardSettings,
        asked: &[((GuardDirection, GuardScope, String), AccountId)],
        now: Instant,
    ) -> Result<Vec<((GuardDirection, GuardScope, String), u64)>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        read_once!(self.read_one(tenant), conn => guard::counted_already(conn, tenant, settings, asked, now))
    }

    async fn activate(&self, tenant: &TenantId, activation: &NewActivation, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, activation, actor) = (self.scope(tenant), activation.clone(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { trials::activate(conn, &scope, &activation, &actor, at).await }))
            .await
    }

    async fn hold_activation(&self, tenant: &TenantId, activation: &NewActivation, reason: &str, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, activation, reason, actor) = (self.scope(tenant), activation.clone(), reason.to_owned(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { trials::hold(conn, &scope, &activation, &reason, &actor, at).await })
        })
        .await
    }

    async fn activations(&self, tenant: &TenantId, limit: i64) -> Result<Vec<Activation>> {
        read_once!(self.read_one(tenant), conn => trials::activations(conn, tenant, limit))
    }

    async fn activation_of(
        &self,
        tenant: &TenantId,
        revision: &RevisionHash,
        state: Option<ActivationState>,
    ) -> Result<Option<Activation>> {
        read_once!(self.read_one(tenant), conn => trials::activation_of(conn, tenant, revision, state))
    }

    async fn turn_away(&self, tenant: &TenantId, activation: i64, people: TurnedAway) -> Result<Option<TurnedAway>> {
        let scope = self.scope(tenant);
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { trials::turn_away(conn, &scope.tenant, activation, people).await }))
            .await
    }
}
