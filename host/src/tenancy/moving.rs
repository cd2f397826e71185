//! Moving house: which connection takes over from which, who has moved, and the way back. What moves when a connection goes live is
//! `first_sync`'s.

use std::sync::Arc;

use serde_json::json;

use super::{TenancyError, first_sync, handles};
use crate::app::App;
use crate::lifecycle::house::{WayBack, WayBackTotals};
use crate::model::{ConnectionId, ResourceId, Return, TenantId};
use crate::store::{ApiPrincipal, GoBack, MOVED_PAGE_LIMIT, MovedPerson, StoreError};

/// Says from which connection one in staging takes over, or from none.
///
/// # Errors
/// `Store(Missing)`; `Store(Conflict)` for one that is not in staging, or can't be taken over.
pub async fn take_over(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    connection: &ConnectionId,
    from: Option<&ConnectionId>,
) -> Result<(), TenancyError> {
    app.store.set_predecessor(tenant, connection, from, &who.actor(), app.clock.now()).await?;
    // Groups whose names the other connection's groups have may stand for the same now.
    handles::bind_unbound(app, tenant, None).await?;
    app.wake.notify_one();
    Ok(())
}

/// The next people who have moved to a connection, and the last one of them where there may be more.
///
/// # Errors
/// The store's.
pub async fn page(
    app: &App,
    tenant: &TenantId,
    connection: &ConnectionId,
    after: Option<&ResourceId>,
    limit: i64,
) -> Result<(Vec<WayBack>, Option<ResourceId>), StoreError> {
    let limit = limit.clamp(1, MOVED_PAGE_LIMIT);
    let found = app.store.moved(tenant, connection, after, limit).await?;
    let is_full = i64::try_from(found.len()).unwrap_or(i64::MAX) >= limit;
    let next = found.last().filter(|_| is_full).map(|last| last.user.clone());
    Ok((found.iter().map(WayBack::of).collect(), next))
}

/// A whole way back: its numbers, and who goes.
///
/// # Errors
/// `Store(Missing)` and the store's.
pub async fn way_back(app: &App, tenant: &TenantId, connection: &ConnectionId) -> Result<(WayBackTotals, Vec<GoBack>), TenancyError> {
    first_sync::state_of(app, tenant, connection).await?;
    let (mut totals, mut going, mut after) = (WayBackTotals::default(), Vec::new(), None);
    loop {
        let found = app.store.moved(tenant, connection, after.as_ref(), MOVED_PAGE_LIMIT).await?;
        let Some(last) = found.last() else { return Ok((totals, going)) };
        after = Some(last.user.clone());
        for moved in found {
            let way = WayBack::of(&moved).way;
            totals.add(way);
            if way == Return::Goes {
                let MovedPerson { user, from, from_user, account, placeholder, .. } = moved;
                going.push(GoBack { user, from: (from, from_user), account, placeholder });
            }
        }
    }
}

/// Lets everybody go back who can, in one step, if what was seen is what stands still; the connection is in staging then.
///
/// # Errors
/// `Held` where it is another by now; `Store(Conflict)` for a connection in staging; `Store(Missing)`.
pub async fn go_back(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    connection: &ConnectionId,
    seen: &str,
) -> Result<WayBackTotals, TenancyError> {
    let (totals, going) = way_back(app, tenant, connection).await?;
    if totals.digest() != seen {
        let now = totals.digest();
        return Err(TenancyError::Held(format!(
            "others go back, or stay, than were shown: look again (`rolecall connection moved`); the digest is `{now}` by now"
        )));
    }
    if going.is_empty() {
        return Err(TenancyError::Held("nobody has moved to this connection who can go back".into()));
    }
    app.store.go_back(tenant, connection, &going, &json!(totals), &who.actor(), app.clock.now()).await?;
    app.wake.notify_one();
    Ok(totals)
}
