//! Moving house: from which connection one in staging takes over; who has moved to one that is live, and the way back with what was seen.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::form::{Sent, answer};
use super::super::page::{badge, columns, empty, more, token};
use super::super::seat::{Rights, Seat};
use super::super::words::counted;
use super::first_sync::roles;
use super::{MAY_ALL, Tab, at, one, unless};
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::frame;
use crate::http::query::{ApiQuery, At};
use crate::http::routes::{Route, get, post};
use crate::lifecycle::house::{WayBack, WayBackTotals};
use crate::model::{AdminAction, ConnectionId, ConnectionState, ResourceId, Return};
use crate::provisioning::house;
use crate::store::Connection;
use crate::tenancy::moving;

/// People of a page.
const SHOWN: i64 = 50;

/// Which people.
#[derive(Deserialize, JsonSchema)]
pub struct MovedPage {
    /// Only people behind this one.
    after: Option<ResourceId>,
}

pub(super) fn all() -> Vec<Route> {
    vec![
        post(
            "/workspace/t/{tenant}/connections/{connection}/predecessor",
            "take_over_form",
            "Says from which connection one in staging takes over",
            take_over,
        ),
        get("/workspace/t/{tenant}/connections/{connection}/moved", "moved_page", "Who has moved to a connection, and the way back", show),
        post(
            "/workspace/t/{tenant}/connections/{connection}/move-back",
            "move_back_form",
            "Lets everybody go back who can, with what was seen",
            go_back,
        ),
    ]
}

/// The connection from which another takes over, as it is called.
async fn predecessor(app: &App, seat: &Seat, connection: &Connection) -> Result<(Option<ConnectionId>, Vec<Connection>)> {
    let from = app.store.predecessor(&seat.tenant.id, &connection.id).await?;
    Ok((from, app.store.connections(&seat.tenant.id).await?))
}

fn name<'a>(all: &'a [Connection], id: &'a ConnectionId) -> &'a str {
    all.iter().find(|connection| connection.id == *id).map_or(id.as_str(), |connection| connection.name.as_str())
}

/// What the page of the first sync says of moving house: the choice in staging, the way back after that.
pub(super) async fn section(app: &App, seat: &Seat, connection: &Connection, rights: &Rights) -> Result<Markup> {
    let (from, all) = predecessor(app, seat, connection).await?;
    if connection.state != ConnectionState::Staging {
        return Ok(html! { @if let Some(from) = &from { p {
            "It took over from " strong { (name(&all, from)) } ". "
            a href=(at(seat, &connection.id, "moved")) { "Who has moved, and the way back" }
        } } });
    }
    let others: Vec<&Connection> =
        all.iter().filter(|other| other.id != connection.id && other.state != ConnectionState::Staging).collect();
    if others.is_empty() && from.is_none() {
        return Ok(html! {});
    }
    let form = html! {
        form method="post" action=(at(seat, &connection.id, "predecessor")) {
            (token(&seat.guest))
            label { "It takes over from"
                select name="from" {
                    option value="" selected[from.is_none()] { "nobody" }
                    @for other in &others { option value=(other.id) selected[from.as_ref() == Some(&other.id)] { (other.name) } }
                }
            }
            button { "Save" }
        }
    };
    Ok(html! {
        section.card {
            h2 { "Moving house" }
            @match &from {
                Some(from) => p { "It takes over from " strong { (name(&all, from)) } ": whoever is known to both keeps their account and their roles, "
                    "and what that connection says of them decides nothing once this one is live. There is a way back." },
                None => p { "If its people have come in over another connection until now, say over which: whoever is known to both keeps their account." },
            }
            (unless(rights, AdminAction::ManageTenant, MAY_ALL, form))
        }
    })
}

/// POST …/connections/{connection}/predecessor
///
/// # Errors
/// Those that no other input would avoid.
pub async fn take_over(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        let from = sent.get("from").filter(|from| !from.is_empty()).map(|from| ConnectionId(from.to_owned()));
        if from.as_ref().is_some_and(|from| from.as_str().contains('\0')) {
            return Err(Error::not_found("such connection"));
        }
        let (app, tenant, principal, id) = (Arc::clone(&app), seat.tenant.id.clone(), seat.principal(), id.clone());
        let said = if from.is_some() { "Whom that connection knows is compared from now on." } else { "It takes over from nobody." };
        frame::to_the_end(async move { moving::take_over(&app, &tenant, &principal, &id, from.as_ref()).await }).await??;
        Ok(said)
    };
    answer(&at(&seat, &id, "first-sync"), done.await)
}

/// GET …/connections/{connection}/moved
///
/// # Errors
/// 404; 400 for a place that is none.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<MovedPage>,
) -> Result<Response> {
    let (connection, rights) = (one(&app, &seat, &id).await?, seat.rights(&app).await?);
    if query.after.as_ref().is_some_and(|after| after.as_str().contains('\0')) {
        return Err(Error::bad_request(
            "this page of people is none: begin at the first one",
            "a place among those who have moved is none",
        ));
    }
    let (totals, _) = moving::way_back(&app, &seat.tenant.id, &id).await?;
    let (people, next) = moving::page(&app, &seat.tenant.id, &id, query.after.as_ref(), SHOWN).await?;
    let people = house::look_ahead(&app, &seat.tenant.id, &id, people).await?;
    let (_, all) = predecessor(&app, &seat, &connection).await?;
    let next = next.map(|next| format!("{}?after={next}", at(&seat, &id, "moved")));
    let body = html! {
        @if people.is_empty() {
            (empty("Nobody has moved", &html! {
                "Where a connection takes over from another one, whoever came along stands here, and can go back. "
                a href=(at(&seat, &id, "first-sync")) { "Go to the first sync" }
            }))
        } @else {
            section.card {
                h2 { "The way back" }
                (numbers(&totals))
                @if connection.state == ConnectionState::Staging { p.note { "The connection is in staging: they went back already, or could not." } }
                @else { (unless(&rights, AdminAction::ManageTenant, MAY_ALL, form(&seat, &id, &totals))) }
            }
            (table(&seat, &all, &people))
            (more(next))
        }
    };
    Ok(Tab { seat: &seat, connection: &connection, tab: "first-sync", beside: html! {}, body }.into_response())
}

fn numbers(totals: &WayBackTotals) -> Markup {
    html! {
        p { strong { (counted(totals.moved, "person", "people")) } " moved to this connection." }
        ul { @for (way, people) in &totals.ways { li { (words(*way)) ": " strong { (people) } } } }
    }
}

fn form(seat: &Seat, id: &ConnectionId, totals: &WayBackTotals) -> Markup {
    let going = totals.ways.get(&Return::Goes).copied().unwrap_or(0);
    if going == 0 {
        return html! { p.note { "Nobody of them can go back." } };
    }
    html! {
        p { "They keep their accounts and their roles until the connection that they came from has decided about them. Whoever stays keeps the account that they have. "
            "This connection is in staging then: it gives nothing new, and can go live again." }
        form method="post" action=(at(seat, id, "move-back")) {
            (token(&seat.guest))
            input type="hidden" name="digest" value=(totals.digest());
            label.check { input type="checkbox" name="seen" value="yes" required; "I have seen who goes back, and who stays" }
            button.danger { "Let " (counted(going, "person", "people")) " go back" }
        }
    }
}

fn table(seat: &Seat, all: &[Connection], people: &[WayBack]) -> Markup {
    html! {
        table.stack {
            (columns(&["Who", "From", "The way back", "Gains", "Loses"]))
            tbody data-rows {
                @for person in people {
                    tr {
                        td { a href=(seat.at(&format!("people/{}", person.account))) { (person.user_name.as_deref().unwrap_or(person.account.as_str())) } }
                        td { (name(all, &person.from)) }
                        td { (badge(person.way.word())) " " (words(person.way)) }
                        td { (roles(&person.gained, "gains ")) }
                        td { (roles(&person.lost, "loses ")) }
                    }
                }
            }
        }
    }
}

/// What becomes of somebody on the way back.
fn words(way: Return) -> &'static str {
    match way {
        Return::Goes => "go back with their account",
        Return::Left => "have left since, and are not brought back",
        Return::Deleted => "were deleted here",
        Return::DeletedThere => "were deleted where they came from, and stay",
        Return::InactiveThere => "are inactive where they came from, and stay",
        Return::Elsewhere => "have another account by now, and stay",
    }
}

/// POST …/connections/{connection}/move-back
///
/// # Errors
/// Those that no other input would avoid.
pub async fn go_back(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, sent: Sent) -> Result<Response> {
    let back = at(&seat, &id, "moved");
    let digest = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        sent.needed("seen", "I have seen who goes back, and who stays")?;
        Ok(sent.needed("digest", "What stands for the way back")?.to_owned())
    };
    let digest = match digest.await {
        Ok(digest) => digest,
        Err(error) => return answer(&back, Err::<String, _>(error)),
    };
    let (tenant, principal, page) = (seat.tenant.id.clone(), seat.principal(), at(&seat, &id, "first-sync"));
    // A large connection takes its time; half of it would have to be done again.
    let done = frame::to_the_end(async move { moving::go_back(&app, &tenant, &principal, &id, &digest).await }).await?;
    let said = |totals: WayBackTotals| {
        let going = totals.ways.get(&Return::Goes).copied().unwrap_or(0);
        format!("{} went back; the connection is in staging.", counted(going, "person", "people"))
    };
    answer(if done.is_ok() { &page } else { &back }, done.map(said).map_err(Error::from))
}
