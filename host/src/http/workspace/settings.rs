//! Settings of a tenant: who is signed in, where events go, and how the same is done by the API and the command line. A section each.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::connections::columns;
use super::form::{Sent, answer};
use super::guides::copied;
use super::page::{Page, Section, When, badge, heading, token};
use super::seat::{Rights, Seat};
use crate::app::App;
use crate::http::api::targets::{TargetWrite, set};
use crate::http::error::{Error, Result};
use crate::http::query::At;
use crate::http::routes::{Route, get, post};
use crate::model::{AdminAction, Instant};
use crate::store::{Receipt, Session, Target};
use crate::tenancy::visitors;

/// How many of the newest events are looked at to say how a target does.
const RECEIPT_EVENTS: i64 = 20;

/// The pages of settings, and what their forms send.
pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/settings", "settings_page", "Who is signed in, where events go, how the API is called", show),
        post("/workspace/t/{tenant}/settings/sessions/{session}/end", "end_session_form", "Ends somebody's session", end_session),
        post("/workspace/t/{tenant}/settings/targets", "make_target_form", "Makes a target and shows its secret, once", make_target),
        post("/workspace/t/{tenant}/settings/targets/{target}", "switch_target_form", "Pauses a target, or goes on with it", switch_target),
    ]
}

/// GET …/settings
///
/// # Errors
/// The store's.
pub async fn show(seat: Seat, State(app): State<Arc<App>>) -> Result<Response> {
    let (now, rights, tenant) = (app.clock.now(), seat.rights(&app).await?, &seat.tenant.id);
    let sessions = visitors::sessions(&app, Some(tenant)).await?;
    let (targets, receipts) = (app.store.targets(tenant).await?, app.store.receipts(tenant, RECEIPT_EVENTS).await?);
    let body = html! {
        (heading("Settings", &html! {}))
        (people_in(&seat, &sessions, &rights, now))
        (webhooks(&seat, (&targets, &receipts), &rights, now))
        (elsewhere(&seat))
    };
    Ok(Page { seat: &seat, section: Section::Settings, title: "Settings", trail: &[], body }.into_response())
}

fn people_in(seat: &Seat, sessions: &[Session], rights: &Rights, now: Instant) -> Markup {
    let own = &seat.guest.visitor.session.id;
    html! {
        section.card {
            h2 { "Who is signed in" }
            p.quiet { "Sessions of this tenant. Operators of the platform have theirs elsewhere." }
            @if sessions.is_empty() { p { "Nobody of this tenant is signed in." } }
            @else {
                table.stack {
                    (columns(&["Who", "May", "Began", "Last used", "Ends", "End it"]))
                    tbody {
                        @for session in sessions {
                            tr {
                                th scope="row" { (session.name) @if session.id == *own { " " span.badge { "you" } } }
                                td { (may(session)) }
                                td { "began " (When { at: session.created, now }) " by " (session.via) }
                                td { "used " (When { at: session.last_used, now }) }
                                td { "ends " (When { at: session.expires, now }) }
                                td {
                                    @if rights.may(AdminAction::ManageTenant) || session.id == *own {
                                        form.inline method="post" action=(seat.at(&format!("settings/sessions/{}/end", session.id))) {
                                            (token(&seat.guest))
                                            button aria-label=(format!("End the session of {}", session.name)) { "End" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn may(session: &Session) -> String {
    let roles: Vec<&str> = session.scope.admin_roles.iter().map(String::as_str).collect();
    match (session.scope.write, roles.is_empty()) {
        (true, _) => "everything".to_owned(),
        (false, true) => "read".to_owned(),
        (false, false) => roles.join(", "),
    }
}

fn webhooks(seat: &Seat, (targets, receipts): (&[Target], &[Receipt]), rights: &Rights, now: Instant) -> Markup {
    let allowed = rights.may(AdminAction::ManageTargets);
    html! {
        section.card {
            h2 { "Where events go" }
            p { "A target is told of every change as a signed webhook (Standard Webhooks), leavers first." }
            @if targets.is_empty() { p.quiet { "There is none yet: downstream systems would learn of nothing." } }
            @else {
                table.stack {
                    (columns(&["Target", "Address", "Last delivery", "Pause"]))
                    tbody {
                        @for target in targets {
                            tr {
                                th scope="row" { (target.id) " " (badge(if target.enabled { "active" } else { "paused" })) }
                                td { (target.url) }
                                td { (delivered(target, receipts, now)) }
                                td {
                                    @if allowed {
                                        form.inline method="post" action=(seat.at(&format!("settings/targets/{}", target.id))) {
                                            (token(&seat.guest))
                                            input type="hidden" name="enabled" value=(if target.enabled { "no" } else { "yes" });
                                            @if target.enabled { button aria-label=(format!("Pause {}", target.id)) { "Pause" } }
                                            @else { button aria-label=(format!("Go on with {}", target.id)) { "Go on" } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if allowed {
                details {
                    summary { "Make a target" }
                    form method="post" action=(seat.at("settings/targets")) {
                        (token(&seat.guest))
                        label { "Id " span.quiet { "letters, digits and -_." } input type="text" name="id" required maxlength="63" placeholder="billing"; }
                        label { "Address" input type="url" name="url" required placeholder="https://…"; }
                        button { "Make it and show its secret" }
                    }
                }
            } @else { p.quiet { "Whoever may manage targets makes and pauses them." } }
        }
    }
}

/// How the newest events came there.
fn delivered(target: &Target, receipts: &[Receipt], now: Instant) -> Markup {
    let own: Vec<&Receipt> = receipts.iter().filter(|receipt| receipt.target == target.id).collect();
    let last = own.iter().filter(|receipt| receipt.finished.is_some()).max_by_key(|receipt| receipt.finished);
    let waiting: Vec<&&Receipt> = own.iter().filter(|receipt| receipt.state == "waiting").collect();
    html! {
        @match last {
            Some(receipt) => {
                (receipt.kind) " " @if receipt.state == "dead" { (badge("failed")) " given up" } @else { "acknowledged" }
                @if let Some(at) = receipt.finished { " " (When { at, now }) }
                @if let Some(problem) = &receipt.problem { ": " (problem) }
            }
            None => span.quiet { "none of the newest " (RECEIPT_EVENTS) " events" },
        }
        @if !waiting.is_empty() {
            br; (badge("waiting")) " " (waiting.len()) " of the newest " (RECEIPT_EVENTS) " events"
            @if let Some(problem) = waiting.iter().find_map(|receipt| receipt.problem.as_ref()) { ": " (problem) }
        }
    }
}

fn elsewhere(seat: &Seat) -> Markup {
    let (tenant, root) = (&seat.tenant.id, seat.guest.urls.root());
    html! {
        section.card {
            h2 { "By the API and the command line" }
            p { "Whatever is done here can be done there as well. " a href="/api/openapi.json" { "The API as an OpenAPI document" } "." }
            dl.pairs {
                dt { "API of this tenant" } dd { (copied("api", &format!("{root}/api/v1/tenants/{tenant}"), false)) }
                dt { "Command line" } dd { code { "rolecall --help" } "; each command takes " code { "--tenant " (tenant) } }
                dt { "Documentation" } dd { code { "docs/" } " beside the program: api.md, operators.md, first-sync.md and one page for each subject" }
            }
        }
    }
}

/// POST …/settings/sessions/{session}/end
///
/// # Errors
/// Those that no other input would avoid.
pub async fn end_session(seat: Seat, State(app): State<Arc<App>>, At((_, session)): At<(String, String)>, _: Sent) -> Result<Response> {
    let done = async {
        if seat.guest.visitor.session.id != session {
            seat.ask(&app, AdminAction::ManageTenant).await?;
        }
        visitors::end(&app, Some(&seat.tenant.id), &session).await?;
        Ok("The session has ended.")
    };
    answer(&seat.at("settings"), done.await)
}

/// POST …/settings/targets
///
/// # Errors
/// Those that no other input would avoid.
pub async fn make_target(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageTargets).await?;
        let (id, url) = (sent.needed("id", "Id")?.to_owned(), sent.needed("url", "Address")?.to_owned());
        if app.store.targets(&seat.tenant.id).await?.iter().any(|target| target.id == id) {
            return Err(Error::bad_request(format!("there is a target `{id}` already: choose another id"), "a target's id is taken"));
        }
        let made = set(&app, &seat.tenant.id, id.clone(), TargetWrite { url, secret: None, enabled: Some(true) }).await?;
        Ok((id, made.secret.unwrap_or_default()))
    };
    let (id, secret) = match done.await {
        Ok(made) => made,
        Err(error) => return answer(&seat.at("settings"), Err::<String, _>(error)),
    };
    let body = html! {
        (heading("The target is made", &html! {}))
        section.card {
            p { "Events go to “" (id) "” from now on. It checks their signatures with this secret:" }
            (copied("secret", &secret, true))
            p { a href=(seat.at("settings")) { "Back to the settings" } }
        }
    };
    let trail = [("Settings", seat.at("settings"))];
    Ok(Page { seat: &seat, section: Section::Settings, title: "The target is made", trail: &trail, body }.into_response())
}

/// POST …/settings/targets/{target}
///
/// # Errors
/// Those that no other input would avoid.
pub async fn switch_target(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageTargets).await?;
        let known = app.store.targets(&seat.tenant.id).await?.into_iter().find(|target| target.id == id);
        let Some(known) = known else { return Err(Error::not_found("such target")) };
        let enabled = sent.get("enabled") == Some("yes");
        set(&app, &seat.tenant.id, id, TargetWrite { url: known.url, secret: None, enabled: Some(enabled) }).await?;
        Ok(if enabled { "Deliveries go on, with what has waited." } else { "Paused: events wait until it goes on." })
    };
    answer(&seat.at("settings"), done.await)
}
