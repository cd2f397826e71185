//! The checks of a token one by one, for whoever set the issuer: what was expected of it and what it says of itself. Decides nothing:
//! [`super::Token::check`] does.

use serde_json::Value;

use super::{Header, JWT_BYTES_LIMIT, KeySet, Refused, Token, is_kind, json};
use crate::model::{Checked, CredentialCheck as Check, Instant, Issuer};

/// What stands for a claim that is not there.
const MISSING: &str = "nothing";

/// The checks of a token.
#[must_use]
pub fn checks(token: &str, expected: &Issuer, keys: Option<&KeySet>, now: Instant) -> Vec<Checked> {
    let allowed = expected.algorithms.join(", ");
    let read = match Token::read(token) {
        Ok(read) => read,
        Err(Refused::Algorithm) => {
            let named = header(token).map_or_else(|| MISSING.to_owned(), |header| header.alg);
            return vec![Checked::of(Check::Form, true), Checked::said(Check::Algorithm, false, allowed, named)];
        }
        Err(_) => return vec![Checked::said(Check::Form, false, "a signed JWT", other_form(token))],
    };
    let mut checks = vec![
        Checked::of(Check::Form, true),
        Checked::said(
            Check::Algorithm,
            expected.algorithms.iter().any(|allowed| allowed == read.algorithm.word()),
            allowed,
            read.algorithm.word(),
        ),
        Checked::said(Check::Issuer, read.text("iss") == Some(&expected.issuer), expected.issuer.as_str(), shown(&read, "iss")),
        Checked::said(Check::Audience, read.has("aud", &expected.audience), expected.audience.as_str(), shown(&read, "aud")),
    ];
    let signature = keys.map_or(Err(Refused::UnknownKey), |keys| read.verify(keys));
    let key_id = read.key_id.as_deref().unwrap_or("a token that names no key");
    checks.push(Checked::said(Check::Key, signature != Err(Refused::UnknownKey), "a key of the issuer's key set", key_id));
    if signature != Err(Refused::UnknownKey) {
        checks.push(Checked::of(Check::Signature, signature.is_ok()));
    }
    checks.extend(times(&read, expected.clock_skew_seconds, now));
    if let Some(subject) = &expected.subject {
        checks.push(Checked::said(Check::Subject, read.text("sub") == Some(subject), subject.as_str(), shown(&read, "sub")));
    }
    let missing: Vec<&str> = expected.claims.iter().filter(|(name, value)| !read.has(name, value)).map(|(name, _)| name.as_str()).collect();
    if !expected.claims.is_empty() {
        let names: Vec<&str> = expected.claims.keys().map(String::as_str).collect();
        let received = if missing.is_empty() { "they are".to_owned() } else { format!("missing or another: {}", missing.join(", ")) };
        checks.push(Checked::said(Check::Claims, missing.is_empty(), format!("the set claims {}", names.join(", ")), received));
    }
    checks
}

fn header(token: &str) -> Option<Header> {
    token.split('.').next().and_then(|header| json(header).ok())
}

/// What a token is that is not read.
fn other_form(token: &str) -> String {
    if token.len() > JWT_BYTES_LIMIT {
        return format!("one of {} bytes, of which {JWT_BYTES_LIMIT} are read: the issuer may put less into it", token.len());
    }
    match header(token) {
        Some(Header { crit: Some(_), .. }) => "one whose `crit` names what is not understood here".to_owned(),
        Some(Header { typ: Some(kind), .. }) if !is_kind(&kind) => format!("one of the type `{kind}`, which is no access token"),
        _ => "something else".to_owned(),
    }
}

fn times(read: &Token<'_>, skew: i64, now: Instant) -> [Checked; 2] {
    let seconds = now.timestamp().as_second();
    let at = |name: &str| match read.number(name) {
        Some(seconds) => date(seconds).unwrap_or_else(|| out_of_range(seconds, shown(read, name))),
        None => read.claims.get(name).map_or_else(|| MISSING.to_owned(), |came| format!("{came}, which is no number")),
    };
    let ends = read.number("exp").is_some_and(|end| seconds < end.saturating_add(skew));
    let expiry = Checked::said(Check::Expiry, ends, format!("after {now}, within {skew} s"), at("exp"));
    let late = ["nbf", "iat"]
        .into_iter()
        .find(|name| read.claims.contains_key(*name) && read.number(name).is_none_or(|start| start.saturating_sub(skew) > seconds));
    let received = late.map_or_else(|| "it has come".to_owned(), |name| format!("{name} {}", at(name)));
    [expiry, Checked::said(Check::Beginning, late.is_none(), format!("by {now}, within {skew} s"), received)]
}

/// A NumericDate, where it is one of our calendar.
fn date(seconds: i64) -> Option<String> {
    Instant::from_seconds(seconds).map(|at| at.to_string())
}

/// What stands for a NumericDate of no calendar: the claim as it came. Issuers that count milliseconds are the usual reason.
fn out_of_range(number: i64, came: String) -> String {
    match date(number / 1_000) {
        Some(meant) => format!("{came}, which looks like milliseconds ({meant}): it has to be in seconds"),
        None => came,
    }
}

/// A claim as it came.
fn shown(read: &Token<'_>, name: &str) -> String {
    match read.claims.get(name) {
        None => MISSING.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
