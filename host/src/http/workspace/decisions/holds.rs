//! Holds: changes that concern more people than may be at once. One page a hold says exactly who and what waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{catalogue, tabs, why};
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At, page as page_of};
use crate::http::workspace::form::{Sent, answer as answered};
use crate::http::workspace::page::{Page, Section, When, badge, empty, hash, more, token};
use crate::http::workspace::path::{self, with};
use crate::http::workspace::seat::{Guest, Seat};
use crate::http::workspace::words::{self, Edge, PAGE_LINES, SUGGESTED_DAYS, counted, date_after, sent_moment};
use crate::model::{AdminAction, GuardDirection, GuardScope, Hold, HoldState, Instant, Ruling, RulingState};
use crate::policies::Role;
use crate::store::{Connection, RulingQuery};
use crate::tenancy::admin::Asked;
use crate::tenancy::governance::{self, HoldAnswer};

/// Which holds.
#[derive(Deserialize, JsonSchema)]
pub struct ListQuery {
    /// `closed` for those that are over.
    state: Option<String>,
    /// Only those behind this one.
    after: Option<String>,
}

/// Which of those who wait.
#[derive(Deserialize, JsonSchema)]
pub struct PeopleQuery {
    /// Only those behind this ruling.
    after: Option<String>,
}

/// What a hold keeps back, and what each answer means.
struct Meaning {
    waits: &'static str,
    release: &'static str,
    released: &'static str,
    reject: &'static str,
    rejected: &'static str,
}

fn meaning(direction: GuardDirection) -> Meaning {
    match direction {
        GuardDirection::Losses => Meaning {
            waits: "would lose roles or their account, and keep them until somebody answers",
            release: "Release",
            released: "they lose what the policies no longer give",
            reject: "Reject",
            rejected: "they keep it until the day that you name; then it is counted and asked about again",
        },
        GuardDirection::Gains | GuardDirection::PrivilegedGains => Meaning {
            waits: "would gain roles, and wait for them until somebody answers",
            release: "Release",
            released: "the roles come into effect",
            reject: "Reject",
            rejected: "they do not get the roles until the day that you name; then it is counted and asked about again",
        },
        GuardDirection::Leavers => Meaning {
            waits: "were deactivated or deleted at the identity provider: they are out, and their roles are dormant",
            release: "The departure is right",
            released: "the departure is final; dormant roles are gone",
            reject: "Restore",
            rejected: "one action restores all of them, or the ticked ones: account and roles are as they were, until the day that you name \
                       or until the identity provider calls them active",
        },
    }
}

/// What a hold is of, by the names that people know.
fn of(seat: &Seat, hold: &Hold, connections: &[Connection]) -> Markup {
    html! {
        @match hold.scope {
            GuardScope::Connection => {
                @let name = connections.iter().find(|connection| connection.id.as_str() == hold.of).map(|connection| connection.name.as_str());
                "connection " a href=(seat.at(&format!("connections/{}", path::segment(&hold.of)))) { (name.unwrap_or(&hold.of)) }
            }
            GuardScope::Plan => a href=(seat.at(&format!("drift/{}", path::segment(&hold.of)))) { "a reconciliation" },
            GuardScope::Role => { "role " code { (hold.of) } }
            GuardScope::Revision => { "revision " a href=(seat.at(&format!("mapping/revisions/{}", hold.of))) { (hash(&hold.of)) } }
        }
    }
}

/// GET …/decisions
///
/// # Errors
/// The store's.
pub async fn list(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<ListQuery>) -> Result<Response> {
    let (now, tenant) = (app.clock.now(), &seat.tenant.id);
    let state = if query.state.as_deref() == Some("closed") { HoldState::Closed } else { HoldState::Open };
    let after = query.after.filter(|after| !after.contains('\0'));
    let (holds, next) =
        page_of(app.store.holds(tenant, Some(state), after.as_deref(), PAGE_LINES + 1).await?, PAGE_LINES, |hold| hold.id.clone());
    let connections = app.store.connections(tenant).await?;
    let here = seat.at("decisions");
    let ways = [
        (here.clone(), "Open".to_owned(), state == HoldState::Open),
        (with(&here, &[("state", "closed")]), "Closed".to_owned(), state == HoldState::Closed),
    ];
    let body = html! {
        h1 { "Decisions" }
        (tabs(&seat, "decisions"))
        (words::filters(&ways))
        @if holds.is_empty() {
            (empty("No hold", &html! {
                "Where more people would lose or gain roles at once than the guard lets, the change waits here until somebody releases or rejects it. "
                "Whoever is deactivated at the identity provider is out all the same: nothing holds a leaver."
            }))
        } @else {
            (table(&seat, &holds, &connections, now))
            (more(next.map(|next| with(&here, &[("state", if state == HoldState::Closed { "closed" } else { "" }), ("after", &next)]))))
        }
    };
    Ok(Page { seat: &seat, section: Section::Decisions, title: "Holds", trail: &[], body }.into_response())
}

fn table(seat: &Seat, holds: &[Hold], connections: &[Connection], now: Instant) -> Markup {
    html! {
        table.stack {
            thead { tr { th scope="col" { "People" } th scope="col" { "Of" } th scope="col" { "Held" } th scope="col" { "State" } } }
            tbody data-rows {
                @for hold in holds {
                    tr {
                        td {
                            a href=(seat.at(&format!("decisions/holds/{}", hold.id))) {
                                (counted(hold.people, "person", "people")) ": " (hold.direction.word().replace('_', " "))
                            }
                            br; span.quiet { "at most " (hold.limit) " may be at once" }
                        }
                        td { (of(seat, hold, connections)) }
                        td { (When { at: hold.opened, now }) }
                        td { (badge(hold.state.word())) @if let Some(closed) = hold.closed { " " (When { at: closed, now }) } }
                    }
                }
            }
        }
    }
}

/// GET …/decisions/holds/{hold}
///
/// # Errors
/// 404.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, hold)): At<(String, String)>,
    ApiQuery(query): ApiQuery<PeopleQuery>,
) -> Result<Response> {
    let (now, tenant) = (app.clock.now(), &seat.tenant.id);
    let hold = app.store.hold(tenant, &hold).await?.ok_or_else(|| Error::not_found("such hold"))?;
    let after = query.after.filter(|after| !after.contains('\0'));
    let asked = RulingQuery { hold: Some(hold.id.clone()), after, limit: PAGE_LINES + 1, ..RulingQuery::default() };
    let (rulings, next) = page_of(app.store.rulings(tenant, &asked).await?, PAGE_LINES, |ruling| ruling.id.clone());
    let connections = app.store.connections(tenant).await?;
    let active = super::active(&app, &seat).await?;
    let decides = seat.may(&app, AdminAction::AnswerHold, &[Asked::Hold(&hold, true), Asked::Hold(&hold, false)]).await?;
    let here = seat.at(&format!("decisions/holds/{}", hold.id));
    let says = meaning(hold.direction);
    let body = html! {
        h1 { (counted(hold.people, "person", "people")) ": " (hold.direction.word().replace('_', " ")) " of " (of(&seat, &hold, &connections)) }
        p {
            (badge(hold.state.word())) " since " (When { at: hold.opened, now }) ". "
            (counted(hold.people, "person", "people")) " " (says.waits) ". At most " (hold.limit) " may be concerned within the guard’s window."
        }
        dl.pairs {
            dt { (says.release) } dd { (says.released) }
            dt { (says.reject) } dd { (says.rejected) }
        }
        @if rulings.is_empty() {
            (empty("Nobody waits here", &html! { "Those who did were answered, or the identity provider has put them right." }))
        } @else {
            (people(&seat, &rulings, catalogue(active.as_ref()), (&here, &says, decides, now)))
            (more(next.map(|next| with(&here, &[("after", &next)]))))
            @if hold.state == HoldState::Open && decides { (everybody(&seat, &hold, (&here, &says, now))) }
        }
    };
    let trail = [("Decisions", seat.at("decisions")), ("Holds", seat.at("decisions"))];
    Ok(Page { seat: &seat, section: Section::Decisions, title: "Hold", trail: &trail, body }.into_response())
}

/// Those who wait, a line each: an answer is about a person and not about one of their roles.
fn people(seat: &Seat, rulings: &[Ruling], roles: &[Role], (here, says, decides, now): (&str, &Meaning, bool, Instant)) -> Markup {
    let mut by_account: BTreeMap<(&str, &str), Vec<&Ruling>> = BTreeMap::new();
    for ruling in rulings {
        let name = ruling.user_name.as_deref().unwrap_or_default();
        by_account.entry((name, ruling.account.as_str())).or_default().push(ruling);
    }
    html! {
        form method="post" action=(here) {
            (token(&seat.guest))
            table.stack {
                thead { tr {
                    @if decides { th scope="col" { input type="checkbox" data-ticks="account" aria-label="Tick everybody on this page"; } }
                    th scope="col" { "Person" } th scope="col" { "What waits" } th scope="col" { "Since" } th scope="col" { "Answer" }
                } }
                tbody data-rows {
                    @for ((name, account), rulings) in &by_account { (line(seat, (name, account), rulings, roles, (decides, now))) }
                }
            }
            @if decides { (words_of(&seat.guest, (says, now), ("answer", "ticked"))) }
        }
        @if !decides { p.quiet { "Holds are answered by those whom the admin policies let answer them (answerHold)." } }
    }
}

fn line(seat: &Seat, (name, account): (&str, &str), rulings: &[&Ruling], roles: &[Role], (decides, now): (bool, Instant)) -> Markup {
    let name = Some(name).filter(|name| !name.is_empty());
    html! {
        tr {
            @if decides { td { input type="checkbox" name="account" value=(account) aria-label={ "Tick " (name.unwrap_or(account)) }; } }
            td { (words::person(seat, account, name)) }
            td {
                @for ruling in rulings {
                    div {
                        span class={ "badge " (if ruling.kind.word() == "gain" { "gain" } else { "loss" }) } { (ruling.kind.word()) } " "
                        @match &ruling.role {
                            Some(role) => { (words::role(roles, role.as_str())) " " (why(seat, account, role.as_str())) }
                            None => "the account",
                        }
                    }
                }
            }
            td { @if let Some(first) = rulings.first() { (When { at: first.created, now }) } }
            td {
                @for ruling in rulings.iter().filter(|ruling| ruling.state != RulingState::Open).take(1) {
                    (if ruling.state == RulingState::No { badge("rejected") } else { badge("released") })
                    @if let Some(reason) = &ruling.reason { " " (reason) }
                    @if let Some(owner) = &ruling.owner { br; span.quiet { "owner " (owner) } }
                    @if let Some(ends) = ruling.ends { br; span.quiet { "until " (When { at: ends, now }) } }
                }
            }
        }
    }
}

/// What has to be said with an answer, and the two answers.
fn words_of(guest: &Guest, (says, now): (&Meaning, Instant), (name, whom): (&str, &str)) -> Markup {
    let person = guest.visitor.session.scope.person.as_deref().unwrap_or_default();
    let all = whom == "all";
    html! {
        fieldset {
            legend { @if all { "Of everybody in the hold" } @else { "Of those who are ticked" } }
            input type="hidden" name="whom" value=(whom);
            label { "Why" textarea name="reason" required maxlength="1000" {} }
            div.two {
                label { "Who answers for it " span.quiet { "(to " (says.reject.to_lowercase()) ")" } input type="text" name="owner" value=(person); }
                label { "Until and with " span.quiet { "(to " (says.reject.to_lowercase()) "; at most 366 days)" }
                    input type="date" name="ends" value=(date_after(now, SUGGESTED_DAYS)); }
            }
            div.actions {
                button.main name=(name) value="release" data-press=[(!all).then_some("a")] {
                    (says.release) @if all { " all" } @else { " ticked " kbd { "a" } }
                }
                button.danger name=(name) value="reject" data-press=[(!all).then_some("r")] {
                    (says.reject) @if all { " all" } @else { " ticked " kbd { "r" } }
                }
            }
        }
    }
}

fn everybody(seat: &Seat, hold: &Hold, (here, says, now): (&str, &Meaning, Instant)) -> Markup {
    html! {
        details.card {
            summary { "Answer for all " (counted(hold.people, "person", "people")) " at once" }
            form method="post" action=(here) {
                (token(&seat.guest))
                p { "This is about everybody in the hold, on all of its pages, and about who joins while it is answered. "
                    "What was released is undone by an exception, or by putting it right at the identity provider; what was rejected is asked about again at its end." }
                (words_of(&seat.guest, (says, now), ("answer", "all")))
            }
        }
    }
}

/// POST …/decisions/holds/{hold}
///
/// # Errors
/// Those that no other input would avoid.
pub async fn answer(seat: Seat, State(app): State<Arc<App>>, At((_, hold)): At<(String, String)>, sent: Sent) -> Result<Response> {
    let back = seat.at(&format!("decisions/holds/{}", path::segment(&hold)));
    let done = said(&seat, &app, &hold, &sent).await;
    answered(&back, done)
}

async fn said(seat: &Seat, app: &Arc<App>, hold: &str, sent: &Sent) -> Result<String> {
    let release = match sent.get("answer") {
        Some("release") => true,
        Some("reject") => false,
        _ => return Err(Error::bad_request("say whether to release or to reject", "a hold's answer is none")),
    };
    let accounts: Vec<String> = sent.all("account").map(str::to_owned).collect();
    let all = sent.get("whom") == Some("all");
    if !all && accounts.is_empty() {
        return Err(Error::bad_request("tick those whom you mean", "nobody is ticked"));
    }
    let answer = HoldAnswer {
        release,
        accounts: (!all).then_some(accounts),
        reason: sent.needed("reason", "Why")?.to_owned(),
        owner: sent.get("owner").filter(|_| !release).map(str::to_owned),
        ends: if release { None } else { sent_moment(sent, &seat.zone(app).await?, ("ends", "Until and with", Edge::End))? },
    };
    let (hold, people) = governance::answer_hold(app, &seat.tenant.id, &seat.principal(), hold, answer).await?;
    let says = meaning(hold.direction);
    let (did, means) = if release { (says.release, says.released) } else { (says.reject, says.rejected) };
    Ok(format!("{did}: {}. {} in the hold.\n{means}", counted(people, "person", "people"), counted(hold.people, "waits", "wait")))
}
