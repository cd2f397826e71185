//! People: the search, and the rows of the pages about one of them.

mod actions;
mod erasure;
mod history;
mod import;
mod parts;
mod person;
mod run;
mod words;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::page::{Page, Section, badge, empty, heading, more};
use super::path::with;
use super::seat::Seat;
use crate::app::App;
use crate::http::error::Result;
use crate::http::query::{ApiQuery, page};
use crate::http::routes::{Route, get, post};
use crate::model::{AccountId, AccountState, AdminAction};
use crate::store::{AccountView, NamePlace, NameQuery};

/// How many people a page shows.
const PEOPLE_SHOWN: i64 = 50;
/// What stands between the parts of a place in the order of names: ids of accounts have none.
const PLACE_SEPARATOR: char = '!';

/// The pages about people, and what their forms send.
pub(super) fn all() -> Vec<Route> {
    vec![
        get("/workspace/t/{tenant}/people", "people", "People, by what they are known by", list),
        get("/workspace/t/{tenant}/people/import", "people_import", "A file of accounts, to be imported", import::show),
        post("/workspace/t/{tenant}/people/import", "import_people", "Imports the rows of a file that can be", import::send),
        post("/workspace/t/{tenant}/people/import/failed", "failed_rows", "The rows that failed, as a file", import::failed),
        get("/workspace/t/{tenant}/people/{account}", "person", "One person, whole", person::show),
        get("/workspace/t/{tenant}/people/{account}/standing", "person_standing", "What somebody is at present", person::standing),
        get("/workspace/t/{tenant}/people/{account}/why", "person_why", "Why, or why not, somebody has a role", person::why),
        get("/workspace/t/{tenant}/people/{account}/run", "person_run", "One person, step by step, without effect", run::show),
        post("/workspace/t/{tenant}/people/{account}/run", "run_person", "Carries out what a run shows", run::apply),
        get("/workspace/t/{tenant}/people/{account}/history", "person_history", "What somebody was, from when to when", history::show),
        get("/workspace/t/{tenant}/people/{account}/erase", "person_erase", "What erasing somebody takes away", erasure::show),
        post("/workspace/t/{tenant}/people/{account}/erase", "erase_person", "Erases what is personal", erasure::send),
        post("/workspace/t/{tenant}/people/{account}/suspend", "suspend_person", "Takes somebody out of use at once", actions::suspend),
        post("/workspace/t/{tenant}/people/{account}/leave", "begin_person_leave", "Sends somebody on leave", actions::begin_leave),
        post("/workspace/t/{tenant}/people/{account}/leave/{leave}/end", "end_person_leave", "Ends a leave", actions::end_leave),
        post("/workspace/t/{tenant}/people/{account}/exceptions", "make_person_exception", "Makes an exception", actions::make_exception),
        post(
            "/workspace/t/{tenant}/people/{account}/exceptions/{exception}/end",
            "end_person_exception",
            "Ends an exception",
            actions::end_exception,
        ),
        post("/workspace/t/{tenant}/people/{account}/invite", "invite_person", "Invites, or invites again", actions::invite),
        post(
            "/workspace/t/{tenant}/people/{account}/invitations/{invitation}/revoke",
            "revoke_person_invitation",
            "Takes an invitation back",
            actions::revoke,
        ),
        post("/workspace/t/{tenant}/people/{account}/steps/{process}/{step}", "say_of_step", "A step is done, or skipped", actions::step),
    ]
}

/// Which people.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeopleQuery {
    /// What their names, addresses or display names begin with, or an external id.
    #[serde(default)]
    q: String,
    /// Only those in this state, by its word.
    #[serde(default)]
    state: String,
    /// Only those behind this place.
    #[serde(default)]
    after: String,
}

/// What was found.
struct Found {
    people: Vec<AccountView>,
    next: Option<String>,
    otherwise: Vec<AccountView>,
}

/// GET /workspace/t/{tenant}/people
///
/// # Errors
/// The store's.
pub async fn list(seat: Seat, State(app): State<Arc<App>>, ApiQuery(query): ApiQuery<PeopleQuery>) -> Result<Response> {
    let words = query.q.trim();
    let state = AccountState::from_word(&query.state);
    let found = find(&app, &seat, words, state, &query.after).await?;
    let rights = seat.rights(&app).await?;
    let is_empty = found.people.is_empty() && found.otherwise.is_empty();
    let to = |after: String| with(&seat.at("people"), &[("q", words), ("state", &query.state), ("after", &after)]);
    let import = html! { @if rights.may(AdminAction::ManageTenant) { a.button href=(seat.at("people/import")) { "Import a file" } } };
    let body = html! {
        (heading("People", &import))
        (search(words, state))
        @if is_empty && words.is_empty() && state.is_none() && query.after.is_empty() {
            (empty("Nobody yet", &html! {
                "People come in over a " a href=(seat.at("connections")) { "connection" }
                " to an identity provider, or from a file of the accounts that you have today."
            }))
        } @else if is_empty && found.next.is_none() {
            (empty("Nobody found", &html! {
                "A search finds what login names, addresses and display names begin with, in any case, and whole external ids. "
                a href=(seat.at("people")) { "Show everybody" }
            }))
        } @else {
            (table("People by name", &seat, &found.people))
            (more(found.next.map(to)))
            @if !found.otherwise.is_empty() {
                h2 { "Found by address, display name or external id" }
                (table("People found otherwise", &seat, &found.otherwise))
            }
        }
    };
    Ok(Page { seat: &seat, section: Section::People, title: "People", trail: &[], body }.into_response())
}

async fn find(app: &Arc<App>, seat: &Seat, words: &str, state: Option<AccountState>, after: &str) -> Result<Found> {
    let tenant = &seat.tenant.id;
    let after = Some(after).filter(|after| !after.is_empty() && !after.contains('\0'));
    if words.is_empty() {
        let after = after.map(AccountId::from);
        let found = app.store.accounts(tenant, state, after.as_ref(), PEOPLE_SHOWN + 1).await?;
        let (people, next) = page(found, PEOPLE_SHOWN, |view| view.account.id.0.clone());
        return Ok(Found { people, next, otherwise: Vec::new() });
    }
    let asked = NameQuery { prefix: words.to_owned(), state, after: after.and_then(place), limit: PEOPLE_SHOWN };
    let named = app.store.accounts_named(tenant, &asked).await?;
    // Behind the first page is what belongs to the order of names alone.
    let mut otherwise = if asked.after.is_none() { app.store.accounts_known_by(tenant, words, state).await? } else { Vec::new() };
    if asked.after.is_none() {
        let named = app.store.account(tenant, words).await?.filter(|view| view.account.id.as_str() == words);
        otherwise.extend(named.filter(|view| state.is_none_or(|state| view.account.state == state)));
    }
    otherwise.retain(|view| named.accounts.iter().all(|shown| shown.account.id != view.account.id));
    let next = named.next.map(|place| format!("{}{PLACE_SEPARATOR}{}", place.account, place.name));
    Ok(Found { people: named.accounts, next, otherwise })
}

fn place(text: &str) -> Option<NamePlace> {
    let (account, name) = text.split_once(PLACE_SEPARATOR)?;
    Some(NamePlace { name: name.to_owned(), account: AccountId::from(account) })
}

fn search(words: &str, state: Option<AccountState>) -> Markup {
    html! {
        form.search method="get" role="search" {
            label { "Name, address or external id" input type="search" name="q" value=(words) placeholder="What it begins with"; }
            label {
                "State"
                select name="state" {
                    option value="" { "any" }
                    @for each in AccountState::ALL {
                        option value=(each.word()) selected[state == Some(*each)] { (each.word().replace('_', " ")) }
                    }
                }
            }
            button { "Search" }
        }
    }
}

fn table(label: &str, seat: &Seat, people: &[AccountView]) -> Markup {
    html! {
        table.stack aria-label=(label) {
            thead { tr { th scope="col" { "Person" } th scope="col" { "Address" } th scope="col" { "State" } th scope="col" { "Roles in effect" } th scope="col" { "Why so" } } }
            tbody data-rows {
                @for view in people {
                    @let account = &view.account;
                    tr {
                        td {
                            a href=(seat.at(&format!("people/{}", account.id))) { (words::name(view)) }
                            @if let Some(shown) = account.profile["display_name"].as_str() { br; span.quiet { (shown) } }
                        }
                        td { (account.profile["email"].as_str().unwrap_or_default()) }
                        td { (badge(account.state.word())) }
                        td { (words::in_effect(view)) }
                        td { @if let Some(note) = &account.note { (words::heading_of(note)) } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let read = place("a1!x!y").unwrap();
        assert_eq!((read.account.as_str(), read.name.as_str()), ("a1", "x!y"));
        assert_eq!(place("a1"), None);
    }
}
