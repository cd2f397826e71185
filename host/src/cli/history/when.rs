//! `--at` and `--zone`: an instant, or a day in a time zone. Knows no server.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::config::ConfigError;

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
    let invalid = |key, problem: String| ConfigError::Invalid { key, problem };
    if let Ok(instant) = at.parse::<Timestamp>() {
        return Ok(When { at: instant, to: None, words: format!("at {instant}") });
    }
    // A time without an offset would be read as its date alone.
    let date = at.parse::<Date>().ok().filter(|date| date.to_string() == at).ok_or_else(|| {
        invalid("at", format!("is `{at}`: give a date (`2026-09-21`), or an instant with its offset (`2026-09-21T14:00:00Z`)"))
    })?;
    let name = zone.unwrap_or("UTC");
    let zone = TimeZone::get(name).map_err(|error| invalid("zone", format!("is `{name}`, which is no time zone: {error}")))?;
    let start = |date: Date| zone.to_timestamp(date.at(0, 0, 0, 0));
    let day = start(date).and_then(|at| Ok((at, start(date.checked_add(1.day())?)?)));
    let (at, to) = day.map_err(|error| invalid("at", format!("is `{date}`, which is out of range: {error}")))?;
    Ok(When { at, to: Some(to), words: format!("on {date} ({name}): from {at} until before {to}") })
}

#[cfg(test)]
mod tests {
    use super::*;

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
