//! Everything that speaks HTTP, made from one table: [`routes`].
//!
//! `routes` makes the router, the OpenAPI document and the list that tests walk; `guards` say who may
//! call; `scim`, `api` and `operations` hold the handlers; `body`, `query` and `urls` read requests;
//! `error` alone picks statuses; `trail` puts writes into the provisioning log; `frame` surrounds every request (id, time limit, log line, metrics,
//! the form of errors); `compression` makes answers smaller where that is safe; `workspace` holds the pages. Nothing here decides what happens to people: that is provisioning's.

pub mod api;
pub mod body;
mod compression;
pub mod connections;
pub mod error;
pub mod frame;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod guards;
mod invitation;
mod json;
pub mod oauth;
pub mod openapi;
pub mod operations;
pub mod query;
pub mod routes;
pub mod scim;
mod trail;
pub mod urls;
pub mod workspace;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::{Method, Uri};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use error::{Error, Format};
use guards::Access;

/// Below it are the routes that take no parameter that they do not know. What probes and monitoring add to theirs is passed over.
const API: &str = "/api/";

/// A route, for tests that walk every one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The method.
    pub method: Method,
    /// The path, with `{parameters}`.
    pub path: &'static str,
    /// The operation's id in the OpenAPI document.
    pub operation: &'static str,
    /// Who may call it.
    pub access: Access,
}

impl RouteInfo {
    /// Whether it is one of the workspace's pages, or what they send: those are for people, and in no document.
    #[must_use]
    pub fn is_page(&self) -> bool {
        Format::of(self.path) == Format::Page
    }
}

/// Every route that [`router`] serves. (`HEAD` is answered wherever `GET` is.)
#[must_use]
pub fn route_list() -> Vec<RouteInfo> {
    routes::all()
        .into_iter()
        .map(|route| RouteInfo { method: route.method, path: route.path, operation: route.operation, access: route.access })
        .collect()
}

/// The router over a running process's parts.
pub fn router(app: Arc<App>) -> Router {
    assemble(app, routes::all())
}

fn assemble(app: Arc<App>, table: Vec<routes::Route>) -> Router {
    // Each layer costs every request behind it a few microseconds: those of pages and of the API stand before none of SCIM's routes.
    let (mut scim, mut others) = (Router::new(), Router::new());
    for route in table {
        match Format::of(route.path) {
            Format::Scim => scim = spellings(route.path).iter().fold(scim, |scim, path| scim.route(path, route.handler.clone())),
            Format::Problem if route.path.starts_with(API) && route.query.is_none() => {
                let refused = guards::NoQuery { has_body: route.body.is_some() };
                others = others.route(route.path, route.handler.layer(Extension(refused)));
            }
            Format::Problem | Format::OAuth | Format::Page => others = others.route(route.path, route.handler),
        }
    }
    let scim = scim.method_not_allowed_fallback(async || Error::method_not_allowed());
    let others =
        others.method_not_allowed_fallback(async || Error::method_not_allowed()).fallback(async |uri: Uri| Error::unknown_path(uri.path()));
    let pages = others.clone().with_state(Arc::clone(&app));
    let others = others.layer(axum::middleware::from_fn_with_state(pages, workspace::refused::fill_in));
    let surrounded = |routes: Router<Arc<App>>| {
        routes
            .layer(CatchPanicLayer::custom(error::of_panic))
            .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), frame::surround))
    };
    let others = surrounded(others).layer(axum::middleware::from_fn(compression::compress));
    surrounded(scim).merge(others).with_state(Arc::clone(&app))
}

/// How SCIM clients write a path: with a slash at the end of a URL or without, as they like, and with two of them behind a base URL that they
/// were given with one at its end (scim-for-keycloak #127).
fn spellings(path: &str) -> BTreeSet<String> {
    let doubled = path.replacen("/v2/", "/v2//", 1);
    [path, &doubled].into_iter().flat_map(|path| [path.to_owned(), format!("{path}/")]).collect()
}

mod tests;
