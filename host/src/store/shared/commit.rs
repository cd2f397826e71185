//! The one transaction of a change. Its steps, in the order in which everybody takes locks: the revision, the structure of
//! groups, people by id, the resource, accounts.

use std::collections::{BTreeMap, BTreeSet};

use rolecall_scim::{ResourceKind, ScimError};

use super::batch::Batch;
use super::history::{self, Stamp};
use super::rows::kind_of;
use super::work::{Below, fan_out, mark, mark_waiting_for};
use super::{Conn, Scope, accounts, groups, guard, lock_revision, lock_structure, people, records, resources, rulings, steps, text_list};
use crate::model::{AccountId, Cause, ConnectionId, Instant, Led, NewEvent, Passage, ResourceId, RevisionHash, TenantId};
use crate::store::{
    Change, Committed, Effect, HandleBinding, INLINE_PEOPLE_LIMIT, LockedDecision, PersonOutcome, ResourceWrite, Result, Stale, StoreError,
};

/// People whose evaluations one statement writes: far below both databases' limits on parameters.
const STAMPED_AT_ONCE: usize = 500;

/// Whether another active revision than the change was computed under refuses the change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RevisionCheck {
    /// It does.
    Refuse,
    /// It leaves the people pending.
    LeavePending,
}

/// Commits a change.
pub(super) async fn commit(conn: &mut Conn, scope: &Scope, mut change: Change, check: RevisionCheck) -> Result<Committed> {
    lock_revision(conn, &scope.tenant, false).await?;
    let (active, guarded) = active_revision(conn, &scope.tenant, &change.connection).await?;
    if !guarded {
        change.persons.iter_mut().for_each(|outcome| outcome.guarded = None);
    }
    if check == RevisionCheck::Refuse && !change.persons.is_empty() && change.revision != active {
        return Err(StoreError::Conflict { what: "revision" });
    }
    let mut work = Committing::new(conn, scope, change, active);
    let write = work.change.write.take();
    let writes_group =
        matches!(write, Some(ResourceWrite::CreateGroup { .. } | ResourceWrite::UpdateGroup { .. } | ResourceWrite::DeleteGroup { .. }));
    let members = work.look_up_members(write.as_ref()).await?;
    work.lock_people(write.as_ref()).await?;
    work.sort_out_stale(write.as_ref()).await?;
    match write {
        Some(ResourceWrite::CreateUser { id, document, revives }) => work.create_user(id, &document, revives).await?,
        Some(ResourceWrite::UpdateUser { id, expected, document }) => {
            let row = (ResourceKind::User, &id, &document);
            work.out.version = Some(
                resources::update(work.conn, &mut work.batch, work.tenant, &work.connection, row, Some(expected), work.change.at).await?,
            );
            work.mark_later(Cause::UserWrite, id);
        }
        Some(ResourceWrite::DeleteUser { id }) => work.delete_user(id).await?,
        Some(ResourceWrite::CreateGroup { id, document, members: _ }) => work.create_group(&id, &document, members).await?,
        Some(ResourceWrite::UpdateGroup { id, expected, document, add: _, remove }) => {
            work.update_group(&id, expected, document.as_ref(), members, &remove).await?;
        }
        Some(ResourceWrite::DeleteGroup { id }) => work.delete_group(&id).await?,
        None => {}
    }
    if let Some(binding) = work.change.bind_handle.take() {
        work.bind_handle(&binding).await?;
    }
    if writes_group {
        work.compare_groups().await?;
    }
    work.apply_outcomes().await?;
    work.mark_others().await?;
    work.finish().await
}

/// Locks the person, lets `decide` compute the change, and commits it.
pub(super) async fn commit_locked(
    conn: &mut Conn,
    scope: &Scope,
    connection: &ConnectionId,
    user: &ResourceId,
    decide: LockedDecision<'static>,
) -> Result<Result<Committed, ScimError>> {
    lock_revision(conn, &scope.tenant, false).await?;
    lock_evaluations(conn, &scope.tenant, connection, [user.as_str()]).await?;
    sqlx::query(concat!("SELECT 1 FROM resources WHERE tenant = $1 AND connection = $2 AND id = $3", for_update!()))
        .bind(scope.tenant.as_str())
        .bind(connection.as_str())
        .bind(user.as_str())
        .execute(&mut *conn)
        .await?;
    let person = people::read(conn, &scope.tenant, connection, std::slice::from_ref(user)).await?.pop();
    match decide(&person.ok_or(StoreError::Missing("user"))?) {
        Ok(change) => commit(conn, scope, change, RevisionCheck::LeavePending).await.map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// The active revision, and whether the guard counts the connection's people.
async fn active_revision(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId) -> Result<(Option<RevisionHash>, bool)> {
    let active: Option<(Option<String>, bool)> = sqlx::query_as(
        "SELECT t.active_revision, c.guarded FROM tenants t JOIN connections c ON c.tenant = t.tenant WHERE t.tenant = $1 AND c.connection = $2",
    )
    .bind(tenant.as_str())
    .bind(connection.as_str())
    .fetch_optional(conn)
    .await?;
    let (revision, guarded) = active.ok_or(StoreError::Missing("connection"))?;
    Ok((revision.map(RevisionHash), guarded))
}

/// The user that a write creates.
fn created_by(write: Option<&ResourceWrite>) -> Option<&ResourceId> {
    match write {
        Some(ResourceWrite::CreateUser { id, .. }) => Some(id),
        _ => None,
    }
}

/// Users with their `input_version` and account, locked in the order of their ids.
pub(super) const LOCK_EVALUATIONS: &str = concat!(
    "SELECT e.resource, e.input_version, l.account FROM evaluations e",
    joined!("links", "l", "l.tenant = e.tenant AND l.connection = e.connection AND l.resource = e.resource"),
    " WHERE e.tenant = $1 AND e.connection = $2 AND ",
    any_of!("e.resource", "$3"),
    " ORDER BY e.resource",
    for_update_of!("e")
);

/// [`LOCK_EVALUATIONS`].
pub(super) async fn lock_evaluations<'u>(
    conn: &mut Conn,
    tenant: &TenantId,
    connection: &ConnectionId,
    users: impl IntoIterator<Item = &'u str>,
) -> Result<BTreeMap<ResourceId, (i64, AccountId)>> {
    let locked: Vec<(String, i64, String)> =
        sqlx::query_as(LOCK_EVALUATIONS).bind(tenant.as_str()).bind(connection.as_str()).bind(text_list(users)).fetch_all(conn).await?;
    Ok(locked.into_iter().map(|(user, version, account)| (ResourceId(user), (version, AccountId(account)))).collect())
}

/// What is written of an evaluation.
struct Evaluated {
    input_version: i64,
    cause: Option<Cause>,
    due: Option<Instant>,
    is_verdict: bool,
}

/// What is written alike of several people's evaluations.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Stamped {
    next: Option<Instant>,
    cause: Option<Cause>,
    attempts: i64,
    due: Option<Instant>,
    /// The revision and the instant of a verdict.
    verdict: Option<(Option<RevisionHash>, Instant)>,
}

/// A change on its way through its steps.
struct Committing<'a> {
    conn: &'a mut Conn,
    scope: &'a Scope,
    tenant: &'a TenantId,
    connection: ConnectionId,
    /// What is left to do of the change.
    change: Change,
    active: Option<RevisionHash>,
    /// The locked people.
    locked: BTreeMap<ResourceId, (i64, AccountId)>,
    /// The user that this change creates.
    created: Option<ResourceId>,
    /// The account that it makes for that user, unless a removed one comes back.
    new: Option<AccountId>,
    /// The user that this change deletes.
    deleted: Option<ResourceId>,
    /// People to be marked, unless an outcome of theirs is applied.
    to_mark: BTreeMap<ResourceId, Cause>,
    /// Names that nobody has any more.
    freed: Vec<String>,
    /// The name that somebody who comes back had, and has no longer.
    let_go: Option<String>,
    /// What is written together with the events.
    batch: Batch,
    /// What targets alone are told with the events.
    secrets: history::Secrets,
    out: Committed,
}

impl<'a> Committing<'a> {
    fn new(conn: &'a mut Conn, scope: &'a Scope, change: Change, active: Option<RevisionHash>) -> Self {
        Self {
            conn,
            tenant: &scope.tenant,
            scope,
            connection: change.connection.clone(),
            change,
            active,
            locked: BTreeMap::new(),
            created: None,
            new: None,
            deleted: None,
            to_mark: BTreeMap::new(),
            freed: Vec::new(),
            let_go: None,
            batch: Batch::new(),
            secrets: history::Secrets::new(),
            out: Committed::default(),
        }
    }

    fn mark_later(&mut self, cause: Cause, user: ResourceId) {
        self.to_mark.entry(user).or_insert(cause);
    }

    /// Who is named as a new member: those who exist, with their kinds. The deleted are counted, the unknown refused. Takes the
    /// lock on the structure of groups: alone where groups are put into groups, or out of them.
    async fn look_up_members(&mut self, write: Option<&ResourceWrite>) -> Result<Vec<(ResourceId, ResourceKind)>> {
        let binds = self.change.bind_handle.is_some();
        let (add, remove, alone) = match write {
            // Nothing is above a new group yet.
            Some(ResourceWrite::CreateGroup { members, .. }) => (members.as_slice(), &[][..], false),
            Some(ResourceWrite::UpdateGroup { add, remove, .. }) => (add.as_slice(), remove.as_slice(), binds),
            Some(ResourceWrite::DeleteGroup { .. }) => (&[][..], &[][..], true),
            _ if binds => (&[][..], &[][..], true),
            _ => return Ok(Vec::new()),
        };
        let named = self.kinds(add.iter().chain(remove)).await?;
        let alone = alone || named.values().any(|kind| *kind == ResourceKind::Group);
        lock_structure(self.conn, self.tenant, &self.connection, alone).await?;
        let mut members = Vec::with_capacity(add.len());
        let mut absent = Vec::new();
        for id in add {
            match named.get(id) {
                Some(kind) => members.push((id.clone(), *kind)),
                None => absent.push(id),
            }
        }
        self.sort_out_absent(&absent).await?;
        Ok(members)
    }

    async fn kinds(&mut self, ids: impl Iterator<Item = &ResourceId> + Send) -> Result<BTreeMap<ResourceId, ResourceKind>> {
        let ids = text_list(ids.map(ResourceId::as_str));
        let rows: Vec<(String, String)> =
            sqlx::query_as(concat!("SELECT id, kind FROM resources WHERE tenant = $1 AND connection = $2 AND ", any_of!("id", "$3")))
                .bind(self.tenant.as_str())
                .bind(self.connection.as_str())
                .bind(ids)
                .fetch_all(&mut *self.conn)
                .await?;
        rows.into_iter().map(|(id, kind)| Ok((ResourceId(id), kind_of(&kind)?))).collect()
    }

    /// Members that are not there: deleted ones are gone, others never were.
    async fn sort_out_absent(&mut self, absent: &[&ResourceId]) -> Result<()> {
        if absent.is_empty() {
            return Ok(());
        }
        let deleted: Vec<String> =
            sqlx::query_scalar(concat!("SELECT id FROM deleted_resources WHERE tenant = $1 AND connection = $2 AND ", any_of!("id", "$3")))
                .bind(self.tenant.as_str())
                .bind(self.connection.as_str())
                .bind(text_list(absent.iter().map(|id| id.as_str())))
                .fetch_all(&mut *self.conn)
                .await?;
        let deleted: BTreeSet<String> = deleted.into_iter().collect();
        let (gone, unknown): (Vec<&ResourceId>, Vec<&ResourceId>) = absent.iter().partition(|id| deleted.contains(id.as_str()));
        self.out.gone.extend(gone.into_iter().cloned());
        if unknown.is_empty() { Ok(()) } else { Err(StoreError::UnknownMembers(unknown.into_iter().map(|id| id.0.clone()).collect())) }
    }

    /// Locks everybody whom the change names, before any group: that is the order in which deletions lock as well.
    async fn lock_people(&mut self, write: Option<&ResourceWrite>) -> Result<()> {
        let named: Vec<&ResourceId> = match write {
            Some(ResourceWrite::CreateGroup { members, .. }) => members.iter().collect(),
            Some(ResourceWrite::UpdateGroup { add, remove, .. }) => add.iter().chain(remove).collect(),
            Some(ResourceWrite::UpdateUser { id, .. } | ResourceWrite::DeleteUser { id }) => vec![id],
            Some(ResourceWrite::CreateUser { .. } | ResourceWrite::DeleteGroup { .. }) | None => Vec::new(),
        };
        // Nobody else knows of a user that is only just created.
        let created = created_by(write);
        let persons = self.change.persons.iter().map(|person| &person.user).filter(|user| Some(*user) != created);
        let people: BTreeSet<&str> = persons.chain(named).map(ResourceId::as_str).collect();
        if !people.is_empty() {
            self.locked = lock_evaluations(self.conn, self.tenant, &self.connection, people).await?;
        }
        Ok(())
    }

    /// Outcomes whose inputs have moved on since they were read.
    async fn sort_out_stale(&mut self, write: Option<&ResourceWrite>) -> Result<()> {
        let created = created_by(write);
        let is_current = |outcome: &PersonOutcome| match self.locked.get(&outcome.user) {
            Some((version, _)) => *version == outcome.read_input_version,
            None => created == Some(&outcome.user) && outcome.read_input_version == 0,
        };
        let stale: BTreeSet<ResourceId> =
            self.change.persons.iter().filter(|outcome| !is_current(outcome)).map(|outcome| outcome.user.clone()).collect();
        if let Some(ResourceWrite::DeleteUser { id }) = write
            && stale.contains(id)
        {
            return Err(StoreError::Conflict { what: "person" });
        }
        self.drop_outcomes(stale)
    }

    /// Refuses the change over stale people, or drops their outcomes and events and marks them.
    fn drop_outcomes(&mut self, stale: BTreeSet<ResourceId>) -> Result<()> {
        let cause = match self.change.stale {
            _ if stale.is_empty() => return Ok(()),
            Stale::Conflict => return Err(StoreError::Conflict { what: "person" }),
            Stale::MarkPending(cause) => cause,
        };
        self.change.persons.retain(|outcome| !stale.contains(&outcome.user));
        for user in stale {
            self.mark_later(cause, user);
        }
        Ok(())
    }

    async fn create_user(&mut self, id: ResourceId, document: &rolecall_scim::resource::Document, revives: Option<Instant>) -> Result<()> {
        let outcome = self.change.persons.iter().find(|outcome| outcome.user == id);
        let account = outcome.and_then(|outcome| outcome.effect.account.as_ref());
        let account = account.ok_or_else(|| StoreError::Corrupt("a user is created without an account".into()))?;
        self.new = revives.is_none().then(|| account.id.clone());
        if let Some(read) = revives {
            let (account, name_key) = (account.id.clone(), account.name_key.clone());
            let stands: Option<(i64, Option<String>)> =
                sqlx::query_as(concat!("SELECT modified, name_key FROM accounts WHERE tenant = $1 AND account = $2", for_update!()))
                    .bind(self.tenant.as_str())
                    .bind(account.as_str())
                    .fetch_optional(&mut *self.conn)
                    .await?;
            // What becomes of it was computed from what was read.
            let (_, had) = stands.filter(|(modified, _)| *modified == read.0).ok_or(StoreError::Conflict { what: "account" })?;
            self.let_go = had.filter(|had| Some(had) != name_key.as_ref());
        }
        let row = (ResourceKind::User, &id, document);
        resources::insert(self.conn, &mut self.batch, self.tenant, &self.connection, row, self.change.at).await?;
        self.out.version = Some(1);
        self.created = Some(id);
        Ok(())
    }

    async fn delete_user(&mut self, id: ResourceId) -> Result<()> {
        if !self.locked.contains_key(&id) {
            return Err(StoreError::Missing("user"));
        }
        if !self.change.persons.iter().any(|outcome| outcome.user == id) {
            return Err(StoreError::Corrupt("a user is deleted without an outcome".into()));
        }
        groups::leave_all(self.conn, self.tenant, &self.connection, &id, self.change.at).await?;
        resources::delete(self.conn, self.tenant, &self.connection, ResourceKind::User, &id, self.change.at).await?;
        records::forget_person(self.conn, self.tenant, &self.connection, &id).await?;
        self.deleted = Some(id);
        Ok(())
    }

    async fn create_group(
        &mut self,
        id: &ResourceId,
        document: &rolecall_scim::resource::Document,
        members: Vec<(ResourceId, ResourceKind)>,
    ) -> Result<()> {
        resources::refuse_same_group(self.conn, self.tenant, &self.connection, document).await?;
        let row = (ResourceKind::Group, id, document);
        resources::insert(self.conn, &mut self.batch, self.tenant, &self.connection, row, self.change.at).await?;
        // Members and handles refer to it.
        self.batch.flush(self.conn).await?;
        self.out.version = Some(1);
        self.change_members(id, members, &[]).await?;
        Ok(())
    }

    async fn update_group(
        &mut self,
        id: &ResourceId,
        expected: Option<i64>,
        document: Option<&rolecall_scim::resource::Document>,
        add: Vec<(ResourceId, ResourceKind)>,
        remove: &[ResourceId],
    ) -> Result<()> {
        let version = resources::lock_group(self.conn, self.tenant, &self.connection, id).await?;
        if expected.is_some_and(|expected| expected != version) {
            return Err(StoreError::Conflict { what: "resource" });
        }
        let changed = self.change_members(id, add, remove).await?;
        let at = self.change.at;
        self.out.version = Some(match document {
            Some(document) => {
                let row = (ResourceKind::Group, id, document);
                resources::update(self.conn, &mut self.batch, self.tenant, &self.connection, row, None, at).await?
            }
            None if changed => {
                resources::touch(self.conn, &mut self.batch, self.tenant, &self.connection, id, at).await?;
                version + 1
            }
            None => version,
        });
        Ok(())
    }

    /// Applies the difference; everybody whom it touches is marked unless the change holds their outcome.
    async fn change_members(&mut self, id: &ResourceId, add: Vec<(ResourceId, ResourceKind)>, remove: &[ResourceId]) -> Result<bool> {
        let removed = groups::remove_members(self.conn, self.tenant, &self.connection, id, remove).await?;
        for (child, kind) in &add {
            if *kind == ResourceKind::Group {
                groups::check_nesting(self.conn, self.tenant, &self.connection, id, child).await?;
            }
        }
        // A user that was looked up before the locks may be gone by now.
        let is_there = |(member, kind): &(ResourceId, ResourceKind)| *kind == ResourceKind::Group || self.locked.contains_key(member);
        let (there, gone): (Vec<_>, Vec<_>) = add.into_iter().partition(is_there);
        self.out.gone.extend(gone.into_iter().map(|(member, _)| member));
        let there: Vec<ResourceId> = there.into_iter().map(|(member, _)| member).collect();
        let added = groups::add_members(self.conn, self.tenant, &self.connection, id, &there).await?;
        for (member, kind) in added.iter().chain(&removed) {
            match kind {
                ResourceKind::User => self.mark_later(Cause::GroupChange, member.clone()),
                ResourceKind::Group => self.mark_below_later(member).await?,
            }
        }
        let ids = |members: Vec<(ResourceId, ResourceKind)>| members.into_iter().map(|(member, _)| member).collect();
        let changed = !added.is_empty() || !removed.is_empty();
        (self.out.added, self.out.removed) = (ids(added), ids(removed));
        Ok(changed)
    }

    /// Marks everybody below a group that was put into another, or taken out.
    async fn mark_below_later(&mut self, group: &ResourceId) -> Result<()> {
        match groups::users_below(self.conn, self.tenant, &self.connection, [group], INLINE_PEOPLE_LIMIT).await? {
            Some(users) => users.into_iter().for_each(|user| self.mark_later(Cause::GroupChange, user)),
            None => fan_out(self.conn, self.tenant, Below::Group(&self.connection, group), Cause::GroupChange, self.change.at).await?,
        }
        Ok(())
    }

    async fn delete_group(&mut self, id: &ResourceId) -> Result<()> {
        resources::lock_group(self.conn, self.tenant, &self.connection, id).await?;
        let at = self.change.at;
        groups::leave_all(self.conn, self.tenant, &self.connection, id, at).await?;
        groups::release_handles(self.conn, self.tenant, &self.connection, id).await?;
        match groups::users_below(self.conn, self.tenant, &self.connection, [id], INLINE_PEOPLE_LIMIT).await? {
            Some(users) => {
                users.into_iter().for_each(|user| self.mark_later(Cause::GroupChange, user));
                groups::remove_all_members(self.conn, self.tenant, &self.connection, id).await?;
            }
            None => fan_out(self.conn, self.tenant, Below::Purge(&self.connection, id), Cause::GroupChange, at).await?,
        }
        resources::delete(self.conn, self.tenant, &self.connection, ResourceKind::Group, id, at).await
    }

    async fn bind_handle(&mut self, binding: &HandleBinding) -> Result<()> {
        let is_new = groups::bind_handle(self.conn, self.tenant, binding).await?;
        let is_fanned_out = self.change.fan_out.iter().any(|(group, _)| group == &binding.group);
        if is_new && binding.confirmed && !is_fanned_out {
            match groups::users_below(self.conn, self.tenant, &binding.connection, [&binding.group], INLINE_PEOPLE_LIMIT).await? {
                Some(users) => users.into_iter().for_each(|user| self.mark_later(Cause::HandleChange, user)),
                None => {
                    let below = Below::Group(&binding.connection, &binding.group);
                    fan_out(self.conn, self.tenant, below, Cause::HandleChange, self.change.at).await?;
                }
            }
        }
        Ok(())
    }

    /// Outcomes that were decided on other memberships than the change has made.
    async fn compare_groups(&mut self) -> Result<()> {
        let decided: BTreeMap<ResourceId, Vec<_>> = self
            .change
            .persons
            .iter()
            .map(|outcome| {
                let mut groups = outcome.groups.clone();
                groups.sort();
                (outcome.user.clone(), groups)
            })
            .collect();
        if decided.is_empty() {
            return Ok(());
        }
        let users: Vec<ResourceId> = decided.keys().cloned().collect();
        let made = groups::memberships_if(self.conn, self.tenant, &self.connection, &users, groups::WhatIf::default()).await?;
        self.drop_outcomes(decided.into_iter().filter(|(user, groups)| made.get(user) != Some(groups)).map(|(user, _)| user).collect())
    }

    async fn apply_outcomes(&mut self) -> Result<()> {
        let mut outcomes = std::mem::take(&mut self.change.persons);
        let at = self.change.at;
        let account_of = |outcome: &PersonOutcome| match (&outcome.effect.account, self.locked.get(&outcome.user)) {
            (_, Some((_, account))) => Some(account.clone()),
            (Some(account), None) => Some(account.id.clone()),
            // Neither locked nor created was stale, and is gone.
            (None, None) => None,
        };
        let of: Vec<Option<AccountId>> = outcomes.iter().map(account_of).collect();
        let (kept, opened) = guard::weigh(self.conn, self.scope, &mut outcomes, &of, at).await?;
        self.change.events.extend(opened);
        let before = self.passages(&outcomes, &of).await?;
        let is_created = |outcome: &PersonOutcome| self.created.as_ref() == Some(&outcome.user);
        let (created, standing): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| is_created(outcome));
        for write in created.iter().filter_map(|outcome| outcome.effect.account.as_ref()) {
            accounts::write_of_created(self.conn, &mut self.batch, self.tenant, write, at).await?;
        }
        let writes: Vec<_> = standing.iter().filter_map(|outcome| outcome.effect.account.as_ref()).collect();
        self.freed = accounts::write(self.conn, &mut self.batch, self.tenant, &writes, at).await?;
        self.freed.extend(self.let_go.take());
        let mut stamps = BTreeMap::new();
        let mut passages = Vec::new();
        for ((outcome, kept), account) in outcomes.into_iter().zip(kept).zip(of) {
            let Some(account) = account else { continue };
            let effect = &outcome.effect;
            note_led(&mut self.out.led, effect, &account);
            let grants = (&effect.put_grants[..], &effect.drop_grants[..]);
            accounts::write_grants(self.conn, &mut self.batch, self.tenant, &account, grants).await?;
            let stamp = Stamp { at, actor: &self.change.actor, request_id: None };
            let asked = (&effect.rule[..], &effect.end_rulings[..], &kept);
            rulings::write(self.conn, &mut self.batch, self.tenant, &account, asked, stamp).await?;
            if self.created.as_ref() == Some(&outcome.user) {
                self.begin_evaluation(&outcome, &account).await?;
            } else if self.deleted.as_ref() != Some(&outcome.user) {
                self.stamp_later(&outcome, &mut stamps);
            }
            self.to_mark.remove(&outcome.user);
            self.change.events.extend(outcome.effect.events);
            if !outcome.effect.passages.is_empty() {
                passages.push((account, outcome.effect.passages));
            }
        }
        if !passages.is_empty() {
            let stamp = Stamp { at, actor: &self.change.actor, request_id: None };
            let settled = steps::settle(self.conn, &mut self.batch, self.scope, passages, &before, stamp).await?;
            self.change.events.extend(settled.events);
            self.secrets = settled.secrets;
        }
        self.stamp(stamps).await
    }

    /// What stands of the people to whom the change means something, before it is written.
    async fn passages(&mut self, outcomes: &[PersonOutcome], of: &[Option<AccountId>]) -> Result<steps::Before> {
        let of: Vec<(&AccountId, &[Passage])> = outcomes
            .iter()
            .zip(of)
            .filter_map(|(outcome, account)| Some((account.as_ref()?, outcome.effect.passages.as_slice())))
            .collect();
        steps::read(self.conn, self.tenant, &of).await
    }

    /// Joins a new user to its account and writes what it was evaluated at.
    async fn begin_evaluation(&mut self, outcome: &PersonOutcome, account: &AccountId) -> Result<()> {
        let evaluated = self.evaluated(outcome);
        let (tenant, connection, user) = (self.tenant.as_str(), self.connection.as_str(), outcome.user.as_str());
        let sql = self.batch.next(self.conn, 1).await?;
        sql.push("INSERT INTO links (tenant, connection, resource, account) VALUES (");
        sql.separated(", ").push_bind(tenant).push_bind(connection).push_bind(user).push_bind(account.as_str());
        sql.push(")");
        let sql = self.batch.next(self.conn, 1).await?;
        sql.push(
            "INSERT INTO evaluations (tenant, connection, resource, input_version, moved_at, next_evaluation_at, cause, attempts, due_at,
                                      evaluated_version, evaluated_revision, as_of) VALUES (",
        );
        sql.separated(", ")
            .push_bind(tenant)
            .push_bind(connection)
            .push_bind(user)
            .push_bind(evaluated.input_version)
            .push_bind(self.change.at.0)
            .push_bind(outcome.effect.next_evaluation_at.map(|at| at.0))
            .push_bind(evaluated.cause.map(Cause::word))
            .push_bind(outcome.attempts)
            .push_bind(evaluated.due.map(|at| at.0))
            .push_bind(evaluated.is_verdict.then_some(evaluated.input_version))
            .push_bind(outcome.revision.as_ref().filter(|_| evaluated.is_verdict).map(RevisionHash::as_str))
            .push_bind(evaluated.is_verdict.then_some(outcome.as_of.0));
        sql.push(")");
        self.note_pending(&evaluated, outcome);
        Ok(())
    }

    /// Of a population most are evaluated at the same: written together.
    fn stamp_later(&mut self, outcome: &PersonOutcome, stamps: &mut BTreeMap<Stamped, Vec<ResourceId>>) {
        let evaluated = self.evaluated(outcome);
        self.note_pending(&evaluated, outcome);
        let stamp = Stamped {
            next: outcome.effect.next_evaluation_at,
            cause: evaluated.cause,
            attempts: outcome.attempts,
            due: evaluated.due,
            verdict: evaluated.is_verdict.then(|| (outcome.revision.clone(), outcome.as_of)),
        };
        stamps.entry(stamp).or_default().push(outcome.user.clone());
    }

    /// Writes what people were evaluated at. Each was read at the `input_version` that is there: the others are stale, and left out before.
    async fn stamp(&mut self, stamps: BTreeMap<Stamped, Vec<ResourceId>>) -> Result<()> {
        for (stamp, users) in stamps {
            for users in users.chunks(STAMPED_AT_ONCE) {
                let sql = self.batch.next(self.conn, users.len()).await?;
                sql.push("UPDATE evaluations SET input_version = input_version + 1, moved_at = ").push_bind(self.change.at.0);
                sql.push(", next_evaluation_at = ");
                sql.push_bind(stamp.next.map(|at| at.0));
                sql.push(", cause = ").push_bind(stamp.cause.map(Cause::word));
                sql.push(", attempts = ").push_bind(stamp.attempts);
                sql.push(", due_at = ").push_bind(stamp.due.map(|at| at.0));
                if let Some((revision, as_of)) = &stamp.verdict {
                    sql.push(", evaluated_version = input_version + 1, evaluated_revision = ");
                    sql.push_bind(revision.as_ref().map(RevisionHash::as_str).map(str::to_owned));
                    sql.push(", as_of = ").push_bind(as_of.0);
                }
                sql.push(" WHERE tenant = ").push_bind(self.tenant.as_str().to_owned());
                sql.push(" AND connection = ").push_bind(self.connection.as_str().to_owned());
                sql.push(" AND resource IN (");
                let mut list = sql.separated(", ");
                for user in users {
                    list.push_bind(user.as_str().to_owned());
                }
                sql.push(")");
            }
        }
        Ok(())
    }

    /// What an outcome says of the evaluation. Whoever is not decided under the active revision stays pending.
    fn evaluated(&self, outcome: &PersonOutcome) -> Evaluated {
        let cause = outcome.still_pending.or_else(|| (outcome.revision != self.active).then_some(Cause::Activation));
        let due = match (outcome.still_pending, cause) {
            // Another revision became active: at once.
            (None, Some(_)) => Some(self.change.at),
            // Still pending without a date would be forgotten.
            (Some(_), _) => Some(outcome.effect.next_evaluation_at.unwrap_or(self.change.at)),
            (None, None) => outcome.effect.next_evaluation_at,
        };
        Evaluated {
            // Each outcome moves what it was decided at, also one that changes no input: of two that were decided at the same, the
            // second would be a difference to grants that stand no more. A new user begins at 0, where nobody has read it yet.
            input_version: if self.created.as_ref() == Some(&outcome.user) { 0 } else { outcome.read_input_version + 1 },
            cause,
            due,
            is_verdict: outcome.still_pending.is_none(),
        }
    }

    fn note_pending(&mut self, evaluated: &Evaluated, outcome: &PersonOutcome) {
        if evaluated.cause.is_some() {
            self.out.pending.push(outcome.user.clone());
        }
    }

    /// Marks everybody else whom the change affects.
    async fn mark_others(&mut self) -> Result<()> {
        let at = self.change.at;
        let mut by_cause = BTreeMap::<Cause, Vec<ResourceId>>::new();
        for (user, cause) in std::mem::take(&mut self.to_mark) {
            by_cause.entry(cause).or_default().push(user);
        }
        for (cause, users) in by_cause {
            let marked = mark(self.conn, self.tenant, &self.connection, &users, cause, at).await?;
            self.out.pending.extend(marked);
        }
        let freed = std::mem::take(&mut self.freed);
        if !freed.is_empty() {
            // Whoever waits for a name may be one of those who were decided: marked after their stamp.
            self.batch.flush(self.conn).await?;
        }
        self.out.pending.extend(mark_waiting_for(self.conn, self.tenant, &freed, at).await?);
        for (group, cause) in std::mem::take(&mut self.change.fan_out) {
            fan_out(self.conn, self.tenant, Below::Group(&self.connection, &group), cause, at).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Committed> {
        let stamp = Stamp { at: self.change.at, actor: &self.change.actor, request_id: self.change.request_id.as_deref() };
        history::append_with(self.conn, self.batch, self.scope, stamp, &self.change.events, self.new.as_ref(), &self.secrets).await?;
        self.out.pending.sort();
        self.out.pending.dedup();
        self.out.led.pending = u64::try_from(self.out.pending.len()).unwrap_or(u64::MAX);
        self.change.events.iter().for_each(|event| self.out.led.event(event.kind));
        Ok(self.out)
    }
}

/// Adds what becomes of a person to what the change led to.
fn note_led(led: &mut Led, effect: &Effect, account: &AccountId) {
    led.people += 1;
    led.held += u64::try_from(effect.rule.len()).unwrap_or(u64::MAX);
    led.concerns(account);
    let in_effect = |event: &&NewEvent| matches!(event.data["was"].as_str(), Some("effective" | "retained"));
    let role = |event: &&NewEvent| event.data["role"].as_str().map(str::to_owned);
    let of = |kinds: &'static [&str]| effect.events.iter().filter(move |event| kinds.contains(&event.kind));
    led.roles(
        of(&["grant.added"]).filter_map(|event| role(&event)),
        of(&["grant.removed", "grant.dormant"]).filter(in_effect).filter_map(|event| role(&event)),
    );
}
