//! What a client wants back: the headers `Accept` (RFC 9110 §12.5.1) and `Prefer` (RFC 7240), as pure functions of their text.
//!
//! Malformed parts are passed over, as both RFCs want it: a header like these never makes a request fail by its form.

/// SCIM's media type (RFC 7644 §3.1).
pub const SCIM_JSON: &str = "application/scim+json";
/// The media type that clients may ask for instead.
pub const JSON: &str = "application/json";
/// The most elements of one header that are looked at: browsers send a dozen.
const ELEMENTS_LIMIT: usize = 64;
/// The longest wait that a client can ask for, in seconds. RFC 7240 §4.3 leaves it to the server.
const WAIT_LIMIT_S: u32 = 3_600;

/// The one of the media types on offer that `accept` likes best, the earlier one of equals; the first one without a header.
/// `None`: none of them is acceptable, which is a 406.
#[must_use]
pub fn accepted<'o>(accept: Option<&str>, offered: &[&'o str]) -> Option<&'o str> {
    let ranges: Vec<Range<'_>> = elements(accept.unwrap_or_default(), ',').filter_map(Range::parse).collect();
    // RFC 9110 §12.5.1: no header, or one that says nothing, means that everything is welcome.
    if ranges.is_empty() {
        return offered.first().copied();
    }
    let mut best = None;
    for &offer in offered {
        // The most specific range decides (RFC 9110 §12.5.1).
        let range = ranges.iter().filter_map(|range| Some((range.fits(offer)?, range.quality))).max_by_key(|(fit, _)| *fit);
        let quality = range.map_or(0, |(_, quality)| quality);
        if quality > best.map_or(0, |(_, best)| best) {
            best = Some((offer, quality));
        }
    }
    best.map(|(offer, _)| offer)
}

/// A media range with its weight.
#[derive(Debug)]
struct Range<'t> {
    kind: &'t str,
    subtype: &'t str,
    /// In thousandths.
    quality: u16,
}

impl<'t> Range<'t> {
    fn parse(element: &'t str) -> Option<Self> {
        let mut parts = elements(element, ';');
        // A star alone is what Java's means by everything.
        let (kind, subtype) = parts.next().map(|range| if range == "*" { "*/*" } else { range })?.split_once('/')?;
        let mut quality = 1_000;
        for part in parts {
            let (name, value) = part.split_once('=')?;
            if name.trim().eq_ignore_ascii_case("q") {
                quality = thousandths(value.trim())?;
            }
        }
        let token = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        (token(kind) && token(subtype)).then_some(Self { kind, subtype, quality })
    }

    /// How well it fits a media type: by its name, by its first half, or as anything does.
    fn fits(&self, offer: &str) -> Option<u8> {
        let (kind, subtype) = offer.split_once('/')?;
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (known, "*") if known.eq_ignore_ascii_case(kind) => Some(1),
            (known, part) if known.eq_ignore_ascii_case(kind) && part.eq_ignore_ascii_case(subtype) => Some(2),
            _ => None,
        }
    }
}

/// A weight of RFC 9110 §12.4.2: 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        // Java's `HttpURLConnection` of before its version 19 writes `q=.2` (JDK-8163921).
        "" | "0" if !text.is_empty() && text != "." => Some(decimals),
        "1" if decimals == 0 => Some(1_000),
        _ => None,
    }
}

/// What a client prefers (RFC 7240). Preferences that mean nothing here are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// `respond-async`: 202 is welcome (RFC 7240 §4.1, RFC 9967 §2.5.1.1).
    pub respond_async: bool,
    /// `wait`: for how many seconds the client is ready to wait before that, at most an hour (RFC 7240 §4.3).
    pub wait_s: Option<u32>,
    /// `return`: whether the answer shows the resource (RFC 7240 §4.2).
    pub returns: Option<Returns>,
}

/// What an answer to a change shows (RFC 7240 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// As little as possible.
    Minimal,
    /// The resource.
    Representation,
}

impl Prefer {
    /// From the values of all `Prefer` headers of a request. Of a preference that is there twice the first one counts
    /// (RFC 7240 §2).
    #[must_use]
    pub fn parse<'h>(headers: impl IntoIterator<Item = &'h str>) -> Self {
        let mut prefer = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for preference in headers.into_iter().flat_map(|header| elements(header, ',')).take(ELEMENTS_LIMIT) {
            // Parameters behind the preference have no meaning for the ones that are known here.
            let Some(preference) = elements(preference, ';').next() else { continue };
            let (name, value) = preference.split_once('=').map_or((preference, ""), |(name, value)| (name.trim(), unquoted(value.trim())));
            let name = name.to_ascii_lowercase();
            if seen.contains(&name) {
                continue;
            }
            match (name.as_str(), value) {
                ("respond-async", _) => prefer.respond_async = true,
                ("wait", value) => prefer.wait_s = value.parse().ok().map(|wait_s: u32| wait_s.min(WAIT_LIMIT_S)),
                ("return", "minimal") => prefer.returns = Some(Returns::Minimal),
                ("return", "representation") => prefer.returns = Some(Returns::Representation),
                _ => {}
            }
            seen.push(name);
        }
        prefer
    }
}

impl Returns {
    /// What to say in `Preference-Applied` (RFC 7240 §3).
    #[must_use]
    pub fn applied(self) -> &'static str {
        match self {
            Self::Minimal => "return=minimal",
            Self::Representation => "return=representation",
        }
    }
}

/// What to say in `Preference-Applied` for an asynchronous answer.
pub const ASYNC_APPLIED: &str = "respond-async";

/// The parts of a header's text, without the blanks around them and without empty ones. What is in quotes is not split.
fn elements(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let splits = c == separator && !quoted;
        match c {
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        splits
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
    .take(ELEMENTS_LIMIT)
}

/// A word or a quoted text; nothing that is looked for has escapes in it.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}
