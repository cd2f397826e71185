//! The first sync on one page: what the connection changes when it goes live, who adopts what, and letting it in with what was seen.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::form::{Sent, answer};
use super::super::page::{badge, columns, empty, more, token};
use super::super::seat::{Rights, Seat};
use super::super::words;
use super::{MAY_ALL, Tab, at, moving, one, unless};
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::frame;
use crate::http::query::{ApiQuery, At};
use crate::http::routes::{Route, get, post};
use crate::lifecycle::adoption::{Candidate, Line, Totals};
use crate::model::{AccountId, AdminAction, ConnectionId, ConnectionState, Fate, ResourceId, RoleId};
use crate::store::DIFFERENCE_PAGE_LIMIT;
use crate::tenancy::first_sync::{self, Place};

/// Lines of a page.
const SHOWN: i64 = 50;
/// What a form sends for somebody whose account is a new one.
const NEW: &str = "new";

/// Which lines.
#[derive(Deserialize, JsonSchema)]
pub struct LinesQuery {
    /// Only lines behind this place.
    after: Option<String>,
    /// `doubts` for those alone that somebody decides.
    only: Option<String>,
    /// Whether everybody is counted on the page itself: for browsers without scripts.
    count: Option<String>,
}

pub(super) fn all() -> Vec<Route> {
    vec![
        get(
            "/workspace/t/{tenant}/connections/{connection}/first-sync",
            "first_sync_page",
            "What a connection changes when it goes live",
            show,
        ),
        get(
            "/workspace/t/{tenant}/connections/{connection}/first-sync/totals",
            "first_sync_totals",
            "The same in numbers, as a part of that page",
            totals,
        ),
        post(
            "/workspace/t/{tenant}/connections/{connection}/first-sync/{user}",
            "decide_adoption_form",
            "Says whose an account is",
            decide,
        ),
        post("/workspace/t/{tenant}/connections/{connection}/live", "go_live_form", "Lets a connection in, with what was seen", live),
    ]
}

/// GET …/connections/{connection}/first-sync
///
/// # Errors
/// 404; 400 for a place that is none.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<LinesQuery>,
) -> Result<Response> {
    let (connection, rights) = (one(&app, &seat, &id).await?, seat.rights(&app).await?);
    let (state, digest) = first_sync::stands(&app, &seat.tenant.id, &id).await?;
    let place = query.after.as_deref().map_or(Some(Place::People(None)), Place::read);
    let place = place.filter(|_| !query.after.as_deref().unwrap_or_default().contains('\0'));
    let place = place.ok_or_else(|| {
        Error::bad_request("this page of the difference is none: begin at its first page", "a place in a difference is none")
    })?;
    // Those that somebody decides are rare: a longer page is looked through for them.
    let doubts = query.only.as_deref() == Some("doubts");
    let limit = if doubts { DIFFERENCE_PAGE_LIMIT } else { SHOWN };
    let (mut lines, next) = first_sync::page(&app, &seat.tenant.id, (&id, state), &place, limit).await?;
    if doubts {
        lines.retain(|line| is_decided(line, state));
    }
    let staged = state == ConnectionState::Staging;
    let all = if staged && query.count.is_some() { Some(first_sync::whole(&app, &seat.tenant.id, &id).await?.0) } else { None };
    let here = at(&seat, &id, "first-sync");
    let next = next.map(|next| {
        let only = if doubts { "&only=doubts" } else { "" };
        format!("{here}?after={next}{only}")
    });
    let house = moving::section(&app, &seat, &connection, &rights).await?;
    let all_words = if staged { "Everybody" } else { "Who waits" };
    let ways = [(here.clone(), all_words.to_owned(), !doubts), (format!("{here}?only=doubts"), "To be decided".to_owned(), doubts)];
    let body = html! {
        @if staged {
            (house)
            section.card {
                h2 { "What going live changes" }
                @match &all {
                    Some(totals) => (counted(totals)),
                    None => div #totals hx-get=(at(&seat, &id, "first-sync/totals")) hx-trigger="load" hx-swap="outerHTML" {
                        a href={ (here) "?count=yes" } { "Count everybody" }
                    },
                }
                (unless(&rights, AdminAction::ManageTenant, MAY_ALL, going(&seat, &id, &digest)))
            }
        } @else {
            p { "The connection is live. Whoever waits for somebody stands here: people in whose place there may be an account that was there before." }
            (house)
        }
        (words::filters(&ways))
        @if lines.is_empty() {
            @if next.is_some() { p.quiet { "None among these: go on to the next ones." } }
            @else {
                (empty("Nobody", &html! {
                    @if staged { "People whom the identity provider sends stand here, each with what becomes of them." }
                    @else { "Nobody waits to be told whose an account is." }
                }))
            }
        } @else { (table(&seat, (&id, state), &lines, &rights)) }
        (more(next))
    };
    Ok(Tab { seat: &seat, connection: &connection, tab: "first-sync", beside: html! {}, body }.into_response())
}

/// GET …/connections/{connection}/first-sync/totals
///
/// # Errors
/// 404.
pub async fn totals(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>) -> Result<Response> {
    one(&app, &seat, &id).await?;
    let (totals, _) = first_sync::whole(&app, &seat.tenant.id, &id).await?;
    Ok(Html(counted(&totals).into_string()).into_response())
}

fn counted(totals: &Totals) -> Markup {
    let rows = [
        (totals.adopted, "adopt an account that is there"),
        (totals.moved, "keep the account that they have through the connection that is taken over"),
        (totals.in_use, "have an account in use here already"),
        (totals.new, "get a new account"),
        (totals.doubts, "wait for somebody to say whose account is theirs"),
        (totals.collisions, "have a name that is another account’s, and are held"),
        (totals.refused, "are refused by the mapping, and held"),
        (totals.undecided, "are not decided yet"),
        (totals.out_of_scope, "are none of the tenant’s"),
        (totals.inactive, "are inactive and have nothing to lose"),
        (totals.leftovers, "imported accounts that are nobody’s, and stay as they are"),
        (totals.protected, "protected accounts, which are left alone"),
        (totals.stays, "accounts of the connection that is taken over that are nobody’s here, and stay with it"),
    ];
    let roles =
        |counts: &std::collections::BTreeMap<RoleId, i64>| html! { @for (role, people) in counts { li { code { (role) } " " (people) } } };
    html! {
        div #totals {
            p { "People of the connection: " strong { (totals.people) } }
            ul { @for (count, words) in rows.iter().filter(|(count, _)| *count > 0) { li { (words) ": " strong { (count) } } } }
            div.two {
                @if !totals.gained.is_empty() { div { h3 { "Roles that people gain" } ul { (roles(&totals.gained)) } } }
                @if !totals.lost.is_empty() { div { h3 { "Roles that people lose" } ul { (roles(&totals.lost)) } } }
            }
        }
    }
}

fn going(seat: &Seat, id: &ConnectionId, digest: &str) -> Markup {
    html! {
        form method="post" action=(at(seat, id, "live")) {
            (token(&seat.guest))
            input type="hidden" name="digest" value=(digest);
            p.quiet { "It stands for what is shown: " code { (digest) } ". If anything moves before you press, nothing is done and you look again." }
            label.check { input type="checkbox" name="seen" value="yes" required; "I have seen the difference" }
            button.main { "Go live" }
        }
    }
}

/// Whether somebody decides about a line: a doubt, and whatever was certain before a connection went live and waits since.
fn is_decided(line: &Line, state: ConnectionState) -> bool {
    line.fate == Fate::Doubt || state != ConnectionState::Staging && matches!(line.fate, Fate::Adopted | Fate::Moved)
}

fn table(seat: &Seat, (id, state): (&ConnectionId, ConnectionState), lines: &[Line], rights: &Rights) -> Markup {
    let may = rights.may(AdminAction::ManageTenant);
    html! {
        table.stack {
            (columns(&["Who", "What becomes of them", "Gains", "Loses"]))
            tbody data-rows {
                @for line in lines {
                    tr {
                        td { a href=(seat.at(&format!("people/{}", line.account))) { (line.user_name.as_deref().unwrap_or(line.account.as_str())) } }
                        td {
                            (badge(line.fate.word())) " " (fate(line))
                            @if let (true, Some(user)) = (is_decided(line, state), &line.user) {
                                @if may { (decision(seat, id, user, line)) } @else { p.quiet { (MAY_ALL) } }
                            }
                        }
                        td { (roles(&line.gained, "gains ")) }
                        td { (roles(&line.lost, "loses ")) }
                    }
                }
            }
        }
    }
}

pub(super) fn roles(roles: &[RoleId], word: &str) -> Markup {
    html! { @if !roles.is_empty() { span.quiet { (word) } @for (at, role) in roles.iter().enumerate() { @if at > 0 { ", " } (role) } } }
}

fn fate(line: &Line) -> Markup {
    html! {
        @match line.fate {
            Fate::New => "gets a new account",
            Fate::Moved => @if let Some(candidate) = line.candidates.first() { "keeps their account: " (alike(candidate)) },
            Fate::InUse => "has an account in use here already",
            Fate::Stays => "is nobody’s here, and stays with the connection that is taken over",
            Fate::Adopted => @if let Some(candidate) = line.candidates.first() { "adopts " (alike(candidate)) },
            Fate::Doubt => "may have one of these accounts",
            Fate::Collision => { "the name is another account’s" @if let Some(holder) = &line.holder { ": " code { (holder) } } }
            Fate::Leftover => "is nobody’s, and stays as it is",
            Fate::Protected => "is left alone",
            Fate::OutOfScope => "is none of the tenant’s",
            Fate::Inactive => "is inactive",
            Fate::Undecided => "is not decided yet",
            Fate::Refused => "is refused",
        }
        @if let Some(note) = &line.note { ": " (note.message) }
    }
}

fn alike(candidate: &Candidate) -> Markup {
    let by: Vec<String> = candidate.by.iter().map(|by| by.replace('_', " ")).collect();
    html! { (candidate.user_name.as_deref().unwrap_or(candidate.account.as_str())) " " span.quiet { "same " (by.join(", ")) } }
}

fn decision(seat: &Seat, id: &ConnectionId, user: &ResourceId, line: &Line) -> Markup {
    let who = line.user_name.as_deref().unwrap_or(user.as_str());
    html! {
        form method="post" action=(at(seat, id, &format!("first-sync/{user}"))) {
            (token(&seat.guest))
            fieldset {
                legend { "Whose account has " (who) "?" }
                @for candidate in &line.candidates {
                    label.check { input type="radio" name="account" value=(candidate.account) required; span { (alike(candidate)) } }
                }
                label.check { input type="radio" name="account" value=(NEW) required; "None of these: a new one" }
                label { "Why" input type="text" name="reason" required maxlength="500"; }
                button { "Decide" }
            }
        }
    }
}

/// POST …/connections/{connection}/first-sync/{user}
///
/// # Errors
/// Those that no other input would avoid.
pub async fn decide(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id, user)): At<(String, ConnectionId, ResourceId)>,
    sent: Sent,
) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        let account = sent.needed("account", "Whose account")?;
        if account.contains('\0') {
            return Err(Error::not_found("such account"));
        }
        let account = (account != NEW).then(|| AccountId::from(account));
        let said = if account.is_some() { "They have the account that is there." } else { "They have an account of their own." };
        let reason = sent.needed("reason", "Why")?.to_owned();
        first_sync::choose(&app, &seat.tenant.id, &seat.principal(), &id, (user, account, reason)).await?;
        Ok(said)
    };
    answer(&format!("{}?only=doubts", at(&seat, &id, "first-sync")), done.await)
}

/// POST …/connections/{connection}/live
///
/// # Errors
/// Those that no other input would avoid.
pub async fn live(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, sent: Sent) -> Result<Response> {
    let back = at(&seat, &id, "first-sync");
    let digest = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        sent.needed("seen", "I have seen the difference")?;
        Ok(sent.needed("digest", "What stands for the difference")?.to_owned())
    };
    let digest = match digest.await {
        Ok(digest) => digest,
        Err(error) => return answer(&back, Err::<String, _>(error)),
    };
    let (tenant, principal) = (seat.tenant.id.clone(), seat.principal());
    // A large connection takes its time; half of it would have to be done again.
    let done = frame::to_the_end(async move { first_sync::go_live(&app, &tenant, &principal, &id, &digest).await }).await?;
    let said = |totals: Totals| {
        format!(
            "It is live: {} moved, {} adopted, {} new, {} wait for somebody, {} held.",
            totals.moved,
            totals.adopted,
            totals.new,
            totals.doubts,
            totals.collisions + totals.refused
        )
    };
    answer(&back, done.map(said).map_err(Error::from))
}
