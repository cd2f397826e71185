//! The workspace: pages for the people who look after a tenant's provisioning, rendered here and sent whole.
//!
//! One file a page, or a few that belong together; each has a row in `all`. `seat` says who asks and what they may; `page` is what pages have
//! in common (frame, words, tables); `assets` is what browsers load beside them. A page reads what it shows through the functions that the
//! API's handlers call, and what it changes goes the same way, so that no page can do what the API refuses. Pages work without scripts; what
//! moves by itself is a part of a page that is asked for again. `refused` fills forms in again that were refused.

pub mod assets;
mod connections;
mod decisions;
mod form;
mod guides;
mod history;
mod landing;
mod mapping;
pub mod page;
mod path;
mod people;
pub(super) mod refused;
mod roles;
pub mod seat;
mod settings;
mod setup;
mod today;
mod words;

use super::routes::{Route, get, post};

/// Where the workspace is.
pub const ROOT: &str = "/workspace";

/// The pages, and what their forms send.
pub(super) fn all() -> Vec<Route> {
    let own = vec![
        get("/", "home", "The way into the workspace", landing::home),
        get("/workspace", "workspace", "The tenants that one may see, or one's own", landing::tenants),
        get("/workspace/assets/{file}", "workspace_asset", "What browsers load beside pages", assets::file),
        get("/workspace/sign-in", "sign_in", "How to sign in", landing::sign_in),
        get("/workspace/sign-in/{provider}", "sign_in_with", "To the sign-in of an OpenID provider", landing::to_provider),
        get("/workspace/callback", "signed_in", "Back from an OpenID provider", landing::from_provider),
        get("/workspace/signed-out", "signed_out", "What is left to do after signing out", landing::signed_out),
        get("/workspace/links/{token}", "open_link", "The page behind a link that begins a session", landing::link),
        post("/workspace/links/{token}", "follow_link", "Begins the session that a link is for, once", landing::follow),
        post("/workspace/sign-out", "sign_out", "Ends one's session", landing::sign_out),
        get("/workspace/t/{tenant}", "today", "What needs somebody", today::show),
    ];
    [own, people::all(), roles::all(), connections::all(), setup::all(), settings::all(), decisions::all(), mapping::all(), history::all()]
        .into_iter()
        .flatten()
        .collect()
}
