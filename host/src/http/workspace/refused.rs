//! A form that was refused comes back on the page that holds it, filled in with what was sent: a mistake costs the field that it is in and not
//! all the others. Pages render their forms as if nothing had been sent, and know nothing of this: the page is asked for as a browser asks that
//! is sent there, and the values are written into its text.
//!
//! Nothing is kept anywhere, so there is nothing to clear. Passwords are not written back, nor is what the page itself put into hidden fields.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use maud::html;
use tower::ServiceExt as _;
use zeroize::Zeroizing;

use super::page::Said;
use crate::http::error::Format;

/// The fields of a form, in order.
pub(super) type Fields = Zeroizing<Vec<(String, String)>>;

/// Where what a form sent is left for the page that it may have to come back on.
#[derive(Clone, Default)]
pub(super) struct Typed(Arc<OnceLock<Arc<Fields>>>);

impl Typed {
    pub(super) fn leave(&self, fields: &Arc<Fields>) {
        // A request's body is read once.
        let _ = self.0.set(Arc::clone(fields));
    }
}

/// Marks an answer that is a refusal: the way to the page that holds the form, or that page itself.
#[derive(Clone)]
pub(super) struct Refused {
    /// Of the page that comes instead.
    pub status: StatusCode,
    /// Why, unless the page says it.
    pub said: Option<Said>,
}

/// Answers a refused form with its page, filled in. What can't be (the page that comes next holds no such form, or nothing that is filled in by
/// hand) goes out as it is.
pub async fn fill_in(State(pages): State<Router>, mut request: Request, next: Next) -> Response {
    if *request.method() != Method::POST || Format::of(request.uri().path()) != Format::Page {
        return next.run(request).await;
    }
    let (typed, headers, to) = (Typed::default(), request.headers().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(typed.clone());
    let mut answer = next.run(request).await;
    let (Some(refused), Some(fields)) = (answer.extensions_mut().remove::<Refused>(), typed.0.get()) else { return answer };
    let way = answer.headers().get(LOCATION).and_then(|way| way.to_str().ok()?.parse::<Uri>().ok());
    match way {
        None => with_values(answer, (&to, &to), fields).await.unwrap_or_else(|as_it_is| as_it_is),
        Some(way) => {
            let at = way.path().to_owned();
            let page = look(pages, way, headers, refused.said).await;
            match with_values(page, (&at, &to), fields).await {
                Ok(mut page) => {
                    *page.status_mut() = refused.status;
                    page
                }
                Err(_) => answer,
            }
        }
    }
}

/// The page behind an address, for whoever sent the form.
async fn look(pages: Router, way: Uri, mut headers: HeaderMap, said: Option<Said>) -> Response {
    for of_the_body in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, TRANSFER_ENCODING] {
        headers.remove(of_the_body);
    }
    let mut asked = Request::new(Body::empty());
    (*asked.uri_mut(), *asked.headers_mut()) = (way, headers);
    if let Some(said) = said {
        asked.extensions_mut().insert(said);
    }
    match pages.oneshot(asked).await {
        Ok(page) => page,
        Err(never) => match never {},
    }
}

/// The answer with the values in the form that was sent; as an error, the answer as it is where there is no such form.
async fn with_values(answer: Response, of: (&str, &str), fields: &Fields) -> Result<Response, Response> {
    if answer.status().is_redirection() {
        return Err(answer);
    }
    let (mut parts, body) = answer.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let filled = std::str::from_utf8(&bytes).ok().and_then(|page| filled(page, of, fields));
    let Some(filled) = filled else { return Err(Response::from_parts(parts, bytes.into())) };
    parts.headers.remove(CONTENT_LENGTH);
    Ok(Response::from_parts(parts, filled.into()))
}

/// A tag of a page.
#[derive(Clone)]
struct Tag<'p> {
    /// Where it begins in the page, and where what is behind it does.
    from: usize,
    to: usize,
    name: &'p str,
    /// Texts as they are escaped.
    attributes: Vec<(&'p str, &'p str)>,
}

impl<'p> Tag<'p> {
    fn of(page: &'p str, from: usize, to: usize) -> Self {
        let (name, mut rest) = page[from + 1..to - 1].split_once(' ').unwrap_or((&page[from + 1..to - 1], ""));
        let mut attributes = Vec::new();
        while !rest.trim_start().is_empty() {
            rest = rest.trim_start();
            let end = rest.find([' ', '=']).unwrap_or(rest.len());
            let (key, behind) = rest.split_at(end);
            let (value, behind) = behind.strip_prefix("=\"").and_then(|text| text.split_once('"')).unwrap_or(("", behind));
            attributes.push((key, value));
            rest = behind;
        }
        Self { from, to, name, attributes }
    }

    fn get(&self, key: &str) -> Option<&'p str> {
        self.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// It without an attribute, and with another text behind the others.
    fn changed(&self, without: &str, more: &str) -> String {
        let mut text = format!("<{}", self.name);
        for (key, value) in self.attributes.iter().filter(|(key, _)| *key != without) {
            text += &if value.is_empty() { format!(" {key}") } else { format!(" {key}=\"{value}\"") };
        }
        text + more + ">"
    }
}

/// The tags of a page that was rendered here: values stand in double quotes, and every other angle bracket is escaped.
fn tags(page: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at + page[at..].find('<')?;
        at = from + page[from..].find('>')? + 1;
        Some(Tag::of(page, from, at))
    })
}

/// A form of a page: its tags, and the tags of what has to be open for it to be seen.
struct Form<'p> {
    tags: Vec<Tag<'p>>,
    closed: Vec<Tag<'p>>,
}

/// The form that was sent from a page (at that address) to an address. Where several go there, the one that holds what was sent in hidden fields.
fn sent_form<'p>(page: &'p str, (at, to): (&str, &str), sent: &[(String, String)]) -> Option<Form<'p>> {
    let (mut best, mut closed, mut tags) = (None::<(usize, Form<'p>)>, Vec::new(), tags(page));
    while let Some(tag) = tags.next() {
        match tag.name {
            "details" => closed.push(tag),
            "/details" => drop(closed.pop()),
            "form" => {
                let inner: Vec<Tag<'p>> = tags.by_ref().take_while(|tag| tag.name != "/form").collect();
                let goes = tag.get("action").unwrap_or(at) == to || inner.iter().any(|tag| tag.get("formaction") == Some(to));
                let hidden = inner.iter().filter(|tag| tag.get("type") == Some("hidden") && is_sent(sent, tag, tag.get("value")));
                let alike = hidden.count();
                if goes && best.as_ref().is_none_or(|(before, _)| alike > *before) {
                    best = Some((alike, Form { tags: inner, closed: closed.clone() }));
                }
            }
            _ => {}
        }
    }
    best.map(|(_, form)| form)
}

/// Whether a field was sent with that value.
fn is_sent(sent: &[(String, String)], tag: &Tag<'_>, value: Option<&str>) -> bool {
    sent.iter().any(|(key, text)| Some(key.as_str()) == tag.get("name") && Some(text.as_str()) == value)
}

/// The page with what was sent in its form; `None` where the page has no such form, or where nothing in it is filled in by hand.
fn filled(page: &str, of: (&str, &str), fields: &[(String, String)]) -> Option<String> {
    // Values are compared as the page writes them.
    let escaped = |text: &String| html! { (text) }.into_string();
    let sent: Vec<(String, String)> = fields.iter().map(|(key, value)| (escaped(key), escaped(value))).collect();
    let form = sent_form(page, of, &sent)?;
    let (mut rest, mut select, mut any) = (sent.iter().collect::<Vec<_>>(), None::<&Tag<'_>>, false);
    // Fields of one name take the values in their order.
    let mut next = |tag: &Tag<'_>| {
        let place = rest.iter().position(|(key, _)| Some(key.as_str()) == tag.get("name"))?;
        Some(rest.remove(place).1.as_str())
    };
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    for tag in form.closed.iter().filter(|tag| tag.get("open").is_none()) {
        edits.push((tag.from, tag.to, tag.changed("open", " open")));
    }
    for (place, tag) in form.tags.iter().enumerate() {
        let chosen = |flag: &str, is: bool| tag.changed(flag, &if is { format!(" {flag}") } else { String::new() });
        let mut edit = |text: String| edits.push((tag.from, tag.to, text));
        match (tag.name, tag.get("type").unwrap_or("text")) {
            ("details", _) => edit(chosen("open", true)),
            ("input", "hidden" | "password" | "file" | "submit") => {}
            ("input", "checkbox" | "radio") if tag.get("name").is_some() => {
                let is = is_sent(&sent, tag, tag.get("value").or(Some("on")));
                any |= is;
                edit(chosen("checked", is));
            }
            ("input", _) => {
                if let Some(value) = next(tag) {
                    any = true;
                    edit(tag.changed("value", &format!(" value=\"{value}\"")));
                }
            }
            ("textarea", _) => {
                let end = form.tags.get(place + 1).map_or(tag.to, |end| end.from);
                if let Some(value) = next(tag) {
                    any = true;
                    // A browser drops the first line end of a text area.
                    edits.push((tag.to, end, format!("\n{value}")));
                }
            }
            ("select", _) => select = Some(tag),
            ("option", _) => {
                if let Some(select) = select.filter(|select| sent.iter().any(|(key, _)| Some(key.as_str()) == select.get("name"))) {
                    any = true;
                    edit(chosen("selected", is_sent(&sent, select, tag.get("value"))));
                }
            }
            _ => {}
        }
    }
    any.then(|| edited(page, edits))
}

/// A text with parts of it replaced.
fn edited(text: &str, mut edits: Vec<(usize, usize, String)>) -> String {
    edits.sort_by_key(|(from, ..)| *from);
    let (mut whole, mut at) = (String::with_capacity(text.len()), 0);
    for (from, to, with) in edits {
        whole += &text[at..from];
        whole += &with;
        at = to;
    }
    whole + &text[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a page at `/p` whose form was sent to `/to`.
    fn check(page: &maud::Markup, sent: &[(&str, &str)]) -> Option<String> {
        let fields: Vec<(String, String)> = sent.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        filled(&page.0, ("/p", "/to"), &fields)
    }

    #[test]
    fn each_kind_of_field_gets_what_was_sent() {
        let page = html! {
            form action="/other" { input name="a" value="untouched"; }
            details { summary { "Open it" } form method="post" action="/to" {
                input type="text" name="a" value="was" required;
                input name="a";
                textarea name="long" required placeholder="<x>" {}
                select name="one" { option value="1" selected { "One" } option value="&2" { "Two" } }
                input type="checkbox" name="tick" value="x" checked;
                input type="checkbox" name="tick" value="y";
            } }
        };
        let sent = [("a", "\"1\" & <2>"), ("a", "second"), ("long", "two\nlines"), ("one", "&2"), ("tick", "y")];
        let filled = check(&page, &sent).unwrap();
        for wanted in [
            r#"<form action="/other"><input name="a" value="untouched">"#,
            "<details open>",
            r#"<input type="text" name="a" required value="&quot;1&quot; &amp; &lt;2&gt;">"#,
            r#"<input name="a" value="second">"#,
            "<textarea name=\"long\" required placeholder=\"&lt;x&gt;\">\ntwo\nlines</textarea>",
            r#"<option value="1">One</option><option value="&amp;2" selected>Two"#,
            r#"<input type="checkbox" name="tick" value="x"><input type="checkbox" name="tick" value="y" checked>"#,
        ] {
            assert!(filled.contains(wanted), "no {wanted} in {filled}");
        }
    }

    #[test]
    fn what_is_secret_or_the_pages_own_is_not_written_back() {
        let page = html! { form action="/to" {
            input type="hidden" name="form_token" value="fresh";
            input type="password" name="secret";
            input name="id";
        } };
        let filled = check(&page, &[("form_token", "stale"), ("secret", "hush"), ("id", "1")]).unwrap();
        assert!(filled.contains("fresh") && filled.contains(r#"name="id" value="1""#), "{filled}");
        assert!(!filled.contains("hush") && !filled.contains("stale"), "{filled}");
    }

    #[test]
    fn the_form_is_found_among_others() {
        // Two that go to one address differ in a hidden field; a button may send a form elsewhere; without an address it goes to its own page.
        let two = html! { @for whom in ["ticked", "all"] { form action="/to" { input type="hidden" name="whom" value=(whom); input name=(whom); input name="why"; } } };
        let filled_two = check(&two, &[("whom", "all"), ("why", "w")]).unwrap();
        assert!(
            filled_two.contains(r#"<input name="ticked"><input name="why">"#) && filled_two.contains(r#"name="why" value="w""#),
            "{filled_two}"
        );
        let elsewhere = html! { form action="/first" { input name="why"; button formaction="/to" {} } };
        assert!(check(&elsewhere, &[("why", "w")]).is_some());
        let own = html! { form { input name="why"; } };
        assert_eq!(check(&own, &[("why", "w")]), None, "it went to another page");
        assert!(filled(&own.0, ("/to", "/to"), &[("why".into(), "w".into())]).is_some());
        assert_eq!(check(&html! { form action="/to" { button { "Do it" } } }, &[("form_token", "x")]), None, "nothing to fill in");
    }
}
