//! Writes of Users. Joiners, changes and leavers take the same line; a leaver's write is computed under
//! the person's lock and runs no tenant code, so that nothing can stand in its way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rolecall_scim::patch::{Done, Patch, Patched, Refusal};
use rolecall_scim::resource::{self, Document};
use rolecall_scim::schema::Schemas;
use rolecall_scim::{Quirk, ResourceKind, ScimError};
use serde_json::Value;

use super::people::{self, Case, Decided, Terms};
use super::{Applied, Caller, Failure, Report, check_version, is_skewed, new_resource_id, resource_event};
use crate::app::App;
use crate::crypto;
use crate::evaluation::{Evaluation, Outcome};
use crate::journal::Trail;
use crate::lifecycle::{house, probe};
use crate::model::{AccountId, ConnectionState, Instant, Led, NewEvent, OnReject, ProbeSettings, ResourceId};
use crate::store::{Change, Departed, Person, ResourceWrite, StoreError, StoredResource};
use crate::tenancy::{self, Active};

/// How an existing user is to be changed.
#[derive(Clone, Debug)]
pub enum Update {
    /// PUT: the body.
    Replace(Value),
    /// PATCH: the body.
    Patch(Value),
}

/// What the protocol makes of a request, before any decision.
struct Next {
    method: &'static str,
    document: Document,
    operations: Vec<Done>,
    changed: Vec<String>,
    ignored: Vec<String>,
    quirks: Vec<Quirk>,
    active: Option<bool>,
}

impl Next {
    fn report(&self) -> Report<'_> {
        let Self { method, operations, changed, ignored, active, .. } = self;
        Report { method, operations, changed, ignored, active: *active }
    }
}

impl Update {
    /// What becomes of a document, and nothing else.
    pub(super) fn document(&self, schemas: &Schemas, before: &Document) -> Result<Document, Refusal> {
        self.next(schemas, before, &Trail::default()).map(|next| next.document)
    }

    fn next(&self, schemas: &Schemas, before: &Document, trail: &Trail) -> Result<Next, Refusal> {
        match self {
            Self::Replace(body) => {
                let read = resource::read(schemas, ResourceKind::User, body, Some(before))?;
                let done = if read.document == *before { Done::NoOp } else { Done::Applied };
                let changed = read.document.changed_since(before);
                let active = activity(before, &read.document);
                let (document, operations, ignored, quirks) = (read.document, vec![done], read.ignored, read.quirks);
                Ok(Next { method: "PUT", document, operations, changed, ignored, quirks, active })
            }
            Self::Patch(body) => {
                let patch = Patch::parse_or_refusal(schemas, ResourceKind::User, body)?;
                trail.see(&patch.quirks);
                let Patched { document, operations, changed, ignored, quirks, .. } = patch.apply_or_refusal(schemas, before)?;
                let active = activity(before, &document);
                Ok(Next { method: "PATCH", document, operations, changed, ignored, quirks, active })
            }
        }
    }
}

/// Whether somebody is active, if that has changed.
fn activity(before: &Document, after: &Document) -> Option<bool> {
    let active = after.is_active();
    (before.is_active() != active).then_some(active)
}

/// POST.
pub(super) async fn create(app: &Arc<App>, caller: &Caller, body: &Value) -> Result<Applied, Failure> {
    let active = tenancy::active(app, &caller.tenant).await?;
    let schemas = tenancy::schemas(&active);
    let read = resource::read(&schemas, ResourceKind::User, body, None)?;
    caller.trail.see(&read.quirks);
    let now = app.clock.now();
    let id = new_resource_id(now);
    let revived = match read.document.text("externalId") {
        Some(external_id) => app.store.revivable(&caller.tenant, &caller.connection, external_id).await?,
        None => None,
    };
    let revives = revived.as_ref().map(|departed| departed.account.modified);
    let account = AccountId(crypto::random_id());
    // Somebody who has been in use is no test, whatever they are called.
    let nobody =
        |departed: &Departed| departed.account.user_name.is_none() && departed.grants.is_empty() && !house::has_moved(&departed.account);
    let was_nobody = revived.as_ref().is_none_or(nobody);
    let parked = probes(&active).parks_until(&read.document, now).filter(|_| was_nobody && caller.state != ConnectionState::Staging);
    let case = Case::new(id.clone(), caller.connection.clone(), read.document.clone(), account, revived, now);
    let (case, probe) = (Case { parked, ..case }, parked.is_some());
    let changed = read.document.paths();
    let event = (!probe).then(|| resource_event("user.created", &id, Report::created(&changed, &read.ignored)));
    let write = ResourceWrite::CreateUser { id: id.clone(), document: read.document, revives };
    let (version, document, led) = commit_decided(app, caller, &active, case, write, event, now).await?;
    let resource = StoredResource { id, kind: ResourceKind::User, document, version, created: now, modified: now };
    Ok(Applied { resource: Some(resource), operations: vec![Done::Applied], changed, quirks: read.quirks, led, probe })
}

/// PUT and PATCH.
pub(super) async fn update(
    app: &Arc<App>,
    caller: &Caller,
    id: &ResourceId,
    if_match: Option<i64>,
    update: Update,
) -> Result<Applied, Failure> {
    let active = tenancy::active(app, &caller.tenant).await?;
    let schemas = tenancy::schemas(&active);
    let person = read_person(app, caller, id).await?;
    check_version(if_match, &person.resource)?;
    if let Update::Replace(body) = &update
        && is_skewed(body, person.resource.modified, app.clock.now())
    {
        caller.trail.is_skewed();
    }
    let next = update.next(&schemas, &person.resource.document, &caller.trail)?;
    caller.trail.see(&next.quirks);
    if next.document == person.resource.document {
        let (resource, operations, quirks) = (Some(person.resource), next.operations, next.quirks);
        return Ok(Applied { resource, operations, changed: Vec::new(), quirks, led: Led::default(), probe: false });
    }
    if person.resource.document.is_active() && !next.document.is_active() {
        return leave(app, caller, active, id, if_match, update).await;
    }
    let now = app.clock.now();
    let before = person.resource.clone();
    let groups = person.groups.clone();
    let case = Case::of(person, next.document.clone(), groups);
    // A client's test person who gets another name is one no longer.
    let parked = case.waits_at(now).filter(|_| probes(&active).parks_until(&next.document, now).is_some());
    let (case, probe) = (Case { parked, ..case }, parked.is_some());
    let event = (!probe).then(|| resource_event("user.updated", id, next.report()));
    let write = ResourceWrite::UpdateUser { id: id.clone(), expected: before.version, document: next.document };
    let (version, document, led) = commit_decided(app, caller, &active, case, write, event, now).await?;
    let resource = StoredResource { document, version, modified: now, ..before };
    let (operations, changed, quirks) = (next.operations, next.changed, next.quirks);
    Ok(Applied { resource: Some(resource), operations, changed, quirks, led, probe })
}

/// DELETE: under the person's lock, without tenant code.
pub(super) async fn delete(app: &Arc<App>, caller: &Caller, id: &ResourceId, if_match: Option<i64>) -> Result<Applied, Failure> {
    let active = tenancy::active_if_loaded(app, &caller.tenant);
    let (caller_, now) = (caller.clone(), app.clock.now());
    let is_probe = Arc::new(AtomicBool::new(false));
    let is_probe_ = Arc::clone(&is_probe);
    let decide = move |person: &Person| {
        check_version(if_match, &person.resource)?;
        let case = Case::unchanged(person.clone());
        let is_parked = case.parked.is_some();
        is_probe_.store(is_parked, Ordering::Release);
        let settled = if is_parked { probe::remove(&case.standing()) } else { people::settle_removal(&case, &active, caller_.state, now) };
        let event = (!is_parked).then(|| resource_event("user.deleted", &person.resource.id, Report::DELETED));
        let write = ResourceWrite::DeleteUser { id: person.resource.id.clone() };
        let evaluation = Evaluation::inactive();
        Ok(change_of(&caller_, &active, Decided { case, evaluation, settled, as_of: now }, write, event, now))
    };
    let committed = match app.store.commit_locked(&caller.tenant, &caller.connection, id, Box::new(decide)).await {
        Ok(committed) => committed?,
        Err(StoreError::Missing(_)) => return Err(ScimError::not_found("such user").into()),
        Err(other) => return Err(other.into()),
    };
    app.wake.notify_one();
    let (led, probe) = (committed.led, is_probe.load(Ordering::Acquire));
    Ok(Applied { resource: None, operations: vec![Done::Applied], changed: Vec::new(), quirks: Vec::new(), led, probe })
}

/// A write that makes somebody inactive: computed again from what stands under the person's lock. It never loses a
/// race, and neither plugin nor policy is asked.
async fn leave(
    app: &Arc<App>,
    caller: &Caller,
    active: Active,
    id: &ResourceId,
    if_match: Option<i64>,
    update: Update,
) -> Result<Applied, Failure> {
    let now = app.clock.now();
    let answer = Arc::new(Mutex::new(None));
    let (caller_, answer_) = (caller.clone(), Arc::clone(&answer));
    let decide = move |person: &Person| {
        check_version(if_match, &person.resource)?;
        let schemas = tenancy::schemas(&active);
        let next = update.next(&schemas, &person.resource.document, &caller_.trail).map_err(|refusal| refusal.error)?;
        if next.document.is_active() {
            return Err(ScimError::status(409, "the user was changed meanwhile: read it again and repeat the change"));
        }
        let case = Case::of(person.clone(), next.document.clone(), person.groups.clone());
        let evaluation = Evaluation::inactive();
        let waits = case.waits_at(now);
        let settled = match waits {
            Some(until) => probe::park(&case.standing(), until),
            None => people::settle(&case, &evaluation, &active, Terms::of(caller_.state), now),
        };
        let event = waits.is_none().then(|| resource_event("user.updated", &person.resource.id, next.report()));
        let (id, expected, document) = (person.resource.id.clone(), person.resource.version, next.document.clone());
        let write = ResourceWrite::UpdateUser { id, expected, document };
        let decided = Decided { case, evaluation, settled, as_of: now };
        let change = change_of(&caller_, &active, decided, write, event, now);
        *answer_.lock().unwrap_or_else(PoisonError::into_inner) = Some((person.resource.clone(), next, waits.is_some()));
        Ok(change)
    };
    let committed = match app.store.commit_locked(&caller.tenant, &caller.connection, id, Box::new(decide)).await {
        Ok(committed) => committed?,
        Err(StoreError::Missing(_)) => return Err(ScimError::not_found("such user").into()),
        Err(other) => return Err(other.into()),
    };
    app.wake.notify_one();
    let (before, next, probe) = answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
        .ok_or_else(|| StoreError::Corrupt("a change was committed that nobody computed".into()))?;
    let version = committed.version.unwrap_or(before.version);
    let resource = StoredResource { document: next.document, version, modified: now, ..before };
    let (operations, changed, quirks, led) = (next.operations, next.changed, next.quirks, committed.led);
    Ok(Applied { resource: Some(resource), operations, changed, quirks, led, probe })
}

async fn read_person(app: &App, caller: &Caller, id: &ResourceId) -> Result<Person, Failure> {
    let people = app.store.people(&caller.tenant, &caller.connection, std::slice::from_ref(id)).await?;
    people.into_iter().next().ok_or_else(|| ScimError::not_found("such user").into())
}

/// Decides and commits one person's write; a name that is taken is found by the commit and decided once more.
/// Returns the new version, the document as committed and what it led to.
async fn commit_decided(
    app: &Arc<App>,
    caller: &Caller,
    active: &Active,
    mut case: Case,
    write: ResourceWrite,
    event: Option<NewEvent>,
    now: Instant,
) -> Result<(i64, Document, Led), Failure> {
    let document = case.subject.document.clone();
    let mut told_of_holder = false;
    loop {
        let mut verdicts = people::decide(app, &caller.tenant, active, vec![case.clone()], Terms::of(caller.state), now).await;
        let decided = verdicts.pop().ok_or_else(|| StoreError::Corrupt("a person was not decided".into()))?;
        refuse_if_asked(active, &decided.evaluation)?;
        let wanted = decided.wanted_name();
        let change = change_of(caller, active, decided, write.clone(), event.clone(), now);
        match app.store.commit(&caller.tenant, change).await {
            Ok(committed) => {
                app.wake.notify_one();
                return Ok((committed.version.unwrap_or(1), document, committed.led));
            }
            Err(StoreError::Conflict { what: "account_name" }) if !told_of_holder => {
                case.subject.collision = people::name_holder(app, &caller.tenant, wanted).await?;
                told_of_holder = true;
            }
            Err(other) => return Err(other.into()),
        }
    }
}

/// The tenant's clients' own tests.
pub(super) fn probes(active: &Active) -> &ProbeSettings {
    static USUAL: ProbeSettings = ProbeSettings::USUAL;
    active.built.as_ref().map_or(&USUAL, |revision| &revision.probes)
}

/// A refusal by the mapping answers 400 where the tenant chose that.
fn refuse_if_asked(active: &Active, evaluation: &Evaluation) -> Result<(), ScimError> {
    match (&evaluation.outcome, &active.built) {
        (Outcome::Refused(note), Some(revision)) if revision.decisions.on_reject == OnReject::Refuse => {
            let at = note.path.as_deref().map(|path| format!(" (at `{path}`)")).unwrap_or_default();
            Err(ScimError::invalid_value(format!("the tenant's mapping refuses this user: {}{at}", note.message)))
        }
        _ => Ok(()),
    }
}

fn change_of(caller: &Caller, active: &Active, decided: Decided, write: ResourceWrite, event: Option<NewEvent>, now: Instant) -> Change {
    let event = event.map(|event| NewEvent { account: Some(decided.case.account.id.clone()), ..event });
    let outcome = decided.into_outcome(active);
    let mut change = caller.change(active, write, event, now);
    change.persons.push(outcome);
    change
}
