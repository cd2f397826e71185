//! One role: what it is, which policies and groups give it, who has it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::page::{Page, Section, When, badge, more};
use super::super::path;
use super::super::seat::Seat;
use super::risk;
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At, page};
use crate::model::{AccountId, Instant, RoleId};
use crate::policies::{About, Whom};
use crate::store::Holder;
use crate::tenancy;

/// How many holders a page shows.
const HOLDERS_SHOWN: i64 = 50;
/// How far holders are counted.
const COUNTED: i64 = 1_000;

/// Which holders.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HolderQuery {
    /// Only those behind this account.
    #[serde(default)]
    after: String,
}

/// GET /workspace/t/{tenant}/roles/{role}
///
/// # Errors
/// 404 for a role that the catalogue does not have and nobody holds.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiQuery(query): ApiQuery<HolderQuery>,
) -> Result<Response> {
    let (tenant, role_id) = (&seat.tenant.id, RoleId(id.clone()));
    let revision = tenancy::active_revision(&app, tenant).await?;
    let after = Some(AccountId(query.after)).filter(|after| !after.as_str().is_empty());
    let found = app.store.role_holders(tenant, &role_id, after.as_ref(), HOLDERS_SHOWN + 1).await?;
    let (holders, next) = page(found, HOLDERS_SHOWN, |holder| holder.account.clone());
    let known = revision.as_ref().and_then(|revision| Some((revision.policies.role(&id)?, revision.policies.about_role(&id)?)));
    if known.is_none() && holders.is_empty() {
        return Err(Error::not_found("such role in the tenant’s catalogue"));
    }
    let count = app.store.count_role_holders(tenant, &role_id, COUNTED + 1).await?;
    let now = app.clock.now();
    let here = seat.at(&format!("roles/{}", path::segment(&id)));
    let body = html! {
        h1 { (id) }
        @match (&revision, &known) {
            (Some(revision), Some((role, about))) => {
                section.card {
                    @if !role.description.is_empty() { p.lead { (role.description) } }
                    dl.pairs {
                        dt { "Owner" } dd { (role.owner.as_deref().unwrap_or("nobody: name one in the catalogue, who reviews it")) }
                        dt { "Risk" } dd { (risk(role, &revision.approvals)) }
                        @if let Some(app) = &role.app { dt { "Application" } dd { (app) } }
                        @if !role.families.is_empty() { dt { "Families" } dd { (role.families.join(", ")) } }
                    }
                }
                section.card {
                    h2 { "Policies that can give it" }
                    @if about.permits.is_empty() { p.note { "No policy can give this role to anybody: write one, or take the role out of the catalogue." } }
                    (policies(&seat, &about.permits))
                    @if !about.forbids.is_empty() {
                        h2 { "Policies that can keep it away" }
                        (policies(&seat, &about.forbids))
                    }
                }
            },
            _ => p.note { "The active revision’s catalogue does not have this role: it goes from whoever has it still when they are decided again." },
        }
        h2 { "Who has it, or waits for it " span.count { (count.min(COUNTED)) @if count > COUNTED { "+" } } }
        @if holders.is_empty() { p { "Nobody" @if after.is_some() { " behind this place" } "." } }
        @else { (table(&seat, &holders, now)) (more(next.map(|next| path::with(&here, &[("after", next.as_str())])))) }
    };
    let trail = [("Groups and roles", seat.at("roles"))];
    Ok(Page { seat: &seat, section: Section::Roles, title: &id, trail: &trail, body }.into_response())
}

fn policies(seat: &Seat, about: &[About]) -> Markup {
    html! {
        ul.lines {
            @for policy in about {
                li {
                    code { (policy.policy) } @if let Some(reason) = &policy.reason { " " (reason) }
                    br;
                    @match &policy.whom {
                        Whom::Anyone => "Asked about everybody",
                        Whom::Group(handle) => { "Asked about members of " (group(seat, handle)) },
                        Whom::Person(id) => { "Asked about one person, SCIM id " code { (id) } },
                        Whom::Nobody => "Asked about nobody",
                    }
                    @let others: Vec<&String> = policy.groups.iter().filter(|handle| policy.whom != Whom::Group((*handle).clone())).collect();
                    @if !others.is_empty() { ", names " @for (number, handle) in others.iter().enumerate() { @if number > 0 { ", " } (group(seat, handle)) } }
                    @if policy.nominated { ", asks what the plugin nominates" }
                    @if let Some(asks) = &policy.approval { br; "A person is asked: “" (asks) "”" }
                }
            }
        }
    }
}

fn group(seat: &Seat, handle: &str) -> Markup {
    html! { a href=(path::with(&seat.at("groups"), &[("q", handle)])) { code { (handle) } } }
}

fn table(seat: &Seat, holders: &[Holder], now: Instant) -> Markup {
    html! {
        table.stack {
            thead { tr { th scope="col" { "Person" } th scope="col" { "Account" } th scope="col" { "The role is" } th scope="col" { "Since" } th scope="col" { "Why" } } }
            tbody data-rows {
                @for holder in holders {
                    @let to = seat.at(&format!("people/{}", holder.account));
                    tr {
                        td { a href=(to) { (holder.user_name.as_deref().unwrap_or(holder.account.as_str())) } }
                        td { (badge(holder.account_state.word())) }
                        td { (badge(holder.state.word())) }
                        td { (When { at: holder.since, now }) }
                        td { a href=(to) { "Reasons" span.skip { " for " (holder.account) } } }
                    }
                }
            }
        }
    }
}
