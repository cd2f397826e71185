//! The routes about people who are away, or have left.

use axum::http::StatusCode;

use super::{Route, delete, get, post};
use crate::http::api::{governance as g, processes as p, steps as s};
use crate::http::invitation;
use crate::lifecycle::receipt::Receipt;
use crate::model::{Invitation, Process, Ruling};

pub(super) fn all() -> Vec<Route> {
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        get("/api/v1/tenants/{tenant}/leaves", "list_leaves", "Leaves of absence that count, or will", p::leaves)
            .query::<g::ListQuery>()
            .answers::<g::RulingList>(ok),
        post(
            "/api/v1/tenants/{tenant}/accounts/{account}/leave",
            "begin_leave",
            "Takes an account out of use for a time: it comes back by itself",
            p::begin_leave,
        )
        .body::<p::NewLeave>()
        .answers::<Ruling>(created),
        delete("/api/v1/tenants/{tenant}/leaves/{leave}", "end_leave", "Ends a leave before its time", p::end_leave),
        get(
            "/api/v1/tenants/{tenant}/accounts/{account}/receipt",
            "read_receipt",
            "The last departure: what was asked, what went, and which targets have acknowledged",
            p::receipt,
        )
        .answers::<Receipt>(ok),
        post(
            "/api/v1/tenants/{tenant}/accounts/{account}/erase",
            "erase_account",
            "Erases what is personal of a removed account, at once",
            p::erase,
        )
        .body::<p::ErasureReason>(),
    ]
    .into_iter()
    .chain(of_steps())
    .chain(of_invitations())
    .collect()
}

fn of_steps() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        get("/api/v1/tenants/{tenant}/processes", "list_processes", "People's processes with their steps: open ones unless asked", s::list)
            .query::<s::ProcessListQuery>()
            .answers::<s::ProcessList>(ok),
        get("/api/v1/tenants/{tenant}/processes/{process}", "read_process", "A person's process", s::read).answers::<Process>(ok),
        post("/api/v1/tenants/{tenant}/processes/{process}/steps/{step}/done", "finish_step", "Says that a step is done", s::done)
            .body::<s::StepDone>()
            .answers::<Process>(ok),
        post(
            "/api/v1/tenants/{tenant}/processes/{process}/steps/{step}/skip",
            "skip_step",
            "Says that a step is not to be done, and why",
            s::skip,
        )
        .body::<s::StepSkipped>()
        .answers::<Process>(ok),
    ]
}

fn of_invitations() -> Vec<Route> {
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        get(
            "/api/v1/tenants/{tenant}/invitations",
            "list_invitations",
            "Invitations without their links: open ones unless asked",
            s::invitations,
        )
        .query::<s::InvitationListQuery>()
        .answers::<s::InvitationList>(ok),
        post(
            "/api/v1/tenants/{tenant}/accounts/{account}/invitation",
            "invite_account",
            "Invites an account in use, again where it was: targets are told the link, and the one before is good no more",
            s::invite,
        )
        .body::<s::NoBody>()
        .answers::<Invitation>(created),
        delete("/api/v1/tenants/{tenant}/invitations/{invitation}", "revoke_invitation", "Takes an open invitation back", s::revoke),
        get(
            "/invitations/{tenant}/{token}",
            "show_invitation",
            "The page behind an invitation's link: looks nothing up and changes nothing",
            invitation::page,
        )
        .answers::<String>(ok),
        post("/invitations/{tenant}/{token}", "accept_invitation", "Accepts an invitation, once", invitation::accept).answers::<String>(ok),
    ]
}
