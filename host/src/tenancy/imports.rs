//! Accounts that were there before any connection: imported from a file, and protected from all of them.

mod file;
mod listing;
mod partly;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::TenancyError;
use super::governance::check_words;
use crate::app::App;
use crate::crypto;
use crate::model::{Actor, TenantId};
use crate::store::{ApiPrincipal, ImportProblem, Imported, NewImport, StoreError};

pub use file::{Format, IMPORT_BYTES_LIMIT};
pub use listing::{LISTING_BYTES_LIMIT, LISTING_ROWS_LIMIT, read as read_listing};
pub use partly::{FailedRow, failed_file};

/// How often rows are taken out of a file: once for what is wrong with them, once for what stands against them in the database, and once
/// for what has changed there meanwhile.
const ROUNDS: usize = 3;

/// What an import of the rows that can be came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partly {
    /// What became of the others.
    pub imported: Imported,
    /// The rows that can't be imported.
    pub failed: Vec<FailedRow>,
}

/// Imports accounts, all or none.
///
/// # Errors
/// `File` with everything that is wrong; the store's.
pub async fn import(
    app: &Arc<App>,
    tenant: &TenantId,
    actor: &Actor,
    (format, text): (Format, String),
    dry_run: bool,
) -> Result<Imported, TenancyError> {
    let active = super::active(app, tenant).await?;
    let catalogue: Vec<String> = active.built.iter().flat_map(|revision| revision.policies.roles()).map(|role| role.id.clone()).collect();
    // Thousands of rows take a while, and as many problems longer.
    let read = move || {
        let catalogue: BTreeSet<&str> = catalogue.iter().map(String::as_str).collect();
        file::read(format, &text, &catalogue).map(|rows| (rows, text))
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Corrupt("a file was not read to its end".into()))?;
    let (rows, text) = read.map_err(TenancyError::File)?;
    let new: Vec<NewImport> = rows
        .iter()
        .map(|row| NewImport {
            account: crate::model::AccountId(crypto::random_id()),
            user_name: row.user_name.clone(),
            name_key: row.name_key.clone(),
            external_id: row.external_id.clone(),
            emails: row.emails.clone(),
            profile: row.profile.clone(),
            roles: row.roles.clone(),
            protected: row.protected,
            digest: row.digest.clone(),
        })
        .collect();
    let written = app.store.import_accounts(tenant, &new, active.hash.as_ref(), dry_run, actor, app.clock.now()).await?;
    let problems = match written {
        Ok(imported) => {
            app.wake.notify_one();
            return Ok(imported);
        }
        Err(problems) => problems,
    };
    let mut reading = file::Reading::of_accounts(format, &text);
    for (number, problem) in problems {
        let row = &rows[number];
        let message = match problem {
            ImportProblem::NameTaken => format!("the name `{}` belongs to an account that a connection feeds", row.user_name),
            ImportProblem::ExternalIdTaken => "the external id belongs to another account that was imported".to_owned(),
            ImportProblem::Fed => format!("`{}` can't be protected: a connection feeds it by now", row.user_name),
        };
        reading.problem(row.at.clone(), message);
    }
    Err(TenancyError::File(reading.finish()))
}

/// Imports the accounts of a CSV file that can be, and says which can't.
///
/// # Errors
/// `File` where something is wrong with the file as a whole: then nothing is imported; the store's.
pub async fn import_sound_rows(app: &Arc<App>, tenant: &TenantId, actor: &Actor, text: String) -> Result<Partly, TenancyError> {
    let (mut text, mut failed) = (text, Vec::new());
    let mut problems = Vec::new();
    for _ in 0..ROUNDS {
        problems = match import(app, tenant, actor, (Format::Csv, text.clone()), false).await {
            Ok(imported) => {
                failed.sort_by_key(|row: &FailedRow| row.line);
                return Ok(Partly { imported, failed });
            }
            Err(TenancyError::File(problems)) => problems,
            Err(other) => return Err(other),
        };
        let Some((left, wrong)) = partly::sorted_out(&text, &problems) else { break };
        failed.extend(wrong);
        text = left;
    }
    Err(TenancyError::File(problems))
}

/// Protects an account from every connection, or ends that.
///
/// # Errors
/// `Refused` for one that a connection feeds, or has fed; `Store(Missing)`.
pub async fn protect(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    account: &str,
    (protected, reason): (bool, &str),
) -> Result<(), TenancyError> {
    check_words(reason, None)?;
    let view = app.store.account(tenant, account).await?.ok_or(StoreError::Missing("account"))?;
    app.store.set_protected(tenant, &view.account.id, protected, reason, &who.actor(), app.clock.now()).await?;
    app.wake.notify_one();
    Ok(())
}
