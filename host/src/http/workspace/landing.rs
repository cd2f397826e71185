//! The way in and out: signing in with a link or a provider, the tenants of an operator, signing out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use maud::html;
use schemars::JsonSchema;
use serde::Deserialize;

use super::form::Sent;
use super::page::{bare, empty, hash as short};
use super::seat::{Guest, session_cookie};
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::guards::Anyone;
use crate::http::query::{ApiQuery, At};
use crate::http::urls::Urls;
use crate::store::ApiScope;
use crate::tenancy::visitors;

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
pub async fn sign_in(_: Anyone, ApiQuery(_query): ApiQuery<SignInQuery>) -> Response {
    let body = html! {
        h1 { "Sign in" }
        p.lead { "Open the link that you were given." }
        p { "An operator makes one with " code { "rolecall workspace link" } "; the first start of the server prints one." }
    };
    bare("Sign in", None, body)
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
/// 404 for a link that is not good, for whichever reason.
pub async fn follow(_: Anyone, State(app): State<Arc<App>>, urls: Urls, At(token): At<String>) -> Result<Response> {
    let Some((secret, scope)) = visitors::follow(&app, &token).await? else {
        return Err(Error::not_found("open session behind this link: it was used, has expired or was taken back; ask for another"));
    };
    Ok(enter(&urls, &secret, &start_of(&scope)))
}

/// POST /workspace/sign-out
///
/// # Errors
/// The store's.
pub async fn sign_out(guest: Guest, State(app): State<Arc<App>>, _: Sent) -> Result<Response> {
    let session = &guest.visitor.session;
    visitors::end(&app, session.scope.tenant.as_ref(), &session.id).await?;
    let gone = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{}", session_cookie(&guest.urls), secure(&guest.urls));
    Ok((StatusCode::SEE_OTHER, [(LOCATION, "/workspace/sign-in".to_owned()), (SET_COOKIE, gone)]).into_response())
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
