//! Steps of people's processes, and invitations, as people answer them.

use std::sync::Arc;

use super::TenancyError;
use super::governance::check_words;
use crate::app::App;
use crate::crypto;
use crate::lifecycle;
use crate::model::{AccountId, AccountState, Instant, Invitation, InvitationSettings, InvitationState, Process, TenantId};
use crate::rate::TooMany;
use crate::store::{ApiPrincipal, NewInvitation, StepSaid, StoreError};

/// The longest token of a link that is looked up, in bytes: ours have 46.
const LINK_BYTES_LIMIT: usize = 64;

/// What became of a link that somebody followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The invitation is accepted.
    Accepted,
    /// It was never made, was used, has expired or was taken back: whoever asks isn't told which.
    NotGood,
    /// Too many links that are not good were followed.
    TooMany(TooMany),
}

/// The id of an account, by id or user name.
///
/// # Errors
/// `Store(Missing)`.
pub async fn account_id(app: &App, tenant: &TenantId, account: Option<String>) -> Result<Option<AccountId>, TenancyError> {
    let Some(account) = account else { return Ok(None) };
    let view = app.store.account(tenant, &account).await?.ok_or(StoreError::Missing("account"))?;
    Ok(Some(view.account.id))
}

/// Says that a step is done, or is not to be done for a reason.
///
/// # Errors
/// `Refused` for words that can't be; `Store(Missing)`; `Store(Conflict)` where it is done or skipped already.
pub async fn say(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    (process, step): (&str, &str),
    (done, reason): (bool, Option<String>),
) -> Result<Process, TenancyError> {
    if let Some(reason) = &reason {
        check_words(reason, None)?;
    }
    let said = StepSaid { done, reason, actor: who.actor(), at: app.clock.now() };
    let process = app.store.say_of_step(tenant, process, step, &said).await?;
    app.wake.notify_one();
    Ok(process)
}

/// Invites an account in use, with a link that is good for as long as the tenant says; the link before is good no more.
///
/// # Errors
/// `Store(Missing)`; `Refused` for an account that is not in use.
pub async fn invite(app: &Arc<App>, tenant: &TenantId, who: &ApiPrincipal, account: &str) -> Result<Invitation, TenancyError> {
    let view = app.store.account(tenant, account).await?.ok_or(StoreError::Missing("account"))?;
    if view.account.state != AccountState::Active {
        return Err(TenancyError::Refused(format!("the account is {}: only accounts in use are invited", view.account.state)));
    }
    if view.imported.is_some_and(|imported| imported.protected) {
        return Err(TenancyError::Refused("the account is protected: nobody is invited to it".into()));
    }
    let settings = super::active_revision(app, tenant)
        .await?
        .map_or_else(InvitationSettings::default, |revision| revision.processes.invitations.clone());
    let now = app.clock.now();
    let new = NewInvitation {
        account: view.account.id,
        expires: expires(&settings, now),
        personal: lifecycle::addressee(&view.account.profile),
        actor: who.actor(),
        at: now,
    };
    let made = app.store.invite(tenant, &new).await?;
    app.wake.notify_one();
    Ok(made)
}

fn expires(settings: &InvitationSettings, now: Instant) -> Instant {
    now.plus_seconds(i64::from(settings.expire_hours) * 3_600)
}

/// Takes an invitation back.
///
/// # Errors
/// `Store(Missing)` when there is no open one.
pub async fn revoke(app: &Arc<App>, tenant: &TenantId, who: &ApiPrincipal, id: &str) -> Result<Invitation, TenancyError> {
    let ended = app.store.revoke_invitation(tenant, id, &who.actor(), app.clock.now()).await?;
    app.wake.notify_one();
    Ok(ended)
}

/// Accepts the invitation whose link has the token. A good link is recognised however many that were not came before it; past what
/// strangers may try, nothing more is said than that they have to wait.
///
/// # Errors
/// The store's.
pub async fn accept(app: &Arc<App>, tenant: &str, token: &str) -> Result<Followed, TenancyError> {
    let now = app.clock.now();
    // What can't be one of ours is not looked up: guessing in bulk costs a comparison.
    let can_be = token.starts_with(crypto::INVITATION_PREFIX) && token.len() <= LINK_BYTES_LIMIT;
    let known = TenantId::from(tenant);
    if can_be {
        let hash = app.keyring.token_hash(token);
        let good = app
            .store
            .find_invitation(&known, &hash)
            .await?
            .filter(|found| crypto::same(&found.hash, &hash) && found.state == InvitationState::Open && found.expires > now);
        if let Some(found) = good
            && app.store.accept_invitation(&known, &found.id, now).await?
        {
            app.wake.notify_one();
            return Ok(Followed::Accepted);
        }
    }
    Ok(app.guesses.take(&format!("invitations of {tenant}"), now).map_or_else(Followed::TooMany, |()| Followed::NotGood))
}
