//! SCIM 2.0 (RFC 7643, RFC 7644) as pure functions over JSON.
//!
//! No I/O, no clock, no randomness: its dependencies rule them out. Knows nothing of tenants,
//! accounts, plugins, policies or databases.

pub mod cursor;
pub mod error;
pub mod filter;
pub mod message;
pub mod patch;
pub mod path;
pub mod projection;
pub mod resource;
pub mod schema;
pub mod search;
pub mod sort;

pub use error::{ScimError, ScimType};

/// The two resource types that are provisioned (RFC 7643 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// A person.
    User,
    /// A group of people and groups.
    Group,
}

impl ResourceKind {
    /// Every kind, in the order of a listing of the server's root.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// The name in `meta.resourceType`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// The path segment of the endpoint.
    #[must_use]
    pub fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    /// The kind with that name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// A client quirk that was met and handled (each with its source in the docs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quirk {
    /// `Add`, `Replace`, `Remove` capitalised (Entra ID).
    CapitalisedOp,
    /// A boolean as a string (Entra ID).
    BooleanText,
    /// Member removal with a value array instead of a filter (Entra ID).
    RemoveWithValue,
    /// Dotted or URN-qualified keys in a PATCH without a path (Entra ID).
    DottedKeys,
    /// A scalar for a complex attribute, such as the manager (Entra ID).
    ScalarForComplex,
    /// A scalar wrapped in an array of objects (Entra ID, older).
    WrappedScalar,
    /// The read-only `id` in a PATCH (Okta, authentik).
    ReadOnlyEcho,
    /// An unquoted text in a filter (Entra ID's documentation).
    UnquotedText,
    /// An element made because a value path matched none (Entra ID).
    ElementMade,
    /// An unknown or SCIM 1 schema URN in `schemas` (OneLogin, Entra ID).
    UnknownSchema,
}

impl Quirk {
    /// A stable word for it, in metrics and health pages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::CapitalisedOp => "capitalised_op",
            Self::BooleanText => "boolean_text",
            Self::RemoveWithValue => "remove_with_value",
            Self::DottedKeys => "dotted_keys",
            Self::ScalarForComplex => "scalar_for_complex",
            Self::WrappedScalar => "wrapped_scalar",
            Self::ReadOnlyEcho => "read_only_echo",
            Self::UnquotedText => "unquoted_text",
            Self::ElementMade => "element_made",
            Self::UnknownSchema => "unknown_schema",
        }
    }
}
