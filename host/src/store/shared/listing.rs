//! Listings: filters and orders as SQL, pages by number and beside a place.
//!
//! Three ways, and each is bounded: what columns tell is left to the database; a filter that they can't tell is decided by looking
//! at the candidates, a batch after the other; an order that they can't tell is made of the candidates' keys.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use futures_util::TryStreamExt as _;
use rolecall_scim::ResourceKind;
use rolecall_scim::cursor::Position;
use rolecall_scim::resource::{Extras, view};
use rolecall_scim::sort::{SORT_TEXT_CHARS_LIMIT, Sort, SortKey};
use rolecall_scim::version::etag;
use serde_json::{Map, Value, json};
use sqlx::{QueryBuilder, Row as _};

use super::rows::{self, kind_word};
use super::{Conn, Db, groups, text_list};
use crate::model::{ConnectionId, ResourceId, TenantId};
use crate::store::condition::{Compiled, Condition, SortColumn, TextColumn, TextOp, compile, reads_rows, sort_column};
use crate::store::{ListQuery, Listing, PAGE_BYTES_LIMIT, Result, SCAN_LIMIT, StoreError, StoredMember, StoredResource, UserGroup, Window};

/// Resources that a scan reads at once: bounds what is in memory.
const SCAN_BATCH: i64 = 500;

/// The most tests of a filter's that one listing makes, each of one value: some seconds at worst, and far beyond what directories ask.
const TESTS_LIMIT: usize = 50_000_000;
/// How many bytes of a document count as a value: a short one among many.
const BYTES_OF_A_VALUE: usize = 16;
/// More tests of one resource than these keep others waiting noticeably.
const TESTS_AT_ONCE: usize = 10_000;

/// The tests that a listing has made.
#[derive(Default)]
struct Tested(usize);

impl Tested {
    /// Counts those of one resource, as if each of its values were looked at by each test; whether others are to go on before it.
    fn take(&mut self, bytes: usize, tests: usize) -> Result<bool> {
        let more = (bytes / BYTES_OF_A_VALUE + 1).saturating_mul(tests);
        self.0 = self.0.saturating_add(more);
        if self.0 > TESTS_LIMIT { Err(StoreError::TooMany) } else { Ok(more > TESTS_AT_ONCE) }
    }
}

/// A resource as it was read.
struct Found {
    resource: StoredResource,
    /// The bytes of its document.
    bytes: usize,
}

/// What a page has taken of its bytes.
#[derive(Default)]
struct Taken(usize);

impl Taken {
    /// Whether the next one is still of the page. The first always is: nobody would ever get past it.
    fn takes(&mut self, bytes: usize) -> bool {
        let takes = self.0 == 0 || self.0.saturating_add(bytes) <= PAGE_BYTES_LIMIT;
        if takes {
            self.0 = self.0.saturating_add(bytes);
        }
        takes
    }
}

/// Where a listing looks.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) connection: &'a ConnectionId,
}

/// The kinds that are listed, each with what its resources have to fulfil.
type Parts = [(ResourceKind, Condition)];

/// `start … WHERE` the resources of a place that fulfil the conditions.
pub(super) fn select(start: &str, place: Place<'_>, parts: &Parts) -> QueryBuilder<Db> {
    let mut query = QueryBuilder::new(start);
    match parts {
        [part] => push_part(&mut query, place, part),
        _ => {
            query.push(" FROM (");
            for (index, part) in parts.iter().enumerate() {
                query.push(if index == 0 { "SELECT r.*" } else { " UNION ALL SELECT r.*" });
                push_part(&mut query, place, part);
            }
            query.push(") r WHERE TRUE");
        }
    }
    query
}

fn push_part(query: &mut QueryBuilder<Db>, place: Place<'_>, (kind, condition): &(ResourceKind, Condition)) {
    query.push(" FROM resources r WHERE r.tenant = ").push_bind(place.tenant.as_str());
    query.push(" AND r.connection = ").push_bind(place.connection.as_str());
    // As a literal: the indexes of a kind are partial.
    query.push(" AND r.kind = '").push(kind_word(*kind)).push("' AND ");
    push_condition(query, place, condition);
}

fn push_condition(query: &mut QueryBuilder<Db>, place: Place<'_>, condition: &Condition) {
    match condition {
        Condition::Always => drop(query.push("TRUE")),
        Condition::Never => drop(query.push("FALSE")),
        Condition::And(a, b) => push_both(query, place, a, " AND ", b),
        Condition::Or(a, b) => push_both(query, place, a, " OR ", b),
        Condition::Not(inner) => {
            query.push("((");
            push_condition(query, place, inner);
            query.push(") IS NOT TRUE)");
        }
        Condition::Text(column, value) => drop(query.push("r.").push(column.name()).push(" = ").push_bind(value.clone())),
        Condition::Compare(column, op, value) => push_comparison(query, *column, *op, value),
        Condition::Present(column) => drop(query.push("r.").push(column.name()).push(" <> ''")),
        Condition::Active(active) => drop(query.push("r.active = ").push_bind(*active)),
        Condition::Between(column, from, until) => {
            query.push("(r.").push(column.name()).push(" >= ").push_bind(*from);
            query.push(" AND r.").push(column.name()).push(" < ").push_bind(*until).push(")");
        }
        Condition::Email(value) => push_ids(query, place, "SELECT x.resource FROM emails x", "x.value", value),
        Condition::HasMember(member) => push_ids(query, place, "SELECT x.group_id FROM members x", "x.member_id", member),
        Condition::InGroup(group) => push_below(query, place, group),
    }
}

fn push_both(query: &mut QueryBuilder<Db>, place: Place<'_>, a: &Condition, word: &str, b: &Condition) {
    query.push("(");
    push_condition(query, place, a);
    query.push(word);
    push_condition(query, place, b);
    query.push(")");
}

/// Without patterns, whose wildcards would be the client's and whose idea of case is each database's own.
fn push_comparison(query: &mut QueryBuilder<Db>, column: TextColumn, op: TextOp, value: &str) {
    let name = column.name();
    let chars = value.chars().count();
    let order = match op {
        // Every text holds the empty one.
        TextOp::Contains | TextOp::StartsWith | TextOp::EndsWith if value.is_empty() => {
            query.push(format!("r.{name} IS NOT NULL"));
            return;
        }
        TextOp::Contains => {
            query.push(format!("replace(r.{name}, ")).push_bind(value.to_owned()).push(format!(", '') <> r.{name}"));
            return;
        }
        TextOp::StartsWith => {
            query.push(format!("substr(r.{name}, 1, {chars}) = ")).push_bind(value.to_owned());
            return;
        }
        TextOp::EndsWith => {
            query.push(format!("(length(r.{name}) >= {chars} AND substr(r.{name}, length(r.{name}) - {}) = ", chars - 1));
            query.push_bind(value.to_owned()).push(")");
            return;
        }
        TextOp::Gt => ">",
        TextOp::Ge => ">=",
        TextOp::Lt => "<",
        TextOp::Le => "<=",
    };
    query.push(format!("r.{name} {order} ")).push_bind(value.to_owned());
}

/// The resources whose ids a look into another table gives.
fn push_ids(query: &mut QueryBuilder<Db>, place: Place<'_>, start: &str, column: &str, value: &str) {
    query.push("r.id IN (").push(start).push(" WHERE x.tenant = ").push_bind(place.tenant.as_str());
    query.push(" AND x.connection = ").push_bind(place.connection.as_str());
    query.push(" AND ").push(column).push(" = ").push_bind(value.to_owned()).push(")");
}

/// The users below a living group.
fn push_below(query: &mut QueryBuilder<Db>, place: Place<'_>, group: &str) {
    query.push("r.id IN (WITH RECURSIVE below(id, is_user) AS (SELECT g.id, FALSE FROM resources g WHERE g.tenant = ");
    query.push_bind(place.tenant.as_str()).push(" AND g.connection = ").push_bind(place.connection.as_str());
    query.push(" AND g.kind = 'group' AND g.id = ").push_bind(group.to_owned());
    query.push(" UNION SELECT m.member_id, m.member_kind = 'user' FROM below JOIN members m ON m.group_id = below.id WHERE m.tenant = ");
    query.push_bind(place.tenant.as_str()).push(" AND m.connection = ").push_bind(place.connection.as_str());
    query.push(" AND NOT below.is_user) SELECT id FROM below WHERE is_user)");
}

/// An order that the database makes.
#[derive(Clone, Copy)]
struct Order {
    column: SortColumn,
    /// From the last to the first.
    down: bool,
}

impl Order {
    /// Whether places in it need more than the id.
    fn is_keyed(self) -> bool {
        self.column != SortColumn::Id
    }

    /// What is sorted by before the id, as [`Sort::key`] has it: the start of a text, the millisecond that is shown.
    fn expression(self) -> Option<String> {
        match self.column {
            SortColumn::Id => None,
            SortColumn::Text(column) => Some(format!("substr(r.{}, 1, {SORT_TEXT_CHARS_LIMIT})", column.name())),
            SortColumn::Instant(column) => Some(format!("(r.{} / 1000)", column.name())),
        }
    }

    fn push(self, query: &mut QueryBuilder<Db>) {
        query.push(" ORDER BY ");
        if let Some(expression) = self.expression() {
            query.push(expression).push(if self.down { " DESC NULLS FIRST, " } else { " ASC NULLS LAST, " });
        }
        query.push(if self.down { "r.id DESC" } else { "r.id" });
    }

    /// What comes behind a place in this order.
    fn push_behind(self, query: &mut QueryBuilder<Db>, position: &Position) {
        let compare = if self.down { "<" } else { ">" };
        let Some(expression) = self.expression() else {
            query.push(format!(" AND r.id {compare} ")).push_bind(position.id.clone());
            return;
        };
        let key = position.sort_key.as_deref().and_then(key_value);
        match (&key, self.down) {
            (None, false) => query.push(format!(" AND ({expression} IS NULL AND r.id > ")),
            (None, true) => query.push(format!(" AND ({expression} IS NOT NULL OR r.id < ")),
            (Some(key), _) => {
                query.push(format!(" AND ({expression} {compare} "));
                push_key(query, key);
                // Those without a value come last.
                query.push(if self.down { String::new() } else { format!(" OR {expression} IS NULL") });
                query.push(format!(" OR {expression} = "));
                push_key(query, key);
                query.push(format!(" AND r.id {compare} "))
            }
        };
        query.push_bind(position.id.clone()).push(")");
    }
}

/// A sort key as the database compares it.
enum KeyValue {
    Text(String),
    Millis(i64),
}

/// What [`SortKey::to_text`] wrote of a column; `None` for a resource without a value.
fn key_value(text: &str) -> Option<KeyValue> {
    match (text.get(..1)?, text.get(1..)?) {
        ("t", text) => Some(KeyValue::Text(text.to_owned())),
        ("i", nanos) => i64::try_from(nanos.parse::<i128>().ok()?.div_euclid(1_000_000)).ok().map(KeyValue::Millis),
        _ => None,
    }
}

fn push_key(query: &mut QueryBuilder<Db>, key: &KeyValue) {
    match key {
        KeyValue::Text(text) => query.push_bind(text.clone()),
        KeyValue::Millis(millis) => query.push_bind(*millis),
    };
}

const COLUMNS: &str = concat!("SELECT ", resource_columns!());

/// Resources that match, in order.
pub(super) async fn list(conn: &mut Conn, tenant: &TenantId, connection: &ConnectionId, query: &ListQuery<'_>) -> Result<Listing> {
    let place = Place { tenant, connection };
    let always = || Compiled { condition: Condition::Always, exact: true };
    let compiled = |kind: ResourceKind| query.filter.map_or_else(always, |filter| compile(query.schemas, kind, filter));
    let compiled: Vec<(ResourceKind, Compiled)> = query.kinds.iter().map(|&kind| (kind, compiled(kind))).collect();
    let exact = compiled.iter().all(|(_, compiled)| compiled.exact);
    let parts: Vec<(ResourceKind, Condition)> = compiled.into_iter().map(|(kind, compiled)| (kind, compiled.condition)).collect();
    let down = query.sort.is_some_and(|sort| sort.descending);
    let order = sort_column(query.schemas, query.kinds, query.sort).map(|column| Order { column, down });
    let lister = Lister { place, query, window: query.window, parts: &parts };
    let listing = lister.list(conn, order, exact).await?;
    match query.window {
        // All that was before the place is gone: what is there now begins behind it.
        Window::Beside { position: Some(Position { backwards: true, .. }), limit }
            if listing.items.is_empty() && listing.previous.is_none() =>
        {
            Lister { window: Window::Beside { position: None, limit }, ..lister }.list(conn, order, exact).await
        }
        _ => Ok(listing),
    }
}

#[derive(Clone, Copy)]
struct Lister<'q> {
    place: Place<'q>,
    query: &'q ListQuery<'q>,
    window: Window<'q>,
    parts: &'q Parts,
}

impl Lister<'_> {
    async fn list(&self, conn: &mut Conn, order: Option<Order>, exact: bool) -> Result<Listing> {
        match order {
            Some(order) if exact => self.by_columns(conn, order).await,
            Some(order) if !order.is_keyed() => self.by_looking(conn, order).await,
            _ => self.by_keys(conn).await,
        }
    }

    async fn count(&self, conn: &mut Conn) -> Result<i64> {
        Ok(select("SELECT count(*)", self.place, self.parts).build_query_scalar().fetch_one(conn).await?)
    }

    /// How many have to be looked at, if they may be.
    async fn candidates(&self, conn: &mut Conn) -> Result<usize> {
        let candidates = usize::try_from(self.count(conn).await?).unwrap_or(usize::MAX);
        if candidates > SCAN_LIMIT { Err(StoreError::TooMany) } else { Ok(candidates) }
    }

    /// What conditions and columns decide.
    async fn by_columns(&self, conn: &mut Conn, order: Order) -> Result<Listing> {
        let total = self.count(conn).await?;
        match self.window {
            Window::Index { offset, limit } => {
                let mut items = Vec::new();
                if limit > 0 && offset < total {
                    let mut rows = select(COLUMNS, self.place, self.parts);
                    order.push(&mut rows);
                    rows.push(" LIMIT +").push_bind(limit).push(" OFFSET ").push_bind(offset.max(0));
                    let (found, is_cut) = fetch(conn, rows).await?;
                    if is_cut {
                        return Err(StoreError::PageTooLarge);
                    }
                    items = resources(found);
                }
                Ok(Listing { items, total: Some(total), ..Listing::default() })
            }
            Window::Beside { position, limit } => {
                let (found, is_cut) = self.behind(conn, order, position, limit.saturating_add(1)).await?;
                let more = is_cut || found.len() > size(limit);
                let mut found = resources(found);
                found.truncate(size(limit));
                let resume = if more { found.last().map(|last| self.beside(order.is_keyed(), last)) } else { None };
                Ok(self.page(order.is_keyed(), position, found, Some(total), resume))
            }
        }
    }

    /// The next resources behind a place, away from it, and whether there are more of them than a page has bytes.
    async fn behind(&self, conn: &mut Conn, order: Order, position: Option<&Position>, limit: i64) -> Result<(Vec<Found>, bool)> {
        let mut rows = select(COLUMNS, self.place, self.parts);
        let order = Order { down: order.down != position.is_some_and(|position| position.backwards), ..order };
        if let Some(position) = position {
            order.push_behind(&mut rows, position);
        }
        order.push(&mut rows);
        rows.push(" LIMIT +").push_bind(limit);
        fetch(conn, rows).await
    }

    /// The place of a resource in an order by `keyed` values or by ids alone.
    fn beside(&self, keyed: bool, resource: &StoredResource) -> Position {
        let sort_key = self.query.sort.filter(|_| keyed).map(|sort| self.key(sort, resource).to_text());
        // Ids are unique in the connection: the kind need not be told.
        Position { backwards: false, kind: None, sort_key, id: resource.id.0.clone() }
    }

    fn key(&self, sort: &Sort, resource: &StoredResource) -> SortKey {
        sort.key(self.query.schemas, resource.kind, &seen(resource, None))
    }

    /// What was found from `position` on, as a page with its neighbours; `resume` is where to go on in the same direction.
    fn page(
        &self,
        keyed: bool,
        position: Option<&Position>,
        mut found: Vec<StoredResource>,
        total: Option<i64>,
        resume: Option<Position>,
    ) -> Listing {
        let backwards = position.is_some_and(|position| position.backwards);
        // The page that was come from begins at the nearest one.
        let origin = position.and(found.first()).map(|nearest| Position { backwards: !backwards, ..self.beside(keyed, nearest) });
        let resume = resume.map(|resume| Position { backwards, ..resume });
        if backwards {
            found.reverse();
        }
        let (next, previous) = if backwards { (origin, resume) } else { (resume, origin) };
        Listing { items: found, total, next, previous }
    }

    /// What has to be looked at, in the order of ids: the candidates that fulfil the necessary conditions.
    async fn by_looking(&self, conn: &mut Conn, order: Order) -> Result<Listing> {
        match self.window {
            Window::Index { offset, limit } => {
                let mut budget = SCAN_LIMIT - self.candidates(conn).await?;
                let (mut items, mut total, mut taken, mut is_cut) = (Vec::new(), 0_i64, Taken::default(), false);
                self.look(conn, order, None, &mut budget, |found, matches| {
                    if matches {
                        if total >= offset && total - offset.max(0) < limit {
                            is_cut = !taken.takes(found.bytes);
                            if is_cut {
                                return ControlFlow::Break(());
                            }
                            items.push(found.resource);
                        }
                        total += 1;
                    }
                    ControlFlow::Continue(())
                })
                .await?;
                if is_cut {
                    return Err(StoreError::PageTooLarge);
                }
                Ok(Listing { items, total: Some(total), ..Listing::default() })
            }
            Window::Beside { position, limit } => {
                let (mut found, mut looked, mut taken, mut resume) = (Vec::new(), 0_usize, Taken::default(), None);
                let mut budget = SCAN_LIMIT;
                self.look(conn, order, position, &mut budget, |next, matches| {
                    if matches && (found.len() >= size(limit) || !taken.takes(next.bytes)) {
                        resume = found.last().map(|last| self.beside(order.is_keyed(), last));
                        return ControlFlow::Break(());
                    }
                    looked += 1;
                    let place = (looked >= SCAN_LIMIT).then(|| self.beside(false, &next.resource));
                    if matches {
                        found.push(next.resource);
                    }
                    match place {
                        Some(place) => {
                            resume = Some(place);
                            ControlFlow::Break(())
                        }
                        None => ControlFlow::Continue(()),
                    }
                })
                .await?;
                Ok(self.page(order.is_keyed(), position, found, None, resume))
            }
        }
    }

    /// What is sorted by something that no column has: the keys of all that match, of which a page is read.
    async fn by_keys(&self, conn: &mut Conn) -> Result<Listing> {
        let mut budget = SCAN_LIMIT - self.candidates(conn).await?;
        let Some(sort) = self.query.sort else { return Ok(Listing::default()) };
        let mut keys: Vec<(SortKey, ResourceId, usize)> = Vec::new();
        let by_id = Order { column: SortColumn::Id, down: false };
        self.look(conn, by_id, None, &mut budget, |Found { resource, bytes }, matches| {
            if matches {
                keys.push((self.key(sort, &resource), resource.id, bytes));
            }
            ControlFlow::Continue(())
        })
        .await?;
        let ids = |a: &str, b: &str| if sort.descending { b.cmp(a) } else { a.cmp(b) };
        keys.sort_by(|(a, x, _), (b, y, _)| a.cmp(b).then_with(|| ids(x.as_str(), y.as_str())));
        let total = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        match self.window {
            Window::Index { offset, limit } => {
                let wanted = keys.get(size(offset)..).unwrap_or_default();
                let wanted = &wanted[..wanted.len().min(size(limit))];
                let mut taken = Taken::default();
                if !wanted.iter().all(|(.., bytes)| taken.takes(*bytes)) {
                    return Err(StoreError::PageTooLarge);
                }
                let wanted: Vec<ResourceId> = wanted.iter().map(|(_, id, _)| id.clone()).collect();
                Ok(Listing { items: self.these(conn, &wanted).await?, total: Some(total), ..Listing::default() })
            }
            Window::Beside { position, limit } => {
                if position.is_some_and(|position| position.backwards) {
                    keys.reverse();
                }
                let seen = |(key, id, _): &(SortKey, ResourceId, usize)| {
                    let Some(position) = position else { return false };
                    let Some(at) = position.sort_key.as_deref().and_then(|text| SortKey::from_text(sort.descending, text)) else {
                        return false;
                    };
                    let ordering = key.cmp(&at).then_with(|| ids(id.as_str(), &position.id));
                    if position.backwards { ordering.is_ge() } else { ordering.is_le() }
                };
                let rest = &keys[keys.partition_point(seen)..];
                let mut taken = Taken::default();
                let page = rest.iter().take(size(limit)).take_while(|(.., bytes)| taken.takes(*bytes));
                let wanted: Vec<ResourceId> = page.map(|(_, id, _)| id.clone()).collect();
                let found = self.these(conn, &wanted).await?;
                let resume = if rest.len() > wanted.len() { found.last().map(|last| self.beside(true, last)) } else { None };
                Ok(self.page(true, position, found, Some(total), resume))
            }
        }
    }

    /// Resources by id, in the ids' order.
    async fn these(&self, conn: &mut Conn, ids: &[ResourceId]) -> Result<Vec<StoredResource>> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            resource_columns!(),
            " FROM resources r WHERE r.tenant = $1 AND r.connection = $2 AND ",
            any_of!("r.id", "$3")
        ));
        let rows = rows.bind(self.place.tenant.as_str()).bind(self.place.connection.as_str());
        let rows = rows.bind(text_list(ids.iter().map(ResourceId::as_str))).fetch_all(conn).await?;
        let found: Result<BTreeMap<ResourceId, StoredResource>> =
            rows.iter().map(|row| rows::resource(row).map(|resource| (resource.id.clone(), resource))).collect();
        let mut found = found?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    /// Shows every candidate behind a place to `visit`, with whether it matches, until it has seen enough.
    async fn look(
        &self,
        conn: &mut Conn,
        order: Order,
        position: Option<&Position>,
        budget: &mut usize,
        mut visit: impl FnMut(Found, bool) -> ControlFlow<()>,
    ) -> Result<()> {
        let with_rows = self.query.filter.is_some_and(reads_rows);
        let mut position = position.cloned();
        let mut tested = Tested::default();
        loop {
            let (batch, _) = self.behind(conn, order, position.as_ref(), SCAN_BATCH).await?;
            let Some(last) = batch.last() else { return Ok(()) };
            let backwards = position.is_some_and(|position| position.backwards);
            position = Some(Position { backwards, ..self.beside(order.is_keyed(), &last.resource) });
            let mut beside = if with_rows { self.rows_beside(conn, &batch, budget).await? } else { BTreeMap::new() };
            for found in batch {
                let rows = beside.remove(&found.resource.id);
                if let Some(filter) = self.query.filter
                    && tested.take(found.bytes, filter.tests())?
                {
                    tokio::task::yield_now().await;
                }
                let matches = |resource: &StoredResource| {
                    let filter = self.query.filter?;
                    Some(filter.matches(self.query.schemas, resource.kind, &seen(resource, rows)))
                };
                let matches = matches(&found.resource).unwrap_or(true);
                if visit(found, matches).is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// The members of groups and the groups of users, as clients see them. They count against what may be looked at.
    async fn rows_beside(&self, conn: &mut Conn, batch: &[Found], budget: &mut usize) -> Result<BTreeMap<ResourceId, Vec<Value>>> {
        let Place { tenant, connection } = self.place;
        let of = |kind| {
            batch.iter().map(|found| &found.resource).filter(move |resource| resource.kind == kind).map(|resource| resource.id.clone())
        };
        let mut beside = BTreeMap::new();
        for id in of(ResourceKind::Group) {
            // One more than may be looked at tells that there are too many.
            let limit = i64::try_from(*budget).unwrap_or(i64::MAX).saturating_add(1);
            let members = groups::members_after(conn, tenant, connection, &id, None, limit).await?;
            *budget = budget.checked_sub(members.len()).ok_or(StoreError::TooMany)?;
            beside.insert(id, members.iter().map(member_value).collect());
        }
        let users: Vec<ResourceId> = of(ResourceKind::User).collect();
        if !users.is_empty() {
            for (user, groups) in groups::groups_of(conn, tenant, connection, &users, *budget).await? {
                *budget = budget.checked_sub(groups.len()).ok_or(StoreError::TooMany)?;
                beside.insert(user, groups.iter().map(group_value).collect());
            }
        }
        Ok(beside)
    }
}

/// The resources of a statement, as many as a page has bytes and at least one, and whether there are more.
async fn fetch(conn: &mut Conn, mut query: QueryBuilder<Db>) -> Result<(Vec<Found>, bool)> {
    let (mut found, mut taken) = (Vec::new(), Taken::default());
    let mut rows = query.build().fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let bytes = row.try_get::<&str, _>("document")?.len();
        if !taken.takes(bytes) {
            return Ok((found, true));
        }
        found.push(Found { resource: rows::resource(&row)?, bytes });
    }
    Ok((found, false))
}

fn resources(found: Vec<Found>) -> Vec<StoredResource> {
    found.into_iter().map(|found| found.resource).collect()
}

/// How many of something; a negative number is none.
fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// The resource as a client sees it, but for its location.
fn seen(resource: &StoredResource, rows: Option<Vec<Value>>) -> Map<String, Value> {
    let extras = Extras {
        id: resource.id.as_str(),
        created: resource.created.to_string(),
        last_modified: resource.modified.to_string(),
        location: String::new(),
        version: etag(resource.version),
        rows,
    };
    view(resource.kind, &resource.document, extras)
}

fn member_value(member: &StoredMember) -> Value {
    json!({"value": member.id, "type": member.kind.name(), "display": member.display})
}

fn group_value(group: &UserGroup) -> Value {
    json!({"value": group.id, "display": group.display, "type": if group.direct { "direct" } else { "indirect" }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_filter_looks_at_is_bounded_by_its_tests_and_by_what_is_stored() {
        let mut tested = Tested::default();
        assert!(!tested.take(2_000, 10).unwrap(), "an ordinary user");
        assert!(tested.take(65_000, 500).unwrap(), "others go on first");
        let ordinary = || (0..SCAN_LIMIT).try_fold(Tested::default(), |mut tested, _| tested.take(2_000, 15).map(|_| tested));
        assert!(ordinary().is_ok(), "as many as are looked at, by a long filter");
        let large = (0..1_000).try_fold(Tested::default(), |mut tested, _| tested.take(65_000, 500).map(|_| tested));
        assert!(matches!(large, Err(StoreError::TooMany)));
    }
}
