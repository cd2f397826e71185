//! What a client is told when a request can't be carried out (RFC 7644 §3.12).

use serde_json::{Value, json};

/// The error message's schema.
pub const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// The detail error keyword (RFC 7644 §3.12, table 9; RFC 9865 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimType {
    /// The filter is malformed, or compares what can't be compared.
    InvalidFilter,
    /// The filter asks for more than the server is willing to look at.
    TooMany,
    /// A unique value is taken.
    Uniqueness,
    /// The change is not compatible with the attribute's mutability.
    Mutability,
    /// The request's body is malformed.
    InvalidSyntax,
    /// The path is malformed or names no attribute.
    InvalidPath,
    /// The path's filter matches nothing, or there is no target.
    NoTarget,
    /// A value is missing, or of a wrong type or form.
    InvalidValue,
    /// The protocol version is not supported.
    InvalidVers,
    /// Something sensitive was put into a URI.
    Sensitive,
    /// The cursor is none that this server gave for this query (RFC 9865 §2.1).
    InvalidCursor,
    /// The cursor is too old (RFC 9865 §2.1).
    ExpiredCursor,
    /// The count of a query with a cursor is malformed (RFC 9865 §2.1).
    InvalidCount,
}

impl ScimType {
    /// The keyword on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::InvalidVers => "invalidVers",
            Self::Sensitive => "sensitive",
            Self::InvalidCursor => "invalidCursor",
            Self::ExpiredCursor => "expiredCursor",
            Self::InvalidCount => "invalidCount",
        }
    }
}

/// An error in the form that the client sees. `detail` never holds a client's value, only names and positions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    /// The HTTP status.
    pub status: u16,
    /// The keyword, where the RFC has one.
    pub scim_type: Option<ScimType>,
    /// What failed, where, and what to do.
    pub detail: String,
}

macro_rules! bad_request {
    ($($(#[$doc:meta])* $name:ident = $variant:ident),+ $(,)?) => {
        $( $(#[$doc])* #[must_use] pub fn $name(detail: impl Into<String>) -> Self {
            Self { status: 400, scim_type: Some(ScimType::$variant), detail: detail.into() }
        } )+
    };
}

impl ScimError {
    bad_request! {
        /// 400 `invalidFilter`.
        invalid_filter = InvalidFilter,
        /// 400 `tooMany`.
        too_many = TooMany,
        /// 400 `mutability`.
        mutability = Mutability,
        /// 400 `invalidSyntax`.
        invalid_syntax = InvalidSyntax,
        /// 400 `invalidPath`.
        invalid_path = InvalidPath,
        /// 400 `noTarget`.
        no_target = NoTarget,
        /// 400 `invalidValue`.
        invalid_value = InvalidValue,
        /// 400 `invalidCursor`.
        invalid_cursor = InvalidCursor,
        /// 400 `expiredCursor`.
        expired_cursor = ExpiredCursor,
        /// 400 `invalidCount`.
        invalid_count = InvalidCount,
        /// 400 `invalidVers`.
        invalid_vers = InvalidVers,
        /// 400 `sensitive`: RFC 7644 §7.5.2 would have it in the body of a POST to `.search`.
        sensitive = Sensitive,
    }

    /// 409 `uniqueness`.
    #[must_use]
    pub fn uniqueness(attribute: &str) -> Self {
        let detail = format!("`{attribute}` is taken by another resource: look it up with a filter and update that one");
        Self { status: 409, scim_type: Some(ScimType::Uniqueness), detail }
    }

    /// 404 for a resource or endpoint.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self { status: 404, scim_type: None, detail: format!("there is no {what}") }
    }

    /// Any other status.
    #[must_use]
    pub fn status(status: u16, detail: impl Into<String>) -> Self {
        Self { status, scim_type: None, detail: detail.into() }
    }

    /// The body (RFC 7644 §3.12): the status is a string.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut body = json!({"schemas": [ERROR_SCHEMA], "status": self.status.to_string(), "detail": self.detail});
        if let Some(scim_type) = self.scim_type {
            body["scimType"] = scim_type.word().into();
        }
        body
    }
}
