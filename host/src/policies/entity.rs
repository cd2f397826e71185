//! People and roles as Cedar entities, and the question that is asked about them.

use std::borrow::Cow;
use std::sync::LazyLock;

use cedar_policy::{Context, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

use super::{Principal, Role};
use crate::mapping::AccountShape;

/// A type of the schema.
pub(super) fn type_name(kind: &str) -> EntityTypeName {
    static TYPES: LazyLock<[(&str, EntityTypeName); 6]> = LazyLock::new(|| {
        ["User", "Group", "Role", "RoleFamily", "Connection", "Action"].map(|kind| {
            let name = format!("Rolecall::{kind}").parse().expect("a name of the schema, which is part of the program");
            (kind, name)
        })
    });
    TYPES.iter().find(|(name, _)| *name == kind).expect("only called with the names above").1.clone()
}

pub(super) fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_name(kind), EntityId::new(id))
}

/// The one action.
pub(super) fn hold() -> EntityUid {
    static HOLD: LazyLock<EntityUid> = LazyLock::new(|| uid("Action", "hold"));
    HOLD.clone()
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

/// A role of the catalogue.
pub(super) fn role(role: &Role) -> Result<Entity, String> {
    let mut attributes = vec![
        ("risk".to_owned(), RestrictedExpression::new_long(role.risk)),
        ("privileged".to_owned(), RestrictedExpression::new_bool(role.privileged)),
    ];
    attributes.extend(role.app.iter().map(|app| ("app".to_owned(), text(app))));
    let families = role.families.iter().map(|family| uid("RoleFamily", family)).collect();
    Entity::new(uid("Role", &role.id), attributes.into_iter().collect(), families).map_err(|error| error.to_string())
}

/// The part of the person's address behind the `@`, in lower case.
pub(super) fn email_domain(shape: &AccountShape) -> Option<String> {
    shape.email.as_deref().and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain.to_ascii_lowercase())
}

/// The attributes of a person.
pub(super) const ATTRIBUTES: [&str; 12] = [
    "active",
    "connection",
    "userName",
    "emailDomain",
    "userType",
    "title",
    "department",
    "division",
    "organization",
    "costCenter",
    "employeeNumber",
    "manager",
];

/// The value of one of [`ATTRIBUTES`] as text: for an entity its id.
pub(super) fn attribute<'p>(principal: &Principal<'p>, number: usize) -> Option<Cow<'p, str>> {
    let shape = principal.shape;
    let text = match ATTRIBUTES[number] {
        // Whoever is not active is never asked about.
        "active" => Some("true"),
        "connection" => Some(principal.connection),
        "userName" => Some(shape.user_name.as_str()),
        "emailDomain" => {
            return email_domain(shape).map(Cow::Owned);
        }
        "userType" => shape.user_type.as_deref(),
        "title" => shape.title.as_deref(),
        "department" => shape.department.as_deref(),
        "division" => shape.division.as_deref(),
        "organization" => shape.organization.as_deref(),
        "costCenter" => shape.cost_center.as_deref(),
        "employeeNumber" => shape.employee_number.as_deref(),
        "manager" => shape.manager.as_deref(),
        _ => None,
    };
    text.map(Cow::Borrowed)
}

/// A person. The parents are the flattened groups, so that no group has to be an entity.
pub(super) fn person(principal: &Principal<'_>) -> Result<Entity, String> {
    let shape = principal.shape;
    let attributes = ATTRIBUTES.iter().enumerate().filter_map(|(number, &name)| {
        let value = attribute(principal, number)?;
        let value = match name {
            "active" => RestrictedExpression::new_bool(true),
            "connection" => RestrictedExpression::new_entity_uid(uid("Connection", &value)),
            "manager" => RestrictedExpression::new_entity_uid(uid("User", &value)),
            _ => text(&value),
        };
        Some((name.to_owned(), value))
    });
    let groups = principal.groups.iter().map(|group| uid("Group", &group.handle));
    let tags =
        shape.tags.iter().map(|(name, values)| (name.clone(), RestrictedExpression::new_set(values.iter().map(|value| text(value)))));
    Entity::new_with_tags(uid("User", principal.user), attributes, groups, tags).map_err(|error| error.to_string())
}

/// The question's context. The instant is cut to whole milliseconds, in which Cedar counts: a comparison with a date turns at the
/// same instant either way.
pub(super) fn context(as_of: jiff::Timestamp, proposed: bool) -> Result<Context, String> {
    let ms = as_of.as_microsecond().div_euclid(1_000);
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(as_of);
    let date = RestrictedExpression::new_datetime(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
    let pairs = [("asOf".to_owned(), date), ("proposed".to_owned(), RestrictedExpression::new_bool(proposed))];
    Context::from_pairs(pairs).map_err(|error| error.to_string())
}
