//! People who are away for a time, and people who have left: leaves, receipts, erasure.

use std::sync::Arc;

use super::TenancyError;
use super::governance::{account_of, check_end, check_fed, check_words, not_for_oneself};
use crate::app::App;
use crate::crypto;
use crate::lifecycle::receipt::{self, Receipt, Terms};
use crate::model::{AccountState, Actor, Instant, Ruling, RulingKind, RulingState, TenantId};
use crate::revision;
use crate::store::{ApiPrincipal, ERASED_AT_ONCE, Erasure, StoreError};

/// The longest reference of an erasure, in characters.
const REFERENCE_CHARS_LIMIT: usize = 200;
/// The largest `tenant.toml` that is read for its retention, in bytes: what a revision may have.
const SETTINGS_BYTES_LIMIT: usize = 1 << 20;

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
    check_fed(&view)?;
    let leave = Ruling {
        user_name: view.account.user_name,
        starts: wanted.starts,
        ends: Some(wanted.ends),
        reason: Some(wanted.reason),
        owner: wanted.owner,
        ..Ruling::said(crypto::random_id(), view.account.id, RulingKind::Absence, now, who.actor())
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
    not_for_oneself(who, &account_of(app, tenant, &leave).await?, "ends their own leave")?;
    let ended = app.store.end_ruling(tenant, id, None, &who.actor(), app.clock.now()).await?;
    app.wake.notify_one();
    Ok(ended)
}

/// The receipt of somebody's last departure.
///
/// # Errors
/// `Store(Missing)` when there is no such account, or when it has never left.
pub async fn receipt(app: &Arc<App>, tenant: &TenantId, account: &str) -> Result<Receipt, TenancyError> {
    let view = app.store.account(tenant, account).await?.ok_or(StoreError::Missing("account"))?;
    let departures = app.store.departures(tenant, &view.account.id).await?;
    let terms = super::active_revision(app, tenant).await?.map_or_else(Terms::default, |revision| Terms {
        target_hours: revision.processes.target_hours,
        retain_days: revision.processes.retain_days,
    });
    Ok(receipt::receipt(&view, &departures, terms).ok_or(StoreError::Missing("departure of the account: it has never left"))?)
}

/// Erases what is personal of a removed account, at once.
///
/// # Errors
/// `Refused` for somebody whom the identity provider has not deleted, who was erased, or who may be given back by an answer to a hold, and
/// for a reference that is personal itself.
pub async fn erase(app: &Arc<App>, tenant: &TenantId, who: &ApiPrincipal, account: &str, reference: String) -> Result<(), TenancyError> {
    let view = app.store.account(tenant, account).await?.ok_or(StoreError::Missing("account"))?;
    check_reference(&reference, view.account.user_name.as_deref())?;
    if view.imported.is_some_and(|imported| imported.protected) {
        return Err(TenancyError::Refused("the account is protected: end that first (`rolecall account unprotect`)".into()));
    }
    if view.account.state != AccountState::Removed {
        let why = "only removed accounts are erased: delete the person at the identity provider first";
        return Err(TenancyError::Refused(why.into()));
    }
    // What is on its way to the database would come after the erasure.
    app.journal.flush(&*app.store).await?;
    app.watch.flush(&*app.store, app.clock.now()).await?;
    let erasure = Erasure { why: "request", reference: Some(reference), actor: who.actor(), at: app.clock.now() };
    if app.store.erase(tenant, std::slice::from_ref(&view.account.id), &erasure).await? == 0 {
        let why = "the account is erased already, or an answer to a hold may give it back: answer the hold first (`rolecall hold list`)";
        return Err(TenancyError::Refused(why.into()));
    }
    app.wake.notify_one();
    Ok(())
}

/// The reference stays in the record that keeps no personal data.
fn check_reference(reference: &str, user_name: Option<&str>) -> Result<(), TenancyError> {
    let length = reference.trim().chars().count();
    if !(1..=REFERENCE_CHARS_LIMIT).contains(&length) || reference.chars().any(char::is_control) {
        return Err(TenancyError::Refused(format!("`reason` is a reference in 1 to {REFERENCE_CHARS_LIMIT} characters")));
    }
    let folded = crate::model::collision_key(reference);
    let names = user_name.map(crate::model::collision_key).is_some_and(|name| !name.is_empty() && folded.contains(&name));
    if names || reference.contains('@') {
        return Err(TenancyError::Refused("`reason` stays in the record: name a ticket, not a person".into()));
    }
    Ok(())
}

/// Erases removed accounts whose retention is over, in bounded batches.
///
/// # Errors
/// The store's.
pub async fn erase_retained(app: &Arc<App>, tenant: &TenantId) -> Result<(), StoreError> {
    let now = app.clock.now();
    // The shortest retention is a day: most tenants have nobody to look after, and their settings need not be read.
    let day = |days: u32| now.plus_seconds(-i64::from(days) * 86_400);
    if app.store.erasable(tenant, day(1), 1).await?.is_empty() {
        return Ok(());
    }
    let Some(days) = retain_days(app, tenant).await? else { return Ok(()) };
    let actor = Actor { kind: "worker".into(), id: "retention".into() };
    let erasure = Erasure { why: "retention", reference: None, actor, at: now };
    loop {
        let accounts = app.store.erasable(tenant, day(days), ERASED_AT_ONCE).await?;
        if accounts.is_empty() || app.store.erase(tenant, &accounts, &erasure).await? == 0 {
            return Ok(());
        }
    }
}

/// How long the active revision keeps removed accounts.
async fn retain_days(app: &App, tenant: &TenantId) -> Result<Option<u32>, StoreError> {
    Ok(active_settings(app, tenant).await?.and_then(|settings| revision::retain_days(&settings)))
}

/// The active revision's `tenant.toml`, which is read alone: nobody builds a revision to know a number.
pub(super) async fn active_settings(app: &App, tenant: &TenantId) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(hash) = app.store.tenant(tenant).await?.and_then(|tenant| tenant.active_revision) else { return Ok(None) };
    let digests = app.store.revision_digests(tenant, &hash).await?.unwrap_or_default();
    let Some(digest) = digests.get(revision::SETTINGS) else { return Ok(None) };
    let mut contents = app.store.contents(tenant, std::slice::from_ref(digest), SETTINGS_BYTES_LIMIT).await?.unwrap_or_default();
    Ok(contents.remove(digest))
}
