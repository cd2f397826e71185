//! What people say of those who are away for a time.

use std::sync::Arc;

use super::TenancyError;
use super::governance::{check_end, check_words, not_for_oneself};
use crate::app::App;
use crate::auth::ApiPrincipal;
use crate::crypto;
use crate::model::{Instant, Ruling, RulingKind, RulingState, TenantId};
use crate::store::StoreError;

/// A leave of absence that is wanted.
#[derive(Clone, Debug)]
pub struct WantedLeave {
    /// The account, by id or user name.
    pub account: String,
    /// From when on; at once where there is none.
    pub starts: Option<Instant>,
    /// Until when.
    pub ends: Instant,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: Option<String>,
}

/// Sends somebody on leave: out of use from a time on, and back by itself.
///
/// # Errors
/// `Refused` for a time or words that can't be; `Store(Missing)`, `Store(Conflict)`.
pub async fn begin_leave(app: &Arc<App>, tenant: &TenantId, who: &ApiPrincipal, wanted: WantedLeave) -> Result<Ruling, TenancyError> {
    let now = app.clock.now();
    check_words(&wanted.reason, wanted.owner.as_deref())?;
    check_end(wanted.starts.unwrap_or(now).max(now), Some(wanted.ends))?;
    let view = app.store.account(tenant, &wanted.account).await?.ok_or(StoreError::Missing("account"))?;
    let leave = Ruling {
        id: crypto::random_id(),
        account: view.account.id,
        user_name: view.account.user_name,
        role: None,
        kind: RulingKind::Absence,
        state: RulingState::Yes,
        hold: None,
        starts: wanted.starts,
        ends: Some(wanted.ends),
        created: now,
        created_by: who.actor(),
        decided: None,
        decided_by: None,
        reason: Some(wanted.reason),
        owner: wanted.owner,
    };
    app.store.make_exception(tenant, &leave).await?;
    app.wake.notify_one();
    Ok(leave)
}

/// Ends a leave before its time.
///
/// # Errors
/// `Store(Missing)` when there is no such leave; `Forbidden` for one's own.
pub async fn end_leave(app: &Arc<App>, tenant: &TenantId, who: &ApiPrincipal, id: &str) -> Result<Ruling, TenancyError> {
    let counts = |ruling: &Ruling| ruling.kind == RulingKind::Absence && ruling.state != RulingState::Ended;
    let leave = app.store.ruling(tenant, id).await?.filter(counts).ok_or(StoreError::Missing("leave"))?;
    let view = app.store.account(tenant, leave.account.as_str()).await?.ok_or(StoreError::Missing("account"))?;
    not_for_oneself(who, &view, "ends their own leave")?;
    let ended = app.store.end_ruling(tenant, id, None, &who.actor(), app.clock.now()).await?;
    app.wake.notify_one();
    Ok(ended)
}
