//! The way in and out: signing in with a link or a provider, the tenants of an operator, signing out.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::html;
use schemars::JsonSchema;
use serde::Deserialize;

use super::form::Sent;
use super::page::{bare, empty, hash as short};
use super::path::with;
use super::seat::{Guest, check_own, cookie, session_cookie};
use crate::app::App;
use crate::auth::Denied;
use crate::http::error::{Error, Result};
use crate::http::guards::Anyone;
use crate::http::query::{ApiQuery, At};
use crate::http::urls::Urls;
use crate::model::TenantId;
use crate::store::ApiScope;
use crate::tenancy::sign_in::{self, Known, SignedIn, providers};
use crate::tenancy::visitors::{self, Followed};

/// The cookie that binds a sign-in to the browser that began it.
const STATE_COOKIE: &str = "rolecall_sign_in";
/// How many tenants are shown at once.
const TENANTS_SHOWN: usize = 200;

/// Which tenants.
#[derive(Deserialize, JsonSchema)]
pub struct TenantsQuery {
    /// Words of their ids or names.
    q: Option<String>,
}

/// Where to go after signing in.
#[derive(Deserialize, JsonSchema)]
pub struct SignInQuery {
    /// The page that was asked for.
    next: Option<String>,
    /// The tenant whose providers are meant.
    tenant: Option<String>,
}

/// GET /
pub async fn home(_: Anyone) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, "/workspace")]).into_response()
}

/// GET /workspace
///
/// # Errors
/// The store's.
pub async fn tenants(guest: Guest, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<TenantsQuery>) -> Result<Response> {
    if let Some(own) = &guest.visitor.session.scope.tenant {
        return Ok((StatusCode::SEE_OTHER, [(LOCATION, format!("/workspace/t/{own}"))]).into_response());
    }
    let words = query.q.unwrap_or_default().to_lowercase();
    let all = app.store.tenants().await?;
    let fits = |text: &str| words.split_whitespace().all(|word| text.to_lowercase().contains(word));
    let found: Vec<_> = all.iter().filter(|tenant| fits(&format!("{} {}", tenant.id, tenant.name))).collect();
    let body = html! {
        h1 { "Tenants" }
        form.search method="get" role="search" {
            input type="search" name="q" value=(words) aria-label="Tenants" placeholder="Name or id";
            button { "Search" }
        }
        @if all.is_empty() {
            (empty("No tenant yet", &html! { "A tenant is made with its first revision: " code { "rolecall tenant apply ID FOLDER" } "." }))
        } @else {
            table {
                thead { tr { th { "Tenant" } th { "Id" } th { "Revision" } th { "Kept by" } } }
                tbody {
                    @for tenant in found.iter().take(TENANTS_SHOWN) {
                        tr {
                            td { a href={ "/workspace/t/" (tenant.id) } { (tenant.name) } }
                            td { code { (tenant.id) } }
                            td { @match &tenant.active_revision { Some(hash) => (short(hash.as_str())), None => span.quiet { "none" } } }
                            td { (tenant.managed_by) }
                        }
                    }
                }
            }
            @if found.len() > TENANTS_SHOWN { p.quiet { (found.len() - TENANTS_SHOWN) " more: search for what you look for." } }
        }
    };
    Ok(bare("Tenants", Some(&guest), body))
}

/// GET /workspace/sign-in
///
/// # Errors
/// The store's.
pub async fn sign_in(_: Anyone, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<SignInQuery>) -> Result<Response> {
    let tenant = query.tenant.as_deref().map(str::trim).filter(|tenant| !tenant.is_empty());
    // A tenant without providers and one that does not exist look the same.
    let own = match tenant {
        Some(tenant) => providers(&app, Some(&TenantId::from(tenant))).await?,
        None => Vec::new(),
    };
    let platform = providers(&app, None).await?;
    let next = query.next.as_deref().filter(|next| is_ours(next));
    let way = |known: &Known| with(&format!("/workspace/sign-in/{}", known.id), &[("next", next.unwrap_or_default())]);
    let body = html! {
        h1 { "Sign in" }
        @if !own.is_empty() || !platform.is_empty() {
            div.actions { @for known in own.iter().chain(&platform) { a.button.main href=(way(known)) { "Sign in with " (known.settings.name) } } }
        }
        form.search method="get" {
            label { "Organisation" input type="text" name="tenant" value=(tenant.unwrap_or_default()) autocomplete="organization" required; }
            @if let Some(next) = next { input type="hidden" name="next" value=(next); }
            button { "Continue" }
        }
        @if tenant.is_some() && own.is_empty() {
            p.note role="status" { "Nothing is set up for an organisation of this name. Ask whoever gave you the address, or open the link that you were given." }
        }
        p.quiet { "Or open the link that you were given: an operator makes one with " code { "rolecall workspace link" } "." }
    };
    Ok(bare("Sign in", None, body))
}

/// GET /workspace/sign-in/{provider}
///
/// # Errors
/// 404; 502 when the provider is away.
pub async fn to_provider(
    _: Anyone,
    State(app): State<Arc<App>>,
    urls: Urls,
    At(provider): At<String>,
    ApiQuery(query): ApiQuery<SignInQuery>,
) -> Result<Response> {
    let next = query.next.filter(|next| is_ours(next));
    let (to, state) = sign_in::begin(&app, &provider, &callback(&urls), next).await?;
    let cookie = format!(
        "{STATE_COOKIE}={}; Path=/workspace; Max-Age={}; HttpOnly; SameSite=Lax{}",
        *state,
        sign_in::SIGN_IN_SECONDS,
        secure(&urls)
    );
    Ok((StatusCode::SEE_OTHER, [(LOCATION, to), (SET_COOKIE, cookie)]).into_response())
}

/// What a provider sends people back with (RFC 6749 §4.1.2).
#[derive(Deserialize, JsonSchema)]
pub struct ProviderAnswer {
    /// What was sent there with them.
    #[serde(default)]
    state: String,
    /// What is good for a token.
    code: Option<String>,
    /// Why there is none.
    error: Option<String>,
}

/// GET /workspace/callback
///
/// # Errors
/// 400 for an answer that nobody here asked for; 403 where the provider's answer is not accepted; 502 when it is away.
pub async fn from_provider(
    _: Anyone,
    State(app): State<Arc<App>>,
    urls: Urls,
    headers: HeaderMap,
    Query(answer): Query<ProviderAnswer>,
) -> Result<Response> {
    let kept = cookie(&headers, STATE_COOKIE).unwrap_or_default();
    let said = match (&answer.code, &answer.error) {
        (Some(code), None) => Ok(code.as_str()),
        (_, error) => Err(error.as_deref().unwrap_or("no code")),
    };
    let SignedIn { secret, scope, next } = sign_in::finish(&app, &answer.state, kept, said).await?;
    let next = next.filter(|next| is_ours(next)).unwrap_or_else(|| start_of(&scope));
    let mut response = enter(&urls, &secret, &next);
    let gone = format!("{STATE_COOKIE}=; Path=/workspace; Max-Age=0; HttpOnly; SameSite=Lax{}", secure(&urls));
    if let Ok(gone) = gone.parse() {
        response.headers_mut().append(SET_COOKIE, gone);
    }
    Ok(response)
}

fn callback(urls: &Urls) -> String {
    format!("{}/workspace/callback", urls.root())
}

/// The longest page to go to that is kept while somebody signs in, in bytes: filters of a list are some hundred.
const NEXT_BYTES_LIMIT: usize = 2_048;

/// Whether a page to go to is one of ours: nobody is sent elsewhere by a link to us.
fn is_ours(next: &str) -> bool {
    next.len() <= NEXT_BYTES_LIMIT
        && (next == "/workspace" || next.starts_with("/workspace/"))
        && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

/// GET /workspace/links/{token}: the same for every token. Nothing is looked up, so that programs that open links in advance use none up.
pub async fn link(_: Anyone) -> Response {
    let body = html! {
        h1 { "Sign in to Rolecall" }
        p.lead { "The link is good once, in this browser." }
        form method="post" { button.main { "Sign in" } }
    };
    bare("Sign in", None, body)
}

/// POST /workspace/links/{token}
///
/// # Errors
/// 403 for a form of another site, which would sign somebody in as somebody else; 404 for a link that is not good, for whichever
/// reason; 429.
pub async fn follow(_: Anyone, State(app): State<Arc<App>>, urls: Urls, At(token): At<String>, headers: HeaderMap) -> Result<Response> {
    check_own(&headers, &urls)?;
    match visitors::follow(&app, &token).await? {
        Followed::Begun { secret, scope } => Ok(enter(&urls, &secret, &start_of(&scope))),
        Followed::NotGood => {
            Err(Error::not_found("open session behind this link: it was used, has expired or was taken back; ask for another"))
        }
        Followed::TooMany(too_many) => Err(Denied::TooMany(too_many).into()),
    }
}

/// POST /workspace/sign-out
///
/// # Errors
/// The store's.
pub async fn sign_out(guest: Guest, State(app): State<Arc<App>>, _: Sent) -> Result<Response> {
    let session = &guest.visitor.session;
    visitors::end(&app, session.scope.tenant.as_ref(), &session.id, &guest.principal().actor()).await?;
    let to = if session.via == visitors::VIA_LINK {
        "/workspace/sign-in".to_owned()
    } else {
        with("/workspace/signed-out", &[("provider", &session.via)])
    };
    let gone = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{}", session_cookie(&guest.urls), secure(&guest.urls));
    Ok((StatusCode::SEE_OTHER, [(LOCATION, to), (SET_COOKIE, gone)]).into_response())
}

/// With whom somebody was signed in.
#[derive(Deserialize, JsonSchema)]
pub struct SignedOutQuery {
    /// The provider.
    #[serde(default)]
    provider: String,
}

/// GET /workspace/signed-out: a provider's own session goes on, and where it can be ended is for people to follow.
///
/// # Errors
/// The store's.
pub async fn signed_out(_: Anyone, State(app): State<Arc<App>>, Query(query): Query<SignedOutQuery>) -> Result<Response> {
    let known = sign_in::end_of(&app, &query.provider).await?;
    let body = html! {
        h1 { "Signed out" }
        p.lead { "Your session here has ended." }
        @if let Some((name, end)) = known {
            p { "You may still be signed in at " (name) ": " a href=(end) { "sign out there too" } "." }
        }
        p { a href="/workspace/sign-in" { "Sign in again" } }
    };
    Ok(bare("Signed out", None, body))
}

/// The first page of a session.
fn start_of(scope: &ApiScope) -> String {
    scope.tenant.as_ref().map_or_else(|| "/workspace".to_owned(), |tenant| format!("/workspace/t/{tenant}"))
}

/// Gives the browser a session's secret and sends it on.
pub(super) fn enter(urls: &Urls, secret: &str, to: &str) -> Response {
    // `Lax`: a provider sends people back here from its own site.
    let cookie =
        format!("{}={secret}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{}", session_cookie(urls), visitors::SESSION_SECONDS, secure(urls));
    (StatusCode::SEE_OTHER, [(LOCATION, to.to_owned()), (SET_COOKIE, cookie)]).into_response()
}

fn secure(urls: &Urls) -> &'static str {
    if urls.is_secure() { "; Secure" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for ours in ["/workspace", "/workspace/t/acme/people?q=a&after=b"] {
            assert!(is_ours(ours), "{ours}");
        }
        for theirs in
            ["", "/", "//evil.example", "https://evil.example", "/workspacex", "/workspace/\\evil", "/workspace/a b", "/workspace/\r\nx"]
        {
            assert!(!is_ours(theirs), "{theirs}");
        }
    }
}
