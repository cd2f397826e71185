//! What people say of approvals, exceptions and holds, and who may: the floor that no policy lowers. Nobody says yes for themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::App;
use crate::crypto;
use crate::model::{
    AccountId, Actor, AdminAction, GuardDirection, Hold, Instant, RoleId, Ruling, RulingKind, RulingState, TenantId, collision_key,
};
use crate::store::ApiPrincipal;
use crate::store::{AccountView, Answer, Answered, HeldPerson, StoreError};

use super::TenancyError;
use super::admin::{self, Asked};
use super::person::Person;

/// The longest reason, in characters.
pub const REASON_CHARS_LIMIT: usize = 1_000;
/// The longest name of an owner, in characters.
pub const OWNER_CHARS_LIMIT: usize = 200;
/// The longest time that an exception, or a rejected hold, counts: a year, after which somebody has to say it again.
pub const EXCEPTION_DAYS_LIMIT: i64 = 366;
/// The most accounts that one request names.
pub const ACCOUNTS_LIMIT: usize = 1_000;
/// People of a hold who are looked at together.
const PEOPLE_LOOKED_AT: i64 = 1_000;
/// Holds that are closed together because nobody waits in them any more.
const HOLDS_AT_ONCE: i64 = 100;

/// An exception that is wanted.
#[derive(Clone, Debug)]
pub struct WantedException {
    /// The account, by id or user name.
    pub account: String,
    /// The role.
    pub role: RoleId,
    /// Whether it gives the role, or keeps it away.
    pub grants: bool,
    /// Since when it counts; at once where there is none.
    pub starts: Option<Instant>,
    /// Until when.
    pub ends: Instant,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
}

/// What is said of a hold.
#[derive(Clone, Debug)]
pub struct HoldAnswer {
    /// Whether what was held takes effect; otherwise what stands stays, until `ends`.
    pub release: bool,
    /// Of these accounts, by id or login name; of all where there are none.
    pub accounts: Option<Vec<String>>,
    /// Why.
    pub reason: String,
    /// Who answers for the difference, where it is rejected.
    pub owner: Option<String>,
    /// Until when it may stand, where it is rejected.
    pub ends: Option<Instant>,
}

/// Makes an exception.
///
/// # Errors
/// `Refused` by the floor, or for a role that the catalogue does not have; `Store(Missing)`, `Store(Conflict)`.
pub async fn make_exception(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    wanted: WantedException,
) -> Result<Ruling, TenancyError> {
    let now = app.clock.now();
    check_words(&wanted.reason, Some(&wanted.owner))?;
    check_end(wanted.starts.unwrap_or(now).max(now), Some(wanted.ends))?;
    let view = app.store.account(tenant, &wanted.account).await?.ok_or(StoreError::Missing("account"))?;
    check_fed(&view)?;
    if wanted.grants {
        not_for_oneself(who, &view, "gives themselves a role")?;
    }
    let known = super::active_revision(app, tenant).await?;
    if !known.is_some_and(|revision| revision.policies.roles().iter().any(|role| role.id == wanted.role.0)) {
        return Err(StoreError::Missing("role in the tenant's catalogue").into());
    }
    let about = [(wanted.role.as_str(), wanted.grants)];
    admin::ask(app, tenant, who, AdminAction::MakeException, Asked::Roles(&about)).await?;
    let kind = if wanted.grants { RulingKind::Grant } else { RulingKind::Forbid };
    let made = Ruling {
        user_name: view.account.user_name,
        role: Some(wanted.role),
        starts: wanted.starts,
        ends: Some(wanted.ends),
        reason: Some(wanted.reason),
        owner: Some(wanted.owner),
        ..Ruling::said(crypto::random_id(), view.account.id, kind, now, who.actor())
    };
    app.store.make_exception(tenant, &made).await?;
    app.wake.notify_one();
    Ok(made)
}

/// Ends an exception before its time.
///
/// # Errors
/// `Store(Missing)` when there is no such exception; `Refused` by the floor.
pub async fn end_exception(app: &Arc<App>, tenant: &TenantId, who: &ApiPrincipal, id: &str) -> Result<Ruling, TenancyError> {
    let ruling = app.store.ruling(tenant, id).await?.filter(|ruling| ruling.state != RulingState::Ended);
    let ruling = ruling.ok_or(StoreError::Missing("exception"))?;
    match ruling.kind {
        RulingKind::Grant => {}
        // Its end gives the role back.
        RulingKind::Forbid => {
            not_for_oneself(who, &account_of(app, tenant, &ruling).await?, "ends an exception that keeps a role from them")?
        }
        RulingKind::Absence
        | RulingKind::Approval
        | RulingKind::Loss
        | RulingKind::Gain
        | RulingKind::Restored
        | RulingKind::Adoption
        | RulingKind::Drift => {
            return Err(StoreError::Missing("exception").into());
        }
    }
    let about = [(ruling.role.as_ref().map_or("", RoleId::as_str), ruling.kind == RulingKind::Forbid)];
    admin::ask(app, tenant, who, AdminAction::EndException, Asked::Roles(&about)).await?;
    let ended = app.store.end_ruling(tenant, id, None, &who.actor(), app.clock.now()).await?;
    app.wake.notify_one();
    Ok(ended)
}

/// Says yes or no to a request for an approval. A yes may come after it has lapsed, or after a no; a no may take a yes back.
///
/// # Errors
/// `Refused` by the floor; `Store(Missing)`.
pub async fn answer_approval(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    id: &str,
    (yes, reason, ends): (bool, String, Option<Instant>),
) -> Result<Ruling, TenancyError> {
    check_words(&reason, None)?;
    let at = app.clock.now();
    if ends.is_some() {
        check_end(at, ends)?;
    }
    let ruling = app.store.ruling(tenant, id).await?;
    let open = |ruling: &Ruling| ruling.kind == RulingKind::Approval && ruling.state != RulingState::Ended;
    let ruling = ruling.filter(open).ok_or(StoreError::Missing("approval"))?;
    if yes {
        if who.scope.person.is_none() {
            let how = "an approval is given by a person: use a token that names one (`rolecall token create --person NAME`)";
            return Err(TenancyError::Forbidden(how.into()));
        }
        not_for_oneself(who, &account_of(app, tenant, &ruling).await?, "approves a role of their own")?;
    }
    let about = [(ruling.role.as_ref().map_or("", RoleId::as_str), yes)];
    let action = if yes { AdminAction::ApproveRole } else { AdminAction::RejectRole };
    admin::ask(app, tenant, who, action, Asked::Roles(&about)).await?;
    let answer = Answer { yes, ends, reason: Some(reason), owner: who.scope.person.clone(), actor: who.actor(), at };
    app.store.answer_rulings(tenant, &Answered::One(id.to_owned()), &answer).await?;
    app.wake.notify_one();
    Ok(app.store.ruling(tenant, id).await?.ok_or(StoreError::Missing("approval"))?)
}

/// Releases or rejects what a hold keeps back, or a part of it. How many people that were.
///
/// # Errors
/// `Refused` by the floor; `NotHeld` where an account is named that does not wait there; `Store(Missing)`.
pub async fn answer_hold(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    id: &str,
    said: HoldAnswer,
) -> Result<(Hold, i64), TenancyError> {
    let hold = app.store.hold(tenant, id).await?.ok_or(StoreError::Missing("hold"))?;
    let at = app.clock.now();
    check_words(&said.reason, said.owner.as_deref())?;
    if !said.release {
        check_end(at, said.ends)?;
        if said.owner.is_none() {
            let why = "a rejected hold is a standing difference to the identity provider: name who answers for it, and when it ends";
            return Err(TenancyError::Refused(why.into()));
        }
    }
    if said.accounts.as_ref().is_some_and(|accounts| accounts.is_empty() || accounts.len() > ACCOUNTS_LIMIT) {
        return Err(TenancyError::Refused(format!("name 1 to {ACCOUNTS_LIMIT} accounts, or none to mean all")));
    }
    let accounts = match &said.accounts {
        Some(names) => Some(named_in(app, tenant, &hold, names).await?),
        None => None,
    };
    let gives = match hold.direction {
        GuardDirection::Gains | GuardDirection::PrivilegedGains => said.release,
        GuardDirection::Losses | GuardDirection::Leavers => !said.release,
    };
    if gives {
        refuse_if_in(app, tenant, who, &hold, accounts.as_deref()).await?;
    }
    admin::ask(app, tenant, who, AdminAction::AnswerHold, Asked::Hold(&hold, gives)).await?;
    // Of somebody whom the identity provider calls gone, yes means that they are restored.
    let yes = if hold.direction == GuardDirection::Leavers { !said.release } else { said.release };
    let ends = said.ends.filter(|_| !said.release);
    let answer = Answer { yes, ends, reason: Some(said.reason), owner: said.owner, actor: who.actor(), at };
    let which = Answered::Hold(id.to_owned(), accounts);
    let mut people = 0;
    loop {
        let answered = app.store.answer_rulings(tenant, &which, &answer).await?;
        app.wake.notify_one();
        if answered == 0 {
            break;
        }
        people += answered;
    }
    let hold = app.store.hold(tenant, id).await?.ok_or(StoreError::Missing("hold"))?;
    Ok((hold, people))
}

/// Closes holds in which nobody waits any more: the identity provider has put its people right, or they have left. Whether there may be more.
///
/// # Errors
/// The store's.
pub async fn close_resolved(app: &App) -> Result<bool, StoreError> {
    let resolved = app.store.resolved_holds(HOLDS_AT_ONCE).await?;
    let (actor, at) = (Actor { kind: "worker".into(), id: "resolved".into() }, app.clock.now());
    for (tenant, hold) in &resolved {
        app.store.close_resolved(tenant, hold, &actor, at).await?;
    }
    Ok(i64::try_from(resolved.len()).is_ok_and(|found| found == HOLDS_AT_ONCE))
}

/// The accounts that are named, by id or login name, of those that wait in a hold. Whoever is named and does not wait there is a mistake, which is
/// told before anything is answered: a yes that reached nobody would look like one that was carried out.
async fn named_in(app: &Arc<App>, tenant: &TenantId, hold: &Hold, names: &[String]) -> Result<Vec<AccountId>, TenancyError> {
    let mut wanted: BTreeMap<String, &String> = names.iter().map(|name| (collision_key(name), name)).collect();
    let (mut named, mut after) = (Vec::with_capacity(wanted.len()), None);
    while !wanted.is_empty() {
        let people = app.store.people_in_hold(tenant, &hold.id, after.as_ref(), PEOPLE_LOOKED_AT).await?;
        let Some(last) = people.last() else { break };
        after = Some(last.account.clone());
        for held in people {
            let own = [Some(held.account.as_str()), held.user_name.as_deref()].into_iter().flatten();
            // Whoever is named twice is named all the same.
            if own.filter_map(|name| wanted.remove(&collision_key(name))).count() > 0 {
                named.push(held.account);
            }
        }
    }
    let unknown: Vec<String> = wanted.into_values().cloned().collect();
    if unknown.is_empty() { Ok(named) } else { Err(TenancyError::NotHeld(unknown)) }
}

/// Somebody who is in a hold gives themselves nothing by answering it.
async fn refuse_if_in(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    hold: &Hold,
    accounts: Option<&[AccountId]>,
) -> Result<(), TenancyError> {
    let Some(name) = &who.scope.person else { return Ok(()) };
    let answered = |held: &&HeldPerson| accounts.is_none_or(|accounts| accounts.contains(&held.account));
    let mut after = None;
    loop {
        let people = app.store.people_in_hold(tenant, &hold.id, after.as_ref(), PEOPLE_LOOKED_AT).await?;
        if people.iter().filter(answered).any(|held| Person::from(held).goes_by(name)) {
            let why = "nobody answers a hold that they are in themselves: leave your own account out, or ask somebody else";
            return Err(TenancyError::Forbidden(why.into()));
        }
        match people.last() {
            Some(last) => after = Some(last.account.clone()),
            None => return Ok(()),
        }
    }
}

/// The account that a ruling is about.
pub(super) async fn account_of(app: &Arc<App>, tenant: &TenantId, ruling: &Ruling) -> Result<AccountView, StoreError> {
    app.store.account(tenant, ruling.account.as_str()).await?.ok_or(StoreError::Missing("account"))
}

/// The floor: a token that names a person gives that person nothing.
/// Nothing decides the roles of an account that no connection feeds, so that nothing would come of what is said of it.
pub(super) fn check_fed(view: &AccountView) -> Result<(), TenancyError> {
    match view.imported {
        Some(_) => Err(TenancyError::Refused(
            "the account was imported and no connection feeds it: change it where it is, and import it again".into(),
        )),
        None => Ok(()),
    }
}

pub(super) fn not_for_oneself(who: &ApiPrincipal, view: &AccountView, does: &str) -> Result<(), TenancyError> {
    let Some(name) = &who.scope.person else { return Ok(()) };
    if Person::from(view).goes_by(name) {
        return Err(TenancyError::Forbidden(format!("nobody {does}: ask somebody else")));
    }
    Ok(())
}

/// Whether people's own words are some, printable, and no more than `most` characters.
pub(super) fn sound(text: &str, most: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= most && !text.chars().any(|c| c.is_control() && c != '\n')
}

/// Whether a reason says something, in words that can be shown.
///
/// # Errors
/// `Refused` with what it may be.
pub fn check_reason(reason: &str) -> Result<(), TenancyError> {
    check_words(reason, None)
}

pub(super) fn check_words(reason: &str, owner: Option<&str>) -> Result<(), TenancyError> {
    if !sound(reason, REASON_CHARS_LIMIT) {
        return Err(TenancyError::Refused(format!("`reason` says why, in 1 to {REASON_CHARS_LIMIT} characters")));
    }
    if owner.is_some_and(|owner| !sound(owner, OWNER_CHARS_LIMIT)) {
        return Err(TenancyError::Refused(format!("`owner` says who answers for it, in 1 to {OWNER_CHARS_LIMIT} characters")));
    }
    Ok(())
}

pub(super) fn check_end(from: Instant, ends: Option<Instant>) -> Result<(), TenancyError> {
    let latest = from.plus_seconds(EXCEPTION_DAYS_LIMIT * 86_400);
    match ends {
        Some(ends) if ends > from && ends <= latest => Ok(()),
        Some(_) => Err(TenancyError::Refused(format!("the end must be after the beginning, and within {EXCEPTION_DAYS_LIMIT} days of it"))),
        None => Err(TenancyError::Refused("say when it ends: nothing of this kind is for ever".into())),
    }
}
