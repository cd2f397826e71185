//! Secrets as they are stored: of connections and of the API, never more than their keyed hashes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{Actor, ConnectionId, ConnectionState, Instant, PLATFORM_OPERATOR, RevisionHash, TenantId};

/// What a stored secret of a connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// It is sent with every request.
    Bearer,
    /// It is exchanged for access tokens at the connection's token endpoint.
    ClientSecret,
}

impl CredentialKind {
    /// The word in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::ClientSecret => "client_secret",
        }
    }

    /// The kind that a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Bearer, Self::ClientSecret].into_iter().find(|kind| kind.word() == word)
    }
}

/// A token as people may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TokenInfo {
    /// An id to name it by; not the secret.
    pub id: String,
    /// When it was made.
    pub created: Instant,
    /// When it stops being accepted.
    pub expires: Option<Instant>,
    /// When it was last used, at a granularity of one minute.
    pub last_used: Option<Instant>,
}

/// A token to be stored: only its keyed hash.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// An id to name it by.
    pub id: String,
    /// The keyed hash of the secret.
    pub hash: String,
    /// When it was made.
    pub created: Instant,
    /// When it stops being accepted.
    pub expires: Option<Instant>,
}

/// What a connection's secret stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionCredential {
    /// The tenant.
    pub tenant: TenantId,
    /// The connection.
    pub connection: ConnectionId,
    /// Its state.
    pub state: ConnectionState,
    /// The token's id.
    pub token_id: String,
    /// What it is good for.
    pub kind: CredentialKind,
    /// The stored hash, to be compared in constant time.
    pub hash: String,
    /// When the token stops being accepted.
    pub expires: Option<Instant>,
    /// When it was last used.
    pub last_used: Option<Instant>,
    /// The tenant's active revision.
    pub revision: HeardRevision,
}

/// What was read of a tenant's active revision beside something else: `None` where that came from memory, else whether there is one.
pub type HeardRevision = Option<Option<RevisionHash>>;

/// What an API token may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ApiScope {
    /// The only tenant that it is good for; `None` = the whole platform.
    pub tenant: Option<TenantId>,
    /// Whether it may change anything.
    pub write: bool,
    /// Whom it stands for, by user name or address; nobody in particular unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The admin roles that it carries: what they may decide is said by admin policies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub admin_roles: BTreeSet<String>,
}

impl ApiScope {
    /// Whether it is that of somebody who operates the platform, and may decide everything in every tenant.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.tenant.is_none() && (self.write || self.admin_roles.contains(PLATFORM_OPERATOR))
    }
}

/// What stands behind a good API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiPrincipal {
    /// The token's id.
    pub token_id: String,
    /// What it may do.
    pub scope: ApiScope,
}

impl ApiPrincipal {
    /// Whether it operates the platform, and may decide everything in every tenant.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.scope.is_operator()
    }

    /// Whether it may decide anything at all: what, is asked of admin policies.
    #[must_use]
    pub fn may_decide(&self) -> bool {
        self.scope.write || !self.scope.admin_roles.is_empty()
    }

    /// The token as the cause of events: the person whom it names, where it names one.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match &self.scope.person {
            Some(person) => Actor { kind: Actor::PERSON.into(), id: person.clone() },
            None => Actor { kind: "api_token".into(), id: self.token_id.clone() },
        }
    }
}

/// What an API token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCredential {
    /// The token's id.
    pub token_id: String,
    /// The stored hash, to be compared in constant time.
    pub hash: String,
    /// What it may do.
    pub scope: ApiScope,
    /// When it was used last, give or take a minute.
    pub last_used: Option<Instant>,
    /// When it stops being accepted.
    pub expires: Option<Instant>,
}
