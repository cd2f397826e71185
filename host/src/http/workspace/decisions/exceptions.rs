//! Exceptions: roles that somebody has, or does not have, against what policies say, for a time and with somebody who answers for it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::approvals::CameTo;
use super::{catalogue, tabs};
use crate::app::App;
use crate::http::error::Result;
use crate::http::query::{ApiQuery, page as page_of};
use crate::http::workspace::form::{Sent, answer as answered};
use crate::http::workspace::page::{Page, Section, When, empty, more, token};
use crate::http::workspace::path::with;
use crate::http::workspace::seat::Seat;
use crate::http::workspace::words::{self, Edge, PAGE_LINES, SUGGESTED_DAYS, date_after, needed_moment, sent_moment};
use crate::model::{AdminAction, Instant, RoleId, Ruling, RulingKind};
use crate::policies::Role;
use crate::store::RulingQuery;
use crate::tenancy::governance::{self, WantedException};

/// Which exceptions.
#[derive(Deserialize, JsonSchema)]
pub struct ListQuery {
    /// `forbid` for those that keep a role away; those that give one unless given.
    effect: Option<String>,
    /// Only those behind this one.
    after: Option<String>,
}

/// GET …/decisions/exceptions
///
/// # Errors
/// The store's.
pub async fn list(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<ListQuery>) -> Result<Response> {
    let (now, here) = (app.clock.now(), seat.at("decisions/exceptions"));
    let forbids = query.effect.as_deref() == Some("forbid");
    let kind = if forbids { RulingKind::Forbid } else { RulingKind::Grant };
    let after = query.after.filter(|after| !after.contains('\0'));
    let asked = RulingQuery { kind: Some(kind), after, limit: PAGE_LINES + 1, ..RulingQuery::default() };
    let (rulings, next) = page_of(app.store.rulings(&seat.tenant.id, &asked).await?, PAGE_LINES, |ruling| ruling.id.clone());
    let active = super::active(&app, &seat).await?;
    let roles = catalogue(active.as_ref());
    let effect = if forbids { "forbid" } else { "" };
    let ways = [
        (here.clone(), "Give a role".to_owned(), !forbids),
        (with(&here, &[("effect", "forbid")]), "Keep a role away".to_owned(), forbids),
    ];
    let decides = super::may_about(&app, &seat, AdminAction::MakeException, roles.iter().map(|role| role.id.as_str())).await?;
    let body = html! {
        h1 { "Decisions" }
        (tabs(&seat, "decisions/exceptions"))
        (words::filters(&ways))
        @if rulings.is_empty() {
            (empty("No exception", &html! {
                "An exception gives somebody a role that no policy gives, or keeps one away, from a day to a day, with a reason and somebody who answers for it."
            }))
        } @else {
            (table(&seat, &rulings, roles, (decides, now)))
            (more(next.map(|next| with(&here, &[("effect", effect), ("after", &next)]))))
        }
        @if decides { (form(&seat, roles, now)) }
        @else { p.quiet { "Exceptions are made by those whom the admin policies let make them (makeException)." } }
    };
    Ok(Page { seat: &seat, section: Section::Decisions, title: "Exceptions", trail: &[], body }.into_response())
}

fn table(seat: &Seat, rulings: &[Ruling], roles: &[Role], (decides, now): (bool, Instant)) -> Markup {
    html! {
        form method="post" action=(seat.at("decisions/exceptions/end")) {
            (token(&seat.guest))
            table.stack {
                thead { tr {
                    @if decides { th scope="col" { input type="checkbox" data-ticks="exception" aria-label="Tick every exception on this page"; } }
                    th scope="col" { "Person" } th scope="col" { "Role" } th scope="col" { "Why" } th scope="col" { "From and until" }
                } }
                tbody data-rows {
                    @for ruling in rulings {
                        @let role = ruling.role.as_ref().map_or("", |role| role.as_str());
                        @let shown = ruling.user_name.as_deref().unwrap_or(ruling.account.as_str());
                        tr {
                            @if decides {
                                td { input type="checkbox" name="exception" value=(ruling.id) aria-label={ "Tick " (role) " of " (shown) }; }
                            }
                            td { (words::person(seat, ruling.account.as_str(), ruling.user_name.as_deref())) }
                            td { (words::role(roles, role)) }
                            td {
                                (ruling.reason.as_deref().unwrap_or_default())
                                br; span.quiet { "owner " (ruling.owner.as_deref().unwrap_or("nobody")) ", made by " (words::actor(&ruling.created_by)) }
                            }
                            td {
                                (When { at: ruling.starts.unwrap_or(ruling.created), now })
                                @if let Some(ends) = ruling.ends { br; "ends " (When { at: ends, now }) }
                            }
                        }
                    }
                }
            }
            @if decides { button.danger data-press="e" { "End the ticked ones now " kbd { "e" } } }
        }
    }
}

fn form(seat: &Seat, roles: &[Role], now: Instant) -> Markup {
    let person = seat.principal().scope.person.unwrap_or_default();
    html! {
        details.card {
            summary { "Make an exception" }
            form method="post" action=(seat.at("decisions/exceptions")) {
                (token(&seat.guest))
                div.two {
                    label { "Person " span.quiet { "(login name or account id)" } input type="text" name="account" required; }
                    label { "Role" select name="role" { @for role in roles { option value=(role.id) { (role.id) } } } }
                    label { "What it does" select name="effect" {
                        option value="grant" { "Gives the role although no policy does" }
                        option value="forbid" { "Keeps the role away although a policy gives it" }
                    } }
                    label { "From " span.quiet { "(left empty: now)" } input type="date" name="starts"; }
                    label { "Until and with " span.quiet { "(at most 366 days)" }
                        input type="date" name="ends" required value=(date_after(now, SUGGESTED_DAYS)); }
                    label { "Who answers for it" input type="text" name="owner" required value=(person); }
                }
                label { "Why" textarea name="reason" required maxlength="1000" {} }
                p.quiet { "A policy’s forbid wins over it, and a privileged role needs its approval all the same. It can be ended here at any time." }
                button.main { "Make the exception" }
            }
        }
    }
}

/// POST …/decisions/exceptions
///
/// # Errors
/// Those that no other input would avoid.
pub async fn make(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    let forbids = sent.get("effect") == Some("forbid");
    let made = async {
        let zone = seat.zone(&app).await?;
        let wanted = WantedException {
            account: sent.needed("account", "Person")?.to_owned(),
            role: RoleId::from(sent.needed("role", "Role")?),
            grants: !forbids,
            starts: sent_moment(&sent, &zone, ("starts", "From", Edge::Beginning))?,
            ends: needed_moment(&sent, &zone, ("ends", "Until and with", Edge::End))?,
            reason: sent.needed("reason", "Why")?.to_owned(),
            owner: sent.needed("owner", "Who answers for it")?.to_owned(),
        };
        let made = governance::make_exception(&app, &seat.tenant.id, &seat.principal(), wanted).await?;
        let role = made.role.as_ref().map_or("", |role| role.as_str());
        let until = made.ends.map(|ends| words::last_day(ends, &zone)).unwrap_or_default();
        Ok(format!(
            "{}: {role} is {} until and with {until}",
            made.user_name.unwrap_or_default(),
            if forbids { "kept away" } else { "given" }
        ))
    };
    answered(&with(&seat.at("decisions/exceptions"), &[("effect", if forbids { "forbid" } else { "" })]), made.await)
}

/// POST …/decisions/exceptions/end
///
/// # Errors
/// Those that no other input would avoid.
pub async fn end(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    let ended = async {
        let mut came_to = CameTo::of(sent.all("exception").count())?;
        for id in sent.all("exception") {
            came_to.count(governance::end_exception(&app, &seat.tenant.id, &seat.principal(), id).await)?;
        }
        came_to.told("ended")
    };
    answered(&seat.at("decisions/exceptions"), ended.await)
}
