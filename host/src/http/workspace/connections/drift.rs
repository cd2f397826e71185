//! Reconciliations: an export of the identity provider is compared with what is stored, what differs is shown with what putting it right would do
//! to people's roles, and what was seen is carried out.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument as _;

use super::super::form::{Sent, answer};
use super::super::page::{When, badge, columns, empty, hash, more, token};
use super::super::path::{self, with};
use super::super::refused::Refused;
use super::super::seat::Seat;
use super::super::words::{self, PAGE_LINES, counted};
use super::{MAY_MANAGE, Tab, at, one, unless};
use crate::app::App;
use crate::http::api::drift::as_csv;
use crate::http::error::{Error, Result};
use crate::http::frame;
use crate::http::query::{ApiQuery, At, page as page_of};
use crate::http::routes::{Route, get, post};
use crate::model::{
    AdminAction, ConnectionId, DriftForecast, DriftGroup, DriftKind, DriftLine, DriftOutcome, Hold, HoldState, Instant, Reconciliation,
    ReconciliationState, RoleId,
};
use crate::provisioning::drift::{self, KEPT_DAYS, PLAN_DAYS, Upload};
use crate::store::DriftQuery;
use crate::tenancy::TenancyError;
use crate::tenancy::governance::REASON_CHARS_LIMIT;
use crate::tenancy::imports::{Format, LISTING_BYTES_LIMIT, LISTING_ROWS_LIMIT};

/// The largest form with an export, in bytes: its text, with commas, quotes and ends of lines as forms write them.
pub const EXPORT_FORM_BYTES_LIMIT: usize = 48 * 1024 * 1024;
/// Reconciliations that are listed: the newest.
const SHOWN: i64 = 50;
/// The most problems of a file that are shown.
const PROBLEMS_SHOWN: usize = 100;
/// The most values of an attribute and groups of a line that are shown: the file has them all.
const OF_LINE_SHOWN: usize = 20;
/// For how long a page keeps itself up to date, in seconds: half an hour.
const LIVE_SECONDS: i64 = 1_800;
/// After how many seconds a comparison that has not ended was cut off: the largest one takes seconds.
const CUT_OFF_SECONDS: i64 = 600;
/// An example of an export.
const EXAMPLE: &str = "user_name,external_id,active,groups\nada@acme.example,1001,true,Engineering;Staff\nbo@acme.example,1002,false,";
/// Tells htmx to load the page again: there is something else to do now.
const REFRESH: HeaderName = HeaderName::from_static("hx-refresh");

pub(super) fn all() -> Vec<Route> {
    const TAB: &str = "/workspace/t/{tenant}/connections/{connection}/drift";
    vec![
        get(TAB, "drift_page", "Exports that were compared with what is stored of a connection", list),
        post(TAB, "compare_export_form", "Compares an export with what is stored", send),
        get("/workspace/t/{tenant}/drift/{reconciliation}", "reconciliation_page", "What an export lists otherwise than stored", show),
        get(
            "/workspace/t/{tenant}/drift/{reconciliation}/progress",
            "reconciliation_progress",
            "How far it is, as a part of that page",
            progress,
        ),
        get("/workspace/t/{tenant}/drift/{reconciliation}/export", "download_drift", "All lines as a file", export),
        post("/workspace/t/{tenant}/drift/{reconciliation}/carry-out", "carry_out_form", "Carries out what was seen", carry_out),
        post("/workspace/t/{tenant}/drift/{reconciliation}/abandon", "abandon_form", "Gives a reconciliation up", abandon),
    ]
}

/// Nothing.
#[derive(Deserialize, JsonSchema)]
pub struct Nothing {}

/// GET …/connections/{connection}/drift
///
/// # Errors
/// 404.
pub async fn list(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, ConnectionId)>,
    _: ApiQuery<Nothing>,
) -> Result<Response> {
    listed(&app, &seat, &id, &html! {}).await
}

async fn listed(app: &Arc<App>, seat: &Seat, id: &ConnectionId, became: &Markup) -> Result<Response> {
    let (connection, rights, now) = (one(app, seat, id).await?, seat.rights(app).await?, app.clock.now());
    let found = app.store.reconciliations(&seat.tenant.id, Some(id), SHOWN).await?;
    let body = html! {
        (became)
        @if found.is_empty() {
            (empty("Nothing was compared yet", &html! {
                "A connector that was broken for a week, people who were deleted while it was off, a restore that went back a day: the identity provider and what is "
                "stored here come apart. Export its people, upload the file, and this page says who is missing, who is left over and who differs, and what putting it right would "
                "do to their roles, before anything is changed."
            }))
        }
        (unless(&rights, AdminAction::ManageConnections, MAY_MANAGE, uploading(seat, id)))
        @if !found.is_empty() {
            h2 { "Reconciliations" }
            table.stack {
                (columns(&["Uploaded", "State", "Who differs", "Who differs still"]))
                tbody data-rows {
                    @for one in &found {
                        tr {
                            td { a href=(address(seat, one, "")) { (When { at: one.created, now }) } br; span.quiet { "by " (words::actor(&one.made_by)) } }
                            td { (state(one)) @if let Some(reason) = &one.reason { br; span.quiet { (reason) } } }
                            td { (summary(one)) }
                            td { (one.distance) }
                        }
                    }
                }
            }
            p.quiet { "The newest " (SHOWN) "; what is over is kept for " (KEPT_DAYS) " days." }
        }
    };
    Ok(Tab { seat, connection: &connection, tab: "drift", beside: html! {}, body }.into_response())
}

/// The address of a reconciliation, or of what is done with it.
fn address(seat: &Seat, of: &Reconciliation, rest: &str) -> String {
    let slash = if rest.is_empty() { "" } else { "/" };
    seat.at(&format!("drift/{}{slash}{rest}", path::segment(&of.id)))
}

fn state(of: &Reconciliation) -> Markup {
    let words = match of.state {
        ReconciliationState::Loading => "is compared",
        ReconciliationState::Simulating => "is simulated",
        ReconciliationState::Ready => "waits for a yes",
        ReconciliationState::Running => "is carried out",
        ReconciliationState::Finished => "done",
        ReconciliationState::Abandoned => "given up",
        ReconciliationState::Expired => "expired",
    };
    badge(words)
}

fn summary(of: &Reconciliation) -> String {
    let counts = &of.counts;
    let all = [(counts.missing, "missing"), (counts.extra, "extra"), (counts.differing, "differing"), (counts.doubts, "in doubt")];
    let some: Vec<String> = all.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect();
    if some.is_empty() { "nobody".to_owned() } else { some.join(", ") }
}

fn uploading(seat: &Seat, id: &ConnectionId) -> Markup {
    html! {
        section.card {
            h2 { "Compare an export" }
            form method="post" action=(at(seat, id, "drift")) {
                (token(&seat.guest))
                label data-reads-file hidden { "The export, CSV or JSON" input type="file" accept=".csv,.json,text/csv,application/json" data-reads-into="content"; }
                label.check { input type="checkbox" name="complete" value="yes" checked; "It lists everybody: whoever is stored and not listed is extra" }
                details {
                    summary { "Paste its text" }
                    textarea.code #content name="content" aria-label="The export’s text" placeholder=(EXAMPLE) {}
                }
                button.main { "Compare" }
            }
            p.quiet { "Nothing is changed by comparing. At most " (LISTING_ROWS_LIMIT) " people and " (LISTING_BYTES_LIMIT / 1024 / 1024) " MiB." }
            details {
                summary { "What the file holds" }
                p { "A header and rows, or a JSON array of objects. An empty cell, and a column that is not there, says nothing and differs from nothing; "
                    "where there is a column " code { "groups" } ", an empty cell says that the person is in no group." }
                dl.pairs {
                    dt { code { "user_name" } } dd { "The login name. It has to be there." }
                    dt { code { "external_id" } } dd { "The identity provider’s id: by it people are known before their name." }
                    dt { code { "active" } } dd { code { "true" } " or " code { "false" } "." }
                    dt { code { "groups" } } dd { "The groups that they are members of themselves, by name or external id, separated by " code { ";" } "." }
                    dt { code { "emails" } } dd { "Addresses, separated by " code { ";" } "." }
                    dt { "Attributes" } dd { code { "display_name, given_name, family_name, title, user_type, department, division, organization, cost_center, employee_number" } }
                }
            }
        }
    }
}

/// How a text is written: an array of objects, or rows.
fn format_of(text: &str) -> Format {
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('[') { Format::Json } else { Format::Csv }
}

/// POST …/connections/{connection}/drift: what is wrong with a file is told with line and column.
///
/// # Errors
/// Those that no other file would avoid.
pub async fn send(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, ConnectionId)>,
    sent: Sent<EXPORT_FORM_BYTES_LIMIT>,
) -> Result<Response> {
    let begun = async {
        seat.ask(&app, AdminAction::ManageConnections).await?;
        let content = sent.raw("content").filter(|text| !text.trim().is_empty()).map(str::to_owned);
        let nothing = || Error::bad_request("choose a file, or paste its text", "an export is empty");
        let content = content.ok_or_else(nothing)?;
        let upload = Upload { format: format_of(&content), content, complete: sent.get("complete").is_some() };
        let (app, tenant, actor, id) = (Arc::clone(&app), seat.tenant.id.clone(), seat.principal().actor(), id.clone());
        frame::to_the_end(async move { drift::begin(&app, &tenant, &id, upload, &actor).await }).await
    };
    let begun = match begun.await {
        Ok(Ok(begun)) => begun,
        Ok(Err(TenancyError::File(problems))) => {
            let became = html! {
                div.said.bad role="alert" {
                    p { "Nothing was compared: " (counted(i64::try_from(problems.len()).unwrap_or(i64::MAX), "thing is", "things are")) " wrong with the file." }
                    ul { @for problem in problems.iter().take(PROBLEMS_SHOWN) { li {
                        @if let Some(line) = problem.line { "Line " (line) @if let Some(column) = problem.column { ", column " (column) } ": " }
                        (problem.message) @if let Some(help) = &problem.help { " (" (help) ")" }
                    } } }
                    @if problems.len() > PROBLEMS_SHOWN { p { (problems.len() - PROBLEMS_SHOWN) " more: mend these first." } }
                }
            };
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let page = listed(&app, &seat, &id, &became).await?;
            return Ok((status, Extension(Refused { status, said: None }), page).into_response());
        }
        Ok(Err(error)) => return answer(&at(&seat, &id, "drift"), Err::<String, _>(error.into())),
        Err(error) => return answer(&at(&seat, &id, "drift"), Err::<String, _>(error)),
    };
    let to = seat.at(&format!("drift/{}", path::segment(&begun.id)));
    // The page that comes next says how far it is, so that nobody waits here.
    let work = async move {
        if let Err(error) = drift::compare(&app, begun).await {
            tracing::error!(%error, "an export was not compared to its end");
        }
    };
    tokio::spawn(work.in_current_span());
    answer(&to, Ok("The export is read."))
}

/// Which lines.
#[derive(Deserialize, JsonSchema)]
pub struct LinesQuery {
    /// Only lines behind this one.
    after: Option<i64>,
    /// Of this kind alone.
    kind: Option<String>,
    /// With this outcome alone.
    outcome: Option<String>,
}

impl LinesQuery {
    fn read(&self) -> DriftQuery {
        DriftQuery {
            after: self.after.unwrap_or(0),
            kind: self.kind.as_deref().and_then(DriftKind::from_word),
            outcome: self.outcome.as_deref().and_then(DriftOutcome::from_word),
            limit: PAGE_LINES + 1,
        }
    }
}

async fn find(app: &App, seat: &Seat, id: &str) -> Result<Reconciliation> {
    app.store
        .reconciliation(&seat.tenant.id, id)
        .await?
        .ok_or_else(|| Error::not_found("such reconciliation: what is over is kept for a month"))
}

/// GET …/drift/{reconciliation}
///
/// # Errors
/// 404.
pub async fn show(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiQuery(query): ApiQuery<LinesQuery>,
) -> Result<Response> {
    let (found, now) = (find(&app, &seat, &id).await?, app.clock.now());
    let (connection, rights) = (one(&app, &seat, &found.connection).await?, seat.rights(&app).await?);
    let query = query.read();
    let lines = app.store.drift_lines(&seat.tenant.id, &found.id, &query).await?;
    let (lines, next) = page_of(lines, PAGE_LINES, |line| line.line);
    let hold = hold_of(&app, &seat, &found).await?;
    let here = address(&seat, &found, "");
    let said = [("kind", query.kind.map_or("", DriftKind::word)), ("outcome", query.outcome.map_or("", DriftOutcome::word))];
    let beside =
        html! { @if found.counts.distance() > 0 { a.button href=(with(&address(&seat, &found, "export"), &said)) { "Export CSV" } } };
    let body = html! {
        p { a href=(at(&seat, &found.connection, "drift")) { "All reconciliations" } }
        (live(&seat, &found, hold.as_ref(), (now, now.plus_seconds(LIVE_SECONDS))))
        (numbers(&found, now))
        @if found.state == ReconciliationState::Ready {
            (unless(&rights, AdminAction::ManageConnections, MAY_MANAGE, carrying_out(&seat, &found, now)))
        }
        @if !found.state.is_over() && rights.may(AdminAction::ManageConnections) { (giving_up(&seat, &found)) }
        @if found.state != ReconciliationState::Loading && found.counts.distance() > 0 {
            h2 { "Who differs" }
            (filters(&found, &here, &query))
            @if lines.is_empty() { p.quiet { "Nobody of that kind." } } @else { (table(&seat, &lines)) }
            (more(next.map(|next| with(&here, &[said[0], said[1], ("after", &next.to_string())]))))
        }
    };
    Ok(Tab { seat: &seat, connection: &connection, tab: "drift", beside, body }.into_response())
}

/// The hold in which those who would lose access wait.
async fn hold_of(app: &App, seat: &Seat, of: &Reconciliation) -> Result<Option<Hold>> {
    let Some(hold) = &of.hold else { return Ok(None) };
    Ok(app.store.hold(&seat.tenant.id, hold).await?)
}

/// Until when the page that asks is kept up to date, and what it shows.
#[derive(Deserialize, JsonSchema)]
pub struct ProgressQuery {
    until: i64,
    /// The state that the page shows.
    state: Option<String>,
}

/// GET …/drift/{reconciliation}/progress
///
/// # Errors
/// 404.
pub async fn progress(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiQuery(query): ApiQuery<ProgressQuery>,
) -> Result<Response> {
    let (found, now) = (find(&app, &seat, &id).await?, app.clock.now());
    let hold = hold_of(&app, &seat, &found).await?;
    let part = Html(live(&seat, &found, hold.as_ref(), (now, Instant(query.until))).into_string());
    let same = query.state.as_deref() == Some(found.state.word());
    Ok(if same { part.into_response() } else { ([(REFRESH, "true")], part).into_response() })
}

/// How far it is; asks again by itself while it goes on.
fn live(seat: &Seat, of: &Reconciliation, hold: Option<&Hold>, (now, until): (Instant, Instant)) -> Markup {
    let all = of.counts.distance();
    let goes_on = !of.state.is_over() && of.state != ReconciliationState::Ready && until > now;
    let asks = goes_on.then(|| format!("{}?until={}&state={}", address(seat, of, "progress"), until.0, of.state));
    let every = if of.state == ReconciliationState::Running && hold.is_some() { "every 10s" } else { "every 2s" };
    html! {
        div #progress hx-get=[asks] hx-trigger=[goes_on.then_some(every)] hx-swap=[goes_on.then_some("outerHTML")] aria-live="polite" {
            p { (state(of)) " " @match of.state {
                ReconciliationState::Loading => "The export is compared with everybody who is stored.",
                ReconciliationState::Simulating => { "What it would do to people’s roles is found out: " (of.simulated) " of " (all) "." }
                ReconciliationState::Ready => @if all == 0 { "Everybody is stored as listed." } @else { "Nothing is changed yet. It may be carried out until " (words::clock(of.ends)) "." },
                ReconciliationState::Running => { (all - of.distance) " of " (all) " are as listed now." }
                ReconciliationState::Finished => @if of.distance == 0 { "Everybody is as listed." } @else { (counted(of.distance, "person differs", "people differ")) " still: the lines say why." },
                ReconciliationState::Abandoned | ReconciliationState::Expired => "Nothing more comes of it.",
            } }
            @match of.state {
                ReconciliationState::Loading if now.millis_since(of.created) > CUT_OFF_SECONDS * 1_000 =>
                    p.note { "It takes longer than it can: the server was stopped in the middle. Upload the export again, which takes this one’s place." },
                ReconciliationState::Loading => progress aria-label="The export is compared" {},
                ReconciliationState::Simulating => progress max=(all.max(1)) value=(of.simulated) aria-label="People simulated" {},
                ReconciliationState::Running => progress max=(all.max(1)) value=(all - of.distance) aria-label="People who are as listed" {},
                _ => {}
            }
            @if let Some(hold) = hold.filter(|hold| hold.state == HoldState::Open) {
                p.note {
                    (counted(hold.people, "person", "people")) " would lose access, more than may at once: they wait together in "
                    a href=(seat.at(&format!("decisions/holds/{}", hold.id))) { "a hold" } " until somebody releases or rejects it. Everybody else goes on."
                }
            }
        }
    }
}

fn numbers(of: &Reconciliation, now: Instant) -> Markup {
    let counts = &of.counts;
    html! {
        dl.pairs {
            dt { "Uploaded" } dd { (When { at: of.created, now }) " by " (words::actor(&of.made_by)) @if !of.complete { ", of some people: nobody is extra" } }
            @if of.state != ReconciliationState::Loading {
                dt { "Listed and stored" } dd { (counts.listed) " in the export, " (counts.stored) " here" }
                dt { "Who differs" } dd { (summary(of)) @if counts.memberships > 0 { "; " (counted(counts.memberships, "membership", "memberships")) } }
            }
            @if !counts.unknown_groups.is_empty() {
                dt { "Unknown groups" } dd { (counts.unknown_groups.join(", ")) " " span.quiet { "listed and not stored, or several have the name: nobody joins them" } }
            }
            @if let (Some(by), Some(begun)) = (&of.carried_out_by, of.begun) { dt { "Carried out" } dd { "by " (words::actor(by)) " " (When { at: begun, now }) } }
            @if let Some(reason) = &of.reason { dt { "Why" } dd { (reason) } }
            @if let Some(digest) = &of.digest { dt { "Digest" } dd { (hash(digest)) } }
        }
    }
}

fn carrying_out(seat: &Seat, of: &Reconciliation, now: Instant) -> Markup {
    let counts = &of.counts;
    let does = [
        (counts.missing, "are made, and join their groups"),
        (counts.extra, "are deactivated; nobody is deleted"),
        (counts.differing, "get the values that are listed, and join and leave groups"),
        (counts.doubts, "are left alone: whose they are is decided at the identity provider"),
    ];
    html! {
        section.card {
            h2 { "Carry it out" }
            @if counts.distance() == 0 {
                p { "Nobody is written. The connection counts as reconciled: where it waits for that since a restore, it takes part again." }
            } @else {
                ul { @for (count, words) in does.iter().filter(|(count, _)| *count > 0) { li { strong { (count) } " " (words) } } }
                p { "Each is written as if the identity provider had, so that policies, approvals and the guard count. If more would lose access than may at once, all of those wait in a hold. "
                    "Whoever is written meanwhile is left alone. There is no step back for all of them: the identity provider’s next write, or another export, puts a line right again." }
            }
            form method="post" action=(address(seat, of, "carry-out")) {
                (token(&seat.guest))
                input type="hidden" name="digest" value=(of.digest.as_deref().unwrap_or_default());
                label { "Why" input type="text" name="reason" required maxlength=(REASON_CHARS_LIMIT); }
                label.check { input type="checkbox" name="seen" value="yes" required; "I have seen who differs, and what becomes of them" }
                button.main { "Carry it out for " (counted(counts.distance() - counts.doubts, "person", "people")) }
            }
            p.quiet { "Ends " (When { at: of.ends, now }) "; once it is carried out, its hold may be answered for " (PLAN_DAYS) " days." }
        }
    }
}

fn giving_up(seat: &Seat, of: &Reconciliation) -> Markup {
    let running = of.state == ReconciliationState::Running;
    html! {
        details {
            summary { "Give it up" }
            form method="post" action=(address(seat, of, "abandon")) {
                (token(&seat.guest))
                p { @if running { "What is done stays done; who is left is not written, and nobody of it is held any more." } @else { "Nothing was changed, and nothing will be." } }
                label { "Why" input type="text" name="reason" required maxlength=(REASON_CHARS_LIMIT); }
                button.danger { "Give it up" }
            }
        }
    }
}

fn filters(of: &Reconciliation, here: &str, query: &DriftQuery) -> Markup {
    let counts = &of.counts;
    let mut ways = vec![(here.to_owned(), format!("All {}", counts.distance()), query.kind.is_none() && query.outcome.is_none())];
    let kinds = [
        (DriftKind::Missing, counts.missing),
        (DriftKind::Extra, counts.extra),
        (DriftKind::Differing, counts.differing),
        (DriftKind::Doubt, counts.doubts),
    ];
    for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
        ways.push((with(here, &[("kind", kind.word())]), format!("{} {count}", kind_word(kind)), query.kind == Some(kind)));
    }
    if of.begun.is_some() {
        for outcome in DriftOutcome::ALL {
            ways.push((with(here, &[("outcome", outcome.word())]), outcome_word(*outcome).to_owned(), query.outcome == Some(*outcome)));
        }
    }
    words::filters(&ways)
}

fn kind_word(kind: DriftKind) -> &'static str {
    match kind {
        DriftKind::Missing => "Missing",
        DriftKind::Extra => "Extra",
        DriftKind::Differing => "Differing",
        DriftKind::Doubt => "In doubt",
    }
}

fn outcome_word(outcome: DriftOutcome) -> &'static str {
    match outcome {
        DriftOutcome::Done => "Done",
        DriftOutcome::Moved => "Moved since",
        DriftOutcome::Refused => "Refused",
        DriftOutcome::Rejected => "Rejected",
        DriftOutcome::Skipped => "Left alone",
        DriftOutcome::Expired => "Not done",
    }
}

fn table(seat: &Seat, lines: &[DriftLine]) -> Markup {
    html! {
        table.stack {
            (columns(&["Who", "What differs", "What it does to their roles", "What became of it"]))
            tbody data-rows {
                @for line in lines {
                    tr {
                        td {
                            @match &line.account {
                                Some(account) => (words::person(seat, account.as_str(), Some(&line.detail.user_name))),
                                None => (line.detail.user_name),
                            }
                            br; (badge(kind_word(line.kind)))
                        }
                        td { (difference(line)) }
                        td { (effect(line)) }
                        td {
                            @match line.outcome {
                                Some(outcome) => { (badge(outcome_word(outcome))) @if let Some(note) = &line.note { br; span.quiet { (note) } } }
                                None => span.quiet { "nothing yet" },
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What is listed otherwise than stored.
fn difference(line: &DriftLine) -> Markup {
    let groups = |groups: &[DriftGroup], word: &str| {
        let named: Vec<&str> = groups.iter().take(OF_LINE_SHOWN).map(|group| group.name.as_str()).collect();
        let others = groups.len().saturating_sub(OF_LINE_SHOWN);
        html! { @if !groups.is_empty() { div { (word) " " (named.join(", ")) @if others > 0 { " and " (others) " more" } } } }
    };
    html! {
        @match line.kind {
            DriftKind::Extra => div { "is stored and active, and not listed" },
            DriftKind::Missing => div.quiet { "is listed, and not stored" },
            DriftKind::Doubt => div { "has the login name of one person and the external id of another" },
            DriftKind::Differing => {}
        }
        @for one in line.detail.attributes.iter().take(OF_LINE_SHOWN) {
            div {
                code { (one.attribute.rsplit(':').next().unwrap_or(&one.attribute)) } " "
                @if line.kind != DriftKind::Missing { del { (plain(&one.stored)) } " → " }
                ins { (plain(&one.listed)) }
            }
        }
        (groups(&line.detail.joins, "joins"))
        (groups(&line.detail.leaves, "leaves"))
    }
}

/// A value as people read it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(many) => many.iter().take(OF_LINE_SHOWN).map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn effect(line: &DriftLine) -> Markup {
    let roles = |roles: &[RoleId], tone: &'static str, before: &str, after: &str| {
        html! { @for role in roles { span class={ "badge " (tone) } { (before) (role) (after) } " " } }
    };
    html! {
        @match &line.forecast {
            None if line.kind == DriftKind::Doubt => span.quiet { "nothing is done" },
            None => span.quiet { "not known yet" },
            Some(forecast) if *forecast == DriftForecast::default() => span.quiet { "none is gained or lost" },
            Some(DriftForecast { gains, loses, waits, account }) => {
                (roles(gains, "gain", "gains ", "")) (roles(loses, "loss", "loses ", "")) (roles(waits, "warn", "", " waits"))
                @if let Some(account) = account { div { "the account is then " (account.replace('_', " ")) } }
            }
        }
        // Who is not stored is in no group yet, and is evaluated like that.
        @if line.kind == DriftKind::Missing && !line.detail.joins.is_empty() {
            div.quiet { "what their groups give is decided once they have joined" }
        }
    }
}

/// GET …/drift/{reconciliation}/export
///
/// # Errors
/// 404.
pub async fn export(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, String)>,
    ApiQuery(query): ApiQuery<LinesQuery>,
) -> Result<Response> {
    let found = find(&app, &seat, &id).await?;
    Ok(as_csv(app, seat.tenant.id, found.id, query.read()))
}

/// POST …/drift/{reconciliation}/carry-out
///
/// # Errors
/// Those that no other input would avoid.
pub async fn carry_out(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageConnections).await?;
        sent.needed("seen", "I have seen who differs, and what becomes of them")?;
        let said = (sent.needed("digest", "What stands for what was seen")?.to_owned(), sent.needed("reason", "Why")?.to_owned());
        let held = drift::carry_out(&app, &seat.tenant.id, &seat.principal(), &id, said).await?;
        Ok(match held {
            0 => "It is carried out.".to_owned(),
            held => format!("It is carried out. {} wait in a hold.", counted(held, "person", "people")),
        })
    };
    answer(&seat.at(&format!("drift/{}", path::segment(&id))), done.await)
}

/// POST …/drift/{reconciliation}/abandon
///
/// # Errors
/// Those that no other input would avoid.
pub async fn abandon(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, String)>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageConnections).await?;
        drift::abandon(&app, &seat.tenant.id, &seat.principal(), &id, sent.needed("reason", "Why")?).await?;
        Ok("It is given up.")
    };
    answer(&seat.at(&format!("drift/{}", path::segment(&id))), done.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_read_as_it_is_written() {
        for (text, format) in [
            ("user_name\nada", Format::Csv),
            (" \n[{\"user_name\": \"ada\"}]", Format::Json),
            ("\u{feff}[]", Format::Json),
            ("\u{feff}user_name\n[x]", Format::Csv),
        ] {
            assert_eq!(format_of(text), format, "{text:?}");
        }
    }
}
