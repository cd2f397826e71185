//! When somebody begins and when their time is over: dates as an identity provider or a plugin writes them, as instants. Pure.
//!
//! What names an offset or a zone means that instant. What names none is read in the tenant's time zone: a day begins with its first
//! instant and ends with its last, and a time that a change of the clocks leaves out or repeats is read so that access is the shorter.

use jiff::civil;
use jiff::tz::TimeZone;
use rolecall_scim::ResourceKind;
use rolecall_scim::path::AttrPath;
use rolecall_scim::resource::Document;
use rolecall_scim::schema::{Schemas, Type};
use serde_json::Value;

use super::AccountShape;
use crate::model::{Instant, Note, ProcessSettings};

/// How much of a date that can't be read is shown: it is somebody's own words.
const SHOWN_CHARS: usize = 40;

/// Where a tenant's people have their dates, and in which time zone those are read. Without any, nobody has one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calendar {
    zone: Option<TimeZone>,
    starts: Option<Source>,
    ends: Option<Source>,
}

/// Where a date stands.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// In the identity provider's document.
    Attribute { path: String, extension: Option<String>, name: String, sub: Option<String> },
    /// In a tag of the account.
    Tag(String),
}

/// Somebody's dates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dates {
    /// From when on they may be in use.
    pub starts: Option<Instant>,
    /// Until when.
    pub ends: Option<Instant>,
}

impl Dates {
    /// Whether the time is over.
    #[must_use]
    pub fn ended_at(&self, at: Instant) -> bool {
        self.ends.is_some_and(|ends| ends <= at)
    }

    /// Whether the time has not begun.
    #[must_use]
    pub fn before_start_at(&self, at: Instant) -> bool {
        self.starts.is_some_and(|starts| starts > at)
    }
}

/// Which of the two dates is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Start,
    End,
}

impl Calendar {
    /// From a tenant's settings.
    ///
    /// # Errors
    /// What is wrong with each: a zone that is none, a path that names no date, dates without a zone.
    pub fn of(settings: &ProcessSettings, schemas: &Schemas) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let zone = settings.time_zone.as_deref().and_then(|name| match TimeZone::get(name) {
            Ok(zone) => Some(zone),
            Err(_) => {
                problems.push(format!("`{name}` is no time zone: write an IANA name such as `Europe/Berlin` or `UTC`"));
                None
            }
        });
        let mut source = |what: &str, attribute: &Option<String>, tag: &Option<String>| match (attribute, tag) {
            (Some(_), Some(_)) => {
                problems.push(format!("`{what}_attribute` and `{what}_tag` are two places for one date: name one of them"));
                None
            }
            (Some(path), None) => {
                Source::attribute(schemas, path).map_err(|problem| problems.push(format!("`{what}_attribute`: {problem}"))).ok()
            }
            (None, Some(tag)) => Some(Source::Tag(tag.clone())),
            (None, None) => None,
        };
        let starts = source("start_date", &settings.start_date_attribute, &settings.start_date_tag);
        let ends = source("end_date", &settings.end_date_attribute, &settings.end_date_tag);
        let (starting, ending) = (&settings.start_date_attribute, &settings.end_date_attribute);
        let named = [starting, &settings.start_date_tag, ending, &settings.end_date_tag];
        if settings.time_zone.is_none() && named.into_iter().any(Option::is_some) {
            problems.push("dates need a `time_zone`: a day begins at another instant in each".into());
        }
        if problems.is_empty() { Ok(Self { zone, starts, ends }) } else { Err(problems) }
    }

    /// The dates in somebody's document: known before anything is mapped.
    ///
    /// # Errors
    /// Which date can't be read.
    pub fn in_document(&self, document: &Document) -> Result<Dates, Note> {
        self.read(|source| match source {
            Source::Attribute { extension, name, sub, .. } => {
                let owner = match extension {
                    None => document.get(name),
                    Some(urn) => document.get(urn).and_then(|extension| extension.get(name)),
                };
                let value = match sub {
                    None => owner,
                    Some(sub) => owner.and_then(|owner| owner.get(sub)),
                };
                value.map(|value| value.as_str().unwrap_or("(no text)").to_owned()).into_iter().collect()
            }
            Source::Tag(_) => Vec::new(),
        })
    }

    /// The same with those that the mapping made.
    ///
    /// # Errors
    /// Which date can't be read.
    pub fn with_tags(&self, dates: Dates, shape: &AccountShape) -> Result<Dates, Note> {
        let made = self.in_tags(|tag| shape.tags.get(tag).into_iter().flatten().cloned().collect())?;
        Ok(Dates { starts: dates.starts.or(made.starts), ends: dates.ends.or(made.ends) })
    }

    /// The dates that the mapping made last, as an account keeps them: what counts while there is no new answer. What can't be read
    /// is none.
    #[must_use]
    pub fn in_profile(&self, profile: &Value) -> Dates {
        let texts = |tag: &str| {
            let values = profile["tags"][tag].as_array().into_iter().flatten();
            values.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        self.in_tags(texts).unwrap_or_default()
    }

    fn in_tags(&self, values: impl Fn(&str) -> Vec<String>) -> Result<Dates, Note> {
        self.read(|source| match source {
            Source::Attribute { .. } => Vec::new(),
            Source::Tag(tag) => values(tag),
        })
    }

    fn read(&self, values: impl Fn(&Source) -> Vec<String>) -> Result<Dates, Note> {
        let date = |source: &Option<Source>, which| {
            let Some(source) = source else { return Ok(None) };
            match &values(source)[..] {
                [] => Ok(None),
                [text] => self.instant(text, which).map(Some).ok_or_else(|| source.problem(text)),
                [_, other, ..] => Err(source.problem(&format!("{other}, and others"))),
            }
        };
        Ok(Dates { starts: date(&self.starts, Which::Start)?, ends: date(&self.ends, Which::End)? })
    }

    /// Where the end of somebody's time stands, for people.
    #[must_use]
    pub fn end_path(&self) -> Option<String> {
        self.ends.as_ref().map(Source::path)
    }

    /// Where the beginning stands, for people.
    #[must_use]
    pub fn start_path(&self) -> Option<String> {
        self.starts.as_ref().map(Source::path)
    }

    fn instant(&self, text: &str, which: Which) -> Option<Instant> {
        let text = text.trim();
        if let Ok(exact) = text.parse::<jiff::Timestamp>() {
            return Some(exact.into());
        }
        // A zone's name goes before the tenant's own zone; what a day of another zone is, nobody has said.
        let (text, named) = match text.split_once('[') {
            Some((text, name)) => (text, Some(TimeZone::get(name.strip_suffix(']')?).ok()?)),
            None => (text, None),
        };
        let is_time = text.contains(['T', 't', ' ']);
        let zone = named.as_ref().filter(|_| is_time).or(self.zone.as_ref().filter(|_| named.is_none()))?;
        if is_time {
            let at = zone.to_ambiguous_timestamp(text.parse::<civil::DateTime>().ok()?);
            return match which {
                Which::Start => at.later(),
                Which::End => at.earlier(),
            }
            .ok()
            .map(Instant::from);
        }
        let day = text.parse::<civil::Date>().ok()?;
        let first = match which {
            Which::Start => day,
            Which::End => day.tomorrow().ok()?,
        };
        // The first instant of the day, also where midnight is left out.
        zone.to_ambiguous_timestamp(first.at(0, 0, 0, 0)).compatible().ok().map(Instant::from)
    }
}

impl Source {
    fn attribute(schemas: &Schemas, path: &str) -> Result<Self, String> {
        let parsed = AttrPath::parse(schemas, path).map_err(|_| format!("`{path}` is no attribute path"))?;
        let found = schemas
            .resolve(ResourceKind::User, &parsed)
            .ok_or_else(|| format!("no schema has `{path}`: declare the extension under `[[schemas]]`, or correct the path"))?;
        let leaf = found.leaf();
        if !matches!(leaf.kind, Type::String | Type::DateTime) || leaf.multi_valued || found.attribute.multi_valued {
            return Err(format!("`{path}` must be one text or `dateTime`"));
        }
        Ok(Self::Attribute {
            path: path.to_owned(),
            extension: found.extension.map(str::to_owned),
            name: found.attribute.name.clone(),
            sub: found.sub.map(|sub| sub.name.clone()),
        })
    }

    fn path(&self) -> String {
        match self {
            Self::Attribute { path, .. } => path.clone(),
            Self::Tag(tag) => format!("tags.{tag}"),
        }
    }

    fn problem(&self, text: &str) -> Note {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
        let message = format!("`{shown}` is no date: write `2031-05-01`, or a time with its offset, `2031-05-01T09:00:00+02:00`");
        Note { code: "invalid_date".into(), path: Some(self.path()), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter";

    fn calendar(zone: &str) -> Calendar {
        let settings = ProcessSettings {
            time_zone: Some(zone.into()),
            start_date_attribute: Some(PATH.into()),
            end_date_tag: Some("last-day".into()),
            ..ProcessSettings::default()
        };
        Calendar::of(&settings, &Schemas::default()).unwrap()
    }

    fn both(zone: &str, text: &str) -> [String; 2] {
        [Which::Start, Which::End].map(|which| {
            let read = calendar(zone).instant(text, which);
            read.map_or_else(|| "none".into(), |at| at.timestamp().to_string())
        })
    }

    #[test]
    fn a_day_is_the_tenant_s_and_what_names_an_offset_is_that_instant() {
        assert_eq!(both("Europe/Berlin", "2031-01-15"), ["2031-01-14T23:00:00Z", "2031-01-15T23:00:00Z"]);
        assert_eq!(both("Europe/Berlin", "2031-07-15"), ["2031-07-14T22:00:00Z", "2031-07-15T22:00:00Z"]);
        assert_eq!(both("Pacific/Auckland", "2031-01-15"), ["2031-01-14T11:00:00Z", "2031-01-15T11:00:00Z"]);
        for exact in ["2031-07-15T09:00:00+02:00", "2031-07-15T07:00:00Z", "2031-07-15T09:00+02:00[Europe/Berlin]"] {
            assert_eq!(both("America/New_York", exact), ["2031-07-15T07:00:00Z", "2031-07-15T07:00:00Z"], "{exact}");
        }
        // A zone's name goes before the tenant's; a day of another zone is none.
        let named = "2031-07-15T03:00:00[America/New_York]";
        assert_eq!(both("Europe/Berlin", named), ["2031-07-15T07:00:00Z", "2031-07-15T07:00:00Z"]);
        for none in
            ["2031-07-15[America/New_York]", "2031-07-15T03:00[Nowhere]", "", "soon", "15.01.2031", "2031-02-30", "2031-13-01T00:00:00Z"]
        {
            assert_eq!(both("UTC", none), ["none", "none"], "{none}");
        }
    }

    #[test]
    fn the_day_of_a_change_of_clocks_is_shorter_or_longer() {
        // 30 March 2031 has 23 hours in Berlin, 26 October 25.
        assert_eq!(both("Europe/Berlin", "2031-03-30"), ["2031-03-29T23:00:00Z", "2031-03-30T22:00:00Z"]);
        assert_eq!(both("Europe/Berlin", "2031-10-26"), ["2031-10-25T22:00:00Z", "2031-10-26T23:00:00Z"]);
        // No midnight at all: clocks went from 24:00 to 01:00.
        assert_eq!(both("America/Sao_Paulo", "2018-11-04")[0], "2018-11-04T03:00:00Z");
        assert_eq!(both("America/Sao_Paulo", "2018-11-03")[1], "2018-11-04T03:00:00Z");
    }

    #[test]
    fn a_time_that_is_left_out_or_there_twice_gives_the_shorter_access() {
        assert_eq!(both("Europe/Berlin", "2031-03-30T02:30:00"), ["2031-03-30T01:30:00Z", "2031-03-30T00:30:00Z"]);
        assert_eq!(both("Europe/Berlin", "2031-10-26T02:30:00"), ["2031-10-26T01:30:00Z", "2031-10-26T00:30:00Z"]);
        assert_eq!(both("Europe/Berlin", "2031-06-01T02:30:00"), ["2031-06-01T00:30:00Z", "2031-06-01T00:30:00Z"]);
    }

    #[test]
    fn dates_come_from_the_document_and_from_tags() {
        let document = serde_json::json!({"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"costCenter": "2031-01-15"}});
        let calendar = calendar("UTC");
        let dates = calendar.in_document(&Document::from_stored(&document.to_string()).unwrap()).unwrap();
        assert_eq!((dates.starts.unwrap().to_string(), dates.ends), ("2031-01-15T00:00:00.000Z".into(), None));
        let mut shape = AccountShape::default();
        shape.tags.insert("last-day".into(), ["2031-02-01".to_owned()].into());
        let all = calendar.with_tags(dates, &shape).unwrap();
        assert_eq!(all.ends.unwrap().to_string(), "2031-02-02T00:00:00.000Z");
        assert_eq!(calendar.in_profile(&serde_json::to_value(&shape).unwrap()).ends, all.ends);
        shape.tags.insert("last-day".into(), ["2031-02-01".to_owned(), "2031-03-01".to_owned()].into());
        let note = calendar.with_tags(dates, &shape).unwrap_err();
        assert_eq!((note.code.as_str(), note.path.as_deref()), ("invalid_date", Some("tags.last-day")));
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        let refused = |settings: ProcessSettings| Calendar::of(&settings, &Schemas::default()).unwrap_err().join("; ");
        let start = |path: &str| ProcessSettings { start_date_attribute: Some(path.into()), ..ProcessSettings::default() };
        assert!(refused(start(PATH)).contains("need a `time_zone`"));
        for (path, why) in [("emails.value", "one text"), ("active", "one text"), ("hired", "no schema has")] {
            let found = refused(ProcessSettings { time_zone: Some("UTC".into()), ..start(path) });
            assert!(found.contains(why), "{path}: {found}");
        }
        assert!(refused(ProcessSettings { time_zone: Some("Berlin".into()), ..ProcessSettings::default() }).contains("no time zone"));
        let both = ProcessSettings { time_zone: Some("UTC".into()), start_date_tag: Some("x".into()), ..start(PATH) };
        assert!(refused(both).contains("two places"));
    }
}
