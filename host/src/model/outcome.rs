//! What a request of a connection came to: the list of outcomes that API, command line and documentation explain alike, and what an entry
//! of the provisioning log says beside it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AccountId;

/// The most roles that an entry names as gained, and as lost.
pub const LED_ROLES_LIMIT: usize = 20;
/// The most accounts that an entry names.
pub const LED_ACCOUNTS_LIMIT: usize = 20;
/// The most operations of a PATCH whose fates an entry names one by one.
pub const FATES_LIMIT: usize = 100;

word_enum!(
    /// What a request came to, in one word: see [`OutcomeCode::meaning`].
    OutcomeCode {
        /// Something was changed.
        Applied = "applied",
        /// It asked for what was so already.
        Unchanged = "unchanged",
        /// A probe's person or group was written: without effect.
        Probe = "probe",
        /// It was a read, and it was answered.
        Read = "read",
        /// The credential was refused.
        WrongCredential = "wrong_credential",
        /// More requests than the connection may make.
        RateLimited = "rate_limited",
        /// The body is no JSON, or no SCIM message.
        InvalidSyntax = "invalid_syntax",
        /// A filter that can't be read, or can't be asked of the attribute.
        InvalidFilter = "invalid_filter",
        /// A path that can't be read.
        InvalidPath = "invalid_path",
        /// A path that points at nothing.
        NoTarget = "no_target",
        /// A value that can't be.
        InvalidValue = "invalid_value",
        /// A read-only or immutable attribute was to be changed.
        Mutability = "mutability",
        /// Another version of SCIM.
        InvalidVersion = "invalid_version",
        /// A page that has expired, or never was.
        InvalidPage = "invalid_page",
        /// A filter that would look at too much.
        TooMany = "too_many",
        /// Another refusal over what was sent.
        BadRequest = "bad_request",
        /// The credential is good, and this is not allowed.
        Forbidden = "forbidden",
        /// There is no such resource.
        NotFound = "not_found",
        /// The path takes no such method.
        MethodNotAllowed = "method_not_allowed",
        /// An answer in another form was asked for.
        NotAcceptable = "not_acceptable",
        /// A name or id is taken.
        Uniqueness = "uniqueness",
        /// The resource was changed meanwhile.
        Conflict = "conflict",
        /// The resource has another version than was named.
        PreconditionFailed = "precondition_failed",
        /// The body is too large.
        TooLarge = "too_large",
        /// The body is in a form that is not understood.
        UnsupportedMediaType = "unsupported_media_type",
        /// What was asked for is not offered.
        NotImplemented = "not_implemented",
        /// The server was overloaded, or its database away.
        Unavailable = "unavailable",
        /// A defect.
        Defect = "defect",
    }
);

word_enum!(
    /// How an outcome is to be taken.
    OutcomeClass {
        /// It was carried out, or was so already.
        Done = "done",
        /// It was refused over what was sent.
        Refused = "refused",
        /// It failed here.
        Failed = "failed",
    }
);

word_enum!(
    /// What became of one operation.
    OperationFate {
        /// It changed something.
        Applied = "applied",
        /// It asked for what was so already.
        NoOp = "no_op",
        /// It was refused, or another one with it.
        Refused = "refused",
    }
);

impl OutcomeCode {
    /// The outcome with that status and keyword; `changed` says whether something was changed.
    #[must_use]
    pub fn of(status: u16, scim_type: Option<&str>, changed: bool) -> Self {
        match (status, scim_type) {
            (_, Some("invalidSyntax")) => Self::InvalidSyntax,
            (_, Some("invalidFilter")) => Self::InvalidFilter,
            (_, Some("invalidPath")) => Self::InvalidPath,
            (_, Some("noTarget")) => Self::NoTarget,
            (_, Some("invalidValue")) => Self::InvalidValue,
            (_, Some("mutability")) => Self::Mutability,
            (_, Some("invalidVers")) => Self::InvalidVersion,
            (_, Some("invalidCursor" | "expiredCursor" | "invalidCount")) => Self::InvalidPage,
            (_, Some("tooMany")) => Self::TooMany,
            (_, Some("uniqueness")) => Self::Uniqueness,
            (401, _) => Self::WrongCredential,
            (403, _) => Self::Forbidden,
            (404, _) => Self::NotFound,
            (405, _) => Self::MethodNotAllowed,
            (406, _) => Self::NotAcceptable,
            (409, _) => Self::Conflict,
            (412, _) => Self::PreconditionFailed,
            (413, _) => Self::TooLarge,
            (415, _) => Self::UnsupportedMediaType,
            (429, _) => Self::RateLimited,
            (501, _) => Self::NotImplemented,
            (503, _) => Self::Unavailable,
            (400..=499, _) => Self::BadRequest,
            (500.., _) => Self::Defect,
            _ if changed => Self::Applied,
            _ => Self::Unchanged,
        }
    }

    /// How it is to be taken.
    #[must_use]
    pub fn class(self) -> OutcomeClass {
        match self {
            Self::Applied | Self::Unchanged | Self::Probe | Self::Read => OutcomeClass::Done,
            Self::Unavailable | Self::Defect => OutcomeClass::Failed,
            _ => OutcomeClass::Refused,
        }
    }

    /// Whether an answer of that status says that the server failed. 501 does not: it says what there never is, which is a refusal.
    #[must_use]
    pub fn is_failure(status: u16) -> bool {
        Self::of(status, None, false).class() == OutcomeClass::Failed
    }

    /// What it means, and what to do about it: in plain English, for whoever runs the identity provider.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a list, two sentences an outcome")]
    pub fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Self::Applied => ("The change was carried out and is durable.", "Nothing."),
            Self::Unchanged => {
                ("Everything that was asked for was so already, so nothing was written.", "Nothing: clients repeat themselves.")
            }
            Self::Probe => (
                "A test person or test group of a client's own probe was written. It is stored and answered like any other and has no effect: no account, no role, no webhook.",
                "Nothing. A test person who is still there after the waiting time, or is changed, is decided like anybody else.",
            ),
            Self::Read => ("The request read something and was answered.", "Nothing."),
            Self::WrongCredential => (
                "The token or secret that was sent is not good on this connection. Whoever sent it was told no more than that.",
                "Look at the connection's refused credentials: they say which check failed. Then put the right token into the identity provider, or make a new one with `rolecall connection rotate`.",
            ),
            Self::RateLimited => (
                "The connection made more requests than it may within a moment. The client was told when to come back, and clients do.",
                "Nothing, if it ends by itself. If it goes on for hours, ask the operator for a higher `connection_requests_per_second`.",
            ),
            Self::InvalidSyntax => (
                "The body is no JSON, or not the SCIM message that belongs to this request.",
                "Compare the shape of the request with the base URL that is configured: a proxy in between or another endpoint is the usual cause.",
            ),
            Self::InvalidFilter => (
                "The filter can't be read, or compares an attribute in a way that it can't be compared.",
                "Look at the filter's shape in the entry; change the identity provider's matching attribute to `userName`, `externalId` or `id`.",
            ),
            Self::InvalidPath => (
                "The path of an operation can't be read.",
                "Look at the attribute mapping that makes this path; write extension attributes with their full URN.",
            ),
            Self::NoTarget => (
                "An operation points at a value that is not there, such as an e-mail address of a type that the person has none of.",
                "Let the mapping add the value instead of changing it, or send the whole person once.",
            ),
            Self::InvalidValue => (
                "A value is missing, is not what the attribute takes, names a member that there is not, or is refused by the tenant's mapping.",
                "The reason names the attribute. Correct the value in the directory; a member has to be provisioned before its group.",
            ),
            Self::Mutability => (
                "The request would change an attribute that only the server sets, or that is set once.",
                "Take the attribute (`id`, `meta`, `groups`) out of the mapping.",
            ),
            Self::InvalidVersion => ("Another version of SCIM was asked for.", "Use the base URL as it is shown, which ends with `/v2`."),
            Self::InvalidPage => (
                "The place in a list that was asked for is not one that this connection was given for this question, or is too old.",
                "Let the client begin the list anew.",
            ),
            Self::TooMany => (
                "The filter would have to look at more resources than one request may.",
                "Match by `userName`, `externalId`, `id`, `displayName` or an e-mail address.",
            ),
            Self::BadRequest => ("Something else about the request can't be.", "The reason says what."),
            Self::Forbidden => ("The credential is good, and does not allow this.", "The reason says what would be needed."),
            Self::NotFound => (
                "There is no such person or group on this connection: it was never created here, or it was deleted.",
                "If the identity provider believes that it exists, restart its provisioning for this person or group, so that it is created again.",
            ),
            Self::MethodNotAllowed => {
                ("This path does not take this method.", "Compare the configured base URL with the one that is shown.")
            }
            Self::NotAcceptable => ("The client asked for an answer that is no JSON.", "Let it accept `application/scim+json`."),
            Self::Uniqueness => (
                "A user name or external id is taken by another person of this connection.",
                "Find who has it (search the people by that name). Two people in the directory with one name, or a person who was created twice, are the usual causes.",
            ),
            Self::Conflict => (
                "Somebody else changed the same resource at the same moment.",
                "Nothing: the client reads it again and repeats the change.",
            ),
            Self::PreconditionFailed => (
                "The client changes a version that is not the present one.",
                "Nothing: it reads the resource again. If it repeats itself, two clients share the connection: give each its own.",
            ),
            Self::TooLarge => ("The body is larger than the limit.", "Let the client send fewer members or operations at once."),
            Self::UnsupportedMediaType => (
                "The body is compressed or encoded in a way that is not understood.",
                "Let it be sent as `application/scim+json`, uncompressed or with gzip.",
            ),
            Self::NotImplemented => ("What was asked for is not offered here.", "The reason says what to use instead."),
            Self::Unavailable => (
                "The server was overloaded, took too long, or could not reach its database. Nothing was changed, or it shows when it is read again. Clients repeat it.",
                "Nothing, if it ends by itself. If it goes on, tell the operator the request's id.",
            ),
            Self::Defect => {
                ("Something went wrong here. Clients repeat it.", "Tell the operator the request's id: the server's log has it.")
            }
        }
    }
}

/// An outcome, explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Explained {
    /// The outcome.
    pub code: OutcomeCode,
    /// How it is to be taken.
    pub class: OutcomeClass,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub to_do: &'static str,
}

/// Every outcome, explained, in the order of the list.
#[must_use]
pub fn catalogue() -> Vec<Explained> {
    OutcomeCode::ALL.iter().map(|code| Explained::of(*code)).collect()
}

impl Explained {
    /// The explanation of an outcome.
    #[must_use]
    pub fn of(code: OutcomeCode) -> Self {
        let (meaning, to_do) = code.meaning();
        Self { code, class: code.class(), meaning, to_do }
    }
}

/// What a write led to. Counts and names of roles; nobody's values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Led {
    /// People who were decided with it.
    pub people: u64,
    /// People who were left to be decided behind it.
    pub pending: u64,
    /// Roles that came into effect, 20 at most.
    pub gained: BTreeSet<String>,
    /// Roles that are held no longer, 20 at most.
    pub lost: BTreeSet<String>,
    /// Requests for somebody's yes, and what the guard keeps back.
    pub held: u64,
    /// Events, by kind.
    pub events: BTreeMap<String, u64>,
    /// The accounts, 20 at most.
    pub accounts: BTreeSet<AccountId>,
}

impl Led {
    /// Whether it is nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Adds an account.
    pub fn concerns(&mut self, account: &AccountId) {
        if self.accounts.len() < LED_ACCOUNTS_LIMIT {
            self.accounts.insert(account.clone());
        }
    }

    /// Adds roles that are gained and lost.
    pub fn roles(&mut self, gained: impl Iterator<Item = String>, lost: impl Iterator<Item = String>) {
        for role in gained {
            if self.gained.len() < LED_ROLES_LIMIT {
                self.gained.insert(role);
            }
        }
        for role in lost {
            if self.lost.len() < LED_ROLES_LIMIT {
                self.lost.insert(role);
            }
        }
    }

    /// Adds an event.
    pub fn event(&mut self, kind: &str) {
        match self.events.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.events.insert(kind.to_owned(), 1);
            }
        }
    }
}

/// What an entry of the provisioning log says beside its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogDetail {
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// The client quirks that it had.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quirks: Vec<String>,
    /// What became of each of its operations, the first 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fates: Vec<OperationFate>,
    /// Which operation is at fault, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<u64>,
    /// What it led to.
    #[serde(skip_serializing_if = "Led::is_nothing")]
    pub led: Led,
    /// Its form: names of attributes and operators, and no values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

impl LogDetail {
    /// How long it took, in milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no request takes as long as the integers that a float can't hold")]
    pub fn took_ms(&self) -> f64 {
        self.took_us as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_and_a_keyword_are_one_outcome() {
        for (status, scim_type, changed, code) in [
            (201, None, true, OutcomeCode::Applied),
            (200, None, false, OutcomeCode::Unchanged),
            (400, Some("invalidSyntax"), false, OutcomeCode::InvalidSyntax),
            (400, Some("noTarget"), false, OutcomeCode::NoTarget),
            (400, Some("a new one"), false, OutcomeCode::BadRequest),
            (401, None, false, OutcomeCode::WrongCredential),
            (404, None, false, OutcomeCode::NotFound),
            (409, Some("uniqueness"), false, OutcomeCode::Uniqueness),
            (409, None, false, OutcomeCode::Conflict),
            (412, None, false, OutcomeCode::PreconditionFailed),
            (418, None, false, OutcomeCode::BadRequest),
            (429, None, false, OutcomeCode::RateLimited),
            (500, None, false, OutcomeCode::Defect),
            (503, None, false, OutcomeCode::Unavailable),
        ] {
            assert_eq!(OutcomeCode::of(status, scim_type, changed), code, "{status} {scim_type:?}");
        }
    }

    #[test]
    fn every_outcome_is_explained_in_sentences() {
        for Explained { code, meaning, to_do, .. } in catalogue() {
            assert!(meaning.ends_with('.') && to_do.ends_with('.') && meaning.len() > 20, "{code}");
        }
    }

    #[test]
    fn what_is_named_of_a_crowd_is_bounded() {
        let mut led = Led::default();
        for n in 0..1_000 {
            led.concerns(&AccountId::from(&*format!("a{n}")));
            led.roles(std::iter::once(format!("g{n}")), std::iter::once(format!("l{n}")));
            led.event("grant.added");
        }
        assert_eq!((led.accounts.len(), led.gained.len(), led.lost.len()), (LED_ACCOUNTS_LIMIT, LED_ROLES_LIMIT, LED_ROLES_LIMIT));
        assert_eq!(led.events["grant.added"], 1_000);
    }
}
