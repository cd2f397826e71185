//! Reviews: the campaigns, how far they are, and a new one.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{catalogue, tabs};
use crate::app::App;
use crate::http::api::reviews::{self as api, ExportQuery};
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At, page as page_of};
use crate::http::workspace::form::{Sent, answer as answered};
use crate::http::workspace::page::{Page, Section, When, badge, empty, heading, more, token};
use crate::http::workspace::path::with;
use crate::http::workspace::seat::Seat;
use crate::http::workspace::words::{Edge, PAGE_LINES, SUGGESTED_DAYS, counted, date_after, needed_moment, sent_moment};
use crate::model::{
    AccountId, AdminAction, ConnectionId, Instant, OnSilence, Review, ReviewPlan, ReviewScope, ReviewState, Reviewers, RoleId,
};
use crate::policies::Role;
use crate::store::Connection;
use crate::tenancy::governance::EXCEPTION_DAYS_LIMIT;
use crate::tenancy::reviews::{self, WantedReview};

/// Which reviews.
#[derive(Deserialize, JsonSchema)]
pub struct ListQuery {
    /// Only those behind this one.
    after: Option<String>,
}

/// Nothing.
#[derive(Deserialize, JsonSchema)]
pub struct NewQuery {}

/// How much of a review is decided, as a bar with its words.
pub(super) fn progress(review: &Review) -> Markup {
    let decided = review.counts.lines - review.counts.undecided;
    html! {
        @if review.counts.lines > 0 {
            progress max=(review.counts.lines) value=(decided) aria-label={ "Decided in " (review.name) } {}
            (decided) " of " (counted(review.counts.lines, "line", "lines")) " decided"
        } @else if review.state == ReviewState::Draft { "lines are not written yet" } @else { "no line" }
    }
}

/// GET …/decisions/reviews
///
/// # Errors
/// The store's.
pub async fn list(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<ListQuery>) -> Result<Response> {
    let (now, here) = (app.clock.now(), seat.at("decisions/reviews"));
    let after = query.after.filter(|after| !after.contains('\0'));
    let found = app.store.reviews(&seat.tenant.id, after.as_deref(), PAGE_LINES + 1).await?;
    let (reviews, next) = page_of(found, PAGE_LINES, |review| review.id.clone());
    let manages = seat.rights(&app).await?.may(AdminAction::ManageReviews);
    let set_up = html! { @if manages { a.button.main href=(seat.at("decisions/reviews/new")) { "Set a review up" } } };
    let body = html! {
        (heading("Decisions", &set_up))
        (tabs(&seat, "decisions/reviews"))
        @if reviews.is_empty() {
            (empty("No review", &html! {
                "In a review somebody says of each role that is held whether it stays. It is for people who have to show that somebody has looked. "
                @if manages { a href=(seat.at("decisions/reviews/new")) { "Set the first one up" } "." }
                @else { "They are set up by those whom the admin policies let manage reviews." }
            }))
        } @else {
            table.stack {
                thead { tr { th scope="col" { "Review" } th scope="col" { "State" } th scope="col" { "Progress" } th scope="col" { "Closes" } } }
                tbody data-rows {
                    @for review in &reviews {
                        tr {
                            td { a href=(seat.at(&format!("decisions/reviews/{}", review.id))) { (review.name) } }
                            td { (badge(review.state.word())) }
                            td { (progress(review)) }
                            td { (When { at: review.closed.unwrap_or(review.closes), now }) }
                        }
                    }
                }
            }
            (more(next.map(|next| with(&here, &[("after", &next)]))))
        }
    };
    Ok(Page { seat: &seat, section: Section::Decisions, title: "Reviews", trail: &[], body }.into_response())
}

/// GET …/decisions/reviews/new
///
/// # Errors
/// 403.
pub async fn new(seat: Seat, State(app): State<Arc<App>>, _: ApiQuery<NewQuery>) -> Result<Response> {
    seat.ask(&app, AdminAction::ManageReviews).await?;
    let active = super::active(&app, &seat).await?;
    let connections = app.store.connections(&seat.tenant.id).await?;
    let body = html! {
        h1 { "Set a review up" }
        p.lead { "Everything that decides about access is said before anybody reviews, and does not change afterwards." }
        (form(&seat, catalogue(active.as_ref()), &connections, app.clock.now()))
    };
    let trail = [("Decisions", seat.at("decisions")), ("Reviews", seat.at("decisions/reviews"))];
    Ok(Page { seat: &seat, section: Section::Decisions, title: "Set a review up", trail: &trail, body }.into_response())
}

fn form(seat: &Seat, roles: &[Role], connections: &[Connection], now: Instant) -> Markup {
    let person = seat.principal().scope.person.unwrap_or_default();
    html! {
        form method="post" action=(seat.at("decisions/reviews")) {
            (token(&seat.guest))
            label { "Name" input type="text" name="name" required maxlength="128"; }
            (scope(roles, connections))
            fieldset {
                legend { "Who reviews" }
                label { "Reviewers" select name="reviewers" {
                    option value="role_owner" { "The owner of each role" }
                    option value="manager" { "Each person’s manager (of privileged roles: the owner)" }
                    option value="named" { "The people named below" }
                } }
                label { "Named reviewers " span.quiet { "(one a line, by login name or address)" } textarea name="named" {} }
                label { "Fallback " span.quiet { "(who reviews where nobody else can, and what others don’t know)" }
                    input type="text" name="fallback" required value=(person); }
            }
            fieldset {
                legend { "When" }
                div.two {
                    label { "Opens " span.quiet { "(left empty: now)" } input type="date" name="opens"; }
                    label { "Closes at the end of" input type="date" name="closes" required value=(date_after(now, SUGGESTED_DAYS)); }
                    label { "Reminders " span.quiet { "(hours before it closes, with blanks between them)" } input type="text" name="remind_hours" value="168 24"; }
                }
            }
            fieldset {
                legend { "What is carried out" }
                div.two {
                    label { "Lines about which nobody says anything" select name="on_silence" {
                        option value="keep" { "The role stays" }
                        option value="revoke" { "The role goes" }
                    } }
                    label { "A revocation counts for so many days" input type="number" name="exception_days" min="1" max=(EXCEPTION_DAYS_LIMIT) value="180"; }
                    label { "Who answers for revocations" input type="text" name="exception_owner" required value=(person); }
                }
            }
            button.main { "Set the review up" }
        }
    }
}

fn scope(roles: &[Role], connections: &[Connection]) -> Markup {
    html! {
        fieldset {
            legend { "What is reviewed" }
            label.check { input type="checkbox" name="every_role" value="yes"; "Every role of the catalogue" }
            details open[roles.len() <= 12] {
                summary { "These roles" }
                @for role in roles {
                    label.check { input type="checkbox" name="role" value=(role.id);
                        span { code { (role.id) } @if role.privileged { " (privileged)" } " " span.quiet { (role.description) } } }
                }
            }
            @if !connections.is_empty() {
                details {
                    summary { "Only people of these connections" }
                    @for connection in connections {
                        label.check { input type="checkbox" name="connection" value=(connection.id); (connection.name) }
                    }
                }
            }
            details {
                summary { "Only these accounts" }
                label { "Accounts " span.quiet { "(one a line, by account id)" } textarea name="accounts" {} }
            }
        }
    }
}

/// POST …/decisions/reviews
///
/// # Errors
/// Those that no other input would avoid.
pub async fn create(seat: Seat, State(app): State<Arc<App>>, sent: Sent) -> Result<Response> {
    let made = async {
        seat.ask(&app, AdminAction::ManageReviews).await?;
        let active = super::active(&app, &seat).await?;
        let wanted = wanted(&sent, catalogue(active.as_ref()), &seat.zone(&app).await?)?;
        Ok::<_, Error>(reviews::create(&app, &seat.tenant.id, &seat.principal().actor(), wanted).await?)
    };
    match made.await {
        Ok(review) => {
            let back = seat.at(&format!("decisions/reviews/{}", review.id));
            answered(&back, Ok(format!("“{}” is set up: its lines are written when it opens", review.name)))
        }
        Err(error) => answered(&seat.at("decisions/reviews/new"), Err::<String, _>(error)),
    }
}

fn wanted(sent: &Sent, catalogue: &[Role], zone: &TimeZone) -> Result<WantedReview> {
    let lines = |name: &str| -> Vec<String> {
        sent.get(name).unwrap_or_default().lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let number = |text: &str, label: &str| {
        text.parse::<u32>().map_err(|_| Error::bad_request(format!("“{label}”: `{text}` is no number"), "a form's number is none"))
    };
    let roles: Vec<RoleId> = if sent.get("every_role").is_some() {
        catalogue.iter().map(|role| RoleId::from(role.id.as_str())).collect()
    } else {
        sent.all("role").map(RoleId::from).collect()
    };
    let scope = ReviewScope {
        roles,
        accounts: lines("accounts").iter().map(|id| AccountId::from(id.as_str())).collect(),
        connections: sent.all("connection").map(ConnectionId::from).collect(),
    };
    let hours = sent.get("remind_hours").unwrap_or_default().split_whitespace();
    let plan = ReviewPlan {
        scope,
        reviewers: sent.get("reviewers").and_then(Reviewers::from_word).unwrap_or(Reviewers::RoleOwner),
        named: lines("named"),
        fallback: sent.needed("fallback", "Fallback")?.to_owned(),
        remind_hours: hours.map(|text| number(text, "Reminders")).collect::<Result<_>>()?,
        on_silence: sent.get("on_silence").and_then(OnSilence::from_word).unwrap_or(OnSilence::Keep),
        exception_days: number(
            sent.needed("exception_days", "A revocation counts for so many days")?,
            "A revocation counts for so many days",
        )?,
        exception_owner: sent.needed("exception_owner", "Who answers for revocations")?.to_owned(),
    };
    Ok(WantedReview {
        name: sent.needed("name", "Name")?.to_owned(),
        plan,
        opens: sent_moment(sent, zone, ("opens", "Opens", Edge::Beginning))?,
        closes: needed_moment(sent, zone, ("closes", "Closes at the end of", Edge::End))?,
    })
}

/// GET …/decisions/reviews/{review}/export
///
/// # Errors
/// 404.
pub async fn export(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, review)): At<(String, String)>,
    ApiQuery(query): ApiQuery<ExportQuery>,
) -> Result<Response> {
    api::exported(&app, &seat.tenant.id, &review, query.format).await
}
