//! The one place that asks who may decide: the tenant's admin policies, about whoever holds a token. Operators of the platform are not
//! asked about, so that no tenant's policy locks them out. The floor stands above every answer, in the functions that decide.

use std::sync::Arc;

use super::TenancyError;
use crate::app::App;
use crate::model::{
    ADMIN_ROLES_LIMIT, AdminAction, GuardDirection, GuardScope, Hold, PLATFORM_OPERATOR, RevisionHash, TenantId, is_admin_role, quoted,
};
use crate::policies::Role;
use crate::policies::admin::{Admin, Matter};
use crate::store::{ApiPrincipal, ApiScope};

/// What is decided about.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// Roles, each with whether somebody gets, gets back or keeps it.
    Roles(&'a [(&'a str, bool)]),
    /// A hold, with whether its people get or keep something.
    Hold(&'a Hold, bool),
    /// A revision.
    Revision {
        /// Its hash.
        hash: &'a RevisionHash,
        /// Whether it changes what decides about privileged roles, or who may decide.
        privileged: bool,
    },
    /// The tenant as a whole.
    Tenant,
}

/// Whether somebody may do that, by the admin policies of the tenant's active revision.
///
/// # Errors
/// `Forbidden` with which policy refuses and what one can do.
pub async fn ask(app: &Arc<App>, tenant: &TenantId, who: &ApiPrincipal, action: AdminAction, about: Asked<'_>) -> Result<(), TenancyError> {
    if who.is_operator() {
        return Ok(());
    }
    let active = super::active(app, tenant).await?;
    let catalogue = active.built.as_ref().map_or(&[][..], |revision| revision.policies.roles());
    let ApiScope { person, write, admin_roles, .. } = &who.scope;
    let admin = Admin::of(&who.token_id, person.as_deref(), (*write, admin_roles), catalogue);
    let policies = active.admin();
    let asked = |matter: Matter<'_>, gives: bool| {
        policies.ask(&admin, action, matter, gives).map_err(|refusal| TenancyError::Forbidden(refusal.to_string()))
    };
    match about {
        Asked::Roles(roles) => roles.iter().try_for_each(|(id, gives)| match catalogue.iter().find(|role| role.id == *id) {
            Some(role) => asked(Matter::Role(role), *gives),
            None => asked(Matter::Role(&Role::unknown(id)), *gives),
        }),
        Asked::Hold(hold, gives) => {
            let of_role =
                hold.scope == GuardScope::Role && catalogue.iter().find(|role| role.id == hold.of).is_none_or(|role| role.privileged);
            let privileged = of_role || hold.direction == GuardDirection::PrivilegedGains;
            asked(Matter::Hold { id: &hold.id, scope: hold.scope, direction: hold.direction, privileged }, gives)
        }
        Asked::Revision { hash, privileged } => asked(Matter::Revision { hash: hash.as_str(), privileged }, false),
        Asked::Tenant => asked(Matter::Tenant(tenant.as_str()), false),
    }
}

/// Refuses admin roles that a token can't carry.
pub(super) fn check_roles(scope: &ApiScope) -> Result<(), TenancyError> {
    let refused = |why: String| Err(TenancyError::Refused(why));
    if scope.admin_roles.len() > ADMIN_ROLES_LIMIT {
        return refused(format!("a token carries at most {ADMIN_ROLES_LIMIT} admin roles"));
    }
    if let Some(wrong) = scope.admin_roles.iter().find(|role| !is_admin_role(role)) {
        return refused(format!("`{}` is no admin role: use lower-case letters, digits and inner hyphens", quoted(wrong).escape_debug()));
    }
    if scope.tenant.is_some() && scope.admin_roles.contains(PLATFORM_OPERATOR) {
        return refused(format!("`{PLATFORM_OPERATOR}` is for tokens of the whole platform: leave the tenant out"));
    }
    Ok(())
}
