//! How a credential was checked that was refused: which checks were made, what was expected and what came. Never a secret. Pure.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Instant;

/// The longest value that is shown of what came, in characters: whoever sends it is a stranger.
pub const RECEIVED_CHARS_LIMIT: usize = 200;

word_enum!(
    /// What kind of credential came.
    CredentialForm {
        /// None at all.
        Missing = "missing",
        /// A scheme other than `Bearer`, or a header that can't be read.
        OtherScheme = "other_scheme",
        /// A bearer token of a connection, or something that is none.
        BearerToken = "bearer_token",
        /// An access token of the connection's OAuth client.
        AccessToken = "access_token",
        /// The id and secret of an OAuth client, at the token endpoint.
        ClientSecret = "client_secret",
        /// A JSON Web Token.
        Jwt = "jwt",
    }
);

word_enum!(
    /// A check that a credential has to pass.
    CredentialCheck {
        /// It came as `Authorization: Bearer …`.
        Scheme = "scheme",
        /// It has the form of such a credential.
        Form = "form",
        /// It is known here.
        Known = "known",
        /// It belongs to this connection.
        Connection = "connection",
        /// It is meant for this use.
        Use = "use",
        /// It has not ended.
        NotEnded = "not_ended",
        /// The client's id is the connection's.
        ClientId = "client_id",
        /// The connection accepts JWTs of an issuer.
        IssuerSet = "issuer_set",
        /// The token's algorithm is allowed.
        Algorithm = "algorithm",
        /// `iss` is the issuer.
        Issuer = "issuer",
        /// `aud` has the audience.
        Audience = "audience",
        /// The key that signed it is known.
        Key = "key",
        /// The signature is right.
        Signature = "signature",
        /// `exp` is still to come.
        Expiry = "expiry",
        /// `nbf` and `iat` have come.
        Beginning = "beginning",
        /// `sub` is the subject that is asked for.
        Subject = "subject",
        /// The claims that are asked for are there.
        Claims = "claims",
    }
);

/// A check, and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// The check.
    pub check: CredentialCheck,
    /// Whether it was passed.
    pub passed: bool,
    /// What would have been right, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What came, where that may be said. Of a JWT: what it says of itself, which nobody need have signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
}

impl Checked {
    /// A check without words.
    #[must_use]
    pub fn of(check: CredentialCheck, passed: bool) -> Self {
        Self { check, passed, expected: None, received: None }
    }

    /// A check with what would have been right and what came.
    #[must_use]
    pub fn said(check: CredentialCheck, passed: bool, expected: impl Into<String>, received: impl AsRef<str>) -> Self {
        let clipped = received.as_ref().chars().filter(|c| !c.is_control()).take(RECEIVED_CHARS_LIMIT).collect();
        Self { check, passed, expected: Some(expected.into()), received: Some(clipped) }
    }
}

/// How a credential was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialTrace {
    /// What kind it is.
    pub form: CredentialForm,
    /// The checks, in order: the last one is mostly the one that failed, and what comes behind it was not looked at.
    pub checks: Vec<Checked>,
}

impl CredentialTrace {
    /// What stands for all refusals that are alike: the kind, and the check that failed. There are few, whoever sends what.
    #[must_use]
    pub fn key(&self) -> String {
        let failed = self.checks.iter().find(|checked| !checked.passed).map_or("none", |checked| checked.check.word());
        format!("{}/{failed}", self.form)
    }
}

/// Refusals that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RefusedCredential {
    /// The last of them.
    #[serde(flatten)]
    pub trace: CredentialTrace,
    /// How many there were.
    pub seen: i64,
    /// When the first came.
    pub first_seen: Instant,
    /// When the last came.
    pub last_seen: Instant,
}

impl RefusedCredential {
    /// One refusal.
    #[must_use]
    pub fn once(trace: CredentialTrace, at: Instant) -> Self {
        Self { trace, seen: 1, first_seen: at, last_seen: at }
    }

    /// Adds one that came later and is alike.
    pub fn and(&mut self, later: &Self) {
        self.trace.clone_from(&later.trace);
        self.seen += later.seen;
        self.last_seen = later.last_seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_send_is_clipped_and_makes_no_key() {
        let long = format!("https://\u{7}evil.example/{}", "x".repeat(1_000));
        let trace = |received: &str| CredentialTrace {
            form: CredentialForm::Jwt,
            checks: vec![
                Checked::of(CredentialCheck::Form, true),
                Checked::said(CredentialCheck::Issuer, false, "https://idp.example", received),
            ],
        };
        let found = trace(&long);
        let received = found.checks[1].received.clone().unwrap();
        assert!(received.chars().count() == RECEIVED_CHARS_LIMIT && !received.contains('\u{7}'), "{received}");
        assert_eq!((found.key(), trace("other").key()), ("jwt/issuer".to_owned(), "jwt/issuer".to_owned()));
    }
}
