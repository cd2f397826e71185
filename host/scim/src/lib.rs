//! SCIM 2.0 (RFC 7643, RFC 7644) as pure functions over JSON.
//!
//! No I/O, no clock, no randomness: its dependencies rule them out. Knows nothing of tenants,
//! accounts, plugins, policies or databases.
//!
//! [`schema`] is the one list of attributes; [`resource`] reads what clients write, [`patch`] changes it and
//! [`projection`] shows it. [`search`] is what a query asks, of [`filter`], [`sort`] and [`cursor`]. [`bulk`] orders many
//! requests, [`event`] tells of them, [`message`] and [`error`] are the answers, [`content`] their form, [`version`] their
//! entity tags. [`Quirk`] lists what clients do that the RFCs don't ask for.

pub mod bulk;
pub mod content;
pub mod cursor;
pub mod error;
pub mod event;
pub mod filter;
pub mod message;
pub mod patch;
pub mod path;
pub mod projection;
mod quirk;
pub mod resource;
pub mod schema;
pub mod search;
pub mod sort;
pub mod version;

pub use error::{ScimError, ScimType};
pub use quirk::Quirk;

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
