//! The write path: one straight line for every kind of change (read, apply, validate, evaluate, settle, commit).

pub mod departed;
pub mod drift;
pub mod groups;
pub mod house;
pub mod people;
pub mod run;
pub mod users;

use std::sync::Arc;

use rolecall_scim::patch::{Done, Refusal};
use rolecall_scim::version::etag;
use rolecall_scim::{Quirk, ResourceKind, ScimError};
use serde_json::{Value, json};

use crate::app::App;
use crate::journal::{Trail, example};
use crate::model::{Actor, ConnectionId, ConnectionState, Instant, Led, NewEvent, ResourceId, TenantId, Urgency};
use crate::store::{Change, ResourceWrite, Stale, StoreError, StoredResource};
use crate::tenancy::Active;

/// How often a change that lost a race is computed again before the client is asked to come back: writers of one
/// process take turns, so only other hosts' writes are raced with.
const ATTEMPTS: usize = 12;
/// The most names of changed, and of ignored, attributes that an event repeats: the latter are the client's text.
const EVENT_NAMES_LIMIT: usize = 32;

/// Who writes: made by the extractor from path and token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The tenant.
    pub tenant: TenantId,
    /// The connection.
    pub connection: ConnectionId,
    /// Its state when the request came.
    pub state: ConnectionState,
    /// The request.
    pub request_id: String,
    /// What it showed so far.
    pub trail: Arc<Trail>,
    /// Who writes in the identity provider's place, where it is not the identity provider.
    pub instead: Option<Actor>,
}

/// What a client asks for. `if_match` is the version in the `If-Match` header.
#[derive(Clone, Debug)]
pub enum Command {
    /// POST.
    Create {
        /// User or Group.
        kind: ResourceKind,
        /// The body.
        body: Value,
    },
    /// PUT.
    Replace {
        /// User or Group.
        kind: ResourceKind,
        /// The resource.
        id: ResourceId,
        /// The body.
        body: Value,
        /// Version condition.
        if_match: Option<i64>,
    },
    /// PATCH.
    Patch {
        /// User or Group.
        kind: ResourceKind,
        /// The resource.
        id: ResourceId,
        /// The body.
        body: Value,
        /// Version condition.
        if_match: Option<i64>,
    },
    /// DELETE.
    Delete {
        /// User or Group.
        kind: ResourceKind,
        /// The resource.
        id: ResourceId,
        /// Version condition.
        if_match: Option<i64>,
    },
}

impl Command {
    /// The method that asks for it.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::Create { .. } => "POST",
            Self::Replace { .. } => "PUT",
            Self::Patch { .. } => "PATCH",
            Self::Delete { .. } => "DELETE",
        }
    }

    /// User or Group.
    #[must_use]
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::Create { kind, .. } | Self::Replace { kind, .. } | Self::Patch { kind, .. } | Self::Delete { kind, .. } => *kind,
        }
    }

    /// The resource, where it exists already.
    #[must_use]
    pub fn resource(&self) -> Option<&ResourceId> {
        match self {
            Self::Create { .. } => None,
            Self::Replace { id, .. } | Self::Patch { id, .. } | Self::Delete { id, .. } => Some(id),
        }
    }

    /// How many operations it has: of a PATCH as many as are in it, else one.
    #[must_use]
    pub fn operations(&self) -> usize {
        let of_patch = match self {
            Self::Patch { body, .. } => body.as_object().and_then(|body| {
                let (_, operations) = body.iter().find(|(name, _)| name.eq_ignore_ascii_case("operations"))?;
                operations.as_array().map(Vec::len)
            }),
            _ => None,
        };
        of_patch.unwrap_or(1)
    }

    /// Its form, without its values.
    #[must_use]
    pub fn shown(&self) -> String {
        example::of_write(self.method(), self.kind().endpoint(), self.body())
    }

    fn body(&self) -> Option<&Value> {
        match self {
            Self::Create { body, .. } | Self::Replace { body, .. } | Self::Patch { body, .. } => Some(body),
            Self::Delete { .. } => None,
        }
    }
}

/// What became of it: durable.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The resource after the change; `None` after a DELETE.
    pub resource: Option<StoredResource>,
    /// What each PATCH operation did.
    pub operations: Vec<Done>,
    /// Paths of the attributes that were written and are another value now.
    pub changed: Vec<String>,
    /// Quirks that were met.
    pub quirks: Vec<Quirk>,
    /// What it led to.
    pub led: Led,
    /// Whether a probe's person or group was written, without effect.
    pub probe: bool,
}

/// Why it was not done: nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The client is told this.
    #[error(transparent)]
    Scim(#[from] ScimError),
    /// The client is told this of one of its operations.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store's word: `http::error` picks the status.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Carries out a command.
///
/// # Errors
/// [`Failure`]; nothing was stored.
pub async fn apply(app: &Arc<App>, caller: &Caller, command: Command) -> Result<Applied, Failure> {
    let result = carry_out(app, caller, &command).await;
    if let Ok(applied) = &result {
        caller.trail.see(&applied.quirks);
    }
    app.journal.count((&caller.tenant, &caller.connection), &caller.trail.take(), result.is_ok(), app.clock.now(), || command.shown());
    result
}

async fn carry_out(app: &Arc<App>, caller: &Caller, command: &Command) -> Result<Applied, Failure> {
    let _turn = app.turns.take(&turn_key(caller, command)).await;
    let mut attempt = 1;
    loop {
        let result = attempt_once(app, caller, command).await;
        match result {
            Err(Failure::Store(StoreError::Conflict { what })) if attempt < ATTEMPTS => {
                tracing::debug!(what, attempt, "lost a race, computing the change again");
                if what == "revision" {
                    app.revisions.forget(&caller.tenant);
                }
                attempt += 1;
            }
            other => return other,
        }
    }
}

async fn attempt_once(app: &Arc<App>, caller: &Caller, command: &Command) -> Result<Applied, Failure> {
    match command {
        Command::Create { kind: ResourceKind::User, body } => users::create(app, caller, body).await,
        Command::Create { kind: ResourceKind::Group, body } => groups::create(app, caller, body).await,
        Command::Replace { kind: ResourceKind::User, id, body, if_match } => {
            users::update(app, caller, id, *if_match, users::Update::Replace(body.clone())).await
        }
        Command::Patch { kind: ResourceKind::User, id, body, if_match } => {
            users::update(app, caller, id, *if_match, users::Update::Patch(body.clone())).await
        }
        Command::Delete { kind: ResourceKind::User, id, if_match } => users::delete(app, caller, id, *if_match).await,
        Command::Replace { kind: ResourceKind::Group, id, body, if_match } => groups::replace(app, caller, id, *if_match, body).await,
        Command::Patch { kind: ResourceKind::Group, id, body, if_match } => groups::patch(app, caller, id, *if_match, body).await,
        Command::Delete { kind: ResourceKind::Group, id, if_match } => groups::delete(app, caller, id, *if_match).await,
    }
}

/// Writers of the same resource take turns in this process; creations only race over names, which the database decides.
fn turn_key(caller: &Caller, command: &Command) -> String {
    match command {
        Command::Create { .. } => String::new(),
        Command::Replace { id, .. } | Command::Patch { id, .. } | Command::Delete { id, .. } => format!("{}/{id}", caller.connection),
    }
}

impl Caller {
    fn actor(&self) -> Actor {
        self.instead.clone().unwrap_or_else(|| Actor { kind: "connection".into(), id: self.connection.0.clone() })
    }

    /// A change that this caller causes and that nobody is in yet: refused when somebody's inputs move meanwhile.
    fn change(&self, active: &Active, write: ResourceWrite, event: Option<NewEvent>, now: Instant) -> Change {
        Change {
            connection: self.connection.clone(),
            at: now,
            actor: self.actor(),
            request_id: Some(self.request_id.clone()),
            revision: active.hash.clone(),
            write: Some(write),
            persons: Vec::new(),
            stale: Stale::Conflict,
            urgency: Urgency::Live,
            fan_out: Vec::new(),
            bind_handle: None,
            events: event.into_iter().collect(),
        }
    }
}

/// What a write did, for the history. With the event's id, time, actor (the connection) and request id it is all that a security
/// event token about the write needs ([`rolecall_scim::event`]).
#[derive(Clone, Copy, Debug)]
struct Report<'a> {
    /// How it was asked for, also within a bulk request.
    method: &'static str,
    operations: &'a [Done],
    changed: &'a [String],
    ignored: &'a [String],
    /// Whether the person is active now, if that has changed.
    active: Option<bool>,
}

impl<'a> Report<'a> {
    fn created(changed: &'a [String], ignored: &'a [String]) -> Self {
        Self { method: "POST", operations: &[Done::Applied], changed, ignored, active: None }
    }

    const DELETED: Self = Self { method: "DELETE", operations: &[Done::Applied], changed: &[], ignored: &[], active: None };
}

/// What the provisioning log says of a resource's write. Attribute names only, never values.
fn resource_event(kind: &'static str, id: &ResourceId, report: Report<'_>) -> NewEvent {
    let Report { method, operations, changed, ignored, active } = report;
    let words: Vec<&str> = operations.iter().map(|done| done.word()).collect();
    let count = |wanted: Done| operations.iter().filter(|done| **done == wanted).count();
    let names = |names: &[String]| names[..names.len().min(EVENT_NAMES_LIMIT)].to_vec();
    let mut data = json!({
        "resource": id,
        "method": method,
        "operations": words,
        "applied": count(Done::Applied),
        "no_op": count(Done::NoOp),
        "changed": names(changed),
        "ignored": names(ignored),
    });
    if let Some(active) = active {
        data["active"] = active.into();
    }
    NewEvent { kind, account: None, data, personal: None, leaver: false }
}

/// How far a client's clock may be ahead, in seconds.
const CLOCK_SKEW_SECONDS: i64 = 300;

/// Whether what is written back says that it was read before a later change, or has a time that is still to come. It is written all the
/// same: the client's word counts. But a client that plays back old data shows in its connection's health.
fn is_skewed(body: &Value, modified: Instant, now: Instant) -> bool {
    let read = body["meta"]["lastModified"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).map(Instant::from);
    // Clients cut the fraction off.
    read.is_some_and(|read| read.plus_seconds(1) < modified || read > now.plus_seconds(CLOCK_SKEW_SECONDS))
}

/// Fails with 412 when the client's condition names another version.
fn check_version(if_match: Option<i64>, resource: &StoredResource) -> Result<(), ScimError> {
    match if_match {
        Some(wanted) if wanted != resource.version => Err(ScimError::status(
            412,
            format!("the resource is at version `{}`: read it again and repeat the change", etag(resource.version)),
        )),
        _ => Ok(()),
    }
}

/// A new SCIM id: time-ordered, so that insertion order is id order.
fn new_resource_id(now: Instant) -> ResourceId {
    let at = now.timestamp();
    let seconds = u64::try_from(at.as_second()).unwrap_or(0);
    let nanos = u32::try_from(at.subsec_nanosecond()).unwrap_or(0);
    ResourceId(uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)).to_string())
}

/// Turns at resources: striped locks, so that memory does not grow with the population.
pub struct Turns(Vec<tokio::sync::Mutex<()>>);

/// How many resources of different stripes may be written at once by one process.
const STRIPES: usize = 256;

impl Default for Turns {
    fn default() -> Self {
        Self((0..STRIPES).map(|_| tokio::sync::Mutex::new(())).collect())
    }
}

impl Turns {
    /// Waits for a turn at the resource; an empty key never waits.
    async fn take(&self, key: &str) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        if key.is_empty() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let stripe = usize::try_from(hasher.finish() % STRIPES as u64).unwrap_or(0);
        Some(self.0[stripe].lock().await)
    }
}
