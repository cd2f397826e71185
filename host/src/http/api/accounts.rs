//! Accounts with their grants, the reasons behind them, and the tenant's history.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::guards::TenantReader;
use crate::http::query::{ApiQuery, At, page, page_limit};
use crate::model::{
    AccountId, AccountState, Cause, ConnectionId, EvaluationState, Event, Grant, Instant, Note, ResourceId, RevisionHash, Ruling, TenantId,
};
use crate::policies::Explanation;
use crate::store::{AccountView, ImportedAccount, RulingQuery};
use crate::tenancy;

/// The most that people have said of an account that is looked through for one role.
const SAID_LIMIT: i64 = 1_000;

/// An account with its grants.
#[derive(Serialize, JsonSchema)]
pub struct AccountAnswer {
    /// Its id.
    id: AccountId,
    /// Its login name; `null` while the mapping has never made one.
    user_name: Option<String>,
    /// What it is at present; roles are in effect for `active` alone.
    state: AccountState,
    /// The mapping's whole answer.
    profile: Value,
    /// For each attribute of the profile, where its value came from.
    provenance: Value,
    /// The roles that it holds, by role.
    grants: Vec<Grant>,
    /// Whether an evaluation is due, so that `grants` may be behind.
    pending: bool,
    /// What made it due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_cause: Option<Cause>,
    /// Why it is held, out of scope or retained.
    note: Option<Note>,
    /// The SCIM user that feeds it; `null` once that is deleted.
    source: Option<Source>,
    /// Where the requests about the person are.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// For an account that was imported and that nobody has adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    imported: Option<ImportedAccount>,
    /// When it was made.
    created: Instant,
    /// When it was last changed.
    modified: Instant,
}

/// The SCIM user that feeds an account.
#[derive(Serialize, JsonSchema)]
pub struct Source {
    /// The connection.
    connection: ConnectionId,
    /// The SCIM id.
    id: ResourceId,
}

/// A page of accounts.
#[derive(Serialize, JsonSchema)]
pub struct AccountList {
    /// By id.
    accounts: Vec<AccountAnswer>,
    /// `after` for the next page; `null` on the last one.
    next: Option<AccountId>,
}

/// Which accounts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountQuery {
    /// Only accounts in this state.
    state: Option<AccountState>,
    /// Only accounts behind this id.
    after: Option<AccountId>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// Which role.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// The role.
    role: String,
    /// The stored revision whose policies are asked; the active one unless given.
    revision: Option<RevisionHash>,
}

/// Which events.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Only events with a higher number; 0 unless given.
    after: Option<i64>,
    /// How many: 100 unless given, at most 1,000.
    limit: Option<i64>,
}

/// A page of the history.
#[derive(Serialize, JsonSchema)]
pub struct EventList {
    /// By number.
    events: Vec<Event>,
    /// `after` for the next page, also when nothing is there yet.
    next: i64,
}

/// GET …/accounts
///
/// # Errors
/// The store's.
pub async fn list(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<AccountQuery>) -> Result<Json<AccountList>> {
    let limit = page_limit(query.limit);
    let after = query.after.filter(|after| !after.as_str().contains('\0'));
    let found = app.store.accounts(&who.tenant.id, query.state, after.as_ref(), limit + 1).await?;
    let (views, next) = page(found, limit, |view| view.account.id.clone());
    let active = who.tenant.active_revision.as_ref();
    Ok(Json(AccountList { accounts: views.into_iter().map(|view| seen(&who.tenant.id, view, active)).collect(), next }))
}

/// GET …/accounts/{account}
///
/// # Errors
/// 404.
pub async fn read(who: TenantReader, State(app): State<Arc<App>>, At((_, account)): At<(String, String)>) -> Result<Json<AccountAnswer>> {
    let view = app.store.account(&who.tenant.id, &account).await?.ok_or_else(|| Error::not_found("such account"))?;
    Ok(Json(seen(&who.tenant.id, view, who.tenant.active_revision.as_ref())))
}

/// Why an account has a role or has not: what the policies say, what stands, and what people have said beside them.
#[derive(Serialize, JsonSchema)]
pub struct Explained {
    /// What the policies say, on what is stored now.
    #[serde(flatten)]
    explanation: Explanation,
    /// The role as the account has it; `null` where it has not.
    grant: Option<Grant>,
    /// What people have said of the role, or of the account as a whole, and counts: exceptions, approvals, holds, leaves. The policies know nothing
    /// of it.
    said: Vec<Ruling>,
}

/// GET …/accounts/{account}/explain
///
/// # Errors
/// 404 for an unknown account, role or revision.
pub async fn explain(
    who: TenantReader,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiQuery(query): ApiQuery<ExplainQuery>,
) -> Result<Json<Explained>> {
    let (tenant, now) = (&who.tenant.id, app.clock.now());
    let view = app.store.account(tenant, &account).await?.ok_or_else(|| Error::not_found("such account"))?;
    let explanation = tenancy::explain(&app, tenant, &view, &query.role, query.revision.as_ref()).await?;
    let asked = RulingQuery { account: Some(view.account.id), limit: SAID_LIMIT, ..RulingQuery::default() };
    let counts = |ruling: &Ruling| !ruling.is_over(now) && ruling.role.as_ref().is_none_or(|role| role.as_str() == query.role);
    let said = app.store.rulings(tenant, &asked).await?.into_iter().filter(counts).collect();
    let grant = view.grants.into_iter().find(|grant| grant.role.as_str() == query.role);
    Ok(Json(Explained { explanation, grant, said }))
}

/// GET …/events
///
/// # Errors
/// The store's.
pub async fn events(who: TenantReader, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<EventQuery>) -> Result<Json<EventList>> {
    let after = query.after.unwrap_or(0).max(0);
    let events = app.store.events(&who.tenant.id, after, page_limit(query.limit)).await?;
    let next = events.last().map_or(after, |event| event.seq);
    Ok(Json(EventList { events, next }))
}

fn seen(tenant: &TenantId, view: AccountView, active: Option<&RevisionHash>) -> AccountAnswer {
    let AccountView { account, grants, source, evaluation, imported } = view;
    AccountAnswer {
        id: account.id,
        user_name: account.user_name,
        state: account.state,
        profile: account.profile,
        provenance: account.provenance,
        grants,
        pending: evaluation.as_ref().is_some_and(|evaluation| is_pending(evaluation, active)),
        pending_cause: evaluation.and_then(|evaluation| evaluation.cause),
        note: account.note,
        log: source.as_ref().map(|(_, id)| format!("/api/v1/tenants/{tenant}/log?person={id}")),
        source: source.map(|(connection, id)| Source { connection, id }),
        imported,
        created: account.created,
        modified: account.modified,
    }
}

/// Behind its inputs or behind the active revision.
pub(in crate::http) fn is_pending(evaluation: &EvaluationState, active: Option<&RevisionHash>) -> bool {
    evaluation.cause.is_some()
        || evaluation.evaluated_version != Some(evaluation.input_version)
        || evaluation.evaluated_revision.as_ref() != active
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_is_behind_the_inputs_or_the_revision() {
        let (old, new) = (RevisionHash::from("old"), RevisionHash::from("new"));
        let done = EvaluationState {
            input_version: 2,
            evaluated_version: Some(2),
            evaluated_revision: Some(new.clone()),
            as_of: None,
            next_evaluation_at: None,
            cause: None,
            attempts: 0,
        };
        assert!(!is_pending(&done, Some(&new)));
        assert!(is_pending(&done, Some(&old)));
        assert!(is_pending(&done, None));
        assert!(is_pending(&EvaluationState { evaluated_version: Some(1), ..done.clone() }, Some(&new)));
        assert!(is_pending(&EvaluationState { evaluated_version: None, ..done.clone() }, Some(&new)));
        assert!(is_pending(&EvaluationState { cause: Some(Cause::Retry), ..done }, Some(&new)));
    }
}
