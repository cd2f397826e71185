//! The provisioning log for whoever reads it: searched by person, group, connection, outcome and time, followed as it grows, and the
//! credentials that were refused.

use std::time::Duration;

use tokio::sync::Semaphore;

use crate::app::App;
use crate::model::{ConnectionId, RefusedCredential, ResourceId, TenantId};
use crate::store::{LogFound, LogSearch, LogSide, StoreError};

/// The longest that a request waits for what is new, in seconds: proxies in between give up after 30.
pub const WAIT_SECONDS_LIMIT: u64 = 25;
/// How often the database is asked by whoever waits: other processes write too.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How many requests of a process wait at once.
const TAILS_LIMIT: usize = 64;

static TAILS: Semaphore = Semaphore::const_new(TAILS_LIMIT);

/// What is wanted of the log, as people name it.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A person, by account id, login name or SCIM id.
    pub person: Option<String>,
    /// A group, by handle or SCIM id.
    pub group: Option<String>,
    /// What else chooses entries out; its resource is found by the names above.
    pub search: LogSearch,
    /// How long to wait where there is nothing behind the position yet, in seconds.
    pub wait_seconds: u64,
}

/// Entries of the log. Where nothing is behind the position yet, it waits for a bounded time.
///
/// # Errors
/// `Missing` for a connection that is not the tenant's; the store's.
pub async fn search(app: &App, tenant: &TenantId, wanted: Wanted) -> Result<LogFound, StoreError> {
    if let Some(connection) = &wanted.search.connection {
        of_tenant(app, tenant, connection).await?;
    }
    let wait = Duration::from_secs(wanted.wait_seconds.min(WAIT_SECONDS_LIMIT));
    let search = resolve(app, tenant, wanted).await?;
    // Who may wait at once is bounded; whoever comes beyond is answered at once.
    let turn = if wait.is_zero() { None } else { TAILS.try_acquire().ok() };
    let until = tokio::time::Instant::now() + if turn.is_some() { wait } else { Duration::ZERO };
    loop {
        let grown = app.journal.grown.notified();
        // What this process has gathered is written first, so that whoever made a request finds it.
        app.journal.flush(&*app.store).await?;
        let found = app.store.search_log(tenant, &search).await?;
        let now = tokio::time::Instant::now();
        if !found.entries.is_empty() || found.more || now >= until || !matches!(search.side, LogSide::After(_)) {
            return Ok(found);
        }
        tokio::select! {
            () = grown => {}
            () = tokio::time::sleep_until(until.min(now + LOOK_AGAIN)) => {}
        }
    }
}

/// The credentials that were refused on a connection, the last one first.
///
/// # Errors
/// `Missing`; the store's.
pub async fn refused_credentials(app: &App, tenant: &TenantId, connection: &ConnectionId) -> Result<Vec<RefusedCredential>, StoreError> {
    of_tenant(app, tenant, connection).await?;
    app.journal.flush(&*app.store).await?;
    app.store.refused_credentials(tenant, connection).await
}

/// Whether the connection is the tenant's.
async fn of_tenant(app: &App, tenant: &TenantId, connection: &ConnectionId) -> Result<(), StoreError> {
    match app.store.find_connection(connection).await? {
        Some((owner, _)) if owner == *tenant => Ok(()),
        _ => Err(StoreError::Missing("connection")),
    }
}

/// A person's and a group's names as the id that the log has; what names nobody may be an id of somebody who is gone.
async fn resolve(app: &App, tenant: &TenantId, wanted: Wanted) -> Result<LogSearch, StoreError> {
    let Wanted { person, group, mut search, .. } = wanted;
    if let Some(person) = person {
        let account = app.store.account(tenant, &person).await?;
        let source = account.and_then(|view| view.source).map(|(_, id)| id);
        search.resource = Some(source.unwrap_or(ResourceId(person)));
    }
    if let Some(group) = group {
        let handles = app.store.handles(tenant).await?;
        let bound = handles.into_iter().find(|bound| bound.handle.as_str() == group).map(|bound| bound.group);
        search.resource = Some(bound.unwrap_or(ResourceId(group)));
    }
    Ok(search)
}
