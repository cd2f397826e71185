//! Groups and roles: the catalogue, which handle stands for which group, and what stands for nothing.

mod groups;
mod role;
mod unused;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::page::{Page, Section, empty, more};
use super::seat::Seat;
use super::{path, words};
use crate::app::App;
use crate::http::error::Result;
use crate::http::query::ApiQuery;
use crate::http::routes::{Route, get, post};
use crate::model::ApprovalSettings;
use crate::policies::Role;
use crate::tenancy;

/// How many roles or groups a page shows.
const SHOWN: usize = 200;

/// The pages about groups and roles, and what their forms send.
pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/roles", "role_catalogue", "The roles that there are", catalogue),
        get("/workspace/t/{tenant}/roles/{role}", "role", "One role: who has it and what gives it", role::show),
        get("/workspace/t/{tenant}/groups", "groups", "Which handle stands for which group", groups::show),
        get("/workspace/t/{tenant}/groups/unused", "unused", "Groups and roles that stand for nothing", unused::show),
        post("/workspace/t/{tenant}/groups/{handle}/confirm", "confirm_group", "Confirms the handle of a group", groups::confirm),
    ]
}

/// Which part of a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartQuery {
    /// Only what has these words in it.
    #[serde(default)]
    q: String,
    /// Only what comes behind this one.
    #[serde(default)]
    after: String,
}

impl PartQuery {
    /// Whether all of the words stand in a text.
    fn fits(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.q.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

/// The three pages, one of which is this one.
fn tabs(seat: &Seat, here: &str) -> Markup {
    words::tabs(seat, "Groups and roles", here, &[("roles", "Roles"), ("groups", "Groups"), ("groups/unused", "Unused")])
}

fn filter(query: &PartQuery, label: &str) -> Markup {
    html! {
        form.search method="get" role="search" {
            input type="search" name="q" value=(query.q) aria-label=(label) placeholder=(label);
            button { "Search" }
        }
    }
}

/// What stands where the tenant has no revision that could be read.
fn without_revision(seat: &Seat) -> Markup {
    empty(
        "No revision",
        &html! { "Roles and policies come with a revision: apply one under " a href=(seat.at("mapping")) { "Mapping" } "." },
    )
}

/// GET /workspace/t/{tenant}/roles
///
/// # Errors
/// The store's.
pub async fn catalogue(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<PartQuery>) -> Result<Response> {
    let revision = tenancy::active_revision(&app, &seat.tenant.id).await?;
    let held = app.store.roles_held(&seat.tenant.id, tenancy::authoring::HELD_ROLES_LIMIT).await?;
    let held: Option<BTreeSet<String>> = held.map(|roles| roles.into_iter().map(|role| role.0).collect());
    let list = revision.map(|revision| {
        let words = |role: &Role| {
            format!("{} {} {} {}", role.id, role.description, role.owner.as_deref().unwrap_or_default(), role.families.join(" "))
        };
        let mut roles: Vec<Role> = revision.policies.roles().iter().filter(|role| query.fits(&words(role))).cloned().collect();
        roles.sort_by(|a, b| a.id.cmp(&b.id));
        (roles, revision.approvals.clone())
    });
    let body = html! {
        h1 { "Groups and roles" }
        (tabs(&seat, "roles"))
        @match &list {
            None => (without_revision(&seat)),
            Some((roles, approvals)) => {
                (filter(&query, "Words of a role, its description or owner"))
                @if roles.is_empty() {
                    (empty("No role", &html! { "The catalogue stands in " code { "tenant.toml" } " under " code { "[[roles]]" } "." }))
                } @else {
                    @let shown: Vec<&Role> = roles.iter().filter(|role| role.id > query.after).collect();
                    (table(&seat, &shown[..shown.len().min(SHOWN)], approvals, held.as_ref()))
                    @let last = shown.get(SHOWN - 1).filter(|_| shown.len() > SHOWN);
                    (more(last.map(|last| path::with(&seat.at("roles"), &[("q", &query.q), ("after", &last.id)]))))
                }
            },
        }
    };
    Ok(Page { seat: &seat, section: Section::Roles, title: "Roles", trail: &[], body }.into_response())
}

fn table(seat: &Seat, roles: &[&Role], approvals: &ApprovalSettings, held: Option<&BTreeSet<String>>) -> Markup {
    html! {
        table.stack {
            thead { tr { th scope="col" { "Role" } th scope="col" { "What it is for" } th scope="col" { "Owner" } th scope="col" { "Risk" } th scope="col" { "Held" } } }
            tbody data-rows {
                @for role in roles {
                    tr {
                        td {
                            a href=(seat.at(&format!("roles/{}", path::segment(&role.id)))) { (role.id) }
                            @if let Some(app) = &role.app { br; span.quiet { "in " (app) } }
                        }
                        td { (role.description) }
                        td { @match &role.owner { Some(owner) => (owner), None => span.quiet { "no owner" } } }
                        td { (risk(role, approvals)) }
                        td { @match held { Some(held) if held.contains(&role.id) => "held", Some(_) => span.quiet { "held by nobody" }, None => span.quiet { "not counted" } } }
                    }
                }
            }
        }
    }
}

/// How much care a role needs.
fn risk(role: &Role, approvals: &ApprovalSettings) -> Markup {
    html! {
        "risk " (role.risk)
        @if role.privileged { " " span.badge.warn { "privileged" } }
        @if role.needs_approval(approvals) { " " span.badge { "asks for approval" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_all_words_in_any_case() {
        let query = |q: &str| PartQuery { q: q.into(), after: String::new() };
        assert!(query("").fits("anything"));
        assert!(query("LEDGER read").fits("ledger-viewer Reads the ledger"));
        assert!(!query("ledger write").fits("ledger-viewer Reads the ledger"));
    }
}
