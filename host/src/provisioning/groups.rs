//! Writes of Groups. Members are rows: a change is the difference, and the people whom it concerns are decided
//! with the write itself up to [`INLINE_PEOPLE_LIMIT`]; beyond that the store marks them and the worker follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rolecall_scim::filter::Filter;
use rolecall_scim::patch::{Done, MemberChange, Patch, Patched, Refusal, member_matches};
use rolecall_scim::resource::{self, Document};
use rolecall_scim::schema::Schemas;
use rolecall_scim::{Quirk, ResourceKind, ScimError};
use serde_json::{Value, json};

use super::people::{self, Case, Terms};
use super::{Applied, Caller, Failure, Report, check_version, new_resource_id, resource_event};
use crate::app::App;
use crate::model::{Cause, GroupMembership, Instant, Led, NewEvent, ResourceId};
use crate::store::{
    Change, Committed, HandleBinding, INLINE_PEOPLE_LIMIT, Person, ResourceWrite, Stale, StoreError, StoredMember, StoredResource,
};
use crate::tenancy::{self, Active, handles};

/// The most members that a request may add or name: one body of the largest size holds fewer.
const MEMBERS_IN_REQUEST_LIMIT: usize = 20_000;
/// The most members of a client's test group that are looked at: clients have one.
const PROBE_MEMBERS_LIMIT: usize = 20;
/// The attribute that is rows.
const MEMBERS: &str = "members";
/// The most members of a group that a PUT or a filtered removal compares with.
const MEMBERS_COMPARED_LIMIT: i64 = 200_000;

/// The most members that the operations of one request look at together: each that has a filter looks at all.
const LOOKS_LIMIT: usize = 1_000_000;

/// What a request asks of an existing group.
struct Asked {
    method: &'static str,
    document: Document,
    members: Vec<MemberChange>,
    /// For each of `members`: the operation that asks for it, and whether it asks for nothing else that changes something.
    member_operations: Vec<(usize, bool)>,
    operations: Vec<Done>,
    changed: Vec<String>,
    ignored: Vec<String>,
    quirks: Vec<Quirk>,
}

/// Which memberships change.
#[derive(Debug, Default)]
struct Difference {
    add: BTreeSet<String>,
    remove: BTreeSet<String>,
    /// What each change asked for, in order.
    steps: Vec<MemberStep>,
    /// Whether it was computed from the members as read: then the group's version must not move.
    compared: bool,
}

/// What one change of members takes out and puts in.
#[derive(Debug, Default)]
struct MemberStep {
    take: Vec<String>,
    put: Vec<String>,
}

/// POST.
pub(super) async fn create(app: &Arc<App>, caller: &Caller, body: &Value) -> Result<Applied, Failure> {
    let active = tenancy::active(app, &caller.tenant).await?;
    let schemas = tenancy::schemas(&active);
    let read = resource::read(&schemas, ResourceKind::Group, body, None)?;
    caller.trail.see(&read.quirks);
    let members = read.members.unwrap_or_default();
    check_count(members.len())?;
    let now = app.clock.now();
    let id = new_resource_id(now);
    let resource =
        StoredResource { id: id.clone(), kind: ResourceKind::Group, document: read.document, version: 1, created: now, modified: now };
    let binding = handles::binding_for(app, &caller.tenant, active.built.as_ref(), &caller.connection, &resource).await?;
    let ids: Vec<ResourceId> = members.into_iter().map(ResourceId).collect();
    let has_members = !ids.is_empty();
    let affected = people_within_limit(app, caller, &ids).await?;
    // A client's test group with its test people: it stands for nothing, and gets no handle.
    let probe = has_members != affected.is_empty() && is_probe(&active, &resource.document, &affected);
    let binding = binding.filter(|_| !probe);
    // The group has no row yet: its own membership is all that these people gain.
    let gained = binding
        .as_ref()
        .filter(|binding| binding.confirmed)
        .map(|binding| GroupMembership { handle: binding.handle.0.clone(), chain: vec![binding.handle.0.clone()] });
    let cases = affected.into_iter().map(|person| {
        let groups = person.groups.iter().cloned().chain(gained.clone()).collect();
        let document = person.resource.document.clone();
        Case::of(person, document, groups)
    });
    let write = ResourceWrite::CreateGroup { id: id.clone(), document: resource.document.clone(), members: ids };
    let mut changed = resource.document.paths();
    changed.extend(has_members.then(|| MEMBERS.to_owned()));
    let event = (!probe).then(|| resource_event("group.created", &id, Report::created(&changed, &read.ignored)));
    let committed = commit(app, caller, &active, cases.collect(), write, binding, event, now).await?;
    let version = committed.version.unwrap_or(1);
    let resource = StoredResource { version, ..resource };
    let led = committed.led;
    Ok(Applied { resource: Some(resource), operations: vec![Done::Applied], changed, quirks: read.quirks, led, probe })
}

/// PUT: the difference is written.
pub(super) async fn replace(
    app: &Arc<App>,
    caller: &Caller,
    id: &ResourceId,
    if_match: Option<i64>,
    body: &Value,
) -> Result<Applied, Failure> {
    change(app, caller, id, if_match, &[], |schemas, before| {
        let read = resource::read(schemas, ResourceKind::Group, body, Some(before))?;
        // RFC 7644 §3.5.1: what a PUT leaves out is removed.
        let members = vec![MemberChange::Replace(read.members.unwrap_or_default())];
        let (changed, member_operations) = (read.document.changed_since(before), vec![(0, read.document == *before)]);
        let (document, operations, ignored, quirks) = (read.document, vec![Done::Applied], read.ignored, read.quirks);
        Ok(Asked { method: "PUT", document, members, member_operations, operations, changed, ignored, quirks })
    })
    .await
}

/// PATCH.
pub(super) async fn patch(
    app: &Arc<App>,
    caller: &Caller,
    id: &ResourceId,
    if_match: Option<i64>,
    body: &Value,
) -> Result<Applied, Failure> {
    let ask = |schemas: &Schemas, before: &Document| {
        let patch = Patch::parse_or_refusal(schemas, ResourceKind::Group, body)?;
        caller.trail.see(&patch.quirks);
        let patched = patch.apply_or_refusal(schemas, before)?;
        let Patched { document, members, member_operations, operations, changed, ignored, quirks } = patched;
        Ok(Asked { method: "PATCH", document, members, member_operations, operations, changed, ignored, quirks })
    };
    match change(app, caller, id, if_match, &[], ask).await {
        // Adding somebody who never was is a no-op, as with somebody who is gone: refusing would also refuse the removals
        // beside it, and so keep access alive. Who replaces all members has to name them rightly, or would lose them.
        Err(Failure::Store(StoreError::UnknownMembers(unknown))) => change(app, caller, id, if_match, &unknown, ask).await,
        done => done,
    }
}

/// `unknown` are ids that the store doesn't know: nobody of them is added.
async fn change(
    app: &Arc<App>,
    caller: &Caller,
    id: &ResourceId,
    if_match: Option<i64>,
    unknown: &[String],
    ask: impl FnOnce(&Schemas, &Document) -> Result<Asked, Refusal>,
) -> Result<Applied, Failure> {
    let active = tenancy::active(app, &caller.tenant).await?;
    let schemas = tenancy::schemas(&active);
    let before = read_group(app, caller, id).await?;
    check_version(if_match, &before)?;
    let mut asked = ask(&schemas, &before.document)?;
    asked.add_nobody_of(unknown);
    caller.trail.see(&asked.quirks);
    let difference = difference(app, caller, &schemas, id, &asked).await?;
    let candidates: Vec<ResourceId> = difference.add.union(&difference.remove).map(|id| ResourceId(id.clone())).collect();
    check_count(candidates.len())?;
    let present: BTreeSet<String> =
        app.store.which_members(&caller.tenant, &caller.connection, id, &candidates).await?.into_iter().map(|member| member.id.0).collect();
    tell_operations(&mut asked, &difference.steps, &present);
    let add: Vec<ResourceId> = difference.add.iter().filter(|id| !present.contains(*id)).cloned().map(ResourceId).collect();
    let remove: Vec<ResourceId> = difference.remove.iter().filter(|id| present.contains(*id)).cloned().map(ResourceId).collect();
    if !add.is_empty() && !difference.compared && difference.add.len() > add.len() {
        caller.trail.see(&[Quirk::MembersResent]);
    }
    let document = (asked.document != before.document).then(|| asked.document.clone());
    if add.is_empty() && remove.is_empty() && document.is_none() {
        let operations = asked.operations.iter().map(|_| Done::NoOp).collect();
        let quirks = asked.quirks;
        return Ok(Applied { resource: Some(before), operations, changed: Vec::new(), quirks, led: Led::default(), probe: false });
    }
    asked.changed.retain(|path| path != MEMBERS);
    if !add.is_empty() || !remove.is_empty() {
        asked.changed.push(MEMBERS.to_owned());
    }
    let now = app.clock.now();
    let cases = difference_cases(app, caller, id, &add, &remove).await?;
    // A document that was computed from what was read needs that version, and so do compared members; deltas commute.
    let expected = (document.is_some() || difference.compared).then_some(before.version).or(if_match);
    let renamed = document.as_ref().is_some_and(|next| next.text("displayName") != before.document.text("displayName"));
    let probe = document.is_none() && are_probes(app, caller, &active, &before.document, add.iter().chain(&remove)).await?;
    let write = ResourceWrite::UpdateGroup { id: id.clone(), expected, document: document.clone(), add, remove };
    let report =
        Report { method: asked.method, operations: &asked.operations, changed: &asked.changed, ignored: &asked.ignored, active: None };
    let event = (!probe).then(|| resource_event("group.updated", id, report));
    let committed = commit(app, caller, &active, cases, write, None, event, now).await?;
    if renamed {
        // A handle is sticky; only a group that never got one may get one by its new name.
        handles::bind_unbound(app, &caller.tenant, Some(id)).await?;
    }
    let version = committed.version.unwrap_or(before.version);
    let resource = StoredResource { document: document.unwrap_or_else(|| before.document.clone()), version, modified: now, ..before };
    let led = committed.led;
    Ok(Applied { resource: Some(resource), operations: asked.operations, changed: asked.changed, quirks: asked.quirks, led, probe })
}

/// DELETE.
pub(super) async fn delete(app: &Arc<App>, caller: &Caller, id: &ResourceId, if_match: Option<i64>) -> Result<Applied, Failure> {
    let active = tenancy::active(app, &caller.tenant).await?;
    let before = read_group(app, caller, id).await?;
    check_version(if_match, &before)?;
    let (tenant, connection) = (&caller.tenant, &caller.connection);
    let below = app.store.users_below(tenant, connection, std::slice::from_ref(id), INLINE_PEOPLE_LIMIT).await?;
    let are_few = below.is_some();
    let below = below.unwrap_or_default();
    let people = app.store.people(tenant, connection, &below).await?;
    let probe = are_few && is_probe(&active, &before.document, &people);
    let mut groups = app.store.memberships_if(tenant, connection, &below, &[], &[], Some(id)).await?;
    let cases = people.into_iter().map(|person| {
        let memberships = groups.remove(&person.resource.id).unwrap_or_default();
        let document = person.resource.document.clone();
        Case::of(person, document, memberships)
    });
    let now = app.clock.now();
    let event = (!probe).then(|| resource_event("group.deleted", id, Report::DELETED));
    let write = ResourceWrite::DeleteGroup { id: id.clone() };
    let led = commit(app, caller, &active, cases.collect(), write, None, event, now).await?.led;
    let name = before.document.text("displayName").unwrap_or_default();
    if active.built.as_ref().is_some_and(|revision| revision.handle_for(name).is_some()) {
        // Another group of this name may have been made before this one went: it gets the handle.
        app.freed.note(tenant);
        app.wake.notify_one();
    }
    Ok(Applied { resource: None, operations: vec![Done::Applied], changed: Vec::new(), quirks: Vec::new(), led, probe })
}

/// Whether it is a client's test group, in which nobody is concerned but its test people.
fn is_probe(active: &Active, document: &Document, concerned: &[Person]) -> bool {
    super::users::probes(active).is_group(document) && concerned.iter().all(|person| Case::parked_until(person).is_some())
}

/// Whether it is a client's test group, and these are its test people: few, and nobody else.
async fn are_probes(
    app: &App,
    caller: &Caller,
    active: &Active,
    document: &Document,
    members: impl Iterator<Item = &ResourceId>,
) -> Result<bool, Failure> {
    if !super::users::probes(active).is_group(document) {
        return Ok(false);
    }
    let members: Vec<ResourceId> = members.take(PROBE_MEMBERS_LIMIT + 1).cloned().collect();
    if members.len() > PROBE_MEMBERS_LIMIT {
        return Ok(false);
    }
    let people = app.store.people(&caller.tenant, &caller.connection, &members).await?;
    Ok(people.len() == members.len() && is_probe(active, document, &people))
}

async fn read_group(app: &App, caller: &Caller, id: &ResourceId) -> Result<StoredResource, Failure> {
    let group = app.store.resource(&caller.tenant, &caller.connection, ResourceKind::Group, id).await?;
    group.ok_or_else(|| ScimError::not_found("such group").into())
}

fn check_count(members: usize) -> Result<(), ScimError> {
    if members > MEMBERS_IN_REQUEST_LIMIT {
        let detail =
            format!("a request may change at most {MEMBERS_IN_REQUEST_LIMIT} members, not {members}: send them in several requests");
        return Err(ScimError::status(413, detail));
    }
    Ok(())
}

/// Folds the request's member changes, in their order, into one difference.
async fn difference(app: &App, caller: &Caller, schemas: &Schemas, id: &ResourceId, asked: &Asked) -> Result<Difference, Failure> {
    let mut difference = Difference::default();
    let mut directory: Option<Directory> = None;
    let mut looks = 0;
    for (change, (operation, _)) in asked.members.iter().zip(&asked.member_operations) {
        match change {
            MemberChange::Add(ids) => difference.step(Vec::new(), ids.clone()),
            MemberChange::Remove(ids) => difference.step(ids.clone(), Vec::new()),
            MemberChange::Replace(_) | MemberChange::RemoveMatching(_) | MemberChange::ReplaceMatching(..) => {
                let directory = match &mut directory {
                    Some(directory) => directory,
                    none => none.insert(Directory::read(app, caller, id, &asked.members).await?),
                };
                difference.compared = true;
                let present = difference.present(directory);
                looks += match change {
                    MemberChange::RemoveMatching(filter) | MemberChange::ReplaceMatching(filter, _) => present.len() * filter.looks(),
                    _ => present.len(),
                };
                if looks > LOOKS_LIMIT {
                    let detail = format!(
                        "its operations look at more than {LOOKS_LIMIT} members together: send them in several requests, or name members by id"
                    );
                    return Err(ScimError::status(413, detail).into());
                }
                let matching = |filter: &Filter| -> Vec<String> {
                    present.iter().filter(|(_, member)| member_matches(schemas, filter, member)).map(|(id, _)| id.to_string()).collect()
                };
                match change {
                    MemberChange::RemoveMatching(filter) => difference.step(matching(filter), Vec::new()),
                    MemberChange::ReplaceMatching(filter, by) => match matching(filter) {
                        nobody if nobody.is_empty() => return Err(Refusal::no_member(*operation).into()),
                        matching => difference.step(matching, by.iter().cloned().collect()),
                    },
                    MemberChange::Replace(wanted) => {
                        let all: Vec<String> = present.into_iter().map(|(id, _)| id.clone()).collect();
                        difference.step(all, wanted.clone());
                    }
                    MemberChange::Add(_) | MemberChange::Remove(_) => {}
                }
            }
        }
    }
    Ok(difference)
}

/// Tells of each operation that changes members whether it did, from who was a member before; and whose habit it is to send
/// members again.
fn tell_operations(asked: &mut Asked, steps: &[MemberStep], present: &BTreeSet<String>) {
    let mut members: BTreeSet<&str> = present.iter().map(String::as_str).collect();
    let mut changing = BTreeSet::new();
    let mut resent = false;
    for (step, (operation, _)) in steps.iter().zip(&asked.member_operations) {
        let put: BTreeSet<&str> = step.put.iter().map(String::as_str).collect();
        let new = put.iter().filter(|id| !members.contains(*id)).count();
        let gone = step.take.iter().filter(|id| members.contains(id.as_str()) && !put.contains(id.as_str())).count();
        resent |= step.take.is_empty() && new > 0 && new < put.len();
        if new + gone > 0 {
            changing.insert(*operation);
        }
        for id in &step.take {
            members.remove(id.as_str());
        }
        members.extend(put);
    }
    for (operation, alone) in &asked.member_operations {
        if *alone && !changing.contains(operation) {
            asked.operations[*operation] = Done::NoOp;
        }
    }
    if resent && !asked.quirks.contains(&Quirk::MembersResent) {
        asked.quirks.push(Quirk::MembersResent);
    }
}

impl Asked {
    /// Leaves out of what is added who is known never to have been.
    fn add_nobody_of(&mut self, unknown: &[String]) {
        if unknown.is_empty() {
            return;
        }
        let unknown: BTreeSet<&String> = unknown.iter().collect();
        for change in &mut self.members {
            if let MemberChange::Add(ids) = change {
                ids.retain(|id| !unknown.contains(id));
            }
        }
        self.quirks.push(Quirk::UnknownMember);
    }
}

impl Difference {
    fn step(&mut self, take: Vec<String>, put: Vec<String>) {
        self.take(&take);
        self.put(&put);
        self.steps.push(MemberStep { take, put });
    }

    fn put(&mut self, ids: &[String]) {
        for id in ids {
            self.remove.remove(id);
            self.add.insert(id.clone());
        }
    }

    fn take(&mut self, ids: &[String]) {
        for id in ids {
            self.add.remove(id);
            self.remove.insert(id.clone());
        }
    }

    /// The members with the changes so far, as filters see them.
    fn present<'d>(&self, directory: &'d Directory) -> Vec<(&'d String, &'d Value)> {
        let kept = directory.stored.iter().filter(|(id, _)| !self.remove.contains(*id));
        let added = directory.named.iter().filter(|(id, _)| self.add.contains(*id) && !directory.stored.contains_key(*id));
        kept.chain(added).collect()
    }
}

/// Members as filters see them, by id.
struct Directory {
    /// Who is in the group.
    stored: BTreeMap<String, Value>,
    /// Whom the request puts in: an operation sees what those before it made (RFC 7644 §3.5.2).
    named: BTreeMap<String, Value>,
}

impl Directory {
    async fn read(app: &App, caller: &Caller, group: &ResourceId, changes: &[MemberChange]) -> Result<Self, Failure> {
        let (tenant, connection) = (&caller.tenant, &caller.connection);
        let mut stored = app.store.members(tenant, connection, std::slice::from_ref(group), MEMBERS_COMPARED_LIMIT + 1).await?;
        let stored = stored.remove(group).unwrap_or_default();
        if i64::try_from(stored.len()).unwrap_or(i64::MAX) > MEMBERS_COMPARED_LIMIT {
            let detail = format!("the group has more than {MEMBERS_COMPARED_LIMIT} members: change them with PATCH add and remove");
            return Err(ScimError::status(413, detail).into());
        }
        let mut named = BTreeSet::new();
        for change in changes {
            match change {
                MemberChange::Add(ids) | MemberChange::Replace(ids) => named.extend(ids),
                MemberChange::ReplaceMatching(_, by) => named.extend(by),
                MemberChange::Remove(_) | MemberChange::RemoveMatching(_) => {}
            }
        }
        check_count(named.len())?;
        let named: Vec<ResourceId> = named.into_iter().cloned().map(ResourceId).collect();
        let named = if changes.len() == 1 { Vec::new() } else { app.store.as_members(tenant, connection, &named).await? };
        Ok(Self { stored: by_id(stored), named: by_id(named) })
    }
}

fn by_id(members: Vec<StoredMember>) -> BTreeMap<String, Value> {
    let as_json = |member: &StoredMember| json!({"value": member.id, "type": member.kind.name(), "display": member.display});
    members.into_iter().map(|member| (member.id.0.clone(), as_json(&member))).collect()
}

/// The people among the ids, unless they are too many to be decided here: then the store marks them.
async fn people_within_limit(app: &App, caller: &Caller, ids: &[ResourceId]) -> Result<Vec<Person>, Failure> {
    if ids.len() > INLINE_PEOPLE_LIMIT {
        return Ok(Vec::new());
    }
    Ok(app.store.people(&caller.tenant, &caller.connection, ids).await?)
}

async fn difference_cases(
    app: &App,
    caller: &Caller,
    group: &ResourceId,
    add: &[ResourceId],
    remove: &[ResourceId],
) -> Result<Vec<Case>, Failure> {
    if add.len() + remove.len() > INLINE_PEOPLE_LIMIT {
        return Ok(Vec::new());
    }
    let (tenant, connection) = (&caller.tenant, &caller.connection);
    let group = std::slice::from_ref(group);
    let mut cases = Vec::new();
    for (ids, plus, minus) in [(add, group, &[][..]), (remove, &[][..], group)] {
        if ids.is_empty() {
            continue;
        }
        let people = app.store.people(tenant, connection, ids).await?;
        let users: Vec<ResourceId> = people.iter().map(|person| person.resource.id.clone()).collect();
        let mut groups = app.store.memberships_if(tenant, connection, &users, plus, minus, None).await?;
        cases.extend(people.into_iter().map(|person| {
            let memberships = groups.remove(&person.resource.id).unwrap_or_default();
            let document = person.resource.document.clone();
            Case::of(person, document, memberships)
        }));
    }
    Ok(cases)
}

/// Decides the people and commits them with the write. Where an account's name turns out to be taken, the people are
/// left to the worker, which finds the holder of each: the group's write is never refused over one of them.
#[expect(clippy::too_many_arguments, reason = "the parts of one change, named where it is made")]
async fn commit(
    app: &Arc<App>,
    caller: &Caller,
    active: &Active,
    cases: Vec<Case>,
    write: ResourceWrite,
    bind_handle: Option<HandleBinding>,
    event: Option<NewEvent>,
    now: Instant,
) -> Result<Committed, Failure> {
    let decided = people::decide(app, &caller.tenant, active, cases, Terms::of(caller.state), now).await;
    let mut change = Change { stale: Stale::MarkPending(Cause::GroupChange), bind_handle, ..caller.change(active, write, event, now) };
    change.persons.extend(decided.into_iter().map(|person| person.into_outcome(active)));
    let committed = match app.store.commit(&caller.tenant, change.clone()).await {
        Err(StoreError::Conflict { what: "account_name" }) => {
            app.store.commit(&caller.tenant, Change { persons: Vec::new(), ..change }).await?
        }
        other => other?,
    };
    app.wake.notify_one();
    Ok(committed)
}
