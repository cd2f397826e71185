//! What pages have in common: the frame around them, and the pieces that they are put together from.

use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, SET_COOKIE};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::{DOCTYPE, Markup, Render, html};

use super::assets;
use super::form::TOKEN_FIELD;
use super::seat::{Guest, Seat, cookie};
use crate::model::Instant;

/// What a page may load and where it may send: ourselves alone. No script and no style stands in a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];
/// What htmx does not do here: no scripts from texts, no styles of its own, no address but ours.
const HTMX: &str = r#"{"allowEval":false,"includeIndicatorStyles":false,"selfRequestsOnly":true,"historyCacheSize":0}"#;
/// The cookie that carries a sentence to the next page.
const SAID_COOKIE: &str = "rolecall_said";
/// The longest sentence that is carried, in bytes: browsers keep cookies of 4 KiB.
const SAID_BYTES_LIMIT: usize = 2_000;

/// A part of the workspace, as it stands in the navigation: address, words, key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What needs somebody.
    Today,
    /// People.
    People,
    /// Groups and roles.
    Roles,
    /// Connections.
    Connections,
    /// Revisions, policies, plugins.
    Mapping,
    /// Holds, approvals, reviews.
    Decisions,
    /// What happened.
    History,
    /// Who may sign in, sessions, targets.
    Settings,
}

impl Section {
    /// All, in the order of the navigation: the part of the address, the words, the key behind `g`.
    const ALL: &[(Self, &str, &str, &str)] = &[
        (Self::Today, "", "Today", "t"),
        (Self::People, "people", "People", "p"),
        (Self::Roles, "roles", "Groups and roles", "r"),
        (Self::Connections, "connections", "Connections", "c"),
        (Self::Mapping, "mapping", "Mapping", "m"),
        (Self::Decisions, "decisions", "Decisions", "d"),
        (Self::History, "history", "History", "h"),
        (Self::Settings, "settings", "Settings", "s"),
    ];
}

/// A sentence for the page that comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    good: bool,
    sentence: String,
}

impl Said {
    /// What was done.
    #[must_use]
    pub fn good(sentence: impl Into<String>) -> Self {
        Self { good: true, sentence: sentence.into() }
    }

    /// Why nothing was done.
    #[must_use]
    pub fn bad(sentence: impl Into<String>) -> Self {
        Self { good: false, sentence: sentence.into() }
    }

    /// It, on its way.
    #[must_use]
    pub fn cookie(&self) -> String {
        let mut end = self.sentence.len().min(SAID_BYTES_LIMIT);
        while !self.sentence.is_char_boundary(end) {
            end -= 1;
        }
        let text = URL_SAFE_NO_PAD.encode(&self.sentence[..end]);
        let word = if self.good { "good" } else { "bad" };
        format!("{SAID_COOKIE}={word}.{text}; Path=/workspace; Max-Age=60; HttpOnly; SameSite=Strict")
    }

    /// What a request brings along.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let (word, text) = cookie(headers, SAID_COOKIE)?.split_once('.')?;
        let sentence = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        (!sentence.is_empty()).then_some(Self { good: word == "good", sentence })
    }
}

/// A page of a tenant.
pub struct Page<'s> {
    /// Who asked.
    pub seat: &'s Seat,
    /// Where it belongs.
    pub section: Section,
    /// Its heading.
    pub title: &'s str,
    /// What is above the heading: the way back, from the outermost on, each with its address.
    pub trail: &'s [(&'s str, String)],
    /// What is in it.
    pub body: Markup,
}

impl IntoResponse for Page<'_> {
    fn into_response(self) -> Response {
        let Self { seat, section, title, trail, body } = self;
        let navigation = html! {
            nav aria-label="Workspace" {
                ul {
                    @for (of, path, words, key) in Section::ALL {
                        li { a href=(seat.at(path)) data-key=(key) aria-current=[(*of == section).then_some("page")] { (words) } }
                    }
                }
            }
        };
        let heading = html! {
            @if !trail.is_empty() {
                nav.trail aria-label="Way here" { ol { @for (words, to) in trail { li { a href=(to) { (words) } } } } }
            }
        };
        let inner = html! { (heading) (body) };
        let search = format!("{}?q=", seat.at("people"));
        frame(Frame { title, place: Some(&seat.tenant.name), guest: Some(&seat.guest), navigation, search: Some(search), body: inner })
    }
}

/// A page that belongs to no tenant, or that is for somebody who is not signed in.
pub fn bare(title: &str, guest: Option<&Guest>, body: Markup) -> Response {
    frame(Frame { title, place: None, guest, navigation: html! {}, search: None, body })
}

/// What is said of an error where a page was asked for.
#[must_use]
pub fn of_error(title: &str, detail: &str, more: &[String], request: &str) -> Response {
    let body = html! {
        h1 { (title) }
        p.lead { (detail) }
        @if !more.is_empty() { ul { @for one in more { li { (one) } } } }
        p { a href="/workspace" { "To the start" } }
        p.quiet { "Request " code { (request) } ": the server’s log has more under this id." }
    };
    bare(title, None, body)
}

struct Frame<'s> {
    title: &'s str,
    place: Option<&'s str>,
    guest: Option<&'s Guest>,
    navigation: Markup,
    search: Option<String>,
    body: Markup,
}

fn frame(frame: Frame<'_>) -> Response {
    let Frame { title, place, guest, navigation, search, body } = frame;
    let said = guest.and_then(|guest| guest.said.as_ref());
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) @if let Some(place) = place { " · " (place) } " · Rolecall" }
                link rel="icon" type="image/svg+xml" href=(assets::url("icon.svg"));
                link rel="stylesheet" href=(assets::url("workspace.css"));
                script src=(assets::url("htmx.min.js")) defer {}
                script src=(assets::url("workspace.js")) defer {}
            }
            body {
                a.skip href="#main" { "To the content" }
                header.top {
                    a.brand href="/workspace" { img src=(assets::url("icon.svg")) alt="" width="24" height="24"; "Rolecall" }
                    @if let Some(place) = place { span.place { (place) } }
                    @if let Some(guest) = guest { (who(guest, search.is_some())) }
                }
                div.columns {
                    (navigation)
                    main id="main" tabindex="-1" {
                        @if let Some(said) = said {
                            p.said.bad[!said.good] role=(if said.good { "status" } else { "alert" }) { (said.sentence) }
                        }
                        (body)
                    }
                }
                @if let Some(search) = &search { (dialogs(search)) }
            }
        }
    };
    let mut response = (HEADERS, Html(whole.into_string())).into_response();
    if said.is_some() {
        let gone = HeaderValue::from_static("rolecall_said=; Path=/workspace; Max-Age=0; HttpOnly; SameSite=Strict");
        response.headers_mut().append(SET_COOKIE, gone);
    }
    response
}

fn who(guest: &Guest, palette: bool) -> Markup {
    let scope = &guest.visitor.session.scope;
    let roles: Vec<&str> = scope.admin_roles.iter().map(String::as_str).collect();
    let may = match (scope.write, roles.is_empty()) {
        (true, _) => "may change everything".to_owned(),
        (false, true) => "reads".to_owned(),
        (false, false) => roles.join(", "),
    };
    html! {
        div.who {
            @if palette { button.plain type="button" data-opens="palette" hidden { "Go to… " kbd { "Ctrl K" } } }
            span { (guest.visitor.session.name) " " span.quiet { (may) } }
            form method="post" action="/workspace/sign-out" { (token(guest)) button.plain { "Sign out" } }
        }
    }
}

fn dialogs(search: &str) -> Markup {
    html! {
        dialog #palette data-search=(search) aria-label="Go to" {
            input type="text" aria-label="Words of a page, a link or a person" placeholder="Words of a page, or somebody’s name";
            ul {}
        }
        dialog #keys aria-labelledby="keys-title" {
            h2 #keys-title { "Keys" }
            dl.pairs {
                @for (_, _, words, key) in Section::ALL { dt { kbd { "g" } " " kbd { (key) } } dd { (words) } }
                dt { kbd { "/" } } dd { "Search" }
                dt { kbd { "Ctrl" } " " kbd { "K" } } dd { "Go to a page, a link or a person" }
                dt { kbd { "j" } " " kbd { "k" } } dd { "Next and previous line of a list" }
                dt { kbd { "x" } } dd { "Tick the line" }
                dt { kbd { "?" } } dd { "This list" }
            }
            button type="button" data-closes { "Close" }
        }
    }
}

/// The field that says that a form is of this session.
#[must_use]
pub fn token(guest: &Guest) -> Markup {
    html! { input type="hidden" name=(TOKEN_FIELD) value=(guest.visitor.form_token); }
}

/// A heading with what one can do beside it.
#[must_use]
pub fn heading(title: &str, beside: &Markup) -> Markup {
    html! { div.heading { h1 { (title) } div.beside { (beside) } } }
}

/// What stands where a list would be: what it would hold and how one gets there.
#[must_use]
pub fn empty(title: &str, teaches: &Markup) -> Markup {
    html! { div.empty { h2 { (title) } p { (teaches) } } }
}

/// How something is: `good`, `warn`, `bad`, `quiet`, by its word.
#[must_use]
pub fn badge(word: &str) -> Markup {
    let tone = match word {
        "healthy" | "active" | "open" | "live" | "done" | "approved" | "applied" | "accepted" | "confirmed" | "released" => "good",
        "degraded" | "stalled" | "staging" | "paused" | "held" | "pending" | "waiting" | "requested" | "suspended" | "retained"
        | "out_of_scope" | "unconfirmed" => "warn",
        "failing" | "quarantined" | "failed" | "refused" | "rejected" | "dangling" | "expired" => "bad",
        _ => "quiet",
    };
    html! { span class={ "badge " (tone) } { (word.replace('_', " ")) } }
}

/// An instant, for people: how long ago or ahead, with the instant itself at hand.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// The instant.
    pub at: Instant,
    /// As of when it is said.
    pub now: Instant,
}

impl Render for When {
    fn render(&self) -> Markup {
        let exact = self.at.to_string();
        html! { time datetime=(exact) title=(exact) { (distance(self.at, self.now)) } }
    }
}

/// How far an instant is from another, in words.
#[must_use]
pub fn distance(at: Instant, now: Instant) -> String {
    let seconds = now.millis_since(at) / 1_000;
    let (amount, unit) = match seconds.abs() {
        s @ 0..60 => (s, "second"),
        s @ 60..3_600 => (s / 60, "minute"),
        s @ 3_600..172_800 => (s / 3_600, "hour"),
        s => (s / 86_400, "day"),
    };
    let plural = if amount == 1 { "" } else { "s" };
    match seconds {
        0 => "just now".to_owned(),
        1.. => format!("{amount} {unit}{plural} ago"),
        _ => format!("in {amount} {unit}{plural}"),
    }
}

/// The beginning of a hash, by which people know it.
#[must_use]
pub fn short(hash: &str) -> String {
    const SHOWN: usize = 12;
    hash.chars().take(SHOWN).collect()
}

/// A hash as people see it: its beginning, with the whole at hand.
#[must_use]
pub fn hash(hash: &str) -> Markup {
    html! { code title=(hash) { (short(hash)) } }
}

/// The heads of a table's columns.
#[must_use]
pub fn columns(names: &[&str]) -> Markup {
    html! { thead { tr { @for name in names { th scope="col" { (name) } } } } }
}

/// The way to the next page of a list.
#[must_use]
pub fn more(to: Option<String>) -> Markup {
    html! { @if let Some(to) = to { p.more { a rel="next" href=(to) { "More" } } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_comes_back_as_it_was_sent() {
        for said in [Said::good("Ünï; done, \"x\""), Said::bad("no"), Said::good("é".repeat(2_000))] {
            let sent = said.cookie();
            let mut headers = HeaderMap::new();
            headers.insert(axum::http::header::COOKIE, sent.split(';').next().unwrap().parse().unwrap());
            let back = Said::of(&headers).unwrap();
            assert_eq!(back.good, said.good);
            assert!(said.sentence.starts_with(&back.sentence) && back.sentence.len() >= said.sentence.len().min(SAID_BYTES_LIMIT - 1));
        }
    }

    #[test]
    fn distances_are_told_in_words() {
        let now = Instant(1_000_000_000_000);
        for (seconds, words) in [
            (0, "just now"),
            (1, "1 second ago"),
            (-90, "in 1 minute"),
            (7_200, "2 hours ago"),
            (86_400, "24 hours ago"),
            (-259_200, "in 3 days"),
        ] {
            assert_eq!(distance(now.plus_seconds(-seconds), now), words);
        }
    }
}
