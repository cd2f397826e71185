//! What a way back would change for people who go it: they are decided by what the connection that they came from has stored, with the account
//! and the roles that they have. Without effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::people::{self, Case, Terms};
use crate::app::App;
use crate::lifecycle::house::WayBack;
use crate::model::{ConnectionId, Difference, Instant, ResourceId, Return, RoleId, TenantId, Urgency};
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
    let mut found = BTreeMap::<ResourceId, Difference>::new();
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
        for (user, difference) in foreseen(app, tenant, (&active, Terms::of(state)), cases, now).await? {
            found.extend(difference.map(|difference| (user, difference)));
        }
    }
    for person in &mut page {
        if let Some(difference) = found.remove(&person.user) {
            person.gained = difference.gains.into_iter().map(RoleId).collect();
            person.lost = difference.loses.into_iter().map(RoleId).collect();
        }
    }
    Ok(page)
}

/// What cases come to, a few at a time, as a job that has all the time would find it out.
async fn foreseen(
    app: &Arc<App>,
    tenant: &TenantId,
    (active, terms): (&Active, Terms),
    cases: Vec<(ResourceId, Case)>,
    now: Instant,
) -> Result<Vec<(ResourceId, Option<Difference>)>, TenancyError> {
    let mut all = Vec::with_capacity(cases.len());
    for some in cases.chunks(PEOPLE_PER_TURN) {
        let (active, some) = (active.clone(), some.to_vec());
        let foresee = move |(user, case): (ResourceId, Case)| {
            let difference = people::foresee(&active, terms, &case, &case, now).difference;
            (user, difference)
        };
        all.extend(app.compute.run(tenant, Urgency::Crowd, move || some.into_iter().map(foresee).collect::<Vec<_>>()).await?);
    }
    Ok(all)
}
