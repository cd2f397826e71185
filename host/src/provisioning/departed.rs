//! People of whom no user is left to evaluate, looked after by jobs: what an answer to a hold says of somebody whom the identity provider has
//! deleted, and the leavers' process of those who left with their whole connection.

use std::sync::Arc;

use super::people::with_rules;
use crate::app::App;
use crate::lifecycle::{self, Former, Standing};
use crate::model::{Actor, ConnectionState, TenantId};
use crate::store::{DEPARTED_AT_ONCE, Departed, Effect, LEFT_AT_ONCE, Left, StoreError};
use crate::tenancy;

/// Settles what is due, a bounded part in each tenant. Whether something was.
///
/// # Errors
/// The store's.
pub async fn settle_due(app: &Arc<App>) -> Result<bool, StoreError> {
    let due = app.store.due_departed(app.clock.now(), DEPARTED_AT_ONCE).await?;
    let mut settled = 0;
    for tenant in &due {
        settled += settle(app, tenant).await?;
    }
    Ok(settled > 0)
}

/// Begins the leavers' process of people who left with their whole connection, a bounded part in each tenant. Whether there were some.
///
/// # Errors
/// The store's.
pub async fn begin_left(app: &Arc<App>) -> Result<bool, StoreError> {
    let now = app.clock.now();
    let actor = Actor { kind: "worker".into(), id: "departure".into() };
    let mut begun = 0;
    for tenant in app.store.tenants_with_left(LEFT_AT_ONCE).await? {
        let active = tenancy::active_now(app, &tenant).await?;
        let passage = |left: &Left| with_rules(&active, ConnectionState::Active, |rules| lifecycle::leaves_with_connection(left, rules));
        let left = app.store.left(&tenant, LEFT_AT_ONCE).await?;
        let passages = left.into_iter().map(|left| (left.clone(), passage(&left))).collect();
        begun += app.store.begin_left(&tenant, passages, &actor, now).await?;
    }
    Ok(begun > 0)
}

async fn settle(app: &Arc<App>, tenant: &TenantId) -> Result<i64, StoreError> {
    let now = app.clock.now();
    let active = tenancy::active_now(app, tenant).await?;
    let actor = Actor { kind: "worker".into(), id: "ruling".into() };
    let effect = |departed: &Departed| {
        let Departed { account, grants, rulings, holder } = departed;
        let standing = Standing { account, fresh: false, grants, rulings, former: Former::default(), attempts: 0, user: None };
        // Whose connection is paused, or gone, was in use when they were deleted.
        with_rules(&active, ConnectionState::Active, |rules| lifecycle::settle_departed(&standing, rules, holder.as_ref(), now))
    };
    let departed = app.store.departed(tenant, now, DEPARTED_AT_ONCE).await?;
    let decided: Vec<(Departed, Effect)> = departed.into_iter().map(|departed| (departed.clone(), effect(&departed))).collect();
    if decided.is_empty() {
        return Ok(0);
    }
    match app.store.settle_departed(tenant, &decided, &actor, now).await {
        // Somebody's name was taken at this moment; whose is not said. Whoever it is is told of the holder next time.
        Err(StoreError::Conflict { .. }) => {
            let one_by_one = decided.iter().map(|one| app.store.settle_departed(tenant, std::slice::from_ref(one), &actor, now));
            let results = futures_util::future::join_all(one_by_one).await;
            let settled = results.into_iter().filter(|result| !matches!(result, Err(StoreError::Conflict { .. })));
            settled.sum()
        }
        other => other,
    }
}
