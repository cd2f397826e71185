//! Why an account holds a role or does not.

use std::sync::Arc;

use super::{TenancyError, active_revision, candidate};
use crate::app::App;
use crate::evaluation::{self, Outcome};
use crate::lifecycle::{self, Case};
use crate::model::{Instant, RevisionHash, TenantId, Urgency};
use crate::policies::Explanation;
use crate::revision::Revision;
use crate::store::{AccountView, StoreError};

/// Why an account holds a role or does not, decided on the stored inputs now, by the active revision or another one.
///
/// # Errors
/// `Store(Missing)` for an unknown role or revision, and for a person who is deleted meanwhile.
pub async fn explain(
    app: &Arc<App>,
    tenant: &TenantId,
    view: &AccountView,
    role: &str,
    by: Option<&RevisionHash>,
) -> Result<Explanation, TenancyError> {
    let revision = match by {
        Some(hash) => Some(candidate(app, tenant, hash).await?),
        None => active_revision(app, tenant).await?,
    };
    let Some(revision) = revision else {
        return Ok(Explanation::without_policies(role, "no_revision", "the tenant has no active revision: apply one"));
    };
    if !revision.policies.roles().iter().any(|known| known.id == role) {
        return Err(StoreError::Missing("role in the tenant's catalogue").into());
    }
    if view.imported.is_some() {
        return Ok(Explanation::without_policies(
            role,
            "imported",
            "the account was imported, and no connection feeds it: no policy decides",
        ));
    }
    let Some((connection, user)) = &view.source else {
        return Ok(Explanation::without_policies(role, "removed", "the identity provider deleted the person"));
    };
    let people = app.store.people(tenant, connection, std::slice::from_ref(user)).await?;
    let person = people.into_iter().next().ok_or(StoreError::Missing("account"))?;
    let as_of = lifecycle::as_of(app.clock.now(), None);
    let (role, case) = (role.to_owned(), Case::unchanged(person));
    Ok(app.compute.run(tenant, Urgency::Live, move || explain_case(&revision, &case, &role, as_of)).await?)
}

fn explain_case(revision: &Revision, case: &Case, role: &str, as_of: Instant) -> Explanation {
    let evaluation = evaluation::evaluate(revision, &case.subject, as_of);
    let shape = match &evaluation.outcome {
        Outcome::Account(shape) | Outcome::Collision(shape, _) => shape,
        Outcome::Inactive => {
            return Explanation::without_policies(role, "inactive", "the identity provider says that the person is inactive");
        }
        Outcome::Ended => return Explanation::without_policies(role, "ended", "the person's end date has come"),
        Outcome::OutOfScope(reason) => return Explanation::without_policies(role, "out_of_scope", reason),
        Outcome::Refused(note) => return Explanation::without_policies(role, "refused", &note.message),
        Outcome::Fault(fault) => return Explanation::without_policies(role, "fault", &fault.note.message),
    };
    match evaluation::nominations(revision, &case.subject, shape, as_of) {
        Ok(nominations) => {
            let principal = evaluation::principal(&case.subject, shape);
            let explained = revision.policies.explain(&principal, role, nominations.contains_key(role), as_of.timestamp());
            let unknown = || Explanation::without_policies(role, "unknown_role", "the role is not in the tenant's catalogue");
            let mut explained = explained.unwrap_or_else(unknown);
            evaluation::name_nomination(&mut explained.reasons, nominations.get(role));
            explained
        }
        Err(fault) => Explanation::without_policies(role, "fault", &fault.to_string()),
    }
}
