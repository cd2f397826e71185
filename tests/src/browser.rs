//! Somebody at the pages of the workspace, by HTTP: a session's cookie and its form token are kept, and forms are sent as browsers do.

use serde_json::{Value, json};

use crate::{Answer, Client, Server};

/// Somebody who is signed in, or who has no session.
pub struct Browser {
    client: Client,
    cookie: String,
    form_token: String,
}

/// A page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Its text.
    pub text: String,
}

impl Browser {
    /// Signs in with a link for that scope: `{}` for an operator, else `tenant`, `person`, `write`, `admin_roles` of a link.
    pub async fn sign_in(server: &Server, scope: Value) -> Self {
        let wanted = if scope == json!({}) { json!({"write": true}) } else { scope };
        let link = server.operator.post("/workspace/links", wanted).await.expect(201);
        let mut browser = Self::stranger(server);
        let entered = browser.post(link["url"].as_str().expect("a link"), &[]).await;
        assert_eq!(entered.status, 303, "{entered:?}");
        browser.cookie = entered.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        let start = browser.get(entered.header("location")).await;
        let token = start.text.split_once("name=\"form_token\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
        browser.form_token = token.map_or_else(|| panic!("no form: {start:?}"), |(token, _)| token.to_owned());
        browser
    }

    /// Somebody without a session.
    #[must_use]
    pub fn stranger(server: &Server) -> Self {
        let client = server.operator.with_token(None).at(server.url());
        Self { client, cookie: String::new(), form_token: String::new() }
    }

    /// The same cookie at another server: one that was restored.
    #[must_use]
    pub fn at(&self, server: &Server) -> Self {
        Self { cookie: self.cookie.clone(), form_token: self.form_token.clone(), ..Self::stranger(server) }
    }

    /// The session's cookie, and the token that its forms carry.
    #[must_use]
    pub fn secrets(&self) -> (&str, &str) {
        (&self.cookie, &self.form_token)
    }

    /// Looks at a page.
    pub async fn get(&self, path: &str) -> Page {
        let answer = self.client.send("GET", path, &[("cookie", &self.cookie)], None).await;
        Page { status: answer.status.as_u16(), text: answer.text }
    }

    /// Asks for a part of a page until it has a text: what happens beside a request (the use of a token is noted) is seen soon after it.
    pub async fn until(&self, path: &str, text: &str) -> Page {
        const ATTEMPTS: usize = 1_000;
        for _ in 0..ATTEMPTS {
            let page = self.get(path).await;
            if page.text.contains(text) {
                return page;
            }
        }
        panic!("{path} never has {text:?}");
    }

    /// Sends a form with the session's token.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = [("form_token", self.form_token.as_str())];
        let pairs: Vec<String> = token.iter().chain(fields).map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let headers = [("cookie", self.cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        self.client.send("POST", path, &headers, Some(pairs.join("&").into_bytes())).await
    }

    /// Sends a form that is refused: the page that it comes back on.
    pub async fn refused(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let answer = self.post(path, fields).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
        Page { status: answer.status.as_u16(), text: answer.text }
    }

    /// Sends a form, and gives the sentence on the page that comes next: of one that was refused, the page that it comes back on.
    pub async fn said(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields).await;
        if answer.status.is_client_error() {
            return sentence(&answer.text);
        }
        assert_eq!(answer.status, 303, "{answer:?}");
        let said = answer
            .headers
            .get_all("set-cookie")
            .iter()
            .find_map(|value| value.to_str().ok()?.split(';').next()?.strip_prefix("rolecall_said="));
        let cookie = format!("{}; rolecall_said={}", self.cookie, said.unwrap_or_default());
        let next = self.client.send("GET", answer.header("location"), &[("cookie", &cookie)], None).await;
        assert_eq!(next.status, 200, "{next:?}");
        sentence(&next.text)
    }
}

/// What a page says of the form before it.
fn sentence(page: &str) -> String {
    let sentence = page.split_once("<p class=\"said").and_then(|(_, rest)| rest.split_once('>')?.1.split_once("</p>"));
    sentence.map_or_else(|| panic!("nothing was said: {page}"), |(sentence, _)| sentence.to_owned())
}

/// A text as it stands in a form that is sent.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

impl Page {
    /// Fails unless the page is there and has each of these texts.
    pub fn expect(&self, texts: &[&str]) -> &Self {
        assert_eq!(self.status, 200, "{}", self.text);
        self.has(texts)
    }

    /// Fails unless the page has each of these texts.
    pub fn has(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.text.contains(text), "no {text:?} in {}", self.text);
        }
        self
    }

    /// Fails if the page has one of these texts.
    pub fn lacks(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(!self.text.contains(text), "{text:?} is in {}", self.text);
        }
        self
    }

    /// What stands in the element of that id.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<String> {
        of(&self.text, id)
    }
}

/// What stands in the element of that id, up to the next tag.
#[must_use]
pub fn of(text: &str, id: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("id=\"{id}\""))?;
    let (_, inner) = rest.split_once('>')?;
    inner.split_once('<').map(|(inner, _)| inner.to_owned())
}
