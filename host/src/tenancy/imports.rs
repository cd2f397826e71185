//! Accounts that were there before any connection: imported from a file, and protected from all of them.

mod file;
mod listing;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::TenancyError;
use super::governance::check_words;
use crate::app::App;
use crate::crypto;
use crate::model::{Actor, TenantId};
use crate::store::{ApiPrincipal, ImportProblem, Imported, NewImport, StoreError};

pub use file::{Format, IMPORT_BYTES_LIMIT};
pub use listing::{LISTING_BYTES_LIMIT, read as read_listing};

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
