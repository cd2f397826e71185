//! Settings of a tenant: who is signed in, where events go, and how the same is done by the API and the command line. A section each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::form::{Sent, answer};
use super::guides::copied;
use super::page::{Page, Section, When, badge, columns, heading, token};
use super::seat::{Rights, Seat};
use crate::app::App;
use crate::http::api::targets::{TargetWrite, remove, set};
use crate::http::error::{Error, Result};
use crate::http::query::At;
use crate::http::routes::{Route, get, post};
use crate::model::{AdminAction, Instant};
use crate::store::{API_TOKENS_AT_ONCE, ApiScope, ApiTokenInfo, Receipt, Session, Target};
use crate::tenancy::sign_in::{self, Known, ProviderSettings};
use crate::tenancy::visitors;

/// How many of the newest events are looked at to say how a target does.
const RECEIPT_EVENTS: i64 = 20;

/// The pages of settings, and what their forms send.
pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/settings", "settings_page", "Who is signed in, where events go, how the API is called", show),
        post("/workspace/t/{tenant}/settings/sessions/{session}/end", "end_session_form", "Ends somebody's session", end_session),
        post("/workspace/t/{tenant}/settings/providers", "set_provider_form", "Sets a provider that people sign in with", set_provider),
        post(
            "/workspace/t/{tenant}/settings/providers/{provider}/remove",
            "remove_provider_form",
            "Nobody new signs in with it",
            remove_provider,
        ),
        post("/workspace/t/{tenant}/settings/tokens/{token}/end", "end_token_form", "Ends an API token", end_token),
        post("/workspace/t/{tenant}/settings/targets", "make_target_form", "Makes a target and shows its secret, once", make_target),
        post("/workspace/t/{tenant}/settings/targets/{target}", "switch_target_form", "Pauses a target, or goes on with it", switch_target),
        post("/workspace/t/{tenant}/settings/targets/{target}/remove", "remove_target_form", "Removes a target", remove_target),
    ]
}

/// GET …/settings
///
/// # Errors
/// The store's.
pub async fn show(seat: Seat, State(app): State<Arc<App>>) -> Result<Response> {
    let (now, rights, tenant) = (app.clock.now(), seat.rights(&app).await?, &seat.tenant.id);
    let sessions = visitors::sessions(&app, Some(tenant)).await?;
    let known = sign_in::providers(&app, Some(tenant)).await?;
    let tokens = app.store.api_tokens(Some(tenant), None, API_TOKENS_AT_ONCE).await?;
    let (targets, receipts) = (app.store.targets(tenant).await?, app.store.receipts(tenant, RECEIPT_EVENTS).await?);
    let body = html! {
        (heading("Settings", &html! {}))
        (people_in(&seat, &sessions, &rights, now))
        (providers(&seat, &known, &rights))
        (api_tokens(&seat, &tokens, &rights, now))
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
                                td { (may(&session.scope)) }
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

/// With what people sign in by themselves.
fn providers(seat: &Seat, known: &[Known], rights: &Rights) -> Markup {
    let allowed = rights.may(AdminAction::ManageTenant);
    let groups = |known: &Known| {
        let one = |(group, roles): (&String, &BTreeSet<String>)| {
            format!("{group} gives {}", roles.iter().cloned().collect::<Vec<_>>().join(", "))
        };
        known.settings.roles.iter().map(one).collect::<Vec<_>>().join("; ")
    };
    html! {
        section.card {
            h2 { "With what people sign in" }
            p {
                "OpenID providers. Register Rolecall there as a web application with the redirect address "
                code { (seat.guest.urls.root()) "/workspace/callback" } "; people begin at "
                code { (seat.guest.urls.root()) "/workspace/sign-in?tenant=" (seat.tenant.id) } "."
            }
            @if known.is_empty() { p.quiet { "There is none yet: people come in by links that an operator makes." } }
            @else {
                table.stack {
                    (columns(&["Provider", "Issuer", "Groups", "Remove"]))
                    tbody {
                        @for one in known {
                            tr {
                                th scope="row" { (one.settings.name) " " code { (one.own_id) } }
                                td { (one.settings.issuer) }
                                td { (groups(one)) }
                                td {
                                    @if allowed {
                                        form.inline method="post" action=(seat.at(&format!("settings/providers/{}/remove", one.own_id))) {
                                            (token(&seat.guest))
                                            button.danger aria-label=(format!("Remove {}", one.settings.name)) { "Remove" }
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
                    summary { "Set a provider" }
                    form method="post" action=(seat.at("settings/providers")) {
                        (token(&seat.guest))
                        label { "Id " span.quiet { "(lower-case letters, digits, hyphens; one that is there is replaced)" } input type="text" name="id" required maxlength="63"; }
                        label { "Name on the button" input type="text" name="name" required maxlength="200"; }
                        label { "Issuer" input type="url" name="issuer" required placeholder="https://login.example.com/tenant"; }
                        label { "Client id" input type="text" name="client_id" required; }
                        label { "Client secret " span.quiet { "(left empty: the one that is known, or none)" } input type="password" name="client_secret" autocomplete="off"; }
                        label { "Claim that names the person" input type="text" name="person_claim" value="email" required; }
                        label { "Claim with the groups" input type="text" name="groups_claim" value="groups" required; }
                        label { "Groups and the admin roles that they give " span.quiet { "(one a line: group = role)" }
                            textarea name="roles" required placeholder="rolecall-owners = tenant-owner" {} }
                        button { "Set it" }
                    }
                }
            }
        }
    }
}

/// POST …/settings/providers
///
/// # Errors
/// Those that no other input would avoid.
pub async fn set_provider(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        let settings = ProviderSettings {
            name: sent.needed("name", "Name on the button")?.to_owned(),
            issuer: sent.needed("issuer", "Issuer")?.to_owned(),
            client_id: sent.needed("client_id", "Client id")?.to_owned(),
            scopes: sign_in::usual_scopes(),
            person_claim: sent.needed("person_claim", "Claim that names the person")?.to_owned(),
            groups_claim: sent.needed("groups_claim", "Claim with the groups")?.to_owned(),
            roles: roles_of(sent.needed("roles", "Groups and the admin roles that they give")?)?,
        };
        let id = sent.needed("id", "Id")?;
        sign_in::put_provider(&app, Some(&seat.tenant.id), id, &settings, sent.get("client_secret"), &seat.principal().actor()).await?;
        Ok("It is set: people may sign in with it now.")
    };
    answer(&seat.at("settings"), done.await)
}

/// Lines of `group = role`.
fn roles_of(text: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let pair = line.rsplit_once('=').map(|(group, role)| (group.trim(), role.trim()));
        let Some((group, role)) = pair.filter(|(group, role)| !group.is_empty() && !role.is_empty()) else {
            let detail = format!("line {} of the groups is `{}`: write `group = role`", number + 1, line.trim());
            return Err(Error::bad_request(detail, "a line of groups is malformed"));
        };
        roles.entry(group.to_owned()).or_default().insert(role.to_owned());
    }
    Ok(roles)
}

/// POST …/settings/providers/{provider}/remove
///
/// # Errors
/// Those that no other input would avoid.
pub async fn remove_provider(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>, _: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        sign_in::remove_provider(&app, Some(&seat.tenant.id), &id, &seat.principal().actor()).await?;
        Ok("Nobody new signs in with it. Sessions that are open go on until they end.")
    };
    answer(&seat.at("settings"), done.await)
}

/// The tenant's API tokens, as far as one page shows.
fn api_tokens(seat: &Seat, tokens: &[ApiTokenInfo], rights: &Rights, now: Instant) -> Markup {
    html! {
        section.card {
            h2 { "API tokens" }
            p.quiet { "Those of this tenant. Each was shown once, when it was made; operators of the platform make them, and have their own elsewhere." }
            @if tokens.is_empty() { p { "There is none." } }
            @else {
                table.stack {
                    (columns(&["Token", "May", "Made", "Last used", "Ends", "End it"]))
                    tbody {
                        @for one in tokens {
                            tr {
                                th scope="row" { @if let Some(name) = &one.name { (name) " " } code { (one.id) } }
                                td { (may(&one.scope)) @if let Some(person) = &one.scope.person { " for " (person) } }
                                td { "made " (When { at: one.created, now }) @if let Some(by) = &one.created_by { " by " (by.kind) " " (by.id) } }
                                td { @match one.last_used { Some(at) => { "used " (When { at, now }) } None => span.quiet { "never used" } } }
                                td { @match one.expires { Some(at) => { "ends " (When { at, now }) } None => span.quiet { "never ends" } } }
                                td {
                                    @if rights.may(AdminAction::ManageTenant) {
                                        form.inline method="post" action=(seat.at(&format!("settings/tokens/{}/end", one.id))) {
                                            (token(&seat.guest))
                                            button.danger aria-label=(format!("End token {}", one.name.as_deref().unwrap_or(&one.id))) { "End" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                @if i64::try_from(tokens.len()).is_ok_and(|found| found >= API_TOKENS_AT_ONCE) {
                    p.quiet { "There may be more: " code { "rolecall token list --tenant " (seat.tenant.id) } " shows all." }
                }
            }
        }
    }
}

/// POST …/settings/tokens/{token}/end
///
/// # Errors
/// Those that no other input would avoid.
pub async fn end_token(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>, _: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        app.store.end_api_token(Some(&seat.tenant.id), &id, &seat.principal().actor(), app.clock.now()).await?;
        app.wake.notify_one();
        Ok("The token is good no more.")
    };
    answer(&seat.at("settings"), done.await)
}

fn may(scope: &ApiScope) -> String {
    let roles: Vec<&str> = scope.admin_roles.iter().map(String::as_str).collect();
    match (scope.write, roles.is_empty()) {
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
                    (columns(&["Target", "Address", "Last delivery", "Pause or remove"]))
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
                                        " "
                                        form.inline method="post" action=(seat.at(&format!("settings/targets/{}/remove", target.id))) {
                                            (token(&seat.guest))
                                            button.danger aria-label=(format!("Remove {}", target.id)) { "Remove" }
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
            } @else { p.quiet { "Whoever may manage targets makes, pauses and removes them." } }
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
        visitors::end(&app, Some(&seat.tenant.id), &session, &seat.principal().actor()).await?;
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
        let made =
            set(&app, &seat.tenant.id, id.clone(), TargetWrite { url, secret: None, enabled: Some(true) }, &seat.principal().actor())
                .await?;
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
        let wanted = TargetWrite { url: known.url, secret: None, enabled: Some(enabled) };
        set(&app, &seat.tenant.id, id, wanted, &seat.principal().actor()).await?;
        Ok(if enabled { "Deliveries go on, with what has waited." } else { "Paused: events wait until it goes on." })
    };
    answer(&seat.at("settings"), done.await)
}

/// POST …/settings/targets/{target}/remove
///
/// # Errors
/// Those that no other input would avoid.
pub async fn remove_target(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>, _: Sent) -> Result<Response> {
    let back = seat.at("settings");
    let done = async {
        seat.ask(&app, AdminAction::ManageTargets).await?;
        let (tenant, actor) = (seat.tenant.id.clone(), seat.principal().actor());
        remove(&app, tenant, id, actor).await?;
        Ok("It is told of nothing any more, and what waited for it is gone. What it has acknowledged stays known.")
    };
    answer(&back, done.await)
}
