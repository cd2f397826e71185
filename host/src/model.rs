//! The domain's types: tenant, connection, person, group, account, grant, event.
//!
//! No I/O and no knowledge of HTTP, SQL, Wasm or Cedar: every room may use these types.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id!(
    /// A customer of the platform: lower-case letters, digits and hyphens, at most 63 characters.
    TenantId
);
text_id!(
    /// One identity provider's provisioning path into a tenant: unguessable, part of its base URL.
    ConnectionId
);
text_id!(
    /// The SCIM `id` of a User or a Group (UUID version 7: insertion order is id order).
    ResourceId
);
text_id!(
    /// A local identity that a mapping made.
    AccountId
);
text_id!(
    /// The hash of a revision: SHA-256 in lower-case hexadecimal over everything in it.
    RevisionHash
);
text_id!(
    /// A role of the tenant's catalogue.
    RoleId
);
text_id!(
    /// A tenant's stable name for one group, sticky over renames.
    Handle
);

/// Which JWTs a connection accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issuer {
    /// The `iss` that they must have.
    pub issuer: String,
    /// What must be (in) their `aud`.
    pub audience: String,
    /// The algorithms that may sign them.
    pub algorithms: Vec<String>,
    /// Where the issuer's keys are; `None` when they were given.
    pub jwks_uri: Option<String>,
    /// How far the issuer's clock may be off, in seconds.
    pub clock_skew_seconds: i64,
    /// The `sub` that they must have, if any.
    pub subject: Option<String>,
    /// Other claims that they must have, each with this text (or in an array of texts).
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
}

/// How much of a name that a client sent is repeated to it, in characters.
const QUOTED_NAME_CHARS_LIMIT: usize = 128;

/// A name that a client sent, as far as an error repeats it.
#[must_use]
pub fn quoted(name: &str) -> String {
    let mut rest = name.chars().filter(|c| !c.is_control());
    let mut shown: String = rest.by_ref().take(QUOTED_NAME_CHARS_LIMIT).collect();
    shown.extend(rest.next().map(|_| '…'));
    shown
}

/// An instant in microseconds since 1970-01-01T00:00:00Z: what both databases store and sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub i64);

impl Instant {
    /// The instant `seconds` later (earlier when negative), saturating.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// The instant so many seconds after 1970; `None` for one that no calendar here has.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        jiff::Timestamp::from_second(seconds).ok().map(Self::from)
    }

    /// Whole milliseconds from `earlier` until this instant; negative when it is later.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }

    /// The same instant for calendar arithmetic and printing; out-of-range values become 1970.
    #[must_use]
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl From<jiff::Timestamp> for Instant {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp.as_microsecond())
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<jiff::Timestamp>().map(Self::from).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Instant {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands for this value in the database, the API and events.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value that `word` stands for, or `None`.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.word()) }
        }
    };
}

pub mod trial;

pub use trial::{
    Activation, ActivationSettings, ActivationState, AttributeDifference, Because, Difference, DifferenceKind, Forecast, Forecasts,
    ListedRevision, Part, PersonDifference, PersonRef, Summary, Tally, Totals, Trial, TrialKind, TrialState, TurnedAway, WaitingRole,
    Watch,
};
mod ruling;
pub use ruling::{
    ApprovalSettings, Concerned, GuardDirection, GuardScope, GuardSettings, Hold, HoldState, NewRuling, Ruling, RulingKind, RulingState,
    SecondPerson,
};
mod review;
pub use review::{
    Evidence, OnSilence, Review, ReviewCounts, ReviewDecision, ReviewLine, ReviewOutcome, ReviewPlan, ReviewScope, ReviewSettings,
    ReviewState, ReviewerSource, Reviewers,
};
mod health;
pub use health::{Distance, Health, HealthEvidence, HealthNews, HealthRule, HealthSettings, HealthState, Standing, Traffic};
mod processes;
mod restored;
pub use processes::ProcessSettings;
pub use restored::Restored;
mod admin;
pub use admin::{ADMIN_ROLES, ADMIN_ROLES_LIMIT, AdminAction, LinkPurpose, PLATFORM_OPERATOR, is_admin_role};
mod steps;
pub use steps::{
    Invitation, InvitationSettings, InvitationState, Invited, NewProcess, NewStep, Passage, Process, ProcessKind, ProcessState,
    ProcessStep, ProcessStepState, StepCondition, StepList, StepSettings, check_span, due_at,
};
mod drift;
pub use drift::{
    DriftAttribute, DriftCounts, DriftDetail, DriftForecast, DriftGroup, DriftKind, DriftLine, DriftOutcome, Reconciliation,
    ReconciliationState,
};
mod failure;
mod fate;
mod outcome;
mod probe;
mod refusal;
mod urgency;
pub use failure::{CallInput, Failing, FailureDetail, FailureKind, Frame, LEVELS, LimitMet, LogLine, Spent};
pub use fate::{Fate, Return};
pub use outcome::{Explained, FATES_LIMIT, Led, LogDetail, OperationFate, OutcomeClass, OutcomeCode, catalogue};
pub use probe::{PROBE_DOMAIN, PROBE_GROUP, PROBE_MINUTES, PROBE_NAMES_LIMIT, ProbeSettings};
pub use refusal::{Checked, CredentialCheck, CredentialForm, CredentialTrace, RefusedCredential};
pub use urgency::{LIVE_IN_A_ROW, Urgency};

word_enum!(
    /// Whether a connection takes part in provisioning.
    ConnectionState {
        /// Requests are processed.
        Active = "active",
        /// Writes are stored and removals of access take effect; nothing new is granted until resumed.
        Paused = "paused",
        /// It does harm, and is kept as if it were paused until somebody has looked or the harm is over.
        Quarantined = "quarantined",
        /// It came back with a backup, and is kept as if it were paused until it was reconciled or somebody releases it.
        Restored = "restored",
        /// Before the first sync is let in: people and groups are stored, mapped and decided, and nothing has effect.
        Staging = "staging",
    }
);

impl ConnectionState {
    /// Whether what is new waits: writes are stored, and what takes access away takes effect.
    #[must_use]
    pub fn parks(self) -> bool {
        matches!(self, Self::Paused | Self::Quarantined | Self::Restored)
    }
}

word_enum!(
    /// What an account is at present. Only `Active` accounts hold effective roles.
    AccountState {
        /// In use.
        Active = "active",
        /// The identity provider said `active: false`.
        Suspended = "suspended",
        /// Waits for a person: a name collision, or a refusal by the mapping.
        Held = "held",
        /// The mapping said that this person is none of the tenant's.
        OutOfScope = "out_of_scope",
        /// Prepared, and not in use before its start date.
        Scheduled = "scheduled",
        /// The identity provider deleted the person.
        Removed = "removed",
    }
);

word_enum!(
    /// In which way an account stands to a role. A *pending* grant waits for a yes and is not in effect;
    /// a *retained* grant waits for a repair and is in effect until its deadline. Two words, never one.
    GrantState {
        /// In effect, decided by the revision that is stamped on it.
        Effective = "effective",
        /// Not in effect: waits for a person's yes.
        Pending = "pending",
        /// In effect until `deadline`: it could not be decided again because of a fault, or somebody who moved keeps it for a while.
        Retained = "retained",
        /// Not in effect: its account was suspended with more others than the guard lets go at once, and may be restored.
        Dormant = "dormant",
    }
);

impl GrantState {
    /// Whether the role is held.
    #[must_use]
    pub fn in_effect(self) -> bool {
        matches!(self, Self::Effective | Self::Retained)
    }
}

word_enum!(
    /// What a grant waits for: one that is pending to come into effect, one in effect to fall.
    Waiting {
        /// A person's yes to this role.
        Approval = "approval",
        /// A person's answer to a hold.
        Hold = "hold",
        /// The connection, to go live.
        Staging = "staging",
        /// A person, to say whose an imported account is.
        Adoption = "adoption",
        /// The person's start date.
        Start = "start",
        /// The end of the time that somebody who moved keeps it.
        Overlap = "overlap",
    }
);

word_enum!(
    /// Why a person's evaluation is due.
    Cause {
        /// The person's own resource was written.
        UserWrite = "user_write",
        /// A group that the person is in, directly or not, gained or lost members or was deleted.
        GroupChange = "group_change",
        /// A group handle was bound, confirmed or released.
        HandleChange = "handle_change",
        /// Another revision was activated.
        Activation = "activation",
        /// A date that a rule or a deadline names has come.
        Schedule = "schedule",
        /// An infrastructure fault is tried again.
        Retry = "retry",
        /// An account name became free.
        NameFreed = "name_freed",
        /// The connection was resumed, or went live.
        Resumed = "resumed",
        /// Somebody approved, released, restored or made an exception.
        Ruling = "ruling",
        /// Somebody asked for it.
        OnDemand = "on_demand",
    }
);

/// Why an account holds a role: one satisfied policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// The policy's `@id`.
    pub policy: String,
    /// The policy's `@reason`, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For each group that the policy names and the person is in: the handles from the person's direct group to that group.
    #[serde(default)]
    pub groups: Vec<Vec<String>>,
    /// Whether the tenant's plugin nominated the role.
    #[serde(default)]
    pub proposed: bool,
    /// Where the policy asks for a nomination: why the plugin nominated the role, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nomination: Option<String>,
    /// The policy's `@approval`: what a person is asked, where the policy gives the role with a person's yes alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
}

/// What the policy of a reason begins with that is an exception, and no policy's.
const EXCEPTION: &str = "exception:";

impl Reason {
    /// The reason that an exception is.
    #[must_use]
    pub fn exception(id: &str, reason: Option<&str>) -> Self {
        let reason = reason.map(str::to_owned);
        Self { policy: format!("{EXCEPTION}{id}"), reason, groups: Vec::new(), proposed: false, nomination: None, approval: None }
    }

    /// The reason of a role that an account had when it was imported.
    #[must_use]
    pub fn imported() -> Self {
        let reason = Some("the account had it when it was imported".to_owned());
        Self { policy: "imported".into(), reason, groups: Vec::new(), proposed: false, nomination: None, approval: None }
    }

    /// Whether it is an exception, and no policy's.
    #[must_use]
    pub fn is_exception(&self) -> bool {
        self.policy.starts_with(EXCEPTION)
    }

    /// Moves people's own words, which the reasons of exceptions are, from the `reasons` of an event to its personal values: as
    /// `exceptions`, by what the reason's policy is. Policies' words are the tenant's, and stay.
    #[must_use]
    pub fn seal_words(data: &mut Value, personal: Option<Value>) -> Option<Value> {
        let mut words = serde_json::Map::new();
        for reason in data["reasons"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            let Some(policy) = reason.get("policy").and_then(Value::as_str).filter(|policy| policy.starts_with(EXCEPTION)) else {
                continue;
            };
            let policy = policy.to_owned();
            words.extend(reason.remove("reason").map(|said| (policy, said)));
        }
        if words.is_empty() {
            return personal;
        }
        let mut personal = personal.unwrap_or_else(|| serde_json::json!({}));
        personal["exceptions"] = words.into();
        Some(personal)
    }

    /// What a person is asked before a role is held for these reasons: each of them gives it with a person's yes alone.
    #[must_use]
    pub fn approval_of(reasons: &[Self]) -> Option<&str> {
        let first = reasons.first()?.approval.as_deref();
        first.filter(|_| reasons.iter().all(|reason| reason.approval.is_some()))
    }

    /// Whether what gave a role without asking does so no more, and what gives it now asks.
    #[must_use]
    pub fn asks_anew(before: &[Self], now: &[Self]) -> bool {
        let mut plain = before.iter().filter(|reason| reason.approval.is_none()).peekable();
        // A policy that begins to ask takes nothing from whoever has the role by it.
        plain.peek().is_some() && Self::approval_of(now).is_some() && !plain.any(|before| now.iter().any(|now| now.policy == before.policy))
    }
}

/// A role that an account holds, or would hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The role.
    pub role: RoleId,
    /// Whether it is in effect, and what it waits for.
    pub state: GrantState,
    /// Every policy that gave it.
    pub reasons: Vec<Reason>,
    /// Since when the account holds it without a break.
    pub since: Instant,
    /// When a retained grant falls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Instant>,
    /// The revision that decided it.
    pub revision: RevisionHash,
    /// What it waits for: a pending one to come into effect, one in effect to fall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Waiting>,
}

/// One membership as evaluation sees it: the handle and how the person comes to be in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupMembership {
    /// The handle of the group.
    pub handle: String,
    /// The handles (or ids, where a group has none) from the person's direct group to this one, both included.
    pub chain: Vec<String>,
}

/// Why an account is held, refused or retained: what people see first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// A stable word: `collision`, `refused`, `out_of_scope`, `plugin_fault`, `policy_error`, `no_revision`, `paused` …
    pub code: String,
    /// The attribute concerned, as a SCIM path or JSON path, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A sentence for people, without secrets.
    pub message: String,
}

impl Note {
    /// The code of an account that is held because another account has its name: the store tells it when the name is free.
    pub const COLLISION: &'static str = "collision";
    /// The code of somebody whose connection has not gone live.
    pub const STAGING: &'static str = "staging";
    /// The code of somebody who may be one of the accounts that were imported: a person decides.
    pub const ADOPTION: &'static str = "adoption";
    /// The code of an imported account that was adopted, until its roles are decided for the first time.
    pub const ADOPTED: &'static str = "adopted";
    /// The code of what stands for somebody at the connection that they have moved away from: nothing that it says decides anything.
    pub const MOVED: &'static str = "moved";
    /// The code of the account of somebody who has moved from one connection to another, until its roles are decided for the first time.
    pub const TAKEN_OVER: &'static str = "taken_over";
    /// The code of somebody about whom a plugin gave no verdict.
    pub const PLUGIN_FAULT: &'static str = "plugin_fault";
    /// The code of a client's test person.
    pub const PROBE: &'static str = "probe";
    /// The code of somebody whose end date has come.
    pub const ENDED: &'static str = "ended";
    /// The code of somebody on leave.
    pub const ABSENT: &'static str = "absent";
    /// The code of somebody whose end date is near.
    pub const ENDING: &'static str = "ending";
}

/// What a person's account is made of: the mapping's answer, kept as JSON text beside the resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// What it is at present.
    pub state: AccountState,
    /// Its login name; `None` while the mapping has never made one.
    pub user_name: Option<String>,
    /// Whether it has that name, and nobody else in the tenant can: not so for one that waits for it, or gave up waiting.
    pub holds_name: bool,
    /// The mapping's whole answer.
    pub profile: Value,
    /// For each profile attribute, where its value came from.
    pub provenance: Value,
    /// Why it is held, out of scope or retained.
    pub note: Option<Note>,
    /// When it was first made.
    pub created: Instant,
    /// When it was last changed.
    pub modified: Instant,
}

/// The evaluation state of one person, without which nothing is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationState {
    /// Bumped by anything that evaluation reads about this person.
    pub input_version: i64,
    /// The `input_version` that was last evaluated.
    pub evaluated_version: Option<i64>,
    /// The revision of the last evaluation.
    pub evaluated_revision: Option<RevisionHash>,
    /// The instant that the last evaluation was given.
    pub as_of: Option<Instant>,
    /// The next date at which the result may change by itself.
    pub next_evaluation_at: Option<Instant>,
    /// What made the pending evaluation due; `None` when nothing is pending.
    pub cause: Option<Cause>,
    /// How often an infrastructure fault was met in a row.
    pub attempts: i64,
}

/// Who or what did something: part of every event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// `connection`, `person`, `api_token`, `worker`, `startup`, `folder`, `guard`, `review`, `setup_link`.
    pub kind: String,
    /// The connection, person, token or host concerned.
    pub id: String,
}

impl Actor {
    /// The kind of a token that names nobody.
    pub const API_TOKEN: &'static str = "api_token";
    /// The kind of somebody whom a token names.
    pub const PERSON: &'static str = "person";
    /// The kind of whoever has the link to a connection's set-up.
    pub const SETUP_LINK: &'static str = "setup_link";
}

/// An entry in a tenant's append-only history before it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// A dotted word, `account.created`, `grant.added` …
    pub kind: &'static str,
    /// The person's account, when the event is about a person: orders deliveries.
    pub account: Option<AccountId>,
    /// What may be read by anybody who may read events: ids, words, roles, policies, hashes. No personal values.
    pub data: Value,
    /// Personal values (names, addresses, attributes); sealed under the person's key when stored.
    pub personal: Option<Value>,
    /// Whether this event takes access away: it travels in the leavers' lane.
    pub leaver: bool,
}

/// An entry in a tenant's history as it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The public sequence number, dense and ascending in the tenant; given after commit.
    pub seq: i64,
    /// Unguessable id, also the webhook's message id.
    pub id: String,
    /// When it happened.
    pub at: Instant,
    /// What happened: `account.created`, `grant.added` …
    pub kind: String,
    /// Who or what caused it.
    pub actor: Actor,
    /// The request that caused it, as in logs and the `x-request-id` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The account concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The facts, without personal values.
    pub data: Value,
    /// Personal values; absent once the person was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Value>,
}

/// What a call of a plugin used. Two that used the same are equal, however long they took: time is no part of a verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Fuel.
    pub fuel: u64,
    /// The most linear memory that it had, in bytes.
    pub memory_bytes: usize,
    /// How long it took.
    pub took: std::time::Duration,
}

impl PartialEq for Usage {
    fn eq(&self, other: &Self) -> bool {
        (self.fuel, self.memory_bytes) == (other.fuel, other.memory_bytes)
    }
}

impl Eq for Usage {}

/// Settings of a tenant that decide what happens when a decision cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecisionSettings {
    /// What a refusal by the mapping answers over SCIM.
    pub on_reject: OnReject,
    /// How long a grant is retained over a fault, in hours (default 72).
    pub retain_hours: u32,
    /// How long a privileged role is retained over a fault, in hours (default 4).
    pub retain_privileged_hours: u32,
}

impl Default for DecisionSettings {
    fn default() -> Self {
        Self { on_reject: OnReject::Accept, retain_hours: 72, retain_privileged_hours: 4 }
    }
}

word_enum!(
    /// What a refusal by the mapping answers over SCIM.
    OnReject {
        /// 201 or 200 without an account, with a visible reason: one bad person must not fail a group's PATCH.
        Accept = "accept",
        /// 400 `invalidValue` for a write of that person alone.
        Refuse = "refuse",
    }
);

/// A name, folded so that names that a person would take for the same are the same: compatibility
/// decomposition, marks removed, case folded (`José` and `jose` collide).
#[must_use]
pub fn collision_key(name: &str) -> String {
    use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
    let plain: String = name.trim().nfkd().filter(|c| !is_combining_mark(*c)).collect();
    caseless::default_case_fold_str(&plain).nfkc().collect()
}

/// Free-form string attributes by name.
pub type Tags = BTreeMap<String, BTreeSet<String>>;
