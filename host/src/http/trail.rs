//! What a SCIM request leaves behind for people: its entries in the provisioning log, and its quirks. Names, counts and statuses
//! alone; no value of a client's.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant as Stopwatch};

use axum::http::{Method, Uri};
use axum::response::Response;
use rolecall_scim::ResourceKind;
use rolecall_scim::patch::Done;

use super::error::Error;
use super::frame::RequestId;
use super::guards;
use crate::app::App;
use crate::journal::{Trail, example};
use crate::model::{ConnectionId, FATES_LIMIT, LogDetail, OperationFate, OutcomeCode, ResourceId, TenantId};
use crate::provisioning::{Applied, Caller, Command};
use crate::store::LogEntry;

/// Whose request it is, once a guard has found out; nobody's until then.
#[derive(Default)]
pub struct Whose(OnceLock<(TenantId, ConnectionId, Arc<Trail>)>);

/// What was asked. Of the address no more is noted than the id of a resource, and its query without its values.
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The route that it matched.
    pub route: String,
    /// The address as it was sent.
    pub uri: Uri,
}

impl Whose {
    /// It is this connection's.
    pub fn is(&self, tenant: &TenantId, connection: &ConnectionId, trail: &Arc<Trail>) {
        // A request is guarded once; were it twice, both would find the same.
        let _ = self.0.set((tenant.clone(), connection.clone(), Arc::clone(trail)));
    }

    /// Notes what nobody has noted while the request was carried out: quirks of what reads, writes that were refused before they came to
    /// be tried, and reads that were refused. Other reads are counted alone.
    pub fn note(&self, app: &App, asked: &Asked, response: &Response, id: &RequestId, took: Duration) {
        let Some((tenant, connection, trail)) = self.0.get() else { return };
        let now = app.clock.now();
        let endpoint = asked.route.rsplit_once("/v2/").map_or("", |(_, endpoint)| endpoint).trim_matches('/');
        let status = response.status().as_u16();
        let shown = || example::of_read(asked.method.as_str(), endpoint, asked.uri.query());
        app.journal.count((tenant, connection), &trail.take(), status < 400, now, shown);
        let writes = matches!(asked.method, Method::PUT | Method::PATCH | Method::DELETE)
            || (asked.method == Method::POST && !endpoint.ends_with(".search"));
        let lists = !writes && (endpoint.ends_with(".search") || kind_of(endpoint).is_some());
        let mut traffic = trail.traffic(lists, writes);
        if !writes && OutcomeCode::is_failure(status) {
            traffic.failed = 1;
        }
        app.journal.observe(tenant, connection, now, traffic);
        if trail.logged() > 0 || (!writes && status < 400) {
            return;
        }
        let error = response.extensions().get::<Arc<Error>>().map(Arc::as_ref);
        let mut entry = not_tried(id.0.clone(), asked.method.as_str(), endpoint.split('/').next().and_then(kind_of), error);
        (entry.at, entry.status) = (now, status);
        // What is no id of ours is the client's text, and is named nowhere.
        let named = guards::segment_of(&asked.route, asked.uri.path(), "id").filter(|id| is_id(id));
        entry.resource = named.map(|id| ResourceId(id.to_owned()));
        entry.code = OutcomeCode::of(status, entry.scim_type.as_deref(), false);
        entry.refused = i64::from(status >= 400);
        entry.detail = LogDetail { took_us: micros(took), quirks: trail.shown(), shown: Some(shown()), ..entry.detail };
        if writes { app.journal.log(tenant, connection, entry) } else { app.journal.log_read(tenant, connection, entry) }
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// The entry of what was refused before it was tried.
fn not_tried(request_id: String, method: &str, kind: Option<ResourceKind>, error: Option<&Error>) -> LogEntry {
    let status = error.map_or(500, |error| error.status().as_u16());
    let scim_type = error.and_then(Error::scim_type);
    LogEntry {
        at: crate::model::Instant(0),
        request_id,
        method: method.to_owned(),
        kind,
        resource: None,
        status,
        code: OutcomeCode::of(status, scim_type, false),
        scim_type: scim_type.map(str::to_owned),
        reason: error.map(|error| error.reason().to_owned()),
        applied: 0,
        no_op: 0,
        refused: 1,
        detail: LogDetail { operation: error.and_then(Error::operation), ..LogDetail::default() },
    }
}

/// Puts an operation of a bulk request into the log that was refused before it was tried.
pub fn refused(app: &App, caller: &Caller, method: &str, kind: Option<ResourceKind>, error: &Error) {
    let mut entry = not_tried(caller.request_id.clone(), method, kind, Some(error));
    entry.at = app.clock.now();
    entry.detail.quirks = caller.trail.shown();
    app.journal.log(&caller.tenant, &caller.connection, entry);
    caller.trail.add_logged();
}

fn kind_of(endpoint: &str) -> Option<ResourceKind> {
    [ResourceKind::User, ResourceKind::Group].into_iter().find(|kind| kind.endpoint() == endpoint)
}

/// A command's entry in the log, as far as it is known before it is carried out.
pub struct Logged {
    method: &'static str,
    kind: ResourceKind,
    resource: Option<ResourceId>,
    operations: i64,
    shown: Option<String>,
    began: Stopwatch,
}

impl Logged {
    /// Of this command.
    #[must_use]
    pub fn of(app: &App, command: &Command) -> Self {
        let shown = app.journal.is_kept().then(|| command.shown());
        Self {
            shown,
            began: Stopwatch::now(),
            method: command.method(),
            kind: command.kind(),
            // What is no id of ours is the client's text, and is named nowhere.
            resource: command.resource().filter(|id| is_id(id.as_str())).cloned(),
            operations: i64::try_from(command.operations()).unwrap_or(i64::MAX),
        }
    }

    /// Puts it into the log, with what came of it.
    pub fn write(self, app: &App, caller: &Caller, result: &Result<Applied, Error>) {
        let count = |applied: &Applied, wanted: Done| {
            let found = applied.operations.iter().filter(|done| **done == wanted).count();
            i64::try_from(found).unwrap_or(i64::MAX)
        };
        let (status, applied, no_op, refused) = match result {
            Ok(done) => (self.status(), count(done, Done::Applied), count(done, Done::NoOp), 0),
            Err(error) => (error.status().as_u16(), 0, 0, self.operations),
        };
        let (done, fates) = match result {
            Ok(done) => (Some(done), done.operations.iter().take(FATES_LIMIT).map(|done| fate(*done)).collect()),
            Err(_) => (None, vec![OperationFate::Refused; usize::try_from(self.operations).unwrap_or(0).min(FATES_LIMIT)]),
        };
        let made = result.as_ref().ok().and_then(|applied| applied.resource.as_ref()).map(|resource| resource.id.clone());
        let error = result.as_ref().err();
        let scim_type = error.and_then(Error::scim_type);
        let code = match done {
            Some(done) if done.probe => OutcomeCode::Probe,
            _ => OutcomeCode::of(status, scim_type, applied > 0),
        };
        let detail = LogDetail {
            took_us: micros(self.began.elapsed()),
            quirks: caller.trail.shown(),
            fates,
            operation: error.and_then(Error::operation),
            led: done.map(|done| done.led.clone()).unwrap_or_default(),
            shown: self.shown,
        };
        let entry = LogEntry {
            at: app.clock.now(),
            code,
            detail,
            request_id: caller.request_id.clone(),
            method: self.method.to_owned(),
            kind: Some(self.kind),
            resource: self.resource.or(made),
            status,
            scim_type: scim_type.map(str::to_owned),
            reason: error.map(|error| error.reason().to_owned()),
            applied,
            no_op,
            refused,
        };
        app.journal.log(&caller.tenant, &caller.connection, entry);
        caller.trail.add_logged();
    }

    /// RFC 7644 §3.3 to §3.6; a group's PATCH is answered without the group unless it is asked for.
    fn status(&self) -> u16 {
        match (self.method, self.kind) {
            ("POST", _) => 201,
            ("DELETE", _) | ("PATCH", ResourceKind::Group) => 204,
            _ => 200,
        }
    }
}

fn fate(done: Done) -> OperationFate {
    match done {
        Done::NoOp => OperationFate::NoOp,
        Done::Applied => OperationFate::Applied,
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}
