//! Approvals: roles that wait for a person's yes, with what asks for it, answered several at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{catalogue, tabs, why};
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, page as page_of};
use crate::http::workspace::form::{Sent, answer as answered};
use crate::http::workspace::page::{Page, Section, When, empty, more, token};
use crate::http::workspace::path::with;
use crate::http::workspace::seat::Seat;
use crate::http::workspace::words::{self, Edge, PAGE_LINES, counted, sent_moment};
use crate::model::{AdminAction, Instant, RoleId, Ruling, RulingKind, RulingState};
use crate::policies::Role;
use crate::store::RulingQuery;
use crate::tenancy::governance;

/// The most requests that one form answers: those of one page. Each is asked about and committed by itself, as admin policies may let
/// somebody answer one and not another.
pub const ANSWERED_LIMIT: usize = PAGE_LINES as usize;

/// Which requests.
#[derive(Deserialize, JsonSchema)]
pub struct ListQuery {
    /// `yes` or `no` for those that were answered so; those that wait unless given.
    state: Option<String>,
    /// Only those behind this one.
    after: Option<String>,
}

/// GET …/decisions/approvals
///
/// # Errors
/// The store's.
pub async fn list(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<ListQuery>) -> Result<Response> {
    let (now, here) = (app.clock.now(), seat.at("decisions/approvals"));
    let state = query.state.as_deref().and_then(RulingState::from_word).filter(|state| *state != RulingState::Ended);
    let state = state.unwrap_or(RulingState::Open);
    let after = query.after.filter(|after| !after.contains('\0'));
    let asked =
        RulingQuery { kind: Some(RulingKind::Approval), state: Some(state), after, limit: PAGE_LINES + 1, ..RulingQuery::default() };
    let found = app.store.rulings(&seat.tenant.id, &asked).await?;
    let (rulings, next) = page_of(found, PAGE_LINES, |ruling| ruling.id.clone());
    let active = super::active(&app, &seat).await?;
    let asked = || rulings.iter().filter_map(|ruling| ruling.role.as_ref()).map(RoleId::as_str);
    let decides = super::may_about(&app, &seat, AdminAction::ApproveRole, asked()).await?
        || super::may_about(&app, &seat, AdminAction::RejectRole, asked()).await?;
    let word = |state: RulingState| if state == RulingState::Open { "" } else { state.word() };
    let ways = [(RulingState::Open, "Waiting"), (RulingState::Yes, "Approved"), (RulingState::No, "Rejected")]
        .map(|(of, words)| (with(&here, &[("state", word(of))]), words.to_owned(), of == state));
    let body = html! {
        h1 { "Decisions" }
        (tabs(&seat, "decisions/approvals"))
        (words::filters(&ways))
        @if rulings.is_empty() {
            (empty("No request", &html! {
                "Nobody holds a privileged role, or one whose policy has " code { "@approval" } ", without a person’s yes. "
                "Such requests stand here, with what asks for them, until somebody answers or they lapse."
            }))
        } @else {
            (requests(&seat, &rulings, catalogue(active.as_ref()), (decides, now)))
            (more(next.map(|next| with(&here, &[("state", word(state)), ("after", &next)]))))
        }
    };
    Ok(Page { seat: &seat, section: Section::Decisions, title: "Approvals", trail: &[], body }.into_response())
}

fn requests(seat: &Seat, rulings: &[Ruling], roles: &[Role], (decides, now): (bool, Instant)) -> Markup {
    html! {
        form method="post" action=(seat.at("decisions/approvals")) {
            (token(&seat.guest))
            table.stack {
                thead { tr {
                    @if decides { th scope="col" { input type="checkbox" data-ticks="request" aria-label="Tick every request on this page"; } }
                    th scope="col" { "Person" } th scope="col" { "Role" } th scope="col" { "What asks" } th scope="col" { "Asked" }
                } }
                tbody data-rows { @for ruling in rulings { (line(seat, ruling, roles, (decides, now))) } }
            }
            @if decides { (answers(seat)) }
        }
        @if !decides { p.quiet { "Requests are answered by those whom the admin policies let approve roles, never by the person themselves." } }
    }
}

fn line(seat: &Seat, ruling: &Ruling, roles: &[Role], (decides, now): (bool, Instant)) -> Markup {
    let name = ruling.user_name.as_deref();
    let shown = name.unwrap_or(ruling.account.as_str());
    let role = ruling.role.as_ref().map_or("", |role| role.as_str());
    let is_catalogue = "the role’s entry in the catalogue, or the tenant’s settings for privileged roles";
    html! {
        tr {
            @if decides { td { input type="checkbox" name="request" value=(ruling.id) aria-label={ "Tick " (role) " for " (shown) }; } }
            td { (words::person(seat, ruling.account.as_str(), name)) }
            td { (words::role(roles, role)) }
            td {
                @match &ruling.asks { Some(asks) => (asks), None => span.quiet { (is_catalogue) } }
                br; (why(seat, ruling.account.as_str(), role))
            }
            td {
                (When { at: ruling.created, now })
                @if let Some(ends) = ruling.ends {
                    br; span.quiet { (if ruling.state == RulingState::Open { "lapses " } else { "until " }) (When { at: ends, now }) }
                }
                @if let Some(by) = &ruling.decided_by {
                    br; span.quiet { "answered by " (words::actor(by)) @if let Some(reason) = &ruling.reason { ": " (reason) } }
                }
            }
        }
    }
}

fn answers(seat: &Seat) -> Markup {
    html! {
        fieldset {
            legend { "Of the requests that are ticked" }
            label { "Why" textarea name="reason" required maxlength="1000" {} }
            label { "The role may be held until and with " span.quiet { "(left empty: for as long as the policies give it)" } input type="date" name="ends"; }
            div.actions {
                button.main name="answer" value="yes" data-press="a" { "Approve ticked " kbd { "a" } }
                button.danger name="answer" value="no" data-press="r" { "Reject ticked " kbd { "r" } }
            }
            @if seat.principal().scope.person.is_none() {
                p.quiet { "Your session names nobody: an approval is given by a person, so that yours will be refused." }
            }
        }
    }
}

/// POST …/decisions/approvals
///
/// # Errors
/// Those that no other input would avoid.
pub async fn answer(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    let done = said(&seat, &app, &sent).await;
    answered(&seat.at("decisions/approvals"), done)
}

async fn said(seat: &Seat, app: &Arc<App>, sent: &Sent) -> Result<String> {
    let yes = match sent.get("answer") {
        Some("yes") => true,
        Some("no") => false,
        _ => return Err(Error::bad_request("say whether to approve or to reject", "an answer is none")),
    };
    let until = ("ends", "The role may be held until and with", Edge::End);
    let ends = if yes { sent_moment(sent, &seat.zone(app).await?, until)? } else { None };
    let reason = sent.needed("reason", "Why")?;
    let mut came_to = CameTo::of(sent.all("request").count())?;
    for id in sent.all("request") {
        let said = (yes, reason.to_owned(), ends);
        came_to.count(governance::answer_approval(app, &seat.tenant.id, &seat.principal(), id, said).await)?;
    }
    came_to.told(if yes { "approved" } else { "rejected" })
}

/// What became of lines that were ticked, each of which is decided by itself.
pub(super) struct CameTo {
    done: i64,
    refused: Vec<Error>,
}

impl CameTo {
    /// Of so many lines.
    pub(super) fn of(ticked: usize) -> Result<Self> {
        if ticked == 0 || ticked > ANSWERED_LIMIT {
            return Err(Error::bad_request(format!("tick 1 to {ANSWERED_LIMIT} lines"), "nothing is ticked, or too much"));
        }
        Ok(Self { done: 0, refused: Vec::new() })
    }

    /// One more. Fails for what is nobody's mistake: the lines behind it are left as they are.
    pub(super) fn count<T>(&mut self, result: std::result::Result<T, impl Into<Error>>) -> Result<()> {
        match result.map_err(Into::into) {
            Ok(_) => self.done += 1,
            Err(error) if error.status().is_client_error() => self.refused.push(error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// How many it was, and why not the others.
    pub(super) fn told(mut self, did: &str) -> Result<String> {
        let done = counted(self.done, "line", "lines");
        match self.refused.first() {
            None => Ok(format!("{done} {did}")),
            Some(_) if self.done == 0 => Err(self.refused.swap_remove(0)),
            Some(first) => Ok(format!("{done} {did}, {} not: {}", self.refused.len(), first.told())),
        }
    }
}
