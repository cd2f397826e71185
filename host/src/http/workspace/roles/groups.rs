//! Handles: which group each stands for, which wait for a person's yes, and which policies name although no group has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::super::form::{Sent, answer};
use super::super::page::{Page, Section, When, badge, empty, more, token};
use super::super::path;
use super::super::seat::{Rights, Seat};
use super::{PartQuery, SHOWN, filter, tabs};
use crate::app::App;
use crate::http::error::Result;
use crate::http::query::{ApiQuery, At};
use crate::model::{AdminAction, Handle, Instant};
use crate::store::HandleBinding;
use crate::tenancy;

/// What the lists are rendered with.
struct Seen<'s> {
    seat: &'s Seat,
    rights: Rights,
    now: Instant,
    /// The policies that name a handle.
    named: BTreeMap<String, Vec<String>>,
    /// The names of connections, by id.
    connections: BTreeMap<String, String>,
}

/// GET /workspace/t/{tenant}/groups
///
/// # Errors
/// The store's.
pub async fn show(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<PartQuery>) -> Result<Response> {
    let tenant = &seat.tenant.id;
    let bindings = app.store.handles(tenant).await?;
    let connections = app.store.connections(tenant).await?.into_iter().map(|known| (known.id.0, known.name)).collect();
    let revision = tenancy::active_revision(&app, tenant).await?;
    let handles = revision.as_ref().map(|revision| revision.policies.handles()).unwrap_or_default();
    let named: BTreeMap<String, Vec<String>> =
        handles.into_iter().map(|(handle, policies)| (handle.to_owned(), policies.into_iter().map(str::to_owned).collect())).collect();
    let dangling: Vec<String> =
        named.keys().filter(|handle| bindings.binary_search_by(|binding| binding.handle.as_str().cmp(handle)).is_err()).cloned().collect();
    let (waiting, others): (Vec<_>, Vec<_>) = bindings
        .iter()
        .filter(|binding| query.fits(&format!("{} {}", binding.handle, binding.display_name)))
        .partition(|binding| !binding.confirmed);
    let seen = Seen { rights: seat.rights(&app).await?, now: app.clock.now(), named, connections, seat: &seat };
    let shown: Vec<&HandleBinding> = others.into_iter().filter(|binding| binding.handle.as_str() > query.after.as_str()).collect();
    let last = shown.get(SHOWN - 1).filter(|_| shown.len() > SHOWN);
    let body = html! {
        h1 { "Groups and roles" }
        (tabs(&seat, "groups"))
        p { "Policies name a " strong { "handle" } " of a group. It is bound to the group once, by its name, and stays with it when the group is renamed." }
        @if bindings.is_empty() && dangling.is_empty() {
            (empty("No groups yet", &html! { "Groups come over a " a href=(seat.at("connections")) { "connection" } ": assign some to the application at the identity provider." }))
        } @else {
            (filter(&query, "Words of a handle or a group’s name"))
            (unconfirmed(&seen, &waiting[..waiting.len().min(SHOWN)]))
            (missing(&seen, &dangling, &query))
            h2 { "Groups with a handle" }
            @if shown.is_empty() { p { "None." } } @else { (table(&seen, &shown[..shown.len().min(SHOWN)])) }
            (more(last.map(|last| path::with(&seat.at("groups"), &[("q", &query.q), ("after", last.handle.as_str())]))))
        }
    };
    Ok(Page { seat: &seat, section: Section::Roles, title: "Groups", trail: &[], body }.into_response())
}

/// POST /workspace/t/{tenant}/groups/{handle}/confirm
///
/// # Errors
/// The store's.
pub async fn confirm(seat: Seat, State(app): State<Arc<App>>, At((_, handle)): At<(String, Handle)>, _: Sent) -> Result<Response> {
    let work = async {
        seat.ask(&app, AdminAction::ConfirmHandles).await?;
        let binding = tenancy::handles::confirm(&app, &seat.tenant.id, &handle, &seat.principal().actor()).await?;
        Ok(format!("{handle} is the group “{}”: its members are decided about now.", binding.display_name))
    };
    answer(&seat.at("groups"), work.await)
}

fn unconfirmed(seen: &Seen<'_>, waiting: &[&HandleBinding]) -> Markup {
    let may = seen.rights.may(AdminAction::ConfirmHandles);
    html! {
        @if !waiting.is_empty() {
            section.card {
                h2 { "Wait for a yes " span.count { (waiting.len()) } }
                p {
                    "A privileged role hangs on these groups, and a name can be chosen by whoever may create groups. Their members count for nothing until somebody says that it is the right group."
                    @if !may { " That takes the right " code { (AdminAction::ConfirmHandles) } ": tenant owners and policy authors have it." }
                }
                ul.lines {
                    @for binding in waiting {
                        li {
                            code { (binding.handle) } " is to be the group “" (binding.display_name) "” of " (connection(seen, binding))
                            " " span.quiet { "SCIM id " code { (binding.group) } @if let Some(id) = &binding.external_id { ", external id " code { (id) } } ", bound " (When { at: binding.bound, now: seen.now }) }
                            @if may {
                                " "
                                form.inline method="post" action=(seen.seat.at(&format!("groups/{}/confirm", path::segment(binding.handle.as_str())))) {
                                    (token(&seen.seat.guest)) button.main { "Yes, " (binding.handle) " is that group" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Handles that policies name and no group has.
fn missing(seen: &Seen<'_>, dangling: &[String], query: &PartQuery) -> Markup {
    let fitting: Vec<&String> = dangling.iter().filter(|handle| query.fits(handle)).take(SHOWN).collect();
    html! {
        @if !fitting.is_empty() {
            section.card {
                h2 { "Named by policies, and no group has them " span.count { (fitting.len()) } }
                p { "Nobody is in these groups, for policies. Assign the group at the identity provider, declare its name in " code { "tenant.toml" } " under " code { "[groups]" } ", or correct the policy." }
                ul.lines { @for handle in fitting { li { (badge("dangling")) " " code { (handle) } " " span.quiet { "in " (policies(seen, handle)) } } } }
            }
        }
    }
}

fn connection(seen: &Seen<'_>, binding: &HandleBinding) -> Markup {
    let id = binding.connection.as_str();
    html! { a href=(seen.seat.at(&format!("connections/{id}"))) { (seen.connections.get(id).map_or(id, String::as_str)) } }
}

fn policies(seen: &Seen<'_>, handle: &str) -> Markup {
    let policies = seen.named.get(handle).map_or(&[][..], Vec::as_slice);
    html! { @for (number, policy) in policies.iter().enumerate() { @if number > 0 { ", " } code { (policy) } } }
}

fn table(seen: &Seen<'_>, bindings: &[&HandleBinding]) -> Markup {
    html! {
        table.stack {
            thead { tr { th scope="col" { "Handle" } th scope="col" { "Group" } th scope="col" { "Connection" } th scope="col" { "Policies that name it" } } }
            tbody data-rows {
                @for binding in bindings {
                    tr {
                        td { code { (binding.handle) } }
                        td { (binding.display_name) }
                        td { (connection(seen, binding)) }
                        td { @if seen.named.contains_key(binding.handle.as_str()) { (policies(seen, binding.handle.as_str())) } @else { span.quiet { "none" } } }
                    }
                }
            }
        }
    }
}
