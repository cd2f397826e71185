//! Importing a file of accounts: what can be is imported, and the rows that can't be are given back, each with what is wrong.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::super::form::Sent;
use super::super::page::{Page, Section, token};
use super::super::seat::Seat;
use crate::app::App;
use crate::http::api::attached;
use crate::http::api::first_sync::IMPORT_BODY_BYTES_LIMIT;
use crate::http::error::{Error, Result};
use crate::http::frame;
use crate::model::AdminAction;
use crate::tenancy::TenancyError;
use crate::tenancy::imports::{self, IMPORT_BYTES_LIMIT, Partly, failed_file};

/// The most failed rows that are shown: the file has them all.
const ROWS_SHOWN: usize = 100;
/// An example of a file.
const EXAMPLE: &str = "user_name,display_name,emails,external_id,roles\nada,Ada Lovelace,ada@acme.example,1001,reader;writer";

/// A form with a file in it.
pub type SentFile = Sent<IMPORT_BODY_BYTES_LIMIT>;

/// What became of a file.
enum Became {
    Imported(Partly),
    Refused(String),
}

/// GET /workspace/t/{tenant}/people/import
///
/// # Errors
/// The store's.
pub async fn show(seat: Seat, State(app): State<Arc<App>>) -> Result<Response> {
    let may = seat.rights(&app).await?.may(AdminAction::ManageTenant);
    Ok(rendered(&seat, may, "", None))
}

/// POST /workspace/t/{tenant}/people/import: the same file again changes nothing, so that the page may be loaded again.
///
/// # Errors
/// The store's.
pub async fn send(seat: Seat, State(app): State<Arc<App>>, sent: SentFile) -> Result<Response> {
    seat.ask(&app, AdminAction::ManageTenant).await?;
    let text = sent.raw("content").unwrap_or_default().to_owned();
    let (tenant, actor, whole) = (seat.tenant.id.clone(), seat.principal().actor(), text.clone());
    let work = async move { imports::import_sound_rows(&app, &tenant, &actor, whole).await };
    let became = match frame::to_the_end(work).await? {
        Ok(partly) => Became::Imported(partly),
        Err(error @ TenancyError::File(_)) => Became::Refused(Error::from(error).told()),
        Err(other) => return Err(other.into()),
    };
    Ok(rendered(&seat, true, &text, Some(&became)))
}

/// POST /workspace/t/{tenant}/people/import/failed: the file that the page before held, to be kept.
///
/// # Errors
/// 400 without a file.
pub async fn failed(_: Seat, sent: SentFile) -> Result<Response> {
    let text = sent.raw("content").filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Error::bad_request("import a file first: the rows that failed are kept from there", "no failed rows"))?;
    Ok((attached("failed-rows.csv", "text/csv; charset=utf-8"), text.to_owned()).into_response())
}

fn rendered(seat: &Seat, may: bool, text: &str, became: Option<&Became>) -> Response {
    let shown = if matches!(became, Some(Became::Refused(_))) { text } else { "" };
    let body = html! {
        h1 { "Import accounts" }
        @if let Some(became) = became { (outcome(seat, text, became)) }
        p.lead { "Accounts that exist today, from a CSV file, so that a first sync finds them instead of making them anew." }
        @if may {
            form method="post" action=(seat.at("people/import")) {
                (token(&seat.guest))
                label data-reads-file hidden { "A file" input type="file" accept=".csv,text/csv" data-reads-into="content"; }
                label { "The file’s text" textarea.code #content name="content" required maxlength=(IMPORT_BYTES_LIMIT) placeholder=(EXAMPLE) { (shown) } }
                button.main { "Import" }
            }
        } @else {
            p.note { "Importing takes the right " code { (AdminAction::ManageTenant) } ": a tenant owner has it." }
        }
        h2 { "Columns" }
        dl.pairs {
            dt { code { "user_name" } } dd { "The login name. It has to be there." }
            dt { code { "display_name" } } dd { "The name to show." }
            dt { code { "emails" } } dd { "Addresses, separated by " code { ";" } "." }
            dt { code { "external_id" } } dd { "The identity provider’s id, where it is known: the surest way to be found again." }
            dt { code { "roles" } } dd { "Roles of the catalogue that the account has today, separated by " code { ";" } "." }
            dt { code { "protected" } } dd { code { "true" } " for an account that no connection may touch." }
        }
        p { "Rows that can’t be imported are given back with what is wrong with them; the others are imported. The same file again changes nothing. At most 4 MiB and 10,000 rows." }
    };
    let trail = [("People", seat.at("people"))];
    Page { seat, section: Section::People, title: "Import accounts", trail: &trail, body }.into_response()
}

fn outcome(seat: &Seat, text: &str, became: &Became) -> Markup {
    let Partly { imported, failed } = match became {
        Became::Imported(partly) => partly,
        Became::Refused(told) => return html! { p.said.bad role="alert" { "Nothing is imported. " (told) } },
    };
    html! {
        p.said.bad[!failed.is_empty()] role="status" {
            (imported.created) " new, " (imported.changed) " changed, " (imported.unchanged) " as they were, "
            (imported.adopted) " left alone because a connection feeds them by now; "
            @if failed.is_empty() { "no row failed." } @else { (failed.len()) " failed." }
        }
        @if !failed.is_empty() {
            section.card {
                h2 { "Rows that failed" }
                form method="post" action=(seat.at("people/import/failed")) {
                    (token(&seat.guest))
                    textarea name="content" hidden readonly aria-label="Rows that failed" { (failed_file(text, failed)) }
                    button { "Download the rows that failed" }
                }
                p.quiet { "Mend them and import that file: its column " code { "problem" } " is passed over." }
                table.stack {
                    thead { tr { th scope="col" { "Line" } th scope="col" { "Row" } th scope="col" { "What is wrong" } } }
                    tbody {
                        @for row in failed.iter().take(ROWS_SHOWN) {
                            tr { td { (row.line) } td { code { (row.text.trim()) } } td { @for problem in &row.problems { (problem) br; } } }
                        }
                    }
                }
                @if failed.len() > ROWS_SHOWN { p.quiet { (failed.len() - ROWS_SHOWN) " more stand in the file." } }
            }
        }
    }
}
