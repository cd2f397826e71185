//! What the two databases have in common: the traits' methods, in SQL that both understand.
//!
//! This file and `shared/` are compiled twice, as a child of `sqlite.rs` and as a child of `postgres.rs`. What differs comes
//! from the parent: the types [`Db`], [`Conn`], [`Backend`] and [`TextList`], the locks, and the macros `any_of!`, `items_of!`,
//! `pairs_of!`, `json_rows!`, `for_update!` and `skip_locked!` for the words in which the SQL differs. A method here opens a transaction and calls one
//! function of `shared/`, which knows nothing of how transactions begin and end.

/// A read on a connection for one statement; on another one where it turns out that the server has closed this one meanwhile.
/// Each that is given up leaves room for a new one, so that this ends.
macro_rules! read_once {
    ($reader:expr, $conn:ident => $read:expr) => {
        loop {
            let mut reader = $reader.await?;
            let $conn: &mut Conn = &mut reader;
            match $read.await {
                Err(error) if is_lost(&error) => give_up(reader),
                done => break done,
            }
        }
    };
}

#[macro_use]
#[path = "shared/rows.rs"]
mod rows;
#[path = "shared/accounts.rs"]
mod accounts;
#[path = "shared/adopting.rs"]
mod adopting;
#[path = "shared/adoption.rs"]
mod adoption;
#[path = "shared/api_tokens.rs"]
mod api_tokens;
#[path = "shared/batch.rs"]
mod batch;
#[path = "shared/commit.rs"]
mod commit;
#[path = "shared/connections.rs"]
mod connections;
#[path = "shared/credentials.rs"]
mod credentials;
#[path = "shared/departed.rs"]
mod departed;
#[path = "shared/departures.rs"]
mod departures;
#[path = "shared/directory.rs"]
mod directory;
#[path = "shared/drift.rs"]
mod drift;
#[path = "shared/drift_methods.rs"]
mod drift_methods;
#[path = "shared/failures.rs"]
mod failures;
#[path = "shared/groups.rs"]
mod groups;
#[path = "shared/guard.rs"]
mod guard;
#[path = "shared/health.rs"]
mod health;
#[path = "shared/health_methods.rs"]
mod health_methods;
#[path = "shared/history.rs"]
mod history;
#[path = "shared/holds.rs"]
mod holds;
#[path = "shared/import_methods.rs"]
mod import_methods;
#[path = "shared/imports.rs"]
mod imports;
#[path = "shared/invitations.rs"]
mod invitations;
#[path = "shared/journal.rs"]
mod journal;
#[path = "shared/left.rs"]
mod left;
#[path = "shared/lines.rs"]
mod lines;
#[path = "shared/listing.rs"]
mod listing;
#[path = "shared/log.rs"]
mod log;
#[path = "shared/moving.rs"]
mod moving;
#[path = "shared/moving_methods.rs"]
mod moving_methods;
#[path = "shared/outbox.rs"]
mod outbox;
#[path = "shared/people.rs"]
mod people;
#[path = "shared/personal.rs"]
mod personal;
#[cfg(test)]
#[path = "shared/plans.rs"]
pub(super) mod plans;
#[path = "shared/process_methods.rs"]
mod process_methods;
#[path = "shared/records.rs"]
mod records;
#[path = "shared/removal.rs"]
mod removal;
#[path = "shared/resources.rs"]
mod resources;
#[path = "shared/restore_methods.rs"]
mod restore_methods;
#[path = "shared/restores.rs"]
mod restores;
#[path = "shared/review_keeping.rs"]
mod review_keeping;
#[path = "shared/review_methods.rs"]
mod review_methods;
#[path = "shared/review_opening.rs"]
mod review_opening;
#[path = "shared/reviews.rs"]
mod reviews;
#[path = "shared/revisions.rs"]
mod revisions;
#[path = "shared/ruling_methods.rs"]
mod ruling_methods;
#[path = "shared/rulings.rs"]
mod rulings;
#[path = "shared/sealed.rs"]
mod sealed;
#[path = "shared/signing.rs"]
mod signing;
#[path = "shared/spreading.rs"]
mod spreading;
#[path = "shared/step_methods.rs"]
mod step_methods;
#[path = "shared/steps.rs"]
mod steps;
#[path = "shared/tenancy.rs"]
mod tenancy;
#[path = "shared/trial_methods.rs"]
mod trial_methods;
#[path = "shared/trial_people.rs"]
mod trial_people;
#[path = "shared/trials.rs"]
mod trials;
#[cfg(test)]
#[path = "shared/upgrades.rs"]
mod upgrades;
#[path = "shared/visitors.rs"]
mod visitors;
#[path = "shared/work.rs"]
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use rolecall_scim::ResourceKind;
use zeroize::Zeroizing;

use self::commit::RevisionCheck;
use self::groups::WhatIf;
use super::{
    ATTEMPTS, Backend, Conn, Db, advance_head, begin_last_statement, begin_statement, end_statements, give_up, is_lost, lock_log,
    lock_new_group, lock_revision, lock_structure, number_at_once, text_list,
};
use crate::model::{
    AccountId, AccountState, Actor, ConnectionId, ConnectionState, Event, GroupMembership, Handle, Instant, ListedRevision, ResourceId,
    RevisionHash, RoleId, TenantId, Urgency,
};
use crate::store::Work;
use crate::store::failure::LOST_TO_OTHERS;
use crate::store::keys::{Keys, secret_purpose, unsealable};
use crate::store::{
    AccountView, ApiCredential, Change, Committed, Connection, ConnectionCredential, Coverage, CredentialKind, DeliveryResult,
    DeliveryRoom, Departed, DueDelivery, DuePerson, HandleBinding, ListQuery, Listing, LockedDecision, NewPlugin, NewToken, Pending,
    Person, Platform, Receipt, ResourceWrite, Result, Store, StoreError, StoredIssuer, StoredMember, StoredPlugin, StoredResource,
    StoredRevision, Target, Tenant, UserGroup,
};

/// The tenant that a transaction is about, and the keys to what is sealed.
#[derive(Clone)]
struct Scope {
    tenant: TenantId,
    keys: Arc<Keys>,
}

impl Backend {
    fn scope(&self, tenant: &TenantId) -> Scope {
        Scope { tenant: tenant.clone(), keys: self.keys() }
    }

    /// Where a tenant's rows are, if it is about a tenant.
    fn scope_of(&self, tenant: Option<&TenantId>) -> Option<Scope> {
        tenant.map(|tenant| self.scope(tenant))
    }

    /// One whole transaction of a tenant, or else of the platform.
    async fn write_of<T: Send + 'static>(&self, tenant: Option<&TenantId>, work: impl Work<Conn, T>) -> Result<T> {
        match tenant {
            Some(tenant) => self.write(tenant, work).await,
            None => self.write_platform(work).await,
        }
    }

    /// Takes away what waits for a target that was removed, some of it at a time.
    async fn forget_deliveries(&self, tenant: &TenantId, target: &str) -> Result<()> {
        loop {
            let (of, target) = (tenant.clone(), target.to_owned());
            let all =
                self.write_behind(tenant, move |conn: &mut Conn| Box::pin(async move { outbox::forget(conn, &of, &target).await })).await?;
            if all {
                return Ok(());
            }
        }
    }
}

/// Text from outside that no stored text equals, and that PostgreSQL refuses to be asked about.
fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

#[async_trait]
impl Platform for Backend {
    async fn ping(&self) -> Result<()> {
        read_once!(self.read_platform(), conn => async { Ok(sqlx::query("SELECT 1").execute(conn).await.map(|_| ())?) })
    }

    async fn keep_master_key(&self, fingerprint: &str) -> Result<String> {
        let fingerprint = fingerprint.to_owned();
        self.write_platform(move |conn: &mut Conn| {
            Box::pin(async move {
                sqlx::query("INSERT INTO master_key (one, fingerprint) VALUES (1, $1) ON CONFLICT (one) DO NOTHING")
                    .bind(&fingerprint)
                    .execute(&mut *conn)
                    .await?;
                Ok(sqlx::query_scalar("SELECT fingerprint FROM master_key WHERE one = 1").fetch_one(conn).await?)
            })
        })
        .await
    }

    async fn find_connection(&self, connection: &ConnectionId) -> Result<Option<(TenantId, ConnectionState)>> {
        if has_nul(connection.as_str()) {
            return Ok(None);
        }
        read_once!(self.read_platform(), conn => tenancy::find_connection(conn, connection))
    }

    async fn find_connection_token(&self, hash: &str) -> Result<Option<ConnectionCredential>> {
        let read = |hashes: Vec<String>| async move { read_once!(self.read_platform(), conn => credentials::by_hash(conn, &hashes)) };
        self.remembered(hash, self.trips().credentials.ask((), hash.to_owned(), read)).await
    }

    async fn find_issuer(&self, connection: &ConnectionId) -> Result<Option<StoredIssuer>> {
        if has_nul(connection.as_str()) {
            return Ok(None);
        }
        read_once!(self.read_platform(), conn => credentials::find_issuer(conn, connection))
    }

    async fn find_api_token(&self, hash: &str) -> Result<Option<ApiCredential>> {
        read_once!(self.read_platform(), conn => tenancy::find_api_token(conn, hash))
    }

    async fn count_operator_tokens(&self, now: Instant) -> Result<i64> {
        read_once!(self.read_platform(), conn => tenancy::count_operator_tokens(conn, now))
    }

    async fn tenants(&self) -> Result<Vec<Tenant>> {
        read_once!(self.read_platform(), conn => tenancy::all(conn))
    }

    async fn expand_fan_outs(&self, now: Instant) -> Result<bool> {
        let next = async || read_once!(self.read_platform(), conn => work::next_fan_out(conn));
        let Some(tenant) = next().await? else { return Ok(false) };
        let scope = self.scope(&tenant);
        let stepped =
            self.write_behind(&tenant, move |conn: &mut Conn| Box::pin(async move { work::expand(conn, &scope, now).await })).await?;
        Ok(stepped && next().await?.is_some())
    }

    async fn claim_due(&self, now: Instant, lease_until: Instant, limit: i64, busy: &BTreeSet<TenantId>) -> Result<Vec<DuePerson>> {
        let shares = read_once!(self.read_platform(), conn => work::claim_shares(conn, now, limit, busy))?;
        let mut due = Vec::new();
        for (tenant, share) in shares {
            let scope = self.scope(&tenant);
            let claimed = self
                .write_behind(&tenant, move |conn: &mut Conn| {
                    Box::pin(async move { work::claim(conn, &scope, now, lease_until, share).await })
                })
                .await?;
            due.extend(claimed);
        }
        Ok(due)
    }

    async fn number_events(&self) -> Result<u64> {
        let mut numbered = 0;
        for tenant in read_once!(self.read_platform(), conn => history::unnumbered(conn))? {
            let scope = self.scope(&tenant);
            let tenant = scope.tenant.clone();
            numbered += self.write(&tenant, move |conn: &mut Conn| Box::pin(async move { history::number(conn, &scope).await })).await?;
        }
        Ok(numbered)
    }

    async fn claim_deliveries(&self, now: Instant, lease_until: Instant, room: &DeliveryRoom) -> Result<Vec<DueDelivery>> {
        let (mut due, mut room) = (Vec::<DueDelivery>::new(), room.clone());
        for leavers in [true, false] {
            if room.free <= 0 {
                break;
            }
            let shares = read_once!(self.read_platform(), conn => outbox::claim_shares(conn, leavers, now, &room))?;
            for (tenant, share) in shares {
                let scope = self.scope(&tenant);
                let claimed = self
                    .write(&tenant, move |conn: &mut Conn| {
                        Box::pin(async move { outbox::claim(conn, &scope, leavers, now, lease_until, share).await })
                    })
                    .await?;
                let count = i64::try_from(claimed.len()).unwrap_or(i64::MAX);
                room.free = room.free.saturating_sub(count);
                *room.busy.entry(tenant).or_default() += count;
                due.extend(claimed);
            }
        }
        Ok(due)
    }

    async fn next_due(&self, now: Instant) -> Result<Option<Instant>> {
        read_once!(self.read_platform(), conn => work::next_due(conn, now))
    }
}

#[async_trait]
impl Store for Backend {
    async fn ensure_tenant(&self, tenant: &TenantId, name: &str, managed_by: &str, at: Instant) -> Result<Tenant> {
        let (scope, name, managed_by) = (self.scope(tenant), name.to_owned(), managed_by.to_owned());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { tenancy::ensure(conn, &scope, &name, &managed_by, at).await }))
            .await
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<Option<Tenant>> {
        if has_nul(tenant.as_str()) {
            return Ok(None);
        }
        read_once!(self.read_one(tenant), conn => tenancy::find(conn, tenant))
    }

    async fn put_revision(&self, tenant: &TenantId, revision: &StoredRevision, plugins: &[NewPlugin], at: Instant) -> Result<()> {
        let (scope, revision, plugins) = (self.scope(tenant), revisions::Digested::of(revision), plugins.to_vec());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { revisions::put(conn, &scope.tenant, &revision, &plugins, at).await })
        })
        .await
    }

    async fn plugins(&self, tenant: &TenantId, limit: i64) -> Result<Vec<StoredPlugin>> {
        read_once!(self.read_one(tenant), conn => revisions::plugins(conn, tenant, limit))
    }

    async fn revision_digests(&self, tenant: &TenantId, hash: &RevisionHash) -> Result<Option<BTreeMap<String, String>>> {
        read_once!(self.read_one(tenant), conn => revisions::digests(conn, tenant, hash))
    }

    async fn contents(&self, tenant: &TenantId, digests: &[String], bytes_limit: usize) -> Result<Option<BTreeMap<String, Vec<u8>>>> {
        read_once!(self.read_one(tenant), conn => revisions::contents(conn, tenant, digests, bytes_limit))
    }

    async fn revisions(&self, tenant: &TenantId, behind: Option<&RevisionHash>, limit: i64) -> Result<Vec<ListedRevision>> {
        if behind.is_some_and(|hash| has_nul(hash.as_str())) {
            return Err(StoreError::Missing("revision"));
        }
        read_once!(self.read_one(tenant), conn => revisions::list(conn, tenant, behind, limit))
    }

    async fn revision(&self, tenant: &TenantId, hash: &RevisionHash) -> Result<Option<StoredRevision>> {
        read_once!(self.read_one(tenant), conn => revisions::find(conn, tenant, hash))
    }

    async fn create_connection(&self, tenant: &TenantId, connection: &Connection, token: &NewToken, actor: &Actor) -> Result<()> {
        let (scope, connection, token, actor) = (self.scope(tenant), connection.clone(), token.clone(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { tenancy::create_connection(conn, &scope, &connection, &token, &actor).await })
        })
        .await
    }

    async fn connections(&self, tenant: &TenantId) -> Result<Vec<Connection>> {
        tenancy::connections(&mut *self.read(tenant).await?, tenant).await
    }

    async fn rotate_token(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        kind: CredentialKind,
        token: &NewToken,
        expire_others: Instant,
        actor: &Actor,
    ) -> Result<()> {
        let (scope, connection, token, actor) = (self.scope(tenant), connection.clone(), token.clone(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { tenancy::rotate_token(conn, &scope, &connection, (kind, &token), expire_others, &actor).await })
        })
        .await
    }

    async fn set_connection_state(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        state: ConnectionState,
        actor: &Actor,
        at: Instant,
    ) -> Result<()> {
        let (scope, connection, actor) = (self.scope(tenant), connection.clone(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { tenancy::set_connection_state(conn, &scope, &connection, state, &actor, at).await })
        })
        .await
    }

    async fn delete_connection(&self, tenant: &TenantId, connection: &ConnectionId, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, connection, actor) = (self.scope(tenant), connection.clone(), actor.clone());
        self.write_everything(tenant, move |conn: &mut Conn| {
            Box::pin(async move { removal::delete_connection(conn, &scope, &connection, &actor, at).await })
        })
        .await
    }

    async fn note_credential(&self, tenant: &TenantId, connection: &ConnectionId, token_id: Option<&str>, at: Instant) -> Result<()> {
        if let Some(token_id) = token_id
            && !read_once!(self.read_one(tenant), conn => tenancy::is_news(conn, tenant, connection, token_id, at))?
        {
            return Ok(());
        }
        let (scope, connection, token_id) = (self.scope(tenant), connection.clone(), token_id.map(str::to_owned));
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { tenancy::note_credential(conn, &scope.tenant, &connection, token_id.as_deref(), at).await })
        })
        .await
    }

    async fn people(&self, tenant: &TenantId, connection: &ConnectionId, users: &[ResourceId]) -> Result<Vec<Person>> {
        people::read(&mut *self.read(tenant).await?, tenant, connection, &askable(users)).await
    }

    async fn revivable(&self, tenant: &TenantId, connection: &ConnectionId, external_id: &str) -> Result<Option<Departed>> {
        people::revivable(&mut *self.read(tenant).await?, tenant, connection, external_id).await
    }

    async fn name_holders(&self, tenant: &TenantId, name_keys: &[String]) -> Result<BTreeMap<String, AccountId>> {
        read_once!(self.read_one(tenant), conn => accounts::name_holders(conn, tenant, name_keys.iter().map(String::as_str)))
    }

    async fn resource(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        kind: ResourceKind,
        id: &ResourceId,
    ) -> Result<Option<StoredResource>> {
        if has_nul(id.as_str()) {
            return Ok(None);
        }
        read_once!(self.read_one(tenant), conn => resources::read(conn, tenant, connection, kind, id))
    }

    async fn user(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        id: &ResourceId,
    ) -> Result<Option<(StoredResource, Vec<UserGroup>)>> {
        if has_nul(id.as_str()) {
            return Ok(None);
        }
        let read =
            |ids: Vec<ResourceId>| async move { read_once!(self.read_one(tenant), conn => groups::users(conn, tenant, connection, &ids)) };
        let found = self.trips().users.ask((tenant.clone(), connection.clone()), id.clone(), read).await?;
        let Some((user, groups)) = found else { return Ok(None) };
        if let Some(groups) = groups {
            return Ok(Some((user, groups)));
        }
        let groups = self.groups_of(tenant, connection, std::slice::from_ref(id), usize::MAX).await?.remove(id).unwrap_or_default();
        Ok(Some((user, groups)))
    }

    async fn list(&self, tenant: &TenantId, connection: &ConnectionId, query: &ListQuery<'_>) -> Result<Listing> {
        listing::list(&mut *self.read(tenant).await?, tenant, connection, query).await
    }

    async fn members(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        groups: &[ResourceId],
        limit: i64,
    ) -> Result<BTreeMap<ResourceId, Vec<StoredMember>>> {
        groups::members(&mut *self.read(tenant).await?, tenant, connection, &askable(groups), limit).await
    }

    async fn members_after(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        group: &ResourceId,
        after: Option<&ResourceId>,
        limit: i64,
    ) -> Result<Vec<StoredMember>> {
        read_once!(self.read_one(tenant), conn => groups::members_after(conn, tenant, connection, group, after, limit))
    }

    async fn which_members(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        group: &ResourceId,
        candidates: &[ResourceId],
    ) -> Result<Vec<StoredMember>> {
        read_once!(self.read_one(tenant), conn => groups::which_members(conn, tenant, connection, group, &askable(candidates)))
    }

    async fn as_members(&self, tenant: &TenantId, connection: &ConnectionId, ids: &[ResourceId]) -> Result<Vec<StoredMember>> {
        read_once!(self.read_one(tenant), conn => groups::as_members(conn, tenant, connection, &askable(ids)))
    }

    async fn groups_of(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        users: &[ResourceId],
        limit: usize,
    ) -> Result<BTreeMap<ResourceId, Vec<UserGroup>>> {
        let users = askable(users);
        match read_once!(self.read_one(tenant), conn => groups::direct_groups_of(conn, tenant, connection, &users))? {
            Some(groups) if groups.values().map(Vec::len).sum::<usize>() > limit => Err(StoreError::TooMany),
            Some(groups) => Ok(groups),
            None => groups::groups_of(&mut *self.read(tenant).await?, tenant, connection, &users, limit).await,
        }
    }

    async fn users_below(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        groups: &[ResourceId],
        limit: usize,
    ) -> Result<Option<Vec<ResourceId>>> {
        read_once!(self.read_one(tenant), conn => groups::users_below(conn, tenant, connection, &askable(groups), limit))
    }

    async fn memberships_if(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        users: &[ResourceId],
        plus: &[ResourceId],
        minus: &[ResourceId],
        gone: Option<&ResourceId>,
    ) -> Result<BTreeMap<ResourceId, Vec<GroupMembership>>> {
        let what_if = WhatIf { plus: &askable(plus), minus, gone };
        groups::memberships_if(&mut *self.read(tenant).await?, tenant, connection, &askable(users), what_if).await
    }

    async fn unbound_groups(
        &self,
        tenant: &TenantId,
        only: Option<&ResourceId>,
        after: Option<&ResourceId>,
        limit: i64,
    ) -> Result<Vec<(ConnectionId, StoredResource)>> {
        read_once!(self.read_one(tenant), conn => groups::unbound(conn, tenant, only, after, limit))
    }

    async fn seal_secret(&self, tenant: &TenantId, plain: &[u8]) -> Result<Vec<u8>> {
        let key = read_once!(self.read_one(tenant), conn => history::tenant_key(conn, &self.scope(tenant)))?;
        key.seal(&secret_purpose(tenant), plain).map_err(unsealable)
    }

    async fn open_secret(&self, tenant: &TenantId, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let key = read_once!(self.read_one(tenant), conn => history::tenant_key(conn, &self.scope(tenant)))?;
        key.open(&secret_purpose(tenant), sealed).map_err(unsealable)
    }

    async fn commit(&self, tenant: &TenantId, mut change: Change) -> Result<Committed> {
        check_ids(&mut change)?;
        let mut left = ATTEMPTS;
        while left > 1 {
            match commit_once(self, tenant, change.clone()).await {
                Err(StoreError::Conflict { what: LOST_TO_OTHERS }) => left -= 1,
                answer => return answer,
            }
        }
        commit_once(self, tenant, change).await
    }

    async fn commit_locked(
        &self,
        tenant: &TenantId,
        connection: &ConnectionId,
        user: &ResourceId,
        decide: LockedDecision<'static>,
    ) -> Result<std::result::Result<Committed, rolecall_scim::ScimError>> {
        if has_nul(user.as_str()) {
            return Err(StoreError::Missing("user"));
        }
        let (scope, connection, user) = (self.scope(tenant), connection.clone(), user.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { commit::commit_locked(conn, &scope, &connection, &user, decide).await })
        })
        .await
    }

    async fn handle(&self, tenant: &TenantId, handle: &Handle) -> Result<Option<HandleBinding>> {
        read_once!(self.read_one(tenant), conn => groups::handle(conn, tenant, handle))
    }

    async fn confirm_handle(&self, tenant: &TenantId, handle: &Handle, actor: &Actor, at: Instant) -> Result<HandleBinding> {
        if has_nul(handle.as_str()) {
            return Err(StoreError::Missing("handle"));
        }
        let (scope, handle, actor) = (self.scope(tenant), handle.clone(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { groups::confirm_handle(conn, &scope, &handle, &actor, at).await }))
            .await
    }

    async fn handles(&self, tenant: &TenantId) -> Result<Vec<HandleBinding>> {
        read_once!(self.read_one(tenant), conn => groups::handles(conn, tenant))
    }

    async fn accounts(
        &self,
        tenant: &TenantId,
        state: Option<AccountState>,
        after: Option<&AccountId>,
        limit: i64,
    ) -> Result<Vec<AccountView>> {
        people::accounts(&mut *self.read(tenant).await?, tenant, state, after, limit).await
    }

    async fn account(&self, tenant: &TenantId, id_or_name: &str) -> Result<Option<AccountView>> {
        if has_nul(id_or_name) {
            return Ok(None);
        }
        people::account(&mut *self.read(tenant).await?, tenant, id_or_name).await
    }

    async fn roles_held(&self, tenant: &TenantId, most: i64) -> Result<Option<BTreeSet<RoleId>>> {
        read_once!(self.read_one(tenant), conn => people::roles_held(conn, tenant, most))
    }

    async fn give_back(&self, tenant: &TenantId, connection: &ConnectionId, users: &[ResourceId], now: Instant) -> Result<()> {
        let (scope, connection, users) = (self.scope(tenant), connection.clone(), users.to_vec());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { work::give_back(conn, &scope.tenant, &connection, &users, now).await })
        })
        .await
    }

    async fn count_pending(&self, tenant: &TenantId) -> Result<i64> {
        read_once!(self.read_one(tenant), conn => people::count_pending(conn, tenant))
    }

    async fn coverage(&self, tenant: &TenantId) -> Result<Coverage> {
        read_once!(self.read_one(tenant), conn => people::coverage(conn, tenant))
    }

    async fn events(&self, tenant: &TenantId, after: i64, limit: i64) -> Result<Vec<Event>> {
        let mut tx = self.read(tenant).await?;
        history::after(&mut tx, &self.scope(tenant), after, limit).await
    }

    async fn put_target(&self, target: &Target, actor: &Actor, at: Instant) -> Result<()> {
        // One of its name that was removed may have left something.
        self.forget_deliveries(&target.tenant, &target.id).await?;
        let (scope, target, actor) = (self.scope(&target.tenant), target.clone(), actor.clone());
        let tenant = target.tenant.clone();
        self.write(&tenant, move |conn: &mut Conn| {
            Box::pin(async move { outbox::put_target(conn, &scope, &target, None, &actor, at).await })
        })
        .await
    }

    async fn pause_target(&self, tenant: &TenantId, id: &str, why: &str, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, id, why, actor) = (self.scope(tenant), id.to_owned(), why.to_owned(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { outbox::pause_target(conn, &scope, &id, &why, &actor, at).await }))
            .await
    }

    async fn remove_target(&self, tenant: &TenantId, id: &str, actor: &Actor, at: Instant) -> Result<()> {
        if has_nul(id) {
            return Err(StoreError::Missing("target"));
        }
        let (scope, target, actor) = (self.scope(tenant), id.to_owned(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { outbox::remove_target(conn, &scope, &target, &actor, at).await }))
            .await?;
        self.forget_deliveries(tenant, id).await
    }

    async fn targets(&self, tenant: &TenantId) -> Result<Vec<Target>> {
        read_once!(self.read_one(tenant), conn => outbox::targets(conn, tenant))
    }

    async fn receipts(&self, tenant: &TenantId, events: i64) -> Result<Vec<Receipt>> {
        read_once!(self.read_one(tenant), conn => outbox::receipts(conn, tenant, events))
    }

    async fn finish_delivery(&self, tenant: &TenantId, target: &str, event: &str, result: &DeliveryResult, at: Instant) -> Result<()> {
        let (scope, target, event, result) = (self.scope(tenant), target.to_owned(), event.to_owned(), result.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { outbox::finish(conn, &scope.tenant, &target, &event, &result, at).await })
        })
        .await
    }
}

/// The ids that a database can be asked about.
fn askable(ids: &[ResourceId]) -> Vec<ResourceId> {
    ids.iter().filter(|id| !has_nul(id.as_str())).cloned().collect()
}

async fn commit_once(backend: &Backend, tenant: &TenantId, change: Change) -> Result<Committed> {
    let (scope, urgency) = (backend.scope(tenant), change.urgency);
    let work = committing(scope, change);
    match urgency {
        Urgency::Live => backend.write(tenant, work).await,
        Urgency::Crowd => backend.write_behind(tenant, work).await,
    }
}

fn committing(scope: Scope, change: Change) -> impl for<'c> FnOnce(&'c mut Conn) -> Pending<'c, Result<Committed>> + Send + 'static {
    move |conn| Box::pin(async move { commit::commit(conn, &scope, change, RevisionCheck::Refuse).await })
}

/// Refuses new members that no database can be asked about, and leaves out such ones to be removed.
fn check_ids(change: &mut Change) -> Result<()> {
    let added = match &mut change.write {
        Some(ResourceWrite::CreateGroup { members, .. }) => members,
        Some(ResourceWrite::UpdateGroup { add, remove, .. }) => {
            remove.retain(|id| !has_nul(id.as_str()));
            add
        }
        _ => return Ok(()),
    };
    let unknown: Vec<String> = added.iter().filter(|id| has_nul(id.as_str())).map(|id| id.0.clone()).collect();
    if unknown.is_empty() { Ok(()) } else { Err(StoreError::UnknownMembers(unknown)) }
}
