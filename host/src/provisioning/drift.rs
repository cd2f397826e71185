//! Reconciliations: an export is compared with what is stored of a connection, what that would do to people's roles is found out without effect,
//! and what a person has seen is carried out, line by line, through the write path. A crash loses nothing: a line that was done is found done.

use std::collections::BTreeMap;
use std::sync::Arc;

use rolecall_scim::ResourceKind;
use rolecall_scim::cursor::Position;
use rolecall_scim::filter::Filter;
use serde_json::{Value, json};

use super::people::{self, Case, Foreseen, Terms};
use super::{Caller, Command, Failure, carry_out as write, users};
use crate::app::App;
use crate::crypto::{random_id, sha256_hex};
use crate::journal::Trail;
use crate::lifecycle::drift::{self, Comparison, GroupNames, Listed, Stored};
use crate::model::{
    AccountId, Actor, ConnectionId, ConnectionState, Difference, DriftForecast, DriftGroup, DriftKind, DriftLine, DriftOutcome,
    GroupMembership, Instant, Reconciliation, ReconciliationState, ResourceId, RoleId, RulingState, TenantId, Urgency,
};
use crate::store::{
    ApiPrincipal, CarryOut, DRIFT_LINES_AT_ONCE, Departed, DriftNoted, DriftQuery, Forecasted, ListQuery, NewDriftLine, NewReconciliation,
    Person, StoreError, StoredResource, Window,
};
use crate::tenancy::imports::{Format, read_listing};
use crate::tenancy::{self, Active, TenancyError};

/// For how many days a reconciliation may be carried out, and then its hold answered.
pub const PLAN_DAYS: i64 = 7;
/// For how many days one that is over is kept.
pub const KEPT_DAYS: i64 = 30;
/// People who are read at once.
const PAGE: i64 = 500;
/// Lines that one step simulates.
const SIMULATED_AT_ONCE: i64 = 64;
/// Lines that one step carries out.
const DONE_AT_ONCE: i64 = 16;
/// For how long a claim keeps other processes away, in seconds: longer than a step takes at its slowest.
const LEASE_SECONDS: i64 = 60;
/// After how many seconds something that could not be done for the moment is tried again.
const RETRY_SECONDS: i64 = 2;

/// What is to be compared.
pub struct Upload {
    /// How the export is written.
    pub format: Format,
    /// The export.
    pub content: String,
    /// Whether it lists everybody: else nobody is extra.
    pub complete: bool,
}

/// An export that was read, and is to be compared.
pub struct Begun {
    /// The reconciliation.
    pub id: String,
    tenant: TenantId,
    connection: ConnectionId,
    rows: Vec<Listed>,
    complete: bool,
    actor: Actor,
}

/// Reads an export and begins a reconciliation.
///
/// # Errors
/// `File` with everything that is wrong; `Store(Missing)`; `Store(Conflict)` while another one is carried out.
pub async fn begin(
    app: &Arc<App>,
    tenant: &TenantId,
    connection: &ConnectionId,
    upload: Upload,
    actor: &Actor,
) -> Result<Begun, TenancyError> {
    let Upload { format, content, complete } = upload;
    let read = tokio::task::spawn_blocking(move || read_listing(format, &content)).await;
    let rows = read.map_err(|_| StoreError::Corrupt("a file was not read to its end".into()))?.map_err(TenancyError::File)?;
    let (at, id, actor) = (app.clock.now(), random_id(), actor.clone());
    let ends = at.plus_seconds(PLAN_DAYS * 86_400);
    let new = NewReconciliation { id: id.clone(), connection: connection.clone(), complete, actor: actor.clone(), at, ends };
    app.store.begin_reconciliation(tenant, &new).await?;
    Ok(Begun { id, tenant: tenant.clone(), connection: connection.clone(), rows, complete, actor })
}

/// Compares an export with what is stored of a connection. What it would do to people's roles is found out by a job.
///
/// # Errors
/// The store's: the reconciliation is given up then, so that nobody waits for it.
pub async fn compare(app: &Arc<App>, begun: Begun) -> Result<Reconciliation, TenancyError> {
    let (id, tenant, actor) = (begun.id.clone(), begun.tenant.clone(), begun.actor.clone());
    match compare_all(app, begun).await {
        Ok(()) => Ok(app.store.reconciliation(&tenant, &id).await?.ok_or(StoreError::Missing("reconciliation"))?),
        // A newer export has taken its place, which says so itself.
        Err(TenancyError::Store(error @ StoreError::Conflict { .. })) => Err(error.into()),
        Err(error) => {
            let (at, why) = (app.clock.now(), "comparing failed: upload the export again");
            let ending = (ReconciliationState::Abandoned, Some(why));
            let ended = app.store.end_reconciliation(&tenant, &id, ending, &actor, at, at.plus_seconds(KEPT_DAYS * 86_400)).await;
            if let Err(also) = ended {
                tracing::error!(error = %also, reconciliation = %id, "a reconciliation whose comparison failed could not be given up");
            }
            Err(error)
        }
    }
}

async fn compare_all(app: &Arc<App>, begun: Begun) -> Result<(), TenancyError> {
    let Begun { id, tenant, connection, rows, complete, .. } = begun;
    let (tenant, connection) = (&tenant, &connection);
    let active = tenancy::active_now(app, tenant).await?;
    let mut names = GroupNames::default();
    let mut place = Some(None);
    while let Some(groups) = page(app, (tenant, connection, &active), ResourceKind::Group, &mut place).await? {
        for group in &groups {
            let name = group.document.text("displayName").unwrap_or_default().to_owned();
            names.add(&DriftGroup { id: group.id.clone(), name }, group.document.text("externalId"));
        }
    }
    let mut comparison = Comparison::new(rows, names, complete);
    let (mut last, mut place) = (0_i64, Some(None));
    while let Some(found) = page(app, (tenant, connection, &active), ResourceKind::User, &mut place).await? {
        let lines = compared_page(app, (tenant, connection), &mut comparison, &found, &mut last).await?;
        if !lines.is_empty() {
            app.store.add_drift(tenant, &id, &lines).await?;
        }
    }
    let missing = comparison.missing();
    for details in missing.chunks(DRIFT_LINES_AT_ONCE) {
        let line = |detail: &crate::model::DriftDetail| {
            last += 1;
            NewDriftLine { line: last, kind: DriftKind::Missing, stored: None, version: 0, detail: detail.clone() }
        };
        let lines: Vec<NewDriftLine> = details.iter().map(line).collect();
        app.store.add_drift(tenant, &id, &lines).await?;
    }
    app.store.compared(tenant, &id, &comparison.counts, app.clock.now()).await?;
    app.wake.notify_one();
    Ok(())
}

/// The next page of all resources of a kind, from a place on which there may be one; `None` behind the last.
async fn page(
    app: &App,
    (tenant, connection, active): (&TenantId, &ConnectionId, &Active),
    kind: ResourceKind,
    place: &mut Option<Option<Position>>,
) -> Result<Option<Vec<StoredResource>>, StoreError> {
    let Some(position) = place.take() else { return Ok(None) };
    let schemas = tenancy::schemas(active);
    let window = Window::Beside { position: position.as_ref(), limit: PAGE };
    let query = ListQuery { kinds: &[kind], schemas: &schemas, filter: None, sort: None, window };
    let page = app.store.list(tenant, connection, &query).await?;
    *place = page.next.map(Some);
    Ok(Some(page.items))
}

/// The lines of a page of people.
async fn compared_page(
    app: &App,
    (tenant, connection): (&TenantId, &ConnectionId),
    comparison: &mut Comparison,
    found: &[StoredResource],
    last: &mut i64,
) -> Result<Vec<NewDriftLine>, StoreError> {
    let ids: Vec<ResourceId> = found.iter().map(|user| user.id.clone()).collect();
    let mut groups = app.store.groups_of(tenant, connection, &ids, usize::MAX).await?;
    let mut differing = Vec::new();
    for user in found {
        let direct = groups.remove(&user.id).unwrap_or_default().into_iter().filter(|group| group.direct);
        let direct: Vec<DriftGroup> = direct.map(|group| DriftGroup { id: group.id, name: group.display }).collect();
        if let Some((kind, detail)) = comparison.compare(Stored { document: &user.document, groups: &direct }) {
            differing.push((user, kind, detail));
        }
    }
    if differing.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<ResourceId> = differing.iter().map(|(user, ..)| user.id.clone()).collect();
    let people = app.store.people(tenant, connection, &ids).await?;
    let accounts: BTreeMap<ResourceId, AccountId> = people.into_iter().map(|person| (person.resource.id, person.account.id)).collect();
    let lines = differing.into_iter().filter_map(|(user, kind, detail)| {
        // Whoever was deleted at this moment is nobody's line.
        let account = accounts.get(&user.id)?.clone();
        *last += 1;
        Some(NewDriftLine { line: *last, kind, stored: Some((user.id.clone(), account)), version: user.version, detail })
    });
    Ok(lines.collect())
}

/// Lets a reconciliation be carried out. How many people are held.
///
/// # Errors
/// `Forbidden` for whoever would gain something by it; `Held` where something else was seen; `Store(Conflict)` where it is not ready.
pub async fn carry_out(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    id: &str,
    (digest, reason): (String, String),
) -> Result<i64, TenancyError> {
    tenancy::check_reason(&reason)?;
    let found = app.store.reconciliation(tenant, id).await?.ok_or(StoreError::Missing("reconciliation"))?;
    if let Some(name) = &who.scope.person {
        refuse_if_in(app, tenant, (id, &found.connection), name).await?;
    }
    let at = app.clock.now();
    let guard = tenancy::active_revision(app, tenant).await?.map(|active| active.guard.clone()).unwrap_or_default();
    let ends = at.plus_seconds(PLAN_DAYS * 86_400);
    let said = CarryOut { digest, reason, guard: Some(guard), actor: who.actor(), at, ends };
    match app.store.carry_out(tenant, id, &said).await {
        Ok(held) => {
            app.wake.notify_one();
            Ok(held)
        }
        Err(StoreError::Conflict { what: "digest" }) => Err(TenancyError::Held(
            "that is not what this reconciliation would do: look at it again (`rolecall drift show`), and name its digest".into(),
        )),
        Err(other) => Err(other.into()),
    }
}

/// Whoever is in a reconciliation gives themselves nothing by it.
async fn refuse_if_in(app: &App, tenant: &TenantId, (id, connection): (&str, &ConnectionId), name: &str) -> Result<(), TenancyError> {
    let mut after = 0;
    loop {
        let query = DriftQuery { after, limit: PAGE, ..DriftQuery::default() };
        let lines = app.store.drift_lines(tenant, id, &query).await?;
        let gaining: Vec<&DriftLine> =
            lines.iter().filter(|line| line.forecast.as_ref().is_some_and(|forecast| !forecast.gains.is_empty())).collect();
        let users: Vec<ResourceId> = gaining.iter().filter_map(|line| line.user.clone()).collect();
        let people = app.store.people(tenant, connection, &users).await?;
        let is_new = gaining.iter().any(|line| {
            let addresses = line.detail.attributes.iter().filter_map(|one| one.listed.as_array()).flatten().filter_map(Value::as_str);
            addresses.chain([line.detail.user_name.as_str()]).any(|own| tenancy::same_name(own, name))
        });
        if is_new || people.iter().any(|person| tenancy::is_called(&person.account, name)) {
            let why = "nobody carries out a reconciliation by which they gain roles themselves: ask somebody else";
            return Err(TenancyError::Forbidden(why.into()));
        }
        match lines.last() {
            Some(last) => after = last.line,
            None => return Ok(()),
        }
    }
}

/// Gives a reconciliation up; nothing more comes of it.
///
/// # Errors
/// `Store(Missing)`; `Store(Conflict)` where it is over already.
pub async fn abandon(app: &Arc<App>, tenant: &TenantId, who: &ApiPrincipal, id: &str, reason: &str) -> Result<(), TenancyError> {
    tenancy::check_reason(reason)?;
    app.store.reconciliation(tenant, id).await?.ok_or(StoreError::Missing("reconciliation"))?;
    let at = app.clock.now();
    let forget_at = at.plus_seconds(KEPT_DAYS * 86_400);
    app.store.end_reconciliation(tenant, id, (ReconciliationState::Abandoned, Some(reason)), &who.actor(), at, forget_at).await?;
    app.wake.notify_one();
    Ok(())
}

/// Takes the next step of the reconciliation that has waited longest. Whether there was one.
///
/// # Errors
/// The store's.
pub async fn work_next(app: &Arc<App>) -> Result<bool, StoreError> {
    let now = app.clock.now();
    let Some((tenant, id)) = app.store.due_reconciliation(now).await? else { return Ok(false) };
    if !app.store.claim_reconciliation(&tenant, &id, now, now.plus_seconds(LEASE_SECONDS)).await? {
        return Ok(true);
    }
    let Some(found) = app.store.reconciliation(&tenant, &id).await? else { return Ok(true) };
    if found.state.is_over() {
        app.store.forget_reconciliation(&tenant, &id).await?;
    } else if found.ends <= now {
        end(app, &tenant, &found, ReconciliationState::Expired).await?;
    } else if found.state == ReconciliationState::Simulating {
        simulate(app, &tenant, &found).await?;
    } else if found.state == ReconciliationState::Running {
        do_some(app, &tenant, &found).await?;
    } else {
        // Nothing to do before it ends.
        app.store.note_drift(&tenant, &id, &[], found.ends).await?;
    }
    Ok(true)
}

async fn end(app: &Arc<App>, tenant: &TenantId, found: &Reconciliation, state: ReconciliationState) -> Result<(), StoreError> {
    let now = app.clock.now();
    let actor = Actor { kind: "worker".into(), id: "reconciliation".into() };
    match app.store.end_reconciliation(tenant, &found.id, (state, None), &actor, now, now.plus_seconds(KEPT_DAYS * 86_400)).await {
        // Somebody gave it up at this moment.
        Err(StoreError::Conflict { .. }) => Ok(()),
        done => {
            done?;
            if state == ReconciliationState::Finished {
                reconciled(app, tenant, found, &actor).await?;
            }
            app.wake.notify_one();
            Ok(())
        }
    }
}

/// A connection was reconciled with what its identity provider lists: what waited for that since a restore goes on. An export that does not
/// list everybody says nothing of who has left.
async fn reconciled(app: &Arc<App>, tenant: &TenantId, found: &Reconciliation, actor: &Actor) -> Result<(), StoreError> {
    tracing::info!(%tenant, connection = %found.connection, reconciliation = %found.id, complete = found.complete, "a connection was reconciled");
    if !found.complete {
        return Ok(());
    }
    let why = format!("reconciled with an export that lists everybody ({})", found.id);
    match tenancy::restored::release(app, tenant, &found.connection, &why, actor).await {
        Ok(_) => tracing::info!(%tenant, connection = %found.connection, "a restored connection takes part again"),
        // Most connections wait for nothing.
        Err(TenancyError::Store(StoreError::Conflict { .. } | StoreError::Missing(_))) => {}
        Err(TenancyError::Store(error)) => return Err(error),
        Err(error) => tracing::error!(%error, connection = %found.connection, "a restored connection could not be released"),
    }
    Ok(())
}

/// How a connection stands; `None` where it is gone.
async fn state_of(app: &App, tenant: &TenantId, connection: &ConnectionId) -> Result<Option<ConnectionState>, StoreError> {
    let found = app.store.find_connection(connection).await?;
    Ok(found.filter(|(owner, _)| owner == tenant).map(|(_, state)| state))
}

/// Finds out what the next lines would do to people's roles.
async fn simulate(app: &Arc<App>, tenant: &TenantId, found: &Reconciliation) -> Result<(), StoreError> {
    let query = DriftQuery { after: found.simulated, limit: SIMULATED_AT_ONCE, ..DriftQuery::default() };
    let lines = app.store.drift_lines(tenant, &found.id, &query).await?;
    let (now, active) = (app.clock.now(), tenancy::active_now(app, tenant).await?);
    let Some(state) = state_of(app, tenant, &found.connection).await? else { return Ok(()) };
    let cases = cases(app, (tenant, &found.connection, &active), &lines, now).await?;
    let Some(mut forecasts) = forecasts(app, tenant, (&active, Terms::of(state)), cases, now).await? else {
        // Busy threads: another time.
        return app.store.note_drift(tenant, &found.id, &[], now).await.map(|_| ());
    };
    let unknown = lines.iter().filter(|line| !forecasts.iter().any(|(known, _)| *known == line.line));
    let unknown: Vec<(i64, DriftForecast)> = unknown.map(|line| (line.line, DriftForecast::default())).collect();
    forecasts.extend(unknown);
    forecasts.sort_by_key(|(line, _)| *line);
    let digest = digest(found, &active, &lines, &forecasts);
    let last = i64::try_from(lines.len()).is_ok_and(|read| read < SIMULATED_AT_ONCE);
    let to = lines.last().map_or(found.simulated, |line| line.line);
    let step = Forecasted { from: found.simulated, lines: forecasts, to, digest, last, at: now };
    app.store.keep_forecast(tenant, &found.id, &step).await.map(|_| ())
}

/// What stands for all lines up to these, with what they come to.
fn digest(found: &Reconciliation, active: &Active, lines: &[DriftLine], forecasts: &[(i64, DriftForecast)]) -> String {
    let so_far = json!([found.id, found.simulated, found.counts, active.hash, lines, forecasts]);
    sha256_hex(so_far.to_string().as_bytes())
}

/// The line, the person as they are, and as they would be.
type WhatIf = (i64, Case, Case);

/// The people of lines, with what they would be.
async fn cases(
    app: &App,
    (tenant, connection, active): (&TenantId, &ConnectionId, &Active),
    lines: &[DriftLine],
    now: Instant,
) -> Result<Vec<WhatIf>, StoreError> {
    let acted: Vec<&DriftLine> = lines.iter().filter(|line| line.kind != DriftKind::Doubt).collect();
    let ids: Vec<ResourceId> = acted.iter().filter_map(|line| line.user.clone()).collect();
    let people = app.store.people(tenant, connection, &ids).await?;
    let mut people: BTreeMap<ResourceId, Person> = people.into_iter().map(|person| (person.resource.id.clone(), person)).collect();
    let mut memberships = memberships(app, (tenant, connection), &acted).await?;
    let mut revived = revived(app, (tenant, connection), &acted).await?;
    let schemas = tenancy::schemas(active);
    let mut cases = Vec::with_capacity(acted.len());
    for line in acted {
        let case = match &line.user {
            None => {
                let Ok(read) = rolecall_scim::resource::read(&schemas, ResourceKind::User, &drift::creation(&line.detail), None) else {
                    continue;
                };
                let (user, account) = (ResourceId(String::new()), AccountId(String::new()));
                let case = Case::new(user, connection.clone(), read.document, account, revived.remove(&line.line), now);
                (line.line, case.clone(), case)
            }
            Some(user) => {
                let Some(person) = people.remove(user) else { continue };
                let before = &person.resource.document;
                let after = match drift::change(&line.detail, before) {
                    Some(body) => match users::Update::Patch(body).document(&schemas, before) {
                        Ok(document) => document,
                        Err(_) => continue,
                    },
                    None => before.clone(),
                };
                let groups = memberships.remove(user).unwrap_or_else(|| person.groups.clone());
                (line.line, Case::unchanged(person.clone()), Case::of(person, after, groups))
            }
        };
        cases.push(case);
    }
    Ok(cases)
}

/// What is left of deleted people who would come back, by line: a bounded number of look-ups at once.
async fn revived(
    app: &App,
    (tenant, connection): (&TenantId, &ConnectionId),
    lines: &[&DriftLine],
) -> Result<BTreeMap<i64, Departed>, StoreError> {
    let missing = lines.iter().filter(|line| line.user.is_none());
    let named = missing.filter_map(|line| Some((line.line, drift::creation(&line.detail)["externalId"].as_str()?.to_owned())));
    let asked = named.map(async |(line, external_id)| {
        let found = app.store.revivable(tenant, connection, &external_id).await?;
        Ok::<_, StoreError>(found.map(|departed| (line, departed)))
    });
    futures_util::future::try_join_all(asked).await.map(|found| found.into_iter().flatten().collect())
}

/// The memberships that people would have: one question for all who join and leave the same groups.
async fn memberships(
    app: &App,
    (tenant, connection): (&TenantId, &ConnectionId),
    lines: &[&DriftLine],
) -> Result<BTreeMap<ResourceId, Vec<GroupMembership>>, StoreError> {
    let mut alike = BTreeMap::<(Vec<ResourceId>, Vec<ResourceId>), Vec<ResourceId>>::new();
    for line in lines {
        let ids = |groups: &[DriftGroup]| groups.iter().map(|group| group.id.clone()).collect::<Vec<_>>();
        let (joins, leaves) = (ids(&line.detail.joins), ids(&line.detail.leaves));
        if let Some(user) = line.user.clone().filter(|_| !joins.is_empty() || !leaves.is_empty()) {
            alike.entry((joins, leaves)).or_default().push(user);
        }
    }
    let asked = alike.iter().map(|((joins, leaves), users)| app.store.memberships_if(tenant, connection, users, joins, leaves, None));
    let mut found = BTreeMap::new();
    for answer in futures_util::future::join_all(asked).await {
        found.extend(answer?);
    }
    Ok(found)
}

/// What people would gain and lose, by line; `None` while the threads are busy. Whoever would get a name that somebody else has would get
/// no account, which is found out as a write finds it out: by asking once more.
async fn forecasts(
    app: &Arc<App>,
    tenant: &TenantId,
    (active, terms): (&Active, Terms),
    cases: Vec<WhatIf>,
    now: Instant,
) -> Result<Option<Vec<(i64, DriftForecast)>>, StoreError> {
    let foresee = async |cases: Vec<WhatIf>| {
        let active = active.clone();
        let one = move |case: WhatIf| {
            let foreseen = people::foresee(&active, terms, &case.1, &case.2, now);
            (case, foreseen)
        };
        app.compute.run(tenant, Urgency::Crowd, move || cases.into_iter().map(one).collect::<Vec<_>>()).await.ok()
    };
    let Some(foreseen) = foresee(cases).await else { return Ok(None) };
    let (mut known, mut wanted) = (Vec::with_capacity(foreseen.len()), Vec::with_capacity(foreseen.len()));
    for (case, Foreseen { difference, wanted: name }) in foreseen {
        known.push((case, difference));
        wanted.push(name);
    }
    let (mut forecasts, mut taken) = (Vec::with_capacity(known.len()), Vec::new());
    for (((line, before, mut after), difference), holder) in known.into_iter().zip(people::name_holders(app, tenant, &wanted).await?) {
        if holder.is_some() {
            after.subject.collision = holder;
            taken.push((line, before, after));
        } else {
            forecasts.push((line, forecast(difference)));
        }
    }
    if taken.is_empty() {
        return Ok(Some(forecasts));
    }
    let Some(again) = foresee(taken).await else { return Ok(None) };
    forecasts.extend(again.into_iter().map(|((line, ..), foreseen)| (line, forecast(foreseen.difference))));
    Ok(Some(forecasts))
}

/// What somebody would gain and lose.
fn forecast(difference: Option<Difference>) -> DriftForecast {
    let Some(difference) = difference else { return DriftForecast::default() };
    let roles = |names: Vec<String>| names.into_iter().map(RoleId).collect();
    let account = Some(difference.after).filter(|now| *now != difference.before);
    let waits = difference.waits.into_iter().map(|waiting| RoleId(waiting.role)).collect();
    DriftForecast { gains: roles(difference.gains), loses: roles(difference.loses), waits, account }
}

/// Carries out the next lines that nobody holds.
async fn do_some(app: &Arc<App>, tenant: &TenantId, found: &Reconciliation) -> Result<(), StoreError> {
    let Some(state) = state_of(app, tenant, &found.connection).await? else { return Ok(()) };
    let caller = Caller {
        tenant: tenant.clone(),
        connection: found.connection.clone(),
        state,
        request_id: found.id.clone(),
        trail: Arc::new(Trail::default()),
        instead: Some(found.carried_out_by.clone().unwrap_or_else(|| found.made_by.clone())),
    };
    let lines = app.store.next_drift(tenant, &found.id, DONE_AT_ONCE).await?;
    let mut noted = Vec::with_capacity(lines.len());
    let mut again = false;
    for (line, said) in &lines {
        let (outcome, note) = match said {
            Some(RulingState::No | RulingState::Ended) => (DriftOutcome::Rejected, Some("somebody lets the difference stand".to_owned())),
            Some(RulingState::Open) => continue,
            Some(RulingState::Yes) | None => match act(app, &caller, line).await {
                Ok(outcome) => outcome,
                Err(Failure::Store(StoreError::Conflict { .. })) => {
                    again = true;
                    continue;
                }
                Err(Failure::Store(error @ (StoreError::Unavailable(_) | StoreError::Corrupt(_)))) => return Err(error),
                Err(failure) => (DriftOutcome::Refused, Some(refusal(&failure))),
            },
        };
        noted.push(DriftNoted { line: line.line, account: line.account.clone(), outcome, note });
    }
    let now = app.clock.now();
    let due = match lines.is_empty() {
        // Who is left is held: an answer makes it due.
        true => found.ends,
        false if again => now.plus_seconds(RETRY_SECONDS),
        false => now,
    };
    if !app.store.note_drift(tenant, &found.id, &noted, due).await? {
        end(app, tenant, found, ReconciliationState::Finished).await?;
    }
    Ok(())
}

/// Why the write path refuses a line, without anybody's values.
fn refusal(failure: &Failure) -> String {
    let error = match failure {
        Failure::Scim(error) => error,
        Failure::Refused(refusal) => &refusal.error,
        Failure::Store(error) => return what_is_wrong(error),
    };
    format!("{} {}", error.status, error.scim_type.map_or("", |kind| kind.word())).trim().to_owned()
}

fn what_is_wrong(error: &StoreError) -> String {
    match error {
        StoreError::Taken { attribute } => format!("`{attribute}` is another person's"),
        _ => "a user or group is gone, or the group's nesting would be too deep".to_owned(),
    }
}

/// Somebody who was missing and is there by now, as listed: a crash came before it was noted.
async fn made(app: &Arc<App>, caller: &Caller, line: &DriftLine) -> Result<Option<ResourceId>, Failure> {
    let schemas = tenancy::schemas(&tenancy::active(app, &caller.tenant).await?);
    let filter = format!("userName eq {}", json!(line.detail.user_name));
    let filter = Filter::parse(&schemas, ResourceKind::User, &filter)?;
    let window = Window::Index { offset: 0, limit: 1 };
    let query = ListQuery { kinds: &[ResourceKind::User], schemas: &schemas, filter: Some(&filter), sort: None, window };
    let found = app.store.list(&caller.tenant, &caller.connection, &query).await?.items;
    let Some(found) = found.into_iter().next() else { return Ok(None) };
    let wanted = rolecall_scim::resource::read(&schemas, ResourceKind::User, &drift::creation(&line.detail), None)?.document;
    Ok((wanted == found.document).then_some(found.id))
}

/// Makes one person as they are listed.
async fn act(app: &Arc<App>, caller: &Caller, line: &DriftLine) -> Result<(DriftOutcome, Option<String>), Failure> {
    let user = match &line.user {
        None => {
            let body = drift::creation(&line.detail);
            match write(app, caller, &Command::Create { kind: ResourceKind::User, body }).await {
                Err(Failure::Store(StoreError::Taken { .. })) => match made(app, caller, line).await? {
                    Some(user) => user,
                    None => return Ok((DriftOutcome::Moved, Some("somebody with this name or external id has come since".to_owned()))),
                },
                applied => applied?.resource.map(|resource| resource.id).ok_or(StoreError::Missing("user"))?,
            }
        }
        Some(user) => {
            let Some(stored) = app.store.resource(&caller.tenant, &caller.connection, ResourceKind::User, user).await? else {
                return Ok((DriftOutcome::Moved, Some("deleted since".to_owned())));
            };
            if let Some(body) = drift::change(&line.detail, &stored.document) {
                let active = tenancy::active(app, &caller.tenant).await?;
                let update = users::Update::Patch(body.clone());
                // What was done before a crash is found done; what somebody else wrote since was not seen by whoever said yes.
                let wanted = update.document(&tenancy::schemas(&active), &stored.document)?;
                if wanted != stored.document && stored.version != line.version {
                    return Ok((DriftOutcome::Moved, Some("written since it was compared".to_owned())));
                }
                let command = Command::Patch { kind: ResourceKind::User, id: user.clone(), body, if_match: None };
                write(app, caller, &command).await?;
            }
            user.clone()
        }
    };
    let groups = line.detail.joins.iter().map(|group| (group, true)).chain(line.detail.leaves.iter().map(|group| (group, false)));
    let mut gone = 0;
    for (group, joins) in groups {
        let body: Value = drift::membership(user.as_str(), joins);
        let command = Command::Patch { kind: ResourceKind::Group, id: group.id.clone(), body, if_match: None };
        match write(app, caller, &command).await {
            Err(Failure::Scim(error)) if error.status == 404 => gone += 1,
            done => {
                done?;
            }
        }
    }
    Ok((DriftOutcome::Done, (gone > 0).then(|| format!("{gone} of its groups are deleted since"))))
}
