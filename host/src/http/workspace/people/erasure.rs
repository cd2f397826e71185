//! Erasing what is personal of somebody who was removed: what goes, what stays, and a reference that is asked for.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::super::form::{Sent, answer};
use super::super::page::{Page, Section, token};
use super::super::seat::Seat;
use super::person::view;
use super::words;
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::query::At;
use crate::model::{AccountState, AdminAction};
use crate::tenancy::processes;

/// GET /workspace/t/{tenant}/people/{account}/erase
///
/// # Errors
/// 404.
pub async fn show(seat: Seat, State(app): State<Arc<App>>, At((_, account)): At<(String, String)>) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let name = words::name(&view).to_owned();
    let to = seat.at(&format!("people/{}", view.account.id));
    let may = seat.rights(&app).await?.may(AdminAction::EraseAccounts);
    let body = html! {
        h1 { "Erase what is personal of " (name) }
        @if view.account.state != AccountState::Removed {
            p.note { "Only removed accounts are erased: delete the person at the identity provider first." }
        } @else if !may {
            p.note { "Erasing takes the right " code { (AdminAction::EraseAccounts) } ": a tenant owner has it." }
        } @else {
            p.lead { strong { "This can’t be undone." } }
            ul {
                li { "Name, addresses and attributes of the account, and what was written about " (name) " in logs, go." }
                li { "The key under which personal values of the history are sealed is destroyed: nobody can read them again, from no backup either." }
                li { "The history stays, with the account’s id in the place of the name, and can be verified as before." }
            }
            form method="post" action={ (to) "/erase" } {
                (token(&seat.guest))
                label {
                    "Reference" span.quiet { " – it stays in the record: a ticket, and nothing personal" }
                    input type="text" name="reason" required maxlength="200" placeholder="DSR-1234";
                }
                label.check { input type="checkbox" name="sure" value="yes" required; "I know that what is personal of " (name) " is gone for good" }
                div.actions { button.danger { "Erase " (name) } a.button href=(to) { "Leave it" } }
            }
        }
    };
    let trail = [("People", seat.at("people")), (name.as_str(), to)];
    Ok(Page { seat: &seat, section: Section::People, title: "Erase", trail: &trail, body }.into_response())
}

/// POST /workspace/t/{tenant}/people/{account}/erase
///
/// # Errors
/// 404.
pub async fn send(seat: Seat, State(app): State<Arc<App>>, At((_, account)): At<(String, String)>, sent: Sent) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let id = view.account.id.as_str();
    let work = async {
        seat.ask(&app, AdminAction::EraseAccounts).await?;
        if sent.get("sure").is_none() {
            return Err(Error::bad_request("tick that you know that it can’t be undone", "an erasure is not confirmed"));
        }
        let reference = sent.needed("reason", "Reference")?.to_owned();
        processes::erase(&app, &seat.tenant.id, &seat.principal(), id, reference).await?;
        Ok("What is personal is erased.")
    };
    let done = work.await;
    let back = if done.is_ok() { format!("people/{id}") } else { format!("people/{id}/erase") };
    answer(&seat.at(&back), done)
}
