//! Decisions: what waits for a person's word. Holds, approvals, reviews and exceptions are lists that are gone through with the keyboard, each
//! line with what one has to know beside it.

mod approvals;
mod exceptions;
mod holds;
mod lines;
mod reviews;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::page::{Page, Section, When, badge};
use super::path;
use super::seat::Seat;
use super::words;
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::query::At;
use crate::http::routes::{Route, get, post};
use crate::model::{AdminAction, GrantState};
use crate::policies::Role;
use crate::revision::Revision;
use crate::tenancy;
use crate::tenancy::admin::Asked;

/// The pages, and what their forms send.
pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/decisions", "decisions", "What the guard has held", holds::list),
        get("/workspace/t/{tenant}/decisions/holds/{hold}", "decide_hold", "One hold, and who waits in it", holds::show),
        post("/workspace/t/{tenant}/decisions/holds/{hold}", "send_hold", "Releases or rejects a hold, or a part of it", holds::answer),
        get("/workspace/t/{tenant}/decisions/approvals", "decide_approvals", "Roles that wait for a yes", approvals::list),
        post("/workspace/t/{tenant}/decisions/approvals", "send_approvals", "Says yes or no to requests", approvals::answer),
        get("/workspace/t/{tenant}/decisions/evidence/{account}/{role}", "evidence", "Why somebody has a role, or is to have it", evidence),
        get("/workspace/t/{tenant}/decisions/exceptions", "decide_exceptions", "What people have said against policies", exceptions::list),
        post("/workspace/t/{tenant}/decisions/exceptions", "send_exception", "Makes an exception", exceptions::make),
        post("/workspace/t/{tenant}/decisions/exceptions/end", "send_exceptions_end", "Ends exceptions", exceptions::end),
        get("/workspace/t/{tenant}/decisions/reviews", "decide_reviews", "Reviews and how far they are", reviews::list),
        get("/workspace/t/{tenant}/decisions/reviews/new", "new_review", "A review to be set up", reviews::new),
        post("/workspace/t/{tenant}/decisions/reviews", "send_review", "Sets a review up", reviews::create),
        get("/workspace/t/{tenant}/decisions/reviews/{review}", "decide_review", "One review and its lines", lines::show),
        post("/workspace/t/{tenant}/decisions/reviews/{review}", "send_lines", "Says of lines whether roles stay", lines::decide),
        post("/workspace/t/{tenant}/decisions/reviews/{review}/reassign", "send_reassignment", "Hands lines on", lines::reassign),
        post("/workspace/t/{tenant}/decisions/reviews/{review}/close", "send_closing", "Closes a review early", lines::close),
        get("/workspace/t/{tenant}/decisions/reviews/{review}/export", "download_review", "A review as a file", reviews::export),
    ]
}

/// The tabs of the room.
fn tabs(seat: &Seat, here: &str) -> Markup {
    let all = [
        ("decisions", "Holds"),
        ("decisions/approvals", "Approvals"),
        ("decisions/reviews", "Reviews"),
        ("decisions/exceptions", "Exceptions"),
    ];
    words::tabs(seat, "Decisions", here, &all)
}

/// The roles that the tenant's active revision knows.
fn catalogue(revision: Option<&Arc<Revision>>) -> &[Role] {
    revision.map_or(&[], |revision| revision.policies.roles())
}

/// Whether somebody may do that about one of these roles at least, whether it gives or takes: who may about none is offered nothing.
async fn may_about(app: &Arc<App>, seat: &Seat, action: AdminAction, roles: impl IntoIterator<Item = &str>) -> Result<bool> {
    let roles: BTreeSet<&str> = roles.into_iter().collect();
    let about: Vec<[(&str, bool); 1]> = roles.iter().flat_map(|role| [[(*role, true)], [(*role, false)]]).collect();
    seat.may(app, action, &about.iter().map(|one| Asked::Roles(one)).collect::<Vec<_>>()).await
}

async fn active(app: &Arc<App>, seat: &Seat) -> Result<Option<Arc<Revision>>> {
    Ok(tenancy::active_revision(app, &seat.tenant.id).await?)
}

/// The link beside a line that shows why; where scripts run it is replaced by what it leads to.
fn why(seat: &Seat, account: &str, role: &str) -> Markup {
    let to = seat.at(&format!("decisions/evidence/{}/{}", path::segment(account), path::segment(role)));
    html! { a href=(to) hx-get=(to) hx-select="#evidence" hx-swap="outerHTML" { "Why?" } }
}

/// GET …/decisions/evidence/{account}/{role}
///
/// # Errors
/// 404.
pub async fn evidence(seat: Seat, State(app): State<Arc<App>>, At((_, account, role)): At<(String, String, String)>) -> Result<Response> {
    let now = app.clock.now();
    let view = app.store.account(&seat.tenant.id, &account).await?.ok_or_else(|| Error::not_found("such account"))?;
    let grant = view.grants.iter().find(|grant| grant.role.as_str() == role);
    let body = html! {
        h1 { code { (role) } " for " (view.account.user_name.as_deref().unwrap_or(view.account.id.as_str())) }
        div #evidence {
            @match grant {
                Some(grant) => {
                    p {
                        (badge(grant.state.word()))
                        @if grant.state == GrantState::Pending { " not in effect" }
                        " since " (When { at: grant.since, now })
                    }
                    (words::reasons(&grant.reasons))
                }
                None => p.quiet { "No grant of the role stands: nothing gives it at present." },
            }
        }
        p { (words::person(&seat, view.account.id.as_str(), Some("Everything about the person"))) }
    };
    let trail = [("Decisions", seat.at("decisions"))];
    Ok(Page { seat: &seat, section: Section::Decisions, title: "Why", trail: &trail, body }.into_response())
}
