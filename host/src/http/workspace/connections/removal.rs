//! The end of a connection: whom it touches, what can be done instead, and its name to be typed.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::super::form::{Sent, answer};
use super::super::page::token;
use super::super::seat::Seat;
use super::super::words::counted;
use super::{MAY_MANAGE, Tab, at, one, unless};
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::frame;
use crate::http::query::At;
use crate::http::routes::{Route, get, post};
use crate::model::{AdminAction, ConnectionId, ConnectionState};
use crate::tenancy;
use crate::tenancy::first_sync::{self, Place};

/// How many of the people whom it touches are named.
const NAMED: i64 = 5;

pub(super) fn all() -> Vec<Route> {
    vec![
        get(
            "/workspace/t/{tenant}/connections/{connection}/delete",
            "delete_connection_page",
            "Whom the end of a connection touches",
            show,
        ),
        post("/workspace/t/{tenant}/connections/{connection}/delete", "delete_connection_form", "Ends a connection", delete),
    ]
}

/// GET …/connections/{connection}/delete
///
/// # Errors
/// 404.
pub async fn show(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    let away = app.store.moved_away(&seat.tenant.id, &id).await?;
    let count = app.store.difference_mark(&seat.tenant.id, &id).await?.people - away.iter().map(|away| away.here).sum::<i64>();
    // In the order of their ids, whether they are live or not. Among them may be some who have moved away: then nobody is named.
    let (some, _) = match &away[..] {
        [] => first_sync::page(&app, &seat.tenant.id, (&id, ConnectionState::Staging), &Place::People(None), NAMED).await?,
        _ => Default::default(),
    };
    let names: Vec<&str> = some.iter().filter_map(|line| line.user_name.as_deref()).collect();
    let people = counted(count, "person", "people");
    let form = html! {
        form method="post" {
            (token(&seat.guest))
            label { "To delete it, type its name: " code { (connection.name) } input type="text" name="name" autocomplete="off" required; }
            button.danger { "Delete the connection and end the access of " (people) }
        }
    };
    let body = html! {
        section.card {
            h2 { "Whom it touches" }
            p.lead { strong { (people) } " came in over it and are here still"
                @if !names.is_empty() { ": " (names.join(", ")) @if count > NAMED { " and others" } }
                ". "
                "Each of them is treated as deleted at the identity provider: their accounts lose every role at once, and the guard does not hold that." }
            ul {
                @for away in &away {
                    li { (counted(away.there, "person", "people")) " moved to "
                        a href=(at(&seat, &away.to, "")) { "another connection" } " and "
                        (if away.there == 1 { "keeps their account and roles" } else { "keep their accounts and roles" })
                        "; the way back of that move ends." }
                }
                li { "Its groups, its log and its credentials go with it; the identity provider gets 401 from then on." }
                li { "History keeps what happened." }
            }
            p.note { "There is no way back: the same identity provider would come over a new connection, as new people. To stop gains for a while, "
                a href=(at(&seat, &id, "")) { "pause it" } " instead; to change its token, " a href=(at(&seat, &id, "credentials")) { "rotate it" } "." }
            (unless(&seat.rights(&app).await?, AdminAction::ManageConnections, MAY_MANAGE, form))
        }
    };
    Ok(Tab { seat: &seat, connection: &connection, tab: "delete", beside: html! {}, body }.into_response())
}

/// POST …/connections/{connection}/delete
///
/// # Errors
/// Those that no other input would avoid.
pub async fn delete(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, sent: Sent) -> Result<Response> {
    let checked = async {
        seat.ask(&app, AdminAction::ManageConnections).await?;
        let connection = one(&app, &seat, &id).await?;
        if sent.get("name") == Some(connection.name.trim()) {
            return Ok(connection);
        }
        Err(Error::bad_request(format!("type “{}” to delete it: nothing was done", connection.name), "a connection's name was not typed"))
    };
    let connection = match checked.await {
        Ok(connection) => connection,
        Err(error) => return answer(&at(&seat, &id, "delete"), Err::<String, _>(error)),
    };
    let (tenant, actor, list) = (seat.tenant.id.clone(), seat.principal().actor(), seat.at("connections"));
    // A large connection takes its time; half of it would have to be done again.
    let done = frame::to_the_end(async move { tenancy::delete_connection(&app, &tenant, &id, &actor).await }).await?;
    answer(&list, done.map(|()| format!("“{}” is deleted.", connection.name)).map_err(Error::from))
}
