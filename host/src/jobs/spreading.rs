//! An activation on its way over a tenant's people. Where the revision differs from the one before in policies alone, whom none of those that
//! changed can touch is stamped a page at a time, and nobody is decided; all others become due, as after any activation.
//!
//! A tenant with plugins decides everybody again: what a plugin answers may depend on the instant, and what it nominates is not stored.

use std::sync::Arc;

use crate::app::App;
use crate::lifecycle::as_of;
use crate::mapping::AccountShape;
use crate::model::{GroupMembership, Instant, RevisionHash, TenantId, Urgency};
use crate::policies::{Principal, Touch};
use crate::revision::Revision;
use crate::store::{Page, Place, Reached, Spread, StoreError};
use crate::tenancy::{self, Active, TenancyError};

/// People of one page: bounds its transaction, for which what is live waits.
const PEOPLE_PER_PAGE: i64 = 500;

/// Takes the next fan-out a bounded step further. Whether there may be more to do.
pub(super) async fn step(app: &Arc<App>, now: Instant) -> Result<bool, StoreError> {
    let Some(tenant) = app.store.spreading().await? else { return Ok(false) };
    Ok(spread(app, &tenant, now).await? || app.store.expand_fan_outs(now).await?)
}

/// Takes an activation a page further. `false`: the fan-out is another one, or nobody can be left as they are.
async fn spread(app: &Arc<App>, tenant: &TenantId, now: Instant) -> Result<bool, StoreError> {
    let active = tenancy::active_now(app, tenant).await?;
    let Some(after) = active.built.clone().filter(|revision| revision.runs_no_plugin()) else { return Ok(false) };
    let Some(page) = app.store.next_page(tenant, now, PEOPLE_PER_PAGE).await? else { return Ok(false) };
    let settled = page.people.iter().filter_map(|reached| reached.settled.as_ref());
    let Some(from) = settled.map(|(revision, _)| revision).find(|revision| **revision != after.hash).cloned() else { return Ok(false) };
    let Some(before) = revision(app, tenant, &active, &from).await? else { return Ok(false) };
    let Some(reads_groups) = touch(&before, &after).map(|touch| touch.reads_groups()) else { return Ok(false) };
    let Page { fan_out, after: begins, people } = page;
    let places: Vec<Place> = people.iter().map(|reached| reached.place.clone()).collect();
    let groups = if reads_groups { app.store.handles_of(tenant, &places).await? } else { vec![Vec::new(); places.len()] };
    let (hash, decided, as_of) = (after.hash.clone(), from.clone(), as_of(now, None));
    let work = move || untouched((&before, &after), &decided, people.into_iter().zip(groups), as_of);
    // Threads that are busy beyond the tenant's share: its people become due, and wait there.
    let Ok(untouched) = app.compute.run(tenant, Urgency::Crowd, work).await else { return Ok(false) };
    let is_full = i64::try_from(places.len()).is_ok_and(|people| people == PEOPLE_PER_PAGE);
    let to = places.last().filter(|_| is_full).cloned();
    let step = Spread { fan_out, after: begins, to, from, revision: hash, untouched, people: places, as_of, at: now };
    app.store.spread(tenant, &step).await
}

/// A revision; `None` where the stored one can't be built any more.
async fn revision(app: &Arc<App>, tenant: &TenantId, active: &Active, hash: &RevisionHash) -> Result<Option<Arc<Revision>>, StoreError> {
    if let Some(fresh) = active.fresh.as_ref().filter(|fresh| fresh.previous.hash == *hash) {
        return Ok(Some(Arc::clone(&fresh.previous)));
    }
    match tenancy::candidate(app, tenant, hash).await {
        Ok(revision) => Ok(Some(revision)),
        Err(TenancyError::Store(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// What differs; `None` where that is more than policies.
fn touch<'r>(before: &'r Revision, after: &'r Revision) -> Option<Touch<'r>> {
    if before.differs_in_policies_alone(after) { Touch::between(&before.policies, &after.policies) } else { None }
}

/// Those whom the difference can't touch.
fn untouched(
    (before, after): (&Revision, &Revision),
    decided: &RevisionHash,
    people: impl Iterator<Item = (Reached, Vec<GroupMembership>)>,
    as_of: Instant,
) -> Vec<(Place, i64)> {
    let Some(touch) = touch(before, after) else { return Vec::new() };
    let mut untouched = Vec::new();
    for (reached, groups) in people {
        let Reached { place, input_version, settled: Some((revision, profile)) } = reached else { continue };
        let Ok(shape) = serde_json::from_value::<AccountShape>(profile) else { continue };
        let principal = Principal::of(place.1.as_str(), place.0.as_str(), &shape, &groups);
        if revision == *decided && !touch.touches(&principal, as_of.timestamp()) {
            untouched.push((place, input_version));
        }
    }
    untouched
}
