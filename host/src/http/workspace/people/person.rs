//! One person, whole: what the identity provider says, what the mapping and the policies made of it, what people said, what there is to do.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::page::{Page, Section, When, badge, heading};
use super::super::path;
use super::super::seat::{Rights, Seat};
use super::super::words::reasons;
use super::{parts, words};
use crate::app::App;
use crate::http::api::accounts::is_pending;
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At};
use crate::lifecycle::receipt::Receipt;
use crate::model::{AccountState, AdminAction, ConnectionId, Instant, Invitation, Process, ProcessState, Ruling};
use crate::policies::{Explanation, NearMiss, Role};
use crate::store::{AccountView, InvitationQuery, ProcessQuery, RulingQuery, StoreError, StoredResource, UserGroup};
use crate::tenancy::{self, TenancyError, processes};

/// The most of anything that a page tells of one person: rulings, processes, invitations.
const TOLD_LIMIT: i64 = 50;
/// Processes that are over and shown all the same.
const DONE_SHOWN: i64 = 5;

/// All that the page says.
pub(super) struct Person {
    pub view: AccountView,
    pub scim: Option<(StoredResource, Vec<UserGroup>)>,
    /// The connection that feeds them, by its name.
    pub connection: Option<(ConnectionId, String)>,
    pub rulings: Vec<Ruling>,
    pub processes: Vec<Process>,
    pub invitations: Vec<Invitation>,
    pub receipt: Option<Receipt>,
    pub roles: Vec<Role>,
}

/// What a page is rendered with.
pub(super) struct Seen<'s> {
    pub seat: &'s Seat,
    pub rights: Rights,
    pub now: Instant,
}

impl Seen<'_> {
    /// The address of a page, or of what a form is sent to, about the person.
    pub(super) fn at(&self, person: &Person, rest: &str) -> String {
        self.seat.at(&format!("people/{}{rest}", person.view.account.id))
    }
}

/// Who is asked for, by id or login name.
pub(super) async fn view(app: &Arc<App>, seat: &Seat, account: &str) -> Result<AccountView> {
    app.store.account(&seat.tenant.id, account).await?.ok_or_else(|| Error::not_found("such person"))
}

async fn read(app: &Arc<App>, seat: &Seat, account: &str) -> Result<Person> {
    let tenant = &seat.tenant.id;
    let view = view(app, seat, account).await?;
    let id = &view.account.id;
    let (scim, connection) = match &view.source {
        Some((connection, user)) => {
            let named = app.store.connections(tenant).await?.into_iter().find(|known| known.id == *connection);
            (app.store.user(tenant, connection, user).await?, named.map(|named| (named.id, named.name)))
        }
        None => (None, None),
    };
    let about = RulingQuery { account: Some(id.clone()), limit: TOLD_LIMIT, ..RulingQuery::default() };
    let of = |state, limit| ProcessQuery { state: Some(state), account: Some(id.clone()), limit, ..ProcessQuery::default() };
    let mut processes = app.store.processes(tenant, &of(ProcessState::Open, TOLD_LIMIT)).await?;
    processes.extend(app.store.processes(tenant, &of(ProcessState::Done, DONE_SHOWN)).await?);
    let invited = InvitationQuery { account: Some(id.clone()), limit: TOLD_LIMIT, ..InvitationQuery::default() };
    let receipt = match processes::receipt(app, tenant, id.as_str()).await {
        Ok(receipt) => Some(receipt),
        // Most people have never left.
        Err(TenancyError::Store(StoreError::Missing(_))) => None,
        Err(other) => return Err(other.into()),
    };
    let revision = tenancy::active_revision(app, tenant).await?;
    Ok(Person {
        scim,
        connection,
        rulings: app.store.rulings(tenant, &about).await?,
        processes,
        invitations: app.store.invitations(tenant, &invited).await?,
        receipt,
        roles: revision.map(|revision| revision.policies.roles().to_vec()).unwrap_or_default(),
        view,
    })
}

/// GET /workspace/t/{tenant}/people/{account}
///
/// # Errors
/// 404.
pub async fn show(seat: Seat, State(app): State<Arc<App>>, At((_, account)): At<(String, String)>) -> Result<Response> {
    let person = read(&app, &seat, &account).await?;
    let seen = Seen { rights: seat.rights(&app).await?, now: app.clock.now(), seat: &seat };
    let name = words::name(&person.view).to_owned();
    let beside = html! {
        @if let Some((connection, user)) = &person.view.source {
            a.button href=(seen.at(&person, "/run")) { "Step by step" }
            a.button href=(path::with(&seat.at(&format!("connections/{connection}/log")), &[("person", user.as_str())])) { "Requests" }
        }
        a.button href=(seen.at(&person, "/history")) { "History" }
    };
    let body = html! {
        (heading(&name, &beside))
        (stands(&seat, &person.view, seen.now))
        (parts::suspension(&seen, &person))
        (parts::sides(&seen, &person))
        (parts::roles(&seen, &person))
        (parts::waiting(&seen, &person))
        (parts::exceptions(&seen, &person))
        (parts::leave(&seen, &person))
        (parts::processes(&seen, &person))
        (parts::invitation(&seen, &person))
        (parts::receipt(&seen, &person))
        @if person.view.account.state == AccountState::Removed && seen.rights.may(AdminAction::EraseAccounts) {
            section.card {
                h2 { "Erase" }
                p { "What is personal of a removed account is taken away for good; the history keeps that it was there." }
                a.button href=(seen.at(&person, "/erase")) { "Erase what is personal…" }
            }
        }
    };
    let trail = [("People", seat.at("people"))];
    Ok(Page { seat: &seat, section: Section::People, title: &name, trail: &trail, body }.into_response())
}

/// GET /workspace/t/{tenant}/people/{account}/standing
///
/// # Errors
/// 404.
pub async fn standing(seat: Seat, State(app): State<Arc<App>>, At((_, account)): At<(String, String)>) -> Result<Html<String>> {
    let view = view(&app, &seat, &account).await?;
    Ok(Html(stands(&seat, &view, app.clock.now()).into_string()))
}

/// State and note in words. While something is still to be decided about the person it is asked for again.
fn stands(seat: &Seat, view: &AccountView, now: Instant) -> Markup {
    let account = &view.account;
    let pending = view.evaluation.as_ref().is_some_and(|evaluation| is_pending(evaluation, seat.tenant.active_revision.as_ref()));
    let again = pending.then(|| seat.at(&format!("people/{}/standing", account.id)));
    html! {
        section.card #standing hx-get=[again] hx-trigger=[pending.then_some("every 3s")] hx-swap=[pending.then_some("outerHTML")] {
            h2 { "At present " (badge(account.state.word())) }
            p { (words::meaning(account.state)) }
            @if let Some(note) = &account.note {
                p.note {
                    strong { (words::heading_of(note)) } ": " (note.message)
                    @if let Some(path) = &note.path { " (" code { (path) } ")" }
                }
                p { (words::remedy(note)) }
            }
            @if let Some(imported) = &view.imported {
                p { "The account was imported and no connection feeds it" @if imported.protected { "; it is protected from all of them" } "." }
            }
            @if pending { p role="status" { "Something about this person is to be decided still; this is what was decided before." } }
            p.quiet { "Changed " (When { at: account.modified, now }) ", made " (When { at: account.created, now }) ". Account " code { (account.id) } }
        }
    }
}

/// About which role.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhyQuery {
    /// The role.
    #[serde(default)]
    role: String,
}

/// GET /workspace/t/{tenant}/people/{account}/why
///
/// # Errors
/// 404 for an unknown person or role.
pub async fn why(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    ApiQuery(query): ApiQuery<WhyQuery>,
) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let explained = tenancy::explain(&app, &seat.tenant.id, &view, &query.role, None).await?;
    let name = words::name(&view);
    let held = view.grants.iter().find(|grant| grant.role.as_str() == query.role);
    let title = format!("{name} and the role {}", query.role);
    let body = html! {
        h1 { "Why " (name) " has, or has not, the role " a href=(seat.at(&format!("roles/{}", path::segment(&query.role)))) { (query.role) } }
        section.card {
            h2 { (words::decision(&explained.decision)) }
            @if let Some(because) = &explained.because { p { (because) } }
            @match held {
                Some(grant) => p { "At present: " (words::of_grant(grant)) "." },
                None => p { "At present they don’t have it." },
            }
            p.quiet { "Decided for this page, by the active revision and by what is stored now. Exceptions, approvals and holds come on top: they stand on the person’s page." }
        }
        (explanation(&explained))
    };
    let trail = [("People", seat.at("people")), (name, seat.at(&format!("people/{}", view.account.id)))];
    Ok(Page { seat: &seat, section: Section::People, title: &title, trail: &trail, body }.into_response())
}

/// What gives a role, forbids it, or came nearest to giving it.
pub(super) fn explanation(explained: &Explanation) -> Markup {
    html! {
        @if !explained.reasons.is_empty() { section.card { h2 { "Policies that give it" } (reasons(&explained.reasons)) } }
        @if !explained.forbids.is_empty() { section.card { h2 { "Policies that forbid it" } (reasons(&explained.forbids)) } }
        @if !explained.nearest.is_empty() {
            section.card {
                h2 { "What came nearest, and what was missing" }
                ul.lines { @for miss in &explained.nearest { li { (missed(miss)) } } }
            }
        }
        @if explained.decision == "no_permit" && explained.nearest.is_empty() { p { "No policy is about this role at all." } }
    }
}

fn missed(miss: &NearMiss) -> Markup {
    html! {
        code { (miss.policy) } @if let Some(reason) = &miss.reason { " " (reason) }
        br;
        "Not met: " (miss.unmet)
        @if !miss.saw.is_empty() {
            ul { @for saw in &miss.saw { li.quiet { code { (saw.expression) } " is " code { (words::text(&saw.value)) } } } }
        }
    }
}
