//! One review: its lines with what was known of each, decided in bulk.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::catalogue;
use super::reviews::progress;
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At, page as page_of};
use crate::http::workspace::form::{Sent, answer as answered};
use crate::http::workspace::page::{Page, Section, When, badge, empty, heading, more, token};
use crate::http::workspace::path::{self, with};
use crate::http::workspace::seat::Seat;
use crate::http::workspace::words::{self, PAGE_LINES, counted};
use crate::model::{
    AdminAction, Evidence, GrantState, Instant, OnSilence, Reason, Review, ReviewDecision, ReviewLine, ReviewState, collision_key,
};
use crate::policies::Role;
use crate::store::{EarlyClose, LineQuery};
use crate::tenancy::reviews::{self, Said};

/// Which lines.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct LinesQuery {
    /// `mine`, `nobody`, `all`, or the name of a reviewer; one's own unless given.
    whose: Option<String>,
    /// A decision, or `any`; those that are undecided unless given.
    said: Option<String>,
    /// Only those behind this number.
    after: Option<i64>,
}

/// What evidence suggests, with why: a hint for whoever decides, and nothing that counts.
fn suggestion(evidence: &Evidence) -> (&'static str, String) {
    let others = counted(evidence.peers, "other holds it", "others hold it");
    if evidence.reasons.iter().any(Reason::is_exception) {
        ("look closely", "it rests on an exception: policies do not give it".to_owned())
    } else if evidence.state == GrantState::Retained {
        ("look closely", "it was kept over a fault: nothing gave it when the review was opened".to_owned())
    } else if evidence.privileged {
        ("look closely", format!("the role is privileged; {others}"))
    } else if evidence.peers == 0 {
        ("look closely", "nobody else holds it".to_owned())
    } else {
        ("keep", format!("a policy gives it, and {others}"))
    }
}

/// What is shown, by the query and by who asks.
struct Shown {
    whose: String,
    said: String,
}

impl Shown {
    fn of(query: &LinesQuery, person: Option<&str>) -> Self {
        let whose = query.whose.clone().filter(|whose| !whose.trim().is_empty() && !whose.contains('\0'));
        let said = query.said.clone().unwrap_or_else(|| ReviewDecision::Undecided.word().to_owned());
        Self { whose: whose.unwrap_or_else(|| if person.is_some() { "mine" } else { "all" }.to_owned()), said }
    }

    fn reviewer(&self, person: Option<&str>) -> Option<String> {
        match self.whose.as_str() {
            "all" => None,
            "nobody" => Some(String::new()),
            "mine" => Some(collision_key(person.unwrap_or_default())),
            name => Some(collision_key(name)),
        }
    }
}

/// GET …/decisions/reviews/{review}
///
/// # Errors
/// 404.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, review)): At<(String, String)>,
    ApiQuery(query): ApiQuery<LinesQuery>,
) -> Result<Response> {
    let (now, tenant) = (app.clock.now(), &seat.tenant.id);
    let review = app.store.review(tenant, &review).await?.ok_or_else(|| Error::not_found("such review"))?;
    let principal = seat.principal();
    let shown = Shown::of(&query, principal.scope.person.as_deref());
    let asked = LineQuery {
        reviewer: shown.reviewer(principal.scope.person.as_deref()),
        decision: ReviewDecision::from_word(&shown.said),
        lines: None,
        after: query.after.unwrap_or(0),
        limit: PAGE_LINES + 1,
    };
    let found: Vec<ReviewLine> = app.store.review_lines(tenant, &review.id, &asked).await?.into_iter().map(|view| view.line).collect();
    let (lines, next) = page_of(found, PAGE_LINES, |line| line.line);
    let active = super::active(&app, &seat).await?;
    let manages = seat.rights(&app).await?.may(AdminAction::ManageReviews);
    let decides = super::may_about(&app, &seat, AdminAction::DecideReview, lines.iter().map(|line| line.role.as_str())).await?;
    let here = seat.at(&format!("decisions/reviews/{}", review.id));
    let next = next.map(|next| with(&here, &[("whose", &shown.whose), ("said", &shown.said), ("after", &next.to_string())]));
    let export = html! {
        a.button href={ (here) "/export?format=csv" } { "Export CSV" }
        a.button href={ (here) "/export?format=json" } { "Export JSON Lines" }
    };
    let body = html! {
        (heading(&review.name, &export))
        (summary(&review, now))
        (ways(&here, &shown))
        @if lines.is_empty() { (nothing(&review)) }
        @else { (table(&seat, &review, &lines, (catalogue(active.as_ref()), &shown, (decides, manages), now))) }
        (more(next))
        @if manages && matches!(review.state, ReviewState::Draft | ReviewState::Open) { (closing(&seat, &review, &here)) }
    };
    let trail = [("Decisions", seat.at("decisions")), ("Reviews", seat.at("decisions/reviews"))];
    Ok(Page { seat: &seat, section: Section::Decisions, title: &review.name, trail: &trail, body }.into_response())
}

fn summary(review: &Review, now: Instant) -> Markup {
    let counts = &review.counts;
    html! {
        p { (badge(review.state.word())) " " (progress(review)) }
        dl.pairs {
            dt { "Said" }
            dd { (counts.keep) " keep, " (counts.revoke) " revoke, " (counts.change) " change, " (counts.dont_know) " don’t know, " (counts.undecided) " undecided" }
            @if counts.nobody > 0 { dt { "Without a reviewer" } dd { (counts.nobody) " when it was opened: hand them to somebody" } }
            dt { @if review.state == ReviewState::Closed { "Closed" } @else { "Closes" } }
            dd { (When { at: review.closed.unwrap_or(review.closes), now }) }
            dt { "Silence" }
            dd { @match review.plan.on_silence { OnSilence::Keep => "the role stays", OnSilence::Revoke => "the role goes" } }
            dt { "A revocation" }
            dd { "is an exception for " (counted(review.plan.exception_days.into(), "day", "days")) " that " (review.plan.exception_owner) " answers for" }
            @if review.state == ReviewState::Closed {
                dt { "Carried out" } dd { (counts.kept) " kept, " (counts.revoked) " revoked, " (counts.gone) " gone" }
            }
        }
    }
}

fn ways(here: &str, shown: &Shown) -> Markup {
    let whose = [("mine", "Mine"), ("all", "Everybody’s"), ("nobody", "Nobody’s")];
    let said = [
        ("undecided", "Undecided"),
        ("any", "Any"),
        ("keep", "Keep"),
        ("revoke", "Revoke"),
        ("change", "Change"),
        ("dont_know", "Don’t know"),
    ];
    html! {
        form.search method="get" action=(here) {
            label { "Whose" select name="whose" {
                @for (word, words) in whose { option value=(word) selected[shown.whose == word] { (words) } }
                @if !whose.iter().any(|(word, _)| *word == shown.whose) { option value=(shown.whose) selected { (shown.whose) } }
            } }
            label { "Said" select name="said" { @for (word, words) in said { option value=(word) selected[shown.said == word] { (words) } } } }
            button { "Show" }
        }
    }
}

fn nothing(review: &Review) -> Markup {
    let (title, teaches) = match review.state {
        ReviewState::Draft => ("No line yet", "The lines are written when the review opens: one for each role that somebody holds."),
        _ => ("No such line", "Nothing is left here by what is chosen above: choose “Everybody’s” and “Any” to see all lines."),
    };
    empty(title, &html! { (teaches) })
}

fn table(
    seat: &Seat,
    review: &Review,
    lines: &[ReviewLine],
    (roles, shown, (decides, manages), now): (&[Role], &Shown, (bool, bool), Instant),
) -> Markup {
    let here = seat.at(&format!("decisions/reviews/{}", review.id));
    let open = review.state == ReviewState::Open;
    let decides = open && decides;
    html! {
        form method="post" action=(here) {
            (token(&seat.guest))
            input type="hidden" name="whose" value=(shown.whose);
            input type="hidden" name="said" value=(shown.said);
            table.stack {
                thead { tr {
                    @if decides { th scope="col" { input type="checkbox" data-ticks="line" aria-label="Tick every line on this page"; } }
                    th scope="col" { "Person and role" } th scope="col" { "Evidence" } th scope="col" { "Suggestion" } th scope="col" { "Said" }
                } }
                tbody data-rows { @for line in lines { (row(seat, line, roles, (decides, now))) } }
            }
            @if decides { (buttons(seat)) }
            @if open && manages { (handing_on(&here)) }
        }
        @if open && !decides { p.quiet { "Lines are decided by their reviewers, signed in under their names." } }
    }
}

fn row(seat: &Seat, line: &ReviewLine, roles: &[Role], (decides, now): (bool, Instant)) -> Markup {
    let evidence = &line.evidence;
    let name = line.user_name.as_deref().unwrap_or(line.account.as_str());
    let (word, hint) = suggestion(evidence);
    html! {
        tr {
            @if decides { td { input type="checkbox" name="line" value=(line.line) aria-label={ "Tick line " (line.line) ": " (line.role) " of " (name) }; } }
            td { (words::person(seat, line.account.as_str(), Some(name))) br; (words::role(roles, line.role.as_str())) }
            td {
                (words::reasons(&evidence.reasons))
                span.quiet {
                    "held since " (When { at: evidence.since, now }) "; account last changed " (When { at: evidence.last_change, now }) "; "
                    (counted(evidence.peers, "other holds it", "others hold it"))
                }
            }
            td { (word) br; span.quiet { (hint) } }
            td {
                (badge(line.decision.word()))
                @if let Some(by) = &line.decided_by { " " span.quiet { "by " (by) } }
                @if let Some(reason) = &line.reason { br; (reason) }
                @if let Some(instead) = &line.instead { br; "instead: " (instead) }
                br; span.quiet { "reviewer " (line.reviewer.as_deref().unwrap_or("nobody")) " (" (evidence.reviewer_by.word().replace('_', " ")) ")" }
                @if let Some(outcome) = line.outcome { br; (badge(outcome.word())) }
            }
        }
    }
}

fn buttons(seat: &Seat) -> Markup {
    html! {
        fieldset {
            legend { "Of the lines that are ticked" }
            label { "Why " span.quiet { "(needed where a role goes)" } input type="text" name="reason" maxlength="500"; }
            label { "Instead " span.quiet { "(with “Change”: what is to be asked for)" } input type="text" name="instead" maxlength="200"; }
            div.actions {
                button.main name="decision" value="keep" data-press="a" { "Keep " kbd { "a" } }
                button.danger name="decision" value="revoke" data-press="r" { "Revoke " kbd { "r" } }
                button name="decision" value="change" data-press="c" { "Change " kbd { "c" } }
                button name="decision" value="dont_know" data-press="d" { "Don’t know " kbd { "d" } }
            }
            p.quiet { "What is said can be said anew until the review closes; only then is it carried out." }
            @if seat.principal().scope.person.is_none() { p.quiet { "Your session names nobody: a review is decided by a person, so that yours will be refused." } }
        }
    }
}

fn handing_on(here: &str) -> Markup {
    html! {
        details.card {
            summary { "Hand the ticked lines to somebody else" }
            label { "To " span.quiet { "(login name or address)" } input type="text" name="reviewer"; }
            label { "Why" input type="text" name="why" maxlength="500"; }
            button formaction={ (here) "/reassign" } { "Hand them on" }
        }
    }
}

fn closing(seat: &Seat, review: &Review, here: &str) -> Markup {
    let silent = review.counts.undecided + review.counts.dont_know;
    let becomes = if review.plan.on_silence == OnSilence::Revoke { "their roles go" } else { "their roles stay" };
    html! {
        details.card {
            summary { @if review.state == ReviewState::Draft { "Call the review off" } @else { "Close the review now" } }
            form method="post" action={ (here) "/close" } {
                (token(&seat.guest))
                p { "What was said is carried out: " (counted(review.counts.revoke + review.counts.change, "role goes", "roles go")) ". "
                    "A revocation is an exception, and is undone by ending it." }
                label { "Why" input type="text" name="reason" required maxlength="500"; }
                @if silent > 0 {
                    label.check { input type="checkbox" name="with_silence" value="yes";
                        "Also " (counted(silent, "line", "lines")) " about which nobody has said anything that counts: " (becomes) }
                }
                button.danger { "Close it" }
            }
        }
    }
}

fn back_to(seat: &Seat, review: &str, sent: &Sent) -> String {
    let here = seat.at(&format!("decisions/reviews/{}", path::segment(review)));
    with(&here, &[("whose", sent.get("whose").unwrap_or_default()), ("said", sent.get("said").unwrap_or_default())])
}

fn ticked(sent: &Sent) -> Result<Vec<i64>> {
    let lines = sent.all("line").map(str::parse).collect::<std::result::Result<Vec<i64>, _>>();
    match lines {
        Ok(lines) if !lines.is_empty() => Ok(lines),
        _ => Err(Error::bad_request("tick the lines that you mean", "no line is ticked")),
    }
}

/// POST …/decisions/reviews/{review}
///
/// # Errors
/// Those that no other input would avoid.
pub async fn decide(seat: Seat, State(app): State<Arc<App>>, At((_, review)): At<(String, String)>, sent: Sent) -> Result<Response> {
    let done = async {
        let decision = sent.get("decision").and_then(ReviewDecision::from_word);
        let decision = decision.ok_or_else(|| Error::bad_request("say what becomes of the lines", "a decision is none"))?;
        let lines = ticked(&sent)?;
        let count = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        let instead = sent.get("instead").filter(|_| decision == ReviewDecision::Change).map(str::to_owned);
        let said = Said { lines, decision, reason: sent.get("reason").map(str::to_owned), instead };
        let review = reviews::decide(&app, &seat.tenant.id, &seat.principal(), &review, said).await?;
        let word = decision.word().replace('_', " ");
        Ok(format!("{}: {word}. {} undecided.", counted(count, "line", "lines"), counted(review.counts.undecided, "line is", "lines are")))
    };
    answered(&back_to(&seat, &review, &sent), done.await)
}

/// POST …/decisions/reviews/{review}/reassign
///
/// # Errors
/// Those that no other input would avoid.
pub async fn reassign(seat: Seat, State(app): State<Arc<App>>, At((_, review)): At<(String, String)>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageReviews).await?;
        let lines = ticked(&sent)?;
        let count = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        let (to, why) = (sent.needed("reviewer", "To")?.to_owned(), sent.needed("why", "Why")?.to_owned());
        reviews::reassign(&app, &seat.tenant.id, &seat.principal().actor(), &review, (lines, to.clone(), why)).await?;
        Ok(format!("{} handed to {to}", counted(count, "line", "lines")))
    };
    answered(&back_to(&seat, &review, &sent), done.await)
}

/// POST …/decisions/reviews/{review}/close
///
/// # Errors
/// Those that no other input would avoid.
pub async fn close(seat: Seat, State(app): State<Arc<App>>, At((_, review)): At<(String, String)>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageReviews).await?;
        let early = EarlyClose { reason: sent.needed("reason", "Why")?.to_owned(), with_silence: sent.get("with_silence").is_some() };
        let review = reviews::close(&app, &seat.tenant.id, &seat.principal().actor(), &review, early).await?;
        Ok(format!("The review is {}: what was said is carried out within a moment", review.state.word()))
    };
    answered(&back_to(&seat, &review, &sent), done.await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReviewerSource;

    #[test]
    fn evidence_suggests_a_closer_look_where_it_should() {
        let evidence = |policy: &str, state, privileged, peers| Evidence {
            reasons: vec![Reason { policy: policy.into(), ..Reason::exception("x", None) }],
            since: Instant(0),
            state,
            revision: "r".into(),
            last_change: Instant(0),
            privileged,
            peers,
            connection: None,
            reviewer_by: ReviewerSource::RoleOwner,
        };
        for (evidence, word) in [
            (evidence("staff", GrantState::Effective, false, 12), "keep"),
            (evidence("staff", GrantState::Effective, false, 0), "look closely"),
            (evidence("staff", GrantState::Effective, true, 12), "look closely"),
            (evidence("staff", GrantState::Retained, false, 12), "look closely"),
            (evidence("exception:1", GrantState::Effective, false, 12), "look closely"),
        ] {
            assert_eq!(suggestion(&evidence).0, word);
        }
    }
}
