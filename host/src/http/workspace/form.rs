//! What a page's form sends, and what is answered: always a page to look at next, with a sentence that says what became of it.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::response::{IntoResponse, Response};

use super::page::Said;
use super::refused::{Fields, Refused, Typed};
use super::seat::FormKey;
use crate::app::App;
use crate::http::body::read_form;
use crate::http::error::{Error, Result};
use crate::tenancy::visitors;

/// The largest form, in bytes: a page of lines that were ticked, or a policy file from the editor.
pub const FORM_BYTES_LIMIT: usize = 1024 * 1024;
/// The field with the session's token.
pub const TOKEN_FIELD: &str = "form_token";

/// The fields of a form that one of the session's own pages sent.
pub struct Sent<const BYTES_LIMIT: usize = FORM_BYTES_LIMIT>(Arc<Fields>);

impl<const BYTES_LIMIT: usize> FromRequest<Arc<App>> for Sent<BYTES_LIMIT> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self> {
        let key = request.extensions().get::<FormKey>().map(|key| key.0.clone());
        let typed = request.extensions().get::<Typed>().cloned();
        let pairs = Arc::new(read_form(request, BYTES_LIMIT).await?);
        let sent = pairs.iter().find(|(name, _)| name == TOKEN_FIELD).map_or("", |(_, value)| value.as_str());
        match key {
            Some(key) if visitors::is_of(app, &key, sent) => {
                typed.unwrap_or_default().leave(&pairs);
                Ok(Self(pairs))
            }
            _ => Err(Error::forbidden("the form is not of this session: open the page again and repeat what you did")),
        }
    }
}

impl<const BYTES_LIMIT: usize> Sent<BYTES_LIMIT> {
    /// A field's text without blanks around it; `None` where there is none or it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// A field's text as it was sent: of an editor.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a field: what was ticked.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A field that has to be there.
    ///
    /// # Errors
    /// 400 that names it as the page does.
    pub fn needed(&self, name: &str, label: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| Error::bad_request(format!("fill in “{label}”"), "a field of a form is empty"))
    }
}

/// What is answered to a form: the page at `back`, with the sentence that the work ended with. A mistake goes back as well, with what was typed
/// ([`super::refused`]), so that it can be mended where it was made; what is no mistake of the sender's is an error page.
///
/// # Errors
/// Those that no other input would avoid.
pub fn answer(back: &str, done: Result<impl Into<String>>) -> Result<Response> {
    let (said, refused) = match done {
        Ok(sentence) => (Said::good(sentence), None),
        Err(error) if error.status().is_client_error() => (Said::bad(error.told()), Some(error.status())),
        Err(error) => return Err(error),
    };
    let mut answer = (StatusCode::SEE_OTHER, [(LOCATION, back.to_owned()), (SET_COOKIE, said.cookie())]).into_response();
    if let Some(status) = refused {
        answer.extensions_mut().insert(Refused { status, said: Some(said) });
    }
    Ok(answer)
}
