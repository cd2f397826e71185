//! What a way back would change for people who go it: they are decided by what the connection that they came from has stored, with the account
//! and the roles that they have. Without effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::people::{self, Case, Terms};
use crate::app::App;
use crate::evaluation::{self, Evaluation};
use crate::lifecycle::house::WayBack;
use crate::lifecycle::{Settled, as_of};
use crate::model::{ConnectionId, Instant, ResourceId, Return, RoleId, TenantId, Urgency};
use crate::store::Person;
use crate::tenancy::{self, Active, TenancyError};

/// How many people one turn on an evaluation thread takes: what is live waits for one at most.
const PEOPLE_PER_TURN: usize = 8;

/// Adds to each of a page of people who go back which roles they gain and lose by it.
///
/// # Errors
/// The store's; `Overloaded` where the tenant's threads are busy.
pub async fn look_ahead(
    app: &Arc<App>,
    tenant: &TenantId,
    connection: &ConnectionId,
    mut page: Vec<WayBack>,
) -> Result<Vec<WayBack>, TenancyError> {
    let going = |person: &&WayBack| person.way == Return::Goes;
    let users: Vec<ResourceId> = page.iter().filter(going).map(|person| person.user.clone()).collect();
    if users.is_empty() {
        return Ok(page);
    }
    let (active, now) = (tenancy::active(app, tenant).await?, app.clock.now());
    let mut here: BTreeMap<ResourceId, Person> =
        app.store.people(tenant, connection, &users).await?.into_iter().map(|person| (person.resource.id.clone(), person)).collect();
    let mut from = BTreeMap::<ConnectionId, BTreeMap<ResourceId, ResourceId>>::new();
    for person in page.iter().filter(going) {
        from.entry(person.from.clone()).or_default().insert(person.from_user.clone(), person.user.clone());
    }
    let mut found = BTreeMap::<ResourceId, (Vec<RoleId>, Vec<RoleId>)>::new();
    for (from, users) in from {
        let Some((_, state)) = app.store.find_connection(&from).await? else { continue };
        let ids: Vec<ResourceId> = users.keys().cloned().collect();
        let mut cases = Vec::with_capacity(ids.len());
        for there in app.store.people(tenant, &from, &ids).await? {
            let Some((user, here)) = users.get(&there.resource.id).and_then(|user| Some((user.clone(), here.remove(user)?))) else {
                continue;
            };
            let Person { account, grants, rulings, .. } = here;
            cases.push((user, Case::unchanged(Person { account, grants, rulings, ..there })));
        }
        for (user, case, settled) in decided(app, tenant, &active, cases, Terms::of(state), now).await? {
            found.insert(user, difference(&case, &settled));
        }
    }
    for person in &mut page {
        if let Some((gained, lost)) = found.remove(&person.user) {
            (person.gained, person.lost) = (gained, lost);
        }
    }
    Ok(page)
}

/// Decides cases a few at a time, as a job that has all the time would.
async fn decided(
    app: &Arc<App>,
    tenant: &TenantId,
    active: &Active,
    cases: Vec<(ResourceId, Case)>,
    terms: Terms,
    now: Instant,
) -> Result<Vec<(ResourceId, Case, Settled)>, TenancyError> {
    let mut all = Vec::with_capacity(cases.len());
    for some in cases.chunks(PEOPLE_PER_TURN) {
        let evaluations: Vec<Evaluation> = match &active.built {
            Some(revision) => {
                let (revision, asked) = (Arc::clone(revision), some.to_vec());
                let evaluate = move |(_, case): &(ResourceId, Case)| {
                    evaluation::evaluate_standing(&revision, &case.subject, &case.grants, as_of(now, case.due))
                };
                app.compute.run(tenant, Urgency::Crowd, move || asked.iter().map(evaluate).collect()).await?
            }
            None => some.iter().map(|_| Evaluation::without_revision()).collect(),
        };
        for ((user, case), evaluation) in some.iter().zip(evaluations) {
            all.push((user.clone(), case.clone(), people::settle(case, &evaluation, active, terms, now)));
        }
    }
    Ok(all)
}

fn difference(case: &Case, settled: &Settled) -> (Vec<RoleId>, Vec<RoleId>) {
    let had = |role: &RoleId| case.grants.iter().any(|grant| grant.role == *role && grant.state.in_effect());
    let puts = settled.effect.put_grants.iter();
    let gained = puts.clone().filter(|grant| grant.state.in_effect() && !had(&grant.role)).map(|grant| grant.role.clone());
    let no_longer = puts.filter(|grant| !grant.state.in_effect() && had(&grant.role)).map(|grant| grant.role.clone());
    let dropped = settled.effect.drop_grants.iter().filter(|role| had(role)).cloned();
    (gained.collect(), no_longer.chain(dropped).collect())
}
