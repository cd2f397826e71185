//! Binds groups to handles: by name the first time, then sticky. A group on which a privileged role hangs
//! counts only after a person has confirmed it, because a name can be chosen by whoever may create groups.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use crate::app::App;
use crate::mapping::AccountShape;
use crate::model::{Actor, Cause, ConnectionId, Handle, Instant, NewEvent, TenantId, Urgency};
use crate::plugins::Call;
use crate::revision::Revision;
use crate::store::{Change, HandleBinding, Result, Stale, StoreError, StoredResource};

/// How many groups without a handle are looked at in one go.
const UNBOUND_PAGE: i64 = 200;

/// Tenants in which a group is gone that may have had a handle: another group may have been waiting for it. Kept in memory: a process that
/// starts looks at all groups.
#[derive(Default)]
pub struct Freed(Mutex<BTreeSet<TenantId>>);

impl Freed {
    /// A group of the tenant is gone.
    pub fn note(&self, tenant: &TenantId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone());
    }

    fn take(&self) -> BTreeSet<TenantId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Binds groups to handles that have become free. Whether there were any to look for.
///
/// # Errors
/// The store's; it is tried again.
pub async fn bind_freed(app: &Arc<App>) -> Result<bool> {
    let tenants = app.freed.take();
    let any = !tenants.is_empty();
    let mut failed = None;
    for tenant in tenants {
        if let Err(error) = bind_unbound(app, &tenant, None).await {
            app.freed.note(&tenant);
            failed = Some(error);
        }
    }
    failed.map_or(Ok(any), Err)
}

/// The binding that a new group gets; `None` when its name gives no handle, or one that another group has.
///
/// # Errors
/// The store's.
pub async fn binding_for(
    app: &Arc<App>,
    tenant: &TenantId,
    revision: Option<&Arc<Revision>>,
    connection: &ConnectionId,
    group: &StoredResource,
) -> Result<Option<HandleBinding>> {
    let Some(revision) = revision else { return Ok(None) };
    let display_name = group.document.text("displayName").unwrap_or_default();
    let Some(handle) = revision.handle_for(display_name) else { return Ok(None) };
    // A connection that takes over from another one knows the same groups: a handle stands for both.
    let is_free = match app.store.handle(tenant, &handle).await? {
        Some(bound) if bound.connection != *connection => app.store.shares_handle(tenant, connection, &bound.connection, &handle).await?,
        Some(_) => false,
        None => true,
    };
    if !is_free {
        return Ok(None);
    }
    let now = app.clock.now();
    let confirmed = !is_privileged(app, tenant, revision, connection, &handle, now).await;
    Ok(Some(HandleBinding {
        handle,
        connection: connection.clone(),
        group: group.id.clone(),
        external_id: group.document.text("externalId").map(str::to_owned),
        display_name: display_name.to_owned(),
        confirmed,
        bound: now,
    }))
}

/// Binds groups that have no handle and whose name gives a free one; `only` looks at one group.
///
/// # Errors
/// The store's.
pub async fn bind_unbound(app: &Arc<App>, tenant: &TenantId, only: Option<&crate::model::ResourceId>) -> Result<()> {
    let Some(revision) = super::active_revision(app, tenant).await? else { return Ok(()) };
    let mut after = None;
    loop {
        let groups = app.store.unbound_groups(tenant, only, after.as_ref(), UNBOUND_PAGE).await?;
        let Some((_, last)) = groups.last() else { return Ok(()) };
        after = Some(last.id.clone());
        for (connection, group) in &groups {
            if let Some(binding) = binding_for(app, tenant, Some(&revision), connection, group).await? {
                bind(app, tenant, &revision, binding).await?;
            }
        }
        if only.is_some() {
            return Ok(());
        }
    }
}

async fn bind(app: &Arc<App>, tenant: &TenantId, revision: &Revision, binding: HandleBinding) -> Result<()> {
    let data = json!({"handle": binding.handle, "group": binding.group, "confirmed": binding.confirmed});
    let change = Change {
        connection: binding.connection.clone(),
        at: app.clock.now(),
        actor: Actor { kind: "worker".into(), id: Cause::HandleChange.word().into() },
        request_id: None,
        revision: Some(revision.hash.clone()),
        write: None,
        persons: Vec::new(),
        urgency: Urgency::Live,
        stale: Stale::Conflict,
        fan_out: vec![(binding.group.clone(), Cause::HandleChange)],
        bind_handle: Some(binding),
        events: vec![NewEvent { kind: "handle.bound", account: None, data, personal: None, leaver: false }],
    };
    match app.store.commit(tenant, change).await {
        // Somebody else bound the handle meanwhile: it is theirs.
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}

/// Whether a privileged role hangs on the handle: a permit names it, or the plugin nominates one for it alone.
async fn is_privileged(
    app: &Arc<App>,
    tenant: &TenantId,
    revision: &Arc<Revision>,
    connection: &ConnectionId,
    handle: &Handle,
    now: Instant,
) -> bool {
    if revision.policies.privileged_handles().contains(handle.as_str()) {
        return true;
    }
    if !revision.policies.privileged_by_proposal() {
        return false;
    }
    let (revision_, connection, handle) = (Arc::clone(revision), connection.clone(), handle.clone());
    let nominated = app.compute.run(tenant, Urgency::Live, move || nominated(&revision_, &connection, &handle, now)).await;
    match nominated {
        Ok(Some(roles)) => roles.iter().any(|role| revision.policies.privileged().contains(role)),
        // On a doubt a person is asked.
        Ok(None) | Err(_) => true,
    }
}

/// What the plugin nominates for somebody who is in this group only; `None` when it can't say.
fn nominated(revision: &Revision, connection: &ConnectionId, handle: &Handle, now: Instant) -> Option<BTreeSet<String>> {
    let Some(bound) = &revision.propose else { return Some(BTreeSet::new()) };
    let user = json!({"schemas": [rolecall_scim::schema::USER], "id": "trial", "userName": "trial", "active": true});
    let shape = AccountShape { user_name: "trial".into(), ..AccountShape::default() };
    let call = Call {
        as_of: now.timestamp(),
        connection: connection.as_str(),
        settings: &bound.settings,
        user: &user,
        groups: &[handle.as_str()],
        tables: &revision.tables,
    };
    let answer = bound.plugin.propose_roles(&call, &shape).ok()?;
    Some(answer.proposals.into_iter().map(|proposal| proposal.role).collect())
}

/// Confirms a handle: people below its group are evaluated again.
///
/// # Errors
/// `Store(Missing)`.
pub async fn confirm(app: &Arc<App>, tenant: &TenantId, handle: &Handle, actor: &Actor) -> Result<HandleBinding> {
    let binding = app.store.confirm_handle(tenant, handle, actor, app.clock.now()).await?;
    app.wake.notify_one();
    Ok(binding)
}
