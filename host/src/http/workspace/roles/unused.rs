//! What stands for nothing: groups that no policy names, roles that no policy gives, roles that nobody has.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::super::page::{Page, Section};
use super::super::path;
use super::super::seat::Seat;
use super::{SHOWN, tabs, without_revision};
use crate::app::App;
use crate::http::error::Result;
use crate::revision::Revision;
use crate::store::HandleBinding;
use crate::tenancy::{self, authoring::HELD_ROLES_LIMIT};

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unused {
    /// Handles with their groups that no policy names.
    groups: Vec<(String, String)>,
    /// Roles that no policy can give.
    not_given: Vec<String>,
    /// Roles that some policy can give and nobody has; `None` where that is not known.
    not_held: Option<Vec<String>>,
}

/// GET /workspace/t/{tenant}/groups/unused
///
/// # Errors
/// The store's.
pub async fn show(seat: Seat, State(app): State<Arc<App>>) -> Result<Response> {
    let tenant = &seat.tenant.id;
    let revision = tenancy::active_revision(&app, tenant).await?;
    let handles = app.store.handles(tenant).await?;
    let held = app.store.roles_held(tenant, HELD_ROLES_LIMIT).await?;
    let held = held.map(|roles| roles.into_iter().map(|role| role.0).collect());
    let body = html! {
        h1 { "Groups and roles" }
        (tabs(&seat, "groups/unused"))
        @match &revision {
            None => (without_revision(&seat)),
            Some(revision) => (found(&seat, revision, &unused(revision, &handles, held.as_ref()))),
        }
    };
    Ok(Page { seat: &seat, section: Section::Roles, title: "Unused", trail: &[], body }.into_response())
}

fn unused(revision: &Revision, handles: &[HandleBinding], held: Option<&BTreeSet<String>>) -> Unused {
    let policies = &revision.policies;
    let named = policies.handles();
    let unnamed = handles.iter().filter(|binding| !named.contains_key(binding.handle.as_str()));
    let not_given: Vec<String> = policies.roles_without_permit().into_iter().map(|role| role.id.clone()).collect();
    let not_held = held.map(|held| {
        let unheld = policies.roles().iter().map(|role| &role.id).filter(|id| !held.contains(*id) && !not_given.contains(id));
        unheld.cloned().collect()
    });
    Unused { groups: unnamed.map(|binding| (binding.handle.0.clone(), binding.display_name.clone())).collect(), not_given, not_held }
}

fn found(seat: &Seat, revision: &Revision, unused: &Unused) -> Markup {
    html! {
        section.card {
            h2 { "Groups that no policy names " span.count { (unused.groups.len()) } }
            @if unused.groups.is_empty() { p { "None." } }
            @else {
                p {
                    "They need not be sent: take them out of the assignment at the identity provider, or write a policy."
                    @if revision.transform.is_some() || revision.propose.is_some() { " The plugin may still read them: look at its settings first." }
                }
                ul.lines { @for (handle, name) in unused.groups.iter().take(SHOWN) { li { code { (handle) } " " (name) } } }
                @if unused.groups.len() > SHOWN { p.quiet { (unused.groups.len() - SHOWN) " more." } }
            }
        }
        section.card {
            h2 { "Roles that no policy gives " span.count { (unused.not_given.len()) } }
            @if unused.not_given.is_empty() { p { "None." } }
            @else { p { "Only an exception can give them. Write a policy, or take them out of the catalogue." } (roles(seat, &unused.not_given)) }
        }
        section.card {
            h2 { "Roles that nobody has" }
            @match &unused.not_held {
                None => p { "People of this tenant hold too many roles to look at each of them." },
                Some(roles) if roles.is_empty() => p { "None." },
                Some(not_held) => { p { "Some policy could give them: see whom it misses." } (roles(seat, not_held)) },
            }
        }
    }
}

fn roles(seat: &Seat, roles: &[String]) -> Markup {
    html! { ul.lines { @for role in roles.iter().take(SHOWN) { li { a href=(seat.at(&format!("roles/{}", path::segment(role)))) { (role) } } } } }
}
