//! Instants, dates and spans as the command line takes them. Knows no server.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::clock::{Clock as _, SystemClock};
use crate::config::ConfigError;
use crate::model::Instant;

/// What was asked about.
#[derive(Debug, PartialEq, Eq)]
pub struct When {
    /// The instant, or the beginning of the day.
    pub at: Timestamp,
    /// The end of the day, exclusive.
    pub to: Option<Timestamp>,
    /// The same in words.
    pub words: String,
}

/// Reads an instant (`2026-09-21T14:00:00Z`), or a date, which stands for the whole day in the zone.
///
/// # Errors
/// [`ConfigError`] for what is neither, or an unknown zone.
pub fn read(at: &str, zone: Option<&str>) -> Result<When, ConfigError> {
    let invalid = |name, problem: String| ConfigError::Argument { name, problem };
    if let Ok(instant) = at.parse::<Timestamp>() {
        return Ok(When { at: instant, to: None, words: format!("at {instant}") });
    }
    let date = date_of(at).ok_or_else(|| {
        invalid("--at", format!("is `{at}`: give a date (`2026-09-21`), or an instant with its offset (`2026-09-21T14:00:00Z`)"))
    })?;
    let name = zone.unwrap_or("UTC");
    let zone = TimeZone::get(name).map_err(|error| invalid("--zone", format!("is `{name}`, which is no time zone: {error}")))?;
    let start = |date: Date| zone.to_timestamp(date.at(0, 0, 0, 0));
    let day = start(date).and_then(|at| Ok((at, start(date.checked_add(1.day())?)?)));
    let (at, to) = day.map_err(|error| invalid("--at", format!("is `{date}`, which is out of range: {error}")))?;
    Ok(When { at, to: Some(to), words: format!("on {date} ({name}): from {at} until before {to}") })
}

/// A date and nothing else: a time without an offset would be read as its date alone.
fn date_of(text: &str) -> Option<Date> {
    text.parse::<Date>().ok().filter(|date| date.to_string() == text)
}

/// The value of an option that is an instant; a date stands for its beginning, in UTC.
///
/// # Errors
/// What is wanted, for what is neither.
pub fn instant(text: &str) -> Result<Instant, String> {
    let of_date = || date_of(text).and_then(|date| TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok());
    let wanted = || "give an instant with its offset (`2031-07-01T00:00:00Z`), or a date: its beginning, in UTC (`2031-07-01`)".to_owned();
    text.parse().ok().or_else(of_date).map(Instant::from).ok_or_else(wanted)
}

/// The same, of what is ahead: also as days from now (`30d`).
///
/// # Errors
/// What is wanted, for what is none of them.
pub fn ahead(text: &str) -> Result<Instant, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u16>().ok());
    match days {
        Some(days) => Ok(SystemClock.now().plus_seconds(i64::from(days) * 86_400)),
        None => instant(text).map_err(|wanted| format!("{wanted}, or days from now (`30d`)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_take_instants_dates_and_days_from_now() {
        for (text, read) in [
            ("2031-07-01T00:00:00Z", Some("2031-07-01T00:00:00Z")),
            ("2031-07-01T02:00:00+02:00", Some("2031-07-01T00:00:00Z")),
            ("2031-07-01", Some("2031-07-01T00:00:00Z")),
            ("2031-07-01T00:00", None),
            ("tomorrow", None),
            ("30d", None),
        ] {
            assert_eq!(instant(text).ok().map(|at| at.timestamp().to_string()).as_deref(), read, "{text}");
        }
        let hours = ahead("30d").unwrap().millis_since(SystemClock.now()) / 3_600_000;
        assert!((719..=720).contains(&hours), "{hours}");
        for text in ["d", "-1d", "70000d", "30"] {
            assert!(ahead(text).unwrap_err().contains("`2031-07-01T00:00:00Z`"), "{text}");
        }
    }

    #[test]
    fn a_date_is_the_day_in_its_zone() {
        let utc = read("2026-09-21", None).unwrap();
        assert_eq!(utc.words, "on 2026-09-21 (UTC): from 2026-09-21T00:00:00Z until before 2026-09-22T00:00:00Z");
        // The day on which summer time ends has 25 hours.
        let berlin = read("2026-10-25", Some("Europe/Berlin")).unwrap();
        assert_eq!((berlin.at.to_string(), berlin.to.unwrap().to_string()), ("2026-10-24T22:00:00Z".into(), "2026-10-25T23:00:00Z".into()));
        let instant = read("2026-09-21T14:00:00+02:00", Some("Asia/Tokyo")).unwrap();
        assert_eq!((instant.at.to_string(), instant.to), ("2026-09-21T12:00:00Z".into(), None));
        for (at, zone) in [("yesterday", None), ("2026-13-01", None), ("2026-09-21", Some("Mars/Olympus")), ("2026-09-21T14:00", None)] {
            assert!(read(at, zone).is_err(), "{at}");
        }
    }
}
