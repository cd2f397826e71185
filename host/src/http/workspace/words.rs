//! Small pieces that pages put together: links to people, tabs, moments that forms send.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::form::Sent;
use super::path::segment;
use super::seat::Seat;
use crate::http::error::{Error, Result};
use crate::model::{Actor, Instant, Reason};
use crate::policies::Role;

/// How many lines a page of a list has: what one looks through before deciding.
pub const PAGE_LINES: i64 = 50;
/// Until when something is allowed unless somebody says otherwise, in days: what a form suggests.
pub const SUGGESTED_DAYS: i64 = 30;

/// Which end of a day is meant where a form sends a date alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Its first instant.
    Beginning,
    /// The instant when it is over.
    End,
}

/// The instant that a form's field says: a date, a date with a time, or an instant with its offset. Without an offset it is UTC's.
#[must_use]
pub fn moment(text: &str, edge: Edge) -> Option<Instant> {
    moment_in(&TimeZone::UTC, text, edge)
}

/// The same in another time zone: a day there, from its first instant.
fn moment_in(zone: &TimeZone, text: &str, edge: Edge) -> Option<Instant> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.into());
    }
    let there = |at: DateTime| zone.to_ambiguous_timestamp(at).compatible().ok().map(Instant::from);
    match text.parse::<Date>() {
        Ok(date) if !text.contains('T') => match edge {
            Edge::Beginning => there(date.at(0, 0, 0, 0)),
            Edge::End => there(date.tomorrow().ok()?.at(0, 0, 0, 0)),
        },
        _ => there(text.parse::<DateTime>().ok()?),
    }
}

/// A field of a form that says a moment in the tenant's time zone, where it is filled in.
///
/// # Errors
/// 400 for what is none.
pub fn sent_moment(sent: &Sent, zone: &TimeZone, (name, label, edge): (&str, &str, Edge)) -> Result<Option<Instant>> {
    let Some(text) = sent.get(name) else { return Ok(None) };
    let wrong = || Error::bad_request(format!("“{label}” is a date such as 2031-07-01: `{text}` is none"), "a form's date is none");
    moment_in(zone, text, edge).map(Some).ok_or_else(wrong)
}

/// The same of a field that has to be filled in.
///
/// # Errors
/// 400 for what is none, and for nothing.
pub fn needed_moment(sent: &Sent, zone: &TimeZone, field: (&str, &str, Edge)) -> Result<Instant> {
    let empty = || Error::bad_request(format!("fill in “{}”", field.1), "a field of a form is empty");
    sent_moment(sent, zone, field)?.ok_or_else(empty)
}

/// The day in the zone that is the last before an end.
#[must_use]
pub fn last_day(ends: Instant, zone: &TimeZone) -> String {
    zone.to_datetime(Instant(ends.0 - 1).timestamp()).strftime("%Y-%m-%d").to_string()
}

/// A date some days ahead, as the field of a form has it.
#[must_use]
pub fn date_after(now: Instant, days: i64) -> String {
    date(now.plus_seconds(days * 86_400))
}

/// The date of an instant in UTC.
#[must_use]
pub fn date(at: Instant) -> String {
    at.timestamp().strftime("%Y-%m-%d").to_string()
}

/// The date and the time of an instant in UTC, for people.
#[must_use]
pub fn clock(at: Instant) -> String {
    at.timestamp().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Somebody, with the way to their page.
#[must_use]
pub fn person(seat: &Seat, account: &str, name: Option<&str>) -> Markup {
    html! { a href=(seat.at(&format!("people/{}", segment(account)))) { (name.unwrap_or(account)) } }
}

/// A role as whoever decides about it needs it: what it is for, and whether it needs care.
#[must_use]
pub fn role(catalogue: &[Role], id: &str) -> Markup {
    let known = catalogue.iter().find(|role| role.id == id);
    html! {
        code { (id) }
        @match known {
            Some(role) => {
                @if role.privileged { " " span.badge.warn { "privileged" } }
                @if !role.description.is_empty() { br; span.quiet { (role.description) } }
                @if let Some(owner) = &role.owner { br; span.quiet { "owner " (owner) } }
            }
            None => { " " span.badge { "not in the catalogue" } }
        }
    }
}

/// Why a role is held: the policies that say so, with the groups that they rest on.
#[must_use]
pub fn reasons(reasons: &[Reason]) -> Markup {
    html! {
        ul.lines {
            @for reason in reasons {
                li {
                    (reason.reason.as_deref().unwrap_or("no reason is given")) " " code { (reason.policy) }
                    @for chain in reason.groups.iter().filter(|chain| !chain.is_empty()) { br; span.quiet { "through " (chain.join(" → ")) } }
                    @if reason.proposed { br; span.quiet { "nominated by the plugin" @if let Some(said) = &reason.nomination { ": " (said) } } }
                    @if let Some(asks) = &reason.approval { br; span.quiet { "asks: " (asks) } }
                }
            }
        }
    }
}

/// Who or what did something.
#[must_use]
pub fn actor(actor: &Actor) -> String {
    match actor.kind.as_str() {
        Actor::PERSON => actor.id.clone(),
        Actor::API_TOKEN => format!("token {}", actor.id),
        "startup" => "the server’s start".to_owned(),
        kind => format!("{} {}", kind.replace('_', " "), actor.id),
    }
}

/// Tabs: the address of each below the tenant, its words, and whether it is this page's.
#[must_use]
pub fn tabs<P: AsRef<str>>(seat: &Seat, label: &str, here: &str, all: &[(P, &str)]) -> Markup {
    html! {
        nav aria-label=(label) {
            ul.tabs {
                @for (path, words) in all {
                    li { a href=(seat.at(path.as_ref())) aria-current=[(path.as_ref() == here).then_some("page")] { (words) } }
                }
            }
        }
    }
}

/// Filters of a list: each an address and its words, and whether it is what is shown.
#[must_use]
pub fn filters(all: &[(String, String, bool)]) -> Markup {
    html! {
        p.actions {
            @for (to, words, here) in all {
                a.button href=(to) aria-current=[here.then_some("true")] { (words) }
            }
        }
    }
}

/// A number with the word for what is counted.
#[must_use]
pub fn counted(number: i64, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{number} {word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_forms_send_them() {
        for (text, edge, expect) in [
            ("2031-07-01", Edge::Beginning, Some("2031-07-01T00:00:00.000Z")),
            ("2031-07-01", Edge::End, Some("2031-07-02T00:00:00.000Z")),
            ("2031-07-01T09:30", Edge::End, Some("2031-07-01T09:30:00.000Z")),
            ("2031-07-01T09:30:00+02:00", Edge::End, Some("2031-07-01T07:30:00.000Z")),
            ("tomorrow", Edge::End, None),
            ("2031-13-01", Edge::End, None),
            ("", Edge::End, None),
        ] {
            assert_eq!(moment(text, edge).map(|at| at.to_string()).as_deref(), expect, "{text}");
        }
        let berlin = TimeZone::get("Europe/Berlin").expect("a zone");
        let there = |edge| moment_in(&berlin, "2031-03-30", edge).expect("a day");
        assert_eq!(there(Edge::Beginning).to_string(), "2031-03-29T23:00:00.000Z");
        assert_eq!(there(Edge::End).to_string(), "2031-03-30T22:00:00.000Z", "it has 23 hours");
        assert_eq!(last_day(there(Edge::End), &berlin), "2031-03-30");
        let noon = moment("2031-12-30T12:00:00Z", Edge::End).expect("an instant");
        assert_eq!(date_after(noon, 3), "2032-01-02");
    }
}
