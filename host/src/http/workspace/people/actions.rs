//! What the forms of a person's page do: each by the function that the API calls, and back to the page with what became of it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::super::form::{Sent, answer};
use super::super::seat::Seat;
use super::super::words::{Edge, needed_moment, sent_moment};
use super::person::view;
use super::words;
use crate::app::App;
use crate::http::error::{Error, Result};
use crate::http::query::At;
use crate::model::{AdminAction, RoleId};
use crate::store::AccountView;
use crate::tenancy::governance::{self, WantedException};
use crate::tenancy::processes::{self, WantedLeave};
use crate::tenancy::steps;

/// A person and one thing about them, by the path.
type Thing = At<(String, String, String)>;

/// The field that says until when.
const UNTIL: (&str, &str, Edge) = ("ends", "Until the end of", Edge::End);

fn back(seat: &Seat, view: &AccountView) -> String {
    seat.at(&format!("people/{}", view.account.id))
}

/// POST …/people/{account}/suspend
///
/// # Errors
/// 404.
pub async fn suspend(seat: Seat, State(app): State<Arc<App>>, At((_, account)): At<(String, String)>, sent: Sent) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let work = async {
        seat.ask(&app, AdminAction::ManageLeaves).await?;
        let wanted = WantedLeave {
            account: view.account.id.0.clone(),
            starts: None,
            ends: needed_moment(&sent, &seat.zone(&app).await?, UNTIL)?,
            reason: sent.needed("reason", "Why")?.to_owned(),
            owner: None,
        };
        processes::begin_leave(&app, &seat.tenant.id, &seat.principal(), wanted).await?;
        Ok(format!("{} is being suspended. End the leave on this page to undo it.", words::name(&view)))
    };
    answer(&back(&seat, &view), work.await)
}

/// POST …/people/{account}/leave
///
/// # Errors
/// 404.
pub async fn begin_leave(seat: Seat, State(app): State<Arc<App>>, At((_, account)): At<(String, String)>, sent: Sent) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let work = async {
        seat.ask(&app, AdminAction::ManageLeaves).await?;
        let zone = seat.zone(&app).await?;
        let wanted = WantedLeave {
            account: view.account.id.0.clone(),
            starts: sent_moment(&sent, &zone, ("starts", "From", Edge::Beginning))?,
            ends: needed_moment(&sent, &zone, UNTIL)?,
            reason: sent.needed("reason", "Why")?.to_owned(),
            owner: sent.get("owner").map(str::to_owned),
        };
        processes::begin_leave(&app, &seat.tenant.id, &seat.principal(), wanted).await?;
        Ok(format!("The leave of {} is noted. It can be ended on this page at any time.", words::name(&view)))
    };
    answer(&back(&seat, &view), work.await)
}

/// POST …/people/{account}/leave/{leave}/end
///
/// # Errors
/// 404.
pub async fn end_leave(seat: Seat, State(app): State<Arc<App>>, At((_, account, leave)): Thing, _: Sent) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let work = async {
        seat.ask(&app, AdminAction::ManageLeaves).await?;
        ruling_of(&app, &seat, &view, &leave).await?;
        processes::end_leave(&app, &seat.tenant.id, &seat.principal(), &leave).await?;
        Ok(format!("The leave is ended. {} has what the policies give now, unless another leave goes on.", words::name(&view)))
    };
    answer(&back(&seat, &view), work.await)
}

/// POST …/people/{account}/exceptions
///
/// # Errors
/// 404.
pub async fn make_exception(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, account)): At<(String, String)>,
    sent: Sent,
) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let work = async {
        let role = sent.needed("role", "Role")?;
        let grants = match sent.needed("effect", "What it does")? {
            "grant" => true,
            "forbid" => false,
            _ => return Err(Error::bad_request("say what the exception does: gives the role, or keeps it away", "an effect is unknown")),
        };
        let wanted = WantedException {
            account: view.account.id.0.clone(),
            role: RoleId::from(role),
            grants,
            starts: None,
            ends: needed_moment(&sent, &seat.zone(&app).await?, UNTIL)?,
            reason: sent.needed("reason", "Why")?.to_owned(),
            owner: sent.needed("owner", "Who answers for it")?.to_owned(),
        };
        deciding(&seat)?;
        governance::make_exception(&app, &seat.tenant.id, &seat.principal(), wanted).await?;
        Ok(format!("The exception about {role} is made. It can be ended on this page at any time."))
    };
    answer(&back(&seat, &view), work.await)
}

/// Whether what a path names is about the person whom it names.
async fn ruling_of(app: &App, seat: &Seat, view: &AccountView, id: &str) -> Result<()> {
    let ruling = app.store.ruling(&seat.tenant.id, id).await?.filter(|ruling| ruling.account == view.account.id);
    ruling.map(|_| ()).ok_or_else(|| Error::not_found("such leave or exception of this person"))
}

/// Whoever may read alone decides nothing: about one role it is asked where that is decided.
fn deciding(seat: &Seat) -> Result<()> {
    if seat.principal().may_decide() { Ok(()) } else { Err(Error::forbidden("you may read everything here and change nothing")) }
}

/// POST …/people/{account}/exceptions/{exception}/end
///
/// # Errors
/// 404.
pub async fn end_exception(seat: Seat, State(app): State<Arc<App>>, At((_, account, exception)): Thing, _: Sent) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let work = async {
        deciding(&seat)?;
        ruling_of(&app, &seat, &view, &exception).await?;
        governance::end_exception(&app, &seat.tenant.id, &seat.principal(), &exception).await?;
        Ok("The exception is ended: the policies alone decide.".to_owned())
    };
    answer(&back(&seat, &view), work.await)
}

/// POST …/people/{account}/invite
///
/// # Errors
/// 404.
pub async fn invite(seat: Seat, State(app): State<Arc<App>>, At((_, account)): At<(String, String)>, _: Sent) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let work = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        steps::invite(&app, &seat.tenant.id, &seat.principal(), view.account.id.as_str()).await?;
        let heard = app.store.targets(&seat.tenant.id).await?.iter().any(|target| target.enabled);
        let how = if heard {
            "targets are told the link"
        } else {
            "but no target is told the link: make one in the settings, or go on with one, and send it again"
        };
        Ok(format!("{} is invited: {how}.", words::name(&view)))
    };
    answer(&back(&seat, &view), work.await)
}

/// POST …/people/{account}/invitations/{invitation}/revoke
///
/// # Errors
/// 404.
pub async fn revoke(seat: Seat, State(app): State<Arc<App>>, At((_, account, invitation)): Thing, _: Sent) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let work = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        steps::revoke(&app, &seat.tenant.id, &seat.principal(), &invitation).await?;
        Ok("The invitation is taken back: its link is good no more.".to_owned())
    };
    answer(&back(&seat, &view), work.await)
}

/// POST …/people/{account}/steps/{process}/{step}
///
/// # Errors
/// 404.
pub async fn step(
    seat: Seat,
    State(app): State<Arc<App>>,
    At((_, account, process, step)): At<(String, String, String, String)>,
    sent: Sent,
) -> Result<Response> {
    let view = view(&app, &seat, &account).await?;
    let work = async {
        seat.ask(&app, AdminAction::ManageTenant).await?;
        let done = match sent.get("said") {
            Some("done") => true,
            Some("skip") => false,
            _ => return Err(Error::bad_request("say whether the step is done or skipped", "what is said of a step is unknown")),
        };
        let reason = if done { sent.get("reason") } else { Some(sent.needed("reason", "why it is skipped")?) };
        let said = (done, reason.map(str::to_owned));
        steps::say(&app, &seat.tenant.id, &seat.principal(), (&process, &step), said).await?;
        Ok(if done { "The step is done." } else { "The step is skipped." })
    };
    answer(&back(&seat, &view), work.await)
}
