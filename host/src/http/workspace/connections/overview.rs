//! How a connection is: the state with its evidence, the day as bars, the measures by which it is judged; pausing, resuming and the guard.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::form::{Sent, answer};
use super::super::page::{When, badge, columns, token};
use super::super::seat::{Rights, Seat};
use super::super::words::counted;
use super::{MAY_ALL, Tab, at, one, unless};
use crate::app::App;
use crate::crypto;
use crate::http::error::{Error, Result};
use crate::http::query::{ApiQuery, At};
use crate::http::routes::{Route, get, post};
use crate::model::{AdminAction, ConnectionId, ConnectionState, HealthRule, HealthSettings, Instant, Traffic};
use crate::store::Connection;
use crate::tenancy;
use crate::tenancy::health::{self, EXCUSED_HOURS, HealthView};
use crate::tenancy::restored::{self, REASON_CHARS_LIMIT};

pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/connections/{connection}", "connection_page", "How a connection is", show),
        get("/workspace/t/{tenant}/connections/{connection}/now", "connection_now", "How a connection is, as a part of its page", now),
        post("/workspace/t/{tenant}/connections/{connection}/pause", "pause_connection_form", "Pauses a connection", pause),
        post(
            "/workspace/t/{tenant}/connections/{connection}/resume",
            "resume_connection_form",
            "Lets a connection take part again",
            resume,
        ),
        post(
            "/workspace/t/{tenant}/connections/{connection}/release",
            "release_connection_form",
            "Lets a restored connection take part",
            release,
        ),
        post("/workspace/t/{tenant}/connections/{connection}/guard", "guard_connection_form", "Switches a connection's guard", guard),
        post(
            "/workspace/t/{tenant}/connections/{connection}/measures",
            "measure_connection_form",
            "Sets by which measures a connection is judged",
            measure,
        ),
    ]
}

/// GET …/connections/{connection}
///
/// # Errors
/// 404.
pub async fn show(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    let (view, rights) = (health::view(&app, &seat.tenant.id, &id).await?, seat.rights(&app).await?);
    let now = app.clock.now();
    let body = html! {
        (live(&seat, &connection, &view, (now, now.plus_seconds(LIVE_SECONDS))))
        (measures(&seat, &connection, &view.settings, &rights))
    };
    let beside = switches(&seat, &connection, &rights);
    Ok(Tab { seat: &seat, connection: &connection, tab: "", beside, body }.into_response())
}

/// For how long a page keeps itself up to date, in seconds: half an hour.
const LIVE_SECONDS: i64 = 1_800;
/// How much of a hash tells one state of a page from another, in characters.
const MARK_CHARS: usize = 16;

/// What a page shows.
#[derive(Deserialize, JsonSchema)]
pub struct NowQuery {
    /// What stands for what it shows.
    mark: String,
    /// Until when it is kept up to date.
    until: i64,
}

/// GET …/connections/{connection}/now: nothing while nothing has changed, so that nobody loses their place on the page.
///
/// # Errors
/// 404.
pub async fn now(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, id)): At<(String, ConnectionId)>,
    ApiQuery(query): ApiQuery<NowQuery>,
) -> Result<Response> {
    let connection = one(&app, &seat, &id).await?;
    let (view, now) = (health::view(&app, &seat.tenant.id, &id).await?, app.clock.now());
    if query.until > now.0 && query.mark == mark(&view) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Html(live(&seat, &connection, &view, (now, Instant(query.until))).into_string()).into_response())
}

/// What stands for what a page shows.
fn mark(view: &HealthView) -> String {
    crypto::sha256_hex(format!("{:?} {:?}", view.health, view.traffic).as_bytes()).chars().take(MARK_CHARS).collect()
}

/// What moves by itself, until it is too late.
fn live(seat: &Seat, connection: &Connection, view: &HealthView, (now, until): (Instant, Instant)) -> Markup {
    let address = format!("{}?mark={}&until={}", at(seat, &connection.id, "now"), mark(view), until.0);
    let address = (until > now).then_some(address);
    let HealthView { health, traffic, .. } = view;
    html! {
        div #now hx-get=[address] hx-trigger="every 10s" hx-swap="outerHTML" {
            div.two {
                section.card {
                    h2 { (badge(health.state.word())) " " span.quiet { "since " (When { at: health.since, now }) } }
                    @if health.evidence.is_empty() {
                        p {
                            @if connection.last_seen.is_some() { "Nothing is wrong." }
                            @else { "No request has come yet. " a href=(at(seat, &connection.id, "set-up")) { "Set it up" } "." }
                        }
                    }
                    ul.lines {
                        @for evidence in &health.evidence {
                            li {
                                (badge(evidence.state.word())) " " strong { (evidence.rule.word().replace('_', " ")) } ": " (evidence.detail)
                                " " span.quiet { "since " (When { at: evidence.since, now }) }
                            }
                        }
                    }
                }
                section.card {
                    h2 { "When it comes" }
                    dl.pairs {
                        dt { "Last seen" } dd { @match connection.last_seen { Some(at) => (When { at, now }), None => "never" } }
                        dt { "Rhythm" } dd { (health.rhythm.as_deref().unwrap_or("being learned: silence is no alarm yet")) }
                        dt { "Silence is a stall" } dd { @match health.silent_until { Some(at) => (When { at, now }), None => "not known yet" } }
                        dt { "Wrong credentials" } dd { (connection.wrong_credentials) " since it was made" }
                        dt { "Made" } dd { (When { at: connection.created, now }) }
                    }
                }
            }
            section.card { h2 { "The last day" } (day(&bars(traffic, now), now)) }
        }
    }
}

/// How many bars a day has: one for each quarter of an hour.
const BARS: usize = 96;
/// How long a bar is, in microseconds.
const BAR_MICROS: i64 = 900 * 1_000_000;
/// The height of the highest bar, and what stands below it, as the drawing counts.
const HEIGHT: i64 = 80;
/// The width of a bar with its gap.
const STEP: i64 = 9;

/// What came within a quarter of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bar {
    /// Requests that write.
    writes: i64,
    /// Operations that were refused or failed.
    refused: i64,
    /// Requests with a wrong credential.
    wrong: i64,
}

/// A day as bars, the last of which goes on.
fn bars(traffic: &[(Instant, Traffic)], now: Instant) -> Vec<Bar> {
    let mut bars = vec![Bar::default(); BARS];
    let last = now.0.div_euclid(BAR_MICROS);
    for (slot, traffic) in traffic {
        let ago = last.saturating_sub(slot.0.div_euclid(BAR_MICROS));
        let Some(bar) = usize::try_from(ago).ok().and_then(|ago| BARS.checked_sub(ago.saturating_add(1))).and_then(|at| bars.get_mut(at))
        else {
            continue;
        };
        bar.writes += traffic.writes;
        bar.refused += traffic.refused + traffic.failed;
        bar.wrong += traffic.wrong;
    }
    bars
}

fn day(bars: &[Bar], now: Instant) -> Markup {
    let sum = |of: fn(&Bar) -> i64| bars.iter().map(of).sum::<i64>();
    let (writes, refused, wrong) = (sum(|bar| bar.writes), sum(|bar| bar.refused), sum(|bar| bar.wrong));
    let highest = bars.iter().map(|bar| bar.writes.max(bar.refused + bar.wrong)).max().unwrap_or(0).max(1);
    let (writing, refusals) =
        (counted(writes, "request that writes", "requests that write"), counted(refused, "operation refused", "operations refused"));
    let wrongs = counted(wrong, "request with a wrong credential", "requests with a wrong credential");
    let told = format!("{writing}, {refusals}, {wrongs} within the last day");
    if writes + refused + wrong == 0 {
        return html! { p.quiet { "Nothing came within the last day that writes, was refused or had a wrong credential." } };
    }
    let height = |count: i64| if count == 0 { 0 } else { (count * HEIGHT / highest).max(2) };
    let width = STEP * i64::try_from(BARS).unwrap_or(0);
    // Refusals hang below the line, so that they are told from writes without colours.
    html! {
        svg.chart viewBox=(format!("0 0 {width} {}", HEIGHT * 2 + 24)) role="img" aria-label=(told) {
            @for (at, bar) in bars.iter().enumerate() {
                @let x = i64::try_from(at).unwrap_or(0) * STEP;
                @if bar.writes > 0 { rect.fill-main x=(x) y=(HEIGHT - height(bar.writes)) width=(STEP - 2) height=(height(bar.writes)) {} }
                @if bar.refused > 0 { rect.fill-bad x=(x) y=(HEIGHT + 2) width=(STEP - 2) height=(height(bar.refused)) {} }
                @if bar.wrong > 0 { rect.fill-warn x=(x) y=(HEIGHT + 2 + height(bar.refused)) width=(STEP - 2) height=(height(bar.wrong)) {} }
            }
            line.grid x1="0" x2=(width) y1=(HEIGHT + 1) y2=(HEIGHT + 1) {}
            text x="0" y=(HEIGHT * 2 + 20) { "24 hours ago" }
            text x=(width / 2) y=(HEIGHT * 2 + 20) text-anchor="middle" { "12 hours ago" }
            text x=(width) y=(HEIGHT * 2 + 20) text-anchor="end" { "now" }
        }
        p {
            span.swatch.fill-main {} " above the line: " (writing) " · " span.swatch.fill-bad {} " below it: " (refusals) " · "
            span.swatch.fill-warn {} " and " (wrongs)
        }
        details { summary { "By the hour" } (hours(bars, now)) }
    }
}

fn hours(bars: &[Bar], now: Instant) -> Markup {
    let parts: Vec<(i64, Bar)> = bars
        .chunks(4)
        .enumerate()
        .map(|(at, four)| {
            let ago = i64::try_from(BARS / 4 - at).unwrap_or(0);
            let all = four.iter().fold(Bar::default(), |sum, bar| Bar {
                writes: sum.writes + bar.writes,
                refused: sum.refused + bar.refused,
                wrong: sum.wrong + bar.wrong,
            });
            (ago, all)
        })
        .filter(|(_, all)| *all != Bar::default())
        .collect();
    html! {
        table {
            (columns(&["Until", "Writes", "Refused", "Wrong credentials"]))
            tbody { @for (ago, bar) in parts.iter().rev() {
                tr {
                    th scope="row" { (When { at: now.plus_seconds(-(ago - 1) * 3_600), now }) }
                    td { (bar.writes) } td { (bar.refused) } td { (bar.wrong) }
                }
            } }
        }
    }
}

fn switches(seat: &Seat, connection: &Connection, rights: &Rights) -> Markup {
    let press = |what: &str, words: &str| {
        html! { form.inline method="post" action=(at(seat, &connection.id, what)) { (token(&seat.guest)) button { (words) } } }
    };
    html! {
        @if rights.may(AdminAction::ManageConnections) {
            @match connection.state {
                ConnectionState::Active => (press("pause", "Pause")),
                ConnectionState::Paused => (press("resume", "Resume")),
                ConnectionState::Staging => a.button.main href=(at(seat, &connection.id, "first-sync")) { "Go live…" },
                ConnectionState::Restored => form.inline method="post" action=(at(seat, &connection.id, "release")) {
                    (token(&seat.guest))
                    label { "How you know who has left since the backup" input type="text" name="reason" required maxlength=(REASON_CHARS_LIMIT); }
                    button { "Let it take part" }
                },
                ConnectionState::Quarantined => (press("resume", "I have looked: let it take part")),
            }
            form.inline method="post" action=(at(seat, &connection.id, "guard")) {
                (token(&seat.guest))
                input type="hidden" name="guarded" value=(if connection.guarded { "no" } else { "yes" });
                button { @if connection.guarded { "Stop guarding" } @else { "Guard" } }
            }
        }
    }
}

/// The measures that are figures: the field, what it is for.
const MEASURES: &[(&str, &str)] = &[
    ("silence_minutes", "Minutes of silence after which it is stalled; empty to learn its rhythm"),
    ("degraded_percent", "Percent of operations refused or failed: degraded"),
    ("failing_percent", "Percent of operations refused or failed: failing"),
    ("errors_at_least", "Operations below which errors say nothing"),
    ("wrong_credentials", "Wrong credentials within an hour"),
    ("credential_days", "Days before the last credential ends"),
    ("repeated_failures", "Refusals of one person or group within a day"),
    ("faults_percent", "Percent of people whose plugin or policy fails"),
    ("pending_minutes", "Minutes that people may wait to be decided"),
    ("throughput_percent", "Percent of the usual traffic below which it has collapsed"),
    ("skewed", "Requests within an hour whose clock is off"),
    ("overload_percent", "Percent of requests that are too many"),
    ("harm_times", "Times its limit that a hold may have"),
    ("harm_refused", "Operations within an hour of which nine in ten are refused"),
    ("recovery_minutes", "Minutes without a finding after which it is over"),
    ("escalate_minutes", "Minutes after which a bad state is told again; 0 for never"),
];

fn measures(seat: &Seat, connection: &Connection, settings: &HealthSettings, rights: &Rights) -> Markup {
    let now = json!(settings);
    let usual = json!(HealthSettings::default());
    let text = |value: &Value| value.as_u64().map(|number| number.to_string()).unwrap_or_default();
    let form = html! {
        form method="post" action=(at(seat, &connection.id, "measures")) {
            (token(&seat.guest))
            div.two {
                @for (field, words) in MEASURES {
                    label {
                        (words) @if now[field] != usual[field] { span.quiet { " (usually " (text(&usual[field])) ")" } }
                        input type="number" min="0" name=(field) value=(text(&now[field]));
                    }
                }
            }
            label.check {
                input type="checkbox" name="quarantine" value="yes" checked[settings.quarantine];
                span { "Harm puts it into quarantine " span.quiet { "else it is only said" } }
            }
            fieldset {
                legend { "Rules that are asked" }
                @for rule in HealthRule::ALL {
                    label.check {
                        input type="checkbox" name="rule" value=(rule.word()) checked[!settings.without.contains(rule)];
                        (rule.word().replace('_', " "))
                    }
                }
            }
            div.actions { button { "Set these measures" } button.plain name="usual" value="yes" { "Back to the usual ones" } }
        }
    };
    html! { details.card { summary { "By which measures it is judged" } (unless(rights, AdminAction::ManageTenant, MAY_ALL, form)) } }
}

/// POST …/connections/{connection}/measures
///
/// # Errors
/// Those that no other input would avoid.
pub async fn measure(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        let settings = if sent.get("usual").is_some() { None } else { Some(read_measures(&sent)?) };
        app.store.put_health_settings(&seat.tenant.id, &id, settings.as_ref(), &seat.principal().actor(), app.clock.now()).await?;
        Ok(if settings.is_some() { "It is judged by these measures." } else { "It is judged by the usual measures." })
    };
    answer(&at(&seat, &id, ""), done.await)
}

fn read_measures(sent: &Sent) -> Result<HealthSettings> {
    let wrong = |detail: String| Error::bad_request(detail, "settings of a connection's health are out of range");
    let mut fields = Map::new();
    for (field, words) in MEASURES {
        if let Some(text) = sent.get(field) {
            let number: u32 = text.parse().map_err(|_| wrong(format!("“{words}” must be a whole number")))?;
            fields.insert((*field).to_owned(), json!(number));
        }
    }
    let asked: Vec<&str> = sent.all("rule").collect();
    let without: Vec<&str> = HealthRule::ALL.iter().map(|rule| rule.word()).filter(|word| !asked.contains(word)).collect();
    fields.insert("without".to_owned(), json!(without));
    fields.insert("quarantine".to_owned(), json!(sent.get("quarantine").is_some()));
    let settings: HealthSettings = serde_json::from_value(Value::Object(fields)).map_err(|error| wrong(error.to_string()))?;
    settings.check().map_err(wrong)?;
    Ok(settings)
}

/// POST …/connections/{connection}/pause
///
/// # Errors
/// Those that no other input would avoid.
pub async fn pause(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, _: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageConnections).await?;
        tenancy::set_connection_state(&app, &seat.tenant.id, &id, ConnectionState::Paused, &seat.principal().actor()).await?;
        Ok("Paused: what it writes is stored, who leaves still loses access, and gains wait until it is resumed.")
    };
    answer(&at(&seat, &id, ""), done.await)
}

/// POST …/connections/{connection}/resume
///
/// # Errors
/// Those that no other input would avoid.
pub async fn resume(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, _: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageConnections).await?;
        health::excuse(&app, &seat.tenant.id, &id, &seat.principal().actor()).await?;
        Ok(format!("It takes part again: what waited takes effect, and harm is not asked about for {EXCUSED_HOURS} hours."))
    };
    answer(&at(&seat, &id, ""), done.await)
}

/// POST …/connections/{connection}/release
///
/// # Errors
/// Those that no other input would avoid.
pub async fn release(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageConnections).await?;
        let reason = sent.needed("reason", "How you know who has left since the backup")?;
        restored::release(&app, &seat.tenant.id, &id, reason, &seat.principal().actor()).await?;
        Ok("It takes part again: what waited since the restore is decided.")
    };
    answer(&at(&seat, &id, ""), done.await)
}

/// POST …/connections/{connection}/guard
///
/// # Errors
/// Those that no other input would avoid.
pub async fn guard(seat: Seat, State(app): State<Arc<App>>, At((_, id)): At<(String, ConnectionId)>, sent: Sent) -> Result<Response> {
    let done = async {
        seat.ask(&app, AdminAction::ManageConnections).await?;
        let guarded = sent.get("guarded") == Some("yes");
        app.store.set_guarded(&seat.tenant.id, &id, guarded, &seat.principal().actor(), app.clock.now()).await?;
        Ok(if guarded {
            "Its people are counted by the guard."
        } else {
            "Its people are not counted by the guard: whatever it writes takes effect at once."
        })
    };
    answer(&at(&seat, &id, ""), done.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_put_into_quarters_of_an_hour() {
        let now = Instant(BAR_MICROS * 1_000 + 60_000_000);
        let came = |writes, refused, wrong| Traffic { writes, refused, wrong, ..Traffic::default() };
        let slots = [
            (Instant(BAR_MICROS * 1_000), came(1, 0, 0)),
            (Instant(BAR_MICROS * 999), came(2, 1, 0)),
            (Instant(BAR_MICROS * 999 + 300_000_000), came(3, 0, 4)),
            (Instant(BAR_MICROS * 905), came(7, 0, 0)),
            (Instant(BAR_MICROS * 904), came(9, 0, 0)),
            (Instant(BAR_MICROS * 1_001), came(9, 0, 0)),
        ];
        let bars = bars(&slots, now);
        assert_eq!(bars.len(), BARS);
        assert_eq!(bars[95], Bar { writes: 1, refused: 0, wrong: 0 });
        assert_eq!(bars[94], Bar { writes: 5, refused: 1, wrong: 4 });
        assert_eq!(bars[0].writes, 7);
        assert_eq!(bars.iter().map(|bar| bar.writes).sum::<i64>(), 13, "what is older or yet to come is on no bar");
    }

    #[test]
    fn a_day_is_told_without_colours_too() {
        let slots = [(Instant(0), Traffic { writes: 3, refused: 1, wrong: 2, ..Traffic::default() })];
        let text = day(&bars(&slots, Instant(0)), Instant(0)).into_string();
        assert!(text.contains("3 requests that write, 1 operation refused, 2 requests with a wrong credential"), "{text}");
        assert!(day(&bars(&[], Instant(0)), Instant(0)).into_string().contains("Nothing came"));
    }
}
