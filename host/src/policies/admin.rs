//! Who may decide: the tenant's admin policies, or those that come with the program, asked about one person, one action and one thing.
//!
//! The questions are few and the policies small, so that they are asked as a whole. What no policy may allow is not said here:
//! that floor is `tenancy`'s, above every answer.

mod lint;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock};

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    Policy, PolicySet, Request, RestrictedExpression,
};

use super::{Role, source};
use crate::diagnostic::Diagnostic;
use crate::model::{AdminAction, GuardDirection, GuardScope, collision_key};

pub use lint::lint_admin;

/// The Cedar schema that admin policies are validated against.
pub const ADMIN_SCHEMA: &str = include_str!("../../../policies/admin/rolecall-admin.cedarschema");
/// The admin policies of tenants that have none of their own.
pub const ADMIN_DEFAULT: &str = include_str!("../../../policies/admin/admin/default.cedar");
/// The most admin policies of a tenant: all of them are asked with each question.
pub const ADMIN_POLICIES_LIMIT: usize = 200;
/// How many policies a refusal names.
const NAMED_LIMIT: usize = 5;

/// Whoever wants to decide, as far as admin policies see them: by their token, and by what the catalogue says of them. Nothing of it comes
/// from an identity provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// The name of the person whom the token names, folded; else the token's id.
    pub id: String,
    /// Whether it names a person.
    pub named: bool,
    /// Whether it has the right to write.
    pub write: bool,
    /// The admin roles that it carries.
    pub admin_roles: BTreeSet<String>,
    /// The roles that the person owns, by the catalogue.
    pub owns: BTreeSet<String>,
}

/// What is decided about.
#[derive(Clone, Copy, Debug)]
pub enum Matter<'a> {
    /// A role of the catalogue.
    Role(&'a Role),
    /// A hold.
    Hold {
        /// Its id.
        id: &'a str,
        /// Whose people were counted.
        scope: GuardScope,
        /// What was counted.
        direction: GuardDirection,
        /// Whether privileged roles are in it.
        privileged: bool,
    },
    /// A revision that is to be activated.
    Revision {
        /// Its hash.
        hash: &'a str,
        /// Whether it changes what decides about privileged roles, or who may decide.
        privileged: bool,
    },
    /// The tenant.
    Tenant(&'a str),
}

/// What an action is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A role.
    Role,
    /// A hold.
    Hold,
    /// A revision.
    Revision,
    /// The tenant as a whole.
    Tenant,
}

impl About {
    /// What an action is about, as the schema has it.
    #[must_use]
    pub fn of(action: AdminAction) -> Self {
        use AdminAction as A;
        match action {
            A::ApproveRole | A::RejectRole | A::MakeException | A::EndException | A::DecideReview => Self::Role,
            A::AnswerHold => Self::Hold,
            A::ActivateRevision | A::ConfirmRevision => Self::Revision,
            A::AuthorRevisions
            | A::TryRevisions
            | A::ManagePlugins
            | A::ConfirmHandles
            | A::ManageReviews
            | A::ManageConnections
            | A::ManageCredentials
            | A::ManageTargets
            | A::ManageLeaves
            | A::EraseAccounts
            | A::ManageTenant => Self::Tenant,
        }
    }
}

impl Admin {
    /// Whoever holds a token: the person whom it names, or nobody in particular; with what the catalogue says of them.
    #[must_use]
    pub fn of(token: &str, person: Option<&str>, (write, admin_roles): (bool, &BTreeSet<String>), catalogue: &[Role]) -> Self {
        let key = person.map(collision_key);
        let owner = |role: &&Role| key.is_some() && role.owner.as_deref().map(collision_key) == key;
        let owns = catalogue.iter().filter(owner).map(|role| role.id.clone()).collect();
        let id = key.unwrap_or_else(|| token.to_owned());
        Self { id, named: person.is_some(), write, admin_roles: admin_roles.clone(), owns }
    }
}

/// What admin policies say of a question, for tests beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `allow`, `deny` (a forbid), `no_permit` or `error`.
    pub decision: &'static str,
    /// The `@id`s of the permits that allow it, or of the forbids that deny it.
    pub reasons: BTreeSet<String>,
}

/// Why somebody may not decide: a sentence with what they can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    action: AdminAction,
    matter: String,
    /// What forbids it.
    pub forbids: Vec<Named>,
    /// What failed, with Cedar's words.
    pub failed: Vec<(String, String)>,
    /// Where nothing allows it: what would allow it to others.
    pub nearest: Vec<Named>,
}

/// A policy by its `@id`, with its `@reason`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its `@id`.
    pub policy: String,
    /// Its `@reason`.
    pub reason: Option<String>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "`{}` ({reason})", self.policy),
            None => write!(f, "`{}`", self.policy),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, matter, forbids, failed, nearest } = self;
        let names = |named: &[Named]| named.iter().map(Named::to_string).collect::<Vec<_>>().join(", ");
        match (&forbids[..], failed.first(), &nearest[..]) {
            ([_, ..], ..) => write!(f, "the admin policy {} forbids `{action}` on {matter}", names(forbids))?,
            (_, Some((policy, error)), _) => {
                write!(f, "`{action}` on {matter} can't be decided: the admin policy `{policy}` failed: {error}")?;
            }
            (.., []) => write!(f, "no admin policy allows `{action}` on {matter} to anybody")?,
            _ => write!(f, "no admin policy allows you `{action}` on {matter}; it is allowed by {}", names(nearest))?,
        }
        f.write_str(": ask somebody who may, or use a token that has what the policy asks for (`rolecall token create --admin-role`)")
    }
}

/// A tenant's compiled admin policies: immutable, made at activation.
pub struct AdminPolicies {
    set: PolicySet,
    reasons: BTreeMap<String, Option<String>>,
    authorizer: Authorizer,
}

impl AdminPolicies {
    /// Parses and validates strictly. `sources`: (path, text) of `admin/*.cedar`; where there are none, those that come with the program count.
    ///
    /// # Errors
    /// Every problem with file, line and column.
    pub fn compile(sources: &[(String, String)], roles: Option<&[Role]>) -> Result<Arc<Self>, Vec<Diagnostic>> {
        if sources.is_empty() {
            return Ok(Self::default_policies());
        }
        Self::of(source::read_admin(sources, roles)?.into_iter().map(|placed| placed.policy)).map(Arc::new)
    }

    /// Those that come with the program.
    #[must_use]
    pub fn default_policies() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<AdminPolicies>> = LazyLock::new(|| {
            let sources = [("admin/default.cedar".to_owned(), ADMIN_DEFAULT.to_owned())];
            let compiled =
                source::read_admin(&sources, None).and_then(|placed| AdminPolicies::of(placed.into_iter().map(|placed| placed.policy)));
            Arc::new(compiled.expect("the default policies are part of the program and a test compiles them"))
        });
        Arc::clone(&DEFAULT)
    }

    /// None: nobody but the operators of the platform decides.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::new(Self { set: PolicySet::new(), reasons: BTreeMap::new(), authorizer: Authorizer::new() })
    }

    fn of(policies: impl Iterator<Item = Policy>) -> Result<Self, Vec<Diagnostic>> {
        let set = PolicySet::from_policies(policies).map_err(|error| vec![Diagnostic::of_file("admin", error.to_string())])?;
        let reason = |policy: &Policy| (policy.id().to_string(), policy.annotation("reason").map(str::to_owned));
        Ok(Self { reasons: set.policies().map(reason).collect(), set, authorizer: Authorizer::new() })
    }

    /// Their texts, sorted: what two revisions are compared by. Those that come with the program are no tenant's, and have none here.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.set.policies().filter_map(Policy::to_cedar).collect();
        texts.sort();
        texts
    }

    /// Whether the admin may do that.
    ///
    /// # Errors
    /// Why not. Nothing is allowed on a doubt: a policy that fails allows nothing, and hides nothing that it might have forbidden.
    pub fn ask(&self, admin: &Admin, action: AdminAction, matter: Matter<'_>, gives: bool) -> Result<(), Refusal> {
        let found = self.found(admin, action, matter, gives);
        if found.permits.is_empty() || !found.refusal.forbids.is_empty() || !found.refusal.failed.is_empty() {
            return Err(found.refusal);
        }
        Ok(())
    }

    /// The same answer with all of its reasons.
    #[must_use]
    pub fn answer(&self, admin: &Admin, action: AdminAction, matter: Matter<'_>, gives: bool) -> Answer {
        let Found { permits, refusal } = self.found(admin, action, matter, gives);
        let ids = |named: Vec<Named>| named.into_iter().map(|named| named.policy).collect();
        match () {
            () if !refusal.forbids.is_empty() => Answer { decision: "deny", reasons: ids(refusal.forbids) },
            () if !refusal.failed.is_empty() => Answer { decision: "error", reasons: BTreeSet::new() },
            () if permits.is_empty() => Answer { decision: "no_permit", reasons: BTreeSet::new() },
            () => Answer { decision: "allow", reasons: ids(permits) },
        }
    }

    fn found(&self, admin: &Admin, action: AdminAction, matter: Matter<'_>, gives: bool) -> Found {
        let refusal = Refusal { action, matter: matter.to_string(), forbids: Vec::new(), failed: Vec::new(), nearest: Vec::new() };
        let mut found = Found { permits: Vec::new(), refusal };
        let response =
            question(admin, action, matter, gives).map(|(request, entities)| self.authorizer.is_authorized(&request, &self.set, &entities));
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                found.refusal.failed.push((String::new(), error));
                return found;
            }
        };
        let named = |id: &str| Named { policy: id.to_owned(), reason: self.reasons.get(id).cloned().flatten() };
        let decided: Vec<Named> = response.diagnostics().reason().map(|id| named(id.as_ref())).collect();
        match response.decision() {
            Decision::Allow => found.permits = decided,
            Decision::Deny => found.refusal.forbids = decided,
        }
        found.permits.sort();
        found.refusal.forbids.sort();
        found.refusal.failed.extend(response.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(failure) => (failure.policy_id().to_string(), error.to_string()),
        }));
        if found.permits.is_empty() {
            let others = self.set.policies().filter(|policy| policy.effect() == Effect::Permit && concerns(policy, action));
            let mut nearest: Vec<Named> = others.map(|policy| named(policy.id().as_ref())).collect();
            nearest.sort();
            nearest.truncate(NAMED_LIMIT);
            found.refusal.nearest = nearest;
        }
        found
    }
}

/// The `@id`s of the policies that count: those of the files, or of the program where there are none.
#[must_use]
pub fn ids(sources: &[(String, String)]) -> BTreeSet<String> {
    if sources.is_empty() {
        return AdminPolicies::default_policies().reasons.keys().cloned().collect();
    }
    source::texts_by_id(sources).into_keys().collect()
}

/// Ids that admin policies share with policies about roles: a name stands for one policy in a tenant.
#[must_use]
pub fn check_ids(sources: &[(String, String)], policies: &[(String, String)]) -> Vec<Diagnostic> {
    if sources.is_empty() {
        return Vec::new();
    }
    let taken = source::texts_by_id(policies);
    let parsed = sources.iter().filter_map(|(file, text)| source::parse(file, text).ok()).flatten();
    let shared = parsed.filter_map(|placed| {
        let id = placed.policy.annotation("id").filter(|id| taken.contains_key(*id))?;
        let problem = placed.problem_at("@id", format!("`@id(\"{id}\")` is taken by a policy about roles"));
        Some(problem.with_help("ids are unique over all files"))
    });
    shared.collect()
}

/// What the policies said.
struct Found {
    permits: Vec<Named>,
    refusal: Refusal,
}

impl fmt::Display for Matter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => write!(f, "the role `{}`", role.id),
            Self::Hold { id, .. } => write!(f, "the hold `{id}`"),
            Self::Revision { hash, .. } => write!(f, "the revision `{hash}`"),
            Self::Tenant(tenant) => write!(f, "the tenant `{tenant}`"),
        }
    }
}

/// Whether a policy's scope has the action in it.
fn concerns(policy: &Policy, action: AdminAction) -> bool {
    let is = |uid: &EntityUid| *uid == uid_of("Action", action.word());
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => is(&uid),
        ActionConstraint::In(uids) => uids.iter().any(is),
    }
}

fn uid_of(kind: &str, id: &str) -> EntityUid {
    static TYPES: LazyLock<[(&str, EntityTypeName); 7]> = LazyLock::new(|| {
        ["Admin", "Role", "RoleFamily", "Hold", "Revision", "Tenant", "Action"]
            .map(|kind| (kind, format!("RolecallAdmin::{kind}").parse().expect("a name of the schema, which is part of the program")))
    });
    let name = TYPES.iter().find(|(name, _)| *name == kind).expect("only called with the names above").1.clone();
    EntityUid::from_type_name_and_id(name, EntityId::new(id))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts(values: &BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.iter().map(|value| text(value)))
}

type Attributes = Vec<(&'static str, RestrictedExpression)>;

fn entity(uid: EntityUid, attributes: Attributes, parents: impl Iterator<Item = EntityUid>) -> Result<Entity, String> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Entity::new(uid, attributes, parents.collect()).map_err(|error| error.to_string())
}

fn entity_of(matter: Matter<'_>) -> Result<Entity, String> {
    let truth = RestrictedExpression::new_bool;
    let none = std::iter::empty();
    match matter {
        Matter::Role(role) => {
            let mut attributes: Attributes =
                vec![("id", text(&role.id)), ("risk", RestrictedExpression::new_long(role.risk)), ("privileged", truth(role.privileged))];
            attributes.extend(role.app.iter().map(|app| ("app", text(app))));
            attributes.extend(role.owner.iter().map(|owner| ("owner", text(owner))));
            entity(uid_of("Role", &role.id), attributes, role.families.iter().map(|family| uid_of("RoleFamily", family)))
        }
        Matter::Hold { id, scope, direction, privileged } => {
            let attributes = vec![("scope", text(scope.word())), ("direction", text(direction.word())), ("privileged", truth(privileged))];
            entity(uid_of("Hold", id), attributes, none)
        }
        Matter::Revision { hash, privileged } => entity(uid_of("Revision", hash), vec![("privileged", truth(privileged))], none),
        Matter::Tenant(tenant) => entity(uid_of("Tenant", tenant), Vec::new(), none),
    }
}

fn question(admin: &Admin, action: AdminAction, matter: Matter<'_>, gives: bool) -> Result<(Request, Entities), String> {
    let attributes: Attributes = vec![
        ("named", RestrictedExpression::new_bool(admin.named)),
        ("write", RestrictedExpression::new_bool(admin.write)),
        ("adminRoles", texts(&admin.admin_roles)),
        ("owns", texts(&admin.owns)),
    ];
    let who = entity(uid_of("Admin", &admin.id), attributes, std::iter::empty())?;
    let what = entity_of(matter)?;
    let context = Context::from_pairs([("gives".to_owned(), RestrictedExpression::new_bool(gives))]).map_err(|error| error.to_string())?;
    let schema = source::admin_schema();
    // Checked against the schema, so that a question that it does not have can't be asked.
    let request =
        Request::new(who.uid(), uid_of("Action", action.word()), what.uid(), context, Some(schema)).map_err(|error| error.to_string())?;
    let entities = Entities::from_entities([who, what], Some(schema)).map_err(|error| error.to_string())?;
    Ok((request, entities))
}

#[cfg(test)]
mod tests;
